//! The firewalls' configurations, again: those the sweep is at, those of guests and nodes that are new or are others, and all of them
//! when the datacenter's firewall was switched on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::turn::Turn;
use crate::ids::Vmid;
use crate::world::firewall::{NEVER, Place};
use crate::world::observe::firewall::Piece;

/// How many firewalls are read in one cycle at most, those of the sweep apart.
const AT_MOST: usize = 64;

impl Turn<'_> {
    /// Reads what the sweep is at and what is due.
    pub(super) async fn firewalls_again(&mut self, swept: Vec<(Place, Piece)>) {
        if !self.seen.settings.firewalls {
            self.due.firewalls.clear();
            return;
        }
        let before = self.before.world.firewalls.may_be_on();
        let failed = self.seen.some_pieces(swept).await;
        self.due.firewalls.extend(failed);
        let now = self.seen.world.firewalls.may_be_on();
        if before != now {
            if now {
                self.seen.vnets().await;
            } else {
                self.seen.world.firewalls.vnets = Err(NEVER.to_owned());
            }
            self.due.firewalls.extend(self.seen.firewall_places());
        }
        self.others(before != now);
        let mut due = std::mem::take(&mut self.due.firewalls).into_iter();
        let chosen = due.by_ref().take(AT_MOST).collect();
        self.due.firewalls = due.collect();
        self.seen.some_firewalls(chosen).await;
    }

    /// Notes as due the firewalls of what is another than before, and forgets those that are none any more or can have no effect.
    fn others(&mut self, all: bool) {
        let world = &self.seen.world;
        let known = &self.before.world;
        let mut gone: BTreeSet<Vmid> = BTreeSet::new();
        for (vmid, guest) in &world.guests {
            let same = known
                .guests
                .get(vmid)
                .is_some_and(|it| Arc::ptr_eq(it, guest));
            if same && !all {
                continue;
            }
            if world.firewalls.concerns(guest) {
                self.due.firewalls.insert(Place::Guest(*vmid));
            } else if world.firewalls.guests.contains_key(vmid) {
                gone.insert(*vmid);
            }
        }
        let away = world.firewalls.guests.keys();
        gone.extend(away.filter(|vmid| !world.guests.contains_key(vmid)));
        let on = world.firewalls.may_be_on();
        for node in world.nodes.keys() {
            let lost = self.seen.lost.get(node) != self.before.lost.get(node);
            if on && (lost || !world.firewalls.nodes.contains_key(node)) {
                self.due.firewalls.insert(Place::Node(node.clone()));
            }
        }
        if let Ok(vnets) = &world.firewalls.vnets {
            let before = known.firewalls.vnets.as_ref().ok();
            let new = vnets
                .keys()
                .filter(|name| before.is_none_or(|before| !before.contains_key(*name)));
            self.due.firewalls.extend(new.cloned().map(Place::Vnet));
        }
        let there = |place: &Place| match place {
            Place::Cluster => true,
            Place::Node(node) => on && world.nodes.contains_key(node),
            Place::Guest(vmid) => {
                let guest = world.guests.get(vmid);
                guest.is_some_and(|guest| world.firewalls.concerns(guest))
            }
            Place::Vnet(name) => {
                let vnets = world.firewalls.vnets.as_ref();
                vnets.is_ok_and(|vnets| vnets.contains_key(name))
            }
        };
        self.due.firewalls.retain(there);
        let away = world.firewalls.nodes.keys();
        let away: Vec<_> = away
            .filter(|node| !on || !world.nodes.contains_key(*node))
            .cloned()
            .collect();
        let firewalls = &mut self.seen.world.firewalls;
        for vmid in gone {
            firewalls.guests.remove(&vmid);
        }
        for node in away {
            firewalls.nodes.remove(&node);
        }
    }
}
