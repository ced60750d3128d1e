//! Simulated time: what `starttime` says, and when tasks are done.
//!
//! Two readings. [`Clock::unix`] is the time of day in the world: it runs as fast as real time, so that clients may
//! compare it with their own. [`Clock::elapsed`] is simulated seconds since the start, running `scale` times as fast;
//! durations of tasks and periods of daemons are measured with it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The simulator's clock.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    base: f64,
    scale: f64,
    skipped: f64,
}

impl Clock {
    /// A clock that starts at this UNIX time (now if `None`), `scale` simulated seconds to a real one.
    #[must_use]
    pub fn new(base: Option<i64>, scale: f64) -> Self {
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or(Duration::ZERO)
                .as_secs_f64()
        };
        #[allow(clippy::cast_precision_loss)]
        let base = base.map_or_else(now, |base| base as f64);
        Self {
            started: Instant::now(),
            base,
            scale: scale.max(0.001),
            skipped: 0.0,
        }
    }

    /// The world's time of day, in UNIX seconds.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn unix(&self) -> i64 {
        (self.base + self.started.elapsed().as_secs_f64() + self.skipped) as i64
    }

    /// Simulated seconds since the start.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * self.scale + self.skipped
    }

    /// How long a simulated span takes in reality.
    #[must_use]
    pub fn real(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.scale).max(0.0))
    }

    /// Skips so many simulated seconds.
    pub fn advance(&mut self, seconds: f64) {
        self.skipped += seconds.max(0.0);
    }
}
