//! The firewalls of vnets.

use std::sync::Arc;

use super::firewall_rules::{firewall, kinds, lab as bare, rule};
use super::fixture::*;
use crate::plan::{Plan, check, firewalls_wanted, undo};
use crate::world::Shared;
use crate::world::firewall::{Place, Scope, VnetScope};

fn web() -> Place {
    Place::Vnet("web".parse().unwrap())
}

/// The vnet `web` runs, with these rules.
fn lab(comments: &[&str]) -> Lab {
    let mut lab = bare();
    let rules = comments.iter().map(|comment| {
        rule(&[
            ("type", "forward"),
            ("action", "ACCEPT"),
            ("enable", "1"),
            ("comment", comment),
        ])
    });
    let scope = Scope {
        rules: rules.collect(),
        ..Scope::default()
    };
    let vnet = VnetScope {
        zone: "z1".to_owned(),
        firewall: Ok(Arc::new(scope)),
    };
    let vnets: Shared<_, _> = [("web".parse().unwrap(), Arc::new(vnet))]
        .into_iter()
        .collect();
    lab.world.firewalls.vnets = Ok(vnets);
    let may = [("SDN.Allocate".to_owned(), true)].into_iter().collect();
    Arc::make_mut(&mut lab.world.permissions).insert("/sdn/zones/z1/web".to_owned(), may);
    lab
}

fn nftables(lab: &mut Lab, nodes: &[&str]) {
    for node in nodes {
        let known = lab
            .world
            .firewalls
            .nodes
            .get_mut(&super::fixture::node(node));
        let known = Arc::make_mut(known.unwrap());
        Arc::make_mut(known.firewall.as_mut().unwrap())
            .options
            .insert("nftables".to_owned(), "1".to_owned());
    }
}

/// What is said of nodes that do not filter.
fn nothing_there(plan: &Plan) -> Option<&String> {
    plan.notes
        .iter()
        .find(|note| note.contains("does nothing on"))
}

const RULES: &str = "{vnet: web, options: {enabled: true, policyForward: DROP}, rules: [{direction: forward, action: ACCEPT, proto: tcp, dport: '80'}]}";

#[test]
fn a_vnets_firewall_is_made_and_taken_back() {
    let lab = lab(&["theirs"]);
    let plan = lab.plan(vec![firewall(RULES)]);
    assert_eq!(check(&plan), vec![]);
    assert_eq!(
        kinds(&plan),
        ["update rule", "set firewall options"],
        "{:?}",
        titles(&plan)
    );
    assert!(titles(&plan)[1].starts_with("set firewall/vnet/web"));
    for step in &plan.steps {
        let needed: Vec<String> = step
            .privileges
            .iter()
            .map(|it| format!("{} {}", it.path, it.privilege))
            .collect();
        assert_eq!(needed, ["/sdn/zones/z1/web SDN.Allocate"]);
    }
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    let scope = after.world.firewalls.scope(&web()).unwrap();
    assert_eq!(scope.options["policy_forward"], "DROP");
    assert!(after.plan(vec![firewall(RULES)]).steps.is_empty());
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(check(&back), vec![]);
    let world = after.after(&back);
    assert_eq!(
        world.firewalls.scope(&web()),
        lab.world.firewalls.scope(&web())
    );
}

#[test]
fn the_markers_of_a_vnets_block_are_rules_that_forward() {
    let lab = lab(&["theirs"]);
    let block = "{vnet: web, block: {name: app, rules: [{direction: forward, action: DROP}]}}";
    let plan = lab.plan(vec![firewall(block)]);
    let world = lab.after(&plan);
    let rules = &world.firewalls.scope(&web()).unwrap().rules;
    assert_eq!(rules.len(), 4);
    assert!(rules.iter().all(|rule| rule.fields["type"] == "forward"));
}

#[test]
fn only_nftables_filters_at_vnets_and_a_plan_says_so() {
    let mut lab = lab(&[]);
    let nodes: Vec<String> = lab.world.nodes.keys().map(ToString::to_string).collect();
    let plan = lab.plan(vec![firewall(RULES)]);
    let said = nothing_there(&plan).unwrap();
    assert!(
        nodes.iter().all(|node| said.contains(node.as_str())),
        "{said}"
    );
    let (first, others) = nodes.split_first().unwrap();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    nftables(&mut lab, &others);
    let plan = lab.plan(vec![firewall(RULES)]);
    let said = nothing_there(&plan).unwrap();
    assert!(said.contains(first) && !said.contains(others[0]), "{said}");
    // One that the same plan turns to nftables filters.
    let turned = super::firewall_rules::document(
        "Firewall",
        "node",
        &format!("{{node: {first}, options: {{nftables: true}}}}"),
    );
    let plan = lab.plan(vec![firewall(RULES), turned]);
    assert_eq!(nothing_there(&plan), None);
    nftables(&mut lab, &[first]);
    assert_eq!(nothing_there(&lab.plan(vec![firewall(RULES)])), None);
}

#[test]
fn a_vnet_that_does_not_run_has_no_firewall() {
    let lab = lab(&[]);
    let said = lab.refused(vec![firewall("{vnet: db, options: {enabled: true}}")]);
    assert!(
        said.contains("the firewall of vnet db") && said.contains("no vnet of this name runs"),
        "{said}"
    );
}

#[test]
fn a_vnets_firewall_that_can_have_no_effect_is_read_for_its_document() {
    let lab = Lab::new();
    let item = firewall(RULES);
    let asked = firewalls_wanted(std::slice::from_ref(&item), &lab.ownership, &lab.world);
    assert!(asked.contains(&web()));
    let nodes = lab.world.nodes.keys().cloned().map(Place::Node);
    assert!(nodes.into_iter().all(|node| asked.contains(&node)));
}
