//! Every example is what its reader takes: documents, configurations or parts of them, JSON, and calls of the program.
//!
//! What a YAML block is shows in it: a document or configuration has `kind`, a part of a configuration has nothing but its fields.
//! Words after the language say what does not show: `spec=KIND` (the spec of a document), `refused` (a document that is refused, with
//! the message in the block that follows).

use std::path::Path;

use bailiwick::cli::arguments::Arguments;
use bailiwick::configuration::Configuration;
use bailiwick::document;
use clap::Parser;
use clap::error::ErrorKind;
use serde_json::{Map, Value, json};

use super::pages::{Block, all};
use super::shell;

/// Fields of a configuration that may stand in an example by themselves.
const PARTS: &[&str] = &[
    "clusters",
    "state",
    "ledger",
    "approval",
    "sources",
    "defaultPrincipal",
    "serve",
    "reconcile",
    "notify",
];

/// A configuration that has whatever a part of one needs around it.
fn whole(part: Map<String, Value>) -> Value {
    let cluster = |name: &str| json!({"name": name, "endpoints": [format!("https://{name}.example.com")], "tls": {"systemRoots": true}, "token": {"env": "TOKEN"}});
    let mut whole = json!({
        "apiVersion": "bailiwick.dev/v1alpha1", "kind": "Configuration",
        "clusters": [cluster("lab"), cluster("home")],
        "ledger": {"keyFile": "keys/ledger.key"},
        "approval": {
            "allowedSigners": "allowed_signers",
            "groups": {"operators": ["alice", "bob"], "storage": ["bob", "carol"]},
        },
    });
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Object(around)), Value::Object(fields)) => around.extend(fields),
            (_, value) => {
                whole.as_object_mut().unwrap().insert(name, value);
            }
        }
    }
    whole
}

fn load(text: &str) -> Result<Vec<document::Document>, document::DocumentErrors> {
    document::load(&[("web.yaml", text)])
}

/// What a block of YAML is taken for, once it was taken.
fn yaml(block: &Block) -> Result<&'static str, String> {
    if let Some(kind) = block.value("spec") {
        let spec: String = block
            .text
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect();
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: example}}\nspec:\n{spec}"
        );
        return load(&text)
            .map(|_| "spec")
            .map_err(|errors| errors.to_string());
    }
    if block.says("refused") {
        return match load(&block.text) {
            Ok(_) => Err("is not refused".to_owned()),
            Err(_) => Ok("refused"),
        };
    }
    let parsed: Vec<Value> =
        serde_saphyr::from_multiple(&block.text).map_err(|error| error.to_string())?;
    let fields: Vec<&Map<String, Value>> = parsed.iter().filter_map(Value::as_object).collect();
    if fields
        .iter()
        .any(|fields| fields.get("kind") == Some(&json!("Configuration")))
    {
        return Configuration::parse(&block.text, Path::new("bailiwick.yaml"))
            .map(|_| "configuration")
            .map_err(|error| error.to_string());
    }
    if fields.iter().any(|fields| {
        ["kind", "spec", "metadata"]
            .iter()
            .any(|name| fields.contains_key(*name))
    }) {
        return load(&block.text)
            .map(|_| "document")
            .map_err(|errors| errors.to_string());
    }
    if let [part] = fields.as_slice()
        && part.keys().all(|name| PARTS.contains(&name.as_str()))
    {
        let text = whole((*part).clone()).to_string();
        return Configuration::parse(&text, Path::new("bailiwick.yaml"))
            .map(|_| "part")
            .map_err(|error| error.to_string());
    }
    Ok("other")
}

#[test]
fn yaml_is_what_it_is_shown_for() {
    let mut wrong = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    for page in all() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "yaml")
        {
            match yaml(block) {
                Ok(what) => *counts.entry(what).or_insert(0) += 1,
                Err(why) => wrong.push(format!("docs/{}: {why}", block.place)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for what in ["document", "configuration", "part", "spec", "refused"] {
        assert!(
            counts.get(what).copied().unwrap_or(0) > 0,
            "no {what} was found: {counts:?}"
        );
    }
}

#[test]
fn messages_of_refused_documents_are_the_program_s() {
    let mut checked = 0;
    for page in all() {
        let blocks = page.blocks();
        for (block, next) in blocks.iter().zip(blocks.iter().skip(1)) {
            if block.says("refused") {
                let said = load(&block.text).unwrap_err().to_string();
                assert_eq!(next.text.trim(), said.trim(), "docs/{}", next.place);
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
}

#[test]
fn json_is_json() {
    for page in all() {
        for block in page
            .blocks()
            .iter()
            .filter(|block| block.language == "json")
        {
            serde_json::from_str::<Value>(&block.text)
                .unwrap_or_else(|error| panic!("docs/{}: {error}", block.place));
        }
    }
}

#[test]
fn calls_in_examples_are_understood() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in all() {
        for block in page.blocks() {
            let script = match block.language.as_str() {
                "sh" => block.text.clone(),
                "console" => block
                    .text
                    .lines()
                    .filter_map(|line| line.strip_prefix("$ "))
                    .collect::<Vec<_>>()
                    .join("\n"),
                _ => continue,
            };
            for call in shell::of_bailiwick(&script) {
                checked += 1;
                if let Err(error) = Arguments::try_parse_from(&call) {
                    wrong.push(format!("docs/{}: {}\n{error}", block.place, call.join(" ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 40, "only {checked} calls found");
}

/// In prose a command may be named without what it needs.
#[test]
fn calls_in_prose_are_understood() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in all() {
        for span in page.spans() {
            for call in shell::of_bailiwick(&span) {
                if call.len() < 2 {
                    continue;
                }
                checked += 1;
                match Arguments::try_parse_from(&call) {
                    Ok(_) => {}
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::MissingRequiredArgument
                                | ErrorKind::MissingSubcommand
                                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                                | ErrorKind::DisplayHelp
                        ) => {}
                    Err(error) => wrong.push(format!("docs/{}: `{span}`\n{error}", page.name)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 20, "only {checked} calls found");
}
