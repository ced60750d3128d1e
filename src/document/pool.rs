//! The kind `Pool`: a group of guests and storages that privileges are given on.

use std::collections::BTreeSet;

use super::desired::{DesiredPool, Wish};
use super::options::{Field, options};
use crate::ids::{PoolId, StorageId, Vmid};

options! {
    /// How a pool shall be. What is not written is not managed.
    pub struct PoolSpec {
        /// The pool's id, where it is not the document's name; parts joined by `/` are nested pools.
        id: Option<PoolId> = "poolid" by hand,
        /// The comment.
        comment: Field<String> = "comment" by hand,
        /// The exact set of member guests. A guest is in at most one pool; one that is in another pool is moved.
        guests: Option<BTreeSet<Vmid>> = "vms" by hand,
        /// The exact set of member storages.
        storages: Option<BTreeSet<StorageId>> = "storage" by hand,
    }
}

impl PoolSpec {
    /// What this asks for in Proxmox VE's words, for the pool of that id.
    pub fn desired(&self, id: PoolId) -> DesiredPool {
        DesiredPool {
            id,
            comment: self.comment.wish().map(|wish| match wish {
                Wish::Set(text) if text.is_empty() => Wish::Remove,
                wish => wish,
            }),
            guests: self.guests.clone(),
            storages: self.storages.clone(),
        }
    }
}
