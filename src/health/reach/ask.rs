//! One question: may this sender open that port there, and which rule decides? Asked of sets, so the answer is one too: for whom yes,
//! for whom no, and for whom nobody can tell.

use super::address::{Address, Family, Network, written};
use super::chain::{Origin, Outcome, Packet};
use super::change::{Asked, Cell, Spaces};
use super::compile::Compiled;
use super::model::GuestKind;
use super::names::{self, ICMP, ICMPV6, TCP, UDP};
use super::ranges::Ranges;
use super::space::Function;
use super::way::{End, Way};
use super::words::Verb;

/// Who is meant by a word: `vm/117`, `node/pve1`, `10.0.0.0/8`, `any`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Everybody outside.
    Anybody,
    /// Addresses outside.
    Network(Network),
    /// A guest, by its interfaces.
    Guest(GuestKind, u32),
    /// A node, by its interfaces.
    Node(String),
}

impl Who {
    /// Reads a word.
    ///
    /// # Errors
    /// It means nobody; what to say instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Anybody);
        }
        let guest = |kind, vmid: &str| {
            let vmid = vmid.parse();
            vmid.map(|vmid| Self::Guest(kind, vmid))
                .map_err(|_| format!("{text}: a guest is vm/NUMBER or ct/NUMBER"))
        };
        match text.split_once('/') {
            Some(("vm", vmid)) => return guest(GuestKind::Vm, vmid),
            Some(("ct", vmid)) => return guest(GuestKind::Ct, vmid),
            Some(("node", name)) if !name.is_empty() => return Ok(Self::Node(name.to_owned())),
            _ => {}
        }
        let mapped = |network: &Network| {
            // An IPv4 address in IPv6's clothes: no packet has it.
            network.address.family == Family::V6 && network.address.value >> 32 == 0xffff
        };
        let network = Network::parse(text).filter(|network| !mapped(network));
        network.map(Self::Network).ok_or_else(|| {
            format!(
                "{text} is nobody: say an address (10.0.0.7), a network (10.0.0.0/8), vm/104, ct/301, node/NAME, or any"
            )
        })
    }
}

/// What is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A port of a protocol that has ports.
    Port(u8, u16),
    /// An echo.
    Ping,
}

/// Reads `TARGET:PORT`, `TARGET:PORT/udp`, or `TARGET:ping`; an IPv6 address stands in brackets.
///
/// # Errors
/// It is none; what to say instead.
pub fn target(text: &str) -> Result<(Who, Service), String> {
    let hint = || {
        format!(
            "{text} is no target: say vm/104:22, node/pve1:8006, ct/301:53/udp, vm/104:ping, or [2001:db8::1]:443"
        )
    };
    let (who, what) = text.rsplit_once(':').ok_or_else(hint)?;
    let who = who
        .strip_prefix('[')
        .and_then(|who| who.strip_suffix(']'))
        .unwrap_or(who);
    let who = Who::parse(who).map_err(|_| hint())?;
    if what == "ping" {
        return Ok((who, Service::Ping));
    }
    let (port, protocol) = match what.split_once('/') {
        None | Some((_, "tcp")) => (what.trim_end_matches("/tcp"), TCP),
        Some((port, "udp")) => (port, UDP),
        Some((port, "sctp")) => (port, 132),
        Some(_) => return Err(hint()),
    };
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let port = port.parse().ok().filter(|_| plain).ok_or_else(hint)?;
    Ok((who, Service::Port(protocol, port)))
}

/// A part of an answer: for these it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The way it is asked for.
    pub way: Way,
    /// The version of IP.
    pub family: Family,
    /// What becomes of an attempt.
    pub outcome: Outcome,
    /// Who it is so for.
    pub cell: Cell,
    /// An attempt of these.
    pub example: Packet,
    /// What decides for that attempt, hook by hook.
    pub because: Vec<Origin>,
    asked: Asked,
}

impl Part {
    /// The part in a sentence: `10.20.0.0/16 can open vm/117:5432`.
    #[must_use]
    pub fn sentence(&self, names: &Compiled) -> String {
        let verb = match self.outcome {
            Outcome::Accept => Verb::Can,
            Outcome::Unknown => Verb::Unknown,
            Outcome::Drop | Outcome::Reject => Verb::Cannot,
        };
        let cells = std::slice::from_ref(&self.cell);
        let sentences = names.sentences(&self.way, self.family, &self.asked, cells, verb);
        sentences.into_iter().collect()
    }

    /// What decides, in words, for the attempt it is told of.
    #[must_use]
    pub fn reason(&self) -> String {
        let from = Address {
            family: self.family,
            value: self.example.source,
        };
        let because: Vec<String> = self.because.iter().map(ToString::to_string).collect();
        let because = if because.is_empty() {
            "no firewall is in the way".to_owned()
        } else {
            because.join(", then ")
        };
        if written(&self.cell.sources, self.family).len() == 1
            && self.cell.sources == Ranges::one(self.example.source)
        {
            because
        } else {
            format!("{because} (for {from})")
        }
    }
}

impl Compiled {
    /// The ends that a word means, and the only addresses meant, if it says some.
    fn meant(&self, who: &Who) -> Result<(Vec<End>, Option<Network>), String> {
        let ends: Vec<End> = match who {
            Who::Anybody => return Ok((vec![End::Outside], None)),
            Who::Network(network) => return Ok((vec![End::Outside], Some(*network))),
            Who::Guest(kind, vmid) => self
                .nics
                .iter()
                .filter(|((own, _), place)| own == vmid && place.kind == *kind)
                .map(|((vmid, key), _)| End::Nic {
                    vmid: *vmid,
                    key: key.clone(),
                })
                .collect(),
            Who::Node(name) => self.ends_of(name),
        };
        if ends.is_empty() {
            let word = match who {
                Who::Guest(GuestKind::Ct, vmid) => format!("container {vmid} with an interface"),
                Who::Guest(GuestKind::Vm, vmid) => format!("machine {vmid} with an interface"),
                Who::Node(name) => format!("node {name}"),
                Who::Anybody | Who::Network(_) => "nobody".to_owned(),
            };
            return Err(format!("there is no {word}"));
        }
        Ok((ends, None))
    }

    /// Answers a question, in parts: each way from an interface of the sender to one of the receiver, each version of IP.
    ///
    /// # Errors
    /// The sender or receiver does not exist.
    pub fn ask(&self, from: &Who, to: &Who, service: Service) -> Result<Vec<Part>, String> {
        let (froms, sender) = self.meant(from)?;
        let (tos, receiver) = self.meant(to)?;
        let mut spaces = Spaces::default();
        let mut parts = Vec::new();
        for from in &froms {
            for to in &tos {
                let way = Way {
                    from: from.clone(),
                    to: to.clone(),
                };
                for family in Family::BOTH {
                    let Some(asked) = self.narrowed(&way, family, sender, receiver) else {
                        continue;
                    };
                    self.answer(&mut spaces, &way, asked, service, family, &mut parts)?;
                }
            }
        }
        Ok(parts)
    }

    /// The addresses a question is about; `None` if it says addresses of the other version.
    fn narrowed(
        &self,
        way: &Way,
        family: Family,
        sender: Option<Network>,
        receiver: Option<Network>,
    ) -> Option<Asked> {
        let mut asked = self.asked(way, family);
        for (said, place) in [(sender, &mut asked.sources), (receiver, &mut asked.dests)] {
            if let Some(network) = said {
                if network.address.family != family {
                    return None;
                }
                *place = network.addresses();
            }
        }
        Some(asked)
    }

    fn answer(
        &self,
        spaces: &mut Spaces,
        way: &Way,
        asked: Asked,
        service: Service,
        family: Family,
        parts: &mut Vec<Part>,
    ) -> Result<(), String> {
        let (protocol, ports, source_ports) = match (service, family) {
            (Service::Port(protocol, port), _) => (
                protocol,
                Ranges::one(u128::from(port)),
                // Whoever starts chooses it, and some rules let in what comes from port 53. Nobody starts from port 0.
                Ranges::of(1, 65_535),
            ),
            (Service::Ping, Family::V4) => (ICMP, names::kinds(8, Some(0)), Ranges::one(0)),
            (Service::Ping, Family::V6) => (ICMPV6, names::kinds(128, Some(0)), Ranges::one(0)),
        };
        let space = spaces.of(family);
        let function = self.function(space, way)?;
        let protocol_range = [(u128::from(protocol), u128::from(protocol))];
        let condition = [
            Some(protocol_range.as_slice()),
            Some(ports.as_slice()),
            Some(source_ports.as_slice()),
            Some(asked.sources.as_slice()),
            Some(asked.dests.as_slice()),
        ];
        let function = space.select(&condition, function, Function::NOTHING);
        for outcome in [
            Outcome::Accept,
            Outcome::Unknown,
            Outcome::Reject,
            Outcome::Drop,
        ] {
            for mut cell in space.cells(function, outcome) {
                let first = |set: &Ranges| set.iter().next().map_or(0, |(low, _)| low);
                let port = |set| u16::try_from(first(set)).unwrap_or_default();
                let example = Packet {
                    family,
                    protocol,
                    source: first(&cell.sources),
                    dest: first(&cell.dests),
                    port: port(&cell.ports),
                    source_port: port(&cell.source_ports),
                    mac: None,
                };
                let verdict = self.verdict(way, &example)?;
                if cell.source_ports == source_ports {
                    // Nobody chooses it, so nobody wants to read of it.
                    cell.source_ports = Ranges::of(0, 0xffff);
                }
                if service == Service::Ping {
                    cell.ports = names::kinds(if family == Family::V4 { 8 } else { 128 }, None);
                }
                parts.push(Part {
                    way: way.clone(),
                    family,
                    outcome,
                    cell,
                    example,
                    because: verdict.because,
                    asked: asked.clone(),
                });
            }
        }
        Ok(())
    }
}
