//! Single backups in prediction: taken, protected, deleted. What a new one is called, when it was made and how large it is, is known
//! only afterwards: until then it has the name of [`safety_copy::predicted_name`], no time, and the size that it has at most.

use std::sync::Arc;

use crate::ids::{NodeName, StorageId, Vmid, VolumeId};
use crate::world::model::{Part, Status, Storage, Volume, World};
use crate::world::safety_copy::{self, SafetyNote};
use crate::world::{Action, views};

use super::volumes::{list, listed_under, unlist};
use super::{Unpredictable, guest, refused, storage, usable};

/// How many protected backups of one guest a storage takes from a token without `Datastore.Allocate`, where it does not say
/// (`max-protected-backups`).
const MOST_PROTECTED: i64 = 5;

/// Backs a stopped guest up.
pub(super) fn take(
    world: &mut World,
    vmid: Vmid,
    node: &NodeName,
    to: &StorageId,
    notes: &str,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    if was.status == Status::Running {
        return Err(refused(format!(
            "{} runs: what it writes meanwhile would not be in the backup",
            was.entity()
        )));
    }
    if was.node != *node {
        return Err(refused(format!("{} is on node {}", was.entity(), was.node)));
    }
    let on = usable(world, to, node, "backup")?.clone();
    if let Some(why) = safety_copy::unusable(world, to, node) {
        return Err(refused(why));
    }
    let under = listed(world, &on, node)?;
    there_is_room_for_one(world, &on, node, vmid)?;
    let id = safety_copy::predicted_name(to, was.kind, vmid);
    if on.volume(&under, &id).is_some() {
        return Err(refused(format!("{} is backed up twice", was.entity())));
    }
    let copy = Volume {
        content: "backup".to_owned(),
        format: String::new(),
        size: safety_copy::most(world, vmid).unwrap_or_default(),
        vmid: Some(vmid),
        parent: None,
        created: None,
        protected: true,
        notes: Some(notes.to_owned()),
    };
    list(world, node, id, copy);
    Ok(())
}

/// The node under which a storage's content is listed: what is listed nowhere cannot be found again. That the backups of other guests
/// may be hidden plays no part; who may back a guest up sees those of that guest.
fn listed(world: &World, on: &Storage, node: &NodeName) -> Result<NodeName, Unpredictable> {
    listed_under(on, node).ok_or_else(|| {
        let part = Part::StorageContent(node.clone(), on.id.clone());
        let why = world.unreadable(&part).unwrap_or("it is not listed");
        Unpredictable::Unread {
            why: why.to_owned(),
            part,
        }
    })
}

/// How many protected backups of one guest a storage takes (PVE::VZDump). Its retention does not hinder them.
fn there_is_room_for_one(
    world: &World,
    on: &Storage,
    node: &NodeName,
    vmid: Vmid,
) -> Result<(), Unpredictable> {
    let id = &on.id;
    let allocate = world.may(&format!("/storage/{id}"), "Datastore.Allocate");
    let said = on.options.get("max-protected-backups");
    let said = said.and_then(|text| text.parse::<i64>().ok());
    let most = said.unwrap_or(if allocate { -1 } else { MOST_PROTECTED });
    let under = if on.shared {
        on.volumes.values().next()
    } else {
        on.volumes.get(node)
    };
    let volumes = under.into_iter().flat_map(|volumes| volumes.values());
    let there = volumes
        .filter(|file| file.content == "backup" && file.vmid == Some(vmid) && file.protected)
        .count();
    match u64::try_from(most) {
        Ok(most) if there as u64 >= most => Err(refused(format!(
            "storage {id} takes at most {most} protected backups of a guest and has them (`max-protected-backups`)"
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Protects a backup, or no longer.
pub(super) fn protect(
    world: &mut World,
    node: &NodeName,
    id: &VolumeId,
    protected: bool,
) -> Result<(), Unpredictable> {
    let mut file = backup(world, node, id)?;
    file.protected = protected;
    list(world, node, id.clone(), file);
    Ok(())
}

/// Deletes a backup.
pub(super) fn delete(
    world: &mut World,
    node: &NodeName,
    id: &VolumeId,
) -> Result<(), Unpredictable> {
    if backup(world, node, id)?.protected {
        return Err(refused(format!("{id} is protected")));
    }
    unlist(world, node, id);
    Ok(())
}

/// A backup that a node sees.
fn backup(world: &World, node: &NodeName, id: &VolumeId) -> Result<Volume, Unpredictable> {
    let on = storage(world, id.storage())?.clone();
    listed(world, &on, node)?;
    match on.volume(node, id) {
        Some(file) if file.content == "backup" => Ok(file.clone()),
        Some(_) | None => Err(Unpredictable::Missing(format!("backup {id}"))),
    }
}

/// What was left of a step on a backup other than predicted.
pub(super) fn surprises(
    before: &World,
    observed: &World,
    action: &Action,
    found: &mut Vec<String>,
) {
    let file = |world: &World, node: &NodeName, id: &VolumeId| -> Option<Volume> {
        let on: &Arc<Storage> = world.storages.get(id.storage())?;
        on.volume(node, id).cloned()
    };
    match action {
        Action::BackUpGuest {
            kind,
            vmid,
            node,
            storage,
            notes,
            ..
        } => {
            let new = taken(observed, node, storage, *vmid, notes)
                .into_iter()
                .any(|id| file(before, node, &id).is_none());
            if !new {
                found.push(format!(
                    "no new backup of {}/{vmid} with the notes `{notes}` is on {storage}",
                    kind.word()
                ));
            }
        }
        Action::ProtectBackup {
            node,
            volume,
            protected,
        } => {
            let word = |on: bool| if on { "protected" } else { "not protected" };
            match file(observed, node, volume) {
                Some(seen) if seen.protected == *protected => {}
                Some(seen) => found.push(format!(
                    "backup {volume}: {} was predicted, {} is",
                    word(*protected),
                    word(seen.protected)
                )),
                None => found.push(format!("backup {volume} is not there")),
            }
        }
        Action::DeleteBackup { node, volume } if file(observed, node, volume).is_some() => {
            found.push(format!("backup {volume} is still there"));
        }
        _ => {}
    }
}

/// The backups of a guest with these notes that a node sees on a storage.
pub fn taken(
    world: &World,
    node: &NodeName,
    storage: &StorageId,
    vmid: Vmid,
    notes: &str,
) -> Vec<VolumeId> {
    let wanted = SafetyNote::parse(notes);
    let Some(on) = world.storages.get(storage) else {
        return Vec::new();
    };
    safety_copy::copies(on, node)
        .filter(|(id, _, note)| {
            let of = views::backed_up(id).is_none_or(|named| named == vmid);
            Some(*note) == wanted && note.vmid == vmid && of
        })
        .map(|(id, _, _)| id.clone())
        .collect()
}
