//! From an action to the API calls that do it. Pure: every choice is already in the action; secrets are resolved by a function
//! the caller hands in. Which parameters Proxmox VE takes where is from its API schema.

use std::collections::BTreeMap;

use crate::document::desired::SecretRef;
use crate::ids::{Bytes, GuestKind, NodeName, Vmid};
use crate::world::{Action, Param, Params, PowerAction};

/// HTTP methods that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`; parameters go into the query.
    Delete,
}

/// One API call that writes.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub verb: Verb,
    /// The path below `/api2/json`.
    pub path: String,
    /// The parameters, secrets resolved: never printed.
    pub params: BTreeMap<String, String>,
    /// The type of the task it starts (`qmcreate`), if it starts one, and the id the task carries.
    pub task: Option<(&'static str, String)>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.params.keys().map(String::as_str).collect();
        write!(f, "{:?} {} {names:?}", self.verb, self.path)
    }
}

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {from} for `{key}` cannot be read: {why}")]
pub struct SecretUnavailable {
    /// The parameter it is for.
    pub key: String,
    /// Where it was to be found.
    pub from: String,
    /// What went wrong.
    pub why: String,
}

/// How secrets are resolved: from the reference to the value, or why not.
pub type Secrets<'a> = dyn Fn(&SecretRef) -> Result<String, String> + Send + Sync + 'a;

fn resolve(params: &Params, secrets: &Secrets<'_>) -> Result<BTreeMap<String, String>, SecretUnavailable> {
    params
        .iter()
        .map(|(key, param)| {
            let value = match param {
                Param::Plain(value) => value.clone(),
                Param::Secret { from, .. } => secrets(from).map_err(|why| SecretUnavailable {
                    key: key.clone(),
                    from: match from {
                        SecretRef::FromFile(path) => format!("file {path}"),
                        SecretRef::FromEnv(name) => format!("environment variable {name}"),
                    },
                    why,
                })?,
            };
            Ok((key.clone(), value))
        })
        .collect()
}

fn guest_path(node: &NodeName, kind: GuestKind, vmid: Vmid, rest: &str) -> String {
    format!("/nodes/{node}/{}/{vmid}{rest}", kind.api())
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

fn request(verb: Verb, path: String, task: Option<(&'static str, String)>) -> Request {
    Request { verb, path, params: BTreeMap::new(), task }
}

impl Request {
    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.params.insert(key.to_owned(), value.into());
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn with_all(mut self, params: BTreeMap<String, String>) -> Self {
        self.params.extend(params);
        self
    }
}

/// The calls that do an action, in order. `node` is where the guest is now (for creation: where it shall be; for cluster-wide
/// objects it is not used); `digest` is the one to send where the call takes one.
pub fn requests(
    action: &Action,
    node: &NodeName,
    digest: Option<&str>,
    secrets: &Secrets<'_>,
) -> Result<Vec<Request>, SecretUnavailable> {
    let by_kind = |kind: GuestKind, vm: &'static str, ct: &'static str| match kind {
        GuestKind::Qemu => vm,
        GuestKind::Lxc => ct,
    };
    let calls = match action {
        Action::CreateGuest { kind, vmid, node, pool, params } => {
            let task = (by_kind(*kind, "qmcreate", "vzcreate"), vmid.to_string());
            let mut params = resolve(params, secrets)?;
            // A cloud-init password given at creation would lie in clear in the configuration; the update path hashes it.
            let password = (*kind == GuestKind::Qemu).then(|| params.remove("cipassword")).flatten();
            let create = request(Verb::Post, format!("/nodes/{node}/{}", kind.api()), Some(task))
                .with_all(params)
                .with("vmid", vmid.to_string())
                .with_some("pool", pool.as_ref().map(ToString::to_string));
            let mut calls = vec![create];
            if let Some(password) = password {
                let task = Some(("qmconfig", vmid.to_string()));
                calls.push(request(Verb::Post, guest_path(node, *kind, *vmid, "/config"), task).with("cipassword", password));
            }
            calls
        }
        Action::UpdateConfig { kind, vmid, set, delete } => {
            // PUT of a VM waits inside the daemon and hits the proxy's 30 s; containers have only PUT.
            let (verb, task) = match kind {
                GuestKind::Qemu => (Verb::Post, Some(("qmconfig", vmid.to_string()))),
                GuestKind::Lxc => (Verb::Put, None),
            };
            let delete = (!delete.is_empty()).then(|| join(delete));
            vec![
                request(verb, guest_path(node, *kind, *vmid, "/config"), task)
                    .with_all(resolve(set, secrets)?)
                    .with_some("delete", delete)
                    .with_some("digest", digest),
            ]
        }
        Action::ResizeDisk { kind, vmid, slot, from: _, to } => vec![
            request(Verb::Put, guest_path(node, *kind, *vmid, "/resize"), Some(("resize", vmid.to_string())))
                .with("disk", slot.as_str())
                .with("size", size(*to))
                .with_some("digest", digest),
        ],
        Action::MoveDisk { kind, vmid, slot, volume: _, to, format } => {
            let (rest, key) = match kind {
                GuestKind::Qemu => ("/move_disk", "disk"),
                GuestKind::Lxc => ("/move_volume", "volume"),
            };
            let format = match kind {
                GuestKind::Qemu => format.as_deref(),
                GuestKind::Lxc => None,
            };
            vec![
                request(
                    Verb::Post,
                    guest_path(node, *kind, *vmid, rest),
                    Some((by_kind(*kind, "qmmove", "move_volume"), vmid.to_string())),
                )
                .with(key, slot.as_str())
                .with("storage", to.as_str())
                .with("delete", "1")
                .with_some("format", format)
                .with_some("digest", digest),
            ]
        }
        Action::DetachDisk { kind, vmid, slot, volume: _ } | Action::FreeDisk { kind, vmid, slot, volume: _ } => {
            let (verb, task) = match kind {
                GuestKind::Qemu => (Verb::Post, Some(("qmconfig", vmid.to_string()))),
                GuestKind::Lxc => (Verb::Put, None),
            };
            vec![
                request(verb, guest_path(node, *kind, *vmid, "/config"), task)
                    .with("delete", slot.as_str())
                    .with_some("digest", digest),
            ]
        }
        Action::SetPower { kind, vmid, power } => {
            let (word, vm, ct) = match power {
                PowerAction::Start => ("start", "qmstart", "vzstart"),
                PowerAction::Shutdown { .. } => ("shutdown", "qmshutdown", "vzshutdown"),
                PowerAction::Stop => ("stop", "qmstop", "vzstop"),
                PowerAction::Reboot { .. } => ("reboot", "qmreboot", "vzreboot"),
            };
            let timeout = match power {
                PowerAction::Shutdown { timeout } | PowerAction::Reboot { timeout } => Some(timeout.to_string()),
                PowerAction::Start | PowerAction::Stop => None,
            };
            let path = guest_path(node, *kind, *vmid, &format!("/status/{word}"));
            vec![request(Verb::Post, path, Some((by_kind(*kind, vm, ct), vmid.to_string()))).with_some("timeout", timeout)]
        }
        Action::SetHaState { kind, vmid, state, before: _ } => {
            vec![request(Verb::Put, ha_path(*kind, *vmid), None).with("state", state)]
        }
        Action::RemoveHaResource { kind, vmid } => vec![request(Verb::Delete, ha_path(*kind, *vmid), None)],
        Action::Migrate { kind, vmid, from: _, to, running, with_local_disks, target_storage } => {
            let map = (!target_storage.is_empty()).then(|| join(target_storage.iter().map(|(a, b)| format!("{a}:{b}"))));
            let call = request(
                Verb::Post,
                guest_path(node, *kind, *vmid, "/migrate"),
                Some((by_kind(*kind, "qmigrate", "vzmigrate"), vmid.to_string())),
            )
            .with("target", to.as_str());
            let call = match kind {
                GuestKind::Qemu => call
                    .with_some("online", running.then_some("1"))
                    .with_some("with-local-disks", with_local_disks.then_some("1"))
                    .with_some("targetstorage", map),
                GuestKind::Lxc => call.with_some("restart", running.then_some("1")).with_some("target-storage", map),
            };
            vec![call]
        }
        Action::DestroyGuest { kind, vmid, purge } => vec![
            request(
                Verb::Delete,
                guest_path(node, *kind, *vmid, ""),
                Some((by_kind(*kind, "qmdestroy", "vzdestroy"), vmid.to_string())),
            )
            .with_some("purge", purge.then_some("1")),
        ],
        Action::CreateStorage { id, storage_type, params } => vec![
            request(Verb::Post, "/storage".to_owned(), None)
                .with_all(resolve(params, secrets)?)
                .with("storage", id.as_str())
                .with("type", storage_type),
        ],
        Action::UpdateStorage { id, set, delete } => {
            let delete = (!delete.is_empty()).then(|| join(delete));
            vec![
                request(Verb::Put, format!("/storage/{id}"), None)
                    .with_all(resolve(set, secrets)?)
                    .with_some("delete", delete)
                    .with_some("digest", digest),
            ]
        }
        Action::DeleteStorage { id } => vec![request(Verb::Delete, format!("/storage/{id}"), None)],
        Action::DeleteVolume { node, volume } => {
            // The task's id is the volume's name with its storage; Proxmox VE may also answer without a task.
            let path = format!("/nodes/{node}/storage/{}/content/{}", volume.storage(), encode(&volume.to_string()));
            vec![request(Verb::Delete, path, Some(("imgdel", String::new())))]
        }
        Action::CreatePool { id, comment } => vec![
            request(Verb::Post, "/pools".to_owned(), None)
                .with("poolid", id.as_str())
                .with_some("comment", comment.as_deref()),
        ],
        Action::UpdatePool { id, comment, guests_add, guests_remove, storages_add, storages_remove } => {
            let put = || request(Verb::Put, "/pools".to_owned(), None).with("poolid", id.as_str());
            let mut calls = Vec::new();
            if !guests_add.is_empty() || !storages_add.is_empty() || comment.is_some() {
                calls.push(
                    put()
                        .with_some("comment", comment.as_deref())
                        .with_some("vms", (!guests_add.is_empty()).then(|| join(guests_add)))
                        .with_some("storage", (!storages_add.is_empty()).then(|| join(storages_add)))
                        .with_some("allow-move", (!guests_add.is_empty()).then_some("1")),
                );
            }
            if !guests_remove.is_empty() || !storages_remove.is_empty() {
                calls.push(
                    put()
                        .with("delete", "1")
                        .with_some("vms", (!guests_remove.is_empty()).then(|| join(guests_remove)))
                        .with_some("storage", (!storages_remove.is_empty()).then(|| join(storages_remove))),
                );
            }
            calls
        }
        Action::DeletePool { id } => vec![request(Verb::Delete, "/pools".to_owned(), None).with("poolid", id.as_str())],
    };
    Ok(calls)
}

fn ha_path(kind: GuestKind, vmid: Vmid) -> String {
    format!("/cluster/ha/resources/{}:{vmid}", kind.word())
}

/// An absolute size as `resize` takes it: the greatest binary unit that divides it.
fn size(bytes: Bytes) -> String {
    [(Bytes::TIB, "T"), (Bytes::GIB, "G"), (Bytes::MIB, "M"), (Bytes::KIB, "K")]
        .iter()
        .find(|(unit, _)| bytes.0 % unit == 0 && bytes.0 > 0)
        .map_or_else(|| bytes.0.to_string(), |(unit, letter)| format!("{}{letter}", bytes.0 / unit))
}

/// A path component with everything escaped that has a meaning in a URL.
fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
