//! The rules of a node itself: to it, from it, and of what it routes.

use std::sync::Arc;

use super::super::address::{Family, Network};
use super::super::chain::{Builtin, Chain, List, Origin, Then, When};
use super::super::names::{IGMP, TCP, UDP};
use super::super::ranges::Ranges;
use super::super::rule::Action;
use super::super::standard::broadcasts;
use super::lower::{self, Sets};
use super::{Direction, Site, Table};

/// What a node's management is reached by: the API, consoles, the SPICE proxy, SSH. Migrations are not among it.
const MANAGEMENT: [(u128, u128); 4] = [(8006, 8006), (5900, 5999), (3128, 3128), (22, 22)];

/// What the helpers of connection tracking open, by their names. A helper with another name is left out.
const HELPERS: &[(&str, u8, u16)] = &[
    ("amanda", UDP, 10080),
    ("ftp", TCP, 21),
    ("irc", TCP, 6667),
    ("netbios-ns", UDP, 137),
    ("pptp", TCP, 1723),
    ("sane", TCP, 6566),
    ("sip", UDP, 5060),
    ("snmp", UDP, 161),
    ("tftp", UDP, 69),
];

/// Who may manage a node: for whom that is known, and for whom not, with the reason.
struct Managers {
    known: Ranges,
    doubt: Option<(Ranges, String)>,
}

fn to(protocol: u8, ports: impl IntoIterator<Item = (u128, u128)>) -> When {
    When {
        protocol: Some(protocol),
        ports: Some(Arc::new(ports.into_iter().collect())),
        ..When::default()
    }
}

impl Site<'_> {
    /// The datacenter's sets, `management` with what the backend adds to it. A rule can name that only if it is defined.
    pub(super) fn shared_sets(&self) -> Result<Sets, String> {
        let shared = self.shared();
        let alias = |scope, name: &str| lower::alias(None, shared, scope, name);
        let is_management = |name: &str| name == "management";
        let mut sets = Sets::new(shared, self.family(), is_management, alias)?;
        let managers = self.managers()?;
        if shared.written.contains_key("management") {
            let addresses = match managers.doubt {
                Some((_, why)) => Err(why),
                None => Ok(Arc::new(managers.known)),
            };
            sets.0.insert("management".to_owned(), addresses);
        }
        Ok(sets)
    }

    /// The elements of `management`, and `local_network`: the alias, else every network of the node that has the node's address in it.
    fn managers(&self) -> Result<Managers, String> {
        let shared = self.shared();
        let family = self.family();
        let nothing = Vec::new();
        let elements = shared.written.get("management").unwrap_or(&nothing);
        let alias = |scope, name: &str| lower::alias(None, shared, scope, name);
        let (own, excepted) = lower::members(elements, family, alias)
            .map_err(|why| format!("the set management: {why}"))?;
        let networks = |fits: &dyn Fn(&Network) -> bool| -> Ranges {
            let all = self.place.node.addresses();
            all.filter(|network| network.address.family == family && fits(network))
                .map(|network| network.span())
                .collect()
        };
        let name = self.place.name;
        let (local, doubt) = match (
            shared.aliases.get("local_network"),
            self.place.node.local_network,
        ) {
            (Some(alias), _) if alias.address.family == family => (alias.addresses(), None),
            (Some(_), _) => (Ranges::none(), None),
            (None, None) => {
                let why = format!("the network of node {name} is not known");
                (Ranges::none(), Some((family.everything(), why)))
            }
            (None, Some(network)) if network.address.family == family => {
                let here = network.addresses();
                let has_own = |network: &Network| {
                    let within = network.addresses();
                    let mut all = self.place.node.addresses();
                    all.any(|own| {
                        let value = own.address.value;
                        own.address.family == family
                            && here.contains(value)
                            && within.contains(value)
                    })
                };
                (networks(&has_own).union(&here), None)
            }
            (None, Some(_)) => {
                let version = if family == Family::V4 { "IPv4" } else { "IPv6" };
                let why = format!(
                    "whether the name of node {name} has an address of {version} is not known"
                );
                (Ranges::none(), Some((networks(&|_| true), why)))
            }
        };
        let known = own.union(&local).minus(&excepted);
        let doubt = doubt.map(|(all, why)| (all.minus(&known).minus(&excepted), why));
        Ok(Managers {
            doubt: doubt.filter(|(all, _)| !all.is_empty()),
            known,
        })
    }

    pub(super) fn host_in(&self) -> Result<Chain, String> {
        let mut chain = Chain::default();
        self.passes_first(&mut chain);
        self.invalid(&mut chain);
        let igmp = When {
            protocol: Some(IGMP),
            ..When::default()
        };
        chain.push(igmp, Then::Accept, Origin::Builtin(Builtin::Igmp));
        self.management(&mut chain)?;
        let corosync = to(UDP, [(5405, 5412)]);
        chain.push(corosync, Then::Accept, Origin::Builtin(Builtin::Corosync));
        self.refused_first(&mut chain);
        self.options(&mut chain);
        self.node_rules(&mut chain, Direction::In)?;
        let policy = (self.place.cluster.policy_in, Action::Drop);
        self.policy(
            &mut chain,
            List::Cluster,
            policy,
            (Direction::In, Table::Host),
        );
        Ok(chain)
    }

    pub(super) fn host_out(&self) -> Result<Chain, String> {
        let mut chain = Chain::default();
        self.passes_first(&mut chain);
        self.invalid(&mut chain);
        self.neighbours(&mut chain, self.place.host.ndp, false);
        self.node_rules(&mut chain, Direction::Out)?;
        let policy = (self.place.cluster.policy_out, Action::Accept);
        self.policy(
            &mut chain,
            List::Cluster,
            policy,
            (Direction::Out, Table::Host),
        );
        Ok(chain)
    }

    fn node_rules(&self, chain: &mut Chain, direction: Direction) -> Result<(), String> {
        for (list, rules) in [(List::Host, &self.host), (List::Cluster, &self.cluster)] {
            let origin = |position| Origin::Rule(list, position);
            self.list(
                chain,
                rules,
                &self.lookup(),
                (direction, Table::Host),
                &origin,
            )?;
        }
        Ok(())
    }

    fn management(&self, chain: &mut Chain) -> Result<(), String> {
        let managers = self.managers()?;
        let from = |sources: Ranges| When {
            source: Some(Arc::new(sources)),
            ..to(TCP, MANAGEMENT)
        };
        let origin = Origin::Builtin(Builtin::Management);
        chain.push(from(managers.known), Then::Accept, origin);
        if let Some((sources, why)) = managers.doubt {
            let origin = Origin::Unknown(Arc::from(why.as_str()));
            chain.push(from(sources), Then::Unknown, origin);
        }
        Ok(())
    }

    /// Windows' ports, SSDP, and answers of DNS.
    fn refused_first(&self, chain: &mut Chain) {
        let [reject, _] = &self.reject;
        let origin = Origin::Builtin(Builtin::RefusedFirst);
        let from = |port, when| When {
            source_ports: Some(Arc::new(Ranges::one(port))),
            ..when
        };
        for when in [
            to(UDP, [(135, 135), (137, 139), (445, 445)]),
            from(137, to(UDP, [(1024, 65_535)])),
            to(TCP, [(135, 135), (139, 139), (445, 445)]),
        ] {
            chain.push(when, Then::Goto(reject.clone()), origin.clone());
        }
        chain.push(to(UDP, [(1900, 1900)]), Then::Drop, origin.clone());
        let udp = When {
            protocol: Some(UDP),
            ..When::default()
        };
        chain.push(from(53, udp), Then::Drop, origin);
    }

    fn options(&self, chain: &mut Chain) {
        let host = self.place.host;
        for name in host.helpers.as_deref().unwrap_or_default().split(',') {
            let helper = HELPERS.iter().find(|(known, ..)| *known == name);
            if let Some((_, protocol, port)) = helper {
                let why =
                    format!("what the helper {name} of connection tracking opens is not known");
                let port = u128::from(*port);
                let origin = Origin::Unknown(Arc::from(why));
                chain.push(to(*protocol, [(port, port)]), Then::Unknown, origin);
            }
        }
        self.neighbours(chain, host.ndp, true);
        let tcp = When {
            protocol: Some(TCP),
            ..When::default()
        };
        if host.synflood {
            let why = "versions of the nftables backend differ in what protection_synflood drops";
            chain.push(tcp.clone(), Then::Unknown, Origin::Unknown(Arc::from(why)));
        }
        if host.tcpflags {
            let when = When {
                source_ports: Some(Arc::new(Ranges::one(0))),
                ..tcp
            };
            chain.push(when, Then::Drop, Origin::Builtin(Builtin::TcpFlags));
        }
        if host.nosmurfs != Some(false) && self.family() == Family::V4 {
            let smurfs = Then::Jump(Arc::new(self.smurfs()));
            chain.push(When::default(), smurfs, Origin::Builtin(Builtin::Smurfs));
        }
    }

    /// What is sent to everybody, and what a group of hosts sends. A sender without an address yet is left alone.
    fn smurfs(&self) -> Chain {
        let origin = Origin::Builtin(Builtin::Smurfs);
        let from = |sources| When {
            source: Some(sources),
            ..When::default()
        };
        let mut chain = Chain::default();
        chain.push(from(Arc::new(Ranges::one(0))), Then::Return, origin.clone());
        let everybody = When {
            dest: Some(Arc::new(broadcasts(self.place.node))),
            ..When::default()
        };
        chain.push(everybody, Then::Drop, origin.clone());
        chain.push(from(self.standard.multicast.clone()), Then::Drop, origin);
        chain
    }

    /// What the node routes. Whether a packet between a guest and the world is routed or bridged is not known, so what is dropped here is
    /// unknown. Nothing if nothing is ever dropped.
    pub(super) fn forward(&self) -> Result<Chain, String> {
        let mut chain = Chain::default();
        self.node_rules(&mut chain, Direction::Forward)?;
        let policy = (self.place.cluster.policy_forward, Action::Accept);
        let way = (Direction::Forward, Table::Host);
        self.policy(&mut chain, List::Cluster, policy, way);
        let routed = "if the node routes this and does not only bridge it";
        Ok(doubtful(&chain, routed).unwrap_or_default())
    }
}

/// A chain with everything that it does not let pass unknown, because that is so under a condition only; `None` if it lets everything
/// pass.
pub(super) fn doubtful(chain: &Chain, condition: &str) -> Option<Chain> {
    let mut made = chain.clone();
    let mut stops = false;
    for step in &mut made.steps {
        match &step.then {
            Then::Accept | Then::Return => {}
            Then::Jump(inner) | Then::Goto(inner) if is_group(&step.origin) => {
                if let Some(inner) = doubtful(inner, condition) {
                    step.then = Then::Jump(Arc::new(inner));
                    stops = true;
                }
            }
            _ => {
                let why = format!("{}, {condition}", step.origin);
                step.then = Then::Unknown;
                step.origin = Origin::Unknown(Arc::from(why));
                stops = true;
            }
        }
    }
    stops.then_some(made)
}

fn is_group(origin: &Origin) -> bool {
    matches!(origin, Origin::GroupLine(..))
}
