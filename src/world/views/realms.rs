//! What a world says of realms: what their settings mean, and who comes from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::proxmox::property::{Domain, equivalent};
use crate::world::model::{Section, World};

/// The settings of realms that are secrets: they can be written, and are never read.
pub const REALM_SECRETS: [&str; 2] = ["client-key", "password"];

/// What Proxmox VE takes for granted where a setting is not written; `None` where it matters that it is not.
pub fn realm_default(id: &str, key: &str) -> Option<&'static str> {
    Some(match key {
        "autocreate" | "default" | "groups-autocreate" | "groups-overwrite" | "verify" => "0",
        "case-sensitive" | "query-userinfo" => "1",
        "scopes" => "email profile",
        "comment" => return built_in_comment(id),
        _ => return None,
    })
}

/// The comment of a realm that is built in, where nobody wrote another one (PVE::Auth::Plugin).
pub fn built_in_comment(id: &str) -> Option<&'static str> {
    match id {
        "pam" => Some("Linux PAM standard authentication"),
        "pve" => Some("Proxmox VE authentication server"),
        _ => None,
    }
}

/// The value of a setting of a realm, unless it is what Proxmox VE takes for granted.
pub fn realm_setting<'s>(id: &str, section: &'s Section, key: &str) -> Option<&'s str> {
    let value = section.get(key).map(String::as_str)?;
    let plain = realm_default(id, key)
        .is_some_and(|default| equivalent(Domain::Realm, key, value, default));
    (!plain).then_some(value)
}

/// The first setting by which two realms differ in what they mean.
pub fn realms_differ(id: &str, one: &Section, other: &Section) -> Option<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differs = |key: &&String| {
        let (a, b) = (realm_setting(id, one, key), realm_setting(id, other, key));
        match (a, b) {
            (Some(a), Some(b)) => !equivalent(Domain::Realm, key, a, b),
            (a, b) => a != b,
        }
    };
    keys.into_iter().find(differs).cloned()
}

/// The realm that is chosen where nobody says which.
pub fn default_realm(world: &World) -> Option<&str> {
    let mut all = world.realm_settings.of.iter();
    let found = all.find(|(id, section)| realm_setting(id, section, "default").is_some());
    found.map(|(id, _)| id.as_str())
}

/// Everybody who comes from a realm, each with the names of its tokens.
pub fn users_of_realm(world: &World, id: &str) -> BTreeMap<String, BTreeSet<String>> {
    let users = world.users.iter();
    users
        .filter(|(user, _)| user.rsplit_once('@').is_some_and(|(_, realm)| realm == id))
        .map(|(user, of)| (user.clone(), of.tokens.keys().cloned().collect()))
        .collect()
}
