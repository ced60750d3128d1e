//! Observation with change detection: a world kept up to date with few requests.
//!
//! A full observation is three requests a guest and more. A cycle of a watch is a handful: what `/cluster/resources` shows of each
//! guest, node and storage is compared with the cycle before, the tasks since then are looked at, every cluster-wide list is read
//! every third cycle, and what no list shows is swept, one thing after the other. What changed is read again at once. The world is
//! the one that [`observe()`](super::observe()) would give, but for what changed since and shows in no list: that is found within
//! [`Watch::sweep_cycles`].

mod access;
mod contents;
mod difference;
mod due;
mod fingerprint;
mod firewalls;
mod guests;
mod lists;
mod nodes;
mod resources;
mod rotation;
mod state;
mod sweep;
mod tasks;
mod turn;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::firewall::Place;
use super::model::{Part, World};
use super::observe::cluster::Listed;
use super::observe::reads::Reads;
use super::observe::{ObserveError, ObserveSettings, everything, json};
use crate::ids::{StorageId, Vmid};
use crate::proxmox::{Call, Client};
use resources::Resources;
use rotation::Shares;
use state::{Listing, State};
use tasks::Tasks;

/// How a watch goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// How many requests a cycle takes while nothing changes, at least 4; 10 unless said otherwise. From 8 on every list is read
    /// every third cycle; whatever is beyond makes the sweep faster. What changed is read on top of it.
    pub requests_per_cycle: u32,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            requests_per_cycle: 10,
        }
    }
}

/// Something that is another than in the cycle before. That memory is in use or storages fill up does not count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A guest came, went, or is another; or whether it can be read.
    Guest(Vmid),
    /// A storage came, went, or is another, in its definition or in what lies on it; or whether that can be read.
    Storage(StorageId),
    /// A firewall's configuration is another, or whether it can be read.
    Firewall(Place),
    /// Anything else: a list, something of a node, or whether it can be read. Proxmox VE's version counts to the cluster's status.
    Part(Part),
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(vmid) => write!(f, "guest {vmid}"),
            Self::Storage(storage) => write!(f, "storage {storage}"),
            Self::Firewall(place) => place.fmt(f),
            Self::Part(part) => part.fmt(f),
        }
    }
}

/// What one cycle did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cycle {
    /// How many calls it made. One that was repeated because the connection broke counts once.
    pub requests: u32,
    /// What is another than in the cycle before.
    pub changed: BTreeSet<Changed>,
    /// Whether so much changed that everything was observed anew.
    pub full: bool,
    /// Parts that have become unreadable, or are so for another reason than before. [`World::unreadable_parts`] has them all.
    pub unreadable: Vec<(Part, String)>,
}

/// A world kept up to date with few requests.
pub struct Watch {
    settings: WatchSettings,
    observe: ObserveSettings,
    state: State,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cluster", &self.observe.cluster)
            .field("settings", &self.settings)
            .field("cycles", &self.state.cycles)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Observes the cluster once, wholly, and remembers what to compare with.
    pub async fn begin(
        client: &Client,
        settings: WatchSettings,
        observe: ObserveSettings,
    ) -> Result<Self, ObserveError> {
        let reads = Reads::new(client);
        // Before the observation: what changes while it goes on is a difference for the first cycle.
        let tasks = reads.data(Call::get(["cluster", "tasks"])).await.ok();
        let resources = reads
            .body(Resources::call(), Resources::new)
            .await
            .map_err(|error| ObserveError::of(error, &reads, &observe))?;
        let tasks = tasks.map(|list| Arc::new(Tasks::of(&list)));
        let seen = everything(reads, &observe).await?;
        let state = State::of(seen, listing(&resources), tasks);
        Ok(Self {
            settings,
            observe,
            state,
        })
    }

    /// Looks for what changed and reads that again. What does not fit into one cycle is unreadable until the next ones have read
    /// it: at most 64 guests are read in one; when more than a quarter of all have changed, everything is observed anew.
    ///
    /// An error means that the cluster could not be reached, does not take the token, or shows it nothing: then the world is the
    /// one before, and the next cycle looks for what was missed.
    pub async fn cycle(&mut self, client: &Client) -> Result<Cycle, ObserveError> {
        match turn::run(self, Reads::new(client)).await {
            Ok((state, cycle)) => {
                self.state = state;
                Ok(cycle)
            }
            Err(error) => {
                self.state.due.all_lists();
                Err(error)
            }
        }
    }

    /// The world as of the last cycle that came off. Whoever keeps it longer clones the [`Arc`]; a cycle makes a new one.
    pub fn world(&self) -> &Arc<World> {
        &self.state.world
    }

    /// Somebody, a run of our own for one, changed these: they are read again in the next cycle, the storages with their
    /// contents, and with them all the lists.
    pub fn hint(
        &mut self,
        guests: impl IntoIterator<Item = Vmid>,
        storages: impl IntoIterator<Item = StorageId>,
    ) {
        let State { due, cycles, .. } = &mut self.state;
        for vmid in guests {
            due.guest(vmid, *cycles);
        }
        for storage in storages {
            due.content(storage, None, *cycles);
        }
        due.all_lists();
    }

    /// How many cycles the sweep takes to come round as things stand: so many after a change that shows in no list it is known.
    pub fn sweep_cycles(&self) -> u64 {
        let shares = Shares::of(self.settings.requests_per_cycle);
        // One of the sweep's requests is for a part that could not be read, if there is one.
        let failed = shares.sweep > 1 && sweep::next_failed(&self.state).is_some();
        let length = sweep::length(&self.state);
        let cycles = length.div_ceil(shares.sweep - usize::from(failed));
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }
}

/// The fingerprints of a list of resources.
fn listing(resources: &Resources) -> Listing {
    let mut listing = Listing::default();
    for entry in resources.entries() {
        match entry.listed() {
            Listed::Guest(_) => {
                let print = fingerprint::Fingerprint::of(&entry);
                let vmid = entry.vmid();
                listing.guests.extend(vmid.map(|vmid| (vmid, print)));
            }
            Listed::Node(name) => {
                let print = fingerprint::NodeFingerprint::of(&entry);
                listing.nodes.extend(name.map(|name| (name, print)));
            }
            Listed::Storage => {
                let item = entry.value();
                let key = json::name(&item, "node").zip(json::name(&item, "storage"));
                let print = fingerprint::of_storage(&entry);
                listing.storages.extend(key.map(|key| (key, print)));
            }
            Listed::Other => {}
        }
    }
    listing.guests.sort_unstable_by_key(|(vmid, _)| *vmid);
    listing
}
