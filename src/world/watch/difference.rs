//! What differs between two worlds, apart from when they were read and from what changes by itself: the memory in use, and how full
//! storages are. What is shared between the two in memory is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Changed;
use crate::ids::{NodeName, StorageId};
use crate::world::firewall::{Firewalls, Place};
use crate::world::model::{Completeness, Node, Part, Storage, StorageState, World};

/// What is another in `now` than in `before`.
pub(super) fn differences(before: &World, now: &World) -> BTreeSet<Changed> {
    let mut found = BTreeSet::new();
    let World {
        cluster: _,
        observed_at: _,
        version,
        controller: _,
        completeness,
        permissions,
        nodes,
        guests,
        storages,
        pools,
        backup_jobs,
        replication_jobs,
        ha_resources,
        ha_rules,
        acl,
        firewalls,
        users,
        groups,
        roles,
        realms,
        realm_settings,
        options,
        quorate,
    } = now;
    let mut part = |part: Part, same: bool| {
        if !same {
            found.insert(Changed::Part(part));
        }
    };
    part(Part::Permissions, before.permissions == *permissions);
    part(Part::Acl, before.acl == *acl);
    part(Part::Users, before.users == *users);
    part(Part::Groups, before.groups == *groups);
    part(Part::Roles, before.roles == *roles);
    part(Part::Realms, before.realms == *realms);
    part(
        Part::RealmSettings,
        before.realm_settings.of == realm_settings.of,
    );
    part(Part::Options, before.options == *options);
    part(Part::Pools, before.pools == *pools);
    part(Part::BackupJobs, before.backup_jobs == *backup_jobs);
    part(
        Part::ReplicationJobs,
        before.replication_jobs == *replication_jobs,
    );
    part(Part::HaResources, before.ha_resources == *ha_resources);
    part(Part::HaRules, before.ha_rules == *ha_rules);
    let same = before.version == *version && before.quorate == *quorate;
    part(Part::ClusterStatus, same);
    firewall(&before.firewalls, firewalls, &mut found);
    each(&before.guests, guests, |vmid, was, is| {
        if was != is {
            found.insert(Changed::Guest(*vmid));
        }
    });
    each(&before.storages, storages, |id, was, is| {
        storage(id, was, is, &mut found);
    });
    each(&before.nodes, nodes, |name, was, is| {
        node(name, was, is, &mut found);
    });
    each(&before.completeness, completeness, |part, was, is| {
        if why(was) != why(is) || was.is_some() != is.is_some() {
            found.insert(of_part(part));
        }
    });
    found
}

fn firewall(before: &Firewalls, now: &Firewalls, found: &mut BTreeSet<Changed>) {
    if (&before.cluster, &before.corosync) != (&now.cluster, &now.corosync) {
        found.insert(Changed::Firewall(Place::Cluster));
    }
    match (&before.vnets, &now.vnets) {
        (Ok(before), Ok(now)) if before.is(now) => {}
        (Ok(before), Ok(now)) => each(before, now, |name, was, is| {
            if was != is {
                found.insert(Changed::Firewall(Place::Vnet(name.clone())));
            }
        }),
        (was, is) if was == is => {}
        // Which vnets there are is what is known, or not, of the datacenter.
        _ => drop(found.insert(Changed::Firewall(Place::Cluster))),
    }
    if !before.nodes.is(&now.nodes) {
        each(&before.nodes, &now.nodes, |name, was, is| {
            if was != is {
                found.insert(Changed::Firewall(Place::Node(name.clone())));
            }
        });
    }
    if !before.guests.is(&now.guests) {
        each(&before.guests, &now.guests, |vmid, was, is| {
            if was != is {
                found.insert(Changed::Firewall(Place::Guest(*vmid)));
            }
        });
    }
}

/// The parts that are unreadable now, but were not before, or for another reason.
pub(super) fn newly_unreadable(before: &World, now: &World) -> Vec<(Part, String)> {
    let mut found = Vec::new();
    each(&before.completeness, &now.completeness, |part, was, is| {
        if let Some(reason) = why(is)
            && why(was) != Some(reason)
        {
            found.push((part.clone(), reason.to_owned()));
        }
    });
    found
}

fn why(completeness: Option<&Completeness>) -> Option<&str> {
    match completeness {
        Some(Completeness::Unreadable { why }) => Some(why),
        Some(Completeness::Complete { .. }) | None => None,
    }
}

/// What a part belongs to.
fn of_part(part: &Part) -> Changed {
    match part {
        Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => Changed::Guest(*vmid),
        Part::StorageContent(_, storage) => Changed::Storage(storage.clone()),
        Part::Permissions
        | Part::Resources
        | Part::ClusterStatus
        | Part::Options
        | Part::Storages
        | Part::NodeStatus(_)
        | Part::NodeNetwork(_)
        | Part::NodeStorage(_)
        | Part::Pools
        | Part::BackupJobs
        | Part::ReplicationJobs
        | Part::HaResources
        | Part::HaRules
        | Part::Acl
        | Part::Users
        | Part::Groups
        | Part::Roles
        | Part::Realms
        | Part::RealmSettings => Changed::Part(part.clone()),
    }
}

fn storage(
    id: &StorageId,
    was: Option<&Arc<Storage>>,
    is: Option<&Arc<Storage>>,
    found: &mut BTreeSet<Changed>,
) {
    if was == is {
        return;
    }
    found.insert(match (was, is) {
        // Every definition carries the digest of all of them.
        (Some(was), Some(is)) if same_but_digest(was, is) => Changed::Part(Part::Storages),
        _ => Changed::Storage(id.clone()),
    });
}

/// Whether two storages are the same but for the digest of the file in which they are defined.
pub(super) fn same_but_digest(was: &Storage, is: &Storage) -> bool {
    same_definition(was, is) && was.volumes == is.volumes
}

/// Whether two storages are defined in the same way.
pub(super) fn same_definition(was: &Storage, is: &Storage) -> bool {
    let Storage {
        id,
        storage_type,
        content,
        nodes,
        disabled,
        shared,
        digest: _,
        options,
        volumes: _,
    } = is;
    (&was.id, &was.storage_type, &was.content, &was.nodes) == (id, storage_type, content, nodes)
        && (was.disabled, was.shared, &was.options) == (*disabled, *shared, options)
}

fn node(
    name: &NodeName,
    was: Option<&Arc<Node>>,
    is: Option<&Arc<Node>>,
    found: &mut BTreeSet<Changed>,
) {
    let (Some(was), Some(is)) = (was, is) else {
        found.insert(Changed::Part(Part::ClusterStatus));
        found.insert(Changed::Part(Part::NodeStatus(name.clone())));
        return;
    };
    if Arc::ptr_eq(was, is) {
        return;
    }
    let Node {
        online,
        ip,
        cpus,
        memory_total,
        memory_used: _,
        bridges,
        storages,
    } = &**is;
    let mut part = |part: Part, same: bool| {
        if !same {
            found.insert(Changed::Part(part));
        }
    };
    part(Part::ClusterStatus, (&was.online, &was.ip) == (online, ip));
    part(
        Part::NodeStatus(name.clone()),
        (&was.cpus, &was.memory_total) == (cpus, memory_total),
    );
    part(Part::NodeNetwork(name.clone()), was.bridges == *bridges);
    part(
        Part::NodeStorage(name.clone()),
        same_states(&was.storages, storages),
    );
}

/// Whether storages stand the same on a node. Their sizes do not count: those of ZFS and Ceph change with every write.
fn same_states(
    was: &BTreeMap<StorageId, StorageState>,
    is: &BTreeMap<StorageId, StorageState>,
) -> bool {
    was.len() == is.len()
        && was.iter().zip(is).all(|((one, was), (other, is))| {
            let StorageState {
                enabled,
                active,
                total: _,
                available: _,
            } = is;
            one == other && (was.enabled, was.active) == (*enabled, *active)
        })
}

/// Calls `with` for every key of two maps, with both values.
fn each<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    now: &'a BTreeMap<K, V>,
    mut with: impl FnMut(&'a K, Option<&'a V>, Option<&'a V>),
) {
    let (mut one, mut other) = (before.iter().peekable(), now.iter().peekable());
    loop {
        match (one.peek(), other.peek()) {
            (None, None) => return,
            (Some((was, _)), Some((is, _))) if was == is => {
                if let (Some((key, was)), Some((_, is))) = (one.next(), other.next()) {
                    with(key, Some(was), Some(is));
                }
            }
            (Some((was, _)), is) if is.is_none_or(|(is, _)| was < is) => {
                if let Some((key, was)) = one.next() {
                    with(key, Some(was), None);
                }
            }
            _ => {
                if let Some((key, is)) = other.next() {
                    with(key, None, Some(is));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::Bytes;
    use crate::world::testing::{Builder, node as node_name, storage_id, vmid};

    fn world() -> World {
        Builder::new(&["pve1", "pve2"])
            .storage("local", "dir")
            .vm(100, "pve1", &[("cores", "2")])
            .build()
    }

    fn changed(by: impl FnOnce(&mut World)) -> Vec<Changed> {
        let before = world();
        let mut now = before.clone();
        by(&mut now);
        differences(&before, &now).into_iter().collect()
    }

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let found = changed(|world| {
            world.observed_at = jiff::Timestamp::now();
            let at = world.observed_at;
            for completeness in world.completeness.values_mut() {
                *completeness = Completeness::Complete { at };
            }
            let node = Arc::make_mut(world.nodes.get_mut(&node_name("pve1")).unwrap());
            node.memory_used = Some(Bytes(1));
            let state = node.storages.get_mut(&storage_id("local")).unwrap();
            (state.total, state.available) = (Some(Bytes(3)), Some(Bytes(2)));
        });
        assert_eq!(found, []);
    }

    #[test]
    fn every_difference_has_its_name() {
        let pve1 = || node_name("pve1");
        let found = changed(|world| {
            Arc::make_mut(world.guests.get_mut(&vmid(100)).unwrap()).lock = Some("backup".into());
        });
        assert_eq!(found, [Changed::Guest(vmid(100))]);
        let found = changed(|world| drop(world.guests.remove(&vmid(100))));
        assert_eq!(found, [Changed::Guest(vmid(100))]);
        let found = changed(|world| {
            Arc::make_mut(world.storages.get_mut(&storage_id("local")).unwrap()).disabled = true;
        });
        assert_eq!(found, [Changed::Storage(storage_id("local"))]);
        let found = changed(|world| {
            let storage = world.storages.get_mut(&storage_id("local")).unwrap();
            Arc::make_mut(storage).digest = "other".into();
        });
        assert_eq!(found, [Changed::Part(Part::Storages)]);
        let found = changed(|world| {
            Arc::make_mut(world.nodes.get_mut(&pve1()).unwrap()).online = Some(false);
        });
        assert_eq!(found, [Changed::Part(Part::ClusterStatus)]);
        let found = changed(|world| {
            Arc::make_mut(world.nodes.get_mut(&pve1()).unwrap())
                .bridges
                .clear();
        });
        assert_eq!(found, [Changed::Part(Part::NodeNetwork(pve1()))]);
        let found = changed(|world| {
            let node = Arc::make_mut(world.nodes.get_mut(&pve1()).unwrap());
            node.storages.get_mut(&storage_id("local")).unwrap().active = false;
        });
        assert_eq!(found, [Changed::Part(Part::NodeStorage(pve1()))]);
        let found = changed(|world| world.version = "10.0".into());
        assert_eq!(found, [Changed::Part(Part::ClusterStatus)]);
    }

    #[test]
    fn a_part_that_becomes_unreadable_is_a_difference_and_news() {
        let before = world();
        let mut now = before.clone();
        let content = Part::StorageContent(node_name("pve2"), storage_id("local"));
        for part in [Part::Pools, content.clone(), Part::GuestConfig(vmid(100))] {
            let why = "gone".to_owned();
            now.completeness
                .insert(part, Completeness::Unreadable { why });
        }
        let found: Vec<Changed> = differences(&before, &now).into_iter().collect();
        let wanted = [
            Changed::Guest(vmid(100)),
            Changed::Storage(storage_id("local")),
            Changed::Part(Part::Pools),
        ];
        assert_eq!(found, wanted);
        assert_eq!(newly_unreadable(&before, &now).len(), 3);
        assert_eq!(newly_unreadable(&now, &now), []);
        assert_eq!(
            differences(&now, &before).len(),
            3,
            "and so is one that is readable again"
        );
        assert_eq!(newly_unreadable(&now, &before), []);
    }
}
