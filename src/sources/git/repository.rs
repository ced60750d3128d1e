//! This machine's bare copy of a repository, and the few questions asked of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::commit::CommitId;
use super::environment::{self, Environment};
use super::program::{self, Answer, Call, SHORT, run};
use super::words;
use crate::configuration::serving::Git;
use crate::plan::words::clean;
use crate::sources::Surroundings;
use crate::sources::error::SourceError;

/// What the watched branch is called in our copy.
pub(super) const TIP: &str = "refs/bailiwick/tip";

/// Most bytes that a copy may take on disk: 4 GiB.
const MOST_ON_DISK: u64 = 4 << 30;

/// The first version of git that heeds `GIT_CONFIG_COUNT`. An older one would leave out every guard, and say nothing.
const LEAST_VERSION: (u32, u32) = (2, 31);

/// The bare copy, and how it is reached.
#[derive(Debug)]
pub(super) struct Repository {
    git: Git,
    surroundings: Surroundings,
    /// The copy.
    folder: PathBuf,
    /// An empty home for git.
    home: PathBuf,
    /// It is there, and the last use of it came to its end: nothing of an interrupted git is left in it.
    ready: bool,
}

/// What a call needs besides its arguments.
pub(super) struct Ask<'a> {
    /// What it is for, after "cannot".
    pub(super) doing: &'a str,
    /// What git reads.
    pub(super) input: Vec<u8>,
    /// Most bytes of the answer.
    pub(super) most: usize,
    /// Variables besides the usual ones.
    pub(super) also: Vec<(OsString, OsString)>,
}

impl<'a> Ask<'a> {
    pub(super) fn short(doing: &'a str) -> Self {
        Self {
            doing,
            input: Vec::new(),
            most: SHORT,
            also: Vec::new(),
        }
    }
}

impl Repository {
    pub(super) fn new(
        name: &str,
        git: &Git,
        surroundings: &Surroundings,
    ) -> Result<Self, SourceError> {
        let base = std::path::absolute(&surroundings.folder).map_err(|error| {
            let shown = clean(&surroundings.folder.display().to_string());
            SourceError::Setup(format!("`{shown}` is no folder for repositories: {error}"))
        })?;
        let folder = base.join(folder_name(name));
        Ok(Self {
            git: git.clone(),
            surroundings: surroundings.clone(),
            home: folder.join("home"),
            folder: folder.join("repository"),
            ready: false,
        })
    }

    /// The address as it is shown.
    pub(super) fn shown(&self) -> String {
        clean(&program::without_users(&self.git.url))
    }

    /// To be called before the copy is used, as [`Self::used`] after: makes the copy if there is none, and clears away what an
    /// interrupted git left in it. A use that fails or is given up never calls `used`.
    pub(super) async fn prepare(&mut self) -> Result<(), SourceError> {
        if std::mem::take(&mut self.ready) {
            return Ok(());
        }
        self.blocking("make the folder for repositories", make_private)
            .await?;
        self.check_version().await?;
        if self.folder.join("HEAD").is_file() {
            self.blocking("clear away what was left over", |_, folder| {
                clear_leftovers(folder);
                Ok(())
            })
            .await?;
        } else {
            self.make().await?;
        }
        Ok(())
    }

    /// The use of the copy came to its end.
    pub(super) fn used(&mut self) {
        self.ready = true;
    }

    async fn blocking(
        &self,
        doing: &str,
        work: impl FnOnce(&Path, &Path) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), SourceError> {
        let (home, folder) = (self.home.clone(), self.folder.clone());
        let done = tokio::task::spawn_blocking(move || work(&home, &folder)).await;
        let failed = |error: std::io::Error| SourceError::Unreachable {
            path: clean(&self.folder.display().to_string()),
            said: format!("cannot {doing}: {error}"),
        };
        done.map_err(std::io::Error::other)
            .flatten()
            .map_err(failed)
    }

    async fn check_version(&self) -> Result<(), SourceError> {
        let environment = environment::local(&self.surroundings.programs, &self.home, &self.folder);
        let doing = "ask git for its version";
        let answer = self
            .call(
                words(&["version"]),
                environment,
                Ask::short(doing),
                self.surroundings.patience.local,
                &self.home,
            )
            .await?;
        let said = String::from_utf8_lossy(&answer.good(doing)?)
            .trim()
            .to_owned();
        if version(&said).is_some_and(|version| version >= LEAST_VERSION) {
            Ok(())
        } else {
            Err(SourceError::GitTooOld {
                found: clean(&said),
            })
        }
    }

    /// Makes the copy, under another name first, so that half a copy is never taken for one.
    async fn make(&self) -> Result<(), SourceError> {
        let branch = format!("refs/heads/{}", self.git.branch);
        let format = match self.remote_ref(&branch).await? {
            None => return Err(self.no_branch()),
            Some(tip) if tip.is_sha256() => "sha256",
            Some(_) => "sha1",
        };
        let new = self.folder.with_extension("new");
        let mut arguments = words(&[
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=none",
            "--object-format",
            format,
        ]);
        arguments.push(new.clone().into());
        let ask = Ask::short("make a copy of the repository");
        self.blocking(ask.doing, |_, folder| remove(&folder.with_extension("new")))
            .await?;
        let environment = environment::local(&self.surroundings.programs, &self.home, &new);
        let doing = ask.doing;
        self.call(
            arguments,
            environment,
            ask,
            self.surroundings.patience.local,
            &self.home,
        )
        .await?
        .good(doing)?;
        self.blocking(doing, |_, folder| {
            remove(folder)?;
            std::fs::rename(folder.with_extension("new"), folder)
        })
        .await
    }

    /// There is no such branch.
    pub(super) fn no_branch(&self) -> SourceError {
        SourceError::Git {
            doing: format!("fetch the branch {} of {}", self.git.branch, self.shown()),
            said: "there is no such branch".to_owned(),
        }
    }

    /// What a name of the remote repository stands for.
    pub(super) async fn remote_ref(&self, name: &str) -> Result<Option<CommitId>, SourceError> {
        let doing = format!("look at {}", self.shown());
        let mut arguments = words(&["ls-remote", "--quiet", "--"]);
        arguments.extend([self.git.url.clone().into(), name.into()]);
        let answer = self.outside(None, arguments, &doing).await?.good(&doing)?;
        // Names that merely end alike are listed too.
        Ok(String::from_utf8_lossy(&answer).lines().find_map(|line| {
            let (id, found) = line.split_once('\t')?;
            (found == name).then(|| CommitId::new(id)).flatten()
        }))
    }

    /// Fetches one name of the remote repository, and what it stands for, under a name of ours.
    pub(super) async fn fetch(&self, theirs: &str, ours: &str) -> Result<(), SourceError> {
        let what = theirs.strip_prefix("refs/heads/").map_or_else(
            || theirs.to_owned(),
            |branch| format!("the branch {branch}"),
        );
        let doing = format!("fetch {what} of {}", self.shown());
        let mut arguments = words(&[
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
        ]);
        arguments.extend([
            self.git.url.clone().into(),
            format!("+{theirs}:{ours}").into(),
        ]);
        let answer = self.outside(Some(&self.folder), arguments, &doing).await?;
        answer.good(&doing).map(drop)
    }

    /// Pushes an object of ours to a name of the remote repository, if that goes on from what stands there.
    pub(super) async fn push(&self, ours: &CommitId, theirs: &str) -> Result<(), SourceError> {
        let doing = format!("write the status to {theirs} of {}", self.shown());
        let mut arguments = words(&["push", "--quiet", "--"]);
        arguments.extend([
            self.git.url.clone().into(),
            format!("{}:{theirs}", ours.as_str()).into(),
        ]);
        let answer = self.outside(Some(&self.folder), arguments, &doing).await?;
        answer.good(&doing).map(drop)
    }

    /// The commit that a name of ours stands for.
    pub(super) async fn commit_of(&self, name: &str) -> Result<CommitId, SourceError> {
        let doing = format!("find the commit of {name}");
        let rev = format!("{name}^{{commit}}");
        let arguments = words(&["rev-parse", "--verify", "--quiet", "--end-of-options", &rev]);
        let answer = self
            .inside(arguments, Ask::short(&doing))
            .await?
            .good(&doing)?;
        id(&answer, &doing)
    }

    /// Whether our copy has a commit.
    pub(super) async fn has(&self, commit: &CommitId) -> Result<bool, SourceError> {
        let doing = "look for a commit";
        let ask = Ask {
            input: format!("{}\n", commit.as_str()).into_bytes(),
            ..Ask::short(doing)
        };
        let arguments = words(&["cat-file", "--batch-check"]);
        let answer = self.inside(arguments, ask).await?.good(doing)?;
        let wanted = format!("{} commit ", commit.as_str());
        Ok(answer.starts_with(wanted.as_bytes()))
    }

    /// Whether one commit is the other or among those it goes back to. One that our copy does not have is not.
    pub(super) async fn continues(
        &self,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<bool, SourceError> {
        if !self.has(from).await? {
            return Ok(false);
        }
        let doing = "compare commits";
        let arguments = words(&["merge-base", "--is-ancestor", from.as_str(), to.as_str()]);
        let answer = self.inside(arguments, Ask::short(doing)).await?;
        match answer.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            Some(_) | None => Err(answer.failed(doing)),
        }
    }

    /// The path of an index that does not exist, to make a tree with.
    pub(super) async fn scratch_index(&self) -> Result<PathBuf, SourceError> {
        self.blocking("make a tree", |_, folder| {
            match std::fs::remove_file(folder.join("scratch-index")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        })
        .await?;
        Ok(self.folder.join("scratch-index"))
    }

    /// Runs git in our copy, without any way out of this machine.
    pub(super) async fn inside(
        &self,
        arguments: Vec<OsString>,
        ask: Ask<'_>,
    ) -> Result<Answer, SourceError> {
        let environment = environment::local(&self.surroundings.programs, &self.home, &self.folder);
        let patience = self.surroundings.patience.local;
        self.call(arguments, environment, ask, patience, &self.folder)
            .await
    }

    /// Runs git with a way to the remote repository.
    async fn outside(
        &self,
        copy: Option<&Path>,
        arguments: Vec<OsString>,
        doing: &str,
    ) -> Result<Answer, SourceError> {
        let (programs, home) = (self.surroundings.programs.clone(), self.home.clone());
        let (copy, git) = (copy.map(Path::to_owned), self.git.clone());
        // It reads the credentials' file.
        let made = tokio::task::spawn_blocking(move || {
            environment::remote(&programs, &home, copy.as_deref(), &git)
        });
        let environment = made
            .await
            .map_err(|error| SourceError::Setup(format!("cannot {doing}: {error}")))??;
        let patience = self.surroundings.patience.network;
        self.call(
            arguments,
            environment,
            Ask::short(doing),
            patience,
            &self.home,
        )
        .await
    }

    async fn call(
        &self,
        arguments: Vec<OsString>,
        environment: Environment,
        ask: Ask<'_>,
        patience: Duration,
        folder: &Path,
    ) -> Result<Answer, SourceError> {
        let mut variables = environment.variables;
        variables.extend(ask.also);
        run(Call {
            doing: ask.doing,
            arguments,
            environment: variables,
            folder,
            input: ask.input,
            most: ask.most,
            patience,
            secrets: &environment.secrets,
            watched: Some((self.folder.clone(), MOST_ON_DISK)),
        })
        .await
    }
}

/// The id that is all of an answer.
pub(super) fn id(answer: &[u8], doing: &str) -> Result<CommitId, SourceError> {
    let text = String::from_utf8_lossy(answer);
    CommitId::new(text.trim()).ok_or_else(|| SourceError::Git {
        doing: doing.to_owned(),
        said: format!("expected an id, git answered `{}`", clean(text.trim())),
    })
}

/// `(2, 47)` of `git version 2.47.3`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("git version ")?.split('.');
    let first = numbers.next()?.parse().ok()?;
    let second = numbers
        .next()?
        .split(|c: char| !c.is_ascii_digit())
        .next()?;
    Some((first, second.parse().ok()?))
}

/// A folder's name that a source's name cannot break out of, and that no other source has.
fn folder_name(name: &str) -> String {
    let name = name.strip_prefix("git:").unwrap_or(name);
    if name.is_empty() {
        return "%".to_owned();
    }
    name.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(b).to_string(),
            other => format!("%{other:02x}"),
        })
        .collect()
}

fn make_private(home: &Path, _: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes locks and half-written packs of a git that was stopped. Nobody else works in the copy.
fn clear_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            clear_leftovers(&path);
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let left = name.ends_with(".lock")
            || name.starts_with("tmp_")
            || name.starts_with(".tmp-")
            || name == "gc.pid";
        if left {
            // If it cannot be removed, git says so.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::program::size_of;
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version("git version 2.39.2 (Apple Git-143)"), Some((2, 39)));
        assert_eq!(version("git version 2.30"), Some((2, 30)));
        assert_eq!(version("git version 2.50.0-rc1"), Some((2, 50)));
        for none in ["", "git version", "git version two.one", "hub version 2.1"] {
            assert_eq!(version(none), None, "{none}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder_or_into_anothers() {
        assert_eq!(folder_name("git:infra-2"), "infra-2");
        let odd = [
            "git:../x", "git:/etc", "git:", "git:a b", "git:A", "git:%41", "git:.",
        ];
        let names: std::collections::BTreeSet<String> =
            odd.iter().map(|name| folder_name(name)).collect();
        assert_eq!(names.len(), odd.len());
        for name in names {
            assert!(!name.contains(['/', '.']), "{name}");
        }
    }

    #[test]
    fn what_a_stopped_git_left_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("refs/bailiwick")).unwrap();
        std::fs::create_dir_all(at("objects/pack")).unwrap();
        let left = [
            "refs/bailiwick/tip.lock",
            "objects/pack/tmp_pack_x",
            "gc.pid",
            "config.lock",
        ];
        let kept = ["refs/bailiwick/tip", "objects/pack/pack-1.pack", "config"];
        for name in left.iter().chain(&kept) {
            std::fs::write(at(name), "").unwrap();
        }
        clear_leftovers(folder.path());
        assert!(left.iter().all(|name| !at(name).exists()));
        assert!(kept.iter().all(|name| at(name).exists()));
        assert_eq!(size_of(folder.path()), 0);
    }
}
