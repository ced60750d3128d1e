//! Configuration changes in prediction: what is in force at once, what waits for the next start, what a slot's old volume becomes.
//!
//! Proxmox VE: a running guest takes a key at once or keeps it pending (`proxmox::schema::change_effect`); a stopped VM takes
//! everything that is pending, other people's too; a stopped container takes only the keys of the request; a start takes all.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Bytes, GuestKind, Slot, Vmid, VolumeId};
use crate::proxmox::schema::{ChangeEffect, change_effect};
use crate::proxmox::size;
use crate::world::model::{Guest, Pending, Status, Volume, World};
use crate::world::views::{self, Source};
use crate::world::{Param, Params};

use super::volumes::{self, Form, content_of, format_on};
use super::{Unpredictable, guest, guest_mut, refused, usable};

/// Sets and deletes keys.
pub(super) fn update(
    world: &mut World,
    vmid: Vmid,
    set: &Params,
    delete: &BTreeSet<String>,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    if was.status == Status::Unknown {
        return Err(refused(format!(
            "whether {} runs is not known",
            was.entity()
        )));
    }
    if let Some(key) = set.keys().find(|key| delete.contains(*key)) {
        return Err(refused(format!("{key} is set and deleted at once")));
    }
    for key in delete {
        unboot(world, vmid, key)?;
        change(world, vmid, key, None, false)?;
    }
    for (key, param) in set {
        let text = match param {
            Param::Plain(text) => text.clone(),
            // What Proxmox VE shows in its place (`cipassword`).
            Param::Secret { .. } => "**********".to_owned(),
        };
        let text = allocate(world, vmid, key, text)?;
        let medium = views::disk(was.kind, key, &text)
            .is_some_and(|disk| matches!(disk.source, Source::Cdrom(_) | Source::Empty));
        change(world, vmid, key, Some(text), false)?;
        if medium {
            boot_too(world, vmid, key)?;
        }
    }
    if was.status == Status::Stopped && was.kind == GuestKind::Qemu {
        apply_pending(world, vmid)?;
    }
    Ok(())
}

/// Makes a cloud-init drive anew: nothing that the world tells changes, but there has to be one.
pub(super) fn regenerate(world: &World, vmid: Vmid) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?;
    volumes::locked(was)?;
    if views::cloud_init_drive(&was.config.current).is_none() {
        return Err(refused(format!("{} has no cloud-init drive", was.entity())));
    }
    Ok(())
}

/// Takes a volume out of its slot and keeps it as `unusedN`.
pub(super) fn detach(
    world: &mut World,
    vmid: Vmid,
    slot: &Slot,
    volume: &VolumeId,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    let waiting = !was.config.current.contains_key(slot.as_str())
        && volume_of(was.kind, slot, was.config.next_start().get(slot.as_str())).as_ref()
            == Some(volume);
    if !waiting {
        holds(&was, slot, volume)?;
    }
    if volumes::is_protected(&was) {
        return Err(refused(format!("{} is protected", was.entity())));
    }
    if waiting {
        // It was never plugged in: only what waits for the next start goes.
        unboot(world, vmid, slot.as_str())?;
        let guest = guest_mut(world, vmid)?;
        guest.config.pending.retain(|p| p.key != slot.as_str());
        if views::owner(volume) == Some(vmid) {
            keep_unused(guest, volume);
        }
        return Ok(());
    }
    if slot.as_str() == "rootfs" {
        return Err(refused("a container's root file system cannot be detached"));
    }
    unboot(world, vmid, slot.as_str())?;
    change(world, vmid, slot.as_str(), None, false)?;
    if was.status == Status::Stopped && was.kind == GuestKind::Qemu {
        apply_pending(world, vmid)?;
    }
    Ok(())
}

/// The devices of `boot: order=…` as they will be in force.
fn boot_order(guest: &Guest) -> Vec<String> {
    let next = guest.config.next_start();
    next.get("boot")
        .map_or_else(Vec::new, |boot| views::boot_devices(boot))
}

/// Proxmox VE takes a device that is removed out of the boot order (of none left, one blank stays).
fn unboot(world: &mut World, vmid: Vmid, key: &str) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?;
    let mut order = boot_order(was);
    if was.kind == GuestKind::Lxc || !order.iter().any(|device| device == key) {
        return Ok(());
    }
    order.retain(|device| device != key);
    let text = if order.is_empty() {
        " ".to_owned()
    } else {
        format!("order={}", order.join(";"))
    };
    change(world, vmid, "boot", Some(text), false)
}

/// Proxmox VE appends a CD drive to the boot order, if there is one.
fn boot_too(world: &mut World, vmid: Vmid, key: &str) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?;
    let mut order = boot_order(was);
    if was.kind == GuestKind::Lxc || order.is_empty() || order.iter().any(|d| d == key) {
        return Ok(());
    }
    order.push(key.to_owned());
    let text = format!("order={}", order.join(";"));
    change(world, vmid, "boot", Some(text), false)
}

/// Frees an `unusedN` volume for good.
pub(super) fn free(
    world: &mut World,
    vmid: Vmid,
    slot: &Slot,
    volume: &VolumeId,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    holds(&was, slot, volume)?;
    if volumes::is_protected(&was) {
        return Err(refused(format!("{} is protected", was.entity())));
    }
    if !slot.as_str().starts_with("unused") {
        return Err(refused(format!(
            "{slot} is in use; only an unused volume is freed"
        )));
    }
    if views::in_snapshot(&was, volume) {
        return Err(refused(format!("{volume} is still in use by a snapshot")));
    }
    if views::owner(volume) == Some(vmid) {
        usable(world, volume.storage(), &was.node, content_of(was.kind))?;
        volumes::unlist(world, &was.node, volume);
    }
    guest_mut(world, vmid)?.config.current.remove(slot.as_str());
    Ok(())
}

fn volume_of(kind: GuestKind, slot: &Slot, value: Option<&String>) -> Option<VolumeId> {
    views::disk(kind, slot.as_str(), value?)?
        .source
        .volume()
        .cloned()
}

fn holds(guest: &Guest, slot: &Slot, volume: &VolumeId) -> Result<(), Unpredictable> {
    let held = volume_of(guest.kind, slot, guest.config.current.get(slot.as_str()));
    if held.as_ref() == Some(volume) {
        Ok(())
    } else {
        Err(Unpredictable::Missing(format!(
            "{volume} in {slot} of guest {}",
            guest.vmid
        )))
    }
}

/// One key, set (`Some`) or deleted, in force at once or pending.
fn change(
    world: &mut World,
    vmid: Vmid,
    key: &str,
    value: Option<String>,
    force: bool,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    let before = was.config.current.get(key);
    if was.status == Status::Running {
        let hotplug = was.config.current.get("hotplug").map_or("", String::as_str);
        match change_effect(
            was.kind,
            key,
            before.map(String::as_str),
            value.as_deref(),
            hotplug,
        ) {
            ChangeEffect::Refused => {
                return Err(refused(format!(
                    "{key} cannot be changed on {}",
                    was.entity()
                )));
            }
            ChangeEffect::Pending => {
                let pending = &mut guest_mut(world, vmid)?.config.pending;
                pending.retain(|p| p.key != key);
                pending.push(Pending {
                    key: key.to_owned(),
                    value,
                    force,
                });
                pending.sort_by(|a, b| a.key.cmp(&b.key));
                return Ok(());
            }
            ChangeEffect::None => {
                // Set back to what it is: it leaves the pending list.
                guest_mut(world, vmid)?
                    .config
                    .pending
                    .retain(|p| p.key != key);
                return Ok(());
            }
            ChangeEffect::Live
            | ChangeEffect::CloudInit
            | ChangeEffect::NicFlap
            | ChangeEffect::NicReplug
            | ChangeEffect::NicHotplug
            | ChangeEffect::DiskPlug
            | ChangeEffect::DiskUnplug
            | ChangeEffect::DiskReplace => {}
        }
    }
    put(world, vmid, key, value, force)
}

/// Puts a value in force (or takes it away), with what that means for the volume that was there.
fn put(
    world: &mut World,
    vmid: Vmid,
    key: &str,
    value: Option<String>,
    force: bool,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    let old = was
        .config
        .current
        .get(key)
        .and_then(|text| views::disk(was.kind, key, text));
    let new = value
        .as_deref()
        .and_then(|text| views::disk(was.kind, key, text));
    {
        let guest = guest_mut(world, vmid)?;
        guest.config.pending.retain(|p| p.key != key);
        match &value {
            Some(text) => guest.config.current.insert(key.to_owned(), text.clone()),
            None => guest.config.current.remove(key),
        };
        if key == "boot" && value.is_some() {
            guest.config.current.remove("bootdisk");
        }
        let name_key = match guest.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        if key == name_key {
            guest.name = value.clone();
        }
        // A volume that is used again is not unused any more.
        if let Some(volume) = new.as_ref().and_then(|d| d.source.data()) {
            let again: Vec<String> = unused_of(guest, volume);
            for slot in again.iter().filter(|slot| slot.as_str() != key) {
                guest.config.current.remove(slot);
            }
        }
    }
    let Some(old) = old else { return Ok(()) };
    let same = new.as_ref().and_then(|d| d.source.volume()) == old.source.volume();
    if same {
        return Ok(());
    }
    match &old.source {
        Source::CloudInit(volume) => {
            volumes::unlist(world, &was.node, volume);
        }
        Source::Volume(volume) if views::owner(volume) == Some(vmid) => {
            let freed = force || old.unused();
            if freed && !views::in_snapshot(&was, volume) {
                volumes::unlist(world, &was.node, volume);
            } else {
                keep_unused(guest_mut(world, vmid)?, volume);
            }
        }
        Source::Volume(_) | Source::Cdrom(_) | Source::Empty | Source::Path(_) => {}
    }
    Ok(())
}

fn unused_of(guest: &Guest, volume: &VolumeId) -> Vec<String> {
    views::disks(guest.kind, &guest.config.current)
        .into_iter()
        .filter(|d| d.unused() && d.source.volume() == Some(volume))
        .map(|d| d.slot.to_string())
        .collect()
}

/// Keeps a volume under the lowest free `unusedN`, unless another slot names it still.
pub(super) fn keep_unused(guest: &mut Guest, volume: &VolumeId) {
    let current = &mut guest.config.current;
    if views::disks(guest.kind, current)
        .iter()
        .any(|d| d.source.volume() == Some(volume))
    {
        return;
    }
    let free = (0..256)
        .map(|n| format!("unused{n}"))
        .find(|slot| !current.contains_key(slot));
    if let Some(slot) = free {
        current.insert(slot, volume.to_string());
    }
}

/// Puts everything pending in force: what a start does, and every change of a stopped VM.
pub(super) fn apply_pending(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    let pending = guest(world, vmid)?.config.pending.clone();
    let (deletes, sets): (Vec<_>, Vec<_>) = pending.into_iter().partition(|p| p.value.is_none());
    for Pending { key, value, force } in deletes.into_iter().chain(sets) {
        put(world, vmid, &key, value, force)?;
    }
    Ok(())
}

/// Allocates the volume that a slot's value asks for, and gives the value as it will stand in the configuration. A volume that
/// exists gets its real size written. Anything else stays as it is.
pub(super) fn allocate(
    world: &mut World,
    vmid: Vmid,
    key: &str,
    value: String,
) -> Result<String, Unpredictable> {
    let was = guest(world, vmid)?.clone();
    if !views::is_disk_key(was.kind, key) {
        return Ok(value);
    }
    let Some(wanted) = volumes::new_disk(&value) else {
        return Ok(existing(world, &was, key, value));
    };
    let on = usable(world, &wanted.storage, &was.node, content_of(was.kind))?.clone();
    let format = format_on(&on.storage_type, was.kind, wanted.format.as_deref());
    let volume = volumes::new_volume(world, &was, &on, &format, wanted.form);
    let bytes = match key {
        // Proxmox VE makes these as large as they must be, whatever was asked for.
        "efidisk0" | "tpmstate0" => Some(Bytes(4 * Bytes::MIB)),
        _ => volumes::new_size(world, &was.node, &wanted),
    };
    if let Some(bytes) = bytes {
        volumes::spend(world, &on.id, &was.node, bytes);
    }
    let entry = Volume {
        content: content_of(was.kind).to_owned(),
        format,
        size: bytes.unwrap_or_default(),
        vmid: Some(vmid),
        parent: None,
        created: None,
        protected: false,
        notes: None,
    };
    volumes::list(world, &was.node, volume.clone(), entry);
    let text = volumes::rewrite(&value, Some(&volume), bytes);
    let text = without(&text, "import-from");
    Ok(match wanted.form {
        Form::CloudInit if !text.contains("media=") => format!("{text},media=cdrom"),
        Form::CloudInit | Form::Disk => text,
    })
}

fn existing(world: &World, guest: &Guest, key: &str, value: String) -> String {
    let Some(disk) = views::disk(guest.kind, key, &value) else {
        return value;
    };
    let Some(volume) = disk.source.volume().filter(|_| !disk.unused()) else {
        return value;
    };
    match volumes::size_of(world, &guest.node, volume, None) {
        Some(bytes) if disk.size != Some(bytes) => {
            let bare = without(&value, "size");
            format!("{bare},size={}", size::print(bytes))
        }
        Some(_) | None => value,
    }
}

/// A property string without one of its options.
fn without(value: &str, option: &str) -> String {
    let keep = |part: &&str| {
        part.split_once('=')
            .is_none_or(|(name, _)| name.trim() != option)
    };
    value.split(',').filter(keep).collect::<Vec<_>>().join(",")
}

/// The plain values of a request; secrets as Proxmox VE shows them.
pub(super) fn plain(params: &Params) -> BTreeMap<String, String> {
    params
        .iter()
        .map(|(key, param)| {
            let text = match param {
                Param::Plain(text) => text.clone(),
                Param::Secret { .. } => "**********".to_owned(),
            };
            (key.clone(), text)
        })
        .collect()
}
