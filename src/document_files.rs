//! Reads the files that documents stand in. The only place of `document` that touches the file system; it knows nothing of what the
//! files say. Directories are read whole, in the order of their names, so that the same directory always reads the same.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::document::yaml::MOST_BYTES;

/// Most files of one directory tree.
pub const MOST_FILES: usize = 10_000;

/// A file or directory that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The bytes are no text.
    #[error(
        "`{path}` is not text in UTF-8: byte {at} is not part of a character; save the file as UTF-8"
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// The offset of the first wrong byte, from 0.
        at: usize,
    },
    /// The file is larger than any file of documents may be.
    #[error("`{path}` is larger than {MOST_BYTES} bytes; split it into several files")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The directory has no documents at all, which is more often a mistake than meant.
    #[error(
        "`{path}` has no files `*.yaml` or `*.yml`; an empty directory is not read as \"no documents\""
    )]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory tree has too many files.
    #[error("`{path}` has more than {MOST_FILES} files of documents")]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// Everything that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub struct ReadErrors(pub Vec<ReadError>);

fn list(errors: &[ReadError]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match error {
            ReadError::Io { cause, .. } => format!("{error}: {cause}"),
            ReadError::NotText { .. }
            | ReadError::TooLarge { .. }
            | ReadError::Empty { .. }
            | ReadError::TooMany { .. } => error.to_string(),
        })
        .collect();
    lines.join("\n")
}

/// The name and text of every file: a file as it is, whatever it is called; of a directory and those below it all `*.yaml` and `*.yml`
/// that are not hidden. Links to directories are not followed.
///
/// # Errors
/// [`ReadErrors`] with every file that could not be read; then nothing of the rest may be used, for half a directory is not the directory.
pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<(String, String)>, ReadErrors> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let path = path.as_ref();
        if path.is_dir() {
            let before = files.len();
            directory(path, &mut files, &mut errors);
            if files.len() == before && errors.is_empty() {
                errors.push(ReadError::Empty {
                    path: path.to_owned(),
                });
            }
            if files.len() > MOST_FILES {
                errors.push(ReadError::TooMany {
                    path: path.to_owned(),
                });
            }
        } else {
            files.push(path.to_owned());
        }
    }
    let mut texts = Vec::new();
    for path in files.iter().take(MOST_FILES) {
        match file(path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(texts)
    } else {
        Err(ReadErrors(errors))
    }
}

fn directory(path: &Path, files: &mut Vec<PathBuf>, errors: &mut Vec<ReadError>) {
    let failed = |cause| ReadError::Io {
        path: path.to_owned(),
        cause,
    };
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(cause) => return errors.push(failed(cause)),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if files.len() > MOST_FILES {
            return;
        }
        let inner = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => directory(&inner, files, errors),
            Ok(_) if is_document(&inner) && !inner.is_dir() => files.push(inner),
            Ok(_) => {}
            Err(cause) => errors.push(ReadError::Io { path: inner, cause }),
        }
    }
}

/// Whether documents are expected in a file of this name: `*.yaml` or `*.yml`.
pub fn is_document(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn file(path: &Path) -> Result<String, ReadError> {
    let failed = |cause| ReadError::Io {
        path: path.to_owned(),
        cause,
    };
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    fs::File::open(path)
        .map_err(failed)?
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > MOST_BYTES {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| ReadError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_reads_in_the_order_of_names_and_without_hidden_files() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("a")).unwrap();
        for name in ["b.yaml", "a/z.yml", ".hidden.yaml", "notes.txt"] {
            fs::write(at(name), name).unwrap();
        }
        let read = read(&[directory.path()]).unwrap();
        let texts: Vec<&str> = read.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a/z.yml", "b.yaml"]);
    }

    #[test]
    fn every_unreadable_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), b"name: \xff").unwrap();
        let missing = directory.path().join("missing.yaml");
        let errors = read(&[directory.path(), &missing]).unwrap_err();
        assert_eq!(errors.0.len(), 2);
        assert!(errors.to_string().contains("byte 6"));
    }

    #[test]
    fn an_empty_directory_is_not_no_documents() {
        let directory = tempfile::tempdir().unwrap();
        let errors = read(&[directory.path()]).unwrap_err();
        assert!(matches!(errors.0.as_slice(), [ReadError::Empty { .. }]));
    }
}
