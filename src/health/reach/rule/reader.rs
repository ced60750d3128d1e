//! The reading of one rule: what Proxmox VE checks, in whatever order, since any error has the same effect; and what the compiled rule
//! matches.

use std::sync::Arc;

use super::super::address::{Address, Family, Network};
use super::super::macros;
use super::super::names;
use super::super::objects::{Objects, is_name, scoped};
use super::super::ranges::Ranges;
use super::{Action, Environment, Kind, Lowered, Peer, Rule, RuleText, Scope, Traffic};

/// A rule that is being read, and what it may refer to.
pub(super) struct Reader<'a> {
    pub(super) text: &'a RuleText,
    pub(super) environment: Environment,
    pub(super) shared: &'a Objects,
    pub(super) own: Option<&'a Objects>,
}

fn given(field: &Option<String>) -> Option<&str> {
    field
        .as_deref()
        .filter(|text| !text.is_empty() && *text != "0")
}

/// The version a rule is for, as its fields say it one after the other.
#[derive(Default)]
struct Version(Option<Family>);

impl Version {
    fn set(&mut self, family: Family) -> Result<(), String> {
        match self.0 {
            Some(known) if known != family => Err("IPv4 and IPv6 are mixed in the rule".to_owned()),
            _ => {
                self.0 = Some(family);
                Ok(())
            }
        }
    }
}

impl Reader<'_> {
    /// The rule, or the error for which Proxmox VE ignores it.
    pub(super) fn rule(&self) -> Result<Rule, String> {
        let kind = self.kind()?;
        let fixed = |field: &str| !matches!(field, "source" | "dest");
        if let Some((_, error)) = self.text.errors.iter().find(|(field, _)| fixed(field)) {
            return Err(error.clone());
        }
        if let Some(iface) = given(&self.text.iface) {
            self.iface(iface)?;
        }
        let mut version = Version::default();
        match given(&self.text.proto) {
            Some("icmp") => version.set(Family::V4)?,
            Some("icmpv6" | "ipv6-icmp") => version.set(Family::V6)?,
            _ => {}
        }
        self.protocol_and_ports()?;
        let source = self.peer("source", given(&self.text.source), &mut version)?;
        let dest = self.peer("dest", given(&self.text.dest), &mut version)?;
        if let Some(name) = given(&self.text.macro_name) {
            self.macro_agrees(name, version.0)?;
        }
        Ok(Rule {
            kind,
            iface: given(&self.text.iface).map(str::to_owned),
            family: version.0,
            source,
            dest,
            v4: self.lower(Family::V4),
            v6: self.lower(Family::V6),
        })
    }

    fn kind(&self) -> Result<Kind, String> {
        let action = match self.text.action.as_str() {
            "ACCEPT" => Some(Action::Accept),
            "DROP" => Some(Action::Drop),
            "REJECT" => Some(Action::Reject),
            _ => None,
        };
        let wanted = || action.ok_or_else(|| format!("unknown action {}", self.text.action));
        match self.text.kind.as_str() {
            "in" | "out" if self.environment == Environment::Vnet => {
                Err("a vnet has forward rules only".to_owned())
            }
            "in" => Ok(Kind::In(wanted()?)),
            "out" => Ok(Kind::Out(wanted()?)),
            "forward" if self.environment == Environment::Guest => {
                Err("a guest has no forward rules".to_owned())
            }
            "forward" => match wanted()? {
                Action::Reject => Err("REJECT is not possible in a forward rule".to_owned()),
                action => Ok(Kind::Forward(action)),
            },
            "group" if self.environment == Environment::Group => {
                Err("a security group cannot contain another".to_owned())
            }
            "group" if !is_name(&self.text.action) => {
                Err("the security group's name has wrong characters".to_owned())
            }
            "group" => Ok(Kind::Group(self.text.action.clone())),
            other => Err(format!("unknown rule type {other}")),
        }
    }

    fn iface(&self, iface: &str) -> Result<(), String> {
        match self.environment {
            Environment::Group | Environment::Vnet => {
                Err("a rule of a group or vnet cannot be bound to an interface".into())
            }
            Environment::Guest => {
                let number = iface.strip_prefix("net").unwrap_or_default();
                if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(format!("{iface} is no netN"));
                }
                Ok(())
            }
            Environment::Cluster | Environment::Host => {
                let (name, alias) = match iface.split_once(['.', ':']) {
                    Some((name, number)) => (name, Some(number)),
                    None => (iface, None),
                };
                let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                let fits = (2..=21).contains(&name.len())
                    && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
                    && name.bytes().all(letters)
                    && alias.is_none_or(|number| {
                        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
                    });
                if fits {
                    Ok(())
                } else {
                    Err(format!("{iface} is no name of an interface"))
                }
            }
        }
    }

    /// What Proxmox VE checks of protocol, ports and ICMP type when it reads the rule.
    fn protocol_and_ports(&self) -> Result<(), String> {
        let proto = given(&self.text.proto);
        let is_icmp = proto.is_some_and(is_icmp);
        let with_ports = |field: &str| match proto {
            None => Err(format!("{field} needs a protocol")),
            Some(name) => match names::protocol(name) {
                Some(number) if !names::has_ports(number) => {
                    Err(format!("the protocol {name} has no ports"))
                }
                _ => Ok(()),
            },
        };
        if let Some(ports) = given(&self.text.dport) {
            self.port_list(ports, "dport", is_icmp)?;
            if !is_icmp {
                with_ports("dport")?;
            }
        }
        if let Some(name) = given(&self.text.icmp_type) {
            if !is_icmp {
                return Err("icmp-type needs the protocol icmp or icmpv6".to_owned());
            }
            if given(&self.text.dport).is_some() {
                return Err("icmp-type and dport exclude each other".to_owned());
            }
            let family = if proto == Some("icmp") {
                Family::V4
            } else {
                Family::V6
            };
            if name != "any" && names::icmp(name, family).is_none() {
                return Err(format!("{name} is no ICMP type of this protocol"));
            }
        }
        if let Some(ports) = given(&self.text.sport) {
            self.port_list(ports, "sport", false)?;
            with_ports("sport")?;
        }
        Ok(())
    }

    fn port_list(&self, text: &str, field: &str, is_icmp: bool) -> Result<(), String> {
        let mut numbers = 0;
        let mut named = false;
        for item in text.split(',') {
            match port_item(item) {
                Item::Numbers(low, high) => {
                    if low > 65_535 || high > 65_535 || low > high {
                        return Err(format!("{field}: {item} is no port or range of ports"));
                    }
                    numbers += if item.contains(':') { 2 } else { 1 };
                }
                Item::Empty => return Err(format!("{field}: extra commas")),
                Item::Name if is_icmp && names::is_icmp_name(item) => named = true,
                // A service by its name; one that is not known here may be known to the node.
                Item::Name => {}
            }
        }
        if numbers > 15 {
            return Err(format!("{field}: more than 15 numbers"));
        }
        if named && numbers > 0 {
            return Err(format!("{field}: an ICMP type among ports"));
        }
        Ok(())
    }

    fn peer(
        &self,
        field: &str,
        text: Option<&str>,
        version: &mut Version,
    ) -> Result<Option<Peer>, String> {
        let Some(text) = text else { return Ok(None) };
        if let Some(reference) = text.strip_prefix('+') {
            let (scope, name) = scoped(reference);
            let of_sdn = name.strip_prefix("sdn/");
            let name = of_sdn.unwrap_or(name);
            if !is_name(name) || text.len() > 65 {
                return Err(format!("{text} is no name of a set"));
            }
            // The check looks in both places, whatever the reference says.
            let there = self.shared.sets.contains_key(name)
                || self.own.is_some_and(|own| own.sets.contains_key(name));
            if of_sdn.is_some() || (!there && is_sdn_set(name)) {
                return match self.text.errors.get(field) {
                    Some(error) => Err(error.clone()),
                    None => Ok(Some(Peer::Unknown(format!(
                        "the set {name} is made by SDN, and what is in it is not known"
                    )))),
                };
            }
            if !there {
                return Err(format!("there is no set {name}"));
            }
            return Ok(Some(Peer::Set(scope, name.to_owned())));
        }
        let (scope, name) = scoped(text);
        if is_name(name) {
            let name = name.to_ascii_lowercase();
            let own = self.own.and_then(|own| own.aliases.get(&name));
            let shared = self.shared.aliases.get(&name);
            if own.is_none() && shared.is_none() {
                return Err(format!("there is no alias {text}"));
            }
            let own = own.filter(|_| scope != Some(Scope::Datacenter));
            let shared = shared.filter(|_| scope != Some(Scope::Guest));
            if let Some(network) = own.or(shared) {
                version.set(network.address.family)?;
            }
            return Ok(Some(Peer::Alias(scope, name)));
        }
        let (family, addresses) = address_list(text)?;
        version.set(family)?;
        Ok(Some(Peer::Addresses(Arc::new(addresses))))
    }

    /// That the rule's own fields say the same as its macro, text by text.
    fn macro_agrees(&self, name: &str, family: Option<Family>) -> Result<(), String> {
        if !macros::is_known(name) {
            return Ok(());
        }
        let entries = match family {
            Some(family) => macros::traffic(name, family),
            None => macros::judged_by(name),
        };
        match entries.iter().find_map(|entry| self.conflict(entry)) {
            Some(field) => Err(format!("the macro {name} says another {field}")),
            None => Ok(()),
        }
    }

    fn conflict(&self, entry: &macros::Entry) -> Option<&'static str> {
        let differs = |own: Option<&str>, theirs: Option<&str>| {
            own.zip(theirs).is_some_and(|(own, theirs)| own != theirs)
        };
        let fields = [
            ("proto", given(&self.text.proto), Some(entry.protocol)),
            ("dport", given(&self.text.dport), entry.ports),
            ("sport", given(&self.text.sport), entry.source_ports),
        ];
        fields
            .into_iter()
            .find(|(_, own, theirs)| differs(*own, *theirs))
            .map(|(field, _, _)| field)
    }

    /// What the compiled rule matches in one version's rules.
    fn lower(&self, family: Family) -> Lowered {
        let own = Fields {
            proto: given(&self.text.proto),
            dport: given(&self.text.dport),
            sport: given(&self.text.sport),
            icmp_type: given(&self.text.icmp_type),
        };
        let zero = [&self.text.dport, &self.text.sport, &self.text.proto];
        if zero.iter().any(|field| field.as_deref() == Some("0")) {
            return Lowered::Unknown(
                "versions of Proxmox VE differ in what 0 means as a port or protocol".to_owned(),
                None,
            );
        }
        let Some(name) = given(&self.text.macro_name) else {
            return match own.lower(family) {
                Ok(traffic) => Lowered::Matches(vec![traffic]),
                Err(failed) => failed,
            };
        };
        if !macros::is_known(name) {
            return Lowered::Unknown(
                format!("the macro {name} is not known to Bailiwick"),
                own.proto.and_then(names::protocol),
            );
        }
        let mut matches = Vec::new();
        for entry in macros::traffic(name, family) {
            if let Some(field) = self.conflict(entry) {
                return Lowered::Fails(format!("the macro {name} says another {field}"));
            }
            let merged = Fields {
                proto: Some(entry.protocol),
                dport: entry.ports.or(own.dport),
                sport: entry.source_ports.or(own.sport),
                icmp_type: own.icmp_type,
            };
            match merged.lower(family) {
                Ok(traffic) => matches.push(traffic),
                // One part is unknown: so is what the whole macro matches.
                Err(Lowered::Unknown(why, _)) => return Lowered::Unknown(why, None),
                Err(failed) => return failed,
            }
        }
        Lowered::Matches(matches)
    }
}

/// Whether a set's name is one of those that Proxmox VE makes from SDN's configuration: of a virtual network, and of a guest's addresses in
/// IPAM.
fn is_sdn_set(name: &str) -> bool {
    ["-all", "-gateway", "-no-gateway", "-dhcp"]
        .iter()
        .any(|end| name.ends_with(end))
        || name.starts_with("guest-ipam-")
}

fn is_icmp(proto: &str) -> bool {
    matches!(proto, "icmp" | "icmpv6" | "ipv6-icmp")
}

enum Item {
    Numbers(u32, u32),
    Name,
    Empty,
}

fn port_item(item: &str) -> Item {
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u32::MAX))
    };
    if item.is_empty() {
        return Item::Empty;
    }
    match item.split_once(':') {
        Some((low, high)) => match (number(low), number(high)) {
            (Some(low), Some(high)) => Item::Numbers(low, high),
            _ => Item::Name,
        },
        None => match number(item) {
            Some(port) => Item::Numbers(port, port),
            None => Item::Name,
        },
    }
}

/// A rule's fields after its macro was put in.
struct Fields<'a> {
    proto: Option<&'a str>,
    dport: Option<&'a str>,
    sport: Option<&'a str>,
    icmp_type: Option<&'a str>,
}

impl Fields<'_> {
    fn lower(&self, family: Family) -> Result<Traffic, Lowered> {
        let Some(name) = self.proto else {
            return Ok(Traffic::default());
        };
        let Some(number) = names::protocol(name) else {
            return Err(Lowered::Unknown(
                format!("the protocol {name} is not known to Bailiwick"),
                None,
            ));
        };
        let mut traffic = Traffic {
            protocol: Some(number),
            ..Traffic::default()
        };
        if let Some(kind) = self.icmp_type {
            traffic.ports = Some(Arc::new(icmp_kinds(kind, name, family)?));
        }
        if let Some(ports) = self.dport {
            let ports = match name {
                "icmp" | "icmpv6" => icmp_kinds(ports, name, family)?,
                _ if !names::has_ports(number) => {
                    return Err(Lowered::Fails(format!("the protocol {name} has no ports")));
                }
                _ => port_set(ports, number)?,
            };
            let both = traffic
                .ports
                .map_or_else(|| ports.clone(), |kinds| kinds.intersection(&ports));
            traffic.ports = Some(Arc::new(both));
        }
        if let Some(ports) = self.sport {
            if !names::has_ports(number) {
                return Err(Lowered::Fails(format!("the protocol {name} has no ports")));
            }
            traffic.source_ports = Some(Arc::new(port_set(ports, number)?));
        }
        Ok(traffic)
    }
}

fn icmp_kinds(text: &str, proto: &str, family: Family) -> Result<Ranges, Lowered> {
    let protocol = names::protocol(proto);
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .map(|kind| names::kinds(kind, None))
            .map_err(|_| Lowered::Unknown(format!("{text} is no ICMP type"), protocol));
    }
    names::icmp(text, family).ok_or_else(|| match text {
        "any" => Lowered::Unknown(
            format!("nodes differ in whether {proto} has a type any"),
            protocol,
        ),
        _ => Lowered::Fails(format!("{proto} has no type {text}")),
    })
}

fn port_set(text: &str, protocol: u8) -> Result<Ranges, Lowered> {
    let mut parts = Vec::new();
    for item in text.split(',') {
        match port_item(item) {
            Item::Numbers(low, high) => parts.push((u128::from(low), u128::from(high))),
            Item::Name | Item::Empty => match names::service(item) {
                Some(port) => parts.push((u128::from(port), u128::from(port))),
                None => {
                    return Err(Lowered::Unknown(
                        format!("the service {item} is not known to Bailiwick"),
                        Some(protocol),
                    ));
                }
            },
        }
    }
    Ok(Ranges::from_parts(parts))
}

/// Reads a list of addresses and networks, or one range, as Proxmox VE checks it: one version, no bits after the prefix.
fn address_list(text: &str) -> Result<(Family, Ranges), String> {
    let mut family = None;
    let mut parts = Vec::new();
    let items: Vec<&str> = text.split(',').collect();
    for item in &items {
        let (low, high) = match item.split_once('-') {
            Some(_) if items.len() > 1 => {
                return Err("a range cannot stand in a list".to_owned());
            }
            Some((low, high)) => {
                let both = Address::parse(low).zip(Address::parse(high));
                let (low, high) = both
                    .filter(|(low, high)| low.family == high.family && low.value <= high.value)
                    .ok_or_else(|| format!("{item} is no range of addresses"))?;
                (low, high)
            }
            None => {
                let network = Network::parse(item)
                    .filter(|network| !network.has_host_bits())
                    .ok_or_else(|| format!("{item} is no address or network"))?;
                let (low, high) = network.span();
                let family = network.address.family;
                let at = |value| Address { family, value };
                (at(low), at(high))
            }
        };
        if family.is_some_and(|known| known != low.family) {
            return Err("IPv4 and IPv6 are mixed in a list".to_owned());
        }
        family = Some(low.family);
        parts.push((low.value, high.value));
    }
    match family {
        Some(family) => Ok((family, Ranges::from_parts(parts))),
        None => Err("an empty list of addresses".to_owned()),
    }
}
