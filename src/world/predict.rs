//! Prediction: what an action makes of a world, as Proxmox VE would do it. Plans are judged by it, and runs are checked against it.
//! It never guesses: what cannot be told is an error, and what Proxmox VE would refuse is one too.

mod accounts;
mod backups;
mod clone;
mod cluster;
mod config;
mod demand;
mod firewall;
mod firewall_rules;
mod guests;
mod jobs;
mod migrate;
mod power;
mod realms;
mod replication;
mod restore;
mod snapshots;
mod surprises;
mod template;
mod volumes;

use std::sync::Arc;

use crate::ids::{NodeName, StorageId, Vmid};

use super::action::Action;
use super::model::{Guest, Part, Storage, World};

pub use accounts::is_there as subject_is_there;
pub use backups::taken as backups_taken;
pub use clone::cloned_section;
pub use demand::{Demand, demand};
pub use jobs::displaced;
pub use migrate::{held_by_replication, transfers};
pub use replication::refusals as replication_refusals;
pub use restore::{left_out, restored_to};
pub use snapshots::{snapshot_refused, snapshot_stays};
pub use surprises::surprises;

/// Why an action's outcome cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpredictable {
    /// Proxmox VE would refuse it, or its task would fail.
    #[error("Proxmox VE would refuse this: {0}")]
    Refused(String),
    /// What it would change is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// Something that decides the outcome could not be read.
    #[error("{part} could not be read ({why}), so the outcome cannot be told")]
    Unread {
        /// What.
        part: Part,
        /// Why.
        why: String,
    },
}

/// How the reason of a [`Part::StorageContent`] begins that a predicted change of a storage's place has made unreadable (rule ST12).
pub const REDIRECTED: &str = "this plan changes where the storage is";

/// The options that say where a storage is and how it is reached: wrong, the storage is as good as gone (rule ST12).
pub const WHERE: &[&str] = &[
    "authsupported",
    "base",
    "blocksize",
    "content-dirs",
    "data-pool",
    "datastore",
    "domain",
    "encryption-key",
    "export",
    "fingerprint",
    "fs-name",
    "iscsiprovider",
    "keyring",
    "krbd",
    "monhost",
    "namespace",
    "options",
    "password",
    "path",
    "pool",
    "port",
    "portal",
    "server",
    "share",
    "subdir",
    "target",
    "thinpool",
    "username",
    "vgname",
];

impl World {
    /// The world after an action, as Proxmox VE would make it. What the action does not touch is shared with `self`.
    ///
    /// # Errors
    /// [`Unpredictable`]: Proxmox VE would refuse it, its object is missing, or something that decides the outcome was not read.
    pub fn apply(&self, action: &Action) -> Result<World, Unpredictable> {
        let mut world = self.clone();
        match action {
            Action::CreateGuest {
                kind,
                vmid,
                node,
                pool,
                params,
            } => {
                guests::create(&mut world, *kind, *vmid, node, pool.as_ref(), params)?;
            }
            Action::CloneGuest {
                kind,
                vmid,
                source,
                snapshot,
                node,
                pool,
                name,
                full,
                storage,
                format,
            } => {
                let wish = clone::Wish {
                    kind: *kind,
                    vmid: *vmid,
                    source: *source,
                    snapshot: snapshot.as_ref(),
                    node,
                    pool: pool.as_ref(),
                    name,
                    full: *full,
                    storage: storage.as_ref(),
                    format: format.as_deref(),
                };
                clone::clone(&mut world, &wish)?;
            }
            Action::RestoreGuest {
                kind,
                vmid,
                node,
                pool,
                archive,
                storage,
                unique,
                config,
            } => {
                let wish = restore::Wish {
                    kind: *kind,
                    vmid: *vmid,
                    node,
                    pool: pool.as_ref(),
                    archive,
                    storage: storage.as_ref(),
                    unique: *unique,
                    config,
                };
                restore::restore(&mut world, &wish)?;
            }
            Action::ConvertToTemplate { kind: _, vmid } => {
                template::convert(&mut world, *vmid)?;
            }
            // What is on the drive is not part of the world.
            Action::RegenerateCloudInit { vmid } => config::regenerate(&world, *vmid)?,
            Action::UpdateConfig {
                kind: _,
                vmid,
                set,
                delete,
            } => {
                config::update(&mut world, *vmid, set, delete)?;
            }
            Action::ResizeDisk {
                kind: _,
                vmid,
                slot,
                from: _,
                to,
            } => {
                volumes::resize(&mut world, *vmid, slot, *to)?;
            }
            Action::MoveDisk {
                kind: _,
                vmid,
                slot,
                volume,
                to,
                format,
            } => {
                volumes::relocate(&mut world, *vmid, slot, volume, to, format.as_deref())?;
            }
            Action::DetachDisk {
                kind: _,
                vmid,
                slot,
                volume,
            } => {
                config::detach(&mut world, *vmid, slot, volume)?;
            }
            Action::FreeDisk {
                kind: _,
                vmid,
                slot,
                volume,
            } => {
                config::free(&mut world, *vmid, slot, volume)?;
            }
            Action::SetPower {
                kind: _,
                vmid,
                power,
            } => power::power(&mut world, *vmid, power)?,
            Action::SetHaState {
                kind: _,
                vmid,
                state,
                before: _,
            } => {
                power::ha_state(&mut world, *vmid, state)?;
            }
            Action::RemoveHaResource { kind: _, vmid } => power::remove_ha(&mut world, *vmid)?,
            Action::Migrate {
                kind: _,
                vmid,
                from,
                to,
                running: _,
                with_local_disks,
                target_storage,
            } => {
                migrate::migrate(
                    &mut world,
                    *vmid,
                    from,
                    to,
                    *with_local_disks,
                    target_storage,
                )?;
            }
            Action::DestroyGuest {
                kind: _,
                vmid,
                purge,
            } => {
                guests::destroy(&mut world, *vmid, *purge)?;
            }
            Action::CreateStorage {
                id,
                storage_type,
                params,
            } => {
                cluster::create_storage(&mut world, id, storage_type, params)?;
            }
            Action::UpdateStorage { id, set, delete } => {
                cluster::update_storage(&mut world, id, set, delete)?;
            }
            Action::DeleteStorage { id } => cluster::delete_storage(&mut world, id)?,
            Action::DeleteVolume { node, volume } => volumes::delete(&mut world, node, volume)?,
            Action::DownloadImage {
                node,
                volume,
                source: _,
            } => volumes::download(&mut world, node, volume)?,
            Action::DeleteImage {
                node,
                volume,
                source: _,
            } => volumes::delete(&mut world, node, volume)?,
            Action::CreatePool { id, comment } => {
                cluster::create_pool(&mut world, id, comment.clone())?;
            }
            Action::UpdatePool {
                id,
                comment,
                guests_add,
                guests_remove,
                storages_add,
                storages_remove,
            } => {
                let change = cluster::PoolChange {
                    comment: comment.as_deref(),
                    guests_add,
                    guests_remove,
                    storages_add,
                    storages_remove,
                };
                cluster::update_pool(&mut world, id, &change)?;
            }
            Action::DeletePool { id } => cluster::delete_pool(&mut world, id)?,
            Action::CreateBackupJob { id, params } => jobs::create(&mut world, id, params)?,
            Action::UpdateBackupJob { id, set, delete } => {
                jobs::update(&mut world, id, set, delete)?;
            }
            Action::DeleteBackupJob { id } => jobs::delete(&mut world, id)?,
            Action::TakeSnapshot {
                kind: _,
                vmid,
                name,
                description,
                memory,
            } => snapshots::take(&mut world, *vmid, name, description.as_deref(), *memory)?,
            Action::DescribeSnapshot {
                kind: _,
                vmid,
                name,
                description,
            } => snapshots::describe(&mut world, *vmid, name, description)?,
            Action::DeleteSnapshot {
                kind: _,
                vmid,
                name,
            } => snapshots::delete(&mut world, *vmid, name)?,
            Action::CreateReplicationJob { id, target, params } => {
                replication::create(&mut world, id, target, params)?;
            }
            Action::UpdateReplicationJob { id, set, delete } => {
                replication::update(&mut world, id, set, delete)?;
            }
            Action::DeleteReplicationJob { id } => replication::delete(&mut world, id)?,
            Action::BackUpGuest {
                kind: _,
                vmid,
                node,
                storage,
                notes,
            } => backups::take(&mut world, *vmid, node, storage, notes)?,
            Action::ProtectBackup {
                node,
                volume,
                protected,
            } => backups::protect(&mut world, node, volume, *protected)?,
            Action::DeleteBackup { node, volume } => backups::delete(&mut world, node, volume)?,
            Action::Account(action) => accounts::apply(&mut world, action)?,
            Action::Firewall(action) => firewall::apply(&mut world, action)?,
        }
        Ok(world)
    }
}

fn refused(why: impl Into<String>) -> Unpredictable {
    Unpredictable::Refused(why.into())
}

/// A guest whose configuration was read.
fn guest(world: &World, vmid: Vmid) -> Result<&Arc<Guest>, Unpredictable> {
    let guest = world
        .guests
        .get(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("guest {vmid}")))?;
    let part = Part::GuestConfig(vmid);
    match world.unreadable(&part) {
        Some(why) => Err(Unpredictable::Unread {
            why: why.to_owned(),
            part,
        }),
        None => Ok(guest),
    }
}

/// The same, to be changed; its digest is no longer known.
fn guest_mut(world: &mut World, vmid: Vmid) -> Result<&mut Guest, Unpredictable> {
    guest(world, vmid)?;
    let guest = world
        .guests
        .get_mut(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("guest {vmid}")))?;
    let guest = Arc::make_mut(guest);
    guest.config.digest.clear();
    Ok(guest)
}

/// A storage that is defined.
fn storage<'w>(world: &'w World, id: &StorageId) -> Result<&'w Arc<Storage>, Unpredictable> {
    world
        .storages
        .get(id)
        .ok_or_else(|| Unpredictable::Missing(format!("storage {id}")))
}

/// A storage on which a node may put volumes of this content.
fn usable<'w>(
    world: &'w World,
    id: &StorageId,
    node: &NodeName,
    content: &str,
) -> Result<&'w Arc<Storage>, Unpredictable> {
    let storage = storage(world, id)?;
    if storage.disabled {
        return Err(refused(format!("storage {id} is disabled")));
    }
    if !storage.on_node(node) {
        return Err(refused(format!("node {node} may not use storage {id}")));
    }
    if !storage.content.contains(content) {
        return Err(refused(format!("storage {id} may not hold {content}")));
    }
    Ok(storage)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
