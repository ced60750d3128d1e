//! A small TLS server for tests: answers with what a function says, writes down every request as it came over the wire, and can
//! drop a connection instead of answering.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use bailiwick::proxmox::{
    ApiToken, Client, ClusterEndpoints, Fingerprint, Limits, Recorder, Trust,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub head: String,
    pub body: String,
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What to answer with.
pub enum Reply {
    /// Status line without the version, content type, body.
    Text(String, &'static str, String),
    /// Close the connection without a word.
    Drop,
}

impl Reply {
    pub fn json(body: &str) -> Self {
        Self::Text(
            "200 OK".to_owned(),
            "application/json;charset=UTF-8",
            body.to_owned(),
        )
    }
    pub fn status(line: &str) -> Self {
        Self::Text(
            line.to_owned(),
            "application/json;charset=UTF-8",
            "{\"data\":null}".to_owned(),
        )
    }
}

pub struct Server {
    pub url: url::Url,
    pub fingerprint: Fingerprint,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub ca_pem: String,
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

impl Server {
    pub async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let handler: Handler = Arc::new(handler);
        let made = rcgen::generate_simple_self_signed(vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ])
        .unwrap();
        let der = made.cert.der().clone();
        let key =
            rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            let count = AtomicUsize::new(0);
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, handler, log) =
                    (acceptor.clone(), Arc::clone(&handler), Arc::clone(&log));
                let connection = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, connection, handler, log).await;
                    }
                });
            }
        });
        Self {
            url: format!("https://127.0.0.1:{port}/").parse().unwrap(),
            fingerprint: Fingerprint::of_certificate(&der),
            seen,
            ca_pem: made.cert.pem(),
        }
    }

    pub fn client(&self) -> Client {
        client(vec![self.url.clone()], vec![self.fingerprint], None)
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn client(urls: Vec<url::Url>, pins: Vec<Fingerprint>, recorder: Option<Recorder>) -> Client {
    let endpoints = ClusterEndpoints {
        urls,
        trust: Trust::Fingerprints(pins.into_iter().collect()),
        token: ApiToken::new("bot@pve!test=0000-secret", "in the test").unwrap(),
    };
    let limits = Limits {
        read_timeout: std::time::Duration::from_secs(2),
        write_timeout: std::time::Duration::from_secs(2),
        ..Limits::default()
    };
    Client::with_recorder(endpoints, limits, recorder).unwrap()
}

/// An address where nobody listens.
pub async fn dead_address() -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    format!("https://127.0.0.1:{port}").parse().unwrap()
}

async fn serve(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    connection: usize,
    handler: Handler,
    log: Arc<Mutex<Vec<Seen>>>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut words = head.split_whitespace();
        let mut seen = Seen {
            method: words.next().unwrap_or("").to_owned(),
            target: words.next().unwrap_or("").to_owned(),
            head,
            body: String::new(),
            connection,
        };
        let length: usize = seen
            .header("content-length")
            .map_or(0, |l| l.parse().unwrap());
        while buffer.len() < end + length {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            }
        }
        seen.body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
        buffer.drain(..end + length);
        log.lock().unwrap().push(seen.clone());
        match handler(&seen) {
            Reply::Drop => return,
            Reply::Text(status, kind, body) => {
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
            }
        }
    }
}
