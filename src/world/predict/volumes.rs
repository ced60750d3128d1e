//! Volumes in prediction: names of new ones, listings, free space; resizing, moving, deleting.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::{Bytes, GuestKind, NodeName, Slot, StorageId, Vmid, VolumeId};
use crate::proxmox::property::is_true;
use crate::proxmox::size;
use crate::world::model::{Guest, Part, Section, Status, Storage, Volume, World};
use crate::world::views;

use super::{Unpredictable, guest, guest_mut, refused, storage, usable};

/// What kind of volume to allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Disk,
    CloudInit,
}

/// Whether a storage of this type keeps volumes as files in a folder per guest.
pub(super) fn is_directory(storage_type: &str) -> bool {
    views::keeps_files(storage_type)
}

/// The format a new volume gets: what was asked for if the type can do it, else the type's default.
pub(super) fn format_on(storage_type: &str, kind: GuestKind, wanted: Option<&str>) -> String {
    match storage_type {
        "zfspool" if kind == GuestKind::Lxc => "subvol".to_owned(),
        // A container's volume of some size is an image wherever it is not a dataset; no call takes a format for it.
        directory if kind == GuestKind::Lxc && directory != "btrfs" && is_directory(directory) => {
            "raw".to_owned()
        }
        "btrfs" => wanted
            .filter(|f| matches!(*f, "raw" | "subvol"))
            .unwrap_or("raw")
            .to_owned(),
        directory if is_directory(directory) => {
            let known = |f: &&str| matches!(*f, "raw" | "qcow2" | "vmdk" | "subvol");
            wanted.filter(known).unwrap_or("raw").to_owned()
        }
        _ => "raw".to_owned(),
    }
}

/// The content type a guest's volumes count as.
pub(super) fn content_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "images",
        GuestKind::Lxc => "rootdir",
    }
}

/// The id the next new volume of a guest gets on a storage: `vm-104-disk-0`, in a folder per guest with the format as extension
/// where volumes are files (Proxmox VE takes the lowest free number).
pub(super) fn new_volume(
    world: &World,
    guest: &Guest,
    on: &Storage,
    format: &str,
    form: Form,
) -> VolumeId {
    let vmid = guest.vmid;
    let directory = is_directory(&on.storage_type);
    let stem = if format == "subvol" { "subvol" } else { "vm" };
    let name = |tail: &str| {
        if directory {
            let format = if form == Form::CloudInit {
                "qcow2"
            } else {
                format
            };
            VolumeId::new(
                on.id.clone(),
                format!("{vmid}/{stem}-{vmid}-{tail}.{format}"),
            )
        } else {
            VolumeId::new(on.id.clone(), format!("{stem}-{vmid}-{tail}"))
        }
    };
    if form == Form::CloudInit {
        return name("cloudinit");
    }
    let taken = disk_numbers(world, guest, on);
    let number = (0..).find(|n| !taken.contains(n)).unwrap_or_default();
    name(&format!("disk-{number}"))
}

/// The numbers in the names of a guest's volumes on a storage, as listed and as configured.
fn disk_numbers(world: &World, guest: &Guest, on: &Storage) -> BTreeSet<u32> {
    let mut taken = BTreeSet::new();
    let mut note = |volume: &VolumeId| {
        if volume.storage() == &on.id && views::owner(volume) == Some(guest.vmid) {
            let file = volume.name().rsplit('/').next().unwrap_or_default();
            let number = file
                .split_once("-disk-")
                .map(|(_, n)| n.split('.').next().unwrap_or(n));
            taken.extend(number.and_then(|n| n.parse::<u32>().ok()));
        }
    };
    for volumes in on.volumes.values() {
        volumes.keys().for_each(&mut note);
    }
    for section in sections(guest) {
        for disk in views::disks(guest.kind, section) {
            disk.source.volume().into_iter().for_each(&mut note);
        }
    }
    let pending = guest
        .config
        .pending
        .iter()
        .filter_map(|p| views::disk(guest.kind, &p.key, p.value.as_deref()?));
    for disk in pending {
        disk.source.volume().into_iter().for_each(&mut note);
    }
    let _ = world;
    taken
}

/// The current section and every snapshot's.
pub(super) fn sections(guest: &Guest) -> impl Iterator<Item = &Section> {
    std::iter::once(&guest.config.current)
        .chain(guest.config.snapshots.values().map(|s| &s.section))
}

/// The node under which a storage's listing holds what `node` sees; `None` if that was not read.
pub(super) fn listed_under(on: &Storage, node: &NodeName) -> Option<NodeName> {
    if on.shared {
        on.volumes.keys().next().cloned()
    } else {
        on.volumes.contains_key(node).then(|| node.clone())
    }
}

/// Puts a volume into the listing, if there is one.
pub(super) fn list(world: &mut World, node: &NodeName, id: VolumeId, volume: Volume) {
    let Some(on) = world.storages.get_mut(id.storage()) else {
        return;
    };
    let Some(under) = listed_under(on, node) else {
        return;
    };
    if let Some(volumes) = Arc::make_mut(on).volumes.get_mut(&under) {
        Arc::make_mut(volumes).insert(id, volume);
    }
}

/// Takes a volume out of the listing and gives its space back. What it was, if it was listed.
pub(super) fn unlist(world: &mut World, node: &NodeName, id: &VolumeId) -> Option<Volume> {
    let on = world.storages.get_mut(id.storage())?;
    let under = listed_under(on, node)?;
    on.volumes.get(&under)?.get(id)?;
    let volume = Arc::make_mut(Arc::make_mut(on).volumes.get_mut(&under)?).remove(id)?;
    refund(world, id.storage(), node, volume.size);
    Some(volume)
}

/// Gives a volume another name in the listing, if it is listed. The space stays as it is.
pub(super) fn rename(world: &mut World, node: &NodeName, from: &VolumeId, to: &VolumeId) {
    let Some(on) = world.storages.get_mut(from.storage()) else {
        return;
    };
    let Some(under) = listed_under(on, node) else {
        return;
    };
    if let Some(listed) = Arc::make_mut(on).volumes.get_mut(&under)
        && let Some(volume) = Arc::make_mut(listed).remove(from)
    {
        Arc::make_mut(listed).insert(to.clone(), volume);
    }
}

/// Takes bytes from a storage's free space, as every node that shares it sees it.
pub(super) fn spend(world: &mut World, id: &StorageId, node: &NodeName, bytes: Bytes) {
    adjust(world, id, node, |available, _| {
        available.saturating_sub(bytes.0)
    });
}

/// Gives bytes back to a storage's free space.
pub(super) fn refund(world: &mut World, id: &StorageId, node: &NodeName, bytes: Bytes) {
    adjust(world, id, node, |available, total| {
        let more = available.saturating_add(bytes.0);
        total.map_or(more, |total| more.min(total))
    });
}

fn adjust(
    world: &mut World,
    id: &StorageId,
    node: &NodeName,
    new: impl Fn(u64, Option<u64>) -> u64,
) {
    let shared = world.storages.get(id).is_some_and(|s| s.shared);
    for (name, node_state) in &mut world.nodes {
        if !shared && name != node {
            continue;
        }
        let known = node_state
            .storages
            .get(id)
            .and_then(|s| Some((s.available?, s.total)));
        let Some((available, total)) = known else {
            continue;
        };
        let now = Bytes(new(available.0, total.map(|t| t.0)));
        if now != available
            && let Some(space) = Arc::make_mut(node_state).storages.get_mut(id)
        {
            space.available = Some(now);
        }
    }
}

/// The size of a volume: as listed, else as a configuration says.
pub(super) fn size_of(
    world: &World,
    node: &NodeName,
    id: &VolumeId,
    written: Option<Bytes>,
) -> Option<Bytes> {
    let listed = world
        .storages
        .get(id.storage())
        .and_then(|s| s.volume(node, id))
        .map(|v| v.size);
    listed.filter(|size| size.0 > 0).or(written)
}

/// Changes the value of a slot: another volume, another size. Every other property stays as it is written.
pub(super) fn rewrite(value: &str, volume: Option<&VolumeId>, new_size: Option<Bytes>) -> String {
    let mut parts = Vec::new();
    let mut named = false;
    for (index, part) in value.split(',').enumerate() {
        let name = part.split_once('=').map(|(name, _)| name.trim());
        match (name, volume) {
            (Some("size"), _) if new_size.is_some() => {}
            (Some("file" | "volume"), Some(volume)) => parts.push(volume.to_string()),
            (Some("format"), Some(_)) => {}
            (None, Some(volume)) if index == 0 && !named => {
                parts.push(volume.to_string());
                named = true;
            }
            _ => parts.push(part.to_owned()),
        }
    }
    if let Some(bytes) = new_size {
        parts.push(format!("size={}", size::print(bytes)));
    }
    parts.join(",")
}

/// Grows a disk.
pub(super) fn resize(
    world: &mut World,
    vmid: Vmid,
    slot: &Slot,
    to: Bytes,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    let value = was
        .config
        .current
        .get(slot.as_str())
        .ok_or_else(|| Unpredictable::Missing(format!("{slot} of guest {vmid}")))?;
    let volume = views::disk(was.kind, slot.as_str(), value)
        .and_then(|d| Some((d.source.data()?.clone(), d.size)))
        .filter(|_| !slot.as_str().starts_with("unused"));
    let Some((volume, written)) = volume else {
        return Err(refused(format!(
            "{slot} of guest {vmid} holds no volume that can grow"
        )));
    };
    locked(&was)?;
    let from =
        size_of(world, &was.node, &volume, written).ok_or_else(|| Unpredictable::Unread {
            part: Part::StorageContent(was.node.clone(), volume.storage().clone()),
            why: format!("the size of {volume} is not known"),
        })?;
    if to < from {
        return Err(refused(format!(
            "{slot} is {from}: shrinking a disk is not possible"
        )));
    }
    if to == from && was.kind == GuestKind::Lxc {
        return Err(refused("disk is already at specified size"));
    }
    if was.kind == GuestKind::Lxc && is_protected(&was) {
        return Err(refused("the container is protected"));
    }
    usable(world, volume.storage(), &was.node, content_of(was.kind))?;
    let node = was.node.clone();
    let text = rewrite(value, None, Some(to));
    guest_mut(world, vmid)?
        .config
        .current
        .insert(slot.to_string(), text);
    spend(world, volume.storage(), &node, Bytes(to.0 - from.0));
    let listed = storage(world, volume.storage())?
        .volume(&node, &volume)
        .cloned();
    if let Some(mut listed) = listed {
        listed.size = to;
        list(world, &node, volume, listed);
    }
    Ok(())
}

/// Moves a volume to another storage in the same slot and deletes the source.
pub(super) fn relocate(
    world: &mut World,
    vmid: Vmid,
    slot: &Slot,
    volume: &VolumeId,
    to: &StorageId,
    format: Option<&str>,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    movable(&was, slot, volume)?;
    let target = usable(world, to, &was.node, content_of(was.kind))?.clone();
    let source = storage(world, volume.storage())?.clone();
    let value = was
        .config
        .current
        .get(slot.as_str())
        .cloned()
        .unwrap_or_default();
    let written = views::disk(was.kind, slot.as_str(), &value).and_then(|d| d.size);
    let listed = source.volume(&was.node, volume).cloned();
    let bytes = size_of(world, &was.node, volume, written);
    let hint = listed
        .as_ref()
        .map(|v| v.format.as_str())
        .or_else(|| extension(volume));
    let format = format_on(&target.storage_type, was.kind, format.or(hint));
    if source.id == target.id && hint == Some(format.as_str()) {
        return Err(refused(format!(
            "{slot} lies on {to} in this format already"
        )));
    }
    let new = new_volume(world, &was, &target, &format, Form::Disk);
    unlist(world, &was.node, volume);
    let text = rewrite(&value, Some(&new), bytes);
    guest_mut(world, vmid)?
        .config
        .current
        .insert(slot.to_string(), text);
    if let Some(bytes) = bytes {
        spend(world, to, &was.node, bytes);
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
    list(world, &was.node, new, entry);
    Ok(())
}

fn movable(guest: &Guest, slot: &Slot, volume: &VolumeId) -> Result<(), Unpredictable> {
    let held = guest
        .config
        .current
        .get(slot.as_str())
        .and_then(|v| views::disk(guest.kind, slot.as_str(), v));
    let holds = held.as_ref().and_then(|d| d.source.data()) == Some(volume);
    if !holds {
        return Err(Unpredictable::Missing(format!(
            "{volume} in {slot} of guest {}",
            guest.vmid
        )));
    }
    locked(guest)?;
    let running = guest.status != Status::Stopped;
    match guest.kind {
        GuestKind::Lxc if running => {
            return Err(refused("a running container's volumes cannot be moved"));
        }
        GuestKind::Lxc if is_protected(guest) => return Err(refused("the container is protected")),
        GuestKind::Qemu if running && slot.as_str() == "tpmstate0" => {
            return Err(refused("the TPM state of a running VM cannot be moved"));
        }
        GuestKind::Qemu if slot.as_str().starts_with("unused") => {
            return Err(refused("an unused disk of a VM cannot be moved"));
        }
        GuestKind::Lxc | GuestKind::Qemu => {}
    }
    if views::in_snapshot(guest, volume) {
        return Err(refused(format!(
            "{volume} is part of a snapshot, so its source cannot be deleted"
        )));
    }
    Ok(())
}

/// Refuses when the guest is under a lock.
pub(super) fn locked(guest: &Guest) -> Result<(), Unpredictable> {
    match &guest.lock {
        Some(lock) => Err(refused(format!("{} is locked ({lock})", guest.entity()))),
        None => Ok(()),
    }
}

/// Whether `protection` is set.
pub(super) fn is_protected(guest: &Guest) -> bool {
    guest
        .config
        .current
        .get("protection")
        .is_some_and(|v| is_true(v))
}

/// The format of a guest's volume as far as its name tells: files have it as extension, the rest are raw or subvolumes.
pub(super) fn format_in_name(volume: &VolumeId) -> String {
    let subvolume = volume.name().starts_with("subvol-");
    let blocks = if subvolume { "subvol" } else { "raw" };
    extension(volume).unwrap_or(blocks).to_owned()
}

fn extension(volume: &VolumeId) -> Option<&str> {
    let file = volume.name().rsplit('/').next()?;
    file.rsplit_once('.').map(|(_, extension)| extension)
}

/// A file is downloaded. How big it is nobody knows before, so no space is taken for it.
pub(super) fn download(
    world: &mut World,
    node: &NodeName,
    volume: &VolumeId,
) -> Result<(), Unpredictable> {
    let Some(content) = views::file_content(volume) else {
        return Err(refused(format!("{volume} is no file that is downloaded")));
    };
    let on = usable(world, volume.storage(), node, content)?;
    if !views::keeps_files(&on.storage_type) {
        return Err(refused(format!("storage {} keeps no files", on.id)));
    }
    if on.volume(node, volume).is_some() {
        return Err(refused(format!("{volume} is there already")));
    }
    let entry = Volume {
        content: content.to_owned(),
        format: extension(volume).unwrap_or_default().to_owned(),
        size: Bytes(0),
        vmid: None,
        parent: None,
        created: None,
        protected: false,
        notes: None,
    };
    list(world, node, volume.clone(), entry);
    Ok(())
}

/// Deletes one volume through its storage. A guest that names it keeps naming it.
pub(super) fn delete(
    world: &mut World,
    node: &NodeName,
    volume: &VolumeId,
) -> Result<(), Unpredictable> {
    let on = storage(world, volume.storage())?;
    if on.disabled || !on.on_node(node) {
        return Err(refused(format!(
            "node {node} may not use storage {}",
            on.id
        )));
    }
    let part = Part::StorageContent(node.clone(), on.id.clone());
    let Some(under) = listed_under(on, node) else {
        let why = world
            .unreadable(&part)
            .unwrap_or("it was not read")
            .to_owned();
        return Err(Unpredictable::Unread { part, why });
    };
    let listed = on.volumes.get(&under);
    let found = listed
        .and_then(|l| l.get(volume))
        .ok_or_else(|| Unpredictable::Missing(format!("volume {volume}")))?;
    if found.protected {
        return Err(refused(format!("{volume} is protected")));
    }
    let clone = listed
        .into_iter()
        .flat_map(|l| l.keys())
        .find(|other| views::parent(other) == views::Parent::Of(volume.clone()));
    if let Some(clone) = clone {
        return Err(refused(format!(
            "{volume} is the base of the linked clone {clone}"
        )));
    }
    unlist(world, node, volume);
    Ok(())
}

/// A new volume asked for as `STORAGE:SIZE` (size in GiB), or the source of an import.
pub(super) struct NewDisk {
    pub(super) storage: StorageId,
    /// `None` for an import, which has the size of its source.
    pub(super) size: Option<Bytes>,
    pub(super) import_from: Option<String>,
    pub(super) format: Option<String>,
    pub(super) form: Form,
}

/// What a slot's value asks to be allocated, if it does.
pub(super) fn new_disk(value: &str) -> Option<NewDisk> {
    let (bare, rest) = views::properties(value);
    let mut file = bare;
    let (mut import_from, mut format) = (None, None);
    for (name, text) in rest {
        match name {
            "file" | "volume" => file = Some(text),
            "import-from" => import_from = Some(text.to_owned()),
            "format" => format = Some(text.to_owned()),
            _ => {}
        }
    }
    let (on, what) = file?.split_once(':')?;
    let storage = StorageId::new(on).ok()?;
    if what == "cloudinit" {
        return Some(NewDisk {
            storage,
            size: Some(Bytes(4 * Bytes::MIB)),
            import_from,
            format,
            form: Form::CloudInit,
        });
    }
    let digits = what.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !what.is_empty();
    let bytes = digits
        .then(|| size::parse(&format!("{what}G")).ok())
        .flatten()?;
    let size = import_from.is_none().then_some(bytes);
    Some(NewDisk {
        storage,
        size,
        import_from,
        format,
        form: Form::Disk,
    })
}

/// The size a new disk will have, looking up the source of an import.
pub(super) fn new_size(world: &World, node: &NodeName, disk: &NewDisk) -> Option<Bytes> {
    disk.size.or_else(|| {
        let source: VolumeId = disk.import_from.as_deref()?.parse().ok()?;
        size_of(world, node, &source, None)
    })
}
