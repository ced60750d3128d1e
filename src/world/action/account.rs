//! What can be done to accounts: groups, users, roles, realms and the access control list.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Param, Params};
use crate::ids::{AclPath, AclRuleId, AclSubject, GroupId, RealmId, RoleId, TokenId, UserId};

/// One thing to do to accounts. Each is one API call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "account"
)]
#[allow(missing_docs)] // the fields are Proxmox VE's own parameters; what is not plain is said at the variant
pub enum AccountAction {
    /// Make a group without members.
    CreateGroup {
        id: GroupId,
        comment: Option<String>,
    },
    /// Change a group's comment; an empty one is none.
    UpdateGroup { id: GroupId, comment: String },
    /// Remove a group; its members stay, its entries of the access control list go with it.
    DeleteGroup { id: GroupId },
    /// Make a user. `params` holds every parameter of the POST but `userid`.
    CreateUser { id: UserId, params: Params },
    /// Change a user. An empty value takes the field's value away; `groups` is the whole list of its groups.
    UpdateUser { id: UserId, set: Params },
    /// Remove a user; its tokens, its memberships and the access control list's entries of all of them go with it.
    DeleteUser { id: UserId },
    /// Make a token. `params` holds every parameter of the POST. The answer shows the token's secret, once: it is written to
    /// `secret_file`, a file of the controller that is not there yet, and nowhere else.
    CreateToken {
        id: TokenId,
        params: Params,
        secret_file: String,
    },
    /// Change a token; its secret stays. `delete` can only be the comment.
    UpdateToken {
        id: TokenId,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Remove a token: its secret no longer opens anything, and its entries of the access control list go with it.
    DeleteToken { id: TokenId },
    /// Make a role.
    CreateRole {
        id: RoleId,
        privileges: BTreeSet<String>,
    },
    /// Give a role these privileges and no others.
    UpdateRole {
        id: RoleId,
        privileges: BTreeSet<String>,
    },
    /// Remove a role; the entries of the access control list that give it go with it.
    DeleteRole { id: RoleId },
    /// Make a realm. `params` holds every parameter of the POST but `realm` and `type`.
    CreateRealm {
        id: RealmId,
        realm_type: String,
        params: Params,
    },
    /// Change a realm. One that becomes the default takes that from the one that was.
    UpdateRealm {
        id: RealmId,
        set: Params,
        delete: BTreeSet<String>,
    },
    /// Remove a realm; its users stay, with their tokens, and can no longer log in.
    DeleteRealm { id: RealmId },
    /// Give a subject roles on a path, besides those it has there. `propagate` is set of roles that it has there already too.
    Grant {
        path: AclPath,
        subject: AclSubject,
        roles: BTreeSet<RoleId>,
        propagate: bool,
    },
    /// Take roles on a path from a subject.
    Revoke {
        path: AclPath,
        subject: AclSubject,
        roles: BTreeSet<RoleId>,
    },
}

impl AccountAction {
    /// Whether it takes a definition away, so that what it is about is read again right before it.
    pub fn destructive(&self) -> bool {
        self.verb() == "delete"
    }

    /// The word for what it does, for policy: `create`, `update`, `delete`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CreateGroup { .. }
            | Self::CreateUser { .. }
            | Self::CreateToken { .. }
            | Self::CreateRole { .. }
            | Self::CreateRealm { .. }
            | Self::Grant { .. } => "create",
            Self::UpdateGroup { .. }
            | Self::UpdateUser { .. }
            | Self::UpdateToken { .. }
            | Self::UpdateRole { .. }
            | Self::UpdateRealm { .. } => "update",
            Self::DeleteGroup { .. }
            | Self::DeleteUser { .. }
            | Self::DeleteToken { .. }
            | Self::DeleteRole { .. }
            | Self::DeleteRealm { .. }
            | Self::Revoke { .. } => "delete",
        }
    }

    /// What it does, in a word or two: `create group`, `grant`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CreateGroup { .. } => "create group",
            Self::UpdateGroup { .. } => "update group",
            Self::DeleteGroup { .. } => "delete group",
            Self::CreateUser { .. } => "create user",
            Self::UpdateUser { .. } => "update user",
            Self::DeleteUser { .. } => "delete user",
            Self::CreateToken { .. } => "create token",
            Self::UpdateToken { .. } => "update token",
            Self::DeleteToken { .. } => "delete token",
            Self::CreateRole { .. } => "create role",
            Self::UpdateRole { .. } => "update role",
            Self::DeleteRole { .. } => "delete role",
            Self::CreateRealm { .. } => "create realm",
            Self::UpdateRealm { .. } => "update realm",
            Self::DeleteRealm { .. } => "delete realm",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
        }
    }

    /// The live object it is about: `group/ops`, `user/ann@pve`, `role/Ops`, `realm/corp`, `acl/group:ops/vms/100`.
    pub fn object(&self) -> String {
        match self {
            Self::CreateGroup { id, .. }
            | Self::UpdateGroup { id, .. }
            | Self::DeleteGroup { id } => format!("group/{id}"),
            Self::CreateUser { id, .. } | Self::UpdateUser { id, .. } | Self::DeleteUser { id } => {
                format!("user/{id}")
            }
            Self::CreateToken { id, .. }
            | Self::UpdateToken { id, .. }
            | Self::DeleteToken { id } => format!("token/{id}"),
            Self::CreateRole { id, .. } | Self::UpdateRole { id, .. } | Self::DeleteRole { id } => {
                format!("role/{id}")
            }
            Self::CreateRealm { id, .. }
            | Self::UpdateRealm { id, .. }
            | Self::DeleteRealm { id } => format!("realm/{id}"),
            Self::Grant { path, subject, .. } | Self::Revoke { path, subject, .. } => {
                let rule = AclRuleId {
                    subject: subject.clone(),
                    path: path.clone(),
                };
                format!("acl/{rule}")
            }
        }
    }

    /// The object it removes whole, if it does. What is left of a rule after a revocation only the world says.
    pub fn removes(&self) -> Option<String> {
        match self {
            Self::DeleteGroup { .. }
            | Self::DeleteUser { .. }
            | Self::DeleteToken { .. }
            | Self::DeleteRole { .. }
            | Self::DeleteRealm { .. } => Some(self.object()),
            Self::CreateGroup { .. }
            | Self::UpdateGroup { .. }
            | Self::CreateUser { .. }
            | Self::UpdateUser { .. }
            | Self::CreateToken { .. }
            | Self::UpdateToken { .. }
            | Self::CreateRole { .. }
            | Self::UpdateRole { .. }
            | Self::CreateRealm { .. }
            | Self::UpdateRealm { .. }
            | Self::Grant { .. }
            | Self::Revoke { .. } => None,
        }
    }

    /// The object it makes, if it does. A grant makes a rule, or adds to one.
    pub fn makes(&self) -> Option<String> {
        match self {
            Self::CreateGroup { .. }
            | Self::CreateUser { .. }
            | Self::CreateToken { .. }
            | Self::CreateRole { .. }
            | Self::CreateRealm { .. }
            | Self::Grant { .. } => Some(self.object()),
            Self::UpdateGroup { .. }
            | Self::DeleteGroup { .. }
            | Self::UpdateUser { .. }
            | Self::DeleteUser { .. }
            | Self::UpdateToken { .. }
            | Self::DeleteToken { .. }
            | Self::UpdateRole { .. }
            | Self::DeleteRole { .. }
            | Self::UpdateRealm { .. }
            | Self::DeleteRealm { .. }
            | Self::Revoke { .. } => None,
        }
    }

    /// The groups that a creation or change of a user puts it in; `None` if it leaves them alone.
    pub fn groups(&self) -> Option<BTreeSet<GroupId>> {
        match self {
            Self::CreateUser { params: set, .. } | Self::UpdateUser { set, .. } => groups_of(set),
            Self::CreateGroup { .. }
            | Self::UpdateGroup { .. }
            | Self::DeleteGroup { .. }
            | Self::DeleteUser { .. }
            | Self::CreateToken { .. }
            | Self::UpdateToken { .. }
            | Self::DeleteToken { .. }
            | Self::CreateRole { .. }
            | Self::UpdateRole { .. }
            | Self::DeleteRole { .. }
            | Self::CreateRealm { .. }
            | Self::UpdateRealm { .. }
            | Self::DeleteRealm { .. }
            | Self::Grant { .. }
            | Self::Revoke { .. } => None,
        }
    }
}

/// The groups that a user's parameters name.
fn groups_of(params: &Params) -> Option<BTreeSet<GroupId>> {
    match params.get("groups")? {
        Param::Plain(text) => {
            let names = text.split(',').map(str::trim);
            Some(names.filter_map(|name| GroupId::new(name).ok()).collect())
        }
        Param::Secret { .. } => None,
    }
}
