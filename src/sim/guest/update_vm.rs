//! `POST` and `PUT /nodes/{node}/qemu/{vmid}/config`, and `unlink`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::call::{Answer, ApiError, Auth, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::apply;
use super::conf::Config;
use super::create_vm::settings;
use super::disks;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;
use super::normalize;
use super::permits::{self, Subject};

/// A checked change, ready to be made.
#[derive(Debug, Clone)]
struct Change {
    guest: Guest,
    auth: Auth,
    sets: BTreeMap<String, String>,
    deletes: Vec<String>,
    reverts: Vec<String>,
    force: bool,
    digest: Option<String>,
}

/// `PUT …/config`: changes at once.
pub fn put(cluster: &mut Cluster, call: &Call) -> Answer {
    let change = prepare(cluster, call)?;
    make(cluster, &change, &mut TaskLog::default())?;
    Ok(Value::Null)
}

/// `POST …/config`: changes in a task.
pub fn post(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut change = prepare(cluster, call)?;
    // Proxmox VE keeps the file locked from the check on; here another request may come between.
    change.digest = None;
    let line = describe(&change);
    let spec = TaskSpec::new(
        &change.guest.node,
        "qmconfig",
        change.guest.vmid,
        &change.auth,
    )
    .saying(line);
    Ok(cluster.spawn(spec.lasting(0.5), move |cluster, log| {
        make(cluster, &change, log).map_err(|error| {
            let details: String = error
                .errors
                .iter()
                .map(|(key, text)| format!("\n{key}: {text}"))
                .collect();
            if details.is_empty() {
                error.message
            } else {
                format!("400 {}{details}", error.message)
            }
        })
    }))
}

/// `PUT …/unlink`: removes drives, and with `force` frees them.
pub fn unlink(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut call = call.clone();
    if let Some(list) = call.params.remove("idlist") {
        call.params.insert("delete".into(), list);
    }
    put(cluster, &call)
}

fn describe(change: &Change) -> String {
    let mut line = format!("update VM {}:", change.guest.vmid);
    let mut parts: BTreeMap<&str, String> = change
        .sets
        .iter()
        .map(|(key, value)| match key.as_str() {
            "cipassword" => (key.as_str(), "<hidden>".to_owned()),
            _ => (key.as_str(), value.clone()),
        })
        .collect();
    if !change.deletes.is_empty() {
        parts.insert("delete", change.deletes.join(","));
    }
    if !change.reverts.is_empty() {
        parts.insert("revert", change.reverts.join(","));
    }
    for (key, value) in parts {
        line.push_str(&format!(" -{key} {value}"));
    }
    line
}

fn prepare(cluster: &mut Cluster, call: &Call) -> Result<Change, ApiError> {
    access::root_only(call, &["skiplock"])?;
    let guest = Guest {
        vmid: call.vmid(),
        kind: Kind::Qemu,
        node: call.node().to_owned(),
    };
    let mut sets = settings(call);
    let deletes = call.list("delete");
    let reverts = call.list("revert");
    if sets.is_empty() && deletes.is_empty() && reverts.is_empty() {
        return Err(ApiError::internal("no options specified"));
    }
    check_names(Kind::Qemu, &sets, &deletes, &reverts)?;
    if let Some(keys) = sets.get("sshkeys") {
        normalize::check_ssh_keys(keys)?;
    }
    if let Some(script) = sets.get("hookscript")
        && cluster.volumes.get(&guest.node, script).is_none()
    {
        return Err(ApiError::parameter(
            "hookscript",
            format!("script '{script}' does not exist\n"),
        ));
    }
    let subject = Subject {
        auth: &call.auth,
        vmid: guest.vmid,
        pool: None,
    };
    permits::vm_keys(cluster, subject, deletes.iter().map(String::as_str))?;
    permits::vm_keys(cluster, subject, sets.keys().map(String::as_str))?;
    for (key, value) in &mut sets {
        if keys::is_volume_slot(Kind::Qemu, key)
            && let Some(drive) = Drive::parse(Kind::Qemu, key, value)
        {
            permits::volume(cluster, subject, &drive)?;
        }
        *value = match key.as_str() {
            "tags" => normalize::tags(cluster, value),
            "cipassword" => hashed(cluster, value),
            _ => normalize::value(cluster, Kind::Qemu, key, value)?,
        };
    }
    let loaded = access::load(cluster, call)?;
    for (key, value) in &sets {
        permits::vm_value(cluster, subject, loaded.config.main.get(key), key, value)?;
    }
    for (key, value) in &sets {
        let slot = keys::is_volume_slot(Kind::Qemu, key);
        let drive = slot.then(|| Drive::parse(Kind::Qemu, key, value)).flatten();
        let held = loaded.config.main.get(key);
        let held = held.and_then(|value| Drive::parse(Kind::Qemu, key, value));
        if let Some(drive) = drive
            && held.is_none_or(|held| held.file() != drive.file())
        {
            cluster.check_replicated(guest.vmid, &drive)?;
        }
    }
    let digest = call.get("digest").map(str::to_owned);
    access::check_digest(&loaded, digest.as_deref())?;
    if !call.is_set("skiplock") && !deletes.iter().any(|key| key == "lock") {
        access::check_lock(&loaded.config)?;
    }
    check_balloon(&loaded, &sets)?;
    Ok(Change {
        guest,
        auth: call.auth.clone(),
        sets,
        deletes,
        reverts,
        force: call.is_set("force"),
        digest,
    })
}

/// That names to delete and revert are settings, and not set at the same time.
///
/// # Errors
/// Status 400 in Proxmox VE's words, stray quotes included.
pub fn check_names(
    kind: Kind,
    sets: &BTreeMap<String, String>,
    deletes: &[String],
    reverts: &[String],
) -> Result<(), ApiError> {
    for (word, list) in [("delete", deletes), ("revert", reverts)] {
        for key in list {
            if sets.contains_key(key) {
                let text = match word {
                    "delete" => {
                        format!("you can't use '-{key}' and -delete {key}' at the same time")
                    }
                    _ => format!("you can't use '-{key}' and '-revert {key}' at the same time"),
                };
                return Err(ApiError::parameter(word, text));
            }
            if keys::option(kind, key).is_none() {
                return Err(ApiError::parameter(word, format!("unknown option '{key}'")));
            }
            if word == "delete" && reverts.contains(key) {
                let text =
                    format!("you can't use '-delete {key}' and '-revert {key}' at the same time");
                return Err(ApiError::parameter("delete", text));
            }
        }
    }
    Ok(())
}

/// A password as the update path stores it: never in clear. The hash stands in for SHA-crypt.
fn hashed(cluster: &mut Cluster, password: &str) -> String {
    if password.starts_with("$5$") || password.starts_with("$6$") {
        return password.to_owned();
    }
    let salt = cluster.random();
    let digest = super::conf::digest(&format!("{salt}{password}"));
    format!("$5${salt:016x}${digest}")
}

fn check_balloon(loaded: &Loaded, sets: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let main = super::read::applied(&loaded.config);
    let number = |key: &str| {
        sets.get(key)
            .map(String::as_str)
            .or_else(|| main.get(key))
            .and_then(|text| text.parse::<i64>().ok())
    };
    if !sets.contains_key("memory") && !sets.contains_key("balloon") {
        return Ok(());
    }
    match (number("balloon"), number("memory")) {
        (Some(balloon), memory) if balloon > memory.unwrap_or(512) => Err(ApiError::internal(
            "balloon value too large (must be smaller than assigned memory)",
        )),
        _ => Ok(()),
    }
}

/// Makes a change: each key is written to the pending section by itself, so that a failure leaves earlier ones there.
fn make(cluster: &mut Cluster, change: &Change, log: &mut TaskLog) -> Result<(), ApiError> {
    let guest = &change.guest;
    let loaded = access::load_from(cluster, &guest.node, guest.kind, guest.vmid)?;
    access::check_digest(&loaded, change.digest.as_deref())?;
    let mut config = loaded.config;
    let mut touched = BTreeSet::new();
    for key in &change.reverts {
        revert(cluster, guest, &mut config, key);
    }
    for key in &change.deletes {
        delete(cluster, change, &mut config, key, &mut touched)?;
        access::store(cluster, guest, &config);
    }
    for (key, value) in &change.sets {
        touched.insert(key.clone());
        if config.pending.get(key) == Some(value) {
            continue;
        }
        set(cluster, change, &mut config, key, value, &mut touched, log)?;
        config.pending_delete.remove(key);
        access::store(cluster, guest, &config);
    }
    apply::run(cluster, guest, &mut config, &touched)
}

fn revert(cluster: &mut Cluster, guest: &Guest, config: &mut Config, key: &str) {
    if let Some(value) = config.pending.remove(key)
        && keys::is_volume_slot(Kind::Qemu, key)
        && let Some(drive) = Drive::parse(Kind::Qemu, key, &value)
        && config
            .main
            .get(key)
            .is_none_or(|old| !old.starts_with(drive.file()))
    {
        disks::detach(cluster, guest, config, &drive);
    }
    config.pending_delete.remove(key);
}

fn delete(
    cluster: &mut Cluster,
    change: &Change,
    config: &mut Config,
    key: &str,
    touched: &mut BTreeSet<String>,
) -> Result<(), ApiError> {
    let guest = &change.guest;
    let subject = Subject {
        auth: &change.auth,
        vmid: guest.vmid,
        pool: None,
    };
    if config.main.get(key).is_none() && config.pending.get(key).is_none() {
        return Ok(());
    }
    touched.insert(key.to_owned());
    let pending = config.pending.remove(key);
    if apply::unboot(config, key) {
        touched.insert("boot".into());
    }
    if keys::is_unused(key) || keys::is_volume_slot(Kind::Qemu, key) {
        let value = config
            .main
            .get(key)
            .or(pending.as_deref())
            .unwrap_or_default();
        let drive = Drive::parse(Kind::Qemu, key, value)
            .ok_or_else(|| ApiError::internal(format!("unable to parse drive '{key}'")))?;
        if keys::is_unused(key) {
            access::check_protection(
                config,
                &format!("can't remove unused disk '{}'", drive.file()),
            )?;
            cluster.check_guest(subject.auth, subject.vmid, None, &["VM.Config.Disk"])?;
            if let Some((storage, _)) = drive.volume()
                && drive.owner() == Some(subject.vmid)
            {
                let path = format!("/storage/{storage}");
                cluster.check_all(subject.auth, &path, &["Datastore.AllocateSpace"])?;
            }
            disks::deallocate(cluster, guest, config, &drive)?;
            config.main.remove(key);
            return Ok(());
        }
        access::check_protection(config, &format!("can't remove drive '{key}'"))?;
        let privilege = if drive.is_cdrom() {
            "VM.Config.CDROM"
        } else {
            "VM.Config.Disk"
        };
        cluster.check_guest(subject.auth, subject.vmid, None, &[privilege])?;
        if let Some(pending) = pending.and_then(|value| Drive::parse(Kind::Qemu, key, &value)) {
            disks::detach(cluster, guest, config, &pending);
        }
    } else if let Some(value) = config.main.get(key).map(str::to_owned) {
        permits::vm_value(cluster, subject, None, key, &value)?;
    }
    let force = change.force && keys::is_volume_slot(Kind::Qemu, key);
    config.pending_delete.insert(key.to_owned(), force);
    Ok(())
}

fn set(
    cluster: &mut Cluster,
    change: &Change,
    config: &mut Config,
    key: &str,
    value: &str,
    touched: &mut BTreeSet<String>,
    log: &mut TaskLog,
) -> Result<(), ApiError> {
    if keys::is_volume_slot(Kind::Qemu, key) {
        return set_drive(cluster, change, config, key, value, touched, log);
    }
    match key {
        "boot" => {
            let exists = |device: &str| {
                config.pending.get(device).is_some()
                    || (config.main.get(device).is_some()
                        && !config.pending_delete.contains_key(device))
                    || change.sets.contains_key(device)
            };
            normalize::check_boot(value, exists)?;
            config.main.remove("bootdisk");
        }
        "ostype" => {
            let machine = config
                .pending
                .get("machine")
                .or_else(|| config.main.get("machine"));
            let pinned = normalize::pinned_machine(value, machine);
            if let Some(machine) = pinned.filter(|_| !change.sets.contains_key("machine")) {
                config.pending.set("machine", machine);
                touched.insert("machine".into());
            }
        }
        _ => {}
    }
    if key == "description" && value.is_empty() {
        config.pending.remove(key);
        config.pending_delete.insert(key.to_owned(), false);
        return Ok(());
    }
    config.pending.set(key, value);
    Ok(())
}

fn set_drive(
    cluster: &mut Cluster,
    change: &Change,
    config: &mut Config,
    key: &str,
    value: &str,
    touched: &mut BTreeSet<String>,
    log: &mut TaskLog,
) -> Result<(), ApiError> {
    let guest = &change.guest;
    let wanted = Drive::parse(Kind::Qemu, key, value)
        .ok_or_else(|| ApiError::parameter(key, "unable to parse drive options"))?;
    let privilege = if wanted.is_cdrom() || wanted.is_cloudinit() {
        "VM.Config.CDROM"
    } else {
        "VM.Config.Disk"
    };
    cluster.check_guest(&change.auth, guest.vmid, None, &[privilege])?;
    if let Some(old) = config
        .pending
        .remove(key)
        .and_then(|value| Drive::parse(Kind::Qemu, key, &value))
        && old.file() != wanted.file()
    {
        disks::detach(cluster, guest, config, &old);
    }
    let (made, _) = disks::realize(cluster, guest, &wanted, log)?;
    config.pending.set(key, made.print());
    let mut order = drive::boot_devices(
        config
            .pending
            .get("boot")
            .or_else(|| config.main.get("boot")),
    );
    let medium = made.is_cdrom() && !made.is_cloudinit();
    if medium && !order.is_empty() && !order.iter().any(|device| device == key) {
        order.push(key.to_owned());
        config.pending.set("boot", drive::boot_order(&order));
        touched.insert("boot".into());
    }
    Ok(())
}
