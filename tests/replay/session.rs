//! Sending what was recorded to the simulator, over TLS: the same credentials, parameters and encoding. What the server
//! chose itself and the client must give back (UPIDs, digests, tickets, an archive's name) is translated.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::client::{Reply, Sim, reply};
use super::recording::Recorded;

/// The secrets of the tokens in the recorded starting state.
pub const SECRETS: &[(&str, &str)] = &[
    ("root@pam!test", "9e1f6a52-0000-4000-8000-000000000001"),
    ("aud@pve!ro", "9e1f6a52-0000-4000-8000-000000000002"),
    ("lim@pve!none", "9e1f6a52-0000-4000-8000-000000000003"),
];

/// The simulator, and what its names for things are.
pub struct Session {
    pub sim: Sim,
    /// Their word for something to ours.
    ours: BTreeMap<String, String>,
    ticket: Option<(String, String)>,
}

fn encoded(word: &str) -> String {
    [
        (':', "%3A"),
        ('@', "%40"),
        ('!', "%21"),
        ('>', "%3E"),
        ('/', "%2F"),
    ]
    .iter()
    .fold(word.to_owned(), |word, (plain, code)| {
        word.replace(*plain, code)
    })
}

impl Session {
    pub fn new(sim: Sim) -> Self {
        Self {
            sim,
            ours: BTreeMap::new(),
            ticket: None,
        }
    }

    /// Sends a recorded request as it was sent.
    pub async fn send(&mut self, line: &Recorded) -> Reply {
        let method = reqwest::Method::from_bytes(line.method.as_bytes()).unwrap();
        let formatter = if line.extjs { "extjs" } else { "json" };
        let path = self.translate(&line.path);
        let url = format!("{}/api2/{formatter}{path}", self.sim.running.url());
        let mut request = self.sim.http.request(method, url);
        for (name, value) in self.credentials(line) {
            request = request.header(name, value);
        }
        self.know_digest(line, &path).await;
        let params = self.params(&line.params);
        let body = matches!(line.method.as_str(), "POST" | "PUT" | "PATCH");
        let request = match (line.json, body) {
            (true, _) => request.json(&params),
            (_, true) => request.form(&pairs(&params)),
            _ => request.query(&pairs(&params)),
        };
        let got = reply(request.send().await.unwrap()).await;
        self.learn(line, &got);
        got
    }

    /// A digest that was sent and accepted, but never seen in an answer, was read by a request that was not recorded.
    async fn know_digest(&mut self, line: &Recorded, path: &str) {
        let Some(theirs) = line.params.get("digest").and_then(Value::as_str) else {
            return;
        };
        if line.status != 200 || self.ours.contains_key(theirs) {
            return;
        }
        let url = format!("{}/api2/json{path}", self.sim.running.url());
        let mut request = self.sim.http.get(url);
        for (name, value) in self.credentials(line) {
            request = request.header(name, value);
        }
        let got = reply(request.send().await.unwrap()).await;
        if let Some(ours) = got.body["data"]["digest"].as_str() {
            self.ours.insert(theirs.into(), ours.into());
        }
    }

    /// The header fields that say who asks. What was sent with broken credentials is told by the line's note.
    fn credentials(&self, line: &Recorded) -> Vec<(&'static str, String)> {
        let token =
            |id: &str, secret: &str| vec![("authorization", format!("PVEAPIToken={id}={secret}"))];
        let own = |id: &str| {
            let (id, secret) = SECRETS.iter().find(|(token, _)| *token == id).unwrap();
            token(id, secret)
        };
        let ticket = || {
            let (ticket, _) = self.ticket.as_ref().unwrap();
            ("cookie", format!("PVEAuthCookie={}", encoded(ticket)))
        };
        match (line.auth.as_str(), line.note.as_str()) {
            ("root", _) => own("root@pam!test"),
            ("aud", _) => own("aud@pve!ro"),
            ("lim", _) => own("lim@pve!none"),
            ("nobody", _) => vec![],
            ("x", "wrong secret") => token("root@pam!test", "00000000-0000-4000-8000-000000000000"),
            ("x", "unknown token") => {
                token("root@pam!nosuch", "00000000-0000-4000-8000-000000000000")
            }
            ("x", "malformed token") => vec![("authorization", "PVEAPIToken=junk".into())],
            ("x", "another scheme") => vec![("authorization", "Bearer junk".into())],
            ("ticket-aud", note) if note.contains("no CSRF") => vec![ticket()],
            ("ticket-aud", note) if note.contains("wrong CSRF") => {
                vec![ticket(), ("csrfpreventiontoken", "00000000:wrong".into())]
            }
            ("ticket-aud", _) => {
                let (_, csrf) = self.ticket.as_ref().unwrap();
                vec![ticket(), ("csrfpreventiontoken", csrf.clone())]
            }
            (auth, note) => panic!("unknown credentials: {auth} ({note})"),
        }
    }

    /// Their answer with our names in it.
    pub fn translated(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.translate(text)),
            Value::Array(items) => items.iter().map(|item| self.translated(item)).collect(),
            Value::Object(members) => {
                let entry =
                    |(name, value): (&String, &Value)| (name.clone(), self.translated(value));
                Value::Object(members.iter().map(entry).collect())
            }
            other => other.clone(),
        }
    }

    fn translate(&self, text: &str) -> String {
        // Only what looks like a name that the server gave is looked up.
        let given = text.contains("UPID") || text.contains("vzdump-") || text.len() == 40;
        if !given {
            return text.to_owned();
        }
        let mut text = text.to_owned();
        for (theirs, ours) in &self.ours {
            if text.contains(theirs.as_str()) {
                text = text.replace(theirs, ours);
            }
            if theirs.contains(':') && text.contains('%') {
                text = text.replace(&encoded(theirs), &encoded(ours));
            }
        }
        text
    }

    fn params(&self, params: &Map<String, Value>) -> Map<String, Value> {
        let translated = |value: &Value| match value {
            Value::String(text) => Value::String(self.translate(text)),
            other => other.clone(),
        };
        params
            .iter()
            .map(|(name, value)| (name.clone(), translated(value)))
            .collect()
    }

    /// Remembers what the server named itself.
    fn learn(&mut self, line: &Recorded, got: &Reply) {
        if line.status != 200 || got.status != 200 {
            return;
        }
        let (theirs, ours) = (&line.body["data"], &got.body["data"]);
        if let (Some(theirs), Some(ours)) = (theirs.as_str(), ours.as_str())
            && theirs.starts_with("UPID:")
        {
            self.ours.insert(theirs.into(), ours.into());
        }
        if let (Some(ticket), Some(csrf)) = (
            ours["ticket"].as_str(),
            ours["CSRFPreventionToken"].as_str(),
        ) && line.params["username"] == "aud@pve"
        {
            self.ticket = Some((ticket.into(), csrf.into()));
        }
        self.pair(theirs, ours);
    }

    /// A word of theirs and one of ours mean the same from now on; neither may mean another.
    fn know(&mut self, theirs: &str, ours: &str) {
        let known = self.ours.contains_key(theirs) || self.ours.values().any(|known| known == ours);
        if !known {
            self.ours.insert(theirs.into(), ours.into());
        }
    }

    /// A task of theirs that ours stands for.
    pub fn same_task(&mut self, theirs: &str, ours: &str) {
        self.know(theirs, ours);
    }

    /// Digests and archive names at the same place of both answers are each other's.
    fn pair(&mut self, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => {
                // In a list of pending settings the digest is one of them.
                if let (Some("digest"), Some(theirs), Some(ours)) = (
                    theirs.get("key").and_then(Value::as_str),
                    theirs.get("value").and_then(Value::as_str),
                    ours.get("value").and_then(Value::as_str),
                ) && ours.len() == theirs.len()
                {
                    self.know(theirs, ours);
                }
                for (name, value) in theirs {
                    let own = ours.get(name).unwrap_or(&Value::Null);
                    if let (Some(theirs), Some(ours)) = (value.as_str(), own.as_str())
                        && (name == "digest" || (name == "volid" && theirs.contains("vzdump-")))
                    {
                        self.know(theirs, ours);
                    }
                    self.pair(value, own);
                }
            }
            (Value::Array(theirs), Value::Array(ours)) => {
                let key = |item: &Value| {
                    let known = ["key", "volid", "storage", "name"]
                        .iter()
                        .find_map(|name| item.get(*name));
                    known.map_or_else(String::new, self_named)
                };
                for theirs in theirs {
                    let same = |ours: &&Value| key(ours) == key(theirs);
                    if let Some(ours) = ours.iter().find(same) {
                        self.pair(theirs, ours);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A name without the time in it.
fn self_named(name: &Value) -> String {
    let text = name.to_string();
    text.split("-20").next().unwrap_or_default().to_owned()
}

/// Parameters as a form has them: lists repeat their name.
fn pairs(params: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        other => other.to_string(),
    };
    let mut pairs = vec![];
    for (name, value) in params {
        match value {
            Value::Array(items) => {
                pairs.extend(items.iter().map(|item| (name.clone(), text(item))))
            }
            value => pairs.push((name.clone(), text(value))),
        }
    }
    pairs
}
