//! Security groups and whole firewalls: what a document comes to, in which order, and how it is taken back.

use std::sync::Arc;

use super::firewalls::gone;
use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::plan::{Item, Plan, check, firewalls_wanted, undo};
use crate::world::firewall::{FirewallPart, Group, NodeScope, Place, Rule, Scope};
use crate::world::{Action, FirewallAction, World};

fn text(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// The item of a document.
pub(super) fn document(kind: &str, name: &str, spec: &str) -> Item {
    let documents = load(&[("a.yaml", text(kind, name, spec))]);
    let documents = documents.unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("{kind}/{name}"), documents[0].desired())
}

/// What is wrong with a document.
pub(super) fn wrong(kind: &str, spec: &str) -> String {
    load(&[("a.yaml", text(kind, "x", spec))])
        .unwrap_err()
        .to_string()
}

pub(super) fn group(name: &str, spec: &str) -> Item {
    document("SecurityGroup", name, spec)
}

pub(super) fn firewall(spec: &str) -> Item {
    document("Firewall", "fw", spec)
}

pub(super) fn rule(fields: &[(&str, &str)]) -> Rule {
    Rule {
        fields: section(fields),
        ..Rule::default()
    }
}

pub(super) fn accept(port: &str) -> Rule {
    rule(&[
        ("type", "in"),
        ("action", "ACCEPT"),
        ("proto", "tcp"),
        ("dport", port),
        ("enable", "1"),
    ])
}

/// Every firewall is read, and empty.
pub(super) fn lab() -> Lab {
    let mut lab = Lab::new();
    let scope = NodeScope {
        firewall: Ok(Arc::default()),
        addresses: Ok(Vec::new()),
    };
    let firewalls = &mut lab.world.firewalls;
    for node in lab.world.nodes.keys() {
        firewalls
            .nodes
            .insert(node.clone(), Arc::new(scope.clone()));
    }
    for guest in lab.world.guests.keys() {
        firewalls.guests.insert(*guest, Ok(Arc::default()));
    }
    lab
}

pub(super) fn datacenter(lab: &mut Lab, by: impl FnOnce(&mut Scope)) {
    by(Arc::make_mut(lab.world.firewalls.cluster.as_mut().unwrap()));
}

pub(super) fn at<'w>(world: &'w World, place: &Place) -> &'w Arc<Scope> {
    world.firewalls.scope(place).unwrap()
}

/// Plans, and plans again on what comes of it: nothing is left. And back again, everything is as it was.
pub(super) fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    assert_eq!(check(&plan), vec![]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!(rest.changes, []);
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(check(&back), vec![]);
    let world = after.after(&back);
    let guests = lab.world.guests.keys().copied().map(Place::Guest);
    let nodes = lab.world.nodes.keys().cloned().map(Place::Node);
    for place in guests.chain(nodes).chain([Place::Cluster]) {
        let (now, was) = (at(&world, &place), at(&lab.world, &place));
        let parts = was.groups.keys().cloned().map(FirewallPart::Group);
        for part in parts.chain([FirewallPart::Rules, FirewallPart::Options]) {
            assert_eq!(
                now.state(&part),
                was.state(&part),
                "{part} of {place}: {:#?}",
                titles(&back)
            );
        }
        assert_eq!(now.groups.len(), was.groups.len());
    }
    plan
}

pub(super) fn kinds(plan: &Plan) -> Vec<&'static str> {
    plan.steps
        .iter()
        .map(|step| match &step.action {
            Action::Firewall(action) => action.word(),
            _ => "other",
        })
        .collect()
}

pub(super) const SSH: &str = "{direction: in, action: ACCEPT, macro: SSH, source: 10.0.9.7/24}";
pub(super) const WEB: &str =
    "{direction: in, action: ACCEPT, proto: tcp, dport: '80,443', comment: web}";
pub(super) const DROP: &str = "{direction: in, action: DROP, log: info}";

#[test]
fn a_group_comes_before_the_rule_that_calls_it() {
    let lab = lab();
    let calls = "{guest: 104, rules: [{direction: group, action: web, iface: net0}]}";
    let rules = format!("{{comment: servers, rules: [{WEB}, {SSH}]}}");
    let plan = settles(&lab, vec![firewall(calls), group("web", &rules)]);
    let titles = titles(&plan);
    assert_eq!(titles[0], "make security-group/web");
    assert_eq!(
        titles.last().unwrap(),
        &"put `group web on net0` at the top of firewall/guest/104"
    );
    let scope = lab.after(&plan).firewalls.cluster.unwrap();
    let group = &scope.groups["web"];
    assert_eq!(group.rules[0].fields["comment"], "web");
    assert_eq!(group.rules[1].fields["source"], "10.0.9.0/24");
    assert!(group.rules.iter().all(Rule::enabled));
}

#[test]
fn a_list_is_whole_and_in_order() {
    let mut lab = lab();
    let node = Place::Node(node("pve1"));
    let was = vec![
        accept("22"),
        accept("80"),
        rule(&[("type", "in"), ("action", "DROP"), ("enable", "1")]),
    ];
    let nodes = &mut lab.world.firewalls.nodes;
    let known = Arc::make_mut(
        nodes
            .get_mut(&crate::ids::NodeName::new("pve1").unwrap())
            .unwrap(),
    );
    Arc::make_mut(known.firewall.as_mut().unwrap()).rules = was;
    let kept = "{direction: in, action: ACCEPT, proto: tcp, dport: '80'}";
    let rules = format!("{{node: pve1, rules: [{SSH}, {kept}, {DROP}]}}");
    let plan = settles(&lab, vec![firewall(&rules)]);
    assert_eq!(plan.documents[0].object, "firewall/node/pve1");
    assert!(plan.documents[0].adopts);
    let privileges: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| &step.privileges)
        .map(|p| format!("{} {}", p.path, p.privilege))
        .collect();
    assert!(privileges.iter().all(|p| p == "/nodes/pve1 Sys.Modify"));
    let after = lab.after(&plan);
    let actions: Vec<&str> = at(&after, &node)
        .rules
        .iter()
        .map(|rule| rule.fields["action"].as_str())
        .collect();
    assert_eq!(actions, ["ACCEPT", "ACCEPT", "DROP"]);
    let emptied = settles(&lab, vec![firewall("{node: pve1, rules: []}")]);
    assert_eq!(kinds(&emptied), ["delete rule"; 3]);
    let kept = settles(&lab, vec![firewall("{node: pve1, options: {ndp: false}}")]);
    assert_eq!(kinds(&kept), ["set firewall options"]);
}

#[test]
fn random_lists_settle_and_go_back() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand::rngs::StdRng::seed_from_u64(6);
    let pool = [
        SSH,
        WEB,
        DROP,
        "{direction: out, action: REJECT, dest: 10.1.0.0/16}",
        "{direction: in, action: ACCEPT, enabled: false, source: 'fd00::/8'}",
    ];
    let list = |random: &mut rand::rngs::StdRng| {
        let count = random.random_range(0..6);
        let rules: Vec<&str> = (0..count)
            .map(|_| pool[random.random_range(0..pool.len())])
            .collect();
        format!("{{cluster: true, rules: [{}]}}", rules.join(", "))
    };
    for _ in 0..60 {
        let mut first = lab();
        let before = first.plan(vec![firewall(&list(&mut random))]);
        first.world = first.after(&before);
        settles(&first, vec![firewall(&list(&mut random))]);
    }
}

#[test]
fn fw09_the_datacenter_comes_on_last_and_goes_off_first() {
    let mut lab = lab();
    let rules =
        format!("{{cluster: true, options: {{enabled: true, policyIn: DROP}}, rules: [{SSH}]}}");
    let items = vec![
        firewall(&rules),
        document(
            "Firewall",
            "guest",
            &format!("{{guest: 104, options: {{enabled: true}}, rules: [{WEB}]}}"),
        ),
        document("FirewallAlias", "lan", "{cidr: 10.0.0.0/8}"),
    ];
    let plan = settles(&lab, items.clone());
    // Switched on last of all, on trial; its other options while it is still off.
    assert_eq!(
        titles(&plan)[plan.steps.len() - 3..],
        [
            "set firewall/cluster policy_in → DROP",
            "switch on firewall/cluster, on trial for a minute (enable=2)",
            "keep firewall/cluster on (enable=1) once pve1, pve2 can be reached anew"
        ]
    );
    assert_eq!(
        kinds(&plan)[..3],
        ["create alias", "insert rule", "insert rule"]
    );

    lab.world = lab.after(&plan);
    let off = settles(
        &lab,
        vec![firewall(
            "{cluster: true, options: {enabled: false, policyIn: ACCEPT}, rules: []}",
        )],
    );
    assert_eq!(kinds(&off), ["set firewall options", "delete rule"]);
}

#[test]
fn what_comes_on_with_the_datacenter_is_read() {
    let lab = Lab::new();
    let on = firewall("{cluster: true, options: {enabled: true}}");
    let asked = firewalls_wanted(&[on], &lab.ownership, &lab.world);
    // Both nodes, and the one guest with an interface that asks for it.
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.contains(&Place::Guest(vmid(102))));
    let off = firewall("{cluster: true, options: {enabled: false}}");
    assert!(firewalls_wanted(&[off], &lab.ownership, &lab.world).is_empty());
    let node = firewall("{node: pve1, rules: []}");
    let asked = firewalls_wanted(&[node], &lab.ownership, &lab.world);
    assert_eq!(asked, [Place::Node(self::node("pve1"))].into());
}

#[test]
fn options_are_compared_one_by_one() {
    let mut lab = lab();
    let options = [("enable", "1"), ("policy_in", "DROP"), ("radv", "1")];
    let guest = Scope {
        options: section(&options),
        ..Scope::default()
    };
    lab.world
        .firewalls
        .guests
        .insert(vmid(104), Ok(Arc::new(guest)));
    let same = "{guest: 104, options: {enabled: true, policyIn: DROP}}";
    assert_eq!(titles(&lab.plan(vec![firewall(same)])), Vec::<&str>::new());
    let plan = settles(
        &lab,
        vec![firewall(
            "{guest: 104, options: {policyIn: REJECT, radv: null, macFilter: false}, extraConfig: {future: '7'}}",
        )],
    );
    assert_eq!(
        titles(&plan),
        ["set firewall/guest/104 future → 7, macfilter → 0, policy_in DROP → REJECT and 1 more"]
    );
    let Action::Firewall(FirewallAction::SetOptions { delete, .. }) = &plan.steps[0].action else {
        panic!()
    };
    assert!(delete.contains("radv"));
}

#[test]
fn names_that_are_not_there_are_refused_with_the_nearest() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.ipsets.insert(
            "admins".to_owned(),
            crate::world::firewall::IpSet::default(),
        );
        scope.groups.insert("web".to_owned(), Group::default());
    });
    let refused = |lab: &Lab, rule: &str| {
        lab.refused(vec![firewall(&format!(
            "{{cluster: true, rules: [{rule}]}}"
        ))])
    };
    let set = refused(&lab, "{direction: in, action: ACCEPT, source: +admin}");
    assert!(
        set.contains("no set `+admin`") && set.contains("`admins`"),
        "{set}"
    );
    let alias = refused(&lab, "{direction: in, action: ACCEPT, dest: dc/lan}");
    assert!(alias.contains("no alias `dc/lan`"), "{alias}");
    let group = refused(&lab, "{direction: group, action: wbe}");
    assert!(
        group.contains("no security group `wbe`") && group.contains("`web`"),
        "{group}"
    );
    let named = refused(&lab, "{direction: in, action: ACCEPT, macro: HTPS}");
    assert!(
        named.contains("no macro `HTPS`") && named.contains("HTTPS"),
        "{named}"
    );
    let rule_of_it = "{cluster: true, rules: [{direction: in, action: ACCEPT, source: +admins}]}";
    let removed = gone(&mut lab, "ipset/admins");
    let going = lab.refused(vec![removed, firewall(rule_of_it)]);
    assert!(going.contains("and this plan deletes it"), "{going}");
    // What stands there already and names nothing stays as it is.
    let broken = rule(&[
        ("type", "in"),
        ("action", "ACCEPT"),
        ("source", "+gone"),
        ("enable", "1"),
    ]);
    datacenter(&mut lab, |scope| scope.rules = vec![broken]);
    let plan = lab.plan(vec![firewall(
        "{cluster: true, rules: [{direction: in, action: ACCEPT, source: +gone}]}",
    )]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
}

#[test]
fn fw05_fires_for_a_group_that_goes() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        let rules = vec![accept("22"), accept("80")];
        let group = Group {
            rules,
            comment: Some("x".to_owned()),
        };
        scope.groups.insert("web".to_owned(), group);
    });
    let calls = rule(&[("type", "group"), ("action", "web"), ("enable", "1")]);
    let guest = Scope {
        rules: vec![calls],
        ..Scope::default()
    };
    lab.world
        .firewalls
        .guests
        .insert(vmid(104), Ok(Arc::new(guest)));
    lab.own("security-group/web", "SecurityGroup/web");
    let plan = settles(&lab, vec![removed("SecurityGroup/web", true)]);
    assert_eq!(
        kinds(&plan),
        ["delete rule", "delete rule", "delete security group"]
    );
    let told: Vec<&String> = plan
        .impacts
        .iter()
        .filter(|i| i.rule == "FW05" && i.category == Category::Dangling)
        .flat_map(|i| &i.causes)
        .collect();
    assert_eq!(told, ["rule 0 of guest 104 names the security group web"]);
}

#[test]
fn a_firewall_is_never_deleted() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| scope.rules = vec![accept("22")]);
    lab.own("firewall/cluster", "Firewall/fw");
    let plan = lab.plan(vec![removed("Firewall/fw", true)]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("cannot be deleted")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn an_undo_leaves_a_list_that_somebody_changed() {
    let lab = lab();
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{SSH}, {WEB}]}}"
    ))]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    datacenter(&mut after, |scope| scope.rules.push(accept("8006")));
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(titles(&back), Vec::<&str>::new());
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("rules of firewall/cluster were changed by someone since")),
        "{:?}",
        back.notes
    );
}

#[test]
fn half_a_list_is_taken_back() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| scope.rules = vec![accept("8006")]);
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{SSH}, {WEB}, {DROP}]}}"
    ))]);
    for count in 1..plan.steps.len() {
        let mut half = Lab::new();
        half.world = lab.world.clone();
        for step in &plan.steps[..count] {
            half.world = half.world.apply(&step.action).unwrap();
        }
        let done = plan.steps[..count].iter().map(|step| step.id).collect();
        let back = undo(&plan, &done, &half.input(vec![])).unwrap();
        let world = half.after(&back);
        let part = FirewallPart::Rules;
        assert_eq!(
            at(&world, &Place::Cluster).state(&part),
            at(&lab.world, &Place::Cluster).state(&part),
            "{count}"
        );
    }
}

#[test]
fn a_rule_for_an_interface_that_is_not_there_is_told() {
    let lab = lab();
    let rule = |interface: &str| {
        firewall(&format!(
            "{{guest: 104, rules: [{{direction: in, action: ACCEPT, macro: SSH, iface: {interface}}}]}}"
        ))
    };
    let told = |items: Vec<Item>| {
        let plan = lab.plan(items);
        let note = plan.notes.iter().find(|note| note.contains("does nothing"));
        note.cloned()
    };
    let said = told(vec![rule("net7")]).unwrap();
    assert_eq!(
        said,
        "the rule `in ACCEPT SSH on net7` of firewall/guest/104 does nothing: guest 104 has no net7"
    );
    assert_eq!(told(vec![rule("net0")]), None);
    // One that the guest gets in the same plan is there.
    let vm = document(
        "VirtualMachine",
        "vm",
        "{vmid: 104, networks: {net7: {model: virtio, bridge: vmbr0}}}",
    );
    assert_eq!(told(vec![rule("net7"), vm]), None);
}

#[test]
fn documents_say_what_is_wrong_with_them() {
    for (kind, spec, said) in [
        ("Firewall", "{vnet: a-b}", "2 to 8 characters"),
        (
            "Firewall",
            "{vnet: web, options: {policyIn: DROP}}",
            "a vnet has no `policyIn`",
        ),
        (
            "Firewall",
            "{vnet: web, rules: [{direction: in, action: DROP}]}",
            "rule 0 of a vnet has the direction",
        ),
        (
            "Firewall",
            "{vnet: web, block: {name: app, rules: [{direction: forward, action: DROP, iface: net0}]}}",
            "rule 0 of a vnet has no `iface`",
        ),
        ("Firewall", "{rules: []}", "exactly one of"),
        ("Firewall", "{cluster: true, guest: 104}", "exactly one of"),
        (
            "Firewall",
            "{guest: 104, rules: [], block: {name: app, rules: []}}",
            "write one of the two",
        ),
        (
            "Firewall",
            "{guest: 104, block: {rules: []}}",
            "a block has a `name` and `rules`",
        ),
        (
            "Firewall",
            "{guest: 104, block: {name: 'two words', rules: []}}",
            "2 to 32 characters",
        ),
        (
            "SecurityGroup",
            "{name: web, block: {name: app, rules: [{direction: group, action: other}]}}",
            "cannot call others",
        ),
        (
            "SecurityGroup",
            "{name: web, block: {name: app, rules: [{direction: in, action: DROP, comment: 'bailiwick:end app'}]}}",
            "has the comment of a block's marker",
        ),
        (
            "Firewall",
            "{cluster: true, options: {macFilter: true}}",
            "the datacenter has no `macFilter`",
        ),
        (
            "Firewall",
            "{node: pve1, options: {policyIn: DROP}}",
            "a node has no `policyIn`",
        ),
        (
            "Firewall",
            "{guest: 104, options: {nftables: true}}",
            "a guest has no `nftables`",
        ),
        (
            "Firewall",
            "{guest: 104, rules: [{direction: in, action: web}]}",
            "rule 0 needs `ACCEPT`, `DROP` or `REJECT`",
        ),
        (
            "Firewall",
            "{guest: 104, rules: [{direction: group, action: DROP}]}",
            "a security group's name",
        ),
        (
            "Firewall",
            "{guest: 104, rules: [{direction: in, action: DROP, dport: '22'}]}",
            "needs `proto`",
        ),
        (
            "Firewall",
            "{guest: 104, rules: [{direction: in, action: DROP, proto: tpc, dport: '22'}]}",
            "a name that nodes know",
        ),
        (
            "Firewall",
            "{guest: 104, rules: [{action: DROP}]}",
            "has no `direction`",
        ),
        (
            "SecurityGroup",
            "{rules: [{direction: group, action: web}]}",
            "cannot call others",
        ),
        (
            "SecurityGroup",
            "{name: a-name-that-is-too-long}",
            "2 to 18 characters",
        ),
        (
            "IpSet",
            "{entries: [{cidr: 10.0.0.1}, {cidr: 10.0.0.1/32}]}",
            "twice",
        ),
        (
            "IpSet",
            "{name: web, vnet: x}",
            "a vnet has no aliases and sets",
        ),
        (
            "FirewallAlias",
            "{name: web, cidr: 10.0.0.300}",
            "an IP address or a network",
        ),
    ] {
        let found = wrong(kind, spec);
        assert!(found.contains(said), "{spec}: {found}");
    }
}
