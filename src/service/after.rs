//! The worlds that a question is asked of: as it is now, and as it will be when all steps of a plan are done.

use std::sync::Arc;

use super::error::ServiceError;
use super::open::Service;
use crate::configuration::Cluster;
use crate::plan::Plan;
use crate::world::World;

/// What a question is about: a cluster, and the plan after which it is asked, if one is.
#[derive(Debug)]
pub struct AskedAbout<'s> {
    /// The cluster.
    pub cluster: &'s Cluster,
    plan: Option<Plan>,
}

/// The worlds of a question.
#[derive(Debug)]
pub struct AskedOf {
    /// The cluster's name.
    pub(super) cluster: String,
    /// As it is now.
    pub(super) now: Arc<World>,
    /// The plan's hash, and the world after it; or why nobody can tell.
    pub(super) after: Option<(String, Result<World, String>)>,
}

impl Service {
    /// What a question is about: a cluster, or a plan, which has its own.
    ///
    /// # Errors
    /// The cluster or the plan does not exist.
    pub async fn asked_about(
        &self,
        cluster: Option<&str>,
        plan: Option<&str>,
    ) -> Result<AskedAbout<'_>, ServiceError> {
        let Some(prefix) = plan else {
            let cluster = self.cluster(cluster)?;
            return Ok(AskedAbout {
                cluster,
                plan: None,
            });
        };
        let (stored, plan, _) = self.plan(prefix).await?;
        Ok(AskedAbout {
            cluster: self.cluster(Some(stored.head.cluster.as_str()))?,
            plan: Some(plan),
        })
    }
}

impl AskedAbout<'_> {
    /// The worlds of the question, where this is how the cluster is now.
    #[must_use]
    pub fn of(self, now: Arc<World>) -> AskedOf {
        let after = self.plan.map(|plan| {
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
        AskedOf {
            cluster: self.cluster.name.to_string(),
            now,
            after,
        }
    }
}
