//! That the cost stays in proportion to what changes: what is shared is shared, what is looked at anew is little. `benches/` measures.

use super::delete;
use crate::health::{advance, evaluate, summary};
use crate::ids::{GuestKind, Slot};
use crate::world::Action;
use crate::world::testing::{large, storage_id, vmid, volume};

#[test]
fn a_step_changes_only_what_it_touches() {
    let world = large(1_000);
    let before = evaluate(&world);
    let mut health = before.clone();
    let action = Action::MoveDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(100),
        slot: Slot::new("scsi0").unwrap(),
        volume: volume("local-zfs:vm-100-disk-0"),
        to: storage_id("ceph"),
        format: None,
    };
    let next = world.apply(&action).unwrap();
    let changed = advance(&mut health, &world, &next);
    assert!(changed.is_empty(), "{changed:?}");
    let shared = world
        .guests
        .iter()
        .filter(|(id, was)| std::sync::Arc::ptr_eq(&next.guests[*id], was));
    assert_eq!(shared.count(), 999);
    let end = world.apply(&delete("local-zfs")).unwrap();
    let changed = advance(&mut health, &next, &end);
    assert!(changed.len() > 630);
    assert!(summary(&before, &health).len() > 630);
}
