//! The house, held by a test: imports point down only, `sim` stands apart, the pure rooms do no I/O and know no clock.
#![allow(clippy::print_stderr, clippy::print_stdout)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room with its storey. A room may import rooms of lower storeys only.
const STOREYS: &[(&str, u32)] = &[
    ("ids", 0),
    ("text", 0),
    ("metrics", 1),
    ("proxmox", 1),
    ("document", 2),
    ("document_files", 3),
    ("ledger", 2),
    ("store", 3),
    ("world", 4),
    ("health", 5),
    ("plan", 6),
    ("approval", 7),
    ("configuration", 8),
    ("apply", 9),
    ("notify", 9),
    ("service", 10),
    ("demo", 11),
    ("cli", 12),
    ("main", 13),
];

/// Words that have no place in a pure room: I/O, runtime, network, clock, environment, chance.
const IMPURE: &[&str] = &[
    "tokio::",
    "reqwest::",
    "hyper::",
    "sqlx::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rand::",
    "HashMap",
    "HashSet",
    "println!",
    "eprintln!",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Unit tests in folders of their own may read snapshots and shared files.
                if path.file_name().is_none_or(|name| name != "tests") {
                    walk(&path, found);
                }
            } else if path.file_name().is_none_or(|name| name != "tests.rs")
                && path.extension().is_some_and(|e| e == "rs")
            {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found
}

fn room(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    first
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The text without comments and without what stands in `mod tests`.
fn code(text: &str) -> String {
    let body = text.find("#[cfg(test)]").map_or(text, |at| &text[..at]);
    body.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn imported(text: &str) -> Vec<String> {
    let path = regex::Regex::new(r"\b(?:crate|bailiwick)::([a-z_]+)").unwrap();
    let group = regex::Regex::new(r"\b(?:crate|bailiwick)::\{([^}]*)\}").unwrap();
    let mut rooms: Vec<String> = path.captures_iter(text).map(|c| c[1].to_owned()).collect();
    for c in group.captures_iter(text) {
        rooms.extend(
            c[1].split(',')
                .filter_map(|p| p.trim().split("::").next().map(str::to_owned))
                .filter(|p| !p.is_empty()),
        );
    }
    rooms
}

#[test]
fn imports_point_down_only() {
    let storeys: BTreeMap<&str, u32> = STOREYS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let here = room(&path);
        if here == "lib" || here == "sim" {
            continue;
        }
        let Some(storey) = storeys.get(here.as_str()) else {
            wrong.push(format!(
                "{}: room `{here}` has no storey in tests/architecture.rs",
                path.display()
            ));
            continue;
        };
        for there in imported(&code(&text)) {
            if there == here || (there == "sim" && *storey >= 11) {
                continue;
            }
            if storeys.get(there.as_str()).is_none_or(|s| s >= storey) {
                wrong.push(format!(
                    "{}: `{here}` imports `{there}`, which is not below it",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_simulator_stands_apart() {
    for (path, text) in sources() {
        if room(&path) == "sim" {
            let others: Vec<_> = imported(&code(&text))
                .into_iter()
                .filter(|r| r != "sim")
                .collect();
            assert!(
                others.is_empty(),
                "{} imports {others:?}: agreement between sim and the rest would prove nothing",
                path.display()
            );
        }
    }
}

#[test]
fn pure_rooms_do_no_io() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in sources() {
        if ["ids", "document", "health", "plan"].contains(&room(&path).as_str()) {
            seen += 1;
            for word in IMPURE {
                if code(&text).contains(word) {
                    wrong.push(format!("{}: `{word}`", path.display()));
                }
            }
        }
    }
    assert!(seen > 5, "the pure rooms were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_module_is_named_mod_or_utils() {
    for (path, _) in sources() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            !["mod.rs", "utils.rs", "common.rs", "helpers.rs"].contains(&name),
            "{}",
            path.display()
        );
    }
}
