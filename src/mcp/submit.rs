//! The tools that hand something in or take it back. None of them changes a cluster: what comes of them is a plan that waits.

use super::answers as out;
use super::arguments::{ProposeUndo, Submit, Withdraw};
use super::code::Refusal;
use super::plan_answer::{self, About, Window};
use super::server::{Answer, Call};
use super::untrusted::text;
use crate::plan::Plan;
use crate::service::inbox::{Outcome, PREFIX};
use crate::service::plans::Hold;
use crate::service::{Planned, Submission, Text};

/// `plan`.
pub async fn plan(call: &Call, given: Submit) -> Result<Answer, Refusal> {
    let planned = call.service().preview(submission(call, given)).await?;
    let holds = call
        .service()
        .holds(&planned.plan, planned.state, &planned.standing)
        .await?;
    let about = About {
        holds: &holds,
        ..About::default()
    };
    let answer = out::Previewed {
        next: if planned.plan.leaves_nothing_to_decide() {
            "Nothing would have to change. Submit the documents to have Bailiwick keep it so."
        } else {
            "Nothing was stored. If every impact is meant, submit the same documents."
        }
        .to_owned(),
        plan: plan_answer::answer(&planned.plan, about, Window::default()),
    };
    let head = format!(
        "{}\n{}",
        plan_answer::line(&planned.plan, about),
        answer.next
    );
    Answer::with_data(&answer, &head, &plan_answer::page(&planned.plan, about))
}

/// `submit`.
pub async fn submit(call: &Call, given: Submit) -> Result<Answer, Refusal> {
    let receipt = call.service().hand_in(submission(call, given)).await?;
    let id = Some(receipt.id);
    match receipt.outcome {
        Outcome::Planned(planned) => planned_answer(call, id, &planned).await,
        Outcome::Accepted(planned) => accepted_answer(id, &planned),
        Outcome::Pending { why } => {
            let answer = out::Submitted {
                submission: id,
                outcome: "pending".to_owned(),
                next: "It is kept and will be planned once the cluster can be observed. Call wait_for_plan with the submission's id; do not submit it again."
                    .to_owned(),
                why: Some(text(&why)),
                plan: None,
                accepted: Vec::new(),
            };
            let head = format!("pending: {}", answer.next);
            Answer::with_data(&answer, &head, &text(&why))
        }
    }
}

/// `propose_undo`.
pub async fn propose_undo(call: &Call, given: ProposeUndo) -> Result<Answer, Refusal> {
    let planned = call.service().undo(&given.plan, call.who()).await?;
    if planned.state.is_none() {
        return accepted_answer(None, &planned);
    }
    planned_answer(call, None, &planned).await
}

/// `withdraw`.
pub async fn withdraw(call: &Call, given: Withdraw) -> Result<Answer, Refusal> {
    let service = call.service();
    let answer = if given.id.starts_with(PREFIX) {
        service
            .withdraw_submission(&given.id, call.who(), &given.reason)
            .await?;
        out::Withdrawn {
            id: given.id,
            state: "refused".to_owned(),
            ledger: None,
        }
    } else {
        let withdrawn = service
            .withdraw(&given.id, call.who(), &given.reason)
            .await?;
        out::Withdrawn {
            id: withdrawn.plan.0,
            state: "withdrawn".to_owned(),
            ledger: Some(withdrawn.ledger),
        }
    };
    let said = format!("{} is withdrawn; nobody can approve it any more", answer.id);
    Answer::new(&answer, said)
}

fn submission(call: &Call, given: Submit) -> Submission {
    Submission {
        documents: vec![Text {
            file: "documents".to_owned(),
            text: given.documents,
        }],
        // An agent submits to its own source, and never past the fuse.
        source: None,
        prune: given.prune.unwrap_or(false),
        allow_deletions: None,
        submitter: call.who().clone(),
        cluster: given.cluster,
    }
}

async fn planned_answer(
    call: &Call,
    id: Option<String>,
    planned: &Planned,
) -> Result<Answer, Refusal> {
    let view = call.service().view_plan(&planned.plan.hash.0).await?;
    let about = About::from(&view);
    let answer = out::Submitted {
        submission: id,
        outcome: "planned".to_owned(),
        next: next(&view.plan, &view.holds),
        why: None,
        plan: Some(plan_answer::answer(&view.plan, about, Window::default())),
        accepted: Vec::new(),
    };
    let head = format!("{}\n{}", plan_answer::line(&view.plan, about), answer.next);
    Answer::with_data(&answer, &head, &plan_answer::page(&view.plan, about))
}

fn next(plan: &Plan, holds: &[Hold]) -> String {
    match holds.first() {
        Some(hold) => super::code::next_for(hold.kind).replace("HASH", &plan.hash.0),
        None => "The policy approves it by itself: it is carried out next. wait_for_plan tells how that ends.".to_owned(),
    }
}

fn accepted_answer(id: Option<String>, planned: &Planned) -> Result<Answer, Refusal> {
    let about = About {
        ledger: planned.ledger,
        ..About::default()
    };
    let accepted: Vec<String> = planned.accepted.iter().map(|key| text(key)).collect();
    let next = if id.is_none() {
        "There is nothing left to undo."
    } else if accepted.is_empty() {
        "Everything is as these documents say, and they were accepted before. There is nothing to do."
    } else {
        "Nothing had to change: the documents were accepted, and Bailiwick watches them from now on."
    };
    let answer = out::Submitted {
        submission: id,
        outcome: "accepted".to_owned(),
        next: next.to_owned(),
        why: None,
        plan: Some(plan_answer::answer(&planned.plan, about, Window::default())),
        accepted,
    };
    let said = format!("accepted: {next}");
    Answer::with_data(&answer, &said, &answer.accepted.join("\n"))
}
