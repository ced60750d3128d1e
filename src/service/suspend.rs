//! Suspending and resuming what the loop does by itself, and wishing that it look now. What a person submits, approves and runs by
//! hand is not touched by a suspension: to stop that there is the freeze.

use super::error::ServiceError;
use super::open::Service;
use crate::approval::Principal;
use crate::ids::ClusterName;
use crate::ledger::Action;
use crate::store::{SuspendScope, Suspension, Trigger};

/// What can be suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendTarget {
    /// What kind of thing.
    pub scope: SuspendScope,
    /// Its name, as it is stored.
    pub name: String,
}

impl SuspendTarget {
    fn subject(&self) -> String {
        match self.scope {
            SuspendScope::Cluster => format!("cluster/{}", self.name),
            SuspendScope::Source => format!("source/{}", self.name),
            SuspendScope::Object => self
                .name
                .split_once('/')
                .map_or(self.name.as_str(), |(_, key)| key)
                .to_owned(),
        }
    }
}

impl Service {
    /// What a word names: `cluster/lab`, `source/git:infra`, or a document (`VirtualMachine/web-7`) of a cluster.
    pub fn suspend_target(
        &self,
        what: &str,
        cluster: Option<&str>,
    ) -> Result<SuspendTarget, ServiceError> {
        let unknown = || {
            ServiceError::Request(format!(
                "`{}` cannot be suspended: say cluster/NAME, source/NAME (such as source/git:infra), or KIND/NAME of a document",
                crate::plan::words::clean(what)
            ))
        };
        let (kind, name) = what.split_once('/').ok_or_else(unknown)?;
        match kind {
            "cluster" => Ok(SuspendTarget {
                scope: SuspendScope::Cluster,
                name: self.cluster(Some(name))?.name.to_string(),
            }),
            "source" => {
                let named = crate::approval::policy::SOURCE_KINDS
                    .iter()
                    .any(|kind| name.len() > kind.len() && name.starts_with(kind));
                if !named {
                    return Err(unknown());
                }
                Ok(SuspendTarget {
                    scope: SuspendScope::Source,
                    name: name.to_owned(),
                })
            }
            kind => {
                let kind: crate::document::Kind =
                    kind.parse()
                        .map_err(|error: crate::document::UnknownKind| {
                            ServiceError::Request(error.to_string())
                        })?;
                let cluster = self.cluster(cluster)?;
                Ok(SuspendTarget {
                    scope: SuspendScope::Object,
                    name: object_name(&cluster.name, &format!("{}/{name}", kind.as_str())),
                })
            }
        }
    }

    /// Refuses what names nothing: a source or document that is not there would only seem to be suspended.
    pub async fn is_there(&self, target: &SuspendTarget) -> Result<(), ServiceError> {
        let missing = match target.scope {
            SuspendScope::Cluster => None,
            SuspendScope::Source => {
                let known = self.configuration.sources.contains_key(&target.name)
                    || self.owns_documents(&target.name).await?;
                (!known).then_some("get sources")
            }
            SuspendScope::Object => {
                let mut parts = target.name.splitn(3, '/');
                let named = (parts.next(), parts.next(), parts.next());
                let known = match named {
                    (Some(cluster), Some(kind), Some(name)) => {
                        let cluster = &self.cluster(Some(cluster))?.name;
                        self.store.document(cluster, kind, name).await?.is_some()
                            || !self
                                .store
                                .active_documents(cluster, Some(&format!("{kind}/{name}")))
                                .await?
                                .is_empty()
                    }
                    _ => false,
                };
                (!known).then_some("get documents")
            }
        };
        match missing {
            None => Ok(()),
            Some(list) => Err(ServiceError::NotFound(format!(
                "there is no {}; `bailiwick {list}` lists what there is",
                crate::plan::words::clean(&target.subject())
            ))),
        }
    }

    async fn owns_documents(&self, source: &str) -> Result<bool, ServiceError> {
        for cluster in &self.configuration.clusters {
            let documents = self.store.documents(&cluster.name).await?;
            if documents
                .iter()
                .any(|stored| stored.document.source == source)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What of a wish is suspended and so left alone: clusters, and the source.
    pub async fn left_alone(
        &self,
        cluster: Option<&str>,
        source: Option<&str>,
    ) -> Result<Vec<String>, ServiceError> {
        let suspended = self.store.suspensions().await?;
        let meant = |suspension: &&Suspension| match suspension.scope {
            SuspendScope::Cluster => cluster.is_none_or(|cluster| cluster == suspension.name),
            SuspendScope::Source => source.is_none_or(|source| source == suspension.name),
            SuspendScope::Object => false,
        };
        let named =
            |suspension: &Suspension| format!("{}/{}", suspension.scope.name(), suspension.name);
        Ok(suspended.iter().filter(meant).map(named).collect())
    }

    /// Suspends something. Everybody may: it only makes the loop do less.
    pub async fn suspend(
        &self,
        target: &SuspendTarget,
        reason: &str,
        who: &Principal,
    ) -> Result<u64, ServiceError> {
        if reason.trim().is_empty() {
            return Err(ServiceError::Request(
                "a suspension needs a reason: whoever meets it will ask".to_owned(),
            ));
        }
        let mut tx = self.store.begin().await?;
        tx.suspend(&Suspension {
            scope: target.scope,
            name: target.name.clone(),
            reason: reason.trim().to_owned(),
            who: who.to_string(),
            since: self.now(),
        })
        .await?;
        let detail = serde_json::json!({ "scope": target.scope.name(), "name": target.name, "reason": reason.trim() });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::Suspended,
                &target.subject(),
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(record.seq)
    }

    /// Lets the loop go on with something. Only a known person can.
    pub async fn resume_target(
        &self,
        target: &SuspendTarget,
        who: &Principal,
    ) -> Result<u64, ServiceError> {
        if !who.is_person() {
            return Err(ServiceError::Refused(format!(
                "{who} cannot lift a suspension: only a person can"
            )));
        }
        self.known_person(who)?;
        let mut tx = self.store.begin().await?;
        if !tx.resume(target.scope, &target.name).await? {
            tx.rollback().await?;
            return Err(ServiceError::Request(format!(
                "{} is not suspended; `bailiwick get suspensions` lists what is",
                target.subject()
            )));
        }
        let detail = serde_json::json!({ "scope": target.scope.name(), "name": target.name });
        let record = self
            .record(
                &mut tx,
                &who.to_string(),
                Action::Resumed,
                &target.subject(),
                None,
                detail,
            )
            .await?;
        tx.commit().await?;
        Ok(record.seq)
    }

    /// Wishes that a running loop look now. Returns the number to ask for with [`Service::trigger`].
    pub async fn wish(
        &self,
        cluster: Option<&str>,
        source: Option<&str>,
        who: &Principal,
    ) -> Result<u64, ServiceError> {
        let cluster = match cluster {
            Some(name) => Some(&self.cluster(Some(name))?.name),
            None => None,
        };
        if let Some(source) = source
            && !self.configuration.sources.contains_key(source)
        {
            return Err(ServiceError::Request(format!(
                "there is no source `{}` in the configuration",
                crate::plan::words::clean(source)
            )));
        }
        let mut tx = self.store.begin().await?;
        let id = tx
            .add_trigger(cluster, source, &who.to_string(), self.now())
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// What became of a wish.
    pub async fn trigger(&self, id: u64) -> Result<Option<Trigger>, ServiceError> {
        Ok(self.store.trigger(id).await?)
    }
}

/// How a document is named among what is suspended.
pub(super) fn object_name(cluster: &ClusterName, key: &str) -> String {
    format!("{cluster}/{key}")
}
