//! What went wrong, in words that stay the same, with what is needed next. `docs/agents.md` lists them.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::json;

use super::untrusted;
use crate::service::ServiceError;
use crate::service::plans::HoldKind;
use crate::store::StoreError;
use crate::world::ObserveError;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $next:literal;)+) => {
        /// The stable codes of errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The word for it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What is needed next.
            pub fn next(self) -> &'static str {
                match self {
                    $(Self::$variant => $next,)+
                }
            }
        }
    };
}

codes! {
    /// Arguments that do not fit the tool's schema.
    InvalidArguments = "invalid_arguments", "Correct the arguments after the tool's input schema and call again.";
    /// Documents with mistakes; all of them are listed.
    InvalidDocument = "invalid_document", "Correct every mistake listed and call again; explain_kind says what a field may hold.";
    /// The documents are valid, but no plan can be made of them.
    CannotPlan = "cannot_plan", "Read the reasons: change the documents so that they no longer apply, or ask a person.";
    /// The documents belong to another source.
    ConflictSource = "conflict_source", "Leave the object to the source that owns it, or ask a person to give it up there first.";
    /// The cluster does not answer.
    UnreachableCluster = "unreachable_cluster", "Try again later. What was submitted is kept: wait_for_plan with its submission id.";
    /// The cluster answers, and does not let Bailiwick look.
    ClusterAccess = "cluster_access", "An operator must correct Bailiwick's own API token on the cluster.";
    /// What was asked about is not there.
    NotFound = "not_found", "List what there is (list_resources, list_plans) and call again with an id from there.";
    /// The beginning of a hash fits several plans.
    Ambiguous = "ambiguous", "Write more of the plan's hash.";
    /// The plan or submission is in a state in which this cannot be done.
    WrongState = "wrong_state", "Call get_plan for where it stands now; if it no longer holds, submit again.";
    /// The policy, or who you are, does not allow it.
    RefusedByPolicy = "refused_by_policy", "This cannot be done by an agent here; ask a person.";
    /// Too much at once.
    RateLimited = "rate_limited", "Wait for the seconds in `retryAfterSeconds`, then call again; wait with wait_for_plan instead of asking often.";
    /// Something the operator must set up is missing or wrong.
    SetupIncomplete = "setup_incomplete", "An operator must correct Bailiwick's set-up; the message says what.";
    /// Somebody else holds the state file for too long.
    Busy = "busy", "Try again in some seconds.";
    /// A defect of Bailiwick; nothing was done.
    Internal = "internal", "Report the message to an operator; nothing was done.";
}

/// A call that came to no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What went wrong, in words.
    pub message: String,
    /// After how many seconds it is worth another try, if that is known.
    pub retry_after: Option<f64>,
}

/// The longest message, in characters. Mistakes of documents are many lines, and each is needed.
const LONGEST_MESSAGE: usize = 12_000;

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Wrong arguments.
    pub fn arguments(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArguments, message)
    }

    /// The refusal as a result of a tool, which the agent sees. Its text is one JSON object, `error`.
    pub fn result(&self) -> CallToolResult {
        let lines: Vec<String> = self
            .message
            .chars()
            .take(LONGEST_MESSAGE)
            .collect::<String>()
            .lines()
            .map(|line| untrusted::bounded(line, LONGEST_MESSAGE))
            .collect();
        let mut error = json!({
            "code": self.code.word(), "message": lines.join("\n"), "next": self.code.next(),
        });
        if let (Some(seconds), Some(map)) = (self.retry_after, error.as_object_mut()) {
            map.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        let text = json!({ "error": error }).to_string();
        CallToolResult::error(vec![ContentBlock::text(text)])
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let code = match &error {
            ServiceError::Documents(_) => Code::InvalidDocument,
            ServiceError::Plan(_) => Code::CannotPlan,
            ServiceError::Conflict(_) | ServiceError::Store(StoreError::OtherSource { .. }) => {
                Code::ConflictSource
            }
            ServiceError::Observe(error) => match error.as_ref() {
                ObserveError::NoPrivileges { .. } | ObserveError::Unauthenticated { .. } => {
                    Code::ClusterAccess
                }
                ObserveError::Api { .. } => Code::UnreachableCluster,
            },
            ServiceError::Cluster { .. } => Code::UnreachableCluster,
            ServiceError::NotFound(_) | ServiceError::Store(StoreError::NotFound { .. }) => {
                Code::NotFound
            }
            ServiceError::Store(StoreError::Ambiguous { .. }) => Code::Ambiguous,
            ServiceError::State(_) | ServiceError::Store(StoreError::PlanState { .. }) => {
                Code::WrongState
            }
            ServiceError::Refused(_) | ServiceError::Approval(_) => Code::RefusedByPolicy,
            ServiceError::TooMany(_) => Code::RateLimited,
            ServiceError::Setup { .. } => Code::SetupIncomplete,
            ServiceError::Store(StoreError::Busy { .. }) => Code::Busy,
            ServiceError::Request(_) => Code::InvalidArguments,
            ServiceError::Store(_) | ServiceError::Defect(_) => Code::Internal,
        };
        Self::new(code, with_causes(&error))
    }
}

/// What helps a plan on that is held up so.
pub fn next_for(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::ApprovalMissing => {
            "A person approves it with `bailiwick approve HASH`; no agent can. wait_for_plan tells when that happened."
        }
        HoldKind::RefusedByPolicy => {
            "Nobody can approve this plan: submit other documents, or ask an operator about the policy."
        }
        HoldKind::Rejected => "Read the reason, and submit other documents if that answers it.",
        HoldKind::Frozen => "Nothing runs until a person lifts the freeze.",
        HoldKind::Stale => "Submit again: the new plan is made from how things are now.",
        HoldKind::Stopped => "An operator looks at the run and takes it up again.",
    }
}

fn with_causes(error: &ServiceError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str("\nbecause: ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_words_that_read_well() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let word = code.word();
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(seen.insert(word), "{word} twice");
            assert!(code.next().ends_with('.'), "{word}");
        }
    }

    #[test]
    fn a_refusal_is_one_json_object_and_clean() {
        let mut refusal = Refusal::new(Code::NotFound, "no \u{202e} such\nthing");
        refusal.retry_after = Some(1.5);
        let result = refusal.result();
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content, None);
        let text = serde_json::to_value(result.content.first().unwrap()).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(text.get("text").unwrap().as_str().unwrap()).unwrap();
        let error = json.get("error").unwrap();
        assert_eq!(error.get("code").unwrap(), "not_found");
        assert_eq!(error.get("message").unwrap(), "no \\u{202e} such\nthing");
        assert_eq!(error.get("retryAfterSeconds").unwrap(), 1.5);
    }
}
