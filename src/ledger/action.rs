//! What a record says was done: one stable name per action. A name, once written to a ledger, never changes its meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is no action of this version of Bailiwick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an action this version of Bailiwick knows; a newer one may have written it")]
pub struct UnknownAction(pub String);

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What was asked, decided or done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Action {
            $($(#[$doc])* $variant,)+
        }

        impl Action {
            /// Every action, in the order of the format's page.
            pub const ALL: &'static [Action] = &[$(Action::$variant,)+];

            /// The name as it stands in a record.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl FromStr for Action {
            type Err = UnknownAction;
            fn from_str(text: &str) -> Result<Self, UnknownAction> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    other => Err(UnknownAction(other.to_owned())),
                }
            }
        }
    };
}

actions! {
    /// The first record of every ledger: its id, format and key. Written by [`super::genesis`] only.
    LedgerCreated = "ledger-created",
    /// A source submitted a document, new or changed.
    DocumentSubmitted = "document-submitted",
    /// A source took a document back.
    DocumentWithdrawn = "document-withdrawn",
    /// A plan was made and waits.
    PlanCreated = "plan-created",
    /// The world moved: a plan no longer holds.
    PlanSuperseded = "plan-superseded",
    /// A plan waited longer than it may.
    PlanExpired = "plan-expired",
    /// A person approved a plan.
    Approved = "approved",
    /// The approvals of a plan no longer count: it waits again.
    ApprovalExpired = "approval-expired",
    /// A person rejected a plan, with a reason.
    Rejected = "rejected",
    /// Whoever submitted a plan took it back.
    PlanWithdrawn = "plan-withdrawn",
    /// An approved plan began to run.
    RunStarted = "run-started",
    /// An interrupted run was taken up again.
    RunResumed = "run-resumed",
    /// A step is about to be sent; durable before the wire.
    StepIntent = "step-intent",
    /// What came of a step.
    StepOutcome = "step-outcome",
    /// A run ended, one way or another.
    RunFinished = "run-finished",
    /// A freeze was set.
    Frozen = "frozen",
    /// A freeze was lifted.
    Thawed = "thawed",
    /// The undo of a run was proposed as a plan.
    UndoProposed = "undo-proposed",
    /// The loop was told to leave something alone.
    Suspended = "suspended",
    /// The loop was told to go on with it.
    Resumed = "resumed",
    /// A source's fuse tripped: nobody can approve the plan until it is reset.
    FuseTripped = "fuse-tripped",
    /// A person let pass what a source's fuse held back.
    FuseReset = "fuse-reset",
    /// An agent was given a token.
    AgentAdded = "agent-added",
    /// An agent's token was taken away.
    AgentRevoked = "agent-revoked",
    /// Somebody failed to prove who they are.
    LoginFailed = "login-failed",
    /// The operator's policy differs from the last one recorded.
    PolicyChanged = "policy-changed",
    /// The sealed hand-over to a new key. Written by [`super::rotate`] only.
    KeyRotated = "key-rotated",
    /// A signed checkpoint left the box.
    Checkpoint = "checkpoint",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<String> for Action {
    type Error = UnknownAction;
    fn try_from(text: String) -> Result<Self, UnknownAction> {
        text.parse()
    }
}

impl From<Action> for String {
    fn from(action: Action) -> String {
        action.name().to_owned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_unique_and_read_back() {
        let mut seen = std::collections::BTreeSet::new();
        for action in Action::ALL {
            let name = action.name();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(name.parse::<Action>().unwrap(), *action);
        }
        assert!("deleted".parse::<Action>().is_err());
    }
}
