//! The commands that give a token what it lacks. An entry of Proxmox VE's access control list on a path replaces what holds there from
//! above, so a role for a path repeats what the token has there already.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plan::Privilege;
use crate::proxmox::{Call, Client};
use crate::world::World;

/// Path → privilege → whether it holds below too.
type Permissions = BTreeMap<String, BTreeMap<String, bool>>;

/// What is lacking, and what is there.
pub(super) struct Grants {
    token: String,
    /// Whether the token has privileges of its own, beside those of its user; `true` when nobody says.
    separated: bool,
    held: Permissions,
    /// What the token's user has; `None` if it cannot be read.
    held_by_user: Option<Permissions>,
    lacking: BTreeSet<Privilege>,
}

impl Grants {
    /// Asks the cluster what the token and its user have.
    pub(super) async fn read(client: &Client, world: &World, lacking: BTreeSet<Privilege>) -> Self {
        let token = client.token_id().to_owned();
        let (user, name) = split(&token);
        let described: Option<Value> = client
            .get(Call::get(["access", "users", user, "token", name]))
            .await
            .ok();
        let separated = described
            .as_ref()
            .and_then(|token| token.get("privsep"))
            .is_none_or(|flag| !matches!(flag.to_string().trim_matches('"'), "0" | "false"));
        let of_user: Option<Value> = client
            .get(Call::get(["access", "permissions"]).param("userid", user))
            .await
            .ok();
        Self {
            separated,
            held: world.permissions.as_ref().clone(),
            held_by_user: of_user.as_ref().map(crate::world::observe::permissions_of),
            token,
            lacking,
        }
    }

    /// The commands, in the order to run them.
    pub(super) fn commands(&self) -> Vec<String> {
        let (user, _) = split(&self.token);
        let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut entries = Vec::new();
        let mut grant = |path: &str, to: String, privileges: BTreeSet<String>| {
            let role = role_name(&privileges);
            entries.push(format!("pveum acl modify {path} {to} -role {role}"));
            roles.insert(role, privileges);
        };
        let paths: BTreeSet<&str> = self.lacking.iter().map(|p| p.path.as_str()).collect();
        for path in paths {
            // root@pam itself may do everything.
            if user != "root@pam" {
                match &self.held_by_user {
                    Some(held) => {
                        let (there, more) = self.on(path, held);
                        if !more.is_empty() {
                            grant(
                                path,
                                format!("-user {user}"),
                                there.union(&more).cloned().collect(),
                            );
                        }
                    }
                    None => {
                        let (there, more) = self.on(path, &self.held);
                        grant(
                            path,
                            format!("-user {user}"),
                            there.union(&more).cloned().collect(),
                        );
                    }
                }
            }
            let (there, more) = self.on(path, &self.held);
            if self.separated && !more.is_empty() {
                grant(
                    path,
                    format!("-token '{}'", self.token),
                    there.union(&more).cloned().collect(),
                );
            }
        }
        let roles = roles.into_iter().map(|(role, privileges)| {
            let privileges: Vec<String> = privileges.into_iter().collect();
            format!("pveum role add {role} -privs \"{}\"", privileges.join(","))
        });
        roles.chain(entries).collect()
    }

    /// What is held on a path, and what is still to come: what is lacking there, and above it, since an entry here replaces those above.
    fn on(&self, path: &str, held: &Permissions) -> (BTreeSet<String>, BTreeSet<String>) {
        let there = on_path(held, path);
        let more = self
            .lacking
            .iter()
            .filter(|lacking| is_at_or_above(&lacking.path, path))
            .map(|lacking| lacking.privilege.clone())
            .filter(|privilege| !there.contains(privilege))
            .collect();
        (there, more)
    }
}

/// User and name of a token's id.
pub(super) fn split(token: &str) -> (&str, &str) {
    token.split_once('!').unwrap_or((token, ""))
}

/// Whether a path is another, or one that the other lies below.
fn is_at_or_above(path: &str, other: &str) -> bool {
    path == "/"
        || path == other
        || other
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// What holds on a path: its own entry, else what propagates from the nearest above.
fn on_path(held: &Permissions, path: &str) -> BTreeSet<String> {
    let mut at = path;
    loop {
        if let Some(privileges) = held.get(at) {
            return privileges
                .iter()
                .filter(|(_, propagates)| at == path || **propagates)
                .map(|(privilege, _)| privilege.clone())
                .collect();
        }
        at = match at.rsplit_once('/') {
            Some(("", _)) if at != "/" => "/",
            Some((parent, _)) if !parent.is_empty() => parent,
            _ => return BTreeSet::new(),
        };
    }
}

/// A name that says which privileges a role has: the same ones always get the same name.
fn role_name(privileges: &BTreeSet<String>) -> String {
    let text: Vec<&str> = privileges.iter().map(String::as_str).collect();
    let digest = hex::encode(Sha256::digest(text.join(",")));
    format!("Bailiwick-{}", digest.get(..8).unwrap_or(&digest))
}

/// The command that makes a token.
pub(super) fn new_token(token: &str) -> String {
    let (user, name) = split(token);
    format!("pveum user token add {user} {name} -privsep 1")
}

/// The command that gives a token that is there a new secret. Its entries in the access control list stay. Since Proxmox VE 9.2:
/// `PUT /access/users/{userid}/token/{tokenid}` takes `regenerate`.
pub(super) fn new_secret(token: &str) -> String {
    let (user, name) = split(token);
    format!("pveum user token modify {user} {name} -regenerate 1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn permissions(of: &[(&str, &[(&str, bool)])]) -> Permissions {
        of.iter()
            .map(|(path, privileges)| {
                let privileges = privileges
                    .iter()
                    .map(|(name, below)| ((*name).to_owned(), *below));
                ((*path).to_owned(), privileges.collect())
            })
            .collect()
    }

    fn lacking(of: &[(&str, &str)]) -> BTreeSet<Privilege> {
        of.iter()
            .map(|(path, privilege)| Privilege {
                path: (*path).to_owned(),
                privilege: (*privilege).to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_role_for_a_path_repeats_what_holds_there() {
        let held = permissions(&[("/", &[("VM.Audit", true), ("Sys.Audit", false)])]);
        let grants = Grants {
            token: "bot@pve!a".to_owned(),
            separated: true,
            held: held.clone(),
            held_by_user: Some(held),
            lacking: lacking(&[("/vms", "VM.Migrate"), ("/vms/104", "VM.Config.CPU")]),
        };
        insta::assert_snapshot!(grants.commands().join("\n"), @r#"
        pveum role add Bailiwick-ca4f50fd -privs "VM.Audit,VM.Config.CPU,VM.Migrate"
        pveum role add Bailiwick-f061a262 -privs "VM.Audit,VM.Migrate"
        pveum acl modify /vms -user bot@pve -role Bailiwick-f061a262
        pveum acl modify /vms -token 'bot@pve!a' -role Bailiwick-f061a262
        pveum acl modify /vms/104 -user bot@pve -role Bailiwick-ca4f50fd
        pveum acl modify /vms/104 -token 'bot@pve!a' -role Bailiwick-ca4f50fd
        "#);
    }

    #[test]
    fn a_token_without_privileges_of_its_own_and_a_user_that_has_them_get_only_what_is_missing() {
        let mut grants = Grants {
            token: "bot@pve!a".to_owned(),
            separated: false,
            held: permissions(&[]),
            held_by_user: Some(permissions(&[])),
            lacking: lacking(&[("/", "Sys.Audit")]),
        };
        let commands = grants.commands();
        assert_eq!(commands.len(), 2);
        assert!(commands.last().unwrap().contains("-user bot@pve"));
        grants.separated = true;
        grants.held_by_user = Some(permissions(&[("/", &[("Sys.Audit", true)])]));
        let commands = grants.commands();
        assert_eq!(commands.len(), 2);
        assert!(commands.last().unwrap().contains("-token 'bot@pve!a'"));
        grants.token = "root@pam!a".to_owned();
        grants.held_by_user = None;
        assert_eq!(grants.commands().len(), 2);
    }
}
