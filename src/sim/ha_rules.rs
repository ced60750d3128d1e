//! `/cluster/ha/rules`: which resources go where, and which together. The manager does not heed them.

use serde_json::{Value, json};

use super::call::{Answer, ApiError, Call, Method, put, split_list};
use super::files;
use super::formats::{config_id, node_name};
use super::ha_api::{READ, UPDATE, WRITE, ordered, service_id, set_all, shown};
use super::params::{Kind, Param};
use super::router::{Route, route};
use super::section_config::{self, Section};
use super::state::Cluster;

const RULES: &str = "ha/rules.cfg";
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

/// The routes of rules.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
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
    ]
}

fn weighted_node(value: &str) -> Result<(), String> {
    node_name(value.split(':').next().unwrap_or(value))
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
}
