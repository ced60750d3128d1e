//! Conversion to a template in prediction: the volumes become base volumes under new names, and the guest never runs again.

use crate::ids::{Vmid, VolumeId};
use crate::world::model::{Part, Status, World};
use crate::world::views::{self, Source};

use super::volumes::{self, is_directory};
use super::{Unpredictable, guest, guest_mut, refused};

/// Turns a stopped guest into a template. `protection` is no obstacle (measured on Proxmox VE 9).
pub(super) fn convert(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    volumes::locked(&was)?;
    let part = Part::GuestSnapshots(vmid);
    if let Some(why) = world.unreadable(&part) {
        let why = why.to_owned();
        return Err(Unpredictable::Unread { part, why });
    }
    let who = was.entity();
    if was.template {
        return Err(refused(format!("{who} is a template already")));
    }
    if let Some(name) = was.config.snapshots.keys().next() {
        return Err(refused(format!("{who} has snapshots ({name})")));
    }
    match was.status {
        Status::Stopped => {}
        Status::Running => return Err(refused(format!("{who} is running"))),
        Status::Unknown => return Err(refused(format!("whether {who} runs is not known"))),
    }
    for disk in views::disks(was.kind, &was.config.current) {
        let Source::Volume(volume) = &disk.source else {
            continue;
        };
        let on = super::storage(world, volume.storage())?;
        let Some(base) = base(volume)
            .filter(|_| !disk.unused())
            .filter(|_| can_be_base(&on.storage_type))
        else {
            continue;
        };
        volumes::rename(world, &was.node, volume, &base);
        if let Some(value) = guest_mut(world, vmid)?
            .config
            .current
            .get_mut(disk.slot.as_str())
        {
            *value = volumes::rewrite(value, Some(&base), None);
        }
    }
    let guest = guest_mut(world, vmid)?;
    guest.template = true;
    guest
        .config
        .current
        .insert("template".to_owned(), "1".to_owned());
    Ok(())
}

/// Whether volumes on a storage of this type become base volumes (Proxmox VE: those with the feature `template`); others keep their
/// names.
pub(super) fn can_be_base(storage_type: &str) -> bool {
    is_directory(storage_type) || matches!(storage_type, "zfspool" | "zfs" | "rbd" | "lvmthin")
}

/// The base volume that a guest's volume becomes: `vm-…` is `base-…`, `subvol-…` is `basevol-…`. Of the
/// folders before it only the last stays. `None` if it is one already.
fn base(volume: &VolumeId) -> Option<VolumeId> {
    let (folder, file) = volume
        .name()
        .rsplit_once('/')
        .unwrap_or(("", volume.name()));
    let file = match (file.strip_prefix("vm-"), file.strip_prefix("subvol-")) {
        (Some(rest), _) => format!("base-{rest}"),
        (None, Some(rest)) => format!("basevol-{rest}"),
        (None, None) => return None,
    };
    let own = folder.rsplit('/').next().unwrap_or(folder);
    let name = if own.is_empty() {
        file
    } else {
        format!("{own}/{file}")
    };
    Some(VolumeId::new(volume.storage().clone(), name))
}
