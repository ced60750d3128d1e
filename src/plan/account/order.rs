//! Which steps on accounts come before which: what is named is made before it is named; everything is given before anything is taken;
//! what is taken goes before what it names.

use super::super::draft::{Draft, DraftId, Phase, Planner};
use crate::world::{AccountAction, Action};

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
        for (id, draft, action) in &accounts {
            for (other, earlier, before) in &accounts {
                let staged = matches!((stage(earlier), stage(draft)), (Some(a), Some(b)) if a < b);
                // Within the first stage: groups before the users in them.
                let member = match before {
                    AccountAction::CreateGroup { id, .. } => {
                        action.groups().is_some_and(|groups| groups.contains(id))
                    }
                    _ => false,
                };
                if staged || member {
                    links.push((*id, *other));
                }
            }
            if let AccountAction::Grant { path, .. } = action {
                let made = steps
                    .iter()
                    .enumerate()
                    .filter(|(_, step)| made_at(&step.action).as_deref() == Some(path.as_str()));
                links.extend(made.map(|(made, _)| (*id, made)));
            }
        }
        for (gone, step) in steps.iter().enumerate() {
            let Some(at) = gone_at(&step.action) else {
                continue;
            };
            let revoked = accounts.iter().filter(|(_, _, action)| {
                matches!(action, AccountAction::Revoke { path, .. } if path.as_str() == at)
            });
            links.extend(revoked.map(|(revoked, _, _)| (gone, *revoked)));
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
