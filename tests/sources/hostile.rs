//! Repositories that mean no good.

use std::collections::BTreeMap;

use bailiwick::sources::{Before, SourceError};

use super::bench::{Bench, names, now, pool, read, refused, seen};

/// A tree's bytes.
fn tree(entries: &[(&str, &[u8], &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        let pairs = (0..id.len()).step_by(2);
        bytes.extend(pairs.map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
    }
    bytes
}

/// Puts a commit with this root tree on the branch.
fn publish(bench: &Bench, root: &str) -> String {
    let commit =
        format!("tree {root}\nauthor x <x> 1 +0000\ncommitter x <x> 1 +0000\n\n\u{1b}[2J\n");
    let id = bench.object("commit", commit.as_bytes());
    bench.there(&["update-ref", "refs/heads/main", &id]);
    id
}

/// The trees `clusters/lab` above a tree.
fn below_lab(bench: &Bench, inner: &[u8]) -> String {
    let inner = bench.object("tree", inner);
    let lab = bench.object("tree", &tree(&[("40000", b"lab", &inner)]));
    bench.object("tree", &tree(&[("40000", b"clusters", &lab)]))
}

#[tokio::test]
async fn names_that_play_with_the_terminal_are_shown_by_their_codes() {
    let bench = Bench::new();
    let blob = bench.object("blob", pool("x").as_bytes());
    let bad = bench.object("blob", b"kind: [");
    let names_of = [
        &b"a\nb.yaml"[..],
        b"c\x1b[31m.yaml",
        b"d \xe2\x80\xae lmay.yaml",
        b"e\xff.yaml",
        b"f'\"$(id).yaml",
        b"g\r.yaml",
    ];
    let mut entries: Vec<(&str, &[u8], &str)> = names_of
        .iter()
        .map(|name| ("100644", *name, blob.as_str()))
        .collect();
    entries[1].2 = &bad;
    let root = below_lab(&bench, &tree(&entries));
    let commit = publish(&bench, &root);
    let reading = read(&bench.open(), &Before::default()).await;
    let label = format!("git:infra@{}:clusters/lab/", &commit[..7]);
    let shown: Vec<&str> = names(&reading)
        .into_iter()
        .map(|name| name.strip_prefix(&label).unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "a\\u{a}b.yaml",
            "c\\u{1b}[31m.yaml",
            "d \\u{202e} lmay.yaml",
            "e\u{fffd}.yaml",
            "f'\"$(id).yaml",
            "g\\u{d}.yaml"
        ]
    );
    let error = reading.documents().unwrap_err().to_string();
    assert!(
        error.contains("c\\u{1b}[31m.yaml:1:") && !error.contains('\u{1b}'),
        "{error}"
    );
}

#[tokio::test]
async fn links_and_submodules_are_not_followed_but_named() {
    let bench = Bench::new();
    let blob = bench.object("blob", pool("x").as_bytes());
    let link = bench.object("blob", b"/etc/passwd");
    let commit = "a".repeat(40);
    let root = below_lab(
        &bench,
        &tree(&[
            ("120000", b"link.yaml", &link),
            ("100644", b"ok.yaml", &blob),
            ("160000", b"sub", &commit),
        ]),
    );
    publish(&bench, &root);
    let reading = read(&bench.open(), &Before::default()).await;
    assert_eq!(reading.texts.len(), 1);
    assert!(
        reading.warnings[0].contains("link.yaml` is a symbolic link"),
        "{:?}",
        reading.warnings
    );
    assert!(
        reading.warnings[1].contains("sub` is a submodule"),
        "{:?}",
        reading.warnings
    );
    // A folder that is a link leads nowhere.
    let lab = bench.object("tree", &tree(&[("120000", b"lab", &link)]));
    publish(
        &bench,
        &bench.object("tree", &tree(&[("40000", b"clusters", &lab)])),
    );
    let error = refused(&bench.open(), &Before::default()).await;
    assert!(matches!(error, SourceError::NotAFolder { .. }), "{error}");
}

#[tokio::test]
async fn trees_that_git_itself_distrusts_do_not_come_in() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let source = bench.open();
    read(&source, &Before::default()).await;
    let blob = bench.object("blob", pool("x").as_bytes());
    for entries in [
        tree(&[("100644", b"..", &blob)]),
        tree(&[("100644", b".git", &blob)]),
        tree(&[("100644", b"a/b.yaml", &blob)]),
        tree(&[("100644", b"b.yaml", &blob), ("100644", b"a.yaml", &blob)]),
        tree(&[("100644", b"a.yaml", &blob), ("100644", b"a.yaml", &blob)]),
    ] {
        publish(&bench, &below_lab(&bench, &entries));
        let before = BTreeMap::from([(super::bench::lab(), seen(&first))]);
        let error = source.poll(&before, now()).await.unwrap_err();
        assert!(matches!(error, SourceError::Git { .. }), "{error}");
        assert!(
            !error.to_string().contains(|c: char| c.is_control()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn only_the_branch_that_was_named_is_looked_at() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let second = bench.commit(&[("clusters/lab/evil.yaml", &pool("evil"))]);
    bench.there(&["update-ref", "refs/heads/main", &first]);
    for name in [
        "refs/heads/a/refs/heads/main",
        "refs/heads/refs/heads/main",
        "refs/tags/main",
        "refs/tags/refs/heads/main",
        "refs/remotes/origin/main",
        &format!("refs/replace/{first}"),
    ] {
        bench.there(&["update-ref", name, &second]);
    }
    let reading = read(&bench.open(), &Before::default()).await;
    assert_eq!((reading.revision, reading.texts.len()), (first, 1));
    let copy = bench.at("state.git/infra/repository");
    let refs = bench.command(&copy, &["for-each-ref", "--format=%(refname)"], b"");
    assert_eq!(
        String::from_utf8(refs.stdout).unwrap(),
        "refs/bailiwick/tip\n"
    );
}

#[tokio::test]
async fn branches_that_are_none_never_reach_git() {
    let mut bench = Bench::new();
    for branch in [
        "main:refs/heads/x",
        "*",
        "--upload-pack=x",
        "a b",
        "",
        "\u{1b}[2J",
    ] {
        bench.git.branch = branch.to_owned();
        let error = bench.open_with(&bench.surroundings()).unwrap_err();
        assert!(matches!(error, SourceError::Setup(_)), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
    for url in [
        "ext::sh -c id",
        "--upload-pack=id",
        "http://x/y",
        "relative",
    ] {
        let mut bench = Bench::new();
        bench.git.url = url.to_owned();
        assert!(bench.open_with(&bench.surroundings()).is_err(), "{url}");
    }
}

#[tokio::test]
async fn no_hook_runs() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let source = bench.open();
    read(&source, &Before::default()).await;
    let ran = bench.at("ran");
    let hooks = bench.at("state.git/infra/repository/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for name in ["reference-transaction", "post-checkout", "pre-auto-gc"] {
        let hook = hooks.join(name);
        std::fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\n", ran.display())).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    assert_eq!(read(&source, &seen(&first)).await.texts.len(), 2);
    assert!(!ran.exists());
    // The hook does run where hooks are allowed, so the test can fail.
    let copy = bench.at("state.git/infra/repository");
    bench.command(&copy, &["update-ref", "refs/heads/x", &first], b"");
    assert!(ran.exists());
}
