//! Undo: a plan that takes a run back. Three-way: only what the run changed, and only where the world still has what it left;
//! anything else stays and is named. The same order, impacts, risk and gate as every plan.

mod account;
mod api_token;
mod backup;
mod backup_job;
mod disks;
mod firewall;
mod firewall_rules;
mod guest;
mod image;
mod ours;
mod pool;
mod realm;
mod replication_job;
mod snapshot;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftId, Drafts, Phase, Planner};
use super::error::PlanError;
use super::finish;
use super::guest::activates_pending;
use super::input::PlanInput;
use super::model::{DocumentRef, Inverse, Origin, Plan, Precondition, Step, StepId};
use super::words::clean;
use crate::ids::{NodeName, Vmid};
use crate::world::{Action, Guest, PowerAction, Status, World};

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
    let mut accounts = input.world.clone();
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
            accounts: &mut accounts,
        };
        back.step();
        let made = back.made;
        drafts_of.insert(step.id, made);
    }
    planner.regenerate_drives();
    planner.copies_keep_their_storage();
    owners(plan, &mut planner);
    others_pending(&mut planner);
    finish::finish(&input, planner.drafts)
}

/// Names the documents that own again what the plan had others take over from them.
fn owners(plan: &Plan, planner: &mut Planner<'_, '_>) {
    for document in &plan.documents {
        retired(document, planner);
        let Some(former) = &document.former_owner else {
            continue;
        };
        let owned = planner.input.ownership.objects.get(&document.object);
        let Some(owned) = owned.filter(|owned| owned.is_of(&document.key, &document.source)) else {
            continue;
        };
        let again = DocumentRef {
            key: former.document.clone(),
            source: former.source.clone(),
            hash: former.hash.clone(),
            object: document.object.clone(),
            adopts: false,
            former_owner: Some(owned.as_former()),
            instead_of: None,
        };
        planner.drafts.notes.insert(format!(
            "{} is owned by {} of {} again, not by {} of {}",
            document.object, former.document, former.source, document.key, document.source
        ));
        planner.drafts.documents.push(again);
    }
}

/// A document whose guest was cloned to another number is about the old one again.
fn retired(document: &DocumentRef, planner: &mut Planner<'_, '_>) {
    let Some(old) = &document.instead_of else {
        return;
    };
    let objects = &planner.input.ownership.objects;
    let still = objects.get(&document.object);
    if still.is_some_and(|owned| owned.is_of(&document.key, &document.source))
        && !objects.contains_key(old)
    {
        planner.drafts.documents.push(DocumentRef {
            object: old.clone(),
            adopts: false,
            former_owner: None,
            instead_of: Some(document.object.clone()),
            ..document.clone()
        });
    }
}

/// Names pending changes of others that the steps back put in force (rule G7).
fn others_pending(planner: &mut Planner<'_, '_>) {
    for guest in planner.input.world.guests.values() {
        let steps = planner
            .drafts
            .steps
            .iter()
            .map(|draft| &draft.action)
            .filter(|action| action.guest().is_some_and(|(_, vmid)| vmid == guest.vmid));
        // Told once too often rather than not at all: any stop counts, and so does a status that is not known.
        let stopped = guest.status != Status::Running
            || steps.clone().any(|action| {
                matches!(action, Action::SetPower { power, .. } if *power != PowerAction::Start)
            });
        if !steps
            .clone()
            .any(|action| activates_pending(action, guest, stopped))
        {
            continue;
        }
        let mut ours = BTreeSet::new();
        for action in steps {
            if let Action::UpdateConfig { set, delete, .. } = action {
                ours.extend(set.keys().chain(delete).cloned());
            }
            if let Action::DetachDisk { slot, .. } = action {
                ours.insert(slot.to_string());
            }
        }
        planner.others_pending(guest, &ours);
    }
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
    /// The accounts as the steps back so far leave them.
    accounts: &'p mut World,
}

impl Back<'_, '_, '_> {
    fn step(&mut self) {
        if self.rules_back() {
            return;
        }
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

    fn push(&mut self, title: String, action: Action, node: Option<NodeName>) {
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
            Action::Migrate {
                vmid,
                to,
                target_storage,
                ..
            } => self.migrate(*vmid, to, target_storage),
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
            Action::CreateBackupJob { id, params } => self.job_again(id, params),
            Action::UpdateBackupJob { id, set, delete } => self.job(id, set, delete),
            Action::DeleteBackupJob { id } => self.job_away(id),
            Action::DeleteSnapshot { kind, vmid, name } => {
                self.snapshot_away(*kind, *vmid, name);
            }
            Action::DescribeSnapshot {
                kind,
                vmid,
                name,
                description,
            } => self.snapshot_described(*kind, *vmid, name, description),
            Action::CreateReplicationJob { id, target, params } => {
                self.replicated_again(id, target, params);
            }
            Action::UpdateReplicationJob { id, set, delete } => {
                self.replication(id, set, delete);
            }
            Action::DeleteReplicationJob { id } => self.replication_away(id),
            Action::Account(action) => self.account(action),
            Action::ProtectBackup {
                node,
                volume,
                protected,
            } => self.protect_again(node, volume, *protected),
            Action::DeleteImage {
                node,
                volume,
                source,
            } => self.image_away(node, volume, source.as_ref()),
            Action::DownloadImage {
                node,
                volume,
                source,
            } => self.image_again(node, volume, source),
            Action::Firewall(action) => self.firewall(action),
            // The settings that go back bring it with them.
            Action::RegenerateCloudInit { .. } => {}
            Action::CreateGuest { .. }
            | Action::CloneGuest { .. }
            | Action::RestoreGuest { .. }
            | Action::ConvertToTemplate { .. }
            | Action::ResizeDisk { .. }
            | Action::FreeDisk { .. }
            | Action::RemoveHaResource { .. }
            | Action::TakeSnapshot { .. }
            | Action::BackUpGuest { .. }
            | Action::DeleteBackup { .. }
            | Action::DeleteVolume { .. } => {
                self.left(&format!("{}: no step takes it back", self.step.title));
            }
        }
    }
}
