//! `PUT /nodes/{node}/lxc/{vmid}/config`: always synchronous, and written once, so all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::TaskLog;
use super::access;
use super::apply;
use super::conf::Config;
use super::disks;
use super::drive::Drive;
use super::keys;
use super::kind::Kind;
use super::normalize;
use super::permits::{self, Subject};
use super::update_vm::check_names;

/// Changes a container's settings.
pub fn put(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: Kind::Lxc,
        node: call.node().to_owned(),
    };
    let sets: BTreeMap<String, String> = call
        .params
        .iter()
        .filter(|(key, _)| keys::option(Kind::Lxc, key).is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let (deletes, reverts) = (call.list("delete"), call.list("revert"));
    if sets.is_empty() && deletes.is_empty() && reverts.is_empty() {
        return Err(ApiError::internal("no options specified"));
    }
    check_names(Kind::Lxc, &sets, &deletes, &reverts)?;
    for key in &deletes {
        if matches!(key.as_str(), "rootfs" | "ostype") {
            return Err(ApiError::parameter(
                "delete",
                format!("unable to delete required option '{key}'"),
            ));
        }
    }
    let subject = Subject {
        auth: &call.auth,
        vmid: guest.vmid,
        pool: None,
    };
    let loaded = access::load(cluster, call)?;
    let unprivileged = loaded.config.main.is_set("unprivileged");
    for (key, value) in &sets {
        permits::ct_key(
            cluster,
            subject,
            key,
            Some(value),
            loaded.config.main.get(key),
            unprivileged,
        )?;
    }
    for key in &deletes {
        permits::ct_key(
            cluster,
            subject,
            key,
            None,
            loaded.config.main.get(key),
            unprivileged,
        )?;
    }
    if sets.contains_key("unprivileged") {
        return Err(ApiError::parameter(
            "unprivileged",
            "unable to modify read-only option: 'unprivileged'",
        ));
    }
    access::check_lock(&loaded.config)?;
    access::check_digest(&loaded, call.get("digest"))?;
    for (key, value) in &sets {
        let slot = keys::is_volume_slot(Kind::Lxc, key);
        let drive = slot.then(|| Drive::parse(Kind::Lxc, key, value)).flatten();
        let held = loaded.config.main.get(key);
        let held = held.and_then(|value| Drive::parse(Kind::Lxc, key, value));
        if let Some(drive) = drive
            && held.is_none_or(|held| held.file() != drive.file())
        {
            cluster.check_replicated(guest.vmid, &drive)?;
        }
    }
    let mut config = loaded.config;
    let mut touched = BTreeSet::new();
    for key in &reverts {
        config.pending.remove(key);
        config.pending_delete.remove(key);
    }
    for key in &deletes {
        delete(cluster, &guest, &mut config, key, &mut touched)?;
    }
    for (key, value) in &sets {
        set(cluster, &guest, &mut config, key, value, &mut touched)?;
    }
    apply::run(cluster, &guest, &mut config, &touched)?;
    Ok(Value::Null)
}

fn delete(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &mut Config,
    key: &str,
    touched: &mut BTreeSet<String>,
) -> Result<(), ApiError> {
    if config.main.get(key).is_none() && config.pending.get(key).is_none() {
        return Ok(());
    }
    touched.insert(key.to_owned());
    config.pending.remove(key);
    if keys::is_unused(key) {
        let mount = config
            .main
            .get(key)
            .and_then(|value| Drive::parse(Kind::Lxc, key, value));
        if let Some(mount) = mount {
            access::check_protection(
                config,
                &format!("can't remove CT {} drive '{key}'", guest.vmid),
            )?;
            disks::deallocate(cluster, guest, config, &mount)?;
        }
        config.main.remove(key);
        return Ok(());
    }
    if keys::is_volume_slot(Kind::Lxc, key) {
        access::check_protection(
            config,
            &format!("can't remove CT {} drive '{key}'", guest.vmid),
        )?;
    }
    config.pending_delete.insert(key.to_owned(), false);
    Ok(())
}

fn set(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &mut Config,
    key: &str,
    value: &str,
    touched: &mut BTreeSet<String>,
) -> Result<(), ApiError> {
    touched.insert(key.to_owned());
    config.pending_delete.remove(key);
    let mut value = match key {
        "tags" => normalize::tags(cluster, value),
        _ => normalize::value(cluster, Kind::Lxc, key, value)?,
    };
    if keys::is_volume_slot(Kind::Lxc, key) {
        access::check_protection(
            config,
            &format!("can't update CT {} drive '{key}'", guest.vmid),
        )?;
        let wanted = Drive::parse(Kind::Lxc, key, &value)
            .ok_or_else(|| ApiError::parameter(key, "unable to parse volume options"))?;
        let (mount, _) = disks::realize(cluster, guest, &wanted, &mut TaskLog::default())?;
        value = mount.print();
    }
    if key == "description" && value.is_empty() {
        config.pending.remove(key);
        config.pending_delete.insert(key.to_owned(), false);
    } else {
        config.pending.set(key, value);
    }
    Ok(())
}
