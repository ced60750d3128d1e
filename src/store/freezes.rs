//! Freezes: what must not be changed now, why, who said so and until when. Whether one is in force is a question with a time in it.

use std::fmt;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, time};
use crate::ids::ClusterName;

/// What a freeze covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FreezeScope {
    /// Everything.
    Global,
    /// One cluster.
    Cluster(ClusterName),
    /// One kind of object, in every cluster.
    Kind(String),
}

impl FreezeScope {
    /// Whether a change of that kind in that cluster is covered.
    pub fn covers(&self, cluster: &ClusterName, kind: &str) -> bool {
        match self {
            Self::Global => true,
            Self::Cluster(frozen) => frozen == cluster,
            Self::Kind(frozen) => frozen == kind,
        }
    }

    fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Global => ("global", None),
            Self::Cluster(cluster) => ("cluster", Some(cluster.as_str())),
            Self::Kind(kind) => ("kind", Some(kind)),
        }
    }
}

impl fmt::Display for FreezeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("everything"),
            Self::Cluster(cluster) => write!(f, "cluster {cluster}"),
            Self::Kind(kind) => write!(f, "kind {kind}"),
        }
    }
}

/// The number of a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreezeId(pub i64);

impl fmt::Display for FreezeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A freeze to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFreeze {
    /// What it covers.
    pub scope: FreezeScope,
    /// Why.
    pub reason: String,
    /// Who.
    pub who: String,
    /// From when.
    pub since: Timestamp,
    /// Until when; without an end it lasts until it is lifted.
    pub until: Option<Timestamp>,
}

/// A freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Its number.
    pub id: FreezeId,
    /// What was set.
    pub freeze: NewFreeze,
    /// When it was lifted and by whom.
    pub thawed: Option<(Timestamp, String)>,
}

impl Transaction {
    /// Sets a freeze.
    pub async fn freeze(&mut self, new: &NewFreeze) -> Result<FreezeId, StoreError> {
        self.changed("a freeze was set");
        let (scope, of) = new.scope.columns();
        sqlx::query(
            "INSERT INTO freezes (scope, of, reason, who, since, until) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(scope)
        .bind(of)
        .bind(&new.reason)
        .bind(&new.who)
        .bind(time(new.since))
        .bind(new.until.map(time))
        .execute(self.connection())
        .await
        .map_err(db("set a freeze"))
        .map(|done| FreezeId(done.last_insert_rowid()))
    }

    /// Lifts every freeze of exactly this scope that is in force, and returns them.
    pub async fn thaw(
        &mut self,
        scope: &FreezeScope,
        who: &str,
        now: Timestamp,
    ) -> Result<Vec<Freeze>, StoreError> {
        let mut thawed = Vec::new();
        for freeze in active_freezes(self.connection(), now).await? {
            if freeze.freeze.scope != *scope {
                continue;
            }
            self.changed("a freeze was lifted");
            sqlx::query("UPDATE freezes SET thawed = ?, thawed_by = ? WHERE id = ?")
                .bind(time(now))
                .bind(who)
                .bind(freeze.id.0)
                .execute(self.connection())
                .await
                .map_err(db("lift a freeze"))?;
            thawed.push(freeze);
        }
        Ok(thawed)
    }
}

reads! {
    /// The freezes in force at a time, the oldest first.
    fn active_freezes(now: Timestamp) -> Vec<Freeze>;
}

async fn active_freezes(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Vec<Freeze>, StoreError> {
    // A freeze dated later than now counts too: a clock set back must not lift one.
    sqlx::query(
        "SELECT * FROM freezes WHERE thawed IS NULL AND (until IS NULL OR until > ?) ORDER BY id",
    )
    .bind(time(now))
    .fetch_all(connection)
    .await
    .map_err(db("read the freezes"))?
    .iter()
    .map(from_row)
    .collect()
}

fn from_row(row: &SqliteRow) -> Result<Freeze, StoreError> {
    let corrupt = || StoreError::Corrupt {
        what: "freezes".to_owned(),
        why: "a scope that is none".to_owned(),
    };
    let of: Option<String> = get(row, "of")?;
    let scope = match (get::<&str>(row, "scope")?, of) {
        ("global", None) => FreezeScope::Global,
        ("cluster", Some(_)) => FreezeScope::Cluster(parse(row, "of")?),
        ("kind", Some(kind)) => FreezeScope::Kind(kind),
        _ => return Err(corrupt()),
    };
    let thawed = match parse_optional::<Timestamp>(row, "thawed")? {
        Some(at) => Some((at, get(row, "thawed_by")?)),
        None => None,
    };
    Ok(Freeze {
        id: FreezeId(get(row, "id")?),
        freeze: NewFreeze {
            scope,
            reason: get(row, "reason")?,
            who: get(row, "who")?,
            since: parse(row, "since")?,
            until: parse_optional(row, "until")?,
        },
        thawed,
    })
}
