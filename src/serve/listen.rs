//! Accepting connections, a bounded number of them, over TLS or plain, and ending them well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The longest head of a request, in bytes.
const HEAD: usize = 32 * 1024;
/// The most headers of a request.
const HEADERS: usize = 64;
/// How long to wait after the system could not accept (no more descriptors).
const BREATH: Duration = Duration::from_millis(100);

/// How much, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most connections at once.
    pub connections: usize,
    /// How long a handshake and a head may take, and a connection may be idle.
    pub patience: Duration,
    /// How long requests under way may take once it is told to stop.
    pub grace: Duration,
}

/// Who a connection is between; every request of it carries this.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The address it came in at.
    pub local: SocketAddr,
    /// The address it came from.
    pub peer: SocketAddr,
}

/// Accepts until it is told to stop, then lets what is under way end.
pub async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
        connections.spawn(async move {
            serve(stream, peer, acceptor, router, bounds, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(bounds.grace, ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    Some((stream, peer, place))
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Only delays are at stake.
    let _ = stream.set_nodelay(true);
    let ends = Ends { local, peer };
    match acceptor {
        None => talk(stream, ends, router, bounds, stop).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(bounds.patience, acceptor.accept(stream)).await {
                talk(stream, ends, router, bounds, stop).await;
            }
        }
    }
}

async fn talk<S>(stream: S, ends: Ends, router: Router, bounds: Bounds, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(ends)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.patience)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .keep_alive(true);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // However it ended, there is nobody left to tell.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
