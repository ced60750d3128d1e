//! The judge on accounts: what is read again before a step, and that privileges are given before others are taken.

use std::collections::BTreeSet;

use crate::plan::model::{AccountCheck, Origin, Plan, Precondition, Step, StepId};
use crate::world::{AccountAction, Action, Param};

/// Whether a step on accounts has what must still be so.
pub(super) fn guarded(action: &AccountAction, preconditions: &[Precondition]) -> bool {
    let has = |wanted: &dyn Fn(&AccountCheck) -> bool| {
        preconditions
            .iter()
            .any(|p| matches!(p, Precondition::Account(check) if wanted(check)))
    };
    let object = action.object();
    let listed = || has(&|c| matches!(c, AccountCheck::Entries { of, .. } if *of == object));
    match action {
        AccountAction::CreateGroup { id, .. } => {
            has(&|c| matches!(c, AccountCheck::GroupAbsent { id: i } if i == id))
        }
        AccountAction::UpdateGroup { id, .. } => {
            has(&|c| matches!(c, AccountCheck::GroupIs { id: i, .. } if i == id))
        }
        AccountAction::DeleteGroup { id } => {
            has(&|c| matches!(c, AccountCheck::GroupIs { id: i, .. } if i == id)) && listed()
        }
        AccountAction::CreateUser { id, .. } => {
            has(&|c| matches!(c, AccountCheck::UserAbsent { id: i } if i == id))
        }
        AccountAction::UpdateUser { id, .. } => {
            has(&|c| matches!(c, AccountCheck::UserIs { id: i, .. } if i == id))
        }
        AccountAction::DeleteUser { id } => {
            has(&|c| matches!(c, AccountCheck::UserIs { id: i, .. } if i == id)) && listed()
        }
        AccountAction::CreateToken { id, .. } => {
            has(&|c| matches!(c, AccountCheck::TokenAbsent { id: i } if i == id))
        }
        AccountAction::UpdateToken { id, set, .. } => {
            let widens = set.contains_key("privsep");
            has(&|c| matches!(c, AccountCheck::TokenIs { id: i, .. } if i == id))
                && (!widens || listed())
        }
        AccountAction::DeleteToken { id } => {
            has(&|c| matches!(c, AccountCheck::TokenIs { id: i, .. } if i == id)) && listed()
        }
        AccountAction::CreateRole { id, .. } => {
            has(&|c| matches!(c, AccountCheck::RoleAbsent { id: i } if i == id))
        }
        AccountAction::UpdateRole { id, .. } | AccountAction::DeleteRole { id } => {
            has(&|c| matches!(c, AccountCheck::RoleIs { id: i, .. } if i == id)) && listed()
        }
        AccountAction::CreateRealm { id, .. } => {
            has(&|c| matches!(c, AccountCheck::RealmAbsent { id: i } if i == id))
        }
        AccountAction::UpdateRealm { id, .. } => {
            has(&|c| matches!(c, AccountCheck::RealmIs { id: i, .. } if i == id))
        }
        AccountAction::DeleteRealm { id } => {
            has(&|c| matches!(c, AccountCheck::RealmIs { id: i, .. } if i == id))
                && has(&|c| matches!(c, AccountCheck::RealmUsers { id: i, .. } if i == id))
        }
        AccountAction::Grant { .. } | AccountAction::Revoke { .. } => has(&|c| {
            matches!(c, AccountCheck::RuleIs { path, subject, .. }
                if rule(action) == Some((path.as_str(), subject.kind(), subject.id())))
        }),
    }
}

/// The path and the subject of a grant or a revocation.
fn rule(action: &AccountAction) -> Option<(&str, &'static str, &str)> {
    match action {
        AccountAction::Grant { path, subject, .. }
        | AccountAction::Revoke { path, subject, .. } => {
            Some((path.as_str(), subject.kind(), subject.id()))
        }
        _ => None,
    }
}

/// What a step on accounts, or one that takes something away which has access rules, has to come after.
pub(super) fn waits_for(plan: &Plan, step: &Step) -> BTreeSet<(StepId, String)> {
    let mut wants = BTreeSet::new();
    let accounts = matches!(step.action, Action::Account(_));
    if !accounts && gone_at(&step.action).is_none() {
        return wants;
    }
    for other in plan.steps.iter().filter(|other| other.id != step.id) {
        let why = match (&step.action, &other.action) {
            // What is taken back goes the way back, step by step.
            (
                Action::Account(AccountAction::Revoke { .. }),
                Action::Account(AccountAction::Grant { .. }),
            ) if matches!(plan.origin, Origin::Undo { .. }) => None,
            (Action::Account(later), Action::Account(earlier)) => between(later, earlier),
            (Action::Account(AccountAction::Grant { path, .. }), made) => {
                (made_at(made).as_deref() == Some(path.as_str())).then_some("what its path names")
            }
            (gone, Action::Account(AccountAction::Revoke { path, .. })) => {
                (gone_at(gone).as_deref() == Some(path.as_str()))
                    .then_some("the revocation on its path")
            }
            _ => None,
        };
        wants.extend(why.map(|why| (other.id, why.to_owned())));
    }
    wants
}

/// Why an action on accounts has to come after another one, if it has to.
fn between(later: &AccountAction, earlier: &AccountAction) -> Option<&'static str> {
    match (later, earlier) {
        (AccountAction::Grant { subject, roles, .. }, made) => match made {
            AccountAction::CreateGroup { id, .. } => {
                (subject.kind() == "group" && subject.id() == id.as_str()).then_some("the group")
            }
            AccountAction::CreateUser { id, .. } => {
                (subject.kind() == "user" && subject.id() == id.as_str()).then_some("the user")
            }
            AccountAction::CreateToken { id, .. } => {
                (subject.kind() == "token" && subject.id() == id.as_str()).then_some("the token")
            }
            AccountAction::CreateRole { id, .. } => roles.contains(id).then_some("the role"),
            _ => None,
        },
        (AccountAction::Revoke { .. }, AccountAction::Grant { .. }) => Some("what is given"),
        (
            AccountAction::CreateUser { params: set, .. } | AccountAction::UpdateUser { set, .. },
            AccountAction::CreateGroup { id, .. },
        ) => {
            let named = match set.get("groups") {
                Some(Param::Plain(groups)) => groups.split(',').any(|name| name == id.as_str()),
                Some(Param::Secret { .. }) | None => false,
            };
            named.then_some("the group")
        }
        (AccountAction::CreateUser { id: user, .. }, AccountAction::CreateRealm { id, .. }) => {
            (user.realm() == id.as_str()).then_some("its realm")
        }
        (AccountAction::DeleteRealm { id }, AccountAction::DeleteUser { id: user }) => {
            (user.realm() == id.as_str()).then_some("the removal of its user")
        }
        (AccountAction::CreateToken { id, .. }, AccountAction::CreateUser { id: user, .. }) => {
            (id.owner() == user.as_str()).then_some("its user")
        }
        (AccountAction::DeleteToken { id }, AccountAction::Revoke { subject, .. }) => {
            (subject.kind() == "token" && subject.id() == id.as_str())
                .then_some("the revocation for it")
        }
        (AccountAction::DeleteUser { id: user }, AccountAction::DeleteToken { id }) => {
            (id.owner() == user.as_str()).then_some("the removal of its token")
        }
        (AccountAction::DeleteGroup { id }, AccountAction::Revoke { subject, .. }) => {
            (subject.kind() == "group" && subject.id() == id.as_str())
                .then_some("the revocation for it")
        }
        (AccountAction::DeleteUser { id }, AccountAction::Revoke { subject, .. }) => {
            (subject.kind() == "user" && subject.id() == id.as_str())
                .then_some("the revocation for it")
        }
        (AccountAction::DeleteRole { id }, AccountAction::Revoke { roles, .. }) => {
            roles.contains(id).then_some("the revocation of it")
        }
        _ => None,
    }
}

/// The path of what a step makes.
fn made_at(action: &Action) -> Option<String> {
    match action {
        Action::CreateGuest { vmid, .. }
        | Action::CloneGuest { vmid, .. }
        | Action::RestoreGuest { vmid, .. } => Some(format!("/vms/{vmid}")),
        Action::CreateStorage { id, .. } => Some(format!("/storage/{id}")),
        Action::CreatePool { id, .. } => Some(format!("/pool/{id}")),
        _ => None,
    }
}

/// The path of what a step takes away.
fn gone_at(action: &Action) -> Option<String> {
    match action {
        Action::DestroyGuest { vmid, .. } => Some(format!("/vms/{vmid}")),
        Action::DeleteStorage { id } => Some(format!("/storage/{id}")),
        Action::DeletePool { id } => Some(format!("/pool/{id}")),
        _ => None,
    }
}
