//! Users. What gives a user more comes before what takes something from anybody: it may take two steps.

use std::collections::{BTreeMap, BTreeSet};

use super::super::api_token::until;
use super::super::draft::{Phase, Planner};
use super::super::input::Item;
use super::super::values::{Decision, Secrets, decide, secret_name};
use super::super::words::{difference, few};
use crate::document::desired::{DesiredUser, Wish};
use crate::ids::{GroupId, UserId};
use crate::proxmox::property::Domain;
use crate::world::{AccountAction, Param, Params, Part, User, views};

/// What a change of a user comes to: what it gives, and what it takes.
#[derive(Debug, Default)]
struct Change {
    early: Params,
    late: Params,
    told_early: Vec<String>,
    told_late: Vec<String>,
}

impl Planner<'_, '_> {
    /// A user that shall be as a document says.
    pub(super) fn user_present(&mut self, item: &Item, desired: &DesiredUser) {
        if !self.needs_parts(item, &[Part::Users, Part::Groups]) {
            return;
        }
        let id = &desired.id;
        let object = format!("user/{id}");
        let live = self.input.world.users.get(id.as_str()).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        for group in desired.groups.iter().flatten() {
            self.account_known(item, "groups", &format!("group/{group}"));
        }
        let Some(live) = live else {
            return self.user_new(item, desired, &object);
        };
        let Change {
            early,
            late,
            told_early,
            told_late,
        } = self.user_changes(desired, &live, &object);
        for (set, told, phase) in [
            (early, told_early, Phase::AccountFirst),
            (late, told_late, Phase::Revoke),
        ] {
            if !set.is_empty() {
                let title = format!("set {object} {}", few(&told));
                let action = AccountAction::UpdateUser {
                    id: id.clone(),
                    set,
                };
                self.account_step(title, action, phase);
            }
        }
    }

    fn user_new(&mut self, item: &Item, desired: &DesiredUser, object: &str) {
        let id = &desired.id;
        if !self.realm_known(item, "id", id.realm()) {
            return;
        }
        let mut params: Params = desired
            .fields
            .iter()
            .filter_map(|(key, wish)| match wish {
                Wish::Set(text) => Some((key.clone(), Param::Plain(text.clone()))),
                Wish::Remove => None,
            })
            .collect();
        if desired.enabled == Some(false) {
            params.insert("enable".to_owned(), Param::Plain("0".to_owned()));
        }
        if let Some(expires) = desired.expires.filter(|at| *at != 0) {
            params.insert("expire".to_owned(), Param::Plain(expires.to_string()));
        }
        if let Some(groups) = desired.groups.as_ref().filter(|groups| !groups.is_empty()) {
            params.insert("groups".to_owned(), Param::Plain(joined(groups)));
        }
        if let Some(password) = &desired.password {
            let secrets = Secrets {
                now: self.input.secrets,
                sent: None,
            };
            let wish = Wish::Set(password.clone());
            match decide(Domain::Cluster, "password", None, &wish, secrets) {
                Ok(Decision::Set { param, .. }) => {
                    params.insert("password".to_owned(), param);
                }
                Ok(Decision::Same | Decision::Delete) => {}
                Err(reason) => self.drafts.problem(&item.key, "passwordFrom", reason),
            }
        }
        self.drafts
            .change(object, "(object)", None, Some("made"), "at once");
        for (key, param) in &params {
            let value = match param {
                Param::Plain(text) if key == "expire" => {
                    text.parse().map_or_else(|_| text.clone(), until)
                }
                Param::Plain(text) => text.clone(),
                Param::Secret { from, .. } => format!("set, from {}", secret_name(from)),
            };
            self.drafts
                .change(object, key, None, Some(&value), "at once");
        }
        let action = AccountAction::CreateUser {
            id: id.clone(),
            params,
        };
        self.account_step(format!("make {object}"), action, Phase::AccountFirst);
    }

    fn user_changes(&mut self, desired: &DesiredUser, live: &User, object: &str) -> Change {
        let now = views::user_fields(live);
        let mut change = Change::default();
        let mut wanted: BTreeMap<&str, String> = BTreeMap::new();
        for (key, wish) in &desired.fields {
            let text = match wish {
                Wish::Set(text) => text.clone(),
                Wish::Remove => String::new(),
            };
            wanted.insert(key, text);
        }
        let enabled = desired.enabled.map(|on| if on { "1" } else { "0" });
        wanted.extend(enabled.map(|on| ("enable", on.to_owned())));
        wanted.extend(desired.expires.map(|at| ("expire", at.to_string())));
        for (key, value) in wanted {
            let before = now
                .get(key)
                .map(String::as_str)
                .filter(|text| !text.is_empty());
            let after = Some(value.as_str()).filter(|text| !text.is_empty());
            if before == after {
                continue;
            }
            // A moment is told as people write it.
            let shown = |text: &str| match key {
                "expire" => text.parse().map_or_else(|_| text.to_owned(), until),
                _ => text.to_owned(),
            };
            let (was, is) = (before.map(shown), after.map(shown));
            let (was, is) = (was.as_deref(), is.as_deref());
            self.drafts.change(object, key, was, is, "at once");
            let told = difference(key, was, is);
            let takes = match key {
                "enable" => value == "0",
                "expire" => sooner(live.expires, desired.expires.unwrap_or(0)),
                _ => false,
            };
            let (set, tell) = match takes {
                true => (&mut change.late, &mut change.told_late),
                false => (&mut change.early, &mut change.told_early),
            };
            set.insert(key.to_owned(), Param::Plain(value));
            tell.push(told);
        }
        if let Some(groups) = &desired.groups {
            self.membership(&desired.id, groups, object, &mut change);
        }
        change
    }

    /// The groups: those that a user joins first, those that it leaves last. Each call names all that it is in afterwards.
    fn membership(
        &mut self,
        id: &UserId,
        wanted: &BTreeSet<GroupId>,
        object: &str,
        change: &mut Change,
    ) {
        let now = views::groups_of(self.input.world, id.as_str());
        let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
        let joins: BTreeSet<String> = wanted.difference(&now).cloned().collect();
        let leaves: BTreeSet<String> = now.difference(&wanted).cloned().collect();
        for (groups, before, after) in [
            (&joins, None, Some("member")),
            (&leaves, Some("member"), None),
        ] {
            for group in groups {
                let field = format!("groups.{group}");
                self.drafts.change(object, &field, before, after, "at once");
            }
        }
        let list = |groups: &BTreeSet<String>| few(&groups.iter().cloned().collect::<Vec<_>>());
        if !joins.is_empty() {
            let all = now.union(&joins).cloned().collect();
            let value = Param::Plain(joined(&all));
            change.early.insert("groups".to_owned(), value);
            change.told_early.push(format!("groups + {}", list(&joins)));
        }
        if !leaves.is_empty() {
            let value = Param::Plain(joined(&wanted));
            change.late.insert("groups".to_owned(), value);
            change.told_late.push(format!("groups − {}", list(&leaves)));
        }
    }

    /// A user whose document is gone and said that it shall be deleted.
    pub(super) fn user_removed(&mut self, item: &Item, id: &UserId) {
        if !self.needs_parts(item, &[Part::Users, Part::Groups, Part::Acl]) {
            return;
        }
        let object = format!("user/{id}");
        if !self.input.world.users.contains_key(id.as_str()) {
            return self.account_gone(&object);
        }
        self.drafts.change(
            &object,
            "(object)",
            Some("user"),
            None,
            "the user is removed with its tokens, memberships and access rules",
        );
        let action = AccountAction::DeleteUser { id: id.clone() };
        self.account_step(format!("delete {object}"), action, Phase::AccountLast);
    }
}

/// Whether one time after which nobody may log in comes before another; 0 is never.
fn sooner(was: i64, is: i64) -> bool {
    is != 0 && (was == 0 || is < was)
}

fn joined<T: ToString>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}
