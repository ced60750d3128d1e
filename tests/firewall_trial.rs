//! Changes of the firewall that could lock somebody out are on Proxmox VE's trial: kept once every node was reached by new connections,
//! and otherwise not, which switches the firewall off after a minute. Over TLS, against the simulator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bailiwick::sim;
use serde_json::Value;
use support::play::{LAB, Play, Setup, hash_of};

const OPTIONS: &str = "path=/cluster/firewall/options;method=PUT";
const RULES: &str = "path=/cluster/firewall/rules;method=POST";

/// The lab with the datacenter's firewall on.
fn play() -> Play {
    let play = Play::with(Setup {
        world: LAB.to_owned(),
        ..Setup::default()
    });
    play.sim.with(|cluster| {
        let text = "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n".to_owned();
        cluster.files.set("firewall/cluster.fw", text);
    });
    play
}

/// A rule that shuts the API to one network, which is none of the test's.
const FIREWALL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {name: fw}\nspec:\n  cluster: true\n  rules:\n  - \
                        {direction: in, action: DROP, source: 10.20.0.64/26, proto: tcp, dport: '8006'}\n";

/// The plan of that rule, approved.
fn shuts(play: &Play) -> String {
    play.document("fw", FIREWALL);
    let plan = play.apply();
    let steps: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["action"]["firewall"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["beginTrial", "insertRule", "confirmTrial"]);
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    hash
}

/// The datacenter's firewall file.
fn file(play: &Play) -> String {
    let file =
        |cluster: &mut sim::state::Cluster| cluster.files.read("firewall/cluster.fw").to_owned();
    play.sim.with(file)
}

fn on_for_good(play: &Play) -> bool {
    file(play).contains("enable: 1\n")
}

/// What the API says of the switch.
fn enable(play: &Play) -> i64 {
    let file = file(play);
    let line = file.lines().find_map(|line| line.strip_prefix("enable: "));
    let since: i64 = line.unwrap_or("0").parse().unwrap();
    let over = play.sim.with(|cluster| cluster.clock.unix() - since > 60);
    if since > 1 && over { 0 } else { since }
}

fn puts(play: &Play) -> Vec<String> {
    let writes = play.writes().into_iter();
    writes
        .filter(|entry| entry.status == 200)
        .map(|entry| match entry.params.get("enable") {
            Some(enable) if entry.path.ends_with("/options") => format!("enable={enable}"),
            _ => format!("{} {}", entry.method, entry.path),
        })
        .collect()
}

#[test]
fn confirmed_once_every_node_was_reached() {
    let play = play();
    let hash = shuts(&play);
    let ran = play.run(&hash).ends(0);
    assert!(on_for_good(&play), "{}", ran.all());
    assert_eq!(
        puts(&play),
        ["enable=2", "POST /cluster/firewall/rules", "enable=1"]
    );
    // Nothing is left, neither of the rule nor of the switch.
    let again = play.json(&["apply", "-f", "docs"]).ends(0).json();
    assert_eq!(again["steps"], Value::Array(Vec::new()));
    // And back.
    let back = play.undo(&hash);
    assert_eq!(back["steps"].as_array().unwrap().len(), 1);
    play.approve(&hash_of(&back)).ends(0);
    play.run(&hash_of(&back)).ends(0);
    assert!(on_for_good(&play) && !file(&play).contains("8006"));
}

#[test]
fn a_node_that_cannot_be_reached_anew_is_not_confirmed() {
    let play = play();
    let hash = shuts(&play);
    play.fault(&format!("shut=pve2;{RULES};seconds=*"));
    let ran = play.run(&hash).ends(1);
    let said = ran.all();
    for part in [
        "not every node can be reached",
        "the API of node pve2 at 127.0.0.1:",
        "it switches itself off for the whole cluster at 20",
        "`bailiwick undo` of the plan brings the old rules back",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(
        !said.contains("node pve1") && !said.contains("node pve3"),
        "{said}"
    );
    assert_eq!(puts(&play), ["enable=2", "POST /cluster/firewall/rules"]);
    // Nobody confirms it: a minute later it is off, and the node is in reach again.
    assert!(enable(&play) > 1);
    play.sim.advance(61.0);
    assert_eq!(enable(&play), 0);
    // The undo brings the rules back and has it on for good, on trial itself.
    let back = play.undo(&hash);
    let steps = back["steps"].as_array().unwrap();
    let words: Vec<&str> = steps
        .iter()
        .map(|step| step["action"]["firewall"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["deleteRule", "beginTrial", "confirmTrial"]);
    play.sim.clear_faults();
    play.approve(&hash_of(&back)).ends(0);
    play.run(&hash_of(&back)).ends(0);
    assert!(on_for_good(&play) && !file(&play).contains("8006"));
}

#[test]
fn what_cannot_be_reached_before_begins_no_trial() {
    let play = play();
    let hash = shuts(&play);
    // Its first step looks at everything before it sends anything.
    play.fault("shut=pve3;path=/cluster/firewall/options;method=GET;seconds=*");
    let said = play.run(&hash).all();
    assert!(
        said.contains("is not begun") && said.contains("node pve3"),
        "{said}"
    );
    assert!(said.contains("`clusters[].nodes`"), "{said}");
    assert_eq!(puts(&play), Vec::<String>::new());
    assert!(on_for_good(&play));
    // Nothing was done: the same run goes on when the node is in reach.
    play.sim.clear_faults();
    play.run(&hash).ends(0);
    assert!(on_for_good(&play));
}

/// Somebody else who answers where a node is said to be, with a certificate of his own.
fn stranger_at(play: &Play, node: &str) -> sim::Running {
    let stranger = play.block_on(sim::start(sim::Options::new(LAB))).unwrap();
    let file = play.path("bailiwick.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let own = &play.sim.nodes()[node];
    let text = text.replace(own.as_str(), stranger.url());
    std::fs::write(&file, text).unwrap();
    stranger
}

#[test]
fn whoever_answers_in_a_nodes_place_is_not_the_node() {
    let play = play();
    let hash = shuts(&play);
    let stranger = stranger_at(&play, "pve2");
    let said = play.run(&hash).all();
    assert!(
        said.contains("is not begun") && said.contains("node pve2"),
        "{said}"
    );
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(puts(&play), Vec::<String>::new());
    // A node has a certificate of its own, which the cluster names.
    let print = stranger.fingerprint().to_owned();
    play.sim.with(|cluster| cluster.fingerprint = print);
    play.run(&hash).ends(0);
    assert!(on_for_good(&play));
}

#[test]
fn a_run_that_dies_goes_on_within_the_minute_and_probes_before_it_confirms() {
    let begun = play();
    let hash = shuts(&begun);
    for step in 1..=3 {
        for at in ["intent", "ending", "ended"] {
            let point = format!("{at}:{step}");
            let play = on(&begun);
            let mut first = play.command(&["run", &hash, "-o", "json"]);
            let first = first
                .env("BAILIWICK_TEST_ABORT_AT", &point)
                .output()
                .unwrap();
            assert_eq!(first.status.code(), None, "{point}");
            let confirmed = step == 3 && at != "intent";
            assert_eq!(
                on_for_good(&play),
                confirmed || (step == 1 && at == "intent"),
                "{point}"
            );
            let said = play.run(&hash).ends(0).all();
            assert!(
                on_for_good(&play) && file(&play).contains("8006"),
                "{point}: {said}"
            );
            let inserted = puts(&play)
                .iter()
                .filter(|put| put.starts_with("POST"))
                .count();
            assert_eq!(inserted, 1, "{point}");
        }
    }
}

#[test]
fn a_run_that_dies_and_finds_a_node_shut_confirms_nothing() {
    let begun = play();
    let hash = shuts(&begun);
    for point in ["ended:2", "intent:3"] {
        let play = on(&begun);
        play.fault(&format!("shut=pve1;{RULES};seconds=*"));
        let mut first = play.command(&["run", &hash, "-o", "json"]);
        let first = first
            .env("BAILIWICK_TEST_ABORT_AT", point)
            .output()
            .unwrap();
        assert_eq!(first.status.code(), None, "{point}");
        let said = play.run(&hash).ends(1).all();
        assert!(said.contains("node pve1"), "{point}: {said}");
        assert!(!puts(&play).contains(&"enable=1".to_owned()), "{point}");
    }
}

#[test]
fn a_run_that_dies_and_comes_back_after_the_minute_is_stale() {
    let begun = play();
    let hash = shuts(&begun);
    for point in ["ended:1", "ended:2", "intent:3"] {
        let play = on(&begun);
        let mut first = play.command(&["run", &hash, "-o", "json"]);
        let first = first
            .env("BAILIWICK_TEST_ABORT_AT", point)
            .output()
            .unwrap();
        assert_eq!(first.status.code(), None, "{point}");
        play.sim.advance(61.0);
        let said = play.run(&hash).ends(1).all();
        assert!(
            said.contains("minute") && said.contains("the firewall is off"),
            "{point}: {said}"
        );
        assert!(!puts(&play).contains(&"enable=1".to_owned()), "{point}");
        assert_eq!(enable(&play), 0, "{point}");
    }
}

/// What can befall the two calls of a trial, which the fault matrix does not play: they are one path.
#[test]
fn whatever_befalls_a_trial_it_ends_confirmed_by_a_probe_or_off_and_told() {
    let begun = play();
    let hash = shuts(&begun);
    let lost = ["drop=after", "drop=before", "restart=after", "refuse=after"];
    let refused = [
        "status=500 no",
        "status=595 gone",
        "quorum=before;seconds=5",
    ];
    let lied = ["after=500 broken"];
    for fault in lost.iter().chain(&refused).chain(&lied) {
        for skip in [0, 1] {
            let play = on(&begun);
            let what = format!("{fault} {skip}");
            play.fault(&format!("{fault};{OPTIONS};skip={skip}"));
            let mut ran = play.run(&hash);
            play.sim.clear_faults();
            for _ in 0..2 {
                // What nobody knows, or was not done, the next run looks for. What failed is not run again.
                if ran.code == Some(0) || ran.all().contains("\"failed\"") {
                    break;
                }
                ran = play.run(&hash);
            }
            let said = ran.all();
            if ran.code == Some(0) {
                assert!(
                    on_for_good(&play) && file(&play).contains("8006"),
                    "{what}: {said}"
                );
                continue;
            }
            // Done, and said to be refused: what is so is asked, not believed.
            let lied = *fault == "after=500 broken";
            assert!(lied || refused.contains(fault), "{what}: {said}");
            let told = said.contains("switches itself off for the whole cluster");
            assert_eq!(told, (skip == 1) != lied, "{what}: {said}");
            assert_eq!(on_for_good(&play), (skip == 0) != lied, "{what}");
        }
    }
}

#[test]
fn what_fails_elsewhere_cuts_no_trial_short() {
    let play = play();
    play.document(
        "pool",
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: fresh}\nspec: {comment: x}\n",
    );
    play.document("fw", FIREWALL);
    let plan = play.apply();
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    play.fault("status=500 no;path=/pools;method=POST");
    let said = play.run(&hash).ends(1).all();
    assert!(on_for_good(&play) && file(&play).contains("8006"), "{said}");
}

#[test]
fn a_freeze_cuts_no_trial_short() {
    let play = play();
    let hash = shuts(&play);
    let mut run = play.command(&["run", &hash, "-o", "json"]);
    let run = run
        .env("BAILIWICK_TRIAL_WAIT_MS", "4000")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while enable(&play) <= 1 {
        assert!(std::time::Instant::now() < until, "no trial began");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    play.bailiwick(&["freeze", "--reason", "stop everything"])
        .ends(0);
    assert!(enable(&play) > 1, "it ended before the freeze");
    let ran = run.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(0));
    assert!(on_for_good(&play) && file(&play).contains("8006"));
}

/// The same beginning on a cluster of its own.
fn on(begun: &Play) -> Play {
    let play = begun.again(500.0);
    let text = file(begun);
    play.sim
        .with(|cluster| cluster.files.set("firewall/cluster.fw", text));
    play
}
