//! What people do to a cluster by hand: through the API with a token that may do everything, or on a node's shell. Much of it is
//! refused, as it is in life.

use bailiwick::proxmox::Call;
use bailiwick::sim::Fault;
use bailiwick::sim::state::{Guest, GuestKind};
use bailiwick::sim::volumes::Volume;
use proptest::prelude::*;

use crate::stand::Stand;

/// One thing done, to whichever of many, in one of some ways; then time passes, and cycles.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    pub what: What,
    pub which: u8,
    pub how: u8,
    /// Simulated seconds that pass afterwards.
    pub pause: u8,
    /// Cycles that happen after that.
    pub cycles: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Create,
    Destroy,
    Rename,
    Configure,
    EditFile,
    AddDisk,
    Resize,
    MoveDisk,
    Snapshot,
    DropSnapshot,
    RollBack,
    Power,
    Migrate,
    Clone,
    Template,
    Relocate,
    Pool,
    PoolMember,
    PoolGone,
    NewStorage,
    EditStorage,
    StorageGone,
    StorageOffline,
    Ha,
    HaGone,
    Rule,
    Job,
    JobGone,
    Replicate,
    Options,
    GiveOthers,
    Hide,
    Show,
    Node,
    Bridge,
    Volume,
    VolumeGone,
    Lock,
    Unreadable,
}

const ALL: &[What] = &[
    What::Create,
    What::Destroy,
    What::Rename,
    What::Configure,
    What::EditFile,
    What::AddDisk,
    What::Resize,
    What::MoveDisk,
    What::Snapshot,
    What::DropSnapshot,
    What::RollBack,
    What::Power,
    What::Migrate,
    What::Clone,
    What::Template,
    What::Relocate,
    What::Pool,
    What::PoolMember,
    What::PoolGone,
    What::NewStorage,
    What::EditStorage,
    What::StorageGone,
    What::StorageOffline,
    What::Ha,
    What::HaGone,
    What::Rule,
    What::Job,
    What::JobGone,
    What::Replicate,
    What::Options,
    What::GiveOthers,
    What::Hide,
    What::Show,
    What::Node,
    What::Bridge,
    What::Volume,
    What::VolumeGone,
    What::Lock,
    What::Unreadable,
];

/// Any deed.
pub fn deed() -> impl Strategy<Value = Deed> {
    (
        prop::sample::select(ALL),
        any::<u8>(),
        any::<u8>(),
        prop::sample::select(&[0u8, 0, 2, 6, 25][..]),
        0u8..3,
    )
        .prop_map(|(what, which, how, pause, cycles)| Deed {
            what,
            which,
            how,
            pause,
            cycles,
        })
}

fn pick<T: Clone>(list: &[T], which: u8) -> Option<T> {
    (!list.is_empty()).then(|| list[usize::from(which) % list.len()].clone())
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const STORAGES: [&str; 5] = ["local", "lvm", "ceph", "nas", "extra"];
const POOLS: [&str; 4] = ["prod", "lab", "new", "prod/web"];

/// The path of a guest's calls.
fn of<'a>(guest: &'a Guest, vmid: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut path = vec!["nodes", guest.node.as_str(), guest.kind.api(), vmid];
    path.extend(rest);
    path
}

impl Deed {
    /// Does it; whether it was taken.
    pub async fn act(&self, stand: &Stand) -> bool {
        let Self {
            what, which, how, ..
        } = *self;
        let guests = stand.sim.with(|cluster| cluster.guests());
        let storage = STORAGES[usize::from(how) % STORAGES.len()];
        let node = NODES[usize::from(how) % NODES.len()];
        let pool = POOLS[usize::from(which) % POOLS.len()];
        let free = (100..200u32).find(|id| guests.iter().all(|guest| guest.vmid != *id));
        let free = free.unwrap_or(200).to_string();
        let guest = pick(&guests, which).unwrap_or(Guest {
            vmid: 999,
            kind: GuestKind::Qemu,
            node: "n1".into(),
        });
        let vmid = guest.vmid.to_string();
        let disk = match guest.kind {
            GuestKind::Qemu => "scsi0",
            GuestKind::Lxc => "rootfs",
        };
        match what {
            What::Create if which % 3 == 0 => {
                let call = Call::post(["nodes", node, "lxc"])
                    .param("vmid", free)
                    .param("ostemplate", "local:vztmpl/debian-13.tar.zst")
                    .param("rootfs", "ceph:4")
                    .param("hostname", "made");
                stand.write(call).await
            }
            What::Create => {
                let call = Call::post(["nodes", node, "qemu"])
                    .param("vmid", free)
                    .param("name", "made")
                    .param("memory", "512")
                    .param("scsi0", if how % 2 == 0 { "lvm:4" } else { "ceph:4" })
                    .param("net0", "virtio,bridge=vmbr0");
                let call = if which % 2 == 0 {
                    call
                } else {
                    call.param("pool", "lab")
                };
                stand.write(call).await
            }
            What::Destroy => {
                let call = Call::delete(of(&guest, &vmid, &[]));
                let call = if how % 2 == 0 {
                    call.param("purge", "1")
                } else {
                    call
                };
                stand.write(call).await
            }
            What::Rename => {
                let key = match guest.kind {
                    GuestKind::Qemu => "name",
                    GuestKind::Lxc => "hostname",
                };
                let call = Call::put(of(&guest, &vmid, &["config"]));
                stand.write(call.param(key, format!("called-{how}"))).await
            }
            What::Configure => {
                let call = Call::put(of(&guest, &vmid, &["config"]));
                let call = match how % 5 {
                    0 => call.param("cores", (how % 7 + 1).to_string()),
                    1 => call.param("memory", (512 + u32::from(how)).to_string()),
                    2 => call.param("tags", format!("t{how}")),
                    3 => call.param("description", format!("on {how}")),
                    _ => call.param("onboot", "1"),
                };
                stand.write(call).await
            }
            What::EditFile => stand.sim.with(|cluster| {
                let text = cluster.files.read(&guest.file()).to_owned();
                // At the top, so that it belongs to the first section.
                let line = match guest.kind {
                    GuestKind::Qemu => format!(
                        "net{}: virtio=BC:24:11:99:00:{how:02X},bridge=vmbr1\n",
                        how % 4 + 1
                    ),
                    GuestKind::Lxc => format!("lxc.environment: A={how}\n"),
                };
                let text = format!("{line}{text}");
                cluster.files.set(guest.file(), text);
                true
            }),
            What::AddDisk => {
                let call = Call::put(of(&guest, &vmid, &["config"]));
                let call = match guest.kind {
                    GuestKind::Qemu => call.param("scsi3", format!("{storage}:2")),
                    GuestKind::Lxc => call.param("mp3", format!("{storage}:2,mp=/data")),
                };
                stand.write(call).await
            }
            What::Resize => {
                let call = Call::put(of(&guest, &vmid, &["resize"]));
                stand
                    .write(call.param("disk", disk).param("size", "+1G"))
                    .await
            }
            What::MoveDisk => {
                let (rest, key) = match guest.kind {
                    GuestKind::Qemu => ("move_disk", "disk"),
                    GuestKind::Lxc => ("move_volume", "volume"),
                };
                let call = Call::post(of(&guest, &vmid, &[rest]))
                    .param(key, disk)
                    .param("storage", storage);
                let call = if which % 2 == 0 {
                    call.param("delete", "1")
                } else {
                    call
                };
                stand.write(call).await
            }
            What::Snapshot => {
                let call = Call::post(of(&guest, &vmid, &["snapshot"]))
                    .param("snapname", format!("s{}", how % 3));
                let ram = guest.kind == GuestKind::Qemu && which % 2 == 0;
                stand
                    .write(if ram {
                        call.param("vmstate", "1")
                    } else {
                        call
                    })
                    .await
            }
            What::DropSnapshot => {
                let name = format!("s{}", how % 3);
                stand
                    .write(Call::delete(of(&guest, &vmid, &["snapshot", &name])))
                    .await
            }
            What::RollBack => {
                let name = format!("s{}", how % 3);
                stand
                    .write(Call::post(of(
                        &guest,
                        &vmid,
                        &["snapshot", &name, "rollback"],
                    )))
                    .await
            }
            What::Power => {
                let verb = ["start", "stop", "shutdown", "reboot", "suspend", "resume"]
                    [usize::from(how) % 6];
                stand
                    .write(Call::post(of(&guest, &vmid, &["status", verb])))
                    .await
            }
            What::Migrate => {
                let call = Call::post(of(&guest, &vmid, &["migrate"])).param("target", node);
                let call = match (guest.kind, which % 2) {
                    (GuestKind::Qemu, 0) => {
                        call.param("online", "1").param("with-local-disks", "1")
                    }
                    (GuestKind::Lxc, 0) => call.param("restart", "1"),
                    _ => call,
                };
                stand.write(call).await
            }
            What::Clone => {
                let call = Call::post(of(&guest, &vmid, &["clone"])).param("newid", free);
                let call = if how % 2 == 0 {
                    call.param("full", "1")
                } else {
                    call
                };
                stand.write(call).await
            }
            What::Template => {
                stand
                    .write(Call::post(of(&guest, &vmid, &["template"])))
                    .await
            }
            // As an administrator does whose node died: the file is moved.
            What::Relocate => stand.sim.with(|cluster| {
                let to = Guest {
                    node: node.to_owned(),
                    ..guest.clone()
                };
                !cluster.running.contains_key(&guest.vmid)
                    && cluster.files.rename(&guest.file(), &to.file())
            }),
            What::Pool if how % 2 == 0 => {
                stand
                    .write(Call::post(["pools"]).param("poolid", pool))
                    .await
            }
            What::Pool => {
                let call = Call::put(["pools"]).param("poolid", pool);
                stand
                    .write(call.param("comment", format!("about {how}")))
                    .await
            }
            What::PoolMember => {
                let call = Call::put(["pools"]).param("poolid", POOLS[usize::from(how) % 4]);
                let call = match how % 3 {
                    0 => call.param("vms", vmid).param("allow-move", "1"),
                    1 => call.param("vms", vmid).param("delete", "1"),
                    _ => call.param("storage", STORAGES[usize::from(which) % 5]),
                };
                stand.write(call).await
            }
            What::PoolGone => stand.sim.with(|cluster| {
                let text = cluster.files.read("user.cfg").to_owned();
                let mut lines: Vec<&str> = text.lines().collect();
                let before = lines.len();
                lines.retain(|line| !line.starts_with(&format!("pool:{pool}:")));
                let gone = lines.len() < before;
                let text = lines.join("\n") + "\n";
                cluster.files.set("user.cfg", text);
                gone
            }),
            What::NewStorage => {
                let call = Call::post(["storage"])
                    .param("storage", "extra")
                    .param("content", "images,backup");
                let call = match how % 2 {
                    0 => call.param("type", "dir").param("path", "/mnt/extra"),
                    _ => call
                        .param("type", "nfs")
                        .param("server", "10.0.0.9")
                        .param("export", "/x"),
                };
                stand.write(call).await
            }
            What::EditStorage => {
                let call = Call::put(["storage", storage]);
                let call = match which % 4 {
                    0 => call.param("disable", (how % 2).to_string()),
                    1 => call.param("nodes", ["n1", "n1,n2", "n2,n3"][usize::from(how) % 3]),
                    2 => call.param("delete", "nodes"),
                    _ => call.param(
                        "content",
                        ["images", "images,rootdir", "images,backup"][usize::from(how) % 3],
                    ),
                };
                stand.write(call).await
            }
            What::StorageGone => stand.write(Call::delete(["storage", storage])).await,
            What::StorageOffline => stand.sim.with(|cluster| {
                let capacity = cluster.capacities.entry(storage.to_owned()).or_default();
                let node = NODES[usize::from(which) % 3].to_owned();
                match capacity.offline.iter().position(|offline| *offline == node) {
                    Some(at) => drop(capacity.offline.remove(at)),
                    None => capacity.offline.push(node),
                }
                true
            }),
            What::Ha => {
                let sid = format!("{}:{vmid}", guest.kind.service());
                let state = ["started", "stopped", "ignored", "disabled"][usize::from(how) % 4];
                let add = Call::post(["cluster", "ha", "resources"])
                    .param("sid", &sid)
                    .param("state", state);
                let set = Call::put(["cluster", "ha", "resources", &sid]).param("state", state);
                stand.write(add).await || stand.write(set).await
            }
            What::HaGone => {
                let sid = format!("{}:{vmid}", guest.kind.service());
                stand
                    .write(Call::delete(["cluster", "ha", "resources", &sid]))
                    .await
            }
            What::Rule => {
                let sid = format!("{}:{vmid}", guest.kind.service());
                let add = Call::post(["cluster", "ha", "rules"])
                    .param("rule", "there")
                    .param("type", "node-affinity")
                    .param("nodes", node)
                    .param("resources", sid);
                stand.write(add).await
                    || stand
                        .write(Call::delete(["cluster", "ha", "rules", "there"]))
                        .await
            }
            What::Job => {
                let add = Call::post(["cluster", "backup"])
                    .param("id", "extra")
                    .param("storage", "nas")
                    .param("schedule", "02:00")
                    .param("vmid", &vmid);
                let set = Call::put(["cluster", "backup", "extra"]).param("vmid", &vmid);
                stand.write(add).await || stand.write(set).await
            }
            What::JobGone => {
                let id = if how % 2 == 0 { "extra" } else { "nightly" };
                stand.write(Call::delete(["cluster", "backup", id])).await
            }
            What::Replicate => stand.sim.with(|cluster| {
                let text = cluster.files.read("replication.cfg").to_owned();
                let job = format!("local: {vmid}-0\n\ttarget {node}\n\n");
                let there = text.contains(&job);
                let text = if there {
                    text.replace(&job, "")
                } else {
                    text + &job
                };
                cluster.files.set("replication.cfg", text);
                true
            }),
            What::Options => {
                let call = Call::put(["cluster", "options"]);
                let call = match how % 2 {
                    0 => call.param("next-id", format!("lower={}", 400 + u32::from(which))),
                    _ => call.param("description", format!("the lab, {which}")),
                };
                stand.write(call).await
            }
            What::GiveOthers => {
                let path = match which % 4 {
                    0 => format!("/vms/{vmid}"),
                    1 => "/storage/nas".to_owned(),
                    2 => "/pool/prod".to_owned(),
                    _ => "/access".to_owned(),
                };
                let call = Call::put(["access", "acl"])
                    .param("path", path)
                    .param("users", "ben@pve")
                    .param("roles", "PVEAuditor");
                let call = if how % 2 == 0 {
                    call
                } else {
                    call.param("delete", "1")
                };
                stand.write(call).await
            }
            What::Hide => {
                let path = match how % 6 {
                    0 | 1 => format!("/vms/{vmid}"),
                    2 => format!("/storage/{}", STORAGES[usize::from(which) % 5]),
                    3 => "/pool/prod".to_owned(),
                    4 => "/access".to_owned(),
                    _ => format!("/nodes/{}", NODES[usize::from(which) % 3]),
                };
                let call = Call::put(["access", "acl"])
                    .param("path", path)
                    .param("tokens", crate::stand::CONTROLLER)
                    .param(
                        "roles",
                        if which % 2 == 0 {
                            "NoAccess"
                        } else {
                            "PVEAuditor"
                        },
                    );
                stand.write(call).await
            }
            What::Show => stand.sim.with(|cluster| {
                let text = cluster.files.read("user.cfg").to_owned();
                let kept = |line: &&str| !line.starts_with("acl:") || line.starts_with("acl:1:/:");
                let text: Vec<&str> = text.lines().filter(kept).collect();
                cluster.files.set("user.cfg", text.join("\n") + "\n");
                true
            }),
            What::Node => stand.sim.with(|cluster| {
                // What runs on a node that goes down stops, and it boots anew when it comes back.
                let now = cluster.clock.unix();
                let name = NODES[usize::from(which) % 3];
                let Some(node) = cluster.nodes.get_mut(name) else {
                    return false;
                };
                node.online = !node.online;
                node.booted = now;
                for guest in guests.iter().filter(|guest| guest.node == name) {
                    cluster.running.remove(&guest.vmid);
                }
                true
            }),
            What::Bridge => stand.sim.with(|cluster| {
                let Some(node) = cluster.nodes.get_mut(node) else {
                    return false;
                };
                match node.bridges.iter().position(|bridge| bridge == "vmbr7") {
                    Some(at) => drop(node.bridges.remove(at)),
                    None => node.bridges.push("vmbr7".to_owned()),
                }
                true
            }),
            What::Volume => stand.sim.with(|cluster| {
                let node = if matches!(storage, "ceph" | "nas") {
                    ""
                } else {
                    node
                };
                let now = cluster.clock.unix();
                cluster.volumes.insert(Volume {
                    volid: format!("{storage}:vm-{vmid}-disk-7"),
                    node: node.to_owned(),
                    size: 1 << 30,
                    used: None,
                    format: "raw".into(),
                    ctime: now,
                    parent: None,
                    notes: None,
                    protected: false,
                    contents: None,
                    checksums: Default::default(),
                });
                true
            }),
            What::VolumeGone => {
                let volume = format!("{storage}:vm-{vmid}-disk-7");
                let path = ["nodes", node, "storage", storage, "content", &volume];
                stand.write(Call::delete(path)).await
            }
            What::Lock => {
                let name = ["backup", "migrate", "snapshot"][usize::from(how) % 3];
                let text = format!("lock={name};vmid={vmid};seconds={}", how % 40);
                stand.sim.fault(Fault::parse(&text).unwrap());
                true
            }
            What::Unreadable => {
                let path = match how % 6 {
                    0 => format!("/nodes/*/*/{vmid}/pending"),
                    1 => format!("/nodes/*/*/{vmid}/snapshot"),
                    2 => format!("/nodes/{node}/storage/*/content"),
                    3 => format!("/nodes/{node}/status"),
                    4 => "/storage".to_owned(),
                    _ => "/pools".to_owned(),
                };
                let status =
                    ["500 broken", "595 No route to host", "403 no"][usize::from(which) % 3];
                let text = format!(
                    "status={status};method=GET;path={path};user={};count={}",
                    crate::stand::CONTROLLER,
                    which % 3 + 1
                );
                stand.sim.fault(Fault::parse(&text).unwrap());
                true
            }
        }
    }
}
