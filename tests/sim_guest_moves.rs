//! Guests of the simulator over real TLS: their volumes, snapshots, clones, moves and end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "sim/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "sim/guests.rs"]
#[allow(dead_code)]
mod guests;

use client::Sim;
use guests::{config, failed, run, volumes};
use serde_json::json;

#[tokio::test]
async fn disks_grow_and_never_shrink() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102";
    let size = |text: &'static str| [("disk", "scsi0"), ("size", text)];
    assert_eq!(
        run(&sim, "PUT", &format!("{vm}/resize"), &size("+512M")).await,
        "OK"
    );
    assert_eq!(
        config(&sim, vm).await["scsi0"],
        "ceph-vm:vm-102-disk-0,iothread=1,size=66048M"
    );
    assert_eq!(
        run(&sim, "PUT", &format!("{vm}/resize"), &size("1G")).await,
        "shrinking disks is not supported"
    );
    assert_eq!(
        run(&sim, "PUT", &format!("{vm}/resize"), &size("66048M")).await,
        "OK"
    );
    let ct = "/nodes/pve1/lxc/301";
    let same = sim
        .call(
            "PUT",
            &format!("{ct}/resize"),
            &[("disk", "rootfs"), ("size", "16G")],
        )
        .await;
    assert_eq!(failed(&same), (500, "disk is already at specified size"));
    assert_eq!(
        run(
            &sim,
            "PUT",
            &format!("{ct}/resize"),
            &[("disk", "rootfs"), ("size", "17G")]
        )
        .await,
        "OK"
    );
    assert_eq!(
        config(&sim, ct).await["rootfs"],
        "nfs-data:301/vm-301-disk-0.raw,size=17G"
    );
}

#[tokio::test]
async fn disks_move_to_other_storages() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve1/qemu/104";
    let there = [("disk", "scsi0"), ("storage", "ceph-vm"), ("delete", "1")];
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/move_disk"), &there).await,
        "OK"
    );
    assert_eq!(
        config(&sim, vm).await["scsi0"],
        "ceph-vm:vm-104-disk-1,iothread=1,size=48G"
    );
    assert!(volumes(&sim, "pve1", "local-zfs", 104).await.is_empty());
    let again = sim.call("POST", &format!("{vm}/move_disk"), &there).await;
    assert_eq!(
        failed(&again),
        (500, "you can't move to the same storage with same format")
    );
    let missing = sim
        .call(
            "POST",
            &format!("{vm}/move_disk"),
            &[("disk", "scsi0"), ("storage", "nosuch")],
        )
        .await;
    assert_eq!(failed(&missing), (500, "storage 'nosuch' does not exist"));
    let iso = [("disk", "scsi0"), ("storage", "local")];
    let exit = run(&sim, "POST", &format!("{vm}/move_disk"), &iso).await;
    assert_eq!(
        exit,
        "storage migration failed: storage 'local' does not support content-type 'images'"
    );

    let ct = "/nodes/pve1/lxc/301";
    assert_eq!(
        run(&sim, "POST", &format!("{ct}/status/start"), &[]).await,
        "OK"
    );
    let mount = [("volume", "mp1"), ("storage", "ceph-vm")];
    let running = sim.call("POST", &format!("{ct}/move_volume"), &mount).await;
    assert_eq!(
        failed(&running),
        (500, "cannot move volumes of a running container")
    );
    assert_eq!(
        run(&sim, "POST", &format!("{ct}/status/shutdown"), &[]).await,
        "OK"
    );
    assert_eq!(
        run(&sim, "POST", &format!("{ct}/move_volume"), &mount).await,
        "OK"
    );
    let now = config(&sim, ct).await;
    assert_eq!(
        now["mp1"],
        "ceph-vm:vm-301-disk-0,mp=/srv/archive,size=100G"
    );
    assert_eq!(now["unused0"], "local-zfs:subvol-301-disk-0");
    assert!(now.get("lock").is_none());
}

#[tokio::test]
async fn snapshots_are_taken_rolled_back_and_deleted() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102";
    let take = |name: &'static str| {
        [
            ("snapname", name),
            ("vmstate", "1"),
            ("description", "before"),
        ]
    };
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/snapshot"), &take("one")).await,
        "OK"
    );
    let now = config(&sim, vm).await;
    assert_eq!(now["parent"], "one");
    assert!(
        volumes(&sim, "pve2", "ceph-vm", 102)
            .await
            .contains(&"ceph-vm:vm-102-state-one".to_owned())
    );
    let busy = [("disk", "scsi0"), ("storage", "nfs-data"), ("delete", "1")];
    let refused = sim.call("POST", &format!("{vm}/move_disk"), &busy).await;
    assert_eq!(
        failed(&refused),
        (
            500,
            "you can't move a disk with snapshots and delete the source"
        )
    );
    sim.call("PUT", &format!("{vm}/config"), &[("name", "changed")])
        .await
        .data();
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/snapshot/one/rollback"), &[]).await,
        "OK"
    );
    let back = config(&sim, vm).await;
    assert_eq!(back["name"], "mail");
    assert_ne!(back["vmgenid"], now["vmgenid"]);
    let running = sim.get(&format!("{vm}/status/current")).await;
    assert_eq!(
        running.data()["status"],
        "running",
        "memory was restored too"
    );
    assert_eq!(
        run(&sim, "DELETE", &format!("{vm}/snapshot/one"), &[]).await,
        "OK"
    );
    assert_eq!(
        volumes(&sim, "pve2", "ceph-vm", 102).await,
        ["ceph-vm:vm-102-disk-0"]
    );
    assert!(config(&sim, vm).await.get("parent").is_none());
    let missing = run(&sim, "DELETE", &format!("{vm}/snapshot/one"), &[]).await;
    assert_eq!(missing, "snapshot 'one' does not exist");
}

#[tokio::test]
async fn clones_are_full_or_linked_and_protect_their_base() {
    let sim = Sim::lab().await;
    let linked = [("newid", "400"), ("name", "linked"), ("pool", "lab")];
    assert_eq!(
        run(&sim, "POST", "/nodes/pve1/qemu/105/clone", &linked).await,
        "OK"
    );
    let made = config(&sim, "/nodes/pve1/qemu/400").await;
    assert_eq!(
        made["scsi0"],
        "ceph-vm:base-105-disk-0/vm-400-disk-0,iothread=1,size=8G"
    );
    assert!(made.get("template").is_none());
    let exit = run(&sim, "DELETE", "/nodes/pve1/qemu/105", &[]).await;
    assert_eq!(
        exit,
        "base volume 'ceph-vm:base-105-disk-0' is still in use by linked cloned"
    );

    let full = [("newid", "401"), ("full", "1"), ("storage", "nfs-data")];
    assert_eq!(
        run(&sim, "POST", "/nodes/pve1/qemu/104/clone", &full).await,
        "OK"
    );
    let made = config(&sim, "/nodes/pve1/qemu/401").await;
    assert_eq!(
        made["scsi0"],
        "nfs-data:401/vm-401-disk-0.raw,iothread=1,size=48G"
    );
    assert_eq!(made["name"], "Copy-of-VM-shop-db");
    let source = config(&sim, "/nodes/pve1/qemu/104").await;
    assert_ne!(made["smbios1"], source["smbios1"]);
    assert_ne!(made["net0"], source["net0"]);
    let not_template = [("newid", "402"), ("full", "0")];
    let refused = sim
        .call("POST", "/nodes/pve1/qemu/104/clone", &not_template)
        .await;
    let text = "Linked clone feature is not supported for 'local-zfs:vm-104-disk-0' (scsi0)";
    assert_eq!(failed(&refused), (500, text));

    assert_eq!(
        run(&sim, "POST", "/nodes/pve1/qemu/401/template", &[]).await,
        "OK"
    );
    let made = config(&sim, "/nodes/pve1/qemu/401").await;
    assert_eq!(
        (&made["template"], &made["scsi0"]),
        (
            &json!(1),
            &json!("nfs-data:401/base-401-disk-0.raw,iothread=1,size=48G")
        )
    );
    let start = run(&sim, "POST", "/nodes/pve1/qemu/401/status/start", &[]).await;
    assert_eq!(start, "you can't start a vm if it's a template");
}

#[tokio::test]
async fn guests_migrate_with_what_they_need() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102";
    let ahead = sim.get(&format!("{vm}/migrate")).await;
    assert_eq!(ahead.data()["allowed_nodes"], json!(["pve1", "pve3"]));
    assert_eq!(ahead.data()["local_disks"], json!([]));
    let offline = sim
        .call("POST", &format!("{vm}/migrate"), &[("target", "pve3")])
        .await;
    assert_eq!(
        failed(&offline),
        (500, "can't migrate running VM without --online")
    );
    let there = sim
        .call(
            "POST",
            &format!("{vm}/migrate"),
            &[("target", "pve3"), ("online", "1")],
        )
        .await;
    assert_eq!(sim.task(&there).await, "OK");
    assert_eq!(sim.get(&format!("{vm}/config")).await.status, 500);
    let status = sim.get("/nodes/pve3/qemu/102/status/current").await;
    assert_eq!(status.data()["status"], "running");
    assert!(status.data().get("lock").is_none());

    let local = "/nodes/pve1/qemu/104/migrate";
    let params = [("target", "pve2"), ("online", "1")];
    assert_eq!(run(&sim, "POST", local, &params).await, "migration aborted");
    let params = [
        ("target", "pve2"),
        ("online", "1"),
        ("with-local-disks", "1"),
        ("targetstorage", "ceph-vm"),
    ];
    assert_eq!(run(&sim, "POST", local, &params).await, "OK");
    let moved = config(&sim, "/nodes/pve2/qemu/104").await;
    assert_eq!(moved["scsi0"], "ceph-vm:vm-104-disk-1,iothread=1,size=48G");

    // What is exported and imported keeps its name, and not every type of storage reads what another one writes.
    let stopped = "/nodes/pve2/qemu/125/migrate";
    let params = [("target", "pve3"), ("targetstorage", "local-lvm:local-zfs")];
    assert_eq!(
        run(&sim, "POST", stopped, &params).await,
        "migration aborted"
    );
    let params = [("target", "pve3"), ("targetstorage", "local-lvm:nfs-data")];
    assert_eq!(run(&sim, "POST", stopped, &params).await, "OK");
    let moved = config(&sim, "/nodes/pve3/qemu/125").await;
    assert_eq!(moved["virtio0"], "nfs-data:125/vm-125-disk-0.raw,size=60G");

    let ct = "/nodes/pve2/lxc/303";
    let restart = sim
        .call("POST", &format!("{ct}/migrate"), &[("target", "pve1")])
        .await;
    assert_eq!(
        failed(&restart),
        (
            500,
            "can't migrate running container without --online or --restart"
        )
    );
    assert_eq!(
        run(
            &sim,
            "POST",
            &format!("{ct}/migrate"),
            &[("target", "pve1"), ("restart", "1")]
        )
        .await,
        "OK"
    );
    assert_eq!(
        sim.get("/nodes/pve1/lxc/303/status/current").await.data()["status"],
        "running"
    );
}

#[tokio::test]
async fn the_ha_manager_does_what_is_asked_of_its_guests() {
    let sim = Sim::lab().await;
    let stop = sim
        .call("POST", "/nodes/pve1/qemu/112/status/stop", &[])
        .await;
    assert!(stop.data().as_str().unwrap().contains(":hastop:112:"));
    assert_eq!(sim.task(&stop).await, "OK");
    assert_eq!(
        sim.get("/nodes/pve1/qemu/112/status/current").await.data()["status"],
        "running"
    );
    for _ in 0..20 {
        sim.running.advance(5.0);
        sim.get("/version").await;
    }
    assert_eq!(
        sim.get("/nodes/pve1/qemu/112/status/current").await.data()["status"],
        "stopped"
    );
    assert_eq!(
        sim.get("/cluster/ha/resources/vm:112").await.data()["state"],
        "stopped"
    );
    let refused = sim.call("DELETE", "/nodes/pve1/qemu/112", &[]).await;
    let text = "unable to remove VM 112 - used in HA resources and purge parameter not set.";
    assert_eq!(failed(&refused), (500, text));
    assert_eq!(
        run(&sim, "DELETE", "/nodes/pve1/qemu/112", &[("purge", "1")]).await,
        "OK"
    );
    assert_eq!(sim.get("/cluster/ha/resources/vm:112").await.status, 500);
}

#[tokio::test]
async fn destroying_takes_volumes_and_references_along() {
    let sim = Sim::lab().await;
    let running = sim.call("DELETE", "/nodes/pve2/qemu/102", &[]).await;
    assert_eq!(
        failed(&running),
        (500, "VM 102 is running - destroy failed")
    );
    sim.running
        .with(|cluster| cluster.files.set("firewall/210.fw", "[OPTIONS]\n"));
    assert_eq!(
        run(&sim, "DELETE", "/nodes/pve2/qemu/210", &[("purge", "1")]).await,
        "OK"
    );
    assert!(volumes(&sim, "pve2", "local-zfs", 210).await.is_empty());
    sim.running.with(|cluster| {
        assert_eq!(cluster.files.get("firewall/210.fw"), None);
        assert_eq!(cluster.guest(210), None);
    });
    let start = "/nodes/pve1/lxc/301/status/start";
    assert_eq!(run(&sim, "POST", start, &[]).await, "OK");
    let ct = sim.call("DELETE", "/nodes/pve1/lxc/301", &[]).await;
    assert_eq!(
        failed(&ct),
        (500, "unable to destroy CT 301 - container is running")
    );
    assert_eq!(
        run(&sim, "DELETE", "/nodes/pve1/lxc/301", &[("force", "1")]).await,
        "OK"
    );
    let pool = sim.get("/pools?poolid=prod").await;
    assert!(
        pool.data()[0]["members"]
            .as_array()
            .unwrap()
            .iter()
            .all(|member| member["vmid"] != 301)
    );
}
