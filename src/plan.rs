//! Plans: the pure function from documents, ownership and a world to an immutable, content-addressed set of ordered steps with
//! impacts and risk. No I/O, no clock, no randomness: the same inputs give the same bytes.
//!
//! Documents are compared with the world kind by kind (`guest`, `storage`, `image`, `pool`, `backup_job`, `snapshot`,
//! `replication_job`, `account`) and leave drafts of steps; `order` puts them in order; `finish` tries them on the world one after the other, and from that come preconditions (`guard`), inverses (`invert`) and
//! impacts (`impacts`). [`check()`] judges the result by rules of its own, [`undo()`] makes the plan that takes a run back, and
//! Documents are compared with the world kind by kind (`guest`, `storage`, `image`, `firewall`, `pool`, `backup_job`,
//! `snapshot`, `replication_job`) and leave drafts of steps; `order` puts them in order; `finish` tries them on the world one after the other, and from that come preconditions (`guard`), inverses (`invert`) and
//! impacts (`impacts`). [`rule_list`] makes edit scripts for lists of firewall rules. [`check()`] judges the result by rules of its own, [`undo()`] makes the plan that takes a run back, and
//! [`render`] shows plans.

mod account;
mod api_token;
mod backup_job;
pub mod check;
mod draft;
pub mod error;
mod finish;
mod firewall;
mod guard;
mod guest;
pub mod hash;
mod image;
mod impacts;
pub mod input;
mod invert;
pub mod model;
mod moving;
pub mod needs;
mod order;
mod pool;
mod privileges;
mod references;
pub mod render;
mod replication_job;
mod resolve;
pub mod rest;
pub mod risk;
pub mod rule_list;
mod safety_copies;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;
pub mod undo;
mod values;
mod version;
pub mod words;

pub use api_token::until as token_expires;
pub use check::{Finding, check};
pub use error::{PlanError, Problem, Reason};
pub use firewall::{firewalls_undone, firewalls_wanted, rule_words};
pub use guest::backups_wanted;
pub use hash::hash;
pub use image::{object_of as image_object, objects_of as image_objects};
pub use input::{
    ApiView, Backups, Item, Owned, Ownership, PlanInput, Restart, SafetyCopy, Settings, Wanted,
};
pub use model::*;
pub use moving::renamed;
pub use rest::unapproved;
pub use safety_copies::clean_up;
pub use undo::undo;

use crate::document::desired::Desired;
use draft::{Drafts, Planner};
use pool::Pools;

/// The plan that makes documents true.
///
/// # Errors
/// Every reason for which there is no plan, all at once: references to nothing, shrinking disks, objects of others, keys no token
/// may set, privileges the token lacks, …
pub fn make_plan(input: &PlanInput<'_>) -> Result<Plan, PlanError> {
    let mut planner = Planner {
        input,
        drafts: Drafts::default(),
    };
    planner.documents();
    planner.regenerate_drives();
    planner.copies_keep_their_storage();
    planner.link();
    finish::finish(input, planner.drafts)
}

impl Planner<'_, '_> {
    /// Goes through the documents: storages and images first, then guests, firewalls, pools, what is removed, jobs and snapshots, each in order of their
    /// keys, so that the order they were handed over in does not matter.
    fn documents(&mut self) {
        let mut items: Vec<&Item> = self.input.items.iter().collect();
        items.sort_by(|a, b| (&a.key, &a.source).cmp(&(&b.key, &b.source)));
        let mut pools = Pools::default();
        self.drafts.renamed = moving::renamed(&self.input.items, self.input.ownership);
        self.drafts.going = items
            .iter()
            .filter(|item| matches!(item.wanted, Wanted::Removed { delete: true }))
            .filter_map(|item| {
                let owner = self.input.ownership.of_document(&item.key, &item.source);
                owner.map(|(object, _)| object.to_owned())
            })
            .filter(|object| !self.drafts.renamed.contains_key(object))
            .collect();
        for item in &items {
            if let Wanted::Present(Desired::Storage(storage)) = &item.wanted {
                self.storage_present(item, storage);
            }
        }
        for item in &items {
            if let Wanted::Present(Desired::Image(image)) = &item.wanted {
                self.image_present(item, image);
            }
        }
        // What is cloned is looked at as the rest of the plan leaves it; what may be on any of several nodes is given one once the
        // others have theirs.
        for (cloned, anywhere) in [(false, false), (false, true), (true, false), (true, true)] {
            for item in &items {
                if let Wanted::Present(Desired::Guest(guest)) = &item.wanted
                    && guest.clone_from.is_some() == cloned
                    && guest.nodes.is_empty() != anywhere
                {
                    self.guest_present(item, guest, &mut pools);
                }
            }
        }
        self.firewalls_present(&items);
        for item in &items {
            if let Wanted::Present(Desired::Pool(pool)) = &item.wanted {
                self.pool_present(item, pool, &mut pools);
            }
        }
        self.accounts_present(&items);
        for item in &items {
            if let Wanted::Removed { delete } = &item.wanted {
                self.removed(item, *delete, &mut pools);
            }
        }
        for item in &items {
            if let Wanted::Present(Desired::BackupJob(job)) = &item.wanted {
                self.backup_job_present(item, job, &pools);
            }
        }
        for item in &items {
            if let Wanted::Present(Desired::Snapshot(snapshot)) = &item.wanted {
                self.snapshot_present(item, snapshot);
            }
            if let Wanted::Present(Desired::ReplicationJob(job)) = &item.wanted {
                self.replication_job_present(item, job);
            }
        }
        for item in &items {
            if let Wanted::Present(Desired::ApiToken(token)) = &item.wanted {
                self.api_token_present(item, token);
            }
        }
        self.rules_present(&items, &pools);
        self.pool_steps(pools);
        self.perhaps_renamed();
    }

    /// A document that is gone: its object is deleted if the document said so, and otherwise only no longer managed.
    fn removed(&mut self, item: &Item, delete: bool, pools: &mut Pools) {
        if self.leaves_to_another(item) {
            return;
        }
        let Some((object, owned)) = self.input.ownership.of_document(&item.key, &item.source)
        else {
            self.drafts.notes.insert(format!(
                "{} is gone and owned nothing; nothing happens",
                item.key
            ));
            return;
        };
        let (object, owned) = (object.to_owned(), owned.clone());
        if !self.claim(item, &object, true) {
            return;
        }
        if !delete {
            self.drafts.notes.insert(format!(
                "{object} is no longer managed by {}; nothing happens to it",
                item.key
            ));
            return;
        }
        if let Some(vmid) = owned.vmid {
            return self.guest_removed(item, &owned, vmid);
        }
        if let Some(id) = object
            .strip_prefix("storage/")
            .and_then(|id| crate::ids::StorageId::new(id).ok())
        {
            return self.storage_removed(item, &id);
        }
        if let Some(id) = object
            .strip_prefix("pool/")
            .and_then(|id| crate::ids::PoolId::new(id).ok())
        {
            return self.pool_removed(item, &id, pools);
        }
        if let Some(id) = object
            .strip_prefix("backup-job/")
            .and_then(|id| crate::ids::BackupJobId::new(id).ok())
        {
            return self.backup_job_removed(item, &id);
        }
        if let Some((node, volume)) = image::of_object(&object) {
            return self.image_removed(item, &owned, node, &volume);
        }
        if self.firewall_removed(item, &object) {
            return;
        }
        if let Some((vmid, name)) = snapshot::of_object(&object) {
            self.snapshot_removed(item, &owned, vmid, &name);
        }
        if let Some(id) = object
            .strip_prefix("token/")
            .and_then(|id| crate::ids::TokenId::new(id).ok())
        {
            return self.api_token_removed(item, &id);
        }
        if let Some(id) = object
            .strip_prefix("replication-job/")
            .and_then(|id| crate::ids::ReplicationJobId::new(id).ok())
        {
            return self.replication_job_removed(item, &id);
        }
        self.account_removed(item, &object);
    }
}

/// `; did you mean …?`, if a name is near.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    names
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, other)| format!("; did you mean `{other}`?"))
        .unwrap_or_default()
}
