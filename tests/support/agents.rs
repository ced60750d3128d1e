//! Agents that talk to a real server over real HTTP: a play, the service and `serve` in this process, and a small client of MCP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bailiwick::approval::Principal;
use bailiwick::configuration::load_configuration;
use bailiwick::mcp;
use bailiwick::serve::{self, Running};
use bailiwick::service::agents::Life;
use bailiwick::service::{Environment, Service, Tuning};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::play::{Play, Setup};

/// The revision of the protocol that the small client speaks.
pub const REVISION: &str = "2025-11-25";

/// A play with a server in front.
pub struct Desk {
    pub running: Option<Running>,
    pub service: Service,
    pub ahead: Arc<AtomicI64>,
    pub play: Play,
}

/// A service on a play's configuration, in this process; its clock can be set ahead by seconds.
pub async fn service(play: &Play, file: &str, ahead: Arc<AtomicI64>) -> Service {
    let configuration = load_configuration(&play.path(file)).unwrap();
    let environment = Environment {
        variable: Arc::new(|_| None),
        clock: Arc::new(move || {
            Timestamp::now() + SignedDuration::from_secs(ahead.load(Ordering::Relaxed))
        }),
    };
    let tuning = Tuning {
        poll: Duration::from_millis(10),
        settle: Duration::from_millis(400),
        ..Tuning::default()
    };
    Service::open(configuration, environment, tuning)
        .await
        .unwrap()
}

/// Options for tests: a free port, and nothing kept between looks.
pub fn options() -> serve::Options {
    let mut options = serve::Options::of(&Default::default());
    options.listen.set_port(0);
    options.grace = Duration::from_secs(2);
    options.mcp = mcp::Options {
        budget: mcp::Budget {
            most: 1e9,
            per_second: 1e9,
            waiting: 8,
        },
        glances: bailiwick::service::resources::Glances::new(Duration::ZERO),
        ..mcp::Options::default()
    };
    options
}

impl Desk {
    pub fn new() -> Self {
        Self::with(Setup::default(), options())
    }

    pub fn with(setup: Setup, options: serve::Options) -> Self {
        let play = Play::with(setup);
        let ahead = Arc::new(AtomicI64::new(0));
        let (service, running) = play.block_on(async {
            let service = service(&play, "bailiwick.yaml", ahead.clone()).await;
            let running = serve::start(service.clone(), options).await.unwrap();
            (service, running)
        });
        Self {
            running: Some(running),
            service,
            ahead,
            play,
        }
    }

    /// Keeps the world as it is now, as a running loop does: until it is kept anew, nobody observes to look or to plan.
    pub fn keep(&self) {
        self.play.block_on(async {
            let cluster = self.service.cluster(None).unwrap();
            let world = self.service.observe(cluster).await.unwrap();
            let good_until = self.service.now() + SignedDuration::from_hours(1000);
            self.service
                .worlds()
                .keep(Arc::new(world), good_until, None);
        });
    }

    pub fn url(&self) -> String {
        self.running.as_ref().unwrap().url()
    }

    /// A fresh token of an agent.
    pub fn token(&self, name: &str) -> String {
        let anna = Principal::person("anna").unwrap();
        self.play.block_on(async {
            let added = self.service.add_agent(name, Life::default(), &anna).await;
            added.unwrap().token.show().to_owned()
        })
    }

    /// An agent with a fresh token.
    pub fn agent(&self, name: &str) -> Agent {
        Agent::new(&self.url(), &self.token(name))
    }

    /// Asks as an agent and waits.
    pub fn call(&self, agent: &Agent, tool: &str, arguments: Value) -> Result<Value, Value> {
        self.play.block_on(agent.call(tool, arguments))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.play.block_on(running.stop());
        }
    }
}

/// A small client of MCP.
#[derive(Clone)]
pub struct Agent {
    pub http: reqwest::Client,
    pub url: String,
    pub token: String,
    id: Arc<AtomicU64>,
}

/// A client for plain HTTP.
pub fn plain() -> reqwest::Client {
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .build()
        .unwrap()
}

impl Agent {
    pub fn new(url: &str, token: &str) -> Self {
        Self {
            http: plain(),
            url: format!("{url}/mcp"),
            token: token.to_owned(),
            id: Arc::default(),
        }
    }

    /// A request that is ready but for its body.
    pub fn post(&self) -> reqwest::RequestBuilder {
        self.http
            .post(&self.url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", REVISION)
    }

    /// The body of a request.
    pub fn body(&self, method: &str, params: Value) -> Value {
        let id = self.id.fetch_add(1, Ordering::Relaxed);
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
    }

    /// Sends a request; status and body.
    pub async fn send(&self, method: &str, params: Value) -> (u16, String) {
        let body = self.body(method, params);
        let answer = self.post().json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Asks; the answer's `result`, or its `error`.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, Value> {
        let (status, text) = self.send(method, params).await;
        // A tool that tells its progress answers as a stream; the answer is its last event.
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .rfind(|line| line.contains("\"jsonrpc\""))
            .unwrap_or(&text);
        let answer: Value = serde_json::from_str(last.trim())
            .unwrap_or_else(|error| panic!("{status} {error}: {text}"));
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].clone()),
        }
    }

    /// Calls a tool whose whole result is wanted.
    pub async fn result(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask("tools/call", params)
            .await
            .unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    /// Calls a tool; its structured answer, or the error it gave.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Value> {
        let result = self.result(tool, arguments).await;
        if result["isError"] == true {
            let text = result["content"][0]["text"].as_str().unwrap();
            let error: Value = serde_json::from_str(text).unwrap();
            return Err(error["error"].clone());
        }
        Ok(result["structuredContent"].clone())
    }
}

/// The text of a tool's result.
pub fn text_of(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

/// What a value does not keep of a JSON Schema, as far as the tools' schemas go.
pub fn complaints(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "$", &mut found);
    found
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else {
        return;
    };
    let known = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "description",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "anyOf",
        "default",
    ];
    for key in schema.keys() {
        assert!(
            known.contains(&key.as_str()),
            "{at}: the test's validator knows no `{key}`"
        );
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        if !any.iter().any(|one| complaints(one, value).is_empty()) {
            found.push(format!("{at}: fits none of {any:?}"));
        }
        return;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        found.push(format!("{at}: {value} is none of {types:?}"));
        return;
    }
    if let Some(object) = value.as_object() {
        let properties: BTreeMap<&str, &Value> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str(), schema))
            .collect();
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !object.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}: lacks {name}"));
            }
        }
        for (name, field) in object {
            match (
                properties.get(name.as_str()),
                schema.get("additionalProperties"),
            ) {
                (Some(schema), _) => check(schema, field, &format!("{at}.{name}"), found),
                (None, Some(schema)) if schema.is_object() => {
                    check(schema, field, &format!("{at}.{name}"), found);
                }
                (None, Some(Value::Bool(true))) => {}
                (None, None) if properties.is_empty() => {}
                (None, _) => found.push(format!("{at}: `{name}` is not in the schema")),
            }
        }
    }
    if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
        for (index, item) in array.iter().enumerate() {
            check(items, item, &format!("{at}[{index}]"), found);
        }
    }
}
