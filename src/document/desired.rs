//! What a valid document asks for, in the words of Proxmox VE's configuration, ready to be compared with the live cluster.
//!
//! This is the border between `document` and `plan`: every kind ends here, and the planner sees nothing else of a document.
//! A field that was not written does not appear; a field written as `null` appears as [`Wish::Remove`].

mod account;

use std::collections::{BTreeMap, BTreeSet};

pub use account::{
    DesiredAccount, DesiredGroup, DesiredRealm, DesiredRole, DesiredRule, DesiredUser,
};
use serde::{Deserialize, Serialize};

use crate::ids::{
    BackupJobId, Bytes, GuestKind, NodeName, PoolId, ReplicationJobId, Slot, SnapshotName,
    StorageId, TokenId, Vmid, VnetName, VolumeId,
};

/// What is wanted of one field: a value, or that it be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wish<T> {
    /// The field shall have this value.
    Set(T),
    /// The field shall not be set (it was written as `null`).
    Remove,
}

/// A value for one configuration key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// The whole value, as Proxmox VE writes it.
    Plain(String),
    /// Some keys of a property string; keys named in neither map are not managed and stay as they are.
    Properties {
        /// Sub-keys that shall have these values (canonical names, no aliases; Proxmox VE's own spelling).
        set: BTreeMap<String, String>,
        /// Sub-keys that shall not be set.
        remove: BTreeSet<String>,
    },
    /// A secret that is only named here; it is resolved when it is sent and never stored.
    Secret(SecretRef),
}

/// Where a secret is to be found. Never the secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretRef {
    /// A file that only its owner can read; a trailing newline is dropped.
    FromFile(String),
    /// An environment variable of the controller.
    FromEnv(String),
}

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// A virtual machine or a container.
    Guest(Box<DesiredGuest>),
    /// A storage definition.
    Storage(Box<DesiredStorage>),
    /// A pool.
    Pool(Box<DesiredPool>),
    /// A backup job.
    BackupJob(Box<DesiredBackupJob>),
    /// A snapshot of a guest.
    Snapshot(Box<DesiredSnapshot>),
    /// A replication job.
    ReplicationJob(Box<DesiredReplicationJob>),
    /// An image.
    Image(Box<DesiredImage>),
    /// A group, user, role, access rule or realm.
    Account(Box<DesiredAccount>),
    /// A token of a user.
    ApiToken(Box<DesiredApiToken>),
    /// An alias of a firewall.
    FirewallAlias(Box<DesiredFirewallAlias>),
    /// A set of addresses of a firewall.
    IpSet(Box<DesiredIpSet>),
    /// A security group.
    SecurityGroup(Box<DesiredSecurityGroup>),
    /// The options and rules of a firewall.
    Firewall(Box<DesiredFirewall>),
}

/// Whether a guest shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// The guest shall run.
    Running,
    /// The guest shall be stopped.
    Stopped,
}

/// What a `VirtualMachine` or `Container` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredGuest {
    /// Which of the two kinds.
    pub kind: GuestKind,
    /// The VMID, if the document names one; otherwise the object is found by ownership, or a VMID is allocated.
    pub vmid: Option<Vmid>,
    /// The name (VM) or host name (container) to give if the guest has to be created and `options` names none.
    pub name_on_create: String,
    /// The node the guest shall be on, if that is managed.
    pub node: Option<NodeName>,
    /// The nodes the guest may be on, if that is managed instead of one node.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<NodeName>,
    /// For a migration: where the volumes on a storage go, by the storage they lie on. It is no state of the guest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target_storage: BTreeMap<StorageId, StorageId>,
    /// The pool the guest shall be a member of, if that is managed.
    pub pool: Option<Wish<PoolId>>,
    /// Whether the guest shall run, if that is managed.
    pub power: Option<Power>,
    /// Every configuration key but the disks: `cores`, `memory`, `net0`, `agent`, `tags`, …
    pub options: BTreeMap<String, Wish<Value>>,
    /// The disks, CD drives, EFI and TPM volumes, root file system and mount points.
    pub disks: BTreeMap<Slot, Wish<DesiredDisk>>,
    /// The guest that a guest which has to be made is cloned from, instead of being made empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_from: Option<DesiredClone>,
    /// The backup that a guest which has to be made is restored from, instead of being made empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_from: Option<DesiredRestore>,
    /// Whether the guest shall be a template, if that is managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<bool>,
    /// Parameters that count only when the guest is created (`ostemplate`, `unprivileged`, `ssh-public-keys`, …).
    pub create_only: BTreeMap<String, Value>,
}

/// What a new guest is cloned from, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredClone {
    /// The guest's number; without it `name` says which guest.
    pub vmid: Option<Vmid>,
    /// The guest's name in Proxmox VE.
    pub name: Option<String>,
    /// The snapshot that is cloned, if not the guest as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotName>,
    /// Whether its volumes are copied; `None` leaves it to what the source is: a template is linked to, anything else copied.
    pub full: Option<bool>,
    /// Where the copies go; without it each lies where its original does.
    pub storage: Option<StorageId>,
    /// The format of the copies.
    pub format: Option<String>,
}

/// What a new guest is restored from, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRestore {
    /// The backup.
    pub volume: VolumeId,
    /// Where all volumes go; without it each goes to where it was.
    pub storage: Option<StorageId>,
    /// Whether it gets MAC addresses and a uuid of its own.
    pub unique: bool,
}

/// What stands in a disk slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Media {
    /// A volume with data: disk, EFI variables, TPM state, root file system, mount point.
    Disk,
    /// A CD drive, with or without a medium.
    Cdrom,
    /// A cloud-init drive, which Proxmox VE makes anew at will.
    CloudInit,
}

/// What is asked for one disk slot. Fields left `None` are not managed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredDisk {
    /// What the slot holds.
    pub media: Media,
    /// The storage the volume shall lie on. Another one than now means a move, never a new volume.
    pub storage: Option<StorageId>,
    /// The size. Greater than now means growing; smaller is refused.
    pub size: Option<Bytes>,
    /// The volume's format (`raw`, `qcow2`, …), for creation and moves.
    pub format: Option<String>,
    /// An existing volume to attach, or the medium of a CD drive (`None` with `media` `Cdrom`: an empty drive when set explicitly by `empty`).
    pub volume: Option<VolumeId>,
    /// A volume whose data a new disk starts with; counts only when the disk is made, never for a volume that is there.
    pub import_from: Option<VolumeId>,
    /// A CD drive that shall be empty.
    pub empty: bool,
    /// Options of the slot (`cache`, `iothread`, `mp`, …), canonical names.
    pub options: BTreeMap<String, String>,
    /// Options of the slot that shall not be set.
    pub remove_options: BTreeSet<String>,
}

/// What a `Storage` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredStorage {
    /// The storage's id.
    pub id: StorageId,
    /// Its type (`dir`, `zfspool`, …); `None` where the document manages only some options of an existing storage.
    pub storage_type: Option<String>,
    /// Every other option under Proxmox VE's own name (`path`, `content`, `nodes`, `disable`, …); lists comma-joined and sorted.
    pub options: BTreeMap<String, Wish<Value>>,
}

/// What a `Pool` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredPool {
    /// The pool's id.
    pub id: PoolId,
    /// The comment, if managed.
    pub comment: Option<Wish<String>>,
    /// The exact set of member guests, if managed.
    pub guests: Option<BTreeSet<Vmid>>,
    /// The exact set of member storages, if managed.
    pub storages: Option<BTreeSet<StorageId>>,
}

/// What a `BackupJob` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredBackupJob {
    /// The job's id.
    pub id: BackupJobId,
    /// Every option under Proxmox VE's own name (`schedule`, `storage`, `vmid`, `prune-backups`, …); lists comma-joined, the patterns of
    /// `exclude-path` one a line.
    pub options: BTreeMap<String, Wish<Value>>,
}

/// What an `ApiToken` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredApiToken {
    /// The token.
    pub id: TokenId,
    /// Whether it has only what is given to itself, if that is managed.
    pub separated: Option<bool>,
    /// Seconds since 1970 after which it is refused, 0 for never; if that is managed.
    pub expires: Option<i64>,
    /// The comment, if that is managed.
    pub comment: Option<Wish<String>>,
    /// Where its secret goes if it has to be made. Never compared with anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
}

/// What a `Snapshot` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredSnapshot {
    /// The guest.
    pub vmid: Vmid,
    /// The snapshot's name.
    pub name: SnapshotName,
    /// The description, if managed; never an empty text.
    pub description: Option<Wish<String>>,
    /// Whether the memory is to be in it, if that matters.
    pub memory: Option<bool>,
    /// How many seconds it is kept after it was taken, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<u64>,
}

/// What a `ReplicationJob` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredReplicationJob {
    /// The job's id, which begins with the guest's VMID.
    pub id: ReplicationJobId,
    /// The node the guest's disks are copied to, if the document says it.
    pub target: Option<NodeName>,
    /// Every option under Proxmox VE's own name (`schedule`, `disable`, `rate`, `comment`).
    pub options: BTreeMap<String, Wish<Value>>,
}

/// What an `Image` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredImage {
    /// The file: `STORAGE:CONTENT/FILENAME`.
    pub volume: VolumeId,
    /// The node that shall have it or download it, if the document says it.
    pub node: Option<NodeName>,
    /// Where it comes from.
    pub source: ImageSource,
}

/// What a `FirewallAlias` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredFirewallAlias {
    /// The guest whose firewall has it; otherwise the datacenter's.
    pub guest: Option<Vmid>,
    /// Its name, in lower case.
    pub name: String,
    /// The address or network.
    pub cidr: String,
    /// The comment, if managed; never an empty text.
    pub comment: Option<Wish<String>>,
}

/// What an `IpSet` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredIpSet {
    /// The guest whose firewall has it; otherwise the datacenter's.
    pub guest: Option<Vmid>,
    /// Its name, in lower case.
    pub name: String,
    /// The comment, if managed; never an empty text.
    pub comment: Option<Wish<String>>,
    /// Exactly what shall be in it, if managed.
    pub entries: Option<Vec<SetElement>>,
}

/// What a `SecurityGroup` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredSecurityGroup {
    /// Its name, in lower case.
    pub name: String,
    /// The comment, if managed; never an empty text.
    pub comment: Option<Wish<String>>,
    /// Its rules in order, each its fields under Proxmox VE's names, if the whole list is managed.
    pub rules: Option<Vec<BTreeMap<String, String>>>,
    /// The block of its rules that is managed, if only that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<DesiredBlock>,
}

/// A block of a list of rules that people share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredBlock {
    /// The name that its markers carry.
    pub name: String,
    /// Whether it comes in before all other rules while it is not there; behind them otherwise.
    pub at_top: bool,
    /// The rules between the markers, in order, each its fields under Proxmox VE's names.
    pub rules: Vec<BTreeMap<String, String>>,
}

/// Whose firewall it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirewallScope {
    /// The datacenter's.
    Cluster,
    /// A node's.
    Node(NodeName),
    /// A guest's.
    Guest(Vmid),
    /// A vnet's.
    Vnet(VnetName),
}

/// What a `Firewall` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredFirewall {
    /// Whose it is.
    pub scope: FirewallScope,
    /// Every option under Proxmox VE's own name.
    pub options: BTreeMap<String, Wish<Value>>,
    /// Its rules in order, each its fields under Proxmox VE's names, if the whole list is managed.
    pub rules: Option<Vec<BTreeMap<String, String>>>,
    /// The block of its rules that is managed, if only that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<DesiredBlock>,
}

/// An element of a set of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetElement {
    /// The address, network, or name of an alias.
    pub cidr: String,
    /// Whether it is left out of what else is in the set.
    pub nomatch: bool,
    /// The comment; never an empty text.
    pub comment: Option<String>,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageSource {
    /// A server, by address and checksum.
    Url(Download),
    /// A container registry. Which image a tag means today only the registry knows, and Proxmox VE asks for no digest.
    Registry(Pull),
}

impl ImageSource {
    /// Where it comes from, in a word: the address, or the reference.
    pub fn place(&self) -> &str {
        match self {
            Self::Url(download) => &download.url,
            Self::Registry(pull) => &pull.reference,
        }
    }
}

/// An image of a container registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pull {
    /// The reference, with its tag: `docker.io/library/nginx:1.29`.
    pub reference: String,
}

/// A file of a server, and how it is told from any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Download {
    /// The address.
    pub url: String,
    /// How the checksum is made: `md5`, `sha1`, `sha224`, `sha256`, `sha384`, `sha512`.
    pub algorithm: String,
    /// The checksum of what is downloaded, in lower-case hexadecimal digits.
    pub checksum: String,
    /// How it is decompressed after that: `gz`, `lzo`, `zst`.
    pub decompression: Option<String>,
    /// Whether the server's certificate is verified.
    pub verify_certificates: bool,
}
