//! `/access/domains`: the realms users come from, in `domains.cfg`; and passwords.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::Cluster;

const FILE: &str = "domains.cfg";
/// Realms that are there without being written down: name, plugin, comment.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("pam", "PVE::Auth::PAM", "Linux PAM standard authentication"),
    ("pve", "PVE::Auth::PVE", "Proxmox VE authentication server"),
];
const NEW: &[Param] = &[
    Param::required(
        "realm",
        Kind::All(&[Kind::Pattern(is_realm), Kind::TextMax(32)]),
    ),
    Param::required("type", Kind::Enum(&["ad", "ldap", "openid", "pam", "pve"])),
];
const CHANGE: &[Param] = &[
    Param::new("delete", Kind::TextMax(4096)),
    Param::new("digest", super::formats::DIGEST),
];
const REALM: &[Param] = &[
    Param::new("acr-values", Kind::Text),
    Param::new("audiences", Kind::Text),
    Param::new("autocreate", Kind::Boolean),
    Param::new("base_dn", Kind::TextMax(256)),
    Param::new("bind_dn", Kind::TextMax(256)),
    Param::new("capath", Kind::Text),
    Param::new("case-sensitive", Kind::Boolean),
    Param::new("cert", Kind::Text),
    Param::new("certkey", Kind::Text),
    Param::new("check-connection", Kind::Boolean),
    Param::new("client-id", Kind::TextMax(256)),
    Param::new("client-key", Kind::TextMax(256)),
    Param::new("comment", Kind::TextMax(4096)),
    Param::new("default", Kind::Boolean),
    Param::new("domain", Kind::TextMax(256)),
    Param::new("filter", Kind::TextMax(2048)),
    Param::new("group_classes", Kind::Text),
    Param::new("group_dn", Kind::TextMax(256)),
    Param::new("group_filter", Kind::TextMax(2048)),
    Param::new("group_name_attr", Kind::TextMax(256)),
    Param::new("groups-autocreate", Kind::Boolean),
    Param::new("groups-claim", Kind::Text),
    Param::new("groups-overwrite", Kind::Boolean),
    Param::new("issuer-url", Kind::TextMax(256)),
    Param::new("mode", Kind::Enum(&["ldap", "ldaps", "ldap+starttls"])),
    Param::new("password", Kind::Text),
    Param::new("port", Kind::Integer(1, 65_535)),
    Param::new("prompt", Kind::Text),
    Param::new("query-userinfo", Kind::Boolean),
    Param::new("scopes", Kind::Text),
    Param::new("secure", Kind::Boolean),
    Param::new("server1", Kind::TextMax(256)),
    Param::new("server2", Kind::TextMax(256)),
    Param::new(
        "sslversion",
        Kind::Enum(&["tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3"]),
    ),
    Param::new("sync-defaults-options", Kind::Text),
    Param::new("sync_attributes", Kind::Text),
    Param::new("tfa", Kind::TextMax(128)),
    Param::new("user_attr", Kind::TextMax(256)),
    Param::new("user_classes", Kind::Text),
    Param::new("username-claim", Kind::Text),
    Param::new("verify", Kind::Boolean),
];
const PASSWORD: &[Param] = &[
    Param::new("confirmation-password", Kind::TextMax(64)),
    Param::required(
        "password",
        Kind::All(&[Kind::TextMin(8), Kind::TextMax(64)]),
    ),
    Param::required("userid", Kind::Form(super::access::user_or_token)),
];

/// The routes of realms and passwords.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    let allocate = Access::All("/access/realm", &["Realm.Allocate"]);
    let read = Access::Any("/access/realm", &["Realm.Allocate", "Sys.Audit"]);
    vec![
        route(Get, "/access/domains", &[], Access::World, list),
        route(Post, "/access/domains", &[NEW, REALM], allocate, create),
        route(Get, "/access/domains/{realm}", &[], read, get),
        route(
            Put,
            "/access/domains/{realm}",
            &[CHANGE, REALM],
            allocate,
            update,
        ),
        route(Delete, "/access/domains/{realm}", &[], allocate, delete),
        route(
            Put,
            "/access/password",
            &[PASSWORD],
            Access::User,
            set_password,
        ),
    ]
}

fn is_realm(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Realms by file, the built-in ones included.
fn realms(cluster: &Cluster) -> Vec<Section> {
    let mut sections = section_config::parse(cluster.files.read(FILE));
    for (name, _, comment) in BUILT_IN {
        if !sections.iter().any(|section| section.id == *name) {
            sections.push(Section {
                kind: (*name).to_owned(),
                id: (*name).to_owned(),
                lines: vec![("comment".into(), (*comment).to_owned())],
            });
        }
    }
    sections.sort_by(|one, other| one.id.cmp(&other.id));
    sections
}

fn list(cluster: &mut Cluster, _: &Call) -> Answer {
    let show = |section: &Section| {
        let mut map = Map::new();
        map.insert("realm".into(), json!(section.id));
        map.insert("type".into(), json!(section.kind));
        for key in ["comment", "tfa"] {
            if let Some(value) = section.get(key) {
                map.insert(key.into(), json!(value));
            }
        }
        if section.flag("default") {
            map.insert("default".into(), json!(1));
        }
        Value::Object(map)
    };
    Ok(realms(cluster).iter().map(show).collect())
}

fn missing(realm: &str) -> String {
    format!("domain '{realm}' does not exist")
}

fn get(cluster: &mut Cluster, call: &Call) -> Answer {
    let name = call.text("realm");
    let section = realms(cluster)
        .into_iter()
        .find(|section| section.id == name);
    let section = section.ok_or_else(|| ApiError::internal(missing(name)))?;
    let mut map = Map::new();
    map.insert("type".into(), json!(section.kind));
    map.insert("digest".into(), json!(cluster.files.digest(FILE)));
    if let Some((_, plugin, _)) = BUILT_IN.iter().find(|(known, ..)| *known == name) {
        map.insert("plugin".into(), json!(plugin));
    }
    for (key, value) in &section.lines {
        let number = matches!(
            key.as_str(),
            "autocreate"
                | "case-sensitive"
                | "check-connection"
                | "default"
                | "port"
                | "secure"
                | "verify"
        );
        let value = match value.parse::<i64>() {
            Ok(value) if number => json!(value),
            _ => json!(value),
        };
        map.insert(key.clone(), value);
    }
    Ok(Value::Object(map))
}

fn required(kind: &str) -> &'static [&'static str] {
    match kind {
        "ad" => &["domain", "server1"],
        "ldap" => &["base_dn", "server1", "user_attr"],
        "openid" => &["client-id", "issuer-url"],
        _ => &[],
    }
}

fn fill(section: &mut Section, call: &Call) {
    for row in REALM
        .iter()
        .filter(|row| !matches!(row.name, "check-connection" | "password"))
    {
        if let Some(value) = call.get(row.name) {
            section.set(row.name, value);
        }
    }
}

fn complete(section: &Section) -> Result<(), String> {
    match required(&section.kind)
        .iter()
        .find(|key| section.get(key).is_none())
    {
        None => Ok(()),
        Some(key) => Err(format!("missing value for required option '{key}'")),
    }
}

fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("add auth server failed: {text}"));
    let name = call.text("realm");
    if realms(cluster).iter().any(|section| section.id == name) {
        return Err(failed(format!("domain '{name}' already exists")));
    }
    let mut section = Section {
        kind: call.text("type").to_owned(),
        id: name.to_owned(),
        lines: vec![],
    };
    fill(&mut section, call);
    complete(&section).map_err(failed)?;
    let mut sections = section_config::parse(cluster.files.read(FILE));
    sections.push(section);
    cluster.files.set(FILE, section_config::print(&sections));
    Ok(Value::Null)
}

fn update(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("update auth server failed: {text}"));
    super::files::assert_unmodified(&cluster.files.digest(FILE), call.get("digest"))
        .map_err(failed)?;
    let name = call.text("realm");
    let mut sections = realms(cluster);
    let section = sections.iter_mut().find(|section| section.id == name);
    let section = section.ok_or_else(|| failed(missing(name)))?;
    for key in call.list("delete") {
        section.unset(&key);
    }
    fill(section, call);
    complete(section).map_err(failed)?;
    cluster.files.set(FILE, section_config::print(&sections));
    Ok(Value::Null)
}

/// Removes a realm; of a built-in one only what was written down of it.
fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let name = call.text("realm");
    if !realms(cluster).iter().any(|section| section.id == name) {
        return Err(ApiError::internal(format!(
            "delete auth server failed: {}",
            missing(name)
        )));
    }
    let mut sections = section_config::parse(cluster.files.read(FILE));
    if sections.iter().any(|section| section.id == name) {
        sections.retain(|section| section.id != name);
        cluster.files.set(FILE, section_config::print(&sections));
    }
    Ok(Value::Null)
}

/// Sets a password, which no token may.
fn set_password(cluster: &mut Cluster, call: &Call) -> Answer {
    if call.auth.token().is_some() {
        // Proxmox VE has a line break before the bracket's end.
        return Err(ApiError::new(
            403,
            "Permission check failed (URI '/access/password' not available with API token, need proper ticket.\n)",
        ));
    }
    let user = call.text("userid");
    if user != call.auth.id {
        let realm = user.rsplit('@').next().unwrap_or_default();
        cluster.check_all(
            &call.auth,
            &format!("/access/realm/{realm}"),
            &["Realm.AllocateUser"],
        )?;
        cluster.check_all(&call.auth, "/access/groups", &["User.Modify"])?;
    }
    if !cluster.users().users.contains_key(user) {
        return Err(ApiError::internal(format!("no such user ('{user}')")));
    }
    cluster
        .passwords
        .insert(user.to_owned(), call.text("password").to_owned());
    Ok(Value::Null)
}
