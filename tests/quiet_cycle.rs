//! What a quiet cycle allocates does not grow with the guests that it does not touch: the memory it asks for is counted, in clusters of
//! one size and of three times that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs
)]

#[path = "support/contract.rs"]
mod contract;
#[path = "watch/stand.rs"]
mod stand;

use std::alloc::System;

use bailiwick::world::{Watch, WatchSettings};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many cycles are counted. They read lists and sweep guests in turn, so they are not all alike.
const CYCLES: usize = 12;

/// How many allocations the cheapest of some quiet cycles makes, and the dearest, when the sweep has come to the guests.
async fn quiet(guests: u32) -> (usize, usize) {
    let sim = stand::Apart::start(&stand::world(guests));
    let client = sim.client(stand::CONTROLLER);
    let begun = Watch::begin(&client, WatchSettings::default(), stand::settings()).await;
    let mut watch = begun.unwrap();
    assert_eq!(watch.world().guests.len(), guests as usize);
    // What comes before the guests in the sweep is larger in a larger cluster, as it should be: it is read.
    for _ in 0..30 {
        watch.cycle(&client).await.unwrap();
    }
    let mut counted = Vec::new();
    for _ in 0..CYCLES {
        let region = Region::new(ALLOCATOR);
        let cycle = watch.cycle(&client).await.unwrap();
        let change = region.change();
        assert!(
            cycle.changed.is_empty() && !cycle.full,
            "{:?}",
            cycle.changed
        );
        counted.push(change.allocations + change.reallocations);
    }
    (
        counted.iter().copied().min().unwrap(),
        counted.iter().copied().max().unwrap(),
    )
}

#[test]
fn a_quiet_cycle_allocates_nothing_per_guest_it_does_not_touch() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (small, large) = (500, 1500);
    let of_small = runtime.block_on(quiet(small));
    let of_large = runtime.block_on(quiet(large));
    // The answer itself comes in pieces of some kilobytes, a few dozen guests in each.
    let allowed = (large - small) as usize / 10;
    assert!(
        of_large.0 < of_small.0 + allowed,
        "{of_small:?} {of_large:?}"
    );
    assert!(
        of_large.1 < of_small.1 + allowed,
        "{of_small:?} {of_large:?}"
    );
}
