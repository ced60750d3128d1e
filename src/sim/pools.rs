//! `/pools`: list, create, change, delete, in the form with `?poolid=` (which nests) and the older one with a path.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::users::{Pool, UserConfig};

const POOLID: Param = Param::required("poolid", Kind::Form(pool_id));
const TYPE: Param = Param::new("type", Kind::Enum(&["qemu", "lxc", "storage"]));
const LIST: &[Param] = &[Param::new("poolid", Kind::Form(pool_id)), TYPE];
const CREATE: &[Param] = &[POOLID, Param::new("comment", Kind::Text)];
const CHANGE: &[Param] = &[
    Param::new("comment", Kind::Text),
    Param::new("vms", Kind::FormList(super::formats::vmid)),
    Param::new("storage", Kind::FormList(super::formats::storage_id)),
    Param::new("delete", Kind::Boolean),
    Param::new("allow-move", Kind::Boolean),
];
const ALLOCATE: Access = Access::All("/pool/{poolid}", &["Pool.Allocate"]);

/// The routes of pools.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/pools", &[LIST], Access::User, list),
        route(Post, "/pools", &[CREATE], ALLOCATE, create),
        route(Put, "/pools", &[&[POOLID], CHANGE], ALLOCATE, change),
        route(Delete, "/pools", &[&[POOLID]], ALLOCATE, delete),
        route(
            Get,
            "/pools/{poolid}",
            &[&[TYPE]],
            Access::All("/pool/{poolid}", &["Pool.Audit"]),
            get,
        ),
        route(Put, "/pools/{poolid}", &[CHANGE], ALLOCATE, change),
        route(Delete, "/pools/{poolid}", &[], ALLOCATE, delete),
    ]
}

fn pool_id(value: &str) -> Result<(), String> {
    let parts: Vec<&str> = value.split('/').collect();
    let part_is_good = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if parts.len() <= 3 && parts.iter().all(part_is_good) {
        Ok(())
    } else {
        Err(format!(
            "value '{value}' does not look like a valid pool name"
        ))
    }
}

fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let users = cluster.users();
    if let Some(id) = call.get("poolid") {
        let pool = users
            .pools
            .get(id)
            .ok_or_else(|| ApiError::internal(format!("pool '{id}' does not exist")))?;
        let mut entry = describe(cluster, call, pool);
        entry.insert("poolid".into(), json!(id));
        return Ok(json!([entry]));
    }
    if call.get("type").is_some() {
        return Err(ApiError::parameter(
            "poolid",
            "missing property required by 'type'",
        ));
    }
    let mut answer = vec![];
    for (id, pool) in &users.pools {
        if cluster.allowed(&call.auth, &format!("/pool/{id}"), "Pool.Audit") {
            let mut entry = json!({ "poolid": id });
            if let (false, Value::Object(entry)) = (pool.comment.is_empty(), &mut entry) {
                entry.insert("comment".into(), json!(pool.comment));
            }
            answer.push(entry);
        }
    }
    Ok(Value::Array(answer))
}

fn get(cluster: &mut Cluster, call: &Call) -> Answer {
    let users = cluster.users();
    let id = call.text("poolid");
    let pool = users
        .pools
        .get(id)
        .ok_or_else(|| ApiError::internal(format!("pool '{id}' does not exist")))?;
    let mut entry = describe(cluster, call, pool);
    entry.insert("poolid".into(), json!(id));
    Ok(Value::Object(entry))
}

/// Members look as in `/cluster/resources`, of one node each for storages.
fn describe(cluster: &mut Cluster, call: &Call, pool: &Pool) -> Map<String, Value> {
    let mut members = vec![];
    let wanted = |kind: &str| call.get("type").is_none_or(|wanted| wanted == kind);
    for vmid in &pool.vms {
        if let Some(guest) = cluster
            .guest(*vmid)
            .filter(|guest| wanted(guest.kind.api()))
        {
            members.push(super::resources::guest_entry(cluster, &guest, false));
        }
    }
    for storage in pool.storages.iter().filter(|_| wanted("storage")) {
        if let Some(entry) = super::resources::storage_entry(cluster, storage, None) {
            members.push(entry);
        }
    }
    let mut entry = Map::new();
    entry.insert("members".into(), Value::Array(members));
    if !pool.comment.is_empty() {
        entry.insert("comment".into(), json!(pool.comment));
    }
    entry
}

fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("poolid");
    let failed = |text: String| Err(ApiError::internal(format!("create pool failed: {text}")));
    cluster.change_users(|users| {
        if users.pools.contains_key(id) {
            return failed(format!("pool '{id}' already exists"));
        }
        if let Some((parent, _)) = id.rsplit_once('/')
            && !users.pools.contains_key(parent)
        {
            return failed(format!("parent pool '{parent}' does not exist"));
        }
        users.pools.insert(
            id.to_owned(),
            Pool {
                comment: call.text("comment").to_owned(),
                ..Pool::default()
            },
        );
        Ok(Value::Null)
    })
}

fn change(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("poolid").to_owned();
    let vms: Vec<u32> = call
        .list("vms")
        .iter()
        .filter_map(|vmid| vmid.parse().ok())
        .collect();
    for vmid in &vms {
        cluster.check_any(
            &call.auth,
            &format!("/vms/{vmid}"),
            &["VM.Allocate", "Permissions.Modify"],
        )?;
    }
    for storage in call.list("storage") {
        cluster.check_any(
            &call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate", "Permissions.Modify"],
        )?;
    }
    let auth = call.auth.clone();
    if call.is_set("allow-move") && !call.is_set("delete") {
        let users = cluster.read_users();
        for vmid in &vms {
            if let Some(old) = users.pool_of_guest(*vmid).filter(|old| *old != id) {
                cluster.check_all(&auth, &format!("/pool/{old}"), &["Pool.Allocate"])?;
            }
        }
    }
    cluster
        .change_users(|users| change_pool(users, call, &id, &vms))
        .map_err(|text| ApiError::internal(format!("update pools failed: {text}")))
}

fn change_pool(
    users: &mut UserConfig,
    call: &Call,
    id: &str,
    vms: &[u32],
) -> Result<Value, String> {
    let missing = || format!("pool '{id}' does not exist");
    let mut pool = users.pools.get(id).cloned().ok_or_else(missing)?;
    if let Some(comment) = call.get("comment") {
        comment.clone_into(&mut pool.comment);
    }
    for vmid in vms {
        if call.is_set("delete") {
            if !pool.vms.remove(vmid) {
                return Err(format!("VM {vmid} is not a pool member"));
            }
            continue;
        }
        match users.pool_of_guest(*vmid).map(str::to_owned) {
            Some(old) if old == id => return Err(format!("VM {vmid} is already a pool member")),
            Some(old) if !call.is_set("allow-move") => {
                return Err(format!(
                    "VM {vmid} belongs already to pool '{old}' and 'allow-move' is not set"
                ));
            }
            Some(old) => {
                if let Some(old) = users.pools.get_mut(&old) {
                    old.vms.remove(vmid);
                }
            }
            None => {}
        }
        pool.vms.insert(*vmid);
    }
    for storage in call.list("storage") {
        if call.is_set("delete") {
            if !pool.storages.remove(&storage) {
                return Err(format!("Storage '{storage}' is not a pool member"));
            }
        } else if !pool.storages.insert(storage.clone()) {
            return Err(format!("Storage '{storage}' is already a pool member"));
        }
    }
    users.pools.insert(id.to_owned(), pool);
    Ok(Value::Null)
}

fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("poolid");
    let guests = cluster.vmids();
    let storages: Vec<String> = super::section_config::parse(cluster.files.read("storage.cfg"))
        .into_iter()
        .map(|section| section.id)
        .collect();
    let change = |users: &mut UserConfig| {
        let pool = users
            .pools
            .get(id)
            .ok_or_else(|| format!("pool '{id}' does not exist"))?;
        if let Some(child) = users
            .pools
            .keys()
            .find(|child| child.starts_with(&format!("{id}/")))
        {
            return Err(format!(
                "pool '{id}' is not empty (contains pool '{child}')"
            ));
        }
        if let Some(vmid) = pool.vms.iter().find(|vmid| guests.contains(vmid)) {
            return Err(format!("pool '{id}' is not empty (contains VM {vmid})"));
        }
        if let Some(storage) = pool
            .storages
            .iter()
            .find(|storage| storages.contains(storage))
        {
            return Err(format!(
                "pool '{id}' is not empty (contains storage '{storage}')"
            ));
        }
        users.pools.remove(id);
        users.acl.remove(&format!("/pool/{id}"));
        Ok(Value::Null)
    };
    cluster
        .change_users(change)
        .map_err(|text: String| ApiError::internal(format!("delete pool failed: {text}")))
}
