//! What steps themselves do to people's things, beyond what health before and after shows: restarts, links that flap, disks that
//! cannot shrink again; for each kind of step, who speaks about it.

use std::collections::BTreeSet;

use super::super::model::{Duration, StepId};
use super::super::words::{clean, difference};
use super::firewall;
use super::refusals::will_fail;
use super::{Raw, accounts, trial};
use crate::health::{Category, Entity, Facet, Grade, Health};
use crate::ids::{GuestKind, Vmid};
use crate::proxmox::schema::{ChangeEffect, change_effect};
use crate::world::views::{self, Nic};
use crate::world::{Action, Param, Params, PowerAction, Site, Status, World};

pub(super) fn raw(
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

pub(super) fn entity_of(action: &Action) -> Entity {
    match action {
        Action::CreateStorage { id, .. }
        | Action::UpdateStorage { id, .. }
        | Action::DeleteStorage { id } => Entity::Storage(id.clone()),
        Action::DeleteVolume { volume, .. }
        | Action::DownloadImage { volume, .. }
        | Action::ProtectBackup { volume, .. }
        | Action::DeleteBackup { volume, .. }
        | Action::DeleteImage { volume, .. } => Entity::Volume(volume.clone()),
        Action::CreatePool { id, .. }
        | Action::UpdatePool { id, .. }
        | Action::DeletePool { id } => Entity::Pool(id.clone()),
        Action::CreateBackupJob { id, .. }
        | Action::UpdateBackupJob { id, .. }
        | Action::DeleteBackupJob { id } => Entity::BackupJob(id.to_string()),
        Action::CreateReplicationJob { id, .. }
        | Action::UpdateReplicationJob { id, .. }
        | Action::DeleteReplicationJob { id } => Entity::ReplicationJob(id.to_string()),
        Action::Account(action) => accounts::entity(action),
        Action::Firewall(action) => match action.site() {
            // The datacenter's firewall is every node's, and how Bailiwick reaches them.
            Site::Cluster | Site::Vnet { .. } => Entity::Controller,
            Site::Node { node } => Entity::Node(node.clone()),
            Site::Guest { kind, vmid } => Entity::Guest(*kind, *vmid),
        },
        Action::CreateGuest { kind, vmid, .. }
        | Action::CloneGuest { kind, vmid, .. }
        | Action::RestoreGuest { kind, vmid, .. }
        | Action::ConvertToTemplate { kind, vmid }
        | Action::UpdateConfig { kind, vmid, .. }
        | Action::ResizeDisk { kind, vmid, .. }
        | Action::MoveDisk { kind, vmid, .. }
        | Action::DetachDisk { kind, vmid, .. }
        | Action::FreeDisk { kind, vmid, .. }
        | Action::SetPower { kind, vmid, .. }
        | Action::SetHaState { kind, vmid, .. }
        | Action::RemoveHaResource { kind, vmid }
        | Action::Migrate { kind, vmid, .. }
        | Action::TakeSnapshot { kind, vmid, .. }
        | Action::DescribeSnapshot { kind, vmid, .. }
        | Action::DeleteSnapshot { kind, vmid, .. }
        | Action::BackUpGuest { kind, vmid, .. }
        | Action::DestroyGuest { kind, vmid, .. } => Entity::Guest(*kind, *vmid),
        Action::RegenerateCloudInit { vmid } => Entity::Guest(GuestKind::Qemu, *vmid),
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
        } => {
            all.extend(at.create(*kind, *vmid, params));
            all.extend(at.shared_addresses(*vmid));
        }
        // Whose address it has too is asked at the end: a later step may give it its own.
        Action::CloneGuest { kind, vmid, .. } => all.extend(at.cloned(*kind, *vmid)),
        Action::RestoreGuest {
            kind,
            vmid,
            archive,
            ..
        } => all.extend(at.restored(*kind, *vmid, archive)),
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => {
            all.extend(at.config(*kind, *vmid, set, delete));
            if set
                .keys()
                .any(|key| key.starts_with("net") || key.starts_with("ipconfig"))
            {
                all.extend(at.shared_addresses(*vmid));
            }
            all.extend(at.coming_back(*kind, *vmid));
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
        Action::BackUpGuest {
            vmid,
            node,
            storage,
            ..
        } => all.extend(at.backed_up(*vmid, node, storage)),
        Action::DeleteBackup { node, volume } => all.extend(at.backup_deleted(node, volume)),
        Action::DeleteVolume { volume, .. } => all.push(raw(
            step,
            Entity::Volume(volume.clone()),
            Category::DataLost,
            ("there", "gone"),
            format!("{volume} is deleted"),
            Duration::Permanent,
            "ST08",
        )),
        Action::DeleteImage { volume, source, .. } => all.push(raw(
            step,
            Entity::Volume(volume.clone()),
            Category::DataLost,
            ("there", "gone"),
            match source {
                Some(source) => format!(
                    "{volume} is deleted; it comes back only if {} still serves it",
                    source.place()
                ),
                None => format!("{volume} is deleted, and where it came from is not known"),
            },
            Duration::Permanent,
            "ST08",
        )),
        // That there is no way back is said of every step that has none.
        Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::DownloadImage { .. }
        | Action::MoveDisk { .. }
        | Action::RemoveHaResource { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::DeleteBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. } => {}
        Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::ProtectBackup { .. } => {}
        Action::Account(action) => all.extend(at.account(action)),
        Action::Firewall(action) => {
            all.extend(firewall::impacts(step, action, before));
            all.extend(trial::impacts(step, action, before));
        }
        Action::CreateBackupJob { .. } | Action::UpdateBackupJob { .. } => all.extend(at.pruned()),
    }
    all
}

/// The network a card is on, as people say it.
fn segment(nic: &Nic) -> String {
    let bridge = nic.bridge.as_deref().unwrap_or("no bridge");
    match &nic.tag {
        Some(tag) => format!("on {bridge}, VLAN {tag}"),
        None => format!("on {bridge}"),
    }
}

/// A step with the worlds around it.
pub(super) struct At<'a> {
    pub step: StepId,
    pub before: &'a World,
    pub after: &'a World,
    pub health: &'a Health,
}

impl At<'_> {
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
            all.extend(self.rewired(&entity, key, old, new));
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

    /// A card that stays, and is not where it was or is no longer filtered.
    fn rewired(
        &self,
        entity: &Entity,
        key: &str,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Vec<Raw> {
        let nic = |value: Option<&str>| value.and_then(|value| views::nic(key, value));
        let (Some(old), Some(new)) = (nic(old), nic(new)) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        let mut put = |category, states: (&str, &str), cause| {
            let entity = entity.clone();
            let lasts = Duration::Permanent;
            all.push(raw(
                self.step, entity, category, states, cause, lasts, "GU12",
            ));
        };
        let (from, to) = (segment(&old), segment(&new));
        if from != to {
            let cause =
                format!("{key} moves: whoever reaches it on the old network no longer does");
            put(Category::Unreachable, (&from, &to), cause);
        }
        let down = |nic: &Nic| nic.options.get("link_down").is_some_and(|on| on == "1");
        if !down(&old) && down(&new) {
            let cause = format!("{key} gets its link taken away");
            put(Category::Unreachable, ("connected", "not connected"), cause);
        }
        for family in ["ip", "ip6"] {
            let address = |nic: &Nic| {
                nic.options
                    .get(family)
                    .filter(|ip| ip.contains('/'))
                    .cloned()
            };
            let (was, is) = (address(&old), new.options.get(family));
            if let Some(was) = was.filter(|was| Some(was) != is) {
                let is = is.map_or("no address", |is| is);
                let cause = format!("{key} no longer has the address {was}");
                put(Category::Unreachable, (&was, is), cause);
            }
        }
        let mac = |nic: &Nic| nic.mac.as_deref().map(str::to_ascii_lowercase);
        if let (Some(was), Some(is)) = (mac(&old), mac(&new))
            && was != is
        {
            let cause = format!(
                "{key} gets another MAC address: leases, filters and licences bound to the old one do not fit it"
            );
            put(Category::Degraded, (&was, &is), cause);
        }
        if old.firewall && !new.firewall {
            let cause = format!("{key} loses its firewall flag");
            let states = ("filtered by the guest's firewall", "not filtered");
            put(Category::Exposed, states, cause);
        }
        all
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
}
