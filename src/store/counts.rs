//! Counts of what is kept, for metrics: read from indexes, so that they cost little however much there is.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::inbox::SubmissionState;
use super::plans::PlanState;
use super::runs::RunState;
use super::words::{get, parse, reads, unsigned};
use crate::ids::ClusterName;

/// Plans of a cluster that stand alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanCount {
    /// The cluster.
    pub cluster: ClusterName,
    /// Where they stand.
    pub state: PlanState,
    /// Their risk.
    pub risk: String,
    /// How many they are.
    pub count: u64,
    /// Since when the first of them stands so.
    pub since: Timestamp,
}

/// Runs of a cluster that are not over and stand alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCount {
    /// The cluster.
    pub cluster: ClusterName,
    /// Where they stand.
    pub state: RunState,
    /// How many they are.
    pub count: u64,
}

/// Objects of a cluster and a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindCount {
    /// The cluster.
    pub cluster: ClusterName,
    /// The kind.
    pub kind: String,
    /// How many they are.
    pub count: u64,
}

reads! {
    /// How many plans there are, by cluster, state and risk.
    fn plan_counts() -> Vec<PlanCount>;
    /// How many runs are under way, undetermined, or stopped and can go on, by cluster.
    fn open_run_counts() -> Vec<RunCount>;
    /// How many objects have drifted, by cluster and kind.
    fn drift_counts() -> Vec<KindCount>;
    /// How many submissions are kept, by state.
    fn submission_counts() -> Vec<(SubmissionState, u64)>;
}

async fn plan_counts(connection: &mut SqliteConnection) -> Result<Vec<PlanCount>, StoreError> {
    let counted = |row: &SqliteRow| {
        Ok(PlanCount {
            cluster: parse(row, "cluster")?,
            state: parse(row, "state")?,
            risk: get(row, "risk")?,
            count: unsigned(row, "count")?,
            since: parse(row, "since")?,
        })
    };
    sqlx::query(
        "SELECT cluster, state, risk, count(*) AS count, min(changed) AS since FROM plans GROUP BY cluster, state, risk",
    )
    .fetch_all(connection)
    .await
    .map_err(db("count the plans"))?
    .iter()
    .map(counted)
    .collect()
}

async fn open_run_counts(connection: &mut SqliteConnection) -> Result<Vec<RunCount>, StoreError> {
    let counted = |row: &SqliteRow| {
        Ok(RunCount {
            cluster: parse(row, "cluster")?,
            state: parse(row, "state")?,
            count: unsigned(row, "count")?,
        })
    };
    // A run whose plan was overtaken does not go on, although it ended as stopped.
    sqlx::query(
        "SELECT r.cluster, r.state, count(*) AS count FROM runs r JOIN plans p ON p.hash = r.plan
         WHERE r.state IN ('running', 'stopped', 'undetermined') AND p.state IN ('running', 'stopped')
         GROUP BY r.cluster, r.state",
    )
    .fetch_all(connection)
    .await
    .map_err(db("count the runs"))?
    .iter()
    .map(counted)
    .collect()
}

async fn drift_counts(connection: &mut SqliteConnection) -> Result<Vec<KindCount>, StoreError> {
    let counted = |row: &SqliteRow| {
        Ok(KindCount {
            cluster: parse(row, "cluster")?,
            kind: get(row, "kind")?,
            count: unsigned(row, "count")?,
        })
    };
    sqlx::query(
        "SELECT cluster, substr(object, 1, instr(object || '/', '/') - 1) AS kind, count(*) AS count FROM conditions
         WHERE type = 'Drifted' AND status = 'True' GROUP BY cluster, kind",
    )
    .fetch_all(connection)
    .await
    .map_err(db("count what has drifted"))?
    .iter()
    .map(counted)
    .collect()
}

async fn submission_counts(
    connection: &mut SqliteConnection,
) -> Result<Vec<(SubmissionState, u64)>, StoreError> {
    sqlx::query("SELECT state, count(*) AS count FROM submissions GROUP BY state")
        .fetch_all(connection)
        .await
        .map_err(db("count the submissions"))?
        .iter()
        .map(|row| Ok((parse(row, "state")?, unsigned(row, "count")?)))
        .collect()
}
