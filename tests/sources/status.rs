//! Writing back what became of a commit.

use bailiwick::configuration::serving::GitStatus;
use bailiwick::ids::ClusterName;
use bailiwick::sources::{Before, ClusterStatus, Source, SourceError, Written};
use std::os::unix::fs::PermissionsExt;

use super::bench::{Bench, now, poll, pool, read, seen};

fn status(cluster: &str, state: &str, message: &str) -> ClusterStatus {
    ClusterStatus {
        cluster: ClusterName::new(cluster).unwrap(),
        state: state.to_owned(),
        plan: Some("sha256:5a5a".to_owned()),
        message: message.to_owned(),
    }
}

/// A source that was read once, and its commit.
async fn with(kind: GitStatus) -> (Bench, Source, String) {
    let mut bench = Bench::new();
    bench.git.status = kind;
    let commit = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let source = bench.open();
    read(&source, &Before::default()).await;
    (bench, source, commit)
}

fn branch() -> GitStatus {
    GitStatus::Branch("bailiwick/status".to_owned())
}

#[tokio::test]
async fn off_writes_nothing() {
    let (bench, source, commit) = with(GitStatus::Off).await;
    let refs = bench.there(&["for-each-ref"]);
    let written = source
        .write_status(&commit, &[status("lab", "applied", "")], now())
        .await;
    assert_eq!(written.unwrap(), Written::Off);
    assert_eq!(bench.there(&["for-each-ref"]), refs);
}

#[tokio::test]
async fn a_note_of_the_commit_once() {
    let (bench, source, commit) = with(GitStatus::Note).await;
    let waiting = [status("lab", "waiting", "2 steps wait for a person")];
    let write = |statuses: Vec<ClusterStatus>| {
        let (source, commit) = (&source, &commit);
        async move { source.write_status(commit, &statuses, now()).await.unwrap() }
    };
    assert_eq!(write(waiting.to_vec()).await, Written::Pushed);
    let show = || bench.there(&["notes", "--ref", "bailiwick", "show", &commit]);
    insta::assert_snapshot!(show(), @r"
    source: git:infra
    clusters:
      lab:
        state: waiting
        plan: sha256:5a5a
        message: 2 steps wait for a person
    ");
    let tip = || bench.there(&["rev-parse", "refs/notes/bailiwick"]);
    let before = tip();
    assert_eq!(write(waiting.to_vec()).await, Written::Unchanged);
    assert_eq!(tip(), before);
    // Another cluster's words stay, and so does all of it for a restarted source.
    assert_eq!(
        write(vec![status("home", "applied", "")]).await,
        Written::Pushed
    );
    assert!(
        show().contains("lab:") && show().contains("home:"),
        "{}",
        show()
    );
    let again = bench.open();
    let all = [waiting[0].clone(), status("home", "applied", "")];
    assert_eq!(
        again.write_status(&commit, &all, now()).await.unwrap(),
        Written::Unchanged
    );
    // The branch is as it was.
    assert!(poll(&source, &seen(&commit)).await.is_none());
    assert_eq!(bench.there(&["rev-list", "--count", "main"]), "1");
}

#[tokio::test]
async fn a_file_for_each_cluster_on_another_branch_once() {
    let (bench, source, commit) = with(branch()).await;
    let all = [
        status("lab", "applied", "done"),
        status("home", "refused", ""),
    ];
    let written = source.write_status(&commit, &all, now()).await.unwrap();
    assert_eq!(written, Written::Pushed);
    let at = "refs/heads/bailiwick/status";
    let files = || bench.there(&["ls-tree", "-r", "--name-only", at]);
    assert_eq!(files(), "status/home.yaml\nstatus/lab.yaml");
    let show = |file: &str| bench.there(&["show", &format!("{at}:{file}")]);
    assert_eq!(
        show("status/lab.yaml"),
        format!(
            "source: git:infra\ncluster: lab\ncommit: {commit}\nstate: applied\nplan: sha256:5a5a\nmessage: done"
        )
    );
    let log = bench.there(&["log", "--format=%an <%ae> %at %s", at]);
    assert_eq!(
        log,
        format!(
            "Bailiwick <bailiwick@localhost> 1795366800 {} lab: applied, home: refused",
            &commit[..7]
        )
    );
    // It begins from nothing, and what stands there already is not written again.
    assert_eq!(bench.there(&["rev-list", "--count", at]), "1");
    for source in [&source, &bench.open()] {
        let written = source.write_status(&commit, &all, now()).await.unwrap();
        assert_eq!(written, Written::Unchanged);
    }
    assert_eq!(bench.there(&["rev-list", "--count", at]), "1");
    let next = [status("lab", "waiting", "")];
    source.write_status(&commit, &next, now()).await.unwrap();
    assert_eq!(bench.there(&["rev-list", "--count", at]), "2");
    assert_eq!(files(), "status/home.yaml\nstatus/lab.yaml");
    assert!(show("status/lab.yaml").contains("state: waiting"));
    assert_eq!(bench.there(&["rev-list", "--count", "main"]), "1");
}

#[tokio::test]
async fn what_else_stands_on_the_branch_stays() {
    let (bench, source, commit) = with(branch()).await;
    bench.run(&["checkout", "-q", "--orphan", "other"]);
    bench.run(&["rm", "-qrf", "."]);
    bench.write("README.md", "mine");
    bench.write("status/README.md", "mine");
    bench.commit_here("mine", &[]);
    let remote = bench.remote.to_str().unwrap();
    bench.run(&["push", "-q", remote, "HEAD:refs/heads/bailiwick/status"]);
    source
        .write_status(&commit, &[status("lab", "applied", "")], now())
        .await
        .unwrap();
    let at = "refs/heads/bailiwick/status";
    assert_eq!(
        bench.there(&["ls-tree", "-r", "--name-only", at]),
        "README.md\nstatus/README.md\nstatus/lab.yaml"
    );
    assert_eq!(bench.there(&["rev-list", "--count", at]), "2");
    // A file in the way of the folder gives way.
    bench.run(&["rm", "-qrf", "status"]);
    bench.write("status", "in the way");
    bench.commit_here("in the way", &[]);
    bench.run(&[
        "push",
        "-q",
        "--force",
        remote,
        "HEAD:refs/heads/bailiwick/status",
    ]);
    source
        .write_status(&commit, &[status("lab", "applied", "")], now())
        .await
        .unwrap();
    assert_eq!(
        bench.there(&["ls-tree", "-r", "--name-only", at]),
        "README.md\nstatus/lab.yaml"
    );
}

/// Makes somebody else's push win the race against the next `times` pushes: a hook moves the ref, then refuses.
fn race(bench: &Bench, name: &str, times: usize) {
    let hook = bench.remote.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let count = bench.at("raced");
    std::fs::write(&count, "").unwrap();
    let script = format!(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\nif [ $(wc -c < '{count}') -ge {times} ]; then exit 0; fi\nprintf x >> '{count}'\n\
         export GIT_AUTHOR_NAME=o GIT_AUTHOR_EMAIL=o GIT_COMMITTER_NAME=o GIT_COMMITTER_EMAIL=o\n\
         tree=$(git mktree < /dev/null)\nparent=$(git rev-parse -q --verify {name})\n\
         new=$(date +%N | git commit-tree $tree ${{parent:+-p $parent}})\ngit update-ref {name} $new\nexit 1\n",
        count = count.display()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_push_that_lost_a_race_is_made_again_on_what_won() {
    for (kind, name) in [
        (GitStatus::Note, "refs/notes/bailiwick"),
        (branch(), "refs/heads/bailiwick/status"),
    ] {
        let (bench, source, commit) = with(kind).await;
        race(&bench, name, 1);
        let all = [status("lab", "applied", "")];
        let written = source.write_status(&commit, &all, now()).await.unwrap();
        assert_eq!(written, Written::Pushed);
        assert_eq!(bench.there(&["rev-list", "--count", name]), "2", "{name}");
        // Twice in a row is given up, and tried again another time; nothing of the others is lost.
        race(&bench, name, 2);
        let all = [status("lab", "waiting", "")];
        let error = source.write_status(&commit, &all, now()).await.unwrap_err();
        assert!(matches!(error, SourceError::Git { .. }), "{error}");
        assert_eq!(bench.there(&["rev-list", "--count", name]), "4", "{name}");
        let written = source.write_status(&commit, &all, now()).await.unwrap();
        assert_eq!(written, Written::Pushed);
        assert_eq!(bench.there(&["rev-list", "--count", name]), "5", "{name}");
    }
}

#[tokio::test]
async fn a_push_that_is_refused_is_an_error_and_nothing_else() {
    let (bench, source, commit) = with(branch()).await;
    let hook = bench.remote.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(
        &hook,
        "#!/bin/sh\nprintf 'no \\033[31mway\\n' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = source
        .write_status(&commit, &[status("lab", "applied", "")], now())
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("way") && error.contains("refs/heads/bailiwick/status"),
        "{error}"
    );
    assert!(!error.contains('\u{1b}'), "{error}");
    assert!(poll(&source, &seen(&commit)).await.is_none());
}

#[tokio::test]
async fn messages_cannot_break_out_of_the_file() {
    let evil = "x\nstate: applied\n---\n\u{1b}[2J \"'{}[]&*!|>%@`#: -";
    for kind in [GitStatus::Note, branch()] {
        let (bench, source, commit) = with(kind.clone()).await;
        let all = [status("lab", "refused", evil)];
        source.write_status(&commit, &all, now()).await.unwrap();
        let text = match kind {
            GitStatus::Note => bench.there(&["notes", "--ref", "bailiwick", "show", &commit]),
            _ => bench.there(&["show", "bailiwick/status:status/lab.yaml"]),
        };
        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let line = read.pointer("/clusters/lab").unwrap_or(&read);
        assert_eq!(line["message"], evil, "{text}");
        assert_eq!(line["state"], "refused");
        assert_eq!(
            source.write_status(&commit, &all, now()).await.unwrap(),
            Written::Unchanged
        );
    }
}

#[tokio::test]
async fn the_watched_branch_is_never_written_to() {
    let (bench, source, commit) = with(GitStatus::Branch("main".to_owned())).await;
    let error = source
        .write_status(&commit, &[status("lab", "applied", "")], now())
        .await;
    assert!(matches!(error, Err(SourceError::Setup(_))));
    assert_eq!(bench.there(&["rev-parse", "main"]), commit);
}
