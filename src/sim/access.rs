//! `/access`: logging in, permissions, access entries, and realms (reading).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::acl::{Privileges, normalize};
use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::users::{Subject, UserConfig};

const TICKET: &[Param] = &[
    Param::required("username", Kind::TextMax(64)),
    Param::required("password", Kind::Text),
    Param::new("realm", Kind::TextMax(32)),
    Param::new("otp", Kind::Text),
    Param::new("new-format", Kind::Boolean),
    Param::new("tfa-challenge", Kind::Text),
    Param::new("path", Kind::TextMax(64)),
    Param::new("privs", Kind::Text),
];
const PERMISSIONS: &[Param] = &[
    Param::new("path", Kind::Text),
    Param::new("userid", Kind::Form(user_or_token)),
];
const ACL: &[Param] = &[
    Param::required("path", Kind::Text),
    Param::required("roles", Kind::Text),
    Param::new("users", Kind::Text),
    Param::new("groups", Kind::Text),
    Param::new("tokens", Kind::Text),
    Param::new("propagate", Kind::Boolean),
    Param::new("delete", Kind::Boolean),
];

/// The routes of `/access`.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Get, Post, Put};
    vec![
        route(Get, "/access", &[], Access::User, index),
        route(Post, "/access/ticket", &[TICKET], Access::World, ticket),
        route(
            Get,
            "/access/permissions",
            &[PERMISSIONS],
            Access::User,
            permissions,
        ),
        route(Get, "/access/acl", &[], Access::User, acl),
        route(Put, "/access/acl", &[ACL], Access::User, change_acl),
    ]
}

pub(super) fn user_or_token(value: &str) -> Result<(), String> {
    match value.split_once('@') {
        Some((user, realm)) if !user.is_empty() && realm.len() >= 2 => Ok(()),
        _ => Err("value does not match the regex pattern".into()),
    }
}

fn index(_: &mut Cluster, _: &Call) -> Answer {
    let names = [
        "users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password",
    ];
    Ok(names.iter().map(|name| json!({ "subdir": name })).collect())
}

fn ticket(cluster: &mut Cluster, call: &Call) -> Answer {
    let user = match (call.text("username").contains('@'), call.get("realm")) {
        (false, Some(realm)) => format!("{}@{realm}", call.text("username")),
        _ => call.text("username").to_owned(),
    };
    let (ticket, csrf) = cluster.log_in(&user, call.text("password"))?;
    let mut answer = json!({ "username": user, "ticket": ticket, "CSRFPreventionToken": csrf, "cap": capabilities(cluster, &user) });
    if let (false, Value::Object(answer)) = (cluster.name.is_empty(), &mut answer) {
        answer.insert("clustername".into(), json!(cluster.name));
    }
    Ok(answer)
}

/// What the web interface shows: privileges by area, on the area's own path.
fn capabilities(cluster: &Cluster, user: &str) -> Value {
    let users = cluster.read_users();
    let held = |path: &str, prefixes: &[&str]| -> Value {
        let names = users.privileges(user, path).into_keys();
        let wanted = names.filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        Value::Object(wanted.map(|name| (name, json!(1))).collect())
    };
    json!({
        "vms": held("/vms", &["VM.", "Permissions."]),
        "storage": held("/storage", &["Datastore.", "Permissions."]),
        "access": held("/access", &["User.", "Group.", "Permissions."]),
        "nodes": held("/nodes", &["Sys.", "Permissions."]),
        "sdn": held("/sdn", &["SDN.", "Permissions."]),
        "mapping": held("/mapping", &["Mapping.", "Permissions."]),
        "dc": held("/", &["Sys.Audit", "Sys.Modify", "SDN."]),
    })
}

fn shown(privileges: Privileges) -> Value {
    Value::Object(
        privileges
            .into_iter()
            .map(|(name, propagate)| (name, json!(u8::from(propagate))))
            .collect(),
    )
}

fn permissions(cluster: &mut Cluster, call: &Call) -> Answer {
    let users = cluster.users();
    let id = call.get("userid").unwrap_or(&call.auth.id);
    let owner = id.split_once('!').map_or(id, |(owner, _)| owner);
    if id != call.auth.id && owner != call.auth.id {
        cluster.check_any(&call.auth, "/access", &["Sys.Audit"])?;
    }
    if !users.users.contains_key(owner) {
        return Err(ApiError::internal(format!("user '{owner}' does not exist")));
    }
    let paths = match call.get("path") {
        Some(path) => {
            let path = normalize(path)
                .ok_or_else(|| ApiError::parameter("path", format!("invalid ACL path '{path}'")))?;
            BTreeSet::from([path])
        }
        None => interesting_paths(&users),
    };
    // Who is disabled or expired is shown what it would have.
    let mut answer = Map::new();
    for path in paths {
        let privileges = users.privileges(id, &path);
        if !privileges.is_empty() || call.get("path").is_some() {
            answer.insert(path, shown(privileges));
        }
    }
    Ok(Value::Object(answer))
}

/// The top paths, those of access entries and above them, and the members of pools.
fn interesting_paths(users: &UserConfig) -> BTreeSet<String> {
    let tops = [
        "/",
        "/access",
        "/access/groups",
        "/nodes",
        "/pool",
        "/sdn",
        "/storage",
        "/vms",
    ];
    let mut paths: BTreeSet<String> = tops.iter().map(|path| (*path).to_owned()).collect();
    for path in users.acl.keys().filter(|path| *path != "/") {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at);
        let above = ends.chain([path.len()]).filter_map(|end| path.get(..end));
        paths.extend(above.map(str::to_owned));
    }
    for pool in users.pools.values() {
        paths.extend(pool.vms.iter().map(|vmid| format!("/vms/{vmid}")));
        paths.extend(
            pool.storages
                .iter()
                .map(|storage| format!("/storage/{storage}")),
        );
    }
    paths
}

fn acl(cluster: &mut Cluster, call: &Call) -> Answer {
    let users = cluster.users();
    let audit = cluster.allowed(&call.auth, "/access", "Sys.Audit");
    let mut list = vec![];
    for (path, subjects) in &users.acl {
        if !audit && !cluster.allowed(&call.auth, path, "Permissions.Modify") {
            continue;
        }
        for ((subject, id), roles) in subjects {
            for (role, propagate) in roles {
                let kind = match subject {
                    Subject::User => "user",
                    Subject::Group => "group",
                    Subject::Token => "token",
                };
                list.push(json!({ "path": path, "type": kind, "ugid": id, "roleid": role, "propagate": u8::from(*propagate) }));
            }
        }
    }
    Ok(Value::Array(list))
}

/// The forms of paths that may have access entries (PVE::AccessControl `check_path`).
fn is_acl_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] | ["access" | "nodes" | "pool" | "storage" | "vms" | "sdn" | "mapping"] => true,
        ["access", "groups" | "realm"] | ["access", "groups" | "realm", _] => true,
        ["nodes" | "storage", _] | ["pool", _] | ["pool", _, _] | ["pool", _, _, _] => true,
        ["vms", vmid] => super::formats::vmid(vmid).is_ok(),
        [
            "sdn",
            "zones" | "vnets" | "controllers" | "dns" | "ipams" | "fabrics",
        ] => true,
        ["sdn", "zones", _] | ["sdn", "zones", _, _] | ["sdn", "zones", _, _, _] => true,
        ["sdn", "controllers" | "dns" | "ipams" | "fabrics", _] => true,
        ["mapping", "pci" | "usb" | "dir" | "hwrng" | "cpu"] | ["mapping", _, _] => true,
        ["mapping", "notifications"] => true,
        _ => false,
    }
}

fn change_acl(cluster: &mut Cluster, call: &Call) -> Answer {
    let invalid =
        || ApiError::parameter("path", format!("invalid ACL path '{}'", call.text("path")));
    let path = normalize(call.text("path"))
        .filter(|path| is_acl_path(path))
        .ok_or_else(invalid)?;
    if ["users", "groups", "tokens"]
        .iter()
        .all(|name| call.get(name).is_none())
    {
        let text = "either 'users', 'groups' or 'tokens' is required.";
        let names = ["groups", "tokens", "users"].map(|name| (name.to_owned(), text.to_owned()));
        return Err(ApiError::parameters(names.into_iter().collect()));
    }
    may_hand_out(cluster, call, &path)?;
    let subjects: Vec<(Subject, String)> = [
        (Subject::User, "users"),
        (Subject::Group, "groups"),
        (Subject::Token, "tokens"),
    ]
    .into_iter()
    .flat_map(|(subject, name)| call.list(name).into_iter().map(move |id| (subject, id)))
    .collect();
    let (delete, propagate) = (
        call.is_set("delete"),
        call.flag("propagate").unwrap_or(true),
    );
    cluster.change_users(|users| {
        for role in call.list("roles") {
            if !users.roles.contains_key(&role) {
                return Err(ApiError::internal(format!(
                    "ACL update failed: role '{role}' does not exist"
                )));
            }
            for (subject, id) in &subjects {
                let (known, word) = match subject {
                    Subject::User => (users.users.contains_key(id), "user"),
                    Subject::Group => (users.groups.contains_key(id), "group"),
                    Subject::Token => (users.tokens.contains_key(id), "token"),
                };
                if !known && !delete {
                    return Err(ApiError::internal(format!(
                        "ACL update failed: {word} '{id}' does not exist"
                    )));
                }
                change_entry(
                    users,
                    &path,
                    (*subject, id.clone()),
                    &role,
                    (!delete).then_some(propagate),
                );
            }
        }
        Ok(Value::Null)
    })
}

fn change_entry(
    users: &mut UserConfig,
    path: &str,
    subject: (Subject, String),
    role: &str,
    propagate: Option<bool>,
) {
    let entries = users.acl.entry(path.to_owned()).or_default();
    let roles = entries.entry(subject.clone()).or_default();
    match propagate {
        Some(propagate) => {
            roles.insert(role.to_owned(), propagate);
        }
        None => {
            roles.remove(role);
        }
    }
    if roles.is_empty() {
        entries.remove(&subject);
    }
    if entries.is_empty() {
        users.acl.remove(path);
    }
}

/// Without Permissions.Modify one may hand out what one has oneself, on a guest, storage or pool one may allocate.
fn may_hand_out(cluster: &Cluster, call: &Call, path: &str) -> Result<(), ApiError> {
    let own = cluster.privileges(&call.auth, path);
    if own.contains_key("Permissions.Modify") {
        return Ok(());
    }
    let mut parts = path.split('/').skip(1);
    let allocate = match parts.next().filter(|_| parts.next().is_some()) {
        Some("storage") => &["Permissions.Modify", "Datastore.Allocate"],
        Some("vms") => &["Permissions.Modify", "VM.Allocate"],
        Some("pool") => &["Permissions.Modify", "Pool.Allocate"],
        _ => return Err(ApiError::forbidden(path, &["Permissions.Modify"])),
    };
    cluster.check_any(&call.auth, path, allocate)?;
    let users = cluster.read_users();
    for role in call.list("roles") {
        if role == "NoAccess" {
            return Err(ApiError::forbidden(path, &["Permissions.Modify"]));
        }
        let more = users
            .roles
            .get(&role)
            .into_iter()
            .flatten()
            .find(|name| !own.contains_key(*name));
        if more.is_some() {
            return Err(ApiError::new(
                403,
                format!(
                    "Permission check failed - cannot modify '{path}' with role '{role}': privileges exceed own"
                ),
            ));
        }
    }
    Ok(())
}
