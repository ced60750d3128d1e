//! What can go wrong with the store, in words that say what to do.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::plans::PlanState;
use super::runs::RunState;
use super::steps::StepState;
use crate::ids::ClusterName;
use crate::ledger::{AppendError, LedgerId};

/// Why an approval does not let a run start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// There is no such approval.
    #[error("there is no such approval")]
    Unknown,
    /// It is of another plan.
    #[error("it is of the plan {0}")]
    OtherPlan(String),
    /// It is a rejection.
    #[error("it is a rejection")]
    Rejection,
    /// It was used: an approval lets one run start, once.
    #[error("it was used at {0}, and an approval is good for one run")]
    Used(Timestamp),
    /// Its time is over.
    #[error("it expired at {0}: approve again")]
    Expired(Timestamp),
    /// The plan was opened again after it was given.
    #[error("it was voided at {0}, when the plan was opened again: approve again")]
    Voided(Timestamp),
    /// It is dated later than now.
    #[error("it is dated {0}, which is still to come: check the clocks")]
    NotYet(Timestamp),
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("cannot open the state file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder it shall be in does not exist.
    #[error(
        "the folder {folder} of the state file does not exist: make it, readable for Bailiwick alone, or correct `state` in the configuration"
    )]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The database in it cannot be opened.
    #[error("cannot open the state file {path} as a database: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Written by a newer version.
    #[error(
        "the state file {path} was written by a newer version of Bailiwick (its migration {migration} is unknown here): use that version"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first unknown migration.
        migration: i64,
    },
    /// A migration failed.
    #[error("cannot bring the state file {path} up to date: {source}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Somebody else held the store for too long.
    #[error(
        "cannot {doing}: the state file is busy; another Bailiwick process, or this one, holds a transaction open"
    )]
    Busy {
        /// What was attempted.
        doing: &'static str,
    },
    /// The database refused or failed.
    #[error("cannot {doing}: {source}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A value in the store is not what this room writes.
    #[error("the state file holds something unreadable in `{what}`: {why}")]
    Corrupt {
        /// The column or object.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Something that must be there is not.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// `plan`, `document`, …
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A prefix fits several plans.
    #[error("`{prefix}` fits several plans: {}; write more of the hash", .hashes.join(", "))]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// Some of the plans it fits.
        hashes: Vec<String>,
    },
    /// Another source owns it.
    #[error(
        "{what} belongs to the source `{owner}`: `{claimant}` cannot take it over; `{owner}` must give it up first"
    )]
    OtherSource {
        /// The document or object.
        what: String,
        /// Its source.
        owner: String,
        /// Who wanted it.
        claimant: String,
    },
    /// A plan is not in the state the change begins from.
    #[error("the plan {plan} is {actual}, not {expected}: it cannot become {wanted}")]
    PlanState {
        /// The plan's hash.
        plan: String,
        /// The state it was believed to be in.
        expected: PlanState,
        /// The state it is in.
        actual: PlanState,
        /// The state it was to have.
        wanted: PlanState,
    },
    /// The same hash with another content: a broken hash, or tampering.
    #[error("the plan {plan} is stored with another content: a hash stands for one plan only")]
    PlanDiffers {
        /// The plan's hash.
        plan: String,
    },
    /// An approval that does not count.
    #[error("approval {approval} cannot be used: {why}")]
    Approval {
        /// The approval.
        approval: i64,
        /// Why.
        #[source]
        why: NotUsable,
    },
    /// A signature that was handed in before.
    #[error(
        "this signature of {principal} was handed in before, and a signature counts once: sign again"
    )]
    Spent {
        /// Whose.
        principal: String,
    },
    /// A cluster already has a run under way.
    #[error("the cluster {cluster} has a run under way")]
    RunUnderWay {
        /// The cluster.
        cluster: ClusterName,
    },
    /// A run is in no state for the change.
    #[error("run {run} is {actual}: it cannot become {wanted}")]
    RunState {
        /// The run.
        run: i64,
        /// The state it is in.
        actual: RunState,
        /// The state it was to have.
        wanted: RunState,
    },
    /// A step is in no state for the change.
    #[error("step {step} of run {run} is {}: it cannot become {wanted}", .actual.map_or("not begun", StepState::name))]
    StepState {
        /// The run.
        run: i64,
        /// The step, with its call.
        step: String,
        /// The state it is in, if it began.
        actual: Option<StepState>,
        /// The state it was to have.
        wanted: StepState,
    },
    /// Another process executes this cluster.
    #[error("another process ({holder}) executes the cluster {cluster}; wait for it to end")]
    Locked {
        /// The cluster.
        cluster: ClusterName,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// Another process keeps the loop over this state file.
    #[error(
        "another `bailiwick serve` ({holder}) works with the state {}; end that one first, or use its MCP and commands", path.display()
    )]
    Served {
        /// The state file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// The record could not be made.
    #[error("cannot record: {0}")]
    Append(#[from] AppendError),
    /// There is no ledger yet.
    #[error("this store has no ledger yet: create one with its key first")]
    NoLedger,
    /// There is one already.
    #[error("this store has the ledger {0} already")]
    LedgerExists(LedgerId),
    /// Something was changed and not recorded.
    #[error("refused to commit: {what} without a ledger record")]
    Unrecorded {
        /// What was changed.
        what: &'static str,
    },
    /// Writing an export failed.
    #[error("cannot write the export: {0}")]
    Export(#[source] io::Error),
}

/// Names what was attempted when the database fails.
pub(super) fn db(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| {
        let busy = match &source {
            sqlx::Error::PoolTimedOut => true,
            // SQLITE_BUSY and its extended codes share the low byte 5.
            sqlx::Error::Database(error) => error
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| code & 0xff == 5),
            _ => false,
        };
        if busy {
            StoreError::Busy { doing }
        } else {
            StoreError::Database { doing, source }
        }
    }
}
