//! Steps that Proxmox VE would refuse, as far as the world before them tells, and the rule each kind of failure belongs to. It
//! predicts no result: what a step that succeeds does is said elsewhere.

use std::collections::BTreeMap;

use super::super::finish::clone_of;
use super::super::model::{Duration, StepId};
use super::super::words::clean;
use super::actions::{entity_of, raw};
use super::{Raw, accounts};
use crate::health::Category;
use crate::ids::{Bytes, GuestKind, NodeName, Slot, StorageId, Vmid};
use crate::proxmox::schema::effect::protects;
use crate::proxmox::schema::split_index;
use crate::world::views;
use crate::world::{
    Action, Guest, Param, Part, PowerAction, Status, World, held_by_replication,
    replication_refusals, snapshot_refused, snapshot_stays,
};

/// The rule that speaks when a kind of step fails.
pub(super) fn failure_rule(action: &Action) -> &'static str {
    match action {
        Action::DestroyGuest { .. } | Action::FreeDisk { .. } | Action::RemoveHaResource { .. } => {
            "GU02"
        }
        Action::SetPower { .. } | Action::SetHaState { .. } => "GU06",
        Action::Migrate { .. } => "GU07",
        Action::CreateGuest { .. } => "GU08",
        Action::RestoreGuest { .. } => "GU08",
        Action::CloneGuest { .. } => "GU09",
        Action::ConvertToTemplate { .. } => "GU11",
        Action::UpdateConfig { .. } => "GU04",
        Action::RegenerateCloudInit { .. } => "GU16",
        Action::MoveDisk { .. } => "ST09",
        Action::ResizeDisk { .. } => "ST10",
        Action::DetachDisk { .. } => "ST13",
        Action::CreateStorage { .. } | Action::UpdateStorage { .. } => "ST12",
        Action::DeleteStorage { .. } => "ST06",
        Action::DeleteVolume { .. } | Action::DownloadImage { .. } | Action::DeleteImage { .. } => {
            "ST08"
        }
        Action::CreatePool { .. } | Action::UpdatePool { .. } | Action::DeletePool { .. } => "GU03",
        Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. } => "CL03",
        Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. } => "GU10",
        // No destruction without its copy.
        Action::BackUpGuest { .. } => "GU01",
        Action::ProtectBackup { .. } | Action::DeleteBackup { .. } => "ST08",
        Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. } => "CL04",
        Action::Account(action) => accounts::rule(action),
        Action::Firewall(action) if action.destructive() => "FW05",
        Action::Firewall(_) => "FW01",
    }
}

/// A step that will fail, with the reason.
pub(super) fn failure(step: StepId, action: &Action, why: &str, rule: &str) -> Raw {
    raw(
        step,
        entity_of(action),
        Category::WillFail,
        ("as it is", "the step fails"),
        why.to_owned(),
        Duration::Permanent,
        rule,
    )
}

/// A step that cannot be taken back, for which nothing worse was said.
pub(super) fn cannot_go_back(step: StepId, action: &Action, why: &str) -> Raw {
    raw(
        step,
        entity_of(action),
        Category::Irreversible,
        ("can be taken back", "cannot"),
        why.to_owned(),
        Duration::Permanent,
        match action {
            Action::RemoveHaResource { .. } => "GU03",
            _ => failure_rule(action),
        },
    )
}

/// Reasons for which Proxmox VE refuses a step, as far as the world before it tells.
pub(super) fn will_fail(step: StepId, action: &Action, world: &World) -> Vec<Raw> {
    let rule = failure_rule(action);
    refused(action, world)
        .iter()
        .map(|why| failure(step, action, why, rule))
        .collect()
}

/// The same in words.
pub(in crate::plan) fn refused(action: &Action, world: &World) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    if world.quorate == Some(false) {
        // /etc/pve, where all configuration lies, can only be read then.
        reasons
            .push("the cluster is not quorate, and until it is nothing can be changed".to_owned());
    }
    if let Some(guest) = action.guest().and_then(|(_, vmid)| world.guests.get(&vmid)) {
        reasons.extend(guest_refuses(action, guest, world));
    }
    if let Action::CreateReplicationJob { id, target, .. } = action {
        reasons.extend(replication_refusals(world, id, target));
    }
    reasons
}

fn guest_refuses(action: &Action, guest: &Guest, world: &World) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    // Its firewall is another file, which nothing locks.
    if let Some(lock) = &guest.lock
        && !matches!(action, Action::Firewall(_))
    {
        reasons.push(format!(
            "{} is locked ({}); wait until that ends",
            guest.entity(),
            clean(lock)
        ));
    }
    reasons.extend(cannot_replicate(action, guest, world));
    let protected = protects(guest.config.current.get("protection").map(String::as_str));
    match action {
        Action::DestroyGuest { vmid, purge, .. } => {
            if protected {
                reasons.push(protection(guest));
            }
            reasons.extend(destroy_refused(guest, *vmid, *purge, world));
        }
        Action::DetachDisk { .. } | Action::FreeDisk { .. } if protected => {
            reasons.push(protection(guest));
        }
        Action::Migrate {
            to,
            running,
            target_storage,
            ..
        } => {
            reasons.extend(migrate_refused(guest, to, *running, target_storage, world));
        }
        Action::SetPower {
            power: PowerAction::Start,
            ..
        } => reasons.extend(start_refused(guest, world)),
        Action::MoveDisk { slot, .. } | Action::ResizeDisk { slot, .. } => {
            reasons.extend(disk_out_of_reach(guest, slot, world));
        }
        Action::TakeSnapshot { memory, .. } => {
            reasons.extend(snapshot_refused(world, guest, *memory));
        }
        Action::DeleteSnapshot { name, .. } => reasons.extend(snapshot_stays(world, guest, name)),
        Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::DescribeSnapshot { .. } => {}
        Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::Account(_)
        | Action::Firewall(_) => {}
    }
    reasons
}

/// A replicated guest takes no volume that cannot be replicated (qemu-server, pve-container: "cannot add non-replicatable volume").
fn cannot_replicate(action: &Action, guest: &Guest, world: &World) -> Vec<String> {
    let mut jobs = world.replication_jobs.iter();
    let job = jobs.find(|(_, job)| job.guest == guest.vmid);
    let (Some((job, _)), true) = (job, world.unreadable(&Part::Storages).is_none()) else {
        return Vec::new();
    };
    let mut new: Vec<(&str, StorageId)> = Vec::new();
    match action {
        Action::UpdateConfig { kind, set, .. } => {
            for (key, param) in set {
                let Param::Plain(value) = param else { continue };
                let volume = |text: &str| {
                    let disk = views::replicated_disk(*kind, key, text)?;
                    disk.source.data().cloned()
                };
                let held = guest.config.current.get(key).and_then(|text| volume(text));
                let wanted = volume(value).filter(|wanted| held.as_ref() != Some(wanted));
                new.extend(wanted.map(|wanted| (key.as_str(), wanted.storage().clone())));
            }
        }
        Action::MoveDisk { slot, to, .. } => {
            let value = guest.config.current.get(slot.as_str());
            let copied =
                value.and_then(|text| views::replicated_disk(guest.kind, slot.as_str(), text));
            new.extend(copied.map(|_| (slot.as_str(), to.clone())));
        }
        _ => {}
    }
    let told = new.into_iter().filter_map(|(slot, on)| {
        let storage = world.storages.get(&on)?;
        (!views::replicates(storage)).then(|| {
            format!(
                "{slot} would lie on {on}, which is no ZFS pool, and {} is replicated (job {job}); write `replicate: false` of the disk, or choose another storage",
                guest.entity()
            )
        })
    });
    told.collect()
}

/// Why a disk cannot be worked with where it lies now.
fn disk_out_of_reach(guest: &Guest, slot: &Slot, world: &World) -> Option<String> {
    let value = guest.config.current.get(slot.as_str())?;
    let disk = views::disk(guest.kind, slot.as_str(), value)?;
    let id = disk.source.volume()?.storage();
    if world.unreadable(&Part::Storages).is_some() {
        return None;
    }
    let why = match world.storages.get(id) {
        None => "does not exist".to_owned(),
        Some(storage) if storage.disabled => "is disabled".to_owned(),
        Some(storage) if !storage.on_node(&guest.node) => {
            format!("is not available on {}", guest.node)
        }
        Some(_) => return None,
    };
    Some(format!("{slot} lies on storage {id}, which {why}"))
}

fn protection(guest: &Guest) -> String {
    format!(
        "{} is protected (`protection: 1`); take the protection off first",
        guest.entity()
    )
}

fn destroy_refused(guest: &Guest, vmid: Vmid, purge: bool, world: &World) -> Vec<String> {
    let mut reasons = Vec::new();
    if guest.status == Status::Running {
        reasons.push("it runs, and Proxmox VE destroys only stopped guests".to_owned());
    }
    if world.ha_resources.contains_key(&vmid) && !purge {
        reasons.push("it is still under HA".to_owned());
    }
    if world.replication_jobs.values().any(|job| job.guest == vmid) && !purge {
        reasons.push("it is still replicated".to_owned());
    }
    if guest.template {
        let clones: Vec<String> = world
            .guests
            .values()
            .filter(|other| other.vmid != vmid && clone_of(other) == Some(vmid))
            .map(|other| other.entity())
            .collect();
        if !clones.is_empty() {
            reasons.push(format!(
                "it is a template with linked clones: {}",
                clones.join(", ")
            ));
        }
    }
    reasons
}

fn start_refused(guest: &Guest, world: &World) -> Vec<String> {
    let mut reasons = Vec::new();
    if guest.template {
        reasons.push("a template does not start".to_owned());
    }
    let section = guest.config.next_start();
    if let Some(node) = world.nodes.get(&guest.node)
        && let Some(total) = node.memory_total
        && let Some(memory) = section
            .get("memory")
            .and_then(|text| text.split(',').next())
            .and_then(|text| text.trim_start_matches("current=").parse::<u64>().ok())
        && guest.kind == GuestKind::Qemu
    {
        let wanted = Bytes(memory.saturating_mul(Bytes::MIB));
        if wanted > total {
            reasons.push(format!(
                "it asks for {wanted} of memory, and {} has {total}",
                guest.node
            ));
        }
    }
    reasons
}

fn migrate_refused(
    guest: &Guest,
    to: &NodeName,
    running: bool,
    map: &BTreeMap<StorageId, StorageId>,
    world: &World,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let section = guest.config.next_start();
    let live = running && guest.kind == GuestKind::Qemu;
    reasons.extend(held_by_replication(world, guest, to, running));
    let managed = world.ha_resources.get(&guest.vmid);
    if !map.is_empty() && managed.is_some_and(|ha| ha.state != "ignored") {
        reasons.push("HA migrates it, and HA knows no target storages".to_owned());
    }
    for disk in views::disks(guest.kind, &section) {
        let Some(volume) = disk.source.volume() else {
            continue;
        };
        let Some(storage) = world.storages.get(volume.storage()) else {
            reasons.push(format!("storage {} does not exist", volume.storage()));
            continue;
        };
        let medium = matches!(disk.source, views::Source::Cdrom(_));
        let mapped = map
            .get(&storage.id)
            .filter(|_| !storage.shared && !medium)
            .and_then(|target| Some((target, world.storages.get(target)?)));
        if let Some((target, _)) = mapped.filter(|(_, there)| !there.on_node(to)) {
            reasons.push(format!(
                "{} would go to {target}, which is not available on {to}",
                disk.slot
            ));
        } else if mapped.is_none() && !storage.on_node(to) {
            reasons.push(format!(
                "{} lies on {}, which is not available on {to}",
                disk.slot, storage.id
            ));
        } else if !storage.shared && matches!(disk.source, views::Source::Cdrom(_)) {
            reasons.push(format!(
                "{} holds {volume}, a local CD image; eject it first",
                disk.slot
            ));
        } else if !storage.shared && live && !guest.config.snapshots.is_empty() {
            reasons.push(format!(
                "{} is local and the guest has snapshots, which a running guest cannot take along",
                disk.slot
            ));
        } else if !storage.shared
            && views::in_snapshot(guest, volume)
            && !views::takes_snapshots_along(&storage.storage_type, volume)
        {
            reasons.push(format!(
                "{} is local and held by a snapshot, which {} storages cannot take along",
                disk.slot, storage.storage_type
            ));
        }
    }
    for (key, value) in &section {
        let (stem, index) = split_index(key);
        let device = match stem {
            "hostpci" => !value.contains("mapping="),
            "usb" => !value.contains("mapping=") && !value.contains("spice"),
            "serial" => value != "socket",
            "parallel" | "virtiofs" => true,
            _ => false,
        };
        if index.is_some() && device && guest.kind == GuestKind::Qemu {
            reasons.push(format!("{key} is a device of {} itself", guest.node));
        }
    }
    let bridges = world.nodes.get(to).map(|node| &node.bridges);
    let known = world.unreadable(&Part::NodeNetwork(to.clone())).is_none();
    for nic in views::nics(&section) {
        if let (Some(bridge), Some(bridges)) = (&nic.bridge, bridges)
            && known
            && !bridges.contains(bridge)
        {
            reasons.push(format!(
                "{} is on {bridge}, which {to} does not have",
                nic.slot
            ));
        }
    }
    reasons
}
