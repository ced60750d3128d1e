//! Runs: one execution of one plan. That a cluster has at most one under way is a constraint of the database itself.

use std::fmt;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, time, words};
use crate::ids::ClusterName;

words! {
    /// Where a run stands.
    RunState {
        /// Under way, or interrupted and to be taken up again.
        Running = "running",
        /// Every step is done.
        Ok = "ok",
        /// A step failed.
        Failed = "failed",
        /// Nobody knows what came of a step.
        Undetermined = "undetermined",
        /// Ended at a step boundary by a freeze or a person.
        Stopped = "stopped",
    }
}

impl RunState {
    /// Whether a run may go from this state to that.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Running => next != Self::Running,
            // Found out later, or taken up again.
            Self::Undetermined => next != Self::Undetermined,
            Self::Stopped => next == Self::Running,
            Self::Ok | Self::Failed => false,
        }
    }
}

/// The number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The plan's hash.
    pub plan: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Where it stands.
    pub state: RunState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
}

impl Transaction {
    /// Begins a run of a plan. Refused while the cluster has one under way.
    pub async fn start_run(
        &mut self,
        plan: &str,
        cluster: &ClusterName,
        at: Timestamp,
    ) -> Result<RunId, StoreError> {
        self.changed("a run was begun");
        sqlx::query("INSERT INTO runs (plan, cluster, state, started) VALUES (?, ?, ?, ?)")
            .bind(plan)
            .bind(cluster.as_str())
            .bind(RunState::Running.name())
            .bind(time(at))
            .execute(self.connection())
            .await
            .map(|done| RunId(done.last_insert_rowid()))
            .map_err(|error| under_way(error, cluster, "begin a run"))
    }

    /// Moves a run to another state, from whichever it is in.
    pub async fn set_run_state(
        &mut self,
        id: RunId,
        wanted: RunState,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let run = run(self.connection(), id)
            .await?
            .ok_or_else(|| not_found(id))?;
        if !run.state.may_become(wanted) {
            return Err(StoreError::RunState {
                run: id.0,
                actual: run.state,
                wanted,
            });
        }
        self.changed("the state of a run was changed");
        let ended = (wanted != RunState::Running).then(|| time(at));
        sqlx::query("UPDATE runs SET state = ?, ended = ? WHERE id = ?")
            .bind(wanted.name())
            .bind(ended)
            .bind(id.0)
            .execute(self.connection())
            .await
            .map_err(|error| under_way(error, &run.cluster, "change the state of a run"))?;
        Ok(())
    }
}

reads! {
    /// A run by its number.
    fn run(id: RunId) -> Option<Run>;
    /// Runs, the newest first: of a cluster or all, of a plan or all, at most `limit`.
    fn runs(cluster: Option<&ClusterName>, plan: Option<&str>, limit: u32) -> Vec<Run>;
    /// Runs that are under way or were interrupted, the oldest first.
    fn unfinished_runs() -> Vec<Run>;
    /// When a run of a cluster last ended.
    fn last_run_ended(cluster: &ClusterName) -> Option<Timestamp>;
}

async fn run(connection: &mut SqliteConnection, id: RunId) -> Result<Option<Run>, StoreError> {
    sqlx::query("SELECT * FROM runs WHERE id = ?")
        .bind(id.0)
        .fetch_optional(connection)
        .await
        .map_err(db("read a run"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn runs(
    connection: &mut SqliteConnection,
    cluster: Option<&ClusterName>,
    plan: Option<&str>,
    limit: u32,
) -> Result<Vec<Run>, StoreError> {
    sqlx::query(
        "SELECT * FROM runs WHERE (?1 IS NULL OR cluster = ?1) AND (?2 IS NULL OR plan = ?2) ORDER BY id DESC LIMIT ?3",
    )
    .bind(cluster.map(ClusterName::as_str))
    .bind(plan)
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(db("list the runs"))?
    .iter()
    .map(from_row)
    .collect()
}

async fn last_run_ended(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Option<Timestamp>, StoreError> {
    sqlx::query("SELECT max(ended) AS ended FROM runs WHERE cluster = ?")
        .bind(cluster.as_str())
        .fetch_one(connection)
        .await
        .map_err(db("read when a run last ended"))
        .and_then(|row| super::words::parse_optional(&row, "ended"))
}

async fn unfinished_runs(connection: &mut SqliteConnection) -> Result<Vec<Run>, StoreError> {
    sqlx::query("SELECT * FROM runs WHERE state = 'running' ORDER BY id")
        .fetch_all(connection)
        .await
        .map_err(db("look for unfinished runs"))?
        .iter()
        .map(from_row)
        .collect()
}

fn not_found(id: RunId) -> StoreError {
    StoreError::NotFound {
        what: "run",
        name: id.to_string(),
    }
}

fn under_way(error: sqlx::Error, cluster: &ClusterName, doing: &'static str) -> StoreError {
    let unique = error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation());
    if unique {
        StoreError::RunUnderWay {
            cluster: cluster.clone(),
        }
    } else {
        db(doing)(error)
    }
}

fn from_row(row: &SqliteRow) -> Result<Run, StoreError> {
    Ok(Run {
        id: RunId(get(row, "id")?),
        plan: get(row, "plan")?,
        cluster: parse(row, "cluster")?,
        state: parse(row, "state")?,
        started: parse(row, "started")?,
        ended: parse_optional(row, "ended")?,
    })
}
