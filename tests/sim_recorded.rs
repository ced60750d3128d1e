//! The simulator against recordings of a real Proxmox VE, where a folder with them is at hand (`../shared`, or what
//! `BAILIWICK_SHARED` names): status, reason, complaints and the shape of the data must be the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
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

/// Recordings by number whose answers differ, with what is lacking. A new difference fails the test.
const KNOWN: &[(u64, &str)] = &[
    (172, "process figures of running guests"),
    (225, "a hot-unplug that the guest refuses"),
    (234, "network counters"),
    (293, "reassigning a disk is named differently"),
    (379, "no vzdump"),
    (449, "no vzdump"),
    (451, "no vzdump"),
    (453, "no vzdump"),
    (455, "no restore"),
    (456, "no restore"),
    (458, "no restore"),
    (459, "no restore"),
    (460, "no restore"),
    (462, "no restore"),
    (463, "no restore"),
    (710, "network is not written"),
    (714, "network is not written"),
    (718, "network is not written"),
    (720, "network is not written"),
    (723, "network is not written"),
    (726, "network is not written"),
    (746, "names of HA runs are random"),
    (801, "no SDN"),
    (816, "no SDN"),
    (825, "no vzdump"),
    (826, "no vzdump"),
    (828, "logs are not answered as files"),
    (869, "no SDN, and HA state outlives its last resource"),
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

/// Parameters as a form has them: lists repeat their name.
fn pairs(params: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        other => other.to_string(),
    };
    let values = |value: &Value| match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => vec![text(other)],
    };
    let pair = |(name, value): (&String, &Value)| -> Vec<(String, String)> {
        values(value)
            .into_iter()
            .map(|value| (name.clone(), value))
            .collect()
    };
    params.iter().flat_map(pair).collect()
}

/// What was done by command line on the node: `qm set ID --lock NAME` and `qm unlock ID`.
fn out_of_band(cluster: &mut bailiwick::sim::state::Cluster, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (vmid, lock) = match words.as_slice() {
        ["qm", "set", vmid, "--lock", lock] => (*vmid, Some(*lock)),
        ["qm", "unlock", vmid] => (*vmid, None),
        _ => panic!("unknown command: {command}"),
    };
    let file = cluster.guest(vmid.parse().unwrap()).unwrap().file();
    let text = bailiwick::sim::state::with_lock(cluster.files.read(&file), lock);
    cluster.files.set(file, text);
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
        let file = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "nodes", node, "qemu", vmid, "config"] => {
                format!("nodes/{node}/qemu-server/{vmid}.conf")
            }
            ["", "nodes", node, "lxc", vmid, "config"] => format!("nodes/{node}/lxc/{vmid}.conf"),
            _ => "storage.cfg".to_owned(),
        };
        let digest = sim.running.with(|cluster| cluster.files.digest(&file));
        params.insert("digest".into(), digest.into());
    }
    let request = match (recorded["encoding"].as_str(), method.as_str()) {
        (Some("json"), _) => request.json(&params),
        (_, "POST" | "PUT") => request.form(&pairs(&params)),
        _ => request.query(&pairs(&params)),
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
    let mut differing = BTreeSet::new();
    for recorded in &recordings {
        if let Some(command) = recorded["out_of_band"].as_str() {
            sim.running.with(|cluster| out_of_band(cluster, command));
            continue;
        }
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
        compared += 1;
        let known = KNOWN.iter().any(|(known, _)| *known == number);
        for difference in differences(recorded, &got) {
            differing.insert(number);
            if !known {
                wrong.push(format!("{line}: {difference}"));
            }
        }
    }
    println!(
        "{compared} answers compared; not simulated: {}",
        unknown.len()
    );
    for line in &unknown {
        println!("  not simulated: {line}");
    }
    println!("differing: {differing:?}");
    assert!(compared > 600, "only {compared} compared");
    let healed: Vec<u64> = KNOWN
        .iter()
        .map(|(number, _)| *number)
        .filter(|number| !differing.contains(number))
        .collect();
    assert!(
        healed.is_empty(),
        "no longer different, take out of KNOWN: {healed:?}"
    );
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
