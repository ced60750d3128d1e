//! Firewalls in prediction: aliases and sets.

use std::collections::BTreeSet;

use super::firewall_rules as rules;
use super::{Unpredictable, refused};
use crate::proxmox::firewall::{element, reference, same_element};
use crate::world::action::{Element, FirewallAction, Site};
use crate::world::firewall::{Alias, FirewallPart, IpSet, ON_TRIAL, Place, Rule, Scope, SetEntry};
use crate::world::model::World;

/// Makes of a world what an action makes of a firewall.
pub(super) fn apply(world: &mut World, action: &FirewallAction) -> Result<(), Unpredictable> {
    match action {
        FirewallAction::CreateAlias {
            site,
            name,
            cidr,
            comment,
        } => {
            let scope = scope(world, site)?;
            if scope.alias(name).is_some() {
                return Err(refused(format!("there is an alias {name} already")));
            }
            scope.aliases.insert(name.clone(), alias(cidr, comment));
            named_again(world, &site.place(), &action.part());
        }
        FirewallAction::UpdateAlias {
            site,
            name,
            cidr,
            comment,
        } => {
            let known = alias_key(scope(world, site)?, name)?;
            let scope = scope(world, site)?;
            scope.aliases.insert(known, alias(cidr, comment));
        }
        FirewallAction::DeleteAlias { site, name } => {
            let scope = scope(world, site)?;
            let known = alias_key(scope, name)?;
            scope.aliases.remove(&known);
        }
        FirewallAction::CreateIpSet {
            site,
            name,
            comment,
        } => {
            let scope = scope(world, site)?;
            if scope.ipsets.contains_key(name) {
                return Err(refused(format!("there is a set {name} already")));
            }
            let set = IpSet {
                entries: Vec::new(),
                comment: comment.clone(),
            };
            scope.ipsets.insert(name.clone(), set);
            named_again(world, &site.place(), &action.part());
        }
        FirewallAction::DescribeIpSet {
            site,
            name,
            comment,
        } => {
            let comment = Some(comment.clone()).filter(|text| !text.is_empty());
            set(world, site, name)?.comment = comment;
        }
        FirewallAction::AddIpSetEntry {
            site,
            name,
            element,
        } => add(world, site, name, element)?,
        FirewallAction::UpdateIpSetEntry {
            site,
            name,
            element,
        } => {
            let set = set(world, site, name)?;
            let mut entries = set.entries.iter_mut();
            let known = entries.find(|entry| same_element(&entry.cidr, &element.cidr));
            let known = known.ok_or_else(|| missing(&element.cidr, name))?;
            known.nomatch = element.nomatch;
            known.comment.clone_from(&element.comment);
        }
        FirewallAction::RemoveIpSetEntry { site, name, cidr } => {
            let set = set(world, site, name)?;
            let before = set.entries.len();
            set.entries.retain(|entry| !same_element(&entry.cidr, cidr));
            if set.entries.len() == before {
                return Err(missing(cidr, name));
            }
        }
        FirewallAction::DeleteIpSet { site, name } => {
            let scope = scope(world, site)?;
            if scope.ipsets.remove(name).is_none() {
                return Err(Unpredictable::Missing(format!("set {name}")));
            }
        }
        FirewallAction::CreateGroup { name, comment } => {
            rules::create_group(world, name, comment)?;
        }
        FirewallAction::DescribeGroup { name, comment } => {
            rules::describe_group(world, name, comment)?;
        }
        FirewallAction::DeleteGroup { name } => rules::delete_group(world, name)?,
        FirewallAction::InsertRule {
            site,
            list,
            fields,
            length: _,
        } => rules::insert(world, site, list, fields)?,
        FirewallAction::UpdateRule {
            site,
            list,
            position,
            set,
            delete,
        } => rules::update(world, site, list, *position, (set, delete))?,
        FirewallAction::MoveRule {
            site,
            list,
            from,
            to,
            rule: _,
        } => rules::shift(world, site, list, *from, *to)?,
        FirewallAction::DeleteRule {
            site,
            list,
            position,
            rule: _,
            length: _,
        } => rules::delete(world, site, list, *position)?,
        FirewallAction::SetOptions { site, set, delete } => {
            rules::options(world, site, set, delete)?;
        }
        FirewallAction::BeginTrial { .. } => {
            switch(world, ON_TRIAL)?;
        }
        FirewallAction::ConfirmTrial { .. } => {
            if switch(world, "1")?.as_deref() != Some(ON_TRIAL) {
                return Err(refused(NO_TRIAL.to_owned()));
            }
        }
    }
    Ok(())
}

/// Why a trial cannot be confirmed any more.
const NO_TRIAL: &str =
    "the datacenter's firewall is not on trial: its minute is over, and the firewall is off";

/// Sets the datacenter's `enable`; what it was.
fn switch(world: &mut World, to: &str) -> Result<Option<String>, Unpredictable> {
    let options = &mut scope(world, &Site::Cluster)?.options;
    Ok(options.insert("enable".to_owned(), to.to_owned()))
}

fn missing(cidr: &str, set: &str) -> Unpredictable {
    Unpredictable::Missing(format!("{cidr} in set {set}"))
}

/// The configuration at a place, to be changed. What was not read is never taken for empty.
pub(super) fn scope<'w>(world: &'w mut World, site: &Site) -> Result<&'w mut Scope, Unpredictable> {
    let place = site.place();
    match &place {
        Place::Guest(vmid) if !world.guests.contains_key(vmid) => {
            return Err(Unpredictable::Missing(format!("guest {vmid}")));
        }
        Place::Node(node) if !world.nodes.contains_key(node) => {
            return Err(Unpredictable::Missing(format!("node {node}")));
        }
        Place::Cluster | Place::Node(_) | Place::Guest(_) | Place::Vnet(_) => {}
    }
    if let Err(why) = world.firewalls.scope(&place) {
        return Err(refused(format!("{place} was not read: {why}")));
    }
    let scope = world.firewalls.scope_mut(&place);
    scope.ok_or_else(|| refused(format!("{place} was not read")))
}

fn alias(cidr: &str, comment: &Option<String>) -> Alias {
    Alias {
        cidr: element(cidr).unwrap_or_else(|| cidr.to_owned()),
        comment: comment.clone().filter(|text| !text.is_empty()),
    }
}

/// The name an alias has in this scope, whatever its case.
fn alias_key(scope: &Scope, name: &str) -> Result<String, Unpredictable> {
    let mut keys = scope.aliases.keys();
    keys.find(|known| known.eq_ignore_ascii_case(name))
        .cloned()
        .ok_or_else(|| Unpredictable::Missing(format!("alias {name}")))
}

fn set<'w>(world: &'w mut World, site: &Site, name: &str) -> Result<&'w mut IpSet, Unpredictable> {
    let set = scope(world, site)?.ipsets.get_mut(name);
    set.ok_or_else(|| Unpredictable::Missing(format!("set {name}")))
}

/// Puts an element into a set, where Proxmox VE puts it: first.
fn add(world: &mut World, site: &Site, name: &str, element: &Element) -> Result<(), Unpredictable> {
    if !element_known(world, site, &element.cidr)? {
        return Err(refused(format!("there is no alias {}", element.cidr)));
    }
    let set = set(world, site, name)?;
    let there = |entry: &SetEntry| same_element(&entry.cidr, &element.cidr);
    if set.entries.iter().any(there) {
        return Err(refused(format!(
            "{} is in set {name} already",
            element.cidr
        )));
    }
    let entry = SetEntry {
        cidr: crate::proxmox::firewall::element(&element.cidr)
            .unwrap_or_else(|| element.cidr.clone()),
        nomatch: element.nomatch,
        comment: element.comment.clone(),
        ..SetEntry::default()
    };
    set.entries.insert(0, entry);
    Ok(())
}

/// Whether what is to be put into a set is an address, or an alias that is there.
fn element_known(world: &mut World, site: &Site, cidr: &str) -> Result<bool, Unpredictable> {
    if crate::proxmox::firewall::network(cidr).is_some() {
        return Ok(true);
    }
    let Some((named, name)) = reference(cidr) else {
        return Ok(false);
    };
    let own = named != Some("dc") && scope(world, site)?.alias(name).is_some();
    // A set of the datacenter names only its own.
    let shared = named != Some("guest") && scope(world, &Site::Cluster)?.alias(name).is_some();
    Ok(own || shared)
}

/// What named an alias or a set while there was none of that name is no longer wrong.
fn named_again(world: &mut World, place: &Place, part: &FirewallPart) {
    let means = |text: &str| means(place, part, text);
    let mend = |scope: &mut Scope| {
        let groups = scope.groups.values_mut().flat_map(|group| &mut group.rules);
        for rule in scope.rules.iter_mut().chain(groups) {
            mend_rule(rule, &means);
        }
        for set in scope.ipsets.values_mut() {
            for entry in &mut set.entries {
                if means(&entry.cidr) {
                    entry.errors.clear();
                }
            }
        }
    };
    let faulty = |scope: &Scope| {
        let groups = scope.groups.values().flat_map(|group| &group.rules);
        let mut rules = scope.rules.iter().chain(groups);
        let mut entries = scope.ipsets.values().flat_map(|set| &set.entries);
        rules.any(|rule| !rule.errors.is_empty()) || entries.any(|entry| !entry.errors.is_empty())
    };
    let nodes = world.nodes.keys().cloned().map(Place::Node);
    let guests = world.firewalls.guests.keys().copied().map(Place::Guest);
    let vnets = world.firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
    let vnets = vnets.cloned().map(Place::Vnet);
    let all: BTreeSet<Place> = match place {
        Place::Guest(_) => BTreeSet::from([place.clone()]),
        Place::Cluster | Place::Node(_) | Place::Vnet(_) => nodes
            .chain(guests)
            .chain(vnets)
            .chain([Place::Cluster])
            .collect(),
    };
    for place in all {
        let wrong = world
            .firewalls
            .scope(&place)
            .is_ok_and(|scope| faulty(scope));
        if wrong && let Some(scope) = world.firewalls.scope_mut(&place) {
            mend(scope);
        }
    }
}

fn mend_rule(rule: &mut Rule, means: &impl Fn(&str) -> bool) {
    for field in ["source", "dest"] {
        if rule.fields.get(field).is_some_and(|text| means(text)) {
            rule.errors.remove(field);
        }
    }
}

/// Whether a text in a rule or a set names this alias or set.
fn means(place: &Place, part: &FirewallPart, text: &str) -> bool {
    let other = match place {
        Place::Guest(_) => "dc",
        Place::Cluster | Place::Node(_) | Place::Vnet(_) => "guest",
    };
    let named = |text: &str, wanted: &str, any_case: bool| {
        reference(text).is_some_and(|(scope, name)| {
            let same = name == wanted || (any_case && name.eq_ignore_ascii_case(wanted));
            same && scope != Some(other)
        })
    };
    match part {
        FirewallPart::Alias(name) => named(text, name, true),
        FirewallPart::Set(name) => text
            .strip_prefix('+')
            .is_some_and(|text| named(text, name, false)),
        FirewallPart::Group(_) | FirewallPart::Rules | FirewallPart::Options => false,
    }
}

/// What a read-back of a firewall shows that was not predicted.
pub(super) fn surprises(
    action: &FirewallAction,
    predicted: &World,
    observed: &World,
    found: &mut Vec<String>,
) {
    let (place, part) = (action.site().place(), action.part());
    let scopes = (
        predicted.firewalls.scope(&place),
        observed.firewalls.scope(&place),
    );
    let (expected, seen) = match scopes {
        (Ok(expected), Ok(seen)) => (expected, seen),
        (Err(why), _) | (_, Err(why)) => {
            return found.push(format!("{place} is not known: {why}"));
        }
    };
    if expected.state(&part) == seen.state(&part) {
        return;
    }
    found.push(match (expected.state(&part), seen.state(&part)) {
        (Some(_), None) => format!("{part} of {place} is not there"),
        (None, Some(_)) => format!("{part} of {place} is still there"),
        (Some(_) | None, _) => format!(
            "{part} of {place}: {} was predicted, {} is",
            told(expected, &part),
            told(seen, &part)
        ),
    });
}

/// Rules in a few words.
fn listed(rules: &[Rule]) -> String {
    let line = |rule: &Rule| {
        let fields = rule.fields.iter();
        let fields: Vec<String> = fields
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        fields.join(" ")
    };
    let lines: Vec<String> = rules.iter().map(line).collect();
    format!("`{}`", lines.join("; "))
}

/// A part in a few words.
fn told(scope: &Scope, part: &FirewallPart) -> String {
    let comment = |comment: &Option<String>| match comment {
        Some(comment) => format!(" # {comment}"),
        None => String::new(),
    };
    match part {
        FirewallPart::Alias(name) => scope.alias(name).map_or_else(String::new, |alias| {
            format!("`{}{}`", alias.cidr, comment(&alias.comment))
        }),
        FirewallPart::Set(name) => {
            let set = scope.ipsets.get(name);
            let entries = set.into_iter().flat_map(|set| &set.entries);
            let mut lines: Vec<String> = entries
                .map(|entry| {
                    let mark = if entry.nomatch { "!" } else { "" };
                    format!("{mark}{}{}", entry.cidr, comment(&entry.comment))
                })
                .collect();
            lines.sort_unstable();
            let about = set.map_or_else(String::new, |set| comment(&set.comment));
            format!("`{}{about}`", lines.join(", "))
        }
        FirewallPart::Group(name) => {
            let group = scope.group(name);
            let rules = group.map(|group| group.rules.as_slice());
            listed(rules.unwrap_or_default())
        }
        FirewallPart::Rules => listed(&scope.rules),
        FirewallPart::Options => {
            let options = scope.options.iter();
            let lines: Vec<String> = options
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("`{}`", lines.join(" "))
        }
    }
}
