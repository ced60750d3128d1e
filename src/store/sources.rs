//! Where each source stands: what was last handed in from it and what was last applied; and what is suspended.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, time, words};
use crate::ids::ClusterName;

/// Where a source stands with one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The source.
    pub source: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The revision last handed in: a commit, or the hash of a folder's documents.
    pub seen: Option<String>,
    /// The revision last applied, or found to be so already.
    pub applied: Option<String>,
    /// What the source's reader remembers, as JSON.
    pub detail: String,
    /// When this was last written.
    pub updated: Timestamp,
}

words! {
    /// What can be suspended.
    SuspendScope {
        /// Everything of a cluster: nothing is observed, planned or run by the loop.
        Cluster = "cluster",
        /// A source: it is not read.
        Source = "source",
        /// A document: nothing is planned for it by the loop.
        Object = "object",
    }
}

/// Something that is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// What kind of thing.
    pub scope: SuspendScope,
    /// Its name: a cluster, a source, or `CLUSTER/KIND/NAME`.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub who: String,
    /// Since when.
    pub since: Timestamp,
}

impl Transaction {
    /// Writes down where a source stands.
    pub async fn put_source_state(&mut self, state: &SourceState) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO source_state (source, cluster, seen, applied, detail, updated) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (source, cluster) DO UPDATE SET seen = excluded.seen, applied = excluded.applied,
                detail = excluded.detail, updated = excluded.updated",
        )
        .bind(&state.source)
        .bind(state.cluster.as_str())
        .bind(&state.seen)
        .bind(&state.applied)
        .bind(&state.detail)
        .bind(time(state.updated))
        .execute(self.connection())
        .await
        .map_err(db("write down where a source stands"))?;
        Ok(())
    }

    /// Suspends something, or gives an existing suspension a new reason.
    pub async fn suspend(&mut self, new: &Suspension) -> Result<(), StoreError> {
        self.changed("something was suspended");
        sqlx::query(
            "INSERT INTO suspensions (scope, name, reason, who, since) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (scope, name) DO UPDATE SET reason = excluded.reason, who = excluded.who, since = excluded.since",
        )
        .bind(new.scope.name())
        .bind(&new.name)
        .bind(&new.reason)
        .bind(&new.who)
        .bind(time(new.since))
        .execute(self.connection())
        .await
        .map_err(db("suspend"))?;
        Ok(())
    }

    /// Resumes something. False when it was not suspended.
    pub async fn resume(&mut self, scope: SuspendScope, name: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM suspensions WHERE scope = ? AND name = ?")
            .bind(scope.name())
            .bind(name)
            .execute(self.connection())
            .await
            .map_err(db("resume"))?
            .rows_affected()
            > 0;
        if gone {
            self.changed("something was resumed");
        }
        Ok(gone)
    }
}

reads! {
    /// Where a source stands with a cluster.
    fn source_state(source: &str, cluster: &ClusterName) -> Option<SourceState>;
    /// Where every source stands.
    fn source_states() -> Vec<SourceState>;
    /// Everything that is suspended.
    fn suspensions() -> Vec<Suspension>;
}

async fn source_state(
    connection: &mut SqliteConnection,
    source: &str,
    cluster: &ClusterName,
) -> Result<Option<SourceState>, StoreError> {
    sqlx::query("SELECT * FROM source_state WHERE source = ? AND cluster = ?")
        .bind(source)
        .bind(cluster.as_str())
        .fetch_optional(connection)
        .await
        .map_err(db("read where a source stands"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn source_states(connection: &mut SqliteConnection) -> Result<Vec<SourceState>, StoreError> {
    sqlx::query("SELECT * FROM source_state ORDER BY source, cluster")
        .fetch_all(connection)
        .await
        .map_err(db("read where the sources stand"))?
        .iter()
        .map(from_row)
        .collect()
}

async fn suspensions(connection: &mut SqliteConnection) -> Result<Vec<Suspension>, StoreError> {
    sqlx::query("SELECT * FROM suspensions ORDER BY scope, name")
        .fetch_all(connection)
        .await
        .map_err(db("read what is suspended"))?
        .iter()
        .map(|row| {
            Ok(Suspension {
                scope: parse(row, "scope")?,
                name: get(row, "name")?,
                reason: get(row, "reason")?,
                who: get(row, "who")?,
                since: parse(row, "since")?,
            })
        })
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<SourceState, StoreError> {
    Ok(SourceState {
        source: get(row, "source")?,
        cluster: parse(row, "cluster")?,
        seen: get(row, "seen")?,
        applied: get(row, "applied")?,
        detail: get(row, "detail")?,
        updated: parse(row, "updated")?,
    })
}
