//! What a world says of users, groups, roles and the entries of the access control list.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{AclPath, AclSubject, TokenId};
use crate::world::model::{AclEntry, Token, User, World};

/// The roles of a subject on a path, each with whether it holds below the path too.
pub fn roles_on(world: &World, path: &AclPath, subject: &AclSubject) -> BTreeMap<String, bool> {
    let of = world.acl.iter().filter(|entry| {
        entry.path == path.as_str()
            && entry.subject_type == subject.kind()
            && entry.subject == subject.id()
    });
    of.map(|entry| (entry.role.clone(), entry.propagate))
        .collect()
}

/// The entries of the access control list that name an object: those for a group (`group/ops`), for a user or one of its tokens
/// (`user/ann@pve`), for a token (`token/ann@pve!mon`), or of a role (`role/Ops`).
pub fn entries_naming<'w>(
    world: &'w World,
    object: &'w str,
) -> impl Iterator<Item = &'w AclEntry> + 'w {
    let (kind, id) = object.split_once('/').unwrap_or_default();
    world.acl.iter().filter(move |entry| match kind {
        "group" => entry.subject_type == "group" && entry.subject == id,
        "role" => entry.role == id,
        "token" => entry.subject_type == "token" && entry.subject == id,
        "user" => {
            let token = |rest: &str| rest.starts_with('!');
            (entry.subject_type == "user" && entry.subject == id)
                || (entry.subject_type == "token"
                    && entry.subject.strip_prefix(id).is_some_and(token))
        }
        _ => false,
    })
}

/// An entry in words: `Ops for group ops on /vms/100`.
pub fn entry_says(entry: &AclEntry) -> String {
    let AclEntry {
        path,
        subject_type,
        subject,
        role,
        propagate,
    } = entry;
    let below = if *propagate { "" } else { ", not below" };
    format!("{role} for {subject_type} {subject} on {path}{below}")
}

/// The fields of a user under the names of the API: what is written of it, and `enable` and `expire` always.
pub fn user_fields(user: &User) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = user.fields.clone().into_iter().collect();
    let enabled = if user.enabled { "1" } else { "0" };
    all.insert("enable".to_owned(), enabled.to_owned());
    all.insert("expire".to_owned(), user.expires.to_string());
    all
}

/// A token, if there is one of that id.
pub fn token<'w>(world: &'w World, id: &TokenId) -> Option<&'w Token> {
    world.users.get(id.owner())?.tokens.get(id.name())
}

/// The groups that a user is in.
pub fn groups_of(world: &World, user: &str) -> BTreeSet<String> {
    let groups = world.groups.iter();
    groups
        .filter(|(_, group)| group.members.contains(user))
        .map(|(id, _)| id.clone())
        .collect()
}
