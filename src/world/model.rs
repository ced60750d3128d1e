//! The model: plain data, nothing else. Guests and storages sit behind [`Arc`], so that the world after each step of a plan
//! costs what the step changed. Configurations keep Proxmox VE's own raw keys and values (nothing unknown is dropped); typed
//! views on them are computed where they are needed ([`super::views`]).

mod accounts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::firewall::Firewalls;
use super::shared::Shared;
pub use accounts::{Group, Realm, RealmSettings, Role, Token, User};

use crate::ids::{Bytes, ClusterName, GuestKind, NodeName, PoolId, StorageId, Vmid, VolumeId};

/// One part of the world that is read on its own and may be unreadable on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// `GET /access/permissions` of the controller's own token.
    Permissions,
    /// `GET /cluster/resources`: which guests, nodes and storages there are.
    Resources,
    /// `GET /cluster/status`: quorum, who is online.
    ClusterStatus,
    /// `GET /cluster/options`.
    Options,
    /// `GET /storage`: every storage definition.
    Storages,
    /// `GET /nodes/{node}/status`: memory and processors.
    NodeStatus(NodeName),
    /// `GET /nodes/{node}/network`: which bridges there are.
    NodeNetwork(NodeName),
    /// `GET /nodes/{node}/storage`: space and state of each storage on this node.
    NodeStorage(NodeName),
    /// `GET /nodes/{node}/storage/{storage}/content`.
    StorageContent(NodeName, StorageId),
    /// A guest's configuration with its pending section.
    GuestConfig(Vmid),
    /// A guest's snapshots, each with its section of the configuration.
    GuestSnapshots(Vmid),
    /// `GET /pools` and each pool's members.
    Pools,
    /// `GET /cluster/backup`.
    BackupJobs,
    /// `GET /cluster/replication`.
    ReplicationJobs,
    /// `GET /cluster/ha/resources`.
    HaResources,
    /// `GET /cluster/ha/rules` (`groups` before Proxmox VE 9).
    HaRules,
    /// `GET /access/acl`.
    Acl,
    /// `GET /access/users` with the users' tokens.
    Users,
    /// `GET /access/groups` with their members.
    Groups,
    /// `GET /access/roles`.
    Roles,
    /// `GET /access/domains`.
    Realms,
    /// `GET /access/domains/{realm}` of each realm.
    RealmSettings,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permissions => f.write_str("the controller's own permissions"),
            Self::Resources => f.write_str("the list of guests, nodes and storages"),
            Self::ClusterStatus => f.write_str("the cluster's status"),
            Self::Options => f.write_str("the datacenter options"),
            Self::Storages => f.write_str("the storage definitions"),
            Self::NodeStatus(node) => write!(f, "the status of node {node}"),
            Self::NodeNetwork(node) => write!(f, "the network of node {node}"),
            Self::NodeStorage(node) => write!(f, "the storages' state on node {node}"),
            Self::StorageContent(node, storage) => {
                write!(f, "the content of storage {storage} on node {node}")
            }
            Self::GuestConfig(vmid) => write!(f, "the configuration of guest {vmid}"),
            Self::GuestSnapshots(vmid) => write!(f, "the snapshots of guest {vmid}"),
            Self::Pools => f.write_str("the pools"),
            Self::BackupJobs => f.write_str("the backup jobs"),
            Self::ReplicationJobs => f.write_str("the replication jobs"),
            Self::HaResources => f.write_str("the HA resources"),
            Self::HaRules => f.write_str("the HA rules"),
            Self::Acl => f.write_str("the access control list"),
            Self::Users => f.write_str("the users"),
            Self::Groups => f.write_str("the groups"),
            Self::Roles => f.write_str("the roles"),
            Self::Realms => f.write_str("the realms"),
            Self::RealmSettings => f.write_str("the settings of the realms"),
        }
    }
}

/// Whether a part of the world was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Completeness {
    /// Read whole.
    Complete {
        /// Since when: whoever reads it again and finds it whole leaves this as it is.
        at: Timestamp,
    },
    /// Not read, or not wholly: what it would have said is unknown, never empty.
    Unreadable {
        /// Why, in words for people.
        why: String,
    },
}

/// Everything observed of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The cluster's name in Bailiwick's configuration.
    pub cluster: ClusterName,
    /// When the observation ended.
    pub observed_at: Timestamp,
    /// Proxmox VE's version, as `GET /version` gives it (`9.1.8`).
    pub version: String,
    /// The controller's own token (`bailiwick@pve!plan`); `None` if unknown.
    pub controller: Option<String>,
    /// Which parts were read. A part that is not in the map was never asked for and counts as unreadable.
    pub completeness: Shared<Part, Completeness>,
    /// The controller's own privileges: path → privilege → whether it propagates.
    pub permissions: Arc<BTreeMap<String, BTreeMap<String, bool>>>,
    /// The nodes.
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    /// The guests, by VMID (unique in a cluster).
    pub guests: Shared<Vmid, Arc<Guest>>,
    /// The storage definitions.
    pub storages: BTreeMap<StorageId, Arc<Storage>>,
    /// The pools.
    pub pools: BTreeMap<PoolId, Arc<Pool>>,
    /// The backup jobs, by id.
    pub backup_jobs: BTreeMap<String, Arc<BackupJob>>,
    /// The replication jobs, by id (`104-0`).
    pub replication_jobs: Shared<String, Arc<ReplicationJob>>,
    /// The HA resources, by guest.
    pub ha_resources: Shared<Vmid, Arc<HaResource>>,
    /// The HA rules, by name.
    pub ha_rules: BTreeMap<String, Arc<HaRule>>,
    /// The firewalls' configurations.
    pub firewalls: Firewalls,
    /// The access control list.
    pub acl: Arc<Vec<AclEntry>>,
    /// The users, by id (`ann@pve`).
    pub users: BTreeMap<String, Arc<User>>,
    /// The groups, by id.
    pub groups: BTreeMap<String, Arc<Group>>,
    /// The roles, by id, those that Proxmox VE brings along included.
    pub roles: BTreeMap<String, Arc<Role>>,
    /// The realms, by id.
    pub realms: BTreeMap<String, Arc<Realm>>,
    /// How the realms are set.
    pub realm_settings: Arc<RealmSettings>,
    /// Datacenter options that matter to health, raw (`next-id`, `tag-style`, `migration`, `ha`, …), flattened to text.
    pub options: Arc<BTreeMap<String, String>>,
    /// Whether the cluster is quorate; `None` if unknown. A node that is no cluster counts as quorate.
    pub quorate: Option<bool>,
}

impl World {
    /// An empty world in which nothing was read: every part counts as unreadable.
    pub fn unread(cluster: ClusterName, at: Timestamp) -> Self {
        Self {
            cluster,
            observed_at: at,
            version: String::new(),
            completeness: Shared::default(),
            controller: None,
            permissions: Arc::default(),
            nodes: BTreeMap::new(),
            guests: Shared::default(),
            storages: BTreeMap::new(),
            pools: BTreeMap::new(),
            backup_jobs: BTreeMap::new(),
            replication_jobs: Shared::default(),
            ha_resources: Shared::default(),
            ha_rules: BTreeMap::new(),
            firewalls: Firewalls::default(),
            acl: Arc::default(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            realms: BTreeMap::new(),
            realm_settings: Arc::default(),
            options: Arc::default(),
            quorate: None,
        }
    }

    /// Why a part is unreadable, or `None` if it was read whole.
    pub fn unreadable(&self, part: &Part) -> Option<&str> {
        match self.completeness.get(part) {
            Some(Completeness::Complete { .. }) => None,
            Some(Completeness::Unreadable { why }) => Some(why),
            None => Some("it was not read"),
        }
    }

    /// Every part that is unreadable, with the reason.
    pub fn unreadable_parts(&self) -> impl Iterator<Item = (&Part, &str)> {
        self.completeness
            .iter()
            .filter_map(|(part, completeness)| match completeness {
                Completeness::Complete { .. } => None,
                Completeness::Unreadable { why } => Some((part, why.as_str())),
            })
    }

    /// Whether the controller's token has a privilege on a path, by the permissions read (a path that Proxmox VE does not list
    /// inherits from the nearest listed ancestor whose entry propagates). `false` when the permissions are unreadable.
    pub fn may(&self, path: &str, privilege: &str) -> bool {
        if let Some(privileges) = self.permissions.get(path) {
            return privileges.contains_key(privilege);
        }
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            let parent = if parent.is_empty() { "/" } else { parent };
            if let Some(privileges) = self.permissions.get(parent) {
                return privileges.get(privilege).copied().unwrap_or(false);
            }
            if parent == "/" {
                return false;
            }
            rest = parent;
        }
        false
    }
}

/// A cluster node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Whether it is online; `None` if unknown.
    pub online: Option<bool>,
    /// Its address in the cluster network, if known.
    pub ip: Option<String>,
    /// Logical processors.
    pub cpus: Option<u32>,
    /// Memory of the node.
    pub memory_total: Option<Bytes>,
    /// Memory in use by everything on it.
    pub memory_used: Option<Bytes>,
    /// Bridges and vnets that guests can attach to, by name.
    pub bridges: BTreeSet<String>,
    /// State and space of each storage on this node.
    pub storages: BTreeMap<StorageId, StorageState>,
}

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageState {
    /// Enabled for this node.
    pub enabled: bool,
    /// Mounted or otherwise usable now.
    pub active: bool,
    /// Total space, if known.
    pub total: Option<Bytes>,
    /// Free space, if known.
    pub available: Option<Bytes>,
}

/// Whether a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It runs (a paused VM counts as running: its memory lives).
    Running,
    /// It does not run.
    Stopped,
    /// Nobody could say, e.g. its node is offline.
    Unknown,
}

/// A virtual machine or container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its VMID.
    pub vmid: Vmid,
    /// Which of the two kinds.
    pub kind: GuestKind,
    /// Where it is now. A state, not an identity.
    pub node: NodeName,
    /// Its name (VM) or host name (container), if known.
    pub name: Option<String>,
    /// Whether it runs.
    pub status: Status,
    /// Whether it is a template.
    pub template: bool,
    /// The lock it is under (`backup`, `migrate`, …).
    pub lock: Option<String>,
    /// The pool it is in.
    pub pool: Option<PoolId>,
    /// Its configuration. Whether it was read stands in [`World::completeness`] under [`Part::GuestConfig`]; unread it is empty.
    pub config: GuestConfig,
}

impl Guest {
    /// `vm/104` or `ct/301`.
    pub fn entity(&self) -> String {
        format!("{}/{}", self.kind.word(), self.vmid)
    }
}

/// A guest's configuration file, section by section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestConfig {
    /// SHA-1 of the whole file, pending and snapshots included, as Proxmox VE gives it. Empty when unread or predicted.
    pub digest: String,
    /// What is in force now (`current=1`): raw keys and values, without `digest`, `lock`, `pending` and other read-only extras.
    pub current: Section,
    /// What waits for the next start.
    pub pending: Vec<Pending>,
    /// The snapshots by name.
    pub snapshots: BTreeMap<String, Snapshot>,
}

impl GuestConfig {
    /// The configuration as it will be at the next start: `current` with everything pending applied.
    pub fn next_start(&self) -> Section {
        let mut section = self.current.clone();
        for pending in &self.pending {
            match &pending.value {
                Some(value) => section.insert(pending.key.clone(), value.clone()),
                None => section.remove(&pending.key),
            };
        }
        section
    }

    /// When or as what the guest was made: the SMBIOS uuid of a VM, else the creation time in `meta`, else nothing.
    /// Together with cluster and VMID this is a guest's identity.
    pub fn birth(&self) -> Option<String> {
        let part = |key: &str, name: &str| {
            self.current.get(key).and_then(|text| {
                text.split(',').find_map(|p| {
                    p.strip_prefix(name)
                        .and_then(|p| p.strip_prefix('='))
                        .map(str::to_owned)
                })
            })
        };
        part("smbios1", "uuid")
            .map(|uuid| format!("uuid:{}", uuid.to_ascii_lowercase()))
            .or_else(|| part("meta", "ctime").map(|ctime| format!("ctime:{ctime}")))
    }
}

/// One section of a guest's configuration: raw keys and values as Proxmox VE writes them.
pub type Section = BTreeMap<String, String>;

/// One key that waits for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The key.
    pub key: String,
    /// The value it will get; `None` if it will be removed.
    pub value: Option<String>,
    /// For a removal of a disk: the volume will be freed, not kept as unused.
    pub force: bool,
}

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The snapshot it was made after, if any.
    pub parent: Option<String>,
    /// When it was made, seconds since 1970.
    pub taken: Option<i64>,
    /// While it is being taken or deleted, or where that was broken off: `prepare`, `delete`.
    pub state: Option<String>,
    /// The configuration as it was; `vmstate` names the volume with the memory. Empty if the section could not be read.
    pub section: Section,
}

/// A storage definition, with what is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its id.
    pub id: StorageId,
    /// Its type: `dir`, `zfspool`, `rbd`, …
    pub storage_type: String,
    /// The content types it may hold (`images`, `rootdir`, `iso`, `vztmpl`, `backup`, `snippets`, `import`).
    pub content: BTreeSet<String>,
    /// The nodes it is restricted to; `None` means all.
    pub nodes: Option<BTreeSet<NodeName>>,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Whether all its nodes see the same volumes (by type, or because the operator said so).
    pub shared: bool,
    /// SHA-1 of the whole `storage.cfg`.
    pub digest: String,
    /// Every option as Proxmox VE gives it (`path`, `content`, `nodes`, …), without `digest`, `storage` and `type`.
    pub options: Section,
    /// The volumes on it, per node for local storages, under the first node that could list them for shared ones.
    pub volumes: BTreeMap<NodeName, Arc<BTreeMap<VolumeId, Volume>>>,
}

impl Storage {
    /// Whether a node may use this storage, by its definition.
    pub fn on_node(&self, node: &NodeName) -> bool {
        !self.disabled && self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node))
    }

    /// A volume on this storage, as a node sees it.
    pub fn volume(&self, node: &NodeName, id: &VolumeId) -> Option<&Volume> {
        if self.shared {
            self.volumes.values().find_map(|volumes| volumes.get(id))
        } else {
            self.volumes.get(node).and_then(|volumes| volumes.get(id))
        }
    }
}

/// A volume on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What it is: `images`, `rootdir`, `iso`, `vztmpl`, `backup`, `snippets`, `import`.
    pub content: String,
    /// `raw`, `qcow2`, `subvol`, `iso`, `tar.zst`, …
    pub format: String,
    /// Its size (virtual size of a disk).
    pub size: Bytes,
    /// The guest it belongs to, or the guest a backup is of.
    pub vmid: Option<Vmid>,
    /// The base volume a linked clone depends on, where Proxmox VE tells.
    pub parent: Option<String>,
    /// When it was made, seconds since 1970.
    pub created: Option<i64>,
    /// A backup that may not be removed.
    pub protected: bool,
    /// The first line of a backup's notes.
    pub notes: Option<String>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// Its comment.
    pub comment: Option<String>,
    /// Member guests.
    pub guests: BTreeSet<Vmid>,
    /// Member storages.
    pub storages: BTreeSet<StorageId>,
}

/// Which guests a backup job is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All guests but these.
    AllBut(BTreeSet<Vmid>),
    /// These guests.
    Guests(BTreeSet<Vmid>),
    /// The members of a pool.
    Pool(String),
}

/// A backup job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// Whether it runs at all.
    pub enabled: bool,
    /// Which guests.
    pub selection: Selection,
    /// Only guests on this node.
    pub node: Option<NodeName>,
    /// Where the backups go; `None` with a dump directory.
    pub storage: Option<String>,
    /// Where fleecing images go.
    pub fleecing_storage: Option<String>,
    /// Every option, raw.
    pub options: Section,
}

/// A replication job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationJob {
    /// The guest.
    pub guest: Vmid,
    /// The node it is copied to.
    pub target: NodeName,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Marked for removal: it is gone after the next run on its guest's node.
    pub removing: bool,
    /// Its other options (`schedule`, `disable`, `rate`, `comment`), raw.
    pub options: Section,
}

/// A guest under high availability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaResource {
    /// Which of the two kinds.
    pub kind: GuestKind,
    /// The requested state: `started`, `stopped`, `disabled`, `ignored`.
    pub state: String,
    /// Every option, raw.
    pub options: Section,
}

/// An HA rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaRule {
    /// `node-affinity` or `resource-affinity` (`group` before Proxmox VE 9).
    pub rule_type: String,
    /// The guests it is about.
    pub resources: BTreeSet<Vmid>,
    /// The nodes it names.
    pub nodes: BTreeSet<NodeName>,
    /// Only those nodes may be used.
    pub strict: bool,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Every option, raw.
    pub options: Section,
}

/// One line of the access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// The path it is about (`/vms/104`).
    pub path: String,
    /// `user`, `group` or `token`.
    pub subject_type: String,
    /// Who.
    pub subject: String,
    /// The role given.
    pub role: String,
    /// Whether it holds below the path too.
    pub propagate: bool,
}
