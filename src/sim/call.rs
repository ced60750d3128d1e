//! One request as handlers see it, and the errors they answer with.
//!
//! Values are text whatever the encoding was (`true` in JSON is `"1"`): Proxmox VE checks them against the parameter
//! table, not against the encoding. Nothing here knows HTTP beyond a method and a status.

use std::collections::BTreeMap;

/// The HTTP methods that the Proxmox VE API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create or act.
    Post,
    /// Change.
    Put,
    /// Remove.
    Delete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// The method with this name on the wire.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// Who calls: a user, or a token of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// `user@realm` or `user@realm!token`; empty for nobody.
    pub id: String,
}

impl Auth {
    /// The caller with this user id or full token id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }

    /// A caller without credentials.
    #[must_use]
    pub fn nobody() -> Self {
        Self { id: String::new() }
    }

    /// `user@realm`, without the token's name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.id
            .split_once('!')
            .map_or(self.id.as_str(), |(user, _)| user)
    }

    /// The token's name, if the caller is a token.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.id.split_once('!').map(|(_, token)| token)
    }

    /// Whether this is root@pam by ticket: a token of root does not count (Proxmox VE compares the whole id).
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.id == "root@pam"
    }
}

/// A verified request, handed to a route's handler.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below `/api2/json`, decoded.
    pub path: String,
    /// Who calls.
    pub auth: Auth,
    /// Path variables and parameters together, as Proxmox VE hands them to its methods.
    pub params: BTreeMap<String, String>,
}

impl Call {
    /// A parameter's text, if it was sent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// A parameter that the route's table demands; empty if the table does not, so that no handler can panic.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A boolean parameter.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|value| super::params::truth(value).unwrap_or(false))
    }

    /// A boolean parameter, `false` if it was not sent.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.flag(name).unwrap_or(false)
    }

    /// An integer parameter.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// The `vmid` of the path or parameters.
    #[must_use]
    pub fn vmid(&self) -> u32 {
        self.get("vmid")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    /// The node of the path.
    #[must_use]
    pub fn node(&self) -> &str {
        self.text("node")
    }

    /// A parameter that is a list; separators are `,`, `;`, white space and NUL, all equivalent.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.get(name).map(split_list).unwrap_or_default()
    }
}

/// Splits a Proxmox VE list; empty elements vanish.
#[must_use]
pub fn split_list(text: &str) -> Vec<String> {
    text.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// The message; its first line becomes the reason phrase.
    pub message: String,
    /// Parameter name to complaint, with status 400.
    pub errors: BTreeMap<String, String>,
    /// Whether the answer has no body, as for refused credentials.
    pub bare: bool,
}

impl ApiError {
    /// An error with a status and a message (without a final newline).
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: BTreeMap::new(),
            bare: false,
        }
    }

    /// Status 500, which Proxmox VE answers for nearly everything, "does not exist" included.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// Status 400 with one complaint about one parameter.
    pub fn parameter(name: impl Into<String>, complaint: impl Into<String>) -> Self {
        Self::parameters(BTreeMap::from([(name.into(), complaint.into())]))
    }

    /// Status 400 with complaints about several parameters.
    #[must_use]
    pub fn parameters(errors: BTreeMap<String, String>) -> Self {
        Self {
            status: 400,
            message: "Parameter verification failed.".into(),
            errors,
            bare: false,
        }
    }

    /// Status 403 in Proxmox VE's words: `Permission check failed (/vms/100, VM.Audit|VM.Allocate)`.
    #[must_use]
    pub fn forbidden(path: &str, privileges: &[&str]) -> Self {
        Self::new(
            403,
            format!("Permission check failed ({path}, {})", privileges.join("|")),
        )
    }

    /// Status 403 with a text of its own: `Permission check failed (TEXT)`.
    #[must_use]
    pub fn denied(text: &str) -> Self {
        Self::new(403, format!("Permission check failed ({text})"))
    }

    /// Status 401 without a body.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            status: 401,
            message: message.into(),
            errors: BTreeMap::new(),
            bare: true,
        }
    }

    /// The error of `die "prefix: $err"`: the message with a prefix, status 500, parameter complaints as lines.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        if self.errors.is_empty() {
            return Self::internal(format!("{prefix}: {}", self.message));
        }
        let mut message = format!("{prefix}: {} {}", self.status, self.message);
        for (name, complaint) in &self.errors {
            message.push_str(&format!("\n{name}: {complaint}"));
        }
        Self::internal(message)
    }
}

impl From<String> for ApiError {
    fn from(message: String) -> Self {
        Self::internal(message)
    }
}

/// Sets a member of a JSON object; anything else is left alone.
pub fn put(object: &mut serde_json::Value, name: &str, value: serde_json::Value) {
    if let serde_json::Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// What a handler answers: the value of `data`.
pub type Answer = Result<serde_json::Value, ApiError>;
