//! The guests' configurations: what is in force, what is pending, and every snapshot (rule G6). Both sections come from one
//! answer, `/pending`, so that they belong to one digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Observation, Why, data, each, json};
use crate::ids::{GuestKind, NodeName, Vmid};
use crate::proxmox::{Call, Client};
use crate::world::model::{GuestConfig, Part, Pending, Section, Snapshot};

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
struct Place {
    node: NodeName,
    kind: GuestKind,
    vmid: Vmid,
}

impl Place {
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
                Some(why) => lost.push((guest.vmid, format!("node {}: {why}", guest.node))),
                None => places.push(Place {
                    node: guest.node.clone(),
                    kind: guest.kind,
                    vmid: guest.vmid,
                }),
            }
        }
        for (vmid, why) in lost {
            self.mark(Part::GuestConfig(vmid), Err(why.clone()));
            self.mark(Part::GuestSnapshots(vmid), Err(why));
        }
        self.read_guests(places).await;
    }

    /// Reads the configurations of these guests only.
    pub(super) async fn some_guests(&mut self, vmids: &std::collections::BTreeSet<Vmid>) {
        let places = vmids
            .iter()
            .filter_map(|vmid| self.world.guests.get(vmid))
            .map(|guest| Place {
                node: guest.node.clone(),
                kind: guest.kind,
                vmid: guest.vmid,
            });
        self.read_guests(places.collect()).await;
    }

    async fn read_guests(&mut self, places: Vec<Place>) {
        let client = self.client.clone();
        let with_snapshots = self.settings.snapshots;
        for read in each(places, |place| read(client.clone(), place, with_snapshots)).await {
            self.guest_read(read);
        }
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
            let template = whole
                .current
                .get("template")
                .and_then(|text| crate::proxmox::property::boolean(text));
            guest.template = template.unwrap_or(guest.template);
            let key = match guest.kind {
                GuestKind::Qemu => "name",
                GuestKind::Lxc => "hostname",
            };
            guest.name = whole
                .current
                .get(key)
                .cloned()
                .or_else(|| guest.name.take());
            guest.config = whole;
        }
    }
}

/// Reads a guest; once more from the start if it changed meanwhile.
async fn read(client: Client, place: Place, with_snapshots: bool) -> GuestRead {
    let mut last = read_once(&client, &place, with_snapshots).await;
    if matches!(last, Err(Changed)) {
        last = read_once(&client, &place, with_snapshots).await;
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
    client: &Client,
    place: &Place,
    with_snapshots: bool,
) -> Result<GuestRead, Changed> {
    let mut config = match data(client, place.call(&["pending"])).await {
        Ok(list) => parse_pending(&list),
        Err(error) => Err(error.to_string()),
    };
    if place.kind == GuestKind::Lxc
        && let Ok(read) = &mut config
    {
        match data(client, place.call(&["config"])).await {
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
        Some(snapshots(client, place, digest.as_deref()).await?)
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
    client: &Client,
    place: &Place,
    digest: Option<&str>,
) -> Result<Result<BTreeMap<String, Snapshot>, Why>, Changed> {
    let list = match data(client, place.call(&["snapshot"])).await {
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
        let section = match data(client, place.call(&["snapshot", &name, "config"])).await {
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
            section,
        };
        read.insert(name, snapshot);
    }
    Ok(Ok(read))
}
