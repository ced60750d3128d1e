//! What is counted, and how far webhooks were told.

use bailiwick::ids::ClusterName;
use bailiwick::store::{
    ConditionStatus, ConditionType, EventType, KindCount, NewCondition, NewEvent, NewPlan,
    NewSubmission, PlanCount, PlanState, RunCount, RunState, SubmissionState, WebhookState,
};

use crate::Backend;
use crate::suite::{approved, at, commit, lab, plan, ready};

fn drifted(status: ConditionStatus) -> NewCondition {
    NewCondition {
        kind: ConditionType::Drifted,
        status,
        reason: "Drifted".into(),
        message: String::new(),
        observed_generation: 1,
    }
}

pub async fn what_is_kept_is_counted<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    assert_eq!(store.plan_counts().await.unwrap(), []);
    assert_eq!(store.open_run_counts().await.unwrap(), []);
    assert_eq!(store.drift_counts().await.unwrap(), []);
    assert_eq!(store.submission_counts().await.unwrap(), []);

    approved(&store).await;
    let other = ClusterName::new("other").unwrap();
    let mut tx = store.begin().await.unwrap();
    for (hash, cluster, created) in [("bb", lab(), 5), ("cc", lab(), 3), ("dd", other.clone(), 4)] {
        let new = NewPlan {
            cluster,
            created: at(created),
            ..plan(hash)
        };
        tx.insert_plan(&new).await.unwrap();
    }
    let run = tx.start_run("aa", &lab(), at(11)).await.unwrap();
    tx.set_plan_state("aa", PlanState::Approved, PlanState::Running, at(11))
        .await
        .unwrap();
    let condition = |status| [drifted(status)];
    for (object, status) in [
        ("VirtualMachine/a", ConditionStatus::True),
        ("VirtualMachine/b", ConditionStatus::True),
        ("VirtualMachine/c", ConditionStatus::False),
        ("Pool/p", ConditionStatus::True),
        ("Pool/q", ConditionStatus::Unknown),
    ] {
        tx.set_conditions(&lab(), object, &condition(status), at(1))
            .await
            .unwrap();
    }
    for id in ["1", "2"] {
        let new = NewSubmission {
            id: id.into(),
            cluster: lab(),
            source: "agent:ci".into(),
            submitter: "agent:ci".into(),
            recipe: "{}".into(),
            at: at(1),
        };
        tx.add_submission(&new).await.unwrap();
    }
    tx.settle_submission("2", SubmissionState::Refused, None, "no", at(2))
        .await
        .unwrap();
    commit(tx).await;

    let count = |cluster: ClusterName, state, count, since| PlanCount {
        cluster,
        state,
        risk: "low".into(),
        count,
        since: at(since),
    };
    assert_eq!(
        store.plan_counts().await.unwrap(),
        [
            count(lab(), PlanState::Running, 1, 11),
            count(lab(), PlanState::Waiting, 2, 3),
            count(other, PlanState::Waiting, 1, 4),
        ]
    );
    let open = |state| {
        [RunCount {
            cluster: lab(),
            state,
            count: 1,
        }]
    };
    assert_eq!(
        store.open_run_counts().await.unwrap(),
        open(RunState::Running)
    );
    let kinds = [("Pool", 1), ("VirtualMachine", 2)].map(|(kind, count)| KindCount {
        cluster: lab(),
        kind: kind.into(),
        count,
    });
    assert_eq!(store.drift_counts().await.unwrap(), kinds);
    let submissions = [(SubmissionState::Pending, 1), (SubmissionState::Refused, 1)];
    assert_eq!(store.submission_counts().await.unwrap(), submissions);

    // A stopped run counts as long as it can go on.
    let mut tx = store.begin().await.unwrap();
    tx.set_run_state(run, RunState::Stopped, at(12))
        .await
        .unwrap();
    tx.set_plan_state("aa", PlanState::Running, PlanState::Stopped, at(12))
        .await
        .unwrap();
    commit(tx).await;
    assert_eq!(
        store.open_run_counts().await.unwrap(),
        open(RunState::Stopped)
    );
    let mut tx = store.begin().await.unwrap();
    tx.set_plan_state("aa", PlanState::Stopped, PlanState::Superseded, at(13))
        .await
        .unwrap();
    commit(tx).await;
    assert_eq!(store.open_run_counts().await.unwrap(), []);
}

pub async fn a_webhook_begins_at_the_newest_event<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let event = |reason: &str| NewEvent {
        at: at(1),
        cluster: Some(lab()),
        object: "VirtualMachine/web".into(),
        kind: EventType::Normal,
        reason: reason.into(),
        message: "it drifted".into(),
        actor: "system:reconcile".into(),
        plan: None,
        ledger: None,
    };
    assert_eq!(store.webhook("chat").await.unwrap(), None);
    assert_eq!(store.first_event().await.unwrap(), 0);
    let mut tx = store.begin().await.unwrap();
    for reason in ["DriftFound", "DriftFound", "DriftGone"] {
        tx.add_event(&event(reason)).await.unwrap();
    }
    let begun = tx.begin_webhook("chat", at(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((begun.position, begun.attempts, begun.missed), (3, 0, 0));
    assert_eq!(store.first_event().await.unwrap(), 1);
    assert_eq!(store.count_events(0, &["DriftFound"]).await.unwrap(), 2);
    assert_eq!(
        store
            .count_events(1, &["DriftFound", "DriftGone"])
            .await
            .unwrap(),
        2
    );
    assert_eq!(store.count_events(0, &[]).await.unwrap(), 0);

    // Known, it is where it was, whatever happened since.
    let state = WebhookState {
        position: 2,
        missed: 4,
        attempts: 7,
        next: Some(at(9)),
        error: Some("no answer".into()),
        changed: at(3),
        ..begun
    };
    let mut tx = store.begin().await.unwrap();
    tx.put_webhook(&state).await.unwrap();
    tx.add_event(&event("DriftFound")).await.unwrap();
    assert_eq!(tx.begin_webhook("chat", at(4)).await.unwrap(), state);
    tx.commit().await.unwrap();
    assert_eq!(store.webhook("chat").await.unwrap(), Some(state.clone()));
    assert_eq!(store.webhooks().await.unwrap(), [state]);
}
