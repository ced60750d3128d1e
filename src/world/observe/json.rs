//! Reading Proxmox VE's JSON, where a number may be a string and a boolean a number.

use serde_json::{Map, Value};

use crate::world::model::Section;

/// An item of a list as an object.
pub(in crate::world) fn items(data: &Value) -> impl Iterator<Item = &Value> {
    data.as_array().into_iter().flatten()
}

/// A scalar as text; objects and lists flattened as Proxmox VE writes them in its files.
pub(in crate::world) fn flat(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(if *flag { "1" } else { "0" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(flat).collect::<Vec<_>>().join(";")),
        Value::Object(map) => {
            let mut parts: Vec<String> = map
                .iter()
                .filter_map(|(key, value)| flat(value).map(|value| format!("{key}={value}")))
                .collect();
            parts.sort();
            Some(parts.join(","))
        }
    }
}

/// A field as text.
pub(in crate::world) fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(flat)
}

/// A field as a name that has to be valid.
pub(in crate::world) fn name<T: std::str::FromStr>(object: &Value, field: &str) -> Option<T> {
    text(object, field).and_then(|text| text.parse().ok())
}

/// A field as a whole number.
pub(in crate::world) fn integer(object: &Value, field: &str) -> Option<i64> {
    match object.get(field)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A field as a number of bytes.
pub(in crate::world) fn bytes(object: &Value, field: &str) -> Option<crate::ids::Bytes> {
    integer(object, field)
        .and_then(|number| u64::try_from(number).ok())
        .map(crate::ids::Bytes)
}

/// A field as a boolean; `None` if it is not there.
pub(in crate::world) fn flag(object: &Value, field: &str) -> Option<bool> {
    text(object, field).and_then(|text| crate::proxmox::property::boolean(&text))
}

/// All fields of an object as text, without some.
pub(in crate::world) fn section(object: &Value, without: &[&str]) -> Section {
    let empty = Map::new();
    object
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .filter(|(key, _)| !without.contains(&key.as_str()))
        .filter_map(|(key, value)| flat(value).map(|value| (key.clone(), value)))
        .collect()
}

/// The members of a list in text that can be read as a type.
pub(in crate::world) fn set<T: std::str::FromStr + Ord>(
    text: &str,
) -> std::collections::BTreeSet<T> {
    crate::proxmox::property::split_list(text)
        .filter_map(|member| member.parse().ok())
        .collect()
}
