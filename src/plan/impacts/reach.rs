//! FW01 to FW09: who can no longer reach whom, and who can now, as the firewalls decide. It is worked out exactly, for IPv4 and IPv6, for
//! the first and the last world of a plan, of the nodes and guests whose rules its steps may have changed, as of each guest's next start;
//! and for the worlds between, where nothing may be shut that is open at both ends.
//!
//! A guest that comes or goes is told by other rules; nobody reached what was not there. While the datacenter's firewall is off before and
//! after, no other has an effect and nothing is looked at.

mod between;
mod broken;
mod concerned;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::model::StepId;
use super::Raw;
use crate::health::reach::{Compiled, Keepers};
use crate::health::{self, Moment};
use crate::ids::{NodeName, Vmid, VnetName};
use crate::world::firewall::{Firewalls, ON_TRIAL, Scope, Seen};
use crate::world::{Guest, Section, World, views};
use concerned::Concerned;

/// What steps may have changed that firewalls look at.
#[derive(Default)]
pub(super) struct Touched {
    /// Who must be able to manage nodes.
    keepers: Keepers,
    /// The steps that changed the datacenter's firewall or the cluster network.
    cluster: BTreeSet<StepId>,
    /// Those that changed a node's firewall or addresses.
    nodes: BTreeMap<NodeName, BTreeSet<StepId>>,
    /// Those that changed a guest's firewall, interfaces or node.
    guests: BTreeMap<Vmid, BTreeSet<StepId>>,
    /// The world after each step that changed a firewall's configuration.
    states: Vec<(StepId, World)>,
}

impl Touched {
    /// Nothing yet.
    pub(super) fn new(keepers: Keepers) -> Self {
        Self {
            keepers,
            ..Self::default()
        }
    }

    /// Notes what a step changed.
    pub(super) fn step(&mut self, id: StepId, before: &World, after: &World) {
        let (was, is) = (&before.firewalls, &after.firewalls);
        let mut configured = false;
        if !same_datacenter(&was.cluster, &is.cluster) || was.corosync != is.corosync {
            self.cluster.insert(id);
            configured = true;
        }
        if !was.nodes.is(&is.nodes) {
            let names: BTreeSet<&NodeName> = was.nodes.keys().chain(is.nodes.keys()).collect();
            for name in names {
                if was.nodes.get(name) != is.nodes.get(name) {
                    self.nodes.entry(name.clone()).or_default().insert(id);
                    configured = true;
                }
            }
        }
        if !was.guests.is(&is.guests) {
            let there = |vmid: &&Vmid| before.guests.contains_key(*vmid);
            for vmid in after.guests.keys().filter(there) {
                if was.guests.get(vmid) != is.guests.get(vmid) {
                    self.guests.entry(*vmid).or_default().insert(id);
                    configured = true;
                }
            }
        }
        for vnet in changed_vnets(was, is) {
            configured = true;
            self.vnet(id, vnet.as_str(), after);
        }
        if was.may_be_on() || is.may_be_on() {
            for vmid in concerned::moved(before, after) {
                self.guests.entry(vmid).or_default().insert(id);
            }
        }
        if configured {
            self.states.push((id, after.clone()));
        }
    }

    /// Notes that a step changed the firewall of a vnet: guests on it heed that, and nodes that have an address there.
    fn vnet(&mut self, id: StepId, vnet: &str, world: &World) {
        let on_it = |guest: &Guest| {
            let nics = views::nics(&guest.config.next_start());
            nics.iter().any(|nic| nic.bridge.as_deref() == Some(vnet))
        };
        for guest in world.guests.values().filter(|guest| on_it(guest)) {
            self.guests.entry(guest.vmid).or_default().insert(id);
        }
        for (name, scope) in world.firewalls.nodes.iter() {
            let mut addresses = scope.addresses.iter().flatten();
            if addresses.any(|at| at.interface == vnet) {
                self.nodes.entry(name.clone()).or_default().insert(id);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.cluster.is_empty() && self.nodes.is_empty() && self.guests.is_empty()
    }

    /// The steps that may have changed the reach of a node; all if none is known to.
    fn of_node(&self, name: &NodeName) -> BTreeSet<StepId> {
        let own = self.nodes.get(name).into_iter().flatten();
        self.or_all(self.cluster.iter().chain(own).copied().collect())
    }

    /// The steps that may have changed the reach of a guest, which is on these nodes.
    fn of_guest<'a>(
        &self,
        vmid: Vmid,
        on: impl IntoIterator<Item = &'a NodeName>,
    ) -> BTreeSet<StepId> {
        let own = self.guests.get(&vmid).into_iter().flatten();
        let nodes = on.into_iter().filter_map(|node| self.nodes.get(node));
        let nodes = nodes.flatten();
        self.or_all(
            self.cluster
                .iter()
                .chain(nodes)
                .chain(own)
                .copied()
                .collect(),
        )
    }

    fn or_all(&self, steps: BTreeSet<StepId>) -> BTreeSet<StepId> {
        if !steps.is_empty() {
            return steps;
        }
        let nodes = self.nodes.values().flatten();
        let guests = self.guests.values().flatten();
        self.cluster
            .iter()
            .chain(nodes)
            .chain(guests)
            .copied()
            .collect()
    }
}

/// The vnets whose firewalls differ.
fn changed_vnets(was: &Firewalls, is: &Firewalls) -> BTreeSet<VnetName> {
    let (Ok(was), Ok(is)) = (&was.vnets, &is.vnets) else {
        return BTreeSet::new();
    };
    if was.is(is) {
        return BTreeSet::new();
    }
    let names = was.keys().chain(is.keys());
    names
        .filter(|name| was.get(*name) != is.get(*name))
        .cloned()
        .collect()
}

/// Whether the datacenter's rules are the same. On trial they are what they are for good.
fn same_datacenter(was: &Seen<Arc<Scope>>, is: &Seen<Arc<Scope>>) -> bool {
    let (Ok(was), Ok(is)) = (was, is) else {
        return was == is;
    };
    let Scope {
        options,
        rules,
        aliases,
        ipsets,
        groups,
    } = &**was;
    Arc::ptr_eq(was, is)
        || (same_options(options, &is.options)
            && (rules, aliases, ipsets, groups) == (&is.rules, &is.aliases, &is.ipsets, &is.groups))
}

fn same_options(was: &Section, is: &Section) -> bool {
    let mut keys = was.keys().chain(is.keys());
    keys.all(|key| same_option(key, was, is))
}

/// Whether an option of the datacenter means the same.
fn same_option(key: &str, was: &Section, is: &Section) -> bool {
    let for_good = |value: &String| match (key, value.as_str()) {
        ("enable", ON_TRIAL) => "1".to_owned(),
        _ => value.clone(),
    };
    was.get(key).map(for_good) == is.get(key).map(for_good)
}

/// What becomes of everybody's reach.
pub(super) fn impacts(start: &World, end: &World, touched: &Touched) -> Vec<Raw> {
    let on = start.firewalls.may_be_on() || end.firewalls.may_be_on();
    if !on || touched.is_empty() {
        return Vec::new();
    }
    let mut concerned = Concerned::new(start, end, touched);
    let told = told::Told {
        start,
        end,
        touched,
    };
    let model = |world| health::reach_model_of(world, Moment::NextStart, Some(&concerned.guests));
    let models = (model(start), model(end));
    let mut all = concerned.unknown(&told);
    match models {
        (Ok(mut before), Ok(mut after)) => {
            all.extend(broken::impacts(&told, &before, &after));
            for model in [&mut before, &mut after] {
                model.guests.retain(|vmid, _| {
                    let vmid = Vmid::new(*vmid);
                    vmid.is_ok_and(|vmid| concerned.guests.contains(&vmid))
                });
            }
            let (before, after) = (Compiled::new(&before), Compiled::new(&after));
            all.extend(told.judged(&before, &after, &concerned));
            all.extend(between::impacts(&told, &concerned, &before, &after));
        }
        (Err(why), _) | (_, Err(why)) => all.extend(told.unknown(&concerned, &why)),
    }
    all
}

/// The rules of a world, with some of its guests.
fn compiled(world: &World, guests: &BTreeSet<Vmid>) -> Result<Compiled, String> {
    let model = health::reach_model_of(world, Moment::NextStart, Some(guests))?;
    Ok(Compiled::new(&model))
}
