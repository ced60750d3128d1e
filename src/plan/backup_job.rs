//! Backup jobs: from a document to steps that make, change or remove one.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::Item;
use super::pool::Pools;
use super::values::{Decision, Secrets, decide};
use super::words::{difference, few};
use crate::document::desired::{DesiredBackupJob, Value, Wish};
use crate::health::selects;
use crate::ids::{BackupJobId, PoolId, StorageId, Vmid};
use crate::proxmox::property::{Domain, PropertyMap, is_true, split_list};
use crate::world::views::{same_job_option, with_storage};
use crate::world::{Action, BackupJob, Param, Params, Part, World, displaced};

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
    /// A backup job that shall be as a document says.
    pub(super) fn backup_job_present(
        &mut self,
        item: &Item,
        desired: &DesiredBackupJob,
        pools: &Pools,
    ) {
        if !self.needs_part(item, &Part::BackupJobs) {
            return;
        }
        let object = format!("backup-job/{}", desired.id);
        let live = self.input.world.backup_jobs.get(desired.id.as_str());
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let Some(live) = live else {
            return self.backup_job_new(item, desired, &object, pools);
        };
        let change = self.job_options(item, desired, Some(live), &object);
        self.job_references(item, &change.set, Some(live), pools);
        if change.told.is_empty() {
            return;
        }
        if live.options.contains_key("dumpdir") {
            let why = format!("{object} has a `dumpdir`, and such a job only root@pam may change");
            self.drafts.problem(&item.key, "", Reason::Refused { why });
            return;
        }
        let Change {
            mut set,
            delete,
            told,
        } = change;
        with_storage(&mut set, live.storage.as_deref());
        let title = format!("set {object} {}", few(&told));
        let action = Action::UpdateBackupJob {
            id: desired.id.clone(),
            set,
            delete,
        };
        let phase = if loses(self.input.world, desired.id.as_str(), live, &action) {
            Phase::JobLast
        } else {
            Phase::JobFirst
        };
        self.job_step(title, action, phase, Vec::new());
    }

    fn backup_job_new(
        &mut self,
        item: &Item,
        desired: &DesiredBackupJob,
        object: &str,
        pools: &Pools,
    ) {
        let sets = |key: &str| matches!(desired.options.get(key), Some(Wish::Set(_)));
        let missing = |planner: &mut Self, field: &str, what: &str| {
            let why = format!("there is no {object} yet, and the document does not say {what}");
            planner
                .drafts
                .problem(&item.key, field, Reason::Ambiguous { why });
        };
        let mut whole = true;
        for (key, what) in [
            ("schedule", "when it shall run"),
            ("storage", "where its backups shall go"),
        ] {
            if !sets(key) {
                missing(self, key, what);
                whole = false;
            }
        }
        let all = matches!(desired.options.get("all"), Some(Wish::Set(Value::Plain(all))) if is_true(all));
        if !(sets("vmid") || sets("pool") || all) {
            let what = "which guests it is for (`guests`, `pool` or `all`)";
            missing(self, "guests", what);
            whole = false;
        }
        if !whole {
            return;
        }
        self.drafts
            .change(object, "(object)", None, Some("made"), EFFECT);
        let change = self.job_options(item, desired, None, object);
        self.job_references(item, &change.set, None, pools);
        let action = Action::CreateBackupJob {
            id: desired.id.clone(),
            params: change.set,
        };
        self.job_step(
            format!("make {object}"),
            action,
            Phase::JobFirst,
            Vec::new(),
        );
    }

    /// The options that differ from what is there, and those that these take the place of.
    fn job_options(
        &mut self,
        item: &Item,
        desired: &DesiredBackupJob,
        live: Option<&BackupJob>,
        object: &str,
    ) -> Change {
        let mut change = Change::default();
        let nothing = BTreeMap::new();
        for (key, wish) in &desired.options {
            let before = live
                .and_then(|job| job.options.get(key))
                .map(String::as_str);
            let secrets = Secrets {
                now: &nothing,
                sent: None,
            };
            match decide(Domain::BackupJob, key, before, wish, secrets) {
                Ok(Decision::Same) => {}
                Ok(Decision::Set { param, shown }) => {
                    let implied = live.is_some() && same_job_option(key, before, Some(&shown));
                    if !implied {
                        self.drafts
                            .change(object, key, before, Some(&shown), EFFECT);
                        change.told.push(difference(key, before, Some(&shown)));
                        change.set.insert(key.clone(), param);
                    }
                }
                // What is shown although nobody set it is as if it were not there.
                Ok(Decision::Delete) if same_job_option(key, before, None) => {}
                Ok(Decision::Delete) => {
                    self.drafts.change(object, key, before, None, EFFECT);
                    change.told.push(difference(key, before, None));
                    change.delete.insert(key.clone());
                }
                Err(reason) => self.drafts.problem(&item.key, key, reason),
            }
        }
        let Some(live) = live else { return change };
        for key in displaced(&texts(&change.set)) {
            let before = live.options.get(*key).map(String::as_str);
            if before.is_some() && change.delete.insert((*key).to_owned()) {
                self.drafts.change(object, key, before, None, EFFECT);
                change.told.push(difference(key, before, None));
            }
        }
        self.exclude_counts(item, live, &change);
        change
    }

    /// `exclude` for a job that is not for all guests would do nothing, or something else.
    fn exclude_counts(&mut self, item: &Item, live: &BackupJob, change: &Change) {
        if !change.set.contains_key("exclude") {
            return;
        }
        let set = texts(&change.set);
        let all = set.get("all").or_else(|| {
            live.options
                .get("all")
                .filter(|_| !change.delete.contains("all"))
        });
        if !all.is_some_and(|all| is_true(all)) {
            let why = "`exclude` counts only for a job of all guests, and this one is not; write `all: true`".to_owned();
            self.drafts
                .problem(&item.key, "exclude", Reason::Ambiguous { why });
        }
    }

    /// What a job is about to name must be there, and be able to serve it.
    fn job_references(
        &mut self,
        item: &Item,
        set: &Params,
        live: Option<&BackupJob>,
        pools: &Pools,
    ) {
        let set = texts(set);
        if let Some(storage) = set.get("storage").and_then(|id| StorageId::new(id).ok())
            && self.storage_known(item, "storage", &storage)
            && let Some(will) = self.storage_will_be(&storage)
            && will
                .content
                .is_some_and(|content| !content.contains("backup"))
        {
            let reason = Reason::NoContent {
                storage: storage.to_string(),
                content: "backup".to_owned(),
            };
            self.drafts.problem(&item.key, "storage", reason);
        }
        let fleecing = set
            .get("fleecing")
            .and_then(|text| PropertyMap::parse(Domain::BackupJob, "fleecing", text).ok())
            .and_then(|fleecing| StorageId::new(fleecing.get("storage")?).ok());
        if let Some(storage) = fleecing {
            self.storage_known(item, "fleecing", &storage);
        }
        if let Some(pool) = set.get("pool").and_then(|id| PoolId::new(id).ok()) {
            self.job_pool(item, &pool, pools);
        }
        if let Some(node) = set.get("node")
            && !self
                .input
                .world
                .nodes
                .keys()
                .any(|known| known.as_str() == node)
        {
            let nodes = self.input.world.nodes.keys();
            let reason = Reason::NoSuch {
                what: "node",
                name: node.clone(),
                nearest: super::nearest(node, nodes.map(|node| node.as_str())),
            };
            self.drafts.problem(&item.key, "node", reason);
        }
        if let Some(guests) = set.get("vmid") {
            let named = |text: &str| -> BTreeSet<Vmid> {
                split_list(text)
                    .filter_map(|vmid| vmid.parse().ok())
                    .collect()
            };
            let before = live.and_then(|job| job.options.get("vmid"));
            let known = before.map(|text| named(text)).unwrap_or_default();
            self.job_guests(item, named(guests).difference(&known));
        }
    }

    fn job_pool(&mut self, item: &Item, pool: &PoolId, pools: &Pools) {
        let world = self.input.world;
        let reason = match world.unreadable(&Part::Pools) {
            Some(why) => Reason::Unreadable {
                what: Part::Pools.to_string(),
                why: why.to_owned(),
            },
            None if pools.deletes(pool) => Reason::Ambiguous {
                why: format!("pool/{pool} is deleted by this plan"),
            },
            None if world.pools.contains_key(pool) || pools.makes(pool) => return,
            None => Reason::NoSuch {
                what: "pool",
                name: pool.to_string(),
                nearest: super::nearest(pool.as_str(), world.pools.keys().map(PoolId::as_str)),
            },
        };
        self.drafts.problem(&item.key, "pool", reason);
    }

    fn job_guests<'v>(&mut self, item: &Item, added: impl Iterator<Item = &'v Vmid>) {
        for vmid in added {
            let destroyed = self.drafts.steps.iter().any(
                |draft| matches!(&draft.action, Action::DestroyGuest { vmid: v, .. } if v == vmid),
            );
            let reason = if destroyed {
                Reason::Ambiguous {
                    why: format!("guest {vmid} is destroyed by this plan"),
                }
            } else if self.input.world.guests.contains_key(vmid) || self.drafts.taken.contains(vmid)
            {
                continue;
            } else {
                Reason::NoSuch {
                    what: "guest",
                    name: vmid.to_string(),
                    nearest: String::new(),
                }
            };
            self.drafts.problem(&item.key, "vmid", reason);
        }
    }

    /// A backup job whose document is gone and said that it shall be deleted.
    pub(super) fn backup_job_removed(&mut self, item: &Item, id: &BackupJobId) {
        if !self.needs_part(item, &Part::BackupJobs) {
            return;
        }
        let object = format!("backup-job/{id}");
        if !self.input.world.backup_jobs.contains_key(id.as_str()) {
            self.drafts
                .notes
                .insert(format!("{object} is already gone"));
            return;
        }
        self.drafts.change(
            &object,
            "(object)",
            Some("backup job"),
            None,
            "the job is removed; the backups it made stay",
        );
        self.job_step(
            format!("delete {object}"),
            Action::DeleteBackupJob { id: id.clone() },
            Phase::JobLast,
            vec!["the backups it made stay where they are".to_owned()],
        );
    }

    fn job_step(&mut self, title: String, action: Action, phase: Phase, notes: Vec<String>) {
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

/// Parameters as text; a job has no secrets.
fn texts(params: &Params) -> BTreeMap<String, String> {
    let plain = params.iter().filter_map(|(key, param)| match param {
        Param::Plain(text) => Some((key.clone(), text.clone())),
        Param::Secret { .. } => None,
    });
    plain.collect()
}

/// Whether a change takes a guest out of a job, so that it comes after the steps by which others take the guest over.
fn loses(world: &World, id: &str, live: &BackupJob, action: &Action) -> bool {
    // What cannot be predicted here (a guest or pool is made first) only adds.
    let after = world.apply(action).ok();
    let after = after.as_ref().and_then(|after| after.backup_jobs.get(id));
    after.is_some_and(|after| {
        live.enabled
            && world.guests.values().any(|guest| {
                selects(world, live, guest) && !(after.enabled && selects(world, after, guest))
            })
    })
}
