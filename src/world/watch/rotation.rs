//! Whose turn it is: the cluster-wide lists, of which every third cycle brings each, and how a cycle's requests are shared out.

use crate::proxmox::Call;
use crate::world::model::Part;
use crate::world::observe::accounts::{realm_call, users_call};

/// A list that is one call for the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    Permissions,
    Acl,
    ClusterStatus,
    Storages,
    Pools,
    Options,
    BackupJobs,
    ReplicationJobs,
    HaResources,
    HaRules,
    Users,
    Groups,
    Roles,
    Realms,
    RealmSettings,
}

/// Every list, in the order they are read: what says what the token may see comes first.
pub(super) const LISTS: [List; 15] = [
    List::Permissions,
    List::Acl,
    List::ClusterStatus,
    List::Storages,
    List::Pools,
    List::Options,
    List::BackupJobs,
    List::ReplicationJobs,
    List::HaResources,
    List::HaRules,
    List::Users,
    List::Groups,
    List::Roles,
    List::Realms,
    List::RealmSettings,
];

impl List {
    pub(super) fn part(self) -> Part {
        match self {
            Self::Permissions => Part::Permissions,
            Self::Acl => Part::Acl,
            Self::ClusterStatus => Part::ClusterStatus,
            Self::Storages => Part::Storages,
            Self::Pools => Part::Pools,
            Self::Options => Part::Options,
            Self::BackupJobs => Part::BackupJobs,
            Self::ReplicationJobs => Part::ReplicationJobs,
            Self::HaResources => Part::HaResources,
            Self::HaRules => Part::HaRules,
            Self::Users => Part::Users,
            Self::Groups => Part::Groups,
            Self::Roles => Part::Roles,
            Self::Realms => Part::Realms,
            Self::RealmSettings => Part::RealmSettings,
        }
    }

    /// The call that reads it.
    pub(super) fn call(self) -> Call {
        match self {
            Self::Permissions => Call::get(["access", "permissions"]),
            Self::Acl => Call::get(["access", "acl"]),
            Self::ClusterStatus => Call::get(["cluster", "status"]),
            Self::Storages => Call::get(["storage"]),
            Self::Pools => Call::get(["pools"]),
            Self::Options => Call::get(["cluster", "options"]),
            Self::BackupJobs => Call::get(["cluster", "backup"]),
            Self::ReplicationJobs => Call::get(["cluster", "replication"]),
            Self::HaResources => Call::get(["cluster", "ha", "resources"]),
            Self::HaRules => Call::get(["cluster", "ha", "rules"]),
            Self::Users => users_call(),
            Self::Groups => Call::get(["access", "groups"]),
            Self::Roles => Call::get(["access", "roles"]),
            Self::Realms => Call::get(["access", "domains"]),
            // It is always there, and its answer has the digest of all.
            Self::RealmSettings => realm_call("pam"),
        }
    }
}

/// How many requests of a quiet cycle are for what; two more are for the resources and the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// For lists.
    pub(super) lists: usize,
    /// For the sweep.
    pub(super) sweep: usize,
}

/// The fewest requests a cycle can do with: resources, tasks, a list, something of the sweep.
pub(super) const FEWEST: u32 = 4;

impl Shares {
    /// From eight requests on every list is read every third cycle; all that is beyond goes to the sweep.
    pub(super) fn of(requests: u32) -> Self {
        let rest = usize::try_from(requests.max(FEWEST) - 2).unwrap_or(usize::MAX);
        let lists = LISTS.len().div_ceil(3).min(rest - 1);
        Self {
            lists,
            sweep: rest - lists,
        }
    }
}

/// Which list is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rotation {
    next: usize,
}

impl Rotation {
    /// The lists of the next cycle.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = List> + use<> {
        let first = self.next;
        self.next = (first + count) % LISTS.len();
        LISTS.into_iter().cycle().skip(first).take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ten_requests_read_every_list_every_third_cycle() {
        let shares = Shares::of(10);
        assert_eq!(shares, Shares { lists: 5, sweep: 3 });
        let mut rotation = Rotation::default();
        let cycles: Vec<Vec<List>> = (0..40)
            .map(|_| rotation.take(shares.lists).collect())
            .collect();
        for three in cycles.windows(3) {
            let read: BTreeSet<&List> = three.iter().flatten().collect();
            assert_eq!(read.len(), LISTS.len());
        }
    }

    #[test]
    fn every_budget_leaves_something_for_everything() {
        for requests in 0..200 {
            let shares = Shares::of(requests);
            let budget = usize::try_from(requests.max(FEWEST)).unwrap_or(0);
            assert!(shares.lists >= 1 && shares.sweep >= 1, "{requests}");
            assert_eq!(shares.lists + shares.sweep + 2, budget);
            assert!(requests < 8 || shares.lists == 5, "{requests}");
        }
    }

    #[test]
    fn a_small_share_still_comes_round() {
        for count in 1..=LISTS.len() {
            let mut rotation = Rotation::default();
            let mut read = BTreeSet::new();
            for _ in 0..LISTS.len().div_ceil(count) {
                read.extend(rotation.take(count));
            }
            assert_eq!(read.len(), LISTS.len(), "{count}");
        }
    }

    #[test]
    fn every_list_is_a_part_of_its_own() {
        let parts: BTreeSet<Part> = LISTS.iter().map(|list| list.part()).collect();
        let calls: BTreeSet<String> = LISTS.iter().map(|list| list.call().path).collect();
        assert_eq!((parts.len(), calls.len()), (LISTS.len(), LISTS.len()));
    }
}
