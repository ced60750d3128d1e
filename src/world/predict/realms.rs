//! Realms in prediction, as `domains.cfg` is written (PVE::API2::Domains). Users of a realm that goes stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::accounts::{known, missing};
use super::config::plain;
use super::{Unpredictable, refused};
use crate::ids::RealmId;
use crate::proxmox::property::is_true;
use crate::world::action::{AccountAction, Params};
use crate::world::model::{Part, Realm, RealmSettings, World};
use crate::world::views::{REALM_SECRETS, built_in_comment, realms_differ};

/// Applies an action on realms; anything else is left alone.
pub(super) fn apply(world: &mut World, action: &AccountAction) -> Result<(), Unpredictable> {
    match action {
        AccountAction::CreateRealm {
            id,
            realm_type,
            params,
        } => {
            known(world, &[Part::RealmSettings])?;
            if world.realms.contains_key(id.as_str()) {
                return Err(refused(format!("realm {id} already exists")));
            }
            let realm = Realm {
                realm_type: realm_type.clone(),
            };
            world.realms.insert(id.to_string(), Arc::new(realm));
            set(world, id, params, &BTreeSet::new());
        }
        AccountAction::UpdateRealm {
            id,
            set: now,
            delete,
        } => {
            known(world, &[Part::RealmSettings])?;
            if !world.realms.contains_key(id.as_str()) {
                return Err(missing("realm", id.as_str()));
            }
            set(world, id, now, delete);
        }
        AccountAction::DeleteRealm { id } => {
            known(world, &[Part::RealmSettings])?;
            if built_in_comment(id.as_str()).is_some() {
                return Err(refused(format!("realm {id} is built in")));
            }
            let gone = world.realms.remove(id.as_str());
            gone.ok_or_else(|| missing("realm", id.as_str()))?;
            let settings = Arc::make_mut(&mut world.realm_settings);
            settings.digest.clear();
            settings.of.remove(id.as_str());
        }
        _ => {}
    }
    Ok(())
}

/// Writes settings of one realm. The one that becomes the default takes that from every other.
fn set(world: &mut World, id: &RealmId, set: &Params, delete: &BTreeSet<String>) {
    let RealmSettings { digest, of } = Arc::make_mut(&mut world.realm_settings);
    digest.clear();
    let set = plain(set);
    if set.get("default").is_some_and(|value| is_true(value)) {
        for section in of.values_mut() {
            section.remove("default");
        }
    }
    let section = of.entry(id.to_string()).or_default();
    for key in delete {
        section.remove(key);
    }
    section.extend(
        set.into_iter()
            .filter(|(key, _)| !REALM_SECRETS.contains(&key.as_str())),
    );
    if let Some(comment) = built_in_comment(id.as_str())
        && !section.contains_key("comment")
    {
        section.insert("comment".to_owned(), comment.to_owned());
    }
}

/// What a read-back shows of realms that was not predicted.
pub(super) fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    found: &mut Vec<String>,
) {
    if Arc::ptr_eq(&before.realm_settings, &predicted.realm_settings) {
        return;
    }
    let (was, expected) = (&before.realm_settings.of, &predicted.realm_settings.of);
    let ids: BTreeSet<&String> = was.keys().chain(expected.keys()).collect();
    for id in ids {
        let expected = expected.get(id);
        if was.get(id) == expected {
            continue;
        }
        let seen = observed.realm_settings.of.get(id);
        match (expected, seen) {
            (None, None) => {}
            (Some(_), None) => found.push(format!("realm {id} is not there")),
            (None, Some(_)) => found.push(format!("realm {id} is still there")),
            (Some(expected), Some(seen)) => {
                found.extend(realms_differ(id, expected, seen).map(|key| {
                    let word = |value: Option<&String>| {
                        value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
                    };
                    let (a, b) = (word(expected.get(&key)), word(seen.get(&key)));
                    format!("realm {id} {key}: {a} was predicted, {b} is")
                }));
            }
        }
    }
}
