//! Taking a guest away: stopped first, then out of HA, then destroyed.

use std::collections::BTreeSet;

use super::super::draft::{Draft, DraftId, Phase, Planner};
use super::super::input::{Item, Owned};
use super::super::words::clean;
use crate::ids::Vmid;
use crate::world::{Action, Guest, Part, PowerAction, Selection, Status};

impl Planner<'_, '_> {
    /// A guest whose document is gone and said that it shall be deleted.
    pub(in crate::plan) fn guest_removed(&mut self, item: &Item, owned: &Owned, vmid: Vmid) {
        if !self.needs_part(item, &Part::Resources) {
            return;
        }
        let Some(guest) = self.input.world.guests.get(&vmid) else {
            self.drafts
                .notes
                .insert(format!("guest {vmid} is already gone"));
            return;
        };
        if !self.needs_part(item, &Part::GuestConfig(vmid)) || !self.same_birth(item, guest, owned)
        {
            return;
        }
        self.destroy(guest, None, &item.key);
    }

    /// Stops a guest if it runs, backs it up where the operator wants that, takes it out of HA, and destroys it. The last of the steps
    /// is returned. `document` is the one that problems are told of, if there is one.
    pub(in crate::plan) fn destroy(
        &mut self,
        guest: &Guest,
        after: Option<DraftId>,
        document: &str,
    ) -> DraftId {
        let object = guest.entity();
        let name = guest.name.as_deref().map(super::super::words::short);
        self.drafts.change(
            &object,
            "(object)",
            Some(name.as_deref().unwrap_or("guest")),
            None,
            "the guest is destroyed with its disks and snapshots",
        );
        let mut before: Option<DraftId> = after;
        let mut push = |planner: &mut Self, mut draft: Draft| {
            draft.needs.extend(before);
            before = Some(planner.drafts.push(draft));
            before
        };
        if guest.status == Status::Running || self.ha_state(guest.vmid) == Some("started") {
            let stop = self.power_step(guest, PowerAction::Stop, Phase::GuestLast);
            push(self, stop);
        }
        if let Some(copy) = self.safety_copy(guest, document) {
            push(self, copy);
        }
        if self.input.world.ha_resources.contains_key(&guest.vmid) {
            push(
                self,
                Draft {
                    title: format!("take {object} out of HA"),
                    action: Action::RemoveHaResource {
                        kind: guest.kind,
                        vmid: guest.vmid,
                    },
                    node: None,
                    phase: Phase::GuestLast,
                    needs: BTreeSet::new(),
                    notes: Vec::new(),
                },
            );
        }
        let named = self.named_by_jobs(guest.vmid);
        let purge = !named.is_empty();
        let mut notes = vec!["its firewall rules go with it".to_owned()];
        if purge {
            notes.push(format!(
                "what names it no longer does; a backup job that named only it is removed: {}",
                named.join(", ")
            ));
        }
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let destroy = Draft {
            title: format!("destroy {object}{name}"),
            action: Action::DestroyGuest {
                kind: guest.kind,
                vmid: guest.vmid,
                purge,
            },
            node: Some(guest.node.clone()),
            phase: Phase::GuestLast,
            needs: BTreeSet::new(),
            notes,
        };
        let mut destroy = destroy;
        destroy.needs.extend(before);
        self.drafts.push(destroy)
    }

    /// The jobs and HA rules that name a guest, so that destroying it has to purge it there.
    fn named_by_jobs(&self, vmid: Vmid) -> Vec<String> {
        let world = self.input.world;
        let backups = world
            .backup_jobs
            .iter()
            .filter(|(_, job)| match &job.selection {
                Selection::AllBut(guests) | Selection::Guests(guests) => guests.contains(&vmid),
                Selection::Pool(_) => false,
            })
            .map(|(id, _)| format!("backup job {id}"));
        let replications = world
            .replication_jobs
            .iter()
            .filter(|(_, job)| job.guest == vmid)
            .map(|(id, _)| format!("replication job {id}"));
        let rules = world
            .ha_rules
            .iter()
            .filter(|(_, rule)| rule.resources.contains(&vmid))
            .map(|(id, _)| format!("HA rule {id}"));
        backups
            .chain(replications)
            .chain(rules)
            .map(|named| clean(&named))
            .collect()
    }
}
