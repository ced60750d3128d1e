//! Safety copies: whether one has room where it goes, and what is lost when one is deleted that is old enough.

use super::super::model::Duration;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity};
use crate::ids::{Bytes, NodeName, StorageId, Vmid, VolumeId};
use crate::world::{Part, safety_copy, views};

impl At<'_> {
    /// The room that a copy takes: at most what the guest's volumes hold, mostly less, since it is compressed and leaves out what was
    /// never written. The free space stays out of the words, it changes by itself.
    pub(super) fn backed_up(&self, vmid: Vmid, node: &NodeName, to: &StorageId) -> Option<Raw> {
        let world = self.before;
        let storage = world.storages.get(to)?;
        let place = if storage.shared {
            to.to_string()
        } else {
            format!("{to} on node {node}")
        };
        let told = |category, after: &str, cause: String| {
            let entity = Entity::Storage(to.clone());
            let states = ("has room", after);
            let lasts = Duration::Permanent;
            Some(raw(
                self.step, entity, category, states, cause, lasts, "ST09",
            ))
        };
        let read = world.unreadable(&Part::NodeStorage(node.clone())).is_none();
        let state = world.nodes.get(node).filter(|_| read);
        let free = state.and_then(|node| node.storages.get(to)?.available);
        let earlier = safety_copy::copies(storage, node)
            .filter(|(_, volume, _)| volume.created.is_none())
            .map(|(_, volume, _)| volume.size.0)
            .fold(0, u64::saturating_add);
        let most = safety_copy::most(world, vmid);
        match (free, most) {
            (Some(Bytes(0)), _) => told(
                Category::WontFit,
                "full",
                format!("the safety copy does not fit: nothing is free on {place}"),
            ),
            (Some(free), Some(most)) if earlier.saturating_add(most.0) <= free.0 => None,
            (Some(_), Some(most)) if earlier == 0 => told(
                Category::Tight,
                "may be too full",
                format!("the safety copy takes up to {most}, which may not fit on {place}"),
            ),
            (Some(_), Some(most)) => told(
                Category::Tight,
                "may be too full",
                format!(
                    "the safety copies up to this one take up to {}, which may not fit on {place}",
                    Bytes(earlier.saturating_add(most.0))
                ),
            ),
            (None, _) => told(
                Category::Unknown,
                "unknown",
                format!("how much is free on {place} is not known"),
            ),
            (_, None) => told(
                Category::Unknown,
                "unknown",
                format!("how large a volume is that is backed up to {place} is not known"),
            ),
        }
    }

    /// A backup that is deleted: that it was the last one of a guest that is there, health tells (ST08); that it was the last of one
    /// that is gone is told here.
    pub(super) fn backup_deleted(&self, node: &NodeName, id: &VolumeId) -> Vec<Raw> {
        let file = self.before.storages.get(id.storage());
        let file = file.and_then(|storage| storage.volume(node, id));
        let owner = file
            .and_then(|file| file.vmid)
            .or_else(|| views::backed_up(id));
        let of = file.and_then(|file| safety_copy::SafetyNote::of(id, file));
        let what = match of {
            Some(note) => format!(
                "the safety copy {id} of {}/{} is deleted",
                note.kind.word(),
                note.vmid
            ),
            None => format!("the backup {id} is deleted"),
        };
        let entity = Entity::Volume(id.clone());
        let gone = ("there", "gone");
        let lasts = Duration::Permanent;
        let mut all = vec![raw(
            self.step,
            entity.clone(),
            Category::DataLost,
            gone,
            what,
            lasts,
            "ST08",
        )];
        let Some(owner) = owner.filter(|owner| !self.before.guests.contains_key(owner)) else {
            return all;
        };
        let mut storages = self.after.storages.values();
        let others = storages.any(|storage| {
            let mut volumes = storage
                .volumes
                .values()
                .flat_map(|volumes| volumes.values());
            volumes.any(|volume| volume.content == "backup" && volume.vmid == Some(owner))
        });
        if !others {
            all.push(raw(
                self.step,
                entity,
                Category::LastCopy,
                ("the last backup", "gone"),
                format!(
                    "it is the last backup that can be listed of guest {owner}, which is there no more"
                ),
                lasts,
                "ST08",
            ));
        }
        all
    }
}
