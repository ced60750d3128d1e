//! Whether what a step was planned on still holds, by a world that was just read.

mod account;

use std::collections::{BTreeMap, BTreeSet};

use super::port::Left;
use super::trial;
use crate::plan::{Precondition, StepId};
use crate::world::predict::backups_taken;
use crate::world::{AccountAction, Action, World, views};

/// The digest to send with the step's write, if the step has one: the planned one, or the one an earlier step left.
pub fn digest(preconditions: &[Precondition], left: &BTreeMap<StepId, Left>) -> Option<String> {
    preconditions
        .iter()
        .find_map(|precondition| match precondition {
            Precondition::ConfigDigest { digest, after, .. }
            | Precondition::StorageIs { digest, after, .. } => {
                expected_digest(digest.as_deref(), *after, left)
            }
            _ => None,
        })
}

/// The digest of the part of a firewall or of the realms that a step writes, as it was just read with what the step was planned on.
pub fn digest_read(action: &Action, read: &World) -> Option<String> {
    match action {
        Action::Firewall(action) => {
            let of = (action.site().place(), action.part());
            read.firewalls.digests.get(&of).cloned()
        }
        Action::Account(AccountAction::UpdateRealm { .. }) => {
            Some(read.realm_settings.digest.clone()).filter(|digest| !digest.is_empty())
        }
        _ => None,
    }
}

fn expected_digest(
    planned: Option<&str>,
    after: Option<StepId>,
    left: &BTreeMap<StepId, Left>,
) -> Option<String> {
    match after {
        Some(step) => left.get(&step).and_then(|left| left.digest.clone()),
        None => planned.map(str::to_owned),
    }
    .filter(|digest| !digest.is_empty())
}

/// `Ok` if the precondition holds, otherwise what is different, in words.
pub fn check(
    precondition: &Precondition,
    world: &World,
    left: &BTreeMap<StepId, Left>,
) -> Result<(), String> {
    let guest = |vmid| {
        world
            .guests
            .get(vmid)
            .ok_or_else(|| format!("guest {vmid} is gone"))
    };
    match precondition {
        Precondition::Identity { kind, vmid, birth } => {
            let guest = guest(vmid)?;
            if guest.kind != *kind {
                return Err(format!(
                    "{vmid} is now a {}, not a {}",
                    guest.kind.word(),
                    kind.word()
                ));
            }
            match (birth, guest.config.birth()) {
                (Some(planned), found) if found.as_ref() != Some(planned) => Err(format!(
                    "{} is another guest now: it was {planned}, it is {}",
                    guest.entity(),
                    found.as_deref().unwrap_or("without identity")
                )),
                _ => Ok(()),
            }
        }
        Precondition::OnNode { vmid, node } => {
            let guest = guest(vmid)?;
            same(&guest.node, node, || {
                format!(
                    "{} is on node {}, not on {node}",
                    guest.entity(),
                    guest.node
                )
            })
        }
        Precondition::ConfigDigest {
            vmid,
            digest,
            after,
        } => {
            let guest = guest(vmid)?;
            match expected_digest(digest.as_deref(), *after, left) {
                Some(expected) => same(&guest.config.digest, &expected, || {
                    format!(
                        "the configuration of {} was changed by someone else",
                        guest.entity()
                    )
                }),
                None if after.is_some() => Err(format!(
                    "what step {} left of {vmid} is not known",
                    after.map_or(0, |s| s.0)
                )),
                None => Err(format!("the plan has no digest for {}", guest.entity())),
            }
        }
        Precondition::Status { vmid, status } => {
            let guest = guest(vmid)?;
            same(&guest.status, status, || {
                format!("{} is {:?}, not {status:?}", guest.entity(), guest.status)
            })
        }
        Precondition::SlotHolds { vmid, slot, volume } => {
            let guest = guest(vmid)?;
            let next = guest.config.next_start();
            let value = guest
                .config
                .current
                .get(slot.as_str())
                .or_else(|| next.get(slot.as_str()));
            let held = value.and_then(|text| text.split(',').next()).map(|first| {
                ["file=", "volume="]
                    .iter()
                    .find_map(|key| first.strip_prefix(key))
                    .unwrap_or(first)
            });
            same(&held, &Some(volume.to_string().as_str()), || {
                format!(
                    "{} {slot} holds {}, not {volume}",
                    guest.entity(),
                    held.unwrap_or("nothing")
                )
            })
        }
        Precondition::GuestAbsent { vmid } => match world.guests.get(vmid) {
            None => Ok(()),
            Some(guest) => Err(format!("{} exists already", guest.entity())),
        },
        Precondition::StorageIs {
            id,
            digest,
            after,
            options,
        } => {
            let storage = world
                .storages
                .get(id)
                .ok_or_else(|| format!("storage {id} is gone"))?;
            match expected_digest(digest.as_deref(), *after, left) {
                Some(expected) => same(&storage.digest, &expected, || {
                    "storage.cfg was changed by someone else".to_owned()
                }),
                None => options.iter().try_for_each(|(key, value)| {
                    let found = storage.options.get(key);
                    same(&found, &Some(value), || {
                        format!(
                            "storage {id} has another {key} now: {}",
                            found.map_or("none", String::as_str)
                        )
                    })
                }),
            }
        }
        Precondition::StorageAbsent { id } => match world.storages.get(id) {
            None => Ok(()),
            Some(_) => Err(format!("storage {id} exists already")),
        },
        Precondition::PoolIs {
            id,
            comment,
            guests,
            storages,
        } => {
            let pool = world
                .pools
                .get(id)
                .ok_or_else(|| format!("pool {id} is gone"))?;
            same(&pool.comment, comment, || {
                format!("the comment of pool {id} was changed")
            })?;
            same(&pool.guests, guests, || {
                format!("the members of pool {id} were changed")
            })?;
            same(&pool.storages, storages, || {
                format!("the storages of pool {id} were changed")
            })
        }
        Precondition::PoolAbsent { id } => match world.pools.get(id) {
            None => Ok(()),
            Some(_) => Err(format!("pool {id} exists already")),
        },
        Precondition::BackupJobIs { id, options } => {
            let job = world
                .backup_jobs
                .get(id.as_str())
                .ok_or_else(|| format!("backup job {id} is gone"))?;
            let keys: BTreeSet<&String> = options.keys().chain(job.options.keys()).collect();
            let changed = keys.into_iter().find(|key| {
                let value = |options: &BTreeMap<String, String>| options.get(*key).cloned();
                let (found, planned) = (value(&job.options), value(options));
                !views::same_job_option(key, found.as_deref(), planned.as_deref())
            });
            match changed {
                None => Ok(()),
                Some(key) => {
                    let found = job.options.get(key).map_or("none", String::as_str);
                    Err(format!("backup job {id} has another {key} now: {found}"))
                }
            }
        }
        Precondition::BackupJobAbsent { id } => {
            if world.backup_jobs.contains_key(id.as_str()) {
                Err(format!("backup job {id} exists already"))
            } else {
                Ok(())
            }
        }
        Precondition::SnapshotIs { vmid, name, taken } => {
            let guest = world.guests.get(vmid);
            let snapshot = guest.and_then(|guest| guest.config.snapshots.get(name.as_str()));
            let snapshot = snapshot.ok_or_else(|| format!("snapshot {name} of {vmid} is gone"))?;
            same(&snapshot.taken, taken, || {
                format!(
                    "snapshot {name} of {vmid} is another one now: it was taken at another time"
                )
            })
        }
        Precondition::SnapshotAbsent { vmid, name } => {
            let guest = world.guests.get(vmid);
            if guest.is_some_and(|guest| guest.config.snapshots.contains_key(name.as_str())) {
                Err(format!("{vmid} has a snapshot {name} already"))
            } else {
                Ok(())
            }
        }
        Precondition::ReplicationJobIs {
            id,
            target,
            options,
        } => {
            let job = world
                .replication_jobs
                .get(id.as_str())
                .ok_or_else(|| format!("replication job {id} is gone"))?;
            if job.removing {
                return Err(format!("replication job {id} is being removed"));
            }
            if Some(&job.target) != target.as_ref() {
                return Err(format!("replication job {id} copies to {} now", job.target));
            }
            let keys: BTreeSet<&String> = options.keys().chain(job.options.keys()).collect();
            let changed = keys.into_iter().find(|key| {
                let (found, planned) = (job.options.get(*key), options.get(*key));
                let text = |value: Option<&String>| value.cloned();
                let (found, planned) = (text(found), text(planned));
                !views::same_replication_option(key, found.as_deref(), planned.as_deref())
            });
            match changed {
                None => Ok(()),
                Some(key) => {
                    let found = job.options.get(key).map_or("none", String::as_str);
                    Err(format!(
                        "replication job {id} has another {key} now: {found}"
                    ))
                }
            }
        }
        Precondition::ReplicationJobAbsent { id } => {
            match world.replication_jobs.get(id.as_str()) {
                None => Ok(()),
                Some(job) if job.removing => {
                    Err(format!("replication job {id} is still being removed"))
                }
                Some(_) => Err(format!("replication job {id} exists already")),
            }
        }
        Precondition::Account(wanted) => account::check(wanted, world),
        Precondition::FirewallIs { place, part, state } => {
            let scope = world.firewalls.scope(place);
            let scope = scope.map_err(|why| format!("{place} cannot be read: {why}"))?;
            match (scope.state(part), state) {
                (found, planned) if found == *planned => Ok(()),
                (None, Some(_)) => Err(format!("{part} of {place} is gone")),
                (Some(_), None) => Err(format!("{part} of {place} exists already")),
                (Some(_) | None, _) => {
                    Err(format!("{part} of {place} was changed by someone else"))
                }
            }
        }
        Precondition::FirewallOnTrial => match world.firewalls.on_trial() {
            Some(true) => Ok(()),
            Some(false) => Err(trial::OVER.to_owned()),
            None => Err("the datacenter's firewall cannot be read".to_owned()),
        },
        Precondition::HaState { vmid, state } => {
            let found = world.ha_resources.get(vmid).map(|resource| &resource.state);
            same(&found, &state.as_ref(), || {
                let word = |state: Option<&String>| {
                    state.map_or("not under HA".to_owned(), |s| format!("HA state {s}"))
                };
                format!("{vmid} is {}, not {}", word(found), word(state.as_ref()))
            })
        }
        Precondition::VolumeAbsent { node, volume } => {
            let storage = world.storages.get(volume.storage());
            match storage.and_then(|storage| storage.volume(node, volume)) {
                None => Ok(()),
                Some(_) => Err(format!("{volume} is there already on {node}")),
            }
        }
        Precondition::VolumeIs {
            node,
            volume,
            created,
        } => {
            let storage = world.storages.get(volume.storage());
            let file = storage.and_then(|storage| storage.volume(node, volume));
            let file = file.ok_or_else(|| format!("{volume} is gone"))?;
            same(&file.created, created, || {
                format!("{volume} is another file now: it was written at another time")
            })
        }
        Precondition::BackupIs {
            node,
            volume,
            vmid,
            created,
            notes,
        } => {
            let storage = world.storages.get(volume.storage());
            let file = storage.and_then(|storage| storage.volume(node, volume));
            let file = file.ok_or_else(|| format!("{volume} is gone"))?;
            same(&(file.vmid, file.created), &(*vmid, *created), || {
                format!("{volume} is another backup now")
            })?;
            same(&file.notes, notes, || {
                format!("the notes of {volume} were changed by someone")
            })
        }
        Precondition::SafetyCopyIs {
            vmid,
            node,
            storage,
            notes,
        } => {
            if backups_taken(world, node, storage, *vmid, notes).is_empty() {
                Err(format!(
                    "there is no safety copy of {vmid} on {storage} (`{notes}`)"
                ))
            } else {
                Ok(())
            }
        }
        Precondition::VolumeExists { node, volume } => {
            match world
                .storages
                .get(volume.storage())
                .and_then(|storage| storage.volume(node, volume))
            {
                Some(_) => Ok(()),
                None => Err(format!("volume {volume} is gone")),
            }
        }
    }
}

fn same<T: PartialEq>(
    found: &T,
    expected: &T,
    otherwise: impl FnOnce() -> String,
) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(otherwise())
    }
}
