//! Preconditions: what must still be so right before a step, from the world as it will be then.

mod account;

use std::collections::BTreeMap;

use super::model::{Precondition, StepId};
use crate::ids::{GuestKind, ReplicationJobId, Slot, StorageId, Vmid, VolumeId};
use crate::world::{Action, FirewallAction, PowerAction, Status, World};
use crate::world::{safety_copy, views};

/// What earlier steps of the plan wrote, so that later ones know whose digest they continue from.
#[derive(Debug, Default)]
pub(super) struct Written {
    guests: BTreeMap<Vmid, StepId>,
    storages: Option<StepId>,
    made: BTreeMap<Vmid, StepId>,
    /// Whether the datacenter's firewall is on trial by a step of the plan, and not confirmed.
    trial: bool,
}

impl Written {
    /// Remembers what a step writes.
    pub(super) fn note(&mut self, id: StepId, action: &Action) {
        if let Some((_, vmid)) = action.guest()
            && writes_config(action)
        {
            self.guests.insert(vmid, id);
        }
        match action {
            Action::CreateGuest { vmid, .. }
            | Action::CloneGuest { vmid, .. }
            | Action::RestoreGuest { vmid, .. } => {
                self.made.insert(*vmid, id);
            }
            Action::CreateStorage { .. }
            | Action::UpdateStorage { .. }
            | Action::DeleteStorage { .. } => self.storages = Some(id),
            Action::ConvertToTemplate { .. }
            | Action::RegenerateCloudInit { .. }
            | Action::UpdateConfig { .. }
            | Action::ResizeDisk { .. }
            | Action::MoveDisk { .. }
            | Action::DetachDisk { .. }
            | Action::FreeDisk { .. }
            | Action::SetPower { .. }
            | Action::SetHaState { .. }
            | Action::RemoveHaResource { .. }
            | Action::Migrate { .. }
            | Action::DestroyGuest { .. }
            | Action::DeleteVolume { .. }
            | Action::DownloadImage { .. }
            | Action::DeleteImage { .. }
            | Action::CreatePool { .. }
            | Action::UpdatePool { .. }
            | Action::DeletePool { .. }
            | Action::CreateBackupJob { .. }
            | Action::UpdateBackupJob { .. }
            | Action::DeleteBackupJob { .. }
            | Action::TakeSnapshot { .. }
            | Action::DescribeSnapshot { .. }
            | Action::BackUpGuest { .. }
            | Action::ProtectBackup { .. }
            | Action::DeleteBackup { .. }
            | Action::DeleteSnapshot { .. } => {}
            Action::CreateReplicationJob { .. }
            | Action::UpdateReplicationJob { .. }
            | Action::DeleteReplicationJob { .. }
            | Action::Account(_) => {}
            Action::Firewall(action) => match action {
                FirewallAction::BeginTrial { .. } => self.trial = true,
                FirewallAction::ConfirmTrial { .. } => self.trial = false,
                _ => {}
            },
        }
    }
}

/// Whether an action may leave a guest's configuration file other than it was.
fn writes_config(action: &Action) -> bool {
    match action {
        Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::Migrate { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        // Its lock is written into it and taken out again.
        | Action::BackUpGuest { .. }
        | Action::DeleteSnapshot { .. } => true,
        Action::RemoveHaResource { .. }
        | Action::DestroyGuest { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => false,
    }
}

/// The preconditions of an action. `world` is the world right before it; `start` the world as observed.
pub(super) fn preconditions(
    action: &Action,
    world: &World,
    start: &World,
    written: &Written,
) -> Vec<Precondition> {
    let at = Guard {
        world,
        start,
        written,
    };
    match action {
        Action::CreateGuest { vmid, .. } => vec![Precondition::GuestAbsent { vmid: *vmid }],
        // What is restored is the file that the plan was made with.
        Action::RestoreGuest {
            vmid,
            node,
            archive,
            ..
        } => {
            let storage = world.storages.get(archive.storage());
            let file = storage.and_then(|storage| storage.volume(node, archive));
            vec![
                Precondition::GuestAbsent { vmid: *vmid },
                Precondition::VolumeIs {
                    node: node.clone(),
                    volume: archive.clone(),
                    created: file.and_then(|file| file.created),
                },
            ]
        }
        // What is cloned is what the plan was made with.
        Action::CloneGuest {
            kind,
            vmid,
            source,
            snapshot,
            ..
        } => {
            let mut all = vec![Precondition::GuestAbsent { vmid: *vmid }];
            all.extend(at.config(*kind, *source));
            if *kind == GuestKind::Lxc && snapshot.is_none() {
                all.push(Precondition::Status {
                    vmid: *source,
                    status: Status::Stopped,
                });
            }
            all
        }
        Action::ConvertToTemplate { kind, vmid } => {
            let mut all = at.config(*kind, *vmid);
            all.push(Precondition::Status {
                vmid: *vmid,
                status: Status::Stopped,
            });
            all
        }
        Action::RegenerateCloudInit { vmid } => at.config(GuestKind::Qemu, *vmid),
        Action::UpdateConfig { kind, vmid, .. } | Action::ResizeDisk { kind, vmid, .. } => {
            at.config(*kind, *vmid)
        }
        Action::MoveDisk {
            kind,
            vmid,
            slot,
            volume,
            ..
        }
        | Action::DetachDisk {
            kind,
            vmid,
            slot,
            volume,
        }
        | Action::FreeDisk {
            kind,
            vmid,
            slot,
            volume,
        } => {
            let mut all = at.config(*kind, *vmid);
            all.extend(at.slot(*kind, *vmid, slot, volume));
            all
        }
        Action::SetPower { kind, vmid, power } => {
            let mut all = at.guest(*kind, *vmid);
            let status = match power {
                PowerAction::Start => Status::Stopped,
                PowerAction::Shutdown { .. } | PowerAction::Stop | PowerAction::Reboot { .. } => {
                    Status::Running
                }
            };
            all.push(Precondition::Status {
                vmid: *vmid,
                status,
            });
            if matches!(power, PowerAction::Start | PowerAction::Reboot { .. }) {
                all.extend(at.digest(*vmid));
            }
            all
        }
        Action::SetHaState {
            kind, vmid, before, ..
        } => {
            let mut all = at.guest(*kind, *vmid);
            all.push(Precondition::HaState {
                vmid: *vmid,
                state: Some(before.clone()),
            });
            all
        }
        Action::RemoveHaResource { kind, vmid } => {
            let mut all = at.guest(*kind, *vmid);
            let state = world.ha_resources.get(vmid).map(|ha| ha.state.clone());
            all.push(Precondition::HaState { vmid: *vmid, state });
            all
        }
        Action::Migrate {
            kind,
            vmid,
            running,
            ..
        } => {
            let mut all = at.guest(*kind, *vmid);
            let status = if *running {
                Status::Running
            } else {
                Status::Stopped
            };
            all.push(Precondition::Status {
                vmid: *vmid,
                status,
            });
            all
        }
        Action::DestroyGuest { kind, vmid, .. } => {
            let mut all = at.config(*kind, *vmid);
            all.push(Precondition::Status {
                vmid: *vmid,
                status: Status::Stopped,
            });
            all.push(Precondition::HaState {
                vmid: *vmid,
                state: None,
            });
            all.extend(at.safety_copy(*vmid));
            all
        }
        Action::BackUpGuest { kind, vmid, .. } => {
            let mut all = at.config(*kind, *vmid);
            all.push(Precondition::Status {
                vmid: *vmid,
                status: Status::Stopped,
            });
            all
        }
        Action::ProtectBackup { node, volume, .. } | Action::DeleteBackup { node, volume } => {
            let storage = world.storages.get(volume.storage());
            let file = storage.and_then(|storage| storage.volume(node, volume));
            vec![Precondition::BackupIs {
                node: node.clone(),
                volume: volume.clone(),
                vmid: file.and_then(|file| file.vmid),
                created: file.and_then(|file| file.created),
                notes: file.and_then(|file| file.notes.clone()),
            }]
        }
        Action::CreateStorage { id, .. } => vec![Precondition::StorageAbsent { id: id.clone() }],
        Action::UpdateStorage { id, .. } | Action::DeleteStorage { id } => vec![at.storage(id)],
        Action::DeleteVolume { node, volume } => vec![Precondition::VolumeExists {
            node: node.clone(),
            volume: volume.clone(),
        }],
        Action::DownloadImage { node, volume, .. } => vec![Precondition::VolumeAbsent {
            node: node.clone(),
            volume: volume.clone(),
        }],
        Action::DeleteImage { node, volume, .. } => {
            let storage = world.storages.get(volume.storage());
            let file = storage.and_then(|storage| storage.volume(node, volume));
            vec![Precondition::VolumeIs {
                node: node.clone(),
                volume: volume.clone(),
                created: file.and_then(|file| file.created),
            }]
        }
        Action::Account(action) => {
            let checks = account::checks(action, world).into_iter();
            checks.map(Precondition::Account).collect()
        }
        Action::CreatePool { id, .. } => vec![Precondition::PoolAbsent { id: id.clone() }],
        Action::UpdatePool { id, .. } | Action::DeletePool { id } => {
            let pool = world
                .pools
                .get(id)
                .map(|pool| pool.as_ref().clone())
                .unwrap_or_default();
            vec![Precondition::PoolIs {
                id: id.clone(),
                comment: pool.comment,
                guests: pool.guests,
                storages: pool.storages,
            }]
        }
        Action::CreateBackupJob { id, .. } => {
            vec![Precondition::BackupJobAbsent { id: id.clone() }]
        }
        Action::UpdateBackupJob { id, .. } | Action::DeleteBackupJob { id } => {
            let job = world.backup_jobs.get(id.as_str());
            vec![Precondition::BackupJobIs {
                id: id.clone(),
                options: job.map(|job| job.options.clone()).unwrap_or_default(),
            }]
        }
        Action::TakeSnapshot {
            kind,
            vmid,
            name,
            memory,
            ..
        } => {
            let mut all = at.guest(*kind, *vmid);
            all.push(Precondition::SnapshotAbsent {
                vmid: *vmid,
                name: name.clone(),
            });
            if *memory {
                all.push(Precondition::Status {
                    vmid: *vmid,
                    status: Status::Running,
                });
            }
            all
        }
        Action::DescribeSnapshot {
            kind, vmid, name, ..
        }
        | Action::DeleteSnapshot { kind, vmid, name } => {
            let mut all = at.guest(*kind, *vmid);
            let guest = world.guests.get(vmid);
            let snapshot = guest.and_then(|guest| guest.config.snapshots.get(name.as_str()));
            all.push(Precondition::SnapshotIs {
                vmid: *vmid,
                name: name.clone(),
                taken: snapshot.and_then(|snapshot| snapshot.taken),
            });
            all
        }
        Action::CreateReplicationJob { id, .. } => {
            let mut all = at.replicated(id);
            all.push(Precondition::ReplicationJobAbsent { id: id.clone() });
            all
        }
        Action::UpdateReplicationJob { id, .. } | Action::DeleteReplicationJob { id } => {
            let job = world.replication_jobs.get(id.as_str());
            let mut all = at.replicated(id);
            all.push(Precondition::ReplicationJobIs {
                id: id.clone(),
                target: job.map(|job| job.target.clone()),
                options: job.map(|job| job.options.clone()).unwrap_or_default(),
            });
            all
        }
        Action::Firewall(action) => {
            let guest = action.guest();
            let mut all = guest.map_or_else(Vec::new, |(kind, vmid)| at.guest(kind, vmid));
            // First: a trial that ran out is the reason why the options are others.
            if written.trial && guest.is_none() {
                all.push(Precondition::FirewallOnTrial);
            }
            let (place, part) = (action.site().place(), action.part());
            let scope = world.firewalls.scope(&place).ok();
            all.push(Precondition::FirewallIs {
                state: scope.and_then(|scope| scope.state(&part)),
                place,
                part,
            });
            all
        }
    }
}

struct Guard<'a> {
    world: &'a World,
    start: &'a World,
    written: &'a Written,
}

impl Guard<'_> {
    fn guest(&self, kind: GuestKind, vmid: Vmid) -> Vec<Precondition> {
        let guest = self.world.guests.get(&vmid);
        // A guest made by this plan gets its uuid from Proxmox VE; the executor reads it back.
        let birth = if self.written.made.contains_key(&vmid) {
            None
        } else {
            self.start
                .guests
                .get(&vmid)
                .and_then(|guest| guest.config.birth())
        };
        let mut all = vec![Precondition::Identity { kind, vmid, birth }];
        if let Some(guest) = guest {
            all.push(Precondition::OnNode {
                vmid,
                node: guest.node.clone(),
            });
        }
        all
    }

    /// The guest of a replication job, if it is there.
    fn replicated(&self, id: &ReplicationJobId) -> Vec<Precondition> {
        let guest = id.guest().and_then(|vmid| self.world.guests.get(&vmid));
        guest.map_or_else(Vec::new, |guest| self.guest(guest.kind, guest.vmid))
    }

    fn config(&self, kind: GuestKind, vmid: Vmid) -> Vec<Precondition> {
        let mut all = self.guest(kind, vmid);
        all.extend(self.digest(vmid));
        all
    }

    fn digest(&self, vmid: Vmid) -> Option<Precondition> {
        if let Some(after) = self.written.guests.get(&vmid) {
            return Some(Precondition::ConfigDigest {
                vmid,
                digest: None,
                after: Some(*after),
            });
        }
        let digest = &self.start.guests.get(&vmid)?.config.digest;
        (!digest.is_empty()).then(|| Precondition::ConfigDigest {
            vmid,
            digest: Some(digest.clone()),
            after: None,
        })
    }

    /// The copy that an earlier step of the plan took of the guest is there.
    fn safety_copy(&self, vmid: Vmid) -> Option<Precondition> {
        let node = self.world.guests.get(&vmid)?.node.clone();
        let (id, _, note) = safety_copy::just_taken(self.world, vmid)?;
        Some(Precondition::SafetyCopyIs {
            vmid,
            node,
            storage: id.storage().clone(),
            notes: note.to_string(),
        })
    }

    /// The slot holds the volume. After an earlier step gave it another one, its name is known only then, and not demanded.
    fn slot(
        &self,
        kind: GuestKind,
        vmid: Vmid,
        slot: &Slot,
        volume: &VolumeId,
    ) -> Option<Precondition> {
        let guest = self.start.guests.get(&vmid)?;
        let section = guest.config.next_start();
        let held = section
            .get(slot.as_str())
            .and_then(|value| views::disk(kind, slot.as_str(), value))?;
        (held.source.volume() == Some(volume)).then(|| Precondition::SlotHolds {
            vmid,
            slot: slot.clone(),
            volume: volume.clone(),
        })
    }

    fn storage(&self, id: &StorageId) -> Precondition {
        let storage = self.world.storages.get(id);
        let digest = storage
            .map(|storage| storage.digest.clone())
            .filter(|digest| !digest.is_empty() && self.written.storages.is_none());
        Precondition::StorageIs {
            id: id.clone(),
            digest,
            after: self.written.storages,
            options: storage
                .map(|storage| storage.options.clone())
                .unwrap_or_default(),
        }
    }
}
