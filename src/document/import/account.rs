//! The documents of groups, users, roles, access rules and realms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Imported, Section, fields, settle};
use crate::document::scalar::Expiry;
use crate::document::{Kind, ObjectKey};
use crate::ids::{AclRuleId, GroupId, RealmId, RoleId, UserId};

/// A user as it is.
#[derive(Debug, Clone)]
pub struct LiveUser<'a> {
    /// Its id.
    pub id: &'a UserId,
    /// Its fields under the names of the API; `enable` and `expire` always.
    pub fields: &'a BTreeMap<String, String>,
    /// The groups it is in.
    pub groups: &'a BTreeSet<String>,
}

fn begin(kind: Kind, name: String, object: String, id: &str) -> Imported {
    let named = name == id;
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    if !named {
        out.spec.insert("id".to_owned(), json!(id));
    }
    out
}

fn field(out: &mut Imported, name: &str, key: &str, value: Value) {
    out.place(vec![name.to_owned()], value, key, key.to_owned());
}

/// The document of a group.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn group(name: String, id: &GroupId, comment: Option<&str>) -> Result<Imported, String> {
    let mut out = begin(Kind::Group, name, format!("group/{id}"), id.as_str());
    let comment = comment.map(str::trim_end).filter(|text| !text.is_empty());
    if let Some(comment) = comment {
        field(&mut out, "comment", "comment", json!(comment));
    }
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a user. Of its password nothing is known.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn user(name: String, live: &LiveUser<'_>) -> Result<Imported, String> {
    let id = live.id;
    let mut out = begin(Kind::User, name, format!("user/{id}"), id.as_str());
    let text = |key: &str| live.fields.get(key).map(String::as_str).unwrap_or_default();
    field(&mut out, "enabled", "enable", json!(text("enable") == "1"));
    let expires = text("expire").parse().ok().and_then(Expiry::of_seconds);
    if let Some(expires) = expires {
        field(&mut out, "expires", "expire", json!(expires.as_str()));
    }
    for (name, key) in [
        ("firstName", "firstname"),
        ("lastName", "lastname"),
        ("email", "email"),
        ("comment", "comment"),
    ] {
        if !text(key).is_empty() {
            field(&mut out, name, key, json!(text(key)));
        }
    }
    field(&mut out, "groups", "groups", json!(live.groups));
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a role.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn role(name: String, id: &RoleId, privileges: &BTreeSet<String>) -> Result<Imported, String> {
    let mut out = begin(Kind::Role, name, format!("role/{id}"), id.as_str());
    out.spec.insert("privileges".to_owned(), json!(privileges));
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of an access rule, from the roles of its subject on its path.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn rule(
    name: String,
    id: &AclRuleId,
    roles: &BTreeMap<String, bool>,
) -> Result<Imported, String> {
    let flags: BTreeSet<bool> = roles.values().copied().collect();
    let propagate = match flags.first() {
        Some(only) if flags.len() == 1 => *only,
        _ => {
            return Err(
                "some of its roles hold below the path and some do not, which one document cannot say"
                    .to_owned(),
            );
        }
    };
    let key = ObjectKey {
        kind: Kind::AccessRule,
        name,
    };
    let mut out = Imported::new(key, format!("acl/{id}"));
    out.spec.insert("path".to_owned(), json!(id.path.as_str()));
    out.spec
        .insert(id.subject.kind().to_owned(), json!(id.subject.id()));
    let roles: Vec<&String> = roles.keys().collect();
    out.spec.insert("roles".to_owned(), json!(roles));
    out.spec.insert("propagate".to_owned(), json!(propagate));
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a realm, from its type and its settings. Of its secrets nothing is known.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn realm(
    name: String,
    id: &RealmId,
    realm_type: &str,
    settings: &Section,
) -> Result<Imported, String> {
    let mut out = begin(Kind::Realm, name, format!("realm/{id}"), id.as_str());
    out.spec.insert("type".to_owned(), json!(realm_type));
    let mut reading = fields::Reading::new(None, Kind::Realm, settings, &mut out);
    reading.fields();
    reading.rest();
    settle::settle(&mut out)?;
    Ok(out)
}
