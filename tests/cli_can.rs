//! `can`: who may do what, now and after a plan, with the rule that decides; over the real program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use serde_json::{Value, json};
use support::desk::machine;
use support::play::{Play, Setup};

fn can(play: &Play, asked: &str, ends: i32) -> Value {
    let asked: Vec<&str> = ["can"].into_iter().chain(asked.split(' ')).collect();
    play.json(&asked).ends(ends).json()
}

#[test]
fn the_rule_that_decides_is_named() {
    let play = Play::new();
    let yes = can(&play, "ben@pve VM.PowerMgmt /vms/103", 0);
    assert_eq!(
        yes["now"],
        json!({
            "verdict": "yes", "below": false,
            "entries": ["PVEVMAdmin for group developers on /pool/lab"],
            "because": ["PVEVMAdmin for group developers on /pool/lab, through pool lab"],
        })
    );
    assert_eq!(
        (&yes["path"], &yes["cluster"]),
        (&json!("/vms/103"), &json!("lab"))
    );
    let no = can(&play, "ben@pve VM.PowerMgmt vms//102/", 3);
    assert_eq!(
        no["now"]["because"],
        json!(["no entry of the access control list applies"])
    );
    assert_eq!(no["path"], "/vms/102");
    let weak = can(&play, "ben@pve VM.Allocate /vms/109", 3);
    assert_eq!(
        weak["now"]["because"],
        json!(["PVEVMUser for user ben@pve on /vms/109: it does not hold VM.Allocate"])
    );
    let token = can(&play, "bailiwick@pve!observer VM.Allocate /", 3);
    assert!(
        token["now"]["because"][0]
            .as_str()
            .unwrap()
            .contains("itself lacks it, bailiwick@pve has it")
    );
    can(&play, "root@pam!break-glass Permissions.Modify /access", 0);
    let text = play
        .bailiwick(&["can", "ben@pve", "VM.PowerMgmt", "/vms/103"])
        .ends(0)
        .all();
    assert!(
        text.contains("now: yes") && text.contains("  PVEVMAdmin for group developers"),
        "{text}"
    );
}

#[test]
fn a_plan_is_asked_before_it_is_run() {
    let play = Play::new();
    play.document("mail", &machine("mail", "vmid: 102\npool: lab"));
    let plan = play.json(&["apply", "-f", "docs"]).ends(2).hash();
    let shown = play.json(&["describe", &plan]).ends(0).json();
    let gains: Vec<&Value> = shown["impacts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|impact| impact["entity"] == "user/ben@pve")
        .collect();
    assert_eq!(gains.len(), 1, "{shown}");
    assert_eq!(
        (&gains[0]["category"], &gains[0]["rule"]),
        (&json!("gains-privilege"), &json!("AC05"))
    );
    let asked = format!("ben@pve VM.PowerMgmt /vms/102 --after {}", &plan[..20]);
    let answer = can(&play, &asked, 0);
    assert_eq!(answer["now"]["verdict"], "no");
    assert_eq!(answer["after"]["verdict"], "yes");
    assert_eq!(answer["after"]["plan"], json!(plan));
    assert_eq!(
        answer["after"]["because"],
        json!(["PVEVMAdmin for group developers on /pool/lab, through pool lab"])
    );
    can(&play, &format!("ben@pve Sys.Audit / --after {plan}"), 3);
    // What was said comes true.
    play.approve(&plan).ends(0);
    play.run(&plan).ends(0);
    can(&play, "ben@pve VM.PowerMgmt /vms/102", 0);
}

#[test]
fn what_could_not_be_read_is_unknown() {
    let mut setup = Setup::default();
    let hidden =
        "    acl:1:/access:bailiwick@pve,bailiwick@pve!controller:NoAccess:\n    acl:1:/pool/lab:";
    assert!(setup.world.contains("    acl:1:/pool/lab:"));
    setup.world = setup.world.replacen("    acl:1:/pool/lab:", hidden, 1);
    let play = Play::with(setup);
    play.leave_unchecked();
    let unknown = can(&play, "ben@pve VM.PowerMgmt /vms/103", 4);
    assert_eq!(unknown["now"]["verdict"], "unknown");
    let why = unknown["now"]["because"].to_string();
    for part in ["the users", "the groups", "the access control list"] {
        assert!(
            why.contains(&format!("{part} could not be read: the API token lacks")),
            "{why}"
        );
    }
}

#[test]
fn a_slip_is_no_answer() {
    let play = Play::new();
    let said = |args: [&str; 3]| {
        let args = ["can", args[0], args[1], args[2]];
        play.bailiwick(&args).ends(1).all()
    };
    let text = said(["bne@pve", "VM.Audit", "/"]);
    assert!(
        text.contains("there is no user `bne@pve`; did you mean ben@pve?"),
        "{text}"
    );
    let text = said(["ben@pve!x", "VM.Audit", "/"]);
    assert!(text.contains("there is no token `ben@pve!x`"), "{text}");
    let text = said(["ben@pve", "VM.PowerMgt", "/"]);
    assert!(
        text.contains("there is no privilege `VM.PowerMgt`; did you mean VM.PowerMgmt?"),
        "{text}"
    );
    for path in [
        "/vms/ä",
        "/vm/109",
        "/vms/../storage",
        "/vms/0109",
        "/VMS/109",
        "/nosuch",
    ] {
        let text = said(["ben@pve", "VM.Audit", path]);
        assert!(
            text.contains("is no path of the access control list"),
            "{path} {text}"
        );
    }
}
