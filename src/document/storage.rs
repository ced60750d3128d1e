//! The kind `Storage`: a definition in `storage.cfg`, with the options of every type.

use super::desired::{DesiredStorage, SecretRef, Value, Wish};
use super::options::{
    ExtraConfig, Field, Group, List, Set, ToValue, collect, options, property_strings, words,
};
use super::scalar::{AbsolutePath, Bare, BlockSize, DnsName, Fingerprint, Host, MappingId, Portal};
use crate::ids::{NodeName, StorageId, VolumeId};

words! {
    /// The type of a storage. It cannot change.
    pub enum StorageType { Btrfs = "btrfs", Cephfs = "cephfs", Cifs = "cifs", Dir = "dir", Esxi = "esxi", Iscsi = "iscsi",
        Iscsidirect = "iscsidirect", Lvm = "lvm", Lvmthin = "lvmthin", Nfs = "nfs", Pbs = "pbs", Rbd = "rbd", Zfs = "zfs", Zfspool = "zfspool" }
}
words! {
    /// What a storage may hold.
    pub enum Content { Images = "images", Rootdir = "rootdir", Iso = "iso", Vztmpl = "vztmpl", Backup = "backup", Snippets = "snippets",
        Import = "import", None = "none" }
}
words! {
    /// The format of new images.
    pub enum ImageFormat { Raw = "raw", Qcow2 = "qcow2", Subvol = "subvol", Vmdk = "vmdk" }
}
words! {
    /// How space is allocated in advance.
    pub enum Preallocation { Off = "off", Metadata = "metadata", Falloc = "falloc", Full = "full" }
}
words! {
    /// The version of the SMB protocol.
    pub enum SmbVersion { Default = "default", V20 = "2.0", V21 = "2.1", V3 = "3", V30 = "3.0", V311 = "3.11" }
}
words! {
    /// The iSCSI target's implementation, for ZFS over iSCSI.
    pub enum IscsiProvider { Comstar = "comstar", Istgt = "istgt", Iet = "iet", Lio = "LIO" }
}

/// Whether a path is a mount point: Proxmox VE takes `yes`, `no`, or the mount point's path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MountPointCheck(pub String);

impl schemars::JsonSchema for MountPointCheck {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MountPointCheck".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1})
    }
}

impl ToValue for MountPointCheck {
    fn to_value(&self) -> Value {
        Value::Plain(self.0.clone())
    }
}

options! {
    /// How many backups are kept. All counts are of backups of one guest.
    pub struct PruneBackups {
        /// Whether all are kept; then no other count may be written.
        keep_all: Field<bool> = "keep-all",
        /// The last ones.
        keep_last: Field<u32> = "keep-last",
        /// One of each of the last hours.
        keep_hourly: Field<u32> = "keep-hourly",
        /// One of each of the last days.
        keep_daily: Field<u32> = "keep-daily",
        /// One of each of the last weeks.
        keep_weekly: Field<u32> = "keep-weekly",
        /// One of each of the last months.
        keep_monthly: Field<u32> = "keep-monthly",
        /// One of each of the last years.
        keep_yearly: Field<u32> = "keep-yearly",
    }
}

impl PruneBackups {
    /// The counts, under Proxmox VE's names.
    pub const COUNTS: [&'static str; 6] = [
        "keep-last",
        "keep-hourly",
        "keep-daily",
        "keep-weekly",
        "keep-monthly",
        "keep-yearly",
    ];
}

options! {
    /// Limits of bandwidth in KiB a second.
    pub struct BandwidthLimit {
        /// Everything that has no limit of its own.
        default: Field<u64> = "default",
        /// Cloning disks.
        clone: Field<u64> = "clone",
        /// Migrating guests.
        migration: Field<u64> = "migration",
        /// Moving disks.
        r#move: Field<u64> = "move",
        /// Restoring backups.
        restore: Field<u64> = "restore",
    }
}
property_strings!(PruneBackups, BandwidthLimit);

options! {
    /// How a storage shall be defined. What is not written is not managed; `null` asks for a setting's removal.
    pub struct StorageSpec {
        /// The storage's id, where it is not the document's name.
        id: Option<StorageId> = "storage" by hand,
        /// The type. It cannot change; a storage that has to be made needs it.
        r#type: Option<StorageType> = "type" by hand,
        /// What the storage may hold. Taking one away stops guests that use it from starting, but removes no volume.
        content: Field<Set<Content, ','>> = "content",
        /// The nodes that have the storage; all where this is not set.
        nodes: Field<Set<NodeName, ','>> = "nodes",
        /// Whether the storage is switched off. Default `false`.
        disable: Field<bool> = "disable",
        /// Whether all nodes see the same content (it is not made shared by this). `dir`, `btrfs`, `lvm`, `esxi`.
        shared: Field<bool> = "shared",
        /// The format of new images.
        format: Field<ImageFormat> = "format",
        /// How many backups are kept.
        prune_backups: Field<PruneBackups> = "prune-backups",
        /// Greatest number of protected backups of one guest; -1 is no limit.
        #[schemars(range(min = -1))]
        max_protected_backups: Field<i32> = "max-protected-backups",
        /// Limits of bandwidth in KiB a second.
        bandwidth_limit: Field<BandwidthLimit> = "bwlimit",
        /// The directory on the node. `dir` and `btrfs` cannot change it.
        path: Field<AbsolutePath> = "path",
        /// Other directories for kinds of content, `KIND=DIRECTORY`.
        content_dirs: Field<Set<Bare, ','>> = "content-dirs",
        /// Whether the directory is made if it is missing. Default `true`.
        create_base_path: Field<bool> = "create-base-path",
        /// Whether the directories for the content are made. Default `true`.
        create_subdirs: Field<bool> = "create-subdirs",
        /// Whether directory and subdirectories are made. Proxmox VE prefers `createBasePath` and `createSubdirs`.
        mkdir: Field<bool> = "mkdir",
        /// `"yes"`, `"no"` (in quotes), or the path that has to be mounted before the storage counts as there.
        is_mountpoint: Field<MountPointCheck> = "is_mountpoint",
        /// How space for images is allocated in advance. Default `metadata`.
        preallocation: Field<Preallocation> = "preallocation",
        /// Whether snapshots are kept as chains of volumes.
        snapshot_as_volume_chain: Field<bool> = "snapshot-as-volume-chain",
        /// Whether copy-on-write is off for image files (`btrfs`), which also turns checksums off.
        nocow: Field<bool> = "nocow",
        /// The server: `nfs`, `cifs`, `pbs`, `esxi`.
        server: Field<Host> = "server",
        /// The port of the server: `pbs`, `esxi`.
        #[schemars(range(min = 1, max = 65535))]
        port: Field<u32> = "port",
        /// The exported path (`nfs`).
        export: Field<AbsolutePath> = "export",
        /// Options of mounting: `nfs`, `cifs`.
        options: Field<String> = "options",
        /// The share (`cifs`).
        share: Field<Bare> = "share",
        /// The directory of the share or file system to mount: `cifs`, `cephfs`.
        subdir: Field<AbsolutePath> = "subdir",
        /// The user: `cifs`, `pbs`, `esxi`, `rbd`, `cephfs`.
        username: Field<Bare> = "username",
        /// The password: `cifs`, `pbs`, `esxi`. It cannot be read back, so only a change of the secret's fingerprint shows.
        password_from: Field<SecretRef> = "password",
        /// The domain of the user (`cifs`).
        domain: Field<DnsName> = "domain",
        /// The version of the SMB protocol (`cifs`). Default: the best both sides know.
        smb_version: Field<SmbVersion> = "smbversion",
        /// The data store (`pbs`).
        datastore: Field<Bare> = "datastore",
        /// The name space: `pbs`, `rbd`.
        namespace: Field<Bare> = "namespace",
        /// The SHA-256 fingerprint of the server's certificate (`pbs`).
        fingerprint: Field<Fingerprint> = "fingerprint",
        /// The key backups are encrypted with (`pbs`). Without it they cannot be read: keep it elsewhere too.
        encryption_key_from: Field<SecretRef> = "encryption-key",
        /// A public RSA key that can recover the encryption key (`pbs`).
        master_public_key_from: Field<SecretRef> = "master-pubkey",
        /// Whether the server's certificate is not checked (`esxi`). Default `false`.
        skip_certificate_verification: Field<bool> = "skip-cert-verification",
        /// The volume group: `lvm`, `lvmthin`.
        volume_group: Field<Bare> = "vgname",
        /// The thin pool (`lvmthin`).
        thin_pool: Field<Bare> = "thinpool",
        /// The volume below the volume group (`lvm` on iSCSI).
        base: Field<VolumeId> = "base",
        /// Whether freed volumes are overwritten with zeroes (`lvm`).
        safe_remove: Field<bool> = "saferemove",
        /// Step of overwriting in MiB: 1, 2, 4, 8, 16 or 32 (`lvm`).
        #[schemars(range(min = 1, max = 32))]
        safe_remove_step: Field<u32> = "saferemove-stepsize",
        /// Greatest throughput of overwriting in bytes a second, with a sign as `cstream -t` takes it (`lvm`).
        safe_remove_throughput: Field<Bare> = "saferemove_throughput",
        /// Whether only volumes with Proxmox VE's tags are used (`lvm`).
        tagged_only: Field<bool> = "tagged_only",
        /// The pool: `zfspool`, `zfs`, `rbd`.
        pool: Field<Bare> = "pool",
        /// The block size of new volumes: `zfspool`, `zfs`.
        block_size: Field<BlockSize> = "blocksize",
        /// Whether volumes reserve no space: `zfspool`, `zfs`.
        sparse: Field<bool> = "sparse",
        /// The mount point of the pool (`zfspool`).
        mountpoint: Field<AbsolutePath> = "mountpoint",
        /// The iSCSI portal: `iscsi`, `iscsidirect`, `zfs`.
        portal: Field<Portal> = "portal",
        /// The iSCSI target: `iscsi`, `iscsidirect`, `zfs`.
        target: Field<Bare> = "target",
        /// The target's implementation (`zfs`).
        iscsi_provider: Field<IscsiProvider> = "iscsiprovider",
        /// The host group (`zfs` with COMSTAR).
        comstar_host_group: Field<Bare> = "comstar_hg",
        /// The target group (`zfs` with COMSTAR).
        comstar_target_group: Field<Bare> = "comstar_tg",
        /// The target portal group (`zfs` with LIO).
        lio_target_portal_group: Field<Bare> = "lio_tpg",
        /// Whether the target's write cache is off (`zfs`).
        no_write_cache: Field<bool> = "nowritecache",
        /// Where the block devices of ZFS are on the target (`zfs`).
        zfs_base_path: Field<AbsolutePath> = "zfs-base-path",
        /// The Ceph monitors: `rbd`, `cephfs`.
        monitors: Field<List<Portal, ' '>> = "monhost",
        /// The pool for data, where the pool is erasure coded (`rbd`).
        data_pool: Field<Bare> = "data-pool",
        /// Whether the kernel's driver is always used (`rbd`).
        krbd: Field<bool> = "krbd",
        /// The client's keyring: `rbd`, `cephfs`.
        keyring_from: Field<SecretRef> = "keyring",
        /// The file system (`cephfs`).
        fs_name: Field<MappingId> = "fs-name",
        /// Whether FUSE mounts the file system (`cephfs`).
        fuse: Field<bool> = "fuse",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

impl StorageType {
    /// Proxmox VE's keys that are only for this type (pve-storage's plugins); those every type has are [`COMMON_OPTIONS`].
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Dir => &[
                "path",
                "content-dirs",
                "shared",
                "format",
                "mkdir",
                "create-base-path",
                "create-subdirs",
                "is_mountpoint",
                "preallocation",
                "snapshot-as-volume-chain",
                "prune-backups",
                "max-protected-backups",
            ],
            Self::Btrfs => &[
                "path",
                "content-dirs",
                "shared",
                "format",
                "mkdir",
                "create-base-path",
                "create-subdirs",
                "is_mountpoint",
                "preallocation",
                "nocow",
                "prune-backups",
                "max-protected-backups",
            ],
            Self::Nfs => &[
                "path",
                "content-dirs",
                "server",
                "export",
                "options",
                "format",
                "mkdir",
                "create-base-path",
                "create-subdirs",
                "preallocation",
                "snapshot-as-volume-chain",
                "prune-backups",
                "max-protected-backups",
            ],
            Self::Cifs => &[
                "path",
                "content-dirs",
                "server",
                "share",
                "subdir",
                "username",
                "password",
                "domain",
                "smbversion",
                "options",
                "format",
                "mkdir",
                "create-base-path",
                "create-subdirs",
                "preallocation",
                "snapshot-as-volume-chain",
                "prune-backups",
                "max-protected-backups",
            ],
            Self::Lvm => &[
                "vgname",
                "shared",
                "base",
                "saferemove",
                "saferemove-stepsize",
                "saferemove_throughput",
                "tagged_only",
                "snapshot-as-volume-chain",
            ],
            Self::Lvmthin => &["vgname", "thinpool"],
            Self::Zfspool => &["pool", "blocksize", "sparse", "mountpoint"],
            Self::Zfs => &[
                "portal",
                "target",
                "pool",
                "blocksize",
                "iscsiprovider",
                "nowritecache",
                "sparse",
                "comstar_hg",
                "comstar_tg",
                "lio_tpg",
                "zfs-base-path",
            ],
            Self::Iscsi | Self::Iscsidirect => &["portal", "target"],
            Self::Rbd => &[
                "monhost",
                "pool",
                "data-pool",
                "namespace",
                "username",
                "krbd",
                "keyring",
            ],
            Self::Cephfs => &[
                "path",
                "content-dirs",
                "monhost",
                "subdir",
                "username",
                "mkdir",
                "create-base-path",
                "create-subdirs",
                "fuse",
                "keyring",
                "fs-name",
                "prune-backups",
                "max-protected-backups",
                "format",
            ],
            Self::Pbs => &[
                "server",
                "datastore",
                "namespace",
                "port",
                "username",
                "password",
                "encryption-key",
                "master-pubkey",
                "fingerprint",
                "prune-backups",
                "max-protected-backups",
            ],
            Self::Esxi => &[
                "shared",
                "server",
                "port",
                "username",
                "password",
                "skip-cert-verification",
            ],
        }
    }
}

/// Proxmox VE's keys that a storage of any type has.
pub const COMMON_OPTIONS: &[&str] = &["content", "nodes", "disable", "bwlimit"];

impl StorageSpec {
    /// What this asks for in Proxmox VE's words, for the storage of that id.
    pub fn desired(&self, id: StorageId) -> DesiredStorage {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        DesiredStorage {
            id,
            storage_type: self
                .r#type
                .map(|storage_type| storage_type.as_str().to_owned()),
            options: collect(wishes),
        }
    }

    /// The written options under Proxmox VE's keys, without their values.
    pub fn written_keys(&self) -> Vec<String> {
        let mut wishes: Vec<(String, Wish<Value>)> = Vec::new();
        self.write(&mut wishes);
        wishes.into_iter().map(|(key, _)| key).collect()
    }
}
