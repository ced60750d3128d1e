//! Every metric there is: its name, what kind of number it is, its labels, what it means. `docs/metrics.md` is made from this table, and
//! nothing that does not stand in it can be counted.

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often a value was at most each of these bounds, which grow.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Prometheus's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What values a label can have. There is no label without a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// One of these words; anything else counts as [`OTHER`].
    Words(&'static [&'static str]),
    /// Names of the configuration or the code. So many are told apart; further ones count as [`OTHER`].
    Names {
        /// What they are the names of, for people.
        of: &'static str,
        /// How many are told apart.
        most: usize,
    },
    /// One value at a time: the series of an earlier one is taken away.
    Current(&'static str),
}

/// The value of a label that is none of those it can have.
pub const OTHER: &str = "other";

/// A label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// What it is about, as heading: `Plans`.
    pub section: &'static str,
    /// Its name, with its unit.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in the order in which their values are given.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
}

const CLUSTER: Label = Label {
    name: "cluster",
    values: Values::Names {
        of: "a cluster of the configuration",
        most: 64,
    },
};
const WEBHOOK: Label = Label {
    name: "webhook",
    values: Values::Names {
        of: "a webhook of the configuration",
        most: 64,
    },
};
const SOURCE: Label = Label {
    name: "source",
    values: Values::Names {
        of: "a source of the configuration",
        most: 128,
    },
};
const KIND: Label = Label {
    name: "kind",
    values: Values::Names {
        of: "a kind of document",
        most: 64,
    },
};

const fn words(name: &'static str, words: &'static [&'static str]) -> Label {
    Label {
        name,
        values: Values::Words(words),
    }
}

/// The states of a plan.
pub const PLAN_STATES: &[&str] = &[
    "waiting",
    "approved",
    "rejected",
    "superseded",
    "running",
    "applied",
    "stopped",
    "expired",
    "withdrawn",
];
/// The risks of a plan.
pub const RISKS: &[&str] = &["none", "low", "medium", "high", "unknown"];
/// What can be decided over a plan.
pub const DECISIONS: &[&str] = &[
    "approved",
    "approved_by_policy",
    "rejected",
    "superseded",
    "expired",
    "withdrawn",
];
/// How a run can end.
pub const RUN_OUTCOMES: &[&str] = &["ok", "failed", "stopped", "undetermined"];
/// The states of a run that is not over.
pub const OPEN_RUNS: &[&str] = &["running", "stopped", "undetermined"];
/// How a step can end; the last three: it was not begun.
pub const STEP_OUTCOMES: &[&str] = &[
    "ok",
    "warnings",
    "failed",
    "undetermined",
    "frozen",
    "stale",
    "unreadable",
];
/// The types of the tasks that Bailiwick's writes start, as they stand in a UPID.
pub const TASK_TYPES: &[&str] = &[
    "download",
    "hamigrate",
    "imgdel",
    "move_volume",
    "qmclone",
    "qmconfig",
    "qmcreate",
    "qmdelsnapshot",
    "qmdestroy",
    "qmigrate",
    "qmmove",
    "qmreboot",
    "qmrestore",
    "qmshutdown",
    "qmsnapshot",
    "qmstart",
    "qmstop",
    "qmtemplate",
    "resize",
    "vzclone",
    "vzcreate",
    "vzdelsnapshot",
    "vzdestroy",
    "vzdump",
    "vzmigrate",
    "vzreboot",
    "vzrestore",
    "vzshutdown",
    "vzsnapshot",
    "vzstart",
    "vzstop",
];
/// The methods of the API.
pub const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE"];
/// What became of a call: `ok`, the classes of refusals, and what kept it from being answered.
pub const CLASSES: &[&str] = &[
    "ok",
    "already_exists",
    "bad_answer",
    "bad_call",
    "digest_mismatch",
    "forbidden",
    "ha_managed",
    "hotplug",
    "in_use",
    "lock_timeout",
    "locked",
    "lost",
    "no_quorum",
    "node_unreachable",
    "not_found",
    "not_implemented",
    "not_proxmox",
    "not_running",
    "parameter",
    "protected",
    "proxy",
    "replicated",
    "root_only",
    "running",
    "server",
    "timeout",
    "unauthenticated",
    "unreachable",
    "untrusted",
];
/// What a freeze can cover.
pub const FREEZE_SCOPES: &[&str] = &["global", "cluster", "kind"];
/// What can become of a submission.
pub const SUBMISSION_STATES: &[&str] = &["pending", "planned", "accepted", "refused"];
/// What can become of an attempt.
pub const ATTEMPTS: &[&str] = &["ok", "failed"];

/// Seconds of what is answered at once or within a minute.
const SHORT: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Seconds of what takes from a moment to hours.
const LONG: &[f64] = &[
    0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
];
/// Seconds of what people take.
const PATIENT: &[f64] = &[
    60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 172_800.0, 604_800.0,
];
/// Requests of a cycle.
const REQUESTS: &[f64] = &[
    5.0, 8.0, 10.0, 12.0, 15.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0,
];

macro_rules! definitions {
    ($($section:literal: $($constant:ident $name:literal $kind:expr, [$($label:expr),*], $help:literal;)+)+) => {
        $($(
            #[doc = $help]
            pub const $constant: Definition = Definition {
                section: $section,
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+)+
        /// Every metric, by what it is about.
        pub const ALL: &[Definition] = &[$($($constant,)+)+];
    };
}

use Kind::{Counter, Gauge, Histogram};

definitions! {
    "Process":
    BUILD "bailiwick_build_info" Gauge, [Label { name: "version", values: Values::Current("the version of the program") }],
        "Always 1; its label says which version runs";
    STARTED "bailiwick_start_time_seconds" Gauge, [],
        "When the process started, in seconds since 1970";
    MEASURED "bailiwick_measured_timestamp_seconds" Gauge, [],
        "When what is counted in the state file was last counted, in seconds since 1970";
    "The loop":
    RECONCILED "bailiwick_reconciliations_total" Counter,
        [CLUSTER, Label { name: "outcome", values: Values::Names { of: "`ok`, or the word for why it failed", most: 32 } }],
        "Reconciliations, by how they ended";
    RECONCILE_TIME "bailiwick_reconcile_duration_seconds" Histogram(SHORT), [CLUSTER],
        "How long a reconciliation took";
    QUEUE "bailiwick_queue_depth" Gauge, [],
        "Reconciliations that are due and have not begun";
    QUEUE_WAIT "bailiwick_queue_wait_seconds" Histogram(SHORT), [],
        "How long a reconciliation that was due waited until it began";
    CYCLE_TIME "bailiwick_cycle_duration_seconds" Histogram(SHORT), [CLUSTER],
        "How long a cycle of looking at a cluster took";
    CYCLE_REQUESTS "bailiwick_cycle_requests" Histogram(REQUESTS), [CLUSTER],
        "How many requests a cycle of looking at a cluster took";
    OBSERVED "bailiwick_observed_timestamp_seconds" Gauge, [CLUSTER],
        "When a cluster was last observed, in seconds since 1970";
    UNREADABLE "bailiwick_unreadable_parts" Gauge, [CLUSTER],
        "Parts of a cluster's world that could not be read when it was last observed; what needs them is planned at risk unknown";
    DRIFTED "bailiwick_drifted_objects" Gauge, [CLUSTER, KIND],
        "Objects that no longer match a document nobody changed";
    "Sources":
    SOURCE_GOOD "bailiwick_source_success" Gauge, [SOURCE],
        "1 if a source could be read when it was last tried, 0 if not";
    SOURCE_TIME "bailiwick_source_success_timestamp_seconds" Gauge, [SOURCE],
        "When a source was last read well, in seconds since 1970";
    SOURCE_READS "bailiwick_source_reads_total" Counter, [SOURCE, words("outcome", ATTEMPTS)],
        "Attempts at reading a source, by how they ended";
    SUBMISSIONS "bailiwick_submissions" Gauge, [words("state", SUBMISSION_STATES)],
        "Submissions that are kept, by what became of them";
    "Plans":
    PLANS "bailiwick_plans" Gauge, [CLUSTER, words("state", PLAN_STATES), words("risk", RISKS)],
        "Plans that are kept, by state and risk";
    OLDEST_WAITING "bailiwick_plan_waiting_since_timestamp_seconds" Gauge, [CLUSTER, words("risk", RISKS)],
        "Since when the plan waits that has waited longest for a decision, in seconds since 1970; not there while none waits";
    WAITED "bailiwick_plan_wait_seconds" Histogram(PATIENT), [CLUSTER],
        "How long a plan waited until it was decided over";
    DECIDED "bailiwick_decisions_total" Counter, [CLUSTER, words("decision", DECISIONS)],
        "Decisions over plans, by people, policy and time";
    "Runs":
    RUNS "bailiwick_runs_total" Counter, [CLUSTER, words("outcome", RUN_OUTCOMES)],
        "Runs, by how they ended";
    OPEN "bailiwick_open_runs" Gauge, [CLUSTER, words("state", OPEN_RUNS)],
        "Runs that are under way, were stopped and can go on, or left a step nobody knows the outcome of";
    STEPS "bailiwick_steps_total" Counter, [CLUSTER, words("outcome", STEP_OUTCOMES)],
        "Steps, by how they ended; frozen, stale and unreadable ones were not begun";
    TASKS "bailiwick_task_duration_seconds" Histogram(LONG), [CLUSTER, words("type", TASK_TYPES)],
        "How long a task of Proxmox VE that a step started was waited for";
    LOCKS "bailiwick_lock_wait_seconds" Histogram(LONG), [CLUSTER],
        "How long a step that met somebody else's lock waited for it";
    FREEZES "bailiwick_freezes" Gauge, [words("scope", FREEZE_SCOPES)],
        "Freezes in force, by what they cover";
    FROZEN_SINCE "bailiwick_frozen_since_timestamp_seconds" Gauge, [words("scope", FREEZE_SCOPES)],
        "Since when the oldest freeze is in force, in seconds since 1970; not there while there is none";
    "Proxmox VE":
    API_TIME "bailiwick_api_request_duration_seconds" Histogram(SHORT), [CLUSTER, words("method", METHODS)],
        "How long a request to Proxmox VE took, answered or not";
    API "bailiwick_api_requests_total" Counter, [CLUSTER, words("method", METHODS), words("class", CLASSES)],
        "Requests to Proxmox VE, by what became of them";
    "Ledger":
    LEDGER "bailiwick_ledger_sequence" Gauge, [],
        "The number of the ledger's last record; it never goes down";
    LEDGER_HEAD "bailiwick_ledger_head_info" Gauge,
        [Label { name: "sequence", values: Values::Current("the number of the last record") },
         Label { name: "head", values: Values::Current("its MAC") }],
        "Always 1; its labels are the ledger's end, so that whoever keeps them sees a ledger that was rewritten";
    VERIFIED "bailiwick_ledger_verified_timestamp_seconds" Gauge, [],
        "When the whole ledger was last verified, whatever came of it, in seconds since 1970";
    VERIFIED_GOOD "bailiwick_ledger_verification_success" Gauge, [],
        "1 if the ledger held when it was last verified, 0 if not";
    "Notification":
    NOTIFIED "bailiwick_notifications_total" Counter, [WEBHOOK, words("outcome", ATTEMPTS)],
        "Attempts at telling a webhook something, by how they ended";
    BACKLOG "bailiwick_notify_backlog" Gauge, [WEBHOOK],
        "Events that a webhook is still to be told";
    MISSED "bailiwick_notifications_missed_total" Counter, [WEBHOOK],
        "Events that were let go before a webhook could be told of them";
}
