//! What every backend must do with the agents' tokens, pages of plans, and submissions that come again.

use bailiwick::store::{
    NewSubmission, NewToken, PlanFilter, PlanPlace, PlanState, SubmissionState, TokenHash,
};

use crate::Backend;
use crate::suite::{at, commit, lab, plan, ready};

fn token(id: &str, agent: &str) -> NewToken {
    NewToken {
        id: id.into(),
        agent: agent.into(),
        hash: TokenHash([id.len() as u8; 32]),
        created: at(1),
        created_by: "person:anna".into(),
        expires: (agent == "brief").then(|| at(100)),
    }
}

pub async fn tokens_are_kept_used_and_taken_away<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    for new in [
        token("a", "scout"),
        token("bb", "scout"),
        token("ccc", "brief"),
    ] {
        tx.add_token(&new).await.unwrap();
    }
    assert!(tx.add_token(&token("a", "other")).await.is_err());
    commit(tx).await;
    let kept = store.token("bb").await.unwrap().unwrap();
    assert!(kept.token.hash.same(&TokenHash([2; 32])) && kept.good(at(1_000_000)));
    assert!(store.token("b").await.unwrap().is_none());
    let brief = store.token("ccc").await.unwrap().unwrap();
    assert!(brief.good(at(99)) && !brief.good(at(100)));
    // Giving or taking one is refused without a record; that one was used needs none.
    let mut tx = store.begin().await.unwrap();
    tx.token_used("a", at(5)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.token("a").await.unwrap().unwrap().used, Some(at(5)));
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.revoke_tokens("scout", "person:ben", at(9))
            .await
            .unwrap()
            .len(),
        2
    );
    assert!(tx.commit().await.is_err());
    let mut tx = store.begin().await.unwrap();
    tx.revoke_tokens("scout", "person:ben", at(9))
        .await
        .unwrap();
    assert!(
        tx.revoke_tokens("scout", "person:ben", at(9))
            .await
            .unwrap()
            .is_empty()
    );
    commit(tx).await;
    let tokens = store.tokens().await.unwrap();
    let states: Vec<(&str, bool)> = tokens
        .iter()
        .map(|t| (t.token.id.as_str(), t.revoked.is_some()))
        .collect();
    assert_eq!(states, [("ccc", false), ("a", true), ("bb", true)]);
}

pub async fn pages_of_plans_follow_on_each_other<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let mut tx = store.begin().await.unwrap();
    for n in 0..7_i64 {
        let mut new = plan(&format!("p{n}"));
        // Two of each time.
        new.created = at(n / 2);
        new.submitter = if n == 3 {
            "agent:other".into()
        } else {
            "agent:ci".into()
        };
        tx.insert_plan(&new).await.unwrap();
    }
    tx.set_plan_state("p1", PlanState::Waiting, PlanState::Withdrawn, at(9))
        .await
        .unwrap();
    commit(tx).await;
    let filter = PlanFilter {
        cluster: Some(lab()),
        ..PlanFilter::default()
    };
    let mut seen: Vec<String> = Vec::new();
    let mut after: Option<PlanPlace> = None;
    loop {
        let page = store.plan_page(&filter, after.as_ref(), 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(PlanPlace {
            created: last.created,
            hash: last.hash.clone(),
        });
        seen.extend(page.into_iter().map(|head| head.hash));
    }
    assert_eq!(seen, ["p6", "p4", "p5", "p2", "p3", "p0", "p1"]);
    assert_eq!(store.count_plans(&filter).await.unwrap(), 7);
    let of = |state, submitter: Option<&str>| PlanFilter {
        state,
        submitter: submitter.map(str::to_owned),
        ..PlanFilter::default()
    };
    assert_eq!(
        store
            .count_plans(&of(Some(PlanState::Withdrawn), None))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .count_plans(&of(None, Some("agent:other")))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .plan_page(&of(None, Some("agent:other")), None, 9)
            .await
            .unwrap()[0]
            .hash,
        "p3"
    );
    assert_eq!(
        store.plan_head("p1").await.unwrap().unwrap().state,
        PlanState::Withdrawn
    );
    assert!(store.plan_head("p").await.unwrap().is_none());
}

pub async fn a_submission_waits_once_and_can_come_again<B: Backend>() {
    let (_backend, store) = ready::<B>().await;
    let new = |seconds: i64| NewSubmission {
        id: "sub_1".into(),
        cluster: lab(),
        source: "agent:ci".into(),
        submitter: "agent:ci".into(),
        recipe: "{}".into(),
        at: at(seconds),
    };
    let mut tx = store.begin().await.unwrap();
    assert!(tx.add_submission(&new(1)).await.unwrap());
    assert!(!tx.add_submission(&new(2)).await.unwrap());
    assert!(!tx.reopen_submission(&new(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(store.count_pending("agent:ci").await.unwrap(), 1);
    assert_eq!(store.count_pending("agent:other").await.unwrap(), 0);
    let mut tx = store.begin().await.unwrap();
    tx.settle_submission("sub_1", SubmissionState::Planned, Some("p"), "", at(3))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.count_pending("agent:ci").await.unwrap(), 0);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.reopen_submission(&new(4)).await.unwrap());
    tx.commit().await.unwrap();
    let kept = store.submission("sub_1").await.unwrap().unwrap();
    assert_eq!(
        (kept.state, kept.plan, kept.submission.at),
        (SubmissionState::Pending, None, at(4))
    );
}
