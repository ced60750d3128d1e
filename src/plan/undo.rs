//! Undo: a plan that takes a run back. Three-way: only what the run changed, and only where the world still has what it left;
//! anything else stays and is named. The same order, impacts, risk and gate as every plan.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftId, Drafts, Phase, Planner};
use super::error::PlanError;
use super::finish;
use super::input::PlanInput;
use super::model::{Inverse, Origin, Plan, Precondition, Step, StepId};
use super::values::{Decision, Secrets, decide};
use super::words::{clean, difference, few, short};
use crate::document::desired::{Value, Wish};
use crate::ids::{PoolId, Slot, StorageId, Vmid, VolumeId};
use crate::proxmox::property::Domain;
use crate::world::{Action, Guest, Param, Params, PowerAction, Section, Status, Storage, views};

/// The plan that takes back those steps of a plan that ended well. `input.world` is the world now; its documents and origin are not
/// looked at.
///
/// # Errors
/// As [`make_plan`](super::make_plan).
pub fn undo(
    plan: &Plan,
    done: &BTreeSet<StepId>,
    input: &PlanInput<'_>,
) -> Result<Plan, PlanError> {
    let input = PlanInput {
        origin: Origin::Undo {
            of: plan.hash.clone(),
        },
        items: Vec::new(),
        ..input.clone()
    };
    let mut planner = Planner {
        input: &input,
        drafts: Drafts::default(),
    };
    let later = followers(plan, done);
    let mut drafts_of: BTreeMap<StepId, Vec<DraftId>> = BTreeMap::new();
    for step in plan.steps.iter().rev().filter(|s| done.contains(&s.id)) {
        let needs: BTreeSet<DraftId> = later
            .get(&step.id)
            .into_iter()
            .flatten()
            .filter_map(|id| drafts_of.get(id))
            .flatten()
            .copied()
            .collect();
        let mut back = Back {
            planner: &mut planner,
            plan,
            done,
            step,
            needs,
            made: Vec::new(),
        };
        back.step();
        let made = back.made;
        drafts_of.insert(step.id, made);
    }
    finish::finish(&input, planner.drafts)
}

/// For each step that was done, the done steps that came after it because of it.
fn followers(plan: &Plan, done: &BTreeSet<StepId>) -> BTreeMap<StepId, BTreeSet<StepId>> {
    let mut before: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    let mut later: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    for step in &plan.steps {
        let mut all = step.needs.clone();
        for need in &step.needs {
            all.extend(before.get(need).into_iter().flatten().copied());
        }
        if done.contains(&step.id) {
            for need in &all {
                later.entry(*need).or_default().insert(step.id);
            }
        }
        before.insert(step.id, all);
    }
    later
}

/// Taking back one step.
struct Back<'p, 'a, 'b> {
    planner: &'p mut Planner<'a, 'b>,
    plan: &'p Plan,
    done: &'p BTreeSet<StepId>,
    step: &'p Step,
    needs: BTreeSet<DraftId>,
    made: Vec<DraftId>,
}

impl Back<'_, '_, '_> {
    fn step(&mut self) {
        match &self.step.inverse {
            Inverse::Irreversible { why } => {
                self.left(&format!("{}: {why}", self.step.title));
            }
            Inverse::Actions { actions, remains } => {
                for remain in remains {
                    self.planner
                        .drafts
                        .notes
                        .insert(format!("stays after the undo: {}", clean(remain)));
                }
                for action in actions {
                    self.action(action);
                }
            }
        }
    }

    fn left(&mut self, what: &str) {
        self.planner
            .drafts
            .notes
            .insert(format!("not undone: {}", clean(what)));
    }

    fn push(&mut self, title: String, action: Action, node: Option<crate::ids::NodeName>) {
        let mut needs = self.needs.clone();
        needs.extend(self.made.last());
        let id = self.planner.drafts.push(Draft {
            title: clean(&title),
            action,
            node,
            phase: Phase::Guest,
            needs,
            notes: Vec::new(),
        });
        self.made.push(id);
    }

    /// The guest an inverse is about, if it is still the one the run worked on.
    fn guest(&mut self, vmid: Vmid) -> Option<Guest> {
        let Some(guest) = self.planner.input.world.guests.get(&vmid) else {
            self.left(&format!("guest {vmid} is gone, so {}", self.step.title));
            return None;
        };
        let planned = self.plan.steps.iter().find_map(|step| {
            step.preconditions
                .iter()
                .find_map(|precondition| match precondition {
                    Precondition::Identity {
                        vmid: v,
                        birth: Some(birth),
                        ..
                    } if *v == vmid => Some(birth.clone()),
                    _ => None,
                })
        });
        let owned = self
            .planner
            .input
            .ownership
            .objects
            .get(&guest.entity())
            .and_then(|owned| owned.birth.clone());
        let live = guest.config.birth();
        if let Some(known) = planned.or(owned)
            && live.as_ref() != Some(&known)
        {
            self.left(&format!(
                "{} was made anew by someone since ({}, the run worked on {known}), so {}",
                guest.entity(),
                live.unwrap_or_else(|| "without uuid".to_owned()),
                self.step.title
            ));
            return None;
        }
        Some(guest.as_ref().clone())
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::UpdateConfig {
                vmid, set, delete, ..
            } => self.config(*vmid, set, delete),
            Action::DetachDisk { vmid, slot, .. } => self.detach(*vmid, slot),
            Action::MoveDisk {
                vmid,
                slot,
                to,
                format,
                ..
            } => {
                self.moved(*vmid, slot, to, format.as_deref());
            }
            Action::SetPower { vmid, power, .. } => self.power(*vmid, power),
            Action::SetHaState { vmid, state, .. } => self.ha(*vmid, state),
            Action::Migrate { vmid, to, .. } => self.migrate(*vmid, to),
            Action::DestroyGuest { vmid, .. } => self.destroy(*vmid),
            Action::CreateStorage {
                id,
                storage_type,
                params,
            } => self.storage_again(id, storage_type, params),
            Action::UpdateStorage { id, set, delete } => self.storage(id, set, delete),
            Action::DeleteStorage { id } => self.storage_away(id),
            Action::CreatePool { id, comment } => self.pool_again(id, comment.clone()),
            Action::UpdatePool { .. } => self.members(action),
            Action::DeletePool { id } => self.pool_away(id),
            Action::CreateGuest { .. }
            | Action::ResizeDisk { .. }
            | Action::FreeDisk { .. }
            | Action::RemoveHaResource { .. }
            | Action::DeleteVolume { .. } => {
                self.left(&format!("{}: no step takes it back", self.step.title));
            }
        }
    }

    /// Which keys still have what the run left, with what they had before.
    fn still_ours(
        &mut self,
        domain: Domain,
        object: &str,
        live: &Section,
        set: &Params,
        delete: &BTreeSet<String>,
        left: &Params,
    ) -> (Params, BTreeSet<String>, Vec<String>) {
        let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
        let mut told = Vec::new();
        let wanted = set
            .iter()
            .map(|(key, param)| (key, Some(param)))
            .chain(delete.iter().map(|key| (key, None)));
        for (key, old) in wanted {
            let now = live.get(key).map(String::as_str);
            let old_text = match old {
                Some(Param::Plain(text)) => Some(text.as_str()),
                Some(Param::Secret { .. }) | None => None,
            };
            if now == old_text || same(domain, key, now, old_text) {
                continue;
            }
            let ours = match left.get(key) {
                // What taking a disk out leaves of the boot order, written by Proxmox VE itself.
                None if key == "boot" => now.is_some_and(|now| shortened(now, old_text)),
                Some(Param::Plain(text)) => {
                    same(domain, key, now, Some(text)) || made_of(now, text)
                }
                Some(Param::Secret { .. }) => now.is_some(),
                None => now.is_none(),
            };
            if !ours {
                let shown = |text: Option<&str>| text.map_or_else(|| "not set".to_owned(), short);
                let we = left.get(key).map(super::values::shown);
                self.left(&format!(
                    "{object} {key} was changed by someone since ({}, we left {})",
                    shown(now),
                    shown(we.as_deref())
                ));
                continue;
            }
            self.planner
                .drafts
                .change(object, key, now, old_text, "set back");
            told.push(difference(key, now, old_text));
            match old {
                Some(param) => {
                    set_back.insert(key.clone(), param.clone());
                }
                None => {
                    delete_back.insert(key.clone());
                }
            }
        }
        (set_back, delete_back, told)
    }

    fn config(&mut self, vmid: Vmid, set: &Params, delete: &BTreeSet<String>) {
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

    /// Whether the run moved a disk after it wrote its slot.
    fn moved_meanwhile(&self, vmid: Vmid, key: &str, old: &Param, live: &Section) -> bool {
        let Param::Plain(old) = old else { return false };
        let moved = self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && matches!(&step.action, Action::MoveDisk { vmid: v, slot, .. }
                    if *v == vmid && slot.as_str() == key)
        });
        let file = |text: &str| text.split(',').next().map(str::to_owned);
        moved && live.get(key).and_then(|text| file(text)) != file(old)
    }

    fn volume_in(guest: &Guest, slot: &Slot) -> Option<VolumeId> {
        let next = guest.config.next_start();
        views::disk(guest.kind, slot.as_str(), next.get(slot.as_str())?)?
            .source
            .volume()
            .cloned()
    }

    fn detach(&mut self, vmid: Vmid, slot: &Slot) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let object = guest.entity();
        let Some(volume) = Self::volume_in(&guest, slot) else {
            return;
        };
        let written = match &self.step.action {
            Action::UpdateConfig { set, .. } => set.get(slot.as_str()).map(super::values::shown),
            _ => None,
        };
        let first = written
            .as_deref()
            .and_then(|text| text.split(',').next())
            .unwrap_or_default()
            .to_owned();
        let named: Option<VolumeId> = first.parse().ok();
        let made = named.as_ref().is_some_and(|named| {
            !named.name().is_empty()
                && named
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b'.')
        });
        let ours = named
            .as_ref()
            .is_some_and(|named| *named == volume || (made && named.storage() == volume.storage()));
        if !ours {
            return self.left(&format!(
                "{object} {slot} was changed by someone since ({volume}, we left {first})"
            ));
        }
        self.planner.drafts.change(
            &object,
            slot.as_str(),
            Some(&volume.to_string()),
            None,
            "detached, kept as unused",
        );
        self.push(
            format!("detach {object} {slot} ({volume}), kept as unused"),
            Action::DetachDisk {
                kind: guest.kind,
                vmid,
                slot: slot.clone(),
                volume,
            },
            Some(guest.node.clone()),
        );
    }

    fn moved(&mut self, vmid: Vmid, slot: &Slot, home: &StorageId, format: Option<&str>) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let object = guest.entity();
        let Action::MoveDisk { to, .. } = &self.step.action else {
            return;
        };
        let Some(volume) = Self::volume_in(&guest, slot) else {
            return self.left(&format!("{object} {slot} was emptied by someone since"));
        };
        if volume.storage() == home && home != to {
            return;
        }
        if volume.storage() != to {
            return self.left(&format!(
                "{object} {slot} was moved by someone since (on {}, we left it on {to})",
                volume.storage()
            ));
        }
        let there = self.planner.input.world.storages.contains_key(home)
            || self.planner.drafts.opened.contains_key(home);
        if !there {
            return self.left(&format!("{object} {slot}: storage {home} is gone"));
        }
        let held = guest.config.snapshots.iter().find(|(_, snapshot)| {
            views::disks(guest.kind, &snapshot.section)
                .iter()
                .any(|disk| disk.source.volume() == Some(&volume))
        });
        if let Some((name, _)) = held {
            return self.left(&format!(
                "{object} {slot}: snapshot {name} made since refers to {volume}"
            ));
        }
        if let Some(opened) = self.planner.drafts.opened.get(home) {
            self.needs.insert(*opened);
        }
        let field = format!("{slot}.storage");
        self.planner.drafts.change(
            &object,
            &field,
            Some(to.as_str()),
            Some(home.as_str()),
            "moved back",
        );
        self.push(
            format!("move {object} {slot} back from {to} to {home}"),
            Action::MoveDisk {
                kind: guest.kind,
                vmid,
                slot: slot.clone(),
                volume,
                to: home.clone(),
                format: format.map(str::to_owned),
            },
            Some(guest.node.clone()),
        );
    }

    fn power(&mut self, vmid: Vmid, power: &PowerAction) {
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
                && matches!(&step.action, Action::CreateGuest { vmid: v, .. } if *v == vmid)
        })
    }

    fn ha(&mut self, vmid: Vmid, state: &str) {
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

    fn migrate(&mut self, vmid: Vmid, home: &crate::ids::NodeName) {
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
                target_storage: BTreeMap::new(),
            },
            Some(to.clone()),
        );
    }

    fn destroy(&mut self, vmid: Vmid) {
        if !self.planner.input.world.guests.contains_key(&vmid) {
            return;
        }
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let first = self.planner.drafts.steps.len();
        let last = self.planner.destroy(&guest, None);
        for id in first..=last {
            if let Some(draft) = self.planner.drafts.steps.get_mut(id) {
                draft.needs.extend(self.needs.iter().copied());
            }
            self.made.push(id);
        }
    }

    fn live_storage(&self, id: &StorageId) -> Option<Storage> {
        self.planner
            .input
            .world
            .storages
            .get(id)
            .map(|storage| storage.as_ref().clone())
    }

    fn storage_again(&mut self, id: &StorageId, storage_type: &str, params: &Params) {
        let object = format!("storage/{id}");
        if self.live_storage(id).is_some() {
            return self.left(&format!("{object} was defined by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            None,
            Some(storage_type),
            "defined again",
        );
        self.push(
            format!("define {object} ({storage_type}) again"),
            Action::CreateStorage {
                id: id.clone(),
                storage_type: storage_type.to_owned(),
                params: params.clone(),
            },
            None,
        );
        if let Some(made) = self.made.last() {
            self.planner.drafts.opened.insert(id.clone(), *made);
        }
    }

    fn storage(&mut self, id: &StorageId, set: &Params, delete: &BTreeSet<String>) {
        let object = format!("storage/{id}");
        let Some(live) = self.live_storage(id) else {
            return self.left(&format!("{object} is gone"));
        };
        let Action::UpdateStorage { set: left, .. } = &self.step.action else {
            return;
        };
        let (set, delete, told) =
            self.still_ours(Domain::Storage, &object, &live.options, set, delete, left);
        if told.is_empty() {
            return;
        }
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::UpdateStorage {
                id: id.clone(),
                set,
                delete,
            },
            None,
        );
    }

    fn storage_away(&mut self, id: &StorageId) {
        let object = format!("storage/{id}");
        let Some(live) = self.live_storage(id) else {
            return;
        };
        let Action::CreateStorage {
            storage_type,
            params,
            ..
        } = &self.step.action
        else {
            return;
        };
        let changed = params.iter().find(|(key, param)| match param {
            Param::Plain(text) => {
                let now = live.options.get(*key).map(String::as_str);
                now.is_some() && !same(Domain::Storage, key, now, Some(text))
            }
            Param::Secret { .. } => false,
        });
        if live.storage_type != *storage_type || changed.is_some() {
            let what = changed.map_or("type", |(key, _)| key.as_str());
            return self.left(&format!("{object} {what} was changed by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some(storage_type),
            None,
            "the definition is removed again",
        );
        self.push(
            format!("delete {object}"),
            Action::DeleteStorage { id: id.clone() },
            None,
        );
    }

    fn pool_again(&mut self, id: &PoolId, comment: Option<String>) {
        let object = format!("pool/{id}");
        if self.planner.input.world.pools.contains_key(id) {
            return self.left(&format!("{object} was made by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", None, Some("pool"), "made again");
        self.push(
            format!("make {object} again"),
            Action::CreatePool {
                id: id.clone(),
                comment,
            },
            None,
        );
    }

    fn pool_away(&mut self, id: &PoolId) {
        let object = format!("pool/{id}");
        let Some(pool) = self.planner.input.world.pools.get(id) else {
            return;
        };
        let ours = |vmid: &Vmid| {
            self.plan.steps.iter().any(|step| {
                self.done.contains(&step.id)
                    && match &step.action {
                        Action::CreateGuest { vmid: v, .. } => v == vmid,
                        Action::UpdatePool {
                            id: p, guests_add, ..
                        } => p == id && guests_add.contains(vmid),
                        _ => false,
                    }
            })
        };
        if let Some(stranger) = pool.guests.iter().find(|vmid| !ours(vmid)) {
            return self.left(&format!(
                "{object} has a member that someone added since: guest {stranger}"
            ));
        }
        self.planner
            .drafts
            .change(&object, "(object)", Some("pool"), None, "removed again");
        self.push(
            format!("delete {object}"),
            Action::DeletePool { id: id.clone() },
            None,
        );
    }

    fn members(&mut self, action: &Action) {
        let Action::UpdatePool {
            id,
            comment,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } = action
        else {
            return;
        };
        let object = format!("pool/{id}");
        let again = self.planner.drafts.steps.iter().any(
            |draft| matches!(&draft.action, Action::CreatePool { id: made, .. } if made == id),
        );
        let pool = match self.planner.input.world.pools.get(id) {
            Some(pool) => pool.as_ref().clone(),
            None if again => crate::world::Pool::default(),
            None => return self.left(&format!("{object} is gone")),
        };
        let guests = &self.planner.input.world.guests;
        let guests_add: BTreeSet<Vmid> = guests_add
            .iter()
            .filter(|vmid| guests.contains_key(vmid) && !pool.guests.contains(vmid))
            .copied()
            .collect();
        let guests_remove: BTreeSet<Vmid> =
            guests_remove.intersection(&pool.guests).copied().collect();
        let storages = &self.planner.input.world.storages;
        let opened = &self.planner.drafts.opened;
        let storages_add: BTreeSet<StorageId> = storages_add
            .iter()
            .filter(|id| storages.contains_key(id) || opened.contains_key(id))
            .filter(|id| !pool.storages.contains(id))
            .cloned()
            .collect();
        let storages_remove: BTreeSet<StorageId> = storages_remove
            .intersection(&pool.storages)
            .cloned()
            .collect();
        let ours = match &self.step.action {
            Action::UpdatePool { id: p, comment, .. } if p == id => comment.clone(),
            _ => None,
        };
        let now = pool.comment.clone().unwrap_or_default();
        let comment = match (comment, ours) {
            (Some(old), Some(ours)) if now == ours && now != *old => Some(old.clone()),
            (Some(old), Some(ours)) if now != *old => {
                self.left(&format!(
                    "{object} comment was changed by someone since ({}, we left {})",
                    short(&now),
                    short(&ours)
                ));
                None
            }
            (Some(_) | None, _) => None,
        };
        let nothing = guests_add.is_empty()
            && guests_remove.is_empty()
            && storages_add.is_empty()
            && storages_remove.is_empty()
            && comment.is_none();
        if nothing {
            return;
        }
        for (members, before, after) in [
            (&guests_add, None, Some("member")),
            (&guests_remove, Some("member"), None),
        ] {
            for vmid in members {
                let field = format!("guests.{vmid}");
                self.planner
                    .drafts
                    .change(&object, &field, before, after, "set back");
            }
        }
        self.push(
            format!("set back the members of {object}"),
            Action::UpdatePool {
                id: id.clone(),
                comment,
                guests_add,
                guests_remove,
                storages_add,
                storages_remove,
            },
            None,
        );
    }
}

/// Whether a live value is what was once written, by meaning.
fn same(domain: Domain, key: &str, live: Option<&str>, written: Option<&str>) -> bool {
    let (Some(live), Some(written)) = (live, written) else {
        return live.is_none() && written.is_none();
    };
    let nothing = BTreeMap::new();
    let secrets = Secrets {
        now: &nothing,
        sent: None,
    };
    let wish = Wish::Set(Value::Plain(written.to_owned()));
    matches!(
        decide(domain, key, Some(live), &wish, secrets),
        Ok(Decision::Same)
    )
}

/// Whether one boot order is another one without some of its devices.
fn shortened(now: &str, before: Option<&str>) -> bool {
    let devices = |text: &str| -> Vec<String> {
        text.trim()
            .trim_start_matches("order=")
            .split(';')
            .filter(|device| !device.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let all = before.map(devices).unwrap_or_default();
    devices(now).iter().all(|device| all.contains(device))
}

/// Whether a live value is the cloud-init drive that was asked for by `STORAGE:cloudinit`.
fn made_of(now: Option<&str>, written: &str) -> bool {
    let volume = |text: &str| -> Option<VolumeId> { text.split(',').next()?.parse().ok() };
    match (now.and_then(volume), volume(written)) {
        (Some(now), Some(asked)) => {
            asked.name() == "cloudinit"
                && asked.storage() == now.storage()
                && views::is_cloudinit(&now)
        }
        _ => false,
    }
}
