//! The operator's configuration: which clusters there are, where state and ledger lie, and who may approve what. It belongs to the
//! operator alone; no document, source or agent can change it. Secrets never stand in it, only where to find them.
//!
//! [`Configuration::parse`] is pure and checks everything at once; only [`load_configuration`] reads a file.

pub mod parts;
pub mod serving;
pub mod serving_mistakes;
pub mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::policy::{DEFAULT_EXPIRY, Groups, Rule, SOURCE_KINDS};
use crate::approval::{AllowedSigners, ApprovalPolicy, Principal, PrincipalKind};
use crate::ids::{ClusterName, NodeName};
use parts::{AdministratorNetwork, Endpoint, SafetyCopy, Tls, TlsFields, Token, VmidRange};
use serving::{Directory, Git, Notify, Reconcile, Serve};
use yaml::{Place, Places};

/// What stands in `apiVersion`.
pub const API_VERSION: &str = "bailiwick.dev/v1alpha1";

/// The greatest size of a configuration file, in bytes.
const MAXIMUM_LENGTH: u64 = 1024 * 1024;

/// The operator's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// `bailiwick.dev/v1alpha1`.
    pub api_version: String,
    /// `Configuration`.
    pub kind: String,
    /// The clusters, at least one, each with its own name.
    pub clusters: Vec<Cluster>,
    /// The SQLite file with plans, approvals, runs and the ledger. Made when it is missing. `bailiwick.db` when not written.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// The ledger's keys and checkpoints.
    pub ledger: Ledger,
    /// Who may approve, and what needs whose approval.
    pub approval: ApprovalSettings,
    /// How far each source is trusted, by its name (`git:infra`). A source that is not listed may do what the defaults say.
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    /// Who submits when nobody is named: `person:alice` or `agent:claude`. When not written every submission must say who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub default_principal: Option<Principal>,
    /// How `bailiwick serve` listens.
    #[serde(default)]
    pub serve: Serve,
    /// How often the loop looks, and what it does by itself.
    #[serde(default)]
    pub reconcile: Reconcile,
    /// Whom to tell what happens.
    #[serde(default)]
    pub notify: Notify,
}

/// One Proxmox VE cluster (a single node is one too).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// What it is called here.
    #[schemars(with = "String")]
    pub name: ClusterName,
    /// Its API, `https://HOST[:PORT]` of one or more nodes; tried in this order.
    pub endpoints: Vec<Endpoint>,
    /// Where the API of single nodes is reached from here, by their names: `pve2: https://10.0.0.12:8006`. Before Bailiwick keeps a change
    /// of the firewall that could lock somebody out, it opens a new connection to every node there. A node that is not listed is reached
    /// at its own address in the cluster, port 8006.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Endpoint>")]
    pub nodes: BTreeMap<NodeName, Endpoint>,
    /// The networks from which people administer the nodes: `10.0.9.0/24`, or single addresses. A plan that shuts any of them out of a node
    /// says that it locks out. None when not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub administrators: Vec<AdministratorNetwork>,
    /// What makes its certificate trusted.
    #[schemars(with = "TlsFields")]
    pub tls: Tls,
    /// Where its API token is to be found.
    pub token: Token,
    /// The VMIDs that new guests get when their document names none; `9000-9999` when not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid_range: Option<VmidRange>,
    /// How much may be done at the same time.
    #[serde(default)]
    pub limits: Limits,
    /// A backup that every plan takes of a guest right before it destroys it. No copies when not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_copy: Option<SafetyCopy>,
    /// Whether a plan may take privileges from Bailiwick's own token, or its login. `false` when not written: such a plan is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_controller_loss: bool,
}

/// How much may be done at the same time on one cluster. On one guest it is always one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Steps on one node, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub per_node: u32,
    /// Disk moves and the like on one storage, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub per_storage: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_node: 2,
            per_storage: 1,
        }
    }
}

/// The ledger's keys and checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ledger {
    /// The file with the HMAC key; readable by its owner only. Best not on the disk the state lies on.
    pub key_file: PathBuf,
    /// Keys that were replaced by `bailiwick ledger rotate-key`; verification needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_key_files: Vec<PathBuf>,
    /// Where signed checkpoints go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

/// Where signed checkpoints go: a ledger whose end was cut off shows only against one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The file they are appended to; best on another machine's disk.
    pub file: PathBuf,
    /// The file with the Ed25519 key that signs them; readable by its owner only.
    pub key_file: PathBuf,
}

/// Who may approve, and what needs whose approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSettings {
    /// OpenSSH's allowed-signers file: the keys and the people they stand for.
    pub allowed_signers: PathBuf,
    /// Groups of people, by name; the people are named as in the allowed-signers file.
    #[serde(default)]
    pub groups: Groups,
    /// How long an approval is good for, `1m` to `24h`; `30m` when not written.
    #[serde(
        default = "default_expiry",
        deserialize_with = "parts::length_of_time",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required"
    )]
    #[schemars(with = "String")]
    pub expires_after: SignedDuration,
    /// The rules, the most particular first: the first that matches a plan decides alone. Without a matching rule one person
    /// approves, at risk `high` or `unknown` after acknowledging every impact.
    #[serde(default)]
    pub policy: Vec<Rule>,
}

/// How far a source is trusted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A document that disappears from the source proposes the deletion of its object, where the document allowed that.
    #[serde(default)]
    pub prune: bool,
    /// When so much disappears at once that something else must be wrong.
    #[serde(default)]
    pub fuse: Fuse,
    /// For a source `git:NAME` that the loop watches: the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// For a source `directory:NAME` that the loop watches: the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
}

/// More deletions at once than this, by either measure, and nobody can approve the plan until an operator resets the fuse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fuse {
    /// Objects.
    pub count: u32,
    /// The share of what the source owns, over 0 and at most 1.
    pub share: f64,
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            count: 10,
            share: 0.2,
        }
    }
}

impl Fuse {
    /// Whether the fuse lets this many deletions of this many objects pass. Up to two deletions the share does not count: of a
    /// small source one object is a large share.
    pub fn holds(&self, deletions: usize, owned: usize) -> bool {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        // Both are small numbers: exact as floats.
        #[allow(clippy::cast_precision_loss)]
        let share = deletions as f64 / owned.max(1) as f64;
        deletions <= count && (deletions <= 2 || share <= self.share)
    }
}

fn default_state() -> PathBuf {
    PathBuf::from("bailiwick.db")
}

fn default_expiry() -> SignedDuration {
    DEFAULT_EXPIRY
}

/// One mistake in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// The field: `approval.policy[2].require.group`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error(
        "the configuration {} is larger than {MAXIMUM_LENGTH} bytes: is it the right file?",
        file.display()
    )]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// The file has mistakes; all that could be found at once.
    #[error("{}", Listed(file, mistakes))]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// The mistakes, in the order of the file.
        mistakes: Vec<Mistake>,
    },
}

struct Listed<'a>(&'a Path, &'a [Mistake]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.1.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let Place { line, column } = mistake.place;
            write!(f, "{}:{line}:{column}: ", self.0.display())?;
            if !mistake.path.is_empty() {
                write!(f, "{}: ", mistake.path)?;
            }
            f.write_str(&mistake.message)?;
        }
        Ok(())
    }
}

/// Reads a configuration file. Relative paths in it are relative to its folder.
pub fn load_configuration(file: &Path) -> Result<Configuration, ConfigurationError> {
    use std::io::Read;
    let mut text = String::new();
    // One byte more than is taken: what is too long is refused, never cut.
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAXIMUM_LENGTH + 1).read_to_string(&mut text))
        .map_err(|source| ConfigurationError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAXIMUM_LENGTH) {
        return Err(ConfigurationError::TooLong {
            file: file.to_owned(),
        });
    }
    Configuration::parse(&text, file)
}

impl Configuration {
    /// Parses and checks the text of a configuration file. `file` is what messages call it and what relative paths are relative to.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigurationError> {
        let refused = |mistakes| ConfigurationError::Mistakes {
            file: file.to_owned(),
            mistakes,
        };
        let mut configuration: Self = yaml::parse(text).map_err(|mistake| {
            refused(vec![Mistake {
                place: mistake.place,
                path: String::new(),
                message: mistake.message,
            }])
        })?;
        let mut found = configuration.mistakes();
        if !found.is_empty() {
            let places = Places::of(text);
            let mut mistakes: Vec<Mistake> = found
                .drain(..)
                .map(|(path, message)| Mistake {
                    place: places.at(&path),
                    path,
                    message,
                })
                .collect();
            mistakes.sort_by_key(|mistake| mistake.place);
            return Err(refused(mistakes));
        }
        configuration.resolve(file.parent().unwrap_or_else(|| Path::new("")));
        Ok(configuration)
    }

    /// The cluster of a name.
    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == *name)
    }

    /// How far a source is trusted: as configured, else by the defaults (no pruning).
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or_default()
    }

    /// The approval policy.
    pub fn policy(&self) -> ApprovalPolicy {
        ApprovalPolicy {
            rules: self.approval.policy.clone(),
            groups: self.approval.groups.clone(),
            expires_after: self.approval.expires_after,
        }
    }

    /// What is allowed but unwise, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.ledger.key_file.parent() == self.state.parent() {
            warnings.push(format!(
                "the ledger's key {} lies beside the ledger: whoever can change the one can forge the other; keep it elsewhere",
                self.ledger.key_file.display()
            ));
        }
        if self.ledger.checkpoint.is_none() {
            warnings.push(
                "the ledger has no `checkpoint`: nobody would see that its end was cut off"
                    .to_owned(),
            );
        }
        warnings
    }

    /// What does not fit between groups and allowed signers, a line each: people of a group that have no key cannot approve.
    pub fn warnings_about(&self, signers: &AllowedSigners) -> Vec<String> {
        let people: BTreeSet<&str> = signers.people().into_iter().map(Principal::name).collect();
        let mut warnings = Vec::new();
        if people.is_empty() {
            warnings.push(format!(
                "{} names nobody: no plan can be approved",
                self.approval.allowed_signers.display()
            ));
        }
        for (group, members) in &self.approval.groups {
            for person in members
                .iter()
                .filter(|person| !people.contains(person.as_str()))
            {
                warnings.push(format!(
                    "{person} of the group {group} begins no line of {} and so cannot approve",
                    self.approval.allowed_signers.display()
                ));
            }
        }
        warnings
    }

    fn resolve(&mut self, folder: &Path) {
        let Self {
            api_version: _,
            kind: _,
            clusters,
            state,
            ledger,
            approval,
            sources,
            default_principal: _,
            serve,
            reconcile: _,
            notify,
        } = self;
        let resolve = |path: &mut PathBuf| *path = folder.join(&path);
        serving::paths(sources, serve, notify).for_each(resolve);
        resolve(state);
        resolve(&mut ledger.key_file);
        ledger.previous_key_files.iter_mut().for_each(resolve);
        if let Some(checkpoint) = &mut ledger.checkpoint {
            resolve(&mut checkpoint.file);
            resolve(&mut checkpoint.key_file);
        }
        resolve(&mut approval.allowed_signers);
        for cluster in clusters {
            match &mut cluster.tls {
                Tls::CaFile(file) => resolve(file),
                Tls::Fingerprint(_) | Tls::SystemRoots => {}
            }
            match &mut cluster.token {
                Token::File(file) => resolve(file),
                Token::Env(_) => {}
            }
        }
    }

    /// Every mistake that parsing does not find, with the path of its field.
    fn mistakes(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |path: String, message: String| found.push((path, message));
        if self.api_version != API_VERSION {
            add("apiVersion".into(), format!("expected `{API_VERSION}`"));
        }
        if self.kind != "Configuration" {
            add(
                "kind".into(),
                "expected `Configuration`; documents are submitted with `bailiwick apply`".into(),
            );
        }
        self.cluster_mistakes(&mut add);
        self.path_mistakes(&mut add);
        let clusters: BTreeSet<ClusterName> = self
            .clusters
            .iter()
            .map(|cluster| cluster.name.clone())
            .collect();
        for mistake in self.policy().mistakes(&clusters) {
            add(format!("approval.{}", mistake.path), mistake.message);
        }
        for (name, source) in &self.sources {
            let path = format!("sources.{name}");
            if !SOURCE_KINDS
                .iter()
                .any(|kind| name.len() > kind.len() && name.starts_with(kind))
            {
                add(
                    path.clone(),
                    format!(
                        "`{name}` is not a source, expected one of {} and a name",
                        SOURCE_KINDS.join(", ")
                    ),
                );
            }
            if !(source.fuse.share > 0.0 && source.fuse.share <= 1.0) {
                add(
                    format!("{path}.fuse.share"),
                    "expected a share over 0 and at most 1, such as `0.2`".into(),
                );
            }
            if source.fuse.count == 0 {
                add(
                    format!("{path}.fuse.count"),
                    "a fuse of 0 trips at every deletion: write at least 1, or `prune: false`"
                        .into(),
                );
            }
        }
        self.serving_mistakes(&clusters, &mut |path, message| found.push((path, message)));
        if let Some(principal) = &self.default_principal
            && principal.kind() == PrincipalKind::System
        {
            found.push(("defaultPrincipal".into(), "expected `person:NAME` or `agent:NAME`: the system submits nothing in others' stead".into()));
        }
        found
    }

    fn cluster_mistakes(&self, add: &mut impl FnMut(String, String)) {
        if self.clusters.is_empty() {
            add("clusters".into(), "name at least one cluster".into());
        }
        let mut names = BTreeSet::new();
        let mut endpoints = BTreeMap::new();
        for (index, cluster) in self.clusters.iter().enumerate() {
            let path = format!("clusters[{index}]");
            if !names.insert(&cluster.name) {
                add(
                    format!("{path}.name"),
                    format!(
                        "another cluster is called `{}` already: give each its own name",
                        cluster.name
                    ),
                );
            }
            if cluster.endpoints.is_empty() {
                add(
                    format!("{path}.endpoints"),
                    "name at least one endpoint, such as `https://pve1.example.com:8006`".into(),
                );
            }
            for (at, endpoint) in cluster.endpoints.iter().enumerate() {
                if let Some(other) = endpoints.insert(endpoint, &cluster.name) {
                    add(
                        format!("{path}.endpoints[{at}]"),
                        format!(
                            "{endpoint} is an endpoint of `{other}` already: one cluster managed twice would undo itself"
                        ),
                    );
                }
            }
            let Limits {
                per_node,
                per_storage,
            } = cluster.limits;
            for (field, limit) in [("perNode", per_node), ("perStorage", per_storage)] {
                if !(1..=64).contains(&limit) {
                    add(
                        format!("{path}.limits.{field}"),
                        "expected a number from 1 to 64".into(),
                    );
                }
            }
        }
    }

    /// Paths that are empty, or one file for two things.
    fn path_mistakes(&self, add: &mut impl FnMut(String, String)) {
        let mut files = vec![
            ("state", &self.state),
            ("ledger.keyFile", &self.ledger.key_file),
            ("approval.allowedSigners", &self.approval.allowed_signers),
        ];
        if let Some(checkpoint) = &self.ledger.checkpoint {
            files.push(("ledger.checkpoint.file", &checkpoint.file));
            files.push(("ledger.checkpoint.keyFile", &checkpoint.key_file));
        }
        let mut used: BTreeMap<&Path, &str> = BTreeMap::new();
        for (field, file) in files {
            if file.as_os_str().is_empty() {
                add(field.into(), "a path must stand here".into());
            } else if let Some(other) = used.insert(file, field) {
                add(
                    field.into(),
                    format!("is the same file as `{other}`: give each its own"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
