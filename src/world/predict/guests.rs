//! Guests in prediction: how they come and go, with everything that named them.

use std::sync::Arc;

use crate::ids::{GuestKind, NodeName, PoolId, Vmid, VolumeId};
use crate::world::Params;
use crate::world::model::{Completeness, Guest, GuestConfig, Part, Selection, Status, World};
use crate::world::views::{self, Parent, Source};

use super::config::{allocate, plain};
use super::volumes;
use super::{Unpredictable, guest, guest_mut, refused};

/// Parameters of a creation that do not stand in the configuration afterwards.
const NOT_CONFIGURATION: &[&str] = &[
    "archive",
    "bwlimit",
    "force",
    "ha-managed",
    "ignore-unpack-errors",
    "import-working-storage",
    "live-restore",
    "node",
    "ostemplate",
    "password",
    "pool",
    "restore",
    "ssh-public-keys",
    "start",
    "storage",
    "unique",
    "vmid",
];

/// Creates a guest, stopped.
pub(super) fn create(
    world: &mut World,
    kind: GuestKind,
    vmid: Vmid,
    node: &NodeName,
    pool: Option<&PoolId>,
    params: &Params,
) -> Result<(), Unpredictable> {
    if world.guests.contains_key(&vmid) {
        return Err(refused(format!("guest {vmid} already exists")));
    }
    if !world.nodes.contains_key(node) {
        return Err(Unpredictable::Missing(format!("node {node}")));
    }
    let mut wanted = plain(params);
    let default_storage = wanted
        .get("storage")
        .cloned()
        .unwrap_or_else(|| "local".to_owned());
    wanted.retain(|key, _| !NOT_CONFIGURATION.contains(&key.as_str()));
    let name_key = match kind {
        GuestKind::Qemu => "name",
        GuestKind::Lxc => {
            let defaults = [
                ("memory", "512".to_owned()),
                ("swap", "512".to_owned()),
                ("unprivileged", "1".to_owned()),
                ("hostname", format!("CT{vmid}")),
                ("rootfs", format!("{default_storage}:4")),
            ];
            for (key, value) in defaults {
                wanted.entry(key.to_owned()).or_insert(value);
            }
            "hostname"
        }
    };
    let fresh = Guest {
        vmid,
        kind,
        node: node.clone(),
        name: wanted.get(name_key).cloned(),
        status: Status::Stopped,
        template: false,
        lock: None,
        pool: pool.cloned(),
        config: GuestConfig::default(),
    };
    insert(world, fresh);
    world.firewalls.guests.insert(vmid, Ok(Arc::default()));
    for (key, value) in wanted {
        let value = allocate(world, vmid, &key, value)?;
        guest_mut(world, vmid)?.config.current.insert(key, value);
    }
    if kind == GuestKind::Qemu {
        default_boot(guest_mut(world, vmid)?);
    }
    join(world, pool, vmid)
}

/// A new guest, of which everything is known.
pub(super) fn insert(world: &mut World, fresh: Guest) {
    let at = world.observed_at;
    let vmid = fresh.vmid;
    world.guests.insert(vmid, Arc::new(fresh));
    for part in [Part::GuestConfig(vmid), Part::GuestSnapshots(vmid)] {
        world
            .completeness
            .insert(part, Completeness::Complete { at });
    }
}

/// Puts a guest into a pool, if it is to be in one.
pub(super) fn join(
    world: &mut World,
    pool: Option<&PoolId>,
    vmid: Vmid,
) -> Result<(), Unpredictable> {
    let Some(pool) = pool else { return Ok(()) };
    let entry = world
        .pools
        .get_mut(pool)
        .ok_or_else(|| Unpredictable::Missing(format!("pool {pool}")))?;
    Arc::make_mut(entry).guests.insert(vmid);
    Ok(())
}

/// The boot order Proxmox VE writes when none was given: the first disk, the first CD drive, the first NIC.
fn default_boot(guest: &mut Guest) {
    if guest.config.current.contains_key("boot") {
        return;
    }
    let disks = views::disks(guest.kind, &guest.config.current);
    let bus = |slot: &str| {
        ["ide", "scsi", "virtio", "sata"]
            .iter()
            .position(|b| slot.starts_with(b))
    };
    let first = |cdrom: bool| {
        disks
            .iter()
            .filter(|d| views::is_system_slot(&d.slot))
            .filter(|d| {
                cdrom
                    == matches!(
                        d.source,
                        Source::Cdrom(_) | Source::Empty | Source::CloudInit(_)
                    )
            })
            .min_by_key(|d| (bus(d.slot.as_str()), d.slot.clone()))
            .map(|d| d.slot.to_string())
    };
    let nic = views::nics(&guest.config.current)
        .into_iter()
        .next()
        .map(|n| n.slot.to_string());
    let order: Vec<String> = [first(false), first(true), nic]
        .into_iter()
        .flatten()
        .collect();
    let text = if order.is_empty() {
        " ".to_owned()
    } else {
        format!("order={}", order.join(";"))
    };
    guest.config.current.insert("boot".to_owned(), text);
}

/// Destroys a stopped guest with its volumes.
pub(super) fn destroy(world: &mut World, vmid: Vmid, purge: bool) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    if volumes::is_protected(&was) {
        return Err(refused(format!("{} is protected", was.entity())));
    }
    match was.status {
        Status::Stopped => {}
        Status::Running => return Err(refused(format!("{} is running", was.entity()))),
        Status::Unknown => {
            return Err(refused(format!(
                "whether {} runs is not known",
                was.entity()
            )));
        }
    }
    if !purge {
        if world.ha_resources.contains_key(&vmid) {
            return Err(refused(format!("{} is used in HA resources", was.entity())));
        }
        if world.replication_jobs.values().any(|job| job.guest == vmid) {
            return Err(refused(format!(
                "there is a replication job for {}",
                was.entity()
            )));
        }
    }
    let owned = owned_volumes(&was);
    for volume in &owned {
        let Some(on) = world.storages.get(volume.storage()) else {
            return Err(refused(format!(
                "storage {} does not exist",
                volume.storage()
            )));
        };
        if let Some(clone) = clone_of(on.volumes.values().flat_map(|v| v.keys()), volume) {
            return Err(refused(format!(
                "{volume} is the base of the linked clone {clone}"
            )));
        }
    }
    for volume in &owned {
        volumes::unlist(world, &was.node, volume);
    }
    world.guests.remove(&vmid);
    world.completeness.remove(&Part::GuestConfig(vmid));
    world.completeness.remove(&Part::GuestSnapshots(vmid));
    if world.firewalls.guests.contains_key(&vmid) {
        world.firewalls.guests.remove(&vmid);
    }
    super::cluster::drop_acl(world, &format!("/vms/{vmid}"));
    for pool in world
        .pools
        .values_mut()
        .filter(|pool| pool.guests.contains(&vmid))
    {
        Arc::make_mut(pool).guests.remove(&vmid);
    }
    if purge {
        forget(world, vmid);
    }
    Ok(())
}

/// The guest's own volumes in every section of its configuration.
fn owned_volumes(guest: &Guest) -> std::collections::BTreeSet<VolumeId> {
    let pending = guest
        .config
        .pending
        .iter()
        .filter_map(|p| views::disk(guest.kind, &p.key, p.value.as_deref()?));
    volumes::sections(guest)
        .flat_map(|section| views::disks(guest.kind, section))
        .chain(pending)
        .filter_map(|disk| match disk.source {
            Source::Volume(volume) | Source::CloudInit(volume) => Some(volume),
            Source::Cdrom(_) | Source::Empty | Source::Path(_) => None,
        })
        .filter(|volume| views::owner(volume) == Some(guest.vmid))
        .collect()
}

fn clone_of<'v>(
    mut volumes: impl Iterator<Item = &'v VolumeId>,
    base: &VolumeId,
) -> Option<&'v VolumeId> {
    volumes.find(|other| views::parent(other) == Parent::Of(base.clone()))
}

/// Takes a guest out of HA, replication and backup jobs; a job that names nobody any more is deleted.
fn forget(world: &mut World, vmid: Vmid) {
    world.ha_resources.remove(&vmid);
    forget_in_rules(world, vmid);
    world.replication_jobs.retain(|_, job| job.guest != vmid);
    let mut emptied = Vec::new();
    for (id, job) in &mut world.backup_jobs {
        let named = match &job.selection {
            Selection::AllBut(guests) | Selection::Guests(guests) => guests.contains(&vmid),
            Selection::Pool(_) => false,
        };
        if !named {
            continue;
        }
        let job = Arc::make_mut(job);
        let (key, guests) = match &mut job.selection {
            Selection::AllBut(guests) => ("exclude", guests),
            Selection::Guests(guests) => ("vmid", guests),
            Selection::Pool(_) => continue,
        };
        guests.remove(&vmid);
        let text: Vec<String> = guests.iter().map(ToString::to_string).collect();
        if text.is_empty() {
            job.options.remove(key);
            if key == "vmid" {
                emptied.push(id.clone());
            }
        } else {
            job.options.insert(key.to_owned(), text.join(","));
        }
    }
    for id in emptied {
        world.backup_jobs.remove(&id);
    }
}

pub(super) fn forget_in_rules(world: &mut World, vmid: Vmid) {
    for rule in world
        .ha_rules
        .values_mut()
        .filter(|rule| rule.resources.contains(&vmid))
    {
        Arc::make_mut(rule).resources.remove(&vmid);
    }
}
