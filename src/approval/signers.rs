//! The allowed-signers file: which keys stand for which people. The format is OpenSSH's (`ssh-keygen(1)`, ALLOWED SIGNERS), read
//! more strictly, because here a line decides who a person *is*:
//!
//! * A line names one person: the first of its plain names. Its other plain names are aliases of the same person. Names with `*`,
//!   `?` or `!` are patterns; they name nobody, so a line with nothing else cannot approve.
//! * One key is one person and one name is one person; a file that says otherwise is refused, since one human being could then
//!   count as two.
//! * `cert-authority` is not supported: who an authority will vouch for tomorrow stands in no file.
//! * Times need their `Z`: without it they would depend on the time zone of whichever machine reads them.

mod line;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ssh_key::HashAlg;
use ssh_key::public::KeyData;

use super::principal::Principal;
use super::signature::NAMESPACE;

/// The greatest size of an allowed-signers file, in bytes.
const MAXIMUM_LENGTH: u64 = 4 * 1024 * 1024;

/// A line of an allowed-signers file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SignerMistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// An allowed-signers file that cannot be used, or a key that stands for nobody.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read.
    #[error("the allowed-signers file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anybody could make himself an approver.
    #[error(
        "the allowed-signers file {} can be written by others (mode {mode:03o}), who could make themselves approvers: `chmod go-w {}`",
        path.display(), path.display()
    )]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Lines that cannot be used, all of them.
    #[error("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes {
        /// The mistakes, in the order of their lines.
        mistakes: Vec<SignerMistake>,
    },
    /// The key stands in no line.
    #[error(
        "the key {fingerprint} is not among the allowed signers: its owner cannot approve until an operator adds it"
    )]
    UnknownKey {
        /// The key's fingerprint.
        fingerprint: String,
    },
    /// The key stands in a line, but not for this namespace, or not at this time.
    #[error("the key {fingerprint} of line {line} may not approve now: {why}")]
    NotNow {
        /// The key's fingerprint.
        fingerprint: String,
        /// The line.
        line: usize,
        /// Why.
        why: String,
    },
    /// The key's line has only patterns.
    #[error(
        "line {line} has only patterns for the key {fingerprint}, so it names nobody: write the person's own name first, such as `alice,{patterns}`"
    )]
    NamesNobody {
        /// The key's fingerprint.
        fingerprint: String,
        /// The line.
        line: usize,
        /// The patterns.
        patterns: String,
    },
}

/// One line: a key, whom it stands for, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    line: usize,
    principals: String,
    person: Option<Principal>,
    key: KeyData,
    namespaces: Option<String>,
    valid_after: Option<Timestamp>,
    valid_before: Option<Timestamp>,
}

/// The keys that stand for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
}

/// Reads an allowed-signers file; one that others may write is refused.
pub fn load_allowed_signers(path: &Path) -> Result<AllowedSigners, SignerError> {
    use std::io::Read;
    let unreadable = |source| SignerError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(SignerError::WritableByOthers {
                path: path.to_owned(),
                mode,
            });
        }
    }
    let mut text = String::new();
    file.take(MAXIMUM_LENGTH)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    AllowedSigners::parse(&text)
}

impl AllowedSigners {
    /// Parses the text of an allowed-signers file; every mistake is reported at once.
    pub fn parse(text: &str) -> Result<Self, SignerError> {
        let mut mistakes = Vec::new();
        let mut signers = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let number = index + 1;
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            match line::parse_line(number, trimmed) {
                Ok(parsed) => signers.push(parsed),
                Err(message) => mistakes.push(SignerMistake {
                    line: number,
                    message,
                }),
            }
        }
        mistakes.extend(ambiguities(&signers));
        mistakes.sort_by_key(|mistake| mistake.line);
        if mistakes.is_empty() {
            Ok(Self {
                signers: signers.into_iter().map(|(signer, _)| signer).collect(),
            })
        } else {
            Err(SignerError::Mistakes { mistakes })
        }
    }

    /// The person a key stands for at a time, in Bailiwick's namespace.
    pub fn person_of(&self, key: &KeyData, at: Timestamp) -> Result<Principal, SignerError> {
        self.person_in(NAMESPACE, key, at)
    }

    /// The person a key stands for at a time, in a namespace (`git` for commits).
    pub fn person_in(
        &self,
        namespace: &str,
        key: &KeyData,
        at: Timestamp,
    ) -> Result<Principal, SignerError> {
        let fingerprint = || key.fingerprint(HashAlg::Sha256).to_string();
        let mut refusal = None;
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            match (signer.refusal(namespace, at), &signer.person) {
                (None, Some(person)) => return Ok(person.clone()),
                (None, None) => {
                    refusal = Some(SignerError::NamesNobody {
                        fingerprint: fingerprint(),
                        line: signer.line,
                        patterns: signer.principals.clone(),
                    });
                }
                (Some(why), _) => {
                    refusal.get_or_insert(SignerError::NotNow {
                        fingerprint: fingerprint(),
                        line: signer.line,
                        why,
                    });
                }
            }
        }
        Err(refusal.unwrap_or_else(|| SignerError::UnknownKey {
            fingerprint: fingerprint(),
        }))
    }

    /// The person with the key of this fingerprint (`SHA256:…`), at a time.
    pub fn person_of_fingerprint(
        &self,
        print: &str,
        at: Timestamp,
    ) -> Result<Principal, SignerError> {
        match self
            .signers
            .iter()
            .find(|signer| signer.key.fingerprint(HashAlg::Sha256).to_string() == print)
        {
            Some(signer) => self.person_of(&signer.key, at),
            None => Err(SignerError::UnknownKey {
                fingerprint: print.to_owned(),
            }),
        }
    }

    /// Everybody some key stands for, at whatever time, sorted.
    pub fn people(&self) -> std::collections::BTreeSet<&Principal> {
        self.signers
            .iter()
            .filter_map(|signer| signer.person.as_ref())
            .collect()
    }
}

impl Signer {
    /// Why the line does not count in this namespace at this time, if it does not.
    fn refusal(&self, namespace: &str, at: Timestamp) -> Option<String> {
        if let Some(namespaces) = &self.namespaces
            && !line::matches_list(namespaces, namespace)
        {
            return Some(format!(
                "its line allows namespaces=\"{namespaces}\", which does not contain `{namespace}`"
            ));
        }
        if let Some(after) = self.valid_after
            && at < after
        {
            return Some(format!("it is valid only after {after}"));
        }
        if let Some(before) = self.valid_before
            && at > before
        {
            return Some(format!("it was valid only before {before}"));
        }
        None
    }
}

/// One name or one key that is two people. A name counts as the person's whose line it stands in.
fn ambiguities(signers: &[(Signer, Vec<Principal>)]) -> Vec<SignerMistake> {
    let mut names: BTreeMap<Principal, (Principal, usize)> = BTreeMap::new();
    let mut keys: BTreeMap<String, (Option<Principal>, usize)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (signer, aliases) in signers {
        let line = signer.line;
        if let Some(person) = &signer.person {
            for alias in aliases {
                let (other, first) = names
                    .entry(alias.clone())
                    .or_insert_with(|| (person.clone(), line));
                if other != person {
                    mistakes.push(SignerMistake {
                        line,
                        message: format!(
                            "`{}` is {} here and {} in line {first}: a name must be one person; begin both lines with the same name, or drop it from one",
                            alias.name(), person.name(), other.name()
                        ),
                    });
                }
            }
        }
        let print = signer.key.fingerprint(HashAlg::Sha256).to_string();
        let (other, first) = keys
            .entry(print)
            .or_insert_with(|| (signer.person.clone(), line));
        if let (Some(person), Some(other)) = (&signer.person, &*other)
            && other != person
        {
            mistakes.push(SignerMistake {
                line,
                message: format!(
                    "the key is {}'s here and {}'s in line {first}: a key must be one person's; give each their own key",
                    person.name(), other.name()
                ),
            });
        }
        if other.is_none() {
            *other = signer.person.clone();
        }
    }
    mistakes
}

#[cfg(test)]
mod tests;
