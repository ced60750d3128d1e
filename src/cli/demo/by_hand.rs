//! Chapters (d) and (e): somebody changes things by hand, past Bailiwick. The loop sees it: what waited no longer holds, and what was
//! accepted has drifted.

use std::time::Instant;

use super::agent::word;
use super::story::{Story, Told, check, shortened};
use crate::cli::exit::Failure;
use crate::plan::Origin;
use crate::proxmox::call::Call;
use crate::service::Planned;
use crate::store::{ConditionStatus, ConditionType, Event, EventFilter, PlanState};

const WIKI: &str = include_str!("../../../examples/demo/wiki.yaml");
/// The document whose machine somebody changes, and that machine.
const DRIFTS: &str = "VirtualMachine/web-7";
const MACHINE: &str = "vm/9000";

impl Story<'_> {
    /// (d).
    pub(super) async fn changed_while_it_waited(&self) -> Told {
        self.title('d', "While a plan waits, somebody changes the VM by hand");
        let answer = self.submit(&[WIKI], false).await?;
        let old = self.plan(word(&answer, "/plan/plan")).await?;
        let signed = self.sign(&old).await?;
        self.output
            .line("  signed by the operator; before the signature is handed in …");
        self.output
            .line("\n  … somebody gives vm/116 three cores, past Bailiwick …");
        // Answered with a task, which shows in the cluster's list of tasks.
        let call = Call::post(["nodes", "pve3", "qemu", "116", "config"]).param("cores", "3");
        let new = self.superseded_by(&old, call).await?;
        check(
            new.plan.hash != old.plan.hash,
            "the new plan has a hash of its own",
        )?;
        for (over, plan) in [("the old plan", &old), ("the new plan", &new)] {
            match self.hand_in(&plan.plan.hash.0, &signed).await? {
                Err(why) => self.output.line(format!(
                    "  the signature is handed in over {over}, and refused: {}",
                    shortened(&why)
                )),
                Ok(()) => check(false, "the signature over the old plan is refused")?,
            }
        }
        self.output
            .line("  An approval holds for exactly one plan: the old one is worth nothing here.");
        self.approve_and_run(&new).await
    }

    /// Somebody makes a call by hand; the loop sees it and puts a new plan in the old one's place.
    async fn superseded_by(&self, old: &Planned, call: Call) -> Told<Planned> {
        let cycles = self.cycles().await?;
        self.change(call).await?;
        let began = Instant::now();
        let store = self.stage.service.store();
        let cluster = &old.plan.cluster;
        let new = self
            .until("the loop looks for what changed", async || {
                let gone = store.plan_head(&old.plan.hash.0).await?;
                if gone.is_none_or(|head| head.state != PlanState::Superseded) {
                    return Ok(None);
                }
                let waiting = self.stage.service.waiting_plans(cluster).await?;
                Ok(waiting.into_iter().next().map(|head| head.hash))
            })
            .await?;
        self.output.line(format!(
            "  {} is superseded: the loop saw the change and planned anew within {:.1} s ({} of its cycles)",
            shortened(&old.plan.hash.0),
            began.elapsed().as_secs_f64(),
            (self.cycles().await? - cycles).max(1.0)
        ));
        self.plan(&new).await
    }

    /// (e).
    pub(super) async fn drift(&self) -> Told {
        self.title(
            'e',
            "Drift: somebody changes by hand what an accepted document says",
        );
        self.in_view().await?;
        let store = self.stage.service.store();
        let before = store.last_event().await?;
        self.output.line(format!(
            "  {DRIFTS} says 2 GiB of memory.\n\n  … somebody halves the memory of {MACHINE}, past Bailiwick …"
        ));
        let call = Call::put(["nodes", "pve1", "qemu", "9000", "config"]).param("memory", "1024");
        self.change(call).await?;
        let found = self.event("DriftFound", before).await?;
        self.output.line(format!(
            "  event  {}  {}  {}  {}",
            found.event.kind.name(),
            found.event.reason,
            found.event.object,
            found.event.message
        ));
        self.drifted(ConditionStatus::True).await?;
        let planned = self.plan(&self.plan_against_drift().await?).await?;
        let touched = |key: &str| planned.plan.documents.iter().any(|one| one.key == key);
        check(
            touched(DRIFTS) && planned.plan.changes.len() == 1,
            "the plan is about what drifted, and nothing else",
        )?;
        self.approve_and_run(&planned).await?;
        self.event("DriftGone", before).await?;
        self.drifted(ConditionStatus::False).await?;
        let call = Call::get(["nodes", "pve1", "qemu", "9000", "config"]);
        let live: Result<serde_json::Value, _> = self.stage.by_hand.get(call).await;
        let live = live.map_err(|error| Failure::of(&error))?;
        let memory = live.pointer("/memory").map(ToString::to_string);
        check(
            memory.is_some_and(|memory| memory.trim_matches('"') == "2048"),
            "the memory is what the document says again",
        )
    }

    /// Waits for the plan that the loop proposes against drift.
    async fn plan_against_drift(&self) -> Told<String> {
        let service = &self.stage.service;
        let cluster = &service.cluster(None)?.name;
        self.until("the loop plans against it", async || {
            for head in service.waiting_plans(cluster).await? {
                let (_, plan, _) = service.plan(&head.hash).await?;
                if plan.origin == Origin::Drift {
                    return Ok(Some(head.hash));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Waits for an event about the document that drifts, after this one.
    async fn event(&self, reason: &str, after: u64) -> Told<Event> {
        let filter = EventFilter {
            after,
            object: Some(DRIFTS.to_owned()),
            ..EventFilter::default()
        };
        let store = self.stage.service.store();
        self.until("the loop compares the documents", async || {
            let events = store.events(&filter, 1000).await?;
            Ok(events
                .into_iter()
                .find(|event| event.event.reason == reason))
        })
        .await
    }

    /// Waits until the document's condition says whether it drifted.
    async fn drifted(&self, status: ConditionStatus) -> Told {
        let service = &self.stage.service;
        let cluster = &service.cluster(None)?.name;
        self.until("the loop sets the condition", async || {
            let conditions = service.store().conditions_of(cluster, DRIFTS).await?;
            let is = conditions.iter().any(|found| {
                found.condition.kind == ConditionType::Drifted && found.condition.status == status
            });
            Ok(is.then_some(()))
        })
        .await?;
        self.output
            .line(format!("  condition  {DRIFTS}  Drifted {}", status.name()));
        Ok(())
    }

    /// Somebody changes something with a token of their own.
    async fn change(&self, call: Call) -> Told {
        let changed = self.stage.by_hand.write(call).await;
        changed
            .map_err(|error| Failure::error(format!("the change by hand: {}", error.cause())))?;
        Ok(())
    }
}
