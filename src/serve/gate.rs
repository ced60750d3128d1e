//! The gate: who shows a good token passes as its agent. Failures are written down, a bounded number a minute, and whoever fails too
//! often is told to wait; a good token passes whatever others did.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::approval::Principal;
use crate::service::agents::NoLogin;
use crate::service::{Service, ServiceError};

/// Failures are counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// How many failures of all together are written down in a window.
const RECORDED: u64 = 20;
/// How many failures of one address in a window are answered as such; more are told to wait.
const ANSWERED: u64 = 10;
/// How many addresses are counted apart; beyond them all are one.
const ADDRESSES: usize = 1000;

/// Why somebody does not pass.
#[derive(Debug)]
pub enum Denied {
    /// No token was shown.
    NoToken,
    /// One that is no good.
    NoLogin(NoLogin),
    /// Too many that were no good.
    TooMany {
        /// In how many seconds to try again.
        seconds: u64,
    },
    /// It could not be found out.
    Failed(ServiceError),
}

#[derive(Debug, Default)]
struct Failures {
    since: Option<Instant>,
    recorded: u64,
    unrecorded: u64,
    of: BTreeMap<IpAddr, u64>,
    others: u64,
}

/// What becomes of a failure.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    /// Whether to write it down, and how many before it were not.
    record: Option<u64>,
    /// In how many seconds its address may try again, if it failed too often.
    wait: Option<u64>,
}

impl Failures {
    fn count(&mut self, from: IpAddr, now: Instant) -> Count {
        let fresh = self
            .since
            .is_some_and(|since| now.saturating_duration_since(since) < WINDOW);
        if !fresh {
            *self = Self {
                since: Some(now),
                unrecorded: self.unrecorded,
                ..Self::default()
            };
        }
        let full = self.of.len() >= ADDRESSES && !self.of.contains_key(&from);
        let count = if full {
            &mut self.others
        } else {
            self.of.entry(from).or_default()
        };
        *count += 1;
        let left = self.since.map_or(WINDOW, |since| {
            WINDOW.saturating_sub(now.saturating_duration_since(since))
        });
        let wait = (*count > ANSWERED).then_some(left.as_secs().max(1));
        let record = if self.recorded < RECORDED {
            self.recorded += 1;
            Some(std::mem::take(&mut self.unrecorded))
        } else {
            self.unrecorded += 1;
            None
        };
        Count { record, wait }
    }
}

/// The gate. Clones share the counts.
#[derive(Clone)]
pub struct Gate {
    service: Service,
    failures: Arc<Mutex<Failures>>,
}

impl Gate {
    /// A gate in front of a service.
    pub fn new(service: Service) -> Self {
        Self {
            service,
            failures: Arc::default(),
        }
    }

    /// The agent whose token a request shows.
    pub async fn pass(&self, headers: &HeaderMap, from: IpAddr) -> Result<Principal, Denied> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            // Nothing was tried, so there is nothing to write down.
            return Err(Denied::NoToken);
        };
        let token = shown
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let login = match token {
            Some(token) => self.service.login(token).await.map_err(Denied::Failed)?,
            None => Err(NoLogin::Malformed),
        };
        match login {
            Ok(agent) => Ok(agent),
            Err(why) => Err(self.failed(why, from).await),
        }
    }

    async fn failed(&self, why: NoLogin, from: IpAddr) -> Denied {
        let count = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.count(from, Instant::now())
        };
        if let Some(unrecorded) = count.record {
            let recorded = self
                .service
                .record_login_failure(&why, &from.to_string(), unrecorded)
                .await;
            if let Err(error) = recorded {
                return Denied::Failed(error);
            }
        }
        match count.wait {
            Some(seconds) => Denied::TooMany { seconds },
            None => Denied::NoLogin(why),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_bounded_and_counted() {
        let mut failures = Failures::default();
        let now = Instant::now();
        let (one, other): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let counts: Vec<Count> = (0..30).map(|_| failures.count(one, now)).collect();
        assert_eq!(counts.iter().filter(|c| c.record.is_some()).count(), 20);
        assert_eq!(counts.iter().filter(|c| c.wait.is_some()).count(), 20);
        assert_eq!(
            failures.count(other, now),
            Count {
                record: None,
                wait: None
            }
        );
        // A minute later the first one that is written down says how many were not.
        let later = now + WINDOW;
        assert_eq!(
            failures.count(one, later),
            Count {
                record: Some(11),
                wait: None
            }
        );
        assert_eq!(failures.count(one, later).record, Some(0));
    }

    #[test]
    fn many_addresses_cost_no_more_memory() {
        let mut failures = Failures::default();
        let now = Instant::now();
        for n in 0..5000_u32 {
            failures.count(IpAddr::from(n.to_be_bytes()), now);
        }
        assert_eq!(failures.of.len(), ADDRESSES);
    }
}
