//! What the simulated API says of itself: the script of the API viewer, generated from the simulator's own routes and parameter
//! tables; and what a world file says an older version lacks, which is then neither described nor taken.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::call::{ApiError, put};
use super::guest::props::{Field, Role};
use super::params::{Kind, Param};
use super::router::{Access, Route};

/// Where pveproxy serves the script, to anybody.
pub const PATH: &str = "/pve-docs/api-viewer/apidoc.js";

const UNDEFINED: &str =
    "property is not defined in schema and the schema does not allow additional properties";

/// Which version is simulated, and what it lacks of what the simulator can do.
#[derive(Debug, Clone)]
pub struct Edition {
    /// The version told.
    pub version: String,
    /// Whether the script is served: not, where a proxy passes only the API through.
    pub viewer: bool,
    /// By `POST /nodes/{node}/qemu`: parameters (`allow-ksm`, `net[n]`) and fields of property strings (`net[n].mtu`) that it does
    /// not have; nothing named: it does not have the call.
    lacks: BTreeMap<String, BTreeSet<String>>,
}

/// What came with 9.2, by call.
const SINCE_9_2: &[(&str, &[&str])] = &[(
    "PUT /access/users/{userid}/token/{tokenid}",
    &["delete", "regenerate"],
)];

impl Default for Edition {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// Whether a version is 9.2 or later. What is none says nothing, and counts as later.
fn has_9_2(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (9, 2),
        _ => true,
    }
}

impl Edition {
    /// An edition that lacks nothing but what came later than it; what is not said is as usual.
    #[must_use]
    pub fn new(version: Option<String>, viewer: Option<bool>) -> Self {
        let version = version.unwrap_or_else(|| "9.1.8".into());
        let later = if has_9_2(&version) { &[] } else { SINCE_9_2 };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            version,
            viewer: viewer.unwrap_or(true),
            lacks: later
                .iter()
                .map(|(call, parameters)| ((*call).to_owned(), names(parameters)))
                .collect(),
        }
    }

    /// Whether it lacks a parameter of a call.
    #[must_use]
    pub fn lacks(&self, endpoint: &str, parameter: &str) -> bool {
        let lacks = self.lacks.get(endpoint);
        lacks.is_some_and(|names| names.is_empty() || names.contains(parameter))
    }

    /// Adds what is lacking.
    ///
    /// # Errors
    /// The simulator has no such call, parameter or field, so nothing would be lacking.
    pub fn lack(&mut self, endpoint: &str, names: BTreeSet<String>) -> Result<(), String> {
        let routes = super::routes();
        let route = routes
            .iter()
            .find(|route| endpoint_of(route) == endpoint)
            .ok_or_else(|| format!("there is no call `{endpoint}`"))?;
        let described = parameters(route);
        for name in &names {
            let (parameter, field) = split(name);
            let known = described.get(parameter).is_some_and(|spec| {
                field.is_none_or(|field| spec.pointer(&format!("/format/{field}")).is_some())
            });
            if !known {
                return Err(format!("`{endpoint}` has no `{name}`"));
            }
        }
        self.lacks.insert(endpoint.to_owned(), names);
        Ok(())
    }

    /// That a call's parameters are of this version.
    ///
    /// # Errors
    /// As Proxmox VE answers: 501 for a call it does not have, else complaints by parameter.
    pub fn verify(&self, route: &Route, sent: &BTreeMap<String, String>) -> Result<(), ApiError> {
        if self.lacks.is_empty() {
            return Ok(());
        }
        let Some(lacks) = self.lacks.get(&endpoint_of(route)) else {
            return Ok(());
        };
        if lacks.is_empty() {
            let text = format!("Method '{}' not implemented", endpoint_of(route));
            return Err(ApiError::new(501, text));
        }
        let mut errors = BTreeMap::new();
        for (name, value) in sent {
            let mut rows = route.params.iter().flat_map(|table| table.iter());
            let Some(row) = rows.find(|row| row.covers(name)) else {
                continue;
            };
            let described = described(row);
            for lack in lacks {
                match split(lack) {
                    (parameter, None) if parameter == described => {
                        errors.insert(name.clone(), UNDEFINED.to_owned());
                    }
                    (parameter, Some(field))
                        if parameter == described
                            && value
                                .split(',')
                                .any(|part| part.split('=').next() == Some(field)) =>
                    {
                        let text =
                            format!("invalid format - format error\n{name}.{field}: {UNDEFINED}\n");
                        errors.insert(name.clone(), text);
                    }
                    _ => {}
                }
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::parameters(errors))
        }
    }

    /// The script.
    #[must_use]
    pub fn script(&self) -> String {
        let mut root = Branch::default();
        for route in super::routes() {
            let endpoint = endpoint_of(&route);
            let lacks = self.lacks.get(&endpoint);
            if lacks.is_some_and(BTreeSet::is_empty) {
                continue;
            }
            let mut parameters = parameters(&route);
            for lack in lacks.into_iter().flatten() {
                match split(lack) {
                    (parameter, None) => {
                        parameters.remove(parameter);
                    }
                    (parameter, Some(field)) => {
                        let format = parameters
                            .get_mut(parameter)
                            .and_then(|spec| spec.get_mut("format"))
                            .and_then(Value::as_object_mut);
                        if let Some(format) = format {
                            format.remove(field);
                        }
                    }
                }
            }
            let info = json!({
                "method": route.method.name(),
                "parameters": { "additionalProperties": 0, "properties": parameters },
                "permissions": permissions(route.access),
            });
            root.add(route.path, route.method.name(), info);
        }
        let tree = json!(root.children(""));
        format!(
            "const apiSchema = {tree}\n;\nlet method2cmd = {{ GET: 'get', POST: 'create', PUT: 'set', DELETE: 'delete' }};\n"
        )
    }
}

/// `POST /nodes/{node}/qemu`.
fn endpoint_of(route: &Route) -> String {
    format!("{} {}", route.method.name(), route.path.replace("*}", "}"))
}

/// Parameter and field of `net[n].mtu`. A parameter's own name has no dot.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('.') {
        Some((parameter, field)) => (parameter, Some(field)),
        None => (name, None),
    }
}

/// The name as an API's description has it: `net[n]`.
fn described(row: &Param) -> String {
    match row.indexed {
        Some(_) => format!("{}[n]", row.name),
        None => row.name.to_owned(),
    }
}

fn parameters(route: &Route) -> Map<String, Value> {
    let variables = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let name = name.trim_end_matches('*').to_owned();
            (name, json!({ "type": "string" }))
        });
    let rows = route.params.iter().flat_map(|table| table.iter());
    variables
        .chain(rows.map(|row| {
            let mut spec = spec(&row.kind);
            if row.optional {
                put(&mut spec, "optional", json!(1));
            }
            (described(row), spec)
        }))
        .collect()
}

fn spec(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Form(_) | Kind::FormList(_) | Kind::Pattern(_) => {
            json!({ "type": "string" })
        }
        Kind::TextMax(most) => json!({ "type": "string", "maxLength": most }),
        Kind::TextMin(least) => json!({ "type": "string", "minLength": least }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => {
            let mut spec = json!({ "type": "integer" });
            if *least > i64::MIN {
                put(&mut spec, "minimum", json!(least));
            }
            if *most < i64::MAX {
                put(&mut spec, "maximum", json!(most));
            }
            spec
        }
        Kind::Number(least) => json!({ "type": "number", "minimum": least }),
        Kind::NumberIn(least, most) => {
            json!({ "type": "number", "minimum": least, "maximum": most })
        }
        Kind::Enum(words) => json!({ "type": "string", "enum": words }),
        Kind::Among(words) => json!({ "type": "string", "enum": words() }),
        Kind::All(kinds) => {
            let mut all = Map::new();
            for kind in *kinds {
                if let Value::Object(members) = spec(kind) {
                    all.extend(members);
                }
            }
            Value::Object(all)
        }
        Kind::Property(schema) => {
            let fields = schema.iter().flat_map(|part| part.iter());
            let format: Map<String, Value> = fields
                .map(|field| (field.name.to_owned(), field_spec(field)))
                .collect();
            json!({ "type": "string", "format": format })
        }
    }
}

fn field_spec(field: &Field) -> Value {
    let mut of = spec(&field.kind);
    match field.role {
        Role::Required => {}
        Role::Optional => put(&mut of, "optional", json!(1)),
        Role::Default => put(&mut of, "default_key", json!(1)),
        Role::OptionalDefault => {
            put(&mut of, "default_key", json!(1));
            put(&mut of, "optional", json!(1));
        }
        Role::Alias(name) => of = json!({ "alias": name }),
        Role::KeyAlias(key, name) => of = json!({ "alias": name, "keyAlias": key }),
    }
    of
}

fn permissions(access: Access) -> Value {
    match access {
        Access::World => json!({ "user": "world" }),
        Access::User => json!({ "user": "all" }),
        Access::Root => Value::Null,
        Access::Any(path, privileges) => {
            json!({ "check": ["perm", path, privileges, "any", 1] })
        }
        Access::All(path, privileges) => json!({ "check": ["perm", path, privileges] }),
    }
}

/// A path's methods and what lies below it.
#[derive(Default)]
struct Branch {
    info: Map<String, Value>,
    below: BTreeMap<String, Branch>,
}

impl Branch {
    fn add(&mut self, path: &str, method: &str, info: Value) {
        let mut at = self;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = at.below.entry(part.replace("*}", "}")).or_default();
        }
        at.info.insert(method.to_owned(), info);
    }

    fn children(&self, path: &str) -> Vec<Value> {
        self.below
            .iter()
            .map(|(name, branch)| {
                let path = format!("{path}/{name}");
                let mut node = json!({
                    "path": path, "text": name, "leaf": u8::from(branch.below.is_empty()), "info": branch.info,
                });
                if !branch.below.is_empty() {
                    put(&mut node, "children", json!(branch.children(&path)));
                }
                node
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    fn tree(script: &str) -> Value {
        let tree = script.strip_prefix("const apiSchema = ").unwrap();
        serde_json::from_str(tree.split_once("\n;").unwrap().0).unwrap()
    }

    fn paths(nodes: &Value, found: &mut Vec<String>) {
        for node in nodes.as_array().unwrap() {
            for method in node["info"].as_object().unwrap().keys() {
                found.push(format!("{method} {}", node["path"].as_str().unwrap()));
            }
            if node["children"].is_array() {
                paths(&node["children"], found);
            }
        }
    }

    #[test]
    fn every_route_is_described() {
        let mut found = Vec::new();
        paths(&tree(&Edition::default().script()), &mut found);
        found.sort();
        let mut routes: Vec<String> = crate::sim::routes()
            .iter()
            .map(endpoint_of)
            .filter(|endpoint| !endpoint.ends_with(" /"))
            .collect();
        routes.sort();
        routes.dedup();
        assert_eq!(found, routes);
    }

    #[test]
    fn what_came_later_is_lacking_before() {
        let put = "PUT /access/users/{userid}/token/{tokenid}";
        for (version, lacks) in [(None, true), (Some("8.4.1"), true), (Some("9.2.3"), false)] {
            let edition = Edition::new(version.map(str::to_owned), None);
            for parameter in ["delete", "regenerate"] {
                assert_eq!(
                    edition.lacks(put, parameter),
                    lacks,
                    "{version:?} {parameter}"
                );
            }
            assert!(!edition.lacks(put, "comment"));
            assert_eq!(edition.script().contains("regenerate"), !lacks);
        }
        for (call, names) in SINCE_9_2 {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            assert!(Edition::default().lack(call, names).is_ok(), "{call}");
        }
    }

    #[test]
    fn what_is_lacking_must_be_there_to_lack() {
        let mut edition = Edition::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let post = "POST /nodes/{node}/qemu";
        assert!(
            edition
                .lack(post, names(&["allow-ksm", "net[n].mtu"]))
                .is_ok()
        );
        assert!(edition.lack(post, names(&["nosuch"])).is_err());
        assert!(edition.lack(post, names(&["net[n].nosuch"])).is_err());
        assert!(edition.lack("POST /nosuch", names(&[])).is_err());
    }
}
