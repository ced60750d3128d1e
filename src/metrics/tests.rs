//! What is rendered, what is bounded, and what is set at once.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Something of everything.
pub fn told() -> Metrics {
    let metrics = Metrics::new();
    let second = Duration::from_millis(1500);
    metrics.started("1.2.3", at(1000));
    metrics.measured(at(1001));
    metrics.clusters(["lab"]);
    metrics.webhooks(["chat"]);
    metrics.reconciled("lab", "unreachable", second);
    metrics.queue(3);
    metrics.queue_waited(second);
    metrics.cycle("lab", 9, second);
    metrics.observed("lab", at(1002), 1);
    metrics.drifted("lab", "VirtualMachine", 2);
    metrics.source("git:infra", true, at(1003));
    metrics.source("git:infra", false, at(1004));
    metrics.submissions(&[("pending".to_owned(), 4)].into());
    metrics.set_plans(
        "lab",
        &[(("waiting".to_owned(), "high".to_owned()), 5)].into(),
    );
    metrics.set_waiting("lab", &[("high".to_owned(), at(900))].into());
    metrics.waited("lab", Duration::from_secs(400));
    metrics.decided("lab", "approved");
    metrics.ran("lab", "failed");
    metrics.set_open_runs("lab", &[("running".to_owned(), 1)].into());
    metrics.step("lab", "ok");
    metrics.task("lab", "qmstart", second);
    metrics.task("lab", "aptupdate", second);
    metrics.lock_waited("lab", second);
    metrics.frozen(
        &[(
            "global",
            Freezes {
                count: 1,
                since: at(800),
            },
        )]
        .into(),
    );
    metrics.api("lab", "GET", second, "ok");
    metrics.ledger(7, "aa");
    metrics.ledger_verified(at(1005), true);
    metrics.notified("chat", false);
    metrics.notify_backlog("chat", 6);
    metrics.notify_missed("chat", 8);
    metrics
}

#[test]
fn everything_told_is_rendered() {
    let text = told().render();
    for definition in ALL {
        assert!(
            text.contains(&format!(
                "# TYPE {} {}\n",
                definition.name,
                definition.kind.word()
            )),
            "{} is not rendered",
            definition.name
        );
    }
    // Without what is 0 and without buckets it can be read at a glance.
    let shown = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.ends_with(" 0") && !line.contains("_bucket"))
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn names_follow_prometheus_conventions() {
    let name = regex::Regex::new("^bailiwick_[a-z]+(_[a-z]+)*$").unwrap();
    let mut seen = BTreeSet::new();
    for Definition {
        name: metric,
        kind,
        labels,
        help,
        ..
    } in ALL
    {
        assert!(name.is_match(metric), "{metric}");
        assert!(seen.insert(metric), "{metric} twice");
        assert_eq!(
            metric.ends_with("_total"),
            *kind == Kind::Counter,
            "{metric}"
        );
        assert!(
            !help.is_empty() && !help.ends_with('.') && !help.contains('|'),
            "{help}"
        );
        if let Kind::Histogram(bounds) = kind {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{metric}");
        }
        let names: BTreeSet<_> = labels.iter().map(|label| label.name).collect();
        assert_eq!(names.len(), labels.len(), "{metric}");
        for reserved in ["le", "job", "instance", "quantile"] {
            assert!(!names.contains(reserved), "{metric}");
        }
    }
}

#[test]
fn the_ledgers_head_is_one_series() {
    let metrics = Metrics::new();
    metrics.ledger(7, "aa");
    metrics.ledger(8, "bb");
    let text = metrics.render();
    assert!(text.contains("bailiwick_ledger_sequence 8\n"));
    assert!(text.contains("bailiwick_ledger_head_info{sequence=\"8\",head=\"bb\"} 1\n"));
    assert!(!text.contains("aa"), "{text}");
}

#[test]
fn gauges_set_whole_leave_nothing_of_before_and_nothing_of_others_alone() {
    let metrics = Metrics::new();
    let plans = |state: &str, count| [((state.to_owned(), "low".to_owned()), count)].into();
    metrics.set_plans("lab", &plans("waiting", 2));
    metrics.set_plans("laboratory", &plans("waiting", 9));
    metrics.set_plans("lab", &plans("applied", 2));
    let text = metrics.render();
    let line = |cluster: &str, state: &str, count: u32| {
        format!("bailiwick_plans{{cluster=\"{cluster}\",state=\"{state}\",risk=\"low\"}} {count}\n")
    };
    assert!(text.contains(&line("lab", "waiting", 0)));
    assert!(text.contains(&line("lab", "applied", 2)));
    assert!(text.contains(&line("laboratory", "waiting", 9)));
    // What has no word of its own is counted together, not lost.
    let strange = [("odd", 3), ("odder", 4)].map(|(s, n)| ((s.to_owned(), "low".to_owned()), n));
    metrics.set_plans("lab", &strange.into());
    assert!(metrics.render().contains(&line("lab", "other", 7)));
    metrics.set_waiting("lab", &[("high".to_owned(), at(5))].into());
    metrics.set_waiting("lab", &BTreeMap::new());
    assert!(!metrics.render().contains("waiting_since"));
}

#[test]
fn a_kind_that_no_longer_drifts_stands_at_zero() {
    let metrics = Metrics::new();
    metrics.set_drifted("lab", &[("Pool".to_owned(), 2)].into());
    metrics.set_drifted("lab", &[("Storage".to_owned(), 1)].into());
    let text = metrics.render();
    assert!(
        text.contains("{cluster=\"lab\",kind=\"Pool\"} 0\n"),
        "{text}"
    );
    assert!(text.contains("{cluster=\"lab\",kind=\"Storage\"} 1\n"));
}

#[test]
fn labels_that_run_together_are_two_series() {
    let metrics = Metrics::new();
    metrics.drifted("a", "bc", 1);
    metrics.drifted("ab", "c", 2);
    let text = metrics.render();
    assert!(text.contains("{cluster=\"a\",kind=\"bc\"} 1\n"));
    assert!(text.contains("{cluster=\"ab\",kind=\"c\"} 2\n"));
}

#[test]
fn buckets_are_cumulative_and_bounds_belong_to_their_bucket() {
    let metrics = Metrics::new();
    for seconds in [0.01, 0.011, 60.0, 61.0] {
        metrics.queue_waited(Duration::from_secs_f64(seconds));
    }
    let text = metrics.render();
    for line in [
        "bucket{le=\"0.01\"} 1",
        "bucket{le=\"0.025\"} 2",
        "bucket{le=\"30\"} 2",
        "bucket{le=\"60\"} 3",
        "bucket{le=\"+Inf\"} 4",
        "count 4",
        "sum 121.021",
    ] {
        assert!(
            text.contains(&format!("bailiwick_queue_wait_seconds_{line}\n")),
            "{line}\n{text}"
        );
    }
}

#[test]
fn what_is_expected_stands_at_zero_and_counts_are_kept() {
    let metrics = Metrics::new();
    metrics.ran("lab", "failed");
    metrics.clusters(["lab"]);
    let text = metrics.render();
    assert!(text.contains("bailiwick_runs_total{cluster=\"lab\",outcome=\"failed\"} 1\n"));
    assert!(text.contains("bailiwick_runs_total{cluster=\"lab\",outcome=\"ok\"} 0\n"));
    assert!(text.contains("bailiwick_steps_total{cluster=\"lab\",outcome=\"undetermined\"} 0\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever is told, there are never more series than the labels allow, and the text can be read.
    #[test]
    fn labels_are_bounded(words in proptest::collection::vec("(?s).{0,20}|[a-z]{120,140}", 1..200)) {
        let metrics = Metrics::new();
        for word in &words {
            metrics.drifted(word, word, 1);
            metrics.drifted("lab", word, 1);
            metrics.task(word, word, Duration::from_secs(1));
            metrics.source(word, true, at(1));
            metrics.notify_backlog(word, 1);
            metrics.set_plans(word, &[((word.clone(), word.clone()), 1)].into());
            metrics.set_waiting(word, &[(word.clone(), at(1))].into());
            metrics.ledger(1, word);
        }
        let state = metrics.state();
        let most = |label: &Label| match label.values {
            Values::Words(words) => words.len() + 1,
            Values::Names { most, .. } => most + 1,
            Values::Current(_) => 1,
        };
        for definition in ALL {
            let Some(series) = state.series.get(definition.name) else { continue };
            prop_assert!(series.len() <= definition.labels.iter().map(most).product());
            for (index, label) in definition.labels.iter().enumerate() {
                let values: BTreeSet<&String> = series.keys().map(|labels| &labels[index]).collect();
                prop_assert!(values.len() <= most(label), "{}: {values:?}", definition.name);
                prop_assert!(values.iter().all(|value| !value.is_empty() && value.len() <= LONGEST_NAME));
            }
        }
        drop(state);
        let line = regex::Regex::new(r#"^(# (HELP|TYPE) .*|[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)+\})? [0-9.]+)$"#).unwrap();
        for text in metrics.render().split('\n').filter(|text| !text.is_empty()) {
            prop_assert!(line.is_match(text), "{text:?}");
        }
    }
}
