//! What lies on the storages, and who is in the pools, again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::due::{ContentKey, longest};
use super::turn::{Turn, WAITING};
use crate::ids::{NodeName, PoolId, StorageId};
use crate::world::model::{Part, Storage};
use crate::world::observe::cluster::pool;
use crate::world::observe::each;
use crate::world::observe::storages::{Contents, Wanted};

/// How many contents are read again in one cycle at most, those of the sweep apart.
const CONTENTS: usize = 16;
/// How many pools are read again in one cycle at most.
const POOLS: usize = 32;

impl Turn<'_> {
    /// Reads the contents that are due and those the sweep is at, and gives which there are.
    pub(super) async fn contents_again(&mut self, swept: &[ContentKey]) -> Contents {
        if !self.seen.settings.contents {
            self.due.contents.clear();
            return Contents::default();
        }
        let now = self.seen.which_contents();
        self.where_contents_are(&now);
        // Which of those that there are is due, and since when.
        let mut due: BTreeMap<(StorageId, Vec<NodeName>), u64> = BTreeMap::new();
        for wanted in &now.wanted {
            if let Some(since) = self.due.since(wanted) {
                due.insert((wanted.storage.clone(), wanted.nodes.clone()), since);
            }
        }
        let mut chosen = longest(&mut due, CONTENTS);
        let is_swept = |wanted: &&Wanted| {
            swept.iter().any(|(storage, node)| {
                *storage == wanted.storage
                    && node.as_ref().is_none_or(|node| wanted.nodes.contains(node))
            })
        };
        let swept = now.wanted.iter().filter(is_swept);
        chosen.extend(swept.map(|wanted| (wanted.storage.clone(), wanted.nodes.clone())));
        due.retain(|key, _| !chosen.contains(key));
        self.due.contents.clear();
        for ((storage, nodes), since) in due {
            for node in nodes {
                self.due
                    .contents
                    .insert((storage.clone(), Some(node.clone())), since);
                self.content_unread(node, &storage);
            }
        }
        let wanted = chosen
            .into_iter()
            .map(|(storage, nodes)| Wanted { storage, nodes });
        self.seen.read_contents(wanted.collect()).await;
        let before = &self.before.world.storages;
        super::lists::keep(before, &mut self.seen.world.storages);
        self.shrunk |= self.seen.world.storages.iter().any(|(id, storage)| {
            before
                .get(id)
                .is_some_and(|known| has_lost_volumes(known, storage))
        });
        now
    }

    /// Marks contents that cannot be read, forgets those that are no more, and notes as due those that there were not before, or
    /// that are now to be had from other nodes.
    fn where_contents_are(&mut self, now: &Contents) {
        let before = &self.before.contents;
        let mut other: BTreeSet<&StorageId> = BTreeSet::new();
        for (part, why) in &now.unusable {
            if before.unusable.get(part) != Some(why) {
                self.seen.mark(part.clone(), Err(why.clone()));
                other.extend(storage_of(part));
            }
        }
        for wanted in &now.wanted {
            if !before.wanted.contains(wanted) {
                other.insert(&wanted.storage);
                for node in &wanted.nodes {
                    let key = (wanted.storage.clone(), Some(node.clone()));
                    self.due.contents.entry(key).or_insert(self.now);
                }
            }
        }
        let there = parts(now);
        for part in parts(before).difference(&there) {
            self.seen.world.completeness.remove(part);
            self.seen.failed.remove(part);
            other.extend(before.wanted.iter().map(|wanted| &wanted.storage));
        }
        for id in other {
            let Some(storage) = self.seen.world.storages.get_mut(id) else {
                continue;
            };
            let listed = |node: &NodeName| {
                now.wanted
                    .iter()
                    .any(|wanted| wanted.storage == *id && wanted.nodes.contains(node))
            };
            if storage.volumes.keys().any(|node| !listed(node)) {
                Arc::make_mut(storage)
                    .volumes
                    .retain(|node, _| listed(node));
            }
        }
    }

    fn content_unread(&mut self, node: NodeName, storage: &StorageId) {
        if let Some(storage) = self.seen.world.storages.get_mut(storage)
            && storage.volumes.contains_key(&node)
        {
            Arc::make_mut(storage).volumes.remove(&node);
        }
        let part = Part::StorageContent(node, storage.clone());
        self.seen.mark(part, Err(WAITING.to_owned()));
    }

    /// Reads the members of the pools that are due.
    pub(super) async fn pools_again(&mut self) {
        let listed = &self.pools.listed;
        self.due.pools.retain(|id, _| listed.contains_key(id));
        let chosen = longest(&mut self.due.pools, POOLS);
        if chosen.is_empty() {
            return;
        }
        let reads = self.seen.reads.clone();
        let read = each(chosen.into_iter().collect(), |id| pool(reads.clone(), id));
        for (id, read) in read.await {
            match read {
                Ok(pool) => {
                    self.pools.members.remove(&id);
                    let known = self.seen.world.pools.get(&id);
                    if known.is_none_or(|known| **known != pool) {
                        self.seen.world.pools.insert(id, Arc::new(pool));
                    }
                }
                Err(why) => {
                    if !self.before.pools.members.contains_key(&id) {
                        self.due.pool(id.clone(), self.now + 1);
                    }
                    self.pool_unread(id, why);
                }
            }
        }
        let waiting: Vec<PoolId> = self.due.pools.keys().cloned().collect();
        for id in waiting {
            if !self.pools.members.contains_key(&id) {
                self.pool_unread(id, WAITING.to_owned());
            }
        }
        self.seen.mark(Part::Pools, self.pools.read());
    }

    fn pool_unread(&mut self, id: PoolId, why: String) {
        self.seen.world.pools.remove(&id);
        self.pools.members.insert(id, why);
    }
}

fn storage_of(part: &Part) -> Option<&StorageId> {
    match part {
        Part::StorageContent(_, storage) => Some(storage),
        _ => None,
    }
}

/// The parts of the world that contents are.
fn parts(contents: &Contents) -> BTreeSet<Part> {
    let wanted = contents.wanted.iter().flat_map(|wanted| {
        let part = |node: &NodeName| Part::StorageContent(node.clone(), wanted.storage.clone());
        wanted.nodes.iter().map(part)
    });
    wanted.chain(contents.unusable.keys().cloned()).collect()
}

/// Whether a volume that was listed is not listed now, by any node.
fn has_lost_volumes(before: &Arc<Storage>, now: &Arc<Storage>) -> bool {
    if Arc::ptr_eq(before, now) {
        return false;
    }
    before.volumes.iter().any(|(node, volumes)| {
        let listed = now.volumes.get(node);
        listed.is_none_or(|listed| {
            !Arc::ptr_eq(volumes, listed) && volumes.keys().any(|id| !listed.contains_key(id))
        })
    })
}
