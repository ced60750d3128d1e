#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn commit() -> CommitId {
    CommitId::new(ID).unwrap()
}

/// A listing of `(mode, size, path)`.
fn listing(entries: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, size, path) in entries {
        let kind = match *mode {
            "040000" => "tree",
            "160000" => "commit",
            _ => "blob",
        };
        bytes.extend(format!("{mode} {kind} {ID} {size:>7}\t").into_bytes());
        bytes.extend(*path);
        bytes.push(0);
    }
    bytes
}

fn selected(
    entries: &[(&str, &str, &[u8])],
    folder: &str,
) -> (Result<Vec<String>, SourceError>, Vec<String>) {
    let bytes = listing(entries);
    let parsed = parse(&bytes).unwrap();
    let mut warnings = Vec::new();
    let found = select(&parsed, folder, &commit(), "git:x@0123456", &mut warnings);
    let names = found.map(|found| {
        let name = |file: &Found<'_>| String::from_utf8_lossy(file.path).into_owned();
        found.iter().map(name).collect()
    });
    (names, warnings)
}

#[test]
fn documents_below_the_folder_in_the_order_of_names() {
    let (names, warnings) = selected(
        &[
            ("040000", "-", b"lab"),
            ("100644", "1", b"lab/b.yaml"),
            ("100644", "1", b"lab/a.yaml"),
            ("100755", "1", b"lab/a/z.yml"),
            ("100644", "1", b"lab/.hidden.yaml"),
            ("100644", "1", b"lab/.github/x.yaml"),
            ("100644", "1", b"lab/notes.txt"),
            ("100644", "1", b"lab/yaml"),
            ("100644", "1", b"lab/X.YAML"),
            ("100644", "1", b"labs/c.yaml"),
            ("100644", "1", b"lab.yaml"),
        ],
        "lab",
    );
    assert_eq!(names.unwrap(), ["lab/a/z.yml", "lab/a.yaml", "lab/b.yaml"]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn links_and_submodules_are_passed_over_and_named() {
    let (names, warnings) = selected(
        &[
            ("100644", "1", b"a.yaml"),
            ("120000", "9", b"b\x1b[2J.yaml"),
            ("160000", "-", b"vendor/mod"),
        ],
        ".",
    );
    assert_eq!(names.unwrap(), ["a.yaml"]);
    assert_eq!(
        warnings,
        [
            "`git:x@0123456:b\\u{1b}[2J.yaml` is a symbolic link, which is not followed",
            "`git:x@0123456:vendor/mod` is a submodule, which is not read",
        ]
    );
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    for (mode, found) in [
        ("120000", "a symbolic link"),
        ("160000", "a submodule"),
        ("100644", "a file"),
    ] {
        let size = if mode == "160000" { "-" } else { "3" };
        for path in [&b"clusters"[..], b"clusters/lab"] {
            let (names, _) = selected(&[(mode, size, path)], "clusters/lab");
            let error = names.unwrap_err();
            assert!(error.to_string().contains(found), "{error}");
        }
    }
    let (names, warnings) = selected(&[("040000", "-", b"clusters")], "clusters/lab");
    assert!(names.unwrap().is_empty());
    assert_eq!(
        warnings,
        ["there is no folder `git:x@0123456:clusters/lab`"]
    );
}

#[test]
fn parts_that_lead_elsewhere_are_refused() {
    for path in [
        &b"lab/../x.yaml"[..],
        b"lab//x.yaml",
        b"lab/..",
        b"lab/a/../b.yaml",
    ] {
        let (names, _) = selected(&[("100644", "1", path)], "lab");
        assert!(matches!(names, Err(SourceError::Files { .. })), "{path:?}");
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_is_read() {
    let over = (MOST_OF_A_FILE + 1).to_string();
    let (names, _) = selected(
        &[("100644", &over, b"a.yaml"), ("100644", &over, b"b.bin")],
        ".",
    );
    let error = names.unwrap_err().to_string();
    assert!(
        error.contains("git:x@0123456:a.yaml") && !error.contains("b.bin"),
        "{error}"
    );

    let full = MOST_OF_A_FILE.to_string();
    let paths: Vec<String> = (0..9).map(|number| format!("{number}.yaml")).collect();
    let entries: Vec<(&str, &str, &[u8])> = paths
        .iter()
        .map(|path| ("100644", full.as_str(), path.as_bytes()))
        .collect();
    assert!(selected(&entries[..8], ".").0.is_ok());
    let error = selected(&entries, ".").0.unwrap_err();
    assert!(error.to_string().contains("together"), "{error}");

    let paths: Vec<String> = (0..=MOST_FILES)
        .map(|number| format!("{number}.yaml"))
        .collect();
    let entries: Vec<(&str, &str, &[u8])> = paths
        .iter()
        .map(|path| ("100644", "1", path.as_bytes()))
        .collect();
    assert_eq!(selected(&entries[1..], ".").0.unwrap().len(), MOST_FILES);
    let error = selected(&entries, ".").0.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn a_listing_that_is_none_is_not_understood() {
    for bytes in [
        &b"100644 blob"[..],
        b"100644 blob 0123 1\ta\0",
        b"100644 blob 0123456789abcdef0123456789abcdef01234567 x\ta\0",
        b"\xff blob 0123456789abcdef0123456789abcdef01234567 1\ta\0",
    ] {
        assert_eq!(parse(bytes), None);
    }
    assert_eq!(parse(b""), Some(Vec::new()));
}

#[test]
fn objects_follow_each_other() {
    let answer = format!("{ID} blob 3\na\nb\n{ID} blob 0\n\n{ID} missing\n");
    let mut rest = answer.as_bytes();
    assert_eq!(next_object(&mut rest, ID, "blob"), Some(&b"a\nb"[..]));
    assert_eq!(next_object(&mut rest, ID, "blob"), Some(&b""[..]));
    assert_eq!(next_object(&mut rest, ID, "blob"), None);
    for wrong in [
        format!("{ID} tree 1\nx\n"),
        format!("{ID} blob 5\nx\n"),
        format!("{ID} blob 1\nxy"),
    ] {
        assert_eq!(next_object(&mut wrong.as_bytes(), ID, "blob"), None);
    }
}
