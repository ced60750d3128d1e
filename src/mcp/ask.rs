//! The tools that answer one question: who may do what, and who can reach whom; now, or after a plan.

use std::fmt::Write as _;
use std::sync::Arc;

use super::answers as out;
use super::arguments::{Can, Reach};
use super::code::Refusal;
use super::server::{Answer, Call};
use super::untrusted::{text, texts};
use crate::service::after::AskedOf;
use crate::service::{can, reach};

/// How many reasons are listed.
const REASONS: usize = 50;
/// How many parts of an answer are listed.
const PARTS: usize = 100;

/// The worlds of a question.
async fn worlds(
    call: &Call,
    cluster: Option<&str>,
    after: Option<&str>,
) -> Result<AskedOf, Refusal> {
    let about = call.service().asked_about(cluster, after).await?;
    let now = call.world(about.cluster).await?;
    Ok(about.of(Arc::clone(&now)))
}

/// `can`.
pub async fn can(call: &Call, given: Can) -> Result<Answer, Refusal> {
    let worlds = worlds(call, given.cluster.as_deref(), given.after.as_deref()).await?;
    let question = can::Question {
        principal: given.principal,
        privilege: given.privilege,
        path: given.path,
        cluster: given.cluster,
        after: given.after,
    };
    let found = call.service().can_of(&question, worlds)?;
    let answer = out::Can {
        cluster: found.cluster,
        path: text(&found.path),
        now: may(None, &found.now),
        after: found
            .after
            .map(|after| may(Some(after.plan), &after.judged)),
    };
    let (mut head, mut rows) = (String::new(), String::new());
    for judged in [Some(&answer.now), answer.after.as_ref()]
        .into_iter()
        .flatten()
    {
        let when = when(judged.plan.as_deref());
        let _ = write!(head, "{when}: {}. ", judged.verdict);
        for why in &judged.untrusted.because {
            let _ = writeln!(rows, "{when}: {why}");
        }
    }
    Answer::with_data(&answer, head.trim_end(), &rows)
}

fn may(plan: Option<String>, judged: &can::Judged) -> out::May {
    let verdict = match judged.verdict {
        can::Verdict::Yes => "yes",
        can::Verdict::No => "no",
        can::Verdict::Unknown => "unknown",
    };
    out::May {
        plan,
        verdict: verdict.to_owned(),
        below: judged.below,
        untrusted: out::MayWords {
            entries: texts(&judged.entries, REASONS),
            because: texts(&judged.because, REASONS),
        },
    }
}

/// `reach`.
pub async fn reach(call: &Call, given: Reach) -> Result<Answer, Refusal> {
    let worlds = worlds(call, given.cluster.as_deref(), given.after.as_deref()).await?;
    let question = reach::Question {
        source: given.from,
        target: given.to,
        cluster: given.cluster,
        after: given.after,
    };
    let found = question.of(worlds)?;
    let answer = out::Reach {
        cluster: found.cluster,
        now: opens(None, &found.now),
        after: found
            .after
            .map(|after| opens(Some(after.plan), &after.judged)),
    };
    let (mut head, mut rows) = (String::new(), String::new());
    for judged in [Some(&answer.now), answer.after.as_ref()]
        .into_iter()
        .flatten()
    {
        let when = when(judged.plan.as_deref());
        let _ = write!(head, "{when}: {}. ", judged.verdict);
        if judged.total > judged.parts.len() {
            let _ = write!(head, "{} of {} parts. ", judged.parts.len(), judged.total);
        }
        for part in &judged.parts {
            let (sentence, because) = (&part.untrusted.sentence, &part.untrusted.because);
            let _ = writeln!(rows, "{when}: {}: {sentence}: {because}", part.outcome);
        }
    }
    Answer::with_data(&answer, head.trim_end(), &rows)
}

fn opens(plan: Option<String>, judged: &reach::Judged) -> out::Opens {
    let verdict = match judged.verdict {
        reach::Verdict::Yes => "yes",
        reach::Verdict::Partly => "partly",
        reach::Verdict::No => "no",
        reach::Verdict::Unknown => "unknown",
    };
    let parts = judged.parts.iter().take(PARTS).map(|part| out::OpensFor {
        outcome: part.outcome.to_owned(),
        untrusted: out::OpensWords {
            sentence: text(&part.sentence),
            because: text(&part.because),
        },
    });
    out::Opens {
        plan,
        verdict: verdict.to_owned(),
        total: judged.parts.len(),
        parts: parts.collect(),
    }
}

fn when(plan: Option<&str>) -> &'static str {
    match plan {
        None => "now",
        Some(_) => "after the plan",
    }
}
