//! Compares the parameter tables of guests with Proxmox VE's published API, where a copy of it is at hand; tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::Value;

use super::recorded;
use crate::sim::params::{Kind, Param};

fn published() -> Option<Vec<Value>> {
    let packed = std::fs::read(recorded::folder()?.join("../api-schema.json.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .ok()?;
    serde_json::from_str(&text).ok()
}

/// The name as the API's description has it: `net[n]`.
fn described(row: &Param) -> String {
    match row.indexed {
        Some(_) => format!("{}[n]", row.name),
        None => row.name.to_owned(),
    }
}

fn differences(row: &Param, wanted: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let optional = wanted["optional"] == 1;
    if optional != row.optional {
        found.push(format!("optional is {optional}"));
    }
    let number = |name: &str| match &wanted[name] {
        Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    let plain = !matches!(row.kind, Kind::All(_));
    #[allow(clippy::cast_precision_loss)]
    let (least, most) = match row.kind {
        Kind::Integer(least, most) => (
            (least > i64::MIN).then_some(least as f64),
            (most < i64::MAX).then_some(most as f64),
        ),
        Kind::Number(least) => (Some(least), None),
        Kind::NumberIn(least, most) => (Some(least), Some(most)),
        _ => (None, None),
    };
    if plain && number("minimum") != least {
        found.push(format!("minimum is {:?}, not {least:?}", number("minimum")));
    }
    if plain && number("maximum") != most {
        found.push(format!("maximum is {:?}, not {most:?}", number("maximum")));
    }
    let words: Option<Vec<&str>> = wanted["enum"]
        .as_array()
        .map(|words| words.iter().filter_map(Value::as_str).collect());
    let own: Option<Vec<String>> = match row.kind {
        Kind::Enum(words) => Some(words.iter().map(|word| (*word).to_owned()).collect()),
        Kind::Among(words) => Some(words()),
        _ => None,
    };
    if words.map(|words| words.into_iter().map(str::to_owned).collect()) != own {
        found.push(format!("enum is {}", wanted["enum"]));
    }
    let flag = matches!(row.kind, Kind::Boolean);
    if (wanted["type"] == "boolean") != flag {
        found.push(format!("type is {}", wanted["type"]));
    }
    found
}

#[test]
fn parameters_are_those_of_the_published_api() {
    let Some(published) = published() else { return };
    let entries: BTreeMap<(&str, &str), &Value> = published
        .iter()
        .filter_map(|entry| Some(((entry["method"].as_str()?, entry["path"].as_str()?), entry)))
        .collect();
    let mut wrong = Vec::new();
    for route in super::routes() {
        let name = format!("{} {}", route.method.name(), route.path);
        let Some(entry) = entries.get(&(route.method.name(), route.path)) else {
            wrong.push(format!("{name}: no such method"));
            continue;
        };
        let parameters = entry["parameters"].as_object().cloned().unwrap_or_default();
        let variables: BTreeSet<&str> = route
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let rows: BTreeMap<String, &Param> = route
            .params
            .iter()
            .flat_map(|table| table.iter())
            .map(|row| (described(row), row))
            .collect();
        for (parameter, wanted) in &parameters {
            if variables.contains(parameter.as_str()) {
                continue;
            }
            match rows.get(parameter) {
                None => wrong.push(format!("{name}: {parameter} is missing")),
                Some(row) => wrong.extend(
                    differences(row, wanted)
                        .into_iter()
                        .map(|text| format!("{name}: {parameter}: {text}")),
                ),
            }
        }
        for own in rows.keys().filter(|own| !parameters.contains_key(*own)) {
            wrong.push(format!("{name}: {own} is not in the API"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
