//! Edit scripts against the simulator's API: after every call the list is what the script says, and at the end the wanted one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "sim/client.rs"]
#[allow(dead_code)]
mod client;

use bailiwick::plan::rule_list::{Block, Edit, Groups, apply, same, script, script_of_block};
use bailiwick::world::firewall::Rule;
use client::Sim;
use serde_json::Value;

const RULES: &str = "/cluster/firewall/rules";

/// A source of numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn rule(&mut self) -> Rule {
        let mut rule = Rule::default();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                rule.fields.insert(key.to_owned(), value.to_owned());
            }
        };
        put("type", ["in", "in", "out"][self.below(3)]);
        put("action", ["ACCEPT", "DROP", "REJECT"][self.below(3)]);
        put("enable", ["1", "1", "0"][self.below(3)]);
        put(
            "source",
            ["", "10.1.2.3/8", "10.0.0.7/32", "2001:db8::/32"][self.below(4)],
        );
        if self.below(2) == 0 {
            put("proto", "tcp");
            put("dport", ["22", "80,443", "8000:8010"][self.below(3)]);
        }
        put("comment", ["", "one", "two words"][self.below(3)]);
        put("log", ["", "nolog", "info"][self.below(3)]);
        rule
    }
}

async fn list(sim: &Sim) -> Vec<Rule> {
    let reply = sim.get(RULES).await;
    let rule = |item: &Value| {
        let fields = item.as_object().unwrap().iter();
        let fields = fields.filter(|(key, _)| !["pos", "digest", "ipversion"].contains(&&***key));
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Rule {
            fields: fields
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            ..Rule::default()
        }
    };
    reply.data().as_array().unwrap().iter().map(rule).collect()
}

fn means(one: &[Rule], other: &[Rule]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
}

/// Makes an edit's call.
async fn call(sim: &Sim, edit: &Edit) {
    let mut params: Vec<(String, String)> = Vec::new();
    let (method, path) = match edit {
        Edit::Insert { fields } => {
            params.extend(fields.clone());
            // Said, and not listened to.
            params.push(("pos".into(), "2".into()));
            ("POST", RULES.to_owned())
        }
        Edit::Update {
            position,
            set,
            delete,
        } => {
            params.extend(set.clone());
            if !delete.is_empty() {
                params.push(("delete".into(), delete.join(",")));
            }
            ("PUT", format!("{RULES}/{position}"))
        }
        Edit::Move { from, to } => {
            params.push(("moveto".into(), to.to_string()));
            ("PUT", format!("{RULES}/{from}"))
        }
        Edit::Delete { position } => ("DELETE", format!("{RULES}/{position}")),
    };
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let reply = sim.call(method, &path, &params).await;
    assert_eq!(reply.status, 200, "{edit:?} {reply:?}");
}

/// Plays a script; every list on the way is what was said.
async fn play(sim: &Sim, edits: &[Edit]) {
    let mut said = list(sim).await;
    for edit in edits {
        call(sim, edit).await;
        said = apply(&said, edit);
        let is = list(sim).await;
        assert!(means(&is, &said), "{edit:?}\n{is:#?}\n{said:#?}");
    }
}

#[tokio::test]
async fn the_simulator_makes_of_each_call_what_the_script_says() {
    let sim = Sim::lab().await;
    let mut numbers = Numbers(7);
    for round in 0..40 {
        let live = list(&sim).await;
        let mut wanted = live.clone();
        for _ in 0..numbers.below(6) {
            let at = numbers.below(wanted.len() + 1);
            match numbers.below(4) {
                0 if at < wanted.len() => drop(wanted.remove(at)),
                1 if at < wanted.len() => wanted[at] = numbers.rule(),
                2 if at < wanted.len() => {
                    let rule = wanted.remove(at);
                    wanted.insert(numbers.below(wanted.len() + 1), rule);
                }
                _ => wanted.insert(at, numbers.rule()),
            }
        }
        let edits = script(&live, &wanted, &Groups::new()).unwrap();
        play(&sim, &edits).await;
        let is = list(&sim).await;
        assert!(means(&is, &wanted), "{round} {edits:#?}\n{is:#?}");
        assert_eq!(script(&is, &wanted, &Groups::new()), Ok(vec![]));
    }
    // A block, made and changed.
    let app = |new_at| Block {
        name: "app",
        new_at,
        forward: false,
    };
    for count in [0, 3, 2] {
        let ours: Vec<Rule> = (0..count).map(|_| numbers.rule()).collect();
        let edits =
            script_of_block(&list(&sim).await, &app(Some(1)), &ours, &Groups::new()).unwrap();
        play(&sim, &edits).await;
        let again = script_of_block(&list(&sim).await, &app(None), &ours, &Groups::new()).unwrap();
        assert_eq!(again, []);
    }
}
