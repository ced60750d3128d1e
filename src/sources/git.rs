//! Git repositories. A bare copy of one branch is kept in a folder of ours; commits, trees and files are read out of it with the
//! `git` program, and never into a work tree. Fetching and pushing are the only things that leave this machine.

mod commit;
mod environment;
mod program;
mod repository;
mod signed;
pub(super) mod status;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;

use jiff::Timestamp;
use tokio::sync::Mutex;

use self::commit::CommitId;
use self::repository::{Repository, TIP};
use super::error::SourceError;
use super::{Before, Reading, Rewritten, Surroundings, Verified, emptied};
use crate::approval::AllowedSigners;
use crate::approval::signers::load_allowed_signers;
use crate::configuration::serving::{Git, GitStatus};
use crate::configuration::serving_mistakes::{is_branch, transport};
use crate::ids::ClusterName;
use crate::plan::words::clean;

/// A Git repository that documents come from.
#[derive(Debug)]
pub(super) struct GitSource {
    pub(super) name: String,
    pub(super) git: Git,
    /// One at a time: what is fetched, read and pushed all goes through one copy.
    repository: Mutex<Repository>,
}

impl GitSource {
    pub(super) fn open(
        name: &str,
        git: &Git,
        surroundings: &Surroundings,
    ) -> Result<Self, SourceError> {
        if transport(&git.url).is_none() {
            return Err(SourceError::Setup(format!(
                "the address of `{}` is not one that is allowed",
                clean(name)
            )));
        }
        // They become part of git's arguments.
        let status = match &git.status {
            GitStatus::Branch(branch) => Some(branch),
            GitStatus::Off | GitStatus::Note => None,
        };
        if let Some(branch) = status
            .into_iter()
            .chain([&git.branch])
            .find(|branch| !is_branch(branch))
        {
            return Err(SourceError::Setup(format!(
                "`{}` cannot be a branch, expected such as `main`",
                clean(branch)
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            git: git.clone(),
            repository: Mutex::new(Repository::new(name, git, surroundings)?),
        })
    }

    pub(super) async fn poll(
        &self,
        before: &BTreeMap<ClusterName, Before>,
        at: Timestamp,
    ) -> Result<BTreeMap<ClusterName, Result<Reading, SourceError>>, SourceError> {
        let mut repository = self.repository.lock().await;
        repository.prepare().await?;
        let branch = format!("refs/heads/{}", self.git.branch);
        repository.fetch(&branch, TIP).await?;
        let tip = repository.commit_of(TIP).await?;
        let never = Before::default();
        let mut readings = BTreeMap::new();
        for (cluster, folder) in &self.git.paths {
            let before = before.get(cluster).unwrap_or(&never);
            if before.reread || before.seen.as_deref() != Some(tip.as_str()) {
                let reading = self.read(&repository, &tip, folder, before, at).await;
                readings.insert(cluster.clone(), reading);
            }
        }
        if readings.values().all(Result::is_ok) {
            repository.used();
        }
        Ok(readings)
    }

    /// Where the branch is now, without fetching anything of it.
    pub(super) async fn look(&self) -> Result<String, SourceError> {
        let mut repository = self.repository.lock().await;
        repository.prepare().await?;
        let tip = repository
            .remote_ref(&format!("refs/heads/{}", self.git.branch))
            .await?
            .ok_or_else(|| repository.no_branch())?;
        self.signers().await?;
        repository.used();
        Ok(tip.as_str().to_owned())
    }

    /// Reads a folder at a commit. What must not be skipped comes first: who signed, then what is there.
    async fn read(
        &self,
        repository: &Repository,
        tip: &CommitId,
        folder: &str,
        before: &Before,
        at: Timestamp,
    ) -> Result<Reading, SourceError> {
        let verified = match self.signers().await? {
            None => Verified::NotAsked,
            Some(signers) => {
                // What was only seen was verified all the same.
                let known = before.applied.as_deref().or(before.seen.as_deref());
                let known = known.map(CommitId::stored).transpose()?;
                signed::verify(repository, signers, tip, known.as_ref(), at).await?
            }
        };
        let rewritten = match before.seen.as_deref().map(CommitId::stored).transpose()? {
            Some(seen) if !repository.continues(&seen, tip).await? => Some(Rewritten {
                from: seen.as_str().to_owned(),
                to: tip.as_str().to_owned(),
            }),
            Some(_) | None => None,
        };
        let label = format!("{}@{}", clean(&self.name), tip.short());
        let read = tree::read(repository, tip, folder, &label).await?;
        Ok(Reading {
            revision: tip.as_str().to_owned(),
            emptied: emptied(&read.texts, before.owned),
            texts: read.texts,
            verified,
            rewritten,
            warnings: read.warnings,
        })
    }

    /// The keys that commits must be signed with, read anew each time: a key is revoked by taking it out of the file.
    async fn signers(&self) -> Result<Option<AllowedSigners>, SourceError> {
        let Some(file) = self.git.signed_by.clone() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || load_allowed_signers(&file)).await;
        match read {
            Ok(Ok(signers)) => Ok(Some(signers)),
            Ok(Err(error)) => Err(SourceError::Setup(format!(
                "{}: {error}",
                clean(&self.name)
            ))),
            Err(error) => Err(SourceError::Setup(format!(
                "the allowed signers of {} could not be read: {error}",
                clean(&self.name)
            ))),
        }
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
