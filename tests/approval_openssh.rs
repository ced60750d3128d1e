//! Approvals against the real OpenSSH: what `ssh-keygen -Y sign` and `ssh-agent` make is accepted here, what is made here is
//! accepted by `ssh-keygen -Y verify`. Passes with a notice where OpenSSH is not installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bailiwick::approval::agent::{AgentError, KeyChoice, sign_with_agent};
use bailiwick::approval::decision::Decision;
use bailiwick::approval::key::{KeyError, load_signing_key};
use bailiwick::approval::signature::{SignatureError, dated_message, verify};
use bailiwick::approval::signed_message;
use bailiwick::approval::signers::load_allowed_signers;
use bailiwick::plan::PlanHash;
use jiff::Timestamp;
use zeroize::Zeroizing;

const KINDS: [&[&str]; 4] = [
    &["-t", "ed25519"],
    &["-t", "ecdsa", "-b", "256"],
    &["-t", "ecdsa", "-b", "384"],
    &["-t", "rsa", "-b", "2048"],
];

fn hash() -> PlanHash {
    PlanHash(format!("sha256:{}", "5a".repeat(32)))
}

fn now() -> Timestamp {
    "2026-11-22T17:00:00Z".parse().unwrap()
}

fn have(program: &str) -> bool {
    let found = Command::new(program)
        .arg("-?")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("NOTICE: {program} is not installed; this interoperability test was skipped");
    }
    found
}

fn keygen(directory: &Path, name: &str, kind: &[&str], passphrase: &str) -> PathBuf {
    let key = directory.join(name);
    let status = Command::new("ssh-keygen")
        .args(kind)
        .args(["-q", "-N", passphrase, "-C", "test", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(status.success());
    key
}

fn ssh_keygen_sign(key: &Path, namespace: &str, extra: &[&str], message: &[u8]) -> String {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .args(extra)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn ssh_keygen_verify(directory: &Path, signers: &Path, signature: &str, message: &[u8]) -> bool {
    let file = directory.join("signature");
    std::fs::write(&file, signature).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "bailiwick", "-I", "alice", "-f"])
        .arg(signers)
        .arg("-s")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait().unwrap().success()
}

fn signers_file(directory: &Path, key: &Path) -> PathBuf {
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let file = directory.join("allowed_signers");
    std::fs::write(
        &file,
        format!("# approvers\nalice,alice@example.com namespaces=\"bailiwick,git\" {public}"),
    )
    .unwrap();
    file
}

#[test]
fn signatures_of_ssh_keygen_are_accepted() {
    if !have("ssh-keygen") {
        return;
    }
    for kind in KINDS {
        let directory = tempfile::tempdir().unwrap();
        let key = keygen(directory.path(), "key", kind, "");
        let signers = load_allowed_signers(&signers_file(directory.path(), &key)).unwrap();
        let bare = signed_message(&hash(), Decision::Approve);
        let newline = [bare.clone(), b"\n".to_vec()].concat();
        for message in [&bare, &newline] {
            let signature = ssh_keygen_sign(&key, "bailiwick", &[], message);
            let verified = verify(&signature, &hash(), Decision::Approve, None).unwrap();
            let person = signers.person_of(verified.key(), now()).unwrap();
            assert_eq!(person.to_string(), "person:alice");
            // Pasted through a page or a mail: other line endings, blanks around.
            let pasted = format!("\n  {}  \n", signature.trim().replace('\n', "\r\n"));
            assert!(verify(&pasted, &hash(), Decision::Approve, None).is_ok());
        }
        let sha256 = ssh_keygen_sign(&key, "bailiwick", &["-O", "hashalg=sha256"], &bare);
        assert!(verify(&sha256, &hash(), Decision::Approve, None).is_ok());
        let dated = dated_message(&hash(), Decision::Approve, now());
        let signature = ssh_keygen_sign(&key, "bailiwick", &[], &dated);
        assert!(verify(&signature, &hash(), Decision::Approve, Some(now())).is_ok());
        assert!(verify(&signature, &hash(), Decision::Approve, None).is_err());
    }
}

#[test]
fn signatures_for_something_else_are_refused() {
    if !have("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "key", KINDS[0], "");
    let message = signed_message(&hash(), Decision::Approve);
    let of_git = ssh_keygen_sign(&key, "git", &[], &message);
    assert!(matches!(
        verify(&of_git, &hash(), Decision::Approve, None),
        Err(SignatureError::Namespace { found, .. }) if found == "git"
    ));
    let good = ssh_keygen_sign(&key, "bailiwick", &[], &message);
    let other = PlanHash(format!("sha256:{}", "00".repeat(32)));
    assert!(matches!(
        verify(&good, &other, Decision::Approve, None),
        Err(SignatureError::Mismatch { .. })
    ));
    assert!(matches!(
        verify(&good, &hash(), Decision::Reject, None),
        Err(SignatureError::Mismatch { .. })
    ));
    let p521 = keygen(directory.path(), "p521", &["-t", "ecdsa", "-b", "521"], "");
    let refused = verify(
        &ssh_keygen_sign(&p521, "bailiwick", &[], &message),
        &hash(),
        Decision::Approve,
        None,
    );
    assert!(
        matches!(&refused, Err(SignatureError::Algorithm { algorithm }) if algorithm == "ecdsa-sha2-nistp521"),
        "{refused:?}"
    );
}

#[test]
fn signatures_made_here_are_accepted_by_ssh_keygen() {
    if !have("ssh-keygen") {
        return;
    }
    for (kind, passphrase) in KINDS.iter().zip(["", "correct horse", ""]) {
        let directory = tempfile::tempdir().unwrap();
        let key = keygen(directory.path(), "key", kind, passphrase);
        let signers = signers_file(directory.path(), &key);
        let message = signed_message(&hash(), Decision::Approve);
        let open = load_signing_key(&key, || Some(Zeroizing::new(passphrase.to_owned()))).unwrap();
        let signature = open.sign(&message).unwrap();
        assert!(ssh_keygen_verify(
            directory.path(),
            &signers,
            &signature,
            &message
        ));
        assert!(!ssh_keygen_verify(
            directory.path(),
            &signers,
            &signature,
            b"another plan"
        ));
        assert!(verify(&signature, &hash(), Decision::Approve, None).is_ok());
    }
}

/// OpenSSH breaks the lines of a key file after 70 characters and reads any; Python's `cryptography`, and so Ansible, breaks them
/// after 76.
#[test]
fn a_key_file_whose_lines_are_broken_elsewhere_is_read() {
    if !have("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "key", &["-t", "ed25519"], "");
    let expected = load_signing_key(&key, || None).unwrap().fingerprint();
    let text = std::fs::read_to_string(&key).unwrap();
    let body: String = text.lines().filter(|l| !l.starts_with('-')).collect();
    for width in [64, 76, body.len()] {
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(width)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let text = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        );
        std::fs::write(&key, text).unwrap();
        let public = Command::new("ssh-keygen").arg("-yf").arg(&key).output();
        assert!(public.unwrap().status.success(), "{width}");
        let read = load_signing_key(&key, || None).unwrap();
        assert_eq!(read.fingerprint(), expected, "{width}");
    }
}

#[test]
fn key_files_that_prove_nothing_are_refused() {
    if !have("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "key", KINDS[0], "secret words");
    assert!(matches!(
        load_signing_key(&key, || None),
        Err(KeyError::NeedsPassphrase { .. })
    ));
    assert!(matches!(
        load_signing_key(&key, || Some(Zeroizing::new("wrong".into()))),
        Err(KeyError::WrongPassphrase { .. })
    ));
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let refused = load_signing_key(&key, || None).unwrap_err();
    assert!(matches!(
        refused,
        KeyError::OpenToOthers { mode: 0o640, .. }
    ));
    assert!(refused.to_string().contains("chmod 600"));
    let rsa = keygen(directory.path(), "rsa", KINDS[3], "");
    let refused = load_signing_key(&rsa, || None).unwrap_err();
    assert!(matches!(refused, KeyError::Rsa { .. }));
    assert!(refused.to_string().contains("ssh-add"));
    let public = key.with_extension("pub");
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        load_signing_key(&public, || None),
        Err(KeyError::NotAKey { .. })
    ));
    assert!(matches!(
        load_signing_key(&directory.path().join("none"), || None),
        Err(KeyError::Unreadable { .. })
    ));
}

/// A running ssh-agent, ended when dropped.
struct Agent(Child, PathBuf);

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn ssh_agent(directory: &Path) -> Agent {
    let socket = directory.join("agent.sock");
    let child = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Agent(child, socket)
}

fn ssh_add(agent: &Agent, key: &Path) {
    let status = Command::new("ssh-add")
        .arg("-q")
        .arg(key)
        .env("SSH_AUTH_SOCK", &agent.1)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn an_ssh_agent_signs() {
    if !have("ssh-keygen") || !have("ssh-agent") || !have("ssh-add") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let agent = ssh_agent(directory.path());
    let stranger = keygen(directory.path(), "stranger", KINDS[0], "");
    ssh_add(&agent, &stranger);
    let message = signed_message(&hash(), Decision::Approve);
    for (index, kind) in KINDS.iter().enumerate() {
        let key = keygen(directory.path(), &format!("key{index}"), kind, "");
        let file = signers_file(directory.path(), &key);
        let signers = load_allowed_signers(&file).unwrap();
        let listed = KeyChoice::AllowedSigner(&signers, now());
        let refused = sign_with_agent(&agent.1, &listed, &message).unwrap_err();
        assert!(matches!(refused, AgentError::NoSuchKey { .. }));
        ssh_add(&agent, &key);
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let public = ssh_key::PublicKey::from_openssh(&public).unwrap();
        let fingerprint = public.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        for choice in [
            listed,
            KeyChoice::Fingerprint(&fingerprint),
            KeyChoice::PublicKey(&public),
        ] {
            let signature = sign_with_agent(&agent.1, &choice, &message).unwrap();
            let verified = verify(&signature, &hash(), Decision::Approve, None).unwrap();
            assert_eq!(verified.fingerprint(), fingerprint);
            assert!(ssh_keygen_verify(
                directory.path(),
                &file,
                &signature,
                &message
            ));
        }
    }
    let gone = sign_with_agent(
        &directory.path().join("none"),
        &KeyChoice::Fingerprint("SHA256:x"),
        &message,
    );
    assert!(matches!(gone, Err(AgentError::NoAgent { .. })));
}
