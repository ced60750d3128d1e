//! Reach against the truth set: packets through random firewall configurations as Proxmox VE's own compiler and a real kernel decided
//! them, in a folder that `BAILIWICK_SHARED` names. Every answer must be the same, by the walk of one packet and by the function of all.
#![allow(clippy::print_stderr)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/fw_file.rs"]
mod fw_file;
#[path = "support/reach_lab.rs"]
#[allow(dead_code)]
mod lab;
#[path = "support/save_walk.rs"]
mod save_walk;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use bailiwick::health::reach::{
    Address, Compiled, End, Family, Outcome, Packet, Space, Way, icmp_type, protocol,
};
use serde_json::Value;

/// ICMP messages that connection tracking takes for the start of nothing: a kernel drops them whatever the rules say.
fn belongs_to_nothing(packet: &Value) -> bool {
    let kind = packet["icmp_type"].as_str().unwrap_or_default();
    let tracked = [
        "echo-request",
        "timestamp-request",
        "address-mask-request",
        "router-solicitation",
        "router-advertisement",
        "neighbor-solicitation",
        "neighbor-advertisement",
    ];
    !kind.is_empty() && !tracked.contains(&kind)
}

fn end(text: &str, node: &str) -> End {
    match text {
        "outside" => End::Outside,
        "host" => End::Node {
            name: node.to_owned(),
            iface: Some("vmbr0".to_owned()),
        },
        guest => End::Nic {
            vmid: guest[2..].parse().unwrap(),
            key: "net0".to_owned(),
        },
    }
}

fn packet(value: &Value) -> Packet {
    let family = if value["v"] == 4 {
        Family::V4
    } else {
        Family::V6
    };
    let address = |key: &str| Address::parse(value[key].as_str().unwrap()).unwrap().value;
    let port = |key: &str| u16::try_from(value[key].as_u64().unwrap_or(0)).unwrap();
    let kind = value["icmp_type"].as_str().map(|name| {
        let kinds = icmp_type(name, family).unwrap();
        u16::try_from(kinds.iter().next().unwrap().0).unwrap()
    });
    Packet {
        family,
        protocol: protocol(value["proto"].as_str().unwrap()).unwrap(),
        source: address("source"),
        dest: address("dest"),
        port: kind.unwrap_or_else(|| port("dport")),
        source_port: port("sport"),
        mac: value["mac_source"].as_str().map(fw_file::mac),
    }
}

/// The lines of every set that is at hand, or nothing with a notice.
fn lines() -> Option<impl Iterator<Item = Value>> {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("proxmox/truth");
    let mut sets: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("firewall-") && name.ends_with(".jsonl.gz")
        })
        .collect();
    sets.sort();
    if sets.is_empty() {
        eprintln!(
            "NOTICE: no set of packets is in {} (set BAILIWICK_SHARED); none was compared",
            folder.display()
        );
        return None;
    }
    let lines = sets.into_iter().flat_map(|path| {
        let file = std::fs::File::open(path).unwrap();
        BufReader::new(flate2::read::GzDecoder::new(file)).lines()
    });
    Some(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

#[test]
fn every_packet_is_decided_as_proxmox_and_a_kernel_decided_it() {
    let Some(lines) = lines() else { return };
    let mut wrong = Vec::new();
    let (mut compared, mut left_out) = (0, 0);
    for line in lines {
        let compiled = Compiled::new(&fw_file::model(&line));
        let mut spaces = [Space::new(Family::V4), Space::new(Family::V6)];
        let node = line["node"]["name"].as_str().unwrap();
        for (number, given) in line["packets"].as_array().unwrap().iter().enumerate() {
            if belongs_to_nothing(given) {
                left_out += 1;
                continue;
            }
            let way = Way {
                from: end(given["from"].as_str().unwrap(), node),
                to: end(given["to"].as_str().unwrap(), node),
            };
            let wanted = given["kernel"].as_str().or(given["verdict"].as_str());
            let wanted = match wanted.unwrap() {
                "ACCEPT" => Outcome::Accept,
                "DROP" => Outcome::Drop,
                "REJECT" => Outcome::Reject,
                other => panic!("{other}"),
            };
            let packet = packet(given);
            let verdict = compiled.verdict(&way, &packet).unwrap();
            compared += 1;
            if verdict.outcome != wanted {
                wrong.push(format!(
                    "configuration {} packet {number}: {:?} because {:?}, should be {wanted:?}: {given}",
                    line["index"], verdict.outcome, verdict.because
                ));
            }
            // The function of a way supposes the sender's own MAC address.
            if packet.mac.is_none() {
                let space = &mut spaces[usize::from(packet.family == Family::V6)];
                let function = compiled.function(space, &way).unwrap();
                assert_eq!(
                    space.outcome(function, &packet),
                    Some(verdict.outcome),
                    "configuration {} packet {number}",
                    line["index"]
                );
            }
        }
    }
    eprintln!("compared {compared} packets, left out {left_out} that belong to nothing");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(compared > 10_000);
}

/// Every address that a configuration's texts name, with its neighbours.
fn addresses(line: &Value, family: Family) -> Vec<u128> {
    let mut texts = vec![
        line["cluster_fw"].to_string(),
        line["host_fw"].to_string(),
        line["guest_fw"].to_string(),
        line["addresses"].to_string(),
        line["corosync_conf"].to_string(),
        line["node"].to_string(),
    ];
    texts.push("192.0.2.77 8.8.8.8 2001:db9::1 fe80::1 fe80::be24:11ff:fe00:1".to_owned());
    let mut found: Vec<u128> = texts
        .iter()
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':')))
        .filter_map(|word| Address::parse(word.trim_end_matches(':')))
        .filter(|address| address.family == family && (2..family.last()).contains(&address.value))
        .flat_map(|address| [address.value - 1, address.value, address.value + 1])
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Every port that a configuration's texts name, with its neighbours.
fn ports(line: &Value) -> Vec<u16> {
    let texts = [
        line["cluster_fw"].to_string(),
        line["host_fw"].to_string(),
        line["guest_fw"].to_string(),
    ];
    let mut found: Vec<u16> = texts
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|word| word.parse::<u16>().ok())
        .chain([
            22, 25, 43, 53, 67, 68, 80, 135, 137, 443, 445, 546, 547, 587, 1900, 3128, 3306, 5404,
            5999, 8006, 60_050,
        ])
        .flat_map(|port| [port.saturating_sub(1), port, port.saturating_add(1)])
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn ip(family: Family, value: u128) -> std::net::IpAddr {
    match family {
        Family::V4 => std::net::Ipv4Addr::from(u32::try_from(value).unwrap()).into(),
        Family::V6 => std::net::Ipv6Addr::from(value).into(),
    }
}

/// The rules that Proxmox VE's compiler made decide more packets than were sent: those at the edges of everything a configuration names,
/// on every way, walked through the compiled text by an interpreter that knows nothing of ours.
#[test]
fn the_compiled_rules_decide_packets_nobody_sent_alike() {
    let Some(lines) = lines() else { return };
    let mut chance = lab::Chance(2_026);
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in lines {
        let model = fw_file::model(&line);
        let compiled = Compiled::new(&model);
        let node = line["node"]["name"].as_str().unwrap();
        let broadcast = ["10.99.0.255", "255.255.255.255"].map(|text| text.parse().unwrap());
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let rules = ["ruleset_v4", "ruleset_v6"]
            .map(|key| save_walk::Rules::read(text(key), text("ipsets"), broadcast.to_vec()));
        let mut ends = vec![End::Outside, end("host", node)];
        for (vmid, guest) in &model.guests {
            ends.extend(guest.nics.keys().map(|key| End::Nic {
                vmid: *vmid,
                key: key.clone(),
            }));
        }
        let (v4, v6) = (addresses(&line, Family::V4), addresses(&line, Family::V6));
        let ports = ports(&line);
        for _ in 0..400 {
            let (from, to) = (chance.of(&ends).clone(), chance.of(&ends).clone());
            if from == to {
                continue;
            }
            let (family, pool) =
                *chance.of(&[(Family::V4, &v4), (Family::V4, &v4), (Family::V6, &v6)]);
            let own = if family == Family::V4 { 1 } else { 58 };
            let number = *chance.of(&[6_u8, 6, 6, 17, 17, own, own, 2, 47, 50]);
            let kind = u16::from(*chance.of(match family {
                Family::V4 => &[0_u8, 3, 8, 11, 13][..],
                Family::V6 => &[1, 2, 3, 128, 129, 133, 134, 135, 136][..],
            }));
            let (port, source_port) = match number {
                6 | 17 => (*chance.of(&ports), *chance.of(&ports)),
                1 | 58 => ((kind << 8) | (u16::from(kind == 3) * 4), 0),
                _ => (0, 0),
            };
            let packet = Packet {
                family,
                protocol: number,
                source: *chance.of(pool),
                dest: *chance.of(pool),
                port,
                source_port,
                mac: None,
            };
            let way = Way { from, to };
            let plain = save_walk::Packet {
                proto: number,
                source: ip(family, packet.source),
                dest: ip(family, packet.dest),
                sport: source_port,
                dport: port,
                icmp: (
                    u8::try_from(port >> 8).unwrap(),
                    u8::try_from(port & 0xff).unwrap(),
                ),
                invalid: match (number, family) {
                    (1, Family::V4) => ![8, 13].contains(&kind),
                    (58, Family::V6) => ![128, 133, 134, 135, 136].contains(&kind),
                    _ => false,
                },
            };
            let own_rules = &rules[usize::from(family == Family::V6)];
            let wanted = walked(own_rules, &model, &way, &plain);
            let verdict = compiled.verdict(&way, &packet).unwrap();
            compared += 1;
            if verdict.outcome != wanted {
                wrong.push(format!(
                    "configuration {}: {way:?} {plain:?}: {:?} because {:?}, should be {wanted:?}",
                    line["index"], verdict.outcome, verdict.because
                ));
            }
        }
    }
    eprintln!("compared {compared} packets that nobody sent");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(compared > 50_000);
}

/// What the compiled text says of a packet of a way.
fn walked(
    rules: &save_walk::Rules,
    model: &bailiwick::health::reach::Model,
    way: &Way,
    packet: &save_walk::Packet,
) -> Outcome {
    use bailiwick::health::reach::GuestKind;
    use save_walk::{Hook, Verdict};
    if !rules.has("PVEFW-FORWARD") {
        return Outcome::Accept;
    }
    // The ports of the bridge that a guest's packets are forwarded between, outwards.
    let ports = |vmid: u32, key: &str| {
        let guest = &model.guests[&vmid];
        let kind = match guest.kind {
            GuestKind::Vm => "tap",
            GuestKind::Ct => "veth",
        };
        let number = key.strip_prefix("net").unwrap();
        let other = if guest.nics[key].firewall {
            format!("fwln{vmid}i{number}")
        } else {
            "eth0".to_owned()
        };
        (format!("{kind}{vmid}i{number}"), other)
    };
    let mut hooks = Vec::new();
    let bridge = Some("vmbr0".to_owned());
    match &way.from {
        End::Outside => {}
        End::Node { .. } => hooks.push((
            "PVEFW-OUTPUT",
            Hook {
                output: bridge.clone(),
                ..Hook::default()
            },
        )),
        End::Nic { vmid, key } => hooks.push((
            "PVEFW-FORWARD",
            Hook {
                bridged: Some(ports(*vmid, key)),
                ..Hook::default()
            },
        )),
    }
    match &way.to {
        End::Outside => {}
        End::Node { .. } => hooks.push((
            "PVEFW-INPUT",
            Hook {
                input: bridge,
                ..Hook::default()
            },
        )),
        End::Nic { vmid, key } => {
            let (inner, outer) = ports(*vmid, key);
            hooks.push((
                "PVEFW-FORWARD",
                Hook {
                    bridged: Some((outer, inner)),
                    ..Hook::default()
                },
            ));
        }
    }
    let mut mark = false;
    for (chain, hook) in hooks {
        match rules.hook(chain, packet, &hook, &mut mark) {
            Verdict::Accept => {}
            Verdict::Drop => return Outcome::Drop,
            Verdict::Reject => return Outcome::Reject,
        }
    }
    Outcome::Accept
}
