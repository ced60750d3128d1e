//! Documents: what a user submits. Reading YAML with positions, validating it, and turning each kind into what Proxmox VE would
//! have to say for the document to be true ([`desired`]). Pure: no I/O, no clock; files are read by the caller.
//!
//! The way of a text: [`yaml`] makes trees with positions; [`validate`] compares them with the [`schema`] of their kind and finds
//! every fault at once; then serde makes the typed document, and [`check`] looks at what fields say together. What comes out of
//! [`load`] is either every document, or every error.

pub mod access_rule;
pub mod api_token;
pub mod backup_job;
pub mod check;
pub mod clone;
pub mod container;
pub mod crd;
pub mod desired;
pub mod error;
pub mod explain;
pub mod firewall;
pub mod firewall_alias;
pub mod firewall_rule;
pub mod group;
pub mod image;
pub mod import;
pub mod ip_set;
pub mod machine;
pub mod metadata;
pub mod migration;
pub mod options;
pub mod pool;
pub mod realm;
pub mod reference;
pub mod refused;
pub mod replication_job;
pub mod restore;
pub mod role;
pub mod scalar;
pub mod schema;
pub mod security_group;
pub mod shared;
pub mod similar;
pub mod size;
pub mod slots;
pub mod snapshot;
pub mod storage;
pub mod tree;
pub mod user;
pub mod validate;
pub mod yaml;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::access_rule::AccessRuleSpec;
use self::api_token::ApiTokenSpec;
use self::backup_job::BackupJobSpec;
use self::container::ContainerSpec;
use self::desired::{Desired, DesiredAccount};
use self::error::Problem;
pub use self::error::{DocumentError, DocumentErrors};
use self::firewall::FirewallSpec;
use self::firewall_alias::FirewallAliasSpec;
use self::group::GroupSpec;
use self::image::ImageSpec;
use self::ip_set::IpSetSpec;
use self::machine::VirtualMachineSpec;
use self::metadata::Metadata;
pub use self::metadata::{Deletion, Drift, Restart};
use self::pool::PoolSpec;
use self::realm::RealmSpec;
use self::replication_job::ReplicationJobSpec;
use self::role::RoleSpec;
use self::security_group::SecurityGroupSpec;
use self::snapshot::SnapshotSpec;
use self::storage::StorageSpec;
use self::tree::{Node, Span};
use self::user::UserSpec;
use self::yaml::Tree;
use crate::ids::{
    BackupJobId, ClusterName, GroupId, PoolId, RealmId, RoleId, SnapshotName, StorageId, UserId,
};

/// The group of the kinds.
pub const GROUP: &str = "bailiwick.dev";
/// The version of the kinds.
pub const VERSION: &str = "v1alpha1";
/// What every document has as `apiVersion`.
pub const API_VERSION: &str = "bailiwick.dev/v1alpha1";

/// The kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A QEMU guest.
    VirtualMachine,
    /// An LXC guest.
    Container,
    /// A storage definition.
    Storage,
    /// A pool of guests and storages.
    Pool,
    /// A job that backs guests up.
    BackupJob,
    /// A snapshot of a guest.
    Snapshot,
    /// A job that copies a guest's disks to another node.
    ReplicationJob,
    /// A file on a storage: an ISO image, a container template, a disk to import.
    Image,
    /// A group of users.
    Group,
    /// A user.
    User,
    /// A role.
    Role,
    /// The roles that a user, group or token is given on a path.
    AccessRule,
    /// A token of a user, for a program.
    ApiToken,
    /// Where users come from, and how their logins are checked.
    Realm,
    /// A name for an address or a network, for firewall rules.
    FirewallAlias,
    /// A set of addresses, for firewall rules.
    IpSet,
    /// A named list of firewall rules.
    SecurityGroup,
    /// The options and rules of one firewall.
    Firewall,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::VirtualMachine,
        Self::Container,
        Self::Storage,
        Self::Pool,
        Self::BackupJob,
        Self::Snapshot,
        Self::ReplicationJob,
        Self::Image,
        Self::Group,
        Self::User,
        Self::Role,
        Self::AccessRule,
        Self::ApiToken,
        Self::Realm,
        Self::FirewallAlias,
        Self::IpSet,
        Self::SecurityGroup,
        Self::Firewall,
    ];

    /// The kind's name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VirtualMachine => "VirtualMachine",
            Self::Container => "Container",
            Self::Storage => "Storage",
            Self::Pool => "Pool",
            Self::BackupJob => "BackupJob",
            Self::Snapshot => "Snapshot",
            Self::ReplicationJob => "ReplicationJob",
            Self::Image => "Image",
            Self::Group => "Group",
            Self::User => "User",
            Self::Role => "Role",
            Self::AccessRule => "AccessRule",
            Self::ApiToken => "ApiToken",
            Self::Realm => "Realm",
            Self::FirewallAlias => "FirewallAlias",
            Self::IpSet => "IpSet",
            Self::SecurityGroup => "SecurityGroup",
            Self::Firewall => "Firewall",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind `{text}`; {help}")]
pub struct UnknownKind {
    /// The text.
    pub text: String,
    /// The nearest kind, or all of them.
    pub help: String,
}

impl FromStr for Kind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let names = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind {
            text: text.to_owned(),
            help: similar::nearest_or_all(text, &names),
        })
    }
}

/// What a document is called: kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The name in `metadata`.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A text that is no `KIND/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObjectKey {
    /// There is no slash, or nothing on one of its sides.
    #[error("`{0}` does not name an object, expected KIND/NAME such as `VirtualMachine/web-7`")]
    Shape(String),
    /// The kind does not exist.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
}

impl FromStr for ObjectKey {
    type Err = InvalidObjectKey;
    fn from_str(text: &str) -> Result<Self, InvalidObjectKey> {
        match text.split_once('/') {
            Some((kind, name)) if matches!(scalar::check("object-name", name), Some(Ok(_))) => {
                Ok(Self {
                    kind: kind.parse()?,
                    name: name.to_owned(),
                })
            }
            _ => Err(InvalidObjectKey::Shape(text.to_owned())),
        }
    }
}

/// Where a document begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The hash of what a document says: SHA-256 of the canonical JSON (RFC 8785) of the typed document, `sha256:…`. Comments, the order of
/// fields, quotes, and other spellings of one value (`8192Mi` for `8Gi`) do not change it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentHash(String);

impl DocumentHash {
    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The specification of a kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// Of a virtual machine.
    VirtualMachine(Box<VirtualMachineSpec>),
    /// Of a container.
    Container(Box<ContainerSpec>),
    /// Of a storage.
    Storage(Box<StorageSpec>),
    /// Of a pool.
    Pool(Box<PoolSpec>),
    /// Of a backup job.
    BackupJob(Box<BackupJobSpec>),
    /// Of a snapshot.
    Snapshot(Box<SnapshotSpec>),
    /// Of a replication job.
    ReplicationJob(Box<ReplicationJobSpec>),
    /// Of an image.
    Image(Box<ImageSpec>),
    /// Of a group.
    Group(Box<GroupSpec>),
    /// Of a user.
    User(Box<UserSpec>),
    /// Of a role.
    Role(Box<RoleSpec>),
    /// Of an access rule.
    AccessRule(Box<AccessRuleSpec>),
    /// Of a token.
    ApiToken(Box<ApiTokenSpec>),
    /// Of a realm.
    Realm(Box<RealmSpec>),
    /// Of an alias of a firewall.
    FirewallAlias(Box<FirewallAliasSpec>),
    /// Of a set of addresses of a firewall.
    IpSet(Box<IpSetSpec>),
    /// Of a security group.
    SecurityGroup(Box<SecurityGroupSpec>),
    /// Of a firewall.
    Firewall(Box<FirewallSpec>),
}

impl Spec {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::VirtualMachine(_) => Kind::VirtualMachine,
            Self::Container(_) => Kind::Container,
            Self::Storage(_) => Kind::Storage,
            Self::Pool(_) => Kind::Pool,
            Self::BackupJob(_) => Kind::BackupJob,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::ReplicationJob(_) => Kind::ReplicationJob,
            Self::Image(_) => Kind::Image,
            Self::Group(_) => Kind::Group,
            Self::User(_) => Kind::User,
            Self::Role(_) => Kind::Role,
            Self::AccessRule(_) => Kind::AccessRule,
            Self::ApiToken(_) => Kind::ApiToken,
            Self::Realm(_) => Kind::Realm,
            Self::FirewallAlias(_) => Kind::FirewallAlias,
            Self::IpSet(_) => Kind::IpSet,
            Self::SecurityGroup(_) => Kind::SecurityGroup,
            Self::Firewall(_) => Kind::Firewall,
        }
    }
}

impl Serialize for Spec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::VirtualMachine(spec) => spec.serialize(serializer),
            Self::Container(spec) => spec.serialize(serializer),
            Self::Storage(spec) => spec.serialize(serializer),
            Self::Pool(spec) => spec.serialize(serializer),
            Self::BackupJob(spec) => spec.serialize(serializer),
            Self::Snapshot(spec) => spec.serialize(serializer),
            Self::ReplicationJob(spec) => spec.serialize(serializer),
            Self::Image(spec) => spec.serialize(serializer),
            Self::Group(spec) => spec.serialize(serializer),
            Self::User(spec) => spec.serialize(serializer),
            Self::Role(spec) => spec.serialize(serializer),
            Self::AccessRule(spec) => spec.serialize(serializer),
            Self::ApiToken(spec) => spec.serialize(serializer),
            Self::Realm(spec) => spec.serialize(serializer),
            Self::FirewallAlias(spec) => spec.serialize(serializer),
            Self::IpSet(spec) => spec.serialize(serializer),
            Self::SecurityGroup(spec) => spec.serialize(serializer),
            Self::Firewall(spec) => spec.serialize(serializer),
        }
    }
}

/// One document that was read and found valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Name, cluster, labels, annotations.
    pub metadata: Metadata,
    /// How the object shall be.
    pub spec: Spec,
    /// Where it begins.
    pub origin: Location,
    /// Its own lines of the file.
    pub text: String,
    /// The hash of what it says.
    pub hash: DocumentHash,
    /// What it asks for; private, so that only [`load`] makes documents.
    desired: Desired,
}

/// A document as it is written: what is hashed and shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'d> {
    api_version: &'static str,
    kind: Kind,
    metadata: &'d Metadata,
    spec: &'d Spec,
}

impl Serialize for Document {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        written(&self.metadata, &self.spec).serialize(serializer)
    }
}

fn written<'d>(metadata: &'d Metadata, spec: &'d Spec) -> Written<'d> {
    Written {
        api_version: API_VERSION,
        kind: spec.kind(),
        metadata,
        spec,
    }
}

fn hash(metadata: &Metadata, spec: &Spec) -> Result<DocumentHash, serde_json::Error> {
    let bytes = serde_json_canonicalizer::to_vec(&written(metadata, spec))?;
    Ok(DocumentHash(format!(
        "sha256:{}",
        hex::encode(Sha256::digest(bytes))
    )))
}

impl Document {
    /// The kind.
    pub fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// Kind and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            kind: self.kind(),
            name: self.metadata.name.clone(),
        }
    }

    /// The cluster the object belongs to, from `metadata.cluster` or the annotation `bailiwick.dev/cluster`.
    pub fn cluster(&self) -> Option<ClusterName> {
        let annotated = || {
            let text = self.metadata.annotations.0.get(metadata::CLUSTER)?;
            ClusterName::new(text).ok()
        };
        self.metadata.cluster.clone().or_else(annotated)
    }

    /// What happens when the document is removed.
    pub fn deletion(&self) -> Deletion {
        self.metadata.annotations.deletion()
    }

    /// What happens on drift; `None` where the operator's configuration decides.
    pub fn drift(&self) -> Option<Drift> {
        self.metadata.annotations.drift()
    }

    /// Whether a plan may restart the guest.
    pub fn restart(&self) -> Restart {
        self.metadata.annotations.restart()
    }

    /// Whom the document takes its object over from, as written.
    pub fn take_over(&self) -> Option<&str> {
        self.metadata.annotations.take_over()
    }

    /// Whether nothing is planned for the object for now.
    pub fn suspended(&self) -> bool {
        self.metadata.annotations.suspended()
    }

    /// What the document asks for in Proxmox VE's words.
    pub fn desired(&self) -> Desired {
        self.desired.clone()
    }
}

/// What a document asks for. `None` where the name would have to be an id and is none, which `check` reports.
fn desire(metadata: &Metadata, spec: &Spec) -> Option<Desired> {
    let name = &metadata.name;
    Some(match spec {
        Spec::VirtualMachine(spec) => Desired::Guest(Box::new(spec.desired(name))),
        Spec::Container(spec) => Desired::Guest(Box::new(spec.desired(name))),
        Spec::Storage(spec) => {
            let id = spec.id.clone().or_else(|| StorageId::new(name).ok())?;
            Desired::Storage(Box::new(spec.desired(id)))
        }
        Spec::Pool(spec) => {
            let id = spec.id.clone().or_else(|| PoolId::new(name).ok())?;
            Desired::Pool(Box::new(spec.desired(id)))
        }
        Spec::BackupJob(spec) => {
            let id = spec.id.clone().or_else(|| BackupJobId::new(name).ok())?;
            Desired::BackupJob(Box::new(spec.desired(id)))
        }
        Spec::Snapshot(spec) => {
            let id = spec.name.clone().or_else(|| SnapshotName::new(name).ok())?;
            Desired::Snapshot(Box::new(spec.desired(id)?))
        }
        Spec::ReplicationJob(spec) => {
            Desired::ReplicationJob(Box::new(spec.desired(spec.id(metadata)?)))
        }
        Spec::Image(spec) => Desired::Image(Box::new(spec.desired(name)?)),
        Spec::Group(spec) => {
            let id = spec.id.clone().or_else(|| GroupId::new(name).ok())?;
            Desired::Account(Box::new(DesiredAccount::Group(spec.desired(id))))
        }
        Spec::User(spec) => {
            let id = spec.id.clone().or_else(|| UserId::new(name).ok())?;
            Desired::Account(Box::new(DesiredAccount::User(spec.desired(id))))
        }
        Spec::Role(spec) => {
            let id = spec.id.clone().or_else(|| RoleId::new(name).ok())?;
            Desired::Account(Box::new(DesiredAccount::Role(spec.desired(id))))
        }
        Spec::AccessRule(spec) => Desired::Account(Box::new(DesiredAccount::Rule(spec.desired()?))),
        Spec::Realm(spec) => {
            let id = spec.id.clone().or_else(|| RealmId::new(name).ok())?;
            Desired::Account(Box::new(DesiredAccount::Realm(spec.desired(id))))
        }
        Spec::ApiToken(spec) => Desired::ApiToken(Box::new(spec.desired(spec.id(metadata)?))),
        Spec::FirewallAlias(spec) => {
            Desired::FirewallAlias(Box::new(spec.desired(&spec.name(metadata)?)?))
        }
        Spec::IpSet(spec) => Desired::IpSet(Box::new(spec.desired(&spec.name(metadata)?))),
        Spec::SecurityGroup(spec) => {
            Desired::SecurityGroup(Box::new(spec.desired(&spec.name(metadata)?)))
        }
        Spec::Firewall(spec) => Desired::Firewall(Box::new(spec.desired()?)),
    })
}

/// Every document of the given files `(name, text)`, in their order, or everything that is wrong with them.
///
/// # Errors
/// [`DocumentErrors`] with every fault of every file; then nothing of what was read may be used.
pub fn load<N: AsRef<str>, T: AsRef<str>>(
    files: &[(N, T)],
) -> Result<Vec<Document>, DocumentErrors> {
    let mut problems: Vec<Vec<Problem>> = Vec::new();
    let mut read: Vec<(usize, Document, Node)> = Vec::new();
    for (index, (name, text)) in files.iter().enumerate() {
        let stream = yaml::read(text.as_ref());
        let mut found = stream.problems;
        for tree in stream.trees {
            if let Some((document, root)) = one(name.as_ref(), tree, &mut found) {
                read.push((index, document, root));
            }
        }
        problems.push(found);
    }
    let placed: Vec<check::Placed<'_>> = read
        .iter()
        .map(|(file, document, root)| check::Placed {
            document,
            root,
            file: *file,
        })
        .collect();
    check::together(&placed, |file, problem| {
        if let Some(of_file) = problems.get_mut(file) {
            of_file.push(problem);
        }
    });
    let mut errors = DocumentErrors::default();
    for ((name, text), found) in files.iter().zip(problems) {
        errors.add(name.as_ref(), text.as_ref(), found);
    }
    if errors.is_empty() {
        Ok(read.into_iter().map(|(_, document, _)| document).collect())
    } else {
        Err(errors)
    }
}

/// One document, unless something is wrong with it.
fn one(file: &str, tree: Tree, problems: &mut Vec<Problem>) -> Option<(Document, Node)> {
    let before = problems.len();
    let Tree { root, text } = tree;
    let Some(kind) = kind_of(&root, problems) else {
        validate::metadata(&root, problems);
        return None;
    };
    let readable = validate::document(kind, &root, problems);
    if problems.len() > before || !readable {
        return None;
    }
    let made = typed(kind, &root).and_then(|(metadata, spec)| {
        let hash = hash(&metadata, &spec)?;
        Ok((metadata, spec, hash))
    });
    let (metadata, spec, hash) = match made {
        Ok(made) => made,
        // The schema says everything the types ask for, so this is a fault of this program; it is reported rather than hidden.
        Err(cause) => {
            problems.push(Problem::new(
                root.span,
                format!("the document cannot be read: {cause}"),
            ));
            return None;
        }
    };
    check::document(&metadata, &spec, &root, problems);
    if problems.len() > before {
        return None;
    }
    let Some(desired) = desire(&metadata, &spec) else {
        let place = root.place(&["metadata", "name"]);
        problems.push(Problem::new(place, "the name is no id of such an object"));
        return None;
    };
    let origin = Location {
        file: file.to_owned(),
        line: root.span.line,
        column: root.span.column,
    };
    let document = Document {
        metadata,
        spec,
        origin,
        text,
        hash,
        desired,
    };
    Some((document, root))
}

fn kind_of(root: &Node, problems: &mut Vec<Problem>) -> Option<Kind> {
    let tree::NodeValue::Mapping(_) = &root.value else {
        let problem = Problem::new(
            root.span,
            "this is not a document, expected a map of fields",
        );
        let help = "a document has `apiVersion`, `kind`, `metadata` and `spec`";
        problems.push(problem.help(help));
        return None;
    };
    let written = root.get("kind").and_then(Node::text);
    let kind = written.map(Kind::from_str);
    match kind {
        Some(Ok(kind)) => Some(kind),
        Some(Err(unknown)) => {
            let message = format!("unknown kind `{}`", validate::short(&unknown.text));
            problems.push(Problem::new(root.place(&["kind"]), message).help(unknown.help));
            None
        }
        None => {
            let span = first_line(root.place(&["kind"]));
            let names = Kind::ALL.map(|kind| format!("`{kind}`")).join(", ");
            let problem = Problem::new(span, "the document has no `kind`");
            problems.push(problem.help(format!("add `kind:` with one of {names}")));
            None
        }
    }
}

fn first_line(span: Span) -> Span {
    Span {
        length: span.length.max(1),
        ..span
    }
}

fn typed(kind: Kind, root: &Node) -> Result<(Metadata, Spec), serde_json::Error> {
    let part = |name: &str| {
        root.get(name)
            .map_or(serde_json::Value::Null, tree::to_json)
    };
    let metadata = serde_json::from_value(part("metadata"))?;
    let spec = part("spec");
    let spec = match kind {
        Kind::VirtualMachine => Spec::VirtualMachine(serde_json::from_value(spec)?),
        Kind::Container => Spec::Container(serde_json::from_value(spec)?),
        Kind::Storage => Spec::Storage(serde_json::from_value(spec)?),
        Kind::Pool => Spec::Pool(serde_json::from_value(spec)?),
        Kind::BackupJob => Spec::BackupJob(serde_json::from_value(spec)?),
        Kind::Snapshot => Spec::Snapshot(serde_json::from_value(spec)?),
        Kind::ReplicationJob => Spec::ReplicationJob(serde_json::from_value(spec)?),
        Kind::Image => Spec::Image(serde_json::from_value(spec)?),
        Kind::Group => Spec::Group(serde_json::from_value(spec)?),
        Kind::User => Spec::User(serde_json::from_value(spec)?),
        Kind::Role => Spec::Role(serde_json::from_value(spec)?),
        Kind::AccessRule => Spec::AccessRule(serde_json::from_value(spec)?),
        Kind::Realm => Spec::Realm(serde_json::from_value(spec)?),
        Kind::ApiToken => Spec::ApiToken(serde_json::from_value(spec)?),
        Kind::FirewallAlias => Spec::FirewallAlias(serde_json::from_value(spec)?),
        Kind::IpSet => Spec::IpSet(serde_json::from_value(spec)?),
        Kind::SecurityGroup => Spec::SecurityGroup(serde_json::from_value(spec)?),
        Kind::Firewall => Spec::Firewall(serde_json::from_value(spec)?),
    };
    Ok((metadata, spec))
}
