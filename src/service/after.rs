//! The worlds that a question is asked of: as it is now, and as it will be when all steps of a plan are done.

use std::sync::Arc;

use super::error::ServiceError;
use super::open::Service;
use crate::world::World;

/// The worlds of a question.
pub(super) struct AskedOf {
    /// The cluster's name.
    pub(super) cluster: String,
    /// As it is now.
    pub(super) now: Arc<World>,
    /// The plan's hash, and the world after it; or why nobody can tell.
    pub(super) after: Option<(String, Result<World, String>)>,
}

impl Service {
    /// The worlds of a question about a cluster, or about a plan, which has its own.
    ///
    /// # Errors
    /// The cluster or the plan does not exist, or the cluster could not be observed.
    pub(super) async fn asked_of(
        &self,
        cluster: Option<&str>,
        plan: Option<&str>,
    ) -> Result<AskedOf, ServiceError> {
        let plan = match plan {
            Some(prefix) => Some(self.plan(prefix).await?),
            None => None,
        };
        let cluster = match &plan {
            Some((stored, ..)) => self.cluster(Some(stored.head.cluster.as_str()))?,
            None => self.cluster(cluster)?,
        };
        let now = self.look(cluster).await?;
        let after = plan.map(|(_, plan, _)| {
            let mut end = World::clone(&now);
            for step in &plan.steps {
                match end.apply(&step.action) {
                    Ok(after) => end = after,
                    Err(error) => {
                        let why = format!("what step {} does cannot be told: {error}", step.id);
                        return (plan.hash.to_string(), Err(why));
                    }
                }
            }
            (plan.hash.to_string(), Ok(end))
        });
        Ok(AskedOf {
            cluster: cluster.name.to_string(),
            now,
            after,
        })
    }
}
