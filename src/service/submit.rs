//! Submitting documents: they are planned, and the plan waits. Nothing changes on the cluster.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use super::open::Service;
use super::planning::{Made, Standing};
use super::recipe::{Recipe, Text, Wants, item, read};
use crate::approval::policy::SOURCE_KINDS;
use crate::approval::{Principal, Verdict, evaluate};
use crate::configuration::Cluster;
use crate::document::{Deletion, Document};
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::plan::words::clean;
use crate::plan::{Origin, Plan, PlanHash};
use crate::store::{NewPlan, PlanDocument, PlanInserted, PlanState, Transaction};

/// Documents that somebody submits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// The files.
    pub documents: Vec<Text>,
    /// The source that owns them; the submitter's own when not given.
    pub source: Option<String>,
    /// Documents of the source that are missing count as removed.
    pub prune: bool,
    /// How many deletions the fuse lets pass this once.
    pub allow_deletions: Option<usize>,
    /// Who submits.
    pub submitter: Principal,
    /// The cluster, when the documents name none and there are several.
    pub cluster: Option<String>,
}

/// What a submission came to.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan. Without steps there was nothing to do.
    pub plan: Plan,
    /// Where it stands; `None` when it was not stored (nothing to do, or only looked at).
    pub state: Option<PlanState>,
    /// What it needs and has.
    pub standing: Standing,
    /// The ledger record that tells of it.
    pub ledger: Option<u64>,
    /// Documents that were taken over at once, because nothing had to change for them.
    pub accepted: Vec<String>,
}

impl Service {
    /// Shows the plan of a submission without storing anything.
    pub async fn preview(&self, submission: Submission) -> Result<Planned, ServiceError> {
        let (recipe, cluster) = self.recipe(submission).await?;
        let made = self.make(&recipe, cluster).await?;
        let standing = self.standing(&made.plan, &recipe).await?;
        Ok(Planned {
            plan: made.plan,
            state: None,
            standing,
            ledger: None,
            accepted: Vec::new(),
        })
    }

    /// Takes a submission: plans it, and stores the plan to wait. A submission for which nothing has to change is taken over at
    /// once.
    pub async fn submit(&self, submission: Submission) -> Result<Planned, ServiceError> {
        let (recipe, cluster) = self.recipe(submission).await?;
        self.propose(recipe, cluster).await
    }

    /// Proposes a plan that takes a run back.
    pub async fn undo(&self, prefix: &str, submitter: &Principal) -> Result<Planned, ServiceError> {
        let (stored, plan, original) = self.plan(prefix).await?;
        let cluster = self.cluster(Some(stored.head.cluster.as_str()))?;
        let run = self
            .store
            .runs(Some(&stored.head.cluster), Some(&plan.hash.0), 1)
            .await?
            .into_iter()
            .next();
        let run = run.ok_or_else(|| {
            ServiceError::State(format!(
                "the plan {} was never run, so there is nothing to undo",
                plan.hash
            ))
        })?;
        let recipe = Recipe {
            origin: Origin::Undo {
                of: plan.hash.clone(),
            },
            documents: Vec::new(),
            removed: Vec::new(),
            source: original.source,
            submitter: submitter.to_string(),
            blocked: None,
            by_person: false,
            orphan: false,
            revision: None,
            signed_by: Vec::new(),
            run: Some(run.id.0),
        };
        self.propose(recipe, cluster).await
    }

    pub(super) async fn propose(
        &self,
        recipe: Recipe,
        cluster: &Cluster,
    ) -> Result<Planned, ServiceError> {
        let made = self.make(&recipe, cluster).await?;
        self.store_made(&recipe, made).await
    }

    /// Stores a plan that was made; without steps, takes the documents over at once.
    pub(super) async fn store_made(
        &self,
        recipe: &Recipe,
        made: Made,
    ) -> Result<Planned, ServiceError> {
        if let Origin::Submission { .. } = recipe.origin {
            self.said_anew(&recipe.source, &made.plan).await?;
        }
        let mut standing = self.standing(&made.plan, recipe).await?;
        if made.plan.leaves_nothing_to_decide() {
            let (accepted, ledger) = self.accept_without_run(recipe, &made).await?;
            return Ok(Planned {
                plan: made.plan,
                state: None,
                standing,
                ledger,
                accepted,
            });
        }
        let plan = made.plan.clone();
        let hash = plan.hash.0.clone();
        let mut tx = self.store.begin().await?;
        let inserted = tx
            .insert_plan(&NewPlan {
                hash: hash.clone(),
                cluster: plan.cluster.clone(),
                risk: plan.risk.to_string(),
                origin: serde_json::to_string(recipe)?,
                submitter: recipe.submitter.clone(),
                created: self.now(),
                json: serde_json::to_string(&plan)?,
                rendered: None,
                documents: plan.documents.iter().map(stored_document).collect(),
            })
            .await?;
        if let PlanInserted::Reopened { .. } = inserted {
            // Opening it again voided the decisions over it: none of those that were read above counts.
            standing.verdict = evaluate(&standing.requirement, &[], self.now());
        }
        let (state, ledger) = match inserted {
            PlanInserted::Known(PlanState::Waiting)
                if recipe.blocked.is_none() && self.was_blocked(&hash).await? =>
            {
                let origin = serde_json::to_string(recipe)?;
                tx.set_plan_origin(&hash, &origin, &recipe.submitter)
                    .await?;
                let detail = serde_json::json!({ "reason": "it was submitted again, past the fuse", "source": recipe.source });
                let subject = format!("plan/{hash}");
                let record = self
                    .record(
                        &mut tx,
                        &recipe.submitter,
                        Action::FuseReset,
                        &subject,
                        Some(&hash),
                        detail,
                    )
                    .await?;
                tx.commit().await?;
                (PlanState::Waiting, Some(record.seq))
            }
            PlanInserted::Known(state @ (PlanState::Waiting | PlanState::Approved))
                if recipe.blocked.is_some() && !self.was_blocked(&hash).await? =>
            {
                // The same plan, on a way by which nobody may approve it: what was approved before does not count.
                let origin = serde_json::to_string(recipe)?;
                tx.set_plan_origin(&hash, &origin, &recipe.submitter)
                    .await?;
                if state == PlanState::Approved {
                    tx.set_plan_state(&hash, state, PlanState::Waiting, self.now())
                        .await?;
                }
                let record = self.fuse_tripped(&mut tx, recipe, &hash).await?;
                tx.commit().await?;
                (PlanState::Waiting, record)
            }
            PlanInserted::Known(state) => {
                tx.rollback().await?;
                (state, self.record_of(&plan.hash).await?)
            }
            PlanInserted::New | PlanInserted::Reopened { .. } => {
                for document in made.from.wanted.iter().chain(&made.from.removed) {
                    let removed = made
                        .from
                        .removed
                        .iter()
                        .any(|gone| gone.key() == document.key());
                    let action = if removed {
                        Action::DocumentWithdrawn
                    } else {
                        Action::DocumentSubmitted
                    };
                    let detail = serde_json::json!({ "source": recipe.source, "hash": document.hash.as_str() });
                    self.record(
                        &mut tx,
                        &recipe.submitter,
                        action,
                        &document.key().to_string(),
                        Some(&hash),
                        detail,
                    )
                    .await?;
                }
                let action = if recipe.undoes().is_some() {
                    Action::UndoProposed
                } else {
                    Action::PlanCreated
                };
                let mut detail = serde_json::json!({
                    "risk": plan.risk.to_string(), "steps": plan.steps.len(), "impacts": plan.impacts.len(),
                    "unknowns": plan.unknowns.len(), "complete": plan.complete,
                });
                if let (Some(revision), Some(detail)) = (&recipe.revision, detail.as_object_mut()) {
                    detail.insert("source".to_owned(), recipe.source.clone().into());
                    detail.insert("revision".to_owned(), revision.clone().into());
                    if !recipe.signed_by.is_empty() {
                        detail.insert("signedBy".to_owned(), recipe.signed_by.clone().into());
                    }
                }
                let subject = format!("cluster/{}", plan.cluster);
                let record = self
                    .record(
                        &mut tx,
                        &recipe.submitter,
                        action,
                        &subject,
                        Some(&hash),
                        detail,
                    )
                    .await?;
                self.fuse_tripped(&mut tx, recipe, &hash).await?;
                if matches!(standing.verdict, Verdict::Satisfied { .. }) {
                    tx.set_plan_state(&hash, PlanState::Waiting, PlanState::Approved, self.now())
                        .await?;
                    let detail = serde_json::json!({ "by": "policy" });
                    self.record(
                        &mut tx,
                        "system:policy",
                        Action::Approved,
                        &subject,
                        Some(&hash),
                        detail,
                    )
                    .await?;
                }
                tx.commit().await?;
                let approved = matches!(standing.verdict, Verdict::Satisfied { .. });
                (
                    if approved {
                        PlanState::Approved
                    } else {
                        PlanState::Waiting
                    },
                    Some(record.seq),
                )
            }
        };
        Ok(Planned {
            plan,
            state: Some(state),
            standing,
            ledger,
            accepted: Vec::new(),
        })
    }

    /// Whether a stored plan is one that nobody may approve, since a fuse tripped.
    /// Records that a plan is blocked, if it is.
    async fn fuse_tripped(
        &self,
        tx: &mut Transaction,
        recipe: &Recipe,
        hash: &str,
    ) -> Result<Option<u64>, ServiceError> {
        let Some(why) = &recipe.blocked else {
            return Ok(None);
        };
        let detail = serde_json::json!({ "why": why, "source": recipe.source });
        let subject = format!("plan/{hash}");
        let record = self
            .record(
                tx,
                &recipe.submitter,
                Action::FuseTripped,
                &subject,
                Some(hash),
                detail,
            )
            .await?;
        Ok(Some(record.seq))
    }

    async fn was_blocked(&self, hash: &str) -> Result<bool, ServiceError> {
        let (_, _, recipe) = self.plan(hash).await?;
        Ok(recipe.blocked.is_some())
    }

    /// The record that tells of a plan's making.
    pub async fn record_of(&self, plan: &PlanHash) -> Result<Option<u64>, ServiceError> {
        let filter = crate::store::RecordFilter {
            plan: Some(plan.0.clone()),
            ..Default::default()
        };
        let records = self.store.ledger_records(&filter, u32::MAX).await?;
        Ok(records
            .into_iter()
            .rev()
            .find(|record| matches!(record.action, Action::PlanCreated | Action::UndoProposed))
            .map(|record| record.seq))
    }

    pub(super) async fn recipe(
        &self,
        submission: Submission,
    ) -> Result<(Recipe, &Cluster), ServiceError> {
        let Submission {
            documents,
            source,
            prune,
            allow_deletions,
            submitter,
            cluster,
        } = submission;
        let wanted = read(&documents)?;
        let cluster = self.cluster_of(&wanted, cluster.as_deref())?;
        let source = source_of(source, &submitter)?;
        if allow_deletions.is_some() && !submitter.is_person() {
            return Err(ServiceError::Refused(format!(
                "{submitter} cannot let deletions pass the fuse: only a person can, with --as person:NAME"
            )));
        }
        if wanted.is_empty() && !prune {
            return Err(ServiceError::Request(
                "there are no documents in what was given".to_owned(),
            ));
        }
        for document in &wanted {
            let key = document.key().to_string();
            self.claimed(&key, document, &source, cluster).await?;
        }
        let removed = if prune {
            self.missing(&wanted, &source, &cluster.name).await?
        } else {
            Vec::new()
        };
        let blocked = self
            .fuse(&removed, &wanted, &source, &cluster.name, allow_deletions)
            .await?;
        let recipe = Recipe {
            origin: Origin::Submission {
                source: source.clone(),
                prune,
            },
            documents,
            removed,
            source,
            submitter: submitter.to_string(),
            blocked,
            by_person: false,
            orphan: false,
            revision: None,
            signed_by: Vec::new(),
            run: None,
        };
        Ok((recipe, cluster))
    }

    /// The one cluster that documents are about.
    fn cluster_of(
        &self,
        documents: &[Document],
        named: Option<&str>,
    ) -> Result<&Cluster, ServiceError> {
        let clusters: BTreeSet<ClusterName> =
            documents.iter().filter_map(Document::cluster).collect();
        let mut clusters = clusters.iter();
        match (clusters.next(), clusters.next()) {
            (Some(one), Some(other)) => Err(ServiceError::Request(format!(
                "the documents are about several clusters ({one}, {other}, …): submit those of each cluster apart"
            ))),
            (Some(one), None) => match named {
                Some(named) if named != one.as_str() => Err(ServiceError::Request(format!(
                    "the documents say cluster {one}, --cluster says {named}"
                ))),
                _ => self.cluster(Some(one.as_str())),
            },
            (None, _) => self.cluster(named),
        }
    }

    /// The source's documents that a submission no longer has.
    async fn missing(
        &self,
        wanted: &[Document],
        source: &str,
        cluster: &ClusterName,
    ) -> Result<Vec<Text>, ServiceError> {
        if !self.configuration.source(source).prune {
            return Err(ServiceError::Refused(format!(
                "the source `{source}` may not remove documents; the operator allows it with `sources: {{ {source}: {{ prune: true }} }}`"
            )));
        }
        let keys: BTreeSet<String> = wanted
            .iter()
            .map(|document| document.key().to_string())
            .collect();
        let stored = self.store.documents(cluster).await?;
        Ok(stored
            .into_iter()
            .map(|stored| stored.document)
            .filter(|document| document.source == source)
            .map(|document| Text {
                file: format!("{}/{}", document.kind, document.name),
                text: document.text,
            })
            .filter(|text| !keys.contains(&text.file))
            .collect())
    }

    /// How many of the documents that are gone only got another name, or lost their object to another document before.
    async fn renamed(
        &self,
        gone: &[Document],
        wanted: &[Document],
        source: &str,
        cluster: &ClusterName,
    ) -> Result<usize, ServiceError> {
        if gone.is_empty() {
            return Ok(0);
        }
        let mut items = Vec::new();
        for (documents, wants) in [(gone, Wants::Removed), (wanted, Wants::Present)] {
            for document in documents {
                let mut item = item(document, source, wants)?;
                item.take_over = document.take_over().map(str::to_owned);
                items.push(item);
            }
        }
        let ownership = self.ownership(cluster).await?;
        let lost = gone.iter().filter(|document| {
            let key = document.key().to_string();
            ownership.taken_from(&key, source).is_some()
        });
        Ok(crate::plan::renamed(&items, &ownership).len() + lost.count())
    }

    /// Why the plan is blocked, if so many objects disappear at once that something else must be wrong.
    pub(super) async fn fuse(
        &self,
        removed: &[Text],
        wanted: &[Document],
        source: &str,
        cluster: &ClusterName,
        allowed: Option<usize>,
    ) -> Result<Option<String>, ServiceError> {
        let deleting: Vec<Document> = read(removed)?
            .into_iter()
            .filter(|document| document.deletion() == Deletion::Delete)
            .collect();
        let kept = self.renamed(&deleting, wanted, source, cluster).await?;
        let deletions = deleting.len().saturating_sub(kept);
        let owned = self
            .store
            .documents(cluster)
            .await?
            .iter()
            .filter(|stored| stored.document.source == source)
            .count();
        let fuse = self.configuration.source(source).fuse;
        if fuse.holds(deletions, owned) || allowed.is_some_and(|allowed| deletions <= allowed) {
            return Ok(None);
        }
        let configured = self.configuration.source(source);
        let how = if configured.git.is_some() || configured.directory.is_some() {
            format!("an operator resets it: bailiwick source reset {source} --as person:NAME")
        } else {
            format!(
                "an operator submits it again with --as person:NAME --source {source} --allow-deletions {deletions}"
            )
        };
        Ok(Some(format!(
            "the fuse of source `{source}` tripped: {deletions} of its {owned} objects would be deleted at once. If that is meant, \
             {how}"
        )))
    }
}

/// The source that a submission belongs to: the one named, or the submitter's own.
fn source_of(named: Option<String>, submitter: &Principal) -> Result<String, ServiceError> {
    let Some(named) = named else {
        let kind = if submitter.is_person() {
            "operator"
        } else {
            submitter.kind().word()
        };
        return Ok(format!("{kind}:{}", submitter.name()));
    };
    let name = SOURCE_KINDS
        .iter()
        .find_map(|kind| named.strip_prefix(kind));
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_graphic());
    match name.filter(|name| !name.is_empty() && plain(name)) {
        // Policies trust sources: an agent that could speak for another would choose the rule that judges it.
        Some(_) if !submitter.is_person() && named != submitter.to_string() => {
            Err(ServiceError::Refused(format!(
                "{submitter} submits only to its own source `{submitter}`, not to `{named}`: a person can, with --as person:NAME"
            )))
        }
        Some(_) => Ok(named),
        None => Err(ServiceError::Request(format!(
            "--source: `{}` is no source: expected {} and a name",
            clean(&named),
            SOURCE_KINDS.map(|kind| format!("`{kind}`")).join(", ")
        ))),
    }
}

fn stored_document(document: &crate::plan::DocumentRef) -> PlanDocument {
    PlanDocument {
        key: document.key.clone(),
        source: document.source.clone(),
        object: document.object.clone(),
    }
}
