//! One rule, as the program of the nftables backend reads its line. It reads more than the iptables backend's program where that finds
//! an error, and less in other places; and a line that it does not take, it does not skip: it takes no rules at all.

use std::sync::Arc;

use super::super::address::{Address, Family, Network};
use super::super::macros;
use super::super::names::{self, ICMP, ICMPV6};
use super::super::objects::{is_name, scoped};
use super::super::ranges::Ranges;
use super::super::rule::{Action, Environment, Kind, RuleText, Scope};

/// Names of ICMP's types that the program knows, for IPv4.
const TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];
/// The same for IPv6.
const TYPES_V6: &[(&str, u8)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];
/// Names of codes: a rule with one matches that code of any type.
const CODES: &[(&str, u8)] = &[
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];
/// The same for IPv6.
const CODES_V6: &[(&str, u8)] = &[
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];

/// Who sends, or who receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// Addresses, networks and ranges of one version.
    Addresses(Family, Arc<Ranges>),
    /// `+name`.
    Set(Option<Scope>, String),
    /// `+sdn/name`.
    OfSdn(String),
    /// An alias, its name in lower case.
    Alias(Option<Scope>, String),
}

/// What a rule says of protocol and ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// The only version it matches, if its protocol says one.
    pub(super) family: Option<Family>,
    pub(super) protocol: Option<u8>,
    /// Destination ports, or kinds of ICMP.
    pub(super) ports: Option<Ranges>,
    pub(super) source_ports: Option<Ranges>,
    /// Whether it asks for two protocols at once, which nothing has.
    pub(super) never: bool,
}

/// All that a rule says of protocol and ports: several with a macro.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matches {
    These(Vec<Traffic>),
    /// It is not known here; why.
    Unknown(String),
    /// The program fails when it compiles the rule; why.
    Fails(String),
}

/// A rule that the program can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    pub(super) iface: Option<String>,
    pub(super) source: Option<Peer>,
    pub(super) dest: Option<Peer>,
    pub(super) matches: Matches,
}

fn given(field: &Option<String>) -> Option<&str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// A letter, then letters, digits, `-` and `_`.
fn is_word(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Reads a rule, also one that is switched off.
///
/// # Errors
/// The program does not take the line, and with it no rules at all; why.
pub(super) fn read(text: &RuleText, environment: Environment) -> Result<Rule, String> {
    if given(&text.comment).is_some_and(|comment| comment.contains('#')) {
        return Err("its comment contains #".to_owned());
    }
    let kind = kind(text, environment)?;
    let iface = given(&text.iface);
    match (environment, iface) {
        (Environment::Guest, Some(iface)) => {
            let number = iface
                .strip_prefix("net")
                .and_then(|n| n.parse::<u16>().ok());
            if number.is_none() {
                return Err(format!("{iface} is no netN"));
            }
        }
        (Environment::Group, Some(_)) => {
            return Err("a rule of a security group is bound to an interface".to_owned());
        }
        _ => {}
    }
    let [source, dest] = [&text.source, &text.dest].map(|field| given(field).map(peer).transpose());
    let (source, dest) = (source?, dest?);
    if let (Some(Peer::Addresses(one, _)), Some(Peer::Addresses(other, _))) = (&source, &dest)
        && one != other
    {
        return Err("it names addresses of IPv4 and of IPv6".to_owned());
    }
    if let Kind::Group(_) = kind {
        let fields = [
            &text.source,
            &text.dest,
            &text.proto,
            &text.dport,
            &text.sport,
            &text.icmp_type,
        ];
        if fields.iter().any(|field| given(field).is_some()) {
            return Err("it brings in a security group and says more".to_owned());
        }
    }
    Ok(Rule {
        kind,
        iface: iface.map(str::to_owned),
        source,
        dest,
        matches: matches(text)?,
    })
}

fn kind(text: &RuleText, environment: Environment) -> Result<Kind, String> {
    let verdict = || {
        let all = [
            ("ACCEPT", Action::Accept),
            ("DROP", Action::Drop),
            ("REJECT", Action::Reject),
        ];
        let found = all
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&text.action));
        found
            .map(|(_, action)| *action)
            .ok_or_else(|| format!("unknown action {}", text.action))
    };
    match text.kind.as_str() {
        "in" | "out" if environment == Environment::Vnet => {
            Err("a vnet has forward rules only".to_owned())
        }
        "in" => Ok(Kind::In(verdict()?)),
        "out" => Ok(Kind::Out(verdict()?)),
        "forward" if environment == Environment::Guest => {
            Err("a guest has no forward rules".to_owned())
        }
        "forward" => Ok(Kind::Forward(verdict()?)),
        "group" if environment == Environment::Group => {
            Err("a security group cannot contain another".to_owned())
        }
        "group" if is_word(&text.action) => Ok(Kind::Group(text.action.clone())),
        "group" => Err(format!("{} is no name of a security group", text.action)),
        other => Err(format!("unknown rule type {other}")),
    }
}

fn peer(text: &str) -> Result<Peer, String> {
    if let Some((family, addresses)) = addresses(text) {
        return Ok(Peer::Addresses(family, Arc::new(addresses)));
    }
    let wrong = || format!("{text} is no address, set or alias");
    if let Some(reference) = text.strip_prefix('+') {
        if let Some(name) = reference.strip_prefix("sdn/") {
            return Ok(Peer::OfSdn(name.to_owned()));
        }
        let (scope, name) = scoped(reference);
        return is_word(name)
            .then(|| Peer::Set(scope, name.to_owned()))
            .ok_or_else(wrong);
    }
    let (scope, name) = scoped(text);
    is_word(name)
        .then(|| Peer::Alias(scope, name.to_ascii_lowercase()))
        .ok_or_else(wrong)
}

/// A list of addresses, networks (bits after the prefix do not count) and ranges of one version.
fn addresses(text: &str) -> Option<(Family, Ranges)> {
    let mut all: Option<Family> = None;
    let mut parts = Vec::new();
    for item in text.split(',') {
        let (family, span) = match Network::parse(item) {
            Some(network) => (network.address.family, network.span()),
            None => {
                let (low, high) = item.split_once('-')?;
                let (low, high) = (Address::parse(low)?, Address::parse(high)?);
                if low.family != high.family || low.value > high.value {
                    return None;
                }
                (low.family, (low.value, high.value))
            }
        };
        if all.is_some_and(|known| known != family) {
            return None;
        }
        all = Some(family);
        parts.push(span);
    }
    all.map(|family| (family, Ranges::from_parts(parts)))
}

/// Why something has no traffic that is known.
enum Not {
    /// The program does not take the line.
    Taken(String),
    /// Nobody here knows.
    Known(String),
}

fn matches(text: &RuleText) -> Result<Matches, String> {
    let zero = [&text.proto, &text.dport, &text.sport];
    if zero.iter().any(|field| field.as_deref() == Some("0")) {
        let why = "whether Proxmox VE writes a 0 as a port or protocol is not known";
        return Ok(Matches::Unknown(why.to_owned()));
    }
    if given(&text.dport).is_some() && given(&text.icmp_type).is_some() {
        return Err("icmp-type and dport exclude each other".to_owned());
    }
    let own = match own(text) {
        Ok(own) => own,
        Err(Not::Taken(why)) => return Err(why),
        Err(Not::Known(why)) => return Ok(Matches::Unknown(why)),
    };
    let Some(name) = given(&text.macro_name) else {
        return Ok(Matches::These(vec![own]));
    };
    if !is_word(name) {
        return Err(format!("it cannot read the name of the macro {name}"));
    }
    if let Some(error) = text.errors.get("macro") {
        return Ok(Matches::Fails(error.clone()));
    }
    let Some(entries) = macros::everything(name) else {
        return Ok(Matches::Unknown(format!(
            "the macro {name} is not known to Bailiwick"
        )));
    };
    let mut all = Vec::new();
    for entry in entries {
        match of_macro(entry) {
            Ok(traffic) => all.push(both(&own, &traffic)),
            Err(Not::Taken(why) | Not::Known(why)) => return Ok(Matches::Unknown(why)),
        }
    }
    Ok(Matches::These(all))
}

/// The rule's own protocol and ports. Ports without a protocol that has some are not looked at, nor is a port of ICMP.
fn own(text: &RuleText) -> Result<Traffic, Not> {
    let Some(name) = given(&text.proto) else {
        return Ok(Traffic::default());
    };
    let error = text.errors.get("proto");
    let number = match (name.parse::<u8>(), names::protocol(name)) {
        (Ok(number), _) => number,
        (Err(_), _) if error.is_some() => {
            return Err(Not::Taken(format!("the node knows no protocol {name}")));
        }
        (Err(_), Some(number)) => number,
        (Err(_), None) => {
            return Err(Not::Known(format!(
                "the protocol {name} is not known to Bailiwick"
            )));
        }
    };
    let mut traffic = Traffic {
        protocol: Some(number),
        ..Traffic::default()
    };
    match number {
        ICMP => traffic.family = Some(Family::V4),
        ICMPV6 => traffic.family = Some(Family::V6),
        _ => {}
    }
    if let Some(family) = traffic.family {
        traffic.ports = given(&text.icmp_type)
            .map(|name| icmp(name, family))
            .transpose()
            .map_err(Not::Taken)?;
    } else if names::has_ports(number) {
        let list = |field: &Option<String>, name: &str| {
            let list = given(field).map(|text_of| ports(text_of, text.errors.contains_key(name)));
            list.transpose()
        };
        traffic.ports = list(&text.dport, "dport")?;
        traffic.source_ports = list(&text.sport, "sport")?;
    }
    Ok(traffic)
}

fn icmp(name: &str, family: Family) -> Result<Ranges, String> {
    let (types, codes) = match family {
        Family::V4 => (TYPES, CODES),
        Family::V6 => (TYPES_V6, CODES_V6),
    };
    if name.eq_ignore_ascii_case("any") {
        return Ok(Ranges::of(0, 0xffff));
    }
    let find = |table: &[(&str, u8)]| {
        let found = table.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| *number)
    };
    if let Some(kind) = name.parse::<u8>().ok().or_else(|| find(types)) {
        return Ok(names::kinds(kind, None));
    }
    let code = find(codes).ok_or_else(|| format!("it knows no ICMP type {name}"))?;
    let of_any_type = (0..=u8::MAX).map(|kind| (u128::from(kind) << 8) | u128::from(code));
    Ok(of_any_type.map(|kind| (kind, kind)).collect())
}

fn ports(text: &str, refused: bool) -> Result<Ranges, Not> {
    let port = |name: &str| -> Result<u128, Not> {
        if let Ok(number) = name.parse::<u16>() {
            return Ok(u128::from(number));
        }
        let number = name.bytes().all(|b| b.is_ascii_digit());
        if number || refused {
            return Err(Not::Taken(format!("{name} is no port")));
        }
        let known = names::service(name).map(u128::from);
        known.ok_or_else(|| Not::Known(format!("the service {name} is not known to Bailiwick")))
    };
    let mut parts = Vec::new();
    for item in text.split(',') {
        let (low, high) = item.split_once(':').unwrap_or((item, item));
        let (low, high) = (port(low)?, port(high)?);
        if low > high {
            return Err(Not::Taken(format!("{item} is no range of ports")));
        }
        parts.push((low, high));
    }
    Ok(Ranges::from_parts(parts))
}

fn of_macro(entry: &macros::Entry) -> Result<Traffic, Not> {
    let unknown = || Not::Known(format!("the protocol {} is not known", entry.protocol));
    let number = names::protocol(entry.protocol).ok_or_else(unknown)?;
    let mut traffic = Traffic {
        protocol: Some(number),
        ..Traffic::default()
    };
    match number {
        ICMP | ICMPV6 => {
            let family = if number == ICMP {
                Family::V4
            } else {
                Family::V6
            };
            traffic.family = Some(family);
            traffic.ports = entry.ports.and_then(|name| names::icmp(name, family));
        }
        _ => {
            traffic.ports = entry.ports.map(|list| ports(list, false)).transpose()?;
            traffic.source_ports = entry
                .source_ports
                .map(|list| ports(list, false))
                .transpose()?;
        }
    }
    Ok(traffic)
}

/// What a rule's own fields and one part of its macro match together. Where their versions differ, that part is not looked at.
fn both(own: &Traffic, part: &Traffic) -> Traffic {
    if own.family.is_some() && part.family.is_some() && own.family != part.family {
        return own.clone();
    }
    let meet = |one: &Option<Ranges>, other: &Option<Ranges>| match (one, other) {
        (Some(one), Some(other)) => Some(one.intersection(other)),
        (one, other) => one.clone().or_else(|| other.clone()),
    };
    Traffic {
        family: own.family.or(part.family),
        protocol: part.protocol,
        ports: meet(&own.ports, &part.ports),
        source_ports: meet(&own.source_ports, &part.source_ports),
        never: own.protocol.is_some_and(|own| Some(own) != part.protocol),
    }
}

/// Reads an element of a set: an address, a network or an alias.
///
/// # Errors
/// It is none of these, and the program takes no rules at all; why.
pub(super) fn element(text: &str) -> Result<Peer, String> {
    if let Some(network) = Network::parse(text) {
        let addresses = Arc::new(network.addresses());
        return Ok(Peer::Addresses(network.address.family, addresses));
    }
    let (scope, name) = scoped(text);
    if is_name(name) || is_word(name) {
        return Ok(Peer::Alias(scope, name.to_ascii_lowercase()));
    }
    Err(format!("{text} is no address, network or alias"))
}
