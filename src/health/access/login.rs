//! Whether a principal can authenticate. What it holds is another matter: a disabled user keeps every privilege.

use super::answer::Access;
use super::input::owner;

/// Why a principal cannot authenticate. For a token, its owner comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user.
    NoSuchUser(String),
    /// The user is disabled.
    Disabled(String),
    /// The user or token expired, at this many seconds since 1970.
    Expired(String, i64),
    /// The realm that the user comes from is gone: nobody checks its password.
    NoSuchRealm(String),
    /// There is no such token.
    NoSuchToken(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchUser(id) => write!(f, "there is no user {id}"),
            Self::Disabled(id) => write!(f, "user {id} is disabled"),
            Self::Expired(id, _) => write!(f, "{id} has expired"),
            Self::NoSuchRealm(id) => write!(f, "the realm of user {id} is gone"),
            Self::NoSuchToken(id) => write!(f, "there is no token {id}"),
        }
    }
}

impl Access<'_> {
    /// Whether a user or token can authenticate at a time, in seconds since 1970; apart from passwords, second factors and what
    /// a realm that is there says.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn authenticates(&self, principal: &str, now: i64) -> Result<(), Refusal> {
        let gone = |expires: i64| expires != 0 && expires < now;
        let id = owner(principal).unwrap_or(principal);
        let user = self.configuration().users.get(id);
        let user = user.ok_or_else(|| Refusal::NoSuchUser(id.to_owned()))?;
        if !user.enabled {
            return Err(Refusal::Disabled(id.to_owned()));
        }
        if gone(user.expires) {
            return Err(Refusal::Expired(id.to_owned(), user.expires));
        }
        if owner(principal).is_none() {
            // Nobody asks the realm about a token.
            return match self.has_realm(id) {
                true => Ok(()),
                false => Err(Refusal::NoSuchRealm(id.to_owned())),
            };
        }
        match self.configuration().tokens.get(principal) {
            None => Err(Refusal::NoSuchToken(principal.to_owned())),
            Some(token) if gone(token.expires) => {
                Err(Refusal::Expired(principal.to_owned(), token.expires))
            }
            Some(_) => Ok(()),
        }
    }

    fn has_realm(&self, user: &str) -> bool {
        let (_, realm) = user.rsplit_once('@').unwrap_or_default();
        let realms = self.configuration().realms.as_ref();
        matches!(realm, "pam" | "pve") || realms.is_none_or(|realms| realms.contains(realm))
    }
}
