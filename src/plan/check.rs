//! The judge: looks at a finished plan by rules of its own and shares no code with the planner, so that a mistake there is caught
//! here. It sees the plan and nothing else. A plan with findings is a bug and is refused.

mod account;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use super::model::{Inverse, Plan, Precondition, Risk, Step, StepId};
use crate::health::Category;
use crate::ids::{PoolId, StorageId, Vmid};
use crate::world::{Action, Param, Params, PowerAction, Status};

/// Something a plan must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The step, if it is about one.
    pub step: Option<StepId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "step {step}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Judges a plan. Empty means it may be shown to people.
pub fn check(plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    whole(plan, &mut findings);
    numbers(plan, &mut findings);
    for step in &plan.steps {
        let mut say = |what: String| {
            findings.push(Finding {
                step: Some(step.id),
                what,
            });
        };
        inverse(plan, step, &mut say);
        preconditions(step, &mut say);
        parameters(plan, step, &mut say);
    }
    references(plan, &mut findings);
    trial::trials(plan, &mut findings);
    findings
}

fn whole(plan: &Plan, findings: &mut Vec<Finding>) {
    let mut say = |what: String| findings.push(Finding { step: None, what });
    match own_hash(plan) {
        Some(hash) if hash == plan.hash.0 => {}
        Some(hash) => say(format!(
            "the hash is {hash}, and the plan says {}",
            plan.hash
        )),
        None => say("the plan has no canonical JSON".to_owned()),
    }
    let ids: BTreeSet<_> = plan.impacts.iter().map(|impact| &impact.id).collect();
    if ids.len() != plan.impacts.len() {
        say("two impacts have the same id".to_owned());
    }
    let unknown = plan
        .impacts
        .iter()
        .any(|impact| impact.category == Category::Unknown);
    if plan.complete && (!plan.unknowns.is_empty() || unknown) {
        say("the plan calls itself complete and has unknowns".to_owned());
    }
    if (!plan.unknowns.is_empty() || unknown) && plan.risk != Risk::Unknown {
        say(format!("the plan has unknowns and risk {}", plan.risk));
    }
    if plan.risk == Risk::None && (!plan.steps.is_empty() || !plan.impacts.is_empty()) {
        say("the plan does something and has risk none".to_owned());
    }
    if plan.risk == Risk::Low && !plan.impacts.is_empty() {
        say("something gets worse and the risk is low".to_owned());
    }
    let steps: BTreeSet<_> = plan.steps.iter().map(|step| step.id).collect();
    for impact in &plan.impacts {
        if let Some(step) = impact.steps.iter().find(|step| !steps.contains(step)) {
            say(format!(
                "impact {} names step {step}, which there is not",
                impact.id
            ));
        }
        if impact.rule.is_empty() || impact.entity.is_empty() {
            say(format!("impact {} names no rule or no entity", impact.id));
        }
    }
}

fn own_hash(plan: &Plan) -> Option<String> {
    let mut value = serde_json::to_value(plan).ok()?;
    value.as_object_mut()?.remove("hash")?;
    let text = serde_json_canonicalizer::to_string(&value).ok()?;
    let mut sha = Sha256::new();
    sha.update(text.as_bytes());
    Some(format!("sha256:{}", hex::encode(sha.finalize())))
}

fn numbers(plan: &Plan, findings: &mut Vec<Finding>) {
    for (step, number) in plan.steps.iter().zip(1u32..) {
        let mut say = |what: String| {
            findings.push(Finding {
                step: Some(step.id),
                what,
            });
        };
        if step.id.0 != number {
            say(format!("it stands at place {number}"));
        }
        for need in &step.needs {
            if need.0 == 0 || *need >= step.id {
                say(format!(
                    "it needs step {need}, which does not come before it"
                ));
            }
        }
        if step.title.is_empty() || step.title.chars().any(char::is_control) {
            say("its title is empty or holds control characters".to_owned());
        }
    }
}

fn inverse(plan: &Plan, step: &Step, say: &mut impl FnMut(String)) {
    match &step.inverse {
        Inverse::Actions { actions, remains } => {
            if actions.is_empty() && remains.is_empty() {
                say("its inverse does nothing and does not say so".to_owned());
            }
        }
        Inverse::Irreversible { why } => {
            if why.is_empty() {
                say("it cannot be taken back and does not say why".to_owned());
            }
            let told = plan.impacts.iter().any(|impact| {
                impact.steps.contains(&step.id)
                    && matches!(
                        impact.category,
                        Category::Irreversible
                            | Category::DataLost
                            | Category::LastCopy
                            | Category::Restarted
                    )
            });
            if !told {
                say("it cannot be taken back, and no impact says so".to_owned());
            }
        }
    }
}

/// Every write has what must still be so; what destroys has an identity.
fn preconditions(step: &Step, say: &mut impl FnMut(String)) {
    let has = |wanted: &dyn Fn(&Precondition) -> bool| step.preconditions.iter().any(wanted);
    let identity = |vmid: Vmid| {
        has(&|p| matches!(p, Precondition::Identity { vmid: v, .. } if *v == vmid))
            && has(&|p| matches!(p, Precondition::OnNode { vmid: v, .. } if *v == vmid))
    };
    let digest = |vmid: Vmid| {
        has(&|p| {
            matches!(p, Precondition::ConfigDigest { vmid: v, digest, after }
            if *v == vmid && (digest.is_some() || after.is_some()))
        })
    };
    let status = |vmid: Vmid| {
        has(
            &|p| matches!(p, Precondition::Status { vmid: v, status } if *v == vmid && *status != Status::Unknown),
        )
    };
    let stopped = |vmid: Vmid| {
        has(
            &|p| matches!(p, Precondition::Status { vmid: v, status: Status::Stopped } if *v == vmid),
        )
    };
    let storage = |wanted: &StorageId| {
        has(&|p| {
            matches!(p, Precondition::StorageIs { id, digest, after, .. }
            if id == wanted && (digest.is_some() || after.is_some()))
        })
    };
    let pool =
        |wanted: &PoolId| has(&|p| matches!(p, Precondition::PoolIs { id, .. } if id == wanted));
    let good = match &step.action {
        Action::CreateGuest { vmid, .. } => {
            has(&|p| matches!(p, Precondition::GuestAbsent { vmid: v } if v == vmid))
        }
        Action::CloneGuest { vmid, source, .. } => {
            has(&|p| matches!(p, Precondition::GuestAbsent { vmid: v } if v == vmid))
                && identity(*source)
                && digest(*source)
        }
        Action::RestoreGuest { vmid, archive, .. } => {
            has(&|p| matches!(p, Precondition::GuestAbsent { vmid: v } if v == vmid))
                && has(&|p| matches!(p, Precondition::VolumeIs { volume: v, .. } if v == archive))
        }
        Action::ConvertToTemplate { vmid, .. } => {
            identity(*vmid) && digest(*vmid) && stopped(*vmid)
        }
        Action::UpdateConfig { vmid, .. }
        | Action::RegenerateCloudInit { vmid }
        | Action::ResizeDisk { vmid, .. }
        | Action::MoveDisk { vmid, .. }
        | Action::DetachDisk { vmid, .. }
        | Action::FreeDisk { vmid, .. } => identity(*vmid) && digest(*vmid),
        Action::SetPower { vmid, .. } | Action::Migrate { vmid, .. } => {
            identity(*vmid) && status(*vmid)
        }
        Action::SetHaState { vmid, .. } | Action::RemoveHaResource { vmid, .. } => {
            identity(*vmid)
                && has(
                    &|p| matches!(p, Precondition::HaState { vmid: v, state: Some(_) } if v == vmid),
                )
        }
        Action::DestroyGuest { vmid, .. } => identity(*vmid) && digest(*vmid) && stopped(*vmid),
        Action::CreateStorage { id, .. } => {
            has(&|p| matches!(p, Precondition::StorageAbsent { id: i } if i == id))
        }
        Action::UpdateStorage { id, .. } | Action::DeleteStorage { id } => storage(id),
        Action::DeleteVolume { volume, .. } => {
            has(&|p| matches!(p, Precondition::VolumeExists { volume: v, .. } if v == volume))
        }
        Action::DownloadImage { volume, .. } => {
            has(&|p| matches!(p, Precondition::VolumeAbsent { volume: v, .. } if v == volume))
        }
        Action::DeleteImage { volume, .. } => {
            has(&|p| matches!(p, Precondition::VolumeIs { volume: v, .. } if v == volume))
        }
        Action::CreatePool { id, .. } => {
            has(&|p| matches!(p, Precondition::PoolAbsent { id: i } if i == id))
        }
        Action::UpdatePool { id, .. } | Action::DeletePool { id } => pool(id),
        Action::CreateBackupJob { id, .. } => {
            has(&|p| matches!(p, Precondition::BackupJobAbsent { id: i } if i == id))
        }
        Action::UpdateBackupJob { id, .. } | Action::DeleteBackupJob { id } => {
            has(&|p| matches!(p, Precondition::BackupJobIs { id: i, .. } if i == id))
        }
        Action::TakeSnapshot { vmid, name, .. } => {
            identity(*vmid)
                && has(
                    &|p| matches!(p, Precondition::SnapshotAbsent { vmid: v, name: n } if v == vmid && n == name),
                )
        }
        Action::DescribeSnapshot { vmid, name, .. } | Action::DeleteSnapshot { vmid, name, .. } => {
            identity(*vmid)
                && has(
                    &|p| matches!(p, Precondition::SnapshotIs { vmid: v, name: n, .. } if v == vmid && n == name),
                )
        }
        Action::BackUpGuest { vmid, .. } => identity(*vmid) && digest(*vmid) && stopped(*vmid),
        Action::ProtectBackup { volume, .. } | Action::DeleteBackup { volume, .. } => {
            has(&|p| matches!(p, Precondition::BackupIs { volume: v, .. } if v == volume))
        }
        Action::CreateReplicationJob { id, .. } => {
            has(&|p| matches!(p, Precondition::ReplicationJobAbsent { id: i } if i == id))
        }
        Action::UpdateReplicationJob { id, .. } | Action::DeleteReplicationJob { id } => {
            has(&|p| matches!(p, Precondition::ReplicationJobIs { id: i, .. } if i == id))
        }
        Action::Account(action) => account::guarded(action, &step.preconditions),
        Action::Firewall(action) => {
            let (at, what, new) = (action.site().place(), action.part(), action.makes());
            let guest = action.guest().is_none_or(|(_, vmid)| identity(vmid));
            guest
                && has(&|p| {
                    matches!(p, Precondition::FirewallIs { place, part, state }
                        if *place == at && *part == what && state.is_none() == new.is_some())
                })
        }
    };
    if !good {
        say("it lacks a precondition that its action must have".to_owned());
    }
}

/// `STORAGE:SIZE`, which makes a new volume.
fn makes_volume(value: &str) -> bool {
    let first = value.split(',').next().unwrap_or_default();
    let first = first
        .strip_prefix("file=")
        .or_else(|| first.strip_prefix("volume="))
        .unwrap_or(first);
    first.split_once(':').is_some_and(|(_, size)| {
        !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

fn data_slot(key: &str) -> bool {
    let name = key.trim_end_matches(|c: char| c.is_ascii_digit());
    key == "rootfs"
        || (name.len() < key.len()
            && [
                "scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "mp", "unused",
            ]
            .contains(&name))
}

fn plain<'a>(params: &'a Params, key: &str) -> Option<&'a str> {
    match params.get(key) {
        Some(Param::Plain(value)) => Some(value),
        Some(Param::Secret { .. }) | None => None,
    }
}

fn parameters(plan: &Plan, step: &Step, say: &mut impl FnMut(String)) {
    let Action::UpdateConfig {
        kind,
        vmid,
        set,
        delete,
    } = &step.action
    else {
        return;
    };
    if set.is_empty() && delete.is_empty() {
        say("it writes nothing".to_owned());
    }
    for key in set.keys() {
        if delete.contains(key) {
            say(format!("it sets and deletes {key}"));
        }
        if matches!(plain(set, key), Some(value) if makes_volume(value)) && data_slot(key) {
            let object = format!("{}/{vmid}", kind.word());
            let used = plan.changes.iter().any(|change| {
                change.object == object && change.field == *key && change.before.is_some()
            });
            let emptied = matches!(&step.inverse, Inverse::Actions { actions, .. }
                if actions.iter().any(|action| matches!(action,
                    Action::DetachDisk { slot, .. } if slot.as_str() == key)));
            if used || !emptied {
                say(format!("it makes a new volume in {key}, which is used"));
            }
        }
    }
    for key in delete {
        if ["rootfs", "efidisk0", "tpmstate0"].contains(&key.as_str())
            || key.starts_with("unused")
            || (key.starts_with("mp") && data_slot(key))
        {
            say(format!(
                "it deletes the data slot {key} as if it were an option"
            ));
        }
    }
}

/// What a step refers to is made before it, and what it destroys is not needed after it.
fn references(plan: &Plan, findings: &mut Vec<Finding>) {
    let before = ancestors(plan);
    let mut guests_made: BTreeMap<Vmid, StepId> = BTreeMap::new();
    let mut storages_made: BTreeMap<&StorageId, StepId> = BTreeMap::new();
    let mut pools_made: BTreeMap<&PoolId, StepId> = BTreeMap::new();
    for step in &plan.steps {
        match &step.action {
            Action::CreateGuest { vmid, .. }
            | Action::CloneGuest { vmid, .. }
            | Action::RestoreGuest { vmid, .. } => {
                guests_made.insert(*vmid, step.id);
            }
            Action::CreateStorage { id, .. } => {
                storages_made.insert(id, step.id);
            }
            Action::CreatePool { id, .. } => {
                pools_made.insert(id, step.id);
            }
            _ => {}
        }
    }
    for step in &plan.steps {
        let mut wants: BTreeSet<(StepId, String)> = BTreeSet::new();
        let after_itself = |made: Option<&StepId>| made.copied().filter(|made| *made != step.id);
        if let Some((kind, vmid)) = step.action.guest()
            && let Some(made) = after_itself(guests_made.get(&vmid))
        {
            wants.insert((made, format!("{}/{vmid}", kind.word())));
        }
        for id in storages_used(&step.action) {
            if let Some(made) = after_itself(storages_made.get(&id)) {
                wants.insert((made, format!("storage/{id}")));
            }
        }
        if let Some(id) = pool_used(&step.action)
            && let Some(made) = after_itself(pools_made.get(id))
        {
            wants.insert((made, format!("pool/{id}")));
        }
        if let Action::UpdatePool { guests_add, .. } = &step.action {
            for vmid in guests_add {
                if let Some(made) = guests_made.get(vmid) {
                    wants.insert((*made, format!("guest {vmid}")));
                }
            }
        }
        if let Action::CloneGuest { source, .. } = &step.action
            && let Some(made) = guests_made.get(source)
        {
            wants.insert((*made, format!("guest {source}")));
        }
        // A guest that is destroyed is stopped and out of HA first, and nothing follows for it.
        if let Action::DestroyGuest { vmid, .. } = &step.action {
            for other in &plan.steps {
                let cloned = matches!(&other.action,
                    Action::CloneGuest { source, .. } if source == vmid);
                let same = other.action.guest().is_some_and(|(_, v)| v == *vmid);
                if other.id != step.id && (same || cloned) {
                    wants.insert((other.id, format!("step {} of the same guest", other.id)));
                }
                if let Action::SetPower {
                    vmid: v,
                    power: PowerAction::Start,
                    ..
                } = &other.action
                    && v == vmid
                {
                    findings.push(Finding {
                        step: Some(step.id),
                        what: "it destroys a guest that the plan starts".to_owned(),
                    });
                }
            }
        }
        if let Action::CreateBackupJob { params: set, .. } | Action::UpdateBackupJob { set, .. } =
            &step.action
        {
            for vmid in plain(set, "vmid").unwrap_or_default().split(',') {
                let made = vmid.parse().ok().and_then(|vmid| guests_made.get(&vmid));
                wants.extend(made.map(|made| (*made, format!("guest {vmid}"))));
            }
            let pool = plain(set, "pool").and_then(|pool| {
                let found = pools_made.iter().find(|(id, _)| id.as_str() == pool);
                found.map(|(_, made)| (*made, format!("pool/{pool}")))
            });
            wants.extend(pool);
        }
        if let Action::CreateReplicationJob { id, .. } = &step.action {
            let made = id
                .guest()
                .and_then(|vmid| Some((vmid, guests_made.get(&vmid)?)));
            wants.extend(made.map(|(vmid, made)| (*made, format!("guest {vmid}"))));
        }
        wants.extend(account::waits_for(plan, step));
        // Moves away from a storage come before the storage goes.
        if let Action::DeleteStorage { id } = &step.action {
            for other in &plan.steps {
                if let Action::MoveDisk { volume, .. } = &other.action
                    && volume.storage() == id
                {
                    wants.insert((other.id, format!("the move of {volume}")));
                }
            }
        }
        for precondition in &step.preconditions {
            if let Precondition::ConfigDigest {
                after: Some(after), ..
            }
            | Precondition::StorageIs {
                after: Some(after), ..
            } = precondition
            {
                wants.insert((*after, "the digest it leaves".to_owned()));
            }
        }
        let known = before.get(&step.id);
        for (need, what) in wants {
            if !known.is_some_and(|known| known.contains(&need)) {
                findings.push(Finding {
                    step: Some(step.id),
                    what: format!("it does not wait for step {need} ({what})"),
                });
            }
        }
    }
}

fn storages_used(action: &Action) -> BTreeSet<StorageId> {
    let in_params = |params: &Params| {
        params
            .values()
            .filter_map(|param| match param {
                Param::Plain(value) => value
                    .split(',')
                    .next()
                    .and_then(|first| first.split_once(':'))
                    .and_then(|(storage, _)| StorageId::new(storage).ok()),
                Param::Secret { .. } => None,
            })
            .collect()
    };
    match action {
        Action::CreateGuest { params, .. } => in_params(params),
        Action::CloneGuest { storage, .. } => storage.iter().cloned().collect(),
        Action::RestoreGuest {
            archive, storage, ..
        } => {
            let on = storage.iter().cloned();
            on.chain([archive.storage().clone()]).collect()
        }
        Action::UpdateConfig { set, .. } => in_params(set),
        Action::MoveDisk { to, .. } => BTreeSet::from([to.clone()]),
        Action::DownloadImage { volume, .. } => BTreeSet::from([volume.storage().clone()]),
        Action::BackUpGuest { storage, .. } => BTreeSet::from([storage.clone()]),
        Action::UpdatePool { storages_add, .. } => storages_add.clone(),
        Action::CreateBackupJob { params: set, .. } | Action::UpdateBackupJob { set, .. } => {
            let target = plain(set, "storage");
            let fleecing = plain(set, "fleecing")
                .into_iter()
                .flat_map(|text| text.split(','));
            let fleecing = fleecing.filter_map(|part| part.strip_prefix("storage="));
            let named = target.into_iter().chain(fleecing);
            named.filter_map(|id| StorageId::new(id).ok()).collect()
        }
        Action::Migrate { target_storage, .. } => target_storage.values().cloned().collect(),
        Action::UpdateStorage { id, .. } => BTreeSet::from([id.clone()]),
        Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::ResizeDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::DestroyGuest { .. }
        | Action::CreateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::DeletePool { .. }
        | Action::DeleteBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => BTreeSet::new(),
    }
}

fn pool_used(action: &Action) -> Option<&PoolId> {
    match action {
        Action::CreateGuest { pool, .. }
        | Action::CloneGuest { pool, .. }
        | Action::RestoreGuest { pool, .. } => pool.as_ref(),
        Action::UpdatePool { id, .. } => Some(id),
        _ => None,
    }
}

/// For each step, everything that surely ended before it.
fn ancestors(plan: &Plan) -> BTreeMap<StepId, BTreeSet<StepId>> {
    let mut all: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
    for step in &plan.steps {
        let mut known = step.needs.clone();
        for need in &step.needs {
            if let Some(more) = all.get(need) {
                known.extend(more.iter().copied());
            }
        }
        all.insert(step.id, known);
    }
    all
}
