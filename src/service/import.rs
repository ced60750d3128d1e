//! Importing: documents for what a cluster has, such that planning them changes nothing. The world is handed to
//! [`document::import`](crate::document::import), and what comes back is planned before anybody sees it: a field that would change
//! something after all is taken out and told.

mod accounts;
mod firewall;
mod only;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use super::error::ServiceError;
use super::open::Service;
use crate::document::desired::Power;
use crate::document::import::names::{Unnamed, names};
use crate::document::import::{
    self, Held, Imported, LeftOut, LiveApiToken, LiveBackupJob, LiveDisk, LiveGuest, LivePool,
    LiveReplicationJob, LiveSnapshot, LiveStorage,
};
use crate::document::{Kind, ObjectKey};
use crate::ids::{BackupJobId, GuestKind, ReplicationJobId, SnapshotName, TokenId, Vmid};
use crate::plan::Ownership;
use crate::proxmox::property::Domain;
use crate::proxmox::schema::{KeySpec, key_spec};
use crate::world::views::{self, Source};
use crate::world::{Guest, Part, Status, World};
use only::Only;

/// What is to be imported.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// The cluster, where the configuration has several.
    pub cluster: Option<String>,
    /// Only these objects (`vm/104`, `storage/local`) and kinds (`vm`, `storage`, `snapshot`, …). Empty: everything but snapshots, which are
    /// imported only where they are asked for.
    pub only: Vec<String>,
    /// Also write whether guests run.
    pub power: bool,
}

/// An object that was imported.
#[derive(Debug, Clone)]
pub struct ImportedObject {
    /// Its document's kind and name.
    pub key: ObjectKey,
    /// The live object: `vm/104`.
    pub object: String,
    /// The document's text.
    pub text: String,
    /// The document as a value.
    pub value: serde_json::Value,
    /// What is there and is not in the document.
    pub left_out: Vec<LeftOut>,
    /// The source whose document manages the object already, if one does.
    pub managed_by: Option<String>,
}

/// Something that could not be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotImported {
    /// What: an object, or a part of the world.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What an import came to.
#[derive(Debug, Clone)]
pub struct Import {
    /// The cluster.
    pub cluster: String,
    /// The documents, in the order of kinds and ids.
    pub objects: Vec<ImportedObject>,
    /// What is missing.
    pub missing: Vec<NotImported>,
}

/// A kind of object, by the word it is named with.
const WORDS: [(&str, Kind); 17] = [
    ("storage", Kind::Storage),
    ("pool", Kind::Pool),
    ("backup-job", Kind::BackupJob),
    ("replication-job", Kind::ReplicationJob),
    ("alias", Kind::FirewallAlias),
    ("ipset", Kind::IpSet),
    ("security-group", Kind::SecurityGroup),
    ("firewall", Kind::Firewall),
    ("vm", Kind::VirtualMachine),
    ("ct", Kind::Container),
    ("snapshot", Kind::Snapshot),
    ("group", Kind::Group),
    ("user", Kind::User),
    ("role", Kind::Role),
    ("acl", Kind::AccessRule),
    ("token", Kind::ApiToken),
    ("realm", Kind::Realm),
];

/// Why no document is written for a file on a storage.
const NO_IMAGES: &str = "images are not imported: nobody can tell from a file on a storage where it came from and which checksum it has; write its document by hand (`bailiwick explain Image`), and the file is taken over as it is";

fn word(kind: Kind) -> &'static str {
    WORDS
        .iter()
        .find(|(_, of)| *of == kind)
        .map_or("object", |(word, _)| word)
}

impl Service {
    /// Documents for what a cluster has. Nothing is written, neither there nor here.
    pub async fn import(&self, request: &ImportRequest) -> Result<Import, ServiceError> {
        let cluster = self.cluster(request.cluster.as_deref())?;
        let world = self.observe(cluster).await?;
        let world = self.with_all_firewalls(cluster, world).await?;
        let ownership = self.ownership(&cluster.name).await?;
        let stored = self.store.documents(&cluster.name).await?;
        let stored = stored
            .iter()
            .filter_map(|row| {
                format!("{}/{}", row.document.kind, row.document.name)
                    .parse()
                    .ok()
            })
            .collect();
        import_world(&Live {
            world: &world,
            ownership: &ownership,
            stored: &stored,
            name_cluster: self.configuration.clusters.len() > 1,
            request,
        })
    }
}

/// What an import looks at.
pub struct Live<'a> {
    /// The cluster.
    pub world: &'a World,
    /// Who owns what already.
    pub ownership: &'a Ownership,
    /// The documents that are stored.
    pub stored: &'a BTreeSet<ObjectKey>,
    /// Whether documents have to say which cluster they are about.
    pub name_cluster: bool,
    /// What is asked for.
    pub request: &'a ImportRequest,
}

/// An object while it is imported.
struct Candidate {
    imported: Imported,
    source: String,
    managed: bool,
}

/// Imports from a world.
///
/// # Errors
/// [`ServiceError::Request`] when something is named that is not there.
pub fn import_world(live: &Live<'_>) -> Result<Import, ServiceError> {
    let only = Only::read(&live.request.only)?;
    let objects = objects(live);
    only.all_there(live.world, &objects)?;
    let mut missing = parts(live.world, &only);
    missing.extend(firewall::unread(live.world, &only));
    let mut candidates = Vec::new();
    for (object, name) in objects.iter().zip(names_of(live, &objects)) {
        if !only.wants(object) {
            continue;
        }
        match one(live, object, name) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => missing.push(NotImported {
                what: shown(object),
                why,
            }),
        }
    }
    settle::settle(live, &mut candidates, &mut missing)?;
    Ok(Import {
        cluster: live.world.cluster.to_string(),
        objects: candidates.into_iter().map(finished).collect(),
        missing,
    })
}

fn finished(candidate: Candidate) -> ImportedObject {
    let Candidate {
        imported,
        source,
        managed,
    } = candidate;
    ImportedObject {
        key: imported.key.clone(),
        object: imported.object.clone(),
        text: imported.text(),
        value: imported.value(),
        left_out: imported.left_out().collect(),
        managed_by: managed.then_some(source),
    }
}

fn shown(object: &Unnamed) -> String {
    format!("{}/{}", word(object.kind), object.id)
}

/// Everything there is, guests and their snapshots last.
fn objects(live: &Live<'_>) -> Vec<Unnamed> {
    let managed_by = |object: &str, kind: Kind| {
        let owned = live.ownership.objects.get(object)?;
        let key: ObjectKey = owned.document.parse().ok()?;
        (key.kind == kind).then_some(key.name)
    };
    let object = |kind: Kind, id: String, name: Option<String>| Unnamed {
        managed_by: managed_by(&format!("{}/{id}", word(kind)), kind),
        kind,
        id,
        name,
    };
    let world = live.world;
    let storages = world
        .storages
        .keys()
        .map(|id| (Kind::Storage, id.to_string()));
    let pools = world.pools.keys().map(|id| (Kind::Pool, id.to_string()));
    let jobs = world.backup_jobs.keys();
    let jobs = jobs.map(|id| (Kind::BackupJob, id.clone()));
    let copies = world.replication_jobs.keys();
    let copies = copies.map(|id| (Kind::ReplicationJob, id.clone()));
    let mut all: Vec<Unnamed> = storages
        .chain(pools)
        .chain(jobs)
        .chain(copies)
        .chain(accounts::objects(world))
        .map(|(kind, id)| object(kind, id.clone(), Some(id)))
        .collect();
    for (user, tokens) in world.users.iter().map(|(id, user)| (id, &user.tokens)) {
        let tokens = tokens.keys();
        all.extend(tokens.map(|name| {
            let id = format!("{user}!{name}");
            object(Kind::ApiToken, id, Some(name.clone()))
        }));
    }
    all.extend(firewall::objects(world).map(|(kind, id)| {
        let name = (!id.contains('/')).then(|| id.clone());
        object(kind, id, name)
    }));
    for kind in [GuestKind::Qemu, GuestKind::Lxc] {
        let of_kind = match kind {
            GuestKind::Qemu => Kind::VirtualMachine,
            GuestKind::Lxc => Kind::Container,
        };
        let guests = world.guests.values().filter(|guest| guest.kind == kind);
        all.extend(guests.map(|guest| object(of_kind, guest.vmid.to_string(), guest.name.clone())));
    }
    for guest in world.guests.values() {
        let snapshots = guest.config.snapshots.keys();
        all.extend(snapshots.map(|name| {
            let id = format!("{}/{name}", guest.vmid);
            object(Kind::Snapshot, id, None)
        }));
    }
    all
}

fn names_of(live: &Live<'_>, objects: &[Unnamed]) -> Vec<String> {
    // What a stored document is about already keeps its name; every other stored name is somebody else's.
    names(objects, live.stored)
}

/// The list an object is found in.
fn part_of(kind: Kind) -> Option<Part> {
    Some(match kind {
        Kind::VirtualMachine | Kind::Container | Kind::Snapshot => Part::Resources,
        Kind::Storage | Kind::Image => Part::Storages,
        Kind::Pool => Part::Pools,
        Kind::BackupJob => Part::BackupJobs,
        Kind::ReplicationJob => Part::ReplicationJobs,
        Kind::Group => Part::Groups,
        Kind::User => Part::Users,
        Kind::Role => Part::Roles,
        Kind::AccessRule => Part::Acl,
        Kind::ApiToken => Part::Users,
        Kind::Realm => Part::RealmSettings,
        // Their places are read or not, each by itself.
        Kind::FirewallAlias | Kind::IpSet | Kind::SecurityGroup | Kind::Firewall => {
            return None;
        }
    })
}

/// The lists that could not be read whole.
fn parts(world: &World, only: &Only) -> Vec<NotImported> {
    let lists: [&[Kind]; 11] = [
        &[Kind::VirtualMachine, Kind::Container],
        &[Kind::Storage],
        &[Kind::Pool],
        &[Kind::BackupJob],
        &[Kind::ReplicationJob],
        &[Kind::Group],
        &[Kind::User],
        &[Kind::Role],
        &[Kind::AccessRule],
        &[Kind::ApiToken],
        &[Kind::Realm],
    ];
    lists
        .iter()
        .filter(|kinds| only.wants_any(kinds))
        .filter_map(|kinds| {
            let part = part_of(*kinds.first()?)?;
            let why = world.unreadable(&part)?;
            Some(NotImported {
                what: part.to_string(),
                why: format!(
                    "{why}; there may be more than was imported, and until it can be read whole nothing can be planned on it"
                ),
            })
        })
        .collect()
}

/// The document of one object, not planned yet.
fn one(live: &Live<'_>, object: &Unnamed, name: String) -> Result<Candidate, String> {
    let world = live.world;
    let mut imported = match object.kind {
        Kind::VirtualMachine | Kind::Container => {
            let vmid: Vmid = object
                .id
                .parse()
                .map_err(|error| format!("its number cannot be read: {error}"))?;
            let guest = world.guests.get(&vmid).ok_or("it is gone")?;
            guest_document(live, guest, name)?
        }
        Kind::Storage => {
            let storage = world
                .storages
                .values()
                .find(|storage| storage.id.as_str() == object.id)
                .ok_or("it is gone")?;
            let of = LiveStorage {
                id: &storage.id,
                storage_type: &storage.storage_type,
                options: &storage.options,
            };
            import::storage(name, &of)?
        }
        Kind::Pool => {
            if let Some(why) = world.unreadable(&Part::Pools) {
                return Err(format!("its members are not known for certain: {why}"));
            }
            let (id, pool) = world
                .pools
                .iter()
                .find(|(id, _)| id.as_str() == object.id)
                .ok_or("it is gone")?;
            let of = LivePool {
                id,
                comment: pool.comment.as_deref(),
                storages: &pool.storages,
            };
            let mut imported = import::pool(name, &of)?;
            if !pool.guests.is_empty() {
                imported.notes.push(
                    "Its guests name it in their own documents (`spec.pool`), so that each is said once."
                        .to_owned(),
                );
            }
            imported
        }
        Kind::BackupJob => {
            let job = world.backup_jobs.get(&object.id).ok_or("it is gone")?;
            let id = BackupJobId::new(&object.id)
                .map_err(|error| format!("no document can be about it: {error}"))?;
            if job.options.contains_key("dumpdir") {
                return Err(
                    "it has a `dumpdir`, and such a job only root@pam may change".to_owned(),
                );
            }
            let of = LiveBackupJob {
                id: &id,
                options: &job.options,
            };
            import::backup_job(name, &of)?
        }
        Kind::Snapshot => snapshot_document(live, &object.id, name)?,
        Kind::FirewallAlias | Kind::IpSet | Kind::SecurityGroup | Kind::Firewall => {
            firewall::document(world, object, name)?
        }
        Kind::Image => return Err(NO_IMAGES.to_owned()),
        Kind::Group | Kind::User | Kind::Role | Kind::AccessRule | Kind::Realm => {
            accounts::document(world, object.kind, &object.id, name)?
        }
        Kind::ApiToken => {
            let id = TokenId::new(&object.id)
                .map_err(|error| format!("no document can be about it: {error}"))?;
            let token = views::token(world, &id).ok_or("it is gone")?;
            let of = LiveApiToken {
                id: &id,
                separated: token.separated,
                expires: token.expires,
                comment: token.comment.as_deref(),
            };
            import::api_token(name, &of)?
        }
        Kind::ReplicationJob => {
            let job = world.replication_jobs.get(&object.id).ok_or("it is gone")?;
            let id = ReplicationJobId::new(&object.id)
                .map_err(|error| format!("no document can be about it: {error}"))?;
            if job.removing {
                return Err("it is marked for removal".to_owned());
            }
            let of = LiveReplicationJob {
                id: &id,
                guest: job.guest,
                target: &job.target,
                options: &job.options,
            };
            import::replication_job(name, &of)?
        }
    };
    if live.name_cluster {
        imported.cluster = Some(world.cluster.clone());
    }
    let owned = live.ownership.objects.get(&imported.object);
    Ok(Candidate {
        source: owned.map_or_else(
            || "operator:import".to_owned(),
            |owned| owned.source.clone(),
        ),
        managed: owned.is_some(),
        imported,
    })
}

fn snapshot_document(live: &Live<'_>, id: &str, name: String) -> Result<Imported, String> {
    let (vmid, called) = id.split_once('/').ok_or("it is gone")?;
    let vmid: Vmid = vmid.parse().map_err(|_| "it is gone".to_owned())?;
    let guests = &live.world.guests;
    let snapshot = guests
        .get(&vmid)
        .and_then(|guest| guest.config.snapshots.get(called))
        .ok_or("it is gone")?;
    let called = SnapshotName::new(called)
        .map_err(|error| format!("no document can be about it: {error}"))?;
    if let Some(state) = &snapshot.state {
        return Err(format!("it is unfinished (snapstate `{state}`)"));
    }
    let of = LiveSnapshot {
        vmid,
        name: &called,
        description: snapshot
            .section
            .get("description")
            .map(|text| text.trim_end()),
        memory: snapshot.section.contains_key("vmstate"),
    };
    import::snapshot(name, &of)
}

fn guest_document(live: &Live<'_>, guest: &Guest, name: String) -> Result<Imported, String> {
    let world = live.world;
    if let Some(why) = world.unreadable(&Part::GuestConfig(guest.vmid)) {
        return Err(format!("its configuration cannot be read: {why}"));
    }
    let section = guest.config.next_start();
    let disks = views::disks(guest.kind, &section)
        .into_iter()
        .map(|disk| (disk.slot.clone(), held(world, guest, &section, &disk)))
        .collect();
    let ha = match world.unreadable(&Part::HaResources) {
        Some(_) => Some("whether high availability moves it is not known"),
        None if world.ha_resources.contains_key(&guest.vmid) => {
            Some("high availability says where it runs and whether")
        }
        None => None,
    };
    let pool = guest
        .pool
        .as_ref()
        .filter(|pool| world.pools.contains_key(*pool));
    let power = match guest.status {
        Status::Running => Some(Power::Running),
        Status::Stopped => Some(Power::Stopped),
        Status::Unknown => None,
    };
    let of = LiveGuest {
        kind: guest.kind,
        vmid: guest.vmid,
        node: ha.is_none().then_some(&guest.node),
        pool,
        power: power.filter(|_| live.request.power && ha.is_none() && !guest.template),
        section: &section,
        disks,
    };
    let mut imported = import::guest(name, &of)?;
    if let Some(why) = ha {
        imported.leave_out("node", why);
    }
    if let (Some(pool), None) = (&guest.pool, pool) {
        imported.leave_out("pool", format!("the pool {pool} cannot be read"));
    }
    for pending in &guest.config.pending {
        imported.notes.push(format!(
            "{}: what waits for the next stop and start is written here, not what is in force now.",
            pending.key
        ));
    }
    Ok(imported)
}

/// What a slot holds, and how big it is: what the planner compares with.
fn held(world: &World, guest: &Guest, section: &import::Section, disk: &views::Disk) -> LiveDisk {
    let raw = section.get(disk.slot.as_str()).map_or("", String::as_str);
    let own_drive = raw
        .split(',')
        .any(|part| matches!(part.trim(), "cdrom" | "file=cdrom" | "volume=cdrom"));
    let held = match &disk.source {
        Source::Volume(volume) => Held::Volume(volume.clone()),
        Source::CloudInit(volume) => Held::CloudInit(volume.clone()),
        Source::Cdrom(volume) => Held::Medium(volume.clone()),
        Source::Empty if own_drive => Held::OfTheNode,
        Source::Empty => Held::NoMedium,
        Source::Path(_) => Held::OfTheNode,
    };
    let listed = disk.source.volume().and_then(|volume| {
        let storage = world.storages.get(volume.storage())?;
        Some(storage.volume(&guest.node, volume)?.size)
    });
    LiveDisk {
        held,
        size: listed.or(disk.size),
    }
}

/// How many times each setting was left out, by its family (`net[n].mtu`) and reason, the most frequent first.
pub fn left_out_counts(import: &Import) -> Vec<(String, String, usize)> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for left in import.objects.iter().flat_map(|object| &object.left_out) {
        let (key, option) = match left.setting.split_once('.') {
            Some((key, option)) => (key, format!(".{option}")),
            None => (left.setting.as_str(), String::new()),
        };
        let family = [Domain::Qemu, Domain::Lxc]
            .into_iter()
            .find_map(|domain| key_spec(domain, key))
            .map_or_else(|| key.to_owned(), KeySpec::pattern);
        *counts
            .entry((format!("{family}{option}"), left.why.clone()))
            .or_default() += 1;
    }
    let mut counts: Vec<_> = counts
        .into_iter()
        .map(|((setting, why), count)| (setting, why, count))
        .collect();
    counts.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    counts
}

impl Import {
    /// Whether everything that was asked for is there.
    pub fn whole(&self) -> bool {
        self.missing.is_empty()
    }
}
