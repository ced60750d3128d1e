//! What a plan is. Everything but [`Plan::hash`] is covered by the hash; nothing volatile (times, load, free space to the byte)
//! stands in it, so that a plan over an unchanged world is the same plan.

mod account;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use account::AccountCheck;
use serde::{Deserialize, Serialize};

use crate::health::Category;
use crate::ids::{
    BackupJobId, ClusterName, GuestKind, NodeName, PoolId, ReplicationJobId, Slot, SnapshotName,
    StorageId, Vmid, VolumeId,
};
use crate::world::firewall::{FirewallPart, Place};
use crate::world::{Action, RuleList, Section, Site, Status};

/// The SHA-256 of a plan's canonical JSON without its hash, printed `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(pub String);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How much a plan can hurt. Unknown is the worst, because nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nothing changes.
    None,
    /// Nothing gets worse.
    Low,
    /// Something gets worse for a while, or a little.
    Medium,
    /// Something gets lost, stops, or cannot be taken back.
    High,
    /// Something that mattered could not be read.
    Unknown,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Unknown => "unknown",
        })
    }
}

/// The number of a step within its plan, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a plan answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "because")]
pub enum Origin {
    /// Documents were submitted.
    #[serde(rename_all = "camelCase")]
    Submission {
        /// The source that owns them.
        source: String,
        /// Documents of this source that are missing from the submission count as removed.
        prune: bool,
    },
    /// The live cluster no longer matches documents nobody changed.
    Drift,
    /// A run is to be taken back.
    #[serde(rename_all = "camelCase")]
    Undo {
        /// The plan whose run is taken back.
        of: PlanHash,
    },
    /// Safety copies are as old as they are kept.
    CleanUp,
}

/// The document that owned an object until a plan moved it to another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormerOwner {
    /// `VirtualMachine/web-7`.
    pub document: String,
    /// The source that owns it.
    pub source: String,
    /// Its hash as it was last applied.
    pub hash: Option<String>,
}

impl FormerOwner {
    /// Whether it is this document of this source.
    pub fn is(&self, document: &str, source: &str) -> bool {
        self.document == document && self.source == source
    }
}

/// A document the plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentRef {
    /// `VirtualMachine/web-7`.
    pub key: String,
    /// The source that owns it.
    pub source: String,
    /// Its hash; `None` when the document was removed.
    pub hash: Option<String>,
    /// The live object it is about: `vm/104`, `storage/local-zfs`, `pool/prod`.
    pub object: String,
    /// The object exists and is owned by nobody yet: this plan adopts it.
    pub adopts: bool,
    /// The document that owns the object until this plan was carried out: this one takes it over, or is it under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_owner: Option<FormerOwner>,
    /// The guest that the document was about until this plan was carried out: it is cloned to another VMID, and the old one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

impl DocumentRef {
    /// The owner in another source whom this document takes its object from.
    pub fn taken_from(&self) -> Option<&FormerOwner> {
        let former = self.former_owner.as_ref();
        former.filter(|former| former.source != self.source)
    }
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The live object: `vm/104`.
    pub object: String,
    /// The field in Proxmox VE's words: `memory`, `scsi0.storage`, `(object)`.
    pub field: String,
    /// The value now; `None` if there is none.
    pub before: Option<String>,
    /// The value wanted; `None` if it is to be gone.
    pub after: Option<String>,
    /// When and how it takes effect: `live`, `at the next stop and start`, `link flaps`, …
    pub effect: String,
}

/// What must still be so when a step begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "check")]
#[allow(missing_docs)] // each field is what the variant's line says
pub enum Precondition {
    /// The guest is the one that was planned on: same kind, and same SMBIOS uuid or creation time.
    #[serde(rename_all = "camelCase")]
    Identity {
        kind: GuestKind,
        vmid: Vmid,
        birth: Option<String>,
    },
    /// The guest is on this node.
    #[serde(rename_all = "camelCase")]
    OnNode { vmid: Vmid, node: NodeName },
    /// The guest's configuration has this digest; it is sent with the write. After an earlier step of the same plan wrote it
    /// (`after`), the digest is the one read back after that step.
    #[serde(rename_all = "camelCase")]
    ConfigDigest {
        vmid: Vmid,
        digest: Option<String>,
        after: Option<StepId>,
    },
    /// The guest is in this state.
    #[serde(rename_all = "camelCase")]
    Status { vmid: Vmid, status: Status },
    /// The slot holds this volume.
    #[serde(rename_all = "camelCase")]
    SlotHolds {
        vmid: Vmid,
        slot: Slot,
        volume: VolumeId,
    },
    /// No guest has this VMID. The POST is the arbiter.
    #[serde(rename_all = "camelCase")]
    GuestAbsent { vmid: Vmid },
    /// `storage.cfg` has this digest (or the one read back after an earlier step), and the storage these options.
    #[serde(rename_all = "camelCase")]
    StorageIs {
        id: StorageId,
        digest: Option<String>,
        after: Option<StepId>,
        options: BTreeMap<String, String>,
    },
    /// No storage has this id.
    #[serde(rename_all = "camelCase")]
    StorageAbsent { id: StorageId },
    /// The pool has these members and this comment (pools have no digest), as far as earlier steps of the plan did not change them.
    #[serde(rename_all = "camelCase")]
    PoolIs {
        id: PoolId,
        comment: Option<String>,
        guests: BTreeSet<Vmid>,
        storages: BTreeSet<StorageId>,
    },
    /// No pool has this id.
    #[serde(rename_all = "camelCase")]
    PoolAbsent { id: PoolId },
    /// The backup job has these options (jobs have no digest), as far as earlier steps of the plan did not change them.
    #[serde(rename_all = "camelCase")]
    BackupJobIs {
        id: BackupJobId,
        options: BTreeMap<String, String>,
    },
    /// No backup job has this id.
    #[serde(rename_all = "camelCase")]
    BackupJobAbsent { id: BackupJobId },
    /// The guest has this snapshot, taken at that time (seconds since 1970).
    #[serde(rename_all = "camelCase")]
    SnapshotIs {
        vmid: Vmid,
        name: SnapshotName,
        taken: Option<i64>,
    },
    /// The guest has no snapshot of this name.
    #[serde(rename_all = "camelCase")]
    SnapshotAbsent { vmid: Vmid, name: SnapshotName },
    /// The replication job has this target and these options (the list of jobs has no digest) and is not marked for removal.
    #[serde(rename_all = "camelCase")]
    ReplicationJobIs {
        id: ReplicationJobId,
        target: Option<NodeName>,
        options: BTreeMap<String, String>,
    },
    /// No replication job has this id.
    #[serde(rename_all = "camelCase")]
    ReplicationJobAbsent { id: ReplicationJobId },
    /// What has to be so of an account or access rule.
    Account(AccountCheck),
    /// The node does not see this volume.
    #[serde(rename_all = "camelCase")]
    VolumeAbsent { node: NodeName, volume: VolumeId },
    /// The node sees this volume, made at that time (seconds since 1970).
    #[serde(rename_all = "camelCase")]
    VolumeIs {
        node: NodeName,
        volume: VolumeId,
        created: Option<i64>,
    },
    /// The node sees this backup: of this guest, made at that time (seconds since 1970), with these notes.
    #[serde(rename_all = "camelCase")]
    BackupIs {
        node: NodeName,
        volume: VolumeId,
        vmid: Option<Vmid>,
        created: Option<i64>,
        notes: Option<String>,
    },
    /// The node sees a backup of the guest with these notes on the storage: the one that an earlier step took.
    #[serde(rename_all = "camelCase")]
    SafetyCopyIs {
        vmid: Vmid,
        node: NodeName,
        storage: StorageId,
        notes: String,
    },
    /// The part of a firewall's configuration is as it was planned on, as far as earlier steps of the plan did not change it: its state as
    /// a hash, which has nothing to do with Proxmox VE's digest; `None`: it is not there.
    #[serde(rename_all = "camelCase")]
    FirewallIs {
        place: Place,
        part: FirewallPart,
        state: Option<String>,
    },
    /// The datacenter's firewall is on trial, and its minute is not over.
    FirewallOnTrial,
    /// The HA resource requests this state; `None`: the guest is not under HA.
    #[serde(rename_all = "camelCase")]
    HaState { vmid: Vmid, state: Option<String> },
    /// The volume exists.
    #[serde(rename_all = "camelCase")]
    VolumeExists { node: NodeName, volume: VolumeId },
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Inverse {
    /// By these actions, in this order.
    #[serde(rename_all = "camelCase")]
    Actions {
        /// What to do.
        actions: Vec<Action>,
        /// What stays different even so, in words; empty if nothing.
        remains: Vec<String>,
    },
    /// Not at all; the plan has an `irreversible` (or worse) impact that says so.
    #[serde(rename_all = "camelCase")]
    Irreversible {
        /// Why.
        why: String,
    },
}

/// A privilege the controller's token needs for a step: any one of these on the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Privilege {
    /// The path (`/vms/104`).
    pub path: String,
    /// The privilege (`VM.Config.Disk`).
    pub privilege: String,
}

/// One thing the executor will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its number; steps with smaller numbers come first where they depend on each other.
    pub id: StepId,
    /// One line for people: `move vm/104 scsi0 from local-zfs to ceph-vm (32 GiB)`.
    pub title: String,
    /// What is done.
    pub action: Action,
    /// The node it is done on, if it is done on one (limits are per node).
    pub node: Option<NodeName>,
    /// The steps that must have ended well before.
    pub needs: BTreeSet<StepId>,
    /// What must still be so right before it.
    pub preconditions: Vec<Precondition>,
    /// How it is taken back.
    pub inverse: Inverse,
    /// What the controller's token needs for it.
    pub privileges: BTreeSet<Privilege>,
    /// What people should know: when it takes effect, what it does not do.
    pub notes: Vec<String>,
}

/// For how long something is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duration {
    /// Only while the plan runs.
    Transient,
    /// After the plan too.
    Permanent,
}

/// One entity, one facet of its health, worse than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// `I1`, `I2`, … within the plan; approvals acknowledge impacts by it.
    pub id: String,
    /// The entity: `vm/104`.
    pub entity: String,
    /// The entity's name for people, if it has one.
    pub name: Option<String>,
    /// What happens to it.
    pub category: Category,
    /// How it was: `boots`.
    pub before: String,
    /// How it will be: `won't boot`.
    pub after: String,
    /// Why: `boot disk scsi0 on local-zfs`.
    pub causes: Vec<String>,
    /// Further facts: `keeps running until it is stopped, migrated or rebooted`.
    pub notes: Vec<String>,
    /// For how long.
    pub duration: Duration,
    /// The steps that bring it about, as far as they can be told.
    pub steps: BTreeSet<StepId>,
    /// The rule that speaks: `ST01`.
    pub rule: String,
}

/// Something that mattered and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    /// `U1`, `U2`, …; approvals name unknowns by it.
    pub id: String,
    /// What could not be read: `the configuration of guest 104`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// An immutable, content-addressed set of ordered steps with impacts and risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The hash over everything below.
    pub hash: PlanHash,
    /// The cluster.
    pub cluster: ClusterName,
    /// The last plan applied to this cluster when this one was made.
    pub parent: Option<PlanHash>,
    /// What it answers.
    pub origin: Origin,
    /// The version (hash) of the approval policy it was made under.
    pub policy: String,
    /// The documents it was made from.
    pub documents: Vec<DocumentRef>,
    /// Field by field what differs.
    pub changes: Vec<Change>,
    /// What will be done, in an order that respects every `needs`.
    pub steps: Vec<Step>,
    /// What gets worse. Never cut.
    pub impacts: Vec<Impact>,
    /// What gets better, one line each.
    pub improvements: Vec<String>,
    /// What mattered and could not be read.
    pub unknowns: Vec<Unknown>,
    /// Whether every input that the impacts needed was read whole. Only then "nothing else is affected" is said.
    pub complete: bool,
    /// How much it can hurt.
    pub risk: Risk,
    /// Things to know that are no impact (objects orphaned, pending changes of others taken along, …).
    pub notes: Vec<String>,
    /// What becomes of blocks of lists of rules that people share. An undo needs it where people changed their own rules since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockChange>,
}

/// What a plan makes of a block of a list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockChange {
    /// Whose firewall has the list.
    pub site: Site,
    /// The list.
    pub list: RuleList,
    /// The block's name.
    pub name: String,
    /// The rules between its markers before; `None` if these were not there.
    pub before: Option<Vec<Section>>,
    /// The same after.
    pub after: Option<Vec<Section>>,
}

impl Plan {
    /// Whether the plan leaves nothing to decide: it has no steps, and takes nothing over from another source. Its documents are
    /// accepted at once.
    pub fn leaves_nothing_to_decide(&self) -> bool {
        self.steps.is_empty() && self.documents.iter().all(|d| d.taken_from().is_none())
    }
}
