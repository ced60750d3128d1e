//! Taking back what was done to accounts: field by field, member by member, entry by entry, and only where it still is as the run left it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::words::short;
use super::Back;
use crate::ids::{AclPath, AclSubject, GroupId, RoleId, UserId};
use crate::world::predict::subject_is_there;
use crate::world::{AccountAction, Action, Param, Params, views};

impl Back<'_, '_, '_> {
    /// Takes one action back on what there is now.
    pub(super) fn account(&mut self, action: &AccountAction) {
        let world = self.accounts.clone();
        let object = action.object();
        match action {
            AccountAction::CreateGroup { id, .. } => {
                self.again(action, world.groups.contains_key(id.as_str()));
            }
            AccountAction::CreateRole { id, .. } => {
                self.again(action, world.roles.contains_key(id.as_str()));
            }
            AccountAction::CreateUser { id, params } => {
                let mut params = params.clone();
                self.groups_that_are(&mut params);
                let again = AccountAction::CreateUser {
                    id: id.clone(),
                    params,
                };
                self.again(&again, world.users.contains_key(id.as_str()));
            }
            AccountAction::UpdateGroup { id, comment } => self.group_back(id, comment),
            AccountAction::DeleteGroup { id } => {
                let Some(group) = world.groups.get(id.as_str()) else {
                    return;
                };
                let stranger = group
                    .members
                    .iter()
                    .find(|user| !self.joined_by_run(user, id));
                if let Some(user) = stranger {
                    let what = format!("{object} has a member that someone added since: {user}");
                    return self.left(&what);
                }
                self.away(action);
            }
            AccountAction::UpdateUser { id, set } => self.user_back(id, set),
            AccountAction::DeleteUser { id } => {
                let Some(user) = world.users.get(id.as_str()) else {
                    return;
                };
                let stranger = user
                    .tokens
                    .keys()
                    .find(|name| !self.api_token_of_run(id, name));
                if let Some(token) = stranger {
                    let what = format!("{object} has a token that someone made since: {token}");
                    return self.left(&what);
                }
                self.away(action);
            }
            AccountAction::UpdateToken { id, set, delete } => {
                self.api_token_again(id, set, delete);
            }
            AccountAction::DeleteToken { id } => self.api_token_away(id),
            // Its secret would be another one.
            AccountAction::CreateToken { .. } => {
                self.left(&format!("{}: no step takes it back", self.step.title));
            }
            AccountAction::UpdateRole { id, privileges } => self.role_back(id, privileges),
            AccountAction::DeleteRole { id } => {
                if world.roles.contains_key(id.as_str()) {
                    self.away(action);
                }
            }
            AccountAction::CreateRealm { .. }
            | AccountAction::UpdateRealm { .. }
            | AccountAction::DeleteRealm { .. } => self.realm(action),
            AccountAction::Grant {
                path,
                subject,
                roles,
                propagate,
            } => self.given_back(path, subject, roles, *propagate),
            AccountAction::Revoke {
                path,
                subject,
                roles,
            } => self.taken_back(path, subject, roles),
        }
    }

    pub(super) fn do_it(&mut self, title: String, action: AccountAction) {
        let action = Action::Account(action);
        if let Ok(after) = self.accounts.apply(&action) {
            *self.accounts = after;
        }
        self.push(title, action, None);
    }

    pub(super) fn again(&mut self, action: &AccountAction, there: bool) {
        let object = action.object();
        if there {
            return self.left(&format!("{object} was made by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", None, Some("made"), "made again");
        self.do_it(format!("make {object} again"), action.clone());
    }

    /// Something that the run made is removed, unless somebody gave it privileges that the run did not.
    pub(super) fn away(&mut self, action: &AccountAction) {
        let object = action.object();
        let foreign = views::entries_naming(self.accounts, &object).find(|entry| {
            !self.plan.steps.iter().any(|step| {
                self.done.contains(&step.id)
                    && matches!(&step.action, Action::Account(AccountAction::Grant { path, subject, roles, .. })
                        if path.as_str() == entry.path
                            && subject.kind() == entry.subject_type
                            && subject.id() == entry.subject
                            && roles.iter().any(|role| role.as_str() == entry.role))
            })
        });
        if let Some(entry) = foreign {
            let what = format!(
                "{object} has an access rule that someone made since: {}",
                views::entry_says(entry)
            );
            return self.left(&what);
        }
        self.planner
            .drafts
            .change(&object, "(object)", Some("there"), None, "removed again");
        self.do_it(format!("delete {object}"), action.clone());
    }

    /// Whether the run put a user into a group, or made the user.
    fn joined_by_run(&self, user: &str, group: &GroupId) -> bool {
        self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && match &step.action {
                    Action::Account(
                        action @ (AccountAction::CreateUser { id, .. }
                        | AccountAction::UpdateUser { id, .. }),
                    ) => id.as_str() == user && action.groups().is_some_and(|g| g.contains(group)),
                    _ => false,
                }
        })
    }

    fn group_back(&mut self, id: &GroupId, comment: &str) {
        let object = format!("group/{id}");
        let Some(group) = self.accounts.groups.get(id.as_str()).cloned() else {
            return self.left(&format!("{object} is gone"));
        };
        let now = group.comment.clone().unwrap_or_default();
        let ours = match &self.step.action {
            Action::Account(AccountAction::UpdateGroup { comment, .. }) => comment.clone(),
            _ => return,
        };
        if self.still(&object, "comment", &now, &ours, comment) {
            self.set_back(&object, "comment", &now, comment);
            let action = AccountAction::UpdateGroup {
                id: id.clone(),
                comment: comment.to_owned(),
            };
            self.do_it(format!("set back the comment of {object}"), action);
        }
    }

    /// Whether a value is as the run left it, and not what it shall be already.
    pub(super) fn still(
        &mut self,
        object: &str,
        field: &str,
        now: &str,
        ours: &str,
        old: &str,
    ) -> bool {
        let same = |a: &str, b: &str| a.trim_end() == b.trim_end();
        if same(now, old) {
            return false;
        }
        if !same(now, ours) {
            self.left(&format!(
                "{object} {field} was changed by someone since ({}, we left {})",
                short(now),
                short(ours)
            ));
            return false;
        }
        true
    }

    pub(super) fn set_back(&mut self, object: &str, field: &str, now: &str, old: &str) {
        let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let (now, old) = (some(now), some(old));
        self.planner
            .drafts
            .change(object, field, now.as_deref(), old.as_deref(), "set back");
    }

    fn user_back(&mut self, id: &UserId, old: &Params) {
        let object = format!("user/{id}");
        let world = self.accounts.clone();
        let Some(user) = world.users.get(id.as_str()) else {
            return self.left(&format!("{object} is gone"));
        };
        let fields = views::user_fields(user);
        let ours = match &self.step.action {
            Action::Account(AccountAction::UpdateUser { set, .. }) => set.clone(),
            _ => Params::new(),
        };
        let mut set = Params::new();
        for (key, param) in old {
            let Param::Plain(value) = param else { continue };
            if key == "groups" {
                if let Some(groups) = self.groups_back(id, value, &ours) {
                    let now = joined(&views::groups_of(&world, id.as_str()));
                    self.set_back(&object, "groups", &now, &groups);
                    set.insert(key.clone(), Param::Plain(groups));
                }
                continue;
            }
            let now = fields.get(key).cloned().unwrap_or_default();
            let Some(Param::Plain(left)) = ours.get(key) else {
                continue;
            };
            if self.still(&object, key, &now, left, value) {
                self.set_back(&object, key, &now, value);
                set.insert(key.clone(), Param::Plain(value.clone()));
            }
        }
        if !set.is_empty() {
            let action = AccountAction::UpdateUser {
                id: id.clone(),
                set,
            };
            self.do_it(format!("set back {object}"), action);
        }
    }

    /// The groups a user is in, with those that it left by the run, and without those that it joined by it.
    fn groups_back(&self, id: &UserId, old: &str, ours: &Params) -> Option<String> {
        let old = list(old);
        let gone = match &self.step.action {
            Action::Account(AccountAction::DeleteGroup { id }) => Some(id.to_string()),
            _ => None,
        };
        let left = match (ours.get("groups"), &gone) {
            (Some(Param::Plain(groups)), _) => list(groups),
            (_, Some(gone)) => old.iter().filter(|group| *group != gone).cloned().collect(),
            _ => return None,
        };
        let now = views::groups_of(self.accounts, id.as_str());
        let mut groups: BTreeSet<String> = now
            .iter()
            .filter(|group| old.contains(*group) || !left.contains(*group))
            .cloned()
            .collect();
        let again = old
            .difference(&left)
            .filter(|group| self.accounts.groups.contains_key(group.as_str()));
        groups.extend(again.cloned());
        (groups != now).then(|| joined(&groups))
    }

    /// Leaves out the groups that are no longer there.
    fn groups_that_are(&mut self, params: &mut Params) {
        let Some(Param::Plain(groups)) = params.get("groups").cloned() else {
            return;
        };
        let (are, gone): (Vec<String>, Vec<String>) = list(&groups)
            .into_iter()
            .partition(|group| self.accounts.groups.contains_key(group.as_str()));
        for group in gone {
            self.left(&format!("group/{group} is gone"));
        }
        match are.is_empty() {
            true => params.remove("groups"),
            false => params.insert("groups".to_owned(), Param::Plain(are.join(","))),
        };
    }

    fn role_back(&mut self, id: &RoleId, old: &BTreeSet<String>) {
        let object = format!("role/{id}");
        let Some(role) = self.accounts.roles.get(id.as_str()).cloned() else {
            return self.left(&format!("{object} is gone"));
        };
        let ours = match &self.step.action {
            Action::Account(AccountAction::UpdateRole { privileges, .. }) => privileges.clone(),
            _ => return,
        };
        let now = &role.privileges;
        // What the run gave goes, what it took comes back; what others did meanwhile stays.
        let mut privileges: BTreeSet<String> = now
            .iter()
            .filter(|name| old.contains(*name) || !ours.contains(*name))
            .cloned()
            .collect();
        privileges.extend(old.difference(&ours).cloned());
        if privileges == *now {
            return;
        }
        let (was, is) = (joined(now), joined(&privileges));
        self.set_back(&object, "privileges", &was, &is);
        let action = AccountAction::UpdateRole {
            id: id.clone(),
            privileges,
        };
        self.do_it(format!("set back the privileges of {object}"), action);
    }

    /// Roles that the run took, or gave with another flag, are given again.
    fn given_back(
        &mut self,
        path: &AclPath,
        subject: &AclSubject,
        roles: &BTreeSet<RoleId>,
        propagate: bool,
    ) {
        let world = self.accounts.clone();
        if !subject_is_there(&world, subject) {
            return self.left(&format!("{subject} is gone"));
        }
        let now = views::roles_on(&world, path, subject);
        let ours: Option<bool> = match &self.step.action {
            Action::Account(AccountAction::Grant { propagate, .. }) => Some(*propagate),
            _ => None,
        };
        let mut given = BTreeSet::new();
        for role in roles {
            let is = world.roles.contains_key(role.as_str());
            match now.get(role.as_str()) {
                Some(flag) if *flag == propagate => {}
                Some(flag) if Some(*flag) != ours => self.left(&format!(
                    "{role} for {subject} on {path} was given again by someone since"
                )),
                _ if !is => self.left(&format!("role/{role} is gone")),
                _ => {
                    given.insert(role.clone());
                }
            }
        }
        if given.is_empty() {
            return;
        }
        let action = AccountAction::Grant {
            path: path.clone(),
            subject: subject.clone(),
            roles: given.clone(),
            propagate,
        };
        self.roles_change(&action, &given, &now, Some(propagate));
        let title = format!("give {subject} {} on {path} again", joined(&given));
        self.do_it(title, action);
    }

    /// Roles that the run gave are taken.
    fn taken_back(&mut self, path: &AclPath, subject: &AclSubject, roles: &BTreeSet<RoleId>) {
        let now = views::roles_on(self.accounts, path, subject);
        let still = roles.iter().filter(|role| now.contains_key(role.as_str()));
        let still: BTreeSet<RoleId> = still.cloned().collect();
        if still.is_empty() {
            return;
        }
        let action = AccountAction::Revoke {
            path: path.clone(),
            subject: subject.clone(),
            roles: still.clone(),
        };
        self.roles_change(&action, &still, &now, None);
        let title = format!("take {} on {path} from {subject}", joined(&still));
        self.do_it(title, action);
    }

    fn roles_change(
        &mut self,
        action: &AccountAction,
        roles: &BTreeSet<RoleId>,
        now: &BTreeMap<String, bool>,
        after: Option<bool>,
    ) {
        let word = |flag: bool| {
            if flag {
                "given with all below"
            } else {
                "given there only"
            }
        };
        for role in roles {
            let before = now.get(role.as_str()).copied().map(word);
            let field = format!("roles.{role}");
            self.planner.drafts.change(
                &action.object(),
                &field,
                before,
                after.map(word),
                "set back",
            );
        }
    }
}

fn list(text: &str) -> BTreeSet<String> {
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn joined<T: ToString>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}
