//! That no fewer calls would do, by trying all.

use std::collections::{HashSet, VecDeque};

use super::*;

/// Lists as indices of rules, and the fewest calls from one to another where a rule that is wanted as it stands is neither changed nor
/// deleted: breadth first over every call. A new rule comes to the top, or to another place by a second call.
fn fewest(live: &[u8], wanted: &[u8]) -> usize {
    // Each rule has a name, so that kept ones are known again; changed ones take the name of the wanted.
    let start: Vec<u8> = live.to_vec();
    let mut seen = HashSet::from([start.clone()]);
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((list, calls)) = queue.pop_front() {
        if list == wanted {
            return calls;
        }
        let mut next = Vec::new();
        for rule in wanted.iter().filter(|rule| !list.contains(rule)) {
            next.push([&[*rule], list.as_slice()].concat());
            for at in 0..list.len() {
                if !wanted.contains(&list[at]) {
                    let mut list = list.clone();
                    list[at] = *rule;
                    next.push(list);
                }
            }
        }
        for from in 0..list.len() {
            let mut rest = list.clone();
            let rule = rest.remove(from);
            if !wanted.contains(&rule) {
                next.push(rest.clone());
            }
            for to in 0..=rest.len() {
                let mut list = rest.clone();
                list.insert(to, rule);
                next.push(list);
            }
        }
        for list in next {
            if seen.insert(list.clone()) {
                queue.push_back((list, calls + 1));
            }
        }
    }
    unreachable!("every list can be made")
}

/// All lists without repetition of up to `length` of the numbers below `kinds`.
fn lists(kinds: u8, length: usize) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..length {
        last = last
            .iter()
            .flat_map(|list| {
                let more = (0..kinds).filter(|kind| !list.contains(kind));
                more.map(|kind| [list.as_slice(), &[kind]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Rules that are off: the law of no stricter state asks nothing of them.
fn off(list: &[u8]) -> Vec<Rule> {
    let off = |name: &u8| rule(&format!("type in, action ACCEPT, enable 0, comment {name}"));
    list.iter().map(off).collect()
}

#[test]
fn no_fewer_calls_would_do() {
    let wanted = lists(5, 3);
    for live in [vec![], vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3]] {
        for wanted in &wanted {
            let edits = script(&off(&live), &off(wanted), &Groups::new()).unwrap();
            assert!(equal(&end(&off(&live), &edits), &off(wanted)));
            let fewest = fewest(&live, wanted);
            assert_eq!(edits.len(), fewest, "{live:?} {wanted:?} {edits:#?}");
        }
    }
    for wanted in lists(4, 4).iter().filter(|list| list.len() == 4) {
        let live = [0, 1, 2, 3];
        let edits = script(&off(&live), &off(wanted), &Groups::new()).unwrap();
        assert_eq!(edits.len(), fewest(&live, wanted), "{wanted:?} {edits:#?}");
    }
}
