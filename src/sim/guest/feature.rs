//! What storages can do with a guest's volumes: snapshots, linked clones, copies.

use serde_json::json;

use super::super::call::{Answer, ApiError, Call};
use super::super::section_config::Section as Storage;
use super::super::state::{Cluster, Guest};
use super::super::volumes::is_file_based;
use super::access::{self, Loaded};
use super::conf::Section;
use super::drive::{self, Drive};
use super::kind::Kind;

/// Whether a volume of this format on this storage can be snapshotted.
#[must_use]
pub fn can_snapshot(storage: &Storage, format: &str) -> bool {
    match storage.kind.as_str() {
        "zfspool" | "rbd" | "lvmthin" | "btrfs" | "cephfs" => true,
        "lvm" => storage.flag("snapshot-as-volume-chain") && format == "qcow2",
        kind if is_file_based(kind) => format == "qcow2",
        _ => false,
    }
}

/// Whether linked clones can stand on a base volume of this storage.
#[must_use]
pub fn can_link(storage: &Storage, drive: &Drive) -> bool {
    let name = drive.volume().map_or("", |(_, name)| name);
    let last = name.rsplit('/').next().unwrap_or(name);
    let base = last.starts_with("base-") || last.starts_with("basevol-");
    base && (matches!(storage.kind.as_str(), "zfspool" | "rbd" | "lvmthin")
        || is_file_based(&storage.kind))
}

/// Whether a machine's volume can be copied as it is in a snapshot (pve-storage: the feature `copy` of snapshots).
#[must_use]
pub fn copies_snapshot(cluster: &Cluster, guest: &Guest, storage: &Storage, drive: &Drive) -> bool {
    let volume = cluster.volumes.get(&guest.node, drive.file());
    match storage.kind.as_str() {
        "rbd" | "lvmthin" | "btrfs" => true,
        kind if is_file_based(kind) => {
            !storage.flag("snapshot-as-volume-chain")
                && volume.is_some_and(|volume| volume.format == "qcow2")
        }
        _ => false,
    }
}

/// Whether every volume in a section can be snapshotted; CD drives other than cloud-init do not count.
#[must_use]
pub fn all_snapshot(cluster: &Cluster, guest: &Guest, section: &Section) -> bool {
    let drives = drive::drives(guest.kind, section, false);
    drives
        .iter()
        .filter(|drive| !drive.is_cdrom())
        .all(|drive| {
            let Some((id, _)) = drive.volume() else {
                return false;
            };
            let Some(storage) = cluster.storage(id) else {
                return false;
            };
            cluster
                .volumes
                .get(&guest.node, drive.file())
                .is_some_and(|volume| can_snapshot(&storage, &volume.format))
        })
}

/// `GET …/{vmid}/feature`.
pub fn feature(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded { config, guest, .. } = access::load(cluster, call)?;
    let section = match call.get("snapname") {
        None => config.main.clone(),
        Some(name) => config
            .snapshots
            .get(name)
            .cloned()
            .ok_or_else(|| ApiError::internal(format!("snapshot '{name}' does not exist")))?,
    };
    let has = match call.text("feature") {
        "snapshot" => all_snapshot(cluster, &guest, &section),
        "clone" => drive::drives(guest.kind, &section, false)
            .iter()
            .filter(|drive| !drive.is_cdrom())
            .all(|drive| {
                let storage = drive.volume().and_then(|(id, _)| cluster.storage(id));
                storage.is_some_and(|storage| can_link(&storage, drive))
            }),
        _ => true,
    };
    match guest.kind {
        Kind::Lxc => Ok(json!({"hasFeature": u8::from(has)})),
        Kind::Qemu => {
            let nodes: Vec<&String> = cluster
                .nodes
                .keys()
                .filter(|node| all_reach(cluster, &guest, &section, node))
                .collect();
            Ok(json!({"hasFeature": u8::from(has), "nodes": nodes}))
        }
    }
}

/// Whether a node reaches every volume in a section where it is.
#[must_use]
pub fn all_reach(cluster: &Cluster, guest: &Guest, section: &Section, node: &str) -> bool {
    drive::drives(guest.kind, section, false)
        .iter()
        .filter_map(|drive| drive.volume())
        .all(|(id, _)| {
            cluster.storage(id).is_some_and(|storage| {
                storage.on_node(node) && (node == guest.node || cluster.storage_is_shared(&storage))
            })
        })
}
