//! Plans as they stand: pages of them, and one with what it needs, what holds it up and how its runs went.

use super::error::ServiceError;
use super::open::Service;
use super::planning::Standing;
use super::recipe::Recipe;
use crate::approval::Verdict;
use crate::plan::Plan;
use crate::store::{PlanFilter, PlanHead, PlanPlace, PlanState, Run, RunStep, StepOutcome};

/// Some plans of many.
#[derive(Debug, Clone)]
pub struct PlanPage {
    /// The plans, the newest first.
    pub plans: Vec<PlanHead>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins, if there is one.
    pub next: Option<PlanPlace>,
}

/// What a plan waits for, or why it will never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldKind {
    /// People must approve it.
    ApprovalMissing,
    /// The policy lets nobody approve it.
    RefusedByPolicy,
    /// A person said no.
    Rejected,
    /// A freeze is in force.
    Frozen,
    /// It no longer holds: the world or its documents moved on, it waited too long, or it was taken back.
    Stale,
    /// Its run ended before its end.
    Stopped,
}

impl HoldKind {
    /// The stable word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ApprovalMissing => "approval_missing",
            Self::RefusedByPolicy => "refused_by_policy",
            Self::Rejected => "rejected",
            Self::Frozen => "frozen",
            Self::Stale => "plan_stale",
            Self::Stopped => "run_stopped",
        }
    }
}

/// One thing that holds a plan up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What kind of thing.
    pub kind: HoldKind,
    /// In words.
    pub message: String,
}

/// A run of a plan, and how far it came.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The run.
    pub run: Run,
    /// Its calls so far.
    pub steps: Vec<RunStep>,
}

impl Progress {
    /// How many steps of the plan ended well.
    pub fn done(&self) -> usize {
        let good =
            |step: &&RunStep| matches!(step.outcome, Some(StepOutcome::Ok | StepOutcome::Warnings));
        let done: std::collections::BTreeSet<u32> = self
            .steps
            .iter()
            .filter(good)
            .map(|step| step.at.step)
            .collect();
        done.len()
    }
}

/// One plan whole.
#[derive(Debug, Clone)]
pub struct PlanView {
    /// Where it stands.
    pub head: PlanHead,
    /// The plan.
    pub plan: Plan,
    /// What it was made from.
    pub recipe: Recipe,
    /// What it needs and has.
    pub standing: Standing,
    /// What holds it up.
    pub holds: Vec<Hold>,
    /// Its runs, the newest first.
    pub runs: Vec<Progress>,
    /// The ledger record of its making.
    pub ledger: Option<u64>,
}

impl Service {
    /// A page of the plans there are.
    pub async fn plan_page(
        &self,
        filter: &PlanFilter,
        after: Option<&PlanPlace>,
        limit: u32,
    ) -> Result<PlanPage, ServiceError> {
        let total = self.store.count_plans(filter).await?;
        let mut plans = self
            .store
            .plan_page(filter, after, limit.saturating_add(1))
            .await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = plans.len() > wanted;
        plans.truncate(wanted);
        let next = plans.last().filter(|_| more).map(|last| PlanPlace {
            created: last.created,
            hash: last.hash.clone(),
        });
        Ok(PlanPage { plans, total, next })
    }

    /// A plan as it stands, by its hash or the beginning of it.
    pub async fn view_plan(&self, prefix: &str) -> Result<PlanView, ServiceError> {
        let (stored, plan, recipe) = self.plan(prefix).await?;
        let standing = self.standing(&plan, &recipe).await?;
        let holds = self
            .holds(&plan, Some(stored.head.state), &standing)
            .await?;
        let mut runs = Vec::new();
        let known = self
            .store
            .runs(Some(&plan.cluster), Some(&plan.hash.0), 10)
            .await?;
        for run in known {
            let steps = self.store.run_steps(run.id).await?;
            runs.push(Progress { run, steps });
        }
        let ledger = self.record_of(&plan.hash).await?;
        Ok(PlanView {
            head: stored.head,
            plan,
            recipe,
            standing,
            holds,
            runs,
            ledger,
        })
    }

    /// What holds a plan up, given where it stands; `None` for one that is not stored.
    pub async fn holds(
        &self,
        plan: &Plan,
        state: Option<PlanState>,
        standing: &Standing,
    ) -> Result<Vec<Hold>, ServiceError> {
        let mut holds = Vec::new();
        let mut hold = |kind, message: String| holds.push(Hold { kind, message });
        if plan.leaves_nothing_to_decide() {
            return Ok(holds);
        }
        match state {
            Some(PlanState::Applied) => return Ok(holds),
            Some(state @ (PlanState::Superseded | PlanState::Expired | PlanState::Withdrawn)) => {
                hold(HoldKind::Stale, format!("the plan is {}", state.name()));
                return Ok(holds);
            }
            Some(PlanState::Stopped) => hold(
                HoldKind::Stopped,
                "its run ended before its end; an operator takes it up again".to_owned(),
            ),
            Some(
                PlanState::Waiting | PlanState::Approved | PlanState::Rejected | PlanState::Running,
            )
            | None => {}
        }
        let ahead = matches!(
            state,
            None | Some(PlanState::Waiting | PlanState::Approved | PlanState::Rejected)
        );
        if ahead {
            match &standing.verdict {
                Verdict::Satisfied { .. } => {}
                Verdict::Waiting { missing } => {
                    for missing in missing {
                        hold(HoldKind::ApprovalMissing, missing.clone());
                    }
                }
                Verdict::Rejected { by, reason } => {
                    hold(HoldKind::Rejected, format!("{by} rejected it: {reason}"));
                }
                Verdict::Denied { reason } => hold(HoldKind::RefusedByPolicy, reason.clone()),
            }
        }
        for freeze in self.store.active_freezes(self.now()).await? {
            let freeze = freeze.freeze;
            let kinds = plan
                .documents
                .iter()
                .filter_map(|d| d.key.split('/').next());
            let covers = freeze.scope.covers(&plan.cluster, "")
                || kinds
                    .into_iter()
                    .any(|kind| freeze.scope.covers(&plan.cluster, kind));
            if covers {
                hold(
                    HoldKind::Frozen,
                    format!(
                        "{} is frozen by {}: {}",
                        freeze.scope, freeze.who, freeze.reason
                    ),
                );
            }
        }
        Ok(holds)
    }
}
