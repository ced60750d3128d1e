//! Placement: a guest that may be on any of several nodes (`nodes`). On one of them it stays where it is. On none of them, or not made
//! yet, it comes to the one with the most memory left of those that can have it: the steps that bring it there are planned and tried
//! for one node after the other, so that what rules a node out is what would be said of a document that names it.
//!
//! Memory left is the node's memory without what its running guests, and those that start with it, are given: figures that change only
//! when somebody changes something, so that the same world has the same plan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, Planner};
use super::super::error::{Problem, Reason};
use super::super::impacts::refused;
use super::super::input::Item;
use super::super::resolve::Target;
use super::super::words::clean;
use crate::document::desired::DesiredGuest;
use crate::health::{self, Category};
use crate::ids::{Bytes, GuestKind, NodeName, Vmid};
use crate::proxmox::property::{is_true, split_list};
use crate::world::{Action, HaRule, Param, Part, PowerAction, Status, World, views};

/// The field that problems are told of.
const FIELD: &str = "nodes";

/// A guest, for the account of memory: where it is, what it is given, whether that counts.
struct Given {
    node: NodeName,
    bytes: u64,
    counts: bool,
}

impl Planner<'_, '_> {
    /// Brings a guest to one of the nodes it may be on.
    pub(super) fn bring_to_one_of(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        target: &Target<'_>,
    ) {
        self.unknown_nodes(item, desired);
        if let Target::Existing(guest) = target
            && desired.nodes.contains(&guest.node)
        {
            return self.bring(item, &on(desired, &guest.node), target);
        }
        let left = self.memory_left();
        let of = |node: &NodeName| left.get(node).copied().flatten();
        let mut ranked: Vec<&NodeName> = desired.nodes.iter().collect();
        ranked.sort_by_key(|node| (Reverse(of(node)), (*node).clone()));
        let mut out: Vec<(NodeName, Vec<String>)> = Vec::new();
        let mut tried: Vec<BTreeSet<Problem>> = Vec::new();
        for node in ranked {
            if let Some(why) = self.ruled_out(target, node) {
                out.push((node.clone(), vec![why]));
                continue;
            }
            let mut there = Planner {
                input: self.input,
                drafts: self.drafts.clone(),
            };
            there.bring(item, &on(desired, node), target);
            let problems: BTreeSet<Problem> = there
                .drafts
                .problems
                .difference(&self.drafts.problems)
                .cloned()
                .collect();
            let why: Vec<String> = match problems.is_empty() {
                false => problems.iter().map(|p| p.reason.to_string()).collect(),
                true => self.would_fail(there.new_steps(self), vmid_of(target), node),
            };
            if why.is_empty() {
                let first = self.drafts.steps.len();
                self.drafts = there.drafts;
                self.say_why(desired, node, of(node).is_some(), &out, first);
                return;
            }
            tried.push(problems);
            out.push((node.clone(), why));
        }
        self.nowhere(item, desired, &out, &tried);
    }

    fn new_steps<'d>(&'d self, before: &Planner<'_, '_>) -> &'d [Draft] {
        let first = before.drafts.steps.len();
        self.drafts.steps.get(first..).unwrap_or_default()
    }

    /// Says of nodes that do not exist, which may be a slip of the pen or a node that is gone.
    fn unknown_nodes(&mut self, item: &Item, desired: &DesiredGuest) {
        let known = &self.input.world.nodes;
        for node in desired.nodes.iter().filter(|n| !known.contains_key(n)) {
            let names = known.keys().map(NodeName::as_str);
            self.drafts.notes.insert(format!(
                "{}: `nodes` names {node}, and there is no such node{}",
                item.key,
                super::super::nearest(node.as_str(), names)
            ));
        }
    }

    /// Why a node is not even tried.
    fn ruled_out(&self, target: &Target<'_>, node: &NodeName) -> Option<String> {
        match self.input.world.nodes.get(node).map(|node| node.online) {
            None => return Some("there is no such node".to_owned()),
            Some(Some(false)) => return Some("it is offline".to_owned()),
            Some(None) => return Some("whether it is online is not known".to_owned()),
            Some(Some(true)) => {}
        }
        match target {
            Target::Existing(guest) => self.kept_away(guest.vmid, node),
            Target::New(_) => None,
        }
    }

    /// The HA rule that keeps a guest away from a node, if HA manages it.
    fn kept_away(&self, vmid: Vmid, node: &NodeName) -> Option<String> {
        let world = self.input.world;
        self.ha_state(vmid)?;
        if let Some(why) = world.unreadable(&Part::HaRules) {
            return Some(format!("the HA rules could not be read ({why})"));
        }
        let rules = world.ha_rules.iter();
        let mut about = rules.filter(|(_, rule)| !rule.disabled && rule.resources.contains(&vmid));
        about.find_map(|(name, rule)| {
            if rule.rule_type == "resource-affinity" {
                return beside(world, vmid, node, name, rule);
            }
            if rule.strict && !rule.nodes.contains(node) {
                return Some(format!("the HA rule `{name}` does not allow it"));
            }
            taken_on(world, vmid, node, name, rule)
        })
    }

    /// Why the steps that bring the guest to a node would fail, or leave it without something there, as far as the world tells.
    fn would_fail(&self, steps: &[Draft], vmid: Vmid, node: &NodeName) -> Vec<String> {
        let source = steps.iter().find_map(|draft| match &draft.action {
            Action::CloneGuest { source, .. } => Some(*source),
            _ => None,
        });
        let (mut world, _) = self.as_left(source);
        let mut why = Vec::new();
        for draft in steps {
            let action = without_pool(&draft.action);
            why.extend(refused(&action, &world));
            for (_, state) in health::fit(&world, &action) {
                if state.category == Some(Category::WontFit) {
                    why.extend(state.causes);
                }
            }
            match world.apply(&action) {
                Ok(after) => world = after,
                Err(error) => why.push(error.to_string()),
            }
        }
        if why.is_empty() {
            why.extend(lacking(&world, vmid, node));
        }
        let mut said = BTreeSet::new();
        why.retain(|reason| said.insert(reason.clone()));
        why
    }

    /// Memory that is left on every node of which that is known, with what this plan has brought about so far.
    fn memory_left(&self) -> BTreeMap<NodeName, Option<i128>> {
        let world = self.input.world;
        let mut guests: BTreeMap<Vmid, Given> = world
            .guests
            .values()
            .map(|guest| {
                let onboot = guest.config.current.get("onboot");
                let given = Given {
                    node: guest.node.clone(),
                    bytes: health::memory_of(guest),
                    counts: guest.status == Status::Running || onboot.is_some_and(|v| is_true(v)),
                };
                (guest.vmid, given)
            })
            .collect();
        for draft in &self.drafts.steps {
            account(&mut guests, &draft.action);
        }
        let mut used: BTreeMap<&NodeName, i128> = BTreeMap::new();
        for given in guests.values().filter(|given| given.counts) {
            *used.entry(&given.node).or_default() += i128::from(given.bytes);
        }
        let nodes = world.nodes.iter().map(|(name, node)| {
            let read = world.unreadable(&Part::NodeStatus(name.clone())).is_none();
            let total = node.memory_total.filter(|_| read);
            let left = total.map(|Bytes(total)| {
                i128::from(total) - used.get(name).copied().unwrap_or_default()
            });
            (name.clone(), left)
        });
        nodes.collect()
    }

    /// Says at the step that brings the guest there why it is this node.
    fn say_why(
        &mut self,
        desired: &DesiredGuest,
        node: &NodeName,
        known: bool,
        out: &[(NodeName, Vec<String>)],
        first: usize,
    ) {
        if desired.nodes.len() < 2 {
            return;
        }
        let all: Vec<&str> = desired.nodes.iter().map(NodeName::as_str).collect();
        let mut why = format!("on {node}, of {}: ", all.join(", "));
        why.push_str(match (known, out.is_empty()) {
            (true, true) => "it has the most memory left",
            (true, false) => "it has the most memory left of those that can have it",
            (false, _) => {
                "the first that can have it, since how much memory is left there is not known"
            }
        });
        for (other, reasons) in out {
            why.push_str(&format!("; not {other}: {}", reasons.join(", ")));
        }
        let steps = self.drafts.steps.get_mut(first..).unwrap_or_default();
        let brings = |draft: &&mut Draft| {
            matches!(
                draft.action,
                Action::Migrate { .. }
                    | Action::CreateGuest { .. }
                    | Action::CloneGuest { .. }
                    | Action::RestoreGuest { .. }
            )
        };
        // The last of them: what is cloned or restored elsewhere is migrated.
        if let Some(draft) = steps.iter_mut().rfind(brings) {
            draft.notes.push(clean(&why));
        }
    }

    /// No node can have the guest. What is wrong wherever it goes is said as of any other document.
    fn nowhere(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        out: &[(NodeName, Vec<String>)],
        tried: &[BTreeSet<Problem>],
    ) {
        let mut common = tried.first().cloned().unwrap_or_default();
        common.retain(|problem| tried.iter().all(|problems| problems.contains(problem)));
        if tried.len() == desired.nodes.len() && !common.is_empty() {
            self.drafts.problems.extend(common);
            return;
        }
        let nodes: Vec<String> = out
            .iter()
            .map(|(node, why)| format!("{node}: {}", why.join(", ")))
            .collect();
        let why = format!(
            "the guest can be on none of its `nodes`; {}",
            nodes.join("; ")
        );
        let why = clean(&why);
        self.drafts
            .problem(&item.key, FIELD, Reason::Refused { why });
    }
}

/// What the document asks for when the guest shall be on that node.
fn on(desired: &DesiredGuest, node: &NodeName) -> DesiredGuest {
    DesiredGuest {
        node: Some(node.clone()),
        nodes: BTreeSet::new(),
        ..desired.clone()
    }
}

fn vmid_of(target: &Target<'_>) -> Vmid {
    match target {
        Target::New(vmid) => *vmid,
        Target::Existing(guest) => guest.vmid,
    }
}

/// Whether a rule about guests beside each other keeps one away from a node.
fn beside(world: &World, vmid: Vmid, node: &NodeName, name: &str, rule: &HaRule) -> Option<String> {
    let apart = rule
        .options
        .get("affinity")
        .is_some_and(|affinity| affinity == "negative");
    let others = rule.resources.iter().filter(|other| **other != vmid);
    let mut others = others.filter_map(|other| world.guests.get(other));
    let held = others.find(|other| (other.node == *node) == apart)?;
    let words = if apart { "apart from" } else { "together with" };
    Some(format!(
        "the HA rule `{name}` keeps it {words} {}, which is on {}",
        held.entity(),
        held.node
    ))
}

/// Whether HA would take a guest on from a node to one that a rule prefers.
fn taken_on(
    world: &World,
    vmid: Vmid,
    node: &NodeName,
    name: &str,
    rule: &HaRule,
) -> Option<String> {
    let resource = world.ha_resources.get(&vmid)?;
    let off = resource
        .options
        .get("failback")
        .is_some_and(|flag| !is_true(flag));
    let never = rule
        .options
        .get("nofailback")
        .is_some_and(|flag| is_true(flag));
    if off || never {
        return None;
    }
    let online = |name: &NodeName| {
        let node = world.nodes.get(name);
        node.is_some_and(|node| node.online == Some(true))
    };
    let nodes = rule.options.get("nodes").map_or("", String::as_str);
    let preferred: Vec<(u32, NodeName)> = split_list(nodes)
        .filter_map(|part| {
            let (name, priority) = part.split_once(':').unwrap_or((part, "0"));
            Some((priority.parse().ok()?, NodeName::new(name).ok()?))
        })
        .filter(|(_, name)| online(name))
        .collect();
    let first = preferred.iter().map(|(priority, _)| *priority).max()?;
    let mut best = preferred.iter().filter(|(priority, _)| *priority == first);
    let stays = best.clone().any(|(_, name)| name == node);
    let on = best.next().filter(|_| !stays)?;
    Some(format!("the HA rule `{name}` would take it on to {}", on.1))
}

/// Pools may be made by a later part of the plan; nothing here depends on them.
fn without_pool(action: &Action) -> Action {
    let mut action = action.clone();
    if let Action::CreateGuest { pool, .. }
    | Action::CloneGuest { pool, .. }
    | Action::RestoreGuest { pool, .. } = &mut action
    {
        *pool = None;
    }
    action
}

/// What a guest would lack on a node: bridges, storages.
fn lacking(world: &World, vmid: Vmid, node: &NodeName) -> Vec<String> {
    let Some(guest) = world.guests.get(&vmid) else {
        return Vec::new();
    };
    let mut why = Vec::new();
    let section = guest.config.next_start();
    let bridges: BTreeSet<String> = views::nics(&section)
        .into_iter()
        .filter_map(|nic| nic.bridge)
        .collect();
    let network = world.unreadable(&Part::NodeNetwork(node.clone()));
    match (network, world.nodes.get(node)) {
        (Some(reason), _) if !bridges.is_empty() => {
            why.push(format!("its network could not be read ({reason})"));
        }
        (None, Some(there)) => {
            let missing = bridges.iter().filter(|name| !there.bridges.contains(*name));
            why.extend(missing.map(|name| format!("it has no {name}")));
        }
        (Some(_), _) | (None, None) => {}
    }
    let used: BTreeSet<_> = views::disks(guest.kind, &section)
        .into_iter()
        .filter_map(|disk| Some(disk.source.volume()?.storage().clone()))
        .collect();
    let away = used
        .iter()
        .filter(|id| world.storages.get(*id).is_some_and(|on| !on.on_node(node)));
    why.extend(away.map(|id| format!("storage {id} is not available there")));
    why
}

/// What a step does to the account of memory. What a plan makes counts whether it is started or not.
fn account(guests: &mut BTreeMap<Vmid, Given>, action: &Action) {
    let mib = |kind: GuestKind, text: Option<&str>| {
        health::memory_in(kind, text.unwrap_or("512")).saturating_mul(Bytes::MIB)
    };
    let made = |node: &NodeName, bytes: u64| Given {
        node: node.clone(),
        bytes,
        counts: true,
    };
    match action {
        Action::CreateGuest {
            kind,
            vmid,
            node,
            params,
            ..
        } => {
            let memory = match params.get("memory") {
                Some(Param::Plain(text)) => Some(text.as_str()),
                Some(Param::Secret { .. }) | None => None,
            };
            guests.insert(*vmid, made(node, mib(*kind, memory)));
        }
        Action::RestoreGuest {
            kind,
            vmid,
            node,
            config,
            ..
        } => {
            let memory = config.get("memory").map(String::as_str);
            guests.insert(*vmid, made(node, mib(*kind, memory)));
        }
        Action::CloneGuest {
            vmid, source, node, ..
        } => {
            let bytes = guests.get(source).map_or(0, |given| given.bytes);
            guests.insert(*vmid, made(node, bytes));
        }
        Action::Migrate { vmid, to, .. } => {
            if let Some(given) = guests.get_mut(vmid) {
                given.node = to.clone();
            }
        }
        Action::UpdateConfig {
            kind, vmid, set, ..
        } => {
            if let (Some(given), Some(Param::Plain(text))) =
                (guests.get_mut(vmid), set.get("memory"))
            {
                given.bytes = mib(*kind, Some(text));
            }
        }
        Action::SetPower {
            vmid,
            power: PowerAction::Start,
            ..
        } => {
            if let Some(given) = guests.get_mut(vmid) {
                given.counts = true;
            }
        }
        _ => {}
    }
}
