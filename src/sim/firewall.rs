//! The firewall's configuration at its four places: the cluster (`/cluster/firewall`), a node, a guest, and a vnet. Nothing is
//! filtered; what is kept is what the API lets be written.
//!
//! The files are Proxmox VE's: `firewall/cluster.fw`, `nodes/NODE/host.fw`, `firewall/VMID.fw`, `sdn/firewall/VNET.fw`. A guest that does
//! not exist has one too as soon as it is written.

pub mod file;
pub mod forms;
pub mod groups;
pub mod options;
pub mod rules;
pub mod sets;
pub mod vnets;

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use file::File;

/// Where a firewall is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The datacenter.
    Cluster,
    /// A node.
    Node,
    /// A guest.
    Guest,
    /// A vnet.
    Vnet,
}

impl Place {
    /// The place a request's path is about.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let mut parts = call.path.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next(), parts.next()) {
            (Some("cluster"), Some("sdn"), _) => Self::Vnet,
            (Some("cluster"), _, _) => Self::Cluster,
            (_, _, Some("firewall")) => Self::Node,
            _ => Self::Guest,
        }
    }
}

/// The path of the file a request is about.
#[must_use]
pub fn path(call: &Call) -> String {
    match Place::of(call) {
        Place::Cluster => "firewall/cluster.fw".into(),
        Place::Node => format!("nodes/{}/host.fw", call.node()),
        Place::Guest => format!("firewall/{}.fw", call.vmid()),
        Place::Vnet => format!("sdn/firewall/{}.fw", call.text("vnet")),
    }
}

/// The file a request is about.
#[must_use]
pub fn read(cluster: &Cluster, call: &Call) -> File {
    File::parse(cluster.files.read(&path(call)))
}

/// The datacenter's file, whose aliases, sets and groups every place may use.
#[must_use]
pub fn datacenter(cluster: &Cluster) -> File {
    File::parse(cluster.files.read("firewall/cluster.fw"))
}

/// Whether the datacenter's firewall is on now.
#[must_use]
pub fn is_on(cluster: &Cluster) -> bool {
    let file = datacenter(cluster);
    let enable = file.options.get("enable");
    enable.is_some_and(|value| options::on(cluster, value))
}

/// Writes the file a request is about. With whatever is written, a trial that is over is written as off.
pub fn write(cluster: &mut Cluster, call: &Call, file: &File) {
    let mut file = file.clone();
    if Place::of(call) == Place::Cluster
        && let Some(enable) = file.options.get_mut("enable")
        && options::over(cluster, enable)
    {
        "0".clone_into(enable);
    }
    cluster.files.set(path(call), file.print());
}

/// That a digest, if one was sent, is the present one.
///
/// # Errors
/// Proxmox VE's `detected modified configuration …`.
pub fn unmodified(call: &Call, current: &str) -> Result<(), ApiError> {
    super::files::assert_unmodified(current, call.get("digest")).map_err(ApiError::internal)
}

const DIGEST: Param = Param::new("digest", super::formats::DIGEST);
const LOG: &[Param] = &[
    Param::new("limit", super::formats::COUNT),
    Param::new("since", super::formats::COUNT),
    Param::new("start", super::formats::COUNT),
    Param::new("until", super::formats::COUNT),
];
const REFS: &[Param] = &[Param::new("type", Kind::Enum(&["alias", "ipset"]))];

/// The routes below one place: options, rules, log.
macro_rules! common {
    ($base:literal, $read:expr, $write:expr, $log:expr, $options:expr) => {
        [
            route(Method::Get, $base, &[], Access::User, index),
            route(
                Method::Get,
                concat!($base, "/options"),
                &[],
                $read,
                options::get,
            ),
            route(
                Method::Put,
                concat!($base, "/options"),
                &[$options, options::DELETE],
                $write,
                options::set,
            ),
            route(
                Method::Get,
                concat!($base, "/rules"),
                &[],
                $read,
                rules::list,
            ),
            route(
                Method::Post,
                concat!($base, "/rules"),
                &[rules::NEW, rules::RULE],
                $write,
                rules::create,
            ),
            route(
                Method::Get,
                concat!($base, "/rules/{pos}"),
                &[],
                $read,
                rules::get,
            ),
            route(
                Method::Put,
                concat!($base, "/rules/{pos}"),
                &[rules::CHANGE, rules::RULE],
                $write,
                rules::update,
            ),
            route(
                Method::Delete,
                concat!($base, "/rules/{pos}"),
                &[rules::DELETE],
                $write,
                rules::delete,
            ),
            route(Method::Get, concat!($base, "/log"), &[LOG], $log, log),
        ]
    };
}

/// Aliases and sets, which nodes do not have.
macro_rules! named {
    ($base:literal, $read:expr, $write:expr) => {
        [
            route(Method::Get, concat!($base, "/refs"), &[REFS], $read, refs),
            route(
                Method::Get,
                concat!($base, "/aliases"),
                &[],
                $read,
                sets::aliases,
            ),
            route(
                Method::Post,
                concat!($base, "/aliases"),
                &[sets::NEW_ALIAS],
                $write,
                sets::create_alias,
            ),
            route(
                Method::Get,
                concat!($base, "/aliases/{name}"),
                &[],
                $read,
                sets::alias,
            ),
            route(
                Method::Put,
                concat!($base, "/aliases/{name}"),
                &[sets::ALIAS],
                $write,
                sets::update_alias,
            ),
            route(
                Method::Delete,
                concat!($base, "/aliases/{name}"),
                &[&[DIGEST]],
                $write,
                sets::delete_alias,
            ),
            route(
                Method::Get,
                concat!($base, "/ipset"),
                &[],
                $read,
                sets::sets,
            ),
            route(
                Method::Post,
                concat!($base, "/ipset"),
                &[sets::NEW_SET],
                $write,
                sets::create_set,
            ),
            route(
                Method::Get,
                concat!($base, "/ipset/{name}"),
                &[],
                $read,
                sets::entries,
            ),
            route(
                Method::Post,
                concat!($base, "/ipset/{name}"),
                &[sets::NEW_ENTRY],
                $write,
                sets::create_entry,
            ),
            route(
                Method::Delete,
                concat!($base, "/ipset/{name}"),
                &[sets::DELETE_SET],
                $write,
                sets::delete_set,
            ),
            route(
                Method::Get,
                concat!($base, "/ipset/{name}/{cidr}"),
                &[],
                $read,
                sets::entry,
            ),
            route(
                Method::Put,
                concat!($base, "/ipset/{name}/{cidr}"),
                &[sets::ENTRY],
                $write,
                sets::update_entry,
            ),
            route(
                Method::Delete,
                concat!($base, "/ipset/{name}/{cidr}"),
                &[&[DIGEST]],
                $write,
                sets::delete_entry,
            ),
        ]
    };
}

/// The routes of firewalls.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    let (see, change) = (
        Access::All("/", &["Sys.Audit"]),
        Access::All("/", &["Sys.Modify"]),
    );
    let on_node = |privileges| Access::All("/nodes/{node}", privileges);
    let on_guest = |privileges| Access::All("/vms/{vmid}", privileges);
    let (node_see, node_change) = (on_node(&["Sys.Audit"]), on_node(&["Sys.Modify"]));
    let node_log = on_node(&["Sys.Syslog"]);
    let (vm_see, vm_change) = (on_guest(&["VM.Audit"]), on_guest(&["VM.Config.Network"]));
    let vm_log = on_guest(&["VM.Console"]);
    let groups = [
        route(
            Get,
            "/cluster/firewall/groups",
            &[],
            Access::User,
            groups::list,
        ),
        route(
            Post,
            "/cluster/firewall/groups",
            &[groups::NEW],
            change,
            groups::create,
        ),
        route(
            Get,
            "/cluster/firewall/groups/{group}",
            &[],
            see,
            rules::list,
        ),
        route(
            Post,
            "/cluster/firewall/groups/{group}",
            &[rules::NEW, rules::RULE],
            change,
            rules::create,
        ),
        route(
            Delete,
            "/cluster/firewall/groups/{group}",
            &[],
            change,
            groups::delete,
        ),
        route(
            Get,
            "/cluster/firewall/groups/{group}/{pos}",
            &[],
            see,
            rules::get,
        ),
        route(
            Put,
            "/cluster/firewall/groups/{group}/{pos}",
            &[rules::CHANGE, rules::RULE],
            change,
            rules::update,
        ),
        route(
            Delete,
            "/cluster/firewall/groups/{group}/{pos}",
            &[rules::DELETE],
            change,
            rules::delete,
        ),
    ];
    let cluster = common!("/cluster/firewall", see, change, see, options::CLUSTER);
    let node = common!(
        "/nodes/{node}/firewall",
        node_see,
        node_change,
        node_log,
        options::NODE
    );
    let vm = common!(
        "/nodes/{node}/qemu/{vmid}/firewall",
        vm_see,
        vm_change,
        vm_log,
        options::GUEST
    );
    let ct = common!(
        "/nodes/{node}/lxc/{vmid}/firewall",
        vm_see,
        vm_change,
        vm_log,
        options::GUEST
    );
    let mut routes: Vec<Route> = [cluster, node, vm, ct]
        .concat()
        .into_iter()
        .filter(|route| route.path != "/cluster/firewall/log")
        .collect();
    routes.extend(named!("/cluster/firewall", see, change));
    routes.extend(named!(
        "/nodes/{node}/qemu/{vmid}/firewall",
        vm_see,
        vm_change
    ));
    routes.extend(named!(
        "/nodes/{node}/lxc/{vmid}/firewall",
        vm_see,
        vm_change
    ));
    routes.extend(groups);
    routes.extend(vnets::routes());
    routes
}

fn index(_: &mut Cluster, call: &Call) -> Answer {
    let names: &[&str] = match Place::of(call) {
        Place::Cluster => &[
            "aliases", "rules", "options", "groups", "ipset", "macros", "refs",
        ],
        Place::Node => &["rules", "options", "log"],
        Place::Guest => &["rules", "aliases", "ipset", "refs", "options", "log"],
        Place::Vnet => &["rules", "options"],
    };
    Ok(names.iter().map(|name| json!({ "name": name })).collect())
}

/// Nothing is filtered, so nothing is logged, and the log's file was never made.
fn log(cluster: &mut Cluster, _: &Call) -> Answer {
    cluster.extra.insert("total".into(), json!(1));
    Ok(json!([{ "n": 1, "t": "unable to open file - No such file or directory" }]))
}

/// What rules may name: aliases and sets, the guest's own and the datacenter's.
fn refs(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut answer = vec![];
    let mut scopes = vec![("dc", datacenter(cluster))];
    if Place::of(call) == Place::Guest {
        scopes.push(("guest", read(cluster, call)));
    }
    for (scope, file) in scopes {
        let mut add = |kind: &str, name: &str, comment: &str| {
            if call.get("type").is_some_and(|wanted| wanted != kind) {
                return;
            }
            let mark = if kind == "ipset" { "+" } else { "" };
            let mut entry = Map::new();
            entry.insert("type".into(), json!(kind));
            entry.insert("name".into(), json!(name));
            entry.insert("scope".into(), json!(scope));
            entry.insert("ref".into(), json!(format!("{mark}{scope}/{name}")));
            if !comment.is_empty() {
                entry.insert("comment".into(), json!(comment));
            }
            answer.push(Value::Object(entry));
        };
        for alias in &file.aliases {
            add("alias", &alias.name, &alias.comment);
        }
        for set in &file.sets {
            add("ipset", &set.name, &set.comment);
        }
    }
    Ok(Value::Array(answer))
}
