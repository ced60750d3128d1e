//! Observing a cluster over the wire: a small one made up here, one that hides things, and a whole recorded one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

#[path = "proxmox_client/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "proxmox_client/server.rs"]
mod server;

use std::sync::Arc;

use answers::{Answers, recorded};
use bailiwick::ids::{Bytes, ClusterName, NodeName, Vmid};
use bailiwick::world::{
    ObserveError, ObserveSettings, Part, Selection, Status, Watch, WatchSettings, World, observe,
};
use serde_json::{Value, json};
use server::Server;

fn settings() -> ObserveSettings {
    ObserveSettings::all(ClusterName::new("lab").unwrap())
}

async fn observed(answers: Answers) -> Result<World, ObserveError> {
    let server = Server::start(move |seen| answers.answer(seen)).await;
    let world = observe(&server.client(), &settings()).await;
    assert!(server.requests().iter().all(|seen| seen.method == "GET"));
    assert_eq!(
        server.requests()[0].target,
        "/api2/json/access/permissions",
        "the token's own privileges come first"
    );
    world
}

fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn everything() -> Value {
    let all = [
        "Sys.Audit",
        "VM.Audit",
        "Datastore.Audit",
        "Datastore.Allocate",
        "Pool.Audit",
        "SDN.Audit",
        "VM.Config.Disk",
        "VM.Backup",
    ];
    let all: serde_json::Map<String, Value> =
        all.iter().map(|p| ((*p).to_owned(), json!(1))).collect();
    // The real one always lists these.
    json!({ "/": all, "/access": all, "/access/groups": all })
}

/// Two nodes, one of them offline; three guests; a local and a shared storage.
fn small() -> Answers {
    let mut a = Answers::default();
    a.put("/access/permissions", everything())
        .put("/version", json!({"version": "9.1.8"}))
        .put(
            "/cluster/resources",
            json!([
                {"type": "node", "node": "n1", "status": "online"},
                {"type": "node", "node": "n2", "status": "offline"},
                {"type": "qemu", "vmid": 100, "node": "n1", "status": "stopped", "name": "old", "pool": "p"},
                {"type": "lxc", "vmid": "101", "node": "n1", "status": "running"},
                {"type": "qemu", "vmid": 102, "node": "n2", "status": "running", "name": "far"},
                {"type": "storage", "storage": "local", "node": "n1"}
            ]),
        )
        .put(
            "/access/users?full=1",
            json!([
                {"userid": "a@pve", "enable": 1, "expire": 0, "groups": "ops", "tokens": [{"tokenid": "ci", "privsep": 1, "expire": 5}], "keys": "x"},
                {"userid": "b@pve", "enable": 0, "expire": "9", "tokens": null, "comment": "left"},
            ]),
        )
        .put("/access/groups", json!([{"groupid": "ops", "users": "a@pve,gone@pve"}]))
        .put(
            "/access/roles",
            json!([
                {"roleid": "NoAccess", "privs": "", "special": 1},
                {"roleid": "Look", "privs": "VM.Audit,Sys.Audit"},
            ]),
        )
        .put(
            "/access/domains",
            json!([{"realm": "pam", "type": "pam"}, {"realm": "pve", "type": "pve", "comment": "own"}, {"realm": "sso", "type": "openid"}]),
        )
        .put("/access/domains/pam", json!({"type": "pam", "plugin": "PVE::Auth::PAM", "digest": "d9", "tfa": "type=yubico,id=1,key=hunter2,url=https://x"}))
        .put("/access/domains/pve", json!({"type": "pve", "comment": "own", "digest": "d9"}))
        .put("/access/domains/sso", json!({"type": "openid", "client-id": "pve", "client-key": "hunter2", "digest": "d9"}))
        .put("/access/acl", json!([{"path": "/", "type": "user", "ugid": "a@pve", "roleid": "Administrator", "propagate": 1}]))
        .put(
            "/cluster/status",
            json!([
                {"type": "cluster", "quorate": 0},
                {"type": "node", "name": "n1", "online": 1, "ip": "10.0.0.1"},
                {"type": "node", "name": "n2", "online": 0}
            ]),
        )
        .put("/cluster/options", json!({"next-id": {"lower": "400"}, "mac_prefix": "BC:24:11"}))
        .put(
            "/storage",
            json!([
                {"storage": "local", "type": "dir", "content": "images,iso", "path": "/x", "digest": "d"},
                {"storage": "nas", "type": "nfs", "content": "backup", "server": "10.0.0.9", "digest": "d"},
                {"storage": "off", "type": "dir", "content": "images", "disable": 1, "digest": "d"}
            ]),
        )
        .put("/pools", json!([{"poolid": "p"}]))
        .put("/pools?poolid=p", json!([{"poolid": "p", "members": [{"type": "qemu", "vmid": 100}, {"type": "storage", "storage": "nas"}]}]))
        .put("/cluster/backup", json!([{"id": "j", "all": 1, "exclude": "101", "storage": "nas", "fleecing": {"enabled": 1, "storage": "local"}}]))
        .put("/cluster/replication", json!([{"id": "100-0", "guest": 100, "target": "n2", "remove_job": "full"}]))
        .put("/cluster/ha/resources", json!([{"sid": "vm:100"}]))
        .put("/cluster/ha/rules", json!([{"rule": "r", "type": "node-affinity", "resources": "vm:100,ct:101", "nodes": "n1:2,n2", "strict": 1}]))
        .put("/nodes/n1/status", json!({"memory": {"total": 1000, "used": 10}, "cpuinfo": {"cpus": 4}}))
        .put("/nodes/n1/network?type=any_bridge", json!([{"iface": "vmbr0", "active": 1}]))
        .put(
            "/nodes/n1/storage",
            json!([
                {"storage": "local", "enabled": 1, "active": 1, "total": 50, "avail": 40},
                {"storage": "nas", "enabled": 1, "active": 1, "total": 5, "avail": 4},
                {"storage": "off", "enabled": 0, "active": 0, "total": 0, "avail": 0}
            ]),
        )
        .put("/nodes/n1/qemu", json!([{"vmid": 100, "status": "running", "name": "web", "lock": "backup"}]))
        .put("/nodes/n1/lxc", json!([{"vmid": 101, "status": "stopped", "name": "ct"}]))
        .put(
            "/nodes/n1/qemu/100/pending",
            json!([
                {"key": "digest", "value": "dd"},
                {"key": "name", "value": "web"},
                {"key": "cores", "value": 1, "pending": 2},
                {"key": "scsi1", "value": "local:100/b", "delete": 2},
                {"key": "net1", "pending": "virtio"},
                {"key": "smbios1", "value": "uuid=AB"}
            ]),
        )
        .put(
            "/nodes/n1/qemu/100/snapshot",
            json!([{"name": "s1", "snaptime": 5}, {"name": "current", "digest": "dd", "parent": "s1"}]),
        )
        .put("/nodes/n1/qemu/100/snapshot/s1/config", json!({"cores": 1, "vmstate": "local:100/state", "digest": "dd"}))
        .put("/nodes/n1/lxc/101/pending", json!([{"key": "digest", "value": "cc"}, {"key": "hostname", "value": "ct"}]))
        .put("/nodes/n1/lxc/101/config", json!({"hostname": "ct", "digest": "cc", "lxc": [["lxc.a", "1"], ["lxc.a", "2"]]}))
        .put("/nodes/n1/lxc/101/snapshot", json!([{"name": "current", "digest": "cc"}]))
        .put(
            "/nodes/n1/storage/local/content",
            json!([{"volid": "local:100/a.qcow2", "content": "images", "format": "qcow2", "size": 7, "vmid": 100, "parent": null}]),
        )
        .put("/nodes/n1/storage/nas/content", json!([]));
    a
}

#[tokio::test]
async fn everything_the_model_names_is_read() {
    let world = observed(small()).await.unwrap();
    assert_eq!(world.version, "9.1.8");
    assert_eq!(world.quorate, Some(false));
    assert_eq!(world.options["next-id"], "lower=400");
    let vm = &world.guests[&vmid(100)];
    assert_eq!(
        (vm.status, vm.name.as_deref(), vm.lock.as_deref()),
        (Status::Running, Some("web"), Some("backup"))
    );
    assert_eq!(vm.pool.as_ref().map(|p| p.as_str()), Some("p"));
    assert_eq!(vm.config.digest, "dd");
    assert_eq!(vm.config.current["cores"], "1");
    let next = vm.config.next_start();
    assert_eq!(
        (
            next["cores"].as_str(),
            next.get("scsi1"),
            next["net1"].as_str()
        ),
        ("2", None, "virtio")
    );
    assert!(
        vm.config
            .pending
            .iter()
            .any(|p| p.key == "scsi1" && p.force)
    );
    assert_eq!(
        vm.config.snapshots["s1"].section["vmstate"],
        "local:100/state"
    );
    assert_eq!(vm.config.birth().as_deref(), Some("uuid:ab"));
    assert_eq!(world.guests[&vmid(101)].config.current["lxc.a"], "1\n2");
    assert!(world.storages[&"nas".parse().unwrap()].shared);
    let local = &world.storages[&"local".parse().unwrap()];
    assert_eq!(
        local
            .volume(&node("n1"), &"local:100/a.qcow2".parse().unwrap())
            .unwrap()
            .size,
        Bytes(7)
    );
    assert!(
        matches!(&world.backup_jobs["j"].selection, Selection::AllBut(but) if but.contains(&vmid(101)))
    );
    assert_eq!(
        world.backup_jobs["j"].fleecing_storage.as_deref(),
        Some("local")
    );
    assert!(world.replication_jobs["100-0"].removing);
    assert_eq!(world.ha_resources[&vmid(100)].state, "started");
    assert_eq!(world.ha_rules["r"].nodes.len(), 2);
    assert_eq!(world.pools[&"p".parse().unwrap()].storages.len(), 1);
    let ann = &world.users["a@pve"];
    assert_eq!(
        (
            ann.enabled,
            ann.tokens["ci"].separated,
            ann.tokens["ci"].expires
        ),
        (true, true, 5)
    );
    assert!(
        !ann.fields.contains_key("keys"),
        "what may be a secret is not kept"
    );
    let ben = &world.users["b@pve"];
    assert_eq!(
        (ben.enabled, ben.expires, ben.fields["comment"].as_str()),
        (false, 9, "left")
    );
    assert_eq!(world.groups["ops"].members.len(), 2);
    assert!(world.roles["NoAccess"].special && world.roles["NoAccess"].privileges.is_empty());
    assert_eq!(world.roles["Look"].privileges.len(), 2);
    assert_eq!(world.realms["pve"].realm_type, "pve");
    let realms = &world.realm_settings;
    assert_eq!((realms.digest.as_str(), realms.of.len()), ("d9", 3));
    assert_eq!(realms.of["pve"]["comment"], "own");
    assert_eq!(realms.of["sso"].keys().collect::<Vec<_>>(), ["client-id"]);
    assert_eq!(realms.of["pam"]["tfa"], "type=yubico,id=1,url=https://x");
    assert!(!format!("{world:?}").contains("hunter2"));
    // What is unreadable: the node that is off, its guest, and the storage that is disabled. Nothing else.
    let unreadable: Vec<String> = world
        .unreadable_parts()
        .map(|(part, why)| format!("{part}: {why}"))
        .collect();
    insta::assert_snapshot!(unreadable.join("\n"), @r"
    the status of node n2: the node is offline
    the network of node n2: the node is offline
    the storages' state on node n2: the node is offline
    the content of storage off on node n1: the storage is disabled
    the content of storage local on node n2: the node is offline
    the content of storage off on node n2: the storage is disabled
    the configuration of guest 102: node n2: the node is offline
    the snapshots of guest 102: node n2: the node is offline
    ");
    assert_eq!(world.guests[&vmid(102)].status, Status::Unknown);
    assert_eq!(world.guests[&vmid(102)].name.as_deref(), Some("far"));
}

#[tokio::test]
async fn a_token_without_privileges_is_one_clear_error() {
    let mut answers = small();
    answers.put("/access/permissions", json!({}));
    let error = observed(answers).await.unwrap_err();
    assert!(matches!(error, ObserveError::NoPrivileges { .. }));
    assert!(
        error
            .to_string()
            .contains("bot@pve!test has no privileges on cluster lab"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_one_clear_error() {
    let mut answers = small();
    answers.refuse("/access/permissions", 401, "invalid token value!");
    let error = observed(answers).await.unwrap_err();
    assert!(
        matches!(error, ObserveError::Unauthenticated { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_list_of_a_token_that_may_not_see_is_not_empty() {
    let mut answers = small();
    // What a mere auditor of nothing but the system gets: every filtered list is empty, and nothing says so.
    answers.put("/access/permissions", json!({"/": {"Sys.Audit": 1}}));
    answers.put(
        "/cluster/resources",
        json!([{"type": "node", "node": "n1", "status": "online"}]),
    );
    for filtered in [
        "/storage",
        "/pools",
        "/cluster/replication",
        "/nodes/n1/storage",
        "/nodes/n1/network?type=any_bridge",
    ] {
        answers.put(filtered, json!([]));
    }
    let world = observed(answers).await.unwrap();
    for part in [
        Part::Resources,
        Part::Storages,
        Part::Pools,
        Part::ReplicationJobs,
        Part::NodeStorage(node("n1")),
        Part::NodeNetwork(node("n1")),
    ] {
        let why = world
            .unreadable(&part)
            .unwrap_or_else(|| panic!("{part} counts as read"));
        assert!(why.contains("lacks the privilege"), "{part}: {why}");
    }
    assert_eq!(world.unreadable(&Part::ClusterStatus), None);
    assert_eq!(world.unreadable(&Part::BackupJobs), None);
}

#[tokio::test]
async fn a_path_on_which_the_token_has_nothing_hides_a_guest() {
    let mut answers = small();
    answers.put("/access/acl", json!([{"path": "/vms/500", "type": "user", "ugid": "bot@pve", "roleid": "NoAccess", "propagate": 1}]));
    let world = observed(answers).await.unwrap();
    assert!(
        world
            .unreadable(&Part::Resources)
            .unwrap()
            .contains("/vms/500")
    );
    assert!(!world.may("/vms/500", "VM.Audit"));
    assert!(world.may("/vms/100", "VM.Audit"));
}

#[tokio::test]
async fn disks_hidden_from_an_auditor_are_unknown_not_gone() {
    let mut answers = small();
    let audit = json!({"Sys.Audit": 1, "VM.Audit": 1, "Datastore.Audit": 1, "Pool.Audit": 1, "SDN.Audit": 1});
    answers.put("/access/permissions", json!({"/": audit}));
    answers.put("/nodes/n1/storage/local/content", json!([]));
    let world = observed(answers).await.unwrap();
    let why = world
        .unreadable(&Part::StorageContent(node("n1"), "local".parse().unwrap()))
        .unwrap();
    assert!(
        why.contains("VM.Config.Disk") && why.contains("Datastore.Allocate on /storage/local"),
        "{why}"
    );
    assert_eq!(world.unreadable(&Part::Resources), None);
}

#[tokio::test]
async fn an_empty_configuration_is_unreadable() {
    let mut answers = small();
    answers.put(
        "/nodes/n1/qemu/100/pending",
        json!([{"key": "digest", "value": "dd"}]),
    );
    answers.refuse("/nodes/n1/lxc/101/pending", 500, "unable to parse config");
    let world = observed(answers).await.unwrap();
    assert!(
        world
            .unreadable(&Part::GuestConfig(vmid(100)))
            .unwrap()
            .contains("empty")
    );
    assert!(
        world
            .unreadable(&Part::GuestConfig(vmid(101)))
            .unwrap()
            .contains("unable to parse")
    );
}

#[tokio::test]
async fn a_guest_that_keeps_changing_is_unreadable() {
    let mut answers = small();
    answers.put(
        "/nodes/n1/qemu/100/snapshot",
        json!([{"name": "current", "digest": "other"}]),
    );
    let world = observed(answers).await.unwrap();
    assert!(
        world
            .unreadable(&Part::GuestConfig(vmid(100)))
            .unwrap()
            .contains("changing")
    );
}

#[tokio::test]
async fn a_rule_without_a_type_is_not_read_as_one() {
    let mut answers = small();
    answers.put("/cluster/ha/rules", json!([{"rule": "r"}]));
    let world = observed(answers).await.unwrap();
    assert_eq!(
        world.unreadable(&Part::HaRules),
        Some("the HA rule `r` has no type")
    );
}

#[tokio::test]
async fn groups_stand_in_for_rules_before_version_nine() {
    let mut answers = small();
    answers.refuse(
        "/cluster/ha/rules",
        501,
        "Method 'GET /cluster/ha/rules' not implemented",
    );
    answers.put(
        "/cluster/ha/groups",
        json!([{"group": "g", "nodes": "n1,n2:1", "restricted": 1, "type": "group"}]),
    );
    answers.put(
        "/cluster/ha/resources",
        json!([{"sid": "vm:100", "group": "g", "state": "enabled"}]),
    );
    let world = observed(answers).await.unwrap();
    let rule = &world.ha_rules["g"];
    assert_eq!(
        (
            rule.rule_type.as_str(),
            rule.strict,
            rule.resources.len(),
            rule.nodes.len()
        ),
        ("group", true, 1, 2)
    );
    assert_eq!(world.unreadable(&Part::HaRules), None);
}

#[tokio::test]
async fn a_recorded_cluster_at_rest_is_quiet_to_watch() {
    let Some(answers) = recorded() else {
        return;
    };
    let server = Server::start(move |seen| answers.answer(seen)).await;
    let client = server.client();
    let begun = Watch::begin(&client, WatchSettings::default(), settings()).await;
    let mut watch = begun.unwrap();
    let fresh = watch.world().clone();
    assert_eq!(fresh.guests.len(), 42);
    for number in 0..watch.sweep_cycles() + 2 {
        let cycle = watch.cycle(&client).await.unwrap();
        assert_eq!(cycle.changed, [].into(), "cycle {number}");
        assert!(cycle.requests <= 10, "cycle {number}: {}", cycle.requests);
    }
    assert_eq!(watch.world().guests, fresh.guests);
    // The list and a node's own status were recorded at different moments: how much memory is used is a reading.
    let steady = |world: &World| {
        let mut nodes = world.nodes.clone();
        for node in nodes.values_mut() {
            Arc::make_mut(node).memory_used = None;
        }
        nodes
    };
    assert_eq!(steady(watch.world()), steady(&fresh));
    assert_eq!(watch.world().storages, fresh.storages);
}

#[tokio::test]
async fn groups_are_watched_before_version_nine() {
    let mut answers = small();
    answers
        .put("/version", json!({"version": "8.4.1"}))
        .put("/cluster/tasks", json!([]))
        .put(
            "/cluster/ha/resources",
            json!([{"sid": "vm:100", "group": "g"}]),
        )
        .put(
            "/cluster/ha/groups",
            json!([{"group": "g", "nodes": "n1,n2:1", "type": "group"}]),
        )
        .refuse(
            "/cluster/ha/rules",
            501,
            "Method 'GET /cluster/ha/rules' not implemented",
        );
    let answers = std::sync::Arc::new(std::sync::Mutex::new(answers));
    let answering = std::sync::Arc::clone(&answers);
    let server = Server::start(move |seen| answering.lock().unwrap().answer(seen)).await;
    let client = server.client();
    let begun = Watch::begin(&client, WatchSettings::default(), settings()).await;
    let mut watch = begun.unwrap();
    for _ in 0..4 {
        let cycle = watch.cycle(&client).await.unwrap();
        assert_eq!((cycle.changed, cycle.requests <= 10), ([].into(), true));
    }
    let members = |watch: &Watch| watch.world().ha_rules["g"].resources.clone();
    assert_eq!(members(&watch), [vmid(100)].into());
    // A guest that joins a group changes the resources alone.
    let both = json!([{"sid": "vm:100", "group": "g"}, {"sid": "ct:101", "group": "g"}]);
    answers.lock().unwrap().put("/cluster/ha/resources", both);
    for _ in 0..2 {
        watch.cycle(&client).await.unwrap();
    }
    assert_eq!(members(&watch), [vmid(100), vmid(101)].into());
}

#[tokio::test]
async fn a_recorded_cluster_of_oddities_is_observed_whole() {
    let Some(answers) = recorded() else {
        return;
    };
    let world = observed(answers).await.unwrap();
    assert_eq!(world.guests.len(), 42);
    let by_node = |name: &str| {
        world
            .guests
            .values()
            .filter(|guest| guest.node.as_str() == name)
            .count()
    };
    assert_eq!(
        (by_node("pve1"), by_node("pve2"), by_node("pve3")),
        (33, 6, 3)
    );
    for guest in world.guests.values() {
        let read = world.unreadable(&Part::GuestConfig(guest.vmid));
        if guest.node.as_str() == "pve1" {
            assert_eq!(read, None, "{}", guest.entity());
            assert_eq!(
                world.unreadable(&Part::GuestSnapshots(guest.vmid)),
                None,
                "{}",
                guest.entity()
            );
            assert_eq!(guest.config.digest.len(), 40, "{}", guest.entity());
            assert_ne!(guest.status, Status::Unknown, "{}", guest.entity());
        } else {
            assert!(
                read.unwrap().contains("hostname lookup"),
                "{}",
                guest.entity()
            );
            assert_eq!(guest.status, Status::Unknown, "{}", guest.entity());
        }
    }
    let web = &world.guests[&vmid(100)];
    let pending: Vec<&str> = web.config.pending.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(pending, ["agent", "cores", "cpu", "memory", "net0", "net1"]);
    assert_eq!(
        web.config.snapshots["live"].section["vmstate"],
        "local:100/vm-100-state-live.raw"
    );
    assert_eq!(world.guests[&vmid(109)].config.snapshots.len(), 4);
    assert_eq!(
        world.guests[&vmid(109)].config.snapshots["patched2"]
            .parent
            .as_deref(),
        Some("patched")
    );
    assert_eq!(
        world.guests[&vmid(121)].status,
        Status::Running,
        "a paused VM runs"
    );
    assert!(world.guests[&vmid(105)].template && world.guests[&vmid(203)].template);
    assert_eq!(world.guests[&vmid(132)].lock.as_deref(), Some("migrate"));
    assert_eq!(
        world.guests[&vmid(205)].config.current["lxc.idmap"],
        "u 0 100000 1000"
    );
    assert_eq!(world.storages.len(), 11);
    assert_eq!(world.pools.len(), 6);
    assert_eq!(world.pools[&"prod/db".parse().unwrap()].guests.len(), 2);
    assert_eq!(world.ha_resources.len(), 5);
    assert_eq!(world.ha_rules.len(), 5);
    assert_eq!(world.quorate, Some(true));
    let bridges: Vec<&str> = world.nodes[&node("pve1")]
        .bridges
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(
        bridges,
        ["vmbr0", "vmbr1", "vmbr2", "vn1", "vn2", "vnx"],
        "vmbr9 is only staged"
    );
    let local = &world.storages[&"local".parse().unwrap()].volumes[&node("pve1")];
    assert!(
        local
            .keys()
            .any(|volume| volume.name() == "888/vm-888-disk-0.raw"),
        "the orphan is seen"
    );
    let linked = &local[&"local:105/base-105-disk-0.qcow2/120/vm-120-disk-0.qcow2"
        .parse()
        .unwrap()];
    assert!(linked.parent.is_some());
    for part in [
        Part::Resources,
        Part::Storages,
        Part::Pools,
        Part::Acl,
        Part::HaRules,
        Part::BackupJobs,
        Part::Options,
    ] {
        assert_eq!(world.unreadable(&part), None, "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_firewalls_of_a_recorded_cluster_are_read_whole() {
    let Some(answers) = recorded() else {
        return;
    };
    let server = Server::start(move |seen| answers.answer(seen)).await;
    let client = server.client();
    let world = observe(&client, &settings()).await.unwrap();
    // The datacenter's is off, so no other has an effect, and none is read.
    let cluster = world.firewalls.cluster.as_ref().unwrap();
    assert_eq!(cluster.options["enable"], "0");
    assert!(world.firewalls.nodes.is_empty() && world.firewalls.guests.is_empty());
    assert_eq!(cluster.options["policy_in"], "DROP");
    assert_eq!(cluster.rules.len(), 5);
    assert_eq!(cluster.rules[1].fields["action"], "webserver");
    assert_eq!(cluster.aliases["office"].cidr, "192.0.2.0/24");
    assert_eq!(cluster.groups["webserver"].rules.len(), 3);
    let management = &cluster.ipsets["management"];
    assert_eq!(management.comment.as_deref(), Some("mgmt hosts"));
    assert_eq!(management.entries[1].cidr, "dc/office");
    assert!(cluster.ipsets["emptyset"].entries.is_empty());
    // It is no cluster.
    assert!(world.firewalls.corosync.unwrap().members.is_empty());
    // Were it on, all of them would be read.
    let Some(mut answers) = recorded() else {
        return;
    };
    for (_, _, body) in answers
        .0
        .iter_mut()
        .filter(|(target, _)| target.as_str() == "/cluster/firewall/options")
        .map(|(_, answer)| answer)
    {
        *body = body.replace("\"enable\":0", "\"enable\":1");
    }
    let server = Server::start(move |seen| answers.answer(seen)).await;
    let world = observe(&server.client(), &settings()).await.unwrap();
    let firewalls = &world.firewalls;
    let node = &firewalls.nodes[&node("pve1")];
    assert_eq!(node.firewall.as_ref().unwrap().rules.len(), 2);
    let addresses = node.addresses.as_ref().unwrap();
    let main = |at: &bailiwick::world::firewall::NodeAddress| {
        (at.interface.as_str(), at.cidr.as_str()) == ("vmbr0", "10.99.0.11/24")
    };
    assert!(addresses.iter().any(main), "{addresses:?}");
    assert!(!firewalls.guests.is_empty());
    for (vmid, read) in &firewalls.guests {
        // The other nodes do not resolve, and their guests' configurations are not known.
        assert_eq!(world.guests[vmid].node.as_str(), "pve1");
        assert!(read.is_ok(), "{vmid} {read:?}");
    }
    let read = firewalls.guests.values().flatten();
    assert!(read.clone().any(|scope| !scope.rules.is_empty()));
}
