//! Safety copies: backups that a plan takes of a guest right before it destroys it. What a backup is, its notes say in a fixed form,
//! `bailiwick: safety copy of vm/104, kept for 14d`: one line, since Proxmox VE lists only the first one, and no time in it, since a
//! plan that is made again a minute later is the same plan. How old it is, the backup's own time says.

use std::fmt;

use super::model::{Section, Storage, Volume, World};
use super::predict::left_out;
use super::views::{self, Disk, Source};
use crate::ids::{Bytes, GuestKind, NodeName, StorageId, Vmid, VolumeId};
use crate::proxmox::property::is_true;

/// How the notes begin.
const BEGINS: &str = "bailiwick: safety copy of ";

/// Between the guest and how long it is kept.
const KEPT: &str = ", kept for ";

/// What the notes of a safety copy say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafetyNote {
    /// What the guest was.
    pub kind: GuestKind,
    /// Its number.
    pub vmid: Vmid,
    /// How long it is kept, in seconds: whole minutes.
    pub keep_for: u64,
}

impl fmt::Display for SafetyNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, vmid) = (self.kind.word(), self.vmid);
        write!(f, "{BEGINS}{kind}/{vmid}{KEPT}{}", age(self.keep_for))
    }
}

impl SafetyNote {
    /// Reads the notes of a backup; `None` where they are not, to the letter, those of a safety copy.
    pub fn parse(notes: &str) -> Option<Self> {
        let (guest, kept) = notes.strip_prefix(BEGINS)?.split_once(KEPT)?;
        let (kind, vmid) = guest.split_once('/')?;
        let kind = match kind {
            "vm" => GuestKind::Qemu,
            "ct" => GuestKind::Lxc,
            _ => return None,
        };
        let unit = kept.chars().last()?;
        let count: u64 = kept.strip_suffix(unit)?.parse().ok()?;
        let length = UNITS.iter().find(|(letter, _)| *letter == unit)?.1;
        let note = Self {
            kind,
            vmid: vmid.parse().ok()?,
            keep_for: count.checked_mul(length).filter(|seconds| *seconds > 0)?,
        };
        (note.to_string() == notes).then_some(note)
    }

    /// The note of a backup, if it is a safety copy of the guest that the backup is of.
    pub fn of(id: &VolumeId, volume: &Volume) -> Option<Self> {
        let note = Self::parse(volume.notes.as_deref()?)?;
        let same = volume.vmid == Some(note.vmid)
            && crate::document::restore::backup_kind(id).is_none_or(|kind| kind == note.kind);
        (volume.content == "backup" && same).then_some(note)
    }
}

const UNITS: [(char, u64); 3] = [('d', 86_400), ('h', 3_600), ('m', 60)];

/// A length of time in the greatest unit that fits: `14d`, `36h`, `90m`.
pub fn age(seconds: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, length)| seconds.is_multiple_of(*length));
    let (letter, length) = unit.copied().unwrap_or(('m', 60));
    format!("{}{letter}", seconds / length)
}

/// What a copy that is only predicted is called: its name is known when it was taken.
pub fn predicted_name(storage: &StorageId, kind: GuestKind, vmid: Vmid) -> VolumeId {
    VolumeId::new(
        storage.clone(),
        format!("backup/vzdump-{}-{vmid}-safety-copy", kind.api()),
    )
}

/// Whether what is on a storage is listed for a node, at least what the token may see of it.
pub fn listed(storage: &Storage, node: &NodeName) -> bool {
    match storage.shared {
        true => !storage.volumes.is_empty(),
        false => storage.volumes.contains_key(node),
    }
}

/// The safety copies on a storage as a node sees them, with what their notes say.
pub fn copies<'s>(
    storage: &'s Storage,
    node: &NodeName,
) -> impl Iterator<Item = (&'s VolumeId, &'s Volume, SafetyNote)> {
    let under = match storage.shared {
        true => storage.volumes.values().next(),
        false => storage.volumes.get(node),
    };
    let volumes = under.into_iter().flat_map(|volumes| volumes.iter());
    volumes.filter_map(|(id, volume)| Some((id, volume, SafetyNote::of(id, volume)?)))
}

/// The copy of a guest that an earlier step of the same plan takes, by a world that was predicted: what was read has a time.
pub fn just_taken(world: &World, vmid: Vmid) -> Option<(&VolumeId, &Volume, SafetyNote)> {
    let node = &world.guests.get(&vmid)?.node;
    let mut all = world.storages.values();
    all.find_map(|storage| {
        copies(storage, node)
            .find(|(_, volume, note)| note.vmid == vmid && volume.created.is_none())
    })
}

/// Why a volume of a guest is in none of its backups; `None` if it is in them. (vzdump: a disk of a virtual machine unless `backup=0`,
/// of a container the root file system and each mount point with `backup=1`; never what is unused.)
pub fn not_in_backups(kind: GuestKind, disk: &Disk) -> Option<&'static str> {
    if disk.unused() {
        return Some("unused volumes are in no backup");
    }
    let asked = disk.options.get("backup").is_some_and(|flag| is_true(flag));
    match kind {
        GuestKind::Qemu if left_out(kind, disk) => Some("it has `backup=0`"),
        GuestKind::Lxc if disk.slot.as_str() != "rootfs" && !asked => Some("it has no `backup=1`"),
        GuestKind::Qemu | GuestKind::Lxc => None,
    }
}

/// The volumes with data that a backup of a configuration holds.
pub fn in_backups(kind: GuestKind, section: &Section) -> Vec<Disk> {
    let disks = views::disks(kind, section).into_iter();
    disks
        .filter(|disk| matches!(disk.source, Source::Volume(_)))
        .filter(|disk| not_in_backups(kind, disk).is_none())
        .collect()
}

/// The most that a copy of a guest can take: what its volumes hold at most. `None` if the size of one is not known.
pub fn most(world: &World, vmid: Vmid) -> Option<Bytes> {
    let guest = world.guests.get(&vmid)?;
    let mut sum = 0u64;
    for disk in in_backups(guest.kind, &guest.config.current) {
        let volume = disk.source.volume()?;
        let listed = world.storages.get(volume.storage());
        let listed = listed.and_then(|storage| storage.volume(&guest.node, volume));
        let size = listed.map(|volume| volume.size).or(disk.size)?;
        sum = sum.saturating_add(size.0);
    }
    Some(Bytes(sum))
}

/// Why a node cannot put a backup on a storage, as far as the world tells; `None` if it can.
pub fn unusable(world: &World, id: &StorageId, node: &NodeName) -> Option<String> {
    let Some(storage) = world.storages.get(id) else {
        return Some(format!("storage {id} does not exist"));
    };
    if storage.disabled {
        return Some(format!("storage {id} is disabled"));
    }
    if !storage.content.contains("backup") {
        return Some(format!(
            "storage {id} may not hold backups (its content lacks `backup`)"
        ));
    }
    if !storage.on_node(node) {
        return Some(format!("node {node} may not use storage {id}"));
    }
    let state = world.nodes.get(node).and_then(|node| node.storages.get(id));
    match state {
        Some(state) if !state.enabled => {
            Some(format!("storage {id} is not enabled on node {node}"))
        }
        Some(state) if !state.active => Some(format!("storage {id} is not active on node {node}")),
        Some(_) | None => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::world::testing::vmid;

    fn note(keep_for: u64) -> SafetyNote {
        SafetyNote {
            kind: GuestKind::Qemu,
            vmid: vmid(104),
            keep_for,
        }
    }

    #[test]
    fn the_notes_have_one_form_and_are_read_back() {
        let text = "bailiwick: safety copy of vm/104, kept for 14d";
        assert_eq!(note(14 * 86_400).to_string(), text);
        for seconds in [60, 90 * 60, 3_600, 36 * 3_600, 86_400, 7 * 86_400] {
            let note = note(seconds);
            assert_eq!(SafetyNote::parse(&note.to_string()), Some(note));
        }
        let container = SafetyNote {
            kind: GuestKind::Lxc,
            ..note(3_600)
        };
        assert_eq!(SafetyNote::parse(&container.to_string()), Some(container));
    }

    #[test]
    fn notes_that_differ_in_anything_are_somebodys_own() {
        for text in [
            "",
            "bailiwick: safety copy of vm/104, kept for 14d ",
            "bailiwick: safety copy of vm/104, kept for 14d, please keep",
            "Bailiwick: safety copy of vm/104, kept for 14d",
            "bailiwick: safety copy of vm/0104, kept for 14d",
            "bailiwick: safety copy of vm/99, kept for 14d",
            "bailiwick: safety copy of qemu/104, kept for 14d",
            "bailiwick: safety copy of vm/104, kept for 0d",
            "bailiwick: safety copy of vm/104, kept for 48h",
            "bailiwick: safety copy of vm/104, kept for +14d",
            "bailiwick: safety copy of vm/104, kept for 2w",
            "bailiwick: safety copy of vm/104, kept for 99999999999999999999d",
        ] {
            assert_eq!(SafetyNote::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_note_counts_only_on_a_backup_of_its_guest() {
        let id: VolumeId = "nas:backup/vzdump-qemu-104-2023_07_22-04_26_40.vma.zst"
            .parse()
            .unwrap();
        let volume = Volume {
            content: "backup".to_owned(),
            format: "vma.zst".to_owned(),
            size: Bytes(1),
            vmid: Some(vmid(104)),
            parent: None,
            created: Some(1),
            protected: true,
            notes: Some(note(3_600).to_string()),
        };
        assert!(SafetyNote::of(&id, &volume).is_some());
        let mut other = volume.clone();
        other.vmid = Some(vmid(105));
        assert_eq!(SafetyNote::of(&id, &other), None);
        let mut other = volume.clone();
        other.content = "iso".to_owned();
        assert_eq!(SafetyNote::of(&id, &other), None);
        let container = "nas:backup/vzdump-lxc-104-2023_07_22-04_26_40.tar.zst";
        assert_eq!(SafetyNote::of(&container.parse().unwrap(), &volume), None);
    }
}
