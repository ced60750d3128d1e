//! The words of health: entities, facets, conditions, categories.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{GuestKind, NodeName, PoolId, Slot, StorageId, Vmid, VolumeId};

/// Something that can be healthy or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A virtual machine or container.
    Guest(GuestKind, Vmid),
    /// A storage.
    Storage(StorageId),
    /// A volume that belongs to no guest's slot (a backup, an ISO, an orphan).
    Volume(VolumeId),
    /// A node.
    Node(NodeName),
    /// A pool.
    Pool(PoolId),
    /// A backup job.
    BackupJob(String),
    /// A replication job.
    ReplicationJob(String),
    /// An entry of the access control list, by path and subject.
    Acl(String),
    /// A user or token, by id.
    Principal(String),
    /// A group of users, by id.
    Group(String),
    /// A role, by id.
    Role(String),
    /// A realm, by id.
    Realm(String),
    /// Bailiwick itself: its token, its path to the API.
    Controller,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(kind, vmid) => write!(f, "{}/{vmid}", kind.word()),
            Self::Storage(id) => write!(f, "storage/{id}"),
            Self::Volume(id) => write!(f, "volume/{id}"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Pool(id) => write!(f, "pool/{id}"),
            Self::BackupJob(id) => write!(f, "backup-job/{id}"),
            Self::ReplicationJob(id) => write!(f, "replication-job/{id}"),
            Self::Acl(text) => write!(f, "acl/{text}"),
            Self::Principal(id) if id.contains('!') => write!(f, "token/{id}"),
            Self::Principal(id) => write!(f, "user/{id}"),
            Self::Group(id) => write!(f, "group/{id}"),
            Self::Role(id) => write!(f, "role/{id}"),
            Self::Realm(id) => write!(f, "realm/{id}"),
            Self::Controller => f.write_str("controller"),
        }
    }
}

/// One thing an entity can do or have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// A guest: the next start succeeds and finds its system.
    Boots,
    /// A guest: runs now.
    Runs,
    /// A guest: the volume in this slot is there and usable from its node (in any section of its configuration).
    Data(Slot),
    /// A guest: a removable medium, `cicustom`, hook script or other file it refers to is there.
    Medium(Slot),
    /// A guest: this snapshot's volumes and memory are there.
    Snapshot(String),
    /// A guest: it can be restored from at least one backup that can be listed.
    Recoverable,
    /// A guest: at least one enabled backup job covers it.
    Covered,
    /// A guest: the replication job of this id keeps a copy of it on another node.
    Replicated(String),
    /// A guest: HA keeps it up.
    HighlyAvailable,
    /// A node: should it fail, the others have memory for what HA starts elsewhere.
    Failover,
    /// A guest: it can be migrated to this node as far as its storages go.
    Movable,
    /// A guest: this NIC's bridge is there on its node.
    Nic(Slot),
    /// A job: it can do its work (its storage is there, it has guests, …).
    Works,
    /// A reference from this entity to something (a pool's member, an ACL entry's path, a `base:` storage): the text names it.
    Refers(String),
    /// A storage: has room (free space not under 10 GiB or 10 %). A node: has memory for what is configured to run on it.
    Room,
    /// A pending change of somebody, by configuration key, that stays pending and harmless until the next start.
    Pending(String),
}

/// How good a facet is. The order is from good to bad; worse than before makes an impact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, with a risk or a loss of comfort.
    Impaired,
    /// It does not work, or is gone.
    Lost,
    /// What it needed could not be read: worst, because nobody looked.
    Unknown,
}

/// The fixed words for what gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Category {
    #[serde(rename = "won't-boot")]
    WontBoot,
    MayNotBoot,
    DataLost,
    Degraded,
    Stopped,
    Restarted,
    Stranded,
    Unreachable,
    Lockout,
    ConditionalLockout,
    LinkFlap,
    Exposed,
    Unprotected,
    LastCopy,
    #[serde(rename = "won't-fit")]
    WontFit,
    Tight,
    NoQuorum,
    Fenced,
    NotHighlyAvailable,
    LosesPrivilege,
    GainsPrivilege,
    Orphaned,
    Dangling,
    WillFail,
    Irreversible,
    Unknown,
}

impl Category {
    /// The word, as it stands in plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::WontBoot => "won't-boot",
            Self::MayNotBoot => "may-not-boot",
            Self::DataLost => "data-lost",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Stranded => "stranded",
            Self::Unreachable => "unreachable",
            Self::Lockout => "lockout",
            Self::ConditionalLockout => "conditional-lockout",
            Self::LinkFlap => "link-flap",
            Self::Exposed => "exposed",
            Self::Unprotected => "unprotected",
            Self::LastCopy => "last-copy",
            Self::WontFit => "won't-fit",
            Self::Tight => "tight",
            Self::NoQuorum => "no-quorum",
            Self::Fenced => "fenced",
            Self::NotHighlyAvailable => "not-highly-available",
            Self::LosesPrivilege => "loses-privilege",
            Self::GainsPrivilege => "gains-privilege",
            Self::Orphaned => "orphaned",
            Self::Dangling => "dangling",
            Self::WillFail => "will-fail",
            Self::Irreversible => "irreversible",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The state of one facet of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How good it is.
    pub grade: Grade,
    /// What it is called when it got worse; `None` when good.
    pub category: Option<Category>,
    /// The rule that speaks (`ST01`).
    pub rule: &'static str,
    /// Why, as a chain a person checks in seconds: `boot disk scsi0 on local-zfs`.
    pub causes: Vec<String>,
}

impl State {
    /// A facet that is as it should be.
    pub const GOOD: Self = Self {
        grade: Grade::Good,
        category: None,
        rule: "",
        causes: Vec::new(),
    };
}

/// Health of a whole world. Facets that are good may be left out; an entity that exists has at least one facet.
pub type Health = BTreeMap<(Entity, Facet), State>;
