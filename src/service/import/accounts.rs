//! Groups, users, roles, access rules and realms: which there are to import, and their documents.

use std::collections::BTreeSet;

use crate::document::Kind;
use crate::document::import::Imported;
use crate::document::import::account::{self, LiveUser};
use crate::ids::{AclRuleId, GroupId, RealmId, RoleId, UserId};
use crate::world::{World, views};

/// The superuser, which no document manages.
const ROOT: &str = "root@pam";

/// What there is, without what Proxmox VE brings along.
pub(super) fn objects(world: &World) -> Vec<(Kind, String)> {
    let groups = world.groups.keys();
    let groups = groups.map(|id| (Kind::Group, id.clone()));
    let users = world.users.keys().filter(|id| *id != ROOT);
    let users = users.map(|id| (Kind::User, id.clone()));
    let roles = world.roles.iter().filter(|(_, role)| !role.special);
    let roles = roles.map(|(id, _)| (Kind::Role, id.clone()));
    let rules: BTreeSet<String> = world
        .acl
        .iter()
        .filter(|entry| entry.subject != ROOT)
        .map(|entry| format!("{}:{}{}", entry.subject_type, entry.subject, entry.path))
        .collect();
    let rules = rules.into_iter().map(|id| (Kind::AccessRule, id));
    let realms = world.realm_settings.of.iter();
    let own = realms.filter(|(id, section)| {
        let set = |key: &&String| views::realm_setting(id, section, key).is_some();
        views::built_in_comment(id).is_none() || section.keys().any(|key| set(&key))
    });
    let realms = own.map(|(id, _)| (Kind::Realm, id.clone()));
    groups
        .chain(users)
        .chain(roles)
        .chain(rules)
        .chain(realms)
        .collect()
}

/// The document of one of them.
pub(super) fn document(
    world: &World,
    kind: Kind,
    id: &str,
    name: String,
) -> Result<Imported, String> {
    let none = |error: crate::ids::InvalidId| format!("no document can be about it: {error}");
    match kind {
        Kind::Group => {
            let group = world.groups.get(id).ok_or("it is gone")?;
            let id = GroupId::new(id).map_err(none)?;
            account::group(name, &id, group.comment.as_deref())
        }
        Kind::User => {
            let user = world.users.get(id).ok_or("it is gone")?;
            let live = LiveUser {
                id: &UserId::new(id).map_err(none)?,
                fields: &views::user_fields(user),
                groups: &views::groups_of(world, id),
            };
            account::user(name, &live)
        }
        Kind::Role => {
            let role = world.roles.get(id).ok_or("it is gone")?;
            let id = RoleId::new(id).map_err(none)?;
            account::role(name, &id, &role.privileges)
        }
        Kind::Realm => {
            let realm = world.realms.get(id).ok_or("it is gone")?;
            let settings = world.realm_settings.of.get(id).ok_or("it is gone")?;
            let id = RealmId::new(id).map_err(none)?;
            account::realm(name, &id, &realm.realm_type, settings)
        }
        _ => {
            let id: AclRuleId = id.parse().map_err(none)?;
            account::rule(name, &id, &views::roles_on(world, &id.path, &id.subject))
        }
    }
}
