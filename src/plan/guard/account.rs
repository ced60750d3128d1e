//! Preconditions of steps on accounts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::AccountCheck;
use crate::ids::{GroupId, RealmId, RoleId, TokenId, UserId};
use crate::world::{AccountAction, World, views};

/// What must be so before an action; `world` is the world right before it.
pub(super) fn checks(action: &AccountAction, world: &World) -> Vec<AccountCheck> {
    let entries = || AccountCheck::Entries {
        of: action.object(),
        entries: views::entries_naming(world, &action.object())
            .map(views::entry_says)
            .collect(),
    };
    match action {
        AccountAction::CreateGroup { id, .. } => {
            vec![AccountCheck::GroupAbsent { id: id.clone() }]
        }
        AccountAction::UpdateGroup { id, .. } => vec![group(world, id)],
        AccountAction::DeleteGroup { id } => vec![group(world, id), entries()],
        AccountAction::CreateUser { id, .. } => {
            vec![AccountCheck::UserAbsent { id: id.clone() }]
        }
        AccountAction::UpdateUser { id, .. } => vec![user(world, id)],
        AccountAction::DeleteUser { id } => vec![user(world, id), entries()],
        AccountAction::CreateToken { id, .. } => {
            vec![AccountCheck::TokenAbsent { id: id.clone() }]
        }
        // What it is given counts as soon as it no longer is kept to that.
        AccountAction::UpdateToken { id, set, .. } if set.contains_key("privsep") => {
            vec![token(world, id), entries()]
        }
        AccountAction::UpdateToken { id, .. } => vec![token(world, id)],
        AccountAction::DeleteToken { id } => vec![token(world, id), entries()],
        AccountAction::CreateRole { id, .. } => {
            vec![AccountCheck::RoleAbsent { id: id.clone() }]
        }
        AccountAction::UpdateRole { id, .. } | AccountAction::DeleteRole { id } => {
            vec![role(world, id), entries()]
        }
        AccountAction::CreateRealm { id, .. } => {
            vec![AccountCheck::RealmAbsent { id: id.clone() }]
        }
        AccountAction::UpdateRealm { id, .. } => vec![realm(world, id)],
        AccountAction::DeleteRealm { id } => vec![
            realm(world, id),
            AccountCheck::RealmUsers {
                id: id.clone(),
                users: views::users_of_realm(world, id.as_str()),
            },
        ],
        AccountAction::Grant { path, subject, .. }
        | AccountAction::Revoke { path, subject, .. } => {
            vec![AccountCheck::RuleIs {
                path: path.clone(),
                subject: subject.clone(),
                roles: views::roles_on(world, path, subject),
            }]
        }
    }
}

fn group(world: &World, id: &GroupId) -> AccountCheck {
    let group = world.groups.get(id.as_str());
    AccountCheck::GroupIs {
        id: id.clone(),
        comment: group.and_then(|group| group.comment.clone()),
        members: group.map(|group| group.members.clone()).unwrap_or_default(),
    }
}

fn user(world: &World, id: &UserId) -> AccountCheck {
    let user = world.users.get(id.as_str());
    AccountCheck::UserIs {
        id: id.clone(),
        fields: user.map_or_else(BTreeMap::new, |user| views::user_fields(user)),
        groups: views::groups_of(world, id.as_str()),
        tokens: user.map_or_else(BTreeSet::new, |user| user.tokens.keys().cloned().collect()),
    }
}

/// Of a token that is not there nothing holds: the step is then refused by what it is planned to do.
fn token(world: &World, id: &TokenId) -> AccountCheck {
    let token = views::token(world, id);
    AccountCheck::TokenIs {
        id: id.clone(),
        separated: token.is_none_or(|token| token.separated),
        expires: token.map_or(0, |token| token.expires),
        comment: token.and_then(|token| token.comment.clone()),
    }
}

fn realm(world: &World, id: &RealmId) -> AccountCheck {
    let realm = world.realms.get(id.as_str());
    let settings = world.realm_settings.of.get(id.as_str());
    AccountCheck::RealmIs {
        id: id.clone(),
        realm_type: realm
            .map(|realm| realm.realm_type.clone())
            .unwrap_or_default(),
        settings: settings.cloned().unwrap_or_default(),
    }
}

fn role(world: &World, id: &RoleId) -> AccountCheck {
    let role = world.roles.get(id.as_str());
    AccountCheck::RoleIs {
        id: id.clone(),
        privileges: role.map(|role| role.privileges.clone()).unwrap_or_default(),
    }
}
