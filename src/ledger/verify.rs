//! Verifying a ledger, one line at a time, in constant memory. While the chain holds every record costs one MAC; when it breaks, the
//! rest of the stream is read for evidence (does the record that belongs here come later? does anything after this still bear the
//! ledger's MAC?) and the finding says what was done, not only that something was.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::checkpoint::Checkpoints;
use super::key::{Key, KeyId, Keys};
use super::record::{FORMAT, Head, LedgerId, MAX_LINE, Mac, seal};
use super::tampering::Tampering;

/// A verification that did not come to "it holds".
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The ledger does not hold.
    #[error(transparent)]
    Tampered(#[from] Tampering),
    /// The ledger could not be read to its end, so nothing is known.
    #[error("the ledger could not be read: {0}")]
    Read(#[from] io::Error),
}

/// A ledger that holds, from its first record to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The end of the chain.
    pub head: Head,
    /// How many records there are.
    pub records: u64,
    /// How many times the key was handed over.
    pub rotations: u64,
    /// The last record a checkpoint vouched for. Beyond it a cut tail cannot be seen from outside.
    pub vouched: Option<u64>,
}

/// What verifying needs of a record. The rest is covered by the MAC over the bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(rename = "actor")]
    _actor: IgnoredAny,
    #[serde(rename = "at")]
    _at: IgnoredAny,
    #[serde(rename = "detail")]
    _detail: IgnoredAny,
    mac: &'a str,
    #[serde(rename = "plan")]
    _plan: IgnoredAny,
    prev: &'a str,
    seq: u64,
    #[serde(rename = "subject")]
    _subject: IgnoredAny,
}

/// The details of the two records that say which key is in force.
#[derive(Deserialize)]
struct KeyWords {
    detail: KeyDetail,
}

#[derive(Deserialize)]
struct KeyDetail {
    format: Option<String>,
    key: Option<KeyId>,
    ledger: Option<LedgerId>,
    to: Option<KeyId>,
    seal: Option<Mac>,
}

/// Where the chain broke and what is known about it so far.
struct Suspicion {
    line: u64,
    what: Suspect,
    /// The record that belongs there was found further on.
    belongs_later: bool,
    /// Something further on bears a MAC of a key given.
    genuine_later: bool,
    /// Lines read since.
    lines_after: u64,
}

enum Suspect {
    NotJson(String),
    NotARecord(String),
    Unsigned { needs: Option<KeyId> },
    Ahead { seq: u64, mac: Mac, again: bool },
}

/// Verifies a ledger line by line.
pub struct Verifier<'k> {
    keys: &'k Keys,
    checkpoints: &'k Checkpoints,
    in_force: Option<&'k Key>,
    ledger: Option<LedgerId>,
    expected: u64,
    prev: Mac,
    line: u64,
    rotations: u64,
    suspicion: Option<Suspicion>,
    finding: Option<Tampering>,
}

impl<'k> Verifier<'k> {
    /// A verifier that knows these keys (all the ledger was ever under) and these checkpoints.
    pub fn new(keys: &'k Keys, checkpoints: &'k Checkpoints) -> Self {
        Self {
            keys,
            checkpoints,
            in_force: None,
            ledger: None,
            expected: 1,
            prev: Mac::ZERO,
            line: 0,
            rotations: 0,
            suspicion: None,
            finding: None,
        }
    }

    /// Takes the next line, without its newline. `Break` means that the finding is certain and the rest need not be read.
    pub fn push(&mut self, line: &[u8]) -> ControlFlow<()> {
        if self.finding.is_some() {
            return ControlFlow::Break(());
        }
        self.line += 1;
        if self.suspicion.is_some() {
            self.gather(line);
        } else if let Err(finding) = self.follow(line) {
            self.finding = Some(finding);
        }
        match self.finding {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// Says that what follows the last line has no newline: the ledger stops in the middle of a record.
    pub fn cut(&mut self) {
        if self.finding.is_none() && self.suspicion.is_none() {
            self.finding = Some(Tampering::CutMidRecord { seq: self.expected });
        }
    }

    /// The verdict, once every line was taken.
    pub fn finish(self) -> Result<Verified, Tampering> {
        if let Some(finding) = self.finding {
            return Err(finding);
        }
        if let Some(suspicion) = self.suspicion {
            return Err(judge(suspicion, self.expected));
        }
        let last = self.expected - 1;
        if let Some(known) = self.checkpoints.last().filter(|known| *known > last) {
            return Err(Tampering::TailCut {
                last,
                known,
                by_checkpoint: true,
            });
        }
        let (Some(key), Some(ledger)) = (self.in_force, self.ledger) else {
            return Err(Tampering::Empty);
        };
        Ok(Verified {
            head: Head {
                ledger,
                seq: last,
                mac: self.prev,
                key: key.id(),
            },
            records: last,
            rotations: self.rotations,
            vouched: self.checkpoints.last(),
        })
    }

    /// The chain held so far: does this line continue it?
    fn follow(&mut self, line: &[u8]) -> Result<(), Tampering> {
        let seen: Seen<'_> = match serde_json::from_slice(line) {
            Ok(seen) => seen,
            Err(error) => {
                let why = reason(&error);
                self.suspect(match error.classify() {
                    Category::Data => Suspect::NotARecord(why),
                    Category::Syntax | Category::Eof | Category::Io => Suspect::NotJson(why),
                });
                return Ok(());
            }
        };
        let signer = self.signer(line, &seen);
        let Some((key, mac)) = signer else {
            self.suspect(Suspect::Unsigned {
                needs: self.unknown_key(line),
            });
            return Ok(());
        };
        if seen.seq > self.expected {
            self.suspect(Suspect::Ahead {
                seq: seen.seq,
                mac,
                again: false,
            });
            return Ok(());
        }
        if seen.seq < self.expected {
            return Err(if seen.seq + 1 == self.expected && mac != self.prev {
                Tampering::Spliced {
                    seq: seen.seq,
                    line: self.line,
                }
            } else {
                Tampering::Duplicated {
                    seq: seen.seq,
                    line: self.line,
                }
            });
        }
        self.accept(line, &seen, key, mac)
    }

    /// The record bears a key's MAC and has the right number: take it as the next one.
    fn accept(
        &mut self,
        line: &[u8],
        seen: &Seen<'_>,
        key: &'k Key,
        mac: Mac,
    ) -> Result<(), Tampering> {
        if self.expected == 1 {
            self.begin(line, seen, key)?;
        }
        if seen.prev.parse() != Ok(self.prev) {
            return Err(Tampering::Spliced {
                seq: seen.seq,
                line: self.line,
            });
        }
        if let Some(in_force) = self.in_force.filter(|other| other.id() != key.id()) {
            return Err(Tampering::KeyOutOfTurn {
                seq: seen.seq,
                made_with: key.id(),
                in_force: in_force.id(),
            });
        }
        if self
            .checkpoints
            .mac_of(seen.seq)
            .is_some_and(|known| known != mac)
        {
            return Err(Tampering::Rewritten { seq: seen.seq });
        }
        if seen.action == "key-rotated" {
            self.hand_over(line, seen.seq, key)?;
        }
        self.prev = mac;
        self.expected += 1;
        Ok(())
    }

    /// The first record: it must say which ledger this is, in which format, under which key.
    fn begin(&mut self, line: &[u8], seen: &Seen<'_>, key: &'k Key) -> Result<(), Tampering> {
        let wrong = |why: &str| Tampering::Genesis {
            why: why.to_owned(),
        };
        if seen.action != "ledger-created" {
            return Err(wrong("record 1 is not `ledger-created`"));
        }
        if seen.prev.parse() != Ok(Mac::ZERO) {
            return Err(wrong("`prev` of record 1 is not zeros"));
        }
        let words = key_words(line).ok_or_else(|| wrong("record 1 names no ledger"))?;
        if words.format.as_deref() != Some(FORMAT) {
            return Err(wrong(
                "record 1 is of another format than bailiwick-ledger/1",
            ));
        }
        if words.key != Some(key.id()) {
            return Err(wrong(
                "record 1 names another key than the one it was made with",
            ));
        }
        let ledger = words
            .ledger
            .ok_or_else(|| wrong("record 1 names no ledger"))?;
        if let Some(checkpoints) = self.checkpoints.ledger().filter(|other| *other != ledger) {
            return Err(Tampering::OtherLedger {
                ledger,
                checkpoints,
            });
        }
        self.ledger = Some(ledger);
        self.in_force = Some(key);
        Ok(())
    }

    /// A hand-over: from the next record on the new key is in force, if it sealed this.
    fn hand_over(&mut self, line: &[u8], seq: u64, old: &Key) -> Result<(), Tampering> {
        let broken = || Tampering::HandOver { seq };
        let words = key_words(line).ok_or_else(broken)?;
        let to = words.to.ok_or_else(broken)?;
        let new = self.keys.get(&to).ok_or(Tampering::WrongKey {
            seq: seq + 1,
            needs: Some(to),
        })?;
        let before = Head {
            ledger: self.ledger.ok_or_else(broken)?,
            seq: seq - 1,
            mac: self.prev,
            key: old.id(),
        };
        let sealed = seal(&before, seq, old.id(), new).map_err(|_| broken())?;
        if words.seal != Some(sealed) {
            return Err(broken());
        }
        self.in_force = Some(new);
        self.rotations += 1;
        Ok(())
    }

    /// The key whose MAC the line bears: the one in force first, then any other given.
    fn signer(&self, line: &[u8], seen: &Seen<'_>) -> Option<(&'k Key, Mac)> {
        let mac: Mac = seen.mac.parse().ok()?;
        let (before, after) = without_mac(line, seen.mac)?;
        let bears = |key: &&'k Key| key.bears([before, after], &mac);
        self.in_force
            .filter(bears)
            .or_else(|| self.keys.iter().find(bears))
            .map(|key| (key, mac))
    }

    /// For a first record that bears no MAC of a key given: the key it says it needs, if that one was not given.
    fn unknown_key(&self, line: &[u8]) -> Option<KeyId> {
        if self.expected != 1 {
            return None;
        }
        key_words(line)?
            .key
            .filter(|key| self.keys.get(key).is_none())
    }

    fn suspect(&mut self, what: Suspect) {
        self.suspicion = Some(Suspicion {
            line: self.line,
            what,
            belongs_later: false,
            genuine_later: false,
            lines_after: 0,
        });
    }

    /// The chain broke before: what does this later line say about how?
    fn gather(&mut self, line: &[u8]) {
        let evidence = serde_json::from_slice::<Seen<'_>>(line)
            .ok()
            .and_then(|seen| {
                let (_, mac) = self.signer(line, &seen)?;
                let belongs = seen.seq == self.expected && seen.prev.parse() == Ok(self.prev);
                Some((mac, belongs))
            });
        let Some(suspicion) = &mut self.suspicion else {
            return;
        };
        suspicion.lines_after += 1;
        let Some((found, belongs)) = evidence else {
            return;
        };
        suspicion.genuine_later = true;
        suspicion.belongs_later |= belongs;
        if let Suspect::Ahead { mac, again, .. } = &mut suspicion.what {
            *again |= *mac == found;
        }
    }
}

fn judge(suspicion: Suspicion, expected: u64) -> Tampering {
    let Suspicion {
        line,
        what,
        belongs_later,
        genuine_later,
        lines_after,
    } = suspicion;
    match what {
        Suspect::Ahead { seq, again, .. } => match (belongs_later, again) {
            (true, true) => Tampering::Duplicated { seq, line },
            (true, false) => Tampering::Reordered {
                expected,
                found: seq,
                line,
            },
            (false, _) => Tampering::Missing {
                first: expected,
                last: seq - 1,
            },
        },
        Suspect::NotJson(_) | Suspect::NotARecord(_) | Suspect::Unsigned { .. }
            if belongs_later =>
        {
            Tampering::Inserted {
                seq: expected,
                line,
            }
        }
        Suspect::NotJson(why) => Tampering::NotJson {
            seq: expected,
            line,
            why,
        },
        Suspect::NotARecord(why) => Tampering::NotARecord {
            seq: expected,
            line,
            why,
        },
        Suspect::Unsigned { needs } => {
            if genuine_later || (needs.is_none() && lines_after == 0) {
                Tampering::Altered {
                    seq: expected,
                    line,
                }
            } else {
                Tampering::WrongKey {
                    seq: expected,
                    needs,
                }
            }
        }
    }
}

/// The line without its member `"mac":"…",`, in two parts. `mac` is the very slice of the line that was read as the record's own,
/// so a member of that name within `detail` cannot be mistaken for it.
fn without_mac<'a>(line: &'a [u8], mac: &str) -> Option<(&'a [u8], &'a [u8])> {
    const NAME: &[u8] = b"\"mac\":\"";
    let value = mac.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
    let (before, rest) = line.split_at_checked(value.checked_sub(NAME.len())?)?;
    let after = rest
        .strip_prefix(NAME)?
        .strip_prefix(mac.as_bytes())?
        .strip_prefix(b"\",")?;
    Some((before, after))
}

/// The reader's words without its own line number, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.split_once(" at line 1 column ") {
        Some((why, column)) => format!("{why}, column {column}"),
        None => said,
    }
}

fn key_words(line: &[u8]) -> Option<KeyDetail> {
    serde_json::from_slice::<KeyWords>(line)
        .ok()
        .map(|words| words.detail)
}

/// Verifies lines without their newlines.
pub fn verify<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    keys: &Keys,
    checkpoints: &Checkpoints,
) -> Result<Verified, Tampering> {
    let mut verifier = Verifier::new(keys, checkpoints);
    for line in lines {
        if verifier.push(line).is_break() {
            break;
        }
    }
    verifier.finish()
}

/// Verifies an exported ledger: JSON Lines, every line ended by one `\n`. Memory is bounded by the longest line the format allows.
pub fn verify_reader(
    mut reader: impl BufRead,
    keys: &Keys,
    checkpoints: &Checkpoints,
) -> Result<Verified, VerifyError> {
    let mut verifier = Verifier::new(keys, checkpoints);
    let mut line = Vec::with_capacity(4096);
    loop {
        line.clear();
        let limit = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
        reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        let Some((last, content)) = line.split_last() else {
            break;
        };
        let flow = if *last == b'\n' {
            verifier.push(content)
        } else if line.len() > MAX_LINE {
            // Too long for a record: its pieces are not JSON, which is what the finding says.
            verifier.push(&line)
        } else {
            verifier.cut();
            ControlFlow::Break(())
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(verifier.finish()?)
}
