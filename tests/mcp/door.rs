//! Who gets in: tokens, hosts, origins, sizes, TLS, and an end that loses nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick::approval::Principal;
use bailiwick::configuration::serving::ServeTls;
use bailiwick::serve::{self, ServeError};
use serde_json::{Value, json};

use crate::MAIL;
use crate::support::agents::{Agent, Desk, options, plain};
use crate::support::play::{Setup, write_private};

/// Status and error code of listing the tools.
fn knock(desk: &Desk, agent: &Agent) -> (u16, String) {
    let (status, text) = desk.play.block_on(agent.send("tools/list", json!({})));
    let code = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|json| json["error"]["code"].as_str().map(str::to_owned));
    (status, code.unwrap_or_default())
}

#[test]
fn only_good_tokens_get_in_and_failures_are_recorded() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    assert_eq!(knock(&desk, &agent).0, 200);
    let with = |token: &str| Agent::new(&desk.url(), token);
    // Wrong in the last place, of nobody, no token's form, another scheme.
    let mut wrong = agent.token.clone();
    let last = if wrong.ends_with('0') { "1" } else { "0" };
    wrong.replace_range(wrong.len() - 1.., last);
    assert_eq!(knock(&desk, &with(&wrong)), (401, "token_unknown".into()));
    let nobody = format!("bw_{}_{}", "0".repeat(16), "0".repeat(64));
    assert_eq!(knock(&desk, &with(&nobody)), (401, "token_unknown".into()));
    assert_eq!(knock(&desk, &with("x")), (401, "token_unknown".into()));
    let none = desk.play.block_on(async {
        let request = plain()
            .post(&agent.url)
            .json(&agent.body("tools/list", json!({})));
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.headers()["www-authenticate"],
            "Bearer realm=\"bailiwick\""
        );
        answer.status().as_u16()
    });
    assert_eq!(none, 401);
    // Expired, and revoked.
    desk.ahead.store(90 * 24 * 3600 + 1, Ordering::Relaxed);
    assert_eq!(knock(&desk, &agent), (401, "token_expired".into()));
    desk.ahead.store(0, Ordering::Relaxed);
    assert_eq!(knock(&desk, &agent).0, 200);
    let anna = Principal::person("anna").unwrap();
    desk.play
        .block_on(desk.service.revoke_agent("scout", &anna))
        .unwrap();
    assert_eq!(knock(&desk, &agent), (401, "token_revoked".into()));
    let failed: Vec<Value> = desk
        .play
        .ledger()
        .into_iter()
        .filter(|record| record["action"] == "login-failed")
        .collect();
    assert_eq!(failed.len(), 5, "{failed:?}");
    let text = Value::Array(failed).to_string();
    assert!(text.contains("agent:scout") && text.contains("expired") && text.contains("revoked"));
    // No secret, and no hash of one, is anywhere in the ledger.
    let all = desk.play.bailiwick(&["ledger", "export"]).ends(0).out;
    let secret = agent.token.rsplit('_').next().unwrap();
    assert!(!all.contains(secret) && !all.contains(&nobody));
    let state = std::fs::read(desk.play.path("state/bailiwick.db")).unwrap();
    assert!(
        !state
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    );
}

#[test]
fn a_flood_of_failures_is_bounded_and_the_good_still_pass() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    let bad = Agent::new(&desk.url(), "bw_nothing");
    let statuses: Vec<u16> = (0..60).map(|_| knock(&desk, &bad).0).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 50);
    assert_eq!(knock(&desk, &agent).0, 200);
    let failed = desk.play.ledger();
    let failed = failed
        .iter()
        .filter(|record| record["action"] == "login-failed");
    assert_eq!(failed.count(), 20);
}

#[test]
fn tokens_are_given_and_taken_by_known_people_only() {
    let desk = Desk::new();
    let play = &desk.play;
    play.bailiwick(&["agent", "add", "scout", "--as", "agent:scout"])
        .ends(3);
    play.bailiwick(&["agent", "add", "scout", "--as", "person:nobody"])
        .ends(3);
    play.bailiwick(&["agent", "add", "a b", "--as", "person:anna"])
        .ends(1);
    let added = play
        .json(&[
            "agent",
            "add",
            "scout",
            "--expires",
            "2h",
            "--as",
            "person:anna",
        ])
        .ends(0)
        .json();
    let token = added["token"].as_str().unwrap();
    let agent = Agent::new(&desk.url(), token);
    assert_eq!(knock(&desk, &agent).0, 200);
    let list = play.bailiwick(&["agent", "list"]).ends(0);
    assert!(
        list.out.contains("agent:scout") && list.out.contains("good"),
        "{}",
        list.out
    );
    let secret = token.rsplit('_').next().unwrap();
    assert!(!list.out.contains(secret));
    play.bailiwick(&["agent", "revoke", "scout", "--as", "agent:scout"])
        .ends(3);
    play.bailiwick(&["agent", "revoke", "scout", "--as", "person:anna"])
        .ends(0);
    assert_eq!(knock(&desk, &agent), (401, "token_revoked".into()));
    play.bailiwick(&["agent", "revoke", "scout", "--as", "person:anna"])
        .ends(1);
    let actions: Vec<Value> = play
        .ledger()
        .into_iter()
        .map(|record| record["action"].clone())
        .collect();
    assert!(actions.contains(&json!("agent-added")) && actions.contains(&json!("agent-revoked")));
}

#[test]
fn strange_hosts_and_origins_are_refused() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    let with = |name: &'static str, value: &str| {
        let request = agent
            .post()
            .header(name, value)
            .json(&agent.body("tools/list", json!({})));
        desk.play
            .block_on(async { request.send().await.unwrap().status().as_u16() })
    };
    let port = desk.running.as_ref().unwrap().address.port();
    assert_eq!(with("host", "evil.example"), 403);
    assert_eq!(with("host", &format!("evil.example:{port}")), 403);
    assert_eq!(with("host", &format!("localhost:{port}")), 200);
    assert_eq!(with("host", "localhost"), 200);
    assert_eq!(with("host", "localhost.evil.example"), 403);
    assert_eq!(with("host", &format!("localhost:{}", port ^ 1)), 403);
    assert_eq!(with("origin", "http://localhost"), 403);
    assert_eq!(with("origin", "http://evil.example"), 403);
    assert_eq!(with("origin", "null"), 403);
    assert_eq!(with("origin", &format!("http://127.0.0.1:{port}")), 200);
    // For every path, also those that need no token.
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let status = desk.play.block_on(async {
            let request = plain().get(format!("{}{path}", desk.url()));
            request
                .header("host", "evil.example")
                .send()
                .await
                .unwrap()
                .status()
        });
        assert_eq!(status, 403, "{path}");
    }
}

#[test]
fn bodies_are_bounded() {
    let mut options = options();
    options.body_limit = 4096;
    options.patience = Duration::from_millis(500);
    let desk = Desk::with(Setup::default(), options);
    let agent = desk.agent("scout");
    let documents = format!("# {}\n{MAIL}", "x".repeat(5000));
    let params = json!({ "name": "validate", "arguments": { "documents": documents } });
    let (status, text) = desk.play.block_on(agent.send("tools/call", params));
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("body_too_large"));
    // What is no JSON is told so, as JSON-RPC has it.
    let broken = desk.play.block_on(async {
        let request = agent.post().body("{\"jsonrpc\": \"2.0\", ");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    });
    assert_eq!(broken.0, 400);
    let error: serde_json::Value = serde_json::from_str(&broken.1).unwrap();
    assert_eq!(error["error"]["code"], -32700, "{error}");
    // What is JSON and no message that can be read is not called another type.
    let batch = r#"[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]"#;
    let endless = r#"{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"limit": 1e400}}"#;
    for body in [batch, endless] {
        let (status, text) = desk.play.block_on(async {
            let answer = agent.post().body(body).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        });
        assert_eq!(status, 400, "{text}");
        assert!(
            text.contains("invalid_request") && !text.contains("Content-Type"),
            "{text}"
        );
    }
    // Whatever else the transport refuses has the form of all refusals.
    let plain = desk.play.block_on(async {
        let request = agent.post().header("content-type", "text/plain").body("{}");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    });
    let error: serde_json::Value = serde_json::from_str(&plain.1).unwrap();
    assert!((400..500).contains(&plain.0), "{plain:?}");
    assert!(
        error["error"]["code"].is_string() && error["error"]["next"].is_string(),
        "{error}"
    );
    // Chunked, without a length.
    let stream = desk.play.block_on(async {
        let chunk = agent
            .body("tools/list", json!({ "filler": "y".repeat(5000) }))
            .to_string();
        let body = reqwest::Body::from(chunk);
        let request = agent
            .post()
            .header("transfer-encoding", "chunked")
            .body(body);
        request.send().await.map(|answer| answer.status().as_u16())
    });
    assert!(matches!(stream, Ok(413 | 400) | Err(_)), "{stream:?}");
    // A body that never comes.
    desk.play.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = desk.running.as_ref().unwrap().address;
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            agent.token
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 512];
        let read = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    });
    // A head that never ends.
    desk.play.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = desk.running.as_ref().unwrap().address;
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection
            .write_all(b"GET /healthz HTTP/1.1\r\nhost")
            .await
            .unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(!String::from_utf8_lossy(&rest).contains("200"));
    });
}

#[test]
fn health_readiness_and_metrics() {
    let mut options = options();
    options.metrics = Some(std::sync::Arc::new(|| {
        Box::pin(async { "up 1\n".to_owned() })
    }));
    options.ready = Some(std::sync::Arc::new(|| {
        Err("the loop has not begun".to_owned())
    }));
    let desk = Desk::with(Setup::default(), options);
    let get = |path: &str| {
        desk.play.block_on(async {
            let answer = plain()
                .get(format!("{}{path}", desk.url()))
                .send()
                .await
                .unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    };
    assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz"), (503, "the loop has not begun\n".to_owned()));
    assert_eq!(get("/metrics"), (200, "up 1\n".to_owned()));
    assert_eq!(get("/nothing").0, 404);
    assert_eq!(get("/mcp").0, 401);
}

#[test]
fn anything_but_loopback_needs_tls_and_a_key_of_ones_own() {
    let desk = Desk::new();
    let service = desk.service.clone();
    desk.play.block_on(async {
        let mut open = options();
        open.listen = "0.0.0.0:0".parse().unwrap();
        let refused = serve::start(service.clone(), open.clone())
            .await
            .unwrap_err();
        assert!(matches!(refused, ServeError::Plain { .. }), "{refused}");
        let certified =
            rcgen::generate_simple_self_signed(vec!["bailiwick.example".to_owned()]).unwrap();
        let (cert_file, key_file) = (desk.play.path("serve.crt"), desk.play.path("serve.key"));
        std::fs::write(&cert_file, certified.cert.pem()).unwrap();
        std::fs::write(&key_file, certified.signing_key.serialize_pem()).unwrap();
        open.tls = Some(ServeTls {
            cert_file,
            key_file: key_file.clone(),
        });
        open.listen = "127.0.0.1:0".parse().unwrap();
        open.hosts = ["bailiwick.example".to_owned()].into();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = serve::start(service.clone(), open.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(exposed.contains("chmod 600"), "{exposed}");
        write_private(&key_file, &certified.signing_key.serialize_pem());
        let running = serve::start(service, open).await.unwrap();
        assert!(running.url().starts_with("https://"));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .resolve("bailiwick.example", running.address)
            .build()
            .unwrap();
        let url = format!(
            "https://bailiwick.example:{}/healthz",
            running.address.port()
        );
        assert_eq!(client.get(url).send().await.unwrap().status(), 200);
        running.stop().await;
    });
}

#[test]
fn who_waits_is_answered_when_the_server_stops() {
    let mut desk = Desk::new();
    let agent = desk.agent("scout");
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let plan = submitted["plan"]["plan"].clone();
    let running = desk.running.take().unwrap();
    desk.play.block_on(async {
        let waiting = tokio::spawn({
            let agent = agent.clone();
            async move {
                agent
                    .call("wait_for_plan", json!({ "id": plan, "timeoutSeconds": 60 }))
                    .await
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        running.stop().await;
        let waited = waiting.await.unwrap().unwrap();
        assert_eq!(waited["state"], "waiting");
        assert_eq!(waited["reached"], false);
        assert_eq!(waited["open"], true);
    });
}
