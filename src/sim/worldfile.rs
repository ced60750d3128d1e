//! The world file: YAML that describes a simulated cluster.
//!
//! ```yaml
//! cluster: lab                     # name; leave out for a lone node
//! clock: 1795357027                # UNIX time at the start; leave out for now
//! broadcast: 10                    # seconds between publications for /cluster/resources; 0 for always fresh
//! version: 8.2.2                 # the version told; leave out for the one that is simulated
//! lacks:                         # what this version does not have: parameters, fields of property strings, or (with []) a call
//!   POST /nodes/{node}/qemu: [allow-ksm, 'net[n].mtu']
//! api-viewer: true               # whether /pve-docs/api-viewer/apidoc.js is served
//! nodes:
//!   pve1: { ip: 10.0.0.11, cpus: 16, memory: 64G, disk: 100G, votes: 1, online: true, bridges: [vmbr0] }
//! storages:
//!   local-zfs: { total: 1T, other: 2G, offline: [pve3], volumes: [ { volid: 'local-zfs:vm-104-disk-0', node: pve1, size: 32G } ] }
//! downloads:                     # what nodes can download, and nothing else
//!   https://images.example.org/a.iso: { size: 600M, checksums: { sha256: 5f70… }, untrusted: false }
//!   docker.io/library/nginx:1.29: { size: 60M }  # an image of a container registry, by its reference
//! running: [104]
//! paused: []
//! passwords: { 'root@pam': secret }
//! secrets: { 'bailiwick@pve!controller': 11111111-2222-3333-4444-555555555555 }
//! files:
//!   storage.cfg: |
//!     dir: local
//!             path /var/lib/vz
//! ```
//!
//! Sizes are bytes, or a number with `K`, `M`, `G` or `T` (powers of 1024). A storage's `total` may be a map by node.
//! A volume without `node` is on a shared storage; without `format` it is `raw`. A backup can only be restored from if
//! `contents` has the guest's configuration. A file's `checksums` are compared when the same is downloaded again; `untrusted` is a
//! server whose certificate cannot be verified.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::clock::Clock;
use super::downloads::Download;
use super::files::Files;
use super::state::{Cluster, Node, Run};
use super::viewer::Edition;
use super::volumes::{Capacity, Volume, Volumes};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct World {
    #[serde(default)]
    cluster: String,
    version: Option<String>,
    #[serde(default)]
    lacks: BTreeMap<String, BTreeSet<String>>,
    api_viewer: Option<bool>,
    clock: Option<i64>,
    broadcast: Option<f64>,
    nodes: BTreeMap<String, NodeText>,
    #[serde(default)]
    storages: BTreeMap<String, StorageText>,
    #[serde(default)]
    downloads: BTreeMap<String, DownloadText>,
    #[serde(default)]
    running: Vec<u32>,
    #[serde(default)]
    paused: Vec<u32>,
    #[serde(default)]
    passwords: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeText {
    ip: Option<String>,
    cpus: Option<u32>,
    memory: Option<Size>,
    disk: Option<Size>,
    votes: Option<u32>,
    online: Option<bool>,
    uptime: Option<i64>,
    #[serde(default)]
    bridges: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StorageText {
    total: Option<Total>,
    other: Option<Size>,
    #[serde(default)]
    offline: Vec<String>,
    #[serde(default)]
    volumes: Vec<VolumeText>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Total {
    One(Size),
    ByNode(BTreeMap<String, Size>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeText {
    volid: String,
    node: Option<String>,
    size: Size,
    used: Option<Size>,
    format: Option<String>,
    ctime: Option<i64>,
    parent: Option<String>,
    notes: Option<String>,
    #[serde(default)]
    protected: bool,
    contents: Option<String>,
    #[serde(default)]
    checksums: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DownloadText {
    size: Size,
    #[serde(default)]
    checksums: BTreeMap<String, String>,
    #[serde(default)]
    untrusted: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// Why a world cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The YAML does not read.
    #[error("the world does not read: {0}")]
    Yaml(String),
    /// A value makes no sense.
    #[error("the world's {place}: {problem}")]
    Value {
        /// Where.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

impl Size {
    fn bytes(&self, place: &str) -> Result<u64, WorldError> {
        let text = match self {
            Self::Bytes(bytes) => return Ok(*bytes),
            Self::Text(text) => text,
        };
        parse_size(text).ok_or_else(|| WorldError::Value {
            place: place.to_owned(),
            problem: format!("'{text}' is not a size such as 32G"),
        })
    }
}

/// Bytes of `32G`, `4194304K`, `1.5T` or a bare number.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, shift) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (text.get(..at)?, 10),
        (at, 'M' | 'm') => (text.get(..at)?, 20),
        (at, 'G' | 'g') => (text.get(..at)?, 30),
        (at, 'T' | 't') => (text.get(..at)?, 40),
        _ => (text, 0),
    };
    match number.parse::<u64>() {
        Ok(number) => number.checked_shl(shift),
        Err(_) => {
            let number = number
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0)?;
            Some((number * (1u64 << shift) as f64) as u64)
        }
    }
}

/// Builds a cluster from a world file's text.
///
/// # Errors
/// Where the text is wrong, and why.
pub fn read(text: &str, scale: f64) -> Result<Cluster, WorldError> {
    let world: World = serde_saphyr::from_str(text)
        .map_err(|error| WorldError::Yaml(error.without_snippet().to_string()))?;
    let World {
        cluster,
        version,
        lacks,
        api_viewer,
        clock,
        broadcast,
        nodes,
        storages,
        downloads,
        running,
        paused,
        passwords,
        secrets,
        files,
    } = world;
    let clock = Clock::new(clock, scale);
    let now = clock.unix();
    let mut volumes = Volumes::default();
    let mut capacities = BTreeMap::new();
    for (id, storage) in &storages {
        capacities.insert(id.clone(), capacity(id, storage)?);
        for volume in &storage.volumes {
            volumes.insert(read_volume(id, volume, now)?);
        }
    }
    let downloads = downloads
        .into_iter()
        .map(|(url, served)| {
            let download = Download {
                size: served.size.bytes(&format!("download {url}"))?,
                checksums: served.checksums,
                untrusted: served.untrusted,
            };
            Ok((url, download))
        })
        .collect::<Result<_, WorldError>>()?;
    let mut members = BTreeMap::new();
    for (name, node) in &nodes {
        let id = u32::try_from(members.len()).unwrap_or(0) + 1;
        members.insert(name.clone(), read_node(id, name, node, now)?);
    }
    let mut edition = Edition::new(version, api_viewer);
    for (endpoint, names) in lacks {
        let lacked = edition.lack(&endpoint, names);
        lacked.map_err(|problem| WorldError::Value {
            place: "lacks".into(),
            problem,
        })?;
    }
    let mut cluster = Cluster {
        name: cluster,
        edition,
        clock,
        files: Files::new(files),
        nodes: members,
        capacities,
        volumes,
        downloads,
        running: BTreeMap::new(),
        tasks: Default::default(),
        faults: Default::default(),
        fingerprint: String::new(),
        split: false,
        cut_off: Default::default(),
        shut: Default::default(),
        effects: BTreeMap::new(),
        secrets,
        passwords,
        broadcast: broadcast.unwrap_or(10.0),
        extra: BTreeMap::new(),
        sessions: BTreeMap::new(),
        published: Default::default(),
        users: Default::default(),
        ha: Default::default(),
        random: 0x5eed,
    };
    for vmid in running.iter().chain(&paused) {
        if cluster.guest(*vmid).is_none() {
            return Err(WorldError::Value {
                place: "running".into(),
                problem: format!("there is no guest {vmid}"),
            });
        }
        let run = Run {
            since: now - 86_400,
            paused: paused.contains(vmid),
            pid: 2000 + vmid,
            live: BTreeMap::new(),
        };
        cluster.running.insert(*vmid, run);
    }
    cluster.users();
    Ok(cluster)
}

fn capacity(id: &str, storage: &StorageText) -> Result<Capacity, WorldError> {
    let place = format!("storage {id}");
    let total = match &storage.total {
        None => BTreeMap::new(),
        Some(Total::One(size)) => BTreeMap::from([(String::new(), size.bytes(&place)?)]),
        Some(Total::ByNode(sizes)) => sizes
            .iter()
            .map(|(node, size)| Ok((node.clone(), size.bytes(&place)?)))
            .collect::<Result<_, _>>()?,
    };
    let other = storage
        .other
        .as_ref()
        .map_or(Ok(0), |size| size.bytes(&place))?;
    Ok(Capacity {
        total,
        other,
        offline: storage.offline.clone(),
    })
}

fn read_volume(storage: &str, text: &VolumeText, now: i64) -> Result<Volume, WorldError> {
    let place = format!("volume {}", text.volid);
    if text
        .volid
        .split_once(':')
        .is_none_or(|(own, _)| own != storage)
    {
        return Err(WorldError::Value {
            place,
            problem: format!("its id does not begin with '{storage}:'"),
        });
    }
    Ok(Volume {
        volid: text.volid.clone(),
        node: text.node.clone().unwrap_or_default(),
        size: text.size.bytes(&place)?,
        used: text
            .used
            .as_ref()
            .map(|size| size.bytes(&place))
            .transpose()?,
        format: text.format.clone().unwrap_or_else(|| "raw".into()),
        ctime: text.ctime.unwrap_or(now - 30 * 86_400),
        parent: text.parent.clone(),
        notes: text.notes.clone(),
        protected: text.protected,
        contents: text.contents.clone(),
        checksums: text.checksums.clone(),
    })
}

fn read_node(id: u32, name: &str, text: &NodeText, now: i64) -> Result<Node, WorldError> {
    let place = format!("node {name}");
    let size = |size: &Option<Size>, default: u64| {
        size.as_ref().map_or(Ok(default), |size| size.bytes(&place))
    };
    Ok(Node {
        id,
        ip: text
            .ip
            .clone()
            .unwrap_or_else(|| format!("10.0.0.{}", 10 + id)),
        cpus: text.cpus.unwrap_or(16),
        memory: size(&text.memory, 64 << 30)?,
        disk: size(&text.disk, 100 << 30)?,
        votes: text.votes.unwrap_or(1),
        online: text.online.unwrap_or(true),
        booted: now - text.uptime.unwrap_or(30 * 86_400),
        bridges: text.bridges.clone(),
    })
}
