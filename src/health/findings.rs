//! What is wrong in a world now, and what could not be seen: the facets that are not good, and the plain facts that no facet tells
//! (locks, pending changes, storages that are inactive). For whoever looks for a cause; plans do not use it.

use std::collections::BTreeSet;

use crate::ids::{NodeName, StorageId, Vmid};
use crate::world::views;
use crate::world::{Guest, Part, Section, World};

use super::{Entity, Facet, Grade, Health, State, evaluate};

/// How bad a finding is. The order is from bad to harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something does not work, or is lost.
    Critical,
    /// Something is at risk, or will not work once it is needed.
    Warning,
    /// Something to know.
    Notice,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a stable word.
    pub code: &'static str,
    /// The object: `vm/104`, `node/pve1`, `cluster`.
    pub object: String,
    /// What is wrong, in words.
    pub message: String,
    /// Why, one line each.
    pub causes: Vec<String>,
}

/// Something that mattered and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unseen {
    /// What could not be read.
    pub what: String,
    /// Why not.
    pub why: String,
    /// What it would have told.
    pub matters: String,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Cluster,
    /// A node, what runs on it, and the storages as it sees them.
    Node(NodeName),
    /// A guest, its node, and the storages it uses.
    Guest(Vmid),
    /// A storage, and the guests that use it.
    Storage(StorageId),
}

/// What is wrong within a scope, the worst first, and what could not be seen of it.
pub fn findings(world: &World, scope: &Scope) -> (Vec<Finding>, Vec<Unseen>) {
    let seen = Within::new(world, scope);
    let mut found = Found::default();
    found.cluster(world);
    found.facets(&evaluate(world), &seen);
    for guest in world
        .guests
        .values()
        .filter(|g| seen.guests.contains(&g.vmid))
    {
        found.guest(guest);
    }
    for (name, node) in world.nodes.iter().filter(|(n, _)| seen.nodes.contains(*n)) {
        if node.online.is_none() {
            found.unseen(
                format!("whether node {name} is online"),
                "the cluster does not say".to_owned(),
                "what is on it may not run",
            );
        }
        for (id, state) in &node.storages {
            let used = world
                .storages
                .get(id)
                .is_some_and(|storage| storage.on_node(name));
            if seen.storages.contains(id) && used && state.enabled && !state.active {
                found.push(
                    Severity::Critical,
                    "storage_inactive",
                    format!("storage/{id}"),
                    format!("storage {id} is not active on node {name}"),
                    Vec::new(),
                );
            }
        }
    }
    found.parts(world, &seen);
    let Found {
        mut findings,
        unseen,
    } = found;
    findings.sort();
    findings.dedup();
    let unseen: BTreeSet<Unseen> = unseen.into_iter().collect();
    (findings, unseen.into_iter().collect())
}

/// What a scope covers.
struct Within {
    everything: bool,
    guests: BTreeSet<Vmid>,
    nodes: BTreeSet<NodeName>,
    storages: BTreeSet<StorageId>,
}

impl Within {
    fn new(world: &World, scope: &Scope) -> Self {
        let mut within = Self {
            everything: *scope == Scope::Cluster,
            guests: BTreeSet::new(),
            nodes: BTreeSet::new(),
            storages: BTreeSet::new(),
        };
        match scope {
            Scope::Cluster => {
                within.guests = world.guests.keys().copied().collect();
                within.nodes = world.nodes.keys().cloned().collect();
                within.storages = world.storages.keys().cloned().collect();
            }
            Scope::Node(node) => {
                within.nodes.insert(node.clone());
                let here = world.guests.values().filter(|g| g.node == *node);
                within.guests = here.map(|g| g.vmid).collect();
                let usable = world.storages.values().filter(|s| s.on_node(node));
                within.storages = usable.map(|s| s.id.clone()).collect();
            }
            Scope::Guest(vmid) => {
                within.guests.insert(*vmid);
                if let Some(guest) = world.guests.get(vmid) {
                    within.nodes.insert(guest.node.clone());
                    within.storages = storages_of(guest);
                }
            }
            Scope::Storage(id) => {
                within.storages.insert(id.clone());
                let users = world
                    .guests
                    .values()
                    .filter(|g| storages_of(g).contains(id));
                within.guests = users.map(|g| g.vmid).collect();
                if let Some(storage) = world.storages.get(id) {
                    let nodes = world.nodes.keys().filter(|n| storage.on_node(n));
                    within.nodes = nodes.cloned().collect();
                }
            }
        }
        within
    }

    fn covers(&self, entity: &Entity) -> bool {
        match entity {
            Entity::Guest(_, vmid) => self.guests.contains(vmid),
            Entity::Node(name) => self.nodes.contains(name),
            Entity::Storage(id) => self.storages.contains(id),
            Entity::Volume(volume) => self.storages.contains(volume.storage()),
            Entity::Pool(_)
            | Entity::BackupJob(_)
            | Entity::ReplicationJob(_)
            | Entity::Acl(_)
            | Entity::Principal(_)
            | Entity::Group(_)
            | Entity::Role(_)
            | Entity::Realm(_)
            | Entity::Controller => self.everything,
        }
    }

    /// What a part would have told, if it is within the scope.
    fn part(&self, part: &Part) -> Option<&'static str> {
        let (within, matters) = match part {
            Part::Permissions => (true, "whether other parts are empty or hidden"),
            Part::Resources => (
                true,
                "there may be guests, nodes and storages that were not seen",
            ),
            Part::ClusterStatus => (true, "quorum, and which nodes are online"),
            Part::Options => (self.everything, "the datacenter options"),
            Part::Storages => (true, "whether the volumes' storages are there"),
            Part::NodeStatus(node) => (self.nodes.contains(node), "memory and processors"),
            Part::NodeNetwork(node) => (self.nodes.contains(node), "whether the bridges are there"),
            Part::NodeStorage(node) => (
                self.nodes.contains(node),
                "whether the storages are active and have room",
            ),
            Part::StorageContent(node, id) => (
                self.storages.contains(id) && (self.everything || self.nodes.contains(node)),
                "whether volumes and backups are there",
            ),
            Part::GuestConfig(vmid) => (
                self.guests.contains(vmid),
                "nearly everything about the guest",
            ),
            Part::GuestSnapshots(vmid) => (
                self.guests.contains(vmid),
                "whether its snapshots can be used",
            ),
            Part::Pools => (self.everything, "which guests belong to which pool"),
            Part::BackupJobs => (
                !self.guests.is_empty(),
                "whether a backup job covers the guests",
            ),
            Part::ReplicationJobs => (!self.guests.is_empty(), "whether the guests are replicated"),
            Part::HaResources | Part::HaRules => {
                (!self.guests.is_empty(), "whether HA keeps the guests up")
            }
            Part::Acl | Part::Users | Part::Groups | Part::Roles => {
                (self.everything, "who may do what")
            }
            Part::Realms => (self.everything, "where users come from"),
            Part::RealmSettings => (self.everything, "how users' logins are checked"),
        };
        within.then_some(matters)
    }
}

/// Every storage a guest's configuration names, at present and at its next start.
fn storages_of(guest: &Guest) -> BTreeSet<StorageId> {
    let next;
    let mut sections: Vec<&Section> = vec![&guest.config.current];
    if !guest.config.pending.is_empty() {
        next = guest.config.next_start();
        sections.push(&next);
    }
    sections
        .into_iter()
        .flat_map(|section| views::disks(guest.kind, section))
        .filter_map(|disk| disk.source.volume().map(|volume| volume.storage().clone()))
        .collect()
}

#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
}

impl Found {
    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: String,
        message: String,
        causes: Vec<String>,
    ) {
        self.findings.push(Finding {
            severity,
            code,
            object,
            message,
            causes,
        });
    }

    fn unseen(&mut self, what: String, why: String, matters: &str) {
        self.unseen.push(Unseen {
            what,
            why,
            matters: matters.to_owned(),
        });
    }

    fn cluster(&mut self, world: &World) {
        match world.quorate {
            Some(true) => {}
            Some(false) => self.push(
                Severity::Critical,
                "not_quorate",
                "cluster".to_owned(),
                "the cluster is not quorate: nothing can be changed, and HA fences".to_owned(),
                Vec::new(),
            ),
            None => self.unseen(
                "whether the cluster is quorate".to_owned(),
                "the cluster's status could not be read".to_owned(),
                "without quorum nothing can be changed",
            ),
        }
    }

    fn guest(&mut self, guest: &Guest) {
        if let Some(lock) = &guest.lock {
            self.push(
                Severity::Warning,
                "locked",
                guest.entity(),
                format!(
                    "it is locked ({lock}): until the lock goes, Proxmox VE refuses most changes"
                ),
                Vec::new(),
            );
        }
        if !guest.config.pending.is_empty() {
            let keys: Vec<String> = guest
                .config
                .pending
                .iter()
                .map(|pending| match &pending.value {
                    Some(value) => format!("{} → {value}", pending.key),
                    None => format!("{} (removed)", pending.key),
                })
                .collect();
            self.push(
                Severity::Notice,
                "pending_change",
                guest.entity(),
                "changes wait for its next start".to_owned(),
                keys,
            );
        }
    }

    fn facets(&mut self, health: &Health, seen: &Within) {
        for ((entity, facet), state) in health.iter().filter(|((entity, _), _)| seen.covers(entity))
        {
            match state.grade {
                Grade::Good => {}
                Grade::Unknown => {
                    let (_, message) = words(entity, facet, state);
                    let why = if state.causes.is_empty() {
                        "it could not be read".to_owned()
                    } else {
                        state.causes.join("; ")
                    };
                    self.unseen(
                        format!("{entity}: whether {message}"),
                        why,
                        "the answer is unknown, not good",
                    );
                }
                Grade::Impaired | Grade::Lost => {
                    let (code, message) = words(entity, facet, state);
                    let severity = severity(entity, facet, state.grade);
                    self.push(
                        severity,
                        code,
                        entity.to_string(),
                        message,
                        state.causes.clone(),
                    );
                }
            }
        }
    }

    fn parts(&mut self, world: &World, seen: &Within) {
        for (part, why) in world.unreadable_parts() {
            if let Some(matters) = seen.part(part) {
                self.unseen(part.to_string(), why.to_owned(), matters);
            }
        }
    }
}

/// How bad it is that a facet is impaired or lost.
fn severity(entity: &Entity, facet: &Facet, grade: Grade) -> Severity {
    let lost = grade == Grade::Lost;
    match facet {
        Facet::Boots | Facet::Data(_) | Facet::Nic(_) if lost => Severity::Critical,
        Facet::Works => match entity {
            // A storage that somebody disabled: what that does to guests is told by the guests.
            Entity::Storage(_) => Severity::Warning,
            _ if lost => Severity::Critical,
            _ => Severity::Warning,
        },
        Facet::Room if lost => Severity::Critical,
        Facet::Runs | Facet::Pending(_) => Severity::Notice,
        Facet::Boots
        | Facet::Data(_)
        | Facet::Nic(_)
        | Facet::Medium(_)
        | Facet::Snapshot(_)
        | Facet::Recoverable
        | Facet::Covered
        | Facet::Replicated(_)
        | Facet::HighlyAvailable
        | Facet::Failover
        | Facet::Movable
        | Facet::Refers(_)
        | Facet::Room => Severity::Warning,
    }
}

/// The stable word for a facet that is not good, and what that means. Completes "whether …" too.
fn words(entity: &Entity, facet: &Facet, state: &State) -> (&'static str, String) {
    let impaired = state.grade == Grade::Impaired;
    match facet {
        Facet::Boots if impaired => (
            "may_not_start",
            "it may not find its system at the next start".to_owned(),
        ),
        Facet::Boots => (
            "cannot_start",
            "its next start fails, or does not find its system".to_owned(),
        ),
        Facet::Runs => ("not_running", "it does not run".to_owned()),
        Facet::Data(slot) => (
            "volume_unusable",
            format!("the volume in {slot} cannot be used"),
        ),
        Facet::Medium(slot) => (
            "medium_unusable",
            format!("what {slot} names cannot be used"),
        ),
        Facet::Snapshot(name) => (
            "snapshot_unusable",
            format!("the snapshot {name} cannot be used"),
        ),
        Facet::Recoverable => (
            "no_backup",
            "it has no backup to be restored from".to_owned(),
        ),
        Facet::Covered => (
            "no_backup_job",
            "no working backup job covers it".to_owned(),
        ),
        Facet::Replicated(id) => (
            "copy_outdated",
            format!("the copy that replication {id} made is no longer kept up to date"),
        ),
        Facet::Failover => (
            "no_failover_room",
            "should it fail, the other nodes lack memory for what HA starts elsewhere".to_owned(),
        ),
        Facet::HighlyAvailable => ("not_highly_available", "HA does not keep it up".to_owned()),
        Facet::Movable => (
            "cannot_move",
            "it cannot be moved without losing data".to_owned(),
        ),
        Facet::Nic(slot) => (
            "bridge_missing",
            format!("the bridge of {slot} is not there"),
        ),
        Facet::Works => match entity {
            Entity::Node(_) => ("node_offline", "the node is offline".to_owned()),
            Entity::Storage(_) => ("storage_disabled", "the storage is disabled".to_owned()),
            _ => ("cannot_work", "it cannot do its work".to_owned()),
        },
        Facet::Refers(what) => (
            "dangling_reference",
            format!("it names {what}, which is not there or cannot be used"),
        ),
        Facet::Room => match entity {
            Entity::Node(_) => (
                "low_memory",
                "its guests are given more memory than it has".to_owned(),
            ),
            _ if impaired => ("low_space", "it is nearly full".to_owned()),
            _ => ("no_space", "it is full".to_owned()),
        },
        Facet::Pending(key) => (
            "pending_change",
            format!("a change of {key} waits for the next start"),
        ),
    }
}
