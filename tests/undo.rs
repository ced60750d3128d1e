//! Taking runs back: three-way, through the same gate; and plans that no longer fit the world.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::play::{LAB, Play, Setup, hash_of, same_end, write_private};

const WEB: &str = include_str!("../examples/demo/web-7.yaml");
const RESCUE: &str = include_str!("../examples/documents/image.yaml");
const INFRA: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: infra}\nspec: {comment: network and monitoring}\n";
const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}, cpu: {cores: 6}}\n";

fn undone(play: &Play, plan: &str) -> String {
    let undo = hash_of(&play.undo(plan));
    play.run(&undo).ends(3);
    play.approve(&undo).ends(0);
    play.run(&undo).ends(0);
    undo
}

fn documents(play: &Play) -> Vec<String> {
    let list = play.json(&["get", "documents"]).ends(0).json();
    let list = list.as_array().unwrap();
    list.iter().map(|document| document.to_string()).collect()
}

#[test]
fn a_created_vm_is_taken_back_whole() {
    let play = Play::new();
    let before = play.end();
    play.document("web-7", WEB);
    let plan = play.carry_out();
    assert!(play.config(9000).is_some());
    assert_eq!(documents(&play).len(), 1);
    undone(&play, &plan);
    assert_eq!(play.config(9000), None);
    same_end(&play.end(), &before, "undone");
    assert_eq!(documents(&play), Vec::<String>::new());
}

#[test]
fn a_pool_made_with_its_guests_is_taken_back_with_them() {
    let play = Play::new();
    let before = play.end();
    let header = "apiVersion: bailiwick.dev/v1alpha1\nkind:";
    for name in ["one", "two"] {
        let vmid = if name == "one" { 9001 } else { 9002 };
        let vm = format!(
            "{header} VirtualMachine\nmetadata: {{name: {name}}}\nspec: {{vmid: {vmid}, node: pve1, memory: {{size: 1Gi}}}}\n"
        );
        play.document(name, &vm);
    }
    let pool = format!(
        "{header} Pool\nmetadata: {{name: both}}\nspec: {{id: both, guests: [9001, 9002]}}\n"
    );
    play.document("both", &pool);
    let plan = play.carry_out();
    let users = play.end()["user.cfg"].clone();
    assert!(users.contains("pool:both::9001,9002"), "{users}");
    undone(&play, &plan);
    same_end(&play.end(), &before, "undone");
}

#[test]
fn what_somebody_changed_since_is_said_and_left() {
    let play = Play::new();
    let before = play.config(102).unwrap();
    play.document("mail", MAIL);
    let plan = play.carry_out();
    play.edit(102, "memory: 6144", "memory: 7168");
    let undo = play.undo(&plan);
    let said = undo["notes"].to_string();
    assert!(said.contains("memory"), "{said}");
    let hash = hash_of(&undo);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    let after = play.config(102).unwrap();
    assert!(after.contains("memory: 7168"), "{after}");
    let cores = before
        .lines()
        .find(|line| line.starts_with("cores:"))
        .unwrap();
    assert!(after.contains(cores), "{after}");
}

#[test]
fn an_undo_can_be_undone() {
    let play = Play::new();
    let before = play.end();
    play.document("mail", MAIL);
    let plan = play.carry_out();
    let changed = play.end();
    let undo = undone(&play, &plan);
    same_end(&play.end(), &before, "undone");
    assert_eq!(documents(&play).len(), 0);
    let redo = undone(&play, &undo);
    same_end(&play.end(), &changed, "redone");
    assert_eq!(documents(&play).len(), 1);
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    undone(&play, &redo);
    same_end(&play.end(), &before, "undone again");
    assert_eq!(documents(&play).len(), 0);
}

#[test]
fn a_removed_storage_comes_back() {
    let play = Play::new();
    let before = play.end();
    play.document("local-zfs", include_str!("../examples/demo/local-zfs.yaml"));
    let nfs = "apiVersion: bailiwick.dev/v1alpha1\nkind: Storage\nmetadata: {name: backup}\nspec: {content: [backup]}\n";
    play.document("backup", nfs);
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("local-zfs");
    let plan = play.carry_out();
    assert!(!play.end()["storage.cfg"].contains("local-zfs"));
    undone(&play, &plan);
    same_end(&play.end(), &before, "undone");
    assert_eq!(documents(&play).len(), 2);
}

#[test]
fn backup_jobs_made_changed_and_removed_are_taken_back() {
    let play = Play::new();
    let before = play.end();
    let job = |name: &str, spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: BackupJob\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {{{spec}}}\n"
        )
    };
    let fresh = "schedule: 'sun 05:00', storage: backup, guests: [102, 303], pruneBackups: {keepLast: 3}, notesTemplate: '{{vmid}}', excludePaths: ['/a;b', /c]";
    play.document("fresh", &job("fresh", fresh));
    play.document(
        "weekly-infra",
        &job(
            "weekly-infra",
            "pool: infra, comment: null, protected: true",
        ),
    );
    let plan = play.carry_out();
    let jobs = play.end()["jobs.cfg"].clone();
    for line in [
        "vzdump: fresh",
        "vmid 102,303",
        "exclude-path /a;b",
        "exclude-path /c",
        "pool infra",
        "protected 1",
    ] {
        assert!(jobs.contains(line), "{line}: {jobs}");
    }
    assert!(!jobs.contains("vmid 100,118"), "{jobs}");
    let listed = play.bailiwick(&["get", "backup-job"]).ends(0).out;
    for word in ["fresh", "sun 05:00", "by number", "pool infra"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let told = play.json(&["describe", "backup-job/fresh"]).ends(0).json();
    assert!(told.to_string().contains("vm/102"), "{told}");
    // What is removed comes back with it.
    play.withdraw("fresh");
    let removal = play.carry_out();
    assert!(!play.end()["jobs.cfg"].contains("vzdump: fresh"));
    undone(&play, &removal);
    assert_eq!(play.end()["jobs.cfg"], jobs);
    undone(&play, &plan);
    same_end(&play.end(), &before, "undone");
}

#[test]
fn a_firewalls_alias_and_set_are_made_changed_and_taken_back() {
    let play = Play::new();
    let document = |kind: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {spec}\n"
        )
    };
    let file = |name: &str| play.end().get(name).cloned().unwrap_or_default();
    // Of a guest whose firewall can have no effect: it is read for the plan.
    play.document(
        "alias",
        &document(
            "FirewallAlias",
            "office",
            "{cidr: 10.20.7.1/16, comment: offices}",
        ),
    );
    play.document(
        "set",
        &document(
            "IpSet",
            "web",
            "{guest: 104, comment: who may, entries: [{cidr: office}, {cidr: 10.0.9.4, nomatch: true, comment: not him}]}",
        ),
    );
    let made = play.carry_out();
    let before = file("firewall/104.fw");
    assert!(file("firewall/cluster.fw").contains("office 10.20.0.0/16 # offices"));
    for line in ["[IPSET web] # who may", "!10.0.9.4 # not him", "office"] {
        assert!(before.contains(line), "{line}: {before}");
    }
    for (what, name) in [("alias", "office"), ("ipset", "web")] {
        let listed = play.bailiwick(&["get", what]).ends(0).out;
        assert_eq!(listed.contains(name), what == "alias", "{listed}");
    }
    play.document(
        "set",
        &document("IpSet", "web", "{guest: 104, comment: null, entries: [{cidr: 10.0.9.4, comment: now}, {cidr: 10.0.9.5}]}"),
    );
    play.document(
        "alias",
        &document("FirewallAlias", "office", "{cidr: 10.21.0.0/16}"),
    );
    let changed = play.carry_out();
    let now = file("firewall/104.fw");
    assert!(
        now.contains("[IPSET web]\n") && now.contains("10.0.9.4 # now") && !now.contains("office"),
        "{now}"
    );
    assert!(file("firewall/cluster.fw").contains("office 10.21.0.0/16 # offices"));
    undone(&play, &changed);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&file("firewall/104.fw")), sorted(&before));
    assert!(file("firewall/cluster.fw").contains("office 10.20.0.0/16 # offices"));
    undone(&play, &made);
    assert_eq!(file("firewall/104.fw").trim(), "");
    assert_eq!(file("firewall/cluster.fw").trim(), "");
}

#[test]
fn a_firewalls_rules_and_options_are_made_changed_and_taken_back() {
    let play = Play::new();
    let document = |kind: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {spec}\n"
        )
    };
    let files = || {
        let mut end = play.end();
        end.retain(|file, _| file.ends_with(".fw"));
        end.retain(|_, text| !text.trim().is_empty());
        end
    };
    let before = files();
    let ssh = "{direction: in, action: ACCEPT, macro: SSH, source: office, comment: people}";
    let web = "{direction: in, action: ACCEPT, proto: tcp, dport: '80,443'}";
    let drop = "{direction: in, action: DROP, log: info}";
    play.document(
        "alias",
        &document("FirewallAlias", "office", "{cidr: 10.20.0.0/16}"),
    );
    play.document(
        "group",
        &document(
            "SecurityGroup",
            "web",
            &format!("{{comment: servers, rules: [{web}, {ssh}]}}"),
        ),
    );
    play.document(
        "guest",
        &document("Firewall", "shop", &format!("{{guest: 104, options: {{enabled: true, policyIn: DROP}}, rules: [{{direction: group, action: web}}, {ssh}, {drop}]}}")),
    );
    play.document(
        "node",
        &document(
            "Firewall",
            "pve1",
            &format!("{{node: pve1, options: {{ndp: true}}, rules: [{ssh}]}}"),
        ),
    );
    let made = play.carry_out();
    let once = files();
    let guest = &once["firewall/104.fw"];
    assert!(
        guest.contains(
            "[RULES]\n\nGROUP web\nIN SSH(ACCEPT) -source office # people\nIN DROP -log info"
        ),
        "{guest}"
    );
    assert!(
        guest.contains("enable: 1") && guest.contains("policy_in: DROP"),
        "{guest}"
    );
    assert!(once["nodes/pve1/host.fw"].contains("IN SSH(ACCEPT)"));
    let listed = play.bailiwick(&["get", "security-group"]).ends(0).out;
    assert!(
        listed.contains("web") && listed.contains("servers"),
        "{listed}"
    );

    play.document(
        "group",
        &document(
            "SecurityGroup",
            "web",
            &format!("{{comment: null, rules: [{ssh}, {web}]}}"),
        ),
    );
    play.document(
        "guest",
        &document("Firewall", "shop", &format!("{{guest: 104, options: {{enabled: true, policyIn: null, macFilter: false}}, rules: [{ssh}, {{direction: group, action: web, comment: called}}, {web}]}}")),
    );
    let changed = play.carry_out();
    let twice = files();
    let guest = &twice["firewall/104.fw"];
    assert!(guest.contains("IN SSH(ACCEPT) -source office # people\nGROUP web # called\nIN ACCEPT -p tcp -dport 80,443"), "{guest}");
    // Nothing is left to do.
    let again = play
        .json(&["apply", "-f", "docs", "--prune"])
        .ends(0)
        .json();
    assert_eq!(again["steps"].as_array().unwrap().len(), 0, "{again}");
    undone(&play, &changed);
    assert_eq!(files(), once);
    undone(&play, &made);
    assert_eq!(files(), before);
}

/// A block of a list that people share: their rules stay, whatever becomes of the block and whatever they do to them meanwhile.
#[test]
fn a_block_of_rules_is_made_changed_and_taken_back_beside_those_of_people() {
    let play = Play::new();
    let document = |spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {{name: shop}}\nspec: {spec}\n"
        )
    };
    let set = |text: &str| play.file("firewall/104.fw", text);
    let rules = || -> Vec<String> {
        let text = play.end()["firewall/104.fw"].clone();
        let lines = text
            .lines()
            .filter(|line| line.contains("IN ") || line.contains("OUT "));
        lines.map(str::to_owned).collect()
    };
    let ssh = "{direction: in, action: ACCEPT, macro: SSH}";
    let web = "{direction: in, action: ACCEPT, proto: tcp, dport: '80'}";
    let (begin, end) = (
        "|IN DROP # bailiwick:begin app",
        "|IN DROP # bailiwick:end app",
    );
    set("[RULES]\n\nIN ACCEPT -p udp -dport 53 # anna's\n|OUT DROP # ben's\n");
    let theirs = rules();
    play.document(
        "shop",
        &document(&format!(
            "{{guest: 104, block: {{name: app, rules: [{web}]}}}}"
        )),
    );
    let made = play.carry_out();
    let once = rules();
    assert_eq!(once[..2], theirs, "{once:?}");
    assert_eq!(once[2..], [begin, "IN ACCEPT -p tcp -dport 80", end]);

    // Somebody puts a rule of their own before it; the block changes.
    let text = play.end()["firewall/104.fw"].clone();
    set(&text.replace(
        "|OUT DROP # ben's\n",
        "IN REJECT -p tcp -dport 25 # carl's\n|OUT DROP # ben's\n",
    ));
    let again = play.json(&["apply", "-f", "docs"]).ends(0).json();
    assert_eq!(again["steps"].as_array().unwrap().len(), 0, "{again}");
    play.document(
        "shop",
        &document(&format!(
            "{{guest: 104, block: {{name: app, rules: [{ssh}, {web}]}}}}"
        )),
    );
    let changed = play.carry_out();
    let twice = rules();
    assert_eq!(
        twice[3..6],
        [begin, "IN SSH(ACCEPT)", "IN ACCEPT -p tcp -dport 80"]
    );

    // Meanwhile somebody takes a rule away and adds one behind; the undo is about the block only.
    let text = play.end()["firewall/104.fw"].clone();
    set(&format!(
        "{}\nOUT ACCEPT # dora's\n",
        text.replace("IN ACCEPT -p udp -dport 53 # anna's\n", "")
    ));
    undone(&play, &changed);
    let behind = "OUT ACCEPT # dora's";
    let carl = "IN REJECT -p tcp -dport 25 # carl's";
    let ben = "|OUT DROP # ben's";
    assert_eq!(
        rules(),
        [carl, ben, begin, "IN ACCEPT -p tcp -dport 80", end, behind]
    );
    undone(&play, &made);
    assert_eq!(rules(), [carl, ben, behind]);
    let again = play.json(&["undo", &made]).ends(0).json();
    let said = again["notes"].to_string();
    assert!(
        said.contains("the block app of firewall/guest/104 is gone"),
        "{said}"
    );
}

/// Where somebody changed the rules between the markers, or the markers, nothing is guessed.
#[test]
fn a_block_that_somebody_changed_is_left() {
    let play = Play::new();
    let set = |text: &str| play.file("firewall/104.fw", text);
    let file = || play.end()["firewall/104.fw"].clone();
    let block = "{guest: 104, block: {name: app, place: top, rules: [{direction: in, action: ACCEPT, macro: SSH}]}}";
    play.document(
        "shop",
        &format!("apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {{name: shop}}\nspec: {block}\n"),
    );
    set("[RULES]\n\nIN DROP # theirs\n");
    let made = play.carry_out();
    let ours = file();
    assert!(
        ours.find("bailiwick:end app") < ours.find("theirs"),
        "{ours}"
    );
    set(&ours.replace("IN SSH(ACCEPT)", "IN SSH(REJECT)"));
    let undo = play.json(&["undo", &made]).ends(0).json();
    let said = undo["notes"].to_string();
    assert!(
        said.contains("the block app of firewall/guest/104 was changed by someone since"),
        "{said}"
    );
    // The next plan sets it right, and only it.
    play.carry_out();
    assert_eq!(file(), ours);
    set(&ours.replace("|IN DROP # bailiwick:end app\n", ""));
    let refused = play.bailiwick(&["apply", "-f", "docs"]).ends(1).err;
    assert!(
        refused.contains("the block app of the list is broken"),
        "{refused}"
    );
    assert!(refused.contains("has no `bailiwick:end app`"), "{refused}");
}

#[test]
fn the_firewall_of_a_vnet_is_made_imported_and_taken_back() {
    let world = LAB.replace("SDN.Audit,SDN.Use", "SDN.Allocate,SDN.Audit,SDN.Use");
    let play = Play::with(Setup {
        world,
        ..Setup::default()
    });
    play.file("sdn/vnets.cfg", "vnet: web\n\tzone z1\n");
    let theirs = "[RULES]\n\nFORWARD DROP -p tcp -dport 25 # theirs\n\n";
    play.file("sdn/firewall/web.fw", theirs);
    let file = || play.end()["sdn/firewall/web.fw"].clone();
    let vnet = "apiVersion: bailiwick.dev/v1alpha1\nkind: Firewall\nmetadata: {name: web}\nspec: {vnet: web, options: {enabled: true, policyForward: DROP, logLevelForward: info}, rules: [{direction: forward, action: ACCEPT, proto: tcp, dport: '80'}, {direction: forward, action: DROP, source: 10.0.0.0/8}]}\n";
    play.document("web", vnet);
    let plan = play.carry_out();
    let made = file();
    for line in [
        "policy_forward: DROP",
        "enable: 1",
        "log_level_forward: info",
        "FORWARD ACCEPT -p tcp -dport 80\nFORWARD DROP -source 10.0.0.0/8",
    ] {
        assert!(made.contains(line), "{line}: {made}");
    }
    assert!(!made.contains("theirs"), "{made}");
    let again = play.json(&["apply", "-f", "docs"]).ends(0).json();
    assert_eq!(again["steps"].as_array().unwrap().len(), 0, "{again}");
    let imported = play
        .bailiwick(&["import", "--only", "firewall/vnet/web"])
        .ends(0)
        .out;
    assert!(
        imported.contains("vnet: web") && imported.contains("policyForward: DROP"),
        "{imported}"
    );
    undone(&play, &plan);
    assert_eq!(file().trim(), theirs.trim());
}

#[test]
fn a_replication_job_made_and_changed_is_taken_back() {
    let play = Play::new();
    let job = |spec: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: ReplicationJob\nmetadata: {{name: copy, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {{guest: 104, target: pve2, {spec}}}\n"
        )
    };
    play.document("copy", &job("rate: 12.5, comment: shop"));
    let made = play.carry_out();
    let jobs = || {
        let end = play.end();
        end.get("replication.cfg").cloned().unwrap_or_default()
    };
    for line in ["local: 104-0", "target pve2", "rate 12.5", "comment shop"] {
        assert!(jobs().contains(line), "{line}: {}", jobs());
    }
    let listed = play.bailiwick(&["get", "replication-job"]).ends(0).out;
    assert!(
        listed.contains("104-0") && listed.contains("pve2"),
        "{listed}"
    );
    let before = jobs();
    play.document("copy", &job("rate: 20, enabled: false"));
    let changed = play.carry_out();
    assert!(
        jobs().contains("disable") && jobs().contains("rate 20"),
        "{}",
        jobs()
    );
    undone(&play, &changed);
    assert_eq!(jobs(), before);
    // Undone, the job is marked; its copy and itself go with the next run.
    undone(&play, &made);
    assert!(!jobs().contains("104-0"), "{}", jobs());
}

/// The lab, with a controller that may also keep accounts.
fn lab_with_accounts() -> Play {
    let before = "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:\n";
    let more = "    role:Accounts:Group.Allocate,Permissions.Modify,Realm.AllocateUser,User.Modify:\n    acl:1:/:bailiwick@pve,bailiwick@pve!controller:Accounts,BailiwickController:\n";
    assert!(LAB.contains(before));
    Play::with(Setup {
        world: LAB.replacen(before, more, 1),
        ..Setup::default()
    })
}

#[test]
fn accounts_made_changed_and_removed_are_taken_back() {
    let play = lab_with_accounts();
    let written = |kind: &str, name: &str, spec: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {{{spec}}}\n"
        );
        play.document(&format!("{kind}-{name}"), &text);
    };
    let config = || play.end()["user.cfg"].clone();
    let before = config();
    written("Group", "night", "comment: on call");
    written(
        "Role",
        "watch",
        "id: Watch, privileges: [VM.Audit, VM.Console]",
    );
    written(
        "User",
        "cy",
        "id: cy@pve, expires: 2027-03-31, lastName: Novak, groups: [night]",
    );
    written(
        "User",
        "ben",
        "id: ben@pve, groups: [night, operators], comment: on call",
    );
    written(
        "AccessRule",
        "prod",
        "path: /pool/prod, group: night, roles: [Watch]",
    );
    written(
        "AccessRule",
        "web",
        "path: /vms/109, user: ben@pve, roles: [Watch], propagate: false",
    );
    let made = play.carry_out();
    let now = config();
    for line in [
        "group:night:ben@pve,cy@pve:on call",
        "group:developers:anna@pve:Developers",
        "user:cy@pve:1:1806451200::Novak",
        "role:Watch:VM.Audit,VM.Console",
        "acl:1:/pool/prod:@night:Watch",
        "acl:0:/vms/109:ben@pve:Watch",
    ] {
        assert!(now.contains(line), "{line}: {now}");
    }
    assert!(!now.contains("PVEVMUser"), "{now}");
    // Nothing is left to do.
    play.bailiwick(&["plan", "-f", "docs"]).ends(0);
    for (list, word) in [
        ("group", "night"),
        ("user", "cy@pve"),
        ("role", "Watch"),
        ("acl", "/pool/prod"),
    ] {
        let listed = play.bailiwick(&["get", list]).ends(0).out;
        assert!(listed.contains(word), "{list}: {listed}");
    }
    let told = play.json(&["describe", "group/night"]).ends(0).json();
    assert!(
        told.to_string()
            .contains("Watch for group night on /pool/prod"),
        "{told}"
    );
    // What is removed comes back with what it took along.
    for name in [
        "Group-night",
        "Role-watch",
        "AccessRule-prod",
        "AccessRule-web",
    ] {
        play.withdraw(name);
    }
    written("User", "cy", "id: cy@pve, enabled: false, groups: []");
    written("User", "ben", "id: ben@pve, groups: [developers]");
    let removal = play.carry_out();
    let less = config();
    assert!(!less.contains("night") && !less.contains("Watch"), "{less}");
    assert!(less.contains("user:cy@pve:0"), "{less}");
    undone(&play, &removal);
    assert_eq!(config(), now);
    undone(&play, &made);
    assert_eq!(config(), before);
}

#[test]
fn a_password_that_proxmox_ve_would_refuse_is_refused_when_it_is_planned() {
    let play = lab_with_accounts();
    let file = play.path("first");
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {{name: cy}}\nspec: {{id: cy@pve, passwordFrom: {{fromFile: {}}}}}\n",
        file.display()
    );
    play.document("cy", &text);
    write_private(&file, "1234567\n");
    let refused = play.bailiwick(&["plan", "-f", "docs"]).ends(1).all();
    assert!(
        refused.contains("is shorter than 8 characters"),
        "{refused}"
    );
    write_private(&file, "12345678\n");
    play.bailiwick(&["plan", "-f", "docs"]).ends(2);
}

#[test]
fn realms_made_changed_and_removed_are_taken_back_without_their_secrets() {
    let before = "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:\n";
    let more = "    user:eve@corp:1:0::::::\n    role:Accounts:Realm.Allocate,Realm.AllocateUser,User.Modify:\n    acl:1:/:bailiwick@pve,bailiwick@pve!controller:Accounts,BailiwickController:\n";
    let play = Play::with(Setup {
        world: LAB.replacen(before, more, 1),
        ..Setup::default()
    });
    let written = |name: &str, spec: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Realm\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {{{spec}}}\n"
        );
        play.document(name, &text);
    };
    let config = || play.end().get("domains.cfg").cloned().unwrap_or_default();
    let kept = || play.end().get("priv/realm/corp.pw").cloned();
    let file = play.path("bind");
    write_private(&file, "hunter2hunter2\n");
    let corp = format!(
        "type: ldap, server: ldap.lab.example, baseDn: 'dc=lab,dc=example', userAttribute: uid, bindDn: 'cn=pve,dc=lab', bindPasswordFrom: {{fromFile: {}}}, default: true, comment: 'Company: 100 %', syncDefaults: {{scope: both, removeVanished: [entry, acl]}}, tfa: {{type: oath, digits: 8}}",
        file.display()
    );
    written("corp", &corp);
    written(
        "sso",
        "type: openid, issuerUrl: 'https://id.lab.example', clientId: pve, usernameClaim: email, queryUserinfo: false",
    );
    let made = play.carry_out();
    let now = config();
    for line in [
        "ldap: corp",
        "sync-defaults-options remove-vanished=acl;entry,scope=both",
        "tfa type=oath,digits=8",
        "openid: sso",
        "username-claim email",
    ] {
        assert!(now.contains(line), "{line}: {now}");
    }
    assert!(!now.contains("hunter2"), "{now}");
    assert_eq!(kept().as_deref(), Some("hunter2hunter2"));
    // Nothing is left to do, and what is there comes to no other documents.
    play.bailiwick(&["plan", "-f", "docs"]).ends(0);
    let listed = play.bailiwick(&["get", "realm"]).ends(0).out;
    assert!(
        listed.contains("corp") && listed.contains("openid"),
        "{listed}"
    );
    let described = play.bailiwick(&["describe", "realm/corp"]).ends(0).out;
    assert!(described.contains("eve@corp"), "{described}");
    let imported = play.bailiwick(&["import", "--only", "realm"]).ends(0).out;
    assert!(imported.contains("baseDn: dc=lab,dc=example"), "{imported}");
    assert!(!imported.contains("hunter2"), "{imported}");
    // Another secret is written, and an undo does not bring the old one back.
    write_private(&file, "another-secret\n");
    let changed = play.carry_out();
    assert_eq!(kept().as_deref(), Some("another-secret"));
    assert_eq!(config(), now);
    let told = play.bailiwick(&["undo", &changed]).ends(0).all();
    assert!(told.contains("not known"), "{told}");
    // The other realm becomes the default, and gives it back.
    written(
        "sso",
        "type: openid, issuerUrl: 'https://id.lab.example', clientId: pve, usernameClaim: email, default: true",
    );
    written("corp", &corp.replace("default: true, ", ""));
    let default = play.carry_out();
    assert_eq!(config().matches("default 1").count(), 1);
    undone(&play, &default);
    assert_eq!(config(), now);
    // Both go; the one that held a password comes back without it.
    play.document("infra", INFRA);
    play.withdraw("corp");
    play.withdraw("sso");
    let removal = play.carry_out();
    assert!(
        !config().contains("corp") && kept().is_none(),
        "{}",
        config()
    );
    assert!(play.end()["user.cfg"].contains("user:eve@corp"));
    undone(&play, &removal);
    assert_eq!(config(), now);
    assert_eq!(kept(), None);
    let told = play.undo(&made).to_string();
    assert!(told.contains("eve@corp comes from it"), "{told}");
    undone(&play, &made);
    assert!(
        config().contains("corp") && !config().contains("sso"),
        "{}",
        config()
    );
}

#[test]
fn half_a_run_can_be_undone() {
    let play = Play::new();
    let before = play.end();
    play.document("mail", MAIL);
    play.document("web-7", WEB);
    play.fault("task=it broke;type=qmcreate;id=9000");
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    play.run(&plan).ends(1);
    if play.config(102).unwrap().contains("memory: 6144") {
        undone(&play, &plan);
    }
    same_end(&play.end(), &before, "undone");
}

#[test]
fn what_never_ran_or_has_not_ended_cannot_be_undone() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.bailiwick(&["undo", &plan]).ends(1);
    play.approve(&plan).ends(0);
    let mut command = play.command(&["run", &plan]);
    command.env("BAILIWICK_TEST_ABORT_AT", "sent:1");
    assert_eq!(command.output().unwrap().status.code(), None);
    play.bailiwick(&["undo", &plan]).ends(1);
    play.run(&plan).ends(0);
    undone(&play, &plan);
    // Nothing is left of it to undo.
    let ran = play.json(&["undo", &plan]).ends(0);
    assert_eq!(ran.json()["steps"].as_array().unwrap().len(), 0);
}

#[test]
fn a_change_by_hand_supersedes_and_the_old_approval_is_worth_nothing() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    play.edit(102, "name: mail", "description: by hand\nname: mail");
    let ran = play.run(&plan).ends(2);
    assert_eq!(ran.json()["result"], "superseded");
    let new = ran.json()["by"].as_str().unwrap().to_owned();
    play.run(&plan).ends(1);
    play.approve(&plan).ends(1);
    play.run(&new).ends(3);
    assert_eq!(play.writes().len(), 0);
    // The world goes back, and with it the old plan comes back; its approval does not.
    play.edit(102, "description: by hand\n", "");
    assert_eq!(hash_of(&play.apply()), plan);
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.approve(&plan).ends(0);
    play.run(&plan).ends(0);
    play.run(&plan).ends(1);
    assert_eq!(play.writes().len(), 1);
    // Nothing is left to do.
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
}

#[test]
fn what_somebody_did_by_hand_already_needs_no_run() {
    let play = Play::new();
    play.document("mail", "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, description: done}\n");
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    play.edit(102, "boot:", "#done\nboot:");
    let ran = play.run(&plan);
    assert!(ran.code == Some(0) || ran.code == Some(2), "{}", ran.all());
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn a_snapshot_is_taken_described_and_deleted_again() {
    let play = Play::new();
    let before = play.end();
    let document = |description: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Snapshot\nmetadata: {{name: before, annotations: {{bailiwick.dev/deletion: delete}}}}\nspec: {{vmid: 104, description: {description}}}\n"
        )
    };
    play.document("before", &document("first"));
    let taken = play.carry_out();
    let config = play.config(104).unwrap();
    assert!(
        config.contains("[before]") && config.contains("first"),
        "{config}"
    );
    play.document("before", &document("second"));
    let described = play.carry_out();
    assert!(play.config(104).unwrap().contains("second"));
    undone(&play, &described);
    assert!(play.config(104).unwrap().contains("first"));
    undone(&play, &taken);
    same_end(&play.end(), &before, "undone");
    // Only who asks for it gets a document for one.
    play.document("before", &document("first"));
    play.carry_out();
    let imported = play
        .bailiwick(&["import", "--only", "snapshot/104/before"])
        .ends(0);
    assert!(imported.out.contains("vmid: 104"), "{}", imported.out);
}

#[test]
fn an_image_is_downloaded_and_deleted_and_both_are_taken_back() {
    let play = Play::new();
    let before = play.end();
    let file = "(volume) pve1:local:iso/rescue-13.iso";
    let listed = || play.end().contains_key(file);
    play.document("rescue", RESCUE);
    let downloaded = play.carry_out();
    assert!(listed());
    undone(&play, &downloaded);
    assert!(!listed());
    same_end(&play.end(), &before, "undone");
    // The document still asks for it, and nothing is asked for twice.
    play.carry_out();
    assert!(listed());
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    // Another checksum is no reason to download it again.
    let other = RESCUE.replace("5f70bf", "6f70bf");
    play.document("rescue", &other);
    let refused = play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(1);
    assert!(
        refused.all().contains("write another `filename`"),
        "{}",
        refused.all()
    );
    play.withdraw("rescue");
    // A source that says nothing at all prunes nothing.
    play.document("infra", INFRA);
    let deleted = play.carry_out();
    assert!(!listed());
    undone(&play, &deleted);
    assert!(listed());
    // The document owns it again: what said that it shall go with it still counts.
    play.carry_out();
    assert!(!listed());
}

const NGINX: &str = include_str!("../examples/documents/image-of-a-registry.yaml");
const PROXY: &str = "apiVersion: bailiwick.dev/v1alpha1
kind: Container
metadata: {name: proxy}
spec:
  vmid: 350
  node: pve1
  template: local:vztmpl/nginx-1.29.tar
  rootFs: {storage: local-zfs, size: 4Gi}
  powerState: running
";

#[test]
fn an_image_of_a_registry_is_pulled_and_a_container_is_made_of_it_in_one_plan() {
    let play = Play::new();
    let before = play.end();
    play.document("nginx", NGINX);
    play.document("proxy", PROXY);
    let made = play.carry_out();
    let config = play.config(350).unwrap();
    assert!(
        config.contains("entrypoint: /docker-entrypoint.sh"),
        "{config}"
    );
    assert!(
        play.end()
            .contains_key("(volume) pve1:local:vztmpl/nginx-1.29.tar")
    );
    // What the image says the container runs is no drift.
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    undone(&play, &made);
    same_end(&play.end(), &before, "undone");
}

#[test]
fn an_image_that_the_registry_does_not_have_fails_and_leaves_nothing() {
    let play = Play::new();
    play.document("nginx", &NGINX.replace("nginx:1.29", "nginx:0.1"));
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let ran = play.run(&plan).ends(1);
    assert!(ran.all().contains("manifest"), "{}", ran.all());
}

#[test]
fn a_download_that_has_another_checksum_fails_and_leaves_nothing() {
    let play = Play::new();
    let made_up = RESCUE.replace("5f70bf", "6f70bf");
    play.document("rescue", &made_up);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let ran = play.run(&plan).ends(1);
    assert!(ran.all().contains("checksum mismatch"), "{}", ran.all());
    // No document is written for a file.
    let refused = play.bailiwick(&["import", "--only", "image"]).ends(1);
    assert!(refused.all().contains("not imported"), "{}", refused.all());
}

/// Backups in the lab, with what is in them.
const BACKUPS: &str = include_str!("faults/backups.yaml");

#[test]
fn guests_restored_from_backups_are_as_they_were_and_are_taken_back() {
    let setup = Setup::default();
    let first = "      - { volid: \"backup:backup/vzdump-qemu-101-";
    let world = setup.world.replacen(first, &format!("{BACKUPS}{first}"), 1);
    let play = Play::with(Setup { world, ..setup });
    let before = play.end();
    let document = |kind: &str, name: &str, spec: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        );
        play.document(name, &text);
    };
    document(
        "VirtualMachine",
        "again",
        "vmid: 150, node: pve2, name: again, memory: {size: 6Gi}, powerState: running, restoreFrom: {volume: 'backup:backup/vzdump-qemu-103-2026_11_19-01_00_03.vma.zst', unique: true}",
    );
    document(
        "Container",
        "files-again",
        "vmid: 351, node: pve3, pool: infra, restoreFrom: {volume: 'backup:backup/vzdump-lxc-309-2026_11_19-01_00_03.tar.zst', storage: ceph-vm}",
    );
    let plan = play.carry_out();
    let machine = play.config(150).unwrap();
    for line in [
        "#as it was",
        "cores: 2",
        "memory: 6144",
        "name: again",
        "scsi0: local-lvm:vm-150-disk-0,size=80G",
    ] {
        assert!(machine.contains(line), "{line}: {machine}");
    }
    for gone in ["qmdump", "BC:24:11:19:01:03", "8c9f9f0e"] {
        assert!(!machine.contains(gone), "{gone}: {machine}");
    }
    let container = play.config(351).unwrap();
    assert!(
        container.contains("hwaddr=BC:24:11:19:03:09"),
        "{container}"
    );
    assert!(
        container.contains("rootfs: ceph-vm:vm-351-disk-0,size=10G"),
        "{container}"
    );
    // A guest that is there is not restored again.
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    undone(&play, &plan);
    assert_eq!(play.config(150), None);
    assert_eq!(play.config(351), None);
    same_end(&play.end(), &before, "undone");
}

#[test]
fn guests_go_to_any_of_their_nodes_and_to_target_storages_and_are_taken_back() {
    let play = Play::new();
    let before = play.end();
    for (kind, name, spec) in [
        (
            "VirtualMachine",
            "shop-db",
            "vmid: 104, nodes: [pve2, pve3], migration: {targetStorage: {local-zfs: local-lvm, ceph-vm: nfs-data}}",
        ),
        ("Container", "sandbox", "vmid: 308, nodes: [pve1, pve3]"),
        ("Container", "dns", "vmid: 300, nodes: [pve1, pve3]"),
        (
            "VirtualMachine",
            "new-1",
            "nodes: [pve2, pve3], memory: {size: 1Gi}, powerState: running",
        ),
    ] {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        );
        play.document(name, &text);
    }
    let shown = play.apply().to_string();
    assert!(
        shown.contains("it has the most memory left") && !shown.contains("migrate ct/300"),
        "{shown}"
    );
    let plan = play.carry_out();
    let machine = play.config(104).unwrap();
    assert!(
        machine.contains("scsi0: local-lvm:vm-104-disk-0,iothread=1,size=48G")
            && machine.contains("scsi1: ceph-vm:vm-104-disk-0,iothread=1,size=200G"),
        "{machine}"
    );
    assert!(play.config(9000).is_some());
    // On one of its nodes a guest stays.
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    undone(&play, &plan);
    assert_eq!(play.config(9000), None);
    same_end(&play.end(), &before, "undone");
}

#[test]
fn a_clone_of_a_snapshot_is_as_the_guest_was_then_and_is_taken_back() {
    let play = Play::new();
    let before = play.end();
    play.document(
        "old-wiki",
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: old-wiki}\nspec: {vmid: 150, cloneFrom: {vmid: 116, snapshot: clean}}\n",
    );
    let plan = play.carry_out();
    let machine = play.config(150).unwrap();
    for line in [
        "name: old-wiki",
        "memory: 2048",
        "scsi0: nfs-data:150/vm-150-disk-0.qcow2,iothread=1,size=40G",
    ] {
        assert!(machine.contains(line), "{line}: {machine}");
    }
    for gone in ["snaptime", "parent", "[clean]"] {
        assert!(!machine.contains(gone), "{gone}: {machine}");
    }
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    undone(&play, &plan);
    assert_eq!(play.config(150), None);
    same_end(&play.end(), &before, "undone");
}
