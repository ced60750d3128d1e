//! Telling webhooks what happens: each follows the events from where it was last told, one at a time, in order, at least once. An event
//! that a webhook does not take holds up its later ones, and no other webhook.
//!
//! How far each was told is in the store, so that a restart loses nothing; what was under way then is told again, under the same id.

pub mod message;
pub mod signature;
mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::configuration::parts::Token;
use crate::configuration::serving::{Notify, Topic};
use crate::metrics::Metrics;
use crate::store::{Event, EventFilter, Store, StoreError, WebhookState};
use message::Message;
use target::Target;

/// The header with the id of a delivery: the same each time the same thing is told again.
pub const DELIVERY: &str = "X-Bailiwick-Delivery";

/// Who approves where the policy asks for nobody.
const POLICY: &str = "system:policy";

/// Events read at once.
const PAGE: u32 = 100;

/// How a secret is read, each time it is needed, so that a new one counts at once.
pub type SecretReader = Arc<dyn Fn(&Token) -> Result<Zeroizing<String>, String> + Send + Sync>;

/// What the library does not have by itself.
#[derive(Clone)]
pub struct Surroundings {
    /// The secrets that sign the messages.
    pub secret: SecretReader,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Chance: a number from 0 up to 1.
    pub chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// How patient to be.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a webhook may take to answer.
    pub answer: Duration,
    /// How long to wait after the first failure; twice as long after each further one.
    pub first: Duration,
    /// How long to wait at most.
    pub most: Duration,
    /// How often to look for events.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            first: Duration::from_secs(1),
            most: Duration::from_secs(300),
            poll: Duration::from_secs(1),
        }
    }
}

impl Patience {
    /// How long to wait after so many failures: between half and all of what doubles each time, so that many senders do not come at once.
    pub fn pause(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2f64.powi(i32::try_from(failures.saturating_sub(1).min(62)).unwrap_or(62));
        let whole = (self.first.as_secs_f64() * doubled).min(self.most.as_secs_f64());
        Duration::from_secs_f64(whole * (0.5 + chance.clamp(0.0, 1.0) / 2.0))
    }
}

/// What one look at a webhook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// There is nothing to tell.
    Nothing,
    /// What there is to tell waits, after failures, until this time.
    Waits(Timestamp),
    /// It was told this event.
    Event(u64),
    /// It could not be told this event.
    Failed {
        /// Which.
        event: u64,
        /// Why.
        why: String,
        /// When it is tried again.
        again: Timestamp,
    },
}

/// Tells the configured webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    store: Store,
    metrics: Metrics,
    surroundings: Surroundings,
    patience: Patience,
    targets: Arc<Vec<Target>>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.targets.iter().map(Target::name).collect();
        f.debug_struct("Notifier")
            .field("webhooks", &names)
            .finish_non_exhaustive()
    }
}

impl Notifier {
    /// A notifier for these webhooks. Nothing is sent yet. What is wrong with one of them (a secret that cannot be read, an authority's
    /// file that is gone) shows when it is told something, and does not keep the others from being told.
    pub fn new(
        store: Store,
        notify: &Notify,
        metrics: Metrics,
        surroundings: Surroundings,
    ) -> Self {
        metrics.webhooks(notify.webhooks.iter().map(|webhook| webhook.name.as_str()));
        let targets = notify.webhooks.iter().cloned();
        let targets = targets
            .map(|webhook| Target::new(webhook, Arc::clone(&surroundings.secret)))
            .collect();
        Self {
            store,
            metrics,
            surroundings,
            patience: Patience::default(),
            targets: Arc::new(targets),
        }
    }

    /// The same, with other patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Tells until cancelled. What is being sent then is finished first, which takes at most as long as a webhook may take to answer.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        for index in 0..self.targets.len() {
            let (notifier, cancel) = (self.clone(), cancel.clone());
            tasks.spawn(async move { notifier.follow(index, &cancel).await });
        }
        // A webhook's task ends by being cancelled only.
        while tasks.join_next().await.is_some() {}
    }

    async fn follow(&self, index: usize, cancel: &CancellationToken) {
        let Some(target) = self.targets.get(index) else {
            return;
        };
        while !cancel.is_cancelled() {
            let pause = match self.tell(target).await {
                Ok(Told::Event(_)) => continue,
                Ok(Told::Nothing) => self.patience.poll,
                // Not longer than a look for events: clocks are set.
                Ok(Told::Waits(until) | Told::Failed { again: until, .. }) => {
                    let left = (self.surroundings.clock)().duration_until(until);
                    let left = Duration::try_from(left).unwrap_or_default();
                    left.min(self.patience.poll)
                }
                // The store's trouble is said by whoever counts what is in it; here it is only waited for.
                Err(_) => self.patience.poll,
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks at every webhook once, and tells each the next event if one is due. In the order of the configuration.
    pub async fn deliver_once(&self) -> Result<Vec<(String, Told)>, StoreError> {
        let mut told = Vec::new();
        for target in self.targets.iter() {
            told.push((target.name().to_owned(), self.tell(target).await?));
        }
        Ok(told)
    }

    /// Tells a webhook the next event, if one is due.
    async fn tell(&self, target: &Target) -> Result<Told, StoreError> {
        let now = (self.surroundings.clock)();
        let state = self.state(target, now).await?;
        let far = now.saturating_add(duration(self.patience.most));
        let far = far.unwrap_or(Timestamp::MAX);
        // A time further off than any pause is of a clock that was set back since.
        if let Some(next) = state.next.filter(|next| *next > now && *next <= far) {
            self.measure(target, &state).await?;
            return Ok(Told::Waits(next));
        }
        let (next, skipped) = self.next(target, state.position).await?;
        let Some((event, topic)) = next else {
            if skipped > state.position {
                let position = skipped;
                self.write(&WebhookState { position, ..state }).await?;
            }
            self.metrics.notify_backlog(target.name(), 0);
            return Ok(Told::Nothing);
        };
        let told = self.attempt(target, state, &event, topic).await?;
        // In a long row each count would cost as much as the row is long.
        if matches!(told, Told::Failed { .. }) || event.id.is_multiple_of(64) {
            let state = self.state(target, now).await?;
            self.measure(target, &state).await?;
        }
        Ok(told)
    }

    async fn attempt(
        &self,
        target: &Target,
        state: WebhookState,
        event: &Event,
        topic: Topic,
    ) -> Result<Told, StoreError> {
        let delivery = self.delivery(event).await?;
        let risk = match &event.event.plan {
            Some(plan) => self.store.plan(plan).await?.map(|plan| plan.head.risk),
            None => None,
        };
        let message = Message::of(event, topic, delivery.clone(), risk, state.missed);
        let now = (self.surroundings.clock)();
        let sent = match serde_json::to_vec(&message) {
            Ok(body) => {
                target
                    .send(&delivery, now.as_second(), body, self.patience.answer)
                    .await
            }
            Err(error) => Err(format!("it cannot be written as JSON: {error}")),
        };
        self.metrics.notified(target.name(), sent.is_ok());
        let changed = (self.surroundings.clock)();
        match sent {
            Ok(()) => {
                self.write(&WebhookState {
                    name: state.name,
                    position: event.id,
                    missed: 0,
                    attempts: 0,
                    next: None,
                    error: None,
                    changed,
                })
                .await?;
                Ok(Told::Event(event.id))
            }
            Err(why) => {
                let attempts = state.attempts.saturating_add(1);
                let pause = self.patience.pause(attempts, (self.surroundings.chance)());
                let again = changed.saturating_add(duration(pause));
                let again = again.unwrap_or(Timestamp::MAX);
                self.write(&WebhookState {
                    attempts,
                    next: Some(again),
                    error: Some(why.clone()),
                    changed,
                    ..state
                })
                .await?;
                Ok(Told::Failed {
                    event: event.id,
                    why,
                    again,
                })
            }
        }
    }

    /// How far a webhook was told. Events after that which were let go meanwhile are counted as missed.
    async fn state(&self, target: &Target, now: Timestamp) -> Result<WebhookState, StoreError> {
        let mut state = match self.store.webhook(target.name()).await? {
            Some(state) => state,
            None => {
                let mut tx = self.store.begin().await?;
                let state = tx.begin_webhook(target.name(), now).await?;
                tx.commit().await?;
                state
            }
        };
        let first = self.store.first_event().await?;
        let last = self.store.last_event().await?;
        if first > state.position.saturating_add(1) {
            let missed = first - 1 - state.position;
            self.metrics.notify_missed(target.name(), missed);
            state.missed = state.missed.saturating_add(missed);
            state.position = first - 1;
            self.write(&state).await?;
        } else if last < state.position {
            // The state file was put back from a copy: what comes now has numbers that were told before.
            state.position = last;
            self.write(&state).await?;
        }
        Ok(state)
    }

    /// The next event that a webhook is told of, and the last event that was looked at.
    async fn next(
        &self,
        target: &Target,
        after: u64,
    ) -> Result<(Option<(Event, Topic)>, u64), StoreError> {
        let mut after = after;
        loop {
            let filter = EventFilter {
                after,
                ..EventFilter::default()
            };
            let events = self.store.events(&filter, PAGE).await?;
            if events.is_empty() {
                return Ok((None, after));
            }
            for event in events {
                after = event.id;
                if let Some(topic) = target.topic(&event.event.reason)
                    && self.is_so(&event, topic).await?
                {
                    return Ok((Some((event, topic)), after));
                }
            }
        }
    }

    /// Whether an event is what its topic says: a plan that the policy approved in the same breath never waited.
    async fn is_so(&self, event: &Event, topic: Topic) -> Result<bool, StoreError> {
        if topic != Topic::PlanWaiting {
            return Ok(true);
        }
        let filter = EventFilter {
            after: event.id,
            plan: event.event.plan.clone(),
            ..EventFilter::default()
        };
        let later = self.store.events(&filter, 1).await?;
        let record = event.event.ledger.map(|record| record.saturating_add(1));
        Ok(!later.iter().any(|Event { event: later, .. }| {
            later.reason == "PlanApproved"
                && later.actor == POLICY
                && record.is_some()
                && later.ledger == record
        }))
    }

    /// The id of a delivery: the ledger's, so that two installations differ, and the event's.
    async fn delivery(&self, event: &Event) -> Result<String, StoreError> {
        let head = self
            .store
            .ledger_head()
            .await?
            .ok_or(StoreError::NoLedger)?;
        Ok(format!("{}-{}", head.ledger, event.id))
    }

    async fn write(&self, state: &WebhookState) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.put_webhook(state).await?;
        tx.commit().await
    }

    async fn measure(&self, target: &Target, state: &WebhookState) -> Result<(), StoreError> {
        let reasons = target.reasons();
        let waiting = self.store.count_events(state.position, &reasons).await?;
        self.metrics.notify_backlog(target.name(), waiting);
        Ok(())
    }
}

fn duration(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let patience = Patience::default();
        let whole = |failures| patience.pause(failures, 1.0).as_secs();
        let pauses: Vec<u64> = (1..=11).map(whole).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(patience.pause(1, 0.0), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest(failures in any::<u32>(), chance in any::<f64>()) {
            let patience = Patience::default();
            let pause = patience.pause(failures, chance);
            prop_assert!(pause <= patience.most);
            prop_assert!(pause >= patience.first / 2);
        }
    }
}
