//! The JSON Schema of each kind, made from the Rust types. It is what the validator walks, what `explain` reads and what editors get.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::access_rule::AccessRuleSpec;
use super::api_token::ApiTokenSpec;
use super::backup_job::BackupJobSpec;
use super::container::ContainerSpec;
use super::firewall::FirewallSpec;
use super::firewall_alias::FirewallAliasSpec;
use super::group::GroupSpec;
use super::image::ImageSpec;
use super::ip_set::IpSetSpec;
use super::machine::VirtualMachineSpec;
use super::metadata::Metadata;
use super::options::REMOVABLE;
use super::pool::PoolSpec;
use super::realm::RealmSpec;
use super::replication_job::ReplicationJobSpec;
use super::role::RoleSpec;
use super::security_group::SecurityGroupSpec;
use super::snapshot::SnapshotSpec;
use super::storage::StorageSpec;
use super::user::UserSpec;
use super::{API_VERSION, Kind, refused};

/// The key of the schema under which a field carries Proxmox VE's own key.
pub const PROXMOX_KEY: &str = "x-proxmox-key";

static SCHEMAS: LazyLock<BTreeMap<Kind, Value>> =
    LazyLock::new(|| Kind::ALL.iter().map(|kind| (*kind, make(*kind))).collect());

static TYPED: LazyLock<BTreeMap<Kind, BTreeMap<String, String>>> =
    LazyLock::new(|| Kind::ALL.iter().map(|kind| (*kind, typed(*kind))).collect());

fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    tidy(&mut schema);
    schema
}

/// A schema of an object in which these fields have to be written.
fn with_required(mut schema: Value, fields: &[&str]) -> Value {
    if let Value::Object(map) = &mut schema {
        map.insert("required".to_owned(), json!(fields));
    }
    schema
}

/// Removes what says nothing: titles of types, empty keys, line ends within a sentence.
fn tidy(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.remove("title");
        if map.remove(REMOVABLE).is_none() {
            refuse_null(map);
        }
        if map.get(PROXMOX_KEY).and_then(Value::as_str) == Some("") {
            map.remove(PROXMOX_KEY);
        }
        if let Some(Value::String(text)) = map.get_mut("description") {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    each_child(schema, &mut tidy);
}

/// An optional field is left out, not written as `null`: that would look like a wish for removal and do nothing.
fn refuse_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name.as_str() != Some("null"));
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

/// Calls `with` for every schema directly inside.
pub fn each_child(schema: &mut Value, with: &mut dyn FnMut(&mut Value)) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(&mut *with);
    }
    for key in ["items", "additionalProperties", "propertyNames"] {
        if let Some(child @ Value::Object(_)) = map.get_mut(key) {
            with(child);
        }
    }
}

/// The schema of an image: what it is is always written. Where it comes from, and how it is told, is checked with the fields that say
/// that in two ways.
fn image() -> Value {
    let mut spec = with_required(of::<ImageSpec>(), &["storage", "content"]);
    if let Some(Value::Object(checksum)) = spec.pointer_mut("/properties/checksum") {
        checksum.insert("required".to_owned(), json!(["algorithm", "value"]));
    }
    spec
}

/// The schema of a realm: a second factor always says which.
fn realm() -> Value {
    let mut spec = of::<RealmSpec>();
    if let Some(Value::Object(tfa)) = spec.pointer_mut("/properties/tfa") {
        tfa.insert("required".to_owned(), json!(["type"]));
    }
    spec
}

/// The schema of a set: what each element is, is always written.
fn ip_set() -> Value {
    let mut spec = of::<IpSetSpec>();
    if let Some(Value::Object(entry)) = spec.pointer_mut("/properties/entries/items") {
        entry.insert("required".to_owned(), json!(["cidr"]));
    }
    spec
}

/// A schema with rules: what each is for and what it does, is always written.
fn with_rules(mut spec: Value) -> Value {
    if let Some(Value::Object(rule)) = spec.pointer_mut("/properties/rules/items") {
        rule.insert("required".to_owned(), json!(["direction", "action"]));
    }
    spec
}

fn make(kind: Kind) -> Value {
    let spec = match kind {
        Kind::VirtualMachine => of::<VirtualMachineSpec>(),
        Kind::Container => of::<ContainerSpec>(),
        Kind::Storage => of::<StorageSpec>(),
        Kind::Pool => of::<PoolSpec>(),
        Kind::BackupJob => of::<BackupJobSpec>(),
        Kind::Snapshot => with_required(of::<SnapshotSpec>(), &["vmid"]),
        Kind::ReplicationJob => of::<ReplicationJobSpec>(),
        Kind::Image => image(),
        Kind::Group => of::<GroupSpec>(),
        Kind::User => of::<UserSpec>(),
        Kind::Role => with_required(of::<RoleSpec>(), &["privileges"]),
        Kind::AccessRule => with_required(of::<AccessRuleSpec>(), &["path", "roles"]),
        Kind::ApiToken => with_required(of::<ApiTokenSpec>(), &["user"]),
        Kind::Realm => realm(),
        Kind::FirewallAlias => with_required(of::<FirewallAliasSpec>(), &["cidr"]),
        Kind::IpSet => ip_set(),
        Kind::SecurityGroup => with_rules(of::<SecurityGroupSpec>()),
        Kind::Firewall => with_rules(of::<FirewallSpec>()),
    };
    let about = match kind {
        Kind::VirtualMachine => "A virtual machine (QEMU).",
        Kind::Container => "A container (LXC).",
        Kind::Storage => "A storage definition of the cluster.",
        Kind::Pool => "A pool of guests and storages.",
        Kind::Snapshot => "A snapshot of a guest.",
        Kind::BackupJob => "A job that backs guests up on a schedule (vzdump).",
        Kind::ReplicationJob => {
            "A job that copies a guest's disks to another node on a schedule (pvesr)."
        }
        Kind::Image => "A file on a storage: an ISO image, a container template, a disk to import.",
        Kind::Group => "A group of users.",
        Kind::User => "A user, who may log in.",
        Kind::Role => "Privileges under a name.",
        Kind::AccessRule => "The roles that a user, group or token is given on a path.",
        Kind::ApiToken => "A token of a user, with which a program uses Proxmox VE's API.",
        Kind::Realm => "A realm, which users come from and which checks their logins.",
        Kind::FirewallAlias => "A name for an address or a network, for firewall rules.",
        Kind::IpSet => "A set of addresses, for firewall rules.",
        Kind::SecurityGroup => "A named list of firewall rules.",
        Kind::Firewall => {
            "The options and the rules of one firewall: the datacenter's, a node's, a guest's or a vnet's."
        }
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.as_str(),
        "description": about,
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string", "enum": [API_VERSION], "description": "The version of this schema."},
            "kind": {"type": "string", "enum": [kind.as_str()], "description": "The kind of the document."},
            "metadata": of::<Metadata>(),
            "spec": spec,
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
    })
}

/// The JSON Schema (draft 2020-12) of a kind. Every subschema is in its place: there are no references, no alternatives.
pub fn schema(kind: Kind) -> &'static Value {
    // Every kind is in the map by construction; the empty schema is never seen.
    static NOTHING: Value = Value::Null;
    SCHEMAS.get(&kind).unwrap_or(&NOTHING)
}

/// The fields that set keys of Proxmox VE: key (numbers as `[n]`) to path (`spec.cpu.limit`).
pub fn typed_keys(kind: Kind) -> &'static BTreeMap<String, String> {
    static NOTHING: BTreeMap<String, String> = BTreeMap::new();
    TYPED.get(&kind).unwrap_or(&NOTHING)
}

fn typed(kind: Kind) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    if let Some(properties) = schema(kind)
        .pointer("/properties/spec/properties")
        .and_then(Value::as_object)
    {
        collect_keys(properties, "spec", &mut keys);
    }
    keys
}

/// Groups without a key of their own are entered; property strings are not, their sub-keys are not keys of the configuration.
fn collect_keys(properties: &Map<String, Value>, path: &str, keys: &mut BTreeMap<String, String>) {
    for (name, field) in properties {
        let path = format!("{path}.{name}");
        match field.get(PROXMOX_KEY).and_then(Value::as_str) {
            Some(written) => {
                for key in written.split_whitespace() {
                    let main = key.split(',').next().unwrap_or(key);
                    keys.entry(refused::family(main))
                        .or_insert_with(|| path.clone());
                    keys.entry(main.to_owned()).or_insert_with(|| path.clone());
                }
            }
            None => {
                if let Some(Value::Object(inner)) = field.get("properties") {
                    collect_keys(inner, &path, keys);
                }
            }
        }
    }
}
