//! Directories on this machine. What is read is what stood still: the folder is read twice, and only when both readings are the same
//! to the byte is one of them taken.
//!
//! The rules are those of `document_files`: a file as it is; of a folder all `*.yaml` and `*.yml` that are not hidden, in the order
//! of their names. Whoever can write the folder can not make other files of this machine show up in messages: a symbolic link counts
//! only when it leads to a file within the folder, which is how Kubernetes mounts a ConfigMap.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::error::{Fault, SourceError};
use super::{Before, MOST_BYTES, Reading, Text, Verified, emptied};
use crate::configuration::serving::Directory;
use crate::document::yaml::MOST_BYTES as MOST_OF_A_FILE;
use crate::document_files::{MOST_FILES, is_document};
use crate::ids::ClusterName;
use crate::plan::words::clean;

/// How deep folders may lie in each other.
const DEEPEST: usize = 64;
/// Most warnings; the rest is counted.
const MOST_WARNINGS: usize = 20;
/// How long is waited before a folder that changed is read once more.
const PAUSE: Duration = Duration::from_millis(200);

/// Folders that documents come from.
#[derive(Debug)]
pub(super) struct DirectorySource {
    name: String,
    pub(super) directory: Directory,
}

impl DirectorySource {
    pub(super) fn open(name: &str, directory: &Directory) -> Self {
        Self {
            name: name.to_owned(),
            directory: directory.clone(),
        }
    }

    pub(super) async fn poll(
        &self,
        before: &BTreeMap<ClusterName, Before>,
    ) -> BTreeMap<ClusterName, Result<Reading, SourceError>> {
        let never = Before::default();
        let mut readings = BTreeMap::new();
        for (cluster, path) in &self.directory.paths {
            let before = before.get(cluster).unwrap_or(&never).clone();
            let (root, label) = (path.clone(), clean(&self.name));
            let read = tokio::task::spawn_blocking(move || read(&root, &label, &before)).await;
            let read = read.unwrap_or_else(|error| {
                Err(SourceError::Unreachable {
                    path: clean(&path.display().to_string()),
                    said: error.to_string(),
                })
            });
            if let Some(read) = read.transpose() {
                readings.insert(cluster.clone(), read);
            }
        }
        readings
    }
}

/// Reads a folder; `None` when it is as it was seen.
fn read(root: &Path, label: &str, before: &Before) -> Result<Option<Reading>, SourceError> {
    let pause = || std::thread::sleep(PAUSE);
    let pass = stable(root, label, || pass(root, label), pause)?;
    let revision = revision(&pass);
    let unchanged = before.seen.as_deref() == Some(revision.as_str());
    let mut faults = pass.faults;
    let mut texts = Vec::with_capacity(pass.files.len());
    for (path, found) in pass.files {
        let file = shown(label, &path);
        match String::from_utf8(found.bytes) {
            Ok(text) => texts.push(Text { file, text }),
            Err(error) => faults.push(Fault::NotText {
                file,
                at: error.utf8_error().valid_up_to(),
            }),
        }
    }
    if !faults.is_empty() {
        return Err(SourceError::Files { faults });
    }
    if unchanged && !before.reread {
        return Ok(None);
    }
    Ok(Some(Reading {
        revision,
        emptied: emptied(&texts, before.owned),
        texts,
        verified: Verified::NotAsked,
        rewritten: None,
        warnings: pass.warnings,
    }))
}

/// The hash over the names and bytes of all files, each with its length before it, so that nothing can pass for something else, and
/// over what was passed over, so that it is told.
fn revision(pass: &Pass) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // A usize has at most 64 bits where this runs.
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for (path, found) in &pass.files {
        add(path.as_os_str().as_bytes());
        add(&found.bytes);
    }
    for warning in &pass.warnings {
        add(warning.as_bytes());
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// What one reading of a folder found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pass {
    /// By the path within the folder.
    files: BTreeMap<PathBuf, Found>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    /// The bytes of all files.
    size: usize,
}

/// A file as it was read.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Which file it was, how large, and when it was last changed.
    stamp: [i128; 5],
    bytes: Vec<u8>,
}

/// Reads the folder until two readings after each other are the same: at most three times.
fn stable(
    root: &Path,
    label: &str,
    mut look: impl FnMut() -> Result<Pass, SourceError>,
    pause: impl FnOnce(),
) -> Result<Pass, SourceError> {
    let first = look()?;
    let second = look()?;
    if first == second {
        return Ok(second);
    }
    pause();
    let third = look()?;
    if second == third {
        return Ok(third);
    }
    Err(SourceError::BeingWritten {
        path: clean(&root.display().to_string()),
        what: difference(&second, &third, label),
    })
}

/// The first thing that is not the same in two readings.
fn difference(one: &Pass, other: &Pass, label: &str) -> String {
    let changed = one
        .files
        .iter()
        .find(|(path, found)| other.files.get(*path).is_some_and(|now| now != *found));
    let gone = one
        .files
        .keys()
        .find(|path| !other.files.contains_key(*path));
    let new = other
        .files
        .keys()
        .find(|path| !one.files.contains_key(*path));
    match (changed, gone, new) {
        (Some((path, _)), _, _) => format!("`{}` changed", shown(label, path)),
        (None, Some(path), _) => format!("`{}` disappeared", shown(label, path)),
        (None, None, Some(path)) => format!("`{}` appeared", shown(label, path)),
        (None, None, None) => "what could not be read changed".to_owned(),
    }
}

/// A file as messages call it.
fn shown(label: &str, path: &Path) -> String {
    format!("{label}:{}", clean(&path.to_string_lossy()))
}

/// Reads the folder once.
fn pass(root: &Path, label: &str) -> Result<Pass, SourceError> {
    let unreachable = |error: std::io::Error| SourceError::Unreachable {
        path: clean(&root.display().to_string()),
        said: error.to_string(),
    };
    let real = fs::canonicalize(root).map_err(unreachable)?;
    let mut walk = Walk {
        root: &real,
        label,
        pass: Pass::default(),
    };
    if fs::metadata(&real).map_err(unreachable)?.is_dir() {
        // That the folder itself cannot be listed must not look like a folder without files.
        let entries = list(&real).map_err(unreachable)?;
        walk.folder(entries, Path::new(""), 0);
    } else {
        let name = root.file_name().map_or_else(PathBuf::new, PathBuf::from);
        walk.file(&real, &name);
    }
    let mut pass = walk.pass;
    if let Some(more @ 1..) = pass.warnings.len().checked_sub(MOST_WARNINGS) {
        pass.warnings.truncate(MOST_WARNINGS);
        pass.warnings.push(format!("{more} more were passed over"));
    }
    Ok(pass)
}

fn list(folder: &Path) -> std::io::Result<Vec<fs::DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// One reading on its way.
struct Walk<'a> {
    root: &'a Path,
    label: &'a str,
    pass: Pass,
}

impl Walk<'_> {
    fn folder(&mut self, entries: Vec<fs::DirEntry>, within: &Path, depth: usize) {
        for entry in entries {
            if self.full() {
                return;
            }
            let name = entry.file_name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let path = within.join(&name);
            let real = entry.path();
            match entry.file_type() {
                Err(error) => self.fault(&path, error.to_string()),
                Ok(kind) if kind.is_dir() && depth >= DEEPEST => {
                    self.fault(&path, format!("folders lie more than {DEEPEST} deep"));
                }
                Ok(kind) if kind.is_dir() => match list(&real) {
                    Ok(entries) => self.folder(entries, &path, depth + 1),
                    Err(error) => self.fault(&path, error.to_string()),
                },
                Ok(kind) if kind.is_symlink() => self.link(&real, &path),
                Ok(_) if !is_document(&path) => {}
                Ok(kind) if kind.is_file() => self.file(&real, &path),
                Ok(_) => self.warn(&path, "is no file"),
            }
        }
    }

    /// A symbolic link: taken for the file it leads to, if that lies within the folder.
    fn link(&mut self, link: &Path, path: &Path) {
        let Ok(real) = fs::canonicalize(link) else {
            if is_document(path) {
                self.warn(path, "is a symbolic link that leads nowhere");
            }
            return;
        };
        if real.is_dir() {
            self.warn(
                path,
                "is a symbolic link to a folder, which is not followed",
            );
        } else if !is_document(path) {
            // As with any other file that is not of documents.
        } else if real.starts_with(self.root) {
            self.file(&real, path);
        } else {
            self.warn(
                path,
                "is a symbolic link out of the folder, which is not followed",
            );
        }
    }

    fn file(&mut self, real: &Path, path: &Path) {
        match contents(real) {
            Ok(found) if found.bytes.len() > MOST_OF_A_FILE => {
                let file = shown(self.label, path);
                self.pass.faults.push(Fault::TooLarge { file });
            }
            Ok(found) => {
                self.pass.size += found.bytes.len();
                self.pass.files.insert(path.to_owned(), found);
            }
            Err(error) => self.fault(path, error.to_string()),
        }
    }

    /// Whether there is more than is taken; said once.
    fn full(&mut self) -> bool {
        let folder = || self.label.to_owned();
        let fault = if self.pass.files.len() > MOST_FILES {
            Fault::TooMany { folder: folder() }
        } else if self.pass.size > MOST_BYTES {
            Fault::TooLargeTogether { folder: folder() }
        } else {
            return false;
        };
        if self.pass.faults.last() != Some(&fault) {
            self.pass.faults.push(fault);
        }
        true
    }

    fn fault(&mut self, path: &Path, said: String) {
        let file = shown(self.label, path);
        self.pass.faults.push(Fault::Io { file, said });
    }

    fn warn(&mut self, path: &Path, what: &str) {
        let file = shown(self.label, path);
        self.pass.warnings.push(format!("`{file}` {what}"));
    }
}

/// A file's bytes, one more than is allowed at most. Never waits for what is not a file, such as a pipe.
fn contents(path: &Path) -> std::io::Result<Found> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let most = u64::try_from(MOST_OF_A_FILE).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.by_ref().take(most + 1).read_to_end(&mut bytes)?;
    Ok(Found {
        stamp: stamp(&metadata),
        bytes,
    })
}

fn stamp(metadata: &Metadata) -> [i128; 5] {
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    [
        metadata.dev().into(),
        metadata.ino().into(),
        metadata.len().into(),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ]
}

#[cfg(test)]
mod tests;
