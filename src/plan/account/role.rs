//! Roles. What a role gives grows before anything is given by it, and shrinks after everything else.

use std::collections::BTreeSet;

use super::super::draft::{Phase, Planner};
use super::super::error::Reason;
use super::super::input::Item;
use super::super::words::few;
use crate::document::desired::DesiredRole;
use crate::ids::RoleId;
use crate::world::{AccountAction, Part};

impl Planner<'_, '_> {
    /// A role that shall be as a document says.
    pub(super) fn role_present(&mut self, item: &Item, desired: &DesiredRole) {
        if !self.needs_parts(item, &[Part::Roles]) {
            return;
        }
        let id = &desired.id;
        let object = format!("role/{id}");
        let live = self.input.world.roles.get(id.as_str()).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let wanted = &desired.privileges;
        let Some(live) = live else {
            self.privileges_known(item, wanted);
            self.drafts
                .change(&object, "(object)", None, Some("made"), "at once");
            for name in wanted {
                let field = format!("privileges.{name}");
                self.drafts
                    .change(&object, &field, None, Some("given"), "at once");
            }
            let action = AccountAction::CreateRole {
                id: id.clone(),
                privileges: wanted.clone(),
            };
            let title = format!("make {object}");
            return self.account_step(title, action, Phase::AccountFirst);
        };
        if live.special {
            let why = format!("{object} is one of Proxmox VE's own and cannot be changed");
            return self
                .drafts
                .problem(&item.key, "id", Reason::Refused { why });
        }
        let added: BTreeSet<String> = wanted.difference(&live.privileges).cloned().collect();
        let gone: BTreeSet<String> = live.privileges.difference(wanted).cloned().collect();
        self.privileges_known(item, &added);
        for (names, before, after) in [(&added, None, Some("given")), (&gone, Some("given"), None)]
        {
            for name in names {
                let field = format!("privileges.{name}");
                let effect = "at once, wherever the role is given";
                self.drafts.change(&object, &field, before, after, effect);
            }
        }
        if !added.is_empty() || !gone.is_empty() {
            self.role_steps(id, &live.privileges, &added, &gone);
        }
    }

    /// At most two steps: first what is added, last what is taken away.
    fn role_steps(
        &mut self,
        id: &RoleId,
        now: &BTreeSet<String>,
        added: &BTreeSet<String>,
        gone: &BTreeSet<String>,
    ) {
        if self.needs_acl_of_role(id) {
            return;
        }
        let list = |names: &BTreeSet<String>| few(&names.iter().cloned().collect::<Vec<_>>());
        let grown: BTreeSet<String> = now.union(added).cloned().collect();
        if !added.is_empty() {
            let title = format!("set role/{id} + {}", list(added));
            let action = AccountAction::UpdateRole {
                id: id.clone(),
                privileges: grown.clone(),
            };
            self.account_step(title, action, Phase::AccountFirst);
        }
        if !gone.is_empty() {
            let title = format!("set role/{id} − {}", list(gone));
            let action = AccountAction::UpdateRole {
                id: id.clone(),
                privileges: grown.difference(gone).cloned().collect(),
            };
            self.account_step(title, action, Phase::AccountLast);
        }
    }

    /// Whether it cannot be told where the role is given; then that is a problem.
    fn needs_acl_of_role(&mut self, id: &RoleId) -> bool {
        let Some(why) = self.input.world.unreadable(&Part::Acl) else {
            return false;
        };
        let reason = Reason::Unreadable {
            what: Part::Acl.to_string(),
            why: why.to_owned(),
        };
        self.drafts
            .problem(&format!("role/{id}"), "privileges", reason);
        true
    }

    /// Privileges that this version of Proxmox VE does not have are told with the nearest that it has: `Administrator` has them all.
    fn privileges_known(&mut self, item: &Item, names: &BTreeSet<String>) {
        let roles = self.input.world.roles.values();
        let known: BTreeSet<&String> = roles
            .filter(|role| role.special)
            .flat_map(|role| &role.privileges)
            .collect();
        let unknown = names.iter().filter(|name| !known.contains(*name));
        let reasons: Vec<Reason> = unknown
            .map(|name| {
                let nearest = super::super::nearest(name, known.iter().map(|name| name.as_str()));
                let why = format!("this cluster's Proxmox VE has no privilege `{name}`{nearest}");
                Reason::Refused { why }
            })
            .collect();
        for reason in reasons {
            self.drafts.problem(&item.key, "privileges", reason);
        }
    }

    /// A role whose document is gone and said that it shall be deleted.
    pub(super) fn role_removed(&mut self, item: &Item, id: &RoleId) {
        if !self.needs_parts(item, &[Part::Roles, Part::Acl]) {
            return;
        }
        let object = format!("role/{id}");
        if !self.input.world.roles.contains_key(id.as_str()) {
            return self.account_gone(&object);
        }
        self.drafts.change(
            &object,
            "(object)",
            Some("role"),
            None,
            "the role is removed, and every access rule that gives it loses it",
        );
        let action = AccountAction::DeleteRole { id: id.clone() };
        self.account_step(format!("delete {object}"), action, Phase::AccountLast);
    }
}
