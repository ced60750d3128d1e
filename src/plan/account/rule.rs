//! Access rules: the roles of one subject on one path. New ones are given before others are taken.

use std::collections::BTreeSet;

use super::super::draft::{Phase, Planner};
use super::super::error::Reason;
use super::super::input::Item;
use super::super::pool::Pools;
use super::super::words::few;
use crate::document::desired::DesiredRule;
use crate::ids::{AclPath, AclRuleId, AclSubject, PoolId, RoleId, StorageId, Vmid};
use crate::world::predict::subject_is_there;
use crate::world::{AccountAction, Part, views};

/// The role that takes everything.
const NO_ACCESS: &str = "NoAccess";

impl Planner<'_, '_> {
    /// An access rule that shall be as a document says.
    pub(super) fn rule_present(&mut self, item: &Item, desired: &DesiredRule, pools: &Pools) {
        let AclRuleId { subject, path } = &desired.id;
        let of_subject = match subject {
            AclSubject::Group(_) => Part::Groups,
            AclSubject::User(_) | AclSubject::Token(_) => Part::Users,
        };
        if !self.needs_parts(item, &[Part::Acl, Part::Roles, of_subject]) {
            return;
        }
        let object = format!("acl/{}", desired.id);
        let now = views::roles_on(self.input.world, path, subject);
        if !self.claim(item, &object, !now.is_empty()) {
            return;
        }
        for role in &desired.roles {
            self.account_known(item, "roles", &format!("role/{role}"));
        }
        if !self.subject_known(item, subject) || !self.path_stays(item, path, pools) {
            return;
        }
        let mut given = BTreeSet::new();
        let mut narrowed = BTreeSet::new();
        for role in &desired.roles {
            let had = now.get(role.as_str()).copied();
            if had == Some(desired.propagate) {
                continue;
            }
            let field = format!("roles.{role}");
            let (before, after) = (had.map(word), Some(word(desired.propagate)));
            self.drafts
                .change(&object, &field, before, after, "at once");
            let takes = had == Some(true) || role.as_str() == NO_ACCESS;
            let set = if takes { &mut narrowed } else { &mut given };
            set.insert(role.clone());
        }
        let gives = !given.is_empty() || !narrowed.is_empty();
        if gives && !self.path_known(item, path, pools) {
            return;
        }
        for (roles, phase) in [(given, Phase::Grant), (narrowed, Phase::Narrow)] {
            if roles.is_empty() {
                continue;
            }
            let below = if desired.propagate { "" } else { ", not below" };
            let title = format!("give {subject} {} on {path}{below}", list(&roles));
            let action = AccountAction::Grant {
                path: path.clone(),
                subject: subject.clone(),
                roles,
                propagate: desired.propagate,
            };
            self.account_step(title, action, phase);
        }
        let gone: BTreeSet<RoleId> = now
            .keys()
            .filter_map(|role| RoleId::new(role).ok())
            .filter(|role| !desired.roles.contains(role))
            .collect();
        self.revoke(&desired.id, gone);
    }

    fn revoke(&mut self, id: &AclRuleId, roles: BTreeSet<RoleId>) {
        if roles.is_empty() {
            return;
        }
        let AclRuleId { subject, path } = id;
        let now = views::roles_on(self.input.world, path, subject);
        let object = format!("acl/{id}");
        for role in &roles {
            let field = format!("roles.{role}");
            let before = now.get(role.as_str()).copied().map(word);
            self.drafts.change(&object, &field, before, None, "at once");
        }
        let title = format!("take {} on {path} from {subject}", list(&roles));
        let action = AccountAction::Revoke {
            path: path.clone(),
            subject: subject.clone(),
            roles,
        };
        self.account_step(title, action, Phase::Revoke);
    }

    /// Whether there is who the rule is for, and it stays.
    fn subject_known(&mut self, item: &Item, subject: &AclSubject) -> bool {
        let (field, object) = match subject {
            AclSubject::User(id) => ("user", format!("user/{id}")),
            AclSubject::Group(id) => ("group", format!("group/{id}")),
            AclSubject::Token(id) => ("token", format!("user/{}", id.owner())),
        };
        if !self.account_known(item, field, &object) {
            return false;
        }
        if let AclSubject::Token(id) = subject {
            let object = format!("token/{id}");
            let reason = if self.drafts.going.contains(&object) {
                Reason::Ambiguous {
                    why: format!("{object} is deleted by this plan"),
                }
            } else if subject_is_there(self.input.world, subject) || self.makes_account(&object) {
                return true;
            } else {
                Reason::NoSuch {
                    what: "token",
                    name: id.to_string(),
                    nearest: String::new(),
                }
            };
            self.drafts.problem(&item.key, field, reason);
            return false;
        }
        true
    }

    /// Whether what the path names is not taken away by this plan, which would take the rule along.
    fn path_stays(&mut self, item: &Item, path: &AclPath, pools: &Pools) -> bool {
        let object = match named(path) {
            Some(Named::Guest(vmid)) => {
                let guest = self.input.world.guests.get(&vmid);
                guest.map(|guest| guest.entity())
            }
            Some(Named::Storage(id)) => Some(format!("storage/{id}")),
            Some(Named::Pool(id)) if pools.deletes(&id) => Some(format!("pool/{id}")),
            Some(Named::Pool(_) | Named::Node(_) | Named::Group(_) | Named::Realm(_)) | None => {
                None
            }
        };
        let deleted_pool = object
            .as_deref()
            .is_some_and(|object| object.starts_with("pool/"));
        let Some(object) =
            object.filter(|object| deleted_pool || self.drafts.going.contains(object))
        else {
            return true;
        };
        let why = format!("{object} is deleted by this plan, and its access rules go with it");
        self.drafts
            .problem(&item.key, "path", Reason::Ambiguous { why });
        false
    }

    /// Whether what the path names is there, or is made by this plan.
    fn path_known(&mut self, item: &Item, path: &AclPath, pools: &Pools) -> bool {
        let world = self.input.world;
        let (what, name, known) = match named(path) {
            None => return true,
            Some(Named::Guest(vmid)) => {
                if !self.needs_parts(item, &[Part::Resources]) {
                    return false;
                }
                let known = world.guests.contains_key(&vmid) || self.drafts.taken.contains(&vmid);
                ("guest", vmid.to_string(), known)
            }
            Some(Named::Storage(id)) => {
                if !self.needs_parts(item, &[Part::Storages]) {
                    return false;
                }
                let known =
                    world.storages.contains_key(&id) || self.drafts.opened.contains_key(&id);
                ("storage", id.to_string(), known)
            }
            Some(Named::Pool(id)) => {
                if !self.needs_parts(item, &[Part::Pools]) {
                    return false;
                }
                let known = world.pools.contains_key(&id) || pools.makes(&id);
                ("pool", id.to_string(), known)
            }
            Some(Named::Node(id)) => {
                if !self.needs_parts(item, &[Part::Resources]) {
                    return false;
                }
                let known = world.nodes.keys().any(|node| node.as_str() == id);
                ("node", id, known)
            }
            Some(Named::Group(id)) => {
                return self.account_known(item, "path", &format!("group/{id}"));
            }
            Some(Named::Realm(id)) => return self.realm_known(item, "path", &id),
        };
        if !known {
            let reason = Reason::NoSuch {
                what,
                name,
                nearest: String::new(),
            };
            self.drafts.problem(&item.key, "path", reason);
        }
        known
    }

    /// An access rule whose document is gone and said that it shall be deleted.
    pub(super) fn rule_removed(&mut self, item: &Item, id: &AclRuleId) {
        if !self.needs_parts(item, &[Part::Acl]) {
            return;
        }
        let now = views::roles_on(self.input.world, &id.path, &id.subject);
        let roles: BTreeSet<RoleId> = now
            .keys()
            .filter_map(|role| RoleId::new(role).ok())
            .collect();
        if roles.is_empty() {
            return self.account_gone(&format!("acl/{id}"));
        }
        self.revoke(id, roles);
    }
}

/// What a path names that may be there or not.
enum Named {
    Guest(Vmid),
    Storage(StorageId),
    Pool(PoolId),
    Node(String),
    Group(String),
    Realm(String),
}

fn named(path: &AclPath) -> Option<Named> {
    let (kind, id) = path.as_str().strip_prefix('/')?.split_once('/')?;
    match kind {
        "vms" => id.parse().ok().map(Named::Guest),
        "storage" => id.parse().ok().map(Named::Storage),
        "pool" => id.parse().ok().map(Named::Pool),
        "nodes" => Some(Named::Node(id.to_owned())),
        "access" => match id.split_once('/')? {
            ("groups", id) => Some(Named::Group(id.to_owned())),
            ("realm", id) => Some(Named::Realm(id.to_owned())),
            _ => None,
        },
        _ => None,
    }
}

fn word(propagate: bool) -> &'static str {
    if propagate {
        "given with all below"
    } else {
        "given there only"
    }
}

fn list(roles: &BTreeSet<RoleId>) -> String {
    few(&roles.iter().map(ToString::to_string).collect::<Vec<_>>())
}
