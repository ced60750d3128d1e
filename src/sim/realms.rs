//! `/access/domains`: the realms users come from, in `domains.cfg`; and passwords.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::guest::conf::{decode, encode};
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
    // Said once: a change does not take it.
    Param::new("username-claim", Kind::Text),
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
    for section in &mut sections {
        if let Some(comment) = section.get("comment").map(decode) {
            section.set("comment", comment);
        }
    }
    for (name, _, comment) in BUILT_IN {
        if !sections.iter().any(|section| section.id == *name) {
            sections.push(Section {
                kind: (*name).to_owned(),
                id: (*name).to_owned(),
                lines: vec![],
            });
        }
        let section = sections.iter_mut().find(|section| section.id == *name);
        if let Some(section) = section.filter(|section| section.get("comment").is_none()) {
            section.set("comment", *comment);
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
        if let Some(comment) = section.get("comment") {
            map.insert("comment".into(), json!(comment));
        }
        // Of a second factor only the type.
        let tfa = section.get("tfa").unwrap_or_default();
        if let Some(of) = tfa
            .split(',')
            .find_map(|part| part.trim().strip_prefix("type="))
        {
            map.insert("tfa".into(), json!(of));
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
                | "groups-autocreate"
                | "groups-overwrite"
                | "port"
                | "query-userinfo"
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

/// Whether realms of a type have a setting.
fn has_option(kind: &str, key: &str) -> bool {
    const OPENID: [&str; 13] = [
        "acr-values",
        "audiences",
        "autocreate",
        "client-id",
        "client-key",
        "groups-autocreate",
        "groups-claim",
        "groups-overwrite",
        "issuer-url",
        "prompt",
        "query-userinfo",
        "scopes",
        "username-claim",
    ];
    match (kind, key) {
        (_, "comment" | "default") => true,
        ("openid", key) => OPENID.contains(&key),
        ("pam" | "pve", key) => key == "tfa",
        ("ldap", "domain") => false,
        (_, key) => !OPENID.contains(&key),
    }
}

/// Where the password lies by which a server of LDAP is asked.
fn password_file(realm: &str) -> String {
    format!("priv/realm/{realm}.pw")
}

/// The options of synchronizations in Proxmox VE's own form: old words replaced, in the order of their names.
fn sync_options(text: &str) -> String {
    let mut all: BTreeMap<&str, String> = text
        .split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().to_owned()))
        .collect();
    let mut old = |name: &str| all.remove(name).is_some_and(|value| value == "1");
    let (full, purge) = (old("full"), old("purge"));
    let mut vanished = Vec::new();
    if full {
        vanished.extend(["entry", "properties"]);
    }
    if purge {
        vanished.push("acl");
    }
    if !vanished.is_empty() && !all.contains_key("remove-vanished") {
        all.insert("remove-vanished", vanished.join(";"));
    }
    let parts = all.into_iter();
    let parts: Vec<String> = parts
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join(",")
}

/// Writes what is asked for into a section; the password goes elsewhere.
fn fill(section: &mut Section, call: &Call) -> Result<(), String> {
    let rows = REALM.iter().chain(NEW).map(|row| row.name);
    for name in
        rows.filter(|name| !matches!(*name, "check-connection" | "password" | "realm" | "type"))
    {
        let Some(value) = call.get(name) else {
            continue;
        };
        if !has_option(&section.kind, name) {
            return Err(format!("unexpected property '{name}'"));
        }
        match name {
            "sync-defaults-options" => section.set(name, sync_options(value)),
            _ => section.set(name, value),
        }
    }
    let ldap = matches!(section.kind.as_str(), "ad" | "ldap");
    if call.get("check-connection").is_some() && !ldap {
        return Err(
            "'check-connection' parameter can only be set for realms of type 'ldap' or 'ad'"
                .to_owned(),
        );
    }
    Ok(())
}

/// One realm is the default at most: the one that becomes it takes that from the others.
fn only_default(sections: &mut [Section], call: &Call, name: &str) {
    if call.get("default") == Some("1") {
        for section in sections.iter_mut().filter(|section| section.id != name) {
            section.unset("default");
        }
    }
}

fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("add auth server failed: {text}"));
    let (name, kind) = (call.text("realm"), call.text("type"));
    let mut sections = realms(cluster);
    if sections.iter().any(|section| section.id == name) {
        return Err(failed(format!("domain '{name}' already exists")));
    }
    if matches!(kind, "pam" | "pve") {
        return Err(failed(format!("unable to create builtin type '{kind}'")));
    }
    let mut section = Section {
        kind: kind.to_owned(),
        id: name.to_owned(),
        lines: vec![],
    };
    fill(&mut section, call).map_err(failed)?;
    if let Some(key) = required(kind).iter().find(|key| section.get(key).is_none()) {
        return Err(failed(format!("missing value for required option '{key}'")));
    }
    only_default(&mut sections, call, name);
    sections.push(section);
    if kind != "openid" {
        let password = call.get("password").map(str::to_owned);
        keep_password(cluster, name, password);
    }
    write(cluster, &sections);
    Ok(Value::Null)
}

/// Keeps the password of a realm, or forgets the one there was.
fn keep_password(cluster: &mut Cluster, realm: &str, password: Option<String>) {
    let file = password_file(realm);
    match password {
        Some(password) => cluster.files.set(&file, password),
        None => {
            cluster.files.remove(&file);
        }
    }
}

fn write(cluster: &mut Cluster, sections: &[Section]) {
    let mut written = sections.to_vec();
    for section in &mut written {
        if let Some(comment) = section.get("comment").map(encode) {
            section.set("comment", comment);
        }
    }
    cluster.files.set(FILE, section_config::print(&written));
}

fn update(cluster: &mut Cluster, call: &Call) -> Answer {
    let failed = |text: String| ApiError::internal(format!("update auth server failed: {text}"));
    super::files::assert_unmodified(&cluster.files.digest(FILE), call.get("digest"))
        .map_err(failed)?;
    let name = call.text("realm");
    let mut sections = realms(cluster);
    let section = sections.iter_mut().find(|section| section.id == name);
    let section = section.ok_or_else(|| failed(missing(name)))?;
    let says = |row: &Param| call.get(row.name).is_some();
    let deleted = call.list("delete");
    if deleted.is_empty() && !REALM.iter().any(says) {
        return Err(failed("no options specified".to_owned()));
    }
    // What a realm cannot be without is asked for when it is made, and never again.
    for key in &deleted {
        section.unset(key);
    }
    fill(section, call).map_err(failed)?;
    let ldap = matches!(section.kind.as_str(), "ad" | "ldap");
    only_default(&mut sections, call, name);
    let password = call.get("password").map(str::to_owned);
    let forget = deleted.iter().any(|key| key == "password");
    if ldap && (forget || password.is_some()) {
        keep_password(cluster, name, password);
    }
    write(cluster, &sections);
    Ok(Value::Null)
}

/// Removes a realm with its password; of a built-in one only what was written down of it. Its users stay.
fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let name = call.text("realm");
    if !exists(cluster, name) {
        return Err(ApiError::internal(format!(
            "delete auth server failed: authentication {}",
            missing(name)
        )));
    }
    keep_password(cluster, name, None);
    let mut sections = realms(cluster);
    sections.retain(|section| section.id != name);
    write(cluster, &sections);
    Ok(Value::Null)
}

/// Whether there is a realm of that name; users of one that there is not cannot log in.
#[must_use]
pub fn exists(cluster: &Cluster, name: &str) -> bool {
    realms(cluster).iter().any(|section| section.id == name)
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
