//! A server's certificate, looked at and not believed: its fingerprint, and until when it is good. The look ends in the middle of the
//! handshake: every certificate is refused, so nothing is ever sent to a server that is not trusted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use url::Url;

use super::trust::Fingerprint;

/// A certificate as a server showed it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

/// A server whose certificate could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The address has no host that can be asked.
    #[error("`{url}` names no host that can be asked")]
    Address {
        /// The address.
        url: String,
    },
    /// There is no connection.
    #[error(
        "no connection to {server}: {why}. Check the address, the port (8006 by default) and that the node is up"
    )]
    Unreachable {
        /// Host and port.
        server: String,
        /// Why.
        why: String,
    },
    /// What answers is no TLS server.
    #[error("{server} does not speak TLS as Proxmox VE does: {why}")]
    NoTls {
        /// Host and port.
        server: String,
        /// Why.
        why: String,
    },
}

/// Looks at a server's certificate. `patience` is how long connecting and how long the handshake may take.
///
/// # Errors
/// [`LookError`] if there is no connection, or no certificate was shown.
pub async fn look(url: &Url, patience: Duration) -> Result<Certificate, LookError> {
    let address = || LookError::Address {
        url: url.to_string(),
    };
    let host = url.host_str().ok_or_else(address)?;
    let port = url.port_or_known_default().ok_or_else(address)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let server = format!("{host}:{port}");
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| address())?;
    let unreachable = |why: String| LookError::Unreachable {
        server: server.clone(),
        why,
    };
    let no_tls = |why: String| LookError::NoTls {
        server: server.clone(),
        why,
    };
    let stream = tokio::time::timeout(patience, TcpStream::connect((bare, port)))
        .await
        .map_err(|_| unreachable("it does not answer in time".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let looking = Arc::new(Looking::default());
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| no_tls(error.to_string()))?
    .dangerous()
    .with_custom_certificate_verifier(Arc::clone(&looking) as Arc<dyn ServerCertVerifier>)
    .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let shaken = tokio::time::timeout(patience, connector.connect(name, stream)).await;
    let why = match shaken {
        Err(_) => "the handshake does not end in time".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) => "it showed no certificate".to_owned(),
    };
    looking.seen().ok_or_else(|| no_tls(why))
}

/// Remembers the certificate it is shown and refuses it.
#[derive(Debug, Default)]
struct Looking {
    seen: Mutex<Option<Certificate>>,
}

impl Looking {
    fn seen(&self) -> Option<Certificate> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Certificate {
            der: end_entity.to_vec(),
        });
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(refused())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn refused() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

impl Certificate {
    /// Its SHA-256 fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_certificate(&self.der)
    }

    /// Until when it is good, if that can be read.
    pub fn expires(&self) -> Option<Timestamp> {
        // RFC 5280: Certificate { TBSCertificate { [0] version, serial, signature, issuer, Validity { notBefore, notAfter }, …
        let (tag, certificate, _) = element(&self.der)?;
        let (inner, tbs, _) = element(certificate)?;
        if (tag, inner) != (SEQUENCE, SEQUENCE) {
            return None;
        }
        let (first, _, after_version) = element(tbs)?;
        let mut rest = if first == VERSION { after_version } else { tbs };
        for _ in ["serial", "signature", "issuer"] {
            (_, _, rest) = element(rest)?;
        }
        let (_, validity, _) = element(rest)?;
        let (_, _, after) = element(validity)?;
        let (tag, text, _) = element(after)?;
        time(tag, std::str::from_utf8(text).ok()?)
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first element of DER: its tag, its content, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0usize, |length, byte| (length << 8) | usize::from(*byte));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; two digits of a year below 50 are of this century (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        GENERALIZED_TIME => text.to_owned(),
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 {
                "20"
            } else {
                "19"
            };
            format!("{century}{text}")
        }
        _ => return None,
    };
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    )
    .parse()
    .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["pve1.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        Certificate {
            der: params.self_signed(&key).unwrap().der().to_vec(),
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms() {
        for (year, until) in [
            (2031, "2031-02-03T00:00:00Z"),
            (2049, "2049-02-03T00:00:00Z"),
            (2077, "2077-02-03T00:00:00Z"),
        ] {
            assert_eq!(certificate(year).expires(), Some(until.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_no_panic() {
        let whole = certificate(2031).der;
        for length in 0..whole.len() {
            let der = whole.iter().take(length).copied().collect();
            let _ = Certificate { der }.expires();
        }
        for at in 0..whole.len() {
            let mut der = whole.clone();
            if let Some(byte) = der.get_mut(at) {
                *byte ^= 0x85;
            }
            let _ = Certificate { der }.expires();
        }
        assert_eq!(time(UTC_TIME, "310203000000"), None);
        assert_eq!(time(GENERALIZED_TIME, "20310203000000+0100"), None);
    }
}
