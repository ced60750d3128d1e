//! The client over a real TLS connection: what it sends, what it repeats, whom it trusts, and what it makes of strange answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "proxmox_client/server.rs"]
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::ids::NodeName;
use bailiwick::proxmox::tasks::TaskQuery;
use bailiwick::proxmox::{
    ApiError, ApiToken, Call, Client, ClusterEndpoints, ErrorClass, Limits, TaskOutcome, Trust,
    WriteError,
};
use serde_json::Value;
use server::{Reply, Server, client, dead_address};

const UPID: &str = "UPID:pve1:0000C530:001C9BEC:69151F5C:qmstart:100:bot@pve!test:";

#[tokio::test]
async fn reads_with_its_token_and_keeps_the_connection() {
    let server = Server::start(|_| Reply::json(r#"{"data":{"version":"9.1.8"},"total":3}"#)).await;
    let client = server.client();
    for _ in 0..3 {
        let answer = client
            .read(Call::get(["version"]).param("full", "1"))
            .await
            .unwrap();
        assert_eq!(answer.data["version"], "9.1.8");
        assert_eq!(answer.extra["total"], 3);
    }
    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].target, "/api2/json/version?full=1");
    assert_eq!(
        seen[0].header("authorization"),
        Some("PVEAPIToken=bot@pve!test=0000-secret")
    );
    assert!(seen.iter().all(|s| s.connection == 0 && s.body.is_empty()));
}

#[tokio::test]
async fn a_connection_is_used_for_eighty_requests_at_most() {
    let server = Server::start(|_| Reply::json(r#"{"data":1}"#)).await;
    let client = server.client();
    for _ in 0..170 {
        client.get::<u32>(Call::get(["version"])).await.unwrap();
    }
    let seen = server.requests();
    for connection in 0..3 {
        assert!(seen.iter().filter(|s| s.connection == connection).count() <= 80);
    }
    assert_eq!(seen.iter().map(|s| s.connection).max(), Some(2));
}

#[tokio::test]
async fn writes_are_forms_with_a_length_on_fresh_connections() {
    let server = Server::start(|_| Reply::json(&format!(r#"{{"data":"{UPID}"}}"#))).await;
    let client = server.client();
    let post = Call::post(["nodes", "pve1", "qemu", "100", "status", "start"]);
    let answer = client.write(post).await.unwrap();
    assert_eq!(answer.upid.unwrap().id, "100");
    let put = Call::put(["storage", "local"])
        .param("content", "images,iso")
        .param("comment", "a b&c=ü");
    client.write(put).await.unwrap();
    let delete = Call::delete([
        "nodes",
        "pve1",
        "storage",
        "local",
        "content",
        "local:iso/a.iso",
    ])
    .param("delay", "1");
    client.write(delete).await.unwrap();
    let seen = server.requests();
    assert_eq!(
        seen.iter().map(|s| s.method.as_str()).collect::<Vec<_>>(),
        ["POST", "PUT", "DELETE"]
    );
    assert_eq!(seen[0].header("content-length"), Some("0"));
    assert_eq!(
        seen[1].header("content-length"),
        Some(seen[1].body.len().to_string().as_str())
    );
    assert_eq!(
        seen[1].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(
        seen[1].body,
        "content=images%2Ciso&comment=a+b%26c%3D%C3%BC"
    );
    assert_eq!(
        seen[2].target,
        "/api2/json/nodes/pve1/storage/local/content/local:iso%2Fa.iso?delay=1"
    );
    assert_eq!(seen[2].header("content-length"), None);
    assert_eq!(seen[2].header("content-type"), None);
    assert!(seen.iter().all(|s| s.header("transfer-encoding").is_none()));
    assert_eq!(
        seen.iter().map(|s| s.connection).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[tokio::test]
async fn a_wrong_fingerprint_is_one_clear_error_and_nothing_is_sent() {
    let server = Server::start(|_| Reply::json(r#"{"data":1}"#)).await;
    let other = bailiwick::proxmox::Fingerprint::of_certificate(b"another");
    let client = client(vec![server.url.clone()], vec![other], None);
    let error = client
        .get::<Value>(Call::get(["version"]))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            ApiError::Untrusted {
                mismatch: Some(_),
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains(&other.to_string()) && text.contains(&server.fingerprint.to_string()),
        "{text}"
    );
    let error = client.write(Call::post(["pools"])).await.unwrap_err();
    assert!(matches!(
        error,
        WriteError::Refused(ApiError::Untrusted { .. })
    ));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_ca_file_is_checked_with_names_and_strangers_are_refused() {
    let server = Server::start(|_| Reply::json(r#"{"data":1}"#)).await;
    let stranger = Server::start(|_| Reply::json(r#"{"data":1}"#)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &server.ca_pem).unwrap();
    let with = |url: &url::Url| {
        let token = ApiToken::new("a@pve!b=c", "in the test").unwrap();
        let endpoints = ClusterEndpoints {
            urls: vec![url.clone()],
            trust: Trust::CaFile(path.clone()),
            token,
        };
        Client::new(endpoints, Limits::default()).unwrap()
    };
    assert_eq!(
        with(&server.url)
            .get::<u32>(Call::get(["version"]))
            .await
            .unwrap(),
        1
    );
    let error = with(&stranger.url)
        .get::<u32>(Call::get(["version"]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ApiError::Untrusted { mismatch: None, .. }),
        "{error}"
    );
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn a_web_page_is_not_a_proxmox_api() {
    let server = Server::start(|seen| match seen.target.as_str() {
        "/api2/json/page" => Reply::Text(
            "200 OK".into(),
            "text/html",
            "<!DOCTYPE html><html>Login</html>".into(),
        ),
        "/api2/json/moved" => Reply::Text("302 Found".into(), "text/html", String::new()),
        "/api2/json/missing" => Reply::Text(
            "404 Not Found".into(),
            "text/html",
            "<html>nginx</html>".into(),
        ),
        _ => Reply::json("[1,2]"),
    })
    .await;
    let client = server.client();
    for path in ["page", "moved", "missing", "list"] {
        let error = client.get::<Value>(Call::get([path])).await.unwrap_err();
        assert!(
            matches!(error, ApiError::NotProxmox { .. }),
            "{path}: {error}"
        );
        assert!(
            error.to_string().contains("this is not a Proxmox VE API"),
            "{error}"
        );
    }
    assert_eq!(
        server.requests().len(),
        4,
        "no answer is a reason to ask again"
    );
}

#[tokio::test]
async fn the_reason_phrase_tells_where_the_body_does_not() {
    let server = Server::start(|_| Reply::status("500 VM is locked (backup)")).await;
    let error = server.client().write(Call::post(["x"])).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused(_)));
    assert_eq!(
        error.class(),
        ErrorClass::Locked {
            lock: "backup".into()
        }
    );
    assert_eq!(error.to_string(), "POST /x: VM is locked (backup)");
}

#[tokio::test]
async fn a_lost_proxy_leaves_a_write_undetermined() {
    let server = Server::start(|_| Reply::status("595 Connection timed out")).await;
    let error = server.client().write(Call::post(["x"])).await.unwrap_err();
    assert!(matches!(error, WriteError::Undetermined(_)), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn reads_are_repeated_once_and_writes_never() {
    let server = Server::start(|_| Reply::Drop).await;
    let client = server.client();
    let error = client
        .get::<Value>(Call::get(["version"]))
        .await
        .unwrap_err();
    assert!(matches!(error, ApiError::Lost { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
    for call in [Call::post(["x"]), Call::put(["x"]), Call::delete(["x"])] {
        let before = server.requests().len();
        let error = client.write(call).await.unwrap_err();
        assert!(
            matches!(error, WriteError::Undetermined(ApiError::Lost { .. })),
            "{error}"
        );
        assert_eq!(server.requests().len(), before + 1);
    }
}

#[tokio::test]
async fn a_read_survives_one_dropped_connection() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            Reply::Drop
        } else {
            Reply::json(r#"{"data":7}"#)
        }
    })
    .await;
    assert_eq!(
        server
            .client()
            .get::<u32>(Call::get(["version"]))
            .await
            .unwrap(),
        7
    );
}

#[tokio::test]
async fn another_endpoint_answers_when_one_is_dead() {
    let server = Server::start(|_| Reply::json(r#"{"data":null}"#)).await;
    let dead = dead_address().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let records = Arc::clone(&log);
    let recorder: bailiwick::proxmox::Recorder = Arc::new(move |record| {
        records
            .lock()
            .unwrap()
            .push((record.call.to_string(), record.outcome, record.attempt));
    });
    let client = client(
        vec![dead.clone(), server.url.clone()],
        vec![server.fingerprint],
        Some(recorder),
    );
    // Nothing was sent to the dead one, so that even a write may go on to the next.
    client.write(Call::post(["x"])).await.unwrap();
    client.get::<Value>(Call::get(["version"])).await.unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        [
            ("POST /x".to_owned(), "unreachable", 1),
            ("POST /x".to_owned(), "ok", 2),
            // The one that answered is asked first from then on.
            ("GET /version".to_owned(), "ok", 1),
        ]
    );
    let error = server::client(vec![dead], vec![server.fingerprint], None)
        .write(Call::post(["x"]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, WriteError::Refused(ApiError::Unreachable { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("nothing was sent"));
}

#[tokio::test]
async fn a_call_cannot_leave_its_path() {
    let server = Server::start(|_| Reply::json(r#"{"data":1}"#)).await;
    for part in ["..", "."] {
        let error = server
            .client()
            .write(Call::delete(["storage", part]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, WriteError::Refused(ApiError::BadCall { .. })),
            "{error}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn only_two_reads_of_a_node_are_under_way_at_once() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (n, m) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_| {
        let current = n.fetch_add(1, Ordering::SeqCst) + 1;
        m.fetch_max(current, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        n.fetch_sub(1, Ordering::SeqCst);
        Reply::json(r#"{"data":1}"#)
    })
    .await;
    let client = server.client();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let client = client.clone();
        set.spawn(async move {
            client
                .get::<u32>(Call::get(["nodes", "pve1", "status"]))
                .await
                .unwrap()
        });
    }
    set.join_all().await;
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn tasks_are_waited_for_and_found() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        if seen.target.contains("/status") {
            assert!(
                seen.target
                    .contains("UPID:pve1:0000C530:001C9BEC:69151F5C:qmstart:100:bot@pve!test:")
            );
            return match count.fetch_add(1, Ordering::SeqCst) {
                0 => Reply::json(r#"{"data":{"status":"running"}}"#),
                1 => Reply::status("596 Broken pipe"),
                _ => Reply::json(r#"{"data":{"status":"stopped","exitstatus":"WARNINGS: 1"}}"#),
            };
        }
        if seen.target.starts_with("/api2/json/nodes/pve1/tasks?") {
            return Reply::json(&format!(
                r#"{{"data":[{{"upid":"{UPID}","endtime":1,"status":"OK"}},{{"upid":"{}"}}]}}"#,
                UPID.replace("bot@pve", "eve@pve")
            ));
        }
        Reply::status("500 hostname lookup 'pve2' failed")
    })
    .await;
    let client = server.client();
    let outcome = client
        .wait_task(
            &UPID.parse().unwrap(),
            Duration::from_secs(5),
            Duration::from_millis(2),
        )
        .await;
    assert_eq!(outcome, TaskOutcome::Warnings("WARNINGS: 1".into()));
    let node = NodeName::new("pve1").unwrap();
    let query = TaskQuery {
        node: Some(&node),
        task_type: "qmstart",
        id: "100",
        user: "bot@pve!test",
        since: 1,
    };
    let found = client.find_task(query).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].outcome, Some(TaskOutcome::Ok));
    let elsewhere = NodeName::new("pve2").unwrap();
    assert!(
        client
            .find_task(TaskQuery {
                node: Some(&elsewhere),
                ..query
            })
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_task_that_nobody_can_ask_about_is_unknown() {
    let server = Server::start(|_| Reply::status("595 No route to host")).await;
    let outcome = server
        .client()
        .wait_task(
            &UPID.parse().unwrap(),
            Duration::from_millis(40),
            Duration::from_millis(5),
        )
        .await;
    assert!(matches!(outcome, TaskOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_slow_answer_is_not_asked_for_twice() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        Reply::json(r#"{"data":1}"#)
    })
    .await;
    let token = ApiToken::new("a@pve!b=c", "in the test").unwrap();
    let trust = Trust::Fingerprints([server.fingerprint].into());
    let endpoints = ClusterEndpoints {
        urls: vec![server.url.clone()],
        trust,
        token,
    };
    let limits = Limits {
        read_timeout: Duration::from_millis(100),
        write_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let client = Client::new(endpoints, limits).unwrap();
    let error = client.get::<u32>(Call::get(["version"])).await.unwrap_err();
    assert!(
        matches!(
            error,
            ApiError::Lost {
                timed_out: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
    let error = client.write(Call::post(["x"])).await.unwrap_err();
    assert!(
        matches!(
            error,
            WriteError::Undetermined(ApiError::Lost {
                timed_out: true,
                ..
            })
        ),
        "{error}"
    );
}
