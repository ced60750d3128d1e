//! A rule's fields as values: what is equal, what a rule matches as far as its own fields say, and what it does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Groups;
use crate::health::reach::{
    Address, Entry, Environment, Family, Lowered, Network, Objects, Ranges, Read, RuleText, Traffic,
};
use crate::world::Section;
use crate::world::firewall::Rule;

/// Fields that Proxmox VE adds to what it shows.
const ADDED: &[&str] = &["pos", "digest", "errors", "ipversion"];
/// Fields that change nothing about what passes.
const SILENT: &[&str] = &["comment", "log"];

/// Whether a rule is switched on. One that does not say it is off.
pub(super) fn enabled(fields: &Section) -> bool {
    fields
        .get("enable")
        .is_some_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// Fields in one form for one meaning: what is off, empty or the default is left out, addresses are networks without host bits, lists are
/// in order, and names that Proxmox VE takes in any case are in lower case.
pub(super) fn canonical(fields: &Section) -> Section {
    let mut canonical = Section::new();
    for (key, value) in fields {
        let value = match key.as_str() {
            key if ADDED.contains(&key) => continue,
            "enable" if enabled(fields) => "1".to_owned(),
            "enable" => continue,
            "log" if value == "nolog" => continue,
            "source" | "dest" => list(value, address),
            "dport" | "sport" => list(value, str::to_owned),
            "macro" => value.to_ascii_lowercase(),
            _ => value.trim().to_owned(),
        };
        if !value.is_empty() {
            canonical.insert(key.clone(), value);
        }
    }
    canonical
}

fn list(text: &str, one: impl Fn(&str) -> String) -> String {
    let mut parts: Vec<String> = text.split(',').map(|part| one(part.trim())).collect();
    parts.sort();
    parts.dedup();
    parts.join(",")
}

fn address(text: &str) -> String {
    if let Some(network) = Network::parse(text) {
        let address = Address {
            family: network.address.family,
            value: network.span().0,
        };
        return Network { address, ..network }.to_string();
    }
    let range = text.split_once('-');
    let range = range.and_then(|(low, high)| Some((Address::parse(low)?, Address::parse(high)?)));
    match range {
        Some((low, high)) => format!("{low}-{high}"),
        None if text.starts_with('+') => text.to_owned(),
        None => text.to_ascii_lowercase(),
    }
}

/// Whether two rules mean the same to Proxmox VE, comments and logging included.
#[must_use]
pub fn same(one: &Rule, other: &Rule) -> bool {
    canonical(&one.fields) == canonical(&other.fields)
}

/// A rule's fields as a new rule is sent: without what is empty, and saying whether it is on.
pub(super) fn sent(fields: &Section, on: bool) -> Section {
    let mut sent: Section = fields
        .iter()
        .filter(|(key, value)| !value.is_empty() && !ADDED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    sent.insert("enable".to_owned(), u8::from(on).to_string());
    sent
}

/// What must be set and taken away to make one rule of another.
pub(super) fn difference(is: &Section, wanted: &Section) -> (Section, Vec<String>) {
    let (was, now) = (canonical(is), canonical(wanted));
    let mut set: Section = now
        .iter()
        .filter(|(key, value)| was.get(*key) != Some(value))
        .map(|(key, value)| {
            let text = wanted.get(key).unwrap_or(value);
            (key.clone(), text.clone())
        })
        .collect();
    if enabled(is) != enabled(wanted) {
        let on = u8::from(enabled(wanted)).to_string();
        set.insert("enable".to_owned(), on);
    }
    let gone = was.into_keys();
    let gone = gone.filter(|key| key != "enable" && !now.contains_key(key));
    (set, gone.collect())
}

/// Changes a rule as Proxmox VE does.
pub(super) fn change(rule: &mut Rule, set: &Section, delete: &[String]) {
    for key in delete {
        rule.fields.remove(key);
    }
    for (key, value) in set {
        if value.is_empty() {
            rule.fields.remove(key);
        } else {
            rule.fields.insert(key.clone(), value.clone());
        }
    }
    let on = u8::from(enabled(&rule.fields)).to_string();
    rule.fields.insert("enable".to_owned(), on);
    rule.errors.clear();
}

/// A rule in a few words.
pub(super) fn words(fields: &Section) -> String {
    let get = |key: &str| fields.get(key).map_or("", String::as_str);
    let named = |key: &str| match get(key) {
        "" => String::new(),
        value => format!(" {key} {value}"),
    };
    let rest: String = ["macro", "iface", "source", "dest", "proto", "dport"]
        .into_iter()
        .map(named)
        .collect();
    format!("`{} {}{rest}`", get("type"), get("action"))
}

/// Addresses as a rule's field says them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// Every one.
    Any,
    /// These, of both versions.
    Known(Ranges, Ranges),
    /// Those behind a name, or none if the field is broken: whatever they are, the same for the same text.
    Named,
}

impl Side {
    fn of(text: Option<&String>) -> Self {
        let Some(text) = text else { return Self::Any };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            let span = Network::parse(part).map_or_else(
                || {
                    let (low, high) = part.split_once('-')?;
                    let (low, high) = (Address::parse(low)?, Address::parse(high)?);
                    (low.family == high.family).then_some((low.family, (low.value, high.value)))
                },
                |network| Some((network.address.family, network.span())),
            );
            match span {
                Some((Family::V4, span)) => v4.push(span),
                Some((Family::V6, span)) => v6.push(span),
                None => return Self::Named,
            }
        }
        // Proxmox VE takes a rule that mixes the versions for broken.
        if !v4.is_empty() && !v6.is_empty() {
            return Self::Named;
        }
        Self::Known(Ranges::from_parts(v4), Ranges::from_parts(v6))
    }

    fn disjoint(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(a, b), Self::Known(c, d)) => {
                a.intersection(c).is_empty() && b.intersection(d).is_empty()
            }
            _ => false,
        }
    }

    fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Any) => true,
            (Self::Known(a, b), Self::Known(c, d)) => {
                a.minus(c).is_empty() && b.minus(d).is_empty()
            }
            _ => false,
        }
    }
}

/// What a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matches {
    /// The fields that say it, in their canonical form. Two rules with the same match the same.
    key: Section,
    /// `None`: nobody knows, it may be everything.
    shape: Option<Shape>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    source: Side,
    dest: Side,
    traffic: Option<[Vec<Traffic>; 2]>,
}

impl Matches {
    fn of(canonical: &Section) -> Self {
        let mut key = canonical.clone();
        key.retain(|field, _| {
            !SILENT.contains(&field.as_str()) && field != "enable" && field != "action"
        });
        let shape = Shape {
            source: Side::of(canonical.get("source")),
            dest: Side::of(canonical.get("dest")),
            traffic: traffic(&key),
        };
        Self {
            key,
            shape: Some(shape),
        }
    }

    /// What a call of a group may match.
    fn unknown(canonical: &Section) -> Self {
        let mut key = canonical.clone();
        key.retain(|field, _| !SILENT.contains(&field.as_str()) && field != "enable");
        Self { key, shape: None }
    }

    /// Whether no packet is matched by both. `false` if nobody knows.
    pub(super) fn disjoint(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (&self.shape, &other.shape) else {
            return false;
        };
        let differ = |field: &str| match (self.key.get(field), other.key.get(field)) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        let apart = |one: &[Traffic], other: &[Traffic]| {
            let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
            pairs.into_iter().all(|(a, b)| traffic_apart(a, b))
        };
        differ("type")
            || differ("iface")
            || one.source.disjoint(&two.source)
            || one.dest.disjoint(&two.dest)
            || match (&one.traffic, &two.traffic) {
                (Some([a, b]), Some([c, d])) => apart(a, c) && apart(b, d),
                _ => false,
            }
    }

    /// Whether every packet that this matches is matched by the other. `false` if nobody knows.
    pub(super) fn within(&self, other: &Self) -> bool {
        if self.key == other.key {
            return true;
        }
        let (Some(one), Some(two)) = (&self.shape, &other.shape) else {
            return false;
        };
        let same = |field: &str| self.key.get(field) == other.key.get(field);
        let side = |field: &str, one: &Side, two: &Side| {
            one.within(two) || (*one == Side::Named && same(field))
        };
        let inside = |one: &[Traffic], other: &[Traffic]| {
            one.iter()
                .all(|a| other.iter().any(|b| traffic_within(a, b)))
        };
        same("type")
            && (!other.key.contains_key("iface") || same("iface"))
            && side("source", &one.source, &two.source)
            && side("dest", &one.dest, &two.dest)
            && match (&one.traffic, &two.traffic) {
                (Some([a, b]), Some([c, d])) => inside(a, c) && inside(b, d),
                _ => ["macro", "proto", "dport", "sport", "icmp-type"]
                    .into_iter()
                    .all(same),
            }
    }
}

/// Protocols and ports of a rule, for both versions of IP; `None` if they are not known here, or Proxmox VE may take the rule for broken.
fn traffic(fields: &Section) -> Option<[Vec<Traffic>; 2]> {
    let mut fields = fields.clone();
    for gone in ["source", "dest", "iface"] {
        fields.remove(gone);
    }
    fields.insert("action".to_owned(), "ACCEPT".to_owned());
    fields.insert("enable".to_owned(), "1".to_owned());
    let text = RuleText::of_fields(&fields, &BTreeMap::new());
    let entry = Entry::read(&text, Environment::Cluster, &Objects::default(), None);
    let Read::Rule(rule) = entry.read else {
        return None;
    };
    let of = |family| match rule.traffic(family) {
        Lowered::Matches(traffic) => Some(traffic.clone()),
        Lowered::Fails(_) | Lowered::Unknown(..) => None,
    };
    Some([of(Family::V4)?, of(Family::V6)?])
}

type Ports = Option<Arc<Ranges>>;

fn traffic_apart(one: &Traffic, other: &Traffic) -> bool {
    let ports = |one: &Ports, other: &Ports| match (one, other) {
        (Some(one), Some(other)) => Ranges::intersection(one, other).is_empty(),
        _ => false,
    };
    match (one.protocol, other.protocol) {
        (Some(a), Some(b)) if a != b => true,
        (Some(_), Some(_)) => {
            ports(&one.ports, &other.ports) || ports(&one.source_ports, &other.source_ports)
        }
        _ => false,
    }
}

fn traffic_within(one: &Traffic, other: &Traffic) -> bool {
    let ports = |one: &Ports, other: &Ports| match (one, other) {
        (_, None) => true,
        (Some(one), Some(other)) => Ranges::minus(one, other).is_empty(),
        (None, Some(_)) => false,
    };
    (other.protocol.is_none() || one.protocol == other.protocol)
        && ports(&one.ports, &other.ports)
        && ports(&one.source_ports, &other.source_ports)
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decides {
    Accept,
    Drop,
    /// Accepts or drops, nobody knows what.
    Either,
}

/// What a rule, or the group that it calls, does, in order. Nothing if it is off.
pub(super) fn effect(fields: &Section, groups: &Groups) -> Vec<(Decides, Matches)> {
    let rule = canonical(fields);
    if !enabled(&rule) {
        return Vec::new();
    }
    let word = |key: &str| rule.get(key).map_or("", String::as_str);
    if word("type") != "group" {
        return one(&rule);
    }
    let Some(inner) = groups.get(word("action")) else {
        return vec![(Decides::Either, Matches::unknown(&rule))];
    };
    let inner = inner.iter().map(|inner| canonical(&inner.fields));
    inner
        .filter(enabled)
        .flat_map(|mut inner| {
            if let Some(iface) = rule.get("iface") {
                inner.insert("iface".to_owned(), iface.clone());
            }
            one(&inner)
        })
        .collect()
}

fn one(rule: &Section) -> Vec<(Decides, Matches)> {
    let decides = match rule.get("action").map_or("", String::as_str) {
        "ACCEPT" => Decides::Accept,
        "DROP" | "REJECT" => Decides::Drop,
        _ => return vec![(Decides::Either, Matches::unknown(rule))],
    };
    vec![(decides, Matches::of(rule))]
}
