//! Accepted documents: the current one per (cluster, kind, name) and every version there was, so that an undo can find what stood before.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, reads, signed, time, unsigned};
use crate::ids::ClusterName;

/// A document to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDocument {
    /// The cluster it is about.
    pub cluster: ClusterName,
    /// Its kind.
    pub kind: String,
    /// Its name within kind and cluster.
    pub name: String,
    /// The source that owns it.
    pub source: String,
    /// The text as submitted.
    pub text: String,
    /// Its canonical JSON.
    pub json: String,
    /// The hash of the canonical JSON.
    pub hash: String,
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it says and whose it is.
    pub document: NewDocument,
    /// Counts its versions, from 1.
    pub generation: u64,
    /// When this version was stored.
    pub updated: Timestamp,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentVersion {
    /// The version; for a removal, what was removed.
    pub version: Document,
    /// Whether this version is the document's removal.
    pub removed: bool,
}

/// What storing a document came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was not there.
    Created {
        /// Its generation; above 1 when a document of the name was there before and was removed.
        generation: u64,
    },
    /// It says something else than before.
    Changed {
        /// Its new generation.
        generation: u64,
    },
    /// Nothing new: the hash is the same.
    Unchanged {
        /// Its generation.
        generation: u64,
    },
}

impl Transaction {
    /// Stores a document. The same hash again changes nothing and needs no record. A document of another source is refused.
    pub async fn put_document(
        &mut self,
        new: &NewDocument,
        at: Timestamp,
    ) -> Result<Put, StoreError> {
        self.put(new, &new.source, at).await
    }

    /// Stores a document that takes the place of the one that another source (`from`) has under its name. One of a third source is
    /// refused.
    pub async fn take_over_document(
        &mut self,
        new: &NewDocument,
        from: &str,
        at: Timestamp,
    ) -> Result<Put, StoreError> {
        self.put(new, from, at).await
    }

    async fn put(
        &mut self,
        new: &NewDocument,
        from: &str,
        at: Timestamp,
    ) -> Result<Put, StoreError> {
        let current = document(self.connection(), &new.cluster, &new.kind, &new.name).await?;
        if let Some(current) = &current {
            if current.document.source != new.source && current.document.source != from {
                return Err(StoreError::OtherSource {
                    what: format!("{}/{}", new.kind, new.name),
                    owner: current.document.source.clone(),
                    claimant: new.source.clone(),
                });
            }
            if current.document.hash == new.hash && current.document.source == new.source {
                return Ok(Put::Unchanged {
                    generation: current.generation,
                });
            }
        }
        self.changed("a document was stored");
        let generation = self.version(new, at, false).await?;
        sqlx::query(
            "INSERT INTO documents (cluster, kind, name, source, text, json, hash, generation, updated)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (cluster, kind, name) DO UPDATE SET source = excluded.source, text = excluded.text, json = excluded.json,
                hash = excluded.hash, generation = excluded.generation, updated = excluded.updated",
        )
        .bind(new.cluster.as_str())
        .bind(&new.kind)
        .bind(&new.name)
        .bind(&new.source)
        .bind(&new.text)
        .bind(&new.json)
        .bind(&new.hash)
        .bind(signed(generation))
        .bind(time(at))
        .execute(self.connection())
        .await
        .map_err(db("store a document"))?;
        Ok(match current {
            None => Put::Created { generation },
            Some(_) => Put::Changed { generation },
        })
    }

    /// Removes a document and returns it. Its versions stay.
    pub async fn remove_document(
        &mut self,
        cluster: &ClusterName,
        kind: &str,
        name: &str,
        at: Timestamp,
    ) -> Result<Document, StoreError> {
        let current = document(self.connection(), cluster, kind, name)
            .await?
            .ok_or_else(|| StoreError::NotFound {
                what: "document",
                name: format!("{kind}/{name}"),
            })?;
        self.changed("a document was removed");
        self.version(&current.document, at, true).await?;
        sqlx::query("DELETE FROM documents WHERE cluster = ? AND kind = ? AND name = ?")
            .bind(cluster.as_str())
            .bind(kind)
            .bind(name)
            .execute(self.connection())
            .await
            .map_err(db("remove a document"))?;
        Ok(current)
    }

    async fn version(
        &mut self,
        new: &NewDocument,
        at: Timestamp,
        removed: bool,
    ) -> Result<u64, StoreError> {
        let row = sqlx::query(
            "INSERT INTO document_versions (cluster, kind, name, generation, source, text, json, hash, at, removed)
             SELECT ?1, ?2, ?3, 1 + coalesce(max(generation), 0), ?4, ?5, ?6, ?7, ?8, ?9
             FROM document_versions WHERE cluster = ?1 AND kind = ?2 AND name = ?3
             RETURNING generation",
        )
        .bind(new.cluster.as_str())
        .bind(&new.kind)
        .bind(&new.name)
        .bind(&new.source)
        .bind(&new.text)
        .bind(&new.json)
        .bind(&new.hash)
        .bind(time(at))
        .bind(removed)
        .fetch_one(self.connection())
        .await
        .map_err(db("keep a version of a document"))?;
        unsigned(&row, "generation")
    }
}

reads! {
    /// The current document of a name, if any.
    fn document(cluster: &ClusterName, kind: &str, name: &str) -> Option<Document>;
    /// The current documents of a cluster, by kind and name.
    fn documents(cluster: &ClusterName) -> Vec<Document>;
    /// Every version of a document, the oldest first.
    fn document_history(cluster: &ClusterName, kind: &str, name: &str) -> Vec<DocumentVersion>;
}

async fn document(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    kind: &str,
    name: &str,
) -> Result<Option<Document>, StoreError> {
    sqlx::query("SELECT * FROM documents WHERE cluster = ? AND kind = ? AND name = ?")
        .bind(cluster.as_str())
        .bind(kind)
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(db("read a document"))?
        .map(|row| from_row(&row, "updated"))
        .transpose()
}

async fn documents(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
) -> Result<Vec<Document>, StoreError> {
    sqlx::query("SELECT * FROM documents WHERE cluster = ? ORDER BY kind, name")
        .bind(cluster.as_str())
        .fetch_all(connection)
        .await
        .map_err(db("read the documents"))?
        .iter()
        .map(|row| from_row(row, "updated"))
        .collect()
}

async fn document_history(
    connection: &mut SqliteConnection,
    cluster: &ClusterName,
    kind: &str,
    name: &str,
) -> Result<Vec<DocumentVersion>, StoreError> {
    sqlx::query(
        "SELECT * FROM document_versions WHERE cluster = ? AND kind = ? AND name = ? ORDER BY generation",
    )
    .bind(cluster.as_str())
    .bind(kind)
    .bind(name)
    .fetch_all(connection)
    .await
    .map_err(db("read a document's history"))?
    .iter()
    .map(|row| {
        Ok(DocumentVersion {
            version: from_row(row, "at")?,
            removed: get(row, "removed")?,
        })
    })
    .collect()
}

fn from_row(row: &SqliteRow, time_column: &'static str) -> Result<Document, StoreError> {
    Ok(Document {
        document: NewDocument {
            cluster: parse(row, "cluster")?,
            kind: get(row, "kind")?,
            name: get(row, "name")?,
            source: get(row, "source")?,
            text: get(row, "text")?,
            json: get(row, "json")?,
            hash: get(row, "hash")?,
        },
        generation: unsigned(row, "generation")?,
        updated: parse(row, time_column)?,
    })
}
