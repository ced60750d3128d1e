//! The worlds that a running loop keeps up to date, so that looking and planning cost no observation each. What is about to be run
//! is always planned on a world of its own, read whole right before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::error::ServiceError;
use super::open::Service;
use crate::configuration::Cluster;
use crate::ids::ClusterName;
use crate::world::World;

/// The worlds kept, each good until a time.
#[derive(Debug, Clone, Default)]
pub struct Worlds {
    kept: Arc<Mutex<BTreeMap<ClusterName, (Arc<World>, Timestamp)>>>,
}

impl Worlds {
    /// Keeps a cluster's world, which is good until this time.
    pub fn keep(&self, world: Arc<World>, good_until: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(world.cluster.clone(), (world, good_until));
    }

    /// Forgets a cluster's world: something changed it.
    pub fn forget(&self, cluster: &ClusterName) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(cluster);
    }

    /// A cluster's world, if it is still good.
    pub fn good(&self, cluster: &ClusterName, now: Timestamp) -> Option<Arc<World>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(cluster)
            .filter(|(_, good_until)| now <= *good_until)
            .map(|(world, _)| Arc::clone(world))
    }
}

impl Service {
    /// The worlds that the loop keeps.
    pub fn worlds(&self) -> &Worlds {
        &self.worlds
    }

    /// A cluster's world for looking and planning: the one that a running loop keeps, else one read now.
    pub async fn look(&self, cluster: &Cluster) -> Result<Arc<World>, ServiceError> {
        match self.worlds.good(&cluster.name, self.now()) {
            Some(world) => Ok(world),
            None => Ok(Arc::new(self.observe(cluster).await?)),
        }
    }
}
