//! Groups, users, roles and the access control list in prediction, as `user.cfg` is written (PVE::AccessControl, PVE::API2::User,
//! Group, Role, ACL). What a deletion takes along is not checked by Proxmox VE: it goes without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::plain;
use super::{Unpredictable, refused};
use crate::ids::{AclPath, AclSubject, GroupId, RoleId, TokenId};
use crate::world::action::AccountAction;
use crate::world::model::{AclEntry, Group, Part, Role, Section, Token, User, World};

/// The superuser; entries of the access control list that name it are not kept.
const ROOT: &str = "root@pam";

/// Applies an action on accounts.
pub(super) fn apply(world: &mut World, action: &AccountAction) -> Result<(), Unpredictable> {
    match action {
        AccountAction::CreateGroup { id, comment } => {
            if world.groups.contains_key(id.as_str()) {
                return Err(refused(format!("group {id} already exists")));
            }
            let group = Group {
                members: BTreeSet::new(),
                comment: comment.clone().filter(|text| !text.is_empty()),
            };
            world.groups.insert(id.to_string(), Arc::new(group));
        }
        AccountAction::UpdateGroup { id, comment } => {
            let group = world.groups.get_mut(id.as_str());
            let group = group.ok_or_else(|| missing("group", id.as_str()))?;
            Arc::make_mut(group).comment = Some(comment.clone()).filter(|text| !text.is_empty());
        }
        AccountAction::DeleteGroup { id } => {
            known(world, &[Part::Acl])?;
            let gone = world.groups.remove(id.as_str());
            gone.ok_or_else(|| missing("group", id.as_str()))?;
            forget(world, |entry| {
                entry.subject_type == "group" && entry.subject == id.as_str()
            });
        }
        AccountAction::CreateUser { id, params } => {
            if world.users.contains_key(id.as_str()) {
                return Err(refused(format!("user {id} already exists")));
            }
            let mut user = User {
                enabled: true,
                ..User::default()
            };
            set_user(&mut user, &plain(params));
            world.users.insert(id.to_string(), Arc::new(user));
            set_groups(world, id.as_str(), action.groups())?;
        }
        AccountAction::UpdateUser { id, set } => {
            let user = world.users.get_mut(id.as_str());
            let user = user.ok_or_else(|| missing("user", id.as_str()))?;
            let mut now = user.as_ref().clone();
            set_user(&mut now, &plain(set));
            if now != **user {
                *user = Arc::new(now);
            }
            set_groups(world, id.as_str(), action.groups())?;
        }
        AccountAction::DeleteUser { id } => delete_user(world, id.as_str())?,
        AccountAction::CreateToken { id, params, .. } => {
            let user = owner(world, id)?;
            if user.tokens.contains_key(id.name()) {
                return Err(refused(format!("token {id} already exists")));
            }
            let mut token = Token {
                separated: true,
                expires: 0,
                comment: None,
            };
            set_token(&mut token, &plain(params), &BTreeSet::new());
            user.tokens.insert(id.name().to_owned(), token);
        }
        AccountAction::UpdateToken { id, set, delete } => {
            let token = owner(world, id)?.tokens.get_mut(id.name());
            let token = token.ok_or_else(|| missing("token", id.as_str()))?;
            set_token(token, &plain(set), delete);
        }
        AccountAction::DeleteToken { id } => {
            known(world, &[Part::Acl])?;
            let gone = owner(world, id)?.tokens.remove(id.name());
            gone.ok_or_else(|| missing("token", id.as_str()))?;
            // In the file they stand until it is written next, but nobody reads entries of a token that there is not.
            forget(world, |entry| {
                entry.subject_type == "token" && entry.subject == id.as_str()
            });
        }
        AccountAction::CreateRole { id, privileges } => {
            if world.roles.contains_key(id.as_str()) {
                return Err(refused(format!("role {id} already exists")));
            }
            let role = Role {
                privileges: privileges.clone(),
                special: false,
            };
            world.roles.insert(id.to_string(), Arc::new(role));
        }
        AccountAction::UpdateRole { id, privileges } => {
            let role = own_role(world, id)?;
            Arc::make_mut(role).privileges.clone_from(privileges);
        }
        AccountAction::DeleteRole { id } => {
            known(world, &[Part::Acl])?;
            own_role(world, id)?;
            world.roles.remove(id.as_str());
            forget(world, |entry| entry.role == id.as_str());
        }
        AccountAction::CreateRealm { .. }
        | AccountAction::UpdateRealm { .. }
        | AccountAction::DeleteRealm { .. } => super::realms::apply(world, action)?,
        AccountAction::Grant {
            path,
            subject,
            roles,
            propagate,
        } => grant(world, path, subject, roles, *propagate)?,
        AccountAction::Revoke {
            path,
            subject,
            roles,
        } => {
            known(world, &[Part::Acl])?;
            let roles: BTreeSet<&str> = roles.iter().map(RoleId::as_str).collect();
            forget(world, |entry| {
                is_of(entry, path, subject) && roles.contains(entry.role.as_str())
            });
        }
    }
    Ok(())
}

pub(super) fn missing(what: &str, id: &str) -> Unpredictable {
    Unpredictable::Missing(format!("{what} {id}"))
}

/// That parts which decide what happens were read.
pub(super) fn known(world: &World, parts: &[Part]) -> Result<(), Unpredictable> {
    for part in parts {
        if let Some(why) = world.unreadable(part) {
            return Err(Unpredictable::Unread {
                part: part.clone(),
                why: why.to_owned(),
            });
        }
    }
    Ok(())
}

/// A role that is not one of those Proxmox VE brings along.
fn own_role<'w>(world: &'w mut World, id: &RoleId) -> Result<&'w mut Arc<Role>, Unpredictable> {
    let role = world.roles.get_mut(id.as_str());
    let role = role.ok_or_else(|| missing("role", id.as_str()))?;
    if role.special {
        return Err(refused(format!(
            "role {id} is one of Proxmox VE's own and cannot be changed"
        )));
    }
    Ok(role)
}

/// Takes entries out of the access control list.
fn forget(world: &mut World, gone: impl Fn(&AclEntry) -> bool) {
    if world.acl.iter().any(&gone) {
        Arc::make_mut(&mut world.acl).retain(|entry| !gone(entry));
    }
}

fn is_of(entry: &AclEntry, path: &AclPath, subject: &AclSubject) -> bool {
    entry.path == path.as_str()
        && entry.subject_type == subject.kind()
        && entry.subject == subject.id()
}

/// The user that a token belongs to.
fn owner<'w>(world: &'w mut World, id: &TokenId) -> Result<&'w mut User, Unpredictable> {
    let user = world.users.get_mut(id.owner());
    let user = user.ok_or_else(|| missing("user", id.owner()))?;
    Ok(Arc::make_mut(user))
}

/// An empty comment of a token that is there changes nothing before Proxmox VE 9.2, so it is not sent; `delete` takes one away.
fn set_token(token: &mut Token, set: &Section, delete: &BTreeSet<String>) {
    for (key, value) in set {
        match key.as_str() {
            "privsep" => token.separated = value == "1",
            "expire" => token.expires = value.parse().unwrap_or(0),
            "comment" => token.comment = Some(value.clone()).filter(|text| !text.is_empty()),
            _ => {}
        }
    }
    if delete.contains("comment") {
        token.comment = None;
    }
}

fn set_user(user: &mut User, set: &Section) {
    for (key, value) in set {
        match key.as_str() {
            "enable" => user.enabled = value == "1",
            "expire" => user.expires = value.parse().unwrap_or(0),
            "firstname" | "lastname" | "email" | "comment" if value.is_empty() => {
                user.fields.remove(key);
            }
            "firstname" | "lastname" | "email" | "comment" => {
                user.fields.insert(key.clone(), value.clone());
            }
            // The groups are set on them, and a password is not read.
            _ => {}
        }
    }
}

/// Puts a user into exactly these groups.
fn set_groups(
    world: &mut World,
    user: &str,
    groups: Option<BTreeSet<GroupId>>,
) -> Result<(), Unpredictable> {
    let Some(groups) = groups else { return Ok(()) };
    if let Some(group) = groups
        .iter()
        .find(|group| !world.groups.contains_key(group.as_str()))
    {
        return Err(missing("group", group.as_str()));
    }
    for (id, group) in &mut world.groups {
        let wanted = groups.iter().any(|group| group.as_str() == id);
        if group.members.contains(user) == wanted {
            continue;
        }
        let members = &mut Arc::make_mut(group).members;
        if wanted {
            members.insert(user.to_owned());
        } else {
            members.remove(user);
        }
    }
    Ok(())
}

/// A user goes with its tokens, its memberships, and every entry that names one of them.
fn delete_user(world: &mut World, id: &str) -> Result<(), Unpredictable> {
    known(world, &[Part::Acl, Part::Groups])?;
    if id == ROOT {
        return Err(refused("the superuser cannot be removed".to_owned()));
    }
    world.users.remove(id).ok_or_else(|| missing("user", id))?;
    for group in world.groups.values_mut() {
        if group.members.contains(id) {
            Arc::make_mut(group).members.remove(id);
        }
    }
    let tokens = format!("{id}!");
    forget(world, |entry| match entry.subject_type.as_str() {
        "user" => entry.subject == id,
        "token" => entry.subject.starts_with(&tokens),
        _ => false,
    });
    Ok(())
}

fn grant(
    world: &mut World,
    path: &AclPath,
    subject: &AclSubject,
    roles: &BTreeSet<RoleId>,
    propagate: bool,
) -> Result<(), Unpredictable> {
    known(world, &[Part::Acl])?;
    if let Some(role) = roles
        .iter()
        .find(|role| !world.roles.contains_key(role.as_str()))
    {
        return Err(missing("role", role.as_str()));
    }
    if !is_there(world, subject) {
        return Err(missing(subject.kind(), subject.id()));
    }
    if subject.id() == ROOT {
        return Err(refused(
            "entries of the superuser have no effect and are not kept".to_owned(),
        ));
    }
    let entries = Arc::make_mut(&mut world.acl);
    for role in roles {
        let found = entries
            .iter_mut()
            .find(|entry| is_of(entry, path, subject) && entry.role == role.as_str());
        match found {
            Some(entry) => entry.propagate = propagate,
            None => entries.push(AclEntry {
                path: path.to_string(),
                subject_type: subject.kind().to_owned(),
                subject: subject.id().to_owned(),
                role: role.to_string(),
                propagate,
            }),
        }
    }
    Ok(())
}

/// Whether there is such a user, group or token.
pub fn is_there(world: &World, subject: &AclSubject) -> bool {
    match subject {
        AclSubject::User(id) => world.users.contains_key(id.as_str()),
        AclSubject::Group(id) => world.groups.contains_key(id.as_str()),
        AclSubject::Token(id) => world.users.get(id.owner()).is_some_and(|user| {
            let name = id.as_str().rsplit_once('!').map_or("", |(_, name)| name);
            user.tokens.contains_key(name)
        }),
    }
}

/// What a read-back shows of accounts and the access control list that was not predicted.
pub(super) fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    found: &mut Vec<String>,
) {
    for id in super::surprises::touched(&before.groups, &predicted.groups) {
        compare(
            "group",
            &id,
            (predicted.groups.get(&id), observed.groups.get(&id)),
            group_says,
            found,
        );
    }
    for id in super::surprises::touched(&before.users, &predicted.users) {
        compare(
            "user",
            &id,
            (predicted.users.get(&id), observed.users.get(&id)),
            user_says,
            found,
        );
    }
    for id in super::surprises::touched(&before.roles, &predicted.roles) {
        compare(
            "role",
            &id,
            (predicted.roles.get(&id), observed.roles.get(&id)),
            |role| [("privileges".to_owned(), joined(&role.privileges))].into(),
            found,
        );
    }
    entries(before, predicted, observed, found);
}

/// The words of one object: field by field.
type Says = BTreeMap<String, String>;

fn compare<T>(
    what: &str,
    id: &str,
    (expected, seen): (Option<&Arc<T>>, Option<&Arc<T>>),
    says: impl Fn(&T) -> Says,
    found: &mut Vec<String>,
) {
    match (expected, seen) {
        (None, None) => {}
        (Some(_), None) => found.push(format!("{what} {id} is not there")),
        (None, Some(_)) => found.push(format!("{what} {id} is still there")),
        (Some(expected), Some(seen)) => {
            let (expected, seen) = (says(expected), says(seen));
            let keys: BTreeSet<&String> = expected.keys().chain(seen.keys()).collect();
            for key in keys {
                let (a, b) = (expected.get(key), seen.get(key));
                if a != b {
                    let (a, b) = (a.map_or("none", |a| a), b.map_or("none", |b| b));
                    found.push(format!("{what} {id} {key}: `{a}` was predicted, `{b}` is"));
                }
            }
        }
    }
}

fn group_says(group: &Group) -> Says {
    let comment = group.comment.clone().unwrap_or_default();
    [
        ("comment".to_owned(), comment.trim_end().to_owned()),
        ("members".to_owned(), joined(&group.members)),
    ]
    .into()
}

fn user_says(user: &User) -> Says {
    let mut all: Says = user.fields.clone().into_iter().collect();
    all.insert("enable".to_owned(), user.enabled.to_string());
    all.insert("expire".to_owned(), user.expires.to_string());
    for (name, token) in &user.tokens {
        let says = format!("{token:?}");
        all.insert(format!("token {name}"), says);
    }
    all
}

fn joined(items: &BTreeSet<String>) -> String {
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    items.join(", ")
}

/// The roles of each subject on each path, with whether they hold below it.
type Rules<'w> = BTreeMap<(&'w str, &'w str, &'w str), BTreeMap<&'w str, bool>>;

fn rules(world: &World) -> Rules<'_> {
    let mut rules = Rules::new();
    for entry in world.acl.iter() {
        let key = (
            entry.path.as_str(),
            entry.subject_type.as_str(),
            entry.subject.as_str(),
        );
        let roles = rules.entry(key).or_default();
        roles.insert(entry.role.as_str(), entry.propagate);
    }
    rules
}

fn entries(before: &World, predicted: &World, observed: &World, found: &mut Vec<String>) {
    if Arc::ptr_eq(&before.acl, &predicted.acl) {
        return;
    }
    let (was, expected, seen) = (rules(before), rules(predicted), rules(observed));
    let keys: BTreeSet<_> = was.keys().chain(expected.keys()).collect();
    for key in keys {
        let (was, expected, seen) = (was.get(key), expected.get(key), seen.get(key));
        if was == expected || expected == seen {
            continue;
        }
        let (path, kind, id) = key;
        found.push(format!(
            "{kind} {id} on {path}: {} was predicted, {} is",
            roles_say(expected),
            roles_say(seen)
        ));
    }
}

fn roles_say(roles: Option<&BTreeMap<&str, bool>>) -> String {
    let roles: Vec<String> = roles
        .into_iter()
        .flatten()
        .map(|(role, propagate)| match propagate {
            true => (*role).to_owned(),
            false => format!("{role} (not below)"),
        })
        .collect();
    match roles.is_empty() {
        true => "nothing".to_owned(),
        false => roles.join(", "),
    }
}
