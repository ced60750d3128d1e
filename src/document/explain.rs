//! `bailiwick explain`: what a kind or one of its fields means, read from its schema. Text only; who prints it is the caller's matter.

use serde_json::{Map, Value};

use super::schema::{PROXMOX_KEY, schema};
use super::similar::nearest_or_all;
use super::{Kind, UnknownKind};

/// A path that leads to no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The first word names no kind.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// A later word names no field.
    #[error("`{parent}` has no field `{name}`; {help}")]
    Field {
        /// What was understood of the path.
        parent: String,
        /// The word that was not.
        name: String,
        /// The nearest name, or all of them.
        help: String,
    },
}

/// Explains `KIND` or `KIND.field.field`. The word `spec` may be left out; a slot such as `scsi0` may be written or left out.
///
/// # Errors
/// [`ExplainError`] with the nearest name where the path leads nowhere.
pub fn explain(path: &str) -> Result<String, ExplainError> {
    let mut words = path
        .split('.')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let kind = kind(first)?;
    let mut node = schema(kind);
    let mut at = kind.to_string();
    for word in words {
        let (next, path) = step(node, word, &at)?;
        node = next;
        at = path;
    }
    Ok(text(&at, node))
}

fn kind(word: &str) -> Result<Kind, UnknownKind> {
    let plain = word.to_ascii_lowercase();
    let short = match plain.as_str() {
        "vm" | "virtualmachines" => "virtualmachine",
        "ct" | "containers" => "container",
        "storages" => "storage",
        "pools" => "pool",
        "replication-job" | "replication-jobs" | "replicationjobs" => "replicationjob",
        "images" => "image",
        "groups" => "group",
        "users" => "user",
        "roles" => "role",
        "realms" | "domain" | "domains" => "realm",
        "acl" | "access-rule" | "access-rules" | "accessrules" => "accessrule",
        "alias" | "aliases" | "firewallaliases" => "firewallalias",
        "ipsets" | "ip-set" | "ip-sets" => "ipset",
        "firewalls" => "firewall",
        "security-group" | "security-groups" | "securitygroups" => "securitygroup",
        "backup-job" | "backup-jobs" | "backupjobs" => "backupjob",
        "snapshots" => "snapshot",
        other => other,
    };
    let same = |kind: &Kind| kind.as_str().to_ascii_lowercase() == short;
    Kind::ALL
        .into_iter()
        .find(same)
        .map_or_else(|| word.parse(), Ok)
}

/// The fields of a group.
pub(super) fn fields(node: &Value) -> Option<&Map<String, Value>> {
    node.get("properties").and_then(Value::as_object)
}

/// The schema below what repeats: the items of a list, the values of a map.
pub(super) fn below(node: &Value) -> Option<&Value> {
    let inner = |key: &str| node.get(key).filter(|inner| inner.is_object());
    inner("items").or_else(|| inner("additionalProperties"))
}

fn step<'s>(node: &'s Value, word: &str, at: &str) -> Result<(&'s Value, String), ExplainError> {
    if let Some(found) = fields(node).and_then(|fields| fields.get(word)) {
        return Ok((found, format!("{at}.{word}")));
    }
    if let Some(spec) = fields(node).and_then(|fields| fields.get("spec")) {
        return step(spec, word, &format!("{at}.spec"));
    }
    if let Some(inner) = below(node) {
        let format = node
            .pointer("/propertyNames/format")
            .and_then(Value::as_str);
        let is_slot = format.and_then(|format| super::scalar::check(format, word));
        if is_slot.is_some_and(|checked| checked.is_ok()) {
            return Ok((inner, format!("{at}.{word}")));
        }
        return step(inner, word, &format!("{at}.*"));
    }
    let names: Vec<&str> = fields(node)
        .into_iter()
        .flat_map(|fields| fields.keys().map(String::as_str))
        .collect();
    let help = if names.is_empty() {
        "it is a single value".to_owned()
    } else {
        nearest_or_all(word, &names)
    };
    Err(ExplainError::Field {
        parent: at.to_owned(),
        name: word.to_owned(),
        help,
    })
}

/// `text`, `list of text`, `map of fields`, with `or null to remove it`.
pub(super) fn type_words(node: &Value) -> String {
    let (name, nullable) = match node.get("type") {
        Some(Value::String(one)) => (one.as_str(), false),
        Some(Value::Array(several)) => {
            let mut names = several.iter().filter_map(Value::as_str);
            let name = names.clone().find(|name| *name != "null");
            (name.unwrap_or_default(), names.any(|name| name == "null"))
        }
        _ => ("", false),
    };
    let words = match name {
        "object" => match below(node) {
            Some(inner) => format!("map of {}", plural(inner)),
            None => "fields".to_owned(),
        },
        "array" => match node.get("items") {
            Some(inner) => format!("list of {}", plural(inner)),
            None => "list".to_owned(),
        },
        "string" => match node.get("format").and_then(Value::as_str) {
            Some("text") | None => "text".to_owned(),
            Some(format) => format.replace('-', " "),
        },
        "boolean" => "true or false".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        other => other.to_owned(),
    };
    if nullable {
        format!("{words}, or null to remove it")
    } else {
        words
    }
}

fn plural(inner: &Value) -> String {
    let words = type_words(inner);
    let words = words
        .strip_suffix(", or null to remove it")
        .unwrap_or(&words);
    words.to_owned()
}

/// The least and the greatest of a number.
pub(super) fn bounds(node: &Value) -> Option<String> {
    let number = |key: &str| node.get(key).and_then(Value::as_f64);
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

fn text(at: &str, node: &Value) -> String {
    let mut out = format!("{at}\n");
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<9} {value}\n"));
    line("type", &type_words(node));
    if let Some(words) = node.get("enum").and_then(Value::as_array) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        line("values", &words.join(" | "));
    }
    if let Some(bounds) = bounds(node) {
        line("bounds", &bounds);
    }
    if let Some(key) = node.get(PROXMOX_KEY).and_then(Value::as_str) {
        line("Proxmox", &key.replace(',', ", sub-key "));
    }
    if let Some(about) = node.get("description").and_then(Value::as_str) {
        out.push_str(&format!("\n{}", wrapped(about, 2, 100)));
    }
    let listed = fields(node).or_else(|| below(node).and_then(fields));
    if let Some(fields) = listed {
        out.push_str("\nFIELDS\n");
        let width = fields
            .keys()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        for (name, field) in fields {
            let about = field
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let about = about.split_once(". ").map_or(about, |(first, _)| first);
            let about = about.trim_end_matches('.');
            let words = type_words(field);
            let words = words
                .strip_suffix(", or null to remove it")
                .unwrap_or(&words);
            out.push_str(&format!("  {name:<width$}  <{words}>  {about}\n"));
        }
    }
    out
}

fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width - indent {
            out.push_str(&format!("{:indent$}{line}\n", ""));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push_str(&format!("{:indent$}{line}\n", ""));
    }
    out
}
