//! `bailiwick init`: everything is checked before anything is written, either everything is written or nothing, and what was written
//! works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Process;

use bailiwick::cli::arguments::{Arguments, Command, Format};
use bailiwick::cli::exit::{Exit, Failure};
use bailiwick::cli::init::{Ask, set_up};
use bailiwick::cli::output::Output;
use clap::Parser;
use support::desk::redacted;
use support::play::{LAB, Play, Ran, Setup, TOKEN, ssh_key, write_private};
use zeroize::Zeroizing;

fn play() -> Play {
    play_of(LAB.to_owned())
}

/// A play with a simulator at the pace of real time; its own installation plays no part.
fn play_of(world: String) -> Play {
    let play = Play::with(Setup {
        world,
        scale: 1.0,
        ..Setup::default()
    });
    play.leave_unchecked();
    std::fs::write(
        play.path("anna.pub"),
        ssh_key(7).public_key().to_openssh().unwrap() + "\n",
    )
    .unwrap();
    play
}

/// Every file below a folder, with its permissions; empty if it is not there.
fn files(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            found.insert(format!("{name}/"), (mode, Vec::new()));
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|(inner, rest)| (format!("{name}/{inner}"), rest)),
            );
        } else {
            found.insert(name, (mode, std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// The arguments that say everything.
fn said(play: &Play) -> Vec<String> {
    let fingerprint = play.sim.fingerprint().to_owned();
    let url = play.sim.url().to_owned();
    [
        "init",
        "--dir",
        "new",
        "--name",
        "lab",
        "--endpoint",
        &url,
        "--fingerprint",
        &fingerprint,
        "--token-file",
        "token",
        "--signer-key",
        "anna.pub",
        "--signer",
        "anna",
        "--yes",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The same with one argument's value replaced.
fn with(play: &Play, flag: &str, value: &str) -> Vec<String> {
    let mut arguments = said(play);
    let at = arguments
        .iter()
        .position(|argument| argument == flag)
        .unwrap();
    arguments[at + 1] = value.to_owned();
    arguments
}

fn run(play: &Play, arguments: &[String]) -> Ran {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    play.bailiwick(&arguments)
}

/// It fails with these words, and nothing was written.
#[track_caller]
fn refused(play: &Play, arguments: &[String], says: &[&str]) {
    let before = files(&play.path("new"));
    let ran = run(play, arguments).ends(1);
    for word in says {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
    assert!(!ran.all().contains("5555-"), "the secret is not shown");
    assert_eq!(files(&play.path("new")), before);
    if before.is_empty() {
        assert!(!play.path("new").exists());
    }
}

#[test]
fn what_is_written_works() {
    let play = play();
    let made = run(&play, &said(&play)).ends(0);
    insta::assert_snapshot!("init_made", redacted(&play, &made.out));
    let written = files(&play.path("new"));
    let modes: Vec<String> = written
        .iter()
        .map(|(name, (mode, _))| format!("{mode:03o} {name}"))
        .collect();
    insta::assert_snapshot!("init_files", modes.join("\n"));
    let configuration = String::from_utf8(written["bailiwick.yaml"].1.clone()).unwrap();
    insta::assert_snapshot!("init_configuration", redacted(&play, &configuration));
    assert!(
        !configuration.contains("5555-"),
        "no secret stands in the configuration"
    );

    // The whole way with it: doctor, import, plan, adopt, a change that anna approves.
    let of_new = |arguments: &[&str]| {
        let all = [arguments, &["--config", "new/bailiwick.yaml"]].concat();
        play.bailiwick(&all)
    };
    of_new(&["doctor"]).ends(0);
    of_new(&["import", "--to", "live"]).ends(0);
    of_new(&["plan", "-f", "live"]).ends(0);
    of_new(&["apply", "-f", "live"]).ends(0);
    play.document(
        "mail",
        &support::desk::machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    let plan = of_new(&["apply", "-f", "docs", "-o", "json"])
        .ends(2)
        .hash();
    of_new(&["approve", &plan, "--key", "anna", "--impacts", "all"]).ends(0);
    of_new(&["run", &plan]).ends(0);
    assert!(play.config(102).unwrap().contains("memory: 6144"));
    of_new(&["ledger", "verify"]).ends(0);

    // Once more: nothing is written over.
    let before = files(&play.path("new"));
    let again = run(&play, &said(&play)).ends(1);
    assert!(
        again.err.contains("new/bailiwick.yaml") && again.err.contains("new/secrets/lab.token"),
        "{}",
        again.err
    );
    assert_eq!(files(&play.path("new")), before);
}

#[test]
fn it_says_the_same_to_programs() {
    let play = play();
    let arguments = [said(&play), vec!["-o".to_owned(), "json".to_owned()]].concat();
    let made = run(&play, &arguments).ends(0).json();
    assert_eq!(made["sees"]["guests"], 41);
    assert_eq!(made["sees"]["hidden"], serde_json::json!([]));
    assert_eq!(made["files"].as_array().unwrap().len(), 5);
    assert_eq!(made["files"][0], "new/bailiwick.yaml");
}

#[test]
fn nothing_is_written_unless_everything_is_well() {
    let play = play();
    let other = ["AB"; 32].join(":");
    refused(
        &play,
        &with(&play, "--fingerprint", &other),
        &[play.sim.fingerprint(), &other, "pvenode cert info"],
    );
    refused(&play, &with(&play, "--fingerprint", "AB:CD"), &["32 pairs"]);
    refused(
        &play,
        &with(&play, "--endpoint", "https://127.0.0.1:1"),
        &["no connection", "port"],
    );
    refused(
        &play,
        &with(&play, "--endpoint", "http://127.0.0.1"),
        &["https://HOST"],
    );
    refused(&play, &with(&play, "--name", "a b"), &["cluster name"]);
    refused(&play, &with(&play, "--token-file", "nowhere"), &["nowhere"]);
    refused(
        &play,
        &with(&play, "--signer-key", "anna"),
        &["private key", "anna.pub"],
    );
    refused(
        &play,
        &with(&play, "--signer-key", "token"),
        &["no public key"],
    );
    refused(&play, &with(&play, "--signer", "an na"), &["principal"]);
    // A server without TLS.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        while let Ok((mut stream, _)) = plain.accept() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    refused(
        &play,
        &with(&play, "--endpoint", &format!("https://127.0.0.1:{port}")),
        &["does not speak TLS"],
    );
    // Nobody but its owner may read the token.
    std::fs::set_permissions(play.path("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&play, &said(&play), &["chmod 600"]);
    std::fs::set_permissions(play.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // A secret that is wrong, and a text that is no token.
    let token = std::fs::read_to_string(play.path("token")).unwrap();
    write_private(&play.path("token"), &token.replace("1111", "2222"));
    refused(
        &play,
        &said(&play),
        &[
            "does not accept",
            "pveum user token add bailiwick@pve controller",
        ],
    );
    write_private(&play.path("token"), "sesame\n");
    refused(&play, &said(&play), &["user@realm!tokenid=secret"]);
    write_private(&play.path("token"), &token);
    // A system that trusts somebody else.
    let mut arguments = said(&play);
    let at = arguments
        .iter()
        .position(|argument| argument == "--fingerprint")
        .unwrap();
    arguments.splice(at..at + 2, ["--system-roots".to_owned()]);
    refused(&play, &arguments, &["not trusted"]);
    // And with all of it put right, it is written.
    run(&play, &said(&play)).ends(0);
}

#[test]
fn trust_on_first_use_is_never_silent() {
    let play = play();
    let mut arguments = said(&play);
    let at = arguments
        .iter()
        .position(|argument| argument == "--fingerprint")
        .unwrap();
    arguments.drain(at..at + 2);
    refused(&play, &arguments, &["missing: --fingerprint"]);
    // Without a terminal nothing is asked, and everything that is missing is said at once.
    let arguments = ["init", "--dir", "new"].map(str::to_owned);
    refused(
        &play,
        &arguments,
        &[
            "--yes",
            "--endpoint",
            "--fingerprint",
            "--token-file",
            "--signer-key",
            "--signer NAME",
        ],
    );
    assert_eq!(play.sim.log().len(), 0, "nobody was asked anything");
}

#[test]
fn what_is_in_the_way_is_said_and_stays() {
    let play = play();
    std::fs::create_dir_all(play.path("new/secrets")).unwrap();
    std::fs::write(play.path("new/secrets/ledger.key"), "mine").unwrap();
    refused(
        &play,
        &said(&play),
        &["new/secrets/ledger.key", "not written over"],
    );
    // A file where a folder has to be: what was made until then is taken away again.
    std::fs::remove_dir_all(play.path("new")).unwrap();
    std::fs::create_dir(play.path("new")).unwrap();
    std::fs::write(play.path("new/checkpoints"), "mine").unwrap();
    refused(&play, &said(&play), &["new/checkpoints"]);
    assert_eq!(files(&play.path("new")).len(), 1);
}

#[test]
fn a_token_without_privileges_is_told_what_to_type() {
    let play = play_of(LAB.replacen(
        "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:",
        "",
        1,
    ));
    refused(
        &play,
        &said(&play),
        &[
            "may do nothing",
            "pveum role add Bailiwick -privs",
            "pveum acl modify / -token 'bailiwick@pve!controller' -role Bailiwick",
        ],
    );
}

/// What the token does not see is said, and is no reason to write nothing.
#[test]
fn a_token_that_sees_only_a_part_is_told_so() {
    let role = regex::Regex::new("role:BailiwickController:[^:]*:").unwrap();
    let play = play_of(
        role.replace(LAB, "role:BailiwickController:VM.Audit,Datastore.Audit:")
            .into_owned(),
    );
    let made = run(&play, &said(&play)).ends(0);
    for says in [
        "not all of it can be seen",
        "the pools: ",
        "Pool.Audit",
        "the token lacks some privileges",
        "VM.Allocate",
    ] {
        assert!(made.out.contains(says), "{says}: {}", made.out);
    }
}

/// A person with ready answers.
struct Script {
    answers: Vec<&'static str>,
    secret: String,
    told: String,
}

impl Script {
    fn new(play: &Play, answers: &[&'static str]) -> Self {
        let token = std::fs::read_to_string(play.path("token")).unwrap();
        Self {
            answers: answers.iter().rev().copied().collect(),
            secret: token.trim().split_once('=').unwrap().1.to_owned(),
            told: String::new(),
        }
    }
}

impl Ask for Script {
    fn tell(&mut self, text: &str) {
        self.told.push_str(text);
        self.told.push('\n');
    }

    fn line(&mut self, question: &str, default: Option<&str>) -> Result<String, Failure> {
        let answer = self
            .answers
            .pop()
            .unwrap_or_else(|| panic!("an unexpected question: {question}"));
        let answer = if answer.is_empty() {
            default.unwrap()
        } else {
            answer
        };
        self.tell(&format!("? {question}: {answer}"));
        Ok(answer.to_owned())
    }

    fn secret(&mut self, question: &str) -> Result<Zeroizing<String>, Failure> {
        self.tell(&format!("? {question}: (hidden)"));
        Ok(Zeroizing::new(self.secret.clone()))
    }

    fn default_key(&self) -> Option<String> {
        None
    }
}

/// Asks the script for everything but the folder, the endpoint and the key.
fn asked(play: &Play, script: &mut Script) -> Result<Exit, Failure> {
    let folder = play.path("new").display().to_string();
    let key = play.path("anna.pub").display().to_string();
    let arguments = [
        "bailiwick",
        "init",
        "--dir",
        &folder,
        "--endpoint",
        play.sim.url(),
        "--signer-key",
        &key,
    ];
    let Command::Init(given) = Arguments::try_parse_from(arguments).unwrap().command else {
        panic!()
    };
    let output = Output::new(Format::Json, false, false);
    play.block_on(set_up(&given, Some(script), &output))
}

#[test]
fn a_person_is_asked_and_shown_what_they_confirm() {
    let play = play();
    let mut script = Script::new(&play, &["lab", "yes", TOKEN, "anna"]);
    assert_eq!(asked(&play, &mut script).unwrap(), Exit::Success);
    assert!(script.answers.is_empty());
    insta::assert_snapshot!("init_dialog", redacted(&play, &script.told));
    let at = |text: &str| script.told.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(at("pveum user token add") < at(play.sim.fingerprint()));
    assert!(at(play.sim.fingerprint()) < at("secret (it is not shown)"));
    play.bailiwick(&["doctor", "--config", "new/bailiwick.yaml"])
        .ends(0);
}

#[test]
fn whoever_does_not_confirm_the_certificate_gets_nothing_written() {
    let play = play();
    for answer in ["no", "", "y", "Yes "] {
        let mut script = Script::new(&play, &["lab", answer]);
        let failure = asked(&play, &mut script).unwrap_err();
        assert!(
            failure.message.contains("not confirmed"),
            "{}",
            failure.message
        );
        assert!(!play.path("new").exists());
        assert_eq!(play.sim.log().len(), 0, "nothing was sent");
    }
}

/// On a real terminal: the secret that is typed is not shown.
#[test]
fn a_secret_that_is_typed_is_not_shown() {
    let play = play();
    let token = std::fs::read_to_string(play.path("token")).unwrap();
    let (id, secret) = token.trim().split_once('=').unwrap();
    let script = r#"
import os, pty, select, sys
answers = [a.encode() + b"\n" for a in sys.argv[2:]]
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "init", "--dir", "new", "--signer-key", "anna.pub"])
seen = b""
asked = 0
while True:
    ready, _, _ = select.select([fd], [], [], 60)
    if not ready:
        sys.exit(99)
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    # A question ends with a colon and a blank, and no line after it.
    if seen.endswith(b": ") and asked < len(answers):
        os.write(fd, answers[asked])
        asked += 1
        seen += b"\n"
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
"#;
    let ran = Process::new("python3")
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_bailiwick"),
            "lab",
            play.sim.url(),
            "yes",
            id,
            secret,
            "anna",
        ])
        .current_dir(play.folder.path())
        .env_remove("BAILIWICK_CONFIG")
        .output();
    let Ok(ran) = ran else {
        eprintln!("NOTICE: python3 is not here; the terminal was not tried");
        return;
    };
    let ran = Ran::of(ran).ends(0);
    assert!(
        ran.out.contains("secret (it is not shown)") && ran.out.contains("next:"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains(secret), "{}", ran.out);
    assert!(
        std::fs::read_to_string(play.path("new/secrets/lab.token"))
            .unwrap()
            .contains(secret)
    );
}
