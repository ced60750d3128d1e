//! Clones in prediction: a new guest with what its source has in force, its own name, and volumes that are copies or stand on the
//! source's base volumes. What Proxmox VE makes up (uuid, MAC addresses) is left out.

use crate::ids::{Bytes, GuestKind, NodeName, PoolId, SnapshotName, StorageId, Vmid, VolumeId};
use crate::proxmox::property::is_true;
use crate::world::model::{Guest, GuestConfig, Part, Section, Status, Storage, Volume, World};
use crate::world::views::{self, Disk, Source};

use super::demand::Demand;
use super::guests::{insert, join};
use super::template::can_be_base;
use super::volumes::{self, Form, content_of, format_on, is_directory};
use super::{Unpredictable, guest, guest_mut, refused, usable};

/// What is asked of a clone.
pub(super) struct Wish<'a> {
    pub(super) kind: GuestKind,
    pub(super) vmid: Vmid,
    pub(super) source: Vmid,
    pub(super) snapshot: Option<&'a SnapshotName>,
    pub(super) node: &'a NodeName,
    pub(super) pool: Option<&'a PoolId>,
    pub(super) name: &'a str,
    pub(super) full: bool,
    pub(super) storage: Option<&'a StorageId>,
    pub(super) format: Option<&'a str>,
}

/// Clones a guest. The source stays as it is.
pub(super) fn clone(world: &mut World, wish: &Wish<'_>) -> Result<(), Unpredictable> {
    if world.guests.contains_key(&wish.vmid) {
        return Err(refused(format!("guest {} already exists", wish.vmid)));
    }
    let source = guest(world, wish.source)?.clone();
    possible(wish, &source)?;
    if wish.snapshot.is_some()
        && let Some(why) = world.unreadable(&Part::GuestSnapshots(source.vmid))
    {
        return Err(Unpredictable::Unread {
            part: Part::GuestSnapshots(source.vmid),
            why: why.to_owned(),
        });
    }
    let section = cloned_section(&source, wish.snapshot)
        .ok_or_else(|| no_snapshot(&source, wish.snapshot))?
        .clone();
    let fresh = Guest {
        vmid: wish.vmid,
        kind: wish.kind,
        node: wish.node.clone(),
        name: Some(wish.name.to_owned()),
        status: Status::Stopped,
        template: false,
        lock: None,
        pool: wish.pool.cloned(),
        config: GuestConfig {
            current: identity(wish, &section),
            ..GuestConfig::default()
        },
    };
    insert(world, fresh);
    // The file of the source's firewall is copied with it (PVE::Firewall `clone_vmfw_conf`).
    if let Some(firewall) = world.firewalls.guests.get(&source.vmid).cloned() {
        world.firewalls.guests.insert(wish.vmid, firewall);
    }
    for disk in in_order(source.kind, &section) {
        let Some(value) = section.get(disk.slot.as_str()) else {
            continue;
        };
        let value = match &disk.source {
            Source::Volume(volume) if wish.full => copy(world, wish, &disk, volume, value)?,
            Source::Volume(volume) => link(world, wish, &disk, volume, value)?,
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

/// The settings that are cloned: those in force, or a snapshot's; `None` if there is no such snapshot.
pub fn cloned_section<'g>(
    source: &'g Guest,
    snapshot: Option<&SnapshotName>,
) -> Option<&'g Section> {
    match snapshot {
        None => Some(&source.config.current),
        Some(name) => {
            let snapshot = source.config.snapshots.get(name.as_str())?;
            // What is not whole is not cloned.
            snapshot.state.is_none().then_some(&snapshot.section)
        }
    }
}

fn no_snapshot(source: &Guest, snapshot: Option<&SnapshotName>) -> Unpredictable {
    let name = snapshot.map_or("", |name| name.as_str());
    let who = source.entity();
    refused(match source.config.snapshots.get(name) {
        Some(_) => format!("snapshot `{name}` of {who} is not whole"),
        None => format!("{who} has no snapshot `{name}`"),
    })
}

/// Whether a volume can be copied as it is in a snapshot (pve-storage: the feature `copy` of snapshots; a container's files are read
/// from the mounted snapshot, which every storage that takes one allows).
fn copied_from_snapshot(kind: GuestKind, on: &Storage, format: &str) -> bool {
    let chain = on
        .options
        .get("snapshot-as-volume-chain")
        .is_some_and(|flag| is_true(flag));
    match (kind, on.storage_type.as_str()) {
        (GuestKind::Lxc, _) | (GuestKind::Qemu, "rbd" | "lvmthin" | "btrfs") => true,
        (GuestKind::Qemu, other) => is_directory(other) && !chain && format == "qcow2",
    }
}

fn possible(wish: &Wish<'_>, source: &Guest) -> Result<(), Unpredictable> {
    let who = source.entity();
    volumes::locked(source)?;
    if source.kind != wish.kind {
        return Err(refused(format!("{who} is of the other kind")));
    }
    if source.node != *wish.node {
        return Err(refused(format!("{who} is on node {}", source.node)));
    }
    if source.status == Status::Unknown {
        return Err(refused(format!("whether {who} runs is not known")));
    }
    if !wish.full && !source.template {
        return Err(refused(format!(
            "a linked clone stands on a template, and {who} is none"
        )));
    }
    if !wish.full && (wish.storage.is_some() || wish.format.is_some()) {
        return Err(refused(
            "a linked clone lies where its base does, in the format that takes; for a copy elsewhere write `mode: full`",
        ));
    }
    if source.status == Status::Running {
        if source.kind == GuestKind::Lxc && wish.snapshot.is_none() {
            return Err(refused(format!(
                "{who} runs, and a container is copied only while it is stopped, or from a snapshot"
            )));
        }
        if source.config.current.contains_key("tpmstate0") {
            return Err(refused(format!(
                "{who} runs, and the TPM state of a running VM cannot be copied"
            )));
        }
    }
    Ok(())
}

/// The source's settings without its volumes and without what is its own alone.
fn identity(wish: &Wish<'_>, of: &Section) -> Section {
    let own = |key: &str| {
        matches!(
            key,
            "lock"
                | "parent"
                | "template"
                | "digest"
                | "snaptime"
                | "snapstate"
                | "vmstate"
                | "runningmachine"
                | "runningcpu"
                | "running-nets-host-mtu"
        ) || views::is_disk_key(wish.kind, key)
    };
    let kept = of.iter().filter(|(key, _)| !own(key));
    let mut section: Section = kept
        .map(|(key, value)| match views::is_nic_key(key) {
            true => (key.clone(), without_mac(wish.kind, value)),
            false => (key.clone(), value.clone()),
        })
        .collect();
    let name = match wish.kind {
        GuestKind::Qemu => "name",
        GuestKind::Lxc => "hostname",
    };
    section.insert(name.to_owned(), wish.name.to_owned());
    without_uuid(&mut section);
    section
}

/// Takes out the uuid, which Proxmox VE makes up for the new guest.
pub(super) fn without_uuid(section: &mut Section) {
    if let Some(smbios) = section.remove("smbios1") {
        let parts = smbios.split(',').filter(|part| !part.starts_with("uuid="));
        let rest: Vec<&str> = parts.collect();
        if !rest.is_empty() {
            section.insert("smbios1".to_owned(), rest.join(","));
        }
    }
}

/// A network card without the address that Proxmox VE makes up for the new guest.
pub(super) fn without_mac(kind: GuestKind, value: &str) -> String {
    let parts = value
        .split(',')
        .filter_map(|part| match part.split_once('=') {
            Some(("hwaddr" | "macaddr", _)) => None,
            Some((model, mac))
                if kind == GuestKind::Qemu && mac.len() == 17 && mac.matches(':').count() == 5 =>
            {
                Some(model.to_owned())
            }
            Some(_) | None => Some(part.to_owned()),
        });
    parts.collect::<Vec<_>>().join(",")
}

/// The disks in the order Proxmox VE goes through them, which numbers the new volumes; without the unused ones.
pub(super) fn in_order(kind: GuestKind, section: &Section) -> Vec<Disk> {
    let place = |disk: &Disk| {
        let slot = disk.slot.as_str();
        let bus = slot.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = slot.get(bus.len()..).and_then(|n| n.parse::<u32>().ok());
        let buses = [
            "ide", "scsi", "virtio", "sata", "efidisk", "tpmstate", "rootfs", "mp",
        ];
        (buses.iter().position(|known| *known == bus), number)
    };
    let mut disks = views::disks(kind, section);
    disks.retain(|disk| !disk.unused() && disk.slot.as_str() != "vmstate");
    disks.sort_by_key(place);
    disks
}

/// A full copy of a volume.
fn copy(
    world: &mut World,
    wish: &Wish<'_>,
    disk: &Disk,
    volume: &VolumeId,
    value: &str,
) -> Result<String, Unpredictable> {
    let target = wish.storage.unwrap_or(volume.storage());
    let on = usable(world, target, wish.node, content_of(wish.kind))?.clone();
    let bytes = volumes::size_of(world, wish.node, volume, disk.size);
    let from = world.storages.get(volume.storage());
    let listed = from.and_then(|on| on.volume(wish.node, volume));
    let format = listed.map(|listed| listed.format.clone());
    // What the token may not list tells its format by its name.
    let had = format.clone();
    let had = had.unwrap_or_else(|| volumes::format_in_name(volume));
    if let (Some(name), Some(from)) = (wish.snapshot, from)
        && !copied_from_snapshot(wish.kind, from, &had)
    {
        return Err(refused(format!(
            "{} lies on {} ({}), of which Proxmox VE copies no snapshot (`{name}`); clone the guest as it is, or restore a backup",
            disk.slot, from.id, from.storage_type
        )));
    }
    let format = format_on(
        &on.storage_type,
        wish.kind,
        wish.format.or(format.as_deref()),
    );
    let clone = guest(world, wish.vmid)?.clone();
    let new = volumes::new_volume(world, &clone, &on, &format, Form::Disk);
    if let Some(bytes) = bytes {
        volumes::spend(world, &on.id, wish.node, bytes);
    }
    let entry = entry(wish.kind, wish.vmid, format, bytes, None);
    volumes::list(world, wish.node, new.clone(), entry);
    Ok(volumes::rewrite(value, Some(&new), bytes))
}

/// A volume that stands on a base volume; at first it takes next to no room.
fn link(
    world: &mut World,
    wish: &Wish<'_>,
    disk: &Disk,
    volume: &VolumeId,
    value: &str,
) -> Result<String, Unpredictable> {
    let on = usable(world, volume.storage(), wish.node, content_of(wish.kind))?.clone();
    if !is_base(volume) || !can_be_base(&on.storage_type) {
        return Err(refused(format!(
            "{} holds {volume}, on which no linked clone can stand",
            disk.slot
        )));
    }
    let bytes = volumes::size_of(world, wish.node, volume, disk.size);
    let listed = on.volume(wish.node, volume);
    let kept = listed.map(|listed| listed.format.clone());
    let format = linked_format(&on, wish.kind, kept.as_deref());
    let clone = guest(world, wish.vmid)?.clone();
    let plain = volumes::new_volume(world, &clone, &on, &format, Form::Disk);
    let parent = views::names_tell_parents(&on.storage_type);
    let new = if parent {
        let name = format!("{}/{}", volume.name(), plain.name());
        VolumeId::new(on.id.clone(), name)
    } else {
        plain
    };
    let entry = entry(
        wish.kind,
        wish.vmid,
        format,
        bytes,
        parent.then(|| volume.name().to_owned()),
    );
    volumes::list(world, wish.node, new.clone(), entry);
    Ok(volumes::rewrite(value, Some(&new), None))
}

fn linked_format(on: &Storage, kind: GuestKind, base: Option<&str>) -> String {
    match base {
        Some("subvol") => "subvol".to_owned(),
        Some(_) | None if is_directory(&on.storage_type) => "qcow2".to_owned(),
        base => format_on(&on.storage_type, kind, base),
    }
}

fn is_base(volume: &VolumeId) -> bool {
    let file = volume.name().rsplit('/').next().unwrap_or_default();
    file.starts_with("base-") || file.starts_with("basevol-")
}

/// A cloud-init drive of the clone's own.
fn cloud_init(
    world: &mut World,
    wish: &Wish<'_>,
    volume: &VolumeId,
    value: &str,
) -> Result<String, Unpredictable> {
    let target = wish.storage.unwrap_or(volume.storage());
    let on = usable(world, target, wish.node, content_of(wish.kind))?.clone();
    let format = format_on(&on.storage_type, wish.kind, None);
    let clone = guest(world, wish.vmid)?.clone();
    let new = volumes::new_volume(world, &clone, &on, &format, Form::CloudInit);
    let entry = entry(
        wish.kind,
        wish.vmid,
        format,
        Some(Bytes(4 * Bytes::MIB)),
        None,
    );
    volumes::list(world, wish.node, new.clone(), entry);
    Ok(volumes::rewrite(value, Some(&new), None))
}

/// A new volume as a storage lists it.
pub(super) fn entry(
    kind: GuestKind,
    vmid: Vmid,
    format: String,
    bytes: Option<Bytes>,
    parent: Option<String>,
) -> Volume {
    Volume {
        content: content_of(kind).to_owned(),
        format,
        size: bytes.unwrap_or_default(),
        vmid: Some(vmid),
        parent,
        created: None,
        protected: false,
        notes: None,
    }
}

/// The space a clone needs: that of every volume where it is copied to, and none where it is linked.
pub(super) fn demand(
    world: &World,
    source: Vmid,
    node: &NodeName,
    snapshot: Option<&SnapshotName>,
    full: bool,
    storage: Option<&StorageId>,
) -> Vec<Demand> {
    let Some(source) = world.guests.get(&source).filter(|_| full) else {
        return Vec::new();
    };
    let Some(section) = cloned_section(source, snapshot) else {
        return Vec::new();
    };
    let of = |disk: Disk| {
        let Source::Volume(volume) = &disk.source else {
            return None;
        };
        Some(Demand {
            storage: storage.unwrap_or(volume.storage()).clone(),
            node: node.clone(),
            bytes: volumes::size_of(world, node, volume, disk.size),
        })
    };
    in_order(source.kind, section)
        .into_iter()
        .filter_map(of)
        .collect()
}
