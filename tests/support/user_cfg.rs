//! Reads the text of `user.cfg` as Proxmox VE does, its order included: what is not known yet when a line names it may be dropped.
//! Production reads the same from the API; this is for tests that have the file.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::health::access::{
    Configuration, Entry, Pool, ROOT, Subject, Token, User, normal, owner,
};

/// The configuration of a file, with these predefined roles.
pub fn read(text: &str, predefined: &BTreeMap<String, BTreeSet<String>>) -> Configuration {
    let mut reader = Reader {
        configuration: Configuration {
            roles: predefined.clone(),
            ..Configuration::default()
        },
        predefined,
        pooled: BTreeSet::new(),
    };
    let root = User {
        enabled: true,
        expires: 0,
    };
    reader.configuration.users.insert(ROOT.to_owned(), root);
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        reader.line(&fields);
    }
    reader.configuration
}

struct Reader<'a> {
    configuration: Configuration,
    predefined: &'a BTreeMap<String, BTreeSet<String>>,
    pooled: BTreeSet<u32>,
}

impl Reader<'_> {
    fn line(&mut self, fields: &[&str]) {
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let id = field(1).to_owned();
        match field(0) {
            "user" => {
                if let (true, Some(expires)) = (is_user(&id), time(field(3))) {
                    let enabled = truth(field(2));
                    let user = User { enabled, expires };
                    self.configuration.users.insert(id, user);
                }
            }
            "token" => {
                let known =
                    owner(&id).is_some_and(|owner| self.configuration.users.contains_key(owner));
                if let (true, Some(expires)) = (known && is_token(&id), time(field(2))) {
                    let separated = truth(field(3));
                    let token = Token { separated, expires };
                    self.configuration.tokens.insert(id, token);
                }
            }
            "group" if is_name(&id) => {
                let members = self.configuration.groups.entry(id).or_default();
                members.extend(words(field(2)).filter(|id| is_user(id)).map(str::to_owned));
            }
            "role" if is_name(&id) => {
                let known: BTreeSet<&str> = self
                    .predefined
                    .values()
                    .flatten()
                    .map(String::as_str)
                    .collect();
                let privileges = words(field(2)).filter(|name| known.contains(name));
                let privileges: Vec<String> = privileges.map(str::to_owned).collect();
                let role = self.configuration.roles.entry(id).or_default();
                role.extend(privileges);
            }
            "pool" => self.pool(id, field(3), field(4)),
            "acl" => self.acl(truth(&id), field(2), field(3), field(4)),
            _ => {}
        }
    }

    fn pool(&mut self, id: String, guests: &str, storages: &str) {
        if !id.split('/').all(is_name) {
            return;
        }
        let pool: &mut Pool = self.configuration.pools.entry(id).or_default();
        for vmid in words(guests).filter_map(|vmid| vmid.parse().ok()) {
            if self.pooled.insert(vmid) {
                pool.guests.insert(vmid);
            }
        }
        pool.storages.extend(words(storages).map(str::to_owned));
    }

    fn acl(&mut self, propagate: bool, path: &str, subjects: &str, roles: &str) {
        let Some(path) = normal(path) else {
            return;
        };
        for role in words(roles).filter(|role| self.configuration.roles.contains_key(*role)) {
            for id in words(subjects) {
                let subject = match id.strip_prefix('@') {
                    Some(group) if is_name(group) => Subject::Group(group.to_owned()),
                    _ if is_user(id) => Subject::User(id.to_owned()),
                    _ if self.configuration.tokens.contains_key(id) => {
                        Subject::Token(id.to_owned())
                    }
                    _ => continue,
                };
                self.configuration.entries.push(Entry {
                    path: path.clone(),
                    subject,
                    role: role.to_owned(),
                    propagate,
                });
            }
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\0'])
        .filter(|word| !word.is_empty())
}

fn truth(text: &str) -> bool {
    !matches!(text, "" | "0")
}

fn time(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    text.parse().ok()
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(good)
}

fn is_realm(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(text)
}

fn is_user(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(name, realm)| {
        let bad = |c: char| c.is_whitespace() || matches!(c, ':' | '/');
        !name.is_empty() && !name.contains(bad) && is_realm(realm) && text.len() <= 64
    })
}

fn is_token(text: &str) -> bool {
    let parts = text.rsplit_once('!');
    parts.is_some_and(|(owner, name)| is_user(owner) && is_realm(name))
}
