//! Turning a guest into a template: a step of its own, after everything else that is asked for it, and one that nothing takes back.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::Work;
use crate::document::desired::DesiredGuest;
use crate::ids::{GuestKind, NodeName, Vmid};
use crate::world::{Action, Part, Status};

/// What the change does.
pub(super) const EFFECT: &str =
    "its volumes become base volumes; it never runs again and can only be cloned";

impl Planner<'_, '_> {
    /// The step that makes a guest the template it shall be, unless Proxmox VE would refuse that.
    pub(super) fn template(&mut self, work: &Work<'_>, desired: &DesiredGuest) -> Option<Draft> {
        let guest = work.guest;
        let wanted = desired.template?;
        if wanted == guest.template {
            return None;
        }
        let object = &work.object;
        if !wanted {
            let why = format!(
                "{object} is a template, and a template does not become a guest again; clone it (`cloneFrom`), or leave `isTemplate` out"
            );
            return self.no_template(work, Reason::Refused { why });
        }
        let snapshots = Part::GuestSnapshots(guest.vmid);
        if let Some(why) = self.input.world.unreadable(&snapshots) {
            let (what, why) = (snapshots.to_string(), why.to_owned());
            return self.no_template(work, Reason::Unreadable { what, why });
        }
        if let Some(name) = guest.config.snapshots.keys().next() {
            let why = format!(
                "{object} has snapshots (`{name}`), and Proxmox VE makes no template of a guest that has; delete them first"
            );
            return self.no_template(work, Reason::Refused { why });
        }
        match guest.status {
            Status::Unknown => {
                let what = format!("whether {object} runs");
                let why = format!("node {} does not say", guest.node);
                return self.no_template(work, Reason::Unreadable { what, why });
            }
            Status::Running if !work.stopped => {
                let why = format!(
                    "{object} runs, and a template never does; say that it shall be shut down (`powerState: stopped`)"
                );
                return self.no_template(work, Reason::Refused { why });
            }
            Status::Running | Status::Stopped => {}
        }
        self.drafts
            .change(object, "isTemplate", Some("false"), Some("true"), EFFECT);
        let node = desired.node.as_ref().unwrap_or(&guest.node);
        Some(conversion(guest.kind, guest.vmid, node))
    }

    fn no_template(&mut self, work: &Work<'_>, reason: Reason) -> Option<Draft> {
        self.drafts.problem(&work.item.key, "isTemplate", reason);
        None
    }
}

/// The step that turns a guest into a template.
pub(super) fn conversion(kind: GuestKind, vmid: Vmid, node: &NodeName) -> Draft {
    Draft {
        title: format!("turn {}/{vmid} into a template", kind.word()),
        action: Action::ConvertToTemplate { kind, vmid },
        node: Some(node.clone()),
        phase: Phase::Guest,
        needs: BTreeSet::new(),
        notes: Vec::new(),
    }
}
