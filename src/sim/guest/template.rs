//! `POST …/{vmid}/template`: volumes become base volumes, and the guest can only be cloned.

use serde_json::Value;

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::TaskSpec;
use super::access::{self, Loaded};
use super::drive::{self, Drive};
use super::kind::Kind;

/// Turns a guest into a template; for a container at once, as Proxmox VE does, which
/// lists a task for it all the same.
pub fn convert(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded { config, guest, .. } = access::load(cluster, call)?;
    access::check_lock(&config)?;
    let noun = guest.kind.noun();
    if !config.snapshots.is_empty() {
        return Err(ApiError::internal(format!(
            "unable to create template, because {noun} contains snapshots"
        )));
    }
    let only = call.get("disk").map(str::to_owned);
    if config.main.is_set("template") && only.is_none() {
        return Err(ApiError::internal(match guest.kind {
            Kind::Qemu => "you can't convert a template to a template",
            Kind::Lxc => "you can't convert a template to a CT template",
        }));
    }
    if access::is_running(cluster, guest.vmid) {
        return Err(ApiError::internal(format!(
            "you can't convert a {noun} to template if {noun} is running"
        )));
    }
    match guest.kind {
        Kind::Lxc => {
            perform(cluster, &guest, None)?;
            let spec = TaskSpec::new(&guest.node, "vztemplate", guest.vmid, &call.auth);
            cluster.spawn(spec.lasting(0.0), |_, _| Ok(()));
            Ok(Value::Null)
        }
        Kind::Qemu => {
            let spec = TaskSpec::new(&guest.node, "qmtemplate", guest.vmid, &call.auth);
            Ok(cluster.spawn(spec, move |cluster, _| {
                perform(cluster, &guest, only.as_deref())
            }))
        }
    }
}

fn perform(cluster: &mut Cluster, guest: &Guest, only: Option<&str>) -> Result<(), String> {
    let mut config = access::reload(cluster, guest)?.config;
    for mut drive in drive::drives(guest.kind, &config.main, false) {
        if drive.is_cdrom() || only.is_some_and(|key| key != drive.key) {
            continue;
        }
        if let Some(volid) = rebase(cluster, guest, &drive)? {
            drive.set_file(volid);
            config.main.set(&drive.key, drive.print());
        }
    }
    config.main.set("template", "1");
    access::store(cluster, guest, &config);
    Ok(())
}

/// Renames a volume to a base volume; one that is already keeps its name.
fn rebase(cluster: &mut Cluster, guest: &Guest, drive: &Drive) -> Result<Option<String>, String> {
    let Some((storage, name)) = drive.volume() else {
        return Ok(None);
    };
    let (folder, last) = name
        .rsplit_once('/')
        .map_or(("", name), |(folder, last)| (folder, last));
    let base = if let Some(rest) = last.strip_prefix("vm-") {
        format!("base-{rest}")
    } else if let Some(rest) = last.strip_prefix("subvol-") {
        format!("basevol-{rest}")
    } else {
        return Ok(None);
    };
    // A linked clone that becomes a base no longer shows its own base in its name.
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    let volid = if folder.is_empty() {
        format!("{storage}:{base}")
    } else {
        format!("{storage}:{folder}/{base}")
    };
    rename(cluster, &guest.node, drive.file(), &volid)?;
    Ok(Some(volid))
}

/// Gives a volume another id.
///
/// # Errors
/// It is not there.
pub fn rename(cluster: &mut Cluster, node: &str, from: &str, to: &str) -> Result<(), String> {
    let mut volume = cluster
        .volumes
        .remove(node, from)
        .ok_or_else(|| format!("volume '{from}' does not exist"))?;
    volume.volid = to.to_owned();
    cluster.volumes.insert(volume);
    Ok(())
}
