//! Storages and pools in prediction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{Bytes, NodeName, PoolId, StorageId, Vmid};
use crate::proxmox::property::is_true;
use crate::world::Params;
use crate::world::model::{Completeness, Part, Pool, Section, Storage, Volume, World};
use crate::world::views::{self, Source};

use super::config::plain;
use super::volumes::content_of;
use super::{REDIRECTED, Unpredictable, WHERE, refused};

/// Takes entries of a path out of the access control list.
pub(super) fn drop_acl(world: &mut World, path: &str) {
    if world.acl.iter().any(|entry| entry.path == path) {
        Arc::make_mut(&mut world.acl).retain(|entry| entry.path != path);
    }
}

/// Whether a storage type is shared by nature.
fn shared_by_type(storage_type: &str) -> bool {
    matches!(
        storage_type,
        "nfs"
            | "cifs"
            | "cephfs"
            | "glusterfs"
            | "rbd"
            | "iscsi"
            | "iscsidirect"
            | "zfs"
            | "pbs"
            | "esxi"
    )
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' '])
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// What a storage may hold if nothing is said.
fn default_content(storage_type: &str) -> &'static str {
    match storage_type {
        "pbs" | "cephfs" => "backup",
        "esxi" => "import",
        "zfspool" | "btrfs" => "images,rootdir",
        _ => "images",
    }
}

/// Reads the typed fields of a storage from its options.
fn retype(storage: &mut Storage) {
    let options = &storage.options;
    let content = options
        .get("content")
        .map_or(default_content(&storage.storage_type), String::as_str);
    storage.content = list(content)
        .filter(|c| *c != "none")
        .map(str::to_owned)
        .collect();
    let nodes: BTreeSet<NodeName> = options
        .get("nodes")
        .map(|text| list(text).filter_map(|n| n.parse().ok()).collect())
        .unwrap_or_default();
    storage.nodes = (!nodes.is_empty()).then_some(nodes);
    storage.disabled = options.get("disable").is_some_and(|v| is_true(v));
    storage.shared =
        shared_by_type(&storage.storage_type) || options.get("shared").is_some_and(|v| is_true(v));
}

/// Defines a storage. What lies on it is not known.
pub(super) fn create_storage(
    world: &mut World,
    id: &StorageId,
    storage_type: &str,
    params: &Params,
) -> Result<(), Unpredictable> {
    if world.storages.contains_key(id) {
        return Err(refused(format!("storage {id} already exists")));
    }
    let mut options: Section = plain(params);
    for key in [
        "storage",
        "type",
        "password",
        "keyring",
        "encryption-key",
        "master-pubkey",
    ] {
        options.remove(key);
    }
    let mut storage = Storage {
        id: id.clone(),
        storage_type: storage_type.to_owned(),
        content: BTreeSet::new(),
        nodes: None,
        disabled: false,
        shared: false,
        digest: String::new(),
        options,
        volumes: BTreeMap::new(),
    };
    retype(&mut storage);
    world.storages.insert(id.clone(), Arc::new(storage));
    forget_digests(world);
    Ok(())
}

/// Every storage is in one file with one digest, which a write changes.
fn forget_digests(world: &mut World) {
    for storage in world.storages.values_mut().filter(|s| !s.digest.is_empty()) {
        Arc::make_mut(storage).digest.clear();
    }
}

/// Changes a storage's definition.
pub(super) fn update_storage(
    world: &mut World,
    id: &StorageId,
    set: &Params,
    delete: &BTreeSet<String>,
) -> Result<(), Unpredictable> {
    let was = super::storage(world, id)?.clone();
    let mut now = was.as_ref().clone();
    for key in delete {
        now.options.remove(key);
    }
    for (key, value) in plain(set) {
        if !matches!(
            key.as_str(),
            "password" | "keyring" | "encryption-key" | "master-pubkey"
        ) {
            now.options.insert(key, value);
        }
    }
    retype(&mut now);
    let elsewhere = WHERE.iter().find(|key| {
        let secret = matches!(**key, "password" | "keyring" | "encryption-key");
        let touched = set.contains_key(**key) || delete.contains(**key);
        touched && (secret || was.options.get(**key) != now.options.get(**key))
    });
    if was.shared && !now.shared {
        unshare(world, &mut now);
    }
    let nodes: Vec<NodeName> = world.nodes.keys().cloned().collect();
    if let Some(key) = elsewhere {
        now.volumes.clear();
        for node in nodes {
            let why = format!("{REDIRECTED} ({key}), and nobody knows what is there");
            world.completeness.insert(
                Part::StorageContent(node, id.clone()),
                Completeness::Unreadable { why },
            );
        }
    } else {
        reveal(world, &was, &mut now);
    }
    for node in world.nodes.values_mut() {
        let enabled = !now.disabled;
        if node.storages.get(id).is_some_and(|s| s.enabled != enabled)
            && let Some(space) = Arc::make_mut(node).storages.get_mut(id)
        {
            space.enabled = enabled;
        }
    }
    world.storages.insert(id.clone(), Arc::new(now));
    forget_digests(world);
    Ok(())
}

/// A storage that is no longer shared: every node has its own view of what all of them saw.
fn unshare(world: &World, now: &mut Storage) {
    let Some((from, volumes)) = now
        .volumes
        .iter()
        .next()
        .map(|(n, v)| (n.clone(), v.clone()))
    else {
        return;
    };
    for node in world.nodes.keys().filter(|node| **node != from) {
        now.volumes.insert(node.clone(), volumes.clone());
    }
}

/// A content type that is allowed again shows volumes that Proxmox VE did not list before; guests' configurations say which.
fn reveal(world: &World, was: &Storage, now: &mut Storage) {
    let new: BTreeSet<&String> = now.content.difference(&was.content).collect();
    if new.is_empty() || now.volumes.is_empty() {
        return;
    }
    for guest in world.guests.values() {
        let content = content_of(guest.kind);
        if !new.iter().any(|c| *c == content) {
            continue;
        }
        for disk in views::disks(guest.kind, &guest.config.current) {
            let Source::Volume(volume) = disk.source else {
                continue;
            };
            if volume.storage() != &now.id || now.volume(&guest.node, &volume).is_some() {
                continue;
            }
            let under = super::volumes::listed_under(now, &guest.node);
            if let Some(listing) = under.and_then(|node| now.volumes.get_mut(&node)) {
                let entry = Volume {
                    content: content.to_owned(),
                    format: "raw".to_owned(),
                    size: disk.size.unwrap_or(Bytes(0)),
                    vmid: Some(guest.vmid),
                    parent: None,
                    created: None,
                    protected: false,
                    notes: None,
                };
                Arc::make_mut(listing).insert(volume, entry);
            }
        }
    }
}

/// Removes a storage's definition. Its entries in the access control list and its pool memberships go with it.
pub(super) fn delete_storage(world: &mut World, id: &StorageId) -> Result<(), Unpredictable> {
    super::storage(world, id)?;
    let stands_on = world.storages.values().find(|other| {
        other
            .options
            .get("base")
            .and_then(|base| base.split_once(':'))
            .is_some_and(|(on, _)| on == id.as_str())
    });
    if let Some(other) = stands_on {
        return Err(refused(format!("storage {} stands on {id}", other.id)));
    }
    world.storages.remove(id);
    forget_digests(world);
    drop_acl(world, &format!("/storage/{id}"));
    for pool in world
        .pools
        .values_mut()
        .filter(|pool| pool.storages.contains(id))
    {
        Arc::make_mut(pool).storages.remove(id);
    }
    for node in world
        .nodes
        .values_mut()
        .filter(|node| node.storages.contains_key(id))
    {
        Arc::make_mut(node).storages.remove(id);
    }
    Ok(())
}

/// Makes a pool. A nested one needs the pool above it.
pub(super) fn create_pool(
    world: &mut World,
    id: &PoolId,
    comment: Option<String>,
) -> Result<(), Unpredictable> {
    if world.pools.contains_key(id) {
        return Err(refused(format!("pool {id} already exists")));
    }
    if let Some((above, _)) = id.as_str().rsplit_once('/')
        && !world.pools.keys().any(|pool| pool.as_str() == above)
    {
        return Err(refused(format!("parent pool {above} does not exist")));
    }
    world.pools.insert(
        id.clone(),
        Arc::new(Pool {
            comment,
            ..Pool::default()
        }),
    );
    Ok(())
}

/// What changes about a pool.
pub(super) struct PoolChange<'a> {
    pub(super) comment: Option<&'a str>,
    pub(super) guests_add: &'a BTreeSet<Vmid>,
    pub(super) guests_remove: &'a BTreeSet<Vmid>,
    pub(super) storages_add: &'a BTreeSet<StorageId>,
    pub(super) storages_remove: &'a BTreeSet<StorageId>,
}

/// Changes a pool's comment and members. A guest that joins leaves the pool it was in.
pub(super) fn update_pool(
    world: &mut World,
    id: &PoolId,
    change: &PoolChange<'_>,
) -> Result<(), Unpredictable> {
    let pool = world
        .pools
        .get(id)
        .ok_or_else(|| Unpredictable::Missing(format!("pool {id}")))?;
    let mut now = pool.as_ref().clone();
    for vmid in change.guests_remove {
        if !now.guests.remove(vmid) {
            return Err(refused(format!(
                "guest {vmid} is not a member of pool {id}"
            )));
        }
        set_pool(world, *vmid, None);
    }
    for storage in change.storages_remove {
        if !now.storages.remove(storage) {
            return Err(refused(format!(
                "storage {storage} is not a member of pool {id}"
            )));
        }
    }
    for vmid in change.guests_add {
        if !world.guests.contains_key(vmid) {
            return Err(Unpredictable::Missing(format!("guest {vmid}")));
        }
        if !now.guests.insert(*vmid) {
            return Err(refused(format!(
                "guest {vmid} is already a member of pool {id}"
            )));
        }
        for other in world
            .pools
            .values_mut()
            .filter(|other| other.guests.contains(vmid))
        {
            Arc::make_mut(other).guests.remove(vmid);
        }
        set_pool(world, *vmid, Some(id.clone()));
    }
    for storage in change.storages_add {
        if !now.storages.insert(storage.clone()) {
            return Err(refused(format!(
                "storage {storage} is already a member of pool {id}"
            )));
        }
    }
    if let Some(comment) = change.comment {
        now.comment = (!comment.is_empty()).then(|| comment.to_owned());
    }
    world.pools.insert(id.clone(), Arc::new(now));
    Ok(())
}

fn set_pool(world: &mut World, vmid: Vmid, pool: Option<PoolId>) {
    if let Some(guest) = world.guests.get_mut(&vmid) {
        Arc::make_mut(guest).pool = pool;
    }
}

/// Removes an empty pool with its entries in the access control list.
pub(super) fn delete_pool(world: &mut World, id: &PoolId) -> Result<(), Unpredictable> {
    let pool = world
        .pools
        .get(id)
        .ok_or_else(|| Unpredictable::Missing(format!("pool {id}")))?;
    if !pool.guests.is_empty() || !pool.storages.is_empty() {
        return Err(refused(format!("pool {id} is not empty")));
    }
    let below = format!("{id}/");
    if let Some(nested) = world
        .pools
        .keys()
        .find(|other| other.as_str().starts_with(&below))
    {
        return Err(refused(format!("pool {nested} is inside pool {id}")));
    }
    world.pools.remove(id);
    drop_acl(world, &format!("/pool/{id}"));
    Ok(())
}
