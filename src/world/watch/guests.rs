//! The guests, again: which of them the list shows changed, which the sweep finds changed, and reading those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::due::{Reading, longest};
use super::fingerprint::{Difference, Fingerprint};
use super::resources::Entry;
use super::rotation::List;
use super::turn::{Turn, WAITING};
use crate::ids::{Bytes, GuestKind, NodeName, PoolId, StorageId, Vmid, VolumeId};
use crate::proxmox::ApiError;
use crate::world::model::{Guest, GuestConfig, Part};
use crate::world::observe::cluster::{Listed, guest_of_list, nameless};
use crate::world::observe::guests::{Place, digest, has_snapshot_list};
use crate::world::observe::nodes;
use crate::world::observe::{each, json};
use crate::world::views;

/// How many guests are read again in one cycle at most.
const AT_MOST: usize = 64;

impl Turn<'_> {
    /// What the list of resources says of guests.
    pub(super) fn guests_listed(&mut self) {
        let list = Arc::clone(&self.list);
        let before = self.before;
        let mut trouble = None;
        let mut known = 0;
        self.listing.guests.reserve(before.listing.guests.len());
        for entry in list.entries() {
            let Listed::Guest(kind) = entry.listed() else {
                continue;
            };
            let Some(vmid) = entry.vmid() else {
                trouble = Some(nameless(&entry.value()));
                continue;
            };
            let now = match before.listing.guest(vmid) {
                Some(print) => {
                    known += 1;
                    let now = print.then(&entry);
                    self.guest_listed(kind, vmid, &entry, print, &now);
                    now
                }
                None => {
                    let item = entry.value();
                    let Some(guest) = guest_of_list(kind, &item) else {
                        trouble = Some(nameless(&item));
                        continue;
                    };
                    self.guest_new(guest, &item);
                    Fingerprint::of(&entry)
                }
            };
            self.listing.guests.push((vmid, now));
        }
        self.listing.guests.sort_unstable_by_key(|(vmid, _)| *vmid);
        if known < before.listing.guests.len() {
            for (vmid, _) in &before.listing.guests {
                if self.listing.guest(*vmid).is_none() {
                    self.guest_gone(*vmid);
                }
            }
        }
        self.seen.mark(Part::Resources, trouble.map_or(Ok(()), Err));
    }

    fn guest_new(&mut self, guest: Guest, item: &Value) {
        let (vmid, kind) = (guest.vmid, guest.kind);
        if !self.seen.world.nodes.contains_key(&guest.node) {
            self.due.lists.insert(List::ClusterStatus);
        }
        if let Some(pool) = guest.pool.clone() {
            self.due.pool(pool, self.now);
        }
        if let Some(why) = self.seen.lost.get(&guest.node).cloned() {
            return self.guest_lost(kind, item, &why);
        }
        // Seen in a full observation meanwhile, it is known; else it is unread until it is read.
        self.seen
            .world
            .guests
            .entry(vmid)
            .or_insert_with(|| Arc::new(guest));
        self.due.guest(vmid, self.now);
    }

    fn guest_listed(
        &mut self,
        kind: GuestKind,
        vmid: Vmid,
        entry: &Entry<'_>,
        before: &Fingerprint,
        now: &Fingerprint,
    ) {
        let difference = before.difference(now);
        if difference == Difference::default() {
            return;
        }
        let item = &entry.value();
        if difference.pool {
            let pool: Option<PoolId> = json::name(item, "pool");
            if let Some(guest) = self.seen.world.guests.get_mut(&vmid)
                && guest.pool != pool
            {
                let guest = Arc::make_mut(guest);
                for pool in [guest.pool.take(), pool.clone()].into_iter().flatten() {
                    self.due.pool(pool, self.now);
                }
                guest.pool = pool;
            }
        }
        if difference.ha {
            self.due.lists.extend([List::HaResources, List::HaRules]);
        }
        if difference.hushed
            && let Some(node) = json::name(item, "node")
        {
            self.due.node(&node, Reading::Guests(kind));
        }
        if difference.guest {
            let node: Option<NodeName> = json::name(item, "node");
            let lost = node.as_ref().and_then(|node| self.seen.lost.get(node));
            if let Some(why) = lost.cloned() {
                return self.guest_lost(kind, item, &why);
            }
            // It is where the list says: the node it was on may be lost in this very cycle, and then it would not be read.
            if let Some((node, guest)) = node.zip(self.seen.world.guests.get_mut(&vmid))
                && guest.node != node
            {
                Arc::make_mut(guest).node = node;
            }
            self.due.guest(vmid, self.now);
        }
    }

    fn guest_gone(&mut self, vmid: Vmid) {
        self.shrunk = true;
        self.volumes_moved(vmid, None);
        let gone = self.seen.world.guests.remove(&vmid);
        if let Some(pool) = gone.and_then(|guest| guest.pool.clone()) {
            self.due.pool(pool, self.now);
        }
        for part in [Part::GuestConfig(vmid), Part::GuestSnapshots(vmid)] {
            self.seen.world.completeness.remove(&part);
            self.seen.failed.remove(&part);
        }
        self.due.guests.remove(&vmid);
        // What nothing referred to may have gone with it.
        for storage in self.seen.world.storages.values() {
            for (node, volumes) in &storage.volumes {
                if volumes.values().any(|volume| volume.vmid == Some(vmid)) {
                    let node = Some(node.clone());
                    self.due.content(storage.id.clone(), node, self.now);
                }
            }
        }
    }

    /// Looks at guests for one request each. One whose digest is another, or that could be read and cannot be now, or could not
    /// and can, is read whole.
    pub(super) async fn digests(&mut self, vmids: Vec<Vmid>) {
        let guests = &self.seen.world.guests;
        let places = vmids
            .iter()
            .filter_map(|vmid| guests.get(vmid))
            .filter(|guest| !self.seen.lost.contains_key(&guest.node))
            .filter(|guest| !self.due.guests.contains_key(&guest.vmid))
            .map(|guest| Place::of(guest));
        let (without_snapshots, places): (Vec<Place>, Vec<Place>) =
            places.partition(|place| self.has_failed(place.vmid) == [false, true]);
        let reads = self.seen.reads.clone();
        for (place, digest) in each(places, |place| digest(reads.clone(), place)).await {
            let same = |digest: &String| self.is_known(place.vmid, digest);
            match digest.as_ref().map(same) {
                Ok(true) => {}
                Ok(false) => self.due.guest(place.vmid, self.now),
                Err(error) => self.guest_refused(&place, error),
            }
        }
        let probes = each(without_snapshots, |place| {
            has_snapshot_list(reads.clone(), place)
        });
        for (place, list) in probes.await {
            match list {
                Ok(()) => self.due.guest(place.vmid, self.now),
                Err(error) => self.guest_refused(&place, &error),
            }
        }
    }

    /// A guest that cannot be read where it could is read whole, which marks it; that it still cannot be read is no news.
    fn guest_refused(&mut self, place: &Place, error: &ApiError) {
        if !self.doubt(&place.node, Some(error)) && self.has_failed(place.vmid) == [false, false] {
            self.due.guest(place.vmid, self.now);
        }
    }

    /// Whether a guest's configuration could not be read, and its snapshots.
    fn has_failed(&self, vmid: Vmid) -> [bool; 2] {
        [Part::GuestConfig(vmid), Part::GuestSnapshots(vmid)]
            .map(|part| self.seen.failed.contains_key(&part))
    }

    fn is_known(&self, vmid: Vmid, digest: &str) -> bool {
        let guest = self.seen.world.guests.get(&vmid);
        let same = guest.is_some_and(|guest| guest.config.digest == digest);
        same && !digest.is_empty() && self.has_failed(vmid) == [false, false]
    }

    /// Reads the guests that are due, as many as one cycle may.
    pub(super) async fn guests_again(&mut self) {
        let (listing, lost) = (&self.listing, &self.seen.lost);
        let world = &self.seen.world;
        self.due.guests.retain(|vmid, _| {
            let guest = world.guests.get(vmid);
            listing.guest(*vmid).is_some()
                && guest.is_some_and(|guest| !lost.contains_key(&guest.node))
        });
        let chosen = longest(&mut self.due.guests, AT_MOST);
        let waiting: BTreeSet<Vmid> = self.due.guests.keys().copied().collect();
        if chosen.is_empty() {
            return;
        }
        let lists = self.guests_of_list(&chosen, &waiting);
        let reads = self.seen.reads.clone();
        let lists = each(lists.into_iter().collect(), |(node, kind)| {
            let reads = reads.clone();
            async move {
                let read = nodes::guests(&reads, &node, kind).await;
                (node, kind, read)
            }
        });
        for (node, kind, read) in lists.await {
            self.guest_list(&node, kind, read);
        }
        self.seen.some_guests(&chosen).await;
        for vmid in chosen {
            self.guest_read(vmid);
        }
        for vmid in waiting {
            self.volumes_moved(vmid, None);
            self.seen.guest_unread(vmid, WAITING.to_owned());
        }
    }

    /// Puts the guests that are to be read, or wait for it, into the world as the list has them. Gives the lists of guests that
    /// know better how those stand which are read now.
    fn guests_of_list(
        &mut self,
        chosen: &BTreeSet<Vmid>,
        waiting: &BTreeSet<Vmid>,
    ) -> BTreeSet<(NodeName, GuestKind)> {
        let list = Arc::clone(&self.list);
        let mut lists = BTreeSet::new();
        for entry in list.entries() {
            let Listed::Guest(kind) = entry.listed() else {
                continue;
            };
            let Some(vmid) = entry.vmid() else {
                continue;
            };
            let is_chosen = chosen.contains(&vmid);
            if !is_chosen && !waiting.contains(&vmid) {
                continue;
            }
            let Some(guest) = guest_of_list(kind, &entry.value()) else {
                continue;
            };
            if is_chosen {
                lists.insert((guest.node.clone(), kind));
            }
            self.seen.world.guests.insert(vmid, Arc::new(guest));
        }
        lists
    }

    fn guest_read(&mut self, vmid: Vmid) {
        if !self.seen.settings.snapshots {
            // It may have been marked while its node was lost.
            let part = Part::GuestSnapshots(vmid);
            self.seen.world.completeness.remove(&part);
            self.seen.failed.remove(&part);
        }
        let known = self.before.world.guests.get(&vmid);
        let Some(guest) = self.seen.world.guests.get_mut(&vmid) else {
            return;
        };
        if known.is_some_and(|known| known == guest) {
            *guest = known.map_or_else(|| Arc::clone(guest), Arc::clone);
            return;
        }
        let guest = Arc::clone(guest);
        self.volumes_moved(vmid, Some(&guest));
    }

    /// Where a guest had volumes before this cycle that it has no more, or has some that it had not, the contents are due.
    pub(super) fn volumes_moved(&mut self, vmid: Vmid, now: Option<&Guest>) {
        let before = self.before.world.guests.get(&vmid);
        let was = before.map(|guest| volumes(guest)).unwrap_or_default();
        let is = now.map(volumes).unwrap_or_default();
        let node = |guest: &Guest| guest.node.clone();
        let nodes = (before.map(|guest| node(guest)), now.map(node));
        let moved = nodes.0 != nodes.1;
        let mut storages: BTreeSet<(StorageId, NodeName)> = BTreeSet::new();
        for (these, others, node) in [(&was, &is, nodes.0), (&is, &was, nodes.1)] {
            let Some(node) = node else {
                continue;
            };
            for (volume, size) in these {
                if moved || others.get(volume) != Some(size) {
                    storages.insert((volume.storage().clone(), node.clone()));
                }
            }
        }
        for (storage, node) in storages {
            self.due.content(storage, Some(node), self.now);
        }
    }
}

/// Every volume a guest's configuration names, with its size as far as that is written there.
fn volumes(guest: &Guest) -> BTreeMap<VolumeId, Option<Bytes>> {
    let GuestConfig {
        digest: _,
        current,
        pending,
        snapshots,
    } = &guest.config;
    let waiting = pending
        .iter()
        .filter_map(|pending| Some((&pending.key, pending.value.as_ref()?)));
    let kept = snapshots.values().flat_map(|snapshot| &snapshot.section);
    current
        .iter()
        .chain(waiting)
        .chain(kept)
        .filter_map(|(key, value)| views::disk(guest.kind, key, value))
        .filter_map(|disk| Some((disk.source.volume()?.clone(), disk.size)))
        .collect()
}

/// The storages on which a guest has volumes.
pub(super) fn storages(guest: &Arc<Guest>) -> BTreeSet<StorageId> {
    volumes(guest)
        .into_keys()
        .map(|volume| volume.storage().clone())
        .collect()
}
