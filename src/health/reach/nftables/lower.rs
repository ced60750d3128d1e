//! Rules as steps for one version of IP. The backend has one list of rules for both versions: a rule is for one of them as soon as its
//! protocol or an address says so, and what its other fields then say of the other version is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::address::{Family, Network};
use super::super::chain::{Origin, Step, Then, When};
use super::super::model::Interface;
use super::super::objects::Objects;
use super::super::ranges::Ranges;
use super::super::rule::Scope;
use super::text::{self, Matches, Peer, Rule, Traffic};

/// The addresses of one version in a set, or why they are not known.
pub(super) type Addresses = Result<Arc<Ranges>, String>;

/// The sets of a place by name.
#[derive(Debug, Default)]
pub(super) struct Sets(pub(super) BTreeMap<String, Addresses>);

/// The alias that a name means for a place: a guest's own come first; a list that is no guest's has none of its own.
pub(super) fn alias(
    own: Option<&Objects>,
    shared: &Objects,
    scope: Option<Scope>,
    name: &str,
) -> Option<Network> {
    match own {
        Some(own) => own.alias(scope, name, Some(shared)),
        None if scope == Some(Scope::Guest) => None,
        None => shared.alias(scope, name, None),
    }
}

/// The addresses of one version that a set matches: what is in one of its elements and in none of its exceptions, however small either
/// is.
///
/// # Errors
/// An element cannot be read or names an alias that is not there: the program then takes no rules at all.
pub(super) fn members(
    elements: &[(String, bool)],
    family: Family,
    alias: impl Fn(Option<Scope>, &str) -> Option<Network>,
) -> Result<(Ranges, Ranges), String> {
    let (mut matched, mut excepted) = (Vec::new(), Vec::new());
    for (element, nomatch) in elements {
        let (of, addresses) = match text::element(element)? {
            Peer::Addresses(of, addresses) => (of, addresses),
            Peer::Alias(scope, name) => {
                let network = alias(scope, &name)
                    .ok_or_else(|| format!("there is no alias {element} for it"))?;
                (network.address.family, Arc::new(network.addresses()))
            }
            Peer::Set(..) | Peer::OfSdn(_) => return Err(format!("it contains {element}")),
        };
        if of == family {
            let parts = if *nomatch {
                &mut excepted
            } else {
                &mut matched
            };
            parts.extend(addresses.iter());
        }
    }
    Ok((Ranges::from_parts(matched), Ranges::from_parts(excepted)))
}

impl Sets {
    /// The sets of a place but those of these names.
    ///
    /// # Errors
    /// As [`members`], with the set's name.
    pub(super) fn new(
        objects: &Objects,
        family: Family,
        but: impl Fn(&str) -> bool,
        alias: impl Fn(Option<Scope>, &str) -> Option<Network>,
    ) -> Result<Self, String> {
        let mut sets = BTreeMap::new();
        for (name, elements) in objects.written.iter().filter(|(name, _)| !but(name)) {
            let (matched, excepted) = members(elements, family, &alias)
                .map_err(|why| format!("the set {name}: {why}"))?;
            sets.insert(name.clone(), Ok(Arc::new(matched.minus(&excepted))));
        }
        Ok(Self(sets))
    }
}

/// Where the references of a list of rules are looked up, and what its interfaces are.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    pub(super) family: Family,
    /// The guest's own objects and sets; `None` where rules are no guest's.
    pub(super) own: Option<(&'a Objects, &'a Sets)>,
    /// The datacenter's.
    pub(super) shared: (&'a Objects, &'a Sets),
    /// The node's interfaces. A guest's rules look at its own.
    pub(super) interfaces: &'a [Interface],
}

/// A set whose addresses only SDN knows.
fn of_sdn(name: &str) -> Addresses {
    Err(format!(
        "the set {name} is made by SDN, and what is in it is not known"
    ))
}

impl Lookup<'_> {
    /// The addresses of a peer, and the version of all of them; a set has both, of which these are the ones of this version.
    fn find(&self, peer: &Peer) -> Result<(Option<Family>, Addresses), String> {
        match peer {
            Peer::Addresses(family, addresses) => Ok((Some(*family), Ok(addresses.clone()))),
            // It finds the sets of virtual networks there, not those of guests' addresses.
            Peer::OfSdn(name) if name.starts_with("guest-ipam-") => {
                Err(format!("it does not find the set sdn/{name}"))
            }
            Peer::OfSdn(name) => Ok((None, of_sdn(name))),
            Peer::Set(scope, name) => {
                let own = self.own.filter(|_| *scope != Some(Scope::Datacenter));
                let own = own.and_then(|(_, sets)| sets.0.get(name));
                let shared = (*scope != Some(Scope::Guest)).then_some(self.shared.1);
                own.or_else(|| shared.and_then(|sets| sets.0.get(name)))
                    .map(|addresses| (None, addresses.clone()))
                    .ok_or_else(|| format!("there is no set {name} for it"))
            }
            Peer::Alias(scope, name) => {
                let own = self.own.map(|(own, _)| own);
                let network = alias(own, self.shared.0, *scope, name)
                    .ok_or_else(|| format!("there is no alias {name} for it"))?;
                let addresses = Arc::new(network.addresses());
                Ok((Some(network.address.family), Ok(addresses)))
            }
        }
    }

    /// The steps of a rule that is no group. A rule that is partly unknown gives a step for everything it might match.
    ///
    /// # Errors
    /// The program fails to compile the rule, and takes no rules at all; why.
    pub(super) fn steps(
        &self,
        rule: &Rule,
        then: &Then,
        origin: &Origin,
    ) -> Result<Vec<Step>, String> {
        let partly;
        let (all, mut unknown) = match &rule.matches {
            Matches::These(all) => (&all[..], None),
            Matches::Unknown(why) => {
                partly = [Traffic::default()];
                (&partly[..], Some(why.clone()))
            }
            Matches::Fails(why) => return Err(why.clone()),
        };
        let mut whens = Vec::new();
        for traffic in all {
            let (when, why) = self.when(rule, traffic)?;
            whens.extend(when);
            unknown = unknown.or(why);
        }
        let (then, origin) = match unknown {
            Some(why) => {
                let why = Arc::from(format!("{origin}: {why}"));
                (Then::Unknown, Origin::Unknown(why))
            }
            None => (then.clone(), origin.clone()),
        };
        let mut steps = Vec::new();
        for when in whens {
            self.bind(rule.iface.as_deref(), when, &then, &origin, &mut steps)?;
        }
        Ok(steps)
    }

    /// When one part of a rule matches packets of this version, if it does, and why that is not known wholly.
    fn when(
        &self,
        rule: &Rule,
        traffic: &Traffic,
    ) -> Result<(Option<When>, Option<String>), String> {
        let mut only = traffic.family;
        let mut why = None;
        let ports = |ports: &Option<Ranges>| ports.clone().map(Arc::new);
        let mut when = When {
            protocol: traffic.protocol,
            ports: ports(&traffic.ports),
            source_ports: ports(&traffic.source_ports),
            ..When::default()
        };
        for (peer, place) in [
            (&rule.source, &mut when.source),
            (&rule.dest, &mut when.dest),
        ] {
            let Some(peer) = peer else { continue };
            let (family, addresses) = self.find(peer)?;
            // A set has both versions: the one that the rule is for already, or each.
            let family = family.or(only).unwrap_or(self.family);
            if only.is_some_and(|only| only != family) {
                continue;
            }
            only = Some(family);
            if family != self.family {
                continue;
            }
            match addresses {
                Ok(addresses) => *place = Some(addresses),
                Err(reason) => why = Some(reason),
            }
        }
        let here = !traffic.never && only.is_none_or(|only| only == self.family);
        Ok(if here {
            (Some(when), why)
        } else {
            (None, None)
        })
    }

    /// A step bound to an interface of the node. A name that is none of the node's interfaces may be another name of one that has some.
    ///
    /// # Errors
    /// The name is too long for nftables, which then takes no rules at all.
    pub(super) fn bind(
        &self,
        iface: Option<&str>,
        when: When,
        then: &Then,
        origin: &Origin,
        steps: &mut Vec<Step>,
    ) -> Result<(), String> {
        let Some(iface) = iface.filter(|_| self.own.is_none()) else {
            steps.push(Step {
                when,
                then: then.clone(),
                origin: origin.clone(),
            });
            return Ok(());
        };
        if iface.len() > 15 {
            return Err(format!("{iface} is too long for an interface"));
        }
        let names = self.interfaces.iter().filter_map(|at| at.name.as_deref());
        let known = names.clone().any(|name| name == iface);
        let on = |name: &str| When {
            iface: Some(Arc::from(name)),
            ..when.clone()
        };
        for name in names.filter(|name| !known && has_other_names(name)) {
            let why = format!("{origin}: whether {iface} is another name of {name} is not known");
            steps.push(Step {
                when: on(name),
                then: Then::Unknown,
                origin: Origin::Unknown(Arc::from(why)),
            });
        }
        steps.push(Step {
            when: on(iface),
            then: then.clone(),
            origin: origin.clone(),
        });
        Ok(())
    }
}

/// Whether an interface may have alternative names: network cards do; what Proxmox VE makes itself does not.
fn has_other_names(name: &str) -> bool {
    let made = ["vmbr", "bond", "vlan"];
    !name.contains('.') && !made.iter().any(|start| name.starts_with(start))
}
