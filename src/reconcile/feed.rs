//! What asks for work: the ledger, which every process that shares the state writes to, and people's wishes. Time asks by itself, since
//! keys come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cluster::Asking;
use super::key::Key;
use super::sources::Readers;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::service::{Service, ServiceError};
use crate::store::{RecordFilter, Trigger};

/// How often the ledger's head is looked at. One small query.
pub const LOOK: Duration = Duration::from_millis(400);

/// How many records are read at once.
const PAGE: u32 = 1000;

/// Follows the ledger and the wishes, and asks the clusters' queues for what they mean.
pub struct Feed {
    service: Service,
    queues: BTreeMap<ClusterName, Asking>,
    readers: Arc<Readers>,
    after: u64,
    /// The state file cannot be read; said once.
    broken: bool,
}

impl Feed {
    /// A feed that begins at the ledger's end: what is before it, each worker looks at when it starts.
    pub(super) async fn new(
        service: Service,
        queues: BTreeMap<ClusterName, Asking>,
        readers: Arc<Readers>,
    ) -> Result<Self, ServiceError> {
        let head = service.store().ledger_head().await?;
        Ok(Self {
            service,
            queues,
            readers,
            after: head.map_or(0, |head| head.seq),
            broken: false,
        })
    }

    /// Follows until cancelled. Trouble is told through `told`, once until it is over.
    pub async fn follow(mut self, cancel: CancellationToken, told: impl Fn(String)) {
        while !cancel.is_cancelled() {
            match self.look().await {
                Ok(()) => self.broken = false,
                Err(error) if !self.broken => {
                    self.broken = true;
                    told(format!("the state cannot be read: {error}"));
                }
                Err(_) => {}
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Looks once.
    pub async fn look(&mut self) -> Result<(), ServiceError> {
        let head = self.service.store().ledger_head().await?;
        if head.is_some_and(|head| head.seq > self.after) {
            self.records().await?;
        }
        for trigger in self.service.store().open_triggers().await? {
            self.wish(trigger).await?;
        }
        Ok(())
    }

    async fn records(&mut self) -> Result<(), ServiceError> {
        loop {
            let filter = RecordFilter {
                after: self.after,
                ..RecordFilter::default()
            };
            let records = self.service.store().ledger_records(&filter, PAGE).await?;
            let Some(last) = records.last() else {
                return Ok(());
            };
            self.after = last.seq;
            for record in &records {
                let keys = meant(record.action);
                if record.action == Action::FuseReset {
                    self.readers.ask_reread(None);
                    self.ask_sources(None);
                }
                if keys.is_empty() {
                    continue;
                }
                let cluster = self.cluster_of(record).await?;
                if decides(record.action)
                    && let Some(hash) = &record.plan
                {
                    // What became of a commit is written back, and remembered, by whoever reads its source.
                    let (_, _, recipe) = self.service.plan(hash).await?;
                    self.ask_sources(Some(&recipe.source));
                }
                for (name, queue) in &self.queues {
                    if cluster.as_ref().is_none_or(|cluster| cluster == name) {
                        keys.iter().cloned().for_each(|key| queue.ask(key));
                    }
                }
            }
        }
    }

    /// The cluster a record is about; `None` when it may be any.
    async fn cluster_of(
        &self,
        record: &crate::ledger::Record,
    ) -> Result<Option<ClusterName>, ServiceError> {
        if let Some(name) = record.subject.strip_prefix("cluster/") {
            return Ok(ClusterName::new(name).ok());
        }
        match &record.plan {
            Some(hash) => Ok(self
                .service
                .store()
                .plan(hash)
                .await?
                .map(|plan| plan.head.cluster)),
            None => Ok(None),
        }
    }

    /// Asks for a source, or for all.
    fn ask_sources(&self, only: Option<&str>) {
        for (name, queue) in &self.queues {
            for source in self.readers.at_home(name) {
                if only.is_none_or(|only| only == source) {
                    queue.ask(Key::Source(source.to_owned()));
                }
            }
        }
    }

    /// Asks for everything that a wish is about, and says that it was taken.
    async fn wish(&mut self, trigger: Trigger) -> Result<(), ServiceError> {
        self.readers.ask_reread(trigger.source.as_deref());
        self.ask_sources(trigger.source.as_deref());
        for (name, queue) in &self.queues {
            if trigger
                .cluster
                .as_ref()
                .is_some_and(|wanted| wanted != name)
            {
                continue;
            }
            queue.ask_whole();
            queue.ask(Key::Settle);
            queue.ask(Key::Run);
        }
        let mut tx = self.service.store().begin().await?;
        tx.trigger_done(trigger.id, "", self.service.now()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Whether a record says what became of a plan.
fn decides(action: Action) -> bool {
    matches!(
        action,
        Action::Approved
            | Action::ApprovalExpired
            | Action::Rejected
            | Action::PlanWithdrawn
            | Action::PlanExpired
            | Action::RunFinished
    )
}

/// What a record asks for.
fn meant(action: Action) -> Vec<Key> {
    match action {
        Action::Approved | Action::Thawed | Action::Resumed => vec![Key::Run, Key::Settle],
        Action::RunFinished => vec![Key::Observe, Key::Settle, Key::Run],
        Action::PlanCreated
        | Action::UndoProposed
        | Action::PlanSuperseded
        | Action::PlanExpired
        | Action::PlanWithdrawn
        | Action::ApprovalExpired
        | Action::Rejected
        | Action::RunStarted
        | Action::RunResumed
        | Action::DocumentSubmitted
        | Action::DocumentWithdrawn
        | Action::Suspended
        | Action::PolicyChanged => vec![Key::Settle],
        Action::LedgerCreated
        | Action::StepIntent
        | Action::StepOutcome
        | Action::Frozen
        | Action::LoginFailed
        | Action::FuseTripped
        | Action::FuseReset
        | Action::AgentAdded
        | Action::AgentRevoked
        | Action::KeyRotated
        | Action::Checkpoint => Vec::new(),
    }
}
