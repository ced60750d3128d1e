//! The documents of a folder at a commit: which files they are, and what stands in them. The same files as of a directory on disk
//! (`document_files`): `*.yaml` and `*.yml` that are not hidden, in the order of their names.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::commit::CommitId;
use super::repository::{Ask, Repository};
use super::words;
use crate::document::yaml::MOST_BYTES as MOST_OF_A_FILE;
use crate::document_files::{MOST_FILES, is_document};
use crate::plan::words::clean;
use crate::sources::error::{Fault, SourceError};
use crate::sources::{MOST_BYTES, Text};

/// Most bytes of a folder's listing: some 500,000 files.
const MOST_LISTING: usize = 64 << 20;
/// Most warnings of one kind; the rest is counted.
const MOST_WARNINGS: usize = 20;

/// What was read of a folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) texts: Vec<Text>,
    pub(super) warnings: Vec<String>,
}

/// One line of `git ls-tree`.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    mode: &'a [u8],
    id: &'a str,
    /// Of a file, its bytes.
    size: Option<usize>,
    /// From the root of the repository, whatever bytes that are.
    path: &'a [u8],
}

/// A file of documents that is there.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    id: &'a str,
    size: usize,
    path: &'a [u8],
}

/// Reads the documents of a folder. `label` is what messages put before a file's name.
pub(super) async fn read(
    repository: &Repository,
    commit: &CommitId,
    folder: &str,
    label: &str,
) -> Result<Folder, SourceError> {
    let doing = "list the files of a commit";
    let mut arguments = words(&[
        "ls-tree",
        "-r",
        "-t",
        "-z",
        "-l",
        "--full-tree",
        commit.as_str(),
    ]);
    if folder != "." {
        arguments.extend(words(&["--", folder]));
    }
    let ask = Ask {
        most: MOST_LISTING,
        ..Ask::short(doing)
    };
    let listing = repository.inside(arguments, ask).await?.good(doing)?;
    let entries = parse(&listing).ok_or_else(|| SourceError::Git {
        doing: doing.to_owned(),
        said: "git's listing cannot be understood".to_owned(),
    })?;
    let mut read = Folder::default();
    let found = select(&entries, folder, commit, label, &mut read.warnings)?;
    read.texts = texts(repository, &found, label).await?;
    Ok(read)
}

/// `MODE TYPE ID SIZE<tab>PATH<nul>`, again and again. `None` when it is not that.
fn parse(listing: &[u8]) -> Option<Vec<Entry<'_>>> {
    let lines = listing.split(|b| *b == 0).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let tab = line.iter().position(|b| *b == b'\t')?;
            let (head, path) = line.split_at(tab);
            let mut words = std::str::from_utf8(head)
                .ok()?
                .split(' ')
                .filter(|word| !word.is_empty());
            let (mode, _type, id, size) =
                (words.next()?, words.next()?, words.next()?, words.next()?);
            CommitId::new(id)?;
            Some(Entry {
                mode: mode.as_bytes(),
                id,
                size: if size == "-" {
                    None
                } else {
                    Some(size.parse().ok()?)
                },
                path: path.get(1..)?,
            })
        })
        .collect()
}

/// The files of documents among the entries, in order; what is passed over is told.
fn select<'a>(
    entries: &[Entry<'a>],
    folder: &str,
    commit: &CommitId,
    label: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Found<'a>>, SourceError> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    let (mut links, mut modules) = (Vec::new(), Vec::new());
    let mut there = folder == ".";
    for entry in entries {
        let Some(inner) = below(entry.path, folder) else {
            if entry.path == folder.as_bytes() {
                there = true;
                is_folder(entry, folder, commit)?;
            } else if folder.as_bytes().starts_with(entry.path) {
                is_folder(entry, folder, commit)?;
            }
            continue;
        };
        there = true;
        let parts: Vec<&[u8]> = inner.split(|b| *b == b'/').collect();
        if parts.iter().any(|part| part.is_empty() || *part == b"..") {
            let file = shown(label, entry.path);
            faults.push(Fault::Io {
                file,
                said: "a path in a repository cannot have such parts".to_owned(),
            });
            continue;
        }
        if parts.iter().any(|part| part.starts_with(b".")) {
            continue;
        }
        match (entry.mode, entry.size) {
            (b"040000", _) => {}
            (b"120000", _) => links.push(entry.path),
            (b"160000", _) => modules.push(entry.path),
            (_, Some(size)) if is_document(Path::new(OsStr::from_bytes(inner))) => {
                if size > MOST_OF_A_FILE {
                    let file = shown(label, entry.path);
                    faults.push(Fault::TooLarge { file });
                }
                found.push(Found {
                    id: entry.id,
                    size,
                    path: entry.path,
                });
            }
            (_, Some(_)) => {}
            (_, None) => faults.push(Fault::Io {
                file: shown(label, entry.path),
                said: "it is neither a file nor a folder".to_owned(),
            }),
        }
    }
    let folder_shown = || format!("{label}:{}", clean(folder));
    if !there {
        warnings.push(format!("there is no folder `{}`", folder_shown()));
    }
    if found.len() > MOST_FILES {
        let folder = folder_shown();
        faults.push(Fault::TooMany { folder });
    } else if found.iter().map(|file| file.size).sum::<usize>() > MOST_BYTES {
        let folder = folder_shown();
        faults.push(Fault::TooLargeTogether { folder });
    }
    passed_over(
        &links,
        "is a symbolic link, which is not followed",
        label,
        warnings,
    );
    passed_over(
        &modules,
        "is a submodule, which is not read",
        label,
        warnings,
    );
    if !faults.is_empty() {
        return Err(SourceError::Files { faults });
    }
    found.sort_by(|a, b| {
        a.path
            .split(|b| *b == b'/')
            .cmp(b.path.split(|b| *b == b'/'))
    });
    Ok(found)
}

/// The path from the folder on, if it lies below it.
fn below<'a>(path: &'a [u8], folder: &str) -> Option<&'a [u8]> {
    if folder == "." {
        return Some(path);
    }
    path.strip_prefix(folder.as_bytes())?.strip_prefix(b"/")
}

fn is_folder(entry: &Entry<'_>, folder: &str, commit: &CommitId) -> Result<(), SourceError> {
    let found = match entry.mode {
        b"040000" => return Ok(()),
        b"120000" => "a symbolic link",
        b"160000" => "a submodule",
        _ => "a file",
    };
    Err(SourceError::NotAFolder {
        folder: clean(folder),
        found,
        commit: commit.as_str().to_owned(),
    })
}

fn passed_over(paths: &[&[u8]], what: &str, label: &str, warnings: &mut Vec<String>) {
    for path in paths.iter().take(MOST_WARNINGS) {
        warnings.push(format!("`{}` {what}", shown(label, path)));
    }
    if let Some(more @ 1..) = paths.len().checked_sub(MOST_WARNINGS) {
        warnings.push(format!("{more} more of the same kind: {what}"));
    }
}

/// A file as messages call it.
fn shown(label: &str, path: &[u8]) -> String {
    let path: Cow<'_, str> = String::from_utf8_lossy(path);
    format!("{label}:{}", clean(&path))
}

/// Reads the files, all at once.
async fn texts(
    repository: &Repository,
    found: &[Found<'_>],
    label: &str,
) -> Result<Vec<Text>, SourceError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let doing = "read the files of a commit";
    let ids: String = found.iter().flat_map(|file| [file.id, "\n"]).collect();
    // Each is preceded by its id, type and size.
    let most = found.iter().map(|file| file.size + 128).sum();
    let ask = Ask {
        input: ids.into_bytes(),
        most,
        ..Ask::short(doing)
    };
    let answer = repository
        .inside(words(&["cat-file", "--batch"]), ask)
        .await?
        .good(doing)?;
    let mut rest = answer.as_slice();
    let mut texts = Vec::with_capacity(found.len());
    let mut faults = Vec::new();
    for file in found {
        let bytes = next_object(&mut rest, file.id, "blob")
            .filter(|bytes| bytes.len() == file.size)
            .ok_or_else(|| SourceError::Git {
                doing: doing.to_owned(),
                said: format!(
                    "`{}` is not in the copy of the repository",
                    shown(label, file.path)
                ),
            })?;
        let file = shown(label, file.path);
        match std::str::from_utf8(bytes) {
            Ok(text) => texts.push(Text {
                file,
                text: text.to_owned(),
            }),
            Err(error) => faults.push(Fault::NotText {
                file,
                at: error.valid_up_to(),
            }),
        }
    }
    if faults.is_empty() {
        Ok(texts)
    } else {
        Err(SourceError::Files { faults })
    }
}

/// The next object of an answer of `git cat-file --batch`: `ID TYPE SIZE<newline>BYTES<newline>`.
pub(super) fn next_object<'a>(rest: &mut &'a [u8], id: &str, kind: &str) -> Option<&'a [u8]> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let head = std::str::from_utf8(rest.get(..end)?).ok()?;
    let size = head
        .strip_prefix(id)?
        .strip_prefix(' ')?
        .strip_prefix(kind)?;
    let size: usize = size.strip_prefix(' ')?.parse().ok()?;
    let from = end + 1;
    let to = from.checked_add(size)?;
    let bytes = rest.get(from..to)?;
    *rest = rest.get(to..)?.strip_prefix(b"\n")?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
