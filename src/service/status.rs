//! The conditions of a document, from what was seen of it. Pure.

use crate::plan::words::line;
use crate::store::{ConditionStatus, ConditionType, Document, NewCondition, PlanState};

/// What a look at a document's object found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is as the document says.
    Matches,
    /// These of its fields are not.
    Drifted(Vec<String>),
    /// Nobody can say, for this reason.
    Unclear(String),
    /// A run is changing it, or was stopped while it did.
    Busy,
    /// Nobody looks: it is suspended.
    Suspended,
}

/// The open plans that cover a document, the newest of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Covered {
    waiting: Option<String>,
    running: Option<String>,
    stopped: Option<String>,
}

impl Covered {
    pub(super) fn add(&mut self, state: PlanState, plan: &str) {
        let slot = match state {
            PlanState::Waiting => &mut self.waiting,
            PlanState::Approved | PlanState::Running => &mut self.running,
            PlanState::Stopped => &mut self.stopped,
            PlanState::Rejected
            | PlanState::Superseded
            | PlanState::Applied
            | PlanState::Expired
            | PlanState::Withdrawn => return,
        };
        *slot = Some(plan.to_owned());
    }

    /// Whether its object may be half changed.
    pub(super) fn busy(&self) -> bool {
        self.running.is_some() || self.stopped.is_some()
    }
}

/// How many fields are named in a message.
const MOST_NAMED: usize = 8;

/// The conditions of a document.
pub(super) fn conditions(
    stored: Option<&Document>,
    seen: Option<&Seen>,
    covered: Option<&Covered>,
) -> Vec<NewCondition> {
    let generation = stored.map_or(0, |stored| stored.generation);
    let condition = |kind, status, reason: &str, message: String| NewCondition {
        kind,
        status,
        reason: reason.to_owned(),
        message: line(&message),
        observed_generation: generation,
    };
    let none = Covered::default();
    let covered = covered.unwrap_or(&none);
    let mut found = vec![ready(stored, seen, covered, &condition)];
    found.push(match &covered.running {
        Some(plan) => condition(
            ConditionType::Reconciling,
            ConditionStatus::True,
            "PlanRunning",
            format!("the plan {plan} is approved, and runs or is about to"),
        ),
        None => condition(
            ConditionType::Reconciling,
            ConditionStatus::False,
            "Idle",
            String::new(),
        ),
    });
    found.push(match &covered.waiting {
        Some(plan) => condition(
            ConditionType::AwaitingApproval,
            ConditionStatus::True,
            "PlanWaits",
            format!("the plan {plan} waits for a person"),
        ),
        None => condition(
            ConditionType::AwaitingApproval,
            ConditionStatus::False,
            "NoPlan",
            String::new(),
        ),
    });
    found.push(match (&covered.stopped, seen) {
        (Some(plan), _) => condition(
            ConditionType::Stalled,
            ConditionStatus::True,
            "RunStopped",
            format!(
                "the run of {plan} stopped before its end; `bailiwick describe {plan}` says why"
            ),
        ),
        (None, Some(Seen::Unclear(why))) => condition(
            ConditionType::Stalled,
            ConditionStatus::True,
            "CannotPlan",
            why.clone(),
        ),
        (None, _) => condition(
            ConditionType::Stalled,
            ConditionStatus::False,
            "Moving",
            String::new(),
        ),
    });
    if stored.is_some() {
        found.extend(drifted(seen, &condition));
    }
    found
}

fn ready(
    stored: Option<&Document>,
    seen: Option<&Seen>,
    covered: &Covered,
    condition: &impl Fn(ConditionType, ConditionStatus, &str, String) -> NewCondition,
) -> NewCondition {
    let ready = |status, reason: &str, message: String| {
        condition(ConditionType::Ready, status, reason, message)
    };
    if stored.is_none() {
        return ready(
            ConditionStatus::False,
            "NotApplied",
            "it was submitted, and no plan with it was applied yet".to_owned(),
        );
    }
    match seen {
        Some(Seen::Matches) => ready(ConditionStatus::True, "Applied", String::new()),
        Some(Seen::Drifted(fields)) => ready(
            ConditionStatus::False,
            "Drifted",
            format!("the live object differs in {}", named(fields)),
        ),
        Some(Seen::Unclear(why)) => ready(ConditionStatus::Unknown, "CannotPlan", why.clone()),
        Some(Seen::Busy) if covered.running.is_some() => ready(
            ConditionStatus::False,
            "Reconciling",
            "a run is changing it".to_owned(),
        ),
        Some(Seen::Busy) => ready(
            ConditionStatus::False,
            "RunStopped",
            "a run stopped while it changed it".to_owned(),
        ),
        Some(Seen::Suspended) => ready(
            ConditionStatus::Unknown,
            "Suspended",
            "nobody looks while it is suspended".to_owned(),
        ),
        None => ready(
            ConditionStatus::Unknown,
            "NotLooked",
            "nobody has looked yet".to_owned(),
        ),
    }
}

fn drifted(
    seen: Option<&Seen>,
    condition: &impl Fn(ConditionType, ConditionStatus, &str, String) -> NewCondition,
) -> Option<NewCondition> {
    let drifted = |status, reason: &str, message: String| {
        Some(condition(ConditionType::Drifted, status, reason, message))
    };
    match seen {
        Some(Seen::Matches) => drifted(ConditionStatus::False, "Matches", String::new()),
        Some(Seen::Drifted(fields)) => drifted(
            ConditionStatus::True,
            "Differs",
            format!("the live object differs in {}", named(fields)),
        ),
        Some(Seen::Unclear(why)) => drifted(ConditionStatus::Unknown, "CannotPlan", why.clone()),
        // What is being changed has not drifted; what was known stays.
        Some(Seen::Busy | Seen::Suspended) | None => None,
    }
}

fn named(fields: &[String]) -> String {
    let shown: Vec<&str> = fields.iter().take(MOST_NAMED).map(String::as_str).collect();
    match fields.len().saturating_sub(MOST_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::ClusterName;
    use crate::store::NewDocument;

    fn stored() -> Document {
        Document {
            document: NewDocument {
                cluster: ClusterName::new("lab").unwrap(),
                kind: "VirtualMachine".into(),
                name: "web".into(),
                source: "agent:claude".into(),
                text: String::new(),
                json: "{}".into(),
                hash: "sha256:1".into(),
            },
            generation: 3,
            updated: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// The conditions as `Type=Status(Reason)`.
    fn told(stored: Option<&Document>, seen: Option<&Seen>, covered: Option<&Covered>) -> String {
        let all = conditions(stored, seen, covered);
        let generation = stored.map_or(0, |stored| stored.generation);
        assert!(all.iter().all(|c| c.observed_generation == generation));
        all.iter()
            .map(|c| format!("{}={}({})", c.kind, c.status, c.reason))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn by(state: PlanState) -> Covered {
        let mut covered = Covered::default();
        covered.add(state, "sha256:2");
        covered
    }

    #[test]
    fn what_is_seen_and_planned_becomes_conditions() {
        let document = stored();
        let some = Some(&document);
        assert_eq!(
            told(some, Some(&Seen::Matches), None),
            "Ready=True(Applied) Reconciling=False(Idle) AwaitingApproval=False(NoPlan) Stalled=False(Moving) Drifted=False(Matches)"
        );
        let drifted = Seen::Drifted(vec!["memory".into()]);
        assert_eq!(
            told(some, Some(&drifted), Some(&by(PlanState::Waiting))),
            "Ready=False(Drifted) Reconciling=False(Idle) AwaitingApproval=True(PlanWaits) Stalled=False(Moving) Drifted=True(Differs)"
        );
        assert_eq!(
            told(some, Some(&Seen::Busy), Some(&by(PlanState::Running))),
            "Ready=False(Reconciling) Reconciling=True(PlanRunning) AwaitingApproval=False(NoPlan) Stalled=False(Moving)"
        );
        assert_eq!(
            told(some, Some(&Seen::Busy), Some(&by(PlanState::Stopped))),
            "Ready=False(RunStopped) Reconciling=False(Idle) AwaitingApproval=False(NoPlan) Stalled=True(RunStopped)"
        );
        assert_eq!(
            told(some, Some(&Seen::Unclear("no storage".into())), None),
            "Ready=Unknown(CannotPlan) Reconciling=False(Idle) AwaitingApproval=False(NoPlan) Stalled=True(CannotPlan) Drifted=Unknown(CannotPlan)"
        );
        // A document that is only proposed has nothing to drift from.
        assert_eq!(
            told(None, None, Some(&by(PlanState::Waiting))),
            "Ready=False(NotApplied) Reconciling=False(Idle) AwaitingApproval=True(PlanWaits) Stalled=False(Moving)"
        );
    }

    #[test]
    fn only_a_run_makes_an_object_busy() {
        assert!(!by(PlanState::Waiting).busy());
        assert!(by(PlanState::Approved).busy());
        assert!(by(PlanState::Stopped).busy());
        assert!(!by(PlanState::Applied).busy());
    }
}
