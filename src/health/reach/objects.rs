//! Aliases and sets, of the datacenter or of one guest, and what a reference to them means.

use std::collections::BTreeMap;

use super::address::{Family, Network};
use super::ranges::Ranges;
use super::rule::Scope;

/// Aliases and sets of one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Aliases by their name in lower case.
    pub aliases: BTreeMap<String, Network>,
    /// Sets by their name. Proxmox VE writes it in lower case and looks it up as it stands in the reference.
    pub sets: BTreeMap<String, Vec<Element>>,
    /// The elements of sets as they are written, with those that the iptables backend leaves out; whether each is an exception.
    pub written: BTreeMap<String, Vec<(String, bool)>>,
}

/// An element of a set that Proxmox VE takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What it names.
    pub what: What,
    /// Whether it is an exception.
    pub nomatch: bool,
}

/// What an element of a set names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An address or network. Bits after the prefix do not count.
    Network(Network),
    /// An alias, its name in lower case.
    Alias(Option<Scope>, String),
}

/// Whether a text is a name of an alias, set or group: a letter, then at least one letter, digit, `-` or `_`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A reference without its scope, and the scope.
#[must_use]
pub fn scoped(text: &str) -> (Option<Scope>, &str) {
    if let Some(name) = text.strip_prefix("dc/") {
        (Some(Scope::Datacenter), name)
    } else if let Some(name) = text.strip_prefix("guest/") {
        (Some(Scope::Guest), name)
    } else {
        (None, text)
    }
}

impl Objects {
    /// Adds an alias. `false` if its value is no address or network: Proxmox VE ignores it then.
    pub fn add_alias(&mut self, name: &str, cidr: &str) -> bool {
        match Network::parse(cidr) {
            Some(network) => {
                self.aliases.insert(name.to_ascii_lowercase(), network);
                true
            }
            None => false,
        }
    }

    /// Reads the elements of a set, in order, and defines it. `shared` are the datacenter's objects if this is a guest's place.
    /// Returns what Proxmox VE ignores of it: elements whose alias does not exist, with the prefix 0, or named before.
    pub fn define_set(
        &mut self,
        name: &str,
        elements: &[(String, bool)],
        shared: Option<&Self>,
    ) -> Vec<String> {
        self.sets.insert(name.to_owned(), Vec::new());
        self.written.insert(name.to_owned(), elements.to_vec());
        let mut ignored = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for (text, nomatch) in elements {
            let key = strip_full(text);
            let what = self.element(key, shared).and_then(|what| {
                if seen.iter().any(|known| known == key) {
                    Err("named twice")
                } else {
                    Ok(what)
                }
            });
            match what {
                Ok(what) => {
                    if let Some(set) = self.sets.get_mut(name) {
                        set.push(Element {
                            what,
                            nomatch: *nomatch,
                        });
                    }
                }
                Err(why) => ignored.push(format!("{text}: {why}")),
            }
            seen.push(key.to_owned());
        }
        ignored
    }

    fn element(&self, text: &str, shared: Option<&Self>) -> Result<What, &'static str> {
        let (scope, name) = scoped(text);
        if is_name(name) {
            let name = name.to_ascii_lowercase();
            let network = self
                .alias(scope, &name, shared)
                .ok_or("there is no such alias")?;
            if network.prefix == 0 {
                return Err("the prefix 0 is not possible in a set");
            }
            return Ok(What::Alias(scope, name));
        }
        let network = Network::parse(text).ok_or("it is no address or network")?;
        if network.prefix == 0 {
            return Err("the prefix 0 is not possible in a set");
        }
        Ok(What::Network(network))
    }

    /// The alias that a name means here. A guest's own comes first; without `shared`, this is the datacenter itself.
    #[must_use]
    pub fn alias(
        &self,
        scope: Option<Scope>,
        name: &str,
        shared: Option<&Self>,
    ) -> Option<Network> {
        let (own, datacenter) = match shared {
            Some(shared) => (Some(self), shared),
            None => (None, self),
        };
        let own = own.filter(|_| scope != Some(Scope::Datacenter));
        own.and_then(|own| own.aliases.get(name))
            .or_else(|| {
                let datacenter = (scope != Some(Scope::Guest)).then_some(datacenter);
                datacenter.and_then(|dc| dc.aliases.get(name))
            })
            .copied()
    }
}

/// A single address without its full prefix, as Proxmox VE compares elements.
fn strip_full(text: &str) -> &str {
    let full = if text.contains(':') { "/128" } else { "/32" };
    text.strip_suffix(full).unwrap_or(text)
}

/// The addresses of one version that a set matches: of all elements that contain an address the one with the longest prefix decides.
/// Elements that name the same network count once, the last of them.
///
/// # Errors
/// Two elements that are written differently and are the same network, one of them an exception: a kernel takes only one of them.
pub fn addresses(elements: &[(Network, bool)], family: Family) -> Result<Ranges, String> {
    let mut networks: BTreeMap<(u32, u128), (Network, bool)> = BTreeMap::new();
    for (network, nomatch) in elements {
        if network.address.family != family {
            continue;
        }
        let key = (network.prefix, network.span().0);
        let before = networks.insert(key, (*network, *nomatch));
        if let Some((other, was)) = before
            && other != *network
            && was != *nomatch
        {
            return Err(format!(
                "{other} and {network} are the same network, one of them an exception"
            ));
        }
    }
    if networks.values().all(|(_, nomatch)| !nomatch) {
        return Ok(networks
            .values()
            .map(|(network, _)| network.span())
            .collect());
    }
    let mut matched = Ranges::none();
    // From the shortest prefix to the longest: each says it better than those before.
    for (network, nomatch) in networks.values() {
        let these = network.addresses();
        matched = if *nomatch {
            matched.minus(&these)
        } else {
            matched.union(&these)
        };
    }
    Ok(matched)
}
