//! Every option of Proxmox VE's own API description is a typed field, or is refused with a reason.
//! The description is not part of the project; without it the test says so and passes.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;

use bailiwick::document::{Kind, refused, schema};
use serde_json::Value;

fn api() -> Option<Vec<Value>> {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let Ok(file) = std::fs::File::open(shared.join("proxmox/api-schema.json.gz")) else {
        // Written past the test's capture, so that it is seen.
        let notice = "NOTICE: Proxmox VE's API description is not at hand; the options were not compared with it";
        let _ = writeln!(std::io::stderr(), "{notice}");
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn parameters<'a>(
    api: &'a [Value],
    method: &str,
    path: &str,
) -> &'a serde_json::Map<String, Value> {
    let call = api
        .iter()
        .find(|call| call["path"] == path && call["method"] == method);
    call.unwrap()["parameters"].as_object().unwrap()
}

const CALLS: [(Kind, &str, &str); 34] = [
    (Kind::VirtualMachine, "POST", "/nodes/{node}/qemu"),
    (
        Kind::VirtualMachine,
        "POST",
        "/nodes/{node}/qemu/{vmid}/config",
    ),
    (Kind::Container, "POST", "/nodes/{node}/lxc"),
    (Kind::Container, "PUT", "/nodes/{node}/lxc/{vmid}/config"),
    (Kind::Storage, "POST", "/storage"),
    (Kind::Storage, "PUT", "/storage/{storage}"),
    (Kind::Pool, "POST", "/pools"),
    (Kind::Pool, "PUT", "/pools"),
    (Kind::BackupJob, "POST", "/cluster/backup"),
    (Kind::BackupJob, "PUT", "/cluster/backup/{id}"),
    (Kind::Snapshot, "POST", "/nodes/{node}/qemu/{vmid}/snapshot"),
    (Kind::ReplicationJob, "POST", "/cluster/replication"),
    (Kind::ReplicationJob, "PUT", "/cluster/replication/{id}"),
    (
        Kind::Image,
        "POST",
        "/nodes/{node}/storage/{storage}/download-url",
    ),
    (
        Kind::Image,
        "POST",
        "/nodes/{node}/storage/{storage}/oci-registry-pull",
    ),
    (
        Kind::ApiToken,
        "POST",
        "/access/users/{userid}/token/{tokenid}",
    ),
    (
        Kind::ApiToken,
        "PUT",
        "/access/users/{userid}/token/{tokenid}",
    ),
    (Kind::FirewallAlias, "POST", "/cluster/firewall/aliases"),
    (
        Kind::FirewallAlias,
        "PUT",
        "/nodes/{node}/qemu/{vmid}/firewall/aliases/{name}",
    ),
    (Kind::IpSet, "POST", "/cluster/firewall/ipset"),
    (Kind::SecurityGroup, "POST", "/cluster/firewall/groups"),
    (Kind::Firewall, "PUT", "/cluster/firewall/options"),
    (Kind::Firewall, "PUT", "/nodes/{node}/firewall/options"),
    (
        Kind::Firewall,
        "PUT",
        "/nodes/{node}/qemu/{vmid}/firewall/options",
    ),
    (
        Kind::Firewall,
        "PUT",
        "/cluster/sdn/vnets/{vnet}/firewall/options",
    ),
    (Kind::Group, "POST", "/access/groups"),
    (Kind::Group, "PUT", "/access/groups/{groupid}"),
    (Kind::User, "POST", "/access/users"),
    (Kind::User, "PUT", "/access/users/{userid}"),
    (Kind::Role, "POST", "/access/roles"),
    (Kind::Role, "PUT", "/access/roles/{roleid}"),
    (Kind::AccessRule, "PUT", "/access/acl"),
    (Kind::Realm, "POST", "/access/domains"),
    (Kind::Realm, "PUT", "/access/domains/{realm}"),
];

#[test]
fn every_option_is_typed_or_refused_with_a_reason() {
    let Some(api) = api() else {
        return;
    };
    let mut missing = Vec::new();
    for (kind, method, path) in CALLS {
        for key in parameters(&api, method, path).keys() {
            let typed = schema::typed_keys(kind).contains_key(key);
            if typed == refused::key(kind, key).is_some() {
                missing.push(format!("{kind}: {key} (typed: {typed})"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "neither typed nor refused, or both:\n{}",
        missing.join("\n")
    );
}

#[test]
fn typed_keys_exist_in_proxmox() {
    let Some(api) = api() else {
        return;
    };
    for kind in Kind::ALL {
        let calls = CALLS.iter().filter(|(of, _, _)| *of == kind);
        let known: BTreeSet<String> = calls
            .flat_map(|(_, method, path)| parameters(&api, method, path).keys().cloned())
            .collect();
        for (key, field) in schema::typed_keys(kind) {
            // A key that ends in a number stands in the map under its family too (`efidisk0`, `efidisk[n]`).
            let twin = schema::typed_keys(kind).iter().any(|(other, path)| {
                path == field && known.contains(other) && refused::family(other) == *key
            });
            assert!(
                known.contains(key) || twin,
                "{kind}: {field} sets `{key}`, which Proxmox VE does not know"
            );
        }
    }
}

/// Sub-keys of property strings, their bounds and their words, against the API description.
#[test]
fn property_strings_have_the_sub_keys_bounds_and_words_of_proxmox() {
    let Some(api) = api() else {
        return;
    };
    let mut faults = Vec::new();
    let mut compared = 0;
    for (kind, method, path) in CALLS {
        let parameters = parameters(&api, method, path);
        let spec = &schema::schema(kind)["properties"]["spec"];
        compare(kind, spec, parameters, &mut faults, &mut compared);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(compared > 150, "only {compared} compared");
}

type Parameters = serde_json::Map<String, Value>;

fn compare(
    kind: Kind,
    schema: &Value,
    known: &Parameters,
    faults: &mut Vec<String>,
    compared: &mut usize,
) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let Some(keys) = field["x-proxmox-key"].as_str() else {
            compare(kind, field, known, faults, compared);
            continue;
        };
        for key in keys.split_whitespace() {
            let (main, sub) = key
                .split_once(',')
                .map_or((key, None), |(m, s)| (m, Some(s)));
            let Some(parameter) = known.get(main) else {
                continue;
            };
            // Of the datacenter it is a number, whose greater values are a trial; documents say yes or no.
            if kind == Kind::Firewall && main == "enable" {
                continue;
            }
            let format = parameter["format"].as_object();
            match (sub, format) {
                (Some(sub), Some(format)) => {
                    leaf(kind, name, field, &format[sub], faults, compared)
                }
                (Some(_), None) => {}
                (None, Some(format)) => {
                    let inner = if field["additionalProperties"].is_object() {
                        &field["additionalProperties"]
                    } else {
                        field
                    };
                    sub_keys(
                        kind,
                        &format!("{name}({main})"),
                        inner,
                        format,
                        faults,
                        compared,
                    );
                }
                (None, None) => leaf(kind, name, field, parameter, faults, compared),
            }
        }
    }
}

fn sub_keys(
    kind: Kind,
    name: &str,
    schema: &Value,
    format: &Parameters,
    faults: &mut Vec<String>,
    compared: &mut usize,
) {
    let mut typed = BTreeSet::new();
    let mut all = Vec::new();
    for (inner, field) in schema["properties"].as_object().into_iter().flatten() {
        match field["x-proxmox-key"].as_str() {
            Some(key) => all.push((inner, key, field)),
            None => {
                for (deeper, field) in field["properties"].as_object().into_iter().flatten() {
                    all.push((deeper, field["x-proxmox-key"].as_str().unwrap(), field));
                }
            }
        }
    }
    for (inner, key, field) in all {
        typed.insert(key);
        match format.get(key) {
            Some(parameter) => leaf(
                kind,
                &format!("{name}.{inner}"),
                field,
                parameter,
                faults,
                compared,
            ),
            // One type serves all buses; which bus has which option is checked when a document is read.
            None if [
                "iothread",
                "ro",
                "ssd",
                "wwn",
                "queues",
                "vendor",
                "product",
                "scsiblock",
                "model",
            ]
            .contains(&key) => {}
            None => faults.push(format!(
                "{kind} {name}.{inner}: Proxmox VE has no sub-key `{key}`"
            )),
        }
    }
    let elsewhere = [
        "media",
        "ms-cert",
        "romfile",
        "type",
        "fuse",
        "keyctl",
        "mknod",
        "mount",
        "force_rw_sys",
        "current",
    ];
    for (key, parameter) in format {
        let alias = parameter["alias"].is_string();
        // The size of these two is not chosen: Proxmox VE makes them as large as they have to be.
        if key == "size" && (name.starts_with("efiDisk") || name.starts_with("tpmState")) {
            continue;
        }
        if !alias
            && !typed.contains(key.as_str())
            && !elsewhere.contains(&key.as_str())
            && schema["properties"].is_object()
        {
            let cdrom = name.starts_with("cdroms");
            if !cdrom {
                faults.push(format!("{kind} {name}: no field for the sub-key `{key}`"));
            }
        }
    }
}

fn leaf(
    kind: Kind,
    name: &str,
    field: &Value,
    parameter: &Value,
    faults: &mut Vec<String>,
    compared: &mut usize,
) {
    *compared += 1;
    for bound in ["minimum", "maximum"] {
        let number = |v: &Value| {
            v.as_f64()
                .or_else(|| v.as_str().and_then(|s| s.parse().ok()))
        };
        // Bounds of sizes are in MiB there, a time is in seconds; both have their own check here.
        let plain = field["format"] != "memory-size" && field["format"] != "expiry";
        if let (Some(theirs), true) = (number(&parameter[bound]), plain) {
            let ours = number(&field[bound]).or(match (field["format"].as_str(), bound) {
                (Some("uint32" | "uint64"), "minimum") => Some(0.0),
                _ => None,
            });
            let within = ours.is_some_and(|ours| {
                if bound == "minimum" {
                    ours >= theirs
                } else {
                    ours <= theirs
                }
            });
            if !within {
                faults.push(format!(
                    "{kind} {name}: {bound} is {theirs} there and {ours:?} here"
                ));
            }
        }
    }
    if let (Some(theirs), Some(ours)) = (parameter["enum"].as_array(), field["enum"].as_array()) {
        let words = |list: &[Value]| {
            list.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
        };
        if words(theirs) != words(ours) {
            faults.push(format!(
                "{kind} {name}: words {:?} there, {:?} here",
                words(theirs),
                words(ours)
            ));
        }
    }
}
