//! `reach`: who can open what through the firewalls, now and after a plan, with the rule that decides; over the real program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use serde_json::Value;
use support::desk::machine;
use support::play::{Play, Setup};

const CLUSTER: &str = "  firewall/cluster.fw: |
    [OPTIONS]
    enable: 1

    [ALIASES]
    office 192.0.2.0/24

    [IPSET management]
    office

    [RULES]
    GROUP nobody
    IN ACCEPT -source office -p tcp -dport 9100

    [group nobody]
  firewall/102.fw: |
    [OPTIONS]
    enable: 1

    [RULES]
    IN ACCEPT -source 10.20.0.0/16 -p tcp -dport 5432
    IN DROP -p tcp -dport 5432
    IN Ping(ACCEPT)
    IN ACCEPT -p tcp -sport 53
";

/// The lab with a firewall that is on, and another for machine 102.
fn play() -> Play {
    let setup = Setup::default();
    let world = setup
        .world
        .replacen("files:\n", &format!("files:\n{CLUSTER}"), 1);
    Play::with(Setup { world, ..setup })
}

fn reach(play: &Play, asked: &str, ends: i32) -> Value {
    let asked: Vec<&str> = ["reach"].into_iter().chain(asked.split(' ')).collect();
    play.json(&asked).ends(ends).json()
}

/// Every part of an answer as `outcome: sentence (because)`.
fn parts(judged: &Value) -> Vec<String> {
    let parts = judged["parts"].as_array().unwrap().iter();
    let text = |part: &Value, field: &str| part[field].as_str().unwrap().to_owned();
    parts
        .map(|part| {
            let (outcome, why) = (text(part, "outcome"), text(part, "because"));
            format!("{outcome}: {} ({why})", text(part, "sentence"))
        })
        .collect()
}

#[test]
fn the_rule_that_decides_is_named() {
    let play = play();
    let yes = reach(&play, "10.20.1.0/24 vm/102:5432", 0);
    assert_eq!(yes["now"]["verdict"], "yes");
    let told = parts(&yes["now"]).concat();
    assert!(
        told.contains("vm/102") && told.contains("rule 0 of guest 102"),
        "{told}"
    );
    let no = reach(&play, "203.0.113.9 node/pve1:3128", 3);
    assert_eq!(no["now"]["verdict"], "no", "{no}");
    let some = reach(&play, "10.0.0.0/8 vm/102:5432", 3);
    assert_eq!(some["now"]["verdict"], "partly", "{some}");
    assert!(some["now"]["parts"].as_array().unwrap().len() > 1);
    // What no rule names is dropped by the policy; whoever starts from port 53 is let in, and who starts chooses the port.
    let sly = reach(&play, "any vm/102:22", 3);
    assert_eq!(sly["now"]["verdict"], "partly");
    let told = parts(&sly["now"]).concat();
    assert!(told.contains("can open vm/102:22 from port 53"), "{told}");
    assert_eq!(reach(&play, "vm/102 vm/102:22", 0)["now"]["verdict"], "yes");
    assert_eq!(
        reach(&play, "10.1.1.1 vm/102:ping", 0)["now"]["verdict"],
        "yes"
    );
    // Nodes: the office manages them, the internet does not.
    assert_eq!(
        reach(&play, "192.0.2.7 node/pve1:8006", 0)["now"]["verdict"],
        "yes"
    );
    assert_eq!(
        reach(&play, "192.0.2.7 node/pve1:9100", 0)["now"]["verdict"],
        "yes"
    );
    assert_eq!(
        reach(&play, "203.0.113.9 node/pve1:8006", 3)["now"]["verdict"],
        "no"
    );
    let text = play
        .bailiwick(&["reach", "203.0.113.9", "node/pve1:3128"])
        .ends(3)
        .all();
    assert!(
        text.contains("now: no") && text.contains("cannot open node pve1"),
        "{text}"
    );
}

#[test]
fn nobody_starts_from_port_0() {
    let setup = Setup::default();
    let host = "  nodes/pve1/host.fw: |\n    [OPTIONS]\n    tcpflags: 1\n";
    let world = setup
        .world
        .replacen("files:\n", &format!("files:\n{CLUSTER}{host}"), 1);
    let play = Play::with(Setup { world, ..setup });
    let yes = reach(&play, "192.0.2.7 node/pve1:8006", 0);
    assert_eq!(yes["now"]["verdict"], "yes", "{yes}");
    let no = reach(&play, "203.0.113.9 node/pve1:8006", 3);
    let told = parts(&no["now"]).concat();
    assert!(told.contains("the policy DROP"), "{told}");
    assert!(
        !told.contains("from port") && !told.contains("tcpflags"),
        "{told}"
    );
}

#[test]
fn a_plan_is_asked_before_it_is_run() {
    let play = play();
    let spec = "vmid: 102\nnetworks: {net0: {firewall: false}}";
    play.document("mail", &machine("mail", spec));
    let plan = play.json(&["apply", "-f", "docs"]).ends(2).hash();
    let asked = format!("203.0.113.9 vm/102:22 --after {plan}");
    let answer = reach(&play, &asked, 0);
    assert_eq!(answer["now"]["verdict"], "partly");
    assert_eq!(answer["after"]["verdict"], "yes", "{answer}");
    let shown = play.json(&["describe", &plan]).ends(0).json();
    let impacts = shown["impacts"].as_array().unwrap();
    let exposed = impacts.iter().filter(|impact| impact["rule"] == "FW02");
    let notes: Vec<String> = exposed.map(|impact| impact["notes"].to_string()).collect();
    assert!(notes.concat().contains("SSH (22)"), "{shown}");
}

#[test]
fn what_is_no_question_is_one_clear_error() {
    let play = play();
    for (source, target, said) in [
        ("nobody", "vm/102:22", "is nobody: say an address"),
        ("any", "vm/102", "is no target: say vm/104:22"),
        ("any", "vm/999:22", "999"),
        ("any", "node/pve9:22", "pve9"),
        ("any", "104:22", "is no target: say vm/104:22"),
        ("any", "vm/102:0", "is no target"),
        (
            "any",
            "10.20.0.0/16:22",
            "none of the cluster's firewalls is asked",
        ),
        ("vm/102", "10.20.0.11:8006", "say node/pve1"),
        ("127.0.0.1", "node/pve1:8006", "say node/NAME"),
        ("::ffff:10.1.2.3", "vm/102:22", "is nobody"),
    ] {
        let error = play.bailiwick(&["reach", source, target]).ends(1).all();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn while_the_datacenters_firewall_is_off_everybody_reaches_everything() {
    let play = Play::new();
    let answer = reach(&play, "203.0.113.9 vm/102:22", 0);
    assert_eq!(answer["now"]["verdict"], "yes");
    let told = parts(&answer["now"]).concat();
    assert!(told.contains("no firewall is in the way"), "{told}");
}

/// Who is there only before a plan or only after it is answered for where it is.
#[test]
fn a_guest_that_a_plan_makes_is_asked_after_it() {
    let play = play();
    let spec = "vmid: 150\nnode: pve1\nmemory: {size: 1Gi}\nnetworks: {net0: {model: virtio, bridge: vmbr0}}";
    play.document("new", &machine("new", spec));
    let plan = play.json(&["apply", "-f", "docs"]).ends(2).hash();
    let asked = format!("203.0.113.9 vm/150:22 --after {plan}");
    let answer = reach(&play, &asked, 0);
    assert_eq!(
        (&answer["now"]["verdict"], &answer["after"]["verdict"]),
        (&"no".into(), &"yes".into())
    );
    let told = parts(&answer["now"]).concat();
    assert!(told.contains("150"), "{told}");
}
