//! The behaviour of the store, as one suite over a backend: SQLite today, another database by implementing [`Backend`] for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    async_fn_in_trait,
    missing_docs
)]

#[path = "store_suite/agents.rs"]
mod agents;
#[path = "store_suite/loop_state.rs"]
mod loop_state;
#[path = "store_suite/state.rs"]
mod state;
#[path = "store_suite/suite.rs"]
mod suite;
#[path = "store_suite/told.rs"]
mod told;

use std::path::PathBuf;

use bailiwick::store::Store;

/// Gives stores to the suite: each call of `open` another handle on the same state, as another process would have it.
pub trait Backend {
    /// State of its own, empty.
    async fn fresh() -> Self;
    /// A handle to it.
    async fn open(&self) -> Store;
}

pub struct Sqlite {
    dir: tempfile::TempDir,
}

impl Sqlite {
    fn file(&self) -> PathBuf {
        self.dir.path().join("state.db")
    }
}

impl Backend for Sqlite {
    async fn fresh() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.file()).await.unwrap()
    }
}

macro_rules! suite {
    ($($file:ident::$case:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::$file::$case::<crate::Sqlite>().await;
            })+
        }
    };
}

suite! {
    suite::a_change_and_its_record_commit_together_or_not_at_all,
    suite::a_change_without_a_record_is_refused,
    suite::the_ledger_begins_once_and_under_its_key,
    suite::keys_are_handed_over,
    suite::an_export_verifies_and_records_are_found,
    state::documents_have_generations_and_a_history,
    state::an_object_has_one_owner,
    state::plans_go_only_where_they_may,
    state::plans_are_found_by_prefix,
    state::a_reopened_plan_needs_a_new_approval,
    state::an_approval_is_used_once,
    state::an_approval_that_does_not_count_says_why,
    state::two_handles_use_an_approval_once,
    state::one_run_per_cluster,
    state::steps_are_written_ahead_and_never_twice,
    state::freezes_hold_until_lifted_or_over,
    agents::tokens_are_kept_used_and_taken_away,
    agents::pages_of_plans_follow_on_each_other,
    agents::a_submission_waits_once_and_can_come_again,
    suite::concurrent_writers_lose_nothing,
    suite::runs_are_locked_per_cluster,
    state::times_keep_their_nanoseconds,
    loop_state::conditions_keep_their_time_while_their_status_holds,
    loop_state::events_are_numbered_filtered_and_bounded,
    loop_state::a_submission_is_kept_once_and_its_fate_written_down,
    loop_state::sources_and_suspensions_are_remembered,
    loop_state::wishes_are_taken_once,
    loop_state::the_documents_of_open_plans_are_known,
    told::what_is_kept_is_counted,
    told::a_webhook_begins_at_the_newest_event,
}

mod sqlite_only {
    use super::*;
    use bailiwick::ledger::{Checkpoints, Keys, Tampering, VerifyError};
    use bailiwick::store::StoreError;
    use sqlx::Connection;
    use std::os::unix::fs::MetadataExt;

    async fn meddle(backend: &Sqlite, statements: &[&'static str]) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(backend.file());
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        for statement in statements {
            sqlx::query(*statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
    }

    /// A state file of the first release: its tables, and a plan in them.
    async fn first_release(backend: &Sqlite) {
        static ALL: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
        let first = sqlx::migrate::Migrator {
            migrations: ALL.iter().take(1).cloned().collect(),
            ..sqlx::migrate::Migrator::DEFAULT
        };
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(backend.file())
            .create_if_missing(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        first.run(&pool).await.unwrap();
        sqlx::query(
            r#"INSERT INTO plans VALUES ('sha256:1', 'lab', 'waiting', 'low', '{}', 'agent:claude',
               '2026-03-01T12:00:00.000000000Z', '2026-03-01T12:00:00.000000000Z',
               '{"documents":[{"key":"VirtualMachine/web","source":"agent:claude","object":"vm/104"}]}', NULL)"#,
        )
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
    }

    #[tokio::test]
    async fn a_state_of_the_first_release_is_brought_up_to_date() {
        let backend = Sqlite::fresh().await;
        first_release(&backend).await;
        let store = backend.open().await;
        let open = store
            .active_documents(&suite::lab(), Some("VirtualMachine/web"))
            .await
            .unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].document.object, "vm/104");
    }

    async fn verdict(backend: &Sqlite) -> Tampering {
        let keys = Keys::from(suite::key());
        match backend
            .open()
            .await
            .verify_ledger(&keys, &Checkpoints::none())
            .await
        {
            Err(VerifyError::Tampered(tampering)) => tampering,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_state_file_is_private_and_keeps_a_write_ahead_log() {
        let backend = Sqlite::fresh().await;
        let store = backend.open().await;
        for file in std::fs::read_dir(backend.dir.path()).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.path().display());
        }
        store.close().await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(backend.file());
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }

    /// What is counted for each scrape is read from indexes, not from rows that hold whole plans.
    #[tokio::test]
    async fn counts_read_indexes() {
        let backend = Sqlite::fresh().await;
        backend.open().await.close().await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(backend.file());
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        let counts = include_str!("../src/store/counts.rs");
        let query = regex::Regex::new(r#"(?s)"(SELECT .*?)""#).unwrap();
        let mut seen = 0;
        for found in query.captures_iter(counts) {
            seen += 1;
            let explain = format!("EXPLAIN QUERY PLAN {}", &found[1]);
            let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(explain))
                .fetch_all(&mut connection)
                .await
                .unwrap();
            for (.., step) in steps {
                let table = step.starts_with("SCAN") || step.starts_with("SEARCH");
                assert!(!table || step.contains("INDEX"), "{step}: {}", &found[1]);
            }
        }
        assert_eq!(seen, 4);
    }

    #[tokio::test]
    async fn what_is_no_state_file_is_refused() {
        let backend = Sqlite::fresh().await;
        std::fs::write(
            backend.file(),
            "not a database, but long enough to be looked at".repeat(40),
        )
        .unwrap();
        let error = Store::open(&backend.file()).await.expect_err("no database");
        assert!(error.to_string().contains("state.db"), "{error}");
        let missing = backend.file().join("deeper/state.db");
        assert!(matches!(
            Store::open(&missing).await,
            Err(StoreError::File { .. })
        ));
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("var/lib");
        let error = Store::open(&missing.join("state.db")).await.unwrap_err();
        let StoreError::NoFolder { folder } = &error else {
            panic!("{error}");
        };
        assert_eq!(folder, &missing);
        assert!(error.to_string().contains("make it"), "{error}");
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn a_newer_state_file_is_refused() {
        let backend = Sqlite::fresh().await;
        backend.open().await.close().await;
        meddle(&backend, &["INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 1)"]).await;
        assert!(matches!(
            Store::open(&backend.file()).await,
            Err(StoreError::Newer {
                migration: 9999,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn records_resist_accidents() {
        let backend = Sqlite::fresh().await;
        suite::with_records(&backend.open().await, 3).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(backend.file());
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        for statement in [
            "DELETE FROM ledger_records",
            "UPDATE ledger_records SET subject = 'x'",
        ] {
            let error = sqlx::query(statement)
                .execute(&mut connection)
                .await
                .expect_err("refused");
            assert!(error.to_string().contains("never"), "{error}");
        }
    }

    #[tokio::test]
    async fn tampering_with_the_file_is_told_apart_and_stops_appending() {
        const OPEN: &str = "DROP TRIGGER ledger_is_not_changed; ";
        const SHORTEN: &str = "DROP TRIGGER ledger_is_not_shortened; ";
        let cases: [(&[&'static str], &str, u64); 6] = [
            (
                &[
                    OPEN,
                    "UPDATE ledger_records SET line = replace(line, 'vm/4', 'vm/5') WHERE seq = 4",
                ],
                "altered",
                4,
            ),
            (
                &[SHORTEN, "DELETE FROM ledger_records WHERE seq = 3"],
                "missing",
                3,
            ),
            (
                &[SHORTEN, "DELETE FROM ledger_records WHERE seq = 6"],
                "tail-cut",
                6,
            ),
            (&[SHORTEN, "DELETE FROM ledger_records"], "empty", 0),
            (
                &[
                    SHORTEN,
                    "DELETE FROM ledger_records WHERE seq = 6",
                    "UPDATE ledger_head SET seq = 5",
                ],
                "head",
                5,
            ),
            (
                &[
                    "INSERT INTO ledger_records SELECT -1, action, subject, plan, mac, 'hello' FROM ledger_records WHERE seq = 1",
                ],
                "inserted",
                1,
            ),
        ];
        for (statements, kind, seq) in cases {
            let backend = Sqlite::fresh().await;
            suite::with_records(&backend.open().await, 6).await;
            meddle(&backend, statements).await;
            let tampering = verdict(&backend).await;
            assert_eq!(tampering.kind(), kind, "{tampering}");
            assert_eq!(tampering.seq().unwrap_or(0), seq, "{tampering}");
        }
        // An end that somebody changed is not built upon.
        let backend = Sqlite::fresh().await;
        suite::with_records(&backend.open().await, 6).await;
        meddle(
            &backend,
            &[SHORTEN, "DELETE FROM ledger_records WHERE seq = 6"],
        )
        .await;
        let store = backend.open().await;
        let mut tx = store.begin().await.unwrap();
        let error = tx
            .record(suite::draft(7), &suite::key())
            .await
            .expect_err("refused");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}

/// Locks and durability against a real process that is killed.
mod processes {
    use super::*;
    use bailiwick::ids::ClusterName;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Not a test by itself: the body of the child below, which holds a lock and an open transaction until it is killed.
    #[tokio::test]
    async fn child() {
        let Ok(path) = std::env::var("STORE_TEST_CHILD") else {
            return;
        };
        let store = Store::open(path.as_ref()).await.unwrap();
        let _lock = store.lock_runs(&ClusterName::new("lab").unwrap()).unwrap();
        suite::with_records(&store, 3).await;
        let mut tx = store.begin().await.unwrap();
        tx.record(suite::draft(4), &suite::key()).await.unwrap();
        println!("\nready");
        std::thread::sleep(std::time::Duration::from_secs(60));
        drop(tx);
    }

    #[tokio::test]
    async fn a_killed_process_leaves_no_lock_and_no_half_transaction() {
        let backend = Sqlite::fresh().await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "processes::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("STORE_TEST_CHILD", backend.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line == "ready");
        assert!(ready, "the child did not get that far");
        let lab = ClusterName::new("lab").unwrap();
        let store = backend.open().await;
        let error = store.lock_runs(&lab).expect_err("held by the child");
        assert!(
            error.to_string().contains(&format!("pid {}", child.id())),
            "{error}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        store.lock_runs(&lab).unwrap();
        assert_eq!(store.ledger_head().await.unwrap().unwrap().seq, 3);
        let mut tx = store.begin().await.unwrap();
        tx.record(suite::draft(4), &suite::key()).await.unwrap();
        tx.commit().await.unwrap();
    }
}
