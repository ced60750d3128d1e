//! What the executor needs of the world outside: a live cluster to read and write, and a journal to write ahead to.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::requests::Request;
use super::secret_file::Secret;
use super::touched::Touched;
use crate::ids::{GuestKind, NodeName, Vmid};
use crate::plan::{Step, StepId};
use crate::world::World;

/// What became of a request that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Proxmox VE took it; with the UPID of the task it started, if it started one.
    Taken(Option<String>),
    /// Proxmox VE refused it: nothing happened.
    Refused {
        /// Its words.
        message: String,
        /// Somebody else holds a lock: trying again later may work.
        locked: bool,
    },
    /// It did not arrive, or nothing can be written at all now: nothing happened, and it may work once the cluster can be reached
    /// and has its quorum.
    NotNow(String),
    /// Nobody knows whether it happened (595–599, time-out, connection lost).
    Undetermined(String),
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// `OK`.
    Ok,
    /// `WARNINGS: n`, which is success.
    Warnings(String),
    /// Any other exit status.
    Failed(String),
    /// It is over, but nobody can say how it ended (its process was killed, its log is cut off).
    Unsaid(String),
    /// Nobody could say (its node is gone).
    Unknown(String),
}

/// Where a node is tried for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Its API, with TLS.
    Api,
    /// Its SSH server.
    Ssh,
}

impl Port {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Ssh => "SSH",
        }
    }
}

/// The live cluster.
pub trait Live: Send + Sync + 'static {
    /// The given world with everything `touched` names read again. Fails if any of it could not be read.
    fn refresh(
        &self,
        world: World,
        touched: Touched,
    ) -> impl Future<Output = Result<World, String>> + Send;
    /// Sends a request once. Never retried here.
    fn send(&self, request: &Request) -> impl Future<Output = Sent> + Send;
    /// Sends a request once whose answer holds a secret, and hands the secret over; otherwise what became of the request. Taken, but
    /// without a secret in the answer, is [`Sent::Taken`] too.
    fn send_for_secret(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Secret, Sent>> + Send;
    /// Waits for a task's end, at most this long.
    fn wait(&self, upid: &str, at_most: Duration) -> impl Future<Output = TaskEnd> + Send;
    /// The UPIDs of all tasks of this type and id on this node that the node still remembers, running or ended.
    fn tasks(
        &self,
        node: &NodeName,
        task_type: &str,
        id: &str,
    ) -> impl Future<Output = Result<BTreeSet<String>, String>> + Send;
    /// What the HA manager says of a guest: `started`, `queued`, `error` …; nothing of one that it does not manage.
    fn ha_state(
        &self,
        kind: GuestKind,
        vmid: Vmid,
    ) -> impl Future<Output = Result<Option<String>, String>> + Send;
    /// Opens a new connection to a node, and closes it again; `own` is the node's address in the cluster. An error says where and why
    /// not.
    fn open(
        &self,
        node: &NodeName,
        own: Option<&str>,
        port: Port,
    ) -> impl Future<Output = Result<(), String>> + Send;
    /// The value of a secret, resolved at the moment it is sent. One that no longer has the fingerprint that was planned on, and
    /// approved, is refused.
    fn secret(
        &self,
        from: &crate::document::desired::SecretRef,
        planned: &str,
    ) -> Result<zeroize::Zeroizing<String>, String>;
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done, and the cluster looks as predicted.
    Ok,
    /// Done with warnings, and the cluster looks as predicted.
    Warnings,
    /// Not done, or done with another effect than predicted.
    Failed,
    /// Nobody knows.
    Undetermined,
}

impl Outcome {
    /// The word for it, as it is counted.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
            Self::Undetermined => "undetermined",
        }
    }
}

/// What the journal knows of a step, stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The tasks of the same type and id that existed before: a task that is not among them is ours.
    pub known_tasks: BTreeSet<String>,
    /// The digest sent, if any.
    pub digest: Option<String>,
    /// What of the nodes could be reached before a trial of the firewall: `pve1 API`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub doors: BTreeSet<String>,
}

/// What a step left behind, stored with its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// What happened, in words.
    pub message: String,
    /// The digest of the configuration (or of `storage.cfg`) read back after the step.
    pub digest: Option<String>,
    /// The guest's identity read back after the step (`uuid:…`), for guests.
    pub birth: Option<String>,
    /// What of the nodes could be reached before a trial of the firewall: `pve1 API`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub doors: BTreeSet<String>,
}

/// A step as the journal remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Intent was written; whether anything was sent is not known.
    Intended(Intent),
    /// The task was started.
    Sent(Intent, String),
    /// It ended.
    Ended(Outcome, Left),
}

/// A journal that could not be written or read: nothing may be done then.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be used, so nothing is done: {0}")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The write-ahead journal of one run. Each method returns after the record is durable, together with its ledger record.
pub trait Journal: Send + Sync + 'static {
    /// Why this step may not begin now (a freeze), if so.
    fn frozen(
        &self,
        step: &Step,
    ) -> impl Future<Output = Result<Option<String>, JournalError>> + Send;
    /// The step is about to be sent.
    fn intent(
        &self,
        step: &Step,
        intent: &Intent,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
    /// A task was started for it.
    fn sent(
        &self,
        step: StepId,
        upid: &str,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
    /// The step ended.
    fn ended(
        &self,
        step: &Step,
        outcome: Outcome,
        left: &Left,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
}
