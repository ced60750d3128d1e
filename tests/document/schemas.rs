//! The schemas and CRDs keep to what their readers understand, and the examples are valid. That the committed files are up to date
//! is held by `tests/generated.rs`.

use std::path::PathBuf;

use bailiwick::document::{Kind, crd, load, schema};
use bailiwick::document_files;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn examples_are_valid_and_every_kind_has_one() {
    let files = document_files::read(&[root().join("examples/documents")]).unwrap();
    let documents = load(&files).unwrap_or_else(|errors| panic!("{errors}"));
    for kind in Kind::ALL {
        assert!(
            documents.iter().any(|d| d.kind() == kind),
            "no example of {kind}"
        );
    }
}

/// Every schema inside a schema.
fn each(schema: &Value, path: &str, with: &mut dyn FnMut(&str, &Value)) {
    with(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        each(field, &format!("{path}.{name}"), with);
    }
    for key in ["items", "additionalProperties", "propertyNames"] {
        if schema[key].is_object() {
            each(&schema[key], &format!("{path}.{key}"), with);
        }
    }
}

#[test]
fn schemas_use_only_what_the_validator_understands_and_explain_every_field() {
    let known = [
        "$schema",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "items",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "minProperties",
        "maxProperties",
        "uniqueItems",
        "x-proxmox-key",
    ];
    let numbers = ["uint32", "uint64", "int32", "double"];
    for kind in Kind::ALL {
        let schema = schema::schema(kind);
        each(schema, kind.as_str(), &mut |path, schema| {
            for key in schema.as_object().unwrap().keys() {
                assert!(
                    known.contains(&key.as_str()),
                    "{path}: the validator does not know `{key}`"
                );
            }
            let types: Vec<&str> = match &schema["type"] {
                Value::String(one) => vec![one],
                several => several
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(Value::as_str)
                    .collect(),
            };
            assert!(
                types.iter().filter(|name| **name != "null").count() == 1,
                "{path}: {types:?}"
            );
            if let Some(format) = schema["format"].as_str() {
                let known = bailiwick::document::scalar::check(format, "").is_some();
                assert!(
                    known || numbers.contains(&format),
                    "{path}: no check for the format `{format}`"
                );
            }
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                if path == kind.as_str() && (name == "metadata" || name == "spec") {
                    continue;
                }
                assert!(
                    field["description"].is_string(),
                    "{path}.{name} has no description"
                );
            }
        });
    }
}

#[test]
fn custom_resource_definitions_are_structural() {
    for kind in Kind::ALL {
        let definition = crd::definition(kind);
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        each(schema, kind.as_str(), &mut |path, schema| {
            let map = schema.as_object().unwrap();
            assert!(schema["type"].is_string(), "{path} needs exactly one type");
            for forbidden in [
                "$ref",
                "propertyNames",
                "uniqueItems",
                "const",
                "oneOf",
                "anyOf",
                "definitions",
            ] {
                assert!(!map.contains_key(forbidden), "{path} has `{forbidden}`");
            }
            let both = map.contains_key("properties") && map.contains_key("additionalProperties");
            assert!(!both, "{path} has properties and additionalProperties");
        });
    }
}
