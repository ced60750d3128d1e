//! Chapters (a) to (c): what the agent submits, what its user's operator decides, and what the loop makes of it.

use super::agent::{number, word};
use super::stage::OPERATOR;
use super::story::{Story, Told, check, shortened};
use crate::plan::{Duration, PlanHash, Risk};
use crate::service::ServiceError;

const WEB: &str = include_str!("../../../examples/demo/web-7.yaml");
const MAIL: &str = include_str!("../../../examples/demo/mail.yaml");
const STORAGE: &str = include_str!("../../../examples/demo/local-zfs.yaml");
const MOVED: &str = include_str!("../../../examples/demo/moved-away.yaml");

/// What the deletion of the storage must say, to the letter.
const RADIUS: [&str; 3] = [
    "vm/104  won't-boot  (boot disk scsi0 on local-zfs)",
    "vm/210  won't-boot  (only copy: scsi0 on local-zfs)",
    "ct/301  degraded  (data volume mp1 on local-zfs)",
];

impl Story<'_> {
    /// (a). Returns the plan that was run.
    pub(super) async fn new_machine_and_memory(&self) -> Told<PlanHash> {
        self.title('a', "The agent wants a new VM and more memory for another");
        let answer = self.submit(&[WEB, MAIL, STORAGE], false).await?;
        let planned = self.plan(word(&answer, "/plan/plan")).await?;
        check(planned.plan.risk == Risk::Low, "the risk is low")?;
        self.approve_and_run(&planned).await?;
        let again = self.submit(&[WEB, MAIL, STORAGE], false).await?;
        check(
            number(&again, "/plan/steps/total") == Some(0),
            "the second plan is empty",
        )?;
        Ok(planned.plan.hash)
    }

    /// (b).
    pub(super) async fn storage_deleted(&self) -> Told {
        self.title(
            'b',
            "The agent takes the document of storage local-zfs away",
        );
        let answer = self.submit(&[WEB, MAIL], true).await?;
        let planned = self.plan(word(&answer, "/plan/plan")).await?;
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
        check(
            number(&answer, "/plan/impacts/total") == Some(3),
            "the agent is told of every impact",
        )?;
        let service = &self.stage.service;
        let hash = &planned.plan.hash.0;
        let refused = service.run(hash, &|_| ()).await;
        check(
            matches!(refused, Err(ServiceError::Refused(_))),
            "without an approval it cannot be run",
        )?;
        let reason = "three guests would lose disks; move them away first";
        let operator = service.principal(Some(&format!("person:{OPERATOR}")))?;
        let decided = service.reject(hash, operator, reason).await?;
        self.output.line(format!(
            "\n  rejected by {}: {reason}; ledger #{}",
            decided.by, decided.ledger
        ));
        self.agent_reads_the_rejection(hash, reason).await
    }

    async fn agent_reads_the_rejection(&self, hash: &str, reason: &str) -> Told {
        let asked = serde_json::json!({ "plan": hash });
        let answer = self.stage.agent.call("get_plan", asked).await?;
        self.output.line(format!(
            "  agent:demo calls get_plan\n    is answered: {} {}: {}\n    {}",
            shortened(word(&answer, "/plan")),
            word(&answer, "/state"),
            word(&answer, "/needs/0/message"),
            word(&answer, "/needs/0/next")
        ));
        check(
            word(&answer, "/state") == "rejected"
                && word(&answer, "/needs/0/message").contains(reason),
            "the agent reads that it was rejected, and why",
        )
    }

    /// (c).
    pub(super) async fn storage_emptied_first(&self) -> Told {
        self.title(
            'c',
            "The agent tries again: the disks move away first, as one plan",
        );
        let answer = self.submit(&[WEB, MAIL, MOVED], true).await?;
        let planned = self.plan(word(&answer, "/plan/plan")).await?;
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
        self.approve_and_run(&planned).await
    }
}

/// A line with single blanks, to compare what is aligned for people.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line without colour.
fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}
