//! Health of a whole world, and of the next world at the cost of what differs ([`Touched`]). The second must give what the first would.

use crate::world::World;

use super::backups::Backups;
use super::touched::{Recoverable, Touched};
use super::{Entity, Facet, Health, State, cluster, guest, protection};

/// A key of health.
pub type Key = (Entity, Facet);

/// The health of a whole world.
pub fn evaluate(world: &World) -> Health {
    let mut health = Health::new();
    advance_to(
        &mut health,
        world,
        Touched::everything(world),
        &mut Vec::new(),
    );
    health
}

/// The health of `after`, given that of `before`: the same as [`evaluate`] of `after`, at the cost of what differs (plus the copy of
/// `health`; see [`advance`]).
pub fn reevaluate(health: &Health, before: &World, after: &World) -> Health {
    let mut health = health.clone();
    advance(&mut health, before, after);
    health
}

/// Like [`reevaluate`], in place. Returns the keys whose state changed, with the state they had (`None`: they were not there).
pub fn advance(health: &mut Health, before: &World, after: &World) -> Vec<(Key, Option<State>)> {
    let mut changed = Vec::new();
    match Touched::between(before, after) {
        Some(touched) => advance_to(health, after, touched, &mut changed),
        None => {
            let old = std::mem::replace(health, evaluate(after));
            changed = difference(old, health);
        }
    }
    changed
}

/// Every key whose state differs, with the state before.
fn difference(old: Health, new: &Health) -> Vec<(Key, Option<State>)> {
    let mut changed: Vec<(Key, Option<State>)> = new
        .keys()
        .filter(|key| !old.contains_key(*key))
        .map(|key| (key.clone(), None))
        .collect();
    for (key, was) in old {
        if new.get(&key) != Some(&was) {
            changed.push((key, Some(was)));
        }
    }
    changed
}

/// Takes the old facets of everything touched out of `health`, and puts the new ones in.
fn advance_to(
    health: &mut Health,
    world: &World,
    touched: Touched,
    changed: &mut Vec<(Key, Option<State>)>,
) {
    let mut old = Health::new();
    for entity in &touched.stale {
        take(health, entity, &mut old);
    }
    let mut new: Vec<(Key, State)> = Vec::new();
    guests(world, &touched, &old, &mut new);
    others(world, &touched, &mut new);
    if let Recoverable::All = touched.recoverable {
        let untouched = world
            .guests
            .values()
            .filter(|g| !touched.guests.contains(&g.vmid));
        let backups = Backups::new(world);
        for guest in untouched {
            let key = (Entity::Guest(guest.kind, guest.vmid), Facet::Recoverable);
            new.push((key, backups.recoverable(guest.vmid)));
        }
    } else if let Recoverable::These(these) = &touched.recoverable {
        let untouched: Vec<_> = these
            .iter()
            .filter(|v| !touched.guests.contains(v))
            .filter_map(|v| world.guests.get(v))
            .collect();
        if !untouched.is_empty() {
            let backups = Backups::new(world);
            for guest in untouched {
                let key = (Entity::Guest(guest.kind, guest.vmid), Facet::Recoverable);
                new.push((key, backups.recoverable(guest.vmid)));
            }
        }
    }
    for (key, state) in new {
        let was = old.remove(&key).or_else(|| health.get(&key).cloned());
        if was.as_ref() != Some(&state) {
            changed.push((key.clone(), was));
        }
        health.insert(key, state);
    }
    changed.extend(old.into_iter().map(|(key, state)| (key, Some(state))));
}

/// Moves every facet of an entity from `health` to `old`.
fn take(health: &mut Health, entity: &Entity, old: &mut Health) {
    // `Boots` is the first of the facets in their order.
    let from = (entity.clone(), Facet::Boots);
    let keys: Vec<Key> = health
        .range(from..)
        .take_while(|((e, _), _)| e == entity)
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        if let Some((key, state)) = health.remove_entry(&key) {
            old.insert(key, state);
        }
    }
}

fn guests(world: &World, touched: &Touched, old: &Health, new: &mut Vec<(Key, State)>) {
    let mut backups: Option<Backups> = None;
    for guest in touched
        .guests
        .iter()
        .filter_map(|vmid| world.guests.get(vmid))
    {
        let entity = Entity::Guest(guest.kind, guest.vmid);
        let mut put = |facet: Facet, state: State| new.push(((entity.clone(), facet), state));
        guest::facets(world, guest, &mut put);
        protection::facets(world, guest, &mut put);
        let anew = match &touched.recoverable {
            Recoverable::All => true,
            Recoverable::These(these) => these.contains(&guest.vmid),
        };
        let key = (entity, Facet::Recoverable);
        let kept = old.get(&key).filter(|_| !anew).cloned();
        let state = kept.unwrap_or_else(|| {
            backups
                .get_or_insert_with(|| Backups::new(world))
                .recoverable(guest.vmid)
        });
        new.push((key, state));
    }
}

/// Where the facets of one entity go.
type Put<'a> = &'a mut dyn FnMut(Facet, State);

fn others(world: &World, touched: &Touched, new: &mut Vec<(Key, State)>) {
    let mut run = |entity: Entity, facets: &mut dyn FnMut(Put)| {
        facets(&mut |facet, state| new.push(((entity.clone(), facet), state)));
    };
    for storage in touched
        .storages
        .iter()
        .filter_map(|id| world.storages.get(id))
    {
        run(Entity::Storage(storage.id.clone()), &mut |put| {
            cluster::storage(world, storage, put)
        });
    }
    if !touched.nodes.is_empty() {
        let given = cluster::memory_by_node(world);
        for (name, node) in touched
            .nodes
            .iter()
            .filter_map(|n| world.nodes.get_key_value(n))
        {
            run(Entity::Node(name.clone()), &mut |put| {
                cluster::node(world, name, node, &given, put)
            });
        }
    }
    for (id, pool) in touched
        .pools
        .iter()
        .filter_map(|id| world.pools.get_key_value(id))
    {
        run(Entity::Pool(id.clone()), &mut |put| {
            cluster::pool(world, id, pool, put)
        });
    }
    for (id, job) in touched
        .backup_jobs
        .iter()
        .filter_map(|id| world.backup_jobs.get_key_value(id))
    {
        run(Entity::BackupJob(id.clone()), &mut |put| {
            cluster::backup_job(world, id, job, put)
        });
    }
    for (id, job) in touched
        .replication_jobs
        .iter()
        .filter_map(|id| world.replication_jobs.get_key_value(id))
    {
        run(Entity::ReplicationJob(id.clone()), &mut |put| {
            cluster::replication_job(world, id, job, put)
        });
    }
    if touched.acl {
        for entry in world.acl.iter() {
            run(cluster::acl_entity(entry), &mut |put| {
                cluster::acl(world, entry, put)
            });
        }
    }
}
