//! Reading guests: lists, configuration, pending changes, status, indexes.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::state::{Cluster, Guest};
use super::access::{self, Loaded};
use super::conf::{Config, Section};
use super::drive;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props;

/// `GET /nodes/{node}/qemu` and `/lxc`.
pub fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let kind = access::kind_of(call);
    let guests: Vec<Guest> = cluster
        .guests()
        .into_iter()
        .filter(|guest| guest.kind == kind && guest.node == call.node())
        .collect();
    let mut answer = Vec::new();
    for guest in guests {
        if !cluster.allowed(&call.auth, &format!("/vms/{}", guest.vmid), "VM.Audit") {
            continue;
        }
        if let Ok(loaded) = access::load_from(cluster, &guest.node, kind, guest.vmid) {
            answer.push(Value::Object(summary(cluster, &loaded)));
        }
    }
    Ok(Value::Array(answer))
}

/// `GET …/{vmid}/status/current`.
pub fn current(cluster: &mut Cluster, call: &Call) -> Answer {
    let loaded = access::load(cluster, call)?;
    let mut answer = summary(cluster, &loaded);
    answer.insert("ha".into(), ha(cluster, &loaded.guest));
    let main = &loaded.config.main;
    match loaded.guest.kind {
        Kind::Qemu => {
            let run = cluster.running.get(&loaded.guest.vmid);
            let word = match run {
                None => "stopped",
                Some(run) if run.paused => "paused",
                Some(_) => "running",
            };
            answer.insert("qmpstatus".into(), json!(word));
            let agent = main
                .get("agent")
                .and_then(|agent| props::parse(of::AGENT, agent).ok());
            if agent.is_some_and(|agent| agent.get("enabled").is_some_and(|on| on == "1")) {
                answer.insert("agent".into(), json!(1));
            }
            if main.get("vga").is_some_and(|vga| vga.starts_with("qxl")) {
                answer.insert("spice".into(), json!(1));
            }
            if main.get("vga").is_some() {
                let vga = main
                    .get("vga")
                    .and_then(|vga| props::parse(of::VGA, vga).ok())
                    .unwrap_or_default();
                answer.insert("clipboard".into(), json!(vga.get("clipboard")));
            }
            if run.is_some() {
                let nics: Map<String, Value> = (0..32)
                    .filter(|number| main.get(&format!("net{number}")).is_some())
                    .map(|number| {
                        (
                            format!("tap{}i{number}", loaded.guest.vmid),
                            json!({"netin": 0, "netout": 0}),
                        )
                    })
                    .collect();
                answer.insert("nics".into(), Value::Object(nics));
            }
        }
        Kind::Lxc => {}
    }
    Ok(Value::Object(answer))
}

fn ha(cluster: &Cluster, guest: &Guest) -> Value {
    match cluster.ha_resource(guest) {
        None => json!({"managed": 0}),
        Some(section) => json!({"managed": 1, "state": section.get("state").unwrap_or("started")}),
    }
}

/// What a list says of a guest.
#[must_use]
pub fn summary(cluster: &Cluster, loaded: &Loaded) -> Map<String, Value> {
    let Loaded { guest, config, .. } = loaded;
    let main = &config.main;
    let run = cluster.running.get(&guest.vmid);
    let mut answer = Map::new();
    let mut put = |key: &str, value: Value| {
        answer.insert(key.into(), value);
    };
    put("vmid", json!(guest.vmid));
    put(
        "status",
        json!(if run.is_some() { "running" } else { "stopped" }),
    );
    put("name", json!(name(config, guest)));
    put("cpus", json!(cpus(cluster, guest, main)));
    put("maxmem", json!(memory(guest.kind, main)));
    put("maxdisk", json!(boot_disk_size(guest.kind, main)));
    for key in ["cpu", "disk", "netin", "netout"] {
        put(key, json!(0));
    }
    let used = run.map_or(0, |_| memory(guest.kind, main) / 4);
    put("mem", json!(used));
    let uptime = run.map_or(0, |run| (cluster.clock.unix() - run.since).max(0));
    put("uptime", json!(uptime));
    for key in ["lock", "tags"] {
        if let Some(value) = main.get(key).filter(|value| !value.trim().is_empty()) {
            put(key, json!(value));
        }
    }
    if main.is_set("template") {
        put("template", json!(1));
    }
    match guest.kind {
        Kind::Qemu => put("memhost", json!(used)),
        Kind::Lxc => {
            put("type", json!("lxc"));
            put("maxswap", json!(main.int("swap").unwrap_or(512) << 20));
            for key in ["swap", "diskread", "diskwrite"] {
                put(key, json!(0));
            }
        }
    }
    if let Some(run) = run {
        put("pid", json!(run.pid));
        for what in ["cpu", "io", "memory"] {
            for how in ["some", "full"] {
                let value = if guest.kind == Kind::Qemu {
                    json!(0)
                } else {
                    Value::Null
                };
                put(&format!("pressure{what}{how}"), value);
            }
        }
    }
    answer
}

/// A guest's name: `name`, `hostname`, or one made of its number.
#[must_use]
pub fn name(config: &Config, guest: &Guest) -> String {
    let (key, word) = match guest.kind {
        Kind::Qemu => ("name", "VM "),
        Kind::Lxc => ("hostname", "CT"),
    };
    config
        .main
        .get(key)
        .map_or_else(|| format!("{word}{}", guest.vmid), str::to_owned)
}

/// Processors a guest has.
#[must_use]
pub fn cpus(cluster: &Cluster, guest: &Guest, main: &Section) -> i64 {
    let host = cluster
        .nodes
        .get(&guest.node)
        .map_or(1, |node| i64::from(node.cpus));
    let wanted = match guest.kind {
        Kind::Qemu => {
            let all = main.int("sockets").unwrap_or(1) * main.int("cores").unwrap_or(1);
            main.int("vcpus").filter(|vcpus| *vcpus > 0).unwrap_or(all)
        }
        Kind::Lxc => main.int("cores").unwrap_or(host),
    };
    wanted.min(host)
}

/// Memory a guest has, in bytes.
#[must_use]
pub fn memory(kind: Kind, main: &Section) -> i64 {
    let text = main.get("memory").unwrap_or("512");
    let number = match kind {
        Kind::Qemu => props::parse(of::VM_MEMORY, text)
            .ok()
            .and_then(|props| props.get("current")?.parse().ok()),
        Kind::Lxc => text.parse::<i64>().ok(),
    };
    number.unwrap_or(512) << 20
}

/// The size of the disk a guest boots from, in bytes.
#[must_use]
pub fn boot_disk_size(kind: Kind, main: &Section) -> u64 {
    let drives = drive::drives(kind, main, false);
    let disk = match kind {
        Kind::Lxc => drives.iter().find(|drive| drive.key == "rootfs"),
        Kind::Qemu => {
            let order = drive::boot_devices(main.get("boot"));
            order.iter().find_map(|key| {
                drives
                    .iter()
                    .find(|drive| drive.key == *key && !drive.is_cdrom())
            })
        }
    };
    disk.and_then(drive::Drive::size).unwrap_or(0)
}

/// A setting as JSON: a number where Proxmox VE has one.
#[must_use]
pub fn value(kind: Kind, key: &str, text: &str) -> Value {
    if keys::is_number(kind, key)
        && let Ok(number) = text.parse::<i64>()
    {
        return json!(number);
    }
    match (kind, key) {
        // A container's description keeps the newline of its last comment line.
        (Kind::Lxc, "description") => json!(format!("{text}\n")),
        (Kind::Qemu, "cipassword") => json!("**********"),
        (Kind::Qemu | Kind::Lxc, _) => json!(text),
    }
}

fn section(kind: Kind, section: &Section) -> Map<String, Value> {
    let mut answer: Map<String, Value> = section
        .values
        .iter()
        .map(|(key, text)| (key.clone(), value(kind, key, text)))
        .collect();
    if !section.raw.is_empty() {
        answer.insert("lxc".into(), json!(section.raw));
    }
    answer
}

/// `GET …/{vmid}/config`.
pub fn config(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded {
        config,
        digest,
        guest,
    } = access::load(cluster, call)?;
    let mut main = match call.get("snapshot") {
        Some(name) => config
            .snapshots
            .get(name)
            .cloned()
            .ok_or_else(|| ApiError::internal(format!("snapshot '{name}' does not exist")))?,
        None if call.is_set("current") => config.main.clone(),
        None => applied(&config),
    };
    if call.get("snapshot").is_none() {
        main.remove("snaptime");
    }
    let mut answer = section(guest.kind, &main);
    answer.insert("digest".into(), json!(digest));
    Ok(Value::Object(answer))
}

/// The settings as they will be once pending changes are applied.
#[must_use]
pub fn applied(config: &Config) -> Section {
    let mut main = config.main.clone();
    for key in config.pending_delete.keys() {
        main.remove(key);
    }
    main.values.extend(config.pending.values.clone());
    main
}

/// `GET …/{vmid}/pending`.
pub fn pending(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded {
        config,
        digest,
        guest,
    } = access::load(cluster, call)?;
    let mut answer = vec![json!({"key": "digest", "value": digest})];
    for (key, text) in &config.main.values {
        let mut entry = json!({"key": key, "value": value(guest.kind, key, text)});
        if let Some(map) = entry.as_object_mut() {
            if let Some(text) = config.pending.get(key) {
                map.insert("pending".into(), value(guest.kind, key, text));
            }
            if let Some(force) = config.pending_delete.get(key) {
                map.insert("delete".into(), json!(if *force { 2 } else { 1 }));
            }
        }
        answer.push(entry);
    }
    for (key, text) in config
        .pending
        .values
        .iter()
        .filter(|(key, _)| config.main.get(key).is_none())
    {
        answer.push(json!({"key": key, "pending": value(guest.kind, key, text)}));
    }
    Ok(Value::Array(answer))
}

/// The subdirectories of a guest.
pub fn index(cluster: &mut Cluster, call: &Call) -> Answer {
    let words: &[&str] = match access::kind_of(call) {
        Kind::Qemu => &[
            "config",
            "cloudinit",
            "pending",
            "status",
            "unlink",
            "vncproxy",
            "termproxy",
            "migrate",
            "resize",
            "move",
            "rrd",
            "rrddata",
            "monitor",
            "agent",
            "snapshot",
            "spiceproxy",
            "sendkey",
            "firewall",
            "mtunnel",
            "remote_migrate",
        ],
        Kind::Lxc => &[
            "config",
            "pending",
            "status",
            "vncproxy",
            "termproxy",
            "vncwebsocket",
            "spiceproxy",
            "migrate",
            "clone",
            "rrd",
            "rrddata",
            "firewall",
            "snapshot",
            "resize",
            "interfaces",
        ],
    };
    access::load(cluster, call)?;
    Ok(words.iter().map(|word| json!({"subdir": word})).collect())
}

/// The subdirectories of a guest's status.
pub fn status_index(cluster: &mut Cluster, call: &Call) -> Answer {
    let words: &[&str] = match access::kind_of(call) {
        Kind::Qemu => &[
            "current", "start", "stop", "reset", "shutdown", "suspend", "reboot",
        ],
        Kind::Lxc => &["current", "start", "stop", "shutdown", "reboot", "migrate"],
    };
    access::load(cluster, call)?;
    Ok(words.iter().map(|word| json!({"subdir": word})).collect())
}

/// `GET …/lxc/{vmid}/interfaces`: what a running container's network looks like from inside.
pub fn interfaces(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded { config, guest, .. } = access::load(cluster, call)?;
    if !access::is_running(cluster, guest.vmid) {
        return Ok(Value::Null);
    }
    let none = "00:00:00:00:00:00";
    let mut answer =
        vec![json!({"name": "lo", "hwaddr": none, "hardware-address": none, "ip-addresses": []})];
    for number in 0..32 {
        let net = config
            .main
            .get(&format!("net{number}"))
            .and_then(|net| props::parse(of::CT_NET, net).ok());
        if let Some(net) = net {
            let mac = net.get("hwaddr").map(|mac| mac.to_ascii_lowercase());
            let name = net.get("name");
            answer.push(
                json!({"name": name, "hwaddr": mac, "hardware-address": mac, "ip-addresses": []}),
            );
        }
    }
    Ok(Value::Array(answer))
}
