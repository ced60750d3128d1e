//! The API as the connected host itself describes it: the JSON tree in the script of its API viewer
//! (`/pve-docs/api-viewer/apidoc.js`, which pveproxy serves to anybody), reduced to what a write can lack. Pure.
//!
//! Proxmox VE verifies every call against the very tables this tree is printed from, so a parameter that is not in it would be
//! refused by the host, and one that is will not be refused for its name. Only writes are kept, and of them names, words and the
//! fields of property strings: bounds and patterns hold for every version Bailiwick knows and are checked in the documents.
//!
//! In a cluster whose nodes have different versions (it is being upgraded) the tree is that of the node that was asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::call::{Call, Method, Value};
use super::schema::split_index;

/// The most bytes of the script that are read. Proxmox VE 9.2's has 4 MB.
pub const LARGEST_SCRIPT: usize = 16 << 20;

/// The major version of Proxmox VE that Bailiwick's own tables ([`schema`](super::schema), the property strings, the documents'
/// fields) are of.
pub const KNOWN_MAJOR: u32 = 9;

/// What begins the tree: the first is of Proxmox VE 7 and later, the second of 6.
const NAMES: [&str; 2] = ["apiSchema", "pveapi"];

/// The writes of an API: which there are, and what each takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedApi {
    /// SHA-256 of the script it was read from, in hex.
    pub digest: String,
    /// By `POST /nodes/{node}/qemu`.
    endpoints: BTreeMap<String, Endpoint>,
}

/// One method on one path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Endpoint {
    /// It takes parameters beyond those it names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    /// By name; indexed ones as `net[n]`.
    parameters: BTreeMap<String, Parameter>,
}

/// What a parameter, or a field of a property string, may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Parameter {
    /// The words it may be; none: it is not one of a few words.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    words: BTreeSet<String>,
    /// The fields, if it is a property string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<BTreeMap<String, Parameter>>,
    /// The field that may be written without its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bare: Option<String>,
}

/// A text that is not the API viewer's script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASchema {
    /// There is no tree in it.
    #[error("what it serves there is not the script of Proxmox VE's API viewer")]
    NoTree,
    /// The tree does not read.
    #[error("the tree in the script of its API viewer does not read: {0}")]
    Unreadable(String),
    /// The tree has no call that every Proxmox VE has.
    #[error("the tree in the script of its API viewer has no `{0}`, which every Proxmox VE has")]
    NotProxmox(&'static str),
}

/// Something a call needs and the API does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The call itself: `POST /nodes/{node}/qemu` in general words, as the caller knows it.
    Endpoint {
        /// The method and path.
        call: String,
    },
    /// A parameter.
    Parameter {
        /// The parameter.
        name: String,
        /// `POST /nodes/{node}/qemu`.
        endpoint: String,
    },
    /// A field of a property string.
    Field {
        /// The field.
        field: String,
        /// The parameter it is in.
        name: String,
        /// `POST /nodes/{node}/qemu`.
        endpoint: String,
    },
    /// A word for a parameter or field.
    Word {
        /// The word.
        word: String,
        /// The parameter, or `parameter.field`.
        name: String,
        /// `POST /nodes/{node}/qemu`.
        endpoint: String,
    },
}

impl Lack {
    /// The parameter it is about; empty if it is about the call.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Endpoint { .. } => "",
            Self::Parameter { name, .. } | Self::Field { name, .. } | Self::Word { name, .. } => {
                name
            }
        }
    }
}

/// What the cluster does not have: `no parameter `x` of `POST /y``.
impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint { call } => write!(f, "no `{call}`"),
            Self::Parameter { name, endpoint } => {
                write!(f, "no parameter `{name}` of `{endpoint}`")
            }
            Self::Field {
                field,
                name,
                endpoint,
            } => write!(f, "no `{field}` in the parameter `{name}` of `{endpoint}`"),
            Self::Word {
                word,
                name,
                endpoint,
            } => write!(f, "no word `{word}` for `{name}` of `{endpoint}`"),
        }
    }
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    path: String,
    #[serde(default)]
    info: BTreeMap<String, Info>,
    #[serde(default)]
    children: Vec<Node>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    #[serde(default)]
    properties: Option<BTreeMap<String, Property>>,
    #[serde(default)]
    additional_properties: serde_json::Value,
}

#[derive(Deserialize)]
struct Property {
    /// A format's name, or the fields of a property string.
    #[serde(default)]
    format: serde_json::Value,
    #[serde(default, rename = "enum")]
    words: Vec<serde_json::Value>,
    #[serde(default)]
    default_key: serde_json::Value,
}

impl ServedApi {
    /// Reads the script. What follows the tree is not looked at.
    ///
    /// # Errors
    /// It is not that script.
    pub fn read(script: &str) -> Result<Self, NotASchema> {
        let tree = NAMES
            .iter()
            .find_map(|name| after_assignment(script, name))
            .ok_or(NotASchema::NoTree)?;
        let mut values = serde_json::Deserializer::from_str(tree).into_iter::<Vec<Node>>();
        let nodes = match values.next() {
            Some(Ok(nodes)) => nodes,
            Some(Err(error)) => return Err(NotASchema::Unreadable(error.to_string())),
            None => return Err(NotASchema::NoTree),
        };
        let mut endpoints = BTreeMap::new();
        let mut waiting = nodes;
        let mut version = false;
        while let Some(node) = waiting.pop() {
            version |= node.path == "/version";
            for (method, info) in node.info {
                if matches!(method.as_str(), "POST" | "PUT" | "DELETE") {
                    endpoints.insert(format!("{method} {}", node.path), endpoint(info));
                }
            }
            waiting.extend(node.children);
        }
        if !version {
            return Err(NotASchema::NotProxmox("/version"));
        }
        Ok(Self {
            digest: hex::encode(Sha256::digest(script.as_bytes())),
            endpoints,
        })
    }

    /// How many writes it has.
    pub fn writes(&self) -> usize {
        self.endpoints.len()
    }

    /// Everything a write needs and this API does not have. A read lacks nothing: what cannot be read is known as such.
    pub fn lacks(&self, call: &Call) -> Vec<Lack> {
        if call.method == Method::Get {
            return Vec::new();
        }
        let Some((name, endpoint)) = self.find(call) else {
            return vec![Lack::Endpoint {
                call: call.to_string(),
            }];
        };
        let mut lacks = Vec::new();
        for (key, value) in &call.params {
            let value = match value {
                Value::Plain(text) => Some(text.as_str()),
                // Nothing is said of a secret, not even that it has a form of its own.
                Value::Secret(_) => None,
            };
            match endpoint.parameter(key) {
                Some(parameter) => {
                    if let Some(value) = value {
                        parameter.check(value, key, name, &mut lacks);
                    }
                }
                None if endpoint.open => {}
                None => lacks.push(Lack::Parameter {
                    name: key.clone(),
                    endpoint: name.to_owned(),
                }),
            }
            // What is reset is named as a value; elsewhere `delete` is a flag.
            if key == "delete" && takes_settings(name) {
                for setting in value.into_iter().flat_map(|value| value.split(',')) {
                    if !endpoint.open && endpoint.parameter(setting).is_none() {
                        lacks.push(Lack::Parameter {
                            name: setting.to_owned(),
                            endpoint: name.to_owned(),
                        });
                    }
                }
            }
        }
        lacks
    }

    /// The endpoint of a call: of several whose paths fit, the one with the fewest variables.
    fn find(&self, call: &Call) -> Option<(&str, &Endpoint)> {
        let method = format!("{} ", call.method.as_str());
        self.endpoints
            .range(method.clone()..)
            .take_while(|(name, _)| name.starts_with(&method))
            .filter(|(name, _)| {
                name.get(method.len()..)
                    .is_some_and(|template| fits(template, &call.path))
            })
            .min_by_key(|(name, _)| name.matches('{').count())
            .map(|(name, endpoint)| (name.as_str(), endpoint))
    }
}

/// Whether a path is one of a template's, component by component.
fn fits(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let all = template.split('/').all(|wanted| match parts.next() {
        Some(part) => wanted == part || (wanted.starts_with('{') && !part.is_empty()),
        None => false,
    });
    all && parts.next().is_none()
}

/// Whether the endpoint's `delete` lists settings of the object.
fn takes_settings(endpoint: &str) -> bool {
    endpoint.ends_with("/config") || endpoint.ends_with("/storage/{storage}")
}

/// What follows `name =` in a script, from the bracket on.
fn after_assignment<'s>(script: &'s str, name: &str) -> Option<&'s str> {
    script.match_indices(name).find_map(|(at, _)| {
        let rest = script.get(at + name.len()..)?.trim_start();
        let rest = rest.strip_prefix('=')?.trim_start();
        rest.starts_with('[').then_some(rest)
    })
}

fn endpoint(info: Info) -> Endpoint {
    let Some(parameters) = info.parameters else {
        return Endpoint::default();
    };
    Endpoint {
        // Perl writes 0 and 1. Left out it means none.
        open: truth(&parameters.additional_properties),
        parameters: parameters
            .properties
            .into_iter()
            .flatten()
            .map(|(name, property)| (name, parameter(property)))
            .collect(),
    }
}

fn parameter(property: Property) -> Parameter {
    let words = property
        .words
        .iter()
        .map(|word| match word {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    let mut bare = None;
    let fields = property.format.as_object().map(|fields| {
        fields
            .iter()
            .map(|(name, field)| {
                // A field of a form that is not known may be anything.
                let field = Property::deserialize(field).ok();
                if field
                    .as_ref()
                    .is_some_and(|field| truth(&field.default_key))
                {
                    bare = Some(name.clone());
                }
                let field = field.map(parameter).unwrap_or_default();
                (name.clone(), field)
            })
            .collect()
    });
    Parameter {
        words,
        fields,
        bare,
    }
}

fn truth(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Bool(truth) => *truth,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !text.is_empty() && text != "0",
        serde_json::Value::Null => false,
        // A schema for what else may come.
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => true,
    }
}

impl Endpoint {
    fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.get(name).or_else(|| {
            let (stem, index) = split_index(name);
            index?;
            self.parameters.get(&format!("{stem}[n]"))
        })
    }
}

impl Parameter {
    fn check(&self, value: &str, name: &str, endpoint: &str, lacks: &mut Vec<Lack>) {
        if !self.words.is_empty() && !self.words.contains(value) {
            lacks.push(Lack::Word {
                word: value.to_owned(),
                name: name.to_owned(),
                endpoint: endpoint.to_owned(),
            });
        }
        let Some(fields) = &self.fields else { return };
        for part in value.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, text) = match (part.split_once('='), &self.bare) {
                (Some((key, text)), _) => (key, text),
                (None, Some(bare)) => (bare.as_str(), part),
                // A value that no version would take; it is not for want of a field.
                (None, None) => continue,
            };
            match fields.get(key) {
                Some(field) => {
                    field.check(text, &format!("{name}.{key}"), endpoint, lacks);
                }
                None => lacks.push(Lack::Field {
                    field: key.to_owned(),
                    name: name.to_owned(),
                    endpoint: endpoint.to_owned(),
                }),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"// made by a test
const apiSchema = [
  { "leaf": 1, "path": "/version", "text": "version", "info": { "GET": { "name": "version" } } },
  { "path": "/nodes", "children": [ { "path": "/nodes/{node}", "children": [
      { "path": "/nodes/{node}/qemu", "children": [
        { "path": "/nodes/{node}/qemu/{vmid}", "children": [
          { "path": "/nodes/{node}/qemu/{vmid}/config", "info": { "POST": { "parameters": { "additionalProperties": 0, "properties": {
            "memory": { "format": { "current": { "type": "integer", "default_key": 1 } } },
            "cores": { "type": "integer" }, "delete": { "type": "string" }, "digest": {},
            "ostype": { "enum": ["l26", "win11"] },
            "net[n]": { "format": { "model": { "default_key": 1, "enum": ["virtio", "e1000"] }, "bridge": { "type": "string" },
              "virtio": { "alias": "macaddr", "keyAlias": "model" } } },
            "cipassword": { "type": "string" }
          } } } } },
          { "path": "/nodes/{node}/qemu/{vmid}/any", "info": { "POST": { "parameters": { "additionalProperties": 1 } } } }
        ] } ] } ] } ] }
];
let method2cmd = { GET: 'get' };
"#;

    fn lacks(call: Call) -> Vec<String> {
        let api = ServedApi::read(SCRIPT).unwrap();
        api.lacks(&call).iter().map(ToString::to_string).collect()
    }

    fn config() -> Call {
        Call::post(["nodes", "pve1", "qemu", "104", "config"])
    }

    #[test]
    fn what_is_there_is_not_lacking() {
        let call = config()
            .param("memory", "2048")
            .param("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0")
            .param("net12", "e1000,bridge=vmbr0")
            .param("ostype", "win11")
            .secret("cipassword", "a,b=c".to_owned().into())
            .param("delete", "cores,net1");
        assert_eq!(lacks(call), Vec::<String>::new());
        assert_eq!(
            lacks(Call::get(["nodes", "x", "nosuch"])),
            Vec::<String>::new()
        );
        let any = Call::post(["nodes", "pve1", "qemu", "104", "any"]).param("x", "y");
        assert_eq!(lacks(any), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_there_is_named_with_its_endpoint() {
        let call = config()
            .param("allow-ksm", "1")
            .param("net0", "virtio,bridge=vmbr0,mtu=1")
            .param("net1", "model=rtl8139")
            .param("ostype", "win12")
            .param("delete", "balloon");
        let at = "`POST /nodes/{node}/qemu/{vmid}/config`";
        assert_eq!(
            lacks(call),
            [
                format!("no parameter `allow-ksm` of {at}"),
                format!("no `mtu` in the parameter `net0` of {at}"),
                format!("no word `rtl8139` for `net1.model` of {at}"),
                format!("no word `win12` for `ostype` of {at}"),
                format!("no parameter `balloon` of {at}"),
            ]
        );
        assert_eq!(
            lacks(Call::put(["nodes", "pve1", "qemu", "104", "config"])).len(),
            1
        );
        // An index with a leading zero is no index.
        assert_eq!(lacks(config().param("net00", "virtio")).len(), 1);
        // A slash inside a component does not split it.
        assert_eq!(lacks(Call::post(["nodes", "a/qemu/b", "config"])).len(), 1);
    }

    #[test]
    fn other_texts_are_no_schema() {
        for text in [
            "",
            "<html><body>apiSchema</body></html>",
            "const apiSchema = {};",
            "const apiSchema = ",
        ] {
            assert_eq!(ServedApi::read(text), Err(NotASchema::NoTree), "{text}");
        }
        let cut = SCRIPT.get(..400).unwrap();
        assert!(matches!(
            ServedApi::read(cut),
            Err(NotASchema::Unreadable(_))
        ));
        let other = "const apiSchema = [{\"path\": \"/pets\", \"info\": {}}];";
        assert_eq!(
            ServedApi::read(other),
            Err(NotASchema::NotProxmox("/version"))
        );
        let deep = format!("const apiSchema = {}", "[{\"children\":".repeat(100_000));
        assert!(matches!(
            ServedApi::read(&deep),
            Err(NotASchema::Unreadable(_))
        ));
    }

    #[test]
    fn it_is_kept_as_json_and_read_back_the_same() {
        let api = ServedApi::read(SCRIPT).unwrap();
        let kept = serde_json::to_string(&api).unwrap();
        assert_eq!(serde_json::from_str::<ServedApi>(&kept).unwrap(), api);
        assert_eq!(api.writes(), 2);
        // The form of Proxmox VE 6.
        let old = SCRIPT.replace("const apiSchema", "var pveapi");
        assert_eq!(ServedApi::read(&old).unwrap().writes(), 2);
    }
}
