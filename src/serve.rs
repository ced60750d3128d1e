//! The HTTP face of `bailiwick serve`: MCP at `/mcp`, metrics at `/metrics`, liveness at `/healthz`, readiness at `/readyz`. Who may
//! ask, from where, and how much is decided here, before anything is read; what is answered is decided elsewhere.
//!
//! Plain HTTP on loopback only; anywhere else over TLS. Every request must name a host that this server is, and one that a page of
//! another origin sent is refused. Bodies, heads, times and connections are bounded.

mod gate;
mod hosts;
mod listen;
mod routes;
mod tls;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::configuration::serving::{Serve, ServeTls};
use crate::mcp::Mcp;
use crate::service::Service;

/// A text made anew for each request.
pub type Render = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

/// Says why the server is not ready, if it is not.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct Options {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate; without it plain HTTP, on loopback only.
    pub tls: Option<ServeTls>,
    /// Names by which it is reached, besides the address.
    pub hosts: BTreeSet<String>,
    /// The greatest size of a request's body, in bytes.
    pub body_limit: usize,
    /// The most connections at once; more wait to be taken.
    pub connections: usize,
    /// How long a request's head, and then its body, may take to arrive, and how long a connection may be idle.
    pub patience: Duration,
    /// How long requests under way may take once it is told to stop.
    pub grace: Duration,
    /// What `/metrics` answers, in Prometheus' text format; without it there is no `/metrics`.
    pub metrics: Option<Render>,
    /// Whether the rest of the program is ready; `/readyz` looks at the store itself.
    pub ready: Option<Ready>,
    /// How MCP is to be.
    pub mcp: crate::mcp::Options,
}

impl Options {
    /// As the configuration says.
    pub fn of(serve: &Serve) -> Self {
        Self {
            listen: serve.listen,
            tls: serve.tls.clone(),
            hosts: serve.hosts.clone(),
            body_limit: usize::try_from(serve.body_limit).unwrap_or(usize::MAX),
            connections: 512,
            patience: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            metrics: None,
            ready: None,
            mcp: crate::mcp::Options::default(),
        }
    }
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be used.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Not loopback, and no certificate.
    #[error(
        "refused to listen on {listen} without TLS: tokens would cross the network readable; configure `serve.tls`, or listen on 127.0.0.1"
    )]
    Plain {
        /// The address.
        listen: SocketAddr,
    },
    /// The certificate or its key cannot be used.
    #[error("{what} {path}: {why}")]
    Tls {
        /// `the certificate`, `the private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A server that runs. It is told to stop when this is dropped; [`Running::stop`] also waits for its end.
#[derive(Debug)]
pub struct Running {
    /// The address it listens on.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    stop: CancellationToken,
    server: Option<tokio::task::JoinHandle<()>>,
}

/// Starts to serve.
pub async fn start(service: Service, options: Options) -> Result<Running, ServeError> {
    let listen = options.listen;
    if !listen.ip().is_loopback() && options.tls.is_none() {
        return Err(ServeError::Plain { listen });
    }
    let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
    let failed = |source| ServeError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let stop = CancellationToken::new();
    let mut mcp = options.mcp.clone();
    // Calls that wait answer at once when the server is told to stop.
    mcp.stopping = stop.clone();
    let router = routes::router(
        routes::State {
            gate: gate::Gate::new(service.clone()),
            hosts: hosts::Hosts::new(&options.hosts, options.tls.is_some()),
            service: service.clone(),
            metrics: options.metrics.clone(),
            ready: options.ready.clone(),
            open_metrics: listen.ip().is_loopback(),
            body_limit: options.body_limit,
            patience: options.patience,
        },
        Mcp::of_requests(service, mcp),
    );
    let tls = acceptor.is_some();
    let bounds = listen::Bounds {
        connections: options.connections,
        patience: options.patience,
        grace: options.grace,
    };
    let server = tokio::spawn(listen::accept(
        listener,
        acceptor,
        router,
        bounds,
        stop.clone(),
    ));
    Ok(Running {
        address,
        tls,
        stop,
        server: Some(server),
    })
}

impl Running {
    /// `http://127.0.0.1:8420`.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Takes no new connections, lets requests under way end, for as long as the options say, and then ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // A server that panicked has ended too.
            let _ = server.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
