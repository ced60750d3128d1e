//! Backup jobs in prediction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::plain;
use super::{Unpredictable, refused};
use crate::ids::BackupJobId;
use crate::proxmox::property::is_true;
use crate::world::Params;
use crate::world::model::{BackupJob, Section, World};
use crate::world::views::same_job_option;

/// Makes a backup job.
pub(super) fn create(
    world: &mut World,
    id: &BackupJobId,
    params: &Params,
) -> Result<(), Unpredictable> {
    if world.backup_jobs.contains_key(id.as_str()) {
        return Err(refused(format!("backup job {id} already exists")));
    }
    let mut options = plain(params);
    for (key, value) in [("id", id.as_str()), ("type", "vzdump"), ("enabled", "1")] {
        options
            .entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    }
    write(world, id, options)
}

/// Changes a backup job's options. A job is for some guests, for a pool, or for all: what is set takes the place of the others.
pub(super) fn update(
    world: &mut World,
    id: &BackupJobId,
    set: &Params,
    delete: &BTreeSet<String>,
) -> Result<(), Unpredictable> {
    let job = world
        .backup_jobs
        .get(id.as_str())
        .ok_or_else(|| Unpredictable::Missing(format!("backup job {id}")))?;
    let mut options = job.options.clone();
    options.retain(|key, _| !delete.contains(key));
    let set = plain(set);
    for other in displaced(&set) {
        options.remove(*other);
    }
    options.extend(set);
    options
        .entry("enabled".to_owned())
        .or_insert_with(|| "1".to_owned());
    write(world, id, options)
}

/// The options that those that are set take the place of.
pub fn displaced(set: &BTreeMap<String, String>) -> &'static [&'static str] {
    if set.contains_key("vmid") {
        &["all", "exclude", "pool"]
    } else if set.contains_key("pool") {
        &["all", "exclude", "vmid"]
    } else if set.get("all").is_some_and(|all| is_true(all)) {
        &["pool", "vmid"]
    } else {
        &[]
    }
}

fn write(world: &mut World, id: &BackupJobId, options: Section) -> Result<(), Unpredictable> {
    let said = |key: &str| options.get(key).is_some_and(|text| !text.is_empty());
    let all = options.get("all").is_some_and(|all| is_true(all));
    let ways = [all, said("vmid"), said("pool")];
    match ways.iter().filter(|way| **way).count() {
        1 => {}
        0 => return Err(refused(format!("backup job {id} would be for no guests"))),
        _ => {
            return Err(refused(format!(
                "backup job {id} would say in two ways which guests it is for"
            )));
        }
    }
    let job = Arc::new(BackupJob::of(options));
    world.backup_jobs.insert(id.to_string(), job);
    Ok(())
}

/// Removes a backup job.
pub(super) fn delete(world: &mut World, id: &BackupJobId) -> Result<(), Unpredictable> {
    match world.backup_jobs.remove(id.as_str()) {
        Some(_) => Ok(()),
        None => Err(Unpredictable::Missing(format!("backup job {id}"))),
    }
}

/// What a read-back of the jobs shows that was not predicted.
pub(super) fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    found: &mut Vec<String>,
) {
    for id in super::surprises::touched(&before.backup_jobs, &predicted.backup_jobs) {
        match (
            predicted.backup_jobs.get(&id),
            observed.backup_jobs.get(&id),
        ) {
            (None, None) => {}
            (Some(_), None) => found.push(format!("backup job {id} is not there")),
            (None, Some(_)) => found.push(format!("backup job {id} is still there")),
            (Some(expected), Some(seen)) => {
                found.extend(differences(&id, &expected.options, &seen.options));
            }
        }
    }
}

fn differences(id: &str, expected: &Section, seen: &Section) -> Vec<String> {
    let keys: BTreeSet<&String> = expected.keys().chain(seen.keys()).collect();
    let told = keys.into_iter().filter_map(|key| {
        let (a, b) = (expected.get(key), seen.get(key));
        let word = |value: Option<&String>| {
            value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
        };
        let alike = same_job_option(key, a.map(String::as_str), b.map(String::as_str));
        (!alike).then(|| {
            format!(
                "backup job {id} {key}: {} was predicted, {} is",
                word(a),
                word(b)
            )
        })
    });
    told.collect()
}
