//! `DELETE …/{vmid}`: a guest, its volumes, and what refers to it.

use std::collections::BTreeSet;

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::conf::Config;
use super::drive;
use super::kind::Kind;

/// Destroys a guest.
pub fn destroy(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, &["skiplock"])?;
    let loaded = access::load(cluster, call)?;
    let purge = call.is_set("purge");
    let force = call.is_set("force");
    check(cluster, &loaded, purge, force)?;
    let Loaded { guest, config, .. } = loaded;
    let unreferenced = call.is_set("destroy-unreferenced-disks");
    let spec = TaskSpec::new(
        &guest.node,
        &format!("{}destroy", guest.kind.task()),
        guest.vmid,
        &call.auth,
    );
    if let Err(text) =
        access::check_lock(&config).and_then(|()| check_bases(cluster, &guest, &config))
    {
        return Ok(cluster.spawn_failed(spec, text));
    }
    if force {
        cluster.running.remove(&guest.vmid);
    }
    Ok(cluster.spawn(spec, move |cluster, log| {
        perform(cluster, &guest, purge, unreferenced, log)
    }))
}

fn check(cluster: &Cluster, loaded: &Loaded, purge: bool, force: bool) -> Result<(), ApiError> {
    let Loaded { guest, config, .. } = loaded;
    let (noun, vmid) = (guest.kind.noun(), guest.vmid);
    let no = |text: String| Err(ApiError::internal(text));
    let running = access::is_running(cluster, vmid);
    access::check_protection(config, &format!("can't remove {noun} {vmid}"))?;
    if guest.kind == Kind::Lxc {
        access::check_lock(config)?;
    }
    if !purge {
        if cluster.ha_resource(guest).is_some() {
            return no(format!(
                "unable to remove {noun} {vmid} - used in HA resources and purge parameter not set."
            ));
        }
        if let Some(job) = cluster.replications_of(vmid).first() {
            let id = &job.id;
            return no(format!(
                "There is a replication job '{id}' for guest '{vmid}' - Please remove that first."
            ));
        }
    }
    match guest.kind {
        Kind::Qemu if running => no(format!("VM {vmid} is running - destroy failed")),
        Kind::Lxc if running && !force => no(format!(
            "unable to destroy CT {vmid} - container is running"
        )),
        Kind::Qemu | Kind::Lxc => Ok(()),
    }
}

/// That no linked clone stands on a template's volumes. LVM-thin keeps no reference, so there it is permitted.
fn check_bases(cluster: &Cluster, guest: &Guest, config: &Config) -> Result<(), String> {
    if !config.main.is_set("template") {
        return Ok(());
    }
    for drive in drive::drives(guest.kind, &config.main, true) {
        let thin = drive
            .volume()
            .and_then(|(id, _)| cluster.storage(id))
            .is_some_and(|found| found.kind == "lvmthin");
        if !thin && cluster.is_base_in_use(drive.file()) {
            return Err(format!(
                "base volume '{}' is still in use by linked cloned",
                drive.file()
            ));
        }
    }
    Ok(())
}

fn perform(
    cluster: &mut Cluster,
    guest: &Guest,
    purge: bool,
    unreferenced: bool,
    log: &mut TaskLog,
) -> Result<(), String> {
    let config = access::reload(cluster, guest)?.config;
    access::check_lock(&config)?;
    check_bases(cluster, guest, &config)?;
    if access::is_running(cluster, guest.vmid) {
        return Err(format!(
            "{} {} is running - destroy failed",
            guest.kind.noun(),
            guest.vmid
        ));
    }
    for volid in volumes(&config, guest) {
        let storage = volid.split_once(':').map_or("", |(storage, _)| storage);
        cluster.require_storage(storage)?;
        if let Err(text) = cluster.free(&guest.node, &volid) {
            log.say(format!(
                "Could not remove disk '{volid}', check manually: {text}"
            ));
        }
    }
    if unreferenced {
        free_unreferenced(cluster, guest, log);
    }
    cluster.running.remove(&guest.vmid);
    cluster.files.remove(&guest.file());
    cluster.files.remove(&format!("firewall/{}.fw", guest.vmid));
    let _: Result<(), ()> = cluster.change_users(|users| {
        users.forget_guest(guest.vmid);
        Ok(())
    });
    if purge {
        log.say(format!(
            "purging {} {} from related configurations..",
            guest.kind.noun(),
            guest.vmid
        ));
        cluster.forget_replications(guest.vmid);
        cluster.forget_in_backups(guest.vmid);
        cluster.ha_forget(guest);
    }
    Ok(())
}

/// The guest's own volumes that its configuration names anywhere.
#[must_use]
pub fn volumes(config: &Config, guest: &Guest) -> BTreeSet<String> {
    let sections = [&config.main, &config.pending]
        .into_iter()
        .chain(config.snapshots.values());
    let mut found = BTreeSet::new();
    for section in sections {
        for drive in drive::drives(guest.kind, section, true) {
            let own = drive.owner() == Some(guest.vmid) && drive.volume().is_some();
            if own && (!drive.is_cdrom() || drive.is_cloudinit()) {
                found.insert(drive.file().to_owned());
            }
        }
        if let Some(volid) = section.get("vmstate") {
            found.insert(volid.to_owned());
        }
    }
    found
}

/// Frees volumes in the guest's name on every storage that is in use here.
fn free_unreferenced(cluster: &mut Cluster, guest: &Guest, log: &mut TaskLog) {
    let left: Vec<String> = cluster
        .volumes
        .iter()
        .filter(|volume| {
            volume.owner() == Some(guest.vmid) && matches!(volume.content(), "images" | "rootdir")
        })
        .filter(|volume| volume.node.is_empty() || volume.node == guest.node)
        .map(|volume| volume.volid.clone())
        .collect();
    for volid in left {
        if let Err(text) = cluster.free(&guest.node, &volid) {
            log.say(format!(
                "Could not remove disk '{volid}', check manually: {text}"
            ));
        }
    }
}
