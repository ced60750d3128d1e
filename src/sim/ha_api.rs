//! `/cluster/ha`: resources, rules and what the manager says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method, put, split_list};
use super::files;
use super::formats::{COUNT, DIGEST, config_id, node_name, vmid};
use super::ha::RESOURCES;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::{Cluster, Guest, GuestKind};

const RULES: &str = "ha/rules.cfg";
const STATES: &[&str] = &["started", "stopped", "enabled", "disabled", "ignored"];
const RESOURCE: &[Param] = &[
    Param::new("auto-rebalance", Kind::Boolean),
    Param::new("comment", Kind::TextMax(4096)),
    Param::new("failback", Kind::Boolean),
    Param::new("group", Kind::Form(config_id)),
    Param::new("max_relocate", COUNT),
    Param::new("max_restart", COUNT),
    Param::new("state", Kind::Enum(STATES)),
];
const NEW_RESOURCE: &[Param] = &[
    Param::required("sid", Kind::Form(service_id)),
    Param::new("type", Kind::Enum(&["ct", "vm"])),
];
const RESOURCE_LIST: &[Param] = &[Param::new("type", Kind::Enum(&["ct", "vm"]))];
const PURGE: &[Param] = &[Param::new("purge", Kind::Boolean)];
const UPDATE: &[Param] = &[
    Param::new("delete", Kind::TextMax(4096)),
    Param::new("digest", DIGEST),
];
const RULE: &[Param] = &[
    Param::new("affinity", Kind::Enum(&["positive", "negative"])),
    Param::new("comment", Kind::TextMax(4096)),
    Param::new("disable", Kind::Boolean),
    Param::new("nodes", Kind::FormList(weighted_node)),
    Param::new("strict", Kind::Boolean),
    Param::required("type", Kind::Enum(&["node-affinity", "resource-affinity"])),
];
const NEW_RULE: &[Param] = &[
    Param::required("rule", Kind::Form(config_id)),
    Param::required("resources", Kind::FormList(service_id)),
];
const RULE_RESOURCES: &[Param] = &[Param::new("resources", Kind::FormList(service_id))];
const RULE_LIST: &[Param] = &[
    Param::new("type", Kind::Enum(&["node-affinity", "resource-affinity"])),
    Param::new("resource", Kind::Text),
];
const TARGET: &[Param] = &[Param::required("node", Kind::Form(node_name))];
const READ: Access = Access::All("/", &["Sys.Audit"]);
const WRITE: Access = Access::All("/", &["Sys.Console"]);

/// The routes of high availability.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/cluster/ha", &[], READ, index),
        route(
            Get,
            "/cluster/ha/resources",
            &[RESOURCE_LIST],
            READ,
            resources,
        ),
        route(
            Post,
            "/cluster/ha/resources",
            &[NEW_RESOURCE, RESOURCE],
            WRITE,
            create_resource,
        ),
        route(Get, "/cluster/ha/resources/{sid}", &[], READ, resource),
        route(
            Put,
            "/cluster/ha/resources/{sid}",
            &[RESOURCE, UPDATE],
            WRITE,
            update_resource,
        ),
        route(
            Delete,
            "/cluster/ha/resources/{sid}",
            &[PURGE],
            WRITE,
            delete_resource,
        ),
        route(
            Post,
            "/cluster/ha/resources/{sid}/migrate",
            &[TARGET],
            WRITE,
            migrate,
        ),
        route(
            Post,
            "/cluster/ha/resources/{sid}/relocate",
            &[TARGET],
            WRITE,
            migrate,
        ),
        route(Get, "/cluster/ha/rules", &[RULE_LIST], READ, rules),
        route(
            Post,
            "/cluster/ha/rules",
            &[NEW_RULE, RULE],
            WRITE,
            create_rule,
        ),
        route(Get, "/cluster/ha/rules/{rule}", &[], READ, rule),
        route(
            Put,
            "/cluster/ha/rules/{rule}",
            &[RULE_RESOURCES, RULE, UPDATE],
            WRITE,
            update_rule,
        ),
        route(Delete, "/cluster/ha/rules/{rule}", &[], WRITE, delete_rule),
        route(Get, "/cluster/ha/groups", &[], READ, groups),
        route(Get, "/cluster/ha/status", &[], READ, status_index),
        route(Get, "/cluster/ha/status/current", &[], READ, current),
        route(
            Get,
            "/cluster/ha/status/manager_status",
            &[],
            READ,
            manager_status,
        ),
    ]
}

fn service_id(value: &str) -> Result<(), String> {
    let number = value
        .strip_prefix("vm:")
        .or_else(|| value.strip_prefix("ct:"))
        .unwrap_or(value);
    vmid(number).map_err(|_| "value does not look like a valid ha resource id".into())
}

fn weighted_node(value: &str) -> Result<(), String> {
    node_name(value.split(':').next().unwrap_or(value))
}

fn index(_: &mut Cluster, _: &Call) -> Answer {
    Ok(["status", "resources", "groups", "rules"]
        .iter()
        .map(|id| json!({ "id": id }))
        .collect())
}

fn status_index(_: &mut Cluster, _: &Call) -> Answer {
    Ok(["current", "manager_status"]
        .iter()
        .map(|name| json!({ "name": name }))
        .collect())
}

fn groups(_: &mut Cluster, _: &Call) -> Answer {
    Err(ApiError::internal(
        "cannot index groups: ha groups have been migrated to rules",
    ))
}

fn shown(section: &Section, name: &str, id: String, digest: &str) -> Value {
    let mut map = Map::new();
    for (key, value) in &section.lines {
        let numeric = matches!(
            key.as_str(),
            "max_restart" | "max_relocate" | "failback" | "strict" | "disable" | "auto-rebalance"
        );
        let value = match value.parse::<i64>() {
            Ok(number) if numeric => json!(number),
            _ => json!(value),
        };
        map.insert(key.clone(), value);
    }
    map.insert("type".into(), json!(section.kind));
    map.insert(name.into(), json!(id));
    map.insert("digest".into(), json!(digest));
    Value::Object(map)
}

fn sid(section: &Section) -> String {
    format!("{}:{}", section.kind, section.id)
}

/// A full service id; a bare number is completed from the guest it is.
fn full_sid(cluster: &Cluster, call: &Call) -> Result<String, ApiError> {
    let given = call.text("sid");
    service_id(given)
        .map_err(|text| ApiError::parameter("sid", format!("invalid format - {text}\n")))?;
    if given.contains(':') {
        return Ok(given.to_owned());
    }
    let guest = given.parse().ok().and_then(|vmid| cluster.guest(vmid));
    let guest = guest.ok_or_else(|| {
        ApiError::internal(format!("unable to determine type of resource '{given}'"))
    })?;
    Ok(format!("{}:{given}", guest.kind.service()))
}

fn guest_of(cluster: &Cluster, sid: &str) -> Option<Guest> {
    let (kind, vmid) = sid.split_once(':')?;
    let guest = cluster.guest(vmid.parse().ok()?)?;
    let right = match guest.kind {
        GuestKind::Qemu => kind == "vm",
        GuestKind::Lxc => kind == "ct",
    };
    right.then_some(guest)
}

fn resources(cluster: &mut Cluster, call: &Call) -> Answer {
    let digest = cluster.files.digest(RESOURCES);
    let sections = cluster.ha_resources();
    let wanted = sections
        .iter()
        .filter(|section| call.get("type").is_none_or(|kind| kind == section.kind));
    Ok(wanted
        .map(|section| shown(section, "sid", sid(section), &digest))
        .collect())
}

fn resource(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = full_sid(cluster, call)?;
    let digest = cluster.files.digest(RESOURCES);
    let section = cluster
        .ha_resources()
        .into_iter()
        .find(|section| sid(section) == id);
    let section = section.ok_or_else(|| ApiError::internal(format!("no such resource '{id}'")))?;
    Ok(shown(&section, "sid", id, &digest))
}

fn set_all(section: &mut Section, call: &Call, without: &[&str]) {
    for (key, value) in &call.params {
        if !without.contains(&key.as_str()) && !matches!(key.as_str(), "digest" | "delete") {
            section.set(key, value.clone());
        }
    }
}

/// Comment first, then disable, then the rest by name.
fn ordered(section: &mut Section) {
    if !section.flag("disable") {
        section.unset("disable");
    }
    let rank = |key: &str| match key {
        "comment" => 0,
        "disable" => 1,
        _ => 2,
    };
    section
        .lines
        .sort_by(|(one, _), (other, _)| (rank(one), one).cmp(&(rank(other), other)));
}

fn create_resource(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = full_sid(cluster, call)?;
    if guest_of(cluster, &id).is_none() {
        return Err(ApiError::internal(format!(
            "resource '{id}' does not exist in cluster"
        )));
    }
    if call.get("group").is_some() {
        return Err(ApiError::internal(
            "invalid parameter 'group': ha groups have been migrated to rules",
        ));
    }
    let mut sections = cluster.ha_resources();
    if sections.iter().any(|section| sid(section) == id) {
        return Err(ApiError::internal(format!(
            "create resource failed: resource ID '{id}' already defined"
        )));
    }
    let (kind, number) = id.split_once(':').unwrap_or_default();
    let mut section = Section {
        kind: kind.into(),
        id: number.into(),
        lines: vec![],
    };
    set_all(&mut section, call, &["sid", "type"]);
    normal_state(&mut section);
    if section.get("state").is_none() {
        section.set("state", "started");
    }
    ordered(&mut section);
    cluster.ha_wake();
    sections.push(section);
    cluster
        .files
        .set(RESOURCES, section_config::print(&sections));
    Ok(Value::Null)
}

/// `enabled` is an old word for `started`.
fn normal_state(section: &mut Section) {
    if section.get("state") == Some("enabled") {
        section.set("state", "started");
    }
}

fn update_resource(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = full_sid(cluster, call)?;
    let failed =
        |text: String| ApiError::internal(format!("update resources config failed: {text}"));
    let mut sections = cluster.ha_resources();
    files::assert_unmodified(&cluster.files.digest(RESOURCES), call.get("digest"))
        .map_err(failed)?;
    let section = sections.iter_mut().find(|section| sid(section) == id);
    let section = section.ok_or_else(|| failed(format!("no such resource '{id}'")))?;
    set_all(section, call, &["sid"]);
    normal_state(section);
    for key in call.list("delete") {
        if !RESOURCE.iter().any(|row| row.name == key) {
            return Err(failed(format!("no such option '{key}'")));
        }
        section.unset(&key);
    }
    ordered(section);
    cluster
        .files
        .set(RESOURCES, section_config::print(&sections));
    cluster.ha_wake();
    Ok(Value::Null)
}

fn delete_resource(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = full_sid(cluster, call)?;
    let mut sections = cluster.ha_resources();
    if !sections.iter().any(|section| sid(section) == id) {
        return Err(ApiError::internal(format!(
            "cannot delete service '{id}', not HA managed!"
        )));
    }
    sections.retain(|section| sid(section) != id);
    cluster
        .files
        .set(RESOURCES, section_config::print(&sections));
    if call.flag("purge").unwrap_or(true) {
        cluster.ha_forget_in_rules(&id);
    }
    cluster.ha_wake();
    Ok(Value::Null)
}

impl Cluster {
    /// Takes a service out of all rules; a rule that has none left goes.
    pub fn ha_forget_in_rules(&mut self, service: &str) {
        let mut rules = section_config::parse(self.files.read(RULES));
        let before = rules.clone();
        for rule in &mut rules {
            let left: Vec<String> = rule
                .list("resources")
                .into_iter()
                .filter(|sid| sid != service)
                .collect();
            rule.set("resources", left.join(","));
        }
        rules.retain(|rule| !rule.list("resources").is_empty());
        if rules != before {
            self.files.set(RULES, section_config::print(&rules));
        }
    }

    /// Forgets a guest: its resource, and its part in rules, as a destroy with `purge` does.
    pub fn ha_forget(&mut self, guest: &Guest) {
        let service = format!("{}:{}", guest.kind.service(), guest.vmid);
        let mut sections = self.ha_resources();
        let before = sections.len();
        sections.retain(|section| sid(section) != service);
        if sections.len() != before {
            self.files.set(RESOURCES, section_config::print(&sections));
        }
        self.ha_forget_in_rules(&service);
        self.ha_wake();
    }
}

fn migrate(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = full_sid(cluster, call)?;
    let guest = guest_of(cluster, &id).filter(|guest| cluster.ha_managed(guest));
    let guest = guest.ok_or_else(|| {
        ApiError::internal(format!("cannot migrate service '{id}', not HA managed!"))
    })?;
    cluster.ha_move(&guest, call.text("node"));
    Ok(json!({ "sid": id, "requested-node": call.text("node") }))
}

fn rule_entries(cluster: &Cluster) -> Vec<Value> {
    let digest = cluster.files.digest(RULES);
    let sections = section_config::parse(cluster.files.read(RULES));
    let mut entries = vec![];
    for (at, section) in sections.iter().enumerate() {
        let mut entry = shown(section, "rule", section.id.clone(), &digest);
        put(&mut entry, "order", json!(at + 1));
        if let Some(problem) = problem(cluster, section) {
            put(&mut entry, "errors", json!({ "resources": [problem] }));
        }
        entries.push(entry);
    }
    entries
}

/// What makes a resource-affinity rule unworkable.
fn problem(cluster: &Cluster, section: &Section) -> Option<&'static str> {
    if section.kind != "resource-affinity" || section.flag("disable") {
        return None;
    }
    let count = section.list("resources").len();
    if count < 2 {
        return Some("rule is ineffective as there are less than two resources");
    }
    let nodes = cluster.nodes.values().filter(|node| node.online).count();
    (section.get("affinity") == Some("negative") && count > nodes)
        .then_some("rule defines more resources than available nodes")
}

fn rules(cluster: &mut Cluster, call: &Call) -> Answer {
    let matches = |entry: &Value| {
        let has = |sid: &str| {
            entry
                .get("resources")
                .and_then(Value::as_str)
                .is_some_and(|list| split_list(list).iter().any(|own| own == sid))
        };
        call.get("type")
            .is_none_or(|kind| entry.get("type").and_then(Value::as_str) == Some(kind))
            && call.get("resource").is_none_or(has)
    };
    Ok(rule_entries(cluster).into_iter().filter(matches).collect())
}

fn rule(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("rule");
    let found = rule_entries(cluster)
        .into_iter()
        .find(|entry| entry.get("rule").and_then(Value::as_str) == Some(id));
    found.ok_or_else(|| ApiError::internal(format!("no such ha rule '{id}'")))
}

fn check_nodes(cluster: &Cluster, section: &Section) -> Result<(), String> {
    let unknown: Vec<String> = section
        .list("nodes")
        .iter()
        .map(|node| node.split(':').next().unwrap_or(node).to_owned())
        .filter(|node| !cluster.nodes.contains_key(node))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "cannot use non-existent node(s) {}.",
            unknown.join(", ")
        ))
    }
}

fn create_rule(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("create ha rule failed: {text}"));
    let mut sections = section_config::parse(cluster.files.read(RULES));
    let id = call.text("rule");
    if sections.iter().any(|section| section.id == id) {
        return Err(failed(format!("HA rule '{id}' already defined")));
    }
    let mut section = Section {
        kind: call.text("type").into(),
        id: id.into(),
        lines: vec![],
    };
    set_all(&mut section, call, &["rule", "type"]);
    let needed = if section.kind == "node-affinity" {
        "nodes"
    } else {
        "affinity"
    };
    if section.get(needed).is_none() {
        return Err(ApiError::internal(format!(
            "missing value for required option '{needed}'"
        )));
    }
    check_nodes(cluster, &section).map_err(failed)?;
    ordered(&mut section);
    sections.push(section);
    cluster.files.set(RULES, section_config::print(&sections));
    Ok(Value::Null)
}

fn update_rule(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("update HA rules failed: {text}"));
    files::assert_unmodified(&cluster.files.digest(RULES), call.get("digest")).map_err(failed)?;
    let mut sections = section_config::parse(cluster.files.read(RULES));
    let id = call.text("rule");
    let section = sections.iter_mut().find(|section| section.id == id);
    let section = section.ok_or_else(|| failed(format!("HA rule '{id}' does not exist")))?;
    if section.kind != call.text("type") {
        return Err(failed(format!("rule '{id}' is of type '{}'", section.kind)));
    }
    set_all(section, call, &["rule", "type"]);
    for key in call.list("delete") {
        if matches!(key.as_str(), "nodes" | "resources" | "affinity") {
            return Err(failed(format!("unable to delete required option '{key}'")));
        }
        section.unset(&key);
    }
    ordered(section);
    let checked = section.clone();
    check_nodes(cluster, &checked).map_err(failed)?;
    cluster.files.set(RULES, section_config::print(&sections));
    Ok(Value::Null)
}

fn delete_rule(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("rule");
    let mut sections = section_config::parse(cluster.files.read(RULES));
    if !sections.iter().any(|section| section.id == id) {
        return Err(ApiError::internal(format!(
            "delete ha rule failed: no such ha rule '{id}'"
        )));
    }
    sections.retain(|section| section.id != id);
    cluster.files.set(RULES, section_config::print(&sections));
    Ok(Value::Null)
}

fn master(cluster: &Cluster) -> String {
    cluster
        .nodes
        .iter()
        .find(|(_, node)| node.online)
        .map(|(name, _)| name.clone())
        .unwrap_or_default()
}

fn current(cluster: &mut Cluster, _: &Call) -> Answer {
    let master = master(cluster);
    let now = cluster.clock.unix();
    let mut answer = vec![
        json!({ "id": "quorum", "type": "quorum", "node": master, "status": "OK", "quorate": 1 }),
    ];
    let active = cluster.ha_active();
    let (status, armed) = if active {
        ("armed (CRM watchdog active)", "armed")
    } else {
        ("standby (CRM watchdog standby)", "standby")
    };
    let fencing = json!({ "id": "fencing", "type": "fencing", "node": master, "status": status, "armed-state": armed });
    if active {
        answer.push(json!({ "id": "master", "type": "master", "node": master, "timestamp": now, "status": format!("{master} (active)") }));
    }
    answer.push(fencing);
    if !active {
        return Ok(Value::Array(answer));
    }
    for (name, node) in &cluster.nodes {
        let status = if node.online {
            "active, watchdog active"
        } else {
            "old timestamp - dead?"
        };
        answer.push(json!({ "id": format!("lrm:{name}"), "type": "lrm", "node": name, "timestamp": now, "status": format!("{name} ({status})") }));
    }
    for section in cluster.ha_resources() {
        let id = sid(&section);
        let Some(guest) = guest_of(cluster, &id) else {
            continue;
        };
        let request = section.get("state").unwrap_or("started").to_owned();
        let crm = cluster.ha_state(&guest);
        let state = crm.clone().unwrap_or_else(|| request.clone());
        let number = |key: &str, default: i64| {
            section
                .get(key)
                .and_then(|value| value.parse().ok())
                .unwrap_or(default)
        };
        let mut entry = json!({
            "id": format!("service:{id}"), "type": "service", "sid": id, "node": guest.node, "state": state,
            "request_state": request, "status": format!("{id} ({}, {state})", guest.node),
            "max_restart": number("max_restart", 1), "max_relocate": number("max_relocate", 1), "failback": number("failback", 1),
        });
        if let Some(crm) = crm {
            put(&mut entry, "crm_state", json!(crm));
        }
        if let Some(comment) = section.get("comment") {
            put(&mut entry, "comment", json!(comment));
        }
        answer.push(entry);
    }
    Ok(Value::Array(answer))
}

fn manager_status(cluster: &mut Cluster, _: &Call) -> Answer {
    let master = master(cluster);
    let now = cluster.clock.unix();
    let mut services = Map::new();
    for section in cluster.ha_resources() {
        if let Some(guest) = guest_of(cluster, &sid(&section))
            && let Some(state) = cluster.ha_state(&guest)
        {
            let uid: String = files::digest(&sid(&section)).chars().take(22).collect();
            services.insert(
                sid(&section),
                json!({ "state": state, "node": guest.node, "uid": uid }),
            );
        }
    }
    let word = |online: bool| if online { "online" } else { "unknown" };
    let nodes: BTreeMap<&String, &str> = cluster
        .nodes
        .iter()
        .map(|(name, node)| (name, word(node.online)))
        .collect();
    let lrm: BTreeMap<&String, Value> = cluster
        .nodes
        .keys()
        .map(|name| {
            (
                name,
                json!({ "timestamp": now, "state": "active", "mode": "active", "results": {} }),
            )
        })
        .collect();
    Ok(json!({
        "quorum": { "quorate": "1", "node": master },
        "manager_status": { "service_status": services, "node_status": nodes, "master_node": master, "timestamp": now },
        "lrm_status": lrm,
    }))
}
