//! Which entities' facets the difference between two worlds may change. Which facet depends on which part of the world is said here
//! and nowhere else; too much is only slow, too little is wrong (a law holds incremental health equal to whole health).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{NodeName, PoolId, StorageId, Vmid, VolumeId};
use crate::world::{Guest, Part, Section, Storage, Volume, World, views};

use super::protection::{falsely_shared, holds_backups};
use super::{Entity, cluster};

/// Which guests need their facet [`super::Facet::Recoverable`] anew.
pub(super) enum Recoverable {
    All,
    These(BTreeSet<Vmid>),
}

/// The entities whose facets must be computed anew.
pub(super) struct Touched {
    pub(super) guests: BTreeSet<Vmid>,
    pub(super) recoverable: Recoverable,
    pub(super) storages: BTreeSet<StorageId>,
    pub(super) nodes: BTreeSet<NodeName>,
    pub(super) pools: BTreeSet<PoolId>,
    pub(super) backup_jobs: BTreeSet<String>,
    pub(super) replication_jobs: BTreeSet<String>,
    pub(super) acl: bool,
    /// Entities that may have had facets in the health before.
    pub(super) stale: Vec<Entity>,
}

impl Touched {
    /// Everything there is, in a health that is empty yet.
    pub(super) fn everything(world: &World) -> Self {
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
    pub(super) fn between(before: &World, after: &World) -> Option<Self> {
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
        let ha = differing(&before.ha_resources, &after.ha_resources);
        let ha_differs = !ha.is_empty();
        touched.guests.extend(ha);
        for rule in differing(&before.ha_rules, &after.ha_rules) {
            for world in [before, after] {
                let rule = world.ha_rules.get(&rule);
                let named = rule.into_iter().flat_map(|rule| &rule.resources);
                touched.guests.extend(named.copied());
            }
        }
        if !touched.backup_jobs.is_empty() {
            touched.guests.extend(after.guests.keys().copied());
        }
        touched.take_nodes(before, after);
        touched.take_storages(before, after);
        touched.take_pools(before, after);
        touched.take_guests(before, after);
        // Whether the guests of one node find room on the others depends on all of them.
        if !touched.nodes.is_empty() || ha_differs {
            touched.nodes.extend(after.nodes.keys().cloned());
        }
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
