//! `/cluster/backup`: backup jobs in `jobs.cfg`.

use serde_json::{Map, Value, json};

use super::calendar;
use super::call::{Answer, ApiError, Call, Method};
use super::formats::{COUNT, config_id, node_name, storage_id};
use super::options;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::Cluster;

const JOBS: &str = "jobs.cfg";
const BACKUP: &[Param] = &[
    Param::new("all", Kind::Boolean),
    Param::new("bwlimit", COUNT),
    Param::new("comment", Kind::TextMax(512)),
    Param::new("compress", Kind::Enum(&["0", "1", "gzip", "lzo", "zstd"])),
    Param::new("dow", Kind::Text),
    Param::new("dumpdir", Kind::Text),
    Param::new("enabled", Kind::Boolean),
    Param::new("exclude", Kind::FormList(super::formats::vmid)),
    Param::new("exclude-path", Kind::Text),
    Param::new("fleecing", Kind::Text),
    Param::new("ionice", Kind::Integer(0, 8)),
    Param::new("lockwait", COUNT),
    Param::new("mailnotification", Kind::Enum(&["always", "failure"])),
    Param::new("mailto", Kind::Text),
    Param::new("mode", Kind::Enum(&["snapshot", "suspend", "stop"])),
    Param::new("node", Kind::Form(node_name)),
    Param::new("notes-template", Kind::TextMax(1024)),
    Param::new(
        "notification-mode",
        Kind::Enum(&["auto", "legacy-sendmail", "notification-system"]),
    ),
    Param::new(
        "pbs-change-detection-mode",
        Kind::Enum(&["legacy", "data", "metadata"]),
    ),
    Param::new("performance", Kind::Text),
    Param::new("pigz", Kind::Integer(i64::MIN, i64::MAX)),
    Param::new("pool", Kind::Text),
    Param::new("protected", Kind::Boolean),
    Param::new("prune-backups", Kind::Text),
    Param::new("quiet", Kind::Boolean),
    Param::new("remove", Kind::Boolean),
    Param::new("repeat-missed", Kind::Boolean),
    Param::new("schedule", Kind::Form(schedule)),
    Param::new("script", Kind::Text),
    Param::new("starttime", Kind::Text),
    Param::new("stdexcludes", Kind::Boolean),
    Param::new("stop", Kind::Boolean),
    Param::new("stopwait", COUNT),
    Param::new("storage", Kind::Form(storage_id)),
    Param::new("tmpdir", Kind::Text),
    Param::new("vmid", Kind::FormList(super::formats::vmid)),
    Param::new("zstd", Kind::Integer(i64::MIN, i64::MAX)),
];
const NEW_BACKUP: &[Param] = &[Param::new("id", Kind::Form(config_id))];
const NOW: &[Param] = &[
    Param::new("job-id", Kind::TextMax(256)),
    Param::new("stdout", Kind::Boolean),
];
const DEFAULTS: &[Param] = &[Param::new("storage", Kind::Form(storage_id))];
const EXTRACT: &[Param] = &[Param::required("volume", Kind::Text)];
const ANALYZE: &[Param] = &[
    Param::new("iterations", Kind::Integer(1, 100)),
    Param::required("schedule", Kind::Form(schedule)),
    Param::new("starttime", Kind::Integer(i64::MIN, i64::MAX)),
];
const DELETE: &[Param] = &[Param::new("delete", Kind::TextMax(4096))];

/// The routes of jobs.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    let read = Access::All("/", &["Sys.Audit"]);
    let write = Access::All("/", &["Sys.Modify"]);
    vec![
        route(Get, "/cluster/backup", &[], read, backups),
        route(
            Post,
            "/cluster/backup",
            &[NEW_BACKUP, BACKUP],
            write,
            create_backup,
        ),
        route(Get, "/cluster/backup/{id}", &[], read, backup),
        route(
            Put,
            "/cluster/backup/{id}",
            &[BACKUP, DELETE],
            write,
            update_backup,
        ),
        route(Delete, "/cluster/backup/{id}", &[], write, delete_backup),
        route(
            Get,
            "/cluster/jobs/schedule-analyze",
            &[ANALYZE],
            Access::User,
            analyze,
        ),
        route(
            Post,
            "/nodes/{node}/vzdump",
            &[NOW, BACKUP],
            Access::User,
            super::guest::vzdump::backup,
        ),
        route(
            Get,
            "/nodes/{node}/vzdump/defaults",
            &[DEFAULTS],
            Access::User,
            super::guest::vzdump::defaults,
        ),
        route(
            Get,
            "/nodes/{node}/vzdump/extractconfig",
            &[EXTRACT],
            Access::User,
            super::guest::vzdump::extract,
        ),
    ]
}

/// When a schedule fires next.
fn analyze(cluster: &mut Cluster, call: &Call) -> Answer {
    let event = calendar::parse(call.text("schedule"))?;
    let mut at = call
        .int("starttime")
        .unwrap_or_else(|| cluster.clock.unix());
    let mut answer = vec![];
    for _ in 0..call.int("iterations").unwrap_or(10) {
        let Some(next) = event.next(at) else { break };
        let utc = super::backups::stamp(next, "%a %b %e %H:%M:%S %Y");
        answer.push(json!({ "timestamp": next, "utc": utc }));
        at = next;
    }
    Ok(Value::Array(answer))
}

pub(super) fn schedule(value: &str) -> Result<(), String> {
    calendar::parse(value).map(|_| ())
}

/// A job as it is shown: numbers are numbers, property strings are objects.
pub(super) fn shown(section: &Section) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in &section.lines {
        let value = match key.as_str() {
            "prune-backups" | "performance" => properties(value, "keep-last"),
            "fleecing" => properties(value, "enabled"),
            "exclude-path" => json!(value.split('\0').collect::<Vec<_>>()),
            "vmid" | "exclude" | "comment" | "compress" | "notes-template" | "schedule"
            | "mailto" => json!(value),
            _ => value
                .parse::<i64>()
                .map_or_else(|_| json!(value), |number| json!(number)),
        };
        map.insert(key.clone(), value);
    }
    map.insert("id".into(), json!(section.id));
    map.insert("type".into(), json!(section.kind));
    map
}

fn properties(text: &str, default: &str) -> Value {
    let entry = |(key, value): (String, String)| {
        let number = matches!(key.as_str(), "keep-all" | "enabled");
        let value = if number {
            value
                .parse::<i64>()
                .map_or(json!(value), |number| json!(number))
        } else {
            json!(value)
        };
        (key, value)
    };
    Value::Object(
        options::properties(text, default)
            .into_iter()
            .map(entry)
            .collect(),
    )
}

/// `exclude-path` may come several times in a section; it is one value here.
pub(super) fn jobs(cluster: &Cluster) -> Vec<Section> {
    let mut sections = section_config::parse(cluster.files.read(JOBS));
    for section in &mut sections {
        let paths: Vec<String> = section
            .lines
            .iter()
            .filter(|(key, _)| key == "exclude-path")
            .map(|(_, value)| value.clone())
            .collect();
        if paths.len() > 1 {
            section.unset("exclude-path");
            section.set("exclude-path", paths.join("\0"));
        }
        if section.get("enabled").is_none() {
            section.set("enabled", "1");
        }
    }
    sections
}

fn write(cluster: &mut Cluster, sections: &[Section]) {
    let mut sections = sections.to_vec();
    for section in &mut sections {
        let rank = |key: &str| match key {
            "comment" => 0,
            "schedule" => 1,
            _ => 2,
        };
        section
            .lines
            .sort_by(|(one, _), (other, _)| (rank(one), one).cmp(&(rank(other), other)));
        let split = |(key, value): &(String, String)| -> Vec<(String, String)> {
            value
                .split('\0')
                .map(|part| (key.clone(), part.to_owned()))
                .collect()
        };
        section.lines = section.lines.iter().flat_map(split).collect();
    }
    cluster.files.set(JOBS, section_config::print(&sections));
}

fn backups(cluster: &mut Cluster, _: &Call) -> Answer {
    let now = cluster.clock.unix();
    let mut answer = vec![];
    for section in jobs(cluster)
        .into_iter()
        .filter(|section| section.kind == "vzdump")
    {
        let mut map = shown(&section);
        let event = section
            .get("schedule")
            .and_then(|text| calendar::parse(text).ok());
        if let Some(next) = event.and_then(|event| event.next(now)) {
            map.insert("next-run".into(), json!(next));
        }
        answer.push(Value::Object(map));
    }
    Ok(Value::Array(answer))
}

fn backup(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("id");
    let found = jobs(cluster)
        .into_iter()
        .find(|section| section.id == id && section.kind == "vzdump");
    found
        .map(|section| Value::Object(shown(&section)))
        .ok_or_else(|| ApiError::parameter("id", format!("No such job '{id}'")))
}

/// What a caller may say: the directories and the script are root's; a storage that is written to takes the right to allocate there
/// (without one it is `local`), and so does room for fleecing.
fn may_set(cluster: &Cluster, call: &Call, default_storage: bool) -> Result<(), ApiError> {
    super::backups::check_options(cluster, call)?;
    if let Some(storage) = call.get("storage").or(default_storage.then_some("local")) {
        cluster.check_all(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate"],
        )?;
    }
    let fleecing = call
        .get("fleecing")
        .map(|text| options::properties(text, "enabled"));
    for (key, storage) in fleecing.into_iter().flatten() {
        if key == "storage" {
            let path = format!("/storage/{storage}");
            cluster.check_all(&call.auth, &path, &["Datastore.AllocateSpace"])?;
        }
    }
    Ok(())
}

/// What must not be said together.
fn check_backup(section: &Section) -> Result<(), ApiError> {
    let chosen: Vec<&str> = ["all", "vmid", "pool"]
        .into_iter()
        .filter(|key| {
            if *key == "all" {
                section.flag(key)
            } else {
                section.get(key).is_some()
            }
        })
        .collect();
    let wrong = |name: &str, text: String| {
        Err(ApiError::internal(format!(
            "400 Parameter verification failed.\n{name}: {text}"
        )))
    };
    match chosen.as_slice() {
        [] => wrong("vmid", "property is missing".into()),
        [_] => Ok(()),
        [first, second, ..] => wrong(first, format!("option conflicts with option '{second}'")),
    }
}

pub(super) fn set_all(section: &mut Section, call: &Call) {
    for (key, value) in &call.params {
        if !matches!(
            key.as_str(),
            "id" | "delete" | "digest" | "starttime" | "dow" | "type"
        ) {
            section.set(key, value.clone());
        }
    }
    if let Some(time) = call.get("starttime") {
        let days = call
            .get("dow")
            .map(|days| format!("{days} "))
            .unwrap_or_default();
        section.set("schedule", format!("{days}{time}"));
    }
}

fn create_backup(cluster: &mut Cluster, call: &Call) -> Answer {
    if call.get("schedule").is_none() && call.get("starttime").is_none() {
        return Err(ApiError::parameter(
            "schedule",
            "property is missing and it is not optional",
        ));
    }
    may_set(cluster, call, call.get("dumpdir").is_none())?;
    let id = match call.get("id") {
        Some(id) => id.to_owned(),
        None => format!("backup-{}", cluster.random_uuid()),
    };
    let mut sections = jobs(cluster);
    if sections.iter().any(|section| section.id == id) {
        return Err(ApiError::internal(format!("Job '{id}' already exists")));
    }
    let mut section = Section {
        kind: "vzdump".into(),
        id,
        lines: vec![],
    };
    set_all(&mut section, call);
    if section.get("enabled").is_none() {
        section.set("enabled", "1");
    }
    check_backup(&section)?;
    sections.push(section);
    write(cluster, &sections);
    Ok(Value::Null)
}

fn update_backup(cluster: &mut Cluster, call: &Call) -> Answer {
    may_set(
        cluster,
        call,
        call.list("delete").iter().any(|key| key == "storage"),
    )?;
    let mut sections = jobs(cluster);
    let section = sections
        .iter_mut()
        .find(|section| section.id == call.text("id") && section.kind == "vzdump");
    let section = section.ok_or_else(|| ApiError::internal("no such vzdump job"))?;
    if section.get("dumpdir").is_some() && !call.auth.is_root() {
        return Err(ApiError::new(
            403,
            "Permission check failed - dumpdir: Only root may edit this job.",
        ));
    }
    // The schema: notes and protection only together with the storage.
    for key in ["notes-template", "protected"] {
        if call.get(key).is_some() && call.get("storage").is_none() {
            return Err(ApiError::parameter(
                "storage",
                format!("missing property - required by '{key}'"),
            ));
        }
    }
    for key in call.list("delete") {
        if !BACKUP.iter().any(|row| row.name == key) {
            return Err(ApiError::parameter(
                "delete",
                format!("unknown option '{key}'"),
            ));
        }
        section.unset(&key);
    }
    for (key, others) in [
        ("all", ["vmid", "pool"]),
        ("vmid", ["all", "pool"]),
        ("pool", ["all", "vmid"]),
    ] {
        if call
            .get(key)
            .is_some_and(|value| key != "all" || value == "1")
        {
            for other in others.iter().filter(|other| call.get(other).is_none()) {
                section.unset(other);
            }
        }
    }
    set_all(section, call);
    let checked = section.clone();
    check_backup(&checked)?;
    write(cluster, &sections);
    Ok(Value::Null)
}

fn delete_backup(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("id");
    let mut sections = jobs(cluster);
    if !sections.iter().any(|section| section.id == id) {
        return Err(ApiError::internal(format!(
            "400 Parameter verification failed.\nid: No such job '{id}'"
        )));
    }
    sections.retain(|section| section.id != id);
    write(cluster, &sections);
    Ok(Value::Null)
}

impl Cluster {
    /// Takes a guest out of all backup jobs, as a destroy with `purge` does; a job that names nobody any more goes.
    pub fn forget_in_backups(&mut self, vmid: u32) {
        let vmid = vmid.to_string();
        let before = jobs(self);
        let mut after = before.clone();
        for section in &mut after {
            for key in ["vmid", "exclude"] {
                let left: Vec<String> = section
                    .list(key)
                    .into_iter()
                    .filter(|id| *id != vmid)
                    .collect();
                if section.get(key).is_some() {
                    section.set(key, left.join(","));
                }
            }
        }
        after.retain(|section| section.get("vmid").is_none_or(|list| !list.is_empty()));
        for section in &mut after {
            if section.get("exclude") == Some("") {
                section.unset("exclude");
            }
        }
        if before != after {
            write(self, &after);
        }
    }
}
