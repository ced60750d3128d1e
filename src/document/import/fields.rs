//! From keys to fields: walks the schema of a kind, takes the key each field stands for out of the configuration, and keeps the field
//! if it asks for what is there. What is left then goes to `extraConfig` or is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Imported, Section, value};
use crate::document::backup_job::BackupJobSpec;
use crate::document::container::ContainerSpec;
use crate::document::desired::{self, Desired, DesiredAccount, Wish};
use crate::document::firewall::FirewallSpec;
use crate::document::machine::VirtualMachineSpec;
use crate::document::realm::RealmSpec;
use crate::document::replication_job::ReplicationJobSpec;
use crate::document::schema::{self, PROXMOX_KEY};
use crate::document::storage::StorageSpec;
use crate::document::{Kind, refused, scalar};
use crate::ids::{BackupJobId, GuestKind, RealmId, ReplicationJobId, StorageId};
use crate::proxmox::property::tables::format_of;
use crate::proxmox::property::{Domain, PropertyMap, equivalent, merged};
use crate::proxmox::schema::root_only;

/// What no field stands for.
const NO_FIELD: &str = "documents have no field for it";
/// What a field stands for, but not like this.
const UNSAYABLE: &str = "a document cannot say its value as it stands there";
const SECRET: &str = "a secret cannot be read back; a document says where it is to be found";

/// Fields at the top of a kind that stand for something else than one key of the configuration; written by [`super::guest`] and the
/// like.
fn by_hand(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::VirtualMachine => &[
            "vmid",
            "node",
            "nodes",
            "migration",
            "pool",
            "powerState",
            "cloneFrom",
            "restoreFrom",
            "isTemplate",
            "disks",
            "cdroms",
            "efiDisk",
            "tpmState",
            "extraConfig",
        ],
        Kind::Container => &[
            "vmid",
            "node",
            "nodes",
            "migration",
            "pool",
            "powerState",
            "cloneFrom",
            "restoreFrom",
            "isTemplate",
            "template",
            "unprivileged",
            "passwordFrom",
            "sshKeys",
            "rootFs",
            "mountPoints",
            "extraConfig",
        ],
        Kind::Storage => &["id", "type", "extraConfig"],
        Kind::Pool => &["id", "comment", "guests", "storages"],
        Kind::BackupJob => &["id", "extraConfig"],
        Kind::Snapshot => &["vmid", "name", "description", "includeMemory"],
        Kind::ReplicationJob => &["id", "guest", "target", "enabled", "extraConfig"],
        Kind::Image | Kind::Group | Kind::User | Kind::Role | Kind::AccessRule => &[],
        Kind::Realm => &["id", "type", "extraConfig"],
        Kind::ApiToken => &["user", "id", "separated", "expires", "comment"],
        Kind::FirewallAlias => &["guest", "name", "cidr", "comment"],
        Kind::IpSet => &["guest", "name", "comment", "entries"],
        Kind::SecurityGroup => &["name", "comment", "rules"],
        Kind::Firewall => &["cluster", "node", "guest", "rules", "extraConfig"],
    }
}

/// A configuration being read into a document.
pub(super) struct Reading<'a> {
    pub(super) guest: Option<GuestKind>,
    pub(super) kind: Kind,
    domain: Domain,
    section: &'a Section,
    pub(super) out: &'a mut Imported,
    /// Keys that are dealt with.
    done: BTreeSet<String>,
    /// Of keys with options: the options that are dealt with.
    taken: BTreeMap<String, BTreeSet<String>>,
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn longer(path: &[String], name: &str) -> Vec<String> {
    path.iter()
        .cloned()
        .chain(std::iter::once(name.to_owned()))
        .collect()
}

impl<'a> Reading<'a> {
    /// Begins, and tells of every key that no document may set.
    pub(super) fn new(
        guest: Option<GuestKind>,
        kind: Kind,
        section: &'a Section,
        out: &'a mut Imported,
    ) -> Self {
        let mut reading = Self {
            guest,
            kind,
            domain: match kind {
                Kind::BackupJob => Domain::BackupJob,
                Kind::VirtualMachine
                | Kind::Container
                | Kind::Storage
                | Kind::Pool
                | Kind::Snapshot
                | Kind::Image
                | Kind::Group
                | Kind::User
                | Kind::Role
                | Kind::AccessRule
                | Kind::ApiToken
                | Kind::FirewallAlias
                | Kind::IpSet
                | Kind::SecurityGroup => guest.map_or(Domain::Storage, Domain::from),
                Kind::ReplicationJob => Domain::ReplicationJob,
                Kind::Realm => Domain::Realm,
                Kind::Firewall => Domain::Firewall,
            },
            section,
            out,
            done: BTreeSet::new(),
            taken: BTreeMap::new(),
        };
        for (key, raw) in section {
            // What an object is, not how it is set.
            let is = match kind {
                Kind::BackupJob => matches!(key.as_str(), "id" | "type"),
                Kind::VirtualMachine | Kind::Container => key == "template",
                Kind::Storage
                | Kind::Pool
                | Kind::Snapshot
                | Kind::ReplicationJob
                | Kind::Image
                | Kind::Group
                | Kind::User
                | Kind::Role
                | Kind::AccessRule
                | Kind::ApiToken
                | Kind::Realm
                | Kind::FirewallAlias
                | Kind::IpSet
                | Kind::SecurityGroup
                | Kind::Firewall => false,
            };
            if is {
                reading.pass_over(key);
                continue;
            }
            let closed = refused::key(kind, key)
                .or_else(|| guest.and_then(|guest| root_only(guest, key, Some(raw), Some(raw))));
            if let Some(why) = closed {
                reading.give_up(key, why);
            }
        }
        reading
    }

    /// The value of a key that is not dealt with yet.
    pub(super) fn raw(&self, key: &str) -> Option<&'a str> {
        if self.done.contains(key) {
            return None;
        }
        self.section.get(key).map(String::as_str)
    }

    /// Tells that a key is left out whole.
    pub(super) fn give_up(&mut self, key: &str, why: impl Into<String>) {
        self.done.insert(key.to_owned());
        self.out.leave_out(key, why);
    }

    /// Passes over a key that says nothing.
    pub(super) fn pass_over(&mut self, key: &str) {
        self.done.insert(key.to_owned());
    }

    /// The schema of a field below `spec`.
    pub(super) fn schema(&self, path: &[&str]) -> &'static Value {
        static NOTHING: Value = Value::Null;
        let mut schema = schema::schema(self.kind).pointer("/properties/spec");
        for name in path {
            schema = schema.and_then(|schema| schema.get("properties")?.get(name));
        }
        schema.unwrap_or(&NOTHING)
    }

    /// Reads every field that stands for a key.
    pub(super) fn fields(&mut self) {
        if let Some(fields) = properties(self.schema(&[])) {
            self.group(fields, &[]);
        }
    }

    fn group(&mut self, fields: &'static Map<String, Value>, at: &[String]) {
        for (name, schema) in fields {
            // Only at the top: cloud-init has a field `sshKeys` too, which stands for a key.
            if at.is_empty() && by_hand(self.kind).contains(&name.as_str()) {
                continue;
            }
            let path = longer(at, name);
            match schema.get(PROXMOX_KEY).and_then(Value::as_str) {
                None => {
                    if let Some(inner) = properties(schema) {
                        self.group(inner, &path);
                    }
                }
                Some(keys) if keys.contains("[n]") => self.slots(keys, schema, &path),
                Some(key) => match key.split_once(',') {
                    Some((main, sub)) => self.part(main, sub, schema, &path),
                    None => self.key(key, schema, &path),
                },
            }
        }
    }

    /// Devices by slot.
    fn slots(&mut self, families: &str, schema: &'static Value, at: &[String]) {
        let Some(device) = schema.get("additionalProperties") else {
            return;
        };
        let format = schema
            .pointer("/propertyNames/format")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let section = self.section;
        for key in section.keys() {
            let of_family = families
                .split_whitespace()
                .any(|family| refused::family(key) == family);
            if of_family && matches!(scalar::check(format, key), Some(Ok(_))) {
                self.key(key, device, &longer(at, key));
            }
        }
    }

    /// A whole key.
    fn key(&mut self, key: &str, schema: &'static Value, path: &[String]) {
        let Some(raw) = self.raw(key) else { return };
        if let Some(inner) = properties(schema).filter(|_| !is_secret(path)) {
            if let Some(map) = self.parsed(key, raw) {
                self.options(&map, inner, key, path);
            }
            return;
        }
        let default = format_of(self.domain, key).and_then(|format| format.default_key);
        if let Some(sub) = default {
            if let Some(map) = self.parsed(key, raw) {
                self.option(&map, (sub, key.to_owned()), schema, key, path);
            }
            return;
        }
        self.done.insert(key.to_owned());
        self.keep(schema, raw, key, key.to_owned(), path.to_vec());
    }

    /// One option of a key, as a field of its own.
    fn part(&mut self, key: &str, sub: &str, schema: &'static Value, path: &[String]) {
        let Some(raw) = self.raw(key) else { return };
        let Some(map) = self.parsed(key, raw) else {
            return;
        };
        self.option(&map, (sub, format!("{key}.{sub}")), schema, key, path);
    }

    /// A key's value taken apart; told if that is not possible.
    pub(super) fn parsed(&mut self, key: &str, raw: &str) -> Option<PropertyMap> {
        match PropertyMap::parse(self.domain, key, raw) {
            Ok(map) => {
                self.taken.entry(key.to_owned()).or_default();
                Some(map)
            }
            Err(error) => {
                self.give_up(key, format!("its value cannot be read: {error}"));
                None
            }
        }
    }

    /// The options of a key, as the fields of a group.
    pub(super) fn options(
        &mut self,
        map: &PropertyMap,
        fields: &'static Map<String, Value>,
        key: &str,
        at: &[String],
    ) {
        for (name, schema) in fields {
            let path = longer(at, name);
            match schema.get(PROXMOX_KEY).and_then(Value::as_str) {
                None => {
                    if let Some(inner) = properties(schema) {
                        self.options(map, inner, key, &path);
                    }
                }
                Some(sub) => self.option(map, (sub, format!("{key}.{sub}")), schema, key, &path),
            }
        }
    }

    /// One option, and what it is called where it is told.
    fn option(
        &mut self,
        map: &PropertyMap,
        (sub, setting): (&str, String),
        schema: &'static Value,
        key: &str,
        path: &[String],
    ) {
        let taken = self.taken.get(key).is_some_and(|taken| taken.contains(sub));
        if let (Some(raw), false) = (map.get(sub), taken) {
            self.take(key, sub);
            self.keep(schema, raw, key, setting, path.to_vec());
        }
    }

    /// Notes that an option is dealt with.
    pub(super) fn take(&mut self, key: &str, sub: &str) {
        self.taken
            .entry(key.to_owned())
            .or_default()
            .insert(sub.to_owned());
    }

    /// Writes a field if it asks for what is there, and tells why not otherwise.
    fn keep(&mut self, schema: &Value, raw: &str, key: &str, setting: String, path: Vec<String>) {
        let field = path.join(".");
        if is_secret(&path) {
            return self
                .out
                .leave_out(setting, format!("{SECRET}: `spec.{field}`"));
        }
        let live = self.section.get(key).map_or("", String::as_str);
        match value::read(schema, key, &setting, raw) {
            Err(why) => self.out.leave_out(setting, why),
            Ok(value) if self.asks_for(&path, &value, key, live) => {
                self.out.place(path, value, key, setting);
            }
            Ok(_) => {
                let why = format!(
                    "`spec.{field}` cannot say `{}` as it stands there",
                    crate::document::validate::short(raw)
                );
                self.out.leave_out(setting, why);
            }
        }
    }

    /// Whether a document with nothing but this field asks for what is there.
    fn asks_for(&self, path: &[String], value: &Value, key: &str, live: &str) -> bool {
        let spec = path
            .iter()
            .rev()
            .fold(value.clone(), |inner, name| json!({ name: inner }));
        let Some(wish) = desired_of(self.kind, spec).and_then(|desired| wish(desired, key)) else {
            return false;
        };
        match wish {
            Wish::Remove | Wish::Set(desired::Value::Secret(_)) => false,
            Wish::Set(desired::Value::Plain(text)) => equivalent(self.domain, key, live, &text),
            Wish::Set(desired::Value::Properties { set, remove }) => {
                !set.is_empty() && merged(self.domain, key, Some(live), &set, &remove) == Ok(None)
            }
        }
    }

    /// Whether root in the container is nobody outside. It counts when a container is made; live ones say nothing when it is not so.
    pub(super) fn unprivileged(&mut self) {
        self.done.insert("unprivileged".to_owned());
        let live = self.section.get("unprivileged");
        let unprivileged = live.is_some_and(|raw| crate::proxmox::property::is_true(raw));
        self.out.place(
            super::path(&["unprivileged"]),
            json!(unprivileged),
            "unprivileged",
            "unprivileged".to_owned(),
        );
    }

    /// Deals with what no field stands for.
    pub(super) fn rest(&mut self) {
        let section = self.section;
        for (key, raw) in section {
            if self.done.contains(key) {
                continue;
            }
            match self.taken.get(key).cloned() {
                Some(taken) => self.other_options(key, raw, &taken),
                None => self.other(key, raw),
            }
        }
    }

    /// The options of a key that no field stands for. Those that mean what their absence means say nothing and are not told.
    fn other_options(&mut self, key: &str, raw: &str, taken: &BTreeSet<String>) {
        let Ok(map) = PropertyMap::parse(self.domain, key, raw) else {
            return;
        };
        let informational = format_of(self.domain, key).map_or(&[][..], |f| f.informational);
        for (name, value) in map.normal() {
            // How the other options are written is no setting of its own.
            let form = key == "smbios1" && name == "base64";
            if taken.contains(&name) || informational.contains(&name.as_str()) || form {
                continue;
            }
            let identity = key == "smbios1" && name == "uuid";
            let closed = self
                .guest
                .and_then(|guest| root_only(guest, key, None, Some(&format!("{name}={value}"))));
            let why = match closed {
                _ if identity => "it is part of the machine's identity",
                Some(why) => why,
                None => NO_FIELD,
            };
            self.out.leave_out(format!("{key}.{name}"), why);
        }
    }

    /// A key that no field stands for.
    fn other(&mut self, key: &str, raw: &str) {
        let typed = schema::typed_keys(self.kind);
        let has_field = typed.contains_key(key) || typed.contains_key(&refused::family(key));
        let path = super::path(&["extraConfig", key]);
        let value = json!(raw);
        let sayable = !has_field
            && matches!(scalar::check("config-key", key), Some(Ok(_)))
            && self.asks_for(&path, &value, key, raw);
        if sayable {
            self.out.place(path, value, key, key.to_owned());
        } else {
            let why = if has_field { UNSAYABLE } else { NO_FIELD };
            self.out.leave_out(key, why);
        }
    }
}

/// Whether a field names a secret.
fn is_secret(path: &[String]) -> bool {
    path.last().is_some_and(|name| name.ends_with("From"))
}

fn desired_of(kind: Kind, spec: Value) -> Option<Desired> {
    Some(match kind {
        Kind::VirtualMachine => {
            let spec: VirtualMachineSpec = serde_json::from_value(spec).ok()?;
            Desired::Guest(Box::new(spec.desired("")))
        }
        Kind::Container => {
            let spec: ContainerSpec = serde_json::from_value(spec).ok()?;
            Desired::Guest(Box::new(spec.desired("")))
        }
        Kind::Storage => {
            let spec: StorageSpec = serde_json::from_value(spec).ok()?;
            Desired::Storage(Box::new(spec.desired(StorageId::new("any").ok()?)))
        }
        Kind::BackupJob => {
            let spec: BackupJobSpec = serde_json::from_value(spec).ok()?;
            Desired::BackupJob(Box::new(spec.desired(BackupJobId::new("any").ok()?)))
        }
        Kind::Pool
        | Kind::Snapshot
        | Kind::Image
        | Kind::Group
        | Kind::User
        | Kind::Role
        | Kind::AccessRule
        | Kind::ApiToken
        | Kind::FirewallAlias
        | Kind::IpSet
        | Kind::SecurityGroup => return None,
        Kind::Firewall => {
            let mut spec: FirewallSpec = serde_json::from_value(spec).ok()?;
            (spec.cluster, spec.node, spec.guest) = (Some(true), None, None);
            Desired::Firewall(Box::new(spec.desired()?))
        }
        Kind::Realm => {
            let spec: RealmSpec = serde_json::from_value(spec).ok()?;
            let realm = spec.desired(RealmId::new("any").ok()?);
            Desired::Account(Box::new(DesiredAccount::Realm(realm)))
        }
        Kind::ReplicationJob => {
            let spec: ReplicationJobSpec = serde_json::from_value(spec).ok()?;
            let id = ReplicationJobId::new("100-0").ok()?;
            Desired::ReplicationJob(Box::new(spec.desired(id)))
        }
    })
}

/// What is asked for one key; of a disk slot, its options.
fn wish(desired: Desired, key: &str) -> Option<Wish<desired::Value>> {
    match desired {
        Desired::Guest(mut guest) => guest.options.remove(key).or_else(|| {
            let slot = crate::ids::Slot::new(key).ok()?;
            match guest.disks.remove(&slot)? {
                Wish::Set(disk) => Some(Wish::Set(desired::Value::Properties {
                    set: disk.options,
                    remove: disk.remove_options,
                })),
                Wish::Remove => Some(Wish::Remove),
            }
        }),
        Desired::Storage(mut storage) => storage.options.remove(key),
        Desired::BackupJob(mut job) => job.options.remove(key),
        Desired::Account(account) => match *account {
            DesiredAccount::Realm(mut realm) => realm.options.remove(key),
            DesiredAccount::Group(_)
            | DesiredAccount::User(_)
            | DesiredAccount::Role(_)
            | DesiredAccount::Rule(_) => None,
        },
        Desired::Pool(_)
        | Desired::Snapshot(_)
        | Desired::Image(_)
        | Desired::ApiToken(_)
        | Desired::FirewallAlias(_)
        | Desired::IpSet(_)
        | Desired::SecurityGroup(_) => None,
        Desired::Firewall(mut firewall) => firewall.options.remove(key),
        Desired::ReplicationJob(mut job) => job.options.remove(key),
    }
}
