//! Reading a cluster: everything the model names, once, with bounded concurrency. What cannot be read is marked so with the
//! reason; what the token may not see is marked too, since Proxmox VE shows an empty list where it hides (rule G2). This module
//! reads and never writes, and judges nothing.

pub(super) mod accounts;
mod backups;
pub(super) mod cluster;
pub(super) mod firewall;
pub(super) mod guests;
pub(super) mod json;
pub(super) mod nodes;
pub(super) mod reads;
mod refresh;
pub(super) mod sight;
pub(super) mod storages;
mod whole;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::model::{Completeness, Part, World};
use super::shared::Shared;
use crate::ids::{ClusterName, NodeName};
use crate::proxmox::{ApiError, Call, Client, ErrorClass};
pub use backups::backup_configs;
use reads::Reads;
pub use refresh::{Refresh, refresh, with_firewalls, with_vnets};
use sight::{Permissions, Sight};
pub use sight::{READING, permissions as permissions_of, shown_by};

/// What to read, and under which name.
#[derive(Debug, Clone)]
pub struct ObserveSettings {
    /// The cluster's name in Bailiwick's configuration.
    pub cluster: ClusterName,
    /// Whether to read what lies on the storages (one call per storage and node).
    pub contents: bool,
    /// Whether to read the snapshots (one call per guest, and one per snapshot).
    pub snapshots: bool,
    /// Whether to read the firewalls that can have an effect (some calls per guest with such an interface, if the datacenter's is on).
    pub firewalls: bool,
}

impl ObserveSettings {
    /// Everything.
    pub fn all(cluster: ClusterName) -> Self {
        Self {
            cluster,
            contents: true,
            snapshots: true,
            firewalls: true,
        }
    }
}

/// A cluster that could not be observed at all.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The token may do nothing.
    #[error(
        "the API token {token} has no privileges on cluster {cluster}: Proxmox VE shows it an empty cluster; give it a role such as \
         PVEAuditor on / (Datacenter, Permissions, Add, API Token Permission), and to its user as well if privilege separation is on"
    )]
    NoPrivileges {
        /// The token's id.
        token: String,
        /// The cluster's name.
        cluster: ClusterName,
    },
    /// The token is not accepted.
    #[error(
        "cluster {cluster} does not accept the API token {token}: it does not exist, has expired, or its secret is wrong; make a new \
         one under Datacenter, Permissions, API Tokens"
    )]
    Unauthenticated {
        /// The token's id.
        token: String,
        /// The cluster's name.
        cluster: ClusterName,
        /// What Proxmox VE said.
        #[source]
        source: Box<ApiError>,
    },
    /// Something without which there is nothing to observe could not be read.
    #[error("cluster {cluster} cannot be observed")]
    Api {
        /// The cluster's name.
        cluster: ClusterName,
        /// Why.
        #[source]
        source: Box<ApiError>,
    },
}

impl ObserveError {
    /// The error of an observation that an API error ends.
    pub(super) fn of(source: ApiError, reads: &Reads, settings: &ObserveSettings) -> Self {
        let cluster = settings.cluster.clone();
        let source = Box::new(source);
        match source.class() {
            ErrorClass::Unauthenticated => Self::Unauthenticated {
                token: reads.token_id().to_owned(),
                cluster,
                source,
            },
            _ => Self::Api { cluster, source },
        }
    }
}

/// Why a part is unreadable, in words.
pub(super) type Why = String;

/// The parts read so far, into a world.
pub(super) struct Observation<'a> {
    pub(super) reads: Reads,
    pub(super) settings: &'a ObserveSettings,
    pub(super) sight: Sight,
    /// Nodes that are offline or do not answer, with the reason.
    pub(super) lost: BTreeMap<NodeName, Why>,
    /// Parts that could not be read, with the reason; not those that were read but hide something from the token.
    pub(super) failed: Shared<Part, Why>,
    pub(super) world: World,
}

/// Observes a cluster. Fails only when the token or the connection is no good, or the list of what there is cannot be read;
/// everything else that fails is a part marked unreadable.
pub async fn observe(client: &Client, settings: &ObserveSettings) -> Result<World, ObserveError> {
    let seen = everything(Reads::new(client), settings).await?;
    Ok(seen.world)
}

/// Observes a cluster; gives what is known besides the world, too.
pub(super) async fn everything(
    reads: Reads,
    settings: &ObserveSettings,
) -> Result<Observation<'_>, ObserveError> {
    let permissions = permissions(&reads, settings).await?;
    let fail = |source| ObserveError::of(source, &reads, settings);
    let (version, resources, acl) = tokio::join!(
        reads.data(Call::get(["version"])),
        reads.data(Call::get(["cluster", "resources"])),
        reads.data(Call::get(["access", "acl"])),
    );
    let version = json::text(&version.map_err(fail)?, "version").unwrap_or_default();
    let resources = resources.map_err(fail)?;
    let mut seen = Observation {
        reads,
        settings,
        sight: Sight::new(Arc::new(permissions)),
        lost: BTreeMap::new(),
        failed: Shared::default(),
        world: World::unread(settings.cluster.clone(), Timestamp::now()),
    };
    seen.world.version = version;
    seen.world.controller = Some(seen.reads.token_id().to_owned());
    seen.mark(Part::Permissions, Ok(()));
    seen.acl(acl);
    seen.cluster_wide().await;
    seen.accounts().await;
    seen.resources(&resources);
    seen.nodes().await;
    seen.guests().await;
    if settings.firewalls {
        seen.firewalls().await;
    }
    if settings.contents {
        seen.contents().await;
    }
    seen.world.permissions = seen.sight.permissions();
    seen.world.observed_at = Timestamp::now();
    Ok(seen)
}

/// Reads the token's own privileges; one that has none is an error.
pub(super) async fn permissions(
    reads: &Reads,
    settings: &ObserveSettings,
) -> Result<Permissions, ObserveError> {
    let permissions = reads
        .data(Call::get(["access", "permissions"]))
        .await
        .map_err(|source| ObserveError::of(source, reads, settings))?;
    let permissions = sight::permissions(&permissions);
    if permissions.values().all(BTreeMap::is_empty) {
        return Err(ObserveError::NoPrivileges {
            token: reads.token_id().to_owned(),
            cluster: settings.cluster.clone(),
        });
    }
    Ok(permissions)
}

impl Observation<'_> {
    /// Marks a part as read, or as unreadable with the reason: because reading it failed, or because the token does not see all
    /// of it.
    pub(super) fn mark(&mut self, part: Part, read: Result<(), Why>) {
        // A map that others share is copied when it is written to: not for the same once more.
        if self.failed.get(&part) != read.as_ref().err() {
            match &read {
                Ok(()) => self.failed.remove(&part),
                Err(why) => self.failed.insert(part.clone(), why.clone()),
            };
        }
        let completeness = match read.and_then(|()| self.whole(&part)) {
            Ok(()) => Completeness::Complete {
                at: Timestamp::now(),
            },
            Err(why) => Completeness::Unreadable { why },
        };
        let known = self.world.completeness.get(&part);
        let same = match (known, &completeness) {
            (Some(Completeness::Complete { .. }), Completeness::Complete { .. }) => true,
            (known, now) => known == Some(now),
        };
        if !same {
            self.world.completeness.insert(part, completeness);
        }
    }
}

/// Runs the same for each item at once (the client bounds how many calls are under way) and gives the results in the items'
/// order.
pub(super) async fn each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> Vec<R>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut set = JoinSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let future = work(item);
        set.spawn(async move { (index, future.await) });
    }
    let mut results = set.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
