//! What a real Proxmox VE answered, through the error classifier and the property strings. Passes with a notice where the
//! recordings are not at hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::io::Read;
use std::path::PathBuf;

use bailiwick::proxmox::errors::classify;
use bailiwick::proxmox::property::tables;
use bailiwick::proxmox::{Domain, ErrorClass, PropertyMap, equivalent};
use serde_json::Value;

fn recorded(name: &str) -> Option<PathBuf> {
    shared(&format!("recorded/{name}"))
}

fn shared(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("proxmox").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "NOTICE: {} is not at hand; this test checked nothing",
        path.display()
    );
    None
}

/// What a text must never be left as `Server` for: the table of error texts that decisions rest on.
const DECISIVE: &[(&str, &str)] = &[
    ("does not exist", "not_found"),
    ("already exists", "already_exists"),
    ("already defined", "already_exists"),
    ("is locked (", "locked"),
    ("checksum mismatch", "digest_mismatch"),
    ("detected modified configuration", "digest_mismatch"),
    ("protection mode enabled", "protected"),
    ("is running", "running"),
    ("not running", "not_running"),
    ("hostname lookup", "node_unreachable"),
    ("only root can", "root_only"),
    ("is not empty", "in_use"),
    ("no quorum", "no_quorum"),
];

/// Refusals that fit no class a decision rests on, reviewed: part of the text, and what it is about.
const UNDECIDED: &[(&str, &str)] = &[
    ("is disabled", "a storage that is switched off"),
    (
        "is not available on node",
        "a storage that is not on the node",
    ),
    ("does not support backups", "a storage without backups"),
    (
        "no prune-backups options configured",
        "a storage without a retention",
    ),
    ("not in a cluster", "a lone node asked about its cluster"),
    ("not installed", "a part of Proxmox VE that the node lacks"),
    ("No QEMU guest agent configured", "a guest without an agent"),
    (
        "you can't move to the same storage with same format",
        "a move that would change nothing",
    ),
    (
        "Linked clone feature is not supported",
        "a guest that is no template",
    ),
    (
        "you can't convert a template to a template",
        "a guest that is one already",
    ),
    ("auto-generated role", "a role of Proxmox VE's own"),
    (
        "wrong interface type on slave",
        "a network; no kind is about it",
    ),
    (
        "ha groups have been migrated to rules",
        "a path that version 9 keeps in name only",
    ),
    (
        "cannot lookup undefined type!",
        "a fault of Proxmox VE in software-defined networks",
    ),
];

/// Both recordings, as records.
fn everything() -> Option<Vec<Value>> {
    let single = std::fs::read_to_string(recorded("pve-9.1.8.jsonl")?).unwrap();
    let mut whole = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(recorded("world-A.jsonl.gz")?).unwrap())
        .read_to_string(&mut whole)
        .unwrap();
    let lines = single.lines().chain(whole.lines());
    Some(
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

#[test]
fn what_has_no_class_of_its_own_is_reviewed() {
    let Some(records) = everything() else {
        return;
    };
    let (mut unknown, mut used) = (
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    );
    for record in &records {
        let Some(status) = record["status"].as_u64().filter(|status| *status >= 400) else {
            continue;
        };
        let reason = record["reason"].as_str().unwrap_or("");
        let body = serde_json::to_vec(&record["body"]).unwrap();
        let refusal = classify(u16::try_from(status).unwrap(), reason, &body);
        assert!(refusal.class != ErrorClass::NotProxmox, "{record}");
        if refusal.class == ErrorClass::Server {
            match UNDECIDED.iter().find(|(text, _)| reason.contains(text)) {
                Some((text, _)) => drop(used.insert(*text)),
                None => drop(unknown.insert(format!("{status} {reason}"))),
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "classified as nothing in particular: {unknown:#?}"
    );
    let idle: Vec<&str> = UNDECIDED
        .iter()
        .map(|(text, _)| *text)
        .filter(|text| !used.contains(text))
        .collect();
    assert!(idle.is_empty(), "reviewed, but not of this class: {idle:?}");
}

#[test]
fn every_recorded_refusal_has_its_class() {
    let Some(records) = everything() else {
        return;
    };
    let mut refusals = 0;
    for record in records {
        let line = record.to_string();
        let Some(status) = record["status"].as_u64().filter(|status| *status >= 400) else {
            continue;
        };
        let status = u16::try_from(status).unwrap();
        let reason = record["reason"].as_str().unwrap_or("");
        let body = match &record["body"] {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            body => serde_json::to_vec(body).unwrap(),
        };
        let refusal = classify(status, reason, &body);
        refusals += 1;
        assert!(!refusal.message.is_empty() || reason.is_empty(), "{line}");
        assert!(
            !refusal.class.is_undetermined(),
            "{line}: {:?}",
            refusal.class
        );
        match status {
            400 => assert!(refusal.class != ErrorClass::Server, "{line}"),
            401 => assert_eq!(refusal.class, ErrorClass::Unauthenticated, "{line}"),
            403 => assert!(
                matches!(
                    refusal.class,
                    ErrorClass::Forbidden { .. } | ErrorClass::RootOnly | ErrorClass::NotFound
                ),
                "{line}: {:?}",
                refusal.class
            ),
            501 => assert_eq!(refusal.class, ErrorClass::NotImplemented, "{line}"),
            _ => {
                if let Some((_, label)) = DECISIVE.iter().find(|(text, _)| reason.contains(text))
                    && !reason.starts_with("invalid ")
                {
                    assert_eq!(refusal.class.label(), *label, "{reason}");
                }
            }
        }
    }
    assert!(refusals > 200, "{refusals}");
}

#[test]
fn every_recorded_property_string_reads_and_prints_the_same_meaning() {
    let Some(path) = recorded("world-A.jsonl.gz") else {
        return;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut strings = 0;
    let mut canonical = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let path = record["path"].as_str().unwrap();
        if record["status"] != 200 || !path.ends_with("/config") {
            continue;
        }
        let domain = if path.contains("/qemu/") {
            Domain::Qemu
        } else {
            Domain::Lxc
        };
        for (key, value) in record["body"]["data"].as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else {
                continue;
            };
            if tables::format_of(domain, key).is_none() {
                assert!(equivalent(domain, key, value, value));
                continue;
            }
            let map = PropertyMap::parse(domain, key, value)
                .unwrap_or_else(|error| panic!("{path} {key} {value}: {error}"));
            let printed = map.to_string();
            assert!(
                equivalent(domain, key, value, &printed),
                "{path} {key}: {value} / {printed}"
            );
            assert_eq!(
                PropertyMap::parse(domain, key, &printed).unwrap(),
                map,
                "{path} {key}"
            );
            assert_eq!(
                map.unknown().collect::<Vec<_>>(),
                Vec::<&str>::new(),
                "{path} {key}: {value}"
            );
            strings += 1;
            // Proxmox VE writes network cards and drives anew itself: there our form must be its form.
            let rewritten = ["net", "scsi", "virtio", "sata", "ide"].iter().any(|stem| {
                key.strip_prefix(stem)
                    .is_some_and(|rest| rest.parse::<u32>().is_ok())
            });
            if rewritten && domain == Domain::Qemu {
                canonical += usize::from(printed == value);
            }
        }
    }
    eprintln!(
        "{strings} property strings, {canonical} network cards and drives in exactly Proxmox VE's own form"
    );
    assert!(strings > 200, "{strings}");
}

/// Parameters of a configuration call that are about the call, not the configuration.
const NOT_KEYS: &[&str] = &[
    "node",
    "vmid",
    "storage",
    "type",
    "delete",
    "revert",
    "digest",
    "force",
    "skiplock",
    "background_delay",
    "import-working-storage",
    "cdrom",
];

#[test]
fn the_tables_say_what_the_schema_says() {
    use bailiwick::proxmox::schema::{ValueKind, keys};
    let Some(path) = shared("api-schema.json.gz") else {
        return;
    };
    let methods: Vec<Value> = serde_json::from_reader(flate2::read::GzDecoder::new(
        std::fs::File::open(path).unwrap(),
    ))
    .unwrap();
    for (domain, method, path) in [
        (Domain::Qemu, "POST", "/nodes/{node}/qemu/{vmid}/config"),
        (Domain::Lxc, "PUT", "/nodes/{node}/lxc/{vmid}/config"),
        (Domain::Storage, "POST", "/storage"),
    ] {
        let call = methods
            .iter()
            .find(|m| m["path"] == path && m["method"] == method)
            .unwrap();
        let params = call["parameters"].as_object().unwrap();
        let ours: Vec<String> = keys(domain).iter().map(|spec| spec.pattern()).collect();
        for name in params
            .keys()
            .filter(|name| !NOT_KEYS.contains(&name.as_str()))
        {
            assert!(ours.contains(name), "{domain:?}: the table lacks {name}");
        }
        for spec in keys(domain) {
            let name = spec.pattern();
            let param = params
                .get(&name)
                .unwrap_or_else(|| panic!("{domain:?}: {name} is not in the schema"));
            let bound = |what: &str| {
                param[what]
                    .as_f64()
                    .or_else(|| param[what].as_str().and_then(|t| t.parse().ok()))
            };
            match spec.value {
                ValueKind::Boolean => assert_eq!(param["type"], "boolean", "{name}"),
                ValueKind::Integer { min, max } => {
                    assert_eq!(param["type"], "integer", "{name}");
                    if param["enum"].is_null() {
                        assert_eq!(
                            (min.map(|n| n as f64), max.map(|n| n as f64)),
                            (bound("minimum"), bound("maximum")),
                            "{name}"
                        );
                    }
                }
                ValueKind::Number { min, max } => {
                    assert_eq!(param["type"], "number", "{name}");
                    assert_eq!((min, max), (bound("minimum"), bound("maximum")), "{name}");
                }
                ValueKind::Enum(words) => {
                    let theirs: Vec<&str> = param["enum"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter_map(Value::as_str)
                        .collect();
                    assert_eq!(words, theirs, "{name}");
                }
                ValueKind::Properties => {
                    let key = name.replace("[n]", "0");
                    let format = tables::format_of(domain, &key)
                        .unwrap_or_else(|| panic!("{name} has no format"));
                    properties_agree(&name, format, &param["format"]);
                }
                ValueKind::List
                | ValueKind::Set
                | ValueKind::Description
                | ValueKind::Caseless
                | ValueKind::Text => {
                    assert_eq!(param["type"], "string", "{name}");
                    assert!(!param["format"].is_object(), "{name} has options");
                }
            }
        }
    }
}

fn properties_agree(name: &str, format: &bailiwick::proxmox::property::Format, theirs: &Value) {
    use bailiwick::proxmox::property::Kind;
    let Some(theirs) = theirs.as_object() else {
        return;
    };
    for (option, schema) in theirs {
        if let Some(target) = schema["alias"].as_str() {
            let combined = format.combined.is_some_and(|(_, address, names)| {
                address == target && names.contains(&option.as_str())
            });
            assert!(
                combined || format.aliases.contains(&(option, target)),
                "{name}: alias {option}"
            );
            continue;
        }
        let field = format
            .field(option)
            .unwrap_or_else(|| panic!("{name} lacks the option {option}"));
        assert_eq!(
            field.kind == Kind::Boolean,
            schema["type"] == "boolean",
            "{name}.{option}"
        );
        assert_eq!(
            field.required,
            schema["optional"] != 1,
            "{name}.{option} required"
        );
        assert_eq!(
            format.default_key == Some(option),
            schema["default_key"] == 1,
            "{name}.{option} default key"
        );
        let default = match &schema["default"] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(
            field.default,
            Some(default.as_str()),
            "{name}.{option} default"
        );
    }
}
