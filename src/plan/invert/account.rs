//! How steps on accounts are taken back. What a deletion takes along comes back with it, as far as it was read.

mod realm;

use std::collections::{BTreeMap, BTreeSet};

use super::{back, irreversible};
use crate::ids::{AclPath, AclSubject, RoleId, TokenId, UserId};
use crate::plan::model::Inverse;
use crate::world::model::AclEntry;
use crate::world::{AccountAction, Action, Param, Params, Token, User, World, views};

/// How an action on accounts is taken back; `before` is the world right before it.
pub(super) fn inverse(action: &AccountAction, before: &World) -> Inverse {
    match action {
        AccountAction::CreateGroup { id, .. } => {
            account(vec![AccountAction::DeleteGroup { id: id.clone() }])
        }
        AccountAction::UpdateGroup { id, .. } => {
            let group = before.groups.get(id.as_str());
            let comment = group.and_then(|group| group.comment.clone());
            account(vec![AccountAction::UpdateGroup {
                id: id.clone(),
                comment: comment.unwrap_or_default(),
            }])
        }
        AccountAction::DeleteGroup { id } => {
            let Some(group) = before.groups.get(id.as_str()) else {
                return irreversible("how the group was is not known");
            };
            let mut all = vec![AccountAction::CreateGroup {
                id: id.clone(),
                comment: group.comment.clone(),
            }];
            let members = group
                .members
                .iter()
                .filter_map(|user| UserId::new(user).ok());
            all.extend(
                members
                    .filter(|user| before.users.contains_key(user.as_str()))
                    .map(|user| {
                        let groups = joined(views::groups_of(before, user.as_str()));
                        AccountAction::UpdateUser {
                            id: user,
                            set: [("groups".to_owned(), Param::Plain(groups))].into(),
                        }
                    }),
            );
            with_entries(all, before, &action.object(), Vec::new())
        }
        AccountAction::CreateUser { id, .. } => {
            account(vec![AccountAction::DeleteUser { id: id.clone() }])
        }
        AccountAction::UpdateUser { id, set } => match before.users.get(id.as_str()) {
            Some(user) => account(vec![AccountAction::UpdateUser {
                id: id.clone(),
                set: was(before, id, user, set.keys()),
            }]),
            None => irreversible("how the user was is not known"),
        },
        AccountAction::DeleteUser { id } => match before.users.get(id.as_str()) {
            Some(user) => user_again(id, user, before),
            None => irreversible("how the user was is not known"),
        },
        AccountAction::CreateToken {
            id, secret_file, ..
        } => Inverse::Actions {
            actions: vec![Action::Account(AccountAction::DeleteToken {
                id: id.clone(),
            })],
            remains: vec![format!(
                "the file {secret_file} stays, with a secret that opens nothing"
            )],
        },
        AccountAction::UpdateToken { id, set, delete } => match views::token(before, id) {
            Some(token) => account(vec![token_was(id, token, set, delete)]),
            None => irreversible("how the token was is not known"),
        },
        AccountAction::DeleteToken { .. } => irreversible(
            "a deleted token does not come back: one that is made again has another secret, which whoever used the old one has to be given",
        ),
        AccountAction::CreateRole { id, .. } => {
            account(vec![AccountAction::DeleteRole { id: id.clone() }])
        }
        AccountAction::UpdateRole { id, .. } => match before.roles.get(id.as_str()) {
            Some(role) => account(vec![AccountAction::UpdateRole {
                id: id.clone(),
                privileges: role.privileges.clone(),
            }]),
            None => irreversible("what privileges the role had is not known"),
        },
        AccountAction::DeleteRole { id } => match before.roles.get(id.as_str()) {
            Some(role) => {
                let again = AccountAction::CreateRole {
                    id: id.clone(),
                    privileges: role.privileges.clone(),
                };
                with_entries(vec![again], before, &action.object(), Vec::new())
            }
            None => irreversible("what privileges the role had is not known"),
        },
        AccountAction::CreateRealm { .. }
        | AccountAction::UpdateRealm { .. }
        | AccountAction::DeleteRealm { .. } => realm::inverse(action, before),
        AccountAction::Grant {
            path,
            subject,
            roles,
            ..
        } => {
            let had = views::roles_on(before, path, subject);
            let new = roles.iter().filter(|role| !had.contains_key(role.as_str()));
            let new: BTreeSet<RoleId> = new.cloned().collect();
            let mut all = grants(path, subject, roles, &had);
            if !new.is_empty() {
                all.push(AccountAction::Revoke {
                    path: path.clone(),
                    subject: subject.clone(),
                    roles: new,
                });
            }
            account(all)
        }
        AccountAction::Revoke {
            path,
            subject,
            roles,
        } => {
            let had = views::roles_on(before, path, subject);
            account(grants(path, subject, roles, &had))
        }
    }
}

fn account(actions: Vec<AccountAction>) -> Inverse {
    back(actions.into_iter().map(Action::Account).collect())
}

/// Those of some roles that a subject had, given with the flag they had.
fn grants(
    path: &AclPath,
    subject: &AclSubject,
    roles: &BTreeSet<RoleId>,
    had: &BTreeMap<String, bool>,
) -> Vec<AccountAction> {
    let with = |propagate: bool| {
        let of = |role: &&RoleId| had.get(role.as_str()) == Some(&propagate);
        let roles: BTreeSet<RoleId> = roles.iter().filter(of).cloned().collect();
        (!roles.is_empty()).then(|| AccountAction::Grant {
            path: path.clone(),
            subject: subject.clone(),
            roles,
            propagate,
        })
    };
    [true, false].into_iter().filter_map(with).collect()
}

/// What is made again, and after it the entries that went with it.
fn with_entries(
    mut all: Vec<AccountAction>,
    before: &World,
    object: &str,
    mut remains: Vec<String>,
) -> Inverse {
    let mut rules: BTreeMap<(AclPath, AclSubject, bool), BTreeSet<RoleId>> = BTreeMap::new();
    for entry in views::entries_naming(before, object) {
        let gone = entry.subject_type == "token" && !object.starts_with("role/");
        match rule(entry).filter(|_| !gone) {
            Some((path, subject, role)) => {
                let roles = rules.entry((path, subject, entry.propagate)).or_default();
                roles.insert(role);
            }
            None => remains.push(format!(
                "the access rule {} is gone",
                views::entry_says(entry)
            )),
        }
    }
    all.extend(
        rules
            .into_iter()
            .map(|((path, subject, propagate), roles)| AccountAction::Grant {
                path,
                subject,
                roles,
                propagate,
            }),
    );
    Inverse::Actions {
        actions: all.into_iter().map(Action::Account).collect(),
        remains,
    }
}

fn rule(entry: &AclEntry) -> Option<(AclPath, AclSubject, RoleId)> {
    Some((
        AclPath::new(&entry.path).ok()?,
        AclSubject::of(&entry.subject_type, &entry.subject).ok()?,
        RoleId::new(&entry.role).ok()?,
    ))
}

fn joined(items: BTreeSet<String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(",")
}

/// The values that fields of a user had; nothing where there was none.
fn was<'k>(
    before: &World,
    id: &UserId,
    user: &User,
    keys: impl Iterator<Item = &'k String>,
) -> Params {
    let fields = views::user_fields(user);
    let old = keys.map(|key| {
        let value = match key.as_str() {
            "groups" => joined(views::groups_of(before, id.as_str())),
            key => fields.get(key).cloned().unwrap_or_default(),
        };
        (key.clone(), Param::Plain(value))
    });
    old.collect()
}

/// A token's settings as they were.
fn token_was(
    id: &TokenId,
    token: &Token,
    set: &Params,
    delete: &BTreeSet<String>,
) -> AccountAction {
    let mut old = Params::new();
    let mut none = BTreeSet::new();
    for key in set.keys().chain(delete) {
        let value = match key.as_str() {
            "privsep" => Some(if token.separated { "1" } else { "0" }.to_owned()),
            "expire" => Some(token.expires.to_string()),
            _ => token.comment.clone(),
        };
        match value {
            Some(value) => {
                old.insert(key.clone(), Param::Plain(value));
            }
            None => {
                none.insert(key.clone());
            }
        }
    }
    AccountAction::UpdateToken {
        id: id.clone(),
        set: old,
        delete: none,
    }
}

/// A user that is made again has no password, no second factor and no tokens.
fn user_again(id: &UserId, user: &User, before: &World) -> Inverse {
    let mut params: Params = views::user_fields(user)
        .into_iter()
        .map(|(key, value)| (key, Param::Plain(value)))
        .collect();
    let groups = views::groups_of(before, id.as_str());
    if !groups.is_empty() {
        params.insert("groups".to_owned(), Param::Plain(joined(groups)));
    }
    let mut remains: Vec<String> = user
        .tokens
        .keys()
        .map(|token| format!("the token {id}!{token} and its secret are gone"))
        .collect();
    if id.realm() == "pve" {
        remains.push(format!(
            "the password of {id} is gone: it has to be given a new one"
        ));
    }
    remains.push(format!(
        "keys of a second factor of {id} are gone, if it had any"
    ));
    let again = AccountAction::CreateUser {
        id: id.clone(),
        params,
    };
    with_entries(vec![again], before, &format!("user/{id}"), remains)
}
