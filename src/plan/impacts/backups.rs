//! What the retention of backup jobs lets go: after each run a job removes the older backups of the guests it is for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::Duration;
use super::Raw;
use super::actions::{At, raw};
use crate::document::storage::PruneBackups;
use crate::health::{Category, Entity, selects};
use crate::ids::{StorageId, Vmid, VolumeId};
use crate::proxmox::property::{Domain, PropertyMap, boolean, is_true};
use crate::world::{BackupJob, Guest, Storage, World};

/// Of one guest on one storage: the job that keeps the fewest, and how many it keeps at most of each count.
struct Kept<'w> {
    job: &'w str,
    counts: BTreeMap<&'static str, u64>,
}

impl Kept<'_> {
    /// How many backups are kept at most; each count keeps at most so many, and they may keep the same.
    fn most(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether these counts may let go what those kept.
    fn fewer_than(&self, other: &Self) -> bool {
        let kept = |kept: &Self, count: &str| kept.counts.get(count).copied().unwrap_or(0);
        PruneBackups::COUNTS
            .iter()
            .any(|count| kept(self, count) < kept(other, count))
    }
}

impl At<'_> {
    /// CL03: backups that are there and that a run will remove which no run removed before.
    pub(super) fn pruned(&self) -> Vec<Raw> {
        let mut all = Vec::new();
        for storage in self.after.storages.values() {
            let backups = backups(storage);
            for guest in self.after.guests.values() {
                let there = backups.get(&guest.vmid).map_or(0, BTreeSet::len);
                // The last one is always kept.
                if there > 1 {
                    all.extend(self.pruned_of(guest, storage, there));
                }
            }
        }
        all
    }

    fn pruned_of(&self, guest: &Guest, storage: &Storage, there: usize) -> Option<Raw> {
        let now = fewest(self.after, guest, storage)?;
        if let Some(was) = fewest(self.before, guest, storage)
            && !now.fewer_than(&was)
        {
            return None;
        }
        let (job, on, most) = (now.job, &storage.id, now.most());
        let left = if most < there as u64 {
            format!("at most {most} of its {there} backups on {on}")
        } else {
            format!("not surely all of its {there} backups on {on}")
        };
        Some(raw(
            self.step,
            Entity::Guest(guest.kind, guest.vmid),
            Category::DataLost,
            ("its backups are kept", "older ones are removed"),
            format!("backup job {job} keeps {left} from its next run on"),
            Duration::Permanent,
            "CL03",
        ))
    }
}

/// The backups on a storage that may be removed, by guest.
fn backups(storage: &Storage) -> BTreeMap<Vmid, BTreeSet<&VolumeId>> {
    let mut found: BTreeMap<Vmid, BTreeSet<&VolumeId>> = BTreeMap::new();
    for (id, volume) in storage.volumes.values().flat_map(|listed| listed.iter()) {
        if let (Some(vmid), true) = (volume.vmid, volume.content == "backup" && !volume.protected) {
            found.entry(vmid).or_default().insert(id);
        }
    }
    found
}

/// The job that keeps the fewest backups of a guest on a storage; `None` if none removes any.
fn fewest<'w>(world: &'w World, guest: &Guest, storage: &Storage) -> Option<Kept<'w>> {
    world
        .backup_jobs
        .iter()
        .filter(|(_, job)| job.enabled && selects(world, job, guest))
        .filter(|(_, job)| writes_to(job, &storage.id))
        .filter_map(|(id, job)| {
            let counts = retention(world, job)?;
            Some(Kept { job: id, counts })
        })
        .min_by_key(Kept::most)
}

fn writes_to(job: &BackupJob, storage: &StorageId) -> bool {
    job.storage.as_deref() == Some(storage.as_str())
}

/// How many a job keeps of each count, by its own retention or its storage's; `None` if it removes nothing.
fn retention(world: &World, job: &BackupJob) -> Option<BTreeMap<&'static str, u64>> {
    if job.options.get("remove").and_then(|text| boolean(text)) == Some(false) {
        return None;
    }
    let key = "prune-backups";
    let of_storage = || {
        let id = StorageId::new(job.storage.as_deref()?).ok()?;
        world.storages.get(&id)?.options.get(key)
    };
    let text = job.options.get(key).or_else(of_storage)?;
    let map = PropertyMap::parse(Domain::BackupJob, key, text).ok()?;
    if map.get("keep-all").is_some_and(is_true) {
        return None;
    }
    let counts: BTreeMap<&'static str, u64> = PruneBackups::COUNTS
        .iter()
        .filter_map(|count| Some((*count, map.get(count)?.parse().ok()?)))
        .filter(|(_, kept)| *kept > 0)
        .collect();
    (!counts.is_empty()).then_some(counts)
}
