//! What the options of a backup job say.

use std::collections::BTreeSet;

use crate::ids::Vmid;
use crate::proxmox::property::{Domain, PropertyMap, boolean, equivalent, is_true, split_list};
use crate::world::model::{BackupJob, Section, Selection};
use crate::world::{Param, Params};

impl BackupJob {
    /// A job from its options, as Proxmox VE gives them; those of `exclude-path` one a line.
    pub fn of(options: Section) -> Self {
        let get = |key: &str| options.get(key).map(String::as_str);
        let guests = |key: &str| -> BTreeSet<Vmid> {
            let list = get(key).into_iter().flat_map(split_list);
            list.filter_map(|vmid| vmid.parse().ok()).collect()
        };
        let selection = if get("all").is_some_and(is_true) {
            Selection::AllBut(guests("exclude"))
        } else if let Some(pool) = get("pool") {
            Selection::Pool(pool.to_owned())
        } else {
            Selection::Guests(guests("vmid"))
        };
        let fleecing = get("fleecing")
            .and_then(|text| PropertyMap::parse(Domain::BackupJob, "fleecing", text).ok());
        Self {
            enabled: get("enabled").and_then(boolean).unwrap_or(true),
            selection,
            node: get("node").and_then(|node| node.parse().ok()),
            storage: get("storage").map(str::to_owned),
            fleecing_storage: fleecing
                .and_then(|fleecing| fleecing.get("storage").map(str::to_owned)),
            options,
        }
    }
}

/// What Proxmox VE takes for granted where an option of a backup job is not set, whatever a node's `vzdump.conf` says.
fn job_default(key: &str) -> Option<&'static str> {
    match key {
        "enabled" => Some("1"),
        "all" | "repeat-missed" => Some("0"),
        _ => None,
    }
}

/// Whether two values of an option of a backup job mean the same, what is not set meaning what Proxmox VE takes for granted.
pub fn same_job_option(key: &str, a: Option<&str>, b: Option<&str>) -> bool {
    match (a.or(job_default(key)), b.or(job_default(key))) {
        (Some(a), Some(b)) => equivalent(Domain::BackupJob, key, a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A section with what Proxmox VE wants sent along: notes and protection only together with the storage.
pub fn with_storage(set: &mut Params, storage: Option<&str>) {
    let asks = ["notes-template", "protected"]
        .iter()
        .any(|key| set.contains_key(*key));
    if let (true, Some(storage)) = (asks, storage) {
        set.entry("storage".to_owned())
            .or_insert_with(|| Param::Plain(storage.to_owned()));
    }
}
