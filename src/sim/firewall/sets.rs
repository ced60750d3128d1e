//! Aliases and sets of addresses, of the cluster or a guest.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::files::digest;
use super::super::params::{Kind, Param};
use super::super::state::Cluster;
use super::file::{Alias, Entry, File, Set};
use super::{DIGEST, forms};

const NAME: Kind = Kind::All(&[Kind::Pattern(forms::is_name), Kind::TextMax(64)]);
const COMMENT: Param = Param::new("comment", Kind::Text);

/// A new alias.
pub const NEW_ALIAS: &[Param] = &[
    Param::required("cidr", Kind::Form(forms::ip_or_cidr)),
    COMMENT,
    Param::required("name", NAME),
];
/// A changed alias.
pub const ALIAS: &[Param] = &[
    Param::required("cidr", Kind::Form(forms::ip_or_cidr)),
    COMMENT,
    DIGEST,
    Param::new("rename", NAME),
];
/// A new or renamed set.
pub const NEW_SET: &[Param] = &[
    COMMENT,
    DIGEST,
    Param::required("name", NAME),
    Param::new("rename", NAME),
];
/// How a set goes.
pub const DELETE_SET: &[Param] = &[Param::new("force", Kind::Boolean)];
/// A new element.
pub const NEW_ENTRY: &[Param] = &[
    Param::required("cidr", Kind::Form(forms::ip_or_alias)),
    COMMENT,
    Param::new("nomatch", Kind::Boolean),
];
/// A changed element.
pub const ENTRY: &[Param] = &[COMMENT, DIGEST, Param::new("nomatch", Kind::Boolean)];

fn commented(mut map: Map<String, Value>, comment: &str, digest: &str) -> Value {
    if !comment.is_empty() {
        map.insert("comment".into(), json!(comment));
    }
    map.insert("digest".into(), json!(digest));
    Value::Object(map)
}

fn alias_map(alias: &Alias) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("name".into(), json!(alias.name));
    map.insert("cidr".into(), json!(alias.cidr));
    map.insert(
        "ipversion".into(),
        json!(forms::version(&alias.cidr).unwrap_or(4)),
    );
    map
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ").trim().to_owned()
}

fn cleaned(call: &Call) -> String {
    let text = call.text("cidr");
    forms::cidr(text).map_or_else(|| text.to_owned(), |(_, clean)| clean)
}

/// All aliases.
pub fn aliases(cluster: &mut Cluster, call: &Call) -> Answer {
    let file = super::read(cluster, call);
    let digest = digest(&file.print_aliases());
    let show = |alias: &Alias| commented(alias_map(alias), &alias.comment, &digest);
    Ok(file.aliases.iter().map(show).collect())
}

fn find(file: &File, name: &str) -> Option<usize> {
    file.aliases
        .iter()
        .position(|alias| alias.name.eq_ignore_ascii_case(name))
}

/// One alias.
pub fn alias(cluster: &mut Cluster, call: &Call) -> Answer {
    let file = super::read(cluster, call);
    let found = find(&file, call.text("name")).and_then(|at| file.aliases.get(at));
    let alias = found.ok_or_else(|| ApiError::parameter("name", "no such alias"))?;
    Ok(commented(
        alias_map(alias),
        &alias.comment,
        &digest(&file.print_aliases()),
    ))
}

/// A new alias.
pub fn create_alias(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let name = call.text("name");
    if find(&file, name).is_some() {
        return Err(ApiError::parameter(
            "name",
            format!("alias '{name}' already exists"),
        ));
    }
    file.aliases.push(Alias {
        name: name.to_ascii_lowercase(),
        cidr: cleaned(call),
        comment: one_line(call.text("comment")),
    });
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Changes an alias; its comment goes unless it is sent again.
pub fn update_alias(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    super::unmodified(call, &digest(&file.print_aliases()))?;
    let at = find(&file, call.text("name"))
        .ok_or_else(|| ApiError::parameter("name", "no such alias"))?;
    if let Some(rename) = call.get("rename")
        && find(&file, rename).is_some_and(|other| other != at)
    {
        return Err(ApiError::parameter(
            "rename",
            format!("alias '{rename}' already exists"),
        ));
    }
    let name = call
        .get("rename")
        .unwrap_or_else(|| call.text("name"))
        .to_ascii_lowercase();
    if let Some(alias) = file.aliases.get_mut(at) {
        *alias = Alias {
            name,
            cidr: cleaned(call),
            comment: one_line(call.text("comment")),
        };
    }
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Removes an alias; one that is not there counts as removed.
pub fn delete_alias(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    super::unmodified(call, &digest(&file.print_aliases()))?;
    if let Some(at) = find(&file, call.text("name")) {
        file.aliases.remove(at);
        super::write(cluster, call, &file);
    }
    Ok(Value::Null)
}

fn list_digest(file: &File) -> String {
    let line = |set: &Set| format!("{} # {}\n", set.name, set.comment);
    digest(&file.sets.iter().map(line).collect::<String>())
}

/// All sets.
pub fn sets(cluster: &mut Cluster, call: &Call) -> Answer {
    let file = super::read(cluster, call);
    let digest = list_digest(&file);
    let show = |set: &Set| {
        let mut map = Map::new();
        map.insert("name".into(), json!(set.name));
        commented(map, &set.comment, &digest)
    };
    Ok(file.sets.iter().map(show).collect())
}

/// A new set, in lower case; or one with a new name.
pub fn create_set(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let name = call.text("name").to_ascii_lowercase();
    super::unmodified(call, &list_digest(&file))?;
    let taken = file.sets.iter().any(|set| set.name == name);
    let comment = one_line(call.text("comment"));
    match call.get("rename") {
        Some(old) => {
            if taken && old != name {
                return Err(ApiError::parameter(
                    "name",
                    format!("IPSet '{name}' already exists"),
                ));
            }
            let set = file.sets.iter_mut().find(|set| set.name == old);
            let set = set.ok_or_else(|| {
                ApiError::parameter("rename", format!("IPSet '{old}' does not exist"))
            })?;
            set.name = name;
            if call.get("comment").is_some() {
                set.comment = comment;
            }
        }
        None if taken => {
            return Err(ApiError::parameter(
                "name",
                format!("IPSet '{name}' already exists"),
            ));
        }
        None => file.sets.push(Set {
            name,
            comment,
            entries: vec![],
        }),
    }
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

fn set<'a>(file: &'a mut File, call: &Call) -> Result<&'a mut Set, ApiError> {
    let name = call.text("name");
    file.sets
        .iter_mut()
        .find(|set| set.name == name)
        .ok_or_else(|| ApiError::internal(format!("no such IPSet '{name}'")))
}

/// Removes a set: only an empty one, unless forced. Whether rules use it is not asked.
pub fn delete_set(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let name = call.text("name");
    if !set(&mut file, call)?.entries.is_empty() && !call.is_set("force") {
        return Err(ApiError::internal(format!("IPSet '{name}' is not empty")));
    }
    file.sets.retain(|set| set.name != name);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

fn entry_map(entry: &Entry) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("cidr".into(), json!(entry.cidr));
    if entry.nomatch {
        map.insert("nomatch".into(), json!(1));
    }
    map
}

/// A set's elements.
pub fn entries(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let set = set(&mut file, call)?;
    let digest = digest(&set.print());
    let show = |entry: &Entry| commented(entry_map(entry), &entry.comment, &digest);
    Ok(set.entries.iter().map(show).collect())
}

/// One element.
pub fn entry(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let set = set(&mut file, call)?;
    let cidr = cleaned(call);
    let entry = set.entries.iter().find(|entry| entry.cidr == cidr);
    let entry = entry.ok_or_else(|| ApiError::parameter("cidr", "no such IP/Network"))?;
    Ok(commented(
        entry_map(entry),
        &entry.comment,
        &digest(&set.print()),
    ))
}

/// A new element, at the top.
pub fn create_entry(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let cidr = cleaned(call);
    if forms::is_alias(&cidr) {
        let (_, name) = forms::scoped(&cidr);
        if find(&file, name).is_none() && find(&super::datacenter(cluster), name).is_none() {
            return Err(ApiError::internal(format!("no such alias '{cidr}'")));
        }
    }
    let everybody = cidr
        .rsplit_once('/')
        .is_some_and(|(_, prefix)| !prefix.is_empty() && prefix.bytes().all(|digit| digit == b'0'));
    if everybody {
        return Err(ApiError::parameter(
            "cidr",
            "a zero prefix is not allowed in ipset entries",
        ));
    }
    let set = set(&mut file, call)?;
    if set.entries.iter().any(|entry| entry.cidr == cidr) {
        return Err(ApiError::parameter(
            "cidr",
            format!("address '{cidr}' already exists"),
        ));
    }
    let entry = Entry {
        cidr,
        nomatch: call.is_set("nomatch"),
        comment: one_line(call.text("comment")),
    };
    set.entries.insert(0, entry);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Changes an element.
pub fn update_entry(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let cidr = cleaned(call);
    let set = set(&mut file, call)?;
    super::unmodified(call, &digest(&set.print()))?;
    let entry = set.entries.iter_mut().find(|entry| entry.cidr == cidr);
    let entry = entry.ok_or_else(|| ApiError::parameter("cidr", "no such IP/Network"))?;
    entry.nomatch = call.is_set("nomatch");
    entry.comment = one_line(call.text("comment"));
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Removes an element; one that is not there counts as removed.
pub fn delete_entry(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let cidr = cleaned(call);
    let set = set(&mut file, call)?;
    super::unmodified(call, &digest(&set.print()))?;
    set.entries.retain(|entry| entry.cidr != cidr);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}
