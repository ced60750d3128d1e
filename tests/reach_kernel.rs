//! Reach against a real kernel: random rules as Proxmox VE's two backends would compile them, by compilers that know nothing of
//! `health::reach`, are loaded into network namespaces with real bridges; real connections are tried, and the evaluation must agree on every one. Skipped with
//! a notice where namespaces or the programs are not to be had.
#![allow(clippy::print_stderr)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/fw_file.rs"]
#[allow(dead_code)]
mod fw_file;
#[path = "support/kernel_nft.rs"]
mod kernel_nft;
#[path = "support/kernel_rules.rs"]
mod kernel_rules;
#[path = "support/reach_lab.rs"]
#[allow(dead_code)]
mod lab;
#[path = "support/netns.rs"]
mod netns;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bailiwick::health::reach::{Compiled, End, Family, Outcome, Packet, Way};
use kernel_nft::Bridges;
use kernel_rules::{Config, Guest, Rule};
use lab::{Chance, Lab};
use netns::{Attempt, Filter, PLACES, PORTS, World};

const SETS: usize = 45;
const ATTEMPTS: usize = 56;
const NFT_SETS: usize = 26;

const ACTIONS: &[&str] = &["ACCEPT", "ACCEPT", "DROP", "REJECT"];
const DPORTS: &[&str] = &[
    "22",
    "80",
    "443",
    "8006",
    "22:80",
    "22,80,5432",
    "5900:5999",
    "1:1024",
];
const SPORTS: &[&str] = &["53", "137", "20,53", "50000:60000"];
const MACROS: &[&str] = &["SSH", "Web", "DNS", "PostgreSQL"];
const V4: &[&str] = &[
    "10.0.0.0/24",
    "10.0.0.100",
    "10.0.0.101",
    "10.0.0.0/26",
    "192.0.2.1",
    "192.0.2.0/28",
    "192.0.2.10-192.0.2.20",
    "192.0.2.1,198.51.100.0/24",
    "203.0.113.0/24",
    "+some",
    "+management",
    "friend",
    "0.0.0.0/0",
];
const V6: &[&str] = &[
    "2001:db8::/64",
    "2001:db8::50",
    "2001:db8::/32",
    "2001:db8::100-2001:db8::101",
    "+some",
    "six",
];

fn maybe<T: Copy>(chance: &mut Chance, count: usize, all: &[T]) -> Option<T> {
    chance.one_in(count).then(|| *chance.of(all))
}

fn rule(chance: &mut Chance, ifaces: &[&'static str], group: bool) -> Rule {
    let mut rule = Rule {
        kind: chance.of::<&str>(&["IN", "IN", "OUT"]),
        action: chance.of::<&str>(ACTIONS),
        macro_name: None,
        iface: None,
        proto: None,
        dport: None,
        sport: None,
        source: None,
        dest: None,
        off: chance.one_in(12),
    };
    if !group {
        rule.iface = maybe(chance, 8, ifaces);
        if chance.one_in(6) {
            rule.kind = "GROUP";
            rule.action = *chance.of(&["web", "db"]);
            return rule;
        }
    }
    let peers = *chance.of(&[V4, V4, V6]);
    rule.source = maybe(chance, 2, peers);
    rule.dest = maybe(chance, 5, peers);
    if chance.one_in(6) {
        rule.macro_name = Some(*chance.of(MACROS));
        return rule;
    }
    rule.proto = maybe(chance, 1, &["tcp", "tcp", "udp"]).filter(|_| !chance.one_in(6));
    if rule.proto.is_some() {
        rule.dport = Some(*chance.of(DPORTS)).filter(|_| !chance.one_in(4));
        rule.sport = maybe(chance, 8, SPORTS);
    }
    rule
}

fn rules(chance: &mut Chance, most: usize, ifaces: &[&'static str], group: bool) -> Vec<Rule> {
    let count = chance.below(most + 1);
    (0..count).map(|_| rule(chance, ifaces, group)).collect()
}

fn policy(chance: &mut Chance) -> Option<&'static str> {
    maybe(chance, 2, &["ACCEPT", "DROP", "REJECT"])
}

fn config(chance: &mut Chance) -> Config {
    let mut sets = vec![
        (
            "some",
            vec![
                "192.0.2.0/24",
                "!192.0.2.64/26",
                "192.0.2.66",
                "2001:db8::/64",
            ],
        ),
        ("management", vec!["192.0.2.16/28", "203.0.113.9"]),
    ];
    if chance.one_in(3) {
        sets.push((
            "blacklist",
            vec!["198.51.100.7", "2001:db9::/32", "10.0.0.101"],
        ));
    }
    let host = &["vmbr0", "eth0"];
    let net = &["net0", "net1"];
    let guest = |chance: &mut Chance, vmid, container| {
        let guest = Guest {
            container,
            enabled: !chance.one_in(8),
            policy_in: policy(chance),
            policy_out: policy(chance),
            macfilter: !chance.one_in(4),
            ipfilter: chance.one_in(6),
            filter: chance
                .one_in(6)
                .then(|| vec!["10.0.0.100", "10.0.0.101", "2001:db8::/64"]),
            rules: rules(chance, 7, net, false),
        };
        (vmid, guest)
    };
    let guests = vec![
        guest(chance, 100, false),
        guest(chance, 101, false),
        guest(chance, 200, true),
    ];
    Config {
        nftables: false,
        local_network: None,
        vnet: None,
        host_enabled: !chance.one_in(10),
        nosmurfs: chance.one_in(2),
        policy_in: policy(chance),
        policy_out: policy(chance),
        sets,
        host: rules(chance, 6, host, false),
        cluster: rules(chance, 6, host, false),
        groups: ["web", "db"]
            .map(|name| (name, rules(chance, 5, &[], true)))
            .into(),
        guests,
    }
}

fn compiled(config: &Config) -> Compiled {
    let mut lab = Lab::new(&config.cluster_file(), &config.host_file());
    for (vmid, guest) in &config.guests {
        let file = Config::guest_file(guest);
        lab = if guest.container {
            lab.ct(*vmid, &file, &format!("ip=10.0.0.{vmid}/24"))
        } else {
            lab.vm(*vmid, &file)
        };
    }
    if let Some(vnet) = config.vnet_file() {
        lab = lab.vnet("vmbr0", &vnet, &[]);
    }
    lab.vm_without_firewall(102, "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP\nOUT DROP\n")
        .compiled()
}

fn end(place: usize) -> End {
    match PLACES[place].name {
        "outside" => End::Outside,
        "node" => End::Node {
            name: "pve1".into(),
            iface: Some("vmbr0".into()),
        },
        guest => End::Nic {
            vmid: guest[2..].parse().unwrap(),
            key: "net0".into(),
        },
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// What `health::reach` says of an attempt.
fn expected(compiled: &Compiled, from: usize, to: usize, attempt: &Attempt) -> Outcome {
    let way = Way {
        from: end(from),
        to: end(to),
    };
    let packet = Packet {
        family: if attempt.source.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        },
        protocol: if attempt.tcp { 6 } else { 17 },
        source: number(attempt.source.ip()),
        dest: number(attempt.dest.ip()),
        port: attempt.dest.port(),
        source_port: attempt.source.port(),
        mac: None,
    };
    compiled.verdict(&way, &packet).unwrap().outcome
}

fn attempt(
    chance: &mut Chance,
    used: &mut BTreeSet<(bool, SocketAddr, SocketAddr)>,
    busy: &mut BTreeSet<(bool, SocketAddr)>,
) -> (usize, usize, Attempt) {
    loop {
        // Places by weight: the node and the guests with a firewall meet most.
        let from = *chance.of(&[0, 1, 1, 1, 2, 3, 4, 5]);
        let to = *chance.of(&[0, 0, 1, 2, 2, 3, 4, 5]);
        let (source, dest) = (
            *chance.of(PLACES[from].addresses),
            *chance.of(PLACES[to].addresses),
        );
        if from == to || source.contains(':') != dest.contains(':') {
            continue;
        }
        let port = if chance.one_in(6) {
            *chance.of(&[53, 137, 20])
        } else {
            u16::try_from(40_000 + chance.below(19_999)).unwrap()
        };
        let attempt = Attempt {
            tcp: !chance.one_in(3),
            source: SocketAddr::new(source.parse().unwrap(), port),
            dest: SocketAddr::new(dest.parse().unwrap(), *chance.of(PORTS)),
        };
        // A connection that was there before is none that is opened; and a port of one's own serves one at a time.
        let own = (attempt.tcp, attempt.source);
        if used.insert((attempt.tcp, attempt.source, attempt.dest)) && busy.insert(own) {
            return (from, to, attempt);
        }
    }
}

fn agrees(expected: Outcome, result: netns::Result) -> bool {
    match expected {
        Outcome::Accept => result == netns::Result::Opened,
        Outcome::Reject => result == netns::Result::Refused,
        Outcome::Drop => result == netns::Result::Silence,
        Outcome::Unknown => false,
    }
}

/// The same for the nftables backend, with what only that takes: ports without a protocol, addresses of both versions in one rule, and rules
/// of the bridge, as if it were a vnet.
fn nft_config(chance: &mut Chance) -> Config {
    let mut config = config(chance);
    config.nftables = true;
    config.local_network = maybe(chance, 2, &["192.0.2.0/26", "2001:db8::/64", "10.0.0.0/25"]);
    if chance.one_in(2) {
        let policy = *chance.of(&["ACCEPT", "ACCEPT", "DROP"]);
        config.vnet = Some((policy, rules(chance, 5, &[], true)));
    }
    let lists = config.vnet.iter_mut().map(|(_, rules)| (rules, 1));
    let groups = config.groups.iter_mut().map(|(_, rules)| (rules, 4));
    for (rules, few) in lists.chain(groups) {
        for rule in rules.iter_mut() {
            if chance.one_in(few) {
                rule.kind = "FORWARD";
            }
            if rule.kind == "FORWARD" && rule.action == "REJECT" {
                rule.action = "DROP";
            }
        }
        if few == 1 && chance.one_in(3) {
            rules.push(Rule {
                kind: "GROUP",
                action: chance.of::<&str>(&["web", "db"]),
                ..Rule::default()
            });
        }
    }
    let guests = config.guests.iter_mut().map(|(_, guest)| &mut guest.rules);
    let groups = config.groups.iter_mut().map(|(_, rules)| rules);
    let lists = [&mut config.host, &mut config.cluster];
    for rule in lists.into_iter().chain(guests).chain(groups).flatten() {
        if rule.kind == "GROUP" {
            continue;
        }
        if rule.proto.is_none() && chance.one_in(8) {
            rule.dport = Some("22");
        }
        match (rule.source, rule.dest) {
            (Some("friend" | "+some"), None) if chance.one_in(3) => {
                rule.dest = Some("2001:db8::/32");
            }
            (None, Some("six")) if chance.one_in(2) => rule.source = Some("10.0.0.0/24"),
            _ => {}
        }
    }
    config
}

#[test]
fn real_connections_are_decided_alike() {
    decided_alike(Filter::Iptables, SETS, 2_000, 200);
}

#[test]
fn real_connections_through_nftables_are_decided_alike() {
    decided_alike(Filter::Nftables, NFT_SETS, 1_000, 100);
}

fn decided_alike(filter: Filter, sets: usize, at_least: usize, of_each: usize) {
    let mut world = match World::new("in_a_namespace", filter) {
        Ok(world) => world,
        Err(error) => {
            eprintln!("NOTICE: no connection was tried through {filter:?}: {error}");
            return;
        }
    };
    let bridges = Bridges {
        tracks: world.takes_nft(Bridges::TRACKING),
        rejects: world.takes_nft(Bridges::REJECTING),
        names: world.takes_nft(Bridges::NAMING),
    };
    if filter == Filter::Nftables {
        eprintln!("what this kernel can do itself on bridges: {bridges:?}");
    }
    let mut chance = Chance(20_260);
    let mut wrong = Vec::new();
    let mut counts = [0_usize; 3];
    let mut used = BTreeSet::new();
    for set in 0..sets {
        let config = match filter {
            Filter::Iptables => config(&mut chance),
            Filter::Nftables => nft_config(&mut chance),
        };
        match filter {
            Filter::Iptables => world.load(
                &config.ipsets(),
                &config.tables(false),
                &config.tables(true),
            ),
            Filter::Nftables => world.load_nft(&config.nft(bridges)),
        }
        .unwrap();
        let compiled = compiled(&config);
        let mut busy = BTreeSet::new();
        // With nftables, who of the other version of IP manages depends on what the node's name means, which nobody here says; and what a
        // vnet's rules drop on the way to and from the outside depends on whether that is routed.
        let may_be_unknown = |from: usize, to: usize| {
            let outside = [from, to]
                .map(|place| PLACES[place].name)
                .contains(&"outside");
            filter == Filter::Nftables
                && (config.local_network.is_none() || (config.vnet.is_some() && outside))
        };
        let known = |(from, to, attempt): &(usize, usize, Attempt)| {
            !may_be_unknown(*from, *to)
                || expected(&compiled, *from, *to, attempt) != Outcome::Unknown
        };
        let tried: Vec<(usize, usize, Attempt)> = (0..ATTEMPTS)
            .map(|_| attempt(&mut chance, &mut used, &mut busy))
            .filter(known)
            .collect();
        let jobs: Vec<(usize, Attempt)> = tried
            .iter()
            .map(|(from, _, attempt)| (*from, attempt.clone()))
            .collect();
        let results = world.open(&jobs, Duration::from_millis(350));
        for ((from, to, attempt), result) in tried.iter().zip(results) {
            let expected = expected(&compiled, *from, *to, attempt);
            match expected {
                Outcome::Accept => counts[0] += 1,
                Outcome::Drop => counts[1] += 1,
                _ => counts[2] += 1,
            }
            let mut result = result;
            if !agrees(expected, result) && result == netns::Result::Silence {
                // A busy machine may be late: once more, from another port, with patience.
                let mut again = attempt.clone();
                if again.source.port() >= 40_000 {
                    again.source.set_port(again.source.port() - 25_000);
                }
                if self::expected(&compiled, *from, *to, &again) == expected {
                    result = world.open(&[(*from, again)], Duration::from_secs(3))[0];
                }
            }
            if !agrees(expected, result) {
                wrong.push(format!(
                    "rules {set}: {} to {}: {attempt:?}: {result:?}, should be {expected:?}\n{}\n{}\n{}",
                    PLACES[*from].name,
                    PLACES[*to].name,
                    config.cluster_file(),
                    config.host_file(),
                    config
                        .guests
                        .iter()
                        .map(|(vmid, guest)| format!("{vmid}:\n{}", Config::guest_file(guest)))
                        .collect::<String>(),
                ));
            }
        }
    }
    let all: usize = counts.iter().sum();
    eprintln!(
        "tried {all} connections through {sets} lists of rules of {filter:?}: accepted, dropped, rejected {counts:?}"
    );
    assert!(
        wrong.is_empty(),
        "{} of {all} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
    assert!(all >= at_least && counts.iter().all(|count| *count > of_each));
}

/// No test of its own: what the test above starts in each namespace.
#[test]
#[ignore = "started by the test above in each namespace"]
fn in_a_namespace() {
    netns::work();
}
