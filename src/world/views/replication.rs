//! What the options of a replication job say, and which of a guest's disks it copies.

use crate::ids::{GuestKind, NodeName, Vmid};
use crate::proxmox::property::{Domain, boolean, equivalent, is_true};
use crate::world::model::{Guest, ReplicationJob, Section, Storage};

use super::{Disk, disk, disks};

impl ReplicationJob {
    /// A job from its options, as Proxmox VE gives them.
    pub fn of(guest: Vmid, target: NodeName, removing: bool, options: Section) -> Self {
        let disabled = options.get("disable").and_then(|text| boolean(text));
        Self {
            guest,
            target,
            disabled: disabled.unwrap_or(false),
            removing,
            options,
        }
    }
}

/// What Proxmox VE takes for granted where an option of a replication job is not set.
fn replication_default(key: &str) -> Option<&'static str> {
    match key {
        "disable" => Some("0"),
        "schedule" => Some("*/15"),
        _ => None,
    }
}

/// Whether two values of an option of a replication job mean the same, what is not set meaning what Proxmox VE takes for granted.
pub fn same_replication_option(key: &str, a: Option<&str>, b: Option<&str>) -> bool {
    match (
        a.or(replication_default(key)),
        b.or(replication_default(key)),
    ) {
        (Some(a), Some(b)) => equivalent(Domain::ReplicationJob, key, a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The disks of a guest that replication copies: those that are attached and do not say `replicate=0`.
pub fn replicated_disks(guest: &Guest) -> Vec<Disk> {
    let all = disks(guest.kind, &guest.config.current).into_iter();
    all.filter(is_replicated).collect()
}

/// The disk of a value, if a replication job would copy it.
pub fn replicated_disk(kind: GuestKind, slot: &str, value: &str) -> Option<Disk> {
    disk(kind, slot, value).filter(is_replicated)
}

fn is_replicated(disk: &Disk) -> bool {
    let wanted = disk.options.get("replicate").is_none_or(|v| is_true(v));
    wanted && !disk.unused()
}

/// Whether the volumes of a storage can be copied by replication, or need not be (pve-storage: only ZFS pools replicate).
pub fn replicates(storage: &Storage) -> bool {
    storage.shared || storage.storage_type == "zfspool"
}
