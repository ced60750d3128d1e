//! Opening the service: configuration, store, ledger, and a client for a cluster when one is needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::error::ServiceError;
use super::events::event_of;
use super::served::ServedApis;
use super::settle::Looks;
use super::worlds::Worlds;
use crate::apply::Limits;
use crate::apply::journal::Clock;
use crate::approval::{AllowedSigners, ApprovalPolicy, Principal, PrincipalKind};
use crate::configuration::parts::{Tls, Token};
use crate::configuration::{Cluster, Configuration};
use crate::document::desired::SecretRef;
use crate::ids::ClusterName;
use crate::ledger::{Action, Detail, Draft, Key, LedgerId, Record};
use crate::metrics::Metrics;
use crate::plan::words::clean;
use crate::proxmox::client::{Client, ClusterEndpoints, Recorder};
use crate::proxmox::token::ApiToken;
use crate::proxmox::trust::Trust;
use crate::store::{RecordFilter, Store, Transaction};

/// Gives an environment variable's value, if it is set.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the library does not read by itself: the environment, and the clock.
#[derive(Clone)]
pub struct Environment {
    /// An environment variable's value.
    pub variable: Variables,
    /// The time.
    pub clock: Clock,
}

/// How patient to be. The defaults are for real clusters; the demo and tests run on simulated time.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How often to look when waiting.
    pub poll: Duration,
    /// How long to look for the effect of a write whose outcome is not known.
    pub settle: Duration,
    /// How long a lock held by somebody else is waited for.
    pub lock_patience: Duration,
    /// How long to wait until every node has the rules that a trial of the firewall is about.
    pub trial_wait: Duration,
    /// How long nodes may take then until they can be reached.
    pub trial_patience: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        let Limits {
            poll,
            settle,
            lock_patience,
            trial_wait,
            trial_patience,
            ..
        } = Limits::default();
        Self {
            poll,
            settle,
            lock_patience,
            trial_wait,
            trial_patience,
        }
    }
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(super) configuration: Arc<Configuration>,
    pub(super) store: Store,
    pub(super) key: Arc<Key>,
    pub(super) environment: Environment,
    pub(super) tuning: Tuning,
    pub(super) worlds: Worlds,
    pub(super) looks: Looks,
    pub(super) apis: ServedApis,
    pub(super) stopping: CancellationToken,
    pub(super) metrics: Metrics,
}

impl Service {
    /// Opens store and ledger. The ledger is begun when the store is new, and a policy that differs from the last one recorded is
    /// recorded.
    pub async fn open(
        configuration: Configuration,
        environment: Environment,
        tuning: Tuning,
    ) -> Result<Self, ServiceError> {
        let file = &configuration.ledger.key_file;
        let key = Key::read(file).map_err(|error| ServiceError::Setup {
            what: if file.exists() {
                "the ledger's key".to_owned()
            } else {
                "the ledger's key is not there (`bailiwick ledger keygen` makes a new ledger's)"
                    .to_owned()
            },
            source: Box::new(error),
        })?;
        let store = Store::open(&configuration.state).await?;
        let service = Self {
            configuration: Arc::new(configuration),
            store,
            key: Arc::new(key),
            environment,
            tuning,
            worlds: Worlds::default(),
            looks: Looks::default(),
            apis: ServedApis::default(),
            stopping: CancellationToken::new(),
            metrics: Metrics::new(),
        };
        service.begin_metrics();
        service.begin_ledger().await?;
        Ok(service)
    }

    async fn begin_ledger(&self) -> Result<(), ServiceError> {
        if self.store.ledger_head().await?.is_none() {
            let mut tx = self.store.begin().await?;
            let id = LedgerId::from_bytes(uuid::Uuid::new_v4().into_bytes());
            tx.create_ledger(id, &self.key, self.now(), "system:bailiwick")
                .await?;
            tx.commit().await?;
        }
        let version = self.policy_version()?;
        let filter = RecordFilter {
            subject: Some("policy".to_owned()),
            ..RecordFilter::default()
        };
        let known = self.store.ledger_records(&filter, u32::MAX).await?;
        if known
            .last()
            .and_then(|record| record.detail.text("version"))
            != Some(version.as_str())
        {
            let mut tx = self.store.begin().await?;
            let detail = serde_json::json!({ "version": version, "rules": self.configuration.approval.policy.len() });
            self.record(
                &mut tx,
                "system:bailiwick",
                Action::PolicyChanged,
                "policy",
                None,
                detail,
            )
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.environment.clock)()
    }

    /// The same service with another configuration and a stop of its own, on the same store. State file and ledger key are those that
    /// are open: a configuration that names others is refused.
    pub async fn with_configuration(
        &self,
        configuration: Configuration,
    ) -> Result<Self, ServiceError> {
        let fixed = |what: &str| {
            ServiceError::Request(format!(
                "`{what}` cannot change while Bailiwick runs: start it anew"
            ))
        };
        if configuration.state != self.configuration.state {
            return Err(fixed("state"));
        }
        if configuration.ledger.key_file != self.configuration.ledger.key_file {
            return Err(fixed("ledger.keyFile"));
        }
        let service = Self {
            configuration: Arc::new(configuration),
            worlds: Worlds::default(),
            looks: Looks::default(),
            apis: ServedApis::default(),
            stopping: CancellationToken::new(),
            ..self.clone()
        };
        service.begin_ledger().await?;
        Ok(service)
    }

    /// Where the time comes from.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.environment.clock)
    }

    /// Cancelled when runs shall stop before their next step.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The configuration.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Appends a record within a transaction.
    pub(super) async fn record(
        &self,
        tx: &mut Transaction,
        actor: &str,
        action: Action,
        subject: &str,
        plan: Option<&str>,
        detail: serde_json::Value,
    ) -> Result<Record, ServiceError> {
        let detail =
            Detail::new(detail).map_err(|error| ServiceError::Defect(error.to_string()))?;
        let draft = Draft {
            at: self.now(),
            actor: actor.to_owned(),
            action,
            subject: subject.to_owned(),
            plan: plan.map(str::to_owned),
            detail,
        };
        let record = tx.record(draft, &self.key).await?;
        let cluster = match (record.subject.strip_prefix("cluster/"), plan) {
            (Some(name), _) => ClusterName::new(name).ok(),
            (None, Some(hash)) => tx.plan(hash).await?.map(|plan| plan.head.cluster),
            (None, None) => None,
        };
        if let Some(cluster) = &cluster {
            self.measure_decision(&record, cluster);
        }
        if let Some(event) = event_of(&record, cluster) {
            tx.add_event(&event).await?;
        }
        Ok(record)
    }

    /// The policy in force.
    pub fn policy(&self) -> ApprovalPolicy {
        self.configuration.policy()
    }

    pub(super) fn policy_version(&self) -> Result<String, ServiceError> {
        Ok(self.policy().version()?)
    }

    /// The allowed signers, read anew each time, so that a key taken away counts at once.
    pub fn signers(&self) -> Result<AllowedSigners, ServiceError> {
        let file = &self.configuration.approval.allowed_signers;
        crate::approval::signers::load_allowed_signers(file).map_err(|error| ServiceError::Setup {
            what: "the allowed signers".to_owned(),
            source: Box::new(error),
        })
    }

    /// Refuses a person whom no allowed signer stands for. The name is still only claimed: a signature alone proves a person, and
    /// only approvals carry one.
    pub(super) fn known_person(&self, who: &Principal) -> Result<(), ServiceError> {
        if self.signers()?.people().contains(who) {
            return Ok(());
        }
        Err(ServiceError::Refused(format!(
            "nobody called {who} is among the allowed signers in {}",
            self.configuration.approval.allowed_signers.display()
        )))
    }

    /// The principal named, or the configured default.
    pub fn principal(&self, named: Option<&str>) -> Result<Principal, ServiceError> {
        match named {
            Some(text) => match text.parse::<Principal>() {
                Ok(principal) if principal.kind() != PrincipalKind::System => Ok(principal),
                Ok(_) => Err(ServiceError::Request(format!(
                    "--as: `{text}` is Bailiwick itself, which asks for nothing in others' stead: say person:NAME or agent:NAME"
                ))),
                Err(_) => Err(ServiceError::Request(format!(
                    "--as: `{}` names nobody: say person:NAME or agent:NAME",
                    clean(text)
                ))),
            },
            None => self.configuration.default_principal.clone().ok_or_else(|| {
                ServiceError::Request(
                    "nobody is named: say who with --as person:NAME or --as agent:NAME, or set `defaultPrincipal` in the configuration"
                        .to_owned(),
                )
            }),
        }
    }

    /// The cluster named, or the only one.
    pub fn cluster(&self, named: Option<&str>) -> Result<&Cluster, ServiceError> {
        let clusters = &self.configuration.clusters;
        let names = || {
            clusters
                .iter()
                .map(|cluster| cluster.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match named {
            Some(name) => clusters
                .iter()
                .find(|cluster| cluster.name.as_str() == name)
                .ok_or_else(|| {
                    ServiceError::NotFound(format!(
                        "there is no cluster `{name}` in the configuration; there are: {}",
                        names()
                    ))
                }),
            None => match clusters.as_slice() {
                [only] => Ok(only),
                _ => Err(ServiceError::Request(format!(
                    "which cluster? Say --cluster with one of: {}",
                    names()
                ))),
            },
        }
    }

    /// A client for a cluster. Nothing is sent yet.
    pub fn client(&self, cluster: &ClusterName) -> Result<Client, ServiceError> {
        let cluster = self.cluster(Some(cluster.as_str()))?;
        let (metrics, name) = (self.metrics.clone(), cluster.name.clone());
        let recorder: Recorder = Arc::new(move |record| {
            let method = record.call.method.as_str();
            metrics.api(name.as_str(), method, record.elapsed, record.outcome);
        });
        client_of(cluster, &self.environment, Some(recorder))
    }

    /// The limits of a run on a cluster.
    pub(super) fn limits(&self, cluster: &Cluster) -> Limits {
        Limits {
            per_node: usize::try_from(cluster.limits.per_node).unwrap_or(1),
            per_storage: usize::try_from(cluster.limits.per_storage).unwrap_or(1),
            poll: self.tuning.poll,
            settle: self.tuning.settle,
            lock_patience: self.tuning.lock_patience,
            trial_wait: self.tuning.trial_wait,
            trial_patience: self.tuning.trial_patience,
            ..Limits::default()
        }
    }

    /// The value of a secret.
    pub fn secret(&self, from: &SecretRef) -> Result<Zeroizing<String>, String> {
        secret_of(from, &self.environment)
    }

    /// The value of a secret, if it still has this fingerprint.
    pub(super) fn planned_secret(
        &self,
        from: &SecretRef,
        planned: &str,
    ) -> Result<Zeroizing<String>, String> {
        let value = self.secret(from)?;
        if self.key.fingerprint(&Sha256::digest(value.as_bytes())) == planned {
            Ok(value)
        } else {
            Err(
                "it is not the one that was planned and approved; submit the documents again"
                    .to_owned(),
            )
        }
    }

    /// The keyed fingerprint of a secret: tells whether it changed, and nothing else without the ledger's key.
    pub(super) fn fingerprint(&self, from: &SecretRef) -> Result<String, String> {
        let value = self.secret(from)?;
        Ok(self.key.fingerprint(&Sha256::digest(value.as_bytes())))
    }
}

/// A client for a cluster. Nothing is sent yet.
pub(super) fn client_of(
    cluster: &Cluster,
    environment: &Environment,
    recorder: Option<Recorder>,
) -> Result<Client, ServiceError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Cluster {
        cluster: cluster.name.to_string(),
        source,
    };
    let urls = cluster
        .endpoints
        .iter()
        .map(|endpoint| url::Url::parse(&endpoint.to_string()))
        .collect::<Result<Vec<_>, _>>();
    let endpoints = ClusterEndpoints {
        urls: urls.map_err(|error| failed(error.into()))?,
        trust: trust_of(&cluster.tls)?,
        token: token_of(cluster, environment)?,
    };
    let limits = crate::proxmox::client::Limits::default();
    Client::with_recorder(endpoints, limits, recorder).map_err(|error| failed(error.into()))
}

/// The API token of a cluster.
pub(super) fn token_of(
    cluster: &Cluster,
    environment: &Environment,
) -> Result<ApiToken, ServiceError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Cluster {
        cluster: cluster.name.to_string(),
        source,
    };
    match &cluster.token {
        Token::File(path) => ApiToken::from_file(path).map_err(|error| failed(error.into())),
        Token::Env(name) => {
            let text = Zeroizing::new((environment.variable)(name).ok_or_else(|| {
                ServiceError::Request(format!(
                    "the environment variable {name} is not set: put the API token of cluster {} into it, as `user@realm!tokenid=secret`",
                    cluster.name
                ))
            })?);
            ApiToken::new(&text, &format!("in the environment variable {name}"))
                .map_err(|error| failed(error.into()))
        }
    }
}

/// Whom to believe.
pub(super) fn trust_of(tls: &Tls) -> Result<Trust, ServiceError> {
    Ok(match tls {
        Tls::Fingerprint(print) => Trust::Fingerprints(
            [print
                .to_string()
                .parse()
                .map_err(|_| ServiceError::Defect("a fingerprint that is none".to_owned()))?]
            .into(),
        ),
        Tls::CaFile(path) => Trust::CaFile(path.clone()),
        Tls::SystemRoots => Trust::SystemRoots,
    })
}

/// The value of a secret.
pub(super) fn secret_of(
    from: &SecretRef,
    environment: &Environment,
) -> Result<Zeroizing<String>, String> {
    match from {
        SecretRef::FromFile(path) => read_secret(Path::new(path)),
        SecretRef::FromEnv(name) => (environment.variable)(name)
            .map(Zeroizing::new)
            .ok_or_else(|| "it is not set".to_owned()),
    }
}

/// The content of a secret's file, without the newline at its end. Refused when others can read it.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<String>, String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("others can read it: chmod 600 {}", path.display()));
    }
    let mut text =
        Zeroizing::new(std::fs::read_to_string(path).map_err(|error| error.to_string())?);
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
