//! The scheduler of one run: begins each step when the steps it needs have ended well, never two steps of one guest or of
//! `storage.cfg` at once, never more than the limit on one node, and stops beginning steps at the first that did not end well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::port::{Journal, JournalError, Left, Live, Outcome, Remembered};
use super::step::{self, NotBegun, Shared, StepEnd};
use super::trial;
use crate::ids::{NodeName, StorageId, Vmid};
use crate::metrics::Metrics;
use crate::plan::{Plan, Step, StepId};
use crate::world::{Action, World};

/// How much at once, and how much patience.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Steps at once on one node.
    pub per_node: usize,
    /// Steps at once that write whole disks from or to one storage.
    pub per_storage: usize,
    /// How often to look when waiting.
    pub poll: Duration,
    /// How long a lock held by somebody else is waited for.
    pub lock_patience: Duration,
    /// How long to look for the effect of a write whose outcome is not known.
    pub settle: Duration,
    /// How long the HA manager may take to do what was requested of it. Its rounds are 10 s apart, and it stops a guest by a
    /// shutdown first.
    pub ha_patience: Duration,
    /// How long a task may take.
    pub task_deadline: Duration,
    /// After how long a trial of the firewall is extended before the next step on it. Proxmox VE ends it after a minute.
    pub trial_extend: Duration,
    /// How long to wait until every node has the rules that a trial is about. Their daemons look every 10 s.
    pub trial_wait: Duration,
    /// How long nodes may take then until they can be reached.
    pub trial_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_node: 2,
            per_storage: 1,
            poll: Duration::from_millis(500),
            lock_patience: Duration::from_secs(60),
            settle: Duration::from_secs(35), // Proxmox VE's own proxy gives up after 30 s
            ha_patience: Duration::from_secs(10 * 60),
            task_deadline: Duration::from_secs(24 * 3600),
            trial_extend: Duration::from_secs(20), // the longest look for an effect ends before the minute does
            trial_wait: Duration::from_secs(15),
            trial_patience: Duration::from_secs(20),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// Every step ended well.
    Done,
    /// A step failed; nothing further was begun.
    Failed {
        /// Which.
        step: StepId,
        /// Why.
        why: String,
    },
    /// The world is no longer as planned, or a freeze holds: stopped at a step boundary.
    Stopped {
        /// Before which step.
        step: StepId,
        /// Why.
        why: NotBegun,
    },
    /// Nobody knows what became of a step. The next run looks again.
    Undetermined {
        /// Which.
        step: StepId,
        /// Why.
        why: String,
    },
}

/// Something that people want to see while a run goes on.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A step begins.
    Begins(Step),
    /// A step ended.
    Ended(Step, Outcome, Left),
    /// A step was not begun.
    NotBegun(Step, NotBegun),
}

/// Runs plans.
pub struct Executor<L, J> {
    shared: Arc<Shared<L, J>>,
}

impl<L: Live, J: Journal> Executor<L, J> {
    /// An executor for one run that begins in this world. It counts its steps, tasks and waits.
    pub fn new(live: L, journal: J, limits: Limits, world: World, metrics: Metrics) -> Self {
        let left = Mutex::new(BTreeMap::new());
        Self {
            shared: Arc::new(Shared {
                live,
                journal,
                limits,
                cluster: world.cluster.clone(),
                world: Mutex::new(world),
                left,
                trial: Mutex::new(None),
                doors: Mutex::new(BTreeSet::new()),
                metrics,
            }),
        }
    }

    /// Runs the plan's steps that `remembered` does not know to be done. Returns after every step in hand has ended, also when
    /// one failed.
    pub async fn run(
        &self,
        plan: &Plan,
        mut remembered: BTreeMap<StepId, Remembered>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<RunEnd, JournalError> {
        let mut done: BTreeSet<StepId> = BTreeSet::new();
        for (id, memory) in &remembered {
            if let Remembered::Ended(Outcome::Ok | Outcome::Warnings, left) = memory {
                done.insert(*id);
                self.shared
                    .left
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .insert(*id, left.clone());
            }
        }
        let mut running: BTreeMap<StepId, &Step> = BTreeMap::new();
        let mut tasks: JoinSet<(StepId, StepEnd)> = JoinSet::new();
        let mut end = remembered
            .iter()
            .fold(None, |end, (id, memory)| match memory {
                Remembered::Ended(Outcome::Failed, left) => {
                    let (step, why) = (*id, left.message.clone());
                    worse(end, RunEnd::Failed { step, why })
                }
                _ => end,
            });
        let may_send = end.is_none();
        let mut trial_broken = !may_send;
        let begin = |tasks: &mut JoinSet<(StepId, StepEnd)>, step: &Step, memory| {
            progress(Progress::Begins(step.clone()));
            let (shared, step) = (self.shared.clone(), step.clone());
            tasks.spawn(async move { (step.id, step::run(shared, step, memory, may_send).await) });
        };
        // First what an earlier process had in hand, whatever else is known: nobody else will find out what became of it.
        let mut waiting: Vec<&Step> = Vec::new();
        for step in plan.steps.iter().filter(|step| !done.contains(&step.id)) {
            match remembered.remove(&step.id) {
                Some(memory @ (Remembered::Intended(_) | Remembered::Sent(..))) => {
                    running.insert(step.id, step);
                    begin(&mut tasks, step, Some(memory));
                }
                Some(Remembered::Ended(..)) => {}
                None => waiting.push(step),
            }
        }
        loop {
            // What is done to others ends no trial of the firewall: it would leave it off.
            let tries = !trial_broken && self.shared.tries();
            if end.is_none() || tries {
                let mut later = Vec::new();
                for step in waiting {
                    if (end.is_none() || trial::on_trial(step))
                        && step.needs.is_subset(&done)
                        && self.room_for(step, running.values().copied())
                    {
                        running.insert(step.id, step);
                        begin(&mut tasks, step, None);
                    } else {
                        later.push(step);
                    }
                }
                waiting = later;
            }
            let Some(joined) = tasks.join_next().await else {
                break;
            };
            let (id, step_end) = joined.map_err(|error| JournalError(Box::new(error)))?;
            let Some(step) = running.remove(&id) else {
                continue;
            };
            match step_end {
                StepEnd::Journal(error) => return Err(error),
                StepEnd::Ended(outcome, left) => {
                    let well = matches!(outcome, Outcome::Ok | Outcome::Warnings);
                    trial_broken |= !well && trial::on_trial(step);
                    self.shared.count(outcome.word());
                    progress(Progress::Ended(step.clone(), outcome, left.clone()));
                    match outcome {
                        Outcome::Ok | Outcome::Warnings => {
                            done.insert(id);
                        }
                        Outcome::Failed => {
                            end = worse(
                                end,
                                RunEnd::Failed {
                                    step: id,
                                    why: left.message,
                                },
                            )
                        }
                        Outcome::Undetermined => {
                            end = worse(
                                end,
                                RunEnd::Undetermined {
                                    step: id,
                                    why: left.message,
                                },
                            )
                        }
                    }
                }
                StepEnd::NotBegun(why) => {
                    trial_broken |= trial::on_trial(step);
                    self.shared.count(why.word());
                    progress(Progress::NotBegun(step.clone(), why.clone()));
                    end = worse(end, RunEnd::Stopped { step: id, why });
                }
            }
        }
        Ok(end.unwrap_or(RunEnd::Done))
    }

    /// The world as last read: where the run began, with everything its steps touched since.
    pub fn world(&self) -> World {
        self.shared
            .world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn room_for<'s>(
        &self,
        step: &Step,
        mut running: impl Iterator<Item = &'s Step> + Clone,
    ) -> bool {
        let own = guests_of(&step.action);
        let same_guest = |other: &Step| !own.is_disjoint(&guests_of(&other.action));
        let same_file = |other: &Step| {
            file_of(&step.action).is_some() && file_of(&other.action) == file_of(&step.action)
        };
        let same_node = |node: &NodeName| {
            running
                .clone()
                .filter(|other| other.node.as_ref() == Some(node))
                .count()
        };
        // A step of a firewall is over at once, and may be one that a trial waits for.
        let light = matches!(step.action, Action::Firewall(_));
        let full = step
            .node
            .as_ref()
            .is_some_and(|node| same_node(node) >= self.shared.limits.per_node.max(1));
        let full = full && !light;
        let busy = storages_of(&step.action).into_iter().any(|storage| {
            let there = running
                .clone()
                .filter(|other| storages_of(&other.action).contains(storage));
            there.count() >= self.shared.limits.per_storage.max(1)
        });
        !full && !busy && !running.any(|other| same_guest(other) || same_file(other))
    }
}

/// The guests that an action works on, or that are read again to see what it did: of a pool those that come into it and leave it.
fn guests_of(action: &Action) -> BTreeSet<Vmid> {
    match action {
        Action::UpdatePool {
            guests_add,
            guests_remove,
            ..
        } => guests_add.union(guests_remove).copied().collect(),
        other => other.guest().map(|(_, vmid)| vmid).into_iter().collect(),
    }
}

/// The storages that an action writes whole disks from or to.
fn storages_of(action: &Action) -> BTreeSet<&StorageId> {
    match action {
        Action::MoveDisk { volume, to, .. } => [volume.storage(), to].into(),
        Action::Migrate { target_storage, .. } => target_storage
            .iter()
            .flat_map(|(from, to)| [from, to])
            .collect(),
        Action::CloneGuest { storage, .. } => storage.iter().collect(),
        Action::BackUpGuest { storage, .. } => [storage].into(),
        Action::RestoreGuest {
            archive, storage, ..
        } => storage.iter().chain([archive.storage()]).collect(),
        Action::CreateGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
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
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
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

/// What only one action may work on at a time: the configuration file that one digest covers, where several objects share it.
fn file_of(action: &Action) -> Option<&'static str> {
    match action {
        Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. } => Some("storage.cfg"),
        Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::Account(_) => Some("user.cfg"),
        Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. } => Some("jobs.cfg"),
        Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. } => Some("replication.cfg"),
        Action::SetHaState { .. } | Action::RemoveHaResource { .. } => Some("ha/resources.cfg"),
        // One after the other, whosever they are: they refer to each other.
        Action::Firewall(_) => Some("firewall"),
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
        | Action::Migrate { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. }
        | Action::DownloadImage { .. }
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DestroyGuest { .. } => None,
        // Its task says only the storage: two at once could not be told apart if an answer were lost.
        Action::DeleteVolume { .. } | Action::DeleteImage { .. } | Action::DeleteBackup { .. } => {
            Some("(volumes)")
        }
    }
}

/// Of two bad ends the one that says less is certain: undetermined over failed over stopped.
fn worse(known: Option<RunEnd>, new: RunEnd) -> Option<RunEnd> {
    let rank = |end: &RunEnd| match end {
        RunEnd::Done => 0,
        RunEnd::Stopped { .. } => 1,
        RunEnd::Failed { .. } => 2,
        RunEnd::Undetermined { .. } => 3,
    };
    match known {
        Some(known) if rank(&known) >= rank(&new) => Some(known),
        _ => Some(new),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
