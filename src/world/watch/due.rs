//! What is to be read again because something says that it changed, besides what the rotation and the sweep bring. What one cycle
//! does not get to stays due, the longest waiting first.

use std::collections::{BTreeMap, BTreeSet};

use super::rotation::{LISTS, List};
use crate::ids::{GuestKind, NodeName, PoolId, StorageId, Vmid};
use crate::world::firewall::Place;
use crate::world::model::Part;
use crate::world::observe::storages::Wanted;

/// What can be read of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    /// Everything, its status first.
    Whole,
    Status,
    Network,
    Storage,
    Guests(GuestKind),
}

/// What is one call of a node's readings.
pub(super) const READINGS: [Reading; 5] = [
    Reading::Status,
    Reading::Network,
    Reading::Storage,
    Reading::Guests(GuestKind::Qemu),
    Reading::Guests(GuestKind::Lxc),
];

/// A storage's content: as one node sees it, or on whichever node.
pub(super) type ContentKey = (StorageId, Option<NodeName>);

/// What is due, and since which cycle where there can be much of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Due {
    pub(super) lists: BTreeSet<List>,
    pub(super) nodes: BTreeSet<(NodeName, Reading)>,
    pub(super) pools: BTreeMap<PoolId, u64>,
    pub(super) contents: BTreeMap<ContentKey, u64>,
    pub(super) guests: BTreeMap<Vmid, u64>,
    /// Firewalls' configurations, besides those that the sweep brings.
    pub(super) firewalls: BTreeSet<Place>,
    /// Too much to say what.
    pub(super) everything: bool,
}

impl Due {
    pub(super) fn guest(&mut self, vmid: Vmid, now: u64) {
        self.guests.entry(vmid).or_insert(now);
    }

    pub(super) fn content(&mut self, storage: StorageId, node: Option<NodeName>, now: u64) {
        self.contents.entry((storage, node)).or_insert(now);
    }

    pub(super) fn pool(&mut self, id: PoolId, now: u64) {
        self.pools.entry(id).or_insert(now);
    }

    pub(super) fn node(&mut self, node: &NodeName, reading: Reading) {
        self.nodes.insert((node.clone(), reading));
    }

    pub(super) fn all_lists(&mut self) {
        self.lists.extend(LISTS);
    }

    /// Whatever reads this part. The list of resources is read in every cycle anyway.
    pub(super) fn part(&mut self, part: &Part, now: u64) {
        match part {
            Part::NodeStatus(node) => self.node(node, Reading::Status),
            Part::NodeNetwork(node) => self.node(node, Reading::Network),
            Part::NodeStorage(node) => self.node(node, Reading::Storage),
            Part::StorageContent(node, storage) => {
                self.content(storage.clone(), Some(node.clone()), now);
            }
            Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => self.guest(*vmid, now),
            Part::Resources
            | Part::Permissions
            | Part::Acl
            | Part::ClusterStatus
            | Part::Storages
            | Part::Pools
            | Part::Options
            | Part::BackupJobs
            | Part::ReplicationJobs
            | Part::HaResources
            | Part::HaRules
            | Part::Users
            | Part::Groups
            | Part::Roles
            | Part::Realms
            | Part::RealmSettings => {
                let reads = LISTS.into_iter().filter(|list| list.part() == *part);
                self.lists.extend(reads);
            }
        }
    }

    /// Since when a content is due, if it is.
    pub(super) fn since(&self, wanted: &Wanted) -> Option<u64> {
        let of = |node: Option<NodeName>| self.contents.get(&(wanted.storage.clone(), node));
        let nodes = wanted.nodes.iter().cloned().map(Some);
        nodes.chain([None]).filter_map(of).min().copied()
    }
}

/// Takes out at most so many, those that wait longest first.
pub(super) fn longest<K: Ord + Clone>(
    waiting: &mut BTreeMap<K, u64>,
    at_most: usize,
) -> BTreeSet<K> {
    if waiting.len() <= at_most {
        return std::mem::take(waiting).into_keys().collect();
    }
    let mut order: Vec<(u64, &K)> = waiting.iter().map(|(key, since)| (*since, key)).collect();
    order.sort();
    let taken: BTreeSet<K> = order
        .into_iter()
        .take(at_most)
        .map(|(_, key)| key.clone())
        .collect();
    waiting.retain(|key, _| !taken.contains(key));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waiting_come_first() {
        let mut waiting = BTreeMap::from([(1, 5), (2, 3), (3, 5), (4, 4)]);
        assert_eq!(longest(&mut waiting, 2), BTreeSet::from([2, 4]));
        assert_eq!(waiting.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(longest(&mut waiting, 9), BTreeSet::from([1, 3]));
        assert!(waiting.is_empty());
    }

    #[test]
    fn every_list_is_found_by_its_part() {
        let mut due = Due::default();
        for list in LISTS {
            due.part(&list.part(), 0);
        }
        assert_eq!(due.lists.len(), LISTS.len());
        due.part(&Part::Resources, 0);
        assert_eq!(due.lists.len(), LISTS.len());
    }
}
