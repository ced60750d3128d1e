//! One call of the API as a value, and what can come of it. A call is built before it is sent, so that it can be shown, recorded
//! and checked; its secrets cannot be printed.

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::errors::ErrorClass;
use super::trust::FingerprintMismatch;
use super::upid::Upid;

/// The methods Proxmox VE knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or does something.
    Post,
    /// Changes.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it has a body; Proxmox VE refuses one on the others.
    pub(crate) fn has_body(self) -> bool {
        match self {
            Self::Post | Self::Put => true,
            Self::Get | Self::Delete => false,
        }
    }
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A value that may be shown.
    Plain(String),
    /// A value that may not.
    Secret(Zeroizing<String>),
}

impl Value {
    /// What may be shown of it.
    pub fn shown(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(_) => "********",
        }
    }

    fn sent(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(text) => text,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.shown(), f)
    }
}

/// What may stand unescaped in a path's component.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@')
    .remove(b'!')
    .remove(b':');

/// A call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How.
    pub method: Method,
    /// The path below `/api2/json`, with a leading slash, its components escaped.
    pub path: String,
    /// The parameters, in the order they are sent.
    pub params: Vec<(String, Value)>,
}

impl Call {
    /// A call of the path with these components, each of which is escaped: a volume id's slash stays inside its component.
    pub fn new<S: AsRef<str>>(method: Method, components: impl IntoIterator<Item = S>) -> Self {
        let mut path = String::new();
        for component in components {
            path.push('/');
            path.extend(utf8_percent_encode(component.as_ref(), PATH));
        }
        Self {
            method,
            path,
            params: Vec::new(),
        }
    }

    /// A GET.
    pub fn get<S: AsRef<str>>(components: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::Get, components)
    }

    /// A POST.
    pub fn post<S: AsRef<str>>(components: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::Post, components)
    }

    /// A PUT.
    pub fn put<S: AsRef<str>>(components: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::Put, components)
    }

    /// A DELETE.
    pub fn delete<S: AsRef<str>>(components: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::Delete, components)
    }

    /// With one more parameter. (Booleans are `0` or `1`; the same name twice makes an array.)
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), Value::Plain(value.into())));
        self
    }

    /// With one more parameter whose value must not be shown.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: Zeroizing<String>) -> Self {
        self.params.push((name.into(), Value::Secret(value)));
        self
    }

    /// The node the call is for, if it is for one: `/nodes/{node}/…`.
    pub fn node(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("/nodes/")?;
        rest.split('/').next().filter(|node| !node.is_empty())
    }

    /// The parameters as a form, `a=1&b=2`.
    pub(crate) fn form(&self) -> Zeroizing<String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.params {
            form.append_pair(name, value.sent());
        }
        Zeroizing::new(form.finish())
    }
}

/// `POST /nodes/pve1/qemu`, without parameters.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)
    }
}

/// What became of one attempt at a call: for contract tests, latency metrics and debugging.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The call; its secrets cannot be shown.
    pub call: Call,
    /// Which endpoint it was sent to.
    pub endpoint: String,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// `ok`, the class of the refusal, `unreachable`, `connection`, `trust`, …
    pub outcome: &'static str,
    /// How long it took.
    pub elapsed: Duration,
    /// The first attempt is 1.
    pub attempt: u32,
}

/// A call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// Proxmox VE refused it, or failed.
    #[error("{call}: {message}")]
    Refused {
        /// The call, without parameters.
        call: String,
        /// The status.
        status: u16,
        /// What kind of refusal.
        class: ErrorClass,
        /// Proxmox VE's words.
        message: String,
    },
    /// No endpoint accepted a connection; nothing was sent.
    #[error("{call}: no connection to {}: {why}; nothing was sent. Check the address, the port (8006 by default) and that the node is up", endpoints.join(" or "))]
    Unreachable {
        /// The call, without parameters.
        call: String,
        /// The endpoints tried.
        endpoints: Vec<String>,
        /// Why the last one failed.
        why: String,
    },
    /// The connection broke or timed out after something was sent, or while the answer came.
    #[error("{call}: the connection to {endpoint} was lost before the answer was complete: {why}")]
    Lost {
        /// The call, without parameters.
        call: String,
        /// The endpoint.
        endpoint: String,
        /// Why.
        why: String,
        /// There was no answer in time, rather than a broken connection.
        timed_out: bool,
    },
    /// The server is not the one that is trusted; nothing was sent.
    #[error("{endpoint} is not trusted: {why}")]
    Untrusted {
        /// The endpoint.
        endpoint: String,
        /// Why: fingerprints expected and got, or what is wrong with the certificate.
        why: String,
        /// The fingerprints, where fingerprints are pinned.
        #[source]
        mismatch: Option<FingerprintMismatch>,
    },
    /// Something else than Proxmox VE answered.
    #[error(
        "{endpoint} answered {call} with {what}: this is not a Proxmox VE API; check the address (port 8006 by default) and whether a \
         proxy or a login page stands before it"
    )]
    NotProxmox {
        /// The call, without parameters.
        call: String,
        /// The endpoint.
        endpoint: String,
        /// What it answered with, in words.
        what: String,
    },
    /// An answer of another form than expected.
    #[error("{call}: the answer is not as expected: {why}")]
    BadAnswer {
        /// The call, without parameters.
        call: String,
        /// What was wrong with it.
        why: String,
    },
    /// The call itself cannot be sent.
    #[error("{call} cannot be sent: {why}")]
    BadCall {
        /// The call, without parameters.
        call: String,
        /// Why.
        why: String,
    },
}

impl ApiError {
    /// What kind of failure it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Refused { class, .. } => class.clone(),
            Self::Unreachable { .. } | Self::Untrusted { .. } => ErrorClass::NodeUnreachable,
            Self::Lost { .. } => ErrorClass::Proxy,
            Self::NotProxmox { .. } | Self::BadAnswer { .. } => ErrorClass::NotProxmox,
            Self::BadCall { .. } => ErrorClass::Parameter {
                errors: std::collections::BTreeMap::new(),
            },
        }
    }

    /// A short name, for metric labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { class, .. } => class.label(),
            Self::Unreachable { .. } => "unreachable",
            Self::Lost { .. } => "lost",
            Self::Untrusted { .. } => "untrusted",
            Self::NotProxmox { .. } => "not_proxmox",
            Self::BadAnswer { .. } => "bad_answer",
            Self::BadCall { .. } => "bad_call",
        }
    }
}

/// What a write was answered with.
#[derive(Clone, PartialEq)]
pub struct WriteAnswer {
    /// The task that does the work, if the answer named one; the write is done when the task is.
    pub upid: Option<Upid>,
    /// The answer's data. It can hold a secret, so it is not shown.
    pub data: serde_json::Value,
}

impl fmt::Debug for WriteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteAnswer")
            .field("upid", &self.upid)
            .finish_non_exhaustive()
    }
}

impl WriteAnswer {
    /// The secret of a new API token, which the answer to its creation alone shows (`value`); `None` if it shows none.
    #[must_use]
    pub fn secret(mut self) -> Option<String> {
        match self.data.get_mut("value").map(serde_json::Value::take) {
            Some(serde_json::Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }
}

/// A write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was refused or never sent: it did not happen (a hot-plug failure excepted, which leaves the value pending).
    #[error(transparent)]
    Refused(ApiError),
    /// It may have happened. Look for its task and read the object; never send it again blindly.
    #[error("whether this happened is unknown: {0}")]
    Undetermined(#[source] ApiError),
}

impl WriteError {
    /// The error beneath.
    pub fn cause(&self) -> &ApiError {
        match self {
            Self::Refused(error) | Self::Undetermined(error) => error,
        }
    }

    /// What kind of failure it is.
    pub fn class(&self) -> ErrorClass {
        self.cause().class()
    }
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        if error.class().is_undetermined() {
            Self::Undetermined(error)
        } else {
            Self::Refused(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_escaped_and_secrets_hidden() {
        let call = Call::put([
            "nodes",
            "pve1",
            "storage",
            "local",
            "content",
            "local:iso/a b.iso",
        ])
        .param("notes", "a&b=c")
        .secret("password", Zeroizing::new("hunter2".to_owned()));
        assert_eq!(
            call.path,
            "/nodes/pve1/storage/local/content/local:iso%2Fa%20b.iso"
        );
        assert_eq!(call.node(), Some("pve1"));
        assert_eq!(call.form().as_str(), "notes=a%26b%3Dc&password=hunter2");
        assert!(!format!("{call:?}").contains("hunter2"));
    }
}
