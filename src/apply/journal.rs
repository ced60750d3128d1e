//! The journal over the store: each entry commits together with its ledger record, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::port::{Intent, Journal, JournalError, Left, Outcome, Remembered};
use crate::approval::facts::ObjectKind;
use crate::ids::ClusterName;
use crate::ledger::{Action, Detail, Draft, Key};
use crate::plan::{Step, StepId};
use crate::store::{RunId, StepOutcome, StepRef, Store, Transaction};

/// Where time comes from; a value in tests.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The journal of one run.
pub struct StoreJournal {
    /// The store.
    pub store: Store,
    /// The ledger's key.
    pub key: Arc<Key>,
    /// The time.
    pub clock: Clock,
    /// The run.
    pub run: RunId,
    /// The plan's hash.
    pub plan: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Who runs it.
    pub actor: String,
    /// Cancelled when the run shall stop before its next step.
    pub stopping: tokio_util::sync::CancellationToken,
    /// For tests of recovery: where the process ends itself (`sent:2`), see `StoreJournal::here`.
    pub abort_at: Option<String>,
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> JournalError {
    JournalError(Box::new(error))
}

impl StoreJournal {
    fn at(&self, step: StepId) -> StepRef {
        StepRef {
            run: self.run,
            step: step.0,
            call: 0,
        }
    }

    /// Ends the process where a test of recovery wants it, as a power cut would: `intent:N`, `sent:N`, `ended:N` right after that was
    /// written of step N, `answered:N` and `ending:N` right before `sent` and `ended` are. Nothing sets this but tests.
    fn here(&self, point: &str, step: StepId) {
        if self.abort_at.as_deref() == Some(&format!("{point}:{step}")) {
            std::process::abort();
        }
    }

    async fn record(
        &self,
        tx: &mut Transaction,
        action: Action,
        step: &Step,
        detail: serde_json::Value,
    ) -> Result<(), JournalError> {
        let draft = Draft {
            at: (self.clock)(),
            actor: self.actor.clone(),
            action,
            subject: subject(step),
            plan: Some(self.plan.clone()),
            detail: Detail::new(detail).map_err(broken)?,
        };
        tx.record(draft, &self.key).await.map_err(broken)?;
        Ok(())
    }

    /// What the store knows of each step of the run.
    pub async fn remembered(&self) -> Result<BTreeMap<StepId, Remembered>, JournalError> {
        let rows = self.store.run_steps(self.run).await.map_err(broken)?;
        rows.into_iter()
            .map(|row| Ok((StepId(row.at.step), remembered(row)?)))
            .collect()
    }
}

fn remembered(row: crate::store::RunStep) -> Result<Remembered, JournalError> {
    let intent: Intent = serde_json::from_str(&row.intent).map_err(broken)?;
    let left = || -> Result<Left, JournalError> {
        row.detail.as_deref().map_or_else(
            || Ok(Left::default()),
            |text| serde_json::from_str(text).map_err(broken),
        )
    };
    Ok(match (row.outcome, &row.upid) {
        (Some(StepOutcome::Ok), _) => Remembered::Ended(Outcome::Ok, left()?),
        (Some(StepOutcome::Warnings), _) => Remembered::Ended(Outcome::Warnings, left()?),
        (Some(StepOutcome::Failed), _) => Remembered::Ended(Outcome::Failed, left()?),
        (Some(StepOutcome::Undetermined) | None, Some(upid)) => {
            Remembered::Sent(intent, upid.clone())
        }
        (Some(StepOutcome::Undetermined) | None, None) => Remembered::Intended(intent),
    })
}

/// The object a step is about: `vm/104`, `storage/local-zfs`.
fn subject(step: &Step) -> String {
    use crate::world::Action as Do;
    match &step.action {
        Do::CreateStorage { id, .. } | Do::UpdateStorage { id, .. } | Do::DeleteStorage { id } => {
            format!("storage/{id}")
        }
        Do::DeleteVolume { volume, .. } => format!("volume/{volume}"),
        Do::DownloadImage { volume, .. } | Do::DeleteImage { volume, .. } => {
            format!("image/{volume}")
        }
        Do::CreatePool { id, .. } | Do::UpdatePool { id, .. } | Do::DeletePool { id } => {
            format!("pool/{id}")
        }
        Do::CreateBackupJob { id, .. }
        | Do::UpdateBackupJob { id, .. }
        | Do::DeleteBackupJob { id } => format!("backup-job/{id}"),
        Do::CreateReplicationJob { id, .. }
        | Do::UpdateReplicationJob { id, .. }
        | Do::DeleteReplicationJob { id } => format!("replication-job/{id}"),
        Do::Account(action) => action.object(),
        Do::Firewall(action) => action.object(),
        other => other.guest().map_or_else(String::new, |(kind, vmid)| {
            format!("{}/{vmid}", kind.word())
        }),
    }
}

impl Journal for StoreJournal {
    async fn frozen(&self, step: &Step) -> Result<Option<String>, JournalError> {
        if self.stopping.is_cancelled() {
            let why = "Bailiwick is being stopped; the run goes on when it is started again";
            return Ok(Some(why.to_owned()));
        }
        let freezes = self
            .store
            .active_freezes((self.clock)())
            .await
            .map_err(broken)?;
        let kind = ObjectKind::of(&step.action).word();
        Ok(freezes
            .into_iter()
            .map(|freeze| freeze.freeze)
            .find(|freeze| freeze.scope.covers(&self.cluster, kind))
            .map(|freeze| {
                format!(
                    "{} is frozen by {} since {}: {}",
                    freeze.scope, freeze.who, freeze.since, freeze.reason
                )
            }))
    }

    async fn intent(&self, step: &Step, intent: &Intent) -> Result<(), JournalError> {
        let mut tx = self.store.begin().await.map_err(broken)?;
        let text = serde_json::to_string(intent).map_err(broken)?;
        tx.step_intent(self.at(step.id), &text, (self.clock)())
            .await
            .map_err(broken)?;
        let detail =
            serde_json::json!({ "run": self.run.0, "step": step.id.0, "title": step.title });
        self.record(&mut tx, Action::StepIntent, step, detail)
            .await?;
        tx.commit().await.map_err(broken)?;
        self.here("intent", step.id);
        Ok(())
    }

    async fn sent(&self, step: StepId, upid: &str) -> Result<(), JournalError> {
        self.here("answered", step);
        let mut tx = self.store.begin().await.map_err(broken)?;
        tx.step_sent(self.at(step), Some(upid), (self.clock)())
            .await
            .map_err(broken)?;
        tx.commit().await.map_err(broken)?;
        self.here("sent", step);
        Ok(())
    }

    async fn ended(&self, step: &Step, outcome: Outcome, left: &Left) -> Result<(), JournalError> {
        let (stored, word) = match outcome {
            Outcome::Ok => (StepOutcome::Ok, "ok"),
            Outcome::Warnings => (StepOutcome::Warnings, "warnings"),
            Outcome::Failed => (StepOutcome::Failed, "failed"),
            Outcome::Undetermined => (StepOutcome::Undetermined, "undetermined"),
        };
        self.here("ending", step.id);
        let mut tx = self.store.begin().await.map_err(broken)?;
        let text = serde_json::to_string(left).map_err(broken)?;
        tx.step_done(self.at(step.id), stored, Some(&text), (self.clock)())
            .await
            .map_err(broken)?;
        let detail = serde_json::json!({
            "run": self.run.0, "step": step.id.0, "title": step.title, "outcome": word, "message": left.message,
        });
        self.record(&mut tx, Action::StepOutcome, step, detail)
            .await?;
        tx.commit().await.map_err(broken)?;
        self.here("ended", step.id);
        Ok(())
    }
}
