//! The story. Each step says what happens, shows it, and checks that it came out so. What is told stands in the chapters
//! ([`submitted`](super::submitted), [`by_hand`](super::by_hand), [`commit`](super::commit), [`proof`](super::proof)); here is what
//! they share.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use serde_json::{Value, json};

use super::agent::{number, word};
use super::stage::{AGENT, OPERATOR, Stage};
use crate::approval::key::load_signing_key;
use crate::approval::signature::dated_message;
use crate::approval::{Decision, Verdict};
use crate::cli::Ended;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::ledger::Action;
use crate::service::decide::HandedIn;
use crate::service::plans::PlanView;
use crate::service::{Planned, ServiceError};
use crate::store::{PlanState, RecordFilter, StoreError};

/// How often is looked for what is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// After how long it is said what is waited for.
const SAY: Duration = Duration::from_millis(800);
/// After how long something is not as told. Long, since machines may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// The story, being told.
pub struct Story<'a> {
    pub(super) stage: &'a Stage,
    yes: bool,
    pub(super) output: &'a Output,
    /// How many runs the loop has made.
    pub(super) runs: Cell<u32>,
}

/// A person said no, or something is not as told.
pub enum Broken {
    /// A person said no.
    Declined,
    /// Something is not as told, or did not work.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ServiceError> for Broken {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

/// How a part of the story ends.
pub type Told<T = ()> = Result<T, Broken>;

/// Holds the story to what it tells.
pub fn check(holds: bool, what: &str) -> Told {
    if holds {
        Ok(())
    } else {
        Err(Failure::error(format!("the demo did not come out as told: {what}")).into())
    }
}

/// What a person has put under a plan, to be handed in.
pub struct Signed(HandedIn);

impl<'a> Story<'a> {
    /// A story on a stage.
    pub fn new(stage: &'a Stage, yes: bool, output: &'a Output) -> Self {
        Self {
            stage,
            yes,
            output,
            runs: Cell::new(0),
        }
    }

    /// Tells it.
    pub async fn tell(mut self) -> Ended {
        if !self.yes && !std::io::stdin().is_terminal() {
            self.output.line("(There is no terminal to ask on: the demo gives the approvals itself, as with --yes.)");
            self.yes = true;
        }
        let told = self.chapters().await;
        self.loop_says();
        match told {
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
        self.introduction().await?;
        let first = self.new_machine_and_memory().await?;
        self.storage_deleted().await?;
        self.storage_emptied_first().await?;
        self.changed_while_it_waited().await?;
        self.drift().await?;
        self.commit().await?;
        self.undo(&first).await?;
        self.ledger().await?;
        self.metrics().await
    }

    async fn introduction(&self) -> Told {
        let Stage { url, served, .. } = self.stage;
        self.output.line(format!(
            "A simulated Proxmox VE cluster serves at {url} (3 nodes, 41 guests, 6 storages).\n\
             Bailiwick's loop runs on it, over TLS with a scoped token; MCP and metrics are at {served}.\n\
             An AI agent ({AGENT}) submits over MCP; a person ({OPERATOR}) approves; the loop runs what was approved."
        ));
        let tools = self.stage.agent.tools().await?;
        self.output.line(format!(
            "  {AGENT} connects with its token to {} and is shown {} tools: {}",
            self.stage.agent.server(),
            tools.len(),
            tools.join(", ")
        ));
        let acts = |tool: &String| ["approve", "reject", "run", "apply"].contains(&tool.as_str());
        check(
            tools.iter().any(|tool| tool == "submit") && !tools.iter().any(acts),
            "the agent can submit, and has no tool to approve or to run anything",
        )?;
        self.in_view().await
    }

    /// The heading of a chapter.
    pub(super) fn title(&self, letter: char, text: &str) {
        self.output.line(
            self.output
                .paint(&format!("\n━━ ({letter}) {text}"), AnsiColor::Cyan),
        );
    }

    /// Tells what the loop said meanwhile.
    pub(super) fn loop_says(&self) {
        for line in self.stage.loop_said() {
            let warning = if line.warning { "warning: " } else { "" };
            self.output
                .line(format!("  the loop  {warning}{}", shortened(&line.text)));
        }
    }

    /// Waits until something is so, and says what for when that takes long.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Told<Option<T>>,
    ) -> Told<T> {
        let began = Instant::now();
        let mut said = 0;
        loop {
            let found = look().await?;
            self.loop_says();
            if let Some(found) = found {
                return Ok(found);
            }
            check(
                began.elapsed() < PATIENCE,
                &format!("it waited in vain: {what}"),
            )?;
            // At once, and then every ten seconds.
            if began.elapsed() > SAY + said * Duration::from_secs(10) {
                said += 1;
                self.output.line(format!("  … {what}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the loop has the cluster in view, as it is after everything that ran.
    pub(super) async fn in_view(&self) -> Told {
        let cluster = &self.stage.service.cluster(None)?.name;
        self.until("the loop reads the cluster", async || {
            let world = self.stage.service.known_world(cluster).await?;
            Ok(world.map(|_| ()))
        })
        .await
    }

    /// The agent hands documents in. Returns what it was answered.
    pub(super) async fn submit(&self, documents: &[&str], prune: bool) -> Told<Value> {
        self.in_view().await?;
        let asked = json!({ "documents": documents.join("---\n"), "prune": prune });
        let answer = self.stage.agent.call("submit", asked).await?;
        let pruning = if prune { ", the rest is to go" } else { "" };
        self.answered(
            &format!("submit ({} documents{pruning})", documents.len()),
            &answer,
        );
        Ok(answer)
    }

    /// Tells what the agent was answered.
    pub(super) fn answered(&self, call: &str, answer: &Value) {
        let count = |what: &str| number(answer, &format!("/plan/{what}/total")).unwrap_or(0);
        self.output.line(format!(
            "  {AGENT} calls {call}\n    is answered: {}; plan {}, risk {}, {} steps, {} impacts\n    {}",
            word(answer, "/outcome"),
            shortened(word(answer, "/plan/plan")),
            word(answer, "/plan/risk"),
            count("steps"),
            count("impacts"),
            shortened(word(answer, "/next"))
        ));
    }

    /// A plan as it stands, as the person reads it.
    pub(super) async fn plan(&self, hash: &str) -> Told<Planned> {
        let PlanView {
            head,
            plan,
            standing,
            ledger,
            ..
        } = self.stage.service.view_plan(hash).await?;
        let planned = Planned {
            plan,
            state: Some(head.state),
            standing,
            ledger,
            accepted: Vec::new(),
        };
        self.output.line("");
        self.output.raw(
            &self
                .output
                .plan_text(&planned)
                .lines()
                .map(|line| format!("  {line}\n"))
                .collect::<String>(),
        );
        Ok(planned)
    }

    /// Asks on a terminal; with `--yes` answers itself.
    async fn asks(&self, question: &str) -> bool {
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\n? {question} [y/N] ").and_then(|()| out.flush());
        if self.yes {
            let _ = writeln!(out, "y (--yes)");
            return true;
        }
        drop(out);
        let (tell, told) = tokio::sync::oneshot::channel();
        // A thread of its own: one of the runtime's would hold up the end of an interrupted demo until somebody presses Enter.
        std::thread::spawn(move || {
            let mut answer = String::new();
            let read = std::io::stdin().lock().read_line(&mut answer);
            // Nobody listens any more when the demo was interrupted.
            let _ = tell.send(read.is_ok().then_some(answer));
        });
        let answer = told.await.ok().flatten().unwrap_or_default();
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// The person reads a plan and signs its hash with the operator's key.
    pub(super) async fn sign(&self, planned: &Planned) -> Told<Signed> {
        let plan = &planned.plan;
        let hash = &plan.hash;
        let question = format!(
            "Approve {} as {OPERATOR}, risk {}?",
            shortened(&hash.0),
            plan.risk
        );
        if !self.asks(&question).await {
            return Err(Broken::Declined);
        }
        let key = load_signing_key(&self.stage.file("keys/operator"), || None)
            .map_err(|error| Failure::of(&error))?;
        let at = jiff::Timestamp::from_second(self.stage.service.now().as_second())
            .map_err(|error| Failure::of(&error))?;
        let armoured = key
            .sign(&dated_message(hash, Decision::Approve, at))
            .map_err(|error| Failure::of(&error))?;
        Ok(Signed(HandedIn {
            armoured,
            signed_at: Some(at),
            reason: "the demo's operator has read the plan".to_owned(),
            impacts: plan.impacts.iter().map(|one| one.id.clone()).collect(),
            unknowns: BTreeSet::new(),
            expected: Some(OPERATOR.to_owned()),
        }))
    }

    /// Hands a signature in, over this plan. Says how that was refused, if it was.
    pub(super) async fn hand_in(&self, hash: &str, signed: &Signed) -> Told<Result<(), String>> {
        let decided = match self.stage.service.approve(hash, signed.0.clone()).await {
            Ok(decided) => decided,
            Err(error @ (ServiceError::State(_) | ServiceError::Approval(_))) => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        self.output.line(format!(
            "  approved by {}: a signature over {}, ledger #{}",
            decided.by,
            shortened(hash),
            decided.ledger
        ));
        check(
            matches!(decided.standing.verdict, Verdict::Satisfied { .. }),
            "one approval was enough",
        )?;
        Ok(Ok(()))
    }

    /// The person approves, and the loop runs it; the agent waits for that meanwhile.
    pub(super) async fn approve_and_run(&self, planned: &Planned) -> Told {
        let signed = self.sign(planned).await?;
        let hash = &planned.plan.hash.0;
        if let Err(why) = self.hand_in(hash, &signed).await? {
            return check(false, &format!("the approval was taken, not: {why}"));
        }
        let agent = async { Ok(self.stage.agent.wait(hash).await?) };
        let (waited, ()) = tokio::try_join!(agent, self.follow(planned))?;
        self.output.line(format!(
            "  {AGENT} waited with wait_for_plan and is answered: {}, run {}, {} of {} steps done",
            word(&waited, "/state"),
            word(&waited, "/run/state"),
            number(&waited, "/run/stepsDone").unwrap_or(0),
            planned.plan.steps.len()
        ));
        check(
            word(&waited, "/state") == "applied",
            "the agent is told that the plan was applied",
        )
    }

    /// Follows a run of the loop's to its end, which must be a good one.
    async fn follow(&self, planned: &Planned) -> Told {
        let plan = &planned.plan;
        let mut begun = BTreeSet::new();
        let mut ended = BTreeSet::new();
        let end = self.until("the loop is at it", async || {
            let view = self.stage.service.view_plan(&plan.hash.0).await?;
            self.loop_says();
            let calls = view.runs.first().map_or(&[][..], |run| &run.steps);
            for step in &plan.steps {
                let of_step = || calls.iter().filter(|call| call.at.step == step.id.0);
                if of_step().next().is_some() && begun.insert(step.id) {
                    self.output
                        .line(format!("  step {:>2}  {} …", step.id.0, step.title));
                }
                let outcome = of_step().next_back().and_then(|call| call.outcome);
                if let Some(outcome) = outcome
                    && of_step().all(|call| call.outcome.is_some())
                    && ended.insert(step.id)
                {
                    let word = self.output.paint(outcome.name(), AnsiColor::Green);
                    self.output.line(format!("  step {:>2}  {word}", step.id.0));
                }
            }
            Ok((!is_open(view.head.state)).then_some(view.head.state))
        });
        let state = end.await?;
        self.output.line(state.name());
        check(state == PlanState::Applied, "the run ended well")?;
        self.runs.set(self.runs.get() + 1);
        if let Some(record) = self.record(&plan.hash.0, Action::RunFinished).await? {
            self.output
                .line(format!("  recorded in the ledger: #{record}"));
        }
        Ok(())
    }

    /// The number of the last record of this kind about a plan.
    async fn record(&self, plan: &str, action: Action) -> Told<Option<u64>> {
        let filter = RecordFilter {
            plan: Some(plan.to_owned()),
            ..RecordFilter::default()
        };
        let records = self.stage.service.store().ledger_records(&filter, u32::MAX);
        Ok(records
            .await?
            .into_iter()
            .rev()
            .find(|record| record.action == action)
            .map(|record| record.seq))
    }
}

/// Whether a plan in this state waits for something or runs.
fn is_open(state: PlanState) -> bool {
    matches!(
        state,
        PlanState::Waiting | PlanState::Approved | PlanState::Running
    )
}

/// A text in which hashes are cut, for people who compare beginnings.
pub fn shortened(text: &str) -> String {
    const PREFIX: &str = "sha256:";
    const SHOWN: usize = 12;
    let mut parts = text.split(PREFIX);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        short.push_str(PREFIX);
        match digits.get(..SHOWN) {
            Some(head) if digits.len() > SHOWN => {
                short.push_str(head);
                short.push('…');
            }
            _ => short.push_str(digits),
        }
        short.push_str(rest);
    }
    short
}
