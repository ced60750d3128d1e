//! The queue's laws.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn work(queue: &mut Queue<u32>, now: Timestamp) -> u32 {
    match queue.next(now) {
        Next::Work(key, _) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_in_it_once_and_never_worked_on_twice_at_a_time() {
    let mut queue = Queue::new(Pace::default());
    queue.add(1, "a", at(0));
    queue.add(1, "a", at(0));
    assert_eq!(work(&mut queue, at(0)), 1);
    queue.add(1, "a", at(1));
    assert_eq!(queue.next(at(1)), Next::Empty);
    assert_eq!(queue.done(&1, Done::Well, at(2), 0.0), Some(at(1)));
    assert_eq!(work(&mut queue, at(2)), 1);
    assert_eq!(queue.done(&1, Done::Well, at(3), 0.0), None);
    assert_eq!(queue.next(at(9)), Next::Empty);
}

#[test]
fn failures_come_back_later_and_later_and_a_change_brings_them_at_once() {
    let mut queue = Queue::new(Pace::default());
    let mut now = at(0);
    queue.add(1, "a", now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(work(&mut queue, now), 1);
        let back = queue.done(&1, Done::Failed, now, 0.0).unwrap();
        waits.push(back.as_second() - now.as_second());
        now = back;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    work(&mut queue, now);
    queue.done(&1, Done::Failed, now, 0.0);
    queue.add(1, "a", now);
    assert_eq!(work(&mut queue, now), 1);
    queue.done(&1, Done::Well, now, 0.0);
    assert_eq!(queue.failures(&1), 0);
}

#[test]
fn the_bucket_holds_many_failures_back() {
    let pace = Pace {
        per_second: 1.0,
        burst: 2.0,
        ..Pace::default()
    };
    let mut queue = Queue::new(pace);
    let mut backs = Vec::new();
    for key in 0..10 {
        queue.add(key, "a", at(0));
        work(&mut queue, at(0));
        backs.push(
            queue
                .done(&key, Done::Failed, at(0), 0.0)
                .unwrap()
                .as_second(),
        );
    }
    assert_eq!(backs, [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_busy_source_keeps_no_other_waiting() {
    let mut queue = Queue::new(Pace::default());
    for key in 0..100 {
        queue.add(key, "agent:busy", at(0));
    }
    queue.add(1000, "git:infra", at(0));
    queue.add(2000, "operator:anna", at(0));
    let first: Vec<u32> = (0..4).map(|_| work(&mut queue, at(0))).collect();
    assert!(first.contains(&1000) && first.contains(&2000), "{first:?}");
}

#[derive(Debug, Clone)]
enum Deed {
    Add(u32, u8, i64),
    Work,
    End(usize, u8, u8),
    Pass(i64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..6_u32, 0..3_u8, 0..20_i64).prop_map(|(k, l, t)| Deed::Add(k, l, t)),
        Just(Deed::Work),
        (any::<usize>(), 0..3_u8, any::<u8>()).prop_map(|(i, d, c)| Deed::End(i, d, c)),
        (0..40_i64).prop_map(Deed::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens: no key is worked on twice at once, none that was asked for is lost, and the wait is bounded.
    #[test]
    fn nothing_is_lost_or_doubled(deeds in proptest::collection::vec(deed(), 0..120)) {
        let pace = Pace::default();
        let mut queue = Queue::new(pace);
        let mut now = at(1_000_000);
        let mut working: Vec<u32> = Vec::new();
        // Asked for since it was last begun.
        let mut owed: BTreeMap<u32, bool> = BTreeMap::new();
        for deed in deeds {
            match deed {
                Deed::Add(key, lane, after) => {
                    queue.add_at(key, &format!("lane{lane}"), later(now, Duration::from_secs(u64::try_from(after).unwrap())));
                    owed.insert(key, true);
                }
                Deed::Work => if let Next::Work(key, _) = queue.next(now) {
                    prop_assert!(!working.contains(&key), "{key} twice");
                    working.push(key);
                    owed.insert(key, false);
                },
                Deed::End(index, how, chance) if !working.is_empty() => {
                    let key = working.remove(index % working.len());
                    let done = [Done::Well, Done::Again(Duration::from_secs(7)), Done::Failed][usize::from(how)];
                    let back = queue.done(&key, done, now, f64::from(chance) / 255.0);
                    if how > 0 { owed.insert(key, true); }
                    if let Some(back) = back {
                        prop_assert!(back <= later(now, pace.most));
                    }
                }
                Deed::End(..) => {}
                Deed::Pass(seconds) => now = later(now, Duration::from_secs(u64::try_from(seconds).unwrap())),
            }
        }
        for key in working.drain(..) {
            queue.done(&key, Done::Well, now, 0.5);
        }
        now = later(now, Duration::from_secs(1000));
        let mut came = Vec::new();
        while let Next::Work(key, _) = queue.next(now) {
            came.push(key);
            queue.done(&key, Done::Well, now, 0.5);
        }
        for (key, owed) in owed {
            prop_assert!(!owed || came.contains(&key), "{key} was lost");
        }
    }
}
