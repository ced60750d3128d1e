//! Signing through a running ssh-agent, so that a private key (also one on a security key) never comes near this process.
//! Blocking: callers in an asynchronous context use a blocking thread. Never adds or removes keys.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ssh_agent_client_rs::{Client, Identity};
use ssh_key::{HashAlg, PublicKey};

use super::signature::{armour, to_be_signed};
use super::signers::AllowedSigners;

/// How long the agent may take: it may have to ask its user for a confirmation or a touch.
const PATIENCE: Duration = Duration::from_secs(120);

/// An ssh-agent that did not sign.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent's socket cannot be opened.
    #[error("no ssh-agent answers at {}: {source}; start one (`eval $(ssh-agent)`), or sign with a key file", socket.display())]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The agent's answer cannot be used.
    #[error("the ssh-agent at {} could not be talked to while it should {what}: {source}", socket.display())]
    Talk {
        /// The socket.
        socket: PathBuf,
        /// What it was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: ssh_agent_client_rs::Error,
    },
    /// The agent does not hold the key that was asked for.
    #[error(
        "the ssh-agent holds no key that {wanted}; it holds {}: add the key with `ssh-add`",
        list(held)
    )]
    NoSuchKey {
        /// Which key was wanted, as a clause.
        wanted: String,
        /// The fingerprints it holds.
        held: Vec<String>,
    },
    /// Several people's keys would do.
    #[error(
        "the ssh-agent holds keys of several allowed signers, {}: say which one to use",
        list(candidates)
    )]
    SeveralPeople {
        /// `SHA256:… (alice)`.
        candidates: Vec<String>,
    },
    /// The agent refused.
    #[error(
        "the ssh-agent refused to sign with {fingerprint}: it may be locked, or the confirmation or touch was not given"
    )]
    Refused {
        /// The key's fingerprint.
        fingerprint: String,
    },
    /// The signature could not be put into OpenSSH's format.
    #[error("the ssh-agent's signature with {fingerprint} cannot be used: {source}")]
    Unusable {
        /// The key's fingerprint.
        fingerprint: String,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
}

fn list(fingerprints: &[String]) -> String {
    if fingerprints.is_empty() {
        "none".to_owned()
    } else {
        fingerprints.join(", ")
    }
}

/// Which of the agent's keys shall sign.
#[derive(Debug, Clone)]
pub enum KeyChoice<'a> {
    /// This one.
    PublicKey(&'a PublicKey),
    /// The one with this fingerprint, as OpenSSH prints it (`SHA256:…`).
    Fingerprint(&'a str),
    /// The one that stands for a person among the allowed signers at this time; the first, if a person has several.
    AllowedSigner(&'a AllowedSigners, Timestamp),
}

/// Has the agent behind `socket` sign a message ([`super::signed_message`]); returns the armoured signature.
pub fn sign_with_agent(
    socket: &Path,
    choice: &KeyChoice<'_>,
    message: &[u8],
) -> Result<String, AgentError> {
    let mut client = connect(socket)?;
    let talk = |what| {
        move |source| AgentError::Talk {
            socket: socket.to_owned(),
            what,
            source,
        }
    };
    let held: Vec<PublicKey> = client
        .list_all_identities()
        .map_err(talk("list its keys"))?
        .into_iter()
        .filter_map(|identity| match identity {
            Identity::PublicKey(key) => Some(key.into_owned()),
            // A certificate proves what an authority says; only plain keys stand in the allowed signers.
            Identity::Certificate(_) => None,
        })
        .collect();
    let key = choose(choice, &held)?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let unusable = |source| AgentError::Unusable {
        fingerprint: fingerprint.clone(),
        source,
    };
    let data = to_be_signed(message).map_err(unusable)?;
    let signature = match client.sign(key, &data) {
        Ok(signature) => signature,
        Err(ssh_agent_client_rs::Error::RemoteFailure) => {
            return Err(AgentError::Refused { fingerprint });
        }
        Err(source) => return Err(talk("sign")(source)),
    };
    armour(key.key_data(), signature).map_err(unusable)
}

fn connect(socket: &Path) -> Result<Client, AgentError> {
    let open = || -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let stream = open().map_err(|source| AgentError::NoAgent {
        socket: socket.to_owned(),
        source,
    })?;
    Ok(Client::with_read_write(Box::new(stream)))
}

fn choose<'k>(choice: &KeyChoice<'_>, held: &'k [PublicKey]) -> Result<&'k PublicKey, AgentError> {
    let print = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    let missing = |wanted: String| AgentError::NoSuchKey {
        wanted,
        held: held.iter().map(print).collect(),
    };
    match choice {
        KeyChoice::PublicKey(wanted) => held
            .iter()
            .find(|key| key.key_data() == wanted.key_data())
            .ok_or_else(|| missing(format!("is {}", print(wanted)))),
        KeyChoice::Fingerprint(wanted) => held
            .iter()
            .find(|key| print(key) == *wanted)
            .ok_or_else(|| missing(format!("has the fingerprint {wanted}"))),
        KeyChoice::AllowedSigner(signers, now) => {
            let candidates: Vec<_> = held
                .iter()
                .filter_map(|key| Some((key, signers.person_of(key.key_data(), *now).ok()?)))
                .collect();
            let (first, person) = candidates
                .first()
                .ok_or_else(|| missing("is among the allowed signers now".to_owned()))?;
            if candidates.iter().all(|(_, other)| other == person) {
                Ok(first)
            } else {
                Err(AgentError::SeveralPeople {
                    candidates: candidates
                        .iter()
                        .map(|(key, person)| format!("{} ({})", print(key), person.name()))
                        .collect(),
                })
            }
        }
    }
}
