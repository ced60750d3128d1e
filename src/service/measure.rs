//! What is counted where it happens is counted there; this counts what is kept in the state file, whichever process put it there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ServiceError;
use super::open::Service;
use crate::ids::ClusterName;
use crate::ledger::{Action, Record};
use crate::metrics::{Freezes, Metrics};
use crate::store::{FreezeScope, PlanHead, PlanState};

/// Who approves where the policy asks for nobody.
const POLICY: &str = "system:policy";

impl Service {
    /// The metrics of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is known from the start.
    pub(super) fn begin_metrics(&self) {
        let version = env!("CARGO_PKG_VERSION");
        self.metrics.started(version, self.now());
        let clusters = self.configuration.clusters.iter();
        self.metrics
            .clusters(clusters.map(|cluster| cluster.name.as_str()));
        let webhooks = self.configuration.notify.webhooks.iter();
        self.metrics
            .webhooks(webhooks.map(|webhook| webhook.name.as_str()));
    }

    /// Counts what is kept: plans, open runs, drift, submissions, freezes, and the ledger's end. To be called before the metrics are
    /// rendered; a few queries that read indexes only.
    pub async fn refresh_metrics(&self) -> Result<(), ServiceError> {
        let (store, metrics) = (&self.store, &self.metrics);
        let plans = store.plan_counts().await?;
        let runs = store.open_run_counts().await?;
        let drifted = store.drift_counts().await?;
        for cluster in &self.configuration.clusters {
            let name = cluster.name.as_str();
            let plans = || plans.iter().filter(|plans| plans.cluster == cluster.name);
            let counts = plans().map(|plans| {
                let at = (plans.state.name().to_owned(), plans.risk.clone());
                (at, plans.count)
            });
            metrics.set_plans(name, &counts.collect());
            let waiting = plans().filter(|plans| plans.state == PlanState::Waiting);
            let since = waiting.map(|plans| (plans.risk.clone(), plans.since));
            metrics.set_waiting(name, &since.collect());
            let runs = runs.iter().filter(|runs| runs.cluster == cluster.name);
            let counts = runs.map(|runs| (runs.state.name().to_owned(), runs.count));
            metrics.set_open_runs(name, &counts.collect());
            let drifted = drifted.iter().filter(|kind| kind.cluster == cluster.name);
            let counts = drifted.map(|kind| (kind.kind.clone(), kind.count));
            metrics.set_drifted(name, &counts.collect());
        }
        let submissions = store.submission_counts().await?.into_iter();
        metrics.submissions(
            &submissions
                .map(|(state, count)| (state.name().to_owned(), count))
                .collect(),
        );
        metrics.frozen(&self.freezes().await?);
        if let Some(head) = store.ledger_head().await? {
            metrics.ledger(head.seq, &head.mac.to_string());
        }
        metrics.measured(self.now());
        Ok(())
    }

    async fn freezes(&self) -> Result<BTreeMap<&'static str, Freezes>, ServiceError> {
        let mut counted: BTreeMap<&'static str, Freezes> = BTreeMap::new();
        for freeze in self.store.active_freezes(self.now()).await? {
            let scope = match freeze.freeze.scope {
                FreezeScope::Global => "global",
                FreezeScope::Cluster(_) => "cluster",
                FreezeScope::Kind(_) => "kind",
            };
            let since = freeze.freeze.since;
            let counts = counted.entry(scope).or_insert(Freezes { count: 0, since });
            counts.count += 1;
            counts.since = counts.since.min(since);
        }
        Ok(counted)
    }

    /// Counts what was decided over a plan, if that is what a record says. Before it is committed: were that to fail, it would be
    /// counted although it did not happen, which a count can bear.
    pub(super) fn measure_decision(&self, record: &Record, cluster: &ClusterName) {
        let decision = match record.action {
            Action::Approved if record.actor == POLICY => match record.detail.text("by") {
                Some(_) => "approved_by_policy",
                // That a plan now has the approvals it needs, which were counted one by one.
                None => return,
            },
            Action::Approved => "approved",
            Action::Rejected => "rejected",
            Action::PlanSuperseded => "superseded",
            Action::PlanExpired => "expired",
            Action::PlanWithdrawn => "withdrawn",
            _ => return,
        };
        self.metrics.decided(cluster.as_str(), decision);
    }

    /// A plan that stood so was decided over: measures how long it waited, if it did.
    pub(super) fn measure_wait(&self, before: &PlanHead) {
        if before.state == PlanState::Waiting {
            let waited = before.changed.duration_until(self.now());
            let waited = Duration::try_from(waited).unwrap_or_default();
            self.metrics.waited(before.cluster.as_str(), waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::apply::port::Outcome;
    use crate::apply::step::NotBegun;
    use crate::metrics;
    use crate::plan::Risk;
    use crate::store::{PlanState, RunState, SubmissionState};

    /// The words of the metrics are the words of what is counted, so that nothing is counted as `other`.
    #[test]
    fn words_are_those_of_what_is_counted() {
        let names: Vec<_> = PlanState::ALL.iter().map(|state| state.name()).collect();
        assert_eq!(names, metrics::PLAN_STATES);
        let risks = [
            Risk::None,
            Risk::Low,
            Risk::Medium,
            Risk::High,
            Risk::Unknown,
        ];
        assert_eq!(risks.map(|risk| risk.to_string()), metrics::RISKS);
        let names = SubmissionState::ALL.iter().map(|state| state.name());
        assert_eq!(names.collect::<Vec<_>>(), metrics::SUBMISSION_STATES);
        for state in RunState::ALL {
            let over = matches!(state, RunState::Ok | RunState::Failed);
            assert_eq!(metrics::OPEN_RUNS.contains(&state.name()), !over);
            let ended = *state != RunState::Running;
            assert_eq!(metrics::RUN_OUTCOMES.contains(&state.name()), ended);
        }
        let outcomes = [
            Outcome::Ok,
            Outcome::Warnings,
            Outcome::Failed,
            Outcome::Undetermined,
        ];
        let not_begun = [
            NotBegun::Frozen(String::new()),
            NotBegun::Stale(String::new()),
            NotBegun::Unreadable(String::new()),
        ];
        let words = outcomes.iter().map(|outcome| outcome.word());
        let words = words.chain(not_begun.iter().map(NotBegun::word));
        assert_eq!(words.collect::<Vec<_>>(), metrics::STEP_OUTCOMES);
    }
}
