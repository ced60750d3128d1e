//! Replication jobs: from a document to steps that make, change or remove one.
//!
//! A job's target never changes: to Proxmox VE another target is another job, and deleting one takes its copy along. So a document
//! whose target is another one than its job's is refused with what to write instead, and no copy is lost by a changed line.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::Item;
use super::values::{Decision, Secrets, decide};
use super::words::{difference, few};
use crate::document::desired::DesiredReplicationJob;
use crate::ids::{NodeName, ReplicationJobId, Vmid};
use crate::proxmox::property::Domain;
use crate::world::views::same_replication_option;
use crate::world::{Action, Params, Part, ReplicationJob};

/// When a changed job does anything else than before.
const EFFECT: &str = "from its next run on";

/// What a job's document comes to.
#[derive(Debug, Default)]
struct Change {
    set: Params,
    delete: BTreeSet<String>,
    told: Vec<String>,
}

impl Planner<'_, '_> {
    /// A replication job that shall be as a document says.
    pub(super) fn replication_job_present(&mut self, item: &Item, desired: &DesiredReplicationJob) {
        for part in [Part::ReplicationJobs, Part::Resources] {
            if !self.needs_part(item, &part) {
                return;
            }
        }
        let object = format!("replication-job/{}", desired.id);
        let live = self.input.world.replication_jobs.get(desired.id.as_str());
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let Some(live) = live.cloned() else {
            return self.replication_job_new(item, desired, &object);
        };
        if live.removing {
            let why = format!(
                "{object} is marked for removal and gone after the next run on its guest's node; plan again then, and it is made anew"
            );
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        if !self.same_target(item, desired, &live, &object) {
            return;
        }
        let Change { set, delete, told } =
            self.replication_options(item, desired, Some(&live), &object);
        if told.is_empty() {
            return;
        }
        let action = Action::UpdateReplicationJob {
            id: desired.id.clone(),
            set,
            delete,
        };
        let after = self.input.world.apply(&action).ok();
        let after = after
            .as_ref()
            .and_then(|w| w.replication_jobs.get(desired.id.as_str()));
        let stops = after.is_some_and(|after| after.disabled && !live.disabled);
        let phase = if stops {
            Phase::JobLast
        } else {
            Phase::JobFirst
        };
        let title = format!("set {object} {}", few(&told));
        self.replication_step(title, action, phase, Vec::new());
    }

    /// Whether a job has the target its document says, or had it until its guest went there.
    fn same_target(
        &mut self,
        item: &Item,
        desired: &DesiredReplicationJob,
        live: &ReplicationJob,
        object: &str,
    ) -> bool {
        let Some(wanted) = desired.target.as_ref().filter(|to| **to != live.target) else {
            return true;
        };
        let guest = self.input.world.guests.get(&live.guest);
        if let Some(guest) = guest.filter(|guest| guest.node == *wanted) {
            self.drafts.notes.insert(format!(
                "{object} has turned round: {} is on {wanted} now and is copied to {}",
                guest.entity(),
                live.target
            ));
            return true;
        }
        let next = self.free_number(live.guest);
        let why = format!(
            "{object} copies to {}, and a job's target cannot be changed: to copy to {wanted}, write another document with `id: {next}`; to have the copy on {} removed, remove this one with the annotation `bailiwick.dev/deletion: delete`",
            live.target, live.target
        );
        self.drafts
            .problem(&item.key, "target", Reason::Refused { why });
        false
    }

    /// An id that no job of a guest has.
    fn free_number(&self, guest: Vmid) -> String {
        let jobs = &self.input.world.replication_jobs;
        let mut ids = (0_u32..).map(|number| format!("{guest}-{number}"));
        ids.find(|id| !jobs.contains_key(id)).unwrap_or_default()
    }

    fn replication_job_new(&mut self, item: &Item, desired: &DesiredReplicationJob, object: &str) {
        let Some(target) = &desired.target else {
            let why = format!(
                "there is no {object} yet, and the document does not say to which `target` it shall copy"
            );
            return self
                .drafts
                .problem(&item.key, "target", Reason::Ambiguous { why });
        };
        let known = self.replication_node(item, target);
        let guest = desired.id.guest();
        if !(known && guest.is_some_and(|guest| self.replication_guest(item, guest))) {
            return;
        }
        let said = format!("made, to {target}");
        self.drafts
            .change(object, "(object)", None, Some(&said), EFFECT);
        let change = self.replication_options(item, desired, None, object);
        let action = Action::CreateReplicationJob {
            id: desired.id.clone(),
            target: target.clone(),
            params: change.set,
        };
        self.replication_step(
            format!("make {object} to {target}"),
            action,
            Phase::JobFirst,
            vec!["its first run copies every disk whole".to_owned()],
        );
    }

    fn replication_node(&mut self, item: &Item, target: &NodeName) -> bool {
        let nodes = &self.input.world.nodes;
        if nodes.contains_key(target) {
            return true;
        }
        let reason = Reason::NoSuch {
            what: "node",
            name: target.to_string(),
            nearest: super::nearest(target.as_str(), nodes.keys().map(|node| node.as_str())),
        };
        self.drafts.problem(&item.key, "target", reason);
        false
    }

    /// Whether the guest of a new job is there, with what is to be known of it, or is made by this plan.
    fn replication_guest(&mut self, item: &Item, guest: Vmid) -> bool {
        let destroyed = self.drafts.steps.iter().any(
            |draft| matches!(&draft.action, Action::DestroyGuest { vmid, .. } if *vmid == guest),
        );
        let reason = if destroyed {
            Reason::Ambiguous {
                why: format!("guest {guest} is destroyed by this plan"),
            }
        } else if self.input.world.guests.contains_key(&guest) {
            return self.needs_part(item, &Part::GuestConfig(guest))
                && self.needs_part(item, &Part::Storages);
        } else if self.drafts.taken.contains(&guest) {
            return self.needs_part(item, &Part::Storages);
        } else {
            Reason::NoSuch {
                what: "guest",
                name: guest.to_string(),
                nearest: String::new(),
            }
        };
        self.drafts.problem(&item.key, "guest", reason);
        false
    }

    /// The options that differ from what is there.
    fn replication_options(
        &mut self,
        item: &Item,
        desired: &DesiredReplicationJob,
        live: Option<&ReplicationJob>,
        object: &str,
    ) -> Change {
        let mut change = Change::default();
        let nothing = BTreeMap::new();
        for (key, wish) in &desired.options {
            let before = live.and_then(|job| job.options.get(key));
            let before = before.map(String::as_str);
            let secrets = Secrets {
                now: &nothing,
                sent: None,
            };
            match decide(Domain::ReplicationJob, key, before, wish, secrets) {
                Ok(Decision::Same) => {}
                Ok(Decision::Set { param, shown }) => {
                    if !same_replication_option(key, before, Some(&shown)) {
                        self.drafts
                            .change(object, key, before, Some(&shown), EFFECT);
                        change.told.push(difference(key, before, Some(&shown)));
                        change.set.insert(key.clone(), param);
                    }
                }
                // What is shown although nobody set it is as if it were not there.
                Ok(Decision::Delete) if same_replication_option(key, before, None) => {}
                Ok(Decision::Delete) => {
                    self.drafts.change(object, key, before, None, EFFECT);
                    change.told.push(difference(key, before, None));
                    change.delete.insert(key.clone());
                }
                Err(reason) => self.drafts.problem(&item.key, key, reason),
            }
        }
        change
    }

    /// A replication job whose document is gone and said that it shall be deleted.
    pub(super) fn replication_job_removed(&mut self, item: &Item, id: &ReplicationJobId) {
        if !self.needs_part(item, &Part::ReplicationJobs) {
            return;
        }
        let object = format!("replication-job/{id}");
        let target = match self.input.world.replication_jobs.get(id.as_str()) {
            None => {
                let note = format!("{object} is already gone");
                self.drafts.notes.insert(note);
                return;
            }
            Some(job) if job.removing => {
                let note = format!("{object} is already being removed");
                self.drafts.notes.insert(note);
                return;
            }
            Some(job) => job.target.clone(),
        };
        // A guest that is destroyed takes its jobs along.
        let purged = self.drafts.steps.iter().any(|draft| {
            matches!(&draft.action, Action::DestroyGuest { vmid, purge: true, .. } if Some(*vmid) == id.guest())
        });
        if purged {
            let note = format!("{object} goes with its guest");
            self.drafts.notes.insert(note);
            return;
        }
        self.drafts.change(
            &object,
            "(object)",
            Some("replication job"),
            None,
            "the job is marked, and its next run removes it and the copy",
        );
        self.replication_step(
            format!("delete {object} and its copy on {target}"),
            Action::DeleteReplicationJob { id: id.clone() },
            Phase::JobLast,
            vec![
                "Proxmox VE marks the job; the next run on the guest's node removes the copy and then the job"
                    .to_owned(),
            ],
        );
    }

    fn replication_step(
        &mut self,
        title: String,
        action: Action,
        phase: Phase,
        notes: Vec<String>,
    ) {
        self.drafts.push(Draft {
            title,
            action,
            node: None,
            phase,
            needs: BTreeSet::new(),
            notes,
        });
    }
}
