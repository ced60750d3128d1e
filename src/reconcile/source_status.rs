//! What is said of sources: conditions of the source and its documents, and what is written back to it.

use std::collections::BTreeMap;

use super::work::ClusterWorker;
use crate::ids::ClusterName;
use crate::plan::words::line;
use crate::service::ServiceError;
use crate::service::incoming::Hashes;
use crate::service::sources::Remembered;
use crate::sources::{ClusterStatus, Reading, Source, SourceError, Verified};
use crate::store::{ConditionStatus, ConditionType, NewCondition};

impl ClusterWorker {
    /// Says of each document of a reading whether it comes from signed commits, where that is asked for.
    pub(super) async fn documents_verified(
        &self,
        cluster: &ClusterName,
        reading: &Reading,
        hashes: &Hashes,
    ) -> Result<(), ServiceError> {
        if reading.verified == Verified::NotAsked {
            return Ok(());
        }
        let store = self.service.store();
        for key in hashes.keys() {
            let stored = match key.split_once('/') {
                Some((kind, name)) => store.document(cluster, kind, name).await?,
                None => None,
            };
            let condition = NewCondition {
                kind: ConditionType::SourceVerified,
                status: ConditionStatus::True,
                reason: "Signed".to_owned(),
                message: format!("as of {}", reading.revision),
                observed_generation: stored.map_or(0, |stored| stored.generation),
            };
            self.conditions_of(cluster, key, &[condition]).await?;
        }
        Ok(())
    }

    /// Says that a source could not be read.
    pub(super) async fn failed_source(
        &self,
        source: &Source,
        cluster: &ClusterName,
        error: &SourceError,
    ) -> Result<(), ServiceError> {
        let word = match error {
            SourceError::Unverified { .. } => "Unverified",
            _ => "CannotRead",
        };
        self.source_conditions(source, cluster, None, Some((word, &error.to_string())), &[])
            .await
    }

    /// Says of a source how it is with it.
    pub(super) async fn source_conditions(
        &self,
        source: &Source,
        cluster: &ClusterName,
        reading: Option<&Reading>,
        failed: Option<(&str, &str)>,
        warnings: &[String],
    ) -> Result<(), ServiceError> {
        let condition = |kind, status, reason: &str, message: &str| NewCondition {
            kind,
            status,
            reason: reason.to_owned(),
            message: line(message),
            observed_generation: 0,
        };
        let mut new = Vec::new();
        match failed {
            None => {
                let reason = if warnings.is_empty() {
                    "SourceRead"
                } else {
                    "PassedOver"
                };
                new.push(condition(
                    ConditionType::Ready,
                    ConditionStatus::True,
                    reason,
                    &warnings.join("; "),
                ));
                new.push(condition(
                    ConditionType::Stalled,
                    ConditionStatus::False,
                    "Moving",
                    "",
                ));
            }
            Some((reason, why)) => {
                new.push(condition(
                    ConditionType::Ready,
                    ConditionStatus::False,
                    reason,
                    why,
                ));
                new.push(condition(
                    ConditionType::Stalled,
                    ConditionStatus::True,
                    reason,
                    why,
                ));
                if reason == "Unverified" {
                    let kind = ConditionType::SourceVerified;
                    new.push(condition(kind, ConditionStatus::False, reason, why));
                }
            }
        }
        if let Some(Reading {
            verified: Verified::All { commits, keys, .. },
            revision,
            ..
        }) = reading
        {
            let message = format!(
                "{commits} commits up to {revision} are signed, with {}",
                keys.iter().cloned().collect::<Vec<_>>().join(", ")
            );
            let kind = ConditionType::SourceVerified;
            new.push(condition(kind, ConditionStatus::True, "Signed", &message));
        }
        let object = format!("source/{}", source.name());
        let told = self.conditions_of(cluster, &object, &new).await?;
        if told {
            for why in failed
                .map(|(_, why)| why)
                .into_iter()
                .chain(warnings.iter().map(String::as_str))
            {
                self.tell(true, format!("source {}: {why}", source.name()));
            }
        }
        Ok(())
    }

    /// Writes back what became of each cluster's revision, where that changed.
    pub(super) async fn write_back(&self, source: &Source) -> Result<(), ServiceError> {
        let store = self.service.store();
        let mut revisions: BTreeMap<String, Vec<ClusterStatus>> = BTreeMap::new();
        let mut fresh = Vec::new();
        for cluster in source.clusters() {
            let Some(state) = store.source_state(source.name(), &cluster).await? else {
                continue;
            };
            let remembered = Remembered::of(Some(&state));
            // What waits behind its fuse is not seen; what is to be said is about it all the same.
            let Some(seen) = remembered.tripped.clone().or_else(|| state.seen.clone()) else {
                continue;
            };
            let standing = format!("{seen} {} {:?}", remembered.state, remembered.plan);
            if standing != remembered.written {
                fresh.push((cluster.clone(), standing));
            }
            revisions.entry(seen).or_default().push(ClusterStatus {
                cluster,
                state: remembered.state,
                plan: remembered.plan,
                message: remembered.message,
            });
        }
        if fresh.is_empty() {
            return Ok(());
        }
        for (revision, statuses) in &revisions {
            let written = source
                .write_status(revision, statuses, self.service.now())
                .await;
            if let Err(error) = written {
                // Tried again at the next look; what is read does not depend on it.
                self.tell(true, format!("source {}: {error}", source.name()));
                return Ok(());
            }
        }
        for (cluster, standing) in fresh {
            let state = store.source_state(source.name(), &cluster).await?;
            let mut remembered = Remembered::of(state.as_ref());
            remembered.written = standing;
            if let Some(state) = state {
                self.remember(source, &cluster, state.seen, state.applied, &remembered)
                    .await?;
            }
        }
        Ok(())
    }
}
