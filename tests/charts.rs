//! What lies in `charts/` fits the program: the dashboard and the alert rules use only metrics and labels there are, every alert says what
//! to do, and their queries can be parsed. `scripts/check-charts` runs this together with the rules' own tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use bailiwick::metrics::{ALL, Definition, Kind, Values};
use regex::Regex;
use serde_json::Value;

fn chart(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("charts")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&chart("grafana/bailiwick.json")).unwrap()
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&chart("prometheus/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .cloned()
        .collect()
}

/// Every query of the dashboard.
fn queries() -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, inner) in object {
                    match inner.as_str() {
                        Some(text) if name == "expr" => found.push(text.to_owned()),
                        _ => walk(inner, found),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| walk(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&dashboard(), &mut found);
    found
}

fn expressions() -> Vec<String> {
    let rules = rules();
    let alerts = rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned());
    alerts.chain(queries()).collect()
}

/// The definition that a name in a query is of: the metric's own, or that of its histogram.
fn definition(name: &str) -> Option<&'static Definition> {
    ALL.iter()
        .find(|definition| definition.name == name)
        .or_else(|| {
            ALL.iter().find(|definition| {
                matches!(definition.kind, Kind::Histogram(_))
                    && ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|suffix| name.strip_suffix(suffix) == Some(definition.name))
            })
        })
}

/// The metrics that a query uses.
fn used(expression: &str) -> BTreeSet<&'static str> {
    let name = Regex::new(r"\bbailiwick_[a-z_]+").unwrap();
    name.find_iter(expression)
        .map(|found| {
            let found = found.as_str();
            let known = definition(found);
            known
                .unwrap_or_else(|| panic!("there is no metric {found}: {expression}"))
                .name
        })
        .collect()
}

#[test]
fn every_metric_used_exists_and_every_metric_is_shown() {
    let mut seen = BTreeSet::new();
    for expression in expressions() {
        seen.extend(used(&expression));
    }
    let unused: Vec<_> = ALL
        .iter()
        .map(|definition| definition.name)
        .filter(|name| !seen.contains(name))
        .collect();
    assert!(unused.is_empty(), "in no panel and no alert: {unused:?}");
}

#[test]
fn every_label_used_exists_with_the_words_it_can_have() {
    let selector = Regex::new(r"(bailiwick_[a-z_]+)\{([^}]*)\}").unwrap();
    let matcher = Regex::new(r#"([a-z]+)(=~|!~|!=|=)"([^"]*)""#).unwrap();
    let grouping = Regex::new(r"by \(([^)]*)\)").unwrap();
    let mut checked = 0;
    for expression in expressions() {
        for found in selector.captures_iter(&expression) {
            let metric = definition(&found[1]).unwrap();
            for found in matcher.captures_iter(&found[2]) {
                let label = metric.labels.iter().find(|label| label.name == &found[1]);
                let label = label.unwrap_or_else(|| {
                    panic!("{} has no label {}: {expression}", metric.name, &found[1])
                });
                if let Values::Words(words) = label.values {
                    for word in found[3].split('|') {
                        assert!(words.contains(&word), "{word}: {expression}");
                        checked += 1;
                    }
                }
            }
        }
        let labels: BTreeSet<&str> = used(&expression)
            .into_iter()
            .flat_map(|name| definition(name).unwrap().labels)
            .map(|label| label.name)
            .chain(["job", "instance", "le"])
            .collect();
        for found in grouping.captures_iter(&expression) {
            for label in found[1].split(',').map(str::trim) {
                assert!(labels.contains(label), "{label}: {expression}");
            }
        }
    }
    assert!(checked > 20, "only {checked} words were found");
}

#[test]
fn every_alert_says_what_to_do() {
    let tests: Value = serde_saphyr::from_str(&chart("prometheus/alerts_test.yaml")).unwrap();
    let reference = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        for note in ["summary", "description", "runbook"] {
            let text = rule["annotations"][note].as_str().unwrap();
            assert!(text.len() > 15 && !text.contains('\n'), "{name}: {note}");
        }
        let url = format!("docs/metrics.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], url.as_str());
        assert!(reference.contains(&format!("\n### {name}\n")), "{name}");
        let of = |wanted: &str| {
            tests["tests"].as_array().unwrap().iter().any(|test| {
                test["name"] == format!("{name} {wanted}").as_str()
                    && test["alert_rule_test"][0]["alertname"] == name
            })
        };
        assert!(of("fires") && of("is silent"), "{name} has no test");
    }
}

#[test]
fn the_dashboards_panels_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
        let row = panel["type"] == "row";
        assert!(row || panel["datasource"]["uid"] == "${datasource}");
    }
    assert!(ids.len() > 20);
}

/// Every query of the dashboard as a recording rule, so that Prometheus's own tool parses it.
#[test]
fn the_dashboards_queries_can_be_parsed() {
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(index, query)| {
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$cluster", ".*");
            serde_json::json!({ "record": format!("panel:{index}"), "expr": query })
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let text = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(file.path(), text.to_string()).unwrap();
    let ran = Command::new("promtool")
        .args(["check", "rules", "--lint=none"])
        .arg(file.path())
        .output();
    let Ok(ran) = ran else {
        eprintln!("skipped: there is no promtool here");
        return;
    };
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
