//! Submissions are never lost and never doubled, whatever the cluster does.

use bailiwick::service::Outcome;
use serde_json::json;

use crate::MAIL;
use crate::support::agents::Desk;

const DOWN: &str = "status=595 Connection refused;path=/access/permissions;count=*";

#[test]
fn a_submission_survives_a_cluster_that_does_not_answer() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    desk.play.fault(DOWN);
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    assert_eq!(submitted["outcome"], "pending", "{submitted}");
    let id = submitted["submission"].as_str().unwrap();
    // The same again is the same submission; others are their own.
    let again = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    assert_eq!(again["submission"], id);
    let other = desk.agent("other");
    let theirs = desk
        .call(&other, "submit", json!({ "documents": MAIL }))
        .unwrap();
    assert_ne!(theirs["submission"], id);
    let waiting = desk
        .play
        .block_on(desk.service.store().pending_submissions(10))
        .unwrap();
    assert_eq!(waiting.len(), 2);
    let waited = desk
        .call(
            &agent,
            "wait_for_plan",
            json!({ "id": id, "timeoutSeconds": 1 }),
        )
        .unwrap();
    assert_eq!(
        (&waited["state"], &waited["open"]),
        (&json!("pending"), &json!(true))
    );
    assert_eq!(waited["needs"][0]["code"], "not_planned_yet");
    // It cannot be looked at meanwhile, and that is said as it is.
    let error = desk.call(&agent, "list_resources", json!({})).unwrap_err();
    assert_eq!(error["code"], "unreachable_cluster");
    // Still down: it waits on, with the reason.
    let receipt = desk
        .play
        .block_on(desk.service.plan_submission(id))
        .unwrap();
    assert!(matches!(receipt.outcome, Outcome::Pending { .. }));
    desk.play.sim.clear_faults();
    let receipt = desk
        .play
        .block_on(desk.service.plan_submission(id))
        .unwrap();
    let Outcome::Planned(planned) = receipt.outcome else {
        panic!("{:?}", receipt.outcome)
    };
    // Once more is the same.
    let receipt = desk
        .play
        .block_on(desk.service.plan_submission(id))
        .unwrap();
    assert!(
        matches!(receipt.outcome, Outcome::Planned(again) if again.plan.hash == planned.plan.hash)
    );
    let waited = desk
        .call(
            &agent,
            "wait_for_plan",
            json!({ "id": id, "timeoutSeconds": 0 }),
        )
        .unwrap();
    assert_eq!(
        (&waited["state"], &waited["plan"]),
        (&json!("waiting"), &json!(planned.plan.hash.0))
    );
    let created = desk.play.ledger();
    let created = created
        .iter()
        .filter(|record| record["action"] == "plan-created");
    assert_eq!(created.count(), 1);
}

#[test]
fn bad_documents_leave_nothing_behind() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    desk.play.fault(DOWN);
    for documents in ["a: [", "", &MAIL.replace("memory", "memry")] {
        desk.call(&agent, "submit", json!({ "documents": documents }))
            .unwrap_err();
    }
    let waiting = desk
        .play
        .block_on(desk.service.store().pending_submissions(10))
        .unwrap();
    assert_eq!(waiting.len(), 0);
    desk.play.sim.clear_faults();
    // What is valid and cannot be planned is refused and does not wait for better days.
    let shrink = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, disks: {scsi0: {size: 1Gi}}}\n";
    desk.call(&agent, "submit", json!({ "documents": shrink }))
        .unwrap_err();
    let waiting = desk
        .play
        .block_on(desk.service.store().pending_submissions(10))
        .unwrap();
    assert_eq!(waiting.len(), 0);
}

#[test]
fn what_waits_can_be_taken_back_by_its_submitter_only() {
    let desk = Desk::new();
    let (agent, other) = (desk.agent("scout"), desk.agent("other"));
    desk.play.fault(DOWN);
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let id = &submitted["submission"];
    let error = desk
        .call(&other, "withdraw", json!({ "id": id, "reason": "no" }))
        .unwrap_err();
    assert_eq!(error["code"], "refused_by_policy");
    desk.call(
        &agent,
        "withdraw",
        json!({ "id": id, "reason": "a mistake" }),
    )
    .unwrap();
    desk.play.sim.clear_faults();
    let error = desk
        .play
        .block_on(desk.service.plan_submission(id.as_str().unwrap()))
        .unwrap_err();
    assert!(error.to_string().contains("a mistake"), "{error}");
    let waited = desk
        .call(&agent, "wait_for_plan", json!({ "id": id }))
        .unwrap();
    assert_eq!(
        (&waited["state"], &waited["open"]),
        (&json!("refused"), &json!(false))
    );
    // Handed in again, it is planned.
    let again = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    assert_eq!(
        (&again["outcome"], &again["submission"]),
        (&json!("planned"), id)
    );
}

#[test]
fn a_withdrawn_plan_never_runs_and_is_proven() {
    let desk = Desk::new();
    desk.keep();
    let agent = desk.agent("scout");
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let plan = submitted["plan"]["plan"].as_str().unwrap();
    desk.play.approve(plan).ends(0);
    let back = desk
        .call(
            &agent,
            "withdraw",
            json!({ "id": plan, "reason": "not \u{202e}meant" }),
        )
        .unwrap();
    assert_eq!(back["state"], "withdrawn");
    assert_ne!(desk.play.run(plan).code, Some(0));
    assert_eq!(desk.play.writes().len(), 0);
    let ledger = desk.play.ledger();
    let record = ledger
        .iter()
        .find(|record| record["action"] == "plan-withdrawn")
        .unwrap();
    assert_eq!(
        (&record["actor"], &record["plan"]),
        (&json!("agent:scout"), &json!(plan))
    );
    assert_eq!(record["detail"]["reason"], "not \\u{202e}meant");
    // Submitted again it waits again, and needs a new approval.
    let again = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    assert_eq!(
        (&again["plan"]["plan"], &again["plan"]["state"]),
        (&json!(plan), &json!("waiting"))
    );
    assert_eq!(desk.play.run(plan).code, Some(3));
}

#[test]
fn what_is_taken_back_while_it_is_planned_leaves_no_plan() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    desk.play.fault(DOWN);
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let id = submitted["submission"].as_str().unwrap().to_owned();
    desk.play.sim.clear_faults();
    // Planning takes a while, and in the midst of it the agent thinks better of it.
    desk.play
        .fault("latency=3000;path=/access/permissions;count=1");
    let (service, planning) = (desk.service.clone(), id.clone());
    let planning = async move { service.plan_submission(&planning).await };
    let scout = "agent:scout".parse().unwrap();
    let withdrawing = desk
        .service
        .withdraw_submission(&id, &scout, "it was a mistake after all");
    let (planned, withdrawn) = desk.play.block_on(async {
        let planning = tokio::spawn(planning);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let withdrawn = withdrawing.await;
        (planning.await.unwrap(), withdrawn)
    });
    withdrawn.unwrap();
    let said = planned.unwrap_err().to_string();
    assert!(
        said.contains("was withdrawn while it was planned"),
        "{said}"
    );
    assert_eq!(desk.play.plans_in("waiting"), Vec::<String>::new());
    assert_eq!(desk.play.plans_in("withdrawn").len(), 1);
    let kept = desk.play.block_on(desk.service.submission(&id)).unwrap();
    assert!(kept.message.starts_with("withdrawn by agent:scout"));
}

#[test]
fn who_says_a_thing_anew_takes_back_what_it_said_before() {
    let desk = Desk::new();
    let (agent, other) = (desk.agent("scout"), desk.agent("other"));
    let submit = |agent: &_, documents: &str| {
        let answer = desk
            .call(agent, "submit", json!({ "documents": documents }))
            .unwrap();
        (answer["outcome"] == "planned")
            .then(|| answer["plan"]["plan"].as_str().unwrap().to_owned())
    };
    let pool = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: theirs}\nspec: {comment: x}\n";
    let theirs = submit(&other, pool).unwrap();
    let first = submit(&agent, MAIL).unwrap();
    let second = submit(&agent, &MAIL.replace("6Gi", "7Gi")).unwrap();
    assert_eq!(desk.play.plans_in("superseded"), [first]);
    // As it is already: nothing is left to do, and nothing of before either.
    assert_eq!(submit(&agent, &MAIL.replace("6Gi", "4Gi")), None);
    assert_eq!(desk.play.plans_in("waiting"), [theirs]);
    assert!(desk.play.plans_in("superseded").contains(&second));
    desk.play.approve(&second).ends(1);
}
