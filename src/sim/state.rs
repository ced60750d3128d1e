//! The simulated cluster: raw configuration text, volumes, what runs, tasks, and time. One lock guards it all.
//!
//! Handlers get `&mut Cluster`. What Proxmox VE derives from its files is derived from the files here too, each time.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Clock;
use super::faults::Faults;
use super::files::Files;
use super::tasks::Tasks;
use super::volumes::{Capacity, Volumes};

/// The kinds of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

impl GuestKind {
    /// `qemu` or `lxc`, as in API paths.
    #[must_use]
    pub fn api(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// `vm` or `ct`, as in HA service ids.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Qemu => "vm",
            Self::Lxc => "ct",
        }
    }

    /// The configuration directory's name.
    #[must_use]
    pub fn directory(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-server",
            Self::Lxc => "lxc",
        }
    }
}

/// Where a guest is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest {
    /// Its number.
    pub vmid: u32,
    /// What it is.
    pub kind: GuestKind,
    /// The node that has its configuration.
    pub node: String,
}

impl Guest {
    /// The path of its configuration file below `/etc/pve`.
    #[must_use]
    pub fn file(&self) -> String {
        config_path(&self.node, self.kind, self.vmid)
    }
}

/// The path of a guest's configuration file below `/etc/pve`.
#[must_use]
pub fn config_path(node: &str, kind: GuestKind, vmid: u32) -> String {
    format!("nodes/{node}/{}/{vmid}.conf", kind.directory())
}

/// A node's hardware and condition.
#[derive(Debug, Clone)]
pub struct Node {
    /// Number in the cluster, from 1.
    pub id: u32,
    /// Address.
    pub ip: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Root file system's size in bytes.
    pub disk: u64,
    /// Quorum votes.
    pub votes: u32,
    /// Whether it is up; a request to a node that is down fails.
    pub online: bool,
    /// UNIX time of its boot.
    pub booted: i64,
    /// Bridges that exist besides those in its `interfaces` file.
    pub bridges: Vec<String>,
}

/// A running guest.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// UNIX time of its start.
    pub since: i64,
    /// Whether its CPUs are stopped.
    pub paused: bool,
    /// Process number.
    pub pid: u32,
    /// Whatever the guest rooms remember about the running process (values in use while others are pending).
    pub live: BTreeMap<String, String>,
}

/// The whole simulated cluster.
pub struct Cluster {
    /// The cluster's name; empty for a lone node.
    pub name: String,
    /// Which version it is.
    pub edition: super::viewer::Edition,
    /// Time.
    pub clock: Clock,
    /// Configuration.
    pub files: Files,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Sizes of storages, by storage and node (`""` for all nodes).
    pub capacities: BTreeMap<String, Capacity>,
    /// Volumes of all storages.
    pub volumes: Volumes,
    /// What addresses serve that nodes download from.
    pub downloads: BTreeMap<String, super::downloads::Download>,
    /// Running guests.
    pub running: BTreeMap<u32, Run>,
    /// Tasks.
    pub tasks: Tasks,
    /// What is told to go wrong.
    pub faults: Faults,
    /// The SHA-256 of the certificate that is served, as `AA:BB:…`; all nodes have the same.
    pub fingerprint: String,
    /// Whether a fault took the quorum away.
    pub(super) split: bool,
    /// Nodes that a fault took out of reach.
    pub(super) cut_off: BTreeSet<String>,
    /// Nodes whose rules let nobody in, as long as the datacenter's firewall is on.
    pub(super) shut: BTreeSet<String>,
    /// What was done, by whom: `PUT /storage/nfs` or `qmcreate 9000 on pve1`, with how often. Calls that were refused and tasks that
    /// failed did nothing.
    pub effects: BTreeMap<String, BTreeMap<String, u32>>,
    /// Secrets of tokens, by full token id.
    pub secrets: BTreeMap<String, String>,
    /// Passwords of users, by user id.
    pub passwords: BTreeMap<String, String>,
    /// Every how many simulated seconds nodes publish what `/cluster/resources` says of guests; 0 for always fresh.
    pub broadcast: f64,
    /// What the answer under way has beside `data` (`total`, `changes`).
    pub extra: BTreeMap<String, serde_json::Value>,
    pub(super) sessions: super::auth::Sessions,
    pub(super) published: super::resources::Published,
    pub(super) users: super::users::Cache,
    pub(super) ha: super::ha::Manager,
    pub(super) random: u64,
}

impl Cluster {
    /// Where the guest with this number is.
    #[must_use]
    pub fn guest(&self, vmid: u32) -> Option<Guest> {
        self.nodes.keys().find_map(|node| {
            [GuestKind::Qemu, GuestKind::Lxc]
                .into_iter()
                .find(|kind| self.files.get(&config_path(node, *kind, vmid)).is_some())
                .map(|kind| Guest {
                    vmid,
                    kind,
                    node: node.clone(),
                })
        })
    }

    /// Every guest, by number.
    #[must_use]
    pub fn guests(&self) -> Vec<Guest> {
        let mut guests: Vec<Guest> = self
            .files
            .under("nodes/")
            .filter_map(|(path, _)| guest_of(path))
            .collect();
        guests.sort();
        guests
    }

    /// Every VMID in use.
    #[must_use]
    pub fn vmids(&self) -> BTreeSet<u32> {
        self.guests().into_iter().map(|guest| guest.vmid).collect()
    }

    /// Whether more than half of the votes are there. A lone node has no need of others.
    #[must_use]
    pub fn quorate(&self) -> bool {
        let votes = |online: bool| -> u32 {
            let nodes = self.nodes.values().filter(|node| node.online || !online);
            nodes.map(|node| node.votes).sum()
        };
        self.name.is_empty() || (!self.split && votes(true) * 2 > votes(false))
    }

    /// The cluster loses its quorum for so long, every node staying up.
    pub fn lose_quorum(&mut self, span: super::faults::Span) {
        self.split = true;
        if let Some(seconds) = span {
            self.after(seconds, |cluster| cluster.split = false);
        }
    }

    /// A node goes out of reach for so long; what runs there goes on.
    pub fn cut_off(&mut self, node: &str, span: super::faults::Span) {
        let Some(found) = self.nodes.get_mut(node).filter(|node| node.online) else {
            return;
        };
        found.online = false;
        self.cut_off.insert(node.to_owned());
        if let Some(seconds) = span {
            let node = node.to_owned();
            self.after(seconds, move |cluster| cluster.within_reach(&node));
        }
    }

    fn within_reach(&mut self, node: &str) {
        if self.cut_off.remove(node)
            && let Some(found) = self.nodes.get_mut(node)
        {
            found.online = true;
        }
    }

    /// A node's rules let nobody in for so long.
    pub fn shut(&mut self, node: &str, span: super::faults::Span) {
        self.shut.insert(node.to_owned());
        if let Some(seconds) = span {
            let node = node.to_owned();
            self.after(seconds, move |cluster| {
                cluster.shut.remove(&node);
            });
        }
    }

    /// Whether a node takes new connections at its own address.
    pub(super) fn lets_in(&self, node: &str) -> bool {
        let there = self.nodes.get(node).is_some_and(|node| node.online);
        there && !(self.shut.contains(node) && super::firewall::is_on(self))
    }

    /// Forgets every fault, and ends those that last.
    pub fn forget_faults(&mut self) {
        self.shut.clear();
        self.faults.clear();
        self.split = false;
        for node in std::mem::take(&mut self.cut_off) {
            self.cut_off.insert(node.clone());
            self.within_reach(&node);
        }
    }

    /// Counts something that was done.
    pub(super) fn count_effect(&mut self, who: &str, what: String) {
        let effects = self.effects.entry(who.to_owned()).or_default();
        *effects.entry(what).or_default() += 1;
    }

    /// Tells the cluster what is to go wrong; a lock is set at once.
    pub fn tell(&mut self, fault: super::faults::Fault) {
        let super::faults::What::Lock {
            name,
            vmid,
            seconds,
        } = &fault.what
        else {
            self.faults.add(fault);
            return;
        };
        let Some(guest) = self.guest(*vmid) else {
            return;
        };
        let path = guest.file();
        let text = self.files.read(&path).to_owned();
        self.files.set(path, with_lock(&text, Some(name)));
        let vmid = *vmid;
        let Some(seconds) = *seconds else {
            return;
        };
        self.after(seconds, move |cluster| {
            if let Some(guest) = cluster.guest(vmid) {
                let text = cluster.files.read(&guest.file()).to_owned();
                cluster.files.set(guest.file(), with_lock(&text, None));
            }
        });
    }

    /// A new pseudo-random number; the sequence depends on the world's seed only, so runs repeat.
    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A new MAC address with the cluster's prefix.
    pub fn random_mac(&mut self) -> String {
        let prefix = super::options::value(self.files.read("datacenter.cfg"), "mac_prefix")
            .unwrap_or_else(|| "BC:24:11".into());
        let bits = self.random();
        format!(
            "{prefix}:{:02X}:{:02X}:{:02X}",
            bits as u8,
            (bits >> 8) as u8,
            (bits >> 16) as u8
        )
    }

    /// A new UUID.
    pub fn random_uuid(&mut self) -> String {
        let (high, low) = (self.random(), self.random());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            .into_uuid()
            .to_string()
    }
}

/// A guest's configuration with this lock in its first section, or without any.
#[must_use]
pub fn with_lock(text: &str, lock: Option<&str>) -> String {
    let split = if text.starts_with('[') {
        0
    } else {
        text.find("\n[").map_or(text.len(), |at| at + 1)
    };
    let (main, rest) = text.split_at(split);
    let mut lines: Vec<String> = main
        .lines()
        .filter(|line| !line.starts_with("lock:"))
        .map(str::to_owned)
        .collect();
    if let Some(lock) = lock {
        let end = lines
            .iter()
            .rposition(|line| !line.trim().is_empty())
            .map_or(0, |at| at + 1);
        lines.insert(end, format!("lock: {lock}"));
    }
    let mut main = lines.join("\n");
    main.push('\n');
    format!("{main}{rest}")
}

fn guest_of(path: &str) -> Option<Guest> {
    let mut parts = path.strip_prefix("nodes/")?.split('/');
    let node = parts.next()?.to_owned();
    let kind = match parts.next()? {
        "qemu-server" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ => return None,
    };
    let vmid = parts.next()?.strip_suffix(".conf")?.parse().ok()?;
    Some(Guest { vmid, kind, node })
}
