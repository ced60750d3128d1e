//! Who there is and what roles hold: users with their tokens, groups, roles, realms. Each is one list for the whole cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Observation, Why, each, json};
use crate::proxmox::{ApiError, Call};
use crate::world::model::{Group, Part, Realm, RealmSettings, Role, Section, Token, User};

/// The call that reads how one realm is set.
pub(in crate::world) fn realm_call(id: &str) -> Call {
    Call::get(["access", "domains", id])
}

/// The digest of all realms, and the settings of one. Secrets that Proxmox VE shows are dropped: the key of a client of OpenID Connect,
/// and the one that a second factor of the type `yubico` is asked about with.
fn settings_of(id: &str, data: &Value) -> Result<(String, Section), Why> {
    let digest = json::text(data, "digest").ok_or_else(|| format!("realm {id} has no digest"))?;
    let hidden = [
        "client-key",
        "digest",
        "password",
        "plugin",
        "realm",
        "type",
    ];
    let mut section = json::section(data, &hidden);
    if let Some(tfa) = section.get_mut("tfa") {
        let parts = tfa.split(',');
        let open: Vec<&str> = parts
            .filter(|part| !part.trim_start().starts_with("key="))
            .collect();
        *tfa = open.join(",");
    }
    section.retain(|_, value| !value.is_empty());
    Ok((digest, section))
}

/// The digest of all realms, as the answer for one of them says it.
pub(in crate::world) fn realm_digest(data: &Value) -> Option<String> {
    json::text(data, "digest")
}

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
        let listed = part.clone();
        self.mark(Part::Realms, part);
        let part = match listed {
            Ok(()) => self.realm_settings().await,
            Err(why) => Err(why),
        };
        self.mark(Part::RealmSettings, part);
    }

    /// Reads how each of the realms is set.
    pub(in crate::world) async fn realm_settings(&mut self) -> Result<(), Why> {
        let mut read = self.realm_settings_once().await?;
        if read.is_none() {
            read = self.realm_settings_once().await?;
        }
        let read = read.ok_or("the realms change while they are read")?;
        if *self.world.realm_settings != read {
            self.world.realm_settings = Arc::new(read);
        }
        Ok(())
    }

    /// `None` if they changed meanwhile: one digest is that of all.
    async fn realm_settings_once(&self) -> Result<Option<RealmSettings>, Why> {
        let reads = self.reads.clone();
        let ids: Vec<String> = self.world.realms.keys().cloned().collect();
        let answers = each(ids, |id| {
            let reads = reads.clone();
            async move {
                let read = reads.data(realm_call(&id)).await;
                (id, read)
            }
        });
        let mut all: Option<RealmSettings> = None;
        for (id, read) in answers.await {
            let data = read.map_err(|error| error.to_string())?;
            let (digest, section) = settings_of(&id, &data)?;
            let known = all.get_or_insert_with(|| RealmSettings {
                digest: digest.clone(),
                ..RealmSettings::default()
            });
            if known.digest != digest {
                return Ok(None);
            }
            known.of.insert(id, section);
        }
        Ok(Some(all.unwrap_or_default()))
    }

    /// Reads some of users, groups, roles and realms again; an error if one of these, or the access control list where it is among them, is
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
        if parts.contains(&Part::Realms) || parts.contains(&Part::RealmSettings) {
            self.world.realms.clear();
            let read = reads.data(Call::get(["access", "domains"])).await;
            self.realms(read)?;
        }
        if parts.contains(&Part::RealmSettings) {
            self.realm_settings().await?;
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
            };
            self.world.realms.insert(id, Arc::new(realm));
        }
        Ok(())
    }
}
