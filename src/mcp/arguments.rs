//! What the tools take. The schemas are made from these types, and every call is held against its schema before anything else.

use schemars::JsonSchema;
use serde::Deserialize;

/// `list_resources`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListResources {
    /// The cluster. May be left out where there is only one.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// Only resources of this kind. Without it: every live object but snapshots, images and accounts, and no documents.
    pub kind: Option<Kind>,
    /// Only those whose id or name contains this text, whatever its case.
    #[schemars(length(max = 128))]
    pub text: Option<String>,
    /// Only guests on this node.
    #[schemars(length(max = 128))]
    pub node: Option<String>,
    /// Only those in this state.
    pub status: Option<Status>,
    /// `true`: only what a document manages; `false`: only what none does.
    pub managed: Option<bool>,
    /// `nextCursor` of the page before.
    #[schemars(length(max = 512))]
    pub cursor: Option<String>,
    /// How many at most; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// A kind of resource.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Virtual machines.
    Vm,
    /// Containers.
    Ct,
    /// Storages.
    Storage,
    /// Pools.
    Pool,
    /// Backup jobs.
    #[serde(rename = "backup-job")]
    BackupJob,
    /// Replication jobs.
    #[serde(rename = "replication-job")]
    ReplicationJob,
    /// Nodes.
    Node,
    /// Snapshots of guests.
    Snapshot,
    /// ISO images, container templates and disk images.
    Image,
    /// Tokens of users.
    Token,
    /// Groups of users.
    Group,
    /// Users.
    User,
    /// Roles.
    Role,
    /// Realms, which users come from.
    Realm,
    /// Access rules: what users, groups and tokens are given on paths.
    Acl,
    /// Aliases of firewalls.
    Alias,
    /// Sets of addresses of firewalls.
    IpSet,
    /// Security groups.
    #[serde(rename = "security-group")]
    SecurityGroup,
    /// Firewalls: the datacenter's, those of nodes and of guests.
    Firewall,
    /// Documents that were accepted.
    Document,
}

/// A state of a resource.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A guest that runs.
    Running,
    /// A guest that does not run.
    Stopped,
    /// A guest or node that could not be asked.
    Unknown,
    /// A template.
    Template,
    /// A node that is online.
    Online,
    /// A node that is offline.
    Offline,
    /// A storage or pool in use.
    Enabled,
    /// A storage that is disabled.
    Disabled,
}

impl Status {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::Template => "template",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// `get_resource`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetResource {
    /// `vm/104`, `ct/301`, `storage/local`, `pool/prod`, `node/pve1`, `snapshot/104/before-upgrade`, another id of `list_resources`, or a
    /// document such as `VirtualMachine/web-7`.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,
    /// The cluster. May be left out where there is only one.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
}

/// `explain_kind`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainKind {
    /// `KIND` or `KIND.field.field`, such as `VirtualMachine` or `VirtualMachine.disks.size`. Without it: the kinds there are.
    #[schemars(length(max = 256))]
    pub path: Option<String>,
    /// Whether the kind's whole JSON Schema is wanted too. It is long.
    pub schema: Option<bool>,
}

/// `validate`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validate {
    /// One or more documents as YAML, with `---` between them.
    #[schemars(length(min = 1, max = 1_048_576))]
    pub documents: String,
    /// Where to go on: the `nextCursor` of the answer before, with the same documents.
    #[schemars(length(max = 1024))]
    pub cursor: Option<String>,
}

/// `plan` and `submit`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    /// One or more documents as YAML, with `---` between them, each whole: what a field does not say is left as it is.
    #[schemars(length(max = 1_048_576))]
    pub documents: String,
    /// The cluster, where the documents name none and there are several.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// Documents you submitted before and that are missing here count as removed. Only where the operator allows it.
    pub prune: Option<bool>,
}

/// `list_plans`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPlans {
    /// Only plans of this cluster.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// Only plans in this state.
    #[schemars(extend("enum" = ["waiting", "approved", "rejected", "superseded", "running", "applied", "stopped", "expired", "withdrawn"]))]
    pub state: Option<String>,
    /// Only plans you submitted.
    pub mine: Option<bool>,
    /// `nextCursor` of the page before.
    #[schemars(length(max = 512))]
    pub cursor: Option<String>,
    /// How many at most; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// `get_plan`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetPlan {
    /// The plan's hash (`sha256:…`), or at least the first four characters of it.
    #[schemars(length(min = 4, max = 80))]
    pub plan: String,
    /// The one part to page through. Without it: the beginning of every part, with full counts.
    pub section: Option<Section>,
    /// `nextCursor` of the part's page before. Needs `section`.
    #[schemars(length(max = 512))]
    pub cursor: Option<String>,
    /// How many items of a part at most; 20 when left out, 50 with `section`.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// A part of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// What gets worse.
    Impacts,
    /// What will be done.
    Steps,
    /// Field by field what differs.
    Changes,
    /// What mattered and could not be read.
    Unknowns,
    /// What gets better.
    Improvements,
    /// Things to know that are no impact.
    Notes,
    /// The documents it was made from.
    Documents,
}

impl Section {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Impacts => "impacts",
            Self::Steps => "steps",
            Self::Changes => "changes",
            Self::Unknowns => "unknowns",
            Self::Improvements => "improvements",
            Self::Notes => "notes",
            Self::Documents => "documents",
        }
    }
}

/// `wait_for_plan`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitForPlan {
    /// A plan's hash, or the id of a submission (`sub_…`).
    #[schemars(length(min = 4, max = 80))]
    pub id: String,
    /// `decided` (when left out): until people or the policy have decided. `ended`: until it was carried out, or never will be.
    pub until: Option<Until>,
    /// How long to wait at most; 30 when left out. 0 asks how it stands and does not wait.
    #[schemars(range(min = 0, max = 60))]
    pub timeout_seconds: Option<u32>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// It is approved, rejected, or done with some other way.
    #[default]
    Decided,
    /// Its run ended, or it will never run.
    Ended,
}

/// `withdraw`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withdraw {
    /// The plan's hash, or the id of a submission (`sub_…`) that waits to be planned.
    #[schemars(length(min = 4, max = 80))]
    pub id: String,
    /// Why; people read it.
    #[schemars(length(min = 1, max = 1000))]
    pub reason: String,
}

/// `propose_undo`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProposeUndo {
    /// The hash of the plan whose run is to be taken back.
    #[schemars(length(min = 4, max = 80))]
    pub plan: String,
}

/// `list_drift`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListDrift {
    /// The cluster. May be left out where there is only one.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// `nextCursor` of the page before.
    #[schemars(length(max = 512))]
    pub cursor: Option<String>,
    /// How many at most; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// `diagnose`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Diagnose {
    /// `vm/104`, `ct/301`, `node/pve1`, `storage/local`, or `cluster` (when left out) for everything.
    #[schemars(length(max = 256))]
    pub target: Option<String>,
    /// The cluster. May be left out where there is only one.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// `nextCursor` of the page before.
    #[schemars(length(max = 512))]
    pub cursor: Option<String>,
    /// How many findings at most; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// `can`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Can {
    /// A user (`ann@pve`) or a token (`ann@pve!ci`).
    #[schemars(length(min = 1, max = 256))]
    pub principal: String,
    /// A privilege such as `VM.PowerMgmt`.
    #[schemars(length(min = 1, max = 128))]
    pub privilege: String,
    /// A path of the access control list such as `/vms/104`.
    #[schemars(length(min = 1, max = 256))]
    pub path: String,
    /// The cluster. May be left out where there is only one; a plan has its own.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// A plan's hash: asked is also how it will be when all its steps are done.
    #[schemars(length(min = 4, max = 80))]
    pub after: Option<String>,
}

/// `reach`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reach {
    /// Who starts: an address, a network, `vm/104`, `ct/301`, `node/pve1`, or `any`.
    #[schemars(length(min = 1, max = 128))]
    pub from: String,
    /// Who and what is meant: `vm/104:22`, `node/pve1:8006`, `ct/301:53/udp`, `vm/104:ping`.
    #[schemars(length(min = 1, max = 256))]
    pub to: String,
    /// The cluster. May be left out where there is only one; a plan has its own.
    #[schemars(length(max = 128))]
    pub cluster: Option<String>,
    /// A plan's hash: asked is also how it will be when all its steps are done.
    #[schemars(length(min = 4, max = 80))]
    pub after: Option<String>,
}
