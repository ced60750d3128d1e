//! A judge of its own: a few packets and, by first match, what becomes of them. It shares nothing with the scripts' view of rules.

use super::*;

/// A packet: one of four senders (`10.0.0.0` to `10.0.0.3`), and TCP port 1, 2, 3 or 22.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    sender: u8,
    port: u16,
}

impl Packet {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..4).flat_map(|sender| [1, 2, 3, 22].map(|port| Self { sender, port }))
    }
}

/// What is behind the name `lan`.
const LAN: &[u8] = &[1, 2];

fn from(text: &str, sender: u8) -> bool {
    text.split(',').any(|part| match part {
        "lan" | "LAN" => LAN.contains(&sender),
        "10.0.0.0/31" => sender < 2,
        "10.0.0.0/30" => true,
        single => single == format!("10.0.0.{sender}"),
    })
}

fn to(text: &str, port: u16) -> bool {
    text.split(',').any(|part| match part.split_once(':') {
        Some((low, high)) => (low.parse().unwrap()..=high.parse().unwrap()).contains(&port),
        None => part.parse() == Ok(port),
    })
}

fn verdict(rules: &[Rule], groups: &Groups, packet: Packet) -> Option<bool> {
    rules.iter().find_map(|rule| {
        let get = |key: &str| rule.fields.get(key).map(String::as_str);
        if get("enable").unwrap_or("0") == "0" {
            return None;
        }
        if get("type") == Some("group") {
            let inner = groups.get(get("action").unwrap()).unwrap();
            return verdict(inner, groups, packet);
        }
        let matched = get("type") == Some("in")
            && get("source").is_none_or(|text| from(text, packet.sender))
            && get("dport").is_none_or(|text| to(text, packet.port))
            && get("macro").is_none_or(|name| name == "SSH" && packet.port == 22);
        matched.then(|| get("action") == Some("ACCEPT"))
    })
}

/// Whether a list lets a packet pass; what it does not decide, `policy` does.
pub(super) fn passes(rules: &[Rule], groups: &Groups, policy: bool, packet: Packet) -> bool {
    verdict(rules, groups, packet).unwrap_or(policy)
}

/// The first state that drops what both ends let pass (`open`), or lets pass what both ends drop.
pub(super) fn beyond(states: &[Vec<Rule>], groups: &Groups, open: bool) -> Option<usize> {
    let (first, last) = (states.first()?, states.last()?);
    states.iter().position(|state| {
        [false, true].into_iter().any(|policy| {
            Packet::all().any(|packet| {
                let passes = |list: &[Rule]| passes(list, groups, policy, packet) == open;
                passes(first) && passes(last) && !passes(state)
            })
        })
    })
}
