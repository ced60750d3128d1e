//! CustomResourceDefinitions for Kubernetes, made from the same schemas.
//!
//! Kubernetes takes a subset of OpenAPI v3 (a "structural schema"): no `null` in types but `nullable`, no `propertyNames`, no
//! `uniqueItems`, no `additionalProperties: false` (the server prunes unknown fields itself). The rewriting is written here, in a
//! page, because the library that does it brings all of Kubernetes' types, minutes of building for four files.
//! Formats and what fields say together are not in a structural schema: they are checked when the document is read.

use serde_json::{Map, Value, json};

use super::schema::{PROXMOX_KEY, schema};
use super::{GROUP, Kind, VERSION};

/// The plural of a kind, as it stands in the URL of Kubernetes' API.
fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::VirtualMachine => "virtualmachines",
        Kind::Container => "containers",
        Kind::Storage => "storages",
        Kind::Pool => "pools",
        Kind::BackupJob => "backupjobs",
        Kind::Snapshot => "snapshots",
        Kind::ReplicationJob => "replicationjobs",
        Kind::Image => "images",
        Kind::Group => "groups",
        Kind::User => "users",
        Kind::Role => "roles",
        Kind::AccessRule => "accessrules",
        Kind::ApiToken => "apitokens",
        Kind::Realm => "realms",
        Kind::FirewallAlias => "firewallaliases",
        Kind::IpSet => "ipsets",
        Kind::SecurityGroup => "securitygroups",
        Kind::Firewall => "firewalls",
    }
}

/// The name of the definition, which is also its file's.
pub fn name(kind: Kind) -> String {
    format!("{}.{GROUP}", plural(kind))
}

/// The definition of a kind (`apiextensions.k8s.io/v1`).
pub fn definition(kind: Kind) -> Value {
    let spec = schema(kind)
        .pointer("/properties/spec")
        .map_or(Value::Null, structural);
    let about = schema(kind).get("description").cloned();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name(kind)},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.as_str(),
                "listKind": format!("{kind}List"),
                "plural": plural(kind),
                "singular": kind.as_str().to_ascii_lowercase(),
                "categories": ["bailiwick"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": {
                    "description": about,
                    "type": "object",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": spec,
                        "status": status(),
                    },
                    "required": ["spec"],
                }},
            }],
        },
    })
}

fn status() -> Value {
    json!({
        "description": "What Bailiwick found and did; written by Bailiwick only.",
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64"},
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string"},
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                        "reason": {"type": "string"},
                        "message": {"type": "string"},
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                        "observedGeneration": {"type": "integer", "format": "int64"},
                    },
                    "required": ["type", "status"],
                },
            },
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// A schema as Kubernetes takes it.
fn structural(schema: &Value) -> Value {
    let Value::Object(map) = schema else {
        return schema.clone();
    };
    let mut out = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "type" => type_of(value, &mut out),
            "enum" => {
                let words = value.as_array().into_iter().flatten();
                let words = words.filter(|word| !word.is_null()).cloned().collect();
                out.insert(key.clone(), Value::Array(words));
            }
            "format" => {
                let known = match value.as_str() {
                    Some("int32") => Some("int32"),
                    Some("uint32" | "uint64" | "int64") => Some("int64"),
                    Some("double") => Some("double"),
                    _ => None,
                };
                if let Some(known) = known {
                    out.insert(key.clone(), known.into());
                }
            }
            "properties" => {
                let fields = value.as_object().into_iter().flatten();
                let fields = fields.map(|(name, field)| (name.clone(), structural(field)));
                out.insert(key.clone(), Value::Object(fields.collect()));
            }
            "items" => {
                out.insert(key.clone(), structural(value));
            }
            "additionalProperties" if value.is_object() => {
                out.insert(key.clone(), structural(value));
            }
            "uniqueItems" => {
                out.insert("x-kubernetes-list-type".to_owned(), "set".into());
            }
            "description" | "required" | "minimum" | "maximum" | "minLength" | "maxLength"
            | "minItems" | "minProperties" | "maxProperties" => {
                out.insert(key.clone(), value.clone());
            }
            // What Kubernetes does not take: the key of Proxmox VE, names of keys, the ban on other fields.
            PROXMOX_KEY | "propertyNames" | "additionalProperties" => {}
            _ => {}
        }
    }
    Value::Object(out)
}

fn type_of(value: &Value, out: &mut Map<String, Value>) {
    match value {
        Value::Array(several) => {
            if let Some(main) = several.iter().find(|name| name.as_str() != Some("null")) {
                out.insert("type".to_owned(), main.clone());
            }
            if several.iter().any(|name| name.as_str() == Some("null")) {
                out.insert("nullable".to_owned(), Value::Bool(true));
            }
        }
        one => {
            out.insert("type".to_owned(), one.clone());
        }
    }
}
