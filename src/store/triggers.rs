//! Wishes that the loop look now. Whoever wishes can see that it was taken, and what came of it.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, signed, time, unsigned};
use crate::ids::ClusterName;

/// A wish that the loop look now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its number.
    pub id: u64,
    /// The cluster; all when `None`.
    pub cluster: Option<ClusterName>,
    /// A source; all when `None`.
    pub source: Option<String>,
    /// Who.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// When the loop was done with it.
    pub done: Option<Timestamp>,
    /// What came of it; empty when it went well.
    pub message: Option<String>,
}

impl Transaction {
    /// Keeps a wish. Returns its number.
    pub async fn add_trigger(
        &mut self,
        cluster: Option<&ClusterName>,
        source: Option<&str>,
        who: &str,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let done =
            sqlx::query("INSERT INTO triggers (cluster, source, who, at) VALUES (?, ?, ?, ?)")
                .bind(cluster.map(ClusterName::as_str))
                .bind(source)
                .bind(who)
                .bind(time(at))
                .execute(self.connection())
                .await
                .map_err(db("keep a wish"))?;
        Ok(u64::try_from(done.last_insert_rowid()).unwrap_or(0))
    }

    /// The loop is done with a wish. Old ones are let go.
    pub async fn trigger_done(
        &mut self,
        id: u64,
        message: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE triggers SET done = ?, message = ? WHERE id = ?")
            .bind(time(at))
            .bind(message)
            .bind(signed(id))
            .execute(self.connection())
            .await
            .map_err(db("be done with a wish"))?;
        sqlx::query("DELETE FROM triggers WHERE done IS NOT NULL AND id < ?")
            .bind(signed(id.saturating_sub(100)))
            .execute(self.connection())
            .await
            .map_err(db("let old wishes go"))?;
        Ok(())
    }
}

reads! {
    /// A wish.
    fn trigger(id: u64) -> Option<Trigger>;
    /// The wishes that the loop is not done with.
    fn open_triggers() -> Vec<Trigger>;
}

async fn trigger(
    connection: &mut SqliteConnection,
    id: u64,
) -> Result<Option<Trigger>, StoreError> {
    sqlx::query("SELECT * FROM triggers WHERE id = ?")
        .bind(signed(id))
        .fetch_optional(connection)
        .await
        .map_err(db("read a wish"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn open_triggers(connection: &mut SqliteConnection) -> Result<Vec<Trigger>, StoreError> {
    sqlx::query("SELECT * FROM triggers WHERE done IS NULL ORDER BY id")
        .fetch_all(connection)
        .await
        .map_err(db("read the wishes"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<Trigger, StoreError> {
    Ok(Trigger {
        id: unsigned(row, "id")?,
        cluster: parse_optional(row, "cluster")?,
        source: get(row, "source")?,
        who: get(row, "who")?,
        at: parse(row, "at")?,
        done: parse_optional(row, "done")?,
        message: get(row, "message")?,
    })
}
