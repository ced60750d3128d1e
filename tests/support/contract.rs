//! The contract: every request against the official API schema (method, path, parameter names, types, enumerations, bounds,
//! patterns, property strings). The schema is not part of the project; where it is missing, the check says so and passes.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;

use bailiwick::sim::Entry;
use bailiwick::sim::viewer;
use regex::Regex;
use serde_json::Value;

/// The folder with Proxmox's API schema: `BAILIWICK_SHARED`, else `../shared` beside the project.
pub fn shared() -> PathBuf {
    std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

struct Method {
    verb: String,
    template: String,
    path: Regex,
    path_names: Vec<String>,
    parameters: BTreeMap<String, Value>,
}

fn methods() -> Option<&'static Vec<Method>> {
    static METHODS: OnceLock<Option<Vec<Method>>> = OnceLock::new();
    METHODS
        .get_or_init(|| {
            let file = std::fs::File::open(shared().join("proxmox/api-schema.json.gz")).ok()?;
            let mut text = String::new();
            flate2::read::GzDecoder::new(file)
                .read_to_string(&mut text)
                .ok()?;
            let all: Vec<Value> = serde_json::from_str(&text).ok()?;
            Some(all.iter().map(method).collect())
        })
        .as_ref()
}

fn method(entry: &Value) -> Method {
    let template = entry["path"].as_str().unwrap();
    let name = Regex::new(r"\{([^}]+)\}").unwrap();
    let path_names = name
        .captures_iter(template)
        .map(|c| c[1].to_owned())
        .collect();
    // A volume's id has slashes of its own, which a log shows decoded.
    let pattern = name.replace_all(template, |of: &regex::Captures<'_>| match &of[1] {
        "volume" => "(.+)",
        _ => "([^/]+)",
    });
    Method {
        verb: entry["method"].as_str().unwrap().to_owned(),
        template: template.to_owned(),
        path: Regex::new(&format!("^{pattern}$")).unwrap(),
        path_names,
        parameters: entry["parameters"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    }
}

/// Every way in which a request does not fit the schema; empty when it fits or the schema is missing.
pub fn complaints(verb: &str, path: &str, params: &BTreeMap<String, String>) -> Vec<String> {
    let Some(methods) = methods() else {
        static NOTICE: OnceLock<()> = OnceLock::new();
        NOTICE.get_or_init(|| {
            eprintln!("NOTICE: the API schema is not here; requests are not checked against it")
        });
        return Vec::new();
    };
    let candidates: Vec<&Method> = methods
        .iter()
        .filter(|m| m.verb == verb && m.path.is_match(path))
        .collect();
    // A literal path (`/nodes/{node}/qemu`) wins over one with a placeholder in its place.
    let Some(method) = candidates.iter().min_by_key(|m| m.path_names.len()) else {
        return vec![format!("{verb} {path}: no such method")];
    };
    let mut found = Vec::new();
    for (key, value) in params {
        match spec(&method.parameters, key) {
            None => found.push(format!("{verb} {path}: no parameter `{key}`")),
            Some(spec) => found.extend(
                value_complaints(spec, value)
                    .into_iter()
                    .map(|c| format!("{verb} {path}: {key}={value}: {c}")),
            ),
        }
    }
    for (key, spec) in &method.parameters {
        let optional = spec["optional"].as_i64() == Some(1) || key.contains("[n]");
        if !optional && !params.contains_key(key) && !method.path_names.contains(key) {
            found.push(format!("{verb} {path}: `{key}` is missing"));
        }
    }
    found
}

/// Every way in which the requests of a log do not fit the schema.
pub fn of_log<'e>(log: impl IntoIterator<Item = &'e Entry>) -> Vec<String> {
    log.into_iter()
        .filter(|entry| entry.path != viewer::PATH)
        .flat_map(|entry| complaints(&entry.method, &entry.path, &entry.params))
        .collect()
}

/// Whether a call as it stands in the source fits the schema: of its path some components are known only when it runs.
pub fn source_complaint(
    verb: &str,
    components: &[Option<String>],
    params: &[String],
) -> Option<String> {
    let methods = methods()?;
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').skip(1).collect();
        parts.len() == components.len()
            && parts.iter().zip(components).all(|(part, known)| {
                known
                    .as_deref()
                    .is_none_or(|known| part.starts_with('{') || *part == known)
            })
    };
    let candidates: Vec<&Method> = methods
        .iter()
        .filter(|method| method.verb == verb && fits(&method.template))
        .collect();
    if candidates.is_empty() {
        return Some("no such method".to_owned());
    }
    params
        .iter()
        .find(|param| {
            candidates
                .iter()
                .all(|m| spec(&m.parameters, param).is_none())
        })
        .map(|param| format!("no parameter `{param}`"))
}

/// The schema as a host would serve it: the script of the API viewer. `None` where the schema is not at hand.
pub fn script() -> Option<String> {
    let methods = methods()?;
    let nodes: Vec<Value> = methods
        .iter()
        .map(|method| {
            let parameters = serde_json::json!({ "additionalProperties": 0, "properties": method.parameters });
            serde_json::json!({ "path": method.template, "info": { &method.verb: { "parameters": parameters } } })
        })
        .collect();
    Some(format!("const apiSchema = {};\n", Value::Array(nodes)))
}

fn spec<'a>(parameters: &'a BTreeMap<String, Value>, key: &str) -> Option<&'a Value> {
    parameters.get(key).or_else(|| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        (stem != key)
            .then(|| parameters.get(&format!("{stem}[n]")))
            .flatten()
    })
}

fn value_complaints(spec: &Value, value: &str) -> Vec<String> {
    let mut found = Vec::new();
    match spec["type"].as_str() {
        Some("boolean") if !["0", "1", "true", "false"].contains(&value) => {
            found.push("not a boolean".to_owned())
        }
        Some("integer") if value.parse::<i64>().is_err() => found.push("not an integer".to_owned()),
        Some("number") if value.parse::<f64>().is_err() => found.push("not a number".to_owned()),
        _ => {}
    }
    if let Ok(number) = value.parse::<f64>()
        && matches!(spec["type"].as_str(), Some("integer" | "number"))
    {
        let bound = |name: &str| {
            spec[name]
                .as_f64()
                .or_else(|| spec[name].as_str().and_then(|t| t.parse().ok()))
        };
        if bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
        {
            found.push("out of bounds".to_owned());
        }
    }
    if let Some(words) = spec["enum"].as_array()
        && !words.iter().any(|word| word.as_str() == Some(value))
    {
        found.push(format!("not one of {words:?}"));
    }
    if spec["maxLength"]
        .as_u64()
        .is_some_and(|most| value.chars().count() as u64 > most)
    {
        found.push("too long".to_owned());
    }
    if let Some(pattern) = spec["pattern"].as_str() {
        let pattern = pattern
            .replace("(?^:", "(?:")
            .replace("(?^u:", "(?:")
            .replace("(?^i:", "(?i:")
            .replace("{,", "{0,");
        if let Ok(pattern) = Regex::new(&format!("^(?:{pattern})$"))
            && !pattern.is_match(value)
        {
            found.push(format!("does not match {pattern}"));
        }
    }
    if let Some(format) = spec["format"].as_object() {
        found.extend(property_complaints(format, value));
    }
    found
}

fn property_complaints(format: &serde_json::Map<String, Value>, value: &str) -> Vec<String> {
    let default = format
        .iter()
        .find(|(_, spec)| spec["default_key"].as_i64() == Some(1))
        .map(|(key, _)| key.as_str());
    value
        .split(',')
        .filter(|part| !part.is_empty())
        .flat_map(|part| {
            let (key, text) = match part.split_once('=') {
                Some((key, text)) if format.contains_key(key) => (key, text),
                Some((key, _)) if default.is_none() => return vec![format!("no property `{key}`")],
                _ => match default {
                    Some(key) => (key, part),
                    None => return vec![format!("`{part}` has no name")],
                },
            };
            let spec = &format[key];
            if spec["alias"].is_string() || spec["type"].as_str() == Some("boolean") {
                return Vec::new();
            }
            value_complaints(spec, text)
                .into_iter()
                .map(|c| format!("property {key}: {c}"))
                .collect()
        })
        .collect()
}
