//! Who a request comes from: API tokens, and tickets with their CSRF token (PVE::HTTPServer).

use std::collections::BTreeMap;

use super::call::{ApiError, Auth, Method};
use super::state::Cluster;

/// Tickets are good for two hours.
const TICKET_LIFE: i64 = 7200;

/// What was handed out for a password.
#[derive(Debug, Clone)]
pub struct Session {
    user: String,
    csrf: String,
    issued: i64,
}

/// Sessions by ticket.
pub type Sessions = BTreeMap<String, Session>;

/// The credentials in a request's headers.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The cookie `PVEAuthCookie`, decoded.
    pub cookie: Option<String>,
    /// `CSRFPreventionToken`.
    pub csrf: Option<String>,
}

impl Cluster {
    /// Who these credentials belong to; `Ok(None)` if there are none.
    ///
    /// # Errors
    /// Status 401 without a body.
    pub fn identify(
        &self,
        credentials: &Credentials,
        method: Method,
    ) -> Result<Option<Auth>, ApiError> {
        let failed = || ApiError::unauthorized("Authentication failed!");
        let token = credentials
            .authorization
            .as_deref()
            .and_then(|text| text.strip_prefix("PVEAPIToken"));
        if let Some(text) = token {
            let (id, secret) = text
                .trim_start_matches(['=', ' '])
                .split_once('=')
                .ok_or_else(failed)?;
            return if self.token_is_good(id, secret) {
                Ok(Some(Auth::new(id)))
            } else {
                Err(failed())
            };
        }
        let Some(ticket) = &credentials.cookie else {
            return Ok(None);
        };
        let session = self.sessions.get(ticket).ok_or_else(failed)?;
        let now = self.clock.unix();
        if now > session.issued + TICKET_LIFE || !self.read_users().is_enabled(&session.user, now) {
            return Err(failed());
        }
        // The token belongs to the user and not to the ticket: one that came with a newer ticket is good as well.
        let csrf = self.sessions.values().any(|of| {
            of.user == session.user
                && now <= of.issued + TICKET_LIFE
                && credentials.csrf.as_ref() == Some(&of.csrf)
        });
        if method != Method::Get && !csrf {
            return Err(ApiError::unauthorized(
                "Permission denied - invalid csrf token",
            ));
        }
        Ok(Some(Auth::new(session.user.clone())))
    }

    fn token_is_good(&self, id: &str, secret: &str) -> bool {
        self.read_users().is_enabled(id, self.clock.unix())
            && self.secrets.get(id).is_some_and(|known| known == secret)
    }

    /// Checks a password, in whose place a ticket of the same user is as good; answers a ticket and its CSRF token.
    ///
    /// # Errors
    /// Status 401 `authentication failure`.
    pub fn log_in(&mut self, user: &str, password: &str) -> Result<(String, String), ApiError> {
        let now = self.clock.unix();
        let known = self
            .passwords
            .get(user)
            .is_some_and(|known| known == password);
        let renewed = self
            .sessions
            .get(password)
            .is_some_and(|session| session.user == user && now <= session.issued + TICKET_LIFE);
        let realm = user.rsplit('@').next().unwrap_or_default();
        // A ticket is renewed without asking the realm; so is a token taken.
        let known = known && super::realms::exists(self, realm);
        if !(known || renewed) || !self.read_users().is_enabled(user, now) {
            return Err(ApiError::new(401, "authentication failure"));
        }
        let ticket = format!(
            "PVE:{user}:{now:08X}::{:016x}{:016x}",
            self.random(),
            self.random()
        );
        let csrf = format!("{now:08X}:{:016x}{:016x}", self.random(), self.random());
        let session = Session {
            user: user.to_owned(),
            csrf: csrf.clone(),
            issued: now,
        };
        self.sessions.insert(ticket.clone(), session);
        Ok((ticket, csrf))
    }
}
