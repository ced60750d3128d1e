//! Guests of the simulator over real TLS, with a token: their whole life, and what stands in its way.
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

use client::{OBSERVER, ROOT, Reply, Sim};
use serde_json::{Value, json};

fn failed(reply: &Reply) -> (u16, &str) {
    (
        reply.status,
        reply.body["message"]
            .as_str()
            .unwrap_or_default()
            .trim_end(),
    )
}

/// Calls, waits for the task, and answers how it ended.
async fn run(sim: &Sim, method: &str, path: &str, params: &[(&str, &str)]) -> String {
    let reply = sim.call(method, path, params).await;
    sim.task(&reply).await
}

async fn config(sim: &Sim, path: &str) -> Value {
    sim.get(&format!("{path}/config?current=1"))
        .await
        .data()
        .clone()
}

async fn volumes(sim: &Sim, node: &str, storage: &str, vmid: u32) -> Vec<String> {
    let content = sim
        .get(&format!(
            "/nodes/{node}/storage/{storage}/content?vmid={vmid}"
        ))
        .await;
    let list = content.data().as_array().unwrap().clone();
    list.iter()
        .map(|entry| entry["volid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_virtual_machine_is_created_with_what_proxmox_fills_in() {
    let sim = Sim::start(client::LAB, 1.0).await;
    let params = [
        ("vmid", "400"),
        ("name", "new"),
        ("memory", "1024"),
        ("scsi0", "ceph-vm:8,ssd=on"),
        ("net0", "bridge=vmbr0,model=virtio"),
        ("tags", "b;A"),
        ("pool", "lab"),
        ("ostype", "l26"),
    ];
    let created = sim.call("POST", "/nodes/pve1/qemu", &params).await;
    let while_made = config(&sim, "/nodes/pve1/qemu/400").await;
    assert_eq!(while_made["lock"], "create");
    sim.running.advance(10.0);
    assert_eq!(sim.task(&created).await, "OK");
    let made = config(&sim, "/nodes/pve1/qemu/400").await;
    assert_eq!(made["scsi0"], "ceph-vm:vm-400-disk-0,size=8G,ssd=1");
    assert_eq!(made["boot"], "order=scsi0;net0");
    assert_eq!(made["tags"], "b;A");
    assert!(
        made["net0"]
            .as_str()
            .unwrap()
            .starts_with("virtio=BC:24:11:"),
        "{made}"
    );
    for key in ["digest", "meta", "smbios1", "vmgenid"] {
        assert!(made[key].is_string(), "{key}");
    }
    assert!(made.get("lock").is_none());
    assert_eq!(
        volumes(&sim, "pve1", "ceph-vm", 400).await,
        ["ceph-vm:vm-400-disk-0"]
    );
    let pool = sim.get("/pools?poolid=lab").await;
    assert!(
        pool.data()[0]["members"]
            .as_array()
            .unwrap()
            .iter()
            .any(|member| member["vmid"] == 400)
    );

    let again = sim
        .call("POST", "/nodes/pve1/qemu", &[("vmid", "400")])
        .await;
    assert_eq!(
        failed(&again),
        (
            500,
            "unable to create VM 400 - VM 400 already exists on node 'pve1'"
        )
    );
    let other = sim
        .call(
            "POST",
            "/nodes/pve1/qemu",
            &[("vmid", "401"), ("scsi0", "local:1")],
        )
        .await;
    assert_eq!(
        other.error("storage"),
        "storage 'local' does not support vm images"
    );
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let sim = Sim::lab().await;
    let params = [
        ("vmid", "400"),
        ("pool", "lab"),
        ("scsi0", "local-zfs:1"),
        ("scsi1", "local-zfs:99999999"),
    ];
    let exit = run(&sim, "POST", "/nodes/pve1/qemu", &params).await;
    assert!(
        exit.starts_with("unable to create VM 400 - zfs error"),
        "{exit}"
    );
    assert_eq!(sim.get("/nodes/pve1/qemu/400/config").await.status, 500);
    assert!(volumes(&sim, "pve1", "local-zfs", 400).await.is_empty());
}

#[tokio::test]
async fn a_running_machine_takes_some_changes_at_once_and_keeps_others_pending_until_it_starts_again()
 {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102";
    let change = [
        ("memory", "6144"),
        ("name", "mail-2"),
        ("net1", "virtio,bridge=vmbr0"),
        ("cores", "6"),
    ];
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/config"), &change).await,
        "OK"
    );
    let now = config(&sim, vm).await;
    assert_eq!(
        (&now["name"], &now["memory"], &now["cores"]),
        (&json!("mail-2"), &json!("4096"), &json!(4))
    );
    assert!(now["net1"].is_string());
    let later = sim.get(&format!("{vm}/config")).await;
    assert_eq!(
        (&later.data()["memory"], &later.data()["cores"]),
        (&json!("6144"), &json!(6))
    );
    let pending = sim.get(&format!("{vm}/pending")).await;
    let entry = |key: &str| {
        pending
            .data()
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(
        entry("memory"),
        json!({"key": "memory", "value": "4096", "pending": "6144"})
    );

    assert_eq!(
        sim.call("PUT", &format!("{vm}/config"), &[("revert", "cores")])
            .await
            .status,
        200
    );
    assert_eq!(
        sim.call(
            "PUT",
            &format!("{vm}/config"),
            &[("delete", "onboot,smbios1")]
        )
        .await
        .status,
        200
    );
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/status/reboot"), &[]).await,
        "OK"
    );
    let after = config(&sim, vm).await;
    assert_eq!(
        (&after["memory"], &after["cores"]),
        (&json!("6144"), &json!(4))
    );
    assert!(after.get("onboot").is_none() && after.get("smbios1").is_none());
}

#[tokio::test]
async fn a_stopped_machine_applies_everything_that_is_pending() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102";
    sim.call("PUT", &format!("{vm}/config"), &[("memory", "6144")])
        .await
        .data();
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/status/stop"), &[]).await,
        "OK"
    );
    assert_eq!(
        config(&sim, vm).await["memory"],
        "4096",
        "a stop alone applies nothing"
    );
    sim.call("PUT", &format!("{vm}/config"), &[("cores", "2")])
        .await
        .data();
    let after = config(&sim, vm).await;
    assert_eq!(
        (&after["memory"], &after["cores"]),
        (&json!("6144"), &json!(2))
    );
}

#[tokio::test]
async fn removed_drives_become_unused_and_unused_ones_are_freed() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve1/qemu/104";
    sim.call("PUT", &format!("{vm}/config"), &[("delete", "scsi1")])
        .await
        .data();
    let now = config(&sim, vm).await;
    assert_eq!(now["unused0"], "ceph-vm:vm-104-disk-0");
    assert!(now.get("scsi1").is_none());
    let back = [("scsi1", "ceph-vm:vm-104-disk-0,iothread=1")];
    sim.call("PUT", &format!("{vm}/config"), &back).await.data();
    let now = config(&sim, vm).await;
    assert_eq!(now["scsi1"], "ceph-vm:vm-104-disk-0,iothread=1,size=200G");
    assert!(now.get("unused0").is_none());

    sim.call("PUT", &format!("{vm}/config"), &[("protection", "1")])
        .await
        .data();
    let refused = sim
        .call("PUT", &format!("{vm}/config"), &[("delete", "scsi1")])
        .await;
    assert_eq!(
        failed(&refused),
        (500, "can't remove drive 'scsi1' - protection mode enabled")
    );
    sim.call("PUT", &format!("{vm}/config"), &[("protection", "0")])
        .await
        .data();
    sim.call(
        "PUT",
        &format!("{vm}/unlink"),
        &[("idlist", "scsi1"), ("force", "1")],
    )
    .await
    .data();
    assert!(volumes(&sim, "pve1", "ceph-vm", 104).await.is_empty());
}

#[tokio::test]
async fn digests_locks_and_privileges_are_kept() {
    let mut sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/102/config";
    let digest = sim.get(vm).await.data()["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    sim.call("PUT", vm, &[("cores", "5"), ("digest", &digest)])
        .await
        .data();
    let stale = sim
        .call("PUT", vm, &[("cores", "6"), ("digest", &digest)])
        .await;
    assert_eq!(
        failed(&stale),
        (500, "checksum mismatch (file change by other user?)")
    );
    let ct = "/nodes/pve1/lxc/301/config";
    let stale = sim
        .call("PUT", ct, &[("cores", "3"), ("digest", &digest)])
        .await;
    let text = "detected modified configuration - file changed by other user? Try again.";
    assert_eq!(failed(&stale), (500, text));

    let root_only = sim.call("PUT", vm, &[("args", "-x")]).await;
    assert_eq!(failed(&root_only), (500, "only root can set 'args' config"));
    let bind = sim.call("PUT", ct, &[("mp5", "/srv,mp=/srv")]).await;
    assert_eq!(
        failed(&bind),
        (
            403,
            "Permission check failed (mount point type bind is only allowed for root@pam)"
        )
    );
    let skip = sim
        .call(
            "POST",
            "/nodes/pve2/qemu/102/status/stop",
            &[("skiplock", "1")],
        )
        .await;
    assert_eq!(skip.error("skiplock"), "Only root may use this option.");

    sim.become_token(OBSERVER);
    let denied = sim.call("PUT", vm, &[("cores", "1")]).await;
    assert_eq!(denied.status, 403);
    assert!(
        failed(&denied)
            .1
            .starts_with("Permission check failed (/vms/102, VM.Config.Disk|"),
        "{denied:?}"
    );
    let denied = sim
        .call("POST", "/nodes/pve2/qemu/102/status/stop", &[])
        .await;
    assert_eq!(
        failed(&denied),
        (403, "Permission check failed (/vms/102, VM.PowerMgmt)")
    );

    sim.become_token(ROOT);
    sim.running.with(|cluster| {
        let path = "nodes/pve2/qemu-server/102.conf";
        let text = format!("lock: backup\n{}", cluster.files.read(path));
        cluster.files.set(path, text);
    });
    let locked = sim.call("PUT", vm, &[("cores", "1")]).await;
    assert_eq!(failed(&locked), (500, "VM is locked (backup)"));
    assert_eq!(
        run(&sim, "POST", "/nodes/pve2/qemu/102/status/stop", &[]).await,
        "VM is locked (backup)"
    );
    let unlock = sim.call("PUT", vm, &[("delete", "lock")]).await;
    assert_eq!(failed(&unlock), (500, "only root can set 'lock' config"));
}

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
async fn starting_needs_every_volume_storage_and_bridge() {
    let sim = Sim::lab().await;
    let vm = "/nodes/pve2/qemu/210";
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/status/start"), &[]).await,
        "OK"
    );
    assert_eq!(
        run(&sim, "POST", &format!("{vm}/status/stop"), &[]).await,
        "OK"
    );
    assert_eq!(
        sim.call("DELETE", "/storage/local-zfs", &[]).await.status,
        200
    );
    let exit = run(&sim, "POST", &format!("{vm}/status/start"), &[]).await;
    assert_eq!(exit, "storage 'local-zfs' does not exist");
    let running = sim.get("/nodes/pve1/qemu/104/status/current").await;
    assert_eq!(
        running.data()["status"],
        "running",
        "what runs keeps running"
    );

    let other = "/nodes/pve2/qemu/125";
    sim.call(
        "PUT",
        &format!("{other}/config"),
        &[("net0", "virtio,bridge=vmbr99")],
    )
    .await
    .data();
    let exit = run(&sim, "POST", &format!("{other}/status/start"), &[]).await;
    assert_eq!(exit, "start failed: QEMU exited with code 1");
    sim.call(
        "PUT",
        &format!("{other}/config"),
        &[("net0", "virtio,bridge=vmbr0")],
    )
    .await
    .data();
    sim.call("PUT", "/storage/local-lvm", &[("content", "rootdir")])
        .await
        .data();
    let exit = run(&sim, "POST", &format!("{other}/status/start"), &[]).await;
    assert_eq!(
        exit,
        "storage 'local-lvm' does not support content-type 'images'"
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

#[tokio::test]
async fn a_container_is_created_from_a_template() {
    let sim = Sim::lab().await;
    let template = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";
    let params = [
        ("vmid", "400"),
        ("ostemplate", template),
        ("rootfs", "local-zfs:4"),
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
        ("password", "secret-enough"),
        ("mp0", "ceph-vm:2,mp=/data,backup=1"),
        ("start", "1"),
    ];
    assert_eq!(run(&sim, "POST", "/nodes/pve1/lxc", &params).await, "OK");
    let made = config(&sim, "/nodes/pve1/lxc/400").await;
    assert_eq!(made["rootfs"], "local-zfs:subvol-400-disk-0,size=4G");
    assert_eq!(
        made["mp0"],
        "ceph-vm:vm-400-disk-0,mp=/data,backup=1,size=2G"
    );
    assert_eq!(
        (&made["ostype"], &made["unprivileged"], &made["swap"]),
        (&json!("debian"), &json!(1), &json!(512))
    );
    assert!(made.get("password").is_none());
    assert!(
        made["net0"].as_str().unwrap().contains("hwaddr=BC:24:11:"),
        "{made}"
    );
    assert_eq!(
        sim.get("/nodes/pve1/lxc/400/status/current").await.data()["status"],
        "running"
    );
    let ct = "/nodes/pve1/lxc/400/config";
    sim.call(
        "PUT",
        ct,
        &[
            ("memory", "1024"),
            ("nameserver", "10.20.0.1"),
            ("delete", "mp0"),
        ],
    )
    .await
    .data();
    let now = config(&sim, "/nodes/pve1/lxc/400").await;
    assert_eq!(now["memory"], 1024);
    assert!(
        now.get("nameserver").is_none() && now["mp0"].is_string(),
        "pending: {now}"
    );
    assert_eq!(
        run(&sim, "POST", "/nodes/pve1/lxc/400/status/reboot", &[]).await,
        "OK"
    );
    let now = config(&sim, "/nodes/pve1/lxc/400").await;
    assert_eq!(now["nameserver"], "10.20.0.1");
    assert_eq!(now["unused0"], "ceph-vm:vm-400-disk-0");
}

#[tokio::test]
async fn a_task_told_to_fail_takes_its_beginning_back() {
    let sim = Sim::lab().await;
    sim.running
        .fault(bailiwick::sim::Fault::parse("task=no luck;type=qmclone").unwrap());
    let exit = run(
        &sim,
        "POST",
        "/nodes/pve1/qemu/105/clone",
        &[("newid", "400")],
    )
    .await;
    assert_eq!(exit, "no luck");
    assert_eq!(sim.get("/nodes/pve1/qemu/400/config").await.status, 500);
}
