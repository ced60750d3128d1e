#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::os::unix::fs::symlink;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn reading(root: &Path, before: &Before) -> Result<Option<Reading>, SourceError> {
    read(root, "directory:home", before)
}

fn first(root: &Path) -> Reading {
    reading(root, &Before::default()).unwrap().unwrap()
}

fn names(reading: &Reading) -> Vec<&str> {
    reading
        .texts
        .iter()
        .map(|text| text.file.as_str())
        .collect()
}

#[test]
fn a_folder_is_read_by_the_rules_of_document_files() {
    let folder = folder(&[
        ("b.yaml", "b"),
        ("a/z.yml", "z"),
        ("a.yaml", "a"),
        (".hidden.yaml", "h"),
        (".git/x.yaml", "x"),
        ("notes.txt", "n"),
    ]);
    let reading = first(folder.path());
    assert_eq!(
        names(&reading),
        [
            "directory:home:a/z.yml",
            "directory:home:a.yaml",
            "directory:home:b.yaml"
        ]
    );
    let same = crate::document_files::read(&[folder.path()]).unwrap();
    let texts: Vec<&str> = reading
        .texts
        .iter()
        .map(|text| text.text.as_str())
        .collect();
    assert_eq!(
        texts,
        same.iter()
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
    );
    assert_eq!(reading.verified, Verified::NotAsked);
}

#[test]
fn a_file_is_read_whatever_it_is_called() {
    let folder = folder(&[("documents", "x")]);
    assert_eq!(
        names(&first(&folder.path().join("documents"))),
        ["directory:home:documents"]
    );
}

#[test]
fn the_revision_tells_names_and_bytes_apart() {
    let revision = |files: &[(&str, &str)]| first(folder(files).path()).revision;
    let one = revision(&[("a.yaml", "x"), ("b.yaml", "")]);
    assert_eq!(
        one,
        revision(&[("b.yaml", ""), ("a.yaml", "x"), ("c.txt", "y")])
    );
    assert_ne!(one, revision(&[("a.yaml", ""), ("b.yaml", "x")]));
    assert_ne!(one, revision(&[("a.yaml", "xb.yaml")]));
    assert_ne!(one, revision(&[("a.yaml", "x")]));
    assert!(one.starts_with("sha256:") && one.len() == 71, "{one}");
}

#[test]
fn unchanged_is_nothing_new() {
    let folder = folder(&[("a.yaml", "x")]);
    let mut before = Before {
        seen: Some(first(folder.path()).revision),
        ..Before::default()
    };
    assert_eq!(reading(folder.path(), &before).unwrap(), None);
    before.reread = true;
    assert!(reading(folder.path(), &before).unwrap().is_some());
    before.reread = false;
    fs::write(folder.path().join("a.yaml"), "y").unwrap();
    let now = reading(folder.path(), &before).unwrap().unwrap();
    assert_eq!(now.texts[0].text, "y");
}

#[test]
fn emptied_is_no_documents_where_there_were_some() {
    let folder = folder(&[("a.yaml", "# nothing\n---\n")]);
    let mut before = Before::default();
    let emptied = |before: &Before| reading(folder.path(), before).unwrap().unwrap().emptied;
    assert!(!emptied(&before));
    before.owned = 1;
    assert!(emptied(&before));
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    assert!(emptied(&before));
    fs::write(folder.path().join("a.yaml"), "{ not yaml").unwrap();
    assert!(!emptied(&before), "what cannot be parsed may be a document");
}

#[test]
fn a_missing_folder_is_an_error_and_never_empty() {
    let folder = folder(&[]);
    let missing = folder.path().join("gone");
    let error = reading(&missing, &Before::default()).unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
}

#[test]
fn every_unreadable_file_is_named() {
    let folder = folder(&[("ok.yaml", "x")]);
    fs::write(folder.path().join("a.yaml"), b"name: \xff").unwrap();
    fs::write(
        folder.path().join("b\u{1b}[1m.yaml"),
        vec![b'x'; MOST_OF_A_FILE + 1],
    )
    .unwrap();
    let error = reading(folder.path(), &Before::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("directory:home:a.yaml` is not text in UTF-8: byte 6"),
        "{error}"
    );
    assert!(error.contains("b\\u{1b}[1m.yaml` is larger"), "{error}");
    assert!(
        !error.contains('\u{1b}') && !error.contains("ok.yaml"),
        "{error}"
    );
}

#[test]
fn links_count_only_within_the_folder() {
    let outside = folder(&[("secret.yaml", "password: x"), ("more/y.yaml", "y")]);
    let folder = folder(&[("..data_1/web.yaml", "web")]);
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts a ConfigMap.
    symlink("..data_1", at("..data")).unwrap();
    symlink("..data/web.yaml", at("web.yaml")).unwrap();
    symlink(outside.path().join("secret.yaml"), at("out.yaml")).unwrap();
    symlink(outside.path().join("more"), at("more")).unwrap();
    symlink("nowhere", at("gone.yaml")).unwrap();
    symlink("/etc/hostname", at("README")).unwrap();
    symlink(".", at("loop")).unwrap();
    let reading = first(folder.path());
    assert_eq!(names(&reading), ["directory:home:web.yaml"]);
    assert_eq!(
        reading.warnings,
        [
            "`directory:home:gone.yaml` is a symbolic link that leads nowhere",
            "`directory:home:loop` is a symbolic link to a folder, which is not followed",
            "`directory:home:more` is a symbolic link to a folder, which is not followed",
            "`directory:home:out.yaml` is a symbolic link out of the folder, which is not followed",
        ]
    );
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = folder(&[("a.yaml", "x")]);
    let pipe = folder.path().join("pipe.yaml");
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let reading = first(folder.path());
    assert_eq!(names(&reading), ["directory:home:a.yaml"]);
    assert_eq!(reading.warnings, ["`directory:home:pipe.yaml` is no file"]);
    assert!(contents(&pipe).is_err());
}

/// Reads while somebody writes: after each reading the next of the changes is made.
fn while_written(root: &Path, changes: Vec<Box<dyn Fn()>>) -> Result<Pass, SourceError> {
    let mut changes = changes.into_iter();
    let look = || {
        let pass = pass(root, "directory:home");
        if let Some(change) = changes.next() {
            change();
        }
        pass
    };
    stable(root, "directory:home", look, || {})
}

#[test]
fn what_is_being_written_is_read_again_and_then_refused() {
    let folder = folder(&[("a.yaml", "x"), ("b.yaml", "y")]);
    let root = folder.path().to_owned();
    let write = |name: &'static str, text: &'static str| -> Box<dyn Fn()> {
        let path = root.join(name);
        Box::new(move || fs::write(&path, text).unwrap())
    };
    let remove = |name: &'static str| -> Box<dyn Fn()> {
        let path = root.join(name);
        Box::new(move || fs::remove_file(&path).unwrap())
    };
    let read = while_written(&root, vec![write("a.yaml", "half")]).unwrap();
    assert_eq!(read.files[Path::new("a.yaml")].bytes, b"half");

    for (changes, what) in [
        (
            vec![write("a.yaml", "1"), write("a.yaml", "2")],
            "`directory:home:a.yaml` changed",
        ),
        (
            vec![write("b.yaml", "1"), write("c.yaml", "2")],
            "`directory:home:c.yaml` appeared",
        ),
        (
            vec![write("b.yaml", "3"), remove("c.yaml")],
            "`directory:home:c.yaml` disappeared",
        ),
    ] {
        let error = while_written(&root, changes).unwrap_err();
        assert!(matches!(error, SourceError::BeingWritten { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn the_same_bytes_written_again_are_a_change_too() {
    let folder = folder(&[("a.yaml", "x")]);
    let replace = {
        let root = folder.path().to_owned();
        move || {
            fs::write(root.join(".new"), "x").unwrap();
            fs::rename(root.join(".new"), root.join("a.yaml")).unwrap();
        }
    };
    let changes: Vec<Box<dyn Fn()>> = vec![Box::new(replace.clone()), Box::new(replace)];
    assert!(while_written(folder.path(), changes).is_err());
}
