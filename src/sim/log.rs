//! The log of requests, for tests and for whoever asks what a client did.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Serialize;

/// One request, as it was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Running number, from 1.
    pub n: u64,
    /// Method.
    pub method: String,
    /// Path below `/api2/json`, decoded.
    pub path: String,
    /// Parameters, with secrets replaced.
    pub params: BTreeMap<String, String>,
    /// User or token; empty for nobody.
    pub user: String,
    /// Status; 0 if the connection was dropped instead.
    pub status: u16,
    /// The error's message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// All requests so far, also written to a file if there is one.
#[derive(Debug, Default)]
pub struct Log {
    /// In order.
    pub entries: Vec<Entry>,
    /// Where each is written as a line of JSON.
    pub file: Option<std::fs::File>,
}

impl Log {
    /// Adds a request under the next number.
    pub fn add(&mut self, mut entry: Entry) {
        entry.n = self.entries.len() as u64 + 1;
        if let (Some(file), Ok(line)) = (&mut self.file, serde_json::to_string(&entry)) {
            let _ = writeln!(file, "{line}");
        }
        self.entries.push(entry);
    }
}

/// Parameters with secrets replaced.
#[must_use]
pub fn redacted(params: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let secret = |name: &str| {
        matches!(
            name,
            "password" | "cipassword" | "keyring" | "encryption-key" | "otp"
        )
    };
    let hide = |(name, value): (&String, &String)| {
        (
            name.clone(),
            if secret(name) {
                "(secret)".to_owned()
            } else {
                value.clone()
            },
        )
    };
    params.iter().map(hide).collect()
}
