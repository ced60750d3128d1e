//! The small values of the configuration that have a form of their own: endpoints, trust, tokens, VMID ranges, fuses.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::document::scalar::Age;
use crate::ids::{InvalidId, StorageId, Vmid};

/// The port of Proxmox VE's API when an endpoint names none.
pub const DEFAULT_PORT: u16 = 8006;

/// One address of a cluster's API: `https://HOST[:PORT]`, port 8006 when not written.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The text is not shown when it may hold a password.
        let invalid = || InvalidId {
            what: "endpoint",
            text: if text.contains('@') {
                "…".to_owned()
            } else {
                text.to_owned()
            },
            expected: "`https://HOST` or `https://HOST:PORT`, with nothing before or after: Bailiwick never talks without TLS, and the token has its own file",
        };
        let authority = text.strip_prefix("https://").ok_or_else(invalid)?;
        let url = url::Url::parse(text).map_err(|_| invalid())?;
        let bare = url.path() == "/"
            && !text.ends_with('/')
            && url.query().is_none()
            && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(invalid)?;
        if !bare || !nobody || authority.contains('@') {
            return Err(invalid());
        }
        // `url` forgets a port that is https's own, so it is taken from the text.
        let after_host = authority
            .rsplit_once(']')
            .map_or(authority, |(_, rest)| rest);
        let port = match after_host.rsplit_once(':') {
            Some((_, port)) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(invalid)?,
            None => DEFAULT_PORT,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

/// A network of people who administer: `ADDRESS/PREFIX`, or an address alone; IPv4 or IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AdministratorNetwork(String);

impl AdministratorNetwork {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AdministratorNetwork {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        match crate::proxmox::firewall::network(&text) {
            Some(_) if !text.contains('-') => Ok(Self(text)),
            _ => Err(InvalidId {
                what: "network",
                text,
                expected: "`ADDRESS/PREFIX` such as `10.0.9.0/24`, or an address",
            }),
        }
    }
}

impl From<AdministratorNetwork> for String {
    fn from(network: AdministratorNetwork) -> String {
        network.0
    }
}

/// The SHA-256 fingerprint of a certificate, written as Proxmox VE shows it: 32 pairs of hexadecimal digits joined by colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 32];
        let pairs = text.split(':').all(|pair| pair.len() == 2);
        match hex::decode_to_slice(text.replace(':', ""), &mut bytes) {
            Ok(()) if pairs || !text.contains(':') => Ok(Self(bytes)),
            Ok(()) | Err(_) => Err(InvalidId {
                what: "SHA-256 fingerprint",
                text: text.to_owned(),
                expected: "32 pairs of hexadecimal digits joined by colons, as `pvenode cert info` and the node's web page (System, Certificates) show",
            }),
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

/// What makes a cluster's certificate trusted. There is no way to trust any certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TlsFields", into = "TlsFields")]
pub enum Tls {
    /// It has this fingerprint.
    Fingerprint(Fingerprint),
    /// It is signed by an authority of this PEM file (`/etc/pve/pve-root-ca.pem` of the cluster).
    CaFile(PathBuf),
    /// It is signed by an authority that this machine trusts.
    SystemRoots,
}

/// What makes a cluster's certificate trusted: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFields {
    /// The SHA-256 fingerprint of the certificate: 32 pairs of hexadecimal digits joined by colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// A PEM file with the authority that signed it (`/etc/pve/pve-root-ca.pem` of the cluster).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// `true`: an authority that this machine trusts signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_roots: Option<bool>,
}

impl TryFrom<TlsFields> for Tls {
    type Error = &'static str;
    fn try_from(fields: TlsFields) -> Result<Self, &'static str> {
        match (fields.fingerprint, fields.ca_file, fields.system_roots) {
            (Some(fingerprint), None, None) => Ok(Self::Fingerprint(fingerprint)),
            (None, Some(file), None) => Ok(Self::CaFile(file)),
            (None, None, Some(true)) => Ok(Self::SystemRoots),
            (None, None, Some(false)) => Err(
                "`systemRoots: false` trusts nothing: write `fingerprint`, `caFile` or `systemRoots: true`",
            ),
            _ => Err("write exactly one of `fingerprint`, `caFile` and `systemRoots: true`"),
        }
    }
}

impl From<Tls> for TlsFields {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Fingerprint(fingerprint) => Self {
                fingerprint: Some(fingerprint),
                ..Self::default()
            },
            Tls::CaFile(file) => Self {
                ca_file: Some(file),
                ..Self::default()
            },
            Tls::SystemRoots => Self {
                system_roots: Some(true),
                ..Self::default()
            },
        }
    }
}

/// Where the API token (`USER@REALM!ID=UUID`) is to be found. Never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Token {
    /// A file that only its owner can read.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

const TOKEN_FORM: &str = "the token itself never stands in the configuration: write `file: PATH` (a file only its owner can read) or `env: NAME`";

impl<'de> Deserialize<'de> for Token {
    /// By hand, since serde's own messages would repeat a token that somebody wrote here.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Token;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`file: PATH` or `env: NAME`")
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Token, E> {
                Err(E::custom(TOKEN_FORM))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Token, A::Error> {
                let mut token = None;
                while let Some(key) = map.next_key::<String>()? {
                    let value: String = map.next_value()?;
                    let given = match key.as_str() {
                        "file" if !value.is_empty() => Token::File(value.into()),
                        "env" if is_variable(&value) => Token::Env(value),
                        "env" => {
                            return Err(A::Error::custom(
                                "`env` takes the name of an environment variable: letters, digits and `_`, not beginning with a digit",
                            ));
                        }
                        _ => return Err(A::Error::custom(TOKEN_FORM)),
                    };
                    if token.replace(given).is_some() {
                        return Err(A::Error::custom("write either `file` or `env`, not both"));
                    }
                }
                token.ok_or_else(|| A::Error::custom(TOKEN_FORM))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// VMIDs that may be allocated, both ends included: `9000-9999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct VmidRange {
    /// The first.
    pub first: Vmid,
    /// The last, not less than the first.
    pub last: Vmid,
}

impl FromStr for VmidRange {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "range of VMIDs",
            text: text.to_owned(),
            expected: "`FIRST-LAST`, such as `9000-9999`, both from 100 to 999999999",
        };
        let (first, last) = text.split_once('-').ok_or_else(invalid)?;
        let first: Vmid = first.trim().parse().map_err(|_| invalid())?;
        let last: Vmid = last.trim().parse().map_err(|_| invalid())?;
        if first <= last {
            Ok(Self { first, last })
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for VmidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl TryFrom<String> for VmidRange {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<VmidRange> for String {
    fn from(range: VmidRange) -> String {
        range.to_string()
    }
}

/// A backup that every plan takes of a guest right before it destroys it, and that a later plan deletes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafetyCopy {
    /// The storage it goes to: one with `backup` in its content that every node with guests may use.
    #[schemars(with = "String")]
    pub storage: StorageId,
    /// How long it is kept: minutes, hours, days or weeks from 1 minute to 520 weeks, such as `12h`, `14d` or `8w`.
    pub keep_for: Age,
}

/// A length of time such as `30m`, `1h 30m` or `7d`; a day is 24 hours, a week seven days.
pub(super) fn length_of_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<Span>();
    parsed
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is not a length of time, expected such as `30m`, `90s`, `2h` or `7d`"
            ))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_and_nothing_else() {
        let shown = |text: &str| {
            text.parse::<Endpoint>()
                .map(|endpoint| endpoint.to_string())
        };
        assert_eq!(shown("https://pve1").unwrap(), "https://pve1:8006");
        assert_eq!(shown("https://pve1:443").unwrap(), "https://pve1:443");
        assert_eq!(
            shown("https://[fd00::1]:8007").unwrap(),
            "https://[fd00::1]:8007"
        );
        assert_eq!(
            shown("https://[fd00::1]").unwrap(),
            "https://[fd00::1]:8006"
        );
        assert_eq!(
            shown("https://10.0.0.1:8006").unwrap(),
            "https://10.0.0.1:8006"
        );
        for text in [
            "http://pve1",
            "pve1",
            "https://",
            "https://pve1/api2",
            "https://pve1/",
            "https://pve1?x",
            "https://pve1:0",
            "https://pve1:99999",
            "https://pve1:",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
        let secret = shown("https://root:hunter2@pve1").unwrap_err().to_string();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn fingerprints_round_trip() {
        let text = ["AB"; 32].join(":");
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(
            text.to_lowercase()
                .replace(':', "")
                .parse::<Fingerprint>()
                .unwrap(),
            fingerprint
        );
        for bad in ["AB:CD", "", &["ABC"; 32].join(":"), &["AB"; 20].join(":")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_of_time_have_days() {
        let read = |text: &str| length_of_time(serde_json::Value::from(text)).ok();
        for (text, hours) in [("30m", 0.5), ("1h 30m", 1.5), ("7d", 168.0), ("2w", 336.0)] {
            let wanted = SignedDuration::from_secs_f64(hours * 3600.0);
            assert_eq!(read(text), Some(wanted), "{text}");
        }
        for bad in ["", "30", "soon", "1 month", "7 dogs"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_have_an_order() {
        assert_eq!(
            "9000-9999".parse::<VmidRange>().unwrap().to_string(),
            "9000-9999"
        );
        for bad in ["9999-9000", "9000", "1-200", "a-b", "9000-9999-1"] {
            assert!(bad.parse::<VmidRange>().is_err(), "{bad}");
        }
    }
}
