//! Migration in prediction: the guest's node changes, and volumes that not every node sees are copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{Bytes, GuestKind, NodeName, StorageId, Vmid, VolumeId};
use crate::world::model::{Guest, Pending, Status, Storage, Volume, World};
use crate::world::views::{self, Source};

use super::config::apply_pending;
use super::volumes::{self, Form, content_of, format_on};
use super::{Unpredictable, guest, guest_mut, refused};

/// Moves a guest to another node; local volumes go along.
pub(super) fn migrate(
    world: &mut World,
    vmid: Vmid,
    from: &NodeName,
    to: &NodeName,
    with_local_disks: bool,
    map: &BTreeMap<StorageId, StorageId>,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    if was.node != *from {
        return Err(refused(format!(
            "{} is on node {}, not on {from}",
            was.entity(),
            was.node
        )));
    }
    let target = world
        .nodes
        .get(to)
        .ok_or_else(|| Unpredictable::Missing(format!("node {to}")))?;
    if target.online == Some(false) || from == to {
        return Err(refused(format!("node {to} is not a target")));
    }
    let running = was.status == Status::Running;
    if let Some(why) = held_by_replication(world, &was, to, running) {
        return Err(refused(why));
    }
    for disk in views::disks(was.kind, &was.config.current) {
        let Some(volume) = disk.source.volume() else {
            continue;
        };
        let on = super::storage(world, volume.storage())?.clone();
        if let Source::Cdrom(_) = disk.source {
            if !on.shared {
                return Err(refused(format!(
                    "{}: a local CD image cannot be migrated",
                    disk.slot
                )));
            }
            continue;
        }
        // Target storages are for what has to be copied, which on a shared storage is nothing (qemu-server, pve-container).
        if on.shared {
            super::usable(world, &on.id, to, content_of(was.kind))?;
            continue;
        }
        let target_id = map.get(&on.id).unwrap_or(&on.id);
        let regenerated = matches!(disk.source, Source::CloudInit(_));
        if running && was.kind == GuestKind::Qemu && !with_local_disks && !regenerated {
            return Err(refused(format!(
                "{} is local and stays behind without `with-local-disks`",
                disk.slot
            )));
        }
        let online = running && was.kind == GuestKind::Qemu && mirrored(&disk);
        copy(world, &was, &disk, volume, target_id, to, online)?;
    }
    {
        let guest = guest_mut(world, vmid)?;
        guest.node = to.clone();
    }
    // Replication turns round when the guest moves to its target.
    for job in world
        .replication_jobs
        .values_mut()
        .filter(|job| job.guest == vmid && job.target == *to)
    {
        Arc::make_mut(job).target = from.clone();
    }
    if running && was.kind == GuestKind::Lxc {
        // A running container is stopped, moved and started.
        apply_pending(world, vmid)?;
    }
    Ok(())
}

/// Why a guest that is replicated cannot be migrated to a node (qemu-server, pve-container: a job marked for removal stands in the
/// way; a running machine goes only where a job copies it to).
pub fn held_by_replication(
    world: &World,
    guest: &Guest,
    to: &NodeName,
    running: bool,
) -> Option<String> {
    let jobs = world.replication_jobs.iter();
    let jobs: Vec<_> = jobs.filter(|(_, job)| job.guest == guest.vmid).collect();
    let there = jobs.iter().find(|(_, job)| job.target == *to);
    match there {
        Some((id, job)) if job.removing => Some(format!(
            "replication job {id} to {to} is being removed, and until it is gone the guest cannot be migrated there"
        )),
        None if running && guest.kind == GuestKind::Qemu && !jobs.is_empty() => Some(format!(
            "it is replicated, and while it runs it can only be migrated to a node it is replicated to, which {to} is not"
        )),
        Some(_) | None => None,
    }
}

/// Whether a running machine's volume is mirrored while it is written to: what it has attached. Everything else is exported and
/// imported, as a volume of a stopped guest is.
fn mirrored(disk: &views::Disk) -> bool {
    disk.source.data().is_some() && !disk.unused() && disk.slot.as_str() != "tpmstate0"
}

/// Whether a volume can be exported from one type of storage and imported into another (pve-storage: `storage_migrate`).
pub fn transfers(from: &str, format: &str, to: &str) -> bool {
    let file = |kind: &str| views::keeps_files(kind) && kind != "btrfs";
    match (from, to) {
        ("zfspool", to) => to == "zfspool",
        (_, "zfspool") => false,
        (from, to) => match format {
            "raw" => file(to) || matches!(to, "btrfs" | "lvm" | "lvmthin" | "rbd"),
            "subvol" => from == to,
            _ => file(from) && file(to),
        },
    }
}

/// The id of a volume that is imported into another storage: its name stays, with the format as extension where volumes are files.
fn imported(volume: &VolumeId, was: &Guest, on: &Storage, format: &str) -> VolumeId {
    let file = volume.name().rsplit('/').next().unwrap_or_default();
    let extension = format!(".{format}");
    let stem = file.strip_suffix(extension.as_str()).unwrap_or(file);
    let name = if volumes::is_directory(&on.storage_type) {
        format!("{}/{stem}.{format}", was.vmid)
    } else {
        stem.to_owned()
    };
    VolumeId::new(on.id.clone(), name)
}

fn copy(
    world: &mut World,
    was: &Guest,
    disk: &views::Disk,
    volume: &VolumeId,
    target: &StorageId,
    to: &NodeName,
    online: bool,
) -> Result<(), Unpredictable> {
    if views::in_snapshot(was, volume) && target != volume.storage() {
        return Err(refused(format!(
            "{} has snapshots and cannot change its storage",
            disk.slot
        )));
    }
    let on = super::usable(world, target, to, content_of(was.kind))?.clone();
    let bytes = volumes::size_of(world, &was.node, volume, disk.size);
    let leaves = super::storage(world, volume.storage())?
        .storage_type
        .clone();
    let entry = volumes::unlist(world, &was.node, volume);
    let had = entry.as_ref().map(|v| v.format.clone());
    let had = had.unwrap_or_else(|| volumes::format_in_name(volume));
    let (new, format) = if *target == *volume.storage() {
        (volume.clone(), had)
    } else if online {
        let format = format_on(&on.storage_type, was.kind, Some(had.as_str()));
        let guest = guest(world, was.vmid)?.clone();
        let new = volumes::new_volume(world, &guest, &on, &format, Form::Disk);
        (new, format)
    } else if transfers(&leaves, &had, &on.storage_type) {
        let same = imported(volume, was, &on, &had);
        let taken = on.volume(to, &same).is_some() && !views::is_cloudinit(volume);
        let guest = guest(world, was.vmid)?.clone();
        let free = || volumes::new_volume(world, &guest, &on, &had, Form::Disk);
        (if taken { free() } else { same }, had)
    } else {
        return Err(refused(format!(
            "{} is a {had} volume on {}, and Proxmox VE copies none from {leaves} to {} ({target}) but the attached disks of a virtual machine that runs",
            disk.slot,
            volume.storage(),
            on.storage_type
        )));
    };
    if let Some(bytes) = bytes {
        volumes::spend(world, target, to, bytes);
    }
    let entry = entry.unwrap_or_else(|| Volume {
        content: content_of(was.kind).to_owned(),
        format,
        size: bytes.unwrap_or(Bytes(0)),
        vmid: Some(was.vmid),
        parent: None,
        created: None,
        protected: false,
        notes: None,
    });
    volumes::list(world, to, new.clone(), entry);
    if new != *volume {
        let guest = guest_mut(world, was.vmid)?;
        if let Some(value) = guest.config.current.get_mut(disk.slot.as_str()) {
            *value = volumes::rewrite(value, Some(&new), bytes);
        }
        for Pending { value, .. } in guest
            .config
            .pending
            .iter_mut()
            .filter(|p| p.key == disk.slot.as_str())
        {
            if let Some(text) = value {
                *text = volumes::rewrite(text, Some(&new), bytes);
            }
        }
    }
    Ok(())
}
