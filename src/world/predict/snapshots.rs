//! Snapshots in prediction: what can be snapshotted, what taking and deleting one leaves, and where the memory goes.

use std::sync::Arc;

use super::config::keep_unused;
use super::volumes::{self, locked};
use super::{Unpredictable, guest, guest_mut, refused};
use crate::ids::{Bytes, GuestKind, NodeName, SnapshotName, StorageId, Vmid, VolumeId};
use crate::proxmox::property::is_true;
use crate::world::model::{Guest, Part, Snapshot, Status, Storage, World};
use crate::world::views::{self, Source};

/// Room for the state of the devices, besides twice the memory (qemu-server: `__snapshot_save_vmstate`).
const DEVICES: u64 = 500 * Bytes::MIB;
/// A machine's memory where its configuration says none, in MiB.
const DEFAULT_MEMORY: u64 = 512;

/// Why Proxmox VE would not take a snapshot of a guest, as far as the world tells; each volume that stands in the way is named.
/// Locks and names are not looked at.
pub fn snapshot_refused(world: &World, guest: &Guest, memory: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if guest.template {
        reasons.push(format!(
            "{} is a template, of which no snapshot is taken",
            guest.entity()
        ));
    }
    for disk in views::disks(guest.kind, &guest.config.current) {
        if disk.unused() {
            continue;
        }
        let why = match &disk.source {
            Source::Volume(volume) => without_snapshots(world, volume)
                .or_else(|| unreachable(world, &guest.node, volume.storage())),
            Source::Path(path) => Some(format!(
                "{path} is a path of {}, which no storage can snapshot",
                guest.node
            )),
            Source::CloudInit(_) | Source::Cdrom(_) | Source::Empty => None,
        };
        reasons.extend(why.map(|why| format!("{}: {why}", disk.slot)));
    }
    if memory {
        reasons.extend(memory_refused(guest));
        if let (Some(on), _) = memory_demand(world, guest) {
            let why = unreachable(world, &guest.node, &on);
            reasons.extend(why.map(|why| format!("the memory would be saved: {why}")));
        }
    }
    reasons
}

/// Why a node cannot use a storage, whose volumes are then neither snapshotted nor freed of snapshots (pve-guest-common:
/// `__snapshot_activate_storages`, pve-storage: `storage_check_enabled`).
fn unreachable(world: &World, node: &NodeName, id: &StorageId) -> Option<String> {
    let Some(storage) = world.storages.get(id) else {
        return Some(format!("it is on {id}, {}", not_found(world)));
    };
    if storage.disabled {
        return Some(format!("storage {id} is disabled; enable it first"));
    }
    (!storage.on_node(node)).then(|| format!("storage {id} is not available on {node}"))
}

/// What to say of a storage that the world does not have.
fn not_found(world: &World) -> String {
    let unread = world.unreadable(&Part::Storages);
    unread.map_or_else(
        || "which does not exist".to_owned(),
        |why| format!("of which nothing is known: the storages could not be read ({why})"),
    )
}

/// Why a volume cannot be snapshotted where it lies (pve-storage: `volume_has_feature`).
fn without_snapshots(world: &World, volume: &VolumeId) -> Option<String> {
    let id = volume.storage();
    let Some(storage) = world.storages.get(id) else {
        return Some(format!("{volume} lies on {id}, {}", not_found(world)));
    };
    let qcow2 = volume.name().ends_with(".qcow2");
    match storage.storage_type.as_str() {
        "zfspool" | "zfs" | "rbd" | "lvmthin" | "btrfs" => None,
        "dir" | "nfs" | "cifs" | "glusterfs" | "cephfs" if qcow2 => None,
        "lvm" if qcow2 && is_chained(storage) => None,
        other => Some(format!(
            "{volume} lies on {id} ({other}), which cannot snapshot it; move it to a storage that can, or as `qcow2`"
        )),
    }
}

/// Whether snapshots of a storage's images are volumes of their own, one upon the other.
fn is_chained(storage: &Storage) -> bool {
    let option = storage.options.get("snapshot-as-volume-chain");
    option.is_some_and(|on| is_true(on))
}

fn memory_refused(guest: &Guest) -> Vec<String> {
    if guest.kind == GuestKind::Lxc {
        return vec![
            "the memory of a container cannot be saved; leave `includeMemory` out".to_owned(),
        ];
    }
    let mut reasons = Vec::new();
    match guest.status {
        Status::Running => {}
        Status::Stopped => reasons.push(format!(
            "{} does not run, so there is no memory to save; start it, or leave `includeMemory` out",
            guest.entity()
        )),
        Status::Unknown => reasons.push(format!(
            "whether {} runs is not known, and only then its memory can be saved",
            guest.entity()
        )),
    }
    for key in guest.config.current.keys() {
        let device = matches!(key.as_str(), "amd-sev" | "intel-tdx")
            || key
                .strip_prefix("virtiofs")
                .is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit()));
        if device {
            reasons.push(format!(
                "the memory of a machine with `{key}` cannot be saved; leave `includeMemory` out"
            ));
        }
    }
    reasons
}

/// Why Proxmox VE would not delete a snapshot, as far as the world tells.
pub fn snapshot_stays(world: &World, guest: &Guest, name: &SnapshotName) -> Option<String> {
    let snapshot = guest.config.snapshots.get(name.as_str());
    let lost = snapshot.and_then(|snapshot| out_of_reach(world, guest, snapshot));
    lost.or_else(|| chained_tpm(world, guest, name))
}

/// Which storage that a snapshot has volumes on is out of its guest's reach.
fn out_of_reach(world: &World, guest: &Guest, snapshot: &Snapshot) -> Option<String> {
    let disks = views::disks(guest.kind, &snapshot.section);
    let mut on = disks.iter().filter_map(|disk| match &disk.source {
        Source::Volume(volume) if !disk.unused() => Some((disk.slot.as_str(), volume.storage())),
        _ => None,
    });
    on.find_map(|(slot, id)| {
        unreachable(world, &guest.node, id).map(|why| format!("{slot}: {why}"))
    })
}

fn chained_tpm(world: &World, guest: &Guest, name: &SnapshotName) -> Option<String> {
    let tpm = guest.config.current.get("tpmstate0")?;
    let disk = views::disk(guest.kind, "tpmstate0", tpm)?;
    let volume = disk.source.volume()?;
    let storage = world.storages.get(volume.storage())?;
    let newest = guest.config.snapshots.values();
    let newest = !newest
        .into_iter()
        .any(|other| other.parent.as_deref() == Some(name.as_str()));
    (guest.status != Status::Stopped && newest && is_chained(storage)).then(|| {
        format!(
            "{volume} keeps its snapshots as a chain of volumes, and the newest one of a TPM state is deleted only while the machine is stopped"
        )
    })
}

/// Where a machine's memory is saved, and how much room that takes.
pub(super) fn memory_demand(world: &World, guest: &Guest) -> (Option<StorageId>, Bytes) {
    let current = &guest.config.current;
    let memory = current
        .get("memory")
        .and_then(|text| text.split(',').next())
        .and_then(|text| text.trim_start_matches("current=").parse().ok())
        .unwrap_or(DEFAULT_MEMORY);
    let bytes = Bytes(
        memory
            .saturating_mul(2 * Bytes::MIB)
            .saturating_add(DEVICES),
    );
    let said = current
        .get("vmstatestorage")
        .and_then(|id| StorageId::new(id).ok());
    let (mut shared, mut local) = (None, None);
    for disk in views::disks(guest.kind, current) {
        let Source::Volume(volume) = &disk.source else {
            continue;
        };
        let Some(storage) = world.storages.get(volume.storage()) else {
            continue;
        };
        let kept: &mut Option<StorageId> = if storage.shared {
            &mut shared
        } else {
            &mut local
        };
        // The last one with files, else the first one.
        if kept.is_none() || storage.options.contains_key("path") {
            *kept = Some(storage.id.clone());
        }
    }
    let on = said.or(shared).or(local);
    (on.or_else(|| StorageId::new("local").ok()), bytes)
}

/// Takes a snapshot. Where its memory lies is named by Proxmox VE.
pub(super) fn take(
    world: &mut World,
    vmid: Vmid,
    name: &SnapshotName,
    description: Option<&str>,
    memory: bool,
) -> Result<(), Unpredictable> {
    let was = with_snapshots(world, vmid)?.clone();
    locked(&was)?;
    if was.config.snapshots.contains_key(name.as_str()) {
        return Err(refused(format!("snapshot {name} exists already")));
    }
    let reasons = snapshot_refused(world, &was, memory);
    if !reasons.is_empty() {
        return Err(refused(reasons.join("; ")));
    }
    let mut section = was.config.current.clone();
    section.retain(|key, _| key != "description" && !key.starts_with("unused"));
    if let Some(text) = description {
        section.insert("description".to_owned(), text.to_owned());
    }
    let parent = newest(&was);
    let snapshot = Snapshot {
        parent,
        taken: None,
        state: None,
        section,
    };
    let snapshots = &mut guest_mut(world, vmid)?.config.snapshots;
    snapshots.insert(name.to_string(), snapshot);
    Ok(())
}

/// The snapshot that was taken last.
fn newest(guest: &Guest) -> Option<String> {
    let snapshots = guest.config.snapshots.iter();
    let last = snapshots.max_by_key(|(name, snapshot)| (snapshot.taken, *name));
    last.map(|(name, _)| name.clone())
}

/// Changes a snapshot's description; an empty one is none.
pub(super) fn describe(
    world: &mut World,
    vmid: Vmid,
    name: &SnapshotName,
    description: &str,
) -> Result<(), Unpredictable> {
    locked(with_snapshots(world, vmid)?)?;
    let snapshots = &mut guest_mut(world, vmid)?.config.snapshots;
    let Some(snapshot) = snapshots.get_mut(name.as_str()) else {
        return Err(missing(vmid, name));
    };
    if description.is_empty() {
        snapshot.section.remove("description");
    } else {
        let text = description.to_owned();
        snapshot.section.insert("description".to_owned(), text);
    }
    Ok(())
}

/// Deletes a snapshot: those taken after it stay, with its parent as theirs; volumes that only it had are kept as unused ones.
pub(super) fn delete(
    world: &mut World,
    vmid: Vmid,
    name: &SnapshotName,
) -> Result<(), Unpredictable> {
    let was = with_snapshots(world, vmid)?.clone();
    locked(&was)?;
    let Some(gone) = was.config.snapshots.get(name.as_str()) else {
        return Err(missing(vmid, name));
    };
    if let Some(why) = snapshot_stays(world, &was, name) {
        return Err(refused(why));
    }
    let changed = guest_mut(world, vmid)?;
    changed.config.snapshots.remove(name.as_str());
    for other in changed.config.snapshots.values_mut() {
        if other.parent.as_deref() == Some(name.as_str()) {
            other.parent.clone_from(&gone.parent);
        }
    }
    for disk in views::disks(was.kind, &gone.section) {
        let Source::Volume(volume) = &disk.source else {
            continue;
        };
        let own = disk.slot.as_str() != "vmstate" && views::owner(volume) == Some(vmid);
        if own && !views::in_snapshot(guest_mut(world, vmid)?, volume) {
            keep_unused(guest_mut(world, vmid)?, volume);
        }
    }
    free_memory(world, &was.node, gone);
    Ok(())
}

fn free_memory(world: &mut World, node: &NodeName, gone: &Snapshot) {
    let saved = gone.section.get("vmstate");
    if let Some(volume) = saved.and_then(|volume| volume.parse::<VolumeId>().ok()) {
        volumes::unlist(world, node, &volume);
    }
}

fn missing(vmid: Vmid, name: &SnapshotName) -> Unpredictable {
    Unpredictable::Missing(format!("snapshot {name} of guest {vmid}"))
}

/// A guest whose snapshots were read.
fn with_snapshots(world: &World, vmid: Vmid) -> Result<&Arc<Guest>, Unpredictable> {
    let part = Part::GuestSnapshots(vmid);
    match world.unreadable(&part) {
        Some(why) if world.guests.contains_key(&vmid) => Err(Unpredictable::Unread {
            why: why.to_owned(),
            part,
        }),
        Some(_) | None => guest(world, vmid),
    }
}
