//! How a cluster proves who it is: certificates known by fingerprint, by a certificate authority in a file, or by the system's
//! roots. There is no fourth way; "accept anything" does not exist here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::Digest;

use crate::ids::InvalidId;

/// The SHA-256 fingerprint of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(sha2::Sha256::digest(der).into())
    }
}

/// As Proxmox VE shows it: `AA:BB:…`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidId;

    /// Reads `AA:BB:…` or 64 hexadecimal digits, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "certificate fingerprint",
            text: text.to_owned(),
            expected: "the SHA-256 fingerprint as Proxmox VE shows it under Node, System, Certificates: 32 pairs of hexadecimal \
                       digits, with or without colons between them",
        };
        let trimmed = text.trim();
        let digits: String = if trimmed.contains(':') {
            if trimmed.split(':').any(|pair| pair.len() != 2) {
                return Err(invalid());
            }
            trimmed.split(':').collect()
        } else {
            trimmed.to_owned()
        };
        let bytes = hex::decode(digits).map_err(|_| invalid())?;
        Ok(Self(bytes.try_into().map_err(|_| invalid())?))
    }
}

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Certificates with these fingerprints and no others (each node of a cluster has its own certificate).
    Fingerprints(BTreeSet<Fingerprint>),
    /// Certificates signed by an authority in this PEM file, e.g. the cluster's own `pve-root-ca.pem`.
    CaFile(PathBuf),
    /// Certificates signed by an authority the operating system knows.
    SystemRoots,
}

/// Trust that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No fingerprint was given.
    #[error("no fingerprint is given; name at least one, or a CA file, or the system's roots")]
    NoFingerprint,
    /// The CA file cannot be used.
    #[error("the CA file {} holds no usable certificate: {why}", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system knows no authority.
    #[error(
        "the system's certificate store has no usable certificate: {why}; use a fingerprint or a CA file"
    )]
    SystemRoots {
        /// Why.
        why: String,
    },
    /// rustls refused the configuration.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The certificate is not the one that is pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server's certificate has the fingerprint {got}, but {} is expected; if the certificate was renewed on purpose, check the \
     new one under Node, System, Certificates on the server itself and put it into the configuration; if not, somebody may stand \
     between Bailiwick and Proxmox VE", expected_list(.expected)
)]
pub struct FingerprintMismatch {
    /// What the configuration says.
    pub expected: BTreeSet<Fingerprint>,
    /// What the server showed.
    pub got: Fingerprint,
}

fn expected_list(expected: &BTreeSet<Fingerprint>) -> String {
    expected
        .iter()
        .map(Fingerprint::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Accepts leaf certificates by fingerprint. Names and expiry play no part, since the pin says exactly which certificate is
/// meant; that the server holds the certificate's key is verified as always.
#[derive(Debug)]
struct PinVerifier {
    pins: BTreeSet<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let got = Fingerprint::of_certificate(end_entity);
        if self.pins.contains(&got) {
            return Ok(ServerCertVerified::assertion());
        }
        let mismatch = FingerprintMismatch {
            expected: self.pins.clone(),
            got,
        };
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(
            OtherError(Arc::new(mismatch)),
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl Trust {
    /// The TLS configuration of a client that trusts so.
    pub(crate) fn client_config(&self) -> Result<rustls::ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?;
        Ok(match self {
            Self::Fingerprints(pins) if pins.is_empty() => return Err(TrustError::NoFingerprint),
            Self::Fingerprints(pins) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(PinVerifier {
                    pins: pins.clone(),
                    provider,
                }))
                .with_no_client_auth(),
            Self::CaFile(_) | Self::SystemRoots => builder
                .with_root_certificates(self.roots()?)
                .with_no_client_auth(),
        })
    }

    fn roots(&self) -> Result<rustls::RootCertStore, TrustError> {
        let mut roots = rustls::RootCertStore::empty();
        match self {
            Self::CaFile(path) => {
                let fail = |why: String| TrustError::CaFile {
                    path: path.clone(),
                    why,
                };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|e| fail(e.to_string()))?;
                    roots.add(certificate).map_err(|e| fail(e.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(fail("it holds no certificate in PEM form".to_owned()));
                }
            }
            Self::SystemRoots => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    let why = found
                        .errors
                        .first()
                        .map_or_else(|| "it is empty".to_owned(), ToString::to_string);
                    return Err(TrustError::SystemRoots { why });
                }
            }
            Self::Fingerprints(_) => {}
        }
        Ok(roots)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_both_forms() {
        let print = Fingerprint::of_certificate(b"certificate");
        let shown = print.to_string();
        assert_eq!(shown.len(), 95);
        assert_eq!(shown.parse::<Fingerprint>().unwrap(), print);
        assert_eq!(
            shown
                .to_lowercase()
                .replace(':', "")
                .parse::<Fingerprint>()
                .unwrap(),
            print
        );
        for bad in [
            "",
            "AA:BB",
            &shown[3..],
            &shown.replacen(':', "", 1),
            &shown.replacen('A', "G", 1),
        ] {
            if bad != shown {
                assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn no_fingerprint_and_no_certificate_are_errors() {
        assert!(matches!(
            Trust::Fingerprints(BTreeSet::new()).client_config(),
            Err(TrustError::NoFingerprint)
        ));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "not a certificate").unwrap();
        assert!(matches!(
            Trust::CaFile(path).client_config(),
            Err(TrustError::CaFile { .. })
        ));
    }
}
