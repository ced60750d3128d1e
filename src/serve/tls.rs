//! The certificate that is shown, and its key, which nobody but its owner may be able to read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::ServeError;
use crate::configuration::serving::ServeTls;

/// The acceptor for a certificate: TLS 1.2 and 1.3, HTTP/1.1.
pub fn acceptor(given: &ServeTls) -> Result<TlsAcceptor, ServeError> {
    let certificates = certificates(&given.cert_file)?;
    let key = private_key(&given.key_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wrong = |why: String| ServeError::Tls {
        what: "the certificate",
        path: given.cert_file.clone(),
        why,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| wrong(format!("it does not go with its private key: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let wrong = |why: String| ServeError::Tls {
        what: "the certificate",
        path: path.to_owned(),
        why,
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate (PEM) in it".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    let wrong = |why: String| ServeError::Tls {
        what: "the private key",
        path: path.to_owned(),
        why,
    };
    let mode = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!(
            "others than its owner can use it (mode {:04o}): run `chmod 600 {}`, and replace it if somebody may have read it",
            mode & 0o7777,
            path.display()
        )));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(error.to_string()))
}
