//! Making, freeing and copying the volumes behind drives and mount points, with the lines tasks log about it.

use super::super::state::{Cluster, Guest};
use super::super::tasks::TaskLog;
use super::super::volumes::is_file_based;
use super::conf::Config;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;
use super::size;

/// The size of an EFI variable store.
const EFI_SIZE: u64 = 540_672;
/// The size of a TPM's state, and of a cloud-init drive.
const SMALL: u64 = 4 << 20;
/// Bytes copied in a simulated second.
const COPY_SPEED: u64 = 500 << 20;

/// How long copying takes, in simulated seconds.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn copy_seconds(bytes: u64) -> f64 {
    1.0 + bytes as f64 / COPY_SPEED as f64
}

/// Makes what a request's drive value stands for: a new volume, a cloud-init drive, an imported copy, or the volume
/// that is there already, with its real size. Answers the drive as the configuration holds it, and the id of the
/// volume if it is new.
///
/// # Errors
/// The storage, its space, or the volume that should be there.
pub fn realize(
    cluster: &mut Cluster,
    guest: &Guest,
    wanted: &Drive,
    log: &mut TaskLog,
) -> Result<(Drive, Option<String>), String> {
    let mut drive = wanted.clone();
    let file = drive.file().to_owned();
    if matches!(file.as_str(), "none" | "cdrom") || file.starts_with('/') {
        return Ok((drive, None));
    }
    let format = drive.props.remove("format");
    if let Some((storage, "cloudinit")) = file.split_once(':') {
        let section = cluster.usable_storage(&guest.node, storage)?;
        let own = if is_file_based(&section.kind) {
            "qcow2"
        } else {
            "raw"
        };
        let format = format.unwrap_or_else(|| own.into());
        let volid = cluster.allocate(
            &guest.node,
            storage,
            guest.vmid,
            SMALL,
            Some(&format),
            "cloudinit",
        )?;
        say_formatting(cluster, log, &volid, SMALL, &format);
        drive.set_file(&volid);
        drive.set("media", "cdrom");
        say_created(log, &drive);
        return Ok((drive, Some(volid)));
    }
    if let Some((storage, amount)) = drive::new_volume(&file) {
        let source = drive.props.remove("import-from");
        let bytes = match source {
            Some(source) => imported_size(cluster, guest, &source)?,
            None => new_size(&drive, amount)?,
        };
        let volid = allocate(
            cluster,
            guest,
            &drive,
            storage,
            bytes,
            format.as_deref(),
            log,
        )?;
        drive.set_file(&volid);
        drive.set("size", size::print(bytes));
        if drive.key == "efidisk0" {
            say_varstore(log, &drive, bytes);
        }
        say_created(log, &drive);
        return Ok((drive, Some(volid)));
    }
    let storage = drive.volume().map_or("", |(storage, _)| storage).to_owned();
    cluster.usable_storage(&guest.node, &storage)?;
    let volume = cluster
        .volumes
        .get(&guest.node, &file)
        .ok_or_else(|| format!("volume '{file}' does not exist"))?;
    if !drive.is_cloudinit() {
        let bytes = volume.size;
        drive.set("size", size::print(bytes));
    }
    Ok((drive, None))
}

fn new_size(drive: &Drive, amount: &str) -> Result<u64, String> {
    match keys::slot(&drive.key) {
        Some(("efidisk", _)) => Ok(EFI_SIZE),
        Some(("tpmstate", _)) => Ok(SMALL),
        _ => size::parse(&format!("{amount}G"))
            .ok_or_else(|| format!("unable to parse size '{amount}'")),
    }
}

fn imported_size(cluster: &Cluster, guest: &Guest, source: &str) -> Result<u64, String> {
    let volume = cluster.volumes.get(&guest.node, source);
    volume
        .map(|volume| volume.size)
        .ok_or_else(|| format!("volume '{source}' does not exist"))
}

/// Allocates a volume for a drive or mount point, and logs it.
///
/// # Errors
/// The storage cannot hold it.
pub fn allocate(
    cluster: &mut Cluster,
    guest: &Guest,
    drive: &Drive,
    storage: &str,
    bytes: u64,
    format: Option<&str>,
    log: &mut TaskLog,
) -> Result<String, String> {
    let section = cluster.usable_storage(&guest.node, storage)?;
    let format = match drive.kind {
        Kind::Qemu if !section.holds("images") => {
            return Err(format!(
                "storage '{storage}' does not support content-type 'images'"
            ));
        }
        Kind::Lxc if !section.holds("rootdir") => {
            return Err(format!(
                "storage '{storage}' does not support container directories"
            ));
        }
        Kind::Qemu => super::super::volumes::volume_format(&section, format)?,
        Kind::Lxc if section.kind == "zfspool" || bytes == 0 => "subvol".into(),
        Kind::Lxc => "raw".into(),
    };
    let volid = cluster.allocate(
        &guest.node,
        storage,
        guest.vmid,
        bytes,
        Some(&format),
        "disk",
    )?;
    say_formatting(cluster, log, &volid, bytes, &format);
    if drive.kind == Kind::Lxc && format == "raw" {
        say_filesystem(cluster, log, bytes);
    }
    Ok(volid)
}

fn say_formatting(cluster: &Cluster, log: &mut TaskLog, volid: &str, bytes: u64, format: &str) {
    let Some((storage, name)) = volid.split_once(':') else {
        return;
    };
    let Some(section) = cluster.storage(storage) else {
        return;
    };
    match section.kind.as_str() {
        "lvm" | "lvmthin" => log.say(format!("  Logical volume \"{name}\" created.")),
        kind if is_file_based(kind) && format != "subvol" => {
            let path = section.get("path").unwrap_or("/mnt/pve");
            let rest = match format {
                "qcow2" => format!(
                    "cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size={bytes} \
                     lazy_refcounts=off refcount_bits=16"
                ),
                _ => format!("size={bytes} preallocation=off"),
            };
            log.say(format!(
                "Formatting '{path}/images/{name}', fmt={format} {rest}"
            ));
        }
        _ => {}
    }
}

fn say_filesystem(cluster: &mut Cluster, log: &mut TaskLog, bytes: u64) {
    let blocks = bytes / 4096;
    log.say(format!(
        "Creating filesystem with {blocks} 4k blocks and {} inodes",
        blocks / 4
    ));
    log.say(format!("Filesystem UUID: {}", cluster.random_uuid()));
    log.say("Superblock backups stored on blocks: ");
    let backups: Vec<String> = [
        32_768u64, 98_304, 163_840, 229_376, 294_912, 819_200, 884_736, 1_605_632,
    ]
    .into_iter()
    .filter(|block| *block < blocks)
    .map(|block| block.to_string())
    .collect();
    log.say(format!("\t{}", backups.join(", ")));
}

fn say_created(log: &mut TaskLog, drive: &Drive) {
    if drive.kind == Kind::Qemu {
        log.say(format!(
            "{}: successfully created disk '{}'",
            drive.key,
            drive.print()
        ));
    }
}

fn say_varstore(log: &mut TaskLog, drive: &Drive, bytes: u64) {
    say_transfer(log, bytes);
    say_transferred(log, bytes);
    if drive.get("pre-enrolled-keys") == Some("1") {
        log.say(
            "INFO: reading raw edk2 varstore from /usr/share/pve-edk2-firmware//OVMF_VARS_4M.ms.fd",
        );
        log.say("INFO: var store range: 0x64 -> 0x40000");
    }
}

/// Logs that a copy is complete.
pub fn say_transferred(log: &mut TaskLog, bytes: u64) {
    let all = size::human(bytes);
    log.say(format!("transferred {all} of {all} (100.00%)"));
}

/// Logs a copy's progress.
pub fn say_transfer(log: &mut TaskLog, bytes: u64) {
    let all = size::human(bytes);
    log.say(format!("transferred 0.0 B of {all} (0.00%)"));
    say_transferred(log, bytes);
}

/// Whether a volume is in use elsewhere in a configuration: in another key, or in a snapshot.
#[must_use]
pub fn is_in_use(config: &Config, key: &str, volid: &str) -> bool {
    let names = |section: &super::conf::Section| {
        section.values.iter().any(|(other, value)| {
            let first = value.split(',').next().unwrap_or_default();
            other != key
                && (keys::is_volume_slot(config.kind, other) || other == "vmstate")
                && first == volid
        })
    };
    let in_snapshot = config.snapshots.values().any(|snapshot| {
        drive::drives(config.kind, snapshot, true)
            .iter()
            .any(|drive| drive.file() == volid)
            || snapshot.get("vmstate") == Some(volid)
    });
    names(&config.main) || in_snapshot
}

/// Frees the volume of a removed key, if it is the guest's own.
///
/// # Errors
/// Something still uses it, or its storage cannot be reached.
pub fn deallocate(
    cluster: &mut Cluster,
    guest: &Guest,
    config: &Config,
    drive: &Drive,
) -> Result<(), String> {
    let volid = drive.file().to_owned();
    if drive.volume().is_none()
        || drive.owner() != Some(guest.vmid)
        || (drive.is_cdrom() && !drive.is_cloudinit())
    {
        return Ok(());
    }
    if is_in_use(config, &drive.key, &volid) {
        return Err(format!(
            "unable to delete '{volid}' - volume is still in use (snapshot?)"
        ));
    }
    cluster.free(&guest.node, &volid)
}

/// Detaches a volume: it becomes `unusedN` if it is the guest's own, and a cloud-init drive is freed.
pub fn detach(cluster: &mut Cluster, guest: &Guest, config: &mut Config, drive: &Drive) {
    if drive.is_cloudinit() {
        let _ = cluster.free(&guest.node, drive.file());
    } else if !drive.is_cdrom() && drive.owner() == Some(guest.vmid) {
        drive::add_unused(&mut config.main, drive.file());
    }
}

/// Frees volumes that a failed task made.
pub fn free_all(cluster: &mut Cluster, node: &str, volumes: &[String]) {
    for volid in volumes {
        let _ = cluster.free(node, volid);
    }
}
