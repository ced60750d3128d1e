//! Findings: what is wrong and what could not be seen, within a scope.

use super::lab;
use crate::health::{Finding, Scope, Severity, findings};
use crate::world::testing::{Builder, node, storage_id, vmid};
use crate::world::{Part, World};

/// A guest that is well: it runs, boots, and is backed up by a job.
fn well() -> Builder {
    lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("boot", "order=scsi0"),
                ("net0", "virtio=A,bridge=vmbr0"),
            ],
        )
        .running(104)
        .backup("pve1", "nas", 104)
        .backup_job("nightly", "nas", &[104, 105])
}

fn codes(world: &World, scope: &Scope) -> Vec<String> {
    let (found, _) = findings(world, scope);
    found
        .iter()
        .map(|f| format!("{} {} {}", f.severity.word(), f.object, f.code))
        .collect()
}

#[test]
fn a_guest_that_is_well_has_no_findings() {
    let world = well().build();
    assert_eq!(findings(&world, &Scope::Guest(vmid(104))), (vec![], vec![]));
}

#[test]
fn what_is_wrong_comes_first_with_its_causes() {
    let world = well()
        .locked(104, "backup")
        .pending(104, "memory", Some("2048"))
        .edit(|world| {
            world.storages.remove(&storage_id("ceph"));
            world.quorate = Some(false);
        })
        .build();
    let (found, _) = findings(&world, &Scope::Guest(vmid(104)));
    let critical: Vec<&Finding> = found
        .iter()
        .filter(|f| f.severity == Severity::Critical)
        .collect();
    assert_eq!(
        critical.iter().map(|f| f.code).collect::<Vec<_>>(),
        ["cannot_start", "not_quorate", "volume_unusable"]
    );
    assert!(found.is_sorted());
    assert!(
        critical[0].causes.join(" ").contains("ceph"),
        "{critical:?}"
    );
    let all = codes(&world, &Scope::Guest(vmid(104)));
    assert!(all.contains(&"warning vm/104 locked".to_owned()), "{all:?}");
    assert!(
        all.contains(&"notice vm/104 pending_change".to_owned()),
        "{all:?}"
    );
}

#[test]
fn nodes_and_storages_bring_along_what_is_on_them() {
    let world = well()
        .vm(
            105,
            "pve2",
            &[
                ("scsi0", "local-zfs:vm-105-disk-0"),
                ("boot", "order=scsi0"),
                ("net0", "virtio=A,bridge=vmbr9"),
            ],
        )
        .edit(|world| {
            let pve2 = world.nodes.get_mut(&node("pve2")).unwrap();
            let pve2 = std::sync::Arc::make_mut(pve2);
            pve2.online = Some(false);
            pve2.storages
                .get_mut(&storage_id("local-zfs"))
                .unwrap()
                .active = false;
        })
        .build();
    let of_node = codes(&world, &Scope::Node(node("pve2")));
    for expected in [
        "critical node/pve2 node_offline",
        "critical vm/105 cannot_start",
        "critical vm/105 bridge_missing",
        "critical storage/local-zfs storage_inactive",
    ] {
        assert!(
            of_node.contains(&expected.to_owned()),
            "{expected} in {of_node:?}"
        );
    }
    assert!(
        !of_node.iter().any(|line| line.contains("vm/104")),
        "{of_node:?}"
    );
    let of_storage = codes(&world, &Scope::Storage(storage_id("local-zfs")));
    assert!(of_storage.contains(&"critical storage/local-zfs storage_inactive".to_owned()));
    assert!(codes(&world, &Scope::Guest(vmid(104))).is_empty());
    let everything = codes(&world, &Scope::Cluster);
    assert!(of_node.iter().all(|line| everything.contains(line)));
}

#[test]
fn what_could_not_be_read_is_unseen_and_never_fine() {
    let world = well()
        .unreadable(Part::GuestConfig(vmid(104)), "node pve1 did not answer")
        .unreadable(Part::NodeNetwork(node("pve3")), "permission check failed")
        .edit(|world| world.quorate = None)
        .build();
    let (_, unseen) = findings(&world, &Scope::Guest(vmid(104)));
    let lines: Vec<String> = unseen
        .iter()
        .map(|u| format!("{}: {}", u.what, u.why))
        .collect();
    let text = lines.join("\n");
    assert!(
        text.contains("the configuration of guest 104: node pve1 did not answer"),
        "{text}"
    );
    assert!(text.contains("quorate"), "{text}");
    // Not of this guest's node.
    assert!(!text.contains("pve3"), "{text}");
    let (_, unseen) = findings(&world, &Scope::Cluster);
    assert!(unseen.iter().any(|u| u.what.contains("pve3")));
}
