//! One webhook: whether its address may be used, whom it trusts, and one attempt at telling it something.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::message::{REASONS, topic};
use super::signature::{HEADER, SHORTEST_SECRET, signature};
use super::{DELIVERY, SecretReader};
use crate::configuration::serving::{Topic, Webhook};
use crate::proxmox::trust::Trust;

/// A webhook as it is configured. Its address can hold a secret too (many receivers know their senders by it), so it is never shown.
pub(super) struct Target {
    webhook: Webhook,
    secret: SecretReader,
    /// Made when it is first needed; made anew after a failure, since the authority's file may have been replaced.
    client: Mutex<Option<reqwest::Client>>,
}

impl Target {
    pub(super) fn new(webhook: Webhook, secret: SecretReader) -> Self {
        Self {
            webhook,
            secret,
            client: Mutex::new(None),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.webhook.name
    }

    /// What an event with this reason is told as, if this webhook is told of it.
    pub(super) fn topic(&self, reason: &str) -> Option<Topic> {
        let wanted = &self.webhook.events;
        topic(reason).filter(|topic| wanted.is_empty() || wanted.contains(topic))
    }

    /// The reasons of the events that this webhook is told of.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        let reasons = REASONS.iter().map(|(reason, _)| *reason);
        reasons
            .filter(|reason| self.topic(reason).is_some())
            .collect()
    }

    /// Tells it once. An error says in words what went wrong, and holds no secret.
    pub(super) async fn send(
        &self,
        delivery: &str,
        seconds: i64,
        body: Vec<u8>,
        at_most: Duration,
    ) -> Result<(), String> {
        let sent = self.attempt(delivery, seconds, body, at_most).await;
        if sent.is_err() {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        sent
    }

    async fn attempt(
        &self,
        delivery: &str,
        seconds: i64,
        body: Vec<u8>,
        at_most: Duration,
    ) -> Result<(), String> {
        let url = address(&self.webhook.url)?;
        let secret = self.secret()?;
        let request = self
            .client(&url)?
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(DELIVERY, delivery)
            .header(HEADER, signature(secret.as_bytes(), seconds, &body))
            .body(body)
            .send();
        let late = || format!("there was no answer within {at_most:?}");
        let answer = tokio::time::timeout(at_most, request)
            .await
            .map_err(|_| late())?;
        let status = answer
            .map_err(|error| innermost(&error.without_url()))?
            .status();
        match status.as_u16() {
            200..=299 => Ok(()),
            300..=399 => Err(format!(
                "it answered with status {}: redirects are not followed, so configure the address it is at",
                status.as_u16()
            )),
            code => Err(format!("it answered with status {code}")),
        }
    }

    fn secret(&self) -> Result<Zeroizing<String>, String> {
        let secret = (self.secret)(&self.webhook.secret)
            .map_err(|why| format!("its secret cannot be read: {why}"))?;
        if secret.len() < SHORTEST_SECRET {
            return Err(format!(
                "its secret has fewer than {SHORTEST_SECRET} characters: make one with `openssl rand -hex 32`"
            ));
        }
        Ok(secret)
    }

    fn client(&self, url: &Url) -> Result<reqwest::Client, String> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.as_ref() {
            return Ok(client.clone());
        }
        let trust = match &self.webhook.ca_file {
            Some(file) => Trust::CaFile(file.clone()),
            None => Trust::SystemRoots,
        };
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(url.scheme() == "https")
            .retry(reqwest::retry::never())
            // A connection for each message: one that the receiver closed meanwhile would look like a failure.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // Whatever a resolver says, the name stays on this machine.
            let here = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            builder = builder.resolve_to_addrs("localhost", &here);
        }
        let tls = match url.scheme() {
            "https" => trust.client_config(),
            // Not used, but reqwest wants one; this one trusts nobody.
            _ => Trust::Fingerprints(BTreeSet::from([
                crate::proxmox::Fingerprint::of_certificate(b""),
            ]))
            .client_config(),
        };
        let tls = tls.map_err(|error| error.to_string())?;
        let client = builder
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| innermost(&error.without_url()))?;
        Ok(kept.insert(client).clone())
    }
}

/// The address, if it may be used: `https`, or `http` on this machine.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("its address is none: {error}"))?;
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if here => Ok(url),
        _ => Err(
            "its address must begin with https:// (http:// only on this machine), since what is told is nobody else's business"
                .to_owned(),
        ),
    }
}

/// The innermost of an error's causes, which says most.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_connect() {
        "no connection"
    } else {
        "the connection broke before there was an answer"
    };
    format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_this_machine_in_the_clear() {
        for good in [
            "https://chat.example.com/hooks/1",
            "https://10.0.0.1:8443",
            "http://127.0.0.1:9000/x",
            "http://127.9.9.9/",
            "http://[::1]:9000/",
            "http://localhost:9000/",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://chat.example.com/",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "chat.example.com",
            "",
        ] {
            let refused = address(bad);
            assert!(refused.is_err(), "{bad}");
            assert!(
                bad.is_empty() || !refused.err().unwrap_or_default().contains(bad),
                "{bad}"
            );
        }
    }
}
