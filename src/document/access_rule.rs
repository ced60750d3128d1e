//! The kind `AccessRule`: the roles that one user, group or token is given on one path.

use std::collections::BTreeSet;

use super::desired::DesiredRule;
use super::options::options;
use crate::ids::{AclPath, AclRuleId, AclSubject, GroupId, RoleId, TokenId, UserId};

options! {
    /// What a user, a group or a token is given on a path. Path and subject together are what the document is about and never change:
    /// another one is another rule. An entry on a path replaces what the subject inherits from above. When the document is removed with
    /// `bailiwick.dev/deletion: delete`, the roles are taken away.
    pub struct AccessRuleSpec {
        /// The path: `/`, `/vms/100`, `/pool/prod`, `/storage/local`, …
        path: Option<AclPath> = "path" by hand,
        /// The user it is for; a rule has exactly one of `user`, `group` and `token`.
        user: Option<UserId> = "users" by hand,
        /// The group it is for.
        group: Option<GroupId> = "groups" by hand,
        /// The token it is for, such as `ann@pve!backup`.
        token: Option<TokenId> = "tokens" by hand,
        /// The exact set of roles that it has on this path; at least one.
        roles: Option<BTreeSet<RoleId>> = "roles" by hand,
        /// Whether the roles hold below the path too. Default `true`.
        propagate: Option<bool> = "propagate" by hand,
    }
}

impl AccessRuleSpec {
    /// Who it is for; `None` unless the document names exactly one.
    pub fn subject(&self) -> Option<AclSubject> {
        match (&self.user, &self.group, &self.token) {
            (Some(id), None, None) => Some(AclSubject::User(id.clone())),
            (None, Some(id), None) => Some(AclSubject::Group(id.clone())),
            (None, None, Some(id)) => Some(AclSubject::Token(id.clone())),
            _ => None,
        }
    }

    /// Which rule the document is about.
    pub fn id(&self) -> Option<AclRuleId> {
        Some(AclRuleId {
            subject: self.subject()?,
            path: self.path.clone()?,
        })
    }

    /// What this asks for in Proxmox VE's words.
    pub fn desired(&self) -> Option<DesiredRule> {
        Some(DesiredRule {
            id: self.id()?,
            roles: self.roles.clone().unwrap_or_default(),
            propagate: self.propagate.unwrap_or(true),
        })
    }
}
