//! Settling a cluster after something changed: which documents drifted, which plans that means, and what is true of each document
//! now (its conditions).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::drift::{drift_recipe, mode, read_stored};
use super::error::ServiceError;
use super::open::Service;
use super::planning::Made;
use super::status::{Covered, Seen, conditions};
use super::submit::Planned;
use super::suspend::object_name;
use crate::configuration::Cluster;
use crate::configuration::serving::DriftMode;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::plan::{Origin, PlanHash};
use crate::store::{
    ActiveDocument, ConditionStatus, ConditionType, Document, EventType, NewEvent, PlanState,
    SuspendScope,
};
use crate::world::World;

/// The part of Bailiwick that plans against drift.
const SETTLER: &str = "system:reconcile";

/// How often a plan against drift is tried again without the documents that cannot be planned.
const TRIES: usize = 5;

/// What settling a cluster came to.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many documents drifted, by kind; kinds without drift too.
    pub drifted: BTreeMap<String, usize>,
    /// The plans that were proposed against drift and for cleaning up, or stood already.
    pub proposed: Vec<Planned>,
    /// How many documents there are.
    pub documents: usize,
}

/// How long a comparison is good while nothing that it was made from changes.
const GOOD_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// A comparison of documents with a world.
#[derive(Debug, Clone)]
struct Looked {
    world: Arc<World>,
    hashes: Vec<(String, String)>,
    at: jiff::Timestamp,
    seen: BTreeMap<String, Seen>,
}

/// The last comparison of each cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    kept: Arc<Mutex<BTreeMap<ClusterName, Looked>>>,
}

impl Looks {
    fn known(
        &self,
        cluster: &ClusterName,
        world: &Arc<World>,
        hashes: &[(String, String)],
        now: jiff::Timestamp,
    ) -> Option<BTreeMap<String, Seen>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(cluster)
            .filter(|looked| {
                Arc::ptr_eq(&looked.world, world)
                    && looked.hashes == hashes
                    && now.duration_since(looked.at) < GOOD_FOR
            })
            .map(|looked| looked.seen.clone())
    }

    fn keep(&self, cluster: &ClusterName, looked: Looked) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(cluster.clone(), looked);
    }
}

/// What a look for drift found.
#[derive(Default)]
struct Look {
    /// What was found of each document that was looked at.
    seen: BTreeMap<String, Seen>,
}

impl Service {
    /// Looks for drift on a cluster, proposes plans against it where documents and configuration say so, and sets the conditions of
    /// every document.
    pub async fn settle_cluster(&self, cluster: &Cluster) -> Result<Settled, ServiceError> {
        let documents = self.store.documents(&cluster.name).await?;
        let active = self.store.active_documents(&cluster.name, None).await?;
        let suspended: BTreeSet<String> = self
            .store
            .suspensions()
            .await?
            .into_iter()
            .filter(|suspension| suspension.scope == SuspendScope::Object)
            .map(|suspension| suspension.name)
            .collect();
        let covered = covered(&active, &documents);
        let mut quiet = Vec::new();
        let mut seen = BTreeMap::new();
        for stored in &documents {
            let key = key_of(stored);
            let read = read_stored(stored)?;
            if suspended.contains(&object_name(&cluster.name, &key))
                || read.iter().any(crate::document::Document::suspended)
            {
                seen.insert(key, Seen::Suspended);
            } else if covered.get(&key).is_some_and(Covered::busy) {
                seen.insert(key, Seen::Busy);
            } else {
                quiet.push((stored.clone(), read));
            }
        }
        let stored: Vec<Document> = quiet.iter().map(|(stored, _)| stored.clone()).collect();
        seen.extend(self.drift_known(cluster, stored).await?);
        let mut settled = Settled {
            documents: documents.len(),
            ..Settled::default()
        };
        let configured = self.configuration.reconcile.drift;
        for (wanted, by_person) in [(DriftMode::Propose, true), (DriftMode::Enforce, false)] {
            let drifted = quiet.iter().filter(|(stored, read)| {
                matches!(seen.get(&key_of(stored)), Some(Seen::Drifted(_)))
                    && read
                        .iter()
                        .all(|document| mode(document, configured) == wanted)
            });
            let drifted: Vec<Document> = drifted.map(|(stored, _)| stored.clone()).collect();
            settled
                .proposed
                .extend(self.against_drift(cluster, drifted, by_person).await?);
        }
        self.overtake_old_drift(cluster, &settled.proposed).await?;
        settled
            .proposed
            .extend(self.propose_clean_up(cluster).await?);
        let active = self.store.active_documents(&cluster.name, None).await?;
        settled.drifted = self
            .write_conditions(
                cluster,
                &documents,
                &seen,
                &self::covered(&active, &documents),
            )
            .await?;
        Ok(settled)
    }

    /// What was found when these documents were last compared with this very world, if that is not too long ago; else compares them
    /// now. (A secret's file may have changed since: that shows in neither.)
    async fn drift_known(
        &self,
        cluster: &Cluster,
        documents: Vec<Document>,
    ) -> Result<BTreeMap<String, Seen>, ServiceError> {
        let world = self.look(cluster).await?;
        let hashes: Vec<(String, String)> = documents
            .iter()
            .map(|stored| (key_of(stored), stored.document.hash.clone()))
            .collect();
        let now = self.now();
        if let Some(seen) = self.looks.known(&cluster.name, &world, &hashes, now) {
            return Ok(seen);
        }
        let seen = self.look_for_drift(cluster, documents).await?.seen;
        self.looks.keep(
            &cluster.name,
            Looked {
                world,
                hashes,
                at: now,
                seen: seen.clone(),
            },
        );
        Ok(seen)
    }

    /// Compares documents with the world as the loop knows it. A document that cannot be planned is left out and said so; the others
    /// are compared without it.
    async fn look_for_drift(
        &self,
        cluster: &Cluster,
        mut documents: Vec<Document>,
    ) -> Result<Look, ServiceError> {
        let mut look = Look::default();
        for _ in 0..TRIES {
            if documents.is_empty() {
                return Ok(look);
            }
            let recipe = drift_recipe(documents.iter().cloned(), SETTLER, true);
            let problems = match self.make(&recipe, cluster).await {
                Ok(made) => {
                    look.compared(&documents, &made);
                    return Ok(look);
                }
                Err(ServiceError::Plan(error)) => error.problems,
                // A secret that cannot be read, say.
                Err(ServiceError::Request(why)) => {
                    for document in &documents {
                        look.seen
                            .insert(key_of(document), Seen::Unclear(why.clone()));
                    }
                    return Ok(look);
                }
                Err(error) => return Err(error),
            };
            let mut named = BTreeSet::new();
            for problem in &problems {
                let all = problem.document.is_empty();
                for key in documents.iter().map(key_of) {
                    if all || key == problem.document {
                        look.seen
                            .entry(key.clone())
                            .or_insert_with(|| Seen::Unclear(problem.to_string()));
                        named.insert(key);
                    }
                }
            }
            if named.is_empty() {
                break;
            }
            documents.retain(|document| !named.contains(&key_of(document)));
        }
        for document in &documents {
            let why = "what it stands beside cannot be planned".to_owned();
            look.seen.insert(key_of(document), Seen::Unclear(why));
        }
        Ok(look)
    }

    /// Proposes a plan against the drift of these documents. One that a person decided against is not proposed again while the
    /// world is the same.
    async fn against_drift(
        &self,
        cluster: &Cluster,
        documents: Vec<Document>,
        by_person: bool,
    ) -> Result<Option<Planned>, ServiceError> {
        if documents.is_empty() {
            return Ok(None);
        }
        let recipe = drift_recipe(documents.into_iter(), SETTLER, by_person);
        let made = match self.make(&recipe, cluster).await {
            Ok(made) => made,
            // Its conditions say what stands in the way.
            Err(ServiceError::Plan(_) | ServiceError::Request(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if made.plan.steps.is_empty() {
            return Ok(None);
        }
        let known = self.store.plan(&made.plan.hash.0).await?;
        if known.is_some_and(|known| {
            matches!(
                known.head.state,
                PlanState::Rejected | PlanState::Withdrawn | PlanState::Expired
            )
        }) {
            return Ok(None);
        }
        Ok(Some(self.store_made(&recipe, made).await?))
    }

    /// Plans against drift that wait, and are not the ones proposed now, no longer hold.
    async fn overtake_old_drift(
        &self,
        cluster: &Cluster,
        proposed: &[Planned],
    ) -> Result<(), ServiceError> {
        for head in self.waiting_plans(&cluster.name).await? {
            if head.submitter != SETTLER || proposed.iter().any(|p| p.plan.hash.0 == head.hash) {
                continue;
            }
            let (_, plan, recipe) = self.plan(&head.hash).await?;
            if recipe.origin == Origin::Drift {
                self.overtake(
                    &PlanHash(plan.hash.0),
                    PlanState::Waiting,
                    Action::PlanSuperseded,
                    "what had drifted has changed since",
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn write_conditions(
        &self,
        cluster: &Cluster,
        documents: &[Document],
        seen: &BTreeMap<String, Seen>,
        covered: &BTreeMap<String, Covered>,
    ) -> Result<BTreeMap<String, usize>, ServiceError> {
        let mut drifted: BTreeMap<String, usize> = crate::document::Kind::ALL
            .iter()
            .map(|kind| (kind.as_str().to_owned(), 0))
            .collect();
        let mut keys: BTreeMap<String, Option<&Document>> =
            covered.keys().map(|key| (key.clone(), None)).collect();
        keys.extend(
            documents
                .iter()
                .map(|document| (key_of(document), Some(document))),
        );
        let now = self.now();
        let mut tx = self.store.begin().await?;
        for (key, stored) in &keys {
            let seen = seen.get(key);
            if matches!(seen, Some(Seen::Drifted(_)))
                && let Some((kind, _)) = key.split_once('/')
            {
                *drifted.entry(kind.to_owned()).or_default() += 1;
            }
            let new = conditions(*stored, seen, covered.get(key));
            let changed = tx.set_conditions(&cluster.name, key, &new, now).await?;
            for (before, condition) in changed {
                let was = before == Some(ConditionStatus::True);
                let event = match (condition.kind, condition.status) {
                    (ConditionType::Drifted, ConditionStatus::True) => {
                        Some((EventType::Warning, "DriftFound"))
                    }
                    (ConditionType::Drifted, ConditionStatus::False) if was => {
                        Some((EventType::Normal, "DriftGone"))
                    }
                    (ConditionType::Stalled, ConditionStatus::True) => {
                        Some((EventType::Warning, "Stalled"))
                    }
                    _ => None,
                };
                if let Some((kind, reason)) = event {
                    tx.add_event(&NewEvent {
                        at: now,
                        cluster: Some(cluster.name.clone()),
                        object: key.clone(),
                        kind,
                        reason: reason.to_owned(),
                        message: condition.message.clone(),
                        actor: SETTLER.to_owned(),
                        plan: None,
                        ledger: None,
                    })
                    .await?;
                }
            }
        }
        for gone in tx.conditions(&cluster.name).await? {
            if gone
                .object
                .split_once('/')
                .is_some_and(|(kind, _)| kind.parse::<crate::document::Kind>().is_ok())
                && !keys.contains_key(&gone.object)
            {
                tx.drop_conditions(&cluster.name, &gone.object).await?;
            }
        }
        tx.commit().await?;
        Ok(drifted)
    }
}

impl Look {
    fn compared(&mut self, documents: &[Document], made: &Made) {
        let objects: BTreeMap<&str, &str> = made
            .plan
            .documents
            .iter()
            .map(|document| (document.key.as_str(), document.object.as_str()))
            .collect();
        for document in documents {
            let key = key_of(document);
            let object = objects.get(key.as_str()).copied();
            let fields: Vec<String> = made
                .plan
                .changes
                .iter()
                .filter(|change| Some(change.object.as_str()) == object)
                .map(|change| change.field.clone())
                .collect();
            let found = if fields.is_empty() {
                Seen::Matches
            } else {
                Seen::Drifted(fields)
            };
            self.seen.insert(key, found);
        }
    }
}

fn key_of(stored: &Document) -> String {
    format!("{}/{}", stored.document.kind, stored.document.name)
}

/// By which open plans each document is covered. A plan that stopped before the document was last accepted no longer counts.
fn covered(active: &[ActiveDocument], documents: &[Document]) -> BTreeMap<String, Covered> {
    let accepted: BTreeMap<String, jiff::Timestamp> = documents
        .iter()
        .map(|document| (key_of(document), document.updated))
        .collect();
    let mut covered: BTreeMap<String, Covered> = BTreeMap::new();
    for plan in active {
        let key = &plan.document.key;
        if plan.state == PlanState::Stopped
            && accepted.get(key).is_some_and(|at| *at > plan.changed)
        {
            continue;
        }
        covered
            .entry(key.clone())
            .or_default()
            .add(plan.state, &plan.plan);
    }
    covered
}
