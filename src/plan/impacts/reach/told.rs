//! What becomes of an end's reach, as impacts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::model::{Duration, StepId};
use super::super::super::words::{clean, few};
use super::super::Raw;
use super::Touched;
use super::concerned::Concerned;
use crate::health::reach::{Compiled, Effect, End, Judged, judge};
use crate::health::{Category, Entity};
use crate::ids::{NodeName, Vmid};
use crate::world::World;
use crate::world::firewall::{Scope, filtered};

/// The two ends of a plan, and what its steps touch.
pub(super) struct Told<'a> {
    pub(super) start: &'a World,
    pub(super) end: &'a World,
    pub(super) touched: &'a Touched,
}

impl Told<'_> {
    /// What is different at the end.
    pub(super) fn judged(
        &self,
        before: &Compiled,
        after: &Compiled,
        concerned: &Concerned,
    ) -> Vec<Raw> {
        let found = judge(before, after, &self.touched.keepers);
        let found = found.into_iter().filter(|judged| asked(judged, concerned));
        let raws = found.map(|judged| {
            let closes = !matches!(judged.effect, Effect::Exposed | Effect::Unknown);
            let end = judged.end.clone();
            let mut raw = self.raw(judged);
            if closes {
                raw.notes.extend(self.why_closed(&end));
            }
            raw
        });
        merged(raws)
    }

    /// FW03, FW07: what about the configuration closes more than its rules say.
    fn why_closed(&self, end: &End) -> Vec<String> {
        let mut notes = Vec::new();
        if self.comes_on(end) {
            notes.push(
                "its firewall comes on: what no rule lets in is dropped, unless policy_in says otherwise; connections that are open stay open, \
                 and hide that until they end"
                    .to_owned(),
            );
        }
        if let End::Node { .. } = end {
            notes.extend(self.managers());
        }
        notes
    }

    fn comes_on(&self, end: &End) -> bool {
        let scope = |world: &World| -> Option<bool> {
            let cluster = world.firewalls.cluster.as_ref().ok()?;
            let own = match end {
                End::Outside => true,
                End::Node { name, .. } => {
                    let name: NodeName = name.parse().ok()?;
                    let node = world.firewalls.node(&name)?.firewall.as_ref().ok()?;
                    switch(node) != Some(false)
                }
                End::Nic { vmid, .. } => {
                    let guest = world.guests.get(&Vmid::new(*vmid).ok()?)?;
                    let own = world.firewalls.guest(guest.vmid).ok();
                    filtered(guest) && own.and_then(|scope| switch(scope)) == Some(true)
                }
            };
            Some(own && switch(cluster) == Some(true))
        };
        scope(self.start) == Some(false) && scope(self.end) == Some(true)
    }

    /// What changes of the addresses that every node may be managed from.
    fn managers(&self) -> Vec<String> {
        let (Ok(was), Ok(is)) = (&self.start.firewalls.cluster, &self.end.firewalls.cluster) else {
            return Vec::new();
        };
        let set = |scope: &Scope| scope.ipsets.get("management").cloned().unwrap_or_default();
        let alias = |scope: &Scope| {
            let alias = scope.aliases.get("local_network");
            alias.map(|alias| alias.cidr.clone())
        };
        let mut notes = Vec::new();
        let named = |what: &str| format!("{what} changes, from which every node may be managed");
        if set(was).entries != set(is).entries {
            notes.push(named("the set management"));
        }
        if alias(was) != alias(is) {
            notes.push(named("the alias local_network"));
        }
        notes
    }

    /// Everybody's reach is unknown.
    pub(super) fn unknown(&self, concerned: &Concerned, why: &str) -> Vec<Raw> {
        let nodes = concerned.nodes.iter();
        let nodes = nodes.map(|name| self.unknown_node(name, why, &[]));
        let guests = concerned.guests.iter();
        let guests = guests.filter_map(|vmid| self.unknown_guest(*vmid, why));
        nodes.chain(guests).collect()
    }

    pub(super) fn unknown_guest(&self, vmid: Vmid, why: &str) -> Option<Raw> {
        let guest = self.start.guests.get(&vmid)?;
        self.end.guests.get(&vmid)?;
        let entity = Entity::Guest(guest.kind, vmid);
        Some(unknown(entity, why, self.steps_of(vmid), "FW02"))
    }

    /// The reach of a node is unknown, and that of these guests for the same reason.
    pub(super) fn unknown_node(&self, name: &NodeName, why: &str, guests: &[Vmid]) -> Raw {
        let steps = self.touched.of_node(name);
        let mut raw = unknown(Entity::Node(name.clone()), why, steps, "FW01");
        if !guests.is_empty() {
            let guests = guests.iter().filter_map(|vmid| self.end.guests.get(vmid));
            let guests: Vec<String> = guests.map(|guest| guest.entity()).collect();
            raw.notes
                .push(format!("nor who reaches {} on it", few(&guests)));
        }
        raw
    }

    fn steps_of(&self, vmid: Vmid) -> BTreeSet<StepId> {
        let worlds = [self.start, self.end];
        let nodes = worlds.iter().filter_map(|world| world.guests.get(&vmid));
        self.touched.of_guest(vmid, nodes.map(|guest| &guest.node))
    }

    /// One thing that happens.
    pub(super) fn raw(&self, judged: Judged) -> Raw {
        let (category, before, after) = match judged.effect {
            Effect::Lockout => (Category::Lockout, "can be managed", "cannot be managed"),
            Effect::ConditionalLockout => (
                Category::ConditionalLockout,
                "can be managed",
                "cannot be managed by all who could",
            ),
            Effect::Unreachable => (Category::Unreachable, "open", "closed"),
            Effect::Exposed => (Category::Exposed, "closed", "open"),
            Effect::Unknown => (Category::Unknown, "known who reaches it", "nobody can tell"),
        };
        let (entity, steps) = match &judged.end {
            End::Node { name, .. } => match name.parse::<NodeName>() {
                Ok(name) => (Entity::Node(name.clone()), self.touched.of_node(&name)),
                Err(_) => (Entity::Controller, self.touched.or_all(BTreeSet::new())),
            },
            End::Nic { vmid, .. } => {
                let vmid = Vmid::new(*vmid).ok();
                let guest = vmid.and_then(|vmid| self.start.guests.get(&vmid));
                match guest {
                    Some(guest) => (
                        Entity::Guest(guest.kind, guest.vmid),
                        self.steps_of(guest.vmid),
                    ),
                    None => (Entity::Controller, self.touched.or_all(BTreeSet::new())),
                }
            }
            End::Outside => (Entity::Controller, self.touched.or_all(BTreeSet::new())),
        };
        let mut notes = match judged.sensitive.as_slice() {
            [] => Vec::new(),
            ports => vec![format!("the whole internet can open {}", ports.join(", "))],
        };
        let shut_out = judged.kept_out.iter();
        notes.extend(shut_out.map(|whom| format!("{whom} would be locked out")));
        Raw {
            entity,
            category,
            before: before.to_owned(),
            after: after.to_owned(),
            causes: vec![clean(&judged.sentence)],
            notes,
            duration: Duration::Permanent,
            steps,
            rule: judged.rule.to_owned(),
        }
    }
}

/// What a firewall's switch says; `None` if nothing.
fn switch(scope: &Scope) -> Option<bool> {
    let value = scope.options.get("enable")?;
    Some(!matches!(value.as_str(), "" | "0"))
}

fn unknown(entity: Entity, why: &str, steps: BTreeSet<StepId>, rule: &str) -> Raw {
    Raw {
        entity,
        category: Category::Unknown,
        before: "reached by those whom the firewall lets pass".to_owned(),
        after: "nobody can say who reaches it".to_owned(),
        causes: vec![clean(why)],
        notes: Vec::new(),
        duration: Duration::Permanent,
        steps,
        rule: rule.to_owned(),
    }
}

/// Whether it is about a node or guest that is looked at.
pub(super) fn asked(judged: &Judged, concerned: &Concerned) -> bool {
    match &judged.end {
        End::Outside => true,
        End::Node { name, .. } => {
            let name = name.parse();
            name.is_ok_and(|name: NodeName| concerned.nodes.contains(&name))
        }
        End::Nic { vmid, .. } => {
            let vmid = Vmid::new(*vmid);
            vmid.is_ok_and(|vmid| concerned.guests.contains(&vmid))
        }
    }
}

/// All that becomes of one end in one way as one impact, told in several sentences.
pub(super) fn merged(raws: impl Iterator<Item = Raw>) -> Vec<Raw> {
    let mut all: BTreeMap<(String, Category, String), Raw> = BTreeMap::new();
    for raw in raws {
        let key = (raw.entity.to_string(), raw.category, raw.rule.clone());
        match all.get_mut(&key) {
            Some(known) => {
                for cause in raw.causes {
                    if !known.causes.contains(&cause) {
                        known.causes.push(cause);
                    }
                }
                for note in raw.notes {
                    if !known.notes.contains(&note) {
                        known.notes.push(note);
                    }
                }
                known.steps.extend(raw.steps);
            }
            None => drop(all.insert(key, raw)),
        }
    }
    all.into_values().collect()
}
