//! Reading sources: what each gives is handed to the service, and where each stands is remembered, so that a restart reads on where
//! it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::queue::Done;
use super::work::{ClusterWorker, length, reason};
use crate::ids::ClusterName;
use crate::plan::words::line;
use crate::service::incoming::{Hashes, Incoming, Taken};
use crate::service::sources::Remembered;
use crate::service::{ServiceError, Text};
use crate::sources::{Before, Reading, Source, Verified};
use crate::store::{ConditionStatus, ConditionType, PlanState, SourceState};

/// The sources of a configuration, opened.
pub(super) struct Readers {
    sources: BTreeMap<String, Source>,
    /// Sources that are to be read even if their revision was seen: after a start, and when somebody wishes.
    reread: Mutex<BTreeMap<String, bool>>,
}

impl Readers {
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let names = sources
            .iter()
            .map(|source| (source.name().to_owned(), true));
        Self {
            reread: Mutex::new(names.collect()),
            sources: sources
                .into_iter()
                .map(|source| (source.name().to_owned(), source))
                .collect(),
        }
    }

    /// The sources whose work this cluster's queue does: those whose first cluster it is.
    pub(super) fn at_home<'a>(
        &'a self,
        cluster: &'a ClusterName,
    ) -> impl Iterator<Item = &'a str> + 'a {
        self.sources
            .values()
            .filter(move |source| source.clusters().first() == Some(cluster))
            .map(Source::name)
    }

    fn take_reread(&self, name: &str) -> bool {
        let mut reread = self.reread.lock().unwrap_or_else(PoisonError::into_inner);
        reread.insert(name.to_owned(), false).unwrap_or(true)
    }

    /// A source, or all, is to be read even if its revision was seen.
    pub(super) fn ask_reread(&self, only: Option<&str>) {
        let mut reread = self.reread.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, wanted) in reread.iter_mut() {
            *wanted |= only.is_none_or(|only| only == name);
        }
    }
}

impl ClusterWorker {
    /// Reads a source, for all of its clusters.
    pub(super) async fn source(&self, name: &str) -> Result<Done, ServiceError> {
        let Some(source) = self.readers.sources.get(name) else {
            return Ok(Done::Well);
        };
        let interval = length(source.interval());
        let reread = self.readers.take_reread(name);
        let before = self.before(source, reread).await?;
        let now = self.service.now();
        let polled = match source.poll(&before, now).await {
            Ok(polled) => polled,
            Err(error) => {
                for cluster in source.clusters() {
                    self.failed_source(source, &cluster, &error).await?;
                }
                return self.after_source(source, false, reread, interval);
            }
        };
        let mut good = true;
        for cluster in source.clusters() {
            good &= match polled.get(&cluster) {
                None => self.same_revision(source, &cluster).await?,
                Some(Err(error)) => {
                    self.failed_source(source, &cluster, error).await?;
                    false
                }
                Some(Ok(reading)) => self.take_in(source, &cluster, reading).await?,
            };
        }
        self.write_back(source).await?;
        self.after_source(source, good, reread, interval)
    }

    fn after_source(
        &self,
        source: &Source,
        good: bool,
        reread: bool,
        interval: Duration,
    ) -> Result<Done, ServiceError> {
        let now = self.service.now();
        self.service.metrics().source(source.name(), good, now);
        if !good && reread {
            self.readers.ask_reread(Some(source.name()));
        }
        Ok(Done::Again(interval))
    }

    async fn before(
        &self,
        source: &Source,
        reread: bool,
    ) -> Result<BTreeMap<ClusterName, Before>, ServiceError> {
        let store = self.service.store();
        let mut before = BTreeMap::new();
        for cluster in source.clusters() {
            let state = store.source_state(source.name(), &cluster).await?;
            let owned = store
                .documents(&cluster)
                .await?
                .iter()
                .filter(|stored| stored.document.source == source.name())
                .count();
            let remembered = Remembered::of(state.as_ref());
            let object = format!("source/{}", source.name());
            let conditions = store.conditions_of(&cluster, &object).await?;
            let unverified = conditions.iter().any(|known| {
                known.condition.kind == ConditionType::SourceVerified
                    && known.condition.status == ConditionStatus::False
            });
            before.insert(
                cluster,
                Before {
                    seen: state.as_ref().and_then(|state| state.seen.clone()),
                    applied: state.as_ref().and_then(|state| state.applied.clone()),
                    owned,
                    // What was refused is tried again: what stood in its way may be gone. What could not be verified, too, though
                    // it is the revision seen: the one in between is gone from the branch.
                    reread: reread
                        || unverified
                        || remembered.state == REFUSED
                        || remembered.reset.is_some() && remembered.tripped.is_some(),
                },
            );
        }
        Ok(before)
    }

    /// Hands a reading to the service. Returns whether it could be used.
    async fn take_in(
        &self,
        source: &Source,
        cluster: &ClusterName,
        reading: &Reading,
    ) -> Result<bool, ServiceError> {
        let state = self
            .service
            .store()
            .source_state(source.name(), cluster)
            .await?;
        let mut remembered = Remembered::of(state.as_ref());
        let reset = remembered.reset.as_deref() == Some(reading.revision.as_str());
        let blocked = why_blocked(source.name(), reading).filter(|_| !reset);
        let incoming = Incoming {
            source: source.name().to_owned(),
            revision: reading.revision.clone(),
            signed_by: match &reading.verified {
                Verified::All { keys, .. } => keys.iter().cloned().collect(),
                Verified::NotAsked => Vec::new(),
            },
            texts: reading
                .texts
                .iter()
                .map(|text| Text {
                    file: text.file.clone(),
                    text: text.text.clone(),
                })
                .collect(),
            blocked: blocked.clone(),
            allow_deletions: reset.then_some(usize::MAX),
        };
        let configured = self.service.cluster(Some(cluster.as_str()))?;
        let taken = self.service.take_in(&incoming, configured).await;
        remembered.warnings.clone_from(&reading.warnings);
        let applied = state.as_ref().and_then(|state| state.applied.clone());
        let (applied, good) = match taken {
            Ok((taken, hashes)) => {
                remembered.hashes = hashes;
                let done = note(&mut remembered, &taken, &reading.revision);
                (
                    if done {
                        Some(reading.revision.clone())
                    } else {
                        applied
                    },
                    true,
                )
            }
            Err(error @ (ServiceError::Store(_) | ServiceError::Defect(_))) => return Err(error),
            Err(error) => {
                remembered.state = REFUSED.to_owned();
                remembered.plan = None;
                remembered.message = line(&error.to_string());
                if matches!(error, ServiceError::Refused(_)) && blocked.is_some() {
                    remembered.tripped = Some(reading.revision.clone());
                }
                self.source_conditions(
                    source,
                    cluster,
                    Some(reading),
                    Some((reason(&error), &error.to_string())),
                    &remembered.warnings,
                )
                .await?;
                // A revision that was refused is not seen: the next one is judged against the one before it.
                let seen = state.as_ref().and_then(|state| state.seen.clone());
                self.remember(source, cluster, seen, applied, &remembered)
                    .await?;
                return Ok(false);
            }
        };
        // A rewritten or emptied revision that waits behind its fuse is not seen either, so that it stays noticed.
        let seen = if remembered.tripped.is_some() {
            state.as_ref().and_then(|state| state.seen.clone())
        } else {
            Some(reading.revision.clone())
        };
        self.remember(source, cluster, seen, applied, &remembered)
            .await?;
        // Its plan is there, and nobody can approve it: that the source gets no further is said of the source too.
        let held = remembered.tripped.is_some();
        let why = held.then_some(("FuseTripped", remembered.message.as_str()));
        self.source_conditions(source, cluster, Some(reading), why, &remembered.warnings)
            .await?;
        self.documents_verified(cluster, reading, &remembered.hashes)
            .await?;
        Ok(good && !held)
    }

    pub(super) async fn remember(
        &self,
        source: &Source,
        cluster: &ClusterName,
        seen: Option<String>,
        applied: Option<String>,
        remembered: &Remembered,
    ) -> Result<(), ServiceError> {
        let mut tx = self.service.store().begin().await?;
        // Only an operator lets a revision pass, maybe while this was being worked out: what stands there stays.
        let current = tx.source_state(source.name(), cluster).await?;
        let remembered = Remembered {
            reset: Remembered::of(current.as_ref()).reset,
            ..remembered.clone()
        };
        tx.put_source_state(&SourceState {
            source: source.name().to_owned(),
            cluster: cluster.clone(),
            seen,
            applied,
            detail: serde_json::to_string(&remembered)?,
            updated: self.service.now(),
        })
        .await?;
        Ok(tx.commit().await?)
    }

    /// Nothing new: but what was seen may have been applied since, or decided over.
    async fn same_revision(
        &self,
        source: &Source,
        cluster: &ClusterName,
    ) -> Result<bool, ServiceError> {
        let store = self.service.store();
        let Some(state) = store.source_state(source.name(), cluster).await? else {
            return Ok(true);
        };
        let mut remembered = Remembered::of(Some(&state));
        let before = remembered.clone();
        let mut applied = state.applied.clone();
        let accepted: Hashes = store
            .documents(cluster)
            .await?
            .into_iter()
            .filter(|stored| stored.document.source == source.name())
            .map(|stored| {
                let document = stored.document;
                (
                    format!("{}/{}", document.kind, document.name),
                    document.hash,
                )
            })
            .collect();
        if accepted == remembered.hashes && state.seen.is_some() {
            applied = state.seen.clone();
            remembered.state = APPLIED.to_owned();
            remembered.message = String::new();
        } else if let Some(word) = self.stands(source.name(), cluster, &mut remembered).await? {
            remembered.state = word.to_owned();
        }
        if remembered != before || applied != state.applied {
            self.remember(source, cluster, state.seen.clone(), applied, &remembered)
                .await?;
        }
        // An error of an earlier look is over, unless it is about the revision itself.
        if remembered.state != REFUSED {
            self.source_conditions(source, cluster, None, None, &remembered.warnings)
                .await?;
        }
        Ok(remembered.state != REFUSED)
    }

    /// How the plan of what was seen stands: the one that took its place counts, if one did.
    async fn stands(
        &self,
        source: &str,
        cluster: &ClusterName,
        remembered: &mut Remembered,
    ) -> Result<Option<&'static str>, ServiceError> {
        let store = self.service.store();
        let open = store.active_documents(cluster, None).await?;
        if let Some(active) = open
            .iter()
            .rev()
            .find(|active| active.document.source == source)
        {
            remembered.plan = Some(active.plan.clone());
            return Ok(Some(active.state.name()));
        }
        let Some(hash) = &remembered.plan else {
            return Ok(None);
        };
        Ok(store.plan(hash).await?.map(|plan| plan.head.state.name()))
    }
}

const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

/// Notes what came of a revision; true if nothing is left to do for it.
fn note(remembered: &mut Remembered, taken: &Taken, revision: &str) -> bool {
    match taken {
        Taken::Nothing => {
            remembered.plan = None;
            remembered.state = APPLIED.to_owned();
        }
        Taken::Planned { planned, .. } if planned.plan.leaves_nothing_to_decide() => {
            remembered.plan = None;
            remembered.state = APPLIED.to_owned();
        }
        Taken::Planned { planned, .. } => {
            remembered.plan = Some(planned.plan.hash.0.clone());
            remembered.state = planned
                .state
                .unwrap_or(PlanState::Waiting)
                .name()
                .to_owned();
        }
        Taken::Decided(state, hash) => {
            remembered.plan = Some(hash.0.clone());
            remembered.state = state.name().to_owned();
        }
    }
    remembered.message = String::new();
    let blocked = match taken {
        Taken::Planned { blocked, .. } => blocked.as_ref(),
        Taken::Nothing | Taken::Decided(..) => None,
    };
    remembered.tripped = blocked.map(|_| revision.to_owned());
    if let Some(why) = blocked {
        remembered.message = line(why);
    }
    remembered.state == APPLIED
}

/// Why nobody may approve what follows from a reading, if so.
fn why_blocked(source: &str, reading: &Reading) -> Option<String> {
    let advice = format!(
        "if that is meant, an operator resets the fuse: bailiwick source reset {source} --as person:NAME"
    );
    if let Some(rewritten) = &reading.rewritten {
        return Some(format!(
            "the fuse of source `{source}` tripped: its history was rewritten, {} is no longer part of {}; {advice}",
            rewritten.from, rewritten.to
        ));
    }
    reading.emptied.then(|| {
        format!("the fuse of source `{source}` tripped: it has no documents any more; {advice}")
    })
}
