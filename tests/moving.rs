//! Objects that go from one source to another, or along with a document that got another name; always the owner alone changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bailiwick::store::{ConditionStatus, ConditionType};
use support::play::{Play, Ran, Setup};

fn mail(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: {name}\n  annotations: {{{annotations}}}\nspec: {{vmid: 102, memory: {{size: 6Gi}}}}\n"
    )
}

const INFRA: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: infra}\nspec: {comment: network and monitoring}\n";
const DELETE: &str = "bailiwick.dev/deletion: delete";
const FROM_AGENT: &str = "bailiwick.dev/take-over: agent:demo";

/// A play in which `agent:demo` owns guest 102 by `VirtualMachine/mail`.
fn owned(setup: Setup, annotations: &str) -> Play {
    let play = Play::with(setup);
    play.document("infra", INFRA);
    play.document("mail", &mail("mail", annotations));
    play.carry_out();
    play
}

/// What a person submits, in a folder of its own.
fn by_anna(play: &Play, text: &str) -> Ran {
    let folder = play.path("hers");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mail.yaml"), text).unwrap();
    play.json(&["apply", "-f", "hers", "--as", "person:anna"])
}

fn by_agent(play: &Play) -> Ran {
    play.bailiwick(&["apply", "-f", "docs", "--prune"])
}

/// Who has which documents.
fn documents(play: &Play) -> String {
    play.bailiwick(&["get", "documents"]).ends(0).out
}

fn lines(text: &str, words: &[&str]) -> usize {
    text.lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .count()
}

#[test]
fn a_document_goes_to_another_source_with_its_name() {
    let play = owned(Setup::default(), "");
    let writes = play.writes().len();
    by_anna(&play, &mail("mail", "")).ends(1);
    by_anna(&play, &mail("mail", "bailiwick.dev/take-over: git:infra")).ends(1);
    let plan = by_anna(&play, &mail("mail", FROM_AGENT)).ends(2);
    let hash = plan.hash();
    let plan = plan.json();
    assert_eq!(plan["steps"], serde_json::json!([]));
    assert_eq!(plan["documents"][0]["source"], "operator:anna");
    assert_eq!(plan["documents"][0]["formerOwner"]["source"], "agent:demo");
    // The owner goes on as long as nobody approved.
    by_agent(&play).ends(0);
    play.run(&hash).ends(3);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    assert_eq!(lines(&documents(&play), &["mail", "operator:anna"]), 1);
    let records = play.ledger();
    let mut finished = records.iter().rev();
    let finished = finished.find(|record| record["action"] == "run-finished");
    let finished = finished.unwrap();
    assert_eq!(finished["detail"]["moved"][0]["object"], "vm/102");
    assert_eq!(finished["detail"]["moved"][0]["fromSource"], "agent:demo");

    let refused = by_agent(&play);
    assert!(refused.err.contains("operator:anna"), "{refused:?}");
    refused.ends(1);
    // What it lost is not its to remove.
    play.withdraw("mail");
    by_agent(&play).ends(0);
    assert_eq!(lines(&documents(&play), &["mail", "operator:anna"]), 1);
    by_anna(&play, &mail("mail", FROM_AGENT)).ends(0);

    // The undo goes through the same gate.
    let back = play.undo(&hash);
    assert_eq!(
        back["documents"][0]["formerOwner"]["source"],
        "operator:anna"
    );
    let back = back["hash"].as_str().unwrap().to_owned();
    play.run(&back).ends(3);
    play.approve(&back).ends(0);
    play.run(&back).ends(0);
    assert_eq!(lines(&documents(&play), &["mail", "agent:demo"]), 1);
    play.document("mail", &mail("mail", ""));
    by_agent(&play).ends(0);
    by_anna(&play, &mail("mail", "")).ends(1);
    assert_eq!(play.writes().len(), writes);
}

#[test]
fn the_document_that_lost_its_object_stalls_until_it_is_gone() {
    use bailiwick::configuration::load_configuration;
    use bailiwick::service::{Environment, Service, Tuning};
    use std::sync::Arc;

    let play = owned(Setup::default(), DELETE);
    let writes = play.writes().len();
    let hash = by_anna(&play, &mail("post", FROM_AGENT)).ends(2).hash();
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);

    let stalled = |key: &str| {
        let environment = Environment {
            variable: Arc::new(|_| None),
            clock: Arc::new(jiff::Timestamp::now),
        };
        let configuration = load_configuration(&play.path("bailiwick.yaml")).unwrap();
        play.block_on(async {
            let service = Service::open(configuration, environment, Tuning::default())
                .await
                .unwrap();
            let cluster = service.cluster(Some("lab")).unwrap();
            service.settle_cluster(cluster).await.unwrap();
            let conditions = service.store().conditions_of(&cluster.name, key);
            let conditions = conditions.await.unwrap().into_iter();
            conditions
                .map(|known| known.condition)
                .filter(|c| c.kind == ConditionType::Stalled && c.status == ConditionStatus::True)
                .map(|c| c.message)
                .collect::<String>()
        })
    };
    let why = stalled("VirtualMachine/mail");
    assert!(
        why.contains("VirtualMachine/post of operator:anna")
            && why.contains("VirtualMachine/mail of agent:demo"),
        "{why}"
    );
    assert_eq!(stalled("VirtualMachine/post"), "");
    play.document("mail", &mail("mail", ""));
    let refused = by_agent(&play);
    assert!(refused.err.contains("VirtualMachine/post"), "{refused:?}");
    refused.ends(1);

    // Its removal asks for a deletion, and deletes nothing.
    play.withdraw("mail");
    by_agent(&play).ends(0);
    assert_eq!(lines(&documents(&play), &["mail"]), 0);
    assert_eq!(lines(&documents(&play), &["post", "operator:anna"]), 1);
    assert_eq!(stalled("VirtualMachine/post"), "");
    assert_eq!(play.writes().len(), writes);
    assert!(play.config(102).is_some());
}

#[test]
fn no_policy_lets_an_agent_take_over() {
    let play = Play::with(Setup {
        approval:
            "  policy:\n  - {name: all, match: {risk: [none, low, medium]}, autoApprove: true}\n"
                .to_owned(),
        ..Setup::default()
    });
    let hash = by_anna(&play, &mail("mail", "")).ends(2).hash();
    play.run(&hash).ends(0);
    let writes = play.writes().len();
    for name in ["mail", "post"] {
        let text = mail(name, "bailiwick.dev/take-over: operator:anna");
        play.document("mail", &text);
        let hash = play.apply()["hash"].as_str().unwrap().to_owned();
        play.run(&hash).ends(3);
        play.bailiwick(&["approve", &hash]).ends(1);
    }
    assert_eq!(lines(&documents(&play), &["mail", "operator:anna"]), 1);
    assert_eq!(play.writes().len(), writes);
}

#[test]
fn a_document_under_another_name_deletes_nothing() {
    let play = owned(Setup::default(), DELETE);
    let writes = play.writes().len();
    play.document("mail", &mail("post", DELETE));
    // Nothing has to change: it is accepted at once.
    by_agent(&play).ends(0);
    assert_eq!(lines(&documents(&play), &["post", "agent:demo"]), 1);
    assert_eq!(lines(&documents(&play), &["mail"]), 0);
    let record = play.ledger().pop().unwrap();
    assert_eq!(record["detail"]["moved"][0]["to"], "VirtualMachine/post");
    assert_eq!(play.writes().len(), writes);

    // With a change there is a plan, and its undo brings the old name back.
    let text = mail("third", DELETE).replace("6Gi", "7Gi");
    play.document("mail", &text);
    let plan = play.apply();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 1);
    let hash = plan["hash"].as_str().unwrap().to_owned();
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    assert_eq!(lines(&documents(&play), &["third"]), 1);
    let back = play.undo(&hash)["hash"].as_str().unwrap().to_owned();
    play.approve(&back).ends(0);
    play.run(&back).ends(0);
    assert_eq!(lines(&documents(&play), &["third"]), 0);
    assert_eq!(lines(&documents(&play), &["post", "agent:demo"]), 1);
    play.document("mail", &mail("post", DELETE));
    by_agent(&play).ends(0);
    assert!(play.config(102).is_some());
}
