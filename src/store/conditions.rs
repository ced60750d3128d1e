//! Conditions of documents, sources and clusters, as Kubernetes has them, with a bounded history of their changes.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, signed, time, unsigned, words};
use crate::ids::ClusterName;

/// How many changes of conditions are kept of each object.
pub const MOST_CHANGES: u32 = 20;

words! {
    /// What a condition is about.
    ConditionType {
        /// The object is as its document says.
        Ready = "Ready",
        /// A plan for it is being applied.
        Reconciling = "Reconciling",
        /// It gets no further by itself: somebody must change something.
        Stalled = "Stalled",
        /// The live object no longer matches a document nobody changed.
        Drifted = "Drifted",
        /// A plan for it waits for a person.
        AwaitingApproval = "AwaitingApproval",
        /// Its source's signature was verified.
        SourceVerified = "SourceVerified",
    }
}

words! {
    /// Whether a condition holds.
    ConditionStatus {
        /// It does.
        True = "True",
        /// It does not.
        False = "False",
        /// Nobody knows.
        Unknown = "Unknown",
    }
}

/// A condition as it is found now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCondition {
    /// What it is about.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word in CamelCase.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The generation of the document that was looked at; 0 where there is none.
    pub observed_generation: u64,
}

/// A condition with the object it is of and the time since when it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The object: `VirtualMachine/web-7`, `source/git:infra`, `cluster/lab`.
    pub object: String,
    /// What it says.
    pub condition: NewCondition,
    /// Since when its status is this one.
    pub since: Timestamp,
}

impl Transaction {
    /// Sets the conditions of an object; a type that is not given is left as it is. Returns those whose status or reason changed,
    /// each with the status it had. Its time moves only when its status does. Nothing is written where nothing changed.
    pub async fn set_conditions(
        &mut self,
        cluster: &ClusterName,
        object: &str,
        new: &[NewCondition],
        now: Timestamp,
    ) -> Result<Vec<(Option<ConditionStatus>, NewCondition)>, StoreError> {
        let known = conditions_of(self.connection(), cluster, object).await?;
        let mut changed = Vec::new();
        for condition in new {
            let before = known.iter().find(|k| k.condition.kind == condition.kind);
            if before.is_some_and(|before| before.condition == *condition) {
                continue;
            }
            let since = before
                .filter(|before| before.condition.status == condition.status)
                .map_or(now, |before| before.since);
            self.put_condition(cluster, object, condition, since)
                .await?;
            let told = before.is_none_or(|before| {
                before.condition.status != condition.status
                    || before.condition.reason != condition.reason
            });
            if told {
                self.keep_change(cluster, object, condition, now).await?;
                let status = before.map(|before| before.condition.status);
                changed.push((status, condition.clone()));
            }
        }
        Ok(changed)
    }

    async fn put_condition(
        &mut self,
        cluster: &ClusterName,
        object: &str,
        new: &NewCondition,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO conditions (cluster, object, type, status, reason, message, observed_generation, since)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (cluster, object, type) DO UPDATE SET status = excluded.status, reason = excluded.reason,
                message = excluded.message, observed_generation = excluded.observed_generation, since = excluded.since",
        )
        .bind(cluster.as_str())
        .bind(object)
        .bind(new.kind.name())
        .bind(new.status.name())
        .bind(&new.reason)
        .bind(&new.message)
        .bind(signed(new.observed_generation))
        .bind(time(since))
        .execute(self.connection())
        .await
        .map_err(db("set a condition"))?;
        Ok(())
    }

    async fn keep_change(
        &mut self,
        cluster: &ClusterName,
        object: &str,
        new: &NewCondition,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO condition_history (cluster, object, type, status, reason, message, observed_generation, at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(cluster.as_str())
        .bind(object)
        .bind(new.kind.name())
        .bind(new.status.name())
        .bind(&new.reason)
        .bind(&new.message)
        .bind(signed(new.observed_generation))
        .bind(time(at))
        .execute(self.connection())
        .await
        .map_err(db("keep a condition's change"))?;
        sqlx::query(
            "DELETE FROM condition_history WHERE cluster = ?1 AND object = ?2 AND id NOT IN
                (SELECT id FROM condition_history WHERE cluster = ?1 AND object = ?2 ORDER BY id DESC LIMIT ?3)",
        )
        .bind(cluster.as_str())
        .bind(object)
        .bind(MOST_CHANGES)
        .execute(self.connection())
        .await
        .map_err(db("let old changes go"))?;
        Ok(())
    }

    /// Forgets the conditions of an object that is no longer there. Its history stays.
    pub async fn drop_conditions(
        &mut self,
        cluster: &ClusterName,
        object: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM conditions WHERE cluster = ? AND object = ?")
            .bind(cluster.as_str())
            .bind(object)
            .execute(self.connection())
            .await
            .map_err(db("forget conditions"))?;
        Ok(())
    }
}

reads! {
    /// The conditions of an object, by type.
    fn conditions_of(cluster: &ClusterName, object: &str) -> Vec<Condition>;
    /// Every condition of a cluster, by object and type.
    fn conditions(cluster: &ClusterName) -> Vec<Condition>;
    /// The changes of an object's conditions, the newest first; `since` is when it changed.
    fn condition_history(cluster: &ClusterName, object: &str) -> Vec<Condition>;
}

async fn conditions_of(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    object: &str,
) -> Result<Vec<Condition>, StoreError> {
    sqlx::query("SELECT * FROM conditions WHERE cluster = ? AND object = ? ORDER BY type")
        .bind(cluster.as_str())
        .bind(object)
        .fetch_all(connection)
        .await
        .map_err(db("read the conditions"))?
        .iter()
        .map(|row| from_row(row, "since"))
        .collect()
}

async fn conditions(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Vec<Condition>, StoreError> {
    sqlx::query("SELECT * FROM conditions WHERE cluster = ? ORDER BY object, type")
        .bind(cluster.as_str())
        .fetch_all(connection)
        .await
        .map_err(db("read the conditions"))?
        .iter()
        .map(|row| from_row(row, "since"))
        .collect()
}

async fn condition_history(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    object: &str,
) -> Result<Vec<Condition>, StoreError> {
    sqlx::query("SELECT * FROM condition_history WHERE cluster = ? AND object = ? ORDER BY id DESC")
        .bind(cluster.as_str())
        .bind(object)
        .fetch_all(connection)
        .await
        .map_err(db("read the history of conditions"))?
        .iter()
        .map(|row| from_row(row, "at"))
        .collect()
}

fn from_row(row: &SqliteRow, time_column: &'static str) -> Result<Condition, StoreError> {
    Ok(Condition {
        object: get(row, "object")?,
        condition: NewCondition {
            kind: parse(row, "type")?,
            status: parse(row, "status")?,
            reason: get(row, "reason")?,
            message: get(row, "message")?,
            observed_generation: unsigned(row, "observed_generation")?,
        },
        since: parse(row, time_column)?,
    })
}
