//! `POST /nodes/{node}/lxc`: a new container.

use std::collections::BTreeMap;

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access;
use super::conf::{Config, Section};
use super::create_vm::{add_to_pool, forget};
use super::disks;
use super::drive;
use super::keys;
use super::kind::Kind;
use super::normalize;
use super::permits::{self, Subject};

/// Creates a container.
pub fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = Guest {
        vmid: call.vmid(),
        kind: Kind::Lxc,
        node: call.node().to_owned(),
    };
    let pool = call.get("pool");
    let subject = Subject {
        auth: &call.auth,
        vmid: guest.vmid,
        pool,
    };
    if call.is_set("restore") {
        return super::restore::restore(cluster, call);
    }
    permits::create(cluster, subject)?;
    let mut settings: BTreeMap<String, String> = call
        .params
        .iter()
        .filter(|(key, _)| keys::option(Kind::Lxc, key).is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let unprivileged = call.flag("unprivileged").unwrap_or(true);
    settings.insert("unprivileged".into(), u8::from(unprivileged).to_string());
    if !unprivileged {
        cluster.check_all(&call.auth, "/", &["Sys.Modify"])?;
    }
    let storage = call.get("storage").unwrap_or("local");
    settings
        .entry("rootfs".into())
        .or_insert_with(|| format!("{storage}:4"));
    for (key, value) in &settings {
        if key != "unprivileged" && key != "template" {
            permits::ct_key(cluster, subject, key, Some(value), None, unprivileged)?;
        }
    }
    let template = call.text("ostemplate").to_owned();
    check_template(cluster, call, &template)?;
    access::check_unused(cluster, guest.vmid)?;
    let mut placeholder = Config::new(Kind::Lxc);
    placeholder.main.set("lock", "create");
    access::store(cluster, &guest, &placeholder);
    if let Some(pool) = pool {
        add_to_pool(cluster, pool, guest.vmid);
    }
    let spec = TaskSpec::new(&guest.node, "vzcreate", guest.vmid, &call.auth)
        .lasting(3.0)
        .on_abort({
            let guest = guest.clone();
            move |cluster, _| forget(cluster, &guest)
        });
    let (start, ha) = (call.is_set("start"), call.is_set("ha-managed"));
    Ok(cluster.spawn(spec, move |cluster, log| {
        build(cluster, &guest, &settings, &template, log).map_err(|text| {
            forget(cluster, &guest);
            format!("unable to create CT {} - {text}", guest.vmid)
        })?;
        if ha {
            super::power::add_to_ha(cluster, &guest, start);
        } else if start {
            super::power::start_now(cluster, &guest, log)?;
        }
        Ok(())
    }))
}

fn check_template(cluster: &Cluster, call: &Call, template: &str) -> Result<(), ApiError> {
    let Some((storage, _)) = template.split_once(':') else {
        // Proxmox VE dies here with a line number of its own source.
        let text = "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.";
        return Err(ApiError::internal(text));
    };
    cluster.check_any(
        &call.auth,
        &format!("/storage/{storage}"),
        &["Datastore.AllocateSpace", "Datastore.Audit"],
    )?;
    cluster.require_storage(storage)?;
    Ok(())
}

fn build(
    cluster: &mut Cluster,
    guest: &Guest,
    settings: &BTreeMap<String, String>,
    template: &str,
    log: &mut TaskLog,
) -> Result<(), String> {
    let mut made = Vec::new();
    match assemble(cluster, guest, settings, template, &mut made, log) {
        Ok(main) => {
            let mut config = Config::new(Kind::Lxc);
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
    template: &str,
    made: &mut Vec<String>,
    log: &mut TaskLog,
) -> Result<Section, String> {
    let mut main = Section::default();
    for (key, text) in settings {
        if !(key == "description" && text.is_empty()) {
            main.set(key, normalize::value(cluster, Kind::Lxc, key, text)?);
        }
    }
    for wanted in drive::drives(Kind::Lxc, &main.clone(), false) {
        let (mount, new) = disks::realize(cluster, guest, &wanted, log)?;
        made.extend(new);
        main.set(&mount.key, mount.print());
    }
    unpack(cluster, guest, template, log)?;
    // An image of a registry says what it runs; here always the same.
    if template.ends_with(".tar") {
        log.say("Detected OCI archive");
        for (key, value) in [
            ("entrypoint", "/docker-entrypoint.sh"),
            ("env", "PATH=/usr/bin"),
        ] {
            if main.get(key).is_none() {
                main.set(key, value);
            }
        }
    }
    let defaults = [
        ("arch", "amd64".to_owned()),
        ("ostype", ostype(template)),
        ("hostname", format!("CT{}", guest.vmid)),
        ("memory", "512".to_owned()),
        ("swap", "512".to_owned()),
    ];
    for (key, value) in defaults {
        if main.get(key).is_none() {
            main.set(key, value);
        }
    }
    for key in ["unprivileged", "template"] {
        if main.get(key) == Some("0") {
            main.remove(key);
        }
    }
    Ok(main)
}

fn unpack(
    cluster: &Cluster,
    guest: &Guest,
    template: &str,
    log: &mut TaskLog,
) -> Result<(), String> {
    let Some(volume) = cluster.volumes.get(&guest.node, template) else {
        let text = format!("volume '{template}' does not exist");
        log.say(&text);
        return Err(text);
    };
    let storage = cluster.storage(volume.storage());
    let path = storage
        .as_ref()
        .and_then(|section| section.get("path"))
        .unwrap_or("/mnt/pve");
    let name = volume
        .name()
        .strip_prefix("vztmpl/")
        .unwrap_or(volume.name());
    log.say(format!("extracting archive '{path}/template/cache/{name}'"));
    log.say("Total bytes read: 2058240 (2.0MiB, 105MiB/s)");
    log.say("Detected container architecture: amd64");
    Ok(())
}

/// The distribution, which Proxmox VE finds in the unpacked template; here from the template's name.
fn ostype(template: &str) -> String {
    let name = template
        .rsplit('/')
        .next()
        .unwrap_or(template)
        .to_ascii_lowercase();
    let known = [
        "debian",
        "devuan",
        "ubuntu",
        "centos",
        "fedora",
        "opensuse",
        "archlinux",
        "alpine",
        "gentoo",
        "nixos",
    ];
    known
        .iter()
        .find(|word| name.starts_with(**word))
        .map_or_else(|| "unmanaged".into(), |word| (*word).to_owned())
}
