//! Rules of guests that name an interface which the guest does not have: Proxmox VE takes them, and they do nothing.

use super::super::draft::Planner;
use super::super::input::Wanted;
use super::super::rule_list::{self, Edit};
use super::rules::{Target, words};
use crate::document::desired::{Desired, Wish};
use crate::ids::Vmid;
use crate::world::Site;
use crate::world::firewall::Rule;

impl Planner<'_, '_> {
    /// Says that a rule which is written names an interface that is not there. `list` is the list right before.
    pub(super) fn interface_told(&mut self, target: &Target<'_>, edit: &Edit, list: &[Rule]) {
        let Site::Guest { vmid, .. } = &target.at.site else {
            return;
        };
        let after = rule_list::apply(list, edit);
        let written = match edit {
            Edit::Insert { .. } => after.first(),
            Edit::Update { position, .. } => after.get(*position),
            Edit::Move { .. } | Edit::Delete { .. } => None,
        };
        let Some(rule) = written else { return };
        let Some(interface) = rule.fields.get("iface").filter(|name| !name.is_empty()) else {
            return;
        };
        if !self.has_interface(*vmid, interface) {
            self.drafts.notes.insert(format!(
                "the rule `{}` of {} does nothing: guest {vmid} has no {interface}",
                words(&rule.fields),
                target.object
            ));
        }
    }

    /// Whether a guest has an interface, now, at its next start, or by a document of this plan.
    fn has_interface(&self, vmid: Vmid, interface: &str) -> bool {
        let live = self.input.world.guests.get(&vmid).is_some_and(|guest| {
            let config = &guest.config;
            config.current.contains_key(interface) || config.next_start().contains_key(interface)
        });
        live || self.input.items.iter().any(|item| match &item.wanted {
            Wanted::Present(Desired::Guest(guest)) => {
                let wish = guest.options.get(interface);
                guest.vmid == Some(vmid) && matches!(wish, Some(Wish::Set(_)))
            }
            Wanted::Present(_) | Wanted::Removed { .. } => false,
        })
    }
}
