//! Taking back what was done to replication jobs.

use std::collections::BTreeSet;

use super::super::words::few;
use super::Back;
use crate::ids::{NodeName, ReplicationJobId};
use crate::proxmox::property::Domain;
use crate::world::views::same_replication_option;
use crate::world::{Action, Param, Params, ReplicationJob};

impl Back<'_, '_, '_> {
    fn live_replication(&self, id: &ReplicationJobId) -> Option<ReplicationJob> {
        let jobs = &self.planner.input.world.replication_jobs;
        jobs.get(id.as_str()).map(|job| job.as_ref().clone())
    }

    pub(super) fn replicated_again(
        &mut self,
        id: &ReplicationJobId,
        target: &NodeName,
        params: &Params,
    ) {
        let object = format!("replication-job/{id}");
        match self.live_replication(id) {
            Some(job) if job.removing => {
                return self.left(&format!(
                    "{object} is still being removed; undo again once it is gone"
                ));
            }
            Some(_) => return self.left(&format!("{object} was made by someone since")),
            None => {}
        }
        // The guest must still be the one whose copy was removed.
        let guest = id.guest().and_then(|vmid| self.guest(vmid));
        let Some(guest) = guest else { return };
        if guest.node == *target {
            return self.left(&format!(
                "{object} copied {} to {target}, and there it is itself now",
                guest.entity()
            ));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            None,
            Some("replication job"),
            "made again; its first run copies everything",
        );
        self.push(
            format!("make {object} to {target} again"),
            Action::CreateReplicationJob {
                id: id.clone(),
                target: target.clone(),
                params: params.clone(),
            },
            None,
        );
    }

    pub(super) fn replication(
        &mut self,
        id: &ReplicationJobId,
        set: &Params,
        delete: &BTreeSet<String>,
    ) {
        let object = format!("replication-job/{id}");
        let Some(live) = self.live_replication(id).filter(|job| !job.removing) else {
            return self.left(&format!("{object} is gone or being removed"));
        };
        let Action::UpdateReplicationJob { set: left, .. } = &self.step.action else {
            return;
        };
        let domain = Domain::ReplicationJob;
        let (set, delete, told) =
            self.still_ours(domain, &object, &live.options, set, delete, left);
        if told.is_empty() {
            return;
        }
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::UpdateReplicationJob {
                id: id.clone(),
                set,
                delete,
            },
            None,
        );
    }

    pub(super) fn replication_away(&mut self, id: &ReplicationJobId) {
        let object = format!("replication-job/{id}");
        let Some(live) = self.live_replication(id).filter(|job| !job.removing) else {
            return;
        };
        let Action::CreateReplicationJob { params, .. } = &self.step.action else {
            return;
        };
        let written = |key: &str| match params.get(key) {
            Some(Param::Plain(text)) => Some(text.as_str()),
            Some(Param::Secret { .. }) | None => None,
        };
        let changed = live.options.keys().chain(params.keys()).find(|key| {
            let now = live.options.get(*key).map(String::as_str);
            !same_replication_option(key, now, written(key))
        });
        if let Some(key) = changed {
            return self.left(&format!("{object} {key} was changed by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some("replication job"),
            None,
            "the job is removed again, and its copy with it",
        );
        self.push(
            format!("delete {object}"),
            Action::DeleteReplicationJob { id: id.clone() },
            None,
        );
    }
}
