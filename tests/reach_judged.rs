//! The firewall's rules of the blast radius, where they are told by reach alone: each fires where it should and is silent where it
//! should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/fw_file.rs"]
#[allow(dead_code)]
mod fw_file;
#[path = "support/reach_lab.rs"]
#[allow(dead_code)]
mod lab;

use bailiwick::health::reach::{
    Address, Compiled, Effect, Keepers, Known, Named, Network, Spaces, Use, judge, shut_between,
};
use lab::Lab;

const ON: &str = "[OPTIONS]\nenable: 1\n";

fn keepers() -> Keepers {
    Keepers {
        controller: Address::parse("10.0.0.4"),
        admins: vec![Network::parse("192.0.2.0/28").unwrap()],
    }
}

/// What becomes of the datacenter's configuration, in words.
fn told(before: &str, after: &str) -> Vec<(Effect, String)> {
    let (before, after) = (Lab::new(before, ""), Lab::new(after, ""));
    said(&before.compiled(), &after.compiled())
}

fn said(before: &Compiled, after: &Compiled) -> Vec<(Effect, String)> {
    judge(before, after, &keepers())
        .into_iter()
        .map(|judged| (judged.effect, judged.sentence))
        .collect()
}

fn with(rules: &str) -> String {
    format!("{ON}[RULES]\n{rules}")
}

#[test]
fn fw01_fires_when_the_controller_or_everybody_is_locked_out_of_a_node() {
    // The controller is one of the node's network.
    let found = told(
        &with(""),
        &with("IN DROP -p tcp -dport 8006 -source 10.0.0.0/29\n"),
    );
    assert_eq!(
        found,
        [(
            Effect::Lockout,
            "10.0.0.0/29 can no longer open node pve1:8006".to_owned()
        )]
    );
    // Administrators from elsewhere, who had a rule.
    let found = told(
        &with("IN ACCEPT -p tcp -dport 22 -source 192.0.2.0/24\n"),
        &with(""),
    );
    assert_eq!(found[0].0, Effect::Lockout);
    // Nobody at all.
    let found = told(&with(""), &with("IN DROP -p tcp\n"));
    assert!(found.iter().all(|(effect, _)| *effect == Effect::Lockout));
}

#[test]
fn fw01_fires_conditionally_where_others_still_can() {
    let found = told(
        &with("IN ACCEPT -p tcp -dport 8006 -source 198.51.100.0/24\n"),
        &with(""),
    );
    assert_eq!(
        found,
        [(
            Effect::ConditionalLockout,
            "198.51.100.0/24 can no longer open node pve1:8006".to_owned()
        )]
    );
}

#[test]
fn fw01_silent_where_nothing_of_management_changes() {
    assert_eq!(told(&with(""), &with("IN DROP -p tcp -dport 80\n")), []);
    // Rules in another order that decide the same.
    let one = "IN ACCEPT -p tcp -dport 80\nIN ACCEPT -p tcp -dport 81\n";
    let other = "IN ACCEPT -p tcp -dport 81\nIN ACCEPT -p tcp -dport 80\n";
    assert_eq!(told(&with(one), &with(other)), []);
}

#[test]
fn fw02_fires_for_what_a_guest_loses_and_for_what_is_open_now() {
    let guest = |rules: &str| {
        Lab::new(ON, "")
            .vm(117, &format!("[OPTIONS]\nenable: 1\n[RULES]\n{rules}"))
            .compiled()
    };
    let before = guest("IN ACCEPT -p tcp -dport 5432 -source 10.20.0.0/16\n");
    let after = guest("IN ACCEPT -p tcp -dport 22\nIN ACCEPT -p tcp -dport 8443\n");
    let found = judge(&before, &after, &keepers());
    let told: Vec<_> = found
        .iter()
        .map(|judged| (judged.rule, judged.effect, judged.sentence.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "FW02",
                Effect::Unreachable,
                "10.20.0.0/16 can no longer open vm/117:5432"
            ),
            (
                "FW02",
                Effect::Exposed,
                "the internet (IPv4) can now open vm/117:22,8443"
            ),
            (
                "FW02",
                Effect::Exposed,
                "the internet (IPv6) can now open vm/117:22,8443"
            ),
        ]
    );
    assert_eq!(found[1].sensitive, ["SSH (22)"]);
    // A private network is not the internet.
    let found = judge(
        &before,
        &guest("IN ACCEPT -p tcp -dport 22,5432 -source 10.20.0.0/16\n"),
        &keepers(),
    );
    assert_eq!(found.len(), 1);
    assert!(found[0].sensitive.is_empty());
}

#[test]
fn fw02_silent_where_a_guest_s_reach_stays() {
    let lab = |rules: &str| {
        Lab::new(ON, "")
            .vm(117, &format!("[OPTIONS]\nenable: 1\n[RULES]\n{rules}"))
            .compiled()
    };
    let one = lab("IN ACCEPT -p tcp -dport 22:23\n");
    let other = lab("IN SSH(ACCEPT)\nIN ACCEPT -p tcp -dport 23 # the same\n|IN DROP\n");
    assert_eq!(said(&one, &other), []);
}

#[test]
fn fw03_fires_when_the_firewall_is_switched_on() {
    let lab = |enable| {
        Lab::new(&format!("[OPTIONS]\nenable: {enable}\n"), "")
            .vm(117, ON)
            .compiled()
    };
    let found = said(&lab(0), &lab(1));
    let guest = |(effect, sentence): &&(Effect, String)| {
        *effect == Effect::Unreachable && sentence.contains("vm/117")
    };
    assert!(found.iter().any(|one| guest(&one)), "{found:?}");
    assert!(found[0].0 <= Effect::ConditionalLockout, "{found:?}");
}

#[test]
fn fw03_silent_where_it_was_on() {
    let lab = |enable| {
        Lab::new(&format!("[OPTIONS]\nenable: {enable}\n"), "")
            .vm(117, ON)
            .compiled()
    };
    // A UNIX time is on, too: on trial.
    assert_eq!(said(&lab(1), &lab(1_700_000_000)), []);
}

#[test]
fn fw04_fires_a_rule_whose_alias_is_gone_is_as_if_it_were_not_there() {
    let rules = "[RULES]\nIN ACCEPT -p tcp -dport 80 -source friend\n";
    let before = format!("{ON}[ALIASES]\nfriend 192.0.2.77\n{rules}");
    let found = told(&before, &format!("{ON}{rules}"));
    assert_eq!(
        found,
        [(
            Effect::Unreachable,
            "192.0.2.77 can no longer open node pve1:80".to_owned()
        )]
    );
}

#[test]
fn fw04_silent_where_the_alias_was_never_there() {
    let rules = "[RULES]\nIN ACCEPT -p tcp -dport 80 -source friend\n";
    assert_eq!(told(&format!("{ON}{rules}"), &with("")), []);
}

#[test]
fn fw05_fires_for_every_use_and_says_what_may_be_another() {
    let cluster = format!(
        "{ON}[ALIASES]\nfriend 192.0.2.1\n[IPSET some]\nfriend\n[RULES]\nIN DROP\nIN ACCEPT -source friend\nGROUP web\n\
         [group web]\nIN ACCEPT -dest +some\n"
    );
    let mut lab = Lab::new(&cluster, "[RULES]\nIN ACCEPT -source dc/friend\n")
        .vm(
            100,
            "[ALIASES]\nfriend 10.0.0.9\n[RULES]\nIN ACCEPT -source friend\nGROUP web\n|IN ACCEPT -source dc/friend\n",
        )
        .vm(101, "[IPSET own]\nfriend\n[RULES]\nIN ACCEPT -dest friend\n");
    let uses = |lab: &Lab, named| lab.model.uses(&named);
    assert_eq!(
        uses(&lab, Named::Alias("friend".into())).unwrap(),
        [
            Use::ClusterRule(1),
            Use::ClusterSet("some".into()),
            Use::HostRule("pve1".into(), 0),
            Use::GuestRule(100, 2),
            Use::GuestRule(101, 0),
            Use::GuestSet(101, "own".into()),
        ]
    );
    assert_eq!(
        uses(&lab, Named::Set("some".into())).unwrap(),
        [Use::GroupRule("web".into(), 0)]
    );
    assert_eq!(
        uses(&lab, Named::Group("web".into())).unwrap(),
        [Use::ClusterRule(2), Use::GuestRule(100, 1)]
    );
    lab.model.guests.get_mut(&101).unwrap().firewall = Known::Unread("403".into());
    let (found, unread) = uses(&lab, Named::Group("web".into())).unwrap_err();
    assert_eq!(found.len(), 2);
    assert_eq!(unread, ["guest 101: 403"]);
}

#[test]
fn fw05_silent_where_nothing_uses_it() {
    let lab = Lab::new(
        &format!(
            "{ON}[ALIASES]\nfriend 192.0.2.1\n[IPSET some]\n192.0.2.1\n[group web]\nIN ACCEPT\n"
        ),
        "",
    )
    .vm(
        100,
        "[ALIASES]\nfriend 10.0.0.9\n[RULES]\nIN ACCEPT -source friend\n",
    );
    for named in [
        Named::Alias("friend".into()),
        Named::Set("some".into()),
        Named::Group("web".into()),
    ] {
        assert_eq!(lab.model.uses(&named).unwrap(), []);
    }
}

#[test]
fn fw07_fires_for_the_set_management() {
    let set = |addresses: &str| format!("{ON}[IPSET management]\n{addresses}\n");
    let found = told(&set("192.0.2.7"), &set("198.51.100.7"));
    assert_eq!(found[0].0, Effect::Lockout, "{found:?}");
    assert!(
        found[0]
            .1
            .starts_with("192.0.2.7 can no longer open node pve1:22")
    );
}

#[test]
fn fw07_silent_where_the_set_says_the_same() {
    let set = |addresses: &str| format!("{ON}[IPSET management]\n{addresses}\n");
    assert_eq!(told(&set("192.0.2.7"), &set("192.0.2.7/32")), []);
    // The node's own network is always in it.
    assert_eq!(told(&set(""), &set("10.0.0.0/24")), []);
    assert_eq!(
        told(
            &with(""),
            &format!("{ON}[ALIASES]\nlocal_network 10.0.0.0/24\n")
        ),
        []
    );
}

#[test]
fn fw08_fires_for_the_version_that_changes() {
    let found = told(
        &with(""),
        &with("IN ACCEPT -p tcp -dport 80 -source 2001:db8::/48\n"),
    );
    assert_eq!(
        found,
        [(
            Effect::Exposed,
            "2001:db8::/48 can now open node pve1:80".to_owned()
        )]
    );
    let found = told(
        &with(""),
        &with("IN ACCEPT -p icmp -icmp-type timestamp-request\n"),
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn fw09_fires_for_a_state_stricter_than_both_ends() {
    let lab = |rules: &str| Lab::new(&with(rules), "").compiled();
    let first = lab("IN ACCEPT -p tcp -dport 80 -source 192.0.2.0/24\n");
    let last = lab("IN ACCEPT -p tcp -dport 80 -source 192.0.0.0/16\n");
    let ways = first.ways();
    let shut = |between: &Compiled| {
        shut_between(&first, between, &last, &ways, &mut Spaces::default())
            .iter()
            .flat_map(|change| change.sentences(&last))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shut(&lab("")),
        ["192.0.2.0/24 can no longer open node pve1:80"]
    );
}

#[test]
fn fw09_silent_where_the_new_rule_comes_before_the_old_one_goes() {
    let lab = |rules: &str| Lab::new(&with(rules), "").compiled();
    let (narrow, wide) = (
        "IN ACCEPT -p tcp -dport 80 -source 192.0.2.0/24\n",
        "IN ACCEPT -p tcp -dport 80 -source 192.0.0.0/16\n",
    );
    let (first, last) = (lab(narrow), lab(wide));
    let between = lab(&format!("{wide}{narrow}"));
    let shut = shut_between(
        &first,
        &between,
        &last,
        &first.ways(),
        &mut Spaces::default(),
    );
    assert_eq!(shut, []);
}
