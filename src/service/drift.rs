//! Drift: live objects that no longer match accepted documents nobody changed.

use super::error::ServiceError;
use super::open::Service;
use super::recipe::{Recipe, Text, read};
use super::submit::Planned;
use crate::approval::Principal;
use crate::configuration::serving::DriftMode;
use crate::document::{Document, Drift};
use crate::plan::Origin;
use crate::store;

/// The part of Bailiwick that speaks for drift.
pub const DRIFT_SOURCE: &str = "system:drift";

impl Service {
    /// What has drifted on a cluster, whatever its documents say about drift, as a plan that is not stored.
    pub async fn drift(
        &self,
        cluster: Option<&str>,
        submitter: &Principal,
    ) -> Result<Planned, ServiceError> {
        let cluster = self.cluster(cluster)?;
        let documents = self.store.documents(&cluster.name).await?;
        let recipe = drift_recipe(documents.into_iter(), &submitter.to_string(), false);
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
}

/// What happens to a document's drift: what it says itself, else what the configuration says.
pub(super) fn mode(document: &Document, configured: DriftMode) -> DriftMode {
    match document.drift() {
        Some(Drift::Observe) => DriftMode::Observe,
        Some(Drift::Propose) => DriftMode::Propose,
        Some(Drift::Enforce) => DriftMode::Enforce,
        None => configured,
    }
}

/// The recipe of a plan against the drift of these documents.
pub(super) fn drift_recipe(
    documents: impl Iterator<Item = store::Document>,
    submitter: &str,
    by_person: bool,
) -> Recipe {
    Recipe {
        origin: Origin::Drift,
        documents: documents
            .map(|stored| Text {
                file: format!("{}/{}", stored.document.kind, stored.document.name),
                text: stored.document.text,
            })
            .collect(),
        removed: Vec::new(),
        source: DRIFT_SOURCE.to_owned(),
        submitter: submitter.to_owned(),
        blocked: None,
        by_person,
        orphan: false,
        revision: None,
        signed_by: Vec::new(),
        run: None,
    }
}

/// A stored document, read.
pub(super) fn read_stored(stored: &store::Document) -> Result<Vec<Document>, ServiceError> {
    read(&[Text {
        file: format!("{}/{}", stored.document.kind, stored.document.name),
        text: stored.document.text.clone(),
    }])
}
