//! Cases that people meet.

use super::*;

fn ssh(source: &str) -> Rule {
    rule(&format!(
        "type in, action ACCEPT, macro SSH, source {source}"
    ))
}

fn web(source: &str) -> Rule {
    rule(&format!(
        "type in, action ACCEPT, proto tcp, dport 443, source {source}"
    ))
}

fn drops() -> Rule {
    rule("type in, action DROP")
}

fn plan(live: &[Rule], wanted: &[Rule]) -> Vec<Edit> {
    let edits = script(live, wanted, &Groups::new()).unwrap();
    assert!(equal(&end(live, &edits), wanted), "{edits:#?}");
    edits
}

#[test]
fn what_means_the_same_needs_no_call() {
    let texts = [
        ("source 10.1.2.3/8", "source 10.0.0.0/8"),
        ("source 10.0.0.1/32,10.0.0.2", "source 10.0.0.2,10.0.0.1"),
        ("source FD00::1/64", "source fd00::/64"),
        ("dest LAN", "dest lan"),
        ("proto tcp, dport 443,80", "proto tcp, dport 80,443"),
        ("macro ssh", "macro SSH"),
        ("log nolog", "action ACCEPT"),
        ("enable 2", "enable 1"),
    ];
    for (one, other) in texts {
        let lists = [one, other].map(|text| vec![rule(&format!("type in, action ACCEPT, {text}"))]);
        assert_eq!(plan(&lists[0], &lists[1]), [], "{lists:?}");
    }
    // A rule that does not say whether it is on is off.
    let mut silent = ssh("lan");
    silent.fields.remove("enable");
    assert_eq!(
        plan(
            &[silent.clone()],
            &[rule(
                "type in, action ACCEPT, macro SSH, source lan, enable 0"
            )]
        ),
        []
    );
    assert_eq!(plan(&[silent], &[ssh("lan")]).len(), 1);
    // Sets are looked up as they are written.
    assert_eq!(plan(&[ssh("+Lan")], &[ssh("+lan")]).len(), 1);
}

#[test]
fn a_change_is_one_call_that_says_what_changes() {
    let live = rule("type in, action ACCEPT, macro SSH, source lan, log info");
    let edits = plan(
        &[drops(), live, drops()],
        &[drops(), ssh("10.0.0.1"), drops()],
    );
    let Edit::Update {
        position,
        set,
        delete,
    } = &edits[0]
    else {
        panic!("{edits:#?}")
    };
    assert_eq!(
        (edits.len(), *position, delete.as_slice()),
        (1, 1, &["log".to_owned()][..])
    );
    assert_eq!(set, &[("source".to_owned(), "10.0.0.1".to_owned())].into());
}

#[test]
fn a_new_rule_at_the_top_is_one_call() {
    let edits = plan(&[drops()], &[ssh("lan"), drops()]);
    assert!(
        matches!(edits.as_slice(), [Edit::Insert { fields }] if fields["enable"] == "1"),
        "{edits:#?}"
    );
}

/// From the top to its place it would open or shut what neither list does.
#[test]
fn a_new_rule_below_others_of_another_verdict_comes_off() {
    let guard = rule("type in, action DROP, source 10.0.0.1");
    let live = [guard.clone(), drops()];
    let edits = plan(&live, &[guard, ssh("lan"), drops()]);
    assert!(
        matches!(edits.as_slice(), [
            Edit::Insert { fields }, Edit::Move { from: 0, to: 2 }, Edit::Update { position: 1, set, .. },
        ] if fields["enable"] == "0" && set.len() == 1 && set["enable"] == "1"),
        "{edits:#?}"
    );
    assert_eq!(looser(&live, &edits, &Groups::new()), None);
    // Past rules of its own verdict, or of other packets, it may come as it is.
    let edits = plan(&[web("lan"), drops()], &[web("lan"), ssh("lan"), drops()]);
    assert!(
        matches!(edits.as_slice(), [Edit::Insert { fields }, Edit::Move { .. }] if fields["enable"] == "1")
    );
}

#[test]
fn a_rule_is_moved_and_not_made_again() {
    let live = [ssh("lan"), web("lan"), web("10.0.0.1"), drops()];
    let [a, b, c, d] = live.clone();
    assert_eq!(plan(&live, &[b, c, a, d]), [Edit::Move { from: 0, to: 3 }]);
}

/// Two changes that concern the same packets cannot both be made in place: whoever moves from one rule to the other would be shut out.
#[test]
fn changes_that_hang_together_open_first() {
    let live = [ssh("10.0.0.1"), ssh("10.0.0.2"), drops()];
    let wanted = [ssh("10.0.0.2"), ssh("10.0.0.1"), drops()];
    assert_eq!(plan(&live, &wanted).len(), 1, "a move");
    let live = [web("10.0.0.1"), ssh("10.0.0.2"), drops()];
    let both = |source: &str| rule(&format!("type in, action ACCEPT, source {source}"));
    let wanted = [both("10.0.0.2"), both("10.0.0.1"), drops()];
    let edits = plan(&live, &wanted);
    assert!(edits.len() > 2, "{edits:#?}");
    assert_eq!(stricter(&live, &edits, &Groups::new()), None);
    // Changes of other packets stay as they are.
    let edits = plan(
        &[web("10.0.0.1"), ssh("10.0.0.2"), drops()],
        &[web("10.0.0.3"), ssh("10.0.0.4"), drops()],
    );
    assert_eq!(edits.len(), 2, "{edits:#?}");
}

#[test]
fn unknown_groups_change_one_at_a_time() {
    let live = [group("one"), group("two")];
    assert_eq!(plan(&live, &[group("two"), group("one")]).len(), 1);
    assert_eq!(plan(&live, &[group("one"), group("three")]).len(), 1);
    let wanted = [group("three"), group("four")];
    let Err(RuleListError::NoSafeOrder { rules }) = script(&live, &wanted, &Groups::new()) else {
        panic!("there is none")
    };
    assert_eq!(rules, ["`group one`", "`group two`"]);
    // Known to accept only, they are like any rule that accepts.
    let accepts = |name: &str| (name.to_owned(), vec![ssh("lan"), web("lan")]);
    let groups = ["one", "two", "three", "four"].map(accepts).into();
    let edits = script(&live, &wanted, &groups).unwrap();
    assert!(equal(&end(&live, &edits), &wanted));
}

/// A state that opens what neither end does is told of.
#[test]
fn a_looser_state_is_told() {
    let one = rule("type in, action DROP, source 10.0.0.1");
    let two = rule("type in, action DROP, source lan");
    let live = [one, ssh("10.0.0.0/8")];
    let wanted = [two, ssh("10.0.0.0/8")];
    let edits = plan(&live, &wanted);
    assert_eq!(
        (edits.len(), looser(&live, &edits, &Groups::new())),
        (1, None)
    );
    // The guard goes before another comes elsewhere.
    let edits = [
        Edit::Delete { position: 0 },
        Edit::Insert {
            fields: wanted[0].fields.clone(),
        },
    ];
    assert_eq!(looser(&live, &edits, &Groups::new()), Some(1));
    assert_eq!(stricter(&live, &edits, &Groups::new()), None);
}
