//! Getting at a guest's configuration, and what must hold before it is changed: digest, lock, protection.

use super::super::call::{ApiError, Call};
use super::super::state::{Cluster, Guest, config_path};
use super::conf::{self, Config};
use super::kind::Kind;

/// A guest's configuration as it was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where it is.
    pub guest: Guest,
    /// What it says.
    pub config: Config,
    /// The digest of its text.
    pub digest: String,
}

/// The kind of guest a request's path is about.
#[must_use]
pub fn kind_of(call: &Call) -> Kind {
    match call.path.split('/').filter(|part| !part.is_empty()).nth(2) {
        Some("lxc") => Kind::Lxc,
        _ => Kind::Qemu,
    }
}

/// Reads a guest's configuration.
///
/// # Errors
/// `Configuration file 'nodes/N/qemu-server/ID.conf' does not exist`.
pub fn load_from(cluster: &Cluster, node: &str, kind: Kind, vmid: u32) -> Result<Loaded, ApiError> {
    let path = config_path(node, kind, vmid);
    let text = cluster
        .files
        .get(&path)
        .ok_or_else(|| ApiError::internal(format!("Configuration file '{path}' does not exist")))?;
    let guest = Guest {
        vmid,
        kind,
        node: node.to_owned(),
    };
    Ok(Loaded {
        guest,
        config: Config::parse(kind, text),
        digest: conf::digest(text),
    })
}

/// Reads the configuration of the guest a request is about.
///
/// # Errors
/// As [`load_from`].
pub fn load(cluster: &Cluster, call: &Call) -> Result<Loaded, ApiError> {
    load_from(cluster, call.node(), kind_of(call), call.vmid())
}

/// Reads a guest's configuration again, inside a task.
///
/// # Errors
/// As [`load_from`], as text.
pub fn reload(cluster: &Cluster, guest: &Guest) -> Result<Loaded, String> {
    load_from(cluster, &guest.node, guest.kind, guest.vmid).map_err(|error| error.message)
}

/// Writes a guest's configuration.
pub fn store(cluster: &mut Cluster, guest: &Guest, config: &Config) {
    cluster.files.set(guest.file(), config.print());
}

/// Reads, changes and writes a guest's configuration, inside a task.
///
/// # Errors
/// The configuration is gone, or what the change answers.
pub fn change<T>(
    cluster: &mut Cluster,
    guest: &Guest,
    work: impl FnOnce(&mut Config) -> Result<T, String>,
) -> Result<T, String> {
    let mut loaded = reload(cluster, guest)?;
    let answer = work(&mut loaded.config)?;
    store(cluster, guest, &loaded.config);
    Ok(answer)
}

/// That a guest has no lock.
///
/// # Errors
/// `VM is locked (backup)`.
pub fn check_lock(config: &Config) -> Result<(), String> {
    match config.main.get("lock") {
        None => Ok(()),
        Some(lock) => Err(format!("{} is locked ({lock})", config.kind.noun())),
    }
}

/// Sets or clears the lock of a guest that may have gone meanwhile.
pub fn set_lock(cluster: &mut Cluster, guest: &Guest, lock: Option<&str>) {
    let _ = change(cluster, guest, |config| {
        match lock {
            Some(lock) => config.main.set("lock", lock),
            None => {
                config.main.remove("lock");
            }
        }
        Ok(())
    });
}

/// That the digest sent, if one was, is of the configuration as it is.
///
/// # Errors
/// Proxmox VE's text, which differs by kind of guest.
pub fn check_digest(loaded: &Loaded, sent: Option<&str>) -> Result<(), String> {
    match sent {
        Some(sent) if !sent.is_empty() && sent != loaded.digest => {
            Err(loaded.guest.kind.stale_digest().into())
        }
        Some(_) | None => Ok(()),
    }
}

/// That a guest is not protected.
///
/// # Errors
/// `WHAT - protection mode enabled`.
pub fn check_protection(config: &Config, what: &str) -> Result<(), String> {
    if config.main.is_set("protection") {
        Err(format!("{what} - protection mode enabled"))
    } else {
        Ok(())
    }
}

/// That only root@pam with a ticket sends these parameters.
///
/// # Errors
/// Status 400: `Only root may use this option.`
pub fn root_only(call: &Call, names: &[&str]) -> Result<(), ApiError> {
    match names
        .iter()
        .find(|name| call.get(name).is_some() && !call.auth.is_root())
    {
        None => Ok(()),
        Some(name) => Err(ApiError::parameter(*name, "Only root may use this option.")),
    }
}

/// That no guest of any node has this number.
///
/// # Errors
/// `VM 100 already exists on node 'pve1'`.
pub fn check_unused(cluster: &Cluster, vmid: u32) -> Result<(), String> {
    match cluster.guest(vmid) {
        None => Ok(()),
        Some(guest) => Err(format!(
            "{} {vmid} already exists on node '{}'",
            guest.kind.noun(),
            guest.node
        )),
    }
}

/// Whether a guest runs, paused or not.
#[must_use]
pub fn is_running(cluster: &Cluster, vmid: u32) -> bool {
    cluster.running.contains_key(&vmid)
}
