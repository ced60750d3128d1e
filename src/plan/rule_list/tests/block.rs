//! The reserved block of a list that people share.

use proptest::prelude::*;

use super::*;

fn theirs(number: u8) -> Rule {
    let action = if number.is_multiple_of(2) {
        "ACCEPT"
    } else {
        "DROP"
    };
    rule(&format!("type in, action {action}, comment theirs{number}"))
}

fn ours(number: u8) -> Rule {
    let action = if number.is_multiple_of(2) {
        "ACCEPT"
    } else {
        "DROP"
    };
    rule(&format!("type in, action {action}, source 10.0.0.{number}"))
}

fn app(new_at: Option<usize>) -> Block<'static> {
    Block {
        name: "app",
        new_at,
        forward: false,
    }
}

fn mark(word: &str) -> Rule {
    rule(&format!(
        "type in, action DROP, enable 0, comment bailiwick:{word} app"
    ))
}

fn list(before: &[u8], inside: Option<&[u8]>, after: &[u8]) -> Vec<Rule> {
    let mut list: Vec<Rule> = before.iter().copied().map(theirs).collect();
    if let Some(inside) = inside {
        list.push(mark("begin"));
        list.extend(inside.iter().copied().map(ours));
        list.push(mark("end"));
    }
    list.extend(after.iter().copied().map(theirs));
    list
}

proptest! {
    #[test]
    fn what_is_outside_stays(
        before in proptest::collection::vec(0_u8..4, 0..4),
        inside in proptest::option::of(proptest::collection::vec(0_u8..4, 0..4)),
        after in proptest::collection::vec(0_u8..4, 0..4),
        wanted in proptest::collection::vec(0_u8..4, 0..4),
        at in 0_usize..8,
    ) {
        let live = list(&before, inside.as_deref(), &after);
        let rules: Vec<Rule> = wanted.iter().copied().map(ours).collect();
        let edits = script_of_block(&live, &app(Some(at)), &rules, &Groups::new()).unwrap();
        let all: Vec<u8> = before.iter().chain(&after).copied().collect();
        let (first, last) = match inside {
            Some(_) => (before, after),
            None => {
                let (first, last) = all.split_at(at.min(all.len()));
                (first.to_vec(), last.to_vec())
            }
        };
        prop_assert!(equal(&end(&live, &edits), &list(&first, Some(&wanted), &last)));
        // Not even for a moment is a rule of others touched: they are there, in their order, in every state.
        for state in states(&live, &edits) {
            let left: Vec<Rule> = state
                .into_iter()
                .filter(|rule| rule.fields.get("comment").is_some_and(|text| text.starts_with("theirs")))
                .collect();
            prop_assert!(equal(&left, &list(&all, None, &[])));
        }
        prop_assert_eq!(stricter(&live, &edits, &Groups::new()), None);
        // And it goes again, with nothing else.
        let made = end(&live, &edits);
        let away = script_without_block(&made, "app", &Groups::new()).unwrap();
        prop_assert!(equal(&end(&made, &away), &list(&all, None, &[])));
        for state in states(&made, &away) {
            let left = state.iter().filter(|rule| rule.fields.get("comment").is_some_and(|text| text.starts_with("theirs")));
            prop_assert_eq!(left.count(), all.len());
        }
    }
}

#[test]
fn without_markers_they_come_at_the_end() {
    let live = list(&[0, 1], None, &[]);
    let edits = script_of_block(&live, &app(None), &[ours(0)], &Groups::new()).unwrap();
    assert!(equal(&end(&live, &edits), &list(&[0, 1], Some(&[0]), &[])));
    let again = end(&live, &edits);
    assert_eq!(
        script_of_block(&again, &app(None), &[ours(0)], &Groups::new()),
        Ok(vec![])
    );
    let found = markers(&again, "app").unwrap().unwrap();
    assert_eq!(
        (found.begin, found.end, found.inside(&again).len()),
        (2, 4, 1)
    );
    assert_eq!(markers(&again, "other"), Ok(None));
}

#[test]
fn broken_markers_are_said_and_nothing_is_done() {
    let on = rule("type in, action DROP, comment bailiwick:end app");
    let cases = [
        (
            vec![theirs(0), mark("begin")],
            "`bailiwick:begin app` at position 1 has no `bailiwick:end app`",
        ),
        (
            vec![mark("end")],
            "`bailiwick:end app` at position 0 has no `bailiwick:begin app`",
        ),
        (
            vec![mark("end"), mark("begin")],
            "`bailiwick:end app` at position 0 stands before `bailiwick:begin app` at 1",
        ),
        (
            vec![mark("begin"), mark("begin"), mark("end")],
            "`bailiwick:begin app` stands at position 0 and 1, `bailiwick:end app` at position 2",
        ),
        (
            vec![mark("begin"), mark("begin")],
            "`bailiwick:begin app` stands at position 0 and 1, `bailiwick:end app` at no position",
        ),
        (
            vec![mark("begin"), on],
            "the marker at position 1 is switched on",
        ),
    ];
    for (live, text) in cases {
        let error = script_of_block(&live, &app(None), &[ours(0)], &Groups::new());
        let Err(RuleListError::BrokenBlock { found, .. }) = error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!(found, text);
    }
    // A rule that is wanted in the block and would be taken for a marker.
    let error = script_of_block(&[], &app(None), &[mark("end")], &Groups::new());
    assert!(
        matches!(error, Err(RuleListError::BrokenBlock { .. })),
        "{error:?}"
    );
}

#[test]
fn a_list_says_which_blocks_it_has() {
    let mut live = list(&[0], Some(&[1]), &[2]);
    live.push(rule(
        "type in, action DROP, enable 0, comment bailiwick:end other",
    ));
    live.push(rule(
        "type in, action DROP, comment bailiwick:begin some words",
    ));
    assert_eq!(blocks(&live), ["app", "other"]);
    assert_eq!(
        script_without_block(&live, "none", &Groups::new()),
        Ok(vec![])
    );
    assert!(script_without_block(&live, "other", &Groups::new()).is_err());
    let forward = Block {
        forward: true,
        ..app(None)
    };
    let edits = script_of_block(&[], &forward, &[], &Groups::new()).unwrap();
    let made = end(&[], &edits);
    assert!(made.iter().all(|rule| rule.fields["type"] == "forward"));
}
