//! Whether what an action writes has room where it goes: rules ST09 (move), ST10 (grow), GU07 (migrate), GU08 (create). By bytes,
//! against the free space the world right before the action has; the numbers stay out of the words, they change by themselves.

use std::collections::BTreeMap;

use crate::ids::{Bytes, NodeName, StorageId};
use crate::world::predict::demand;
use crate::world::{Action, Part, World};

use super::cluster::room_state;
use super::{Category, Entity, Grade, State};

/// One entry per storage that is too small for what the action writes to it, that gets tight by it, or of which this cannot be
/// told. `world` is the world right before the action. These stand in for the storage's [`super::Facet::Room`].
pub fn fit(world: &World, action: &Action) -> Vec<(Entity, State)> {
    let mut wanted: BTreeMap<(StorageId, NodeName), (u64, bool)> = BTreeMap::new();
    for demand in demand(world, action) {
        let entry = wanted.entry((demand.storage, demand.node)).or_default();
        match demand.bytes {
            Some(Bytes(bytes)) => entry.0 = entry.0.saturating_add(bytes),
            None => entry.1 = true,
        }
    }
    wanted
        .into_iter()
        .filter_map(|((storage, node), (bytes, unknown))| {
            let state = judge(world, &storage, &node, bytes, unknown)?;
            Some((Entity::Storage(storage), state))
        })
        .collect()
}

fn judge(
    world: &World,
    id: &StorageId,
    node: &NodeName,
    bytes: u64,
    unknown: bool,
) -> Option<State> {
    let storage = world.storages.get(id)?;
    let place = if storage.shared {
        id.to_string()
    } else {
        format!("{id} on node {node}")
    };
    let not_known = |cause: String| {
        Some(State {
            grade: Grade::Unknown,
            category: Some(Category::Unknown),
            rule: "ST09",
            causes: vec![cause],
        })
    };
    if unknown {
        return not_known(format!(
            "the size of what is written to {place} is not known"
        ));
    }
    let read = world.unreadable(&Part::NodeStorage(node.clone())).is_none();
    let space = world
        .nodes
        .get(node)
        .and_then(|n| n.storages.get(id))
        .filter(|_| read);
    let Some((space, available)) = space.and_then(|s| Some((s, s.available?))) else {
        return not_known(format!("how much is free on {place} is not known"));
    };
    let Some(left) = available.0.checked_sub(bytes) else {
        return Some(State {
            grade: Grade::Lost,
            category: Some(Category::WontFit),
            rule: "ST09",
            causes: vec![format!("{} do not fit on {place}", Bytes(bytes))],
        });
    };
    let mut after = space.clone();
    after.available = Some(Bytes(left));
    let on = (!storage.shared).then_some(node);
    let state = room_state(id, on, &after);
    (state.grade != Grade::Good && bytes > 0).then_some(state)
}
