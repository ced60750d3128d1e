//! `POST …/{vmid}/clone`: full copies, and linked clones of templates.

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::super::volumes::{Volume, is_file_based};
use super::access::{self, Loaded};
use super::conf::{Config, Section};
use super::create_vm::{add_to_pool, forget};
use super::disks;
use super::drive::{self, Drive};
use super::feature;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::permits;
use super::props;

struct Clone {
    source: Guest,
    target: Guest,
    /// The settings that are copied: the ones in force, or a snapshot's.
    section: Section,
    full: bool,
    storage: Option<String>,
    format: Option<String>,
    name: Option<String>,
    description: Option<String>,
}

/// Clones a guest.
pub fn clone(cluster: &mut Cluster, call: &Call) -> Answer {
    let kind = access::kind_of(call);
    let work = prepare(cluster, call, kind)?;
    let mut placeholder = Config::new(kind);
    placeholder.main.set(
        "lock",
        if kind == Kind::Qemu {
            "clone"
        } else {
            "create"
        },
    );
    access::store(cluster, &work.target, &placeholder);
    if let Some(pool) = call.get("pool") {
        add_to_pool(cluster, pool, work.target.vmid);
    }
    let bytes: u64 = drive::drives(kind, &work.section, false)
        .iter()
        .filter(|drive| !drive.is_cdrom())
        .filter_map(|drive| {
            cluster
                .volumes
                .get(&work.source.node, drive.file())
                .map(|volume| volume.size)
        })
        .sum();
    let seconds = if work.full {
        disks::copy_seconds(bytes)
    } else {
        1.0
    };
    let undone = work.target.clone();
    let spec = TaskSpec::new(
        &work.source.node,
        &format!("{}clone", kind.task()),
        work.source.vmid,
        &call.auth,
    )
    .lasting(seconds)
    .on_abort(move |cluster, _| forget(cluster, &undone));
    Ok(cluster.spawn(spec, move |cluster, log| {
        let mut made = Vec::new();
        let done = perform(cluster, &work, &mut made, log);
        if done.is_err() {
            disks::free_all(cluster, &work.source.node, &made);
            forget(cluster, &work.target);
        }
        done.map_err(|text| format!("clone failed: {text}"))
    }))
}

fn prepare(cluster: &mut Cluster, call: &Call, kind: Kind) -> Result<Clone, ApiError> {
    let newid: u32 = call
        .get("newid")
        .and_then(|vmid| vmid.parse().ok())
        .unwrap_or(0);
    allowed(cluster, call, newid)?;
    let node = call.get("target").unwrap_or(call.node()).to_owned();
    if !cluster.nodes.contains_key(&node) {
        return Err(ApiError::internal(format!("no such cluster node '{node}'")));
    }
    let Ok(Loaded { guest, config, .. }) = access::load(cluster, call) else {
        return Err(ApiError::internal(match kind {
            Kind::Qemu => format!(
                "unable to find configuration file for VM {} on node '{}'",
                call.vmid(),
                call.node()
            ),
            Kind::Lxc => format!(
                "Configuration file 'nodes/{}/lxc/{}.conf' does not exist",
                call.node(),
                call.vmid()
            ),
        }));
    };
    access::check_lock(&config)?;
    let section = match call.get("snapname") {
        None => config.main.clone(),
        Some(name) => config
            .snapshots
            .get(name)
            .cloned()
            .ok_or_else(|| ApiError::internal(format!("snapshot '{name}' does not exist")))?,
    };
    let full = call.flag("full").unwrap_or(!config.main.is_set("template"));
    if cluster.guest(newid).is_some() {
        return Err(match kind {
            Kind::Qemu => ApiError::internal(format!(
                "unable to create VM {newid}: config file already exists"
            )),
            Kind::Lxc => access::check_unused(cluster, newid)
                .err()
                .unwrap_or_default()
                .into(),
        });
    }
    let target = Guest {
        vmid: newid,
        kind,
        node,
    };
    let work = Clone {
        source: guest,
        target,
        section,
        full,
        storage: call.get("storage").map(str::to_owned),
        format: call.get("format").map(str::to_owned),
        name: call
            .get(if kind == Kind::Qemu {
                "name"
            } else {
                "hostname"
            })
            .map(str::to_owned),
        description: call.get("description").map(str::to_owned),
    };
    check(cluster, call, &work)?;
    Ok(work)
}

fn allowed(cluster: &Cluster, call: &Call, newid: u32) -> Result<(), ApiError> {
    let pool = call.get("pool");
    if let Some(pool) = pool
        && !cluster.read_users().pools.contains_key(pool)
    {
        return Err(ApiError::denied(&format!("pool '{pool}' does not exist")));
    }
    cluster.check_guest(&call.auth, newid, pool, &["VM.Allocate"])
}

fn check(cluster: &Cluster, call: &Call, work: &Clone) -> Result<(), ApiError> {
    let no = |text: String| Err(ApiError::internal(text));
    let kind = work.source.kind;
    if !work.full {
        for name in ["storage", "format"] {
            if call.get(name).is_some() {
                return no(format!("parameter '{name}' not allowed for linked clones"));
            }
        }
    }
    if kind == Kind::Lxc
        && work.full
        && access::is_running(cluster, work.source.vmid)
        && call.get("snapname").is_none()
    {
        return no("Full clone of a running container is not supported (use a snapshot)".into());
    }
    for drive in drive::drives(kind, &work.section, false) {
        let Some((own, _)) = drive.volume() else {
            if kind == Kind::Lxc && drive.key != "rootfs" {
                return no(format!(
                    "unable to clone mountpoint '{}' (type bind)",
                    drive.key
                ));
            }
            continue;
        };
        if drive.is_cdrom() && !drive.is_cloudinit() {
            continue;
        }
        let storage = work.storage.as_deref().filter(|_| work.full).unwrap_or(own);
        cluster.check_all(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
        cluster.usable_storage(&work.source.node, storage)?;
        let section = cluster.require_storage(own)?;
        if work.target.node != work.source.node && !cluster.storage_is_shared(&section) {
            let node = &work.target.node;
            return no(format!(
                "can't clone {} to node '{node}' ({} uses local storage)",
                kind.noun(),
                kind.noun()
            ));
        }
        if call.get("snapname").is_some()
            && kind == Kind::Qemu
            && work.full
            && !drive.is_cloudinit()
            && !feature::copies_snapshot(cluster, &work.source, &section, &drive)
        {
            return no(format!(
                "Full clone feature is not supported for drive '{}'",
                drive.key
            ));
        }
        if !work.full && !drive.is_cloudinit() && !feature::can_link(&section, &drive) {
            return no(format!(
                "Linked clone feature is not supported for '{}' ({})",
                drive.file(),
                drive.key
            ));
        }
    }
    for (key, value) in &work.section.values {
        if matches!(keys::slot(key), Some(("net", _))) {
            let schema = if kind == Kind::Qemu {
                of::VM_NET
            } else {
                of::CT_NET
            };
            permits::bridge(
                cluster,
                &call.auth,
                &props::parse(schema, value).unwrap_or_default(),
            )?;
        }
    }
    Ok(())
}

fn perform(
    cluster: &mut Cluster,
    work: &Clone,
    made: &mut Vec<String>,
    log: &mut TaskLog,
) -> Result<(), String> {
    let kind = work.source.kind;
    let noun = if kind == Kind::Qemu {
        "VM"
    } else {
        "container"
    };
    log.say(format!(
        "creating a clone of {noun} {} with ID {}",
        work.source.vmid, work.target.vmid
    ));
    let mut main = identity(cluster, work);
    for drive in drive::drives(kind, &work.section, false) {
        if drive.volume().is_none() || (drive.is_cdrom() && !drive.is_cloudinit()) {
            continue;
        }
        let copied = copy(cluster, work, &drive, log)?;
        made.push(copied.file().to_owned());
        main.set(&copied.key, copied.print());
    }
    let firewall = cluster
        .files
        .get(&format!("firewall/{}.fw", work.source.vmid))
        .map(str::to_owned);
    if let Some(text) = firewall {
        cluster
            .files
            .set(format!("firewall/{}.fw", work.target.vmid), text);
    }
    let mut config = Config::new(kind);
    config.main = main;
    access::store(cluster, &work.target, &config);
    Ok(())
}

/// The clone's settings before its volumes: without what is the source's own, with a new identity.
fn identity(cluster: &mut Cluster, work: &Clone) -> Section {
    let mut main = work.section.clone();
    let own = [
        "lock",
        "parent",
        "template",
        "snaptime",
        "snapstate",
        "vmstate",
        "runningmachine",
        "runningcpu",
        "running-nets-host-mtu",
    ];
    main.values
        .retain(|key, _| !own.contains(&key.as_str()) && !keys::is_unused(key));
    let old = access::reload(cluster, &work.source)
        .map(|loaded| loaded.config.main)
        .unwrap_or_default();
    match work.source.kind {
        Kind::Qemu => {
            let default = match old.get("name") {
                Some(name) => format!("Copy-of-VM-{name}"),
                None => format!("Copy-of-VM-{}", work.source.vmid),
            };
            main.set("name", work.name.clone().unwrap_or(default));
            let uuid = cluster.random_uuid();
            let smbios = main.get("smbios1").unwrap_or_default().split(',');
            let mut parts: Vec<String> = smbios
                .filter(|part| !part.is_empty() && !part.starts_with("uuid="))
                .map(str::to_owned)
                .collect();
            parts.push(format!("uuid={uuid}"));
            main.set("smbios1", parts.join(","));
            if main.get("vmgenid").is_some() {
                main.set("vmgenid", cluster.random_uuid());
            }
        }
        Kind::Lxc => {
            let default = match old.get("hostname") {
                Some(name) => format!("Copy-of-{name}"),
                None => format!("Copy-of-CT-{}", work.source.vmid),
            };
            main.set("hostname", work.name.clone().unwrap_or(default));
        }
    }
    match work
        .description
        .as_deref()
        .map(|text| text.trim_end_matches('\n'))
    {
        Some("") => {
            main.remove("description");
        }
        Some(text) => main.set("description", text),
        None => {}
    }
    let (schema, mac) = match work.source.kind {
        Kind::Qemu => (of::VM_NET, "macaddr"),
        Kind::Lxc => (of::CT_NET, "hwaddr"),
    };
    for key in (0..32).map(|number| format!("net{number}")) {
        if let Some(mut net) = main
            .get(&key)
            .and_then(|text| props::parse(schema, text).ok())
        {
            net.insert(mac.into(), cluster.random_mac());
            main.set(key, props::print(schema, &net));
        }
    }
    main
}

fn copy(
    cluster: &mut Cluster,
    work: &Clone,
    drive: &Drive,
    log: &mut TaskLog,
) -> Result<Drive, String> {
    let node = &work.source.node;
    let kind = work.source.kind;
    let source = drive.file().to_owned();
    let (own, _) = drive.volume().unwrap_or_default();
    let owner = Guest {
        node: node.clone(),
        ..work.target.clone()
    };
    let mut copied = drive.clone();
    if drive.is_cloudinit() {
        let storage = work.storage.as_deref().unwrap_or(own);
        copied.set_file(format!("{storage}:cloudinit"));
        return disks::realize(cluster, &owner, &copied, log).map(|(drive, _)| drive);
    }
    let volume = cluster
        .volumes
        .get(node, &source)
        .cloned()
        .ok_or_else(|| format!("volume '{source}' does not exist"))?;
    let part = if kind == Kind::Qemu {
        "drive"
    } else {
        "mountpoint"
    };
    if !work.full {
        log.say(format!(
            "create linked clone of {part} {} ({source})",
            drive.key
        ));
        copied.set_file(link(cluster, &owner, &volume, log)?);
        return Ok(copied);
    }
    log.say(format!(
        "create full clone of {part} {} ({source})",
        drive.key
    ));
    let storage = work.storage.as_deref().unwrap_or(own).to_owned();
    let format = work
        .format
        .clone()
        .or_else(|| super::relocate::usable_format(cluster, &storage, &volume.format));
    let volid = disks::allocate(
        cluster,
        &owner,
        drive,
        &storage,
        volume.size,
        format.as_deref(),
        log,
    )?;
    if kind == Kind::Qemu {
        log.say(format!("allocated target volume '{volid}'"));
        disks::say_transfer(log, volume.size);
    }
    copied.set_file(&volid);
    copied.set("size", super::size::print(volume.size));
    Ok(copied)
}

/// A volume that stands on a base volume and takes next to no room of its own.
fn link(
    cluster: &mut Cluster,
    owner: &Guest,
    base: &Volume,
    log: &mut TaskLog,
) -> Result<String, String> {
    let section = cluster.usable_storage(&owner.node, base.storage())?;
    let files = is_file_based(&section.kind);
    let format = if files && base.format != "subvol" {
        "qcow2".to_owned()
    } else {
        base.format.clone()
    };
    let plain = cluster.free_name(&section, owner.vmid, &format, "disk");
    let name = plain
        .split_once(':')
        .map_or("", |(_, name)| name)
        .to_owned();
    let volid = match section.kind.as_str() {
        // LVM-thin keeps no trace of the base in the name.
        "lvmthin" => plain.clone(),
        _ => format!("{}:{}/{name}", section.id, base.name()),
    };
    if files && format == "qcow2" {
        say_link(log, &section, owner, base, &name);
    }
    let ctime = cluster.clock.unix();
    let parent = (section.kind != "lvmthin").then(|| base.name().to_owned());
    let node = if cluster.storage_is_shared(&section) {
        String::new()
    } else {
        owner.node.clone()
    };
    cluster.volumes.insert(Volume {
        volid: volid.clone(),
        node,
        size: base.size,
        used: Some(0),
        format,
        ctime,
        parent,
        ..Volume::default()
    });
    Ok(volid)
}

fn say_link(
    log: &mut TaskLog,
    section: &super::super::section_config::Section,
    owner: &Guest,
    base: &Volume,
    name: &str,
) {
    let (vmid, last) = (owner.vmid, name.rsplit('/').next().unwrap_or(name));
    let below = base.name();
    log.say(format!(
        "clone {below}: images, {last}, {vmid} to {last} (base=../{below})"
    ));
    let path = section.get("path").unwrap_or("/mnt/pve");
    log.say(format!(
        "Formatting '{path}/images/{name}', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=metadata \
         compression_type=zlib size={} backing_file=../{below} backing_fmt={} lazy_refcounts=off refcount_bits=16",
        base.size, base.format
    ));
}
