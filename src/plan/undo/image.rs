//! Taking back what was done to images. A file that was downloaded is deleted again, if it is still that very one and no guest has it.

use super::super::image::{birth, object_of, users};
use super::Back;
use crate::document::desired::ImageSource;
use crate::ids::{NodeName, VolumeId};
use crate::world::{Action, Volume};

impl Back<'_, '_, '_> {
    fn live_image(
        &mut self,
        object: &str,
        node: &NodeName,
        volume: &VolumeId,
    ) -> Result<Option<Volume>, ()> {
        let live = self.planner.volume_at(node, volume);
        live.map(Option::<&Volume>::cloned).map_err(|why| {
            self.left(&format!("{object} could not be looked at ({why})"));
        })
    }

    fn image_object(&self, node: &NodeName, volume: &VolumeId) -> String {
        let storages = &self.planner.input.world.storages;
        let shared = storages.get(volume.storage()).is_some_and(|s| s.shared);
        object_of((!shared).then_some(node), volume)
    }

    /// Deletes a file that the run downloaded.
    pub(super) fn image_away(
        &mut self,
        node: &NodeName,
        volume: &VolumeId,
        source: Option<&ImageSource>,
    ) {
        let object = self.image_object(node, volume);
        let Ok(Some(live)) = self.live_image(&object, node, volume) else {
            return;
        };
        let owned = self.planner.input.ownership.objects.get(&object);
        let known = owned.and_then(|owned| owned.birth.clone());
        if known.is_none() || known != birth(&live) {
            return self.left(&format!(
                "{object}: the file that is there is not surely the one the run downloaded"
            ));
        }
        let users = users(self.planner.input.world, node, volume);
        if !users.is_empty() {
            return self.left(&format!("{object} is in use by {}", users.join(", ")));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some("image"),
            None,
            "the file is deleted again",
        );
        self.push(
            format!("delete image {volume} on {node}"),
            Action::DeleteImage {
                node: node.clone(),
                volume: volume.clone(),
                source: source.cloned(),
            },
            Some(node.clone()),
        );
    }

    /// Downloads a file again that the run deleted.
    pub(super) fn image_again(&mut self, node: &NodeName, volume: &VolumeId, source: &ImageSource) {
        let object = self.image_object(node, volume);
        match self.live_image(&object, node, volume) {
            Err(()) => return,
            Ok(Some(_)) => {
                return self.left(&format!("{object} was put there by someone since"));
            }
            Ok(None) => {}
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            None,
            Some("image"),
            "downloaded again, if the address still serves it",
        );
        self.push(
            format!("download image {volume} to {node} again"),
            Action::DownloadImage {
                node: node.clone(),
                volume: volume.clone(),
                source: source.clone(),
            },
            Some(node.clone()),
        );
    }
}
