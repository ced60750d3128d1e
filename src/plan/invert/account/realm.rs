//! How steps on realms are taken back. Secrets are not known: what was written over one does not come back, nor what went with a realm.

use std::collections::BTreeSet;

use super::{Action, Inverse, irreversible};
use crate::ids::RealmId;
use crate::proxmox::property::is_true;
use crate::world::{AccountAction, Param, Params, Section, World, views};

/// How an action on realms is taken back; `before` is the world right before it.
pub(super) fn inverse(action: &AccountAction, before: &World) -> Inverse {
    match action {
        AccountAction::CreateRealm { id, params, .. } => {
            let mut actions = vec![AccountAction::DeleteRealm { id: id.clone() }];
            actions.extend(default_back(id, params, before));
            finish(actions, Vec::new())
        }
        AccountAction::UpdateRealm { id, set, delete } => {
            match before.realm_settings.of.get(id.as_str()) {
                Some(section) => changed_back(id, section, set, delete, before),
                None => irreversible("how the realm was is not known"),
            }
        }
        AccountAction::DeleteRealm { id } => deleted_back(id, before),
        _ => irreversible("it is no step on a realm"),
    }
}

fn finish(actions: Vec<AccountAction>, remains: Vec<String>) -> Inverse {
    Inverse::Actions {
        actions: actions.into_iter().map(Action::Account).collect(),
        remains,
    }
}

/// The realm that was the default, if these parameters took that from it.
fn default_back(id: &RealmId, params: &Params, before: &World) -> Option<AccountAction> {
    let takes = |param: &Param| matches!(param, Param::Plain(text) if is_true(text));
    params.get("default").filter(|param| takes(param))?;
    let was = views::default_realm(before).filter(|was| *was != id.as_str())?;
    Some(AccountAction::UpdateRealm {
        id: RealmId::new(was).ok()?,
        set: [("default".to_owned(), Param::Plain("1".to_owned()))].into(),
        delete: BTreeSet::new(),
    })
}

/// Whether a value cannot be written again as it was read.
fn hidden(key: &str, value: &str) -> bool {
    views::REALM_SECRETS.contains(&key) || (key == "tfa" && value.contains("type=yubico"))
}

fn changed_back(
    id: &RealmId,
    section: &Section,
    set: &Params,
    delete: &BTreeSet<String>,
    before: &World,
) -> Inverse {
    let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
    let mut remains = Vec::new();
    for key in set.keys().chain(delete) {
        let secret = matches!(set.get(key), Some(Param::Secret { .. }));
        let was = views::realm_setting(id.as_str(), section, key);
        match was {
            _ if secret || views::REALM_SECRETS.contains(&key.as_str()) => remains.push(format!(
                "{key} of realm/{id} keeps its new value: the old one is not known"
            )),
            Some(old) if hidden(key, old) => remains.push(format!(
                "{key} of realm/{id} does not come back: it held a key, which is not known"
            )),
            Some(old) => {
                set_back.insert(key.clone(), Param::Plain(old.to_owned()));
            }
            None => {
                delete_back.insert(key.clone());
            }
        }
    }
    if set_back.is_empty() && delete_back.is_empty() {
        return irreversible(&format!(
            "the secrets that realm/{id} had are not known: they have to be written again"
        ));
    }
    let mut actions = vec![AccountAction::UpdateRealm {
        id: id.clone(),
        set: set_back,
        delete: delete_back,
    }];
    actions.extend(default_back(id, set, before));
    finish(actions, remains)
}

fn deleted_back(id: &RealmId, before: &World) -> Inverse {
    let realm = before.realms.get(id.as_str());
    let section = before.realm_settings.of.get(id.as_str());
    let (Some(realm), Some(section)) = (realm, section) else {
        return irreversible("how the realm was is not known");
    };
    let mut remains = Vec::new();
    let mut params = Params::new();
    for (key, value) in section {
        if hidden(key, value) {
            remains.push(format!(
                "{key} of realm/{id} does not come back: it held a key, which is not known"
            ));
        } else if key != "secure" {
            params.insert(key.clone(), Param::Plain(value.clone()));
        } else if is_true(value) && !section.contains_key("mode") {
            // The old word for it.
            params.insert("mode".to_owned(), Param::Plain("ldaps".to_owned()));
        }
    }
    remains.push(match realm.realm_type.as_str() {
        "openid" => format!(
            "the key of the client of realm/{id} is gone, if it had one: nobody can log in before it is written again"
        ),
        _ => format!(
            "the password that realm/{id} asks its server with is gone, if it had one: it has to be written again"
        ),
    });
    let again = AccountAction::CreateRealm {
        id: id.clone(),
        realm_type: realm.realm_type.clone(),
        params,
    };
    finish(vec![again], remains)
}
