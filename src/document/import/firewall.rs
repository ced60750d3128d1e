//! The documents of firewalls and of what is in them, as they are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Imported, Section, fields, path, settle};
use crate::document::desired::FirewallScope;
use crate::document::scalar::BlockName;
use crate::document::{Kind, ObjectKey};
use crate::ids::Vmid;

/// An alias as it is.
#[derive(Debug, Clone)]
pub struct LiveAlias<'a> {
    /// The guest whose firewall has it.
    pub guest: Option<Vmid>,
    /// Its name.
    pub name: &'a str,
    /// The address or network.
    pub cidr: &'a str,
    /// Its comment.
    pub comment: Option<&'a str>,
}

/// A set as it is.
#[derive(Debug, Clone)]
pub struct LiveIpSet<'a> {
    /// The guest whose firewall has it.
    pub guest: Option<Vmid>,
    /// Its name.
    pub name: &'a str,
    /// Its comment.
    pub comment: Option<&'a str>,
    /// Its elements: what each is, whether it is left out, its comment.
    pub entries: Vec<(&'a str, bool, Option<&'a str>)>,
}

fn said(comment: Option<&str>) -> Option<&str> {
    comment.filter(|text| !text.is_empty())
}

fn begin(kind: Kind, name: String, object: &str, own: &str, guest: Option<Vmid>) -> Imported {
    let named = name == own;
    let mut out = Imported::new(ObjectKey { kind, name }, object.to_owned());
    if let Some(vmid) = guest {
        out.spec.insert("guest".to_owned(), json!(vmid.get()));
    }
    if !named {
        out.spec.insert("name".to_owned(), json!(own));
    }
    out
}

fn commented(out: &mut Imported, comment: Option<&str>) {
    if let Some(text) = said(comment) {
        let word = "comment";
        out.place(path(&[word]), json!(text), word, word.to_owned());
    }
}

/// The document of an alias.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn alias(name: String, object: &str, live: &LiveAlias<'_>) -> Result<Imported, String> {
    let mut out = begin(Kind::FirewallAlias, name, object, live.name, live.guest);
    out.spec.insert("cidr".to_owned(), json!(live.cidr));
    commented(&mut out, live.comment);
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a set.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn ip_set(name: String, object: &str, live: &LiveIpSet<'_>) -> Result<Imported, String> {
    let mut out = begin(Kind::IpSet, name, object, live.name, live.guest);
    commented(&mut out, live.comment);
    let entries = live.entries.iter().map(|(cidr, nomatch, comment)| {
        let mut entry = Map::from_iter([("cidr".to_owned(), json!(cidr))]);
        if *nomatch {
            entry.insert("nomatch".to_owned(), json!(true));
        }
        if let Some(text) = said(*comment) {
            entry.insert("comment".to_owned(), json!(text));
        }
        Value::Object(entry)
    });
    let word = "entries";
    out.place(path(&[word]), entries.collect(), word, word.to_owned());
    settle::settle(&mut out)?;
    Ok(out)
}

/// The fields of a rule's document, with the key of Proxmox VE each stands for.
const RULE: &[(&str, &str)] = &[
    ("type", "direction"),
    ("action", "action"),
    ("macro", "macro"),
    ("proto", "proto"),
    ("source", "source"),
    ("dest", "dest"),
    ("sport", "sport"),
    ("dport", "dport"),
    ("iface", "iface"),
    ("icmp-type", "icmpType"),
    ("log", "log"),
    ("comment", "comment"),
];

/// The rules as documents say them.
///
/// # Errors
/// The rule that no document can say, and why.
fn rules(live: &[&Section]) -> Result<Value, String> {
    let rule = |(at, fields): (usize, &&Section)| {
        let mut out = Map::new();
        for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            let known = RULE.iter().find(|(known, _)| known == key);
            match (key.as_str(), known) {
                ("enable", _) if value == "0" => {
                    out.insert("enabled".to_owned(), json!(false));
                }
                ("enable", _) => {}
                (_, Some((_, field))) => {
                    out.insert((*field).to_owned(), json!(value));
                }
                (_, None) => {
                    return Err(format!("documents have no field for `{key}` of rule {at}"));
                }
            }
        }
        if !fields.contains_key("enable") {
            out.insert("enabled".to_owned(), json!(false));
        }
        Ok(Value::Object(out))
    };
    live.iter().enumerate().map(rule).collect()
}

/// A live list of rules.
#[derive(Debug, Clone)]
pub enum LiveRules<'a> {
    /// All of it is nobody else's.
    Whole(Vec<&'a Section>),
    /// Only what is in the block of this name.
    Block(&'a str, Vec<&'a Section>),
    /// No document can say it, for this reason.
    Unsaid(String),
}

fn place_rules(out: &mut Imported, live: &LiveRules<'_>) {
    let (word, said) = match live {
        LiveRules::Whole(live) => ("rules", rules(live)),
        LiveRules::Block(name, live) => {
            let said = match BlockName::new(name) {
                Ok(_) => rules(live),
                Err(error) => Err(format!("the block `{name}`: {error}")),
            };
            let block = said.map(|rules| json!({"name": name, "rules": rules}));
            ("block", block)
        }
        LiveRules::Unsaid(why) => ("rules", Err(why.clone())),
    };
    match said {
        Ok(said) => out.place(path(&[word]), said, word, word.to_owned()),
        Err(why) => out.leave_out(word, why),
    }
}

/// The document of a security group.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn security_group(
    name: String,
    object: &str,
    own: &str,
    comment: Option<&str>,
    live: &LiveRules<'_>,
) -> Result<Imported, String> {
    let mut out = begin(Kind::SecurityGroup, name, object, own, None);
    commented(&mut out, comment);
    place_rules(&mut out, live);
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a firewall.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn firewall(
    name: String,
    object: &str,
    scope: &FirewallScope,
    options: &BTreeMap<String, String>,
    live: &LiveRules<'_>,
) -> Result<Imported, String> {
    let kind = Kind::Firewall;
    let mut out = Imported::new(ObjectKey { kind, name }, object.to_owned());
    let (field, value) = match scope {
        FirewallScope::Cluster => ("cluster", json!(true)),
        FirewallScope::Node(node) => ("node", json!(node.as_str())),
        FirewallScope::Guest(vmid) => ("guest", json!(vmid.get())),
        FirewallScope::Vnet(vnet) => ("vnet", json!(vnet.as_str())),
    };
    out.spec.insert(field.to_owned(), value);
    let mut reading = fields::Reading::new(None, kind, options, &mut out);
    reading.fields();
    reading.rest();
    place_rules(&mut out, live);
    settle::settle(&mut out)?;
    Ok(out)
}
