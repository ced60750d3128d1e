//! Health of a whole world, and of the next world at the cost of what differs. The second must give what the first would; which
//! facet depends on which part of the world is therefore said here, in [`Touched`], and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{NodeName, PoolId, StorageId, Vmid, VolumeId};
use crate::world::{Guest, Part, Section, Storage, Volume, World, views};

use super::protection::{Backups, falsely_shared, holds_backups};
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

/// Which guests need their facet [`Facet::Recoverable`] anew.
enum Recoverable {
    All,
    These(BTreeSet<Vmid>),
}

/// The entities whose facets must be computed anew.
struct Touched {
    guests: BTreeSet<Vmid>,
    recoverable: Recoverable,
    storages: BTreeSet<StorageId>,
    nodes: BTreeSet<NodeName>,
    pools: BTreeSet<PoolId>,
    backup_jobs: BTreeSet<String>,
    replication_jobs: BTreeSet<String>,
    acl: bool,
    /// Entities that may have had facets in the health before.
    stale: Vec<Entity>,
}

impl Touched {
    fn everything(world: &World) -> Self {
        Self {
            guests: world.guests.keys().copied().collect(),
            recoverable: Recoverable::All,
            storages: world.storages.keys().cloned().collect(),
            nodes: world.nodes.keys().cloned().collect(),
            pools: world.pools.keys().cloned().collect(),
            backup_jobs: world.backup_jobs.keys().cloned().collect(),
            replication_jobs: world.replication_jobs.keys().cloned().collect(),
            acl: true,
            stale: Vec::new(),
        }
    }

    /// What the difference between two worlds touches; `None` if it may touch anything.
    fn between(before: &World, after: &World) -> Option<Self> {
        let unread = completeness_guests(before, after)?;
        if !before.nodes.keys().eq(after.nodes.keys()) {
            return None;
        }
        let mut touched = Self {
            guests: unread,
            recoverable: Recoverable::These(BTreeSet::new()),
            storages: BTreeSet::new(),
            nodes: BTreeSet::new(),
            pools: differing(&before.pools, &after.pools).into_iter().collect(),
            backup_jobs: differing(&before.backup_jobs, &after.backup_jobs)
                .into_iter()
                .collect(),
            replication_jobs: BTreeSet::new(),
            acl: !Arc::ptr_eq(&before.acl, &after.acl),
            stale: Vec::new(),
        };
        touched
            .guests
            .extend(differing(&before.ha_resources, &after.ha_resources));
        if !touched.backup_jobs.is_empty() {
            touched.guests.extend(after.guests.keys().copied());
        }
        touched.take_nodes(before, after);
        touched.take_storages(before, after);
        touched.take_pools(before, after);
        touched.take_guests(before, after);
        touched.take_replication(before, after);
        touched.collect_stale(before, after);
        Some(touched)
    }

    fn take_nodes(&mut self, before: &World, after: &World) {
        for name in differing(&before.nodes, &after.nodes) {
            let (Some(was), Some(is)) = (before.nodes.get(&name), after.nodes.get(&name)) else {
                continue;
            };
            if was.bridges != is.bridges {
                let here = after.guests.values().filter(|g| g.node == name);
                self.guests.extend(here.map(|g| g.vmid));
            }
            let known = was.storages.keys().chain(is.storages.keys());
            self.storages.extend(
                known
                    .filter(|id| was.storages.get(*id) != is.storages.get(*id))
                    .cloned(),
            );
            self.nodes.insert(name);
        }
    }

    fn take_storages(&mut self, before: &World, after: &World) {
        for id in differing(&before.storages, &after.storages) {
            let was = before.storages.get(&id);
            let is = after.storages.get(&id);
            match (was, is) {
                (Some(was), Some(is)) if same_definition(was, is) => {
                    let volumes = changed_volumes(was, is);
                    self.take_volumes(after, &id, &volumes);
                }
                _ => self.take_definition(before, after, &id, was, is),
            }
            self.storages.insert(id);
        }
    }

    /// A storage came, went or means something else now: everything that may name it.
    fn take_definition(
        &mut self,
        before: &World,
        after: &World,
        id: &StorageId,
        was: Option<&Arc<Storage>>,
        is: Option<&Arc<Storage>>,
    ) {
        let name = id.as_str();
        self.guests.extend(
            after
                .guests
                .values()
                .filter(|g| mentions(g, name))
                .map(|g| g.vmid),
        );
        if was.is_some_and(|s| holds_backups(s)) || is.is_some_and(|s| holds_backups(s)) {
            self.recoverable = Recoverable::All;
        }
        let jobs = |world: &World| {
            world
                .backup_jobs
                .values()
                .any(|job| job.storage.as_deref() == Some(name))
        };
        if jobs(before) || jobs(after) {
            self.guests.extend(after.guests.keys().copied());
        }
        self.storages.extend(after.storages.keys().cloned());
        self.pools.extend(after.pools.keys().cloned());
        self.backup_jobs.extend(after.backup_jobs.keys().cloned());
        self.replication_jobs
            .extend(after.replication_jobs.keys().cloned());
        self.acl = true;
    }

    /// Only what lies on a storage differs.
    fn take_volumes(
        &mut self,
        after: &World,
        id: &StorageId,
        volumes: &BTreeMap<VolumeId, Option<Vmid>>,
    ) {
        if let Recoverable::These(these) = &mut self.recoverable {
            these.extend(volumes.values().flatten());
        }
        const FEW: usize = 16;
        let guests = after.guests.values();
        if volumes.len() > FEW {
            self.guests
                .extend(guests.filter(|g| mentions(g, id.as_str())).map(|g| g.vmid));
        } else if !volumes.is_empty() {
            // A linked clone's volume id contains its parent's name, so this finds clones too.
            self.guests.extend(
                guests
                    .filter(|g| volumes.keys().any(|volume| mentions(g, volume.name())))
                    .map(|g| g.vmid),
            );
        }
    }

    fn take_pools(&mut self, before: &World, after: &World) {
        for id in &self.pools {
            let members = |world: &World| {
                world
                    .pools
                    .get(id)
                    .map(|p| p.guests.clone())
                    .unwrap_or_default()
            };
            self.guests.extend(
                members(before)
                    .symmetric_difference(&members(after))
                    .copied(),
            );
            self.acl |= before.pools.contains_key(id) != after.pools.contains_key(id);
        }
    }

    fn take_guests(&mut self, before: &World, after: &World) {
        for vmid in differing(&before.guests, &after.guests) {
            let was = before.guests.get(&vmid);
            let is = after.guests.get(&vmid);
            for guest in [was, is].into_iter().flatten() {
                self.nodes.insert(guest.node.clone());
            }
            if was.is_none() || is.is_none() || was.map(|g| g.kind) != is.map(|g| g.kind) {
                self.acl = true;
                let names_it = after
                    .pools
                    .iter()
                    .filter(|(_, pool)| pool.guests.contains(&vmid));
                self.pools.extend(names_it.map(|(id, _)| id.clone()));
                if let Recoverable::These(these) = &mut self.recoverable {
                    these.insert(vmid);
                }
            }
            self.guests.insert(vmid);
        }
    }

    fn take_replication(&mut self, before: &World, after: &World) {
        for id in differing(&before.replication_jobs, &after.replication_jobs) {
            for world in [before, after] {
                self.guests
                    .extend(world.replication_jobs.get(&id).map(|job| job.guest));
            }
            self.replication_jobs.insert(id);
        }
        let of_touched = after
            .replication_jobs
            .iter()
            .filter(|(_, job)| self.guests.contains(&job.guest));
        self.replication_jobs
            .extend(of_touched.map(|(id, _)| id.clone()));
    }

    /// Lists every entity whose old facets must go, also those that are no more.
    fn collect_stale(&mut self, before: &World, after: &World) {
        for vmid in &self.guests {
            let kinds: BTreeSet<_> = [before, after]
                .iter()
                .filter_map(|w| w.guests.get(vmid))
                .map(|g| g.kind)
                .collect();
            self.stale
                .extend(kinds.into_iter().map(|kind| Entity::Guest(kind, *vmid)));
        }
        self.stale
            .extend(self.storages.iter().cloned().map(Entity::Storage));
        self.stale
            .extend(self.nodes.iter().cloned().map(Entity::Node));
        self.stale
            .extend(self.pools.iter().cloned().map(Entity::Pool));
        self.stale
            .extend(self.backup_jobs.iter().cloned().map(Entity::BackupJob));
        self.stale.extend(
            self.replication_jobs
                .iter()
                .cloned()
                .map(Entity::ReplicationJob),
        );
        if self.acl {
            let entries = before.acl.iter().chain(after.acl.iter());
            self.stale
                .extend(entries.map(cluster::acl_entity).collect::<BTreeSet<_>>());
        }
    }
}

/// The guests whose completeness differs; `None` if that of anything else does.
fn completeness_guests(before: &World, after: &World) -> Option<BTreeSet<Vmid>> {
    let mut guests = BTreeSet::new();
    if before.completeness == after.completeness {
        return Some(guests);
    }
    let parts = before.completeness.keys().chain(after.completeness.keys());
    for part in parts {
        if before.completeness.get(part) == after.completeness.get(part) {
            continue;
        }
        match part {
            Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => {
                guests.insert(*vmid);
            }
            // When a part was read matters to nobody, only whether.
            _ if before.unreadable(part).is_some() == after.unreadable(part).is_some()
                && before.unreadable(part).is_none() => {}
            _ => return None,
        }
    }
    Some(guests)
}

/// The keys whose values are not the very same.
fn differing<K: Ord + Clone, V>(
    before: &BTreeMap<K, Arc<V>>,
    after: &BTreeMap<K, Arc<V>>,
) -> Vec<K> {
    let mut found = Vec::new();
    let (mut left, mut right) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return found,
            (Some((key, _)), None) => {
                found.push((*key).clone());
                left.next();
            }
            (None, Some((key, _))) => {
                found.push((*key).clone());
                right.next();
            }
            (Some((a, x)), Some((b, y))) => match a.cmp(b) {
                std::cmp::Ordering::Less => {
                    found.push((*a).clone());
                    left.next();
                }
                std::cmp::Ordering::Greater => {
                    found.push((*b).clone());
                    right.next();
                }
                std::cmp::Ordering::Equal => {
                    if !Arc::ptr_eq(x, y) {
                        found.push((*a).clone());
                    }
                    left.next();
                    right.next();
                }
            },
        }
    }
}

/// Whether two states of a storage differ at most in the volumes on it (and in the file's digest).
fn same_definition(was: &Storage, is: &Storage) -> bool {
    was.storage_type == is.storage_type
        && was.content == is.content
        && was.nodes == is.nodes
        && was.disabled == is.disabled
        && was.shared == is.shared
        && was.options == is.options
        && was.volumes.keys().eq(is.volumes.keys())
        && falsely_shared(was) == falsely_shared(is)
}

/// The volumes that came, went or changed, with the guest a backup among them is of.
fn changed_volumes(was: &Storage, is: &Storage) -> BTreeMap<VolumeId, Option<Vmid>> {
    let mut changed = BTreeMap::new();
    let backup_of = |v: &Volume| if v.content == "backup" { v.vmid } else { None };
    for (node, volumes) in &was.volumes {
        let Some(now) = is
            .volumes
            .get(node)
            .filter(|now| !Arc::ptr_eq(now, volumes))
        else {
            continue;
        };
        for (id, volume) in volumes
            .iter()
            .filter(|(id, volume)| now.get(*id) != Some(*volume))
        {
            changed.insert(id.clone(), backup_of(volume));
        }
        for (id, volume) in now.iter().filter(|(id, _)| !volumes.contains_key(*id)) {
            changed.insert(id.clone(), backup_of(volume));
        }
    }
    changed
}

/// Whether a text occurs in any value that can name a volume or a storage, in any section of a guest's configuration. Too many is
/// harmless here, too few is not.
fn mentions(guest: &Guest, text: &str) -> bool {
    let names = |key: &str| {
        views::is_disk_key(guest.kind, key)
            || matches!(key, "cicustom" | "hookscript" | "vmstatestorage")
    };
    let within = |section: &Section| {
        section
            .iter()
            .any(|(key, value)| names(key) && value.contains(text))
    };
    let config = &guest.config;
    within(&config.current)
        || config
            .pending
            .iter()
            .any(|p| p.value.as_deref().is_some_and(|v| v.contains(text)))
        || config.snapshots.values().any(|s| within(&s.section))
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
            let given = given.get(name).copied().unwrap_or_default();
            run(Entity::Node(name.clone()), &mut |put| {
                cluster::node(world, name, node, given, put)
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
