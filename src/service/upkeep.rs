//! What has to be done about plans that wait, as time passes and the world moves on: made again, expired, run.

use jiff::SignedDuration;

use super::error::ServiceError;
use super::open::Service;
use super::submit::Planned;
use crate::approval::Verdict;
use crate::configuration::Cluster;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::plan::PlanHash;
use crate::store::{Freeze, FreezeScope, PlanHead, PlanState, RunState};

/// What a look at a waiting plan came to.
#[derive(Debug)]
pub enum Refreshed {
    /// It still holds.
    Holds,
    /// It no longer holds: this one takes its place (or nothing is left to do).
    Superseded(Box<Planned>),
    /// Nobody can say now: it cannot be planned, for this reason. It is left as it is, and judged again before it is run.
    Unclear(String),
}

impl Service {
    /// Makes a waiting plan again from the world as the loop knows it, and puts the new one in its place if it differs.
    pub async fn refresh_plan(&self, head: &PlanHead) -> Result<Refreshed, ServiceError> {
        let (stored, plan, recipe) = self.plan(&head.hash).await?;
        if stored.head.state != PlanState::Waiting {
            return Ok(Refreshed::Holds);
        }
        let cluster = self.cluster(Some(stored.head.cluster.as_str()))?;
        let made = match self.make(&recipe, cluster).await {
            Ok(made) if made.plan.hash == plan.hash => return Ok(Refreshed::Holds),
            Ok(made) => made,
            Err(error @ (ServiceError::Plan(_) | ServiceError::Request(_))) => {
                return Ok(Refreshed::Unclear(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        self.overtake(
            &plan.hash,
            PlanState::Waiting,
            Action::PlanSuperseded,
            "the world has changed",
        )
        .await?;
        let planned = self.store_made(&recipe, made).await?;
        Ok(Refreshed::Superseded(Box::new(planned)))
    }

    /// Moves a plan from the state it is in to the one that an action means, with the reason.
    pub(super) async fn overtake(
        &self,
        plan: &PlanHash,
        from: PlanState,
        action: Action,
        why: &str,
    ) -> Result<(), ServiceError> {
        let to = match action {
            Action::PlanExpired => PlanState::Expired,
            Action::ApprovalExpired => PlanState::Waiting,
            _ => PlanState::Superseded,
        };
        let mut tx = self.store.begin().await?;
        tx.set_plan_state(&plan.0, from, to, self.now()).await?;
        let detail = serde_json::json!({ "why": why });
        self.record(
            &mut tx,
            "system:reconcile",
            action,
            &format!("plan/{plan}"),
            Some(&plan.0),
            detail,
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// Lets waiting plans expire that nobody decided over for so long, and lets approved ones wait again whose approvals no longer
    /// count. Returns the hashes of both.
    pub async fn expire_plans(
        &self,
        cluster: &ClusterName,
        after: SignedDuration,
    ) -> Result<Vec<String>, ServiceError> {
        let limit = self.now().saturating_sub(after).unwrap_or(self.now());
        let mut expired = Vec::new();
        for head in self.open_plans(cluster, PlanState::Waiting).await? {
            if head.changed < limit {
                let hash = PlanHash(head.hash.clone());
                let why = "nobody decided over it in time";
                self.overtake(&hash, PlanState::Waiting, Action::PlanExpired, why)
                    .await?;
                expired.push(head.hash);
            }
        }
        for head in self.open_plans(cluster, PlanState::Approved).await? {
            let (_, plan, recipe) = self.plan(&head.hash).await?;
            let why = match self.standing(&plan, &recipe).await?.verdict {
                Verdict::Satisfied { .. } => continue,
                Verdict::Waiting { missing } => missing.join("; "),
                Verdict::Denied { reason } => reason,
                Verdict::Rejected { by, reason } => format!("{by} rejected it: {reason}"),
            };
            self.overtake(
                &plan.hash,
                PlanState::Approved,
                Action::ApprovalExpired,
                &why,
            )
            .await?;
            expired.push(head.hash);
        }
        Ok(expired)
    }

    /// Approves waiting plans that the policy approves by itself now and did not before: a window opened. Returns their hashes.
    pub async fn ripen_plans(&self, cluster: &ClusterName) -> Result<Vec<String>, ServiceError> {
        // Without a rule of that kind there is nothing that time could approve.
        let ripens = |rule: &crate::approval::policy::Rule| rule.auto_approve;
        if !self.configuration.approval.policy.iter().any(ripens) {
            return Ok(Vec::new());
        }
        let mut ripe = Vec::new();
        for head in self.open_plans(cluster, PlanState::Waiting).await? {
            let (_, plan, recipe) = self.plan(&head.hash).await?;
            let standing = self.standing(&plan, &recipe).await?;
            if !matches!(standing.verdict, Verdict::Satisfied { .. }) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            tx.set_plan_state(
                &head.hash,
                PlanState::Waiting,
                PlanState::Approved,
                self.now(),
            )
            .await?;
            self.record(
                &mut tx,
                "system:policy",
                Action::Approved,
                &format!("cluster/{cluster}"),
                Some(&head.hash),
                serde_json::json!({ "by": "policy" }),
            )
            .await?;
            tx.commit().await?;
            ripe.push(head.hash);
        }
        Ok(ripe)
    }

    pub(super) async fn open_plans(
        &self,
        cluster: &ClusterName,
        state: PlanState,
    ) -> Result<Vec<PlanHead>, ServiceError> {
        Ok(self
            .store
            .plans(Some(cluster), Some(state), u32::MAX)
            .await?)
    }

    /// The plans that wait for a person, the oldest first.
    pub async fn waiting_plans(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<PlanHead>, ServiceError> {
        let mut plans = self.open_plans(cluster, PlanState::Waiting).await?;
        plans.reverse();
        Ok(plans)
    }

    /// The plans that can be run, in the order in which they should be: those whose run was interrupted, then the approved ones, the
    /// oldest first. None while everything, or the cluster, is frozen.
    pub async fn runnable(&self, cluster: &Cluster) -> Result<Vec<PlanHead>, ServiceError> {
        let frozen = self.store.active_freezes(self.now()).await?;
        let whole = |freeze: &Freeze| match &freeze.freeze.scope {
            FreezeScope::Global => true,
            FreezeScope::Cluster(name) => *name == cluster.name,
            FreezeScope::Kind(_) => false,
        };
        if frozen.iter().any(whole) {
            return Ok(Vec::new());
        }
        let mut found = self.open_plans(&cluster.name, PlanState::Running).await?;
        for head in self.open_plans(&cluster.name, PlanState::Stopped).await? {
            let run = self
                .store
                .runs(Some(&cluster.name), Some(&head.hash), 1)
                .await?;
            // One that failed is a person's to look at.
            if run
                .first()
                .is_some_and(|run| run.state == RunState::Stopped)
            {
                found.push(head);
            }
        }
        let mut approved = self.open_plans(&cluster.name, PlanState::Approved).await?;
        approved.sort_by(|a, b| (a.changed, &a.hash).cmp(&(b.changed, &b.hash)));
        found.extend(approved);
        Ok(found)
    }
}
