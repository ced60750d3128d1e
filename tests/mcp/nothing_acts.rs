//! The separation: whatever agents call, in whatever order, with whatever arguments, no write reaches the cluster.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::MAIL;
use crate::support::agents::{Desk, complaints};

fn any_documents() -> impl Strategy<Value = String> {
    let spec = prop::sample::select(vec![
        "{vmid: 102, memory: {size: 6Gi}}",
        "{vmid: 102, powerState: stopped}",
        "{vmid: 104, disks: {scsi0: {storage: ceph-vm}}}",
        "{vmid: 103, memory: {size: 2Gi}, powerState: running}",
        "{vmid: 9001, node: pve1, memory: {size: 1Gi}}",
        "{}",
    ]);
    let name = prop::sample::select(vec!["mail", "web-7", "shop-db", "other"]);
    let deletion =
        prop::sample::select(vec!["", ", annotations: {bailiwick.dev/deletion: delete}"]);
    (spec, name, deletion).prop_map(|(spec, name, deletion)| {
        format!("apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: {name}{deletion}}}\nspec: {spec}\n")
    })
}

/// A call of any tool; `PLAN` stands for a plan seen before.
fn any_call() -> impl Strategy<Value = (&'static str, Value)> {
    let id = prop::sample::select(vec![
        "vm/102",
        "ct/301",
        "storage/local-zfs",
        "node/pve2",
        "VirtualMachine/mail",
        "vm/1",
        "cluster",
    ]);
    let plan = prop::sample::select(vec!["PLAN", "PLAN", "sha256:ffff", "sub_00"]);
    prop_oneof![
        (
            prop::option::of(prop::sample::select(vec!["vm", "document", "storage"])),
            1..5_u32
        )
            .prop_map(|(kind, limit)| (
                "list_resources",
                kind.map_or_else(
                    || json!({"limit": limit}),
                    |kind| json!({"kind": kind, "limit": limit})
                )
            )),
        id.clone()
            .prop_map(|id| ("get_resource", json!({ "id": id }))),
        Just(("explain_kind", json!({ "path": "Storage" }))),
        any_documents().prop_map(|documents| ("validate", json!({ "documents": documents }))),
        (any_documents(), any::<bool>()).prop_map(|(documents, prune)| (
            "plan",
            json!({ "documents": documents, "prune": prune })
        )),
        (any_documents(), any::<bool>()).prop_map(|(documents, prune)| (
            "submit",
            json!({ "documents": documents, "prune": prune })
        )),
        Just(("submit", json!({ "documents": MAIL }))),
        any::<bool>().prop_map(|mine| ("list_plans", json!({ "mine": mine }))),
        plan.clone()
            .prop_map(|plan| ("get_plan", json!({ "plan": plan }))),
        plan.clone()
            .prop_map(|plan| ("wait_for_plan", json!({ "id": plan, "timeoutSeconds": 0 }))),
        plan.clone()
            .prop_map(|plan| ("withdraw", json!({ "id": plan, "reason": "because" }))),
        plan.prop_map(|plan| ("propose_undo", json!({ "plan": plan }))),
        Just(("list_drift", json!({}))),
        id.clone()
            .prop_map(|id| ("diagnose", json!({ "target": id }))),
        id.prop_map(|id| ("reach", json!({ "from": "any", "to": format!("{id}:22") }))),
        Just((
            "can",
            json!({ "principal": "ben@pve", "privilege": "VM.PowerMgmt", "path": "/vms/102" })
        )),
        // Words that would make other programs act.
        Just(("submit", json!({ "documents": MAIL, "approve": true }))),
        Just((
            "withdraw",
            json!({ "id": "PLAN", "reason": "x", "force": true })
        )),
    ]
}

#[test]
fn no_sequence_of_calls_changes_the_cluster() {
    let desk = Desk::new();
    let agents = [desk.agent("demo"), desk.agent("scout")];
    let listed = desk
        .play
        .block_on(agents[0].ask("tools/list", json!({})))
        .unwrap();
    let before = desk.play.end();
    desk.keep();
    let cases = if std::env::var_os("BAILIWICK_LONG").is_some() {
        100
    } else {
        6
    };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let mut called = BTreeSet::new();
    let mut plan = "sha256:ffff".to_owned();
    let sequences = prop::collection::vec((any_call(), 0..2_usize), 10..25);
    for _ in 0..cases {
        let sequence = sequences.new_tree(&mut runner).unwrap().current();
        for ((tool, mut arguments), who) in sequence {
            for value in arguments.as_object_mut().unwrap().values_mut() {
                if value == "PLAN" {
                    *value = json!(plan);
                }
            }
            let answer = desk.call(&agents[who], tool, arguments.clone());
            called.insert(tool);
            if let Ok(answer) = answer {
                let schema = listed["tools"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|t| t["name"] == tool)
                    .unwrap();
                assert_eq!(
                    complaints(&schema["outputSchema"], &answer),
                    Vec::<String>::new(),
                    "{tool} {arguments}"
                );
                if let Some(hash) = answer["plan"]["plan"].as_str() {
                    hash.clone_into(&mut plan);
                }
            }
        }
    }
    assert!(called.len() >= 12, "{called:?}");
    let writes = desk.play.writes();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(desk.play.end(), before);
    // And nothing was decided by anybody.
    let ledger = desk.play.ledger();
    let decided = ledger.iter().filter(|record| {
        ["approved", "run-started", "thawed", "frozen"]
            .contains(&record["action"].as_str().unwrap())
    });
    assert_eq!(decided.count(), 0);
}
