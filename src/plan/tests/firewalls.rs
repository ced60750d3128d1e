//! Aliases and sets of firewalls: what a document comes to, in which order, who still names what goes, and what is not known.

use std::sync::Arc;

use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::ids::GuestKind;
use crate::plan::{Item, Plan, Precondition, StepId, check, firewalls_wanted, undo};
use crate::world::firewall::{Alias, FirewallPart, IpSet, NodeScope, Place, Rule, Scope, SetEntry};
use crate::world::{Action, Element, FirewallAction, Site};

/// The item of a document.
fn document(kind: &str, name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("{kind}/{name}"), documents[0].desired())
}

fn alias(name: &str, spec: &str) -> Item {
    document("FirewallAlias", name, spec)
}

fn set_of(name: &str, spec: &str) -> Item {
    document("IpSet", name, spec)
}

pub(super) fn gone(lab: &mut Lab, object: &str) -> Item {
    let key = format!("IpSet/{}", object.replace('/', "-"));
    lab.own(object, &key);
    removed(&key, true)
}

fn datacenter(lab: &mut Lab, by: impl FnOnce(&mut Scope)) {
    by(Arc::make_mut(lab.world.firewalls.cluster.as_mut().unwrap()));
}

fn entry(cidr: &str) -> SetEntry {
    SetEntry {
        cidr: cidr.to_owned(),
        ..SetEntry::default()
    }
}

fn with_alias(lab: &mut Lab, name: &str, cidr: &str, comment: Option<&str>) {
    let alias = Alias {
        cidr: cidr.to_owned(),
        comment: comment.map(str::to_owned),
    };
    datacenter(lab, |scope| {
        drop(scope.aliases.insert(name.to_owned(), alias))
    });
}

fn with_set(lab: &mut Lab, name: &str, entries: &[&str]) {
    let set = IpSet {
        entries: entries.iter().map(|cidr| entry(cidr)).collect(),
        comment: None,
    };
    datacenter(lab, |scope| drop(scope.ipsets.insert(name.to_owned(), set)));
}

fn rule(action: &str, source: &str) -> Rule {
    let fields = [
        ("type", "in"),
        ("action", action),
        ("source", source),
        ("enable", "1"),
    ];
    Rule {
        fields: section(&fields),
        ..Rule::default()
    }
}

/// A guest's firewall that is empty.
fn with_guest(lab: &mut Lab, number: u32, scope: Scope) {
    let guests = &mut lab.world.firewalls.guests;
    guests.insert(vmid(number), Ok(Arc::new(scope)));
}

/// Every firewall is read, and empty but for the datacenter's.
fn all_read(lab: &mut Lab) {
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
}

/// Plans, and plans again on what comes of it: nothing is left.
fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    assert_eq!(check(&plan), vec![]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!(rest.changes, []);
    plan
}

/// Takes a whole plan back on the world it left.
fn undone(lab: &Lab, plan: &Plan) -> (Plan, crate::world::World) {
    let mut after = Lab::new();
    after.world = lab.after(plan);
    after.ownership = lab.ownership.clone();
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(check(&back), vec![]);
    let world = after.after(&back);
    (back, world)
}

#[test]
fn an_alias_is_made_changed_and_left_alone() {
    let mut lab = Lab::new();
    let spec = "{cidr: 10.20.1.7/16, comment: offices}";
    let plan = settles(&lab, vec![alias("office", spec)]);
    assert_eq!(titles(&plan), ["make alias/office for 10.20.0.0/16"]);
    let absent = Precondition::FirewallIs {
        place: Place::Cluster,
        part: FirewallPart::Alias("office".to_owned()),
        state: None,
    };
    assert_eq!(plan.steps[0].preconditions, [absent]);

    with_alias(&mut lab, "office", "10.20.0.0/16", Some("offices"));
    let same = lab.plan(vec![alias("office", "{cidr: 10.20.0.0/16}")]);
    assert_eq!(titles(&same), Vec::<&str>::new());
    assert!(same.documents[0].adopts);

    // The comment goes with every change of the address: Proxmox VE drops what is not sent again.
    let moved = settles(&lab, vec![alias("office", "{cidr: '2001:DB8::/32'}")]);
    assert_eq!(
        titles(&moved),
        ["set alias/office cidr 10.20.0.0/16 → 2001:db8::/32"]
    );
    let Action::Firewall(FirewallAction::UpdateAlias { comment, .. }) = &moved.steps[0].action
    else {
        panic!()
    };
    assert_eq!(comment.as_deref(), Some("offices"));
    let bare = settles(
        &lab,
        vec![alias("office", "{cidr: 10.20.0.0/16, comment: null}")],
    );
    assert_eq!(titles(&bare), ["set alias/office comment (removed)"]);
}

#[test]
fn the_case_of_an_alias_does_not_count() {
    let mut lab = Lab::new();
    with_alias(&mut lab, "Office", "10.20.0.0/16", None);
    let plan = lab.plan(vec![alias("lan", "{name: OFFICE, cidr: 10.20.0.0/16}")]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert_eq!(plan.documents[0].object, "alias/office");
    let twice = lab.refused(vec![
        alias("lan", "{name: OFFICE, cidr: 10.20.0.0/16}"),
        alias("office", "{cidr: 10.20.0.0/16}"),
    ]);
    assert!(twice.contains("alias/office"), "{twice}");
}

#[test]
fn a_set_is_made_with_its_aliases_before_its_elements() {
    let lab = Lab::new();
    let spec = "{comment: who may, entries: [{cidr: admins}, {cidr: 10.0.9.0/24, comment: room}, {cidr: 10.0.9.4, nomatch: true}]}";
    let items = vec![
        set_of("management", spec),
        alias("admins", "{cidr: 10.1.1.1}"),
    ];
    let plan = settles(&lab, items);
    assert_eq!(
        titles(&plan),
        [
            "make alias/admins for 10.1.1.1",
            "make ipset/management",
            "put admins into ipset/management",
            "put 10.0.9.0/24 into ipset/management",
            "put 10.0.9.4 into ipset/management",
        ]
    );
    // One after the other.
    for step in &plan.steps[1..] {
        assert!(step.needs.contains(&StepId(step.id.0 - 1)));
    }
}

#[test]
fn the_elements_of_a_set_are_exact() {
    let mut lab = Lab::new();
    with_set(&mut lab, "web", &["10.0.0.1", "10.0.0.2", "10.0.0.3/32"]);
    let spec = "{entries: [{cidr: 10.0.0.2, nomatch: true}, {cidr: 10.0.0.3}, {cidr: 10.0.0.4}]}";
    let plan = settles(&lab, vec![set_of("web", spec)]);
    assert_eq!(
        titles(&plan),
        [
            "change 10.0.0.2 in ipset/web: left out",
            "put 10.0.0.4 into ipset/web",
            "take 10.0.0.1 out of ipset/web",
        ]
    );
    let untouched = lab.plan(vec![set_of("web", "{comment: null}")]);
    assert_eq!(titles(&untouched), Vec::<&str>::new());
    let emptied = settles(&lab, vec![set_of("web", "{entries: []}")]);
    assert_eq!(emptied.steps.len(), 3);
}

#[test]
fn fw09_a_set_that_keeps_out_is_widened_last() {
    let mut lab = Lab::new();
    with_set(&mut lab, "blacklist", &["10.0.0.1"]);
    with_set(&mut lab, "bad", &["10.0.0.1"]);
    with_set(&mut lab, "both", &["10.0.0.1"]);
    datacenter(&mut lab, |scope| {
        scope.rules = vec![
            rule("DROP", "+bad"),
            rule("DROP", "+both"),
            rule("ACCEPT", "+both"),
        ];
    });
    let spec = "{entries: [{cidr: 10.0.0.2}]}";
    let first = |name: &str| {
        let plan = lab.plan(vec![set_of(name, spec)]);
        titles(&plan)[0].to_owned()
    };
    assert_eq!(first("blacklist"), "take 10.0.0.1 out of ipset/blacklist");
    assert_eq!(first("bad"), "take 10.0.0.1 out of ipset/bad");
    assert_eq!(first("both"), "put 10.0.0.2 into ipset/both");
}

#[test]
fn an_element_names_an_alias_that_is_there() {
    let mut lab = Lab::new();
    with_alias(&mut lab, "office", "10.20.0.0/16", None);
    let refused = lab.refused(vec![set_of("web", "{entries: [{cidr: ofice}]}")]);
    assert!(
        refused.contains("no alias `ofice`") && refused.contains("`office`"),
        "{refused}"
    );
    let own = lab.refused(vec![set_of("web", "{entries: [{cidr: guest/office}]}")]);
    assert!(own.contains("no alias"), "{own}");
    let plan = settles(&lab, vec![set_of("web", "{entries: [{cidr: dc/office}]}")]);
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_guests_own_are_apart_from_the_datacenters() {
    let mut lab = Lab::new();
    with_alias(&mut lab, "lan", "10.0.0.0/8", None);
    with_guest(&mut lab, 104, Scope::default());
    let items = vec![
        alias("lan-104", "{guest: 104, name: lan, cidr: 10.4.0.0/16}"),
        set_of(
            "web",
            "{guest: 104, entries: [{cidr: guest/lan}, {cidr: dc/lan}]}",
        ),
    ];
    let plan = settles(&lab, items);
    assert_eq!(
        titles(&plan),
        [
            "make alias/104/lan for 10.4.0.0/16",
            "make ipset/104/web",
            "put guest/lan into ipset/104/web",
            "put dc/lan into ipset/104/web",
        ]
    );
    let identity =
        |p: &Precondition| matches!(p, Precondition::Identity { vmid: v, .. } if *v == vmid(104));
    assert!(
        plan.steps
            .iter()
            .all(|step| step.preconditions.iter().any(identity))
    );
    let privileges: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| &step.privileges)
        .map(|p| format!("{} {}", p.path, p.privilege))
        .collect();
    assert!(privileges.iter().all(|p| p == "/vms/104 VM.Config.Network"));
}

#[test]
fn what_was_not_read_is_never_empty() {
    let mut lab = Lab::new();
    let item = alias("lan", "{guest: 104, cidr: 10.4.0.0/16}");
    let asked = |lab: &Lab, item: &Item| {
        firewalls_wanted(std::slice::from_ref(item), &lab.ownership, &lab.world)
    };
    assert_eq!(asked(&lab, &item), [Place::Guest(vmid(104))].into());
    let refused = lab.refused(vec![item.clone()]);
    assert!(
        refused.contains("firewall of guest 104") && refused.contains("not asked for"),
        "{refused}"
    );
    with_guest(&mut lab, 104, Scope::default());
    assert!(asked(&lab, &item).is_empty());
    lab.world.firewalls.cluster = Err("403 Permission check failed".to_owned());
    let refused = lab.refused(vec![alias("lan", "{cidr: 10.4.0.0/16}")]);
    assert!(
        refused.contains("firewall of the datacenter") && refused.contains("403"),
        "{refused}"
    );
    // Of a document that is gone too.
    let away = gone(&mut lab, "ipset/102/web");
    assert_eq!(asked(&lab, &away), [Place::Guest(vmid(102))].into());
}

#[test]
fn a_new_guest_has_an_empty_firewall() {
    let lab = Lab::new();
    let mut new = set(vm(900), "memory", "1024");
    new.node = Some(node("pve1"));
    let new = doc(new);
    let items = vec![
        new,
        set_of("web", "{guest: 900, entries: [{cidr: 10.0.0.1}]}"),
    ];
    let plan = lab.plan(items);
    assert_eq!(check(&plan), vec![]);
    let names = titles(&plan);
    assert!(names[0].contains("vm/900"), "{names:?}");
    assert_eq!(
        names[1..],
        ["make ipset/900/web", "put 10.0.0.1 into ipset/900/web"]
    );
    assert!(plan.steps[1].needs.contains(&StepId(1)));
    let none = lab.refused(vec![set_of("web", "{guest: 999}")]);
    assert!(none.contains("no guest `999`"), "{none}");
}

#[test]
fn fw05_fires_for_every_user_of_what_goes() {
    let mut lab = Lab::new();
    all_read(&mut lab);
    let of_guest = |scope: &mut Scope| scope.rules = vec![rule("DROP", "office")];
    let mut own = Scope::default();
    of_guest(&mut own);
    with_guest(&mut lab, 104, own.clone());
    // This one means its own.
    own.aliases.insert("office".to_owned(), Alias::default());
    with_guest(&mut lab, 102, own);
    with_alias(&mut lab, "office", "10.20.0.0/16", None);
    with_set(&mut lab, "web", &["office"]);
    datacenter(&mut lab, |scope| {
        scope.rules = vec![rule("ACCEPT", "office"), rule("ACCEPT", "+dc/web")]
    });
    let away = gone(&mut lab, "alias/office");
    let plan = lab.plan(vec![away]);
    assert_eq!(titles(&plan), ["delete alias/office"]);
    let told: Vec<String> = plan
        .impacts
        .iter()
        .filter(|impact| impact.rule == "FW05")
        .inspect(|impact| assert_eq!(impact.category, Category::Dangling))
        .flat_map(|impact| impact.causes.clone())
        .collect();
    assert_eq!(
        told,
        [
            "rule 0 of guest 104 names the alias office",
            "rule 0 of the datacenter names the alias office",
            "the set web of the datacenter names the alias office",
        ]
    );
    let away = gone(&mut lab, "ipset/web");
    let plan = lab.plan(vec![away]);
    let told: Vec<&String> = plan.impacts.iter().flat_map(|i| &i.causes).collect();
    assert!(
        told.iter()
            .any(|cause| cause.contains("rule 1 of the datacenter names the set web")),
        "{told:?}"
    );
}

#[test]
fn fw05_fires_within_a_guests_own_firewall() {
    let mut lab = Lab::new();
    let mut scope = Scope::default();
    scope.ipsets.insert("web".to_owned(), IpSet::default());
    scope.rules = vec![
        rule("ACCEPT", "+dc/web"),
        rule("ACCEPT", "+guest/web"),
        rule("DROP", "+web"),
    ];
    with_guest(&mut lab, 104, scope);
    let away = gone(&mut lab, "ipset/104/web");
    let plan = lab.plan(vec![away]);
    let causes: Vec<&String> = plan
        .impacts
        .iter()
        .filter(|i| i.rule == "FW05")
        .flat_map(|i| &i.causes)
        .collect();
    assert_eq!(
        causes,
        [
            "rule 1 of guest 104 names the set web",
            "rule 2 of guest 104 names the set web"
        ]
    );
    assert!(
        plan.impacts
            .iter()
            .filter(|i| i.rule == "FW05")
            .all(|i| i.entity == "vm/104")
    );
}

#[test]
fn fw05_silent_where_nothing_names_it() {
    let mut lab = Lab::new();
    all_read(&mut lab);
    with_set(&mut lab, "web", &["10.0.0.1"]);
    datacenter(&mut lab, |scope| {
        scope.rules = vec![rule("ACCEPT", "+other"), rule("ACCEPT", "10.0.0.1")]
    });
    let away = gone(&mut lab, "ipset/web");
    let plan = lab.plan(vec![away]);
    assert_eq!(titles(&plan), ["delete ipset/web"]);
    assert_eq!(plan.impacts, vec![]);
}

#[test]
fn fw05_is_unknown_where_it_could_not_be_read() {
    let mut lab = Lab::new();
    with_set(&mut lab, "web", &["10.0.0.1"]);
    let away = gone(&mut lab, "ipset/web");
    let all = firewalls_wanted(std::slice::from_ref(&away), &lab.ownership, &lab.world);
    assert_eq!(all.len(), lab.world.nodes.len() + lab.world.guests.len());
    let plan = lab.plan(vec![away]);
    let impact = &plan.impacts[0];
    assert_eq!(
        (impact.rule.as_str(), impact.category),
        ("FW05", Category::Unknown)
    );
    assert!(!plan.complete);
}

#[test]
fn a_deletion_of_what_a_set_of_the_plan_still_names_is_refused() {
    let mut lab = Lab::new();
    with_alias(&mut lab, "office", "10.20.0.0/16", None);
    let away = gone(&mut lab, "alias/office");
    let refused = lab.refused(vec![away, set_of("web", "{entries: [{cidr: office}]}")]);
    assert!(refused.contains("no alias `office`"), "{refused}");
}

#[test]
fn everything_is_taken_back() {
    let mut lab = Lab::new();
    with_alias(&mut lab, "office", "10.20.0.0/16", Some("old"));
    with_set(&mut lab, "web", &["10.0.0.1", "10.0.0.2"]);
    let was = lab.world.firewalls.cluster.clone();
    let items = vec![
        alias("office", "{cidr: 10.30.0.0/16, comment: new}"),
        alias("fresh", "{cidr: 10.9.9.9}"),
        set_of(
            "web",
            "{comment: changed, entries: [{cidr: 10.0.0.2, nomatch: true}, {cidr: fresh}]}",
        ),
        set_of("other", "{entries: [{cidr: office}]}"),
    ];
    let plan = lab.plan(items);
    assert_ne!(lab.after(&plan).firewalls.cluster, was);
    let (_, world) = undone(&lab, &plan);
    let (now, was) = (world.firewalls.cluster.unwrap(), was.unwrap());
    assert_eq!(now.aliases, was.aliases);
    for part in ["web", "other"].map(|name| FirewallPart::Set(name.to_owned())) {
        assert_eq!(now.state(&part), was.state(&part), "{part}");
    }

    let away = gone(&mut lab, "ipset/web");
    let plan = lab.plan(vec![away]);
    let (_, world) = undone(&lab, &plan);
    assert_eq!(world.firewalls.cluster.unwrap(), was);
}

#[test]
fn an_undo_leaves_what_others_did_since() {
    let mut lab = Lab::new();
    with_set(&mut lab, "web", &["10.0.0.1"]);
    let plan = lab.plan(vec![
        set_of("web", "{entries: [{cidr: 10.0.0.1}, {cidr: 10.0.0.2}]}"),
        set_of("fresh", "{entries: []}"),
        alias("office", "{cidr: 10.20.0.0/16}"),
    ]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    datacenter(&mut after, |scope| {
        scope.ipsets.get_mut("web").unwrap().entries[0].nomatch = true;
        scope
            .ipsets
            .get_mut("fresh")
            .unwrap()
            .entries
            .push(entry("10.0.0.9"));
        scope.aliases.get_mut("office").unwrap().cidr = "10.21.0.0/16".to_owned();
    });
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(titles(&back), Vec::<&str>::new());
    for left in ["10.0.0.2 of ipset/web", "ipset/fresh", "alias/office"] {
        assert!(
            back.notes
                .iter()
                .any(|note| note.contains(left) && note.contains("by someone since")),
            "{left}: {:?}",
            back.notes
        );
    }
}

#[test]
fn a_prediction_mends_what_named_nothing() {
    let mut lab = Lab::new();
    let mut broken = rule("ACCEPT", "office");
    broken.errors = section(&[("source", "no such alias 'office'")]);
    let mut other = rule("ACCEPT", "+web");
    other.errors = section(&[("source", "no such ipset 'web'")]);
    datacenter(&mut lab, |scope| scope.rules = vec![broken, other]);
    let plan = lab.plan(vec![alias("office", "{cidr: 10.20.0.0/16}")]);
    let rules = lab.after(&plan).firewalls.cluster.unwrap().rules.clone();
    assert!(rules[0].errors.is_empty() && !rules[1].errors.is_empty());
}

#[test]
fn what_proxmox_would_refuse_is_refused_in_prediction() {
    let mut lab = Lab::new();
    with_set(&mut lab, "web", &["10.0.0.1"]);
    let site = || Site::Cluster;
    let name = || "web".to_owned();
    let element = |cidr: &str| Element {
        cidr: cidr.to_owned(),
        nomatch: false,
        comment: None,
    };
    for action in [
        FirewallAction::CreateIpSet {
            site: site(),
            name: name(),
            comment: None,
        },
        FirewallAction::AddIpSetEntry {
            site: site(),
            name: name(),
            element: element("10.0.0.1/32"),
        },
        FirewallAction::AddIpSetEntry {
            site: site(),
            name: name(),
            element: element("nobody"),
        },
        FirewallAction::RemoveIpSetEntry {
            site: site(),
            name: name(),
            cidr: "10.0.0.2".to_owned(),
        },
        FirewallAction::DeleteAlias {
            site: site(),
            name: "nobody".to_owned(),
        },
        FirewallAction::DeleteIpSet {
            site: Site::Guest {
                kind: GuestKind::Qemu,
                vmid: vmid(104),
            },
            name: name(),
        },
    ] {
        assert!(
            lab.world.apply(&Action::Firewall(action.clone())).is_err(),
            "{action:?}"
        );
    }
}
