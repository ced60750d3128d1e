//! The demo, as a newcomer runs it: the whole story over the wire, and what it must say to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;

#[test]
fn the_demo_tells_the_whole_story() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let ran = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["demo", "--yes", "--keep"])
        .arg(&kept)
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(
        ran.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    for line in [
        "vm/104  won't-boot  (boot disk scsi0 on local-zfs)",
        "vm/210  won't-boot  (only copy: scsi0 on local-zfs)",
        "ct/301  degraded  (data volume mp1 on local-zfs)",
        "risk     high",
        "That was the whole loop.",
    ] {
        assert!(lines.contains(&line), "`{line}` is not said:\n{said}");
    }
    for part in [
        "recorded in the ledger: #",
        "superseded",
        "was altered",
        "the tail was cut",
    ] {
        assert!(said.contains(part), "`{part}` is not said:\n{said}");
    }
    for file in [
        "bailiwick.yaml",
        "state.db",
        "keys/operator",
        "keys/ledger.key",
        "cluster",
        "lab.yaml",
    ] {
        assert!(kept.join(file).exists(), "{file} was not kept");
    }
}

#[test]
fn without_a_terminal_and_without_keep_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .arg("demo")
        .env("TMPDIR", folder.path())
        .write_stdin("")
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
