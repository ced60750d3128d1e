//! The client: sends calls to a cluster by the rules Proxmox VE's server has. HTTP/1.1; forms with their length; parameters of a
//! DELETE in the query; idle connections let go before the server closes them; a fresh connection for every write; only reads
//! are ever repeated. It decides nothing about what to do with an answer.

mod door;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::Url;

use super::call::{ApiError, Call, CallRecord, Method, WriteAnswer, WriteError};
use super::token::ApiToken;
use super::trust::{Trust, TrustError};
use super::upid::Upid;

/// Where a cluster is and how it is trusted.
#[derive(Debug, Clone)]
pub struct ClusterEndpoints {
    /// The addresses of its nodes, `https://pve1.example:8006`; the first that answers is used.
    pub urls: Vec<Url>,
    /// Whom to believe.
    pub trust: Trust,
    /// The API token.
    pub token: ApiToken,
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a read may take in all.
    pub read_timeout: Duration,
    /// How long a write may take in all. Proxmox VE's own proxy gives up after 30 seconds.
    pub write_timeout: Duration,
    /// How many reads may be under way at one node at once. A node has three workers by default.
    pub reads_per_node: usize,
    /// How many requests a connection is used for at most; the server closes it after 100.
    pub requests_per_connection: usize,
    /// How many bytes an answer may have.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(40),
            write_timeout: Duration::from_secs(45),
            reads_per_node: 2,
            requests_per_connection: 80,
            answer_bytes: 64 << 20,
        }
    }
}

/// A hook that sees every attempt at a call.
pub type Recorder = Arc<dyn Fn(&CallRecord) + Send + Sync>;

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No address.
    #[error(
        "no address is given for the cluster; expected something like https://pve1.example:8006"
    )]
    NoEndpoint,
    /// An address that is not usable.
    #[error(
        "`{url}` is not the address of a Proxmox VE API; expected https://HOST:8006 without user, query or fragment"
    )]
    BadEndpoint {
        /// The address.
        url: String,
    },
    /// Trust cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The token cannot be sent in a header.
    #[error("the API token {id} has characters that cannot be sent")]
    Token {
        /// The token's id.
        id: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// A pool of connections for reads, replaced before any of its connections can have been used too often.
struct ReadPool {
    client: reqwest::Client,
    used: usize,
}

struct Endpoint {
    url: Url,
    shown: String,
    reads: Mutex<ReadPool>,
}

struct Inner {
    endpoints: Vec<Endpoint>,
    /// The endpoint that answered last.
    preferred: AtomicUsize,
    tls: rustls::ClientConfig,
    authorization: http::HeaderValue,
    token_id: String,
    limits: Limits,
    writes: reqwest::Client,
    nodes: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    recorder: Option<Recorder>,
}

/// A client of one cluster. Cheap to clone; clones share connections and limits.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<&str> = self
            .inner
            .endpoints
            .iter()
            .map(|e| e.shown.as_str())
            .collect();
        f.debug_struct("Client")
            .field("endpoints", &endpoints)
            .field("token", &self.inner.token_id)
            .finish_non_exhaustive()
    }
}

fn http_client(
    tls: &rustls::ClientConfig,
    limits: &Limits,
    idle: usize,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(limits.connect_timeout)
        // The server closes idle connections after five seconds; a request sent into that moment is lost.
        .pool_idle_timeout(Duration::from_millis(3500))
        .pool_max_idle_per_host(idle)
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Client {
    /// A client for these endpoints. Nothing is sent yet.
    pub fn new(endpoints: ClusterEndpoints, limits: Limits) -> Result<Self, ClientError> {
        Self::with_recorder(endpoints, limits, None)
    }

    /// A client whose every attempt at a call is shown to a hook.
    pub fn with_recorder(
        endpoints: ClusterEndpoints,
        limits: Limits,
        recorder: Option<Recorder>,
    ) -> Result<Self, ClientError> {
        let ClusterEndpoints { urls, trust, token } = endpoints;
        if urls.is_empty() {
            return Err(ClientError::NoEndpoint);
        }
        let tls = trust.client_config()?;
        let authorization = token.header().ok_or_else(|| ClientError::Token {
            id: token.id().to_owned(),
        })?;
        let mut seen = BTreeSet::new();
        let mut list = Vec::new();
        for url in urls {
            let usable = url.scheme() == "https"
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if !usable {
                return Err(ClientError::BadEndpoint {
                    url: url.to_string(),
                });
            }
            let shown = url.as_str().trim_end_matches('/').to_owned();
            if seen.insert(shown.clone()) {
                let client = http_client(&tls, &limits, limits.reads_per_node.max(1))
                    .map_err(ClientError::Http)?;
                let reads = Mutex::new(ReadPool { client, used: 0 });
                list.push(Endpoint { url, shown, reads });
            }
        }
        let writes = http_client(&tls, &limits, 0).map_err(ClientError::Http)?;
        Ok(Self {
            inner: Arc::new(Inner {
                endpoints: list,
                preferred: AtomicUsize::new(0),
                tls,
                authorization,
                token_id: token.id().to_owned(),
                limits,
                writes,
                nodes: Mutex::new(BTreeMap::new()),
                recorder,
            }),
        })
    }

    /// The id of the token in use, `user@realm!tokenid`.
    pub fn token_id(&self) -> &str {
        &self.inner.token_id
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// Reads, and gives the answer's `data` as a type.
    pub async fn get<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let shown = call.to_string();
        let answer = self.read(call).await?;
        serde_json::from_value(answer.data).map_err(|error| ApiError::BadAnswer {
            call: shown,
            why: error.to_string(),
        })
    }

    /// Reads, and gives the whole answer.
    pub async fn read(&self, call: Call) -> Result<Answer, ApiError> {
        self.read_as(call, send::judge).await
    }

    /// Reads, and gives the answer's body as it came: JSON of an object with `data`, if the answer is Proxmox VE's. For answers so
    /// long that who asks takes only a little of them.
    pub async fn read_body(&self, call: Call) -> Result<Vec<u8>, ApiError> {
        self.read_as(call, send::unread).await
    }

    async fn read_as<T>(&self, call: Call, judge: send::Judge<T>) -> Result<T, ApiError> {
        if call.method != Method::Get {
            return Err(ApiError::BadCall {
                call: call.to_string(),
                why: "only a GET reads".to_owned(),
            });
        }
        let permit = self.semaphore(call.node().unwrap_or_default());
        // A closed semaphore cannot be: nobody closes it. Without a permit the call would only be less polite.
        let _permit = permit.acquire_owned().await.ok();
        self.send_read(&call, judge).await
    }

    /// Reads the script of the API viewer, which describes the API of the host that answers. It is read without the token: anybody
    /// may.
    ///
    /// # Errors
    /// No endpoint serves it within 15 seconds, or it is longer than [`LARGEST_SCRIPT`](super::served::LARGEST_SCRIPT).
    pub async fn api_viewer(&self) -> Result<String, ApiError> {
        self.read_script().await
    }

    /// Writes once. It is never repeated, except at another endpoint when not even a connection came about.
    pub async fn write(&self, call: Call) -> Result<WriteAnswer, WriteError> {
        if call.method == Method::Get {
            return Err(WriteError::Refused(ApiError::BadCall {
                call: call.to_string(),
                why: "a GET does not write".to_owned(),
            }));
        }
        let answer = self.send_write(&call).await.map_err(WriteError::from)?;
        let upid = match answer.data.as_str() {
            Some(text) if text.starts_with("UPID:") => {
                Some(text.parse::<Upid>().map_err(|error| {
                    WriteError::Undetermined(ApiError::BadAnswer {
                        call: call.to_string(),
                        why: error.to_string(),
                    })
                })?)
            }
            Some(_) | None => None,
        };
        Ok(WriteAnswer {
            upid,
            data: answer.data,
        })
    }

    fn semaphore(&self, node: &str) -> Arc<Semaphore> {
        let mut nodes = self
            .inner
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let permits = self.inner.limits.reads_per_node.max(1);
        Arc::clone(
            nodes
                .entry(node.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(permits))),
        )
    }

    /// The endpoints, the one that answered last first.
    fn ordered(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.inner.preferred.load(Ordering::Relaxed);
        let count = self.inner.endpoints.len();
        self.inner
            .endpoints
            .iter()
            .enumerate()
            .cycle()
            .skip(first)
            .take(count)
    }
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The data.
    pub data: serde_json::Value,
    /// What stands beside it at the top: `total`, `changes`.
    pub extra: serde_json::Map<String, serde_json::Value>,
}
