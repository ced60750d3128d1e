//! `reach`: who can open what, and which rule decides.

use anstyle::AnsiColor;

use super::Ended;
use super::arguments::Reach as Asked;
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::plan::words::clean;
use crate::service::Service;
use crate::service::reach::{Judged, Question, Verdict};

/// Runs the command.
pub async fn run(service: &Service, asked: &Asked, output: &Output) -> Ended {
    let question = Question {
        source: asked.source.clone(),
        target: asked.target.clone(),
        cluster: asked.cluster.clone(),
        after: asked.after.clone(),
    };
    let reach = service.reach(&question).await?;
    let json = serde_json::to_value(&reach)
        .map_err(|error| Failure::error(format!("the answer cannot be written: {error}")))?;
    output.value(&json);
    output.line(clean(&format!("{} to {}", reach.source, reach.target)));
    show("now", &reach.now, output);
    if let Some(after) = &reach.after {
        show("after the plan", &after.judged, output);
    }
    Ok(match reach.verdict() {
        Verdict::Yes => Exit::Success,
        Verdict::Partly | Verdict::No => Exit::Refused,
        Verdict::Unknown => Exit::Undetermined,
    })
}

fn show(when: &str, judged: &Judged, output: &Output) {
    let (word, colour) = match judged.verdict {
        Verdict::Yes => ("yes", AnsiColor::Green),
        Verdict::Partly => ("partly", AnsiColor::Yellow),
        Verdict::No => ("no", AnsiColor::Red),
        Verdict::Unknown => ("unknown", AnsiColor::Yellow),
    };
    output.line(format!("{when}: {}", output.paint(word, colour)));
    for part in &judged.parts {
        output.line(format!("  {}: {}", part.sentence, part.because));
    }
}
