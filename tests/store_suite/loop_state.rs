//! What the loop keeps: conditions, events, the inbox, sources, suspensions, wishes, and which documents open plans are about.

use bailiwick::store::{
    ConditionStatus, ConditionType, EventFilter, EventType, NewCondition, NewEvent, NewPlan,
    NewSubmission, PlanDocument, PlanState, SourceState, StoreError, SubmissionState, SuspendScope,
    Suspension,
};

use crate::Backend;
use crate::suite::{at, commit, lab, plan, ready};

fn ready_is(status: ConditionStatus, message: &str, generation: u64) -> NewCondition {
    NewCondition {
        kind: ConditionType::Ready,
        status,
        reason: match status {
            ConditionStatus::True => "Applied",
            ConditionStatus::False | ConditionStatus::Unknown => "Drifted",
        }
        .into(),
        message: message.into(),
        observed_generation: generation,
    }
}

pub async fn conditions_keep_their_time_while_their_status_holds<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let object = "VirtualMachine/web";
    let set = async |status, message: &str, generation, seconds| {
        let mut tx = store.begin().await.unwrap();
        let new = [ready_is(status, message, generation)];
        let changed = tx
            .set_conditions(&lab(), object, &new, at(seconds))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        changed
            .into_iter()
            .map(|(before, _)| before)
            .collect::<Vec<_>>()
    };
    use ConditionStatus::{False, True};
    assert_eq!(set(True, "", 1, 1).await, [None]);
    assert_eq!(set(True, "", 1, 2).await, []);
    // Another generation is written down, and is no change to tell of.
    assert_eq!(set(True, "", 2, 3).await, []);
    let now = store.conditions_of(&lab(), object).await.unwrap();
    assert_eq!(
        (now[0].since, now[0].condition.observed_generation),
        (at(1), 2)
    );
    assert_eq!(set(False, "memory", 2, 4).await, [Some(True)]);
    assert_eq!(
        store.conditions_of(&lab(), object).await.unwrap()[0].since,
        at(4)
    );
    for n in 0..60 {
        let status = if n % 2 == 0 { True } else { False };
        assert_eq!(set(status, "", 3, 10 + n).await.len(), 1);
    }
    let history = store.condition_history(&lab(), object).await.unwrap();
    assert_eq!(history.len(), 20, "bounded");
    assert_eq!(history[0].since, at(69), "the newest first");
}

pub async fn events_are_numbered_filtered_and_bounded<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    for n in 0..20_050_i64 {
        let event = NewEvent {
            at: at(n),
            cluster: (n % 2 == 0).then(lab),
            object: format!("vm/{}", n % 3),
            kind: EventType::Normal,
            reason: "Something".into(),
            message: n.to_string(),
            actor: "system:test".into(),
            plan: None,
            ledger: None,
        };
        tx.add_event(&event).await.unwrap();
    }
    // Events prove nothing: they need no record.
    tx.commit().await.unwrap();
    let all = EventFilter::default();
    let kept = store.events(&all, u32::MAX).await.unwrap();
    assert_eq!(kept.len(), 20_000);
    assert_eq!(kept[0].event.message, "50");
    let last = store.last_event().await.unwrap();
    let newest = store.latest_events(&all, 2).await.unwrap();
    assert_eq!(
        newest.iter().map(|event| event.id).collect::<Vec<_>>(),
        [last - 1, last]
    );
    let some = EventFilter {
        after: last - 6,
        cluster: Some(lab()),
        object: Some("vm/0".into()),
        plan: None,
    };
    let found = store.events(&some, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].event.cluster, Some(lab()));
}

pub async fn a_submission_is_kept_once_and_its_fate_written_down<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let new = |id: &str, seconds| NewSubmission {
        id: id.into(),
        cluster: lab(),
        source: "agent:claude".into(),
        submitter: "agent:claude".into(),
        recipe: "{}".into(),
        at: at(seconds),
    };
    let mut tx = store.begin().await.unwrap();
    assert!(tx.add_submission(&new("b", 1)).await.unwrap());
    assert!(!tx.add_submission(&new("b", 2)).await.unwrap());
    assert!(tx.add_submission(&new("a", 3)).await.unwrap());
    tx.commit().await.unwrap();
    let waiting = store.pending_submissions(10).await.unwrap();
    let ids: Vec<&str> = waiting.iter().map(|w| w.submission.id.as_str()).collect();
    assert_eq!(ids, ["b", "a"], "the oldest first");
    let mut tx = store.begin().await.unwrap();
    tx.settle_submission(
        "b",
        SubmissionState::Refused,
        None,
        "no such storage",
        at(9),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let settled = store.submission("b").await.unwrap().unwrap();
    assert_eq!(
        (settled.state, settled.message.as_str()),
        (SubmissionState::Refused, "no such storage")
    );
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.forget_submissions(at(100)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(store.submission("b").await.unwrap(), None);
    assert!(
        store.submission("a").await.unwrap().is_some(),
        "it still waits"
    );
}

pub async fn sources_and_suspensions_are_remembered<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let state = |seen: &str| SourceState {
        source: "git:infra".into(),
        cluster: lab(),
        seen: Some(seen.into()),
        applied: None,
        detail: "{}".into(),
        updated: at(1),
    };
    for seen in ["1", "2"] {
        let mut tx = store.begin().await.unwrap();
        tx.put_source_state(&state(seen)).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(store.source_states().await.unwrap(), [state("2")]);
    let suspension = Suspension {
        scope: SuspendScope::Cluster,
        name: "lab".into(),
        reason: "moving house".into(),
        who: "person:anna".into(),
        since: at(1),
    };
    let mut tx = store.begin().await.unwrap();
    tx.suspend(&suspension).await.unwrap();
    let unrecorded = tx.commit().await;
    assert!(matches!(unrecorded, Err(StoreError::Unrecorded { .. })));
    let mut tx = store.begin().await.unwrap();
    tx.suspend(&suspension).await.unwrap();
    commit(tx).await;
    assert_eq!(store.suspensions().await.unwrap(), [suspension]);
    let mut tx = store.begin().await.unwrap();
    assert!(!tx.resume(SuspendScope::Source, "lab").await.unwrap());
    assert!(tx.resume(SuspendScope::Cluster, "lab").await.unwrap());
    commit(tx).await;
    assert_eq!(store.suspensions().await.unwrap(), []);
}

pub async fn wishes_are_taken_once<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    let wish = tx
        .add_trigger(Some(&lab()), None, "person:anna", at(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.open_triggers().await.unwrap().len(), 1);
    let mut tx = store.begin().await.unwrap();
    tx.trigger_done(wish, "", at(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.open_triggers().await.unwrap(), []);
    assert_eq!(
        store.trigger(wish).await.unwrap().unwrap().done,
        Some(at(2))
    );
}

pub async fn the_documents_of_open_plans_are_known<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let about = |hash: &str, key: &str| NewPlan {
        documents: vec![PlanDocument {
            key: key.into(),
            source: "agent:claude".into(),
            object: "vm/104".into(),
        }],
        ..plan(hash)
    };
    let mut tx = store.begin().await.unwrap();
    tx.insert_plan(&about("sha256:1", "VirtualMachine/web"))
        .await
        .unwrap();
    tx.insert_plan(&about("sha256:2", "VirtualMachine/db"))
        .await
        .unwrap();
    tx.set_plan_state("sha256:2", PlanState::Waiting, PlanState::Withdrawn, at(9))
        .await
        .unwrap();
    commit(tx).await;
    let open = store.active_documents(&lab(), None).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].document.key, "VirtualMachine/web");
    let none = store
        .active_documents(&lab(), Some("VirtualMachine/db"))
        .await
        .unwrap();
    assert_eq!(none, []);
}
