//! Objects whose owner changes: taken over because a document says from whom (`bailiwick.dev/take-over`), or moved along because
//! their document only got another name. Ownership alone is looked at here, never the world: moving it writes nothing to a cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Planner;
use super::error::Reason;
use super::input::{Item, Owned, Ownership, Wanted};
use super::model::{DocumentRef, FormerOwner};
use super::{image, snapshot};
use crate::document::desired::{Desired, DesiredGuest};
use crate::ids::Vmid;

impl Owned {
    /// Whether this document of this source owns it.
    pub fn is_of(&self, document: &str, source: &str) -> bool {
        self.document == document && self.source == source
    }

    /// Whether a take-over names this owner: by its source, or by its source and its document (`git:infra/VirtualMachine/web-7`).
    pub fn is_named(&self, named: &str) -> bool {
        named == self.source
            || named
                .strip_prefix(self.source.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                == Some(self.document.as_str())
    }

    /// This owner, for the one that comes after it.
    pub(super) fn as_former(&self) -> FormerOwner {
        FormerOwner {
            document: self.document.clone(),
            source: self.source.clone(),
            hash: self.hash.clone(),
        }
    }
}

impl Ownership {
    /// The object that was taken from a document which still stands in its source, with who owns it now.
    pub fn taken_from(&self, key: &str, source: &str) -> Option<(&str, &Owned)> {
        self.objects
            .iter()
            .find(|(_, owned)| owned.taken_from.iter().any(|former| former.is(key, source)))
            .map(|(object, owned)| (object.as_str(), owned))
    }
}

/// The objects whose document is gone while another one of the same source is about them, by object: the key of the other document.
/// Such a document only got another name, so nothing happens to the object, whatever the one that is gone said of its deletion.
pub fn renamed(items: &[Item], ownership: &Ownership) -> BTreeMap<String, String> {
    let gone: BTreeSet<(&str, &str)> = items
        .iter()
        .filter(|item| matches!(item.wanted, Wanted::Removed { .. }))
        .map(|item| (item.key.as_str(), item.source.as_str()))
        .collect();
    let mut moved = BTreeMap::new();
    if gone.is_empty() {
        return moved;
    }
    for (object, owned) in &ownership.objects {
        if !gone.contains(&(owned.document.as_str(), owned.source.as_str())) {
            continue;
        }
        let other = items.iter().find(|item| match &item.wanted {
            Wanted::Present(desired) => {
                owned.source == item.source && is_about(item, desired, object, owned)
            }
            Wanted::Removed { .. } => false,
        });
        if let Some(other) = other {
            moved.insert(object.clone(), other.key.clone());
        }
    }
    moved
}

/// Whether a document is about an object that another one owns, as far as the document alone tells.
fn is_about(item: &Item, desired: &Desired, object: &str, owned: &Owned) -> bool {
    match desired {
        Desired::Guest(guest) => match guest.vmid {
            Some(vmid) => object == guest_object(guest, vmid),
            None => takes(item, guest, object, owned),
        },
        Desired::Storage(storage) => object == format!("storage/{}", storage.id),
        Desired::Pool(pool) => object == format!("pool/{}", pool.id),
        Desired::BackupJob(job) => object == format!("backup-job/{}", job.id),
        Desired::Snapshot(of) => object == snapshot::object_of(of.vmid, &of.name),
        Desired::ReplicationJob(job) => object == format!("replication-job/{}", job.id),
        Desired::Account(account) => object == account.object(),
        Desired::ApiToken(token) => object == format!("token/{}", token.id),
        Desired::FirewallAlias(_)
        | Desired::IpSet(_)
        | Desired::SecurityGroup(_)
        | Desired::Firewall(_) => {
            super::firewall::object_of_desired(desired).is_some_and(|own| object == own)
        }
        Desired::Image(wanted) => image::of_object(object).is_some_and(|(node, volume)| {
            let elsewhere = matches!((&node, &wanted.node), (Some(is), Some(named)) if is != named);
            volume == wanted.volume && !elsewhere
        }),
    }
}

fn guest_object(guest: &DesiredGuest, vmid: Vmid) -> String {
    format!("{}/{vmid}", guest.kind.word())
}

/// Whether the take-over of a guest's document without `vmid` means this object: its owner is named whole, or has the same name.
fn takes(item: &Item, guest: &DesiredGuest, object: &str, owned: &Owned) -> bool {
    let kind = object.strip_prefix(guest.kind.word());
    item.take_over.as_deref().is_some_and(|named| {
        kind.is_some_and(|rest| rest.starts_with('/'))
            && owned.is_named(named)
            && (named != owned.source || owned.document == item.key)
    })
}

impl Planner<'_, '_> {
    /// Who a document has an object from: `None` if it is its own or nobody's.
    ///
    /// # Errors
    /// Another document owns it, and nothing says that it shall not any more.
    pub(super) fn former_owner(
        &self,
        item: &Item,
        object: &str,
    ) -> Result<Option<FormerOwner>, Reason> {
        let ownership = self.input.ownership;
        let owner = ownership.objects.get(object);
        if owner.is_some_and(|owner| owner.is_of(&item.key, &item.source)) {
            return Ok(None);
        }
        let named = item.take_over.as_deref();
        let Some(owner) = owner else {
            return match named {
                Some(named) => Err(Reason::NotTheOwner {
                    object: object.to_owned(),
                    named: named.to_owned(),
                    owner: "nobody".to_owned(),
                }),
                None => self.not_lost(item).map(|()| None),
            };
        };
        if let Some(named) = named {
            if !owner.is_named(named) {
                return Err(Reason::NotTheOwner {
                    object: object.to_owned(),
                    named: named.to_owned(),
                    owner: format!("{} of {}", owner.document, owner.source),
                });
            }
            // A document has one source: with its name comes the object that it owned there, and no other.
            let namesake = ownership.of_document(&item.key, &owner.source);
            if owner.source != item.source
                && let Some((other, _)) = namesake.filter(|(other, _)| *other != object)
            {
                let why = format!(
                    "{} of {} owns {other}, which this document would leave behind: take {other} over, or give the document another name",
                    item.key, owner.source
                );
                return Err(Reason::Refused { why });
            }
            return Ok(Some(owner.as_former()));
        }
        if self.drafts.renamed.get(object) == Some(&item.key) {
            return Ok(Some(owner.as_former()));
        }
        Err(Reason::OwnedByAnother {
            object: object.to_owned(),
            owner: owner.document.clone(),
            owner_source: owner.source.clone(),
            document: item.key.clone(),
            source_here: item.source.clone(),
        })
    }

    /// A document whose object was taken over makes no other one in its place.
    fn not_lost(&self, item: &Item) -> Result<(), Reason> {
        match self.input.ownership.taken_from(&item.key, &item.source) {
            None => Ok(()),
            Some((object, owner)) => Err(Reason::TakenOver {
                object: object.to_owned(),
                owner: owner.document.clone(),
                owner_source: owner.source.clone(),
            }),
        }
    }

    /// Says that an object changes its owner.
    pub(super) fn note_move(&mut self, item: &Item, object: &str, former: &FormerOwner) {
        let gone = self.drafts.renamed.get(object) == Some(&item.key);
        let note = if gone {
            format!(
                "{object} was owned by {}, which is gone, and is owned by {} from now on; that alone does nothing to it",
                former.document, item.key
            )
        } else {
            format!(
                "{object} is owned by {} of {} now, and by {} of {} once this plan has run; what the former document says counts no longer, so remove it there",
                former.document, former.source, item.key, item.source
            )
        };
        self.drafts.notes.insert(note);
    }

    /// The guest that a document without `vmid` takes over; a problem if it names an owner of none.
    pub(super) fn taken_guest(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
    ) -> Result<Option<Vmid>, ()> {
        let Some(named) = &item.take_over else {
            return Ok(None);
        };
        let objects = &self.input.ownership.objects;
        let found = objects
            .iter()
            .filter(|(object, owned)| takes(item, desired, object, owned))
            .find_map(|(_, owned)| owned.vmid);
        if found.is_none() {
            let why = format!(
                "`{named}` owns no guest that this document could mean: write its `vmid`, or name source and document as in `git:infra/{}`",
                item.key
            );
            self.drafts
                .problem(&item.key, "", Reason::Ambiguous { why });
            return Err(());
        }
        Ok(found)
    }

    /// A document that is gone and whose object is another document's: nothing happens to the object. `false` if it is its own.
    pub(super) fn leaves_to_another(&mut self, item: &Item) -> bool {
        let ownership = self.input.ownership;
        let object = match ownership.of_document(&item.key, &item.source) {
            Some((object, _)) if self.drafts.renamed.contains_key(object) => object.to_owned(),
            Some(_) => return false,
            None => {
                let Some((object, owner)) = ownership.taken_from(&item.key, &item.source) else {
                    return false;
                };
                self.drafts.notes.insert(format!(
                    "{} is gone; {object} is owned by {} of {}, which took it over, so nothing happens to it",
                    item.key, owner.document, owner.source
                ));
                object.to_owned()
            }
        };
        self.drafts.documents.push(DocumentRef {
            key: item.key.clone(),
            source: item.source.clone(),
            hash: None,
            object,
            adopts: false,
            former_owner: None,
            instead_of: None,
        });
        true
    }

    /// Documents of guests that are gone beside new ones of the same source that name no VMID: nothing says whether one of them is
    /// meant to be the other under another name, so the plan says how to write it.
    pub(super) fn perhaps_renamed(&mut self) {
        let kind = |key: &str| key.split_once('/').map(|(kind, _)| kind.to_owned());
        let mut notes = Vec::new();
        for gone in &self.input.items {
            let owned = self.input.ownership.of_document(&gone.key, &gone.source);
            let Some((object, owned)) = owned else {
                continue;
            };
            if !matches!(gone.wanted, Wanted::Removed { .. })
                || owned.vmid.is_none()
                || self.drafts.renamed.contains_key(object)
            {
                continue;
            }
            let new = self.input.items.iter().find(|item| {
                matches!(&item.wanted, Wanted::Present(Desired::Guest(guest)) if guest.vmid.is_none())
                    && item.source == gone.source
                    && kind(&item.key) == kind(&gone.key)
                    && self.input.ownership.of_document(&item.key, &item.source).is_none()
            });
            if let (Some(new), Some(vmid)) = (new, owned.vmid) {
                notes.push(format!(
                    "{} is gone and {} is new: if it is the same guest under another name, write `vmid: {vmid}` into the new document, and it stays",
                    gone.key, new.key
                ));
            }
        }
        self.drafts.notes.extend(notes);
    }
}
