//! What a quiet cycle of a watch costs this process, with a thousand guests in the cluster (or as many as `BAILIWICK_GUESTS` says).
//! The simulator is a process of its own. The aim is less than 20 ms of processor time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs
)]

#[allow(dead_code)]
#[path = "../tests/support/contract.rs"]
mod contract;
#[path = "../tests/watch/stand.rs"]
mod stand;

use std::time::Instant;

use bailiwick::world::{Watch, WatchSettings};

const CYCLES: u32 = 200;

fn main() {
    let guests = std::env::var("BAILIWICK_GUESTS").ok();
    let guests = guests.map_or(1000, |number| number.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(guests));
}

async fn measure(guests: u32) {
    let sim = stand::Apart::start(&stand::world(guests));
    let client = sim.client(stand::CONTROLLER);
    let (cpu, clock) = (stand::processor_seconds(), Instant::now());
    let begun = Watch::begin(&client, WatchSettings::default(), stand::settings()).await;
    let mut watch = begun.unwrap();
    println!(
        "watch/{guests} guests: first observation {:.2} s of processor time in {:.1} s",
        stand::processor_seconds() - cpu,
        clock.elapsed().as_secs_f64()
    );
    let (cpu, clock) = (stand::processor_seconds(), Instant::now());
    let mut requests = 0;
    for _ in 0..CYCLES {
        let cycle = watch.cycle(&client).await.unwrap();
        assert!(cycle.changed.is_empty(), "{:?}", cycle.changed);
        requests = requests.max(cycle.requests);
    }
    println!(
        "watch/{guests} guests: {:.1} ms of processor time a cycle (goal: under 20), {:.0} ms on the clock; at most {requests} \
         requests; {} KiB resident; a sweep takes {} cycles",
        (stand::processor_seconds() - cpu) * 1000.0 / f64::from(CYCLES),
        clock.elapsed().as_secs_f64() * 1000.0 / f64::from(CYCLES),
        stand::resident(),
        watch.sweep_cycles()
    );
}
