//! The facets of everything that is no guest: storages, nodes, pools, jobs, entries of the access control list.

use std::collections::BTreeMap;

use crate::ids::{Bytes, GuestKind, NodeName, PoolId, StorageId, Vmid};
use crate::proxmox::property::is_true;
use crate::world::views;
use crate::world::{
    AclEntry, BackupJob, Guest, Node, Part, Pool, ReplicationJob, Status, Storage, StorageState,
    World,
};

use super::protection::job_trouble;
use super::{Category, Entity, Facet, Grade, State};

fn state(grade: Grade, category: Category, rule: &'static str, cause: String) -> State {
    State {
        grade,
        category: Some(category),
        rule,
        causes: vec![cause],
    }
}

/// Writes the facets of a storage.
pub(super) fn storage(world: &World, storage: &Storage, put: &mut dyn FnMut(Facet, State)) {
    put(Facet::Room, room(world, storage));
    if storage.disabled {
        let cause = format!("{} is disabled", storage.id);
        put(
            Facet::Works,
            state(Grade::Lost, Category::Degraded, "ST01", cause),
        );
    }
    let base = storage
        .options
        .get("base")
        .and_then(|base| base.split_once(':'));
    if let Some((base, _)) = base {
        let refers = Facet::Refers(format!("storage/{base}"));
        let there = StorageId::new(base)
            .is_ok_and(|id| world.storages.get(&id).is_some_and(|s| !s.disabled));
        put(
            refers,
            if there {
                State::GOOD
            } else {
                let cause = format!("{} stands on {base}, which is gone or disabled", storage.id);
                state(Grade::Lost, Category::Dangling, "ST06", cause)
            },
        );
    }
}

/// How much room a storage has on a node, as words: good, tight, none.
pub(super) fn room_state(id: &StorageId, on: Option<&NodeName>, space: &StorageState) -> State {
    let place = on.map_or_else(|| id.to_string(), |node| format!("{id} on node {node}"));
    match (space.available, space.total) {
        (Some(Bytes(0)), _) => state(
            Grade::Lost,
            Category::WontFit,
            "ST09",
            format!("nothing is free on {place}"),
        ),
        (Some(available), total) if is_tight(available, total) => {
            let cause = format!("less than 10 GiB or 10 % stays free on {place}");
            state(Grade::Impaired, Category::Tight, "ST09", cause)
        }
        (Some(_), _) => State::GOOD,
        (None, _) => {
            let cause = format!("how much is free on {place} is not known");
            state(Grade::Unknown, Category::Unknown, "ST09", cause)
        }
    }
}

/// Under 10 GiB or 10 % free.
pub(super) fn is_tight(available: Bytes, total: Option<Bytes>) -> bool {
    available.0 < 10 * Bytes::GIB || total.is_some_and(|total| available.0 < total.0 / 10)
}

fn room(world: &World, storage: &Storage) -> State {
    let mut worst = State::GOOD;
    for (name, node) in &world.nodes {
        if !storage.on_node(name) {
            continue;
        }
        let unread = world.unreadable(&Part::NodeStorage(name.clone())).is_some();
        let Some(space) = node.storages.get(&storage.id).filter(|_| !unread) else {
            continue;
        };
        let here = room_state(&storage.id, (!storage.shared).then_some(name), space);
        if here.grade > worst.grade {
            worst = here;
        }
    }
    worst
}

/// What a node's running (or starting at boot) guests are given, in bytes.
pub(super) fn memory_given<'w>(guests: impl Iterator<Item = &'w Guest>) -> u64 {
    guests
        .filter(|g| {
            g.status == Status::Running
                || g.config.current.get("onboot").is_some_and(|v| is_true(v))
        })
        .map(memory_of)
        .sum()
}

/// The memory a guest has or gets at its next start, whichever is more (Proxmox VE's default is 512 MiB for both kinds).
pub fn memory_of(guest: &Guest) -> u64 {
    let key = "memory";
    let now = guest.config.current.get(key).map(String::as_str);
    let waiting = guest.config.pending.iter().find(|p| p.key == key);
    let next = waiting.map_or(now, |pending| pending.value.as_deref());
    [now, next]
        .map(|text| memory_in(guest.kind, text.unwrap_or("512")))
        .into_iter()
        .max()
        .unwrap_or_default()
        .saturating_mul(Bytes::MIB)
}

/// The MiB in a value of `memory`, as a guest of that kind writes it.
pub fn memory_in(kind: GuestKind, text: &str) -> u64 {
    let text = match kind {
        GuestKind::Qemu => text
            .split(',')
            .next()
            .unwrap_or(text)
            .trim_start_matches("current="),
        GuestKind::Lxc => text,
    };
    text.trim().parse().unwrap_or(512)
}

/// The memory given on every node.
pub(super) fn memory_by_node(world: &World) -> BTreeMap<&NodeName, u64> {
    let mut given: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for guest in world.guests.values() {
        *given.entry(&guest.node).or_default() += memory_given(std::iter::once(guest.as_ref()));
    }
    given
}

/// Whether the guests that HA keeps up on a node find memory on the others, should it fail (GU13). The memory that is free there is
/// counted as one, which is the most there can be; the largest guest has to find its own on one of them. `None` without such guests,
/// or where a node's memory is not known (which is told by that node).
fn failover(world: &World, name: &NodeName, given: &BTreeMap<&NodeName, u64>) -> Option<State> {
    let kept_up: Vec<(Vmid, u64)> = world
        .guests
        .values()
        .filter(|guest| guest.node == *name)
        .filter(|guest| {
            let resource = world.ha_resources.get(&guest.vmid);
            resource.is_some_and(|resource| resource.state == "started")
        })
        .map(|guest| (guest.vmid, memory_of(guest)))
        .collect();
    let (largest, most) = kept_up.iter().max_by_key(|(_, memory)| *memory)?;
    let mut spare: Vec<u64> = Vec::new();
    let others = world.nodes.iter().filter(|(other, _)| *other != name);
    for (other, node) in others.filter(|(_, node)| node.online == Some(true)) {
        let used = given.get(other).copied().unwrap_or_default();
        let total = node
            .memory_total
            .filter(|_| world.unreadable(&Part::NodeStatus(other.clone())).is_none())?;
        spare.push(total.0.saturating_sub(used));
    }
    let needed: u64 = kept_up.iter().map(|(_, memory)| memory).sum();
    let all: u64 = spare.iter().sum();
    let whose = match kept_up.len() {
        1 => "its HA guest".to_owned(),
        several => format!("its {several} HA guests"),
    };
    let cause = if spare.is_empty() {
        format!("no other node is online to start {whose}")
    } else if needed > all {
        let is = if kept_up.len() == 1 { "is" } else { "are" };
        let (needed, all) = (Bytes(needed), Bytes(all));
        format!("{whose} {is} given {needed} and the other nodes have {all} to spare")
    } else if spare.iter().all(|spare| spare < most) {
        format!(
            "guest {largest} is given {} and no other node has that much to spare",
            Bytes(*most)
        )
    } else {
        return Some(State::GOOD);
    };
    Some(state(
        Grade::Impaired,
        Category::NotHighlyAvailable,
        "GU13",
        cause,
    ))
}

/// Writes the facets of a node.
pub(super) fn node(
    world: &World,
    name: &NodeName,
    node: &Node,
    given: &BTreeMap<&NodeName, u64>,
    put: &mut dyn FnMut(Facet, State),
) {
    if let Some(state) = failover(world, name, given) {
        put(Facet::Failover, state);
    }
    let given = given.get(name).copied().unwrap_or_default();
    if node.online == Some(false) {
        let cause = format!("node {name} is offline");
        put(
            Facet::Works,
            state(Grade::Lost, Category::Degraded, "CL01", cause),
        );
    }
    let total = node
        .memory_total
        .filter(|_| world.unreadable(&Part::NodeStatus(name.clone())).is_none());
    let room = match total {
        None => state(
            Grade::Unknown,
            Category::Unknown,
            "G1",
            format!("how much memory node {name} has is not known"),
        ),
        Some(total) if given > total.0 => state(
            Grade::Impaired,
            Category::Tight,
            "GU08",
            format!("its guests are given {} of {} memory", Bytes(given), total),
        ),
        Some(_) => State::GOOD,
    };
    put(Facet::Room, room);
}

/// Writes the facets of a pool.
pub(super) fn pool(world: &World, id: &PoolId, pool: &Pool, put: &mut dyn FnMut(Facet, State)) {
    if pool.guests.is_empty() && pool.storages.is_empty() {
        put(Facet::Works, State::GOOD);
    }
    for vmid in &pool.guests {
        match world.guests.get(vmid) {
            Some(guest) => put(Facet::Refers(guest.entity()), State::GOOD),
            None => put(
                Facet::Refers(format!("guest/{vmid}")),
                state(
                    Grade::Lost,
                    Category::Dangling,
                    "GU03",
                    format!("pool {id} names guest {vmid}, which does not exist"),
                ),
            ),
        }
    }
    for storage in &pool.storages {
        let there =
            world.storages.contains_key(storage) || world.unreadable(&Part::Storages).is_some();
        put(
            Facet::Refers(format!("storage/{storage}")),
            if there {
                State::GOOD
            } else {
                state(
                    Grade::Lost,
                    Category::Dangling,
                    "ST06",
                    format!("pool {id} names storage {storage}, which does not exist"),
                )
            },
        );
    }
}

/// Writes the facets of a backup job.
pub(super) fn backup_job(
    world: &World,
    id: &str,
    job: &BackupJob,
    put: &mut dyn FnMut(Facet, State),
) {
    if let Some(why) = job_trouble(world, job) {
        let cause = format!("backup job {id} cannot work: {why}");
        put(
            Facet::Works,
            state(Grade::Lost, Category::Dangling, "ST06", cause),
        );
        return;
    }
    let fleecing = job
        .fleecing_storage
        .as_deref()
        .filter(|_| world.unreadable(&Part::Storages).is_none());
    let lost = fleecing.filter(|name| {
        !StorageId::new(name).is_ok_and(|id| world.storages.get(&id).is_some_and(|s| !s.disabled))
    });
    match lost {
        Some(name) => put(
            Facet::Works,
            state(
                Grade::Lost,
                Category::Dangling,
                "ST06",
                format!(
                    "backup job {id} cannot work: its fleecing storage {name} is gone or disabled"
                ),
            ),
        ),
        None => put(Facet::Works, State::GOOD),
    }
}

/// Writes the facets of a replication job.
pub(super) fn replication_job(
    world: &World,
    id: &str,
    job: &ReplicationJob,
    put: &mut dyn FnMut(Facet, State),
) {
    // It does its last work: what is lost with it is told of the guest.
    if job.removing {
        return;
    }
    let lost = match world.guests.get(&job.guest) {
        None => Some(format!(
            "replication {id} is for guest {}, which does not exist",
            job.guest
        )),
        Some(guest) => replication_trouble(world, guest, &job.target)
            .map(|why| format!("replication {id} cannot work: {why}")),
    };
    put(
        Facet::Works,
        match lost {
            Some(cause) => state(Grade::Lost, Category::Unprotected, "ST06", cause),
            None => State::GOOD,
        },
    );
}

fn replication_trouble(world: &World, guest: &Guest, target: &NodeName) -> Option<String> {
    if super::guest::unread(world, guest).is_some() || world.unreadable(&Part::Storages).is_some() {
        return None;
    }
    views::replicated_disks(guest).into_iter().find_map(|disk| {
        let volume = disk.source.data()?;
        let slot = &disk.slot;
        match world.storages.get(volume.storage()) {
            None => Some(format!("{slot} on {}", volume.storage())),
            Some(storage) if storage.disabled => {
                Some(format!("{slot} on {}, which is disabled", storage.id))
            }
            Some(storage) if !storage.on_node(target) => Some(format!(
                "{slot} on {}, which target node {target} may not use",
                storage.id
            )),
            Some(storage) if !views::replicates(storage) => Some(format!(
                "{slot} on {}, which is no ZFS pool and cannot be replicated",
                storage.id
            )),
            Some(_) => None,
        }
    })
}

/// The entity of an ACL entry: `/storage/local-zfs ops@pve PVEDatastoreUser`.
pub(super) fn acl_entity(entry: &AclEntry) -> Entity {
    Entity::Acl(format!("{} {} {}", entry.path, entry.subject, entry.role))
}

/// Writes the facets of an ACL entry.
pub(super) fn acl(world: &World, entry: &AclEntry, put: &mut dyn FnMut(Facet, State)) {
    let object = acl_object(entry);
    let gone = match &object {
        AclObject::Guest(vmid) => {
            world.unreadable(&Part::Resources).is_none() && !world.guests.contains_key(vmid)
        }
        AclObject::Storage(id) => {
            world.unreadable(&Part::Storages).is_none() && !world.storages.contains_key(id)
        }
        AclObject::Pool(id) => {
            world.unreadable(&Part::Pools).is_none() && !world.pools.contains_key(id)
        }
        AclObject::Other => false,
    };
    put(
        Facet::Refers(entry.path.clone()),
        if gone {
            state(
                Grade::Lost,
                Category::Dangling,
                "ST06",
                format!("{} does not exist", entry.path),
            )
        } else {
            State::GOOD
        },
    );
}

/// What an ACL path is about, as far as this room knows the object.
pub(super) enum AclObject {
    /// `/vms/104`.
    Guest(Vmid),
    /// `/storage/local`.
    Storage(StorageId),
    /// `/pool/prod`.
    Pool(PoolId),
    /// Anything else.
    Other,
}

/// What an ACL entry is about.
pub(super) fn acl_object(entry: &AclEntry) -> AclObject {
    let mut parts = entry.path.trim_start_matches('/').splitn(2, '/');
    match (parts.next(), parts.next()) {
        (Some("vms"), Some(id)) => id.parse().map_or(AclObject::Other, AclObject::Guest),
        (Some("storage"), Some(id)) => {
            StorageId::new(id).map_or(AclObject::Other, AclObject::Storage)
        }
        (Some("pool"), Some(id)) => PoolId::new(id).map_or(AclObject::Other, AclObject::Pool),
        _ => AclObject::Other,
    }
}
