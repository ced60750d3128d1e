//! References: whether the nodes and storages that documents name exist, now or because of this plan, and can be used from there.

use super::draft::Planner;
use super::error::Reason;
use super::input::Item;
use crate::ids::{NodeName, StorageId, VolumeId};
use crate::world::{Part, Volume};

impl Planner<'_, '_> {
    /// Whether a storage exists or is made by this plan; a problem if not.
    pub(super) fn storage_known(&mut self, item: &Item, field: &str, storage: &StorageId) -> bool {
        self.storage_exists(&item.key, field, storage)
    }

    fn storage_exists(&mut self, document: &str, field: &str, storage: &StorageId) -> bool {
        let world = self.input.world;
        if self.drafts.going.contains(&format!("storage/{storage}")) {
            let why = format!("storage/{storage} is deleted by this plan");
            self.drafts
                .problem(document, field, Reason::Ambiguous { why });
            return false;
        }
        if world.storages.contains_key(storage) || self.drafts.opened.contains_key(storage) {
            return true;
        }
        let reason = match world.unreadable(&Part::Storages) {
            Some(why) => Reason::Unreadable {
                what: Part::Storages.to_string(),
                why: why.to_owned(),
            },
            None => Reason::NoSuch {
                what: "storage",
                name: storage.to_string(),
                nearest: super::nearest(
                    storage.as_str(),
                    world.storages.keys().map(StorageId::as_str),
                ),
            },
        };
        self.drafts.problem(document, field, reason);
        false
    }

    /// Whether a storage can be used from a node for a content type; a problem if not.
    pub(super) fn storage_usable(
        &mut self,
        document: &str,
        field: &str,
        storage: &StorageId,
        node: &NodeName,
        content: Option<&str>,
    ) -> bool {
        if !self.storage_exists(document, field, storage) {
            return false;
        }
        let Some(will) = self.storage_will_be(storage) else {
            return false;
        };
        let here = will
            .nodes
            .as_ref()
            .is_none_or(|nodes| nodes.contains(node.as_str()));
        if will.disabled || !here {
            let reason = Reason::NotOnNode {
                storage: storage.to_string(),
                node: node.to_string(),
            };
            self.drafts.problem(document, field, reason);
            return false;
        }
        if let (Some(content), Some(held)) = (content, &will.content)
            && !held.contains(content)
        {
            let reason = Reason::NoContent {
                storage: storage.to_string(),
                content: content.to_owned(),
            };
            self.drafts.problem(document, field, reason);
            return false;
        }
        true
    }

    /// Whether a node exists and is not known to be offline; a problem if not.
    pub(super) fn node_usable(&mut self, document: &str, node: &NodeName) -> bool {
        let world = self.input.world;
        let reason = match world.nodes.get(node) {
            Some(live) if live.online != Some(false) => return true,
            Some(_) => Reason::Refused {
                why: format!("node {node} is offline; wait until it is back"),
            },
            None => Reason::NoSuch {
                what: "node",
                name: node.to_string(),
                nearest: super::nearest(node.as_str(), world.nodes.keys().map(NodeName::as_str)),
            },
        };
        self.drafts.problem(document, "node", reason);
        false
    }

    /// A volume as a node sees it. `Err`: the storage's content there could not be read.
    pub(super) fn volume_at(
        &self,
        node: &NodeName,
        volume: &VolumeId,
    ) -> Result<Option<&Volume>, String> {
        let world = self.input.world;
        let Some(storage) = world.storages.get(volume.storage()) else {
            return Ok(None);
        };
        if let Some(found) = storage.volume(node, volume) {
            return Ok(Some(found));
        }
        let listed = if storage.shared {
            storage.volumes.keys().next().unwrap_or(node)
        } else {
            node
        };
        match world.unreadable(&Part::StorageContent(
            listed.clone(),
            volume.storage().clone(),
        )) {
            None => Ok(None),
            Some(why) => Err(why.to_owned()),
        }
    }
}
