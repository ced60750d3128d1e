//! The names of users, their tokens, groups and roles, and of what they are given privileges on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidId;

/// The characters of a group's and a role's id.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

/// A realm's id, and the part of a token's behind the `!`.
fn is_realm(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(text)
}

/// A realm's id, as new ones may be.
fn is_realm_id(text: &str) -> bool {
    text.len() <= 32 && is_realm(text)
}

/// Commas and semicolons are none of it: in Proxmox VE's own lists of users they part one from the next.
fn is_user(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | ',' | ';');
    text.chars().count() <= 64
        && text
            .rsplit_once('@')
            .is_some_and(|(name, realm)| !name.is_empty() && !name.contains(bad) && is_realm(realm))
}

fn is_token(text: &str) -> bool {
    text.rsplit_once('!')
        .is_some_and(|(user, name)| is_user(user) && is_realm(name))
}

/// The forms of paths that Proxmox VE takes entries of the access control list on (PVE::AccessControl `check_path`), without doubled
/// or final slashes.
fn is_path(text: &str) -> bool {
    if text == "/" {
        return true;
    }
    let good = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_@".contains(&b))
    };
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    parts.iter().all(|part| good(part))
        && match parts.as_slice() {
            ["access" | "nodes" | "pool" | "storage" | "vms" | "sdn" | "mapping"] => true,
            ["access", "groups" | "realm"] | ["access", "groups" | "realm", _] => true,
            ["nodes" | "storage", _] => true,
            ["pool", _] | ["pool", _, _] | ["pool", _, _, _] => true,
            // A number is written in one way only: `/vms/0104` would be a path of its own, and no guest's.
            ["vms", vmid] => vmid
                .parse::<super::Vmid>()
                .is_ok_and(|id| id.to_string() == *vmid),
            [
                "sdn",
                "zones" | "vnets" | "controllers" | "dns" | "ipams" | "fabrics",
            ] => true,
            ["sdn", "zones", _] | ["sdn", "zones", _, _] | ["sdn", "zones", _, _, _] => true,
            ["sdn", "controllers" | "dns" | "ipams" | "fabrics", _] => true,
            ["mapping", "pci" | "usb" | "dir" | "hwrng" | "cpu"] | ["mapping", _, _] => true,
            ["mapping", "notifications"] => true,
            _ => false,
        }
}

name!(
    /// A user's id, with its realm: `ann@pve` (Proxmox VE: `pve-userid`).
    UserId,
    "user id",
    "`NAME@REALM` such as `ann@pve`, at most 64 characters, without blanks, `:`, `/`, `,` and `;`",
    is_user
);
name!(
    /// A token's whole id: `ann@pve!backup` (Proxmox VE: `pve-tokenid`).
    TokenId,
    "token id",
    "`NAME@REALM!TOKEN` such as `ann@pve!backup`",
    is_token
);
name!(
    /// A group's id (Proxmox VE: `pve-groupid`).
    GroupId,
    "group id",
    "letters, digits, `-`, `_` and `.`",
    is_name
);
name!(
    /// A role's id (Proxmox VE: `pve-roleid`).
    RoleId,
    "role id",
    "letters, digits, `-`, `_` and `.`",
    is_name
);
name!(
    /// A realm's id (Proxmox VE: `pve-realm`).
    RealmId,
    "realm id",
    "a letter, then at least one letter, digit, `-`, `_` or `.`; at most 32 characters",
    is_realm_id
);
name!(
    /// A path of the access control list: `/`, `/vms/100`, `/pool/prod`, `/storage/local`, …
    AclPath,
    "path of the access control list",
    "`/`, or a path that Proxmox VE gives privileges on, such as `/vms/100`, `/pool/prod`, `/storage/local`, `/nodes/pve1`, `/sdn/zones/ZONE`, `/access/groups/GROUP`, without a final slash",
    is_path
);

impl UserId {
    /// The realm the user comes from.
    pub fn realm(&self) -> &str {
        self.as_str()
            .rsplit_once('@')
            .map_or("", |(_, realm)| realm)
    }
}

impl TokenId {
    /// The token of a user with a name, which is the part behind the `!`.
    ///
    /// # Errors
    /// [`InvalidId`] if the name is none.
    pub fn of(user: &UserId, name: &str) -> Result<Self, InvalidId> {
        Self::new(format!("{user}!{name}"))
    }

    /// The part behind the `!`.
    pub fn name(&self) -> &str {
        self.as_str().rsplit_once('!').map_or("", |(_, name)| name)
    }

    /// The id of the user it belongs to.
    pub fn owner(&self) -> &str {
        self.as_str().rsplit_once('!').map_or("", |(user, _)| user)
    }
}

/// Who is given roles by entries of the access control list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AclSubject {
    /// A user.
    User(UserId),
    /// Everybody in a group.
    Group(GroupId),
    /// A token.
    Token(TokenId),
}

impl AclSubject {
    /// The subject of an entry as the list has it: its type (`user`, `group`, `token`) and id.
    ///
    /// # Errors
    /// [`InvalidId`] if the id is none of that type, or the type is none.
    pub fn of(kind: &str, id: &str) -> Result<Self, InvalidId> {
        match kind {
            "user" => UserId::new(id).map(Self::User),
            "group" => GroupId::new(id).map(Self::Group),
            "token" => TokenId::new(id).map(Self::Token),
            _ => Err(InvalidId {
                what: "subject of an access rule",
                text: format!("{kind}:{id}"),
                expected: "`user:ID`, `group:ID` or `token:ID`",
            }),
        }
    }

    /// `user`, `group` or `token`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Token(_) => "token",
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Group(id) => id.as_str(),
            Self::Token(id) => id.as_str(),
        }
    }
}

/// `group ops`.
impl fmt::Display for AclSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.id())
    }
}

/// The entries of one subject on one path: what an `AccessRule` is about. Its text is `group:ops/vms/100`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AclRuleId {
    /// Who.
    pub subject: AclSubject,
    /// On what.
    pub path: AclPath,
}

impl fmt::Display for AclRuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, path) = (&self.subject, &self.path);
        write!(f, "{}:{}{path}", subject.kind(), subject.id())
    }
}

impl FromStr for AclRuleId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "access rule",
            text: text.to_owned(),
            expected: "a subject and a path, such as `group:ops/vms/100` or `user:ann@pve/`",
        };
        let (kind, rest) = text.split_once(':').ok_or_else(invalid)?;
        let slash = rest.find('/').ok_or_else(invalid)?;
        let (id, path) = rest.split_at(slash);
        Ok(Self {
            subject: AclSubject::of(kind, id)?,
            path: AclPath::new(path)?,
        })
    }
}

impl TryFrom<String> for AclRuleId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<AclRuleId> for String {
    fn from(rule: AclRuleId) -> String {
        rule.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn users_tokens_groups_and_paths_are_proxmox_s() {
        assert_eq!(UserId::new("ann.b@ldap-1").unwrap().realm(), "ldap-1");
        for bad in ["ann", "@pve", "ann@p", "a b@pve", "a,b@pve", "a/b@pve"] {
            assert!(UserId::new(bad).is_err(), "{bad}");
        }
        assert!(UserId::new("ann@pve!mon").is_err());
        assert_eq!(TokenId::new("ann@pve!mon").unwrap().owner(), "ann@pve");
        assert!(TokenId::new("ann@pve").is_err());
        assert!(GroupId::new("ops team").is_err());
        for good in ["/", "/vms", "/vms/100", "/pool/a/b", "/sdn/zones/z/v/7"] {
            assert!(AclPath::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "vms",
            "/vms/",
            "//vms",
            "/vms/99",
            "/vms/0104",
            "/vms/100/x",
            "/x",
        ] {
            assert!(AclPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_named_by_subject_and_path() {
        for text in [
            "group:ops/vms/100",
            "user:ann@pve/",
            "token:ann@pve!mon/access/realm/pve",
        ] {
            assert_eq!(text.parse::<AclRuleId>().unwrap().to_string(), text);
        }
        for bad in ["group:ops", "ops/vms/100", "team:ops/vms", "user:ops/vms"] {
            assert!(bad.parse::<AclRuleId>().is_err(), "{bad}");
        }
    }
}
