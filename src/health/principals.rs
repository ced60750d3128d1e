//! Who may do what in a world: what of it decides, which paths there are, and on which of them a change may matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::access::{Configuration, Entry, Pool, Subject, Token, User, ancestors};
use crate::world::{Part, World};

/// The parts of a world that decide who may do what.
pub const DECIDING: [Part; 5] = [
    Part::Users,
    Part::Groups,
    Part::Roles,
    Part::Acl,
    Part::Pools,
];

/// The parts that decide who may do what and were not read whole, each with the reason. As long as there are any, an answer is a guess.
#[must_use]
pub fn undecided(world: &World) -> Vec<(Part, String)> {
    let parts = DECIDING.into_iter();
    parts
        .filter_map(|part| {
            let why = world.unreadable(&part)?.to_owned();
            Some((part, why))
        })
        .collect()
}

/// What of a world decides who may do what. It says nothing of parts that were not read: see [`undecided`].
#[must_use]
pub fn deciding(world: &World) -> Configuration {
    let mut all = Configuration::default();
    for (id, user) in &world.users {
        for (name, token) in &user.tokens {
            let token = Token {
                separated: token.separated,
                expires: token.expires,
            };
            all.tokens.insert(format!("{id}!{name}"), token);
        }
        let user = User {
            enabled: user.enabled,
            expires: user.expires,
        };
        all.users.insert(id.clone(), user);
    }
    let groups = world.groups.iter();
    all.groups = groups
        .map(|(id, group)| (id.clone(), group.members.clone()))
        .collect();
    let roles = world.roles.iter();
    all.roles = roles
        .map(|(id, role)| (id.clone(), role.privileges.clone()))
        .collect();
    for (id, pool) in &world.pools {
        let pool = Pool {
            guests: pool.guests.iter().map(|vmid| vmid.get()).collect(),
            storages: pool.storages.iter().map(ToString::to_string).collect(),
        };
        all.pools.insert(id.to_string(), pool);
    }
    if world.unreadable(&Part::Realms).is_none() {
        all.realms = Some(world.realms.keys().cloned().collect());
    }
    for entry in world.acl.iter() {
        let id = entry.subject.clone();
        let subject = match entry.subject_type.as_str() {
            "user" => Subject::User(id),
            "token" => Subject::Token(id),
            _ => Subject::Group(id),
        };
        all.entries.push(Entry {
            path: entry.path.clone(),
            subject,
            role: entry.role.clone(),
            propagate: entry.propagate,
        });
    }
    all
}

/// The paths of a world: those that decide, and those of everything there is.
fn paths(world: &World, configuration: &Configuration) -> BTreeSet<String> {
    let mut paths = configuration.paths();
    paths.extend(world.guests.keys().map(|vmid| format!("/vms/{vmid}")));
    paths.extend(world.storages.keys().map(|id| format!("/storage/{id}")));
    paths.extend(world.nodes.keys().map(|name| format!("/nodes/{name}")));
    paths
}

/// Whether what a path is about is there; `true` for paths that are about nothing in particular.
fn is_there(world: &World, path: &str) -> bool {
    let parts: Vec<&str> = path.splitn(4, '/').collect();
    match parts.as_slice() {
        ["", "vms", vmid] => vmid
            .parse()
            .is_ok_and(|vmid| world.guests.contains_key(&vmid)),
        ["", "storage", id] => id.parse().is_ok_and(|id| world.storages.contains_key(&id)),
        ["", "pool", ..] if path != "/pool" => path
            .strip_prefix("/pool/")
            .is_some_and(|id| id.parse().is_ok_and(|id| world.pools.contains_key(&id))),
        _ => true,
    }
}

/// The paths on which what somebody holds may change from one world to the next, of things that are there before and after: members
/// that come into a pool or leave it, and all at and below the path of an entry of the access control list that came or went.
#[must_use]
pub fn affected(before: &World, after: &World) -> BTreeSet<String> {
    let mut found = moved(before, after);
    let anybody = !same(&before.users, &after.users)
        || !same(&before.groups, &after.groups)
        || !same(&before.roles, &after.roles)
        || !same(&before.realms, &after.realms);
    if anybody || !Arc::ptr_eq(&before.acl, &after.acl) {
        let (was, is) = (deciding(before), deciding(after));
        let listed = |of: &Configuration| of.entries.iter().cloned().collect::<BTreeSet<Entry>>();
        let (one, other) = (listed(&was), listed(&is));
        let changed: BTreeSet<&str> = one
            .symmetric_difference(&other)
            .map(|entry| entry.path.as_str())
            .collect();
        let below = |path: &str| ancestors(path).any(|at| changed.contains(at));
        let mut all = paths(before, &was);
        all.extend(paths(after, &is));
        found.extend(all.into_iter().filter(|path| {
            let pools = was.pools_over(path).into_iter().chain(is.pools_over(path));
            anybody || below(path) || pools.into_iter().any(|id| below(&format!("/pool/{id}")))
        }));
    }
    found.retain(|path| is_there(before, path) && is_there(after, path));
    found
}

/// The members that are in a pool in one of two worlds and not in the other.
fn moved(before: &World, after: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let ids: BTreeSet<_> = before.pools.keys().chain(after.pools.keys()).collect();
    for id in ids {
        let (was, is) = (before.pools.get(id), after.pools.get(id));
        if let (Some(was), Some(is)) = (was, is)
            && Arc::ptr_eq(was, is)
        {
            continue;
        }
        let none = Arc::default();
        let (was, is) = (was.unwrap_or(&none), is.unwrap_or(&none));
        let guests = was.guests.symmetric_difference(&is.guests);
        found.extend(guests.map(|vmid| format!("/vms/{vmid}")));
        let storages = was.storages.symmetric_difference(&is.storages);
        found.extend(storages.map(|id| format!("/storage/{id}")));
    }
    found
}

fn same<T>(one: &BTreeMap<String, Arc<T>>, other: &BTreeMap<String, Arc<T>>) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((one, was), (other, is))| one == other && Arc::ptr_eq(was, is))
}
