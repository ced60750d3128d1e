//! The slow sweep: everything that no list shows, one thing after the other and round again, so that a change nobody announces is
//! found within one round. A guest costs one request: its configuration is read whole only when the digest is another.

use super::due::{ContentKey, READINGS, Reading};
use super::state::State;
use crate::ids::{NodeName, PoolId, Vmid};
use crate::world::firewall::Place;
use crate::world::model::Part;
use crate::world::observe::firewall::Piece;
use crate::world::observe::nodes::OFFLINE;
use crate::world::observe::storages::Wanted;

/// One thing to look at, for about one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// Proxmox VE's version.
    Version,
    /// Something of a node.
    Node(NodeName, Reading),
    /// A pool's members.
    Pool(PoolId),
    /// What lies on a storage.
    Content(ContentKey),
    /// A piece of a firewall's configuration: no digest tells of all of it.
    Firewall(Place, Piece),
    /// A guest's digest.
    Guest(Vmid),
}

/// Under which name a content is swept: a shared storage's once for all nodes.
pub(super) fn content_key(wanted: &Wanted) -> ContentKey {
    let node = match wanted.nodes.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    };
    (wanted.storage.clone(), node)
}

/// Everything there is to sweep, in the order of [`Item`].
fn items(state: &State) -> impl Iterator<Item = Item> {
    let lost = |node: &NodeName| state.lost.get(node).map(String::as_str);
    let nodes = state.world.nodes.keys().flat_map(move |node| {
        // Whether a node that does not answer does so again is all there is to ask of it.
        let readings: &[Reading] = match lost(node) {
            None => &READINGS,
            Some(OFFLINE) => &[],
            Some(_) => &[Reading::Status],
        };
        readings
            .iter()
            .map(move |reading| Item::Node(node.clone(), *reading))
    });
    let guests = state.world.guests.values();
    [Item::Version]
        .into_iter()
        .chain(nodes)
        .chain(state.pools.listed.keys().cloned().map(Item::Pool))
        .chain(
            state
                .contents
                .wanted
                .iter()
                .map(|wanted| Item::Content(content_key(wanted))),
        )
        .chain(firewalls(state))
        .chain(
            guests
                .filter(move |guest| lost(&guest.node).is_none())
                .map(|guest| Item::Guest(guest.vmid)),
        )
}

/// The firewalls that are known, piece by piece. Nothing is swept of a node that does not answer.
fn firewalls(state: &State) -> impl Iterator<Item = Item> {
    let firewalls = &state.world.firewalls;
    let nodes = firewalls.nodes.keys();
    let nodes = nodes.filter(|node| !state.lost.contains_key(*node));
    let guests = firewalls.guests.keys();
    let guests = guests.filter(|vmid| on_reach(state, **vmid));
    let vnets = firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
    [Place::Cluster]
        .into_iter()
        .chain(nodes.cloned().map(Place::Node))
        .chain(guests.copied().map(Place::Guest))
        .chain(vnets.cloned().map(Place::Vnet))
        .flat_map(|place| {
            let known = firewalls.known(&place).map(|scope| &**scope);
            let pieces = Piece::of(&place, known);
            pieces.map(move |piece| Item::Firewall(place.clone(), piece))
        })
}

/// How many things a round has.
pub(super) fn length(state: &State) -> usize {
    items(state).count()
}

/// The next things after the one that was last, each at most once.
pub(super) fn next(state: &State, count: usize) -> Vec<Item> {
    let after = state.swept.as_ref();
    let mut next: Vec<Item> = items(state)
        .filter(|item| after.is_none_or(|after| item > after))
        .take(count)
        .collect();
    if next.len() < count {
        let rest = items(state).take_while(|item| after.is_some_and(|after| item <= after));
        next.extend(rest.take(count - next.len()));
    }
    next
}

/// The next part after the one that was last which could not be read and may be readable again: not one that nobody can read while
/// its node is lost or its storage is not there, nor one that the rotation reads anyway.
pub(super) fn next_failed(state: &State) -> Option<&Part> {
    let mut failed = state.failed.keys().filter(|part| may_be_back(state, part));
    let after = state.retried.as_ref();
    failed
        .clone()
        .find(|part| after.is_none_or(|after| *part > after))
        .or_else(|| failed.next())
}

fn may_be_back(state: &State, part: &Part) -> bool {
    let lost = |node: &NodeName| state.lost.get(node).map(String::as_str);
    match part {
        Part::NodeStatus(node) => lost(node) != Some(OFFLINE),
        Part::NodeNetwork(node) | Part::NodeStorage(node) => lost(node).is_none(),
        Part::StorageContent(..) => !state.contents.unusable.contains_key(part),
        Part::GuestConfig(vmid) => on_reach(state, *vmid),
        // Where the configuration failed too, that is asked for.
        Part::GuestSnapshots(vmid) => {
            on_reach(state, *vmid) && !state.failed.contains_key(&Part::GuestConfig(*vmid))
        }
        Part::Permissions
        | Part::Resources
        | Part::ClusterStatus
        | Part::Options
        | Part::Storages
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
        | Part::RealmSettings => false,
    }
}

fn on_reach(state: &State, vmid: Vmid) -> bool {
    let guest = state.world.guests.get(&vmid);
    guest.is_some_and(|guest| !state.lost.contains_key(&guest.node))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::world::testing::{Builder, node, vmid};
    use std::collections::BTreeSet;

    fn state() -> State {
        let world = Builder::new(&["pve1", "pve2"])
            .vm(100, "pve1", &[])
            .vm(101, "pve2", &[])
            .ct(102, "pve1", &[])
            .build();
        State::of_world(world)
    }

    #[test]
    fn a_round_has_everything_once() {
        let mut state = state();
        let all: BTreeSet<Item> = items(&state).collect();
        assert_eq!(all.len(), length(&state));
        assert_eq!(all.len(), 1 + 2 * 5 + 7 + 3);
        for count in 1..20 {
            let mut found = Vec::new();
            while found.len() < 3 * all.len() {
                let next = next(&state, count);
                assert_eq!(next.len(), count.min(all.len()));
                state.swept = next.last().cloned();
                found.extend(next);
            }
            let round: BTreeSet<Item> = found.iter().take(all.len()).cloned().collect();
            assert_eq!(round, all, "{count} at a time");
        }
    }

    #[test]
    fn what_cannot_be_there_is_not_asked_for() {
        let mut state = state();
        state.lost.insert(node("pve1"), OFFLINE.to_owned());
        let left: Vec<Item> = items(&state).collect();
        assert_eq!(left.len(), 1 + 5 + 7 + 1);
        assert!(left.contains(&Item::Guest(vmid(101))));
        state.lost.insert(node("pve1"), "595".to_owned());
        let asked = Item::Node(node("pve1"), Reading::Status);
        assert!(items(&state).any(|item| item == asked));
        assert_eq!(length(&state), 1 + 1 + 5 + 7 + 1);
    }

    #[test]
    fn failed_parts_take_turns() {
        let mut state = state();
        assert_eq!(next_failed(&state), None);
        let mut fail = |part: Part| drop(state.failed.insert(part, "why".to_owned()));
        fail(Part::Options);
        fail(Part::GuestConfig(vmid(100)));
        fail(Part::GuestSnapshots(vmid(100)));
        fail(Part::GuestSnapshots(vmid(101)));
        fail(Part::NodeNetwork(node("pve2")));
        let mut order = Vec::new();
        for _ in 0..4 {
            let part = next_failed(&state).unwrap().clone();
            order.push(part.clone());
            state.retried = Some(part);
        }
        assert_eq!(
            order,
            [
                Part::NodeNetwork(node("pve2")),
                Part::GuestConfig(vmid(100)),
                Part::GuestSnapshots(vmid(101)),
                Part::NodeNetwork(node("pve2")),
            ]
        );
        state.lost.insert(node("pve2"), OFFLINE.to_owned());
        state.retried = None;
        assert_eq!(next_failed(&state), Some(&Part::GuestConfig(vmid(100))));
    }
}
