//! A work queue as Kubernetes' controllers have: each key is in it at most once, never worked on twice at the same time, comes back
//! later and later while it fails, and no source is kept waiting by a busier one. Time and chance are handed in, so that its laws
//! can be tested; it does nothing itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How fast failed keys come back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// After the first failure.
    pub first: Duration,
    /// At most; doubled after each failure until then.
    pub most: Duration,
    /// How many failed keys may come back in a second, over all keys.
    pub per_second: f64,
    /// How many may come back at once before that counts.
    pub burst: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(300),
            per_second: 5.0,
            burst: 20.0,
        }
    }
}

/// How work on a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Well; it comes back when something asks for it.
    Well,
    /// Well; it comes back after this long by itself.
    Again(Duration),
    /// Badly; it comes back after its back-off.
    Failed,
}

/// What the queue has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<K> {
    /// Work on this; it waited this long since it was due. Say [`Queue::done`] afterwards.
    Work(K, Duration),
    /// Nothing is due before this time.
    Wait(Timestamp),
    /// Nothing is in the queue.
    Empty,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<K> {
    pace: Pace,
    /// Keys that are not due yet, with the time and lane.
    later: BTreeMap<K, (Timestamp, String)>,
    /// Keys that are due, in the lane of their source, the earliest first.
    lanes: BTreeMap<String, VecDeque<(K, Timestamp)>>,
    due: BTreeSet<K>,
    /// The lane served last.
    served: String,
    working: BTreeMap<K, String>,
    /// Keys asked for while they are worked on, with the time they are due.
    again: BTreeMap<K, Timestamp>,
    failures: BTreeMap<K, u32>,
    tokens: f64,
    refilled: Option<Timestamp>,
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty queue.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            later: BTreeMap::new(),
            lanes: BTreeMap::new(),
            due: BTreeSet::new(),
            served: String::new(),
            working: BTreeMap::new(),
            again: BTreeMap::new(),
            failures: BTreeMap::new(),
            tokens: pace.burst,
            refilled: None,
        }
    }

    /// Asks for a key now. One that waits for its back-off is due at once: something changed.
    pub fn add(&mut self, key: K, lane: &str, now: Timestamp) {
        self.add_at(key, lane, now);
    }

    /// Asks for a key at a time; the earlier time counts when it is asked for twice.
    pub fn add_at(&mut self, key: K, lane: &str, at: Timestamp) {
        if self.working.contains_key(&key) {
            let due = self.again.entry(key).or_insert(at);
            *due = at.min(*due);
            return;
        }
        if self.due.contains(&key) {
            return;
        }
        let entry = self.later.entry(key).or_insert((at, lane.to_owned()));
        if at < entry.0 {
            *entry = (at, lane.to_owned());
        }
    }

    /// The next key to work on: of the lanes that have one that is due, the one after the lane served last.
    pub fn next(&mut self, now: Timestamp) -> Next<K> {
        self.promote(now);
        let after = self
            .lanes
            .range::<String, _>((
                std::ops::Bound::Excluded(&self.served),
                std::ops::Bound::Unbounded,
            ))
            .next()
            .or_else(|| self.lanes.iter().next())
            .map(|(lane, _)| lane.clone());
        let Some(lane) = after else {
            return match self.later.values().map(|(at, _)| *at).min() {
                Some(at) => Next::Wait(at),
                None => Next::Empty,
            };
        };
        let Some((key, due)) = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) else {
            return Next::Empty;
        };
        if self.lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&lane);
        }
        self.due.remove(&key);
        self.working.insert(key.clone(), lane.clone());
        self.served = lane;
        let waited = Duration::try_from(now.duration_since(due)).unwrap_or_default();
        Next::Work(key, waited)
    }

    /// Moves keys whose time has come to their lanes, in the order of their times.
    fn promote(&mut self, now: Timestamp) {
        let mut due: Vec<(Timestamp, K)> = self
            .later
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(key, (at, _))| (*at, key.clone()))
            .collect();
        due.sort();
        for (at, key) in due {
            if let Some((_, lane)) = self.later.remove(&key) {
                self.due.insert(key.clone());
                self.lanes.entry(lane).or_default().push_back((key, at));
            }
        }
    }

    /// Work on a key ended. `chance` from 0 to 1 spreads what comes back. Returns when it comes back, if it does by itself.
    pub fn done(&mut self, key: &K, done: Done, now: Timestamp, chance: f64) -> Option<Timestamp> {
        let lane = self.working.remove(key)?;
        let asked = self.again.remove(key);
        let by_itself = match done {
            Done::Well => {
                self.failures.remove(key);
                None
            }
            Done::Again(after) => {
                self.failures.remove(key);
                Some(later(now, after))
            }
            Done::Failed => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                let back_off = back_off(&self.pace, *failures, chance);
                *failures = failures.saturating_add(1);
                let at = later(now, back_off);
                Some(self.throttled(at, now))
            }
        };
        let at = match (asked, by_itself) {
            (Some(asked), Some(at)) => Some(asked.min(at)),
            (asked, at) => asked.or(at),
        };
        if let Some(at) = at {
            self.add_at(key.clone(), &lane, at);
        }
        at
    }

    /// A failed key takes a token of the bucket that all share; without one it comes back when there will be one.
    fn throttled(&mut self, at: Timestamp, now: Timestamp) -> Timestamp {
        if let Some(before) = self.refilled {
            let passed = now.duration_since(before).as_secs_f64().max(0.0);
            self.tokens = (self.tokens + passed * self.pace.per_second).min(self.pace.burst);
        }
        self.refilled = Some(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            return at;
        }
        // No further back than the longest back-off.
        self.tokens = self
            .tokens
            .max(-self.pace.most.as_secs_f64() * self.pace.per_second);
        let wait = -self.tokens / self.pace.per_second;
        at.max(later(now, Duration::from_secs_f64(wait)))
            .min(later(now, self.pace.most))
    }

    /// How many keys are due or worked on.
    pub fn depth(&self) -> usize {
        self.due.len() + self.working.len()
    }

    /// How many keys are worked on.
    pub fn working(&self) -> usize {
        self.working.len()
    }

    /// Whether a key is worked on.
    pub fn is_working(&self, key: &K) -> bool {
        self.working.contains_key(key)
    }

    /// How often a key failed since it last ended well.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }
}

/// How long a key stays away after a failure: doubled each time, at most `most`, with up to half of it taken off by chance.
fn back_off(pace: &Pace, failures_before: u32, chance: f64) -> Duration {
    let full = pace
        .first
        .saturating_mul(2_u32.saturating_pow(failures_before.min(20)))
        .min(pace.most);
    full.mul_f64(1.0 - 0.5 * chance.clamp(0.0, 1.0))
}

fn later(now: Timestamp, after: Duration) -> Timestamp {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    now.saturating_add(after).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
