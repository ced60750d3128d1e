//! What the API of each cluster has, by what its hosts said last.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, time};
use crate::ids::ClusterName;

/// The API of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedApi {
    /// The cluster.
    pub cluster: ClusterName,
    /// The version of Proxmox VE it was read from.
    pub version: String,
    /// What is kept of it, as JSON.
    pub json: String,
    /// When it was read.
    pub read: Timestamp,
}

impl Transaction {
    /// Keeps what a cluster's API has, in place of what was kept before. It is a reading that can be made again, so it needs no record.
    pub async fn put_served_api(&mut self, api: &ServedApi) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO served_apis (cluster, version, json, read) VALUES (?, ?, ?, ?)
             ON CONFLICT (cluster) DO UPDATE SET version = excluded.version, json = excluded.json, read = excluded.read",
        )
        .bind(api.cluster.as_str())
        .bind(&api.version)
        .bind(&api.json)
        .bind(time(api.read))
        .execute(self.connection())
        .await
        .map_err(db("keep what the API has"))?;
        Ok(())
    }
}

reads! {
    /// What a cluster's API has, if it was read.
    fn served_api(cluster: &ClusterName) -> Option<ServedApi>;
}

async fn served_api(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Option<ServedApi>, StoreError> {
    sqlx::query("SELECT * FROM served_apis WHERE cluster = ?")
        .bind(cluster.as_str())
        .fetch_optional(connection)
        .await
        .map_err(db("read what the API has"))?
        .map(|row| {
            Ok(ServedApi {
                cluster: parse(&row, "cluster")?,
                version: get(&row, "version")?,
                json: get(&row, "json")?,
                read: parse(&row, "read")?,
            })
        })
        .transpose()
}
