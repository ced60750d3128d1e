//! Where each source stands, and letting pass what its fuse held back.

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use super::incoming::Hashes;
use super::open::Service;
use crate::approval::Principal;
use crate::ledger::Action;
use crate::plan::words::clean;
use crate::store::SourceState;

/// What is remembered of a source and cluster beside its revisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Remembered {
    /// The hash of each document of the revision that was seen.
    pub hashes: Hashes,
    /// The plan that was made of it.
    pub plan: Option<String>,
    /// How it stands, in a word: `waiting`, `applied`, `refused`, …
    pub state: String,
    /// The same in a sentence.
    pub message: String,
    /// What was passed over in the revision that was seen, and why.
    pub warnings: Vec<String>,
    /// The revision whose fuse tripped.
    pub tripped: Option<String>,
    /// The revision that an operator let pass.
    pub reset: Option<String>,
    /// What was last written back.
    pub written: String,
}

impl Remembered {
    /// Reads what is stored. What cannot be read is forgotten: it is found out again.
    pub fn of(state: Option<&SourceState>) -> Self {
        state
            .and_then(|state| serde_json::from_str(&state.detail).ok())
            .unwrap_or_default()
    }
}

impl Service {
    /// Lets pass what a source's fuse held back: the revision that tripped it, and no other. Only a known person can. Returns the
    /// revisions that may pass now.
    pub async fn reset_fuse(
        &self,
        source: &str,
        reason: &str,
        who: &Principal,
    ) -> Result<Vec<String>, ServiceError> {
        if !who.is_person() {
            return Err(ServiceError::Refused(format!(
                "{who} cannot reset a fuse: only a person can"
            )));
        }
        self.known_person(who)?;
        if !self.configuration.sources.contains_key(source) {
            return Err(ServiceError::NotFound(format!(
                "there is no source `{}` in the configuration; `bailiwick get sources` lists them",
                clean(source)
            )));
        }
        let states = self.store.source_states().await?;
        let mut tx = self.store.begin().await?;
        let mut passed = Vec::new();
        for state in states.into_iter().filter(|state| state.source == source) {
            let mut remembered = Remembered::of(Some(&state));
            let Some(revision) = remembered.tripped.take() else {
                continue;
            };
            remembered.reset = Some(revision.clone());
            let detail = serde_json::json!({
                "source": source, "cluster": state.cluster.as_str(), "revision": revision, "reason": reason.trim(),
            });
            tx.put_source_state(&SourceState {
                detail: serde_json::to_string(&remembered)?,
                updated: self.now(),
                ..state
            })
            .await?;
            self.record(
                &mut tx,
                &who.to_string(),
                Action::FuseReset,
                &format!("source/{source}"),
                None,
                detail,
            )
            .await?;
            passed.push(revision);
        }
        if passed.is_empty() {
            tx.rollback().await?;
            return Err(ServiceError::Request(format!(
                "no fuse of the source `{}` has tripped; `bailiwick get sources` shows where each stands",
                clean(source)
            )));
        }
        tx.commit().await?;
        Ok(passed)
    }
}
