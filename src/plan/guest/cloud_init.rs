//! Cloud-init: its settings are read by the guest from a drive, which Proxmox VE makes anew at every start of the machine. While the
//! machine runs, the drive is made anew by a step of its own, so that it is not behind what the configuration says.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, DraftId, Phase, Planner};
use crate::ids::{GuestKind, Vmid};
use crate::proxmox::schema::{hotplugs, is_cloud_init};
use crate::world::views::cloud_init_drive;
use crate::world::{Action, Guest, Status};

/// When a changed setting reaches the guest.
pub(super) fn effect(guest: &Guest, stopped: bool) -> &'static str {
    if cloud_init_drive(&guest.config.next_start()).is_none() {
        return "stored; there is no cloud-init drive, so the guest is not told";
    }
    if stopped {
        return "at its next start: the cloud-init drive is made anew, with a new instance id, so cloud-init runs as in a new machine";
    }
    "at its next boot: the cloud-init drive is made anew, with a new instance id, so cloud-init runs as in a new machine"
}

impl Planner<'_, '_> {
    /// Adds the steps that make cloud-init drives of running machines anew, where other steps change what is on them.
    pub(in crate::plan) fn regenerate_drives(&mut self) {
        let mut changed: BTreeMap<Vmid, BTreeSet<DraftId>> = BTreeMap::new();
        for (id, draft) in self.drafts.steps.iter().enumerate() {
            if let Action::UpdateConfig {
                kind: GuestKind::Qemu,
                vmid,
                set,
                delete,
            } = &draft.action
                && set.keys().chain(delete).any(|key| is_cloud_init(key))
            {
                changed.entry(*vmid).or_default().insert(id);
            }
        }
        for (vmid, needs) in changed {
            let Some(guest) = self.input.world.guests.get(&vmid).cloned() else {
                continue;
            };
            if self.behind(&guest) {
                self.drafts.push(Draft {
                    title: format!("make the cloud-init drive of {} anew", guest.entity()),
                    action: Action::RegenerateCloudInit { vmid },
                    node: Some(guest.node.clone()),
                    phase: Phase::Guest,
                    needs,
                    notes: vec![
                        "the guest reads it when it boots; what runs is not touched. Should this step fail, the next start of the machine does it".to_owned(),
                    ],
                });
            }
        }
    }

    /// Whether a machine runs on with a drive that nothing else makes anew: no start, no `cloudinit` among what it hot-plugs.
    fn behind(&self, guest: &Guest) -> bool {
        let Some(drive) = cloud_init_drive(&guest.config.current) else {
            return false;
        };
        let hotplug = guest.config.current.get("hotplug");
        let by_itself = hotplug.is_some_and(|features| hotplugs(features, "cloudinit"));
        let mut steps = self.drafts.steps.iter().map(|draft| &draft.action);
        let otherwise = steps.any(|action| match action {
            Action::SetPower { vmid, .. }
            | Action::SetHaState { vmid, .. }
            | Action::DestroyGuest { vmid, .. } => *vmid == guest.vmid,
            Action::UpdateConfig {
                vmid, set, delete, ..
            } => *vmid == guest.vmid && (set.contains_key(&drive) || delete.contains(&drive)),
            _ => false,
        });
        guest.status == Status::Running && !by_itself && !otherwise
    }
}
