//! What an answer of Proxmox VE means when it is not a success. Nearly everything is a 500 there, so the class comes from the
//! status *and* the message; and whether a refused write can have happened is decided here and nowhere else. Pure.

use std::collections::BTreeMap;
use std::fmt;

/// What kind of failure an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    /// A parameter was refused; per parameter what was wrong with it.
    Parameter {
        /// Parameter → message.
        errors: BTreeMap<String, String>,
    },
    /// A running guest did not take the change; the new values are stored and wait for the next start.
    Hotplug {
        /// Key → message.
        errors: BTreeMap<String, String>,
    },
    /// The token is unknown, expired or its secret wrong.
    Unauthenticated,
    /// The token lacks a privilege.
    Forbidden {
        /// The path it lacks it on, where Proxmox VE says it.
        path: Option<String>,
        /// The privilege, or several joined by `|`, where Proxmox VE says it.
        privilege: Option<String>,
    },
    /// Only `root@pam` itself may do this, never a token.
    RootOnly,
    /// Something named in the request, not always its object, does not exist.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The guest is under a lock.
    Locked {
        /// Which: `backup`, `migrate`, …
        lock: String,
    },
    /// A lock of the node or the cluster was not to be had in time; nothing was done.
    LockTimeout,
    /// The configuration changed since it was read.
    DigestMismatch,
    /// The cluster has no quorum: nothing can be written.
    NoQuorum,
    /// The guest (or backup) is protected.
    Protected,
    /// The guest is running, and must not be for this.
    Running,
    /// The guest is not running, and must be for this.
    NotRunning,
    /// It is still used by something, or not empty.
    InUse,
    /// The guest is managed by HA.
    HaManaged,
    /// The guest is replicated.
    Replicated,
    /// The method or path does not exist in this version.
    NotImplemented,
    /// The node asked could not reach the node meant; the request did not get there.
    NodeUnreachable,
    /// The way to the node broke while the request was under way (595 to 599, or a gateway's 502 to 504): it may have happened.
    Proxy,
    /// Something did not answer in time on the node: it may still happen.
    Timeout,
    /// Any other error of the server.
    Server,
    /// The answer did not come from the Proxmox VE API.
    NotProxmox,
}

impl ErrorClass {
    /// Whether it is unknown if a write happened. Such a write is never repeated: the task is looked up and the object read.
    pub fn is_undetermined(&self) -> bool {
        matches!(self, Self::Proxy | Self::Timeout | Self::NotProxmox)
    }

    /// Whether waiting may help: a lock of the guest, the node or the cluster was held. Nothing was done.
    pub fn is_retryable_lock(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::LockTimeout)
    }

    /// The class's name, for logs and metric labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Parameter { .. } => "parameter",
            Self::Hotplug { .. } => "hotplug",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden { .. } => "forbidden",
            Self::RootOnly => "root_only",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Locked { .. } => "locked",
            Self::LockTimeout => "lock_timeout",
            Self::DigestMismatch => "digest_mismatch",
            Self::NoQuorum => "no_quorum",
            Self::Protected => "protected",
            Self::Running => "running",
            Self::NotRunning => "not_running",
            Self::InUse => "in_use",
            Self::HaManaged => "ha_managed",
            Self::Replicated => "replicated",
            Self::NotImplemented => "not_implemented",
            Self::NodeUnreachable => "node_unreachable",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::NotProxmox => "not_proxmox",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label().replace('_', " "))
    }
}

/// What a class is recognised by: any of the texts, in the message without regard to case. The first class that fits counts,
/// so the more particular ones stand first. Texts as Proxmox VE 9's own packages print them.
const TEXTS: &[(ErrorClass, &[&str])] = &[
    (
        ErrorClass::DigestMismatch,
        &["detected modified configuration", "checksum mismatch"],
    ),
    (ErrorClass::NoQuorum, &["no quorum"]),
    (
        ErrorClass::LockTimeout,
        &[
            "can't lock file",
            "got lock request timeout",
            "got lock timeout",
            "can't acquire lock",
            "unable to acquire lock",
            "unable to acquire cfs lock",
            "unable to aquire lock",
            "invalid lock token",
        ],
    ),
    (
        ErrorClass::Protected,
        &["protection mode enabled", "it's protected", "is protected"],
    ),
    (
        ErrorClass::HaManaged,
        &["used in ha resources", "is ha managed", "ha-managed"],
    ),
    (
        ErrorClass::Replicated,
        &[
            "there is a replication job",
            "is a replicated volume",
            "non-replicatable volume",
        ],
    ),
    (
        ErrorClass::RootOnly,
        &[
            "only root can",
            "only root may",
            "only allowed for root@pam",
            "only root@pam can",
        ],
    ),
    (
        ErrorClass::NodeUnreachable,
        &["hostname lookup '", "no route to host"],
    ),
    (ErrorClass::NotRunning, &[" not running", "is not running"]),
    (
        ErrorClass::Running,
        &[
            "is running",
            "already running",
            "isn't stopped",
            "on a running",
        ],
    ),
    (
        ErrorClass::AlreadyExists,
        &[
            "already exist",
            "already defined",
            "already used",
            "file exists",
        ],
    ),
    (
        ErrorClass::InUse,
        &[
            "still in use",
            "is used by",
            "is not empty",
            "used as base by another",
        ],
    ),
    (
        ErrorClass::NotFound,
        &[
            "does not exist",
            "doesn't exist",
            "non-existent",
            "no such ",
            "no rule at position",
            "unable to find configuration file",
            "not ha managed",
        ],
    ),
    (
        ErrorClass::Timeout,
        &["got timeout", "timeout after", "timed out"],
    ),
];

/// The class of a text alone: an error message, or the exit status of a failed task.
pub fn of_text(text: &str) -> ErrorClass {
    let lower = text.to_ascii_lowercase();
    if let Some(lock) = lower
        .split_once("is locked (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(lock, _)| lock.to_owned())
    {
        return ErrorClass::Locked { lock };
    }
    if lower.contains("lock") && lower.contains("got timeout") {
        return ErrorClass::LockTimeout;
    }
    // "invalid bootorder: device 'scsi9' does not exist" and its like are faults of the request.
    if lower.starts_with("invalid ") && !lower.contains("invalid lock token") {
        return ErrorClass::Parameter {
            errors: BTreeMap::new(),
        };
    }
    if let Some((_, rest)) = lower.split_once("400 parameter verification failed.") {
        return parameter_class(lines_of(rest));
    }
    TEXTS
        .iter()
        .find(|(_, texts)| texts.iter().any(|t| lower.contains(t)))
        .map_or_else(
            || {
                if REFUSED_VALUES.iter().any(|t| lower.contains(t)) {
                    ErrorClass::Parameter {
                        errors: BTreeMap::new(),
                    }
                } else {
                    ErrorClass::Server
                }
            },
            |(class, _)| class.clone(),
        )
}

/// Texts of a 500 that is in truth a refused value.
const REFUSED_VALUES: &[&str] = &[
    "missing value for required option",
    "no options specified",
    "unable to parse",
    "does not look like a valid",
    "format error",
    "validation error",
    "reserved name",
    "unable to shrink",
    "shrinking disks is not supported",
    "already at specified size",
];

fn lines_of(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(key, message)| (key.trim().to_owned(), message.trim().to_owned()))
        .collect()
}

fn parameter_class(errors: BTreeMap<String, String>) -> ErrorClass {
    let any = |text: &str| {
        errors
            .values()
            .any(|m| m.to_ascii_lowercase().contains(text))
    };
    if any("hotplug problem") {
        ErrorClass::Hotplug { errors }
    } else if any("only root") {
        ErrorClass::RootOnly
    } else if errors
        .get("upid")
        .is_some_and(|m| m.contains("no such task"))
        || any("no such job")
        || errors
            .get("iface")
            .is_some_and(|m| m.contains("does not exist"))
    {
        ErrorClass::NotFound
    } else if errors.get("vmid").is_some_and(|m| m.contains("already")) {
        ErrorClass::AlreadyExists
    } else {
        ErrorClass::Parameter { errors }
    }
}

fn forbidden(message: &str) -> ErrorClass {
    if message.contains("only allowed for root@pam") {
        return ErrorClass::RootOnly;
    }
    if message.contains("' does not exist") {
        return ErrorClass::NotFound;
    }
    let inner = message
        .split_once("Permission check failed (")
        .and_then(|(_, rest)| rest.trim_end().strip_suffix(')'));
    match inner.and_then(|inner| inner.split_once(", ")) {
        Some((path, privilege)) if !privilege.contains(' ') => ErrorClass::Forbidden {
            path: (!path.is_empty()).then(|| path.to_owned()),
            privilege: Some(privilege.to_owned()),
        },
        _ => ErrorClass::Forbidden {
            path: None,
            privilege: None,
        },
    }
}

/// An answer that is not a success, with its message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of failure.
    pub class: ErrorClass,
    /// Proxmox VE's own words, of the body where it has any, else of the reason phrase, with the complaint of each parameter.
    pub message: String,
}

/// Classifies an answer with a status of 400 or above: its status, its reason phrase and its body.
pub fn classify(status: u16, reason: &str, body: &[u8]) -> Refusal {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let blank = body.iter().all(u8::is_ascii_whitespace);
    let foreign = json.as_ref().is_none_or(|json| !json.is_object())
        && !blank
        && body != b"\"\""
        && status < 595;
    if foreign {
        let class = if (502..=504).contains(&status) {
            ErrorClass::Proxy
        } else {
            ErrorClass::NotProxmox
        };
        let message = format!("HTTP {status} {reason} with a body that is not Proxmox VE's");
        return Refusal { class, message };
    }
    let field = |name: &str| json.as_ref().and_then(|json| json.get(name));
    let said = field("message")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
        .trim();
    let said = if said.is_empty() { reason.trim() } else { said };
    let errors: BTreeMap<String, String> = field("errors")
        .and_then(serde_json::Value::as_object)
        .map(|map| {
            map.iter()
                .map(|(key, value)| {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    (key.clone(), text.trim().to_owned())
                })
                .collect()
        })
        .unwrap_or_default();
    let mut message = said.to_owned();
    for (key, text) in &errors {
        message.push_str(&format!("; {key}: {}", text.replace('\n', " ")));
    }
    let class = match status {
        595..=599 | 502..=504 => ErrorClass::Proxy,
        401 => ErrorClass::Unauthenticated,
        403 => forbidden(said),
        501 => ErrorClass::NotImplemented,
        400 => parameter_class(errors),
        404 => ErrorClass::NotFound,
        _ => of_text(said),
    };
    Refusal { class, message }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn class(status: u16, text: &str) -> ErrorClass {
        classify(status, text, b"{\"data\":null}").class
    }

    #[test]
    fn five_hundreds_are_told_apart_by_their_text() {
        use ErrorClass as E;
        for (text, want) in [
            (
                "Configuration file 'nodes/a/qemu-server/100.conf' does not exist",
                E::NotFound,
            ),
            (
                "unable to create VM 100 - VM 100 already exists on node 'a'",
                E::AlreadyExists,
            ),
            (
                "VM is locked (backup)",
                E::Locked {
                    lock: "backup".into(),
                },
            ),
            (
                "CT is locked (snapshot-delete)",
                E::Locked {
                    lock: "snapshot-delete".into(),
                },
            ),
            (
                "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
                E::LockTimeout,
            ),
            (
                "cfs-lock 'storage-local' error: got lock request timeout",
                E::LockTimeout,
            ),
            ("VM quit/powerdown failed - got timeout", E::Timeout),
            ("cluster not ready - no quorum?", E::NoQuorum),
            (
                "checksum mismatch (file change by other user?)",
                E::DigestMismatch,
            ),
            (
                "detected modified configuration - file changed by other user? Try again.",
                E::DigestMismatch,
            ),
            (
                "can't remove VM 102 - protection mode enabled",
                E::Protected,
            ),
            ("VM 101 is running - destroy failed", E::Running),
            ("VM 101 not running", E::NotRunning),
            (
                "unable to remove VM 100 - used in HA resources and purge parameter not set.",
                E::HaManaged,
            ),
            ("There is a replication job for VM 100", E::Replicated),
            ("only root can set 'args' config", E::RootOnly),
            (
                "hostname lookup 'pve2' failed - failed to get address info for: pve2",
                E::NodeUnreachable,
            ),
            (
                "delete pool failed: pool 'p1' is not empty (contains VM 100)",
                E::InUse,
            ),
            ("unexpected end of the world", E::Server),
        ] {
            assert_eq!(class(500, text), want, "{text}");
        }
    }

    #[test]
    fn only_lost_answers_are_undetermined() {
        for status in [595, 596, 597, 599, 502, 504] {
            assert!(
                class(status, "Connection timed out").is_undetermined(),
                "{status}"
            );
        }
        assert!(!class(500, "VM is locked (backup)").is_undetermined());
        assert!(class(500, "VM is locked (backup)").is_retryable_lock());
        assert!(!class(500, "checksum mismatch").is_retryable_lock());
        assert!(class(500, "got timeout").is_undetermined());
    }

    #[test]
    fn privileges_and_parameters_are_taken_apart() {
        assert_eq!(
            class(
                403,
                "Permission check failed (/vms/100, VM.Config.Disk|VM.Config.CPU)"
            ),
            ErrorClass::Forbidden {
                path: Some("/vms/100".into()),
                privilege: Some("VM.Config.Disk|VM.Config.CPU".into())
            }
        );
        let refusal = classify(
            400,
            "Parameter verification failed.",
            br#"{"data":null,"errors":{"cores":"value must have a minimum value of 1"},"message":"Parameter verification failed.\n"}"#,
        );
        let ErrorClass::Parameter { errors } = &refusal.class else {
            panic!("{refusal:?}")
        };
        assert_eq!(errors.len(), 1);
        insta::assert_snapshot!(refusal.message, @"Parameter verification failed.; cores: value must have a minimum value of 1");
        assert!(matches!(
            classify(
                400,
                "",
                br#"{"errors":{"cores":"hotplug problem - no"},"data":null}"#
            )
            .class,
            ErrorClass::Hotplug { .. }
        ));
        assert_eq!(
            classify(
                400,
                "",
                br#"{"errors":{"skiplock":"Only root may use this option."}}"#
            )
            .class,
            ErrorClass::RootOnly
        );
    }

    #[test]
    fn a_web_page_is_not_proxmox() {
        assert_eq!(
            classify(404, "Not Found", b"<html>").class,
            ErrorClass::NotProxmox
        );
        assert_eq!(
            classify(503, "Unavailable", b"<html>").class,
            ErrorClass::Proxy
        );
        assert_eq!(
            classify(401, "No ticket", b"").class,
            ErrorClass::Unauthenticated
        );
    }
}
