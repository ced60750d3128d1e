//! What a plan is made from: documents as wishes, who owns what, the world, and the operator's settings. Plain data; nothing here
//! decides anything but what ownership becomes after a plan was carried out ([`Ownership::after`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{DocumentRef, FormerOwner, Origin, Plan, PlanHash};
use super::{image, snapshot};
use crate::document::desired::{Desired, DesiredAccount, DesiredBlock, SecretRef, Value, Wish};
use crate::health::reach::{Address, Keepers, Network};
use crate::ids::{ClusterName, NodeName, StorageId, Vmid, VolumeId};
use crate::proxmox::ServedApi;
use crate::world::{Action, Section, World};

/// Everything [`make_plan`](super::make_plan) looks at. The same input gives the same plan.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// The cluster the plan is for.
    pub cluster: ClusterName,
    /// The last plan applied to the cluster.
    pub parent: Option<PlanHash>,
    /// What the plan answers.
    pub origin: Origin,
    /// The version (hash) of the approval policy in force.
    pub policy: String,
    /// The documents, in any order.
    pub items: Vec<Item>,
    /// Who owns which object.
    pub ownership: &'a Ownership,
    /// The cluster as observed.
    pub world: &'a World,
    /// The API of the connected version, which steps are held against.
    pub api: ApiView<'a>,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
    /// For every secret the documents name, the keyed fingerprint of its value now.
    pub secrets: &'a BTreeMap<SecretRef, String>,
    /// Of the files that the secrets of new tokens would be written to, those that cannot be made now, each with the reason.
    pub closed_files: &'a BTreeMap<String, String>,
    /// The configurations in the backups that guests are to be restored from, as [`backups_wanted`](super::backups_wanted) names them.
    pub backups: &'a Backups,
}

/// What is in backups, by the node that reads them: the guest's configuration, or why it could not be read.
pub type Backups = BTreeMap<(NodeName, VolumeId), Result<Section, String>>;

/// What is known of the API of the connected version.
#[derive(Debug, Clone, Copy)]
pub enum ApiView<'a> {
    /// What the host itself says it has: a step that needs something else is refused.
    Served(&'a ServedApi),
    /// The host was asked and did not say. The plan says so: as a note where Bailiwick's own tables are of the same major version,
    /// since what was tested there holds for it; as an unknown elsewhere, which makes the risk unknown.
    Unread,
    /// Nobody asked, since nothing of the plan will ever be sent: it is only looked at.
    NotAsked,
}

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// `VirtualMachine/web-7`.
    pub key: String,
    /// The source that owns it.
    pub source: String,
    /// Its hash; `None` when the document was removed.
    pub hash: Option<String>,
    /// What it asks for.
    pub wanted: Wanted,
    /// Whether a change that waits for the next start may restart the guest.
    pub restart: Restart,
    /// Whom it takes its object over from, as written: a source, or a source and a document. Only a submission takes anything over.
    pub take_over: Option<String>,
    /// Its labels. They do not change the plan; policies match on them.
    pub labels: BTreeMap<String, String>,
}

/// What a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The object shall be like this.
    Present(Desired),
    /// The document was removed.
    Removed {
        /// The object shall be deleted; otherwise it is only no longer managed.
        delete: bool,
    },
}

/// The document's annotation `bailiwick.dev/restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Restart {
    /// A change that waits for the next start waits. (The default.)
    #[default]
    Never,
    /// As `Never`: a plan only says that a restart is needed, and a person asks the guest's owner.
    Ask,
    /// The plan restarts a running guest itself, as a step of its own; when it may run is a matter of approval and freeze.
    Window,
}

/// The operator's settings that plans depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// The least and the greatest VMID given to a guest whose document names none.
    pub vmid_range: (u32, u32),
    /// Seconds a guest has to shut down.
    pub shutdown_timeout: u32,
    /// A copy to be taken of every guest before it is destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_copy: Option<SafetyCopy>,
    /// Whether a plan may take privileges, or the login, from the controller itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_controller_loss: bool,
    /// The controller's own address as nodes see it, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The networks from which people administer nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub administrators: Vec<String>,
}

impl Settings {
    /// Who must always be able to manage nodes.
    pub(super) fn keepers(&self) -> Keepers {
        let controller = self.controller.as_deref();
        let admins = self.administrators.iter();
        Keepers {
            controller: controller.and_then(Address::parse),
            admins: admins.filter_map(|text| Network::parse(text)).collect(),
        }
    }
}

/// A backup that is taken of a guest right before it is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafetyCopy {
    /// The storage it goes to.
    pub storage: StorageId,
    /// How long it is kept, in seconds: whole minutes.
    pub keep_for: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vmid_range: (9000, 9999),
            shutdown_timeout: 180,
            safety_copy: None,
            allow_controller_loss: false,
            controller: None,
            administrators: Vec::new(),
        }
    }
}

/// Who owns which object of one cluster, and what was last applied to it. Kept by the store as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", transparent)]
pub struct Ownership {
    /// By live object: `vm/104`, `storage/local-zfs`, `pool/prod`.
    pub objects: BTreeMap<String, Owned>,
}

/// One owned object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// The document: `VirtualMachine/web-7`.
    pub document: String,
    /// The source that owns the document.
    pub source: String,
    /// The hash of the document as it was last applied.
    pub hash: Option<String>,
    /// For a guest, its VMID.
    pub vmid: Option<Vmid>,
    /// For a guest, its SMBIOS uuid or creation time when it was last seen after a run; `None` if it has neither. For a snapshot,
    /// when it was taken; for an image, when it was written.
    pub birth: Option<String>,
    /// The keys the document managed when it was last applied; for a secret the keyed fingerprint of the value that was sent; for an
    /// image where it came from; for a block of rules its name.
    pub managed: BTreeMap<String, Option<String>>,
    /// The documents it was taken from that still stand in their sources, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_from: Vec<FormerOwner>,
}

impl Ownership {
    /// The object a document owns.
    pub fn of_document(&self, key: &str, source: &str) -> Option<(&str, &Owned)> {
        self.objects
            .iter()
            .find(|(_, owned)| owned.document == key && owned.source == source)
            .map(|(object, owned)| (object.as_str(), owned))
    }

    /// The fingerprint of the secret last sent for a key of an object.
    pub fn fingerprint(&self, object: &str, key: &str) -> Option<&str> {
        self.objects
            .get(object)
            .and_then(|owned| owned.managed.get(key))
            .and_then(Option::as_deref)
    }

    /// Ownership after a plan was carried out whole: its documents own their objects, what its steps destroyed is owned by nobody,
    /// and removed documents own nothing any more. `world` is the world read after the run; births come from it.
    pub fn after(
        &self,
        plan: &Plan,
        items: &[Item],
        secrets: &BTreeMap<SecretRef, String>,
        world: &World,
    ) -> Self {
        let mut objects = self.objects.clone();
        for step in &plan.steps {
            if let Some(object) = destroyed(&step.action) {
                objects.remove(&object);
            }
            if let Action::DeleteImage { node, volume, .. } = &step.action {
                for object in image::objects_of(node, volume) {
                    objects.remove(&object);
                }
            }
        }
        for document in &plan.documents {
            let item = items
                .iter()
                .find(|item| item.key == document.key && item.source == document.source);
            let (Some(_), Some(Wanted::Present(desired))) =
                (&document.hash, item.map(|item| &item.wanted))
            else {
                continue;
            };
            // A document owns one object: what it was about before is nobody's now.
            objects.retain(|object, owned| {
                *object == document.object || !owned.is_of(&document.key, &document.source)
            });
            let guest = guest_of(&document.object);
            let taken_from = taken_from(objects.get(&document.object), document);
            objects.insert(
                document.object.clone(),
                Owned {
                    document: document.key.clone(),
                    source: document.source.clone(),
                    hash: document.hash.clone(),
                    vmid: guest,
                    birth: guest
                        .and_then(|vmid| world.guests.get(&vmid))
                        .and_then(|guest| guest.config.birth())
                        .or_else(|| snapshot_birth(&document.object, world))
                        .or_else(|| self.expired(&document.object, desired))
                        .or_else(|| image::birth_of(&document.object, world)),
                    managed: managed(desired, secrets),
                    taken_from,
                },
            );
        }
        for gone in plan.documents.iter().filter(|d| d.hash.is_none()) {
            if let Some(owned) = objects.get_mut(&gone.object) {
                if owned.is_of(&gone.key, &gone.source) {
                    objects.remove(&gone.object);
                } else {
                    owned
                        .taken_from
                        .retain(|former| !former.is(&gone.key, &gone.source));
                }
            }
        }
        Self { objects }
    }

    /// When the snapshot was taken that its document no longer keeps: remembered, so that it is not taken again.
    fn expired(&self, object: &str, desired: &Desired) -> Option<String> {
        let Desired::Snapshot(snapshot) = desired else {
            return None;
        };
        snapshot.keep_for?;
        self.objects.get(object)?.birth.clone()
    }

    /// Has a document own the guest again that it was about before it was cloned to another number, as a plan that takes that back
    /// says. `was` is who owned the clone, `world` the world read after the run. `false` if another document owns the guest by now.
    pub fn own_again(&mut self, back: &DocumentRef, was: &Owned, world: &World) -> bool {
        let guest = guest_of(&back.object).and_then(|vmid| world.guests.get(&vmid));
        let Some(guest) = guest.filter(|_| !self.objects.contains_key(&back.object)) else {
            return false;
        };
        let again = Owned {
            vmid: Some(guest.vmid),
            birth: guest.config.birth(),
            ..was.clone()
        };
        self.objects
            .retain(|_, owned| !owned.is_of(&back.key, &back.source));
        self.objects.insert(back.object.clone(), again);
        true
    }

    /// Has a document own an object again that was deleted with it, and that a plan which takes that back has made again; unless another
    /// document owns it by now. `world` is the one read after the run.
    pub fn own_restored(
        &mut self,
        document: &DocumentRef,
        desired: &Desired,
        secrets: &BTreeMap<SecretRef, String>,
        world: &World,
    ) {
        let object = &document.object;
        if self.objects.contains_key(object) {
            return;
        }
        let vmid = guest_of(object);
        let guest = vmid.and_then(|vmid| world.guests.get(&vmid));
        let owned = Owned {
            document: document.key.clone(),
            source: document.source.clone(),
            hash: document.hash.clone(),
            vmid,
            birth: guest
                .and_then(|guest| guest.config.birth())
                .or_else(|| snapshot_birth(object, world))
                .or_else(|| image::birth_of(object, world)),
            managed: restored(desired, secrets),
            taken_from: Vec::new(),
        };
        self.objects.insert(object.clone(), owned);
    }

    /// Gives an object back to the document it came from, as a plan that takes a take-over back says. `false` if it is not as
    /// that plan left it.
    pub fn give_back(&mut self, back: &DocumentRef) -> bool {
        let Some(owned) = self.objects.get_mut(&back.object) else {
            return false;
        };
        match &back.former_owner {
            Some(taker) if owned.is_of(&taker.document, &taker.source) => {
                owned.document.clone_from(&back.key);
                owned.source.clone_from(&back.source);
                owned.hash.clone_from(&back.hash);
                owned
                    .taken_from
                    .retain(|former| !former.is(&back.key, &back.source));
                true
            }
            _ => false,
        }
    }
}

/// From whom a document has its object, once it owns it.
fn taken_from(owned: Option<&Owned>, document: &DocumentRef) -> Vec<FormerOwner> {
    let mut all = owned.map(|o| o.taken_from.clone()).unwrap_or_default();
    all.extend(document.former_owner.clone());
    all.retain(|former| !former.is(&document.key, &document.source));
    all
}

/// The object an action destroys, if it destroys one whole.
fn destroyed(action: &Action) -> Option<String> {
    match action {
        Action::DestroyGuest { kind, vmid, .. } => Some(format!("{}/{vmid}", kind.word())),
        Action::DeleteStorage { id } => Some(format!("storage/{id}")),
        Action::DeletePool { id } => Some(format!("pool/{id}")),
        Action::DeleteBackupJob { id } => Some(format!("backup-job/{id}")),
        Action::DeleteSnapshot { vmid, name, .. } => Some(snapshot::object_of(*vmid, name)),
        Action::DeleteReplicationJob { id } => Some(format!("replication-job/{id}")),
        Action::Account(action) => action.removes(),
        Action::Firewall(action) => action.removes(),
        Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::Migrate { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::UpdateReplicationJob { .. } => None,
    }
}

fn guest_of(object: &str) -> Option<Vmid> {
    object
        .strip_prefix("vm/")
        .or_else(|| object.strip_prefix("ct/"))
        .and_then(|vmid| vmid.parse().ok())
}

/// When the snapshot was taken that an object is, if it is one.
fn snapshot_birth(object: &str, world: &World) -> Option<String> {
    let (vmid, name) = snapshot::of_object(object)?;
    let snapshots = &world.guests.get(&vmid)?.config.snapshots;
    snapshot::birth(snapshots.get(name.as_str())?)
}

/// The keys a document manages of an object that was made again. A realm has no secrets then: they are sent anew.
fn restored(
    desired: &Desired,
    secrets: &BTreeMap<SecretRef, String>,
) -> BTreeMap<String, Option<String>> {
    match desired {
        Desired::Account(account) if matches!(**account, DesiredAccount::Realm(_)) => {
            managed(desired, &BTreeMap::new())
        }
        _ => managed(desired, secrets),
    }
}

/// The keys a document manages, with the fingerprints of its secrets.
fn managed(
    desired: &Desired,
    secrets: &BTreeMap<SecretRef, String>,
) -> BTreeMap<String, Option<String>> {
    let mut keys = BTreeMap::new();
    let mut options = |options: &BTreeMap<String, Wish<Value>>| {
        for (key, wish) in options {
            let fingerprint = match wish {
                Wish::Set(Value::Secret(from)) => secrets.get(from).cloned(),
                Wish::Set(Value::Plain(_) | Value::Properties { .. }) | Wish::Remove => None,
            };
            keys.insert(key.clone(), fingerprint);
        }
    };
    match desired {
        Desired::Guest(guest) => {
            options(&guest.options);
            for slot in guest.disks.keys() {
                keys.insert(slot.to_string(), None);
            }
            for (key, there) in [
                ("(node)", guest.node.is_some() || !guest.nodes.is_empty()),
                ("(pool)", guest.pool.is_some()),
                ("(power)", guest.power.is_some()),
            ] {
                if there {
                    keys.insert(key.to_owned(), None);
                }
            }
        }
        Desired::Storage(storage) => options(&storage.options),
        Desired::BackupJob(job) => options(&job.options),
        Desired::Snapshot(snapshot) => {
            if snapshot.description.is_some() {
                keys.insert("description".to_owned(), None);
            }
        }
        Desired::ReplicationJob(job) => {
            options(&job.options);
            if job.target.is_some() {
                keys.insert("(target)".to_owned(), None);
            }
        }
        Desired::FirewallAlias(alias) => {
            keys.insert("cidr".to_owned(), None);
            if alias.comment.is_some() {
                keys.insert("comment".to_owned(), None);
            }
        }
        Desired::IpSet(set) => {
            for (key, there) in [
                ("comment", set.comment.is_some()),
                ("(entries)", set.entries.is_some()),
            ] {
                if there {
                    keys.insert(key.to_owned(), None);
                }
            }
        }
        Desired::SecurityGroup(group) => {
            for (key, there) in [
                ("comment", group.comment.is_some()),
                ("(rules)", group.rules.is_some()),
            ] {
                if there {
                    keys.insert(key.to_owned(), None);
                }
            }
            keys.extend(group.block.as_ref().map(block_remembered));
        }
        Desired::Firewall(firewall) => {
            options(&firewall.options);
            if firewall.rules.is_some() {
                keys.insert("(rules)".to_owned(), None);
            }
            keys.extend(firewall.block.as_ref().map(block_remembered));
        }
        Desired::Image(desired) => keys = image::remembered(&desired.source),
        Desired::Account(account) => match account.as_ref() {
            DesiredAccount::Realm(realm) => options(&realm.options),
            account => keys.extend(account.managed().into_iter().map(|key| (key, None))),
        },
        Desired::ApiToken(token) => {
            for (key, there) in [
                ("privsep", token.separated.is_some()),
                ("expire", token.expires.is_some()),
                ("comment", token.comment.is_some()),
            ] {
                if there {
                    keys.insert(key.to_owned(), None);
                }
            }
        }
        Desired::Pool(pool) => {
            for (key, there) in [
                ("comment", pool.comment.is_some()),
                ("(guests)", pool.guests.is_some()),
                ("(storages)", pool.storages.is_some()),
            ] {
                if there {
                    keys.insert(key.to_owned(), None);
                }
            }
        }
    }
    keys
}

/// What is remembered of a block that a document manages: its name.
const BLOCK: &str = "(block)";

fn block_remembered(block: &DesiredBlock) -> (String, Option<String>) {
    (BLOCK.to_owned(), Some(block.name.clone()))
}

impl Owned {
    /// The name of the block that the document managed, if it managed one.
    pub(super) fn block(&self) -> Option<&str> {
        self.managed.get(BLOCK)?.as_deref()
    }
}
