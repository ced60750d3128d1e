//! What hurts people who run Proxmox VE with Terraform, one test each: the pain is named, and the test shows that it is not here.
//! Pains of networks wait for their kinds; their tests say so and fail as soon as such a kind exists without them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod support;

use bailiwick::sim::Entry;
use serde_json::Value;
use support::play::{LAB, Play, Setup, hash_of};

const WEB: &str = include_str!("../examples/demo/web-7.yaml");

fn vm(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// A play with one document.
fn given(text: &str) -> Play {
    let play = Play::new();
    play.document("given", text);
    play
}

/// The plan of `docs/`, not submitted.
#[track_caller]
fn planned(play: &Play) -> Value {
    let ran = play.json(&["plan", "-f", "docs"]);
    assert!(matches!(ran.code, Some(0 | 2)), "{}", ran.all());
    ran.json()
}

fn list<'a>(plan: &'a Value, name: &str) -> &'a [Value] {
    plan[name].as_array().map_or(&[], Vec::as_slice)
}

/// What each step does: `createGuest`, `setPower`.
fn deeds(plan: &Value) -> Vec<&str> {
    list(plan, "steps")
        .iter()
        .map(|step| step["action"]["do"].as_str().unwrap())
        .collect()
}

/// The effect that the plan states for a field of an object.
#[track_caller]
fn effect<'a>(plan: &'a Value, field: &str) -> &'a str {
    let mut changes = list(plan, "changes").iter();
    let change = changes.find(|change| change["field"] == field);
    change.unwrap_or_else(|| panic!("no change of {field} in {plan}"))["effect"]
        .as_str()
        .unwrap()
}

#[track_caller]
fn plans_to_nothing(play: &Play) {
    let plan = planned(play);
    assert_eq!(list(&plan, "changes"), [] as [Value; 0], "{plan}");
    assert_eq!(deeds(&plan), [] as [&str; 0]);
}

/// The lines of a guest's configuration that begin with a word.
fn line(play: &Play, vmid: u32, key: &str) -> Option<String> {
    let text = play.config(vmid).unwrap();
    let start = format!("{key}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

fn move_by_hand(play: &Play, vmid: u32, to: &str) {
    play.sim.with(|cluster| {
        let guest = cluster.guest(vmid).unwrap();
        let target = guest.file().replace(&guest.node, to);
        assert!(cluster.files.rename(&guest.file(), &target));
    });
}

/// A kind that does not exist yet, and whose pain therefore waits for it.
#[track_caller]
fn waits_for(kind: &str) {
    let ran = Play::new().bailiwick(&["explain", kind]).ends(1);
    assert!(ran.err.contains("there is no kind"), "{}", ran.err);
    eprintln!(
        "NOTICE: this pain waits for the kind {kind}; nothing of it can be hurt by a document yet"
    );
}

#[test]
fn pain01_defaults_and_normal_forms_are_no_difference() {
    // Display, agent, keyboard, boot order and the like are there and not written; what is written is in another form than Proxmox VE's.
    let play = given(&vm(
        "shop-db",
        "{vmid: 104, memory: {size: 16Gi}, cpu: {cores: 8, sockets: 1}, networks: {net0: {model: virtio, mac: \"bc:24:11:67:f1:f4\", bridge: vmbr0, firewall: true, vlan: 30}}}",
    ));
    plans_to_nothing(&play);
    // And what Proxmox VE fills in when it makes a guest is none either.
    play.withdraw("given");
    play.document("web-7", WEB);
    play.carry_out();
    plans_to_nothing(&play);
}

#[test]
fn pain02_taking_over_a_guest_writes_nothing() {
    let play = given(&vm(
        "gateway",
        "{vmid: 100, memory: {size: 2Gi}, powerState: running}",
    ));
    let plan = planned(&play);
    assert_eq!(plan["documents"][0]["adopts"], true, "{plan}");
    assert_eq!(deeds(&plan), [] as [&str; 0]);
    play.json(&["apply", "-f", "docs"]);
    assert_eq!(play.writes().len(), 0);
    // A change that needs a restart is said to, and the restart is not done with it.
    play.document("given", &vm("gateway", "{vmid: 100, memory: {size: 3Gi}}"));
    let plan = planned(&play);
    assert_eq!(deeds(&plan), ["updateConfig"]);
    assert!(effect(&plan, "memory").contains("stop and start"), "{plan}");
}

#[test]
fn pain03_a_new_disk_replaces_no_guest() {
    let play = given(&vm(
        "shop-db",
        "{vmid: 104, disks: {scsi2: {storage: ceph-vm, size: 8Gi}}}",
    ));
    let identity = line(&play, 104, "smbios1");
    let plan = planned(&play);
    assert_eq!(deeds(&plan), ["updateConfig"], "{plan}");
    play.carry_out();
    assert_eq!(line(&play, 104, "smbios1"), identity);
    assert!(
        line(&play, 104, "scsi2")
            .unwrap()
            .starts_with("ceph-vm:vm-104-disk-")
    );
}

#[test]
fn pain04_cloud_init_replaces_no_guest_and_says_when_it_takes_effect() {
    let play = given(&vm("app-01", "{vmid: 106, cloudInit: {user: admin}}"));
    let identity = line(&play, 106, "smbios1");
    let plan = planned(&play);
    assert!(!deeds(&plan).contains(&"destroyGuest"), "{plan}");
    assert!(
        effect(&plan, "ciuser").contains("boot"),
        "{}",
        effect(&plan, "ciuser")
    );
    play.carry_out();
    assert_eq!(line(&play, 106, "ciuser").as_deref(), Some("admin"));
    assert_eq!(line(&play, 106, "smbios1"), identity);
    plans_to_nothing(&play);
}

#[test]
fn pain05_a_disk_is_detached_when_asked_and_never_deleted_with_it() {
    let play = given(&vm(
        "shop-db",
        "{vmid: 104, disks: {scsi1: {storage: ceph-vm, size: 200Gi}}}",
    ));
    play.json(&["apply", "-f", "docs"]);
    // No longer written: no longer managed, still there.
    play.document("given", &vm("shop-db", "{vmid: 104}"));
    plans_to_nothing(&play);
    // Asked to be gone: detached and kept.
    play.document("given", &vm("shop-db", "{vmid: 104, disks: {scsi1: null}}"));
    let plan = planned(&play);
    assert_eq!(deeds(&plan), ["detachDisk"], "{plan}");
    assert!(!list(&plan, "impacts").is_empty());
    play.carry_out();
    assert_eq!(line(&play, 104, "scsi1"), None);
    assert_eq!(
        line(&play, 104, "unused0").as_deref(),
        Some("ceph-vm:vm-104-disk-0")
    );
    plans_to_nothing(&play);
}

#[test]
fn pain06_a_new_image_changes_no_guest_that_was_made_of_an_old_one() {
    let play = given(&vm(
        "mail",
        "{vmid: 102, disks: {scsi0: {storage: ceph-vm, importFrom: \"nfs-data:import/debian-13-newer.qcow2\"}}}",
    ));
    plans_to_nothing(&play);
}

#[test]
fn pain07_a_lock_that_somebody_holds_is_waited_for() {
    let play = given(&vm("mail", "{vmid: 102, memory: {size: 6Gi}}"));
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let text = "can't lock file '/var/lock/qemu-server/lock-102.conf' - got timeout";
    play.fault(&format!("status=500 {text};method=POST;count=2"));
    play.run(&plan).ends(0);
    assert_eq!(play.writes().len(), 3);
    assert!(play.config(102).unwrap().contains("memory: 6144"));
}

#[test]
fn pain08_a_number_that_somebody_took_is_never_taken_over() {
    let play = given(WEB);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let theirs = "memory: 512\nname: theirs\nsmbios1: uuid=00000000-0000-4000-8000-000000000001\n";
    play.sim.with(|cluster| {
        let file = "nodes/pve3/qemu-server/9000.conf".to_owned();
        cluster.files.set(file, theirs.to_owned());
    });
    let ran = play.run(&plan);
    assert_eq!(ran.json()["result"], "superseded", "{}", ran.all());
    let by = ran.json()["by"].as_str().unwrap().to_owned();
    play.approve(&by).ends(0);
    play.run(&by).ends(0);
    assert_eq!(play.config(9000).as_deref(), Some(theirs));
    assert_eq!(line(&play, 9001, "name").as_deref(), Some("web-7"));
}

#[test]
fn pain09_a_guest_made_by_half_is_gone_on_with_and_not_made_again() {
    let play = given(&WEB.replace("node: pve1", "node: pve1\n  powerState: running"));
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    play.fault("status=500 start failed: no such thing;method=POST;path=/nodes/pve1/qemu/9000/status/start");
    play.run(&plan).ends(1);
    let identity = line(&play, 9000, "smbios1");
    let again = play.apply();
    assert_eq!(deeds(&again), ["setPower"], "{again}");
    play.approve(&hash_of(&again)).ends(0);
    play.run(&hash_of(&again)).ends(0);
    assert_eq!(line(&play, 9000, "smbios1"), identity);
    assert_eq!(play.counts()["POST /nodes/pve1/qemu"], 1);
}

#[test]
fn pain10_an_answer_that_comes_too_late_is_looked_for() {
    let play = given(WEB);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    play.fault("after=596 Connection timed out;method=POST;path=/nodes/pve1/qemu");
    play.run(&plan).ends(0);
    assert_eq!(play.counts()["POST /nodes/pve1/qemu"], 1);
    plans_to_nothing(&play);
}

#[test]
fn pain11_a_connection_that_the_server_closed_costs_no_read_and_no_write_uses_an_old_one() {
    let play = given(&vm("mail", "{vmid: 102, memory: {size: 6Gi}}"));
    play.fault("drop=before;method=GET;path=/cluster/resources;count=1");
    play.carry_out();
    assert_eq!(play.writes().len(), 1);
}

#[test]
fn pain12_what_only_root_may_set_is_refused_before_anything_is_written() {
    let play = given(&vm(
        "mail",
        "{vmid: 102, extraConfig: {args: \"-device x\"}}",
    ));
    let ran = play.bailiwick(&["apply", "-f", "docs"]).ends(1);
    assert!(ran.err.contains("root@pam"), "{}", ran.err);
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn pain13_the_least_privileges_are_known_and_what_lacks_is_named_before_approval() {
    let role = regex::Regex::new("VM.Config.Memory,").unwrap();
    let play = Play::with(Setup {
        world: role.replace(LAB, "").into_owned(),
        ..Setup::default()
    });
    play.document("mail", &vm("mail", "{vmid: 102, memory: {size: 6Gi}}"));
    let ran = play.bailiwick(&["apply", "-f", "docs"]);
    assert_ne!(ran.code, Some(2), "{}", ran.all());
    let said = ran.all();
    assert!(
        said.contains("VM.Config.Memory") && said.contains("/vms/102"),
        "{said}"
    );
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn pain14_the_api_is_all_that_is_needed() {
    // Keys and user of a new guest go with its creation; no file is put on any node.
    let play = given(&vm(
        "fresh",
        "{node: pve1, memory: {size: 1Gi}, disks: {scsi0: {storage: ceph-vm, size: 8Gi}}, cloudInit: {drive: {slot: ide2, storage: ceph-vm}, user: admin, sshKeys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1lMmV0Y2hlZGV4YW1wbGVrZXlmb3JsYWI a@b\"]}}",
    ));
    play.carry_out();
    assert_eq!(line(&play, 9000, "ciuser").as_deref(), Some("admin"));
    assert!(
        line(&play, 9000, "sshkeys")
            .unwrap()
            .starts_with("ssh-ed25519")
    );
    plans_to_nothing(&play);
}

#[test]
fn pain15_a_guest_that_was_moved_is_found_and_nothing_is_proposed() {
    let play = given(&vm("mail", "{vmid: 102, memory: {size: 6Gi}}"));
    play.carry_out();
    move_by_hand(&play, 102, "pve3");
    plans_to_nothing(&play);
    play.bailiwick(&["plan"]).ends(0);
}

#[test]
fn pain16_a_migration_through_ha_is_waited_for_to_its_end() {
    let play = given(&vm(
        "lb-01",
        "{vmid: 112, node: pve3, tags: [prod, web, moved]}",
    ));
    play.carry_out();
    let node = play
        .sim
        .with(|cluster| cluster.guest(112).unwrap().node.clone());
    assert_eq!(node, "pve3");
    plans_to_nothing(&play);
}

#[test]
fn pain17_power_of_a_guest_under_ha_goes_through_ha() {
    let play = given(&vm("lb-01", "{vmid: 112, powerState: stopped}"));
    assert_eq!(deeds(&planned(&play)), ["setHaState"]);
    play.carry_out();
    plans_to_nothing(&play);
    // A destruction takes it out of HA first.
    let doomed = vm("lb-01", "{vmid: 112, powerState: stopped}").replace(
        "{name: lb-01}",
        "{name: lb-01, annotations: {bailiwick.dev/deletion: delete}}",
    );
    play.document("given", &doomed);
    play.json(&["apply", "-f", "docs"]);
    play.withdraw("given");
    play.document("other", &vm("mail", "{vmid: 102}"));
    let plan = play.apply();
    assert_eq!(deeds(&plan), ["removeHaResource", "destroyGuest"], "{plan}");
    play.approve(&hash_of(&plan)).ends(0);
    play.run(&hash_of(&plan)).ends(0);
    assert_eq!(play.config(112), None);
}

#[test]
fn pain18_no_restart_that_nobody_asked_for() {
    let play = given(&vm(
        "mail",
        "{vmid: 102, cpu: {cores: 6}, description: new}",
    ));
    let plan = planned(&play);
    assert_eq!(deeds(&plan), ["updateConfig"]);
    assert!(effect(&plan, "cores").contains("stop and start"), "{plan}");
    assert!(
        !effect(&plan, "description").contains("stop and start"),
        "{plan}"
    );
    play.carry_out();
    assert!(play.sim.with(|cluster| cluster.running.contains_key(&102)));
    assert!(play.counts().keys().all(|call| !call.contains("/status/")));
    // What waits for a restart is no drift and is not proposed again.
    plans_to_nothing(&play);
}

#[test]
fn pain19_no_guest_agent_is_waited_for() {
    let play = given(&vm("app-01", "{vmid: 106, memory: {size: 3Gi}}"));
    play.carry_out();
    let asked = |entry: &Entry| entry.path.contains("/agent");
    assert!(!play.sim.log().iter().any(asked));
}

#[test]
fn pain20_rule_lists_of_firewalls() {
    // Somebody else's list, a document with the same rules in another order, one more and one fewer.
    let lab = LAB.replacen(
        "files:\n",
        "files:\n  firewall/cluster.fw: |\n    [RULES]\n    IN DROP -p tcp -dport 23\n    IN ACCEPT -p tcp -dport 80\n    IN ACCEPT -p tcp -dport 443\n",
        1,
    );
    let play = Play::with(Setup {
        world: lab,
        ..Setup::default()
    });
    let rule = |action: &str, port: u16| {
        format!("{{direction: in, action: {action}, proto: tcp, dport: '{port}'}}")
    };
    let rules = [rule("ACCEPT", 443), rule("ACCEPT", 8443), rule("DROP", 23)].join(", ");
    play.document(
        "given",
        &format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {{name: all}}\nspec: {{cluster: true, rules: [{rules}]}}\n"
        ),
    );
    play.carry_out();
    let text = play.sim.with(|cluster| {
        let text = cluster.files.read("firewall/cluster.fw");
        text.to_owned()
    });
    let left: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("IN "))
        .collect();
    assert_eq!(left.len(), 3, "{text}");
    for (line, (action, port)) in
        left.iter()
            .zip([("ACCEPT", "443"), ("ACCEPT", "8443"), ("DROP", "23")])
    {
        assert!(
            line.contains(action) && line.contains(&format!("-dport {port}")),
            "{text}"
        );
    }
    plans_to_nothing(&play);
    // What somebody inserts above is drift, with the rule named, and one call takes it away again.
    play.sim.with(|cluster| {
        let text = text.replacen("[RULES]\n", "[RULES]\n\nIN ACCEPT -p tcp -dport 8006\n", 1);
        cluster.files.set("firewall/cluster.fw", text);
    });
    assert_eq!(deeds(&planned(&play)), ["firewall"]);
}

#[test]
fn pain21_networks_of_nodes() {
    waits_for("NodeNetwork");
}

#[test]
fn pain22_software_defined_networks() {
    waits_for("SdnZone");
}

#[test]
fn pain23_order_of_tags_and_membership_elsewhere_are_no_drift() {
    let play = given(&vm("shop-db", "{vmid: 104, tags: [prod, db], pool: prod}"));
    plans_to_nothing(&play);
    play.document("given", &vm("shop-db", "{vmid: 104, tags: [DB, prod]}"));
    plans_to_nothing(&play);
}

#[test]
fn pain24_sizes_are_bytes_and_disks_only_grow() {
    let play = given(&vm(
        "mail",
        "{vmid: 102, disks: {scsi0: {storage: ceph-vm, size: 65536Mi}}}",
    ));
    plans_to_nothing(&play);
    play.document(
        "given",
        &vm(
            "mail",
            "{vmid: 102, disks: {scsi0: {storage: ceph-vm, size: 32Gi}}}",
        ),
    );
    let ran = play.bailiwick(&["apply", "-f", "docs"]).ends(1);
    assert!(
        ran.err.contains("shrink") || ran.err.contains("smaller"),
        "{}",
        ran.err
    );
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn pain25_changes_by_hand_are_seen_and_who_approved_is_on_record() {
    let play = given(&vm(
        "mail",
        "{vmid: 102, memory: {size: 6Gi}, description: ours}",
    ));
    let plan = play.carry_out();
    play.edit(102, "memory: 6144", "memory: 7168");
    let drift = play.json(&["plan"]).ends(2).json();
    assert!(drift.to_string().contains("7168"), "{drift}");
    assert!(
        play.config(102).unwrap().contains("memory: 7168"),
        "nothing is taken back unasked"
    );
    let by: Vec<Value> = play
        .ledger()
        .into_iter()
        .filter(|record| record["plan"] == plan.as_str() && record["actor"] == "person:anna")
        .collect();
    assert!(!by.is_empty());
}
