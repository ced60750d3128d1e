//! The Git repository of the demo: people commit documents to it, and the loop reads them there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::exit::Failure;

/// The branch that the loop reads.
const BRANCH: &str = "main";
/// The first version of git that the loop reads with.
const LEAST_VERSION: (u32, u32) = (2, 31);

/// A repository with a work tree, in the demo's folder.
pub struct Repository {
    folder: PathBuf,
    programs: OsString,
}

impl Repository {
    /// Makes it, with a first commit that has no documents yet. The inner error says why there is no `git` to do that with.
    pub async fn make(folder: PathBuf) -> Result<Result<Self, String>, Failure> {
        let programs = std::env::var_os("PATH").unwrap_or_default();
        if let Err(why) = usable_git(&programs).await {
            return Ok(Err(why));
        }
        std::fs::create_dir(&folder).map_err(|error| {
            Failure::error(format!(
                "the demo cannot make {}: {error}",
                folder.display()
            ))
        })?;
        let repository = Self { folder, programs };
        let init = ["init", "--quiet", "--template=", "--initial-branch", BRANCH];
        repository.git(&init).await?;
        let text = "Documents of the cluster `lab`. The loop plans what is committed to `main`.\n";
        repository
            .commit("README", text, "begin without documents")
            .await?;
        Ok(Ok(repository))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Commits a file. Returns the commit's whole name.
    pub async fn commit(&self, file: &str, text: &str, message: &str) -> Result<String, Failure> {
        std::fs::write(self.folder.join(file), text).map_err(|error| {
            Failure::error(format!(
                "the demo cannot write {}: {error}",
                self.folder.join(file).display()
            ))
        })?;
        self.git(&["add", "--", file]).await?;
        let commit = ["commit", "--quiet", "--no-gpg-sign", "--message", message];
        self.git(&commit).await?;
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// Calls git with none of the user's own configuration.
    async fn git(&self, arguments: &[&str]) -> Result<String, Failure> {
        let said = git(&self.programs)
            .current_dir(&self.folder)
            .args(arguments)
            .output()
            .await;
        let failed = |why: &str| {
            Failure::error(format!(
                "the demo cannot `git {}` in {}: {}",
                arguments.join(" "),
                self.folder.display(),
                why.trim()
            ))
        };
        let said = said.map_err(|error| failed(&error.to_string()))?;
        if !said.status.success() {
            return Err(failed(&String::from_utf8_lossy(&said.stderr)));
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }
}

fn git(programs: &OsString) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", programs)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([
            ("GIT_AUTHOR_NAME", "Demo Operator"),
            ("GIT_AUTHOR_EMAIL", "operator@demo.invalid"),
            ("GIT_COMMITTER_NAME", "Demo Operator"),
            ("GIT_COMMITTER_EMAIL", "operator@demo.invalid"),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Whether there is a `git` that the loop can read with; the error says why not.
async fn usable_git(programs: &OsString) -> Result<(), String> {
    let said = git(programs).arg("version").output().await;
    let said = said.map_err(|error| format!("there is no `git` to be found ({error})"))?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let mut numbers = said
        .trim_start_matches("git version ")
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = LEAST_VERSION;
    if version < LEAST_VERSION {
        return Err(format!("`{said}` is older than {major}.{minor}"));
    }
    Ok(())
}
