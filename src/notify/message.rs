//! What a webhook is told: an event, in a form that programs read.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::configuration::serving::Topic;
use crate::store::Event;

/// What stands in `apiVersion`.
pub const API_VERSION: &str = "bailiwick.dev/v1alpha1";

/// The most characters of an event's words that are sent.
const LONGEST: usize = 4096;

/// The reasons of events that are told, and what each is told as. Other events are not told.
pub const REASONS: &[(&str, Topic)] = &[
    ("PlanCreated", Topic::PlanWaiting),
    ("ApprovalExpired", Topic::PlanWaiting),
    ("PlanApproved", Topic::PlanDecided),
    ("PlanRejected", Topic::PlanDecided),
    ("PlanWithdrawn", Topic::PlanDecided),
    ("PlanSuperseded", Topic::PlanDecided),
    ("PlanExpired", Topic::PlanDecided),
    ("RunFinished", Topic::RunFinished),
    ("RunFailed", Topic::RunFinished),
    ("DriftFound", Topic::Drift),
    ("DriftGone", Topic::Drift),
    ("Frozen", Topic::Freeze),
    ("Thawed", Topic::Freeze),
    ("LedgerFailure", Topic::LedgerFailure),
];

/// What an event with this reason is told as, if it is told.
pub fn topic(reason: &str) -> Option<Topic> {
    let known = REASONS.iter().find(|(known, _)| *known == reason);
    known.map(|(_, topic)| *topic)
}

/// What is sent to a webhook, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// `bailiwick.dev/v1alpha1`.
    pub api_version: &'static str,
    /// `Notification`.
    pub kind: &'static str,
    /// The delivery's id, as in the header `X-Bailiwick-Delivery`: the same each time the same thing is told again.
    pub id: String,
    /// When it happened.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What it is about, in the words of the configuration: `planWaiting`, `planDecided`, `runFinished`, `drift`, `freeze`, `ledgerFailure`.
    pub topic: Topic,
    /// What happened, in one word: `PlanCreated`, `RunFailed`.
    pub reason: String,
    /// `Normal`, or `Warning` where somebody should look.
    #[serde(rename = "type")]
    pub severity: &'static str,
    /// What it happened to: `plan/sha256:…`, `VirtualMachine/web-7`, `cluster/lab`, `freeze`.
    pub object: String,
    /// The cluster, if it is about one.
    pub cluster: Option<String>,
    /// The plan's hash, if it is about one.
    pub plan: Option<String>,
    /// The plan's risk: `none`, `low`, `medium`, `high`, `unknown`.
    pub risk: Option<String>,
    /// Who caused it: `person:anna`, `agent:ci`, `system:executor`.
    pub actor: String,
    /// What happened, in words; at most 4096 characters. It quotes reasons that people and agents gave: treat it as text.
    pub message: String,
    /// The number of the ledger record that proves it, if there is one.
    pub ledger: Option<u64>,
    /// How many events before this one were let go before this webhook could be told of them; 0 as it should be.
    pub missed: u64,
}

impl Message {
    /// What is told of an event.
    pub fn of(
        event: &Event,
        topic: Topic,
        delivery: String,
        risk: Option<String>,
        missed: u64,
    ) -> Self {
        let event = &event.event;
        let mut message: String = event.message.chars().take(LONGEST).collect();
        if message.len() < event.message.len() {
            message.push('…');
        }
        Self {
            api_version: API_VERSION,
            kind: "Notification",
            id: delivery,
            at: event.at,
            topic,
            reason: event.reason.clone(),
            severity: event.kind.name(),
            object: event.object.clone(),
            cluster: event.cluster.as_ref().map(ToString::to_string),
            plan: event.plan.clone(),
            risk,
            actor: event.actor.clone(),
            message,
            ledger: event.ledger,
            missed,
        }
    }
}

/// The JSON Schema of a message.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Message).to_value()
}
