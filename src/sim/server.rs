//! The TLS server: accepts connections, hands requests to the cluster under its one lock, keeps the request log.
//!
//! Besides the API it serves `/sim/…` for tests in other processes, to callers who send the header `X-Sim-Control` with
//! the secret that [`Running::control`] gives: `POST /sim/faults` (body: one fault a line; an empty body forgets all),
//! `POST /sim/advance?seconds=N`, `GET /sim/log`, `GET /sim/files`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::call::{ApiError, Auth, Call, Method};
use super::door::{Door, Ends, Listening, Open};
use super::faults::{Fault, Moment, Span, What};
use super::http as wire;
use super::log::{Entry, Log, redacted};
use super::router::{self, Access, Router};
use super::state::Cluster;
use super::tls;
use super::viewer;
use super::worldfile::{self, WorldError};

/// pveproxy closes a connection after so many requests.
const REQUESTS_PER_CONNECTION: u32 = 100;
/// pveproxy closes a connection that is idle for so long.
const IDLE: Duration = Duration::from_secs(5);
/// A refused ticket is answered so many (simulated) seconds late.
const PENALTY: f64 = 3.0;

/// How to run a simulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// The world file's text (see [`worldfile`]).
    pub world: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Secrets by full token id, besides those of the world.
    pub secrets: BTreeMap<String, String>,
    /// Faults from the start (see [`super::faults`]).
    pub faults: Vec<Fault>,
    /// Simulated seconds in a real one; see [`Options::DEFAULT_SCALE`].
    pub scale: f64,
    /// A file to which each request is written as a line of JSON.
    pub log: Option<std::path::PathBuf>,
}

impl Options {
    /// A simulated second takes 20 ms.
    pub const DEFAULT_SCALE: f64 = 50.0;

    /// A world on a free loopback port, at the default time scale.
    pub fn new(world: impl Into<String>) -> Self {
        Self {
            world: world.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secrets: BTreeMap::new(),
            faults: vec![],
            scale: Self::DEFAULT_SCALE,
            log: None,
        }
    }
}

/// Why the simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The world file is wrong.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The address cannot be used, or the log not written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
}

struct Shared {
    door: Arc<Door>,
    cluster: Mutex<Cluster>,
    router: Router,
    log: Mutex<Log>,
    control: String,
}

/// A running simulator; it stops when dropped or told to.
pub struct Running {
    url: String,
    nodes: BTreeMap<String, String>,
    address: SocketAddr,
    fingerprint: String,
    shared: Arc<Shared>,
    stop: CancellationToken,
    server: Option<tokio::task::JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a simulator.
///
/// # Errors
/// The world does not read, or the address or log file cannot be used.
pub async fn start(options: Options) -> Result<Running, SimError> {
    let Options {
        world,
        listen,
        secrets,
        faults,
        scale,
        log,
    } = options;
    let mut cluster = worldfile::read(&world, scale)?;
    cluster.secrets.extend(secrets);
    for fault in faults {
        cluster.tell(fault);
    }
    let io = |what: String| move |source| SimError::Io { what, source };
    let file = log
        .map(|path| {
            std::fs::File::create(&path)
                .map_err(io(format!("cannot write the log {}", path.display())))
        })
        .transpose()?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(io(format!("cannot listen on {listen}")))?;
    let address = listener
        .local_addr()
        .map_err(io("cannot read the address".into()))?;
    let (acceptor, fingerprint) =
        tls::acceptor(&cluster, address).map_err(SimError::Certificate)?;
    cluster.fingerprint.clone_from(&fingerprint);
    let door = Arc::new(Door::default());
    let listening = Listening::new(door.clone(), address, listener);
    let shared = Arc::new(Shared {
        door,
        cluster: Mutex::new(cluster),
        router: Router::new(super::routes()),
        log: Mutex::new(Log {
            entries: vec![],
            file,
        }),
        control: uuid::Uuid::new_v4().to_string(),
    });
    let stop = CancellationToken::new();
    let names: Vec<String> = lock(&shared.cluster).nodes.keys().cloned().collect();
    let mut nodes = BTreeMap::new();
    for name in names {
        let own = TcpListener::bind((address.ip(), 0)).await;
        let own = own.map_err(io(format!("cannot listen for node {name}")))?;
        let at = own
            .local_addr()
            .map_err(io("cannot read the address".into()))?;
        tokio::spawn(at_node(
            (name.clone(), own),
            acceptor.clone(),
            shared.clone(),
            stop.clone(),
        ));
        nodes.insert(name, format!("https://{at}"));
    }
    let server = tokio::spawn(accept(
        listening,
        acceptor,
        address,
        shared.clone(),
        stop.clone(),
    ));
    let url = format!("https://{address}");
    Ok(Running {
        url,
        nodes,
        address,
        fingerprint,
        shared,
        stop,
        server: Some(server),
    })
}

async fn accept(
    mut listening: Listening,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let mut strange: Option<TlsAcceptor> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, open, ends) = listening.next() => {
                let _ = stream.set_nodelay(true);
                if open == Open::Stranger && strange.is_none() {
                    strange = tls::acceptor(&lock(&shared.cluster), address).ok().map(|(made, _)| made);
                }
                let acceptor = match (&strange, open) {
                    (Some(strange), Open::Stranger) => strange.clone(),
                    _ => acceptor.clone(),
                };
                let (shared, stop) = (shared.clone(), stop.clone());
                connections.spawn(async move {
                    let cut = ends.cut.clone();
                    let served = async {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            connection(TokioIo::new(stream), shared, stop, ends).await;
                        }
                    };
                    tokio::select! {
                        () = served => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
        }
    }
    drop(listening);
    let patience = tokio::time::sleep(Duration::from_millis(500));
    tokio::pin!(patience);
    while !connections.is_empty() {
        tokio::select! {
            () = &mut patience => break,
            _ = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

/// Takes connections at a node's own address, as long as it lets somebody in.
async fn at_node(
    (name, listener): (String, TcpListener),
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Ok((stream, _)) = listener.accept() => {
                let lets_in = {
                    let mut cluster = lock(&shared.cluster);
                    cluster.tick();
                    cluster.lets_in(&name)
                };
                if lets_in {
                    let (acceptor, shared, stop) = (acceptor.clone(), shared.clone(), stop.clone());
                    connections.spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            connection(TokioIo::new(stream), shared, stop, Ends::default()).await;
                        }
                    });
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn connection<S>(stream: TokioIo<S>, shared: Arc<Shared>, stop: CancellationToken, ends: Ends)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let served = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shared, served) = (shared.clone(), served.clone());
        async move {
            let count = served.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let mut response = shared.answer(request).await?;
            if count >= REQUESTS_PER_CONNECTION {
                response.headers_mut().insert(
                    http::header::CONNECTION,
                    http::HeaderValue::from_static("close"),
                );
            }
            Ok::<_, Dropped>(response)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .keep_alive(true);
    let connection = builder.serve_connection(stream, service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = ends.leave.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection dropped on request")]
struct Dropped;

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
        let (head, body) = request.into_parts();
        if let Some(rest) = head.uri.path().strip_prefix("/sim/") {
            let allowed = head
                .headers
                .get("x-sim-control")
                .is_some_and(|value| value == self.control.as_str());
            let query = head.uri.query().unwrap_or("").to_owned();
            let rest = format!("{} {rest}", head.method);
            let body = read(body).await.unwrap_or_default();
            return Ok(if allowed {
                self.control(&rest, &query, &body)
            } else {
                wire::finish(403, "no control", None)
            });
        }
        if head.method == http::Method::GET && head.uri.path() == viewer::PATH {
            return Ok(self.viewer());
        }
        let Some((formatter, segments)) = wire::split_path(head.uri.path()) else {
            return Ok(wire::finish(
                404,
                &format!("no such file '{}'", head.uri.path()),
                None,
            ));
        };
        let mut entry = Entry {
            n: 0,
            method: head.method.to_string(),
            path: format!("/{}", segments.join("/")),
            params: BTreeMap::new(),
            user: String::new(),
            status: 0,
            message: String::new(),
        };
        let outcome = self.perform(&head, body, &segments, &mut entry).await;
        let (answer, extra, millis) = match outcome {
            Ok(outcome) => outcome,
            Err(Dropped) => {
                self.note(entry);
                return Err(Dropped);
            }
        };
        entry.status = answer.as_ref().map_or_else(|error| error.status, |_| 200);
        entry.message = answer
            .as_ref()
            .err()
            .map(|error| error.message.clone())
            .unwrap_or_default();
        let penalty = if entry.status == 401 {
            lock(&self.cluster).clock.real(PENALTY)
        } else {
            Duration::ZERO
        };
        self.note(entry);
        let wait = penalty + Duration::from_millis(millis);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(wire::respond(formatter, answer, extra))
    }

    /// Everything up to the answer: `answer`, what stands beside it, and milliseconds to wait.
    async fn perform(
        &self,
        head: &http::request::Parts,
        body: Incoming,
        segments: &[String],
        entry: &mut Entry,
    ) -> Result<
        (
            super::call::Answer,
            BTreeMap<String, serde_json::Value>,
            u64,
        ),
        Dropped,
    > {
        let refused = |error: ApiError| Ok((Err(error), BTreeMap::new(), 0));
        let Some(method) = Method::parse(head.method.as_str()) else {
            return refused(ApiError {
                bare: true,
                ..ApiError::new(501, format!("method '{}' not available", head.method))
            });
        };
        if let Err(error) = wire::check_transfer(&head.headers) {
            return refused(error);
        }
        let found = self.router.find(method, segments);
        let open = found
            .as_ref()
            .is_some_and(|(route, _)| matches!(route.access, Access::World));
        let identified = lock(&self.cluster).identify(&wire::credentials(&head.headers), method);
        let auth = match identified {
            _ if open => Auth::nobody(),
            Ok(Some(auth)) => auth,
            Ok(None) => return refused(ApiError::unauthorized("No ticket")),
            Err(error) => return refused(error),
        };
        entry.user.clone_from(&auth.id);
        if let Err(error) = wire::check_content(method, &head.headers) {
            return refused(error);
        }
        let Some(body) = read(body).await else {
            return refused(ApiError {
                bare: true,
                ..ApiError::new(501, "for data too large")
            });
        };
        let params = match wire::parameters(head.uri.query(), &head.headers, &body) {
            Ok(params) => params,
            Err(error) => return refused(error),
        };
        entry.params = redacted(&params);
        let (millis, what) = lock(&self.cluster)
            .faults
            .request(method, &entry.path, &auth.id);
        let node = segments
            .get(1)
            .filter(|_| segments.first().is_some_and(|first| first == "nodes"));
        let instead = match what {
            Some(What::DropBefore) => return Err(Dropped),
            Some(What::Restart(Moment::Before, span)) => {
                self.close(Open::No, true, span);
                return Err(Dropped);
            }
            Some(What::Status(code, text)) => {
                return Ok((Err(told(code, text)), BTreeMap::new(), millis));
            }
            Some(What::Quorum(Moment::Before, span)) => {
                lock(&self.cluster).lose_quorum(span);
                None
            }
            Some(What::Offline(Moment::Before, span)) => {
                if let Some(node) = node {
                    lock(&self.cluster).cut_off(node, span);
                }
                None
            }
            other => other,
        };
        let Some((route, variables)) = found else {
            let text = format!("Method '{} {}' not implemented", method.name(), entry.path);
            return refused(ApiError::new(501, text));
        };
        let call = Call {
            method,
            path: entry.path.clone(),
            auth,
            params,
        };
        let (answer, extra) = {
            let mut cluster = lock(&self.cluster);
            cluster.tick();
            cluster.extra.clear();
            let answer = router::run(&mut cluster, &route, variables, call);
            (answer, std::mem::take(&mut cluster.extra))
        };
        match instead {
            Some(What::DropAfter) => return Err(Dropped),
            Some(What::Restart(_, span)) => {
                self.close(Open::No, true, span);
                return Err(Dropped);
            }
            Some(What::After(code, text)) => {
                return Ok((Err(told(code, text)), BTreeMap::new(), millis));
            }
            Some(What::Refuse(span)) => self.close(Open::No, false, span),
            Some(What::Certificate(span)) => self.close(Open::Stranger, false, span),
            Some(What::Quorum(_, span)) => lock(&self.cluster).lose_quorum(span),
            Some(What::Shut(node, span)) => lock(&self.cluster).shut(&node, span),
            Some(What::Offline(_, span)) => {
                if let Some(node) = node {
                    lock(&self.cluster).cut_off(node, span);
                }
            }
            Some(
                What::Latency(_)
                | What::Status(..)
                | What::DropBefore
                | What::Task(_)
                | What::Warn(_)
                | What::Killed(_)
                | What::Lock { .. },
            )
            | None => {}
        }
        Ok((answer, extra, millis))
    }

    /// Changes how the door stands for so many simulated seconds.
    fn close(&self, open: Open, at_once: bool, span: Span) {
        let time = span.map(|seconds| lock(&self.cluster).clock.real(seconds));
        self.door.set_for(open, at_once, time);
    }

    /// Forgets every fault, and ends those that last.
    fn forget_faults(&self) {
        lock(&self.cluster).forget_faults();
        if self.door.enter().0 != Open::Yes {
            self.door.set(Open::Yes, false);
        }
    }

    /// The API viewer's script, served to anybody.
    fn viewer(&self) -> Response<Full<Bytes>> {
        let edition = lock(&self.cluster).edition.clone();
        self.note(Entry {
            n: 0,
            method: "GET".into(),
            path: viewer::PATH.into(),
            params: BTreeMap::new(),
            user: String::new(),
            status: if edition.viewer { 200 } else { 404 },
            message: String::new(),
        });
        if !edition.viewer {
            return wire::finish(404, &format!("no such file '{}'", viewer::PATH), None);
        }
        let mut response = wire::finish(200, "OK", None);
        *response.body_mut() = Full::new(Bytes::from(edition.script()));
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/javascript"),
        );
        response
    }

    fn note(&self, entry: Entry) {
        lock(&self.log).add(entry);
    }

    fn control(&self, what: &str, query: &str, body: &Bytes) -> Response<Full<Bytes>> {
        match what {
            "POST faults" => {
                let text = String::from_utf8_lossy(body);
                let parsed: Result<Vec<Fault>, String> = text
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(Fault::parse)
                    .collect();
                match parsed {
                    Err(problem) => wire::finish(400, &problem, None),
                    Ok(faults) => {
                        if faults.is_empty() {
                            self.forget_faults();
                        }
                        let mut cluster = lock(&self.cluster);
                        faults.into_iter().for_each(|fault| cluster.tell(fault));
                        wire::finish(200, "OK", Some(json!({ "left": cluster.faults.left() })))
                    }
                }
            }
            "POST advance" => {
                let seconds = query
                    .strip_prefix("seconds=")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0.0);
                let mut cluster = lock(&self.cluster);
                cluster.clock.advance(seconds);
                cluster.tick();
                wire::finish(
                    200,
                    "OK",
                    Some(json!({ "elapsed": cluster.clock.elapsed() })),
                )
            }
            "GET log" => wire::finish(200, "OK", Some(json!(lock(&self.log).entries))),
            "GET files" => wire::finish(200, "OK", Some(json!(lock(&self.cluster).files.all()))),
            _ => wire::finish(404, "no such control", None),
        }
    }
}

/// An error that a fault tells instead of an answer.
fn told(code: u16, text: String) -> ApiError {
    ApiError {
        bare: code >= 595 || code == 401,
        ..ApiError::new(code, text)
    }
}

async fn read(body: Incoming) -> Option<Bytes> {
    let limited = Limited::new(
        body,
        usize::try_from(wire::LARGEST_BODY).unwrap_or(usize::MAX),
    );
    limited
        .collect()
        .await
        .ok()
        .map(http_body_util::Collected::to_bytes)
}

impl Running {
    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where each node listens for itself: `https://127.0.0.1:PORT`. It is the same API; only here it shows whether a node is in reach, and
    /// what a fault says of its firewall.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<String, String> {
        &self.nodes
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate's SHA-256 as `AA:BB:…`, as Proxmox VE shows it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The secret for the header `X-Sim-Control`.
    #[must_use]
    pub fn control(&self) -> &str {
        &self.shared.control
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        lock(&self.shared.log).entries.clone()
    }

    /// How many requests there were so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        lock(&self.shared.log).entries.len()
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        lock(&self.shared.cluster).tell(fault);
    }

    /// Forgets all faults, and ends those that last.
    pub fn clear_faults(&self) {
        self.shared.forget_faults();
    }

    /// What this user or token did, and how often: `PUT /storage/nfs`, `qmcreate 9000 on pve1`. Calls that were refused and tasks
    /// that failed did nothing; whether an answer arrived makes no difference.
    #[must_use]
    pub fn effects(&self, who: &str) -> BTreeMap<String, u32> {
        let mut cluster = lock(&self.shared.cluster);
        cluster.tick();
        cluster.effects.get(who).cloned().unwrap_or_default()
    }

    /// Skips simulated time; tasks that become due end.
    pub fn advance(&self, seconds: f64) {
        let mut cluster = lock(&self.shared.cluster);
        cluster.clock.advance(seconds);
        cluster.tick();
    }

    /// Looks at or changes the cluster behind the API's back, as someone on a node's shell does.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = lock(&self.shared.cluster);
        cluster.tick();
        work(&mut cluster)
    }

    /// Stops: no new connections, running requests are answered.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }

    /// Waits until the server ends, which it does when told to [`Running::stop`].
    pub async fn wait(mut self) {
        if let Some(server) = self.server.take() {
            let _ = server.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
