//! `POST /nodes/{node}/qemu`: a new virtual machine.

use std::collections::BTreeMap;

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access;
use super::conf::{Config, Section};
use super::disks;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;
use super::normalize;
use super::permits::{self, Subject};

/// The settings among a request's parameters, `cdrom` and `smp` by their present names.
#[must_use]
pub fn settings(call: &Call) -> BTreeMap<String, String> {
    let known = call
        .params
        .iter()
        .filter(|(key, _)| keys::option(Kind::Qemu, key).is_some());
    known
        .map(|(key, value)| match key.as_str() {
            "cdrom" => ("ide2".to_owned(), format!("{value},media=cdrom")),
            "smp" => ("sockets".to_owned(), value.clone()),
            _ => (key.clone(), value.clone()),
        })
        .collect()
}

/// Creates a virtual machine.
pub fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: Kind::Qemu,
        node: call.node().to_owned(),
    };
    let pool = call.get("pool");
    let subject = Subject {
        auth: &call.auth,
        vmid: guest.vmid,
        pool,
    };
    if call.get("archive").is_some() {
        return super::restore::restore(cluster, call);
    }
    permits::create(cluster, subject)?;
    let settings = settings(call);
    check(cluster, subject, &settings)?;
    if call.is_set("start") {
        cluster.check_guest(&call.auth, guest.vmid, pool, &["VM.PowerMgmt"])?;
    }
    if call.is_set("ha-managed") {
        cluster.check_all(&call.auth, "/", &["Sys.Console"])?;
    }
    access::check_unused(cluster, guest.vmid)
        .map_err(|text| format!("unable to create VM {} - {text}", guest.vmid))?;
    let mut placeholder = Config::new(Kind::Qemu);
    placeholder.main.set("lock", "create");
    access::store(cluster, &guest, &placeholder);
    if let Some(pool) = pool {
        add_to_pool(cluster, pool, guest.vmid);
    }
    let spec = TaskSpec::new(&guest.node, "qmcreate", guest.vmid, &call.auth).on_abort({
        let guest = guest.clone();
        move |cluster, _| forget(cluster, &guest)
    });
    let (start, ha, auth) = (
        call.is_set("start"),
        call.is_set("ha-managed"),
        call.auth.clone(),
    );
    Ok(cluster.spawn(spec, move |cluster, log| {
        build(cluster, &guest, &settings, log).map_err(|text| {
            forget(cluster, &guest);
            format!("unable to create VM {} - {text}", guest.vmid)
        })?;
        if ha {
            super::power::add_to_ha(cluster, &guest, start);
        } else if start {
            log.say("Execute autostart");
            let spec = TaskSpec::new(&guest.node, "qmstart", guest.vmid, &auth);
            cluster.spawn(spec, move |cluster, log| {
                super::power::start_now(cluster, &guest, log)
            });
        }
        Ok(())
    }))
}

fn check(
    cluster: &Cluster,
    subject: Subject<'_>,
    settings: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    for (key, value) in settings {
        if keys::is_volume_slot(Kind::Qemu, key)
            && let Some(drive) = Drive::parse(Kind::Qemu, key, value)
        {
            permits::volume(cluster, subject, &drive)?;
            let privilege = if drive.is_cdrom() {
                "VM.Config.CDROM"
            } else {
                "VM.Config.Disk"
            };
            cluster.check_guest(subject.auth, subject.vmid, subject.pool, &[privilege])?;
        }
    }
    permits::vm_keys(cluster, subject, settings.keys().map(String::as_str))?;
    for (key, value) in settings {
        permits::vm_value(cluster, subject, None, key, value)?;
    }
    if let Some(keys) = settings.get("sshkeys") {
        normalize::check_ssh_keys(keys)?;
    }
    Ok(())
}

/// Puts a guest into a pool.
pub fn add_to_pool(cluster: &mut Cluster, pool: &str, vmid: u32) {
    let _: Result<(), ()> = cluster.change_users(|users| {
        for other in users.pools.values_mut() {
            other.vms.remove(&vmid);
        }
        if let Some(pool) = users.pools.get_mut(pool) {
            pool.vms.insert(vmid);
        }
        Ok(())
    });
}

/// Takes back a guest whose creation failed.
pub fn forget(cluster: &mut Cluster, guest: &Guest) {
    cluster.files.remove(&guest.file());
    let _: Result<(), ()> = cluster.change_users(|users| {
        for pool in users.pools.values_mut() {
            pool.vms.remove(&guest.vmid);
        }
        Ok(())
    });
}

fn build(
    cluster: &mut Cluster,
    guest: &Guest,
    settings: &BTreeMap<String, String>,
    log: &mut TaskLog,
) -> Result<(), String> {
    let mut made = Vec::new();
    let built = assemble(cluster, guest, settings, &mut made, log);
    match built {
        Ok(main) => {
            let mut config = Config::new(Kind::Qemu);
            config.main = main;
            access::store(cluster, guest, &config);
            Ok(())
        }
        Err(text) => {
            disks::free_all(cluster, &guest.node, &made);
            Err(text)
        }
    }
}

fn assemble(
    cluster: &mut Cluster,
    guest: &Guest,
    settings: &BTreeMap<String, String>,
    made: &mut Vec<String>,
    log: &mut TaskLog,
) -> Result<Section, String> {
    let mut main = Section::default();
    for (key, text) in settings {
        if !(key == "description" && text.is_empty()) {
            main.set(key, normalize::value(cluster, Kind::Qemu, key, text)?);
        }
    }
    let mut wanted = drive::drives(Kind::Qemu, &main, false);
    // Volumes are made, and so numbered, in the order of their keys as text.
    wanted.sort_by(|one, other| one.key.cmp(&other.key));
    for wanted in wanted {
        let (drive, new) = disks::realize(cluster, guest, &wanted, log)?;
        made.extend(new);
        main.set(&drive.key, drive.print());
    }
    match main.get("boot").map(str::to_owned) {
        Some(boot) => normalize::check_boot(&boot, |device| main.get(device).is_some())?,
        None => main.set("boot", drive::default_boot(&main)),
    }
    let now = cluster.clock.unix();
    main.set("meta", format!("creation-qemu=10.0.13,ctime={now}"));
    if !main
        .get("smbios1")
        .is_some_and(|smbios| smbios.contains("uuid="))
    {
        let uuid = cluster.random_uuid();
        let others = main
            .get("smbios1")
            .map(|text| format!("{text},"))
            .unwrap_or_default();
        main.set("smbios1", format!("{others}uuid={uuid}"));
    }
    if main.get("vmgenid").is_none() && main.get("arch") != Some("aarch64") {
        main.set("vmgenid", cluster.random_uuid());
    }
    let pinned = main
        .get("ostype")
        .and_then(|ostype| normalize::pinned_machine(ostype, main.get("machine")));
    if let Some(machine) = pinned {
        main.set("machine", machine);
    }
    Ok(main)
}
