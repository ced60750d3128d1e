//! Who may let a plan pass: signatures, their single use and their end, policies, and that no agent can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::play::{Play, hash_of};

const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}}\n";

#[test]
fn a_key_that_is_not_allowed_is_refused_and_recorded() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.approve_with(&plan, "stranger").ends(1);
    let failed: Vec<_> = play
        .ledger()
        .into_iter()
        .filter(|record| record["action"] == "login-failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["plan"], plan);
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.approve(&plan).ends(0);
    play.run(&plan).ends(0);
    assert_eq!(play.writes().len(), 1);
    play.run(&plan).ends(1);
    assert_eq!(play.writes().len(), 1);
}

fn waits() -> (Play, String) {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    (play, plan)
}

#[test]
fn who_approves_can_be_said_as_elsewhere() {
    let (play, plan) = waits();
    let approve = |who: &str| play.bailiwick(&["approve", &plan, "--key", "anna", "--as", who]);
    let other = approve("person:otto").ends(1);
    assert!(other.all().contains("not of otto"), "{}", other.all());
    approve("person:anna").ends(0);
}

#[test]
fn agents_cannot_approve_reject_or_thaw() {
    let (play, plan) = waits();
    play.bailiwick(&["approve", &plan]).ends(1);
    play.bailiwick(&["reject", &plan, "--reason", "no", "--as", "agent:demo"])
        .ends(3);
    play.bailiwick(&["reject", &plan, "--reason", "no", "--as", "person:nobody"])
        .ends(3);
    play.run(&plan).ends(3);
    play.bailiwick(&["reject", &plan, "--reason", "no", "--as", "person:anna"])
        .ends(0);
    play.run(&plan).ends(3);
    play.approve(&plan).ends(1);
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn an_approval_is_for_one_plan_and_one_run() {
    let (play, plan) = waits();
    // A signature over this plan, made elsewhere and kept.
    let signature = {
        use ssh_key::HashAlg;
        let key = support::play::ssh_key(7);
        key.sign("bailiwick", HashAlg::Sha512, plan.as_bytes())
            .unwrap()
            .to_pem(ssh_key::LineEnding::LF)
            .unwrap()
    };
    std::fs::write(play.path("plan.sig"), signature).unwrap();
    play.document("wiki", include_str!("../examples/demo/wiki.yaml"));
    let other = hash_of(&play.apply());
    // Not for another plan.
    play.bailiwick(&["approve", &other, "--signature", "plan.sig"])
        .ends(1);
    play.run(&other).ends(3);
    play.bailiwick(&["approve", &plan, "--signature", "plan.sig"])
        .ends(0);
    play.run(&plan).ends(0);
    // Not twice.
    play.bailiwick(&["approve", &plan, "--signature", "plan.sig"])
        .ends(1);
    play.run(&plan).ends(1);
    play.run(&other).ends(3);
    assert_eq!(play.writes().len(), 1);
}

#[test]
fn a_key_taken_away_counts_no_longer() {
    let (play, plan) = waits();
    play.approve(&plan).ends(0);
    let allowed = std::fs::read_to_string(play.path("allowed")).unwrap();
    let without: String = allowed
        .lines()
        .filter(|line| !line.starts_with("anna"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(play.path("allowed"), without).unwrap();
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.approve_with(&plan, "ben").ends(0);
    play.run(&plan).ends(0);
}

#[test]
fn an_approval_dies_of_age() {
    use bailiwick::configuration::load_configuration;
    use bailiwick::service::{Environment, Service, Tuning};
    use std::sync::Arc;

    let (play, plan) = waits();
    play.approve(&plan).ends(0);
    let at = |minutes: i64| {
        let configuration = load_configuration(&play.path("bailiwick.yaml")).unwrap();
        let environment = Environment {
            variable: Arc::new(|_| None),
            clock: Arc::new(move || {
                jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)
            }),
        };
        let tuning = Tuning {
            poll: std::time::Duration::from_millis(10),
            ..Tuning::default()
        };
        play.block_on(Service::open(configuration, environment, tuning))
            .unwrap()
    };
    let late = at(31);
    let refused = play.block_on(late.run(&plan, &|_| {})).unwrap_err();
    assert!(refused.to_string().contains("expired"), "{refused}");
    assert_eq!(play.writes().len(), 0);
    drop(late);
    // Approved anew it runs.
    play.approve(&plan).ends(0);
    play.run(&plan).ends(0);
}

fn with_policy(policy: &str) -> (Play, String) {
    let play = Play::with(support::play::Setup {
        approval: policy.to_owned(),
        ..Default::default()
    });
    play.document("mail", MAIL);
    let plan = play.json(&["apply", "-f", "docs"]);
    let hash = plan.hash();
    (play, hash)
}

#[test]
fn a_policy_may_approve_by_itself() {
    let (play, plan) = with_policy(
        "  policy:\n  - {name: small, match: {risk: [none, low, medium], kinds: {only: [VirtualMachine]}, verbs: {only: [create, update, adopt]}}, autoApprove: true}\n",
    );
    play.run(&plan).ends(0);
    let started = play
        .ledger()
        .into_iter()
        .find(|record| record["action"] == "run-started")
        .unwrap();
    assert_eq!(
        started["detail"]["approvedBy"],
        serde_json::json!(["policy rule small"])
    );
}

#[test]
fn a_policy_may_refuse() {
    let (play, plan) = with_policy(
        "  policy:\n  - {name: closed, match: {kinds: {any: [VirtualMachine]}}, deny: not here}\n",
    );
    let ran = play.run(&plan).ends(3);
    assert!(ran.all().contains("not here"), "{}", ran.all());
    play.approve(&plan).ends(3);
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn a_policy_that_became_stricter_holds_for_what_was_approved_before() {
    let (play, plan) = waits();
    play.approve(&plan).ends(0);
    let file = play.path("bailiwick.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let stricter = "  allowedSigners: allowed\n  groups: {operators: [anna, ben]}\n  policy:\n  - {name: two, match: {kinds: {any: [VirtualMachine]}}, require: {approvals: 2, group: operators}}\n";
    std::fs::write(&file, text.replace("  allowedSigners: allowed\n", stricter)).unwrap();
    // The policy is part of the plan: another policy, another plan.
    let ran = play.run(&plan).ends(2);
    let new = ran.json()["by"].as_str().unwrap().to_owned();
    play.approve(&new).ends(2);
    play.run(&new).ends(3);
    play.approve(&new).ends(2);
    play.run(&new).ends(3);
    play.approve_with(&new, "ben").ends(0);
    play.run(&new).ends(0);
    assert_eq!(play.writes().len(), 1);
}

/// Two documents whose removal deletes their guests, accepted as `agent:demo`'s, and now gone from the folder. The fuse lets one deletion
/// pass.
fn with_deletions() -> Play {
    let play = Play::with(support::play::Setup {
        sources: "{\"agent:demo\": {prune: true, fuse: {count: 1, share: 1.0}}}".to_owned(),
        ..Default::default()
    });
    for vmid in [103, 125] {
        let name = format!("vm-{vmid}");
        let text = support::desk::deletable("VirtualMachine", &name, &format!("vmid: {vmid}"));
        play.document(&name, &text);
    }
    let pool = support::desk::document("Pool", "lab", "comment: try things here");
    play.document("lab", &pool);
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("vm-103");
    play.withdraw("vm-125");
    play
}

/// Submits the folder as somebody who may let both deletions pass.
fn let_pass(play: &Play) -> String {
    let args = ["apply", "-f", "docs", "--prune", "--allow-deletions", "2"];
    let person = ["--as", "person:anna", "--source", "agent:demo"];
    play.json(&[&args[..], &person].concat()).ends(2).hash()
}

/// How often the ledger has a record of this action about a plan.
fn records(play: &Play, action: &str, plan: &str) -> usize {
    play.ledger()
        .iter()
        .filter(|record| record["action"] == action && record["plan"] == plan)
        .count()
}

#[test]
fn a_fuse_that_trips_blocks_a_plan_that_is_known_already() {
    let play = with_deletions();
    let plan = let_pass(&play);
    play.approve(&plan).ends(0);
    assert_eq!(play.plans_in("approved"), std::slice::from_ref(&plan));
    assert_eq!(records(&play, "fuse-tripped", &plan), 0);
    // The agent says the same, and may not: it is the same plan, and nobody can run it any more.
    let again = play.json(&["apply", "-f", "docs", "--prune"]).ends(3);
    assert_eq!(again.hash(), plan);
    assert!(
        again
            .out
            .contains("the fuse of source `agent:demo` tripped")
    );
    assert_eq!(play.plans_in("waiting"), std::slice::from_ref(&plan));
    assert_eq!(records(&play, "fuse-tripped", &plan), 1);
    play.run(&plan).ends(3);
    play.approve_with(&plan, "ben").ends(3);
    play.run(&plan).ends(3);
    // Once more is nothing new.
    play.json(&["apply", "-f", "docs", "--prune"]).ends(3);
    assert_eq!(records(&play, "fuse-tripped", &plan), 1);
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn an_approval_of_what_nobody_can_approve_is_not_kept_for_later() {
    let play = with_deletions();
    let plan = play
        .json(&["apply", "-f", "docs", "--prune"])
        .ends(3)
        .hash();
    let refused = play.approve(&plan).ends(3);
    assert_eq!(records(&play, "approved", &plan), 0);
    assert!(
        refused.err.contains("nobody can approve the plan")
            && refused
                .err
                .contains("the fuse of source `agent:demo` tripped"),
        "{}",
        refused.all()
    );
    // Once it may be approved, it is to be looked at anew.
    assert_eq!(let_pass(&play), plan);
    let shown = play.json(&["describe", &plan]).ends(0).json();
    assert_eq!(shown["approval"]["state"], "waiting", "{shown:#}");
    assert_eq!(play.plans_in("waiting"), std::slice::from_ref(&plan));
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.approve(&plan).ends(0);
    assert_eq!(play.plans_in("approved"), std::slice::from_ref(&plan));
}

#[test]
fn an_approval_is_taken_though_a_loop_was_the_first_to_see_that_it_is_enough() {
    use sqlx::Connection;

    let (play, plan) = waits();
    // A loop that looks right after the approval was kept, and before whoever handed it in has noted what follows.
    play.block_on(async {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(play.path("state/bailiwick.db"));
        let mut state = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        sqlx::query(
            "CREATE TRIGGER quick_loop AFTER INSERT ON approvals BEGIN \
             UPDATE plans SET state = 'approved' WHERE hash = NEW.plan; END",
        )
        .execute(&mut state)
        .await
        .unwrap();
        state.close().await.unwrap();
    });
    play.approve(&plan).ends(0);
    assert_eq!(play.plans_in("approved"), std::slice::from_ref(&plan));
    // The person's approval, and no second note that it is enough.
    assert_eq!(records(&play, "approved", &plan), 1);
    play.run(&plan).ends(0);
    assert_eq!(play.writes().len(), 1);
}
