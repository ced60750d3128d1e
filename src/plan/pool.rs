//! Pools: from a document to steps that make, change or remove one, and the membership that guests' documents ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::Item;
use super::words::short;
use crate::document::desired::{DesiredPool, Wish};
use crate::ids::{PoolId, StorageId, Vmid};
use crate::world::{Action, Part};

/// What shall become of a pool's members and comment.
#[derive(Debug, Default)]
pub(super) struct Members {
    comment: Option<String>,
    guests_add: BTreeSet<Vmid>,
    guests_remove: BTreeSet<Vmid>,
    storages_add: BTreeSet<StorageId>,
    storages_remove: BTreeSet<StorageId>,
}

/// Everything this plan does to pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    update: BTreeMap<PoolId, Members>,
    make: BTreeMap<PoolId, Option<String>>,
    delete: BTreeSet<PoolId>,
    /// The exact members a pool's document asks for, with the document.
    exact: BTreeMap<PoolId, (String, BTreeSet<Vmid>)>,
    /// The pool a guest's document asks for, with the document.
    wanted: BTreeMap<Vmid, (String, Option<PoolId>)>,
    /// Guests that are made in a pool.
    born: BTreeMap<Vmid, PoolId>,
}

impl Pools {
    /// Whether the plan makes this pool.
    pub(super) fn makes(&self, id: &PoolId) -> bool {
        self.make.contains_key(id)
    }

    /// Whether the plan deletes this pool.
    pub(super) fn deletes(&self, id: &PoolId) -> bool {
        self.delete.contains(id)
    }
}

impl Planner<'_, '_> {
    /// A pool that shall be as a document says.
    pub(super) fn pool_present(&mut self, item: &Item, desired: &DesiredPool, pools: &mut Pools) {
        if !self.needs_part(item, &Part::Pools) {
            return;
        }
        let object = format!("pool/{}", desired.id);
        let live = self.input.world.pools.get(&desired.id);
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let comment = match &desired.comment {
            Some(Wish::Set(comment)) => Some(comment.clone()),
            Some(Wish::Remove) => Some(String::new()),
            None => None,
        };
        let now = live
            .and_then(|pool| pool.comment.clone())
            .unwrap_or_default();
        match live {
            None => {
                let comment = comment.filter(|comment| !comment.is_empty());
                self.drafts
                    .change(&object, "(object)", None, Some("made"), "at once");
                pools.make.insert(desired.id.clone(), comment);
            }
            Some(_) => {
                if let Some(comment) = comment
                    && comment.trim_end() != now.trim_end()
                {
                    let before = Some(now.as_str()).filter(|now| !now.is_empty());
                    let after = Some(comment.as_str()).filter(|after| !after.is_empty());
                    self.drafts
                        .change(&object, "comment", before, after, "at once");
                    pools.update.entry(desired.id.clone()).or_default().comment = Some(comment);
                }
            }
        }
        if let Some(guests) = &desired.guests {
            for vmid in guests {
                let live = self.input.world.guests.get(vmid);
                if let Some(object) = live.map(|guest| guest.entity())
                    && self.drafts.going.contains(&object)
                {
                    let why = format!("{object} is destroyed by this plan");
                    self.drafts
                        .problem(&item.key, "guests", Reason::Ambiguous { why });
                }
                if !self.input.world.guests.contains_key(vmid) && !self.drafts.taken.contains(vmid)
                {
                    self.drafts.problem(
                        &item.key,
                        "guests",
                        Reason::NoSuch {
                            what: "guest",
                            name: vmid.to_string(),
                            nearest: String::new(),
                        },
                    );
                }
            }
            pools
                .exact
                .insert(desired.id.clone(), (item.key.clone(), guests.clone()));
        }
        if let Some(storages) = &desired.storages {
            let now = live.map(|pool| pool.storages.clone()).unwrap_or_default();
            for storage in storages.difference(&now) {
                self.storage_known(item, "storages", storage);
            }
            let members = pools.update.entry(desired.id.clone()).or_default();
            members
                .storages_add
                .extend(storages.difference(&now).cloned());
            members
                .storages_remove
                .extend(now.difference(storages).cloned());
        }
    }

    /// A guest's document asks for a pool, or for none.
    pub(super) fn guest_pool(
        &mut self,
        item: &Item,
        vmid: Vmid,
        wish: &Wish<PoolId>,
        born: bool,
        pools: &mut Pools,
    ) {
        let pool = match wish {
            Wish::Set(pool) => Some(pool.clone()),
            Wish::Remove => None,
        };
        if let (true, Some(pool)) = (born, &pool) {
            pools.born.insert(vmid, pool.clone());
        }
        pools.wanted.insert(vmid, (item.key.clone(), pool));
    }

    /// A pool whose document is gone and said that it shall be deleted.
    pub(super) fn pool_removed(&mut self, item: &Item, id: &PoolId, pools: &mut Pools) {
        if !self.needs_part(item, &Part::Pools) {
            return;
        }
        let object = format!("pool/{id}");
        let Some(live) = self.input.world.pools.get(id) else {
            self.drafts
                .notes
                .insert(format!("{object} is already gone"));
            return;
        };
        self.drafts.change(
            &object,
            "(object)",
            Some("pool"),
            None,
            "the pool is removed; its members stay",
        );
        let members = pools.update.entry(id.clone()).or_default();
        members.guests_remove.extend(&live.guests);
        members
            .storages_remove
            .extend(live.storages.iter().cloned());
        pools.delete.insert(id.clone());
    }

    /// Turns what was gathered into steps. Guests that this plan destroys leave their pools by themselves.
    pub(super) fn pool_steps(&mut self, mut pools: Pools) {
        self.wishes_of_pools(&mut pools);
        self.wishes_of_guests(&mut pools);
        let destroyed: BTreeSet<Vmid> = self
            .drafts
            .steps
            .iter()
            .filter_map(|draft| match &draft.action {
                Action::DestroyGuest { vmid, .. } => Some(*vmid),
                _ => None,
            })
            .collect();
        let dropped: BTreeSet<StorageId> = self
            .drafts
            .steps
            .iter()
            .filter_map(|draft| match &draft.action {
                Action::DeleteStorage { id } => Some(id.clone()),
                _ => None,
            })
            .collect();
        let moved: BTreeSet<Vmid> = pools
            .update
            .values()
            .flat_map(|members| members.guests_add.iter().copied())
            .collect();
        for (id, comment) in std::mem::take(&mut pools.make) {
            self.drafts.push(Draft {
                title: format!("make pool/{id}"),
                action: Action::CreatePool { id, comment },
                node: None,
                phase: Phase::PoolFirst,
                needs: BTreeSet::new(),
                notes: Vec::new(),
            });
        }
        for (id, mut members) in std::mem::take(&mut pools.update) {
            members
                .guests_remove
                .retain(|vmid| !destroyed.contains(vmid) && !moved.contains(vmid));
            members.storages_remove.retain(|id| !dropped.contains(id));
            self.pool_update(id, members);
        }
        for id in pools.delete {
            self.drafts.push(Draft {
                title: format!("delete pool/{id}"),
                action: Action::DeletePool { id },
                node: None,
                phase: Phase::PoolLast,
                needs: BTreeSet::new(),
                notes: Vec::new(),
            });
        }
    }

    fn wishes_of_pools(&mut self, pools: &mut Pools) {
        for (id, (_, guests)) in &pools.exact {
            let object = format!("pool/{id}");
            let now = self
                .input
                .world
                .pools
                .get(id)
                .map(|pool| pool.guests.clone())
                .unwrap_or_default();
            let members = pools.update.entry(id.clone()).or_default();
            for vmid in guests.difference(&now) {
                self.drafts.change(
                    &object,
                    &format!("guests.{vmid}"),
                    None,
                    Some("member"),
                    "at once",
                );
                if pools.born.get(vmid) != Some(id) {
                    members.guests_add.insert(*vmid);
                }
            }
            for vmid in now.difference(guests) {
                self.drafts.change(
                    &object,
                    &format!("guests.{vmid}"),
                    Some("member"),
                    None,
                    "at once",
                );
                members.guests_remove.insert(*vmid);
            }
        }
    }

    fn wishes_of_guests(&mut self, pools: &mut Pools) {
        let wanted = pools.wanted.clone();
        for (vmid, (document, wish)) in wanted {
            if let Some(pool) = &wish {
                if !self.input.world.pools.contains_key(pool) && !pools.make.contains_key(pool) {
                    let nearest = super::nearest(
                        pool.as_str(),
                        self.input.world.pools.keys().map(PoolId::as_str),
                    );
                    let reason = Reason::NoSuch {
                        what: "pool",
                        name: pool.to_string(),
                        nearest,
                    };
                    self.drafts.problem(&document, "pool", reason);
                    continue;
                }
                if pools.delete.contains(pool) {
                    let why = format!("pool/{pool} is deleted by this plan");
                    self.drafts
                        .problem(&document, "pool", Reason::Ambiguous { why });
                    continue;
                }
            }
            let clash = pools.exact.iter().find(|(id, (_, guests))| {
                guests.contains(&vmid) != (wish.as_ref() == Some(*id))
                    && (guests.contains(&vmid) || wish.as_ref() == Some(*id))
            });
            if let Some((id, (other, _))) = clash {
                let why = format!(
                    "{document} and {other} disagree whether guest {vmid} is a member of pool/{id}"
                );
                self.drafts
                    .problem(&document, "pool", Reason::Ambiguous { why });
                continue;
            }
            if pools.born.contains_key(&vmid) {
                continue;
            }
            let guest = self.input.world.guests.get(&vmid);
            let now = guest.and_then(|guest| guest.pool.clone());
            if now == wish {
                continue;
            }
            let object = guest.map_or_else(|| format!("guest/{vmid}"), |guest| guest.entity());
            self.drafts.change(
                &object,
                "pool",
                now.as_ref().map(PoolId::as_str),
                wish.as_ref().map(PoolId::as_str),
                "at once",
            );
            match (wish, now) {
                (Some(pool), _) => {
                    pools
                        .update
                        .entry(pool)
                        .or_default()
                        .guests_add
                        .insert(vmid);
                }
                (None, Some(pool)) => {
                    pools
                        .update
                        .entry(pool)
                        .or_default()
                        .guests_remove
                        .insert(vmid);
                }
                (None, None) => {}
            }
        }
    }

    fn pool_update(&mut self, id: PoolId, members: Members) {
        let Members {
            comment,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } = members;
        let list = |guests: &BTreeSet<Vmid>, storages: &BTreeSet<StorageId>| -> Vec<String> {
            guests
                .iter()
                .map(Vmid::to_string)
                .chain(storages.iter().map(StorageId::to_string))
                .collect()
        };
        let object = format!("pool/{id}");
        for storage in &storages_add {
            let field = format!("storages.{storage}");
            self.drafts
                .change(&object, &field, None, Some("member"), "at once");
        }
        for storage in &storages_remove {
            let field = format!("storages.{storage}");
            self.drafts
                .change(&object, &field, Some("member"), None, "at once");
        }
        // Members come and go by different calls, and a step is one call.
        let mut told = Vec::new();
        if let Some(comment) = &comment {
            told.push(format!("comment → `{}`", short(comment)));
        }
        let added = list(&guests_add, &storages_add);
        if !added.is_empty() {
            told.push(format!("+ {}", super::words::few(&added)));
        }
        let mut step = |title: String, action: Action| {
            self.drafts.push(Draft {
                title,
                action,
                node: None,
                phase: Phase::Members,
                needs: BTreeSet::new(),
                notes: Vec::new(),
            });
        };
        if !told.is_empty() {
            let action = Action::UpdatePool {
                id: id.clone(),
                comment,
                guests_add,
                guests_remove: BTreeSet::new(),
                storages_add,
                storages_remove: BTreeSet::new(),
            };
            step(format!("set {object} {}", told.join(", ")), action);
        }
        let removed = list(&guests_remove, &storages_remove);
        if !removed.is_empty() {
            let title = format!("set {object} − {}", super::words::few(&removed));
            let action = Action::UpdatePool {
                id,
                comment: None,
                guests_add: BTreeSet::new(),
                guests_remove,
                storages_add: BTreeSet::new(),
                storages_remove,
            };
            step(title, action);
        }
    }
}
