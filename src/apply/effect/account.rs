//! Whether the effect of an action on accounts can be seen.

use std::collections::BTreeSet;

use crate::ids::{AclPath, AclSubject, GroupId};
use crate::proxmox::property::{Domain, equivalent};
use crate::world::{AccountAction, Param, Params, Token, World, views};

/// Whether the world looks as if the action had been done.
pub(super) fn visible(action: &AccountAction, world: &World) -> bool {
    match action {
        AccountAction::CreateGroup { id, .. } => world.groups.contains_key(id.as_str()),
        AccountAction::UpdateGroup { id, comment } => {
            world.groups.get(id.as_str()).is_some_and(|group| {
                let now = group.comment.as_deref().unwrap_or_default();
                now.trim_end() == comment.trim_end()
            })
        }
        AccountAction::DeleteGroup { id } => !world.groups.contains_key(id.as_str()),
        AccountAction::CreateUser { id, params: set } | AccountAction::UpdateUser { id, set } => {
            shows(id.as_str(), set, action.groups(), world)
        }
        AccountAction::DeleteUser { id } => !world.users.contains_key(id.as_str()),
        AccountAction::CreateToken { id, params, .. } => {
            views::token(world, id).is_some_and(|token| token_shows(token, params))
        }
        AccountAction::UpdateToken { id, set, delete } => {
            views::token(world, id).is_some_and(|token| {
                let cleared = !delete.contains("comment") || token.comment.is_none();
                cleared && token_shows(token, set)
            })
        }
        AccountAction::DeleteToken { id } => views::token(world, id).is_none(),
        AccountAction::CreateRole { id, privileges }
        | AccountAction::UpdateRole { id, privileges } => world
            .roles
            .get(id.as_str())
            .is_some_and(|role| role.privileges == *privileges),
        AccountAction::DeleteRole { id } => !world.roles.contains_key(id.as_str()),
        AccountAction::CreateRealm { id, params, .. } => {
            realm_shows(id.as_str(), params, &BTreeSet::new(), world)
        }
        AccountAction::UpdateRealm { id, set, delete } => {
            realm_shows(id.as_str(), set, delete, world)
        }
        AccountAction::DeleteRealm { id } => !world.realms.contains_key(id.as_str()),
        AccountAction::Grant {
            path,
            subject,
            roles,
            propagate,
        } => roles
            .iter()
            .all(|role| given(world, path, subject, role.as_str()) == Some(*propagate)),
        AccountAction::Revoke {
            path,
            subject,
            roles,
        } => roles
            .iter()
            .all(|role| given(world, path, subject, role.as_str()).is_none()),
    }
}

/// Whether a subject has a role on a path, and whether it holds below it.
fn given(world: &World, path: &AclPath, subject: &AclSubject, role: &str) -> Option<bool> {
    let mut entries = world.acl.iter();
    let entry = entries.find(|entry| {
        entry.path == path.as_str()
            && entry.subject_type == subject.kind()
            && entry.subject == subject.id()
            && entry.role == role
    });
    entry.map(|entry| entry.propagate)
}

/// Whether a realm is as its parameters say; of its secrets nothing can be seen.
fn realm_shows(id: &str, set: &Params, delete: &BTreeSet<String>, world: &World) -> bool {
    let Some(section) = world.realm_settings.of.get(id) else {
        return false;
    };
    let shown = set.iter().all(|(key, param)| match param {
        Param::Secret { .. } => true,
        Param::Plain(value) => section
            .get(key)
            .is_some_and(|now| equivalent(Domain::Realm, key, now, value)),
    });
    let gone = |key: &String| views::realm_setting(id, section, key).is_none();
    shown && delete.iter().all(gone)
}

/// Whether a token is as its parameters say.
fn token_shows(token: &Token, set: &Params) -> bool {
    set.iter().all(|(key, param)| {
        let Param::Plain(value) = param else {
            return true;
        };
        match key.as_str() {
            "privsep" => token.separated == (value == "1"),
            "expire" => token.expires.to_string() == *value,
            "comment" => token.comment.as_deref().unwrap_or_default() == value,
            _ => true,
        }
    })
}

/// Whether a user is as its parameters say; of a password nothing can be seen.
fn shows(id: &str, set: &Params, groups: Option<BTreeSet<GroupId>>, world: &World) -> bool {
    let Some(user) = world.users.get(id) else {
        return false;
    };
    let fields = set.iter().all(|(key, param)| {
        let Param::Plain(value) = param else {
            return true;
        };
        match key.as_str() {
            "enable" => user.enabled == (value == "1"),
            "expire" => user.expires.to_string() == *value,
            "groups" => true,
            key => user.fields.get(key).map_or("", String::as_str) == value,
        }
    });
    let member = |group: &GroupId| {
        let group = world.groups.get(group.as_str());
        group.is_some_and(|group| group.members.contains(id))
    };
    let exact = groups.is_none_or(|groups| {
        let others = world
            .groups
            .iter()
            .filter(|(name, _)| !groups.iter().any(|group| group.as_str() == *name));
        groups.iter().all(member)
            && others
                .into_iter()
                .all(|(_, group)| !group.members.contains(id))
    });
    fields && exact
}
