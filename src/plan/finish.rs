//! The last stretch: drafts get their order, are tried on the world one after the other, and become a plan with preconditions,
//! inverses, privileges, impacts, risk and hash.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{DraftId, Drafts, Phase, Planner};
use super::error::{PlanError, Problem, Reason};
use super::firewall::put_trials;
use super::guard::{self, Written};
use super::impacts::Watch;
use super::input::PlanInput;
use super::invert::inverse;
use super::model::{Impact, Plan, PlanHash, Step};
use super::order::{Ordered, line, number};
use super::privileges::privileges;
use super::version::{self, Unchecked};
use super::{hash, risk};
use crate::health::Category;
use crate::ids::{StorageId, Vmid};
use crate::proxmox::property::split_list;
use crate::world::predict::restored_to;
use crate::world::views;
use crate::world::{Action, BackupJob, Param, Params, Part, Selection, World};

/// The storages an action puts something on.
pub(super) fn storages_of(action: &Action) -> BTreeSet<StorageId> {
    let named = |params: &Params| -> BTreeSet<StorageId> {
        params
            .values()
            .filter_map(|param| match param {
                Param::Plain(value) => Some(value),
                Param::Secret { .. } => None,
            })
            .flat_map(|value| value.split(','))
            .filter_map(|part| {
                let part = part.split_once('=').map_or(part, |(_, value)| value);
                part.split_once(':')
            })
            .filter_map(|(storage, _)| StorageId::new(storage).ok())
            .collect()
    };
    match action {
        Action::CreateGuest { params, .. } => named(params),
        Action::CloneGuest { storage, .. } => storage.iter().cloned().collect(),
        Action::RestoreGuest {
            kind,
            storage,
            config,
            ..
        } => restored_to(*kind, config, storage.as_ref())
            .into_iter()
            .collect(),
        Action::UpdateConfig { set, .. } => named(set),
        Action::MoveDisk { to, .. } => BTreeSet::from([to.clone()]),
        Action::Migrate { target_storage, .. } => target_storage.values().cloned().collect(),
        Action::DownloadImage { volume, .. } => BTreeSet::from([volume.storage().clone()]),
        Action::BackUpGuest { storage, .. } => BTreeSet::from([storage.clone()]),
        Action::UpdatePool { storages_add, .. } => storages_add.clone(),
        Action::CreateBackupJob { params: set, .. } | Action::UpdateBackupJob { set, .. } => {
            let plain = |key: &str| match set.get(key) {
                Some(Param::Plain(value)) => Some(value.as_str()),
                Some(Param::Secret { .. }) | None => None,
            };
            let fleecing = plain("fleecing").and_then(|text| {
                text.split(',')
                    .find_map(|part| part.strip_prefix("storage="))
            });
            let named = plain("storage").into_iter().chain(fleecing);
            named.filter_map(|id| StorageId::new(id).ok()).collect()
        }
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
        | Action::UpdateStorage { .. }
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

impl Planner<'_, '_> {
    /// Needs between objects: what is made comes before what uses it, what is taken away after what still uses it.
    pub(super) fn link(&mut self) {
        let index = Index::of(&self.drafts);
        let world = self.input.world;
        let mut links: Vec<(DraftId, DraftId)> = Vec::new();
        for (id, draft) in self.drafts.steps.iter().enumerate() {
            match &draft.action {
                Action::CreateGuest { pool, .. }
                | Action::CloneGuest { pool, .. }
                | Action::RestoreGuest { pool, .. } => {
                    let made = pool.as_ref().and_then(|pool| index.pools_made.get(pool));
                    links.extend(made.map(|made| (id, *made)));
                }
                Action::UpdatePool {
                    id: pool,
                    guests_add,
                    storages_add,
                    ..
                } => {
                    links.extend(index.pools_made.get(pool).map(|made| (id, *made)));
                    for vmid in guests_add {
                        links.extend(index.guests_made.get(vmid).map(|made| (id, *made)));
                    }
                    for storage in storages_add {
                        links.extend(self.drafts.opened.get(storage).map(|made| (id, *made)));
                    }
                }
                Action::CreateBackupJob { params: set, .. }
                | Action::UpdateBackupJob { set, .. } => {
                    let named = storages_of(&draft.action);
                    let storages = named.iter().filter_map(|id| self.drafts.opened.get(id));
                    links.extend(storages.map(|made| (id, *made)));
                    if let Some(Param::Plain(pool)) = set.get("pool") {
                        let made = index.pools_made.iter().find(|(id, _)| id.as_str() == pool);
                        links.extend(made.map(|(_, made)| (id, *made)));
                    }
                    if let Some(Param::Plain(guests)) = set.get("vmid") {
                        let named = split_list(guests).filter_map(|vmid| vmid.parse().ok());
                        let made = named.filter_map(|vmid: Vmid| index.guests_made.get(&vmid));
                        links.extend(made.map(|made| (id, *made)));
                    }
                }
                // After everything else that becomes of the guest: its disks are where they shall be then.
                Action::CreateReplicationJob { id: job, .. } => {
                    let steps = job.guest().and_then(|vmid| index.guests.get(&vmid));
                    links.extend(steps.into_iter().flatten().map(|step| (id, *step)));
                }
                Action::DeletePool { id: pool } => {
                    links.extend(index.jobs_of_pool(world, pool).map(|job| (id, job)));
                    for (other, step) in self.drafts.steps.iter().enumerate() {
                        let empties = match &step.action {
                            Action::UpdatePool {
                                id: updated,
                                guests_add,
                                ..
                            } => {
                                updated == pool
                                    || guests_add
                                        .iter()
                                        .any(|vmid| pool_of(world, *vmid) == Some(pool))
                            }
                            Action::DestroyGuest { vmid, .. } => {
                                pool_of(world, *vmid) == Some(pool)
                            }
                            Action::DeleteStorage { id } => world
                                .pools
                                .get(pool)
                                .is_some_and(|pool| pool.storages.contains(id)),
                            _ => false,
                        };
                        if empties {
                            links.push((id, other));
                        }
                    }
                }
                Action::DeleteStorage { id: storage }
                | Action::UpdateStorage { id: storage, .. }
                    if draft.phase == Phase::StorageLast =>
                {
                    links.extend(
                        index
                            .users(world, storage)
                            .into_iter()
                            .map(|user| (id, user)),
                    );
                    links.extend(index.jobs_of_storage(world, storage).map(|job| (id, job)));
                    for (other, step) in self.drafts.steps.iter().enumerate() {
                        if let Action::UpdatePool {
                            storages_remove, ..
                        } = &step.action
                            && storages_remove.contains(storage)
                        {
                            links.push((id, other));
                        }
                    }
                }
                Action::DeleteSnapshot { vmid, name, .. } => {
                    // What is cloned from it in the same plan is cloned before it goes.
                    let cloned = self.drafts.steps.iter().enumerate().filter(|(_, step)| {
                        matches!(&step.action, Action::CloneGuest { source, snapshot: Some(of), .. }
                            if source == vmid && of == name)
                    });
                    links.extend(cloned.map(|(clone, _)| (id, clone)));
                }
                Action::DestroyGuest { vmid, .. } => {
                    // What is cloned in the same plan is cloned before it goes.
                    let cloned = self.drafts.steps.iter().enumerate().filter(|(_, step)| {
                        matches!(&step.action, Action::CloneGuest { source, .. } if source == vmid)
                    });
                    links.extend(cloned.map(|(clone, _)| (id, clone)));
                    links.extend(
                        index
                            .clones(world, *vmid)
                            .into_iter()
                            .map(|clone| (id, clone)),
                    );
                }
                _ => {}
            }
        }
        links.extend(self.link_images());
        links.extend(self.link_accounts());
        links.extend(self.link_firewalls());
        for (id, need) in links {
            if id != need
                && let Some(draft) = self.drafts.steps.get_mut(id)
            {
                draft.needs.insert(need);
            }
        }
    }
}

fn pool_of(world: &World, vmid: Vmid) -> Option<&crate::ids::PoolId> {
    world
        .guests
        .get(&vmid)
        .and_then(|guest| guest.pool.as_ref())
}

/// Where things are in a list of drafts.
struct Index {
    guests: BTreeMap<Vmid, Vec<DraftId>>,
    guests_made: BTreeMap<Vmid, DraftId>,
    guests_gone: BTreeMap<Vmid, DraftId>,
    pools_made: BTreeMap<crate::ids::PoolId, DraftId>,
    /// The changes and removals of backup jobs.
    jobs: BTreeMap<String, DraftId>,
}

impl Index {
    fn of(drafts: &Drafts) -> Self {
        let mut index = Self {
            guests: BTreeMap::new(),
            guests_made: BTreeMap::new(),
            guests_gone: BTreeMap::new(),
            pools_made: BTreeMap::new(),
            jobs: BTreeMap::new(),
        };
        for (id, draft) in drafts.steps.iter().enumerate() {
            if let Some((_, vmid)) = draft.action.guest() {
                index.guests.entry(vmid).or_default().push(id);
            }
            match &draft.action {
                Action::CreateGuest { vmid, .. }
                | Action::CloneGuest { vmid, .. }
                | Action::RestoreGuest { vmid, .. } => {
                    index.guests_made.insert(*vmid, id);
                }
                Action::DestroyGuest { vmid, .. } => {
                    index.guests_gone.insert(*vmid, id);
                }
                Action::CreatePool { id: pool, .. } => {
                    index.pools_made.insert(pool.clone(), id);
                }
                Action::UpdateBackupJob { id: job, .. } | Action::DeleteBackupJob { id: job } => {
                    index.jobs.insert(job.to_string(), id);
                }
                _ => {}
            }
        }
        index
    }

    /// The steps of jobs that write to a storage now.
    fn jobs_of_storage<'i>(
        &'i self,
        world: &'i World,
        storage: &'i StorageId,
    ) -> impl Iterator<Item = DraftId> + 'i {
        self.jobs_that(world, move |job| {
            [&job.storage, &job.fleecing_storage]
                .iter()
                .any(|named| named.as_deref() == Some(storage.as_str()))
        })
    }

    /// The steps of jobs that are for a pool now.
    fn jobs_of_pool<'i>(
        &'i self,
        world: &'i World,
        pool: &'i crate::ids::PoolId,
    ) -> impl Iterator<Item = DraftId> + 'i {
        self.jobs_that(
            world,
            move |job| matches!(&job.selection, Selection::Pool(named) if named == pool.as_str()),
        )
    }

    fn jobs_that<'i>(
        &'i self,
        world: &'i World,
        is: impl Fn(&BackupJob) -> bool + 'i,
    ) -> impl Iterator<Item = DraftId> + 'i {
        let steps = self.jobs.iter();
        steps.filter_map(move |(id, step)| {
            let job = world.backup_jobs.get(id)?;
            is(job).then_some(*step)
        })
    }

    /// The steps of guests that have something on a storage now.
    fn users(&self, world: &World, storage: &StorageId) -> Vec<DraftId> {
        let prefix = format!("{storage}:");
        self.guests
            .iter()
            .filter(|(vmid, _)| {
                world.guests.get(vmid).is_some_and(|guest| {
                    let config = &guest.config;
                    let sections = std::iter::once(&config.current)
                        .chain(config.snapshots.values().map(|snapshot| &snapshot.section));
                    sections
                        .flat_map(|section| section.values())
                        .chain(config.pending.iter().filter_map(|p| p.value.as_ref()))
                        .any(|value| value.contains(&prefix) || value == storage.as_str())
                })
            })
            .flat_map(|(_, steps)| steps.iter().copied())
            .collect()
    }

    /// The destructions of guests whose volumes are linked clones of a guest's.
    fn clones(&self, world: &World, base: Vmid) -> Vec<DraftId> {
        self.guests_gone
            .iter()
            .filter(|(vmid, _)| **vmid != base)
            .filter(|(vmid, _)| {
                world
                    .guests
                    .get(vmid)
                    .is_some_and(|guest| clone_of(guest) == Some(base))
            })
            .map(|(_, id)| *id)
            .collect()
    }
}

/// The guest whose base volumes a guest's disks depend on, as far as their names tell.
pub(super) fn clone_of(guest: &crate::world::Guest) -> Option<Vmid> {
    views::disks(guest.kind, &guest.config.current)
        .iter()
        .filter_map(|disk| disk.source.volume())
        .find_map(|volume| match views::parent(volume) {
            views::Parent::Of(base) => views::owner(&base),
            views::Parent::None => None,
        })
}

/// Drafts become a plan.
pub(super) fn finish(input: &PlanInput<'_>, mut drafts: Drafts) -> Result<Plan, PlanError> {
    if !drafts.problems.is_empty() {
        return Err(PlanError {
            problems: drafts.problems.into_iter().collect(),
        });
    }
    let start = input.world;
    let line = line(&drafts.steps).map_err(|reason| PlanError {
        problems: vec![Problem {
            document: String::new(),
            field: String::new(),
            reason,
        }],
    })?;
    let line = put_trials(start, &mut drafts, line);
    let ordered = number(std::mem::take(&mut drafts.steps), &line, start);
    let mut watch = Watch::new(start, input.settings.keepers());
    let steps = try_out(input, ordered, &mut watch)?;
    if !steps.is_empty()
        && let Some(why) = start.unreadable(&Part::Permissions)
    {
        drafts
            .unknowns
            .insert(Part::Permissions.to_string(), why.to_owned());
    }
    if !steps.is_empty() {
        match version::unchecked(input) {
            Unchecked::No => {}
            Unchecked::Note(note) => {
                drafts.notes.insert(note);
            }
            Unchecked::Unknown(what, why) => {
                drafts.unknowns.insert(what, why);
            }
        }
    }
    let seen = watch.end(&mut drafts.unknowns);
    if !input.settings.allow_controller_loss {
        let problems = controller_losses(&seen.impacts);
        if !problems.is_empty() {
            return Err(PlanError { problems });
        }
    }
    drafts.notes.extend(seen.notes);
    let unknowns = drafts.unknowns();
    let complete = unknowns.is_empty()
        && !seen
            .impacts
            .iter()
            .any(|impact| impact.category == crate::health::Category::Unknown);
    let mut risk = risk::risk(steps.len(), &seen.impacts, &unknowns);
    if !complete {
        risk = super::model::Risk::Unknown;
    }
    let mut plan = Plan {
        hash: PlanHash(String::new()),
        cluster: input.cluster.clone(),
        parent: input.parent.clone(),
        origin: input.origin.clone(),
        policy: input.policy.clone(),
        documents: {
            drafts.documents.sort();
            drafts.documents
        },
        changes: {
            drafts
                .changes
                .sort_by(|a, b| (&a.object, &a.field).cmp(&(&b.object, &b.field)));
            drafts.changes.dedup();
            drafts.changes
        },
        steps,
        impacts: seen.impacts,
        improvements: seen.improvements,
        unknowns,
        complete,
        risk,
        notes: drafts.notes.into_iter().collect(),
        blocks: drafts.blocks,
    };
    plan.hash = hash::hash(&plan).map_err(|error| PlanError {
        problems: vec![Problem {
            document: String::new(),
            field: String::new(),
            reason: Reason::Refused {
                why: format!("the plan has no canonical form: {error}"),
            },
        }],
    })?;
    Ok(plan)
}

/// AC06: what the controller itself would lose, which only the operator's configuration allows.
fn controller_losses(impacts: &[Impact]) -> Vec<Problem> {
    let own = impacts
        .iter()
        .filter(|impact| impact.rule == "AC06" && impact.category == Category::Lockout);
    own.map(|impact| Problem {
        document: String::new(),
        field: String::new(),
        reason: Reason::ControllerLoses {
            what: format!("{} → {}", impact.before, impact.after),
            causes: impact.causes.join("\n    "),
        },
    })
    .collect()
}

/// Tries the steps on the world, one after the other.
fn try_out(
    input: &PlanInput<'_>,
    ordered: Vec<Ordered>,
    watch: &mut Watch<'_>,
) -> Result<Vec<Step>, PlanError> {
    let start = input.world;
    let readable = start.unreadable(&Part::Permissions).is_none();
    let mut written = Written::default();
    let mut problems = BTreeSet::new();
    let mut steps = Vec::with_capacity(ordered.len());
    for Ordered { id, needs, draft } in ordered {
        let preconditions = guard::preconditions(&draft.action, watch.world(), start, &written);
        let privileges = privileges(&draft.action, watch.world());
        for privilege in privileges.iter().filter(|_| readable) {
            if !start.may(&privilege.path, &privilege.privilege) {
                problems.insert(Problem {
                    document: String::new(),
                    field: String::new(),
                    reason: Reason::NoPrivilege {
                        privilege: privilege.privilege.clone(),
                        path: privilege.path.clone(),
                        step: draft.title.clone(),
                    },
                });
            }
        }
        problems.extend(version::problems(input, &draft, watch.world()));
        if let Some(problem) = offline(start, &draft.node, &draft.title) {
            problems.insert(problem);
        }
        let before = watch.step(id, &draft.action);
        let inverse = inverse(
            &draft.action,
            before.as_ref().unwrap_or(watch.world()),
            watch.world(),
            input.settings.shutdown_timeout,
        );
        if let super::model::Inverse::Irreversible { why } = &inverse {
            watch.irreversible(id, &draft.action, why);
        }
        written.note(id, &draft.action);
        steps.push(Step {
            id,
            title: draft.title,
            action: draft.action,
            node: draft.node,
            needs,
            preconditions,
            inverse,
            privileges,
            notes: draft.notes,
        });
    }
    if problems.is_empty() {
        Ok(steps)
    } else {
        Err(PlanError {
            problems: problems.into_iter().collect(),
        })
    }
}

fn offline(world: &World, node: &Option<crate::ids::NodeName>, title: &str) -> Option<Problem> {
    let node = node.as_ref()?;
    let down = world
        .nodes
        .get(node)
        .is_some_and(|node| node.online == Some(false));
    down.then(|| Problem {
        document: String::new(),
        field: String::new(),
        reason: Reason::Refused {
            why: format!("node {node} is offline, so this cannot be done: {title}"),
        },
    })
}
