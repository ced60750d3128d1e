//! What is read of a branch, and what is noticed about it.

use std::collections::BTreeMap;

use bailiwick::ids::ClusterName;
use bailiwick::sources::{Before, Fault, Rewritten, SourceError, Verified};

use super::bench::{Bench, lab, names, now, poll, pool, read, refused, seen};

#[tokio::test]
async fn a_folder_for_each_cluster() {
    let mut bench = Bench::new();
    let home = ClusterName::new("home").unwrap();
    bench
        .git
        .paths
        .insert(home.clone(), "clusters/home".to_owned());
    let all = ClusterName::new("all").unwrap();
    bench.git.paths.insert(all.clone(), ".".to_owned());
    let commit = bench.commit(&[
        ("clusters/lab/web.yaml", &pool("web")),
        ("clusters/lab/more/db.yml", &pool("db")),
        ("clusters/home/tv.yaml", &pool("tv")),
        ("clusters/lab/README.md", "hello"),
        ("clusters/lab/.drafts/x.yaml", "{"),
        ("top.yaml", &pool("top")),
    ]);
    let source = bench.open();
    assert_eq!(source.clusters().len(), 3);
    let readings = source.poll(&BTreeMap::new(), now()).await.unwrap();
    let short = &commit[..7];
    let named = |cluster: &ClusterName| names(readings[cluster].as_ref().unwrap()).join(" ");
    assert_eq!(
        named(&lab()),
        format!(
            "git:infra@{short}:clusters/lab/more/db.yml git:infra@{short}:clusters/lab/web.yaml"
        )
    );
    assert_eq!(
        named(&home),
        format!("git:infra@{short}:clusters/home/tv.yaml")
    );
    assert_eq!(readings[&all].as_ref().unwrap().texts.len(), 4);
    let reading = readings[&lab()].as_ref().unwrap();
    assert_eq!(reading.revision, commit);
    assert_eq!(reading.texts[1].text, pool("web"));
    assert_eq!(reading.verified, Verified::NotAsked);
    assert_eq!((reading.rewritten.as_ref(), reading.emptied), (None, false));
    assert_eq!(reading.documents().unwrap().len(), 2);
    // No work tree came to be.
    let copy = bench.at("state.git/infra/repository");
    assert!(!copy.join("index").exists() && !copy.join("clusters").exists());
}

#[tokio::test]
async fn what_was_seen_is_not_new_and_what_is_new_is_read() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let source = bench.open();
    assert_eq!(read(&source, &Before::default()).await.revision, first);
    assert!(poll(&source, &seen(&first)).await.is_none());
    let again = Before {
        reread: true,
        ..seen(&first)
    };
    assert_eq!(read(&source, &again).await.revision, first);

    let second = bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    let reading = read(&source, &seen(&first)).await;
    assert_eq!(reading.revision, second);
    assert_eq!(reading.texts.len(), 2);
    assert_eq!(reading.rewritten, None);
    // A cluster that nothing was read for before gets it though the other has it.
    assert!(poll(&source, &seen(&second)).await.is_none());
    assert!(poll(&source, &Before::default()).await.is_some());
}

#[tokio::test]
async fn a_forced_push_is_seen_also_after_a_restart() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let second = bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    let source = bench.open();
    read(&source, &Before::default()).await;
    bench.run(&["reset", "-q", "--hard", &first]);
    let third = bench.commit(&[("clusters/lab/other.yaml", &pool("other"))]);
    let wanted = Some(Rewritten {
        from: second.clone(),
        to: third.clone(),
    });
    assert_eq!(read(&source, &seen(&second)).await.rewritten, wanted);
    drop(source);
    assert_eq!(read(&bench.open(), &seen(&second)).await.rewritten, wanted);
    // Also when the copy that knew the old commit is gone, and there of all places it was dropped.
    std::fs::remove_dir_all(bench.at("state.git")).unwrap();
    bench.there(&["reflog", "expire", "--expire=now", "--all"]);
    bench.there(&["gc", "-q", "--prune=now"]);
    assert_eq!(read(&bench.open(), &seen(&second)).await.rewritten, wanted);
    // Going back to an older commit is no way forward either.
    bench.run(&["reset", "-q", "--hard", &first]);
    bench.push();
    let back = read(&bench.open(), &seen(&third)).await.rewritten.unwrap();
    assert_eq!((back.from, back.to), (third, first.clone()));
    assert!(poll(&bench.open(), &seen(&first)).await.is_none());
}

#[tokio::test]
async fn a_merge_is_a_way_forward() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    bench.run(&["checkout", "-q", "-b", "side"]);
    bench.write("clusters/lab/db.yaml", pool("db"));
    bench.commit_here("side", &[]);
    bench.run(&["checkout", "-q", "main"]);
    bench.write("clusters/lab/x.yaml", pool("x"));
    let second = bench.commit_here("main", &[]);
    bench.run(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    bench.push();
    let source = bench.open();
    for before in [&first, &second] {
        let reading = read(&source, &seen(before)).await;
        assert_eq!((reading.rewritten, reading.texts.len()), (None, 3));
    }
}

#[tokio::test]
async fn an_emptied_tree_is_told_and_not_taken_for_an_answer() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web")), ("README", "x")]);
    let source = bench.open();
    assert!(!read(&source, &Before::default()).await.emptied);
    std::fs::remove_dir_all(bench.work.join("clusters")).unwrap();
    bench.commit(&[]);
    let reading = read(&source, &seen(&first)).await;
    assert!(reading.emptied && reading.texts.is_empty());
    assert!(
        reading.warnings[0].contains("there is no folder"),
        "{:?}",
        reading.warnings
    );
    // A source that never had any is only empty.
    assert!(!read(&source, &Before::default()).await.emptied);
    // Comments are no documents.
    bench.commit(&[("clusters/lab/web.yaml", "# later\n")]);
    assert!(read(&source, &seen(&first)).await.emptied);
}

#[tokio::test]
async fn a_branch_that_is_gone_is_an_error() {
    let bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let source = bench.open();
    read(&source, &Before::default()).await;
    bench.there(&["update-ref", "-d", "refs/heads/main"]);
    let before = BTreeMap::from([(lab(), seen(&first))]);
    for source in [source, bench.open()] {
        let error = source.poll(&before, now()).await.unwrap_err();
        assert!(matches!(error, SourceError::Git { .. }), "{error}");
        assert!(error.to_string().contains("main"), "{error}");
    }
    // And so is one that never was, and a repository that is none.
    std::fs::remove_dir_all(bench.at("state.git")).unwrap();
    let error = bench.open().poll(&before, now()).await.unwrap_err();
    assert!(
        error.to_string().contains("there is no such branch"),
        "{error}"
    );
    std::fs::remove_dir_all(&bench.remote).unwrap();
    let error = bench.open().poll(&before, now()).await.unwrap_err();
    assert!(error.to_string().contains("remote.git"), "{error}");
    assert_eq!(error.reason(), "GitFailed");
}

#[tokio::test]
async fn files_that_cannot_be_documents_are_named_all_of_them() {
    let bench = Bench::new();
    bench.write("clusters/lab/binary.yaml", b"\x7fELF\xff\x00");
    bench.write("clusters/lab/latin.yaml", b"name: caf\xe9\n");
    bench.write("clusters/lab/good.yaml", pool("good"));
    let commit = bench.commit(&[]);
    let source = bench.open();
    let error = refused(&source, &Before::default()).await;
    let shown = |name: &str| format!("git:infra@{}:clusters/lab/{name}", &commit[..7]);
    let wanted = SourceError::Files {
        faults: vec![
            Fault::NotText {
                file: shown("binary.yaml"),
                at: 4,
            },
            Fault::NotText {
                file: shown("latin.yaml"),
                at: 9,
            },
        ],
    };
    assert_eq!(error, wanted);
    // A file that is too large is refused without being read.
    bench.run(&[
        "rm",
        "-q",
        "clusters/lab/binary.yaml",
        "clusters/lab/latin.yaml",
    ]);
    bench.write("clusters/lab/huge.yaml", vec![b'#'; (8 << 20) + 1]);
    bench.commit(&[]);
    let error = refused(&source, &Before::default()).await.to_string();
    assert!(error.contains("huge.yaml` is larger"), "{error}");
    // One cluster's trouble is not the other's.
    let mut bench = bench;
    let home = ClusterName::new("home").unwrap();
    bench
        .git
        .paths
        .insert(home.clone(), "clusters/home".to_owned());
    bench.commit(&[("clusters/home/tv.yaml", &pool("tv"))]);
    let readings = bench.open().poll(&BTreeMap::new(), now()).await.unwrap();
    assert!(readings[&lab()].is_err() && readings[&home].is_ok());
}

#[tokio::test]
async fn what_does_not_parse_is_told_by_its_name_in_the_repository() {
    let bench = Bench::new();
    let commit = bench.commit(&[
        ("clusters/lab/a.yaml", &pool("a")),
        (
            "clusters/lab/half.yaml",
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Poo",
        ),
    ]);
    let reading = read(&bench.open(), &Before::default()).await;
    let error = reading.documents().unwrap_err().to_string();
    let wanted = format!("git:infra@{}:clusters/lab/half.yaml:2:7", &commit[..7]);
    assert!(error.contains(&wanted), "{error}");
    assert!(!error.contains("a.yaml:"), "{error}");
}

#[tokio::test]
async fn a_repository_with_sha256_and_one_with_a_work_tree() {
    let bench = Bench::with_format("sha256");
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    assert_eq!(first.len(), 64);
    let source = bench.open();
    assert_eq!(read(&source, &Before::default()).await.revision, first);
    bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    assert_eq!(read(&source, &seen(&first)).await.texts.len(), 2);

    let mut bench = Bench::new();
    let first = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    bench.git.url = bench.work.to_str().unwrap().to_owned();
    assert_eq!(
        read(&bench.open(), &Before::default()).await.revision,
        first
    );
}

#[tokio::test]
async fn what_git_would_make_of_a_file_in_a_work_tree_does_not_count() {
    let bench = Bench::new();
    bench.commit(&[
        (
            ".gitattributes",
            "*.yaml ident text eol=crlf export-subst filter=evil\n",
        ),
        ("clusters/lab/a.yaml", "# $Id$\n"),
    ]);
    let reading = read(&bench.open(), &Before::default()).await;
    assert_eq!(reading.texts[0].text, "# $Id$\n");
}
