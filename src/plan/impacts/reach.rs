//! FW01, FW02: who can no longer reach whom, and who can now, as the firewalls decide. It is worked out exactly for the first and the
//! last world of a plan, of the guests whose interfaces or firewall its steps change, as of each guest's next start.
//!
//! A guest that comes or goes is told by other rules; nobody reached what was not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::model::{Duration, StepId};
use super::super::words::clean;
use super::Raw;
use crate::health::reach::{Compiled, Effect, End, Judged, Keepers, Model, judge};
use crate::health::{self, Category, Entity, Moment};
use crate::ids::Vmid;
use crate::world::{Guest, World, views};

/// The guests whose reach steps may have changed, each with those steps.
pub(super) type Touched = BTreeMap<Vmid, BTreeSet<StepId>>;

/// The guests that are there before and after, and of which something changed that a firewall looks at.
pub(super) fn touched(before: &World, after: &World) -> Vec<Vmid> {
    if !before.firewalls.may_be_on() && !after.firewalls.may_be_on() {
        return Vec::new();
    }
    let known = |vmid: &Vmid| before.guests.get(vmid);
    let guests = after.guests.iter();
    guests
        .filter_map(|(vmid, is)| Some((vmid, known(vmid)?, is)))
        .filter(|(vmid, was, is)| {
            let (one, other) = (&before.firewalls.guests, &after.firewalls.guests);
            differs(was, is) || (!one.is(other) && one.get(vmid) != other.get(vmid))
        })
        .map(|(vmid, ..)| *vmid)
        .collect()
}

fn differs(was: &Arc<Guest>, is: &Arc<Guest>) -> bool {
    if Arc::ptr_eq(was, is) {
        return false;
    }
    let nics = |guest: &Guest| views::nics(&guest.config.next_start());
    was.node != is.node || nics(was) != nics(is)
}

/// What becomes of everybody's reach.
pub(super) fn impacts(start: &World, end: &World, touched: &Touched) -> Vec<Raw> {
    let there = |vmid: &Vmid| start.guests.contains_key(vmid) && end.guests.contains_key(vmid);
    let mut all = Vec::new();
    let mut seen = Touched::new();
    for (vmid, steps) in touched.iter().filter(|(vmid, _)| there(vmid)) {
        match unread(start, *vmid).or_else(|| unread(end, *vmid)) {
            None => drop(seen.insert(*vmid, steps.clone())),
            Some(why) => all.extend(unknown(start, *vmid, steps, &why)),
        }
    }
    if !seen.is_empty() {
        all.extend(judged(start, end, &seen));
    }
    all
}

/// Why nobody knows who reaches a guest.
fn unread(world: &World, vmid: Vmid) -> Option<String> {
    let firewalls = &world.firewalls;
    let cluster = firewalls.cluster.as_ref().err();
    let cluster = cluster.map(|why| format!("the datacenter's firewall was not read: {why}"));
    cluster.or_else(|| {
        let guest = world.guests.get(&vmid)?;
        if !firewalls.concerns(guest) {
            return None;
        }
        if let Err(why) = firewalls.guest(vmid) {
            return Some(format!("the guest's firewall is not known: {why}"));
        }
        // Unknown before and after would be no difference.
        let node = &guest.node;
        match firewalls.node(node).map(|node| &node.firewall) {
            Some(Ok(scope)) => {
                let backend = scope.options.get("nftables");
                backend.filter(|value| *value != "0").map(|_| {
                    format!("node {node} filters with nftables, whose rules are not worked out")
                })
            }
            Some(Err(why)) => Some(format!("the firewall of node {node} was not read: {why}")),
            None => Some(format!("the firewall of node {node} was not read")),
        }
    })
}

/// What becomes of the reach of guests whose firewalls are known.
fn judged(start: &World, end: &World, touched: &Touched) -> Vec<Raw> {
    let compiled = |world: &World| -> Result<Compiled, String> {
        let mut model = health::reach_model(world, Moment::NextStart)?;
        only(&mut model, touched);
        Ok(Compiled::new(&model))
    };
    match (compiled(start), compiled(end)) {
        (Ok(before), Ok(after)) => {
            let mut all: BTreeMap<(String, Category, String), Raw> = BTreeMap::new();
            for judged in judge(&before, &after, &Keepers::default()) {
                let raw = raw(judged, start, touched);
                let key = (raw.entity.to_string(), raw.category, raw.rule.clone());
                // All that becomes of one end in one way is one impact, told in several sentences.
                match all.get_mut(&key) {
                    Some(known) => {
                        known.causes.extend(raw.causes);
                        let new = raw.notes.into_iter();
                        let new: Vec<_> = new.filter(|note| !known.notes.contains(note)).collect();
                        known.notes.extend(new);
                    }
                    None => drop(all.insert(key, raw)),
                }
            }
            all.into_values().collect()
        }
        (Err(why), _) | (_, Err(why)) => touched
            .iter()
            .filter_map(|(vmid, steps)| unknown(start, *vmid, steps, &why))
            .collect(),
    }
}

/// Leaves the guests that are asked about. Every address that others may have is an address outside.
fn only(model: &mut Model, touched: &Touched) {
    let vmids: BTreeSet<u32> = touched.keys().map(|vmid| vmid.get()).collect();
    model.guests.retain(|vmid, _| vmids.contains(vmid));
}

fn unknown(start: &World, vmid: Vmid, steps: &BTreeSet<StepId>, why: &str) -> Option<Raw> {
    let guest = start.guests.get(&vmid)?;
    Some(Raw {
        entity: Entity::Guest(guest.kind, vmid),
        category: Category::Unknown,
        before: "reached by those whom the firewall lets pass".to_owned(),
        after: "nobody can say who reaches it".to_owned(),
        causes: vec![clean(why)],
        notes: Vec::new(),
        duration: Duration::Permanent,
        steps: steps.clone(),
        rule: "FW02".to_owned(),
    })
}

fn raw(judged: Judged, start: &World, touched: &Touched) -> Raw {
    let (category, before, after) = match judged.effect {
        Effect::Lockout => (Category::Lockout, "can be managed", "cannot be managed"),
        Effect::ConditionalLockout => (
            Category::ConditionalLockout,
            "can be managed",
            "cannot be managed by all who could",
        ),
        Effect::Unreachable => (Category::Unreachable, "open", "closed"),
        Effect::Exposed => (Category::Exposed, "closed", "open"),
        Effect::Unknown => (Category::Unknown, "known who reaches it", "nobody can tell"),
    };
    let all = || touched.values().flatten().copied().collect();
    let (entity, steps) = match &judged.end {
        End::Node { name, .. } => (name.parse().ok().map(Entity::Node), all()),
        End::Nic { vmid, .. } => {
            let vmid = Vmid::new(*vmid).ok();
            let guest = vmid.and_then(|vmid| start.guests.get(&vmid));
            let steps = vmid.and_then(|vmid| touched.get(&vmid)).cloned();
            (
                guest.map(|guest| Entity::Guest(guest.kind, guest.vmid)),
                steps.unwrap_or_else(all),
            )
        }
        End::Outside => (None, all()),
    };
    let notes = match judged.sensitive.as_slice() {
        [] => Vec::new(),
        ports => vec![format!("the whole internet can open {}", ports.join(", "))],
    };
    Raw {
        entity: entity.unwrap_or(Entity::Controller),
        category,
        before: before.to_owned(),
        after: after.to_owned(),
        causes: vec![clean(&judged.sentence)],
        notes,
        duration: Duration::Permanent,
        steps,
        rule: judged.rule.to_owned(),
    }
}
