//! Taking back what was done to backup jobs.

use std::collections::BTreeSet;

use super::super::words::few;
use super::Back;
use crate::ids::BackupJobId;
use crate::proxmox::property::Domain;
use crate::world::views::{same_job_option, with_storage};
use crate::world::{Action, BackupJob, Param, Params};

impl Back<'_, '_, '_> {
    fn live_job(&self, id: &BackupJobId) -> Option<BackupJob> {
        let jobs = &self.planner.input.world.backup_jobs;
        jobs.get(id.as_str()).map(|job| job.as_ref().clone())
    }

    pub(super) fn job_again(&mut self, id: &BackupJobId, params: &Params) {
        let object = format!("backup-job/{id}");
        if self.live_job(id).is_some() {
            return self.left(&format!("{object} was made by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", None, Some("backup job"), "made again");
        self.push(
            format!("make {object} again"),
            Action::CreateBackupJob {
                id: id.clone(),
                params: params.clone(),
            },
            None,
        );
    }

    pub(super) fn job(&mut self, id: &BackupJobId, set: &Params, delete: &BTreeSet<String>) {
        let object = format!("backup-job/{id}");
        let Some(live) = self.live_job(id) else {
            return self.left(&format!("{object} is gone"));
        };
        let Action::UpdateBackupJob { set: left, .. } = &self.step.action else {
            return;
        };
        let domain = Domain::BackupJob;
        let (mut set, delete, told) =
            self.still_ours(domain, &object, &live.options, set, delete, left);
        if told.is_empty() {
            return;
        }
        with_storage(&mut set, live.storage.as_deref());
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::UpdateBackupJob {
                id: id.clone(),
                set,
                delete,
            },
            None,
        );
    }

    pub(super) fn job_away(&mut self, id: &BackupJobId) {
        let object = format!("backup-job/{id}");
        let Some(live) = self.live_job(id) else {
            return;
        };
        let Action::CreateBackupJob { params, .. } = &self.step.action else {
            return;
        };
        let written = |key: &str| match params.get(key) {
            Some(Param::Plain(text)) => Some(text.as_str()),
            Some(Param::Secret { .. }) | None => None,
        };
        let changed = live
            .options
            .keys()
            .chain(params.keys())
            .filter(|key| !matches!(key.as_str(), "id" | "type"))
            .find(|key| {
                let now = live.options.get(*key).map(String::as_str);
                !same_job_option(key, now, written(key))
            });
        if let Some(key) = changed {
            return self.left(&format!("{object} {key} was changed by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some("backup job"),
            None,
            "the job is removed again",
        );
        self.push(
            format!("delete {object}"),
            Action::DeleteBackupJob { id: id.clone() },
            None,
        );
    }
}
