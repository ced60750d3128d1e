//! One value: from Proxmox VE's spelling to the one of documents, as the schema of the field says. Whether the two mean the same is
//! looked at afterwards, by the field's reader.

use base64::Engine;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value, json};

use crate::document::scalar;
use crate::document::size::print_size;
use crate::document::validate::short;
use crate::ids::Bytes;
use crate::proxmox::property::{boolean, split_list};
use crate::proxmox::size;

/// The value of a field, or why a document cannot say it. `setting` is the key, or the key and its option (`scsi0.discard`).
pub(super) fn read(schema: &Value, key: &str, setting: &str, raw: &str) -> Result<Value, String> {
    let option = setting.rsplit('.').next().unwrap_or(setting);
    match type_of(schema) {
        "boolean" => truth(option, raw)
            .map(Value::Bool)
            .ok_or_else(|| told(raw, "`true` or `false`")),
        "integer" => whole(raw).ok_or_else(|| told(raw, "a whole number")),
        "number" => number(raw).ok_or_else(|| told(raw, "a number")),
        "string" => text(schema, key, option, raw).map(Value::String),
        "array" => list(schema, key, raw),
        "object"
            if schema
                .get("additionalProperties")
                .is_some_and(Value::is_object) =>
        {
            pairs(raw)
        }
        _ => Err(told(raw, "something else")),
    }
}

fn told(raw: &str, expected: &str) -> String {
    format!("it is `{}`, and a document takes {expected}", short(raw))
}

/// The type a schema asks for, without `null`.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")
            .unwrap_or_default(),
        _ => "",
    }
}

fn truth(option: &str, raw: &str) -> Option<bool> {
    match option {
        "discard" => match raw {
            "on" => Some(true),
            "ignore" => Some(false),
            _ => None,
        },
        // Of a USB device: `host=spice` is the field `spice`.
        "host" => raw.eq_ignore_ascii_case("spice").then_some(true),
        _ => boolean(raw),
    }
}

fn whole(raw: &str) -> Option<Value> {
    let raw = raw.trim();
    raw.parse::<i64>()
        .map(|n| json!(n))
        .or_else(|_| raw.parse::<u64>().map(|n| json!(n)))
        .ok()
}

fn number(raw: &str) -> Option<Value> {
    whole(raw).or_else(|| {
        let number = raw.trim().parse::<f64>().ok()?;
        Number::from_f64(number).map(Value::Number)
    })
}

fn text(schema: &Value, key: &str, option: &str, raw: &str) -> Result<String, String> {
    match schema.get("format").and_then(Value::as_str) {
        Some("memory-size") => raw
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|mebibytes| mebibytes.checked_mul(Bytes::MIB))
            .map(|bytes| print_size(Bytes(bytes)))
            .ok_or_else(|| told(raw, "a number of MiB")),
        Some("size") => size::parse(raw)
            .map(print_size)
            .map_err(|error| error.to_string()),
        Some(format) => {
            scalar::check(format, raw).map_or(Ok(raw.to_owned()), |checked| match checked {
                Ok(canonical) => Ok(canonical),
                Err(expected) => Err(told(raw, &expected)),
            })
        }
        None => match (key, option) {
            ("smbios1", _) => base64::engine::general_purpose::STANDARD
                .decode(raw)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| told(raw, "a text that is kept in base64")),
            (_, "serial" | "model") if schema.get("enum").is_none() => percent_decode_str(raw)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| told(raw, "a text in UTF-8")),
            _ => Ok(raw.to_owned()),
        },
    }
}

fn list(schema: &Value, key: &str, raw: &str) -> Result<Value, String> {
    let decoded;
    let items: Vec<&str> = match key {
        // Proxmox VE keeps the keys as percent-encoded lines.
        "sshkeys" => {
            decoded = percent_decode_str(raw)
                .decode_utf8()
                .map_err(|_| told(raw, "SSH public keys in UTF-8"))?
                .into_owned();
            decoded
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect()
        }
        // Patterns of paths may hold what separates other lists.
        "exclude-path" => raw.lines().collect(),
        "hotplug" if raw == "0" => Vec::new(),
        _ => split_list(raw).collect(),
    };
    let of = schema.get("items").unwrap_or(&Value::Null);
    let mut values: Vec<Value> = Vec::new();
    for item in items {
        let value = read(of, key, key, item)?;
        let unique = schema.get("uniqueItems").and_then(Value::as_bool) == Some(true);
        if !(unique && values.contains(&value)) {
            values.push(value);
        }
    }
    Ok(Value::Array(values))
}

/// Environment variables; Proxmox VE joins them with NUL.
fn pairs(raw: &str) -> Result<Value, String> {
    let mut map = Map::new();
    for pair in raw.split('\0').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| "a part of it is no `NAME=VALUE`".to_owned())?;
        map.insert(name.to_owned(), json!(value));
    }
    Ok(Value::Object(map))
}
