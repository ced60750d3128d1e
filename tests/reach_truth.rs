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

#[test]
fn every_packet_is_decided_as_proxmox_and_a_kernel_decided_it() {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("proxmox/truth/firewall-dev.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!(
            "NOTICE: {} is not at hand (set BAILIWICK_SHARED); no packet was compared",
            path.display()
        );
        return;
    };
    let mut wrong = Vec::new();
    let (mut compared, mut left_out) = (0, 0);
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
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
