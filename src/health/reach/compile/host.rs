//! The rules of a node itself: to it and from it.

use std::sync::Arc;

use super::super::address::{Address, Family};
use super::super::chain::{Builtin, Chain, List, Origin, Step, Then, When};
use super::super::model::{Corosync, Host, Known};
use super::super::names::{IGMP, TCP, UDP};
use super::super::ranges::Ranges;
use super::super::rule::{Action, Entry, Kind};
use super::Site;
use super::groups::{Direction, Groups, applies};
use super::lists::{Actions, Failure, if_marked};

/// What a node's management is reached by: the API, consoles, the SPICE proxy, SSH, and migrations, which are the last.
const MANAGEMENT: [(u128, u128); 5] = [
    (8006, 8006),
    (5900, 5999),
    (3128, 3128),
    (22, 22),
    (60_000, 60_050),
];

impl Site<'_> {
    /// The chains to and from the node.
    pub(super) fn host_chains(&self, groups: &mut Groups) -> (Chain, Chain) {
        let host = match self.host {
            Ok(host) => host,
            Err(why) => {
                let why = format!("the firewall of node {}: {why}", self.name);
                groups.unread = Some(why.clone());
                return (super::unknown(&why), super::unknown(&why));
            }
        };
        if host.enable == Some(false) {
            return (Chain::default(), Chain::default());
        }
        let inward = self.host_in(host, groups);
        (inward, self.host_out(host, groups))
    }

    fn host_in(&self, host: &Host, groups: &mut Groups) -> Chain {
        let mut chain = Chain::default();
        self.standard.drop_invalid(&mut chain);
        if self.family == Family::V6 && host.ndp != Some(false) {
            self.neighbour_discovery(&mut chain, true, &Then::Return);
        }
        self.input_filters(&mut chain);
        igmp(&mut chain);
        self.rules(&mut chain, host, groups, Direction::In);
        self.management(&mut chain);
        self.corosync(&mut chain, Direction::In);
        let policy = self.cluster.policy_in;
        self.policy(
            &mut chain,
            List::Cluster,
            policy,
            Action::Drop,
            &Then::Return,
        );
        chain
    }

    fn host_out(&self, host: &Host, groups: &mut Groups) -> Chain {
        let mut chain = Chain::default();
        self.standard.drop_invalid(&mut chain);
        if self.family == Family::V6 && host.ndp != Some(false) {
            self.neighbour_discovery(&mut chain, false, &Then::Return);
        }
        igmp(&mut chain);
        self.rules(&mut chain, host, groups, Direction::Out);
        self.local_network(&mut chain);
        self.corosync(&mut chain, Direction::Out);
        let policy = self.cluster.policy_out;
        self.policy(
            &mut chain,
            List::Cluster,
            policy,
            Action::Accept,
            &Then::Return,
        );
        chain
    }

    /// The node's rules, then the datacenter's. A group's line that cannot be compiled is lost, the others stay.
    fn rules(&self, chain: &mut Chain, host: &Host, groups: &mut Groups, direction: Direction) {
        let lists: [(List, &[Entry]); 2] = [
            (List::Host, &host.rules),
            (List::Cluster, &self.cluster.rules),
        ];
        let actions = Actions {
            accept: Then::Return,
            reject: Then::Jump(self.standard.reject.clone()),
        };
        let lookup = self.shared_lookup();
        for (list, rules) in lists {
            for (position, entry) in rules.iter().enumerate() {
                let Some(rule) = entry.active() else { continue };
                // No interface has a name of more than 15 characters, so nothing comes in or goes out by one.
                let fits = rule.iface.as_ref().is_none_or(|iface| iface.len() <= 15);
                if !applies(rule.family, self.family) || !fits {
                    continue;
                }
                let origin = Origin::Rule(list, position);
                let action = match (&rule.kind, direction) {
                    (Kind::Group(group), _) => {
                        let Ok(inner) = groups.chain(self, group, direction) else {
                            continue;
                        };
                        let line = Origin::GroupLine(list, position);
                        // Only the way into the group is bound to the interface, not the look at the mark after it.
                        let when = When {
                            iface: rule.iface.as_deref().map(Arc::from),
                            ..When::default()
                        };
                        chain.push(when, Then::Jump(inner), line.clone());
                        chain.steps.push(if_marked(Then::Return, line));
                        continue;
                    }
                    (Kind::In(action), Direction::In) | (Kind::Out(action), Direction::Out) => {
                        *action
                    }
                    _ => continue,
                };
                match lookup.steps(rule, &actions.then(action), &origin) {
                    Ok(steps) => chain.steps.extend(steps),
                    Err(Failure::Fails) => {}
                    Err(Failure::Unknown(why)) => {
                        let origin = Origin::Unknown(Arc::from(why));
                        chain.push(When::default(), Then::Unknown, origin);
                    }
                }
            }
        }
    }

    /// What the set `management` may open, after all rules.
    fn management(&self, chain: &mut Chain) {
        let known = self.shared.aliases.contains_key("local_network");
        let ports = Arc::new(MANAGEMENT.iter().copied().collect::<Ranges>());
        let when = |source| When {
            protocol: Some(TCP),
            ports: Some(ports.clone()),
            source,
            ..When::default()
        };
        let origin = Origin::Builtin(Builtin::Management);
        match self.sets.get("management") {
            Some(Ok(addresses)) => chain.push(when(Some(addresses.clone())), Then::Return, origin),
            Some(Err(why)) => {
                let origin = Origin::Unknown(Arc::from(why.as_str()));
                chain.push(when(None), Then::Unknown, origin);
            }
            None => {}
        }
        if !known {
            let why = format!("the network of node {} is not known", self.name);
            chain.push(
                when(None),
                Then::Unknown,
                Origin::Unknown(Arc::from(why.as_str())),
            );
        }
    }

    /// What the node may open in `local_network`, after all rules; migrations are not among it.
    fn local_network(&self, chain: &mut Chain) {
        let ports: Ranges = MANAGEMENT.iter().copied().take(4).collect();
        let mut when = When {
            protocol: Some(TCP),
            ports: Some(Arc::new(ports)),
            ..When::default()
        };
        match self.shared.aliases.get("local_network") {
            Some(network) if network.address.family == self.family => {
                when.dest = Some(Arc::new(network.addresses()));
                let origin = Origin::Builtin(Builtin::LocalNetwork);
                chain.push(when, Then::Return, origin);
            }
            Some(_) => {}
            None => {
                let why = format!("the network of node {} is not known", self.name);
                let origin = Origin::Unknown(Arc::from(why.as_str()));
                chain.push(when, Then::Unknown, origin);
            }
        }
    }

    /// The cluster network: between addresses of the same link, and by multicast if the transport is `udp`.
    fn corosync(&self, chain: &mut Chain, direction: Direction) {
        let ports = Arc::new(Ranges::of(5404, 5405));
        let when = || When {
            protocol: Some(UDP),
            ports: Some(ports.clone()),
            ..When::default()
        };
        let corosync: &Corosync = match &self.model.corosync {
            Known::Read(Some(corosync)) => corosync,
            Known::Read(None) => return,
            Known::Unread(why) => {
                let origin = Origin::Unknown(Arc::from(format!("the cluster network: {why}")));
                chain.push(when(), Then::Unknown, origin);
                return;
            }
        };
        let origin = Origin::Builtin(Builtin::Corosync);
        if corosync.multicast {
            let mut when = when();
            when.dest = Some(self.standard.multicast.clone());
            chain.push(when, Then::Return, origin.clone());
        }
        let one = |address: Address| Some(Arc::new(Ranges::one(address.value)));
        let of_family = |link: &&super::super::model::Link| link.address.family == self.family;
        for link in corosync.links.iter().filter(of_family) {
            // The last address of a link counts, if a node has several.
            let here = corosync
                .links
                .iter()
                .filter(of_family)
                .rfind(|own| own.node == self.name && own.number == link.number);
            let Some(here) = here.filter(|_| link.node != self.name) else {
                continue;
            };
            let mut when = when();
            (when.source, when.dest) = match direction {
                Direction::In => (one(link.address), one(here.address)),
                Direction::Out => (one(here.address), one(link.address)),
            };
            chain.push(when, Then::Return, origin.clone());
        }
    }

    /// A policy at the end of a chain.
    pub(super) fn policy(
        &self,
        chain: &mut Chain,
        of: List,
        set: Option<Action>,
        default: Action,
        accept: &Then,
    ) {
        let policy = set.unwrap_or(default);
        let origin = Origin::Policy {
            of,
            policy,
            default: set.is_none(),
        };
        let (before, end) = match policy {
            Action::Accept => (None, accept.clone()),
            Action::Drop => (Some(&self.standard.before_drop), Then::Drop),
            Action::Reject => (
                Some(&self.standard.before_reject),
                Then::Goto(self.standard.reject.clone()),
            ),
        };
        if let Some(before) = before {
            let then = Then::Jump(before.clone());
            chain.push(When::default(), then, origin.clone());
        }
        chain.push(When::default(), end, origin);
    }
}

/// IGMP always passes nodes.
fn igmp(chain: &mut Chain) {
    chain.steps.push(Step {
        when: When {
            protocol: Some(IGMP),
            ..When::default()
        },
        then: Then::Return,
        origin: Origin::Builtin(Builtin::Igmp),
    });
}
