//! FW10: what is open to everybody if a trial of the datacenter's firewall is not confirmed: Proxmox VE switches it off then, for the whole
//! cluster.

use super::super::model::{Duration, StepId};
use super::Raw;
use super::actions::raw;
use crate::health::{Category, Entity};
use crate::world::firewall::{Scope, filtered};
use crate::world::{FirewallAction, World};

/// Whom a trial may leave without a firewall. Where it was off before, nobody has one to lose.
pub(super) fn impacts(step: StepId, action: &FirewallAction, before: &World) -> Vec<Raw> {
    let begins = matches!(action, FirewallAction::BeginTrial { .. });
    if !begins || !before.firewalls.may_be_on() {
        return Vec::new();
    }
    let nodes = before.nodes.keys().filter(|name| {
        let node = before.firewalls.node(name);
        let own = node.and_then(|node| node.firewall.as_ref().ok());
        own.is_none_or(|scope| switched(scope) != Some(false))
    });
    let guests = before.guests.values().filter(|guest| {
        let own = before.firewalls.guest(guest.vmid).ok();
        filtered(guest) && own.is_none_or(|scope| switched(scope) == Some(true))
    });
    let nodes = nodes.map(|name| Entity::Node(name.clone()));
    let guests = guests.map(|guest| Entity::Guest(guest.kind, guest.vmid));
    nodes
        .chain(guests)
        .map(|entity| exposed(step, entity))
        .collect()
}

fn exposed(step: StepId, entity: Entity) -> Raw {
    let mut raw = raw(
        step,
        entity,
        Category::Exposed,
        ("filtered", "open to everybody, if the trial is not confirmed"),
        "the datacenter's firewall is on trial: if a node cannot be reached anew, or the run ends early, Proxmox VE switches it off for the \
         whole cluster"
            .to_owned(),
        Duration::Transient,
        "FW10",
    );
    raw.notes = vec![
        "from a minute after the trial was last extended until somebody switches the firewall on again; undoing the run does".to_owned(),
    ];
    raw
}

fn switched(scope: &Scope) -> Option<bool> {
    let value = scope.options.get("enable")?;
    Some(!matches!(value.as_str(), "" | "0"))
}
