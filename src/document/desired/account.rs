//! What documents about accounts ask for: groups, users, roles and access rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Value, Wish};
use crate::ids::{AclRuleId, GroupId, RealmId, RoleId, UserId};

/// What a document about accounts asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DesiredAccount {
    /// A group.
    Group(DesiredGroup),
    /// A user.
    User(DesiredUser),
    /// A role.
    Role(DesiredRole),
    /// An access rule.
    Rule(DesiredRule),
    /// A realm.
    Realm(DesiredRealm),
}

impl DesiredAccount {
    /// The live object it is about: `group/ops`, `user/ann@pve`, `role/Ops`, `acl/group:ops/vms/100`, `realm/corp`.
    pub fn object(&self) -> String {
        match self {
            Self::Group(group) => format!("group/{}", group.id),
            Self::User(user) => format!("user/{}", user.id),
            Self::Role(role) => format!("role/{}", role.id),
            Self::Rule(rule) => format!("acl/{}", rule.id),
            Self::Realm(realm) => format!("realm/{}", realm.id),
        }
    }

    /// The fields it manages, under Proxmox VE's names; of a password that it is named.
    pub fn managed(&self) -> BTreeSet<String> {
        let named = |names: &[(&str, bool)]| {
            let names = names.iter().filter(|(_, there)| *there);
            names.map(|(name, _)| (*name).to_owned()).collect()
        };
        match self {
            Self::Group(group) => named(&[("comment", group.comment.is_some())]),
            Self::User(user) => {
                let mut all: BTreeSet<String> = named(&[
                    ("enable", user.enabled.is_some()),
                    ("expire", user.expires.is_some()),
                    ("groups", user.groups.is_some()),
                ]);
                all.extend(user.fields.keys().cloned());
                all
            }
            Self::Role(_) => named(&[("privs", true)]),
            Self::Rule(_) => named(&[("roles", true), ("propagate", true)]),
            Self::Realm(realm) => realm.options.keys().cloned().collect(),
        }
    }
}

/// What a `Group` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredGroup {
    /// The group's id.
    pub id: GroupId,
    /// The comment, if managed.
    pub comment: Option<Wish<String>>,
}

/// What a `User` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredUser {
    /// The user's id.
    pub id: UserId,
    /// Whether logging in is allowed, if managed.
    pub enabled: Option<bool>,
    /// Seconds since 1970 after which it is not, 0 for never; if managed.
    pub expires: Option<i64>,
    /// `firstname`, `lastname`, `email`, `comment`, as far as managed.
    pub fields: BTreeMap<String, Wish<String>>,
    /// The exact set of its groups, if managed.
    pub groups: Option<BTreeSet<GroupId>>,
    /// The password of a user that is made.
    pub password: Option<Value>,
}

/// What a `Role` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRole {
    /// The role's id.
    pub id: RoleId,
    /// The exact set of its privileges.
    pub privileges: BTreeSet<String>,
}

/// What an `AccessRule` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRule {
    /// Who, and on what path.
    pub id: AclRuleId,
    /// The exact set of roles; never empty.
    pub roles: BTreeSet<RoleId>,
    /// Whether they hold below the path too.
    pub propagate: bool,
}

/// What a `Realm` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredRealm {
    /// The realm's id.
    pub id: RealmId,
    /// Its type (`ldap`, …), which a realm that is made needs.
    pub realm_type: Option<String>,
    /// What is asked for each managed option, under Proxmox VE's keys.
    pub options: BTreeMap<String, Wish<Value>>,
}
