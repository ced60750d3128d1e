//! Laws that hold for every plan, whatever the documents.

use proptest::prelude::*;

use super::fixture::*;
use crate::document::desired::{Power, Wish};
use crate::ids::GuestKind;
use crate::plan::{Item, Plan, check, undo};
use crate::world::Status;

/// Documents that make sense together, in no particular order.
fn documents() -> impl Strategy<Value = Vec<Item>> {
    let memory = proptest::option::of(prop::sample::select(vec!["2048", "4096", "6144"]));
    let vms = prop::collection::btree_map(
        prop::sample::select(vec![102u32, 104, 105]),
        (
            memory,
            proptest::option::of(prop::sample::select(vec!["vmbr0", "vmbr1"])),
            proptest::option::of((
                prop::sample::select(vec!["ceph-vm", "local-zfs"]),
                100u64..140,
            )),
            proptest::option::of(prop::sample::select(vec![Power::Running, Power::Stopped])),
            proptest::option::of(prop::sample::select(vec!["pve1", "pve2"])),
            any::<bool>(),
        ),
        0..=3,
    );
    let made = 0usize..3;
    let pool = proptest::option::of(any::<bool>());
    let store = any::<bool>();
    (vms, made, pool, store).prop_map(|(vms, made, pool, store)| {
        let mut items = Vec::new();
        for (number, (memory, bridge, grown, power, place, pooled)) in vms {
            let mut wanted = vm(number);
            if let Some(memory) = memory {
                wanted = set(wanted, "memory", memory);
            }
            if let Some(bridge) = bridge {
                wanted = set(wanted, "net0", &format!("virtio,bridge={bridge}"));
            }
            if let Some((storage, gib)) = grown {
                wanted = with_disk(wanted, "scsi0", sized(storage, gib));
            }
            wanted.power = power;
            wanted.node = place.map(node);
            wanted.pool = pooled.then(|| Wish::Set(pool_id("prod")));
            items.push(doc(wanted));
        }
        for index in 0..made {
            let mut wanted = guest(GuestKind::Qemu, None, &format!("new-{index}"));
            if index == 0 {
                wanted.node = Some(node("pve1"));
            } else {
                wanted.nodes = [node("pve1"), node("pve2")].into();
            }
            wanted.power = (index == 0).then_some(Power::Running);
            let target = if store { "fast" } else { "ceph-vm" };
            items.push(doc(with_disk(wanted, "scsi0", sized(target, 8))));
        }
        if store {
            let options = [("pool", "tank"), ("content", "images")];
            items.push(storage_doc("fast", Some("zfspool"), &options));
        }
        if let Some(empty) = pool {
            items.push(pool_doc("extra", (!empty).then_some(&[301])));
        }
        items
    })
}

fn made(lab: &Lab, items: Vec<Item>) -> Option<Plan> {
    // Contradictions are refused, which is as good.
    lab.try_plan(items).ok()
}

/// The world after a plan, if every step of it is possible.
fn carried_out(lab: &Lab, plan: &Plan) -> Option<crate::world::World> {
    plan.steps
        .iter()
        .try_fold(lab.world.clone(), |world, step| world.apply(&step.action))
        .ok()
}

/// A predicted world as it would be read: with digests.
fn read_back(mut lab: Lab, world: crate::world::World) -> Lab {
    lab.world = world;
    let numbers: Vec<u32> = lab.world.guests.keys().map(|vmid| vmid.get()).collect();
    for number in numbers {
        lab.edit(number, |guest| {
            guest.config.digest = format!("{:040}", number + 1);
        });
    }
    let ids: Vec<String> = lab.world.storages.keys().map(|id| id.to_string()).collect();
    for id in ids {
        lab.edit_storage(&id, |storage| storage.digest = "f".repeat(40));
    }
    lab
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_passes_the_judge(items in documents()) {
        let lab = Lab::new();
        if let Some(plan) = made(&lab, items) {
            prop_assert_eq!(check(&plan), vec![]);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_in_any_order(items in documents()) {
        let lab = Lab::new();
        let mut turned = items.clone();
        turned.reverse();
        match (lab.try_plan(items), lab.try_plan(turned)) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(serde_json::to_vec(&a).unwrap(), serde_json::to_vec(&b).unwrap());
                prop_assert!(a.hash.0.starts_with("sha256:"));
            }
            (Err(a), Err(b)) => prop_assert_eq!(a, b),
            (a, b) => prop_assert!(false, "{a:?}\n{b:?}"),
        }
    }

    #[test]
    fn a_guest_that_has_nothing_to_do_with_it_changes_nothing(items in documents()) {
        let lab = Lab::new();
        let mut more = Lab::new();
        more.guest(GuestKind::Qemu, 777, "stranger", "pve2", Status::Stopped, &[
            ("memory", "512"), ("boot", "order=scsi0"), ("scsi0", "ceph-vm:vm-777-disk-0,size=1G"),
        ]);
        if let (Some(a), Some(b)) = (made(&lab, items.clone()), made(&more, items)) {
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn after_a_plan_there_is_nothing_left_to_do(items in documents()) {
        let lab = Lab::new();
        let Some(plan) = made(&lab, items.clone()) else { return Ok(()) };
        let Some(world) = carried_out(&lab, &plan) else { return Ok(()) };
        let ownership = lab.ownership.after(&plan, &items, &lab.secrets, &world);
        let mut lab = read_back(lab, world);
        lab.ownership = ownership;
        let again = lab.try_plan(items).unwrap();
        prop_assert!(again.steps.is_empty(), "{:#?}", titles(&again));
        prop_assert!(again.changes.is_empty(), "{:#?}", again.changes);
        prop_assert_eq!(again.risk, crate::plan::Risk::None);
    }

    #[test]
    fn an_undo_passes_the_judge_and_brings_back_what_it_can(items in documents()) {
        let lab = Lab::new();
        let Some(plan) = made(&lab, items.clone()) else { return Ok(()) };
        let Some(world) = carried_out(&lab, &plan) else { return Ok(()) };
        let before = lab.world.clone();
        let ownership = lab.ownership.after(&plan, &items, &lab.secrets, &world);
        let mut lab = read_back(lab, world);
        lab.ownership = ownership;
        let done = plan.steps.iter().map(|step| step.id).collect();
        let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
        prop_assert_eq!(check(&back), vec![], "{:#?}", back);
        let Some(end) = carried_out(&lab, &back) else { return Ok(()) };
        prop_assert_eq!(end.guests.keys().collect::<Vec<_>>(), before.guests.keys().collect::<Vec<_>>());
        prop_assert_eq!(end.storages.keys().collect::<Vec<_>>(), before.storages.keys().collect::<Vec<_>>());
        prop_assert_eq!(&end.pools, &before.pools);
        for (vmid, guest) in &end.guests {
            prop_assert_eq!(&guest.node, &before.guests[vmid].node);
            prop_assert_eq!(guest.status, before.guests[vmid].status);
            let key = |world: &crate::world::World| world.guests[vmid].config.next_start().get("memory").cloned();
            prop_assert_eq!(key(&end), key(&before));
        }
    }
}
