//! What there is to do for a cluster, each at most once at a time.

use std::fmt;

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Look at the cluster.
    Observe,
    /// Look for drift, make waiting plans again, set the conditions.
    Settle,
    /// Run what was approved, one plan after the other.
    Run,
    /// Plan a submission that could not be planned when it was handed in.
    Submission(String),
    /// Read a source.
    Source(String),
}

impl Key {
    /// Whose turn it takes: sources and submitters wait for no other's work.
    pub fn lane(&self) -> &str {
        match self {
            Self::Observe | Self::Settle | Self::Run => "loop",
            Self::Submission(_) => "inbox",
            Self::Source(name) => name,
        }
    }

    /// The word for it in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Settle => "settle",
            Self::Run => "run",
            Self::Submission(_) => "submission",
            Self::Source(_) => "source",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submission(id) => write!(f, "submission {id}"),
            Self::Source(name) => write!(f, "source {name}"),
            Self::Observe | Self::Settle | Self::Run => f.write_str(self.word()),
        }
    }
}
