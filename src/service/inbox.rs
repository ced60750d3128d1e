//! The inbox: what is handed in is validated, stored durably, and only then planned. When the cluster cannot be observed now, it stays
//! in the inbox with the reason, and whoever looks after the cluster plans it later: a submission that was taken is never lost.

use sha2::{Digest, Sha256};

use super::error::ServiceError;
use super::open::Service;
use super::recipe::{Recipe, read};
use super::submit::{Planned, Submission};
use super::withdraw::reason_for;
use crate::approval::Principal;
use crate::configuration::Cluster;
use crate::plan::words::clean;
use crate::store::{NewSubmission, StoreError, StoredSubmission, SubmissionState};

/// What the id of a submission begins with.
pub const PREFIX: &str = "sub_";
/// What the message of a submission begins with that was taken back.
const WITHDRAWN: &str = "withdrawn by ";
/// How many submissions of one principal may wait at once.
pub const MOST_PENDING: u64 = 100;

/// What became of a submission that was taken.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its plan was made, and stands as it says.
    Planned(Box<Planned>),
    /// Nothing had to change: its documents were taken over at once. The plan without steps says what was looked at.
    Accepted(Box<Planned>),
    /// It is kept and will be planned once that is possible.
    Pending {
        /// What stands in the way now.
        why: String,
    },
}

/// The receipt of a submission that was taken. It holds through a restart.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Its id, the same for the same content from the same principal.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Service {
    /// Takes a submission. Documents with mistakes are refused at once and leave nothing behind; what is valid is stored before
    /// anything else happens, then planned. The same content again while it waits is the same submission.
    pub async fn hand_in(&self, submission: Submission) -> Result<Receipt, ServiceError> {
        let (recipe, cluster) = self.recipe(submission.clone()).await?;
        let new = NewSubmission {
            id: id_of(&submission, &recipe, cluster)?,
            cluster: cluster.name.clone(),
            source: recipe.source.clone(),
            submitter: recipe.submitter.clone(),
            recipe: serde_json::to_string(&submission)?,
            at: self.now(),
        };
        let pending = self.store.count_pending(&new.submitter).await?;
        if pending >= MOST_PENDING && !self.waits(&new.id).await? {
            return Err(ServiceError::TooMany(format!(
                "{pending} submissions of {} wait to be planned already: wait until the cluster can be observed again",
                new.submitter
            )));
        }
        let mut tx = self.store.begin().await?;
        if !tx.add_submission(&new).await? {
            tx.reopen_submission(&new).await?;
        }
        tx.commit().await?;
        self.plan_now(&new.id, &recipe, cluster).await
    }

    /// Plans a submission that waits; of one that does not, says what became of it. What still cannot be planned stays.
    pub async fn plan_submission(&self, id: &str) -> Result<Receipt, ServiceError> {
        let stored = self.submission(id).await?;
        if stored.state != SubmissionState::Pending {
            return self.became(stored).await;
        }
        let submission: Submission = serde_json::from_str(&stored.submission.recipe)?;
        // Made anew: since it was handed in, other documents may have come or gone.
        let (recipe, cluster) = match self.recipe(submission).await {
            Ok(made) => made,
            Err(error) => return self.not_now(id, error).await,
        };
        self.plan_now(id, &recipe, cluster).await
    }

    /// A submission and what became of it.
    pub async fn submission(&self, id: &str) -> Result<StoredSubmission, ServiceError> {
        self.store.submission(id).await?.ok_or_else(|| {
            ServiceError::NotFound(format!(
                "there is no submission `{}`; settled ones are let go after a while",
                clean(id)
            ))
        })
    }

    /// Takes a submission back that waits to be planned. Only its submitter may, or a known person.
    pub async fn withdraw_submission(
        &self,
        id: &str,
        who: &Principal,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let reason = reason_for(reason, "taking a submission back")?;
        let stored = self.submission(id).await?;
        self.may_take_back(
            &stored.submission.submitter,
            who,
            &format!("the submission {id}"),
        )?;
        if stored.state != SubmissionState::Pending {
            return Err(ServiceError::State(format!(
                "the submission {id} is {} and waits no longer{}",
                stored.state,
                stored
                    .plan
                    .map(|plan| format!(": withdraw its plan {plan}"))
                    .unwrap_or_default()
            )));
        }
        let message = format!("{WITHDRAWN}{who}: {reason}");
        self.settle(id, SubmissionState::Refused, None, &message)
            .await?;
        Ok(())
    }

    async fn waits(&self, id: &str) -> Result<bool, ServiceError> {
        let known = self.store.submission(id).await?;
        Ok(known.is_some_and(|known| known.state == SubmissionState::Pending))
    }

    async fn plan_now(
        &self,
        id: &str,
        recipe: &Recipe,
        cluster: &Cluster,
    ) -> Result<Receipt, ServiceError> {
        let planned = match self.propose(recipe.clone(), cluster).await {
            Ok(planned) => planned,
            Err(error) => return self.not_now(id, error).await,
        };
        let stored = planned.state.is_some();
        let state = if stored {
            SubmissionState::Planned
        } else {
            SubmissionState::Accepted
        };
        let plan = stored.then_some(planned.plan.hash.0.as_str());
        if !self.settle(id, state, plan, "").await? {
            return Err(self.came_too_late(id, recipe, &planned).await?);
        }
        let planned = Box::new(planned);
        Ok(Receipt {
            id: id.to_owned(),
            outcome: if stored {
                Outcome::Planned(planned)
            } else {
                Outcome::Accepted(planned)
            },
        })
    }

    /// A submission was taken back while it was being planned: its plan is taken back too.
    async fn came_too_late(
        &self,
        id: &str,
        recipe: &Recipe,
        planned: &Planned,
    ) -> Result<ServiceError, ServiceError> {
        let hash = &planned.plan.hash.0;
        if planned.state.is_some_and(Self::open_for_decision)
            && let Some(kept) = self.store.plan(hash).await?
            && kept.head.submitter == recipe.submitter
        {
            let who = self.principal(Some(&recipe.submitter))?;
            self.withdraw(
                hash,
                &who,
                "its submission was withdrawn while it was planned",
            )
            .await?;
        }
        Ok(ServiceError::State(format!(
            "the submission {id} was withdrawn while it was planned"
        )))
    }

    /// What to do with a submission that could not be planned: it waits on when that is not its own fault, and is refused otherwise.
    async fn not_now(&self, id: &str, error: ServiceError) -> Result<Receipt, ServiceError> {
        let why = with_causes(&error);
        if passes(&error) {
            self.settle(id, SubmissionState::Pending, None, &why)
                .await?;
            return Ok(Receipt {
                id: id.to_owned(),
                outcome: Outcome::Pending { why },
            });
        }
        self.settle(id, SubmissionState::Refused, None, &why)
            .await?;
        Err(error)
    }

    /// Notes what became of a submission. False if it was taken back before: then it stays so.
    async fn settle(
        &self,
        id: &str,
        state: SubmissionState,
        plan: Option<&str>,
        message: &str,
    ) -> Result<bool, ServiceError> {
        let mut tx = self.store.begin().await?;
        if let Some(known) = tx.submission(id).await?
            && known.state != SubmissionState::Pending
        {
            let withdrawn =
                known.state == SubmissionState::Refused && known.message.starts_with(WITHDRAWN);
            // The same content may have been handed in twice at once: who could not plan it does not undo what the other reached.
            if withdrawn || matches!(state, SubmissionState::Pending | SubmissionState::Refused) {
                tx.rollback().await?;
                return Ok(!withdrawn);
            }
        }
        tx.settle_submission(id, state, plan, message, self.now())
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The receipt of a submission that waits no longer.
    async fn became(&self, stored: StoredSubmission) -> Result<Receipt, ServiceError> {
        let id = stored.submission.id;
        match (stored.state, stored.plan) {
            (SubmissionState::Planned, Some(hash)) => {
                let (kept, plan, recipe) = self.plan(&hash).await?;
                let standing = self.standing(&plan, &recipe).await?;
                let ledger = self.record_of(&plan.hash).await?;
                Ok(Receipt {
                    id,
                    outcome: Outcome::Planned(Box::new(Planned {
                        plan,
                        state: Some(kept.head.state),
                        standing,
                        ledger,
                        accepted: Vec::new(),
                    })),
                })
            }
            (state, _) => Err(ServiceError::State(format!(
                "the submission {id} is {state} and waits no longer{}{}",
                if stored.message.is_empty() { "" } else { ": " },
                stored.message
            ))),
        }
    }
}

/// Whether an error is not the submission's fault and may pass by itself: the cluster, the store, or what the operator set up.
fn passes(error: &ServiceError) -> bool {
    match error {
        ServiceError::Observe(_)
        | ServiceError::Cluster { .. }
        | ServiceError::Setup { .. }
        | ServiceError::Store(StoreError::Busy { .. }) => true,
        ServiceError::Documents(_)
        | ServiceError::Plan(_)
        | ServiceError::Store(_)
        | ServiceError::Approval(_)
        | ServiceError::Refused(_)
        | ServiceError::Request(_)
        | ServiceError::NotFound(_)
        | ServiceError::Conflict(_)
        | ServiceError::State(_)
        | ServiceError::TooMany(_)
        | ServiceError::Defect(_) => false,
    }
}

/// An error's text with the causes that it does not say already, on one line.
fn with_causes(error: &ServiceError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

/// The id of a submission: who hands in what, to which source of which cluster.
fn id_of(
    submission: &Submission,
    recipe: &Recipe,
    cluster: &Cluster,
) -> Result<String, ServiceError> {
    let documents: Vec<String> = read(&submission.documents)?
        .iter()
        .map(|document| format!("{} {}", document.key(), document.hash))
        .collect();
    let content = serde_json::json!({
        "submitter": recipe.submitter, "source": recipe.source, "cluster": cluster.name, "documents": documents,
        "prune": submission.prune, "allowDeletions": submission.allow_deletions,
    });
    let canonical = serde_json_canonicalizer::to_vec(&content)
        .map_err(|error| ServiceError::Defect(error.to_string()))?;
    let digest = hex::encode(Sha256::digest(canonical));
    Ok(format!("{PREFIX}{}", digest.get(..32).unwrap_or(&digest)))
}
