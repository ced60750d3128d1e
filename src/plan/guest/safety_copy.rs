//! Safety copies: where the operator's configuration asks for one, a guest is backed up right before it is destroyed, once it is
//! stopped, so that the copy holds everything it wrote. A copy that cannot be taken keeps the guest: there is no plan, or the step that
//! destroys does not begin. No document can do without.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::input::SafetyCopy;
use super::super::words::{few, short};
use crate::ids::StorageId;
use crate::world::safety_copy::{self, SafetyNote};
use crate::world::views;
use crate::world::{Action, Guest, Part};

impl Planner<'_, '_> {
    /// The step that backs a guest up before it is destroyed; `None` where nobody asks for it, where the guest has no data, and where
    /// there is a problem. `document` is whose problem that is.
    pub(super) fn safety_copy(&mut self, guest: &Guest, document: &str) -> Option<Draft> {
        let asked = self.input.settings.safety_copy.clone()?;
        let disks = views::disks(guest.kind, &guest.config.current);
        let mut volumes = disks.iter().filter(|disk| disk.source.data().is_some());
        volumes.next()?;
        let object = guest.entity();
        if let Some(reason) = self.no_safety_copy(&asked, guest) {
            self.drafts.problem(document, "", reason);
            return None;
        }
        let SafetyCopy { storage, keep_for } = asked;
        let note = SafetyNote {
            kind: guest.kind,
            vmid: guest.vmid,
            keep_for,
        };
        let name = guest.name.as_deref().map(short);
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        Some(Draft {
            title: format!("back up {object}{name} to {storage}, before it is destroyed"),
            action: Action::BackUpGuest {
                kind: guest.kind,
                vmid: guest.vmid,
                node: guest.node.clone(),
                storage,
                notes: note.to_string(),
            },
            node: Some(guest.node.clone()),
            phase: Phase::GuestLast,
            needs: BTreeSet::new(),
            notes: notes(guest, keep_for),
        })
    }

    /// Why a guest cannot be backed up to the storage that the configuration names.
    fn no_safety_copy(&self, asked: &SafetyCopy, guest: &Guest) -> Option<Reason> {
        let world = self.input.world;
        let SafetyCopy { storage, .. } = asked;
        let object = guest.entity();
        let refused = |why: String| {
            Some(Reason::Refused {
                why: format!(
                    "{object} is not destroyed without the safety copy that the configuration of this cluster asks for (`safetyCopy`), and {why}"
                ),
            })
        };
        let unreadable = |part: &Part, why: &str| {
            Some(Reason::Unreadable {
                what: format!("{part}, where the safety copy of {object} goes"),
                why: why.to_owned(),
            })
        };
        if let Some(why) = world.unreadable(&Part::Storages) {
            return unreadable(&Part::Storages, why);
        }
        if let Some(why) = safety_copy::unusable(world, storage, &guest.node) {
            return refused(why);
        }
        let state = Part::NodeStorage(guest.node.clone());
        if let Some(why) = world.unreadable(&state) {
            return unreadable(&state, why);
        }
        // Who may back a guest up sees its backups, whatever else is hidden.
        let on = world.storages.get(storage);
        if !on.is_some_and(|on| safety_copy::listed(on, &guest.node)) {
            let content = Part::StorageContent(guest.node.clone(), storage.clone());
            let why = world.unreadable(&content).unwrap_or("it is not listed");
            return unreadable(&content, why);
        }
        None
    }

    /// A plan that takes copies leaves the storage they go to as it is: what is restored from it later has to find it.
    pub(in crate::plan) fn copies_keep_their_storage(&mut self) {
        let steps = self.drafts.steps.iter();
        let used: BTreeSet<&StorageId> = steps
            .clone()
            .filter_map(|draft| match &draft.action {
                Action::BackUpGuest { storage, .. } => Some(storage),
                _ => None,
            })
            .collect();
        let changed: BTreeSet<StorageId> = steps
            .filter_map(|draft| match &draft.action {
                Action::CreateStorage { id, .. }
                | Action::UpdateStorage { id, .. }
                | Action::DeleteStorage { id } => Some(id),
                _ => None,
            })
            .filter(|id| used.contains(id))
            .cloned()
            .collect();
        for id in changed {
            let why = format!(
                "safety copies go to storage {id}, which the same plan changes; do the one after the other"
            );
            self.drafts.problem("", "", Reason::Refused { why });
        }
    }
}

/// What people should know of a copy before it is approved.
fn notes(guest: &Guest, keep_for: u64) -> Vec<String> {
    let section = &guest.config.current;
    let object = guest.entity();
    let mut notes = vec![format!(
        "it is kept for {}; after that a plan deletes it",
        safety_copy::age(keep_for)
    )];
    let disks = views::disks(guest.kind, section);
    let left: Vec<String> = disks
        .iter()
        .filter(|disk| disk.source.data().is_some())
        .filter_map(|disk| {
            let why = safety_copy::not_in_backups(guest.kind, disk)?;
            Some(format!("{} ({why})", disk.slot))
        })
        .collect();
    if !left.is_empty() {
        notes.push(format!("not in it, and lost: {}", few(&left)));
    }
    if !guest.config.snapshots.is_empty() {
        notes.push("snapshots are not in it, and lost".to_owned());
    }
    if guest.template {
        notes.push("it is a template, which is restored from its backup by hand".to_owned());
    }
    notes.push(format!(
        "every disk is read whole; should it fail, {object} stays, stopped, and is not destroyed"
    ));
    notes
}
