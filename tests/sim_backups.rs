//! Backups in the simulator: made, kept, pruned, restored, over TLS.
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

use bailiwick::sim::Options;
use client::Sim;
use serde_json::Value;

const SECRET: &str = "9e1f6a52-0000-4000-8000-000000000001";

async fn start() -> Sim {
    let mut options = Options::new(include_str!("../examples/worlds/recorded-start.yaml"));
    options.scale = 1000.0;
    for token in ["root@pam!test", "lim@pve!none"] {
        options.secrets.insert(token.into(), SECRET.into());
    }
    let mut sim = Sim::over(bailiwick::sim::start(options).await.unwrap());
    sim.become_token(("root@pam!test", SECRET));
    sim
}

async fn machine(sim: &Sim) {
    let params = [
        ("vmid", "100"),
        ("name", "web"),
        ("scsi0", "local:1"),
        ("scsi1", "local:2,backup=0"),
        ("net0", "virtio,bridge=vmbr0"),
    ];
    let made = sim.call("POST", "/nodes/pve1/qemu", &params).await;
    assert_eq!(sim.task(&made).await, "OK");
}

async fn backup(sim: &Sim, params: &[(&str, &str)]) -> String {
    // Two backups in one second would have one name.
    sim.running.advance(2.0);
    let mut all = vec![("vmid", "100"), ("storage", "local")];
    all.extend_from_slice(params);
    let started = sim.call("POST", "/nodes/pve1/vzdump", &all).await;
    sim.task(&started).await
}

async fn archives(sim: &Sim) -> Vec<Value> {
    let list = sim
        .call(
            "GET",
            "/nodes/pve1/storage/local/content",
            &[("content", "backup")],
        )
        .await;
    list.data().as_array().unwrap().clone()
}

async fn config(sim: &Sim, vmid: u32) -> Value {
    sim.get(&format!("/nodes/pve1/qemu/{vmid}/config"))
        .await
        .data()
        .clone()
}

#[tokio::test]
async fn a_machine_comes_back_from_its_archive() {
    let sim = start().await;
    machine(&sim).await;
    let before = config(&sim, 100).await;
    let ended = backup(
        &sim,
        &[
            ("compress", "zstd"),
            ("notes-template", "{{guestname}} on {{node}}"),
        ],
    )
    .await;
    assert_eq!(ended, "OK");
    let archive = archives(&sim).await.remove(0);
    assert_eq!(
        (
            archive["format"].as_str(),
            archive["notes"].as_str(),
            archive["subtype"].as_str()
        ),
        (Some("vma.zst"), Some("web on pve1"), Some("qemu"))
    );
    let volid = archive["volid"].as_str().unwrap().to_owned();
    let held = sim
        .call(
            "GET",
            "/nodes/pve1/vzdump/extractconfig",
            &[("volume", &volid)],
        )
        .await;
    let held = held.data().as_str().unwrap().to_owned();
    assert!(
        held.contains("#qmdump#map:scsi0:drive-scsi0:local:raw:") && !held.contains("map:scsi1")
    );
    // Beside the first, under another number: the same but for what must differ.
    let restored = sim
        .call(
            "POST",
            "/nodes/pve1/qemu",
            &[("vmid", "101"), ("archive", &volid), ("unique", "1")],
        )
        .await;
    assert_eq!(sim.task(&restored).await, "OK");
    let copy = config(&sim, 101).await;
    assert_eq!(copy["name"], before["name"]);
    assert_eq!(copy["scsi0"], "local:101/vm-101-disk-0.raw,size=1G");
    for fresh in ["net0", "vmgenid", "smbios1"] {
        assert_ne!(copy[fresh], before[fresh], "{fresh}");
    }
    // In the first one's place: only with force, and never while it runs.
    let again = [("vmid", "100"), ("archive", volid.as_str())];
    let refused = sim.call("POST", "/nodes/pve1/qemu", &again).await;
    assert_eq!(
        (refused.status, refused.reason.as_str()),
        (
            500,
            "unable to restore VM 100 - VM 100 already exists on node 'pve1'"
        )
    );
    let started = sim
        .call("POST", "/nodes/pve1/qemu/100/status/start", &[])
        .await;
    assert_eq!(sim.task(&started).await, "OK");
    let force = [again[0], again[1], ("force", "1")];
    let refused = sim.call("POST", "/nodes/pve1/qemu", &force).await;
    assert_eq!(refused.reason, "unable to restore VM 100 - vm is running");
    let stopped = sim
        .call("POST", "/nodes/pve1/qemu/100/status/stop", &[])
        .await;
    assert_eq!(sim.task(&stopped).await, "OK");
    let renamed = sim
        .call("PUT", "/nodes/pve1/qemu/100/config", &[("name", "other")])
        .await;
    assert_eq!(renamed.status, 200);
    let restored = sim.call("POST", "/nodes/pve1/qemu", &force).await;
    assert_eq!(sim.task(&restored).await, "OK");
    let back = config(&sim, 100).await;
    assert_eq!(
        (&back["name"], &back["net0"]),
        (&before["name"], &before["net0"])
    );
    // The disk that was backed up is a new one; the other, which was not, is still there, unused.
    assert_eq!(back["scsi0"], "local:100/vm-100-disk-2.raw,size=1G");
    assert_eq!(back["unused0"], "local:100/vm-100-disk-1.raw");
    assert!(
        back["description"]
            .as_str()
            .unwrap()
            .starts_with("scsi1: local:100/vm-100-disk-1.raw")
    );
    let disks = sim
        .call(
            "GET",
            "/nodes/pve1/storage/local/content",
            &[("content", "images"), ("vmid", "100")],
        )
        .await;
    assert_eq!(disks.data().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_restore_that_fails_leaves_what_was_there() {
    let sim = start().await;
    machine(&sim).await;
    assert_eq!(backup(&sim, &[]).await, "OK");
    let volid = archives(&sim).await[0]["volid"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = config(&sim, 100).await;
    let force = [
        ("vmid", "100"),
        ("archive", volid.as_str()),
        ("force", "1"),
        ("storage", "nosuch"),
    ];
    let started = sim.call("POST", "/nodes/pve1/qemu", &force).await;
    assert_eq!(
        sim.task(&started).await,
        "unable to restore VM 100 - storage 'nosuch' does not exist"
    );
    assert_eq!(config(&sim, 100).await, before);
}

#[tokio::test]
async fn retention_and_protection_decide_what_stays() {
    let sim = start().await;
    machine(&sim).await;
    assert_eq!(backup(&sim, &[("protected", "1")]).await, "OK");
    for _ in 0..3 {
        assert_eq!(
            backup(&sim, &[("prune-backups", "keep-last=2")]).await,
            "OK"
        );
    }
    let left = archives(&sim).await;
    assert_eq!(left.len(), 3, "two, and the protected one");
    let marks = sim
        .call(
            "GET",
            "/nodes/pve1/storage/local/prunebackups",
            &[("prune-backups", "keep-last=1")],
        )
        .await;
    let mut marks: Vec<&str> = marks
        .data()
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["mark"].as_str().unwrap())
        .collect();
    marks.sort_unstable();
    assert_eq!(marks, ["keep", "protected", "remove"]);
    // A job that says `remove=0` removes nothing, and is refused where the retention would.
    let one = ("prune-backups", "keep-last=1");
    assert_eq!(backup(&sim, &[one, ("remove", "0")]).await, "job errors");
    let many = ("prune-backups", "keep-last=9");
    assert_eq!(backup(&sim, &[many, ("remove", "0")]).await, "OK");
    assert_eq!(archives(&sim).await.len(), 4);
}

#[tokio::test]
async fn a_storage_takes_so_many_backups_of_a_guest_and_no_more() {
    let sim = start().await;
    machine(&sim).await;
    assert_eq!(backup(&sim, &[]).await, "OK");
    assert_eq!(backup(&sim, &[("protected", "1")]).await, "OK");
    let limits = [
        ("prune-backups", "keep-last=1"),
        ("max-protected-backups", "1"),
    ];
    let set = sim.call("PUT", "/storage/local", &limits).await;
    assert_eq!(set.status, 200, "{}", set.reason);
    // Nothing may be removed, and what is there is as much as is kept.
    assert_eq!(backup(&sim, &[("remove", "0")]).await, "job errors");
    let all = ("prune-backups", "keep-all=1");
    assert_eq!(backup(&sim, &[all]).await, "OK");
    // A protected one counts by itself, whatever the retention is.
    let protected = [("remove", "0"), ("protected", "1")];
    assert_eq!(backup(&sim, &protected).await, "job errors");
    let limit = [("max-protected-backups", "2")];
    let set = sim.call("PUT", "/storage/local", &limit).await;
    assert_eq!(set.status, 200, "{}", set.reason);
    assert_eq!(backup(&sim, &protected).await, "OK");
    assert_eq!(archives(&sim).await.len(), 4);
}

#[tokio::test]
async fn a_locked_guest_fails_its_job_and_keeps_its_lock() {
    let sim = start().await;
    machine(&sim).await;
    sim.running.with(|cluster| {
        let file = cluster.guest(100).unwrap().file();
        let text = bailiwick::sim::state::with_lock(cluster.files.read(&file), Some("snapshot"));
        cluster.files.set(file, text);
    });
    assert_eq!(backup(&sim, &[]).await, "job errors");
    assert_eq!(config(&sim, 100).await["lock"], "snapshot");
    assert_eq!(archives(&sim).await.len(), 0);
}

#[tokio::test]
async fn who_may_not_back_up_is_refused_before_anything_happens() {
    let mut sim = start().await;
    machine(&sim).await;
    let grant = [
        ("path", "/storage/local"),
        ("roles", "PVEDatastoreUser"),
        ("users", "lim@pve"),
    ];
    assert_eq!(sim.call("PUT", "/access/acl", &grant).await.status, 200);
    sim.become_token(("lim@pve!none", SECRET));
    let job = [("vmid", "100"), ("storage", "local")];
    let started = sim.call("POST", "/nodes/pve1/vzdump", &job).await;
    assert_eq!(
        sim.task(&started).await,
        "Permission check failed (/vms/100, VM.Backup)"
    );
    sim.become_token(("root@pam!test", SECRET));
    assert_eq!(config(&sim, 100).await.get("lock"), None);
    assert_eq!(archives(&sim).await.len(), 0);
}

#[tokio::test]
async fn a_job_knows_whom_and_what_it_backs_up() {
    let sim = start().await;
    machine(&sim).await;
    let job = [
        ("id", "nightly"),
        ("schedule", "21:00"),
        ("vmid", "100,900"),
        ("storage", "local"),
    ];
    assert_eq!(sim.call("POST", "/cluster/backup", &job).await.status, 200);
    let tree = sim.get("/cluster/backup/nightly/included_volumes").await;
    let children = tree.data()["children"].as_array().unwrap().clone();
    assert_eq!(
        (&children[1]["id"], &children[1]["type"]),
        (&900.into(), &"unknown".into())
    );
    let verdicts: Vec<(&str, i64)> = children[0]["children"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| {
            (
                leaf["reason"].as_str().unwrap(),
                leaf["included"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(verdicts, [("backup=yes", 1), ("backup=no", 0)]);
    assert_eq!(
        sim.get("/cluster/backup-info/not-backed-up").await.data(),
        &serde_json::json!([])
    );
}
