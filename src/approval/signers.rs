//! The allowed-signers file: which keys stand for which people. The format is OpenSSH's (`ssh-keygen(1)`, ALLOWED SIGNERS), read
//! more strictly, because here a line decides who a person *is*:
//!
//! * A line names one person: the first of its plain names. Its other plain names are aliases of the same person. Names with `*`,
//!   `?` or `!` are patterns; they name nobody, so a line with nothing else cannot approve.
//! * One key is one person and one name is one person; a file that says otherwise is refused, since one human being could then
//!   count as two.
//! * `cert-authority` is not supported: who an authority will vouch for tomorrow stands in no file.
//! * Times need their `Z`: without it they would depend on the time zone of whichever machine reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

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
            let line = index + 1;
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            match parse_line(line, trimmed) {
                Ok(parsed) => signers.push(parsed),
                Err(message) => mistakes.push(SignerMistake { line, message }),
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
        let fingerprint = || key.fingerprint(HashAlg::Sha256).to_string();
        let mut refusal = None;
        for signer in self.signers.iter().filter(|signer| signer.key == *key) {
            match (signer.refusal(at), &signer.person) {
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
    /// Why the line does not count at this time, if it does not.
    fn refusal(&self, at: Timestamp) -> Option<String> {
        if let Some(namespaces) = &self.namespaces
            && !matches_list(namespaces, NAMESPACE)
        {
            return Some(format!(
                "its line allows namespaces=\"{namespaces}\", which does not contain `{NAMESPACE}`"
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

/// A line's signer and all its plain names.
fn parse_line(line: usize, text: &str) -> Result<(Signer, Vec<Principal>), String> {
    let (principals, rest) = take_field(text)?;
    if principals.is_empty() {
        return Err("expected the names of a person first, then a public key".to_owned());
    }
    let (options, key_text) = if begins_with_key_type(rest) {
        ("", rest)
    } else {
        take_options(rest)?
    };
    let key = PublicKey::from_openssh(key_text).map_err(|error| {
        format!(
            "expected a public key such as `ssh-ed25519 AAAA…` after {} ({error})",
            if options.is_empty() {
                "the names"
            } else {
                "the options"
            }
        )
    })?;
    let mut names = Vec::new();
    for name in principals.split(',') {
        if name.contains(['*', '?', '!']) {
            continue;
        }
        names.push(Principal::person(name).map_err(|error| error.to_string())?);
    }
    let mut signer = Signer {
        line,
        principals: principals.to_owned(),
        person: names.first().cloned(),
        key: key.key_data().clone(),
        namespaces: None,
        valid_after: None,
        valid_before: None,
    };
    for option in split_options(options)? {
        apply_option(&mut signer, &option)?;
    }
    if let (Some(after), Some(before)) = (signer.valid_after, signer.valid_before)
        && before <= after
    {
        return Err(
            "valid-before is not later than valid-after, so the key is never valid".to_owned(),
        );
    }
    Ok((signer, names))
}

/// The first field, which may stand in double quotes, and what follows it.
fn take_field(text: &str) -> Result<(&str, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (field, rest) = quoted
            .split_once('"')
            .ok_or("the names begin with `\"` and never end: close the quotes")?;
        return Ok((field, rest.trim_start()));
    }
    let (field, rest) = text
        .split_once([' ', '\t'])
        .ok_or("expected a public key after the names")?;
    Ok((field, rest.trim_start()))
}

fn begins_with_key_type(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "rsa-"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}

/// The options up to the first blank outside quotes, and what follows.
fn take_options(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let (options, rest) = text.split_at(index);
                return Ok((options, rest.trim_start()));
            }
            _ => {}
        }
    }
    Err(if quoted {
        "an option's value begins with `\"` and never ends: close the quotes".to_owned()
    } else {
        "expected a public key such as `ssh-ed25519 AAAA…` after the names".to_owned()
    })
}

/// The options, split at commas outside quotes.
fn split_options(options: &str) -> Result<Vec<String>, String> {
    let mut quoted = false;
    let mut all = vec![];
    let mut current = String::new();
    for character in options.chars() {
        match character {
            ',' if !quoted => all.push(std::mem::take(&mut current)),
            '"' => {
                quoted = !quoted;
                current.push('"');
            }
            other => current.push(other),
        }
    }
    all.push(current);
    if options.is_empty() {
        return Ok(vec![]);
    }
    if all.iter().any(String::is_empty) {
        return Err("the options have an empty place between two commas".to_owned());
    }
    Ok(all)
}

fn apply_option(signer: &mut Signer, option: &str) -> Result<(), String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let quoted = || {
        value
            .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
            .ok_or_else(|| {
                format!("option `{name}` needs a value in double quotes, such as {name}=\"…\"")
            })
    };
    let twice = || Err(format!("option `{name}` is given twice"));
    match name.to_ascii_lowercase().as_str() {
        "namespaces" if signer.namespaces.is_some() => return twice(),
        "namespaces" => signer.namespaces = Some(quoted()?.to_owned()),
        "valid-after" if signer.valid_after.is_some() => return twice(),
        "valid-after" => signer.valid_after = Some(parse_time(quoted()?)?),
        "valid-before" if signer.valid_before.is_some() => return twice(),
        "valid-before" => signer.valid_before = Some(parse_time(quoted()?)?),
        "cert-authority" => {
            return Err(
                "`cert-authority` is not supported: list the people's own keys instead".to_owned(),
            );
        }
        _ => {
            return Err(format!(
                "`{name}` is not a known option, expected `namespaces`, `valid-after` or `valid-before`"
            ));
        }
    }
    Ok(())
}

/// `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let expected = || {
        format!(
            "`{text}` is not a time, expected `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`"
        )
    };
    let digits = text.strip_suffix(['Z', 'z']);
    let Some(digits) = digits else {
        return Err(
            if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
                format!(
                    "`{text}` depends on the time zone of the machine that reads it: write `{text}Z` for the time in UTC"
                )
            } else {
                expected()
            },
        );
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected());
    }
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(expected()),
    };
    DateTime::strptime("%Y%m%d%H%M%S", &padded)
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| expected())
}

/// OpenSSH's pattern list: some pattern matches, and no `!pattern` does.
fn matches_list(list: &str, text: &str) -> bool {
    let mut matched = false;
    for pattern in list.split(',').map(str::trim) {
        if let Some(negated) = pattern.strip_prefix('!') {
            if matches(negated, text) {
                return false;
            }
        } else if matches(pattern, text) {
            matched = true;
        }
    }
    matched
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    // One row of the usual table: reachable[i] says whether the pattern so far can end after i characters.
    let characters: Vec<char> = text.chars().collect();
    let mut reachable = vec![false; characters.len() + 1];
    if let Some(start) = reachable.first_mut() {
        *start = true;
    }
    for symbol in pattern.chars() {
        if symbol == '*' {
            let mut any = false;
            for place in &mut reachable {
                any |= *place;
                *place = any;
            }
        } else {
            let mut next = vec![false];
            next.extend(
                reachable
                    .iter()
                    .zip(&characters)
                    .map(|(&here, &character)| here && (symbol == '?' || symbol == character)),
            );
            reachable = next;
        }
    }
    reachable.last().copied().unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use ssh_key::private::Ed25519Keypair;

    use super::*;

    fn key(seed: u8) -> String {
        let data = KeyData::from(Ed25519Keypair::from_seed(&[seed; 32]).public);
        PublicKey::from(data).to_openssh().unwrap()
    }

    fn data(seed: u8) -> KeyData {
        KeyData::from(Ed25519Keypair::from_seed(&[seed; 32]).public)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mistakes(text: &str) -> String {
        AllowedSigners::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn keys_stand_for_people() {
        let text = format!(
            "# people\n\nalice,alice@example.com {} laptop\n\"bob\" namespaces=\"git,bail*\" {}\nalice {} desk\n",
            key(1),
            key(2),
            key(3)
        );
        let signers = AllowedSigners::parse(&text).unwrap();
        let now = at("2026-11-22T17:00:00Z");
        let person = |seed| signers.person_of(&data(seed), now).unwrap().to_string();
        assert_eq!(
            [person(1), person(2), person(3)],
            ["person:alice", "person:bob", "person:alice"]
        );
        assert_eq!(signers.people().len(), 2);
        assert!(matches!(
            signers.person_of(&data(4), now),
            Err(SignerError::UnknownKey { .. })
        ));
    }

    #[test]
    fn validity_and_namespaces_are_kept() {
        let text = format!(
            "alice valid-after=\"20260101Z\",valid-before=\"202612312359Z\" {}\nbob namespaces=\"git\" {}\ncarol namespaces=\"*,!bailiwick\" {}",
            key(1),
            key(2),
            key(3)
        );
        let signers = AllowedSigners::parse(&text).unwrap();
        let person = |seed, time| signers.person_of(&data(seed), at(time));
        assert!(person(1, "2026-06-01T00:00:00Z").is_ok());
        let early = person(1, "2025-12-31T23:59:59Z").unwrap_err().to_string();
        assert!(early.contains("valid only after 2026-01-01"), "{early}");
        assert!(
            person(1, "2027-01-01T00:00:00Z")
                .unwrap_err()
                .to_string()
                .contains("valid only before")
        );
        assert!(
            person(2, "2026-06-01T00:00:00Z")
                .unwrap_err()
                .to_string()
                .contains("namespaces")
        );
        assert!(person(3, "2026-06-01T00:00:00Z").is_err());
    }

    #[test]
    fn patterns_name_nobody() {
        let signers = AllowedSigners::parse(&format!("*@example.com {}", key(1))).unwrap();
        let error = signers
            .person_of(&data(1), at("2026-06-01T00:00:00Z"))
            .unwrap_err();
        assert!(error.to_string().contains("only patterns"), "{error}");
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let text = format!(
            "alice\nbob ssh-ed25519 nonsense\n{k}\ncarol cert-authority {k}\ndave valid-after=\"20260101\" {k}\n\
             erin verify-required {k}\nfrank namespaces=bailiwick {k}\nagent:claude {k}\ngrace valid-after=\"20261340Z\" {k}\n\
             heidi valid-after=\"20260102Z\",valid-before=\"20260101Z\" {k}\nivan namespaces=\"a\",namespaces=\"b\" {k}",
            k = key(1)
        );
        let text = mistakes(&text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 11, "{text}");
        for (expected, line) in [
            "expected a public key after the names",
            "expected a public key such as",
            "", // a key type read as a name
            "cert-authority` is not supported",
            "write `20260101Z`",
            "not a known option",
            "double quotes",
            "not a valid principal's name",
            "is not a time",
            "never valid",
            "given twice",
        ]
        .iter()
        .zip(&lines)
        {
            assert!(line.contains(expected), "{line} should say {expected}");
        }
        assert!(lines.last().unwrap().starts_with("line 11: "));
    }

    #[test]
    fn one_human_being_cannot_be_two() {
        let two_people = mistakes(&format!("alice {k}\nbob {k}", k = key(1)));
        assert!(
            two_people.contains("line 2: the key is bob's here and alice's in line 1"),
            "{two_people}"
        );
        let two_names = mistakes(&format!("alice,ops {}\nbob,ops {}", key(1), key(2)));
        assert!(
            two_names.contains("line 2: `ops` is bob here and alice in line 1"),
            "{two_names}"
        );
        let alias_as_person = mistakes(&format!(
            "alice,alice@example.com {}\nalice@example.com {}",
            key(1),
            key(2)
        ));
        assert!(alias_as_person.contains("line 2"), "{alias_as_person}");
        let behind_a_pattern = mistakes(&format!(
            "*@example.com {k}\nalice {k}\nbob {k}",
            k = key(1)
        ));
        assert!(behind_a_pattern.contains("line 3"), "{behind_a_pattern}");
    }

    #[test]
    fn a_file_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("alice {}", key(1))).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_allowed_signers(file.path()).is_ok());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o664)).unwrap();
        let refused = load_allowed_signers(file.path()).unwrap_err();
        assert!(refused.to_string().contains("chmod go-w"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_breaks_the_parser(text in "[ -~\n\t\"#,=é]{0,200}") {
            _ = AllowedSigners::parse(&text);
        }

        #[test]
        fn patterns_agree_with_their_definition(pattern in "[ab?*]{0,6}", text in "[ab]{0,6}") {
            fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), None) => by_definition(rest, text),
                    (Some((b'*', rest)), Some((_, tail))) => by_definition(rest, text) || by_definition(pattern, tail),
                    (Some((symbol, rest)), Some((character, tail))) => {
                        (*symbol == b'?' || symbol == character) && by_definition(rest, tail)
                    }
                    (None, Some(_)) | (Some(_), None) => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &text), by_definition(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
