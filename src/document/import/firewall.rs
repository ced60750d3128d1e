//! The documents of firewalls' aliases and sets, as they are.

use serde_json::{Map, Value, json};

use super::{Imported, path, settle};
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
