//! Killed at any moment and started again: no document, plan, approval or run is lost, and nothing is done twice. Five kills by default;
//! `BAILIWICK_LONG=1`: sixty.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use support::desk::{machine, propose};
use support::play::{Play, Setup};
use support::serving::{QUICK, Serving};

#[test]
fn killed_at_any_moment_it_loses_nothing_and_doubles_nothing() {
    let kills = if std::env::var_os("BAILIWICK_LONG").is_some() {
        60
    } else {
        5
    };
    let play = Play::with(Setup {
        more: QUICK.to_owned(),
        ..Setup::default()
    });
    let mut wanted = Vec::new();
    for round in 0..kills {
        let serving = Serving::start(&play);
        let (name, vmid, cores) = match round % 2 {
            0 => ("mail", 102, 2 + round % 7),
            _ => ("wiki", 116, 2 + round % 5),
        };
        let text = machine(name, &format!("vmid: {vmid}\ncpu: {{cores: {cores}}}"));
        // What is handed in between two kills is decided, and must be run by whoever comes next.
        let hash = propose_anew(&play, &text);
        if let Some(hash) = hash {
            play.approve(&hash).ends(0);
            wanted.push(hash);
        }
        // From right after the approval to well after the run.
        std::thread::sleep(Duration::from_millis(37 * (round % 40)));
        serving.kill();
    }
    let serving = Serving::start(&play);
    serving.until("everything that was approved is done, or overtaken", || {
        let left: Vec<String> = ["approved", "running", "stopped"]
            .iter()
            .flat_map(|state| play.plans_in(state))
            .collect();
        left.is_empty().then_some(())
    });
    let known: Vec<String> = play
        .list("plans")
        .iter()
        .map(|plan| plan["plan"].as_str().unwrap().to_owned())
        .collect();
    for hash in &wanted {
        assert!(known.contains(hash), "{hash} was lost");
    }
    // Each run wrote once: as many writes arrived as steps were begun.
    let intents = play
        .ledger()
        .iter()
        .filter(|record| record["action"] == "step-intent")
        .count();
    assert_eq!(play.writes().len(), intents);
    serving.stop();
}

/// Submits a document; nothing when it changes nothing. Earlier plans that a kill left running are waited for by the run lock.
fn propose_anew(play: &Play, text: &str) -> Option<String> {
    let args = ["apply", "-f", "-", "-o", "json"];
    let ran = support::desk::feed(play, &args, text);
    match ran.code {
        Some(2) => Some(ran.hash()),
        Some(0) => None,
        _ => panic!("{}", ran.all()),
    }
}

#[test]
fn what_was_handed_in_before_a_kill_is_there_after_it() {
    let play = Play::with(Setup {
        more: QUICK.to_owned(),
        ..Setup::default()
    });
    let hash = propose(
        &play,
        &[],
        &machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    let serving = Serving::start(&play);
    serving.kill();
    assert_eq!(play.plans_in("waiting"), std::slice::from_ref(&hash));
    play.approve(&hash).ends(0);
    let serving = Serving::start(&play);
    serving.until("it is applied", || {
        play.plans_in("applied").contains(&hash).then_some(())
    });
    serving.stop();
}
