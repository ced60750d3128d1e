//! Storages: from a document to steps that define, change or remove one.

use std::collections::BTreeSet;

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::Item;
use super::values::{Decision, Secrets, decide, shown};
use super::words::{difference, few};
use crate::document::desired::{DesiredStorage, Wish};
use crate::ids::StorageId;
use crate::proxmox::property::{Domain, boolean, equivalent, split_list};
use crate::world::{Action, Param, Params, Part, Storage};

/// Options that cannot change once a storage of this type exists (Proxmox VE: `fixed => 1` in pve-storage's plugins).
fn fixed(storage_type: &str, key: &str) -> bool {
    let keys: &[&str] = match storage_type {
        "dir" | "btrfs" | "cephfs" => &["path"],
        "nfs" => &["path", "server", "export", "snapshot-as-volume-chain"],
        "cifs" => &["path", "server", "share"],
        "lvm" => &["vgname", "base"],
        "lvmthin" => &["vgname", "thinpool"],
        "zfspool" => &["pool"],
        "zfs" => &["portal", "target", "pool", "blocksize", "iscsiprovider"],
        "iscsi" | "iscsidirect" => &["portal", "target"],
        "pbs" => &["server", "datastore"],
        _ => &[],
    };
    keys.contains(&key)
}

impl Planner<'_, '_> {
    /// A storage that shall be as a document says.
    pub(super) fn storage_present(&mut self, item: &Item, desired: &DesiredStorage) {
        if !self.needs_part(item, &Part::Storages) {
            return;
        }
        let object = format!("storage/{}", desired.id);
        let world = self.input.world;
        let live = world.storages.get(&desired.id);
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        match live {
            Some(storage) => self.storage_changed(item, desired, storage, &object),
            None => self.storage_new(item, desired, &object),
        }
    }

    fn storage_new(&mut self, item: &Item, desired: &DesiredStorage, object: &str) {
        let Some(storage_type) = desired.storage_type.clone() else {
            let why = format!(
                "there is no {object} yet, and the document does not say which `type` it shall have"
            );
            self.drafts
                .problem(&item.key, "type", Reason::Ambiguous { why });
            return;
        };
        let mut params = Params::new();
        let effect = "the storage is defined";
        self.drafts
            .change(object, "(object)", None, Some(&storage_type), effect);
        for (key, wish) in &desired.options {
            let secrets = Secrets {
                now: self.input.secrets,
                sent: None,
            };
            match decide(Domain::Storage, key, None, wish, secrets) {
                Ok(Decision::Set { param, shown }) => {
                    self.drafts.change(object, key, None, Some(&shown), effect);
                    params.insert(key.clone(), param);
                }
                Ok(Decision::Same | Decision::Delete) => {}
                Err(reason) => self.drafts.problem(&item.key, key, reason),
            }
        }
        let id = self.drafts.push(Draft {
            title: format!("define {object} ({storage_type})"),
            action: Action::CreateStorage {
                id: desired.id.clone(),
                storage_type,
                params,
            },
            node: None,
            phase: Phase::StorageFirst,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
        self.drafts.opened.insert(desired.id.clone(), id);
    }

    fn storage_changed(
        &mut self,
        item: &Item,
        desired: &DesiredStorage,
        live: &Storage,
        object: &str,
    ) {
        if let Some(wanted) = &desired.storage_type
            && *wanted != live.storage_type
        {
            let reason = Reason::FixedKey {
                key: "type".to_owned(),
                now: live.storage_type.clone(),
                wanted: wanted.clone(),
            };
            self.drafts.problem(&item.key, "type", reason);
        }
        let mut set = Params::new();
        let mut delete = BTreeSet::new();
        let mut told = Vec::new();
        for (key, wish) in &desired.options {
            let before = live.options.get(key).map(String::as_str);
            let secrets = Secrets {
                now: self.input.secrets,
                sent: self.input.ownership.fingerprint(object, key),
            };
            let (decision, default) = (
                decide(Domain::Storage, key, before, wish, secrets),
                implied(live, key, wish),
            );
            let (param, after) = match decision {
                Ok(Decision::Same) => continue,
                Ok(Decision::Set { .. }) if default => continue,
                Ok(Decision::Set { param, shown }) => (Some(param), Some(shown)),
                Ok(Decision::Delete) => (None, None),
                Err(reason) => {
                    self.drafts.problem(&item.key, key, reason);
                    continue;
                }
            };
            if fixed(&live.storage_type, key) {
                let reason = Reason::FixedKey {
                    key: key.clone(),
                    now: before.unwrap_or_default().to_owned(),
                    wanted: after.unwrap_or_default(),
                };
                self.drafts.problem(&item.key, key, reason);
                continue;
            }
            self.drafts
                .change(object, key, before, after.as_deref(), "at once");
            told.push(difference(key, before, after.as_deref()));
            match param {
                Some(param) => {
                    set.insert(key.clone(), param);
                }
                None => {
                    delete.insert(key.clone());
                }
            }
        }
        if told.is_empty() {
            return;
        }
        let narrows = narrows(live, &set, &delete);
        let id = self.drafts.push(Draft {
            title: format!("set {object} {}", few(&told)),
            action: Action::UpdateStorage {
                id: desired.id.clone(),
                set,
                delete,
            },
            node: None,
            phase: if narrows {
                Phase::StorageLast
            } else {
                Phase::StorageFirst
            },
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
        if !narrows {
            self.drafts.opened.insert(desired.id.clone(), id);
        }
    }

    /// A storage whose document is gone and said that it shall be deleted.
    pub(super) fn storage_removed(&mut self, item: &Item, id: &StorageId) {
        if !self.needs_part(item, &Part::Storages) {
            return;
        }
        let object = format!("storage/{id}");
        let Some(live) = self.input.world.storages.get(id) else {
            self.drafts
                .notes
                .insert(format!("{object} is already gone"));
            return;
        };
        self.drafts.change(
            &object,
            "(object)",
            Some(&live.storage_type),
            None,
            "the definition is removed; what lies on the storage stays there and can no longer be reached",
        );
        let mut notes =
            vec!["only the definition is removed; the volumes stay where they are".to_owned()];
        notes.extend(crate::health::contents(live));
        self.drafts.push(Draft {
            title: format!("delete {object}"),
            action: Action::DeleteStorage { id: id.clone() },
            node: None,
            phase: Phase::StorageLast,
            needs: BTreeSet::new(),
            notes,
        });
    }

    /// The nodes and content a storage will have once this plan has changed it, and whether it will be there at all.
    pub(super) fn storage_will_be(&self, id: &StorageId) -> Option<WillBe> {
        let live = self.input.world.storages.get(id);
        let draft = self.drafts.steps.iter().find(|draft| {
            matches!(&draft.action, Action::CreateStorage { id: of, .. } | Action::UpdateStorage { id: of, .. } if of == id)
        });
        let base = live.map(|storage| WillBe {
            nodes: storage
                .nodes
                .as_ref()
                .map(|nodes| nodes.iter().map(|node| node.as_str().to_owned()).collect()),
            content: Some(storage.content.clone()),
            disabled: storage.disabled,
            storage_type: storage.storage_type.clone(),
        });
        let Some(draft) = draft else { return base };
        let (mut will, params, deleted) = match &draft.action {
            Action::CreateStorage {
                storage_type,
                params,
                ..
            } => (
                WillBe {
                    nodes: None,
                    content: None,
                    disabled: false,
                    storage_type: storage_type.clone(),
                },
                params,
                None,
            ),
            Action::UpdateStorage { set, delete, .. } => (base?, set, Some(delete)),
            _ => return base,
        };
        let list =
            |text: &str| -> BTreeSet<String> { split_list(text).map(str::to_owned).collect() };
        let gone = |key: &str| deleted.is_some_and(|keys| keys.contains(key));
        if let Some(Param::Plain(nodes)) = params.get("nodes") {
            will.nodes = Some(list(nodes)).filter(|nodes| !nodes.is_empty());
        } else if gone("nodes") {
            will.nodes = None;
        }
        if let Some(Param::Plain(content)) = params.get("content") {
            will.content = Some(list(content));
        }
        if let Some(disable) = params.get("disable") {
            will.disabled = boolean(&shown(disable)).unwrap_or(true);
        } else if gone("disable") {
            will.disabled = false;
        }
        Some(will)
    }
}

/// What a storage will be for guests.
pub(super) struct WillBe {
    /// The nodes it is restricted to.
    pub nodes: Option<BTreeSet<String>>,
    /// What it holds; `None` if only its type's default says.
    pub content: Option<BTreeSet<String>>,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Its type.
    pub storage_type: String,
}

/// Whether a wish is what Proxmox VE takes for granted where nothing is written: `disable 0`, `shared` for types that always are.
fn implied(live: &Storage, key: &str, wish: &Wish<crate::document::desired::Value>) -> bool {
    let Wish::Set(crate::document::desired::Value::Plain(text)) = wish else {
        return false;
    };
    if live.options.contains_key(key) {
        return false;
    }
    match key {
        "disable" => boolean(text) == Some(false),
        "shared" => boolean(text) == Some(live.shared),
        "content" => equivalent(
            Domain::Storage,
            key,
            text,
            &live
                .content
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(","),
        ),
        _ => false,
    }
}

/// Whether a change takes something away from those who use the storage, so that it comes after the steps that move them.
fn narrows(live: &Storage, set: &Params, delete: &BTreeSet<String>) -> bool {
    let list = |text: &str| -> BTreeSet<String> { split_list(text).map(str::to_owned).collect() };
    set.iter().any(|(key, param)| {
        let Param::Plain(text) = param else {
            return true;
        };
        match key.as_str() {
            "disable" => boolean(text) != Some(false),
            "content" => !live.content.is_subset(&list(text)),
            "nodes" => match &live.nodes {
                _ if list(text).is_empty() => false,
                None => true,
                Some(nodes) => !nodes.iter().all(|node| list(text).contains(node.as_str())),
            },
            _ => false,
        }
    }) || delete.iter().any(|key| key == "content" || key == "shared")
}
