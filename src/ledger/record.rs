//! One record, and how the next one is made from the head: pure functions over bytes. A record's MAC covers its canonical JSON
//! (RFC 8785) without the member `mac`; `prev` is the MAC before it, so a record vouches for everything that came earlier.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::action::{Action, UnknownAction};
use super::detail::{Detail, DetailError};
use super::key::{Key, KeyError, KeyId, lower_hex, random};

/// The name of the format, which the first record carries.
pub const FORMAT: &str = "bailiwick-ledger/1";
/// The longest line of a ledger, in bytes: a bound on the memory of whoever verifies one.
pub(super) const MAX_LINE: usize = 1 << 18;
/// The greatest sequence number a double holds exactly.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// An HMAC-SHA256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub(super) [u8; 32]);

impl Mac {
    /// What stands before the first record: 32 zero bytes.
    pub const ZERO: Mac = Mac([0; 32]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        lower_hex(text)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a MAC: 64 lower-case hexadecimal digits are"))
    }
}

impl TryFrom<String> for Mac {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

/// Which ledger: 16 random bytes chosen when it was made, as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LedgerId([u8; 16]);

impl LedgerId {
    /// An id from 16 bytes, which ought to be random.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A new id. Fails only when the system gives no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        Ok(Self(*random()?))
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerId({self})")
    }
}

impl FromStr for LedgerId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        lower_hex(text).map(Self).ok_or_else(|| {
            format!("`{text}` is not a ledger id: 32 lower-case hexadecimal digits are")
        })
    }
}

impl TryFrom<String> for LedgerId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LedgerId> for String {
    fn from(id: LedgerId) -> String {
        id.to_string()
    }
}

/// What is to be recorded, before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When; kept to the millisecond.
    pub at: Timestamp,
    /// Who: a principal such as `operator:anna`, `agent:ci` or `system`.
    pub actor: String,
    /// What was done.
    pub action: Action,
    /// To what: `plan/…`, `vm/104`, `cluster/lab`.
    pub subject: String,
    /// The plan it belongs to, if any.
    pub plan: Option<String>,
    /// The rest. Never a secret: a keyed fingerprint of one at most.
    pub detail: Detail,
}

/// The end of a chain: all that is needed to append to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which ledger.
    pub ledger: LedgerId,
    /// The last record's sequence number.
    pub seq: u64,
    /// The last record's MAC.
    pub mac: Mac,
    /// The key the next record must be made with.
    pub key: KeyId,
}

/// Why a record could not be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another key than the ledger's.
    #[error(
        "the ledger is under the key {expected}, the key given is {given}: give the right key file, or rotate the key"
    )]
    OtherKey {
        /// The ledger's key.
        expected: KeyId,
        /// The key given.
        given: KeyId,
    },
    /// An action with its own function.
    #[error("`{0}` is not appended as a plain record")]
    Reserved(Action),
    /// The detail is outside the format.
    #[error(transparent)]
    Detail(#[from] DetailError),
    /// Longer than a line may be.
    #[error("the record would have {length} bytes; a ledger line has at most {MAX_LINE}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The sequence is exhausted.
    #[error("the ledger is full")]
    Full,
    /// JSON could not be written.
    #[error("the record cannot be written as canonical JSON: {0}")]
    Canonical(#[source] serde_json::Error),
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON, or not with the members of a record.
    #[error("the line is not a ledger record: {0}")]
    Json(#[from] serde_json::Error),
    /// An action of a newer version.
    #[error(transparent)]
    Action(#[from] UnknownAction),
    /// The detail is outside the format.
    #[error(transparent)]
    Detail(#[from] DetailError),
    /// The record is not in canonical form.
    #[error("record {seq} is not in canonical form")]
    NotCanonical {
        /// Its sequence number.
        seq: u64,
    },
}

/// One record of the ledger. Reading one does not verify it: [`super::Verifier`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 1.
    pub seq: u64,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: Action,
    /// To what.
    pub subject: String,
    /// The plan it belongs to.
    pub plan: Option<String>,
    /// The rest.
    pub detail: Detail,
    /// The MAC of the record before; zeros for the first.
    pub prev: Mac,
    /// This record's MAC.
    pub mac: Mac,
    line: String,
}

impl Record {
    /// The record as its canonical line, without the newline.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Reads a canonical line. This does not check the MAC.
    pub fn parse(line: &str) -> Result<Self, RecordError> {
        let wire: Wire = serde_json::from_str(line)?;
        if canonical(&wire)? != line {
            return Err(RecordError::NotCanonical { seq: wire.seq });
        }
        Ok(Self {
            seq: wire.seq,
            at: wire.at.0,
            actor: wire.actor,
            action: wire.action.parse()?,
            subject: wire.subject,
            plan: wire.plan,
            detail: Detail::new(wire.detail)?,
            prev: wire.prev,
            mac: wire.mac.unwrap_or(Mac::ZERO),
            line: line.to_owned(),
        })
    }
}

/// A time as records hold it: RFC 3339, UTC, always three digits of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Millis(pub(super) Timestamp);

impl Millis {
    pub(super) fn new(at: Timestamp) -> Self {
        Self(Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at))
    }
}

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    action: String,
    actor: String,
    at: Millis,
    detail: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    plan: Option<String>,
    prev: Mac,
    seq: u64,
    subject: String,
}

/// Canonical JSON (RFC 8785) as text.
pub(super) fn canonical(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

/// The first record of a new ledger, and its head. The record carries the ledger's id, the format's name and the key's fingerprint.
pub fn genesis(
    ledger: LedgerId,
    key: &Key,
    at: Timestamp,
    actor: &str,
) -> Result<(Record, Head), AppendError> {
    let before = Head {
        ledger,
        seq: 0,
        mac: Mac::ZERO,
        key: key.id(),
    };
    let draft = Draft {
        at,
        actor: actor.to_owned(),
        action: Action::LedgerCreated,
        subject: format!("ledger/{ledger}"),
        plan: None,
        detail: Detail::new(json!({
            "format": FORMAT,
            "key": key.id(),
            "ledger": ledger,
        }))?,
    };
    chain(&before, key, draft)
}

/// The record that follows `head`, and the new head. Costs the same at every length.
///
/// Fails when `key` is not the ledger's, for actions that have their own function, and for records beyond the format's bounds.
pub fn append(head: &Head, key: &Key, draft: Draft) -> Result<(Record, Head), AppendError> {
    match draft.action {
        Action::LedgerCreated | Action::KeyRotated => Err(AppendError::Reserved(draft.action)),
        Action::DocumentSubmitted
        | Action::DocumentWithdrawn
        | Action::PlanCreated
        | Action::PlanSuperseded
        | Action::PlanExpired
        | Action::PlanWithdrawn
        | Action::Approved
        | Action::ApprovalExpired
        | Action::Rejected
        | Action::RunStarted
        | Action::RunResumed
        | Action::StepIntent
        | Action::StepOutcome
        | Action::RunFinished
        | Action::Frozen
        | Action::Thawed
        | Action::UndoProposed
        | Action::Suspended
        | Action::Resumed
        | Action::FuseTripped
        | Action::FuseReset
        | Action::AgentAdded
        | Action::AgentRevoked
        | Action::LoginFailed
        | Action::PolicyChanged
        | Action::Checkpoint => chain(head, key, draft),
    }
}

/// The sealed hand-over to a new key: the last record under the old key. It names the new key and holds a MAC under it, and so is
/// vouched for by both: nobody without the old key can end its reign, nobody without the new one can be handed the ledger.
pub fn rotate(
    head: &Head,
    old: &Key,
    new: &Key,
    at: Timestamp,
    actor: &str,
    reason: &str,
) -> Result<(Record, Head), AppendError> {
    let seq = next(head)?;
    let seal = seal(head, seq, old.id(), new)?;
    let draft = Draft {
        at,
        actor: actor.to_owned(),
        action: Action::KeyRotated,
        subject: format!("ledger/{}", head.ledger),
        plan: None,
        detail: Detail::new(json!({
            "from": old.id(),
            "reason": reason,
            "seal": seal,
            "to": new.id(),
        }))?,
    };
    let (record, head) = chain(head, old, draft)?;
    Ok((
        record,
        Head {
            key: new.id(),
            ..head
        },
    ))
}

/// The new key's MAC over the place of the hand-over: both fingerprints, the sequence number, the MAC before.
pub(super) fn seal(before: &Head, seq: u64, from: KeyId, new: &Key) -> Result<Mac, AppendError> {
    let text = canonical(&json!({
        "from": from,
        "ledger": before.ledger,
        "prev": before.mac,
        "seq": seq,
        "to": new.id(),
    }))
    .map_err(AppendError::Canonical)?;
    Ok(new.mac([text.as_bytes()]))
}

fn next(head: &Head) -> Result<u64, AppendError> {
    if head.seq >= MAX_SEQ {
        return Err(AppendError::Full);
    }
    Ok(head.seq + 1)
}

fn chain(head: &Head, key: &Key, draft: Draft) -> Result<(Record, Head), AppendError> {
    if key.id() != head.key {
        return Err(AppendError::OtherKey {
            expected: head.key,
            given: key.id(),
        });
    }
    let Draft {
        at,
        actor,
        action,
        subject,
        plan,
        detail,
    } = draft;
    let mut wire = Wire {
        action: action.name().to_owned(),
        actor,
        at: Millis::new(at),
        detail: detail.as_object().clone(),
        mac: None,
        plan,
        prev: head.mac,
        seq: next(head)?,
        subject,
    };
    let mac = key.mac([canonical(&wire).map_err(AppendError::Canonical)?.as_bytes()]);
    wire.mac = Some(mac);
    let line = canonical(&wire).map_err(AppendError::Canonical)?;
    if line.len() > MAX_LINE {
        return Err(AppendError::TooLong { length: line.len() });
    }
    let record = Record {
        seq: wire.seq,
        at: wire.at.0,
        actor: wire.actor,
        action,
        subject: wire.subject,
        plan: wire.plan,
        detail,
        prev: head.mac,
        mac,
        line,
    };
    let head = Head {
        seq: record.seq,
        mac,
        ..*head
    };
    Ok((record, head))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn draft(action: Action) -> Draft {
        Draft {
            at: "2026-03-01T12:00:00.123456789Z".parse().unwrap(),
            actor: "operator:anna".into(),
            action,
            subject: "vm/104".into(),
            plan: Some("ab12".into()),
            detail: Detail::new(json!({"z": 1, "a": "tab\t\u{1}\u{7f}\u{2028}ü"})).unwrap(),
        }
    }

    #[test]
    fn the_format_does_not_move() {
        let key = Key::from_bytes(&[1; 32]);
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let (first, head) = genesis(LedgerId::from_bytes([2; 16]), &key, at, "system").unwrap();
        let (second, _) = append(&head, &key, draft(Action::Approved)).unwrap();
        insta::assert_snapshot!(format!("{}\n{}\n", first.line(), second.line()));
        assert_eq!(Record::parse(second.line()).unwrap(), second);
    }

    #[test]
    fn another_key_and_reserved_actions_are_refused() {
        let key = Key::from_bytes(&[1; 32]);
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let (_, head) = genesis(LedgerId::from_bytes([2; 16]), &key, at, "system").unwrap();
        let other = Key::from_bytes(&[3; 32]);
        assert!(matches!(
            append(&head, &other, draft(Action::Approved)),
            Err(AppendError::OtherKey { .. })
        ));
        for action in [Action::LedgerCreated, Action::KeyRotated] {
            assert!(matches!(
                append(&head, &key, draft(action)),
                Err(AppendError::Reserved(_))
            ));
        }
        let mut long = draft(Action::Approved);
        long.subject = "x".repeat(MAX_LINE);
        assert!(matches!(
            append(&head, &key, long),
            Err(AppendError::TooLong { .. })
        ));
    }

    #[test]
    fn a_line_out_of_canonical_form_is_no_record() {
        let key = Key::from_bytes(&[1; 32]);
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let (first, _) = genesis(LedgerId::from_bytes([2; 16]), &key, at, "system").unwrap();
        let spaced = first.line().replacen(':', ": ", 1);
        assert!(matches!(
            Record::parse(&spaced),
            Err(RecordError::NotCanonical { seq: 1 })
        ));
    }
}
