//! Taking back what was done to realms: setting by setting, and only where each still is as the run left it.

use std::collections::BTreeSet;

use super::Back;
use crate::ids::RealmId;
use crate::world::{AccountAction, Action, Param, Params, views};

impl Back<'_, '_, '_> {
    /// Takes one action on a realm back on what there is now.
    pub(super) fn realm(&mut self, action: &AccountAction) {
        let world = self.accounts.clone();
        match action {
            AccountAction::CreateRealm { id, .. } => {
                self.again(action, world.realms.contains_key(id.as_str()));
            }
            AccountAction::DeleteRealm { id } => {
                if !world.realms.contains_key(id.as_str()) {
                    return;
                }
                let users = views::users_of_realm(&world, id.as_str());
                let stranger = users.keys().find(|user| !self.user_of_run(user));
                if let Some(user) = stranger {
                    let what = format!(
                        "realm/{id} stays: {user} comes from it, whom the run did not make"
                    );
                    return self.left(&what);
                }
                self.away(action);
            }
            AccountAction::UpdateRealm { id, set, delete } => self.realm_back(id, set, delete),
            _ => {}
        }
    }

    /// Whether the run made a user.
    fn user_of_run(&self, user: &str) -> bool {
        self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && matches!(&step.action, Action::Account(AccountAction::CreateUser { id, .. })
                    if id.as_str() == user)
        })
    }

    /// What the run left in a setting; `None` if it did not write it, as that another realm was the default.
    fn left_in(&self, id: &RealmId, key: &str) -> String {
        match &self.step.action {
            Action::Account(AccountAction::UpdateRealm { id: of, set, .. }) if of == id => {
                match set.get(key) {
                    Some(Param::Plain(value)) => value.clone(),
                    Some(Param::Secret { .. }) | None => String::new(),
                }
            }
            _ => String::new(),
        }
    }

    fn realm_back(&mut self, id: &RealmId, set: &Params, delete: &BTreeSet<String>) {
        let object = format!("realm/{id}");
        let world = self.accounts.clone();
        let Some(section) = world.realm_settings.of.get(id.as_str()) else {
            return self.left(&format!("{object} is gone"));
        };
        let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
        for key in set.keys().chain(delete) {
            let old = match set.get(key) {
                Some(Param::Plain(value)) => value.clone(),
                Some(Param::Secret { .. }) => continue,
                None => String::new(),
            };
            let now = views::realm_setting(id.as_str(), section, key).unwrap_or_default();
            let ours = self.left_in(id, key);
            let plain = |value: &str| {
                let one = [(key.clone(), value.to_owned())].into();
                let setting = views::realm_setting(id.as_str(), &one, key);
                setting.unwrap_or_default().to_owned()
            };
            if !self.still(&object, key, now, &plain(&ours), &old) {
                continue;
            }
            self.set_back(&object, key, now, &old);
            match old.is_empty() {
                true => {
                    delete_back.insert(key.clone());
                }
                false => {
                    set_back.insert(key.clone(), Param::Plain(old));
                }
            }
        }
        if set_back.is_empty() && delete_back.is_empty() {
            return;
        }
        let action = AccountAction::UpdateRealm {
            id: id.clone(),
            set: set_back,
            delete: delete_back,
        };
        self.do_it(format!("set back {object}"), action);
    }
}
