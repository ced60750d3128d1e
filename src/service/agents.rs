//! The agents' tokens: a person has one made, it is shown once, and it stands for exactly one agent. Whoever shows it is that agent
//! and nobody else: it can never act as a person, and so never approve.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::ServiceError;
use super::open::Service;
use crate::approval::{Principal, PrincipalKind};
use crate::ledger::Action;
use crate::plan::words::clean;
use crate::store::{NewToken, Token, TokenHash};

/// What every token begins with.
const PREFIX: &str = "bw_";
/// Bytes of the part of a token that names it.
const ID_BYTES: usize = 8;
/// Bytes of the part of a token that is secret: 256 bits.
const SECRET_BYTES: usize = 32;
/// How long a token counts when nothing is said.
pub const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The longest life that can be asked for; beyond it, say `never`.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(3650 * 24);
/// How exactly it is kept when a token was last used.
const USED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// For how long a token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// So long.
    For(SignedDuration),
    /// Until it is revoked.
    Forever,
}

impl Default for Life {
    fn default() -> Self {
        Self::For(DEFAULT_LIFE)
    }
}

impl std::str::FromStr for Life {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Forever);
        }
        let expected = || {
            format!(
                "`{}` is no life of a token: say hours, days or weeks such as `12h`, `30d`, `4w` (at most ten years), or `never`",
                clean(text)
            )
        };
        let unit = text.chars().last().ok_or_else(expected)?;
        let hours = match unit {
            'h' => 1,
            'd' => 24,
            'w' => 7 * 24,
            _ => return Err(expected()),
        };
        let number: i64 = text
            .strip_suffix(unit)
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=100_000).contains(number))
            .ok_or_else(expected)?;
        let life = SignedDuration::from_hours(number * hours);
        if life > LONGEST_LIFE {
            return Err(expected());
        }
        Ok(Self::For(life))
    }
}

/// A token as it is shown, once. It is never printed by accident and wiped when it is dropped.
pub struct AgentToken(Zeroizing<String>);

impl AgentToken {
    /// The token.
    pub fn show(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AgentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentToken(…)")
    }
}

/// An agent that was given a token.
#[derive(Debug)]
pub struct AgentAdded {
    /// The agent.
    pub agent: Principal,
    /// The part of the token that names it.
    pub id: String,
    /// The token: it is not kept and cannot be shown again.
    pub token: AgentToken,
    /// From when on it no longer counts.
    pub expires: Option<Timestamp>,
    /// The ledger record.
    pub ledger: u64,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLogin {
    /// It is no token of Bailiwick's form.
    #[error("it is not of the form `bw_ID_SECRET`")]
    Malformed,
    /// Nobody was given it, or its secret is wrong.
    #[error("nobody was given this token")]
    Unknown {
        /// The id it names.
        id: String,
    },
    /// It counted once.
    #[error("the token of {agent} expired at {at}")]
    Expired {
        /// The agent.
        agent: Principal,
        /// When.
        at: Timestamp,
    },
    /// It was taken away.
    #[error("the token of {agent} was revoked at {at}")]
    Revoked {
        /// The agent.
        agent: Principal,
        /// When.
        at: Timestamp,
    },
}

impl Service {
    /// Gives an agent a token. Only a known person may. An agent may have several, so that one can follow another.
    pub async fn add_agent(
        &self,
        name: &str,
        life: Life,
        who: &Principal,
    ) -> Result<AgentAdded, ServiceError> {
        self.person_for_agents(who, "give")?;
        let agent = agent(name)?;
        let now = self.now();
        let expires = match life {
            Life::Forever => None,
            Life::For(life) => Some(now.saturating_add(life).map_err(|error| {
                ServiceError::Request(format!("the token cannot live so long: {error}"))
            })?),
        };
        let (id, token) = fresh_token()?;
        let new = NewToken {
            id: id.clone(),
            agent: agent.name().to_owned(),
            hash: hash(&token),
            created: now,
            created_by: who.to_string(),
            expires,
        };
        let mut tx = self.store.begin().await?;
        tx.add_token(&new).await?;
        let detail = serde_json::json!({
            "token": id, "expires": expires.map(|at| at.to_string()),
        });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::AgentAdded,
                &agent.to_string(),
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(AgentAdded {
            agent,
            id,
            token: AgentToken(token),
            expires,
            ledger: record.seq,
        })
    }

    /// Every token there is or was.
    pub async fn agents(&self) -> Result<Vec<Token>, ServiceError> {
        Ok(self.store.tokens().await?)
    }

    /// Takes every token of an agent away. Only a known person may. Returns their ids and the record's number.
    pub async fn revoke_agent(
        &self,
        name: &str,
        who: &Principal,
    ) -> Result<(Vec<String>, u64), ServiceError> {
        self.person_for_agents(who, "take away")?;
        let agent = agent(name)?;
        let mut tx = self.store.begin().await?;
        let ids = tx
            .revoke_tokens(agent.name(), &who.to_string(), self.now())
            .await?;
        if ids.is_empty() {
            tx.rollback().await?;
            return Err(ServiceError::NotFound(format!(
                "{agent} has no token to take away; `bailiwick agent list` lists them"
            )));
        }
        let detail = serde_json::json!({ "tokens": ids });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::AgentRevoked,
                &agent.to_string(),
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok((ids, record.seq))
    }

    /// Who a token stands for. The inner error says why it stands for nobody; who shows it learns that only of a token that was once
    /// good.
    pub async fn login(&self, token: &str) -> Result<Result<Principal, NoLogin>, ServiceError> {
        let Some(id) = id_of(token) else {
            return Ok(Err(NoLogin::Malformed));
        };
        let known = self.store.token(id).await?;
        // The same work for an id nobody has.
        let nobody = TokenHash([0; 32]);
        let right = known
            .as_ref()
            .map_or(nobody, |known| known.token.hash)
            .same(&hash(token));
        let Some(known) = known.filter(|_| right) else {
            return Ok(Err(NoLogin::Unknown { id: id.to_owned() }));
        };
        let agent = agent(&known.token.agent)?;
        let now = self.now();
        if let Some((at, _)) = known.revoked {
            return Ok(Err(NoLogin::Revoked { agent, at }));
        }
        if let Some(at) = known.token.expires.filter(|at| now >= *at) {
            return Ok(Err(NoLogin::Expired { agent, at }));
        }
        let fresh = |used: Timestamp| now.duration_since(used) < USED_WITHIN;
        if !known.used.is_some_and(fresh) {
            // It only informs: a store that is busy is no reason to turn a good token away.
            let _ = self.note_use(id, now).await;
        }
        Ok(Ok(agent))
    }

    async fn note_use(&self, id: &str, now: Timestamp) -> Result<(), ServiceError> {
        let mut tx = self.store.begin().await?;
        tx.token_used(id, now).await?;
        Ok(tx.commit().await?)
    }

    /// Writes a failed login down. `unrecorded` says how many before it were not. Who calls sees to it that these are few.
    pub async fn record_login_failure(
        &self,
        why: &NoLogin,
        from: &str,
        unrecorded: u64,
    ) -> Result<u64, ServiceError> {
        let subject = match why {
            NoLogin::Malformed => "agent".to_owned(),
            NoLogin::Unknown { .. } => "agent".to_owned(),
            NoLogin::Expired { agent, .. } | NoLogin::Revoked { agent, .. } => agent.to_string(),
        };
        let token = match why {
            NoLogin::Unknown { id } => Some(id),
            NoLogin::Malformed | NoLogin::Expired { .. } | NoLogin::Revoked { .. } => None,
        };
        let mut detail = serde_json::json!({ "why": why.to_string(), "from": clean(from) });
        if let Some(map) = detail.as_object_mut() {
            if let Some(token) = token {
                map.insert("token".to_owned(), serde_json::json!(clean(token)));
            }
            if unrecorded > 0 {
                map.insert("unrecordedBefore".to_owned(), serde_json::json!(unrecorded));
            }
        }
        let mut tx = self.store.begin().await?;
        let record = self
            .record(
                &mut tx,
                "system:bailiwick",
                Action::LoginFailed,
                &subject,
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(record.seq)
    }

    fn person_for_agents(&self, who: &Principal, what: &str) -> Result<(), ServiceError> {
        if !who.is_person() {
            return Err(ServiceError::Refused(format!(
                "{who} cannot {what} tokens: only a person can, with --as person:NAME"
            )));
        }
        self.known_person(who)
    }
}

/// The agent of a name, which may be written with or without `agent:`.
fn agent(name: &str) -> Result<Principal, ServiceError> {
    let name = name.strip_prefix("agent:").unwrap_or(name);
    Principal::new(PrincipalKind::Agent, name)
        .map_err(|error| ServiceError::Request(format!("no agent can be called so: {error}")))
}

fn fresh_token() -> Result<(String, Zeroizing<String>), ServiceError> {
    let mut bytes = Zeroizing::new([0_u8; ID_BYTES + SECRET_BYTES]);
    SysRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(|error| ServiceError::Setup {
            what: "drawing a token".to_owned(),
            source: Box::new(error),
        })?;
    let (id, secret) = bytes.split_at(ID_BYTES);
    let id = hex::encode(id);
    let secret = Zeroizing::new(hex::encode(secret));
    let token = Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str()));
    Ok((id, token))
}

/// The id that a token names, if it has the form of one.
fn id_of(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let hex = |text: &str, bytes: usize| {
        text.len() == 2 * bytes && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    (hex(id, ID_BYTES) && hex(secret, SECRET_BYTES)).then_some(id)
}

fn hash(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_256_bits_and_are_never_alike() {
        let (id, token) = fresh_token().unwrap();
        let (other, _) = fresh_token().unwrap();
        assert_ne!(id, other);
        assert_eq!(token.len(), 3 + 16 + 1 + 64);
        assert_eq!(id_of(&token), Some(id.as_str()));
        assert!(!format!("{:?}", AgentToken(token)).contains(&id));
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        for text in [
            "",
            "bw_",
            "bw_1_2",
            "Bearer bw_00",
            "bw_zzzzzzzzzzzzzzzz_00",
        ] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

    #[test]
    fn hashes_compare_whole() {
        let one = TokenHash([7; 32]);
        let mut other = one;
        assert!(one.same(&other));
        other.0[31] ^= 1;
        assert!(!one.same(&other));
        assert_eq!(format!("{one:?}"), "TokenHash(…)");
    }

    #[test]
    fn lives_are_hours_days_weeks_or_never() {
        let life = |text: &str| text.parse::<Life>();
        assert_eq!(
            life("30d").unwrap(),
            Life::For(SignedDuration::from_hours(720))
        );
        assert_eq!(
            life("12h").unwrap(),
            Life::For(SignedDuration::from_hours(12))
        );
        assert_eq!(
            life("2w").unwrap(),
            Life::For(SignedDuration::from_hours(336))
        );
        assert_eq!(life("never").unwrap(), Life::Forever);
        for wrong in ["", "d", "0d", "-1d", "30", "30m", "99999w", "3d4h", "é"] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
