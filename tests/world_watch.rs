//! Watching a simulated cluster over the wire: few requests while nothing happens, and nothing missed when something does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

#[allow(dead_code)] // one question of several
#[path = "support/contract.rs"]
mod contract;
#[path = "watch/hands.rs"]
mod hands;
#[path = "watch/stand.rs"]
mod stand;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bailiwick::ids::VnetName;
use bailiwick::proxmox::Call;
use bailiwick::sim::Fault;
use bailiwick::world::firewall::Place;
use bailiwick::world::{Changed, ObserveError, Part, Status, Watch, WatchSettings, observe};
use hands::Deed;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use stand::{Stand, changed_guest, changed_part, cycles_until, node, storage, vmid};

const LISTS: [&str; 15] = [
    "/access/permissions",
    "/access/acl",
    "/cluster/status",
    "/storage",
    "/pools",
    "/cluster/options",
    "/cluster/backup",
    "/cluster/replication",
    "/cluster/ha/resources",
    "/cluster/ha/rules",
    "/access/users",
    "/access/groups",
    "/access/roles",
    "/access/domains",
    "/access/domains/pam",
];

fn long() -> bool {
    std::env::var_os("BAILIWICK_LONG").is_some_and(|value| value == "1")
}

#[tokio::test]
async fn a_quiet_cluster_of_a_thousand_guests_costs_ten_requests_a_cycle() {
    let stand = Stand::new(&stand::world(1000)).await;
    let mut watch = stand.watch(10).await;
    assert_eq!(watch.world().guests.len(), 1000);
    assert_eq!(stand::unreadable(watch.world()), [].into());
    let begun = Arc::clone(watch.world());
    let mut before = Vec::new();
    for number in 0..200 {
        let cycle = stand.cycle(&mut watch).await;
        let calls = stand.take_calls();
        assert_eq!(calls.len(), cycle.requests as usize, "{calls:?}");
        assert!(calls.len() <= 10, "cycle {number}: {calls:?}");
        assert_eq!(cycle.changed, BTreeSet::new(), "cycle {number}");
        assert!(!cycle.full && cycle.unreadable.is_empty());
        before.push(calls);
        let three: BTreeSet<&String> = before.iter().rev().take(3).flatten().collect();
        for list in LISTS.iter().filter(|_| number > 1) {
            let read = three.iter().any(|call| call == list);
            assert!(read, "{list} is not read by cycle {number}");
        }
    }
    // What nobody changed is not even copied.
    for (vmid, guest) in &watch.world().guests {
        assert!(Arc::ptr_eq(guest, &begun.guests[vmid]), "{vmid}");
    }
    // Resources, tasks, five lists; three for a thousand guests and what there is besides.
    let sweep = watch.sweep_cycles();
    assert!((334..=350).contains(&sweep), "{sweep}");
}

/// What somebody does, and what is then another.
struct Visible {
    what: &'static str,
    call: Call,
    changed: Vec<Changed>,
}

fn visible() -> Vec<Visible> {
    let of = |what, call, changed: &[Changed]| Visible {
        what,
        call,
        changed: changed.to_vec(),
    };
    let config = |number: &str, place: &str| Call::put(["nodes", place, "qemu", number, "config"]);
    let ha = ["cluster", "ha", "resources"];
    vec![
        of(
            "cores",
            config("102", "n3").param("cores", "3"),
            &[changed_guest(102)],
        ),
        of(
            "memory",
            Call::post(["nodes", "n2", "qemu", "104", "config"]).param("memory", "777"),
            &[changed_guest(104)],
        ),
        of(
            "tags",
            config("103", "n1").param("tags", "x;y"),
            &[changed_guest(103)],
        ),
        of(
            "name",
            config("105", "n3").param("name", "other"),
            &[changed_guest(105)],
        ),
        of(
            "start",
            Call::post(["nodes", "n3", "qemu", "102", "status", "start"]),
            &[changed_guest(102)],
        ),
        of(
            "destroy",
            Call::delete(["nodes", "n2", "qemu", "107"]),
            &[changed_guest(107), Changed::Storage(storage("lvm"))],
        ),
        of(
            "create",
            Call::post(["nodes", "n1", "qemu"])
                .param("vmid", "900")
                .param("name", "new")
                .param("scsi0", "ceph:4"),
            &[changed_guest(900), Changed::Storage(storage("ceph"))],
        ),
        of(
            "migrate",
            Call::post(["nodes", "n1", "qemu", "106", "migrate"]).param("target", "n2"),
            &[changed_guest(106)],
        ),
        of(
            "snapshot",
            Call::post(["nodes", "n3", "qemu", "108", "snapshot"]).param("snapname", "s1"),
            &[changed_guest(108)],
        ),
        of(
            "grow a disk",
            Call::put(["nodes", "n1", "qemu", "103", "resize"])
                .param("disk", "scsi0")
                .param("size", "+1G"),
            &[changed_guest(103), Changed::Storage(storage("lvm"))],
        ),
        of(
            "a pool's member",
            Call::put(["pools"])
                .param("poolid", "lab")
                .param("vms", "105"),
            &[
                changed_guest(105),
                changed_part(Part::Pools),
                changed_part(Part::Permissions),
            ],
        ),
        of(
            "a pool",
            Call::post(["pools"]).param("poolid", "new"),
            &[changed_part(Part::Pools)],
        ),
        of(
            "a storage",
            Call::put(["storage", "nas"]).param("content", "backup"),
            &[
                Changed::Storage(storage("nas")),
                changed_part(Part::Storages),
            ],
        ),
        of(
            "HA",
            Call::post(ha)
                .param("sid", "vm:103")
                .param("state", "stopped"),
            &[changed_part(Part::HaResources)],
        ),
        of(
            "a rule",
            Call::put(["cluster", "ha", "rules", "home"])
                .param("type", "node-affinity")
                .param("nodes", "n3"),
            &[changed_part(Part::HaRules)],
        ),
        of(
            "a job",
            Call::put(["cluster", "backup", "nightly"]).param("enabled", "0"),
            &[changed_part(Part::BackupJobs)],
        ),
        of(
            "options",
            Call::put(["cluster", "options"]).param("next-id", "lower=500"),
            &[changed_part(Part::Options)],
        ),
        of(
            "access",
            Call::put(["access", "acl"])
                .param("path", "/vms/103")
                .param("users", "ben@pve")
                .param("roles", "PVEAuditor"),
            &[changed_part(Part::Acl), changed_part(Part::Permissions)],
        ),
    ]
}

#[tokio::test]
async fn what_shows_in_a_list_is_seen_within_three_cycles() {
    let stand = Stand::new(&stand::world(12)).await;
    let mut watch = stand.watch(10).await;
    for Visible {
        what,
        call,
        changed,
    } in visible()
    {
        stand
            .hands
            .write(call)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        stand.settle();
        let mut seen = stand.cycle(&mut watch).await.changed;
        for _ in 0..2 {
            let later = stand.cycle(&mut watch).await;
            assert!(!later.full, "{what}");
            seen.extend(later.changed);
        }
        for wanted in &changed {
            assert!(
                seen.contains(wanted),
                "{what}: {wanted} is not among {seen:?}"
            );
        }
        // What happened to one guest is not laid at another's door.
        let guests = |list: &mut dyn Iterator<Item = &Changed>| {
            list.filter(|changed| matches!(changed, Changed::Guest(_)))
                .cloned()
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(
            guests(&mut seen.iter()),
            guests(&mut changed.iter()),
            "{what}"
        );
        assert_eq!(
            stand::difference(watch.world(), &stand.fresh().await),
            "",
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_shows_in_no_list_is_seen_within_a_sweep() {
    let stand = Stand::new(&stand::world(12)).await;
    let mut watch = stand.watch(10).await;
    let sweep = watch.sweep_cycles();
    assert!(sweep > 5, "{sweep}");
    // Whatever the sweep is at when it happens.
    for (number, file) in [(100, "n1"), (105, "n3"), (111, "n3")] {
        let file = format!("nodes/{file}/qemu-server/{number}.conf");
        stand.edit(&file, "bridge=vmbr0", "bridge=vmbr1");
        let took = cycles_until(&stand, &mut watch, &changed_guest(number), sweep).await;
        assert!(took.is_some(), "guest {number}: not in {sweep} cycles");
        let net = &watch.world().guests[&vmid(number)].config.current["net0"];
        assert!(net.contains("bridge=vmbr1"), "{net}");
    }
    // And so is what lies on a storage, what bridges there are, and who is in a pool.
    stand.sim.with(|cluster| {
        cluster
            .nodes
            .get_mut("n2")
            .unwrap()
            .bridges
            .push("vmbr9".into());
        let volume = cluster.volumes.iter().next().unwrap().clone();
        let volid = "ceph:vm-999-disk-0".to_owned();
        cluster.volumes.insert(bailiwick::sim::volumes::Volume {
            volid,
            node: String::new(),
            ..volume
        });
    });
    let mut seen = BTreeSet::new();
    for _ in 0..sweep {
        seen.extend(stand.cycle(&mut watch).await.changed);
    }
    let wanted = [
        Changed::Storage(storage("ceph")),
        changed_part(Part::NodeNetwork(node("n2"))),
    ];
    assert_eq!(seen, wanted.into());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn a_hint_is_followed_in_the_next_cycle() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(4).await;
    let edit = |number: u32, place: &str| {
        let file = format!("nodes/{place}/qemu-server/{number}.conf");
        stand.edit(&file, "bridge=vmbr0", "bridge=vmbr1");
    };
    edit(104, "n2");
    edit(105, "n3");
    stand
        .sim
        .with(|cluster| cluster.volumes.remove("", "ceph:vm-108-disk-0"));
    stand.edit("storage.cfg", "server 10.0.0.5", "server 10.0.0.6");
    watch.hint([vmid(104), vmid(105), vmid(4711)], [storage("ceph")]);
    let changed = stand.cycle(&mut watch).await.changed;
    let wanted = [
        changed_guest(104),
        changed_guest(105),
        Changed::Storage(storage("ceph")),
        Changed::Storage(storage("nas")),
        changed_part(Part::Storages),
    ];
    assert_eq!(changed, wanted.into());
}

#[tokio::test]
async fn many_changes_are_read_in_turn_and_very_many_at_once() {
    let stand = Stand::new(&stand::world(300)).await;
    let mut watch = stand.watch(10).await;
    let tag = |numbers: std::ops::Range<u32>, tag: &str| {
        for number in numbers {
            stand.sim.with(|cluster| {
                let file = cluster.guest(number).unwrap().file();
                let text = cluster.files.read(&file).to_owned();
                let lines: Vec<&str> = text
                    .lines()
                    .filter(|line| !line.starts_with("tags:"))
                    .collect();
                cluster
                    .files
                    .set(file, format!("{}\ntags: {tag}\n", lines.join("\n")));
            });
        }
    };
    // Sixty-four at once; the others are unknown, not as they were.
    tag(100..170, "one");
    let cycle = stand.cycle(&mut watch).await;
    assert!(!cycle.full);
    assert!(cycle.requests < 64 * 3 + 20, "{}", cycle.requests);
    let waiting = stand::unreadable(watch.world());
    assert_eq!(waiting.len(), 2 * 6, "{waiting:?}");
    assert!(waiting.values().all(|why| why.contains("it has changed")));
    assert_eq!(cycle.unreadable.len(), waiting.len());
    assert!(watch.world().guests[&vmid(169)].config.current.is_empty());
    let cycle = stand.cycle(&mut watch).await;
    let guests: BTreeSet<Changed> = (164..170).map(changed_guest).collect();
    assert!(cycle.changed.is_superset(&guests), "{:?}", cycle.changed);
    assert!(cycle.changed.len() < 8, "{:?}", cycle.changed);
    assert_eq!(stand::unreadable(watch.world()), [].into());
    // More than a quarter of all.
    tag(100..180, "two");
    let cycle = stand.cycle(&mut watch).await;
    assert!(
        cycle.full && cycle.changed.len() >= 80,
        "{}",
        cycle.changed.len()
    );
    assert_eq!(stand.cycle(&mut watch).await.changed, BTreeSet::new());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn a_node_that_goes_and_comes_back() {
    let stand = Stand::new(&stand::world(12)).await;
    let mut watch = stand.watch(10).await;
    let online = |name: &str, online: bool| {
        stand
            .sim
            .with(|cluster| cluster.nodes.get_mut(name).unwrap().online = online);
        stand.settle();
    };
    online("n2", false);
    let cycle = stand.cycle(&mut watch).await;
    let config = Part::GuestConfig(vmid(101));
    assert!(cycle.unreadable.iter().any(|(part, _)| *part == config));
    assert_eq!(
        watch.world().unreadable(&config),
        Some("node n2: the node is offline")
    );
    assert_eq!(watch.world().guests[&vmid(101)].status, Status::Unknown);
    stand.cycle(&mut watch).await;
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
    for _ in 0..3 {
        assert_eq!(stand.cycle(&mut watch).await.changed, BTreeSet::new());
    }
    online("n2", true);
    stand.cycle(&mut watch).await;
    stand.cycle(&mut watch).await;
    assert_eq!(stand::unreadable(watch.world()), [].into());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn what_is_not_observed_is_not_watched() {
    let stand = Stand::new(&stand::world(12)).await;
    let mut narrow = stand::settings();
    (narrow.contents, narrow.snapshots) = (false, false);
    let settings = WatchSettings::default();
    let begun = Watch::begin(&stand.client, settings, narrow.clone()).await;
    let mut watch = begun.unwrap();
    let online = |online: bool| {
        stand
            .sim
            .with(|cluster| cluster.nodes.get_mut("n2").unwrap().online = online);
        stand.settle();
    };
    let call = Call::post(["nodes", "n3", "qemu", "108", "snapshot"]);
    assert!(stand.write(call.param("snapname", "s1")).await);
    for state in [true, false, true] {
        online(state);
        stand.take_calls();
        for _ in 0..3 {
            stand.cycle(&mut watch).await;
        }
        let read = |what: &str| stand.take_calls().iter().any(|call| call.contains(what));
        assert!(!read("/content") && !read("/snapshot"));
        let fresh = observe(&stand.client, &narrow).await.unwrap();
        assert_eq!(stand::difference(watch.world(), &fresh), "", "{state}");
    }
}

#[tokio::test]
async fn a_node_that_publishes_nothing_does_not_have_its_guests_read() {
    let stand = Stand::new(&stand::world(60)).await;
    let mut watch = stand.watch(10).await;
    // pvestatd hangs on a node: the list has its guests, and nothing about them.
    let hush = |cluster: &mut bailiwick::sim::state::Cluster| cluster.hush("n2");
    stand.sim.with(hush);
    for _ in 0..3 {
        let cycle = stand.cycle(&mut watch).await;
        assert_eq!(cycle.changed, BTreeSet::new());
        assert!(!cycle.full && cycle.requests <= 12, "{}", cycle.requests);
    }
    stand.settle();
    for _ in 0..3 {
        let cycle = stand.cycle(&mut watch).await;
        assert_eq!((cycle.changed, cycle.requests), (BTreeSet::new(), 10));
    }
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_asked_until_it_does() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(10).await;
    let fault = "status=595 No route to host;method=GET;path=/nodes/n2/**;count=*";
    stand.sim.fault(Fault::parse(fault).unwrap());
    watch.hint([vmid(101)], []);
    stand.cycle(&mut watch).await;
    stand.cycle(&mut watch).await;
    let status = Part::NodeStatus(node("n2"));
    assert!(
        watch
            .world()
            .unreadable(&status)
            .unwrap()
            .contains("No route to host")
    );
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
    stand.take_calls();
    for _ in 0..4 {
        assert_eq!(stand.cycle(&mut watch).await.changed, BTreeSet::new());
        let calls = stand.take_calls();
        let asked = calls
            .iter()
            .filter(|call| call.starts_with("/nodes/n2/"))
            .count();
        assert_eq!(asked, 1, "{calls:?}");
        assert!(calls.len() <= 10, "{calls:?}");
    }
    stand.sim.clear_faults();
    stand.cycle(&mut watch).await;
    stand.cycle(&mut watch).await;
    assert_eq!(stand::unreadable(watch.world()), [].into());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn what_the_token_no_longer_sees_is_unknown_not_gone() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(10).await;
    let hide = |path: &str| {
        let call = Call::put(["access", "acl"]).param("path", path);
        call.param("tokens", stand::CONTROLLER)
            .param("roles", "NoAccess")
    };
    // At whichever place of the rotation.
    for number in [103, 104] {
        assert!(stand.write(hide(&format!("/vms/{number}"))).await);
        stand.cycle(&mut watch).await;
        let why = watch
            .world()
            .unreadable(&Part::Resources)
            .unwrap()
            .to_owned();
        assert!(why.contains("/vms/103"), "{why}");
        assert!(!watch.world().guests.contains_key(&vmid(number)));
    }
    for path in ["/storage/nas", "/pool/lab"] {
        assert!(stand.write(hide(path)).await);
        let there = watch.world().clone();
        for _ in 0..3 {
            stand.cycle(&mut watch).await;
            let world = watch.world();
            let unreadable = |part: &Part| world.unreadable(part).is_some();
            assert!(world.storages.len() == there.storages.len() || unreadable(&Part::Storages));
            assert!(world.pools.len() == there.pools.len() || unreadable(&Part::Pools));
        }
    }
    stand.cycle(&mut watch).await;
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
    stand.edit("user.cfg", "acl:1:/vms/103", "#");
    stand.edit("user.cfg", "acl:1:/vms/104", "#");
    stand.edit("user.cfg", "acl:1:/storage/nas", "#");
    stand.edit("user.cfg", "acl:1:/pool/lab", "#");
    for _ in 0..4 {
        stand.cycle(&mut watch).await;
    }
    assert_eq!(stand::unreadable(watch.world()), [].into());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn a_token_without_any_privileges_left_is_an_error_and_the_world_stays() {
    let stand = Stand::new(&stand::world(6)).await;
    let mut watch = stand.watch(10).await;
    let before = Arc::clone(watch.world());
    stand.edit("user.cfg", "acl:1:/:", "acl:1:/nowhere:");
    stand.edit("user.cfg", "Controller:\n", "Nobody:\n");
    let mut error = None;
    for _ in 0..3 {
        error = error.or(watch.cycle(&stand.client).await.err());
    }
    assert!(
        matches!(error, Some(ObserveError::NoPrivileges { .. })),
        "{error:?}"
    );
    assert!(Arc::ptr_eq(&before, watch.world()));
    assert_eq!(watch.world().guests.len(), 6);
}

#[tokio::test]
async fn a_cycle_that_finds_no_cluster_changes_nothing_and_the_next_catches_up() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(10).await;
    let before = Arc::clone(watch.world());
    // Wherever in the cycle the connection breaks.
    let paths = [
        "/cluster/resources",
        "/cluster/ha/rules",
        "/storage",
        "/access/permissions",
    ];
    for path in paths {
        let fault = format!("drop=before;path={path};count=*;user={}", stand::CONTROLLER);
        stand.sim.fault(Fault::parse(&fault).unwrap());
    }
    assert!(
        stand
            .write(Call::put(["nodes", "n2", "qemu", "104", "config"]).param("tags", "seen"))
            .await
    );
    assert!(
        stand
            .write(Call::put(["cluster", "options"]).param("next-id", "lower=700"))
            .await
    );
    for _ in 0..3 {
        let error = watch.cycle(&stand.client).await.unwrap_err();
        assert!(matches!(error, ObserveError::Api { .. }), "{error}");
        assert!(Arc::ptr_eq(&before, watch.world()));
    }
    stand.sim.clear_faults();
    let cycle = stand.cycle(&mut watch).await;
    for wanted in [changed_guest(104), changed_part(Part::Options)] {
        assert!(cycle.changed.contains(&wanted), "{:?}", cycle.changed);
    }
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

#[tokio::test]
async fn what_cannot_be_read_is_tried_again() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(10).await;
    let faults = [
        "status=500 broken;method=GET;path=/nodes/*/qemu/104/pending;count=*",
        "status=500 broken;method=GET;path=/nodes/n1/storage/lvm/content;count=*",
        "status=500 broken;method=GET;path=/nodes/n3/network;count=*",
        "status=500 broken;method=GET;path=/cluster/backup;count=*",
    ];
    for fault in faults {
        stand.sim.fault(Fault::parse(fault).unwrap());
    }
    let parts: BTreeSet<Part> = [
        Part::GuestConfig(vmid(104)),
        Part::StorageContent(node("n1"), storage("lvm")),
        Part::NodeNetwork(node("n3")),
        Part::BackupJobs,
    ]
    .into();
    // Once something fails, one of the sweep's requests goes there.
    for _ in 0..watch.sweep_cycles() * 2 {
        stand.cycle(&mut watch).await;
    }
    let unreadable: BTreeSet<Part> = stand::unreadable(watch.world()).into_keys().collect();
    assert_eq!(unreadable, parts);
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
    stand.take_calls();
    for _ in 0..6 {
        assert_eq!(stand.cycle(&mut watch).await.changed, BTreeSet::new());
        assert!(stand.take_calls().len() <= 10);
    }
    stand.sim.clear_faults();
    // Four parts, one of them a list; the others one in a cycle.
    for _ in 0..4 {
        stand.cycle(&mut watch).await;
    }
    assert_eq!(stand::unreadable(watch.world()), [].into());
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

/// Its configuration is taken over by another node, as somebody does by hand whose node has died.
#[tokio::test]
async fn a_guest_taken_from_a_dead_node_is_seen_where_it_is() {
    let stand = Stand::new(&stand::world(9)).await;
    let mut watch = stand.watch(10).await;
    let moved = stand.sim.with(|cluster| {
        cluster.nodes.get_mut("n1").unwrap().online = false;
        let guests = cluster.guests();
        let of_n1 = guests.into_iter().filter(|guest| guest.node == "n1");
        let mut moved = Vec::new();
        for guest in of_n1 {
            cluster.running.remove(&guest.vmid);
            let to = bailiwick::sim::state::Guest {
                node: "n2".to_owned(),
                ..guest.clone()
            };
            if moved.is_empty() && cluster.files.rename(&guest.file(), &to.file()) {
                moved.push(guest.vmid);
            }
        }
        moved
    });
    assert_eq!(moved.len(), 1);
    for _ in 0..watch.sweep_cycles() + 2 {
        stand.cycle(&mut watch).await;
    }
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
    assert_eq!(watch.world().guests[&vmid(moved[0])].node, node("n2"));
}

#[tokio::test]
async fn a_token_that_sees_no_tasks_watches_all_the_same() {
    let world = stand::world(9).replace("Sys.Audit,", "");
    let stand = Stand::new(&world).await;
    let mut watch = stand.watch(10).await;
    assert!(watch.world().unreadable(&Part::ClusterStatus).is_some());
    assert!(
        stand
            .write(Call::put(["nodes", "n2", "qemu", "104", "config"]).param("tags", "seen"))
            .await
    );
    let sweep = watch.sweep_cycles();
    stand.edit(
        "nodes/n3/qemu-server/105.conf",
        "bridge=vmbr0",
        "bridge=vmbr1",
    );
    let mut seen = BTreeSet::new();
    for _ in 0..sweep {
        seen.extend(stand.cycle(&mut watch).await.changed);
    }
    assert!(
        seen.contains(&changed_guest(104)) && seen.contains(&changed_guest(105)),
        "{seen:?}"
    );
    assert_eq!(stand::difference(watch.world(), &stand.fresh().await), "");
}

/// Whatever people do: once they are done and the sweep has come round, the world watched is the world observed.
#[test]
fn watching_comes_to_what_observing_comes_to() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let cases = if long() { 400 } else { 12 };
    let strategy = (
        prop::collection::vec(hands::deed(), 1..14),
        prop::sample::select(&[4u32, 7, 10, 25][..]),
    );
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    };
    let done = Mutex::new(BTreeMap::new());
    // The same cases each time; the long mode tries others.
    let mut runner = if long() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    let outcome = runner.run(&strategy, |(deeds, requests)| {
        runtime
            .block_on(watched(&deeds, requests, &done))
            .map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // A test of deeds that are all refused would prove nothing.
    let done = done.into_inner().unwrap();
    let (taken, tried) = done.values().fold((0, 0), |(one, other), (taken, tried)| {
        (one + taken, other + tried)
    });
    assert!(taken * 3 > tried, "{taken} of {tried}: {done:?}");
    if long() {
        eprintln!("taken of tried: {done:?}");
    }
}

/// How often each kind of deed was taken, and tried.
type Done = Mutex<BTreeMap<String, (u32, u32)>>;

async fn watched(deeds: &[Deed], requests: u32, done: &Done) -> Result<(), String> {
    let stand = Stand::new(&stand::world(10)).await;
    let mut watch = stand.watch(requests).await;
    let begun = Arc::clone(watch.world());
    let mut seen = BTreeSet::new();
    for deed in deeds {
        let taken = u32::from(deed.act(&stand).await);
        {
            let mut done = done.lock().unwrap();
            let counts = done.entry(format!("{:?}", deed.what)).or_default();
            *counts = (counts.0 + taken, counts.1 + 1);
        }
        stand.sim.advance(f64::from(deed.pause));
        for _ in 0..deed.cycles {
            // A token may lose everything on the way.
            if let Ok(cycle) = watch.cycle(&stand.client).await {
                seen.extend(cycle.changed);
            }
        }
    }
    stand.settle();
    stand.sim.clear_faults();
    let mut left = watch.sweep_cycles() + 2;
    let mut round = 0;
    while left > 0 {
        seen.extend(
            watch
                .cycle(&stand.client)
                .await
                .map_err(|error| error.to_string())?
                .changed,
        );
        left -= 1;
        round += 1;
        if left == 0 && watch.sweep_cycles() + 2 > round {
            // There is more to sweep than there was at first.
            left = watch.sweep_cycles() + 2 - round;
        }
    }
    let fresh = stand.fresh().await;
    let difference = stand::difference(watch.world(), &fresh);
    if !difference.is_empty() {
        return Err(format!("after {round} cycles:\n{difference}"));
    }
    let guests: BTreeSet<_> = begun.guests.keys().chain(fresh.guests.keys()).collect();
    for vmid in guests {
        if begun.guests.get(vmid) != fresh.guests.get(vmid)
            && !seen.contains(&Changed::Guest(*vmid))
        {
            return Err(format!("nobody said that guest {vmid} changed"));
        }
    }
    for _ in 0..3 {
        let cycle = watch
            .cycle(&stand.client)
            .await
            .map_err(|error| error.to_string())?;
        if !cycle.changed.is_empty() {
            return Err(format!("nothing changed, and yet: {:?}", cycle.changed));
        }
    }
    Ok(())
}

/// Ten thousand cycles of a thousand guests, with something changed now and then; the simulator is a process of its own.
#[tokio::test]
async fn memory_stays_flat() {
    if !long() {
        eprintln!("NOTICE: BAILIWICK_LONG is not 1; this test checked nothing");
        return;
    }
    let sim = stand::Apart::start(&stand::world(1000));
    let (client, hands) = (sim.client(stand::CONTROLLER), sim.client(stand::ROOT));
    let mut watch = Watch::begin(&client, WatchSettings::default(), stand::settings())
        .await
        .unwrap();
    let mut settled = 0;
    for number in 0..10_000u32 {
        if number % 50 == 0 {
            let call = Call::put(["nodes", "n1", "qemu", "103", "config"])
                .param("tags", format!("t{number}"));
            hands.write(call).await.unwrap();
        }
        watch.cycle(&client).await.unwrap();
        if number % 500 == 0 {
            eprintln!("cycle {number}: {} KiB resident", stand::resident());
        }
        if number == 1_000 {
            settled = stand::resident();
        }
    }
    let grown = stand::resident().saturating_sub(settled);
    assert!(
        grown < 4096,
        "{grown} KiB more than after 1,000 cycles ({settled} KiB)"
    );
}

/// Firewalls are read while they can have an effect, and watched by the sweep.
#[tokio::test(flavor = "multi_thread")]
async fn firewalls_are_read_while_the_datacenters_is_on() {
    let stand = Stand::new(&stand::world(4)).await;
    let write = |call: Call| stand.write(call);
    let mut watch = stand.watch(10).await;
    let firewalls = &watch.world().firewalls;
    assert!(firewalls.cluster.is_ok() && !firewalls.may_be_on());
    assert!(firewalls.nodes.is_empty() && firewalls.guests.is_empty());
    let members = &firewalls.corosync.as_ref().unwrap().members;
    assert_eq!(members[&node("n2")][&0], "10.0.0.12");
    assert!(firewalls.guest(vmid(100)).unwrap_err().contains("is off"));

    assert!(write(Call::put(["cluster", "firewall", "options"]).param("enable", "1")).await);
    let on = Changed::Firewall(Place::Cluster);
    let sweep = watch.sweep_cycles() + 1;
    assert!(cycles_until(&stand, &mut watch, &on, sweep).await.is_some());
    let same = |watch: &Watch, fresh| stand::difference(watch.world(), &fresh);
    assert_eq!(same(&watch, stand.fresh().await), "");
    let firewalls = &watch.world().firewalls;
    assert_eq!((firewalls.nodes.len(), firewalls.guests.len()), (3, 4));
    let addresses = firewalls.nodes[&node("n2")].addresses.as_ref().unwrap();
    assert_eq!(
        (addresses.len(), addresses[0].cidr.as_str()),
        (1, "10.0.0.12/24")
    );

    let office = Call::post(["cluster", "firewall", "ipset"]).param("name", "office");
    assert!(write(office).await);
    let entry = Call::post(["cluster", "firewall", "ipset", "office"])
        .param("cidr", "192.0.2.0/24")
        .param("nomatch", "1");
    assert!(write(entry).await);
    let guest = ["nodes", "n1", "qemu", "100", "firewall"];
    for (action, port) in [("DROP", "80"), ("ACCEPT", "443")] {
        let rule = Call::post(guest.iter().chain(&["rules"]))
            .param("type", "in")
            .param("action", action)
            .param("proto", "tcp")
            .param("dport", port)
            .param("source", "+office")
            .param("enable", "1");
        assert!(write(rule).await);
    }
    let changed = Changed::Firewall(Place::Guest(vmid(100)));
    let sweep = watch.sweep_cycles() + 1;
    assert!(
        cycles_until(&stand, &mut watch, &changed, sweep)
            .await
            .is_some()
    );
    // New rules come first.
    let rules = |watch: &Watch| {
        watch
            .world()
            .firewalls
            .guest(vmid(100))
            .unwrap()
            .rules
            .clone()
    };
    let ports: Vec<String> = rules(&watch)
        .iter()
        .map(|rule| rule.fields["dport"].clone())
        .collect();
    assert_eq!(ports, ["443", "80"]);
    // A set that is gone leaves the rule, which Proxmox VE says is wrong.
    let gone = Call::delete(["cluster", "firewall", "ipset", "office"]).param("force", "1");
    assert!(write(gone).await);
    let sweep = watch.sweep_cycles() + 1;
    assert!(
        cycles_until(&stand, &mut watch, &changed, sweep)
            .await
            .is_some()
    );
    assert!(rules(&watch)[0].errors["source"].contains("office"));
    for _ in 0..sweep {
        stand.cycle(&mut watch).await;
    }
    assert_eq!(same(&watch, stand.fresh().await), "");

    // What the token may not see is unread.
    stand.edit("user.cfg", "Sys.Audit,", "");
    let fresh = stand.fresh().await.firewalls;
    assert!(fresh.cluster.is_err() && fresh.corosync.is_err() && fresh.may_be_on());
    assert!(fresh.nodes[&node("n1")].firewall.is_err());
    assert!(fresh.guest(vmid(100)).is_ok());
}

/// The vnets that run have firewalls of their own, which are read while the datacenter's is on, and watched.
#[tokio::test(flavor = "multi_thread")]
async fn the_firewalls_of_vnets_are_read_and_watched() {
    let stand = Stand::new(&stand::world(4)).await;
    let set = |file: &str, text: &str| {
        stand
            .sim
            .with(|cluster| cluster.files.set(file.to_owned(), text.to_owned()));
    };
    set(
        "sdn/vnets.cfg",
        "vnet: web\n\tzone z1\n\nvnet: db\n\tzone z1\n\ttag 7\n\nvnet: soon\n\tzone z1\n",
    );
    set(
        "sdn/.running-config",
        r#"{"vnets": {"ids": {"web": {"type": "vnet", "zone": "z1"}, "db": {"type": "vnet", "zone": "z1", "tag": 7}}}}"#,
    );
    let mut watch = stand.watch(10).await;
    let off = watch.world().firewalls.vnets.clone();
    assert!(off.unwrap_err().contains("never asked for"));

    let vnet = |name: &str| VnetName::new(name).unwrap();
    let of = |name: &str| Changed::Firewall(Place::Vnet(vnet(name)));
    let write = |call: Call| stand.write(call);
    assert!(write(Call::put(["cluster", "firewall", "options"]).param("enable", "1")).await);
    let sweep = watch.sweep_cycles() + 1;
    assert!(
        cycles_until(
            &stand,
            &mut watch,
            &Changed::Firewall(Place::Cluster),
            sweep
        )
        .await
        .is_some()
    );
    stand.cycle(&mut watch).await;
    let same = |watch: &Watch, fresh| stand::difference(watch.world(), &fresh);
    assert_eq!(same(&watch, stand.fresh().await), "");
    let vnets = watch.world().firewalls.vnets.clone().unwrap();
    let names: Vec<&str> = vnets.keys().map(VnetName::as_str).collect();
    assert_eq!(names, ["db", "web"]);
    assert_eq!(vnets[&vnet("db")].zone, "z1");
    assert_eq!(vnets[&vnet("db")].firewall, Ok(Default::default()));

    // What changes in one is found by the sweep.
    let base = ["cluster", "sdn", "vnets", "web", "firewall"];
    let rule = Call::post(base.iter().chain(&["rules"]))
        .param("type", "forward")
        .param("action", "DROP")
        .param("enable", "1");
    assert!(write(rule).await);
    assert!(
        write(Call::put(base.iter().chain(&["options"])).param("policy_forward", "DROP")).await
    );
    let sweep = watch.sweep_cycles() + 1;
    assert!(
        cycles_until(&stand, &mut watch, &of("web"), sweep)
            .await
            .is_some()
    );
    for _ in 0..sweep {
        stand.cycle(&mut watch).await;
    }
    let read = watch.world().firewalls.vnet(&vnet("web")).unwrap();
    assert_eq!(read.options["policy_forward"], "DROP");
    assert_eq!(read.rules[0].fields["type"], "forward");
    assert_eq!(same(&watch, stand.fresh().await), "");

    // One that is applied now is found; one that runs no more is forgotten.
    set(
        "sdn/.running-config",
        r#"{"vnets": {"ids": {"web": {"type": "vnet", "zone": "z1"}, "soon": {"type": "vnet", "zone": "z1"}}}}"#,
    );
    for _ in 0..=watch.sweep_cycles() + 1 {
        stand.cycle(&mut watch).await;
    }
    assert_eq!(same(&watch, stand.fresh().await), "");
    let firewalls = &watch.world().firewalls;
    assert!(firewalls.vnet(&vnet("soon")).is_ok());
    assert!(firewalls.vnet(&vnet("db")).unwrap_err().contains("no vnet"));

    // Proxmox VE hides in silence what the token may not see: then nobody knows which there are.
    stand.edit("user.cfg", "SDN.Audit,", "");
    let fresh = stand.fresh().await.firewalls;
    assert!(fresh.vnets.unwrap_err().contains("SDN.Audit"));
}
