//! Snapshots of guests: list, take, read, describe, roll back, delete.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::conf::{Config, Section};
use super::drive;
use super::feature;
use super::keys;
use super::kind::Kind;
use super::read;

fn missing(name: &str) -> String {
    format!("snapshot '{name}' does not exist")
}

/// `GET …/{vmid}/snapshot`.
pub fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded {
        config,
        digest,
        guest,
    } = access::load(cluster, call)?;
    let mut answer: Vec<Value> = config
        .snapshots
        .iter()
        .map(|(name, snapshot)| entry(&guest, name, snapshot))
        .collect();
    let running = u8::from(access::is_running(cluster, guest.vmid));
    let mut now = json!({"name": "current", "description": "You are here!", "digest": digest, "running": running});
    if let (Some(map), Some(parent)) = (now.as_object_mut(), config.main.get("parent")) {
        map.insert("parent".into(), json!(parent));
    }
    answer.push(now);
    Ok(Value::Array(answer))
}

fn entry(guest: &Guest, name: &str, snapshot: &Section) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), json!(name));
    let description = snapshot
        .get("description")
        .map(|text| read::value(guest.kind, "description", text));
    map.insert(
        "description".into(),
        description.unwrap_or_else(|| json!("")),
    );
    map.insert(
        "snaptime".into(),
        json!(snapshot.int("snaptime").unwrap_or(0)),
    );
    if guest.kind == Kind::Qemu {
        map.insert(
            "vmstate".into(),
            json!(u8::from(snapshot.get("vmstate").is_some())),
        );
    }
    for key in ["parent", "snapstate"] {
        if let Some(value) = snapshot.get(key) {
            map.insert(key.into(), json!(value));
        }
    }
    Value::Object(map)
}

/// `GET …/snapshot/{snapname}`.
pub fn index(_: &mut Cluster, _: &Call) -> Answer {
    Ok(json!([{"cmd": "rollback"}, {"cmd": "config"}]))
}

/// `GET …/snapshot/{snapname}/config`.
pub fn config(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded { config, guest, .. } = access::load(cluster, call)?;
    let name = call.text("snapname");
    let snapshot = config
        .snapshots
        .get(name)
        .ok_or_else(|| ApiError::internal(missing(name)))?;
    let map: Map<String, Value> = snapshot
        .values
        .iter()
        .map(|(key, text)| (key.clone(), read::value(guest.kind, key, text)))
        .collect();
    Ok(Value::Object(map))
}

/// `PUT …/snapshot/{snapname}/config`.
pub fn describe(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut loaded = access::load(cluster, call)?;
    access::check_lock(&loaded.config)?;
    let name = call.text("snapname");
    let snapshot = loaded
        .config
        .snapshots
        .get_mut(name)
        .ok_or_else(|| ApiError::internal(missing(name)))?;
    match call
        .get("description")
        .map(|text| text.trim_end_matches('\n'))
    {
        Some("") => {
            snapshot.remove("description");
        }
        Some(text) => snapshot.set("description", text),
        None => {}
    }
    access::store(cluster, &loaded.guest, &loaded.config);
    Ok(Value::Null)
}

fn task(call: &Call, guest: &Guest, verb: &str) -> TaskSpec {
    TaskSpec::new(
        &guest.node,
        &format!("{}{verb}", guest.kind.task()),
        guest.vmid,
        &call.auth,
    )
}

/// `POST …/{vmid}/snapshot`.
pub fn take(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: access::kind_of(call),
        node: call.node().to_owned(),
    };
    let name = call.text("snapname").to_owned();
    if matches!(name.as_str(), "current" | "pending") {
        return Err(ApiError::internal(format!(
            "unable to use snapshot name '{name}' (reserved name)"
        )));
    }
    let spec = task(call, &guest, "snapshot");
    let ram = call.is_set("vmstate")
        && guest.kind == Kind::Qemu
        && access::is_running(cluster, guest.vmid);
    if let Err(text) = prepare(cluster, &guest, &name, call.get("description")) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    let (undone, undone_name) = (guest.clone(), name.clone());
    let spec = spec.on_abort(move |cluster, _| abandon(cluster, &undone, &undone_name));
    let seconds = if ram { 6.0 } else { 2.0 };
    Ok(cluster.spawn(spec.lasting(seconds), move |cluster, log| {
        let done = commit(cluster, &guest, &name, ram, log);
        if done.is_err() {
            abandon(cluster, &guest, &name);
        }
        done
    }))
}

/// The first half of taking a snapshot: its section is there, marked as being prepared, and the guest is locked.
fn prepare(
    cluster: &mut Cluster,
    guest: &Guest,
    name: &str,
    description: Option<&str>,
) -> Result<(), String> {
    let mut config = access::reload(cluster, guest)?.config;
    if config.main.is_set("template") {
        return Err("you can't take a snapshot if it's a template".into());
    }
    access::check_lock(&config)?;
    if config.snapshots.contains_key(name) {
        return Err(format!("snapshot name '{name}' already used"));
    }
    if !feature::all_snapshot(cluster, guest, &config.main) {
        return Err("snapshot feature is not available".into());
    }
    let mut snapshot = config.main.clone();
    snapshot
        .values
        .retain(|key, _| key != "description" && key != "lock" && !keys::is_unused(key));
    if let Some(text) = description
        .map(|text| text.trim_end_matches('\n'))
        .filter(|text| !text.is_empty())
    {
        snapshot.set("description", text);
    }
    snapshot.set("snaptime", cluster.clock.unix().to_string());
    snapshot.set("snapstate", "prepare");
    config.snapshots.insert(name.to_owned(), snapshot);
    config.main.set("lock", "snapshot");
    access::store(cluster, guest, &config);
    Ok(())
}

fn commit(
    cluster: &mut Cluster,
    guest: &Guest,
    name: &str,
    ram: bool,
    log: &mut TaskLog,
) -> Result<(), String> {
    let main = access::reload(cluster, guest)?.config.main;
    activate(cluster, guest, &main)?;
    let state = if ram {
        let volid = save_state(cluster, guest, name, None)?;
        log.say(format!(
            "saving VM state and RAM using storage '{}'",
            volid.split(':').next().unwrap_or_default()
        ));
        Some(volid)
    } else {
        None
    };
    access::change(cluster, guest, |config| {
        if guest.kind == Kind::Qemu {
            for drive in drive::drives(guest.kind, &config.main, false)
                .iter()
                .filter(|drive| !drive.is_cdrom())
            {
                log.say(format!(
                    "snapshotting 'drive-{}' ({})",
                    drive.key,
                    drive.file()
                ));
            }
        }
        let snapshot = config
            .snapshots
            .get_mut(name)
            .ok_or_else(|| missing(name))?;
        snapshot.remove("snapstate");
        if let Some(volid) = state {
            snapshot.set("vmstate", volid);
            snapshot.set("runningmachine", "pc-i440fx-10.0");
            snapshot.set(
                "runningcpu",
                "kvm64,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+lahf_lm,+sep",
            );
        }
        config.main.set("parent", name);
        config.main.remove("lock");
        Ok(())
    })
}

/// That the guest's node can use every storage a section has volumes on (`__snapshot_activate_storages`).
fn activate(cluster: &Cluster, guest: &Guest, section: &Section) -> Result<(), String> {
    let drives = drive::drives(guest.kind, section, false);
    let volumes = drives.iter().filter(|drive| !drive.is_cdrom());
    let mut used: BTreeSet<String> = volumes
        .filter_map(|drive| drive.volume().map(|(id, _)| id.to_owned()))
        .collect();
    let state = section.get("vmstate").and_then(|id| id.split_once(':'));
    used.extend(state.map(|(id, _)| id.to_owned()));
    used.iter()
        .try_for_each(|id| cluster.usable_storage(&guest.node, id).map(|_| ()))
}

fn abandon(cluster: &mut Cluster, guest: &Guest, name: &str) {
    let _ = access::change(cluster, guest, |config| {
        config.snapshots.remove(name);
        config.main.remove("lock");
        Ok(())
    });
}

/// The storage for a guest's memory: a shared one of its disks' before one of its node, of either the last one with files, else the
/// first one (qemu-server: `find_vmstate_storage`).
fn state_storage(cluster: &Cluster, guest: &Guest, section: &Section) -> String {
    let (mut shared, mut local) = (None, None);
    let drives = drive::drives(guest.kind, section, false);
    for drive in drives.iter().filter(|drive| !drive.is_cdrom()) {
        let Some((id, _)) = drive.volume() else {
            continue;
        };
        let Some(storage) = cluster.storage(id) else {
            continue;
        };
        let kept = if cluster.storage_is_shared(&storage) {
            &mut shared
        } else {
            &mut local
        };
        if kept.is_none() || storage.get("path").is_some() {
            *kept = Some(id.to_owned());
        }
    }
    shared.or(local).unwrap_or_else(|| "local".into())
}

/// Makes the volume that a guest's memory is saved to.
///
/// # Errors
/// No storage can hold it.
pub fn save_state(
    cluster: &mut Cluster,
    guest: &Guest,
    name: &str,
    storage: Option<String>,
) -> Result<String, String> {
    let config = access::reload(cluster, guest)?.config;
    let storage = storage
        .or_else(|| config.main.get("vmstatestorage").map(str::to_owned))
        .unwrap_or_else(|| state_storage(cluster, guest, &config.main));
    // The whole memory, some for devices, and room for what changes while it is written.
    let bytes =
        u64::try_from(read::memory(guest.kind, &config.main)).unwrap_or(0) * 2 + (500 << 20);
    cluster.allocate(
        &guest.node,
        &storage,
        guest.vmid,
        bytes,
        None,
        &format!("state-{name}"),
    )
}

/// `DELETE …/snapshot/{snapname}`.
pub fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: access::kind_of(call),
        node: call.node().to_owned(),
    };
    let name = call.text("snapname").to_owned();
    let spec = task(call, &guest, "delsnapshot");
    let checked = access::reload(cluster, &guest).and_then(|loaded| {
        access::check_lock(&loaded.config)?;
        let snapshots = &loaded.config.snapshots;
        let snapshot = snapshots.get(&name).ok_or_else(|| missing(&name))?;
        activate(cluster, &guest, snapshot)
    });
    if let Err(text) = checked {
        return Ok(cluster.spawn_failed(spec, text));
    }
    access::set_lock(cluster, &guest, Some("snapshot-delete"));
    let undone = guest.clone();
    let spec = spec.on_abort(move |cluster, _| access::set_lock(cluster, &undone, None));
    Ok(cluster.spawn(spec.lasting(2.0), move |cluster, _| {
        let mut config = access::reload(cluster, &guest)?.config;
        let state = forget(&guest, &mut config, &name)?;
        config.main.remove("lock");
        access::store(cluster, &guest, &config);
        match state {
            Some(volid) => cluster.free(&guest.node, &volid),
            None => Ok(()),
        }
    }))
}

/// Removes a snapshot's section: its children get its parent, and volumes that only it used become unused ones.
fn forget(guest: &Guest, config: &mut Config, name: &str) -> Result<Option<String>, String> {
    let mut snapshot = config.snapshots.remove(name).ok_or_else(|| missing(name))?;
    let parent = snapshot.remove("parent");
    for section in std::iter::once(&mut config.main).chain(config.snapshots.values_mut()) {
        if section.get("parent") == Some(name) {
            match &parent {
                Some(parent) => section.set("parent", parent.clone()),
                None => {
                    section.remove("parent");
                }
            }
        }
    }
    for drive in drive::drives(guest.kind, &snapshot, false) {
        let others = std::iter::once(&config.main).chain(config.snapshots.values());
        let used = others
            .flat_map(|section| drive::drives(guest.kind, section, true))
            .any(|other| other.file() == drive.file());
        if !used && !drive.is_cdrom() && drive.owner() == Some(guest.vmid) {
            drive::add_unused(&mut config.main, drive.file());
        }
    }
    Ok(snapshot.remove("vmstate"))
}

/// `POST …/snapshot/{snapname}/rollback`.
pub fn rollback(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: access::kind_of(call),
        node: call.node().to_owned(),
    };
    let name = call.text("snapname").to_owned();
    let spec = task(call, &guest, "rollback");
    let checked = access::reload(cluster, &guest).and_then(|loaded| {
        let snapshot = loaded
            .config
            .snapshots
            .get(&name)
            .ok_or_else(|| missing(&name))?;
        activate(cluster, &guest, snapshot)?;
        access::check_lock(&loaded.config)?;
        most_recent(cluster, &guest, &loaded.config, &name, snapshot)
    });
    if let Err(text) = checked {
        return Ok(cluster.spawn_failed(spec, text));
    }
    cluster.running.remove(&guest.vmid);
    access::set_lock(cluster, &guest, Some("rollback"));
    let undone = guest.clone();
    let spec = spec.on_abort(move |cluster, _| access::set_lock(cluster, &undone, None));
    let start = call.is_set("start");
    Ok(cluster.spawn(spec.lasting(2.0), move |cluster, log| {
        let ram = restore(cluster, &guest, &name)?;
        if start || ram {
            super::power::start_now(cluster, &guest, log)
        } else {
            Ok(())
        }
    }))
}

/// ZFS rolls back to its most recent snapshot only.
fn most_recent(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    name: &str,
    snapshot: &Section,
) -> Result<(), String> {
    for drive in drive::drives(guest.kind, snapshot, false)
        .iter()
        .filter(|drive| !drive.is_cdrom())
    {
        let zfs = drive
            .volume()
            .and_then(|(id, _)| cluster.storage(id))
            .is_some_and(|found| found.kind == "zfspool");
        let newer = config.snapshots.iter().any(|(other, section)| {
            other != name
                && section.int("snaptime") >= snapshot.int("snaptime")
                && section
                    .get(&drive.key)
                    .is_some_and(|value| value.split(',').next() == Some(drive.file()))
        });
        if zfs && newer {
            return Err(format!(
                "can't rollback, '{name}' is not most recent snapshot on '{}'",
                drive.file()
            ));
        }
    }
    Ok(())
}

/// Makes a snapshot's settings the ones in force; answers whether it holds memory too.
fn restore(cluster: &mut Cluster, guest: &Guest, name: &str) -> Result<bool, String> {
    let generation = cluster.random_uuid();
    access::change(cluster, guest, |config| {
        let snapshot = config
            .snapshots
            .get(name)
            .cloned()
            .ok_or_else(|| missing(name))?;
        let ram = snapshot.get("vmstate").is_some();
        let mut main = snapshot;
        for key in [
            "snaptime",
            "vmstate",
            "runningmachine",
            "runningcpu",
            "running-nets-host-mtu",
            "description",
        ] {
            main.remove(key);
        }
        for key in ["description"] {
            if let Some(value) = config.main.get(key) {
                main.set(key, value);
            }
        }
        main.set("parent", name);
        if main.get("vmgenid").is_some() {
            main.set("vmgenid", generation);
        }
        for drive in drive::drives(guest.kind, &config.main, true) {
            let kept = drive::drives(guest.kind, &main, true)
                .iter()
                .any(|other| other.file() == drive.file());
            if !kept && !drive.is_cdrom() && drive.owner() == Some(guest.vmid) {
                drive::add_unused(&mut main, drive.file());
            }
        }
        config.main = main;
        config.pending = Section::default();
        config.pending_delete.clear();
        Ok(ram)
    })
}
