//! Bad input over the real program: one clear error each, that says where, what was expected and what to do; nothing changed, neither
//! in the cluster nor in what Bailiwick keeps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;
use support::desk::{deletable, document, feed, kept, machine, propose, redacted};
use support::play::{LAB, Play, Ran, Setup, TOKEN};

/// A play whose ledger has begun, so that every later change of what is kept is somebody's doing.
fn play() -> Play {
    with(Setup::default())
}

fn with(setup: Setup) -> Play {
    let play = Play::with(setup);
    play.bailiwick(&["get", "freezes"]).ends(0);
    play
}

/// Holds what was said to be one error with this exit code after which everything is as before; its text without the volatile parts.
#[track_caller]
fn error(play: &Play, code: i32, act: impl FnOnce() -> Ran) -> String {
    let before = kept(play);
    let writes = play.writes().len();
    let ran = act().ends(code);
    assert_eq!(
        play.writes().len(),
        writes,
        "something was written to the cluster"
    );
    let after = kept(play);
    let changed: Vec<_> = after
        .iter()
        .filter(|(path, bytes)| before.get(*path) != Some(bytes))
        .map(|(path, _)| path)
        .chain(before.keys().filter(|path| !after.contains_key(*path)))
        .collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
    assert_eq!(ran.out, "", "an error has no answer");
    assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);
    assert!(!ran.err.contains("2222-3333-4444"), "a secret was printed");
    assert!(
        !ran.err.contains('\u{1b}'),
        "colour or control characters: {:?}",
        ran.err
    );
    redacted(play, &ran.err)
}

/// What submitting a text that is wrong says.
#[track_caller]
fn wrong(play: &Play, text: &str) -> String {
    error(play, 1, || feed(play, &["apply", "-f", "-"], text))
}

#[track_caller]
fn wrong_configuration(play: &Play, change: impl Fn(&str) -> String) -> String {
    let file = play.path("bailiwick.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(&text)).unwrap();
    let said = error(play, 1, || play.bailiwick(&["plan"]));
    std::fs::write(&file, text).unwrap();
    said
}

fn chmod(play: &Play, name: &str, mode: u32) {
    std::fs::set_permissions(play.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn documents() {
    let play = play();
    assert_snapshot!(
        "unreadable_yaml",
        wrong(&play, "kind: Pool\nmetadata: {name: a\nspec: {}\n")
    );
    assert_snapshot!(
        "unknown_kind",
        wrong(&play, &document("VirtualMachin", "web-7", "{}"))
    );
    assert_snapshot!(
        "unknown_field",
        wrong(&play, &machine("web-7", "cpu: {coers: 4}"))
    );
    assert_snapshot!(
        "duplicate_key",
        wrong(&play, &machine("web-7", "vmid: 120\nname: a\nvmid: 121"))
    );
    assert_snapshot!(
        "no_for_a_string",
        wrong(&play, &machine("web-7", "keyboard: no"))
    );
    assert_snapshot!(
        "a_number_beyond_64_bit",
        wrong(&play, &machine("web-7", "vmid: 18446744073709551616"))
    );
    assert_snapshot!(
        "control_characters_in_a_name",
        wrong(&play, &document("Pool", "\"web\\u001b[31m\"", "{}"))
    );
    assert_snapshot!(
        "control_characters_themselves",
        wrong(&play, &document("Pool", "\"web\u{1b}[31m\"", "{}"))
    );
    assert_snapshot!(
        "a_root_only_key",
        wrong(&play, &machine("web-7", "args: -device x"))
    );
    assert_snapshot!("nothing_in_it", wrong(&play, "# nothing\n"));
    assert_snapshot!(
        "twice_the_same",
        wrong(
            &play,
            &format!("{0}---\n{0}", document("Pool", "a", "comment: x"))
        )
    );
    assert_snapshot!(
        "no_such_file",
        error(&play, 1, || play.bailiwick(&["apply", "-f", "absent.yaml"]))
    );
    assert_snapshot!(
        "no_file_given",
        error(&play, 1, || play.bailiwick(&["apply"]))
    );
}

#[test]
fn standard_input_that_is_too_long_is_not_cut() {
    let play = play();
    let long = format!(
        "{}# {}\n",
        document("Pool", "a", "comment: x"),
        "x".repeat(8 << 20)
    );
    assert_snapshot!("standard_input_too_long", wrong(&play, &long));
}

#[test]
fn what_cannot_be_planned() {
    let play = play();
    assert_snapshot!(
        "unknown_node",
        wrong(&play, &machine("a", "node: pve9\nmemory: {size: 1Gi}"))
    );
    assert_snapshot!(
        "unknown_storage",
        wrong(
            &play,
            &machine(
                "a",
                "node: pve1\ndisks: {scsi0: {storage: absent, size: 8Gi}}"
            )
        )
    );
    assert_snapshot!(
        "shrink",
        wrong(
            &play,
            &machine("a", "vmid: 102\ndisks: {scsi0: {size: 8Gi}}")
        )
    );
    assert_snapshot!(
        "a_cluster_that_is_not_configured",
        wrong(
            &play,
            &machine("a", "vmid: 102").replace("name: a", "name: a\n  cluster: prod")
        )
    );
}

#[test]
fn sources_and_principals() {
    let play = play();
    let mine = document("Pool", "lab", "comment: try things here");
    let anna = |args: &[&str], text: &str| {
        let all = [&["apply", "-f", "-", "--as", "person:anna"], args].concat();
        feed(&play, &all, text)
    };
    anna(&["--source", "directory:lab"], &mine).ends(0);
    assert_snapshot!("document_of_another_source", wrong(&play, &mine));
    assert_snapshot!(
        "document_of_another_source_for_a_person",
        error(&play, 1, || anna(&[], &mine))
    );
    assert_snapshot!(
        "prune_not_allowed",
        error(&play, 3, || anna(
            &["--prune", "--source", "directory:lab"],
            &document("Pool", "prod", "{}")
        ))
    );
    assert_snapshot!(
        "a_source_that_is_none",
        error(&play, 1, || anna(&["--source", "lab"], &mine))
    );
    assert_snapshot!(
        "a_source_with_control_characters",
        error(&play, 1, || anna(&["--source", "git:a\u{1b}[31m"], &mine))
    );
    let apply = |args: &[&str]| feed(&play, &[&["apply", "-f", "-"], args].concat(), &mine);
    assert_snapshot!(
        "an_agent_speaks_for_itself",
        error(&play, 3, || apply(&["--source", "directory:lab"]))
    );
    assert_snapshot!(
        "a_principal_that_is_none",
        error(&play, 1, || apply(&["--as", "anna"]))
    );
    assert_snapshot!(
        "the_system_submits_nothing",
        error(&play, 1, || apply(&["--as", "system:policy"]))
    );
    assert_snapshot!(
        "a_cluster_that_is_not_there",
        error(&play, 1, || apply(&["--cluster", "prod"]))
    );
}

#[test]
fn a_tripped_fuse() {
    let play = with(Setup {
        sources: "{\"agent:demo\": {prune: true, fuse: {count: 1, share: 1.0}}}".to_owned(),
        ..Setup::default()
    });
    for vmid in [103, 125] {
        play.document(
            &format!("vm-{vmid}"),
            &deletable(
                "VirtualMachine",
                &format!("vm-{vmid}"),
                &format!("vmid: {vmid}"),
            ),
        );
    }
    play.document("lab", &document("Pool", "lab", "comment: try things here"));
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("vm-103");
    play.withdraw("vm-125");
    let ran = play.json(&["apply", "-f", "docs", "--prune"]).ends(3);
    let plan = ran.json();
    let hash = ran.hash();
    assert_snapshot!(
        "the_fuse_tripped",
        redacted(
            &play,
            &serde_json::to_string_pretty(&plan["approval"]).unwrap()
        )
    );
    assert_snapshot!(
        "running_it_all_the_same",
        error(&play, 3, || play.bailiwick(&["run", &hash]))
    );
    play.approve(&hash).ends(3);
    assert_snapshot!(
        "running_it_approved_all_the_same",
        error(&play, 3, || play.bailiwick(&["run", &hash]))
    );
    // What the fuse is for: an operator who means it says so.
    let allowed = ["apply", "-f", "docs", "--prune", "--allow-deletions", "2"];
    assert_snapshot!(
        "an_agent_cannot_pass_the_fuse",
        error(&play, 3, || play.bailiwick(&allowed))
    );
    let person = ["--as", "person:anna", "--source", "agent:demo"];
    play.json(&[&allowed[..], &person].concat()).ends(2);
    assert_eq!(play.writes().len(), 0);
    // The plan is the same, and can be decided over now.
    play.approve_with(&hash, "ben").ends(0);
    play.run(&hash).ends(0);
}

#[test]
fn plans() {
    let play = play();
    let first = propose(
        &play,
        &[],
        &machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    propose(&play, &[], &machine("wiki", "vmid: 116\ncpu: {cores: 4}"));
    assert_snapshot!(
        "too_little_of_a_hash",
        error(&play, 1, || play.bailiwick(&["run", "e"]))
    );
    assert_snapshot!(
        "unknown_hash",
        error(&play, 1, || play.bailiwick(&["run", "0123456789abcdef"]))
    );
    assert_snapshot!(
        "not_a_hash",
        error(&play, 1, || play.bailiwick(&["run", "web-7"]))
    );
    assert_snapshot!(
        "not_approved",
        error(&play, 3, || play.bailiwick(&["run", &first]))
    );
    assert_snapshot!(
        "never_run",
        error(&play, 1, || play.bailiwick(&["undo", &first]))
    );
    assert_snapshot!(
        "no_key_given",
        error(&play, 1, || play.bailiwick(&["approve", &first]))
    );
    assert_snapshot!(
        "no_such_key",
        error(&play, 1, || play
            .bailiwick(&["approve", &first, "--key", "absent"]))
    );
    chmod(&play, "anna", 0o644);
    assert_snapshot!(
        "an_exposed_signing_key",
        error(&play, 1, || play
            .bailiwick(&["approve", &first, "--key", "anna"]))
    );
    chmod(&play, "anna", 0o600);
    assert_snapshot!(
        "no_such_impact",
        error(&play, 1, || play.bailiwick(&[
            "approve",
            &first,
            "--key",
            "anna",
            "--impacts",
            "I99"
        ]))
    );
    assert_snapshot!(
        "an_empty_reason",
        error(&play, 1, || play.bailiwick(&[
            "reject",
            &first,
            "--reason",
            " ",
            "--as",
            "person:anna"
        ]))
    );
    assert_snapshot!(
        "an_agent_cannot_reject",
        error(&play, 3, || play
            .bailiwick(&["reject", &first, "--reason", "no"]))
    );
    assert_snapshot!(
        "nothing_frozen",
        error(&play, 1, || play.bailiwick(&[
            "thaw",
            "--as",
            "person:anna"
        ]))
    );
    assert_snapshot!(
        "an_agent_cannot_thaw",
        error(&play, 3, || play.bailiwick(&["thaw"]))
    );
    assert_snapshot!(
        "an_unknown_kind_to_freeze",
        error(&play, 1, || play
            .bailiwick(&["freeze", "--kind", "vm", "--reason", "x"]))
    );
    assert_snapshot!(
        "a_freeze_in_the_past",
        error(&play, 1, || play.bailiwick(&[
            "freeze",
            "--until",
            "2020-01-01T00:00:00Z",
            "--reason",
            "x"
        ]))
    );
    assert_snapshot!(
        "what_cannot_be_listed",
        error(&play, 1, || play.bailiwick(&["get", "volumes"]))
    );
    assert_snapshot!(
        "what_cannot_be_described",
        error(&play, 1, || play.bailiwick(&["describe", "web-7"]))
    );
    assert_snapshot!(
        "what_is_not_there",
        error(&play, 1, || play.bailiwick(&["describe", "vm/999"]))
    );
    assert_snapshot!(
        "a_misspelt_field",
        error(&play, 1, || play
            .bailiwick(&["explain", "VirtualMachine.memroy"]))
    );
    assert_snapshot!(
        "a_misspelt_kind",
        error(&play, 1, || play.bailiwick(&["explain", "VirtualMachin"]))
    );
}

/// A stranger's signature is refused, and the attempt is recorded.
#[test]
fn a_strangers_signature() {
    let play = play();
    let plan = propose(
        &play,
        &[],
        &machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    let ran = play
        .bailiwick(&["approve", &plan, "--key", "stranger"])
        .ends(1);
    assert_snapshot!("a_strangers_signature", redacted(&play, &ran.err));
    std::fs::write(play.path("junk.sig"), "junk").unwrap();
    let ran = play
        .bailiwick(&["approve", &plan, "--signature", "junk.sig"])
        .ends(1);
    assert_snapshot!("a_signature_that_is_none", redacted(&play, &ran.err));
    let attempts = play
        .ledger()
        .iter()
        .filter(|record| record["action"] == "login-failed")
        .count();
    assert_eq!(attempts, 2);
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn configuration() {
    let play = play();
    assert_snapshot!(
        "no_configuration",
        error(&play, 1, || play.bailiwick(&[
            "plan",
            "--config",
            "absent.yaml"
        ]))
    );
    assert_snapshot!(
        "several_mistakes",
        wrong_configuration(&play, |text| {
            text.replace("limits: {}", "limits: {perNode: 0}")
                .replace("kind: Configuration", "kind: Konfiguration")
                .replace("keys/ledger.key", "state/bailiwick.db")
                .replace("count: 100, share: 1.0", "count: 0, share: 7.0")
        })
    );
    assert_snapshot!(
        "unreadable_configuration",
        wrong_configuration(&play, |text| text.replace("clusters:", "clusters: ["))
    );
    assert_snapshot!(
        "an_unknown_setting",
        wrong_configuration(&play, |text| text.replace("vmidRange:", "vmidrange:"))
    );
    assert_snapshot!(
        "a_configuration_of_something_else",
        wrong_configuration(&play, |_| machine("web-7", "vmid: 120"))
    );
    assert_snapshot!(
        "an_endpoint_without_tls",
        wrong_configuration(&play, |text| text.replace("https://", "http://"))
    );
    assert_snapshot!(
        "a_secret_in_the_configuration",
        wrong_configuration(&play, |text| text.replace(
            "token: {file: token}",
            "token: bailiwick@pve!controller=11111111-2222-3333-4444-555555555555"
        ))
    );
    assert_snapshot!(
        "a_configuration_that_is_too_long",
        wrong_configuration(&play, |text| format!("{text}# {}\n", "x".repeat(1 << 20)))
    );
    assert_snapshot!(
        "a_folder_as_configuration",
        error(&play, 1, || play.bailiwick(&["plan", "--config", "docs"]))
    );
}

#[test]
fn keys_of_the_ledger() {
    let play = play();
    chmod(&play, "keys/ledger.key", 0o644);
    assert_snapshot!(
        "exposed_ledger_key",
        error(&play, 1, || play.bailiwick(&["get", "plans"]))
    );
    chmod(&play, "keys/ledger.key", 0o600);
    let key = std::fs::read(play.path("keys/ledger.key")).unwrap();
    std::fs::remove_file(play.path("keys/ledger.key")).unwrap();
    assert_snapshot!(
        "missing_ledger_key",
        error(&play, 1, || play.bailiwick(&["get", "plans"]))
    );
    // Another key than the ledger's: nothing may be recorded under it.
    play.bailiwick(&["ledger", "keygen"]).ends(0);
    assert_snapshot!(
        "another_ledger_key",
        error(&play, 1, || feed(
            &play,
            &["apply", "-f", "-"],
            &machine("mail", "vmid: 102\nmemory: {size: 6Gi}")
        ))
    );
    std::fs::write(play.path("keys/ledger.key"), key).unwrap();
}

#[test]
fn the_token() {
    let play = play();
    let token = std::fs::read_to_string(play.path("token")).unwrap();
    chmod(&play, "token", 0o640);
    assert_snapshot!(
        "exposed_token",
        error(&play, 1, || play.bailiwick(&["plan"]))
    );
    chmod(&play, "token", 0o600);
    std::fs::write(play.path("token"), token.replace("1111", "0000")).unwrap();
    assert_snapshot!(
        "wrong_token_secret",
        error(&play, 1, || play.bailiwick(&["plan"]))
    );
    std::fs::write(play.path("token"), "11111111-2222-3333-4444-555555555555").unwrap();
    assert_snapshot!(
        "half_a_token",
        error(&play, 1, || play.bailiwick(&["plan"]))
    );
    std::fs::remove_file(play.path("token")).unwrap();
    assert_snapshot!(
        "missing_token",
        error(&play, 1, || play.bailiwick(&["plan"]))
    );
    assert_snapshot!(
        "missing_token_variable",
        wrong_configuration(&play, |text| text
            .replace("{file: token}", "{env: PVE_TOKEN}"))
    );
}

#[test]
fn a_token_without_privileges() {
    let play = with(Setup {
        world: LAB.replace(
            "acl:1:/:bailiwick@pve,bailiwick@pve!controller:",
            "acl:1:/:bailiwick@pve:",
        ),
        ..Setup::default()
    });
    assert_snapshot!(
        "a_token_without_privileges",
        error(&play, 1, || play.bailiwick(&["get", "vm"]))
    );
    assert_snapshot!(
        "a_plan_with_a_token_without_privileges",
        wrong(&play, &machine("mail", "vmid: 102\nmemory: {size: 6Gi}"))
    );
}

#[test]
fn the_way_to_the_cluster() {
    let play = play();
    let another = play
        .sim
        .fingerprint()
        .replacen(|c: char| c.is_ascii_digit(), "F", 1);
    assert_ne!(another, play.sim.fingerprint());
    assert_snapshot!(
        "wrong_fingerprint",
        wrong_configuration(&play, |text| text.replace(play.sim.fingerprint(), &another))
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_snapshot!(
        "unreachable",
        wrong_configuration(&play, |text| text
            .replace(play.sim.url(), &format!("https://{closed}")))
    );
    assert_snapshot!("not_tls", {
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for stream in plain.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            }
        });
        wrong_configuration(&play, |text| {
            text.replace(play.sim.url(), &format!("https://{address}"))
        })
    });
    let (url, fingerprint) = play.block_on(web_page());
    assert_snapshot!(
        "a_server_that_answers_html",
        wrong_configuration(&play, |text| {
            text.replace(play.sim.url(), &url)
                .replace(play.sim.fingerprint(), &fingerprint)
        })
    );
    assert!(
        play.sim.log().iter().all(|entry| entry.user != TOKEN),
        "the token was sent to somebody untrusted"
    );
}

/// A server that answers everything with a login page; its URL and fingerprint.
async fn web_page() -> (String, String) {
    use rustls_pki_types::PrivateKeyDer;
    use sha2::Digest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let fingerprint: Vec<String> = sha2::Sha256::digest(&certificate)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let page = "<!DOCTYPE html><html>Login</html>";
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                    page.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (format!("https://{address}"), fingerprint.join(":"))
}

#[test]
fn the_simulator() {
    let play = play();
    let sim = |args: &[&str]| error(&play, 1, || play.bailiwick(&[&["sim"], args].concat()));
    assert_snapshot!("no_world", sim(&["--world", "absent.yaml"]));
    std::fs::write(play.path("docs/world.yaml"), "nodes: [\n").unwrap();
    assert_snapshot!("an_unreadable_world", sim(&["--world", "docs/world.yaml"]));
    std::fs::write(play.path("docs/world.yaml"), LAB).unwrap();
    let taken = play.sim.url().trim_start_matches("https://").to_owned();
    assert_snapshot!(
        "an_address_in_use",
        sim(&["--world", "docs/world.yaml", "--listen", &taken])
    );
    assert_snapshot!(
        "a_fault_that_is_none",
        sim(&["--world", "docs/world.yaml", "--fault", "explode=now"])
    );
    assert_snapshot!(
        "a_time_scale_that_is_none",
        sim(&["--world", "docs/world.yaml", "--time-scale", "0"])
    );
}

/// Mistakes in the arguments are errors like all others: 2 means that a plan waits.
#[test]
fn arguments() {
    let play = play();
    for args in [
        &["aply"][..],
        &["apply", "--fil", "x"],
        &["run"],
        &["approve", "x", "--key", "a", "--agent"],
        &["get", "plans", "-o", "xml"],
        &["freeze", "--reason", "x", "--until", "tomorrow"],
        &[],
    ] {
        let ran = play.bailiwick(args).ends(1);
        assert_eq!(ran.out, "", "{args:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
    assert_snapshot!(
        "a_misspelt_command",
        error(&play, 1, || play.bailiwick(&["aply"]))
    );
}

/// What a guest says of itself cannot drive the terminal of who looks at it.
#[test]
fn texts_of_guests_are_shown_as_they_are() {
    let play = play();
    let evil = "description: a\u{202e}b\u{200b}c%1b[31m\nmemory: ";
    play.edit(102, "memory: ", evil);
    for args in [&["describe", "vm/102"][..], &["get", "vm"]] {
        let out = play.bailiwick(args).ends(0).out;
        let hidden =
            |c: char| c != '\n' && (c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c));
        assert!(!out.contains(hidden), "{args:?}: {out:?}");
    }
    let out = play.bailiwick(&["describe", "vm/102"]).ends(0).out;
    assert!(out.contains("u{202e}"), "{out}");
}
