//! What a read-back shows that was not predicted. Only what an action touches is compared; what Proxmox VE fills in, numbers, prints
//! anew or generates is no surprise, any other value is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{GuestKind, StorageId, VolumeId};
use crate::proxmox::property::{Domain, equivalent, is_true};
use crate::world::model::{Guest, Pending, Storage, World};
use crate::world::views::{self, Source};
use crate::world::{Action, Section};

/// Keys that Proxmox VE makes up or fills in when it creates a guest.
const FILLED_IN: &[&str] = &[
    "arch",
    "boot",
    "cores",
    "entrypoint",
    "env",
    "hostname",
    "machine",
    "memory",
    "meta",
    "name",
    "numa",
    "ostype",
    "rootfs",
    "smbios1",
    "sockets",
    "swap",
    "unprivileged",
    "vmgenid",
];

/// Keys whose value is shown otherwise than it is kept.
const NOT_COMPARABLE: &[&str] = &["cipassword", "digest", "lock", "vmgenid", "meta"];

/// What a read-back of the touched objects shows that was not predicted: one line per difference, empty if everything is as
/// predicted. `observed` is a world in which at least the objects that `action` touches were read again after it.
pub fn surprises(
    before: &World,
    predicted: &World,
    observed: &World,
    action: &Action,
) -> Vec<String> {
    let mut found = Vec::new();
    guests(before, predicted, observed, action, &mut found);
    storages(before, predicted, observed, action, &mut found);
    pools(before, predicted, observed, &mut found);
    super::jobs::surprises(before, predicted, observed, &mut found);
    super::replication::surprises(before, predicted, observed, &mut found);
    super::accounts::surprises(before, predicted, observed, &mut found);
    super::realms::surprises(before, predicted, observed, &mut found);
    if let Action::Firewall(action) = action {
        super::firewall::surprises(action, predicted, observed, &mut found);
    }
    for (vmid, was) in &before.ha_resources {
        let (expected, seen) = (
            predicted.ha_resources.get(vmid),
            observed.ha_resources.get(vmid),
        );
        let touched = expected.is_none_or(|e| !Arc::ptr_eq(e, was));
        if touched && expected.map(|e| &e.state) != seen.map(|s| &s.state) {
            let word = |r: Option<&Arc<_>>| match r {
                Some(resource) => {
                    let resource: &crate::world::HaResource = resource;
                    format!("`{}`", resource.state)
                }
                None => "none".to_owned(),
            };
            found.push(format!(
                "HA state of guest {vmid}: {} was predicted, {} is",
                word(expected),
                word(seen)
            ));
        }
    }
    found
}

/// The keys whose entries differ between two maps, or are in one of them only.
pub(super) fn touched<K: Ord + Clone, V>(
    before: &BTreeMap<K, Arc<V>>,
    after: &BTreeMap<K, Arc<V>>,
) -> BTreeSet<K> {
    before
        .keys()
        .chain(after.keys())
        .filter(|key| match (before.get(*key), after.get(*key)) {
            (Some(a), Some(b)) => !Arc::ptr_eq(a, b),
            (Some(_), None) | (None, Some(_)) | (None, None) => true,
        })
        .cloned()
        .collect()
}

fn guests(
    before: &World,
    predicted: &World,
    observed: &World,
    action: &Action,
    found: &mut Vec<String>,
) {
    let mut vmids = touched(&before.guests, &predicted.guests);
    vmids.extend(action.guest().map(|(_, vmid)| vmid));
    let created = matches!(
        action,
        Action::CreateGuest { .. } | Action::CloneGuest { .. } | Action::RestoreGuest { .. }
    );
    for vmid in vmids {
        match (predicted.guests.get(&vmid), observed.guests.get(&vmid)) {
            (None, None) => {}
            (Some(expected), None) => found.push(format!("{} is not there", expected.entity())),
            (None, Some(seen)) => found.push(format!("{} is still there", seen.entity())),
            (Some(expected), Some(seen)) => {
                if let Some(why) = observed.unreadable(&crate::world::Part::GuestConfig(vmid)) {
                    found.push(format!(
                        "{} could not be read back: {why}",
                        expected.entity()
                    ));
                    continue;
                }
                guest(expected, seen, created, found);
            }
        }
    }
}

fn guest(expected: &Guest, seen: &Guest, created: bool, found: &mut Vec<String>) {
    let who = expected.entity();
    let mut differs = |what: &str, expected: String, seen: String| {
        found.push(format!("{who} {what}: {expected} was predicted, {seen} is"));
    };
    if expected.kind != seen.kind {
        differs(
            "kind",
            expected.kind.word().to_owned(),
            seen.kind.word().to_owned(),
        );
        return;
    }
    if expected.status != seen.status {
        differs(
            "power",
            format!("{:?}", expected.status).to_lowercase(),
            format!("{:?}", seen.status).to_lowercase(),
        );
    }
    if expected.node != seen.node {
        differs("node", expected.node.to_string(), seen.node.to_string());
    }
    if expected.template != seen.template {
        differs(
            "template",
            expected.template.to_string(),
            seen.template.to_string(),
        );
    }
    section(
        expected.kind,
        &who,
        &expected.config.current,
        &seen.config.current,
        created,
        found,
    );
    pending(
        expected.kind,
        &who,
        &expected.config.pending,
        &seen.config.pending,
        found,
    );
    let (names, seen_names): (Vec<_>, Vec<_>) = (
        expected.config.snapshots.keys().collect(),
        seen.config.snapshots.keys().collect(),
    );
    if names != seen_names {
        found.push(format!(
            "{who} snapshots: {names:?} was predicted, {seen_names:?} is"
        ));
    }
}

fn section(
    kind: GuestKind,
    who: &str,
    expected: &Section,
    seen: &Section,
    created: bool,
    found: &mut Vec<String>,
) {
    let keys: BTreeSet<&String> = expected.keys().chain(seen.keys()).collect();
    for key in keys {
        if NOT_COMPARABLE.contains(&key.as_str()) {
            continue;
        }
        match (expected.get(key), seen.get(key)) {
            (Some(a), Some(b)) if same(kind, key, a, b) => {}
            // What was left to Proxmox VE, or what it may have put in its own words at creation.
            (None, Some(_)) if created && FILLED_IN.contains(&key.as_str()) => {}
            (Some(_), Some(_)) if created && key == "boot" => {}
            (None, Some(b)) if b.trim().is_empty() => {}
            (Some(a), None) if a.trim().is_empty() => {}
            (a, b) => found.push(format!(
                "{who} {key}: {} was predicted, {} is",
                word(a),
                word(b)
            )),
        }
    }
}

fn word(value: Option<&String>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
}

fn pending(
    kind: GuestKind,
    who: &str,
    expected: &[Pending],
    seen: &[Pending],
    found: &mut Vec<String>,
) {
    let by_key = |list: &[Pending]| -> BTreeMap<String, Option<String>> {
        list.iter()
            .map(|p| (p.key.clone(), p.value.clone()))
            .collect()
    };
    let (expected, seen) = (by_key(expected), by_key(seen));
    for key in expected.keys().chain(seen.keys()).collect::<BTreeSet<_>>() {
        let show = |entry: Option<&Option<String>>| match entry {
            None => "nothing".to_owned(),
            Some(None) => "its removal".to_owned(),
            Some(Some(value)) => format!("`{value}`"),
        };
        let (a, b) = (expected.get(key), seen.get(key));
        let alike = match (a, b) {
            (Some(Some(a)), Some(Some(b))) => {
                NOT_COMPARABLE.contains(&key.as_str()) || same(kind, key, a, b)
            }
            (a, b) => a == b,
        };
        if !alike {
            found.push(format!(
                "{who} {key} pending: {} was predicted, {} is",
                show(a),
                show(b)
            ));
        }
    }
}

/// Whether two values of a key mean the same, but for what Proxmox VE chooses by itself.
fn same(kind: GuestKind, key: &str, expected: &str, seen: &str) -> bool {
    let domain = Domain::from(kind);
    if equivalent(domain, key, expected, seen) {
        return true;
    }
    if let (Some(a), Some(b)) = (
        views::disk(kind, key, expected),
        views::disk(kind, key, seen),
    ) {
        return same_disk(domain, key, &a, &b);
    }
    if let (Some(a), Some(b)) = (views::nic(key, expected), views::nic(key, seen)) {
        return same_nic(domain, key, a, b);
    }
    if key == "smbios1" {
        let rest = |text: &str| -> Vec<String> {
            let mut parts: Vec<String> = text
                .split(',')
                .filter(|p| !p.starts_with("uuid="))
                .map(str::to_owned)
                .collect();
            parts.sort();
            parts
        };
        return rest(expected) == rest(seen) && !expected.contains("uuid=");
    }
    key == "tags" && same_tags(expected, seen)
}

/// Tags are stored sorted and in lower case, depending on the datacenter's options.
fn same_tags(a: &str, b: &str) -> bool {
    let set = |text: &str| -> BTreeSet<String> {
        text.split([';', ',', ' '])
            .filter(|t| !t.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    };
    set(a) == set(b)
}

fn same_disk(domain: Domain, key: &str, a: &views::Disk, b: &views::Disk) -> bool {
    let volumes = match (&a.source, &b.source) {
        (Source::Volume(x), Source::Volume(y)) | (Source::CloudInit(x), Source::CloudInit(y)) => {
            alike(x, y)
        }
        (Source::Cdrom(x), Source::Cdrom(y)) => x == y,
        (Source::Empty, Source::Empty) => true,
        (Source::Path(x), Source::Path(y)) => x == y,
        _ => false,
    };
    // EFI variables and TPM state are as large as they must be.
    let sizes = match (a.size, b.size) {
        (Some(x), Some(y)) => x == y || matches!(key, "efidisk0" | "tpmstate0"),
        (Some(_), None) | (None, Some(_)) | (None, None) => true,
    };
    let print = |disk: &views::Disk| {
        let rest: Vec<String> = disk
            .options
            .iter()
            .filter(|(name, _)| *name != "format")
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        format!("x:y,{}", rest.join(","))
    };
    volumes && sizes && (print(a) == print(b) || equivalent(domain, key, &print(a), &print(b)))
}

/// Whether two volumes differ in their number at most.
fn alike(a: &VolumeId, b: &VolumeId) -> bool {
    if a == b {
        return true;
    }
    let shape = |volume: &VolumeId| {
        let name = volume.name();
        let (stem, tail) = name.rsplit_once("-disk-").unwrap_or((name, ""));
        let extension = tail.split_once('.').map_or("", |(_, e)| e);
        (stem.to_owned(), extension.to_owned())
    };
    a.storage() == b.storage() && shape(a) == shape(b)
}

fn same_nic(domain: Domain, key: &str, mut a: views::Nic, mut b: views::Nic) -> bool {
    // A MAC address that was not given is made up by Proxmox VE.
    if a.mac.is_none() {
        for nic in [&mut a, &mut b] {
            nic.options.remove("macaddr");
            nic.options.remove("hwaddr");
        }
    }
    let print = |nic: &views::Nic| {
        let mut options = nic.options.clone();
        if domain == Domain::Lxc {
            options
                .entry("type".to_owned())
                .or_insert_with(|| "veth".to_owned());
        }
        options
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    print(&a) == print(&b) || equivalent(domain, key, &print(&a), &print(&b))
}

fn storages(
    before: &World,
    predicted: &World,
    observed: &World,
    action: &Action,
    found: &mut Vec<String>,
) {
    let named = match action {
        Action::CreateStorage { id, .. }
        | Action::UpdateStorage { id, .. }
        | Action::DeleteStorage { id } => Some(id),
        Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::UpdateConfig { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::Migrate { .. }
        | Action::DestroyGuest { .. }
        | Action::DeleteVolume { .. }
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::Account(_)
        | Action::Firewall(_) => None,
    };
    super::backups::surprises(before, observed, action, found);
    if let Some(id) = named {
        match (predicted.storages.get(id), observed.storages.get(id)) {
            (None, None) => {}
            (Some(_), None) => found.push(format!("storage {id} is not there")),
            (None, Some(_)) => found.push(format!("storage {id} is still there")),
            (Some(expected), Some(seen)) => {
                definition(id, expected, seen, before.storages.get(id), found)
            }
        }
    }
    if let Action::DownloadImage { node, volume, .. } = action
        && predicted
            .storages
            .get(volume.storage())
            .is_some_and(|s| s.volume(node, volume).is_some())
    {
        let there = observed
            .storages
            .get(volume.storage())
            .is_some_and(|s| s.volume(node, volume).is_some());
        if !there {
            found.push(format!("image {volume} is not there"));
        }
    }
    if let Action::DeleteVolume { node, volume } | Action::DeleteImage { node, volume, .. } = action
    {
        let still = observed
            .storages
            .get(volume.storage())
            .is_some_and(|s| s.volume(node, volume).is_some());
        if still {
            found.push(format!("volume {volume} is still there"));
        }
    }
}

fn definition(
    id: &StorageId,
    expected: &Storage,
    seen: &Storage,
    was: Option<&Arc<Storage>>,
    found: &mut Vec<String>,
) {
    if expected.storage_type != seen.storage_type {
        found.push(format!(
            "storage {id} type: `{}` was predicted, `{}` is",
            expected.storage_type, seen.storage_type
        ));
    }
    if expected.content != seen.content {
        found.push(format!(
            "storage {id} content: {:?} was predicted, {:?} is",
            expected.content, seen.content
        ));
    }
    if expected.nodes != seen.nodes {
        found.push(format!(
            "storage {id} nodes: {:?} was predicted, {:?} is",
            expected.nodes, seen.nodes
        ));
    }
    let keys = expected
        .options
        .keys()
        .chain(seen.options.keys())
        .collect::<BTreeSet<_>>();
    for key in keys {
        // `content` and `nodes` are compared as sets above; options that a new storage gets by itself are no surprise.
        let by_itself = was.is_none() && !expected.options.contains_key(key);
        if matches!(key.as_str(), "content" | "nodes" | "digest") || by_itself {
            continue;
        }
        let (a, b) = (expected.options.get(key), seen.options.get(key));
        let alike = match (a, b) {
            (Some(a), Some(b)) => equivalent(Domain::Storage, key, a, b),
            (Some(only), None) | (None, Some(only)) => {
                let off = matches!(key.as_str(), "disable" | "shared" | "krbd" | "mkdir")
                    && !is_true(only);
                off || (key == "shared" && expected.shared == seen.shared)
            }
            (None, None) => true,
        };
        if !alike {
            found.push(format!(
                "storage {id} {key}: {} was predicted, {} is",
                word(a),
                word(b)
            ));
        }
    }
}

fn pools(before: &World, predicted: &World, observed: &World, found: &mut Vec<String>) {
    for id in touched(&before.pools, &predicted.pools) {
        match (predicted.pools.get(&id), observed.pools.get(&id)) {
            (None, None) => {}
            (Some(_), None) => found.push(format!("pool {id} is not there")),
            (None, Some(_)) => found.push(format!("pool {id} is still there")),
            (Some(expected), Some(seen)) => {
                let comment = |pool: &crate::world::Pool| pool.comment.clone().unwrap_or_default();
                if comment(expected).trim_end() != comment(seen).trim_end() {
                    found.push(format!(
                        "pool {id} comment: `{}` was predicted, `{}` is",
                        comment(expected),
                        comment(seen)
                    ));
                }
                if expected.guests != seen.guests || expected.storages != seen.storages {
                    let members = |pool: &crate::world::Pool| {
                        let guests = pool.guests.iter().map(ToString::to_string);
                        guests
                            .chain(pool.storages.iter().map(ToString::to_string))
                            .collect::<Vec<_>>()
                            .join(", ")
                    };
                    found.push(format!(
                        "pool {id} members: {} were predicted, {} are",
                        members(expected),
                        members(seen)
                    ));
                }
            }
        }
    }
}
