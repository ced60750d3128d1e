//! Running: the one way to a mutation. The plan is made again from a fresh world; a different hash means `superseded`. Its
//! approvals must satisfy the policy now, and are used up in the same transaction that begins the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::accept::tell_moves;
use super::error::ServiceError;
use super::open::Service;
use super::planning::Prepared;
use super::recipe::Recipe;
use super::submit::Planned;
use crate::apply::cluster::{Address, ApiCluster};
use crate::apply::executor::Progress;
use crate::apply::journal::StoreJournal;
use crate::apply::port::{Outcome, Remembered};
use crate::apply::step::NotBegun;
use crate::apply::{Executor, RunEnd};
use crate::approval::facts::ObjectKind;
use crate::approval::{Satisfaction, Verdict};
use crate::configuration::Cluster;
use crate::document::load;
use crate::ids::NodeName;
use crate::ledger::Action;
use crate::plan::{self, DocumentRef, Ownership, Plan, PlanHash, StepId};
use crate::store::{NewDocument, PlanState, RunId, RunState, Transaction};
use crate::world::World;

/// What a run came to.
#[derive(Debug)]
pub enum RunResult {
    /// It ran to this end.
    Ended(RunEnd),
    /// The world has moved on: the plan no longer holds, and a new one waits (or nothing is left to do).
    Superseded(Box<Planned>),
}

/// A run, told.
#[derive(Debug)]
pub struct RunReport {
    /// The plan.
    pub plan: PlanHash,
    /// What it came to.
    pub result: RunResult,
    /// The ledger record of its end.
    pub ledger: Option<u64>,
    /// What followed for the documents, in words.
    pub notes: Vec<String>,
}

/// What a run made of documents, by key: the hash of what each says now, or that it is gone.
type Left = BTreeMap<String, Option<String>>;

/// Where progress is told.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

impl Service {
    /// Runs an approved plan, or takes up an interrupted run of it.
    pub async fn run(&self, prefix: &str, tell: Tell<'_>) -> Result<RunReport, ServiceError> {
        let (stored, _, _) = self.plan(prefix).await?;
        let cluster = self.cluster(Some(stored.head.cluster.as_str()))?;
        let _lock = self.store.lock_runs(&cluster.name)?;
        // Only under the lock is the state what it will be.
        let (stored, plan, recipe) = self.plan(&stored.head.hash).await?;
        match stored.head.state {
            PlanState::Approved => self.begin(cluster, plan, recipe, tell).await,
            PlanState::Running | PlanState::Stopped => {
                self.resume(cluster, plan, recipe, tell).await
            }
            PlanState::Waiting => {
                let standing = self.standing(&plan, &recipe).await?;
                Err(ServiceError::Refused(match standing.verdict {
                    Verdict::Waiting { missing } => format!(
                        "the plan {} waits for approval: {}",
                        plan.hash,
                        missing.join("; ")
                    ),
                    Verdict::Denied { reason } => reason,
                    Verdict::Rejected { by, reason } => format!("{by} rejected it: {reason}"),
                    Verdict::Satisfied { .. } => {
                        "its approval was not recorded whole; approve it again".to_owned()
                    }
                }))
            }
            PlanState::Rejected => Err(ServiceError::Refused(format!(
                "the plan {} was rejected",
                plan.hash
            ))),
            state @ (PlanState::Superseded
            | PlanState::Applied
            | PlanState::Expired
            | PlanState::Withdrawn) => Err(ServiceError::Request(format!(
                "the plan {} is {} and cannot be run; submit again for a new one",
                plan.hash,
                state.name()
            ))),
        }
    }

    async fn begin(
        &self,
        cluster: &Cluster,
        plan: Plan,
        recipe: Recipe,
        tell: Tell<'_>,
    ) -> Result<RunReport, ServiceError> {
        self.refuse_when_frozen(cluster, &plan).await?;
        let made = match self.make_to_run(&recipe, cluster).await {
            Ok(made) if made.plan.hash == plan.hash => made,
            Ok(made) => {
                self.supersede(&plan.hash, "the world has changed").await?;
                let planned = self.store_made(&recipe, made).await?;
                return Ok(RunReport {
                    plan: plan.hash,
                    ledger: planned.ledger,
                    result: RunResult::Superseded(Box::new(planned)),
                    notes: Vec::new(),
                });
            }
            Err(error @ (ServiceError::Plan(_) | ServiceError::Conflict(_))) => {
                self.supersede(&plan.hash, "it can no longer be planned")
                    .await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let run = self.start(cluster, &plan, &recipe).await?;
        self.execute(
            cluster,
            &plan,
            &recipe,
            run,
            made.from,
            Arc::unwrap_or_clone(made.world),
            None,
            tell,
        )
        .await
    }

    /// Uses the approvals up and begins the run, in one transaction.
    async fn start(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        recipe: &Recipe,
    ) -> Result<RunId, ServiceError> {
        let standing = self.standing(plan, recipe).await?;
        let Verdict::Satisfied { by } = standing.verdict else {
            return Err(ServiceError::Refused(match standing.verdict {
                Verdict::Waiting { missing } => {
                    format!("its approvals no longer count: {}", missing.join("; "))
                }
                Verdict::Denied { reason } => reason,
                Verdict::Rejected { by, reason } => format!("{by} rejected it: {reason}"),
                Verdict::Satisfied { .. } => String::new(),
            }));
        };
        let decisions = self.decisions(&plan.hash, true).await?;
        let mut tx = self.store.begin().await?;
        let mut approvers = Vec::new();
        match by {
            Satisfaction::Policy { rule } => approvers.push(format!("policy rule {rule}")),
            Satisfaction::People { approvals } => {
                for index in approvals {
                    let (id, approval) = decisions.get(index).ok_or_else(|| {
                        ServiceError::Defect("an approval went missing".to_owned())
                    })?;
                    tx.consume(*id, &plan.hash.0, self.now()).await?;
                    approvers.push(approval.principal.to_string());
                }
            }
        }
        tx.set_plan_state(
            &plan.hash.0,
            PlanState::Approved,
            PlanState::Running,
            self.now(),
        )
        .await?;
        let run = tx
            .start_run(&plan.hash.0, &cluster.name, self.now())
            .await?;
        let detail =
            serde_json::json!({ "run": run.0, "steps": plan.steps.len(), "approvedBy": approvers });
        self.run_record(&mut tx, Action::RunStarted, plan, detail)
            .await?;
        tx.commit().await?;
        Ok(run)
    }

    async fn resume(
        &self,
        cluster: &Cluster,
        plan: Plan,
        recipe: Recipe,
        tell: Tell<'_>,
    ) -> Result<RunReport, ServiceError> {
        let run = self
            .store
            .runs(Some(&cluster.name), Some(&plan.hash.0), 1)
            .await?
            .into_iter()
            .next();
        let run =
            run.ok_or_else(|| ServiceError::Defect("a plan that runs without a run".to_owned()))?;
        match run.state {
            RunState::Running | RunState::Undetermined | RunState::Stopped => {}
            RunState::Ok | RunState::Failed => {
                return Err(ServiceError::Request(format!(
                    "the run of {} ended ({}); submit the documents again for a plan of what is left, or `bailiwick undo` what was done",
                    plan.hash,
                    run.state.name()
                )));
            }
        }
        self.refuse_when_frozen(cluster, &plan).await?;
        let mut tx = self.store.begin().await?;
        if run.state != RunState::Running {
            tx.set_run_state(run.id, RunState::Running, self.now())
                .await?;
        }
        if self
            .store
            .plan(&plan.hash.0)
            .await?
            .is_some_and(|stored| stored.head.state == PlanState::Stopped)
        {
            tx.set_plan_state(
                &plan.hash.0,
                PlanState::Stopped,
                PlanState::Running,
                self.now(),
            )
            .await?;
        }
        self.run_record(
            &mut tx,
            Action::RunResumed,
            &plan,
            serde_json::json!({ "run": run.id.0 }),
        )
        .await?;
        tx.commit().await?;
        let prepared = self.prepare(&recipe, &cluster.name).await?;
        let world = self.observe(cluster).await?;
        let remembered = self.journal(&plan, run.id).remembered().await?;
        self.execute(
            cluster,
            &plan,
            &recipe,
            run.id,
            prepared,
            world,
            Some(remembered),
            tell,
        )
        .await
    }

    fn journal(&self, plan: &Plan, run: RunId) -> StoreJournal {
        StoreJournal {
            store: self.store.clone(),
            key: Arc::clone(&self.key),
            clock: Arc::clone(&self.environment.clock),
            run,
            plan: plan.hash.0.clone(),
            cluster: plan.cluster.clone(),
            actor: "system:executor".to_owned(),
            stopping: self.stopping.clone(),
            abort_at: (self.environment.variable)("BAILIWICK_TEST_ABORT_AT"),
        }
    }

    #[allow(clippy::too_many_arguments)] // the two ways in, begin and resume, differ in all of these
    async fn execute(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        recipe: &Recipe,
        run: RunId,
        prepared: Prepared,
        world: World,
        remembered: Option<BTreeMap<StepId, Remembered>>,
        tell: Tell<'_>,
    ) -> Result<RunReport, ServiceError> {
        let executor = self.executor(cluster, plan, run, world)?;
        let (end, world) = match remembered {
            None => {
                let end = executor.run(plan, BTreeMap::new(), tell).await?;
                (end, executor.world())
            }
            Some(remembered) => {
                let begun = part(plan, |step| remembered.contains_key(&step));
                let end = executor.run(&begun, remembered, tell).await?;
                if end == RunEnd::Done {
                    self.rest(cluster, plan, run, tell).await?
                } else {
                    (end, executor.world())
                }
            }
        };
        let (ledger, notes) = self
            .finish(plan, recipe, run, &prepared, &world, &end)
            .await?;
        Ok(RunReport {
            plan: plan.hash.clone(),
            result: RunResult::Ended(end),
            ledger: Some(ledger),
            notes,
        })
    }

    /// The steps that an interrupted run did not begin. The world may have moved on since they were approved: they are begun only if
    /// nothing gets worse by them that the plan does not name.
    async fn rest(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        run: RunId,
        tell: Tell<'_>,
    ) -> Result<(RunEnd, World), ServiceError> {
        let remembered = self.journal(plan, run).remembered().await?;
        let rest = part(plan, |step| !remembered.contains_key(&step));
        let steps: BTreeSet<StepId> = rest.steps.iter().map(|step| step.id).collect();
        let world = self.observe(cluster).await?;
        let settings = self.settings(cluster).await?;
        let unapproved = plan::unapproved(plan, &steps, &world, &settings);
        if let (Some(step), false) = (steps.first(), unapproved.is_empty()) {
            let why = NotBegun::Stale(format!(
                "what is left of the plan would now do what it does not say: {}",
                unapproved.join("; ")
            ));
            return Ok((RunEnd::Stopped { step: *step, why }, world));
        }
        let executor = self.executor(cluster, plan, run, world)?;
        let end = executor.run(plan, remembered, tell).await?;
        Ok((end, executor.world()))
    }

    fn executor(
        &self,
        cluster: &Cluster,
        plan: &Plan,
        run: RunId,
        world: World,
    ) -> Result<Executor<ApiCluster, StoreJournal>, ServiceError> {
        let service = self.clone();
        let limits = self.limits(cluster);
        let live = ApiCluster {
            client: self.client(&cluster.name)?,
            secrets: Arc::new(move |from, planned| service.planned_secret(from, planned)),
            poll: limits.poll,
            nodes: addresses(cluster),
        };
        let journal = self.journal(plan, run);
        let metrics = self.metrics.clone();
        Ok(Executor::new(live, journal, limits, world, metrics))
    }

    /// Writes down how the run ended and what follows: documents and ownership, the plan's and the run's state, one record.
    async fn finish(
        &self,
        plan: &Plan,
        recipe: &Recipe,
        run: RunId,
        prepared: &Prepared,
        world: &World,
        end: &RunEnd,
    ) -> Result<(u64, Vec<String>), ServiceError> {
        let (run_state, plan_state, word, why) = match end {
            RunEnd::Done => (RunState::Ok, Some(PlanState::Applied), "ok", String::new()),
            RunEnd::Failed { step, why } => (
                RunState::Failed,
                Some(PlanState::Stopped),
                "failed",
                format!("step {step}: {why}"),
            ),
            // Nothing happened that was not planned: the run can go on.
            RunEnd::Stopped {
                step,
                why: NotBegun::Frozen(why) | NotBegun::Unreadable(why),
            } => (
                RunState::Stopped,
                Some(PlanState::Stopped),
                "stopped",
                format!("before step {step}: {why}"),
            ),
            RunEnd::Stopped {
                step,
                why: NotBegun::Stale(why),
            } => (
                RunState::Failed,
                Some(PlanState::Stopped),
                "failed",
                format!("before step {step}: {why}"),
            ),
            RunEnd::Undetermined { step, why } => (
                RunState::Undetermined,
                None,
                "undetermined",
                format!("step {step}: {why}"),
            ),
        };
        let mut notes = Vec::new();
        let mut tx = self.store.begin().await?;
        let done = self.done(run).await?;
        let (after, documents) = match end {
            RunEnd::Done if recipe.undoes().is_some() => {
                self.take_back(&mut tx, plan, recipe, prepared, world, &mut notes)
                    .await?
            }
            RunEnd::Done => {
                let changed = self
                    .put_documents(&mut tx, recipe, prepared, &plan.cluster)
                    .await?;
                let after =
                    prepared
                        .ownership
                        .after(plan, &prepared.items, &prepared.secrets, world);
                let hash = |key: &String| {
                    let mut wanted = prepared.wanted.iter();
                    let found = wanted.find(|document| document.key().to_string() == *key);
                    found.map(|document| document.hash.to_string())
                };
                let left = changed.into_iter().map(|key| (key.clone(), hash(&key)));
                (after, left.collect())
            }
            // What was made belongs to its document even if the run did not get further, so that the next plan finds it.
            RunEnd::Failed { .. } | RunEnd::Stopped { .. } | RunEnd::Undetermined { .. } => {
                let far = as_far_as(plan, &done);
                let after =
                    prepared
                        .ownership
                        .after(&far, &prepared.items, &prepared.secrets, world);
                (after, Left::new())
            }
        };
        self.put_ownership(&mut tx, &plan.cluster, &prepared.ownership, &after)
            .await?;
        tx.set_run_state(run, run_state, self.now()).await?;
        if let Some(state) = plan_state {
            tx.set_plan_state(&plan.hash.0, PlanState::Running, state, self.now())
                .await?;
        }
        // Also after a run that failed before its first step ended: what failed may have left something, and submitting the same
        // documents again must give another plan, with an approval of its own.
        if !done.is_empty() || run_state == RunState::Failed {
            tx.set_parent(&plan.cluster, &plan.hash.0, self.now())
                .await?;
        }
        let mut detail = serde_json::json!({
            "run": run.0, "outcome": word, "why": why, "steps": done.len(), "documents": documents,
        });
        tell_moves(&mut detail, &prepared.ownership, &after);
        let record = self
            .run_record(&mut tx, Action::RunFinished, plan, detail)
            .await?;
        tx.commit().await?;
        self.metrics.ran(plan.cluster.as_str(), word);
        if let Err(error) = self.checkpoint_if_configured().await {
            notes.push(format!("no checkpoint was written: {error}"));
        }
        Ok((record, notes))
    }

    async fn done(&self, run: RunId) -> Result<BTreeSet<StepId>, ServiceError> {
        use crate::store::StepOutcome;
        let steps = self.store.run_steps(run).await?;
        let well = steps
            .into_iter()
            .filter(|step| matches!(step.outcome, Some(StepOutcome::Ok | StepOutcome::Warnings)));
        Ok(well.map(|step| StepId(step.at.step)).collect())
    }

    async fn run_record(
        &self,
        tx: &mut Transaction,
        action: Action,
        plan: &Plan,
        detail: serde_json::Value,
    ) -> Result<u64, ServiceError> {
        let subject = format!("cluster/{}", plan.cluster);
        Ok(self
            .record(
                tx,
                "system:executor",
                action,
                &subject,
                Some(&plan.hash.0),
                detail,
            )
            .await?
            .seq)
    }

    async fn supersede(&self, plan: &PlanHash, why: &str) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        tx.set_plan_state(
            &plan.0,
            PlanState::Approved,
            PlanState::Superseded,
            self.now(),
        )
        .await?;
        let detail = serde_json::json!({ "why": why });
        let subject = format!("plan/{plan}");
        self.record(
            &mut tx,
            "system:executor",
            Action::PlanSuperseded,
            &subject,
            Some(&plan.0),
            detail,
        )
        .await?;
        Ok(tx.commit().await?)
    }

    async fn refuse_when_frozen(&self, cluster: &Cluster, plan: &Plan) -> Result<(), ServiceError> {
        let freezes = self.store.active_freezes(self.now()).await?;
        let kinds: BTreeSet<&str> = plan
            .steps
            .iter()
            .map(|step| ObjectKind::of(&step.action).word())
            .collect();
        match freezes.iter().map(|freeze| &freeze.freeze).find(|freeze| {
            kinds
                .iter()
                .any(|kind| freeze.scope.covers(&cluster.name, kind))
        }) {
            None => Ok(()),
            Some(freeze) => Err(ServiceError::Refused(format!(
                "{} is frozen by {} since {}: {} (lift it with `bailiwick thaw`)",
                freeze.scope, freeze.who, freeze.since, freeze.reason
            ))),
        }
    }

    /// After an undo: the documents are what they were before the plan that was undone, where nobody changed them since.
    async fn take_back(
        &self,
        tx: &mut Transaction,
        plan: &Plan,
        recipe: &Recipe,
        prepared: &Prepared,
        world: &World,
        notes: &mut Vec<String>,
    ) -> Result<(Ownership, Left), ServiceError> {
        let mut after = prepared
            .ownership
            .after(plan, &prepared.items, &prepared.secrets, world);
        for back in plan.documents.iter().filter(|d| d.former_owner.is_some()) {
            notes.push(if after.give_back(back) {
                format!(
                    "{} is owned by {} of {} again",
                    back.object, back.key, back.source
                )
            } else {
                format!("{} is left to who owns it now", back.object)
            });
        }
        for back in &plan.documents {
            let clone = back.instead_of.as_ref();
            let was = clone.and_then(|clone| prepared.ownership.objects.get(clone));
            if let Some(was) = was {
                notes.push(if after.own_again(back, was, world) {
                    format!("{} is about {} again", back.key, back.object)
                } else {
                    format!("{} is left to who owns it now", back.object)
                });
            }
        }
        let given_back = |key: &str, source: &str| {
            let mut back = plan.documents.iter().filter(|d| d.former_owner.is_some());
            back.any(|document| document.key == key && document.source == source)
        };
        let mut changed = Left::new();
        for (key, left) in self.documents_left(recipe).await? {
            let Some((kind, name)) = key.split_once('/') else {
                continue;
            };
            let now = self.store.document(&plan.cluster, kind, name).await?;
            let now = now.map(|now| now.document);
            if now.as_ref().map(|now| &now.hash) != left.as_ref() {
                notes.push(format!("{key} was changed since and is left as it is"));
                continue;
            }
            let history = self
                .store
                .document_history(&plan.cluster, kind, name)
                .await?;
            let before = history
                .iter()
                .rev()
                .find(|version| match &left {
                    Some(hash) => version.removed || version.version.document.hash != *hash,
                    None => !version.removed,
                })
                .filter(|version| !version.removed)
                .map(|version| &version.version.document);
            match before {
                Some(before) => {
                    match now.filter(|now| now.source != before.source) {
                        Some(now) if given_back(&key, &before.source) => {
                            tx.take_over_document(before, &now.source, self.now())
                                .await?;
                        }
                        Some(now) => {
                            notes.push(format!("{key} is left to {}", now.source));
                            continue;
                        }
                        None => _ = tx.put_document(before, self.now()).await?,
                    }
                    for owned in after.objects.values_mut().filter(|o| o.document == key) {
                        owned.hash = Some(before.hash.clone());
                    }
                    if left.is_none()
                        && let Some(mut document) = self.deleted(recipe, &key, before).await?
                        && plan
                            .steps
                            .iter()
                            .any(|s| made(&s.action).contains(&document.object))
                        && let Ok(read) = load(&[(key.clone(), before.text.clone())])
                        && let Some(read) = read.first()
                    {
                        document.hash = Some(before.hash.clone());
                        after.own_restored(&document, &read.desired(), &prepared.secrets, world);
                    }
                    notes.push(match &left {
                        Some(_) => format!("{key} is again what it was before"),
                        None => format!("{key} is managed again"),
                    });
                }
                None => {
                    tx.remove_document(&plan.cluster, kind, name, self.now())
                        .await?;
                    after.objects.retain(|_, owned| owned.document != key);
                    notes.push(format!("{key} is no longer managed"));
                }
            }
            changed.insert(key, before.map(|before| before.hash.clone()));
        }
        Ok((after, changed))
    }

    /// What the plan that is taken back says of a document whose object it deleted.
    async fn deleted(
        &self,
        recipe: &Recipe,
        key: &str,
        before: &NewDocument,
    ) -> Result<Option<DocumentRef>, ServiceError> {
        let Some(of) = recipe.undoes() else {
            return Ok(None);
        };
        let (_, plan, _) = self.plan(&of.0).await?;
        let documents = plan.documents.into_iter();
        let mut gone = documents.filter(|document| document.hash.is_none());
        Ok(gone.find(|document| document.key == key && document.source == before.source))
    }

    /// What the run that is to be taken back made of the documents it changed, by the ledger: documents that were merely submitted
    /// along are none of its doing.
    async fn documents_left(&self, recipe: &Recipe) -> Result<Left, ServiceError> {
        let filter = crate::store::RecordFilter {
            plan: recipe.undoes().map(|of| of.0.clone()),
            ..Default::default()
        };
        let records = self.store.ledger_records(&filter, u32::MAX).await?;
        let finished = records.into_iter().rev().find(|record| {
            record.action == Action::RunFinished
                && record.detail.get("run").and_then(serde_json::Value::as_i64) == recipe.run
        });
        let left = finished.and_then(|record| record.detail.get("documents").cloned());
        Ok(left.map_or_else(|| Ok(Left::new()), serde_json::from_value)?)
    }
}

/// The plan with only these of its steps.
fn part(plan: &Plan, keep: impl Fn(StepId) -> bool) -> Plan {
    let mut part = plan.clone();
    part.steps.retain(|step| keep(step.id));
    part
}

/// The plan as far as it was carried out: the steps done, and the documents whose objects those steps made.
fn as_far_as(plan: &Plan, done: &BTreeSet<StepId>) -> Plan {
    let mut part = part(plan, |step| done.contains(&step));
    let made: BTreeSet<String> = part
        .steps
        .iter()
        .flat_map(|step| made(&step.action))
        .collect();
    part.documents
        .retain(|document| document.hash.is_some() && made.contains(&document.object));
    part
}

fn made(action: &crate::world::Action) -> Vec<String> {
    use crate::world::Action as Do;
    let one = match action {
        Do::CreateGuest { kind, vmid, .. }
        | Do::CloneGuest { kind, vmid, .. }
        | Do::RestoreGuest { kind, vmid, .. } => {
            format!("{}/{vmid}", kind.word())
        }
        Do::CreateStorage { id, .. } => format!("storage/{id}"),
        Do::CreatePool { id, .. } => format!("pool/{id}"),
        Do::CreateBackupJob { id, .. } => format!("backup-job/{id}"),
        Do::TakeSnapshot { vmid, name, .. } => format!("snapshot/{vmid}/{name}"),
        Do::CreateReplicationJob { id, .. } => format!("replication-job/{id}"),
        Do::Account(action) => return action.makes().into_iter().collect(),
        Do::Firewall(action) => return action.makes().into_iter().collect(),
        Do::DownloadImage { node, volume, .. } => {
            return crate::plan::image_objects(node, volume).to_vec();
        }
        _ => return Vec::new(),
    };
    vec![one]
}

/// How a step's outcome is called.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Warnings => "ok, with warnings",
        Outcome::Failed => "failed",
        Outcome::Undetermined => "undetermined",
    }
}

/// Where the API of single nodes is reached, as the configuration says: a node's own entry, or the endpoint that is called like it.
fn addresses(cluster: &Cluster) -> BTreeMap<NodeName, Address> {
    let called = cluster.endpoints.iter().filter_map(|at| {
        let named = !at.host().starts_with('[') && at.host().parse::<std::net::IpAddr>().is_err();
        let label = at.host().split('.').next().filter(|_| named)?;
        Some((label.parse().ok()?, at))
    });
    let said = cluster.nodes.iter().map(|(node, at)| (node.clone(), at));
    called
        .chain(said)
        .map(|(node, at)| (node, (at.host().to_owned(), at.port())))
        .collect()
}
