//! The one way to change the state: several changes and their ledger records, all or none.

use sqlx::{Sqlite, SqliteConnection};

use super::error::{StoreError, db};

/// Changes that commit together. Dropping it undoes them.
///
/// Every change of meaning must come with a record ([`Transaction::record`]); committing one without is refused.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Sqlite>,
    changed: Option<&'static str>,
    recorded: bool,
}

impl Transaction {
    pub(super) fn new(inner: sqlx::Transaction<'static, Sqlite>) -> Self {
        Self {
            inner,
            changed: None,
            recorded: false,
        }
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }

    /// Something changed that must not commit without a record. `what` completes "refused to commit: … without a ledger record".
    pub(super) fn changed(&mut self, what: &'static str) {
        self.changed.get_or_insert(what);
    }

    pub(super) fn recorded(&mut self) {
        self.recorded = true;
    }

    /// Makes it durable. When this returns, it is on the disk; when it fails, nothing happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        if let (Some(what), false) = (self.changed, self.recorded) {
            return Err(StoreError::Unrecorded { what });
        }
        self.inner.commit().await.map_err(db("commit"))
    }

    /// Undoes everything and waits until that is done.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.inner
            .rollback()
            .await
            .map_err(db("undo a transaction"))
    }
}
