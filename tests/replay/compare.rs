//! Whether two answers are the same, once what no two runs share is taken out of both.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use super::client::Reply;
use super::recording::Recorded;
use super::volatile::{LINES, LOGS, TEXTS, VALUES};

/// The reviewed tables, compiled.
pub struct Volatile {
    texts: Vec<(Regex, &'static str)>,
    values: Vec<(Regex, Regex)>,
    lines: Vec<(u64, Regex)>,
}

impl Volatile {
    pub fn new() -> Self {
        let whole = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).unwrap();
        Self {
            texts: TEXTS
                .iter()
                .map(|(pattern, word, _)| (Regex::new(pattern).unwrap(), *word))
                .collect(),
            values: VALUES
                .iter()
                .map(|(path, members, _)| (whole(path), whole(members)))
                .collect(),
            lines: LINES
                .iter()
                .map(|(n, members, _)| (*n, whole(members)))
                .collect(),
        }
    }

    /// A value without what is volatile: of that only the type is left. Lists are sorted, as Perl gives no order; where
    /// order matters, the elements say their position. So is a storage's `content`, which is a set.
    fn steady(&self, here: &[&Regex], at: &str, value: &Value) -> Value {
        if !at.is_empty() && here.iter().any(|members| members.is_match(at)) {
            return Value::String(format!("<{}>", kind(value)));
        }
        match value {
            Value::Object(members) => {
                // In order of their names: lists are sorted by the text of their elements.
                let members: BTreeMap<String, Value> = members
                    .iter()
                    .map(|(name, value)| {
                        let name = self.text(name);
                        let inner = if at.is_empty() {
                            name.clone()
                        } else {
                            format!("{at}.{name}")
                        };
                        (name, self.steady(here, &inner, value))
                    })
                    .collect();
                Value::Object(members.into_iter().collect())
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items
                    .iter()
                    .map(|item| self.steady(here, at, item))
                    .collect();
                items.sort_by_key(sort_key);
                Value::Array(items)
            }
            Value::String(text) if at.ends_with("content") => {
                let mut words: Vec<&str> = text.split(',').collect();
                words.sort_unstable();
                Value::String(words.join(","))
            }
            Value::String(text) => Value::String(self.text(text)),
            other => other.clone(),
        }
    }

    /// A text without times, identifiers and the like.
    pub fn text(&self, text: &str) -> String {
        self.texts
            .iter()
            .fold(text.to_owned(), |text, (pattern, word)| {
                pattern.replace_all(&text, *word).into_owned()
            })
    }

    /// What differs between the recorded answer (with our names in its body) and ours.
    pub fn differences(&self, line: &Recorded, theirs: &Value, got: &Reply) -> Vec<String> {
        if got.status != line.status {
            return vec![format!(
                "status {} {}, got {} {}",
                line.status, line.reason, got.status, got.reason
            )];
        }
        let mut found = vec![];
        // A reason that is the status's own is not handed out by the client.
        let reason = |text: &str| match text {
            "" => "OK".to_owned(),
            text => self.text(text),
        };
        if reason(&line.reason) != reason(&got.reason) {
            found.push(format!("reason '{}', got '{}'", line.reason, got.reason));
        }
        if line.content_type != got.content_type {
            found.push(format!(
                "content type '{}', got '{}'",
                line.content_type, got.content_type
            ));
        }
        let ours = match &got.body {
            Value::Null => Value::String(got.text.clone()),
            body => body.clone(),
        };
        if *theirs == ours {
            return found;
        }
        let of_path = self
            .values
            .iter()
            .filter(|(paths, _)| paths.is_match(&line.path));
        let of_line = self.lines.iter().filter(|(n, _)| *n == line.n);
        let here: Vec<&Regex> = of_path
            .map(|(_, members)| members)
            .chain(of_line.map(|(_, members)| members))
            .collect();
        let (mut theirs, mut ours) = (
            self.steady(&here, "", theirs),
            self.steady(&here, "", &ours),
        );
        if LOGS.iter().any(|(n, _)| *n == line.n) {
            last_line_only(&mut theirs);
            last_line_only(&mut ours);
        }
        diff("", &theirs, &ours, &mut found);
        found
    }
}

/// Of a task's log the line that says how it ended, without its number.
fn last_line_only(answer: &mut Value) {
    let last = answer["data"]
        .as_array()
        .and_then(|lines| lines.iter().max_by_key(|line| line["n"].as_u64()))
        .map(|line| line["t"].clone());
    *answer = json!({ "data": [{ "t": last }] });
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// What an element of a list is best known by.
fn sort_key(item: &Value) -> String {
    let name = [
        "id", "volid", "vmid", "key", "iface", "storage", "userid", "roleid", "poolid", "pos", "n",
        "name",
    ];
    let own = name.iter().find_map(|name| item.get(name));
    match own {
        Some(Value::Number(number)) => format!("{number:>12} {item}"),
        Some(own) => format!("{own} {item}"),
        None => item.to_string(),
    }
}

fn diff(at: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                match other.get(name) {
                    Some(own) => diff(&format!("{at}.{name}"), value, own, found),
                    None => found.push(format!("lacks {at}.{name}: {value}")),
                }
            }
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                found.push(format!("adds {at}.{name}: {value}"));
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (theirs, ours)) in one.iter().zip(other).enumerate() {
                diff(&format!("{at}[{index}]"), theirs, ours, found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for item in one.iter().filter(|item| !other.contains(item)) {
                found.push(format!("lacks {at}[]: {item}"));
            }
            for item in other.iter().filter(|item| !one.contains(item)) {
                found.push(format!("adds {at}[]: {item}"));
            }
            found.push(format!("{at}: {} elements, got {}", one.len(), other.len()));
        }
        _ if theirs == ours => {}
        _ => found.push(format!("{at}: {theirs}, got {ours}")),
    }
}
