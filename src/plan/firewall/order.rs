//! Which step of a firewall waits for which, beyond the order of phases: a new guest's firewall for the guest, and the datacenter's
//! firewall, with which all others go on, for everything else.

use super::super::draft::Phase;
use super::super::draft::{DraftId, Planner};
use crate::world::{Action, FirewallAction, Site};

impl Planner<'_, '_> {
    /// What steps of firewalls have to wait for.
    pub(in crate::plan) fn link_firewalls(&self) -> Vec<(DraftId, DraftId)> {
        let steps = || self.drafts.steps.iter().enumerate();
        let mut links = Vec::new();
        for (id, draft) in steps() {
            let Action::Firewall(action) = &draft.action else {
                continue;
            };
            if let FirewallAction::SetOptions {
                site: Site::Cluster,
                set,
                ..
            } = action
                && set.get("enable").is_some_and(|value| value != "0")
            {
                let others = steps().filter(|(other, draft)| {
                    *other != id
                        && draft.phase < Phase::FirewallLast
                        && matches!(draft.action, Action::Firewall(_))
                });
                links.extend(others.map(|(other, _)| (id, other)));
            }
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
