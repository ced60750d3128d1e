//! `docs/agents.md`: its examples can be read, and its codes are the program's.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::cli::arguments::Arguments;
use bailiwick::configuration::serving::Serve;
use bailiwick::mcp::Code;
use clap::Parser;
use serde_json::Value;

const GUIDE: &str = include_str!("../../docs/agents.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = GUIDE;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (head, body) = after.split_once('\n').unwrap();
        let (text, tail) = body.split_once("\n```").unwrap();
        if head == language {
            found.push(text.to_owned());
        }
        rest = tail;
    }
    found
}

#[test]
fn configurations_of_clients_are_json_that_leads_here() {
    let blocks = blocks("json");
    assert_eq!(blocks.len(), 5);
    for block in &blocks {
        let json: Value =
            serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        if json["error"].is_object() {
            continue;
        }
        let servers = json["mcpServers"]
            .as_object()
            .or(json["servers"].as_object())
            .unwrap();
        let server = &servers["bailiwick"];
        match server["url"].as_str() {
            Some(url) => {
                assert!(
                    url.starts_with("https://") && url.ends_with("/mcp"),
                    "{url}"
                );
                assert!(
                    server["headers"]["Authorization"]
                        .as_str()
                        .unwrap()
                        .starts_with("Bearer ${")
                );
            }
            None => {
                let arguments = server["args"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|arg| arg.as_str().unwrap());
                let command = [server["command"].as_str().unwrap()]
                    .into_iter()
                    .chain(arguments);
                Arguments::try_parse_from(command).unwrap();
            }
        }
    }
}

#[test]
fn commands_and_configuration_are_understood() {
    let lines: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.starts_with("bailiwick "))
        .collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        Arguments::try_parse_from(line.split_whitespace())
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let yaml = blocks("yaml");
    let serve: BTreeMap<String, Serve> = serde_saphyr::from_str(&yaml[0]).unwrap();
    let serve = &serve["serve"];
    assert!(serve.tls.is_some() && serve.hosts.contains("bailiwick.example"));
    assert_eq!(serve.body_limit, Serve::default().body_limit);
}

#[test]
fn every_code_is_told() {
    let (_, errors) = GUIDE.split_once("\n## Errors").unwrap();
    let (errors, _) = errors.split_once("What holds a plan up").unwrap();
    let told: BTreeSet<&str> = errors
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
    assert_eq!(told, codes);
}
