//! Power and place: shutting down, starting, restarting and migrating an existing guest. What HA manages is driven through HA.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::input::{Item, Restart};
use super::Work;
use super::volumes::content_of;
use crate::document::desired::{DesiredGuest, Power};
use crate::ids::{NodeName, StorageId, Vmid};
use crate::world::{Action, Guest, PowerAction, Status, views};

/// The field that problems of target storages are told of.
pub(super) const TARGET_STORAGE: &str = "migration.targetStorage";

impl Planner<'_, '_> {
    /// The state HA is asked to keep a guest in, if HA manages it (`ignored` is as if it did not).
    pub(in crate::plan) fn ha_state(&self, vmid: Vmid) -> Option<&str> {
        self.input
            .world
            .ha_resources
            .get(&vmid)
            .map(|resource| resource.state.as_str())
            .filter(|state| *state != "ignored")
    }

    /// A step that changes a guest's power, through HA if HA manages it.
    pub(in crate::plan) fn power_step(
        &self,
        guest: &Guest,
        power: PowerAction,
        phase: Phase,
    ) -> Draft {
        let object = guest.entity();
        let starts = matches!(power, PowerAction::Start);
        let through_ha = match (&power, self.ha_state(guest.vmid)) {
            // A reboot does not pass through HA in Proxmox VE, and works.
            (PowerAction::Reboot { .. }, _) | (_, None) => None,
            (
                PowerAction::Start | PowerAction::Stop | PowerAction::Shutdown { .. },
                Some(state),
            ) => Some(state.to_owned()),
        };
        let (title, action) = match through_ha {
            Some(before) => {
                let state = if starts { "started" } else { "stopped" };
                (
                    format!("ask HA to have {object} {state}"),
                    Action::SetHaState {
                        kind: guest.kind,
                        vmid: guest.vmid,
                        state: state.to_owned(),
                        before,
                    },
                )
            }
            None => {
                let title = match &power {
                    PowerAction::Start => format!("start {object}"),
                    PowerAction::Shutdown { .. } => format!("shut down {object}"),
                    PowerAction::Stop => format!("stop {object}"),
                    PowerAction::Reboot { .. } => format!("restart {object}"),
                };
                (
                    title,
                    Action::SetPower {
                        kind: guest.kind,
                        vmid: guest.vmid,
                        power,
                    },
                )
            }
        };
        Draft {
            title,
            action,
            node: Some(guest.node.clone()),
            phase,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Shuts a guest down that shall be stopped, before anything else is done to it.
    pub(super) fn power_off(&mut self, work: &Work<'_>, desired: &DesiredGuest) -> Option<Draft> {
        let guest = work.guest;
        desired.power?;
        if guest.template && desired.template == Some(true) && desired.power == Some(Power::Stopped)
        {
            return None;
        }
        if guest.template {
            let object = work.object.clone();
            self.drafts.problem(
                &work.item.key,
                "powerState",
                Reason::TemplatePower { object },
            );
            return None;
        }
        if guest.status == Status::Unknown {
            let what = format!("whether {} runs", work.object);
            let why = format!("node {} does not say", guest.node);
            self.drafts.problem(
                &work.item.key,
                "powerState",
                Reason::Unreadable { what, why },
            );
            return None;
        }
        let asked_of_ha = self.ha_state(guest.vmid);
        let off = desired.power == Some(Power::Stopped)
            && (guest.status == Status::Running || asked_of_ha == Some("started"));
        if !off {
            return None;
        }
        self.drafts.change(
            &work.object,
            "powerState",
            Some("running"),
            Some("stopped"),
            "the guest is shut down",
        );
        let timeout = self.input.settings.shutdown_timeout;
        Some(self.power_step(guest, PowerAction::Shutdown { timeout }, Phase::Guest))
    }

    /// Starts a guest that shall run, or restarts one whose document allows it and asks for something that waits for a start.
    pub(super) fn power_on(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        guest: &Guest,
        waiting: &[String],
        stopped: bool,
        object: &str,
    ) -> Option<Draft> {
        if guest.template {
            return None;
        }
        let asked_of_ha = self.ha_state(guest.vmid).map(str::to_owned);
        let on = desired.power == Some(Power::Running)
            && (guest.status == Status::Stopped
                || asked_of_ha.is_some_and(|state| state != "started"));
        if on {
            self.drafts.change(
                object,
                "powerState",
                Some("stopped"),
                Some("running"),
                "the guest is started",
            );
            return Some(self.power_step(guest, PowerAction::Start, Phase::Power));
        }
        if !stopped && guest.status == Status::Running && !waiting.is_empty() {
            if item.restart == Restart::Window {
                let timeout = self.input.settings.shutdown_timeout;
                return Some(self.power_step(guest, PowerAction::Reboot { timeout }, Phase::Power));
            }
            if item.restart == Restart::Ask {
                self.drafts.notes.insert(format!(
                    "{object} has to be stopped and started for {}; its document says `restart: ask`, so this plan does not",
                    super::super::words::few(waiting)
                ));
            }
        }
        None
    }

    /// Where the target storages of a document take what lies on local storages, if the guest has to be migrated.
    pub(super) fn carried(
        &self,
        guest: &Guest,
        desired: &DesiredGuest,
    ) -> BTreeMap<StorageId, StorageId> {
        let local = |id: &StorageId| {
            let storage = self.input.world.storages.get(id);
            storage.is_none_or(|storage| !storage.shared)
        };
        match &desired.node {
            Some(to) if *to != guest.node => desired
                .target_storage
                .iter()
                .filter(|(from, to)| from != to && local(from))
                .map(|(from, to)| (from.clone(), to.clone()))
                .collect(),
            Some(_) | None => BTreeMap::new(),
        }
    }

    /// Moves a guest to the node its document names. With it: whether that has to come before its disks are touched.
    pub(super) fn migrate(
        &mut self,
        work: &Work<'_>,
        desired: &DesiredGuest,
    ) -> Option<(Draft, bool)> {
        let guest = work.guest;
        let to = desired.node.as_ref().filter(|to| **to != guest.node)?;
        if !self.node_usable(&work.item.key, to) {
            return None;
        }
        let moved: Vec<_> = work
            .moves
            .iter()
            .filter_map(|draft| match &draft.action {
                Action::MoveDisk { slot, to, .. } => Some((slot.clone(), to.clone())),
                _ => None,
            })
            .collect();
        let first = moved.iter().any(|(_, storage)| {
            self.storage_will_be(storage)
                .and_then(|will| will.nodes)
                .is_some_and(|nodes| !nodes.contains(guest.node.as_str()))
        });
        let mut local = false;
        let mut map = BTreeMap::new();
        for disk in views::disks(guest.kind, &work.next) {
            let Some(volume) = disk.source.volume() else {
                continue;
            };
            let storage = moved
                .iter()
                .find(|(slot, _)| *slot == disk.slot)
                .map_or(volume.storage(), |(_, storage)| storage);
            let leaves = if first { volume.storage() } else { storage };
            let shared = self
                .input
                .world
                .storages
                .get(storage)
                .is_some_and(|storage| storage.shared);
            local |= !shared && disk.source.data().is_some();
            let medium = matches!(disk.source, views::Source::Cdrom(_));
            let mapped = work.carried.get(leaves).filter(|_| !medium);
            let Some(target) = mapped else {
                self.storage_usable(&work.item.key, disk.slot.as_str(), storage, to, None);
                continue;
            };
            let content = content_of(guest.kind);
            if self.storage_usable(&work.item.key, TARGET_STORAGE, target, to, Some(content)) {
                map.insert(leaves.clone(), target.clone());
                self.drafts.change(
                    &work.object,
                    &format!("{}.storage", disk.slot),
                    Some(leaves.as_str()),
                    Some(target.as_str()),
                    "goes there with the guest",
                );
            }
        }
        if !map.is_empty() && self.ha_state(guest.vmid).is_some() {
            let why = format!(
                "HA migrates {}, and it knows no target storages; leave `migration` out, or take the guest out of HA for the migration",
                work.object
            );
            self.drafts
                .problem(&work.item.key, TARGET_STORAGE, Reason::Refused { why });
        }
        if first && local {
            let why = format!(
                "{} has to be on {to} before its disks can move there, and its other disks are local; do it in two plans",
                work.object
            );
            self.drafts
                .problem(&work.item.key, "node", Reason::Ambiguous { why });
        }
        Some((self.migration(work, to, local, map), first))
    }

    fn migration(
        &mut self,
        work: &Work<'_>,
        to: &NodeName,
        local: bool,
        target_storage: BTreeMap<StorageId, StorageId>,
    ) -> Draft {
        let guest = work.guest;
        let running = guest.status == Status::Running && !work.stopped;
        let effect = match (running, guest.kind) {
            (false, _) => "moved while stopped",
            (true, crate::ids::GuestKind::Qemu) => "moved while it runs",
            (true, crate::ids::GuestKind::Lxc) => "stopped, moved and started again",
        };
        self.drafts.change(
            &work.object,
            "node",
            Some(guest.node.as_str()),
            Some(to.as_str()),
            effect,
        );
        let mut notes = Vec::new();
        if local {
            notes.push("its local disks are copied over the network".to_owned());
        }
        for (from, to) in &target_storage {
            notes.push(format!("what lies on {from} goes to {to}"));
        }
        Draft {
            title: format!("migrate {} from {} to {to}", work.object, guest.node),
            action: Action::Migrate {
                kind: guest.kind,
                vmid: guest.vmid,
                from: guest.node.clone(),
                to: to.clone(),
                running,
                with_local_disks: local,
                target_storage,
            },
            node: Some(guest.node.clone()),
            phase: Phase::Guest,
            needs: BTreeSet::new(),
            notes,
        }
    }
}
