//! The recordings: where they are, and one line of them.

use serde_json::{Map, Value};

/// One request and its answer, or something done on the node's command line.
pub enum Line {
    Request(Box<Recorded>),
    OutOfBand(String),
}

/// One request as it was sent, and what came back.
pub struct Recorded {
    pub n: u64,
    pub auth: String,
    pub method: String,
    /// Below `/api2/json`, percent-encoded as sent.
    pub path: String,
    pub params: Map<String, Value>,
    pub json: bool,
    pub extjs: bool,
    pub status: u16,
    pub reason: String,
    pub content_type: String,
    pub body: Value,
    pub note: String,
}

impl Recorded {
    /// Number, method, path and parameters, for people.
    pub fn title(&self) -> String {
        let mut title = format!("{} {} {}", self.n, self.method, self.path);
        if !self.params.is_empty() {
            title.push_str(&format!(" {}", Value::Object(self.params.clone())));
        }
        title
    }
}

/// All lines in order; `None` (and a notice) where they are not at hand.
#[allow(clippy::print_stderr)]
pub fn read() -> Option<Vec<Line>> {
    let folder = std::env::var("BAILIWICK_SHARED")
        .unwrap_or_else(|_| format!("{}/../shared", env!("CARGO_MANIFEST_DIR")));
    let path = format!("{folder}/proxmox/recorded/pve-9.1.8.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("NOTICE: {path} is not at hand (set BAILIWICK_SHARED); nothing was replayed");
        return None;
    };
    Some(
        text.lines()
            .map(|line| parse(&serde_json::from_str(line).unwrap()))
            .collect(),
    )
}

fn parse(record: &Value) -> Line {
    if let Some(command) = record["out_of_band"].as_str() {
        return Line::OutOfBand(command.to_owned());
    }
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    Line::Request(Box::new(Recorded {
        n: record["n"].as_u64().unwrap(),
        auth: text("auth"),
        method: text("method"),
        path: text("path"),
        params: record["params"].as_object().cloned().unwrap_or_default(),
        json: record["encoding"] == "json",
        extjs: record["ext"] == "extjs",
        status: u16::try_from(record["status"].as_u64().unwrap()).unwrap(),
        reason: text("reason"),
        content_type: text("content_type"),
        body: record["body"].clone(),
        note: text("note"),
    }))
}
