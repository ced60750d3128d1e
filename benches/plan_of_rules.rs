//! How long it takes to plan the change of one firewall rule, with everybody's reach before, after and on the way: 500 guests with 30
//! rules each and 200 rules of the datacenter on 8 nodes. The aim is 200 ms of processor time for the change of a guest's rule, and for
//! one of the datacenter's, which concerns every node.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use bailiwick::document::load;
use bailiwick::plan::{
    ApiView, Item, Origin, Ownership, Plan, PlanInput, Restart, Settings, Wanted, make_plan,
};
use bailiwick::world::World;
use bailiwick::world::firewall::{IpSet, NodeAddress, NodeScope, Rule, Scope, SetEntry};
use bailiwick::world::testing::{Builder, node, section, vmid};
use criterion::{Criterion, criterion_group, criterion_main};

const NODES: [&str; 8] = [
    "pve1", "pve2", "pve3", "pve4", "pve5", "pve6", "pve7", "pve8",
];

fn rule(number: u32) -> Rule {
    let source = match number % 5 {
        0 => format!("10.{}.{}.0/24", number % 13, number % 251),
        1 => format!("192.0.2.{},198.51.100.0/25", number % 255),
        2 => "+friends".to_owned(),
        3 => format!("2001:db8:{:x}::/48", number % 4096),
        _ => "10.0.0.0/8".to_owned(),
    };
    let dport = match number % 3 {
        0 => format!("{}", 20 + number * 37 % 9000),
        1 => format!("{},{}", 20 + number * 31 % 900, 1000 + number * 17 % 9000),
        _ => format!(
            "{}:{}",
            1000 + number * 41 % 30_000,
            1050 + number * 41 % 30_000
        ),
    };
    let (drop, udp) = (number.is_multiple_of(7), number.is_multiple_of(4));
    Rule {
        fields: section(&[
            ("type", "in"),
            ("action", if drop { "DROP" } else { "ACCEPT" }),
            ("enable", "1"),
            ("proto", if udp { "udp" } else { "tcp" }),
            ("source", &source),
            ("dport", &dport),
        ]),
        errors: section(&[]),
    }
}

fn rules(count: u32, seed: u32) -> Vec<Rule> {
    (0..count).map(|number| rule(number * 17 + seed)).collect()
}

fn scope(rules: Vec<Rule>) -> Scope {
    Scope {
        options: section(&[("enable", "1")]),
        rules,
        ..Scope::default()
    }
}

fn world() -> World {
    let mut builder = Builder::new(&NODES);
    for number in 0..500 {
        let net0 = format!(
            "virtio=BC:24:11:00:{:02X}:{:02X},bridge=vmbr0,firewall=1",
            number / 256,
            number % 256
        );
        let on = NODES[number as usize % NODES.len()];
        builder = builder.vm(1000 + number, on, &[("net0", &net0)]);
    }
    builder
        .edit(|world| {
            let held = ["VM.Config.Network", "VM.Audit", "Sys.Modify"];
            let held = held.map(|privilege| (privilege.to_owned(), true)).into();
            world.permissions = Arc::new(BTreeMap::from([("/".to_owned(), held)]));
            let entries = (0..60).map(|at| SetEntry {
                cidr: format!("172.16.{at}.0/25"),
                nomatch: u32::is_multiple_of(at, 9),
                ..SetEntry::default()
            });
            let friends = IpSet {
                entries: entries.collect(),
                ..IpSet::default()
            };
            let mut cluster = scope(rules(200, 1));
            cluster.ipsets.insert("friends".to_owned(), friends);
            world.firewalls.cluster = Ok(Arc::new(cluster));
            for (at, name) in NODES.iter().enumerate() {
                let address = NodeAddress {
                    interface: "vmbr0".to_owned(),
                    cidr: format!("10.0.0.{}/24", at + 10),
                };
                let there = NodeScope {
                    firewall: Ok(Arc::new(Scope::default())),
                    addresses: Ok(vec![address]),
                };
                world.firewalls.nodes.insert(node(name), Arc::new(there));
            }
            for number in 0..500 {
                let own = scope(rules(30, number * 7));
                let guest = vmid(1000 + number);
                world.firewalls.guests.insert(guest, Ok(Arc::new(own)));
            }
        })
        .build()
}

/// The document of a firewall with these rules.
fn document(whose: &str, rules: &[Rule]) -> String {
    let mut text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {{name: it}}\nspec:\n  {whose}\n  rules:\n"
    );
    for rule in rules {
        let field = |key: &str| &rule.fields[key];
        text.push_str(&format!(
            "  - {{direction: in, action: {}, proto: {}, source: '{}', dport: '{}'}}\n",
            field("action"),
            field("proto"),
            field("source"),
            field("dport")
        ));
    }
    text
}

fn planned(world: &World, text: &str) -> Plan {
    let documents = load(&[("it.yaml", text.to_owned())]).unwrap();
    let settings = Settings::default();
    make_plan(&PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items: vec![Item {
            key: "Firewall/it".to_owned(),
            source: "operator:bench".to_owned(),
            hash: None,
            wanted: Wanted::Present(documents[0].desired()),
            restart: Restart::Never,
            take_over: None,
            labels: BTreeMap::new(),
        }],
        ownership: &Ownership::default(),
        world,
        api: ApiView::NotAsked,
        settings: &settings,
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups: &Default::default(),
    })
    .unwrap()
}

fn one_rule(criterion: &mut Criterion) {
    let world = world();
    let mut group = criterion.benchmark_group("plan the change of one rule");
    group.sample_size(10);
    let cases = [
        ("of a guest", "guest: 1250", rules(30, 250 * 7)),
        ("of the datacenter", "cluster: true", rules(200, 1)),
    ];
    for (name, whose, mut rules) in cases {
        let last = rules.last_mut().unwrap();
        last.fields.insert("action".into(), "ACCEPT".into());
        last.fields.insert("source".into(), "203.0.113.0/24".into());
        let text = document(whose, &rules);
        let plan = planned(&world, &text);
        assert!(!plan.impacts.is_empty(), "{:?}", plan.steps);
        group.bench_function(name, |bencher| {
            bencher.iter(|| planned(black_box(&world), &text));
        });
    }
    group.finish();
}

criterion_group!(benches, one_rule);
criterion_main!(benches);
