//! Restores in prediction: a new guest with the configuration in a backup, on new volumes. What Proxmox VE makes up (names of volumes,
//! and with `unique` MAC addresses and uuid) is left out, and so is what it does not bring back: unused volumes, what was pending,
//! snapshots, the raw options of a container.

use std::sync::Arc;

use crate::ids::{Bytes, GuestKind, NodeName, PoolId, StorageId, Vmid, VolumeId};
use crate::proxmox::property::{boolean, is_true};
use crate::world::model::{Guest, GuestConfig, Part, Section, Status, Storage, World};
use crate::world::views::{self, Disk, Source};

use super::clone::{entry, in_order, without_mac, without_uuid};
use super::demand::Demand;
use super::guests::{insert, join};
use super::volumes::{self, Form, content_of, format_on, listed_under};
use super::{Unpredictable, guest, guest_mut, refused, storage, usable};

/// What is asked of a restore.
pub(super) struct Wish<'a> {
    pub(super) kind: GuestKind,
    pub(super) vmid: Vmid,
    pub(super) node: &'a NodeName,
    pub(super) pool: Option<&'a PoolId>,
    pub(super) archive: &'a VolumeId,
    pub(super) storage: Option<&'a StorageId>,
    pub(super) unique: bool,
    /// The configuration in the backup.
    pub(super) config: &'a Section,
}

/// Restores a guest under a free number, stopped. The backup stays as it is.
pub(super) fn restore(world: &mut World, wish: &Wish<'_>) -> Result<(), Unpredictable> {
    if world.guests.contains_key(&wish.vmid) {
        return Err(refused(format!("guest {} already exists", wish.vmid)));
    }
    if !world.nodes.contains_key(wish.node) {
        return Err(Unpredictable::Missing(format!("node {}", wish.node)));
    }
    there(world, wish)?;
    possible(wish)?;
    let name = match wish.kind {
        GuestKind::Qemu => "name",
        GuestKind::Lxc => "hostname",
    };
    let fresh = Guest {
        vmid: wish.vmid,
        kind: wish.kind,
        node: wish.node.clone(),
        name: wish.config.get(name).cloned(),
        status: Status::Stopped,
        template: false,
        lock: None,
        pool: wish.pool.cloned(),
        config: GuestConfig {
            current: settings(wish),
            ..GuestConfig::default()
        },
    };
    insert(world, fresh);
    if world.firewalls.may_be_on() {
        let unknown = "it comes with the backup, which does not tell it before".to_owned();
        world.firewalls.guests.insert(wish.vmid, Err(unknown));
    }
    for disk in in_order(wish.kind, wish.config) {
        let Some(value) = wish.config.get(disk.slot.as_str()) else {
            continue;
        };
        let value = match &disk.source {
            Source::Volume(_) | Source::CloudInit(_) if left_out(wish.kind, &disk) => continue,
            Source::Volume(volume) => data(world, wish, &disk, volume, value)?,
            Source::CloudInit(volume) => cloud_init(world, wish, volume, value)?,
            Source::Cdrom(_) | Source::Empty | Source::Path(_) => value.clone(),
        };
        guest_mut(world, wish.vmid)?
            .config
            .current
            .insert(disk.slot.to_string(), value);
    }
    join(world, wish.pool, wish.vmid)
}

/// Whether the node sees the backup.
fn there(world: &World, wish: &Wish<'_>) -> Result<(), Unpredictable> {
    let on = storage(world, wish.archive.storage())?;
    if on.volume(wish.node, wish.archive).is_some() {
        return Ok(());
    }
    let under = listed_under(on, wish.node).unwrap_or_else(|| wish.node.clone());
    let part = Part::StorageContent(under, on.id.clone());
    match world.unreadable(&part) {
        Some(why) => Err(Unpredictable::Unread {
            why: why.to_owned(),
            part,
        }),
        None => Err(Unpredictable::Missing(format!(
            "backup {} on node {}",
            wish.archive, wish.node
        ))),
    }
}

fn possible(wish: &Wish<'_>) -> Result<(), Unpredictable> {
    if wish
        .config
        .get("template")
        .is_some_and(|flag| is_true(flag))
    {
        return Err(refused(
            "it is the backup of a template, which is restored by hand",
        ));
    }
    if wish.kind == GuestKind::Lxc && !wish.config.contains_key("rootfs") {
        return Err(refused("the backup says nothing of a root file system"));
    }
    for disk in in_order(wish.kind, wish.config) {
        if left_out(wish.kind, &disk) {
            continue;
        }
        let slot = &disk.slot;
        match &disk.source {
            Source::Path(path) => {
                return Err(refused(format!(
                    "{slot} is {path} of the host, which only root@pam restores"
                )));
            }
            // Proxmox VE makes the volumes of a container anew, each as large as the backup says.
            Source::Volume(_) if wish.kind == GuestKind::Lxc && disk.size.is_none() => {
                return Err(refused(format!(
                    "the backup does not say how large {slot} is"
                )));
            }
            Source::Volume(_) | Source::CloudInit(_) | Source::Cdrom(_) | Source::Empty => {}
        }
    }
    Ok(())
}

/// Whether a disk of a virtual machine is in no backup of it (`backup=0`). Proxmox VE then turns its line into a comment. The volumes
/// of a container are made in any case.
pub fn left_out(kind: GuestKind, disk: &Disk) -> bool {
    kind == GuestKind::Qemu
        && disk
            .options
            .get("backup")
            .is_some_and(|flag| boolean(flag) == Some(false))
}

/// The settings but the volumes.
fn settings(wish: &Wish<'_>) -> Section {
    let other = |key: &str| {
        matches!(
            key,
            "lock" | "parent" | "template" | "digest" | "vmgenid" | "lxc"
        ) || views::is_disk_key(wish.kind, key)
    };
    let kept = wish.config.iter().filter(|(key, _)| !other(key));
    let mut section: Section = kept
        .map(|(key, value)| match wish.unique && views::is_nic_key(key) {
            true => (key.clone(), without_mac(wish.kind, value)),
            false => (key.clone(), value.clone()),
        })
        .collect();
    if wish.unique {
        without_uuid(&mut section);
    }
    for disk in in_order(wish.kind, wish.config) {
        if left_out(wish.kind, &disk)
            && let Some(value) = wish.config.get(disk.slot.as_str())
        {
            let text = section.entry("description".to_owned()).or_default();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{}: {value}\n", disk.slot));
        }
    }
    section
}

/// A new volume with what the backup has of an old one.
fn data(
    world: &mut World,
    wish: &Wish<'_>,
    disk: &Disk,
    volume: &VolumeId,
    value: &str,
) -> Result<String, Unpredictable> {
    let on = target(world, wish, volume)?;
    let file = volume.name().rsplit('/').next().unwrap_or_default();
    let was = file.rsplit_once('.').map(|(_, extension)| extension);
    let format = format_on(&on.storage_type, wish.kind, was);
    let made = guest(world, wish.vmid)?.clone();
    let new = volumes::new_volume(world, &made, &on, &format, Form::Disk);
    if let Some(bytes) = disk.size {
        volumes::spend(world, &on.id, wish.node, bytes);
    }
    let listed = entry(wish.kind, wish.vmid, format, disk.size, None);
    volumes::list(world, wish.node, new.clone(), listed);
    Ok(volumes::rewrite(value, Some(&new), disk.size))
}

/// A new cloud-init drive.
fn cloud_init(
    world: &mut World,
    wish: &Wish<'_>,
    volume: &VolumeId,
    value: &str,
) -> Result<String, Unpredictable> {
    let on = target(world, wish, volume)?;
    let format = format_on(&on.storage_type, wish.kind, None);
    let made = guest(world, wish.vmid)?.clone();
    let new = volumes::new_volume(world, &made, &on, &format, Form::CloudInit);
    let size = Some(Bytes(4 * Bytes::MIB));
    let listed = entry(wish.kind, wish.vmid, format, size, None);
    volumes::list(world, wish.node, new.clone(), listed);
    Ok(volumes::rewrite(value, Some(&new), None))
}

fn target(world: &World, wish: &Wish<'_>, was: &VolumeId) -> Result<Arc<Storage>, Unpredictable> {
    let id = wish.storage.unwrap_or(was.storage());
    Ok(usable(world, id, wish.node, content_of(wish.kind))?.clone())
}

/// The storages that a restore makes volumes on.
pub fn restored_to<'a>(
    kind: GuestKind,
    config: &'a Section,
    storage: Option<&'a StorageId>,
) -> Vec<StorageId> {
    let disks = in_order(kind, config);
    let made = disks.iter().filter(|disk| !left_out(kind, disk));
    let of = |disk: &Disk| match &disk.source {
        Source::Volume(volume) | Source::CloudInit(volume) => {
            Some(storage.unwrap_or(volume.storage()).clone())
        }
        Source::Cdrom(_) | Source::Empty | Source::Path(_) => None,
    };
    made.filter_map(of).collect()
}

/// The space a restore needs: that of every volume.
pub(super) fn demand(
    kind: GuestKind,
    node: &NodeName,
    config: &Section,
    storage: Option<&StorageId>,
) -> Vec<Demand> {
    let disks = in_order(kind, config);
    let made = disks.into_iter().filter(|disk| !left_out(kind, disk));
    made.filter_map(|disk| {
        let Source::Volume(volume) = &disk.source else {
            return None;
        };
        Some(Demand {
            storage: storage.unwrap_or(volume.storage()).clone(),
            node: node.clone(),
            bytes: disk.size,
        })
    })
    .collect()
}
