//! Groups, users, roles, realms and access rules as resources: which there are, in which state, and what is told of one.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::AclRuleId;
use crate::world::{World, views};

/// What is told of one, and who or what is in it.
type Facts = (BTreeMap<String, String>, BTreeSet<String>);

/// The ids of a kind, each with its state in a word.
pub(in crate::service) fn lines(world: &World, kind: &str) -> Vec<(String, &'static str)> {
    let plain = |id: &String| (id.clone(), "enabled");
    match kind {
        "group" => world.groups.keys().map(plain).collect(),
        "user" => {
            let users = world.users.iter();
            users
                .map(|(id, _)| (id.clone(), status(world, id)))
                .collect()
        }
        "role" => world.roles.keys().map(plain).collect(),
        "realm" => world.realms.keys().map(plain).collect(),
        _ => {
            let rules: BTreeSet<String> = world
                .acl
                .iter()
                .map(|entry| format!("{}:{}{}", entry.subject_type, entry.subject, entry.path))
                .collect();
            rules.iter().map(plain).collect()
        }
    }
}

/// Whether a user may log in, in a word.
pub(in crate::service) fn status(world: &World, id: &str) -> &'static str {
    let now = world.observed_at.as_second();
    match world.users.get(id) {
        Some(user) if !user.enabled => "disabled",
        Some(user) if user.expires != 0 && user.expires < now => "expired",
        Some(_) => "enabled",
        None => "unknown",
    }
}

/// What is told of one.
pub(in crate::service) fn facts(world: &World, kind: &str, id: &str) -> Option<Facts> {
    let mut told = BTreeMap::new();
    let object = format!("{kind}/{id}");
    let given = |told: &mut BTreeMap<String, String>| {
        let entries = views::entries_naming(world, &object).map(views::entry_says);
        let entries: BTreeSet<String> = entries.collect();
        if !entries.is_empty() {
            let entries: Vec<String> = entries.into_iter().collect();
            told.insert("accessRules".to_owned(), entries.join("; "));
        }
    };
    match kind {
        "group" => {
            let group = world.groups.get(id)?;
            told.extend(
                group
                    .comment
                    .clone()
                    .map(|text| ("comment".to_owned(), text)),
            );
            given(&mut told);
            let members = group.members.iter();
            Some((told, members.map(|user| format!("user/{user}")).collect()))
        }
        "user" => {
            let user = world.users.get(id)?;
            told.extend(views::user_fields(user));
            let tokens: Vec<&str> = user.tokens.keys().map(String::as_str).collect();
            if !tokens.is_empty() {
                told.insert("tokens".to_owned(), tokens.join(", "));
            }
            given(&mut told);
            let groups = views::groups_of(world, id).into_iter();
            Some((told, groups.map(|group| format!("group/{group}")).collect()))
        }
        "role" => {
            let role = world.roles.get(id)?;
            let privileges: Vec<&str> = role.privileges.iter().map(String::as_str).collect();
            told.insert("privileges".to_owned(), privileges.join(", "));
            let special = if role.special { "yes" } else { "no" };
            told.insert("builtIn".to_owned(), special.to_owned());
            given(&mut told);
            Some((told, BTreeSet::new()))
        }
        "realm" => {
            let realm = world.realms.get(id)?;
            told.insert("type".to_owned(), realm.realm_type.clone());
            let settings = world.realm_settings.of.get(id).into_iter().flatten();
            told.extend(settings.map(|(key, value)| (key.clone(), value.clone())));
            let users = views::users_of_realm(world, id).into_keys();
            Some((told, users.map(|user| format!("user/{user}")).collect()))
        }
        "acl" => {
            let rule: AclRuleId = id.parse().ok()?;
            let roles = views::roles_on(world, &rule.path, &rule.subject);
            if roles.is_empty() {
                return None;
            }
            told.insert("path".to_owned(), rule.path.to_string());
            told.insert(rule.subject.kind().to_owned(), rule.subject.id().to_owned());
            for (role, propagate) in roles {
                let below = if propagate { "also below" } else { "not below" };
                told.insert(format!("roles.{role}"), below.to_owned());
            }
            Some((told, BTreeSet::new()))
        }
        _ => None,
    }
}
