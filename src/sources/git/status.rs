//! Writing back what became of a commit: as a note of the commit, or as a file for each cluster on another branch. Without a work
//! tree, without force, and never to the branch that is watched.

use std::collections::BTreeMap;
use std::ffi::OsString;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::commit::CommitId;
use super::repository::{Ask, Repository, id};
use super::{GitSource, words};
use crate::configuration::serving::GitStatus;
use crate::ids::ClusterName;
use crate::sources::error::SourceError;

/// The notes, there and in our copy.
const NOTES: &str = "refs/notes/bailiwick";
/// The branch with the status, in our copy.
const STATUS: &str = "refs/bailiwick/status";
/// Most bytes of a note that is looked at.
const MOST_OF_A_NOTE: usize = 1 << 20;

/// What became of a commit on one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterName,
    /// In a word: `waiting`, `applied`, `refused`.
    pub state: String,
    /// The plan that was made of it.
    pub plan: Option<String>,
    /// In a sentence. May be empty. Everybody who can read the repository sees it.
    pub message: String,
}

/// What became of writing a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The configuration says not to.
    Off,
    /// It stood there already; nothing was pushed.
    Unchanged,
    /// It was pushed.
    Pushed,
}

/// A status as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
}

impl From<&ClusterStatus> for Line {
    fn from(status: &ClusterStatus) -> Self {
        Self {
            state: status.state.clone(),
            plan: status.plan.clone(),
            message: status.message.clone(),
        }
    }
}

/// A note of a commit.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    source: String,
    clusters: BTreeMap<String, Line>,
}

/// A cluster's file.
#[derive(Debug, Serialize)]
struct File<'a> {
    source: &'a str,
    cluster: &'a str,
    commit: &'a str,
    #[serde(flatten)]
    line: Line,
}

/// One writing: where to, what, and in whose name.
struct Writing<'a> {
    source: &'a GitSource,
    commit: CommitId,
    clusters: &'a [ClusterStatus],
    identity: Vec<(OsString, OsString)>,
}

impl GitSource {
    /// See [`crate::sources::Source::write_status`].
    pub(in crate::sources) async fn write_status(
        &self,
        commit: &str,
        clusters: &[ClusterStatus],
        at: Timestamp,
    ) -> Result<Written, SourceError> {
        let (theirs, ours) = match &self.git.status {
            GitStatus::Off => return Ok(Written::Off),
            GitStatus::Note => (NOTES.to_owned(), NOTES),
            GitStatus::Branch(branch) if *branch == self.git.branch => {
                return Err(SourceError::Setup(format!(
                    "the status is never written to the branch that is watched, {branch}"
                )));
            }
            GitStatus::Branch(branch) => (format!("refs/heads/{branch}"), STATUS),
        };
        if clusters.is_empty() {
            return Ok(Written::Unchanged);
        }
        let writing = Writing {
            source: self,
            commit: CommitId::stored(commit)?,
            clusters,
            identity: identity(at),
        };
        let mut repository = self.repository.lock().await;
        repository.prepare().await?;
        let written = writing.write(&repository, &theirs, ours).await?;
        repository.used();
        Ok(written)
    }
}

impl Writing<'_> {
    async fn write(
        &self,
        repository: &Repository,
        theirs: &str,
        ours: &str,
    ) -> Result<Written, SourceError> {
        let before = self.bring(repository, theirs, ours).await?;
        let Some(new) = self.make(repository, before.as_ref()).await? else {
            return Ok(Written::Unchanged);
        };
        let Err(error) = repository.push(&new, theirs).await else {
            return Ok(Written::Pushed);
        };
        // Somebody else may have written in between: then once more, on what stands there now.
        let now = self.bring(repository, theirs, ours).await?;
        if now == before {
            return Err(error);
        }
        let Some(new) = self.make(repository, now.as_ref()).await? else {
            return Ok(Written::Unchanged);
        };
        repository.push(&new, theirs).await?;
        Ok(Written::Pushed)
    }

    /// Brings what stands there into our copy; `None` when there is nothing.
    async fn bring(
        &self,
        repository: &Repository,
        theirs: &str,
        ours: &str,
    ) -> Result<Option<CommitId>, SourceError> {
        if repository.remote_ref(theirs).await?.is_some() {
            repository.fetch(theirs, ours).await?;
            return repository.commit_of(ours).await.map(Some);
        }
        let doing = "forget a status that is gone";
        let arguments = words(&["update-ref", "-d", ours]);
        repository
            .inside(arguments, Ask::short(doing))
            .await?
            .good(doing)?;
        Ok(None)
    }

    /// Makes the commit to be pushed; `None` when it would say what stands there already.
    async fn make(
        &self,
        repository: &Repository,
        base: Option<&CommitId>,
    ) -> Result<Option<CommitId>, SourceError> {
        match self.source.git.status {
            GitStatus::Off => Ok(None),
            GitStatus::Note => self.note(repository).await,
            GitStatus::Branch(_) => self.files(repository, base).await,
        }
    }

    async fn ask(
        &self,
        repository: &Repository,
        arguments: Vec<OsString>,
        input: Vec<u8>,
        also: &[(OsString, OsString)],
    ) -> Result<Vec<u8>, SourceError> {
        let doing = "make the status";
        let ask = Ask {
            input,
            also: also.to_vec(),
            ..Ask::short(doing)
        };
        repository.inside(arguments, ask).await?.good(doing)
    }

    async fn blob(&self, repository: &Repository, text: String) -> Result<CommitId, SourceError> {
        let arguments = words(&["hash-object", "-w", "--stdin"]);
        let answer = self
            .ask(repository, arguments, text.into_bytes(), &[])
            .await?;
        id(&answer, "make the status")
    }

    /// The note, which keeps what it says about other clusters.
    async fn note(&self, repository: &Repository) -> Result<Option<CommitId>, SourceError> {
        let notes = ["notes", "--ref", NOTES];
        let commit = self.commit.as_str();
        let listed = [&notes[..], &["list", commit]].concat();
        // Without a note, git says so with an exit code.
        let answer = repository
            .inside(words(&listed), Ask::short("look for the note"))
            .await?;
        let old = if answer.code == Some(0) {
            CommitId::new(String::from_utf8_lossy(&answer.output).trim())
        } else {
            None
        };
        let mut clusters = match &old {
            Some(old) => self.old_note(repository, old).await?,
            None => BTreeMap::new(),
        };
        for status in self.clusters {
            clusters.insert(status.cluster.to_string(), Line::from(status));
        }
        let note = Note {
            source: self.source.name.clone(),
            clusters,
        };
        let new = self.blob(repository, yaml(&note)?).await?;
        if old.as_ref() == Some(&new) {
            return Ok(None);
        }
        let add = [&notes[..], &["add", "--force", "-C", new.as_str(), commit]].concat();
        self.ask(repository, words(&add), Vec::new(), &self.identity)
            .await?;
        repository.commit_of(NOTES).await.map(Some)
    }

    /// What a note says; nothing when somebody else wrote it.
    async fn old_note(
        &self,
        repository: &Repository,
        note: &CommitId,
    ) -> Result<BTreeMap<String, Line>, SourceError> {
        let doing = "read the note";
        let ask = Ask {
            most: MOST_OF_A_NOTE,
            ..Ask::short(doing)
        };
        let arguments = words(&["cat-file", "blob", note.as_str()]);
        let text = repository.inside(arguments, ask).await?.good(doing)?;
        let note = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| serde_saphyr::from_str::<Note>(text).ok());
        Ok(note.map_or_else(BTreeMap::new, |note| note.clusters))
    }

    /// A commit with one file a cluster; whatever else stands on the branch stays.
    async fn files(
        &self,
        repository: &Repository,
        base: Option<&CommitId>,
    ) -> Result<Option<CommitId>, SourceError> {
        // An index of its own, made anew: no work tree has to exist for it.
        let index = [(
            "GIT_INDEX_FILE".into(),
            repository.scratch_index().await?.into(),
        )];
        if let Some(base) = base {
            let arguments = words(&["read-tree", base.as_str()]);
            self.ask(repository, arguments, Vec::new(), &index).await?;
        }
        let mut lines = Vec::new();
        for status in self.clusters {
            let file = File {
                source: &self.source.name,
                cluster: status.cluster.as_str(),
                commit: self.commit.as_str(),
                line: Line::from(status),
            };
            let blob = self.blob(repository, yaml(&file)?).await?;
            let line = format!("100644 {}\tstatus/{}.yaml\0", blob.as_str(), status.cluster);
            lines.extend(line.into_bytes());
        }
        let arguments = words(&["update-index", "--replace", "-z", "--index-info"]);
        self.ask(repository, arguments, lines, &index).await?;
        let answer = self
            .ask(repository, words(&["write-tree"]), Vec::new(), &index)
            .await?;
        let tree = id(&answer, "make the status")?;
        if let Some(base) = base {
            let rev = format!("{}^{{tree}}", base.as_str());
            let arguments = words(&["rev-parse", "--verify", "--quiet", "--end-of-options", &rev]);
            let old = self.ask(repository, arguments, Vec::new(), &[]).await?;
            if id(&old, "make the status")? == tree {
                return Ok(None);
            }
        }
        let mut arguments = words(&["commit-tree", "-F", "-", tree.as_str()]);
        if let Some(base) = base {
            arguments.extend(words(&["-p", base.as_str()]));
        }
        let told: Vec<String> = self
            .clusters
            .iter()
            .map(|status| format!("{}: {}", status.cluster, status.state))
            .collect();
        let message = format!("{} {}\n", self.commit.short(), told.join(", "));
        let answer = self
            .ask(repository, arguments, message.into_bytes(), &self.identity)
            .await?;
        id(&answer, "make the status").map(Some)
    }
}

fn yaml(value: &impl Serialize) -> Result<String, SourceError> {
    serde_saphyr::to_string(value)
        .map_err(|error| SourceError::Setup(format!("the status cannot be written: {error}")))
}

/// Who writes, and when.
fn identity(at: Timestamp) -> Vec<(OsString, OsString)> {
    let date = format!("@{} +0000", at.as_second());
    let pairs = ["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
        [
            ("NAME", "Bailiwick"),
            ("EMAIL", "bailiwick@localhost"),
            ("DATE", date.as_str()),
        ]
        .map(|(what, value)| (format!("GIT_{who}_{what}").into(), value.into()))
    });
    pairs.collect()
}
