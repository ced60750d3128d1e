//! What there is, for whoever reads it page by page: live objects and documents in one list, and one of them whole with the document
//! that manages it, its conditions and what happened to it lately.

pub(super) mod accounts;
pub(super) mod firewall;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::open::Service;
use crate::configuration::Cluster;
use crate::health::{Backups, Place};
use crate::ids::{ClusterName, GuestKind, NodeName, StorageId, TokenId, Vmid};
use crate::plan::words::clean;
use crate::plan::{Ownership, image_object};
use crate::store::{self, Condition, Event, EventFilter};
use crate::world::{
    BackupJob, Guest, Node, Part, Pool, ReplicationJob, Section, Snapshot, Status, Storage,
    StorageState, Token, Volume, World, views,
};

/// How many of the latest events are told with an object.
const EVENTS: u32 = 20;

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A virtual machine.
    Vm,
    /// A container.
    Ct,
    /// A storage.
    Storage,
    /// A pool.
    Pool,
    /// A backup job.
    BackupJob,
    /// A replication job.
    ReplicationJob,
    /// A node.
    Node,
    /// A snapshot of a guest.
    Snapshot,
    /// An ISO image, container template or disk image on a storage.
    Image,
    /// A token of a user.
    Token,
    /// A group of users.
    Group,
    /// A user.
    User,
    /// A role.
    Role,
    /// A realm.
    Realm,
    /// What a user, group or token is given on a path.
    Acl,
    /// An alias of a firewall.
    Alias,
    /// A set of addresses of a firewall.
    IpSet,
    /// A security group.
    SecurityGroup,
    /// The options and rules of a firewall.
    Firewall,
    /// A document that was accepted.
    Document,
}

impl ResourceKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Ct => "ct",
            Self::Storage => "storage",
            Self::Pool => "pool",
            Self::BackupJob => "backup-job",
            Self::ReplicationJob => "replication-job",
            Self::Node => "node",
            Self::Snapshot => "snapshot",
            Self::Image => "image",
            Self::Token => "token",
            Self::Group => "group",
            Self::User => "user",
            Self::Role => "role",
            Self::Realm => "realm",
            Self::Acl => "acl",
            Self::Alias => "alias",
            Self::IpSet => "ipset",
            Self::SecurityGroup => "security-group",
            Self::Firewall => "firewall",
            Self::Document => "document",
        }
    }
}

/// Which resources to list.
#[derive(Debug, Clone, Default)]
pub struct ResourceFilter {
    /// Only of this kind; else every live object but snapshots, images, users, groups, roles, realms and access rules.
    pub kind: Option<ResourceKind>,
    /// Only those whose id or name contains this, whatever the case.
    pub text: Option<String>,
    /// Only guests on this node.
    pub node: Option<String>,
    /// Only those in this state: `running`, `stopped`, `unknown`, `template`, `online`, `offline`, `enabled`, `disabled`.
    pub status: Option<String>,
    /// Only those that a document manages, or none does.
    pub managed: Option<bool>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What kind of thing.
    pub kind: ResourceKind,
    /// `vm/104`, `storage/local`, `VirtualMachine/web-7`.
    pub id: String,
    /// Its name as the cluster has it.
    pub name: Option<String>,
    /// Its state in a word.
    pub status: String,
    /// The node a guest is on.
    pub node: Option<String>,
    /// The pool a guest is in.
    pub pool: Option<String>,
    /// The lock a guest is under.
    pub lock: Option<String>,
    /// For a live object, the document that manages it and its source; for a document, its source.
    pub managed: Option<Managed>,
    /// For a document, the live object it manages.
    pub object: Option<String>,
}

/// Who manages an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// The document: `VirtualMachine/web-7`.
    pub document: String,
    /// The source that owns it.
    pub source: String,
}

/// Some resources of many.
#[derive(Debug, Clone)]
pub struct ResourcePage {
    /// The resources, by kind and id.
    pub resources: Vec<Resource>,
    /// How many there are in all that fit the filter.
    pub total: usize,
    /// The place after which the next page begins, if there is one.
    pub next: Option<String>,
}

/// A live object whole.
#[derive(Debug, Clone)]
pub enum Live {
    /// A virtual machine or container, from where it could be restored, and why its configuration could not be read, if it could not.
    Guest(Arc<Guest>, Restorable, Option<String>),
    /// A storage, with each node's view of it.
    Storage(Arc<Storage>, Vec<(String, StorageState)>),
    /// A pool.
    Pool(String, Arc<Pool>),
    /// A backup job, and the guests it is for.
    BackupJob(String, Arc<BackupJob>, Vec<String>),
    /// A replication job.
    ReplicationJob(String, Arc<ReplicationJob>),
    /// A group, user, role, realm or access rule: what is told of it, and its members.
    Account(BTreeMap<String, String>, BTreeSet<String>),
    /// A node, and how many guests are on it.
    Node(String, Arc<Node>, usize),
    /// A snapshot.
    Snapshot(Snapshot),
    /// An image: what it is.
    Image(Volume),
    /// A token, whether its user is enabled, and the entries of the access control list for it.
    Token(Token, bool, Vec<String>),
    /// A part of a firewall: its settings, and what is in it.
    Firewall(Section, Vec<String>),
}

/// From where a guest could be restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restorable {
    /// The storages with backups of it.
    pub places: Vec<(StorageId, Place)>,
    /// What could not be listed and might hold more.
    pub unlisted: Option<String>,
}

impl Restorable {
    /// What the listings of all storages say of a guest.
    pub fn of(vmid: Vmid, backups: &Backups) -> Self {
        let places = backups.places(vmid);
        Self {
            places: places.map(|(id, place)| (id.clone(), place)).collect(),
            unlisted: backups.unlisted().map(str::to_owned),
        }
    }
}

/// A resource whole.
#[derive(Debug, Clone)]
pub struct ResourceView {
    /// Its line of the list.
    pub resource: Resource,
    /// The live object, if there is one.
    pub live: Option<Live>,
    /// The document, or the one that manages it.
    pub document: Option<store::Document>,
    /// The conditions of that document.
    pub conditions: Vec<Condition>,
    /// What happened to it lately, the oldest first.
    pub events: Vec<Event>,
}

/// Worlds read for looking only, kept for moments, so that reading page by page does not read the cluster for each page. Plans are
/// never made on them.
#[derive(Debug, Clone)]
pub struct Glances {
    keep: Duration,
    kept: Arc<Mutex<Kept>>,
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// The worlds kept, with the time they were read.
type Kept = BTreeMap<ClusterName, (Arc<World>, Instant)>;

impl Default for Glances {
    fn default() -> Self {
        Self::new(Duration::from_secs(5))
    }
}

impl Glances {
    /// Glances that are good for so long.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep,
            kept: Arc::default(),
            reading: Arc::default(),
        }
    }

    /// A cluster's world for looking: the one that a running loop keeps, one read some moments ago, or one read now.
    pub async fn world(
        &self,
        service: &Service,
        cluster: &Cluster,
    ) -> Result<Arc<World>, ServiceError> {
        if let Some(world) = service.known_world(&cluster.name).await? {
            return Ok(world);
        }
        // One reads, the others wait for what it read.
        let _reading = self.reading.lock().await;
        if let Some(world) = self.recent(&cluster.name) {
            return Ok(world);
        }
        let world = service.look(cluster).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(cluster.name.clone(), (Arc::clone(&world), Instant::now()));
        Ok(world)
    }

    fn recent(&self, cluster: &ClusterName) -> Option<Arc<World>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(cluster)
            .filter(|(_, at)| at.elapsed() < self.keep)
            .map(|(world, _)| Arc::clone(world))
    }
}

impl Service {
    /// A page of what there is, after the place where the page before ended.
    pub async fn resources(
        &self,
        cluster: &Cluster,
        world: &World,
        filter: &ResourceFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ResourcePage, ServiceError> {
        let ownership = self.ownership(&cluster.name).await?;
        let mut all: Vec<(String, Resource)> = match filter.kind {
            Some(ResourceKind::Document) => self
                .store
                .documents(&cluster.name)
                .await?
                .iter()
                .map(|stored| document_line(stored, &ownership))
                .collect(),
            Some(
                kind @ (ResourceKind::Group
                | ResourceKind::User
                | ResourceKind::Role
                | ResourceKind::Realm
                | ResourceKind::Acl),
            ) => account_lines(world, &ownership, kind),
            Some(ResourceKind::Snapshot) => snapshot_lines(world, &ownership),
            Some(ResourceKind::Image) => image_lines(world, &ownership),
            Some(_) | None => live_lines(world, &ownership),
        };
        all.retain(|(_, resource)| filter.fits(resource));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let total = all.len();
        let mut rest = all
            .into_iter()
            .filter(|(place, _)| after.is_none_or(|after| place.as_str() > after));
        let mut resources = Vec::new();
        let mut last = None;
        for (place, resource) in rest.by_ref().take(limit) {
            last = Some(place);
            resources.push(resource);
        }
        let next = last.filter(|_| rest.next().is_some());
        Ok(ResourcePage {
            resources,
            total,
            next,
        })
    }

    /// One resource whole: a live object (`vm/104`, `ct/301`, `storage/local`, `pool/prod`, `backup-job/nightly`,
    /// `replication-job/104-0`, `node/pve1`, `token/ann@pve!mon`, `snapshot/104/before-upgrade`, `image/local:iso/debian.iso`, with the node after `image/`
    /// `replication-job/104-0`, `node/pve1`, `alias/lan`, `ipset/104/web`, `snapshot/104/before-upgrade`, `image/local:iso/debian.iso`, with the node after `image/`
    /// where each node has its own files) or a document (`VirtualMachine/web-7`).
    pub async fn resource(
        &self,
        cluster: &Cluster,
        world: &World,
        id: &str,
    ) -> Result<ResourceView, ServiceError> {
        let unknown = || {
            ServiceError::NotFound(format!(
                "there is no `{}` on cluster {}: say vm/104, ct/301, storage/NAME, pool/NAME, backup-job/NAME, replication-job/ID, node/NAME, group/NAME, user/ID, role/NAME, realm/NAME, acl/group:NAME/PATH, token/USER!NAME, snapshot/VMID/NAME, image/VOLUME, alias/NAME, ipset/NAME, security-group/NAME, firewall/cluster, or KIND/NAME for a document",
                clean(id),
                cluster.name
            ))
        };
        let ownership = self.ownership(&cluster.name).await?;
        let (kind, name) = id.split_once('/').ok_or_else(unknown)?;
        let own = self.store.document(&cluster.name, kind, name).await?;
        let (resource, live, document) = match own {
            Some(stored) => {
                let (_, line) = document_line(&stored, &ownership);
                let live = line
                    .object
                    .as_deref()
                    .and_then(|object| live(world, object));
                (line, live, Some(stored))
            }
            None => {
                let live = live(world, id).ok_or_else(unknown)?;
                let lines = match kind {
                    "snapshot" => snapshot_lines(world, &ownership),
                    "image" => image_lines(world, &ownership),
                    _ => live_lines(world, &ownership),
                };
                let line = lines
                    .into_iter()
                    .map(|(_, line)| line)
                    .find(|line| line.id == id)
                    .ok_or_else(unknown)?;
                let document = match line
                    .managed
                    .as_ref()
                    .and_then(|m| m.document.split_once('/'))
                {
                    Some((kind, name)) => self.store.document(&cluster.name, kind, name).await?,
                    None => None,
                };
                (line, Some(live), document)
            }
        };
        let key = document
            .as_ref()
            .map(|stored| format!("{}/{}", stored.document.kind, stored.document.name));
        let (mut conditions, mut events) = (Vec::new(), Vec::new());
        for object in key.iter().map(String::as_str).chain([id]) {
            conditions.extend(self.store.conditions_of(&cluster.name, object).await?);
            let filter = EventFilter {
                cluster: Some(cluster.name.clone()),
                object: Some(object.to_owned()),
                ..EventFilter::default()
            };
            events.extend(self.store.latest_events(&filter, EVENTS).await?);
            if key.as_deref() == Some(id) {
                break;
            }
        }
        Ok(ResourceView {
            resource,
            live,
            document,
            conditions,
            events,
        })
    }
}

impl ResourceFilter {
    fn fits(&self, resource: &Resource) -> bool {
        let contains = |text: &str| {
            let lower = text.to_lowercase();
            let within = |field: &str| field.to_lowercase().contains(&lower);
            within(&resource.id) || resource.name.as_deref().is_some_and(within)
        };
        self.kind.is_none_or(|kind| kind == resource.kind)
            && self.text.as_deref().is_none_or(contains)
            && (self.node.is_none() || self.node == resource.node)
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == resource.status)
            && self
                .managed
                .is_none_or(|wanted| wanted == resource.managed.is_some())
    }
}

fn document_line(stored: &store::Document, ownership: &Ownership) -> (String, Resource) {
    let store::NewDocument {
        kind, name, source, ..
    } = &stored.document;
    let id = format!("{kind}/{name}");
    let object = ownership
        .of_document(&id, source)
        .map(|(object, _)| object.to_owned());
    let resource = Resource {
        kind: ResourceKind::Document,
        id: id.clone(),
        name: Some(name.clone()),
        status: format!("generation {}", stored.generation),
        node: None,
        pool: None,
        lock: None,
        managed: Some(Managed {
            document: id.clone(),
            source: source.clone(),
        }),
        object,
    };
    (format!("8/{id}"), resource)
}

/// Whether a replication job works, in a word.
pub(super) fn replication_status(job: &ReplicationJob) -> &'static str {
    match (job.removing, job.disabled) {
        (true, _) => "being removed",
        (false, true) => "disabled",
        (false, false) => "enabled",
    }
}

/// A line of a live object that is on no node and in no pool.
fn plain(ownership: &Ownership, kind: ResourceKind, id: String, status: &str) -> Resource {
    Resource {
        kind,
        name: None,
        status: status.to_owned(),
        node: None,
        pool: None,
        lock: None,
        managed: ownership.objects.get(&id).map(|owned| Managed {
            document: owned.document.clone(),
            source: owned.source.clone(),
        }),
        object: None,
        id,
    }
}

fn snapshot_lines(world: &World, ownership: &Ownership) -> Vec<(String, Resource)> {
    let mut lines = Vec::new();
    for guest in world.guests.values() {
        for (name, snapshot) in &guest.config.snapshots {
            let id = format!("snapshot/{}/{name}", guest.vmid);
            let status = match &snapshot.state {
                Some(_) => "unfinished",
                None => "enabled",
            };
            let line = Resource {
                name: Some(name.clone()),
                node: Some(guest.node.to_string()),
                ..plain(ownership, ResourceKind::Snapshot, id, status)
            };
            lines.push((format!("90/{:010}/{name}", guest.vmid.get()), line));
        }
    }
    lines
}

/// The images of a storage with the node whose files they are; without it where all nodes see the same.
fn images(world: &World) -> impl Iterator<Item = (String, Option<&NodeName>, &Volume)> {
    world.storages.values().flat_map(|storage| {
        storage.volumes.iter().flat_map(move |(node, volumes)| {
            let node = (!storage.shared).then_some(node);
            volumes
                .iter()
                .filter(|(_, volume)| {
                    matches!(volume.content.as_str(), "iso" | "vztmpl" | "import")
                })
                .map(move |(id, volume)| (image_object(node, id), node, volume))
        })
    })
}

fn image_lines(world: &World, ownership: &Ownership) -> Vec<(String, Resource)> {
    let found: BTreeMap<String, Resource> = images(world)
        .map(|(id, node, _)| {
            let line = Resource {
                node: node.map(ToString::to_string),
                ..plain(ownership, ResourceKind::Image, id.clone(), "enabled")
            };
            (format!("91/{id}"), line)
        })
        .collect();
    found.into_iter().collect()
}

fn live_lines(world: &World, ownership: &Ownership) -> Vec<(String, Resource)> {
    let plain = |kind: ResourceKind, name: &str, status: &str| {
        plain(ownership, kind, format!("{}/{name}", kind.word()), status)
    };
    let mut lines = Vec::new();
    for guest in world.guests.values() {
        let kind = match guest.kind {
            GuestKind::Qemu => ResourceKind::Vm,
            GuestKind::Lxc => ResourceKind::Ct,
        };
        let rank = if kind == ResourceKind::Vm { 0 } else { 1 };
        let line = Resource {
            name: guest.name.clone(),
            node: Some(guest.node.to_string()),
            pool: guest.pool.as_ref().map(ToString::to_string),
            lock: guest.lock.clone(),
            ..plain(kind, &guest.vmid.to_string(), guest_status(guest))
        };
        // The numbers in their order, not in that of their digits.
        lines.push((format!("{rank}/{:010}", guest.vmid.get()), line));
    }
    for storage in world.storages.values() {
        let status = if storage.disabled {
            "disabled"
        } else {
            "enabled"
        };
        let line = plain(ResourceKind::Storage, storage.id.as_str(), status);
        lines.push((format!("2/{}", storage.id), line));
    }
    for id in world.pools.keys() {
        let line = plain(ResourceKind::Pool, id.as_str(), "enabled");
        lines.push((format!("3/{id}"), line));
    }
    for (id, job) in &world.backup_jobs {
        let status = if job.enabled { "enabled" } else { "disabled" };
        let line = Resource {
            node: job.node.as_ref().map(ToString::to_string),
            ..plain(ResourceKind::BackupJob, id, status)
        };
        lines.push((format!("4/{id}"), line));
    }
    for (id, job) in &world.replication_jobs {
        let line = Resource {
            node: Some(job.target.to_string()),
            ..plain(ResourceKind::ReplicationJob, id, replication_status(job))
        };
        lines.push((format!("5/{id}"), line));
    }
    for (owner, user) in &world.users {
        for name in user.tokens.keys() {
            let status = if user.enabled { "enabled" } else { "disabled" };
            let id = format!("{owner}!{name}");
            lines.push((format!("6/{id}"), plain(ResourceKind::Token, &id, status)));
        }
    }
    lines.extend(firewall::lines(world, ownership));
    for (name, node) in &world.nodes {
        let status = match node.online {
            Some(true) => "online",
            Some(false) => "offline",
            None => "unknown",
        };
        lines.push((
            format!("7/{name}"),
            plain(ResourceKind::Node, name.as_str(), status),
        ));
    }
    lines
}

/// The groups, users, roles, realms or access rules.
fn account_lines(
    world: &World,
    ownership: &Ownership,
    kind: ResourceKind,
) -> Vec<(String, Resource)> {
    let lines = accounts::lines(world, kind.word()).into_iter();
    lines
        .map(|(id, status)| {
            let id = format!("{}/{id}", kind.word());
            (format!("8/{id}"), plain(ownership, kind, id, status))
        })
        .collect()
}

/// A guest's state in a word.
pub fn guest_status(guest: &Guest) -> &'static str {
    match guest.status {
        _ if guest.template => "template",
        Status::Running => "running",
        Status::Stopped => "stopped",
        Status::Unknown => "unknown",
    }
}

fn live(world: &World, id: &str) -> Option<Live> {
    let (kind, name) = id.split_once('/')?;
    match kind {
        "vm" | "ct" => {
            let vmid = name.parse().ok()?;
            let guest = world.guests.get(&vmid).filter(|g| g.kind.word() == kind)?;
            let unread = world
                .unreadable(&Part::GuestConfig(vmid))
                .map(str::to_owned);
            let restorable = Restorable::of(vmid, &Backups::new(world));
            Some(Live::Guest(Arc::clone(guest), restorable, unread))
        }
        "storage" => {
            let storage = world.storages.values().find(|s| s.id.as_str() == name)?;
            let seen = world
                .nodes
                .iter()
                .filter_map(|(node, has)| {
                    Some((node.to_string(), has.storages.get(&storage.id)?.clone()))
                })
                .collect();
            Some(Live::Storage(Arc::clone(storage), seen))
        }
        "pool" => {
            let (id, pool) = world.pools.iter().find(|(id, _)| id.as_str() == name)?;
            Some(Live::Pool(id.to_string(), Arc::clone(pool)))
        }
        "backup-job" => {
            let (id, job) = world.backup_jobs.get_key_value(name)?;
            let guests = world.guests.values();
            let selected = guests.filter(|guest| crate::health::selects(world, job, guest));
            Some(Live::BackupJob(
                id.clone(),
                Arc::clone(job),
                selected.map(|guest| guest.entity()).collect(),
            ))
        }
        "replication-job" => {
            let (id, job) = world.replication_jobs.get_key_value(name)?;
            Some(Live::ReplicationJob(id.clone(), Arc::clone(job)))
        }
        "group" | "user" | "role" | "realm" | "acl" => {
            let (facts, members) = accounts::facts(world, kind, name)?;
            Some(Live::Account(facts, members))
        }
        "node" => {
            let (id, node) = world.nodes.iter().find(|(id, _)| id.as_str() == name)?;
            let guests = world.guests.values().filter(|g| g.node == *id).count();
            Some(Live::Node(id.to_string(), Arc::clone(node), guests))
        }
        "snapshot" => {
            let (vmid, name) = name.split_once('/')?;
            let guest = world.guests.get(&vmid.parse().ok()?)?;
            guest
                .config
                .snapshots
                .get(name)
                .cloned()
                .map(Live::Snapshot)
        }
        "token" => {
            let id = TokenId::new(name).ok()?;
            let token = views::token(world, &id)?.clone();
            let enabled = world.users.get(id.owner())?.enabled;
            let object = format!("token/{id}");
            let entries = views::entries_naming(world, &object).map(views::entry_says);
            Some(Live::Token(token, enabled, entries.collect()))
        }
        "alias" | "ipset" | "security-group" | "firewall" => firewall::live(world, id),
        "image" => images(world)
            .find(|(object, _, _)| object == id)
            .map(|(_, _, volume)| Live::Image(volume.clone())),
        _ => None,
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;
    use crate::world::testing::Builder;

    #[test]
    fn snapshots_and_images_are_told_by_the_names_their_documents_have() {
        let world = Builder::new(&["pve1", "pve2"])
            .storage("local", "dir")
            .storage("nas", "nfs")
            .vm(
                104,
                "pve1",
                &[
                    ("ide2", "local:iso/a.iso,media=cdrom"),
                    ("ide0", "nas:iso/b.iso,media=cdrom"),
                ],
            )
            .snapshot(104, "before", &[("memory", "2048"), ("description", "x")])
            .build();
        let owner = Ownership::default();
        let ids = |lines: Vec<(String, Resource)>| -> Vec<String> {
            lines.into_iter().map(|(_, line)| line.id).collect()
        };
        assert_eq!(ids(snapshot_lines(&world, &owner)), ["snapshot/104/before"]);
        assert_eq!(
            ids(image_lines(&world, &owner)),
            ["image/nas:iso/b.iso", "image/pve1/local:iso/a.iso"]
        );
        assert!(
            ids(live_lines(&world, &owner))
                .iter()
                .all(|id| !id.starts_with("image/"))
        );
        let Some(Live::Snapshot(found)) = live(&world, "snapshot/104/before") else {
            panic!("no snapshot")
        };
        assert_eq!(found.section["memory"], "2048");
        let Some(Live::Image(found)) = live(&world, "image/pve1/local:iso/a.iso") else {
            panic!("no image")
        };
        assert_eq!(found.content, "iso");
        for none in [
            "snapshot/104/after",
            "snapshot/105/before",
            "image/local:iso/a.iso",
        ] {
            assert!(live(&world, none).is_none(), "{none}");
        }
    }
}
