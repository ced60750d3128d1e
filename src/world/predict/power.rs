//! Power and HA in prediction: what starts, stops or is asked of HA, and what a start makes true that waited for it.

use std::sync::Arc;

use crate::ids::{NodeName, Vmid, VolumeId};
use crate::world::PowerAction;
use crate::world::model::{Part, Status, World};
use crate::world::views::{self, Parent, Source};

use super::config::apply_pending;
use super::guests::forget_in_rules;
use super::volumes::{self, content_of};
use super::{Unpredictable, guest, guest_mut, refused};

/// Starts, shuts down, stops or reboots a guest.
pub(super) fn power(
    world: &mut World,
    vmid: Vmid,
    action: &PowerAction,
) -> Result<(), Unpredictable> {
    let was = guest(world, vmid)?.clone();
    if let Some(ha) = world.ha_resources.get(&vmid)
        && ha.state != "ignored"
    {
        return Err(refused(format!(
            "HA manages {}: its power is changed through HA",
            was.entity()
        )));
    }
    volumes::locked(&was)?;
    match action {
        PowerAction::Start if was.status == Status::Running => {
            Err(refused(format!("{} is already running", was.entity())))
        }
        PowerAction::Start => start(world, vmid),
        PowerAction::Shutdown { .. } | PowerAction::Stop => {
            guest_mut(world, vmid)?.status = Status::Stopped;
            Ok(())
        }
        PowerAction::Reboot { .. } if was.status == Status::Stopped => {
            Err(refused(format!("{} is not running", was.entity())))
        }
        PowerAction::Reboot { .. } => start(world, vmid),
    }
}

/// Everything pending comes into force, then the guest runs, if its storages and bridges let it.
fn start(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    apply_pending(world, vmid)?;
    let starting = guest(world, vmid)?.clone();
    if starting.template {
        return Err(refused(format!("{} is a template", starting.entity())));
    }
    for disk in views::disks(starting.kind, &starting.config.current) {
        let Some(volume) = disk.source.volume().filter(|_| !disk.unused()) else {
            continue;
        };
        let content = match &disk.source {
            Source::Cdrom(volume) => views::file_content(volume).unwrap_or("images"),
            Source::Volume(_) | Source::CloudInit(_) | Source::Empty | Source::Path(_) => {
                content_of(starting.kind)
            }
        };
        super::usable(world, volume.storage(), &starting.node, content).map_err(|why| {
            refused(format!(
                "{} cannot start: {}: {why}",
                starting.entity(),
                disk.slot
            ))
        })?;
        let made_anew = matches!(disk.source, Source::CloudInit(_));
        if !made_anew && is_missing(world, &starting.node, volume) {
            return Err(refused(format!(
                "{} cannot start: {}: {volume} does not exist",
                starting.entity(),
                disk.slot
            )));
        }
    }
    let network = Part::NodeNetwork(starting.node.clone());
    if world.unreadable(&network).is_none() {
        let bridges = world.nodes.get(&starting.node).map(|n| &n.bridges);
        let missing = views::nics(&starting.config.current)
            .into_iter()
            .filter_map(|nic| nic.bridge)
            .find(|bridge| bridges.is_some_and(|b| !b.contains(bridge)));
        if let Some(bridge) = missing {
            return Err(refused(format!(
                "{} cannot start: node {} has no bridge {bridge}",
                starting.entity(),
                starting.node
            )));
        }
    }
    guest_mut(world, vmid)?.status = Status::Running;
    Ok(())
}

/// Whether a storage was listed and a volume is not on it.
fn is_missing(world: &World, node: &NodeName, volume: &VolumeId) -> bool {
    let Some(on) = world.storages.get(volume.storage()) else {
        return true;
    };
    let Some(under) = volumes::listed_under(on, node) else {
        return false;
    };
    let read = world
        .unreadable(&Part::StorageContent(under, on.id.clone()))
        .is_none();
    read && views::parent(volume) == Parent::None && on.volume(node, volume).is_none()
}

/// Requests a state of an HA resource; the guest has it once HA has done its round.
pub(super) fn ha_state(world: &mut World, vmid: Vmid, state: &str) -> Result<(), Unpredictable> {
    guest(world, vmid)?;
    let resource = world
        .ha_resources
        .get_mut(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("the HA resource of guest {vmid}")))?;
    if resource.state != state {
        let resource = Arc::make_mut(resource);
        resource.state = state.to_owned();
        if resource.options.contains_key("state") {
            resource
                .options
                .insert("state".to_owned(), state.to_owned());
        }
    }
    match state {
        "started" if guest(world, vmid)?.status != Status::Running => start(world, vmid),
        "stopped" | "disabled" if guest(world, vmid)?.status != Status::Stopped => {
            guest_mut(world, vmid)?.status = Status::Stopped;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes a guest out of HA; its rules lose it too.
pub(super) fn remove_ha(world: &mut World, vmid: Vmid) -> Result<(), Unpredictable> {
    world
        .ha_resources
        .remove(&vmid)
        .ok_or_else(|| Unpredictable::Missing(format!("the HA resource of guest {vmid}")))?;
    forget_in_rules(world, vmid);
    Ok(())
}
