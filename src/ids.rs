//! Identities: the names things have in a Proxmox VE cluster, as types, so that a storage can never be handed over where a node
//! is meant, and sizes, so that a number of bytes is never a bare integer. Nothing here reads or decides anything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a valid identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {expected}")]
pub struct InvalidId {
    /// What was meant: `VMID`, `node name`, …
    pub what: &'static str,
    /// The offending text.
    pub text: String,
    /// What would have been valid, in words.
    pub expected: &'static str,
}

/// The cluster-wide number of a guest, 100 to 999999999 (Proxmox VE: `pve-vmid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(u32);

impl Vmid {
    /// The least VMID Proxmox VE accepts.
    pub const MIN: u32 = 100;
    /// The greatest VMID Proxmox VE accepts.
    pub const MAX: u32 = 999_999_999;

    /// A VMID, if the number is within bounds.
    pub fn new(number: u32) -> Result<Self, InvalidId> {
        if (Self::MIN..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidId {
                what: "VMID",
                text: number.to_string(),
                expected: "a whole number from 100 to 999999999",
            })
        }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vmid {
    type Error = InvalidId;
    fn try_from(number: u32) -> Result<Self, InvalidId> {
        Self::new(number)
    }
}

impl From<Vmid> for u32 {
    fn from(vmid: Vmid) -> u32 {
        vmid.0
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Vmid {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "VMID",
            text: text.to_owned(),
            expected: "a whole number from 100 to 999999999",
        };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        text.parse().map_err(|_| invalid()).and_then(Self::new)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The name, if it is valid.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { what: $what, text: text.to_owned(), expected: $expected })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

mod accounts;

pub use accounts::{AclPath, AclRuleId, AclSubject, GroupId, RealmId, RoleId, TokenId, UserId};

fn word(text: &str, extra: &[u8], min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len())
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

name!(
    /// A cluster as the operator named it in Bailiwick's configuration.
    ClusterName,
    "cluster name",
    "letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 63 characters",
    |t| word(t, b"-_.", 1, 63)
);
name!(
    /// A cluster node's host name (Proxmox VE: `pve-node`).
    NodeName,
    "node name",
    "letters, digits and `-`, beginning with a letter or digit, at most 63 characters",
    |t| word(t, b"-", 1, 63)
);
name!(
    /// A vnet of SDN (Proxmox VE: `pve-sdn-vnet-id`).
    VnetName,
    "vnet name",
    "letters and digits, beginning with a letter, 2 to 8 characters",
    |t| word(t, b"", 2, 8) && t.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
);
name!(
    /// A storage's id in `storage.cfg` (Proxmox VE: `pve-storage-id`).
    StorageId,
    "storage id",
    "letters, digits, `-`, `_` and `.`, beginning with a letter, at least two characters",
    |t| word(t, b"-_.", 2, 100) && t.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && t.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
);
name!(
    /// A pool's id, nested up to three levels with `/` (Proxmox VE: `pve-poolid`).
    PoolId,
    "pool id",
    "one to three parts of letters, digits, `-`, `_` and `.`, joined by `/`",
    |t| t.split('/').count() <= 3
        && t.split('/').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
);
name!(
    /// A backup job's id in `jobs.cfg` (Proxmox VE: `pve-configid`, at most 50 characters).
    BackupJobId,
    "backup job id",
    "letters, digits, `-` and `_`, beginning with a letter, 2 to 50 characters",
    |t| word(t, b"-_", 2, 50) && t.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
);
name!(
    /// A snapshot's name (Proxmox VE: `pve-configid`, at most 40 characters; `current` and `pending` are reserved).
    SnapshotName,
    "snapshot name",
    "letters, digits, `-` and `_`, beginning with a letter, 2 to 40 characters, not `current` or `pending`",
    |t| word(t, b"-_", 2, 40) && t.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && !["current", "pending"].contains(&t)
);
name!(
    /// A replication job's id in `replication.cfg`: the guest and a number of the job (Proxmox VE: `pve-replication-job-id`).
    ReplicationJobId,
    "replication job id",
    "a VMID and a number of at most nine digits, joined by `-`, such as `104-0`",
    |t| t.split_once('-').is_some_and(|(vmid, number)| {
        !vmid.starts_with('0')
            && vmid.parse::<Vmid>().is_ok()
            && (1..=9).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
);

impl ReplicationJobId {
    /// The guest that the job copies.
    pub fn guest(&self) -> Option<Vmid> {
        self.0.split('-').next()?.parse().ok()
    }
}

name!(
    /// The place of a device in a guest's configuration: `scsi0`, `net1`, `rootfs`, `mp3`, `unused0`, …
    Slot,
    "slot",
    "a configuration key such as `scsi0`, `net1`, `rootfs` or `mp3`",
    |t| word(t, b"", 2, 24) && t.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
);

/// The two kinds of guest of Proxmox VE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// A virtual machine, `qemu` in the API, `vm/104` in Bailiwick's words.
    Qemu,
    /// A container, `lxc` in the API, `ct/301` in Bailiwick's words.
    Lxc,
}

impl GuestKind {
    /// The path component of the API: `qemu` or `lxc`.
    pub fn api(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// The short word of Bailiwick's entities: `vm` or `ct`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Qemu => "vm",
            Self::Lxc => "ct",
        }
    }
}

/// A volume's id as Proxmox VE writes it: `STORAGE:NAME`, e.g. `local-zfs:vm-104-disk-0` or `local:iso/debian.iso`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId {
    storage: StorageId,
    name: std::sync::Arc<str>,
}

impl VolumeId {
    /// A volume id from its parts.
    pub fn new(storage: StorageId, name: impl AsRef<str>) -> Self {
        Self {
            storage,
            name: name.as_ref().into(),
        }
    }

    /// The storage the volume lies on.
    pub fn storage(&self) -> &StorageId {
        &self.storage
    }

    /// What follows the storage's id and the colon.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.storage, self.name)
    }
}

impl FromStr for VolumeId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "volume id",
            text: text.to_owned(),
            expected: "`STORAGE:NAME`, such as `local-zfs:vm-104-disk-0`",
        };
        let (storage, name) = text.split_once(':').ok_or_else(invalid)?;
        if name.is_empty() {
            return Err(invalid());
        }
        Ok(Self::new(
            StorageId::new(storage).map_err(|_| invalid())?,
            name,
        ))
    }
}

impl TryFrom<String> for VolumeId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<VolumeId> for String {
    fn from(volume: VolumeId) -> String {
        volume.to_string()
    }
}

/// A number of bytes. Parsed and printed in Proxmox VE's own way by `proxmox::size`, for people by [`Bytes::human`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// One kibibyte.
    pub const KIB: u64 = 1 << 10;
    /// One mebibyte.
    pub const MIB: u64 = 1 << 20;
    /// One gibibyte.
    pub const GIB: u64 = 1 << 30;
    /// One tebibyte.
    pub const TIB: u64 = 1 << 40;

    /// For people: the greatest unit with at most one decimal, `32 GiB`, `1.5 TiB`.
    pub fn human(self) -> String {
        let units = [
            (Self::TIB, "TiB"),
            (Self::GIB, "GiB"),
            (Self::MIB, "MiB"),
            (Self::KIB, "KiB"),
        ];
        for (unit, name) in units {
            if self.0 >= unit {
                let tenths = (u128::from(self.0) * 10 + u128::from(unit) / 2) / u128::from(unit);
                return if tenths % 10 == 0 {
                    format!("{} {name}", tenths / 10)
                } else {
                    format!("{}.{} {name}", tenths / 10, tenths % 10)
                };
            }
        }
        format!("{} B", self.0)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.human())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn vmid_has_proxmox_bounds() {
        assert!(Vmid::new(99).is_err());
        assert_eq!(Vmid::new(100).unwrap().get(), 100);
        assert!("1e3".parse::<Vmid>().is_err());
        assert!("1000000000".parse::<Vmid>().is_err());
    }

    #[test]
    fn names_refuse_what_proxmox_refuses() {
        assert!(StorageId::new("x").is_err());
        assert!(StorageId::new("local-zfs").is_ok());
        assert!(StorageId::new("a:b").is_err());
        assert!(PoolId::new("a/b/c/d").is_err());
        assert!(PoolId::new("prod/web").is_ok());
        assert!(NodeName::new("pve1\n").is_err());
    }

    #[test]
    fn volume_ids_round_trip() {
        let volume: VolumeId = "local:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2"
            .parse()
            .unwrap();
        assert_eq!(volume.storage().as_str(), "local");
        assert_eq!(volume.to_string().parse::<VolumeId>().unwrap(), volume);
        assert!("none".parse::<VolumeId>().is_err());
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(Bytes(32 * Bytes::GIB).human(), "32 GiB");
        assert_eq!(Bytes(Bytes::TIB + Bytes::TIB / 2).human(), "1.5 TiB");
        assert_eq!(Bytes(512).human(), "512 B");
    }
}
