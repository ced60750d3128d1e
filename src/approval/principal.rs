//! Who asks and who decides: agents, people, and the system itself. Only a person can ever approve.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// What kind of actor a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A program that may submit, read, withdraw and propose undo, and can never approve.
    Agent,
    /// A human being; the only kind that can approve.
    Person,
    /// Bailiwick itself (reconciling, fuses, policy).
    System,
}

impl PrincipalKind {
    /// The word before the colon: `agent`, `person`, `system`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Person => "person",
            Self::System => "system",
        }
    }
}

/// An actor, printed and stored as `agent:claude`, `person:alice`, `system:reconcile`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal {
    kind: PrincipalKind,
    name: String,
}

impl Principal {
    /// A principal of a kind, if the name is one word of letters, digits, `-`, `_`, `.`, `@` and `+`, at most 128 characters.
    /// The alphabet is small on purpose: two principals that look alike on a screen must be the same.
    pub fn new(kind: PrincipalKind, name: impl Into<String>) -> Result<Self, InvalidId> {
        let name = name.into();
        let first = name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.@+".contains(&b));
        if first && rest && name.len() <= 128 {
            Ok(Self { kind, name })
        } else {
            Err(InvalidId {
                what: "principal's name",
                text: name,
                expected: "letters, digits, `-`, `_`, `.`, `@` and `+`, beginning with a letter or digit, at most 128 characters",
            })
        }
    }

    /// A person.
    pub fn person(name: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(PrincipalKind::Person, name)
    }

    /// An agent.
    pub fn agent(name: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(PrincipalKind::Agent, name)
    }

    /// A part of Bailiwick itself.
    pub fn system(name: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(PrincipalKind::System, name)
    }

    /// What kind of actor it is.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The name without the kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a human being.
    pub fn is_person(&self) -> bool {
        self.kind == PrincipalKind::Person
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.kind.word(), self.name))
    }
}

impl FromStr for Principal {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "principal",
            text: text.to_owned(),
            expected: "`agent:NAME`, `person:NAME` or `system:NAME`",
        };
        let (kind, name) = text.split_once(':').ok_or_else(invalid)?;
        let kind = match kind {
            "agent" => PrincipalKind::Agent,
            "person" => PrincipalKind::Person,
            "system" => PrincipalKind::System,
            _ => return Err(invalid()),
        };
        Self::new(kind, name)
    }
}

impl TryFrom<String> for Principal {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> String {
        principal.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn principals_round_trip() {
        for text in [
            "agent:claude",
            "person:alice@example.com",
            "system:reconcile",
        ] {
            let principal: Principal = text.parse().unwrap();
            assert_eq!(principal.to_string(), text);
            let json = serde_json::to_string(&principal).unwrap();
            assert_eq!(serde_json::from_str::<Principal>(&json).unwrap(), principal);
        }
    }

    #[test]
    fn look_alikes_and_nonsense_are_refused() {
        for text in [
            "alice",
            "person:",
            "Person:alice",
            "person:al ice",
            "person:agent:x",
            "person:аlice",
            "person:a\n",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
