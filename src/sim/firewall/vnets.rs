//! SDN's vnets, as far as firewalls need them: the list (reading), and each one's firewall.
//!
//! A vnet is in the configuration (`sdn/vnets.cfg`) and, once that was applied, in what runs (`sdn/.running-config`, JSON). A world
//! without the latter runs what is configured. Only a vnet that runs has a firewall.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call, Method};
use super::super::params::{Kind, Param};
use super::super::router::{Access, Route, route};
use super::super::section_config::parse;
use super::super::state::Cluster;
use super::{index, options, rules};

const LIST: &[Param] = &[
    Param::new("pending", Kind::Boolean),
    Param::new("running", Kind::Boolean),
];
const SEE: &[&str] = &["SDN.Audit", "SDN.Allocate"];
const CHANGE: &[&str] = &["SDN.Allocate"];

/// A vnet's settings by name: `zone`, `tag`, `alias` and the like.
type Vnet = Map<String, Value>;

/// A handler after the check of its vnet.
macro_rules! on_vnet {
    ($privileges:expr, $handler:path) => {
        |cluster, call| {
            check(cluster, call, $privileges)?;
            $handler(cluster, call)
        }
    };
}

/// The routes of vnets.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    const OPTIONS: &str = "/cluster/sdn/vnets/{vnet}/firewall/options";
    const RULES: &str = "/cluster/sdn/vnets/{vnet}/firewall/rules";
    const RULE: &str = "/cluster/sdn/vnets/{vnet}/firewall/rules/{pos}";
    // No permission is declared for the index, which leaves root@pam itself.
    const INDEX: &str = "/cluster/sdn/vnets/{vnet}/firewall";
    let user = Access::User;
    vec![
        route(Get, "/cluster/sdn/vnets", &[LIST], user, list),
        route(Get, INDEX, &[], Access::Root, index),
        route(Get, OPTIONS, &[], user, on_vnet!(SEE, options::get)),
        route(
            Put,
            OPTIONS,
            &[options::VNET, options::DELETE],
            user,
            on_vnet!(CHANGE, options::set),
        ),
        route(Get, RULES, &[], user, on_vnet!(SEE, rules::list)),
        route(
            Post,
            RULES,
            &[rules::NEW, rules::RULE],
            user,
            on_vnet!(CHANGE, rules::create),
        ),
        route(Get, RULE, &[], user, on_vnet!(SEE, rules::get)),
        route(
            Put,
            RULE,
            &[rules::CHANGE, rules::RULE],
            user,
            on_vnet!(CHANGE, rules::update),
        ),
        route(
            Delete,
            RULE,
            &[rules::DELETE],
            user,
            on_vnet!(CHANGE, rules::delete),
        ),
    ]
}

/// The vnets as they are configured.
fn configured(cluster: &Cluster) -> Vec<(String, Vnet)> {
    parse(cluster.files.read("sdn/vnets.cfg"))
        .into_iter()
        .filter(|section| section.kind == "vnet")
        .map(|section| {
            let lines = section.lines.into_iter();
            let number = |value: String| {
                value
                    .parse::<i64>()
                    .map_or_else(|_| json!(value), |n| json!(n))
            };
            let vnet = lines.map(|(key, value)| (key, number(value))).collect();
            (section.id, vnet)
        })
        .collect()
}

/// The vnets that run.
fn running(cluster: &Cluster) -> Vec<(String, Vnet)> {
    let text = cluster.files.read("sdn/.running-config");
    if text.trim().is_empty() {
        return configured(cluster);
    }
    let applied: Value = serde_json::from_str(text).unwrap_or_default();
    let ids = applied.pointer("/vnets/ids").and_then(Value::as_object);
    ids.into_iter()
        .flatten()
        .map(|(id, vnet)| {
            let mut vnet = vnet.as_object().cloned().unwrap_or_default();
            vnet.remove("type");
            (id.clone(), vnet)
        })
        .collect()
}

fn zone(vnet: &Vnet) -> &str {
    vnet.get("zone").and_then(Value::as_str).unwrap_or_default()
}

/// That the vnet of a request runs and that the caller has one of the privileges on it.
fn check(cluster: &Cluster, call: &Call, any: &[&str]) -> Result<(), ApiError> {
    let name = call.text("vnet");
    let running = running(cluster);
    let vnet = running.iter().find(|(id, _)| id == name);
    let (_, vnet) = vnet.ok_or_else(|| ApiError::internal("invalid vnet specified"))?;
    let path = format!("/sdn/zones/{}/{name}", zone(vnet));
    cluster.check_any(&call.auth, &path, any)
}

/// The vnets that the caller may see: as configured, as they run, or as configured with what is not applied yet.
fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let (is, runs) = (configured(cluster), running(cluster));
    let pending = call.is_set("pending");
    let mut all = if call.is_set("running") && !pending {
        runs.clone()
    } else {
        is.clone()
    };
    if pending {
        let gone = runs
            .iter()
            .filter(|(id, _)| !is.iter().any(|(other, _)| other == id));
        all.extend(gone.cloned());
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut answer = vec![];
    for (id, vnet) in all {
        let path = format!("/sdn/zones/{}/{id}", zone(&vnet));
        if !SEE
            .iter()
            .any(|privilege| cluster.allowed(&call.auth, &path, privilege))
        {
            continue;
        }
        let mut item = if pending {
            with_pending(&id, &vnet, &is, &runs)
        } else {
            vnet
        };
        item.insert("vnet".into(), json!(id));
        item.insert("type".into(), json!("vnet"));
        item.insert("digest".into(), Value::Null);
        if !pending {
            let digest = super::super::files::digest(cluster.files.read("sdn/vnets.cfg"));
            item.insert("digest".into(), json!(digest));
        }
        answer.push(Value::Object(item));
    }
    Ok(Value::Array(answer))
}

/// A vnet as it runs, and apart what applying would change of it.
fn with_pending(id: &str, vnet: &Vnet, is: &[(String, Vnet)], runs: &[(String, Vnet)]) -> Vnet {
    let of = |list: &'_ [(String, Vnet)]| -> Option<Vnet> {
        let found = list.iter().find(|(known, _)| known == id);
        found.map(|(_, vnet)| vnet.clone())
    };
    let (mut item, state, pending) = match (of(runs), of(is)) {
        (None, _) => (Vnet::new(), "new", vnet.clone()),
        (Some(runs), None) => (runs, "deleted", Vnet::new()),
        (Some(runs), Some(is)) if runs == is => return runs,
        (Some(runs), Some(is)) => {
            let other = is
                .into_iter()
                .filter(|(key, value)| runs.get(key) != Some(value));
            let other = other.collect();
            (runs, "changed", other)
        }
    };
    item.insert("state".into(), json!(state));
    if !pending.is_empty() {
        item.insert("pending".into(), Value::Object(pending));
    }
    item
}
