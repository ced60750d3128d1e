//! What must still be so of accounts: everything that was planned on is compared.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::AccountCheck;
use crate::world::{Section, World, views};

/// Whether it is so; an error says what is otherwise.
pub(super) fn check(check: &AccountCheck, world: &World) -> Result<(), String> {
    match check {
        AccountCheck::GroupAbsent { id } => {
            absent(world.groups.contains_key(id.as_str()), "group", id.as_str())
        }
        AccountCheck::UserAbsent { id } => {
            absent(world.users.contains_key(id.as_str()), "user", id.as_str())
        }
        AccountCheck::RoleAbsent { id } => {
            absent(world.roles.contains_key(id.as_str()), "role", id.as_str())
        }
        AccountCheck::GroupIs {
            id,
            comment,
            members,
        } => {
            let group = world.groups.get(id.as_str());
            let group = group.ok_or_else(|| format!("group {id} is gone"))?;
            let text =
                |text: &Option<String>| text.clone().unwrap_or_default().trim_end().to_owned();
            if text(&group.comment) != text(comment) {
                return Err(format!("group {id} has another comment now"));
            }
            same(
                &format!("group {id} has other members now"),
                &group.members,
                members,
            )
        }
        AccountCheck::UserIs {
            id,
            fields,
            groups,
            tokens,
        } => {
            let user = world.users.get(id.as_str());
            let user = user.ok_or_else(|| format!("user {id} is gone"))?;
            let now = views::user_fields(user);
            let keys: BTreeSet<&String> = now.keys().chain(fields.keys()).collect();
            if let Some(key) = keys
                .into_iter()
                .find(|key| now.get(*key) != fields.get(*key))
            {
                return Err(format!("user {id} has another {key} now"));
            }
            let is = views::groups_of(world, id.as_str());
            same(&format!("user {id} is in other groups now"), &is, groups)?;
            let is = user.tokens.keys().cloned().collect();
            same(&format!("user {id} has other tokens now"), &is, tokens)
        }
        AccountCheck::TokenAbsent { id } => match world.users.contains_key(id.owner()) {
            true => absent(views::token(world, id).is_some(), "token", id.as_str()),
            false => Err(format!("user {} is gone", id.owner())),
        },
        AccountCheck::TokenIs {
            id,
            separated,
            expires,
            comment,
        } => {
            let token = views::token(world, id).ok_or_else(|| format!("token {id} is gone"))?;
            let other = [
                ("separated", token.separated != *separated),
                ("expires", token.expires != *expires),
                ("comment", token.comment != *comment),
            ];
            match other.into_iter().find(|(_, other)| *other) {
                Some((field, _)) => Err(format!("token {id} has another `{field}` now")),
                None => Ok(()),
            }
        }
        AccountCheck::RoleIs { id, privileges } => {
            let role = world.roles.get(id.as_str());
            let role = role.ok_or_else(|| format!("role {id} is gone"))?;
            same(
                &format!("role {id} has other privileges now"),
                &role.privileges,
                privileges,
            )
        }
        AccountCheck::RealmAbsent { id } => {
            absent(world.realms.contains_key(id.as_str()), "realm", id.as_str())
        }
        AccountCheck::RealmIs {
            id,
            realm_type,
            settings,
        } => {
            let realm = world.realms.get(id.as_str());
            let realm = realm.ok_or_else(|| format!("realm {id} is gone"))?;
            if realm.realm_type != *realm_type {
                return Err(format!("realm {id} has the type {} now", realm.realm_type));
            }
            let none = Section::new();
            let now = world.realm_settings.of.get(id.as_str()).unwrap_or(&none);
            match views::realms_differ(id.as_str(), now, settings) {
                Some(key) => Err(format!("realm {id} has another {key} now")),
                None => Ok(()),
            }
        }
        AccountCheck::RealmUsers { id, users } => {
            let says = |users: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
                let tokens = |user: &String, names: &BTreeSet<String>| -> Vec<String> {
                    names.iter().map(|name| format!("{user}!{name}")).collect()
                };
                let all = users.iter();
                all.flat_map(|(user, names)| {
                    std::iter::once(user.clone()).chain(tokens(user, names))
                })
                .collect()
            };
            same(
                &format!("other users come from realm {id} now"),
                &says(&views::users_of_realm(world, id.as_str())),
                &says(users),
            )
        }
        AccountCheck::RuleIs {
            path,
            subject,
            roles,
        } => match views::roles_on(world, path, subject) {
            now if now == *roles => Ok(()),
            now => {
                let now: Vec<&str> = now.keys().map(String::as_str).collect();
                let now = match now.is_empty() {
                    true => "no role".to_owned(),
                    false => now.join(", "),
                };
                Err(format!(
                    "{subject} was given other roles on {path}: {now} now"
                ))
            }
        },
        AccountCheck::Entries { of, entries } => same(
            &format!("the access control list has other entries of {of} now"),
            &views::entries_naming(world, of)
                .map(views::entry_says)
                .collect(),
            entries,
        ),
    }
}

fn absent(there: bool, what: &str, id: &str) -> Result<(), String> {
    match there {
        false => Ok(()),
        true => Err(format!("{what} {id} exists already")),
    }
}

fn same(what: &str, now: &BTreeSet<String>, planned: &BTreeSet<String>) -> Result<(), String> {
    if now == planned {
        return Ok(());
    }
    let added = now.difference(planned).map(|new| format!("+ {new}"));
    let gone = planned.difference(now).map(|old| format!("− {old}"));
    let all: Vec<String> = added.chain(gone).collect();
    Err(format!("{what}: {}", all.join(", ")))
}
