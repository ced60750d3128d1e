//! The HA manager: makes guests follow what is requested of them, at its next round.
//!
//! A request only changes `ha/resources.cfg` or queues a move; some simulated seconds later a round starts, stops and moves
//! guests. Fencing and recovery are not simulated.

use std::collections::BTreeMap;

use super::section_config::{self, Section};
use super::state::{Cluster, Guest};

/// Resources' file below `/etc/pve`.
pub const RESOURCES: &str = "ha/resources.cfg";
/// The manager works every so many simulated seconds.
const ROUND: f64 = 10.0;
/// A move takes so many.
const MOVE: f64 = 5.0;

/// What the manager knows.
#[derive(Debug, Default)]
pub struct Manager {
    /// Service id to its condition.
    pub services: BTreeMap<String, Service>,
    /// Service id to the node it was told to go to.
    moves: BTreeMap<String, String>,
    scheduled: bool,
    known: bool,
    /// Whether there ever was something to manage.
    worked: bool,
}

/// A managed guest.
#[derive(Debug, Clone)]
pub struct Service {
    /// `started`, `stopped`, `queued`, `migrate`, `error` …
    pub state: String,
    /// Its node.
    pub node: String,
}

impl Cluster {
    /// HA resources, as configured.
    #[must_use]
    pub fn ha_resources(&self) -> Vec<Section> {
        section_config::parse(self.files.read(RESOURCES))
    }

    /// The configured resource of a guest, ignored ones included.
    #[must_use]
    pub fn ha_resource(&self, guest: &Guest) -> Option<Section> {
        let vmid = guest.vmid.to_string();
        // Lists ask this of every guest; most of them are not even named in the file.
        if !self.files.read(RESOURCES).contains(&vmid) {
            return None;
        }
        self.ha_resources()
            .into_iter()
            .find(|section| section.kind == guest.kind.service() && section.id == vmid)
    }

    /// Whether the manager decides about a guest: configured, and not ignored.
    #[must_use]
    pub fn ha_managed(&self, guest: &Guest) -> bool {
        self.ha_resource(guest)
            .is_some_and(|section| section.get("state") != Some("ignored"))
    }

    /// Whether the manager is at work: there is something to manage, or there was.
    #[must_use]
    pub fn ha_active(&self) -> bool {
        self.ha.worked || !self.ha_resources().is_empty()
    }

    /// Whether the manager has worked on a service.
    #[must_use]
    pub fn ha_knows(&self, sid: &str) -> bool {
        self.ha.services.contains_key(sid)
    }

    /// A guest's state as the manager last had it.
    #[must_use]
    pub fn ha_state(&self, guest: &Guest) -> Option<String> {
        let section = self
            .ha_resource(guest)
            .filter(|section| section.get("state") != Some("ignored"))?;
        let sid = format!("{}:{}", section.kind, section.id);
        match self.ha.services.get(&sid) {
            Some(service) => Some(service.state.clone()),
            None if self.ha.known => Some("queued".into()),
            None => Some(settled(self, guest, &section)),
        }
    }

    /// Requests a state (`started`, `stopped`) of a managed guest, as `ha-manager set --state` does.
    pub fn ha_request(&mut self, guest: &Guest, state: &str) {
        let mut sections = self.ha_resources();
        let vmid = guest.vmid.to_string();
        if let Some(section) = sections
            .iter_mut()
            .find(|section| section.kind == guest.kind.service() && section.id == vmid)
        {
            section.set("state", state);
            self.files.set(RESOURCES, section_config::print(&sections));
        }
        self.ha_wake();
    }

    /// Requests a move of a managed guest.
    pub fn ha_move(&mut self, guest: &Guest, target: &str) {
        self.ha.moves.insert(
            format!("{}:{}", guest.kind.service(), guest.vmid),
            target.to_owned(),
        );
        self.ha_wake();
    }

    /// Makes the manager look at its configuration at its next round.
    pub fn ha_wake(&mut self) {
        self.ha_learn();
        if !self.ha.scheduled {
            self.ha.scheduled = true;
            self.after(ROUND, round);
        }
    }

    /// Before its first round the manager knows services as they are.
    fn ha_learn(&mut self) {
        if self.ha.known {
            return;
        }
        self.ha.known = true;
        for section in self.ha_resources() {
            if let Some(guest) =
                guest_of(self, &section).filter(|_| section.get("state") != Some("ignored"))
            {
                let state = settled(self, &guest, &section);
                self.ha.services.insert(
                    sid(&section),
                    Service {
                        state,
                        node: guest.node,
                    },
                );
            }
        }
    }
}

fn sid(section: &Section) -> String {
    format!("{}:{}", section.kind, section.id)
}

fn guest_of(cluster: &Cluster, section: &Section) -> Option<Guest> {
    let guest = cluster.guest(section.id.parse().ok()?)?;
    (guest.kind.service() == section.kind).then_some(guest)
}

fn wants_running(section: &Section) -> bool {
    matches!(section.get("state"), None | Some("started" | "enabled"))
}

fn settled(cluster: &Cluster, guest: &Guest, section: &Section) -> String {
    match (
        wants_running(section),
        cluster.running.contains_key(&guest.vmid),
    ) {
        (true, _) => "started".into(),
        (false, true) => "request_stop".into(),
        (false, false) => "stopped".into(),
    }
}

fn round(cluster: &mut Cluster) {
    cluster.ha.worked |= !cluster.ha_resources().is_empty();
    cluster.ha.scheduled = false;
    let sections = cluster.ha_resources();
    let wanted: Vec<String> = sections
        .iter()
        .filter(|section| section.get("state") != Some("ignored"))
        .map(sid)
        .collect();
    cluster.ha.services.retain(|sid, _| wanted.contains(sid));
    for section in sections
        .into_iter()
        .filter(|section| section.get("state") != Some("ignored"))
    {
        let Some(guest) = guest_of(cluster, &section) else {
            continue;
        };
        let online = cluster
            .nodes
            .get(&guest.node)
            .is_some_and(|node| node.online);
        let id = sid(&section);
        let state = match cluster.ha.moves.remove(&id) {
            _ if !online => "fence".to_owned(),
            Some(target)
                if target != guest.node
                    && cluster.nodes.get(&target).is_some_and(|node| node.online) =>
            {
                let (id, moving) = (id.clone(), guest.clone());
                cluster.after(MOVE, move |cluster| {
                    finish_move(cluster, &id, &moving, &target)
                });
                "migrate".to_owned()
            }
            _ => follow(cluster, &guest, &section),
        };
        cluster.ha.services.insert(
            id,
            Service {
                state,
                node: guest.node,
            },
        );
    }
}

fn follow(cluster: &mut Cluster, guest: &Guest, section: &Section) -> String {
    let running = cluster.running.contains_key(&guest.vmid);
    let (done, state) = match (wants_running(section), running) {
        (true, false) => (super::guest::power_on(cluster, guest), "started"),
        (false, true) => (super::guest::power_off(cluster, guest), "stopped"),
        (true, true) => (Ok(()), "started"),
        (false, false) => (Ok(()), "stopped"),
    };
    if done.is_ok() {
        state.to_owned()
    } else {
        "error".to_owned()
    }
}

fn finish_move(cluster: &mut Cluster, id: &str, guest: &Guest, target: &str) {
    let moved = super::guest::relocate(cluster, guest, target);
    let running = cluster.running.contains_key(&guest.vmid);
    let node = if moved.is_ok() {
        target.to_owned()
    } else {
        guest.node.clone()
    };
    let state = if running { "started" } else { "stopped" };
    cluster.ha.services.insert(
        id.to_owned(),
        Service {
            state: state.to_owned(),
            node,
        },
    );
}
