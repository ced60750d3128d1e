//! How long it takes to say what the change of one firewall rule does to everybody's reach: 500 guests with 30 rules each, a security
//! group of 20, and 200 rules of the datacenter on 8 nodes. The goal is 200 ms.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::hint::black_box;

use bailiwick::health::reach::{
    Cluster, Compiled, Entry, Environment, Guest, GuestFirewall, GuestKind, Host, Interface, Known,
    Model, Network, Nic, Node, Objects, RuleText, Spaces, changes,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn rule(number: u32, group: bool, objects: &Objects) -> Entry {
    let source = match number % 5 {
        0 => format!("10.{}.{}.0/24", number % 13, number % 251),
        1 => format!("192.0.2.{},198.51.100.0/25", number % 255),
        2 => "+friends".to_owned(),
        3 => format!("2001:db8:{:x}::/48", number % 4096),
        _ => String::new(),
    };
    let text = RuleText {
        kind: "in".into(),
        action: if number.is_multiple_of(7) {
            "DROP"
        } else {
            "ACCEPT"
        }
        .into(),
        source: Some(source),
        proto: Some(
            if number.is_multiple_of(4) {
                "udp"
            } else {
                "tcp"
            }
            .into(),
        ),
        dport: Some(match number % 3 {
            0 => format!("{}", 20 + number * 37 % 9000),
            1 => format!("{},{}", 20 + number * 31 % 900, 1000 + number * 17 % 9000),
            _ => {
                let low = 1000 + number * 41 % 30_000;
                format!("{low}:{}", low + 50)
            }
        }),
        enable: true,
        ..RuleText::default()
    };
    let environment = if group {
        Environment::Group
    } else {
        Environment::Guest
    };
    Entry::read(&text, environment, objects, None)
}

fn line_of_group(objects: &Objects) -> Entry {
    let text = RuleText {
        kind: "group".into(),
        action: "shared".into(),
        enable: true,
        ..RuleText::default()
    };
    Entry::read(&text, Environment::Guest, objects, None)
}

/// The cluster; every guest's rules are its own.
fn model() -> Model {
    let mut objects = Objects::default();
    let elements: Vec<(String, bool)> = (0..60)
        .map(|at| (format!("172.16.{at}.0/25"), u32::is_multiple_of(at, 9)))
        .collect();
    objects.define_set("friends", &elements, None);
    let cluster = Cluster {
        enable: true,
        rules: (0..200)
            .map(|number| rule(number * 3 + 1, false, &objects))
            .collect(),
        groups: [(
            "shared".to_owned(),
            (0..20)
                .map(|number| rule(number * 11 + 5, true, &objects))
                .collect(),
        )]
        .into(),
        objects: objects.clone(),
        ..Cluster::default()
    };
    let node = |at: u32| Node {
        firewall: Known::Read(Host::default()),
        interfaces: vec![Interface {
            name: Some("vmbr0".into()),
            addresses: vec![Network::parse(&format!("10.0.0.{}/24", at + 10)).unwrap()],
        }],
        local_network: Network::parse("10.0.0.0/24"),
    };
    let guest = |vmid: u32| Guest {
        kind: GuestKind::Vm,
        node: format!("pve{}", vmid % 8),
        nics: [(
            "net0".to_owned(),
            Nic {
                firewall: true,
                mac: Some(u64::from(vmid)),
                bridge: "vmbr0".into(),
                addresses: Vec::new(),
                readable: true,
            },
        )]
        .into(),
        firewall: Known::Read(Some(GuestFirewall {
            enable: true,
            rules: (0..29)
                .map(|number| rule(number * 17 + vmid * 7, false, &objects))
                .chain([line_of_group(&objects)])
                .collect(),
            ..GuestFirewall::default()
        })),
    };
    Model {
        cluster: Known::Read(cluster),
        nodes: (0..8).map(|at| (format!("pve{at}"), node(at))).collect(),
        guests: (0..500)
            .map(|at| (1000 + at, guest(1000 + at)))
            .collect::<BTreeMap<_, _>>(),
        corosync: Known::Read(None),
        vnets: Known::Read(BTreeMap::new()),
    }
}

fn cluster_of(model: &mut Model) -> &mut Cluster {
    match &mut model.cluster {
        Known::Read(cluster) => cluster,
        Known::Unread(_) => panic!(),
    }
}

fn reach(criterion: &mut Criterion) {
    let before_model = model();
    let before = Compiled::new(&before_model);
    let ways = before.ways();
    let mut one_guest = before_model.clone();
    if let Known::Read(Some(firewall)) = &mut one_guest.guests.get_mut(&1250).unwrap().firewall {
        firewall.rules.remove(3);
    }
    let mut datacenter = before_model.clone();
    cluster_of(&mut datacenter).rules.remove(101);
    let mut group = before_model.clone();
    cluster_of(&mut group)
        .groups
        .get_mut("shared")
        .unwrap()
        .remove(5);
    for (name, after_model) in [
        ("one rule of a guest", one_guest),
        ("one rule of the datacenter", datacenter),
        ("one rule of a group that all guests have", group),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let after = Compiled::new(black_box(&after_model));
                let found = changes(&before, &after, &ways, &mut Spaces::default());
                assert!(!found.is_empty());
                found
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = reach
}
criterion_main!(benches);
