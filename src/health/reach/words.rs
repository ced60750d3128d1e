//! Sets of packets in words for people: `10.20.0.0/16 can no longer open vm/117:5432`.

use super::address::{Family, written};
use super::change::{Asked, Cell, Change};
use super::compile::Compiled;
use super::model::GuestKind;
use super::names::{self, ICMP, ICMPV6, TCP, UDP};
use super::ranges::Ranges;
use super::way::{End, Way};

/// How many parts a list in a sentence has at most; the number of the rest is said.
const SHOWN: usize = 6;

/// What a sentence says of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It can.
    Can,
    /// It cannot.
    Cannot,
    /// It can now.
    CanNow,
    /// It can no longer.
    CanNoLonger,
    /// Nobody can tell.
    Unknown,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Can => "can",
            Self::Cannot => "cannot",
            Self::CanNow => "can now",
            Self::CanNoLonger => "can no longer",
            Self::Unknown => "perhaps can",
        }
    }
}

fn list(mut parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(SHOWN);
    if more > 0 {
        parts.truncate(SHOWN);
        return format!("{} and {more} more", parts.join(", "));
    }
    match parts.pop() {
        Some(last) if !parts.is_empty() => format!("{} and {last}", parts.join(", ")),
        Some(last) => last,
        None => "nobody".to_owned(),
    }
}

/// Whether a set is everybody that can be a host, or nearly.
fn is_everybody(all: &Ranges, family: Family) -> bool {
    let (from, to) = match family {
        Family::V4 => (0x0100_0000, 0xdfff_ff00),
        Family::V6 => (0x2000 << 112, 0xfd << 120),
    };
    let ends = all.iter().next().zip(all.iter().last());
    all.len() <= 64 && ends.is_some_and(|((low, _), (_, high))| low <= from && high >= to)
}

/// Senders or receivers: all of those it is about, all but a few, or these.
fn people(these: &Ranges, all: &Ranges, family: Family) -> String {
    let everybody = || match (is_everybody(all, family), family) {
        (true, Family::V4) => "the internet (IPv4)".to_owned(),
        (true, Family::V6) => "the internet (IPv6)".to_owned(),
        (false, _) => list(written(all, family)),
    };
    if these == all {
        return everybody();
    }
    let missing = all.minus(these);
    if missing.len() < these.len() && missing.len() <= SHOWN {
        return format!("{} but {}", everybody(), list(written(&missing, family)));
    }
    list(written(these, family))
}

fn numbers(set: &Ranges, last: u128) -> Option<String> {
    if *set == Ranges::of(0, last) {
        return None;
    }
    let parts: Vec<String> = set
        .iter()
        .map(|(low, high)| {
            if low == high {
                low.to_string()
            } else {
                format!("{low}-{high}")
            }
        })
        .collect();
    let more = parts.len().saturating_sub(SHOWN * 2);
    let shown = parts.into_iter().take(SHOWN * 2).collect::<Vec<_>>();
    let shown = shown.join(",");
    Some(if more > 0 {
        format!("{shown} and {more} more ports")
    } else {
        shown
    })
}

fn single(protocols: &Ranges) -> Option<u8> {
    let mut ranges = protocols.iter();
    match (ranges.next(), ranges.next()) {
        (Some((low, high)), None) if low == high => u8::try_from(low).ok(),
        _ => None,
    }
}

/// What is done to a target: `open vm/117:5432`, `ping vm/117`, `reach vm/117 with gre`.
fn deed(cell: &Cell, target: &str, family: Family) -> String {
    let ports = numbers(&cell.ports, 0xffff);
    let both = Ranges::from_parts(vec![
        (u128::from(TCP), u128::from(TCP)),
        (u128::from(UDP), u128::from(UDP)),
    ]);
    if cell.protocols == Ranges::of(0, 0xff) {
        return match ports {
            None => format!("open everything on {target}"),
            Some(ports) => format!("open {target}:{ports} with every protocol"),
        };
    }
    if cell.protocols == both {
        let ports = ports.unwrap_or_else(|| "all ports".to_owned());
        return format!("open {target}:{ports}/tcp+udp");
    }
    match single(&cell.protocols) {
        Some(TCP) => match ports {
            Some(ports) => format!("open {target}:{ports}"),
            None => format!("open every TCP port of {target}"),
        },
        Some(UDP) => match ports {
            Some(ports) => format!("open {target}:{ports}/udp"),
            None => format!("open every UDP port of {target}"),
        },
        Some(number) if number == ICMP || number == ICMPV6 => icmp(cell, target, family),
        Some(number) => {
            let name = names::protocol_name(number);
            match ports {
                Some(ports) => format!("open {target}:{ports}/{name}"),
                None => format!("reach {target} with {name}"),
            }
        }
        None => {
            let missing = cell.protocols.complement(0xff);
            let named = |set: &Ranges| {
                let each = set.iter().flat_map(|(low, high)| low..=high);
                let names = each.filter_map(|number| u8::try_from(number).ok());
                names.map(names::protocol_name).collect::<Vec<_>>()
            };
            let (these, missing) = (named(&cell.protocols), named(&missing));
            if missing.len() < these.len() {
                format!("reach {target} with every protocol but {}", list(missing))
            } else {
                format!("reach {target} with {}", list(these))
            }
        }
    }
}

fn icmp(cell: &Cell, target: &str, family: Family) -> String {
    if cell.ports == Ranges::of(0, 0xffff) {
        return format!("send {target} ICMP");
    }
    match names::icmp_name(&cell.ports, family) {
        Some("echo-request") => format!("ping {target}"),
        Some(name) => format!("send {target} ICMP {name}"),
        None => {
            let kinds: std::collections::BTreeSet<String> = cell
                .ports
                .iter()
                .flat_map(|(low, high)| [low >> 8, high >> 8])
                .map(|kind| kind.to_string())
                .collect();
            format!(
                "send {target} ICMP of types {}",
                list(kinds.into_iter().collect())
            )
        }
    }
}

impl Compiled {
    /// An end as people call it: `vm/117`, `node pve2`; `None` for outside.
    fn called(&self, end: &End) -> Option<String> {
        match end {
            End::Outside => None,
            End::Node { name, iface } => {
                let several = self.interfaces.get(name).is_some_and(|own| own.len() > 1);
                Some(match iface {
                    Some(iface) if several => format!("node {name} ({iface})"),
                    _ => format!("node {name}"),
                })
            }
            End::Nic { vmid, key } => {
                let full = (*vmid, key.clone());
                let kind = match self.nics.get(&full).map(|place| place.kind) {
                    Some(GuestKind::Ct) => "ct",
                    Some(GuestKind::Vm) => "vm",
                    None => "guest",
                };
                let several = self.nics.keys().filter(|(own, _)| own == vmid).count() > 1;
                Some(if several {
                    format!("{kind}/{vmid} ({key})")
                } else {
                    format!("{kind}/{vmid}")
                })
            }
        }
    }

    /// Sentences about boxes of packets of a way, one a box.
    #[must_use]
    pub fn sentences(
        &self,
        way: &Way,
        family: Family,
        asked: &Asked,
        cells: &[Cell],
        verb: Verb,
    ) -> Vec<String> {
        let sentence = |cell: &Cell| {
            let who = match self.called(&way.from) {
                None => people(&cell.sources, &asked.sources, family),
                Some(name) if cell.sources == asked.sources => name,
                Some(name) => format!("{name} as {}", list(written(&cell.sources, family))),
            };
            let target = match self.called(&way.to) {
                None => people(&cell.dests, &asked.dests, family),
                Some(name) if cell.dests == asked.dests => name,
                Some(name) => {
                    let at = people(&cell.dests, &asked.dests, family);
                    format!("{name} at {at}")
                }
            };
            let from = numbers(&cell.source_ports, 0xffff)
                .map(|ports| format!(" from port {ports}"))
                .unwrap_or_default();
            format!(
                "{who} {} {}{from}",
                verb.word(),
                deed(cell, &target, family)
            )
        };
        cells.iter().map(sentence).collect()
    }
}

impl Change {
    /// The change in sentences: what is lost first, then what is gained, then what nobody can tell. `names` is the configuration that
    /// has the way.
    #[must_use]
    pub fn sentences(&self, names: &Compiled) -> Vec<String> {
        let say = |cells: &[Cell], verb| {
            names.sentences(&self.way, self.family, &self.asked, cells, verb)
        };
        let mut all = say(&self.lost, Verb::CanNoLonger);
        all.extend(say(&self.gained, Verb::CanNow));
        all.extend(say(&self.unsure, Verb::Unknown));
        all
    }
}
