//! `can`: who may do what, and why.

use anstyle::AnsiColor;

use super::Ended;
use super::arguments::Can as Asked;
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::plan::words::clean;
use crate::service::Service;
use crate::service::can::{Judged, Question, Verdict};

/// Runs the command.
pub async fn run(service: &Service, asked: &Asked, output: &Output) -> Ended {
    let question = Question {
        principal: asked.principal.clone(),
        privilege: asked.privilege.clone(),
        path: asked.path.clone(),
        cluster: asked.cluster.clone(),
        after: asked.after.clone(),
    };
    let can = service.can(&question).await?;
    let json = serde_json::to_value(&can)
        .map_err(|error| Failure::error(format!("the answer cannot be written: {error}")))?;
    output.value(&json);
    let what = format!("{} {} on {}", can.principal, can.privilege, can.path);
    output.line(clean(&what));
    match &can.after {
        None => show("now", &can.now, output),
        Some(after) => {
            show("now", &can.now, output);
            show("after the plan", &after.judged, output);
        }
    }
    Ok(match can.verdict() {
        Verdict::Yes => Exit::Success,
        Verdict::No => Exit::Refused,
        Verdict::Unknown => Exit::Undetermined,
    })
}

fn show(when: &str, judged: &Judged, output: &Output) {
    let (word, colour) = match judged.verdict {
        Verdict::Yes => ("yes", AnsiColor::Green),
        Verdict::No => ("no", AnsiColor::Red),
        Verdict::Unknown => ("unknown", AnsiColor::Yellow),
    };
    output.line(format!("{when}: {}", output.paint(word, colour)));
    for why in &judged.because {
        output.line(format!("  {why}"));
    }
}
