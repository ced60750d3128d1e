//! The guests' configurations: what is in force, what is pending, and every snapshot (rule G6). Both sections come from one
//! answer, `/pending`, so that they belong to one digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::nodes::{name_of, template_of};
use super::reads::Reads;
use super::{Observation, Why, each, json};
use crate::ids::{GuestKind, NodeName, Vmid};
use crate::proxmox::{ApiError, Call};
use crate::world::model::{Guest, GuestConfig, Part, Pending, Section, Snapshot};

/// What the API adds to a configuration, or what stands in other fields of the model.
const READ_ONLY: &[&str] = &[
    "digest",
    "lock",
    "parent",
    "pending",
    "snaptime",
    "snapstate",
    "special-sections",
    "runningcpu",
    "runningmachine",
    "running-nets-host-mtu",
];

/// Where to find a guest.
#[derive(Clone)]
pub(in crate::world) struct Place {
    pub(in crate::world) node: NodeName,
    pub(in crate::world) kind: GuestKind,
    pub(in crate::world) vmid: Vmid,
}

impl Place {
    pub(in crate::world) fn of(guest: &Guest) -> Self {
        Self {
            node: guest.node.clone(),
            kind: guest.kind,
            vmid: guest.vmid,
        }
    }

    fn call(&self, rest: &[&str]) -> Call {
        let vmid = self.vmid.to_string();
        let mut components = vec!["nodes", self.node.as_str(), self.kind.api(), vmid.as_str()];
        components.extend_from_slice(rest);
        Call::get(components)
    }
}

/// What was read of one guest.
struct GuestRead {
    vmid: Vmid,
    config: Result<GuestConfig, Why>,
    /// `None`: not asked for.
    snapshots: Option<Result<BTreeMap<String, Snapshot>, Why>>,
}

impl Observation<'_> {
    pub(super) async fn guests(&mut self) {
        let mut places = Vec::new();
        let mut lost = Vec::new();
        for guest in self.world.guests.values() {
            match self.lost.get(&guest.node) {
                Some(why) => lost.push((guest.vmid, on_lost_node(&guest.node, why))),
                None => places.push(Place::of(guest)),
            }
        }
        for (vmid, why) in lost {
            self.guest_unread(vmid, why);
        }
        self.read_guests(places).await;
    }

    /// Reads the configurations of these guests only.
    pub(in crate::world) async fn some_guests(&mut self, vmids: &BTreeSet<Vmid>) {
        let places = vmids
            .iter()
            .filter_map(|vmid| self.world.guests.get(vmid))
            .map(|guest| Place::of(guest));
        self.read_guests(places.collect()).await;
    }

    async fn read_guests(&mut self, places: Vec<Place>) {
        let reads = self.reads.clone();
        let with_snapshots = self.settings.snapshots;
        for read in each(places, |place| read(reads.clone(), place, with_snapshots)).await {
            self.guest_read(read);
        }
    }

    /// Marks a guest's configuration as unread.
    pub(in crate::world) fn guest_unread(&mut self, vmid: Vmid, why: Why) {
        self.mark(Part::GuestConfig(vmid), Err(why.clone()));
        self.mark(Part::GuestSnapshots(vmid), Err(why));
    }

    fn guest_read(&mut self, read: GuestRead) {
        let GuestRead {
            vmid,
            config,
            snapshots,
        } = read;
        let mut whole = GuestConfig::default();
        let part = config.map(|config| whole = config);
        self.mark(Part::GuestConfig(vmid), part);
        if let Some(snapshots) = snapshots {
            let part = snapshots.map(|snapshots| whole.snapshots = snapshots);
            self.mark(Part::GuestSnapshots(vmid), part);
        }
        if let Some(guest) = self.world.guests.get_mut(&vmid) {
            let guest = Arc::make_mut(guest);
            guest.template = template_of(&whole).unwrap_or(guest.template);
            if let Some(name) = name_of(guest.kind, &whole) {
                guest.name = Some(name.to_owned());
            }
            guest.config = whole;
        }
    }
}

/// Why nothing is known of a guest's configuration while its node is lost.
pub(in crate::world) fn on_lost_node(node: &NodeName, why: &str) -> Why {
    format!("node {node}: {why}")
}

/// The digest that a guest's configuration has now, from the cheapest answer that has one.
pub(in crate::world) async fn digest(
    reads: Reads,
    place: Place,
) -> (Place, Result<String, ApiError>) {
    let list = reads.data(place.call(&["pending"])).await;
    let digest = list.map(|list| {
        json::items(&list)
            .find(|item| item.get("key").and_then(Value::as_str) == Some("digest"))
            .and_then(|item| json::text(item, "value"))
            .unwrap_or_default()
    });
    (place, digest)
}

/// Whether the list of a guest's snapshots can be read.
pub(in crate::world) async fn has_snapshot_list(
    reads: Reads,
    place: Place,
) -> (Place, Result<(), ApiError>) {
    let list = reads.data(place.call(&["snapshot"])).await;
    (place, list.map(|_| ()))
}

/// Reads a guest; once more from the start if it changed meanwhile.
async fn read(reads: Reads, place: Place, with_snapshots: bool) -> GuestRead {
    let mut last = read_once(&reads, &place, with_snapshots).await;
    if matches!(last, Err(Changed)) {
        last = read_once(&reads, &place, with_snapshots).await;
    }
    last.unwrap_or_else(|Changed| {
        let why = "it kept changing while it was read".to_owned();
        GuestRead {
            vmid: place.vmid,
            config: Err(why.clone()),
            snapshots: with_snapshots.then_some(Err(why)),
        }
    })
}

/// The digest was another one in a later answer.
#[derive(Debug)]
struct Changed;

async fn read_once(
    reads: &Reads,
    place: &Place,
    with_snapshots: bool,
) -> Result<GuestRead, Changed> {
    let mut config = match reads.data(place.call(&["pending"])).await {
        Ok(list) => parse_pending(&list),
        Err(error) => Err(error.to_string()),
    };
    if place.kind == GuestKind::Lxc
        && let Ok(read) = &mut config
    {
        match reads.data(place.call(&["config"])).await {
            Ok(answer)
                if json::text(&answer, "digest").is_some_and(|digest| digest != read.digest) =>
            {
                return Err(Changed);
            }
            Ok(answer) => raw_lxc(&answer, &mut read.current),
            Err(error) => config = Err(error.to_string()),
        }
    }
    let snapshots = if with_snapshots {
        let digest = config.as_ref().ok().map(|config| config.digest.clone());
        Some(snapshots(reads, place, digest.as_deref()).await?)
    } else {
        None
    };
    Ok(GuestRead {
        vmid: place.vmid,
        config,
        snapshots,
    })
}

/// Current and pending of `/pending`: a list of key, value, pending value, and whether the key is to be deleted.
fn parse_pending(list: &Value) -> Result<GuestConfig, Why> {
    let mut config = GuestConfig::default();
    for item in json::items(list) {
        let Some(key) = json::text(item, "key") else {
            continue;
        };
        let value = json::text(item, "value");
        if key == "digest" {
            config.digest = value.unwrap_or_default();
            continue;
        }
        if READ_ONLY.contains(&key.as_str()) {
            continue;
        }
        let delete = json::integer(item, "delete").unwrap_or(0);
        if delete > 0 {
            config.pending.push(Pending {
                key: key.clone(),
                value: None,
                force: delete == 2,
            });
        } else if let Some(pending) = json::text(item, "pending") {
            config.pending.push(Pending {
                key: key.clone(),
                value: Some(pending),
                force: false,
            });
        }
        if let Some(value) = value {
            config.current.insert(key, value);
        }
    }
    config.pending.sort_by(|a, b| a.key.cmp(&b.key));
    if config.current.is_empty() {
        return Err("Proxmox VE gave an empty configuration, which no guest has".to_owned());
    }
    if config.digest.is_empty() {
        return Err(
            "Proxmox VE gave it without a digest, so nobody would notice if it changed between plan and run"
                .to_owned(),
        );
    }
    Ok(config)
}

/// A container's raw `lxc.*` lines, which only `/config` gives, as pairs. Several of one name are joined by line breaks.
fn raw_lxc(answer: &Value, section: &mut Section) {
    for pair in answer.get("lxc").into_iter().flat_map(json::items) {
        let (Some(key), Some(value)) = (
            pair.get(0).and_then(Value::as_str),
            pair.get(1).and_then(json::flat),
        ) else {
            continue;
        };
        section
            .entry(key.to_owned())
            .and_modify(|lines| {
                lines.push('\n');
                lines.push_str(&value);
            })
            .or_insert(value);
    }
}

async fn snapshots(
    reads: &Reads,
    place: &Place,
    digest: Option<&str>,
) -> Result<Result<BTreeMap<String, Snapshot>, Why>, Changed> {
    let list = match reads.data(place.call(&["snapshot"])).await {
        Ok(list) => list,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut read = BTreeMap::new();
    for item in json::items(&list) {
        let Some(name) = json::text(item, "name") else {
            continue;
        };
        if name == "current" {
            let now = json::text(item, "digest");
            if digest.is_some() && now.is_some() && now.as_deref() != digest {
                return Err(Changed);
            }
            continue;
        }
        let section = match reads.data(place.call(&["snapshot", &name, "config"])).await {
            Ok(section) => json::section(&section, READ_ONLY),
            Err(error) => return Ok(Err(format!("snapshot {name}: {error}"))),
        };
        if section.is_empty() {
            return Ok(Err(format!(
                "Proxmox VE gave an empty configuration for snapshot {name}"
            )));
        }
        let snapshot = Snapshot {
            parent: json::text(item, "parent"),
            taken: json::integer(item, "snaptime"),
            state: json::text(item, "snapstate"),
            section,
        };
        read.insert(name, snapshot);
    }
    Ok(Ok(read))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_has_its_digest() {
        let list = json!([{"key": "digest", "value": "ab01"}, {"key": "cores", "value": 2}]);
        let read = parse_pending(&list).unwrap();
        assert_eq!(read.digest, "ab01");
        assert_eq!(read.current.get("cores").map(String::as_str), Some("2"));
    }

    #[test]
    fn a_configuration_without_a_digest_is_not_read() {
        let why = parse_pending(&json!([{"key": "cores", "value": 2}])).unwrap_err();
        assert!(why.contains("without a digest"), "{why}");
    }

    #[test]
    fn an_empty_configuration_is_not_read() {
        let why = parse_pending(&json!([{"key": "digest", "value": "ab01"}])).unwrap_err();
        assert!(why.contains("empty configuration"), "{why}");
    }
}
