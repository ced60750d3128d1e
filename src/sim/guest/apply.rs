//! Pending changes becoming settings in force: by hot-plugging into a running guest, or all at once when it does not
//! run.

use std::collections::{BTreeMap, BTreeSet};

use super::super::call::ApiError;
use super::super::state::{Cluster, Guest};
use super::access;
use super::conf::Config;
use super::disks;
use super::drive::{self, Drive};
use super::hotplug::{self, Effect};
use super::keys;
use super::kind::Kind;

/// Whether a running guest answers to hot-unplugging and shutdown. One without an operating system does not: that is
/// `guest` = `none` among what is known of its process ([`super::super::state::Run::live`]).
#[must_use]
pub fn cooperates(cluster: &Cluster, vmid: u32) -> bool {
    cluster
        .running
        .get(&vmid)
        .is_some_and(|run| run.live.get("guest").is_none_or(|guest| guest != "none"))
}

/// Drops pending entries that change nothing.
pub fn cleanup(config: &mut Config) {
    let main = config.main.clone();
    config
        .pending
        .values
        .retain(|key, value| main.get(key) != Some(value));
    config
        .pending_delete
        .retain(|key, _| main.get(key).is_some());
}

/// Applies what is pending after the settings in `touched` were changed, and writes the configuration.
///
/// # Errors
/// Status 400 with what could not be hot-plugged; that stays pending.
pub fn run(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &mut Config,
    touched: &BTreeSet<String>,
) -> Result<(), ApiError> {
    cleanup(config);
    let errors = if access::is_running(cluster, guest.vmid) {
        hot(cluster, guest, config, touched)
    } else {
        all(cluster, guest, config)
    };
    cleanup(config);
    access::store(cluster, guest, config);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::parameters(errors))
    }
}

fn problem(kind: Kind, key: &str, text: &str) -> String {
    match kind {
        Kind::Qemu => format!("hotplug problem - {text}\n"),
        Kind::Lxc => format!("unable to hotplug {key}: {text}\n"),
    }
}

fn hot(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &mut Config,
    touched: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let kind = guest.kind;
    let mut errors = BTreeMap::new();
    let chosen = |key: &str| touched.contains(key) || hotplug::is_fast(kind, key);
    for (key, force) in config.pending_delete.clone() {
        if !chosen(&key) {
            continue;
        }
        match settle(
            cluster,
            guest,
            &key,
            hotplug::unset(kind, &config.main, &key),
        ) {
            Ok(false) => {}
            Ok(true) => match remove(cluster, guest, config, &key, force) {
                Ok(()) => {}
                Err(text) => {
                    errors.insert(key.clone(), problem(kind, &key, &text));
                }
            },
            Err(text) => {
                errors.insert(key.clone(), problem(kind, &key, &text));
            }
        }
    }
    for (key, value) in config.pending.values.clone() {
        if !chosen(&key) {
            continue;
        }
        match settle(
            cluster,
            guest,
            &key,
            hotplug::set(kind, &config.main, &key, &value),
        ) {
            Ok(false) => {}
            Ok(true) => put(cluster, guest, config, &key, value),
            Err(text) => {
                errors.insert(key.clone(), problem(kind, &key, &text));
            }
        }
    }
    errors
}

/// Whether an effect comes into force now.
fn settle(cluster: &Cluster, guest: &Guest, key: &str, effect: Effect) -> Result<bool, String> {
    match effect {
        Effect::Live => Ok(true),
        Effect::Pending => Ok(false),
        Effect::Refused(text) => Err(text),
        Effect::Unplug if cooperates(cluster, guest.vmid) => Ok(true),
        Effect::Unplug => Err(format!(
            "error on hot-unplugging device '{key}' - still busy in guest?"
        )),
    }
}

/// Applies everything that is pending, other people's changes included, as a stopped guest and a starting one do.
pub fn all(cluster: &mut Cluster, guest: &Guest, config: &mut Config) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::new();
    for (key, force) in config.pending_delete.clone() {
        if let Err(text) = remove(cluster, guest, config, &key, force) {
            errors.insert(
                key.clone(),
                format!("unable to apply pending change {key} : {text}\n"),
            );
        }
    }
    for (key, value) in config.pending.values.clone() {
        put(cluster, guest, config, &key, value);
    }
    errors
}

fn remove(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &mut Config,
    key: &str,
    force: bool,
) -> Result<(), String> {
    if keys::is_volume_slot(guest.kind, key)
        && let Some(drive) = config
            .main
            .get(key)
            .and_then(|value| Drive::parse(guest.kind, key, value))
    {
        if force && guest.kind == Kind::Qemu {
            disks::deallocate(cluster, guest, config, &drive)?;
            config.main.remove(key);
        } else {
            config.main.remove(key);
            disks::detach(cluster, guest, config, &drive);
        }
    }
    config.main.remove(key);
    config.pending_delete.remove(key);
    Ok(())
}

fn put(cluster: &mut Cluster, guest: &Guest, config: &mut Config, key: &str, value: String) {
    let old = config
        .main
        .get(key)
        .and_then(|old| Drive::parse(guest.kind, key, old));
    let new = Drive::parse(guest.kind, key, &value);
    config.pending.remove(key);
    config.main.set(key, value);
    if keys::is_volume_slot(guest.kind, key)
        && let (Some(old), Some(new)) = (old, new)
        && old.file() != new.file()
    {
        disks::detach(cluster, guest, config, &old);
    }
    if keys::is_volume_slot(guest.kind, key) {
        readopt(config, key);
    }
}

/// A volume that is in use again is no longer `unusedN`.
fn readopt(config: &mut Config, key: &str) {
    let Some(drive) = config
        .main
        .get(key)
        .and_then(|value| Drive::parse(config.kind, key, value))
    else {
        return;
    };
    config
        .main
        .values
        .retain(|other, value| !keys::is_unused(other) || value != drive.file());
}

/// Removes a device from the boot order that will be in force; answers whether it was in it.
pub fn unboot(config: &mut Config, key: &str) -> bool {
    let boot = config
        .pending
        .get("boot")
        .or_else(|| config.main.get("boot"));
    let mut order = drive::boot_devices(boot);
    let before = order.len();
    order.retain(|device| device != key);
    if order.len() == before {
        return false;
    }
    config.pending.set("boot", drive::boot_order(&order));
    true
}
