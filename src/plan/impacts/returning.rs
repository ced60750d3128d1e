//! What no longer comes back by itself after its node was rebooted (GU15).

use super::super::model::Duration;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity};
use crate::ids::{GuestKind, Vmid};
use crate::proxmox::property::boolean;
use crate::world::{Guest, World};

/// Whether a guest is started with its node. HA starts its guests itself, whatever `onboot` says.
fn starts(world: &World, guest: &Guest) -> bool {
    let kept_by_ha = world
        .ha_resources
        .get(&guest.vmid)
        .is_some_and(|resource| resource.state == "started");
    let section = guest.config.next_start();
    kept_by_ha || section.get("onboot").and_then(|text| boolean(text)) == Some(true)
}

/// The place in the order of starting: `startup: order=3,up=30` → 3.
fn order(guest: &Guest) -> Option<String> {
    let section = guest.config.next_start();
    let text = section.get("startup")?;
    // The bare first value is the order too.
    text.split(',').find_map(|part| match part.split_once('=') {
        Some(("order", number)) => Some(number.to_owned()),
        Some(_) => None,
        None => Some(part.to_owned()),
    })
}

impl At<'_> {
    pub(super) fn coming_back(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        let worlds = (self.before.guests.get(&vmid), self.after.guests.get(&vmid));
        let (Some(was), Some(is)) = worlds else {
            return Vec::new();
        };
        if was.template || !starts(self.before, was) {
            return Vec::new();
        }
        let put = |states: (&str, &str), cause: &str| {
            vec![raw(
                self.step,
                Entity::Guest(kind, vmid),
                Category::Degraded,
                states,
                cause.to_owned(),
                Duration::Permanent,
                "GU15",
            )]
        };
        if !starts(self.after, is) {
            return put(
                (
                    "starts with its node",
                    "stays off after a reboot of its node",
                ),
                "onboot is turned off: after its node was rebooted nobody starts it",
            );
        }
        match (order(was), order(is)) {
            (Some(old), None) => put(
                (
                    &format!("starts as number {old}"),
                    "starts after all that have a number",
                ),
                "its place in the order of starting is removed: what waits for it starts before it",
            ),
            _ => Vec::new(),
        }
    }
}
