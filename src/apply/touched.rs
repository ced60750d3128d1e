//! Which parts of the world an action touches, so that only those are read before and after it.

use std::collections::BTreeSet;

use crate::ids::{NodeName, StorageId, Vmid};
use crate::world::{Action, World};

/// Parts of the world to read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// These guests: place, state, configuration, pending, snapshots.
    pub guests: BTreeSet<Vmid>,
    /// All storage definitions.
    pub storages: bool,
    /// The content of these storages as these nodes see it.
    pub content: BTreeSet<(NodeName, StorageId)>,
    /// All pools.
    pub pools: bool,
    /// The HA resources and rules.
    pub ha: bool,
    /// Backup and replication jobs.
    pub jobs: bool,
    /// The access control list.
    pub acl: bool,
}

impl Touched {
    /// What an action touches in this world.
    pub fn of(action: &Action, world: &World) -> Self {
        let mut touched = Self::default();
        let node_of = |vmid: &Vmid| world.guests.get(vmid).map(|guest| guest.node.clone());
        match action {
            Action::CreateGuest { vmid, pool, .. } => {
                touched.guests.insert(*vmid);
                touched.pools = pool.is_some();
            }
            Action::UpdateConfig { vmid, .. }
            | Action::ResizeDisk { vmid, .. }
            | Action::DetachDisk { vmid, .. } => {
                touched.guests.insert(*vmid);
            }
            Action::MoveDisk {
                vmid, volume, to, ..
            } => {
                touched.guests.insert(*vmid);
                if let Some(node) = node_of(vmid) {
                    touched
                        .content
                        .insert((node.clone(), volume.storage().clone()));
                    touched.content.insert((node, to.clone()));
                }
            }
            Action::FreeDisk { vmid, volume, .. } => {
                touched.guests.insert(*vmid);
                if let Some(node) = node_of(vmid) {
                    touched.content.insert((node, volume.storage().clone()));
                }
            }
            Action::SetPower { vmid, .. } | Action::Migrate { vmid, .. } => {
                touched.guests.insert(*vmid);
            }
            Action::SetHaState { vmid, .. } | Action::RemoveHaResource { vmid, .. } => {
                touched.guests.insert(*vmid);
                touched.ha = true;
            }
            Action::DestroyGuest { vmid, purge, .. } => {
                touched.guests.insert(*vmid);
                touched.pools = true;
                touched.acl = true;
                touched.ha = *purge;
                touched.jobs = *purge;
            }
            Action::CreateStorage { .. } | Action::UpdateStorage { .. } => touched.storages = true,
            Action::DeleteStorage { .. } => {
                touched.storages = true;
                touched.pools = true;
                touched.acl = true;
            }
            Action::DeleteVolume { node, volume } => {
                touched
                    .content
                    .insert((node.clone(), volume.storage().clone()));
            }
            Action::CreatePool { .. } | Action::UpdatePool { .. } => touched.pools = true,
            Action::DeletePool { .. } => {
                touched.pools = true;
                touched.acl = true;
            }
        }
        touched
    }
}
