//! Which live object a document is about: the one it owns, the one it names, or one to be made. Here too: who may own it, and which
//! VMIDs are free.

use std::collections::BTreeSet;

use super::draft::Planner;
use super::error::Reason;
use super::input::{Item, Owned};
use super::model::DocumentRef;
use crate::document::desired::{Desired, DesiredGuest};
use crate::ids::{GuestKind, Vmid};
use crate::world::{Guest, Part, Selection};

/// The guest a document is about.
pub(super) enum Target<'a> {
    /// It exists.
    Existing(&'a Guest),
    /// It is to be made.
    New(Vmid),
}

/// What kind of guest, in words.
pub(super) fn kind_word(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "virtual machine",
        GuestKind::Lxc => "container",
    }
}

impl<'a> Planner<'a, '_> {
    /// Records that a document is about an object; `false` if another document already is, or another owner stands in the way.
    pub(super) fn claim(&mut self, item: &Item, object: &str, exists: bool) -> bool {
        let former_owner = match self.former_owner(item, object) {
            Ok(former) => former,
            Err(reason) => {
                self.drafts.problem(&item.key, "", reason);
                return false;
            }
        };
        // A document that is gone leaves its object to the one that is about it now.
        if let Some(other) = self
            .drafts
            .documents
            .iter()
            .find(|document| document.object == object && document.hash.is_some())
        {
            let other = other.key.clone();
            let object = object.to_owned();
            self.drafts
                .problem(&item.key, "", Reason::Twice { object, other });
            return false;
        }
        if let Some(former) = &former_owner {
            self.note_move(item, object, former);
        }
        let owned = self.input.ownership.objects.contains_key(object);
        let former = self
            .input
            .ownership
            .of_document(&item.key, &item.source)
            .filter(|(former, _)| *former != object);
        let instead_of = former
            .filter(|(_, owned)| owned.vmid.is_some() && item.hash.is_some())
            .map(|(former, _)| former.to_owned());
        if let (Some((former, _)), None) = (former, &instead_of) {
            self.drafts.notes.insert(format!(
                "{former} is no longer managed by {}, which is about {object} now; nothing happens to it",
                item.key
            ));
        }
        self.drafts.documents.push(DocumentRef {
            key: item.key.clone(),
            source: item.source.clone(),
            hash: item.hash.clone(),
            object: object.to_owned(),
            adopts: exists && !owned && item.hash.is_some(),
            former_owner,
            instead_of,
        });
        true
    }

    /// Why a part of the world that a document needs cannot be told, as a problem of that document. `true` if it was read.
    pub(super) fn needs_part(&mut self, item: &Item, part: &Part) -> bool {
        match self.input.world.unreadable(part) {
            None => true,
            Some(why) => {
                let reason = Reason::Unreadable {
                    what: part.to_string(),
                    why: why.to_owned(),
                };
                self.drafts.problem(&item.key, "", reason);
                false
            }
        }
    }

    /// The guest a document is about.
    pub(super) fn target(&mut self, item: &Item, desired: &DesiredGuest) -> Option<Target<'a>> {
        if !self.needs_part(item, &Part::Resources) {
            return None;
        }
        let owned = self
            .input
            .ownership
            .of_document(&item.key, &item.source)
            .and_then(|(object, owned)| Some((object, owned, owned.vmid?)));
        let vmid = match (desired.vmid, owned) {
            (Some(named), Some(owner)) if named != owner.2 => {
                if !self.may_retire(item, desired, owner, named) {
                    return None;
                }
                named
            }
            (Some(named), _) => named,
            (None, Some((_, _, owned))) => owned,
            (None, None) => match self.taken_guest(item, desired).ok()? {
                Some(taken) => taken,
                None => self.allocate(item)?,
            },
        };
        let object = format!("{}/{vmid}", desired.kind.word());
        let world = self.input.world;
        let Some(guest) = world.guests.get(&vmid) else {
            if self.input.ownership.objects.contains_key(&object) {
                self.drafts.notes.insert(match &desired.restore_from {
                    Some(from) => format!(
                        "{object} is gone and will be restored from {}: what was written since then is not brought back",
                        from.volume
                    ),
                    None => format!(
                        "{object} is gone and will be made anew, empty: its data is not brought back"
                    ),
                });
            }
            self.drafts.taken.insert(vmid);
            return self
                .claim(item, &object, false)
                .then_some(Target::New(vmid));
        };
        if guest.kind != desired.kind {
            let reason = Reason::OtherKind {
                object: guest.entity(),
                is: kind_word(guest.kind),
                wanted: kind_word(desired.kind),
            };
            self.drafts.problem(&item.key, "vmid", reason);
            return None;
        }
        if !self.claim(item, &object, true) || !self.needs_part(item, &Part::GuestConfig(vmid)) {
            return None;
        }
        // The guest that was owned till now, by this document or by the one it takes it from.
        if let Some(owned) = self.input.ownership.objects.get(&object)
            && !self.same_birth(item, guest, owned)
        {
            return None;
        }
        Some(Target::Existing(guest))
    }

    /// Whether a guest is the one that was owned; a problem if not.
    pub(super) fn same_birth(&mut self, item: &Item, guest: &Guest, owned: &Owned) -> bool {
        let live = guest.config.birth();
        if owned.birth.is_none() || owned.birth == live {
            return true;
        }
        let reason = Reason::NotTheSame {
            object: guest.entity(),
            owned: owned.birth.clone().unwrap_or_default(),
            live: live.unwrap_or_else(|| "one without uuid or creation time".to_owned()),
        };
        self.drafts.problem(&item.key, "", reason);
        false
    }

    /// The lowest free VMID of the range that nothing names any more.
    fn allocate(&mut self, item: &Item) -> Option<Vmid> {
        let (first, last) = self.input.settings.vmid_range;
        let named = self.named_by_documents();
        let left = self.left_over();
        let free = (first..=last)
            .filter_map(|number| Vmid::new(number).ok())
            .find(|vmid| {
                !self.input.world.guests.contains_key(vmid)
                    && !self.drafts.taken.contains(vmid)
                    && !named.contains(vmid)
                    && !left.contains(vmid)
            });
        match free {
            Some(vmid) => {
                self.drafts.taken.insert(vmid);
                Some(vmid)
            }
            None => {
                self.drafts
                    .problem(&item.key, "vmid", Reason::NoVmidLeft { first, last });
                None
            }
        }
    }

    fn named_by_documents(&self) -> BTreeSet<Vmid> {
        self.input
            .items
            .iter()
            .filter_map(|item| match &item.wanted {
                super::input::Wanted::Present(Desired::Guest(guest)) => guest.vmid,
                super::input::Wanted::Present(
                    Desired::Storage(_)
                    | Desired::Pool(_)
                    | Desired::BackupJob(_)
                    | Desired::Snapshot(_)
                    | Desired::ReplicationJob(_)
                    | Desired::Image(_)
                    | Desired::Account(_)
                    | Desired::ApiToken(_)
                    | Desired::FirewallAlias(_)
                    | Desired::IpSet(_)
                    | Desired::SecurityGroup(_)
                    | Desired::Firewall(_),
                )
                | super::input::Wanted::Removed { .. } => None,
            })
            .chain(
                self.input
                    .ownership
                    .objects
                    .values()
                    .filter_map(|owned| owned.vmid),
            )
            .collect()
    }

    /// VMIDs that something still names although no guest has them: jobs, HA, access rules, pools, volumes.
    pub(super) fn left_over(&self) -> BTreeSet<Vmid> {
        let world = self.input.world;
        let jobs = world
            .backup_jobs
            .values()
            .flat_map(|job| match &job.selection {
                Selection::AllBut(guests) | Selection::Guests(guests) => {
                    guests.iter().copied().collect::<Vec<_>>()
                }
                Selection::Pool(_) => Vec::new(),
            });
        let acl = world.acl.iter().filter_map(|entry| {
            entry
                .path
                .strip_prefix("/vms/")
                .and_then(|vmid| vmid.parse().ok())
        });
        let volumes = world
            .storages
            .values()
            .flat_map(|storage| storage.volumes.values())
            .flat_map(|volumes| volumes.values())
            .filter_map(|volume| volume.vmid);
        jobs.chain(acl)
            .chain(volumes)
            .chain(world.replication_jobs.values().map(|job| job.guest))
            .chain(world.ha_resources.keys().copied())
            .chain(
                world
                    .ha_rules
                    .values()
                    .flat_map(|rule| rule.resources.iter().copied()),
            )
            .chain(
                world
                    .pools
                    .values()
                    .flat_map(|pool| pool.guests.iter().copied()),
            )
            .filter(|vmid| !world.guests.contains_key(vmid))
            .collect()
    }
}
