//! The inbox: what was handed in and is not planned yet, or what became of it. It is stored before anybody is told that it was taken,
//! so that a restart loses nothing.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, time, words};
use crate::ids::ClusterName;

words! {
    /// What became of a submission.
    SubmissionState {
        /// It waits to be planned.
        Pending = "pending",
        /// Its plan was made.
        Planned = "planned",
        /// Nothing had to change: its documents were taken over.
        Accepted = "accepted",
        /// It cannot be planned as it is; its message says why.
        Refused = "refused",
    }
}

/// A submission to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubmission {
    /// Its id, chosen by whoever takes it in.
    pub id: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The source that owns the documents.
    pub source: String,
    /// Who handed it in.
    pub submitter: String,
    /// What is to be planned, as JSON.
    pub recipe: String,
    /// When.
    pub at: Timestamp,
}

/// A submission and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubmission {
    /// What was handed in.
    pub submission: NewSubmission,
    /// What became of it.
    pub state: SubmissionState,
    /// Its plan.
    pub plan: Option<String>,
    /// Why it waits or was refused; otherwise empty.
    pub message: String,
    /// When that last changed.
    pub changed: Timestamp,
}

impl Transaction {
    /// Keeps a submission, which waits to be planned. One whose id is known is not kept twice; false then.
    pub async fn add_submission(&mut self, new: &NewSubmission) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO submissions (id, cluster, source, submitter, recipe, state, plan, message, at, changed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, '', ?7, ?7) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&new.id)
        .bind(new.cluster.as_str())
        .bind(&new.source)
        .bind(&new.submitter)
        .bind(&new.recipe)
        .bind(SubmissionState::Pending.name())
        .bind(time(new.at))
        .execute(self.connection())
        .await
        .map_err(db("keep a submission"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes a settled submission in again under its id, with what is to be planned now. One that waits is left as it is; false then.
    pub async fn reopen_submission(&mut self, new: &NewSubmission) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE submissions SET recipe = ?2, state = ?3, plan = NULL, message = '', at = ?4, changed = ?4
             WHERE id = ?1 AND state <> ?3",
        )
        .bind(&new.id)
        .bind(&new.recipe)
        .bind(SubmissionState::Pending.name())
        .bind(time(new.at))
        .execute(self.connection())
        .await
        .map_err(db("keep a submission"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes down what became of a submission.
    pub async fn settle_submission(
        &mut self,
        id: &str,
        state: SubmissionState,
        plan: Option<&str>,
        message: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE submissions SET state = ?, plan = ?, message = ?, changed = ? WHERE id = ?",
        )
        .bind(state.name())
        .bind(plan)
        .bind(message)
        .bind(time(at))
        .bind(id)
        .execute(self.connection())
        .await
        .map_err(db("write down what became of a submission"))?;
        Ok(())
    }

    /// Lets settled submissions go that last changed before a time. Returns how many.
    pub async fn forget_submissions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(
            sqlx::query("DELETE FROM submissions WHERE state <> ? AND changed < ?")
                .bind(SubmissionState::Pending.name())
                .bind(time(before))
                .execute(self.connection())
                .await
                .map_err(db("let settled submissions go"))?
                .rows_affected(),
        )
    }
}

reads! {
    /// A submission.
    fn submission(id: &str) -> Option<StoredSubmission>;
    /// The submissions that wait to be planned, the oldest first, at most `limit`.
    fn pending_submissions(limit: u32) -> Vec<StoredSubmission>;
    /// How many submissions of a principal wait to be planned.
    fn count_pending(submitter: &str) -> u64;
}

async fn submission(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<Option<StoredSubmission>, StoreError> {
    sqlx::query("SELECT * FROM submissions WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(db("read a submission"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn pending_submissions(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Result<Vec<StoredSubmission>, StoreError> {
    sqlx::query("SELECT * FROM submissions WHERE state = ? ORDER BY at, id LIMIT ?")
        .bind(SubmissionState::Pending.name())
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(db("read the inbox"))?
        .iter()
        .map(from_row)
        .collect()
}

async fn count_pending(
    connection: &mut SqliteConnection,
    submitter: &str,
) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM submissions WHERE state = ? AND submitter = ?")
            .bind(SubmissionState::Pending.name())
            .bind(submitter)
            .fetch_one(connection)
            .await
            .map_err(db("count what waits in the inbox"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn from_row(row: &SqliteRow) -> Result<StoredSubmission, StoreError> {
    Ok(StoredSubmission {
        submission: NewSubmission {
            id: get(row, "id")?,
            cluster: parse(row, "cluster")?,
            source: get(row, "source")?,
            submitter: get(row, "submitter")?,
            recipe: get(row, "recipe")?,
            at: parse(row, "at")?,
        },
        state: parse(row, "state")?,
        plan: get(row, "plan")?,
        message: get(row, "message")?,
        changed: parse(row, "changed")?,
    })
}
