//! From an action to the API calls that do it. Pure: every choice is already in the action; secrets are resolved by a function
//! the caller hands in. Which parameters Proxmox VE takes where is from its API schema.

mod account;
mod firewall;

use zeroize::Zeroizing;

use crate::document::desired::{ImageSource, SecretRef};
use crate::document::image::ImageContent;
use crate::ids::{Bytes, GuestKind, NodeName, Vmid, VolumeId};
use crate::proxmox::call::{Call, Method};
use crate::world::{Action, Param, Params, PowerAction, views};

/// One API call that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The call; secrets in it are not shown.
    pub call: Call,
    /// The type of the task it starts (`qmcreate`), if it starts one, and the id the task carries.
    pub task: Option<(&'static str, String)>,
}

/// An action that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// A secret that could not be had.
    #[error("the secret {from} for `{key}` cannot be read: {why}")]
    Secret {
        /// The parameter it is for.
        key: String,
        /// Where it was to be found.
        from: String,
        /// What went wrong.
        why: String,
    },
    /// An action that would need more than one call; the planner makes two steps of it.
    #[error("a step must be one call: {0}")]
    TwoCalls(&'static str),
}

/// How secrets are resolved: from the reference and the fingerprint planned on to the value, or why not.
pub type Secrets<'a> =
    dyn Fn(&SecretRef, &str) -> Result<Zeroizing<String>, String> + Send + Sync + 'a;

fn request<S: AsRef<str>>(
    method: Method,
    path: impl IntoIterator<Item = S>,
    task: Option<(&'static str, String)>,
) -> Request {
    Request {
        call: Call::new(method, path),
        task,
    }
}

/// The path of a guest, with what follows it.
fn guest(node: &NodeName, kind: GuestKind, vmid: Vmid, rest: &[&str]) -> Vec<String> {
    let start = [
        "nodes".to_owned(),
        node.to_string(),
        kind.api().to_owned(),
        vmid.to_string(),
    ];
    start
        .into_iter()
        .chain(rest.iter().map(|part| (*part).to_owned()))
        .collect()
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

/// The call that downloads a file, or pulls an image.
fn download(node: &NodeName, volume: &VolumeId, source: &ImageSource) -> Request {
    let path = |last| {
        let storage = volume.storage().as_str();
        ["nodes", node.as_str(), "storage", storage, last]
    };
    let (content, file) = volume.name().split_once('/').unwrap_or_default();
    match source {
        ImageSource::Url(source) => {
            let task = Some(("download", file.to_owned()));
            request(Method::Post, path("download-url"), task)
                .with("content", content)
                .with("filename", file)
                .with("url", source.url.as_str())
                .with("checksum-algorithm", source.algorithm.as_str())
                .with("checksum", source.checksum.as_str())
                .with_some("compression", source.decompression.clone())
                .with_some(
                    "verify-certificates",
                    (!source.verify_certificates).then_some("0"),
                )
        }
        // What its task is called is not known from any source at hand: whether it happened, only the file tells. Proxmox VE adds the
        // ending.
        ImageSource::Registry(source) => {
            let stem = file.strip_suffix(ImageContent::PULLED).unwrap_or(file);
            request(Method::Post, path("oci-registry-pull"), None)
                .with("reference", source.reference.as_str())
                .with("filename", stem)
        }
    }
}

impl Request {
    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.call = self.call.param(key, value);
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The options of a backup job, of which one is a list: each of its lines is sent by itself.
    fn with_options(mut self, params: &Params, secrets: &Secrets<'_>) -> Result<Self, Unsendable> {
        const LIST: &str = "exclude-path";
        let mut rest = params.clone();
        if let Some(Param::Plain(lines)) = rest.remove(LIST) {
            for line in lines.lines() {
                self = self.with(LIST, line);
            }
        }
        self.with_all(&rest, secrets)
    }

    fn with_all(mut self, params: &Params, secrets: &Secrets<'_>) -> Result<Self, Unsendable> {
        for (key, param) in params {
            self.call = match param {
                Param::Plain(value) => self.call.param(key, value),
                Param::Secret { from, fingerprint } => {
                    let value = secrets(from, fingerprint);
                    let value = value.map_err(|why| unresolved(key, from, why))?;
                    self.call.secret(key, value)
                }
            };
        }
        Ok(self)
    }
}

fn unresolved(key: &str, from: &SecretRef, why: String) -> Unsendable {
    Unsendable::Secret {
        key: key.to_owned(),
        from: match from {
            SecretRef::FromFile(path) => format!("in the file {path}"),
            SecretRef::FromEnv(name) => format!("in the environment variable {name}"),
        },
        why,
    }
}

/// The call that does an action. `node` is where the guest is now (for creation: where it shall be; for cluster-wide
/// objects it is not used); `digest` is the one to send where the call takes one.
pub fn request_for(
    action: &Action,
    node: &NodeName,
    digest: Option<&str>,
    secrets: &Secrets<'_>,
) -> Result<Request, Unsendable> {
    let by_kind = |kind: GuestKind, vm: &'static str, ct: &'static str| match kind {
        GuestKind::Qemu => vm,
        GuestKind::Lxc => ct,
    };
    Ok(match action {
        Action::CreateGuest {
            kind,
            vmid,
            node,
            pool,
            params,
        } => {
            let task = (by_kind(*kind, "qmcreate", "vzcreate"), vmid.to_string());
            if *kind == GuestKind::Qemu && params.contains_key("cipassword") {
                // Given at creation it would lie in clear in the configuration; the update path hashes it.
                return Err(Unsendable::TwoCalls(
                    "a cloud-init password is set after creation",
                ));
            }
            request(
                Method::Post,
                ["nodes", node.as_str(), kind.api()],
                Some(task),
            )
            .with("vmid", vmid.to_string())
            .with_some("pool", pool.as_ref().map(ToString::to_string))
            .with_all(params, secrets)?
        }
        Action::CloneGuest {
            kind,
            vmid,
            source,
            snapshot,
            node,
            pool,
            name,
            full,
            storage,
            format,
        } => request(
            Method::Post,
            guest(node, *kind, *source, &["clone"]),
            // Its task carries the number of the source.
            Some((by_kind(*kind, "qmclone", "vzclone"), source.to_string())),
        )
        .with("newid", vmid.to_string())
        .with(by_kind(*kind, "name", "hostname"), name)
        .with("full", if *full { "1" } else { "0" })
        .with_some("snapname", snapshot.as_ref().map(ToString::to_string))
        .with_some("pool", pool.as_ref().map(ToString::to_string))
        .with_some("storage", storage.as_ref().map(ToString::to_string))
        .with_some("format", format.as_deref()),
        Action::RestoreGuest {
            kind,
            vmid,
            node,
            pool,
            archive,
            storage,
            unique,
            config: _,
        } => {
            let task = (by_kind(*kind, "qmrestore", "vzrestore"), vmid.to_string());
            let path = ["nodes", node.as_str(), kind.api()];
            request(Method::Post, path, Some(task))
                .with("vmid", vmid.to_string())
                .with(by_kind(*kind, "archive", "ostemplate"), archive.to_string())
                .with_some("restore", (*kind == GuestKind::Lxc).then_some("1"))
                .with_some("pool", pool.as_ref().map(ToString::to_string))
                .with_some("storage", storage.as_ref().map(ToString::to_string))
                .with_some("unique", unique.then_some("1"))
        }
        Action::ConvertToTemplate { kind, vmid } => request(
            Method::Post,
            guest(node, *kind, *vmid, &["template"]),
            // A container's is made while the call lasts.
            (*kind == GuestKind::Qemu).then(|| ("qmtemplate", vmid.to_string())),
        ),
        Action::RegenerateCloudInit { vmid } => request(
            Method::Put,
            guest(node, GuestKind::Qemu, *vmid, &["cloudinit"]),
            None,
        ),
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => {
            // PUT of a VM waits inside the daemon and hits the proxy's 30 s; containers have only PUT.
            let (verb, task) = match kind {
                GuestKind::Qemu => (Method::Post, Some(("qmconfig", vmid.to_string()))),
                GuestKind::Lxc => (Method::Put, None),
            };
            let delete = (!delete.is_empty()).then(|| join(delete));
            request(verb, guest(node, *kind, *vmid, &["config"]), task)
                .with_all(set, secrets)?
                .with_some("delete", delete)
                .with_some("digest", digest)
        }
        Action::ResizeDisk {
            kind,
            vmid,
            slot,
            from: _,
            to,
        } => request(
            Method::Put,
            guest(node, *kind, *vmid, &["resize"]),
            Some(("resize", vmid.to_string())),
        )
        .with("disk", slot.as_str())
        .with("size", size(*to))
        .with_some("digest", digest),
        Action::MoveDisk {
            kind,
            vmid,
            slot,
            volume: _,
            to,
            format,
        } => {
            let (rest, key) = match kind {
                GuestKind::Qemu => ("move_disk", "disk"),
                GuestKind::Lxc => ("move_volume", "volume"),
            };
            let format = match kind {
                GuestKind::Qemu => format.as_deref(),
                GuestKind::Lxc => None,
            };

            request(
                Method::Post,
                guest(node, *kind, *vmid, &[rest]),
                Some((by_kind(*kind, "qmmove", "move_volume"), vmid.to_string())),
            )
            .with(key, slot.as_str())
            .with("storage", to.as_str())
            .with("delete", "1")
            .with_some("format", format)
            .with_some("digest", digest)
        }
        Action::DetachDisk {
            kind,
            vmid,
            slot,
            volume: _,
        }
        | Action::FreeDisk {
            kind,
            vmid,
            slot,
            volume: _,
        } => {
            let (verb, task) = match kind {
                GuestKind::Qemu => (Method::Post, Some(("qmconfig", vmid.to_string()))),
                GuestKind::Lxc => (Method::Put, None),
            };

            request(verb, guest(node, *kind, *vmid, &["config"]), task)
                .with("delete", slot.as_str())
                .with_some("digest", digest)
        }
        Action::SetPower { kind, vmid, power } => {
            let (word, vm, ct) = match power {
                PowerAction::Start => ("start", "qmstart", "vzstart"),
                PowerAction::Shutdown { .. } => ("shutdown", "qmshutdown", "vzshutdown"),
                PowerAction::Stop => ("stop", "qmstop", "vzstop"),
                PowerAction::Reboot { .. } => ("reboot", "qmreboot", "vzreboot"),
            };
            let timeout = match power {
                PowerAction::Shutdown { timeout } | PowerAction::Reboot { timeout } => {
                    Some(timeout.to_string())
                }
                PowerAction::Start | PowerAction::Stop => None,
            };
            let path = guest(node, *kind, *vmid, &["status", word]);
            request(
                Method::Post,
                path,
                Some((by_kind(*kind, vm, ct), vmid.to_string())),
            )
            .with_some("timeout", timeout)
        }
        Action::SetHaState {
            kind,
            vmid,
            state,
            before: _,
        } => request(
            Method::Put,
            [
                "cluster",
                "ha",
                "resources",
                &format!("{}:{vmid}", kind.word()),
            ],
            None,
        )
        .with("state", state),
        Action::RemoveHaResource { kind, vmid } => request(
            Method::Delete,
            [
                "cluster",
                "ha",
                "resources",
                &format!("{}:{vmid}", kind.word()),
            ],
            None,
        ),
        Action::Migrate {
            kind,
            vmid,
            from: _,
            to,
            running,
            with_local_disks,
            target_storage,
        } => {
            let map = (!target_storage.is_empty())
                .then(|| join(target_storage.iter().map(|(a, b)| format!("{a}:{b}"))));
            let call = request(
                Method::Post,
                guest(node, *kind, *vmid, &["migrate"]),
                Some((by_kind(*kind, "qmigrate", "vzmigrate"), vmid.to_string())),
            )
            .with("target", to.as_str());
            match kind {
                GuestKind::Qemu => call
                    .with_some("online", running.then_some("1"))
                    .with_some("with-local-disks", with_local_disks.then_some("1"))
                    .with_some("targetstorage", map),
                GuestKind::Lxc => call
                    .with_some("restart", running.then_some("1"))
                    .with_some("target-storage", map),
            }
        }
        Action::DestroyGuest { kind, vmid, purge } => request(
            Method::Delete,
            guest(node, *kind, *vmid, &[]),
            Some((by_kind(*kind, "qmdestroy", "vzdestroy"), vmid.to_string())),
        )
        .with_some("purge", purge.then_some("1")),
        Action::CreateStorage {
            id,
            storage_type,
            params,
        } => request(Method::Post, ["storage"], None)
            .with_all(params, secrets)?
            .with("storage", id.as_str())
            .with("type", storage_type),
        Action::UpdateStorage { id, set, delete } => {
            let delete = (!delete.is_empty()).then(|| join(delete));

            request(Method::Put, ["storage", id.as_str()], None)
                .with_all(set, secrets)?
                .with_some("delete", delete)
                .with_some("digest", digest)
        }
        Action::DeleteStorage { id } => request(Method::Delete, ["storage", id.as_str()], None),
        Action::DownloadImage {
            node,
            volume,
            source,
        } => download(node, volume, source),
        Action::DeleteVolume { node, volume } | Action::DeleteImage { node, volume, .. } => {
            let task = ("imgdel", deletion_of(volume));
            request(Method::Delete, content(node, volume), Some(task))
        }
        Action::DeleteBackup { node, volume } => {
            let task = ("imgdel", deletion_of(volume));
            request(Method::Delete, content(node, volume), Some(task))
        }
        Action::CreatePool { id, comment } => request(Method::Post, ["pools"], None)
            .with("poolid", id.as_str())
            .with_some("comment", comment.as_deref()),
        Action::UpdatePool {
            id,
            comment,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } => {
            let put = request(Method::Put, ["pools"], None).with("poolid", id.as_str());
            let adds = !guests_add.is_empty() || !storages_add.is_empty() || comment.is_some();
            let removes = !guests_remove.is_empty() || !storages_remove.is_empty();
            if adds && removes {
                return Err(Unsendable::TwoCalls(
                    "a pool's members are added and removed by different calls",
                ));
            }
            let (guests, storages) = if removes {
                (guests_remove, storages_remove)
            } else {
                (guests_add, storages_add)
            };
            put.with_some("comment", comment.as_deref())
                .with_some("vms", (!guests.is_empty()).then(|| join(guests)))
                .with_some("storage", (!storages.is_empty()).then(|| join(storages)))
                .with_some("delete", removes.then_some("1"))
                .with_some("allow-move", (!guests_add.is_empty()).then_some("1"))
        }
        Action::DeletePool { id } => {
            request(Method::Delete, ["pools"], None).with("poolid", id.as_str())
        }
        Action::CreateBackupJob { id, params } => {
            request(Method::Post, ["cluster", "backup"], None)
                .with("id", id.as_str())
                .with_options(params, secrets)?
        }
        Action::UpdateBackupJob { id, set, delete } => {
            let delete = (!delete.is_empty()).then(|| join(delete));
            request(Method::Put, ["cluster", "backup", id.as_str()], None)
                .with_options(set, secrets)?
                .with_some("delete", delete)
        }
        Action::DeleteBackupJob { id } => {
            request(Method::Delete, ["cluster", "backup", id.as_str()], None)
        }
        Action::TakeSnapshot {
            kind,
            vmid,
            name,
            description,
            memory,
        } => {
            let task = by_kind(*kind, "qmsnapshot", "vzsnapshot");
            request(
                Method::Post,
                guest(node, *kind, *vmid, &["snapshot"]),
                Some((task, vmid.to_string())),
            )
            .with("snapname", name.as_str())
            .with_some("description", description.clone())
            .with_some("vmstate", memory.then_some("1"))
        }
        Action::DescribeSnapshot {
            kind,
            vmid,
            name,
            description,
        } => {
            let path = ["snapshot", name.as_str(), "config"];
            request(Method::Put, guest(node, *kind, *vmid, &path), None)
                .with("description", description.as_str())
        }
        Action::DeleteSnapshot { kind, vmid, name } => {
            let task = by_kind(*kind, "qmdelsnapshot", "vzdelsnapshot");
            request(
                Method::Delete,
                guest(node, *kind, *vmid, &["snapshot", name.as_str()]),
                Some((task, vmid.to_string())),
            )
        }
        Action::CreateReplicationJob { id, target, params } => {
            request(Method::Post, ["cluster", "replication"], None)
                .with("id", id.as_str())
                .with("type", "local")
                .with("target", target.as_str())
                .with_all(params, secrets)?
        }
        Action::UpdateReplicationJob { id, set, delete } => {
            let delete = (!delete.is_empty()).then(|| join(delete));
            request(Method::Put, ["cluster", "replication", id.as_str()], None)
                .with_all(set, secrets)?
                .with_some("delete", delete)
        }
        Action::BackUpGuest {
            kind: _,
            vmid,
            node: _,
            storage,
            notes,
        } => {
            let path = ["nodes", node.as_str(), "vzdump"];
            request(Method::Post, path, Some(("vzdump", vmid.to_string())))
                .with("vmid", vmid.to_string())
                .with("storage", storage.as_str())
                .with("mode", "snapshot")
                .with("compress", "zstd")
                .with("notes-template", notes.as_str())
                .with("protected", "1")
                .with("remove", "0")
        }
        Action::ProtectBackup {
            node,
            volume,
            protected,
        } => request(Method::Put, content(node, volume), None)
            .with("protected", if *protected { "1" } else { "0" }),
        Action::Firewall(action) => firewall::request_for(action, node, digest),
        Action::DeleteReplicationJob { id } => request(
            Method::Delete,
            ["cluster", "replication", id.as_str()],
            None,
        ),
        Action::Account(action) => account::request_of(action, digest, secrets)?,
    })
}

/// The path of a volume among what a node sees of its storage.
fn content(node: &NodeName, volume: &VolumeId) -> [String; 6] {
    [
        "nodes".to_owned(),
        node.to_string(),
        "storage".to_owned(),
        volume.storage().to_string(),
        "content".to_owned(),
        volume.to_string(),
    ]
}

/// What the task that deletes a volume says it is about: the owner and the storage, or the storage alone where a volume has no owner
/// (PVE::API2::Storage::Content).
fn deletion_of(volume: &VolumeId) -> String {
    match views::owner(volume).or_else(|| views::backed_up(volume)) {
        Some(owner) => format!("{owner}@{}", volume.storage()),
        None => volume.storage().to_string(),
    }
}

/// An absolute size as `resize` takes it: the greatest binary unit that divides it.
fn size(bytes: Bytes) -> String {
    [
        (Bytes::TIB, "T"),
        (Bytes::GIB, "G"),
        (Bytes::MIB, "M"),
        (Bytes::KIB, "K"),
    ]
    .iter()
    .find(|(unit, _)| bytes.0.is_multiple_of(*unit) && bytes.0 > 0)
    .map_or_else(
        || bytes.0.to_string(),
        |(unit, letter)| format!("{}{letter}", bytes.0 / unit),
    )
}
