//! The text of `user.cfg`, read and written as Proxmox VE does (PVE::AccessControl): line by line in the order of the file, so that a
//! line which names a token, role or user that comes later may lose it.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Group, Pool, Roles, Subject, Token, User, UserConfig};
use crate::sim::acl::normalize;
use crate::sim::roles;

const ESCAPED: &AsciiSet = &CONTROLS.add(b':').add(b'%');

impl UserConfig {
    /// Reads the file; what is malformed or names what is not known yet is dropped, as far as Proxmox VE drops it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut config = Self {
            roles: roles::predefined(),
            ..Self::default()
        };
        let root = User {
            enable: true,
            ..User::default()
        };
        config.users.insert("root@pam".into(), root);
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').map(str::trim).collect();
            config.line(&fields);
        }
        config
    }

    fn line(&mut self, fields: &[&str]) {
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let words = |index: usize| crate::sim::call::split_list(field(index));
        let id = field(1).to_owned();
        match field(0) {
            "user" => {
                if let (true, Some(expire)) = (is_user(&id), time(field(3))) {
                    let user = User {
                        enable: truth(field(2)),
                        expire,
                        firstname: plain(field(4)),
                        lastname: plain(field(5)),
                        email: plain(field(6)),
                        comment: plain(field(7)),
                        keys: plain(field(8)),
                    };
                    self.users.insert(id, user);
                }
            }
            "token" => {
                let owner = id.rsplit_once('!').filter(|(_, name)| is_realm(name));
                let known = owner.is_some_and(|(owner, _)| self.users.contains_key(owner));
                if let (true, Some(expire)) = (known, time(field(2))) {
                    let token = Token {
                        expire,
                        privsep: truth(field(3)),
                        comment: plain(field(4)),
                    };
                    self.tokens.insert(id, token);
                }
            }
            "group" if is_name(&id) => {
                let group: &mut Group = self.groups.entry(id).or_default();
                group
                    .users
                    .extend(words(2).into_iter().filter(|id| is_user(id)));
                group.comment = plain(field(3));
            }
            "role" if is_name(&id) && !roles::is_predefined(&id) => {
                let known = |name: &String| roles::PRIVILEGES.contains(&name.as_str());
                let role = self.roles.entry(id).or_default();
                role.extend(words(2).into_iter().filter(known));
            }
            "pool" if id.split('/').all(is_name) => self.pool(id, field(2), &words(3), words(4)),
            "acl" => self.acl_line(truth(&id), field(2), &words(3), &words(4)),
            _ => {}
        }
    }

    /// A pool brings those that it lies in along. A guest stays in the pool that named it first.
    fn pool(&mut self, id: String, comment: &str, guests: &[String], storages: Vec<String>) {
        let mut above = id.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            self.pools.entry(parent.to_owned()).or_default();
            above = parent;
        }
        let guests: Vec<u32> = guests.iter().filter_map(|vmid| vmid.parse().ok()).collect();
        let free: Vec<u32> = guests
            .into_iter()
            .filter(|vmid| self.pool_of_guest(*vmid).is_none())
            .collect();
        let pool: &mut Pool = self.pools.entry(id).or_default();
        pool.comment = plain(comment);
        pool.vms.extend(free);
        pool.storages.extend(storages);
    }

    /// Entries for users and groups that are not there stay, those for tokens and roles that are not go.
    fn acl_line(&mut self, propagate: bool, path: &str, subjects: &[String], roles: &[String]) {
        let Some(path) = normalize(path) else {
            return;
        };
        let roles = roles.iter().filter(|role| self.roles.contains_key(*role));
        let roles: Roles = roles.map(|role| (role.clone(), propagate)).collect();
        for id in subjects.iter().filter(|_| !roles.is_empty()) {
            let subject = match id.strip_prefix('@') {
                Some(group) if is_name(group) => (Subject::Group, group.to_owned()),
                _ if is_user(id) => (Subject::User, id.clone()),
                _ if self.tokens.contains_key(id) => (Subject::Token, id.clone()),
                _ => continue,
            };
            let entries = self.acl.entry(path.clone()).or_default();
            entries.entry(subject).or_default().extend(roles.clone());
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
        // As a tree: what is below a path comes before its neighbours.
        let mut paths: Vec<_> = self.acl.iter().collect();
        paths.sort_by_key(|(path, _)| path.split('/').collect::<Vec<_>>());
        for (path, subjects) in paths {
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
        // Entries of the superuser have no effect and are not kept.
        let kept = subjects.iter().filter(|((_, id), _)| id != "root@pam");
        for ((subject, id), roles) in kept {
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
}

fn truth(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// A time in seconds; nothing means never.
fn time(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    text.parse().ok().filter(|time| *time >= 0)
}

fn plain(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(good)
}

fn is_realm(text: &str) -> bool {
    text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_name(text)
}

fn is_user(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || matches!(c, ':' | '/');
    text.len() <= 64
        && text
            .rsplit_once('@')
            .is_some_and(|(name, realm)| !name.is_empty() && !name.contains(bad) && is_realm(realm))
}

/// Members in the order of their text, numbers too.
fn joined<T: ToString>(items: &BTreeSet<T>) -> String {
    let items: BTreeSet<String> = items.iter().map(ToString::to_string).collect();
    items.into_iter().collect::<Vec<_>>().join(",")
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
        let text = "user:a@pve:1:1999999999:A:M%3Al:a@x:on 100%25::\ntoken:a@pve!tt:0:1:c:\nuser:root@pam:1:0::::::\n\n\
            group:g:a@pve:G:\n\npool:p::100,101:local:\npool:p/q:x:::\n\nrole:R:VM.Audit:\n\n\
            acl:0:/vms/100:@g,a@pve:PVEAuditor,R:\nacl:1:/vms/100:a@pve!tt:R:\n";
        let config = UserConfig::parse(text);
        assert_eq!(config.print(), text);
        assert_eq!(UserConfig::parse(&config.print()), config);
        assert_eq!(config.users["a@pve"].lastname, "M:l");
    }

    #[test]
    fn what_names_something_that_comes_later_may_be_lost() {
        let text = "acl:1:/vms:a@pve,@g,a@pve!tt:PVEAuditor,Later:\nacl:1://nodes//x/:ghost@pve:PVEAuditor:\nacl:1:/b\u{e4}d:@g:PVEAuditor:\n\
            token:a@pve!tt:0:1::\nuser:a@pve:1:0:\nuser:bad:1:0:\ntoken:a@pve!uu:0:1::\ngroup:g:a@pve,ghost@pve,bad:\n\
            role:Later:VM.Audit,VM.Bogus:\nrole:PVEAuditor:Sys.Modify:\npool:a/b::100,x,100:s:\npool:c::100,101::\n";
        let config = UserConfig::parse(text);
        let subjects: Vec<&str> = config.acl["/vms"]
            .keys()
            .map(|(_, id)| id.as_str())
            .collect();
        assert_eq!(
            subjects,
            ["g", "a@pve"],
            "tokens must be known, users and groups need not"
        );
        assert_eq!(
            config.acl["/vms"]
                .values()
                .flatten()
                .map(|(role, _)| role)
                .collect::<Vec<_>>(),
            ["PVEAuditor", "PVEAuditor"]
        );
        assert_eq!(config.acl.keys().collect::<Vec<_>>(), ["/nodes/x", "/vms"]);
        assert_eq!(
            config.users.keys().collect::<Vec<_>>(),
            ["a@pve", "root@pam"]
        );
        assert_eq!(config.tokens.keys().collect::<Vec<_>>(), ["a@pve!uu"]);
        assert_eq!(
            config.groups["g"].users.len(),
            2,
            "a member that is not known is one"
        );
        assert_eq!(config.roles["Later"].len(), 1, "privileges must be known");
        assert!(!config.roles["PVEAuditor"].contains("Sys.Modify"));
        assert_eq!(config.pools.keys().collect::<Vec<_>>(), ["a", "a/b", "c"]);
        assert_eq!(
            config.pools["c"].vms,
            [101].into(),
            "the first pool keeps its guest"
        );
    }

    #[test]
    fn paths_are_written_as_a_tree_and_nothing_of_the_superuser() {
        let text = "pool:p:::\npool:p-x:::\npool:p/q:::\nacl:1:/pool/p-x:root@pam,b@pve:PVEAuditor:\nacl:1:/pool/p/q:b@pve:PVEAuditor:\n\
            acl:1:/pool/p:root@pam:PVEAuditor:\n";
        let printed = UserConfig::parse(text).print();
        let lines: Vec<&str> = printed
            .lines()
            .filter(|line| line.starts_with("acl"))
            .collect();
        assert_eq!(
            lines,
            [
                "acl:1:/pool/p/q:b@pve:PVEAuditor:",
                "acl:1:/pool/p-x:b@pve:PVEAuditor:"
            ]
        );
    }
}
