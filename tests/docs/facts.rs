//! Lists that the documentation repeats are the lists of the code.

use std::collections::BTreeSet;

use bailiwick::cli::arguments::EXIT_CODES;
use bailiwick::cli::exit::Exit;
use bailiwick::configuration::Configuration;
use bailiwick::store::ConditionType;
use regex::Regex;
use serde_json::Value;

use super::pages::{page, root, spans};

#[test]
fn exit_codes() {
    let rows = page("exit-codes.md").table("code");
    let codes = [
        (Exit::Success, "Success"),
        (Exit::Error, "Error"),
        (Exit::Waits, "waits"),
        (Exit::Refused, "Refused"),
        (Exit::Undetermined, "Undetermined"),
    ];
    assert_eq!(rows.len(), codes.len());
    for (row, (exit, word)) in rows.iter().zip(codes) {
        assert_eq!(row[0], format!("`{}`", exit as u8));
        assert!(row[1].contains(word), "{row:?}");
        assert!(EXIT_CODES.contains(&format!("{} ", exit as u8)));
    }
}

/// The privileges the quickstart explains are those it gives, those that `init` prints, and those of the README, which a test shows to
/// suffice.
#[test]
fn privileges() {
    let quickstart = page("quickstart-cluster.md");
    let given = |text: &str| -> BTreeSet<String> {
        let privileges = Regex::new("-privs \"([^\"]+)\"").unwrap();
        let found = privileges.captures(text).unwrap()[1].to_owned();
        found.split(',').map(str::to_owned).collect()
    };
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(given(&quickstart.text), given(&readme));
    assert_eq!(given(&quickstart.text), bailiwick::plan::needs::role());
    let explained: BTreeSet<String> = quickstart
        .table("privilege")
        .iter()
        .flat_map(|row| spans(&row[0]))
        .collect();
    assert_eq!(explained, given(&quickstart.text));
}

/// Every field of the configuration is named on its page.
#[test]
fn fields_of_the_configuration() {
    fn names(schema: &Value, out: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(properties)) = map.get("properties") {
                    out.extend(properties.keys().cloned());
                }
                map.values().for_each(|value| names(value, out));
            }
            Value::Array(list) => list.iter().for_each(|value| names(value, out)),
            _ => {}
        }
    }
    let mut fields = BTreeSet::new();
    names(
        &serde_json::to_value(schemars::schema_for!(Configuration)).unwrap(),
        &mut fields,
    );
    assert!(fields.len() > 60, "only {} fields found", fields.len());
    let page = page("configuration.md");
    let told: BTreeSet<String> = page
        .text
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(spans)
        .flat_map(|span| {
            span.split(['.', '[', ']'])
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<&String> = fields.difference(&told).collect();
    assert!(
        missing.is_empty(),
        "not in the tables of docs/configuration.md: {missing:?}"
    );
}

#[test]
fn conditions() {
    let told: BTreeSet<String> = page("loop.md")
        .table("condition")
        .iter()
        .flat_map(|row| spans(&row[0]))
        .collect();
    let there: BTreeSet<String> = ConditionType::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(told, there);
}

/// The reasons of events that come from the ledger, from drift and from the ledger's verification.
#[test]
fn events() {
    let told: BTreeSet<String> = page("loop.md")
        .table("event")
        .iter()
        .flat_map(|row| spans(&row[0]))
        .collect();
    let source = std::fs::read_to_string(root().join("src/service/events.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let literal = Regex::new("\"([A-Z][A-Za-z]+)\"").unwrap();
    let mut there: BTreeSet<String> = literal
        .captures_iter(source)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(there.len() > 10);
    there.extend(["DriftFound", "DriftGone", "Stalled", "LedgerFailure"].map(str::to_owned));
    assert_eq!(told, there);
}

/// The categories of impacts, by the schema that plans have.
#[test]
fn categories_of_impacts() {
    let schema = bailiwick::plan::render::schema();
    let there: BTreeSet<String> = schema
        .pointer("/$defs/impact/properties/category/enum")
        .and_then(Value::as_array)
        .expect("the schema of plans lists the categories")
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    let told: BTreeSet<String> = page("approving.md")
        .table("category")
        .iter()
        .flat_map(|row| spans(&row[0]))
        .collect();
    assert_eq!(told, there);
}
