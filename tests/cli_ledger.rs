//! The `ledger` commands over the real program: what is whole verifies, what was tampered with is named, keys are handed over, and a
//! verifier that shares nothing with this program agrees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::desk::{machine, propose};
use support::play::{Play, Ran};

/// A play in which something happened, with its ledger exported to `ledger.jsonl` and a checkpoint of its end.
fn exported() -> Play {
    let play = Play::new();
    let plan = propose(
        &play,
        &[],
        &machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    play.approve(&plan).ends(0);
    play.bailiwick(&["run", &plan]).ends(0);
    play.bailiwick(&["ledger", "checkpoint"]).ends(0);
    play.bailiwick(&["ledger", "export", "--to", "ledger.jsonl"])
        .ends(0);
    play
}

fn lines(play: &Play) -> Vec<String> {
    let text = std::fs::read_to_string(play.path("ledger.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn write(play: &Play, name: &str, lines: &[String]) {
    std::fs::write(play.path(name), lines.join("\n") + "\n").unwrap();
}

fn verify(play: &Play, name: &str) -> Ran {
    play.bailiwick(&[
        "ledger",
        "verify",
        "--file",
        name,
        "--checkpoint",
        "checkpoints.jsonl",
    ])
}

#[test]
fn what_is_whole_verifies() {
    let play = exported();
    let records = lines(&play).len();
    let own = play.json(&["ledger", "verify"]).ends(0).json();
    assert_eq!(own["records"], records);
    let copy = play
        .json(&["ledger", "verify", "--file", "ledger.jsonl"])
        .ends(0)
        .json();
    assert_eq!(copy, own);
    assert!(
        verify(&play, "ledger.jsonl")
            .ends(0)
            .out
            .contains("checkpoints vouch for it up to")
    );
    // To standard output it is the same.
    let text = play.bailiwick(&["ledger", "export"]).ends(0).out;
    assert_eq!(
        text,
        std::fs::read_to_string(play.path("ledger.jsonl")).unwrap()
    );
}

#[test]
fn one_changed_byte_names_the_record() {
    let play = exported();
    let whole = lines(&play);
    let at = whole
        .iter()
        .position(|line| line.contains("\"approved\""))
        .unwrap();
    let mut changed = whole.clone();
    changed[at] = whole[at].replacen("person:anna", "person:anne", 1);
    assert_ne!(changed[at], whole[at]);
    write(&play, "changed.jsonl", &changed);
    let said = verify(&play, "changed.jsonl").ends(1);
    let seq = serde_json::from_str::<serde_json::Value>(&whole[at]).unwrap()["seq"].clone();
    assert!(
        said.err.contains(&format!("record {seq} was altered")),
        "{}",
        said.err
    );
    let json = play
        .json(&["ledger", "verify", "--file", "changed.jsonl"])
        .ends(1);
    let told = json.json();
    assert_eq!((&told["ok"], &told["seq"]), (&false.into(), &seq), "{told}");
}

#[test]
fn a_record_taken_out_or_moved_is_seen() {
    let play = exported();
    let whole = lines(&play);
    let mut without = whole.clone();
    without.remove(3);
    write(&play, "without.jsonl", &without);
    verify(&play, "without.jsonl").ends(1);
    let mut swapped = whole;
    swapped.swap(2, 3);
    write(&play, "swapped.jsonl", &swapped);
    verify(&play, "swapped.jsonl").ends(1);
}

#[test]
fn a_cut_tail_is_seen_against_the_checkpoint() {
    let play = exported();
    let whole = lines(&play);
    write(&play, "cut.jsonl", &whole[..whole.len() - 2]);
    let said = verify(&play, "cut.jsonl").ends(1);
    assert!(said.err.contains("does not hold"), "{}", said.err);
    // Without the checkpoint nobody can see it, and the program says that nothing vouches for the end.
    std::fs::remove_file(play.path("checkpoints.jsonl")).unwrap();
    let said = play
        .bailiwick(&["ledger", "verify", "--file", "cut.jsonl"])
        .ends(0);
    assert!(
        said.out.contains("no checkpoint vouches for its end"),
        "{}",
        said.out
    );
    // A checkpoint file that is named must be there.
    let said = verify(&play, "cut.jsonl").ends(1);
    assert!(said.err.contains("checkpoints.jsonl"), "{}", said.err);
}

#[test]
fn keys_are_handed_over() {
    let play = exported();
    play.bailiwick(&["ledger", "rotate-key", "--to", "keys/new.key"])
        .ends(0);
    // With the old key alone nothing can be recorded any more; with the new one alone the past cannot be verified.
    let file = play.path("bailiwick.yaml");
    let old = std::fs::read_to_string(&file).unwrap();
    let configure =
        |text: &str| std::fs::write(&file, old.replace("keyFile: keys/ledger.key", text)).unwrap();
    play.bailiwick(&["freeze", "--reason", "x"]).ends(1);
    configure("keyFile: keys/new.key");
    let said = play.bailiwick(&["ledger", "verify"]).ends(1);
    assert!(said.err.contains("previousKeyFiles"), "{}", said.err);
    configure("keyFile: keys/new.key, previousKeyFiles: [keys/ledger.key]");
    play.bailiwick(&["ledger", "verify"]).ends(0);
    play.bailiwick(&["freeze", "--reason", "x"]).ends(0);
    play.bailiwick(&["ledger", "verify"]).ends(0);
    // The copy made before verifies too.
    play.bailiwick(&["ledger", "verify", "--file", "ledger.jsonl"])
        .ends(0);
}

#[test]
fn nothing_is_overwritten() {
    let play = exported();
    let before = std::fs::read(play.path("ledger.jsonl")).unwrap();
    let said = play
        .bailiwick(&["ledger", "export", "--to", "ledger.jsonl"])
        .ends(1);
    assert!(said.err.contains("ledger.jsonl"), "{}", said.err);
    assert_eq!(std::fs::read(play.path("ledger.jsonl")).unwrap(), before);
    let key = std::fs::read(play.path("keys/ledger.key")).unwrap();
    let records = play.ledger().len();
    play.bailiwick(&["ledger", "rotate-key", "--to", "keys/ledger.key"])
        .ends(1);
    assert_eq!(play.ledger().len(), records, "handed over to no key");
    assert!(
        play.bailiwick(&["ledger", "keygen"])
            .ends(0)
            .out
            .contains("there already")
    );
    assert_eq!(std::fs::read(play.path("keys/ledger.key")).unwrap(), key);
}

#[test]
fn the_independent_verifier_agrees() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("NOTICE: python3 is not installed; the independent verifier was not asked");
        return;
    }
    let play = exported();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/verify_ledger.py");
    let ask = |name: &str| {
        let mut command = Command::new("python3");
        command
            .arg(&script)
            .arg(play.path(name))
            .arg("--key")
            .arg(play.path("keys/ledger.key"));
        Ran::of(command.output().unwrap())
    };
    ask("ledger.jsonl").ends(0);
    let mut changed = lines(&play);
    changed[4] = changed[4].replacen("person:anna", "person:anne", 1);
    assert_ne!(changed[4], lines(&play)[4]);
    write(&play, "changed.jsonl", &changed);
    ask("changed.jsonl").ends(1);
    verify(&play, "changed.jsonl").ends(1);
}
