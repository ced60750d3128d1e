//! The kind `Snapshot`: a point in time of a guest that can be gone back to.

use super::desired::{DesiredSnapshot, Wish};
use super::options::{Field, options};
use super::scalar::{Age, Description};
use crate::ids::{SnapshotName, Vmid};

options! {
    /// A snapshot that shall exist. It is taken once; a guest that changes afterwards does not make it another one.
    pub struct SnapshotSpec {
        /// The guest it is of. Always to be written.
        vmid: Option<Vmid> = "vmid" by hand,
        /// The snapshot's name, where it is not the document's name.
        name: Option<SnapshotName> = "snapname" by hand,
        /// The description.
        description: Field<Description> = "description" by hand,
        /// Whether the memory of a running virtual machine is saved too. Counts when the snapshot is taken and cannot change later.
        include_memory: Option<bool> = "vmstate" by hand,
        /// How long it is kept, from when it was taken: once it is older, a plan deletes it, and it is not taken again. Left out, it is
        /// kept until its document is removed.
        keep_for: Option<Age> = "" by hand,
    }
}

impl SnapshotSpec {
    /// What this asks for in Proxmox VE's words; `None` where the guest is not said.
    pub fn desired(&self, name: SnapshotName) -> Option<DesiredSnapshot> {
        Some(DesiredSnapshot {
            vmid: self.vmid?,
            name,
            description: self.description.wish().map(|wish| match wish {
                Wish::Set(text) if text.as_str().is_empty() => Wish::Remove,
                Wish::Set(text) => Wish::Set(text.as_str().to_owned()),
                Wish::Remove => Wish::Remove,
            }),
            memory: self.include_memory,
            keep_for: self.keep_for.as_ref().map(Age::seconds),
        })
    }
}
