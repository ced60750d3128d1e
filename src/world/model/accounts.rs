//! Who there is: users with their tokens, groups, roles, realms.

use std::collections::{BTreeMap, BTreeSet};

use super::Section;

/// A user, by id (`ann@pve`) in the world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Whether logging in is allowed at all.
    pub enabled: bool,
    /// Seconds since 1970 after which it is not; 0 for never.
    pub expires: i64,
    /// Its tokens, by the part of their id behind the `!`.
    pub tokens: BTreeMap<String, Token>,
    /// Names, address and comment, raw. Keys of a second factor are not read.
    pub fields: Section,
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whether it has only what is given to itself.
    pub separated: bool,
    /// Seconds since 1970 after which it is refused; 0 for never.
    pub expires: i64,
    /// Its comment.
    pub comment: Option<String>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The ids of its members.
    pub members: BTreeSet<String>,
    /// Its comment.
    pub comment: Option<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// Its privileges.
    pub privileges: BTreeSet<String>,
    /// One of those that Proxmox VE brings along, which cannot be changed.
    pub special: bool,
}

/// A realm that users come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// `pam`, `pve`, `ldap`, `ad`, `openid`.
    pub realm_type: String,
}

/// How realms are set, which only the answer for each single one tells whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RealmSettings {
    /// The digest of the file with all realms; empty if unknown, and after a predicted change.
    pub digest: String,
    /// Each realm's settings, raw, by its id. Secrets are never among them.
    pub of: BTreeMap<String, Section>,
}
