//! What a policy may know of a plan: the facts its rules match on, taken from the plan once, so that rules never look elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::principal::Principal;
use crate::health::Category;
use crate::ids::{ClusterName, GuestKind};
use crate::plan::{DocumentRef, Plan, PlanHash, Risk};
use crate::world::firewall::FirewallPart;
use crate::world::{AccountAction, Action};

/// What a plan does to an object, in a policy's words.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// An object that nobody owned becomes owned.
    Adopt,
    /// An object that another source's document owned becomes this one's. No policy approves that by itself.
    #[serde(rename = "take-over")]
    TakeOver,
    /// A guest, storage or pool is made.
    Create,
    /// Configuration changes; disks grow.
    Update,
    /// A guest, storage, pool, volume or HA entry goes away.
    Delete,
    /// A disk moves to another storage, or a guest to another node.
    Move,
    /// A disk leaves its slot and is kept.
    Detach,
    /// A guest is started, stopped or restarted.
    Power,
}

impl Verb {
    /// The word, as it stands in policies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::TakeOver => "take-over",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Move => "move",
            Self::Detach => "detach",
            Self::Power => "power",
        }
    }

    fn of_account(action: &AccountAction) -> Self {
        match action {
            AccountAction::CreateGroup { .. }
            | AccountAction::CreateUser { .. }
            | AccountAction::CreateToken { .. }
            | AccountAction::CreateRole { .. }
            | AccountAction::CreateRealm { .. }
            | AccountAction::Grant { .. } => Self::Create,
            AccountAction::UpdateGroup { .. }
            | AccountAction::UpdateUser { .. }
            | AccountAction::UpdateToken { .. }
            | AccountAction::UpdateRole { .. }
            | AccountAction::UpdateRealm { .. } => Self::Update,
            AccountAction::DeleteGroup { .. }
            | AccountAction::DeleteUser { .. }
            | AccountAction::DeleteToken { .. }
            | AccountAction::DeleteRole { .. }
            | AccountAction::DeleteRealm { .. }
            | AccountAction::Revoke { .. } => Self::Delete,
        }
    }

    /// The verb of an action.
    pub fn of(action: &Action) -> Self {
        match action {
            Action::CreateGuest { .. }
            | Action::CloneGuest { .. }
            | Action::RestoreGuest { .. }
            | Action::CreateStorage { .. }
            | Action::CreatePool { .. }
            | Action::CreateBackupJob { .. }
            | Action::TakeSnapshot { .. }
            | Action::DownloadImage { .. }
            | Action::BackUpGuest { .. }
            | Action::CreateReplicationJob { .. } => Self::Create,
            Action::UpdateConfig { .. }
            | Action::ConvertToTemplate { .. }
            | Action::RegenerateCloudInit { .. }
            | Action::ResizeDisk { .. }
            | Action::UpdateStorage { .. }
            | Action::UpdatePool { .. }
            | Action::UpdateBackupJob { .. }
            | Action::DescribeSnapshot { .. }
            | Action::ProtectBackup { .. }
            | Action::UpdateReplicationJob { .. } => Self::Update,
            Action::MoveDisk { .. } | Action::Migrate { .. } => Self::Move,
            Action::DetachDisk { .. } => Self::Detach,
            Action::SetPower { .. } | Action::SetHaState { .. } => Self::Power,
            Action::FreeDisk { .. }
            | Action::RemoveHaResource { .. }
            | Action::DestroyGuest { .. }
            | Action::DeleteStorage { .. }
            | Action::DeleteVolume { .. }
            | Action::DeleteImage { .. }
            | Action::DeletePool { .. }
            | Action::DeleteBackupJob { .. }
            | Action::DeleteSnapshot { .. }
            | Action::DeleteBackup { .. }
            | Action::DeleteReplicationJob { .. } => Self::Delete,
            Action::Account(action) => Self::of_account(action),
            Action::Firewall(action) => match action.verb() {
                "create" => Self::Create,
                "delete" => Self::Delete,
                _ => Self::Update,
            },
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The kinds of object a plan of this version can touch, in a policy's words: the kinds of documents.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub enum ObjectKind {
    /// A QEMU guest.
    VirtualMachine,
    /// An LXC guest.
    Container,
    /// A storage definition, or a volume that belongs to no guest.
    Storage,
    /// A pool.
    Pool,
    /// A backup job.
    BackupJob,
    /// A snapshot of a guest.
    Snapshot,
    /// A replication job.
    ReplicationJob,
    /// A file on a storage.
    Image,
    /// A group of users.
    Group,
    /// A user.
    User,
    /// A role.
    Role,
    /// What a user, group or token is given on a path.
    AccessRule,
    /// A token of a user.
    ApiToken,
    /// A realm.
    Realm,
    /// An alias of a firewall.
    FirewallAlias,
    /// A set of addresses of a firewall.
    IpSet,
    /// A security group.
    SecurityGroup,
    /// The options and rules of a firewall.
    Firewall,
}

impl ObjectKind {
    /// The word, as it stands in policies and documents.
    pub fn word(self) -> &'static str {
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

    /// The kind in a document's key, `VirtualMachine/web-7`; `None` if it is none of these.
    pub fn of_key(key: &str) -> Option<Self> {
        let (kind, _) = key.split_once('/')?;
        [
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
        ]
        .into_iter()
        .find(|known| known.word() == kind)
    }

    fn of_account(action: &AccountAction) -> Self {
        match action {
            AccountAction::CreateGroup { .. }
            | AccountAction::UpdateGroup { .. }
            | AccountAction::DeleteGroup { .. } => Self::Group,
            AccountAction::CreateUser { .. }
            | AccountAction::UpdateUser { .. }
            | AccountAction::DeleteUser { .. } => Self::User,
            AccountAction::CreateToken { .. }
            | AccountAction::UpdateToken { .. }
            | AccountAction::DeleteToken { .. } => Self::ApiToken,
            AccountAction::CreateRole { .. }
            | AccountAction::UpdateRole { .. }
            | AccountAction::DeleteRole { .. } => Self::Role,
            AccountAction::CreateRealm { .. }
            | AccountAction::UpdateRealm { .. }
            | AccountAction::DeleteRealm { .. } => Self::Realm,
            AccountAction::Grant { .. } | AccountAction::Revoke { .. } => Self::AccessRule,
        }
    }

    /// The kind of object an action changes.
    pub fn of(action: &Action) -> Self {
        match action {
            Action::RegenerateCloudInit { .. } => Self::VirtualMachine,
            Action::CreateGuest { kind, .. }
            | Action::CloneGuest { kind, .. }
            | Action::RestoreGuest { kind, .. }
            | Action::ConvertToTemplate { kind, .. }
            | Action::UpdateConfig { kind, .. }
            | Action::ResizeDisk { kind, .. }
            | Action::MoveDisk { kind, .. }
            | Action::DetachDisk { kind, .. }
            | Action::FreeDisk { kind, .. }
            | Action::SetPower { kind, .. }
            | Action::SetHaState { kind, .. }
            | Action::RemoveHaResource { kind, .. }
            | Action::Migrate { kind, .. }
            | Action::BackUpGuest { kind, .. }
            | Action::DestroyGuest { kind, .. } => match kind {
                GuestKind::Qemu => Self::VirtualMachine,
                GuestKind::Lxc => Self::Container,
            },
            Action::CreateStorage { .. }
            | Action::UpdateStorage { .. }
            | Action::DeleteStorage { .. }
            | Action::ProtectBackup { .. }
            | Action::DeleteBackup { .. }
            | Action::DeleteVolume { .. } => Self::Storage,
            Action::DownloadImage { .. } | Action::DeleteImage { .. } => Self::Image,
            Action::CreatePool { .. } | Action::UpdatePool { .. } | Action::DeletePool { .. } => {
                Self::Pool
            }
            Action::CreateBackupJob { .. }
            | Action::UpdateBackupJob { .. }
            | Action::DeleteBackupJob { .. } => Self::BackupJob,
            Action::TakeSnapshot { .. }
            | Action::DescribeSnapshot { .. }
            | Action::DeleteSnapshot { .. } => Self::Snapshot,
            Action::CreateReplicationJob { .. }
            | Action::UpdateReplicationJob { .. }
            | Action::DeleteReplicationJob { .. } => Self::ReplicationJob,
            Action::Account(action) => Self::of_account(action),
            Action::Firewall(action) => match action.part() {
                FirewallPart::Alias(_) => Self::FirewallAlias,
                FirewallPart::Set(_) => Self::IpSet,
                FirewallPart::Group(_) => Self::SecurityGroup,
                FirewallPart::Rules | FirewallPart::Options => Self::Firewall,
            },
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a policy may know of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFacts {
    /// The plan.
    pub hash: PlanHash,
    /// The cluster it is about.
    pub cluster: ClusterName,
    /// How much it can hurt.
    pub risk: Risk,
    /// What gets worse, as categories.
    pub categories: BTreeSet<Category>,
    /// The kinds of object it touches.
    pub kinds: BTreeSet<ObjectKind>,
    /// What it does to them.
    pub verbs: BTreeSet<Verb>,
    /// The labels of each document it was made from; an object without a document (an orphan, an undo) has an empty map.
    pub labels: Vec<BTreeMap<String, String>>,
    /// The sources that own the documents, and those from which something is taken over: `git:infra`, `agent:claude`.
    pub sources: BTreeSet<String>,
    /// Who submitted it.
    pub submitter: Principal,
    /// The ids of its impacts (`I1`, …).
    pub impacts: BTreeSet<String>,
    /// The ids of its unknowns (`U1`, …).
    pub unknowns: BTreeSet<String>,
    /// Why nobody may approve it until an operator acts: a tripped fuse, for one. `None` for nearly every plan.
    pub blocked: Option<String>,
    /// A person decides, whatever the policy would approve by itself.
    pub by_person: bool,
}

impl PlanFacts {
    /// The facts of a plan. `labels` has one map for each document of the plan that has labels, by the document's key
    /// (`VirtualMachine/web-7`); a document that is not among them counts as one without labels. A plan that is not complete, has
    /// unknowns, or is about a kind that policies have no word for, is of risk `unknown` here.
    pub fn of(
        plan: &Plan,
        submitter: Principal,
        labels: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Self {
        let mut verbs: BTreeSet<Verb> = plan
            .steps
            .iter()
            .map(|step| Verb::of(&step.action))
            .collect();
        if plan.documents.iter().any(|document| document.adopts) {
            verbs.insert(Verb::Adopt);
        }
        let losers = || plan.documents.iter().filter_map(DocumentRef::taken_from);
        if losers().next().is_some() {
            verbs.insert(Verb::TakeOver);
        }
        let mut kinds: BTreeSet<ObjectKind> = plan
            .steps
            .iter()
            .map(|step| ObjectKind::of(&step.action))
            .collect();
        let mut of_known_kind = true;
        for document in &plan.documents {
            match ObjectKind::of_key(&document.key) {
                Some(kind) => _ = kinds.insert(kind),
                None => of_known_kind = false,
            }
        }
        let mut of_documents: Vec<_> = plan
            .documents
            .iter()
            .map(|document| labels.get(&document.key).cloned().unwrap_or_default())
            .collect();
        if of_documents.is_empty() {
            of_documents.push(BTreeMap::new());
        }
        Self {
            hash: plan.hash.clone(),
            cluster: plan.cluster.clone(),
            risk: if plan.complete && plan.unknowns.is_empty() && of_known_kind {
                plan.risk
            } else {
                Risk::Unknown
            },
            categories: plan.impacts.iter().map(|impact| impact.category).collect(),
            kinds,
            verbs,
            labels: of_documents,
            sources: plan
                .documents
                .iter()
                .map(|document| document.source.clone())
                .chain(losers().map(|former| former.source.clone()))
                .collect(),
            submitter,
            impacts: plan
                .impacts
                .iter()
                .map(|impact| impact.id.clone())
                .collect(),
            unknowns: plan
                .unknowns
                .iter()
                .map(|unknown| unknown.id.clone())
                .collect(),
            blocked: None,
            by_person: false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::{StorageId, Vmid};
    use crate::plan::{FormerOwner, Inverse, Origin, Step, StepId, Unknown};

    fn step(action: Action) -> Step {
        Step {
            id: StepId(1),
            title: String::new(),
            action,
            node: None,
            needs: BTreeSet::new(),
            preconditions: vec![],
            inverse: Inverse::Irreversible { why: String::new() },
            privileges: BTreeSet::new(),
            notes: vec![],
        }
    }

    fn document(key: &str, adopts: bool) -> DocumentRef {
        DocumentRef {
            key: key.into(),
            source: "git:infra".into(),
            hash: None,
            object: "vm/104".into(),
            adopts,
            former_owner: None,
            instead_of: None,
        }
    }

    fn plan() -> Plan {
        Plan {
            hash: PlanHash("sha256:5a".into()),
            cluster: ClusterName::new("lab").unwrap(),
            parent: None,
            origin: Origin::Drift,
            policy: String::new(),
            documents: vec![document("VirtualMachine/web", true)],
            changes: vec![],
            steps: vec![
                step(Action::DeleteStorage {
                    id: StorageId::new("local-zfs").unwrap(),
                }),
                step(Action::DestroyGuest {
                    kind: GuestKind::Lxc,
                    vmid: Vmid::new(301).unwrap(),
                    purge: false,
                }),
            ],
            impacts: vec![],
            improvements: vec![],
            unknowns: vec![],
            complete: true,
            risk: Risk::High,
            notes: vec![],
            blocks: vec![],
        }
    }

    fn facts(plan: &Plan) -> PlanFacts {
        let labels = BTreeMap::from([(
            "VirtualMachine/web".to_owned(),
            BTreeMap::from([("env".to_owned(), "dev".to_owned())]),
        )]);
        PlanFacts::of(plan, Principal::agent("claude").unwrap(), &labels)
    }

    #[test]
    fn facts_come_from_steps_and_documents() {
        let facts = facts(&plan());
        assert_eq!(
            facts.kinds,
            BTreeSet::from([
                ObjectKind::VirtualMachine,
                ObjectKind::Container,
                ObjectKind::Storage
            ])
        );
        assert_eq!(facts.verbs, BTreeSet::from([Verb::Adopt, Verb::Delete]));
        assert_eq!(facts.labels.len(), 1);
        assert_eq!(facts.risk, Risk::High);
    }

    #[test]
    fn what_nobody_looked_at_is_unknown() {
        let risk = |change: fn(&mut Plan)| {
            let mut plan = plan();
            plan.risk = Risk::Low;
            change(&mut plan);
            facts(&plan).risk
        };
        assert_eq!(risk(|_| ()), Risk::Low);
        assert_eq!(risk(|plan| plan.complete = false), Risk::Unknown);
        assert_eq!(
            risk(|plan| plan.documents.push(document("Vnet/lab", false))),
            Risk::Unknown
        );
        assert_eq!(
            risk(|plan| plan.unknowns.push(Unknown {
                id: "U1".into(),
                what: String::new(),
                why: String::new()
            })),
            Risk::Unknown
        );
    }

    #[test]
    fn a_take_over_is_told_with_the_source_that_loses() {
        let mut plan = plan();
        let mut from = |source: &str| {
            let mut takes = document("VirtualMachine/web", false);
            takes.former_owner = Some(FormerOwner {
                document: "VirtualMachine/old".into(),
                source: source.into(),
                hash: None,
            });
            plan.documents = vec![takes];
            facts(&plan)
        };
        let own = from("git:infra");
        assert!(!own.verbs.contains(&Verb::TakeOver));
        let other = from("operator:anna");
        assert!(other.verbs.contains(&Verb::TakeOver));
        let both = ["git:infra".to_owned(), "operator:anna".to_owned()];
        assert_eq!(other.sources, BTreeSet::from(both));
    }

    #[test]
    fn a_plan_without_documents_has_no_labels_to_match() {
        let mut plan = plan();
        plan.documents.clear();
        assert_eq!(facts(&plan).labels, vec![BTreeMap::new()]);
    }
}
