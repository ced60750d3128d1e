//! Which changes of firewalls are put on Proxmox VE's trial, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::firewall_rules::rule;
use super::fixture::*;
use super::reach_rules;
use crate::document::load;
use crate::health::Category;
use crate::plan::{Duration, Item, Plan, Precondition, Step, check, undo};
use crate::world::firewall::{IpSet, Scope, SetEntry};
use crate::world::{Action, FirewallAction, Site};

const SHUT: &str = "{direction: in, action: DROP, proto: tcp, dport: '8006'}";
const OPEN: &str = "{direction: in, action: ACCEPT, proto: tcp, dport: '9100'}";

/// The datacenter's firewall is on, and everything is read.
fn lab() -> Lab {
    Lab {
        world: reach_rules::lab(),
        ..Lab::new()
    }
}

fn document(kind: &str, name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("{kind}/{name}"), documents[0].desired())
}

fn firewall(spec: &str) -> Item {
    document("Firewall", "fw", spec)
}

fn datacenter(lab: &mut Lab, by: impl FnOnce(&mut Scope)) {
    by(Arc::make_mut(lab.world.firewalls.cluster.as_mut().unwrap()));
}

fn with_nftables(lab: &mut Lab, name: &str) {
    let nodes = &mut lab.world.firewalls.nodes;
    let scope = Arc::make_mut(nodes.get_mut(&node(name)).unwrap());
    let scope = Arc::make_mut(scope.firewall.as_mut().unwrap());
    scope.options.insert("nftables".into(), "1".into());
}

/// What of a plan's steps is on trial, by the positions of the steps that begin and confirm it.
fn trial(plan: &Plan) -> Option<(usize, usize)> {
    let is = |step: &Step, begins: bool| match &step.action {
        Action::Firewall(FirewallAction::BeginTrial { .. }) => begins,
        Action::Firewall(FirewallAction::ConfirmTrial { .. }) => !begins,
        _ => false,
    };
    let begin = plan.steps.iter().position(|step| is(step, true))?;
    let confirm = plan.steps.iter().position(|step| is(step, false))?;
    Some((begin, confirm))
}

#[test]
fn fw10_fires_for_what_the_trial_may_leave_open() {
    let plan = lab().plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{SHUT}]}}"
    ))]);
    assert_eq!(
        titles(&plan),
        [
            "put firewall/cluster on trial for a minute (enable=2)",
            "put `in DROP tcp port 8006` at the top of firewall/cluster",
            "keep firewall/cluster on (enable=1) once pve1, pve2 can be reached anew",
        ]
    );
    let exposed: Vec<(&str, Duration)> = plan
        .impacts
        .iter()
        .filter(|impact| impact.rule == "FW10")
        .map(|impact| {
            assert_eq!(impact.category, Category::Exposed);
            assert!(impact.steps.contains(&plan.steps[0].id));
            (impact.entity.as_str(), impact.duration)
        })
        .collect();
    let transient = Duration::Transient;
    assert_eq!(
        exposed,
        [
            ("vm/104", transient),
            ("node/pve1", transient),
            ("node/pve2", transient)
        ]
    );
    // The trial itself changes nobody's reach; the rule does.
    let lockout = plan
        .impacts
        .iter()
        .find(|impact| impact.category == Category::Lockout);
    assert_eq!(lockout.unwrap().steps, [plan.steps[1].id].into());
    let on_trial: Vec<bool> = plan
        .steps
        .iter()
        .map(|step| step.preconditions.contains(&Precondition::FirewallOnTrial))
        .collect();
    assert_eq!(on_trial, [false, true, true]);
    assert!(plan.steps[2].needs.contains(&plan.steps[1].id));
}

#[test]
fn fw10_silent_where_the_firewall_was_off_before() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.options = section(&[("policy_in", "DROP")]);
    });
    let plan = lab.plan(vec![firewall("{cluster: true, options: {enabled: true}}")]);
    assert_eq!(
        titles(&plan),
        [
            "switch on firewall/cluster, on trial for a minute (enable=2)",
            "keep firewall/cluster on (enable=1) once pve1, pve2 can be reached anew",
        ]
    );
    assert!(plan.impacts.iter().all(|impact| impact.rule != "FW10"));
    assert!(
        plan.impacts
            .iter()
            .any(|impact| impact.rule == "FW01" && impact.steps.contains(&plan.steps[0].id))
    );
}

#[test]
fn what_only_opens_or_is_a_guests_is_on_no_trial() {
    let lab = lab();
    for items in [
        vec![firewall(&format!("{{cluster: true, rules: [{OPEN}]}}"))],
        vec![firewall("{cluster: true, options: {policyIn: ACCEPT}}")],
        vec![firewall("{guest: 104, rules: []}")],
        // It is named by the guest's rules alone.
        vec![document("FirewallAlias", "lan", "{cidr: 10.1.1.0/24}")],
        vec![document("IpSet", "web", "{entries: [{cidr: 10.0.0.1}]}")],
        // Off at the end.
        vec![firewall(&format!(
            "{{cluster: true, options: {{enabled: false}}, rules: [{SHUT}]}}"
        ))],
    ] {
        let plan = lab.plan(items);
        assert!(!plan.steps.is_empty());
        assert_eq!(trial(&plan), None, "{:?}", titles(&plan));
    }
}

#[test]
fn what_rules_of_nodes_name_is_on_trial_too() {
    let mut lab = lab();
    let managers = IpSet {
        entries: vec![SetEntry {
            cidr: "10.7.0.0/16".to_owned(),
            ..SetEntry::default()
        }],
        comment: None,
    };
    datacenter(&mut lab, |scope| {
        scope.ipsets.insert("management".into(), managers);
    });
    for items in [
        vec![document(
            "IpSet",
            "management",
            "{entries: [{cidr: 10.7.1.0/24}]}",
        )],
        vec![document(
            "FirewallAlias",
            "local",
            "{name: local_network, cidr: 10.0.0.0/30}",
        )],
        vec![firewall(&format!("{{node: pve2, rules: [{SHUT}]}}"))],
        vec![firewall(
            "{cluster: true, rules: [{direction: out, action: DROP, proto: udp, dport: '5405'}]}",
        )],
    ] {
        let plan = lab.plan(items);
        let (begin, confirm) = trial(&plan).unwrap_or_else(|| panic!("{:?}", titles(&plan)));
        assert!(begin < confirm);
    }
}

#[test]
fn steps_of_guests_are_before_or_after() {
    let lab = lab();
    let plan = lab.plan(vec![
        firewall(&format!("{{cluster: true, rules: [{SHUT}]}}")),
        document(
            "Firewall",
            "node",
            &format!("{{node: pve1, rules: [{SHUT}]}}"),
        ),
        document("Firewall", "guest", "{guest: 104, rules: []}"),
        doc(set(vm(104), "memory", "8192")),
    ]);
    let mut open = false;
    for step in &plan.steps {
        match &step.action {
            Action::Firewall(FirewallAction::BeginTrial { .. }) => open = true,
            Action::Firewall(FirewallAction::ConfirmTrial { .. }) => open = false,
            Action::Firewall(action) => {
                let node = !matches!(action.site(), Site::Guest { .. });
                assert!(node || !open, "{}", step.title);
            }
            _ => assert!(!open, "{}", step.title),
        }
    }
    assert!(!open && trial(&plan).is_some());
}

#[test]
fn where_nothing_is_known_it_is_on_trial() {
    let mut lab = lab();
    let nodes = &mut lab.world.firewalls.nodes;
    let scope = Arc::make_mut(nodes.get_mut(&node("pve2")).unwrap());
    scope.addresses = Err("no answer".to_owned());
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{OPEN}]}}"
    ))]);
    assert!(trial(&plan).is_some());
    // What nobody can manage anyway has nobody to lock out, and no connection to prove anything by.
    Arc::make_mut(lab.world.nodes.get_mut(&node("pve2")).unwrap()).online = Some(false);
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{OPEN}]}}"
    ))]);
    assert_eq!(trial(&plan), None);
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{SHUT}]}}"
    ))]);
    let (begin, _) = trial(&plan).unwrap();
    let Action::Firewall(FirewallAction::BeginTrial { nodes }) = &plan.steps[begin].action else {
        panic!()
    };
    assert_eq!(*nodes, BTreeSet::from([node("pve1")]));
}

#[test]
fn with_nftables_a_trial_proves_nothing_and_the_plan_says_so() {
    let mut lab = lab();
    // Somebody far away manages nodes by a rule that goes; what the nodes' own network may do comes before the rules there.
    datacenter(&mut lab, |scope| {
        scope.rules = vec![rule(&[
            ("type", "in"),
            ("action", "ACCEPT"),
            ("source", "203.0.113.0/24"),
            ("proto", "tcp"),
            ("dport", "8006"),
            ("enable", "1"),
        ])]
    });
    with_nftables(&mut lab, "pve1");
    let shut = || vec![firewall("{cluster: true, rules: []}")];
    let plan = lab.plan(shut());
    let (_, confirm) = trial(&plan).unwrap();
    let notes = plan.steps[confirm].notes.concat();
    assert!(
        notes.contains("that pve1 can be reached proves nothing"),
        "{notes}"
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("locked out of pve1"))
    );
    // What is unknown for the time of the trial alone is told as no more than that.
    let told: Vec<(&str, Category, Duration)> = plan
        .impacts
        .iter()
        .filter(|impact| impact.entity == "node/pve1" && impact.rule != "FW10")
        .map(|impact| (impact.rule.as_str(), impact.category, impact.duration))
        .collect();
    assert_eq!(
        told,
        [("FW01", Category::ConditionalLockout, Duration::Permanent)]
    );

    with_nftables(&mut lab, "pve2");
    let plan = lab.plan(shut());
    assert_eq!(trial(&plan), None);
    let said = plan
        .notes
        .iter()
        .any(|note| note.contains("locked out of pve1, pve2"));
    assert!(said, "{:?}", plan.notes);
}

#[test]
fn fw10_after_a_trial_that_ran_out_the_undo_brings_back_rules_and_switch() {
    let lab = lab();
    let plan = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{SHUT}]}}"
    ))]);
    let mut after = lab_of(&lab, &plan, 2);
    datacenter(&mut after, |scope| {
        scope.options.insert("enable".into(), "0".into());
    });
    let done = plan.steps[..2].iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(check(&back), vec![]);
    assert_eq!(
        titles(&back)[1..],
        [
            "switch on firewall/cluster, on trial for a minute (enable=2)",
            "keep firewall/cluster on (enable=1) once pve1, pve2 can be reached anew",
        ]
    );
    let world = after.after(&back);
    assert_eq!(world.firewalls.cluster, lab.world.firewalls.cluster);

    // Confirmed, there is only the rule to take back.
    let after = lab_of(&lab, &plan, 3);
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(back.steps.len(), 1, "{:?}", titles(&back));
    assert_eq!(
        after.after(&back).firewalls.cluster,
        lab.world.firewalls.cluster
    );
}

/// The lab after the first steps of a plan.
fn lab_of(lab: &Lab, plan: &Plan, count: usize) -> Lab {
    let mut after = Lab::new();
    after.world = lab.world.clone();
    for step in &plan.steps[..count] {
        after.world = after.world.apply(&step.action).unwrap();
    }
    after
}

#[test]
fn fw01_names_the_controller_and_the_administrators() {
    let mut lab = lab();
    let rule = "{direction: in, action: ACCEPT, source: 10.9.0.0/16, proto: tcp, dport: '22,8006'}";
    let open = lab.plan(vec![firewall(&format!(
        "{{cluster: true, rules: [{rule}]}}"
    ))]);
    lab.world = lab.after(&open);
    let shut = || vec![firewall("{cluster: true, rules: []}")];
    let categories = |plan: &Plan| -> BTreeSet<Category> {
        let of_nodes = plan.impacts.iter().filter(|impact| impact.rule == "FW01");
        of_nodes.map(|impact| impact.category).collect()
    };
    // The other nodes can still manage each other.
    assert_eq!(
        categories(&lab.plan(shut())),
        BTreeSet::from([Category::ConditionalLockout])
    );
    lab.settings.administrators = vec!["10.9.3.0/24".to_owned()];
    lab.settings.controller = Some("10.9.0.5".to_owned());
    let plan = lab.plan(shut());
    let lockout = plan
        .impacts
        .iter()
        .find(|impact| impact.category == Category::Lockout && impact.entity == "node/pve1");
    let notes = lockout.unwrap().notes.join("; ");
    assert!(
        notes.contains("Bailiwick itself (10.9.0.5) would be locked out"),
        "{notes}"
    );
    assert!(
        notes.contains("administrators (10.9.3.0/24) would be locked out"),
        "{notes}"
    );
    lab.settings.administrators = vec!["10.8.0.0/16".to_owned()];
    lab.settings.controller = Some("10.8.0.5".to_owned());
    assert_eq!(
        categories(&lab.plan(shut())),
        BTreeSet::from([Category::ConditionalLockout])
    );
}
