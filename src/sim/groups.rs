//! `/access/groups` and `/access/roles`: who belongs together, and what roles hold.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::accounts::{APPEND, forget};
use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::roles::{PRIVILEGES, is_predefined};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::users::{Group, Subject};

const GROUP: &[Param] = &[Param::new("comment", Kind::Text)];
const NEW_GROUP: &[Param] = &[Param::required("groupid", Kind::Text)];
const ROLE: &[Param] = &[Param::new("privs", Kind::FormList(privilege))];
const NEW_ROLE: &[Param] = &[Param::required("roleid", Kind::Text)];

/// The routes of groups and roles.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    let any_group = Access::Any("/access/groups", &["Sys.Audit", "Group.Allocate"]);
    let groups_write = Access::All("/access/groups", &["Group.Allocate"]);
    let roles_write = Access::All("/access", &["Sys.Modify"]);
    vec![
        route(Get, "/access/groups", &[], Access::User, groups),
        route(
            Post,
            "/access/groups",
            &[NEW_GROUP, GROUP],
            groups_write,
            create_group,
        ),
        route(Get, "/access/groups/{groupid}", &[], any_group, group),
        route(
            Put,
            "/access/groups/{groupid}",
            &[GROUP],
            groups_write,
            update_group,
        ),
        route(
            Delete,
            "/access/groups/{groupid}",
            &[],
            groups_write,
            delete_group,
        ),
        route(Get, "/access/roles", &[], Access::User, roles),
        route(
            Post,
            "/access/roles",
            &[NEW_ROLE, ROLE],
            roles_write,
            create_role,
        ),
        route(Get, "/access/roles/{roleid}", &[], Access::User, role),
        route(
            Put,
            "/access/roles/{roleid}",
            &[ROLE, APPEND],
            roles_write,
            update_role,
        ),
        route(
            Delete,
            "/access/roles/{roleid}",
            &[],
            roles_write,
            delete_role,
        ),
    ]
}

fn privilege(value: &str) -> Result<(), String> {
    if PRIVILEGES.contains(&value) {
        Ok(())
    } else {
        Err(format!("invalid privilege '{value}'"))
    }
}

fn groups(cluster: &mut Cluster, call: &Call) -> Answer {
    let config = cluster.users();
    let mut list = vec![];
    for (id, group) in &config.groups {
        let held = cluster.privileges(&call.auth, &format!("/access/groups/{id}"));
        if ["User.Modify", "Sys.Audit", "Group.Allocate"]
            .iter()
            .any(|name| held.contains_key(*name))
        {
            let users: Vec<&str> = group.users.iter().map(String::as_str).collect();
            let mut entry = json!({ "groupid": id, "users": users.join(",") });
            if let (false, Value::Object(entry)) = (group.comment.is_empty(), &mut entry) {
                entry.insert("comment".into(), json!(group.comment));
            }
            list.push(entry);
        }
    }
    Ok(Value::Array(list))
}

fn group(cluster: &mut Cluster, call: &Call) -> Answer {
    let config = cluster.users();
    let id = call.text("groupid");
    let group = config
        .groups
        .get(id)
        .ok_or_else(|| ApiError::internal(format!("group '{id}' does not exist")))?;
    let mut entry = json!({ "members": group.users });
    if let (false, Value::Object(entry)) = (group.comment.is_empty(), &mut entry) {
        entry.insert("comment".into(), json!(group.comment));
    }
    Ok(entry)
}

fn create_group(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("groupid");
    cluster.change_users(|config| {
        if config.groups.contains_key(id) {
            return Err(ApiError::internal(format!(
                "create group failed: group '{id}' already exists"
            )));
        }
        config.groups.insert(
            id.to_owned(),
            Group {
                comment: call.text("comment").to_owned(),
                ..Group::default()
            },
        );
        Ok(Value::Null)
    })
}

fn update_group(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("groupid");
    cluster.change_users(|config| {
        let missing =
            || ApiError::internal(format!("update group failed: group '{id}' does not exist"));
        let group = config.groups.get_mut(id).ok_or_else(missing)?;
        if let Some(comment) = call.get("comment") {
            comment.clone_into(&mut group.comment);
        }
        Ok(Value::Null)
    })
}

fn delete_group(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("groupid");
    cluster.change_users(|config| {
        let missing =
            || ApiError::internal(format!("delete group failed: group '{id}' does not exist"));
        config.groups.remove(id).ok_or_else(missing)?;
        forget(config, |subject, name| {
            subject == Subject::Group && name == id
        });
        Ok(Value::Null)
    })
}

fn roles(cluster: &mut Cluster, _: &Call) -> Answer {
    let config = cluster.users();
    let entry = |(id, privileges): (&String, &BTreeSet<String>)| {
        let names: Vec<&str> = privileges.iter().map(String::as_str).collect();
        let mut entry = json!({ "roleid": id, "privs": names.join(",") });
        if let (true, Value::Object(entry)) = (is_predefined(id), &mut entry) {
            entry.insert("special".into(), json!(1));
        }
        entry
    };
    Ok(config.roles.iter().map(entry).collect())
}

fn role(cluster: &mut Cluster, call: &Call) -> Answer {
    let config = cluster.users();
    let id = call.text("roleid");
    let privileges = config
        .roles
        .get(id)
        .ok_or_else(|| ApiError::internal(format!("role '{id}' does not exist")))?;
    Ok(Value::Object(
        privileges
            .iter()
            .map(|name| (name.clone(), json!(1)))
            .collect(),
    ))
}

fn create_role(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("roleid");
    if id.to_ascii_uppercase().starts_with("PVE") {
        let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
        return Err(ApiError::parameter("roleid", text));
    }
    cluster.change_users(|config| {
        if config.roles.contains_key(id) {
            return Err(ApiError::internal(format!(
                "create role failed: role '{id}' already exists"
            )));
        }
        config
            .roles
            .insert(id.to_owned(), call.list("privs").into_iter().collect());
        Ok(Value::Null)
    })
}

fn update_role(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("roleid");
    if is_predefined(id) {
        return Err(ApiError::internal(format!(
            "auto-generated role '{id}' cannot be modified"
        )));
    }
    cluster.change_users(|config| {
        let missing =
            || ApiError::internal(format!("update role failed: role '{id}' does not exist"));
        let privileges = config.roles.get_mut(id).ok_or_else(missing)?;
        if !call.is_set("append") {
            privileges.clear();
        }
        privileges.extend(call.list("privs"));
        Ok(Value::Null)
    })
}

/// A role's access entries go with it, and do not come back with it.
fn delete_role(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("roleid");
    if is_predefined(id) {
        return Err(ApiError::internal(format!(
            "auto-generated role '{id}' cannot be deleted"
        )));
    }
    cluster.change_users(|config| {
        let missing =
            || ApiError::internal(format!("delete role failed: role '{id}' does not exist"));
        config.roles.remove(id).ok_or_else(missing)?;
        for entries in config.acl.values_mut() {
            entries.values_mut().for_each(|roles| {
                roles.remove(id);
            });
            entries.retain(|_, roles| !roles.is_empty());
        }
        config.acl.retain(|_, entries| !entries.is_empty());
        Ok(Value::Null)
    })
}
