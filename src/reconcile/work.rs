//! What is done for each key of one cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::cluster::{Asking, Worker};
use super::key::Key;
use super::queue::Done;
use super::sources::Readers;
use super::supervise::{Line, Telling};
use crate::apply::RunEnd;
use crate::apply::step::NotBegun;
use crate::apply::touched::Touched;
use crate::configuration::Cluster;
use crate::ids::ClusterName;
use crate::plan::words::line;
use crate::proxmox::client::Client;
use crate::service::upkeep::Refreshed;
use crate::service::{RunResult, Service, ServiceError};
use crate::store::{
    ConditionStatus, ConditionType, EventType, NewCondition, NewEvent, StoreError, SuspendScope,
};
use crate::world::watch::{Watch, WatchSettings};
use crate::world::{ObserveError, ObserveSettings, World};

/// How many waiting plans are made again at once; the others follow a little later.
const REFRESHED_AT_ONCE: usize = 25;

/// How often plans and conditions are looked at when nothing asks for it: time alone lets plans and approvals expire, and opens and
/// closes the windows of the policy.
const SETTLED: Duration = Duration::from_secs(60);

/// How many runs may have ended between two looks for their effects to be read by themselves.
const RUNS: u32 = 50;

/// The worker of one cluster.
pub(super) struct ClusterWorker {
    pub(super) service: Service,
    pub(super) cluster: ClusterName,
    pub(super) asking: Asking,
    pub(super) readers: Arc<Readers>,
    pub(super) telling: Telling,
    /// The client and the world that is kept up to date; empty until the first look.
    pub(super) watching: Mutex<Option<Watching>>,
    /// On which world each waiting plan was made last.
    pub(super) refreshed: Mutex<BTreeMap<String, Arc<World>>>,
}

/// A cluster that is kept in view.
pub(super) struct Watching {
    client: Client,
    watch: Watch,
    /// When the last run ended whose effects were read.
    run_ended: Option<Timestamp>,
}

impl Worker for ClusterWorker {
    async fn work(&self, key: Key) -> Done {
        let began = Instant::now();
        let word = key.word();
        let worked = match self.suspended(&key).await {
            Ok(true) => Ok(Done::Again(self.interval())),
            Ok(false) => self.do_it(&key).await,
            Err(error) => Err(error),
        };
        let (done, outcome) = match worked {
            Ok(done) => (done, if done == Done::Failed { "failed" } else { "ok" }),
            Err(error) => {
                self.tell(true, format!("{word}: {error}"));
                (Done::Failed, reason(&error))
            }
        };
        let metrics = self.service.metrics();
        metrics.reconciled(self.cluster.as_str(), outcome, began.elapsed());
        done
    }

    fn taken(&self, _: &Key, waited: Duration, depth: usize) {
        let metrics = self.service.metrics();
        metrics.queue(depth);
        metrics.queue_waited(waited);
    }
}

impl ClusterWorker {
    pub(super) fn tell(&self, warning: bool, text: String) {
        (self.telling)(Line {
            warning,
            text: format!("{}: {}", self.cluster, line(&text)),
        });
    }

    pub(super) fn configured(&self) -> Result<&Cluster, ServiceError> {
        self.service.cluster(Some(self.cluster.as_str()))
    }

    pub(super) fn interval(&self) -> Duration {
        length(self.service.configuration().reconcile.interval)
    }

    async fn suspended(&self, key: &Key) -> Result<bool, ServiceError> {
        let suspended = self.service.store().suspensions().await?;
        Ok(suspended.iter().any(|suspension| match suspension.scope {
            SuspendScope::Cluster => suspension.name == self.cluster.as_str(),
            SuspendScope::Source => matches!(key, Key::Source(name) if *name == suspension.name),
            SuspendScope::Object => false,
        }))
    }

    async fn do_it(&self, key: &Key) -> Result<Done, ServiceError> {
        match key {
            Key::Observe => self.observe().await,
            Key::Settle => self.settle().await,
            Key::Run => self.run().await,
            Key::Submission(id) => self.submission(id).await,
            Key::Source(name) => self.source(name).await,
        }
    }

    /// Looks at the cluster, whole the first time, and keeps what it sees for everybody who plans.
    async fn observe(&self) -> Result<Done, ServiceError> {
        let began = Instant::now();
        let mut watching = self.watching.lock().await;
        if self.asking.take_whole() {
            *watching = None;
        }
        let run_ended = self.service.store().last_run_ended(&self.cluster).await?;
        self.hint(&mut watching, run_ended).await?;
        let looked = self.look(&mut watching).await;
        let (requests, changed) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                // Another token may lie in its file, another certificate be configured: begin anew.
                if matches!(&error, ServiceError::Observe(why) if !matches!(**why, ObserveError::Api { .. }))
                {
                    *watching = None;
                }
                drop(watching);
                self.observed(Err(&error)).await?;
                self.tell(true, error.to_string());
                return Ok(Done::Failed);
            }
        };
        let Some(seen) = watching.as_mut() else {
            return Err(ServiceError::Defect("a watch without a world".to_owned()));
        };
        let changed = changed || seen.run_ended != run_ended;
        seen.run_ended = run_ended;
        let world = Arc::clone(seen.watch.world());
        drop(watching);
        let unreadable = world.unreadable_parts().count();
        let now = self.service.now();
        // Good for a while longer than a cycle: one that fails does not stop everybody from planning.
        let good = SignedDuration::try_from(self.interval() * 4).unwrap_or_default();
        let good_until = now.saturating_add(good).unwrap_or(now);
        self.service.worlds().keep(world, good_until, run_ended);
        let metrics = self.service.metrics();
        metrics.cycle(self.cluster.as_str(), requests, began.elapsed());
        metrics.observed(self.cluster.as_str(), now, unreadable);
        self.observed(Ok(unreadable)).await?;
        if changed {
            self.asking.ask(Key::Settle);
        }
        Ok(Done::Again(self.interval()))
    }

    /// Looks once. Returns how many requests that took, and whether anything is another than before.
    async fn look(&self, watching: &mut Option<Watching>) -> Result<(u32, bool), ServiceError> {
        if let Some(Watching { client, watch, .. }) = watching {
            let cycle = watch.cycle(client).await?;
            return Ok((cycle.requests, !cycle.changed.is_empty()));
        }
        let client = self.service.client(&self.cluster)?;
        let settings = WatchSettings {
            requests_per_cycle: self.service.configuration().reconcile.requests_per_cycle,
        };
        let observe = ObserveSettings::all(self.cluster.clone());
        let watch = Watch::begin(&client, settings, observe).await?;
        let sweep = self
            .interval()
            .saturating_mul(u32::try_from(watch.sweep_cycles()).unwrap_or(u32::MAX));
        self.tell(
            false,
            format!(
                "observed: {} guests on {} nodes; what shows in no list is seen within {:#}",
                watch.world().guests.len(),
                watch.world().nodes.len(),
                SignedDuration::try_from(sweep)
                    .unwrap_or(SignedDuration::MAX)
                    .round(jiff::Unit::Second)
                    .unwrap_or(SignedDuration::MAX)
            ),
        );
        *watching = Some(Watching {
            client,
            watch,
            run_ended: None,
        });
        Ok((0, true))
    }

    /// What runs of our own changed is read again, wherever they ran: some of it shows in no list.
    async fn hint(
        &self,
        watching: &mut Option<Watching>,
        run_ended: Option<Timestamp>,
    ) -> Result<(), ServiceError> {
        let Some(seen) = watching.as_mut() else {
            return Ok(());
        };
        if seen.run_ended == run_ended {
            return Ok(());
        }
        let store = self.service.store();
        let world = Arc::clone(seen.watch.world());
        for run in store.runs(Some(&self.cluster), None, RUNS).await? {
            if run.ended.is_none() || run.ended <= seen.run_ended {
                continue;
            }
            let (_, plan, _) = self.service.plan(&run.plan).await?;
            for step in &plan.steps {
                let touched = Touched::of(&step.action, &world);
                let storages = touched.content.into_iter().map(|(_, storage)| storage);
                seen.watch.hint(touched.guests, storages);
            }
        }
        Ok(())
    }

    /// Says of the cluster whether it can be observed.
    async fn observed(&self, looked: Result<usize, &ServiceError>) -> Result<(), ServiceError> {
        let condition = |status, reason: &str, message: String| NewCondition {
            kind: ConditionType::Ready,
            status,
            reason: reason.to_owned(),
            message: line(&message),
            observed_generation: 0,
        };
        let condition = match looked {
            Ok(0) => condition(ConditionStatus::True, "Observed", String::new()),
            Ok(parts) => condition(
                ConditionStatus::True,
                "PartlyObserved",
                format!("{parts} parts cannot be read; `bailiwick doctor` says which and why"),
            ),
            Err(error) => condition(ConditionStatus::False, reason(error), error.to_string()),
        };
        let object = format!("cluster/{}", self.cluster);
        self.conditions(&object, &[condition]).await
    }

    /// Sets conditions of something that is no document, and tells of changes.
    pub(super) async fn conditions(
        &self,
        object: &str,
        new: &[NewCondition],
    ) -> Result<(), ServiceError> {
        self.conditions_of(&self.cluster, object, new).await?;
        Ok(())
    }

    /// The same for another cluster. Returns whether any changed.
    pub(super) async fn conditions_of(
        &self,
        cluster: &ClusterName,
        object: &str,
        new: &[NewCondition],
    ) -> Result<bool, ServiceError> {
        let now = self.service.now();
        let mut tx = self.service.store().begin().await?;
        let changed = tx.set_conditions(cluster, object, new, now).await?;
        let any = !changed.is_empty();
        for (before, condition) in changed {
            let good = condition.status == ConditionStatus::True;
            if condition.kind == ConditionType::Stalled || (good && before.is_none()) {
                continue;
            }
            tx.add_event(&NewEvent {
                at: now,
                cluster: Some(cluster.clone()),
                object: object.to_owned(),
                kind: if good {
                    EventType::Normal
                } else {
                    EventType::Warning
                },
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                actor: "system:reconcile".to_owned(),
                plan: None,
                ledger: None,
            })
            .await?;
        }
        tx.commit().await?;
        Ok(any)
    }

    /// Looks for drift, makes waiting plans again, and lets time have its way with them.
    async fn settle(&self) -> Result<Done, ServiceError> {
        let cluster = self.configured()?;
        let reconcile = &self.service.configuration().reconcile;
        self.service
            .expire_plans(&self.cluster, reconcile.plans_expire)
            .await?;
        if !self.service.ripen_plans(&self.cluster).await?.is_empty() {
            self.asking.ask(Key::Run);
        }
        if self.service.known_world(&self.cluster).await?.is_none() {
            // Nothing is known of it as it is now: a look asks for this again.
            self.asking.ask(Key::Observe);
            return Ok(Done::Well);
        }
        let settled = self.service.settle_cluster(cluster).await?;
        let drifted: BTreeMap<String, u64> = settled
            .drifted
            .iter()
            .map(|(kind, count)| (kind.clone(), u64::try_from(*count).unwrap_or(u64::MAX)))
            .collect();
        self.service
            .metrics()
            .set_drifted(self.cluster.as_str(), &drifted);
        for planned in &settled.proposed {
            if planned.state == Some(crate::store::PlanState::Approved) {
                self.asking.ask(Key::Run);
            }
        }
        let left = self.refresh_plans().await?;
        Ok(Done::Again(if left > 0 {
            Duration::from_secs(1)
        } else {
            SETTLED
        }))
    }

    /// Makes waiting plans again that were made on another world than the one known now. Returns how many are left to do.
    async fn refresh_plans(&self) -> Result<usize, ServiceError> {
        let Some(world) = self.service.known_world(&self.cluster).await? else {
            return Ok(0);
        };
        let mut refreshed = self.refreshed.lock().await;
        let waiting = self.service.waiting_plans(&self.cluster).await?;
        refreshed.retain(|hash, _| waiting.iter().any(|head| head.hash == *hash));
        let stale: Vec<_> = waiting
            .iter()
            .filter(|head| {
                !refreshed
                    .get(&head.hash)
                    .is_some_and(|on| Arc::ptr_eq(on, &world))
            })
            .collect();
        let left = stale.len().saturating_sub(REFRESHED_AT_ONCE);
        for head in stale.into_iter().take(REFRESHED_AT_ONCE) {
            match self.service.refresh_plan(head).await? {
                Refreshed::Holds | Refreshed::Unclear(_) => {
                    refreshed.insert(head.hash.clone(), Arc::clone(&world));
                }
                Refreshed::Superseded(planned) => {
                    refreshed.insert(planned.plan.hash.0.clone(), Arc::clone(&world));
                    self.tell(
                        false,
                        format!("{} no longer holds: see {}", head.hash, planned.plan.hash),
                    );
                }
            }
        }
        Ok(left)
    }

    /// Runs what can be run, one plan after the other.
    async fn run(&self) -> Result<Done, ServiceError> {
        if !self.service.configuration().reconcile.run {
            return Ok(Done::Well);
        }
        let cluster = self.configured()?;
        // A freeze may end by itself.
        let mut done = Done::Again(SETTLED);
        for head in self.service.runnable(cluster).await? {
            if self.service.stopping().is_cancelled() {
                return Ok(Done::Well);
            }
            self.tell(false, format!("running {}", head.hash));
            let ran = self.service.run(&head.hash, &|_| ()).await;
            let (warning, text, failed) = match ran {
                Ok(report) => match report.result {
                    RunResult::Ended(RunEnd::Done) => (false, "ok".to_owned(), false),
                    RunResult::Ended(RunEnd::Failed { step, why }) => {
                        (true, format!("failed at step {step}: {why}"), false)
                    }
                    RunResult::Ended(RunEnd::Stopped { step, why }) => {
                        let (why, again) = match why {
                            NotBegun::Frozen(why) | NotBegun::Unreadable(why) => (why, true),
                            NotBegun::Stale(why) => (why, false),
                        };
                        (true, format!("stopped before step {step}: {why}"), again)
                    }
                    RunResult::Ended(RunEnd::Undetermined { step, why }) => {
                        (true, format!("step {step} is undetermined: {why}"), true)
                    }
                    RunResult::Superseded(new) => {
                        (false, format!("superseded by {}", new.plan.hash), false)
                    }
                },
                // Somebody runs on this cluster by hand.
                Err(ServiceError::Store(error @ StoreError::Locked { .. })) => {
                    self.tell(false, error.to_string());
                    return Ok(Done::Failed);
                }
                Err(error) => (true, error.to_string(), true),
            };
            self.tell(warning, format!("{}: {text}", head.hash));
            if failed {
                done = Done::Failed;
            }
        }
        Ok(done)
    }

    async fn submission(&self, id: &str) -> Result<Done, ServiceError> {
        use crate::service::inbox::Outcome;
        let receipt = self.service.plan_submission(id).await?;
        Ok(match receipt.outcome {
            Outcome::Pending { .. } => Done::Failed,
            _ => Done::Well,
        })
    }
}

pub(super) fn length(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::from_secs(1))
}

/// The word for an error in metrics and conditions.
pub(super) fn reason(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::Documents(_) => "InvalidDocuments",
        ServiceError::Plan(_) => "CannotPlan",
        ServiceError::Store(_) => "StoreFailed",
        ServiceError::Approval(_) => "NotApproved",
        ServiceError::Observe(_) | ServiceError::Cluster { .. } => "Unreachable",
        ServiceError::Setup { .. } => "Misconfigured",
        ServiceError::Refused(_) => "Refused",
        ServiceError::Request(_) => "NotPossible",
        ServiceError::NotFound(_) => "NotFound",
        ServiceError::Conflict(_) => "Conflict",
        ServiceError::State(_) => "WrongState",
        ServiceError::TooMany(_) => "TooMany",
        ServiceError::Defect(_) => "Defect",
    }
}
