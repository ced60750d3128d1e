//! Order: drafts become numbered steps that respect every need, the same way every time. Steps that touch one file (a guest's
//! configuration, `storage.cfg`, a pool's members) are put one after the other, because each sends the digest the one before left.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftId};
use super::error::Reason;
use super::model::StepId;
use crate::ids::{PoolId, StorageId, Vmid};
use crate::world::predict::{cloned_section, restored_to};
use crate::world::{Action, Param, Params, World, views};

/// A draft with its number and the numbers of what it needs.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub id: StepId,
    pub needs: BTreeSet<StepId>,
    pub draft: Draft,
}

/// The order of drafts: by needs first, then by phase, object and the order they were written in.
pub(super) fn line(drafts: &[Draft]) -> Result<Vec<DraftId>, Reason> {
    let keys: Vec<_> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| (draft.phase, sort_key(&draft.action), index))
        .collect();
    let mut waiting: Vec<usize> = drafts.iter().map(|draft| draft.needs.len()).collect();
    let mut wanted_by: BTreeMap<DraftId, Vec<DraftId>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for need in &draft.needs {
            wanted_by.entry(*need).or_default().push(index);
        }
    }
    let mut ready: BTreeSet<_> = keys
        .iter()
        .filter(|(_, _, index)| waiting.get(*index) == Some(&0))
        .cloned()
        .collect();
    let mut line = Vec::with_capacity(drafts.len());
    while let Some((_, _, index)) = ready.pop_first() {
        line.push(index);
        for next in wanted_by.get(&index).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*next) {
                *count -= 1;
                if *count == 0
                    && let Some(key) = keys.get(*next)
                {
                    ready.insert(key.clone());
                }
            }
        }
    }
    if line.len() != drafts.len() {
        let placed: BTreeSet<_> = line.iter().copied().collect();
        let steps: Vec<_> = drafts
            .iter()
            .enumerate()
            .filter(|(index, _)| !placed.contains(index))
            .map(|(_, draft)| draft.title.as_str())
            .collect();
        return Err(Reason::Circle {
            steps: steps.join("; "),
        });
    }
    Ok(line)
}

/// Numbers drafts along a line and chains those that touch the same file. A draft that is not in the line is left out.
pub(super) fn number(drafts: Vec<Draft>, line: &[DraftId], world: &World) -> Vec<Ordered> {
    let ids: BTreeMap<DraftId, StepId> = line
        .iter()
        .zip(1..)
        .map(|(index, number)| (*index, StepId(number)))
        .collect();
    let mut by_index: BTreeMap<DraftId, Draft> = drafts.into_iter().enumerate().collect();
    let mut last: BTreeMap<String, StepId> = BTreeMap::new();
    let mut storages = InUse::default();
    let mut steps = Vec::with_capacity(line.len());
    for index in line {
        let (Some(id), Some(draft)) = (ids.get(index).copied(), by_index.remove(index)) else {
            continue;
        };
        let mut needs: BTreeSet<StepId> = draft
            .needs
            .iter()
            .filter_map(|need| ids.get(need).copied())
            .collect();
        for file in files(&draft.action, world) {
            if let Some(before) = last.insert(file, id) {
                needs.insert(before);
            }
        }
        needs.extend(storages.take(id, &draft.action, world));
        steps.push(Ordered { id, needs, draft });
    }
    steps
}

/// Which steps so far work with which storage. A change of a storage's definition comes after everything that worked with the storage
/// before it, and before everything that does so later: otherwise whichever is faster decides.
#[derive(Debug, Default)]
struct InUse {
    defined: BTreeMap<StorageId, StepId>,
    used: BTreeMap<StorageId, BTreeSet<StepId>>,
    /// What earlier steps have worked with for a guest: a guest that the plan makes has its disks there.
    of_guest: BTreeMap<Vmid, BTreeSet<StorageId>>,
}

impl InUse {
    /// Takes a step down; what it has to wait for.
    fn take(&mut self, step: StepId, action: &Action, world: &World) -> BTreeSet<StepId> {
        let mut needs = BTreeSet::new();
        if let Action::CreateStorage { id, .. }
        | Action::UpdateStorage { id, .. }
        | Action::DeleteStorage { id } = action
        {
            needs.extend(self.used.remove(id).unwrap_or_default());
            needs.extend(self.defined.insert(id.clone(), step));
            return needs;
        }
        let mut all = worked_with(action, world);
        if let Some((_, vmid)) = action.guest() {
            let so_far = self.of_guest.entry(vmid).or_default();
            so_far.extend(all.iter().cloned());
            all.clone_from(so_far);
        }
        for id in all {
            needs.extend(self.defined.get(&id));
            self.used.entry(id).or_default().insert(step);
        }
        needs
    }
}

/// The storages that have to be there while an action is carried out.
fn worked_with(action: &Action, world: &World) -> BTreeSet<StorageId> {
    let of_guest = |vmid: &Vmid| -> BTreeSet<StorageId> {
        let guest = world.guests.get(vmid);
        let disks = guest
            .map(|guest| views::disks(guest.kind, &guest.config.next_start()))
            .unwrap_or_default();
        let volumes = disks.iter().filter_map(|disk| disk.source.volume());
        volumes.map(|volume| volume.storage().clone()).collect()
    };
    // New disks as well as kept ones, media and templates: `STORAGE:…`.
    let in_params = |params: &Params| -> BTreeSet<StorageId> {
        let plain = params.iter().filter_map(|(key, param)| match param {
            Param::Plain(text) => Some((key, text)),
            Param::Secret { .. } => None,
        });
        plain
            .flat_map(|(key, text)| {
                let whole = (key == "storage").then(|| text.clone());
                let volumes = text.split(',').filter_map(|part| {
                    let part = part.rsplit('=').next().unwrap_or(part);
                    part.split_once(':').map(|(storage, _)| storage.to_owned())
                });
                whole.into_iter().chain(volumes).collect::<Vec<_>>()
            })
            .filter_map(|name| StorageId::new(&name).ok())
            .collect()
    };
    match action {
        Action::CreateGuest { params, .. } => in_params(params),
        Action::CloneGuest {
            source,
            snapshot,
            storage,
            ..
        } => {
            let mut all = of_guest(source);
            if let Some(guest) = world.guests.get(source)
                && let Some(section) = cloned_section(guest, snapshot.as_ref())
            {
                let disks = views::disks(guest.kind, section);
                let volumes = disks.iter().filter_map(|disk| disk.source.volume());
                all.extend(volumes.map(|volume| volume.storage().clone()));
            }
            all.extend(storage.clone());
            all
        }
        Action::RestoreGuest {
            kind,
            archive,
            storage,
            config,
            ..
        } => {
            let mut all: BTreeSet<StorageId> = restored_to(*kind, config, storage.as_ref())
                .into_iter()
                .collect();
            all.insert(archive.storage().clone());
            all
        }
        Action::ConvertToTemplate { vmid, .. } | Action::RegenerateCloudInit { vmid } => {
            of_guest(vmid)
        }
        Action::UpdateConfig {
            kind, vmid, set, ..
        } => {
            let mut all = in_params(set);
            // Hot-plugging and pending changes touch the disks that are there.
            if set.keys().any(|key| views::is_disk_key(*kind, key)) {
                all.extend(of_guest(vmid));
            }
            all
        }
        Action::ResizeDisk { vmid, .. }
        | Action::DetachDisk { vmid, .. }
        | Action::FreeDisk { vmid, .. }
        | Action::DestroyGuest { vmid, .. }
        | Action::SetPower { vmid, .. }
        | Action::SetHaState { vmid, .. }
        | Action::TakeSnapshot { vmid, .. }
        | Action::DeleteSnapshot { vmid, .. } => of_guest(vmid),
        Action::MoveDisk { vmid, to, .. } => {
            let mut all = of_guest(vmid);
            all.insert(to.clone());
            all
        }
        Action::Migrate {
            vmid,
            target_storage,
            ..
        } => {
            let mut all = of_guest(vmid);
            all.extend(target_storage.values().cloned());
            all
        }
        Action::DeleteVolume { volume, .. }
        | Action::DownloadImage { volume, .. }
        | Action::ProtectBackup { volume, .. }
        | Action::DeleteBackup { volume, .. }
        | Action::DeleteImage { volume, .. } => [volume.storage().clone()].into(),
        Action::BackUpGuest { vmid, storage, .. } => {
            let mut all = of_guest(vmid);
            all.insert(storage.clone());
            all
        }
        Action::RemoveHaResource { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        // A job only names its storages; when it runs it needs them.
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::DescribeSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => BTreeSet::new(),
    }
}

/// The object an action is about, padded so that numbers sort as numbers.
fn sort_key(action: &Action) -> String {
    if let Action::Firewall(action) = action {
        return action.object();
    }
    match action.guest() {
        Some((_, vmid)) => format!("guest/{:09}", vmid.get()),
        None => match action {
            Action::CreateStorage { id, .. }
            | Action::UpdateStorage { id, .. }
            | Action::DeleteStorage { id } => format!("storage/{id}"),
            Action::CreatePool { id, .. }
            | Action::UpdatePool { id, .. }
            | Action::DeletePool { id } => format!("pool/{id}"),
            Action::CreateBackupJob { id, .. }
            | Action::UpdateBackupJob { id, .. }
            | Action::DeleteBackupJob { id } => format!("backup-job/{id}"),
            Action::CreateReplicationJob { id, .. }
            | Action::UpdateReplicationJob { id, .. }
            | Action::DeleteReplicationJob { id } => format!("replication-job/{id}"),
            Action::Account(action) => action.object(),
            Action::DeleteVolume { volume, .. }
            | Action::ProtectBackup { volume, .. }
            | Action::DeleteBackup { volume, .. } => format!("volume/{volume}"),
            Action::DownloadImage { node, volume, .. }
            | Action::DeleteImage { node, volume, .. } => format!("image/{node}/{volume}"),
            Action::CreateGuest { .. }
            | Action::CloneGuest { .. }
            | Action::RestoreGuest { .. }
            | Action::ConvertToTemplate { .. }
            | Action::RegenerateCloudInit { .. }
            | Action::UpdateConfig { .. }
            | Action::ResizeDisk { .. }
            | Action::MoveDisk { .. }
            | Action::DetachDisk { .. }
            | Action::FreeDisk { .. }
            | Action::SetPower { .. }
            | Action::SetHaState { .. }
            | Action::RemoveHaResource { .. }
            | Action::Migrate { .. }
            | Action::TakeSnapshot { .. }
            | Action::DescribeSnapshot { .. }
            | Action::DeleteSnapshot { .. }
            | Action::BackUpGuest { .. }
            | Action::Firewall(_)
            | Action::DestroyGuest { .. } => String::new(),
        },
    }
}

/// Whether entries of the access control list go with what an action takes away.
fn loses_entries(action: &Action, world: &World) -> bool {
    let path = match action {
        Action::DestroyGuest { vmid, .. } => format!("/vms/{vmid}"),
        Action::DeleteStorage { id } => format!("/storage/{id}"),
        Action::DeletePool { id } => format!("/pool/{id}"),
        _ => return false,
    };
    world.acl.iter().any(|entry| entry.path == path)
}

/// The files an action reads or writes as a whole.
fn files(action: &Action, world: &World) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut pool = |id: &PoolId| {
        files.insert(format!("pool/{id}"));
    };
    match action {
        Action::CreateGuest { pool: Some(id), .. }
        | Action::CloneGuest { pool: Some(id), .. }
        | Action::RestoreGuest { pool: Some(id), .. } => {
            pool(id);
        }
        Action::DestroyGuest { vmid, .. } => {
            if let Some(id) = world.guests.get(vmid).and_then(|guest| guest.pool.as_ref()) {
                pool(id);
            }
        }
        Action::CreatePool { id, .. } | Action::DeletePool { id } => pool(id),
        Action::UpdatePool { id, guests_add, .. } => {
            pool(id);
            for old in guests_add
                .iter()
                .filter_map(|vmid| world.guests.get(vmid))
                .filter_map(|guest| guest.pool.as_ref())
            {
                pool(old);
            }
        }
        Action::DeleteStorage { id } => {
            for (name, members) in &world.pools {
                if members.storages.contains(id) {
                    pool(name);
                }
            }
        }
        Action::CreateGuest { pool: None, .. }
        | Action::CloneGuest { pool: None, .. }
        | Action::RestoreGuest { pool: None, .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::Migrate { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. } => {}
        Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::BackUpGuest { .. } => {}
        Action::ProtectBackup { volume, .. } | Action::DeleteBackup { volume, .. } => {
            files.insert(format!("volume/{volume}"));
        }
        // Its task says only the file's name: two of one name at once could not be told apart if an answer were lost.
        Action::DownloadImage { node, volume, .. } => {
            let file = volume.name().rsplit('/').next().unwrap_or_default();
            files.insert(format!("download/{node}/{file}"));
        }
        Action::DeleteImage { .. } => {}
        // One file without a digest: each step is judged by what the one before it left.
        Action::Account(_) => {
            files.insert("accounts".to_owned());
        }
        // They refer to each other, and what allows comes before what forbids.
        Action::Firewall(_) => {
            files.insert("firewall".to_owned());
        }
    }
    if loses_entries(action, world) {
        files.insert("accounts".to_owned());
    }
    if let Some((_, vmid)) = action.guest() {
        files.insert(format!("guest/{vmid}"));
    }
    // Clones of one source one after the other: Proxmox VE locks it, and their tasks all carry its number.
    if let Action::CloneGuest { source, .. } = action {
        files.insert(format!("guest/{source}"));
    }
    if matches!(
        action,
        Action::CreateStorage { .. } | Action::UpdateStorage { .. } | Action::DeleteStorage { .. }
    ) {
        files.insert("storage.cfg".to_owned());
    }
    // A purged guest is taken out of the backup jobs, which have no digest.
    if matches!(
        action,
        Action::CreateBackupJob { .. }
            | Action::UpdateBackupJob { .. }
            | Action::DeleteBackupJob { .. }
            | Action::DestroyGuest { purge: true, .. }
    ) {
        files.insert("jobs.cfg".to_owned());
    }
    // So is it of the replication jobs; and a migration turns them round.
    match action {
        Action::CreateReplicationJob { id, .. }
        | Action::UpdateReplicationJob { id, .. }
        | Action::DeleteReplicationJob { id } => {
            files.insert("replication.cfg".to_owned());
            files.extend(id.guest().map(|vmid| format!("guest/{vmid}")));
        }
        Action::DestroyGuest { purge: true, .. } => {
            files.insert("replication.cfg".to_owned());
        }
        Action::Migrate { vmid, .. }
            if world
                .replication_jobs
                .values()
                .any(|job| job.guest == *vmid) =>
        {
            files.insert("replication.cfg".to_owned());
        }
        _ => {}
    }
    files
}
