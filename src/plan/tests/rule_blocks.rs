//! Blocks of lists of rules that people share.

use std::sync::Arc;

use super::firewall_rules::*;
use super::fixture::*;
use crate::plan::{Item, Plan, check, undo};
use crate::world::World;
use crate::world::firewall::{Group, Place, Rule};

fn theirs(comment: &str) -> Rule {
    rule(&[
        ("type", "in"),
        ("action", "ACCEPT"),
        ("enable", "1"),
        ("comment", comment),
    ])
}

fn marker(word: &str, name: &str) -> Rule {
    rule(&[
        ("type", "in"),
        ("action", "DROP"),
        ("enable", "0"),
        ("comment", &format!("bailiwick:{word} {name}")),
    ])
}

fn block(name: &str, place: &str, rules: &[&str]) -> Item {
    let rules = rules.join(", ");
    firewall(&format!(
        "{{cluster: true, block: {{name: {name}, place: {place}, rules: [{rules}]}}}}"
    ))
}

/// What the rules of the datacenter say they are for, or do.
fn told(world: &World) -> Vec<String> {
    let rules = &at(world, &Place::Cluster).rules;
    rules.iter().map(of).collect()
}

fn of(rule: &Rule) -> String {
    let get = |key: &str| rule.fields.get(key).cloned();
    get("comment")
        .or(get("macro"))
        .or(get("dport"))
        .unwrap_or_default()
}

fn remembered(lab: &mut Lab, object: &str, document: &str, block: &str) {
    lab.own(object, document);
    let owned = lab.ownership.objects.get_mut(object).unwrap();
    owned
        .managed
        .insert("(block)".to_owned(), Some(block.to_owned()));
}

fn fields(plan: &Plan) -> Vec<&str> {
    plan.changes
        .iter()
        .map(|change| change.field.as_str())
        .collect()
}

#[test]
fn a_block_comes_in_beside_the_rules_of_people() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.rules = vec![theirs("anna"), theirs("ben")];
    });
    let plan = settles(&lab, vec![block("app", "end", &[SSH, WEB])]);
    assert!(!plan.documents[0].adopts, "what people have is theirs");
    assert_eq!(
        told(&lab.after(&plan)),
        [
            "anna",
            "ben",
            "bailiwick:begin app",
            "SSH",
            "web",
            "bailiwick:end app"
        ]
    );
    assert_eq!(
        fields(&plan),
        ["block.app", "block.app.new.0", "block.app.new.1"]
    );
    let plan = settles(&lab, vec![block("app", "top", &[])]);
    assert_eq!(
        told(&lab.after(&plan)),
        ["bailiwick:begin app", "bailiwick:end app", "anna", "ben"]
    );
    assert_eq!(fields(&plan), ["block.app"]);
}

#[test]
fn a_change_of_a_block_names_it_and_touches_nothing_else() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.rules = vec![
            theirs("anna"),
            marker("begin", "app"),
            accept("22"),
            accept("80"),
            marker("end", "app"),
            theirs("ben"),
        ];
    });
    let twice = "{direction: in, action: ACCEPT, proto: tcp, dport: '80'}";
    let plan = settles(&lab, vec![block("app", "top", &[twice])]);
    assert_eq!(fields(&plan), ["block.app.2"]);
    assert_eq!(kinds(&plan), ["delete rule"]);
    assert!(plan.documents[0].adopts);
    // Nothing is left where it is as it shall be, wherever the block was put.
    let ssh = "{direction: in, action: ACCEPT, proto: tcp, dport: '22'}";
    assert!(
        lab.plan(vec![block("app", "top", &[ssh, twice])])
            .steps
            .is_empty()
    );
    let plan = settles(&lab, vec![block("app", "top", &[twice, ssh])]);
    assert_eq!(fields(&plan), ["block.app"]);
    assert_eq!(kinds(&plan), ["move rule"]);
}

#[test]
fn a_renamed_block_takes_the_place_of_the_former() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.rules = vec![
            theirs("anna"),
            marker("begin", "app"),
            accept("22"),
            marker("end", "app"),
            theirs("ben"),
        ];
    });
    remembered(&mut lab, "firewall/cluster", "Firewall/fw", "app");
    let plan = settles(&lab, vec![block("web", "end", &[SSH])]);
    assert_eq!(
        told(&lab.after(&plan)),
        [
            "anna",
            "bailiwick:begin web",
            "SSH",
            "bailiwick:end web",
            "ben"
        ]
    );
    // One that this document never had is other people's.
    lab.ownership.objects.clear();
    let plan = settles(&lab, vec![block("web", "end", &[SSH])]);
    assert_eq!(told(&lab.after(&plan)).len(), 8);
}

#[test]
fn broken_markers_are_refused() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.rules = vec![marker("begin", "app"), theirs("anna")];
    });
    let said = lab.refused(vec![block("app", "end", &[SSH])]);
    assert!(
        said.contains("the block app of the list is broken")
            && said.contains("has no `bailiwick:end app`"),
        "{said}"
    );
    // Another block is none of its business.
    let plan = lab.plan(vec![block("web", "end", &[SSH])]);
    assert_eq!(told(&lab.after(&plan)).len(), 5);
}

#[test]
fn an_undo_brings_back_the_block_whatever_people_did() {
    let mut lab = lab();
    datacenter(&mut lab, |scope| {
        scope.rules = vec![
            theirs("anna"),
            marker("begin", "app"),
            accept("22"),
            marker("end", "app"),
            theirs("ben"),
        ];
    });
    let plan = lab.plan(vec![block("app", "end", &[SSH, WEB])]);
    let done = plan.steps.iter().map(|step| step.id).collect();
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    datacenter(&mut after, |scope| {
        scope.rules.remove(0);
        scope.rules.insert(0, theirs("carl"));
        scope.rules.insert(0, theirs("dora"));
    });
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    assert_eq!(check(&back), vec![]);
    let mut end = Lab::new();
    end.world = after.after(&back);
    assert_eq!(
        told(&end.world),
        [
            "dora",
            "carl",
            "bailiwick:begin app",
            "22",
            "bailiwick:end app",
            "ben"
        ]
    );
    // And that is taken back in the same way.
    datacenter(&mut end, |scope| scope.rules.push(theirs("eve")));
    let done = back.steps.iter().map(|step| step.id).collect();
    let again = undo(&back, &done, &end.input(vec![])).unwrap();
    assert_eq!(
        told(&end.after(&again))[2..],
        [
            "bailiwick:begin app",
            "SSH",
            "web",
            "bailiwick:end app",
            "ben",
            "eve"
        ]
    );
}

#[test]
fn of_a_group_that_people_share_only_the_block_goes() {
    let mut lab = lab();
    let web = |rules: Vec<Rule>| Group {
        rules,
        comment: None,
    };
    let ours = vec![marker("begin", "app"), accept("22"), marker("end", "app")];
    let mut shared = ours.clone();
    shared.push(theirs("anna"));
    datacenter(&mut lab, |scope| {
        scope.groups.insert("web".to_owned(), web(shared));
        scope.groups.insert("own".to_owned(), web(ours));
    });
    remembered(&mut lab, "security-group/web", "SecurityGroup/web", "app");
    remembered(&mut lab, "security-group/own", "SecurityGroup/own", "app");
    let plan = lab.plan(vec![
        removed("SecurityGroup/web", true),
        removed("SecurityGroup/own", true),
    ]);
    assert!(
        plan.notes
            .iter()
            .any(|note| note
                .contains("security-group/web stays: it has rules outside the block app")),
        "{:?}",
        plan.notes
    );
    let groups = Arc::clone(at(&lab.after(&plan), &Place::Cluster));
    let left: Vec<String> = groups.groups["web"].rules.iter().map(of).collect();
    assert_eq!(left, ["anna"]);
    assert!(!groups.groups.contains_key("own"));
}

#[test]
fn a_group_made_with_a_block_stays_if_others_put_rules_into_it() {
    let lab = lab();
    let spec = format!("{{name: web, block: {{name: app, rules: [{SSH}]}}}}");
    let plan = settles(&lab, vec![group("web", &spec)]);
    let done = plan.steps.iter().map(|step| step.id).collect();
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    datacenter(&mut after, |scope| {
        let web = scope.groups.get_mut("web").unwrap();
        web.rules.push(theirs("anna"));
    });
    let back = undo(&plan, &done, &after.input(vec![])).unwrap();
    let groups = Arc::clone(at(&after.after(&back), &Place::Cluster));
    let left: Vec<String> = groups.groups["web"].rules.iter().map(of).collect();
    assert_eq!(left, ["anna"]);
}
