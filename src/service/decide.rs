//! Deciding over plans: approvals by signature, rejections with a reason.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::error::ServiceError;
use super::open::Service;
use super::planning::Standing;
use crate::approval::{Approval, Decision, Principal, SignedDecision, Verdict};
use crate::ledger::Action;
use crate::plan::{Plan, PlanHash};
use crate::store::{self, NewApproval, PlanState};

/// An approval as it is handed in.
#[derive(Debug, Clone)]
pub struct HandedIn {
    /// The armoured signature.
    pub armoured: String,
    /// The time in the signed message, if it has one.
    pub signed_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// The impacts seen: ids, or `all`.
    pub impacts: BTreeSet<String>,
    /// The unknowns accepted: ids.
    pub unknowns: BTreeSet<String>,
    /// Who it must be, if the one who hands it in says so.
    pub expected: Option<String>,
}

/// What a decision came to.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The plan.
    pub plan: PlanHash,
    /// Who decided.
    pub by: Principal,
    /// How the plan stands now.
    pub standing: Standing,
    /// The ledger record.
    pub ledger: u64,
}

impl Service {
    /// Takes an approval. The signature says whose it is; an agent may carry it, never make it.
    pub async fn approve(&self, prefix: &str, given: HandedIn) -> Result<Decided, ServiceError> {
        let (stored, plan, recipe) = self.plan(prefix).await?;
        self.decidable(&stored.head, "approved")?;
        let approval = Approval::by_signature(
            SignedDecision {
                plan: &plan.hash,
                armoured: &given.armoured,
                signed_at: given.signed_at,
                reason: &given.reason,
                acknowledged: acknowledged(&plan, &given.impacts)?,
                named_unknowns: named(&plan, &given.unknowns)?,
            },
            &self.signers()?,
            self.policy().expires_after,
            self.now(),
        );
        let approval = match approval {
            Ok(approval) => approval,
            Err(error) => {
                self.record_failed_login(&plan.hash, &error.to_string())
                    .await?;
                return Err(error.into());
            }
        };
        if let Some(expected) = given
            .expected
            .filter(|expected| expected != approval.principal.name())
        {
            return Err(ServiceError::Request(format!(
                "the signature is of {}, not of {expected}",
                approval.principal
            )));
        }
        // A decision that can never count is not kept: once the plan may be approved, it is to be looked at anew.
        let standing = self.standing(&plan, &recipe).await?;
        if let Verdict::Denied { reason } = standing.verdict {
            return Err(ServiceError::Refused(format!(
                "nobody can approve the plan {}: {reason}",
                plan.hash
            )));
        }
        let mut tx = self.store.begin().await?;
        tx.add_approval(&stored_form(&approval)?).await?;
        let detail = serde_json::json!({
            "reason": approval.reason, "method": "ssh", "key": fingerprint(&approval),
            "impacts": approval.acknowledged, "unknowns": approval.named_unknowns,
            "expires": approval.expires_at.to_string(),
        });
        let subject = format!("plan/{}", plan.hash);
        let by = approval.principal.clone();
        let record = self
            .record(
                &mut tx,
                &by.to_string(),
                Action::Approved,
                &subject,
                Some(&plan.hash.0),
                detail,
            )
            .await?;
        tx.commit().await?;
        let standing = self.standing(&plan, &recipe).await?;
        if matches!(standing.verdict, Verdict::Satisfied { .. }) {
            self.has_enough(&stored.head).await?;
        }
        Ok(Decided {
            plan: plan.hash,
            by,
            standing,
            ledger: record.seq,
        })
    }

    /// A waiting plan has all the approvals it needs. A running loop sees that too, and may be the first to note it.
    async fn has_enough(&self, head: &store::PlanHead) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        let now = tx.plan(&head.hash).await?.map(|plan| plan.head.state);
        if now != Some(PlanState::Waiting) {
            return Ok(tx.rollback().await?);
        }
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
            &format!("plan/{}", head.hash),
            Some(&head.hash),
            serde_json::json!({ "state": "approved" }),
        )
        .await?;
        tx.commit().await?;
        self.measure_wait(head);
        Ok(())
    }

    /// Takes a person's rejection. It is final for this plan.
    pub async fn reject(
        &self,
        prefix: &str,
        principal: Principal,
        reason: &str,
    ) -> Result<Decided, ServiceError> {
        let (stored, plan, recipe) = self.plan(prefix).await?;
        self.decidable(&stored.head, "rejected")?;
        if principal.is_person() {
            self.known_person(&principal)?;
        }
        let approval = Approval::rejection(&plan.hash, principal.clone(), reason, self.now())?;
        let mut tx = self.store.begin().await?;
        tx.add_approval(&stored_form(&approval)?).await?;
        tx.set_plan_state(
            &plan.hash.0,
            stored.head.state,
            PlanState::Rejected,
            self.now(),
        )
        .await?;
        let detail = serde_json::json!({ "reason": approval.reason });
        let subject = format!("plan/{}", plan.hash);
        let record = self
            .record(
                &mut tx,
                &principal.to_string(),
                Action::Rejected,
                &subject,
                Some(&plan.hash.0),
                detail,
            )
            .await?;
        tx.commit().await?;
        self.measure_wait(&stored.head);
        let standing = self.standing(&plan, &recipe).await?;
        Ok(Decided {
            plan: plan.hash,
            by: principal,
            standing,
            ledger: record.seq,
        })
    }

    fn decidable(&self, head: &store::PlanHead, word: &str) -> Result<(), ServiceError> {
        if Self::open_for_decision(head.state) {
            return Ok(());
        }
        Err(ServiceError::State(format!(
            "the plan {} is {} and cannot be {word} any more",
            head.hash,
            head.state.name()
        )))
    }

    async fn record_failed_login(&self, plan: &PlanHash, why: &str) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        let detail = serde_json::json!({ "why": why });
        let subject = format!("plan/{plan}");
        self.record(
            &mut tx,
            "system:bailiwick",
            Action::LoginFailed,
            &subject,
            Some(&plan.0),
            detail,
        )
        .await?;
        Ok(tx.commit().await?)
    }
}

fn acknowledged(plan: &Plan, given: &BTreeSet<String>) -> Result<BTreeSet<String>, ServiceError> {
    let all: BTreeSet<String> = plan
        .impacts
        .iter()
        .map(|impact| impact.id.clone())
        .collect();
    if given.contains("all") {
        return Ok(all);
    }
    match given.iter().find(|id| !all.contains(*id)) {
        None => Ok(given.clone()),
        Some(id) => Err(ServiceError::Request(format!(
            "the plan has no impact `{id}`; it has {} (or say `all`)",
            listed(&all)
        ))),
    }
}

fn named(plan: &Plan, given: &BTreeSet<String>) -> Result<BTreeSet<String>, ServiceError> {
    let all: BTreeSet<String> = plan
        .unknowns
        .iter()
        .map(|unknown| unknown.id.clone())
        .collect();
    match given.iter().find(|id| !all.contains(*id)) {
        None => Ok(given.clone()),
        Some(id) => Err(ServiceError::Request(format!(
            "the plan has no unknown `{id}`; it has {}; name each",
            listed(&all)
        ))),
    }
}

fn listed(ids: &BTreeSet<String>) -> String {
    if ids.is_empty() {
        "none".to_owned()
    } else {
        ids.iter().cloned().collect::<Vec<_>>().join(", ")
    }
}

fn fingerprint(approval: &Approval) -> &str {
    match &approval.method {
        crate::approval::Method::SshSignature { fingerprint } => fingerprint,
        crate::approval::Method::Unsigned | crate::approval::Method::Policy => "",
    }
}

fn stored_form(approval: &Approval) -> Result<NewApproval, ServiceError> {
    Ok(NewApproval {
        plan: approval.plan.0.clone(),
        principal: approval.principal.to_string(),
        decision: match approval.decision {
            Decision::Approve => store::Decision::Approve,
            Decision::Reject => store::Decision::Reject,
        },
        method: match &approval.method {
            crate::approval::Method::SshSignature { .. } => "ssh",
            crate::approval::Method::Unsigned => "unsigned",
            crate::approval::Method::Policy => "policy",
        }
        .to_owned(),
        reason: (!approval.reason.is_empty()).then(|| approval.reason.clone()),
        signature: approval.signature.clone(),
        json: serde_json::to_string(approval)?,
        spends: approval.spends(),
        at: approval.at,
        expires: (approval.decision == Decision::Approve).then_some(approval.expires_at),
    })
}
