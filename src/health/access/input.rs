//! What decides who may do what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The superuser, whom no entry limits.
pub const ROOT: &str = "root@pam";
/// The role that takes everything away.
pub const NO_ACCESS: &str = "NoAccess";
/// The role whose privileges the superuser has.
pub(super) const ADMINISTRATOR: &str = "Administrator";

/// The owner of a token (`ann@pve` of `ann@pve!ci`); `None` for a user.
#[must_use]
pub fn owner(principal: &str) -> Option<&str> {
    principal.split_once('!').map(|(owner, _)| owner)
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Whether logging in is allowed at all.
    pub enabled: bool,
    /// Seconds since 1970 after which it is not; 0 for never.
    pub expires: i64,
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whether it has only what is given to itself (and only as far as its owner has it too).
    pub separated: bool,
    /// Seconds since 1970 after which it is refused; 0 for never.
    pub expires: i64,
}

/// The members of a pool. Those of a pool inside it are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Guests. One that several pools name belongs to the first, in the order of the pools' names.
    pub guests: BTreeSet<u32>,
    /// Storages, each of which may be in several pools.
    pub storages: BTreeSet<String>,
}

/// Whom an entry is given to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A user, `ann@pve`.
    User(String),
    /// A group, without its `@`.
    Group(String),
    /// A token, `ann@pve!ci`.
    Token(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Group(id) => write!(f, "group {id}"),
            Self::Token(id) => write!(f, "token {id}"),
        }
    }
}

/// One entry of the access control list: one role for one subject on one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The path, in the form of [`super::normal`].
    pub path: String,
    /// Whom it is given to.
    pub subject: Subject,
    /// The role.
    pub role: String,
    /// Whether it holds below the path too.
    pub propagate: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            subject,
            role,
            propagate,
        } = self;
        let below = if *propagate { "" } else { ", not below it" };
        write!(f, "{role} for {subject} on {path}{below}")
    }
}

/// Everything that decides who may do what in a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The users by id.
    pub users: BTreeMap<String, User>,
    /// The tokens by full id, `ann@pve!ci`.
    pub tokens: BTreeMap<String, Token>,
    /// The groups with their members' ids.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// The roles with their privileges, the predefined ones included.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// The pools by id (`prod/web` lies in `prod`).
    pub pools: BTreeMap<String, Pool>,
    /// The realms that there are; `None` where nobody looked. Those that are built in are always there.
    pub realms: Option<BTreeSet<String>>,
    /// The access control list. Of two entries that differ in nothing but `propagate`, the later holds.
    pub entries: Vec<Entry>,
}

impl Configuration {
    /// Every user and token, users first.
    #[must_use]
    pub fn principals(&self) -> Vec<&str> {
        let users = self.users.keys().map(String::as_str);
        users
            .chain(self.tokens.keys().map(String::as_str))
            .collect()
    }

    /// The paths on which principals may differ in what they hold: the top ones, those of the access control list and above them,
    /// the pools, and the pools' members. On every other path everybody holds what is inherited from the nearest of these.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<String> {
        const TOP: [&str; 8] = [
            "/", "/access", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms",
        ];
        let mut paths: BTreeSet<String> = TOP.iter().map(|path| (*path).to_owned()).collect();
        for entry in &self.entries {
            paths.extend(super::ancestors(&entry.path).map(str::to_owned));
        }
        for (id, pool) in &self.pools {
            paths.insert(format!("/pool/{id}"));
            paths.extend(pool.guests.iter().map(|vmid| format!("/vms/{vmid}")));
            paths.extend(pool.storages.iter().map(|id| format!("/storage/{id}")));
        }
        paths
    }

    /// The pools whose roles count on a path: the one a guest belongs to, all that name a storage.
    #[must_use]
    pub fn pools_over<'a>(&'a self, path: &str) -> Vec<&'a str> {
        let member = |of: &str| path.strip_prefix(of).filter(|rest| !rest.contains('/'));
        let ids = |has: &dyn Fn(&Pool) -> bool| -> Vec<&'a str> {
            let pools = self.pools.iter().filter(|(_, pool)| has(pool));
            pools.map(|(id, _)| id.as_str()).collect()
        };
        if let Some(vmid) = member("/vms/").and_then(|text| text.parse::<u32>().ok()) {
            let mut of = ids(&|pool| pool.guests.contains(&vmid));
            of.truncate(1);
            // `/vms/0100` is a path of its own, and no guest's.
            of.retain(|_| path == format!("/vms/{vmid}"));
            return of;
        }
        member("/storage/").map_or_else(Vec::new, |id| ids(&|pool| pool.storages.contains(id)))
    }
}
