//! Webhooks against real receivers on loopback that fail, are slow, go away and come back: everything is told, in order, at least once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bailiwick::configuration::parts::Token;
use bailiwick::configuration::serving::{Notify, Topic, Webhook};
use bailiwick::ids::ClusterName;
use bailiwick::ledger::{Key, LedgerId};
use bailiwick::metrics::Metrics;
use bailiwick::notify::message::{Message, REASONS, schema, topic};
use bailiwick::notify::{Notifier, Patience, Surroundings, Told};
use bailiwick::store::{EventType, NewEvent, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "a-secret-that-nobody-may-see";

/// What a receiver does with a message, after it wrote it down.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Status(u16),
    /// Answers well, but too late.
    Late,
    Redirect,
}

/// A message as it came.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

#[derive(Default)]
struct Behaviour {
    script: Mutex<VecDeque<Reply>>,
    /// What it does once the script is over; well when not set.
    always: Mutex<Option<Reply>>,
    got: Mutex<Vec<Got>>,
}

/// A receiver on loopback.
struct Receiver {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
    server: JoinHandle<()>,
}

async fn receive(
    State(behaviour): State<Arc<Behaviour>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    behaviour.got.lock().unwrap().push(Got {
        path,
        headers,
        body,
    });
    let next = behaviour.script.lock().unwrap().pop_front();
    let always = *behaviour.always.lock().unwrap();
    match next.or(always).unwrap_or(Reply::Status(204)) {
        Reply::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Reply::Late => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            StatusCode::OK.into_response()
        }
        Reply::Redirect => (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, "/elsewhere")],
        )
            .into_response(),
    }
}

impl Receiver {
    async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::default()).await
    }

    async fn at(address: SocketAddr, behaviour: Arc<Behaviour>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&behaviour));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            behaviour,
            server,
        }
    }

    fn does(&self, replies: &[Reply]) {
        self.behaviour.script.lock().unwrap().extend(replies);
    }

    fn url(&self) -> String {
        format!("http://{}/hooks/path-that-is-a-secret-too", self.address)
    }

    fn got(&self) -> Vec<Got> {
        self.behaviour.got.lock().unwrap().clone()
    }

    /// What came, by the number at the end of its object.
    fn numbers(&self) -> Vec<u64> {
        let got = self.got();
        got.iter()
            .map(|got| {
                let json = got.json();
                let object = json["object"].as_str().unwrap();
                object.rsplit('-').next().unwrap().parse().unwrap()
            })
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A store with events, and a clock that moves when it is told to.
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    metrics: Metrics,
    clock: Arc<Mutex<Timestamp>>,
    hooks: Vec<Webhook>,
    told: u64,
}

fn hook(name: &str, url: String, secret: PathBuf) -> Webhook {
    Webhook {
        name: name.to_owned(),
        url,
        secret: Token::File(secret),
        events: BTreeSet::new(),
        ca_file: None,
    }
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let key = Key::generate(&folder.path().join("key")).unwrap();
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut tx = store.begin().await.unwrap();
        let ledger = LedgerId::from_bytes([7; 16]);
        tx.create_ledger(ledger, &key, now, "system:test")
            .await
            .unwrap();
        tx.commit().await.unwrap();
        support::play::write_private(&folder.path().join("secret"), &format!("{SECRET}\n"));
        Self {
            folder,
            store,
            metrics: Metrics::new(),
            clock: Arc::new(Mutex::new(now)),
            hooks: Vec::new(),
            told: 0,
        }
    }

    fn secret(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    fn add(&mut self, name: &str, url: String) -> &mut Webhook {
        self.hooks.push(hook(name, url, self.secret()));
        self.hooks.last_mut().unwrap()
    }

    /// A notifier, as a process that just started has it.
    fn notifier(&self) -> Notifier {
        let clock = Arc::clone(&self.clock);
        let surroundings = Surroundings {
            secret: Arc::new(|from| {
                let Token::File(path) = from else {
                    return Err("it is not set".to_owned());
                };
                let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
                Ok(zeroize::Zeroizing::new(text.trim_end().to_owned()))
            }),
            clock: Arc::new(move || *clock.lock().unwrap()),
            chance: Arc::new(|| 1.0),
        };
        let notify = Notify {
            webhooks: self.hooks.clone(),
        };
        let patience = Patience {
            answer: Duration::from_millis(400),
            poll: Duration::from_millis(5),
            ..Patience::default()
        };
        Notifier::new(
            self.store.clone(),
            &notify,
            self.metrics.clone(),
            surroundings,
        )
        .with_patience(patience)
    }

    fn later(&self, seconds: i64) {
        let mut clock = self.clock.lock().unwrap();
        *clock += SignedDuration::from_secs(seconds);
    }

    async fn happens(&self, event: NewEvent) -> u64 {
        let mut tx = self.store.begin().await.unwrap();
        let id = tx.add_event(&event).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// So many things drift, numbered on from the last.
    async fn drift(&mut self, how_many: u64) {
        for _ in 0..how_many {
            self.told += 1;
            let event = event("DriftFound", &format!("VirtualMachine/vm-{}", self.told));
            self.happens(event).await;
        }
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|shown| shown == line)
    }
}

fn event(reason: &str, object: &str) -> NewEvent {
    NewEvent {
        at: "2026-03-01T12:00:00Z".parse().unwrap(),
        cluster: Some(ClusterName::new("lab").unwrap()),
        object: object.to_owned(),
        kind: EventType::Warning,
        reason: reason.to_owned(),
        message: format!("{reason} of {object}"),
        actor: "system:test".to_owned(),
        plan: None,
        ledger: Some(1),
    }
}

/// Tells until a look finds nothing more to be told now.
async fn tell_all(notifier: &Notifier) {
    loop {
        let told = notifier.deliver_once().await.unwrap();
        if !told.iter().any(|(_, told)| matches!(told, Told::Event(_))) {
            return;
        }
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..4000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come about");
}

#[tokio::test]
async fn what_fails_is_told_again_and_nothing_overtakes_it() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(3).await;
    receiver.does(&[Reply::Status(500), Reply::Status(429), Reply::Status(404)]);
    for (failures, pause) in [(1, 1), (2, 2), (3, 4)] {
        let told = notifier.deliver_once().await.unwrap();
        let again = *scene.clock.lock().unwrap() + SignedDuration::from_secs(pause);
        let Told::Failed {
            why, again: when, ..
        } = &told[0].1
        else {
            panic!("{told:?}");
        };
        assert!(why.contains("status"), "{why}");
        assert_eq!(*when, again);
        let state = scene.store.webhook("chat").await.unwrap().unwrap();
        assert_eq!((state.attempts, state.next), (failures, Some(again)));
        assert!(scene.shows("bailiwick_notify_backlog{webhook=\"chat\"} 3"));
        // Before its time nothing is sent, whoever asks.
        assert_eq!(
            notifier.deliver_once().await.unwrap()[0].1,
            Told::Waits(again)
        );
        scene.later(pause);
    }
    tell_all(&notifier).await;
    assert_eq!(receiver.numbers(), [1, 1, 1, 1, 2, 3]);
    let got = receiver.got();
    // Each time it is the same, under the same id, signed anew.
    for again in &got[1..4] {
        assert_eq!(again.body, got[0].body);
        assert_eq!(
            again.header("x-bailiwick-delivery"),
            got[0].header("x-bailiwick-delivery")
        );
        assert_ne!(
            again.header("x-bailiwick-signature"),
            got[0].header("x-bailiwick-signature")
        );
    }
    let ids: BTreeSet<&str> = got
        .iter()
        .map(|got| got.header("x-bailiwick-delivery"))
        .collect();
    assert_eq!(ids.len(), 3);
    let state = scene.store.webhook("chat").await.unwrap().unwrap();
    assert_eq!((state.attempts, state.next, state.error), (0, None, None));
    assert!(scene.shows("bailiwick_notify_backlog{webhook=\"chat\"} 0"));
    assert!(scene.shows("bailiwick_notifications_total{webhook=\"chat\",outcome=\"ok\"} 3"));
    assert!(scene.shows("bailiwick_notifications_total{webhook=\"chat\",outcome=\"failed\"} 3"));
}

#[tokio::test]
async fn a_message_says_what_happened() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    let id = scene
        .happens(NewEvent {
            message: "x".repeat(5000),
            ..event("Frozen", "freeze")
        })
        .await;
    tell_all(&notifier).await;
    let got = &receiver.got()[0];
    let mut json = got.json();
    assert_eq!(json["id"], got.header("x-bailiwick-delivery"));
    assert_eq!(json["id"], format!("{}-{id}", "07".repeat(16)));
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.header("user-agent").starts_with("bailiwick/"));
    let long = json["message"].take();
    assert_eq!(long.as_str().unwrap().chars().count(), 4097);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "apiVersion": "bailiwick.dev/v1alpha1",
      "kind": "Notification",
      "id": "07070707070707070707070707070707-1",
      "at": "2026-03-01T12:00:00Z",
      "topic": "freeze",
      "reason": "Frozen",
      "type": "Warning",
      "object": "freeze",
      "cluster": "lab",
      "plan": null,
      "risk": null,
      "actor": "system:test",
      "message": null,
      "ledger": 1,
      "missed": 0
    }
    "#);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_or_never_is_none() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(1).await;
    receiver.does(&[Reply::Late]);
    let told = notifier.deliver_once().await.unwrap();
    assert!(matches!(&told[0].1, Told::Failed { why, .. } if why.contains("no answer within")));
    scene.later(1);
    tell_all(&notifier).await;
    // The receiver had taken it the first time: by the id it knows that this is the same.
    let ids: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| got.header("x-bailiwick-delivery").to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(1).await;
    receiver.does(&[Reply::Redirect]);
    let told = notifier.deliver_once().await.unwrap();
    assert!(matches!(&told[0].1, Told::Failed { why, .. } if why.contains("redirects")));
    let paths: Vec<String> = receiver.got().into_iter().map(|got| got.path).collect();
    assert_eq!(paths, ["/hooks/path-that-is-a-secret-too"]);
}

#[tokio::test]
async fn a_receiver_that_goes_away_and_comes_back_is_told_everything_in_order() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(2).await;
    tell_all(&notifier).await;
    let (address, behaviour) = (receiver.address, Arc::clone(&receiver.behaviour));
    drop(receiver);
    scene.drift(3).await;
    for _ in 0..3 {
        // Until its socket is closed it may still answer.
        tell_all(&notifier).await;
        scene.later(301);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let state = scene.store.webhook("chat").await.unwrap().unwrap();
    assert!(state.error.unwrap().starts_with("no connection: "));
    let receiver = loop {
        // The port may need a moment.
        if let Ok(probe) = TcpListener::bind(address).await {
            drop(probe);
            break Receiver::at(address, behaviour).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    tell_all(&notifier).await;
    assert_eq!(receiver.numbers(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_last_one_was() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let first = scene.notifier();
    tell_all(&first).await;
    scene.drift(3).await;
    first.deliver_once().await.unwrap();
    // The second message is taken, but the process ends before it hears of that.
    receiver.does(&[Reply::Late]);
    let died = tokio::time::timeout(Duration::from_millis(200), first.deliver_once()).await;
    assert!(died.is_err());
    drop(first);
    scene.drift(1).await;
    tell_all(&scene.notifier()).await;
    assert_eq!(receiver.numbers(), [1, 2, 2, 3, 4]);
    let got = receiver.got();
    assert_eq!(got[1].body, got[2].body);
    // And one after that doubles nothing.
    tell_all(&scene.notifier()).await;
    assert_eq!(receiver.numbers().len(), 5);
    // A pause outlives the process too.
    scene.drift(1).await;
    receiver.does(&[Reply::Status(503)]);
    scene.notifier().deliver_once().await.unwrap();
    let told = scene.notifier().deliver_once().await.unwrap();
    assert!(matches!(told[0].1, Told::Waits(_)));
    // Unless the clock was set back: then nobody waits for a time that is years away.
    scene.later(-3600);
    tell_all(&scene.notifier()).await;
    assert_eq!(receiver.numbers()[5..], [5, 5]);
}

#[tokio::test]
async fn one_that_is_stuck_holds_up_no_other() {
    let (stuck, well) = (Receiver::start().await, Receiver::start().await);
    *stuck.behaviour.always.lock().unwrap() = Some(Reply::Late);
    let mut scene = Scene::new().await;
    scene.add("stuck", stuck.url());
    scene.add("well", well.url());
    scene.add("broken", well.url()).secret = Token::File("/no/such/file".into());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(40).await;
    let cancel = CancellationToken::new();
    let (running, token) = (notifier.clone(), cancel.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    until(|| well.numbers().len() == 40).await;
    assert_eq!(well.numbers(), (1..=40).collect::<Vec<_>>());
    until(|| !stuck.got().is_empty()).await;
    assert!(stuck.numbers().iter().all(|number| *number == 1));
    cancel.cancel();
    task.await.unwrap();
    let state = scene.store.webhook("broken").await.unwrap().unwrap();
    assert!(state.error.unwrap().contains("its secret cannot be read"));
}

#[tokio::test]
async fn a_running_notifier_tells_what_happens_later_and_tries_again_in_time() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let cancel = CancellationToken::new();
    let (running, token) = (scene.notifier(), cancel.clone());
    let task = tokio::spawn(async move { running.run(token).await });
    let store = scene.store.clone();
    while store.webhook("chat").await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    receiver.does(&[Reply::Status(500)]);
    scene.drift(2).await;
    until(|| receiver.got().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.numbers(), [1]);
    scene.later(2);
    until(|| receiver.got().len() == 3).await;
    assert_eq!(receiver.numbers(), [1, 1, 2]);
    cancel.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_webhook_is_told_what_it_asked_for_from_now_on() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.drift(5).await;
    scene.add("chat", receiver.url()).events = [Topic::Freeze, Topic::LedgerFailure].into();
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    assert_eq!(receiver.got().len(), 0);
    scene.drift(2).await;
    for reason in ["Frozen", "RunStarted", "PolicyChanged", "LedgerFailure"] {
        scene.happens(event(reason, "x-1")).await;
    }
    scene.drift(2).await;
    tell_all(&notifier).await;
    let reasons: Vec<Value> = receiver
        .got()
        .iter()
        .map(|got| got.json()["reason"].clone())
        .collect();
    assert_eq!(reasons, ["Frozen", "LedgerFailure"]);
    // What is not for it is behind it, and does not count as waiting.
    let state = scene.store.webhook("chat").await.unwrap().unwrap();
    assert_eq!(state.position, scene.store.last_event().await.unwrap());
    assert!(scene.shows("bailiwick_notify_backlog{webhook=\"chat\"} 0"));
}

#[tokio::test]
async fn what_was_let_go_is_counted_and_said() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    receiver.does(&[Reply::Status(500)]);
    scene.drift(10).await;
    tell_all(&notifier).await;
    // The store keeps the newest events only.
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(scene.folder.path().join("state.db"));
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("DELETE FROM events WHERE id <= 7")
        .execute(&mut connection)
        .await
        .unwrap();
    scene.later(1);
    // It is said once it is taken, also if that takes more than one attempt, or another process.
    receiver.does(&[Reply::Status(500)]);
    tell_all(&notifier).await;
    scene.later(60);
    tell_all(&scene.notifier()).await;
    assert_eq!(receiver.numbers(), [1, 8, 8, 9, 10]);
    let missed: Vec<Value> = receiver
        .got()
        .iter()
        .map(|got| got.json()["missed"].clone())
        .collect();
    assert_eq!(missed, [0, 7, 7, 0, 0]);
    assert!(scene.shows("bailiwick_notifications_missed_total{webhook=\"chat\"} 7"));
}

#[tokio::test]
async fn no_error_holds_a_secret() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let tail = "hooks/path-that-is-a-secret-too?token=also-a-secret";
    scene.add("refused", receiver.url());
    scene.add("dead", format!("http://{dead}/{tail}"));
    scene.add("nowhere", format!("https://name.invalid/{tail}"));
    scene.add("plain", format!("https://{}/{tail}", receiver.address));
    scene.add("clear", format!("http://example.com/{tail}"));
    scene.add("none", format!("secret {tail}"));
    let short = scene.folder.path().join("short");
    support::play::write_private(&short, "also-a-secret");
    scene.add("short", receiver.url()).secret = Token::File(short);
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(1).await;
    *receiver.behaviour.always.lock().unwrap() = Some(Reply::Status(500));
    let told = notifier.deliver_once().await.unwrap();
    assert_eq!(told.len(), 7);
    let mut said = format!("{notifier:?} {}", scene.metrics.render());
    for (name, told) in &told {
        assert!(matches!(told, Told::Failed { .. }), "{name}: {told:?}");
        said.push_str(&format!("{told:?}"));
    }
    for state in scene.store.webhooks().await.unwrap() {
        said.push_str(&format!("{state:?}"));
    }
    for secret in [SECRET, "a-secret", "path-that"] {
        assert!(!said.contains(secret), "{said}");
    }
    // Nor does a message.
    for got in receiver.got() {
        assert!(!String::from_utf8_lossy(&got.body).contains(SECRET));
    }
}

/// The signature, computed from SHA-256 alone (RFC 2104).
fn hmac(secret: &[u8], text: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let mut key = secret.to_vec();
    key.resize(64, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36), text].concat());
    hex::encode(Sha256::digest([&pad(0x5c), inner.as_slice()].concat()))
}

#[tokio::test]
async fn a_signature_is_over_time_and_body() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(1).await;
    tell_all(&notifier).await;
    let got = &receiver.got()[0];
    let seconds = scene.clock.lock().unwrap().as_second();
    let text = [format!("{seconds}.").as_bytes(), &got.body].concat();
    let wanted = format!("t={seconds},v1={}", hmac(SECRET.as_bytes(), &text));
    assert_eq!(got.header("x-bailiwick-signature"), wanted);

    // A secret that was replaced counts at once.
    support::play::write_private(&scene.secret(), "another-secret-0123456789");
    scene.drift(1).await;
    tell_all(&notifier).await;
    let got = &receiver.got()[1];
    let text = [format!("{seconds}.").as_bytes(), &got.body].concat();
    let wanted = hmac(b"another-secret-0123456789", &text);
    assert!(got.header("x-bailiwick-signature").ends_with(&wanted));
}

/// The lines of Python in docs/notifications.md, as they stand there, over a message that was really sent.
#[tokio::test]
async fn the_documented_python_verifies_a_message() {
    let receiver = Receiver::start().await;
    let mut scene = Scene::new().await;
    scene.add("chat", receiver.url());
    let notifier = scene.notifier();
    tell_all(&notifier).await;
    scene.drift(1).await;
    tell_all(&notifier).await;
    let got = receiver.got()[0].clone();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/notifications.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let python = docs.split("```python\n").nth(1).unwrap();
    let python = python.split("```").next().unwrap();
    let body = scene.folder.path().join("body");
    std::fs::write(&body, &got.body).unwrap();
    let script = format!(
        "{python}\nimport sys\nsecret, header, file, now = sys.argv[1:]\nbody = open(file, 'rb').read()\nnow = int(now)\n\
         good = is_from_bailiwick(secret.encode(), header, body, now)\n\
         changed = is_from_bailiwick(secret.encode(), header, body.replace(b'vm-1', b'vm-2'), now)\n\
         other = is_from_bailiwick(secret.encode() + b'x', header, body, now)\n\
         old = is_from_bailiwick(secret.encode(), header, body, now + 301)\n\
         print(good, changed, other, old)\n"
    );
    let seconds = scene.clock.lock().unwrap().as_second().to_string();
    let ran = Command::new("python3")
        .args(["-c", &script, SECRET, got.header("x-bailiwick-signature")])
        .arg(&body)
        .arg(&seconds)
        .output();
    let Ok(ran) = ran else {
        eprintln!("skipped: there is no python3 here");
        return;
    };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let error = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(said.trim(), "True False False False", "{error}");
}

/// The page says what the code does: every reason and topic, and every member of a message.
#[test]
fn the_documentation_is_whole() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/notifications.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for (reason, topic) in REASONS {
        let topic = serde_json::to_value(topic).unwrap();
        let line = docs
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", topic.as_str().unwrap())));
        assert!(line.unwrap().contains(&format!("`{reason}`")), "{reason}");
    }
    let schema = schema();
    let members = schema["properties"].as_object().unwrap();
    assert_eq!(members.len(), 15);
    for name in members.keys() {
        let rows = docs.lines().filter(|line| line.starts_with("| `"));
        let first = rows.filter_map(|line| line.split('|').nth(1));
        assert!(
            first
                .into_iter()
                .any(|cell| cell.contains(&format!("`{name}`"))),
            "{name}"
        );
    }
    assert_eq!(topic("RunStarted"), None);
    let _: fn() -> Option<Message> = || None;
}

mod over_tls {
    use super::*;
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server with a certificate of its own that answers every request well; the certificate as PEM, and how many requests came.
    async fn start(folder: &Path) -> (SocketAddr, PathBuf, Arc<Mutex<usize>>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = folder.join("ca.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(Mutex::new(0));
        let count = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut read = Vec::new();
                while !read.ends_with(b"}") {
                    let mut part = [0; 4096];
                    let length = stream.read(&mut part).await.unwrap();
                    read.extend_from_slice(&part[..length]);
                }
                *count.lock().unwrap() += 1;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        (address, file, came)
    }

    #[tokio::test]
    async fn only_a_certificate_of_the_configured_authority_is_believed() {
        let mut scene = Scene::new().await;
        let (address, ca, came) = start(scene.folder.path()).await;
        let url = format!("https://localhost:{}/hook", address.port());
        scene.add("trusted", url.clone()).ca_file = Some(ca);
        let (_, other, _) = {
            let folder = scene.folder.path().join("other");
            std::fs::create_dir(&folder).unwrap();
            start(&folder).await
        };
        scene.add("another", url.clone()).ca_file = Some(other);
        scene.add("gone", url).ca_file = Some("/no/such/ca.pem".into());
        let notifier = scene.notifier();
        tell_all(&notifier).await;
        scene.drift(1).await;
        let told = notifier.deliver_once().await.unwrap();
        assert!(matches!(told[0].1, Told::Event(_)), "{told:?}");
        assert!(
            matches!(&told[1].1, Told::Failed { why, .. } if why.contains("certificate")),
            "{told:?}"
        );
        assert!(
            matches!(&told[2].1, Told::Failed { why, .. } if why.contains("/no/such/ca.pem")),
            "{told:?}"
        );
        assert_eq!(*came.lock().unwrap(), 1);
    }
}

/// The whole story, by the real program: what it does is told by a service on the same state.
mod whole {
    use super::*;
    use bailiwick::configuration::load_configuration;
    use bailiwick::service::{Environment, Service, Tuning};
    use support::play::{Play, Setup, hash_of};

    const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}}\n";
    const WEB: &str =
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: team}\nspec: {}\n";

    #[test]
    fn a_plan_that_waits_is_told_and_one_that_the_policy_approves_is_decided_at_once() {
        let policy =
            "  policy:\n  - {name: pools, match: {kinds: {only: [Pool]}}, autoApprove: true}\n";
        let play = Play::with(Setup {
            approval: policy.to_owned(),
            ..Setup::default()
        });
        let receiver = play.block_on(Receiver::start());
        let file = play.path("bailiwick.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let notify = format!(
            "notify: {{webhooks: [{{name: chat, url: \"{}\", secret: {{env: HOOK_SECRET}}}}]}}\n",
            receiver.url()
        );
        std::fs::write(&file, text + &notify).unwrap();
        let environment = Environment {
            variable: Arc::new(|name| (name == "HOOK_SECRET").then(|| SECRET.to_owned())),
            clock: Arc::new(Timestamp::now),
        };
        let configuration = load_configuration(&file).unwrap();
        let service = play
            .block_on(Service::open(configuration, environment, Tuning::default()))
            .unwrap();
        let notifier = service.notifier();
        play.block_on(tell_all(&notifier));

        play.document("mail", MAIL);
        let plan = hash_of(&play.apply());
        play.approve(&plan).ends(0);
        play.run(&plan).ends(0);
        play.json(&["freeze", "--reason", "enough"]).ends(0);
        play.bailiwick(&["thaw", "--as", "person:anna"]).ends(0);
        play.document("team", WEB);
        let pool = play.json(&["apply", "-f", "docs/team.yaml"]).hash();
        play.block_on(tell_all(&notifier));

        let told: Vec<(String, String, String)> = receiver
            .got()
            .iter()
            .map(|got| {
                let json = got.json();
                let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
                (text("topic"), text("reason"), text("plan"))
            })
            .collect();
        let wanted = [
            ("planWaiting", "PlanCreated", plan.as_str()),
            ("planDecided", "PlanApproved", &plan),
            ("planDecided", "PlanApproved", &plan),
            ("runFinished", "RunFinished", &plan),
            ("freeze", "Frozen", ""),
            ("freeze", "Thawed", ""),
            ("planDecided", "PlanApproved", &pool),
        ];
        let wanted = wanted.map(|(t, r, p)| (t.to_owned(), r.to_owned(), p.to_owned()));
        assert_eq!(told, wanted);
        let first = receiver.got()[0].json();
        assert_eq!(first["cluster"], "lab");
        assert!(first["risk"].is_string() && first["ledger"].is_u64());
        let words: Vec<String> = receiver
            .got()
            .iter()
            .map(|got| {
                got.json()["message"]
                    .as_str()
                    .unwrap()
                    .replace(&plan, "PLAN")
                    .replace(&pool, "POOL")
            })
            .collect();
        assert!(words[1].contains("PLAN by person:anna"), "{words:?}");
        assert!(
            words[2].contains("PLAN has the approvals it needs"),
            "{words:?}"
        );
        assert!(
            words[6].contains("POOL: the policy asks for nobody"),
            "{words:?}"
        );
    }
}
