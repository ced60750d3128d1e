//! Guests in prediction: create, destroy, power, HA, migrate.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{Bytes, GuestKind, NodeName, PoolId, StorageId, Vmid, VolumeId};
use crate::world::model::{
    Completeness, Guest, GuestConfig, Part, Pending, Selection, Status, Volume, World,
};
use crate::world::views::{self, Parent, Source};
use crate::world::{Params, PowerAction};

use super::config::{allocate, apply_pending, plain};
use super::volumes::{self, Form, content_of, format_on};
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
    world.guests.insert(vmid, Arc::new(fresh));
    for part in [Part::GuestConfig(vmid), Part::GuestSnapshots(vmid)] {
        world.completeness.insert(
            part,
            Completeness::Complete {
                at: world.observed_at,
            },
        );
    }
    for (key, value) in wanted {
        let value = allocate(world, vmid, &key, value)?;
        guest_mut(world, vmid)?.config.current.insert(key, value);
    }
    if kind == GuestKind::Qemu {
        default_boot(guest_mut(world, vmid)?);
    }
    if let Some(pool) = pool {
        let entry = world
            .pools
            .get_mut(pool)
            .ok_or_else(|| Unpredictable::Missing(format!("pool {pool}")))?;
        Arc::make_mut(entry).guests.insert(vmid);
    }
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

fn forget_in_rules(world: &mut World, vmid: Vmid) {
    for rule in world
        .ha_rules
        .values_mut()
        .filter(|rule| rule.resources.contains(&vmid))
    {
        Arc::make_mut(rule).resources.remove(&vmid);
    }
}

/// Starts, shuts down, stops or reboots a guest.
pub(super) fn power(
    world: &mut World,
    vmid: Vmid,
    action: &PowerAction,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    if let Some(ha) = world.ha_resources.get(&vmid)
        && ha.state != "ignored"
    {
        return Err(refused(format!(
            "HA manages {}: its power is changed through HA",
            was.entity()
        )));
    }
    volumes::locked(&was)?;
    match action {
        PowerAction::Start if was.status == Status::Running => {
            Err(refused(format!("{} is already running", was.entity())))
        }
        PowerAction::Start => start(world, vmid),
        PowerAction::Shutdown { .. } | PowerAction::Stop => {
            guest_mut(world, vmid)?.status = Status::Stopped;
            Ok(())
        }
        PowerAction::Reboot { .. } if was.status == Status::Stopped => {
            Err(refused(format!("{} is not running", was.entity())))
        }
        PowerAction::Reboot { .. } => start(world, vmid),
    }
}

/// Everything pending comes into force, then the guest runs, if its storages and bridges let it.
fn start(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    apply_pending(world, vmid)?;
    let starting = guest(world, vmid)?.clone();
    if starting.template {
        return Err(refused(format!("{} is a template", starting.entity())));
    }
    for disk in views::disks(starting.kind, &starting.config.current) {
        let Some(volume) = disk.source.volume().filter(|_| !disk.unused()) else {
            continue;
        };
        let content = match &disk.source {
            Source::Cdrom(volume) => views::file_content(volume).unwrap_or("images"),
            Source::Volume(_) | Source::CloudInit(_) | Source::Empty | Source::Path(_) => {
                content_of(starting.kind)
            }
        };
        super::usable(world, volume.storage(), &starting.node, content).map_err(|why| {
            refused(format!(
                "{} cannot start: {}: {why}",
                starting.entity(),
                disk.slot
            ))
        })?;
        let made_anew = matches!(disk.source, Source::CloudInit(_));
        if !made_anew && is_missing(world, &starting.node, volume) {
            return Err(refused(format!(
                "{} cannot start: {}: {volume} does not exist",
                starting.entity(),
                disk.slot
            )));
        }
    }
    let network = Part::NodeNetwork(starting.node.clone());
    if world.unreadable(&network).is_none() {
        let bridges = world.nodes.get(&starting.node).map(|n| &n.bridges);
        let missing = views::nics(&starting.config.current)
            .into_iter()
            .filter_map(|nic| nic.bridge)
            .find(|bridge| bridges.is_some_and(|b| !b.contains(bridge)));
        if let Some(bridge) = missing {
            return Err(refused(format!(
                "{} cannot start: node {} has no bridge {bridge}",
                starting.entity(),
                starting.node
            )));
        }
    }
    guest_mut(world, vmid)?.status = Status::Running;
    Ok(())
}

/// Whether a storage was listed and a volume is not on it.
fn is_missing(world: &World, node: &NodeName, volume: &VolumeId) -> bool {
    let Some(on) = world.storages.get(volume.storage()) else {
        return true;
    };
    let Some(under) = volumes::listed_under(on, node) else {
        return false;
    };
    let read = world
        .unreadable(&Part::StorageContent(under, on.id.clone()))
        .is_none();
    read && views::parent(volume) == Parent::None && on.volume(node, volume).is_none()
}

/// Requests a state of an HA resource; the guest has it once HA has done its round.
pub(super) fn ha_state(world: &mut World, vmid: Vmid, state: &str) -> Result<(), Unpredictable> {
    guest(world, vmid)?;
    let resource = world
        .ha_resources
        .get_mut(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("the HA resource of guest {vmid}")))?;
    if resource.state != state {
        let resource = Arc::make_mut(resource);
        resource.state = state.to_owned();
        if resource.options.contains_key("state") {
            resource
                .options
                .insert("state".to_owned(), state.to_owned());
        }
    }
    match state {
        "started" if guest(world, vmid)?.status != Status::Running => start(world, vmid),
        "stopped" | "disabled" if guest(world, vmid)?.status != Status::Stopped => {
            guest_mut(world, vmid)?.status = Status::Stopped;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes a guest out of HA; its rules lose it too.
pub(super) fn remove_ha(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    world
        .ha_resources
        .remove(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("the HA resource of guest {vmid}")))?;
    forget_in_rules(world, vmid);
    Ok(())
}

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
        let target_id = map.get(&on.id).unwrap_or(&on.id);
        if on.shared && *target_id == on.id {
            super::usable(world, &on.id, to, content_of(was.kind))?;
            continue;
        }
        let regenerated = matches!(disk.source, Source::CloudInit(_));
        if running && was.kind == GuestKind::Qemu && !with_local_disks && !regenerated {
            return Err(refused(format!(
                "{} is local and stays behind without `with-local-disks`",
                disk.slot
            )));
        }
        copy(world, &was, &disk, volume, target_id, to)?;
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

fn copy(
    world: &mut World,
    was: &Guest,
    disk: &views::Disk,
    volume: &VolumeId,
    target: &StorageId,
    to: &NodeName,
) -> Result<(), Unpredictable> {
    if volumes::in_snapshot(was, volume) && target != volume.storage() {
        return Err(refused(format!(
            "{} has snapshots and cannot change its storage",
            disk.slot
        )));
    }
    let on = super::usable(world, target, to, content_of(was.kind))?.clone();
    let bytes = volumes::size_of(world, &was.node, volume, disk.size);
    let entry = volumes::unlist(world, &was.node, volume);
    let format = format_on(
        &on.storage_type,
        was.kind,
        entry.as_ref().map(|v| v.format.as_str()),
    );
    let form = if views::is_cloudinit(volume) {
        Form::CloudInit
    } else {
        Form::Disk
    };
    let new = if *target == *volume.storage() {
        volume.clone()
    } else {
        let guest = guest(world, was.vmid)?.clone();
        volumes::new_volume(world, &guest, &on, &format, form)
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
