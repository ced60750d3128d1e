//! Replication jobs in prediction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::plain;
use super::{Unpredictable, refused};
use crate::ids::{NodeName, ReplicationJobId};
use crate::world::Params;
use crate::world::model::{Guest, Part, ReplicationJob, World};
use crate::world::views::{self, replicates, same_replication_option};

/// Makes a replication job.
pub(super) fn create(
    world: &mut World,
    id: &ReplicationJobId,
    target: &NodeName,
    params: &Params,
) -> Result<(), Unpredictable> {
    if let Some(why) = refusals(world, id, target).into_iter().next() {
        return Err(refused(why));
    }
    let guest = id
        .guest()
        .filter(|vmid| world.guests.contains_key(vmid))
        .ok_or_else(|| Unpredictable::Missing(format!("the guest of replication job {id}")))?;
    let job = ReplicationJob::of(guest, target.clone(), false, plain(params));
    world.replication_jobs.insert(id.to_string(), Arc::new(job));
    Ok(())
}

/// Why Proxmox VE would not make a job, or no run of it could do its work. A guest that is not there is not among it.
pub fn refusals(world: &World, id: &ReplicationJobId, target: &NodeName) -> Vec<String> {
    let mut reasons = Vec::new();
    match world.replication_jobs.get(id.as_str()) {
        Some(job) if job.removing => reasons.push(format!(
            "replication job {id} is still being removed: wait for the next run on its guest's node"
        )),
        Some(_) => reasons.push(format!("replication job {id} already exists")),
        None => {}
    }
    let Some(guest) = id.guest().and_then(|vmid| world.guests.get(&vmid)) else {
        return reasons;
    };
    let jobs = world.replication_jobs.iter();
    let mut same = jobs.filter(|(other, job)| {
        job.guest == guest.vmid && job.target == *target && other.as_str() != id.as_str()
    });
    if let Some((other, _)) = same.next() {
        reasons.push(format!(
            "replication job {other} copies {} to {target} already, and there is one job for each target",
            guest.entity()
        ));
    }
    if guest.node == *target {
        reasons.push(format!(
            "{} is on {target} itself, and a guest is not copied to its own node",
            guest.entity()
        ));
    }
    reasons.extend(uncopied(world, guest, target));
    reasons
}

/// The disks that cannot be copied to a node.
fn uncopied(world: &World, guest: &Guest, target: &NodeName) -> Vec<String> {
    if world.unreadable(&Part::Storages).is_some() {
        return Vec::new();
    }
    let told = views::replicated_disks(guest).into_iter().filter_map(|disk| {
        let id = disk.source.data()?.storage().clone();
        let slot = &disk.slot;
        match world.storages.get(&id) {
            None => Some(format!("{slot} lies on storage {id}, which does not exist")),
            Some(storage) if !replicates(storage) => Some(format!(
                "{slot} lies on {id}, which is no ZFS pool and cannot be replicated; write `replicate: false` of the disk, or move it"
            )),
            Some(storage) if !storage.on_node(target) => Some(format!(
                "{slot} lies on {id}, which is not available on {target}"
            )),
            Some(_) => None,
        }
    });
    told.collect()
}

/// Changes a replication job's options.
pub(super) fn update(
    world: &mut World,
    id: &ReplicationJobId,
    set: &Params,
    delete: &BTreeSet<String>,
) -> Result<(), Unpredictable> {
    let job = there(world, id)?;
    let mut options = job.options.clone();
    options.retain(|key, _| !delete.contains(key));
    options.extend(plain(set));
    let job = ReplicationJob::of(job.guest, job.target.clone(), job.removing, options);
    world.replication_jobs.insert(id.to_string(), Arc::new(job));
    Ok(())
}

/// Marks a replication job for removal. Of a guest that is gone nothing more comes: the mark stays.
pub(super) fn delete(world: &mut World, id: &ReplicationJobId) -> Result<(), Unpredictable> {
    there(world, id)?;
    if let Some(job) = world.replication_jobs.get_mut(id.as_str()) {
        Arc::make_mut(job).removing = true;
    }
    Ok(())
}

fn there<'w>(world: &'w World, id: &ReplicationJobId) -> Result<&'w ReplicationJob, Unpredictable> {
    match world.replication_jobs.get(id.as_str()) {
        None => Err(Unpredictable::Missing(format!("replication job {id}"))),
        Some(job) if job.removing => Err(refused(format!(
            "replication job {id} is being removed already"
        ))),
        Some(job) => Ok(job),
    }
}

/// What a read-back of the jobs shows that was not predicted. A job that is marked may be gone at any time.
pub(super) fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    found: &mut Vec<String>,
) {
    let touched = super::surprises::touched(&before.replication_jobs, &predicted.replication_jobs);
    for id in touched {
        let expected = predicted.replication_jobs.get(&id);
        let seen = observed.replication_jobs.get(&id);
        match (expected, seen) {
            (None, None) => {}
            (Some(expected), None) if expected.removing => {}
            (Some(_), None) => found.push(format!("replication job {id} is not there")),
            (None, Some(seen)) if seen.removing => {}
            (None, Some(_)) => found.push(format!("replication job {id} is still there")),
            (Some(expected), Some(seen)) => found.extend(differences(&id, expected, seen)),
        }
    }
}

fn differences(id: &str, expected: &ReplicationJob, seen: &ReplicationJob) -> Vec<String> {
    if expected.removing != seen.removing {
        let is = if seen.removing { "is" } else { "is not" };
        return vec![format!("replication job {id} {is} marked for removal")];
    }
    let mut told = Vec::new();
    if expected.target != seen.target {
        told.push(format!(
            "replication job {id} target: {} was predicted, {} is",
            expected.target, seen.target
        ));
    }
    let keys: BTreeSet<&String> = expected.options.keys().chain(seen.options.keys()).collect();
    told.extend(keys.into_iter().filter_map(|key| {
        let (a, b) = (expected.options.get(key), seen.options.get(key));
        let word = |value: Option<&String>| {
            value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
        };
        let alike = same_replication_option(key, a.map(String::as_str), b.map(String::as_str));
        (!alike).then(|| {
            format!(
                "replication job {id} {key}: {} was predicted, {} is",
                word(a),
                word(b)
            )
        })
    }));
    told
}
