//! Taking back: whoever submitted a plan takes it back before it runs, and so may any known person. What runs is stopped by a freeze,
//! not by this.

use super::error::ServiceError;
use super::open::Service;
use crate::approval::Principal;
use crate::ledger::Action;
use crate::plan::PlanHash;
use crate::plan::words::clean;
use crate::store::PlanState;

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 1000;

/// A plan that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The plan.
    pub plan: PlanHash,
    /// The state it was in.
    pub from: PlanState,
    /// The ledger record.
    pub ledger: u64,
}

impl Service {
    /// Takes a plan back that waits or is approved. Only its submitter may, or a known person; a plan that runs or is done with is
    /// refused.
    pub async fn withdraw(
        &self,
        prefix: &str,
        who: &Principal,
        reason: &str,
    ) -> Result<Withdrawn, ServiceError> {
        let reason = reason_for(reason, "taking a plan back")?;
        let (stored, plan, _) = self.plan(prefix).await?;
        self.may_take_back(
            &stored.head.submitter,
            who,
            &format!("the plan {}", plan.hash),
        )?;
        let from = stored.head.state;
        if !Self::open_for_decision(from) {
            return Err(ServiceError::State(format!(
                "the plan {} is {} and cannot be withdrawn any more{}",
                plan.hash,
                from.name(),
                if from == PlanState::Running {
                    "; a freeze stops it at its next step"
                } else {
                    ""
                }
            )));
        }
        let mut tx = self.store.begin().await?;
        tx.set_plan_state(&plan.hash.0, from, PlanState::Withdrawn, self.now())
            .await?;
        let detail = serde_json::json!({ "reason": reason, "from": from.name() });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::PlanWithdrawn,
                &format!("plan/{}", plan.hash),
                Some(&plan.hash.0),
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(Withdrawn {
            plan: plan.hash,
            from,
            ledger: record.seq,
        })
    }

    /// Refuses whoever neither handed a thing in nor is a known person.
    pub(super) fn may_take_back(
        &self,
        submitter: &str,
        who: &Principal,
        what: &str,
    ) -> Result<(), ServiceError> {
        if who.is_person() {
            return self.known_person(who);
        }
        if who.to_string() == submitter {
            return Ok(());
        }
        Err(ServiceError::Refused(format!(
            "{who} did not submit {what}: only {submitter} or a person can withdraw it"
        )))
    }
}

/// A reason as it is kept: clean, neither empty nor too long.
pub(super) fn reason_for(reason: &str, what: &str) -> Result<String, ServiceError> {
    let reason = clean(reason.trim());
    if reason.is_empty() {
        return Err(ServiceError::Request(format!(
            "{what} needs a reason: whoever meets it will ask"
        )));
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(ServiceError::Request(format!(
            "the reason is longer than {LONGEST_REASON} characters: say it shorter"
        )));
    }
    Ok(reason)
}
