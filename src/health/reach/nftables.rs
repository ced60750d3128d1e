//! The nftables backend: the program `proxmox-firewall`, chosen by a node's option `nftables`. The facts are those of its source as of
//! 2026 (Proxmox VE 9), and `tests/reach_kernel.rs` loads rules of the same shape into a kernel. Both backends read the same
//! configuration; what is written there means the same unless it stands here.
//!
//! **All or nothing.** It has no list of errors by rule. A line it cannot read (also one that is switched off), a reference to an alias, a
//! set or a group that is not there, an option it does not understand: it then keeps the rules it had, whatever they were. Of a node
//! where that is so nothing is known, and the reason names the line. It does not read comments of rules that contain `#`, macros whose
//! names have a slash, network cards of rare models, and the time that stands in `enable` while a change is being confirmed.
//!
//! **Reading.** Ranges may stand in lists, bits after a prefix may be set. Ports without a protocol that has some are not looked at: the
//! rule matches every port. Names of ICMP's types are other ones; a type is never a port. A rule is for one version of IP as soon as its
//! protocol or an address says so; what its other fields say of the other version is not looked at. So a macro `Ping` with a source of
//! IPv4 lets everybody ping with IPv6.
//!
//! **Sets.** An address is in a set if an element has it and no exception does: a smaller element does not win over an exception. There is
//! no set `blacklist`. `local_network` is no alias unless it is defined.
//!
//! **To a node.** Errors of ICMP pass first, then IGMP. What `management` and `local_network` (else the networks of the node's address)
//! may open comes *before* the rules, migrations (60000 to 60050) not among it; UDP 5405 to 5412 is open to everybody. Windows' ports are
//! refused, SSDP and answers of DNS dropped, whatever the rules say. Then come the helpers of connection tracking, neighbour discovery
//! (dropped if `ndp` is off), the options, the node's rules, the datacenter's, and the policy with nothing before it.
//! **From a node** there is only connection tracking, neighbour discovery, the rules and the policy.
//!
//! **Guests.** Without `enable` of the datacenter nothing, without `enable` of the node still everything but the drop of what is invalid. A
//! filter of addresses works only with the option `ipfilter`, stands before DHCP, and a set `ipfilter-netN` is all of it: no address is
//! added. `dhcp`, `ndp` and `radv` that are off drop. `REJECT` of packets to a guest drops. Rejected ICMP is answered.
//!
//! **Forwarded.** Rules `forward` and `policy_forward` are for what the node routes. Whether a node routes between a guest and the world is
//! not known here: what these drop is unknown, what they let pass passes.
//!
//! **Vnets.** The rules of a vnet are for what is bridged between two ports of it on a node, and for what comes to the node by it or leaves
//! it. So they are for two guests on one vnet; what goes on from it, or comes into it from elsewhere, may be routed instead: there, what
//! they drop is unknown. The other backend does not look at them.

mod guest;
mod host;
mod lower;
mod text;
mod vnet;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address::Family;
use super::chain::{Builtin, Chain, List, Origin, Then, When};
use super::compile::{NodeRules, everywhere};
use super::model::{Backend, Cluster, GuestFirewall, GuestKind, Host, Known, Model, Node};
use super::names;
use super::objects::Objects;
use super::ranges::Ranges;
use super::rule::{Action, Entry, Environment, Kind, icmp_of};
use super::standard::{Standard, broadcasts};
use lower::{Lookup, Sets};
use text::Rule;

/// A node whose rules are to be compiled.
pub(super) struct Place<'a> {
    pub(super) model: &'a Model,
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
    pub(super) cluster: &'a Cluster,
    pub(super) host: &'a Host,
    pub(super) family: Family,
}

/// The rules of a node with this backend.
pub(super) fn compile(place: &Place<'_>) -> NodeRules {
    rules(place).unwrap_or_else(|why| everywhere(place.model, place.name, &kept(place.name, &why)))
}

fn kept(name: &str, why: &str) -> String {
    format!(
        "node {name} filters with nftables, does not take this configuration and keeps the rules it had: {why}"
    )
}

/// Why a node keeps the rules that it had; `None` where it takes the configuration, and with the other backend, which always does.
#[must_use]
pub fn refusal(model: &Model, name: &str) -> Option<String> {
    let node = model.nodes.get(name)?;
    let (Known::Read(cluster), Known::Read(host)) = (&model.cluster, &node.firewall) else {
        return None;
    };
    if !cluster.enable || host.backend() != Backend::Nftables {
        return None;
    }
    let place = Place {
        model,
        name,
        node,
        cluster,
        host,
        family: Family::V4,
    };
    rules(&place).err().map(|why| kept(name, &why))
}

/// The table a chain is in: the node's own, or that of guests, on bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Host,
    Guests,
}

/// The direction of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    In,
    Out,
    Forward,
}

/// Rules that are on, with their positions in their list.
type Rules = Vec<(usize, Rule)>;

/// A node that is being compiled for one version of IP.
struct Site<'a> {
    place: &'a Place<'a>,
    standard: Standard,
    /// The datacenter's sets.
    sets: Sets,
    host: Rules,
    cluster: Rules,
    /// The chains of security groups.
    groups: BTreeMap<(String, Direction, Table), Arc<Chain>>,
    /// How it rejects: the second where a packet is the node's own, which is sent to everybody without being marked so.
    reject: [Arc<Chain>; 2],
}

/// Reads a list of rules, also those that are off.
fn read(
    entries: &[Entry],
    environment: Environment,
    origin: impl Fn(usize) -> Origin,
) -> Result<Rules, String> {
    let mut rules = Rules::new();
    for (position, entry) in entries.iter().enumerate() {
        let rule = text::read(&entry.text, environment)
            .map_err(|why| format!("{}: {why}", origin(position)))?;
        if entry.enabled {
            rules.push((position, rule));
        }
    }
    Ok(rules)
}

/// A guest of the node whose firewall was read, with its rules.
struct GuestRules<'a> {
    vmid: u32,
    kind: GuestKind,
    firewall: &'a GuestFirewall,
    rules: Rules,
}

fn rules(place: &Place<'_>) -> Result<NodeRules, String> {
    if place.cluster.confirming {
        return Err("a change of the datacenter's firewall is being confirmed".to_owned());
    }
    let cluster = &place.cluster;
    let list = |list| move |position| Origin::Rule(list, position);
    let cluster_rules = read(&cluster.rules, Environment::Cluster, list(List::Cluster))?;
    let host = read(&place.host.rules, Environment::Host, list(List::Host))?;
    let mut groups: BTreeMap<&str, Rules> = BTreeMap::new();
    for (name, entries) in &cluster.groups {
        let origin = |position| Origin::Group {
            group: Arc::from(name.as_str()),
            position,
        };
        groups.insert(name, read(entries, Environment::Group, origin)?);
    }
    let guests = guest::read_all(place)?;
    let vnets = vnet::read_all(place)?;
    let on = place.host.enable != Some(false);
    let guarded = !vnets.is_empty() || guests.iter().any(|guest| guest.firewall.enable);
    let standard = Standard::new(place.family, &broadcasts(place.node));
    let mut site = Site {
        reject: [true, false].map(|seen| Arc::new(rejecting(&standard, place, seen))),
        sets: Sets::default(),
        groups: BTreeMap::new(),
        standard,
        place,
        host,
        cluster: cluster_rules,
    };
    if on || guarded {
        site.sets = site.shared_sets()?;
        for (name, rules) in &groups {
            for direction in [Direction::In, Direction::Out, Direction::Forward] {
                for table in [Table::Host, Table::Guests] {
                    let chain = site.group(name, rules, direction, table)?;
                    let key = ((*name).to_owned(), direction, table);
                    site.groups.insert(key, Arc::new(chain));
                }
            }
        }
    }
    let mut rules = NodeRules::default();
    if on {
        rules.host_in = site.host_in()?;
        rules.host_out = site.host_out()?;
        rules.forward = site.forward()?;
    }
    rules.nics = site.nics(&guests)?;
    rules.vnets = site.vnets(&vnets)?;
    Ok(rules)
}

/// How the backend rejects: what everybody got and what a group sent vanishes instead.
fn rejecting(standard: &Standard, place: &Place<'_>, seen: bool) -> Chain {
    const ORIGIN: Origin = Origin::Builtin(Builtin::BeforePolicy);
    let mut chain = Chain::default();
    if place.family == Family::V4 {
        if seen {
            let when = When {
                dest: Some(Arc::new(broadcasts(place.node))),
                ..When::default()
            };
            chain.push(when, Then::Drop, ORIGIN);
        }
        let when = When {
            source: Some(standard.multicast.clone()),
            ..When::default()
        };
        chain.push(when, Then::Drop, ORIGIN);
    }
    chain.push(When::default(), Then::Reject, ORIGIN);
    chain
}

/// Kinds of ICMP of this version.
fn kinds(family: Family, kinds: &[u8]) -> When {
    let all: Ranges = kinds
        .iter()
        .flat_map(|kind| names::kinds(*kind, None).iter().collect::<Vec<_>>())
        .collect();
    When {
        protocol: Some(icmp_of(family)),
        ports: Some(Arc::new(all)),
        ..When::default()
    }
}

impl Site<'_> {
    fn family(&self) -> Family {
        self.place.family
    }

    fn shared(&self) -> &Objects {
        &self.place.cluster.objects
    }

    /// Where references are looked up that are no guest's.
    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            family: self.family(),
            own: None,
            shared: (self.shared(), &self.sets),
            interfaces: &self.place.node.interfaces,
        }
    }

    /// Errors that ICMP tells of, which always pass.
    fn passes_first(&self, chain: &mut Chain) {
        let when = match self.family() {
            Family::V4 => kinds(Family::V4, &[3, 4, 11]),
            Family::V6 => kinds(Family::V6, &[1, 2, 3, 4]),
        };
        chain.push(when, Then::Accept, Origin::Builtin(Builtin::PassesFirst));
    }

    /// What belongs to no connection and starts none, which only a node whose own firewall is on drops.
    fn invalid(&self, chain: &mut Chain) {
        let host = self.place.host;
        if host.enable != Some(false) && !host.allow_invalid {
            self.standard.drop_invalid(chain);
        }
    }

    /// Neighbour discovery: it passes, or it is dropped.
    fn neighbours(&self, chain: &mut Chain, option: Option<bool>, inward: bool) {
        if self.family() == Family::V6 {
            let all: &[u8] = if inward {
                &[133, 134, 135, 136, 137]
            } else {
                &[133, 135, 136]
            };
            let then = switch(option != Some(false));
            let origin = Origin::Builtin(Builtin::NeighbourDiscovery);
            chain.push(kinds(Family::V6, all), then, origin);
        }
    }

    fn then(&self, action: Action, direction: Direction, table: Table) -> Then {
        match (action, direction, table) {
            (Action::Accept, ..) => Then::Accept,
            (Action::Reject, Direction::In, Table::Guests) | (Action::Drop, ..) => Then::Drop,
            (Action::Reject, Direction::Out, Table::Host) => {
                let [_, own] = &self.reject;
                Then::Jump(own.clone())
            }
            (Action::Reject, ..) => {
                let [seen, _] = &self.reject;
                Then::Jump(seen.clone())
            }
        }
    }

    fn group(
        &self,
        name: &str,
        rules: &Rules,
        direction: Direction,
        table: Table,
    ) -> Result<Chain, String> {
        let label: Arc<str> = Arc::from(name);
        let origin = |position| Origin::Group {
            group: label.clone(),
            position,
        };
        let mut chain = Chain::default();
        self.list(
            &mut chain,
            rules,
            &self.lookup(),
            (direction, table),
            &origin,
        )?;
        Ok(chain)
    }

    /// The rules of a list that are for one direction. An interface of a guest was looked at before.
    fn list(
        &self,
        chain: &mut Chain,
        rules: &Rules,
        lookup: &Lookup<'_>,
        (direction, table): (Direction, Table),
        origin: &dyn Fn(usize) -> Origin,
    ) -> Result<(), String> {
        for (position, rule) in rules {
            let origin = origin(*position);
            let failed = |why: String| format!("{origin}: {why}");
            let action = match (&rule.kind, direction) {
                (Kind::Group(_), Direction::Forward) if rule.iface.is_some() => continue,
                (Kind::Group(group), _) => {
                    let key = (group.clone(), direction, table);
                    let inner = self.groups.get(&key).cloned();
                    let inner =
                        inner.ok_or_else(|| failed(format!("there is no group {group}")))?;
                    let then = Then::Jump(inner);
                    let origin = line(&origin);
                    lookup
                        .bind(
                            rule.iface.as_deref(),
                            When::default(),
                            &then,
                            &origin,
                            &mut chain.steps,
                        )
                        .map_err(failed)?;
                    continue;
                }
                (Kind::In(action), Direction::In)
                | (Kind::Out(action), Direction::Out)
                | (Kind::Forward(action), Direction::Forward) => *action,
                _ => continue,
            };
            if direction == Direction::Forward && rule.iface.is_some() {
                return Err(failed("a forward rule is bound to an interface".to_owned()));
            }
            let then = self.then(action, direction, table);
            chain
                .steps
                .extend(lookup.steps(rule, &then, &origin).map_err(failed)?);
        }
        Ok(())
    }

    /// What becomes of everything that no rule matches.
    fn policy(
        &self,
        chain: &mut Chain,
        of: List,
        (set, default): (Option<Action>, Action),
        (direction, table): (Direction, Table),
    ) {
        let policy = set.unwrap_or(default);
        let origin = Origin::Policy {
            of,
            policy,
            default: set.is_none(),
        };
        let then = self.then(policy, direction, table);
        chain.push(When::default(), then, origin);
    }
}

/// A switch that lets pass or drops.
fn switch(passes: bool) -> Then {
    if passes { Then::Accept } else { Then::Drop }
}

/// The origin of a line that brings in a group.
fn line(origin: &Origin) -> Origin {
    match origin {
        Origin::Rule(list, position) => Origin::GroupLine(*list, *position),
        other => other.clone(),
    }
}
