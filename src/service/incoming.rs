//! Documents that the loop reads from a source (a branch, a folder): what changed in them is planned, and the plan waits. What did
//! not change is left to drift.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ServiceError;
use super::open::Service;
use super::recipe::{Recipe, Text, read};
use super::submit::Planned;
use crate::configuration::Cluster;
use crate::document::Document;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::plan::words::clean;
use crate::plan::{Origin, Plan, PlanHash};
use crate::store::{PlanState, StoreError};

/// What was read from a source for one cluster.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The source: `git:infra`.
    pub source: String,
    /// The revision: a commit, or the hash of a folder.
    pub revision: String,
    /// The keys that the commits were signed with, where signatures are asked for: `SHA256:…`.
    pub signed_by: Vec<String>,
    /// Every document file of the cluster.
    pub texts: Vec<Text>,
    /// Why nobody may approve what follows, if so: the history was rewritten, or everything is gone.
    pub blocked: Option<String>,
    /// How many deletions an operator let pass for this revision.
    pub allow_deletions: Option<usize>,
}

/// What a source's documents came to.
#[derive(Debug)]
pub enum Taken {
    /// They are all as they were.
    Nothing,
    /// What changed was planned; without steps it was taken over at once.
    Planned {
        /// The plan.
        planned: Box<Planned>,
        /// Why nobody may approve it, if so.
        blocked: Option<String>,
    },
    /// The same plan was decided against, and nothing changed since.
    Decided(PlanState, PlanHash),
}

/// The hash of each document, by key.
pub type Hashes = BTreeMap<String, String>;

impl Service {
    /// Plans what changed in a source's documents. Returns what came of it, and each document's hash.
    pub async fn take_in(
        &self,
        incoming: &Incoming,
        cluster: &Cluster,
    ) -> Result<(Taken, Hashes), ServiceError> {
        let documents = read(&incoming.texts)?;
        let hashes: Hashes = documents
            .iter()
            .map(|document| (document.key().to_string(), document.hash.to_string()))
            .collect();
        for document in &documents {
            self.is_ours(document, incoming, cluster).await?;
        }
        let configured = self.configuration.source(&incoming.source);
        let stored = self.store.documents(&cluster.name).await?;
        let ours: Vec<_> = stored
            .into_iter()
            .map(|stored| stored.document)
            .filter(|document| document.source == incoming.source)
            .collect();
        let accepted: BTreeMap<String, &str> = ours
            .iter()
            .map(|document| {
                let key = format!("{}/{}", document.kind, document.name);
                (key, document.hash.as_str())
            })
            .collect();
        let changed: Vec<Text> = documents
            .iter()
            .filter(|document| {
                accepted.get(&document.key().to_string()).copied() != Some(document.hash.as_str())
            })
            .map(|document| Text {
                file: document.key().to_string(),
                text: document.text.clone(),
            })
            .collect();
        let removed: Vec<Text> = ours
            .iter()
            .map(|document| Text {
                file: format!("{}/{}", document.kind, document.name),
                text: document.text.clone(),
            })
            .filter(|text| !hashes.contains_key(&text.file))
            .collect();
        if changed.is_empty() && removed.is_empty() {
            self.moved_on(&incoming.source, cluster, None).await?;
            return Ok((Taken::Nothing, hashes));
        }
        let fuse = if configured.prune {
            self.fuse(
                &removed,
                &documents,
                &incoming.source,
                &cluster.name,
                incoming.allow_deletions,
            )
            .await?
        } else {
            None
        };
        let recipe = Recipe {
            origin: Origin::Submission {
                source: incoming.source.clone(),
                prune: configured.prune,
            },
            documents: changed,
            removed,
            source: incoming.source.clone(),
            submitter: "system:reconcile".to_owned(),
            blocked: incoming.blocked.clone().or(fuse),
            by_person: false,
            orphan: !configured.prune,
            revision: Some(incoming.revision.clone()),
            signed_by: incoming.signed_by.clone(),
            run: None,
        };
        Ok((self.plan_incoming(recipe, cluster).await?, hashes))
    }

    async fn plan_incoming(
        &self,
        recipe: Recipe,
        cluster: &Cluster,
    ) -> Result<Taken, ServiceError> {
        let made = self.make(&recipe, cluster).await?;
        if made.plan.leaves_nothing_to_decide()
            && let Some(why) = &recipe.blocked
        {
            return Err(ServiceError::Refused(why.clone()));
        }
        self.moved_on(&recipe.source, cluster, Some(&made.plan.hash))
            .await?;
        let known = self.store.plan(&made.plan.hash.0).await?;
        if let Some(state @ (PlanState::Rejected | PlanState::Withdrawn)) =
            known.map(|known| known.head.state)
        {
            return Ok(Taken::Decided(state, made.plan.hash));
        }
        let planned = Box::new(self.store_made(&recipe, made).await?);
        Ok(Taken::Planned {
            planned,
            blocked: recipe.blocked,
        })
    }

    /// What the source wanted before is not what it wants now: its plans that wait or are approved are done with, but for this one.
    async fn moved_on(
        &self,
        source: &str,
        cluster: &Cluster,
        but: Option<&PlanHash>,
    ) -> Result<(), ServiceError> {
        let why = format!("the source {source} has moved on");
        for (hash, state, _) in self.open_of_source(source, &cluster.name, None).await? {
            if Some(&hash) != but {
                self.overtake_if_still(&hash, state, &why).await?;
            }
        }
        Ok(())
    }

    /// A source that submits says some things anew: its plans that wait or are approved and say otherwise of one of them are done with.
    pub(super) async fn said_anew(&self, source: &str, made: &Plan) -> Result<(), ServiceError> {
        let now: BTreeMap<&str, Option<&str>> = made
            .documents
            .iter()
            .map(|document| (document.key.as_str(), document.hash.as_deref()))
            .collect();
        for (hash, state, plan) in self
            .open_of_source(source, &made.cluster, Some(made))
            .await?
        {
            let otherwise = plan.documents.iter().find(|document| {
                now.get(document.key.as_str())
                    .is_some_and(|hash| *hash != document.hash.as_deref())
            });
            if let Some(document) = otherwise.filter(|_| hash != made.hash) {
                let why = format!("{source} has submitted {} again since", document.key);
                self.overtake_if_still(&hash, state, &why).await?;
            }
        }
        Ok(())
    }

    /// Supersedes a plan. Where somebody was quicker, it runs by now or was decided otherwise: what becomes of it is theirs to say.
    async fn overtake_if_still(
        &self,
        plan: &PlanHash,
        state: PlanState,
        why: &str,
    ) -> Result<(), ServiceError> {
        match self
            .overtake(plan, state, Action::PlanSuperseded, why)
            .await
        {
            Err(ServiceError::Store(StoreError::PlanState { actual, .. })) if actual != state => {
                Ok(())
            }
            done => done,
        }
    }

    /// A source's own plans that wait or are approved: all of them, or those about any document of a plan.
    async fn open_of_source(
        &self,
        source: &str,
        cluster: &ClusterName,
        about: Option<&Plan>,
    ) -> Result<Vec<(PlanHash, PlanState, Plan)>, ServiceError> {
        let about: Option<BTreeSet<&str>> = about.map(|plan| {
            let documents = plan.documents.iter();
            documents.map(|document| document.key.as_str()).collect()
        });
        let mut found = BTreeSet::new();
        for active in self.store.active_documents(cluster, None).await? {
            if active.document.source == source
                && about
                    .as_ref()
                    .is_none_or(|keys| keys.contains(active.document.key.as_str()))
                && matches!(active.state, PlanState::Waiting | PlanState::Approved)
            {
                found.insert((PlanHash(active.plan), active.state));
            }
        }
        let mut open = Vec::new();
        for (hash, state) in found {
            let (_, plan, recipe) = self.plan(&hash.0).await?;
            if matches!(recipe.origin, Origin::Submission { .. }) {
                open.push((hash, state, plan));
            }
        }
        Ok(open)
    }

    /// Refuses a document of another cluster, or one that another source has.
    async fn is_ours(
        &self,
        document: &Document,
        incoming: &Incoming,
        cluster: &Cluster,
    ) -> Result<(), ServiceError> {
        let key = document.key().to_string();
        if let Some(named) = document.cluster()
            && named != cluster.name
        {
            return Err(ServiceError::Request(format!(
                "{key} says cluster {named}, and its folder is that of cluster {}",
                cluster.name
            )));
        }
        self.claimed(&key, document, &incoming.source, cluster)
            .await
    }

    /// Refuses a document that another source has: accepted, or in a plan that is not done with.
    pub(super) async fn claimed(
        &self,
        key: &str,
        document: &Document,
        source: &str,
        cluster: &Cluster,
    ) -> Result<(), ServiceError> {
        let stored = self
            .store
            .document(
                &cluster.name,
                document.kind().as_str(),
                &document.metadata.name,
            )
            .await?;
        let refuse = |owner: &str, how: String| {
            ServiceError::Conflict(format!(
                "{key} belongs to the source `{}`; `{source}` cannot submit it too ({how})",
                clean(owner)
            ))
        };
        match stored.map(|stored| stored.document.source) {
            // Whoever wants to take it over does not keep its owner from changing it meanwhile.
            Some(owner) if owner == source => return Ok(()),
            Some(owner) if !self.takes_name(document, &owner, &cluster.name).await? => {
                let how = format!(
                    "use --source, take it out of the other source first, or take it over with the annotation `bailiwick.dev/take-over: {}`",
                    clean(&owner)
                );
                return Err(refuse(&owner, how));
            }
            Some(_) | None => {}
        }
        let active = self
            .store
            .active_documents(&cluster.name, Some(key))
            .await?;
        match active
            .iter()
            .find(|active| active.document.source != source && active.state != PlanState::Stopped)
        {
            None => Ok(()),
            Some(other) => Err(refuse(
                &other.document.source,
                format!(
                    "its plan {} is {}: it must be decided, or withdrawn, first",
                    other.plan,
                    other.state.name()
                ),
            )),
        }
    }
}
