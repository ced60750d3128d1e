//! What must still be so of accounts when a step begins. Only realms have a digest: all are read again right before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{AclPath, AclSubject, GroupId, RealmId, RoleId, TokenId, UserId};

/// What must still be so of an account or access rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "account"
)]
#[allow(missing_docs)] // each field is what the variant's line says
pub enum AccountCheck {
    /// The group has this comment and these members.
    GroupIs {
        id: GroupId,
        comment: Option<String>,
        members: BTreeSet<String>,
    },
    /// No group has this id.
    GroupAbsent { id: GroupId },
    /// The user has these fields (names and values of the API; `enable` and `expire` always), groups and tokens.
    UserIs {
        id: UserId,
        fields: BTreeMap<String, String>,
        groups: BTreeSet<String>,
        tokens: BTreeSet<String>,
    },
    /// No user has this id.
    UserAbsent { id: UserId },
    /// The token has these settings; `expires` is in seconds since 1970, 0 for never.
    TokenIs {
        id: TokenId,
        separated: bool,
        expires: i64,
        comment: Option<String>,
    },
    /// The user is there, and has no token of this id.
    TokenAbsent { id: TokenId },
    /// The role has these privileges.
    RoleIs {
        id: RoleId,
        privileges: BTreeSet<String>,
    },
    /// No role has this id.
    RoleAbsent { id: RoleId },
    /// The realm has this type and these settings.
    RealmIs {
        id: RealmId,
        realm_type: String,
        settings: BTreeMap<String, String>,
    },
    /// No realm has this id.
    RealmAbsent { id: RealmId },
    /// These users come from the realm, each with these tokens.
    RealmUsers {
        id: RealmId,
        users: BTreeMap<String, BTreeSet<String>>,
    },
    /// The subject has these roles on the path, each with whether it holds below it too.
    RuleIs {
        path: AclPath,
        subject: AclSubject,
        roles: BTreeMap<String, bool>,
    },
    /// These are all entries of the access control list that name the group, user (or one of its tokens) or role: what changes or goes
    /// with it.
    Entries {
        /// `group/ops`, `user/ann@pve`, `role/Ops`.
        of: String,
        entries: BTreeSet<String>,
    },
}
