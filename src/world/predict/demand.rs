//! The space an action needs, by storage and node. Judged by `health::fit`, spent by [`super::volumes`].

use std::collections::BTreeMap;

use crate::ids::{Bytes, GuestKind, NodeName, StorageId, Vmid};
use crate::world::model::World;
use crate::world::views::{self, Source};
use crate::world::{Action, Param};

use super::snapshots::memory_demand;
use super::volumes::{new_disk, new_size, size_of};

/// Space an action needs on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The storage.
    pub storage: StorageId,
    /// The node that writes to it (free space of local storages is counted per node).
    pub node: NodeName,
    /// How much; `None` if the size is not known.
    pub bytes: Option<Bytes>,
}

/// The space an action needs, storage by storage; empty if it needs none or its guest cannot be found.
pub fn demand(world: &World, action: &Action) -> Vec<Demand> {
    match action {
        Action::CreateGuest {
            kind, node, params, ..
        } => {
            let slots = params.iter().filter_map(|(key, value)| match value {
                Param::Plain(value) => Some((key.as_str(), value.as_str())),
                Param::Secret { .. } => None,
            });
            let mut wanted = new_disks(world, *kind, node, slots);
            if *kind == GuestKind::Lxc && !params.contains_key("rootfs") {
                let on = match params.get("storage") {
                    Some(Param::Plain(name)) => name.as_str(),
                    Some(Param::Secret { .. }) | None => "local",
                };
                if let Ok(storage) = StorageId::new(on) {
                    wanted.push(Demand {
                        storage,
                        node: node.clone(),
                        bytes: Some(Bytes(4 * Bytes::GIB)),
                    });
                }
            }
            wanted
        }
        Action::CloneGuest {
            source,
            snapshot,
            node,
            full,
            storage,
            ..
        } => super::clone::demand(
            world,
            *source,
            node,
            snapshot.as_ref(),
            *full,
            storage.as_ref(),
        ),
        Action::RestoreGuest {
            kind,
            node,
            storage,
            config,
            ..
        } => super::restore::demand(*kind, node, config, storage.as_ref()),
        Action::UpdateConfig {
            kind, vmid, set, ..
        } => {
            let Some(guest) = world.guests.get(vmid) else {
                return Vec::new();
            };
            let slots = set.iter().filter_map(|(key, value)| match value {
                Param::Plain(value) => Some((key.as_str(), value.as_str())),
                Param::Secret { .. } => None,
            });
            new_disks(world, *kind, &guest.node, slots)
        }
        Action::ResizeDisk {
            vmid,
            slot,
            from,
            to,
            ..
        } => {
            let Some(guest) = world.guests.get(vmid) else {
                return Vec::new();
            };
            let volume = guest
                .config
                .current
                .get(slot.as_str())
                .and_then(|value| views::disk(guest.kind, slot.as_str(), value))
                .and_then(|d| d.source.data().cloned());
            let Some(volume) = volume else {
                return Vec::new();
            };
            let bytes = Some(Bytes(to.0.saturating_sub(from.0)));
            vec![Demand {
                storage: volume.storage().clone(),
                node: guest.node.clone(),
                bytes,
            }]
        }
        Action::MoveDisk {
            vmid,
            slot,
            volume,
            to,
            ..
        } => {
            let Some(guest) = world.guests.get(vmid) else {
                return Vec::new();
            };
            let written = guest
                .config
                .current
                .get(slot.as_str())
                .and_then(|value| views::disk(guest.kind, slot.as_str(), value))
                .and_then(|d| d.size);
            let bytes = size_of(world, &guest.node, volume, written);
            vec![Demand {
                storage: to.clone(),
                node: guest.node.clone(),
                bytes,
            }]
        }
        Action::Migrate {
            vmid,
            to,
            target_storage,
            ..
        } => migrate_demand(world, *vmid, to, target_storage),
        Action::TakeSnapshot {
            vmid, memory: true, ..
        } => {
            let Some(guest) = world.guests.get(vmid) else {
                return Vec::new();
            };
            let (storage, bytes) = memory_demand(world, guest);
            let demand = storage.map(|storage| Demand {
                storage,
                node: guest.node.clone(),
                bytes: Some(bytes),
            });
            demand.into_iter().collect()
        }
        Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
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
        | Action::TakeSnapshot { memory: false, .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        // What a backup takes is known only at its end; what it takes at most is told by the step itself.
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => Vec::new(),
    }
}

fn new_disks<'a>(
    world: &World,
    kind: GuestKind,
    node: &NodeName,
    slots: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<Demand> {
    slots
        .filter(|(key, _)| views::is_disk_key(kind, key))
        .filter_map(|(_, value)| new_disk(value))
        .map(|disk| Demand {
            bytes: new_size(world, node, &disk),
            storage: disk.storage,
            node: node.clone(),
        })
        .collect()
}

fn migrate_demand(
    world: &World,
    vmid: Vmid,
    to: &NodeName,
    map: &BTreeMap<StorageId, StorageId>,
) -> Vec<Demand> {
    let Some(guest) = world.guests.get(&vmid) else {
        return Vec::new();
    };
    let mut wanted = Vec::new();
    for disk in views::disks(guest.kind, &guest.config.current) {
        let volume = match &disk.source {
            Source::Volume(volume) | Source::CloudInit(volume) => volume,
            Source::Cdrom(_) | Source::Empty | Source::Path(_) => continue,
        };
        let Some(on) = world.storages.get(volume.storage()) else {
            continue;
        };
        if on.shared {
            continue;
        }
        let target = map.get(&on.id).unwrap_or(&on.id);
        let bytes = size_of(world, &guest.node, volume, disk.size);
        wanted.push(Demand {
            storage: target.clone(),
            node: to.clone(),
            bytes,
        });
    }
    wanted
}
