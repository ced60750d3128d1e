//! `/cluster/ha/status`: what the HA manager says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, Method, put};
use super::files;
use super::ha_api::{READ, guest_of, sid};
use super::router::{Route, route};
use super::state::Cluster;

/// The routes of the manager's status.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::Get;
    vec![
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

fn status_index(_: &mut Cluster, _: &Call) -> Answer {
    Ok(["current", "manager_status"]
        .iter()
        .map(|name| json!({ "name": name }))
        .collect())
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
    let date = super::backups::stamp(now, "%a %b %e %H:%M:%S %Y");
    let active = cluster.ha_active();
    let (status, armed) = if active {
        ("armed (CRM watchdog active)", "armed")
    } else {
        ("standby (CRM watchdog standby)", "standby")
    };
    let fencing = json!({ "id": "fencing", "type": "fencing", "node": master, "status": status, "armed-state": armed });
    if active {
        answer.push(json!({ "id": "master", "type": "master", "node": master, "timestamp": now, "status": format!("{master} (active, {date})") }));
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
        answer.push(json!({ "id": format!("lrm:{name}"), "type": "lrm", "node": name, "timestamp": now, "status": format!("{name} ({status}, {date})") }));
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
    let mut results: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for section in cluster.ha_resources() {
        if let Some(guest) = guest_of(cluster, &sid(&section))
            && let Some(state) = cluster.ha_state(&guest)
        {
            let uid: String = files::digest(&sid(&section)).chars().take(22).collect();
            if cluster.ha_knows(&sid(&section)) {
                results.entry(guest.node.clone()).or_default().insert(
                    uid.clone(),
                    json!({ "exit_code": 0, "sid": sid(&section), "state": state }),
                );
            }
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
                json!({ "timestamp": now, "state": "active", "mode": "active", "results": results.get(name).cloned().unwrap_or_default() }),
            )
        })
        .collect();
    Ok(json!({
        "quorum": { "quorate": "1", "node": master },
        "manager_status": { "service_status": services, "node_status": nodes, "master_node": master, "timestamp": now },
        "lrm_status": lrm,
    }))
}
