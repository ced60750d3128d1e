//! What got worse in a simulated cluster, read from its files and processes: no code of the planner, of health or of the world is
//! used here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick::sim::state::Cluster;
use bailiwick::sim::users::UserConfig;

use crate::packets::{self, Attempt, Open};

/// A cluster as it is.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub guests: BTreeMap<u32, Guest>,
    pub storages: BTreeMap<String, BTreeMap<String, String>>,
    pub pools: BTreeMap<String, BTreeSet<u32>>,
    volumes: BTreeSet<String>,
    /// ISO images and container templates, by node.
    files: BTreeSet<(String, String)>,
    backups: BTreeMap<u32, usize>,
    /// Jobs that back a guest up.
    covered: BTreeMap<u32, BTreeSet<String>>,
    /// Nodes that a job keeps copies of a guest on.
    copies: BTreeMap<u32, BTreeSet<String>>,
    managed: BTreeSet<u32>,
    /// Who there is and what they may do, by the simulator's own reckoning.
    users: Arc<UserConfig>,
    /// What gets through the firewalls.
    open: Open,
    /// What each realm checks logins by.
    realms: BTreeMap<String, BTreeMap<String, String>>,
}

/// A guest as it is.
#[derive(Debug, Clone)]
pub struct Guest {
    /// `vm` or `ct`.
    pub kind: &'static str,
    pub node: String,
    pub pid: Option<u32>,
    pub config: BTreeMap<String, String>,
    snapshots: usize,
    wont_start: Option<String>,
}

/// Something that got worse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// `vm/104`.
    pub who: String,
    pub what: String,
    /// The categories of impacts that name it.
    pub named: &'static [&'static str],
    /// What such an impact has to say besides.
    pub said: Vec<String>,
    /// What a cause of such an impact has to say: the verb, and of whom.
    pub attempt: Option<(&'static str, Attempt)>,
    /// What a cause of such an impact begins with.
    pub cause: Option<String>,
}

/// Section-config files: `type: id`, then lines with a tabulator.
fn sections(text: &str) -> Vec<(String, String, BTreeMap<String, String>)> {
    let mut all: Vec<(String, String, BTreeMap<String, String>)> = Vec::new();
    for line in text.lines() {
        if let Some(option) = line.strip_prefix(['\t', ' ']) {
            let (key, value) = option.trim().split_once(' ').unwrap_or((option.trim(), ""));
            let (_, _, last) = all.last_mut().unwrap();
            last.insert(key.to_owned(), value.to_owned());
        } else if let Some((kind, id)) = line.split_once(": ") {
            all.push((kind.to_owned(), id.to_owned(), BTreeMap::new()));
        }
    }
    all
}

fn list(text: &str) -> BTreeSet<u32> {
    text.split(',')
        .filter_map(|id| id.trim().parse().ok())
        .collect()
}

fn is_slot(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    [
        "scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "rootfs", "mp",
    ]
    .contains(&stem)
        && (stem == "rootfs" || stem.len() < key.len())
}

/// The volume of a disk or mount point.
fn volume(value: &str) -> Option<&str> {
    let first = value.split(',').next()?;
    let first = first
        .strip_prefix("file=")
        .or(first.strip_prefix("volume="))
        .unwrap_or(first);
    first.contains(':').then_some(first)
}

impl Guest {
    /// Disks and mount points with their volumes, media left out.
    pub fn disks(&self) -> BTreeMap<&str, &str> {
        self.config
            .iter()
            .filter(|(key, value)| is_slot(key) && !value.contains("media=cdrom"))
            .filter_map(|(key, value)| Some((key.as_str(), volume(value)?)))
            .collect()
    }

    /// What is in CD drives.
    fn media(&self) -> BTreeMap<&str, &str> {
        let lines = self.config.iter();
        lines
            .filter(|(key, value)| is_slot(key) && value.contains("media=cdrom"))
            .filter_map(|(key, value)| Some((key.as_str(), volume(value)?)))
            .filter(|(_, volume)| volume.contains(":iso/"))
            .collect()
    }

    fn detached(&self) -> impl Iterator<Item = &str> {
        let lines = self.config.iter();
        lines
            .filter(|(key, _)| key.starts_with("unused"))
            .filter_map(|(_, value)| volume(value))
    }

    fn cards(&self) -> BTreeMap<&str, &str> {
        let lines = self.config.iter().filter(|(key, _)| key.starts_with("net"));
        lines
            .filter_map(|(key, value)| {
                let bridge = value
                    .split(',')
                    .find_map(|part| part.strip_prefix("bridge="))?;
                Some((key.as_str(), bridge))
            })
            .collect()
    }
}

impl Seen {
    /// Reads a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        let mut seen = Self::default();
        for (kind, id, mut options) in sections(cluster.files.read("storage.cfg")) {
            options.insert("type".to_owned(), kind);
            seen.storages.insert(id, options);
        }
        for line in cluster.files.read("user.cfg").lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let ["pool", id, _, guests, ..] = fields[..] {
                seen.pools.insert(id.to_owned(), list(guests));
            }
        }
        for volume in cluster.volumes.iter() {
            seen.volumes.insert(volume.volid.clone());
            if volume.volid.contains(":iso/") || volume.volid.contains(":vztmpl/") {
                seen.files
                    .insert((volume.node.clone(), volume.volid.clone()));
            }
            if let (Some(owner), true) = (volume.owner(), volume.volid.contains(":backup/")) {
                *seen.backups.entry(owner).or_default() += 1;
            }
        }
        for (path, _) in cluster.files.under("nodes/") {
            seen.read_guest(cluster, path);
        }
        for (_, id, options) in sections(cluster.files.read("ha/resources.cfg")) {
            if options.get("state").is_none_or(|state| state != "ignored") {
                seen.managed.insert(id.parse().unwrap());
            }
        }
        for (kind, id, options) in sections(cluster.files.read("jobs.cfg")) {
            if kind == "vzdump" {
                seen.read_job(&id, &options);
            }
        }
        for (_, id, options) in sections(cluster.files.read("replication.cfg")) {
            let vmid: u32 = id.split('-').next().unwrap().parse().unwrap();
            let works = !options.contains_key("remove_job")
                && options.get("disable").is_none_or(|flag| flag == "0");
            if works && seen.guests.contains_key(&vmid) {
                let target = options["target"].clone();
                seen.copies.entry(vmid).or_default().insert(target);
            }
        }
        for (_, id, mut options) in sections(cluster.files.read("domains.cfg")) {
            options.retain(|key, _| key != "comment");
            seen.realms.insert(id, options);
        }
        seen.users = cluster.read_users();
        let nodes: Vec<String> = cluster.nodes.keys().map(ToString::to_string).collect();
        let guests = seen.guests.iter();
        let guests = guests.map(|(vmid, guest)| (*vmid, (guest.kind, &guest.config)));
        seen.open = packets::open(cluster, &nodes, &guests.collect());
        seen
    }

    fn read_guest(&mut self, cluster: &Cluster, path: &str) {
        let parts: Vec<&str> = path.split('/').collect();
        let ["nodes", node, folder @ ("qemu-server" | "lxc"), file] = parts[..] else {
            return;
        };
        let Some(vmid) = file
            .strip_suffix(".conf")
            .and_then(|id| id.parse::<u32>().ok())
        else {
            return;
        };
        let text = cluster.files.read(path);
        let main = text.split("\n[").next().unwrap_or_default();
        let config = main.lines().filter_map(|line| line.split_once(": "));
        let headers = text.lines().filter(|line| line.starts_with('['));
        let mut guest = Guest {
            kind: if folder == "lxc" { "ct" } else { "vm" },
            node: node.to_owned(),
            pid: cluster.running.get(&vmid).map(|run| run.pid),
            config: config
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            snapshots: headers
                .filter(|line| !line.contains("PENDING") && !line.contains("special:"))
                .count(),
            wont_start: None,
        };
        let bridges = &cluster.nodes[node].bridges;
        guest.wont_start = self.obstacle(&guest, bridges);
        self.guests.insert(vmid, guest);
    }

    /// Why a guest could not be started now.
    fn obstacle(&self, guest: &Guest, bridges: &[String]) -> Option<String> {
        for (slot, volume) in guest.disks() {
            let storage = volume.split(':').next().unwrap_or_default();
            if let Err(why) = self.usable(
                storage,
                &guest.node,
                if guest.kind == "vm" {
                    "images"
                } else {
                    "rootdir"
                },
            ) {
                return Some(format!("{slot}: {why}"));
            }
            if !self.volumes.contains(volume) {
                return Some(format!("{slot}: {volume} is gone"));
            }
        }
        for (slot, file) in guest.media() {
            if !self.has(&guest.node, file) {
                return Some(format!("{slot}: {file} is gone"));
            }
        }
        let missing = guest
            .cards()
            .into_iter()
            .find(|(_, bridge)| !bridges.iter().any(|b| b == bridge));
        missing.map(|(card, bridge)| format!("{card}: {bridge} is not on {}", guest.node))
    }

    /// Whether a node has a file; on this world's storages for them each node has its own.
    fn has(&self, node: &str, file: &str) -> bool {
        self.files.contains(&(node.to_owned(), file.to_owned()))
    }

    fn usable(&self, storage: &str, node: &str, content: &str) -> Result<(), String> {
        let options = self
            .storages
            .get(storage)
            .ok_or(format!("{storage} is gone"))?;
        let has = |key: &str, what: &str| {
            options
                .get(key)
                .is_none_or(|text| text.split(',').any(|one| one == what))
        };
        if options.contains_key("disable") {
            return Err(format!("{storage} is disabled"));
        }
        if !has("nodes", node) {
            return Err(format!("{storage} is not on {node}"));
        }
        if !has("content", content) {
            return Err(format!("{storage} does not hold {content}"));
        }
        Ok(())
    }

    fn read_job(&mut self, id: &str, options: &BTreeMap<String, String>) {
        if options.get("enabled").is_some_and(|enabled| enabled == "0") {
            return;
        }
        let mut guests = options
            .get("vmid")
            .map(|text| list(text))
            .unwrap_or_default();
        if let Some(members) = options.get("pool").and_then(|pool| self.pools.get(pool)) {
            guests.extend(members);
        }
        if options.contains_key("all") {
            guests.extend(self.guests.keys());
        }
        let target = options.get("storage").cloned().unwrap_or_default();
        for vmid in guests {
            let Some(guest) = self.guests.get(&vmid) else {
                continue;
            };
            if self.usable(&target, &guest.node, "backup").is_ok() {
                self.covered.entry(vmid).or_default().insert(id.to_owned());
            }
        }
    }

    /// Who may do less or more than before with guests and storages that are there before and after.
    fn privileges_changed(&self, now: &Self, losses: &mut BTreeSet<Loss>) {
        let guests = self
            .guests
            .keys()
            .filter(|vmid| now.guests.contains_key(vmid));
        let storages = self
            .storages
            .keys()
            .filter(|id| now.storages.contains_key(*id));
        let mut paths: Vec<String> = guests.map(|vmid| format!("/vms/{vmid}")).collect();
        paths.extend(storages.map(|id| format!("/storage/{id}")));
        let (was, is) = (&self.users, &now.users);
        if was == is {
            return;
        }
        let ids = [was, is].map(|users| users.users.keys().chain(users.tokens.keys()));
        for id in ids.into_iter().flatten().collect::<BTreeSet<_>>() {
            let kind = if id.contains('!') { "token" } else { "user" };
            for path in &paths {
                let held = |users: &UserConfig| -> BTreeSet<String> {
                    // Who is not there has nothing.
                    if !users.users.contains_key(id) && !users.tokens.contains_key(id) {
                        return BTreeSet::new();
                    }
                    users.privileges(id, path).into_keys().collect()
                };
                let (was, is) = (held(was), held(is));
                let changes = [
                    (&was - &is, "loses", &["loses-privilege"]),
                    (&is - &was, "gains", &["gains-privilege"]),
                ];
                // One by one: part of it may be so at the end, and part on the way only.
                for (names, word, named) in changes {
                    losses.extend(names.into_iter().map(|name| Loss {
                        who: format!("{kind}/{id}"),
                        what: format!("{word} {name} on {path}"),
                        named,
                        said: vec![name, path.clone()],
                        attempt: None,
                        cause: None,
                    }));
                }
            }
        }
    }

    /// Who logged in by a realm that is gone, or that checks otherwise.
    fn logins_changed(&self, now: &Self, losses: &mut BTreeSet<Loss>) {
        for user in self
            .users
            .users
            .keys()
            .filter(|id| now.users.users.contains_key(*id))
        {
            let (_, realm) = user.rsplit_once('@').unwrap();
            let (was, is) = (self.realms.get(realm), now.realms.get(realm));
            if was.is_some() && was != is {
                losses.insert(Loss {
                    who: format!("realm/{realm}"),
                    what: format!("{user} no longer logs in as before"),
                    named: &["loses-privilege"],
                    said: Vec::new(),
                    attempt: None,
                    cause: Some(format!("{user} ")),
                });
            }
        }
    }

    /// Nobody reached what was not there, nor has anybody lost it who is told that it goes.
    fn reach_changed(&self, now: &Self, losses: &mut BTreeSet<Loss>) {
        for (who, was) in &self.open {
            let Some(is) = now.open.get(who) else {
                continue;
            };
            let shut = was.iter().filter(|attempt| !is.contains(attempt));
            let opened = is.iter().filter(|attempt| !was.contains(attempt));
            let closed: &[&str] = &["lockout", "conditional-lockout", "unreachable", "unknown"];
            let changes = shut.map(|attempt| (attempt, "can no longer", closed));
            let opened = opened.map(|attempt| (attempt, "can now", &["exposed", "unknown"][..]));
            for (attempt, verb, named) in changes.chain(opened) {
                let (source, proto, port) = attempt;
                losses.insert(Loss {
                    who: who.clone(),
                    what: format!("{source} {verb} open {proto} {port}"),
                    named,
                    said: Vec::new(),
                    attempt: Some((verb, *attempt)),
                    cause: None,
                });
            }
        }
    }

    /// What is worse now than it was.
    pub fn losses(&self, now: &Self) -> BTreeSet<Loss> {
        let mut losses = BTreeSet::new();
        self.privileges_changed(now, &mut losses);
        self.reach_changed(now, &mut losses);
        self.logins_changed(now, &mut losses);
        for (node, file) in self.files.difference(&now.files) {
            losses.insert(Loss {
                who: format!("volume/{file}"),
                what: format!("the file is gone from {node}"),
                named: &["data-lost"],
                said: Vec::new(),
                attempt: None,
                cause: None,
            });
        }
        for (vmid, was) in &self.guests {
            let who = format!("{}/{vmid}", was.kind);
            let mut lost = |what: String, named: &'static [&'static str]| {
                losses.insert(Loss {
                    who: who.clone(),
                    what,
                    named,
                    said: Vec::new(),
                    attempt: None,
                    cause: None,
                });
            };
            let Some(is) = now.guests.get(vmid) else {
                lost("it is gone".to_owned(), &["data-lost", "irreversible"]);
                continue;
            };
            match (was.pid, is.pid) {
                (Some(_), None) => lost("it no longer runs".to_owned(), &["stopped"]),
                (Some(before), Some(after)) if before != after => {
                    lost("it was restarted".to_owned(), &["restarted", "stopped"]);
                }
                _ => {}
            }
            if let (None, Some(why)) = (&was.wont_start, &is.wont_start) {
                lost(
                    format!("it can no longer be started: {why}"),
                    // A data disk out of reach: `degraded`, with the note that it does not start so.
                    &["won't-boot", "may-not-boot", "stranded", "degraded"],
                );
            }
            self.disks_lost(was, is, now, &mut lost);
            let cards = is.cards();
            for (card, bridge) in was.cards() {
                if cards.get(card) != Some(&bridge) {
                    lost(format!("{card} is no longer on {bridge}"), &["unreachable"]);
                }
            }
            if is.snapshots < was.snapshots {
                lost("snapshots are gone".to_owned(), &["data-lost"]);
            }
            let (before, after) = (self.backups.get(vmid), now.backups.get(vmid));
            if after < before {
                lost(
                    format!("{before:?} backups became {after:?}"),
                    &["last-copy", "unprotected", "data-lost"],
                );
            }
            let none = BTreeSet::new();
            let jobs = now.covered.get(vmid).unwrap_or(&none);
            if jobs.is_empty() && self.covered.contains_key(vmid) {
                lost("no job backs it up".to_owned(), &["unprotected"]);
            }
            // A job turns round when its guest goes where the copy is: only that there is a copy less counts.
            let count = |seen: &Self| seen.copies.get(vmid).map_or(0, BTreeSet::len);
            if count(now) < count(self) {
                lost("a copy is no longer kept".to_owned(), &["unprotected"]);
            }
            let template = |guest: &Guest| guest.config.get("template").is_some_and(|t| t == "1");
            if template(is) && !template(was) {
                lost("it is a template now".to_owned(), &["irreversible"]);
            }
            if self.managed.contains(vmid) && !now.managed.contains(vmid) {
                lost(
                    "HA no longer keeps it".to_owned(),
                    &["not-highly-available"],
                );
            }
        }
        losses
    }

    fn disks_lost(
        &self,
        was: &Guest,
        is: &Guest,
        now: &Self,
        lost: &mut impl FnMut(String, &'static [&'static str]),
    ) {
        let disks = is.disks();
        let kept: BTreeSet<&str> = is.detached().collect();
        for (slot, volume) in was.disks() {
            // Moved to another storage, it is another volume in the same slot.
            if disks.contains_key(slot) || !self.volumes.contains(volume) {
                continue;
            }
            if now.volumes.contains(volume) && kept.contains(volume) {
                lost(
                    format!("{slot} is detached"),
                    &[
                        "degraded",
                        "won't-boot",
                        "may-not-boot",
                        "data-lost",
                        "orphaned",
                    ],
                );
            } else {
                lost(format!("{slot} is gone"), &["data-lost", "irreversible"]);
            }
        }
        for volume in was.detached() {
            if self.volumes.contains(volume) && !now.volumes.contains(volume) {
                lost(format!("{volume} is gone"), &["data-lost", "irreversible"]);
            }
        }
    }
}
