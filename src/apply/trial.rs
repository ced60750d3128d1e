//! The trial of the datacenter's firewall: it is extended while the steps on trial take longer, confirmed only once every node was
//! reached by new connections, and what it leaves behind is said where a step on trial does not end well.
//!
//! Proxmox VE counts a minute from the last `enable=2`. Here it is counted from right before that is sent, so never too long.

use std::collections::BTreeSet;
use std::future::{Future as _, poll_fn};
use std::sync::PoisonError;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::port::{Journal, Live, Port, Sent};
use super::preconditions;
use super::step::{NotBegun, Shared};
use super::touched::Touched;
use crate::ids::NodeName;
use crate::plan::{Precondition, Step};
use crate::world::requests::request_for;
use crate::world::{Action, FirewallAction, World};

/// What is wrong where a step wants the trial to go on.
pub(super) const OVER: &str = "the trial of the datacenter's firewall is over: its minute has passed, and the firewall is off for the \
                               whole cluster; `bailiwick undo` of the plan brings the old rules back and switches it on again";

/// How long the firewall stays on by itself.
const MINUTE: Duration = Duration::from_secs(60);

/// What of the minute is left for the answers that confirming takes.
const SPARE: Duration = Duration::from_secs(5);

/// The trial that a run has under way.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Right before it was begun, or extended the last time.
    since: Instant,
    /// When it runs out if nothing further happens.
    until: Timestamp,
}

impl<L, J> Shared<L, J> {
    fn trial(&self) -> Option<Open> {
        *self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trial(&self, open: Option<Open>) {
        *self.trial.lock().unwrap_or_else(PoisonError::into_inner) = open;
    }

    /// What could be reached before the trial that a step begins, as its intent says.
    pub(super) fn remember_doors(&self, doors: &BTreeSet<String>) {
        *self.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors.clone();
    }

    /// What could be reached before the trial that an action begins; nothing for another.
    pub(super) fn doors_of(&self, action: &Action) -> BTreeSet<String> {
        if !begins(action) {
            return BTreeSet::new();
        }
        self.doors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether a trial is under way in this run.
    pub(super) fn tries(&self) -> bool {
        self.trial().is_some()
    }
}

/// Whether a step is done while the firewall is on trial.
pub(super) fn on_trial(step: &Step) -> bool {
    step.preconditions.contains(&Precondition::FirewallOnTrial)
}

/// Whether a step belongs to a trial: is on it, or begins it.
fn part_of(step: &Step) -> bool {
    on_trial(step) || begins(&step.action)
}

fn begins(action: &Action) -> bool {
    matches!(action, Action::Firewall(FirewallAction::BeginTrial { .. }))
}

/// The nodes that an action confirms a trial for.
fn confirms(action: &Action) -> Option<&BTreeSet<NodeName>> {
    match action {
        Action::Firewall(FirewallAction::ConfirmTrial { nodes }) => Some(nodes),
        _ => None,
    }
}

/// The step is about to be sent.
pub(super) fn sending<L, J>(shared: &Shared<L, J>, step: &Step) {
    if begins(&step.action) {
        shared.set_trial(Some(now()));
    }
}

/// The step was sent, and nothing is said to have happened: whether a trial goes on is what the cluster says now.
pub(super) async fn not_sent<L: Live, J: Journal>(shared: &Shared<L, J>, step: &Step) {
    let (begins, confirms) = (begins(&step.action), confirms(&step.action).is_some());
    if !begins && !confirms {
        return;
    }
    let touched = Touched::of(&step.action, &shared.world());
    let Ok(world) = shared.live.refresh(shared.world(), touched).await else {
        return;
    };
    let goes_on = world.firewalls.on_trial() != Some(false);
    if !goes_on && (begins || world.firewalls.may_be_on()) {
        shared.set_trial(None);
    }
}

/// The step ended well.
pub(super) fn ended<L, J>(shared: &Shared<L, J>, step: &Step) {
    if confirms(&step.action).is_some() {
        shared.set_trial(None);
    }
}

fn now() -> Open {
    Open {
        since: Instant::now(),
        until: Timestamp::now() + MINUTE,
    }
}

/// What is to be said besides why a step did not end well, if the firewall is on trial because of the run: what state that is, and what to
/// do about it.
pub(super) fn aftermath<L, J>(shared: &Shared<L, J>, step: &Step, why: String) -> String {
    match shared.trial() {
        Some(open) if part_of(step) && !why.contains(OVER) => format!(
            "{why}; the datacenter's firewall {} on trial and is not confirmed: it switches itself off for the whole cluster at {:.0}, \
             with what was changed so far in its configuration; `bailiwick undo` of the plan brings the old rules back and has it on for \
             good again",
            if begins(&step.action) { "may be" } else { "is" },
            open.until
        ),
        _ => why,
    }
}

/// Has the trial go on for long enough for a step that is on it. A run that was interrupted extends it in any case.
pub(super) async fn extend<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
) -> Result<(), NotBegun> {
    if !on_trial(step) {
        return Ok(());
    }
    match shared.trial() {
        Some(open) if open.since.elapsed() < shared.limits.trial_extend => Ok(()),
        _ => again(shared, step).await,
    }
}

/// Begins the minute anew, if it is not over.
async fn again<L: Live, J: Journal>(shared: &Shared<L, J>, step: &Step) -> Result<(), NotBegun> {
    let action = Action::Firewall(FirewallAction::BeginTrial {
        nodes: BTreeSet::new(),
    });
    let touched = Touched::of(&action, &shared.world());
    let world = shared.live.refresh(shared.world(), touched).await;
    let world = world.map_err(NotBegun::Unreadable)?;
    preconditions::check(&Precondition::FirewallOnTrial, &world, &Default::default())
        .map_err(NotBegun::Stale)?;
    let node = world.nodes.keys().next().or(step.node.as_ref());
    let node = node.ok_or_else(|| NotBegun::Unreadable("no node is known".to_owned()))?;
    let digest = preconditions::digest_read(&action, &world);
    let request = request_for(&action, node, digest.as_deref(), &|_, _| {
        Ok(zeroize::Zeroizing::default())
    });
    let request = request.map_err(|error| NotBegun::Unreadable(error.to_string()))?;
    let begun = now();
    let why = match shared.live.send(&request).await {
        Sent::Taken(_) => {
            shared.set_trial(Some(begun));
            return Ok(());
        }
        Sent::Refused { message, .. } => message,
        Sent::NotNow(why) | Sent::Undetermined(why) => why,
    };
    Err(NotBegun::Unreadable(format!(
        "the trial of the datacenter's firewall could not be extended: {why}"
    )))
}

/// Which doors of the nodes can be opened before a trial begins, as `NODE PORT`.
///
/// # Errors
/// The API of a node cannot be reached from here anyway, so no trial could be confirmed.
pub(super) async fn doors<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    world: &World,
) -> Result<BTreeSet<String>, String> {
    let Action::Firewall(FirewallAction::BeginTrial { nodes }) = &step.action else {
        return Ok(BTreeSet::new());
    };
    let all = every_door(nodes);
    let tried = open(shared, world, &all).await;
    let mut doors = BTreeSet::new();
    let mut shut = Vec::new();
    for ((node, port), tried) in all.iter().zip(tried) {
        match (tried, port) {
            (Ok(()), _) => drop(doors.insert(door(node, *port))),
            (Err(why), Port::Api) => shut.push(why),
            (Err(_), Port::Ssh) => {}
        }
    }
    if shut.is_empty() {
        return Ok(doors);
    }
    Err(format!(
        "the trial of the datacenter's firewall is not begun, since it could not be confirmed from here: {}; say in the configuration \
         where each node is reached (`clusters[].nodes`)",
        shut.join("; ")
    ))
}

fn every_door(nodes: &BTreeSet<NodeName>) -> Vec<(NodeName, Port)> {
    let of_node = |node: &NodeName| [Port::Api, Port::Ssh].map(|port| (node.clone(), port));
    nodes.iter().flat_map(of_node).collect()
}

fn door(node: &NodeName, port: Port) -> String {
    format!("{node} {}", port.word())
}

/// Tries doors, all at once.
async fn open<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    world: &World,
    doors: &[(NodeName, Port)],
) -> Vec<Result<(), String>> {
    let tries = doors.iter().map(|(node, port)| {
        let own = world.nodes.get(node).and_then(|node| node.ip.as_deref());
        Box::pin(shared.live.open(node, own, *port))
    });
    let mut waiting: Vec<_> = tries.map(Some).collect();
    let mut done: Vec<_> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (place, done) in waiting.iter_mut().zip(&mut done) {
            if let Some(future) = place
                && let Poll::Ready(tried) = future.as_mut().poll(context)
            {
                *done = Some(tried);
                *place = None;
            }
        }
        if waiting.iter().all(Option::is_none) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What a step that confirms is sent with, once every node was reached.
pub(super) struct Proven {
    /// The world right before it.
    pub(super) before: World,
    /// The digest of the options as they are now.
    pub(super) digest: Option<String>,
}

/// Waits until every node has its new rules, and opens new connections to each, for a step that confirms a trial; nothing for another
/// step.
///
/// # Errors
/// Why it must not be confirmed.
pub(super) async fn prove<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    touched: &Touched,
) -> Result<Option<Proven>, String> {
    let Some(nodes) = confirms(&step.action) else {
        return Ok(None);
    };
    let takes = shared.limits.trial_wait + shared.limits.trial_patience + SPARE;
    let left = |open: Open| MINUTE.saturating_sub(open.since.elapsed());
    if shared.trial().map(left).is_none_or(|left| left < takes) {
        again(shared, step).await.map_err(|why| match why {
            NotBegun::Frozen(why) | NotBegun::Stale(why) | NotBegun::Unreadable(why) => why,
        })?;
    }
    sleep(shared.limits.trial_wait).await;
    let until = Instant::now() + shared.limits.trial_patience;
    let mut waiting = needed(shared, step, nodes);
    loop {
        let tried = open(shared, &shared.world(), &waiting).await;
        let tried = waiting.into_iter().zip(tried);
        let shut: Vec<_> = tried
            .filter_map(|(door, tried)| Some((door, tried.err()?)))
            .collect();
        if shut.is_empty() {
            break;
        }
        if Instant::now() >= until {
            let shut: Vec<String> = shut.into_iter().map(|(_, why)| why).collect();
            return Err(format!(
                "not every node can be reached: {}",
                shut.join("; ")
            ));
        }
        waiting = shut.into_iter().map(|(door, _)| door).collect();
        sleep(shared.limits.poll).await;
    }
    // A connection that came about because the firewall was off already proves nothing.
    if shared
        .trial()
        .is_none_or(|open| open.since.elapsed() >= MINUTE)
    {
        return Err(OVER.to_owned());
    }
    let before = shared.live.refresh(shared.world(), touched.clone()).await?;
    preconditions::check(&Precondition::FirewallOnTrial, &before, &Default::default())?;
    let digest = preconditions::digest_read(&step.action, &before);
    Ok(Some(Proven { before, digest }))
}

/// The doors that must open again: each node's API, and what could be opened before the trial. If that is not known, only the API.
fn needed<L, J>(
    shared: &Shared<L, J>,
    step: &Step,
    nodes: &BTreeSet<NodeName>,
) -> Vec<(NodeName, Port)> {
    let left = shared.left.lock().unwrap_or_else(PoisonError::into_inner);
    // The latest trial that began before this step is the one that it confirms.
    let begun = left.iter().rev().find_map(|(id, left)| {
        let doors = &left.doors;
        (*id < step.id && !doors.is_empty()).then_some(doors)
    });
    every_door(nodes)
        .into_iter()
        .filter(|(node, port)| {
            *port == Port::Api || begun.is_some_and(|doors| doors.contains(&door(node, *port)))
        })
        .collect()
}
