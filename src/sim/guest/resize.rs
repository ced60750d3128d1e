//! `PUT …/{vmid}/resize`: growing a volume.

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::conf::Config;
use super::drive::Drive;
use super::kind::Kind;
use super::size;

/// Grows a volume. A virtual machine's checks happen in the task, a container's before it.
pub fn resize(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, &["skiplock"])?;
    let loaded = access::load(cluster, call)?;
    let guest = loaded.guest.clone();
    let (key, wanted) = (call.text("disk").to_owned(), call.text("size").to_owned());
    let digest = call.get("digest").map(str::to_owned);
    let spec = TaskSpec::new(&guest.node, "resize", guest.vmid, &call.auth);
    match guest.kind {
        Kind::Qemu => match plan(cluster, call, &loaded, &key, &wanted, digest.as_deref()) {
            Err(text) => Ok(cluster.spawn_failed(spec, text)),
            Ok(_) => Ok(cluster.spawn(spec, move |cluster, log| {
                perform(cluster, &guest, &key, &wanted, log)
            })),
        },
        Kind::Lxc => {
            let bytes = plan(cluster, call, &loaded, &key, &wanted, digest.as_deref())?;
            if bytes == current(cluster, &guest, &loaded.config, &key)? {
                return Err(ApiError::internal("disk is already at specified size"));
            }
            Ok(cluster.spawn(spec, move |cluster, log| {
                perform(cluster, &guest, &key, &wanted, log)
            }))
        }
    }
}

fn plan(
    cluster: &Cluster,
    call: &Call,
    loaded: &Loaded,
    key: &str,
    wanted: &str,
    digest: Option<&str>,
) -> Result<u64, String> {
    access::check_digest(loaded, digest)?;
    access::check_lock(&loaded.config)?;
    let drive = find(&loaded.config, key)?;
    if drive.is_cdrom() {
        return Err("you can't resize a cdrom".into());
    }
    if let Some((storage, _)) = drive.volume() {
        cluster
            .check_all(
                &call.auth,
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            )
            .map_err(|error| error.message)?;
        cluster.usable_storage(&loaded.guest.node, storage)?;
    }
    target(cluster, &loaded.guest, &loaded.config, key, wanted)
}

fn find(config: &Config, key: &str) -> Result<Drive, String> {
    let value = config.main.get(key).ok_or_else(|| match config.kind {
        Kind::Qemu => format!("disk '{key}' does not exist"),
        Kind::Lxc => format!("no such mountpoint '{key}'"),
    })?;
    Drive::parse(config.kind, key, value).ok_or_else(|| format!("unable to parse '{key}'"))
}

fn current(cluster: &Cluster, guest: &Guest, config: &Config, key: &str) -> Result<u64, String> {
    let drive = find(config, key)?;
    let volume = cluster.volumes.get(&guest.node, drive.file());
    volume
        .map(|volume| volume.size)
        .ok_or_else(|| format!("volume '{}' does not exist", drive.file()))
}

/// The new size in bytes.
fn target(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    key: &str,
    wanted: &str,
) -> Result<u64, String> {
    let now = current(cluster, guest, config, key)?;
    let (more, number) = wanted
        .strip_prefix('+')
        .map_or((false, wanted), |rest| (true, rest));
    let bytes = size::parse(number).ok_or_else(|| format!("unable to parse size '{wanted}'"))?;
    let bytes = if more {
        now.saturating_add(bytes)
    } else {
        bytes
    };
    // Whole blocks of 512 bytes.
    let bytes = bytes.div_ceil(512) * 512;
    if bytes < now {
        return Err(match guest.kind {
            Kind::Qemu => "shrinking disks is not supported".into(),
            Kind::Lxc => "unable to shrink disk size".into(),
        });
    }
    Ok(bytes)
}

fn perform(
    cluster: &mut Cluster,
    guest: &Guest,
    key: &str,
    wanted: &str,
    log: &mut TaskLog,
) -> Result<(), String> {
    let mut config = access::reload(cluster, guest)?.config;
    access::check_lock(&config)?;
    let bytes = target(cluster, guest, &config, key, wanted)?;
    let mut drive = find(&config, key)?;
    if bytes == current(cluster, guest, &config, key)? {
        return Ok(());
    }
    cluster.resize_volume(&guest.node, drive.file(), bytes)?;
    if !access::is_running(cluster, guest.vmid) || guest.kind == Kind::Lxc {
        log.say("Image resized.");
    }
    drive.set("size", size::print(bytes));
    config.main.set(key, drive.print());
    access::store(cluster, guest, &config);
    Ok(())
}
