//! `/nodes`: the members, their condition, and their network as it is configured (reading).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;

const NETWORK: &[Param] = &[Param::new(
    "type",
    Kind::Enum(&[
        "bridge",
        "bond",
        "eth",
        "alias",
        "vlan",
        "fabric",
        "OVSBridge",
        "OVSBond",
        "OVSPort",
        "OVSIntPort",
        "vnet",
        "any_bridge",
        "any_local_bridge",
        "include_sdn",
    ]),
)];

/// The routes of nodes.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::Get;
    let audit = Access::All("/nodes/{node}", &["Sys.Audit"]);
    vec![
        route(Get, "/nodes", &[], Access::User, list),
        route(Get, "/nodes/{node}", &[], Access::User, index),
        route(Get, "/nodes/{node}/status", &[], audit, status),
        route(
            Get,
            "/nodes/{node}/version",
            &[],
            Access::User,
            super::cluster::version,
        ),
        route(Get, "/nodes/{node}/time", &[], audit, time),
        route(
            Get,
            "/nodes/{node}/network",
            &[NETWORK],
            Access::User,
            network,
        ),
        route(Get, "/nodes/{node}/network/{iface}", &[], audit, interface),
    ]
}

fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let names: Vec<String> = cluster.nodes.keys().cloned().collect();
    let mut answer = vec![];
    for name in names {
        let audit = cluster.allowed(&call.auth, &format!("/nodes/{name}"), "Sys.Audit");
        if let Some(Value::Object(mut entry)) = super::resources::node_entry(cluster, &name, audit)
        {
            entry.remove("cgroup-mode");
            entry.insert("ssl_fingerprint".into(), json!(cluster.fingerprint));
            answer.push(Value::Object(entry));
        }
    }
    Ok(Value::Array(answer))
}

fn index(_: &mut Cluster, _: &Call) -> Answer {
    let names = [
        "aplinfo",
        "apt",
        "capabilities",
        "ceph",
        "certificates",
        "config",
        "disks",
        "dns",
        "firewall",
        "hardware",
        "hosts",
        "journal",
        "lxc",
        "migrateall",
        "netstat",
        "network",
        "qemu",
        "query-oci-repo-tags",
        "query-url-metadata",
        "replication",
        "report",
        "rrd",
        "rrddata",
        "scan",
        "sdn",
        "services",
        "spiceshell",
        "startall",
        "status",
        "stopall",
        "storage",
        "subscription",
        "suspendall",
        "syslog",
        "tasks",
        "termproxy",
        "time",
        "version",
        "vncshell",
        "vzdump",
        "wakeonlan",
    ];
    Ok(names.iter().map(|name| json!({ "name": name })).collect())
}

fn status(cluster: &mut Cluster, call: &Call) -> Answer {
    let now = cluster.clock.unix();
    let node = cluster
        .nodes
        .get(call.node())
        .ok_or_else(|| ApiError::internal("no such node"))?;
    let used = node.memory / 3;
    Ok(json!({
        "uptime": now - node.booted,
        "loadavg": ["0.12", "0.10", "0.09"],
        "pveversion": "pve-manager/9.1.8/a8e257e1ad64dd92",
        "kversion": "Linux 6.17.4-2-pve #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": { "sysname": "Linux", "release": "6.17.4-2-pve", "version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64" },
        "boot-info": { "mode": "legacy-bios" },
        "cpu": 0.05, "wait": 0, "idle": 0,
        "cpuinfo": { "cpus": node.cpus, "cores": node.cpus, "sockets": 1, "family": "6", "vendor": "GenuineIntel", "model": "Simulated CPU", "mhz": "2600.000", "flags": "fpu vme", "hvm": "1", "user_hz": 100 },
        "memory": { "total": node.memory, "used": used, "free": node.memory - used, "available": node.memory - used },
        "swap": { "total": 0, "used": 0, "free": 0 },
        "rootfs": { "total": node.disk, "used": node.disk / 4, "free": node.disk - node.disk / 4, "avail": node.disk - node.disk / 4 },
        "ksm": { "shared": 0 },
    }))
}

fn time(cluster: &mut Cluster, _: &Call) -> Answer {
    let now = cluster.clock.unix();
    Ok(json!({ "timezone": "Etc/UTC", "time": now, "localtime": now }))
}

/// The interfaces of a node's `interfaces` file (in the world under `nodes/NODE/interfaces`), and its other bridges.
#[must_use]
pub fn interfaces(cluster: &Cluster, node: &str) -> BTreeMap<String, Map<String, Value>> {
    let text = cluster
        .files
        .read(&format!("nodes/{node}/interfaces"))
        .to_owned();
    let mut found: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut open = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["auto", names @ ..] => {
                for name in names {
                    found
                        .entry((*name).to_owned())
                        .or_default()
                        .insert("autostart".into(), json!(1));
                }
            }
            ["iface", name, family, method] => {
                open = (*name).to_owned();
                let key = if *family == "inet6" {
                    "method6"
                } else {
                    "method"
                };
                let entry = found.entry(open.clone()).or_default();
                entry.insert(key.into(), json!(method));
            }
            [key, value @ ..] if !open.is_empty() && line.starts_with([' ', '\t']) => {
                let entry = found.entry(open.clone()).or_default();
                setting(entry, key, &value.join(" "));
            }
            [first, ..] if first.starts_with('#') && !open.is_empty() => {
                let comment = format!("{}\n", line.trim_start_matches('#'));
                found
                    .entry(open.clone())
                    .or_default()
                    .insert("comments".into(), json!(comment));
            }
            _ => {}
        }
    }
    for bridge in cluster
        .nodes
        .get(node)
        .map(|node| node.bridges.clone())
        .unwrap_or_default()
    {
        found.entry(bridge).or_default();
    }
    found.remove("lo");
    // Of a node whose file says nothing of it, the address is on the first bridge.
    let node = cluster.nodes.get(node).filter(|node| !node.ip.is_empty());
    if let (Some(node), false) = (node, found.values().any(|entry| entry.contains_key("cidr")))
        && let Some((_, entry)) = found.iter_mut().find(|(name, _)| name.starts_with("vmbr"))
    {
        entry.insert("method".into(), json!("static"));
        setting(entry, "address", &format!("{}/24", node.ip));
    }
    for (at, (name, entry)) in found.iter_mut().enumerate() {
        complete(name, entry, at + 3);
    }
    found
}

fn setting(entry: &mut Map<String, Value>, key: &str, value: &str) {
    let key = key.replace('-', "_");
    match key.as_str() {
        "address" => {
            let (address, mask) = value.split_once('/').unwrap_or((value, "24"));
            entry.insert("cidr".into(), json!(value));
            entry.insert("address".into(), json!(address));
            entry.insert("netmask".into(), json!(mask));
        }
        "bridge_ports" => {
            entry.insert(key, json!(if value == "none" { "" } else { value }));
        }
        "bridge_vlan_aware" => {
            entry.insert(key, json!(1));
        }
        _ => {
            entry.insert(key, json!(value));
        }
    }
}

fn complete(name: &str, entry: &mut Map<String, Value>, priority: usize) {
    let kind = match name {
        _ if name.contains('.') || name.starts_with("vlan") => "vlan",
        _ if name.starts_with("vmbr") || entry.contains_key("bridge_ports") => "bridge",
        _ if name.starts_with("bond") => "bond",
        _ => "eth",
    };
    for (key, value) in [
        ("type", json!(kind)),
        ("method", json!("manual")),
        ("method6", json!("manual")),
        ("families", json!(["inet"])),
        ("active", json!(1)),
        ("priority", json!(priority)),
    ] {
        entry.entry(key).or_insert(value);
    }
    if kind == "bridge" {
        entry.entry("bridge_ports").or_insert(json!(""));
        entry.entry("bridge_stp").or_insert(json!("off"));
        entry.entry("bridge_fd").or_insert(json!("0"));
    }
}

/// Bridges are listed only for who may see or use them; other interfaces for everyone.
fn network(cluster: &mut Cluster, call: &Call) -> Answer {
    let node = call.node().to_owned();
    let mut answer = vec![];
    for (name, mut entry) in interfaces(cluster, &node) {
        let kind = entry
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let bridge = kind == "bridge";
        let wanted = match call.get("type") {
            None | Some("include_sdn") => true,
            Some("any_bridge" | "any_local_bridge") => bridge,
            Some(wanted) => wanted == kind,
        };
        let path = format!("/sdn/zones/localnetwork/{name}");
        let visible = !bridge || {
            cluster
                .check_any(&call.auth, &path, &["SDN.Audit", "SDN.Use"])
                .is_ok()
        };
        if wanted && visible {
            entry.insert("iface".into(), json!(name));
            answer.push(Value::Object(entry));
        }
    }
    Ok(Value::Array(answer))
}

fn interface(cluster: &mut Cluster, call: &Call) -> Answer {
    let found = interfaces(cluster, call.node()).remove(call.text("iface"));
    found
        .map(Value::Object)
        .ok_or_else(|| ApiError::parameter("iface", "interface does not exist"))
}
