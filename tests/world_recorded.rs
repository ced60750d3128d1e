//! Everything that was recorded from a real Proxmox VE, through the readers of the world: nothing panics, and nothing is lost
//! silently — each field is read, or stands in a reviewed list of what is not. Passes with a notice where the recordings are
//! not at hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

#[path = "proxmox_client/answers.rs"]
#[allow(dead_code)]
mod answers;
#[path = "world_recorded/fields.rs"]
mod fields;
#[allow(dead_code)]
#[path = "proxmox_client/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};

use answers::{Answers, recorded, target};
use bailiwick::health::access::{Access, ancestors};
use bailiwick::health::{deciding, undecided};
use bailiwick::ids::{ClusterName, Vmid};
use bailiwick::world::{ObserveError, ObserveSettings, Part, World, observe};
use fields::{NOT_READ, READ, class};
use serde_json::{Value, json};
use server::Server;

async fn observed(answers: Answers) -> Result<World, ObserveError> {
    let server = Server::start(move |seen| answers.answer(seen)).await;
    let settings = ObserveSettings::all(ClusterName::new("lab").unwrap());
    observe(&server.client(), &settings).await
}

/// The world as text, without the moments at which its parts were read.
fn text(world: &World) -> String {
    let moment = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("at: ") || line.starts_with("observed_at: ")
    };
    let text = format!("{world:#?}");
    text.lines()
        .filter(|line| !moment(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Everything that was asked with success and can be read, as `(path, data)`.
fn read_from(answers: &Answers) -> Vec<(String, Value)> {
    answers
        .0
        .iter()
        .filter(|(_, (status, ..))| *status == 200)
        .filter_map(|(target, (_, _, body))| {
            let body: Value = serde_json::from_str(body).ok()?;
            let path = target.split('?').next().unwrap_or_default();
            Some((path.to_owned(), body["data"].clone()))
        })
        .collect()
}

fn items(data: &Value) -> Vec<&Value> {
    match data {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

/// Every field of every class of answer.
fn found(answers: &[(String, Value)]) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut found: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for (path, data) in answers {
        for item in items(data) {
            if let (Some(class), Some(members)) = (class(path, item), item.as_object()) {
                found
                    .entry(class)
                    .or_default()
                    .extend(members.keys().cloned());
            }
        }
    }
    found
}

fn listed(table: &[(&str, &[&str])], class: &str, name: &str) -> bool {
    table
        .iter()
        .any(|(of, names)| *of == class && names.contains(&name))
}

fn not_read(class: &str, name: &str) -> bool {
    NOT_READ
        .iter()
        .any(|(of, names, _)| (*of == class || *of == "*") && names.contains(&name))
}

/// The answers with some fields taken out.
fn without(answers: &Answers, gone: impl Fn(&str, &str) -> bool) -> Answers {
    let mut changed = answers.clone();
    for (target, (status, _, body)) in &mut changed.0 {
        let path = target.split('?').next().unwrap_or_default().to_owned();
        if *status != 200 {
            continue;
        }
        let mut value: Value = serde_json::from_str(body).unwrap();
        let strip = |item: &mut Value| {
            if let Some(class) = class(&path, item)
                && let Some(members) = item.as_object_mut()
            {
                members.retain(|name, _| !gone(class, name));
            }
        };
        match &mut value["data"] {
            Value::Array(items) => items.iter_mut().for_each(strip),
            other => strip(other),
        }
        *body = value.to_string();
    }
    changed
}

/// The whole single-node recording, its last answer to each question; and the answers in their order.
fn single() -> Option<(Answers, Vec<Value>)> {
    let shared = std::env::var("BAILIWICK_SHARED")
        .unwrap_or_else(|_| format!("{}/../shared", env!("CARGO_MANIFEST_DIR")));
    let path = format!("{shared}/proxmox/recorded/pve-9.1.8.jsonl");
    let Ok(recording) = std::fs::read_to_string(&path) else {
        eprintln!("NOTICE: {path} is not at hand; this test checked nothing");
        return None;
    };
    let records: Vec<Value> = recording
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &Value| {
            record["auth"] == "root" && record["method"] == "GET" && record["ext"].is_null()
        })
        .collect();
    let mut answers = Answers::default();
    for record in &records {
        learn(&mut answers, record);
    }
    Some((answers, records))
}

fn learn(answers: &mut Answers, record: &Value) {
    let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
    let reason = record["reason"]
        .as_str()
        .unwrap_or("OK")
        .replace(['\r', '\n'], " ");
    answers
        .0
        .insert(target(record), (status, reason, record["body"].to_string()));
}

#[test]
fn every_field_is_read_or_deliberately_not() {
    let (Some(whole), Some((single, _))) = (recorded(), single()) else {
        return;
    };
    let mut all = read_from(&whole);
    all.extend(read_from(&single));
    let found = found(&all);
    let mut lost = vec![];
    for (class, names) in &found {
        for name in names {
            match (listed(READ, class, name), not_read(class, name)) {
                (true, false) | (false, true) => {}
                (false, false) => lost.push(format!("{class}: {name}")),
                (true, true) => lost.push(format!("{class}: {name} is in both lists")),
            }
        }
    }
    assert!(
        lost.is_empty(),
        "neither read nor reviewed:\n{}",
        lost.join("\n")
    );
    // The lists name nothing that no answer has.
    for (class, names) in READ {
        for name in *names {
            let there = found.get(class).is_some_and(|found| found.contains(*name));
            assert!(there, "{class}: {name} was never recorded");
        }
    }
}

#[tokio::test]
async fn what_is_not_read_makes_no_difference() {
    let Some(answers) = recorded() else {
        return;
    };
    let bare = without(&answers, not_read);
    let (before, after) = (
        observed(answers).await.unwrap(),
        observed(bare).await.unwrap(),
    );
    let (before, after) = (text(&before), text(&after));
    let differing: Vec<String> = before
        .lines()
        .zip(after.lines())
        .filter(|(before, after)| before != after)
        .map(|(before, after)| format!("{} / {}", before.trim(), after.trim()))
        .take(20)
        .collect();
    assert!(
        before == after,
        "a field of the list is read after all:\n{}",
        differing.join("\n")
    );
}

/// Each field that is said to be read changes the world when it is missing. One observation a field: a long mode.
#[tokio::test]
async fn what_is_read_makes_a_difference() {
    if std::env::var_os("BAILIWICK_LONG").is_none() {
        eprintln!("NOTICE: set BAILIWICK_LONG=1 to observe once without each field");
        return;
    }
    let Some(answers) = recorded() else {
        return;
    };
    let there = found(&read_from(&answers));
    let before = text(&observed(answers.clone()).await.unwrap());
    let mut idle = vec![];
    for (of, names) in READ {
        for name in names
            .iter()
            .filter(|name| there.get(of).is_some_and(|found| found.contains(**name)))
        {
            let less = without(&answers, |class, member| class == *of && member == *name);
            let same = observed(less)
                .await
                .is_ok_and(|world| text(&world) == before);
            let twice = fields::SAID_TWICE
                .iter()
                .any(|(class, member, _)| class == of && member == name);
            if same != twice {
                idle.push(format!("{of}: {name}"));
            }
        }
    }
    assert!(
        idle.is_empty(),
        "said to be read, but makes no difference (or the reverse):\n{}",
        idle.join("\n")
    );
}

/// Who may do what, worked out of what was read, is what the recorded host says of everybody.
#[tokio::test]
async fn every_permission_is_worked_out_as_recorded() {
    let Some(answers) = recorded() else {
        return;
    };
    let world = observed(answers.clone()).await.unwrap();
    assert_eq!(undecided(&world), []);
    let configuration = deciding(&world);
    let access = Access::new(&configuration);
    let (mut asked, mut compared) = (BTreeSet::new(), 0);
    for (target, (_, _, body)) in &answers.0 {
        let Some(query) = target.strip_prefix("/access/permissions") else {
            continue;
        };
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes())
                .into_owned()
                .collect();
        let principal = query.get("userid").map_or("root@pam!test", String::as_str);
        asked.insert(principal.to_owned());
        let body: Value = serde_json::from_str(body).unwrap();
        let listed = body["data"].as_object().unwrap();
        let flags = |value: &Value| -> BTreeMap<String, bool> {
            let flags = value.as_object().into_iter().flatten();
            flags
                .map(|(name, flag)| (name.clone(), *flag == json!(1)))
                .collect()
        };
        // Without a path every one is listed on which something is held.
        let mut paths: BTreeSet<String> = listed.keys().cloned().collect();
        if !query.contains_key("path") {
            // Pools are not listed for themselves, nor `/mapping`.
            let entries = configuration.entries.iter();
            let named: BTreeSet<&str> = entries.flat_map(|entry| ancestors(&entry.path)).collect();
            let is_listed = |path: &String| {
                named.contains(path.as_str()) || !(path.starts_with("/pool/") || path == "/mapping")
            };
            paths.extend(configuration.paths().into_iter().filter(is_listed));
        }
        for path in paths {
            let answer = access.on(principal, &path);
            let held = answer
                .privileges
                .iter()
                .map(|(name, flag)| ((*name).to_owned(), *flag));
            let wanted = listed.get(&path).map(flags).unwrap_or_default();
            assert_eq!(
                held.collect::<BTreeMap<_, _>>(),
                wanted,
                "{principal} on {path}"
            );
            compared += 1;
        }
    }
    assert!(
        asked.len() >= 14 && compared > 400,
        "{} {compared}",
        asked.len()
    );
}

#[tokio::test]
async fn every_setting_of_every_guest_is_kept() {
    let Some(answers) = recorded() else {
        return;
    };
    let world = observed(answers.clone()).await.unwrap();
    let (mut settings, mut lost) = (0, vec![]);
    for (path, data) in read_from(&answers) {
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "nodes", "pve1", "qemu" | "lxc", vmid, rest @ ..] = parts.as_slice() else {
            continue;
        };
        let config = &world.guests[&vmid.parse::<Vmid>().unwrap()].config;
        let kept = |section: &BTreeMap<String, String>, name: &str, value: &Value| {
            fields::READ_ONLY.iter().any(|(known, _)| *known == name)
                || section.get(name).map(String::as_str) == flat(value).as_deref()
        };
        match rest {
            ["pending"] => {
                for item in items(&data) {
                    let name = item["key"].as_str().unwrap();
                    settings += 1;
                    let value = &item["value"];
                    if !value.is_null() && !kept(&config.current, name, value) {
                        lost.push(format!("{path}: {name} = {value}"));
                    }
                    let waits = item.get("pending").is_some() || item.get("delete").is_some();
                    if waits != config.pending.iter().any(|pending| pending.key == name) {
                        lost.push(format!("{path}: what is pending of {name}"));
                    }
                }
            }
            ["snapshot", name, "config"] => {
                let section = &config.snapshots[*name].section;
                for (name, value) in data.as_object().unwrap() {
                    settings += 1;
                    if !kept(section, name, value) {
                        lost.push(format!("{path}: {name} = {value}"));
                    }
                }
            }
            _ => {}
        }
    }
    assert!(settings > 400, "{settings}");
    assert!(
        lost.is_empty(),
        "{} of {settings} lost:\n{}",
        lost.len(),
        lost.join("\n")
    );
}

fn flat(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The recording as it went on: the world is observed at the end of each scenario, from the last answer to each question.
#[tokio::test]
async fn every_stage_of_the_recording_is_observed() {
    let Some((_, records)) = single() else {
        return;
    };
    let mut answers = Answers::default();
    answers.put("/cluster/ha/rules", json!([]));
    let mut stages = 0;
    for (at, record) in records.iter().enumerate() {
        learn(&mut answers, record);
        let group = |record: &Value| {
            let group = record["group"].as_str().unwrap_or_default().to_owned();
            group.split('/').next().unwrap_or_default().to_owned()
        };
        let ends = records
            .get(at + 1)
            .is_none_or(|next| group(next) != group(record));
        if !ends || !answers.0.contains_key("/access/permissions") {
            continue;
        }
        let world = observed(answers.clone()).await.unwrap();
        stages += 1;
        assert_eq!(world.version, "9.1.8");
        assert_eq!(world.nodes.len(), 1);
        for part in [
            Part::Resources,
            Part::ClusterStatus,
            Part::Options,
            Part::Acl,
        ] {
            assert_eq!(
                world.unreadable(&part),
                None,
                "{part} after {}",
                record["n"]
            );
        }
        for (path, data) in read_from(&answers) {
            let parts: Vec<&str> = path.split('/').collect();
            let ["", "nodes", "pve1", "qemu" | "lxc", vmid, "pending"] = parts.as_slice() else {
                continue;
            };
            // A guest may be gone again while its last configuration is still among the answers.
            let Some(guest) = world.guests.get(&vmid.parse::<Vmid>().unwrap()) else {
                continue;
            };
            if world.unreadable(&Part::GuestConfig(guest.vmid)).is_none() {
                assert!(
                    guest.config.current.len() + 3
                        >= items(&data).len() - guest.config.pending.len()
                );
            }
        }
    }
    assert!(stages >= 3, "{stages}");
}
