//! The agents' tokens: who they stand for, until when, and the hash of each. A token itself is never here.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::error::{StoreError, db};
use super::transaction::Transaction;
use super::words::{get, parse, parse_optional, reads, time};

/// The SHA-256 of a token. Comparing takes the same time wherever two differ.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Whether two are the same, in a time that does not tell how much of them is.
    pub fn same(&self, other: &Self) -> bool {
        let differing = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0_u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl FromStr for TokenHash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|error| error.to_string())?;
        Ok(Self(bytes))
    }
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The part of the token that is no secret.
    pub id: String,
    /// The agent's name, without `agent:`.
    pub agent: String,
    /// Its hash.
    pub hash: TokenHash,
    /// When it was made.
    pub created: Timestamp,
    /// Who had it made.
    pub created_by: String,
    /// From when on it no longer counts; `None`: never.
    pub expires: Option<Timestamp>,
}

/// A token that is kept.
#[derive(Debug, Clone)]
pub struct Token {
    /// What was kept when it was made.
    pub token: NewToken,
    /// When it was taken away, and by whom.
    pub revoked: Option<(Timestamp, String)>,
    /// When it was last used, to within some minutes.
    pub used: Option<Timestamp>,
}

impl Token {
    /// Whether it counts at this time.
    pub fn good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.token.expires.is_none_or(|expires| now < expires)
    }
}

impl Transaction {
    /// Keeps a token.
    pub async fn add_token(&mut self, new: &NewToken) -> Result<(), StoreError> {
        self.changed("an agent was given a token");
        sqlx::query(
            "INSERT INTO agent_tokens (id, agent, hash, created, created_by, expires) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&new.id)
        .bind(&new.agent)
        .bind(hex::encode(new.hash.0))
        .bind(time(new.created))
        .bind(&new.created_by)
        .bind(new.expires.map(time))
        .execute(self.connection())
        .await
        .map_err(db("keep an agent's token"))?;
        Ok(())
    }

    /// Takes an agent's tokens away that were not yet. Returns their ids.
    pub async fn revoke_tokens(
        &mut self,
        agent: &str,
        who: &str,
        at: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        self.changed("an agent's token was taken away");
        sqlx::query_scalar(
            "UPDATE agent_tokens SET revoked = ?1, revoked_by = ?2 WHERE agent = ?3 AND revoked IS NULL RETURNING id",
        )
        .bind(time(at))
        .bind(who)
        .bind(agent)
        .fetch_all(self.connection())
        .await
        .map_err(db("take an agent's token away"))
    }

    /// Writes down when a token was used.
    pub async fn token_used(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE agent_tokens SET used = ? WHERE id = ?")
            .bind(time(at))
            .bind(id)
            .execute(self.connection())
            .await
            .map_err(db("write down when a token was used"))?;
        Ok(())
    }
}

reads! {
    /// The token with an id.
    fn token(id: &str) -> Option<Token>;
    /// Every token, by agent, the oldest first.
    fn tokens() -> Vec<Token>;
}

async fn token(connection: &mut SqliteConnection, id: &str) -> Result<Option<Token>, StoreError> {
    sqlx::query("SELECT * FROM agent_tokens WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(db("read an agent's token"))?
        .map(|row| from_row(&row))
        .transpose()
}

async fn tokens(connection: &mut SqliteConnection) -> Result<Vec<Token>, StoreError> {
    sqlx::query("SELECT * FROM agent_tokens ORDER BY agent, created, id")
        .fetch_all(connection)
        .await
        .map_err(db("list the agents' tokens"))?
        .iter()
        .map(from_row)
        .collect()
}

fn from_row(row: &SqliteRow) -> Result<Token, StoreError> {
    let revoked = parse_optional(row, "revoked")?;
    let by: Option<String> = get(row, "revoked_by")?;
    Ok(Token {
        token: NewToken {
            id: get(row, "id")?,
            agent: get(row, "agent")?,
            hash: parse(row, "hash")?,
            created: parse(row, "created")?,
            created_by: get(row, "created_by")?,
            expires: parse_optional(row, "expires")?,
        },
        revoked: revoked.map(|at| (at, by.unwrap_or_default())),
        used: parse_optional(row, "used")?,
    })
}
