//! `/nodes/{node}/vzdump`: backups. An archive holds what a restore needs: the guest's configuration.
//!
//! A backup is a job of one or more guests; one that fails does not stop the others, but the task then ends `job errors`.

use serde_json::{Value, json};

use super::super::backups::{self, Wanted, stamp};
use super::super::call::{Answer, ApiError, Auth, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::super::volumes::Volume;
use super::access;
use super::conf::{Config, Section};
use super::disks::copy_seconds;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;

/// A job under way.
#[derive(Clone)]
struct Job {
    node: String,
    storage: String,
    mode: String,
    compress: String,
    notes: Option<String>,
    protected: bool,
    /// What is kept, or `None` if nothing is removed.
    keep: Option<String>,
    /// How many backups of a guest there may be before, where none is removed.
    limit: Option<usize>,
    all: bool,
    auth: Auth,
}

/// Starts a backup.
pub fn backup(cluster: &mut Cluster, call: &Call) -> Answer {
    backups::check_options(cluster, call)?;
    let wanted =
        Wanted::of(call.params.iter()).map_err(|(name, text)| ApiError::parameter(name, text))?;
    let storage = call.get("storage").unwrap_or("local").to_owned();
    cluster.check_all(
        &call.auth,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace"],
    )?;
    if call.get("prune-backups").is_some() {
        cluster.check_all(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate"],
        )?;
    }
    let vmids = wanted.on_node(cluster, call.node());
    if vmids.is_empty() && !wanted.all() {
        // Everything that was asked for is on other nodes.
        return Ok(json!("OK"));
    }
    let id = match vmids.as_slice() {
        [one] => one.to_string(),
        _ => String::new(),
    };
    let spec = TaskSpec::new(call.node(), "vzdump", id, &call.auth);
    if let Some(text) = unusable(cluster, call.node(), &storage) {
        return Ok(cluster.spawn(spec.lasting(0.0), move |_, log| {
            say_unsent(log);
            Err(text)
        }));
    }
    let keep = call.get("prune-backups").map(str::to_owned).or_else(|| {
        let section = cluster.storage(&storage)?;
        section.get("prune-backups").map(str::to_owned)
    });
    let remove = call.flag("remove").unwrap_or(true);
    let job = Job {
        node: call.node().to_owned(),
        storage,
        mode: call.get("mode").unwrap_or("snapshot").to_owned(),
        compress: call.get("compress").unwrap_or("0").to_owned(),
        notes: call.get("notes-template").map(str::to_owned),
        protected: call.is_set("protected"),
        limit: keep.as_deref().and_then(backups::limit).filter(|_| !remove),
        keep: keep.filter(|_| remove),
        all: wanted.all(),
        auth: call.auth.clone(),
    };
    let locked = lock(cluster, &job, &vmids);
    let bytes: u64 = vmids.iter().map(|vmid| amount(cluster, *vmid)).sum();
    let spec = spec
        .lasting(copy_seconds(bytes))
        .saying(format!(
            "INFO: starting new backup job: vzdump {}",
            arguments(call)
        ))
        .on_abort({
            let locked = locked.clone();
            move |cluster, _| unlock(cluster, &locked)
        });
    Ok(cluster.spawn(spec, move |cluster, log| {
        let result = perform(cluster, &job, &vmids, &locked, log);
        unlock(cluster, &locked);
        say_unsent(log);
        result
    }))
}

/// The job's options as the log shows them.
fn arguments(call: &Call) -> String {
    let mut words: Vec<String> = call.list("vmid");
    for (name, value) in &call.params {
        match name.as_str() {
            "vmid" => {}
            "notes-template" => words.push(format!("--{name} '{value}'")),
            _ => words.push(format!("--{name} {value}")),
        }
    }
    words.join(" ")
}

/// Why a storage cannot take backups, as the task dies with.
fn unusable(cluster: &Cluster, node: &str, storage: &str) -> Option<String> {
    match cluster.usable_storage(node, storage) {
        Err(text) => Some(format!(
            "could not activate storage '{storage}': {text}\ncould not get storage information for '{storage}': {text}"
        )),
        Ok(section) if !section.holds("backup") => Some(format!(
            "could not get storage information for '{storage}': can't use storage '{storage}' for backups - wrong content type"
        )),
        Ok(_) => None,
    }
}

/// Marks the guests that can be backed up, and answers which they are.
fn lock(cluster: &mut Cluster, job: &Job, vmids: &[u32]) -> Vec<Guest> {
    let mut locked = vec![];
    for vmid in vmids {
        let Some(guest) = cluster.guest(*vmid) else {
            continue;
        };
        let free = access::reload(cluster, &guest)
            .is_ok_and(|loaded| access::check_lock(&loaded.config).is_ok());
        if free && cluster.allowed(&job.auth, &format!("/vms/{vmid}"), "VM.Backup") {
            access::set_lock(cluster, &guest, Some("backup"));
            locked.push(guest);
        }
    }
    locked
}

fn unlock(cluster: &mut Cluster, guests: &[Guest]) {
    for guest in guests {
        let own = access::reload(cluster, guest)
            .is_ok_and(|loaded| loaded.config.main.get("lock") == Some("backup"));
        if own {
            access::set_lock(cluster, guest, None);
        }
    }
}

/// Bytes of a guest's volumes.
fn amount(cluster: &Cluster, vmid: u32) -> u64 {
    let Some(guest) = cluster.guest(vmid) else {
        return 0;
    };
    access::reload(cluster, &guest).map_or(0, |loaded| {
        drive::drives(guest.kind, &loaded.config.main, false)
            .iter()
            .filter(|drive| verdict(drive).0)
            .filter_map(Drive::size)
            .sum()
    })
}

/// Whether a volume is part of a backup, and why, in Proxmox VE's words.
#[must_use]
pub fn verdict(drive: &Drive) -> (bool, &'static str) {
    let flag = |default: bool| {
        drive
            .get("backup")
            .and_then(super::super::params::loose_truth)
            .unwrap_or(default)
    };
    match drive.kind {
        Kind::Qemu if flag(true) => (true, "backup=yes"),
        Kind::Qemu => (false, "backup=no"),
        Kind::Lxc if drive.volume().is_none() => (false, "not a volume"),
        Kind::Lxc if drive.key == "rootfs" => (true, "rootfs"),
        Kind::Lxc if flag(false) => (true, "enabled"),
        Kind::Lxc => (false, "disabled"),
    }
}

fn perform(
    cluster: &mut Cluster,
    job: &Job,
    vmids: &[u32],
    locked: &[Guest],
    log: &mut TaskLog,
) -> Result<(), String> {
    let mut failed = false;
    for vmid in vmids {
        if !cluster.allowed(&job.auth, &format!("/vms/{vmid}"), "VM.Backup") {
            if job.all {
                continue;
            }
            return Err(ApiError::forbidden(&format!("/vms/{vmid}"), &["VM.Backup"]).message);
        }
        if let Err(text) = one(cluster, job, *vmid, locked, log) {
            log.say(format!("ERROR: Backup of VM {vmid} failed - {text}"));
            log.say(format!("INFO: Failed at {}", clock(cluster)));
            failed = true;
        }
    }
    if failed {
        log.say("INFO: Backup job finished with errors");
        return Err("job errors".into());
    }
    log.say("INFO: Backup job finished successfully");
    Ok(())
}

fn clock(cluster: &Cluster) -> String {
    stamp(cluster.clock.unix(), "%Y-%m-%d %H:%M:%S")
}

fn one(
    cluster: &mut Cluster,
    job: &Job,
    vmid: u32,
    locked: &[Guest],
    log: &mut TaskLog,
) -> Result<(), String> {
    let guest = cluster
        .guest(vmid)
        .ok_or_else(|| format!("unable to find VM '{vmid}'"))?;
    log.say(format!(
        "INFO: Starting Backup of VM {vmid} ({})",
        guest.kind.api()
    ));
    log.say(format!("INFO: Backup started at {}", clock(cluster)));
    let config = access::reload(cluster, &guest)?.config;
    if !locked.contains(&guest) {
        access::check_lock(&config)?;
    }
    let running = access::is_running(cluster, vmid);
    let mode = if running { job.mode.as_str() } else { "stop" };
    let status = if running { "running" } else { "stopped" };
    log.say(format!("INFO: status = {status}"));
    log.say(format!("INFO: backup mode: {mode}"));
    log.say("INFO: ionice priority: 7");
    let name = super::read::name(&config, &guest);
    log.say(format!("INFO: {} Name: {name}", guest.kind.noun()));
    let bytes = say_volumes(&config, log);
    let section = cluster.usable_storage(&guest.node, &job.storage)?;
    within_limits(cluster, job, vmid)?;
    let moment = cluster.clock.unix();
    let file = format!(
        "vzdump-{}-{vmid}-{}.{}",
        guest.kind.api(),
        stamp(moment, "%Y_%m_%d-%H_%M_%S"),
        extension(guest.kind, &job.compress)
    );
    let volume = Volume {
        volid: format!("{}:backup/{file}", job.storage),
        node: if cluster.storage_is_shared(&section) {
            String::new()
        } else {
            job.node.clone()
        },
        // Of an archive's size nothing can be known but that it grows with what it holds.
        size: (1 << 20) + bytes / 16,
        format: extension(guest.kind, &job.compress),
        ctime: moment,
        notes: job
            .notes
            .as_ref()
            .map(|text| notes(cluster, &guest, &name, text)),
        protected: job.protected,
        contents: Some(contents(cluster, &config)),
        ..Volume::default()
    };
    let (total, used) = cluster.usage(&job.node, &job.storage);
    if used.saturating_add(volume.size) > total {
        return Err("vzdump archive could not be written: No space left on device".into());
    }
    log.say(format!(
        "INFO: creating vzdump archive '{}'",
        cluster.volume_path(&volume)
    ));
    if guest.kind == Kind::Lxc {
        log.say(format!("INFO: Total bytes written: {}", volume.size));
    }
    log.say(format!("INFO: archive file size: {}MB", volume.size >> 20));
    if volume.notes.is_some() {
        log.say("INFO: adding notes to backup");
    }
    cluster.volumes.insert(volume);
    if running
        && mode == "stop"
        && let Some(run) = cluster.running.get_mut(&vmid)
    {
        // It was shut down and started again.
        run.since = moment;
    }
    if let Some(keep) = &job.keep {
        for volid in backups::prunable(cluster, &job.node, &job.storage, Some(vmid), keep) {
            log.say(format!("INFO: prune older backups with retention: {keep}"));
            cluster.free(&job.node, &volid)?;
            log.say(format!("INFO: removing backup '{volid}'"));
        }
    }
    log.say(format!("INFO: Finished Backup of VM {vmid} (00:00:00)"));
    log.say(format!("INFO: Backup finished at {}", clock(cluster)));
    Ok(())
}

/// How many backups of a guest the storage takes (PVE::VZDump `exec_backup_task`).
fn within_limits(cluster: &Cluster, job: &Job, vmid: u32) -> Result<(), String> {
    let there = cluster
        .volumes
        .on(&job.node, &job.storage)
        .filter(|volume| volume.content() == "backup" && volume.owner() == Some(vmid));
    let (protected, others): (Vec<_>, Vec<_>) = there.partition(|volume| volume.protected);
    if !job.protected {
        return match job.limit.filter(|limit| others.len() >= *limit) {
            Some(limit) => Err(format!(
                "There is a max backup limit of {limit} enforced by the target storage or the vzdump parameters. \
                 Either increase the limit or delete old backups."
            )),
            None => Ok(()),
        };
    }
    let path = format!("/storage/{}", job.storage);
    let said = cluster
        .storage(&job.storage)
        .and_then(|section| section.get("max-protected-backups")?.parse::<i64>().ok());
    let unlimited = cluster.allowed(&job.auth, &path, "Datastore.Allocate");
    let most = said.unwrap_or(if unlimited { -1 } else { 5 });
    match usize::try_from(most) {
        Ok(most) if protected.len() >= most => Err(format!(
            "The number of protected backups per guest is limited to {most} on storage '{}'",
            job.storage
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn say_volumes(config: &Config, log: &mut TaskLog) -> u64 {
    let mut bytes = 0;
    for drive in drive::drives(config.kind, &config.main, false) {
        let (included, why) = verdict(&drive);
        if drive.is_cdrom() {
            continue;
        }
        let (key, file) = (&drive.key, drive.file());
        let place = drive.get("mp").unwrap_or("/");
        log.say(match (config.kind, included) {
            (Kind::Qemu, true) => {
                format!(
                    "INFO: include disk '{key}' '{file}' {}",
                    drive.get("size").unwrap_or("")
                )
            }
            (Kind::Qemu, false) => format!("INFO: exclude disk '{key}' '{file}' ({why})"),
            (Kind::Lxc, true) => format!("INFO: including mount point {key} ('{place}') in backup"),
            (Kind::Lxc, false) => {
                let kind = if drive.volume().is_some() {
                    "volume"
                } else {
                    "bind"
                };
                format!("INFO: excluding {kind} mount point {key} ('{place}') from backup ({why})")
            }
        });
        if included {
            bytes += drive.size().unwrap_or(0);
        }
    }
    bytes
}

fn extension(kind: Kind, compress: &str) -> String {
    let archive = match kind {
        Kind::Qemu => "vma",
        Kind::Lxc => "tar",
    };
    match compress {
        "gzip" => format!("{archive}.gz"),
        "1" | "lzo" => format!("{archive}.lzo"),
        "zstd" => format!("{archive}.zst"),
        _ => archive.into(),
    }
}

fn notes(cluster: &Cluster, guest: &Guest, name: &str, template: &str) -> String {
    template
        .replace("{{guestname}}", name)
        .replace("{{node}}", &guest.node)
        .replace("{{vmid}}", &guest.vmid.to_string())
        .replace(
            "{{cluster}}",
            if cluster.name.is_empty() {
                "standalone node"
            } else {
                &cluster.name
            },
        )
        .replace("\\n", "\n")
        .replace("\\\\", "\\")
}

/// The configuration as an archive keeps it: what is in force, without lock and snapshots; for a virtual machine with
/// the places of its disks.
fn contents(cluster: &Cluster, config: &Config) -> String {
    let mut kept = Config::new(config.kind);
    kept.main = Section {
        values: config.main.values.clone(),
        raw: config.main.raw.clone(),
    };
    for key in ["lock", "parent"] {
        kept.main.remove(key);
    }
    let mut text = kept.print();
    if config.kind == Kind::Qemu {
        for drive in drive::drives(Kind::Qemu, &config.main, false) {
            let format = cluster
                .volumes
                .iter()
                .find(|volume| volume.volid == drive.file());
            let storage = drive.volume().map_or("", |(storage, _)| storage);
            if !drive.is_cdrom() && verdict(&drive).0 {
                text.push_str(&format!(
                    "#qmdump#map:{}:drive-{}:{storage}:{}:\n",
                    drive.key,
                    drive.key,
                    format.map_or("raw", |volume| volume.format.as_str())
                ));
            }
        }
    }
    text
}

/// Nobody has an address for mail here, and the task says so.
fn say_unsent(log: &mut TaskLog) {
    log.say(
        "WARN: 'root@pam' does not have a configured email address in the user configuration - not sending an email to \
         this user",
    );
    log.say(
        "ERROR: could not notify via target `mail-to-root`: could not notify via endpoint(s): mail-to-root: no recipients \
         provided for the mail, cannot send it.",
    );
}

/// The settings of a job that names none.
pub fn defaults(cluster: &mut Cluster, call: &Call) -> Answer {
    let storage = call.get("storage").unwrap_or("local");
    cluster.check_any(
        &call.auth,
        &format!("/storage/{storage}"),
        &["Datastore.Audit", "Datastore.AllocateSpace"],
    )?;
    let section = cluster.usable_storage(call.node(), storage)?;
    if !section.holds("backup") {
        return Err(ApiError::internal(format!(
            "can't use storage '{storage}' for backups - wrong content type"
        )));
    }
    let path = section.get("path").unwrap_or("/mnt/pve");
    Ok(json!({
        "all": 0, "bwlimit": 0, "compress": "0", "dumpdir": format!("{path}/dump"), "fleecing": { "enabled": 0 },
        "ionice": 7, "lockwait": 180, "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
        "performance": { "max-workers": 16, "pbs-entries-max": 1_048_576 }, "pigz": 0,
        "prune-backups": section.get("prune-backups").unwrap_or("keep-all=1"), "quiet": 0, "remove": 1,
        "stdexcludes": 1, "stop": 0, "stopwait": 10, "storage": storage, "zstd": 1,
    }))
}

/// The configuration in an archive.
pub fn extract(cluster: &mut Cluster, call: &Call) -> Answer {
    let volid = call.text("volume");
    let storage = volid.split_once(':').map_or("", |(storage, _)| storage);
    cluster.require_storage(storage)?;
    let volume = cluster.volumes.get(call.node(), volid).cloned();
    let volume =
        volume.ok_or_else(|| ApiError::internal(format!("volume '{volid}' does not exist")))?;
    cluster.check_volume(&call.auth, None, &volume)?;
    volume.contents.map(Value::String).ok_or_else(|| {
        ApiError::internal(format!("unable to extract configuration from '{volid}'"))
    })
}

/// The volumes that backups of a guest hold or leave out: key, id, verdict.
#[must_use]
pub fn volumes(cluster: &Cluster, guest: &Guest) -> Vec<(String, String, (bool, &'static str))> {
    let Ok(loaded) = access::reload(cluster, guest) else {
        return vec![];
    };
    let drives = drive::drives(guest.kind, &loaded.config.main, false);
    drives
        .iter()
        .filter(|drive| !drive.is_cdrom() && keys::is_volume_slot(guest.kind, &drive.key))
        .map(|drive| (drive.key.clone(), drive.file().to_owned(), verdict(drive)))
        .collect()
}
