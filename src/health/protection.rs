//! What guards a guest: backup jobs that cover it, copies on other nodes, HA that may restart it elsewhere.

use std::collections::BTreeSet;

use crate::ids::{NodeName, StorageId};
use crate::world::views;
use crate::world::{BackupJob, Guest, Part, Selection, Storage, World};

use super::{Category, Facet, Grade, State, guest};

/// Whether backups on this storage count: it may hold them and is not disabled.
pub(super) fn holds_backups(storage: &Storage) -> bool {
    !storage.disabled && storage.content.contains("backup")
}

/// The nodes whose view of a storage's content matters: one for a shared storage, each that may use it otherwise.
pub(super) fn listing_nodes<'w>(world: &'w World, storage: &'w Storage) -> Vec<&'w NodeName> {
    if storage.shared {
        let first = storage.volumes.keys().next();
        return first
            .or_else(|| world.nodes.keys().find(|n| storage.on_node(n)))
            .into_iter()
            .collect();
    }
    world
        .nodes
        .keys()
        .chain(storage.volumes.keys())
        .filter(|n| storage.on_node(n))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Whether a job is for a guest, by its selection and node.
pub fn selects(world: &World, job: &BackupJob, guest: &Guest) -> bool {
    if job.node.as_ref().is_some_and(|node| *node != guest.node) {
        return false;
    }
    match &job.selection {
        Selection::AllBut(not) => !not.contains(&guest.vmid),
        Selection::Guests(these) => these.contains(&guest.vmid),
        Selection::Pool(pool) => world
            .pools
            .iter()
            .any(|(id, p)| id.as_str() == pool && p.guests.contains(&guest.vmid)),
    }
}

/// Why a job cannot write its backups; `None` if it can.
pub(super) fn job_trouble(world: &World, job: &BackupJob) -> Option<String> {
    let target = job.storage.as_deref()?;
    if world.unreadable(&Part::Storages).is_some() {
        return None;
    }
    match StorageId::new(target)
        .ok()
        .and_then(|id| world.storages.get(&id))
    {
        None => Some(format!("its storage {target} is gone")),
        Some(storage) if storage.disabled => Some(format!("its storage {target} is disabled")),
        Some(storage) if !storage.content.contains("backup") => {
            Some(format!("its storage {target} may not hold backups"))
        }
        Some(storage) => job
            .node
            .as_ref()
            .filter(|node| !storage.on_node(node))
            .map(|node| format!("node {node} may not use its storage {target}")),
    }
}

/// Why a job that works elsewhere cannot back up this guest: each guest is backed up by its own node.
fn out_of_reach(world: &World, job: &BackupJob, guest: &Guest) -> Option<String> {
    let target = StorageId::new(job.storage.as_deref()?).ok()?;
    let storage = world.storages.get(&target)?;
    (!storage.on_node(&guest.node))
        .then(|| format!("node {} may not use its storage {target}", guest.node))
}

/// Whether a working, enabled backup job covers a guest.
pub(super) fn covered(world: &World, guest: &Guest) -> State {
    if let Some(why) = world.unreadable(&Part::BackupJobs) {
        return State {
            grade: Grade::Unknown,
            category: Some(Category::Unknown),
            rule: "G1",
            causes: vec![format!("{}: {why}", Part::BackupJobs)],
        };
    }
    let (mut causes, mut disabled) = (Vec::new(), Vec::new());
    for (id, job) in &world.backup_jobs {
        if !selects(world, job, guest) {
            continue;
        }
        if !job.enabled {
            disabled.push(id.as_str());
            continue;
        }
        match job_trouble(world, job).or_else(|| out_of_reach(world, job, guest)) {
            None => return State::GOOD,
            Some(why) => causes.push(format!("backup job {id} cannot work: {why}")),
        }
    }
    // A job that cannot work has lost its storage; without any, the jobs themselves are not there.
    let rule = if causes.is_empty() { "CL03" } else { "ST06" };
    if causes.is_empty() {
        causes.push(match disabled.as_slice() {
            [] => "no enabled backup job covers it".to_owned(),
            [one] => format!("no enabled backup job covers it: {one} is disabled"),
            several => format!(
                "no enabled backup job covers it: {} are disabled",
                several.join(", ")
            ),
        });
    }
    State {
        grade: Grade::Lost,
        category: Some(Category::Unprotected),
        rule,
        causes,
    }
}

/// The copies of a guest on other nodes that replication jobs keep. One that its job no longer keeps up to date still is there; one
/// whose job is marked for removal is not (Proxmox VE removes it with the job). Whether a job can do its work is a facet of the job.
fn copies(world: &World, guest: &Guest) -> Vec<(String, State)> {
    let jobs = world.replication_jobs.iter();
    let own = jobs.filter(|(_, job)| job.guest == guest.vmid && !job.removing);
    own.map(|(id, job)| {
        let state = if job.disabled {
            State {
                grade: Grade::Impaired,
                category: Some(Category::Unprotected),
                rule: "CL04",
                causes: vec![format!(
                    "replication {id} is disabled: its copy on node {} is no longer kept up to date",
                    job.target
                )],
            }
        } else {
            // Where the copy is stands in the good state too, so that its loss can be named.
            State {
                causes: vec![job.target.to_string()],
                ..State::GOOD
            }
        };
        (id.clone(), state)
    })
    .collect()
}

/// Whether HA keeps a guest up: it is managed, and another node can take it with all its volumes.
pub(super) fn highly_available(world: &World, guest: &Guest) -> Option<State> {
    let resource = world.ha_resources.get(&guest.vmid)?;
    if matches!(resource.state.as_str(), "ignored" | "disabled") {
        return Some(State {
            grade: Grade::Lost,
            category: Some(Category::NotHighlyAvailable),
            rule: "GU03",
            causes: vec![format!("its HA state is {}", resource.state)],
        });
    }
    let Some((rule, cause)) = stuck(world, guest) else {
        return Some(State::GOOD);
    };
    Some(State {
        grade: Grade::Impaired,
        category: Some(Category::NotHighlyAvailable),
        rule,
        causes: vec![cause],
    })
}

/// The nodes that HA may bring a guest to, besides its own.
fn candidates<'w>(world: &'w World, guest: &Guest) -> BTreeSet<&'w NodeName> {
    let mut others: BTreeSet<&NodeName> =
        world.nodes.keys().filter(|n| **n != guest.node).collect();
    for rule in world.ha_rules.values() {
        let binds = rule.strict && !rule.disabled && rule.resources.contains(&guest.vmid);
        if binds && !rule.nodes.is_empty() {
            others.retain(|node| rule.nodes.contains(*node));
        }
    }
    others
}

/// What keeps a guest from being started on any other node, with the rule that speaks.
fn stuck(world: &World, guest: &Guest) -> Option<(&'static str, String)> {
    if world.nodes.len() < 2 || guest::unread(world, guest).is_some() {
        return None;
    }
    let replicated: BTreeSet<&NodeName> = world
        .replication_jobs
        .values()
        .filter(|job| job.guest == guest.vmid && !job.disabled && !job.removing)
        .map(|job| &job.target)
        .collect();
    let next = guest::next_start(guest);
    let mut others = candidates(world, guest);
    if others.is_empty() {
        return Some((
            "GU03",
            "HA rules leave it no node but the one it is on".to_owned(),
        ));
    }
    for disk in views::disks(guest.kind, &next) {
        let Some(volume) = disk.source.data() else {
            continue;
        };
        if disk.unused() {
            continue;
        }
        // A storage that is gone is told by the slot itself.
        let Some(storage) = world.storages.get(volume.storage()) else {
            continue;
        };
        others
            .retain(|node| storage.on_node(node) && (storage.shared || replicated.contains(node)));
        if others.is_empty() {
            let mut jobs = world.replication_jobs.values();
            let copied = !storage.shared && jobs.any(|job| job.guest == guest.vmid);
            let cause = format!(
                "no other node can start it with {} on {}",
                disk.slot, storage.id
            );
            return Some((if copied { "CL04" } else { "ST03" }, cause));
        }
    }
    None
}

/// ST14: a volume on a storage that is called shared although every node has its own content.
pub(super) fn movable(world: &World, guest: &Guest) -> Option<State> {
    if guest::unread(world, guest).is_some() {
        return None;
    }
    let wrong = views::disks(guest.kind, &guest.config.current)
        .into_iter()
        .find_map(|disk| {
            let storage = world.storages.get(disk.source.data()?.storage())?;
            falsely_shared(storage).then(|| (disk.slot, storage.id.clone()))
        });
    wrong.map(|(slot, storage)| State {
        grade: Grade::Impaired,
        category: Some(Category::Degraded),
        rule: "ST14",
        causes: vec![format!(
            "{slot} on {storage}, which is marked shared but is each node's own: after a migration the data would be missing"
        )],
    })
}

/// Whether a storage is marked shared against its nature: a type that is always a node's own, or nodes that list different volumes.
pub(super) fn falsely_shared(storage: &Storage) -> bool {
    if !storage.shared {
        return false;
    }
    if matches!(
        storage.storage_type.as_str(),
        "zfspool" | "lvmthin" | "btrfs"
    ) {
        return true;
    }
    let mut views = storage.volumes.values();
    let first = views.next();
    views.any(|other| Some(other) != first)
}

/// Writes the facets of a guest's protection, but for [`Facet::Recoverable`].
pub(super) fn facets(world: &World, guest: &Guest, put: &mut dyn FnMut(Facet, State)) {
    put(Facet::Covered, covered(world, guest));
    for (id, state) in copies(world, guest) {
        put(Facet::Replicated(id), state);
    }
    if let Some(state) = highly_available(world, guest) {
        put(Facet::HighlyAvailable, state);
    }
    if let Some(state) = movable(world, guest) {
        put(Facet::Movable, state);
    }
}
