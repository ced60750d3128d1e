//! The steps of a run, written ahead: the intent is durable before anything is sent, the UPID right after, the outcome when it is
//! known. A step of several API calls has one row per call. What may follow what is checked here, so that no call is made twice.

use std::fmt;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::runs::RunId;
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, time, unsigned, words};

words! {
    /// How far a step's call has come.
    StepState {
        /// About to be sent; it may or may not have been.
        Intent = "intent",
        /// It was sent and accepted; the task's UPID is known if there is one.
        Sent = "sent",
        /// Its outcome is known, or known to be undetermined.
        Done = "done",
    }
}

words! {
    /// What came of a step's call.
    StepOutcome {
        /// It happened.
        Ok = "ok",
        /// It happened, with warnings.
        Warnings = "warnings",
        /// It did not happen.
        Failed = "failed",
        /// Nobody knows.
        Undetermined = "undetermined",
    }
}

/// Which call of which step of which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    /// The run.
    pub run: RunId,
    /// The step's index in the plan, from 0.
    pub step: u32,
    /// The call's index in the step, from 0.
    pub call: u32,
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.step, self.call)
    }
}

/// A call of a step, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// Which.
    pub at: StepRef,
    /// How far.
    pub state: StepState,
    /// How often it was intended; above 1 after failures that were known to have changed nothing.
    pub attempts: u32,
    /// The task's UPID, if it made one.
    pub upid: Option<String>,
    /// What is to be sent, as JSON.
    pub intent: String,
    /// What came of it.
    pub outcome: Option<StepOutcome>,
    /// Values before and after, for the undo, as JSON.
    pub detail: Option<String>,
    /// When it was last intended.
    pub intended: Timestamp,
    /// When it was sent.
    pub sent: Option<Timestamp>,
    /// When its outcome was known.
    pub done: Option<Timestamp>,
}

impl Transaction {
    /// Writes the intent, before the wire. Refused when the call was intended before, unless that attempt failed for certain.
    pub async fn step_intent(
        &mut self,
        at: StepRef,
        intent: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let current = run_step(self.connection(), at).await?;
        let again = match &current {
            None => true,
            Some(step) => step.outcome == Some(StepOutcome::Failed),
        };
        if !again {
            return Err(refused(at, current.as_ref(), StepState::Intent));
        }
        self.changed("a step was intended");
        sqlx::query(
            "INSERT INTO run_steps (run, step, call, state, attempts, intent, intended) VALUES (?, ?, ?, ?, 1, ?, ?)
             ON CONFLICT (run, step, call) DO UPDATE SET state = excluded.state, attempts = attempts + 1,
                intent = excluded.intent, intended = excluded.intended,
                upid = NULL, outcome = NULL, detail = NULL, sent = NULL, done = NULL",
        )
        .bind(at.run.0)
        .bind(at.step)
        .bind(at.call)
        .bind(StepState::Intent.name())
        .bind(intent)
        .bind(time(now))
        .execute(self.connection())
        .await
        .map_err(db("write down the intent of a step"))?;
        Ok(())
    }

    /// Writes that the call was accepted, and its task's UPID. Needs no record: the intent has one and the outcome will.
    pub async fn step_sent(
        &mut self,
        at: StepRef,
        upid: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let current = run_step(self.connection(), at).await?;
        let follows = match &current {
            // After a crash the task is found again, even when its outcome was given up as undetermined.
            Some(step) => {
                step.state == StepState::Intent || step.outcome == Some(StepOutcome::Undetermined)
            }
            None => false,
        };
        if !follows {
            return Err(refused(at, current.as_ref(), StepState::Sent));
        }
        sqlx::query(
            "UPDATE run_steps SET state = ?, upid = ?, sent = ?, outcome = NULL, done = NULL WHERE run = ? AND step = ? AND call = ?",
        )
        .bind(StepState::Sent.name())
        .bind(upid)
        .bind(time(now))
        .bind(at.run.0)
        .bind(at.step)
        .bind(at.call)
        .execute(self.connection())
        .await
        .map_err(db("write down that a step was sent"))?;
        Ok(())
    }

    /// Writes what came of the call, with the values before and after. An outcome that is certain is never changed.
    pub async fn step_done(
        &mut self,
        at: StepRef,
        outcome: StepOutcome,
        detail: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let current = run_step(self.connection(), at).await?;
        let open = match current.as_ref().map(|step| step.outcome) {
            Some(None | Some(StepOutcome::Undetermined)) => true,
            None | Some(Some(StepOutcome::Ok | StepOutcome::Warnings | StepOutcome::Failed)) => {
                false
            }
        };
        if !open {
            return Err(refused(at, current.as_ref(), StepState::Done));
        }
        self.changed("the outcome of a step was stored");
        sqlx::query(
            "UPDATE run_steps SET state = ?, outcome = ?, detail = coalesce(?, detail), done = ? WHERE run = ? AND step = ? AND call = ?",
        )
        .bind(StepState::Done.name())
        .bind(outcome.name())
        .bind(detail)
        .bind(time(now))
        .bind(at.run.0)
        .bind(at.step)
        .bind(at.call)
        .execute(self.connection())
        .await
        .map_err(db("write down the outcome of a step"))?;
        Ok(())
    }
}

fn refused(at: StepRef, current: Option<&RunStep>, wanted: StepState) -> StoreError {
    StoreError::StepState {
        run: at.run.0,
        step: at.to_string(),
        actual: current.map(|step| step.state),
        wanted,
    }
}

reads! {
    /// One call of a step, if it was ever intended.
    fn run_step(at: StepRef) -> Option<RunStep>;
    /// Every call of every step of a run, in order of step and call.
    fn run_steps(run: RunId) -> Vec<RunStep>;
}

async fn run_step(
    connection: &mut SqliteConnection,
    at: StepRef,
) -> Result<Option<RunStep>, StoreError> {
    sqlx::query("SELECT * FROM run_steps WHERE run = ? AND step = ? AND call = ?")
        .bind(at.run.0)
        .bind(at.step)
        .bind(at.call)
        .fetch_optional(connection)
        .await
        .map_err(db("read a step"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn run_steps(
    connection: &mut SqliteConnection,
    run: RunId,
) -> Result<Vec<RunStep>, StoreError> {
    sqlx::query("SELECT * FROM run_steps WHERE run = ? ORDER BY step, call")
        .bind(run.0)
        .fetch_all(connection)
        .await
        .map_err(db("read the steps of a run"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<RunStep, StoreError> {
    Ok(RunStep {
        at: StepRef {
            run: RunId(get(row, "run")?),
            step: unsigned(row, "step")?,
            call: unsigned(row, "call")?,
        },
        state: parse(row, "state")?,
        attempts: unsigned(row, "attempts")?,
        upid: get(row, "upid")?,
        intent: get(row, "intent")?,
        outcome: parse_optional(row, "outcome")?,
        detail: get(row, "detail")?,
        intended: parse(row, "intended")?,
        sent: parse_optional(row, "sent")?,
        done: parse_optional(row, "done")?,
    })
}
