//! Decisions of people over plans. An approval lets one run start, once, before it expires; using it is one atomic change.

use std::fmt;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{NotUsable, StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, time, words};

words! {
    /// What a person decided.
    Decision {
        /// Yes.
        Approve = "approve",
        /// No.
        Reject = "reject",
    }
}

/// The number of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(pub i64);

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decision to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApproval {
    /// The plan's hash.
    pub plan: String,
    /// Who decided.
    pub principal: String,
    /// What.
    pub decision: Decision,
    /// How it was proved, such as `ssh`.
    pub method: String,
    /// Why, in the person's words.
    pub reason: Option<String>,
    /// The signature over the plan's hash, as given.
    pub signature: Option<String>,
    /// The whole decision, as JSON of the room above.
    pub json: String,
    /// What it spends: a second decision that spends the same is refused, so that a signature cannot be handed in twice.
    pub spends: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Until when an approval may be used. One without an end never expires.
    pub expires: Option<Timestamp>,
}

/// A stored decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its number.
    pub id: ApprovalId,
    /// The decision.
    pub approval: NewApproval,
    /// When a run used it.
    pub used: Option<Timestamp>,
    /// When it lost its force because the plan was opened again.
    pub voided: Option<Timestamp>,
}

impl Approval {
    /// Whether a run of the plan may use it now, and if not, why.
    pub fn usable(&self, plan: &str, now: Timestamp) -> Result<(), NotUsable> {
        let Self {
            id: _,
            approval,
            used,
            voided,
        } = self;
        if approval.plan != plan {
            return Err(NotUsable::OtherPlan(approval.plan.clone()));
        }
        match approval.decision {
            Decision::Approve => {}
            Decision::Reject => return Err(NotUsable::Rejection),
        }
        if let Some(at) = used {
            return Err(NotUsable::Used(*at));
        }
        if let Some(at) = voided {
            return Err(NotUsable::Voided(*at));
        }
        match approval.expires {
            Some(expires) if expires <= now => return Err(NotUsable::Expired(expires)),
            Some(_) | None => {}
        }
        if approval.at > now {
            return Err(NotUsable::NotYet(approval.at));
        }
        Ok(())
    }
}

impl Transaction {
    /// Stores a decision.
    pub async fn add_approval(&mut self, new: &NewApproval) -> Result<ApprovalId, StoreError> {
        self.changed("a decision was stored");
        let id = sqlx::query(
            "INSERT INTO approvals (plan, principal, decision, method, reason, signature, json, spends, at, expires)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&new.plan)
        .bind(&new.principal)
        .bind(new.decision.name())
        .bind(&new.method)
        .bind(&new.reason)
        .bind(&new.signature)
        .bind(&new.json)
        .bind(&new.spends)
        .bind(time(new.at))
        .bind(new.expires.map(time))
        .execute(self.connection())
        .await
        .map_err(|error| spent(error, new))?
        .last_insert_rowid();
        Ok(ApprovalId(id))
    }

    /// Uses an approval up for a run of the plan. Of two attempts one succeeds; the other is told when it was used.
    pub async fn consume(
        &mut self,
        id: ApprovalId,
        plan: &str,
        now: Timestamp,
    ) -> Result<Approval, StoreError> {
        let refused = |why| StoreError::Approval {
            approval: id.0,
            why,
        };
        let approval = approval(self.connection(), id)
            .await?
            .ok_or_else(|| refused(NotUsable::Unknown))?;
        approval.usable(plan, now).map_err(refused)?;
        self.changed("an approval was used");
        // The transaction excludes other writers since before the reading; the condition holds even were that to change.
        let used = sqlx::query(
            "UPDATE approvals SET used = ? WHERE id = ? AND used IS NULL AND voided IS NULL",
        )
        .bind(time(now))
        .bind(id.0)
        .execute(self.connection())
        .await
        .map_err(db("use an approval"))?
        .rows_affected();
        if used != 1 {
            return Err(refused(NotUsable::Used(now)));
        }
        Ok(Approval {
            used: Some(now),
            ..approval
        })
    }

    /// Takes the force from every unused decision over a plan.
    pub(super) async fn void_approvals(
        &mut self,
        plan: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE approvals SET voided = ? WHERE plan = ? AND used IS NULL AND voided IS NULL",
        )
        .bind(time(at))
        .bind(plan)
        .execute(self.connection())
        .await
        .map_err(db("void the approvals of a plan"))?;
        Ok(())
    }
}

/// A decision that spends what was spent already is refused in words of its own.
fn spent(error: sqlx::Error, new: &NewApproval) -> StoreError {
    match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => StoreError::Spent {
            principal: new.principal.clone(),
        },
        _ => db("store a decision")(error),
    }
}

reads! {
    /// A decision by its number.
    fn approval(id: ApprovalId) -> Option<Approval>;
    /// Every decision over a plan, the oldest first.
    fn approvals(plan: &str) -> Vec<Approval>;
    /// The first decision that was given with this very signature: a second one may be a replay.
    fn signature_seen(signature: &str) -> Option<ApprovalId>;
}

async fn approval(
    connection: &mut SqliteConnection,
    id: ApprovalId,
) -> Result<Option<Approval>, StoreError> {
    sqlx::query("SELECT * FROM approvals WHERE id = ?")
        .bind(id.0)
        .fetch_optional(connection)
        .await
        .map_err(db("read a decision"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn approvals(
    connection: &mut SqliteConnection,
    plan: &str,
) -> Result<Vec<Approval>, StoreError> {
    sqlx::query("SELECT * FROM approvals WHERE plan = ? ORDER BY id")
        .bind(plan)
        .fetch_all(connection)
        .await
        .map_err(db("read the decisions over a plan"))?
        .iter()
        .map(from_row)
        .collect()
}

async fn signature_seen(
    connection: &mut SqliteConnection,
    signature: &str,
) -> Result<Option<ApprovalId>, StoreError> {
    sqlx::query_scalar("SELECT id FROM approvals WHERE signature = ? ORDER BY id LIMIT 1")
        .bind(signature)
        .fetch_optional(connection)
        .await
        .map_err(db("look for a signature"))
        .map(|id| id.map(ApprovalId))
}

fn from_row(row: &SqliteRow) -> Result<Approval, StoreError> {
    Ok(Approval {
        id: ApprovalId(get(row, "id")?),
        approval: NewApproval {
            plan: get(row, "plan")?,
            principal: get(row, "principal")?,
            decision: parse(row, "decision")?,
            method: get(row, "method")?,
            reason: get(row, "reason")?,
            signature: get(row, "signature")?,
            json: get(row, "json")?,
            spends: get(row, "spends")?,
            at: parse(row, "at")?,
            expires: parse_optional(row, "expires")?,
        },
        used: parse_optional(row, "used")?,
        voided: parse_optional(row, "voided")?,
    })
}
