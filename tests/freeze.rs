//! A freeze stops every mutation in its scope at the next step boundary, and only a person lifts it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::{Duration, Instant};

use support::play::{Play, hash_of};

const MAIL: &str = include_str!("../examples/demo/mail.yaml");
const REDIS: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Container\nmetadata: {name: redis-01}\nspec: {vmid: 303, memory: 3Gi}\n";

/// Three disks are moved away one after the other (one storage, one move at a time), then the storage goes.
fn moving() -> (Play, String) {
    let play = Play::new();
    play.document("local-zfs", include_str!("../examples/demo/local-zfs.yaml"));
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("local-zfs");
    play.document("moved", include_str!("../examples/demo/moved-away.yaml"));
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    (play, plan)
}

#[test]
fn a_freeze_stops_a_run_at_the_next_step_and_after_the_thaw_it_goes_on() {
    let (begun, plan) = moving();
    let straight = begun.again(500.0);
    straight.run(&plan).ends(0);
    let play = begun.again(20.0);
    let child = play
        .command(&["run", &plan, "-o", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while play.writes().is_empty() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    play.json(&["freeze", "--reason", "wait a moment"]).ends(0);
    let sent = play.writes().len();
    play.sim.advance(3600.0);
    let ran = support::play::Ran::of(child.wait_with_output().unwrap()).ends(3);
    assert_eq!(ran.json()["result"], "stopped");
    assert!(ran.out.contains("wait a moment"));
    // The step under way was seen to its end, and no other begun.
    assert_eq!(play.writes().len(), sent);
    let records = |action: &str| {
        play.ledger()
            .iter()
            .filter(|r| r["action"] == action)
            .count()
    };
    assert_eq!(records("step-intent"), records("step-outcome"));
    play.run(&plan).ends(3);
    play.bailiwick(&["thaw", "--as", "agent:demo"]).ends(3);
    play.bailiwick(&["thaw"]).ends(3);
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), sent);
    play.bailiwick(&["thaw", "--as", "person:anna"]).ends(0);
    let again = play.command(&["run", &plan]).spawn().unwrap();
    let pushed = Instant::now();
    let mut again = again;
    while again.try_wait().unwrap().is_none() {
        assert!(pushed.elapsed() < Duration::from_secs(30));
        play.sim.advance(60.0);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(again.wait().unwrap().code(), Some(0));
    assert_eq!(play.counts(), straight.counts());
}

#[test]
fn a_frozen_kind_stops_only_that_kind() {
    let play = Play::new();
    play.document("mail", MAIL);
    let vm = hash_of(&play.apply());
    play.approve(&vm).ends(0);
    play.bailiwick(&["freeze", "--kind", "Container", "--reason", "audit"])
        .ends(0);
    play.run(&vm).ends(0);
    play.document("redis", REDIS);
    let ct = hash_of(&play.apply());
    play.approve(&ct).ends(0);
    let ran = play.run(&ct).ends(3);
    assert!(ran.all().contains("audit"), "{}", ran.all());
    assert_eq!(play.writes().len(), 1);
    // Thawing something else does not help.
    play.bailiwick(&["thaw", "--as", "person:anna"]).ends(1);
    play.bailiwick(&["thaw", "--kind", "VirtualMachine", "--as", "person:anna"])
        .ends(1);
    play.bailiwick(&["thaw", "--kind", "Container", "--as", "person:anna"])
        .ends(0);
    play.run(&ct).ends(0);
}

#[test]
fn a_freeze_with_an_end_ends() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    play.bailiwick(&[
        "freeze",
        "--reason",
        "a moment",
        "--until",
        &soon.to_string(),
    ])
    .ends(0);
    play.run(&plan).ends(3);
    while jiff::Timestamp::now() <= soon {
        std::thread::sleep(Duration::from_millis(50));
    }
    play.run(&plan).ends(0);
}
