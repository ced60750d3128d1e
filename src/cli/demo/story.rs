//! The story, step by step. Each step says what happens, shows it, and checks that it came out so.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anstyle::AnsiColor;

use super::stage::{AGENT, OPERATOR, Stage};
use crate::approval::key::load_signing_key;
use crate::approval::signature::dated_message;
use crate::approval::{Decision, Verdict};
use crate::cli::Ended;
use crate::cli::commands::show_run;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::watch;
use crate::plan::{Duration, PlanHash, Risk};
use crate::proxmox::call::Call;
use crate::service::decide::HandedIn;
use crate::service::{Planned, RunResult, Submission, Text};

const WEB: &str = include_str!("../../../examples/demo/web-7.yaml");
const MAIL: &str = include_str!("../../../examples/demo/mail.yaml");
const STORAGE: &str = include_str!("../../../examples/demo/local-zfs.yaml");
const MOVED: &str = include_str!("../../../examples/demo/moved-away.yaml");
const WIKI: &str = include_str!("../../../examples/demo/wiki.yaml");

/// What the deletion of the storage must say, to the letter.
const RADIUS: [&str; 3] = [
    "vm/104  won't-boot  (boot disk scsi0 on local-zfs)",
    "vm/210  won't-boot  (only copy: scsi0 on local-zfs)",
    "ct/301  degraded  (data volume mp1 on local-zfs)",
];

/// The story, being told.
pub struct Story<'a> {
    stage: &'a Stage,
    yes: bool,
    output: &'a Output,
}

/// A person said no, or something is not as told.
enum Broken {
    Declined,
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<crate::service::ServiceError> for Broken {
    fn from(error: crate::service::ServiceError) -> Self {
        Self::Failed(error.into())
    }
}

type Told<T = ()> = Result<T, Broken>;

fn check(holds: bool, what: &str) -> Told {
    if holds {
        Ok(())
    } else {
        Err(Failure::error(format!("the demo did not come out as told: {what}")).into())
    }
}

fn text(file: &str, text: &str) -> Text {
    Text {
        file: file.to_owned(),
        text: text.to_owned(),
    }
}

impl<'a> Story<'a> {
    /// A story on a stage.
    pub fn new(stage: &'a Stage, yes: bool, output: &'a Output) -> Self {
        Self { stage, yes, output }
    }

    /// Tells it.
    pub async fn tell(mut self) -> Ended {
        if !self.yes && !std::io::stdin().is_terminal() {
            self.output.line("(There is no terminal to ask on: the demo gives the approvals itself, as with --yes.)");
            self.yes = true;
        }
        match self.chapters().await {
            Ok(()) => {
                self.output.line(
                    self.output
                        .paint("\nThat was the whole loop.", AnsiColor::Green),
                );
                Ok(Exit::Success)
            }
            Err(Broken::Declined) => {
                self.output
                    .line("\nYou said no: nothing was changed, and the demo ends here.");
                Ok(Exit::Refused)
            }
            Err(Broken::Failed(failure)) => Err(failure),
        }
    }

    async fn chapters(&self) -> Told {
        self.output.line(format!(
            "A simulated Proxmox VE cluster serves at {} (3 nodes, 41 guests, 6 storages).\nBailiwick speaks to it over TLS with a \
             scoped token. An AI agent ({AGENT}) submits; a person ({OPERATOR}) approves.",
            self.stage.url
        ));
        let first = self.new_machine_and_memory().await?;
        self.storage_deleted().await?;
        self.storage_emptied_first().await?;
        self.changed_by_hand().await?;
        self.undo(&first).await?;
        self.ledger().await
    }

    fn title(&self, letter: char, text: &str) {
        self.output.line(
            self.output
                .paint(&format!("\n━━ ({letter}) {text}"), AnsiColor::Cyan),
        );
    }

    async fn submit(&self, documents: Vec<Text>, prune: bool) -> Told<Planned> {
        let submission = Submission {
            documents,
            source: None,
            prune,
            allow_deletions: None,
            submitter: self.stage.service.principal(Some(AGENT))?,
            cluster: None,
        };
        let planned = self.stage.service.submit(submission).await?;
        self.show(&planned);
        Ok(planned)
    }

    fn show(&self, planned: &Planned) {
        self.output.line("");
        self.output.raw(
            &self
                .output
                .plan_text(planned)
                .lines()
                .map(|line| format!("  {line}\n"))
                .collect::<String>(),
        );
    }

    /// Asks on a terminal; with `--yes` answers itself.
    fn asks(&self, question: &str) -> bool {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\n? {question} [y/N] ").and_then(|()| out.flush());
        if self.yes {
            let _ = writeln!(out, "y (--yes)");
            return true;
        }
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Approves by a signature of the operator's key over the plan's hash.
    async fn approve(&self, planned: &Planned) -> Told {
        let hash = &planned.plan.hash;
        if !self.asks(&format!(
            "Approve {} as {OPERATOR}, risk {}?",
            short(hash),
            planned.plan.risk
        )) {
            return Err(Broken::Declined);
        }
        let key =
            load_signing_key(&self.stage.key(), || None).map_err(|error| Failure::of(&error))?;
        let at = jiff::Timestamp::from_second(self.stage.service.now().as_second())
            .map_err(|error| Failure::of(&error))?;
        let armoured = key
            .sign(&dated_message(hash, Decision::Approve, at))
            .map_err(|error| Failure::of(&error))?;
        let given = HandedIn {
            armoured,
            signed_at: Some(at),
            reason: "the demo's operator has read the plan".to_owned(),
            impacts: planned
                .plan
                .impacts
                .iter()
                .map(|impact| impact.id.clone())
                .collect(),
            unknowns: BTreeSet::new(),
            expected: Some(OPERATOR.to_owned()),
        };
        let decided = self.stage.service.approve(&hash.0, given).await?;
        self.output.line(format!(
            "  approved by {}: a signature over {}, ledger #{}",
            decided.by,
            short(hash),
            decided.ledger
        ));
        check(
            matches!(decided.standing.verdict, Verdict::Satisfied { .. }),
            "one approval was enough",
        )
    }

    async fn apply(&self, planned: &Planned) -> Told {
        let tell = watch::tell(*self.output);
        let report = self.stage.service.run(&planned.plan.hash.0, &tell).await?;
        let exit = show_run(&report, self.output);
        check(exit == Exit::Success, "the run ended well")
    }

    async fn new_machine_and_memory(&self) -> Told<PlanHash> {
        self.title('a', "The agent wants a new VM and more memory for another");
        let documents = || {
            vec![
                text("web-7.yaml", WEB),
                text("mail.yaml", MAIL),
                text("local-zfs.yaml", STORAGE),
            ]
        };
        let planned = self.submit(documents(), false).await?;
        check(planned.plan.risk == Risk::Low, "the risk is low")?;
        self.approve(&planned).await?;
        self.apply(&planned).await?;
        let again = self.submit(documents(), false).await?;
        check(again.plan.steps.is_empty(), "the second plan is empty")?;
        Ok(planned.plan.hash)
    }

    async fn storage_deleted(&self) -> Told {
        self.title(
            'b',
            "The agent takes the document of storage local-zfs away",
        );
        let planned = self
            .submit(vec![text("web-7.yaml", WEB), text("mail.yaml", MAIL)], true)
            .await?;
        let shown: Vec<String> = self
            .output
            .plan_text(&planned)
            .lines()
            .map(|line| squeeze(&plain(line)))
            .collect();
        for line in RADIUS {
            check(
                shown.contains(&squeeze(line)),
                &format!("the plan says: {line}"),
            )?;
        }
        let recorded = planned
            .ledger
            .map(|record| format!("recorded in the ledger: #{record}"));
        check(
            recorded.is_some_and(|recorded| shown.contains(&recorded)),
            "the plan is recorded",
        )?;
        check(planned.plan.risk == Risk::High, "the risk is high")?;
        let refused = self.stage.service.run(&planned.plan.hash.0, &|_| ()).await;
        check(
            matches!(refused, Err(crate::service::ServiceError::Refused(_))),
            "without an approval it cannot be run",
        )?;
        let reason = "three guests would lose disks; move them away first";
        let operator = self
            .stage
            .service
            .principal(Some(&format!("person:{OPERATOR}")))?;
        let decided = self
            .stage
            .service
            .reject(&planned.plan.hash.0, operator, reason)
            .await?;
        self.output.line(format!(
            "\n  rejected by {}: {reason}; ledger #{}",
            decided.by, decided.ledger
        ));
        Ok(())
    }

    async fn storage_emptied_first(&self) -> Told {
        self.title(
            'c',
            "The agent tries again: the disks move away first, as one plan",
        );
        let documents = vec![
            text("web-7.yaml", WEB),
            text("mail.yaml", MAIL),
            text("moved-away.yaml", MOVED),
        ];
        let planned = self.submit(documents, true).await?;
        let permanent = planned
            .plan
            .impacts
            .iter()
            .filter(|impact| impact.duration == Duration::Permanent)
            .count();
        check(permanent == 0, "no permanent impact is left")?;
        check(
            planned.plan.steps.len() >= 4,
            "disks are moved and the storage is deleted in one plan",
        )?;
        self.approve(&planned).await?;
        self.apply(&planned).await
    }

    async fn changed_by_hand(&self) -> Told {
        self.title('d', "While a plan waits, somebody changes the VM by hand");
        let planned = self.submit(vec![text("wiki.yaml", WIKI)], false).await?;
        self.approve(&planned).await?;
        self.output.line(
            "\n  … meanwhile, somebody gives vm/116 three cores in Proxmox VE's own web page …",
        );
        let call = Call::put(["nodes", "pve3", "qemu", "116", "config"]).param("cores", "3");
        self.stage
            .by_hand
            .write(call)
            .await
            .map_err(|error| Failure::error(format!("the change by hand: {}", error.cause())))?;
        let report = self
            .stage
            .service
            .run(&planned.plan.hash.0, &|_| ())
            .await?;
        show_run(&report, self.output);
        let RunResult::Superseded(new) = report.result else {
            return check(false, "the plan was superseded");
        };
        check(
            new.plan.hash != planned.plan.hash,
            "the new plan has a hash of its own",
        )?;
        self.output
            .line("  An approval holds for exactly one plan: the old one is worth nothing here.");
        self.approve(&new).await?;
        self.apply(&new).await
    }

    async fn undo(&self, of: &PlanHash) -> Told {
        self.title(
            'e',
            "Undo of (a): a plan like any other, through the same gate",
        );
        let operator = self.stage.service.principal(Some(AGENT))?;
        let planned = self.stage.service.undo(&of.0, &operator).await?;
        self.show(&planned);
        check(!planned.plan.steps.is_empty(), "there is something to undo")?;
        self.approve(&planned).await?;
        self.apply(&planned).await
    }

    async fn ledger(&self) -> Told {
        self.title('f', "The ledger: sound, then tampered with");
        let service = &self.stage.service;
        let verified = service.verify_ledger(None, None).await?;
        let verified = verified.map_err(|tampering| {
            Failure::error(format!("the ledger does not hold: {tampering}"))
        })?;
        self.output.line(format!(
            "  verify: ok, {} records, head #{}",
            verified.records, verified.head.seq
        ));
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
            .take(lines.len() - 3)
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
        let file = self.stage.folder.join(name);
        let checkpoints = self.stage.folder.join("checkpoints.jsonl");
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
}

fn short(hash: &PlanHash) -> String {
    let end = hash
        .0
        .char_indices()
        .nth(19)
        .map_or(hash.0.len(), |(at, _)| at);
    format!("{}…", hash.0.get(..end).unwrap_or(&hash.0))
}

/// A line with single blanks, to compare what is aligned for people.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line without colour.
fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}
