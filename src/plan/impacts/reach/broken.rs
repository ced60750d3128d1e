//! FW04, FW05: rules that do nothing, in silence, because what they name is not there. Reach is worked out without them; here it is said
//! which they are.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::model::Duration;
use super::super::super::words::clean;
use super::super::Raw;
use super::told::Told;
use crate::health::reach::{Cluster, Entry, Known, Model, Named, Read, Use};
use crate::health::{Category, Entity};
use crate::ids::{NodeName, Vmid};
use crate::world::firewall::{Place, Rule, Scope};
use crate::world::{Section, World};

/// Something that is broken at the end: where, and what is said about it.
type Found = BTreeMap<(Entity, &'static str), (Place, BTreeSet<String>)>;

/// What a plan makes or leaves broken of what it touches.
pub(super) fn impacts(told: &Told<'_>, before: &Model, after: &Model) -> Vec<Raw> {
    let mut found = Found::new();
    let gone = removed(told, before, &mut found);
    skipped(told, before, after, &gone, &mut found);
    found
        .into_iter()
        .map(|((entity, rule), (place, causes))| Raw {
            entity,
            category: Category::Dangling,
            before: "works".to_owned(),
            after: "names something that is not there".to_owned(),
            causes: causes.iter().map(|cause| clean(cause)).collect(),
            notes: notes(told.end, &place),
            duration: Duration::Permanent,
            steps: match &place {
                Place::Cluster | Place::Vnet(_) => {
                    told.touched.or_all(told.touched.cluster.clone())
                }
                Place::Node(name) => told.touched.of_node(name),
                Place::Guest(vmid) => told.touched.of_guest(*vmid, []),
            },
            rule: rule.to_owned(),
        })
        .collect()
}

/// What Proxmox VE does about it, with the backends of the nodes that heed the place.
fn notes(world: &World, place: &Place) -> Vec<String> {
    let on = match place {
        Place::Cluster | Place::Vnet(_) => None,
        Place::Node(name) => Some(name),
        Place::Guest(vmid) => world.guests.get(vmid).map(|guest| &guest.node),
    };
    let nodes = world.firewalls.nodes.iter();
    let nodes = nodes.filter(|(name, _)| on.is_none_or(|on| *name == on));
    let with = |nftables: bool| {
        nodes.clone().any(|(_, node)| {
            let firewall = node.firewall.as_ref().ok();
            let option = firewall.and_then(|scope| scope.options.get("nftables"));
            option.is_some_and(|value| value != "0") == nftables
        })
    };
    let mut notes = Vec::new();
    if with(false) || !with(true) {
        notes.push(
            "Proxmox VE leaves such a rule out in silence; who reaches whom is told without it"
                .to_owned(),
        );
    }
    if with(true) {
        notes.push(
            "a node that filters with nftables takes no rules at all then, and keeps those it had"
                .to_owned(),
        );
    }
    notes
}

fn entity(place: &Place, world: &World) -> Option<Entity> {
    Some(match place {
        // The datacenter's firewall is every node's, and how Bailiwick reaches them.
        Place::Cluster | Place::Vnet(_) => Entity::Controller,
        Place::Node(name) => Entity::Node(name.clone()),
        Place::Guest(vmid) => Entity::Guest(world.guests.get(vmid)?.kind, *vmid),
    })
}

fn add(found: &mut Found, told: &Told<'_>, place: Place, rule: &'static str, cause: String) {
    // The datacenter's firewall has no name of its own among those whom something happens to.
    let place_of_cause = (place == Place::Cluster).then(|| place.clone());
    if let Some(entity) = entity(&place, told.end) {
        let (_, causes) = found
            .entry((entity, rule))
            .or_insert_with(|| (place, BTreeSet::new()));
        causes.insert(match &place_of_cause {
            Some(place) if of_the_place(&cause) => format!("{place}: {cause}"),
            _ => cause,
        });
    }
}

/// Whether a cause is of a rule of the place itself, which it does not say.
fn of_the_place(cause: &str) -> bool {
    cause.starts_with("rule ") && !cause.contains(" of the security group ")
}

/// A scope of a world.
fn scope<'a>(world: &'a World, place: &Place) -> Option<&'a Scope> {
    let firewalls = &world.firewalls;
    match place {
        Place::Cluster => firewalls.cluster.as_ref().ok(),
        Place::Node(name) => firewalls.node(name)?.firewall.as_ref().ok(),
        Place::Guest(vmid) => firewalls.guest(*vmid).ok(),
        Place::Vnet(name) => firewalls.vnet(name).ok(),
    }
    .map(|scope| &**scope)
}

/// FW05: what of the datacenter is taken away, and is still named.
fn removed(told: &Told<'_>, before: &Model, found: &mut Found) -> Vec<(Place, Section)> {
    let (Ok(was), Ok(is)) = (&told.start.firewalls.cluster, &told.end.firewalls.cluster) else {
        return Vec::new();
    };
    let lower = |name: &String| name.to_ascii_lowercase();
    let missing = |name: &&String, there: &BTreeSet<String>| !there.contains(&lower(name));
    let aliases: BTreeSet<String> = is.aliases.keys().map(lower).collect();
    let groups: BTreeSet<String> = is.groups.keys().map(lower).collect();
    let named = was
        .aliases
        .keys()
        .filter(|name| missing(name, &aliases))
        .map(|name| (Named::Alias(lower(name)), format!("the alias {name}")))
        .chain(
            was.ipsets
                .keys()
                .filter(|name| !is.ipsets.contains_key(*name))
                .map(|name| (Named::Set(name.clone()), format!("the set {name}"))),
        )
        .chain(
            was.groups
                .keys()
                .filter(|name| missing(name, &groups))
                .map(|name| {
                    (
                        Named::Group(lower(name)),
                        format!("the security group {name}"),
                    )
                }),
        );
    let mut gone = Vec::new();
    for (named, word) in named {
        // Whose firewall is not known is told as unknown, with all of its reach.
        let uses = before.uses(&named).unwrap_or_else(|(uses, _)| uses);
        for one in uses {
            let Some((place, user, fields)) = user(told, &one) else {
                continue;
            };
            add(
                found,
                told,
                place.clone(),
                "FW05",
                format!("{user} names {word}, which is taken away"),
            );
            gone.extend(fields.map(|fields| (place, fields)));
        }
    }
    gone
}

/// What used something at the start and is still there at the end: where, in words, and a rule's fields.
fn user(told: &Told<'_>, one: &Use) -> Option<(Place, String, Option<Section>)> {
    let rule = |place: Place, group: Option<&str>, at: usize| {
        let list = |world| -> Option<&[Rule]> {
            let scope = scope(world, &place)?;
            match group {
                None => Some(scope.rules.as_slice()),
                Some(name) => {
                    let mut groups = scope.groups.iter();
                    let group = groups.find(|(known, _)| known.eq_ignore_ascii_case(name));
                    group.map(|(_, group)| group.rules.as_slice())
                }
            }
        };
        let fields = &list(told.start)?.get(at)?.fields;
        let now = list(told.end)?
            .iter()
            .position(|rule| rule.fields == *fields)?;
        let of = group.map_or_else(String::new, |name| format!(" of the security group {name}"));
        Some((place, format!("rule {now}{of}"), Some(fields.clone())))
    };
    let set = |place: Place, name: &str| {
        let was = scope(told.start, &place)?.ipsets.get(name)?;
        let is = scope(told.end, &place)?.ipsets.get(name)?;
        (was.entries == is.entries).then(|| (place, format!("the set {name}"), None))
    };
    match one {
        Use::ClusterRule(at) => rule(Place::Cluster, None, *at),
        Use::GroupRule(group, at) => rule(Place::Cluster, Some(group), *at),
        Use::HostRule(name, at) => rule(Place::Node(name.parse().ok()?), None, *at),
        Use::GuestRule(vmid, at) => rule(Place::Guest(Vmid::new(*vmid).ok()?), None, *at),
        Use::ClusterSet(name) => set(Place::Cluster, name),
        Use::GuestSet(vmid, name) => set(Place::Guest(Vmid::new(*vmid).ok()?), name),
    }
}

/// FW04: rules that are on and that Proxmox VE ignores, and that it did not ignore before or that were not there.
fn skipped(
    told: &Told<'_>,
    before: &Model,
    after: &Model,
    gone: &[(Place, Section)],
    found: &mut Found,
) {
    let old: BTreeSet<(Place, &Section)> = ignored(told.start, before)
        .into_iter()
        .map(|(place, fields, _, _)| (place, fields))
        .collect();
    for (place, fields, at, why) in ignored(told.end, after) {
        let known = gone.iter().any(|(of, gone)| *of == place && gone == fields);
        if known || old.contains(&(place.clone(), fields)) {
            continue;
        }
        add(
            found,
            told,
            place,
            "FW04",
            format!("{at} is left out: {why}"),
        );
    }
}

/// The rules that are on and ignored: where, their fields, which they are, and why.
fn ignored<'a>(world: &'a World, model: &Model) -> Vec<(Place, &'a Section, String, String)> {
    let mut all = Vec::new();
    let mut put = |place: &Place, of: &str, rules: &'a [Rule], entries: &[Entry]| {
        for (at, (rule, entry)) in rules.iter().zip(entries).enumerate() {
            if let (true, Read::Ignored(why)) = (entry.enabled, &entry.read) {
                let at = format!("rule {at}{of}");
                all.push((place.clone(), &rule.fields, at, why.clone()));
            }
        }
    };
    if let (Known::Read(cluster), Some(scope)) = (&model.cluster, scope(world, &Place::Cluster)) {
        put(&Place::Cluster, "", &scope.rules, &cluster.rules);
        for (name, group) in &scope.groups {
            let entries = entries_of(cluster, name);
            let of = format!(" of the security group {name}");
            put(&Place::Cluster, &of, &group.rules, entries);
        }
    }
    for (name, node) in &model.nodes {
        let place = name.parse::<NodeName>().ok().map(Place::Node);
        let scope = place.as_ref().and_then(|place| scope(world, place));
        if let (Some(place), Known::Read(host), Some(scope)) = (&place, &node.firewall, scope) {
            put(place, "", &scope.rules, &host.rules);
        }
    }
    for (vmid, guest) in &model.guests {
        let place = Vmid::new(*vmid).ok().map(Place::Guest);
        let scope = place.as_ref().and_then(|place| scope(world, place));
        if let (Some(place), Known::Read(Some(firewall)), Some(scope)) =
            (&place, &guest.firewall, scope)
        {
            put(place, "", &scope.rules, &firewall.rules);
        }
    }
    all
}

fn entries_of<'a>(cluster: &'a Cluster, group: &str) -> &'a [Entry] {
    let entries = cluster.groups.get(&group.to_ascii_lowercase());
    entries.map_or(&[], Vec::as_slice)
}
