//! From whom to whom: which hooks a packet passes on which nodes, what becomes of one packet there, and of all.

use super::address::Family;
use super::chain::{Builtin, Chain, Context, Iface, Left, Origin, Outcome, Packet, Walk};
use super::compile::Compiled;
use super::space::{Function, Pair, Space};

/// An end of a way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Beyond every node.
    Outside,
    /// A node itself, by one of its interfaces (`vmbr0`).
    Node {
        /// Its name.
        name: String,
        /// The interface that packets come in or go out by; `None` if nobody knows.
        iface: Option<String>,
    },
    /// A guest's interface.
    Nic {
        /// The guest.
        vmid: u32,
        /// The interface's key (`net0`).
        key: String,
    },
}

/// From one end to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Who starts.
    pub from: End,
    /// Who is meant.
    pub to: End,
}

/// What becomes of a packet, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// What decided, hook by hook: what let it pass, and last what stopped it. Nothing for a hook without rules.
    pub because: Vec<Origin>,
}

fn named(iface: Option<&str>) -> Iface<'_> {
    iface.map_or(Iface::Unknown, Iface::Named)
}

/// A hook on the way.
struct Hook<'a> {
    chain: &'a Chain,
    context: Context<'a>,
    /// Whether it is on another node than the hook before: marks do not travel.
    fresh: bool,
}

/// What packets pass between the two ends of a way.
#[derive(Default)]
struct Between<'a> {
    /// On which node, and what.
    surely: Vec<(&'a String, &'a Chain)>,
    /// These stop nothing for certain.
    perhaps: Vec<&'a Chain>,
}

impl Compiled {
    /// The hooks that packets of a way pass; an error for an end that does not exist.
    fn hooks<'a>(&'a self, way: &'a Way, family: Family) -> Result<Vec<Hook<'a>>, String> {
        let mut hooks = Vec::new();
        let mut at = None;
        match &way.from {
            End::Outside => {}
            End::Node { name, iface } => {
                if matches!(&way.to, End::Node { name: to, .. } if to == name) {
                    return Ok(hooks);
                }
                hooks.push(Hook {
                    chain: &self.rules(name, family)?.host_out,
                    context: Context {
                        iface: Some(named(iface.as_deref())),
                        mac: None,
                    },
                    fresh: true,
                });
                at = Some(name);
            }
            End::Nic { vmid, key } => {
                let (place, nic) = self.nic(*vmid, key, family)?;
                hooks.push(Hook {
                    chain: &nic.outward,
                    context: Context {
                        iface: None,
                        mac: place.mac,
                    },
                    fresh: true,
                });
                at = Some(&place.node);
            }
        }
        let between = self.between(way, family)?;
        for (node, chain) in between.surely {
            let fresh = at != Some(node);
            hooks.push(Hook {
                chain,
                context: Context::default(),
                fresh,
            });
            at = Some(node);
        }
        match &way.to {
            End::Outside => {}
            End::Node { name, iface } => hooks.push(Hook {
                chain: &self.rules(name, family)?.host_in,
                context: Context {
                    iface: Some(named(iface.as_deref())),
                    mac: None,
                },
                fresh: at != Some(name),
            }),
            End::Nic { vmid, key } => {
                let (place, nic) = self.nic(*vmid, key, family)?;
                hooks.push(Hook {
                    chain: &nic.inward,
                    context: Context::default(),
                    fresh: at != Some(&place.node),
                });
            }
        }
        // What another hook stops for certain is stopped whatever these say, so they come last.
        hooks.extend(between.perhaps.into_iter().map(|chain| Hook {
            chain,
            context: Context::default(),
            fresh: true,
        }));
        Ok(hooks)
    }

    /// What packets pass between the two ends, node by node: the rules for what a node routes, and those of vnets.
    fn between<'a>(&'a self, way: &'a Way, family: Family) -> Result<Between<'a>, String> {
        let place_of = |end: &End| match end {
            End::Nic { vmid, key } => self.nics.get(&(*vmid, key.clone())),
            End::Outside | End::Node { .. } => None,
        };
        let mut chains = Between::default();
        let mut seen: Vec<&String> = Vec::new();
        for (end, other) in [(&way.from, &way.to), (&way.to, &way.from)] {
            match end {
                End::Outside => {}
                // By a vnet into the node and out of it.
                End::Node { name, iface } => {
                    let rules = self.rules(name, family)?;
                    let vnet = iface.as_ref().and_then(|iface| rules.vnets.get(iface));
                    if let Some(vnet) = vnet.filter(|vnet| vnet.at_node) {
                        chains.surely.push((name, &vnet.bridged));
                    }
                }
                End::Nic { .. } => {
                    let Some(place) = place_of(end) else { continue };
                    let rules = self.rules(&place.node, family)?;
                    let vnet = rules.vnets.get(&place.bridge);
                    if let End::Node { name, iface } = other
                        && *name == place.node
                    {
                        let by_it = iface.as_ref() == Some(&place.bridge);
                        if let Some(vnet) = vnet.filter(|vnet| vnet.at_node && !by_it) {
                            chains.perhaps.push(&vnet.perhaps);
                        }
                        continue;
                    }
                    let neighbour = place_of(other).filter(|other| other.bridge == place.bridge);
                    let again = seen.contains(&&place.node);
                    seen.push(&place.node);
                    match (vnet, neighbour) {
                        (Some(vnet), Some(_)) if !again => {
                            chains.surely.push((&place.node, &vnet.bridged))
                        }
                        (Some(vnet), None) => chains.perhaps.push(&vnet.perhaps),
                        _ => {}
                    }
                    if !again {
                        chains.perhaps.push(&rules.forward);
                    }
                }
            }
        }
        Ok(chains)
    }

    fn rules(&self, node: &str, family: Family) -> Result<&super::compile::NodeRules, String> {
        self.node(node, family)
            .ok_or_else(|| format!("there is no node {node}"))
    }

    fn nic(
        &self,
        vmid: u32,
        key: &str,
        family: Family,
    ) -> Result<(&super::compile::Place, &super::compile::NicRules), String> {
        let full = (vmid, key.to_owned());
        let missing = || format!("there is no interface {key} of guest {vmid}");
        let place = self.nics.get(&full).ok_or_else(missing)?;
        let rules = self.rules(&place.node, family)?.nics.get(&full);
        Ok((place, rules.ok_or_else(missing)?))
    }

    /// What becomes of the first packet of something new.
    ///
    /// # Errors
    /// An end of the way does not exist.
    pub fn verdict(&self, way: &Way, packet: &Packet) -> Result<Verdict, String> {
        let hooks = self.hooks(way, packet.family)?;
        let mut because = Vec::new();
        if hooks.is_empty() && way.from != End::Outside {
            because.push(Origin::Builtin(Builtin::Loopback));
        }
        let mut mark = None;
        for hook in hooks {
            let mut walk = Walk {
                packet,
                context: Context {
                    mac: packet.mac.or(hook.context.mac),
                    ..hook.context
                },
                mark: if hook.fresh { None } else { mark },
                returned: None,
            };
            match walk.through(hook.chain) {
                Left::Decided(Outcome::Accept, origin) => because.push(origin),
                Left::Decided(outcome, origin) => {
                    because.push(origin);
                    return Ok(Verdict { outcome, because });
                }
                Left::Fell => because.extend(walk.returned.take()),
            }
            mark = walk.mark;
        }
        Ok(Verdict {
            outcome: Outcome::Accept,
            because,
        })
    }

    /// What becomes of every packet of a way (with the sender's own MAC address).
    ///
    /// # Errors
    /// An end of the way does not exist.
    pub fn function(&self, space: &mut Space, way: &Way) -> Result<Function, String> {
        let hooks = self.hooks(way, space.family())?;
        let arrived = Function::constant(Outcome::Accept);
        let mut now: Pair = (arrived, arrived);
        for hook in hooks.iter().rev() {
            now = space.chain(hook.chain, now, now, hook.context);
            if hook.fresh {
                now = (now.0, now.0);
            }
        }
        Ok(now.0)
    }

    /// Whether a way has the same rules in two configurations, so that nothing can have changed for it.
    #[must_use]
    pub fn same(&self, other: &Self, way: &Way, family: Family) -> bool {
        let (Ok(ours), Ok(theirs)) = (self.hooks(way, family), other.hooks(way, family)) else {
            return false;
        };
        ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| {
                ours.fresh == theirs.fresh
                    && ours.context.mac == theirs.context.mac
                    && ours.chain == theirs.chain
            })
    }
}
