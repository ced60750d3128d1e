//! What a new guest is restored from; the same for virtual machines and containers.

use super::desired::DesiredRestore;
use super::options::options;
use crate::ids::{GuestKind, StorageId, VolumeId};

options! {
    /// The backup a new guest is restored from. Counts only when the guest is made: one that is there is never overwritten.
    pub struct RestoreFrom {
        /// The backup, `STORAGE:backup/NAME`. Always to be written.
        volume: Option<VolumeId> = "" by hand,
        /// The storage that all volumes go to. Where it is not written each volume of a virtual machine goes to where it was; a
        /// container needs it.
        storage: Option<StorageId> = "" by hand,
        /// Whether it gets new MAC addresses and a new uuid instead of those in the backup, so that it can run beside the guest it
        /// was. Default `false`.
        unique: Option<bool> = "" by hand,
    }
}

impl RestoreFrom {
    /// What this asks for; `None` where no backup is named.
    pub fn desired(&self) -> Option<DesiredRestore> {
        Some(DesiredRestore {
            volume: self.volume.clone()?,
            storage: self.storage.clone(),
            unique: self.unique.unwrap_or(false),
        })
    }
}

/// The kind of guest that a backup is of, by its name: `backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst`, and on a Proxmox Backup
/// Server `backup/ct/301/2026-11-01T02:00:00Z`. `None` if it is no backup's name.
pub fn backup_kind(volume: &VolumeId) -> Option<GuestKind> {
    let name = volume.name().strip_prefix("backup/")?;
    let begins = |prefixes: [&str; 2]| {
        prefixes.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        })
    };
    if begins(["vzdump-qemu-", "vm/"]) {
        Some(GuestKind::Qemu)
    } else if begins(["vzdump-lxc-", "ct/"]) {
        Some(GuestKind::Lxc)
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_backups_name_says_of_which_kind_it_is() {
        for (name, kind) in [
            (
                "vault:backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst",
                Some(GuestKind::Qemu),
            ),
            (
                "pbs:backup/vm/104/2026-11-01T02:00:00Z",
                Some(GuestKind::Qemu),
            ),
            (
                "vault:backup/vzdump-lxc-301-2026_11_01-03_00_00.tar.zst",
                Some(GuestKind::Lxc),
            ),
            (
                "pbs:backup/ct/301/2026-11-01T02:00:00Z",
                Some(GuestKind::Lxc),
            ),
            ("pbs:backup/host/pve1/2026-11-01T02:00:00Z", None),
            ("local:iso/debian.iso", None),
            ("local-zfs:vm-104-disk-0", None),
        ] {
            let volume: VolumeId = name.parse().unwrap();
            assert_eq!(backup_kind(&volume), kind, "{name}");
        }
    }
}
