//! Starting and ending the loop: a queue and workers for each cluster, what feeds them, and what is done from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cluster::Asking;
use super::feed::Feed;
use super::key::Key;
use super::queue::Pace;
use super::sources::Readers;
use super::work::{ClusterWorker, length};
use crate::service::{Service, ServiceError};
use crate::sources::{Source, Surroundings};
use crate::store::{EventType, NewEvent};

/// How many submissions that wait in the inbox are asked for at once.
const INBOX: u32 = 10_000;
/// For how long settled submissions are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often what the metrics count in the store is counted.
const MEASURE: Duration = Duration::from_secs(15);
/// How often old submissions are let go.
const TIDY: Duration = Duration::from_secs(3600);

/// Something the loop says, for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it wants attention.
    pub warning: bool,
    /// What it says. Without control characters.
    pub text: String,
}

/// Where the loop's lines go.
pub type Telling = Arc<dyn Fn(Line) + Send + Sync>;

/// A running loop.
pub struct Loop {
    service: Service,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Loop {
    /// Starts the loop for every cluster of the service's configuration.
    ///
    /// # Errors
    /// A source that cannot be opened, or a state that cannot be read. An unreachable cluster is none: it is tried again and again.
    pub async fn start(
        service: Service,
        surroundings: &Surroundings,
        telling: Telling,
    ) -> Result<Self, ServiceError> {
        let readers = Arc::new(open_sources(&service, surroundings)?);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut queues = BTreeMap::new();
        let pending = service.store().pending_submissions(INBOX).await?;
        for cluster in &service.configuration().clusters {
            let clock = service.clock();
            let asking = Asking::new(Pace::default(), clock);
            queues.insert(cluster.name.clone(), asking.clone());
            asking.ask(Key::Observe);
            asking.ask(Key::Run);
            for source in readers.at_home(&cluster.name) {
                asking.ask(Key::Source(source.to_owned()));
            }
            for waiting in pending
                .iter()
                .filter(|waiting| waiting.submission.cluster == cluster.name)
            {
                asking.ask(Key::Submission(waiting.submission.id.clone()));
            }
            let worker = Arc::new(ClusterWorker {
                service: service.clone(),
                cluster: cluster.name.clone(),
                asking: asking.clone(),
                readers: Arc::clone(&readers),
                telling: Arc::clone(&telling),
                watching: Mutex::new(None),
                refreshed: Mutex::new(BTreeMap::new()),
            });
            tasks.spawn(asking.drive(worker, cancel.clone()));
        }
        let feed = Feed::new(service.clone(), queues, readers).await?;
        let told = Arc::clone(&telling);
        let token = cancel.clone();
        tasks.spawn(async move {
            let say = |text| {
                told(Line {
                    warning: true,
                    text,
                })
            };
            feed.follow(token, say).await;
        });
        tasks.spawn(verify(service.clone(), telling, cancel.clone()));
        tasks.spawn(measure(service.clone(), cancel.clone()));
        tasks.spawn(tidy(service.clone(), cancel.clone()));
        Ok(Self {
            service,
            cancel,
            tasks,
        })
    }

    /// Ends the loop: nothing new is begun, runs stop before their next step (and go on when the loop is started again), and what is
    /// in hand is finished.
    pub async fn stop(mut self) {
        self.service.stopping().cancel();
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn open_sources(service: &Service, surroundings: &Surroundings) -> Result<Readers, ServiceError> {
    let mut opened = Vec::new();
    for (name, configured) in &service.configuration().sources {
        let source =
            Source::open(name, configured, surroundings).map_err(|error| ServiceError::Setup {
                what: format!("the source {name}"),
                source: Box::new(error),
            })?;
        opened.extend(source);
    }
    Ok(Readers::new(opened))
}

async fn pause(cancel: &CancellationToken, length: Duration) -> bool {
    tokio::select! {
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(length) => true,
    }
}

/// Verifies the whole ledger from time to time, the first time at once.
async fn verify(service: Service, telling: Telling, cancel: CancellationToken) {
    let often = length(service.configuration().reconcile.verify_ledger);
    let mut failed = false;
    loop {
        let verified = service.verify_ledger(None, None).await;
        let why = match verified {
            Ok(Ok(_)) => None,
            Ok(Err(tampering)) => Some(tampering.to_string()),
            Err(error) => Some(error.to_string()),
        };
        service
            .metrics()
            .ledger_verified(service.now(), why.is_none());
        if let Some(why) = &why {
            telling(Line {
                warning: true,
                text: format!("the ledger does not verify: {why}"),
            });
            if !failed {
                // What cannot be written either has been said already.
                let _ = ledger_failure(&service, why).await;
            }
        }
        failed = why.is_some();
        if !pause(&cancel, often).await {
            return;
        }
    }
}

async fn ledger_failure(service: &Service, why: &str) -> Result<(), ServiceError> {
    let mut tx = service.store().begin().await?;
    tx.add_event(&NewEvent {
        at: service.now(),
        cluster: None,
        object: "ledger".to_owned(),
        kind: EventType::Warning,
        reason: "LedgerFailure".to_owned(),
        message: crate::plan::words::line(why),
        actor: "system:reconcile".to_owned(),
        plan: None,
        ledger: None,
    })
    .await?;
    Ok(tx.commit().await?)
}

/// Counts in the store what the metrics show.
async fn measure(service: Service, cancel: CancellationToken) {
    loop {
        // The next count may go better; `/metrics` shows when the last one was.
        let _ = service.refresh_metrics().await;
        if !pause(&cancel, MEASURE).await {
            return;
        }
    }
}

/// Lets settled submissions go that are old.
async fn tidy(service: Service, cancel: CancellationToken) {
    while pause(&cancel, TIDY).await {
        let Ok(mut tx) = service.store().begin().await else {
            continue;
        };
        let before = service.now().saturating_sub(KEPT);
        if let Ok(before) = before
            && tx.forget_submissions(before).await.is_ok()
        {
            // Tried again in an hour.
            let _ = tx.commit().await;
        }
    }
}
