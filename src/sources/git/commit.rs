//! A commit's id, and the parts of a commit that a signature is about.

use crate::sources::error::SourceError;

/// The id of an object of Git: 40 hexadecimal digits, or 64 in repositories with SHA-256. Nothing else can be made into one, so that
/// it can stand in git's arguments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommitId(String);

impl CommitId {
    /// An id, if the text is one.
    pub(super) fn new(text: &str) -> Option<Self> {
        let digits = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (digits && matches!(text.len(), 40 | 64)).then(|| Self(text.to_owned()))
    }

    /// An id that was written down earlier.
    pub(super) fn stored(text: &str) -> Result<Self, SourceError> {
        Self::new(text).ok_or_else(|| {
            SourceError::Setup(format!(
                "`{}` was remembered as a commit and is none",
                crate::plan::words::clean(text)
            ))
        })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As people write it.
    pub(super) fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }

    /// Whether it belongs to a repository with SHA-256.
    pub(super) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }
}

/// What is signed of a commit, and the signature's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) text: Vec<u8>,
    pub(super) signature: String,
}

/// Takes a commit apart as `git verify-commit` does: the signature is the header `gpgsig` (`gpgsig-sha256` in a repository with
/// SHA-256), what is signed is the commit without it. Stricter than git: a commit with more than one signature is refused.
pub(super) fn take_apart(raw: &[u8], sha256: bool) -> Result<Signed, String> {
    let wanted: &[u8] = if sha256 { b"gpgsig-sha256" } else { b"gpgsig" };
    let mut text = Vec::with_capacity(raw.len());
    let mut signature: Option<Vec<u8>> = None;
    let mut within = false;
    let mut rest = raw;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if line == b"\n" {
            // The message, which is not looked at, ends it.
            text.extend_from_slice(rest);
            break;
        }
        rest = after;
        if within && let Some(more) = line.strip_prefix(b" ") {
            if let Some(signature) = &mut signature {
                signature.extend_from_slice(more);
            }
            continue;
        }
        within = false;
        if !line.starts_with(b"gpgsig") {
            text.extend_from_slice(line);
            continue;
        }
        let first = line
            .strip_prefix(wanted)
            .and_then(|line| line.strip_prefix(b" "));
        match (first, &signature) {
            (Some(first), None) => {
                signature = Some(first.to_vec());
                within = true;
            }
            (Some(_), Some(_)) => return Err("it has two signatures".to_owned()),
            (None, _) => {
                return Err("it has a signature of another kind of repository".to_owned());
            }
        }
    }
    match signature.map(String::from_utf8) {
        None => Err("it is not signed".to_owned()),
        Some(Err(_)) => Err("its signature is not text".to_owned()),
        Some(Ok(signature)) => Ok(Signed { text, signature }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_ids() {
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(CommitId::new(sha1).unwrap().short(), "0123456");
        assert!(CommitId::new(&"a".repeat(64)).unwrap().is_sha256());
        for text in [
            "",
            "main",
            "--all",
            &"A".repeat(40),
            &"a".repeat(41),
            "HEAD",
        ] {
            assert_eq!(CommitId::new(text), None, "{text}");
        }
        assert!(
            CommitId::stored("a\u{1b}b")
                .unwrap_err()
                .to_string()
                .contains("\\u{1b}")
        );
    }

    #[test]
    fn a_commit_is_taken_apart_as_git_does() {
        let raw = b"tree 1\nparent 2\nauthor a\ncommitter c\nmergetag object 3\n type commit\n gpgsig no\ngpgsig -----BEGIN\n AAAA\n \n -----END\nencoding x\n\nmessage\ngpgsig not this\n";
        let signed = take_apart(raw, false).unwrap();
        assert_eq!(signed.signature, "-----BEGIN\nAAAA\n\n-----END\n");
        assert_eq!(
            signed.text,
            b"tree 1\nparent 2\nauthor a\ncommitter c\nmergetag object 3\n type commit\n gpgsig no\nencoding x\n\nmessage\ngpgsig not this\n"
        );
    }

    #[test]
    fn what_is_not_signed_exactly_once_is_refused() {
        for (raw, why) in [
            (&b"tree 1\n\nmessage\n"[..], "it is not signed"),
            (b"tree 1\n\ngpgsig A\n", "it is not signed"),
            (b"", "it is not signed"),
            (b"gpgsig A\ngpgsig B\n\nm", "it has two signatures"),
            (
                b"gpgsig A\nauthor x\ngpgsig B\n\nm",
                "it has two signatures",
            ),
            (
                b"gpgsig-sha256 A\n\nm",
                "it has a signature of another kind of repository",
            ),
            (
                b"gpgsig A\ngpgsig-sha256 B\n\nm",
                "it has a signature of another kind of repository",
            ),
            (
                b"gpgsignature A\n\nm",
                "it has a signature of another kind of repository",
            ),
            (b"gpgsig \xff\n\nm", "its signature is not text"),
        ] {
            assert_eq!(take_apart(raw, false).unwrap_err(), why);
        }
        assert_eq!(
            take_apart(b"gpgsig-sha256 A\n\nm", true).unwrap().text,
            b"\nm"
        );
    }
}
