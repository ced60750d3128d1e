//! `user.cfg`: users, tokens, groups, pools, roles and access entries, parsed and printed as Proxmox VE does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::roles;
use super::state::Cluster;

/// The file's name below `/etc/pve`.
pub const FILE: &str = "user.cfg";
const ESCAPED: &AsciiSet = &CONTROLS.add(b':').add(b'%');

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
    /// Reads the file; lines of no known form are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut config = Self {
            roles: roles::predefined(),
            ..Self::default()
        };
        config.users.insert(
            "root@pam".into(),
            User {
                enable: true,
                ..User::default()
            },
        );
        for line in text.lines() {
            let fields: Vec<String> = line
                .split(':')
                .map(|part| {
                    percent_decode_str(part.trim())
                        .decode_utf8_lossy()
                        .into_owned()
                })
                .collect();
            config.line(&fields);
        }
        config
    }

    fn line(&mut self, fields: &[String]) {
        let field = |index: usize| fields.get(index).cloned().unwrap_or_default();
        let words = |index: usize| super::call::split_list(&field(index));
        let id = field(1);
        match field(0).as_str() {
            "user" if id.contains('@') => {
                let user = User {
                    enable: field(2) == "1",
                    expire: field(3).parse().unwrap_or(0),
                    firstname: field(4),
                    lastname: field(5),
                    email: field(6),
                    comment: field(7),
                    keys: field(8),
                };
                self.users.insert(id, user);
            }
            "token" => {
                let token = Token {
                    expire: field(2).parse().unwrap_or(0),
                    privsep: field(3) == "1",
                    comment: field(4),
                };
                self.tokens.insert(id, token);
            }
            "group" => {
                self.groups.insert(
                    id,
                    Group {
                        users: words(2).into_iter().collect(),
                        comment: field(3),
                    },
                );
            }
            "role" if !roles::is_predefined(&id) => {
                self.roles.insert(id, words(2).into_iter().collect());
            }
            "pool" => {
                let vms = words(3)
                    .iter()
                    .filter_map(|vmid| vmid.parse().ok())
                    .collect();
                self.pools.insert(
                    id,
                    Pool {
                        comment: field(2),
                        vms,
                        storages: words(4).into_iter().collect(),
                    },
                );
            }
            "acl" => {
                let propagate = id == "1";
                for subject in words(3) {
                    let subject = match subject.strip_prefix('@') {
                        Some(group) => (Subject::Group, group.to_owned()),
                        None if subject.contains('!') => (Subject::Token, subject),
                        None => (Subject::User, subject),
                    };
                    let roles = self
                        .acl
                        .entry(field(2))
                        .or_default()
                        .entry(subject)
                        .or_default();
                    roles.extend(words(4).into_iter().map(|role| (role, propagate)));
                }
            }
            _ => {}
        }
    }

    /// Writes the file.
    #[must_use]
    pub fn print(&self) -> String {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut text = String::new();
        for (id, user) in &self.users {
            let User {
                enable,
                expire,
                firstname,
                lastname,
                email,
                comment,
                keys,
            } = user;
            let names = [firstname, lastname, email, comment, keys]
                .map(|part| escape(part))
                .join(":");
            text.push_str(&format!(
                "user:{id}:{}:{expire}:{names}:\n",
                u8::from(*enable)
            ));
            for (
                token,
                Token {
                    expire,
                    privsep,
                    comment,
                },
            ) in self.tokens_of(id)
            {
                text.push_str(&format!(
                    "token:{token}:{expire}:{}:{}:\n",
                    u8::from(*privsep),
                    escape(comment)
                ));
            }
        }
        text.push('\n');
        for (id, Group { users, comment }) in &self.groups {
            text.push_str(&format!(
                "group:{id}:{}:{}:\n",
                joined(users),
                escape(comment)
            ));
        }
        text.push('\n');
        for (
            id,
            Pool {
                comment,
                vms,
                storages,
            },
        ) in &self.pools
        {
            text.push_str(&format!(
                "pool:{id}:{}:{}:{}:\n",
                escape(comment),
                joined(vms),
                joined(storages)
            ));
        }
        text.push('\n');
        for (id, privileges) in self
            .roles
            .iter()
            .filter(|(id, _)| !roles::is_predefined(id))
        {
            text.push_str(&format!("role:{id}:{}:\n", joined(privileges)));
        }
        text.push('\n');
        for (path, subjects) in &self.acl {
            self.print_path(path, subjects, &mut text);
        }
        text
    }

    /// Subjects with the same roles share a line, as Proxmox VE writes it.
    fn print_path(
        &self,
        path: &str,
        subjects: &BTreeMap<(Subject, String), Roles>,
        text: &mut String,
    ) {
        let mut lines: BTreeMap<(bool, String), BTreeSet<String>> = BTreeMap::new();
        for ((subject, id), roles) in subjects {
            for propagate in [false, true] {
                let roles: Vec<&String> = roles
                    .iter()
                    .filter(|(_, own)| **own == propagate)
                    .map(|(role, _)| role)
                    .collect();
                if !roles.is_empty() {
                    let name = if *subject == Subject::Group {
                        format!("@{id}")
                    } else {
                        id.clone()
                    };
                    let roles = roles.into_iter().cloned().collect::<Vec<_>>().join(",");
                    lines.entry((propagate, roles)).or_default().insert(name);
                }
            }
        }
        for ((propagate, roles), names) in lines {
            text.push_str(&format!(
                "acl:{}:{path}:{}:{roles}:\n",
                u8::from(propagate),
                joined(&names)
            ));
        }
    }

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

fn joined<T: ToString>(items: &BTreeSet<T>) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_the_same() {
        let text = "user:a@pve:1:1999999999:A:M%3Al:a@x:on 100%25::\ntoken:a@pve!t:0:1:c:\nuser:root@pam:1:0::::::\n\n\
            group:g:a@pve:G:\n\npool:p::100,101:local:\npool:p/q:x:::\n\nrole:R:VM.Audit:\n\n\
            acl:0:/vms/100:@g,a@pve:PVEAuditor,R:\nacl:1:/vms/100:a@pve!t:R:\n";
        let config = UserConfig::parse(text);
        assert_eq!(config.print(), text);
        assert_eq!(UserConfig::parse(&config.print()), config);
        assert_eq!(config.users["a@pve"].lastname, "M:l");
    }
}
