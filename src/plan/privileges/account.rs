//! What steps on accounts take (pve-access-control's API).

use std::collections::BTreeSet;

use super::{Choice, one};
use crate::ids::{GroupId, RoleId, UserId};
use crate::world::{AccountAction, World, views};

/// The choices of an action on accounts.
pub(super) fn choices(action: &AccountAction, world: &World) -> Vec<Choice> {
    match action {
        AccountAction::CreateGroup { .. }
        | AccountAction::UpdateGroup { .. }
        | AccountAction::DeleteGroup { .. } => {
            vec![vec![one("/access/groups", "Group.Allocate")]]
        }
        AccountAction::CreateUser { id, .. } => {
            let groups = action.groups().unwrap_or_default();
            let mut all = vec![of_realm(id)];
            all.extend(modify(None, &groups, world));
            all
        }
        AccountAction::UpdateUser { id, .. } => modify(
            Some(id.as_str()),
            &action.groups().unwrap_or_default(),
            world,
        ),
        AccountAction::DeleteUser { id } => {
            let mut all = vec![of_realm(id)];
            all.extend(modify(Some(id.as_str()), &BTreeSet::new(), world));
            all
        }
        // The controller's token is never the user itself, who needs nothing.
        AccountAction::CreateToken { id, .. }
        | AccountAction::UpdateToken { id, .. }
        | AccountAction::DeleteToken { id } => modify(Some(id.owner()), &BTreeSet::new(), world),
        AccountAction::CreateRole { .. }
        | AccountAction::UpdateRole { .. }
        | AccountAction::DeleteRole { .. } => vec![vec![one("/access", "Sys.Modify")]],
        AccountAction::CreateRealm { .. }
        | AccountAction::UpdateRealm { .. }
        | AccountAction::DeleteRealm { .. } => {
            vec![vec![one("/access/realm", "Realm.Allocate")]]
        }
        AccountAction::Grant { path, roles, .. } | AccountAction::Revoke { path, roles, .. } => {
            on_path(path.as_str(), roles, world)
        }
    }
}

fn of_realm(id: &UserId) -> Choice {
    vec![one(
        format!("/access/realm/{}", id.realm()),
        "Realm.AllocateUser",
    )]
}

/// Changing users: on all groups; or on each that a user is put in, and of one that is there on any that it is in.
fn modify(existing: Option<&str>, groups: &BTreeSet<GroupId>, world: &World) -> Vec<Choice> {
    let everywhere = one("/access/groups", "User.Modify");
    if world.may(&everywhere.path, &everywhere.privilege) {
        return vec![vec![everywhere]];
    }
    let on = |group: &str| one(format!("/access/groups/{group}"), "User.Modify");
    let mut all: Vec<Choice> = groups
        .iter()
        .map(|group| vec![on(group.as_str()), everywhere.clone()])
        .collect();
    if let Some(id) = existing {
        let own = views::groups_of(world, id).into_iter();
        all.push(own.map(|group| on(&group)).chain([everywhere]).collect());
    } else if groups.is_empty() {
        all.push(vec![everywhere]);
    }
    all
}

/// `Permissions.Modify` on the path. On one guest, storage or pool, whoever may allocate it may also hand out what it has there itself.
fn on_path(path: &str, roles: &BTreeSet<RoleId>, world: &World) -> Vec<Choice> {
    let modify = one(path, "Permissions.Modify");
    let mut parts = path.split('/').skip(1);
    let allocate = match parts.next().filter(|_| parts.next().is_some()) {
        Some("storage") => "Datastore.Allocate",
        Some("vms") => "VM.Allocate",
        Some("pool") => "Pool.Allocate",
        Some(_) | None => return vec![vec![modify]],
    };
    // NoAccess and roles that are not known take the whole right.
    let given: Option<BTreeSet<&String>> = roles
        .iter()
        .map(|role| {
            let role = world.roles.get(role.as_str())?;
            (!role.privileges.is_empty()).then_some(&role.privileges)
        })
        .collect::<Option<Vec<_>>>()
        .map(|all| all.into_iter().flatten().collect());
    match given {
        Some(given) if !world.may(path, "Permissions.Modify") && world.may(path, allocate) => {
            let mut all = vec![vec![one(path, allocate), modify]];
            all.extend(
                given
                    .into_iter()
                    .map(|privilege| vec![one(path, privilege)]),
            );
            all
        }
        Some(_) | None => vec![vec![modify]],
    }
}
