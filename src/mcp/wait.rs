//! `wait_for_plan`: looks into the store again and again until what is waited for has come about, the time is over, the caller has
//! gone, or the server is being stopped. It only reads.

use std::time::Duration;

use tokio::time::Instant;

use super::answers as out;
use super::arguments::{Until, WaitForPlan};
use super::code::Refusal;
use super::plan_answer;
use super::server::{Answer, Call};
use super::untrusted::text;
use crate::service::inbox::PREFIX;
use crate::service::plans::HoldKind;
use crate::store::{PlanState, SubmissionState};

/// How often the store is looked at.
const POLL: Duration = Duration::from_millis(300);
/// How long is waited when nothing is said, in seconds.
const USUAL: u32 = 30;
/// How often the caller is told that it still waits.
const TELL: Duration = Duration::from_secs(10);

/// How what is waited for stands.
enum Now {
    /// A submission that waits to be planned.
    Unplanned(String),
    /// A submission that came to no plan.
    Settled(SubmissionState, String),
    /// A plan, with its hash.
    Plan(String, PlanState),
}

/// `wait_for_plan`.
pub async fn wait_for_plan(call: &Call, given: WaitForPlan) -> Result<Answer, Refusal> {
    let until = given.until.unwrap_or_default();
    let patience = Duration::from_secs(u64::from(given.timeout_seconds.unwrap_or(USUAL)));
    let _place = call.place_to_wait()?;
    let begun = Instant::now();
    let mut told = begun;
    let mut now = look(call, &given.id).await?;
    if denied(call, &now).await? {
        return finish(call, given.id, now, until).await;
    }
    while !reached(&now, until) && begun.elapsed() < patience {
        if call.pause(POLL.min(patience)).await.is_break() {
            break;
        }
        now = again(call, &given.id, now).await?;
        if told.elapsed() >= TELL {
            told = Instant::now();
            call.tell(begun.elapsed(), patience, state_word(&now)).await;
        }
    }
    finish(call, given.id, now, until).await
}

async fn look(call: &Call, id: &str) -> Result<Now, Refusal> {
    let service = call.service();
    if !id.starts_with(PREFIX) {
        let (stored, plan, _) = service.plan(id).await?;
        return Ok(Now::Plan(plan.hash.0, stored.head.state));
    }
    let stored = service.submission(id).await?;
    match (stored.state, stored.plan) {
        (SubmissionState::Pending, _) => Ok(Now::Unplanned(stored.message)),
        (SubmissionState::Planned, Some(hash)) => {
            let (stored, plan, _) = service.plan(&hash).await?;
            Ok(Now::Plan(plan.hash.0, stored.head.state))
        }
        (state, _) => Ok(Now::Settled(state, stored.message)),
    }
}

/// Looks once more; where the plan is known, only at its state.
async fn again(call: &Call, id: &str, now: Now) -> Result<Now, Refusal> {
    let Now::Plan(hash, state) = now else {
        return look(call, id).await;
    };
    let head = call
        .service()
        .store()
        .plan_head(&hash)
        .await
        .map_err(crate::service::ServiceError::from)?;
    Ok(Now::Plan(hash, head.map_or(state, |head| head.state)))
}

/// Whether nobody can ever approve it as things stand: then waiting is of no use.
async fn denied(call: &Call, now: &Now) -> Result<bool, Refusal> {
    let Now::Plan(hash, PlanState::Waiting) = now else {
        return Ok(false);
    };
    let view = call.service().view_plan(hash).await?;
    Ok(view
        .holds
        .iter()
        .any(|hold| hold.kind == HoldKind::RefusedByPolicy))
}

fn reached(now: &Now, until: Until) -> bool {
    match now {
        Now::Unplanned(_) => false,
        Now::Settled(..) => true,
        Now::Plan(_, state) => match until {
            Until::Decided => *state != PlanState::Waiting,
            Until::Ended => !open(*state),
        },
    }
}

/// Whether a plan in this state can go on without anybody submitting anything.
fn open(state: PlanState) -> bool {
    match state {
        PlanState::Waiting | PlanState::Approved | PlanState::Running => true,
        PlanState::Rejected
        | PlanState::Superseded
        | PlanState::Applied
        | PlanState::Stopped
        | PlanState::Expired
        | PlanState::Withdrawn => false,
    }
}

fn state_word(now: &Now) -> &'static str {
    match now {
        Now::Unplanned(_) => "pending",
        Now::Settled(state, _) => state.name(),
        Now::Plan(_, state) => state.name(),
    }
}

async fn finish(call: &Call, id: String, now: Now, until: Until) -> Result<Answer, Refusal> {
    let state = state_word(&now).to_owned();
    let reached = reached(&now, until);
    let mut answer = out::Waited {
        id: text(&id),
        plan: None,
        state,
        reached,
        open: false,
        needs: Vec::new(),
        run: None,
        untrusted: out::Text {
            text: String::new(),
        },
    };
    match now {
        Now::Unplanned(why) => {
            answer.open = true;
            answer.needs = vec![out::Need {
                code: "not_planned_yet".to_owned(),
                message: "the cluster could not be observed yet".to_owned(),
                next: "Nothing: it is planned as soon as that is possible.".to_owned(),
            }];
            answer.untrusted.text = text(&why);
        }
        Now::Settled(_, why) => answer.untrusted.text = text(&why),
        Now::Plan(hash, _) => {
            let view = call.service().view_plan(&hash).await?;
            // Looked at once more: what the holds say belongs to this state.
            answer.state = view.head.state.name().to_owned();
            let denied = view
                .holds
                .iter()
                .any(|hold| hold.kind == HoldKind::RefusedByPolicy);
            answer.open = open(view.head.state) && !denied;
            answer.needs = plan_answer::needs(&view.holds);
            answer.run = view
                .runs
                .first()
                .map(|run| plan_answer::run(run, &view.plan));
            answer.plan = Some(hash);
        }
    }
    let mut head = format!(
        "{}: {}{}",
        answer.plan.as_ref().unwrap_or(&answer.id),
        answer.state,
        if answer.reached {
            ""
        } else if answer.open {
            " (still open; call again to wait on)"
        } else {
            " (waiting on is of no use)"
        }
    );
    if let Some(run) = &answer.run {
        head.push_str(&format!(
            "; run {} {}: {} of {} steps done",
            run.run, run.state, run.steps_done, run.steps_total
        ));
    }
    for need in &answer.needs {
        head.push_str(&format!("\n{}: {}", need.code, need.next));
    }
    let data: Vec<String> = answer
        .needs
        .iter()
        .map(|need| need.message.clone())
        .chain((!answer.untrusted.text.is_empty()).then(|| answer.untrusted.text.clone()))
        .collect();
    Answer::with_data(&answer, &head, &data.join("\n"))
}
