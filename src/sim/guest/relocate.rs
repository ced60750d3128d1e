//! Volumes moving: to another storage (`move_disk`, `move_volume`), or to another guest.

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::conf::Config;
use super::disks;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;
use super::template::rename;

struct Move {
    guest: Guest,
    key: String,
    storage: String,
    format: Option<String>,
    delete: bool,
}

/// `POST …/qemu/{vmid}/move_disk`.
pub fn disk(cluster: &mut Cluster, call: &Call) -> Answer {
    relocate(cluster, call, call.text("disk"))
}

/// `POST …/lxc/{vmid}/move_volume`.
pub fn volume(cluster: &mut Cluster, call: &Call) -> Answer {
    relocate(cluster, call, call.text("volume"))
}

fn relocate(cluster: &mut Cluster, call: &Call, key: &str) -> Answer {
    if call.get("target-vmid").is_some() {
        return super::reassign::reassign(cluster, call, key);
    }
    let Some(storage) = call.get("storage") else {
        return Err(ApiError::parameter(
            "storage",
            "either 'storage' or 'target-vmid' needs to be set",
        ));
    };
    cluster.check_all(
        &call.auth,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace"],
    )?;
    let loaded = access::load(cluster, call)?;
    access::check_digest(&loaded, call.get("digest"))?;
    access::check_lock(&loaded.config)?;
    let Loaded { guest, config, .. } = loaded;
    cluster.require_storage(storage)?;
    let drive = find(&config, key)?;
    cluster.usable_storage(&guest.node, storage)?;
    let format = call.get("format").map(str::to_owned);
    let work = Move {
        guest: guest.clone(),
        key: key.to_owned(),
        storage: storage.to_owned(),
        format,
        delete: call.is_set("delete"),
    };
    check(cluster, &work, &config, &drive)?;
    let bytes = cluster
        .volumes
        .get(&guest.node, drive.file())
        .map_or(0, |volume| volume.size);
    let spec = match guest.kind {
        Kind::Qemu => TaskSpec::new(&guest.node, "qmmove", guest.vmid, &call.auth),
        Kind::Lxc => {
            access::set_lock(cluster, &guest, Some("disk"));
            let undone = guest.clone();
            TaskSpec::new(&guest.node, "move_volume", guest.vmid, &call.auth)
                .on_abort(move |cluster, _| access::set_lock(cluster, &undone, None))
        }
    };
    Ok(cluster.spawn(
        spec.lasting(disks::copy_seconds(bytes)),
        move |cluster, log| {
            let done = perform(cluster, &work, log);
            if guest.kind == Kind::Lxc {
                access::set_lock(cluster, &guest, None);
            }
            done
        },
    ))
}

fn find(config: &Config, key: &str) -> Result<Drive, ApiError> {
    let drive = config
        .main
        .get(key)
        .and_then(|value| Drive::parse(config.kind, key, value));
    match (drive, config.kind) {
        (Some(drive), _) => Ok(drive),
        (None, Kind::Qemu) => Err(ApiError::internal(format!("disk '{key}' does not exist"))),
        (None, Kind::Lxc) => {
            // pve-container parses the missing value without looking first.
            let missing = "property is missing and it is not optional".to_owned();
            let mut error = ApiError::internal("format error");
            if key != "rootfs" {
                error.errors.insert("mp".into(), missing.clone());
            }
            error.errors.insert("volume".into(), missing);
            Err(error)
        }
    }
}

fn check(cluster: &Cluster, work: &Move, config: &Config, drive: &Drive) -> Result<(), ApiError> {
    let guest = &work.guest;
    let no = |text: &str| Err(ApiError::internal(text));
    if guest.kind == Kind::Lxc && access::is_running(cluster, guest.vmid) {
        return no("cannot move volumes of a running container");
    }
    if drive.is_cdrom() && !drive.is_cloudinit() {
        return no("you can't move a cdrom");
    }
    let Some(volume) = cluster.volumes.get(&guest.node, drive.file()) else {
        return Err(ApiError::internal(format!(
            "volume '{}' does not exist",
            drive.file()
        )));
    };
    let same_format = work
        .format
        .as_ref()
        .is_none_or(|format| *format == volume.format);
    if guest.kind == Kind::Qemu && volume.storage() == work.storage && same_format {
        return no("you can't move to the same storage with same format");
    }
    let mut there = drive.clone();
    there.set_file(format!("{}:0", work.storage));
    cluster.check_replicated(guest.vmid, &there)?;
    let in_snapshot = config.snapshots.values().any(|section| {
        drive::drives(guest.kind, section, true)
            .iter()
            .any(|other| other.file() == drive.file())
    });
    if work.delete && in_snapshot {
        return match guest.kind {
            Kind::Qemu => no("you can't move a disk with snapshots and delete the source"),
            Kind::Lxc => no("you can't move a volume with snapshots and delete the source"),
        };
    }
    Ok(())
}

fn perform(cluster: &mut Cluster, work: &Move, log: &mut TaskLog) -> Result<(), String> {
    let guest = &work.guest;
    let config = access::reload(cluster, guest)?.config;
    let mut drive = find(&config, &work.key).map_err(|error| error.message)?;
    let source = drive.file().to_owned();
    let volume = cluster.volumes.get(&guest.node, &source);
    let (bytes, format) = volume
        .map(|volume| (volume.size, volume.format.clone()))
        .ok_or_else(|| format!("volume '{source}' does not exist"))?;
    if guest.kind == Kind::Qemu {
        let from = source.split(':').next().unwrap_or_default();
        let to = &work.storage;
        log.say(format!(
            "copying volume '{source}' from current storage '{from}' to target storage '{to}'"
        ));
        log.say(format!(
            "create full clone of drive {} ({source})",
            work.key
        ));
    }
    let wanted = work
        .format
        .clone()
        .or_else(|| usable_format(cluster, &work.storage, &format));
    let volid = disks::allocate(
        cluster,
        guest,
        &drive,
        &work.storage,
        bytes,
        wanted.as_deref(),
        log,
    )
    .map_err(|text| match guest.kind {
        Kind::Qemu => format!("storage migration failed: {text}"),
        Kind::Lxc => text,
    })?;
    if guest.kind == Kind::Qemu {
        log.say(format!("allocated target volume '{volid}'"));
        disks::say_transfer(log, bytes);
        disks::say_transferred(log, bytes);
    }
    drive.set_file(&volid);
    drive.set("size", super::size::print(bytes));
    let mut config = access::reload(cluster, guest)?.config;
    config.main.set(&work.key, drive.print());
    let mut old = drive.clone();
    old.set_file(&source);
    if !work.delete {
        if old.owner() == Some(guest.vmid)
            && let Some(key) = drive::add_unused(&mut config.main, &source)
        {
            log.say(format!(
                "adding source volume '{source}' as '{key}' to config"
            ));
        }
        access::store(cluster, guest, &config);
        return Ok(());
    }
    access::store(cluster, guest, &config);
    match disks::deallocate(cluster, guest, &config, &old) {
        Ok(()) => Ok(()),
        Err(text) => {
            log.warn(text);
            let _ = access::change(cluster, guest, |config| {
                Ok(drive::add_unused(&mut config.main, &source))
            });
            Ok(())
        }
    }
}

/// The format a copy keeps if the target storage has it.
#[must_use]
pub fn usable_format(cluster: &Cluster, storage: &str, format: &str) -> Option<String> {
    let section = cluster.storage(storage)?;
    super::super::volumes::volume_format(&section, Some(format)).ok()
}

/// Whether a key names a volume slot or an unused one.
#[must_use]
pub fn is_slot(kind: Kind, key: &str) -> bool {
    keys::is_volume_slot(kind, key) || keys::is_unused(key)
}

/// Renames a volume so that another guest owns it; answers the new id.
///
/// # Errors
/// The volume or its storage is gone.
pub fn hand_over(
    cluster: &mut Cluster,
    from: &Guest,
    volid: &str,
    to: u32,
) -> Result<String, String> {
    let storage = volid.split_once(':').map_or("", |(storage, _)| storage);
    let section = cluster.usable_storage(&from.node, storage)?;
    let format = cluster
        .volumes
        .get(&from.node, volid)
        .map(|volume| volume.format.clone())
        .ok_or_else(|| format!("volume '{volid}' does not exist"))?;
    let name = cluster.free_name(&section, to, &format, "disk");
    rename(cluster, &from.node, volid, &name)?;
    Ok(name)
}
