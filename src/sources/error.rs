//! Why a source could not be read or written. Every text in here is clean: no control characters, no credentials.

use std::time::Duration;

use super::MOST_BYTES;
use crate::document::yaml::MOST_BYTES as MOST_OF_A_FILE;
use crate::document_files::MOST_FILES;

/// A source that could not be read or written. Nothing changes because of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no `git`.
    #[error(
        "the program `git` cannot be started ({said}): install git, or start Bailiwick with a PATH that has it"
    )]
    GitMissing {
        /// What the system said.
        said: String,
    },
    /// The `git` is one that would not heed how it is called.
    #[error("{found}: at least git 2.31 is needed to read a repository safely")]
    GitTooOld {
        /// What it calls itself.
        found: String,
    },
    /// Git failed.
    #[error("cannot {doing}: {said}")]
    Git {
        /// What was being done.
        doing: String,
        /// What git said.
        said: String,
    },
    /// Git did not come to an end, and was stopped with everything it had started.
    #[error("cannot {doing}: git did not finish within {}s and was stopped", patience.as_secs_f64())]
    TimedOut {
        /// What was being done.
        doing: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The repository has more than is taken in.
    #[error("cannot {doing}: there is more than {most} of it")]
    TooMuch {
        /// What was being done.
        doing: String,
        /// The bound, in words.
        most: String,
    },
    /// A commit is not signed as it has to be.
    #[error("commit {commit} is refused, and all that came with it: {why}{}", others(*more))]
    Unverified {
        /// The commit: the oldest that is refused.
        commit: String,
        /// Why.
        why: String,
        /// How many others are refused too.
        more: usize,
    },
    /// The folder of the documents is something else.
    #[error("`{folder}` is {found} in commit {commit}, expected a folder")]
    NotAFolder {
        /// The folder, as the configuration names it.
        folder: String,
        /// What it is.
        found: &'static str,
        /// The commit.
        commit: String,
    },
    /// The folder of a directory source is not there, or cannot be read. Never taken for an empty one.
    #[error("cannot read `{path}`: {said}")]
    Unreachable {
        /// The folder.
        path: String,
        /// What the system said.
        said: String,
    },
    /// Files that cannot be read, all of them.
    #[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files {
        /// The files.
        faults: Vec<Fault>,
    },
    /// The directory kept changing while it was read.
    #[error(
        "`{path}` was being written while it was read ({what}): it is read again next time; write files under another name and rename them"
    )]
    BeingWritten {
        /// The folder.
        path: String,
        /// What changed.
        what: String,
    },
    /// The configuration names something that cannot be used.
    #[error("{0}")]
    Setup(String),
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no text.
    #[error(
        "`{file}` is not text in UTF-8: byte {at} is not part of a character; save it as UTF-8"
    )]
    NotText {
        /// The file.
        file: String,
        /// The offset of the first wrong byte, from 0.
        at: usize,
    },
    /// The file is larger than any file of documents may be.
    #[error("`{file}` is larger than {MOST_OF_A_FILE} bytes; split it into several files")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// There are too many files.
    #[error("`{folder}` has more than {MOST_FILES} files of documents")]
    TooMany {
        /// The folder.
        folder: String,
    },
    /// The files are too large together.
    #[error("the documents of `{folder}` are larger than {MOST_BYTES} bytes together")]
    TooLargeTogether {
        /// The folder.
        folder: String,
    },
    /// The system refused.
    #[error("cannot read `{file}`: {said}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        said: String,
    },
}

fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => " (and 1 other commit)".to_owned(),
        more => format!(" (and {more} other commits)"),
    }
}

impl SourceError {
    /// One word for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::GitMissing { .. } => "GitMissing",
            Self::GitTooOld { .. } => "GitTooOld",
            Self::Git { .. } => "GitFailed",
            Self::TimedOut { .. } => "TimedOut",
            Self::TooMuch { .. } => "TooMuch",
            Self::Unverified { .. } => "Unverified",
            Self::NotAFolder { .. } => "NotAFolder",
            Self::Unreachable { .. } => "Unreachable",
            Self::Files { .. } => "UnreadableFiles",
            Self::BeingWritten { .. } => "BeingWritten",
            Self::Setup(_) => "BadConfiguration",
        }
    }
}
