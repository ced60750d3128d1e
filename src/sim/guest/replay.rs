//! The configurations of a recorded cluster, read back by the simulator, where a folder with recordings is at hand. What
//! was asked and answered one after another is replayed over the wire, by `tests/sim_recorded.rs`.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::recorded;
use crate::sim::call::{Auth, Call, Method};
use crate::sim::router::{self, Router};
use crate::sim::state::Cluster;

const WORLD: &str = r#"
nodes: { pve1: { ip: 10.99.0.11, cpus: 2, memory: 24G, bridges: [vmbr0] } }
storages:
  local:
    total: 1T
    volumes:
      - { volid: "local:vztmpl/alpine-3.20-default_20240908_amd64.tar.gz", node: pve1, size: 3M, format: tgz }
files:
  storage.cfg: "dir: local\n\tpath /var/lib/vz\n\tcontent rootdir,vztmpl,snippets,images,import,iso,backup\n\tprune-backups keep-all=1\n"
  user.cfg: "user:root@pam:1:0::::::\ntoken:root@pam!test:0:0::\nuser:aud@pve:1:0::::::\ntoken:aud@pve!ro:0:0::\nuser:lim@pve:1:0::::::\ntoken:lim@pve!none:0:0::\nacl:1:/:aud@pve:PVEAuditor:\n"
"#;

#[derive(Debug)]
struct Line {
    method: Method,
    auth: &'static str,
    path: String,
    params: BTreeMap<String, String>,
    status: u16,
    body: Value,
}

fn line(record: &Value) -> Option<Line> {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let auth = match text("auth") {
        "root" => "root@pam!test",
        "aud" => "aud@pve!ro",
        "lim" => "lim@pve!none",
        _ => return None,
    };
    let params = record["params"].as_object().cloned().unwrap_or_default();
    let params = params.into_iter().map(|(key, value)| {
        let value = match value {
            Value::String(text) => text,
            Value::Bool(flag) => u8::from(flag).to_string(),
            other => other.to_string(),
        };
        (key, value)
    });
    Some(Line {
        method: Method::parse(text("method"))?,
        auth,
        path: text("path").to_owned(),
        params: params.collect(),
        status: u16::try_from(record["status"].as_u64()?).ok()?,
        body: record["body"].clone(),
    })
}

fn ask(cluster: &mut Cluster, router: &Router, line: &Line, path: &str) -> (u16, Value) {
    let segments: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            percent_encoding::percent_decode_str(part)
                .decode_utf8_lossy()
                .into_owned()
        })
        .collect();
    let Some((route, variables)) = router.find(line.method, &segments) else {
        return (501, Value::Null);
    };
    let call = Call {
        method: line.method,
        path: format!("/{}", segments.join("/")),
        auth: Auth::new(line.auth),
        params: line.params.clone(),
    };
    cluster.tick();
    match router::run(cluster, &route, variables, call) {
        Ok(answer) => (200, json!({ "data": answer })),
        Err(error) => {
            let mut body = json!({"data": null, "message": format!("{}\n", error.message)});
            if !error.errors.is_empty() {
                body["errors"] = json!(error.errors);
            }
            (error.status, body)
        }
    }
}

fn steady(value: &Value, patterns: &[(Regex, &str)]) -> Value {
    match value {
        Value::Object(map) => {
            let volatile = [
                "digest",
                "starttime",
                "pid",
                "pstart",
                "uptime",
                "cpu",
                "mem",
                "memhost",
                "netin",
                "netout",
                "disk",
                "diskread",
                "diskwrite",
                "nics",
                "snaptime",
                "total",
            ];
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let kept: Map<String, Value> = sorted
                .into_iter()
                .filter(|(key, _)| {
                    !volatile.contains(&key.as_str()) && !key.starts_with("pressure")
                })
                .map(|(key, value)| (key.clone(), steady(value, patterns)))
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| steady(item, patterns)).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::String(text) => {
            let mut text = text.clone();
            for (pattern, word) in patterns {
                text = pattern.replace_all(&text, *word).into_owned();
            }
            Value::String(text)
        }
        other => other.clone(),
    }
}

/// Every configuration of a recorded cluster reads back as it did from Proxmox VE.
#[test]
fn recorded_configurations_read_the_same() {
    let (Some(folder), Some(files)) = (recorded::folder(), recorded::files()) else {
        return;
    };
    let mut world = WORLD
        .replace("vmbr0] }", "vmbr0] }, pve2: {}, pve3: {} }")
        .replace("} }\nstorages", "}\nstorages");
    for (path, text) in files {
        let path = path
            .trim_start_matches("./")
            .trim_start_matches("etc/pve/")
            .to_owned();
        world.push_str(&format!("  {}: {}\n", json!(path), json!(text)));
    }
    let mut cluster = crate::sim::worldfile::read(&world, 1.0).unwrap();
    let router = Router::new(crate::sim::routes());
    let packed = std::fs::read(folder.join("world-A.jsonl.gz")).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(packed.as_slice()),
        &mut text,
    )
    .unwrap();
    let (mut same, mut different) = (0, Vec::new());
    for mut record in text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        record["auth"] = json!("root");
        let Some(line) = line(&record) else { continue };
        let wanted = ["/config", "/pending", "/snapshot"]
            .iter()
            .any(|word| line.path.contains(word));
        let guest =
            line.path.starts_with("/nodes/pve1/qemu/") || line.path.starts_with("/nodes/pve1/lxc/");
        if !wanted || !guest || line.path.contains("firewall") {
            continue;
        }
        let path = line.path.clone();
        let (status, mut body) = ask(&mut cluster, &router, &line, &path);
        // Whether guests run is not in their files.
        let mut theirs = line.body.clone();
        for answer in [&mut theirs, &mut body] {
            for entry in answer["data"].as_array_mut().into_iter().flatten() {
                entry
                    .as_object_mut()
                    .and_then(|entry| entry.remove("running"));
            }
        }
        let (theirs, ours) = (steady(&theirs, &[]), steady(&body, &[]));
        if line.status == status && theirs == ours {
            same += 1;
        } else {
            different.push(format!(
                "{path} {:?}\n  theirs {} {theirs}\n  ours   {status} {ours}",
                line.params, line.status
            ));
        }
    }
    assert!(same > 60, "only {same} agree");
    assert!(
        different.is_empty(),
        "{same} agree, {} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
