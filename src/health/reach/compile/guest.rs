//! The rules at the interfaces of guests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::address::{Address, Family, Network};
use super::super::chain::{Builtin, Chain, List, Origin, Then, When};
use super::super::model::{Guest, GuestFirewall, Known, Nic};
use super::super::names::{self, UDP};
use super::super::objects::Element;
use super::super::ranges::Ranges;
use super::super::rule::{Action, Kind};
use super::groups::{Direction, GivenUp, Groups, applies};
use super::lists::{Actions, Failure, Lookup, Sets, if_marked};
use super::{NicRules, Site, element};

/// The chains that a guest's interface has of its own, as far as they were made.
#[derive(Default)]
struct Taps {
    inward: Option<Chain>,
    outward: Option<Chain>,
}

/// A guest that is being compiled.
struct Compiling<'a> {
    vmid: u32,
    firewall: &'a GuestFirewall,
    sets: &'a Sets,
    /// The sets that filter the source of each interface.
    filters: &'a [(String, Vec<Element>)],
}

impl Site<'_> {
    /// The rules at every interface of every guest here, guest by guest in Proxmox VE's order.
    pub(super) fn guests(&self, groups: &mut Groups) -> BTreeMap<(u32, String), NicRules> {
        let mut rules = BTreeMap::new();
        for vmid in self.order() {
            let Some(guest) = self.model.guests.get(&vmid) else {
                continue;
            };
            let taps = self.guest(vmid, guest, groups);
            for (key, nic) in &guest.nics {
                let own = taps.get(key);
                rules.insert((vmid, key.clone()), self.nic(nic, own));
            }
        }
        rules
    }

    /// What a packet meets at an interface: what connection tracking drops is dropped at any; the rest only where the interface has a
    /// firewall bridge of its own.
    fn nic(&self, nic: &Nic, taps: Option<&Taps>) -> NicRules {
        let mut rules = NicRules::default();
        match self.host {
            Ok(host) if host.allow_invalid => {}
            _ => {
                self.standard.drop_invalid(&mut rules.inward);
                self.standard.drop_invalid(&mut rules.outward);
            }
        }
        if !nic.firewall {
            return rules;
        }
        self.input_filters(&mut rules.inward);
        let plug = |chain: &mut Chain, own: Option<&Chain>| {
            if let Some(own) = own {
                // The interface's chain is entered by everything; its steps can stand here.
                chain.steps.extend(own.steps.iter().cloned());
            }
        };
        plug(
            &mut rules.inward,
            taps.and_then(|taps| taps.inward.as_ref()),
        );
        plug(
            &mut rules.outward,
            taps.and_then(|taps| taps.outward.as_ref()),
        );
        rules
    }

    /// The chains of a guest's interfaces. Where compiling gives up, the chains made so far stay, and the rest does not exist: the
    /// guest is not filtered there.
    fn guest(&self, vmid: u32, guest: &Guest, groups: &mut Groups) -> BTreeMap<String, Taps> {
        let mut taps: BTreeMap<String, Taps> = BTreeMap::new();
        let with_firewall = || guest.nics.iter().filter(|(_, nic)| nic.firewall);
        let firewall = match &guest.firewall {
            Known::Read(Some(firewall)) if firewall.enable => firewall,
            Known::Read(_) => return taps,
            Known::Unread(why) => {
                let why = format!("the firewall of guest {vmid}: {why}");
                for (key, _) in with_firewall() {
                    let chain = Some(super::unknown(&why));
                    let own = Taps {
                        inward: chain.clone(),
                        outward: chain,
                    };
                    taps.insert(key.clone(), own);
                }
                groups.unread.get_or_insert(why);
                return taps;
            }
        };
        let filters: Vec<(String, Vec<Element>)> = with_firewall()
            .filter_map(|(key, nic)| filter_set(firewall, key, nic))
            .collect();
        let sets = Sets::new(&firewall.objects, Some(&self.shared), &filters, self.family);
        let compiling = Compiling {
            vmid,
            firewall,
            sets: &sets,
            filters: &filters,
        };
        for (key, nic) in with_firewall() {
            let own = taps.entry(key.clone()).or_default();
            match self.tap(&compiling, key, nic, groups, Direction::In) {
                Ok(chain) => own.inward = Some(chain),
                Err(GivenUp) => break,
            }
            match self.tap(&compiling, key, nic, groups, Direction::Out) {
                Ok(chain) => own.outward = Some(chain),
                Err(GivenUp) => break,
            }
        }
        taps
    }

    fn tap(
        &self,
        guest: &Compiling<'_>,
        key: &str,
        nic: &Nic,
        groups: &mut Groups,
        direction: Direction,
    ) -> Result<Chain, GivenUp> {
        let firewall = guest.firewall;
        let ips = || Origin::Unknown(Arc::from("an intrusion prevention system decides"));
        let mut chain = Chain::default();
        let accept = match direction {
            Direction::Out => Then::MarkAndReturn,
            Direction::In if firewall.ips => Then::Unknown,
            Direction::In => Then::Accept,
        };
        if firewall.dhcp != Some(false) {
            // DHCP is accepted as it is, also where a prevention system looks at the rest.
            let then = match direction {
                Direction::Out => Then::MarkAndReturn,
                Direction::In => Then::Accept,
            };
            self.dhcp(&mut chain, direction, then);
        }
        if direction == Direction::Out {
            self.sender_filters(guest, key, nic, &mut chain);
        }
        if self.family == Family::V6 && firewall.ndp != Some(false) {
            let advertises = direction == Direction::In || firewall.radv;
            self.neighbour_discovery(&mut chain, advertises, &accept);
        }
        self.guest_rules(guest, key, groups, direction, &accept, &mut chain)?;
        let (set, default) = match direction {
            Direction::In => (firewall.policy_in, Action::Drop),
            Direction::Out => (firewall.policy_out, Action::Accept),
        };
        self.policy(&mut chain, List::Guest(guest.vmid), set, default, &accept);
        if firewall.ips {
            for step in &mut chain.steps {
                if step.then == Then::Unknown && !matches!(step.origin, Origin::Unknown(_)) {
                    step.origin = ips();
                }
            }
        }
        Ok(chain)
    }

    /// DHCP between its two ports, before the filters of MAC and IP addresses.
    fn dhcp(&self, chain: &mut Chain, direction: Direction, then: Then) {
        let (client, server) = match self.family {
            Family::V4 => (68, 67),
            Family::V6 => (546, 547),
        };
        let (source, dest) = match direction {
            Direction::Out => (client, server),
            Direction::In => (server, client),
        };
        let when = When {
            protocol: Some(UDP),
            ports: Some(Arc::new(Ranges::one(dest))),
            source_ports: Some(Arc::new(Ranges::one(source))),
            ..When::default()
        };
        chain.push(when, then, Origin::Builtin(Builtin::Dhcp));
    }

    /// What a guest may not send, whatever its rules say.
    fn sender_filters(&self, guest: &Compiling<'_>, key: &str, nic: &Nic, chain: &mut Chain) {
        let firewall = guest.firewall;
        if firewall.macfilter != Some(false)
            && let Some(mac) = nic.mac
        {
            let when = When {
                not_mac: Some(mac),
                ..When::default()
            };
            chain.push(when, Then::Drop, Origin::Builtin(Builtin::MacFilter));
        }
        if self.family == Family::V6 && !firewall.radv {
            let when = When {
                protocol: Some(names::ICMPV6),
                ports: Some(Arc::new(names::kinds(134, None))),
                ..When::default()
            };
            let origin = Origin::Builtin(Builtin::RouterAdvertisement);
            chain.push(when, Then::Drop, origin);
        }
        let name = format!("ipfilter-{key}");
        if guest.filters.iter().any(|(known, _)| *known == name) {
            match guest.sets.get(&name) {
                Some(Ok(addresses)) => {
                    let foreign = addresses.complement(self.family.last());
                    let when = When {
                        source: Some(Arc::new(foreign)),
                        ..When::default()
                    };
                    chain.push(when, Then::Drop, Origin::Builtin(Builtin::IpFilter));
                }
                Some(Err(why)) => chain.push(
                    When::default(),
                    Then::Unknown,
                    Origin::Unknown(Arc::from(why.as_str())),
                ),
                None => {}
            }
        }
        chain.push(
            When::default(),
            Then::Unmark,
            Origin::Builtin(Builtin::IpFilter),
        );
    }

    fn guest_rules(
        &self,
        guest: &Compiling<'_>,
        key: &str,
        groups: &mut Groups,
        direction: Direction,
        accept: &Then,
        chain: &mut Chain,
    ) -> Result<(), GivenUp> {
        let lookup = Lookup {
            family: self.family,
            own: Some((&guest.firewall.objects, guest.sets)),
            shared: (&self.shared, &self.sets),
        };
        let actions = Actions {
            accept: accept.clone(),
            reject: Then::Jump(self.standard.reject.clone()),
        };
        for (position, entry) in guest.firewall.rules.iter().enumerate() {
            let Some(rule) = entry.active() else { continue };
            let elsewhere = rule.iface.as_ref().is_some_and(|iface| iface != key);
            if elsewhere || !applies(rule.family, self.family) {
                continue;
            }
            let list = List::Guest(guest.vmid);
            let action = match (&rule.kind, direction) {
                (Kind::Group(group), _) => {
                    let inner = groups.chain(self, group, direction)?;
                    let line = Origin::GroupLine(list, position);
                    chain.push(When::default(), Then::Jump(inner), line.clone());
                    let then = match direction {
                        Direction::Out => Then::Return,
                        Direction::In => accept.clone(),
                    };
                    chain.steps.push(if_marked(then, line));
                    continue;
                }
                (Kind::In(action), Direction::In) | (Kind::Out(action), Direction::Out) => *action,
                _ => continue,
            };
            let origin = Origin::Rule(list, position);
            match lookup.steps(rule, &actions.then(action), &origin) {
                Ok(mut steps) => {
                    // The interface was looked at above: in a guest it selects its own, not one of the node's.
                    for step in &mut steps {
                        step.when.iface = None;
                    }
                    chain.steps.extend(steps);
                }
                Err(Failure::Fails) => {}
                Err(Failure::Unknown(why)) => {
                    let origin = Origin::Unknown(Arc::from(why));
                    chain.push(When::default(), Then::Unknown, origin);
                }
            }
        }
        Ok(())
    }
}

/// The set that an interface's packets must come from, if there is one, with what Proxmox VE adds to it: the link-local address of the
/// MAC address, no other link-local one, and a container's fixed addresses.
fn filter_set(firewall: &GuestFirewall, key: &str, nic: &Nic) -> Option<(String, Vec<Element>)> {
    let name = format!("ipfilter-{key}");
    if !firewall.ipfilter && !firewall.objects.sets.contains_key(&name) {
        return None;
    }
    let whole = |address: Address| Network {
        address,
        prefix: address.family.bits(),
    };
    let link_local = Network {
        address: Address {
            family: Family::V6,
            value: 0xfe80 << 112,
        },
        prefix: 10,
    };
    let mut elements = vec![element(link_local, true)];
    if let Some(mac) = nic.mac {
        elements.push(element(whole(link_local_of(mac)), false));
    }
    let fixed = nic.addresses.iter();
    elements.extend(fixed.map(|address| element(whole(*address), false)));
    Some((name, elements))
}

/// The link-local address that a MAC address gives (RFC 4291: the bit for global ones flipped, `fffe` in the middle).
pub(in super::super) fn link_local_of(mac: u64) -> Address {
    let upper = u128::from(mac >> 24) ^ 0x02_0000;
    let lower = u128::from(mac & 0xff_ffff);
    Address {
        family: Family::V6,
        value: 0xfe80 << 112 | upper << 40 | 0xfffe << 24 | lower,
    }
}
