//! What steps themselves do to people's things, beyond what health before and after shows: data destroyed, restarts, links that
//! flap, disks that cannot shrink again, and steps that Proxmox VE would refuse.

use std::collections::BTreeSet;

use super::super::finish::clone_of;
use super::super::model::{Duration, StepId};
use super::super::words::{clean, difference, short};
use super::Raw;
use crate::health::{Category, Entity, Facet, Grade, Health};
use crate::ids::{Bytes, GuestKind, Vmid, VolumeId};
use crate::proxmox::property::boolean;
use crate::proxmox::schema::effect::protects;
use crate::proxmox::schema::{ChangeEffect, change_effect};
use crate::world::views::{self, Disk};
use crate::world::{Action, Guest, Param, Params, PowerAction, Section, Selection, Status, World};

fn raw(
    step: StepId,
    entity: Entity,
    category: Category,
    (before, after): (&str, &str),
    cause: String,
    duration: Duration,
    rule: &str,
) -> Raw {
    Raw {
        entity,
        category,
        before: before.to_owned(),
        after: after.to_owned(),
        causes: vec![clean(&cause)],
        notes: Vec::new(),
        duration,
        steps: BTreeSet::from([step]),
        rule: rule.to_owned(),
    }
}

fn entity_of(action: &Action) -> Entity {
    match action {
        Action::CreateStorage { id, .. }
        | Action::UpdateStorage { id, .. }
        | Action::DeleteStorage { id } => Entity::Storage(id.clone()),
        Action::DeleteVolume { volume, .. } => Entity::Volume(volume.clone()),
        Action::CreatePool { id, .. }
        | Action::UpdatePool { id, .. }
        | Action::DeletePool { id } => Entity::Pool(id.clone()),
        Action::CreateGuest { kind, vmid, .. }
        | Action::UpdateConfig { kind, vmid, .. }
        | Action::ResizeDisk { kind, vmid, .. }
        | Action::MoveDisk { kind, vmid, .. }
        | Action::DetachDisk { kind, vmid, .. }
        | Action::FreeDisk { kind, vmid, .. }
        | Action::SetPower { kind, vmid, .. }
        | Action::SetHaState { kind, vmid, .. }
        | Action::RemoveHaResource { kind, vmid }
        | Action::Migrate { kind, vmid, .. }
        | Action::DestroyGuest { kind, vmid, .. } => Entity::Guest(*kind, *vmid),
    }
}

/// The impacts of an action that was predicted.
pub(super) fn impacts(
    step: StepId,
    action: &Action,
    before: &World,
    after: &World,
    health: &Health,
) -> Vec<Raw> {
    let at = At {
        step,
        before,
        after,
        health,
    };
    let mut all = will_fail(step, action, before);
    match action {
        Action::CreateGuest {
            kind, vmid, params, ..
        } => all.extend(at.create(*kind, *vmid, params)),
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => {
            all.extend(at.config(*kind, *vmid, set, delete));
            all.extend(at.freed(*vmid, "GU05"));
        }
        Action::ResizeDisk {
            kind,
            vmid,
            slot,
            from,
            to,
        } => all.push(raw(
            step,
            Entity::Guest(*kind, *vmid),
            Category::Irreversible,
            (&from.human(), &to.human()),
            format!("{slot} grows from {from} to {to} and cannot shrink again"),
            Duration::Permanent,
            "ST10",
        )),
        Action::DetachDisk {
            kind,
            vmid,
            slot,
            volume,
        } => all.push(at.detach(*kind, *vmid, slot.as_str(), volume)),
        Action::FreeDisk {
            kind,
            vmid,
            slot,
            volume,
        } => all.push(raw(
            step,
            Entity::Guest(*kind, *vmid),
            Category::DataLost,
            ("there", "gone"),
            format!("{slot} ({volume}) is freed for good"),
            Duration::Permanent,
            "ST13",
        )),
        Action::SetPower { kind, vmid, power } => {
            all.extend(at.power(*kind, *vmid, power));
            all.extend(at.freed(*vmid, "GU05"));
        }
        Action::SetHaState {
            kind, vmid, state, ..
        } => {
            all.extend(match state.as_str() {
                "started" => at.start(*kind, *vmid),
                _ => at.stop(*kind, *vmid),
            });
            all.extend(at.freed(*vmid, "GU05"));
        }
        Action::Migrate {
            kind,
            vmid,
            to,
            running,
            ..
        } => {
            if *running && *kind == GuestKind::Lxc {
                all.push(raw(
                    step,
                    Entity::Guest(*kind, *vmid),
                    Category::Restarted,
                    ("runs", "restarted"),
                    format!("a running container is stopped, moved to {to} and started there"),
                    Duration::Transient,
                    "GU07",
                ));
            }
        }
        Action::DestroyGuest { kind, vmid, .. } => all.extend(at.destroy(*kind, *vmid)),
        Action::DeleteVolume { volume, .. } => all.push(raw(
            step,
            Entity::Volume(volume.clone()),
            Category::DataLost,
            ("there", "gone"),
            format!("{volume} is deleted"),
            Duration::Permanent,
            "ST08",
        )),
        Action::MoveDisk { .. }
        | Action::RemoveHaResource { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. } => {}
    }
    all
}

struct At<'a> {
    step: StepId,
    before: &'a World,
    after: &'a World,
    health: &'a Health,
}

/// Every disk of a guest in every section, each volume once, with where it was found.
fn every_disk(guest: &Guest) -> Vec<(String, Disk)> {
    let config = &guest.config;
    let pending: Section = config
        .pending
        .iter()
        .filter_map(|p| Some((p.key.clone(), p.value.clone()?)))
        .collect();
    let mut seen: BTreeSet<VolumeId> = BTreeSet::new();
    let sections = [
        (String::new(), &config.current),
        (" (pending)".to_owned(), &pending),
    ]
    .into_iter()
    .chain(
        config
            .snapshots
            .iter()
            .map(|(name, snapshot)| (format!(" (snapshot {name})"), &snapshot.section)),
    );
    let mut all = Vec::new();
    for (label, section) in sections {
        for disk in views::disks(guest.kind, section) {
            if let Some(volume) = disk.source.data()
                && seen.insert(volume.clone())
            {
                all.push((format!("{}{label}", disk.slot), disk));
            }
        }
    }
    all
}

fn size_of(world: &World, guest: &Guest, disk: &Disk) -> Option<Bytes> {
    let volume = disk.source.volume()?;
    world
        .storages
        .get(volume.storage())
        .and_then(|storage| storage.volume(&guest.node, volume))
        .map(|volume| volume.size)
        .or(disk.size)
}

fn described(world: &World, guest: &Guest, place: &str, disk: &Disk) -> String {
    let storage = disk
        .source
        .volume()
        .map(|volume| volume.storage().to_string())
        .unwrap_or_default();
    match size_of(world, guest, disk) {
        Some(size) => format!("{place} ({size} on {storage})"),
        None => format!("{place} (size unknown, on {storage})"),
    }
}

impl At<'_> {
    fn create(&self, kind: GuestKind, vmid: Vmid, params: &Params) -> Vec<Raw> {
        let entity = Entity::Guest(kind, vmid);
        let mut all = Vec::new();
        let path = format!("/vms/{vmid}");
        for entry in self.before.acl.iter().filter(|entry| entry.path == path) {
            all.push(raw(
                self.step,
                Entity::Acl(format!("{path} {}", entry.subject)),
                Category::GainsPrivilege,
                ("names nothing", "names the new guest"),
                format!(
                    "the access rule {path} of a former guest gives {} {} the role {} on the new one",
                    entry.subject_type, entry.subject, entry.role
                ),
                Duration::Permanent,
                "GU08",
            ));
        }
        let jobs = self.before.backup_jobs.iter().filter(|(_, job)| {
            matches!(&job.selection, Selection::Guests(guests) | Selection::AllBut(guests) if guests.contains(&vmid))
        });
        for (id, _) in jobs {
            all.push(raw(
                self.step,
                Entity::BackupJob(id.clone()),
                Category::Dangling,
                ("names nothing", "names the new guest"),
                format!("it still names {vmid}, which was another guest"),
                Duration::Permanent,
                "GU08",
            ));
        }
        let left = self
            .before
            .storages
            .values()
            .flat_map(|storage| storage.volumes.values())
            .flat_map(|volumes| volumes.iter())
            .filter(|(_, volume)| volume.vmid == Some(vmid))
            .map(|(id, _)| id.to_string())
            .collect::<BTreeSet<_>>();
        if !left.is_empty() {
            let list: Vec<_> = left.into_iter().collect();
            all.push(raw(
                self.step,
                entity.clone(),
                Category::Dangling,
                ("no guest", "a new guest"),
                format!(
                    "volumes of a former guest {vmid} are still there and would count as the new one's: {}",
                    super::super::words::few(&list)
                ),
                Duration::Permanent,
                "GU08",
            ));
        }
        let privileged = kind == GuestKind::Lxc
            && matches!(params.get("unprivileged"), Some(Param::Plain(text)) if boolean(text) == Some(false));
        if privileged {
            all.push(raw(
                self.step,
                entity.clone(),
                Category::Exposed,
                ("no guest", "a privileged container"),
                "it is a privileged container: root inside it is root on the node".to_owned(),
                Duration::Permanent,
                "GU08",
            ));
        }
        all.extend(self.same_name(&entity, vmid));
        all
    }

    fn same_name(&self, entity: &Entity, vmid: Vmid) -> Option<Raw> {
        let name = self.after.guests.get(&vmid)?.name.clone()?;
        let other = self
            .before
            .guests
            .values()
            .find(|guest| guest.name.as_deref() == Some(&name))?;
        Some(raw(
            self.step,
            entity.clone(),
            Category::Dangling,
            ("one guest of this name", "two"),
            format!("{} is called {name} too", other.entity()),
            Duration::Permanent,
            "GU08",
        ))
    }

    /// What a change of configuration does to a running guest.
    fn config(
        &self,
        kind: GuestKind,
        vmid: Vmid,
        set: &Params,
        delete: &BTreeSet<String>,
    ) -> Vec<Raw> {
        let Some(guest) = self.before.guests.get(&vmid) else {
            return Vec::new();
        };
        let entity = Entity::Guest(kind, vmid);
        let next = guest.config.next_start();
        let hotplug = guest.config.current.get("hotplug").map_or("", |h| h);
        let mut all = Vec::new();
        let plain = set.iter().filter_map(|(key, param)| match param {
            Param::Plain(value) => Some((key, Some(value.as_str()))),
            Param::Secret { .. } => None,
        });
        for (key, new) in plain.chain(delete.iter().map(|key| (key, None))) {
            if !views::is_nic_key(key) {
                continue;
            }
            let old = next.get(key).map(String::as_str);
            all.extend(self.exposed(&entity, key, old, new));
            let current = guest.config.current.get(key).map(String::as_str);
            let effect = change_effect(kind, key, current, new, hotplug);
            let cause = difference(key, current, new);
            if old.is_some() && new.is_none() {
                all.push(raw(
                    self.step,
                    entity.clone(),
                    Category::Unreachable,
                    ("connected", "not connected"),
                    format!("the network card is removed: {key}"),
                    Duration::Permanent,
                    "GU04",
                ));
            } else if guest.status == Status::Running
                && matches!(effect, ChangeEffect::NicFlap | ChangeEffect::NicReplug)
            {
                all.push(raw(
                    self.step,
                    entity.clone(),
                    Category::LinkFlap,
                    ("connected", "link goes down and up"),
                    cause,
                    Duration::Transient,
                    "GU04",
                ));
            }
        }
        all
    }

    /// A card whose firewall is switched off.
    fn exposed(
        &self,
        entity: &Entity,
        key: &str,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Option<Raw> {
        let old = views::nic(key, old?)?;
        let new = views::nic(key, new?)?;
        (old.firewall && !new.firewall).then(|| {
            raw(
                self.step,
                entity.clone(),
                Category::Exposed,
                ("filtered by the guest's firewall", "not filtered"),
                format!("{key} loses its firewall flag"),
                Duration::Permanent,
                "GU12",
            )
        })
    }

    /// Volumes of a guest that are there before a step and gone after it: pending removals by force that took effect.
    fn freed(&self, vmid: Vmid, rule: &str) -> Vec<Raw> {
        let (Some(before), Some(after)) =
            (self.before.guests.get(&vmid), self.after.guests.get(&vmid))
        else {
            return Vec::new();
        };
        let kept: BTreeSet<_> = every_disk(after)
            .into_iter()
            .filter_map(|(_, disk)| disk.source.volume().cloned())
            .collect();
        let forced: BTreeSet<_> = before
            .config
            .pending
            .iter()
            .filter(|p| p.force)
            .map(|p| p.key.as_str())
            .collect();
        every_disk(before)
            .into_iter()
            .filter(|(place, disk)| {
                forced.contains(place.as_str())
                    && disk
                        .source
                        .data()
                        .is_some_and(|volume| !kept.contains(volume))
            })
            .map(|(place, disk)| {
                raw(
                    self.step,
                    Entity::Guest(before.kind, vmid),
                    Category::DataLost,
                    ("there", "gone"),
                    format!(
                        "{} was marked for removal by somebody, and this step makes it so",
                        described(self.before, before, &place, &disk)
                    ),
                    Duration::Permanent,
                    rule,
                )
            })
            .collect()
    }

    fn detach(&self, kind: GuestKind, vmid: Vmid, slot: &str, volume: &VolumeId) -> Raw {
        let guest = self.before.guests.get(&vmid);
        let size = guest.and_then(|guest| {
            let section = guest.config.next_start();
            let disk = views::disk(kind, slot, section.get(slot)?)?;
            Some(described(self.before, guest, slot, &disk))
        });
        let mut impact = raw(
            self.step,
            Entity::Guest(kind, vmid),
            Category::Degraded,
            ("attached", "kept as unused"),
            format!(
                "{} is taken out of its slot and kept as unused",
                size.unwrap_or_else(|| format!("{slot} ({volume})"))
            ),
            Duration::Permanent,
            "ST13",
        );
        impact.notes = self
            .before
            .guests
            .values()
            .filter(|other| other.vmid != vmid)
            .filter(|other| {
                every_disk(other)
                    .iter()
                    .any(|(_, disk)| disk.source.volume() == Some(volume))
            })
            .map(|other| format!("{} refers to {volume} too", other.entity()))
            .collect();
        impact
    }

    fn power(&self, kind: GuestKind, vmid: Vmid, power: &PowerAction) -> Vec<Raw> {
        match power {
            PowerAction::Start => self.start(kind, vmid),
            PowerAction::Shutdown { .. } | PowerAction::Stop => self.stop(kind, vmid),
            PowerAction::Reboot { .. } => {
                let mut all = vec![raw(
                    self.step,
                    Entity::Guest(kind, vmid),
                    Category::Restarted,
                    ("runs", "restarted"),
                    "it is shut down and started again".to_owned(),
                    Duration::Transient,
                    "GU06",
                )];
                all.extend(self.start(kind, vmid));
                all
            }
        }
    }

    fn stop(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        let runs = |world: &World| {
            world
                .guests
                .get(&vmid)
                .is_some_and(|guest| guest.status == Status::Running)
        };
        if !runs(self.before) || runs(self.after) {
            return Vec::new();
        }
        vec![raw(
            self.step,
            Entity::Guest(kind, vmid),
            Category::Stopped,
            ("runs", "stopped"),
            "it runs now and is shut down".to_owned(),
            Duration::Permanent,
            "GU06",
        )]
    }

    /// A start that cannot succeed.
    fn start(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        let entity = Entity::Guest(kind, vmid);
        let boots = self.health.get(&(entity.clone(), Facet::Boots));
        let lost = boots.filter(|state| state.grade >= Grade::Lost);
        let missing_nic = self
            .health
            .range((entity.clone(), Facet::Boots)..)
            .take_while(|((other, _), _)| *other == entity)
            .filter(|((_, facet), state)| {
                matches!(facet, Facet::Nic(_) | Facet::Medium(_)) && state.grade >= Grade::Lost
            })
            .map(|(_, state)| state);
        lost.into_iter()
            .chain(missing_nic)
            .map(|state| {
                let mut impact = raw(
                    self.step,
                    entity.clone(),
                    if state.grade == Grade::Unknown {
                        Category::Unknown
                    } else {
                        Category::WillFail
                    },
                    ("stopped", "does not start"),
                    String::new(),
                    Duration::Permanent,
                    "GU06",
                );
                impact.causes = state.causes.clone();
                impact
            })
            .collect()
    }

    fn destroy(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        let Some(guest) = self.before.guests.get(&vmid) else {
            return Vec::new();
        };
        let entity = Entity::Guest(kind, vmid);
        let lost = |cause: String| {
            raw(
                self.step,
                entity.clone(),
                Category::DataLost,
                ("there", "gone"),
                cause,
                Duration::Permanent,
                "GU01",
            )
        };
        let mut all: Vec<Raw> = every_disk(guest)
            .iter()
            .map(|(place, disk)| lost(described(self.before, guest, place, disk)))
            .collect();
        all.extend(
            guest
                .config
                .snapshots
                .keys()
                .map(|name| lost(format!("snapshot {}", short(name)))),
        );
        let backups = self
            .after
            .storages
            .values()
            .flat_map(|storage| storage.volumes.values())
            .flat_map(|volumes| volumes.iter())
            .filter(|(_, volume)| volume.content == "backup" && volume.vmid == Some(vmid))
            .map(|(id, _)| id)
            .collect::<BTreeSet<_>>()
            .len();
        let note = match backups {
            0 => "no backup of it can be seen".to_owned(),
            1 => "one backup of it stays".to_owned(),
            more => format!("{more} backups of it stay"),
        };
        match all.first_mut() {
            Some(first) => first.notes.push(note),
            None => {
                let mut impact = raw(
                    self.step,
                    entity.clone(),
                    Category::Irreversible,
                    ("exists", "gone"),
                    "a destroyed guest does not come back".to_owned(),
                    Duration::Permanent,
                    "GU01",
                );
                impact.notes.push(note);
                all.push(impact);
            }
        }
        all.extend(self.others_disks(guest, vmid));
        all
    }

    /// Other guests that use a disk of the destroyed one.
    fn others_disks(&self, guest: &Guest, vmid: Vmid) -> Vec<Raw> {
        let volumes: BTreeSet<_> = every_disk(guest)
            .into_iter()
            .filter_map(|(_, disk)| disk.source.volume().cloned())
            .filter(|volume| views::owner(volume) == Some(vmid))
            .collect();
        let mut all = Vec::new();
        for other in self.before.guests.values().filter(|o| o.vmid != vmid) {
            for (place, disk) in every_disk(other) {
                if disk.source.volume().is_some_and(|v| volumes.contains(v)) {
                    all.push(raw(
                        self.step,
                        Entity::Guest(other.kind, other.vmid),
                        Category::DataLost,
                        ("there", "gone"),
                        format!(
                            "{} belongs to {} and goes with it",
                            described(self.before, other, &place, &disk),
                            guest.entity()
                        ),
                        Duration::Permanent,
                        "GU03",
                    ));
                }
            }
        }
        all
    }
}

/// The rule that speaks when a kind of step fails.
pub(super) fn failure_rule(action: &Action) -> &'static str {
    match action {
        Action::DestroyGuest { .. } | Action::FreeDisk { .. } | Action::RemoveHaResource { .. } => {
            "GU02"
        }
        Action::SetPower { .. } | Action::SetHaState { .. } => "GU06",
        Action::Migrate { .. } => "GU07",
        Action::CreateGuest { .. } => "GU08",
        Action::UpdateConfig { .. } => "GU04",
        Action::MoveDisk { .. } => "ST09",
        Action::ResizeDisk { .. } => "ST10",
        Action::DetachDisk { .. } => "ST13",
        Action::CreateStorage { .. } | Action::UpdateStorage { .. } => "ST12",
        Action::DeleteStorage { .. } => "ST06",
        Action::DeleteVolume { .. } => "ST08",
        Action::CreatePool { .. } | Action::UpdatePool { .. } | Action::DeletePool { .. } => "GU03",
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
    let Some(guest) = action.guest().and_then(|(_, vmid)| world.guests.get(&vmid)) else {
        return Vec::new();
    };
    let mut reasons: Vec<String> = Vec::new();
    if let Some(lock) = &guest.lock {
        reasons.push(format!(
            "{} is locked ({}); wait until that ends",
            guest.entity(),
            clean(lock)
        ));
    }
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
        Action::Migrate { to, running, .. } => {
            reasons.extend(migrate_refused(guest, to, *running, world));
        }
        Action::SetPower {
            power: PowerAction::Start,
            ..
        } => reasons.extend(start_refused(guest, world)),
        Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::CreateGuest { .. }
        | Action::UpdateConfig { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. } => {}
    }
    let rule = failure_rule(action);
    reasons
        .iter()
        .map(|why| failure(step, action, why, rule))
        .collect()
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
    to: &crate::ids::NodeName,
    running: bool,
    world: &World,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let section = guest.config.next_start();
    let live = running && guest.kind == GuestKind::Qemu;
    for disk in views::disks(guest.kind, &section) {
        let Some(volume) = disk.source.volume() else {
            continue;
        };
        let Some(storage) = world.storages.get(volume.storage()) else {
            reasons.push(format!("storage {} does not exist", volume.storage()));
            continue;
        };
        if !storage.on_node(to) {
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
        }
    }
    for (key, value) in &section {
        let (stem, index) = crate::proxmox::schema::split_index(key);
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
    let known = world
        .unreadable(&crate::world::Part::NodeNetwork(to.clone()))
        .is_none();
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
