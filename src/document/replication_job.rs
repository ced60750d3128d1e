//! The kind `ReplicationJob`: that a guest's disks are copied to another node on a schedule.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::desired::{DesiredReplicationJob, Value};
use super::metadata::Metadata;
use super::options::{ExtraConfig, Field, Group, ToValue, collect, options};
use super::scalar::{CalendarEvent, ReplicationComment};
use crate::ids::{NodeName, ReplicationJobId, Vmid};

/// Whether a job works; Proxmox VE writes down that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Enabled(pub bool);

impl ToValue for Enabled {
    fn to_value(&self) -> Value {
        (!self.0).to_value()
    }
}

impl JsonSchema for Enabled {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Enabled".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        bool::json_schema(generator)
    }
}

options! {
    /// How a replication job shall be. What is not written is not managed; `null` asks for a setting's removal. Only volumes on ZFS
    /// pools (`zfspool`) can be copied, and the target needs the storages by the same names. A guest has one job for each target.
    pub struct ReplicationJobSpec {
        /// The job's id, `VMID-NUMBER`. Where it is not written it is the document's name if that is one, and otherwise `guest` with the
        /// number 0.
        id: Option<ReplicationJobId> = "id" by hand,
        /// The guest whose disks are copied. It never changes: the id begins with it.
        guest: Option<Vmid> = "guest" by hand,
        /// The node the disks are copied to. It never changes: another target is another job, with an id of its own. When the guest
        /// moves to its target, the job turns round and copies back to where it came from; that is no drift.
        target: Option<NodeName> = "target" by hand,
        /// When it runs, as a calendar event: `*/15`, `22:00`. Default every quarter of an hour.
        schedule: Field<CalendarEvent> = "schedule",
        /// Whether it runs at all. Default `true`.
        enabled: Field<Enabled> = "disable",
        /// Limit of bandwidth in megabytes a second, 1 at least; none where this is not set.
        #[schemars(range(min = 1))]
        rate: Field<f64> = "rate",
        /// A comment.
        comment: Field<ReplicationComment> = "comment",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

impl ReplicationJobSpec {
    /// The id of the job that a document is about, if it says one.
    pub fn id(&self, metadata: &Metadata) -> Option<ReplicationJobId> {
        let named = || ReplicationJobId::new(&metadata.name).ok();
        let first = || ReplicationJobId::new(format!("{}-0", self.guest?)).ok();
        self.id.clone().or_else(named).or_else(first)
    }

    /// What this asks for in Proxmox VE's words, for the job of that id.
    pub fn desired(&self, id: ReplicationJobId) -> DesiredReplicationJob {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        DesiredReplicationJob {
            id,
            target: self.target.clone(),
            options: collect(wishes),
        }
    }
}
