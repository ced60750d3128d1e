//! Firewalls: from documents to steps that make, change or remove aliases and sets. What rules name is made before them, and what they
//! named goes after them; Proxmox VE checks neither.

mod alias;
mod group;
mod interfaces;
mod inverse;
mod ipset;
mod options;
mod order;
mod rules;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::draft::{Draft, DraftId, Phase, Planner};
use super::error::Reason;
use super::input::{Item, Ownership, Wanted};
use super::model::Plan;
use super::words::few;
use crate::document::desired::{Desired, FirewallScope, Value, Wish};
use crate::ids::{NodeName, Vmid};
use crate::world::action::firewall::{object_of, of_object};
use crate::world::firewall::{FirewallPart, Place, Scope, filtered};
use crate::world::{Action, FirewallAction, Site, World};

pub(super) use inverse::inverse;
pub(super) use rules::action as rule_action;
pub use rules::words as rule_words;
pub(super) use trial::put as put_trials;

/// When a changed firewall does anything else than before.
const EFFECT: &str = "within about ten seconds";

/// A firewall that a document is about.
struct At {
    site: Site,
    scope: Arc<Scope>,
    /// The node of a guest.
    node: Option<NodeName>,
}

impl At {
    fn object(&self, part: &FirewallPart) -> String {
        object_of(&self.site.place(), part)
    }
}

/// The firewalls that have to be read for documents although they can have no effect: those in which they ask for something, and, where
/// something of the datacenter's goes, all: anything can name it.
pub fn firewalls_wanted(items: &[Item], ownership: &Ownership, world: &World) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for item in items {
        match &item.wanted {
            Wanted::Present(desired) => {
                let place = place_of(desired);
                if let Some(Place::Vnet(_)) = &place {
                    // Whether nodes filter by it.
                    places.extend(world.nodes.keys().cloned().map(Place::Node));
                }
                places.extend(place);
                if turns_on(desired) {
                    coming_on(world, &mut places);
                }
            }
            Wanted::Removed { delete } => {
                let owned = ownership.of_document(&item.key, &item.source);
                let of = owned.and_then(|(object, _)| of_object(object));
                if let (true, Some((place, _))) = (*delete, of) {
                    going(&place, world, &mut places);
                }
            }
        }
    }
    unread(places, world)
}

/// The same to take a plan back.
pub fn firewalls_undone(plan: &Plan, world: &World) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for step in &plan.steps {
        if let Action::Firewall(action) = &step.action {
            let place = action.site().place();
            match (action, action.makes()) {
                (_, Some(_)) => going(&place, world, &mut places),
                (FirewallAction::SetOptions { .. } | FirewallAction::BeginTrial { .. }, _)
                    if place == Place::Cluster =>
                {
                    coming_on(world, &mut places);
                    places.insert(place);
                }
                _ => drop(places.insert(place)),
            }
        }
    }
    unread(places, world)
}

/// Whether a document has the datacenter's firewall on.
fn turns_on(desired: &Desired) -> bool {
    match desired {
        Desired::Firewall(firewall) if firewall.scope == FirewallScope::Cluster => {
            let enable = firewall.options.get("enable");
            matches!(enable, Some(Wish::Set(Value::Plain(value))) if value != "0")
        }
        _ => false,
    }
}

/// The datacenter's firewall may be switched on, and with it those of nodes and of guests that ask for it.
fn coming_on(world: &World, places: &mut BTreeSet<Place>) {
    if world.firewalls.may_be_on() {
        return;
    }
    places.extend(world.nodes.keys().cloned().map(Place::Node));
    let guests = world.guests.values().filter(|guest| filtered(guest));
    places.extend(guests.map(|guest| Place::Guest(guest.vmid)));
}

/// Something of a firewall goes.
fn going(place: &Place, world: &World, places: &mut BTreeSet<Place>) {
    places.insert(place.clone());
    if *place == Place::Cluster {
        places.extend(world.nodes.keys().cloned().map(Place::Node));
        places.extend(world.guests.keys().copied().map(Place::Guest));
        let vnets = world.firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
        places.extend(vnets.cloned().map(Place::Vnet));
    }
}

fn unread(places: BTreeSet<Place>, world: &World) -> BTreeSet<Place> {
    let there = |place: &Place| match place {
        Place::Cluster => true,
        Place::Node(node) => world.nodes.contains_key(node),
        Place::Guest(vmid) => world.guests.contains_key(vmid),
        Place::Vnet(_) => true,
    };
    let mut wanted = places;
    wanted.retain(|place| there(place) && world.firewalls.scope(place).is_err());
    wanted
}

/// Whose firewall a document is about.
fn place_of(desired: &Desired) -> Option<Place> {
    let of = |guest: &Option<Vmid>| guest.map_or(Place::Cluster, Place::Guest);
    match desired {
        Desired::FirewallAlias(alias) => Some(of(&alias.guest)),
        Desired::IpSet(set) => Some(of(&set.guest)),
        Desired::SecurityGroup(_) => Some(Place::Cluster),
        Desired::Firewall(firewall) => Some(match &firewall.scope {
            FirewallScope::Cluster => Place::Cluster,
            FirewallScope::Node(node) => Place::Node(node.clone()),
            FirewallScope::Guest(vmid) => Place::Guest(*vmid),
            FirewallScope::Vnet(vnet) => Place::Vnet(vnet.clone()),
        }),
        Desired::Guest(_)
        | Desired::Storage(_)
        | Desired::Pool(_)
        | Desired::BackupJob(_)
        | Desired::Snapshot(_)
        | Desired::ReplicationJob(_)
        | Desired::Image(_)
        | Desired::Account(_)
        | Desired::ApiToken(_) => None,
    }
}

/// The live object that a document of a firewall is about.
pub(super) fn object_of_desired(desired: &Desired) -> Option<String> {
    let place = place_of(desired)?;
    let part = match desired {
        Desired::FirewallAlias(alias) => FirewallPart::Alias(alias.name.clone()),
        Desired::IpSet(set) => FirewallPart::Set(set.name.clone()),
        Desired::SecurityGroup(group) => FirewallPart::Group(group.name.clone()),
        Desired::Firewall(_) => FirewallPart::Rules,
        _ => return None,
    };
    Some(object_of(&place, &part))
}

/// A comment as it shall be, or as it is where no document says.
fn comment(wish: Option<&Wish<String>>, live: Option<&str>) -> Option<String> {
    match wish {
        None => live.map(str::to_owned),
        Some(Wish::Set(text)) => Some(text.clone()),
        Some(Wish::Remove) => None,
    }
    .filter(|text| !text.is_empty())
}

impl Planner<'_, '_> {
    /// What documents ask for of firewalls.
    pub(super) fn firewalls_present(&mut self, items: &[&Item]) {
        for item in items {
            if let Wanted::Present(Desired::FirewallAlias(alias)) = &item.wanted {
                self.alias_present(item, alias);
            }
        }
        for item in items {
            if let Wanted::Present(Desired::IpSet(set)) = &item.wanted {
                self.ipset_present(item, set);
            }
        }
        let groups = self.groups_that_stay(items);
        for item in items {
            if let Wanted::Present(Desired::SecurityGroup(group)) = &item.wanted {
                self.security_group_present(item, group, &groups);
            }
        }
        for item in items {
            if let Wanted::Present(Desired::Firewall(firewall)) = &item.wanted {
                self.firewall_present(item, firewall, &groups);
            }
        }
        self.vnets_filtered();
    }

    /// Says where the firewalls of vnets that the plan changes do nothing: only nftables filters there.
    fn vnets_filtered(&mut self) {
        let mut vnets = BTreeSet::new();
        let mut nftables = BTreeMap::new();
        for draft in &self.drafts.steps {
            let Action::Firewall(action) = &draft.action else {
                continue;
            };
            match (action.site(), action) {
                (Site::Vnet { vnet }, _) => drop(vnets.insert(vnet.clone())),
                (Site::Node { node }, FirewallAction::SetOptions { set, delete, .. }) => {
                    let will = set.get("nftables").map(|value| value == "1");
                    let will = will.or(delete.contains("nftables").then_some(false));
                    nftables.extend(will.map(|will| (node.clone(), will)));
                }
                _ => {}
            }
        }
        let (mut without, mut unknown) = (Vec::new(), Vec::new());
        for node in self.input.world.nodes.keys() {
            let place = Place::Node(node.clone());
            let scope = self.input.world.firewalls.scope(&place);
            let is = scope.map(|scope| scope.options.get("nftables").is_some_and(|on| on == "1"));
            match nftables.get(node).copied().map_or(is, Ok) {
                Ok(true) => {}
                Ok(false) => without.push(node.to_string()),
                Err(_) => unknown.push(node.to_string()),
            }
        }
        for vnet in vnets {
            if !without.is_empty() {
                self.drafts.notes.insert(format!(
                    "the firewall of vnet {vnet} does nothing on {}, where the firewall is made with iptables: only nftables filters at vnets (the option `nftables` of the node's firewall)",
                    few(&without)
                ));
            }
            if !unknown.is_empty() {
                self.drafts.notes.insert(format!(
                    "whether {} make the firewall with nftables, without which that of vnet {vnet} does nothing there, could not be read",
                    few(&unknown)
                ));
            }
        }
    }

    /// A part of a firewall whose document is gone and said that it shall be deleted. `false` if the object is none.
    pub(super) fn firewall_removed(&mut self, item: &Item, object: &str) -> bool {
        let Some((place, part)) = of_object(object) else {
            return false;
        };
        if part == FirewallPart::Rules {
            let note = format!(
                "{object} stays as it is: a firewall cannot be deleted, it is only no longer managed by {}",
                item.key
            );
            self.drafts.notes.insert(note);
            return true;
        }
        let guest = match &place {
            Place::Guest(vmid) => Some(*vmid),
            Place::Cluster | Place::Node(_) | Place::Vnet(_) => None,
        };
        let destroyed = self.drafts.steps.iter().any(|draft| {
            matches!(&draft.action, Action::DestroyGuest { vmid, .. } if Some(*vmid) == guest)
        });
        if guest.is_some_and(|vmid| destroyed || !self.input.world.guests.contains_key(&vmid)) {
            let note = format!("{object} goes with its guest");
            self.drafts.notes.insert(note);
            return true;
        }
        let Some(at) = self.firewall_at(item, guest) else {
            return true;
        };
        if at.scope.state(&part).is_none() {
            let note = format!("{object} is already gone");
            self.drafts.notes.insert(note);
            return true;
        }
        match part {
            FirewallPart::Alias(name) => self.alias_removed(&at, &name),
            FirewallPart::Set(name) => self.ipset_removed(&at, &name),
            FirewallPart::Group(name) => self.security_group_removed(item, &at, &name),
            FirewallPart::Rules | FirewallPart::Options => {}
        }
        true
    }

    /// The firewall of a scope.
    fn firewall_of(&mut self, item: &Item, scope: &FirewallScope) -> Option<At> {
        match scope {
            FirewallScope::Cluster => self.firewall_at(item, None),
            FirewallScope::Guest(vmid) => self.firewall_at(item, Some(*vmid)),
            FirewallScope::Node(node) => {
                if !self.node_usable(&item.key, node) {
                    return None;
                }
                let site = Site::Node { node: node.clone() };
                self.known_firewall(item, site, Some(node.clone()))
            }
            FirewallScope::Vnet(vnet) => {
                let site = Site::Vnet { vnet: vnet.clone() };
                self.known_firewall(item, site, None)
            }
        }
    }

    /// The firewall that a document is about; a problem if it is not known.
    fn firewall_at(&mut self, item: &Item, guest: Option<Vmid>) -> Option<At> {
        let Some(vmid) = guest else {
            return self.known_firewall(item, Site::Cluster, None);
        };
        let destroyed = self.drafts.steps.iter().any(
            |draft| matches!(&draft.action, Action::DestroyGuest { vmid: gone, .. } if *gone == vmid),
        );
        // What is removed is planned after this.
        let going = ["vm", "ct"]
            .iter()
            .any(|kind| self.drafts.going.contains(&format!("{kind}/{vmid}")));
        if destroyed || going {
            let why = format!("guest {vmid} is destroyed by this plan, and its firewall with it");
            let reason = Reason::Ambiguous { why };
            self.drafts.problem(&item.key, "guest", reason);
            return None;
        }
        if let Some(guest) = self.input.world.guests.get(&vmid) {
            let site = Site::Guest {
                kind: guest.kind,
                vmid,
            };
            return self.known_firewall(item, site, Some(guest.node.clone()));
        }
        self.new_firewall(item, vmid)
    }

    fn known_firewall(&mut self, item: &Item, site: Site, node: Option<NodeName>) -> Option<At> {
        let place = site.place();
        match self.input.world.firewalls.scope(&place) {
            Ok(scope) => Some(At {
                scope: Arc::clone(scope),
                site,
                node,
            }),
            Err(why) => {
                let reason = Reason::Unreadable {
                    what: place.to_string(),
                    why: why.to_owned(),
                };
                self.drafts.problem(&item.key, "", reason);
                None
            }
        }
    }

    /// The firewall of a guest that this plan makes: empty, unless it comes with the guest.
    fn new_firewall(&mut self, item: &Item, vmid: Vmid) -> Option<At> {
        let made = self
            .drafts
            .steps
            .iter()
            .find_map(|draft| match &draft.action {
                Action::CreateGuest {
                    kind,
                    vmid: v,
                    node,
                    ..
                } if *v == vmid => Some(Ok((*kind, node.clone()))),
                Action::CloneGuest { vmid: v, .. } | Action::RestoreGuest { vmid: v, .. }
                    if *v == vmid =>
                {
                    Some(Err(()))
                }
                _ => None,
            });
        let reason = match made {
            Some(Ok((kind, node))) => {
                return Some(At {
                    site: Site::Guest { kind, vmid },
                    scope: Arc::default(),
                    node: Some(node),
                });
            }
            Some(Err(())) => Reason::Ambiguous {
                why: format!(
                    "guest {vmid} is cloned or restored by this plan and brings its firewall with it; plan this document again once it is there"
                ),
            },
            None => Reason::NoSuch {
                what: "guest",
                name: vmid.to_string(),
                nearest: String::new(),
            },
        };
        self.drafts.problem(&item.key, "guest", reason);
        None
    }

    fn firewall_step(
        &mut self,
        at: &At,
        phase: Phase,
        title: String,
        action: FirewallAction,
    ) -> DraftId {
        self.drafts.push(Draft {
            title,
            action: Action::Firewall(action),
            node: at.node.clone(),
            phase,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        })
    }
}

/// A change of the firewall that a document is about, for what changing it takes. Of a guest that is not there nothing is said.
pub(super) fn sample(desired: &Desired, world: &World) -> Option<FirewallAction> {
    let site = match place_of(desired)? {
        Place::Cluster => Site::Cluster,
        Place::Node(node) => Site::Node { node },
        Place::Guest(vmid) => Site::Guest {
            kind: world.guests.get(&vmid)?.kind,
            vmid,
        },
        Place::Vnet(vnet) => Site::Vnet { vnet },
    };
    Some(FirewallAction::DeleteAlias {
        site,
        name: String::new(),
    })
}
