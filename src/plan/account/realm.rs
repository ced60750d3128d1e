//! Realms. What a realm is cannot change; of those that are built in only what every realm has can.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::input::Item;
use super::super::values::{Decision, Secrets, decide};
use super::super::words::{difference, few};
use crate::document::desired::{DesiredAccount, DesiredRealm, Value, Wish};
use crate::document::realm::RealmType;
use crate::ids::RealmId;
use crate::proxmox::property::{Domain, PropertyMap, equivalent, is_true};
use crate::world::{AccountAction, Action, Params, Part, Section, views};

/// What is said when a realm is made and never changes (PVE::Auth::OpenId).
const FIXED: &str = "username-claim";

/// What a change of a realm comes to.
#[derive(Default)]
struct Change {
    set: Params,
    delete: BTreeSet<String>,
    told: Vec<String>,
}

impl Planner<'_, '_> {
    /// The realms that shall be as documents say; one of them at most shall be the default.
    pub(super) fn realms_present(&mut self, items: &[&Item]) {
        let realms = || {
            items.iter().filter_map(|item| match super::account(item) {
                Some(DesiredAccount::Realm(realm)) => Some((*item, realm)),
                Some(_) | None => None,
            })
        };
        let default = realms().find(|(_, realm)| wants_default(realm));
        let default = default.map(|(_, realm)| realm.id.clone());
        for (item, realm) in realms() {
            if let Some(other) = default.as_ref().filter(|id| **id != realm.id)
                && wants_default(realm)
            {
                let why = format!("realm/{other} shall be the default too, and one realm can be");
                self.drafts
                    .problem(&item.key, "default", Reason::Ambiguous { why });
                continue;
            }
            self.realm_present(item, realm, default.as_ref());
        }
    }

    fn realm_present(&mut self, item: &Item, desired: &DesiredRealm, default: Option<&RealmId>) {
        if !self.needs_parts(item, &[Part::Realms, Part::RealmSettings]) {
            return;
        }
        let id = desired.id.as_str();
        let object = format!("realm/{id}");
        let world = self.input.world;
        let live = world.realms.get(id).map(|realm| realm.realm_type.clone());
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        match (live, world.realm_settings.of.get(id)) {
            (None, _) => self.realm_new(item, desired, &object),
            (Some(of), Some(section)) => {
                self.realm_changed(item, desired, (&of, section), default);
            }
            (Some(_), None) => {
                let reason = Reason::Unreadable {
                    what: format!("the settings of {object}"),
                    why: "they were not among those read".to_owned(),
                };
                self.drafts.problem(&item.key, "", reason);
            }
        }
    }

    fn realm_new(&mut self, item: &Item, desired: &DesiredRealm, object: &str) {
        let of = desired.realm_type.as_deref().and_then(RealmType::of);
        let Some(of) = of else {
            let why = format!(
                "there is no {object} yet, and the document does not say which `type` it shall have"
            );
            self.drafts
                .problem(&item.key, "type", Reason::Ambiguous { why });
            return;
        };
        if !self.realm_complete(item, desired, of) {
            return;
        }
        let mut params = Params::new();
        self.drafts
            .change(object, "(object)", None, Some(of.as_str()), "at once");
        for (key, wish) in &desired.options {
            let secrets = Secrets {
                now: self.input.secrets,
                sent: None,
            };
            match decide(Domain::Realm, key, None, wish, secrets) {
                Ok(Decision::Set { param, shown }) => {
                    self.drafts
                        .change(object, key, None, Some(&shown), "at once");
                    params.insert(key.clone(), param);
                }
                Ok(Decision::Same | Decision::Delete) => {}
                Err(reason) => self.drafts.problem(&item.key, key, reason),
            }
        }
        let notes = self.default_goes(desired);
        let action = AccountAction::CreateRealm {
            id: desired.id.clone(),
            realm_type: of.as_str().to_owned(),
            params,
        };
        let title = format!("make {object} ({})", of.as_str());
        self.realm_step(title, action, Phase::AccountFirst, notes);
    }

    /// That a new realm has all that one of its type cannot be without.
    fn realm_complete(&mut self, item: &Item, desired: &DesiredRealm, of: RealmType) -> bool {
        let is_set = |key: &str| matches!(desired.options.get(key), Some(Wish::Set(_)));
        let mut missing: Vec<&str> = of.needs().to_vec();
        // Proxmox VE makes the realm, and then refuses everybody who wants to log in.
        if of == RealmType::Ldap && is_set("bind_dn") {
            missing.push("password");
        }
        missing.retain(|key| !is_set(key));
        for key in &missing {
            let why = format!(
                "there is no realm/{} yet, and a realm of the type `{}` cannot be made without it",
                desired.id,
                of.as_str()
            );
            self.drafts
                .problem(&item.key, key, Reason::Ambiguous { why });
        }
        missing.is_empty()
    }

    fn realm_changed(
        &mut self,
        item: &Item,
        desired: &DesiredRealm,
        (of, live): (&str, &Section),
        default: Option<&RealmId>,
    ) {
        let id = desired.id.as_str();
        let object = format!("realm/{id}");
        if let Some(wanted) = desired.realm_type.as_deref().filter(|wanted| *wanted != of) {
            let why = format!(
                "the type of a realm never changes ({object} has `{of}`, asked for `{wanted}`); \
                 make a realm with another id"
            );
            self.drafts
                .problem(&item.key, "type", Reason::Refused { why });
            return;
        }
        let mut change = Change::default();
        for (key, wish) in &desired.options {
            if RealmType::of(of).is_some_and(|of| !of.takes(key)) {
                let why = format!("{object} has the type `{of}`, which has no `{key}`");
                self.drafts.problem(&item.key, key, Reason::Refused { why });
                continue;
            }
            // Another realm becomes the default, and takes that from this one.
            let taken = key == "default" && default.is_some_and(|other| *other != desired.id);
            if !taken {
                self.realm_setting(item, desired, key, wish, live, &mut change);
            }
        }
        let Change { set, delete, told } = change;
        if told.is_empty() {
            return;
        }
        let notes = match set.contains_key("default") {
            true => self.default_goes(desired),
            false => Vec::new(),
        };
        let action = AccountAction::UpdateRealm {
            id: desired.id.clone(),
            set,
            delete,
        };
        let title = format!("set {object} {}", few(&told));
        self.realm_step(title, action, Phase::AccountFirst, notes);
    }

    fn realm_setting(
        &mut self,
        item: &Item,
        desired: &DesiredRealm,
        key: &str,
        wish: &Wish<Value>,
        live: &Section,
        change: &mut Change,
    ) {
        let id = desired.id.as_str();
        let object = format!("realm/{id}");
        let before = views::realm_setting(id, live, key);
        let secrets = Secrets {
            now: self.input.secrets,
            sent: self.input.ownership.fingerprint(&object, key),
        };
        let kept = before.filter(|value| !(key == "tfa" && is_yubico(value)));
        let (param, after) = match decide(Domain::Realm, key, kept, wish, secrets) {
            Ok(Decision::Same) if kept.is_none() && before.is_some() => (None, None),
            Ok(Decision::Same) => return,
            Ok(Decision::Set { param, shown }) => {
                let plain = views::realm_default(id, key)
                    .is_some_and(|default| equivalent(Domain::Realm, key, default, &shown));
                if plain && before.is_none() {
                    return;
                }
                (Some(param), Some(shown))
            }
            Ok(Decision::Delete) => (None, None),
            Err(reason) => return self.drafts.problem(&item.key, key, reason),
        };
        if key == FIXED {
            let why = format!(
                "`{FIXED}` never changes (now `{}`): delete {object} and make it anew",
                before.unwrap_or("subject")
            );
            return self.drafts.problem(&item.key, key, Reason::Refused { why });
        }
        self.drafts
            .change(&object, key, before, after.as_deref(), "at once");
        change.told.push(difference(key, before, after.as_deref()));
        match param {
            Some(param) => {
                change.set.insert(key.to_owned(), param);
            }
            None => {
                change.delete.insert(key.to_owned());
            }
        }
    }

    /// What is told of the realm that is no longer the default.
    fn default_goes(&mut self, desired: &DesiredRealm) -> Vec<String> {
        let world = self.input.world;
        let was = views::default_realm(world).filter(|id| *id != desired.id.as_str());
        let Some(was) = was.filter(|_| wants_default(desired)) else {
            return Vec::new();
        };
        let object = format!("realm/{was}");
        let effect = "one realm is the default at most";
        self.drafts
            .change(&object, "default", Some("1"), None, effect);
        vec![format!("{object} is no longer the default")]
    }

    fn realm_step(
        &mut self,
        title: String,
        action: AccountAction,
        phase: Phase,
        notes: Vec<String>,
    ) {
        self.drafts.push(Draft {
            title: super::super::words::clean(&title),
            action: Action::Account(action),
            node: None,
            phase,
            needs: BTreeSet::new(),
            notes,
        });
    }

    /// A realm whose document is gone and said that it shall be deleted.
    pub(super) fn realm_removed(&mut self, item: &Item, id: &RealmId) {
        if !self.needs_parts(item, &[Part::Realms, Part::RealmSettings, Part::Users]) {
            return;
        }
        let object = format!("realm/{id}");
        if RealmType::built_in(id.as_str()).is_some() {
            let note = format!("{object} is built in: it stays as it is");
            self.drafts.notes.insert(note);
            return;
        }
        let world = self.input.world;
        let Some(live) = world.realms.get(id.as_str()) else {
            return self.account_gone(&object);
        };
        self.drafts.change(
            &object,
            "(object)",
            Some(&live.realm_type),
            None,
            "the realm is removed; its users stay, and can no longer log in",
        );
        let action = AccountAction::DeleteRealm { id: id.clone() };
        self.realm_step(
            format!("delete {object}"),
            action,
            Phase::AccountLast,
            Vec::new(),
        );
    }

    /// Whether there is a realm, or will be. The problem is the document's if there is none.
    pub(super) fn realm_known(&mut self, item: &Item, field: &str, realm: &str) -> bool {
        let object = format!("realm/{realm}");
        if self.drafts.going.contains(&object) {
            let why = format!("{object} is deleted by this plan");
            self.drafts
                .problem(&item.key, field, Reason::Ambiguous { why });
            return false;
        }
        if self.makes_account(&object) {
            return true;
        }
        if !self.needs_parts(item, &[Part::Realms]) {
            return false;
        }
        let realms = &self.input.world.realms;
        if realms.contains_key(realm) {
            return true;
        }
        let nearest = super::super::nearest(realm, realms.keys().map(String::as_str));
        let reason = Reason::NoSuch {
            what: "realm",
            name: realm.to_owned(),
            nearest,
        };
        self.drafts.problem(&item.key, field, reason);
        false
    }
}

/// Whether a document asks for a realm to be the default.
fn wants_default(realm: &DesiredRealm) -> bool {
    matches!(realm.options.get("default"), Some(Wish::Set(Value::Plain(text))) if is_true(text))
}

/// A second factor whose key is not known: nothing of it can be kept.
fn is_yubico(tfa: &str) -> bool {
    PropertyMap::parse(Domain::Realm, "tfa", tfa).is_ok_and(|map| map.get("type") == Some("yubico"))
}
