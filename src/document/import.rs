//! The way back: from what a cluster has to the document that asks for exactly that. Plain data in, a document's text out; nothing
//! here looks at a cluster.
//!
//! Which field stands for which key is read from the [`schema`](super::schema), so that a field that is added is imported without
//! anyone thinking of it. Every field is kept only if the document asks with it for what is there, by the comparison the planner
//! uses; what no document can say is [left out](LeftOut) and told, never dropped in silence. A field that is not written is not
//! managed, so what is left out stays as it is.

pub mod account;
mod disks;
mod fields;
pub mod firewall;
pub mod names;
mod settle;
mod value;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::desired::Power;
use super::scalar::Expiry;
use super::{Kind, ObjectKey};
use crate::ids::{
    BackupJobId, Bytes, ClusterName, GuestKind, NodeName, PoolId, ReplicationJobId, Slot,
    SnapshotName, StorageId, TokenId, Vmid, VolumeId,
};
use crate::proxmox::property::{boolean, is_true};

/// The keys and values of a section of Proxmox VE's configuration, raw.
pub type Section = BTreeMap<String, String>;

/// A guest as it is.
#[derive(Debug, Clone)]
pub struct LiveGuest<'a> {
    /// Which of the two kinds.
    pub kind: GuestKind,
    /// Its VMID.
    pub vmid: Vmid,
    /// The node, where it shall be managed.
    pub node: Option<&'a NodeName>,
    /// The pool it is in.
    pub pool: Option<&'a PoolId>,
    /// Whether it runs, where that shall be managed.
    pub power: Option<Power>,
    /// Its configuration as it is at the next start.
    pub section: &'a Section,
    /// What its disk slots hold.
    pub disks: BTreeMap<Slot, LiveDisk>,
}

/// What a disk slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDisk {
    /// What.
    pub held: Held,
    /// How big the volume is, as the planner would find it; `None` if nobody knows.
    pub size: Option<Bytes>,
}

/// The kinds of things in a disk slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A volume with data.
    Volume(VolumeId),
    /// A CD drive with this medium.
    Medium(VolumeId),
    /// A CD drive without a medium.
    NoMedium,
    /// A cloud-init drive.
    CloudInit(VolumeId),
    /// Something of the node itself: a device, a directory, its CD drive.
    OfTheNode,
}

/// A storage definition as it is.
#[derive(Debug, Clone)]
pub struct LiveStorage<'a> {
    /// Its id.
    pub id: &'a StorageId,
    /// Its type.
    pub storage_type: &'a str,
    /// Its options.
    pub options: &'a Section,
}

/// A pool as it is. Its guests name it in documents of their own.
#[derive(Debug, Clone)]
pub struct LivePool<'a> {
    /// Its id.
    pub id: &'a PoolId,
    /// Its comment.
    pub comment: Option<&'a str>,
    /// Its storages.
    pub storages: &'a BTreeSet<StorageId>,
}

/// A backup job as it is.
#[derive(Debug, Clone)]
pub struct LiveBackupJob<'a> {
    /// Its id.
    pub id: &'a BackupJobId,
    /// Its options.
    pub options: &'a Section,
}

/// A token as it is.
#[derive(Debug, Clone)]
pub struct LiveApiToken<'a> {
    /// Its id.
    pub id: &'a TokenId,
    /// Whether it has only what is given to itself.
    pub separated: bool,
    /// Seconds since 1970 after which it is refused, 0 for never.
    pub expires: i64,
    /// Its comment.
    pub comment: Option<&'a str>,
}

/// A snapshot as it is.
#[derive(Debug, Clone)]
pub struct LiveSnapshot<'a> {
    /// The guest it is of.
    pub vmid: Vmid,
    /// Its name.
    pub name: &'a SnapshotName,
    /// Its description.
    pub description: Option<&'a str>,
    /// Whether the guest's memory is in it.
    pub memory: bool,
}
/// A replication job as it is.
#[derive(Debug, Clone)]
pub struct LiveReplicationJob<'a> {
    /// Its id.
    pub id: &'a ReplicationJobId,
    /// The guest it copies.
    pub guest: Vmid,
    /// The node it copies to.
    pub target: &'a NodeName,
    /// Its options.
    pub options: &'a Section,
}

/// A setting that is there and is not in the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The setting in Proxmox VE's words: `vmgenid`, `net0.mtu`.
    pub setting: String,
    /// Why.
    pub why: String,
}

/// A field of the document, with the setting it stands for.
#[derive(Debug, Clone, PartialEq)]
struct Placed {
    path: Vec<String>,
    /// The key of the configuration: `net0`.
    key: String,
    /// The setting: `net0.mtu`.
    setting: String,
}

/// An imported document.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Kind and name.
    pub key: ObjectKey,
    /// The live object: `vm/104`.
    pub object: String,
    /// The cluster to write into the document, if any.
    pub cluster: Option<ClusterName>,
    /// What to say at the top besides what is left out, a line each.
    pub notes: Vec<String>,
    spec: Map<String, Value>,
    placed: Vec<Placed>,
    left_out: BTreeMap<String, String>,
}

impl Imported {
    fn new(key: ObjectKey, object: String) -> Self {
        Self {
            key,
            object,
            cluster: None,
            notes: Vec::new(),
            spec: Map::new(),
            placed: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// What is there and is not in the document, in the order of the settings' names.
    pub fn left_out(&self) -> impl Iterator<Item = LeftOut> {
        self.left_out.iter().map(|(setting, why)| LeftOut {
            setting: setting.clone(),
            why: why.clone(),
        })
    }

    /// The document as a value.
    pub fn value(&self) -> Value {
        let mut metadata = Map::from_iter([("name".to_owned(), json!(self.key.name))]);
        if let Some(cluster) = &self.cluster {
            metadata.insert("cluster".to_owned(), json!(cluster.as_str()));
        }
        json!({
            "apiVersion": super::API_VERSION,
            "kind": self.key.kind.as_str(),
            "metadata": metadata,
            "spec": write::ordered(self.key.kind, &self.spec),
        })
    }

    /// The text of the document: comments about what is not in it, then the document.
    pub fn text(&self) -> String {
        write::text(self)
    }

    /// Notes that a setting is not in the document, and why.
    pub fn leave_out(&mut self, setting: impl Into<String>, why: impl Into<String>) {
        self.left_out
            .entry(setting.into())
            .or_insert_with(|| why.into());
    }

    /// Takes everything that stands for a key of the configuration out of the document again. `false` if nothing does.
    pub fn withdraw(&mut self, key: &str, why: &str) -> bool {
        let placed: Vec<Placed> = self
            .placed
            .iter()
            .filter(|placed| placed.key == key)
            .cloned()
            .collect();
        for placed in &placed {
            self.take(placed, why);
        }
        !placed.is_empty()
    }

    fn place(&mut self, path: Vec<String>, value: Value, key: &str, setting: String) {
        put(&mut self.spec, &path, value);
        self.placed.push(Placed {
            path,
            key: key.to_owned(),
            setting,
        });
    }

    /// Takes a field, or every field below it, or the field it is part of, out of the document. `false` if there is none.
    fn strip(&mut self, path: &[String], why: &str) -> bool {
        let placed: Vec<Placed> = self
            .placed
            .iter()
            .filter(|placed| placed.path.starts_with(path) || path.starts_with(&placed.path))
            .cloned()
            .collect();
        for placed in &placed {
            self.take(placed, why);
        }
        !placed.is_empty()
    }

    fn take(&mut self, placed: &Placed, why: &str) {
        remove(&mut self.spec, &placed.path);
        self.placed.retain(|other| other != placed);
        self.leave_out(placed.setting.clone(), why);
    }
}

/// Puts a value at a path, making the maps on the way.
fn put(map: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        map.insert(first.clone(), value);
        return;
    }
    let inner = map.entry(first.clone()).or_insert_with(|| json!({}));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// Removes what stands at a path, and the maps on the way that are empty then.
fn remove(map: &mut Map<String, Value>, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let empty = match map.get_mut(first) {
        Some(Value::Object(inner)) if !rest.is_empty() => {
            remove(inner, rest);
            inner.is_empty()
        }
        Some(_) => true,
        None => false,
    };
    if empty {
        map.shift_remove(first);
    }
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The document of a guest.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn guest(name: String, live: &LiveGuest<'_>) -> Result<Imported, String> {
    let kind = match live.kind {
        GuestKind::Qemu => Kind::VirtualMachine,
        GuestKind::Lxc => Kind::Container,
    };
    let object = format!("{}/{}", live.kind.word(), live.vmid);
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    out.spec.insert("vmid".to_owned(), json!(live.vmid.get()));
    if let Some(node) = live.node {
        out.place(
            path(&["node"]),
            json!(node.as_str()),
            "node",
            "node".to_owned(),
        );
    }
    if let Some(pool) = live.pool {
        out.place(
            path(&["pool"]),
            json!(pool.as_str()),
            "pool",
            "pool".to_owned(),
        );
    }
    if let Some(power) = live.power {
        let word = match power {
            Power::Running => "running",
            Power::Stopped => "stopped",
        };
        out.place(
            path(&["powerState"]),
            json!(word),
            "power",
            "power".to_owned(),
        );
    }
    let template = live.section.get("template");
    if template.is_some_and(|flag| is_true(flag)) {
        out.place(
            path(&["isTemplate"]),
            json!(true),
            "template",
            "template".to_owned(),
        );
    }
    let mut reading = fields::Reading::new(Some(live.kind), kind, live.section, &mut out);
    disks::read(live, &mut reading);
    if live.kind == GuestKind::Lxc {
        reading.unprivileged();
    }
    reading.fields();
    reading.rest();
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a storage.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn storage(name: String, live: &LiveStorage<'_>) -> Result<Imported, String> {
    let kind = Kind::Storage;
    let object = format!("storage/{}", live.id);
    let named = name == live.id.as_str();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    if !named {
        out.spec.insert("id".to_owned(), json!(live.id.as_str()));
    }
    let known = serde_json::from_value::<super::storage::StorageType>(json!(live.storage_type));
    if known.is_ok() {
        let value = json!(live.storage_type);
        out.place(path(&["type"]), value, "type", "type".to_owned());
    } else {
        let why = format!(
            "a document cannot say the type `{}`; such a storage is only changed, never defined",
            super::validate::short(live.storage_type)
        );
        out.leave_out("type", why);
    }
    let mut reading = fields::Reading::new(None, kind, live.options, &mut out);
    // Of the types that are always shared Proxmox VE reports it; for them it is no setting.
    if known.is_ok_and(|known| !known.options().contains(&"shared")) {
        reading.pass_over("shared");
    }
    reading.fields();
    reading.rest();
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a pool.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn pool(name: String, live: &LivePool<'_>) -> Result<Imported, String> {
    let kind = Kind::Pool;
    let object = format!("pool/{}", live.id);
    let named = name == live.id.as_str();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    if !named {
        out.spec.insert("id".to_owned(), json!(live.id.as_str()));
    }
    if let Some(comment) = live
        .comment
        .map(str::trim_end)
        .filter(|text| !text.is_empty())
    {
        out.place(
            path(&["comment"]),
            json!(comment),
            "comment",
            "comment".to_owned(),
        );
    }
    if !live.storages.is_empty() {
        let storages = live.storages.iter().map(StorageId::as_str);
        let value = Value::from_iter(storages);
        out.place(
            path(&["storages"]),
            value,
            "storages",
            "storages".to_owned(),
        );
    }
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a backup job.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn backup_job(name: String, live: &LiveBackupJob<'_>) -> Result<Imported, String> {
    let kind = Kind::BackupJob;
    let object = format!("backup-job/{}", live.id);
    let named = name == live.id.as_str();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    if !named {
        out.spec.insert("id".to_owned(), json!(live.id.as_str()));
    }
    let mut reading = fields::Reading::new(None, kind, live.options, &mut out);
    reading.fields();
    reading.rest();
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a token. It names no file for the secret, which nobody can read any more.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn api_token(name: String, live: &LiveApiToken<'_>) -> Result<Imported, String> {
    let kind = Kind::ApiToken;
    let object = format!("token/{}", live.id);
    let named = name == live.id.name();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    out.spec.insert("user".to_owned(), json!(live.id.owner()));
    if !named {
        out.spec.insert("id".to_owned(), json!(live.id.name()));
    }
    out.spec
        .insert("separated".to_owned(), json!(live.separated));
    if live.expires != 0 {
        match Expiry::of_seconds(live.expires) {
            Some(expiry) => {
                out.spec
                    .insert("expires".to_owned(), json!(expiry.as_str()));
            }
            None => out.leave_out("expire", "a document cannot say this moment"),
        }
    }
    if let Some(comment) = live.comment.filter(|text| !text.is_empty()) {
        out.place(
            path(&["comment"]),
            json!(comment),
            "comment",
            "comment".to_owned(),
        );
    }
    settle::settle(&mut out)?;
    Ok(out)
}

/// The document of a snapshot.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn snapshot(name: String, live: &LiveSnapshot<'_>) -> Result<Imported, String> {
    let kind = Kind::Snapshot;
    let object = format!("snapshot/{}/{}", live.vmid, live.name);
    let named = name == live.name.as_str();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    out.spec.insert("vmid".to_owned(), json!(live.vmid));
    if !named {
        out.spec
            .insert("name".to_owned(), json!(live.name.as_str()));
    }
    if let Some(text) = live.description.filter(|text| !text.is_empty()) {
        out.spec.insert("description".to_owned(), json!(text));
    }
    if live.memory {
        out.spec.insert("includeMemory".to_owned(), json!(true));
    }
    settle::settle(&mut out)?;
    Ok(out)
}
/// The document of a replication job.
///
/// # Errors
/// Why no document can be written for it at all.
pub fn replication_job(name: String, live: &LiveReplicationJob<'_>) -> Result<Imported, String> {
    let kind = Kind::ReplicationJob;
    let object = format!("replication-job/{}", live.id);
    let named = name == live.id.as_str();
    let mut out = Imported::new(ObjectKey { kind, name }, object);
    if !named {
        out.spec.insert("id".to_owned(), json!(live.id.as_str()));
    }
    out.spec.insert("guest".to_owned(), json!(live.guest.get()));
    out.spec
        .insert("target".to_owned(), json!(live.target.as_str()));
    let mut reading = fields::Reading::new(None, kind, live.options, &mut out);
    let disabled = reading.raw("disable").map(boolean);
    match disabled {
        None => {}
        Some(Some(disabled)) => {
            reading.pass_over("disable");
            reading
                .out
                .spec
                .insert("enabled".to_owned(), json!(!disabled));
        }
        Some(None) => reading.give_up("disable", "it is neither yes nor no"),
    }
    reading.fields();
    reading.rest();
    settle::settle(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests;
