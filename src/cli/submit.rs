//! `apply`, `plan`, `diff`, `undo`, `clean-up`: everything that ends in a plan.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Ended;
use super::arguments::{CleanUp, Submit, Undo};
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::document_files;
use crate::plan::words::clean;
use crate::service::{Planned, Service, Submission, Text};

/// The texts of files and folders of documents; `-` is standard input.
pub fn texts(files: &[PathBuf]) -> Result<Vec<Text>, Failure> {
    let mut texts = Vec::new();
    for path in files {
        if path == Path::new("-") {
            let mut text = String::new();
            // One more than is taken: what is too long is refused when it is read, never cut.
            let most = u64::try_from(crate::document::yaml::MOST_BYTES).unwrap_or(u64::MAX);
            std::io::stdin()
                .take(most.saturating_add(1))
                .read_to_string(&mut text)
                .map_err(|error| Failure::error(format!("cannot read standard input: {error}")))?;
            texts.push(Text {
                file: "(standard input)".to_owned(),
                text,
            });
        } else {
            let read = document_files::read(&[path]).map_err(|errors| Failure::of(&errors))?;
            texts.extend(read.into_iter().map(|(file, text)| Text { file, text }));
        }
    }
    Ok(texts)
}

fn submission(service: &Service, submit: &Submit) -> Result<Submission, Failure> {
    Ok(Submission {
        documents: texts(&submit.files)?,
        source: submit.source.clone(),
        prune: submit.prune,
        allow_deletions: submit.allow_deletions,
        submitter: service.principal(submit.principal.as_deref())?,
        cluster: submit.cluster.clone(),
    })
}

/// `apply`.
pub async fn apply(service: &Service, submit: &Submit, output: &Output) -> Ended {
    if submit.files.is_empty() {
        return Err(Failure::error(
            "no documents are given: say --file PATH (a file, a folder, or - for standard input)",
        ));
    }
    let planned = service.submit(submission(service, submit)?).await?;
    Ok(show(&planned, output))
}

/// `plan`.
pub async fn plan(service: &Service, submit: &Submit, output: &Output) -> Ended {
    Ok(show(&previewed(service, submit).await?, output))
}

async fn previewed(service: &Service, submit: &Submit) -> Result<Planned, Failure> {
    if submit.files.is_empty() && !submit.prune {
        let principal = service.principal(submit.principal.as_deref())?;
        return Ok(service.drift(submit.cluster.as_deref(), &principal).await?);
    }
    Ok(service.preview(submission(service, submit)?).await?)
}

/// `diff`.
pub async fn diff(service: &Service, submit: &Submit, output: &Output) -> Ended {
    let planned = previewed(service, submit).await?;
    output.value(&json!(planned.plan.changes));
    let shown = |value: &Option<String>| {
        value
            .as_deref()
            .map_or_else(|| "(not set)".to_owned(), clean)
    };
    for change in &planned.plan.changes {
        output.line(format!(
            "{}  {}: {} → {}{}",
            clean(&change.object),
            clean(&change.field),
            shown(&change.before),
            shown(&change.after),
            if change.effect.is_empty() {
                String::new()
            } else {
                format!("  ({})", clean(&change.effect))
            }
        ));
    }
    if planned.plan.changes.is_empty() {
        output.line("no difference");
    }
    Ok(if planned.plan.steps.is_empty() {
        Exit::Success
    } else {
        Exit::Waits
    })
}

/// `undo`.
pub async fn undo(service: &Service, undo: &Undo, output: &Output) -> Ended {
    let principal = service.principal(undo.principal.as_deref())?;
    let planned = service.undo(&undo.plan, &principal).await?;
    Ok(show(&planned, output))
}

/// `clean-up`.
pub async fn clean_up(service: &Service, asked: &CleanUp, output: &Output) -> Ended {
    let principal = service.principal(asked.principal.as_deref())?;
    let planned = service
        .clean_up(asked.cluster.as_deref(), &principal)
        .await?;
    Ok(show(&planned, output))
}

/// Prints a plan; the exit code says whether one waits.
pub fn show(planned: &Planned, output: &Output) -> Exit {
    output.plan(planned);
    match &planned.standing.verdict {
        _ if planned.plan.leaves_nothing_to_decide() => Exit::Success,
        crate::approval::Verdict::Denied { .. } => Exit::Refused,
        crate::approval::Verdict::Satisfied { .. }
        | crate::approval::Verdict::Waiting { .. }
        | crate::approval::Verdict::Rejected { .. } => Exit::Waits,
    }
}
