//! Who there is and what roles hold: users with their tokens, groups, roles, realms. Each is one list for the whole cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Observation, Why, json};
use crate::proxmox::{ApiError, Call};
use crate::world::model::{Group, Part, Realm, Role, Token, User};

/// The call that lists the users with their tokens.
pub(in crate::world) fn users_call() -> Call {
    Call::get(["access", "users"]).param("full", "1")
}

impl Observation<'_> {
    /// Reads all four lists.
    pub(super) async fn accounts(&mut self) {
        let reads = self.reads.clone();
        let (users, groups, roles, realms) = tokio::join!(
            reads.data(users_call()),
            reads.data(Call::get(["access", "groups"])),
            reads.data(Call::get(["access", "roles"])),
            reads.data(Call::get(["access", "domains"])),
        );
        let part = self.users(users);
        self.mark(Part::Users, part);
        let part = self.groups(groups);
        self.mark(Part::Groups, part);
        let part = self.roles(roles);
        self.mark(Part::Roles, part);
        let part = self.realms(realms);
        self.mark(Part::Realms, part);
    }

    /// Reads some of users, groups and roles again; an error if one of these, or the access control list where it is among them, is
    /// not known whole.
    pub(super) async fn accounts_again(&mut self, parts: &BTreeSet<Part>) -> Result<(), Why> {
        let reads = self.reads.clone();
        if parts.contains(&Part::Users) {
            self.world.users.clear();
            self.users(reads.data(users_call()).await)?;
        }
        if parts.contains(&Part::Groups) {
            self.world.groups.clear();
            self.groups(reads.data(Call::get(["access", "groups"])).await)?;
        }
        if parts.contains(&Part::Roles) {
            self.world.roles.clear();
            self.roles(reads.data(Call::get(["access", "roles"])).await)?;
        }
        for part in parts {
            self.whole(part)?;
        }
        match self.world.unreadable(&Part::Acl) {
            Some(why) if parts.contains(&Part::Acl) => Err(why.to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    pub(in crate::world) fn users(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id = json::text(item, "userid").ok_or("a user has no id")?;
            let mut user = User {
                // Proxmox VE always says so; one that it does not say it of is not taken for one who can log in.
                enabled: json::flag(item, "enable").unwrap_or(false),
                expires: json::integer(item, "expire").unwrap_or(0),
                fields: json::section(
                    item,
                    &[
                        "enable",
                        "expire",
                        "groups",
                        "keys",
                        "realm-type",
                        "tokens",
                        "totp-locked",
                        "tfa-locked-until",
                        "userid",
                    ],
                ),
                ..User::default()
            };
            user.fields.retain(|_, value| !value.is_empty());
            for token in item.get("tokens").into_iter().flat_map(json::items) {
                let name = json::text(token, "tokenid");
                let name = name.ok_or_else(|| format!("a token of {id} has no id"))?;
                let separated = json::flag(token, "privsep");
                let token = Token {
                    separated: separated.ok_or_else(|| {
                        format!(
                            "token {id}!{name} does not say whether it has privilege separation"
                        )
                    })?,
                    expires: json::integer(token, "expire").unwrap_or(0),
                    comment: json::text(token, "comment").filter(|text| !text.is_empty()),
                };
                user.tokens.insert(name, token);
            }
            self.world.users.insert(id, Arc::new(user));
        }
        Ok(())
    }

    pub(in crate::world) fn groups(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id = json::text(item, "groupid").ok_or("a group has no id")?;
            // Versions before 6 do not list the members.
            let members = json::text(item, "users")
                .ok_or_else(|| format!("the list does not say who is in group {id}"))?;
            let group = Group {
                members: json::set(&members),
                comment: json::text(item, "comment").filter(|text| !text.is_empty()),
            };
            self.world.groups.insert(id, Arc::new(group));
        }
        Ok(())
    }

    pub(in crate::world) fn roles(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id = json::text(item, "roleid").ok_or("a role has no id")?;
            let privileges = json::text(item, "privs").unwrap_or_default();
            let role = Role {
                privileges: json::set(&privileges),
                special: json::flag(item, "special").unwrap_or(false),
            };
            self.world.roles.insert(id, Arc::new(role));
        }
        Ok(())
    }

    pub(in crate::world) fn realms(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id = json::text(item, "realm").ok_or("a realm has no id")?;
            let realm = Realm {
                realm_type: json::text(item, "type")
                    .ok_or_else(|| format!("realm {id} has no type"))?,
                options: json::section(item, &["digest", "realm", "type"]),
            };
            self.world.realms.insert(id, Arc::new(realm));
        }
        Ok(())
    }
}
