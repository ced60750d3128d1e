//! Accounts: from documents to steps that make, change or remove realms, groups, users, roles and what they are given. Privileges are given
//! before others are taken ([`order`]).

mod group;
mod order;
mod realm;
mod role;
mod rule;
mod user;

use std::collections::BTreeSet;

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::{Item, Wanted};
use super::pool::Pools;
use crate::document::desired::{Desired, DesiredAccount};
use crate::ids::{AclRuleId, GroupId, RealmId, RoleId, UserId};
use crate::world::{AccountAction, Action, Part};

impl Planner<'_, '_> {
    /// Realms, groups, roles and users that shall be as documents say, in this order.
    pub(super) fn accounts_present(&mut self, items: &[&Item]) {
        self.realms_present(items);
        for item in items {
            if let Some(DesiredAccount::Group(group)) = account(item) {
                self.group_present(item, group);
            }
        }
        for item in items {
            if let Some(DesiredAccount::Role(role)) = account(item) {
                self.role_present(item, role);
            }
        }
        for item in items {
            if let Some(DesiredAccount::User(user)) = account(item) {
                self.user_present(item, user);
            }
        }
    }

    /// Access rules that shall be as documents say; by now it is known what else the plan makes and takes away.
    pub(super) fn rules_present(&mut self, items: &[&Item], pools: &Pools) {
        for item in items {
            if let Some(DesiredAccount::Rule(rule)) = account(item) {
                self.rule_present(item, rule, pools);
            }
        }
    }

    /// A document about an account that is gone and said that its object shall be deleted.
    pub(super) fn account_removed(&mut self, item: &Item, object: &str) {
        let (kind, id) = object.split_once('/').unwrap_or_default();
        match kind {
            "group" => {
                if let Ok(id) = GroupId::new(id) {
                    self.group_removed(item, &id);
                }
            }
            "user" => {
                if let Ok(id) = UserId::new(id) {
                    self.user_removed(item, &id);
                }
            }
            "role" => {
                if let Ok(id) = RoleId::new(id) {
                    self.role_removed(item, &id);
                }
            }
            "realm" => {
                if let Ok(id) = RealmId::new(id) {
                    self.realm_removed(item, &id);
                }
            }
            "acl" => {
                if let Ok(id) = id.parse::<AclRuleId>() {
                    self.rule_removed(item, &id);
                }
            }
            _ => {}
        }
    }

    /// Whether all of these parts were read; of those that were not the document has a problem.
    fn needs_parts(&mut self, item: &Item, parts: &[Part]) -> bool {
        // Each is told, not only the first.
        let read = parts
            .iter()
            .filter(|part| self.needs_part(item, part))
            .count();
        read == parts.len()
    }

    fn account_step(&mut self, title: String, action: AccountAction, phase: Phase) {
        self.drafts.push(Draft {
            title: super::words::clean(&title),
            action: Action::Account(action),
            node: None,
            phase,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
    }

    /// Whether the plan makes this realm, group, user, role or rule so far.
    fn makes_account(&self, object: &str) -> bool {
        self.drafts.steps.iter().any(|draft| match &draft.action {
            Action::Account(action) => action.makes().as_deref() == Some(object),
            _ => false,
        })
    }

    /// What a document names has to be there, and to stay. The problem is the document's if it is not.
    pub(super) fn account_known(&mut self, item: &Item, field: &str, object: &str) -> bool {
        let world = self.input.world;
        let (what, id) = object.split_once('/').unwrap_or_default();
        let what = match what {
            "group" => "group",
            "role" => "role",
            _ => "user",
        };
        if self.drafts.going.contains(object) {
            let why = format!("{object} is deleted by this plan");
            self.drafts
                .problem(&item.key, field, Reason::Ambiguous { why });
            return false;
        }
        let (there, names): (bool, Vec<&str>) = match what {
            "group" => (
                world.groups.contains_key(id),
                world.groups.keys().map(String::as_str).collect(),
            ),
            "role" => (
                world.roles.contains_key(id),
                world.roles.keys().map(String::as_str).collect(),
            ),
            _ => (
                world.users.contains_key(id),
                world.users.keys().map(String::as_str).collect(),
            ),
        };
        if there || self.makes_account(object) {
            return true;
        }
        let nearest = super::nearest(id, names.into_iter());
        let reason = Reason::NoSuch {
            what,
            name: id.to_owned(),
            nearest,
        };
        self.drafts.problem(&item.key, field, reason);
        false
    }

    /// That an object whose document is removed is gone already.
    fn account_gone(&mut self, object: &str) {
        let note = format!("{object} is already gone");
        self.drafts.notes.insert(note);
    }
}

fn account(item: &Item) -> Option<&DesiredAccount> {
    match &item.wanted {
        Wanted::Present(Desired::Account(account)) => Some(account),
        Wanted::Present(_) | Wanted::Removed { .. } => None,
    }
}
