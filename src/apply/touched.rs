//! Which parts of the world an action touches, so that only those are read before and after it.

use std::collections::BTreeSet;

use crate::ids::{NodeName, StorageId, Vmid};
use crate::plan::{Precondition, Step};
use crate::world::firewall::{FirewallPart, Place};
use crate::world::predict::restored_to;
use crate::world::{AccountAction, Action, Param, Params, Part, World, views};

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
    /// Of the users with their tokens, the groups, the roles and the access control list, those that have to be read whole.
    pub accounts: BTreeSet<Part>,
    /// These parts of firewalls.
    pub firewalls: BTreeSet<(Place, FirewallPart)>,
}

impl Touched {
    /// What an action touches in this world.
    pub fn of(action: &Action, world: &World) -> Self {
        let mut touched = Self::default();
        let node_of = |vmid: &Vmid| world.guests.get(vmid).map(|guest| guest.node.clone());
        match action {
            Action::CreateGuest {
                vmid,
                pool,
                node,
                params,
                ..
            } => {
                touched.guests.insert(*vmid);
                touched.pools = pool.is_some();
                touched.allocated(params, node, world);
            }
            Action::CloneGuest {
                vmid,
                source,
                node,
                pool,
                storage,
                ..
            } => {
                touched.guests.extend([*vmid, *source]);
                touched.pools = pool.is_some();
                touched.volumes_of(source, node, world);
                if let Some(storage) = storage {
                    touched.listed(node, storage, world);
                }
            }
            Action::RestoreGuest {
                kind,
                vmid,
                node,
                pool,
                archive,
                storage,
                config,
                ..
            } => {
                touched.guests.insert(*vmid);
                touched.pools = pool.is_some();
                for storage in restored_to(*kind, config, storage.as_ref()) {
                    touched.listed(node, &storage, world);
                }
                // That the backup is still there is asked in any case.
                let shared = world.storages.get(archive.storage()).filter(|on| on.shared);
                let under = shared
                    .and_then(|on| on.volumes.keys().next())
                    .unwrap_or(node);
                touched
                    .content
                    .insert((under.clone(), archive.storage().clone()));
            }
            Action::ConvertToTemplate { vmid, .. } => {
                touched.guests.insert(*vmid);
                if let Some(node) = node_of(vmid) {
                    touched.volumes_of(vmid, &node, world);
                }
            }
            Action::UpdateConfig { vmid, set, .. } => {
                touched.guests.insert(*vmid);
                if let Some(node) = node_of(vmid) {
                    touched.allocated(set, &node, world);
                }
            }
            Action::ResizeDisk { vmid, .. }
            | Action::DetachDisk { vmid, .. }
            | Action::RegenerateCloudInit { vmid } => {
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
            Action::SetPower { vmid, .. } => {
                touched.guests.insert(*vmid);
            }
            Action::Migrate {
                vmid,
                to,
                target_storage: map,
                ..
            } => {
                touched.guests.insert(*vmid);
                // A job to its target turns round.
                touched.jobs = world
                    .replication_jobs
                    .values()
                    .any(|job| job.guest == *vmid);
                // Where its local volumes come from and go to: a later step has to find them.
                let local: BTreeSet<&StorageId> = world
                    .guests
                    .get(vmid)
                    .into_iter()
                    .flat_map(|guest| views::disks(guest.kind, &guest.config.current))
                    .filter_map(|disk| Some(disk.source.volume()?.storage().clone()))
                    .filter_map(|id| world.storages.get_key_value(&id))
                    .filter(|(_, on)| !on.shared)
                    .map(|(id, _)| id)
                    .collect();
                for id in local {
                    if let Some(node) = node_of(vmid) {
                        touched.listed(&node, id, world);
                    }
                    touched.listed(to, map.get(id).unwrap_or(id), world);
                }
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
            Action::BackUpGuest {
                vmid,
                node,
                storage,
                ..
            } => {
                touched.guests.insert(*vmid);
                touched.copies(node, storage, world);
            }
            Action::TakeSnapshot { vmid, .. }
            | Action::DescribeSnapshot { vmid, .. }
            | Action::DeleteSnapshot { vmid, .. } => {
                touched.guests.insert(*vmid);
            }
            Action::CreateStorage { .. } | Action::UpdateStorage { .. } => touched.storages = true,
            Action::DeleteStorage { .. } => {
                touched.storages = true;
                touched.pools = true;
                touched.acl = true;
            }
            Action::DeleteVolume { node, volume }
            | Action::DownloadImage { node, volume, .. }
            | Action::DeleteImage { node, volume, .. } => {
                touched
                    .content
                    .insert((node.clone(), volume.storage().clone()));
            }
            Action::ProtectBackup { node, volume, .. } | Action::DeleteBackup { node, volume } => {
                touched.copies(node, volume.storage(), world);
            }
            Action::CreatePool { .. } | Action::UpdatePool { .. } => touched.pools = true,
            Action::DeletePool { .. } => {
                touched.pools = true;
                touched.acl = true;
            }
            Action::CreateBackupJob { .. }
            | Action::UpdateBackupJob { .. }
            | Action::DeleteBackupJob { .. } => touched.jobs = true,
            Action::CreateReplicationJob { id, .. }
            | Action::UpdateReplicationJob { id, .. }
            | Action::DeleteReplicationJob { id } => {
                touched.jobs = true;
                touched.guests.extend(id.guest());
            }
            Action::Account(action) => {
                touched.accounts = parts(action).iter().cloned().collect();
                touched.acl = touched.accounts.contains(&Part::Acl);
            }
            Action::Firewall(action) => {
                touched.guests.extend(action.guest().map(|(_, vmid)| vmid));
                touched
                    .firewalls
                    .insert((action.site().place(), action.part()));
            }
        }
        touched
    }

    /// What an action touches, and what its preconditions are about besides.
    pub fn by(step: &Step, world: &World) -> Self {
        let mut touched = Self::of(&step.action, world);
        for precondition in &step.preconditions {
            if let Precondition::SafetyCopyIs { node, storage, .. } = precondition {
                touched.copies(node, storage, world);
            }
            if let Precondition::FirewallOnTrial = precondition {
                let options = (Place::Cluster, FirewallPart::Options);
                touched.firewalls.insert(options);
            }
        }
        touched
    }

    /// Where a storage's backups are listed for a node. They are asked for in any case: unread, nothing may be done.
    fn copies(&mut self, node: &NodeName, storage: &StorageId, world: &World) {
        let shared = world.storages.get(storage).filter(|on| on.shared);
        let under = shared
            .and_then(|on| on.volumes.keys().next())
            .unwrap_or(node);
        self.content.insert((under.clone(), storage.clone()));
    }

    /// The storages on which new values may make volumes, so that the steps after this one know of them.
    fn allocated(&mut self, set: &Params, node: &NodeName, world: &World) {
        for param in set.values() {
            let Param::Plain(text) = param else { continue };
            let storage = text
                .split_once(':')
                .and_then(|(storage, _)| StorageId::new(storage).ok());
            if let Some(storage) = storage.filter(|id| world.storages.contains_key(id)) {
                self.listed(node, &storage, world);
            }
        }
    }

    /// The storages that a guest's volumes lie on.
    fn volumes_of(&mut self, vmid: &Vmid, node: &NodeName, world: &World) {
        let Some(guest) = world.guests.get(vmid) else {
            return;
        };
        let snapshots = guest.config.snapshots.values();
        let sections = snapshots.map(|snapshot| &snapshot.section);
        for section in sections.chain([&guest.config.current]) {
            for disk in views::disks(guest.kind, section) {
                if let Some(volume) = disk.source.volume() {
                    self.listed(node, volume.storage(), world);
                }
            }
        }
    }

    /// A storage's content at a node, if it could be read so far: what nobody may list is not asked for again.
    fn listed(&mut self, node: &NodeName, storage: &StorageId, world: &World) {
        let shared = world.storages.get(storage).filter(|on| on.shared);
        let under = shared
            .and_then(|on| on.volumes.keys().next())
            .unwrap_or(node);
        let part = Part::StorageContent(under.clone(), storage.clone());
        if world.completeness.contains_key(&part) && world.unreadable(&part).is_none() {
            self.content.insert((under.clone(), storage.clone()));
        }
    }
}

/// What an action on accounts changes, and what goes with it.
fn parts(action: &AccountAction) -> &'static [Part] {
    match action {
        AccountAction::CreateGroup { .. } | AccountAction::UpdateGroup { .. } => &[Part::Groups],
        AccountAction::DeleteGroup { .. } => &[Part::Groups, Part::Acl],
        AccountAction::CreateUser { .. } | AccountAction::UpdateUser { .. } => {
            &[Part::Users, Part::Groups]
        }
        AccountAction::DeleteUser { .. } => &[Part::Users, Part::Groups, Part::Acl],
        AccountAction::CreateToken { .. } => &[Part::Users],
        AccountAction::UpdateToken { .. } | AccountAction::DeleteToken { .. } => {
            &[Part::Users, Part::Acl]
        }
        AccountAction::CreateRole { .. } => &[Part::Roles],
        AccountAction::UpdateRole { .. } | AccountAction::DeleteRole { .. } => {
            &[Part::Roles, Part::Acl]
        }
        AccountAction::CreateRealm { .. } | AccountAction::UpdateRealm { .. } => {
            &[Part::Realms, Part::RealmSettings]
        }
        // Who can no longer log in is told before.
        AccountAction::DeleteRealm { .. } => &[Part::Realms, Part::RealmSettings, Part::Users],
        AccountAction::Grant { .. } | AccountAction::Revoke { .. } => &[Part::Acl],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GuestKind;
    use crate::world::testing::{Builder, node, storage_id, vmid};

    #[test]
    fn what_a_new_guest_allocates_is_listed_again_so_that_its_start_can_be_predicted() {
        let world = Builder::new(&["pve1", "pve2"])
            .storage("ceph", "rbd")
            .storage("local-zfs", "zfspool")
            .build();
        let params = [
            ("scsi0", "local-zfs:8"),
            ("scsi1", "ceph:4"),
            ("description", "x:y"),
        ];
        let create = Action::CreateGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(900),
            node: node("pve2"),
            pool: None,
            params: params
                .iter()
                .map(|(k, v)| ((*k).to_owned(), Param::Plain((*v).to_owned())))
                .collect(),
        };
        let read: BTreeSet<StorageId> = Touched::of(&create, &world)
            .content
            .into_iter()
            .map(|(_, storage)| storage)
            .collect();
        assert_eq!(
            read,
            BTreeSet::from([storage_id("ceph"), storage_id("local-zfs")])
        );
    }
}
