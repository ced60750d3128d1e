//! Events: what happened, in words, for people and for those who are told. Bounded: the oldest are let go. The ledger proves; events
//! only tell.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, signed, time, words};
use crate::ids::ClusterName;

/// How many events are kept.
pub const MOST_EVENTS: u32 = 20_000;

words! {
    /// Whether an event wants attention.
    EventType {
        /// As it should be.
        Normal = "Normal",
        /// Somebody should look.
        Warning = "Warning",
    }
}

/// An event to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// The cluster it is about, if one.
    pub cluster: Option<ClusterName>,
    /// What it is about: `plan/sha256:…`, `VirtualMachine/web-7`, `source/git:infra`, `cluster/lab`, `freeze`.
    pub object: String,
    /// Whether it wants attention.
    pub kind: EventType,
    /// One word in CamelCase: `PlanWaiting`, `RunFailed`, `DriftFound`.
    pub reason: String,
    /// In words.
    pub message: String,
    /// Who caused it.
    pub actor: String,
    /// The plan it is about, if one.
    pub plan: Option<String>,
    /// The ledger record that proves it, if one.
    pub ledger: Option<u64>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number; later events have greater ones.
    pub id: u64,
    /// What it says.
    pub event: NewEvent,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only after this one.
    pub after: u64,
    /// Only of this cluster.
    pub cluster: Option<ClusterName>,
    /// Only about this object.
    pub object: Option<String>,
    /// Only of this plan.
    pub plan: Option<String>,
}

impl Transaction {
    /// Keeps an event and lets the oldest go.
    pub async fn add_event(&mut self, new: &NewEvent) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "INSERT INTO events (at, cluster, object, type, reason, message, actor, plan, ledger)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(time(new.at))
        .bind(new.cluster.as_ref().map(ClusterName::as_str))
        .bind(&new.object)
        .bind(new.kind.name())
        .bind(&new.reason)
        .bind(&new.message)
        .bind(&new.actor)
        .bind(&new.plan)
        .bind(new.ledger.map(signed))
        .execute(self.connection())
        .await
        .map_err(db("keep an event"))?;
        let id = u64::try_from(done.last_insert_rowid()).unwrap_or(0);
        // Numbers are given without gaps but for undone transactions, so this keeps about as many as it says.
        sqlx::query("DELETE FROM events WHERE id <= ?")
            .bind(signed(id.saturating_sub(u64::from(MOST_EVENTS))))
            .execute(self.connection())
            .await
            .map_err(db("let old events go"))?;
        Ok(id)
    }
}

reads! {
    /// Events, the oldest first, at most `limit`.
    fn events(filter: &EventFilter, limit: u32) -> Vec<Event>;
    /// The newest events, the oldest of them first, at most `limit`.
    fn latest_events(filter: &EventFilter, limit: u32) -> Vec<Event>;
    /// The number of the newest event; 0 when there is none.
    fn last_event() -> u64;
    /// The number of the oldest event that was not let go; 0 when there is none.
    fn first_event() -> u64;
    /// How many events there are after this one, for one of these reasons.
    fn count_events(after: u64, reasons: &[&str]) -> u64;
}

async fn events(
    connection: &mut SqliteConnection,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    sqlx::query(
        "SELECT * FROM events WHERE id > ?1 AND (?2 IS NULL OR cluster = ?2) AND (?3 IS NULL OR object = ?3)
         AND (?4 IS NULL OR plan = ?4) ORDER BY id LIMIT ?5",
    )
    .bind(signed(filter.after))
    .bind(filter.cluster.as_ref().map(ClusterName::as_str))
    .bind(&filter.object)
    .bind(&filter.plan)
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(db("list the events"))?
    .iter()
    .map(from_row)
    .collect()
}

async fn latest_events(
    connection: &mut SqliteConnection,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM events WHERE id > ?1 AND (?2 IS NULL OR cluster = ?2) AND (?3 IS NULL OR object = ?3)
         AND (?4 IS NULL OR plan = ?4) ORDER BY id DESC LIMIT ?5",
    )
    .bind(signed(filter.after))
    .bind(filter.cluster.as_ref().map(ClusterName::as_str))
    .bind(&filter.object)
    .bind(&filter.plan)
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(db("list the events"))?;
    rows.iter().rev().map(from_row).collect()
}

pub(super) async fn last_event(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM events")
        .fetch_one(connection)
        .await
        .map_err(db("read the newest event"))?;
    Ok(last.and_then(|id| u64::try_from(id).ok()).unwrap_or(0))
}

async fn first_event(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let first: Option<i64> = sqlx::query_scalar("SELECT min(id) FROM events")
        .fetch_one(connection)
        .await
        .map_err(db("read the oldest event"))?;
    Ok(first.and_then(|id| u64::try_from(id).ok()).unwrap_or(0))
}

async fn count_events(
    connection: &mut SqliteConnection,
    after: u64,
    reasons: &[&str],
) -> Result<u64, StoreError> {
    let reasons = serde_json::Value::from(reasons.to_vec()).to_string();
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM events WHERE id > ? AND reason IN (SELECT value FROM json_each(?))",
    )
    .bind(signed(after))
    .bind(reasons)
    .fetch_one(connection)
    .await
    .map_err(db("count the events"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn from_row(row: &SqliteRow) -> Result<Event, StoreError> {
    Ok(Event {
        id: super::words::unsigned(row, "id")?,
        event: NewEvent {
            at: parse(row, "at")?,
            cluster: parse_optional(row, "cluster")?,
            object: get(row, "object")?,
            kind: parse(row, "type")?,
            reason: get(row, "reason")?,
            message: get(row, "message")?,
            actor: get(row, "actor")?,
            plan: get(row, "plan")?,
            ledger: get::<Option<i64>>(row, "ledger")?.and_then(|n| u64::try_from(n).ok()),
        },
    })
}
