//! AC02, AC03: what goes with a role, a group or a user, entry by entry, and who is in which group no longer. Who loses which privilege
//! by it is told from the worlds before and after all steps.

use std::collections::BTreeSet;

use super::super::api_token::until;
use super::super::model::Duration;
use super::super::words::clean;
use super::actions::{At, raw};
use super::{Raw, tokens};
use crate::health::access::owner;
use crate::health::{Category, Entity};
use crate::ids::{AclRuleId, RoleId, UserId};
use crate::world::{AccountAction, Param, Params, World, views};

/// What an action is about.
pub(super) fn entity(action: &AccountAction) -> Entity {
    match action {
        AccountAction::CreateGroup { id, .. }
        | AccountAction::UpdateGroup { id, .. }
        | AccountAction::DeleteGroup { id } => Entity::Group(id.to_string()),
        AccountAction::CreateUser { id, .. }
        | AccountAction::UpdateUser { id, .. }
        | AccountAction::DeleteUser { id } => Entity::Principal(clean(id.as_str())),
        AccountAction::CreateToken { id, .. }
        | AccountAction::UpdateToken { id, .. }
        | AccountAction::DeleteToken { id } => Entity::Principal(clean(id.as_str())),
        AccountAction::CreateRole { id, .. }
        | AccountAction::UpdateRole { id, .. }
        | AccountAction::DeleteRole { id } => Entity::Role(id.to_string()),
        AccountAction::CreateRealm { id, .. }
        | AccountAction::UpdateRealm { id, .. }
        | AccountAction::DeleteRealm { id } => Entity::Realm(id.to_string()),
        AccountAction::Grant { path, subject, .. }
        | AccountAction::Revoke { path, subject, .. } => {
            let rule = AclRuleId {
                subject: subject.clone(),
                path: path.clone(),
            };
            Entity::Acl(clean(&rule.to_string()))
        }
    }
}

/// The rule that speaks when it fails.
pub(super) fn rule(action: &AccountAction) -> &'static str {
    match action {
        AccountAction::CreateGroup { .. }
        | AccountAction::UpdateGroup { .. }
        | AccountAction::DeleteGroup { .. }
        | AccountAction::CreateUser { .. }
        | AccountAction::UpdateUser { .. }
        | AccountAction::DeleteUser { .. }
        | AccountAction::CreateRealm { .. }
        | AccountAction::UpdateRealm { .. }
        | AccountAction::DeleteRealm { .. } => "AC03",
        AccountAction::CreateToken { .. }
        | AccountAction::UpdateToken { .. }
        | AccountAction::DeleteToken { .. } => tokens::RULE,
        AccountAction::CreateRole { .. }
        | AccountAction::UpdateRole { .. }
        | AccountAction::DeleteRole { .. } => "AC02",
        AccountAction::Grant { .. } | AccountAction::Revoke { .. } => "AC01",
    }
}

/// The entries that name an object, in words.
fn entries(world: &World, object: &str) -> Vec<String> {
    let entries = views::entries_naming(world, object).map(views::entry_says);
    let entries: BTreeSet<String> = entries.map(|entry| clean(&entry)).collect();
    entries.into_iter().collect()
}

impl At<'_> {
    /// What a step on accounts takes along.
    pub(super) fn account(&self, action: &AccountAction) -> Vec<Raw> {
        match action {
            AccountAction::UpdateRole { id, privileges } => self.role(action, id, privileges),
            AccountAction::DeleteRole { .. } => self.gone(action, "AC02", Vec::new()),
            AccountAction::DeleteGroup { id } => {
                let group = self.before.groups.get(id.as_str());
                let members = group.map(|group| group.members.clone()).unwrap_or_default();
                let members = members
                    .iter()
                    .map(|user| clean(&format!("{user} is no longer in it")));
                self.gone(action, "AC03", members.collect())
            }
            AccountAction::DeleteUser { id } => self.user_gone(action, id),
            AccountAction::UpdateUser { id, set } => self.user(action, id, set),
            AccountAction::CreateToken { .. }
            | AccountAction::UpdateToken { .. }
            | AccountAction::DeleteToken { .. } => self.token(action),
            AccountAction::DeleteRealm { id } => self.realm_gone(action, id),
            AccountAction::UpdateRealm { id, set, delete } => {
                self.realm_changed(action, id, set, delete)
            }
            // Who gains and loses by them is told once, for all steps.
            AccountAction::CreateGroup { .. }
            | AccountAction::UpdateGroup { .. }
            | AccountAction::CreateUser { .. }
            | AccountAction::CreateRole { .. }
            | AccountAction::CreateRealm { .. }
            | AccountAction::Grant { .. }
            | AccountAction::Revoke { .. } => Vec::new(),
        }
    }

    pub(super) fn tell(
        &self,
        action: &AccountAction,
        category: Category,
        states: (&str, &str),
        causes: Vec<String>,
        rule: &str,
    ) -> Raw {
        let none = String::new();
        Raw {
            causes,
            ..raw(
                self.step,
                entity(action),
                category,
                states,
                none,
                Duration::Permanent,
                rule,
            )
        }
    }

    /// What is removed, with all that goes with it; nothing where nothing does.
    fn gone(&self, action: &AccountAction, rule: &str, more: Vec<String>) -> Vec<Raw> {
        let mut causes = entries(self.before, &action.object());
        causes.extend(more);
        if causes.is_empty() {
            return Vec::new();
        }
        let states = ("in use", "gone, with every access rule that names it");
        vec![self.tell(action, Category::LosesPrivilege, states, causes, rule)]
    }

    /// A role that gives other privileges than before, wherever it is given.
    fn role(&self, action: &AccountAction, id: &RoleId, privileges: &BTreeSet<String>) -> Vec<Raw> {
        let used = entries(self.before, &action.object());
        let Some(role) = self
            .before
            .roles
            .get(id.as_str())
            .filter(|_| !used.is_empty())
        else {
            return Vec::new();
        };
        let named = |names: Vec<&String>| {
            let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
            names.join(", ")
        };
        let lost = named(role.privileges.difference(privileges).collect());
        let gained = named(privileges.difference(&role.privileges).collect());
        let mut all = Vec::new();
        if !lost.is_empty() {
            let states = (format!("gives {lost}"), "does not");
            let (category, states) = (Category::LosesPrivilege, (states.0.as_str(), states.1));
            all.push(self.tell(action, category, states, used.clone(), "AC02"));
        }
        if !gained.is_empty() {
            let states = ("does not", format!("gives {gained}"));
            let (category, states) = (Category::GainsPrivilege, (states.0, states.1.as_str()));
            all.push(self.tell(action, category, states, used, "AC02"));
        }
        all
    }

    fn user_gone(&self, action: &AccountAction, id: &UserId) -> Vec<Raw> {
        let Some(user) = self.before.users.get(id.as_str()) else {
            return Vec::new();
        };
        let groups = views::groups_of(self.before, id.as_str());
        let groups = groups
            .iter()
            .map(|group| format!("it leaves group {group}"));
        let mut all = self.gone(action, "AC03", groups.collect());
        let can = user.enabled && !expired(user.expires, self.before);
        if can {
            let causes = vec!["it can no longer log in".to_owned()];
            let states = ("can log in", "gone");
            all.push(self.tell(action, Category::LosesPrivilege, states, causes, "AC03"));
        }
        if !user.tokens.is_empty() {
            let tokens = user.tokens.iter().map(|(name, token)| {
                let comment = token.comment.as_deref().map(|text| format!(" ({text})"));
                let comment = comment.unwrap_or_default();
                clean(&format!(
                    "whoever uses token {id}!{name}{comment} can no longer log in, and its secret does not come back"
                ))
            });
            let states = ("has tokens", "gone, with its tokens");
            let (category, tokens) = (Category::Irreversible, tokens.collect());
            all.push(self.tell(action, category, states, tokens, "AC03"));
        }
        all
    }

    /// Groups that a user leaves, and whether it may still log in.
    fn user(&self, action: &AccountAction, id: &UserId, set: &Params) -> Vec<Raw> {
        let (was, is) = (
            views::groups_of(self.before, id.as_str()),
            views::groups_of(self.after, id.as_str()),
        );
        let mut all = Vec::new();
        let left: Vec<&String> = was.difference(&is).collect();
        if !left.is_empty() {
            let mut causes = Vec::new();
            for group in &left {
                causes.push(format!("it leaves group {group}"));
                causes.extend(entries(self.before, &format!("group/{group}")));
            }
            let names: Vec<&str> = left.iter().map(|group| group.as_str()).collect();
            let was = format!("in {}", names.join(", "));
            let states = (was.as_str(), "not in it");
            all.push(self.tell(action, Category::LosesPrivilege, states, causes, "AC03"));
        }
        if let (Some(was), Some(is)) = (
            self.before.users.get(id.as_str()),
            self.after.users.get(id.as_str()),
        ) {
            let mut causes = Vec::new();
            if was.enabled && !is.enabled {
                causes.push("it is disabled: neither it nor its tokens can log in".to_owned());
            }
            let sooner = is.expires != 0 && (was.expires == 0 || is.expires < was.expires);
            if sooner && let Some(Param::Plain(at)) = set.get("expire") {
                let at = at.parse().ok().map_or_else(|| at.clone(), until);
                causes.push(format!(
                    "it expires at {at}: neither it nor its tokens can log in after that"
                ));
            }
            if !causes.is_empty() && was.enabled {
                let states = ("can log in", "cannot, or only for a while");
                let told = self.tell(action, Category::LosesPrivilege, states, causes, "AC03");
                let controller = self.before.controller.as_deref();
                all.push(match controller.map(|own| owner(own).unwrap_or(own)) {
                    // That it cannot right afterwards is told with who may do what; that it will not is told here.
                    Some(own) if own == id.as_str() => Raw {
                        entity: Entity::Controller,
                        category: Category::Lockout,
                        rule: "AC06".to_owned(),
                        ..told
                    },
                    _ => told,
                });
            }
        }
        all
    }
}

/// Whether a time after which one may not log in is over.
pub(super) fn expired(expires: i64, world: &World) -> bool {
    expires != 0 && expires < world.observed_at.as_second()
}
