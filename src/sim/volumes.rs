//! Volumes and the room they take: allocate, free, resize, with Proxmox VE's names and errors.
//!
//! A volume lives on a storage, and for a storage that is not shared on one node. What a storage is comes from
//! `storage.cfg`, each time.

use std::collections::BTreeMap;

use super::section_config::Section;
use super::state::Cluster;

/// One volume.
#[derive(Debug, Clone, Default)]
pub struct Volume {
    /// `local-zfs:vm-104-disk-0`.
    pub volid: String,
    /// The node that has it; empty on a shared storage.
    pub node: String,
    /// Size in bytes, as the guest sees it.
    pub size: u64,
    /// Bytes taken on the storage; `None` means `size`.
    pub used: Option<u64>,
    /// `raw`, `qcow2`, `subvol`, `iso`, `tgz`, `vma.zst` …
    pub format: String,
    /// UNIX time of creation.
    pub ctime: i64,
    /// The base volume of a linked clone, as `base-105-disk-0` or a volume id.
    pub parent: Option<String>,
    /// A backup's notes.
    pub notes: Option<String>,
    /// Whether a backup is protected from removal.
    pub protected: bool,
    /// The configuration that a backup holds; without it nothing can be restored from it.
    pub contents: Option<String>,
    /// A file's checksums by algorithm, as far as the world says them.
    pub checksums: BTreeMap<String, String>,
}

impl Volume {
    /// The storage's name.
    #[must_use]
    pub fn storage(&self) -> &str {
        self.volid
            .split_once(':')
            .map_or("", |(storage, _)| storage)
    }

    /// The name within the storage.
    #[must_use]
    pub fn name(&self) -> &str {
        self.volid.split_once(':').map_or("", |(_, name)| name)
    }

    /// The guest that owns it, from its name (`vm-104-disk-0`, `base-105-disk-0/vm-120-disk-0`, `subvol-301-…`).
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        owner(self.name())
    }

    /// `images`, `rootdir`, `iso`, `vztmpl`, `backup`, `snippets` or `import`.
    #[must_use]
    pub fn content(&self) -> &'static str {
        content(self.name(), &self.format)
    }
}

/// The guest that owns a volume of this name.
#[must_use]
pub fn owner(name: &str) -> Option<u32> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let parts: Vec<&str> = last.split('-').collect();
    match parts.as_slice() {
        ["vm" | "base" | "subvol" | "basevol", vmid, ..] => vmid.parse().ok(),
        ["vzdump", "qemu" | "lxc", vmid, ..] => vmid.parse().ok(),
        _ => None,
    }
}

fn content(name: &str, format: &str) -> &'static str {
    match name.split('/').next() {
        Some("iso") => "iso",
        Some("vztmpl") => "vztmpl",
        Some("backup") => "backup",
        Some("snippets") => "snippets",
        Some("import") => "import",
        _ if format == "subvol" || name.starts_with("subvol-") || name.starts_with("basevol-") => {
            "rootdir"
        }
        _ => "images",
    }
}

/// How big a storage is, by node; `""` stands for every node not named.
#[derive(Debug, Clone, Default)]
pub struct Capacity {
    /// Total bytes by node.
    pub total: BTreeMap<String, u64>,
    /// Bytes that something outside the world takes, on each node.
    pub other: u64,
    /// Nodes where the storage cannot be reached.
    pub offline: Vec<String>,
}

/// Volumes by node (empty when shared) and volume id.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    by_id: BTreeMap<(String, String), Volume>,
}

impl Volumes {
    /// Adds or replaces a volume.
    pub fn insert(&mut self, volume: Volume) {
        self.by_id
            .insert((volume.volid.clone(), volume.node.clone()), volume);
    }

    /// All volumes, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Volume> {
        self.by_id.values()
    }

    /// The volume as this node sees it.
    #[must_use]
    pub fn get(&self, node: &str, volid: &str) -> Option<&Volume> {
        self.by_id
            .get(&(volid.to_owned(), String::new()))
            .or_else(|| self.by_id.get(&(volid.to_owned(), node.to_owned())))
    }

    /// The volume as this node sees it, to change.
    pub fn get_mut(&mut self, node: &str, volid: &str) -> Option<&mut Volume> {
        let shared = (volid.to_owned(), String::new());
        if self.by_id.contains_key(&shared) {
            return self.by_id.get_mut(&shared);
        }
        self.by_id.get_mut(&(volid.to_owned(), node.to_owned()))
    }

    /// Removes a volume as this node sees it.
    pub fn remove(&mut self, node: &str, volid: &str) -> Option<Volume> {
        self.by_id
            .remove(&(volid.to_owned(), String::new()))
            .or_else(|| self.by_id.remove(&(volid.to_owned(), node.to_owned())))
    }

    /// What a storage holds on a node.
    pub fn on<'a>(&'a self, node: &'a str, storage: &'a str) -> impl Iterator<Item = &'a Volume> {
        let prefix = format!("{storage}:");
        self.by_id
            .range((prefix.clone(), String::new())..)
            .take_while(move |((volid, _), _)| volid.starts_with(&prefix))
            .map(|(_, volume)| volume)
            .filter(move |volume| volume.node.is_empty() || volume.node == node)
    }
}

/// Types whose volumes every node sees.
#[must_use]
pub fn always_shared(kind: &str) -> bool {
    matches!(
        kind,
        "nfs" | "cifs" | "rbd" | "cephfs" | "pbs" | "iscsi" | "iscsidirect" | "zfs" | "esxi"
    )
}

/// Whether a storage keeps volumes as files in directories.
#[must_use]
pub fn is_file_based(kind: &str) -> bool {
    matches!(kind, "dir" | "nfs" | "cifs" | "cephfs" | "btrfs")
}

impl Cluster {
    /// A storage's section of `storage.cfg`.
    #[must_use]
    pub fn storage(&self, id: &str) -> Option<Section> {
        self.storages().into_iter().find(|section| section.id == id)
    }

    /// A storage's section, or Proxmox VE's error.
    ///
    /// # Errors
    /// `storage 'X' does not exist`.
    pub fn require_storage(&self, id: &str) -> Result<Section, String> {
        self.storage(id)
            .ok_or_else(|| format!("storage '{id}' does not exist"))
    }

    /// Whether every node sees the same volumes on it.
    #[must_use]
    pub fn storage_is_shared(&self, section: &Section) -> bool {
        always_shared(&section.kind) || section.flag("shared")
    }

    /// That a storage exists, is enabled, and may be used on this node (Proxmox VE's `storage_check_enabled`).
    ///
    /// # Errors
    /// `storage 'X' is disabled`, `storage 'X' is not available on node 'N'`, or that it does not exist.
    pub fn usable_storage(&self, node: &str, id: &str) -> Result<Section, String> {
        let section = self.require_storage(id)?;
        if section.flag("disable") {
            return Err(format!("storage '{id}' is disabled"));
        }
        if !section.on_node(node) {
            return Err(format!("storage '{id}' is not available on node '{node}'"));
        }
        if self
            .capacities
            .get(id)
            .is_some_and(|capacity| capacity.offline.iter().any(|name| name == node))
        {
            return Err(format!("storage '{id}' is not online"));
        }
        Ok(section)
    }

    /// Total and taken bytes of a storage on a node.
    #[must_use]
    pub fn usage(&self, node: &str, id: &str) -> (u64, u64) {
        let capacity = self.capacities.get(id);
        let total = capacity
            .and_then(|capacity| capacity.total.get(node).or_else(|| capacity.total.get("")))
            .copied()
            .unwrap_or(DEFAULT_TOTAL);
        let taken: u64 = self
            .volumes
            .on(node, id)
            .map(|volume| volume.used.unwrap_or(volume.size))
            .sum();
        (
            total,
            (taken + capacity.map_or(0, |capacity| capacity.other)).min(total),
        )
    }

    /// Allocates a volume for a guest and answers its id. `stem` is `disk`, `cloudinit` or `state-NAME`; `format`
    /// `None` takes the storage's own.
    ///
    /// # Errors
    /// The texts of Proxmox VE: not enabled, content type, format, no space, name taken.
    pub fn allocate(
        &mut self,
        node: &str,
        storage: &str,
        vmid: u32,
        size: u64,
        format: Option<&str>,
        stem: &str,
    ) -> Result<String, String> {
        let section = self.usable_storage(node, storage)?;
        let format = volume_format(&section, format)?;
        let volid = self.free_name(&section, vmid, &format, stem);
        self.allocate_named(node, &section, volid, size, &format)
    }

    /// Allocates a volume under a given id.
    ///
    /// # Errors
    /// As for [`Cluster::allocate`].
    pub fn allocate_named(
        &mut self,
        node: &str,
        section: &Section,
        volid: String,
        size: u64,
        format: &str,
    ) -> Result<String, String> {
        if self.volumes.get(node, &volid).is_some() {
            let name = volid.split_once(':').map_or("", |(_, name)| name);
            return Err(match section.get("path") {
                Some(path) => format!("disk image '{path}/images/{name}' already exists"),
                None => format!("volume '{volid}' already exists"),
            });
        }
        let thin = matches!(section.kind.as_str(), "lvmthin" | "rbd") || format == "qcow2";
        let (total, taken) = self.usage(node, &section.id);
        if !thin && taken.saturating_add(size) > total {
            return Err(no_space(section));
        }
        let node = if self.storage_is_shared(section) {
            String::new()
        } else {
            node.to_owned()
        };
        let ctime = self.clock.unix();
        self.volumes.insert(Volume {
            volid: volid.clone(),
            node,
            size,
            format: format.into(),
            ctime,
            ..Volume::default()
        });
        Ok(volid)
    }

    /// The next free volume id for a guest: `local-lvm:vm-100-disk-1`, `local:100/vm-100-disk-1.qcow2`.
    #[must_use]
    pub fn free_name(&self, section: &Section, vmid: u32, format: &str, stem: &str) -> String {
        let word = if format == "subvol" { "subvol" } else { "vm" };
        let place = |name: String| match is_file_based(&section.kind) {
            true if format == "subvol" => format!("{}:{vmid}/{name}.subvol", section.id),
            true => format!("{}:{vmid}/{name}.{format}", section.id),
            false => format!("{}:{name}", section.id),
        };
        if stem != "disk" {
            return place(format!("{word}-{vmid}-{stem}"));
        }
        let taken: std::collections::BTreeSet<u64> = self
            .volumes
            .iter()
            .filter(|volume| volume.storage() == section.id)
            .filter(|volume| volume.owner() == Some(vmid))
            .filter_map(|volume| disk_number(volume.name()))
            .collect();
        let number = (0..).find(|number| !taken.contains(number)).unwrap_or(0);
        place(format!("{word}-{vmid}-disk-{number}"))
    }

    /// Frees a volume; one that is not there counts as freed, as with most of Proxmox VE's storages.
    ///
    /// # Errors
    /// The storage does not exist or cannot be used here; a base volume is in use by linked clones.
    pub fn free(&mut self, node: &str, volid: &str) -> Result<(), String> {
        let storage = volid.split_once(':').map_or("", |(storage, _)| storage);
        let section = self.usable_storage(node, storage)?;
        if section.kind != "lvmthin" && self.is_base_in_use(volid) {
            return Err(format!(
                "base volume '{}' is still in use by linked clones",
                volid.split_once(':').map_or("", |(_, name)| name)
            ));
        }
        self.volumes.remove(node, volid);
        Ok(())
    }

    /// Whether linked clones stand on this volume.
    #[must_use]
    pub fn is_base_in_use(&self, volid: &str) -> bool {
        let Some((storage, base)) = volid.split_once(':') else {
            return false;
        };
        self.volumes
            .iter()
            .filter(|volume| volume.storage() == storage)
            .any(|volume| {
                let inside = volume
                    .name()
                    .strip_prefix(base)
                    .is_some_and(|rest| rest.starts_with('/'));
                inside
                    || volume
                        .parent
                        .as_deref()
                        .is_some_and(|parent| parent == base || parent == volid)
            })
    }

    /// Sets a volume's size.
    ///
    /// # Errors
    /// It is not there, cannot be reached, or does not fit.
    pub fn resize_volume(&mut self, node: &str, volid: &str, size: u64) -> Result<(), String> {
        let storage = volid.split_once(':').map_or("", |(storage, _)| storage);
        let section = self.usable_storage(node, storage)?;
        let (total, taken) = self.usage(node, storage);
        let Some(volume) = self.volumes.get_mut(node, volid) else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        let thin = matches!(section.kind.as_str(), "lvmthin" | "rbd") || volume.format == "qcow2";
        if !thin && taken.saturating_sub(volume.size).saturating_add(size) > total {
            return Err(no_space(&section));
        }
        volume.size = size;
        Ok(())
    }
}

/// A storage of unknown size has 100 GiB.
const DEFAULT_TOTAL: u64 = 100 << 30;

fn disk_number(name: &str) -> Option<u64> {
    let last = name.rsplit('/').next()?;
    let (_, number) = last.rsplit_once("-disk-")?;
    number.split('.').next()?.parse().ok()
}

fn no_space(section: &Section) -> String {
    match section.kind.as_str() {
        "zfspool" => format!(
            "zfs error: cannot create '{}': out of space",
            section.get("pool").unwrap_or_default()
        ),
        "lvm" | "lvmthin" => "lvcreate error: insufficient free space".into(),
        _ => "unable to create image: No space left on device".into(),
    }
}

/// The format of a new volume: the one asked for, if the storage has it, else the storage's own.
///
/// # Errors
/// `unsupported format 'qcow2'`.
pub fn volume_format(section: &Section, wanted: Option<&str>) -> Result<String, String> {
    let (own, others): (&str, &[&str]) = match section.kind.as_str() {
        "dir" | "nfs" | "cifs" => ("raw", &["raw", "qcow2", "vmdk", "subvol"]),
        "btrfs" => ("raw", &["raw", "qcow2", "vmdk", "subvol"]),
        "cephfs" => ("raw", &[]),
        "zfspool" => ("raw", &["raw", "subvol"]),
        "lvm" => ("raw", &["raw", "qcow2"]),
        _ => ("raw", &["raw"]),
    };
    match wanted {
        None => Ok(own.into()),
        Some(format) if others.contains(&format) => Ok(format.into()),
        Some(format) => Err(format!(
            "unsupported format '{format}' at storage '{}'",
            section.id
        )),
    }
}
