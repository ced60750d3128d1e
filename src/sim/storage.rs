//! `/storage`: the definitions in `storage.cfg`. Nothing here asks whether a guest uses a storage; Proxmox VE does not.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::files;
use super::formats::{DIGEST, absolute_path, node_name, storage_id};
use super::params::{Kind, Param, loose_truth};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::Cluster;
use super::volumes::always_shared;

const FILE: &str = "storage.cfg";
const TYPES: &[&str] = &[
    "btrfs",
    "cephfs",
    "cifs",
    "dir",
    "esxi",
    "iscsi",
    "iscsidirect",
    "lvm",
    "lvmthin",
    "nfs",
    "pbs",
    "rbd",
    "zfs",
    "zfspool",
];

/// What may be changed after creation.
const CHANGEABLE: &[Param] = &[
    Param::new("blocksize", Kind::Text),
    Param::new("bwlimit", Kind::Text),
    Param::new("comstar_hg", Kind::Text),
    Param::new("comstar_tg", Kind::Text),
    Param::new("content", Kind::FormList(content_type)),
    Param::new("content-dirs", Kind::Text),
    Param::new("create-base-path", Kind::Boolean),
    Param::new("create-subdirs", Kind::Boolean),
    Param::new("data-pool", Kind::Text),
    Param::new("disable", Kind::Boolean),
    Param::new("domain", Kind::TextMax(256)),
    Param::new("encryption-key", Kind::Text),
    Param::new("fingerprint", Kind::Text),
    Param::new("format", Kind::Enum(&["raw", "qcow2", "subvol", "vmdk"])),
    Param::new("fs-name", Kind::Text),
    Param::new("fuse", Kind::Boolean),
    Param::new("is_mountpoint", Kind::Text),
    Param::new("keyring", Kind::Text),
    Param::new("krbd", Kind::Boolean),
    Param::new("lio_tpg", Kind::Text),
    Param::new("master-pubkey", Kind::Text),
    Param::new("max-protected-backups", Kind::Integer(-1, i64::MAX)),
    Param::new("mkdir", Kind::Boolean),
    Param::new("monhost", Kind::Text),
    Param::new("mountpoint", Kind::Form(absolute_path)),
    Param::new("namespace", Kind::Text),
    Param::new("nocow", Kind::Boolean),
    Param::new("nodes", Kind::FormList(node_name)),
    Param::new("nowritecache", Kind::Boolean),
    Param::new("options", Kind::Text),
    Param::new("password", Kind::TextMax(256)),
    Param::new("pool", Kind::Text),
    Param::new("port", Kind::Integer(1, 65535)),
    Param::new(
        "preallocation",
        Kind::Enum(&["off", "metadata", "falloc", "full"]),
    ),
    Param::new("prune-backups", Kind::Text),
    Param::new("saferemove", Kind::Boolean),
    Param::new(
        "saferemove-stepsize",
        Kind::Enum(&["1", "2", "4", "8", "16", "32"]),
    ),
    Param::new("saferemove_throughput", Kind::Text),
    Param::new("server", Kind::Text),
    Param::new("shared", Kind::Boolean),
    Param::new("skip-cert-verification", Kind::Boolean),
    Param::new(
        "smbversion",
        Kind::Enum(&["default", "2.0", "2.1", "3", "3.0", "3.11"]),
    ),
    Param::new("snapshot-as-volume-chain", Kind::Boolean),
    Param::new("sparse", Kind::Boolean),
    Param::new("subdir", Kind::Form(absolute_path)),
    Param::new("tagged_only", Kind::Boolean),
    Param::new("username", Kind::Text),
    Param::new("zfs-base-path", Kind::Form(absolute_path)),
];
/// What only creation takes.
const FIXED: &[Param] = &[
    Param::required("storage", Kind::Form(storage_id)),
    Param::required("type", Kind::Enum(TYPES)),
    Param::new("authsupported", Kind::Text),
    Param::new("base", Kind::Text),
    Param::new("datastore", Kind::Text),
    Param::new("export", Kind::Form(absolute_path)),
    Param::new("iscsiprovider", Kind::Text),
    Param::new("path", Kind::Form(absolute_path)),
    Param::new("portal", Kind::Text),
    Param::new("share", Kind::Text),
    Param::new("target", Kind::Text),
    Param::new("thinpool", Kind::Text),
    Param::new("vgname", Kind::Text),
];
const UPDATE: &[Param] = &[
    Param::new("delete", Kind::TextMax(4096)),
    Param::new("digest", DIGEST),
];
const LIST: &[Param] = &[Param::new("type", Kind::Enum(TYPES))];
/// Secrets go to files of their own and are never shown.
const SECRETS: &[&str] = &["password", "keyring", "encryption-key", "master-pubkey"];
const ALLOCATE: Access = Access::All("/storage", &["Datastore.Allocate"]);

/// The routes of storage definitions.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/storage", &[LIST], Access::User, list),
        route(Post, "/storage", &[FIXED, CHANGEABLE], ALLOCATE, create),
        route(
            Get,
            "/storage/{storage}",
            &[],
            Access::All("/storage/{storage}", &["Datastore.Allocate"]),
            get,
        ),
        route(
            Put,
            "/storage/{storage}",
            &[CHANGEABLE, UPDATE],
            ALLOCATE,
            update,
        ),
        route(Delete, "/storage/{storage}", &[], ALLOCATE, delete),
    ]
}

fn content_type(value: &str) -> Result<(), String> {
    match value {
        "images" | "rootdir" | "vztmpl" | "iso" | "backup" | "snippets" | "import" | "none" => {
            Ok(())
        }
        _ => Err(format!("invalid content type '{value}'")),
    }
}

/// What a type needs, in the file's order; these are also fixed, and so are `fixed`.
fn required(kind: &str) -> &'static [&'static str] {
    match kind {
        "dir" | "btrfs" => &["path"],
        "nfs" => &["export", "path", "server"],
        "cifs" => &["path", "server", "share"],
        "cephfs" => &["path"],
        "lvm" => &["vgname"],
        "lvmthin" => &["thinpool", "vgname"],
        "zfspool" => &["pool"],
        "zfs" => &["blocksize", "iscsiprovider", "pool", "portal", "target"],
        "iscsi" | "iscsidirect" => &["portal", "target"],
        "pbs" => &["datastore", "server"],
        "esxi" => &["server", "username"],
        _ => &[],
    }
}

fn is_fixed(kind: &str, key: &str) -> bool {
    required(kind).contains(&key) && !(kind == "esxi" && key == "username")
        || matches!(
            (kind, key),
            ("nfs" | "dir", "snapshot-as-volume-chain") | ("lvm", "base")
        )
}

/// Whether a type has an option at all.
fn has_option(kind: &str, key: &str) -> bool {
    const FILES: &[&str] = &[
        "content-dirs",
        "prune-backups",
        "max-protected-backups",
        "format",
        "mkdir",
        "create-base-path",
        "create-subdirs",
        "preallocation",
    ];
    let of_files = || FILES.contains(&key);
    if matches!(key, "nodes" | "disable" | "content")
        || (key == "bwlimit" && kind != "pbs")
        || required(kind).contains(&key)
    {
        return true;
    }
    match kind {
        "dir" => {
            of_files() || matches!(key, "shared" | "is_mountpoint" | "snapshot-as-volume-chain")
        }
        "btrfs" => of_files() || matches!(key, "is_mountpoint" | "nocow"),
        "nfs" => of_files() || matches!(key, "options" | "snapshot-as-volume-chain"),
        "cifs" => {
            of_files()
                || matches!(
                    key,
                    "options"
                        | "subdir"
                        | "username"
                        | "password"
                        | "domain"
                        | "smbversion"
                        | "snapshot-as-volume-chain"
                )
        }
        "cephfs" => {
            of_files()
                || matches!(
                    key,
                    "monhost" | "subdir" | "options" | "username" | "fuse" | "keyring" | "fs-name"
                )
        }
        "zfspool" => matches!(key, "blocksize" | "sparse" | "mountpoint"),
        "lvm" => matches!(
            key,
            "shared"
                | "saferemove"
                | "saferemove_throughput"
                | "saferemove-stepsize"
                | "base"
                | "tagged_only"
                | "snapshot-as-volume-chain"
        ),
        "lvmthin" => false,
        "rbd" => matches!(
            key,
            "monhost"
                | "pool"
                | "data-pool"
                | "namespace"
                | "username"
                | "krbd"
                | "keyring"
                | "authsupported"
        ),
        "zfs" => matches!(
            key,
            "nowritecache" | "sparse" | "comstar_hg" | "comstar_tg" | "lio_tpg" | "zfs-base-path"
        ),
        "pbs" => matches!(
            key,
            "namespace"
                | "port"
                | "username"
                | "password"
                | "encryption-key"
                | "master-pubkey"
                | "prune-backups"
                | "max-protected-backups"
                | "fingerprint"
                | "skip-cert-verification"
        ),
        "esxi" => matches!(
            key,
            "shared" | "password" | "skip-cert-verification" | "port"
        ),
        _ => false,
    }
}

fn default_content(kind: &str) -> &'static str {
    match kind {
        "dir" | "btrfs" | "zfspool" | "lvmthin" => "images,rootdir",
        "pbs" | "cephfs" => "backup",
        "esxi" => "import",
        _ => "images",
    }
}

impl Cluster {
    /// All storages. Proxmox VE always has `local`, defined or not.
    #[must_use]
    pub fn storages(&self) -> Vec<Section> {
        let mut sections = section_config::parse(self.files.read(FILE));
        for section in &mut sections {
            if section.get("content").is_none() {
                let content = default_content(&section.kind);
                section.set("content", content);
            }
        }
        if !sections.iter().any(|section| section.id == "local") {
            let lines = [
                ("path", "/var/lib/vz"),
                ("content", "backup,iso,vztmpl,rootdir,images,snippets"),
                ("prune-backups", "keep-all=1"),
                ("priority", "0"),
            ];
            let lines = lines
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec();
            sections.push(Section {
                kind: "dir".into(),
                id: "local".into(),
                lines,
            });
        }
        sections
    }
}

fn shown(section: &Section, digest: &str) -> Value {
    let mut map = Map::new();
    for (key, value) in &section.lines {
        let numeric = matches!(
            key.as_str(),
            "port" | "max-protected-backups" | "priority" | "saferemove-stepsize"
        );
        let boolean = CHANGEABLE
            .iter()
            .any(|row| row.name == key && matches!(row.kind, Kind::Boolean));
        let value = match (numeric, boolean) {
            (true, _) => value
                .parse::<i64>()
                .map_or_else(|_| json!(value), |number| json!(number)),
            (_, true) => json!(u8::from(loose_truth(value).unwrap_or(false))),
            _ => json!(value),
        };
        map.insert(key.clone(), value);
    }
    if always_shared(&section.kind) {
        map.insert("shared".into(), json!(1));
    }
    map.insert("storage".into(), json!(section.id));
    map.insert("type".into(), json!(section.kind));
    map.insert("digest".into(), json!(digest));
    Value::Object(map)
}

fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let digest = cluster.files.digest(FILE);
    let mut answer = vec![];
    for section in cluster.storages() {
        let path = format!("/storage/{}", section.id);
        let held = cluster.privileges(&call.auth, &path);
        let visible =
            held.contains_key("Datastore.Audit") || held.contains_key("Datastore.AllocateSpace");
        if visible && call.get("type").is_none_or(|kind| kind == section.kind) {
            answer.push(shown(&section, &digest));
        }
    }
    Ok(Value::Array(answer))
}

fn get(cluster: &mut Cluster, call: &Call) -> Answer {
    let section = cluster.require_storage(call.text("storage"))?;
    Ok(shown(&section, &cluster.files.digest(FILE)))
}

fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let (id, kind) = (call.text("storage"), call.text("type"));
    let mut section = Section {
        kind: kind.into(),
        id: id.into(),
        lines: vec![],
    };
    for (key, value) in settings(call) {
        if !has_option(kind, &key) {
            return Err(ApiError::internal(format!("unexpected property '{key}'")));
        }
        section.set(&key, value);
    }
    if matches!(kind, "nfs" | "cifs" | "cephfs") && section.get("path").is_none() {
        section.set("path", format!("/mnt/pve/{id}"));
    }
    if let Some(missing) = required(kind).iter().find(|key| section.get(key).is_none()) {
        return Err(ApiError::internal(format!(
            "missing value for required option '{missing}'"
        )));
    }
    let failed = |text: String| ApiError::internal(format!("create storage failed: {text}"));
    let mut sections = section_config::parse(cluster.files.read(FILE));
    if sections.iter().any(|known| known.id == id) {
        return Err(failed(format!("storage ID '{id}' already defined")));
    }
    if section.get("content").is_none() {
        section.set("content", default_content(kind));
    }
    sections.push(ordered(section));
    cluster.files.set(FILE, section_config::print(&sections));
    Ok(json!({ "storage": id, "type": kind }))
}

/// What goes to the file.
fn settings(call: &Call) -> Vec<(String, String)> {
    let apart = |key: &str| {
        matches!(key, "storage" | "type" | "digest" | "delete" | "node") || SECRETS.contains(&key)
    };
    call.params
        .iter()
        .filter(|(key, _)| !apart(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Proxmox VE's order: disable, what the type requires, the rest; a disable that is off is not written.
fn ordered(mut section: Section) -> Section {
    section.unset("priority");
    if !section.flag("disable") {
        section.unset("disable");
    }
    let rank = |key: &str| match key {
        "disable" => 0,
        key if required(&section.kind).contains(&key) => 1,
        _ => 2,
    };
    let mut lines = section.lines.clone();
    lines.sort_by(|(one, _), (other, _)| (rank(one), one).cmp(&(rank(other), other)));
    Section { lines, ..section }
}

fn update(cluster: &mut Cluster, call: &Call) -> Answer {
    change(cluster, call)
        .map_err(|text| ApiError::internal(format!("update storage failed: {text}")))
}

fn change(cluster: &mut Cluster, call: &Call) -> Result<Value, String> {
    let id = call.text("storage");
    files::assert_unmodified(&cluster.files.digest(FILE), call.get("digest"))?;
    let mut sections: Vec<Section> = cluster.storages();
    let section = sections
        .iter_mut()
        .find(|section| section.id == id)
        .ok_or_else(|| format!("storage '{id}' does not exist"))?;
    let kind = section.kind.clone();
    for (key, value) in settings(call) {
        if !has_option(&kind, &key) {
            return Err(format!("unexpected property '{key}'"));
        }
        if is_fixed(&kind, &key) && section.get(&key) != Some(value.as_str()) {
            return Err(format!("can't change value of fixed parameter '{key}'"));
        }
        section.set(&key, value);
    }
    for key in call.list("delete") {
        if call.params.contains_key(&key) {
            return Err(format!(
                "unable to delete and set option '{key}' at the same time"
            ));
        }
        if SECRETS.contains(&key.as_str()) {
            continue;
        }
        if !has_option(&kind, &key) {
            return Err(format!("no such option '{key}'"));
        }
        if required(&kind).contains(&key.as_str()) {
            return Err(format!("unable to delete required option '{key}'"));
        }
        if is_fixed(&kind, &key) {
            return Err(format!("unable to delete fixed option '{key}'"));
        }
        section.unset(&key);
    }
    *section = ordered(section.clone());
    cluster.files.set(FILE, section_config::print(&sections));
    Ok(json!({ "storage": id, "type": kind }))
}

fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("storage");
    let failed = |text: String| ApiError::internal(format!("delete storage failed: {text}"));
    let mut sections = cluster.storages();
    if !sections.iter().any(|section| section.id == id) {
        return Err(failed(format!("storage '{id}' does not exist")));
    }
    let prefix = format!("{id}:");
    if sections.iter().any(|section| {
        section
            .get("base")
            .is_some_and(|base| base.starts_with(&prefix))
    }) {
        return Err(failed(
            "can't remove storage - storage is used as base of another storage".into(),
        ));
    }
    sections.retain(|section| section.id != id);
    cluster.files.set(FILE, section_config::print(&sections));
    cluster.change_users(|users| {
        users.forget_storage(id);
        Ok::<_, ApiError>(Value::Null)
    })
}
