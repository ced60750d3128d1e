//! Security groups: named lists of rules of the datacenter.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::files::digest;
use super::super::params::{Kind, Param};
use super::super::state::Cluster;
use super::file::{File, Group};
use super::{DIGEST, forms};

const NAME: Kind = Kind::All(&[Kind::Pattern(forms::is_name), Kind::TextMax(18)]);

/// A new or renamed group.
pub const NEW: &[Param] = &[
    Param::new("comment", Kind::Text),
    DIGEST,
    Param::required("group", NAME),
    Param::new("rename", NAME),
];

fn list_digest(file: &File) -> String {
    let line = |group: &Group| format!("{} # {}\n", group.name, group.comment);
    digest(&file.groups.iter().map(line).collect::<String>())
}

/// All groups.
pub fn list(cluster: &mut Cluster, _: &Call) -> Answer {
    let file = super::datacenter(cluster);
    let digest = list_digest(&file);
    let show = |group: &Group| {
        let mut map = Map::new();
        map.insert("group".into(), json!(group.name));
        map.insert("digest".into(), json!(digest));
        if !group.comment.is_empty() {
            map.insert("comment".into(), json!(group.comment));
        }
        Value::Object(map)
    };
    Ok(file.groups.iter().map(show).collect())
}

/// A new group; or one with a new name, which the datacenter's rules then name.
pub fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::datacenter(cluster);
    super::unmodified(call, &list_digest(&file))?;
    let name = call.text("group").to_owned();
    let taken = file.groups.iter().any(|group| group.name == name);
    let comment = call.text("comment").replace('\n', " ").trim().to_owned();
    match call.get("rename") {
        Some(old) => {
            if taken && old != name {
                let text = format!("Security group '{name}' already exists");
                return Err(ApiError::parameter("group", text));
            }
            let group = file.groups.iter_mut().find(|group| group.name == old);
            let Some(group) = group else {
                let text = format!("Security group '{old}' does not exist");
                return Err(ApiError::parameter("rename", text));
            };
            group.name.clone_from(&name);
            if call.get("comment").is_some() {
                group.comment = comment;
            }
            for rule in &mut file.rules {
                let named = rule.get("type").is_some_and(|kind| kind == "group")
                    && rule.get("action").is_some_and(|action| action == old);
                if named {
                    rule.insert("action".into(), name.clone());
                }
            }
        }
        None if taken => {
            let text = format!("Security group '{name}' already exists");
            return Err(ApiError::parameter("group", text));
        }
        None => file.groups.push(Group {
            name,
            comment,
            rules: vec![],
        }),
    }
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Removes a group without rules. Whether rules name it is not asked.
pub fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::datacenter(cluster);
    let name = call.text("group");
    if let Some(group) = file.groups.iter().find(|group| group.name == name)
        && !group.rules.is_empty()
    {
        return Err(ApiError::internal(format!(
            "Security group '{name}' is not empty"
        )));
    }
    file.groups.retain(|group| group.name != name);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}
