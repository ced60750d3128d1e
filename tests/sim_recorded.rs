//! The simulator against recordings of a real Proxmox VE, where a folder with them is at hand (`../shared`, or what
//! `BAILIWICK_SHARED` names): status, reason, complaints and the shape of the data must be the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "sim/client.rs"]
#[allow(dead_code)]
mod client;

use std::collections::{BTreeMap, BTreeSet};

use client::{Reply, Sim, reply};
use serde_json::Value;

/// The state the recordings begin with.
const WORLD: &str = "
broadcast: 0
nodes: { pve1: { cpus: 2, ip: 10.99.0.11 } }
passwords: { 'aud@pve': recorded-aud-pw, 'root@pam': recorded-root-pw }
secrets: { 'root@pam!test': root, 'aud@pve!ro': aud, 'lim@pve!none': lim }
storages:
  local: { volumes: [ { volid: 'local:vztmpl/alpine-3.20-default_20240908_amd64.tar.gz', node: pve1, size: 1067834, format: tgz } ] }
files:
  nodes/pve1/interfaces: |
    iface eno1 inet manual
    auto vmbr0
    iface vmbr0 inet static
    \taddress 10.99.0.11/24
    \tgateway 10.99.0.1
    \tbridge-ports eno1
    \tbridge-stp off
    \tbridge-fd 0
  user.cfg: |
    user:aud@pve:1:0::::::
    token:aud@pve!ro:0:0::
    user:lim@pve:1:0::::::
    token:lim@pve!none:0:0::
    user:root@pam:1:0::::::
    token:root@pam!test:0:0::
    acl:1:/:aud@pve:PVEAuditor:
";

/// Groups that need no guests.
const GROUPS: &[&str] = &[
    "basics",
    "cluster",
    "storage",
    "storage/task",
    "pools",
    "access",
];

/// Recordings by number that need what the simulator does not have, each with the reason.
const APART: &[(u64, &str)] = &[
    (26, "lists rooms that are not simulated"),
    (37, "no cluster log"),
    (551, "state of recordings left out"),
    (556, "state of recordings left out"),
];

fn recordings() -> Option<Vec<Value>> {
    let folder = std::env::var("BAILIWICK_SHARED")
        .unwrap_or_else(|_| format!("{}/../shared", env!("CARGO_MANIFEST_DIR")));
    let text =
        std::fs::read_to_string(format!("{folder}/proxmox/recorded/pve-9.1.8.jsonl")).ok()?;
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

/// The shape of data: names of members, types of values; lists by the union of their elements' members.
fn shape(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                shape(value, &format!("{path}.{name}"), into);
            }
        }
        Value::Array(items) => {
            into.insert(format!("{path}[]"));
            for item in items {
                shape(item, &format!("{path}[]"), into);
            }
        }
        Value::Null => drop(into.insert(format!("{path}: null"))),
        Value::Bool(_) => drop(into.insert(format!("{path}: boolean"))),
        Value::Number(_) => drop(into.insert(format!("{path}: number"))),
        Value::String(_) => drop(into.insert(format!("{path}: string"))),
    }
}

fn differences(recorded: &Value, got: &Reply) -> Vec<String> {
    let mut found = vec![];
    let status = recorded["status"].as_u64().unwrap();
    if u64::from(got.status) != status {
        return vec![format!(
            "status {status}, got {} {}",
            got.status, got.reason
        )];
    }
    let reason = recorded["reason"].as_str().unwrap();
    if status != 200 && reason != got.reason {
        found.push(format!("reason '{reason}', got '{}'", got.reason));
    }
    for name in ["errors", "message"] {
        if status != 200 && recorded["body"].is_object() && recorded["body"][name] != got.body[name]
        {
            found.push(format!(
                "{name} {}, got {}",
                recorded["body"][name], got.body[name]
            ));
        }
    }
    let (mut want, mut have) = (BTreeSet::new(), BTreeSet::new());
    shape(&recorded["body"]["data"], "", &mut want);
    shape(&got.body["data"], "", &mut have);
    found.extend(want.difference(&have).map(|line| format!("lacks {line}")));
    found.extend(have.difference(&want).map(|line| format!("adds {line}")));
    found
}

async fn replay(sim: &Sim, recorded: &Value, upids: &BTreeMap<String, String>) -> Option<Reply> {
    let mut path = recorded["path"].as_str()?.to_owned();
    let encode = |upid: &str| {
        upid.replace(':', "%3A")
            .replace('@', "%40")
            .replace('!', "%21")
    };
    for (theirs, ours) in upids {
        path = path.replace(&encode(theirs), &encode(ours));
    }
    let secret = match recorded["auth"].as_str()? {
        "root" => Some("root@pam!test=root"),
        "aud" => Some("aud@pve!ro=aud"),
        "lim" => Some("lim@pve!none=lim"),
        "nobody" => None,
        _ => return None,
    };
    let method = reqwest::Method::from_bytes(recorded["method"].as_str()?.as_bytes()).unwrap();
    let url = format!("{}/api2/json{path}", sim.running.url());
    let mut request = sim.http.request(method.clone(), url);
    if let Some(secret) = secret {
        request = request.header("authorization", format!("PVEAPIToken={secret}"));
    }
    let mut params = recorded["params"].as_object().cloned().unwrap_or_default();
    if recorded["status"] == 200 && params.contains_key("digest") {
        params.insert(
            "digest".into(),
            sim.running
                .with(|cluster| cluster.files.digest("storage.cfg"))
                .into(),
        );
    }
    let request = match (recorded["encoding"].as_str(), method.as_str()) {
        (Some("json"), _) => request.json(&params),
        (_, "POST" | "PUT") => request.form(&params),
        _ => request.query(&params),
    };
    Some(reply(request.send().await.unwrap()).await)
}

#[tokio::test]
async fn answers_as_recorded() {
    let Some(recordings) = recordings() else {
        println!("NOTICE: no recordings found (set BAILIWICK_SHARED); nothing compared");
        return;
    };
    let sim = Sim::start(WORLD, 1000.0).await;
    let mut upids = BTreeMap::new();
    let (mut compared, mut unknown, mut wrong) = (0, BTreeSet::new(), vec![]);
    for recorded in recordings
        .iter()
        .filter(|line| GROUPS.contains(&line["group"].as_str().unwrap_or("")))
    {
        let number = recorded["n"].as_u64().unwrap();
        if recorded["ext"].is_string() {
            continue;
        }
        sim.running.advance(10.0);
        let Some(got) = replay(&sim, recorded, &upids).await else {
            continue;
        };
        if let (Some(theirs), Some(ours)) =
            (recorded["body"]["data"].as_str(), got.body["data"].as_str())
            && theirs.starts_with("UPID:")
        {
            upids.insert(theirs.to_owned(), ours.to_owned());
        }
        let line = format!(
            "{number} {} {} {}",
            recorded["method"], recorded["path"], recorded["params"]
        );
        if got.status == 501 && recorded["status"] != 501 {
            unknown.insert(line);
            continue;
        }
        if APART.iter().any(|(apart, _)| *apart == number) {
            continue;
        }
        compared += 1;
        for difference in differences(recorded, &got) {
            wrong.push(format!("{line}: {difference}"));
        }
    }
    println!(
        "{compared} answers compared; not simulated: {}",
        unknown.len()
    );
    for line in &unknown {
        println!("  not simulated: {line}");
    }
    assert!(compared > 100, "only {compared} compared");
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
