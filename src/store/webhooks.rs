//! How far each webhook was told of the events.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::events::last_event;
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, signed, time, unsigned};

/// How far a webhook was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookState {
    /// The webhook's name in the configuration.
    pub name: String,
    /// The last event that needs no more telling: it was told, or is none that this webhook is told of.
    pub position: u64,
    /// How many events were let go before the webhook could be told of them, since it was last told something.
    pub missed: u64,
    /// Failed attempts at the next event.
    pub attempts: u32,
    /// When to try again.
    pub next: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When this was last written.
    pub changed: Timestamp,
}

impl Transaction {
    /// How far a webhook was told. One that is new begins at the newest event: nobody wants to be told of what was long before.
    pub async fn begin_webhook(
        &mut self,
        name: &str,
        now: Timestamp,
    ) -> Result<WebhookState, StoreError> {
        if let Some(known) = webhook(self.connection(), name).await? {
            return Ok(known);
        }
        let state = WebhookState {
            name: name.to_owned(),
            position: last_event(self.connection()).await?,
            missed: 0,
            attempts: 0,
            next: None,
            error: None,
            changed: now,
        };
        self.put_webhook(&state).await?;
        Ok(state)
    }

    /// Writes down how far a webhook was told.
    pub async fn put_webhook(&mut self, state: &WebhookState) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO webhooks (name, position, missed, attempts, next, error, changed) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position, missed = excluded.missed,
                attempts = excluded.attempts, next = excluded.next, error = excluded.error, changed = excluded.changed",
        )
        .bind(&state.name)
        .bind(signed(state.position))
        .bind(signed(state.missed))
        .bind(state.attempts)
        .bind(state.next.map(time))
        .bind(&state.error)
        .bind(time(state.changed))
        .execute(self.connection())
        .await
        .map_err(db("write down how far a webhook was told"))?;
        Ok(())
    }
}

reads! {
    /// How far a webhook was told; nothing of one that is new.
    fn webhook(name: &str) -> Option<WebhookState>;
    /// How far every webhook was told that there ever was.
    fn webhooks() -> Vec<WebhookState>;
}

async fn webhook(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<WebhookState>, StoreError> {
    sqlx::query("SELECT * FROM webhooks WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(db("read how far a webhook was told"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn webhooks(connection: &mut SqliteConnection) -> Result<Vec<WebhookState>, StoreError> {
    sqlx::query("SELECT * FROM webhooks ORDER BY name")
        .fetch_all(connection)
        .await
        .map_err(db("read how far the webhooks were told"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<WebhookState, StoreError> {
    Ok(WebhookState {
        name: get(row, "name")?,
        position: unsigned(row, "position")?,
        missed: unsigned(row, "missed")?,
        attempts: unsigned(row, "attempts")?,
        next: parse_optional(row, "next")?,
        error: get(row, "error")?,
        changed: parse(row, "changed")?,
    })
}
