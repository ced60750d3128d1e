//! The kind `Group`: users that are given privileges together.

use super::desired::{DesiredGroup, Wish};
use super::options::{Field, options};
use crate::ids::GroupId;

options! {
    /// How a group shall be. Who is in it is said by the documents of the users (`User`, `spec.groups`). When the document is removed with
    /// `bailiwick.dev/deletion: delete`, the access rules of the group go with it.
    pub struct GroupSpec {
        /// The group's id, where it is not the document's name.
        id: Option<GroupId> = "groupid" by hand,
        /// The comment.
        comment: Field<String> = "comment" by hand,
    }
}

impl GroupSpec {
    /// What this asks for in Proxmox VE's words, for the group of that id.
    pub fn desired(&self, id: GroupId) -> DesiredGroup {
        DesiredGroup {
            id,
            comment: self.comment.wish().map(|wish| match wish {
                Wish::Set(text) if text.is_empty() => Wish::Remove,
                wish => wish,
            }),
        }
    }
}
