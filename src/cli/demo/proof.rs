//! Chapters (g) to (i): taking back, and what proves and counts what happened.

use std::path::Path;

use super::agent::word;
use super::story::{Story, Told, check};
use crate::cli::exit::Failure;
use crate::plan::PlanHash;

/// The lines of the metrics that are shown: by name, and by what they contain.
const TELLING: &[(&str, &str)] = &[
    ("bailiwick_build_info", ""),
    ("bailiwick_reconciliations_total", "outcome=\"ok\""),
    ("bailiwick_cycle_requests_sum", ""),
    (CYCLES, ""),
    ("bailiwick_api_requests_total", "class=\"ok\""),
    ("bailiwick_decisions_total", ""),
    (RUNS, "outcome=\"ok\""),
    ("bailiwick_steps_total", "outcome=\"ok\""),
    ("bailiwick_source_success", ""),
    ("bailiwick_ledger_sequence", ""),
    ("bailiwick_ledger_verification_success", ""),
];
const CYCLES: &str = "bailiwick_cycle_requests_count";
const RUNS: &str = "bailiwick_runs_total";

impl Story<'_> {
    /// (g).
    pub(super) async fn undo(&self, of: &PlanHash) -> Told {
        self.title(
            'g',
            "Undo of (a): a plan like any other, through the same gate",
        );
        self.in_view().await?;
        let asked = serde_json::json!({ "plan": of.0 });
        let answer = self.stage.agent.call("propose_undo", asked).await?;
        self.answered("propose_undo", &answer);
        let planned = self.plan(word(&answer, "/plan/plan")).await?;
        check(!planned.plan.steps.is_empty(), "there is something to undo")?;
        self.approve_and_run(&planned).await
    }

    /// (h).
    pub(super) async fn ledger(&self) -> Told {
        self.title('h', "The ledger: sound, then tampered with");
        let service = &self.stage.service;
        let verified = service.verify_ledger(None, None).await?;
        let verified = verified.map_err(|tampering| {
            Failure::error(format!("the ledger does not hold: {tampering}"))
        })?;
        self.output.line(format!(
            "  verify: ok, {} records, head #{}",
            verified.records, verified.head.seq
        ));
        service.checkpoint().await?;
        let mut export = Vec::new();
        service.export_ledger(&mut export).await?;
        let lines: Vec<&[u8]> = export.split_inclusive(|byte| *byte == b'\n').collect();
        let middle = lines.len() / 2;

        let mut changed: Vec<u8> = export.clone();
        let at: usize = lines
            .iter()
            .take(middle)
            .map(|line| line.len())
            .sum::<usize>()
            + 40;
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        let found = self.verify_copy("changed.jsonl", &changed).await?;
        self.output.line(format!(
            "  one byte of a copy changed, in record #{}:\n    {found}",
            middle + 1
        ));
        check(
            found.contains(&(middle + 1).to_string()),
            "verify names the changed record",
        )?;

        let cut: Vec<u8> = lines
            .iter()
            .take(lines.len().saturating_sub(3))
            .flat_map(|line| line.iter().copied())
            .collect();
        let found = self.verify_copy("cut.jsonl", &cut).await?;
        self.output.line(format!(
            "  the last three records of another copy cut off:\n    {found}"
        ));
        Ok(())
    }

    /// Verifies a copy against the checkpoints, and gives what was found.
    async fn verify_copy(&self, name: &str, bytes: &[u8]) -> Told<String> {
        let file = self.stage.file(name);
        let checkpoints = self.stage.file("checkpoints.jsonl");
        std::fs::write(&file, bytes)
            .map_err(|error| Failure::error(format!("cannot write {}: {error}", file.display())))?;
        match self
            .stage
            .service
            .verify_ledger(Some(Path::new(&file)), Some(&checkpoints))
            .await?
        {
            Ok(_) => {
                check(false, "the copy does not hold")?;
                Ok(String::new())
            }
            Err(tampering) => Ok(tampering.to_string()),
        }
    }

    /// (i).
    pub(super) async fn metrics(&self) -> Told {
        self.title('i', "The metrics, as Prometheus reads them");
        let text = self.scrape().await?;
        self.output
            .line(format!("  GET {}/metrics", self.stage.served));
        for (name, with) in TELLING {
            for line in lines(&text, name).filter(|line| line.contains(with)) {
                self.output.line(format!("  {line}"));
            }
        }
        let runs = lines(&text, RUNS).find(|line| line.contains("outcome=\"ok\""));
        check(
            runs.and_then(value) == Some(f64::from(self.runs.get())),
            "every run is counted",
        )?;
        let holds = lines(&text, "bailiwick_ledger_verification_success").next();
        check(
            holds.and_then(value) == Some(1.0),
            "the ledger held when the loop verified it",
        )
    }

    /// How often the loop has looked at the cluster.
    pub(super) async fn cycles(&self) -> Told<f64> {
        let text = self.scrape().await?;
        Ok(lines(&text, CYCLES).filter_map(value).sum())
    }

    async fn scrape(&self) -> Told<String> {
        let url = format!("{}/metrics", self.stage.served);
        let failed = |error: reqwest::Error| Failure::error(format!("{url}: {error}"));
        let answer = self.stage.http.get(&url).send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        Ok(answer.text().await.map_err(failed)?)
    }
}

/// The lines of a metric.
fn lines<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    })
}

/// The number at the end of a line.
fn value(line: &str) -> Option<f64> {
    line.rsplit(' ').next()?.parse().ok()
}
