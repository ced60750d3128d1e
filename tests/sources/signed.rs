//! Commits that must be signed, with keys of `ssh-keygen` and signatures of `git commit -S`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bailiwick::approval::Principal;
use bailiwick::sources::{Before, SourceError, Verified};

use super::bench::{Bench, pool, read, refused, seen};

struct Signing {
    bench: Bench,
}

/// A bench whose commits must be signed; `None`, with a notice, without `ssh-keygen`.
fn signing(format: &str) -> Option<Signing> {
    let there = Command::new("ssh-keygen")
        .arg("-?")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_err() {
        eprintln!("NOTICE: ssh-keygen is not installed; this test of signed commits was skipped");
        return None;
    }
    let mut bench = Bench::with_format(format);
    bench.git.signed_by = Some(bench.at("allowed_signers"));
    bench.run(&["config", "gpg.format", "ssh"]);
    let signing = Signing { bench };
    signing.allow(&[("alice", "")]);
    Some(signing)
}

impl Signing {
    fn key(&self, name: &str) -> PathBuf {
        let file = self.bench.at(&format!("key-{name}"));
        if !file.exists() {
            let made = Command::new("ssh-keygen")
                .args(["-t", "ed25519", "-q", "-N", "", "-C", name, "-f"])
                .arg(&file)
                .status();
            assert!(made.unwrap().success());
        }
        file
    }

    /// Writes the allowed signers: names of keys, and options of their lines.
    fn allow(&self, lines: &[(&str, &str)]) {
        let mut text = String::new();
        for (name, options) in lines {
            let key = std::fs::read_to_string(self.key(name).with_extension("pub")).unwrap();
            let person = name.split('-').next().unwrap();
            writeln!(text, "{person} {options} {key}").unwrap();
        }
        std::fs::write(self.bench.at("allowed_signers"), text).unwrap();
    }

    /// Commits with a file of this name, signed with a key, without pushing.
    fn commit(&self, file: &str, key: Option<&str>) -> String {
        self.bench
            .write(&format!("clusters/lab/{file}.yaml"), pool(file));
        match key {
            None => self.bench.commit_here(file, &["--no-gpg-sign"]),
            Some(name) => {
                let key = format!("-S{}", self.key(name).display());
                self.bench.commit_here(file, &[&key])
            }
        }
    }

    /// Puts a commit of these bytes on the branch.
    fn forge(&self, raw: &[u8]) -> String {
        let id = self.bench.object("commit", raw);
        self.bench.there(&["update-ref", "refs/heads/main", &id]);
        id
    }

    fn raw(&self, commit: &str) -> Vec<u8> {
        let output = self
            .bench
            .command(&self.bench.work, &["cat-file", "commit", commit], b"");
        assert!(output.status.success());
        output.stdout
    }
}

fn commit_refused(error: &SourceError) -> (&str, &str, usize) {
    match error {
        SourceError::Unverified { commit, why, more } => (commit, why, *more),
        other => panic!("{other}"),
    }
}

fn person(name: &str) -> Principal {
    Principal::person(name).unwrap()
}

#[tokio::test]
async fn signed_commits_are_read_and_the_keys_recorded() {
    for format in ["sha1", "sha256"] {
        let Some(signing) = signing(format) else {
            return;
        };
        signing.allow(&[("alice", ""), ("bob", "namespaces=\"git\"")]);
        let first = signing.commit("a", Some("alice"));
        signing.bench.push();
        let source = signing.bench.open();
        let reading = read(&source, &Before::default()).await;
        let Verified::All {
            commits,
            people,
            keys,
        } = reading.verified
        else {
            panic!("{:?}", reading.verified)
        };
        assert_eq!((commits, people), (1, BTreeSet::from([person("alice")])));
        let key = signing.key("alice");
        let shown = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(key)
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains(keys.first().unwrap()), "{shown}");

        signing.commit("b", Some("bob"));
        let tip = signing.commit("c", Some("alice"));
        signing.bench.push();
        let Verified::All {
            commits, people, ..
        } = read(&source, &seen(&first)).await.verified
        else {
            panic!()
        };
        assert_eq!(
            (commits, people),
            (2, BTreeSet::from([person("alice"), person("bob")]))
        );
        // Git's own judgement is the same.
        let signers = signing.bench.at("allowed_signers");
        let setting = format!("gpg.ssh.allowedSignersFile={}", signers.display());
        signing.bench.run(&["-c", &setting, "verify-commit", &tip]);
    }
}

#[tokio::test]
async fn an_unsigned_commit_among_signed_ones_refuses_all_and_is_named() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    let first = signing.commit("a", Some("alice"));
    signing.bench.push();
    let source = signing.bench.open();
    read(&source, &Before::default()).await;
    signing.commit("b", Some("alice"));
    let unsigned = signing.commit("c", None);
    signing.commit("d", None);
    signing.commit("e", Some("alice"));
    signing.bench.push();
    let error = refused(&source, &seen(&first)).await;
    assert_eq!(
        commit_refused(&error),
        (unsigned.as_str(), "it is not signed", 1)
    );
    assert_eq!(error.reason(), "Unverified");
    // It stays so, whatever is signed on top, and after a restart.
    signing.commit("f", Some("alice"));
    signing.bench.push();
    let error = refused(&signing.bench.open(), &seen(&first)).await;
    assert_eq!(commit_refused(&error).0, unsigned);
}

#[tokio::test]
async fn without_a_commit_applied_before_the_tip_vouches() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    signing.commit("a", None);
    let tip = signing.commit("b", Some("alice"));
    signing.bench.push();
    let source = signing.bench.open();
    assert!(matches!(
        read(&source, &Before::default()).await.verified,
        Verified::All { commits: 1, .. }
    ));
    let unsigned = signing.commit("c", None);
    signing.bench.push();
    let error = refused(&source, &Before::default()).await;
    assert_eq!(commit_refused(&error).0, unsigned);
    // What was seen counts as long as nothing was applied.
    signing.commit("d", Some("alice"));
    signing.bench.push();
    let only_seen = Before {
        applied: None,
        ..seen(&tip)
    };
    let error = refused(&source, &only_seen).await;
    assert_eq!(commit_refused(&error).0, unsigned);
    // Going back to what was applied before is verified too: the tip always is.
    let reset = |commit: &str| {
        signing.bench.run(&["reset", "-q", "--hard", commit]);
        signing.bench.push();
    };
    reset(&tip);
    assert_eq!(
        read(&source, &seen(&unsigned)).await.rewritten.unwrap().to,
        tip
    );
    reset(&format!("{tip}^"));
    let before = Before {
        applied: Some(tip.clone()),
        ..seen(&unsigned)
    };
    assert_eq!(
        commit_refused(&refused(&source, &before).await).1,
        "it is not signed"
    );
}

#[tokio::test]
async fn a_strangers_key_is_refused() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    let first = signing.commit("a", Some("alice"));
    let second = signing.commit("b", Some("mallory"));
    signing.bench.push();
    let error = refused(&signing.bench.open(), &seen(&first)).await;
    let (commit, why, _) = commit_refused(&error);
    assert_eq!(commit, second);
    assert!(
        why.contains("SHA256:") && why.contains("not among the allowed signers"),
        "{why}"
    );
}

#[tokio::test]
async fn a_rotated_key_counts_from_its_day_on_and_the_old_one_no_longer() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    signing.allow(&[
        ("alice-old", "valid-before=\"20260101Z\""),
        ("alice-new", "valid-after=\"20260101Z\""),
        ("alice-next", "valid-after=\"20270101Z\""),
    ]);
    let first = signing.commit("a", Some("alice-old"));
    let second = signing.commit("b", Some("alice-new"));
    signing.bench.push();
    let source = signing.bench.open();
    let Verified::All {
        commits, people, ..
    } = read(&source, &seen(&first)).await.verified
    else {
        panic!()
    };
    assert_eq!((commits, people), (1, BTreeSet::from([person("alice")])));
    for (file, key, wanted) in [
        ("c", "alice-old", "it was valid only before 2026-01-01"),
        ("d", "alice-next", "it is valid only after 2027-01-01"),
    ] {
        signing.bench.run(&["reset", "-q", "--hard", &second]);
        signing.commit(file, Some(key));
        signing.bench.push();
        let error = refused(&source, &seen(&second)).await;
        assert!(commit_refused(&error).1.contains(wanted), "{error}");
    }
    // A key that was taken out of the file is not known any more, without a restart.
    signing.bench.run(&["reset", "-q", "--hard", &second]);
    signing.commit("e", Some("alice-new"));
    signing.bench.push();
    read(&source, &seen(&second)).await;
    signing.allow(&[("alice-next", "")]);
    let error = refused(&source, &seen(&second)).await;
    assert!(commit_refused(&error).1.contains("not among"), "{error}");
}

#[tokio::test]
async fn keys_for_other_purposes_do_not_count() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    signing.commit("a", Some("alice"));
    signing.bench.push();
    signing.allow(&[("alice", "namespaces=\"bailiwick\"")]);
    let error = refused(&signing.bench.open(), &Before::default()).await;
    assert!(
        commit_refused(&error).1.contains("does not contain `git`"),
        "{error}"
    );
    // A file that cannot be used is no file that allows everything.
    std::fs::write(signing.bench.at("allowed_signers"), "alice ssh-ed25519 x").unwrap();
    let error = refused(&signing.bench.open(), &Before::default()).await;
    assert!(error.to_string().contains("line 1"), "{error}");
    std::fs::remove_file(signing.bench.at("allowed_signers")).unwrap();
    let error = refused(&signing.bench.open(), &Before::default()).await;
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn what_comes_with_a_merge_must_be_signed_too() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    let first = signing.commit("a", Some("alice"));
    signing.bench.run(&["checkout", "-q", "-b", "side"]);
    let unsigned = signing.commit("b", None);
    signing.bench.run(&["checkout", "-q", "main"]);
    signing.commit("c", Some("alice"));
    let key = format!("-S{}", signing.key("alice").display());
    signing
        .bench
        .run(&["merge", "-q", "--no-ff", &key, "-m", "merge", "side"]);
    signing.bench.push();
    let error = refused(&signing.bench.open(), &seen(&first)).await;
    assert_eq!(commit_refused(&error).0, unsigned);
}

#[tokio::test]
async fn when_the_commit_applied_is_gone_all_of_them_are_new() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    let root = signing.commit("a", None);
    signing.commit("b", Some("alice"));
    signing.bench.push();
    let gone = "1234567890".repeat(4);
    let error = refused(&signing.bench.open(), &seen(&gone)).await;
    assert_eq!(commit_refused(&error).0, root);
    let before = seen("not a commit");
    let error = refused(&signing.bench.open(), &before).await;
    assert!(matches!(error, SourceError::Setup(_)), "{error}");
}

#[tokio::test]
async fn a_commit_that_was_changed_or_signed_otherwise_is_refused() {
    let Some(signing) = signing("sha1") else {
        return;
    };
    let good = signing.commit("a", Some("alice"));
    signing.bench.push();
    let source = signing.bench.open();
    let raw = signing.raw(&good);
    let text = String::from_utf8(raw.clone()).unwrap();
    let tree = signing.bench.run(&["rev-parse", "HEAD^{tree}"]);
    let other = signing.bench.object("tree", b"");
    let header = {
        let from = text.find("gpgsig ").unwrap();
        let to = text.find("-----END SSH SIGNATURE-----\n").unwrap() + 28;
        text[from..to].to_owned()
    };
    let bare = text.replace(&header, "");
    // The text that was signed, signed for another purpose.
    let file = signing.bench.at("text");
    std::fs::write(&file, &bare).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "file", "-f"])
        .args([&signing.key("alice"), &file])
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let for_files = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    let with = |signature: &str| {
        let signature = signature.trim().replace('\n', "\n ");
        let (head, message) = bare.split_once("\n\n").unwrap();
        format!("{head}\ngpgsig {signature}\n\n{message}")
    };
    for (forged, wanted) in [
        (text.replace(&tree, &other), "one of them was changed"),
        (format!("{text}more\n"), "one of them was changed"),
        (text.replace("Alice <", "Bob <"), "one of them was changed"),
        (bare.clone(), "it is not signed"),
        (
            text.replace(&header, &format!("{header}{header}")),
            "it has two signatures",
        ),
        (with(&for_files), "namespace `file`"),
        (
            with("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----"),
            "not one of SSH",
        ),
        (
            with("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"),
            "its signature cannot be read",
        ),
    ] {
        let id = signing.forge(forged.as_bytes());
        let error = refused(&source, &Before::default()).await;
        let (commit, why, _) = commit_refused(&error);
        assert_eq!(commit, id);
        assert!(why.contains(wanted), "{why}");
    }
    signing.forge(&raw);
    read(&source, &Before::default()).await;
}
