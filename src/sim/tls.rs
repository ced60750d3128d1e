//! The server's certificate, made at each start: clients must pin its fingerprint, as with a fresh Proxmox VE.

use std::net::SocketAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use super::state::Cluster;

/// A TLS acceptor with a new self-signed certificate for this address and the nodes' names, and the certificate's
/// SHA-256 as `AA:BB:…`.
///
/// # Errors
/// Why there is none.
pub fn acceptor(cluster: &Cluster, address: SocketAddr) -> Result<(TlsAcceptor, String), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut names = vec!["localhost".to_owned(), address.ip().to_string()];
    names.extend(cluster.nodes.keys().cloned());
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(&error))?;
    let der = made.cert.der().clone();
    let fingerprint = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":");
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .map_err(|error| failed(&error))?;
    Ok((TlsAcceptor::from(Arc::new(config)), fingerprint))
}
