//! Guests of the simulator over real TLS, with a token: creation, configuration, power, and what stands in its way.
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

use client::{OBSERVER, ROOT, Sim};
use guests::{config, failed, run, volumes};
use serde_json::json;

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
