//! `doctor`: what is well and what is not, with what to do.

use std::path::Path;
use std::time::Duration;

use anstyle::AnsiColor;
use serde_json::json;

use super::arguments::Doctor;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::submit::texts;
use super::{Ended, environment};
use crate::plan::words::clean;
use crate::service::doctor::{Check, Diagnosis, Patient, Status, examine};
use crate::sources::{Patience, Surroundings};

/// How long is waited for a repository to answer.
const NETWORK: Duration = Duration::from_secs(30);

/// Runs the command.
pub async fn run(config: &Path, given: &Doctor, output: &Output) -> Ended {
    // What sources need while they are looked at, for as long as this takes.
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::error(format!(
            "a folder for temporary files cannot be made: {error}"
        ))
    })?;
    let patient = Patient {
        file: config,
        environment: environment(),
        surroundings: Surroundings {
            folder: folder.path().to_owned(),
            programs: std::env::var_os("PATH").unwrap_or_default(),
            patience: Patience {
                network: NETWORK,
                ..Patience::default()
            },
        },
        documents: texts(&given.files)?,
        cluster: given.cluster.clone(),
    };
    let found = examine(&patient).await;
    output.value(&json!({ "checks": found.checks, "well": found.well() }));
    for check in &found.checks {
        show(check, output);
    }
    output.line(summary(&found));
    Ok(if found.well() {
        Exit::Success
    } else {
        Exit::Error
    })
}

fn show(check: &Check, output: &Output) {
    let colour = match check.status {
        Status::Ok => AnsiColor::Green,
        Status::Skipped => AnsiColor::Blue,
        Status::Warning => AnsiColor::Yellow,
        Status::Failed => AnsiColor::Red,
    };
    // Painted after it is filled up: colours have no width.
    let word = output.paint(&format!("{:7}", check.status.word()), colour);
    let mut lines = check.found.lines().map(clean);
    let first = lines.next().unwrap_or_default();
    output.line(format!("{word}  {}: {first}", clean(&check.name)));
    for line in lines {
        output.line(format!("         {line}"));
    }
    for line in &check.advice {
        output.line(format!("         → {}", clean(line)));
    }
}

fn summary(found: &Diagnosis) -> String {
    let [ok, warnings, failed, skipped] =
        [Status::Ok, Status::Warning, Status::Failed, Status::Skipped]
            .map(|status| found.count(status));
    format!("{ok} ok, {warnings} with a warning, {failed} failed, {skipped} skipped")
}
