//! Prediction: what an action makes of a world, as Proxmox VE would do it. Plans are judged by it, and runs are checked against it.
//! It never guesses: what cannot be told is an error, and what Proxmox VE would refuse is one too.

use super::Action;
use super::model::{Part, World};

/// Why an action's outcome cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpredictable {
    /// Proxmox VE would refuse it, or its task would fail.
    #[error("Proxmox VE would refuse this: {0}")]
    Refused(String),
    /// What it would change is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// Something that decides the outcome could not be read.
    #[error("{part} could not be read ({why}), so the outcome cannot be told")]
    Unread {
        /// What.
        part: Part,
        /// Why.
        why: String,
    },
}

impl World {
    /// The world after an action.
    pub fn apply(&self, action: &Action) -> Result<World, Unpredictable> {
        let mut world = self.clone();
        if let Some((_, vmid)) = action.guest()
            && !matches!(action, Action::CreateGuest { .. })
            && !world.guests.contains_key(&vmid)
        {
            return Err(Unpredictable::Missing(format!("guest {vmid}")));
        }
        if let Action::DeleteStorage { id } = action {
            world.storages.remove(id);
        }
        Ok(world)
    }
}

/// What a read-back shows that was not predicted: one line per difference, empty if everything is as predicted.
pub fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    action: &Action,
) -> Vec<String> {
    let _ = (before, action);
    predicted
        .storages
        .keys()
        .filter(|id| !observed.storages.contains_key(*id))
        .map(|id| format!("storage/{id} is gone"))
        .collect()
}
