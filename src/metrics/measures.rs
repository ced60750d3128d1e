//! What can be counted, a method each. A cluster, webhook, source or kind is named as the configuration or the code names it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::definitions::{self as d, Definition, Values};
use super::{Metrics, RISKS};

/// Freezes of one kind of scope that are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freezes {
    /// How many.
    pub count: u64,
    /// Since when the oldest is.
    pub since: Timestamp,
}

impl Metrics {
    /// The process started.
    pub fn started(&self, version: &str, at: Timestamp) {
        self.set(&d::BUILD, &[version], 1.0);
        self.set(&d::STARTED, &[], seconds(at));
    }

    /// What is counted in the state file was counted.
    pub fn measured(&self, at: Timestamp) {
        self.set(&d::MEASURED, &[], seconds(at));
    }

    /// There are these clusters. What is counted of them stands at 0 from now on: of a counter that appears with its first count,
    /// Prometheus sees no increase.
    pub fn clusters<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            for definition in [&d::DECIDED, &d::RUNS, &d::STEPS] {
                self.zero(definition, name);
            }
            self.add(&d::RECONCILED, &[name, "ok"], 0.0);
        }
    }

    /// There are these webhooks.
    pub fn webhooks<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.zero(&d::NOTIFIED, name);
            self.add(&d::MISSED, &[name], 0.0);
        }
    }

    /// A counter by a name and words: all at 0, unless they were counted already.
    fn zero(&self, definition: &Definition, name: &str) {
        let words = definition
            .labels
            .iter()
            .filter_map(|label| match label.values {
                Values::Words(words) => Some(words),
                Values::Names { .. } | Values::Current(_) => None,
            });
        for word in words.flatten() {
            self.add(definition, &[name, word], 0.0);
        }
    }

    /// A reconciliation ended: `ok`, or the word for why it failed.
    pub fn reconciled(&self, cluster: &str, outcome: &'static str, took: Duration) {
        self.add(&d::RECONCILED, &[cluster, outcome], 1.0);
        self.observe(&d::RECONCILE_TIME, &[cluster], took.as_secs_f64());
    }

    /// So many reconciliations are due and have not begun.
    pub fn queue(&self, depth: usize) {
        self.set(&d::QUEUE, &[], depth as f64);
    }

    /// A reconciliation that was due began after this time.
    pub fn queue_waited(&self, waited: Duration) {
        self.observe(&d::QUEUE_WAIT, &[], waited.as_secs_f64());
    }

    /// A cycle of looking at a cluster ended.
    pub fn cycle(&self, cluster: &str, requests: u32, took: Duration) {
        self.observe(&d::CYCLE_REQUESTS, &[cluster], f64::from(requests));
        self.observe(&d::CYCLE_TIME, &[cluster], took.as_secs_f64());
    }

    /// A cluster was observed, all but these parts.
    pub fn observed(&self, cluster: &str, at: Timestamp, unreadable: usize) {
        self.set(&d::OBSERVED, &[cluster], seconds(at));
        self.set(&d::UNREADABLE, &[cluster], unreadable as f64);
    }

    /// So many objects of a kind have drifted.
    pub fn drifted(&self, cluster: &str, kind: &str, count: u64) {
        self.set(&d::DRIFTED, &[cluster, kind], count as f64);
    }

    /// What has drifted on a cluster, by kind. A kind that is not given is as it should be: one that was counted before stands at 0.
    pub fn set_drifted(&self, cluster: &str, counts: &BTreeMap<String, u64>) {
        let known = self.last_labels(&d::DRIFTED, cluster);
        let known = known.iter().map(|kind| (vec![kind.as_str()], 0.0));
        let rows = counts.iter();
        let rows = rows.map(|(kind, count)| (vec![kind.as_str()], *count as f64));
        self.set_whole(
            &d::DRIFTED,
            &[cluster],
            known.chain(rows),
            std::ops::Add::add,
        );
    }

    /// A source was read, or could not be.
    pub fn source(&self, name: &str, ok: bool, at: Timestamp) {
        self.zero(&d::SOURCE_READS, name);
        self.add(&d::SOURCE_READS, &[name, attempt(ok)], 1.0);
        self.set(&d::SOURCE_GOOD, &[name], f64::from(ok));
        if ok {
            self.set(&d::SOURCE_TIME, &[name], seconds(at));
        }
    }

    /// The submissions that are kept, by state.
    pub fn submissions(&self, counts: &BTreeMap<String, u64>) {
        let known = super::SUBMISSION_STATES
            .iter()
            .map(|state| (vec![*state], 0.0));
        let rows = counts.iter();
        let rows = rows.map(|(state, count)| (vec![state.as_str()], *count as f64));
        self.set_whole(&d::SUBMISSIONS, &[], known.chain(rows), std::ops::Add::add);
    }

    /// The plans of a cluster that are kept, by state and risk.
    pub fn set_plans(&self, cluster: &str, counts: &BTreeMap<(String, String), u64>) {
        let known = super::PLAN_STATES
            .iter()
            .flat_map(|state| RISKS.iter().map(|risk| (vec![*state, *risk], 0.0)));
        let rows = counts.iter();
        let rows =
            rows.map(|((state, risk), count)| (vec![state.as_str(), risk.as_str()], *count as f64));
        self.set_whole(&d::PLANS, &[cluster], known.chain(rows), std::ops::Add::add);
    }

    /// Since when the plan of each risk waits that has waited longest.
    pub fn set_waiting(&self, cluster: &str, since: &BTreeMap<String, Timestamp>) {
        let rows = since.iter();
        let rows = rows.map(|(risk, since)| (vec![risk.as_str()], seconds(*since)));
        self.set_whole(&d::OLDEST_WAITING, &[cluster], rows, f64::min);
    }

    /// A plan that waited so long was decided over.
    pub fn waited(&self, cluster: &str, waited: Duration) {
        self.observe(&d::WAITED, &[cluster], waited.as_secs_f64());
    }

    /// A plan was decided over, in a word of [`DECISIONS`](super::DECISIONS).
    pub fn decided(&self, cluster: &str, decision: &'static str) {
        self.add(&d::DECIDED, &[cluster, decision], 1.0);
    }

    /// A run ended, in a word of [`RUN_OUTCOMES`](super::RUN_OUTCOMES).
    pub fn ran(&self, cluster: &str, outcome: &'static str) {
        self.add(&d::RUNS, &[cluster, outcome], 1.0);
    }

    /// The runs of a cluster that are not over, by state.
    pub fn set_open_runs(&self, cluster: &str, counts: &BTreeMap<String, u64>) {
        let known = super::OPEN_RUNS.iter().map(|state| (vec![*state], 0.0));
        let rows = counts.iter();
        let rows = rows.map(|(state, count)| (vec![state.as_str()], *count as f64));
        self.set_whole(&d::OPEN, &[cluster], known.chain(rows), std::ops::Add::add);
    }

    /// A step ended or was not begun, in a word of [`STEP_OUTCOMES`](super::STEP_OUTCOMES).
    pub fn step(&self, cluster: &str, outcome: &'static str) {
        self.add(&d::STEPS, &[cluster, outcome], 1.0);
    }

    /// A task of this type, as it stands in its UPID, was waited for.
    pub fn task(&self, cluster: &str, task_type: &str, took: Duration) {
        self.observe(&d::TASKS, &[cluster, task_type], took.as_secs_f64());
    }

    /// A step waited for somebody else's lock.
    pub fn lock_waited(&self, cluster: &str, waited: Duration) {
        self.observe(&d::LOCKS, &[cluster], waited.as_secs_f64());
    }

    /// The freezes in force, by what they cover.
    pub fn frozen(&self, freezes: &BTreeMap<&'static str, Freezes>) {
        let known = super::FREEZE_SCOPES.iter().map(|scope| (vec![*scope], 0.0));
        let rows = freezes.iter();
        let rows = rows.map(|(scope, freezes)| (vec![*scope], freezes.count as f64));
        self.set_whole(&d::FREEZES, &[], known.chain(rows), std::ops::Add::add);
        let rows = freezes.iter();
        let rows = rows.map(|(scope, freezes)| (vec![*scope], seconds(freezes.since)));
        self.set_whole(&d::FROZEN_SINCE, &[], rows, f64::min);
    }

    /// A request to a cluster ended, in a word of [`CLASSES`](super::CLASSES).
    pub fn api(&self, cluster: &str, method: &'static str, took: Duration, class: &'static str) {
        self.add(&d::API, &[cluster, method, class], 1.0);
        self.observe(&d::API_TIME, &[cluster, method], took.as_secs_f64());
    }

    /// The ledger's end: the number and the MAC of its last record.
    pub fn ledger(&self, sequence: u64, head: &str) {
        self.set(&d::LEDGER, &[], sequence as f64);
        self.set(&d::LEDGER_HEAD, &[&sequence.to_string(), head], 1.0);
    }

    /// The whole ledger was verified, and held or did not.
    pub fn ledger_verified(&self, at: Timestamp, ok: bool) {
        self.set(&d::VERIFIED, &[], seconds(at));
        self.set(&d::VERIFIED_GOOD, &[], f64::from(ok));
    }

    /// A webhook was told something, or could not be.
    pub fn notified(&self, webhook: &str, ok: bool) {
        self.add(&d::NOTIFIED, &[webhook, attempt(ok)], 1.0);
    }

    /// So many events a webhook is still to be told.
    pub fn notify_backlog(&self, webhook: &str, events: u64) {
        self.set(&d::BACKLOG, &[webhook], events as f64);
    }

    /// So many events were let go before a webhook could be told of them.
    pub fn notify_missed(&self, webhook: &str, events: u64) {
        self.add(&d::MISSED, &[webhook], events as f64);
    }
}

fn attempt(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
