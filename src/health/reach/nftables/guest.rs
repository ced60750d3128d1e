//! The rules at the interfaces of guests: two chains a guest, entered by each of its interfaces that has a firewall.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::address::{Address, Family};
use super::super::chain::{Builtin, Chain, List, Origin, Then, When};
use super::super::compile::guest::link_local_of;
use super::super::compile::{NicRules, nics_of, unknown};
use super::super::model::{Guest, Known, Nic};
use super::super::names::UDP;
use super::super::objects::Objects;
use super::super::ranges::Ranges;
use super::super::rule::{Action, Environment};
use super::lower::{self, Addresses, Lookup, Sets};
use super::{Direction, GuestRules, Place, Rules, Site, Table, kinds, read, switch};

/// The interfaces that the program can name.
const NICS: u32 = 31;

/// Reads the firewall of every guest of the node, also of those where it is off.
pub(super) fn read_all<'a>(place: &Place<'a>) -> Result<Vec<GuestRules<'a>>, String> {
    let mut all = Vec::new();
    let here = |guest: &Guest| guest.node == place.name;
    for (vmid, guest) in place.model.guests.iter().filter(|(_, guest)| here(guest)) {
        let Known::Read(Some(firewall)) = &guest.firewall else {
            continue;
        };
        for (key, nic) in &guest.nics {
            let number = key.strip_prefix("net").and_then(|n| n.parse::<u32>().ok());
            if !nic.readable || number.is_none_or(|number| number >= NICS) {
                return Err(format!(
                    "it cannot read the interface {key} of guest {vmid}"
                ));
            }
        }
        let list = List::Guest(*vmid);
        all.push(GuestRules {
            vmid: *vmid,
            kind: guest.kind,
            firewall,
            rules: read(&firewall.rules, Environment::Guest, |position| {
                Origin::Rule(list, position)
            })?,
        });
    }
    all.sort_by_key(|guest| (guest.kind, guest.vmid));
    Ok(all)
}

/// A guest that is being compiled.
struct Compiling<'a> {
    guest: &'a GuestRules<'a>,
    sets: Sets,
    /// For each interface the senders that its filter lets through, if it has one.
    filters: BTreeMap<String, Addresses>,
}

impl Site<'_> {
    /// The rules at every interface of every guest here.
    pub(super) fn nics(
        &self,
        guests: &[GuestRules<'_>],
    ) -> Result<BTreeMap<(u32, String), NicRules>, String> {
        let mut all = BTreeMap::new();
        for (vmid, key, nic) in nics_of(self.place.model, self.place.name) {
            let mut rules = NicRules::default();
            let read = self.place.model.guests.get(&vmid);
            if let (true, Some(Known::Unread(why))) =
                (nic.firewall, read.map(|guest| &guest.firewall))
            {
                let chain = unknown(&format!("the firewall of guest {vmid}: {why}"));
                (rules.inward, rules.outward) = (chain.clone(), chain);
            }
            all.insert((vmid, key.clone()), rules);
        }
        for guest in guests.iter().filter(|guest| guest.firewall.enable) {
            let Some(found) = self.place.model.guests.get(&guest.vmid) else {
                continue;
            };
            let compiling = self.compiling(guest, found)?;
            // Rules are compiled once a guest, also where none of its interfaces has a firewall.
            for direction in [Direction::In, Direction::Out] {
                self.guest_rules(&mut Chain::default(), &compiling, None, direction)?;
            }
            for (key, nic) in found.nics.iter().filter(|(_, nic)| nic.firewall) {
                let rules = NicRules {
                    inward: self.inward(&compiling, key)?,
                    outward: self.outward(&compiling, key, nic)?,
                };
                all.insert((guest.vmid, key.clone()), rules);
            }
        }
        Ok(all)
    }

    fn compiling<'a>(
        &self,
        guest: &'a GuestRules<'a>,
        found: &Guest,
    ) -> Result<Compiling<'a>, String> {
        let objects = &guest.firewall.objects;
        let failed = |why: String| format!("guest {}: {why}", guest.vmid);
        let alias = |scope, name: &str| lower::alias(Some(objects), self.shared(), scope, name);
        // A filter's set is made for an interface with a firewall only; and no guest's set is called `management`.
        let left_out = |name: &str| {
            let key = name.strip_prefix("ipfilter-");
            let nic = key.filter(|key| is_nic(key)).map(|key| found.nics.get(key));
            name == "management" || nic.is_some_and(|nic| !nic.is_some_and(|nic| nic.firewall))
        };
        let sets = Sets::new(objects, self.family(), left_out, alias).map_err(failed)?;
        let mut filters = BTreeMap::new();
        if guest.firewall.ipfilter {
            for (key, nic) in found.nics.iter().filter(|(_, nic)| nic.firewall) {
                let set = sets.0.get(&format!("ipfilter-{key}")).cloned();
                let default = || Ok(Arc::new(self.own_addresses(nic)));
                filters.insert(key.clone(), set.unwrap_or_else(default));
            }
        }
        Ok(Compiling {
            guest,
            sets,
            filters,
        })
    }

    /// The senders that an interface has of itself: the link-local address of its MAC address, and a container's fixed addresses.
    fn own_addresses(&self, nic: &Nic) -> Ranges {
        let own: Option<Address> = nic.mac.map(link_local_of);
        let all = own.iter().chain(&nic.addresses);
        all.filter(|address| address.family == self.family())
            .map(|address| (address.value, address.value))
            .collect()
    }

    fn inward(&self, guest: &Compiling<'_>, key: &str) -> Result<Chain, String> {
        let firewall = guest.guest.firewall;
        let mut chain = Chain::default();
        self.passes_first(&mut chain);
        self.invalid(&mut chain);
        dhcp(&mut chain, firewall.dhcp, true);
        self.neighbours(&mut chain, firewall.ndp, true);
        self.guest_rules(&mut chain, guest, Some(key), Direction::In)?;
        let policy = (firewall.policy_in, Action::Drop);
        let list = List::Guest(guest.guest.vmid);
        self.policy(&mut chain, list, policy, (Direction::In, Table::Guests));
        Ok(chain)
    }

    fn outward(&self, guest: &Compiling<'_>, key: &str, nic: &Nic) -> Result<Chain, String> {
        let firewall = guest.guest.firewall;
        let mut chain = Chain::default();
        self.passes_first(&mut chain);
        self.invalid(&mut chain);
        match guest.filters.get(key) {
            Some(Ok(addresses)) => {
                let foreign = addresses.complement(self.family().last());
                let when = When {
                    source: Some(Arc::new(foreign)),
                    ..When::default()
                };
                chain.push(when, Then::Drop, Origin::Builtin(Builtin::IpFilter));
            }
            Some(Err(why)) => {
                let origin = Origin::Unknown(Arc::from(why.as_str()));
                chain.push(When::default(), Then::Unknown, origin);
            }
            None => {}
        }
        if firewall.macfilter != Some(false) {
            let when = When {
                not_mac: nic.mac,
                ..When::default()
            };
            chain.push(when, Then::Drop, Origin::Builtin(Builtin::MacFilter));
        }
        dhcp(&mut chain, firewall.dhcp, false);
        self.neighbours(&mut chain, firewall.ndp, false);
        if self.family() == Family::V6 {
            let origin = Origin::Builtin(Builtin::RouterAdvertisement);
            chain.push(
                kinds(Family::V6, &[134, 137]),
                switch(firewall.radv),
                origin,
            );
        }
        self.guest_rules(&mut chain, guest, Some(key), Direction::Out)?;
        let policy = (firewall.policy_out, Action::Accept);
        let list = List::Guest(guest.guest.vmid);
        self.policy(&mut chain, list, policy, (Direction::Out, Table::Guests));
        Ok(chain)
    }

    /// The rules for one interface, or for every one.
    fn guest_rules(
        &self,
        chain: &mut Chain,
        guest: &Compiling<'_>,
        key: Option<&str>,
        direction: Direction,
    ) -> Result<(), String> {
        let objects: &Objects = &guest.guest.firewall.objects;
        let lookup = Lookup {
            own: Some((objects, &guest.sets)),
            ..self.lookup()
        };
        let list = List::Guest(guest.guest.vmid);
        let rules = guest.guest.rules.iter();
        let here: Rules = rules
            .filter(|(_, rule)| {
                key.is_none() || rule.iface.is_none() || rule.iface.as_deref() == key
            })
            .cloned()
            .collect();
        let origin = |position| Origin::Rule(list, position);
        self.list(chain, &here, &lookup, (direction, Table::Guests), &origin)
    }
}

/// DHCP between its two ports, of both versions at once: it passes, or it is dropped.
fn dhcp(chain: &mut Chain, option: Option<bool>, inward: bool) {
    for (client, server) in [(68, 67), (546, 547)] {
        let (source, dest) = if inward {
            (server, client)
        } else {
            (client, server)
        };
        let when = When {
            protocol: Some(UDP),
            ports: Some(Arc::new(Ranges::one(dest))),
            source_ports: Some(Arc::new(Ranges::one(source))),
            ..When::default()
        };
        let then = switch(option != Some(false));
        chain.push(when, then, Origin::Builtin(Builtin::Dhcp));
    }
}

/// Whether a text is a name of an interface that a filter can be for.
fn is_nic(key: &str) -> bool {
    let number = key.strip_prefix("net").and_then(|n| n.parse::<u32>().ok());
    number.is_some_and(|number| number < NICS)
}
