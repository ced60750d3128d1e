//! What must hold for a guest to start: no template, no lock, every volume on a storage that can be used, every bridge.

use super::super::state::{Cluster, Guest};
use super::super::tasks::TaskLog;
use super::access;
use super::conf::Config;
use super::drive::{self, Drive};
use super::formats as of;
use super::kind::Kind;
use super::props;

/// What a start finds out before it touches anything.
///
/// # Errors
/// The text the task ends with.
pub fn check(cluster: &Cluster, guest: &Guest) -> Result<(), String> {
    let config = access::reload(cluster, guest)?.config;
    if config.main.is_set("template") {
        return Err(match guest.kind {
            Kind::Qemu => "you can't start a vm if it's a template".into(),
            Kind::Lxc => "you can't start a CT if it's a template".into(),
        });
    }
    if config.main.get("lock") != Some("suspended") {
        access::check_lock(&config)?;
    }
    if access::is_running(cluster, guest.vmid) {
        return Err(format!(
            "{} {} already running",
            guest.kind.noun(),
            guest.vmid
        ));
    }
    Ok(())
}

/// That everything a guest's settings name is there.
///
/// # Errors
/// The text the task ends with.
pub fn check_devices(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    log: &mut TaskLog,
) -> Result<(), String> {
    for drive in drive::drives(guest.kind, &config.main, false) {
        check_volume(cluster, guest, &drive)?;
    }
    check_bridges(cluster, guest, config, log)
}

/// That the bridges and vnets of a guest's network cards are on its node.
///
/// # Errors
/// The text the task ends with.
pub fn check_bridges(
    cluster: &Cluster,
    guest: &Guest,
    config: &Config,
    log: &mut TaskLog,
) -> Result<(), String> {
    for number in 0..32 {
        let Some(text) = config.main.get(&format!("net{number}")) else {
            continue;
        };
        let schema = match guest.kind {
            Kind::Qemu => of::VM_NET,
            Kind::Lxc => of::CT_NET,
        };
        let net = props::parse(schema, text).unwrap_or_default();
        if let Some(bridge) = net
            .get("bridge")
            .filter(|bridge| !bridge_exists(cluster, &guest.node, bridge))
        {
            return Err(missing_bridge(guest, number, bridge, log));
        }
    }
    Ok(())
}

fn check_volume(cluster: &Cluster, guest: &Guest, drive: &Drive) -> Result<(), String> {
    let Some((storage, _)) = drive.volume() else {
        return Ok(());
    };
    let section = cluster.usable_storage(&guest.node, storage)?;
    let content = drive.content();
    if !section.holds(content) {
        return Err(match guest.kind {
            Kind::Qemu => format!("storage '{storage}' does not support content-type '{content}'"),
            Kind::Lxc => format!("storage '{storage}' does not support content type '{content}'"),
        });
    }
    // A missing cloud-init drive is made anew at each start.
    if cluster.volumes.get(&guest.node, drive.file()).is_none() && !drive.is_cloudinit() {
        return Err(missing_volume(&section, drive.file()));
    }
    Ok(())
}

fn missing_volume(section: &super::super::section_config::Section, volid: &str) -> String {
    let name = volid.split_once(':').map_or(volid, |(_, name)| name);
    match section.kind.as_str() {
        "lvm" | "lvmthin" => {
            let group = section.get("vgname").unwrap_or_default();
            format!(
                "can't activate LV '/dev/{group}/{name}':   Failed to find logical volume \"{group}/{name}\""
            )
        }
        "zfspool" => format!("no zvol device link for '{name}' found after 10 sec."),
        _ => format!("volume '{volid}' does not exist"),
    }
}

fn missing_bridge(guest: &Guest, number: u32, bridge: &str, log: &mut TaskLog) -> String {
    match guest.kind {
        Kind::Qemu => {
            log.say(format!("bridge '{bridge}' does not exist"));
            let tap = format!("tap{}i{number}", guest.vmid);
            log.say(format!(
                "kvm: -netdev type=tap,id=net{number},ifname={tap},script=/usr/libexec/qemu-server/pve-bridge,\
                 downscript=/usr/libexec/qemu-server/pve-bridgedown,vhost=on: network script \
                 /usr/libexec/qemu-server/pve-bridge failed with status 512"
            ));
            "start failed: QEMU exited with code 1".into()
        }
        Kind::Lxc => {
            log.say(format!("bridge '{bridge}' does not exist"));
            format!("startup for container '{}' failed", guest.vmid)
        }
    }
}

/// Whether a node has a bridge or vnet of this name. A world that names none for a node has every one.
#[must_use]
pub fn bridge_exists(cluster: &Cluster, node: &str, bridge: &str) -> bool {
    let listed = cluster
        .nodes
        .get(node)
        .map(|node| node.bridges.as_slice())
        .unwrap_or_default();
    let interfaces = super::super::nodes::interfaces(cluster, node);
    if listed.is_empty() && interfaces.is_empty() {
        return true;
    }
    let named = interfaces.contains_key(bridge);
    named
        || listed.iter().any(|name| name == bridge)
        || super::permits::vnet_zone(cluster, bridge).is_some()
}
