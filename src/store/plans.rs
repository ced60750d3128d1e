//! Plans by hash, the states they go through, and the last plan applied to each cluster. A plan's content never changes; its state
//! changes only from the state the caller believed it to be in.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, time, words};
use crate::ids::ClusterName;

words! {
    /// Where a plan stands.
    PlanState {
        /// It waits for a person.
        Waiting = "waiting",
        /// It has the approval it needs.
        Approved = "approved",
        /// A person said no.
        Rejected = "rejected",
        /// The world or the documents moved on.
        Superseded = "superseded",
        /// It is being applied.
        Running = "running",
        /// It was applied.
        Applied = "applied",
        /// Its run ended before its end.
        Stopped = "stopped",
        /// It waited too long.
        Expired = "expired",
        /// Whoever submitted it took it back.
        Withdrawn = "withdrawn",
    }
}

impl PlanState {
    /// Whether a plan may go from this state to that. Into `waiting` a plan returns when the same inputs give the same hash again.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => matches!(
                next,
                Self::Approved
                    | Self::Rejected
                    | Self::Superseded
                    | Self::Expired
                    | Self::Withdrawn
            ),
            Self::Approved => matches!(
                next,
                Self::Waiting
                    | Self::Rejected
                    | Self::Superseded
                    | Self::Expired
                    | Self::Withdrawn
                    | Self::Running
            ),
            Self::Running => matches!(next, Self::Applied | Self::Stopped),
            // A stopped run is taken up again, or the plan is overtaken.
            Self::Stopped => matches!(next, Self::Running | Self::Superseded),
            Self::Rejected | Self::Superseded | Self::Expired | Self::Withdrawn => {
                next == Self::Waiting
            }
            Self::Applied => false,
        }
    }
}

/// A plan to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlan {
    /// Its hash.
    pub hash: String,
    /// The cluster it is for.
    pub cluster: ClusterName,
    /// Its risk, in the word the plan uses.
    pub risk: String,
    /// What it came from, as JSON.
    pub origin: String,
    /// Who submitted what it came from.
    pub submitter: String,
    /// When it was made.
    pub created: Timestamp,
    /// The whole plan, as canonical JSON.
    pub json: String,
    /// The plan as text for people, if it was rendered.
    pub rendered: Option<String>,
    /// The documents it is about.
    pub documents: Vec<PlanDocument>,
}

/// A document that a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanDocument {
    /// `VirtualMachine/web-7`.
    pub key: String,
    /// The source that owns it.
    pub source: String,
    /// The live object: `vm/9000`.
    pub object: String,
}

/// A document of a plan that is not done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveDocument {
    /// The plan's hash.
    pub plan: String,
    /// Where the plan stands: waiting, approved, running or stopped.
    pub state: PlanState,
    /// When that last changed.
    pub changed: Timestamp,
    /// The document.
    pub document: PlanDocument,
}

/// A plan without its content: what a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanHead {
    /// Its hash.
    pub hash: String,
    /// The cluster it is for.
    pub cluster: ClusterName,
    /// Where it stands.
    pub state: PlanState,
    /// Its risk.
    pub risk: String,
    /// Who submitted what it came from.
    pub submitter: String,
    /// When it was made.
    pub created: Timestamp,
    /// When its state last changed.
    pub changed: Timestamp,
}

/// A stored plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What a list shows.
    pub head: PlanHead,
    /// What it came from, as JSON.
    pub origin: String,
    /// The whole plan, as canonical JSON.
    pub json: String,
    /// The plan as text for people.
    pub rendered: Option<String>,
}

/// What storing a plan came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanInserted {
    /// It is new, and waits.
    New,
    /// It was known and done with; it waits again, and earlier approvals of it no longer count.
    Reopened {
        /// The state it was in.
        from: PlanState,
    },
    /// It is known, and stands where it stood.
    Known(PlanState),
}

/// The last plan applied to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its hash.
    pub plan: String,
    /// When it was applied.
    pub at: Timestamp,
}

impl Transaction {
    /// Stores a plan, which then waits. The same plan again changes nothing while it waits, is approved, runs, stopped or was applied; after a
    /// rejection, expiry or being superseded it is opened again. The same hash with another content is refused.
    pub async fn insert_plan(&mut self, new: &NewPlan) -> Result<PlanInserted, StoreError> {
        if let Some(known) = plan(self.connection(), &new.hash).await? {
            if known.json != new.json || known.head.cluster != new.cluster {
                return Err(StoreError::PlanDiffers {
                    plan: new.hash.clone(),
                });
            }
            let from = known.head.state;
            return match from {
                PlanState::Rejected
                | PlanState::Superseded
                | PlanState::Expired
                | PlanState::Withdrawn => {
                    self.set_plan_state(&new.hash, from, PlanState::Waiting, new.created)
                        .await?;
                    self.set_plan_origin(&new.hash, &new.origin, &new.submitter)
                        .await?;
                    Ok(PlanInserted::Reopened { from })
                }
                PlanState::Waiting
                | PlanState::Approved
                | PlanState::Running
                | PlanState::Stopped
                | PlanState::Applied => Ok(PlanInserted::Known(from)),
            };
        }
        self.changed("a plan was stored");
        sqlx::query(
            "INSERT INTO plans (hash, cluster, state, risk, origin, submitter, created, changed, json, rendered)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
        )
        .bind(&new.hash)
        .bind(new.cluster.as_str())
        .bind(PlanState::Waiting.name())
        .bind(&new.risk)
        .bind(&new.origin)
        .bind(&new.submitter)
        .bind(time(new.created))
        .bind(&new.json)
        .bind(&new.rendered)
        .execute(self.connection())
        .await
        .map_err(db("store a plan"))?;
        for document in &new.documents {
            sqlx::query(
                "INSERT OR IGNORE INTO plan_documents (plan, key, source, object) VALUES (?, ?, ?, ?)",
            )
            .bind(&new.hash)
            .bind(&document.key)
            .bind(&document.source)
            .bind(&document.object)
            .execute(self.connection())
            .await
            .map_err(db("store a plan's documents"))?;
        }
        Ok(PlanInserted::New)
    }

    /// What a plan came from now, and from whom: it was asked for again.
    pub async fn set_plan_origin(
        &mut self,
        hash: &str,
        origin: &str,
        submitter: &str,
    ) -> Result<(), StoreError> {
        self.changed("what a plan came from was changed");
        sqlx::query("UPDATE plans SET origin = ?, submitter = ? WHERE hash = ?")
            .bind(origin)
            .bind(submitter)
            .bind(hash)
            .execute(self.connection())
            .await
            .map_err(db("write down what a plan came from"))?;
        Ok(())
    }

    /// Moves a plan from the state it is believed to be in to another. Refused when it is in another state, or may not go there.
    /// A plan that waits again loses the approvals it had.
    pub async fn set_plan_state(
        &mut self,
        hash: &str,
        expected: PlanState,
        wanted: PlanState,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let actual = plan_state(self.connection(), hash)
            .await?
            .ok_or_else(|| not_found(hash))?;
        if actual != expected || !actual.may_become(wanted) {
            return Err(StoreError::PlanState {
                plan: hash.to_owned(),
                expected,
                actual,
                wanted,
            });
        }
        self.changed("the state of a plan was changed");
        sqlx::query("UPDATE plans SET state = ?, changed = ? WHERE hash = ?")
            .bind(wanted.name())
            .bind(time(at))
            .bind(hash)
            .execute(self.connection())
            .await
            .map_err(db("change the state of a plan"))?;
        if wanted == PlanState::Waiting {
            self.void_approvals(hash, at).await?;
        }
        Ok(())
    }

    /// Makes a plan the last one applied to its cluster, and to each of its documents.
    pub async fn set_parent(
        &mut self,
        cluster: &ClusterName,
        hash: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.changed("the last plan applied was changed");
        sqlx::query(
            "INSERT INTO parents (cluster, plan, at) VALUES (?, ?, ?)
             ON CONFLICT (cluster) DO UPDATE SET plan = excluded.plan, at = excluded.at",
        )
        .bind(cluster.as_str())
        .bind(hash)
        .bind(time(at))
        .execute(self.connection())
        .await
        .map_err(db("write down the last plan applied"))?;
        sqlx::query(
            "INSERT INTO document_parents (cluster, key, plan, at) SELECT ?1, key, ?2, ?3 FROM plan_documents WHERE plan = ?2
             ON CONFLICT (cluster, key) DO UPDATE SET plan = excluded.plan, at = excluded.at",
        )
        .bind(cluster.as_str())
        .bind(hash)
        .bind(time(at))
        .execute(self.connection())
        .await
        .map_err(db("write down the last plan applied"))?;
        Ok(())
    }
}

reads! {
    /// The plan with exactly this hash.
    fn plan(hash: &str) -> Option<Plan>;
    /// The plan whose hash begins so. Refused when there is none or more than one.
    fn find_plan(prefix: &str) -> Plan;
    /// Plans without their content, the newest first: of a cluster or all, in a state or any, at most `limit`.
    fn plans(cluster: Option<&ClusterName>, state: Option<PlanState>, limit: u32) -> Vec<PlanHead>;
    /// The last plan applied to a cluster.
    fn parent(cluster: &ClusterName) -> Option<Parent>;
    /// The last plan applied to a cluster that had any of these documents.
    fn parent_of_documents(cluster: &ClusterName, keys: &[String]) -> Option<Parent>;
    /// The documents of a cluster's plans that are not done with (waiting, approved, running, stopped); of one document's key, or all.
    fn active_documents(cluster: &ClusterName, key: Option<&str>) -> Vec<ActiveDocument>;
}

async fn active_documents(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    key: Option<&str>,
) -> Result<Vec<ActiveDocument>, StoreError> {
    sqlx::query(
        "SELECT plans.hash AS plan, plans.state AS state, plans.changed AS changed, key, source, object FROM plans
         JOIN plan_documents ON plan_documents.plan = plans.hash
         WHERE plans.state IN ('waiting', 'approved', 'running', 'stopped') AND plans.cluster = ?1
           AND (?2 IS NULL OR key = ?2) ORDER BY plans.created, plans.hash, key",
    )
    .bind(cluster.as_str())
    .bind(key)
    .fetch_all(connection)
    .await
    .map_err(db("list the documents of open plans"))?
    .iter()
    .map(|row| {
        Ok(ActiveDocument {
            plan: get(row, "plan")?,
            state: parse(row, "state")?,
            changed: parse(row, "changed")?,
            document: PlanDocument {
                key: get(row, "key")?,
                source: get(row, "source")?,
                object: get(row, "object")?,
            },
        })
    })
    .collect()
}

async fn plan(connection: &mut SqliteConnection, hash: &str) -> Result<Option<Plan>, StoreError> {
    sqlx::query("SELECT * FROM plans WHERE hash = ?")
        .bind(hash)
        .fetch_optional(connection)
        .await
        .map_err(db("read a plan"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn plan_state(
    connection: &mut SqliteConnection,
    hash: &str,
) -> Result<Option<PlanState>, StoreError> {
    sqlx::query("SELECT state FROM plans WHERE hash = ?")
        .bind(hash)
        .fetch_optional(connection)
        .await
        .map_err(db("read the state of a plan"))?
        .map(|row| parse(&row, "state"))
        .transpose()
}

async fn find_plan(connection: &mut SqliteConnection, prefix: &str) -> Result<Plan, StoreError> {
    // The greatest character there is closes the range, so that the primary key's index serves.
    let hashes: Vec<String> = sqlx::query_scalar(
        "SELECT hash FROM plans WHERE hash >= ?1 AND hash < ?1 || char(1114111) ORDER BY hash = ?1 DESC, hash LIMIT 6",
    )
    .bind(prefix)
    .fetch_all(&mut *connection)
    .await
    .map_err(db("look for a plan"))?;
    let hash = match hashes.as_slice() {
        [] => return Err(not_found(prefix)),
        [hash] => hash,
        [hash, ..] if hash == prefix => hash,
        [_, _, ..] => {
            return Err(StoreError::Ambiguous {
                prefix: prefix.to_owned(),
                hashes,
            });
        }
    };
    plan(connection, hash).await?.ok_or_else(|| not_found(hash))
}

async fn plans(
    connection: &mut SqliteConnection,
    cluster: Option<&ClusterName>,
    state: Option<PlanState>,
    limit: u32,
) -> Result<Vec<PlanHead>, StoreError> {
    sqlx::query(
        "SELECT hash, cluster, state, risk, submitter, created, changed FROM plans
         WHERE (?1 IS NULL OR cluster = ?1) AND (?2 IS NULL OR state = ?2)
         ORDER BY created DESC, hash LIMIT ?3",
    )
    .bind(cluster.map(ClusterName::as_str))
    .bind(state.map(PlanState::name))
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(db("list the plans"))?
    .iter()
    .map(head_from_row)
    .collect()
}

async fn parent(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Option<Parent>, StoreError> {
    sqlx::query("SELECT plan, at FROM parents WHERE cluster = ?")
        .bind(cluster.as_str())
        .fetch_optional(connection)
        .await
        .map_err(db("read the last plan applied"))?
        .map(|row| parent_from_row(&row))
        .transpose()
}

async fn parent_of_documents(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    keys: &[String],
) -> Result<Option<Parent>, StoreError> {
    sqlx::query(
        "SELECT plan, at FROM document_parents WHERE cluster = ? AND key IN (SELECT value FROM json_each(?))
         ORDER BY at DESC, plan LIMIT 1",
    )
    .bind(cluster.as_str())
    .bind(serde_json::json!(keys).to_string())
    .fetch_optional(connection)
    .await
    .map_err(db("read the last plan applied"))?
    .map(|row| parent_from_row(&row))
    .transpose()
}

fn parent_from_row(row: &SqliteRow) -> Result<Parent, StoreError> {
    Ok(Parent {
        plan: get(row, "plan")?,
        at: parse(row, "at")?,
    })
}

fn not_found(hash: &str) -> StoreError {
    StoreError::NotFound {
        what: "plan",
        name: hash.to_owned(),
    }
}

pub(super) fn head_from_row(row: &SqliteRow) -> Result<PlanHead, StoreError> {
    Ok(PlanHead {
        hash: get(row, "hash")?,
        cluster: parse(row, "cluster")?,
        state: parse(row, "state")?,
        risk: get(row, "risk")?,
        submitter: get(row, "submitter")?,
        created: parse(row, "created")?,
        changed: parse(row, "changed")?,
    })
}

fn from_row(row: &SqliteRow) -> Result<Plan, StoreError> {
    Ok(Plan {
        head: head_from_row(row)?,
        origin: get(row, "origin")?,
        json: get(row, "json")?,
        rendered: get(row, "rendered")?,
    })
}
