//! What the tests of the command line look at beside a play: what is kept, and texts without what differs from run to run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use regex::Regex;

use super::play::{Play, Ran};

/// Runs the program in the play's folder with this on standard input.
pub fn feed(play: &Play, args: &[&str], input: &str) -> Ran {
    use std::io::Write;
    let mut child = play
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read its input is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::of(child.wait_with_output().unwrap())
}

/// Submits a document and returns the hash of the plan that waits.
#[track_caller]
pub fn propose(play: &Play, args: &[&str], document: &str) -> String {
    let args = [&["apply", "-f", "-", "-o", "json"], args].concat();
    feed(play, &args, document).ends(2).hash()
}

/// Everything Bailiwick keeps in the play's folder: each file with its content; of the state its ledger, without a record in which
/// nothing in it changes (and a database's bytes change when it is merely opened).
pub fn kept(play: &Play) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut kept = BTreeMap::new();
    for folder in ["keys", "."] {
        for entry in std::fs::read_dir(play.path(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                kept.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    let state = play.path("state/bailiwick.db");
    let mut ledger = Vec::new();
    play.block_on(async {
        let store = bailiwick::store::Store::open(&state).await.unwrap();
        store.export_ledger(&mut ledger).await.unwrap();
    });
    kept.insert(state, ledger);
    kept
}

/// A text with everything that differs from run to run taken out.
pub fn redacted(play: &Play, text: &str) -> String {
    let folder = play.folder.path();
    let mut text = text.to_owned();
    for folder in [folder.to_owned(), folder.canonicalize().unwrap()] {
        text = text.replace(&folder.display().to_string(), "FOLDER");
    }
    for (pattern, with) in [
        (r"127\.0\.0\.1:[0-9]{2,5}", "127.0.0.1:PORT"),
        (r"([0-9A-F]{2}:){31}[0-9A-F]{2}", "FINGERPRINT"),
        (r"sha256:[0-9a-f]{64}", "sha256:HASH"),
        (r"(sha256:HASH, )+sha256:HASH", "sha256:HASH, …"),
        (r"`[0-9a-f]` fits", "`H` fits"),
        (r"`sha256:[0-9a-f]` fits", "`sha256:H` fits"),
        (r"\b[0-9a-f]{32}\b", "KEY"),
        (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z", "TIME"),
    ] {
        let pattern = Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, with).into_owned();
    }
    text
}

/// A document of a virtual machine.
pub fn machine(name: &str, spec: &str) -> String {
    document("VirtualMachine", name, spec)
}

/// A document.
pub fn document(kind: &str, name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n{spec}"
    )
}

/// A document whose removal deletes its object.
pub fn deletable(kind: &str, name: &str, spec: &str) -> String {
    document(kind, name, spec).replacen(
        &format!("  name: {name}\n"),
        &format!("  name: {name}\n  annotations: {{bailiwick.dev/deletion: delete}}\n"),
        1,
    )
}
