//! The cluster-wide lists, again. Each is read whole and compared with what was there: what is the same stays the same in memory,
//! so that a world of which nothing changed costs nothing to compare.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::difference::same_definition;
use super::due::Reading;
use super::rotation::List;
use super::turn::Turn;
use crate::ids::PoolId;
use crate::proxmox::{ApiError, ErrorClass};
use crate::world::model::Part;
use crate::world::observe::accounts::realm_digest;
use crate::world::observe::{Why, each, json};

/// Puts what is the same as before back in its place; says whether something that was there is not there now.
pub(super) fn keep<K: Ord, V: PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    now: &mut BTreeMap<K, Arc<V>>,
) -> bool {
    for (key, value) in now.iter_mut() {
        if let Some(known) = before.get(key).filter(|known| *known == value) {
            *value = Arc::clone(known);
        }
    }
    before.keys().any(|key| !now.contains_key(key))
}

/// Reads a map of the world anew with a function of the observation that fills it.
macro_rules! again {
    ($turn:expr, $field:ident, $read:expr, $part:expr) => {{
        let before = std::mem::take(&mut $turn.seen.world.$field);
        let part = $turn.seen.$field($read);
        $turn.shrunk |= keep(&before, &mut $turn.seen.world.$field);
        $turn.seen.mark($part, part);
        let same = before == $turn.seen.world.$field;
        if same {
            $turn.seen.world.$field = before;
        }
        same
    }};
}

impl Turn<'_> {
    /// Reads the lists that are due, but for what the token may see, which was read before them.
    pub(super) async fn lists_again(&mut self) {
        let (now, later): (Vec<List>, Vec<List>) = std::mem::take(&mut self.due.lists)
            .into_iter()
            .partition(|list| !matches!(list, List::Permissions | List::Acl));
        self.due.lists.extend(later);
        let mut rules_due = now.contains(&List::HaRules);
        // Before Proxmox VE 9 groups stand in for rules, and a resource names its group.
        let old = self.has_groups();
        let calls: Vec<List> = now
            .into_iter()
            .filter(|list| *list != List::HaRules || !old)
            .collect();
        let reads = self.seen.reads.clone();
        let answers = each(calls, |list| {
            let reads = reads.clone();
            async move { (list, reads.data(list.call()).await) }
        });
        let mut rules = None;
        let (mut realms_changed, mut settings) = (false, None);
        for (list, answer) in answers.await {
            match list {
                List::Permissions | List::Acl => {}
                List::HaRules => rules = Some(answer),
                List::HaResources => {
                    let same = again!(self, ha_resources, answer, Part::HaResources);
                    rules_due |= old && !same;
                }
                List::ClusterStatus => self.members(answer),
                List::Storages => self.storages(answer),
                List::Pools => self.pool_list(answer),
                List::Options => self.options(answer),
                List::BackupJobs => {
                    again!(self, backup_jobs, answer, Part::BackupJobs);
                }
                List::ReplicationJobs => {
                    again!(self, replication_jobs, answer, Part::ReplicationJobs);
                }
                List::Users => {
                    again!(self, users, answer, Part::Users);
                }
                List::Groups => {
                    again!(self, groups, answer, Part::Groups);
                }
                List::Roles => {
                    again!(self, roles, answer, Part::Roles);
                }
                List::Realms => {
                    realms_changed = !again!(self, realms, answer, Part::Realms);
                }
                List::RealmSettings => settings = Some(answer),
            }
        }
        if rules_due {
            self.rules(rules).await;
        }
        if realms_changed || settings.is_some() {
            self.realm_settings(settings).await;
        }
    }

    /// How the realms are set, read again where the digest of all says that something changed, or where there are other realms.
    async fn realm_settings(&mut self, read: Option<Result<Value, ApiError>>) {
        let world = &self.seen.world;
        let known = &world.realm_settings;
        let part = match (world.unreadable(&Part::Realms), read) {
            (Some(why), _) => Err(why.to_owned()),
            (None, Some(Err(error))) => Err(error.to_string()),
            (None, Some(Ok(data)))
                if realm_digest(&data).is_some_and(|digest| digest == known.digest)
                    && known.of.keys().eq(world.realms.keys()) =>
            {
                Ok(())
            }
            (None, _) => self.seen.realm_settings().await,
        };
        self.seen.mark(Part::RealmSettings, part);
    }

    fn has_groups(&self) -> bool {
        let major = self.seen.world.version.split('.').next();
        major
            .and_then(|major| major.parse::<u32>().ok())
            .is_some_and(|major| major < 9)
    }

    async fn rules(&mut self, read: Option<Result<Value, ApiError>>) {
        let before = std::mem::take(&mut self.seen.world.ha_rules);
        let part = match read {
            Some(Err(error)) if error.class() == ErrorClass::NotImplemented => {
                self.seen.ha_groups().await
            }
            Some(read) => self.seen.ha_rules(read),
            None => self.seen.ha_groups().await,
        };
        self.shrunk |= keep(&before, &mut self.seen.world.ha_rules);
        self.seen.mark(Part::HaRules, part);
    }

    fn options(&mut self, read: Result<Value, ApiError>) {
        let before = std::mem::take(&mut self.seen.world.options);
        let part = self.seen.options(read);
        if before == self.seen.world.options {
            self.seen.world.options = before;
        }
        self.seen.mark(Part::Options, part);
    }

    fn storages(&mut self, read: Result<Value, ApiError>) {
        let before = std::mem::take(&mut self.seen.world.storages);
        let part = self.seen.storages(read);
        let mut redefined = false;
        for (id, storage) in &mut self.seen.world.storages {
            let Some(known) = before.get(id) else {
                redefined = true;
                continue;
            };
            Arc::make_mut(storage).volumes = known.volumes.clone();
            if !same_definition(known, storage) {
                redefined = true;
                self.due.content(id.clone(), None, self.now);
            }
        }
        let gone = keep(&before, &mut self.seen.world.storages);
        self.shrunk |= gone;
        if redefined || gone {
            for node in self.seen.world.nodes.keys() {
                self.due.node(node, Reading::Storage);
            }
        }
        self.seen.mark(Part::Storages, part);
    }

    fn pool_list(&mut self, read: Result<Value, ApiError>) {
        let read = read.map_err(|error| error.to_string());
        match read.and_then(|list| listed_pools(&list)) {
            Ok(listed) => {
                for (id, comment) in &listed {
                    if self.pools.listed.get(id) != Some(comment) {
                        self.due.pool(id.clone(), self.now);
                    }
                }
                self.pools.list = None;
                self.pools.listed = listed;
            }
            Err(why) => {
                self.pools.list = Some(why);
                self.pools.listed.clear();
            }
        }
        let listed = &self.pools.listed;
        let before = self.seen.world.pools.len();
        self.seen
            .world
            .pools
            .retain(|id, _| listed.contains_key(id));
        self.shrunk |= self.seen.world.pools.len() < before;
        self.pools.members.retain(|id, _| listed.contains_key(id));
        self.due.pools.retain(|id, _| listed.contains_key(id));
        self.seen.mark(Part::Pools, self.pools.read());
    }
}

/// The pools of the list, with their comments.
fn listed_pools(list: &Value) -> Result<BTreeMap<PoolId, Option<String>>, Why> {
    let ids = crate::world::observe::cluster::pool_ids(list)?;
    let comments = json::items(list)
        .map(|item| json::text(item, "comment").filter(|comment| !comment.is_empty()));
    Ok(ids.into_iter().zip(comments).collect())
}
