//! One cluster's queue and the workers that take from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::key::Key;
use super::queue::{Done, Next, Pace, Queue};

/// How many keys of a cluster are worked on at once. One of them may be a long run.
const WORKERS: usize = 4;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What work is done for a key.
pub trait Worker: Send + Sync + 'static {
    /// Does it. Its failure was told already.
    fn work(&self, key: Key) -> impl Future<Output = Done> + Send;
    /// A key was taken after it waited so long; so many are due or worked on.
    fn taken(&self, key: &Key, waited: Duration, depth: usize);
}

/// A handle to a cluster's queue: whoever has one can ask for work.
#[derive(Clone)]
pub struct Asking {
    queue: Arc<Mutex<Queue<Key>>>,
    wake: Arc<Notify>,
    clock: Clock,
    whole: Arc<AtomicBool>,
}

impl Asking {
    /// A queue.
    pub fn new(pace: Pace, clock: Clock) -> Self {
        Self {
            queue: Arc::new(Mutex::new(Queue::new(pace))),
            wake: Arc::new(Notify::new()),
            clock,
            whole: Arc::default(),
        }
    }

    /// Asks that the cluster be looked at now, and everything in it: also what shows in no list.
    pub fn ask_whole(&self) {
        self.whole.store(true, Ordering::SeqCst);
        self.ask(Key::Observe);
    }

    /// Whether everything is to be looked at; asked for once.
    pub fn take_whole(&self) -> bool {
        self.whole.swap(false, Ordering::SeqCst)
    }

    /// Asks for a key now.
    pub fn ask(&self, key: Key) {
        let now = (self.clock)();
        let lane = key.lane().to_owned();
        self.locked().add(key, &lane, now);
        self.wake.notify_one();
    }

    /// Asks for a key after a while.
    pub fn ask_after(&self, key: Key, after: Duration) {
        let after = jiff::SignedDuration::try_from(after).unwrap_or_default();
        let at = (self.clock)()
            .saturating_add(after)
            .unwrap_or(Timestamp::MAX);
        let lane = key.lane().to_owned();
        self.locked().add_at(key, &lane, at);
        self.wake.notify_one();
    }

    /// How many keys are due or worked on.
    pub fn depth(&self) -> usize {
        self.locked().depth()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Queue<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes and does work until cancelled; then waits for what is being worked on.
    pub async fn drive<W: Worker>(self, worker: Arc<W>, cancel: CancellationToken) {
        let mut working = JoinSet::new();
        let mut keys: BTreeMap<tokio::task::Id, Key> = BTreeMap::new();
        loop {
            let mut until = None;
            while working.len() < WORKERS && !cancel.is_cancelled() {
                let next = self.locked().next((self.clock)());
                match next {
                    Next::Work(key, waited) => {
                        worker.taken(&key, waited, self.depth());
                        let worker = Arc::clone(&worker);
                        let task = key.clone();
                        let handle = working.spawn(async move { worker.work(task).await });
                        keys.insert(handle.id(), key);
                    }
                    Next::Wait(at) => {
                        until = Some(at);
                        break;
                    }
                    Next::Empty => break,
                }
            }
            if cancel.is_cancelled() && working.is_empty() {
                return;
            }
            let sleep = match until {
                Some(at) => {
                    Duration::try_from(at.duration_since((self.clock)())).unwrap_or_default()
                }
                None => Duration::from_secs(3600),
            };
            tokio::select! {
                ended = working.join_next_with_id(), if !working.is_empty() => {
                    self.ended(ended, &mut keys);
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep.max(Duration::from_millis(1))), if !cancel.is_cancelled() => {}
                () = cancel.cancelled(), if !cancel.is_cancelled() => {}
            }
        }
    }

    fn ended(
        &self,
        ended: Option<Result<(tokio::task::Id, Done), tokio::task::JoinError>>,
        keys: &mut BTreeMap<tokio::task::Id, Key>,
    ) {
        let (id, done) = match ended {
            Some(Ok(ended)) => ended,
            // A worker that panicked is a defect; its key comes back after its back-off.
            Some(Err(error)) => (error.id(), Done::Failed),
            None => return,
        };
        if let Some(key) = keys.remove(&id) {
            self.locked()
                .done(&key, done, (self.clock)(), rand::random());
        }
    }
}
