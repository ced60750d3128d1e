//! Taking back what was done to pools: members that the run added or took out, and the pools it made or removed.

use std::collections::BTreeSet;

use super::super::words::short;
use super::Back;
use crate::ids::{PoolId, StorageId, Vmid};
use crate::world::{Action, Pool};

impl Back<'_, '_, '_> {
    pub(super) fn pool_again(&mut self, id: &PoolId, comment: Option<String>) {
        let object = format!("pool/{id}");
        if self.planner.input.world.pools.contains_key(id) {
            return self.left(&format!("{object} was made by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", None, Some("pool"), "made again");
        self.push(
            format!("make {object} again"),
            Action::CreatePool {
                id: id.clone(),
                comment,
            },
            None,
        );
    }

    pub(super) fn pool_away(&mut self, id: &PoolId) {
        let object = format!("pool/{id}");
        let Some(pool) = self.planner.input.world.pools.get(id) else {
            return;
        };
        let ours = |vmid: &Vmid| {
            self.plan.steps.iter().any(|step| {
                self.done.contains(&step.id)
                    && match &step.action {
                        Action::CreateGuest { vmid: v, .. }
                        | Action::CloneGuest { vmid: v, .. }
                        | Action::RestoreGuest { vmid: v, .. } => v == vmid,
                        Action::UpdatePool {
                            id: p, guests_add, ..
                        } => p == id && guests_add.contains(vmid),
                        _ => false,
                    }
            })
        };
        if let Some(stranger) = pool.guests.iter().find(|vmid| !ours(vmid)) {
            return self.left(&format!(
                "{object} has a member that someone added since: guest {stranger}"
            ));
        }
        self.planner
            .drafts
            .change(&object, "(object)", Some("pool"), None, "removed again");
        self.push(
            format!("delete {object}"),
            Action::DeletePool { id: id.clone() },
            None,
        );
    }

    pub(super) fn members(&mut self, action: &Action) {
        let Action::UpdatePool {
            id,
            comment,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } = action
        else {
            return;
        };
        let object = format!("pool/{id}");
        let again = self.planner.drafts.steps.iter().any(
            |draft| matches!(&draft.action, Action::CreatePool { id: made, .. } if made == id),
        );
        let pool = match self.planner.input.world.pools.get(id) {
            Some(pool) => pool.as_ref().clone(),
            None if again => Pool::default(),
            None => return self.left(&format!("{object} is gone")),
        };
        let guests = &self.planner.input.world.guests;
        let guests_add: BTreeSet<Vmid> = guests_add
            .iter()
            .filter(|vmid| guests.contains_key(vmid) && !pool.guests.contains(vmid))
            .copied()
            .collect();
        let guests_remove: BTreeSet<Vmid> =
            guests_remove.intersection(&pool.guests).copied().collect();
        let storages = &self.planner.input.world.storages;
        let opened = &self.planner.drafts.opened;
        let storages_add: BTreeSet<StorageId> = storages_add
            .iter()
            .filter(|id| storages.contains_key(id) || opened.contains_key(id))
            .filter(|id| !pool.storages.contains(id))
            .cloned()
            .collect();
        let storages_remove: BTreeSet<StorageId> = storages_remove
            .intersection(&pool.storages)
            .cloned()
            .collect();
        let ours = match &self.step.action {
            Action::UpdatePool { id: p, comment, .. } if p == id => comment.clone(),
            _ => None,
        };
        let now = pool.comment.clone().unwrap_or_default();
        let comment = match (comment, ours) {
            (Some(old), Some(ours)) if now == ours && now != *old => Some(old.clone()),
            (Some(old), Some(ours)) if now != *old => {
                self.left(&format!(
                    "{object} comment was changed by someone since ({}, we left {})",
                    short(&now),
                    short(&ours)
                ));
                None
            }
            (Some(_) | None, _) => None,
        };
        let nothing = guests_add.is_empty()
            && guests_remove.is_empty()
            && storages_add.is_empty()
            && storages_remove.is_empty()
            && comment.is_none();
        if nothing {
            return;
        }
        for (members, before, after) in [
            (&guests_add, None, Some("member")),
            (&guests_remove, Some("member"), None),
        ] {
            for vmid in members {
                let field = format!("guests.{vmid}");
                self.planner
                    .drafts
                    .change(&object, &field, before, after, "set back");
            }
        }
        self.push(
            format!("set back the members of {object}"),
            Action::UpdatePool {
                id: id.clone(),
                comment,
                guests_add,
                guests_remove,
                storages_add,
                storages_remove,
            },
            None,
        );
    }
}
