//! Which source owns which live object, what that object was when it was last seen, and what was last applied to it: the third side
//! of every three-way comparison.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, time};
use crate::ids::ClusterName;

/// An owned object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The cluster.
    pub cluster: ClusterName,
    /// The object's key, such as `vm/104`.
    pub object: String,
    /// The source that owns it.
    pub source: String,
    /// What identifies the live object, as JSON.
    pub identity: String,
    /// The managed fields as they were last applied, as JSON.
    pub last_applied: String,
    /// When this was last written.
    pub updated: Timestamp,
}

impl Transaction {
    /// Writes down an owned object, new or changed. One that belongs to another source is refused.
    pub async fn own(&mut self, owned: &Owned) -> Result<(), StoreError> {
        self.own_from(owned, &owned.source).await
    }

    /// Writes down an owned object that was another source's (`from`) until now. One that belongs to a third source is refused.
    pub async fn own_from(&mut self, owned: &Owned, from: &str) -> Result<(), StoreError> {
        if let Some(current) = owner(self.connection(), &owned.cluster, &owned.object).await?
            && current.source != owned.source
            && current.source != from
        {
            return Err(StoreError::OtherSource {
                what: owned.object.clone(),
                owner: current.source,
                claimant: owned.source.clone(),
            });
        }
        self.changed("the ownership of an object was changed");
        sqlx::query(
            "INSERT INTO ownership (cluster, object, source, identity, last_applied, updated) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (cluster, object) DO UPDATE SET source = excluded.source, identity = excluded.identity,
                last_applied = excluded.last_applied, updated = excluded.updated",
        )
        .bind(owned.cluster.as_str())
        .bind(&owned.object)
        .bind(&owned.source)
        .bind(&owned.identity)
        .bind(&owned.last_applied)
        .bind(time(owned.updated))
        .execute(self.connection())
        .await
        .map_err(db("write down an owned object"))?;
        Ok(())
    }

    /// Gives an object up: it is no longer managed. True when it was owned.
    pub async fn disown(
        &mut self,
        cluster: &ClusterName,
        object: &str,
    ) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM ownership WHERE cluster = ? AND object = ?")
            .bind(cluster.as_str())
            .bind(object)
            .execute(self.connection())
            .await
            .map_err(db("give up an object"))?
            .rows_affected()
            > 0;
        if gone {
            self.changed("an object was given up");
        }
        Ok(gone)
    }
}

reads! {
    /// An owned object, if it is owned.
    fn owner(cluster: &ClusterName, object: &str) -> Option<Owned>;
    /// Every owned object of a cluster, by key.
    fn owned(cluster: &ClusterName) -> Vec<Owned>;
}

async fn owner(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    object: &str,
) -> Result<Option<Owned>, StoreError> {
    sqlx::query("SELECT * FROM ownership WHERE cluster = ? AND object = ?")
        .bind(cluster.as_str())
        .bind(object)
        .fetch_optional(connection)
        .await
        .map_err(db("read an object's owner"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn owned(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Vec<Owned>, StoreError> {
    sqlx::query("SELECT * FROM ownership WHERE cluster = ? ORDER BY object")
        .bind(cluster.as_str())
        .fetch_all(connection)
        .await
        .map_err(db("read the owned objects"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<Owned, StoreError> {
    Ok(Owned {
        cluster: parse(row, "cluster")?,
        object: get(row, "object")?,
        source: get(row, "source")?,
        identity: get(row, "identity")?,
        last_applied: get(row, "last_applied")?,
        updated: parse(row, "updated")?,
    })
}
