//! A server's answers by heart: made up, or recorded from a whole cluster.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Reply, Seen};

/// Answers by path and query; what is not there is answered with 501.
#[derive(Clone, Default)]
pub struct Answers(pub BTreeMap<String, (u16, String, String)>);

impl Answers {
    pub fn put(&mut self, target: &str, data: Value) -> &mut Self {
        self.0.insert(
            target.to_owned(),
            (200, "OK".into(), json!({ "data": data }).to_string()),
        );
        self
    }

    pub fn refuse(&mut self, target: &str, status: u16, reason: &str) -> &mut Self {
        self.0.insert(
            target.to_owned(),
            (status, reason.to_owned(), "{\"data\":null}".into()),
        );
        self
    }

    pub fn answer(&self, seen: &Seen) -> Reply {
        let target = seen.target.strip_prefix("/api2/json").unwrap();
        match self.0.get(target) {
            Some((status, reason, body)) => Reply::Text(
                format!("{status} {reason}"),
                "application/json;charset=UTF-8",
                body.clone(),
            ),
            None => Reply::status(&format!("501 Method 'GET {target}' not implemented")),
        }
    }
}

/// The path of a recorded request, with query parameters as the client sends them.
pub fn target(record: &Value) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in record["params"].as_object().into_iter().flatten() {
        query.append_pair(
            key,
            &value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        );
    }
    let query = query.finish();
    let path = record["path"].as_str().unwrap();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// What a real cluster answered; `None` where the recording is not at hand.
pub fn recorded() -> Option<Answers> {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("proxmox/recorded/world-A.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!(
            "NOTICE: {} is not at hand; this test checked nothing",
            path.display()
        );
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let mut answers = Answers::default();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
        let reason = record["reason"]
            .as_str()
            .unwrap_or("OK")
            .replace(['\r', '\n'], " ");
        answers.0.insert(
            target(&record),
            (status, reason, record["body"].to_string()),
        );
    }
    // Of the nodes that do not answer, only some requests were recorded.
    for node in ["pve2", "pve3"] {
        answers.refuse(
            &format!("/nodes/{node}/status"),
            500,
            &format!("hostname lookup '{node}' failed"),
        );
    }
    Some(answers)
}
