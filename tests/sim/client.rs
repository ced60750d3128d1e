//! A small client for tests of the simulator: reqwest over real TLS, trusting exactly one fingerprint.

use std::sync::Arc;

use bailiwick::sim::{Options, Running};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The lab world.
pub const LAB: &str = include_str!("../../examples/worlds/lab.yaml");
/// Token, secret.
pub const CONTROLLER: (&str, &str) = (
    "bailiwick@pve!controller",
    "11111111-2222-4333-8444-555555555555",
);
pub const OBSERVER: (&str, &str) = (
    "bailiwick@pve!observer",
    "22222222-2222-4333-8444-555555555555",
);
pub const ROOT: (&str, &str) = (
    "root@pam!break-glass",
    "33333333-2222-4333-8444-555555555555",
);

#[derive(Debug)]
struct Pin(String, Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen: Vec<String> = Sha256::digest(certificate)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        if seen.join(":") == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("fingerprint".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.1.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.1.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// A simulator and a client for it.
pub struct Sim {
    pub running: Running,
    pub http: reqwest::Client,
    authorization: String,
}

/// What came back.
// Not every test that has this module looks at all of it.
#[allow(dead_code)]
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub content_type: String,
    pub text: String,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Reply {
    pub fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.body["data"]
    }

    pub fn error(&self, name: &str) -> &str {
        assert_eq!(self.status, 400, "{self:?}");
        self.body["errors"][name]
            .as_str()
            .unwrap_or_else(|| panic!("no complaint about {name}: {self:?}"))
    }
}

/// An HTTPS client that trusts this fingerprint.
pub fn client(fingerprint: &str) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pin = Arc::new(Pin(fingerprint.to_owned(), provider.clone()));
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .build()
        .unwrap()
}

impl Sim {
    /// The lab, with secrets for its tokens, as the controller.
    pub async fn lab() -> Self {
        Self::start(LAB, 500.0).await
    }

    pub async fn start(world: &str, scale: f64) -> Self {
        let mut options = Options::new(world);
        options.scale = scale;
        for (id, secret) in [CONTROLLER, OBSERVER, ROOT] {
            options.secrets.insert(id.into(), secret.into());
        }
        let running = bailiwick::sim::start(options).await.unwrap();
        let http = client(running.fingerprint());
        let mut sim = Self {
            running,
            http,
            authorization: String::new(),
        };
        sim.become_token(CONTROLLER);
        sim
    }

    /// A client of a simulator that was started elsewhere.
    #[allow(dead_code)]
    pub fn over(running: Running) -> Self {
        let http = client(running.fingerprint());
        Self {
            running,
            http,
            authorization: String::new(),
        }
    }

    pub fn become_token(&mut self, (id, secret): (&str, &str)) {
        self.authorization = format!("PVEAPIToken={id}={secret}");
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}/api2/json{path}", self.running.url());
        self.http
            .request(method, url)
            .header("authorization", &self.authorization)
    }

    pub async fn call(&self, method: &str, path: &str, params: &[(&str, &str)]) -> Reply {
        let request = self.request(method, path);
        let request = match method {
            "GET" | "DELETE" => request.query(params),
            _ => request.form(params),
        };
        reply(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[]).await
    }

    /// Waits for a task and answers its exit status.
    pub async fn task(&self, reply: &Reply) -> String {
        let upid = reply
            .data()
            .as_str()
            .unwrap_or_else(|| panic!("no task: {reply:?}"))
            .to_owned();
        let node = upid.split(':').nth(1).unwrap().to_owned();
        let path = format!(
            "/nodes/{node}/tasks/{}/status",
            upid.replace(':', "%3A")
                .replace('@', "%40")
                .replace('!', "%21")
        );
        for _ in 0..500 {
            let status = self.get(&path).await;
            if status.data()["status"] == "stopped" {
                return status.data()["exitstatus"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("task {upid} does not end");
    }
}

pub async fn reply(response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map_or_else(String::new, |reason| {
        String::from_utf8_lossy(reason.as_bytes()).into_owned()
    });
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map_or_else(String::new, |value| {
        value.to_str().unwrap_or_default().to_owned()
    });
    let text = response.text().await.unwrap();
    Reply {
        status,
        reason,
        content_type,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}

/// A bare TLS connection, for what an HTTP client would not send.
pub async fn tls(
    address: std::net::SocketAddr,
    fingerprint: &str,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pin = Arc::new(Pin(fingerprint.to_owned(), provider.clone()));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}
