//! Taking back what was done to a single backup: it is protected again, if it is still there. One that was deleted stays gone.

use super::Back;
use crate::ids::{NodeName, VolumeId};
use crate::world::Action;

impl Back<'_, '_, '_> {
    /// Protects a backup as it was before the run.
    pub(super) fn protect_again(&mut self, node: &NodeName, volume: &VolumeId, protected: bool) {
        let world = self.planner.input.world;
        let storage = world.storages.get(volume.storage());
        let Some(file) = storage.and_then(|storage| storage.volume(node, volume)) else {
            return self.left(&format!(
                "{volume} is gone, so it is not protected as it was"
            ));
        };
        if file.protected == protected {
            return;
        }
        let word = |on: bool| if on { "protected" } else { "not protected" };
        self.planner.drafts.change(
            &format!("backup/{volume}"),
            "protected",
            Some(word(!protected)),
            Some(word(protected)),
            "set back",
        );
        self.push(
            format!("have backup {volume} {} again", word(protected)),
            Action::ProtectBackup {
                node: node.clone(),
                volume: volume.clone(),
                protected,
            },
            Some(node.clone()),
        );
    }
}
