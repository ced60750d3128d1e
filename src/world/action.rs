//! Everything Bailiwick can do to a cluster, as data. An action is what a step of a plan does, what `world::predict` predicts, and
//! what the executor sends; it holds every choice already made (VMIDs, nodes, targets), so that nobody chooses later.

mod account;
pub mod firewall;

use std::collections::{BTreeMap, BTreeSet};

pub use account::AccountAction;
use serde::{Deserialize, Serialize};

use crate::document::desired::{ImageSource, SecretRef};
use crate::ids::{
    BackupJobId, Bytes, GuestKind, NodeName, PoolId, ReplicationJobId, Slot, SnapshotName,
    StorageId, Vmid, VolumeId,
};

pub use firewall::{Element, FirewallAction, RuleList, Site};

/// One parameter of an API call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Param {
    /// The value as it is sent.
    Plain(String),
    /// A secret: resolved when it is sent. The fingerprint (HMAC-SHA256 under the ledger's key, hex) tells whether it changed.
    Secret {
        /// Where it is to be found.
        from: SecretRef,
        /// The keyed fingerprint of the value the plan was made with.
        fingerprint: String,
    },
}

/// The parameters of an API call, by name.
pub type Params = BTreeMap<String, Param>;

/// How a guest's power changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PowerAction {
    /// Start it; everything pending is applied.
    Start,
    /// Ask the guest to shut down; after the time-out (seconds) the task fails, nothing is forced.
    Shutdown {
        /// Seconds to wait.
        timeout: u32,
    },
    /// Pull the plug.
    Stop,
    /// Shut down and start again (applies everything pending); seconds to wait for the shutdown.
    Reboot {
        /// Seconds to wait.
        timeout: u32,
    },
}

/// One thing to do. Each is a few API calls that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
#[allow(missing_docs)] // the fields are Proxmox VE's own parameters; what is not plain is said at the variant
pub enum Action {
    /// Create a guest, stopped. `params` holds every parameter of the POST but `vmid` and `pool`; new disks are `STORAGE:SIZE` in GiB.
    #[serde(rename_all = "camelCase")]
    CreateGuest {
        kind: GuestKind,
        vmid: Vmid,
        node: NodeName,
        pool: Option<PoolId>,
        params: Params,
    },
    /// Clone a guest of the same kind, on the node it is on; the clone does not run. With `full` the volumes are copied, otherwise they
    /// stand on the base volumes of the source, a template. With `snapshot` settings and volumes are as they were in it.
    #[serde(rename_all = "camelCase")]
    CloneGuest {
        kind: GuestKind,
        vmid: Vmid,
        source: Vmid,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<SnapshotName>,
        node: NodeName,
        pool: Option<PoolId>,
        name: String,
        full: bool,
        storage: Option<StorageId>,
        format: Option<String>,
    },
    /// Restore a guest from a backup under a number that is free; it does not run. `config` is the configuration in the backup, as it
    /// was read when the plan was made: it is not sent, but says what will be there. With `unique` the MAC addresses and the uuid are
    /// new ones. Without `storage` each volume goes to where it was.
    #[serde(rename_all = "camelCase")]
    RestoreGuest {
        kind: GuestKind,
        vmid: Vmid,
        node: NodeName,
        pool: Option<PoolId>,
        archive: VolumeId,
        storage: Option<StorageId>,
        unique: bool,
        config: BTreeMap<String, String>,
    },
    /// Turn a stopped guest into a template, for good.
    #[serde(rename_all = "camelCase")]
    ConvertToTemplate { kind: GuestKind, vmid: Vmid },
    /// Make a virtual machine's cloud-init drive anew from its configuration.
    #[serde(rename_all = "camelCase")]
    RegenerateCloudInit { vmid: Vmid },
    /// Set and delete configuration keys. Never deletes a disk slot and never writes `STORAGE:SIZE` into a used one.
    #[serde(rename_all = "camelCase")]
    UpdateConfig {
        kind: GuestKind,
        vmid: Vmid,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Grow a disk to an absolute size.
    #[serde(rename_all = "camelCase")]
    ResizeDisk {
        kind: GuestKind,
        vmid: Vmid,
        slot: Slot,
        from: Bytes,
        to: Bytes,
    },
    /// Move a volume to another storage in the same slot and delete the source volume.
    #[serde(rename_all = "camelCase")]
    MoveDisk {
        kind: GuestKind,
        vmid: Vmid,
        slot: Slot,
        volume: VolumeId,
        to: StorageId,
        format: Option<String>,
    },
    /// Take a volume out of its slot; it is kept as `unusedN`.
    #[serde(rename_all = "camelCase")]
    DetachDisk {
        kind: GuestKind,
        vmid: Vmid,
        slot: Slot,
        volume: VolumeId,
    },
    /// Free an `unusedN` volume for good.
    #[serde(rename_all = "camelCase")]
    FreeDisk {
        kind: GuestKind,
        vmid: Vmid,
        slot: Slot,
        volume: VolumeId,
    },
    /// Start, shut down, stop or reboot a guest that HA does not manage.
    #[serde(rename_all = "camelCase")]
    SetPower {
        kind: GuestKind,
        vmid: Vmid,
        power: PowerAction,
    },
    /// Request a state of an HA resource (`started`, `stopped`), and wait until the guest has it.
    #[serde(rename_all = "camelCase")]
    SetHaState {
        kind: GuestKind,
        vmid: Vmid,
        state: String,
        before: String,
    },
    /// Take a guest out of HA.
    #[serde(rename_all = "camelCase")]
    RemoveHaResource { kind: GuestKind, vmid: Vmid },
    /// Move a guest to another node. A running container is restarted by it.
    #[serde(rename_all = "camelCase")]
    Migrate {
        kind: GuestKind,
        vmid: Vmid,
        from: NodeName,
        to: NodeName,
        running: bool,
        with_local_disks: bool,
        target_storage: BTreeMap<StorageId, StorageId>,
    },
    /// Destroy a stopped guest with its volumes; with `purge` also its HA, replication and backup-job entries.
    #[serde(rename_all = "camelCase")]
    DestroyGuest {
        kind: GuestKind,
        vmid: Vmid,
        purge: bool,
    },
    /// Define a storage.
    #[serde(rename_all = "camelCase")]
    CreateStorage {
        id: StorageId,
        storage_type: String,
        params: Params,
    },
    /// Change a storage's definition.
    #[serde(rename_all = "camelCase")]
    UpdateStorage {
        id: StorageId,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Remove a storage's definition; what lies on it stays where it is.
    #[serde(rename_all = "camelCase")]
    DeleteStorage { id: StorageId },
    /// Delete one volume.
    #[serde(rename_all = "camelCase")]
    DeleteVolume { node: NodeName, volume: VolumeId },
    /// Download a file to a storage; one that is there is never overwritten.
    #[serde(rename_all = "camelCase")]
    DownloadImage {
        node: NodeName,
        volume: VolumeId,
        source: ImageSource,
    },
    /// Delete a file that was downloaded; `source` is where it came from, if that is known.
    #[serde(rename_all = "camelCase")]
    DeleteImage {
        node: NodeName,
        volume: VolumeId,
        source: Option<ImageSource>,
    },
    /// Make a pool.
    #[serde(rename_all = "camelCase")]
    CreatePool { id: PoolId, comment: Option<String> },
    /// Change a pool's comment and members. `guests_add` may take guests out of other pools (`allow-move`).
    #[serde(rename_all = "camelCase")]
    UpdatePool {
        id: PoolId,
        comment: Option<String>,
        guests_add: BTreeSet<Vmid>,
        guests_remove: BTreeSet<Vmid>,
        storages_add: BTreeSet<StorageId>,
        storages_remove: BTreeSet<StorageId>,
    },
    /// Remove an empty pool.
    #[serde(rename_all = "camelCase")]
    DeletePool { id: PoolId },
    /// Make a backup job. `params` holds every parameter of the POST but `id`.
    #[serde(rename_all = "camelCase")]
    CreateBackupJob { id: BackupJobId, params: Params },
    /// Change a backup job's options.
    #[serde(rename_all = "camelCase")]
    UpdateBackupJob {
        id: BackupJobId,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Remove a backup job; the backups it made stay.
    #[serde(rename_all = "camelCase")]
    DeleteBackupJob { id: BackupJobId },
    /// Take a snapshot of a guest; with `memory` also of what a running machine has in its memory.
    #[serde(rename_all = "camelCase")]
    TakeSnapshot {
        kind: GuestKind,
        vmid: Vmid,
        name: SnapshotName,
        description: Option<String>,
        memory: bool,
    },
    /// Give a snapshot another description; an empty one is none.
    #[serde(rename_all = "camelCase")]
    DescribeSnapshot {
        kind: GuestKind,
        vmid: Vmid,
        name: SnapshotName,
        description: String,
    },
    /// Delete a snapshot; the guest and its other snapshots stay.
    #[serde(rename_all = "camelCase")]
    DeleteSnapshot {
        kind: GuestKind,
        vmid: Vmid,
        name: SnapshotName,
    },
    /// Back a stopped guest up to a storage, protected and with these notes; no other backup is removed for it.
    #[serde(rename_all = "camelCase")]
    BackUpGuest {
        kind: GuestKind,
        vmid: Vmid,
        node: NodeName,
        storage: StorageId,
        notes: String,
    },
    /// Protect a backup from being removed, or no longer.
    #[serde(rename_all = "camelCase")]
    ProtectBackup {
        node: NodeName,
        volume: VolumeId,
        protected: bool,
    },
    /// Delete one backup, which is not protected.
    #[serde(rename_all = "camelCase")]
    DeleteBackup { node: NodeName, volume: VolumeId },
    /// Make a replication job to a node. `params` holds every parameter of the POST but `id`, `type` and `target`.
    #[serde(rename_all = "camelCase")]
    CreateReplicationJob {
        id: ReplicationJobId,
        target: NodeName,
        params: Params,
    },
    /// Change a replication job's options.
    #[serde(rename_all = "camelCase")]
    UpdateReplicationJob {
        id: ReplicationJobId,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Mark a replication job for removal: the next run on the guest's node removes the copy on the target, and the job.
    #[serde(rename_all = "camelCase")]
    DeleteReplicationJob { id: ReplicationJobId },
    /// Something to do to accounts.
    Account(AccountAction),
    /// Change a firewall's configuration.
    Firewall(FirewallAction),
}

impl Action {
    /// The guest the action is about, if it is about one.
    pub fn guest(&self) -> Option<(GuestKind, Vmid)> {
        match self {
            Self::CreateGuest { kind, vmid, .. }
            | Self::CloneGuest { kind, vmid, .. }
            | Self::RestoreGuest { kind, vmid, .. }
            | Self::ConvertToTemplate { kind, vmid }
            | Self::UpdateConfig { kind, vmid, .. }
            | Self::ResizeDisk { kind, vmid, .. }
            | Self::MoveDisk { kind, vmid, .. }
            | Self::DetachDisk { kind, vmid, .. }
            | Self::FreeDisk { kind, vmid, .. }
            | Self::SetPower { kind, vmid, .. }
            | Self::SetHaState { kind, vmid, .. }
            | Self::RemoveHaResource { kind, vmid }
            | Self::Migrate { kind, vmid, .. }
            | Self::TakeSnapshot { kind, vmid, .. }
            | Self::DescribeSnapshot { kind, vmid, .. }
            | Self::DeleteSnapshot { kind, vmid, .. }
            | Self::BackUpGuest { kind, vmid, .. }
            | Self::DestroyGuest { kind, vmid, .. } => Some((*kind, *vmid)),
            Self::RegenerateCloudInit { vmid } => Some((GuestKind::Qemu, *vmid)),
            Self::CreateStorage { .. }
            | Self::UpdateStorage { .. }
            | Self::DeleteStorage { .. }
            | Self::DeleteVolume { .. }
            | Self::DownloadImage { .. }
            | Self::DeleteImage { .. }
            | Self::CreatePool { .. }
            | Self::UpdatePool { .. }
            | Self::DeletePool { .. }
            | Self::CreateBackupJob { .. }
            | Self::UpdateBackupJob { .. }
            | Self::DeleteBackupJob { .. }
            | Self::ProtectBackup { .. }
            | Self::DeleteBackup { .. }
            | Self::CreateReplicationJob { .. }
            | Self::UpdateReplicationJob { .. }
            | Self::DeleteReplicationJob { .. }
            | Self::Account(_) => None,
            Self::Firewall(action) => action.guest(),
        }
    }

    /// Whether the action can destroy data or definitions, so that identity is read again right before it.
    pub fn destructive(&self) -> bool {
        match self {
            Self::FreeDisk { .. }
            | Self::DestroyGuest { .. }
            | Self::DeleteStorage { .. }
            | Self::DeleteVolume { .. }
            | Self::DeleteImage { .. }
            | Self::DeletePool { .. }
            | Self::DeleteBackupJob { .. }
            | Self::DeleteSnapshot { .. }
            | Self::DeleteReplicationJob { .. }
            | Self::DeleteBackup { .. }
            | Self::RemoveHaResource { .. } => true,
            Self::CreateGuest { .. }
            | Self::CloneGuest { .. }
            | Self::RestoreGuest { .. }
            | Self::ConvertToTemplate { .. }
            | Self::RegenerateCloudInit { .. }
            | Self::UpdateConfig { .. }
            | Self::ResizeDisk { .. }
            | Self::MoveDisk { .. }
            | Self::DetachDisk { .. }
            | Self::SetPower { .. }
            | Self::SetHaState { .. }
            | Self::Migrate { .. }
            | Self::CreateStorage { .. }
            | Self::UpdateStorage { .. }
            | Self::CreatePool { .. }
            | Self::UpdatePool { .. }
            | Self::CreateBackupJob { .. }
            | Self::UpdateBackupJob { .. }
            | Self::TakeSnapshot { .. }
            | Self::DescribeSnapshot { .. }
            | Self::CreateReplicationJob { .. }
            | Self::DownloadImage { .. }
            | Self::BackUpGuest { .. }
            | Self::ProtectBackup { .. }
            | Self::UpdateReplicationJob { .. } => false,
            Self::Account(action) => action.destructive(),
            Self::Firewall(action) => action.destructive(),
        }
    }

    /// The word for what it does, for policy: `create`, `update`, `move`, `power`, `delete`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CreateGuest { .. }
            | Self::CloneGuest { .. }
            | Self::RestoreGuest { .. }
            | Self::CreateStorage { .. }
            | Self::CreatePool { .. }
            | Self::CreateBackupJob { .. }
            | Self::TakeSnapshot { .. }
            | Self::DownloadImage { .. }
            | Self::BackUpGuest { .. }
            | Self::CreateReplicationJob { .. } => "create",
            Self::UpdateConfig { .. }
            | Self::ConvertToTemplate { .. }
            | Self::RegenerateCloudInit { .. }
            | Self::ResizeDisk { .. }
            | Self::DetachDisk { .. }
            | Self::UpdateStorage { .. }
            | Self::UpdatePool { .. }
            | Self::UpdateBackupJob { .. }
            | Self::DescribeSnapshot { .. }
            | Self::ProtectBackup { .. }
            | Self::UpdateReplicationJob { .. } => "update",
            Self::MoveDisk { .. } | Self::Migrate { .. } => "move",
            Self::SetPower { .. } | Self::SetHaState { .. } => "power",
            Self::FreeDisk { .. }
            | Self::DestroyGuest { .. }
            | Self::DeleteStorage { .. }
            | Self::DeleteVolume { .. }
            | Self::DeleteImage { .. }
            | Self::DeletePool { .. }
            | Self::DeleteBackupJob { .. }
            | Self::DeleteSnapshot { .. }
            | Self::DeleteReplicationJob { .. }
            | Self::DeleteBackup { .. }
            | Self::RemoveHaResource { .. } => "delete",
            Self::Account(action) => action.verb(),
            Self::Firewall(action) => action.verb(),
        }
    }
}
