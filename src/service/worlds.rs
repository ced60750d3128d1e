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
    kept: Arc<Mutex<BTreeMap<ClusterName, Kept>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    world: Arc<World>,
    good_until: Timestamp,
    /// When the last run ended whose effects it has.
    run_ended: Option<Timestamp>,
}

impl Worlds {
    /// Keeps a cluster's world, which is good until this time. It has the effects of every run that had ended by `run_ended`; once
    /// another run has ended it is no longer good.
    pub fn keep(&self, world: Arc<World>, good_until: Timestamp, run_ended: Option<Timestamp>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = world.cluster.clone();
        let new = Kept {
            world,
            good_until,
            run_ended,
        };
        kept.insert(cluster, new);
    }

    fn good(
        &self,
        cluster: &ClusterName,
        now: Timestamp,
        run_ended: Option<Timestamp>,
    ) -> Option<Arc<World>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(cluster)
            .filter(|kept| now <= kept.good_until && kept.run_ended == run_ended)
            .map(|kept| Arc::clone(&kept.world))
    }
}

impl Service {
    /// The worlds that the loop keeps.
    pub fn worlds(&self) -> &Worlds {
        &self.worlds
    }

    /// The world that a running loop keeps of a cluster, if it is still good.
    pub async fn known_world(
        &self,
        cluster: &ClusterName,
    ) -> Result<Option<Arc<World>>, ServiceError> {
        let run_ended = self.store.last_run_ended(cluster).await?;
        Ok(self.worlds.good(cluster, self.now(), run_ended))
    }

    /// A cluster's world for looking and planning: the one that a running loop keeps, else one read now.
    pub async fn look(&self, cluster: &Cluster) -> Result<Arc<World>, ServiceError> {
        match self.known_world(&cluster.name).await? {
            Some(world) => Ok(world),
            None => Ok(Arc::new(self.observe(cluster).await?)),
        }
    }
}
