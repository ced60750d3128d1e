//! Accounts: what a plan says of them, and how grave it takes it.

use super::accounts::{entry, gone, lab, token, written, wrong};
use super::fixture::*;
use crate::plan::Risk;

#[test]
fn ac05_a_gain_of_everything_is_high_and_a_gain_of_little_is_medium() {
    let lab = lab();
    for (spec, risk) in [
        (
            "{path: /, user: bob@pve, roles: [Administrator]}",
            Risk::High,
        ),
        ("{path: /, group: dev, roles: [Administrator]}", Risk::High),
        (
            "{path: /vms, user: bob@pve, roles: [Administrator]}",
            Risk::Medium,
        ),
        ("{path: /, user: bob@pve, roles: [Power]}", Risk::Medium),
    ] {
        let plan = lab.plan(vec![written("AccessRule", "a", spec)]);
        assert_eq!(plan.risk, risk, "{spec}: {:?}", plan.impacts);
    }
}

#[test]
fn an_entry_that_goes_with_its_role_or_its_group_does_not_go_with_its_path() {
    let mut lab = lab();
    entry(&mut lab, "/vms/104", "@dev", "Power", true);
    for (kind, object) in [("Role", "role/Power"), ("Group", "group/dev")] {
        let away = gone(&mut lab, kind, object);
        let plan = lab.plan(vec![away]);
        let told: Vec<&str> = plan.impacts.iter().map(|i| i.rule.as_str()).collect();
        assert!(!told.contains(&"ST06"), "{told:?}");
    }
}

#[test]
fn moments_are_told_as_people_write_them() {
    let lab = lab();
    let user = written("User", "bob", "{id: bob@pve, expires: 2027-03-31}");
    let plan = lab.plan(vec![user]);
    assert_eq!(
        titles(&plan),
        ["set user/bob@pve expire never → 2027-03-31T00:00:00Z"]
    );
    let change = &plan.changes[0];
    assert_eq!(
        (change.before.as_deref(), change.after.as_deref()),
        (Some("never"), Some("2027-03-31T00:00:00Z"))
    );
}

#[test]
fn a_rule_is_refused_where_its_path_names_nothing() {
    let lab = lab();
    let wrong = wrong(
        "AccessRule",
        "a",
        "{path: /vms/0104, group: ops, roles: [Power]}",
    );
    assert!(wrong.contains("/vms/100"), "{wrong}");
    for (path, what) in [
        ("/nodes/pve9", "there is no node `pve9`"),
        ("/access/groups/opps", "there is no group `opps`"),
        ("/access/realm/corp", "there is no realm `corp`"),
    ] {
        let spec = format!("{{path: {path}, group: ops, roles: [Power]}}");
        let refused = lab.refused(vec![written("AccessRule", "a", &spec)]);
        assert!(refused.contains(what), "{refused}");
    }
    for path in ["/nodes/pve1", "/access/groups/ops", "/access/realm/pve"] {
        let spec = format!("{{path: {path}, group: ops, roles: [Power]}}");
        assert_eq!(
            lab.plan(vec![written("AccessRule", "a", &spec)])
                .steps
                .len(),
            1
        );
    }
}

#[test]
fn what_the_controller_loses_is_told_line_by_line() {
    let mut lab = lab();
    token(&mut lab, "bob@pve", "loop");
    entry(&mut lab, "/", "bob@pve", "Administrator", true);
    entry(&mut lab, "/", "bob@pve!loop", "Administrator", true);
    lab.world.controller = Some("bob@pve!loop".to_owned());
    let rule = written(
        "AccessRule",
        "vms",
        "{path: /vms, token: bob@pve!loop, roles: [NoAccess]}",
    );
    let refused = lab.refused(vec![rule]);
    assert!(refused.lines().count() >= 4, "{refused}");
}
