//! A plain interpreter of rules in the save format of iptables and of sets in the format of ipset: it walks one packet through the text.
//! It knows nothing of `health::reach`, and fails on a word it does not know.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// One version's tables, as text in chains.
pub struct Rules {
    chains: BTreeMap<String, Vec<Vec<String>>>,
    sets: BTreeMap<String, Vec<(IpAddr, u32, bool)>>,
    broadcast: Vec<IpAddr>,
}

/// A packet as text has it.
#[derive(Debug, Clone)]
pub struct Packet {
    pub proto: u8,
    pub source: IpAddr,
    pub dest: IpAddr,
    pub sport: u16,
    pub dport: u16,
    /// Type and code of ICMP.
    pub icmp: (u8, u8),
    /// Whether connection tracking calls it invalid.
    pub invalid: bool,
}

/// Where the packet is.
#[derive(Clone, Default)]
pub struct Hook {
    pub input: Option<String>,
    pub output: Option<String>,
    /// Ports of a bridge it is forwarded between.
    pub bridged: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Reject,
}

enum Left {
    Fell,
    Decided(Verdict),
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u32) -> bool {
    let ((a, _), (b, _)) = (bits(address), bits(network));
    address.is_ipv4() == network.is_ipv4() && (prefix == 0 || (a ^ b) >> (128 - prefix) == 0)
}

fn network(text: &str) -> (IpAddr, u32) {
    match text.split_once('/') {
        Some((address, prefix)) => (address.parse().unwrap(), prefix.parse().unwrap()),
        None => {
            let address: IpAddr = text.parse().unwrap();
            (address, bits(address).1)
        }
    }
}

fn protocol(name: &str) -> u8 {
    match name {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" | "ipv6-icmp" => 58,
        "igmp" => 2,
        "gre" => 47,
        number => number.parse().unwrap(),
    }
}

fn port(text: &str) -> u16 {
    match text {
        "ssh" => 22,
        "smtp" => 25,
        "domain" => 53,
        "http" => 80,
        "https" => 443,
        number => number.parse().unwrap(),
    }
}

fn port_matches(value: u16, text: &str) -> bool {
    text.split(',').any(|part| match part.split_once(':') {
        Some((low, high)) => (port(low)..=port(high)).contains(&value),
        None => port(part) == value,
    })
}

fn icmp_matches((kind, code): (u8, u8), six: bool, text: &str) -> bool {
    let (wanted, wanted_code) = match (six, text) {
        (_, number) if number.bytes().all(|b| b.is_ascii_digit()) => {
            (number.parse().unwrap(), None)
        }
        (false, "any") => return true,
        (false, "echo-reply") => (0, None),
        (false, "destination-unreachable") => (3, None),
        (false, "port-unreachable") => (3, Some(3)),
        (false, "fragmentation-needed") => (3, Some(4)),
        (false, "echo-request") => (8, None),
        (false, "time-exceeded") => (11, None),
        (false, "timestamp-request") => (13, None),
        (true, "destination-unreachable") => (1, None),
        (true, "port-unreachable") => (1, Some(4)),
        (true, "packet-too-big") => (2, None),
        (true, "time-exceeded") => (3, None),
        (true, "echo-request") => (128, None),
        (true, "echo-reply") => (129, None),
        (true, "router-solicitation") => (133, None),
        (true, "router-advertisement") => (134, None),
        (true, "neighbor-solicitation" | "neighbour-solicitation") => (135, None),
        (true, "neighbor-advertisement" | "neighbour-advertisement") => (136, None),
        (six, other) => panic!("ICMP type {other} of {six}"),
    };
    kind == wanted && wanted_code.is_none_or(|wanted| wanted == code)
}

fn port_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

impl Rules {
    /// Reads the filter table and the sets.
    pub fn read(rules: &str, sets: &str, broadcast: Vec<IpAddr>) -> Self {
        let mut chains = BTreeMap::<String, Vec<Vec<String>>>::new();
        let mut filter = false;
        for line in rules.lines() {
            if let Some(table) = line.strip_prefix('*') {
                filter = table == "filter";
            } else if filter && let Some(chain) = line.strip_prefix(':') {
                let name = chain.split_whitespace().next().unwrap();
                chains.entry(name.to_owned()).or_default();
            } else if filter && let Some(rule) = line.strip_prefix("-A ") {
                // The text after a log's prefix is no word.
                let rule = rule.split(" --nflog-prefix").next().unwrap();
                let mut words = rule.split_whitespace().map(str::to_owned);
                let chain = words.next().unwrap();
                chains.entry(chain).or_default().push(words.collect());
            }
        }
        let mut all = BTreeMap::<String, Vec<(IpAddr, u32, bool)>>::new();
        for line in sets.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["create", name, ..] => drop(all.entry((*name).to_owned()).or_default()),
                ["add", name, element] => {
                    let (address, prefix) = network(element);
                    all.get_mut(*name).unwrap().push((address, prefix, true));
                }
                ["add", name, element, "nomatch"] => {
                    let (address, prefix) = network(element);
                    all.get_mut(*name).unwrap().push((address, prefix, false));
                }
                _ => {}
            }
        }
        Self {
            chains,
            sets: all,
            broadcast,
        }
    }

    pub fn has(&self, chain: &str) -> bool {
        self.chains.contains_key(chain)
    }

    fn in_set(&self, name: &str, address: IpAddr) -> bool {
        let elements = self.sets[name].iter();
        elements
            .filter(|(network, prefix, _)| within(address, *network, *prefix))
            .max_by_key(|(_, prefix, _)| *prefix)
            .is_some_and(|(_, _, matches)| *matches)
    }

    fn address_type(&self, address: IpAddr, kind: &str) -> bool {
        match kind {
            "BROADCAST" => self.broadcast.contains(&address),
            "MULTICAST" => address.is_multicast(),
            "ANYCAST" => false,
            other => panic!("address type {other}"),
        }
    }

    /// Takes a packet through a chain that is a hook's.
    pub fn hook(&self, chain: &str, packet: &Packet, hook: &Hook, mark: &mut bool) -> Verdict {
        match self.walk(chain, packet, hook, mark) {
            Left::Fell => Verdict::Accept,
            Left::Decided(verdict) => verdict,
        }
    }

    fn walk(&self, chain: &str, packet: &Packet, hook: &Hook, mark: &mut bool) -> Left {
        for rule in &self.chains[chain] {
            let Some((goes, target)) = self.matches(rule, packet, hook, *mark) else {
                continue;
            };
            match target[0].as_str() {
                "ACCEPT" => return Left::Decided(Verdict::Accept),
                "DROP" => return Left::Decided(Verdict::Drop),
                "REJECT" => return Left::Decided(Verdict::Reject),
                "RETURN" => return Left::Fell,
                "NFLOG" | "CONNMARK" => {}
                "MARK" => *mark = target[2].starts_with("0x8"),
                inner => match self.walk(inner, packet, hook, mark) {
                    Left::Fell if goes => return Left::Fell,
                    Left::Fell => {}
                    decided => return decided,
                },
            }
        }
        Left::Fell
    }

    /// Whether a rule matches: then whether it is a way without return, and its target.
    fn matches<'a>(
        &self,
        rule: &'a [String],
        packet: &Packet,
        hook: &Hook,
        mark: bool,
    ) -> Option<(bool, &'a [String])> {
        let six = packet.source.is_ipv6();
        let mut at = 0;
        let mut negated = false;
        while at < rule.len() {
            let word = rule[at].as_str();
            let value = rule.get(at + 1).map_or("", String::as_str);
            let mut used = 2;
            let holds = match word {
                "-j" => return Some((false, &rule[at + 1..])),
                "-g" => return Some((true, &rule[at + 1..])),
                "!" => {
                    negated = true;
                    at += 1;
                    continue;
                }
                // What a match is called says nothing yet.
                "-m" | "--match" => {
                    at += 2;
                    continue;
                }
                "-i" => hook.input.as_deref() == Some(value),
                "-o" => hook.output.as_deref() == Some(value),
                "-s" | "-d" => {
                    let address = if word == "-s" {
                        packet.source
                    } else {
                        packet.dest
                    };
                    value.split(',').any(|part| {
                        let (network, prefix) = network(part);
                        within(address, network, prefix)
                    })
                }
                "-p" => protocol(value) == packet.proto,
                "--dport" | "--dports" => port_matches(packet.dport, value),
                "--sport" | "--sports" => port_matches(packet.sport, value),
                "--icmp-type" | "--icmpv6-type" => icmp_matches(packet.icmp, six, value),
                "--match-set" => {
                    used = 3;
                    let address = match rule[at + 2].as_str() {
                        "src" => packet.source,
                        "dst" => packet.dest,
                        other => panic!("direction {other}"),
                    };
                    self.in_set(value, address)
                }
                "--src-range" | "--dst-range" => {
                    let (low, high) = value.split_once('-').unwrap();
                    let address = match word {
                        "--src-range" => packet.source,
                        _ => packet.dest,
                    };
                    let number = |text: &str| bits(text.parse().unwrap()).0;
                    (number(low)..=number(high)).contains(&bits(address).0)
                }
                "--src-type" => self.address_type(packet.source, value),
                "--dst-type" => self.address_type(packet.dest, value),
                "--ctstate" => value.split(',').any(|state| match state {
                    "INVALID" => packet.invalid,
                    "NEW" => !packet.invalid,
                    _ => false,
                }),
                "--mark" => mark == value.starts_with("0x8"),
                // Nobody forges here.
                "--mac-source" => true,
                "--physdev-is-bridged" => {
                    used = 1;
                    hook.bridged.is_some()
                }
                "--physdev-in" => hook
                    .bridged
                    .as_ref()
                    .is_some_and(|(name, _)| port_name(value, name)),
                "--physdev-out" => hook
                    .bridged
                    .as_ref()
                    .is_some_and(|(_, name)| port_name(value, name)),
                "--tcp-flags" => {
                    used = 3;
                    // The first packet of a connection has SYN and nothing else.
                    rule[at + 2] == "SYN" && packet.proto == 6
                }
                "--limit" | "--limit-burst" => true,
                other => panic!("the word {other} in {rule:?}"),
            };
            if holds == std::mem::take(&mut negated) {
                return None;
            }
            at += used;
        }
        panic!("a rule without a target: {rule:?}");
    }
}
