//! How git is run: which one, with what, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::sources::{Before, Patience, SourceError, Surroundings};

use super::bench::{Bench, now, pool, read};

#[tokio::test]
async fn without_git_the_error_says_so() {
    let bench = Bench::new();
    let empty = bench.at("empty");
    std::fs::create_dir(&empty).unwrap();
    let surroundings = Surroundings {
        programs: empty.into(),
        ..bench.surroundings()
    };
    let source = bench.open_with(&surroundings).unwrap();
    let error = source.poll(&BTreeMap::new(), now()).await.unwrap_err();
    assert!(matches!(error, SourceError::GitMissing { .. }), "{error}");
    assert!(error.to_string().contains("install git"), "{error}");
}

#[tokio::test]
async fn an_old_git_that_would_leave_out_the_guards_is_refused() {
    let bench = Bench::new();
    for said in ["git version 2.30.2", "git version 1.8", "hello"] {
        let surroundings = bench.with_script(&format!("echo '{said}'"));
        let source = bench.open_with(&surroundings).unwrap();
        let error = source.poll(&BTreeMap::new(), now()).await.unwrap_err();
        assert!(matches!(error, SourceError::GitTooOld { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn nothing_of_our_environment_reaches_git() {
    let bench = Bench::new();
    bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let log = bench.at("log");
    let script = format!(
        "{{ env; echo \"ARGS $*\"; }} >> '{}'\nexec \"$REAL\" \"$@\"",
        log.display()
    );
    let source = bench.open_with(&bench.with_script(&script)).unwrap();
    read(&source, &Before::default()).await;
    let log = std::fs::read_to_string(log).unwrap();
    let ours: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    assert!(ours.iter().any(|name| name == "CARGO_MANIFEST_DIR"));
    let allowed = [
        "PATH",
        "HOME",
        "LC_ALL",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "XDG_CONFIG_HOME",
    ];
    for line in log.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if line.starts_with("ARGS ") {
            continue;
        }
        assert!(
            name.starts_with("GIT_") || allowed.contains(&name),
            "{line}"
        );
        if name == "HOME" {
            assert!(value.ends_with("state.git/infra/home"), "{line}");
        }
    }
    assert!(log.contains("GIT_CONFIG_NOSYSTEM=1") && log.contains("GIT_CONFIG_GLOBAL=/dev/null"));
    assert!(
        log.lines().any(|line| line.starts_with("ARGS fetch ")),
        "{log}"
    );
    assert!(!log.contains("checkout") && !log.contains("clone"));
}

/// Whether a process is there and does something.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a_git_that_does_not_end_is_stopped_with_what_it_started() {
    let bench = Bench::new();
    let pids = bench.at("pids");
    let script = format!(
        "case \"$1\" in version) exec \"$REAL\" version;; esac\nsleep 100 &\necho \"$$ $!\" > '{}'\nwait",
        pids.display()
    );
    let surroundings = Surroundings {
        patience: Patience {
            network: Duration::from_millis(500),
            local: Duration::from_secs(60),
        },
        ..bench.with_script(&script)
    };
    let source = bench.open_with(&surroundings).unwrap();
    let error = source.poll(&BTreeMap::new(), now()).await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error}");
    let pids = std::fs::read_to_string(&pids).unwrap();
    wait_for_their_end(&pids).await;
}

#[tokio::test]
async fn a_poll_that_is_given_up_leaves_nothing_running() {
    let bench = Bench::new();
    let file = bench.at("pids");
    let script = format!(
        "case \"$1\" in version) exec \"$REAL\" version;; esac\nsleep 100 &\necho \"$$ $!\" > '{0}.new'\nmv '{0}.new' '{0}'\nwait",
        file.display()
    );
    let source = bench.open_with(&bench.with_script(&script)).unwrap();
    let poll = tokio::spawn(async move { source.poll(&BTreeMap::new(), now()).await });
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    wait_for_their_end(&std::fs::read_to_string(&file).unwrap()).await;
}

/// Killed processes need a moment to be gone.
async fn wait_for_their_end(pids: &str) {
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 2);
    for _ in 0..1000 {
        if !pids.iter().any(|pid| runs(pid)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still running: {pids:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let bench = Bench::new();
    let script = "case \"$1\" in version) exec \"$REAL\" version;; ls-remote) exec yes;; esac\nexec \"$REAL\" \"$@\"";
    let source = bench.open_with(&bench.with_script(script)).unwrap();
    let error = source.poll(&BTreeMap::new(), now()).await.unwrap_err();
    assert!(matches!(error, SourceError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn a_stopped_fetch_does_not_stand_in_the_way_of_the_next() {
    let bench = Bench::new();
    bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    read(&bench.open(), &Before::default()).await;
    let copy = bench.at("state.git/infra/repository");
    std::fs::create_dir_all(copy.join("refs/bailiwick")).unwrap();
    std::fs::write(copy.join("refs/bailiwick/tip.lock"), "").unwrap();
    std::fs::write(copy.join("packed-refs.lock"), "").unwrap();
    let second = bench.commit(&[("clusters/lab/db.yaml", &pool("db"))]);
    assert_eq!(
        read(&bench.open(), &Before::default()).await.revision,
        second
    );
    // Nor does half a copy.
    std::fs::remove_dir_all(&copy).unwrap();
    std::fs::create_dir_all(copy.with_extension("new").join("objects")).unwrap();
    std::fs::create_dir_all(copy.join("refs")).unwrap();
    assert_eq!(
        read(&bench.open(), &Before::default()).await.revision,
        second
    );
}

#[tokio::test]
async fn nor_does_a_poll_that_was_given_up_stand_in_the_way_of_the_next() {
    let bench = Bench::new();
    let commit = bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    let once = bench.at("once");
    let script = format!(
        "if [ \"$1\" = fetch ] && [ ! -e '{0}' ]; then mkdir -p \"$GIT_DIR/refs/bailiwick\"; touch \"$GIT_DIR/refs/bailiwick/tip.lock\" '{0}'; sleep 100; fi\nexec \"$REAL\" \"$@\"",
        once.display()
    );
    let source = Arc::new(bench.open_with(&bench.with_script(&script)).unwrap());
    let other = Arc::clone(&source);
    let poll = tokio::spawn(async move { other.poll(&BTreeMap::new(), now()).await });
    while !once.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    assert_eq!(read(&source, &Before::default()).await.revision, commit);
}

#[tokio::test]
async fn a_repository_that_grows_beyond_its_bound_is_not_fetched_further() {
    let bench = Bench::new();
    bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    read(&bench.open(), &Before::default()).await;
    // A file with a hole takes no room, and counts all the same.
    let pack = bench.at("state.git/infra/repository/objects/pack/huge.pack");
    let script = format!(
        "if [ \"$1\" = fetch ]; then truncate -s 5G '{}'; sleep 100; fi\nexec \"$REAL\" \"$@\"",
        pack.display()
    );
    let source = bench.open_with(&bench.with_script(&script)).unwrap();
    let error = source.poll(&BTreeMap::new(), now()).await.unwrap_err();
    assert!(error.to_string().contains("more than 4096 MiB"), "{error}");
}

#[tokio::test]
async fn the_folder_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.commit(&[("clusters/lab/web.yaml", &pool("web"))]);
    read(&bench.open(), &Before::default()).await;
    let mode = std::fs::metadata(bench.at("state.git"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0);
}
