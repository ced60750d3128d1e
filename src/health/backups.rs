//! From where each guest could be restored: the backups that can be listed, over all storages, how many and how old.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::{StorageId, Vmid};
use crate::world::{Part, World};

use super::protection::{holds_backups, listing_nodes};
use super::usable::listing;
use super::{Category, Grade, State};

/// The backups of one guest on one storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How many there are.
    pub count: usize,
    /// When the newest was made, if Proxmox VE tells.
    pub newest: Option<Timestamp>,
}

/// Where each guest has backups that can be listed, and whether any place could not be listed.
#[derive(Debug, Default)]
pub struct Backups {
    of: BTreeMap<Vmid, BTreeMap<StorageId, Place>>,
    unlisted: Option<String>,
}

impl Backups {
    /// Reads every listing of every storage that may hold backups and is not disabled.
    pub fn new(world: &World) -> Self {
        let mut found = Self::default();
        for storage in world.storages.values().filter(|s| holds_backups(s)) {
            for node in listing_nodes(world, storage) {
                let Some(volumes) = listing(world, storage, node) else {
                    found.unlisted.get_or_insert_with(|| {
                        Part::StorageContent(node.clone(), storage.id.clone()).to_string()
                    });
                    continue;
                };
                for volume in volumes.values().filter(|v| v.content == "backup") {
                    if let Some(vmid) = volume.vmid {
                        found.add(vmid, &storage.id, volume.created);
                    }
                }
            }
        }
        found
    }

    fn add(&mut self, vmid: Vmid, storage: &StorageId, created: Option<i64>) {
        let newest = created.and_then(|second| Timestamp::from_second(second).ok());
        let places = self.of.entry(vmid).or_default();
        match places.get_mut(storage) {
            Some(place) => {
                place.count += 1;
                place.newest = place.newest.max(newest);
            }
            None => {
                places.insert(storage.clone(), Place { count: 1, newest });
            }
        }
    }

    /// Whoever has backups, whether the guest is still there or not.
    pub fn owners(&self) -> impl Iterator<Item = Vmid> {
        self.of.keys().copied()
    }

    /// The storages that hold backups of a guest.
    pub fn places(&self, vmid: Vmid) -> impl Iterator<Item = (&StorageId, Place)> {
        let places = self.of.get(&vmid).into_iter().flatten();
        places.map(|(storage, place)| (storage, *place))
    }

    /// Where the newest backup of a guest is that tells when it was made.
    pub fn newest(&self, vmid: Vmid) -> Option<(&StorageId, Timestamp)> {
        self.places(vmid)
            .filter_map(|(storage, place)| Some((storage, place.newest?)))
            .max_by_key(|(_, at)| *at)
    }

    /// A place with backups that could not be listed, if there is one: then there may be more than is told here.
    pub fn unlisted(&self) -> Option<&str> {
        self.unlisted.as_deref()
    }

    /// Whether a guest can be restored from a backup.
    pub(super) fn recoverable(&self, vmid: Vmid) -> State {
        let places: Vec<String> = self.places(vmid).map(told).collect();
        if !places.is_empty() {
            // The places stand in the good state too, so that their loss can be named.
            return State {
                causes: vec![places.join(", ")],
                ..State::GOOD
            };
        }
        match &self.unlisted {
            Some(part) => State {
                grade: Grade::Unknown,
                category: Some(Category::Unknown),
                rule: "G1",
                causes: vec![format!(
                    "{part} could not be read, and no other backup is known"
                )],
            },
            None => State {
                grade: Grade::Lost,
                category: Some(Category::LastCopy),
                rule: "ST06",
                causes: vec!["no backup of it can be listed".to_owned()],
            },
        }
    }
}

/// `nas (the newest of 2026-11-20 02:00Z)`.
fn told((storage, place): (&StorageId, Place)) -> String {
    match (place.count, place.newest) {
        (_, None) => storage.to_string(),
        (1, Some(at)) => format!("{storage} (of {})", minute(at)),
        (_, Some(at)) => format!("{storage} (the newest of {})", minute(at)),
    }
}

/// A time as plans show it: to the minute, in UTC.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}
