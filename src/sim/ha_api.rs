//! `/cluster/ha/resources`: what is highly available, and in which state it is to be.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::files;
use super::formats::{COUNT, DIGEST, config_id, node_name, vmid};
use super::ha::RESOURCES;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::{Cluster, Guest, GuestKind};

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
pub(super) const UPDATE: &[Param] = &[
    Param::new("delete", Kind::TextMax(4096)),
    Param::new("digest", DIGEST),
];
const TARGET: &[Param] = &[Param::required("node", Kind::Form(node_name))];
pub(super) const READ: Access = Access::All("/", &["Sys.Audit"]);
pub(super) const WRITE: Access = Access::All("/", &["Sys.Console"]);

const GROUP: &[Param] = &[
    Param::new("comment", Kind::Text),
    Param::required("group", Kind::Form(super::formats::config_id)),
    Param::required("nodes", Kind::Text),
    Param::new("nofailback", Kind::Boolean),
    Param::new("restricted", Kind::Boolean),
    Param::new("type", Kind::Enum(&["group"])),
];

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
        route(Get, "/cluster/ha/groups", &[], READ, groups),
        route(Post, "/cluster/ha/groups", &[GROUP], WRITE, new_group),
    ]
}

pub(super) fn service_id(value: &str) -> Result<(), String> {
    let number = value
        .strip_prefix("vm:")
        .or_else(|| value.strip_prefix("ct:"))
        .unwrap_or(value);
    vmid(number).map_err(|_| "value does not look like a valid ha resource id".into())
}

fn index(_: &mut Cluster, _: &Call) -> Answer {
    Ok(["status", "resources", "groups", "rules"]
        .iter()
        .map(|id| json!({ "id": id }))
        .collect())
}

fn new_group(_: &mut Cluster, _: &Call) -> Answer {
    Err(ApiError::internal(
        "cannot create group: ha groups have been migrated to rules",
    ))
}

fn groups(_: &mut Cluster, _: &Call) -> Answer {
    Err(ApiError::internal(
        "cannot index groups: ha groups have been migrated to rules",
    ))
}

pub(super) fn shown(section: &Section, name: &str, id: String, digest: &str) -> Value {
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

pub(super) fn sid(section: &Section) -> String {
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

pub(super) fn guest_of(cluster: &Cluster, sid: &str) -> Option<Guest> {
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

pub(super) fn set_all(section: &mut Section, call: &Call, without: &[&str]) {
    for (key, value) in &call.params {
        if !without.contains(&key.as_str()) && !matches!(key.as_str(), "digest" | "delete") {
            section.set(key, value.clone());
        }
    }
}

/// Comment first, then disable, then the rest by name.
pub(super) fn ordered(section: &mut Section) {
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
