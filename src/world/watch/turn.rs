//! One cycle, from the list of resources to a new state. It works on a copy of the world (which shares everything in memory) and
//! leaves the old one alone.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::difference::{differences, newly_unreadable};
use super::due::{ContentKey, Due, Reading};
use super::lists::keep;
use super::resources::Resources;
use super::rotation::{List, Shares};
use super::state::{Listing, Pools, State};
use super::sweep::{self, Item};
use super::tasks::{self, Tasks};
use super::{Cycle, Watch};
use crate::ids::Vmid;
use crate::proxmox::Call;
use crate::world::firewall::Place;
use crate::world::model::Part;
use crate::world::observe::firewall::Piece;
use crate::world::observe::reads::Reads;
use crate::world::observe::sight::Sight;
use crate::world::observe::storages::Contents;
use crate::world::observe::{Observation, ObserveError, everything, json, permissions};

/// When fewer guests than this changed, they are read one by one, however few there are in all.
const MANY: usize = 16;
/// Why a part that is known to have changed counts as unread until it is its turn.
pub(super) const WAITING: &str =
    "it has changed, and much else with it: it is read again in one of the next cycles";

/// A cycle under way.
pub(super) struct Turn<'a> {
    pub(super) before: &'a State,
    pub(super) seen: Observation<'a>,
    pub(super) due: Due,
    /// The number of this cycle.
    pub(super) now: u64,
    /// `/cluster/resources`.
    pub(super) list: Arc<Resources>,
    pub(super) listing: Listing,
    pub(super) pools: Pools,
    /// Something is no longer shown, which may mean that it is gone or that the token no longer sees it.
    pub(super) shrunk: bool,
}

/// What the sweep looks at in this cycle, besides nodes and pools.
#[derive(Default)]
struct Swept {
    digests: Vec<Vmid>,
    contents: Vec<ContentKey>,
    firewalls: Vec<(Place, Piece)>,
    version: bool,
}

/// Runs one cycle.
pub(super) async fn run(watch: &Watch, reads: Reads) -> Result<(State, Cycle), ObserveError> {
    let before = &watch.state;
    let shares = Shares::of(watch.settings.requests_per_cycle);
    let mut rotation = before.rotation;
    let mut turn = Turn::new(watch, reads.clone());
    turn.due.lists.extend(rotation.take(shares.lists));
    turn.access_again().await?;
    let tasks = turn.resources_and_tasks().await?;
    turn.nodes_listed();
    turn.lists_again().await;
    turn.unbroken()?;
    turn.guests_listed();
    let tasks = turn.note_tasks(tasks);
    let full = turn.is_too_much();
    let mut state = if full {
        turn.everything_again(tasks).await?
    } else {
        turn.parts_again(shares, tasks).await?
    };
    state.rotation = rotation;
    state.cycles = before.cycles + 1;
    let cycle = Cycle {
        requests: reads.count(),
        changed: differences(&before.world, &state.world),
        full,
        unreadable: newly_unreadable(&before.world, &state.world),
    };
    Ok((state, cycle))
}

impl<'a> Turn<'a> {
    fn new(watch: &'a Watch, reads: Reads) -> Self {
        let before = &watch.state;
        Self {
            before,
            seen: Observation {
                reads,
                settings: &watch.observe,
                sight: Sight::new(Arc::clone(&before.world.permissions)),
                lost: before.lost.clone(),
                failed: before.failed.clone(),
                world: (*before.world).clone(),
            },
            due: before.due.clone(),
            now: before.cycles,
            list: Arc::default(),
            listing: Listing::default(),
            pools: before.pools.clone(),
            shrunk: false,
        }
    }

    /// An error if a call found no cluster to talk to: then nothing of this cycle counts.
    fn unbroken(&self) -> Result<(), ObserveError> {
        match self.seen.reads.broken() {
            Some(error) => Err(self.failure(error.clone())),
            None => Ok(()),
        }
    }

    fn failure(&self, error: crate::proxmox::ApiError) -> ObserveError {
        ObserveError::of(error, &self.seen.reads, self.seen.settings)
    }

    /// What the token may see comes first, as far as it is due.
    async fn access_again(&mut self) -> Result<(), ObserveError> {
        let permissions = if self.due.lists.remove(&List::Permissions) {
            Some(permissions(&self.seen.reads, self.seen.settings).await?)
        } else {
            None
        };
        let acl = if self.due.lists.remove(&List::Acl) {
            Some(self.seen.reads.data(List::Acl.call()).await)
        } else {
            None
        };
        self.unbroken()?;
        self.access(permissions, acl);
        Ok(())
    }

    /// Reads the list of resources, without which there is no cycle, and the list of tasks, without which there is.
    async fn resources_and_tasks(&mut self) -> Result<Option<Value>, ObserveError> {
        let (resources, tasks) = tokio::join!(
            self.seen.reads.body(Resources::call(), Resources::new),
            self.seen.reads.data(Call::get(["cluster", "tasks"])),
        );
        self.list = Arc::new(resources.map_err(|error| self.failure(error))?);
        self.unbroken()?;
        Ok(tasks.ok())
    }

    fn note_tasks(&mut self, list: Option<Value>) -> Option<Arc<Tasks>> {
        let known = self.before.tasks.clone();
        let Some(list) = list else {
            return known;
        };
        for news in known.iter().flat_map(|known| known.news(&list)) {
            tasks::note(&news, &self.seen.world, &mut self.due, self.now);
        }
        Some(Arc::new(Tasks::of(&list)))
    }

    /// Whether more than a quarter of all guests is to be read again.
    fn is_too_much(&self) -> bool {
        let due = self.due.guests.len();
        self.due.everything || (due > MANY && due * 4 > self.seen.world.guests.len())
    }

    async fn everything_again(self, tasks: Option<Arc<Tasks>>) -> Result<State, ObserveError> {
        let reads = self.seen.reads.clone();
        let mut seen = everything(reads, self.seen.settings).await?;
        let before = &self.before.world;
        keep(&before.guests, &mut seen.world.guests);
        keep(&before.storages, &mut seen.world.storages);
        let mut state = State::of(seen, self.listing, tasks);
        state.swept = self.before.swept.clone();
        state.retried = self.before.retried.clone();
        Ok(state)
    }

    async fn parts_again(
        mut self,
        shares: Shares,
        tasks: Option<Arc<Tasks>>,
    ) -> Result<State, ObserveError> {
        let retried = self.retry(shares);
        let count = shares.sweep - usize::from(retried.is_some());
        let items = sweep::next(self.before, count);
        let mut swept = self.sweep(&items);
        if let Some(part) = &retried {
            self.try_again(part, &mut swept);
        }
        if swept.version {
            let version = self.seen.reads.data(Call::get(["version"])).await;
            let version = version.map_err(|error| self.failure(error))?;
            self.seen.world.version = json::text(&version, "version").unwrap_or_default();
        }
        self.nodes_again().await;
        self.digests(swept.digests).await;
        self.guests_again().await;
        self.firewalls_again(std::mem::take(&mut swept.firewalls))
            .await;
        self.pools_again().await;
        let contents = self.contents_again(&swept.contents).await;
        self.unbroken()?;
        if self.shrunk {
            self.due.lists.extend([List::Permissions, List::Acl]);
            self.access_again().await?;
        }
        self.fresh_failures(&contents);
        Ok(self.state(contents, items.last(), retried, tasks))
    }

    fn retry(&self, shares: Shares) -> Option<Part> {
        // With one request there would be nothing left for the sweep, which comes by there anyway.
        let part = sweep::next_failed(self.before).filter(|_| shares.sweep > 1);
        part.cloned()
    }

    fn sweep(&mut self, items: &[Item]) -> Swept {
        let mut swept = Swept::default();
        for item in items {
            match item {
                Item::Version => swept.version = true,
                Item::Node(node, reading) => self.due.node(node, *reading),
                Item::Pool(id) => self.due.pool(id.clone(), self.now),
                Item::Content(key) => swept.contents.push(key.clone()),
                Item::Firewall(place, piece) => swept.firewalls.push((place.clone(), *piece)),
                Item::Guest(vmid) => swept.digests.push(*vmid),
            }
        }
        swept
    }

    /// A failed part once more. Of a guest one request is enough to know whether it can be read now.
    fn try_again(&mut self, part: &Part, swept: &mut Swept) {
        match part {
            Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => swept.digests.push(*vmid),
            Part::StorageContent(node, storage) => {
                let key = (storage.clone(), Some(node.clone()));
                swept.contents.push(key);
            }
            Part::NodeStatus(node) => self.due.node(node, Reading::Whole),
            part => self.due.part(part, self.now),
        }
    }

    /// What could be read before, and not in this cycle, is tried again in the next; not what is lost with its node or storage,
    /// nor lists, which the rotation reads.
    fn fresh_failures(&mut self, contents: &Contents) {
        for part in self.seen.failed.keys() {
            if self.before.failed.contains_key(part) {
                continue;
            }
            let node = match part {
                Part::NodeStatus(node) | Part::NodeNetwork(node) | Part::NodeStorage(node) => {
                    Some(node)
                }
                Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => {
                    let guest = self.seen.world.guests.get(vmid);
                    guest.map(|guest| &guest.node)
                }
                Part::StorageContent(node, _) if !contents.unusable.contains_key(part) => {
                    Some(node)
                }
                _ => None,
            };
            if node.is_some_and(|node| !self.seen.lost.contains_key(node)) {
                self.due.part(part, self.now + 1);
            }
        }
    }

    fn state(
        self,
        contents: Contents,
        swept: Option<&Item>,
        retried: Option<Part>,
        tasks: Option<Arc<Tasks>>,
    ) -> State {
        let Observation {
            sight,
            lost,
            failed,
            mut world,
            ..
        } = self.seen;
        world.permissions = sight.permissions();
        world.observed_at = Timestamp::now();
        State {
            world: Arc::new(world),
            failed,
            lost,
            contents,
            pools: self.pools,
            listing: self.listing,
            tasks,
            rotation: self.before.rotation,
            swept: swept.or(self.before.swept.as_ref()).cloned(),
            retried: retried.or_else(|| self.before.retried.clone()),
            due: self.due,
            cycles: self.before.cycles,
        }
    }
}
