//! Safety copies that are as old as their notes say they are kept: a plan deletes them. Which they are, their notes alone say, to the
//! letter; whoever wants to keep one writes other notes.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::draft::{Draft, DraftId, Drafts, Phase, Planner};
use super::error::PlanError;
use super::finish;
use super::input::PlanInput;
use super::model::{Origin, Plan};
use crate::ids::{NodeName, VolumeId};
use crate::world::safety_copy::{self, SafetyNote};
use crate::world::{Action, Part, Storage, Volume};

/// The plan that deletes the safety copies which are old enough. It has no steps where there are none, and where the operator wants no
/// copies: then notes mean nothing. The documents and the origin of the input are not looked at.
///
/// # Errors
/// As [`make_plan`](super::make_plan).
pub fn clean_up(input: &PlanInput<'_>) -> Result<Plan, PlanError> {
    let input = PlanInput {
        origin: Origin::CleanUp,
        items: Vec::new(),
        ..input.clone()
    };
    let mut planner = Planner {
        input: &input,
        drafts: Drafts::default(),
    };
    if input.settings.safety_copy.is_some() {
        planner.aged_copies();
    }
    finish::finish(&input, planner.drafts)
}

/// Until when a copy is kept, by when it was made; `None` beyond all time.
fn until(taken: i64, note: &SafetyNote) -> Option<Timestamp> {
    let end = taken.checked_add(i64::try_from(note.keep_for).ok()?)?;
    Timestamp::from_second(end).ok()
}

impl Planner<'_, '_> {
    fn aged_copies(&mut self) {
        let world = self.input.world;
        for storage in world.storages.values() {
            if storage.disabled || !storage.content.contains("backup") {
                continue;
            }
            for node in self.seen_by(storage) {
                if !safety_copy::listed(storage, &node) {
                    let part = Part::StorageContent(node.clone(), storage.id.clone());
                    self.drafts.notes.insert(format!(
                        "{part} could not be read, so safety copies there stay for now"
                    ));
                    continue;
                }
                for (id, volume, note) in safety_copy::copies(storage, &node) {
                    let end = volume.created.and_then(|taken| until(taken, &note));
                    if let Some(end) = end.filter(|end| *end <= self.input.now) {
                        self.delete_copy(&node, id, volume, &note, end);
                    }
                }
            }
        }
    }

    /// The nodes whose view of a storage has to be looked at: one for a shared storage, each for another.
    fn seen_by(&self, storage: &Storage) -> Vec<NodeName> {
        let nodes = self.input.world.nodes.iter();
        let usable = nodes.filter(|(name, node)| {
            let state = node.storages.get(&storage.id);
            storage.on_node(name)
                && node.online != Some(false)
                && state.is_some_and(|state| state.enabled && state.active)
        });
        let all = usable.map(|(name, _)| name.clone());
        match storage.shared {
            true => all.take(1).collect(),
            false => all.collect(),
        }
    }

    fn delete_copy(
        &mut self,
        node: &NodeName,
        id: &VolumeId,
        volume: &Volume,
        note: &SafetyNote,
        end: Timestamp,
    ) {
        let guest = format!("{}/{}", note.kind.word(), note.vmid);
        let push = |planner: &mut Self, title, action, needs, notes| -> DraftId {
            planner.drafts.push(Draft {
                title,
                action,
                node: Some(node.clone()),
                phase: Phase::ImageLast,
                needs,
                notes,
            })
        };
        let mut needs = BTreeSet::new();
        if volume.protected {
            let action = Action::ProtectBackup {
                node: node.clone(),
                volume: id.clone(),
                protected: false,
            };
            let title = format!("take the protection off backup {id} of {guest}");
            needs.insert(push(self, title, action, BTreeSet::new(), Vec::new()));
        }
        self.drafts.change(
            &format!("backup/{id}"),
            "(object)",
            Some("safety copy"),
            None,
            "it was kept as long as its notes say",
        );
        let action = Action::DeleteBackup {
            node: node.clone(),
            volume: id.clone(),
        };
        let why = format!(
            "it was kept until {end}, as its notes say; whoever wants to keep it changes its notes"
        );
        let title = format!("delete backup {id} of {guest}");
        push(self, title, action, needs, vec![why]);
    }
}
