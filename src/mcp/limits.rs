//! How much one agent may ask at once: a bucket of calls each, that fills again with time. Making plans costs more than reading.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::code::{Code, Refusal};
use crate::approval::Principal;

/// How much an agent may ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// How much may be saved up.
    pub most: f64,
    /// How much comes in a second.
    pub per_second: f64,
    /// How many calls may wait at once (`super::wait`).
    pub waiting: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            most: 120.0,
            per_second: 20.0,
            waiting: 8,
        }
    }
}

/// What a call costs.
pub const READ: f64 = 1.0;
/// What a call costs that makes a plan.
pub const PLAN: f64 = 4.0;

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    waiting: Arc<Semaphore>,
}

/// The agents' buckets. There are no more than there are agents.
#[derive(Debug)]
pub struct Limits {
    budget: Budget,
    buckets: Mutex<BTreeMap<Principal, Bucket>>,
}

impl Limits {
    /// Everybody has this much.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            buckets: Mutex::default(),
        }
    }

    /// Takes what a call costs, or says after how long there is enough.
    pub fn take(&self, who: &Principal, cost: f64, now: Instant) -> Result<(), Refusal> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = self.bucket(&mut buckets, who, now);
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * self.budget.per_second).min(self.budget.most);
        bucket.at = now;
        if bucket.left >= cost {
            bucket.left -= cost;
            return Ok(());
        }
        let seconds = (cost - bucket.left) / self.budget.per_second;
        let mut refusal = Refusal::new(
            Code::RateLimited,
            format!("{who} asks more often than it may"),
        );
        refusal.retry_after = Some((seconds * 100.0).ceil() / 100.0);
        Err(refusal)
    }

    /// A place among the calls of an agent that wait, until it is dropped.
    pub fn wait(&self, who: &Principal, now: Instant) -> Result<OwnedSemaphorePermit, Refusal> {
        let waiting = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&self.bucket(&mut buckets, who, now).waiting)
        };
        waiting.try_acquire_owned().map_err(|_| {
            let mut refusal = Refusal::new(
                Code::RateLimited,
                format!("{} calls of {who} wait already", self.budget.waiting),
            );
            refusal.retry_after = Some(1.0);
            refusal
        })
    }

    fn bucket<'b>(
        &self,
        buckets: &'b mut BTreeMap<Principal, Bucket>,
        who: &Principal,
        now: Instant,
    ) -> &'b mut Bucket {
        buckets.entry(who.clone()).or_insert_with(|| Bucket {
            left: self.budget.most,
            at: now,
            waiting: Arc::new(Semaphore::new(self.budget.waiting)),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let limits = Limits::new(Budget {
            most: 2.0,
            per_second: 1.0,
            waiting: 1,
        });
        let (one, other) = (
            Principal::agent("one").unwrap(),
            Principal::agent("other").unwrap(),
        );
        let now = Instant::now();
        assert!(limits.take(&one, READ, now).is_ok());
        assert!(limits.take(&one, READ, now).is_ok());
        let refused = limits.take(&one, READ, now).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert_eq!(refused.retry_after, Some(1.0));
        assert!(limits.take(&other, READ, now).is_ok());
        assert!(
            limits
                .take(&one, READ, now + Duration::from_secs(1))
                .is_ok()
        );
        let place = limits.wait(&one, now).unwrap();
        assert!(limits.wait(&one, now).is_err());
        drop(place);
        assert!(limits.wait(&one, now).is_ok());
    }
}
