//! Rules as steps: what their references mean, and what their actions are where they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::address::{Family, Network};
use super::super::chain::{Origin, Step, Then, When};
use super::super::objects::{self, Element, Objects, What};
use super::super::ranges::Ranges;
use super::super::rule::{Action, Lowered, Peer, Rule, Scope, Traffic};

/// The addresses of one version in every set of a place; an error where a kernel would not take the set.
#[derive(Debug)]
pub(in super::super) struct Sets(BTreeMap<String, Result<Arc<Ranges>, String>>);

impl Sets {
    /// Resolves every set of a place. `shared` are the datacenter's objects if it is a guest's place; `extra` are elements that Proxmox
    /// VE adds to sets.
    pub(in super::super) fn new(
        own: &Objects,
        shared: Option<&Objects>,
        extra: &[(String, Vec<Element>)],
        family: Family,
    ) -> Self {
        let none = Vec::new();
        let added = extra.iter().map(|(name, _)| name);
        let names = own.sets.keys().chain(added);
        let set = |name: &String| {
            let own_elements = own.sets.get(name).unwrap_or(&none);
            let extra = extra.iter().find(|(known, _)| known == name);
            let extra = extra.map_or(&none, |(_, elements)| elements);
            let networks: Vec<(Network, bool)> = own_elements
                .iter()
                .chain(extra)
                .filter_map(|element| {
                    let network = match &element.what {
                        What::Network(network) => Some(*network),
                        // An alias that is gone, or is looked up in the wrong place, is left out.
                        What::Alias(scope, name) => own.alias(*scope, name, shared),
                    };
                    network.map(|network| (network, element.nomatch))
                })
                .collect();
            objects::addresses(&networks, family)
                .map(Arc::new)
                .map_err(|why| format!("the set {name}: {why}"))
        };
        Self(names.map(|name| (name.clone(), set(name))).collect())
    }

    /// The addresses of a set.
    pub(in super::super) fn get(&self, name: &str) -> Option<&Result<Arc<Ranges>, String>> {
        self.0.get(name)
    }
}

/// Where the references of a list of rules are looked up.
#[derive(Clone, Copy)]
pub(in super::super) struct Lookup<'a> {
    pub(in super::super) family: Family,
    /// The guest's own objects and sets; `None` where rules are no guest's.
    pub(in super::super) own: Option<(&'a Objects, &'a Sets)>,
    /// The datacenter's.
    pub(in super::super) shared: (&'a Objects, &'a Sets),
}

/// Why a rule gives no steps, or none that is known.
pub(in super::super) enum Failure {
    /// Proxmox VE fails to compile the rule.
    Fails,
    /// What it means is not known.
    Unknown(String),
}

impl Lookup<'_> {
    fn peer(&self, peer: &Peer) -> Result<Arc<Ranges>, Failure> {
        match peer {
            Peer::Addresses(addresses) => Ok(addresses.clone()),
            Peer::Unknown(why) => Err(Failure::Unknown(why.clone())),
            Peer::Set(scope, name) => {
                let own = self.own.filter(|_| *scope != Some(Scope::Datacenter));
                let own = own.and_then(|(_, sets)| sets.get(name));
                let shared = (*scope != Some(Scope::Guest)).then_some(self.shared.1);
                match own.or_else(|| shared.and_then(|sets| sets.get(name))) {
                    Some(Ok(addresses)) => Ok(addresses.clone()),
                    Some(Err(why)) => Err(Failure::Unknown(why.clone())),
                    None => Err(Failure::Fails),
                }
            }
            Peer::Alias(scope, name) => {
                let network = match self.own {
                    Some((own, _)) => own.alias(*scope, name, Some(self.shared.0)),
                    // A list that is no guest's has no place of its own: `guest/` finds nothing.
                    None if *scope == Some(Scope::Guest) => None,
                    None => self.shared.0.alias(*scope, name, None),
                };
                let network = network.ok_or(Failure::Fails)?;
                if network.address.family != self.family {
                    return Err(Failure::Unknown(format!(
                        "the alias {name} has an address of the other version of IP"
                    )));
                }
                Ok(Arc::new(network.addresses()))
            }
        }
    }

    /// The steps of a rule that is no group. A rule that is partly unknown gives a step for everything it might match.
    pub(in super::super) fn steps(
        &self,
        rule: &Rule,
        then: &Then,
        origin: &Origin,
    ) -> Result<Vec<Step>, Failure> {
        let iface = rule.iface.as_deref().map(Arc::from);
        let mut when = When {
            iface,
            ..When::default()
        };
        let mut why = None;
        for (peer, place) in [
            (&rule.source, &mut when.source),
            (&rule.dest, &mut when.dest),
        ] {
            match peer.as_ref().map(|peer| self.peer(peer)) {
                None => {}
                Some(Ok(addresses)) => *place = Some(addresses),
                Some(Err(Failure::Unknown(reason))) => why = Some(reason),
                Some(Err(Failure::Fails)) => return Err(Failure::Fails),
            }
        }
        let partly;
        let matches = match rule.traffic(self.family) {
            Lowered::Fails(_) => return Err(Failure::Fails),
            Lowered::Unknown(reason, protocol) => {
                why = Some(reason.clone());
                partly = [Traffic {
                    protocol: *protocol,
                    ..Traffic::default()
                }];
                &partly[..]
            }
            Lowered::Matches(matches) => matches,
        };
        let (then, origin) = match why {
            Some(why) => {
                let why = Arc::from(format!("{origin}: {why}"));
                (Then::Unknown, Origin::Unknown(why))
            }
            None => (then.clone(), origin.clone()),
        };
        let step = |traffic: &Traffic| Step {
            when: When {
                protocol: traffic.protocol,
                ports: traffic.ports.clone(),
                source_ports: traffic.source_ports.clone(),
                ..when.clone()
            },
            then: then.clone(),
            origin: origin.clone(),
        };
        Ok(matches.iter().map(step).collect())
    }
}

/// What each action does where a rule stands.
pub(in super::super) struct Actions {
    pub(in super::super) accept: Then,
    pub(in super::super) reject: Then,
}

impl Actions {
    pub(in super::super) fn then(&self, action: Action) -> Then {
        match action {
            Action::Accept => self.accept.clone(),
            Action::Drop => Then::Drop,
            Action::Reject => self.reject.clone(),
        }
    }
}

/// A step for all packets that carry the accepting mark.
pub(in super::super) fn if_marked(then: Then, origin: Origin) -> Step {
    Step {
        when: When {
            mark: Some(true),
            ..When::default()
        },
        then,
        origin,
    }
}
