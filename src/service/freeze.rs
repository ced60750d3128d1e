//! Freezing and thawing: everybody may stop, and only people and the system may let go on.

use jiff::Timestamp;

use super::error::ServiceError;
use super::open::Service;
use crate::approval::Principal;
use crate::document::Kind;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::store::{Freeze, FreezeScope, NewFreeze};

impl Service {
    /// The scope that a cluster or kind names; everything when neither is given.
    pub fn freeze_scope(
        &self,
        cluster: Option<&str>,
        kind: Option<&str>,
    ) -> Result<FreezeScope, ServiceError> {
        match (cluster, kind) {
            (Some(cluster), _) => Ok(FreezeScope::Cluster(ClusterName::clone(
                &self.cluster(Some(cluster))?.name,
            ))),
            (None, Some(kind)) => {
                let known: Kind = kind
                    .parse()
                    .map_err(|error: crate::document::UnknownKind| {
                        ServiceError::Request(error.to_string())
                    })?;
                Ok(FreezeScope::Kind(known.as_str().to_owned()))
            }
            (None, None) => Ok(FreezeScope::Global),
        }
    }

    /// Stops every mutation in a scope: no run begins, and running ones stop at their next step. Returns the record's number.
    pub async fn freeze(
        &self,
        scope: FreezeScope,
        reason: &str,
        who: &Principal,
        until: Option<Timestamp>,
    ) -> Result<u64, ServiceError> {
        if reason.trim().is_empty() {
            return Err(ServiceError::Request(
                "a freeze needs a reason: whoever meets it will ask".to_owned(),
            ));
        }
        let now = self.now();
        if until.is_some_and(|until| until <= now) {
            return Err(ServiceError::Request(
                "the freeze would end before it begins: give a later --until".to_owned(),
            ));
        }
        let detail = serde_json::json!({
            "scope": scope.to_string(), "reason": reason.trim(), "until": until.map(|until| until.to_string()),
        });
        let mut tx = self.store.begin().await?;
        let new = NewFreeze {
            scope,
            reason: reason.trim().to_owned(),
            who: who.to_string(),
            since: now,
            until,
        };
        tx.freeze(&new).await?;
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::Frozen,
                "freeze",
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(record.seq)
    }

    /// Lifts the freezes of exactly this scope. An agent cannot.
    pub async fn thaw(
        &self,
        scope: &FreezeScope,
        who: &Principal,
    ) -> Result<(Vec<Freeze>, u64), ServiceError> {
        if !who.is_person() {
            return Err(ServiceError::Refused(format!(
                "{who} cannot lift a freeze: only a person can"
            )));
        }
        self.known_person(who)?;
        let mut tx = self.store.begin().await?;
        let lifted = tx.thaw(scope, &who.to_string(), self.now()).await?;
        if lifted.is_empty() {
            tx.rollback().await?;
            return Err(ServiceError::Request(format!(
                "no freeze of {scope} is in force; `bailiwick get freezes` lists those that are"
            )));
        }
        let detail = serde_json::json!({ "scope": scope.to_string(), "lifted": lifted.len() });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::Thawed,
                "freeze",
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok((lifted, record.seq))
    }
}
