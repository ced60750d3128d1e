//! Two guests after one address (GU14): a static address that a step gives to a guest and that another guest of the segment has.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::super::model::{Duration, StepId};
use super::super::words::clean;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity};
use crate::ids::{GuestKind, Vmid};
use crate::world::views::{self, Nic};
use crate::world::{Guest, Part, World};

/// A static address on a segment: bridges of one name are taken for one network, whichever node they are on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    address: IpAddr,
    bridge: String,
    tag: Option<String>,
}

impl Seat {
    fn place(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}, VLAN {tag}", self.bridge),
            None => self.bridge.clone(),
        }
    }
}

/// The static addresses in a property string or a container's card: `ip=10.0.0.5/24`; `dhcp`, `auto` and `manual` are none.
fn addresses<'a>(values: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    values
        .filter_map(|value| value.split('/').next()?.trim().parse().ok())
        .collect()
}

/// Where a guest sits after its next start, with the key that says so. What only the guest itself knows is not seen.
fn seats(guest: &Guest) -> BTreeMap<Seat, String> {
    let section = guest.config.next_start();
    let mut all = BTreeMap::new();
    for (key, value) in &section {
        let Some(nic) = views::nic(key, value) else {
            continue;
        };
        let said = match guest.kind {
            GuestKind::Lxc => of_card(&nic),
            GuestKind::Qemu => {
                let number = key.trim_start_matches("net");
                let text = section.get(&format!("ipconfig{number}"));
                addresses(
                    text.map_or("", String::as_str)
                        .split(',')
                        .filter_map(|part| {
                            part.strip_prefix("ip=")
                                .or_else(|| part.strip_prefix("ip6="))
                        }),
                )
            }
        };
        let Some(bridge) = nic.bridge else { continue };
        for address in said {
            let seat = Seat {
                address,
                bridge: bridge.clone(),
                tag: nic.tag.clone(),
            };
            all.insert(seat, key.clone());
        }
    }
    all
}

fn of_card(nic: &Nic) -> Vec<IpAddr> {
    let values = ["ip", "ip6"].map(|family| nic.options.get(family).map_or("", String::as_str));
    addresses(values.into_iter())
}

fn called(guest: &Guest) -> String {
    match &guest.name {
        Some(name) => format!("{} ({name})", guest.entity()),
        None => guest.entity(),
    }
}

impl At<'_> {
    /// The static addresses that a guest has after the step and had not before, and that somebody else has.
    pub(super) fn shared_addresses(&self, vmid: Vmid) -> Vec<Raw> {
        let Some(guest) = self.after.guests.get(&vmid) else {
            return Vec::new();
        };
        let mut new = seats(guest);
        if let Some(before) = self.before.guests.get(&vmid) {
            let old = seats(before);
            new.retain(|seat, _| !old.contains_key(seat));
        }
        clashes(self.step, guest, &new, self.after)
    }
}

/// The static addresses that a clone took over from its source in a step, still has at the end, and that somebody else has.
pub(super) fn taken_over(step: StepId, cloned: &Guest, end: &World) -> Vec<Raw> {
    let Some(guest) = end.guests.get(&cloned.vmid).filter(|g| !g.template) else {
        return Vec::new();
    };
    let first = seats(cloned);
    let mut kept = seats(guest);
    kept.retain(|seat, _| first.contains_key(seat));
    clashes(step, guest, &kept, end)
}

/// The network of a card and its MAC address, with the key that says so.
fn cards(guest: &Guest) -> BTreeMap<(String, Option<String>, String), String> {
    let section = guest.config.next_start();
    let card = |(key, value): (&String, &String)| {
        let nic = views::nic(key, value)?;
        let mac = nic.mac?.to_ascii_uppercase();
        Some(((nic.bridge?, nic.tag, mac), key.clone()))
    };
    section.iter().filter_map(card).collect()
}

/// The MAC addresses that a guest brought from a backup in a step, still has at the end, and that somebody else on the same network
/// has: switches send what is for one to whichever spoke last.
pub(super) fn same_cards(step: StepId, made: &Guest, end: &World) -> Vec<Raw> {
    let Some(guest) = end.guests.get(&made.vmid).filter(|g| !g.template) else {
        return Vec::new();
    };
    let first = cards(made);
    let mut kept = cards(guest);
    kept.retain(|card, _| first.contains_key(card));
    let mut all = Vec::new();
    let others = end.guests.values().filter(|other| other.vmid != guest.vmid);
    for other in others.filter(|other| !other.template && !kept.is_empty()) {
        if let Some(why) = end.unreadable(&Part::GuestConfig(other.vmid)) {
            let cause = format!(
                "whether {} has the same MAC address is not known: {why}",
                called(other)
            );
            all.push(raw(
                step,
                Entity::Guest(guest.kind, guest.vmid),
                Category::Unknown,
                ("known", "unknown"),
                cause,
                Duration::Permanent,
                "GU14",
            ));
            continue;
        }
        let theirs = cards(other);
        for (card, key) in kept.iter().filter(|(card, _)| theirs.contains_key(card)) {
            let (bridge, _, mac) = card;
            let after = format!("two guests with the MAC address {mac}");
            for (of, before, cause) in [
                (
                    guest,
                    "no guest".to_owned(),
                    format!("{key} has {mac} on {bridge}, which {} has", called(other)),
                ),
                (
                    other,
                    format!("alone with {mac}"),
                    format!("{} has its MAC address {mac} on {bridge}", called(guest)),
                ),
            ] {
                let mut impact = raw(
                    step,
                    Entity::Guest(of.kind, of.vmid),
                    Category::Unreachable,
                    (&before, &after),
                    cause,
                    Duration::Permanent,
                    "GU14",
                );
                impact.notes = vec![clean(
                    "while both run, what is sent to one reaches the other; with `unique: true` it gets new addresses",
                )];
                all.push(impact);
            }
        }
    }
    all
}

/// Who else has these addresses of a guest.
fn clashes(step: StepId, guest: &Guest, new: &BTreeMap<Seat, String>, world: &World) -> Vec<Raw> {
    if new.is_empty() {
        return Vec::new();
    }
    let entity = Entity::Guest(guest.kind, guest.vmid);
    let mut all = Vec::new();
    for other in world.guests.values().filter(|g| g.vmid != guest.vmid) {
        if let Some(why) = world.unreadable(&Part::GuestConfig(other.vmid)) {
            all.push(raw(
                step,
                entity.clone(),
                Category::Unknown,
                ("known", "unknown"),
                format!(
                    "whether {} has the same address is not known: {why}",
                    called(other)
                ),
                Duration::Permanent,
                "GU14",
            ));
            continue;
        }
        if other.template {
            continue;
        }
        let theirs = seats(other);
        for (seat, key) in new.iter().filter(|(seat, _)| theirs.contains_key(seat)) {
            let (address, place) = (seat.address, seat.place());
            let after = format!("two guests at {address}");
            let mut put = |entity: &Entity, before: &str, cause: String| {
                let mut impact = raw(
                    step,
                    entity.clone(),
                    Category::Unreachable,
                    (before, &after),
                    cause,
                    Duration::Permanent,
                    "GU14",
                );
                impact.notes = vec![clean(
                    "while both run, either may answer, and connections to the other break",
                )];
                all.push(impact);
            };
            put(
                &entity,
                "not at this address",
                format!(
                    "{key} gets {address} on {place}, which {} has",
                    called(other)
                ),
            );
            put(
                &Entity::Guest(other.kind, other.vmid),
                &format!("alone at {address}"),
                format!("{} gets its address {address} on {place}", called(guest)),
            );
        }
    }
    all
}
