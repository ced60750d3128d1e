//! Other people's Proxmox software and ours. `scripts/strangers` installs it and says where it is in BAILIWICK_STRANGERS; without that
//! these tests say that they were skipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program of `tests/clients` with the strangers' own Python.
fn run(script: &str, arguments: &[&str]) {
    let Some(prefix) = std::env::var_os("BAILIWICK_STRANGERS").map(PathBuf::from) else {
        eprintln!("skipped: BAILIWICK_STRANGERS is not set (scripts/strangers sets it)");
        return;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(prefix.join("venv/bin/python"));
    command
        // Nothing is written beside the sources.
        .arg("-B")
        .arg(here.join("tests/clients").join(script))
        .arg(env!("CARGO_BIN_EXE_bailiwick"))
        .args(arguments);
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

#[test]
fn proxmoxer_drives_the_simulator() {
    let world = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/worlds/lab.yaml");
    run("proxmoxer_drives.py", &[world]);
}

#[test]
fn fakepve_goes_through_the_loop() {
    run("fakepve_loop.py", &[]);
}
