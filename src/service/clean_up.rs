//! Safety copies that are old enough: plans that delete them, proposed by the loop or when a person asks.

use super::error::ServiceError;
use super::open::Service;
use super::recipe::Recipe;
use super::submit::Planned;
use crate::approval::Principal;
use crate::configuration::Cluster;
use crate::ledger::Action;
use crate::plan::{Origin, PlanHash};
use crate::store::PlanState;

/// The part of Bailiwick that speaks for safety copies which are old enough.
pub const CLEAN_UP_SOURCE: &str = "system:clean-up";

fn recipe(submitter: &str) -> Recipe {
    Recipe {
        origin: Origin::CleanUp,
        documents: Vec::new(),
        removed: Vec::new(),
        source: CLEAN_UP_SOURCE.to_owned(),
        submitter: submitter.to_owned(),
        blocked: None,
        // Data is lost for good: no policy lets it pass by itself.
        by_person: true,
        orphan: false,
        revision: None,
        signed_by: Vec::new(),
        run: None,
    }
}

impl Service {
    /// Proposes a plan that deletes the safety copies of a cluster which are old enough; one without steps if there are none.
    ///
    /// # Errors
    /// [`ServiceError::Request`] if the cluster is not configured to take safety copies.
    pub async fn clean_up(
        &self,
        cluster: Option<&str>,
        submitter: &Principal,
    ) -> Result<Planned, ServiceError> {
        let cluster = self.cluster(cluster)?;
        if cluster.safety_copy.is_none() {
            return Err(ServiceError::Request(format!(
                "no safety copies are taken of guests of `{0}`, and none are deleted: its configuration has no `safetyCopy`",
                cluster.name
            )));
        }
        self.propose(recipe(&submitter.to_string()), cluster).await
    }

    /// What the loop does: proposes such a plan where there is something to delete, unless a person decided against the very same, and
    /// overtakes those that no longer hold.
    pub(super) async fn propose_clean_up(
        &self,
        cluster: &Cluster,
    ) -> Result<Option<Planned>, ServiceError> {
        let mut proposed = None;
        if cluster.safety_copy.is_some() {
            proposed = self.aged(cluster).await?;
        }
        for head in self.waiting_plans(&cluster.name).await? {
            let current = proposed
                .as_ref()
                .is_some_and(|planned: &Planned| planned.plan.hash.0 == head.hash);
            if current || head.submitter != CLEAN_UP_SOURCE {
                continue;
            }
            self.overtake(
                &PlanHash(head.hash),
                PlanState::Waiting,
                Action::PlanSuperseded,
                "which safety copies are old enough has changed since",
            )
            .await?;
        }
        Ok(proposed)
    }

    async fn aged(&self, cluster: &Cluster) -> Result<Option<Planned>, ServiceError> {
        let recipe = recipe(CLEAN_UP_SOURCE);
        let made = match self.make(&recipe, cluster).await {
            Ok(made) => made,
            // `bailiwick clean-up` says what stands in the way.
            Err(ServiceError::Plan(_) | ServiceError::Request(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if made.plan.steps.is_empty() {
            return Ok(None);
        }
        let known = self.store.plan(&made.plan.hash.0).await?;
        let open = [
            PlanState::Waiting,
            PlanState::Approved,
            PlanState::Superseded,
        ];
        if known.is_some_and(|known| !open.contains(&known.head.state)) {
            return Ok(None);
        }
        Ok(Some(self.store_made(&recipe, made).await?))
    }
}
