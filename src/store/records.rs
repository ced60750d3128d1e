//! The ledger in the store: appended to within a transaction from the stored head, read in pages, verified and exported as a stream.
//! An append reads the head and the last record and writes one of each: its cost does not grow with the ledger.

use std::io;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection};

use super::error::{StoreError, db};
use super::open::Store;
use super::transaction::Transaction;
use super::words::{get, parse, reads, signed, unsigned};
use crate::ledger::{
    Checkpoints, Draft, Head, Key, Keys, LedgerId, Mac, Record, Tampering, Verified, Verifier,
    VerifyError, append, genesis, rotate,
};

/// Records read at once when streaming: some 300 kilobytes, and at most 128 megabytes were every line as long as it may be.
const PAGE: i64 = 500;

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only of this plan.
    pub plan: Option<String>,
    /// Only about this subject.
    pub subject: Option<String>,
    /// Only after this record.
    pub after: u64,
}

impl Transaction {
    /// Begins the ledger of a new store. Refused when there is one.
    pub async fn create_ledger(
        &mut self,
        ledger: LedgerId,
        key: &Key,
        at: Timestamp,
        actor: &str,
    ) -> Result<Record, StoreError> {
        if let Some(head) = ledger_head(self.connection()).await? {
            return Err(StoreError::LedgerExists(head.ledger));
        }
        let (record, head) = genesis(ledger, key, at, actor)?;
        self.write(&record, &head).await?;
        Ok(record)
    }

    /// Appends a record. It commits with the changes of this transaction, or not at all.
    pub async fn record(&mut self, draft: Draft, key: &Key) -> Result<Record, StoreError> {
        let head = self.sound_head().await?;
        let (record, head) = append(&head, key, draft)?;
        self.write(&record, &head).await?;
        Ok(record)
    }

    /// Hands the ledger over to a new key, by a record both keys vouch for. The next record is under the new key.
    pub async fn rotate_key(
        &mut self,
        old: &Key,
        new: &Key,
        at: Timestamp,
        actor: &str,
        reason: &str,
    ) -> Result<Record, StoreError> {
        let head = self.sound_head().await?;
        let (record, head) = rotate(&head, old, new, at, actor, reason)?;
        self.write(&record, &head).await?;
        Ok(record)
    }

    /// The head, if the last record is the one it speaks of: nothing is chained to an end that somebody changed.
    async fn sound_head(&mut self) -> Result<Head, StoreError> {
        let head = ledger_head(self.connection())
            .await?
            .ok_or(StoreError::NoLedger)?;
        let last = sqlx::query("SELECT seq, mac FROM ledger_records ORDER BY seq DESC LIMIT 1")
            .fetch_optional(self.connection())
            .await
            .map_err(db("read the last ledger record"))?
            .map(|row| Ok::<(u64, Mac), StoreError>((unsigned(&row, "seq")?, parse(&row, "mac")?)))
            .transpose()?;
        if last != Some((head.seq, head.mac)) {
            return Err(StoreError::Corrupt {
                what: "ledger_head".to_owned(),
                why: format!(
                    "it speaks of record {}, the last record is {}: somebody changed the ledger; verify it",
                    head.seq,
                    last.map_or_else(|| "none".to_owned(), |(seq, _)| format!("record {seq}")),
                ),
            });
        }
        Ok(head)
    }

    async fn write(&mut self, record: &Record, head: &Head) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO ledger_records (seq, action, subject, plan, mac, line) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(signed(record.seq))
        .bind(record.action.name())
        .bind(&record.subject)
        .bind(&record.plan)
        .bind(record.mac.to_string())
        .bind(record.line())
        .execute(self.connection())
        .await
        .map_err(db("write a ledger record"))?;
        sqlx::query(
            "INSERT INTO ledger_head (only, ledger, seq, mac, key) VALUES (1, ?, ?, ?, ?)
             ON CONFLICT (only) DO UPDATE SET seq = excluded.seq, mac = excluded.mac, key = excluded.key",
        )
        .bind(head.ledger.to_string())
        .bind(signed(head.seq))
        .bind(head.mac.to_string())
        .bind(head.key.to_string())
        .execute(self.connection())
        .await
        .map_err(db("write the ledger's head"))?;
        self.recorded();
        Ok(())
    }
}

reads! {
    /// The end of the ledger, if there is a ledger.
    fn ledger_head() -> Option<Head>;
    /// The record with a number. Reading it does not verify it.
    fn ledger_record(seq: u64) -> Option<Record>;
    /// Records, the oldest first, at most `limit`. Reading them does not verify them.
    fn ledger_records(filter: &RecordFilter, limit: u32) -> Vec<Record>;
}

async fn ledger_head(connection: &mut SqliteConnection) -> Result<Option<Head>, StoreError> {
    sqlx::query("SELECT ledger, seq, mac, key FROM ledger_head WHERE only = 1")
        .fetch_optional(connection)
        .await
        .map_err(db("read the ledger's head"))?
        .map(|row| {
            Ok(Head {
                ledger: parse(&row, "ledger")?,
                seq: unsigned(&row, "seq")?,
                mac: parse(&row, "mac")?,
                key: parse(&row, "key")?,
            })
        })
        .transpose()
}

async fn ledger_record(
    connection: &mut SqliteConnection,
    seq: u64,
) -> Result<Option<Record>, StoreError> {
    sqlx::query("SELECT seq, line FROM ledger_records WHERE seq = ?")
        .bind(signed(seq))
        .fetch_optional(connection)
        .await
        .map_err(db("read a ledger record"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn ledger_records(
    connection: &mut SqliteConnection,
    filter: &RecordFilter,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let RecordFilter {
        plan,
        subject,
        after,
    } = filter;
    // A query each, so that each uses its index: a plan's few records are found among millions.
    let query = match (plan, subject) {
        (None, None) => "SELECT seq, line FROM ledger_records WHERE seq > ?1 ORDER BY seq LIMIT ?4",
        (Some(_), None) => {
            "SELECT seq, line FROM ledger_records WHERE plan = ?2 AND seq > ?1 ORDER BY seq LIMIT ?4"
        }
        (None, Some(_)) => {
            "SELECT seq, line FROM ledger_records WHERE subject = ?3 AND seq > ?1 ORDER BY seq LIMIT ?4"
        }
        (Some(_), Some(_)) => {
            "SELECT seq, line FROM ledger_records WHERE plan = ?2 AND subject = ?3 AND seq > ?1 ORDER BY seq LIMIT ?4"
        }
    };
    sqlx::query(query)
        .bind(signed(*after))
        .bind(plan)
        .bind(subject)
        .bind(limit)
        .fetch_all(connection)
        .await
        .map_err(db("read the ledger"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<Record, StoreError> {
    Record::parse(get(row, "line")?).map_err(|error| StoreError::Corrupt {
        what: format!(
            "ledger record {}",
            get::<i64>(row, "seq").unwrap_or_default()
        ),
        why: error.to_string(),
    })
}

/// The ledger's lines as one consistent stream, page by page; what is appended meanwhile is not in it.
pub struct LedgerPages {
    snapshot: sqlx::Transaction<'static, Sqlite>,
    after: i64,
}

impl LedgerPages {
    /// The next page: some hundred lines, each ended by a newline. Nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        // One row a page instead of one a record: three times as fast. As bytes, so that rubbish is seen by whoever verifies.
        let row = sqlx::query(
            "SELECT max(seq) AS last, CAST(group_concat(line, char(10) ORDER BY seq) || char(10) AS BLOB) AS page
             FROM (SELECT seq, line FROM ledger_records WHERE seq > ? ORDER BY seq LIMIT ?)",
        )
        .bind(self.after)
        .bind(PAGE)
        .fetch_one(&mut *self.snapshot)
        .await
        .map_err(db("read the ledger"))?;
        match get::<Option<i64>>(&row, "last")? {
            Some(last) => {
                self.after = last;
                Ok(Some(get(&row, "page")?))
            }
            None => Ok(None),
        }
    }

    async fn head(&mut self) -> Result<Option<Head>, StoreError> {
        ledger_head(&mut self.snapshot).await
    }
}

impl Store {
    /// Begins to read the ledger from its first record.
    pub async fn ledger_pages(&self) -> Result<LedgerPages, StoreError> {
        let snapshot = self
            .readers()
            .begin()
            .await
            .map_err(db("read the ledger"))?;
        Ok(LedgerPages {
            snapshot,
            // Below every number, so that a record somebody slipped in at zero or under is read too.
            after: i64::MIN,
        })
    }

    /// Writes the ledger as JSON Lines, in constant memory.
    pub async fn export_ledger(&self, out: &mut impl io::Write) -> Result<(), StoreError> {
        let mut pages = self.ledger_pages().await?;
        while let Some(page) = pages.next().await? {
            out.write_all(&page).map_err(StoreError::Export)?;
        }
        out.flush().map_err(StoreError::Export)
    }

    /// Verifies the ledger in the store, against its head and the checkpoints given, in constant memory.
    pub async fn verify_ledger(
        &self,
        keys: &Keys,
        checkpoints: &Checkpoints,
    ) -> Result<Verified, VerifyError> {
        let read = |error: StoreError| VerifyError::Read(io::Error::other(error));
        let mut verifier = Verifier::new(keys, checkpoints);
        let mut pages = self.ledger_pages().await.map_err(read)?;
        'pages: while let Some(page) = pages.next().await.map_err(read)? {
            let lines = page.strip_suffix(b"\n").unwrap_or(&page);
            for line in lines.split(|byte| *byte == b'\n') {
                if verifier.push(line).is_break() {
                    break 'pages;
                }
            }
        }
        let verified = verifier.finish()?;
        match pages.head().await.map_err(read)? {
            Some(head) if head == verified.head => Ok(verified),
            Some(head) if head.seq > verified.head.seq => Err(Tampering::TailCut {
                last: verified.head.seq,
                known: head.seq,
                by_checkpoint: false,
            }
            .into()),
            Some(_) | None => Err(Tampering::Head {
                seq: verified.head.seq,
            }
            .into()),
        }
    }
}
