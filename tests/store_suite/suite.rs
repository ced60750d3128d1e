//! What every backend of the store must do: transactions, records, locks; and the material all cases use.

use bailiwick::ids::ClusterName;
use bailiwick::ledger::{
    Action, AppendError, Checkpoints, Detail, Draft, Key, Keys, LedgerId, verify_reader,
};
use bailiwick::store::{
    ApprovalId, Decision, NewApproval, NewDocument, NewPlan, PlanState, RecordFilter, Store,
    StoreError, Transaction,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::Backend;

pub fn key() -> Key {
    Key::from_bytes(&[1; 32])
}

pub fn at(seconds: i64) -> Timestamp {
    "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub fn lab() -> ClusterName {
    ClusterName::new("lab").unwrap()
}

pub fn draft(n: i64) -> Draft {
    Draft {
        at: at(n),
        actor: "operator:anna".into(),
        action: Action::StepOutcome,
        subject: format!("vm/{n}"),
        plan: (n % 2 == 0).then(|| "even".to_owned()),
        detail: Detail::new(json!({ "n": n })).unwrap(),
    }
}

/// Gives the store a ledger of so many records, one transaction each.
pub async fn with_records(store: &Store, records: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.create_ledger(LedgerId::from_bytes([7; 16]), &key(), at(0), "system")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for n in 2..=records {
        let mut tx = store.begin().await.unwrap();
        tx.record(draft(n), &key()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub async fn ready<B: Backend>() -> (B, Store) {
    let backend = B::fresh().await;
    let store = backend.open().await;
    with_records(&store, 1).await;
    (backend, store)
}

pub async fn commit(mut tx: Transaction) {
    tx.record(draft(2), &key()).await.unwrap();
    tx.commit().await.unwrap();
}

pub fn document(name: &str, hash: &str) -> NewDocument {
    NewDocument {
        cluster: lab(),
        kind: "VirtualMachine".into(),
        name: name.into(),
        source: "operator:anna".into(),
        text: format!("kind: VirtualMachine # {hash}\n"),
        json: json!({ "hash": hash }).to_string(),
        hash: hash.into(),
    }
}

pub fn plan(hash: &str) -> NewPlan {
    NewPlan {
        hash: hash.into(),
        cluster: lab(),
        risk: "low".into(),
        origin: "{}".into(),
        submitter: "agent:ci".into(),
        created: at(1),
        json: json!({ "of": hash }).to_string(),
        rendered: None,
        documents: Vec::new(),
    }
}

pub fn approval(plan: &str) -> NewApproval {
    NewApproval {
        plan: plan.into(),
        principal: "anna".into(),
        decision: Decision::Approve,
        method: "ssh".into(),
        reason: Some("looked at it".into()),
        json: "{}".to_owned(),
        spends: None,
        signature: Some("signature".into()),
        at: at(10),
        expires: Some(at(100)),
    }
}

pub async fn approved(store: &Store) -> ApprovalId {
    let mut tx = store.begin().await.unwrap();
    tx.insert_plan(&plan("aa")).await.unwrap();
    tx.set_plan_state("aa", PlanState::Waiting, PlanState::Approved, at(10))
        .await
        .unwrap();
    let id = tx.add_approval(&approval("aa")).await.unwrap();
    commit(tx).await;
    id
}

pub async fn a_change_and_its_record_commit_together_or_not_at_all<B: Backend>() {
    let (backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    tx.put_document(&document("web", "1"), at(1)).await.unwrap();
    tx.record(draft(2), &key()).await.unwrap();
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    tx.put_document(&document("web", "1"), at(1)).await.unwrap();
    tx.record(draft(2), &key()).await.unwrap();
    tx.rollback().await.unwrap();
    // Nothing of either, in this handle or another.
    for store in [&store, &backend.open().await] {
        assert!(store.documents(&lab()).await.unwrap().is_empty());
        assert_eq!(store.ledger_head().await.unwrap().unwrap().seq, 1);
    }
    // A record that cannot be written leaves no change.
    let mut tx = store.begin().await.unwrap();
    tx.put_document(&document("web", "1"), at(1)).await.unwrap();
    let wrong = Key::from_bytes(&[9; 32]);
    let error = tx.record(draft(2), &wrong).await.expect_err("wrong key");
    assert!(matches!(
        error,
        StoreError::Append(AppendError::OtherKey { .. })
    ));
    assert!(tx.commit().await.is_err());
    assert!(store.documents(&lab()).await.unwrap().is_empty());
    // Both.
    let mut tx = store.begin().await.unwrap();
    tx.put_document(&document("web", "1"), at(1)).await.unwrap();
    commit(tx).await;
    let other = backend.open().await;
    assert_eq!(other.documents(&lab()).await.unwrap().len(), 1);
    assert_eq!(other.ledger_head().await.unwrap().unwrap().seq, 2);
}

pub async fn a_change_without_a_record_is_refused<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    tx.insert_plan(&plan("aa")).await.unwrap();
    let error = tx.commit().await.expect_err("no record");
    assert!(
        error
            .to_string()
            .contains("a plan was stored without a ledger record"),
        "{error}"
    );
    assert!(store.plan("aa").await.unwrap().is_none());
    // Nothing changed: nothing to record.
    store.begin().await.unwrap().commit().await.unwrap();
}

pub async fn the_ledger_begins_once_and_under_its_key<B: Backend>() {
    let backend = B::fresh().await;
    let store = backend.open().await;
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(
        tx.record(draft(2), &key()).await,
        Err(StoreError::NoLedger)
    ));
    drop(tx);
    with_records(&store, 1).await;
    let mut tx = store.begin().await.unwrap();
    let again = tx
        .create_ledger(LedgerId::from_bytes([8; 16]), &key(), at(0), "system")
        .await;
    assert!(matches!(again, Err(StoreError::LedgerExists(_))));
}

pub async fn keys_are_handed_over<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let new = Key::from_bytes(&[2; 32]);
    let mut tx = store.begin().await.unwrap();
    tx.rotate_key(&key(), &new, at(5), "operator:anna", "yearly")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert!(tx.record(draft(3), &key()).await.is_err());
    tx.record(draft(3), &new).await.unwrap();
    tx.commit().await.unwrap();
    let keys: Keys = [key(), new].into_iter().collect();
    let verified = store
        .verify_ledger(&keys, &Checkpoints::none())
        .await
        .unwrap();
    assert_eq!((verified.records, verified.rotations), (3, 1));
}

pub async fn an_export_verifies_and_records_are_found<B: Backend>() {
    let backend = B::fresh().await;
    let store = backend.open().await;
    with_records(&store, 1).await;
    let mut tx = store.begin().await.unwrap();
    for n in 2..=2500 {
        tx.record(draft(n), &key()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut export = Vec::new();
    store.export_ledger(&mut export).await.unwrap();
    let keys = Keys::from(key());
    let verified = verify_reader(export.as_slice(), &keys, &Checkpoints::none()).unwrap();
    assert_eq!(Some(verified.head), store.ledger_head().await.unwrap());
    assert_eq!(verified.records, 2500);
    assert_eq!(
        verified,
        store
            .verify_ledger(&keys, &Checkpoints::none())
            .await
            .unwrap()
    );

    let record = store.ledger_record(77).await.unwrap().unwrap();
    assert_eq!(record.subject, "vm/77");
    assert!(store.ledger_record(2501).await.unwrap().is_none());
    let find = |plan: Option<&str>, subject: Option<&str>, after| RecordFilter {
        plan: plan.map(str::to_owned),
        subject: subject.map(str::to_owned),
        after,
    };
    for (filter, expected) in [
        (find(None, None, 2498), vec![2499, 2500]),
        (
            find(Some("even"), None, 2490),
            vec![2492, 2494, 2496, 2498, 2500],
        ),
        (find(None, Some("vm/9"), 0), vec![9]),
        (find(Some("even"), Some("vm/9"), 0), vec![]),
    ] {
        let found = store.ledger_records(&filter, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|record| record.seq).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub async fn concurrent_writers_lose_nothing<B: Backend>() {
    let (backend, store) = ready::<B>().await;
    let mut tasks = Vec::new();
    for handle in handles(&backend, 4).await {
        tasks.push(tokio::spawn(async move {
            for n in 0..25 {
                let mut tx = handle.begin().await.unwrap();
                tx.record(draft(n), &key()).await.unwrap();
                tx.commit().await.unwrap();
                // Readers are not in the way.
                handle.ledger_head().await.unwrap().unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let keys = Keys::from(key());
    let verified = store
        .verify_ledger(&keys, &Checkpoints::none())
        .await
        .unwrap();
    assert_eq!(verified.records, 101);
}

pub async fn runs_are_locked_per_cluster<B: Backend>() {
    let (backend, store) = ready::<B>().await;
    let other_handle = backend.open().await;
    let lock = store.lock_runs(&lab()).unwrap();
    assert_eq!(lock.cluster(), &lab());
    assert!(matches!(
        other_handle.lock_runs(&lab()),
        Err(StoreError::Locked { .. })
    ));
    assert!(matches!(
        store.lock_runs(&lab()),
        Err(StoreError::Locked { .. })
    ));
    other_handle
        .lock_runs(&ClusterName::new("other").unwrap())
        .unwrap();
    drop(lock);
    other_handle.lock_runs(&lab()).unwrap();
}

pub async fn handles<B: Backend>(backend: &B, handles: usize) -> Vec<Store> {
    let mut all = Vec::new();
    for _ in 0..handles {
        all.push(backend.open().await);
    }
    all
}
