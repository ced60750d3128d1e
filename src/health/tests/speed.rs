//! That the cost stays in proportion to what changes. The bound is for unoptimised code on a busy machine; `benches/` measures.

use std::time::{Duration, Instant};

use super::delete;
use crate::health::{advance, evaluate, summary};
use crate::ids::{GuestKind, Slot};
use crate::world::Action;
use crate::world::testing::{large, storage_id, vmid, volume};

#[test]
fn a_step_changes_only_what_it_touches() {
    let world = large(1_000);
    let started = Instant::now();
    let mut health = evaluate(&world);
    let whole = started.elapsed();
    let action = Action::MoveDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(100),
        slot: Slot::new("scsi0").unwrap(),
        volume: volume("local-zfs:vm-100-disk-0"),
        to: storage_id("ceph"),
        format: None,
    };
    let next = world.apply(&action).unwrap();
    let started = Instant::now();
    let changed = advance(&mut health, &world, &next);
    let step = started.elapsed();
    assert!(changed.is_empty(), "{changed:?}");
    let untouched = world
        .guests
        .iter()
        .filter(|(id, was)| std::sync::Arc::ptr_eq(&next.guests[*id], was))
        .count();
    assert_eq!(untouched, 999);
    let started = Instant::now();
    let end = world.apply(&delete("local-zfs")).unwrap();
    let changed = advance(&mut health, &next, &end);
    let worse = summary(&evaluate(&world), &evaluate(&end));
    println!(
        "whole {whole:?}, one step {step:?}, deleting a storage {:?}",
        started.elapsed()
    );
    assert!(worse.len() > 630 && changed.len() > 630);
    assert!(whole < Duration::from_secs(5), "{whole:?}");
}
