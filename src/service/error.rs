//! What can go wrong, sorted by what the asker can do about it.

use crate::approval::ApprovalError;
use crate::document::DocumentErrors;
use crate::plan::PlanError;
use crate::store::StoreError;

/// Any error of the service. Its text is for people.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Documents with mistakes; all of them at once.
    #[error("{0}")]
    Documents(DocumentErrors),
    /// Documents that are valid but cannot be planned; all reasons at once.
    #[error("{0}")]
    Plan(PlanError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A decision that is not accepted.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// The cluster could not be reached or read.
    #[error(transparent)]
    Observe(Box<crate::world::ObserveError>),
    /// No connection to the cluster can be set up.
    #[error("cluster {cluster}: {source}")]
    Cluster {
        /// Which.
        cluster: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something the operator set up is missing or wrong.
    #[error("{what}: {source}")]
    Setup {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Refused by policy, a freeze, or a rejection.
    #[error("refused: {0}")]
    Refused(String),
    /// The request does not fit what there is.
    #[error("{0}")]
    Request(String),
    /// What the request is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// Another source owns what the request is about.
    #[error("{0}")]
    Conflict(String),
    /// The plan or submission is in a state in which this cannot be done any more.
    #[error("{0}")]
    State(String),
    /// The asker has asked for too much at once.
    #[error("{0}")]
    TooMany(String),
    /// A defect of this program that was noticed in time; nothing was done.
    #[error("this is a defect of Bailiwick, and nothing was done: {0}")]
    Defect(String),
}

impl ServiceError {
    /// Something that the operator set up is missing or wrong.
    pub fn setup(
        what: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let what = what.into();
        move |source| Self::Setup { what, source }
    }
}

impl From<crate::world::ObserveError> for ServiceError {
    fn from(error: crate::world::ObserveError) -> Self {
        Self::Observe(Box::new(error))
    }
}

impl From<serde_json::Error> for ServiceError {
    fn from(error: serde_json::Error) -> Self {
        Self::Defect(format!("JSON: {error}"))
    }
}

impl From<crate::apply::port::JournalError> for ServiceError {
    fn from(error: crate::apply::port::JournalError) -> Self {
        Self::Setup {
            what: "the journal".to_owned(),
            source: Box::new(error),
        }
    }
}

/// An error's text, and below it the causes that it does not say already.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str("\n  because: ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}
