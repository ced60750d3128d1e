//! What an append costs at 10 and at 100,000 records, and what verifying costs. A million with `BAILIWICK_LONG=1`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bailiwick::ledger::{
    Action, Checkpoints, Detail, Draft, Key, Keys, LedgerId, append, genesis, verify_reader,
};
use bailiwick::store::Store;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use serde_json::json;

fn key() -> Key {
    Key::from_bytes(&[1; 32])
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn draft(n: u64) -> Draft {
    Draft {
        at: now(),
        actor: "system".into(),
        action: Action::StepOutcome,
        subject: format!("vm/{}", 100 + n % 1000),
        plan: Some(format!("{:064x}", n / 20)),
        detail: Detail::new(json!({
            "run": n / 20,
            "step": n % 20,
            "outcome": "ok",
            "before": {"memory": 2048, "cores": 2},
            "after": {"memory": 4096, "cores": 2},
        }))
        .unwrap(),
    }
}

fn sizes(small: &[u64]) -> Vec<u64> {
    let mut sizes = small.to_vec();
    if std::env::var("BAILIWICK_LONG").is_ok_and(|long| !long.is_empty()) {
        sizes.push(1_000_000);
    }
    sizes
}

async fn filled(path: &Path, records: u64) -> Store {
    let store = Store::open(path).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.create_ledger(LedgerId::from_bytes([7; 16]), &key(), now(), "system")
        .await
        .unwrap();
    for n in 2..=records {
        tx.record(draft(n), &key()).await.unwrap();
    }
    tx.commit().await.unwrap();
    store
}

fn stores(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("a store");
    group.measurement_time(Duration::from_secs(3));
    group.sample_size(10);
    for records in sizes(&[10, 100_000]) {
        let dir = tempfile::tempdir().unwrap();
        let store = runtime.block_on(filled(&dir.path().join("state.db"), records));
        let keys = Keys::from(key());
        group.bench_function(
            BenchmarkId::new("append in one durable transaction at", records),
            |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let mut tx = store.begin().await.unwrap();
                        tx.record(draft(records), &key()).await.unwrap();
                        tx.commit().await.unwrap();
                    });
                });
            },
        );
        group.bench_function(BenchmarkId::new("verify", records), |bencher| {
            bencher.iter(|| {
                runtime
                    .block_on(store.verify_ledger(&keys, &Checkpoints::none()))
                    .unwrap()
            });
        });
    }
    group.finish();
}

fn exports(criterion: &mut Criterion) {
    let keys = Keys::from(key());
    let mut group = criterion.benchmark_group("an export");
    group.sample_size(10);
    for records in sizes(&[100_000]) {
        let (first, mut head) =
            genesis(LedgerId::from_bytes([7; 16]), &key(), now(), "system").unwrap();
        let mut export = first.line().as_bytes().to_vec();
        export.push(b'\n');
        for n in 2..=records {
            let (record, next) = append(&head, &key(), draft(n)).unwrap();
            export.extend_from_slice(record.line().as_bytes());
            export.push(b'\n');
            head = next;
        }
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::new("verify", records), |bencher| {
            bencher.iter(|| {
                verify_reader(black_box(export.as_slice()), &keys, &Checkpoints::none()).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exports, stores);
criterion_main!(benches);
