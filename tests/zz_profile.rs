#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    dead_code
)]
#[path = "watch/stand.rs"]
mod stand;
use bailiwick::proxmox::*;
use bailiwick::world::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let f: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn profile() {
    let n: u32 = std::env::var("N")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let s = stand::Stand::new(&stand::world(n)).await;
    let times: Arc<Mutex<BTreeMap<String, (u32, f64)>>> = Arc::default();
    let t2 = Arc::clone(&times);
    let endpoints = ClusterEndpoints {
        urls: vec![s.sim.url().parse().unwrap()],
        trust: Trust::Fingerprints([s.sim.fingerprint().parse().unwrap()].into()),
        token: ApiToken::new(
            &format!("{}={}", stand::CONTROLLER, stand::SECRET),
            "in the test",
        )
        .unwrap(),
    };
    let rec = move |r: &CallRecord| {
        let mut t = t2.lock().unwrap();
        let key: String = r
            .call
            .path
            .split('/')
            .filter(|p| p.parse::<u32>().is_err())
            .collect::<Vec<_>>()
            .join("/");
        let e = t.entry(key).or_default();
        e.0 += 1;
        e.1 += r.elapsed.as_secs_f64() * 1000.0;
    };
    let client = Client::with_recorder(endpoints, Limits::default(), Some(Arc::new(rec))).unwrap();
    let t = std::time::Instant::now();
    let mut w = Watch::begin(&client, WatchSettings::default(), stand::settings())
        .await
        .unwrap();
    eprintln!("begin {:?}", t.elapsed());
    for (k, (c, ms)) in std::mem::take(&mut *times.lock().unwrap()) {
        eprintln!("{k:50} {c:6} {:8.2} ms", ms / f64::from(c));
    }
    let t = std::time::Instant::now();
    let c = cpu();
    for _ in 0..20 {
        let cy = w.cycle(&client).await.unwrap();
        assert!(cy.changed.is_empty(), "{:?}", cy.changed);
    }
    eprintln!("20 cycles {:?} cpu {}", t.elapsed(), cpu() - c);
    for (k, (c, ms)) in std::mem::take(&mut *times.lock().unwrap()) {
        eprintln!("{k:50} {c:6} {:8.2} ms", ms / f64::from(c));
    }
}
