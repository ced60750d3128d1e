//! How a guest is migrated; the same for virtual machines and containers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::options::options;
use crate::ids::StorageId;

/// For each storage of the node that a guest leaves, the one its volumes go to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetStorage(pub BTreeMap<StorageId, StorageId>);

impl JsonSchema for TargetStorage {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "TargetStorage".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"type": "string", "format": "storage-id"},
            "additionalProperties": generator.subschema_for::<StorageId>(),
            "minProperties": 1,
        })
    }
}

options! {
    /// How the guest is migrated where `node` or `nodes` ask for that. It says nothing of how the guest shall be, and is never a reason to
    /// migrate it or to move its disks.
    pub struct Migration {
        /// The storages on the other node, by those the volumes lie on now: `local-zfs: fast`. What is not named goes to the storage of
        /// the same name, and what lies on a shared storage stays there.
        target_storage: Option<TargetStorage> = "" by hand,
    }
}

impl Migration {
    /// What this asks for.
    pub fn desired(&self) -> BTreeMap<StorageId, StorageId> {
        let map = self.target_storage.clone().unwrap_or_default();
        map.0
    }
}
