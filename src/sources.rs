//! Sources: where the loop's documents come from, and where it is written back what became of them.
//!
//! A source is read whole or not at all: what comes out of [`Source::poll`] is a [`Reading`] of everything a cluster's folder has at
//! one revision, or an error that changes nothing. Nothing here plans, decides or stores; what was seen and applied before is told by
//! the caller ([`Before`]), so that a restart forgets nothing.

mod directory;
mod error;
mod git;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use self::error::{Fault, SourceError};
pub use self::git::status::{ClusterStatus, Written};
use crate::approval::Principal;
use crate::configuration;
use crate::document::{Document, DocumentErrors, load, yaml};
use crate::ids::ClusterName;

/// Most bytes of documents that one cluster's folder may have: 64 MiB.
pub const MOST_BYTES: usize = 64 << 20;

/// One file of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it is called in messages: `git:infra@1a2b3c4:clusters/lab/web.yaml`, `directory:home:web.yaml`. Never has control
    /// characters, whatever the file is called.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// What is known of a cluster's documents of a source from before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// The revision last handed in.
    pub seen: Option<String>,
    /// The revision last applied, or found to be so already. Where Git's commits must be signed, those after it must; after the one
    /// seen, as long as none was applied; and the newest alone, when nothing is known.
    pub applied: Option<String>,
    /// How many documents the source owns. With any, a revision without documents is [`Reading::emptied`].
    pub owned: usize,
    /// Read it even if the revision is the one seen: after a start, when the configuration may have changed.
    pub reread: bool,
}

/// Everything a cluster's folder has at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The commit's id; for a directory `sha256:…` over the names and bytes of its files.
    pub revision: String,
    /// The files, in the order of their names. They may turn out not to be documents: [`Self::documents`].
    pub texts: Vec<Text>,
    /// Whose signatures were seen.
    pub verified: Verified,
    /// The branch was rewritten: what was seen before is no longer part of it. Trips the fuse.
    pub rewritten: Option<Rewritten>,
    /// There are no documents at all, though the source owned some. Trips the fuse.
    pub emptied: bool,
    /// What was passed over, such as symbolic links; for people.
    pub warnings: Vec<String>,
}

/// Whose signatures were seen. Commits without a signature that is asked for never come this far: [`SourceError::Unverified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// No signatures are asked for.
    NotAsked,
    /// Every commit that is new is signed by one of the allowed keys; so is the newest one, new or not.
    All {
        /// How many commits were looked at.
        commits: usize,
        /// Who signed them.
        people: BTreeSet<Principal>,
        /// With which keys: `SHA256:…`.
        keys: BTreeSet<String>,
    },
}

/// A branch that does not continue what was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The commit seen before.
    pub from: String,
    /// The commit the branch has now.
    pub to: String,
}

impl Reading {
    /// The documents of all files, or everything that is wrong with them, by the names that messages use.
    ///
    /// # Errors
    /// [`DocumentErrors`]; then nothing of the reading may be used.
    pub fn documents(&self) -> Result<Vec<Document>, DocumentErrors> {
        let files: Vec<(&str, &str)> = self
            .texts
            .iter()
            .map(|text| (text.file.as_str(), text.text.as_str()))
            .collect();
        load(&files)
    }
}

/// Whether a source that owned documents has none left. Files of nothing but comments are no documents; what cannot be parsed may be
/// one.
fn emptied(texts: &[Text], owned: usize) -> bool {
    let nothing = |text: &Text| {
        let read = yaml::read(&text.text);
        read.trees.is_empty() && read.problems.is_empty()
    };
    owned > 0 && texts.iter().all(nothing)
}

/// How long is waited for Git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For what crosses the network: the first fetch brings the whole history.
    pub network: Duration,
    /// For what is done on this machine.
    pub local: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            network: Duration::from_secs(600),
            local: Duration::from_secs(120),
        }
    }
}

/// What the library does not know by itself.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The folder that copies of repositories are kept in, one a source. Made when missing; may be removed when nothing runs.
    pub folder: PathBuf,
    /// Where programs (`git`, `ssh`) are looked for: the value of `PATH`. Nothing else of the environment reaches them.
    pub programs: OsString,
    /// How long is waited for them.
    pub patience: Patience,
}

/// A source that the loop reads.
#[derive(Debug)]
pub struct Source {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Git(Box<git::GitSource>),
    Directory(directory::DirectorySource),
}

impl Source {
    /// A source of the configuration; `None` for one that is not read but submits (`agent:…`, `operator:…`). Touches nothing yet.
    ///
    /// # Errors
    /// [`SourceError`] when a path of the configuration cannot be used.
    pub fn open(
        name: &str,
        source: &configuration::Source,
        surroundings: &Surroundings,
    ) -> Result<Option<Self>, SourceError> {
        let kind = match (&source.git, &source.directory) {
            (Some(git), _) => Kind::Git(Box::new(git::GitSource::open(name, git, surroundings)?)),
            (None, Some(directory)) => {
                Kind::Directory(directory::DirectorySource::open(name, directory))
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            name: name.to_owned(),
            kind,
        }))
    }

    /// The name: `git:infra`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it wants to be looked at.
    pub fn interval(&self) -> SignedDuration {
        match &self.kind {
            Kind::Git(git) => git.git.interval,
            Kind::Directory(directory) => directory.directory.interval,
        }
    }

    /// The clusters it has documents for.
    pub fn clusters(&self) -> Vec<ClusterName> {
        match &self.kind {
            Kind::Git(git) => git.git.paths.keys().cloned().collect(),
            Kind::Directory(directory) => directory.directory.paths.keys().cloned().collect(),
        }
    }

    /// Asks what stands there now, and takes nothing in: of Git where its branch is, of directories everything that is in them, which
    /// has to be documents.
    ///
    /// # Errors
    /// [`SourceError`] by cluster; one that concerns all of them stands for each.
    pub async fn look(&self) -> BTreeMap<ClusterName, Result<String, SourceError>> {
        let directory = match &self.kind {
            Kind::Git(git) => {
                let tip = git.look().await;
                let clusters = self.clusters().into_iter();
                return clusters.map(|cluster| (cluster, tip.clone())).collect();
            }
            Kind::Directory(directory) => directory,
        };
        let revision = |reading: Reading| match reading.documents() {
            Ok(_) => Ok(reading.revision),
            Err(mistakes) => Err(SourceError::Setup(mistakes.to_string())),
        };
        let readings = directory.poll(&BTreeMap::new()).await.into_iter();
        readings
            .map(|(cluster, reading)| (cluster, reading.and_then(revision)))
            .collect()
    }

    /// Looks at the source. The answer has the clusters whose revision is another than the one seen: what was read, or why it
    /// cannot be used. Clusters for which nothing is new are not in it. `at` is the time at which keys have to be valid.
    ///
    /// # Errors
    /// [`SourceError`] when the source could not be looked at at all. Any error, here or of one cluster, changes nothing: what was
    /// read before stays in force.
    pub async fn poll(
        &self,
        before: &BTreeMap<ClusterName, Before>,
        at: Timestamp,
    ) -> Result<BTreeMap<ClusterName, Result<Reading, SourceError>>, SourceError> {
        match &self.kind {
            Kind::Git(git) => git.poll(before, at).await,
            Kind::Directory(directory) => Ok(directory.poll(before).await),
        }
    }

    /// Writes back what became of a commit, as the configuration says; writes nothing where that is there already. For clusters
    /// that are not given, what stands there stays. A directory is never written to.
    ///
    /// # Errors
    /// [`SourceError`] when it could not be written. The documents are not touched by that; it may be tried again.
    pub async fn write_status(
        &self,
        commit: &str,
        clusters: &[ClusterStatus],
        at: Timestamp,
    ) -> Result<Written, SourceError> {
        match &self.kind {
            Kind::Git(git) => git.write_status(commit, clusters, at).await,
            Kind::Directory(_) => Ok(Written::Off),
        }
    }
}
