//! For every tree of files, exactly the documents below the folder are read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::sources::{Before, SourceError};
use proptest::prelude::*;

use super::bench::{Bench, poll};

const PARTS: &[&str] = &[
    "clusters",
    "lab",
    "a",
    "b.yaml",
    "c.yml",
    "d.yaml",
    "e.txt",
    ".f",
    ".g.yaml",
    "h i.yaml",
    "é.yaml",
    "j\n.yaml",
    "\"k\".yaml",
    "yaml",
    "l.yaml.bak",
    "clusters.yaml",
    "lab.yaml",
    "LAB",
    "m.YAML",
    "-n.yaml",
    "*",
    "o?.yml",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    File,
    Program,
    Link,
}

type Tree = BTreeMap<Vec<&'static str>, (Mode, String)>;

fn path() -> impl Strategy<Value = Vec<&'static str>> {
    let part = || prop::sample::select(PARTS);
    prop_oneof![
        6 => prop::collection::vec(part(), 1..3).prop_map(|rest| [vec!["clusters", "lab"], rest].concat()),
        1 => prop::collection::vec(part(), 1..4),
    ]
}

/// A tree in which no file is also a folder.
fn tree() -> impl Strategy<Value = Tree> {
    let mode = prop_oneof![6 => Just(Mode::File), 1 => Just(Mode::Program), 1 => Just(Mode::Link)];
    prop::collection::btree_map(path(), (mode, "[ -~]{0,20}"), 0..12).prop_map(|files: Tree| {
        let all: Vec<_> = files.keys().cloned().collect();
        let folder = |path: &Vec<&str>| {
            all.iter()
                .any(|other| other.len() > path.len() && other.starts_with(path))
        };
        files
            .into_iter()
            .filter(|(path, _)| !folder(path))
            .collect()
    })
}

fn import(bench: &Bench, tree: &Tree) {
    let mut stream =
        String::from("commit refs/heads/main\ncommitter x <x> 1 +0000\ndata 0\ndeleteall\n");
    for (path, (mode, text)) in tree {
        let mode = match mode {
            Mode::File => "100644",
            Mode::Program => "100755",
            Mode::Link => "120000",
        };
        let quoted: String = path
            .join("/")
            .bytes()
            .map(|b| format!("\\{b:03o}"))
            .collect();
        writeln!(
            stream,
            "M {mode} inline \"{quoted}\"\ndata {}\n{text}",
            text.len()
        )
        .unwrap();
    }
    let imported = bench.command(
        &bench.remote,
        &["fast-import", "--quiet", "--force"],
        stream.as_bytes(),
    );
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
}

/// What is to be read, by the words of the documentation.
fn model(tree: &Tree) -> Vec<(String, String)> {
    let inner = tree
        .iter()
        .filter_map(|(path, file)| Some((path.strip_prefix(&["clusters", "lab"][..])?, file)));
    inner
        .filter(|(path, (mode, _))| {
            let name = path.last().copied().unwrap_or_default();
            *mode != Mode::Link
                && !path.iter().any(|part| part.starts_with('.'))
                && (name.ends_with(".yaml") || name.ends_with(".yml"))
        })
        .map(|(path, (_, text))| (path.join("/").replace('\n', "\\u{a}"), text.clone()))
        .collect()
}

#[test]
fn exactly_the_documents_below_the_folder_are_read() {
    let cases = if std::env::var_os("BAILIWICK_LONG").is_some() {
        500
    } else {
        24
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bench = Bench::new();
    let source = bench.open();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&tree(), |tree| {
            import(&bench, &tree);
            let read = runtime.block_on(poll(&source, &Before::default())).unwrap();
            let is_file = |path: &[&str]| tree.contains_key(path);
            if is_file(&["clusters"]) || is_file(&["clusters", "lab"]) {
                prop_assert!(
                    matches!(read, Err(SourceError::NotAFolder { .. })),
                    "{read:?}"
                );
                return Ok(());
            }
            let read = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
            let label = format!("git:infra@{}:clusters/lab/", &read.revision[..7]);
            let texts: Vec<(String, String)> = read
                .texts
                .into_iter()
                .map(|text| {
                    (
                        text.file.strip_prefix(&label).unwrap().to_owned(),
                        text.text,
                    )
                })
                .collect();
            prop_assert_eq!(texts, model(&tree));
            let links = tree.iter().filter(|(path, (mode, _))| {
                *mode == Mode::Link
                    && path.starts_with(&["clusters", "lab"])
                    && !path[2..].iter().any(|part| part.starts_with('.'))
            });
            let named = read
                .warnings
                .iter()
                .filter(|warning| warning.contains("symbolic link"));
            prop_assert_eq!(named.count(), links.count());
            Ok(())
        })
        .unwrap();
}
