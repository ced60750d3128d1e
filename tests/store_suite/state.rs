//! What every backend must do with each kind of state.

use bailiwick::ids::ClusterName;
use bailiwick::store::{
    ApprovalId, Decision, FreezeScope, NewApproval, NewDocument, NewFreeze, NewPlan, NotUsable,
    Owned, PlanDocument, PlanInserted, PlanState, Put, RunState, StepOutcome, StepRef, StepState,
    StoreError,
};
use jiff::Timestamp;

use crate::Backend;
use crate::suite::{approval, approved, at, commit, document, handles, lab, plan, ready};

pub async fn documents_have_generations_and_a_history<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    let put = |hash: &'static str| document("web", hash);
    assert_eq!(
        tx.put_document(&put("1"), at(1)).await.unwrap(),
        Put::Created { generation: 1 }
    );
    assert_eq!(
        tx.put_document(&put("1"), at(2)).await.unwrap(),
        Put::Unchanged { generation: 1 }
    );
    assert_eq!(
        tx.put_document(&put("2"), at(3)).await.unwrap(),
        Put::Changed { generation: 2 }
    );
    let foreign = NewDocument {
        source: "git:infra".into(),
        ..put("3")
    };
    let error = tx.put_document(&foreign, at(4)).await.expect_err("owned");
    assert!(matches!(error, StoreError::OtherSource { ref owner, .. } if owner == "operator:anna"));
    let removed = tx
        .remove_document(&lab(), "VirtualMachine", "web", at(5))
        .await
        .unwrap();
    assert_eq!(removed.document.hash, "2");
    assert!(
        tx.remove_document(&lab(), "VirtualMachine", "web", at(5))
            .await
            .is_err()
    );
    assert_eq!(
        tx.put_document(&foreign, at(6)).await.unwrap(),
        Put::Created { generation: 4 }
    );
    commit(tx).await;

    let now = store
        .document(&lab(), "VirtualMachine", "web")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (now.generation, now.updated, &now.document),
        (4, at(6), &foreign)
    );
    let history = store
        .document_history(&lab(), "VirtualMachine", "web")
        .await
        .unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|v| {
            (
                v.version.generation,
                v.version.document.hash.as_str(),
                v.removed,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "1", false),
            (2, "2", false),
            (3, "2", true),
            (4, "3", false)
        ]
    );
    let elsewhere = ClusterName::new("other").unwrap();
    assert!(store.documents(&elsewhere).await.unwrap().is_empty());
}

pub async fn an_object_has_one_owner<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let owned = Owned {
        cluster: lab(),
        object: "vm/104".into(),
        source: "git:infra".into(),
        identity: "{\"uuid\":\"1\"}".into(),
        last_applied: "{\"memory\":2048}".into(),
        updated: at(1),
    };
    let mut tx = store.begin().await.unwrap();
    tx.own(&owned).await.unwrap();
    let more = Owned {
        last_applied: "{\"memory\":4096}".into(),
        updated: at(2),
        ..owned.clone()
    };
    tx.own(&more).await.unwrap();
    let other = Owned {
        source: "agent:ci".into(),
        ..owned.clone()
    };
    assert!(matches!(
        tx.own(&other).await,
        Err(StoreError::OtherSource { .. })
    ));
    commit(tx).await;
    assert_eq!(store.owner(&lab(), "vm/104").await.unwrap(), Some(more));
    let mut tx = store.begin().await.unwrap();
    assert!(tx.disown(&lab(), "vm/104").await.unwrap());
    assert!(!tx.disown(&lab(), "vm/104").await.unwrap());
    tx.own(&other).await.unwrap();
    commit(tx).await;
    assert_eq!(store.owned(&lab()).await.unwrap(), [other]);
    // What is not JSON is not stored.
    let mut tx = store.begin().await.unwrap();
    let broken = Owned {
        object: "vm/105".into(),
        identity: "{".into(),
        ..owned
    };
    assert!(tx.own(&broken).await.is_err());
}

pub async fn plans_go_only_where_they_may<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let about = NewPlan {
        documents: vec![PlanDocument {
            key: "VirtualMachine/web-7".into(),
            source: "agent:ci".into(),
            object: "vm/104".into(),
        }],
        ..plan("aa")
    };
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.insert_plan(&about).await.unwrap(), PlanInserted::New);
    assert_eq!(
        tx.insert_plan(&plan("aa")).await.unwrap(),
        PlanInserted::Known(PlanState::Waiting)
    );
    let forged = NewPlan {
        json: "{}".into(),
        ..plan("aa")
    };
    assert!(matches!(
        tx.insert_plan(&forged).await,
        Err(StoreError::PlanDiffers { .. })
    ));
    // Not straight from waiting to running, and not from a state it is not in.
    let hop = tx
        .set_plan_state("aa", PlanState::Waiting, PlanState::Running, at(2))
        .await;
    assert!(matches!(hop, Err(StoreError::PlanState { .. })));
    let stale = tx
        .set_plan_state("aa", PlanState::Approved, PlanState::Running, at(2))
        .await;
    assert!(
        matches!(
            stale,
            Err(StoreError::PlanState {
                actual: PlanState::Waiting,
                ..
            })
        ),
        "{stale:?}"
    );
    for (from, to) in [
        (PlanState::Waiting, PlanState::Approved),
        (PlanState::Approved, PlanState::Running),
        (PlanState::Running, PlanState::Stopped),
        (PlanState::Stopped, PlanState::Running),
        (PlanState::Running, PlanState::Applied),
    ] {
        tx.set_plan_state("aa", from, to, at(3)).await.unwrap();
    }
    for next in PlanState::ALL {
        assert!(!PlanState::Applied.may_become(*next));
    }
    assert!(tx.set_parent(&lab(), "unknown", at(4)).await.is_err());
    tx.set_parent(&lab(), "aa", at(4)).await.unwrap();
    commit(tx).await;
    assert_eq!(store.parent(&lab()).await.unwrap().unwrap().plan, "aa");
    let of = async |key: &str| {
        let keys = [key.to_owned(), "Pool/none".to_owned()];
        let parent = store.parent_of_documents(&lab(), &keys).await.unwrap();
        parent.map(|parent| parent.plan)
    };
    assert_eq!(of("VirtualMachine/web-7").await.as_deref(), Some("aa"));
    assert_eq!(of("Pool/other").await, None);
    let heads = store
        .plans(Some(&lab()), Some(PlanState::Applied), 10)
        .await
        .unwrap();
    assert_eq!(heads.len(), 1);
    assert_eq!(heads[0].changed, at(3));
    assert!(
        store
            .plans(None, Some(PlanState::Waiting), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn plans_are_found_by_prefix<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    for hash in ["ab12", "ab34", "cd", "cdef"] {
        tx.insert_plan(&plan(hash)).await.unwrap();
    }
    commit(tx).await;
    assert_eq!(store.find_plan("ab1").await.unwrap().head.hash, "ab12");
    assert_eq!(store.find_plan("cd").await.unwrap().head.hash, "cd");
    assert_eq!(store.find_plan("cde").await.unwrap().head.hash, "cdef");
    let error = store.find_plan("ab").await.expect_err("two");
    assert_eq!(
        error.to_string(),
        "`ab` fits several plans: ab12, ab34; write more of the hash"
    );
    assert_eq!(
        store.find_plan("ff").await.expect_err("none").to_string(),
        "there is no plan `ff`"
    );
    assert!(store.find_plan("%").await.is_err());
}

pub async fn a_reopened_plan_needs_a_new_approval<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let id = approved(&store).await;
    let mut tx = store.begin().await.unwrap();
    tx.set_plan_state("aa", PlanState::Approved, PlanState::Superseded, at(20))
        .await
        .unwrap();
    let again = NewPlan {
        created: at(21),
        ..plan("aa")
    };
    assert_eq!(
        tx.insert_plan(&again).await.unwrap(),
        PlanInserted::Reopened {
            from: PlanState::Superseded
        }
    );
    let error = tx.consume(id, "aa", at(30)).await.expect_err("voided");
    assert!(
        matches!(error, StoreError::Approval { why: NotUsable::Voided(when), .. } if when == at(21)),
        "{error}"
    );
}

pub async fn an_approval_is_used_once<B: Backend>() {
    let (backend, store) = ready::<B>().await;
    let id = approved(&store).await;
    let mut tx = store.begin().await.unwrap();
    tx.consume(id, "aa", at(50)).await.unwrap();
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    tx.consume(id, "aa", at(51)).await.unwrap();
    assert!(tx.consume(id, "aa", at(52)).await.is_err());
    commit(tx).await;
    // And after a restart.
    store.close().await;
    let store = backend.open().await;
    let mut tx = store.begin().await.unwrap();
    let error = tx.consume(id, "aa", at(53)).await.expect_err("used");
    assert!(
        matches!(error, StoreError::Approval { why: NotUsable::Used(when), .. } if when == at(51)),
        "{error}"
    );
    drop(tx);
    let stored = store.approvals("aa").await.unwrap();
    assert_eq!(stored[0].approval, approval("aa"));
    assert_eq!(stored[0].used, Some(at(51)));
    assert_eq!(store.signature_seen("signature").await.unwrap(), Some(id));
    assert_eq!(store.signature_seen("another").await.unwrap(), None);
}

pub async fn an_approval_that_does_not_count_says_why<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let id = approved(&store).await;
    let mut tx = store.begin().await.unwrap();
    let no = NewApproval {
        decision: Decision::Reject,
        ..approval("aa")
    };
    let no = tx.add_approval(&no).await.unwrap();
    assert!(tx.add_approval(&approval("unknown")).await.is_err());
    for (id, plan, now, why) in [
        (ApprovalId(999), "aa", 50, NotUsable::Unknown),
        (id, "bb", 50, NotUsable::OtherPlan("aa".into())),
        (no, "aa", 50, NotUsable::Rejection),
        (id, "aa", 100, NotUsable::Expired(at(100))),
        (id, "aa", 9, NotUsable::NotYet(at(10))),
    ] {
        match tx.consume(id, plan, at(now)).await {
            Err(StoreError::Approval { why: said, .. }) => assert_eq!(said, why),
            other => panic!("{other:?}"),
        }
    }
    tx.consume(id, "aa", at(99)).await.unwrap();
}

pub async fn two_handles_use_an_approval_once<B: Backend>() {
    let (backend, store) = ready::<B>().await;
    let id = approved(&store).await;
    let attempts: Vec<_> = handles(&backend, 6).await;
    let tasks: Vec<_> = attempts
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                match tx.consume(id, "aa", at(50)).await {
                    Ok(_) => {
                        commit(tx).await;
                        true
                    }
                    Err(_) => false,
                }
            })
        })
        .collect();
    let mut used = 0;
    for task in tasks {
        used += u32::from(task.await.unwrap());
    }
    assert_eq!(used, 1);
}

pub async fn one_run_per_cluster<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    approved(&store).await;
    let other = ClusterName::new("other").unwrap();
    let mut tx = store.begin().await.unwrap();
    let run = tx.start_run("aa", &lab(), at(1)).await.unwrap();
    assert!(matches!(
        tx.start_run("aa", &lab(), at(2)).await,
        Err(StoreError::RunUnderWay { .. })
    ));
    tx.start_run("aa", &other, at(2)).await.unwrap();
    assert!(
        tx.start_run("unknown", &ClusterName::new("x").unwrap(), at(2))
            .await
            .is_err()
    );
    tx.set_run_state(run, RunState::Stopped, at(3))
        .await
        .unwrap();
    let second = tx.start_run("aa", &lab(), at(4)).await.unwrap();
    // The first cannot be taken up while the second runs.
    assert!(matches!(
        tx.set_run_state(run, RunState::Running, at(5)).await,
        Err(StoreError::RunUnderWay { .. })
    ));
    tx.set_run_state(second, RunState::Ok, at(6)).await.unwrap();
    assert!(matches!(
        tx.set_run_state(second, RunState::Failed, at(7)).await,
        Err(StoreError::RunState { .. })
    ));
    tx.set_run_state(run, RunState::Running, at(8))
        .await
        .unwrap();
    commit(tx).await;
    let unfinished = store.unfinished_runs().await.unwrap();
    assert_eq!(unfinished.len(), 2);
    assert_eq!((unfinished[0].id, unfinished[0].ended), (run, None));
    assert_eq!(
        store.runs(Some(&lab()), None, 10).await.unwrap()[0].ended,
        Some(at(6))
    );
}

pub async fn steps_are_written_ahead_and_never_twice<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    approved(&store).await;
    let mut tx = store.begin().await.unwrap();
    let run = tx.start_run("aa", &lab(), at(1)).await.unwrap();
    commit(tx).await;
    let step = StepRef {
        run,
        step: 0,
        call: 0,
    };
    let mut tx = store.begin().await.unwrap();
    assert!(tx.step_sent(step, None, at(2)).await.is_err());
    assert!(
        tx.step_done(step, StepOutcome::Ok, None, at(2))
            .await
            .is_err()
    );
    tx.step_intent(step, "{\"verb\":\"PUT\"}", at(2))
        .await
        .unwrap();
    assert!(tx.step_intent(step, "{}", at(3)).await.is_err());
    commit(tx).await;
    // The UPID alone needs no record.
    let mut tx = store.begin().await.unwrap();
    tx.step_sent(step, Some("UPID:pve1:1"), at(4))
        .await
        .unwrap();
    assert!(tx.step_sent(step, None, at(4)).await.is_err());
    tx.commit().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    tx.step_done(step, StepOutcome::Undetermined, None, at(5))
        .await
        .unwrap();
    assert!(
        tx.step_intent(step, "{}", at(6)).await.is_err(),
        "never again while nobody knows"
    );
    tx.step_done(
        step,
        StepOutcome::Failed,
        Some("{\"why\":\"locked\"}"),
        at(7),
    )
    .await
    .unwrap();
    assert!(
        tx.step_done(step, StepOutcome::Ok, None, at(8))
            .await
            .is_err()
    );
    tx.step_intent(step, "{\"again\":1}", at(9)).await.unwrap();
    tx.step_sent(step, Some("UPID:pve1:2"), at(10))
        .await
        .unwrap();
    tx.step_done(step, StepOutcome::Ok, Some("{\"before\":1}"), at(11))
        .await
        .unwrap();
    assert!(tx.step_intent(step, "{}", at(12)).await.is_err());
    let next = StepRef { call: 1, ..step };
    tx.step_intent(next, "{}", at(12)).await.unwrap();
    commit(tx).await;

    let steps = store.run_steps(run).await.unwrap();
    assert_eq!(steps.len(), 2);
    let first = &steps[0];
    assert_eq!((first.state, first.attempts), (StepState::Done, 2));
    assert_eq!(first.upid.as_deref(), Some("UPID:pve1:2"));
    assert_eq!(first.outcome, Some(StepOutcome::Ok));
    assert_eq!(first.detail.as_deref(), Some("{\"before\":1}"));
    assert_eq!(
        (first.intended, first.sent, first.done),
        (at(9), Some(at(10)), Some(at(11)))
    );
    assert_eq!(steps[1].state, StepState::Intent);
    let orphan = StepRef {
        run: bailiwick::store::RunId(999),
        ..step
    };
    assert!(
        store
            .begin()
            .await
            .unwrap()
            .step_intent(orphan, "{}", at(1))
            .await
            .is_err()
    );
}

pub async fn freezes_hold_until_lifted_or_over<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let freeze = |scope, until| NewFreeze {
        scope,
        reason: "audit".into(),
        who: "anna".into(),
        since: at(0),
        until,
    };
    let kind = FreezeScope::Kind("Storage".into());
    let cluster = FreezeScope::Cluster(lab());
    let mut tx = store.begin().await.unwrap();
    tx.freeze(&freeze(FreezeScope::Global, Some(at(10))))
        .await
        .unwrap();
    tx.freeze(&freeze(kind.clone(), None)).await.unwrap();
    tx.freeze(&freeze(cluster.clone(), None)).await.unwrap();
    commit(tx).await;
    let scopes = |all: Vec<bailiwick::store::Freeze>| -> Vec<FreezeScope> {
        all.into_iter().map(|freeze| freeze.freeze.scope).collect()
    };
    assert_eq!(
        scopes(store.active_freezes(at(9)).await.unwrap()),
        [FreezeScope::Global, kind.clone(), cluster.clone()]
    );
    assert_eq!(
        scopes(store.active_freezes(at(10)).await.unwrap()),
        [kind.clone(), cluster.clone()]
    );
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.thaw(&cluster, "ben", at(20)).await.unwrap().len(), 1);
    assert!(tx.thaw(&cluster, "ben", at(20)).await.unwrap().is_empty());
    commit(tx).await;
    assert_eq!(
        scopes(store.active_freezes(at(21)).await.unwrap()),
        std::slice::from_ref(&kind)
    );
    assert!(kind.covers(&lab(), "Storage") && !kind.covers(&lab(), "Pool"));
    assert!(cluster.covers(&lab(), "Pool"));
    assert!(!cluster.covers(&ClusterName::new("other").unwrap(), "Pool"));
}

pub async fn times_keep_their_nanoseconds<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let when: Timestamp = "2026-03-01T12:00:00.123456789Z".parse().unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.insert_plan(&NewPlan {
        created: when,
        ..plan("aa")
    })
    .await
    .unwrap();
    commit(tx).await;
    assert_eq!(store.plan("aa").await.unwrap().unwrap().head.created, when);
}
