//! The names of imported documents: that of the object where it is a valid and unique name of a document, else one made of its number
//! or id. The same cluster gives the same names, whichever part of it is imported.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::{Kind, ObjectKey, scalar};

/// An object that needs a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// The kind its document has.
    pub kind: Kind,
    /// Its VMID, or the id of a storage or pool.
    pub id: String,
    /// The name it goes by: of a guest the one in its configuration, of others the id.
    pub name: Option<String>,
    /// The name of the document that manages it already, if one does.
    pub managed_by: Option<String>,
}

/// A name for each object, in their order. `taken` are documents that are about something else.
pub fn names(objects: &[Unnamed], taken: &BTreeSet<ObjectKey>) -> Vec<String> {
    let mut used: BTreeSet<ObjectKey> = taken.clone();
    for object in objects {
        used.extend(object.managed_by.clone().map(|name| ObjectKey {
            kind: object.kind,
            name,
        }));
    }
    let mut wanted: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for object in objects.iter().filter(|object| object.managed_by.is_none()) {
        if let Some(name) = &object.name {
            *wanted.entry((object.kind, name)).or_default() += 1;
        }
    }
    let own: Vec<Option<String>> = objects
        .iter()
        .map(|object| {
            let name = object.name.as_ref().filter(|name| {
                let key = ObjectKey {
                    kind: object.kind,
                    name: (*name).clone(),
                };
                matches!(scalar::check("object-name", name), Some(Ok(_)))
                    && wanted.get(&(object.kind, name.as_str())) == Some(&1)
                    && !used.contains(&key)
                    && !of_another(object, name)
            });
            object.managed_by.clone().or_else(|| name.cloned())
        })
        .collect();
    // Made names come after those that objects have, so that they step aside for them.
    for (object, name) in objects.iter().zip(&own) {
        used.extend(name.clone().map(|name| ObjectKey {
            kind: object.kind,
            name,
        }));
    }
    objects
        .iter()
        .zip(own)
        .map(|(object, own)| {
            own.unwrap_or_else(|| {
                let name = free(object.kind, &fallback(object), &used);
                used.insert(ObjectKey {
                    kind: object.kind,
                    name: name.clone(),
                });
                name
            })
        })
        .collect()
}

/// Whether a guest's name is the one made for another guest's number.
fn of_another(object: &Unnamed, name: &str) -> bool {
    let Some(word) = word(object.kind) else {
        return false;
    };
    name.strip_prefix(word)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|number| number != object.id && number.bytes().all(|b| b.is_ascii_digit()))
}

fn word(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::VirtualMachine => Some("vm"),
        Kind::Container => Some("ct"),
        Kind::Storage
        | Kind::Pool
        | Kind::BackupJob
        | Kind::Snapshot
        | Kind::ReplicationJob
        | Kind::Image
        | Kind::Group
        | Kind::User
        | Kind::Role
        | Kind::AccessRule
        | Kind::ApiToken
        | Kind::Realm
        | Kind::FirewallAlias
        | Kind::IpSet
        | Kind::SecurityGroup
        | Kind::Firewall => None,
    }
}

/// `vm-104`; of storages and pools the id with everything that a name cannot have as `-`.
fn fallback(object: &Unnamed) -> String {
    if let Some(word) = word(object.kind) {
        return format!("{word}-{}", object.id);
    }
    let id = object.id.to_ascii_lowercase();
    let plain: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(50)
        .collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() {
        object.kind.as_str().to_ascii_lowercase()
    } else {
        plain.to_owned()
    }
}

/// A name that is free: this one, or with the first number that makes it so.
fn free(kind: Kind, name: &str, used: &BTreeSet<ObjectKey>) -> String {
    let is_free = |name: &String| {
        !used.contains(&ObjectKey {
            kind,
            name: name.clone(),
        })
    };
    std::iter::once(name.to_owned())
        .chain((2u64..).map(|number| format!("{name}-{number}")))
        .find(is_free)
        .unwrap_or_else(|| name.to_owned())
}
