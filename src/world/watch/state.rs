//! What a watch keeps from one cycle to the next. A cycle makes a new one and the old one is kept if it fails, so that a cycle
//! happens wholly or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::due::Due;
use super::fingerprint::{Fingerprint, NodeFingerprint};
use super::rotation::Rotation;
use super::sweep::Item;
use super::tasks::Tasks;
use crate::ids::{NodeName, PoolId, StorageId, Vmid};
use crate::world::model::{Part, World};
use crate::world::observe::storages::Contents;
use crate::world::observe::{Observation, Why};
use crate::world::shared::Shared;

/// What a watch keeps.
pub(super) struct State {
    pub(super) world: Arc<World>,
    /// Parts that could not be read, with the reason; not those that hide something from the token.
    pub(super) failed: Shared<Part, Why>,
    /// Nodes that are offline or do not answer, with the reason.
    pub(super) lost: BTreeMap<NodeName, Why>,
    /// Which storage contents there are to read.
    pub(super) contents: Contents,
    pub(super) pools: Pools,
    pub(super) listing: Listing,
    /// `None` until the list could be read once.
    pub(super) tasks: Option<Arc<Tasks>>,
    pub(super) rotation: Rotation,
    /// What the sweep looked at last.
    pub(super) swept: Option<Item>,
    /// Which failed part was tried last.
    pub(super) retried: Option<Part>,
    pub(super) due: Due,
    /// How many cycles there were.
    pub(super) cycles: u64,
}

/// The pools by the list of them, with their comments, and what is wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    pub(super) listed: BTreeMap<PoolId, Option<String>>,
    /// Why the list could not be read.
    pub(super) list: Option<Why>,
    /// Pools whose members could not be read.
    pub(super) members: BTreeMap<PoolId, Why>,
}

impl Pools {
    /// Whether all of them were read.
    pub(super) fn read(&self) -> Result<(), Why> {
        let trouble = self.list.iter().chain(self.members.values()).next();
        trouble.map_or(Ok(()), |why| Err(why.clone()))
    }
}

/// The fingerprints of the last list of resources.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Sorted.
    pub(super) guests: Vec<(Vmid, Fingerprint)>,
    pub(super) nodes: BTreeMap<NodeName, NodeFingerprint>,
    pub(super) storages: BTreeMap<(NodeName, StorageId), u64>,
}

impl Listing {
    pub(super) fn guest(&self, vmid: Vmid) -> Option<&Fingerprint> {
        let at = self.guests.binary_search_by_key(&vmid, |(vmid, _)| *vmid);
        self.guests.get(at.ok()?).map(|(_, print)| print)
    }
}

impl State {
    /// After a full observation. The list and the tasks are to be from before it, so that nothing falls between.
    pub(super) fn of(seen: Observation<'_>, listing: Listing, tasks: Option<Arc<Tasks>>) -> Self {
        let contents = if seen.settings.contents {
            seen.which_contents()
        } else {
            Contents::default()
        };
        let Observation {
            lost,
            failed,
            world,
            ..
        } = seen;
        let mut pools = Pools {
            list: failed.get(&Part::Pools).cloned(),
            ..Pools::default()
        };
        let known = world.pools.iter();
        pools
            .listed
            .extend(known.map(|(id, pool)| (id.clone(), pool.comment.clone())));
        Self {
            world: Arc::new(world),
            failed,
            lost,
            contents,
            pools,
            listing,
            tasks,
            rotation: Rotation::default(),
            swept: None,
            retried: None,
            due: Due::default(),
            cycles: 0,
        }
    }

    /// A state of which only the world is known.
    #[cfg(test)]
    pub(super) fn of_world(world: World) -> Self {
        Self {
            world: Arc::new(world),
            failed: Shared::default(),
            lost: BTreeMap::new(),
            contents: Contents::default(),
            pools: Pools::default(),
            listing: Listing::default(),
            tasks: None,
            rotation: Rotation::default(),
            swept: None,
            retried: None,
            due: Due::default(),
            cycles: 0,
        }
    }
}
