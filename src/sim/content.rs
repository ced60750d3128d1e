//! `/nodes/{node}/storage`: how storages stand on a node, and the volumes they hold.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Auth, Call, Method};
use super::formats::{VMID, node_name, storage_id};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::Section;
use super::state::{Cluster, GuestKind};
use super::tasks::TaskSpec;
use super::volumes::{Volume, is_file_based};

const LIST: &[Param] = &[
    Param::new("content", Kind::Text),
    Param::new("enabled", Kind::Boolean),
    Param::new("format", Kind::Boolean),
    Param::new("storage", Kind::Form(storage_id)),
    Param::new("target", Kind::Form(node_name)),
];
const CONTENT: &[Param] = &[Param::new("content", Kind::Text), Param::new("vmid", VMID)];
const CREATE: &[Param] = &[
    Param::required("filename", Kind::Text),
    Param::required("size", Kind::Text),
    Param::required("vmid", VMID),
    Param::new("format", Kind::Enum(&["raw", "qcow2", "subvol", "vmdk"])),
];
const DELETE: &[Param] = &[Param::new("delay", Kind::Integer(1, 30))];
const NOTES: &[Param] = &[
    Param::new("notes", Kind::Text),
    Param::new("protected", Kind::Boolean),
];
const READ: Access = Access::Any(
    "/storage/{storage}",
    &["Datastore.Audit", "Datastore.AllocateSpace"],
);

/// The routes of storages on nodes.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/nodes/{node}/storage", &[LIST], Access::User, list),
        route(Get, "/nodes/{node}/storage/{storage}", &[], READ, index),
        route(
            Get,
            "/nodes/{node}/storage/{storage}/status",
            &[],
            READ,
            status,
        ),
        route(
            Get,
            "/nodes/{node}/storage/{storage}/content",
            &[CONTENT],
            READ,
            content,
        ),
        route(
            Post,
            "/nodes/{node}/storage/{storage}/content",
            &[CREATE],
            Access::All("/storage/{storage}", &["Datastore.AllocateSpace"]),
            create,
        ),
        route(
            Get,
            "/nodes/{node}/storage/{storage}/content/{volume*}",
            &[],
            Access::User,
            volume,
        ),
        route(
            Put,
            "/nodes/{node}/storage/{storage}/content/{volume*}",
            &[NOTES],
            Access::User,
            annotate,
        ),
        route(
            Delete,
            "/nodes/{node}/storage/{storage}/content/{volume*}",
            &[DELETE],
            Access::User,
            delete,
        ),
    ]
}

/// A storage on a node: its type, contents, and how full it is; zeros if it is not usable there.
fn standing(cluster: &Cluster, node: &str, section: &Section) -> Map<String, Value> {
    let enabled = !section.flag("disable") && section.on_node(node);
    let active = enabled && cluster.usable_storage(node, &section.id).is_ok();
    let (total, used) = if active {
        cluster.usage(node, &section.id)
    } else {
        (0, 0)
    };
    let mut map = Map::new();
    for (name, value) in [
        ("type", json!(section.kind)),
        ("content", json!(section.list("content").join(","))),
        (
            "shared",
            json!(u8::from(cluster.storage_is_shared(section))),
        ),
        ("enabled", json!(u8::from(enabled))),
        ("active", json!(u8::from(active))),
        ("total", json!(total)),
        ("used", json!(used)),
        ("avail", json!(total - used)),
    ] {
        map.insert(name.into(), value);
    }
    map
}

fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let node = call.node();
    let wanted = call.list("content");
    let mut answer = vec![];
    for section in cluster.storages() {
        let held = cluster.privileges(&call.auth, &format!("/storage/{}", section.id));
        let visible =
            held.contains_key("Datastore.Audit") || held.contains_key("Datastore.AllocateSpace");
        let usable = !section.flag("disable")
            && section.on_node(node)
            && call
                .get("target")
                .is_none_or(|target| section.on_node(target));
        let filtered = call.is_set("enabled") || !wanted.is_empty() || call.get("target").is_some();
        let named = call.get("storage").is_none_or(|id| id == section.id);
        let holds = wanted.is_empty() || wanted.iter().any(|word| section.holds(word));
        if !visible || !named || !holds || (filtered && !usable) {
            continue;
        }
        let mut map = standing(cluster, node, &section);
        let number = |name: &str| map.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let (total, used) = (number("total"), number("used"));
        if total > 0.0 {
            map.insert("used_fraction".into(), json!(used / total));
        }
        map.insert("storage".into(), json!(section.id));
        answer.push(Value::Object(map));
    }
    Ok(Value::Array(answer))
}

fn index(cluster: &mut Cluster, call: &Call) -> Answer {
    cluster.require_storage(call.text("storage"))?;
    let names = [
        "content",
        "download-url",
        "file-restore",
        "import-metadata",
        "oci-registry-pull",
        "prunebackups",
        "rrd",
        "rrddata",
        "status",
        "upload",
    ];
    Ok(names.iter().map(|name| json!({ "subdir": name })).collect())
}

fn status(cluster: &mut Cluster, call: &Call) -> Answer {
    let section = cluster.require_storage(call.text("storage"))?;
    Ok(Value::Object(standing(cluster, call.node(), &section)))
}

impl Cluster {
    /// `images`, `rootdir`, `iso` …: a disk whose owner is a container is a `rootdir`.
    #[must_use]
    pub fn content_of(&self, volume: &Volume) -> &'static str {
        match (
            volume.content(),
            volume.owner().and_then(|vmid| self.guest(vmid)),
        ) {
            ("images", Some(guest)) if guest.kind == GuestKind::Lxc => "rootdir",
            (content, _) => content,
        }
    }

    /// That a caller may use a volume, for guest `vmid` if there is one (PVE::Storage `check_volume_access`).
    ///
    /// # Errors
    /// Status 403.
    pub fn check_volume(
        &self,
        auth: &Auth,
        vmid: Option<u32>,
        volume: &Volume,
    ) -> Result<(), ApiError> {
        let storage = format!("/storage/{}", volume.storage());
        if self.allowed(auth, &storage, "Datastore.Allocate") {
            return Ok(());
        }
        match (volume.content(), volume.owner()) {
            ("iso" | "vztmpl" | "import", _) => self.check_any(
                auth,
                &storage,
                &["Datastore.AllocateSpace", "Datastore.Audit"],
            ),
            (_, Some(owner)) if vmid == Some(owner) => Ok(()),
            ("backup", Some(owner)) => {
                self.check_all(auth, &storage, &["Datastore.AllocateSpace"])?;
                self.check_all(auth, &format!("/vms/{owner}"), &["VM.Backup"])
            }
            ("images" | "rootdir", Some(owner)) => {
                self.check_all(auth, &storage, &["Datastore.Audit"])?;
                self.check_all(auth, &format!("/vms/{owner}"), &["VM.Config.Disk"])
            }
            _ => Err(ApiError::new(
                403,
                format!("missing privileges to access {}", volume.volid),
            )),
        }
    }

    /// Where a volume is on its node, as Proxmox VE's tools name it.
    #[must_use]
    pub fn volume_path(&self, volume: &Volume) -> String {
        let section = self.storage(volume.storage()).unwrap_or_default();
        let get = |key: &str| section.get(key).unwrap_or_default().to_owned();
        let name = volume.name();
        match section.kind.as_str() {
            kind if is_file_based(kind) => match name.split_once('/') {
                Some(("iso", file)) => format!("{}/template/iso/{file}", get("path")),
                Some(("vztmpl", file)) => format!("{}/template/cache/{file}", get("path")),
                Some(("backup", file)) => format!("{}/dump/{file}", get("path")),
                Some(("snippets" | "import", _)) => format!("{}/{name}", get("path")),
                _ => format!("{}/images/{}", get("path"), last_two(name)),
            },
            "zfspool" if volume.format == "subvol" => format!("/{}/{}", get("pool"), last(name)),
            "zfspool" => format!("/dev/zvol/{}/{}", get("pool"), last(name)),
            "lvm" | "lvmthin" => format!("/dev/{}/{}", get("vgname"), last(name)),
            "rbd" => format!(
                "rbd:{}/{}",
                section.get("pool").unwrap_or("rbd"),
                last(name)
            ),
            kind => format!("{kind}:{}", volume.volid),
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `105/base-105-disk-0.qcow2/120/vm-120-disk-0.qcow2` lies in `120/`.
fn last_two(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    parts
        .get(parts.len().saturating_sub(2)..)
        .unwrap_or_default()
        .join("/")
}

fn content(cluster: &mut Cluster, call: &Call) -> Answer {
    let (node, storage) = (call.node(), call.text("storage"));
    let section = cluster.usable_storage(node, storage)?;
    let files = is_file_based(&section.kind);
    let mut answer = vec![];
    for volume in cluster.volumes.on(node, storage) {
        let kind = cluster.content_of(volume);
        let wanted = call.get("content").is_none_or(|content| content == kind)
            && call.get("vmid").is_none_or(|vmid| {
                volume
                    .owner()
                    .is_some_and(|owner| owner.to_string() == vmid)
            });
        if !wanted || cluster.check_volume(&call.auth, None, volume).is_err() {
            continue;
        }
        let mut map = Map::new();
        map.insert("volid".into(), json!(volume.volid));
        map.insert("content".into(), json!(kind));
        map.insert("format".into(), json!(volume.format));
        map.insert("size".into(), json!(volume.size));
        map.insert("ctime".into(), json!(volume.ctime));
        let disk = matches!(kind, "images" | "rootdir");
        if let Some(owner) = volume.owner() {
            map.insert("vmid".into(), json!(owner));
        }
        if disk && files {
            map.insert("used".into(), json!(volume.used.unwrap_or(volume.size)));
        }
        match &volume.parent {
            Some(parent) => map.insert("parent".into(), json!(parent)),
            None if disk && files => map.insert("parent".into(), Value::Null),
            None => None,
        };
        if kind == "backup" {
            map.insert(
                "subtype".into(),
                json!(if volume.name().contains("-lxc-") {
                    "lxc"
                } else {
                    "qemu"
                }),
            );
            if let Some(notes) = &volume.notes {
                map.insert("notes".into(), json!(notes));
            }
            if volume.protected {
                map.insert("protected".into(), json!(1));
            }
        }
        answer.push(Value::Object(map));
    }
    Ok(Value::Array(answer))
}

fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let (node, storage) = (call.node().to_owned(), call.text("storage").to_owned());
    let size = super::worldfile::parse_size(call.text("size"))
        .ok_or_else(|| ApiError::parameter("size", "value does not match the regex pattern"))?;
    let kilobytes = !call
        .text("size")
        .ends_with(|c: char| c.is_ascii_alphabetic());
    let size = if kilobytes {
        size.saturating_mul(1024)
    } else {
        size
    };
    let section = cluster.usable_storage(&node, &storage)?;
    let name = call.text("filename");
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let good = stem.starts_with("vm-") && super::volumes::owner(stem).is_some();
    let files = is_file_based(&section.kind);
    if !good || (files && extension.is_empty()) {
        return Err(ApiError::internal(format!(
            "unable to parse volume filename '{name}'"
        )));
    }
    if super::volumes::owner(stem) != Some(call.vmid()) {
        return Err(ApiError::internal(format!(
            "illegal name '{name}' - should be 'vm-{}-*'",
            call.vmid()
        )));
    }
    let format = call.get("format").unwrap_or(if extension.is_empty() {
        "raw"
    } else {
        extension
    });
    let format = super::volumes::volume_format(&section, Some(format))?;
    let volid = if files {
        format!("{storage}:{}/{name}", call.vmid())
    } else {
        format!("{storage}:{name}")
    };
    Ok(json!(
        cluster.allocate_named(&node, &section, volid, size, &format)?
    ))
}

/// The volume's id: the path may name it with or without its storage.
fn volume_id(call: &Call) -> Result<String, ApiError> {
    let (storage, volume) = (call.text("storage"), call.text("volume"));
    match volume.split_once(':') {
        None => Ok(format!("{storage}:{volume}")),
        Some((own, _)) if own == storage => Ok(volume.to_owned()),
        Some((own, _)) => Err(ApiError::internal(format!(
            "storage ID missmatch ({own} != {storage})"
        ))),
    }
}

fn existing(cluster: &Cluster, call: &Call) -> Result<Volume, ApiError> {
    let volid = volume_id(call)?;
    cluster.usable_storage(call.node(), call.text("storage"))?;
    let volume = cluster.volumes.get(call.node(), &volid).cloned();
    let volume =
        volume.ok_or_else(|| ApiError::internal(format!("volume '{volid}' does not exist")))?;
    cluster.check_volume(&call.auth, None, &volume)?;
    Ok(volume)
}

fn volume(cluster: &mut Cluster, call: &Call) -> Answer {
    let volume = existing(cluster, call)?;
    let mut answer = json!({
        "path": cluster.volume_path(&volume),
        "size": volume.size,
        "used": volume.used.unwrap_or(volume.size),
        "format": if volume.content() == "backup" { "raw" } else { &volume.format },
    });
    if let (true, Value::Object(answer)) = (volume.content() == "backup", &mut answer) {
        answer.insert(
            "notes".into(),
            json!(volume.notes.clone().unwrap_or_default()),
        );
        answer.insert("protected".into(), json!(u8::from(volume.protected)));
    }
    Ok(answer)
}

fn annotate(cluster: &mut Cluster, call: &Call) -> Answer {
    let found = existing(cluster, call)?;
    if found.content() != "backup" {
        return Err(ApiError::internal(
            "volume does not support notes or protection".to_owned(),
        ));
    }
    if let Some(volume) = cluster.volumes.get_mut(call.node(), &found.volid) {
        if let Some(notes) = call.get("notes") {
            volume.notes = Some(notes.to_owned());
        }
        volume.protected = call.flag("protected").unwrap_or(volume.protected);
    }
    Ok(Value::Null)
}

fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let (node, storage, volid) = (
        call.node().to_owned(),
        call.text("storage").to_owned(),
        volume_id(call)?,
    );
    cluster.usable_storage(&node, &storage)?;
    let known = cluster.volumes.get(&node, &volid).cloned();
    let volume = known.clone().unwrap_or(Volume {
        volid: volid.clone(),
        ..Volume::default()
    });
    match (volume.content(), volume.owner()) {
        ("backup", Some(owner))
            if !cluster.allowed(
                &call.auth,
                &format!("/storage/{storage}"),
                "Datastore.Allocate",
            ) =>
        {
            cluster.check_all(
                &call.auth,
                &format!("/storage/{storage}"),
                &["Datastore.AllocateSpace"],
            )?;
            cluster.check_all(&call.auth, &format!("/vms/{owner}"), &["VM.Backup"])?;
        }
        _ => cluster.check_all(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate"],
        )?,
    }
    let id = match volume.owner() {
        Some(vmid) => format!("{vmid}@{storage}"),
        None => storage.clone(),
    };
    let path = cluster.volume_path(&volume);
    let spec = TaskSpec::new(&node, "imgdel", id, &call.auth).lasting(0.5);
    Ok(cluster.spawn(spec, move |cluster, log| {
        if volume.protected {
            return Err(format!(
                "cannot remove protected volume '{}' on '{}'",
                volume.name(),
                volume.storage()
            ));
        }
        if known.is_none() {
            log.say(format!("disk image '{path}' does not exist"));
        }
        cluster.free(&node, &volid)?;
        log.say(format!("Removed volume '{volid}'"));
        Ok(())
    }))
}
