//! Who may do what, by Proxmox VE's own algorithm (PVE::AccessControl `roles`, PVE::RPCEnvironment `permissions`).
//!
//! Down the path from `/`, each component's own entries *replace* what came from above: a token's own entries for a
//! privilege-separated token; else the user's; else those of the user's groups. NoAccess wins over everything. A pool's
//! roles are added for its members, and a separated token has at most its owner's privileges.

use std::collections::BTreeMap;

use super::call::{ApiError, Auth};
use super::state::Cluster;
use super::users::{Roles, Subject, UserConfig};

/// Privileges, each with whether it propagates below the path.
pub type Privileges = BTreeMap<String, bool>;

/// A path as access entries have it: no doubled or final slashes. `None` if it has characters that no path may have.
#[must_use]
pub fn normalize(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = format!("/{}", parts.join("/"));
    let good = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '@'));
    good.then_some(path)
}

impl UserConfig {
    /// Whether a user or token exists, is not disabled and not expired at this UNIX time (the last second counts); for a token
    /// its owner too. What it holds does not depend on it.
    #[must_use]
    pub fn is_enabled(&self, id: &str, now: i64) -> bool {
        let good = |expire: i64| expire == 0 || expire >= now;
        let owner = id.split_once('!').map(|(owner, _)| owner);
        let user = self.users.get(owner.unwrap_or(id));
        user.is_some_and(|user| user.enable && good(user.expire))
            && (owner.is_none() || self.tokens.get(id).is_some_and(|token| good(token.expire)))
    }

    /// Privileges of a user or token on a normalized path.
    #[must_use]
    pub fn privileges(&self, id: &str, path: &str) -> Privileges {
        let owner = id.split_once('!').map(|(owner, _)| owner);
        let own = self.role_privileges(id, path);
        match owner {
            Some(owner)
                if owner != "root@pam"
                    && self.tokens.get(id).is_some_and(|token| token.privsep) =>
            {
                let limit = self.role_privileges(owner, path);
                own.into_iter()
                    .filter_map(|(name, propagate)| {
                        limit.get(&name).map(|limit| (name, propagate && *limit))
                    })
                    .collect()
            }
            _ => own,
        }
    }

    /// Whether a user or token has a privilege on a normalized path: [`UserConfig::privileges`] without making the whole list,
    /// for lists that are filtered entry by entry.
    #[must_use]
    pub fn holds(&self, id: &str, path: &str, privilege: &str) -> bool {
        let in_a_role = |id: &str| {
            let roles = self.roles_with_pools(id, path);
            roles
                .keys()
                .filter_map(|role| self.roles.get(role))
                .any(|privileges| privileges.contains(privilege))
        };
        let owner = id.split_once('!').map(|(owner, _)| owner);
        in_a_role(id)
            && owner.is_none_or(|owner| {
                owner == "root@pam"
                    || !self.tokens.get(id).is_some_and(|token| token.privsep)
                    || in_a_role(owner)
            })
    }

    /// The roles on a path, those of the pools it is in included: a pool's count for the member alone, and take no flag from the
    /// same role given otherwise. NoAccess from either side leaves none.
    fn roles_with_pools(&self, id: &str, path: &str) -> Roles {
        let mut roles = self.roles_on(id, path);
        for pool in self.pools_over(path) {
            for role in self.roles_on(id, &format!("/pool/{pool}")).into_keys() {
                roles.entry(role).or_insert(false);
            }
        }
        if roles.contains_key("NoAccess") {
            return Roles::new();
        }
        roles
    }

    fn role_privileges(&self, id: &str, path: &str) -> Privileges {
        let mut privileges = Privileges::new();
        for (role, propagate) in self.roles_with_pools(id, path) {
            for name in self.roles.get(&role).into_iter().flatten() {
                *privileges.entry(name.clone()).or_insert(false) |= propagate;
            }
        }
        privileges
    }

    fn pools_over(&self, path: &str) -> Vec<&str> {
        let member = |kind: &str| path.strip_prefix(kind).filter(|rest| !rest.contains('/'));
        if let Some(vmid) = member("/vms/").and_then(|vmid| vmid.parse().ok()) {
            return self.pool_of_guest(vmid).into_iter().collect();
        }
        member("/storage/").map_or_else(Vec::new, |storage| {
            self.pools
                .iter()
                .filter(|(_, pool)| pool.storages.contains(storage))
                .map(|(id, _)| id.as_str())
                .collect()
        })
    }

    /// Roles of a user or token on a path, each with its `propagate`.
    #[must_use]
    pub fn roles_on(&self, id: &str, path: &str) -> Roles {
        let subject = match (id.split_once('!'), self.tokens.get(id)) {
            (Some(_), None) => return Roles::new(),
            (Some((owner, _)), Some(token)) if !token.privsep => owner,
            _ => id,
        };
        if subject == "root@pam" {
            return Roles::from([("Administrator".into(), true)]);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut roles = Roles::new();
        for depth in 0..=parts.len() {
            let here = format!("/{}", parts.get(..depth).unwrap_or_default().join("/"));
            if let Some(found) = self.own_entries(subject, &here, depth == parts.len()) {
                roles = found;
            }
        }
        if let Some(propagate) = roles.get("NoAccess") {
            return Roles::from([("NoAccess".into(), *propagate)]);
        }
        roles
    }

    /// The entries on exactly one path that apply to a subject: those that propagate, or all if it is the last.
    fn own_entries(&self, subject: &str, path: &str, last: bool) -> Option<Roles> {
        let entries = self.acl.get(path)?;
        let applicable = |kind: Subject, id: &str| -> Roles {
            entries
                .get(&(kind, id.to_owned()))
                .into_iter()
                .flatten()
                .filter(|(_, propagate)| last || **propagate)
                .map(|(role, propagate)| (role.clone(), *propagate))
                .collect()
        };
        if subject.contains('!') {
            return Some(applicable(Subject::Token, subject)).filter(|roles| !roles.is_empty());
        }
        let own = applicable(Subject::User, subject);
        if !own.is_empty() {
            return Some(own);
        }
        let mut roles = Roles::new();
        for (group, _) in self
            .groups
            .iter()
            .filter(|(_, group)| group.users.contains(subject))
        {
            for (role, propagate) in applicable(Subject::Group, group) {
                *roles.entry(role).or_insert(false) |= propagate;
            }
        }
        Some(roles).filter(|roles| !roles.is_empty())
    }
}

impl Cluster {
    /// A caller's privileges on a path; none on a path of a wrong form.
    #[must_use]
    pub fn privileges(&self, auth: &Auth, path: &str) -> Privileges {
        let users = self.read_users();
        if !users.is_enabled(auth.user(), self.clock.unix()) {
            return Privileges::new();
        }
        normalize(path)
            .map(|path| users.privileges(&auth.id, &path))
            .unwrap_or_default()
    }

    /// Whether a caller has a privilege on a path.
    #[must_use]
    pub fn allowed(&self, auth: &Auth, path: &str, privilege: &str) -> bool {
        let users = self.read_users();
        users.is_enabled(auth.user(), self.clock.unix())
            && normalize(path).is_some_and(|path| users.holds(&auth.id, &path, privilege))
    }

    /// That a caller has any of these privileges.
    ///
    /// # Errors
    /// Status 403 that names them all.
    pub fn check_any(&self, auth: &Auth, path: &str, privileges: &[&str]) -> Result<(), ApiError> {
        let held = self.privileges(auth, path);
        if privileges.iter().any(|name| held.contains_key(*name)) {
            return Ok(());
        }
        Err(ApiError::forbidden(
            &normalize(path).unwrap_or_default(),
            privileges,
        ))
    }

    /// That a caller has all of these privileges.
    ///
    /// # Errors
    /// Status 403 that names the first missing one.
    pub fn check_all(&self, auth: &Auth, path: &str, privileges: &[&str]) -> Result<(), ApiError> {
        let held = self.privileges(auth, path);
        match privileges.iter().find(|name| !held.contains_key(**name)) {
            None => Ok(()),
            Some(missing) => Err(ApiError::forbidden(
                &normalize(path).unwrap_or_default(),
                &[missing],
            )),
        }
    }

    /// That a caller has all of these privileges on a guest, or on the pool it is or will be in
    /// (Proxmox VE's `check_vm_perm`).
    ///
    /// # Errors
    /// Status 403.
    pub fn check_guest(
        &self,
        auth: &Auth,
        vmid: u32,
        pool: Option<&str>,
        privileges: &[&str],
    ) -> Result<(), ApiError> {
        if let Some(pool) = pool
            && self
                .check_all(auth, &format!("/pool/{pool}"), privileges)
                .is_ok()
        {
            return Ok(());
        }
        self.check_all(auth, &format!("/vms/{vmid}"), privileges)
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

    fn held(text: &str, id: &str, path: &str) -> Vec<String> {
        UserConfig::parse(text)
            .privileges(id, path)
            .into_keys()
            .collect()
    }

    const USERS: &str = "user:a@pve:1:0:\nuser:b@pve:1:0:\ntoken:a@pve!tt:0:1:\ntoken:a@pve!same:0:0:\n\
        token:root@pam!rr:0:1:\ngroup:g:a@pve,b@pve:\npool:p:c:100:s:\nrole:Look:VM.Audit:\nrole:Power:VM.PowerMgmt:\n";

    #[test]
    fn the_nearest_entry_replaces_and_users_come_before_groups() {
        let acl = format!("{USERS}acl:1:/:@g:Look:\nacl:1:/vms:a@pve:Power:\n");
        assert_eq!(held(&acl, "a@pve", "/vms/7"), ["VM.PowerMgmt"]);
        assert_eq!(held(&acl, "b@pve", "/vms/7"), ["VM.Audit"]);
        let same_path = format!("{USERS}acl:1:/vms:@g:Look:\nacl:1:/vms:a@pve:Power:\n");
        assert_eq!(held(&same_path, "a@pve", "/vms/7"), ["VM.PowerMgmt"]);
    }

    #[test]
    fn entries_that_do_not_propagate_end_at_their_path() {
        let acl = format!("{USERS}acl:1:/:a@pve:Look:\nacl:0:/vms:a@pve:Power:\n");
        assert_eq!(held(&acl, "a@pve", "/vms"), ["VM.PowerMgmt"]);
        assert_eq!(
            held(&acl, "a@pve", "/vms/7"),
            ["VM.Audit"],
            "what it hides comes back below"
        );
    }

    #[test]
    fn no_access_wins_and_pools_add() {
        let acl = format!("{USERS}acl:1:/vms:a@pve:Look:\nacl:1:/pool/p:a@pve:Power:\n");
        assert_eq!(
            held(&acl, "a@pve", "/vms/100"),
            ["VM.Audit", "VM.PowerMgmt"]
        );
        assert_eq!(held(&acl, "a@pve", "/storage/s"), ["VM.PowerMgmt"]);
        let denied = format!("{acl}acl:1:/vms/100:a@pve:NoAccess,Look:\n");
        assert!(held(&denied, "a@pve", "/vms/100").is_empty());
    }

    #[test]
    fn what_a_pool_adds_ends_at_its_member() {
        let acl = format!("{USERS}acl:1:/vms:a@pve:Look:\nacl:1:/pool/p:a@pve:Look,Power:\n");
        let held = UserConfig::parse(&acl).privileges("a@pve", "/vms/100");
        let wanted = [
            ("VM.Audit".to_owned(), true),
            ("VM.PowerMgmt".to_owned(), false),
        ];
        assert_eq!(held, wanted.into());
    }

    #[test]
    fn tokens_and_owners_expire_after_their_last_second() {
        let users = UserConfig::parse(
            "user:a@pve:1:50:\ntoken:a@pve!tt:40:1:\nuser:off@pve:0:0:\ntoken:off@pve!tt:0:0:\n",
        );
        let enabled = |id: &str, now| users.is_enabled(id, now);
        assert!(enabled("a@pve", 50) && !enabled("a@pve", 51));
        assert!(enabled("a@pve!tt", 40) && !enabled("a@pve!tt", 41));
        assert!(!enabled("off@pve!tt", 1) && !enabled("a@pve!gone", 1) && !enabled("gone@pve", 1));
        assert!(users.is_enabled("root@pam", 1));
    }

    #[test]
    fn a_separated_token_has_at_most_its_owners_privileges() {
        let acl = format!(
            "{USERS}acl:1:/:a@pve:Look:\nacl:1:/:a@pve!tt:Look,Power:\nacl:1:/:root@pam!rr:Look:\n"
        );
        assert_eq!(held(&acl, "a@pve!tt", "/vms/7"), ["VM.Audit"]);
        assert_eq!(held(&acl, "a@pve!same", "/vms/7"), ["VM.Audit"]);
        assert_eq!(
            held(&acl, "root@pam!rr", "/vms/7"),
            ["VM.Audit"],
            "root's separated token has its own only"
        );
        assert!(held(&acl, "a@pve!none", "/vms/7").is_empty());
        assert_eq!(held(&acl, "root@pam", "/vms/7").len(), 47);
    }

    #[test]
    fn one_privilege_is_held_where_the_list_has_it() {
        let acl = format!(
            "{USERS}acl:1:/:@g:Look:\nacl:1:/pool/p:a@pve:Power:\nacl:0:/vms:a@pve:Power:\nacl:1:/vms/100:b@pve:NoAccess,Look:\n\
             acl:1:/:a@pve!tt:Look,Power:\nacl:1:/:root@pam!rr:Look:\nacl:1:/storage/s:a@pve!tt:NoAccess:\n"
        );
        let users = UserConfig::parse(&acl);
        for id in [
            "a@pve",
            "b@pve",
            "a@pve!tt",
            "a@pve!same",
            "a@pve!none",
            "root@pam!rr",
            "root@pam",
        ] {
            for path in [
                "/",
                "/vms",
                "/vms/7",
                "/vms/100",
                "/storage/s",
                "/storage/x",
                "/pool/p",
            ] {
                let held = users.privileges(id, path);
                for privilege in ["VM.Audit", "VM.PowerMgmt", "Sys.Audit"] {
                    assert_eq!(
                        users.holds(id, path, privilege),
                        held.contains_key(privilege),
                        "{id} {path} {privilege}"
                    );
                }
            }
        }
    }
}
