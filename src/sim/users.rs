//! `user.cfg`: users, tokens, groups, pools, roles and access entries, parsed and printed as Proxmox VE does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::state::Cluster;

mod text;

/// The file's name below `/etc/pve`.
pub const FILE: &str = "user.cfg";

/// A user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct User {
    /// Whether logging in is allowed.
    pub enable: bool,
    /// UNIX time after which it is not; 0 for never.
    pub expire: i64,
    /// First name.
    pub firstname: String,
    /// Last name.
    pub lastname: String,
    /// Mail address.
    pub email: String,
    /// A remark.
    pub comment: String,
    /// Second factor.
    pub keys: String,
}

/// A token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Token {
    /// UNIX time after which it is refused; 0 for never.
    pub expire: i64,
    /// Whether it has only privileges given to itself.
    pub privsep: bool,
    /// A remark.
    pub comment: String,
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// User ids.
    pub users: BTreeSet<String>,
    /// A remark.
    pub comment: String,
}

/// A pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pool {
    /// A remark.
    pub comment: String,
    /// Guests.
    pub vms: BTreeSet<u32>,
    /// Storages.
    pub storages: BTreeSet<String>,
}

/// Who an access entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A group.
    Group,
    /// A token.
    Token,
    /// A user.
    User,
}

/// Roles of one subject on one path, each with its `propagate`.
pub type Roles = BTreeMap<String, bool>;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserConfig {
    /// Users by id.
    pub users: BTreeMap<String, User>,
    /// Tokens by full id.
    pub tokens: BTreeMap<String, Token>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Pools by name.
    pub pools: BTreeMap<String, Pool>,
    /// All roles, predefined ones included.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Access entries by path and subject.
    pub acl: BTreeMap<String, BTreeMap<(Subject, String), Roles>>,
}

/// The parsed file of one version.
#[derive(Debug, Default)]
pub struct Cache(Option<(String, Arc<UserConfig>)>);

impl UserConfig {
    /// The tokens of a user, by full id.
    pub fn tokens_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = (&'a String, &'a Token)> {
        self.tokens
            .iter()
            .filter(move |(id, _)| id.split_once('!').is_some_and(|(owner, _)| owner == user))
    }

    /// The pool that has this guest.
    #[must_use]
    pub fn pool_of_guest(&self, vmid: u32) -> Option<&str> {
        self.pools
            .iter()
            .find(|(_, pool)| pool.vms.contains(&vmid))
            .map(|(id, _)| id.as_str())
    }

    /// Forgets a guest: its pool membership and the access entries on `/vms/ID`.
    pub fn forget_guest(&mut self, vmid: u32) {
        for pool in self.pools.values_mut() {
            pool.vms.remove(&vmid);
        }
        self.acl.remove(&format!("/vms/{vmid}"));
    }

    /// Forgets a storage: its pool membership and the access entries on `/storage/ID`.
    pub fn forget_storage(&mut self, storage: &str) {
        for pool in self.pools.values_mut() {
            pool.storages.remove(storage);
        }
        self.acl.remove(&format!("/storage/{storage}"));
    }
}

impl Cluster {
    /// The parsed `user.cfg`; cheap while the file does not change.
    pub fn users(&mut self) -> Arc<UserConfig> {
        let text = self.files.read(FILE);
        match &self.users.0 {
            Some((known, config)) if known == text => config.clone(),
            _ => {
                let config = Arc::new(UserConfig::parse(text));
                self.users.0 = Some((text.to_owned(), config.clone()));
                config
            }
        }
    }

    /// The parsed `user.cfg` to read once, without touching the cache.
    #[must_use]
    pub fn read_users(&self) -> Arc<UserConfig> {
        let text = self.files.read(FILE);
        match &self.users.0 {
            Some((known, config)) if known == text => config.clone(),
            _ => Arc::new(UserConfig::parse(text)),
        }
    }

    /// Changes `user.cfg`.
    ///
    /// # Errors
    /// What the change answers; nothing is written then.
    pub fn change_users<T, E>(
        &mut self,
        change: impl FnOnce(&mut UserConfig) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut config = self.read_users().as_ref().clone();
        let answer = change(&mut config)?;
        self.files.set(FILE, config.print());
        self.users();
        Ok(answer)
    }
}
