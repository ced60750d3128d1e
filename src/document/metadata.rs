//! What every document says about itself: its name, its labels, and how Bailiwick may treat its object.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::ids::ClusterName;

/// The prefix of the annotations that Bailiwick reads.
pub const PREFIX: &str = "bailiwick.dev/";
/// The annotation that names the cluster where `metadata.cluster` cannot be written, as in Kubernetes.
pub const CLUSTER: &str = "bailiwick.dev/cluster";

/// Name, cluster, labels and annotations of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Metadata {
    /// The name of the document, unique per kind and cluster: lower-case letters, digits, `-` and `.`, at most 63 characters. New objects
    /// whose kind has a name or id get this one unless `spec` says another.
    #[schemars(extend("format" = "object-name"))]
    pub name: String,
    /// The cluster the object belongs to, by its name in Bailiwick's configuration; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Labels for choosing documents, in policies for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Those under `bailiwick.dev/` say how the object may be treated.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": {"type": "string", "format": "label-key"},
        "additionalProperties": {"type": "string", "format": "label-value"},
    })
}

/// What happens when the document is removed from a source that prunes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deletion {
    /// The object is no longer managed, and nothing happens to it.
    #[default]
    Orphan,
    /// A deletion is proposed.
    Delete,
}

/// What happens when the live object no longer matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drift {
    /// It is only reported.
    Observe,
    /// A plan that brings it back is proposed, and waits for a person.
    #[default]
    Propose,
    /// The same, and what the policy approves by itself is run.
    Enforce,
}

/// Whether a plan restarts a running guest for a change that takes effect only at its next stop and start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// It does not: the change waits until somebody restarts the guest.
    Never,
    /// It does not either, and the plan says that somebody has to.
    #[default]
    Ask,
    /// It does, as a step of its own that the approver sees: approve and run it within a maintenance window.
    Window,
}

/// The annotations of a document, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Annotations(pub BTreeMap<String, String>);

impl Annotations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn word(&self, name: &str) -> Option<&str> {
        self.0.get(&format!("{PREFIX}{name}")).map(String::as_str)
    }

    /// `bailiwick.dev/deletion`. Unknown words are refused when a document is read; here they mean the default.
    pub fn deletion(&self) -> Deletion {
        match self.word("deletion") {
            Some("delete") => Deletion::Delete,
            _ => Deletion::Orphan,
        }
    }

    /// `bailiwick.dev/drift`; `None` where the operator's configuration decides.
    pub fn drift(&self) -> Option<Drift> {
        match self.word("drift") {
            Some("observe" | "report") => Some(Drift::Observe),
            Some("propose") => Some(Drift::Propose),
            Some("enforce") => Some(Drift::Enforce),
            _ => None,
        }
    }

    /// `bailiwick.dev/restart`.
    pub fn restart(&self) -> Restart {
        match self.word("restart") {
            Some("never") => Restart::Never,
            Some("window") => Restart::Window,
            _ => Restart::Ask,
        }
    }

    /// `bailiwick.dev/take-over`: whom the document takes its object over from, a source or a source and a document.
    pub fn take_over(&self) -> Option<&str> {
        self.word("take-over")
    }

    /// `bailiwick.dev/suspend`: while `"true"`, nothing is planned for the object.
    pub fn suspended(&self) -> bool {
        self.word("suspend") == Some("true")
    }
}

impl JsonSchema for Annotations {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Annotations".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "bailiwick.dev/cluster": {"type": "string", "format": "cluster-name",
                    "description": "The cluster the object belongs to, where `metadata.cluster` cannot be written (Kubernetes)."},
                "bailiwick.dev/deletion": {"type": "string", "enum": ["orphan", "delete"],
                    "description": "What happens when the document is removed from a source that prunes: `orphan` (default) leaves the object alone, `delete` proposes its deletion."},
                "bailiwick.dev/drift": {"type": "string", "enum": ["observe", "propose", "enforce", "report"],
                    "description": "What happens when the live object no longer matches: `observe` says so (`report` is the same), `propose` also makes a plan that waits for a person, `enforce` runs that plan where the operator's policy approves it by itself. Default: as the operator's configuration says, else `propose`."},
                "bailiwick.dev/restart": {"type": "string", "enum": ["never", "ask", "window"],
                    "description": "Whether a plan restarts a running guest for a change that takes effect only at its next stop and start: `never` does not, so the change waits; `ask` (default) does not either, and the plan says that somebody has to; `window` does, as a step of its own that the approver sees."},
                "bailiwick.dev/suspend": {"type": "string", "enum": ["true", "false"],
                    "description": "While `\"true\"`, nothing is planned for the object."},
                "bailiwick.dev/take-over": {"type": "string", "format": "text",
                    "description": "Takes the object over from the document that owns it: its source (`git:infra`), or its source and the document (`git:infra/VirtualMachine/web-7`). Refused if that is not who owns it. A person approves it, whatever the policy says; once the object is this document's, the annotation has no meaning any more."},
            },
            "propertyNames": {"type": "string", "format": "label-key"},
            "additionalProperties": {"type": "string", "format": "text"},
        })
    }
}
