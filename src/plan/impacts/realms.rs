//! AC03: who can no longer log in when a realm goes, and who logs in otherwise than before when it is set otherwise. The tokens of its
//! users are told too: Proxmox VE asks nobody about a token, so that those go on working (PVE::AccessControl `verify_token`).

use std::collections::BTreeSet;

use super::super::model::Duration;
use super::super::words::{clean, short};
use super::Raw;
use super::accounts::expired;
use super::actions::At;
use crate::health::access::owner;
use crate::health::{Category, Entity};
use crate::ids::RealmId;
use crate::proxmox::property::{Domain, PropertyMap};
use crate::world::{AccountAction, Param, Params, Section, views};

/// What decides against which server users log in, and whom it finds.
const CONNECTION: [&str; 20] = [
    "base_dn",
    "bind_dn",
    "capath",
    "case-sensitive",
    "cert",
    "certkey",
    "client-id",
    "client-key",
    "domain",
    "issuer-url",
    "mode",
    "password",
    "port",
    "secure",
    "server1",
    "server2",
    "sslversion",
    "user_attr",
    "username-claim",
    "verify",
];

impl At<'_> {
    /// Everybody of a realm, each with what it comes to; of those that cannot log in as it is, that.
    fn of_realm(&self, id: &RealmId, says: &str) -> Vec<String> {
        let mut causes = Vec::new();
        for (user, tokens) in views::users_of_realm(self.before, id.as_str()) {
            let live = self.before.users.get(&user);
            let can = live.is_some_and(|u| u.enabled && !expired(u.expires, self.before));
            causes.push(match can {
                true => format!("{user} {says}"),
                false => format!("{user} is disabled or has expired as it is"),
            });
            causes.extend(tokens.iter().map(|name| {
                format!("token {user}!{name} goes on working: nobody asks the realm about it")
            }));
        }
        causes.iter().map(|cause| clean(cause)).collect()
    }

    /// A realm that goes.
    pub(super) fn realm_gone(&self, action: &AccountAction, id: &RealmId) -> Vec<Raw> {
        let causes = self.of_realm(id, "can no longer log in");
        let mut all = Vec::new();
        if !causes.is_empty() {
            let states = ("its users log in", "gone, and its users stay");
            all.push(self.tell(action, Category::LosesPrivilege, states, causes, "AC03"));
        }
        let states = ("has what was written of it", "gone with its secrets");
        let causes = vec![
            "the secrets by which it asks its server, if it had any, do not come back".to_owned(),
        ];
        all.push(self.tell(action, Category::Irreversible, states, causes, "AC03"));
        all.extend(self.own_realm(action, id));
        all
    }

    /// AC06: the realm that Bailiwick's own account comes from.
    fn own_realm(&self, action: &AccountAction, id: &RealmId) -> Option<Raw> {
        let own = self.before.controller.as_deref()?;
        let user = owner(own).unwrap_or(own);
        let realm = user.rsplit_once('@').map(|(_, realm)| realm)?;
        if realm != id.as_str() {
            return None;
        }
        let states = (format!("{user} comes from realm/{id}"), "the realm is gone");
        let causes = vec![clean(&format!(
            "{user} can no longer log in, and there is nobody else who could give {own} back what it loses"
        ))];
        let told = self.tell(
            action,
            Category::Lockout,
            (&states.0, states.1),
            causes,
            "AC06",
        );
        Some(Raw {
            entity: Entity::Controller,
            duration: Duration::Permanent,
            ..told
        })
    }

    /// A realm that checks logins otherwise than before.
    pub(super) fn realm_changed(
        &self,
        action: &AccountAction,
        id: &RealmId,
        set: &Params,
        delete: &BTreeSet<String>,
    ) -> Vec<Raw> {
        let none = Section::new();
        let section = |of: &'_ crate::world::World| {
            of.realm_settings
                .of
                .get(id.as_str())
                .unwrap_or(&none)
                .clone()
        };
        let (was, is) = (section(self.before), section(self.after));
        let mut all = Vec::new();
        let keys = set.keys().chain(delete);
        let keys: BTreeSet<&str> = keys
            .map(String::as_str)
            .filter(|key| CONNECTION.contains(key))
            .collect();
        if !keys.is_empty() {
            let says = |of: &Section, secret: &str| -> String {
                let all = keys.iter().map(|key| match set.get(*key) {
                    Some(Param::Secret { .. }) => format!("{key} {secret}"),
                    Some(Param::Plain(_)) | None => {
                        let value = of.get(*key).map_or("none", String::as_str);
                        format!("{key} {}", short(value))
                    }
                });
                clean(&all.collect::<Vec<_>>().join(", "))
            };
            let (before, after) = (says(&was, "as it is"), says(&is, "another"));
            let causes = self.of_realm(
                id,
                "logs in only if the realm as it is set now knows it, with the password it has there",
            );
            if !causes.is_empty() {
                let states = (before.as_str(), after.as_str());
                all.push(self.tell(action, Category::LosesPrivilege, states, causes, "AC03"));
            }
        }
        let factor = |of: &Section| {
            let map = PropertyMap::parse(Domain::Realm, "tfa", of.get("tfa")?).ok()?;
            map.get("type").map(str::to_owned)
        };
        if let Some(now) = factor(&is).filter(|now| factor(&was).as_ref() != Some(now)) {
            let says = format!("needs a second factor ({now}), and cannot log in without one");
            let causes = self.of_realm(id, &says);
            if !causes.is_empty() {
                let states = ("no such second factor is asked for", "everybody needs one");
                all.push(self.tell(action, Category::LosesPrivilege, states, causes, "AC03"));
            }
        }
        all
    }
}
