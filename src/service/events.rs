//! What people are told of a ledger record: the record proves, the event tells.

use serde_json::Value;

use crate::ids::ClusterName;
use crate::ledger::{Action, Record};
use crate::plan::words::clean;
use crate::store::{EventType, NewEvent};

/// The event that tells of a record, if it is one that people want to be told of.
pub(super) fn event_of(record: &Record, cluster: Option<ClusterName>) -> Option<NewEvent> {
    let detail = |name: &str| record.detail.text(name).unwrap_or_default().to_owned();
    let number = |name: &str| record.detail.get(name).and_then(Value::as_u64).unwrap_or(0);
    let plan = || {
        record
            .plan
            .as_deref()
            .map_or_else(|| "a plan".to_owned(), |hash| format!("the plan {hash}"))
    };
    let (kind, reason, message) = match record.action {
        Action::PlanCreated | Action::UndoProposed => (
            EventType::Normal,
            "PlanCreated",
            format!(
                "{} (risk {}, {} steps, {} impacts)",
                plan(),
                detail("risk"),
                number("steps"),
                number("impacts")
            ),
        ),
        Action::PlanSuperseded => (
            EventType::Normal,
            "PlanSuperseded",
            format!("{} no longer holds: {}", plan(), detail("why")),
        ),
        Action::PlanExpired => (
            EventType::Warning,
            "PlanExpired",
            format!("{} waited too long for a decision", plan()),
        ),
        Action::PlanWithdrawn => (
            EventType::Normal,
            "PlanWithdrawn",
            format!("{} was taken back: {}", plan(), detail("reason")),
        ),
        Action::Approved => (
            EventType::Normal,
            "PlanApproved",
            match (record.detail.text("by"), record.detail.text("state")) {
                (Some("policy"), _) => format!("{}: the policy asks for nobody", plan()),
                (_, Some("approved")) => format!("{} has the approvals it needs", plan()),
                _ => format!("{} by {}", plan(), record.actor),
            },
        ),
        Action::ApprovalExpired => (
            EventType::Warning,
            "ApprovalExpired",
            format!("{} waits again: {}", plan(), detail("why")),
        ),
        Action::Rejected => (
            EventType::Warning,
            "PlanRejected",
            format!("{} by {}: {}", plan(), record.actor, detail("reason")),
        ),
        Action::RunStarted | Action::RunResumed => (
            EventType::Normal,
            "RunStarted",
            format!("run {} of {}", number("run"), plan()),
        ),
        Action::RunFinished => {
            let outcome = detail("outcome");
            let good = outcome == "ok";
            let why = detail("why");
            (
                if good {
                    EventType::Normal
                } else {
                    EventType::Warning
                },
                if good { "RunFinished" } else { "RunFailed" },
                format!(
                    "run {} of {}: {outcome}{}{why}",
                    number("run"),
                    plan(),
                    if why.is_empty() { "" } else { ", " }
                ),
            )
        }
        Action::Frozen => (
            EventType::Warning,
            "Frozen",
            format!(
                "{} by {}: {}",
                detail("scope"),
                record.actor,
                detail("reason")
            ),
        ),
        Action::Thawed => (
            EventType::Normal,
            "Thawed",
            format!("{} by {}", detail("scope"), record.actor),
        ),
        Action::LoginFailed => (EventType::Warning, "LoginFailed", detail("why")),
        Action::PolicyChanged => (
            EventType::Normal,
            "PolicyChanged",
            format!("the policy is now {}", detail("version")),
        ),
        Action::Suspended => (
            EventType::Warning,
            "Suspended",
            format!("by {}: {}", record.actor, detail("reason")),
        ),
        Action::Resumed => (EventType::Normal, "Resumed", format!("by {}", record.actor)),
        Action::FuseTripped => (EventType::Warning, "FuseTripped", detail("why")),
        Action::FuseReset => (
            EventType::Warning,
            "FuseReset",
            format!("by {}: {}", record.actor, detail("reason")),
        ),
        Action::AgentAdded => (
            EventType::Normal,
            "AgentAdded",
            format!("by {}", record.actor),
        ),
        Action::AgentRevoked => (
            EventType::Warning,
            "AgentRevoked",
            format!("by {}", record.actor),
        ),
        Action::LedgerCreated
        | Action::DocumentSubmitted
        | Action::DocumentWithdrawn
        | Action::StepIntent
        | Action::StepOutcome
        | Action::KeyRotated
        | Action::Checkpoint => return None,
    };
    Some(NewEvent {
        at: record.at,
        cluster,
        object: record.subject.clone(),
        kind,
        reason: reason.to_owned(),
        message: clean(&message),
        actor: record.actor.clone(),
        plan: record.plan.clone(),
        ledger: Some(record.seq),
    })
}
