//! `…/{vmid}/migrate`: what stands in the way of moving a guest to another node, and moving it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::section_config::Section;
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::super::volumes;
use super::access::{self, Loaded};
use super::disks;
use super::drive;
use super::kind::Kind;
use super::obstacles;
use super::power;

/// `GET …/migrate`.
pub fn preconditions(cluster: &mut Cluster, call: &Call) -> Answer {
    let loaded = access::load(cluster, call)?;
    access::check_lock(&loaded.config)?;
    let Loaded { guest, config, .. } = &loaded;
    let running = u8::from(access::is_running(cluster, guest.vmid));
    let mut allowed = Vec::new();
    let mut refused = Map::new();
    let others: Vec<String> = cluster
        .nodes
        .iter()
        .filter(|(name, node)| **name != guest.node && node.online)
        .map(|(name, _)| name.clone())
        .collect();
    for node in others {
        let missing = obstacles::unavailable_storages(cluster, guest, config, &node);
        if missing.is_empty() {
            allowed.push(node);
        } else {
            let key = if guest.kind == Kind::Qemu {
                "unavailable_storages"
            } else {
                "unavailable-storages"
            };
            refused.insert(node, json!({ key: missing }));
        }
    }
    if guest.kind == Kind::Lxc {
        return Ok(
            json!({"running": running, "allowed-nodes": allowed, "not-allowed-nodes": refused}),
        );
    }
    let (local, mapped, info) = obstacles::resources(&config.main);
    let mut answer = json!({
        "running": running,
        "allowed_nodes": allowed,
        "not_allowed_nodes": refused,
        "local_disks": obstacles::local_disks(cluster, guest, config),
        "local_resources": local,
        "mapped-resources": mapped,
        "mapped-resource-info": info,
        "has-dbus-vmstate": 1,
    });
    if cluster.ha_managed(guest)
        && let Some(map) = answer.as_object_mut()
    {
        map.insert("dependent-ha-resources".into(), json!([]));
    }
    Ok(answer)
}

struct Journey {
    guest: Guest,
    target: String,
    /// Source storage to target storage; the key `""` stands for all.
    storages: Vec<(String, String)>,
    online: bool,
    with_local_disks: bool,
    restart: bool,
}

impl Journey {
    /// The target of a volume on storage `own`; `targetstorage=1` keeps each on the storage of the same name.
    fn storage(&self, own: &str) -> String {
        let exact = self.storages.iter().find(|(from, _)| from == own);
        let all = || self.storages.iter().find(|(from, _)| from.is_empty());
        match exact.or_else(all) {
            Some((_, to)) if to != "1" => to.clone(),
            Some(_) | None => own.to_owned(),
        }
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    super::super::call::split_list(text)
        .into_iter()
        .map(|part| match part.split_once(':') {
            Some((from, to)) => (from.to_owned(), to.to_owned()),
            None => (String::new(), part),
        })
        .collect()
}

/// `POST …/migrate`.
pub fn migrate(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, &["force", "migration_type", "migration_network"])?;
    let target = call.text("target").to_owned();
    if target == call.node() {
        return Err(ApiError::parameter("target", "target is local node."));
    }
    let Some(node) = cluster.nodes.get(&target) else {
        return Err(ApiError::internal(format!(
            "no such cluster node '{target}'"
        )));
    };
    if !node.online {
        return Err(ApiError::internal(format!("node '{target}' is not online")));
    }
    let Loaded { guest, config, .. } = access::load(cluster, call)?;
    access::check_lock(&config)?;
    let running = access::is_running(cluster, guest.vmid);
    let (online, restart) = (call.is_set("online"), call.is_set("restart"));
    if running && guest.kind == Kind::Qemu {
        cluster
            .check_replicated_move(&guest, &target, true)
            .map_err(ApiError::internal)?;
    }
    if running && !online && !restart {
        return Err(ApiError::internal(match guest.kind {
            Kind::Qemu => "can't migrate running VM without --online",
            Kind::Lxc => "can't migrate running container without --online or --restart",
        }));
    }
    let map = call
        .get("targetstorage")
        .or_else(|| call.get("target-storage"))
        .unwrap_or_default();
    let journey = Journey {
        guest: guest.clone(),
        target: target.clone(),
        storages: pairs(map),
        online,
        with_local_disks: call.is_set("with-local-disks"),
        restart,
    };
    if !map.is_empty() {
        cluster.check_all(
            &call.auth,
            &format!("/vms/{}", guest.vmid),
            &["VM.Config.Disk"],
        )?;
        for (_, to) in journey.storages.iter().filter(|(_, to)| to != "1") {
            cluster.check_all(
                &call.auth,
                &format!("/storage/{to}"),
                &["Datastore.AllocateSpace"],
            )?;
            cluster.usable_storage(&target, to)?;
        }
    } else if let Some(storage) =
        obstacles::unavailable_storages(cluster, &guest, &config, &target).first()
    {
        return Err(ApiError::internal(format!(
            "storage '{storage}' is not available on node '{target}'"
        )));
    }
    if cluster.ha_managed(&guest) {
        let noun = guest.kind.noun();
        let line = format!(
            "Requesting HA migration for {noun} {} to node {target}",
            guest.vmid
        );
        let spec = TaskSpec::new(&guest.node, "hamigrate", guest.vmid, &call.auth).saying(line);
        return Ok(cluster.spawn(spec, move |cluster, _| {
            cluster.ha_move(&guest, &target);
            Ok(())
        }));
    }
    Ok(depart(cluster, call, journey, &config))
}

fn depart(
    cluster: &mut Cluster,
    call: &Call,
    journey: Journey,
    config: &super::conf::Config,
) -> Value {
    let guest = journey.guest.clone();
    let task = match guest.kind {
        Kind::Qemu => "qmigrate",
        Kind::Lxc => "vzmigrate",
    };
    let spec = TaskSpec::new(&guest.node, task, guest.vmid, &call.auth);
    let spec = spec.saying(format!(
        "starting migration of {} {} to node '{}'",
        guest.kind.noun(),
        guest.vmid,
        journey.target
    ));
    let live = access::is_running(cluster, guest.vmid) && !journey.restart;
    if guest.kind == Kind::Lxc && live {
        return cluster.spawn_failed(spec, "lxc live migration is currently not implemented");
    }
    let held = cluster.check_replicated_move(&guest, &journey.target, false);
    let checked = held
        .and_then(|()| obstacles::check(cluster, &guest, config, live, journey.with_local_disks))
        .and_then(|()| {
            let there = |own: &str| journey.storage(own);
            obstacles::check_containers(cluster, &guest, config, &journey.target, there)?;
            obstacles::check_machines(cluster, &guest, config, &journey.target, there)
        });
    if let Err(text) = checked {
        return cluster.spawn_failed(spec.saying(format!("ERROR: {text}")), "migration aborted");
    }
    let bytes: u64 = obstacles::local_volumes(cluster, &guest, config)
        .iter()
        .filter_map(|volid| {
            cluster
                .volumes
                .get(&guest.node, volid)
                .map(|volume| volume.size)
        })
        .sum();
    access::set_lock(cluster, &guest, Some("migrate"));
    let undone = guest.clone();
    let spec = spec.on_abort(move |cluster, _| access::set_lock(cluster, &undone, None));
    cluster.spawn(
        spec.lasting(2.0 + disks::copy_seconds(bytes)),
        move |cluster, log| {
            arrive(cluster, &journey, log).map_err(|text| {
                access::set_lock(cluster, &journey.guest, None);
                log.say(format!("ERROR: {text}"));
                "migration aborted".to_owned()
            })
        },
    )
}

/// Moves a guest as the HA manager does: with local disks where they can be moved, containers with a restart.
///
/// # Errors
/// What the migration task would log.
pub fn carry_off(cluster: &mut Cluster, guest: &Guest, target: &str) -> Result<(), String> {
    let config = access::reload(cluster, guest)?.config;
    access::check_lock(&config)?;
    if let Some(storage) = obstacles::unavailable_storages(cluster, guest, &config, target).first()
    {
        return Err(format!(
            "storage '{storage}' is not available on node '{target}'"
        ));
    }
    let live = guest.kind == Kind::Qemu && access::is_running(cluster, guest.vmid);
    obstacles::check(cluster, guest, &config, live, false)?;
    obstacles::check_containers(cluster, guest, &config, target, str::to_owned)?;
    let journey = Journey {
        guest: guest.clone(),
        target: target.to_owned(),
        storages: Vec::new(),
        online: live,
        with_local_disks: false,
        restart: guest.kind == Kind::Lxc,
    };
    arrive(cluster, &journey, &mut TaskLog::default())
}

fn arrive(cluster: &mut Cluster, journey: &Journey, log: &mut TaskLog) -> Result<(), String> {
    let guest = &journey.guest;
    let config = access::reload(cluster, guest)?.config;
    let there = Guest {
        node: journey.target.clone(),
        ..guest.clone()
    };
    let running = access::is_running(cluster, guest.vmid);
    if running {
        super::startable::check_bridges(cluster, &there, &config, log)?;
    }
    let renamed = carry_volumes(cluster, journey, &config, log)?;
    let mut text = cluster.files.read(&guest.file()).to_owned();
    for (from, to) in &renamed {
        text = text.replace(from.as_str(), to.as_str());
    }
    cluster.files.remove(&guest.file());
    cluster.files.set(there.file(), text);
    cluster.turn_replication(guest.vmid, &guest.node, &there.node);
    access::set_lock(cluster, &there, None);
    if running && journey.restart {
        cluster.running.remove(&guest.vmid);
        power::start_now(cluster, &there, log)?;
    } else if running && journey.online {
        log.say("migration status: completed");
    }
    log.say("migration finished successfully (duration 00:00:02)");
    Ok(())
}

/// Copies the local volumes to the target node; answers old and new ids of those whose id changes. Nothing is freed
/// before everything is copied.
fn carry_volumes(
    cluster: &mut Cluster,
    journey: &Journey,
    config: &super::conf::Config,
    log: &mut TaskLog,
) -> Result<Vec<(String, String)>, String> {
    let guest = &journey.guest;
    let mut carried: Vec<(String, String)> = Vec::new();
    let mirrored = mirrored(cluster, journey, config);
    for volid in obstacles::local_volumes(cluster, guest, config) {
        let live = mirrored.contains(&volid);
        let copied = carry(cluster, journey, &volid, live, log);
        match copied {
            Ok(to) => carried.push((volid, to)),
            Err(text) => {
                for (_, to) in &carried {
                    cluster.volumes.remove(&journey.target, to);
                }
                return Err(text);
            }
        }
    }
    for (from, _) in &carried {
        cluster.volumes.remove(&guest.node, from);
    }
    carried.retain(|(from, to)| from != to);
    Ok(carried)
}

/// The volumes that a live migration mirrors: what a running machine has attached, but cloud-init drives and the state of a TPM.
fn mirrored(
    cluster: &Cluster,
    journey: &Journey,
    config: &super::conf::Config,
) -> BTreeSet<String> {
    let guest = &journey.guest;
    let live =
        guest.kind == Kind::Qemu && !journey.restart && access::is_running(cluster, guest.vmid);
    drive::drives(guest.kind, &config.main, false)
        .iter()
        .filter(|drive| live && !drive.is_cloudinit() && drive.key != "tpmstate0")
        .map(|drive| drive.file().to_owned())
        .collect()
}

/// The id under which a volume is imported into another storage (pve-storage: `storage_migrate`); `None` where no stream that one side
/// writes is read by the other.
fn imported(section: &Section, from: &str, volid: &str, vmid: u32, format: &str) -> Option<String> {
    let to = section.kind.as_str();
    let file = |kind: &str| volumes::is_file_based(kind) && kind != "btrfs";
    let read = match (from, to, format) {
        ("zfspool", _, _) | (_, "zfspool", _) => from == to,
        (_, _, "raw") => file(to) || matches!(to, "btrfs" | "lvm" | "lvmthin" | "rbd"),
        (_, _, "subvol") => from == to,
        _ => file(from) && file(to),
    };
    let name = volid.rsplit([':', '/']).next().unwrap_or(volid);
    let stem = name.strip_suffix(&format!(".{format}")).unwrap_or(name);
    read.then(|| match volumes::is_file_based(to) {
        true => format!("{}:{vmid}/{stem}.{format}", section.id),
        false => format!("{}:{stem}", section.id),
    })
}

fn carry(
    cluster: &mut Cluster,
    journey: &Journey,
    volid: &str,
    live: bool,
    log: &mut TaskLog,
) -> Result<String, String> {
    let guest = &journey.guest;
    let volume = cluster
        .volumes
        .get(&guest.node, volid)
        .cloned()
        .ok_or_else(|| format!("volume '{volid}' does not exist"))?;
    let storage = journey.storage(volume.storage());
    let section = cluster.usable_storage(&journey.target, &storage)?;
    let usable = super::relocate::usable_format(cluster, &storage, &volume.format);
    let mut format = usable.map_or_else(|| volumes::volume_format(&section, None), Ok)?;
    let mut target = if storage == volume.storage() {
        volid.to_owned()
    } else if live {
        cluster.free_name(&section, guest.vmid, &format, "disk")
    } else {
        let from = cluster.storage(volume.storage());
        let from = from.map(|section| section.kind).unwrap_or_default();
        format.clone_from(&volume.format);
        imported(&section, &from, volid, guest.vmid, &format).ok_or_else(|| {
            format!(
                "storage migration for '{volid}' to storage '{storage}' failed - cannot migrate from storage type '{from}' to '{}'",
                section.kind
            )
        })?
    };
    if cluster.volumes.get(&journey.target, &target).is_some() {
        target = cluster.free_name(&section, guest.vmid, &format, "disk");
    }
    log.say(format!("copying local disk image: {volid} to {target}"));
    cluster.allocate_named(
        &journey.target,
        &section,
        target.clone(),
        volume.size,
        &format,
    )
}
