//! The top of the API, and `/cluster` as far as it has no room of its own: status, next id, datacenter options.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method, split_list};
use super::formats::VMID;
use super::options;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;

const FILE: &str = "datacenter.cfg";
const RESOURCES: &[Param] = &[Param::new(
    "type",
    Kind::Enum(&["vm", "storage", "node", "sdn"]),
)];
const NEXT_ID: &[Param] = &[Param::new("vmid", VMID)];
const OPTIONS: &[Param] = &[
    Param::new("bwlimit", Kind::Text),
    Param::new("consent-text", Kind::TextMax(65536)),
    Param::new("console", Kind::Enum(&["applet", "vv", "html5", "xtermjs"])),
    Param::new("crs", Kind::Text),
    Param::new("delete", Kind::Text),
    Param::new("description", Kind::TextMax(65536)),
    Param::new("email_from", Kind::Text),
    Param::new("fencing", Kind::Enum(&["watchdog", "hardware", "both"])),
    Param::new("ha", Kind::Text),
    Param::new("http_proxy", Kind::Text),
    Param::new("keyboard", Kind::Enum(KEYBOARDS)),
    Param::new("language", Kind::Text),
    Param::new("location", Kind::Text),
    Param::new("mac_prefix", Kind::Text),
    Param::new("max_workers", Kind::Integer(1, i64::MAX)),
    Param::new("migration", Kind::Text),
    Param::new("migration_unsecure", Kind::Boolean),
    Param::new("next-id", Kind::Text),
    Param::new("notify", Kind::Text),
    Param::new("registered-tags", Kind::Text),
    Param::new("replication", Kind::Text),
    Param::new("tag-style", Kind::Text),
    Param::new("u2f", Kind::Text),
    Param::new("user-tag-access", Kind::Text),
    Param::new("webauthn", Kind::Text),
];
const KEYBOARDS: &[&str] = &[
    "de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is",
    "it", "ja", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr",
];

/// The routes of this room.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Get, Put};
    vec![
        route(Get, "/", &[], Access::User, index),
        route(Get, "/version", &[], Access::User, version),
        route(Get, "/cluster", &[], Access::User, cluster_index),
        route(
            Get,
            "/cluster/resources",
            &[RESOURCES],
            Access::User,
            super::resources::resources,
        ),
        route(
            Get,
            "/cluster/status",
            &[],
            Access::All("/", &["Sys.Audit"]),
            status,
        ),
        route(
            Get,
            "/cluster/config/nodes",
            &[],
            Access::All("/", &["Sys.Audit"]),
            members,
        ),
        route(
            Get,
            "/cluster/config/totem",
            &[],
            Access::All("/", &["Sys.Audit"]),
            totem,
        ),
        route(Get, "/cluster/nextid", &[NEXT_ID], Access::User, next_id),
        route(Get, "/cluster/options", &[], Access::User, get_options),
        route(
            Put,
            "/cluster/options",
            &[OPTIONS],
            Access::All("/", &["Sys.Modify"]),
            set_options,
        ),
    ]
}

fn index(_: &mut Cluster, _: &Call) -> Answer {
    let names = ["version", "cluster", "nodes", "storage", "access", "pools"];
    Ok(names.iter().map(|name| json!({ "subdir": name })).collect())
}

fn cluster_index(_: &mut Cluster, _: &Call) -> Answer {
    let names = [
        "acme",
        "backup",
        "backup-info",
        "bulk-action",
        "ceph",
        "config",
        "firewall",
        "ha",
        "jobs",
        "log",
        "mapping",
        "metrics",
        "notifications",
        "nextid",
        "options",
        "replication",
        "resources",
        "status",
        "tasks",
        "sdn",
    ];
    Ok(names.iter().map(|name| json!({ "name": name })).collect())
}

/// The members of the cluster network; none on a node that is no cluster. Each has one link, at its address.
fn members(cluster: &mut Cluster, _: &Call) -> Answer {
    if cluster.name.is_empty() {
        return Ok(json!([]));
    }
    let members = cluster.nodes.iter().zip(1u32..);
    Ok(members
        .map(|((name, node), id)| {
            json!({
                "name": name, "node": name, "nodeid": id.to_string(), "quorum_votes": node.votes.to_string(), "ring0_addr": node.ip,
            })
        })
        .collect())
}

/// How the cluster network is run.
fn totem(cluster: &mut Cluster, _: &Call) -> Answer {
    if cluster.name.is_empty() {
        return Ok(Value::Null);
    }
    Ok(json!({
        "cluster_name": cluster.name, "config_version": "4", "interface": { "0": { "linknumber": "0" } }, "ip_version": "ipv4-6",
        "link_mode": "passive", "secauth": "on", "version": "2",
    }))
}

/// The version that is simulated.
pub fn version(cluster: &mut Cluster, _: &Call) -> Answer {
    let version = &cluster.edition.version;
    let release: Vec<&str> = version.split('.').take(2).collect();
    Ok(json!({ "version": version, "release": release.join("."), "repoid": "a8e257e1ad64dd92" }))
}

fn status(cluster: &mut Cluster, _: &Call) -> Answer {
    let alone = cluster.name.is_empty();
    let mut answer = vec![];
    if !alone {
        answer.push(json!({
            "type": "cluster", "id": "cluster", "name": cluster.name, "nodes": cluster.nodes.len(), "version": 1,
            "quorate": u8::from(cluster.quorate()),
        }));
    }
    let local = cluster
        .nodes
        .iter()
        .find(|(_, node)| node.online)
        .map(|(name, _)| name.clone());
    for (name, node) in &cluster.nodes {
        answer.push(json!({
            "type": "node", "id": format!("node/{name}"), "name": name, "ip": node.ip, "level": "",
            "nodeid": if alone { 0 } else { node.id }, "online": u8::from(node.online),
            "local": u8::from(local.as_ref() == Some(name)),
        }));
    }
    Ok(Value::Array(answer))
}

fn next_id(cluster: &mut Cluster, call: &Call) -> Answer {
    let taken = cluster.vmids();
    if call.get("vmid").is_some() {
        let vmid = call.vmid();
        if taken.contains(&vmid) {
            return Err(ApiError::parameter(
                "vmid",
                format!("VM {vmid} already exists"),
            ));
        }
        return Ok(json!(vmid.to_string()));
    }
    let range = options::value(cluster.files.read(FILE), "next-id").unwrap_or_default();
    let bound = |name: &str, default: u32| {
        let parts = options::properties(&range, "lower");
        parts
            .iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    };
    let (lower, upper) = (bound("lower", 100), bound("upper", 1_000_000));
    let free = (lower..upper).find(|vmid| !taken.contains(vmid));
    free.map(|vmid| json!(vmid.to_string())).ok_or_else(|| {
        ApiError::internal(format!(
            "unable to get any free VMID in range [{lower}, {upper}]"
        ))
    })
}

/// Options that GET answers as objects, though PUT takes them as property strings; with the default key.
const PARSED: &[(&str, &str)] = &[
    ("crs", "ha"),
    ("ha", "shutdown_policy"),
    ("migration", "type"),
    ("next-id", "lower"),
    ("notify", "fencing"),
    ("replication", "type"),
    ("tag-style", "shape"),
    ("u2f", "appid"),
    ("user-tag-access", "user-allow"),
    ("webauthn", "id"),
];

fn parsed(text: &str, default: &str) -> Value {
    let mut map = Map::new();
    for (key, value) in options::properties(text, default) {
        let value = match key.as_str() {
            "case-sensitive" | "ha-rebalance-on-start" | "ha-auto-rebalance" => {
                json!(u8::from(
                    super::params::loose_truth(&value).unwrap_or(false)
                ))
            }
            "user-allow-list" => json!(split_list(&value)),
            _ => json!(value),
        };
        map.insert(key, value);
    }
    Value::Object(map)
}

/// Comment lines at the top of a file are its description, percent-encoded.
fn description(text: &str) -> String {
    let mut description = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
        description.push_str(&percent_decode_str(line).decode_utf8_lossy());
        description.push('\n');
    }
    description
}

fn get_options(cluster: &mut Cluster, call: &Call) -> Answer {
    let text = cluster.files.read(FILE).to_owned();
    let audit = cluster.allowed(&call.auth, "/", "Sys.Audit");
    let mut map = Map::new();
    for (key, value) in options::lines(&text) {
        let public = matches!(
            key.as_str(),
            "console" | "tag-style" | "registered-tags" | "user-tag-access"
        );
        if !audit && !public {
            continue;
        }
        let value = match PARSED.iter().find(|(name, _)| *name == key) {
            Some((_, default)) => parsed(&value, default),
            None if key == "registered-tags" => json!(split_list(&value)),
            None => json!(value),
        };
        map.insert(key, value);
    }
    if audit {
        map.entry("mac_prefix").or_insert(json!("BC:24:11"));
        map.insert("description".into(), json!(description(&text)));
    }
    map.insert(
        "allowed-tags".into(),
        json!(allowed_tags(cluster, call, &text)),
    );
    Ok(Value::Object(map))
}

/// Tags a caller may set: all in use, and the registered ones.
fn allowed_tags(cluster: &Cluster, call: &Call, text: &str) -> BTreeSet<String> {
    let mut tags: BTreeSet<String> = options::value(text, "registered-tags")
        .map(|tags| split_list(&tags))
        .unwrap_or_default()
        .into_iter()
        .collect();
    for guest in cluster.guests() {
        if cluster.allowed(&call.auth, &format!("/vms/{}", guest.vmid), "VM.Audit") {
            let main = cluster
                .files
                .read(&guest.file())
                .split("\n[")
                .next()
                .unwrap_or_default();
            tags.extend(
                options::value(main, "tags")
                    .map(|tags| split_list(&tags))
                    .unwrap_or_default(),
            );
        }
    }
    tags
}

fn set_options(cluster: &mut Cluster, call: &Call) -> Answer {
    let text = cluster.files.read(FILE).to_owned();
    let mut lines = options::lines(&text);
    let mut about = description(&text);
    for key in call.list("delete") {
        if call.params.contains_key(&key) {
            return Err(ApiError::parameter(
                key,
                "you can't use this option with 'delete' at the same time",
            ));
        }
        if key == "description" {
            about.clear();
        }
        lines.retain(|(name, _)| *name != key);
    }
    for (key, value) in call.params.iter().filter(|(key, _)| *key != "delete") {
        if key == "description" {
            about.clone_from(value);
            continue;
        }
        lines.retain(|(name, _)| name != key);
        lines.push((key.clone(), value.clone()));
    }
    lines.sort();
    let mut file: String = about
        .lines()
        .map(|line| format!("#{}\n", encoded(line)))
        .collect();
    for (key, value) in lines {
        file.push_str(&format!("{key}: {value}\n"));
    }
    cluster.files.set(FILE, file);
    Ok(Value::Null)
}

fn encoded(line: &str) -> String {
    const SET: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%').add(b':');
    percent_encoding::utf8_percent_encode(line, SET).to_string()
}
