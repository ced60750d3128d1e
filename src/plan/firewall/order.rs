//! Which step of a firewall waits for which, beyond the order of phases: a new guest's firewall for the guest.

use super::super::draft::{DraftId, Planner};
use crate::world::Action;

impl Planner<'_, '_> {
    /// What steps of firewalls have to wait for.
    pub(in crate::plan) fn link_firewalls(&self) -> Vec<(DraftId, DraftId)> {
        let steps = || self.drafts.steps.iter().enumerate();
        let mut links = Vec::new();
        for (id, draft) in steps() {
            let Action::Firewall(action) = &draft.action else {
                continue;
            };
            let Some((_, vmid)) = action.guest() else {
                continue;
            };
            let made = steps().find(|(_, draft)| {
                matches!(&draft.action, Action::CreateGuest { vmid: made, .. } if *made == vmid)
            });
            links.extend(made.map(|(made, _)| (id, made)));
        }
        links
    }
}
