//! New connections to nodes, to see whether they can be reached: never one that is kept, since what is open already says nothing of
//! what a firewall lets in. Nothing is sent over them.

use std::sync::Arc;

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::call::Call;
use super::super::trust::{Fingerprint, Trust};
use super::Client;

impl Client {
    /// Opens a TLS connection to this host and closes it again. It counts only if the certificate is trusted as the configuration says, or
    /// is the one that the cluster itself names for this node (`ssl_fingerprint` of `GET /nodes`): something on the way that answers
    /// for everybody is not the node.
    ///
    /// # Errors
    /// Why it did not come about, or that somebody else answered.
    pub async fn opens_tls(&self, node: &str, host: &str, port: u16) -> Result<(), String> {
        let place = format!("{host}:{port}");
        let refused = match self.shaken(host, port, self.inner.tls.clone()).await {
            Ok(()) => return Ok(()),
            Err(Shut::Unreached(why)) => return Err(format!("{place}: {why}")),
            Err(Shut::Untrusted(why)) => why,
        };
        let named = self.fingerprint_of(node).await.map_err(|why| {
            format!("{place}: its certificate is not trusted ({refused}), and {why}")
        })?;
        let only = Trust::Fingerprints([named].into()).client_config();
        let only = only.map_err(|error| format!("{place}: {error}"))?;
        match self.shaken(host, port, only).await {
            Ok(()) => Ok(()),
            Err(Shut::Unreached(why)) => Err(format!("{place}: {why}")),
            Err(Shut::Untrusted(_)) => Err(format!(
                "{place}: who answers there shows a certificate that is not the node's ({named})"
            )),
        }
    }

    /// A new connection and its handshake, no more.
    async fn shaken(&self, host: &str, port: u16, tls: rustls::ClientConfig) -> Result<(), Shut> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = rustls_pki_types::ServerName::try_from(bare.to_owned())
            .map_err(|_| Shut::Unreached("no name of a host".to_owned()))?;
        let connector = TlsConnector::from(Arc::new(tls));
        let shaken = async {
            let stream = TcpStream::connect((bare, port)).await?;
            connector.connect(name, stream).await.map(drop)
        };
        match timeout(self.inner.limits.connect_timeout, shaken).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if of_peer(&error) => Err(Shut::Untrusted(error.to_string())),
            Ok(Err(error)) => Err(Shut::Unreached(error.to_string())),
            Err(_) => Err(Shut::Unreached("no connection in time".to_owned())),
        }
    }

    /// The fingerprint of the certificate that the cluster says a node has.
    async fn fingerprint_of(&self, node: &str) -> Result<Fingerprint, String> {
        let nodes: Vec<Listed> = self
            .get(Call::get(["nodes"]))
            .await
            .map_err(|error| format!("which one the node has could not be read: {error}"))?;
        let listed = nodes.into_iter().find(|listed| listed.node == node);
        let named = listed.and_then(|listed| listed.ssl_fingerprint);
        let named =
            named.ok_or_else(|| "the cluster does not say which one the node has".to_owned())?;
        let parsed = named.parse::<Fingerprint>();
        parsed
            .map_err(|error| format!("what the cluster says of the node's cannot be read: {error}"))
    }

    /// Opens a TCP connection to this host, waits for the first byte of an SSH server's greeting, and closes it again.
    ///
    /// # Errors
    /// Why it did not come about.
    pub async fn opens_ssh(&self, host: &str, port: u16) -> Result<(), String> {
        let place = format!("{host}:{port}");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let greeted = async {
            let mut stream = TcpStream::connect((bare, port)).await?;
            stream.read_u8().await
        };
        match timeout(self.inner.limits.connect_timeout, greeted).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{place}: {error}")),
            Err(_) => Err(format!("{place}: no connection in time")),
        }
    }

    /// The address from which this machine reaches the first endpoint; `None` if it cannot be told, or if it is this machine itself.
    /// Nodes see another one where addresses are translated on the way.
    pub async fn own_address(&self) -> Option<std::net::IpAddr> {
        let url = &self.inner.endpoints.first()?.url;
        let host = url
            .host_str()?
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = url.port_or_known_default()?;
        let look_up = tokio::net::lookup_host((host, port));
        let mut found = timeout(self.inner.limits.connect_timeout, look_up)
            .await
            .ok()?
            .ok()?;
        let there = found.next()?;
        let any: std::net::IpAddr = match there {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        // Nothing is sent: the system only says which address it would use.
        let socket = tokio::net::UdpSocket::bind((any, 0)).await.ok()?;
        socket.connect(there).await.ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_loopback() && !own.is_unspecified()).then_some(own)
    }
}

/// Why a connection does not count.
enum Shut {
    /// It did not come about.
    Unreached(String),
    /// Somebody answered, with a certificate that is not trusted.
    Untrusted(String),
}

/// A node as `GET /nodes` lists it.
#[derive(Deserialize)]
struct Listed {
    node: String,
    ssl_fingerprint: Option<String>,
}

/// Whether a handshake failed because of the certificate that the other side showed.
fn of_peer(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
