//! Over random lists: the script ends at the wanted list, and no state on the way is stricter than both ends.

use proptest::prelude::*;
use proptest::sample::select;

use super::packets::beyond;
use super::*;

fn field(values: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), select(values).prop_map(Some)]
}

fn plain() -> impl Strategy<Value = Rule> {
    let action = select(&["ACCEPT", "DROP", "REJECT", "ACCEPT"][..]);
    let kind = select(&["in", "in", "in", "in", "out"][..]);
    let source = field(&[
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.1,10.0.0.3",
        "10.0.0.0/31",
        "lan",
    ]);
    let ports = field(&["1", "2", "1,3", "1:3", "22"]);
    let comment = field(&["one", "two"]);
    let all = (kind, action, source, ports, any::<bool>(), comment, 0..6);
    all.prop_map(|(kind, action, source, ports, ssh, comment, off)| {
        let mut rule = rule(&format!("type {kind}, action {action}"));
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                rule.fields.insert(key.into(), value.into());
            }
        };
        put("source", source);
        put("comment", comment);
        match (ports, ssh) {
            (Some(ports), _) => {
                put("proto", Some("tcp"));
                put("dport", Some(ports));
            }
            (None, true) => put("macro", Some("SSH")),
            (None, false) => {}
        }
        if off == 0 {
            put("enable", Some("0"));
        }
        rule
    })
}

/// A list, and one that has much in common with it.
fn lists(
    rules: impl Strategy<Value = Rule> + Clone + 'static,
) -> impl Strategy<Value = (Vec<Rule>, Vec<Rule>)> {
    let list = proptest::collection::vec(rules.clone(), 0..7);
    (list.clone(), list, any::<[u8; 12]>()).prop_map(|(live, others, choices)| {
        let mut wanted: Vec<Rule> = live.clone();
        let mut others = others.into_iter();
        for pair in choices.chunks(2) {
            let at = usize::from(pair[1]) % (wanted.len() + 1);
            match (pair[0] % 6, at < wanted.len()) {
                (0, true) => drop(wanted.remove(at)),
                (1, _) => wanted.splice(at..at, others.next()).for_each(drop),
                (2, true) => wanted.splice(at..=at, others.next()).for_each(drop),
                (3, true) => {
                    let rule = wanted.remove(at);
                    let to = usize::from(pair[0]) % (wanted.len() + 1);
                    wanted.insert(to, rule);
                }
                _ => {}
            }
        }
        (live, wanted)
    })
}

fn groups() -> Groups {
    let accept = |port: u16| rule(&format!("type in, action ACCEPT, proto tcp, dport {port}"));
    let drop = |port: u16| rule(&format!("type in, action DROP, proto tcp, dport {port}"));
    [
        ("web", vec![accept(1), accept(2)]),
        ("shut", vec![drop(3)]),
        ("both", vec![accept(1), drop(2)]),
        ("late", vec![drop(22), accept(3)]),
        ("none", vec![]),
    ]
    .map(|(name, rules)| (name.to_owned(), rules))
    .into()
}

fn with_groups() -> impl Strategy<Value = Rule> + Clone {
    let name = select(&["web", "shut", "both", "late", "none"][..]);
    prop_oneof![3 => plain(), 1 => name.prop_map(group)].boxed()
}

fn holds(live: &[Rule], wanted: &[Rule], edits: &[Edit], groups: &Groups) {
    let states = states(live, edits);
    assert!(equal(states.last().unwrap(), wanted), "{edits:#?}");
    assert_eq!(beyond(&states, groups, true), None, "{edits:#?}");
    assert_eq!(stricter(live, edits, groups), None, "{edits:#?}");
    // Where something is let pass that neither end lets pass, it is told, and no later than it happens.
    if let Some(at) = beyond(&states, groups, false) {
        assert!(looser(live, edits, groups).is_some_and(|told| told <= at));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("BAILIWICK_LONG").is_some() { 200_000 } else { 3_000 }))]

    #[test]
    fn a_script_ends_at_the_wanted_list_and_shuts_nothing_on_the_way(
        (live, wanted) in lists(plain().boxed()),
    ) {
        let edits = script(&live, &wanted, &Groups::new()).unwrap();
        holds(&live, &wanted, &edits, &Groups::new());
        prop_assert_eq!(edits.is_empty(), equal(&live, &wanted));
    }

    /// Groups whose contents are known count as what they do.
    #[test]
    fn so_it_is_with_groups((live, wanted) in lists(with_groups())) {
        let groups = groups();
        if let Ok(edits) = script(&live, &wanted, &groups) {
            holds(&live, &wanted, &edits, &groups);
        }
        // Unknown groups may do anything; what is right for anything is right for these.
        if let Ok(edits) = script(&live, &wanted, &Groups::new()) {
            let states = states(&live, &edits);
            prop_assert!(equal(states.last().unwrap(), &wanted));
            prop_assert_eq!(beyond(&states, &groups, true), None);
        }
    }

    /// The proof finds what the packets find, for any edits whatever.
    #[test]
    fn a_stricter_or_looser_state_never_goes_unnoticed(
        (live, wanted) in lists(with_groups()),
        choices in any::<[(u8, u8, u8); 4]>(),
    ) {
        let groups = groups();
        let mut list = live.clone();
        let mut edits = Vec::new();
        for (what, one, two) in choices {
            let at = |value: u8, more: usize| usize::from(value) % (list.len() + more).max(1);
            let edit = match what % 4 {
                0 if !wanted.is_empty() => Edit::Insert {
                    fields: wanted[usize::from(one) % wanted.len()].fields.clone(),
                },
                1 => Edit::Move { from: at(one, 0), to: at(two, 1) },
                2 => Edit::Delete { position: at(one, 0) },
                _ => Edit::Update {
                    position: at(one, 0),
                    set: [("enable".to_owned(), (two % 2).to_string())].into(),
                    delete: vec![["source", "comment"][usize::from(two) % 2].to_owned()],
                },
            };
            list = apply(&list, &edit);
            edits.push(edit);
        }
        let states = states(&live, &edits);
        for (open, told) in [(true, stricter(&live, &edits, &groups)), (false, looser(&live, &edits, &groups))] {
            if let Some(at) = beyond(&states, &groups, open) {
                prop_assert!(told.is_some_and(|told| told <= at), "{} {:?} {:?}", open, at, told);
            }
        }
    }
}
