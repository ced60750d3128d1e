//! Order: drafts become numbered steps that respect every need, the same way every time. Steps that touch one file (a guest's
//! configuration, `storage.cfg`, a pool's members) are put one after the other, because each sends the digest the one before left.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftId};
use super::error::Reason;
use super::model::StepId;
use crate::ids::PoolId;
use crate::world::{Action, World};

/// A draft with its number and the numbers of what it needs.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub id: StepId,
    pub needs: BTreeSet<StepId>,
    pub draft: Draft,
}

/// Puts drafts in order: by needs first, then by phase, object and the order they were written in.
pub(super) fn order(drafts: Vec<Draft>, world: &World) -> Result<Vec<Ordered>, Reason> {
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
    Ok(number(drafts, &line, world))
}

/// Numbers drafts along a line and chains those that touch the same file.
fn number(drafts: Vec<Draft>, line: &[DraftId], world: &World) -> Vec<Ordered> {
    let ids: BTreeMap<DraftId, StepId> = line
        .iter()
        .zip(1..)
        .map(|(index, number)| (*index, StepId(number)))
        .collect();
    let mut by_index: BTreeMap<DraftId, Draft> = drafts.into_iter().enumerate().collect();
    let mut last: BTreeMap<String, StepId> = BTreeMap::new();
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
        steps.push(Ordered { id, needs, draft });
    }
    steps
}

/// The object an action is about, padded so that numbers sort as numbers.
fn sort_key(action: &Action) -> String {
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
            Action::DeleteVolume { volume, .. } => format!("volume/{volume}"),
            Action::CreateGuest { .. }
            | Action::UpdateConfig { .. }
            | Action::ResizeDisk { .. }
            | Action::MoveDisk { .. }
            | Action::DetachDisk { .. }
            | Action::FreeDisk { .. }
            | Action::SetPower { .. }
            | Action::SetHaState { .. }
            | Action::RemoveHaResource { .. }
            | Action::Migrate { .. }
            | Action::DestroyGuest { .. } => String::new(),
        },
    }
}

/// The files an action reads or writes as a whole.
fn files(action: &Action, world: &World) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut pool = |id: &PoolId| {
        files.insert(format!("pool/{id}"));
    };
    match action {
        Action::CreateGuest { pool: Some(id), .. } => pool(id),
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
        | Action::DeleteBackupJob { .. } => {}
    }
    if let Some((_, vmid)) = action.guest() {
        files.insert(format!("guest/{vmid}"));
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
    files
}
