//! Plans page by page: a list that stays bounded however many there are. Pages follow on each other by time and hash, so that plans
//! that come in meanwhile neither shift nor double anything.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::error::{StoreError, db};
use super::plans::{PlanHead, PlanState, head_from_row};
use super::words::{reads, time};
use crate::ids::ClusterName;

/// Which plans to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanFilter {
    /// Only of this cluster.
    pub cluster: Option<ClusterName>,
    /// Only in this state.
    pub state: Option<PlanState>,
    /// Only what this principal submitted.
    pub submitter: Option<String>,
}

/// The last plan of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPlace {
    /// When it was made.
    pub created: Timestamp,
    /// Its hash.
    pub hash: String,
}

reads! {
    /// Plans without their content, the newest first, after a place or from the beginning, at most `limit`.
    fn plan_page(filter: &PlanFilter, after: Option<&PlanPlace>, limit: u32) -> Vec<PlanHead>;
    /// A plan without its content.
    fn plan_head(hash: &str) -> Option<PlanHead>;
    /// How many plans there are.
    fn count_plans(filter: &PlanFilter) -> u64;
}

async fn plan_page(
    connection: &mut SqliteConnection,
    filter: &PlanFilter,
    after: Option<&PlanPlace>,
    limit: u32,
) -> Result<Vec<PlanHead>, StoreError> {
    sqlx::query(
        "SELECT hash, cluster, state, risk, submitter, created, changed FROM plans
         WHERE (?1 IS NULL OR cluster = ?1) AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR submitter = ?3)
           AND (?4 IS NULL OR created < ?4 OR (created = ?4 AND hash > ?5))
         ORDER BY created DESC, hash LIMIT ?6",
    )
    .bind(filter.cluster.as_ref().map(ClusterName::as_str))
    .bind(filter.state.map(PlanState::name))
    .bind(&filter.submitter)
    .bind(after.map(|place| time(place.created)))
    .bind(after.map(|place| place.hash.as_str()))
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(db("list the plans"))?
    .iter()
    .map(head_from_row)
    .collect()
}

async fn plan_head(
    connection: &mut SqliteConnection,
    hash: &str,
) -> Result<Option<PlanHead>, StoreError> {
    sqlx::query(
        "SELECT hash, cluster, state, risk, submitter, created, changed FROM plans WHERE hash = ?",
    )
    .bind(hash)
    .fetch_optional(connection)
    .await
    .map_err(db("read where a plan stands"))?
    .map(|row| head_from_row(&row))
    .transpose()
}

async fn count_plans(
    connection: &mut SqliteConnection,
    filter: &PlanFilter,
) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM plans WHERE (?1 IS NULL OR cluster = ?1) AND (?2 IS NULL OR state = ?2)
           AND (?3 IS NULL OR submitter = ?3)",
    )
    .bind(filter.cluster.as_ref().map(ClusterName::as_str))
    .bind(filter.state.map(PlanState::name))
    .bind(&filter.submitter)
    .fetch_one(connection)
    .await
    .map_err(db("count the plans"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
