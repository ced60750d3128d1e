//! Who signed the commits. Every commit that came since the last one applied (or read, as long as none was applied) must be signed,
//! by SSH, with a key of the allowed signers; the newest in any case. One that is not refuses all.
//!
//! Whether a key is valid is asked of the time at which the commits are read, not of the time that stands in a commit: that is
//! whatever its author wrote there.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ssh_key::HashAlg;

use super::commit::{self, CommitId};
use super::repository::{Ask, Repository};
use super::tree::next_object;
use super::words;
use crate::approval::AllowedSigners;
use crate::approval::signature::{GIT_NAMESPACE, SignatureError, verify_text};
use crate::approval::{Principal, SignerError};
use crate::sources::Verified;
use crate::sources::error::SourceError;

/// Most commits that are looked at for one reading.
const MOST_COMMITS: usize = 10_000;
/// Most bytes of all of them together.
const MOST_BYTES: usize = 64 << 20;

/// Verifies the tip, and all commits that it has and the last one known has not. Without one known from before, the tip alone: by
/// signing it, its author vouches for what it goes back to.
pub(super) async fn verify(
    repository: &Repository,
    signers: AllowedSigners,
    tip: &CommitId,
    known: Option<&CommitId>,
    at: Timestamp,
) -> Result<Verified, SourceError> {
    let commits = match known {
        None => vec![tip.clone()],
        Some(known) => since(repository, tip, known).await?,
    };
    let doing = "read the commits";
    let ids: String = commits
        .iter()
        .flat_map(|commit| [commit.as_str(), "\n"])
        .collect();
    let ask = Ask {
        input: ids.into_bytes(),
        most: MOST_BYTES,
        ..Ask::short(doing)
    };
    let answer = repository
        .inside(words(&["cat-file", "--batch"]), ask)
        .await?
        .good(doing)?;
    let verified = tokio::task::spawn_blocking(move || all(&commits, &answer, &signers, at)).await;
    verified.map_err(|error| SourceError::Git {
        doing: "verify the commits' signatures".to_owned(),
        said: error.to_string(),
    })?
}

/// The commits of the tip that the last one known has not, the oldest first, and the tip. If our copy does not have the last one
/// known, nobody can say which are new: all.
async fn since(
    repository: &Repository,
    tip: &CommitId,
    known: &CommitId,
) -> Result<Vec<CommitId>, SourceError> {
    let doing = "list the new commits";
    let most = format!("--max-count={}", MOST_COMMITS + 1);
    let mut arguments = words(&["rev-list", "--reverse", "--topo-order", &most, tip.as_str()]);
    if repository.has(known).await? {
        arguments.extend(words(&[&format!("^{}", known.as_str())]));
    }
    let answer = repository
        .inside(arguments, Ask::short(doing))
        .await?
        .good(doing)?;
    let text = String::from_utf8_lossy(&answer);
    let commits: Option<Vec<CommitId>> = text.lines().map(CommitId::new).collect();
    let mut commits = commits.ok_or_else(|| SourceError::Git {
        doing: doing.to_owned(),
        said: "git's list cannot be understood".to_owned(),
    })?;
    if commits.len() > MOST_COMMITS {
        return Err(SourceError::Unverified {
            commit: tip.as_str().to_owned(),
            why: format!("more than {MOST_COMMITS} commits are new, too many to verify"),
            more: 0,
        });
    }
    if !commits.contains(tip) {
        commits.push(tip.clone());
    }
    Ok(commits)
}

/// Verifies every commit of an answer of `git cat-file --batch`.
fn all(
    commits: &[CommitId],
    answer: &[u8],
    signers: &AllowedSigners,
    at: Timestamp,
) -> Result<Verified, SourceError> {
    let mut rest = answer;
    let (mut people, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let mut refused: Option<(&CommitId, String)> = None;
    let mut count = 0;
    for commit in commits {
        let Some(raw) = next_object(&mut rest, commit.as_str(), "commit") else {
            return Err(SourceError::Git {
                doing: "read the commits".to_owned(),
                said: format!(
                    "the commit {} is not in the copy of the repository",
                    commit.as_str()
                ),
            });
        };
        match one(raw, commit.is_sha256(), signers, at) {
            Ok((person, key)) => {
                people.insert(person);
                keys.insert(key);
            }
            Err(why) => {
                count += 1;
                refused.get_or_insert((commit, why));
            }
        }
    }
    match refused {
        Some((commit, why)) => Err(SourceError::Unverified {
            commit: commit.as_str().to_owned(),
            why,
            more: count - 1,
        }),
        None => Ok(Verified::All {
            commits: commits.len(),
            people,
            keys,
        }),
    }
}

/// Who signed a commit, and with which key; or why it does not count.
fn one(
    raw: &[u8],
    sha256: bool,
    signers: &AllowedSigners,
    at: Timestamp,
) -> Result<(Principal, String), String> {
    let signed = commit::take_apart(raw, sha256)?;
    if !signed
        .signature
        .starts_with("-----BEGIN SSH SIGNATURE-----")
    {
        return Err(
            "its signature is not one of SSH (sign with `git config gpg.format ssh`)".to_owned(),
        );
    }
    let key = verify_text(&signed.signature, GIT_NAMESPACE, &signed.text).map_err(of_signature)?;
    let person = signers
        .person_in(GIT_NAMESPACE, &key, at)
        .map_err(of_signer)?;
    Ok((person, key.fingerprint(HashAlg::Sha256).to_string()))
}

/// In words about a commit, not about a plan.
fn of_signature(error: SignatureError) -> String {
    match error {
        SignatureError::NotASignature { .. } => "its signature cannot be read".to_owned(),
        SignatureError::OtherText { fingerprint } => format!(
            "its signature is not one of {fingerprint} over this commit: one of them was changed"
        ),
        other => other.to_string(),
    }
}

fn of_signer(error: SignerError) -> String {
    match error {
        SignerError::UnknownKey { fingerprint } => {
            format!("it is signed with {fingerprint}, a key that is not among the allowed signers")
        }
        SignerError::NotNow {
            fingerprint,
            line,
            why,
        } => format!(
            "it is signed with {fingerprint}, the key of line {line} of the allowed signers, which does not count: {why}"
        ),
        other => other.to_string(),
    }
}
