//! A remote repository, somebody who works in it, and Bailiwick's side of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bailiwick::configuration;
use bailiwick::configuration::serving::{Git, GitStatus};
use bailiwick::ids::ClusterName;
use bailiwick::sources::{Before, Patience, Reading, Source, SourceError, Surroundings};
use jiff::{SignedDuration, Timestamp};

/// A document as small as can be.
pub fn pool(name: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata:\n  name: {name}\nspec:\n  comment: {name}\n"
    )
}

pub fn lab() -> ClusterName {
    ClusterName::new("lab").unwrap()
}

pub fn now() -> Timestamp {
    "2026-11-22T17:00:00Z".parse().unwrap()
}

pub fn seen(revision: &str) -> Before {
    Before {
        seen: Some(revision.to_owned()),
        applied: Some(revision.to_owned()),
        owned: 1,
        reread: false,
    }
}

pub struct Bench {
    pub folder: tempfile::TempDir,
    /// The bare repository.
    pub remote: PathBuf,
    /// Somebody's clone of it.
    pub work: PathBuf,
    /// The configuration, to be changed before a source is opened.
    pub git: Git,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_format("sha1")
    }

    pub fn with_format(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let remote = folder.path().join("remote.git");
        let work = folder.path().join("work");
        for (path, bare) in [(&remote, true), (&work, false)] {
            let mut command = git_command(folder.path(), folder.path());
            command.args(["init", "-q", "-b", "main", "--object-format", format]);
            if bare {
                command.arg("--bare");
            }
            assert!(command.arg(path).status().unwrap().success());
        }
        let git = Git {
            url: remote.to_str().unwrap().to_owned(),
            branch: "main".to_owned(),
            paths: BTreeMap::from([(lab(), "clusters/lab".to_owned())]),
            signed_by: None,
            ssh_key_file: None,
            known_hosts_file: None,
            credentials_file: None,
            ca_file: None,
            interval: SignedDuration::from_secs(60),
            status: GitStatus::Off,
        };
        Self {
            folder,
            remote,
            work,
            git,
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs git in somebody's clone.
    pub fn run(&self, arguments: &[&str]) -> String {
        text(&self.command(&self.work, arguments, b""))
    }

    /// Runs git in the bare repository.
    pub fn there(&self, arguments: &[&str]) -> String {
        text(&self.command(&self.remote, arguments, b""))
    }

    pub fn command(&self, place: &Path, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = git_command(self.folder.path(), place)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Puts an object into the bare repository, whatever it says.
    pub fn object(&self, kind: &str, bytes: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
        text(&self.command(&self.remote, &arguments, bytes))
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.work.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Commits everything in the clone, without pushing.
    pub fn commit_here(&self, message: &str, more: &[&str]) -> String {
        self.run(&["add", "-A"]);
        let commit = ["commit", "-q", "--allow-empty", "-m", message];
        self.run(&[&commit[..], more].concat());
        self.run(&["rev-parse", "HEAD"])
    }

    /// Commits files and pushes.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            self.write(name, text);
        }
        let id = self.commit_here("documents", &[]);
        self.push();
        id
    }

    pub fn push(&self) {
        let remote = self.remote.to_str().unwrap();
        self.run(&["push", "-q", "--force", remote, "HEAD:refs/heads/main"]);
    }

    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            folder: self.at("state.git"),
            programs: std::env::var_os("PATH").unwrap(),
            patience: Patience::default(),
        }
    }

    pub fn open(&self) -> Source {
        self.open_with(&self.surroundings()).unwrap()
    }

    pub fn open_with(&self, surroundings: &Surroundings) -> Result<Source, SourceError> {
        let source = configuration::Source {
            git: Some(self.git.clone()),
            ..configuration::Source::default()
        };
        Source::open("git:infra", &source, surroundings).map(Option::unwrap)
    }

    /// Surroundings with a `git` that is this shell script. `$REAL` in it is the real one.
    pub fn with_script(&self, script: &str) -> Surroundings {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&path)
            .map(|folder| folder.join("git"))
            .find(|file| file.is_file())
            .unwrap();
        let programs = self.at("programs");
        std::fs::create_dir_all(&programs).unwrap();
        let file = programs.join("git");
        let script = format!("#!/bin/sh\nREAL='{}'\n{script}\n", real.display());
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut first = OsString::from(programs);
        first.push(":");
        first.push(path);
        Surroundings {
            programs: first,
            patience: Patience {
                network: Duration::from_secs(60),
                local: Duration::from_secs(60),
            },
            ..self.surroundings()
        }
    }
}

/// What the cluster `lab` has, if anything is new.
pub async fn poll(source: &Source, before: &Before) -> Option<Result<Reading, SourceError>> {
    let before = BTreeMap::from([(lab(), before.clone())]);
    source.poll(&before, now()).await.unwrap().remove(&lab())
}

/// What the cluster `lab` has, which has to be new and good.
pub async fn read(source: &Source, before: &Before) -> Reading {
    poll(source, before).await.expect("nothing is new").unwrap()
}

/// Why what the cluster `lab` has cannot be used.
pub async fn refused(source: &Source, before: &Before) -> SourceError {
    poll(source, before)
        .await
        .expect("nothing is new")
        .unwrap_err()
}

pub fn names(reading: &Reading) -> Vec<&str> {
    reading
        .texts
        .iter()
        .map(|text| text.file.as_str())
        .collect()
}

fn git_command(home: &Path, place: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(place)
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Alice")
        .env("GIT_AUTHOR_EMAIL", "alice@example.com")
        .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "Alice")
        .env("GIT_COMMITTER_EMAIL", "alice@example.com")
        .env("GIT_COMMITTER_DATE", "@1700000000 +0000");
    command
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
