//! Taking back what was done to a guest as a whole: its configuration, power, HA state, node, and its creation.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::Phase;
use super::super::words::few;
use super::Back;
use crate::ids::{NodeName, StorageId, Vmid};
use crate::proxmox::property::Domain;
use crate::world::{Action, Params, PowerAction, Status, views};

impl Back<'_, '_, '_> {
    pub(super) fn config(&mut self, vmid: Vmid, set: &Params, delete: &BTreeSet<String>) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let left = match &self.step.action {
            Action::UpdateConfig { set, .. } => set.clone(),
            _ => Params::new(),
        };
        let next = guest.config.next_start();
        let object = guest.entity();
        let moved: Vec<String> = set
            .iter()
            .filter(|(key, value)| self.moved_meanwhile(vmid, key, value, &next))
            .map(|(key, _)| key.clone())
            .collect();
        let mut set = set.clone();
        for key in moved {
            set.remove(&key);
            self.left(&format!(
                "{object} {key}: the same run moved the disk, so its former options do not fit its volume any more"
            ));
        }
        // A detached volume comes back only if it is still there, unattached.
        if let Action::DetachDisk { slot, volume, .. } = &self.step.action {
            let kept = views::disks(guest.kind, &next)
                .iter()
                .any(|disk| disk.unused() && disk.source.volume() == Some(volume));
            if !kept && !next.contains_key(slot.as_str()) {
                return self.left(&format!(
                    "{object} {slot}: {volume} is no longer among the unused volumes of the guest"
                ));
            }
        }
        let domain = Domain::from(guest.kind);
        let (set, delete, told) = self.still_ours(domain, &object, &next, &set, delete, &left);
        if told.is_empty() {
            return;
        }
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::UpdateConfig {
                kind: guest.kind,
                vmid,
                set,
                delete,
            },
            Some(guest.node.clone()),
        );
    }

    pub(super) fn power(&mut self, vmid: Vmid, power: &PowerAction) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let starts = matches!(power, PowerAction::Start);
        let needed = match guest.status {
            Status::Running => !starts,
            Status::Stopped => starts,
            Status::Unknown => {
                return self.left(&format!(
                    "{}: it is unknown whether it runs",
                    guest.entity()
                ));
            }
        };
        // A guest whose creation is taken back too is stopped by that.
        if !needed || self.made_by_run(vmid) {
            return;
        }
        let draft = self.planner.power_step(&guest, power.clone(), Phase::Guest);
        let (now, back) = if starts {
            ("stopped", "running")
        } else {
            ("running", "stopped")
        };
        self.planner.drafts.change(
            &guest.entity(),
            "powerState",
            Some(now),
            Some(back),
            "set back",
        );
        self.push(draft.title, draft.action, draft.node);
    }

    fn made_by_run(&self, vmid: Vmid) -> bool {
        self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && matches!(&step.action, Action::CreateGuest { vmid: v, .. }
                    | Action::CloneGuest { vmid: v, .. }
                    | Action::RestoreGuest { vmid: v, .. } if *v == vmid)
        })
    }

    pub(super) fn ha(&mut self, vmid: Vmid, state: &str) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let Action::SetHaState { state: ours, .. } = &self.step.action else {
            return;
        };
        let object = guest.entity();
        let now = self
            .planner
            .input
            .world
            .ha_resources
            .get(&vmid)
            .map(|resource| resource.state.clone());
        match now {
            Some(now) if now == *ours => {
                self.planner.drafts.change(
                    &object,
                    "ha.state",
                    Some(&now),
                    Some(state),
                    "set back",
                );
                self.push(
                    format!("ask HA to have {object} {state} again"),
                    Action::SetHaState {
                        kind: guest.kind,
                        vmid,
                        state: state.to_owned(),
                        before: now,
                    },
                    Some(guest.node.clone()),
                );
            }
            Some(now) if now == state => {}
            Some(now) => self.left(&format!(
                "{object} HA state was changed by someone since ({now}, we left {ours})"
            )),
            None => self.left(&format!("{object} is no longer under HA")),
        }
    }

    pub(super) fn migrate(
        &mut self,
        vmid: Vmid,
        home: &NodeName,
        target_storage: &BTreeMap<StorageId, StorageId>,
    ) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let Action::Migrate {
            to,
            with_local_disks,
            ..
        } = &self.step.action
        else {
            return;
        };
        let object = guest.entity();
        if guest.node == *home {
            return;
        }
        if guest.node != *to {
            return self.left(&format!(
                "{object} was moved by someone since (on {}, we left it on {to})",
                guest.node
            ));
        }
        self.planner.drafts.change(
            &object,
            "node",
            Some(to.as_str()),
            Some(home.as_str()),
            "moved back",
        );
        // A start of the same run is taken back before: then it no longer runs.
        let stops = |action: &Action| {
            matches!(action, Action::SetPower { vmid: v, power: PowerAction::Shutdown { .. } | PowerAction::Stop, .. } if *v == vmid)
                || matches!(action, Action::SetHaState { vmid: v, state, .. } if *v == vmid && state != "started")
        };
        let stopped = self.planner.drafts.steps.iter().any(|d| stops(&d.action));
        self.push(
            format!("migrate {object} back from {to} to {home}"),
            Action::Migrate {
                kind: guest.kind,
                vmid,
                from: to.clone(),
                to: home.clone(),
                running: guest.status == Status::Running && !stopped,
                with_local_disks: *with_local_disks,
                target_storage: target_storage.clone(),
            },
            Some(to.clone()),
        );
    }

    pub(super) fn destroy(&mut self, vmid: Vmid) {
        if !self.planner.input.world.guests.contains_key(&vmid) {
            return;
        }
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let first = self.planner.drafts.steps.len();
        let last = self.planner.destroy(&guest, None, "");
        for id in first..=last {
            if let Some(draft) = self.planner.drafts.steps.get_mut(id) {
                draft.needs.extend(self.needs.iter().copied());
            }
            self.made.push(id);
        }
    }
}
