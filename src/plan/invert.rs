//! Inverses: how a step is taken back, from the world before and after it.

mod account;

use std::collections::{BTreeMap, BTreeSet};

use super::model::Inverse;
use super::snapshot::described_as;
use crate::document::desired::ImageSource;
use crate::ids::{BackupJobId, GuestKind, ReplicationJobId, Slot, StorageId, Vmid};
use crate::world::safety_copy;
use crate::world::views::{self, Source};
use crate::world::{Action, BackupJob, Param, Params, PowerAction, ReplicationJob, Storage, World};

fn back(actions: Vec<Action>) -> Inverse {
    Inverse::Actions {
        actions,
        remains: Vec::new(),
    }
}

fn irreversible(why: &str) -> Inverse {
    Inverse::Irreversible {
        why: why.to_owned(),
    }
}

/// The target storages that bring every volume back to where it was, and what stays elsewhere even so; `None` if two storages of the
/// guest become one.
fn turned_round(
    vmid: Vmid,
    map: &BTreeMap<StorageId, StorageId>,
    before: &World,
) -> Option<(BTreeMap<StorageId, StorageId>, Vec<String>)> {
    if map.is_empty() {
        return Some((BTreeMap::new(), Vec::new()));
    }
    let guest = before.guests.get(&vmid)?;
    let local: BTreeSet<StorageId> = views::disks(guest.kind, &guest.config.current)
        .iter()
        .filter(|disk| !matches!(disk.source, Source::Cdrom(_)))
        .filter_map(|disk| Some(disk.source.volume()?.storage().clone()))
        .filter(|id| before.storages.get(id).is_none_or(|on| !on.shared))
        .collect();
    let mut round = BTreeMap::new();
    let mut remains = Vec::new();
    for id in local {
        let there = map.get(&id).unwrap_or(&id).clone();
        // A migration leaves alone what lies on a shared storage.
        if before.storages.get(&there).is_some_and(|on| on.shared) {
            remains.push(format!("what lay on {id} stays on {there}"));
        } else if round.insert(there, id).is_some() {
            return None;
        }
    }
    round.retain(|there, id| there != id);
    Some((round, remains))
}

/// How an action is taken back.
pub(super) fn inverse(action: &Action, before: &World, after: &World, timeout: u32) -> Inverse {
    match action {
        // Once the settings are what they were.
        Action::RegenerateCloudInit { vmid } => {
            back(vec![Action::RegenerateCloudInit { vmid: *vmid }])
        }
        Action::ConvertToTemplate { .. } => {
            irreversible("a template does not become a guest again; it can only be cloned")
        }
        Action::CreateGuest { kind, vmid, .. }
        | Action::CloneGuest { kind, vmid, .. }
        | Action::RestoreGuest { kind, vmid, .. } => back(vec![Action::DestroyGuest {
            kind: *kind,
            vmid: *vmid,
            purge: false,
        }]),
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => config(*kind, *vmid, set, delete, before, after),
        Action::ResizeDisk { .. } => irreversible("a disk cannot shrink"),
        Action::MoveDisk {
            kind,
            vmid,
            slot,
            volume,
            ..
        } => {
            let moved = volume_in(after, *vmid, slot);
            let format = before
                .guests
                .get(vmid)
                .and_then(|guest| {
                    let storage = before.storages.get(volume.storage())?;
                    storage.volume(&guest.node, volume)
                })
                .map(|volume| volume.format.clone())
                .filter(|format| format != "subvol");
            back(vec![Action::MoveDisk {
                kind: *kind,
                vmid: *vmid,
                slot: slot.clone(),
                volume: moved.unwrap_or_else(|| volume.clone()),
                to: volume.storage().clone(),
                format,
            }])
        }
        Action::DetachDisk {
            kind, vmid, slot, ..
        } => {
            let value = before
                .guests
                .get(vmid)
                .and_then(|guest| guest.config.next_start().get(slot.as_str()).cloned());
            let mut set: Params = value
                .map(|value| (slot.to_string(), Param::Plain(value)))
                .into_iter()
                .collect();
            // Proxmox VE took the slot out of the boot order, too.
            let boot = |world: &World| {
                let guest = world.guests.get(vmid)?;
                guest.config.next_start().get("boot").cloned()
            };
            if let Some(order) = boot(before).filter(|order| boot(after).as_ref() != Some(order)) {
                set.insert("boot".to_owned(), Param::Plain(order));
            }
            back(vec![Action::UpdateConfig {
                kind: *kind,
                vmid: *vmid,
                set,
                delete: BTreeSet::new(),
            }])
        }
        Action::FreeDisk { .. } | Action::DeleteVolume { .. } => {
            irreversible("the volume and what is on it are gone")
        }
        Action::DownloadImage {
            node,
            volume,
            source,
        } => back(vec![Action::DeleteImage {
            node: node.clone(),
            volume: volume.clone(),
            source: Some(source.clone()),
        }]),
        Action::DeleteImage {
            node,
            volume,
            source: Some(source),
        } => Inverse::Actions {
            actions: vec![Action::DownloadImage {
                node: node.clone(),
                volume: volume.clone(),
                source: source.clone(),
            }],
            remains: vec![format!(
                "{volume} comes back only if {} still serves {}",
                source.place(),
                match source {
                    ImageSource::Url(_) => "what has its checksum",
                    ImageSource::Registry(_) => "it, and only as it is then",
                }
            )],
        },
        Action::DeleteImage { source: None, .. } => {
            irreversible("the file is gone, and where it came from is not known")
        }
        Action::SetPower { kind, vmid, power } => {
            let power = match power {
                PowerAction::Start => PowerAction::Shutdown { timeout },
                PowerAction::Shutdown { .. } | PowerAction::Stop => PowerAction::Start,
                PowerAction::Reboot { .. } => return irreversible("a restart cannot be undone"),
            };
            let remains = match power {
                PowerAction::Start => vec!["what was in the guest's memory is gone".to_owned()],
                PowerAction::Shutdown { .. } | PowerAction::Stop | PowerAction::Reboot { .. } => {
                    Vec::new()
                }
            };
            Inverse::Actions {
                actions: vec![Action::SetPower {
                    kind: *kind,
                    vmid: *vmid,
                    power,
                }],
                remains,
            }
        }
        Action::SetHaState {
            kind,
            vmid,
            state,
            before,
        } => back(vec![Action::SetHaState {
            kind: *kind,
            vmid: *vmid,
            state: before.clone(),
            before: state.clone(),
        }]),
        Action::RemoveHaResource { .. } => irreversible(
            "Bailiwick does not put guests under HA; its settings have to be given again by hand",
        ),
        Action::Migrate {
            kind,
            vmid,
            from,
            to,
            running,
            with_local_disks,
            target_storage,
        } => match turned_round(*vmid, target_storage, before) {
            Some((target_storage, remains)) => Inverse::Actions {
                actions: vec![Action::Migrate {
                    kind: *kind,
                    vmid: *vmid,
                    from: to.clone(),
                    to: from.clone(),
                    running: *running,
                    with_local_disks: *with_local_disks,
                    target_storage,
                }],
                remains,
            },
            None => irreversible(
                "volumes of several storages are put on one, and a way back by storages cannot tell them apart; migrate the guest and move its disks by hand",
            ),
        },
        Action::DestroyGuest { vmid, .. } => match safety_copy::just_taken(before, *vmid) {
            Some((id, _, note)) => irreversible(&format!(
                "a destroyed guest does not come back by itself: a document with `restoreFrom` restores it from its safety copy on {}, which is kept for {}",
                id.storage(),
                safety_copy::age(note.keep_for)
            )),
            None => irreversible("a destroyed guest does not come back"),
        },
        Action::CreateStorage { id, .. } => back(vec![Action::DeleteStorage { id: id.clone() }]),
        Action::UpdateStorage { id, set, delete } => storage_options(id, set, delete, before),
        Action::DeleteStorage { id } => match before.storages.get(id) {
            Some(storage) => define_again(storage),
            None => irreversible("how the storage was defined is not known"),
        },
        Action::Account(action) => account::inverse(action, before),
        Action::CreatePool { id, .. } => back(vec![Action::DeletePool { id: id.clone() }]),
        Action::UpdatePool { id, .. } => members(action, id, before),
        Action::DeletePool { id } => Inverse::Actions {
            actions: vec![Action::CreatePool {
                id: id.clone(),
                comment: before.pools.get(id).and_then(|pool| pool.comment.clone()),
            }],
            remains: acl_of_pool(id, before),
        },
        Action::CreateBackupJob { id, .. } => {
            back(vec![Action::DeleteBackupJob { id: id.clone() }])
        }
        Action::UpdateBackupJob { id, set, delete } => job_options(id, set, delete, before),
        Action::DeleteBackupJob { id } => match before.backup_jobs.get(id.as_str()) {
            Some(job) => job_again(id, job),
            None => irreversible("how the backup job was set is not known"),
        },
        Action::TakeSnapshot {
            kind, vmid, name, ..
        } => back(vec![Action::DeleteSnapshot {
            kind: *kind,
            vmid: *vmid,
            name: name.clone(),
        }]),
        Action::DescribeSnapshot {
            kind, vmid, name, ..
        } => {
            let guest = before.guests.get(vmid);
            let was = guest.and_then(|guest| guest.config.snapshots.get(name.as_str()));
            let description = was.map(described_as).unwrap_or_default().to_owned();
            back(vec![Action::DescribeSnapshot {
                kind: *kind,
                vmid: *vmid,
                name: name.clone(),
                description,
            }])
        }
        Action::DeleteSnapshot { .. } => {
            irreversible("a deleted snapshot, and what the guest was then, does not come back")
        }
        // A copy more hurts nobody; it goes when it is old enough.
        Action::BackUpGuest { storage, notes, .. } => Inverse::Actions {
            actions: Vec::new(),
            remains: vec![format!("the backup on {storage} (`{notes}`)")],
        },
        Action::ProtectBackup {
            node,
            volume,
            protected,
        } => back(vec![Action::ProtectBackup {
            node: node.clone(),
            volume: volume.clone(),
            protected: !protected,
        }]),
        Action::DeleteBackup { .. } => irreversible("a deleted backup does not come back"),
        Action::CreateReplicationJob { id, .. } => {
            back(vec![Action::DeleteReplicationJob { id: id.clone() }])
        }
        Action::UpdateReplicationJob { id, set, delete } => {
            replication_options(id, set, delete, before)
        }
        Action::Firewall(action) => super::firewall::inverse(action, before),
        Action::DeleteReplicationJob { id } => match before.replication_jobs.get(id.as_str()) {
            Some(job) => replicated_again(id, job),
            None => irreversible("how the replication job was set is not known"),
        },
    }
}

fn acl_of_pool(id: &crate::ids::PoolId, before: &World) -> Vec<String> {
    let path = format!("/pool/{id}");
    before
        .acl
        .iter()
        .filter(|entry| entry.path == path)
        .map(|entry| {
            format!(
                "the access rule of {} {} on {path} is gone",
                entry.subject_type, entry.subject
            )
        })
        .collect()
}

fn volume_in(world: &World, vmid: Vmid, slot: &Slot) -> Option<crate::ids::VolumeId> {
    let guest = world.guests.get(&vmid)?;
    let section = guest.config.next_start();
    let value = section.get(slot.as_str())?;
    views::disk(guest.kind, slot.as_str(), value)?
        .source
        .volume()
        .cloned()
}

fn config(
    kind: GuestKind,
    vmid: Vmid,
    set: &Params,
    delete: &BTreeSet<String>,
    before: &World,
    after: &World,
) -> Inverse {
    let was = before
        .guests
        .get(&vmid)
        .map(|guest| guest.config.next_start())
        .unwrap_or_default();
    let mut set_back = Params::new();
    let mut delete_back = BTreeSet::new();
    let mut actions = Vec::new();
    let mut remains = Vec::new();
    for (key, param) in set {
        match (was.get(key), param) {
            (Some(_), Param::Secret { .. }) => remains.push(format!(
                "{key} keeps its new value: the old one is not known"
            )),
            (Some(old), Param::Plain(_)) => {
                set_back.insert(key.clone(), Param::Plain(old.clone()));
            }
            (None, Param::Plain(value)) => match views::disk(kind, key, value) {
                Some(disk) if disk.source.data().is_some() => {
                    let volume = volume_in(after, vmid, &disk.slot)
                        .or_else(|| disk.source.volume().cloned());
                    if let Some(volume) = volume {
                        remains.push(format!("the volume of {key} is kept as unused"));
                        actions.push(Action::DetachDisk {
                            kind,
                            vmid,
                            slot: disk.slot,
                            volume,
                        });
                    }
                }
                Some(_) | None => {
                    delete_back.insert(key.clone());
                }
            },
            (None, Param::Secret { .. }) => {
                delete_back.insert(key.clone());
            }
        }
    }
    for key in delete {
        let Some(old) = was.get(key) else { continue };
        let value = match views::disk(kind, key, old).map(|disk| disk.source) {
            Some(Source::CloudInit(volume)) => {
                format!("{}:cloudinit,media=cdrom", volume.storage())
            }
            Some(Source::Volume(_) | Source::Cdrom(_) | Source::Empty | Source::Path(_)) | None => {
                old.clone()
            }
        };
        set_back.insert(key.clone(), Param::Plain(value));
    }
    if !set_back.is_empty() || !delete_back.is_empty() {
        actions.push(Action::UpdateConfig {
            kind,
            vmid,
            set: set_back,
            delete: delete_back,
        });
    }
    Inverse::Actions { actions, remains }
}

/// Options that Proxmox VE never gives back.
pub(super) const STORAGE_SECRETS: &[&str] =
    &["password", "keyring", "encryption-key", "master-pubkey"];

fn storage_options(
    id: &StorageId,
    set: &Params,
    delete: &BTreeSet<String>,
    before: &World,
) -> Inverse {
    let was = before
        .storages
        .get(id)
        .map(|storage| storage.options.clone())
        .unwrap_or_default();
    let mut set_back = Params::new();
    let mut delete_back = BTreeSet::new();
    let mut remains = Vec::new();
    for key in set.keys().chain(delete) {
        if STORAGE_SECRETS.contains(&key.as_str())
            || matches!(set.get(key), Some(Param::Secret { .. }))
        {
            remains.push(format!(
                "{key} keeps its new value: the old one is not known"
            ));
        } else if let Some(old) = was.get(key) {
            set_back.insert(key.clone(), Param::Plain(old.clone()));
        } else {
            delete_back.insert(key.clone());
        }
    }
    let mut actions = Vec::new();
    if !set_back.is_empty() || !delete_back.is_empty() {
        actions.push(Action::UpdateStorage {
            id: id.clone(),
            set: set_back,
            delete: delete_back,
        });
    }
    Inverse::Actions { actions, remains }
}

fn define_again(storage: &Storage) -> Inverse {
    let params = storage
        .options
        .iter()
        .filter(|(key, _)| !STORAGE_SECRETS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), Param::Plain(value.clone())))
        .collect();
    let mut remains = vec!["access rules on the storage have to be given again".to_owned()];
    if matches!(
        storage.storage_type.as_str(),
        "cifs" | "pbs" | "rbd" | "cephfs" | "esxi"
    ) {
        remains.push("its password, keyring or encryption key has to be given again".to_owned());
    }
    Inverse::Actions {
        actions: vec![Action::CreateStorage {
            id: storage.id.clone(),
            storage_type: storage.storage_type.clone(),
            params,
        }],
        remains,
    }
}

/// Options of a backup job that no token may set.
const JOB_ROOT_ONLY: &[&str] = &["dumpdir", "script", "tmpdir"];

fn job_options(
    id: &BackupJobId,
    set: &Params,
    delete: &BTreeSet<String>,
    before: &World,
) -> Inverse {
    let job = before.backup_jobs.get(id.as_str());
    let was = job.map(|job| job.options.clone()).unwrap_or_default();
    let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
    let mut remains = Vec::new();
    for key in set.keys().chain(delete) {
        if JOB_ROOT_ONLY.contains(&key.as_str()) {
            remains.push(format!("{key} is not set again: only root@pam may set it"));
        } else if let Some(old) = was.get(key) {
            set_back.insert(key.clone(), Param::Plain(old.clone()));
        } else {
            delete_back.insert(key.clone());
        }
    }
    views::with_storage(&mut set_back, job.and_then(|job| job.storage.as_deref()));
    Inverse::Actions {
        actions: vec![Action::UpdateBackupJob {
            id: id.clone(),
            set: set_back,
            delete: delete_back,
        }],
        remains,
    }
}

fn job_again(id: &BackupJobId, job: &BackupJob) -> Inverse {
    let lost = |key: &str| JOB_ROOT_ONLY.contains(&key) && job.options.contains_key(key);
    let remains = JOB_ROOT_ONLY
        .iter()
        .filter(|key| lost(key))
        .map(|key| format!("{key} is not set again: only root@pam may set it"))
        .collect();
    let params = job
        .options
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "id" | "type"))
        .filter(|(key, _)| !JOB_ROOT_ONLY.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), Param::Plain(value.clone())))
        .collect();
    Inverse::Actions {
        actions: vec![Action::CreateBackupJob {
            id: id.clone(),
            params,
        }],
        remains,
    }
}

fn replication_options(
    id: &ReplicationJobId,
    set: &Params,
    delete: &BTreeSet<String>,
    before: &World,
) -> Inverse {
    let job = before.replication_jobs.get(id.as_str());
    let was = job.map(|job| job.options.clone()).unwrap_or_default();
    let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
    for key in set.keys().chain(delete) {
        match was.get(key) {
            Some(old) => {
                set_back.insert(key.clone(), Param::Plain(old.clone()));
            }
            None => {
                delete_back.insert(key.clone());
            }
        }
    }
    back(vec![Action::UpdateReplicationJob {
        id: id.clone(),
        set: set_back,
        delete: delete_back,
    }])
}

fn replicated_again(id: &ReplicationJobId, job: &ReplicationJob) -> Inverse {
    let params = job.options.iter();
    let params = params.map(|(key, value)| (key.clone(), Param::Plain(value.clone())));
    Inverse::Actions {
        actions: vec![Action::CreateReplicationJob {
            id: id.clone(),
            target: job.target.clone(),
            params: params.collect(),
        }],
        remains: vec![format!(
            "the copy on {} has to be made anew, whole, by the job's first run",
            job.target
        )],
    }
}

fn members(action: &Action, id: &crate::ids::PoolId, before: &World) -> Inverse {
    let Action::UpdatePool {
        id: _,
        comment,
        guests_add,
        guests_remove,
        storages_add,
        storages_remove,
    } = action
    else {
        return back(Vec::new());
    };
    let mut home: BTreeMap<_, BTreeSet<Vmid>> = BTreeMap::new();
    let mut guests_out = BTreeSet::new();
    for vmid in guests_add {
        let old = before.guests.get(vmid).and_then(|guest| guest.pool.clone());
        match old.filter(|old| old != id) {
            Some(old) => {
                home.entry(old).or_default().insert(*vmid);
            }
            None => {
                guests_out.insert(*vmid);
            }
        }
    }
    let mut actions = vec![Action::UpdatePool {
        id: id.clone(),
        comment: comment.as_ref().map(|_| {
            before
                .pools
                .get(id)
                .and_then(|pool| pool.comment.clone())
                .unwrap_or_default()
        }),
        guests_add: guests_remove.clone(),
        guests_remove: guests_out,
        storages_add: storages_remove.clone(),
        storages_remove: storages_add.clone(),
    }];
    for (old, guests) in home {
        actions.push(Action::UpdatePool {
            id: old,
            comment: None,
            guests_add: guests,
            guests_remove: BTreeSet::new(),
            storages_add: BTreeSet::new(),
            storages_remove: BTreeSet::new(),
        });
    }
    Inverse::Actions {
        actions,
        remains: Vec::new(),
    }
}
