//! Proxmox VE's trial of the datacenter's firewall, around steps that may lock somebody out of a node: the firewall is on for a minute
//! only before the first of them, and is kept on after the last, once every node could be reached anew. Steps that only open something,
//! and those of guests, are on no trial.
//!
//! A node that filters with nftables cannot read its rules while a trial lasts and keeps its old ones, so a trial proves nothing there.

use std::collections::BTreeSet;

use super::super::draft::{Draft, DraftId, Drafts, Phase};
use super::super::words::{difference, few};
use crate::health::reach::{Compiled, less_managed};
use crate::health::{Moment, reach_model_of};
use crate::ids::NodeName;
use crate::world::firewall::{FirewallPart, Place};
use crate::world::{Action, FirewallAction, Site, World};

/// Puts trials into an order of drafts.
pub(in crate::plan) fn put(start: &World, drafts: &mut Drafts, line: Vec<DraftId>) -> Vec<DraftId> {
    let own = |id: &DraftId| drafts.steps.get(*id).is_some_and(of_nodes);
    if !line.iter().any(own) || start.firewalls.cluster.is_err() {
        return line;
    }
    let owns: Vec<bool> = line.iter().map(own).collect();
    let looked = look(start, &drafts.steps, &line);
    if !looked.untried.is_empty() {
        drafts.notes.insert(untried(&looked.untried));
    }
    let nodes = probed(start);
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(id) = line.get(at) {
        let run = owns.iter().skip(at).take_while(|own| **own).count();
        if run == 0 {
            out.push(*id);
            at += 1;
            continue;
        }
        let steps: Vec<DraftId> = line.iter().skip(at).take(run).copied().collect();
        let shutting = |id: &DraftId| looked.shutting.contains(id);
        match (
            steps.iter().position(shutting),
            steps.iter().rposition(shutting),
        ) {
            (Some(first), Some(last)) => {
                out.extend(steps.iter().take(first));
                let tried = steps.iter().skip(first).take(last + 1 - first);
                let tried: Vec<DraftId> = tried.copied().collect();
                out.extend(on_trial(start, drafts, &tried, &nodes, &looked));
                out.extend(steps.iter().skip(last + 1));
            }
            _ => out.extend(steps),
        }
        at += run;
    }
    out
}

/// Whether a step changes the firewall of the datacenter or of a node.
fn of_nodes(draft: &Draft) -> bool {
    let Action::Firewall(action) = &draft.action else {
        return false;
    };
    matches!(action.site(), Site::Cluster | Site::Node { .. })
}

/// The nodes that have to be reached before a trial is confirmed: all that are not known to be offline.
fn probed(world: &World) -> BTreeSet<NodeName> {
    let nodes = world.nodes.iter();
    let there = nodes.filter(|(_, node)| node.online != Some(false));
    there.map(|(name, _)| name.clone()).collect()
}

/// What the steps do to who can manage nodes.
#[derive(Default)]
struct Looked {
    /// Those after which not everybody can manage a node who could, or may no longer be able to.
    shutting: BTreeSet<DraftId>,
    /// Those that switch the datacenter's firewall on.
    switching: BTreeSet<DraftId>,
    /// Nodes that filter with nftables and that somebody may be locked out of.
    untried: BTreeSet<NodeName>,
    /// All nodes that filter with nftables at the end.
    nftables: BTreeSet<NodeName>,
}

/// Tries the steps of firewalls one after the other, of nodes only.
fn look(start: &World, drafts: &[Draft], line: &[DraftId]) -> Looked {
    let mut looked = Looked::default();
    let mut world = start.clone();
    let mut before: Option<Compiled> = None;
    for id in line {
        let Some(draft) = drafts.get(*id) else {
            continue;
        };
        let Action::Firewall(action) = &draft.action else {
            continue;
        };
        // What would fail changes nothing, and is told elsewhere.
        let Ok(after) = world.apply(&draft.action) else {
            continue;
        };
        if of_nodes(draft) && after.firewalls.may_be_on() {
            let was = before.take().or_else(|| compiled(&world));
            let is = compiled(&after);
            for name in less(action, (&world, was.as_ref()), (&after, is.as_ref())) {
                if nftables(&after, &name) {
                    looked.untried.insert(name);
                } else {
                    looked.shutting.insert(*id);
                }
            }
            before = is;
            if !world.firewalls.may_be_on() {
                looked.switching.insert(*id);
            }
        }
        world = after;
    }
    let nodes = world.nodes.keys();
    let nodes = nodes.filter(|name| nftables(&world, name));
    looked.nftables = nodes.cloned().collect();
    looked
}

/// The nodes that not everybody can manage any more after a step, or of which nobody knows. What is offline cannot be managed anyway.
fn less(
    action: &FirewallAction,
    (before, was): (&World, Option<&Compiled>),
    (after, is): (&World, Option<&Compiled>),
) -> BTreeSet<NodeName> {
    let known = was.zip(is);
    let less = known.map(|(was, is)| less_managed(was, is));
    let online = after.nodes.iter();
    let online = online.filter(|(_, node)| node.online != Some(false));
    online
        .map(|(name, _)| name)
        .filter(|name| {
            let known = known.is_some_and(|(was, is)| {
                let rules = !was.is_unknown(name.as_str()) && !is.is_unknown(name.as_str());
                rules && read(before, name) && read(after, name)
            });
            let shut = less
                .as_ref()
                .is_some_and(|less| less.contains(name.as_str()));
            shut || (!known && concerns(action, name))
        })
        .cloned()
        .collect()
}

/// The rules of nodes alone; what guests have is an address outside.
fn compiled(world: &World) -> Option<Compiled> {
    let model = reach_model_of(world, Moment::NextStart, Some(&BTreeSet::new()));
    model.ok().map(|model| Compiled::new(&model))
}

/// Whether what a node's rules depend on was read.
fn read(world: &World, name: &NodeName) -> bool {
    let node = world.firewalls.node(name);
    !world.firewalls.may_be_on()
        || node.is_some_and(|node| node.firewall.is_ok() && node.addresses.is_ok())
}

fn nftables(world: &World, name: &NodeName) -> bool {
    let node = world.firewalls.node(name);
    let scope = node.and_then(|node| node.firewall.as_ref().ok());
    let option = scope.and_then(|scope| scope.options.get("nftables"));
    option.is_some_and(|value| value != "0")
}

/// Whether a step may change what a node lets in.
fn concerns(action: &FirewallAction, name: &NodeName) -> bool {
    match action {
        FirewallAction::DescribeIpSet { .. } | FirewallAction::DescribeGroup { .. } => false,
        _ => match action.site() {
            Site::Cluster => true,
            Site::Node { node } => node == name,
            Site::Guest { .. } => false,
        },
    }
}

fn names(nodes: &BTreeSet<NodeName>) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    few(&names)
}

/// Why what is done to nodes with nftables is not on trial.
fn untried(nodes: &BTreeSet<NodeName>) -> String {
    format!(
        "no trial can show who is locked out of {}: with nftables a node keeps its old rules while a trial lasts, and takes the new ones \
         when it is confirmed",
        names(nodes)
    )
}

/// These steps, on trial.
fn on_trial(
    start: &World,
    drafts: &mut Drafts,
    tried: &[DraftId],
    nodes: &BTreeSet<NodeName>,
    looked: &Looked,
) -> Vec<DraftId> {
    let switches = tried
        .first()
        .is_some_and(|id| looked.switching.contains(id));
    let needs: BTreeSet<DraftId> = tried
        .iter()
        .filter_map(|id| drafts.steps.get(*id))
        .flat_map(|draft| draft.needs.iter().copied())
        .filter(|need| !tried.contains(need))
        .collect();
    let object = "firewall/cluster";
    let begin = drafts.push(Draft {
        title: if switches {
            format!("switch on {object}, on trial for a minute (enable=2)")
        } else {
            format!("put {object} on trial for a minute (enable=2)")
        },
        action: Action::Firewall(FirewallAction::BeginTrial {
            nodes: nodes.clone(),
        }),
        node: None,
        phase: Phase::FirewallRules,
        needs,
        notes: vec![
            "unless it is confirmed, the datacenter's firewall is off a minute after the last extension".to_owned(),
        ],
    });
    let (mut before, mut inside) = (Vec::new(), Vec::new());
    for id in tried {
        if !switched_by_trial(start, drafts, *id) {
            replace(drafts, *id, begin);
        } else if switches && Some(id) == tried.first() {
            // Its other options, while the firewall is still off.
            before.push(*id);
        } else {
            inside.push(*id);
        }
    }
    if let Some(draft) = drafts.steps.get_mut(begin) {
        draft.needs.extend(&before);
    }
    let mut notes = vec![
        "waits until every node has the new rules, then opens new connections to each node's API, and to its SSH if that could be opened \
         before; without them nothing is confirmed"
            .to_owned(),
    ];
    if !looked.nftables.is_empty() {
        notes.push(format!(
            "that {} can be reached proves nothing: with nftables it keeps its old rules while the trial lasts",
            names(&looked.nftables)
        ));
    }
    let mut needs: BTreeSet<DraftId> = inside.iter().copied().collect();
    needs.insert(begin);
    let confirm = drafts.push(Draft {
        title: format!(
            "keep {object} on (enable=1) once {} can be reached anew",
            names(nodes)
        ),
        action: Action::Firewall(FirewallAction::ConfirmTrial {
            nodes: nodes.clone(),
        }),
        node: None,
        phase: Phase::FirewallRules,
        needs,
        notes,
    });
    let all = before.into_iter().chain([begin]).chain(inside);
    all.chain([confirm]).collect()
}

/// Takes out of a step that the datacenter's firewall is switched on: the trial does that. `false` if nothing is left of it.
fn switched_by_trial(start: &World, drafts: &mut Drafts, id: DraftId) -> bool {
    let Some(draft) = drafts.steps.get_mut(id) else {
        return false;
    };
    let Action::Firewall(FirewallAction::SetOptions {
        site: Site::Cluster,
        set,
        delete,
    }) = &mut draft.action
    else {
        return true;
    };
    if set.get("enable").is_none_or(|value| value == "0") {
        return true;
    }
    set.remove("enable");
    let scope = start.firewalls.scope(&Place::Cluster).ok();
    let was = |key: &str| {
        scope
            .and_then(|scope| scope.options.get(key))
            .map(String::as_str)
    };
    let all = set.iter().map(|(key, value)| (key, Some(value.as_str())));
    let all = all.chain(delete.iter().map(|key| (key, None)));
    let told: Vec<String> = all
        .map(|(key, value)| difference(key, was(key), value))
        .collect();
    let object = crate::world::action::firewall::object_of(&Place::Cluster, &FirewallPart::Options);
    draft.title = format!("set {object} {}", few(&told));
    !told.is_empty()
}

/// What waited for a step that is left out waits for another.
fn replace(drafts: &mut Drafts, left_out: DraftId, by: DraftId) {
    for draft in &mut drafts.steps {
        if draft.needs.remove(&left_out) {
            draft.needs.insert(by);
        }
    }
}
