//! Which steps on accounts come before which: what is named is made before it is named; everything is given before anything is taken;
//! what is taken goes before what it names.

use std::collections::BTreeMap;

use super::super::draft::{Draft, DraftId, Phase, Planner};
use crate::world::{AccountAction, Action};

/// Within a stage: groups come before the users in them.
fn rank(action: &AccountAction) -> u8 {
    match action {
        // Realms come before everybody who comes from them, and go after them.
        AccountAction::CreateRealm { .. }
        | AccountAction::UpdateRealm { .. }
        | AccountAction::CreateGroup { .. }
        | AccountAction::UpdateGroup { .. } => 0,
        AccountAction::CreateRole { .. } | AccountAction::UpdateRole { .. } => 1,
        AccountAction::CreateUser { .. } | AccountAction::UpdateUser { .. } => 2,
        AccountAction::Grant { .. }
        | AccountAction::Revoke { .. }
        | AccountAction::CreateToken { .. }
        | AccountAction::UpdateToken { .. }
        | AccountAction::DeleteToken { .. } => 3,
        AccountAction::DeleteUser { .. } => 4,
        AccountAction::DeleteGroup { .. }
        | AccountAction::DeleteRole { .. }
        | AccountAction::DeleteRealm { .. } => 5,
    }
}

/// How far in a plan a step on accounts stands: all of one before all of the next.
fn stage(draft: &Draft) -> Option<u8> {
    match draft.phase {
        Phase::AccountFirst => Some(0),
        Phase::TokenFirst => Some(1),
        Phase::Grant => Some(2),
        Phase::Narrow => Some(3),
        Phase::Revoke => Some(4),
        Phase::TokenLast => Some(5),
        Phase::AccountLast => Some(6),
        _ => None,
    }
}

impl Planner<'_, '_> {
    /// Needs of steps on accounts, and of what is taken away with access rules on it.
    pub(in crate::plan) fn link_accounts(&self) -> Vec<(DraftId, DraftId)> {
        let mut links = Vec::new();
        let steps = &self.drafts.steps;
        let accounts: Vec<(DraftId, &Draft, &AccountAction)> = steps
            .iter()
            .enumerate()
            .filter_map(|(id, draft)| match &draft.action {
                Action::Account(action) => Some((id, draft, action)),
                _ => None,
            })
            .collect();
        // One file without a digest, or another whose digest each step changes: one after the other in any case.
        let mut line: Vec<_> = accounts
            .iter()
            .filter_map(|(id, draft, action)| {
                Some((stage(draft)?, rank(action), action.object(), *id))
            })
            .collect();
        line.sort();
        for pair in line.windows(2) {
            if let [(.., earlier), (.., later)] = pair {
                links.push((*later, *earlier));
            }
        }
        let (mut made, mut gone) = (BTreeMap::new(), BTreeMap::new());
        for (id, step) in steps.iter().enumerate().filter(|_| !accounts.is_empty()) {
            made.extend(made_at(&step.action).map(|path| (path, id)));
            gone.extend(gone_at(&step.action).map(|path| (path, id)));
        }
        for (id, _, action) in &accounts {
            match action {
                AccountAction::Grant { path, .. } => {
                    links.extend(made.get(path.as_str()).map(|made| (*id, *made)));
                }
                AccountAction::Revoke { path, .. } => {
                    links.extend(gone.get(path.as_str()).map(|gone| (*gone, *id)));
                }
                _ => {}
            }
        }
        links
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
