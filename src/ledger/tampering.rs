//! What was done to a ledger, in words a person can act on: which record, and which kind of tampering.

use super::checkpoint::CheckpointError;
use super::key::KeyId;
use super::record::LedgerId;

/// The first thing found wrong with a ledger. Line numbers count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// A line that is not JSON stands where a record belongs.
    #[error("record {seq} is damaged: line {line} is not JSON ({why})")]
    NotJson {
        /// The record that belongs there.
        seq: u64,
        /// The line.
        line: u64,
        /// What the JSON reader said.
        why: String,
    },
    /// A line that is JSON but no record stands where a record belongs.
    #[error("record {seq} is damaged: line {line} is JSON but not a ledger record ({why})")]
    NotARecord {
        /// The record that belongs there.
        seq: u64,
        /// The line.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A record's content or MAC was changed.
    #[error("record {seq} was altered: line {line} does not bear the ledger's MAC")]
    Altered {
        /// The record.
        seq: u64,
        /// The line.
        line: u64,
    },
    /// From here on nothing bears the MAC of a key that was given.
    #[error("record {seq} and everything after it was not written with {}", match .needs {
        Some(key) => format!("a key given here: the ledger says it is under the key {key}"),
        None => "the ledger's key: it was rewritten from there, or by somebody with another key".to_owned(),
    })]
    WrongKey {
        /// The first such record.
        seq: u64,
        /// The key the ledger says it is under, when that one was not given.
        needs: Option<KeyId>,
    },
    /// A record that bears another key's MAC than the one in force, without a hand-over.
    #[error(
        "record {seq} was written with the key {made_with}, but the ledger is under {in_force} there and nothing handed it over"
    )]
    KeyOutOfTurn {
        /// The record.
        seq: u64,
        /// The key whose MAC it bears.
        made_with: KeyId,
        /// The key that should have been used.
        in_force: KeyId,
    },
    /// A hand-over record whose seal does not hold.
    #[error("the hand-over to a new key in record {seq} is not sealed by that key")]
    HandOver {
        /// The record.
        seq: u64,
    },
    /// Records are missing in the middle or at the beginning.
    #[error("{}", if .first == .last { format!("record {first} is missing") } else { format!("records {first} to {last} are missing") })]
    Missing {
        /// The first missing record.
        first: u64,
        /// The last missing record.
        last: u64,
    },
    /// A genuine record stands too early; the one that belongs there comes later.
    #[error(
        "records are out of order: record {found} stands where record {expected} belongs (line {line})"
    )]
    Reordered {
        /// The record that belongs there.
        expected: u64,
        /// The record that stands there.
        found: u64,
        /// The line.
        line: u64,
    },
    /// A genuine record stands there a second time.
    #[error("record {seq} appears twice: again in line {line}")]
    Duplicated {
        /// The record.
        seq: u64,
        /// The line of the copy.
        line: u64,
    },
    /// A line that is not of the ledger stands before a genuine record.
    #[error("line {line} was inserted before record {seq}: it is not of this ledger")]
    Inserted {
        /// The genuine record that follows.
        seq: u64,
        /// The inserted line.
        line: u64,
    },
    /// A record of the ledger's key that continues another history.
    #[error(
        "record {seq} (line {line}) is genuine but continues another history: two histories of this ledger, or two ledgers of one key, were spliced"
    )]
    Spliced {
        /// The record.
        seq: u64,
        /// The line.
        line: u64,
    },
    /// The first record is not the beginning of a ledger.
    #[error("the ledger does not begin properly: {why}")]
    Genesis {
        /// What is wrong.
        why: String,
    },
    /// The last line stops short.
    #[error("the ledger is cut off in the middle of record {seq}: its line has no end")]
    CutMidRecord {
        /// The record that is incomplete.
        seq: u64,
    },
    /// The chain holds as far as it goes, but it went further once.
    #[error("the tail was cut: the ledger ends with record {last}, but {} vouches for record {known}", if *.by_checkpoint { "a signed checkpoint" } else { "the stored head" })]
    TailCut {
        /// The last record there is; 0 when the ledger is empty.
        last: u64,
        /// The last record known to have been written.
        known: u64,
        /// Whether a checkpoint says so, or the store's own head.
        by_checkpoint: bool,
    },
    /// The chain holds, but a checkpoint knows another MAC: somebody with the key rewrote history.
    #[error(
        "history was rewritten at or before record {seq}: the chain holds, but a signed checkpoint knows another MAC for it"
    )]
    Rewritten {
        /// The record of the checkpoint.
        seq: u64,
    },
    /// The stored head is not the end of the chain.
    #[error(
        "the stored head of the ledger is not its last record, {seq}: the head was changed, or records were added behind its back"
    )]
    Head {
        /// The last record of the chain.
        seq: u64,
    },
    /// No record at all.
    #[error("the ledger is empty: every ledger has at least its first record")]
    Empty,
    /// The checkpoints belong to another ledger.
    #[error("the checkpoints are of ledger {checkpoints}, this is ledger {ledger}")]
    OtherLedger {
        /// The ledger verified.
        ledger: LedgerId,
        /// The ledger the checkpoints are of.
        checkpoints: LedgerId,
    },
    /// The checkpoint file itself does not hold.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Tampering {
    /// The record the finding is about, where it is about one.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::NotJson { seq, .. }
            | Self::NotARecord { seq, .. }
            | Self::Altered { seq, .. }
            | Self::WrongKey { seq, .. }
            | Self::KeyOutOfTurn { seq, .. }
            | Self::HandOver { seq }
            | Self::Missing { first: seq, .. }
            | Self::Reordered { expected: seq, .. }
            | Self::Duplicated { seq, .. }
            | Self::Inserted { seq, .. }
            | Self::Spliced { seq, .. }
            | Self::CutMidRecord { seq }
            | Self::Head { seq }
            | Self::Rewritten { seq } => Some(*seq),
            Self::TailCut { last, .. } => Some(last + 1),
            Self::Genesis { .. } => Some(1),
            Self::Empty | Self::OtherLedger { .. } | Self::Checkpoint(_) => None,
        }
    }

    /// A stable word for the kind, for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not-json",
            Self::NotARecord { .. } => "not-a-record",
            Self::Altered { .. } => "altered",
            Self::WrongKey { .. } => "wrong-key",
            Self::KeyOutOfTurn { .. } => "key-out-of-turn",
            Self::HandOver { .. } => "hand-over",
            Self::Missing { .. } => "missing",
            Self::Reordered { .. } => "reordered",
            Self::Duplicated { .. } => "duplicated",
            Self::Inserted { .. } => "inserted",
            Self::Spliced { .. } => "spliced",
            Self::Genesis { .. } => "genesis",
            Self::CutMidRecord { .. } => "cut-mid-record",
            Self::TailCut { .. } => "tail-cut",
            Self::Rewritten { .. } => "rewritten",
            Self::Head { .. } => "head",
            Self::Empty => "empty",
            Self::OtherLedger { .. } => "other-ledger",
            Self::Checkpoint(_) => "checkpoint",
        }
    }
}
