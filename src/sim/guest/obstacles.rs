//! What ties a guest to its node: local volumes, local devices, storages that another node lacks.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::state::{Cluster, Guest};
use super::conf::{Config, Section};
use super::drive::{self, Drive};
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props;

/// Storages that a guest uses and a node lacks.
#[must_use]
pub fn unavailable_storages(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    node: &str,
) -> Vec<String> {
    let used: BTreeSet<String> = drive::drives(guest.kind, &config.main, false)
        .iter()
        .filter_map(|drive| drive.volume().map(|(id, _)| id.to_owned()))
        .collect();
    used.into_iter()
        .filter(|id| cluster.usable_storage(node, id).is_err())
        .collect()
}

fn is_local(cluster: &Cluster, storage: &str) -> bool {
    cluster
        .storage(storage)
        .is_none_or(|section| !cluster.storage_is_shared(&section))
}

/// The guest's own volumes on storages that are not shared, the ones of snapshots and unused ones included.
#[must_use]
pub fn local_volumes(cluster: &Cluster, guest: &Guest, config: &Config) -> Vec<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let sections = std::iter::once(&config.main)
        .chain(config.snapshots.values())
        .chain(std::iter::once(&config.pending));
    for section in sections {
        let states = section.get("vmstate").map(str::to_owned);
        let own = drive::drives(guest.kind, section, true)
            .into_iter()
            .filter(|drive| drive.owner() == Some(guest.vmid))
            .map(|drive| drive.file().to_owned());
        found.extend(own.chain(states));
    }
    found.retain(|volid| {
        volid
            .split_once(':')
            .is_some_and(|(id, _)| is_local(cluster, id))
    });
    found.retain(|volid| cluster.volumes.get(&guest.node, volid).is_some());
    found.into_iter().collect()
}

/// `local_disks` of the migration's preconditions.
#[must_use]
pub fn local_disks(cluster: &Cluster, guest: &Guest, config: &Config) -> Vec<Value> {
    let mut answer = Vec::new();
    for drive in drive::drives(guest.kind, &config.main, true) {
        let Some((storage, _)) = drive.volume() else {
            continue;
        };
        if !is_local(cluster, storage) {
            continue;
        }
        let mut entry = disk(config, drive.file());
        entry.insert(
            "is_attached".into(),
            json!(u8::from(!keys::is_unused(&drive.key))),
        );
        entry.insert(
            "is_unused".into(),
            json!(u8::from(keys::is_unused(&drive.key))),
        );
        entry.insert("drivename".into(), json!(drive.key));
        entry.insert("cdrom".into(), json!(u8::from(drive.is_cdrom())));
        entry.insert("is_cloudinit".into(), json!(u8::from(drive.is_cloudinit())));
        entry.insert(
            "is_tpmstate".into(),
            json!(u8::from(drive.key == "tpmstate0")),
        );
        if let Some(bytes) = drive.size() {
            entry.insert("size".into(), json!(bytes));
        }
        if drive.get("replicate") == Some("0") {
            entry.insert("replicate".into(), json!(0));
        }
        answer.push(Value::Object(entry));
    }
    for section in std::iter::once(&config.main).chain(config.snapshots.values()) {
        let Some(volid) = section.get("vmstate") else {
            continue;
        };
        if volid
            .split_once(':')
            .is_some_and(|(id, _)| is_local(cluster, id))
        {
            let mut entry = disk(config, volid);
            entry.insert("is_vmstate".into(), json!(1));
            answer.push(Value::Object(entry));
        }
    }
    answer
}

fn disk(config: &Config, volid: &str) -> Map<String, Value> {
    let mut entry = Map::new();
    for key in [
        "cdrom",
        "is_attached",
        "is_cloudinit",
        "is_tpmstate",
        "is_unused",
        "is_vmstate",
        "shared",
    ] {
        entry.insert(key.into(), json!(0));
    }
    entry.insert("replicate".into(), json!(1));
    entry.insert("volid".into(), json!(volid));
    let holders: Map<String, Value> = config
        .snapshots
        .iter()
        .filter(|(_, section)| {
            section.get("vmstate") == Some(volid)
                || drive::drives(config.kind, section, true)
                    .iter()
                    .any(|drive| drive.file() == volid)
        })
        .map(|(name, _)| (name.clone(), json!(1)))
        .collect();
    if !holders.is_empty() {
        entry.insert("referenced_in_snapshot".into(), Value::Object(holders));
    }
    entry
}

/// Local resources, mapped ones, and the names of the mappings.
#[must_use]
pub fn resources(main: &Section) -> (Vec<String>, Vec<String>, Map<String, Value>) {
    let (mut local, mut mapped, mut info) = (Vec::new(), Vec::new(), Map::new());
    for (key, value) in &main.values {
        let mapping = match keys::slot(key) {
            Some(("usb", _)) => {
                let usb = props::parse(of::USB, value).unwrap_or_default();
                if !usb
                    .get("host")
                    .is_some_and(|host| host.eq_ignore_ascii_case("spice"))
                {
                    local.push(key.clone());
                }
                usb.get("mapping").cloned()
            }
            Some(("hostpci", _)) => {
                let pci = props::parse(of::HOSTPCI, value).unwrap_or_default();
                if !pci.contains_key("mapping") {
                    local.push(key.clone());
                }
                pci.get("mapping").cloned()
            }
            Some(("virtiofs", _)) => {
                local.push(key.clone());
                props::parse(of::VIRTIOFS, value)
                    .unwrap_or_default()
                    .get("dirid")
                    .cloned()
            }
            Some(("serial", _)) if value != "socket" => {
                local.push(key.clone());
                None
            }
            Some(("parallel", _)) => {
                local.push(key.clone());
                None
            }
            _ if key == "ivshmem" => {
                local.push(key.clone());
                None
            }
            _ => None,
        };
        if let Some(name) = mapping {
            mapped.push(key.clone());
            info.insert(key.clone(), json!({"name": name}));
        }
    }
    (local, mapped, info)
}

/// What makes a migration fail at its first look at the guest.
///
/// # Errors
/// The line the task logs.
pub fn check(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    live: bool,
    with_local_disks: bool,
) -> Result<(), String> {
    let (local, mapped, _) = resources(&config.main);
    if !local.is_empty() && guest.kind == Kind::Qemu {
        return Err(format!(
            "can't migrate VM which uses local devices: {}",
            local.join(", ")
        ));
    }
    if live && !mapped.is_empty() {
        return Err(format!(
            "can't migrate running VM which uses following mapped devices: {}",
            mapped.join(", ")
        ));
    }
    for drive in drive::drives(guest.kind, &config.main, true) {
        check_drive(cluster, guest, config, &drive, live, with_local_disks)?;
    }
    Ok(())
}

/// That a container's storages can be used on both nodes and hold root file systems, which is looked at before it is shut down
/// (PVE::LXC::Migrate `prepare`). `storage_there` tells where a volume of a storage goes.
///
/// # Errors
/// The line the task logs.
pub fn check_containers(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    target: &str,
    storage_there: impl Fn(&str) -> String,
) -> Result<(), String> {
    if guest.kind != Kind::Lxc {
        return Ok(());
    }
    let drives = drive::drives(guest.kind, &config.main, true);
    for (here, _) in drives.iter().filter_map(Drive::volume) {
        let there = storage_there(here);
        for (node, id) in [(guest.node.as_str(), here), (target, there.as_str())] {
            if !cluster.usable_storage(node, id)?.holds("rootdir") {
                return Err(format!(
                    "content type 'rootdir' is not available on storage '{id}'"
                ));
            }
        }
    }
    Ok(())
}

/// That the storages a machine's volumes are on, or go to, can be used on the other node and hold images (PVE::QemuMigrate
/// `target_storage_check_available`). `storage_there` tells where a volume of a local storage goes.
///
/// # Errors
/// The line the task logs.
pub fn check_machines(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    target: &str,
    storage_there: impl Fn(&str) -> String,
) -> Result<(), String> {
    if guest.kind != Kind::Qemu {
        return Ok(());
    }
    for drive in drive::drives(guest.kind, &config.main, true) {
        let Some((here, _)) = drive.volume() else {
            continue;
        };
        let there = if is_local(cluster, here) {
            storage_there(here)
        } else {
            here.to_owned()
        };
        let section = cluster.usable_storage(target, &there)?;
        let own = !drive.is_cdrom() || drive.is_cloudinit();
        if own && !section.holds("images") {
            return Err(format!(
                "{}: content type 'images' is not available on storage '{there}'",
                drive.file()
            ));
        }
    }
    Ok(())
}

fn check_drive(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    drive: &Drive,
    live: bool,
    with_local_disks: bool,
) -> Result<(), String> {
    let file = drive.file();
    let wrap = |text: &str| {
        Err(format!(
            "Problem found while scanning volumes - can't migrate '{file}': {text}"
        ))
    };
    let Some((storage, _)) = drive.volume() else {
        return match guest.kind {
            Kind::Qemu if file.starts_with('/') => wrap("can't migrate local disk"),
            Kind::Lxc if drive.get("shared") != Some("1") && drive.key != "rootfs" => Err(format!(
                "cannot migrate local bind mount point '{}'",
                drive.key
            )),
            Kind::Qemu | Kind::Lxc => Ok(()),
        };
    };
    if !is_local(cluster, storage) {
        return Ok(());
    }
    if drive.is_cdrom() && !drive.is_cloudinit() {
        return wrap("local cdrom image");
    }
    if drive.owner() != Some(guest.vmid) {
        return wrap(&format!(
            "owned by other VM (owner = VM {})",
            drive.owner().unwrap_or(0)
        ));
    }
    if cluster.is_base_in_use(file) {
        return wrap("referenced by linked clone(s)");
    }
    if live && !with_local_disks && !drive.is_cloudinit() {
        return wrap("can't live migrate attached local disks without with-local-disks option");
    }
    let snapshots = config.snapshots.values();
    let held = snapshots
        .flat_map(|section| drive::drives(guest.kind, section, true))
        .any(|other| other.file() == file);
    if live && held {
        return wrap("online storage migration not possible if non-replicated snapshot exists");
    }
    let kind = cluster
        .storage(storage)
        .map(|section| section.kind)
        .unwrap_or_default();
    let format = cluster
        .volumes
        .get(&guest.node, file)
        .map(|volume| volume.format.clone())
        .unwrap_or_default();
    if held
        && kind != "zfspool"
        && !(super::super::volumes::is_file_based(&kind) && format == "qcow2")
    {
        return wrap("non-migratable snapshot exists");
    }
    Ok(())
}
