//! How `bailiwick serve` listens, how often it looks, and whom it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parts;
use crate::ids::ClusterName;

/// How `bailiwick serve` listens: MCP at `/mcp`, metrics at `/metrics`, liveness at `/healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Serve {
    /// The address, `127.0.0.1:8420` when not written. Anything but loopback needs `tls`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The certificate it shows; without it plain HTTP, on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServeTls>,
    /// Host names by which it is reached, besides the address itself: requests for other hosts, or from pages of other
    /// origins, are refused.
    pub hosts: BTreeSet<String>,
    /// The greatest size of a request's body, in bytes; 1 MiB when not written, 1 KiB to 16 MiB.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub body_limit: u32,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            tls: None,
            hosts: BTreeSet::new(),
            body_limit: 1 << 20,
        }
    }
}

/// The certificate that `serve` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServeTls {
    /// The PEM file with the certificate and its chain.
    pub cert_file: PathBuf,
    /// The PEM file with its private key; readable by its owner only.
    pub key_file: PathBuf,
}

/// How often the loop looks, and how much it asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reconcile {
    /// How long a cycle of observing a cluster is, `1s` to `1h`; `10s` when not written.
    #[serde(
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub interval: SignedDuration,
    /// How many requests a cycle may take while nothing changes, 8 to 1000; 10 when not written. What is left over after the
    /// lists is spent on reading guests and storages one after the other: the sweep.
    #[schemars(range(min = 8, max = 1000))]
    pub requests_per_cycle: u32,
    /// What happens to drift where the document does not say: `propose` when not written.
    pub drift: DriftMode,
    /// Whether approved plans are run by the loop, or wait for `bailiwick run`; `true` when not written.
    pub run: bool,
    /// How often the whole ledger is verified, `1m` to `30d`; `1h` when not written.
    #[serde(
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub verify_ledger: SignedDuration,
    /// How long a plan waits for a decision before it expires, `1h` to `365d`; `7d` when not written.
    #[serde(
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub plans_expire: SignedDuration,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            interval: SignedDuration::from_secs(10),
            requests_per_cycle: 10,
            drift: DriftMode::Propose,
            run: true,
            verify_ledger: SignedDuration::from_hours(1),
            plans_expire: SignedDuration::from_hours(7 * 24),
        }
    }
}

/// What happens to drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DriftMode {
    /// It is reported, and nothing is planned.
    Observe,
    /// A plan that brings the object back waits for a person, whatever the policy would approve by itself.
    #[default]
    Propose,
    /// As `propose`, but what the policy approves by itself is run.
    Enforce,
}

/// A Git repository that documents come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// Where it is: `https://…`, `ssh://…`, `USER@HOST:PATH`, or the path of a repository on this machine.
    pub url: String,
    /// The branch; `main` when not written.
    #[serde(default = "main_branch")]
    pub branch: String,
    /// The folder of each cluster's documents in the repository; `.` for all of it.
    #[schemars(with = "BTreeMap<String, String>")]
    pub paths: BTreeMap<ClusterName, String>,
    /// An allowed-signers file: every commit since the last one applied must be signed by one of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<PathBuf>,
    /// The private key file for ssh; the user's own configuration and keys are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_file: Option<PathBuf>,
    /// The `known_hosts` file with the server's key; needed for ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
    /// A file with the token (`USER:TOKEN`) for https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// A PEM file with the authority that signed the https server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How often the branch is looked at, `5s` to `1d`; `1m` when not written.
    #[serde(
        default = "one_minute",
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub interval: SignedDuration,
    /// Where it is written what became of a commit; nowhere when not written.
    #[serde(default)]
    pub status: GitStatus,
}

/// Where it is written back what became of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GitStatus {
    /// Nowhere.
    #[default]
    Off,
    /// As a note of the commit, under `refs/notes/bailiwick`.
    Note,
    /// As a file for each cluster on another branch.
    Branch(String),
}

fn main_branch() -> String {
    "main".to_owned()
}

fn one_minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

/// A folder on this machine that documents come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// The folder (or file) of each cluster's documents.
    #[schemars(with = "BTreeMap<String, PathBuf>")]
    pub paths: BTreeMap<ClusterName, PathBuf>,
    /// How often it is looked at, `1s` to `1d`; `10s` when not written.
    #[serde(
        default = "ten_seconds",
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub interval: SignedDuration,
}

fn ten_seconds() -> SignedDuration {
    SignedDuration::from_secs(10)
}

/// Whom to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Notify {
    /// Web addresses that are told.
    pub webhooks: Vec<Webhook>,
}

/// A web address that is told what happens, in order, each thing at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// What it is called here; it is remembered under this name how far it was told.
    pub name: String,
    /// The address: `https://…`, or `http://` on loopback.
    pub url: String,
    /// Where the secret that signs the messages is to be found.
    pub secret: parts::Token,
    /// What it is told; everything when not written.
    #[serde(default)]
    pub events: BTreeSet<Topic>,
    /// A PEM file with the authority that signed the server's certificate; the system's own when not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// What a webhook can be told.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// A plan waits for a person.
    PlanWaiting,
    /// A plan was approved, rejected, withdrawn, or overtaken.
    PlanDecided,
    /// A run ended.
    RunFinished,
    /// Something drifted, or came back.
    Drift,
    /// A freeze was set or lifted.
    Freeze,
    /// The ledger does not verify, or cannot be written.
    LedgerFailure,
}

/// Every path of a file on this machine, to be made relative to the configuration's folder.
pub(super) fn paths<'a>(
    sources: &'a mut BTreeMap<String, super::Source>,
    serve: &'a mut Serve,
    notify: &'a mut Notify,
) -> impl Iterator<Item = &'a mut PathBuf> {
    let sources = sources.values_mut().flat_map(|source| {
        let git = source.git.iter_mut().flat_map(|git| {
            [
                &mut git.signed_by,
                &mut git.ssh_key_file,
                &mut git.known_hosts_file,
                &mut git.credentials_file,
                &mut git.ca_file,
            ]
            .into_iter()
            .flatten()
        });
        let directory = source.directory.iter_mut();
        git.chain(directory.flat_map(|directory| directory.paths.values_mut()))
    });
    let tls = serve.tls.iter_mut();
    let tls = tls.flat_map(|tls| [&mut tls.cert_file, &mut tls.key_file]);
    let webhooks = notify.webhooks.iter_mut().flat_map(|webhook| {
        let secret = match &mut webhook.secret {
            parts::Token::File(file) => Some(file),
            parts::Token::Env(_) => None,
        };
        secret.into_iter().chain(&mut webhook.ca_file)
    });
    sources.chain(tls).chain(webhooks)
}
