//! New connections to nodes, to see whether they can be reached: never one that is kept, since what is open already says nothing of
//! what a firewall lets in. Nothing is sent over them.

use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Client;

impl Client {
    /// Opens a TLS connection to this host and closes it again. Whose certificate it is does not count here: whoever shows one can be
    /// reached, and is told nothing.
    ///
    /// # Errors
    /// Why it did not come about.
    pub async fn opens_tls(&self, host: &str, port: u16) -> Result<(), String> {
        let place = format!("{host}:{port}");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = rustls_pki_types::ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("{place}: no name of a host"))?;
        let connector = TlsConnector::from(Arc::new(self.inner.tls.clone()));
        let shaken = async {
            let stream = TcpStream::connect((bare, port)).await?;
            connector.connect(name, stream).await.map(drop)
        };
        match timeout(self.inner.limits.connect_timeout, shaken).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if of_peer(&error) => Ok(()),
            Ok(Err(error)) => Err(format!("{place}: {error}")),
            Err(_) => Err(format!("{place}: no connection in time")),
        }
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

/// Whether a handshake failed because of what the other side showed: then it was reached.
fn of_peer(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
