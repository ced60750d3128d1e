//! One step, from reading what it depends on to reading what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::effect;
use super::executor::Limits;
use super::port::{Intent, Journal, JournalError, Left, Live, Outcome, Remembered, Sent, TaskEnd};
use super::preconditions;
use super::read_back::{ReadBack, read_back};
use super::secret_file::Secret;
use super::shown_once;
use super::touched::Touched;
use super::trial;
use crate::ids::{ClusterName, NodeName};
use crate::metrics::Metrics;
use crate::plan::{Step, StepId};
use crate::proxmox::Upid;
use crate::world::requests::{Request, request_for};
use crate::world::{Action, Part, World, predict};

/// How a step ended, for the scheduler.
#[derive(Debug)]
pub enum StepEnd {
    /// It ended and was journalled.
    Ended(Outcome, Left),
    /// It was not begun: what it was planned on no longer holds, or a freeze holds, or it could not be read, or not be sent.
    NotBegun(NotBegun),
    /// The journal failed; nothing more may be done.
    Journal(JournalError),
}

/// Why a step was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBegun {
    /// A freeze holds.
    Frozen(String),
    /// The world is not as planned.
    Stale(String),
    /// What had to be read could not be, or nothing can be sent now.
    Unreadable(String),
}

impl NotBegun {
    /// The word for it, as it is counted.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Frozen(_) => "frozen",
            Self::Stale(_) => "stale",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// What all steps of one run share.
pub struct Shared<L, J> {
    /// The live cluster.
    pub live: L,
    /// The journal.
    pub journal: J,
    /// Limits and patience.
    pub limits: Limits,
    /// The world as last read.
    pub world: Mutex<World>,
    /// What ended steps left.
    pub left: Mutex<BTreeMap<StepId, Left>>,
    /// The trial of the firewall that is under way.
    pub trial: Mutex<Option<trial::Open>>,
    /// What could be reached before it began.
    pub doors: Mutex<BTreeSet<String>>,
    /// The cluster, as it is counted under.
    pub cluster: ClusterName,
    /// Where steps, tasks and waits are counted.
    pub metrics: Metrics,
}

impl<L, J> Shared<L, J> {
    /// A step ended so, or was not begun for this.
    pub(super) fn count(&self, word: &'static str) {
        self.metrics.step(self.cluster.as_str(), word);
    }

    pub(super) fn world(&self) -> World {
        self.world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn left(&self) -> BTreeMap<StepId, Left> {
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes over what a step read again, leaving what other steps read meanwhile.
    fn store(&self, read: &World, touched: &Touched) {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        for vmid in &touched.guests {
            match read.guests.get(vmid) {
                Some(guest) => world.guests.insert(*vmid, guest.clone()),
                None => world.guests.remove(vmid),
            };
            // Of a guest that is new, the steps after this one have to know that it was read.
            for part in [Part::GuestConfig(*vmid), Part::GuestSnapshots(*vmid)] {
                match read.completeness.get(&part) {
                    Some(known) => world.completeness.insert(part, known.clone()),
                    None => world.completeness.remove(&part),
                };
            }
        }
        if touched.storages {
            world.storages = read.storages.clone();
        }
        for (_, storage) in &touched.content {
            if let Some(found) = read.storages.get(storage) {
                world.storages.insert(storage.clone(), found.clone());
            }
        }
        if touched.pools {
            world.pools = read.pools.clone();
        }
        if touched.ha {
            world.ha_resources = read.ha_resources.clone();
            world.ha_rules = read.ha_rules.clone();
        }
        if touched.jobs {
            world.backup_jobs = read.backup_jobs.clone();
            world.replication_jobs = read.replication_jobs.clone();
        }
        if touched.acl {
            world.acl = read.acl.clone();
        }
        if !touched.accounts.is_empty() {
            // What was not asked for is what it was.
            world.users = read.users.clone();
            world.groups = read.groups.clone();
            world.roles = read.roles.clone();
        }
        if !touched.firewalls.is_empty() {
            world.firewalls = read.firewalls.clone();
        }
    }
}

/// How the message of a step begins that was done, but left something else than was predicted.
pub const NOT_AS_PREDICTED: &str = "not as predicted";

/// Runs one step, or takes it up where an earlier process left it. Without `may_send` it is only found out what became of it.
pub async fn run<L: Live, J: Journal>(
    shared: Arc<Shared<L, J>>,
    step: Step,
    remembered: Option<Remembered>,
    may_send: bool,
) -> StepEnd {
    match attempt(&shared, &step, remembered, may_send).await {
        Ok(StepEnd::NotBegun(why)) => StepEnd::NotBegun(match why {
            NotBegun::Frozen(why) => NotBegun::Frozen(trial::aftermath(&shared, &step, why)),
            NotBegun::Stale(why) => NotBegun::Stale(trial::aftermath(&shared, &step, why)),
            NotBegun::Unreadable(why) => {
                NotBegun::Unreadable(trial::aftermath(&shared, &step, why))
            }
        }),
        Ok(end) => end,
        Err(error) => StepEnd::Journal(error),
    }
}

async fn attempt<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    remembered: Option<Remembered>,
    may_send: bool,
) -> Result<StepEnd, JournalError> {
    let touched = Touched::by(step, &shared.world());
    match remembered {
        Some(Remembered::Ended(outcome, left)) => Ok(StepEnd::Ended(outcome, left)),
        // A task that runs is not stopped by a freeze: it is only watched.
        Some(Remembered::Sent(_, upid)) => {
            let end = wait(shared, &upid).await;
            conclude(shared, step, None, &touched, end).await
        }
        Some(Remembered::Intended(intent)) => {
            if let Some(reason) = frozen(shared, step).await? {
                return Ok(StepEnd::NotBegun(NotBegun::Frozen(reason)));
            }
            // Finding out takes its time. What comes of it says whether the trial still goes on.
            let _ = trial::extend(shared, step).await;
            shared.remember_doors(&intent.doors);
            take_up(shared, step, &touched, &intent, may_send).await
        }
        None => {
            if let Some(reason) = frozen(shared, step).await? {
                return Ok(StepEnd::NotBegun(NotBegun::Frozen(reason)));
            }
            if let Err(why) = trial::extend(shared, step).await {
                return Ok(StepEnd::NotBegun(why));
            }
            let before = match shared.live.refresh(shared.world(), touched.clone()).await {
                Ok(world) => world,
                Err(why) => return Ok(StepEnd::NotBegun(NotBegun::Unreadable(why))),
            };
            let held = holds(shared, step, &before);
            match held.and_then(|()| shown_once::possible(&step.action)) {
                Ok(()) => begin(shared, step, &before, &touched).await,
                Err(why) => Ok(StepEnd::NotBegun(NotBegun::Stale(why))),
            }
        }
    }
}

/// Why a step may not begin now. A trial of the firewall that is under way is brought to its end in any case: left alone it would switch
/// the firewall off.
async fn frozen<L, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
) -> Result<Option<String>, JournalError> {
    if trial::on_trial(step) && shared.tries() {
        return Ok(None);
    }
    shared.journal.frozen(step).await
}

fn holds<L, J>(shared: &Shared<L, J>, step: &Step, world: &World) -> Result<(), String> {
    let left = shared.left();
    step.preconditions
        .iter()
        .try_for_each(|precondition| preconditions::check(precondition, world, &left))
}

/// The process ended between intent and answer, or the answer never came. Looks before doing anything; what cannot be read leaves
/// the step as unknown as it was, for the next run to look again.
async fn take_up<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    touched: &Touched,
    intent: &Intent,
    may_send: bool,
) -> Result<StepEnd, JournalError> {
    let unreadable = |why| format!("what became of it cannot be read: {why}");
    let before = match shared.live.refresh(shared.world(), touched.clone()).await {
        Ok(world) => world,
        Err(why) => return undetermined(shared, step, unreadable(why)).await,
    };
    match settle(shared, step, &before, touched, intent).await? {
        Settled::Done(end) => return Ok(end),
        Settled::Unknown(why) => return undetermined(shared, step, unreadable(why)).await,
        Settled::NotHappened => {}
    }
    // Looking took its time: what the step depends on is read once more.
    let before = match shared.live.refresh(shared.world(), touched.clone()).await {
        Ok(world) => world,
        Err(why) => return undetermined(shared, step, unreadable(why)).await,
    };
    let never = "whether it was sent is not known, but no trace of it can be found";
    match holds(shared, step, &before) {
        Ok(()) if may_send => send(shared, step, &before, touched, intent).await,
        ended => {
            shown_once::give_up(&step.action);
            let now = match ended {
                Ok(()) => "; it is not sent now".to_owned(),
                Err(why) => format!(", and now {why}"),
            };
            failed(shared, step, format!("{never}{now}")).await
        }
    }
}

fn place(step: &Step, world: &World) -> Option<NodeName> {
    // A clone is asked of the node its source is on, wherever the clone is by now.
    if let Action::CloneGuest { node, .. } = &step.action {
        return Some(node.clone());
    }
    let live = step
        .action
        .guest()
        .and_then(|(_, vmid)| world.guests.get(&vmid).map(|guest| guest.node.clone()));
    live.or_else(|| step.node.clone())
        .or_else(|| world.nodes.keys().next().cloned())
}

async fn begin<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    before: &World,
    touched: &Touched,
) -> Result<StepEnd, JournalError> {
    let digest = preconditions::digest(&step.preconditions, &shared.left())
        .or_else(|| preconditions::digest_read(&step.action, before));
    let mut intent = Intent {
        digest,
        ..Intent::default()
    };
    if let Some((node, task_type, id)) = task_of(step, before) {
        match shared.live.tasks(&node, task_type, &id).await {
            Ok(known) => intent.known_tasks = known,
            Err(why) => {
                return Ok(StepEnd::NotBegun(NotBegun::Unreadable(format!(
                    "the tasks of node {node}: {why}"
                ))));
            }
        }
    }
    match trial::doors(shared, step, before).await {
        Ok(doors) => {
            shared.remember_doors(&doors);
            intent.doors = doors;
        }
        Err(why) => return Ok(StepEnd::NotBegun(NotBegun::Unreadable(why))),
    }
    shared.journal.intent(step, &intent).await?;
    send(shared, step, before, touched, &intent).await
}

fn call<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    world: &World,
    digest: Option<&str>,
) -> Result<Request, String> {
    let node = place(step, world).ok_or("no node is known to send it to")?;
    request_for(&step.action, &node, digest, &|from, planned| {
        shared.live.secret(from, planned)
    })
    .map_err(|error| error.to_string())
}

/// Node, type and id of the task that the step's call starts, if it starts one.
fn task_of(step: &Step, world: &World) -> Option<(NodeName, &'static str, String)> {
    let node = place(step, world)?;
    // Which task it is does not depend on secrets, and has to be known even when they can no longer be read.
    request_for(&step.action, &node, None, &|_, _| {
        Ok(zeroize::Zeroizing::default())
    })
    .ok()?
    .task
    .map(|(task_type, id)| (node, task_type, id))
}

/// Sends the step's call. Only a refusal because of somebody else's lock is tried again.
async fn send<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    before: &World,
    touched: &Touched,
    intent: &Intent,
) -> Result<StepEnd, JournalError> {
    let proven = match trial::prove(shared, step, touched).await {
        Ok(proven) => proven,
        Err(why) => return failed(shared, step, why).await,
    };
    let (before, digest) = match &proven {
        Some(proven) => (&proven.before, proven.digest.as_deref()),
        None => (before, intent.digest.as_deref()),
    };
    let call = match call(shared, step, before, digest) {
        Ok(call) => call,
        Err(why) => return failed(shared, step, why).await,
    };
    // Where the answer will hold what is shown once, there is a place for it before anything is sent.
    let place = match shown_once::reserve(&step.action) {
        Ok(place) => place,
        Err(why) => return failed(shared, step, why).await,
    };
    trial::sending(shared, step);
    let (sent, secret) = send_patiently(shared, &call, place.is_some()).await;
    let sent = match shown_once::keep(&step.action, place, sent, secret) {
        Ok(sent) => sent,
        Err(lost) => return done_in_vain(shared, step, touched, lost).await,
    };
    let end = match sent {
        Sent::Taken(None) => TaskEnd::Ok,
        Sent::Taken(Some(upid)) => {
            shared.journal.sent(step.id, &upid).await?;
            wait(shared, &upid).await
        }
        Sent::Refused { message, locked: _ } => {
            trial::not_sent(shared, step).await;
            return failed(shared, step, message).await;
        }
        // The intent stays open: the next run looks, and sends it if everything still holds.
        Sent::NotNow(why) => {
            trial::not_sent(shared, step).await;
            return Ok(StepEnd::NotBegun(NotBegun::Unreadable(format!(
                "it could not be sent, and nothing was done: {why}"
            ))));
        }
        Sent::Undetermined(why) => match settle(shared, step, before, touched, intent).await? {
            Settled::Done(end) => return Ok(end),
            Settled::NotHappened if effect::repeatable(&step.action) => {
                match send_patiently(shared, &call, false).await.0 {
                    Sent::Taken(None) => TaskEnd::Ok,
                    _ => return undetermined(shared, step, why).await,
                }
            }
            Settled::NotHappened | Settled::Unknown(_) => {
                return undetermined(shared, step, why).await;
            }
        },
    };
    conclude(shared, step, Some(before), touched, end).await
}

/// Waits for a task's end.
async fn wait<L: Live, J: Journal>(shared: &Shared<L, J>, upid: &str) -> TaskEnd {
    let begun = Instant::now();
    let end = shared.live.wait(upid, shared.limits.task_deadline).await;
    let task_type = upid.parse::<Upid>().map(|upid| upid.task_type);
    shared.metrics.task(
        shared.cluster.as_str(),
        task_type.as_deref().unwrap_or_default(),
        begun.elapsed(),
    );
    end
}

/// Sends a call, again and again as long as somebody else holds a lock. What its answer shows once is handed over beside.
async fn send_patiently<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    call: &Request,
    shows_once: bool,
) -> (Sent, Option<Secret>) {
    let until = Instant::now() + shared.limits.lock_patience;
    let mut pause = shared.limits.poll;
    let mut met = None;
    let ended = loop {
        let (sent, secret) = match shows_once {
            false => (shared.live.send(call).await, None),
            true => match shared.live.send_for_secret(call).await {
                Ok(secret) => (Sent::Taken(None), Some(secret)),
                Err(sent) => (sent, None),
            },
        };
        match &sent {
            Sent::Refused { locked: true, .. } if Instant::now() + pause < until => {
                met.get_or_insert_with(Instant::now);
                sleep(pause.mul_f64(0.5 + rand::random::<f64>())).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            Sent::Refused { .. } | Sent::Taken(_) | Sent::NotNow(_) | Sent::Undetermined(_) => {
                break (sent, secret);
            }
        }
    };
    if let Some(met) = met {
        let cluster = shared.cluster.as_str();
        shared.metrics.lock_waited(cluster, met.elapsed());
    }
    ended
}

enum Settled {
    Done(StepEnd),
    /// Neither its task nor its effect can be seen, although everything that would show them was read.
    NotHappened,
    /// It could not be read.
    Unknown(String),
}

/// Decides a write whose outcome is not known: by its task if one appeared, else by what can be seen, for as long as the
/// configured patience. Never by sending again.
async fn settle<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    before: &World,
    touched: &Touched,
    intent: &Intent,
) -> Result<Settled, JournalError> {
    let until = Instant::now() + shared.limits.settle;
    let task = task_of(step, before);
    loop {
        let mut unknown = None;
        if let Some((node, task_type, id)) = &task {
            match shared.live.tasks(node, task_type, id).await {
                Ok(tasks) => {
                    if let Some(upid) = tasks.difference(&intent.known_tasks).last() {
                        shared.journal.sent(step.id, upid).await?;
                        let end = wait(shared, upid).await;
                        return conclude(shared, step, None, touched, end)
                            .await
                            .map(Settled::Done);
                    }
                }
                Err(why) => unknown = Some(format!("the tasks of node {node}: {why}")),
            }
        }
        // A step with a task is done when its task is; what has none is done when it can be seen.
        match shared.live.refresh(before.clone(), touched.clone()).await {
            Ok(now) => {
                if effect::tells(&step.action)
                    && effect::visible(&step.action, &now)
                    && (task.is_none() || Instant::now() >= until)
                {
                    if let Err(lost) = shown_once::kept(&step.action) {
                        return done_in_vain(shared, step, touched, lost)
                            .await
                            .map(Settled::Done);
                    }
                    return conclude(shared, step, None, touched, TaskEnd::Ok)
                        .await
                        .map(Settled::Done);
                }
            }
            Err(why) => unknown = Some(why),
        }
        if Instant::now() >= until {
            return Ok(unknown.map_or(Settled::NotHappened, Settled::Unknown));
        }
        sleep(shared.limits.poll).await;
    }
}

/// Reads back what the step touched, compares it with the prediction, and journals the outcome. `before` is `None` when an
/// earlier process began the step: then only the visible effect can be judged.
async fn conclude<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    before: Option<&World>,
    touched: &Touched,
    end: TaskEnd,
) -> Result<StepEnd, JournalError> {
    let unsaid = matches!(end, TaskEnd::Unsaid(_));
    let (outcome, message) = match end {
        TaskEnd::Ok => (Outcome::Ok, String::new()),
        TaskEnd::Warnings(text) => (Outcome::Warnings, text),
        TaskEnd::Failed(text) => {
            let read = shared.live.refresh(shared.world(), touched.clone()).await;
            if let Ok(now) = &read {
                shared.store(now, touched);
            }
            return failed(shared, step, format!("the task failed: {text}")).await;
        }
        // Nothing more will come of it, so what it left decides.
        TaskEnd::Unsaid(why) => (Outcome::Warnings, why),
        TaskEnd::Unknown(why) => return undetermined(shared, step, why).await,
    };
    let now = match read_back(shared, step, touched).await {
        ReadBack::Read(now) => *now,
        ReadBack::GivenUp(why) => return failed(shared, step, why).await,
        ReadBack::Unknown(why) => return undetermined(shared, step, why).await,
    };
    shared.store(&now, touched);
    let surprises = match before {
        Some(before) => match before.apply(&step.action) {
            Ok(predicted) => predict::surprises(before, &predicted, &now, &step.action),
            Err(why) => vec![format!("the step could not be predicted: {why}")],
        },
        None if effect::visible(&step.action, &now) => Vec::new(),
        None => vec!["its effect cannot be seen".to_owned()],
    };
    let mut left = what_is_left(&step.action, &now);
    left.message = message;
    left.doors = shared.doors_of(&step.action);
    if unsaid && !effect::tells(&step.action) {
        return failed(
            shared,
            step,
            format!("{}, and what it did cannot be seen", left.message),
        )
        .await;
    }
    if surprises.is_empty() {
        trial::ended(shared, step);
        shared.journal.ended(step, outcome, &left).await?;
        shared
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(step.id, left.clone());
        return Ok(StepEnd::Ended(outcome, left));
    }
    let surprised = format!("{NOT_AS_PREDICTED}: {}", surprises.join("; "));
    left.message = trial::aftermath(shared, step, surprised);
    shared.journal.ended(step, Outcome::Failed, &left).await?;
    Ok(StepEnd::Ended(Outcome::Failed, left))
}

fn what_is_left(action: &Action, now: &World) -> Left {
    let guest = action.guest().and_then(|(_, vmid)| now.guests.get(&vmid));
    let storage = match action {
        Action::CreateStorage { id, .. } | Action::UpdateStorage { id, .. } => now.storages.get(id),
        // One digest covers all of storage.cfg: any other entry carries the new one.
        Action::DeleteStorage { .. } => now.storages.values().next(),
        _ => None,
    };
    Left {
        message: String::new(),
        digest: guest
            .map(|guest| guest.config.digest.clone())
            .or_else(|| storage.map(|storage| storage.digest.clone()))
            .filter(|digest| !digest.is_empty()),
        birth: guest.and_then(|guest| guest.config.birth()),
        doors: BTreeSet::new(),
    }
}

async fn failed<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    why: String,
) -> Result<StepEnd, JournalError> {
    let left = Left {
        message: trial::aftermath(shared, step, why),
        ..Left::default()
    };
    shared.journal.ended(step, Outcome::Failed, &left).await?;
    Ok(StepEnd::Ended(Outcome::Failed, left))
}

/// What the step makes is there, but what only the answer said is lost: the step failed.
async fn done_in_vain<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    touched: &Touched,
    why: String,
) -> Result<StepEnd, JournalError> {
    let read = shared.live.refresh(shared.world(), touched.clone()).await;
    if let Ok(now) = &read {
        shared.store(now, touched);
    }
    failed(shared, step, why).await
}

/// Journals that nobody knows. The journal keeps the step open, so that the next run looks again instead of sending again.
async fn undetermined<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    why: String,
) -> Result<StepEnd, JournalError> {
    let left = Left {
        message: trial::aftermath(shared, step, why),
        ..Left::default()
    };
    shared
        .journal
        .ended(step, Outcome::Undetermined, &left)
        .await?;
    Ok(StepEnd::Ended(Outcome::Undetermined, left))
}
