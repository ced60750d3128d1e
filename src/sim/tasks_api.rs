//! `/nodes/{node}/tasks` and `/cluster/tasks`: lists, status, log and stopping of tasks.
//!
//! A task is seen by who started it (a token's tasks by the token and its owner) and with Sys.Audit on its node.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Auth, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::tasks::Task;

const LIST: &[Param] = &[
    Param::new("errors", Kind::Boolean),
    Param::new("limit", super::formats::COUNT),
    Param::new("since", Kind::Integer(i64::MIN, i64::MAX)),
    Param::new("source", Kind::Enum(&["archive", "active", "all"])),
    Param::new("start", super::formats::COUNT),
    Param::new("statusfilter", Kind::Text),
    Param::new("typefilter", Kind::Text),
    Param::new("until", Kind::Integer(i64::MIN, i64::MAX)),
    Param::new("userfilter", Kind::Text),
    Param::new("vmid", super::formats::VMID),
];
const LOG: &[Param] = &[
    Param::new("download", Kind::Boolean),
    Param::new("limit", super::formats::COUNT),
    Param::new("start", super::formats::COUNT),
];

/// The routes of tasks.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get};
    vec![
        route(Get, "/cluster/tasks", &[], Access::User, cluster_tasks),
        route(
            Get,
            "/nodes/{node}/tasks",
            &[LIST],
            Access::User,
            node_tasks,
        ),
        route(Get, "/nodes/{node}/tasks/{upid}", &[], Access::User, index),
        route(
            Delete,
            "/nodes/{node}/tasks/{upid}",
            &[],
            Access::User,
            stop,
        ),
        route(
            Get,
            "/nodes/{node}/tasks/{upid}/status",
            &[],
            Access::User,
            status,
        ),
        route(
            Get,
            "/nodes/{node}/tasks/{upid}/log",
            &[LOG],
            Access::User,
            log,
        ),
    ]
}

fn fields(task: &Task) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in [
        ("upid", json!(task.upid)),
        ("node", json!(task.node)),
        ("pid", json!(task.pid)),
        ("pstart", json!(task.pstart)),
        ("starttime", json!(task.start)),
        ("type", json!(task.kind)),
        ("id", json!(task.id)),
        ("user", json!(task.auth.user())),
    ] {
        map.insert(name.into(), value);
    }
    if let Some(token) = task.auth.token() {
        map.insert("tokenid".into(), json!(token));
    }
    map
}

fn listed(task: &Task) -> Value {
    let mut map = fields(task);
    if let (Some(end), Some(exit)) = (task.end, &task.exit) {
        map.insert("endtime".into(), json!(end));
        map.insert("status".into(), json!(exit));
    }
    Value::Object(map)
}

fn owns(auth: &Auth, task: &Task) -> bool {
    auth.id == task.auth.id || (auth.token().is_none() && auth.id == task.auth.user())
}

/// A task as the cluster-wide list has it: no process, but whether it is in the archive.
fn cluster_listed(task: &Task) -> Value {
    let Value::Object(mut map) = listed(task) else {
        return Value::Null;
    };
    map.remove("pid");
    map.remove("pstart");
    if task.end.is_some() {
        map.insert("saved".into(), json!("1"));
    }
    Value::Object(map)
}

/// A node tells the others of its running tasks, and of the last that ended, as many as make this together.
const TOLD: usize = 25;

/// Without Sys.Audit on `/` a token sees nothing here, not even its own tasks: Proxmox VE compares the task's user
/// without the token's name to the caller's full id.
fn cluster_tasks(cluster: &mut Cluster, call: &Call) -> Answer {
    let all = cluster.allowed(&call.auth, "/", "Sys.Audit");
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for task in cluster.tasks.iter().filter(|task| task.end.is_none()) {
        *told.entry(&task.node).or_default() += 1;
    }
    let mut answer = vec![];
    for task in cluster.tasks.iter().rev() {
        let of_node = told.entry(&task.node).or_default();
        if task.end.is_some() {
            if *of_node >= TOLD {
                continue;
            }
            *of_node += 1;
        }
        if all || task.auth.user() == call.auth.id {
            answer.push(cluster_listed(task));
        }
    }
    Ok(Value::Array(answer))
}

fn node_tasks(cluster: &mut Cluster, call: &Call) -> Answer {
    let node = call.node();
    let audit = cluster.allowed(&call.auth, &format!("/nodes/{node}"), "Sys.Audit");
    let source = call.get("source").unwrap_or("archive");
    let wanted = |task: &&Task| {
        let failed = task.exit.as_ref().is_some_and(|exit| exit != "OK");
        task.node == node
            && (audit || owns(&call.auth, task))
            && match source {
                "active" => task.end.is_none(),
                "archive" => task.end.is_some(),
                _ => true,
            }
            && (!call.is_set("errors") || failed)
            && call.get("vmid").is_none_or(|vmid| task.id == vmid)
            && call.get("typefilter").is_none_or(|kind| task.kind == kind)
            && call
                .get("userfilter")
                .is_none_or(|user| task.auth.id.contains(user))
            && call.int("since").is_none_or(|since| task.start >= since)
            && call.int("until").is_none_or(|until| task.start <= until)
            && call
                .get("statusfilter")
                .is_none_or(|_| status_matches(task, &call.list("statusfilter")))
    };
    let mut found: Vec<&Task> = cluster.tasks.iter().rev().filter(wanted).collect();
    // Running ones first; the archive is written as tasks end.
    found.sort_by_key(|task| std::cmp::Reverse(task.end.unwrap_or(i64::MAX)));
    let found: Vec<Value> = found.into_iter().map(listed).collect();
    let skip = usize::try_from(call.int("start").unwrap_or(0)).unwrap_or(0);
    let most = usize::try_from(call.int("limit").unwrap_or(50)).unwrap_or(50);
    if !found.is_empty() {
        cluster.extra.insert("total".into(), json!(found.len()));
    }
    Ok(found
        .into_iter()
        .skip(skip)
        .take(if most == 0 { usize::MAX } else { most })
        .collect())
}

fn status_matches(task: &Task, wanted: &[String]) -> bool {
    let class = match task.exit.as_deref() {
        None => "unknown",
        Some("OK") => "ok",
        Some(exit) if exit.starts_with("WARNINGS: ") => "warning",
        Some(_) => "error",
    };
    wanted.iter().any(|word| word == class)
}

/// The UPID must have the right form; whether the task exists is another matter.
fn parse(call: &Call) -> Result<(String, Auth), ApiError> {
    let upid = call.text("upid");
    let parts: Vec<&str> = upid.split(':').collect();
    match parts.as_slice() {
        ["UPID", node, pid, pstart, start, kind, _, user, ""]
            if [pid, pstart, start].iter().all(|part| is_hex(part)) && !kind.is_empty() =>
        {
            Ok(((*node).to_owned(), Auth::new(*user)))
        }
        _ => Err(ApiError::parameter("upid", "unable to parse worker upid")),
    }
}

fn is_hex(part: &str) -> bool {
    matches!(part.len(), 8 | 9) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn may_see(cluster: &Cluster, call: &Call, privilege: &str) -> Result<String, ApiError> {
    let (node, owner) = parse(call)?;
    if owner.id != call.auth.id && !(call.auth.token().is_none() && owner.user() == call.auth.id) {
        cluster.check_all(&call.auth, &format!("/nodes/{}", call.node()), &[privilege])?;
    }
    Ok(node)
}

fn no_such_task() -> ApiError {
    ApiError::parameter("upid", "no such task")
}

fn index(_: &mut Cluster, call: &Call) -> Answer {
    parse(call)?;
    Ok(json!([{ "name": "log" }, { "name": "status" }]))
}

fn status(cluster: &mut Cluster, call: &Call) -> Answer {
    may_see(cluster, call, "Sys.Audit")?;
    let task = cluster
        .tasks
        .find(call.text("upid"))
        .ok_or_else(no_such_task)?;
    let mut map = fields(task);
    map.insert(
        "status".into(),
        json!(if task.end.is_some() {
            "stopped"
        } else {
            "running"
        }),
    );
    if let Some(exit) = &task.exit {
        map.insert("exitstatus".into(), json!(exit));
    }
    Ok(Value::Object(map))
}

fn log(cluster: &mut Cluster, call: &Call) -> Answer {
    may_see(cluster, call, "Sys.Audit")?;
    let lines = match cluster.tasks.find(call.text("upid")) {
        Some(task) => task.log.lines.clone(),
        None => vec!["unable to open file - No such file or directory".to_owned()],
    };
    if call.is_set("download") {
        for name in ["start", "limit"] {
            if call.get(name).is_some() {
                let text = "parameter is not allowed together with 'download'";
                return Err(ApiError::parameter(name, text));
            }
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        cluster.extra.insert(super::http::PLAIN.into(), json!(text));
        return Ok(Value::Null);
    }
    let skip = usize::try_from(call.int("start").unwrap_or(0)).unwrap_or(0);
    let most = usize::try_from(call.int("limit").unwrap_or(50)).unwrap_or(50);
    cluster.extra.insert("total".into(), json!(lines.len()));
    let numbered =
        lines
            .iter()
            .enumerate()
            .skip(skip)
            .take(if most == 0 { usize::MAX } else { most });
    Ok(numbered
        .map(|(at, line)| json!({ "n": at + 1, "t": line }))
        .collect())
}

fn stop(cluster: &mut Cluster, call: &Call) -> Answer {
    may_see(cluster, call, "Sys.Modify")?;
    cluster.stop_task(call.text("upid"));
    Ok(Value::Null)
}
