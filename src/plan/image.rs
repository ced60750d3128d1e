//! Images: from a document to a step that downloads a file, or deletes it when its document is gone and said so.
//!
//! A file is told from others by its name alone: a changed address or checksum is never a reason to download it again, and no guest
//! is ever replaced for one. Such a document is refused with what to write instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::draft::{Draft, DraftId, Phase, Planner};
use super::error::Reason;
use super::input::{Item, Owned};
use crate::document::desired::{DesiredImage, Download, ImageSource, Pull};
use crate::ids::{NodeName, StorageId, VolumeId};
use crate::world::views::{self, Source};
use crate::world::{Action, Param, Part, Storage, Volume, World};

/// How an image is called among live objects; with its node where each node has its own files on the storage.
pub fn object_of(node: Option<&NodeName>, volume: &VolumeId) -> String {
    match node {
        Some(node) => format!("image/{node}/{volume}"),
        None => format!("image/{volume}"),
    }
}

/// Both names that the image of an action can have, of which one is an object's.
pub fn objects_of(node: &NodeName, volume: &VolumeId) -> [String; 2] {
    [object_of(Some(node), volume), object_of(None, volume)]
}

/// The image that an object's name is about.
pub(super) fn of_object(object: &str) -> Option<(Option<NodeName>, VolumeId)> {
    let rest = object.strip_prefix("image/")?;
    match rest.split_once('/') {
        Some((node, volume)) if !node.contains(':') => {
            Some((Some(node.parse().ok()?), volume.parse().ok()?))
        }
        _ => Some((None, rest.parse().ok()?)),
    }
}

/// What tells a file from another one of the same name.
pub(super) fn birth(volume: &Volume) -> Option<String> {
    volume.created.map(|created| format!("ctime:{created}"))
}

/// The birth of the image that an object is, if it is one and is there.
pub(super) fn birth_of(object: &str, world: &World) -> Option<String> {
    let (node, volume) = of_object(object)?;
    let storage = world.storages.get(volume.storage())?;
    let node = node.or_else(|| storage.volumes.keys().next().cloned())?;
    birth(storage.volume(&node, &volume)?)
}

/// Where a file came from, as ownership remembers it.
pub(super) fn remembered(source: &ImageSource) -> BTreeMap<String, Option<String>> {
    let source = match source {
        ImageSource::Url(source) => source,
        ImageSource::Registry(Pull { reference }) => {
            return BTreeMap::from([("reference".to_owned(), Some(reference.clone()))]);
        }
    };
    let checksum = format!("{}:{}", source.algorithm, source.checksum);
    let verified = if source.verify_certificates { "1" } else { "0" };
    BTreeMap::from([
        ("url".to_owned(), Some(source.url.clone())),
        ("checksum".to_owned(), Some(checksum)),
        ("compression".to_owned(), source.decompression.clone()),
        ("verify-certificates".to_owned(), Some(verified.to_owned())),
    ])
}

/// Where a file came from, if its owner knows it.
fn source_of(owned: &Owned) -> Option<ImageSource> {
    let known = |key: &str| owned.managed.get(key)?.clone();
    if let Some(reference) = known("reference") {
        return Some(ImageSource::Registry(Pull { reference }));
    }
    let checksum = known("checksum")?;
    let (algorithm, checksum) = checksum.split_once(':')?;
    Some(ImageSource::Url(Download {
        url: known("url")?,
        algorithm: algorithm.to_owned(),
        checksum: checksum.to_owned(),
        decompression: known("compression"),
        verify_certificates: known("verify-certificates")? == "1",
    }))
}

impl Planner<'_, '_> {
    /// An image that shall be there.
    pub(super) fn image_present(&mut self, item: &Item, desired: &DesiredImage) {
        let volume = &desired.volume;
        if !self.storage_known(item, "storage", volume.storage())
            || !self.needs_part(item, &Part::Resources)
        {
            return;
        }
        let Some(storage) = self.storage_then(volume.storage()) else {
            return;
        };
        if !views::keeps_files(&storage.storage_type) {
            let why = format!(
                "storage `{}` is of type `{}`, which keeps no files; choose one of type `dir`, `nfs`, `cifs`, `cephfs` or `btrfs`",
                storage.id, storage.storage_type
            );
            let reason = Reason::Refused { why };
            return self.drafts.problem(&item.key, "storage", reason);
        }
        let Some(node) = self.node_for(item, desired.node.as_ref(), &storage) else {
            return;
        };
        let content = views::file_content(volume);
        if !self.node_usable(&item.key, &node)
            || !self.storage_usable(&item.key, "storage", &storage.id, &node, content)
        {
            return;
        }
        let live = match self.volume_at(&node, volume) {
            Ok(live) => live.cloned(),
            Err(why) => {
                let what = format!("the content of storage {} on {node}", storage.id);
                let reason = Reason::Unreadable { what, why };
                return self.drafts.problem(&item.key, "", reason);
            }
        };
        let object = object_of((!storage.shared).then_some(&node), volume);
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let owned = self.input.ownership.objects.get(&object).cloned();
        match (live, owned) {
            (Some(live), owned) => self.kept(item, desired, &live, owned.as_ref(), &object),
            (None, owned) => {
                if owned.is_some() {
                    let note = format!("{object} is gone and will be downloaded again");
                    self.drafts.notes.insert(note);
                }
                self.download(desired, node, &object);
            }
        }
    }

    /// A storage as it will be once this plan has made or opened it.
    fn storage_then(&self, id: &StorageId) -> Option<Arc<Storage>> {
        let world = self.input.world;
        let opened = self.drafts.opened.get(id);
        let draft = opened.and_then(|draft| self.drafts.steps.get(*draft));
        match draft {
            Some(draft) => world.apply(&draft.action).ok()?.storages.get(id).cloned(),
            None => world.storages.get(id).cloned(),
        }
    }

    /// The node that has the file or downloads it: the one that is named, any that reaches a shared storage, or the only one.
    fn node_for(
        &mut self,
        item: &Item,
        named: Option<&NodeName>,
        storage: &Storage,
    ) -> Option<NodeName> {
        if let Some(named) = named {
            return Some(named.clone());
        }
        let nodes: Vec<NodeName> = self
            .input
            .world
            .nodes
            .keys()
            .filter(|node| storage.on_node(node))
            .cloned()
            .collect();
        if storage.shared {
            let reached = self.reaching(storage);
            if reached.is_none() {
                let why = format!("no node that is online reaches storage {}", storage.id);
                self.drafts
                    .problem(&item.key, "storage", Reason::Refused { why });
            }
            return reached;
        }
        if let [only] = nodes.as_slice() {
            return Some(only.clone());
        }
        let why = format!(
            "each node has its own files on storage {}, and the document does not say which `node` shall have this one",
            storage.id
        );
        self.drafts
            .problem(&item.key, "node", Reason::Ambiguous { why });
        None
    }

    /// The first node that is online and reaches a storage.
    fn reaching(&self, storage: &Storage) -> Option<NodeName> {
        let mut nodes = self.input.world.nodes.iter();
        let new = !self.input.world.storages.contains_key(&storage.id);
        let found = nodes.find(|(name, node)| {
            let state = node.storages.get(&storage.id);
            storage.on_node(name)
                && node.online != Some(false)
                && (new || state.is_some_and(|state| state.active))
        });
        found.map(|(name, _)| name.clone())
    }

    /// A file that is there stays as it is, whatever its document says of where it came from.
    fn kept(
        &mut self,
        item: &Item,
        desired: &DesiredImage,
        live: &Volume,
        owned: Option<&Owned>,
        object: &str,
    ) {
        let Some(owned) = owned else {
            self.drafts.notes.insert(format!(
                "{object} is there already and stays as it is; Proxmox VE does not tell its checksum, so whether it is the one of {} is not known",
                item.key
            ));
            return;
        };
        if owned.birth.is_some() && owned.birth != birth(live) {
            self.drafts.notes.insert(format!(
                "{object} was written anew by someone since it was last looked at; whether it still has its checksum is not known, and it stays as it is"
            ));
        }
        let Some(known) = source_of(owned) else {
            return;
        };
        let wanted = &desired.source;
        if let Some((field, is, back)) = another(&known, wanted) {
            let why = format!(
                "{object} is there {is}, and a file that is there is never downloaded again: write another `filename`, and the guests that shall have the new file name it; or {back}"
            );
            return self
                .drafts
                .problem(&item.key, field, Reason::Refused { why });
        }
        if known.place() != wanted.place() {
            self.drafts.notes.insert(format!(
                "{object} is there and is not downloaded again for another address; the new one counts if it is ever gone"
            ));
        }
    }

    fn download(&mut self, desired: &DesiredImage, node: NodeName, object: &str) {
        let (volume, source) = (&desired.volume, &desired.source);
        let how = match source {
            ImageSource::Url(_) => "downloaded",
            ImageSource::Registry(_) => "pulled",
        };
        let said = format!("{how} from {}", source.place());
        let effect = "the node downloads it once; no guest is touched";
        self.drafts
            .change(object, "(object)", None, Some(&said), effect);
        let action = Action::DownloadImage {
            node: node.clone(),
            volume: volume.clone(),
            source: source.clone(),
        };
        self.drafts.push(Draft {
            title: format!("download image {volume} to {node}"),
            action,
            node: Some(node),
            phase: Phase::ImageFirst,
            needs: BTreeSet::new(),
            notes: download_notes(volume, source),
        });
    }

    /// An image whose document is gone and said that it shall be deleted.
    pub(super) fn image_removed(
        &mut self,
        item: &Item,
        owned: &Owned,
        node: Option<NodeName>,
        volume: &VolumeId,
    ) {
        for part in [Part::Resources, Part::Storages] {
            if !self.needs_part(item, &part) {
                return;
            }
        }
        let object = object_of(node.as_ref(), volume);
        let Some(storage) = self.input.world.storages.get(volume.storage()).cloned() else {
            let note = format!("{object} is out of reach: its storage is gone; nothing happens");
            self.drafts.notes.insert(note);
            return;
        };
        if node.is_none() && !storage.shared {
            let why = format!(
                "{object} lay on a shared storage, and each node has its own files on {} now, so which of them it is is not known; delete it by hand, or set `bailiwick.dev/deletion: orphan`",
                storage.id
            );
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        let Some(node) = node.or_else(|| self.reaching(&storage)) else {
            let why = format!("no node that is online reaches storage {}", storage.id);
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        };
        let live = match self.volume_at(&node, volume) {
            Ok(Some(live)) => live.clone(),
            Ok(None) => {
                let note = format!("{object} is already gone");
                self.drafts.notes.insert(note);
                return;
            }
            Err(why) => {
                let what = format!("the content of storage {} on {node}", storage.id);
                let reason = Reason::Unreadable { what, why };
                return self.drafts.problem(&item.key, "", reason);
            }
        };
        if owned.birth.is_some() && owned.birth != birth(&live) {
            let why = format!(
                "{object} is not the file this document owned: somebody wrote another one under the same name since, which no document asks to delete; delete it by hand, or set `bailiwick.dev/deletion: orphan`"
            );
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        let effect = "the file is deleted; guests that have it in a drive are named";
        self.drafts
            .change(&object, "(object)", Some("image"), None, effect);
        let notes = in_snapshots(self.input.world, &node, volume);
        self.drafts.push(Draft {
            title: format!("delete image {volume} on {node}"),
            action: Action::DeleteImage {
                node: node.clone(),
                volume: volume.clone(),
                source: source_of(owned),
            },
            node: Some(node),
            phase: Phase::ImageLast,
            needs: BTreeSet::new(),
            notes,
        });
    }

    /// Whether this plan downloads a file that a guest on a node is to have.
    pub(super) fn downloaded(&self, node: &NodeName, volume: &VolumeId) -> bool {
        downloads(&self.drafts.steps, self.input.world)
            .any(|(_, at, file)| file == volume && at.is_none_or(|at| at == node))
    }

    /// Whether this plan deletes a file that a guest on a node is to have, with the name of the object.
    pub(super) fn deleted(&self, node: &NodeName, volume: &VolumeId) -> Option<String> {
        objects_of(node, volume)
            .into_iter()
            .find(|object| self.drafts.going.contains(object))
    }

    /// What steps with images need: a guest is given a file once it is there, and a file is deleted once nothing of this plan still
    /// takes it out of a drive.
    pub(super) fn link_images(&self) -> Vec<(DraftId, DraftId)> {
        let world = self.input.world;
        let mut links = Vec::new();
        for (id, draft) in self.drafts.steps.iter().enumerate() {
            if let Some(params) = written(&draft.action) {
                let guest = draft.node.as_ref();
                let needed = downloads(&self.drafts.steps, world).filter(|(_, at, file)| {
                    let here = at.is_none_or(|at| guest.is_none_or(|guest| guest == at));
                    here && params.iter().any(|value| names(value, file))
                });
                links.extend(needed.map(|(download, _, _)| (id, download)));
            }
            if let Action::DeleteImage { volume, .. } = &draft.action {
                let users = self.drafts.steps.iter().enumerate().filter(|(_, step)| {
                    step.action
                        .guest()
                        .and_then(|(_, vmid)| world.guests.get(&vmid))
                        .is_some_and(|guest| {
                            let config = &guest.config;
                            let pending = config.pending.iter().filter_map(|p| p.value.as_ref());
                            let mut values = config.current.values().chain(pending);
                            values.any(|value| names(value, volume))
                        })
                });
                links.extend(users.map(|(user, _)| (id, user)));
            }
        }
        links
    }
}

/// The downloads among drafts: the draft, the node if each node has its own files on the storage, and the file.
fn downloads<'d>(
    steps: &'d [Draft],
    world: &'d World,
) -> impl Iterator<Item = (DraftId, Option<&'d NodeName>, &'d VolumeId)> {
    steps.iter().enumerate().filter_map(|(id, draft)| {
        let Action::DownloadImage { node, volume, .. } = &draft.action else {
            return None;
        };
        let shared = world
            .storages
            .get(volume.storage())
            .is_some_and(|s| s.shared);
        Some((id, (!shared).then_some(node), volume))
    })
}

/// The plain values that an action gives a guest.
fn written(action: &Action) -> Option<Vec<&str>> {
    let (Action::CreateGuest { params, .. } | Action::UpdateConfig { set: params, .. }) = action
    else {
        return None;
    };
    let plain = params.values().filter_map(|param| match param {
        Param::Plain(text) => Some(text.as_str()),
        Param::Secret { .. } => None,
    });
    Some(plain.collect())
}

/// Whether a value of a configuration names a volume.
fn names(value: &str, volume: &VolumeId) -> bool {
    let volume = volume.to_string();
    value
        .split(',')
        .any(|part| part == volume || part.split_once('=').is_some_and(|(_, v)| v == volume))
}

/// How the file that is wanted is another than the one that is known to be there: the field that says so, what is there, and what brings
/// the document back to it. Another address of the same checksum is the same file.
fn another(
    known: &ImageSource,
    wanted: &ImageSource,
) -> Option<(&'static str, String, &'static str)> {
    match (known, wanted) {
        (ImageSource::Url(known), ImageSource::Url(wanted)) => {
            let content = |of: &Download| {
                (
                    of.algorithm.clone(),
                    of.checksum.clone(),
                    of.decompression.clone(),
                )
            };
            let is = || {
                let decompressed = known.decompression.as_ref();
                format!(
                    "with the {} checksum {}{}",
                    known.algorithm,
                    known.checksum,
                    decompressed
                        .map_or_else(String::new, |how| format!(", decompressed with {how}")),
                )
            };
            (content(known) != content(wanted))
                .then(|| ("checksum", is(), "write the checksum back"))
        }
        (known, wanted) => (known != wanted).then(|| {
            let field = match wanted {
                ImageSource::Url(_) => "url",
                ImageSource::Registry(_) => "reference",
            };
            let is = format!("from {}", known.place());
            (field, is, "write back where it came from")
        }),
    }
}

/// What is to be known of a download before it is approved.
fn download_notes(volume: &VolumeId, source: &ImageSource) -> Vec<String> {
    let source = match source {
        ImageSource::Url(source) => source,
        ImageSource::Registry(Pull { reference }) => {
            return vec![
                format!(
                    "whatever the registry serves as {reference} when the step runs is what containers are made from: Proxmox VE checks no digest, and a tag can be moved"
                ),
                format!(
                    "how big it is shows only then: whether it fits on {} is not known before",
                    volume.storage()
                ),
            ];
        }
    };
    let mut notes = vec![
        format!(
            "what {} sends is thrown away unless its {} checksum is {}",
            source.url, source.algorithm, source.checksum
        ),
        format!(
            "how big it is shows only then: whether it fits on {} is not known before",
            volume.storage()
        ),
    ];
    if matches!(source.algorithm.as_str(), "md5" | "sha1") {
        notes.push(format!(
            "{} tells damage, but a file can be made up to fit it; the publisher's sha256 or sha512 is safer",
            source.algorithm
        ));
    }
    if !source.verify_certificates {
        notes.push("whose server it is is not verified".to_owned());
    }
    if let Some(how) = &source.decompression {
        notes.push(format!("it is decompressed with {how} after that"));
    }
    notes
}

/// The guests on a node that have a volume in a drive now, each with the slot.
pub(super) fn users(world: &World, node: &NodeName, volume: &VolumeId) -> Vec<String> {
    let shared = world
        .storages
        .get(volume.storage())
        .is_some_and(|s| s.shared);
    let guests = world.guests.values();
    guests
        .filter(|guest| shared || guest.node == *node)
        .filter_map(|guest| {
            let disks = views::disks(guest.kind, &guest.config.next_start());
            let disk = disks
                .into_iter()
                .find(|disk| disk.source == Source::Cdrom(volume.clone()))?;
            Some(format!("{} ({})", guest.entity(), disk.slot))
        })
        .collect()
}

/// What is told of snapshots that have a volume in a drive.
fn in_snapshots(world: &World, node: &NodeName, volume: &VolumeId) -> Vec<String> {
    let shared = world
        .storages
        .get(volume.storage())
        .is_some_and(|s| s.shared);
    let mut notes = Vec::new();
    for guest in world.guests.values() {
        if !shared && guest.node != *node {
            continue;
        }
        for (name, snapshot) in &guest.config.snapshots {
            let disks = views::disks(guest.kind, &snapshot.section);
            if let Some(disk) = disks
                .iter()
                .find(|disk| disk.source.volume() == Some(volume))
            {
                notes.push(format!(
                    "snapshot {name} of {} has it in {}: after going back to it the guest does not start until that drive is changed",
                    guest.entity(),
                    disk.slot
                ));
            }
        }
    }
    notes
}
