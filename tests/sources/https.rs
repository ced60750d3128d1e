//! A repository over https, on loopback: who is believed, and what is told to whom.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bailiwick::sources::{Before, SourceError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::bench::{Bench, now, poll, pool, read, seen};

/// Serves the files of a bare repository, to those who bring the right header ("dumb" HTTP, `gitprotocol-http(5)`).
struct Server {
    url: String,
    certificate: String,
    asked: Arc<Mutex<Vec<String>>>,
}

const AUTHORIZATION: &str = "Authorization: Basic Ym90Omh1bnRlcjI=";

impl Server {
    async fn start(root: PathBuf) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key =
            rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, root, log) = (acceptor.clone(), root.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        answer(stream, &root, &log).await;
                    }
                });
            }
        });
        Self {
            url: format!("https://127.0.0.1:{port}/infra.git"),
            certificate: made.cert.pem(),
            asked,
        }
    }
}

async fn answer(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    root: &Path,
    log: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap();
    let path = target.split('?').next().unwrap();
    let file = path
        .strip_prefix("/infra.git/")
        .map(|path| std::fs::read(root.join(path)));
    let moved;
    let (status, more, body) = match file {
        _ if !head.contains(AUTHORIZATION) => (
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"x\"\r\n",
            vec![],
        ),
        _ if path.starts_with("/moved.git/") => {
            moved = format!(
                "Location: {}\r\n",
                target.replace("/moved.git/", "/infra.git/")
            );
            ("301 Moved Permanently", moved.as_str(), vec![])
        }
        Some(Ok(bytes)) => ("200 OK", "", bytes),
        Some(Err(_)) | None => ("404 Not Found", "", vec![]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

/// A bench that is served over https; `None`, with a notice, where git cannot speak it.
async fn served() -> Option<(Bench, Server)> {
    let mut bench = Bench::new();
    let programs = bench.run(&["--exec-path"]);
    if !Path::new(&programs).join("git-remote-https").exists() {
        eprintln!("NOTICE: this git has no git-remote-https; the test over https was skipped");
        return None;
    }
    bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    bench.there(&["update-server-info"]);
    let server = Server::start(bench.remote.clone()).await;
    bench.git.url = server.url.clone();
    let authority = bench.at("ca.pem");
    std::fs::write(&authority, &server.certificate).unwrap();
    bench.git.ca_file = Some(authority);
    let credentials = bench.at("credentials");
    std::fs::write(&credentials, "bot:hunter2\n").unwrap();
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.git.credentials_file = Some(credentials);
    Some((bench, server))
}

#[tokio::test]
async fn the_credentials_go_to_the_server_and_nowhere_else() {
    let Some((bench, server)) = served().await else {
        return;
    };
    let log = bench.at("log");
    let script = format!("echo \"$*\" >> '{}'\nexec \"$REAL\" \"$@\"", log.display());
    let source = bench.open_with(&bench.with_script(&script)).unwrap();
    let first = read(&source, &Before::default()).await;
    assert_eq!(first.documents().unwrap().len(), 1);
    assert!(poll(&source, &seen(&first.revision)).await.is_none());
    bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    bench.there(&["update-server-info"]);
    assert_eq!(read(&source, &seen(&first.revision)).await.texts.len(), 2);
    assert!(
        server
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|head| head.contains(AUTHORIZATION))
    );
    // Not in the arguments, and not in anything that is kept.
    let arguments = std::fs::read_to_string(log).unwrap();
    assert!(arguments.contains(&server.url));
    let kept = kept(&bench.at("state.git"));
    for secret in ["hunter2", "Ym90Omh1bnRlcjI"] {
        assert!(!arguments.contains(secret));
        assert!(
            !kept
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        );
    }
}

/// The bytes of all files of a folder.
fn kept(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(kept(&path));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

async fn failed(bench: &Bench) -> String {
    let error = bench
        .open()
        .poll(&BTreeMap::new(), now())
        .await
        .unwrap_err();
    assert!(matches!(error, SourceError::Git { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn wrong_credentials_are_refused_without_a_question_and_without_being_repeated() {
    let Some((mut bench, server)) = served().await else {
        return;
    };
    let file = bench.git.credentials_file.clone().unwrap();
    std::fs::write(&file, "bot:wrong-token").unwrap();
    let error = failed(&bench).await;
    assert!(!error.contains("wrong-token"), "{error}");
    bench.git.credentials_file = None;
    bench.git.url = server.url.replace("https://", "https://t0ken@");
    let error = failed(&bench).await;
    assert!(
        !error.contains("t0ken") && error.contains("127.0.0.1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_vouched_for_is_not_believed_and_told_nothing() {
    let Some((mut bench, server)) = served().await else {
        return;
    };
    bench.git.ca_file = None;
    let error = failed(&bench).await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(bench.at("other.pem"), other.cert.pem()).unwrap();
    bench.git.ca_file = Some(bench.at("other.pem"));
    failed(&bench).await;
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_address_that_leads_elsewhere_is_refused() {
    let Some((mut bench, server)) = served().await else {
        return;
    };
    bench.git.url = server.url.replace("infra.git", "moved.git");
    failed(&bench).await;
    let asked = server.asked.lock().unwrap();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|head| head.contains("/moved.git/")));
}
