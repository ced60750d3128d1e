//! What rules match, what they ask for, and what no rule can lower.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;

use super::*;

fn facts() -> PlanFacts {
    PlanFacts {
        hash: PlanHash("sha256:5a".into()),
        cluster: ClusterName::new("lab").unwrap(),
        risk: Risk::Low,
        categories: BTreeSet::new(),
        kinds: BTreeSet::from([ObjectKind::VirtualMachine]),
        verbs: BTreeSet::from([Verb::Update]),
        labels: vec![BTreeMap::from([("env".to_owned(), "dev".to_owned())])],
        sources: BTreeSet::from(["git:infra".to_owned()]),
        submitter: Principal::agent("claude").unwrap(),
        impacts: BTreeSet::new(),
        unknowns: BTreeSet::new(),
        blocked: None,
        by_person: false,
    }
}

fn rules(yaml: &str) -> ApprovalPolicy {
    ApprovalPolicy {
        rules: serde_saphyr::from_str(yaml).unwrap(),
        groups: Groups::from([(
            "ops".to_owned(),
            BTreeSet::from(["alice".to_owned(), "bob".to_owned()]),
        )]),
        ..ApprovalPolicy::default()
    }
}

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

/// The requirement in a word: `auto R`, `people R n`, `denied R`.
fn word(policy: &ApprovalPolicy, facts: &PlanFacts) -> String {
    match policy.requirement(facts, now()) {
        Requirement::Auto { rule, .. } => format!("auto {rule}"),
        Requirement::People(needed) => {
            format!(
                "people {} {}",
                needed.rule.as_deref().unwrap_or("-"),
                needed.approvals
            )
        }
        Requirement::Denied { rule, .. } => format!("denied {}", rule.as_deref().unwrap_or("-")),
    }
}

const LADDER: &str = "
- name: frozen
  match: {labels: {any: {tier: vault}}}
  deny: the vault is changed by hand
- name: dev
  match: {risk: [none, low], kinds: {only: [VirtualMachine, Container]}, verbs: {none: [delete]}, labels: {only: {env: dev}}, sources: {only: ['git:*']}}
  autoApprove: true
- name: severe
  match: {riskAtLeast: high}
  require: {approvals: 2, group: ops}
- name: losing
  match: {categories: {any: [data-lost, won't-boot]}}
  require: {group: ops, separation: true, seeImpacts: true}
";

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = rules(LADDER);
    assert_eq!(word(&policy, &facts()), "auto dev");
    let mut vault = facts();
    vault
        .labels
        .push(BTreeMap::from([("tier".into(), "vault".into())]));
    assert_eq!(word(&policy, &vault), "denied frozen");
    let severe = PlanFacts {
        risk: Risk::High,
        ..facts()
    };
    assert_eq!(word(&policy, &severe), "people severe 2");
    let losing = PlanFacts {
        risk: Risk::Medium,
        categories: BTreeSet::from([Category::Tight, Category::WontBoot]),
        ..facts()
    };
    assert_eq!(word(&policy, &losing), "people losing 1");
    let plain = PlanFacts {
        risk: Risk::Medium,
        ..facts()
    };
    assert_eq!(word(&policy, &plain), "people - 1");
}

#[test]
fn auto_approval_needs_the_whole_plan_to_match() {
    let policy = rules(LADDER);
    let other = |change: fn(&mut PlanFacts)| {
        let mut facts = facts();
        change(&mut facts);
        word(&policy, &facts)
    };
    assert_eq!(
        other(|f| _ = f.kinds.insert(ObjectKind::Storage)),
        "people - 1"
    );
    assert_eq!(other(|f| _ = f.verbs.insert(Verb::Delete)), "people - 1");
    assert_eq!(other(|f| f.labels.push(BTreeMap::new())), "people - 1");
    assert_eq!(other(|f| f.labels.clear()), "people - 1");
    assert_eq!(
        other(|f| _ = f.sources.insert("agent:claude".into())),
        "people - 1"
    );
    assert_eq!(other(|f| f.sources.clear()), "people - 1");
    assert_eq!(other(|f| _ = f.unknowns.insert("U1".into())), "people - 1");
    assert_eq!(
        other(|f| f.blocked = Some("the fuse of git:infra tripped".into())),
        "denied -"
    );
}

#[test]
fn windows_and_clusters_restrict() {
    let policy = rules(
        "
- name: office
  match: {window: {days: [mon], from: '09:00', to: '17:00', timeZone: UTC}, clusters: [lab]}
  require: {approvals: 1}
- name: night
  match: {outsideWindow: {days: [mon], from: '09:00', to: '17:00', timeZone: UTC}}
  deny: wait for the morning
",
    );
    assert_eq!(word(&policy, &facts()), "people office 1");
    let late = policy.requirement(&facts(), "2026-11-23T20:00:00Z".parse().unwrap());
    assert!(matches!(late, Requirement::Denied { rule: Some(rule), .. } if rule == "night"));
    let elsewhere = PlanFacts {
        cluster: ClusterName::new("prod").unwrap(),
        ..facts()
    };
    assert_eq!(word(&policy, &elsewhere), "people - 1");
}

fn needed(policy: &ApprovalPolicy, facts: &PlanFacts) -> PeopleNeeded {
    match policy.requirement(facts, now()) {
        Requirement::People(needed) => needed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_rules_severe_plans_must_be_seen_and_unknowns_named() {
    let policy = ApprovalPolicy::default();
    let mut facts = PlanFacts {
        impacts: BTreeSet::from(["I1".into(), "I2".into()]),
        ..facts()
    };
    assert!(needed(&policy, &facts).impacts.is_empty());
    facts.risk = Risk::High;
    assert_eq!(needed(&policy, &facts).impacts.len(), 2);
    facts.risk = Risk::Unknown;
    facts.unknowns.insert("U1".into());
    let asked = needed(&policy, &facts);
    assert_eq!(
        (asked.impacts.len(), asked.unknowns.len(), asked.approvals),
        (2, 1, 1)
    );
    assert_eq!(asked.excluded, None);
    assert_eq!(asked.expires_after, SignedDuration::from_mins(30));
}

#[test]
fn separation_is_the_default_for_two() {
    let policy = rules("[{name: two, require: {approvals: 2}}]");
    assert_eq!(needed(&policy, &facts()).excluded, Some(facts().submitter));
    let policy = rules("[{name: two, require: {approvals: 2, separation: false}}]");
    assert_eq!(needed(&policy, &facts()).excluded, None);
    let policy = rules("[{name: one, require: {separation: true}}]");
    assert_eq!(needed(&policy, &facts()).excluded, Some(facts().submitter));
}

#[test]
fn every_mistake_is_named() {
    let policy = rules(
        "
- name: a
- {name: a, autoApprove: true, deny: ''}
- {name: b, autoApprove: true, match: {verbs: {any: [update]}, risk: [high]}}
- {name: c, require: {approvals: 3, group: ops}}
- {name: d, require: {approvals: 0, group: op}}
- {name: e, deny: x, match: {clusters: [labb], sources: {any: [claude]}, kinds: {}, risk: [low], riskAtLeast: low}}
- {name: f, deny: x, match: {window: {from: '9', to: '10:00', timeZone: Berlin}}}
- {name: ' ', deny: x}
",
    );
    let policy = ApprovalPolicy {
        expires_after: SignedDuration::from_secs(5),
        groups: Groups::from([
            ("none".to_owned(), BTreeSet::new()),
            (
                "bots".to_owned(),
                BTreeSet::from(["agent:claude".to_owned()]),
            ),
            ("ops".to_owned(), BTreeSet::from(["alice".to_owned()])),
        ]),
        ..policy
    };
    let clusters = BTreeSet::from([ClusterName::new("lab").unwrap()]);
    let text: Vec<String> = policy
        .mistakes(&clusters)
        .into_iter()
        .map(|mistake| format!("{}: {}", mistake.path, mistake.message))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
    assert_eq!(rules(LADDER).mistakes(&clusters), vec![]);
}

#[test]
fn unknown_words_are_refused() {
    for yaml in [
        "[{name: a, deny: x, match: {verbs: {any: [delte]}}}]",
        "[{name: a, deny: x, match: {kinds: {any: [VM]}}}]",
        "[{name: a, deny: x, match: {categories: {any: [lost]}}}]",
        "[{name: a, deny: x, match: {risk: [severe]}}]",
        "[{name: a, deny: x, match: {verb: {any: [delete]}}}]",
        "[{name: a, deny: x, when: {}}]",
        "[{name: a, require: {nameUnknowns: false}}]",
    ] {
        assert!(serde_saphyr::from_str::<Vec<Rule>>(yaml).is_err(), "{yaml}");
    }
}

#[test]
fn the_version_changes_with_every_part() {
    let base = rules(LADDER);
    let version = base.version().unwrap();
    assert!(version.starts_with("sha256:") && version.len() == 71);
    assert_eq!(rules(LADDER).version().unwrap(), version);
    let mut fewer = base.clone();
    fewer.rules.pop();
    let mut groups = base.clone();
    groups.groups.get_mut("ops").unwrap().insert("carol".into());
    let mut longer = base.clone();
    longer.expires_after = SignedDuration::from_mins(31);
    let mut order = base;
    order.rules.swap(0, 1);
    for changed in [fewer, groups, longer, order] {
        assert_ne!(changed.version().unwrap(), version);
    }
}

fn any_risk() -> impl Strategy<Value = Risk> {
    prop_oneof![
        Just(Risk::None),
        Just(Risk::Low),
        Just(Risk::Medium),
        Just(Risk::High),
        Just(Risk::Unknown)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the rules (also mistaken ones): severe plans need people, and every unknown must be named.
    #[test]
    fn no_rule_lowers_the_floor(
        risk in any_risk(),
        unknowns in prop::collection::btree_set("U[1-9]", 0..3),
        outcomes in prop::collection::vec((any::<bool>(), prop::option::of(0u32..4), prop::option::of(any::<bool>())), 0..4),
    ) {
        let rules = outcomes.into_iter().enumerate().map(|(index, (auto_approve, approvals, see_impacts))| Rule {
            name: format!("r{index}"),
            condition: Condition::default(),
            auto_approve,
            require: approvals.map(|approvals| Require { approvals, see_impacts, ..Require::default() }),
            deny: None,
        });
        let policy = ApprovalPolicy { rules: rules.collect(), ..ApprovalPolicy::default() };
        let facts = PlanFacts { risk, unknowns: unknowns.clone(), ..facts() };
        match policy.requirement(&facts, now()) {
            Requirement::Auto { .. } => prop_assert!(risk < Risk::High && unknowns.is_empty()),
            Requirement::People(needed) => {
                prop_assert!(needed.approvals >= 1);
                prop_assert_eq!(needed.unknowns, unknowns);
            }
            Requirement::Denied { .. } => prop_assert!(false, "no rule denies"),
        }
    }
}
