//! What the token may see, again: when that changes, marks change at once and whatever was hidden or is hidden now is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::due::Reading;
use super::rotation::List;
use super::turn::Turn;
use crate::proxmox::ApiError;
use crate::world::model::{Completeness, Part};
use crate::world::observe::sight::{Permissions, Sight};

impl Turn<'_> {
    /// Takes in what was read of the token's privileges and of the access control list.
    pub(super) fn access(
        &mut self,
        read: Option<Permissions>,
        acl: Option<Result<Value, ApiError>>,
    ) {
        if read.is_none() && acl.is_none() {
            return;
        }
        let before = self.seen.sight.permissions();
        let was_read = read.is_some();
        let listed = read.unwrap_or_else(|| listed(&before));
        self.seen.sight = Sight::new(Arc::new(listed));
        match acl {
            Some(read) => {
                let known = std::mem::take(&mut self.seen.world.acl);
                self.seen.acl(read);
                if known == self.seen.world.acl {
                    self.seen.world.acl = known;
                }
            }
            None => {
                let acl = self.seen.world.acl.iter();
                self.seen
                    .sight
                    .note_acl_paths(acl.map(|entry| entry.path.as_str()));
            }
        }
        if was_read {
            self.seen.mark(Part::Permissions, Ok(()));
        }
        let now = self.seen.sight.permissions();
        if before == now {
            // The same, and so the same in memory.
            self.seen.sight = Sight::new(before);
        } else {
            self.consequences(&before, &now);
            self.mark_again();
        }
    }

    /// What may look otherwise with other privileges. Where it is not one object's, that is everything.
    fn consequences(&mut self, before: &Permissions, now: &Permissions) {
        let paths: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for path in paths {
            if before.get(path) == now.get(path) {
                continue;
            }
            let (was, is) = (held(before, path), held(now, path));
            let same = was.keys().eq(is.keys());
            match path.split('/').collect::<Vec<_>>().as_slice() {
                // Membership in a pool lists a path of its own for the member, with what it inherits anyway.
                ["", "vms" | "storage", _] if same => {}
                ["", "vms", vmid] => {
                    if let Ok(vmid) = vmid.parse() {
                        self.due.guest(vmid, self.now);
                    }
                }
                ["", "storage", id] => {
                    if let Ok(id) = id.parse() {
                        self.due.content(id, None, self.now);
                    }
                    self.due.lists.insert(List::Storages);
                    for node in self.before.world.nodes.keys() {
                        self.due.node(node, Reading::Storage);
                    }
                }
                ["", "pool", ..] => {
                    self.due.lists.insert(List::Pools);
                    if let Some(Ok(id)) = path.strip_prefix("/pool/").map(str::parse) {
                        self.due.pool(id, self.now);
                    }
                }
                _ if was == is => {}
                _ => self.due.everything = true,
            }
        }
    }

    /// Parts that were whole and are not, or were not and are, though nothing of them was read meanwhile: the former are marked at
    /// once, the latter when they have been read.
    fn mark_again(&mut self) {
        let mut other = Vec::new();
        for (part, completeness) in &self.seen.world.completeness {
            if self.seen.failed.contains_key(part) {
                continue;
            }
            let was = match completeness {
                Completeness::Complete { .. } => None,
                Completeness::Unreadable { why } => Some(why),
            };
            let is = self.seen.whole(part).err();
            if was != is.as_ref() {
                other.push((part.clone(), is));
            }
        }
        for (part, why) in other {
            self.due.part(&part, self.now);
            if let Some(why) = why {
                let unreadable = Completeness::Unreadable { why };
                self.seen.world.completeness.insert(part, unreadable);
            }
        }
    }
}

/// The privileges as Proxmox VE listed them, without the paths of the access control list that it left out.
fn listed(permissions: &Permissions) -> Permissions {
    permissions
        .iter()
        .filter(|(_, privileges)| !privileges.is_empty())
        .map(|(path, privileges)| (path.clone(), privileges.clone()))
        .collect()
}

/// What is held on a path: by its own entry, or inherited from the nearest ancestor that has one.
fn held<'a>(permissions: &'a Permissions, path: &str) -> BTreeMap<&'a str, bool> {
    let mut at = path;
    loop {
        if let Some(privileges) = permissions.get(at) {
            return privileges
                .iter()
                .filter(|(_, propagates)| at == path || **propagates)
                .map(|(privilege, propagates)| (privilege.as_str(), *propagates))
                .collect();
        }
        at = match at.rsplit_once('/') {
            Some(("", _)) if at != "/" => "/",
            Some((parent, _)) if !parent.is_empty() => parent,
            _ => return BTreeMap::new(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(entries: &[(&str, &[(&str, bool)])]) -> Permissions {
        entries
            .iter()
            .map(|(path, privileges)| {
                let privileges = privileges.iter().map(|(p, flag)| ((*p).to_owned(), *flag));
                ((*path).to_owned(), privileges.collect())
            })
            .collect()
    }

    #[test]
    fn privileges_are_held_by_the_nearest_entry() {
        let known = permissions(&[
            ("/", &[("VM.Audit", true), ("Sys.Audit", false)]),
            ("/vms/100", &[("VM.Backup", false)]),
            ("/vms/101", &[]),
        ]);
        assert_eq!(held(&known, "/vms/7"), [("VM.Audit", true)].into());
        assert_eq!(held(&known, "/vms/100"), [("VM.Backup", false)].into());
        assert_eq!(held(&known, "/vms/101"), BTreeMap::new());
        assert_eq!(held(&known, "/").len(), 2);
        assert_eq!(held(&permissions(&[]), "/vms"), BTreeMap::new());
        assert_eq!(listed(&known).len(), 2);
    }
}
