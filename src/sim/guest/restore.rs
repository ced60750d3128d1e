//! Creating a guest from an archive: `restore` for containers, `archive` for virtual machines. With `force` it takes the
//! place of a guest of the same kind on the same node.

use std::collections::BTreeMap;

use super::super::call::{Answer, ApiError, Auth, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access;
use super::conf::{Config, Section};
use super::create_vm::{add_to_pool, forget};
use super::disks::{self, copy_seconds};
use super::drive;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::normalize;
use super::permits::{self, Subject};
use super::props;

/// A restore under way.
struct Restore {
    guest: Guest,
    archive: String,
    /// Where all volumes go; without it each of a virtual machine goes where it was, and those of a container to `local`.
    storage: Option<String>,
    /// Settings in place of those of the archive.
    settings: BTreeMap<String, String>,
    unique: bool,
    auth: Auth,
    /// The guest whose place it takes.
    former: Option<Config>,
}

/// Restores a guest.
pub fn restore(cluster: &mut Cluster, call: &Call) -> Answer {
    let kind = access::kind_of(call);
    let guest = Guest {
        vmid: call.vmid(),
        kind,
        node: call.node().to_owned(),
    };
    let archive = match kind {
        Kind::Qemu => call.text("archive"),
        Kind::Lxc => call.text("ostemplate"),
    };
    let pool = call.get("pool");
    let subject = Subject {
        auth: &call.auth,
        vmid: guest.vmid,
        pool,
    };
    let former = replaced(cluster, call, &guest)?;
    let backups = former.is_some()
        && cluster.allowed(&call.auth, &format!("/vms/{}", guest.vmid), "VM.Backup");
    if !backups {
        permits::create(cluster, subject)?;
    }
    check_archive(cluster, call, &guest, archive)?;
    if let Some(storage) = call.get("storage") {
        cluster.check_all(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
    }
    let settings: BTreeMap<String, String> = call
        .params
        .iter()
        .filter(|(key, _)| keys::option(kind, key).is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if former.is_none() {
        let mut placeholder = Config::new(kind);
        placeholder.main.set("lock", "create");
        access::store(cluster, &guest, &placeholder);
    } else {
        access::set_lock(cluster, &guest, Some("create"));
    }
    if let Some(pool) = pool {
        add_to_pool(cluster, pool, guest.vmid);
    }
    let bytes = contents(cluster, &guest, archive).map_or(0, |config| {
        drive::drives(kind, &config.main, false)
            .iter()
            .filter_map(drive::Drive::size)
            .sum()
    });
    let abort = (guest.clone(), former.clone());
    let spec = TaskSpec::new(
        &guest.node,
        &format!("{}restore", kind.task()),
        guest.vmid,
        &call.auth,
    )
    .lasting(copy_seconds(bytes))
    .on_abort(move |cluster, _| take_back(cluster, &abort.0, abort.1.as_ref()));
    let restore = Restore {
        guest,
        archive: archive.to_owned(),
        storage: call
            .get("storage")
            .or((kind == Kind::Lxc).then_some("local"))
            .map(str::to_owned),
        settings,
        unique: call.is_set("unique"),
        auth: call.auth.clone(),
        former,
    };
    let start = call.is_set("start");
    Ok(cluster.spawn(spec, move |cluster, log| {
        let guest = restore.guest.clone();
        perform(cluster, &restore, log).map_err(|text| {
            take_back(cluster, &guest, restore.former.as_ref());
            format!(
                "unable to restore {} {} - {text}",
                guest.kind.noun(),
                guest.vmid
            )
        })?;
        if start {
            super::power::start_now(cluster, &guest, log)?;
        }
        Ok(())
    }))
}

/// The guest whose place is taken, if that is allowed.
fn replaced(cluster: &Cluster, call: &Call, guest: &Guest) -> Result<Option<Config>, ApiError> {
    let (noun, vmid) = (guest.kind.noun(), guest.vmid);
    let prefix = match guest.kind {
        Kind::Qemu => format!("unable to restore VM {vmid} - "),
        Kind::Lxc => String::new(),
    };
    let no = |text: String| Err(ApiError::internal(format!("{prefix}{text}")));
    let same = cluster.guest(vmid).is_some_and(|found| found == *guest);
    if !same || !call.is_set("force") {
        return match access::check_unused(cluster, vmid) {
            Ok(()) => Ok(None),
            Err(text) => no(text),
        };
    }
    let config = access::reload(cluster, guest)
        .map_err(ApiError::internal)?
        .config;
    access::check_protection(&config, &format!("unable to restore {noun} {vmid}"))
        .map_err(ApiError::internal)?;
    access::check_lock(&config).map_err(ApiError::internal)?;
    if access::is_running(cluster, vmid) {
        return match guest.kind {
            Kind::Qemu => no("vm is running".into()),
            Kind::Lxc => no("can't overwrite running container".into()),
        };
    }
    Ok(Some(config))
}

fn check_archive(
    cluster: &Cluster,
    call: &Call,
    guest: &Guest,
    archive: &str,
) -> Result<(), ApiError> {
    let Some((storage, _)) = archive.split_once(':') else {
        let text = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.";
        return Err(ApiError::internal(text));
    };
    cluster.require_storage(storage)?;
    match cluster.volumes.get(call.node(), archive) {
        Some(volume) => cluster.check_volume(&call.auth, Some(guest.vmid), volume),
        None => Ok(()),
    }
}

fn contents(cluster: &Cluster, guest: &Guest, archive: &str) -> Result<Config, String> {
    let volume = cluster
        .volumes
        .get(&guest.node, archive)
        .ok_or_else(|| format!("volume '{archive}' does not exist"))?;
    let text = volume
        .contents
        .as_ref()
        .ok_or_else(|| format!("unable to extract configuration from '{archive}'"))?;
    let plain: String = text
        .lines()
        .filter(|line| !line.starts_with("#qmdump#"))
        .map(|line| format!("{line}\n"))
        .collect();
    Ok(Config::parse(guest.kind, &plain))
}

/// What was there before the restore began.
fn take_back(cluster: &mut Cluster, guest: &Guest, former: Option<&Config>) {
    match former {
        Some(former) => access::store(cluster, guest, former),
        None => forget(cluster, guest),
    }
}

fn perform(cluster: &mut Cluster, restore: &Restore, log: &mut TaskLog) -> Result<(), String> {
    let guest = &restore.guest;
    if guest.kind == Kind::Lxc {
        log.say(format!(
            "recovering backed-up configuration from '{}'",
            restore.archive
        ));
    }
    let backed_up = contents(cluster, guest, &restore.archive)?;
    permitted(cluster, restore, &backed_up.main).map_err(|error| error.message)?;
    let mut made = Vec::new();
    let mut main = match assemble(cluster, restore, &backed_up.main, &mut made, log) {
        Ok(main) => main,
        Err(text) => {
            disks::free_all(cluster, &guest.node, &made);
            return Err(text);
        }
    };
    if let Some(former) = &restore.former {
        replace(cluster, guest, former, &backed_up.main, &mut main)?;
    }
    let mut config = Config::new(guest.kind);
    config.main = main;
    access::store(cluster, guest, &config);
    Ok(())
}

/// What the configuration in an archive takes: room wherever a volume is made, the use of bridges and mappings, and for a privileged
/// container the right to change the system. Devices of the host are for root alone.
fn permitted(cluster: &Cluster, restore: &Restore, main: &Section) -> Result<(), ApiError> {
    let (auth, kind) = (&restore.auth, restore.guest.kind);
    for drive in drive::drives(kind, main, false) {
        let made =
            drive.is_cloudinit() || !drive.is_cdrom() && (kind == Kind::Lxc || in_archive(&drive));
        if let Some((was, _)) = drive.volume().filter(|_| made) {
            let storage = restore.storage.as_deref().unwrap_or(was);
            let path = format!("/storage/{storage}");
            cluster.check_all(auth, &path, &["Datastore.AllocateSpace"])?;
        }
    }
    if kind == Kind::Lxc && main.get("unprivileged") != Some("1") {
        cluster.check_all(auth, "/", &["Sys.Modify"])?;
    }
    for (key, value) in &main.values {
        let Some((stem, _)) = keys::slot(key) else {
            continue;
        };
        let parse = |schema| props::parse(schema, value).unwrap_or_default();
        let mapped = match (kind, stem) {
            (Kind::Qemu, "net") => {
                permits::bridge(cluster, auth, &parse(of::VM_NET))?;
                None
            }
            (Kind::Lxc, "net") => {
                permits::bridge(cluster, auth, &parse(of::CT_NET))?;
                None
            }
            (Kind::Qemu, "usb") => Some(("usb", parse(of::USB))),
            (Kind::Qemu, "hostpci") => Some(("pci", parse(of::HOSTPCI))),
            _ => None,
        };
        let Some((of, device)) = mapped else { continue };
        if let Some(id) = device.get("mapping") {
            let path = format!("/mapping/{of}/{id}");
            cluster.check_all(auth, &path, &["Mapping.Use"])?;
        } else if device.get("host").is_some_and(|host| host != "spice") && !auth.is_root() {
            let text = format!("only root can set '{key}' config for real devices");
            return Err(ApiError::internal(text));
        }
    }
    Ok(())
}

/// Frees the volumes of the guest that was there. A virtual machine keeps those that the archive does not replace; they
/// become unused.
fn replace(
    cluster: &mut Cluster,
    guest: &Guest,
    former: &Config,
    backed_up: &Section,
    main: &mut Section,
) -> Result<(), String> {
    let restored: Vec<String> = drive::drives(guest.kind, backed_up, false)
        .iter()
        .filter(|drive| guest.kind == Kind::Lxc || in_archive(drive))
        .map(|drive| drive.key.clone())
        .collect();
    for volid in super::destroy::volumes(former, guest) {
        let drives = drive::drives(guest.kind, &former.main, true);
        let slot = drives.iter().find(|drive| drive.file() == volid);
        let stays = guest.kind == Kind::Qemu
            && slot.is_some_and(|drive| !restored.contains(&drive.key) && !drive.is_cloudinit());
        if stays {
            drive::add_unused(main, &volid);
        } else {
            cluster.free(&guest.node, &volid)?;
        }
    }
    Ok(())
}

/// Whether an archive has a drive's contents.
fn in_archive(drive: &drive::Drive) -> bool {
    drive.is_cloudinit() || (!drive.is_cdrom() && super::vzdump::verdict(drive).0)
}

fn assemble(
    cluster: &mut Cluster,
    restore: &Restore,
    backed_up: &Section,
    made: &mut Vec<String>,
    log: &mut TaskLog,
) -> Result<Section, String> {
    let guest = &restore.guest;
    let mut main = backed_up.clone();
    main.values
        .retain(|key, _| !keys::is_unused(key) && key != "lock" && key != "parent");
    for mut drive in drive::drives(guest.kind, backed_up, false) {
        let Some((was, _)) = drive.volume() else {
            continue;
        };
        if drive.is_cdrom() && !drive.is_cloudinit() {
            continue;
        }
        if guest.kind == Kind::Qemu && !in_archive(&drive) {
            // Proxmox VE turns the line into a comment, which is part of the description.
            main.remove(&drive.key);
            let line = format!("{}: {}", drive.key, drive.print());
            let description = main
                .get("description")
                .map(|text| format!("{text}\n{line}"));
            main.set("description", description.unwrap_or(line));
            continue;
        }
        let storage = restore.storage.clone().unwrap_or_else(|| was.to_owned());
        let bytes = drive.size().unwrap_or(4 << 20);
        let format = drive
            .file()
            .rsplit_once('.')
            .map(|(_, format)| format.to_owned());
        let section = cluster.usable_storage(&guest.node, &storage)?;
        let format = format
            .filter(|format| super::super::volumes::volume_format(&section, Some(format)).is_ok());
        let volid = if drive.is_cloudinit() {
            cluster.allocate(
                &guest.node,
                &storage,
                guest.vmid,
                bytes,
                format.as_deref(),
                "cloudinit",
            )?
        } else {
            disks::allocate(
                cluster,
                guest,
                &drive,
                &storage,
                bytes,
                format.as_deref(),
                log,
            )?
        };
        made.push(volid.clone());
        drive.set_file(&volid);
        main.set(&drive.key, drive.print());
    }
    let volume = cluster.volumes.get(&guest.node, &restore.archive).cloned();
    let path = volume.map_or_else(String::new, |volume| cluster.volume_path(&volume));
    if guest.kind == Kind::Lxc {
        log.say(format!("restoring '{}' now..", restore.archive));
        log.say(format!("extracting archive '{path}'"));
        log.say("Total bytes read: 2099200 (2.1MiB, 291MiB/s)");
        log.say("merging backed-up and given configuration..");
    } else {
        log.say(format!(
            "restore vma archive: vma extract -v -r /var/tmp/vzdumptmp.fifo {path}"
        ));
    }
    renew(cluster, restore, &mut main);
    for (key, text) in &restore.settings {
        main.set(key, normalize::value(cluster, guest.kind, key, text)?);
    }
    Ok(main)
}

/// What a restored guest must not share with the one it was.
fn renew(cluster: &mut Cluster, restore: &Restore, main: &mut Section) {
    if main.get("vmgenid").is_some_and(|id| id != "0") {
        main.set("vmgenid", cluster.random_uuid());
    }
    if !restore.unique {
        return;
    }
    if let Some(smbios) = main.get("smbios1").map(str::to_owned) {
        let uuid = cluster.random_uuid();
        let others = smbios.split(',').filter(|part| !part.starts_with("uuid="));
        let parts: Vec<String> = std::iter::once(format!("uuid={uuid}"))
            .chain(others.map(str::to_owned))
            .collect();
        main.set("smbios1", parts.join(","));
    }
    let cards: Vec<(String, String)> = main
        .values
        .iter()
        .filter(|(key, _)| {
            key.strip_prefix("net")
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in cards {
        let mac = cluster.random_mac();
        let fresh: Vec<String> = value
            .split(',')
            .map(|part| match part.split_once('=') {
                Some((name, old)) if old.len() == 17 && old.matches(':').count() == 5 => {
                    format!("{name}={mac}")
                }
                _ => part.to_owned(),
            })
            .collect();
        main.set(key, fresh.join(","));
    }
}
