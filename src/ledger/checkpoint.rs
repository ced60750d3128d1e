//! Signed checkpoints: "record N of this ledger had this MAC", under an Ed25519 key, kept off the box. A chain cannot tell that its
//! tail was cut or that it was begun anew; a checkpoint can. The public key inside a checkpoint is a hint, never trusted by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{KeyError, generate_secret, lower_hex, read_secret};
use super::record::{Head, LedgerId, Mac, Millis, canonical};

/// The name of the format; signed with the rest, so that a signature over anything else is no checkpoint.
const FORMAT: &str = "bailiwick-checkpoint/1";

/// Why checkpoints do not hold, or could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a checkpoint line.
    #[error("line {line} of the checkpoints is not a checkpoint: {why}")]
    NotACheckpoint {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The signature is not that of the content.
    #[error(
        "the signature of the checkpoint for record {seq} (line {line}) is bad: it was altered or forged"
    )]
    Signature {
        /// The line, from 1.
        line: u64,
        /// The record it claims to vouch for.
        seq: u64,
    },
    /// Signed by a key nobody said to trust.
    #[error(
        "the checkpoint for record {seq} (line {line}) is signed by {signer}, which is not among the trusted checkpoint keys"
    )]
    Untrusted {
        /// The line, from 1.
        line: u64,
        /// The record it claims to vouch for.
        seq: u64,
        /// The key that signed it.
        signer: String,
    },
    /// Two ledgers in one file.
    #[error("line {line} of the checkpoints is of another ledger ({ledger}) than the lines before")]
    Mixed {
        /// The line, from 1.
        line: u64,
        /// The ledger it names.
        ledger: LedgerId,
    },
    /// Two trusted checkpoints contradict each other.
    #[error(
        "two checkpoints give record {seq} different MACs (the second in line {line}): the ledger had two histories"
    )]
    Contradiction {
        /// The line of the second, from 1.
        line: u64,
        /// The record.
        seq: u64,
    },
    /// The file could not be read or written.
    #[error("cannot {doing} the checkpoint file {path}: {why}")]
    File {
        /// `read` or `append to`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Could not be written as canonical JSON.
    #[error("the checkpoint cannot be written as canonical JSON: {0}")]
    Canonical(String),
}

/// The public half of a checkpoint key, 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckpointPublicKey(VerifyingKey);

impl fmt::Display for CheckpointPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for CheckpointPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointPublicKey({self})")
    }
}

impl FromStr for CheckpointPublicKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        lower_hex::<32>(text.trim())
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "`{text}` is not an Ed25519 public key: 64 lower-case hexadecimal digits are"
                )
            })
    }
}

/// The secret half: signs checkpoints. It cannot be printed.
pub struct CheckpointKey(SigningKey);

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointKey({})", self.public())
    }
}

impl CheckpointKey {
    /// A key from its 32-byte seed.
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file (64 hexadecimal digits: the seed), refused when others can use it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*read_secret(path)?))
    }

    /// Makes a new random key in a new file of mode 0600.
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*generate_secret(path)?))
    }

    /// The public half, to be kept by whoever verifies.
    pub fn public(&self) -> CheckpointPublicKey {
        CheckpointPublicKey(self.0.verifying_key())
    }

    /// Signs a head at a time the caller gives.
    pub fn sign(&self, head: &Head, at: Timestamp) -> Result<Checkpoint, CheckpointError> {
        let mut wire = Wire {
            at: Millis::new(at),
            format: FORMAT.to_owned(),
            key: self.public().to_string(),
            ledger: head.ledger,
            mac: head.mac,
            seq: head.seq,
            signature: None,
        };
        let signature = self.0.sign(text(&wire)?.as_bytes());
        wire.signature = Some(hex::encode(signature.to_bytes()));
        Ok(Checkpoint {
            ledger: wire.ledger,
            seq: wire.seq,
            mac: wire.mac,
            at: wire.at.0,
            line: text(&wire)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    at: Millis,
    format: String,
    key: String,
    ledger: LedgerId,
    mac: Mac,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

fn text(wire: &Wire) -> Result<String, CheckpointError> {
    canonical(wire).map_err(|error| CheckpointError::Canonical(error.to_string()))
}

/// One signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Which record.
    pub seq: u64,
    /// That record's MAC.
    pub mac: Mac,
    /// When it was signed.
    pub at: Timestamp,
    line: String,
}

impl Checkpoint {
    /// The checkpoint as a line of JSON, without the newline.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Appends the checkpoint to a file, made with mode 0644 when it is not there, and waits until it is on the disk.
    pub fn append_to(&self, path: &Path) -> Result<(), CheckpointError> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)
            .map_err(|error| file_error("append to", path, &error))?;
        // One write: two processes that append at once do not interleave.
        file.write_all(format!("{}\n", self.line).as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| file_error("append to", path, &error))
    }

    fn parse(
        line: &str,
        number: u64,
        trusted: &[CheckpointPublicKey],
    ) -> Result<Self, CheckpointError> {
        let not = |why: String| CheckpointError::NotACheckpoint { line: number, why };
        let mut wire: Wire = serde_json::from_str(line).map_err(|error| not(error.to_string()))?;
        if wire.format != FORMAT {
            return Err(not(format!(
                "its format is `{}`, not `{FORMAT}`",
                wire.format
            )));
        }
        if text(&wire)? != line {
            return Err(not("it is not in canonical form".to_owned()));
        }
        let seq = wire.seq;
        let Some(signer) = trusted.iter().find(|key| key.to_string() == wire.key) else {
            return Err(CheckpointError::Untrusted {
                line: number,
                seq,
                signer: wire.key,
            });
        };
        let signature = wire
            .signature
            .take()
            .and_then(|signature| lower_hex::<64>(&signature))
            .ok_or_else(|| not("its signature is not 128 hexadecimal digits".to_owned()))?;
        signer
            .0
            .verify_strict(text(&wire)?.as_bytes(), &Signature::from_bytes(&signature))
            .map_err(|_| CheckpointError::Signature { line: number, seq })?;
        Ok(Self {
            ledger: wire.ledger,
            seq,
            mac: wire.mac,
            at: wire.at.0,
            line: line.to_owned(),
        })
    }
}

fn file_error(doing: &'static str, path: &Path, error: &io::Error) -> CheckpointError {
    CheckpointError::File {
        doing,
        path: path.to_owned(),
        why: error.to_string(),
    }
}

/// Checkpoints whose signatures were checked, by record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    ledger: Option<LedgerId>,
    by_seq: BTreeMap<u64, Mac>,
}

impl Checkpoints {
    /// No checkpoints: a cut tail cannot be seen.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a checkpoint file; every line must be signed by one of the trusted keys.
    pub fn read_file(
        path: &Path,
        trusted: &[CheckpointPublicKey],
    ) -> Result<Self, CheckpointError> {
        let file = std::fs::File::open(path).map_err(|error| file_error("read", path, &error))?;
        let lines = io::BufReader::new(file).lines();
        let mut all = Self::none();
        for (number, line) in (1..).zip(lines) {
            let line = line.map_err(|error| file_error("read", path, &error))?;
            all.add(&line, number, trusted)?;
        }
        Ok(all)
    }

    /// Reads checkpoint lines; every one must be signed by one of the trusted keys.
    pub fn read<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        trusted: &[CheckpointPublicKey],
    ) -> Result<Self, CheckpointError> {
        let mut all = Self::none();
        for (number, line) in (1..).zip(lines) {
            all.add(line, number, trusted)?;
        }
        Ok(all)
    }

    fn add(
        &mut self,
        line: &str,
        number: u64,
        trusted: &[CheckpointPublicKey],
    ) -> Result<(), CheckpointError> {
        let checkpoint = Checkpoint::parse(line, number, trusted)?;
        if self
            .ledger
            .is_some_and(|ledger| ledger != checkpoint.ledger)
        {
            return Err(CheckpointError::Mixed {
                line: number,
                ledger: checkpoint.ledger,
            });
        }
        self.ledger = Some(checkpoint.ledger);
        match self.by_seq.insert(checkpoint.seq, checkpoint.mac) {
            Some(before) if before != checkpoint.mac => Err(CheckpointError::Contradiction {
                line: number,
                seq: checkpoint.seq,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The ledger they are of.
    pub fn ledger(&self) -> Option<LedgerId> {
        self.ledger
    }

    /// The MAC a checkpoint gives a record.
    pub fn mac_of(&self, seq: u64) -> Option<Mac> {
        self.by_seq.get(&seq).copied()
    }

    /// The last record a checkpoint vouches for.
    pub fn last(&self) -> Option<u64> {
        self.by_seq.keys().next_back().copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::ledger::{Key, genesis};

    fn head() -> Head {
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        let key = Key::from_bytes(&[1; 32]);
        genesis(LedgerId::from_bytes([2; 16]), &key, at, "system")
            .unwrap()
            .1
    }

    #[test]
    fn a_checkpoint_reads_back_and_every_flipped_byte_is_seen() {
        let key = CheckpointKey::from_bytes(&[9; 32]);
        let at = "2026-03-01T13:00:00Z".parse().unwrap();
        let checkpoint = key.sign(&head(), at).unwrap();
        insta::assert_snapshot!(checkpoint.line());
        let trusted = [key.public()];
        let read = Checkpoints::read([checkpoint.line()], &trusted).unwrap();
        assert_eq!(read.mac_of(1), Some(head().mac));
        for index in 0..checkpoint.line().len() {
            let mut bytes = checkpoint.line().as_bytes().to_vec();
            bytes[index] ^= 1;
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                Checkpoints::read([text.as_str()], &trusted).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn strangers_mixtures_and_contradictions_are_refused() {
        let at = "2026-03-01T13:00:00Z".parse().unwrap();
        let key = CheckpointKey::from_bytes(&[9; 32]);
        let stranger = CheckpointKey::from_bytes(&[8; 32]);
        let forged = stranger.sign(&head(), at).unwrap();
        assert!(matches!(
            Checkpoints::read([forged.line()], &[key.public()]),
            Err(CheckpointError::Untrusted { seq: 1, .. })
        ));
        let good = key.sign(&head(), at).unwrap();
        let mut other = head();
        other.mac = Mac::ZERO;
        let contradicting = key.sign(&other, at).unwrap();
        assert!(matches!(
            Checkpoints::read([good.line(), contradicting.line()], &[key.public()]),
            Err(CheckpointError::Contradiction { line: 2, seq: 1 })
        ));
        other.ledger = LedgerId::from_bytes([3; 16]);
        let mixed = key.sign(&other, at).unwrap();
        assert!(matches!(
            Checkpoints::read([good.line(), mixed.line()], &[key.public()]),
            Err(CheckpointError::Mixed { line: 2, .. })
        ));
    }
}
