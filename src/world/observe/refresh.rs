//! Reading again what a step touches, and nothing else: the executor's eyes. Unlike [`super::observe`] it fails when anything it
//! was asked for cannot be read, since a step must not begin or end on what nobody saw.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cluster::{Listed, guest_of_list, listed};
use super::nodes::guests;
use super::reads::Reads;
use super::sight::Sight;
use super::storages::{Wanted, ask};
use super::{Observation, ObserveSettings, each, json};
use crate::ids::{GuestKind, NodeName, StorageId, Vmid};
use crate::proxmox::{Call, Client, ErrorClass};
use crate::world::firewall::{FirewallPart, Place};
use crate::world::model::{Part, World};

/// Parts of a world to read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refresh {
    /// These guests: place, state, configuration, pending, snapshots. One that is gone is gone from the world afterwards.
    pub guests: BTreeSet<Vmid>,
    /// All storage definitions.
    pub storages: bool,
    /// The content of these storages as these nodes see it.
    pub content: BTreeSet<(NodeName, StorageId)>,
    /// All pools.
    pub pools: bool,
    /// The HA resources and rules.
    pub ha: bool,
    /// Backup and replication jobs.
    pub jobs: bool,
    /// The access control list.
    pub acl: bool,
    /// Of the users with their tokens, the groups, the roles and the access control list, those that have to be read whole.
    pub accounts: BTreeSet<Part>,
    /// These parts of firewalls, with their digests.
    pub firewalls: BTreeSet<(Place, FirewallPart)>,
}

/// The world with the wanted parts read again. Fails with the reason if one of them could not be read.
pub async fn refresh(client: &Client, world: World, wanted: &Refresh) -> Result<World, String> {
    let settings = ObserveSettings::all(world.cluster.clone());
    let mut seen = Observation {
        reads: Reads::new(client),
        settings: &settings,
        sight: Sight::new(Arc::clone(&world.permissions)),
        lost: std::collections::BTreeMap::new(),
        failed: crate::world::Shared::default(),
        world,
    };
    let Refresh {
        guests,
        storages,
        content,
        pools,
        ha,
        jobs,
        acl,
        accounts,
        firewalls,
    } = wanted;
    if !guests.is_empty() {
        seen.guests_again(guests).await?;
    }
    if *storages {
        seen.storages_again().await?;
    }
    seen.content_again(content).await?;
    if *pools {
        seen.world.pools.clear();
        let read = seen.reads.data(Call::get(["pools"])).await;
        seen.pools(read).await?;
        seen.whole(&Part::Pools)?;
    }
    if *ha {
        seen.ha_again().await?;
    }
    if *jobs {
        seen.world.backup_jobs.clear();
        seen.world.replication_jobs.clear();
        let read = seen.reads.data(Call::get(["cluster", "backup"])).await;
        seen.backup_jobs(read)?;
        seen.whole(&Part::BackupJobs)?;
        let read = seen.reads.data(Call::get(["cluster", "replication"])).await;
        seen.replication_jobs(read)?;
        seen.whole(&Part::ReplicationJobs)?;
    }
    if *acl {
        let read = seen.reads.data(Call::get(["access", "acl"])).await;
        seen.acl(read);
    }
    seen.accounts_again(accounts).await?;
    seen.firewalls_again(firewalls).await?;
    Ok(seen.world)
}

/// The world with the list of vnets, if it was not read.
pub async fn with_vnets(client: &Client, world: World) -> World {
    if world.firewalls.vnets.is_ok() {
        return world;
    }
    let settings = ObserveSettings::all(world.cluster.clone());
    let mut seen = onto(client, world, &settings);
    seen.vnets().await;
    seen.world
}

fn onto<'s>(client: &Client, world: World, settings: &'s ObserveSettings) -> Observation<'s> {
    Observation {
        reads: Reads::new(client),
        settings,
        sight: Sight::new(Arc::clone(&world.permissions)),
        lost: std::collections::BTreeMap::new(),
        failed: crate::world::Shared::default(),
        world,
    }
}

/// The world with these firewalls read too, whether or not they can have an effect. One that cannot be read says why, and is never
/// empty.
pub async fn with_firewalls(client: &Client, world: World, places: BTreeSet<Place>) -> World {
    let settings = ObserveSettings::all(world.cluster.clone());
    let mut seen = onto(client, world, &settings);
    seen.whole_firewalls(places).await;
    seen.world
}

impl Observation<'_> {
    async fn guests_again(&mut self, vmids: &BTreeSet<Vmid>) -> Result<(), String> {
        let call = Call::get(["cluster", "resources"]).param("type", "vm");
        let list = self
            .reads
            .data(call)
            .await
            .map_err(|error| error.to_string())?;
        let mut nodes: BTreeSet<NodeName> = BTreeSet::new();
        let mut there = BTreeSet::new();
        for item in json::items(&list) {
            let Listed::Guest(kind) = listed(item) else {
                continue;
            };
            let Some(guest) = guest_of_list(kind, item).filter(|guest| vmids.contains(&guest.vmid))
            else {
                continue;
            };
            nodes.insert(guest.node.clone());
            there.insert(guest.vmid);
            self.world.guests.insert(guest.vmid, Arc::new(guest));
        }
        self.world
            .guests
            .retain(|vmid, _| !vmids.contains(vmid) || there.contains(vmid));
        let reads = self.reads.clone();
        let lists: Vec<(NodeName, GuestKind)> = nodes
            .into_iter()
            .flat_map(|node| [(node.clone(), GuestKind::Qemu), (node, GuestKind::Lxc)])
            .collect();
        let lists = each(lists, |(node, kind)| {
            let reads = reads.clone();
            async move {
                let read = guests(&reads, &node, kind).await;
                (node, kind, read)
            }
        });
        for (node, kind, read) in lists.await {
            self.running(&node, kind, &read.map_err(|error| error.to_string())?);
        }
        self.some_guests(&there).await;
        for vmid in there {
            for part in [Part::GuestConfig(vmid), Part::GuestSnapshots(vmid)] {
                if let Some(why) = self.world.unreadable(&part) {
                    return Err(format!("{part}: {why}"));
                }
            }
        }
        Ok(())
    }

    async fn storages_again(&mut self) -> Result<(), String> {
        let before = std::mem::take(&mut self.world.storages);
        let read = self.reads.data(Call::get(["storage"])).await;
        self.storages(read)?;
        self.whole(&Part::Storages)?;
        for (id, storage) in &mut self.world.storages {
            if let Some(known) = before.get(id) {
                Arc::make_mut(storage).volumes = known.volumes.clone();
            }
        }
        Ok(())
    }

    async fn content_again(
        &mut self,
        content: &BTreeSet<(NodeName, StorageId)>,
    ) -> Result<(), String> {
        for (node, storage) in content {
            let wanted = Wanted {
                storage: storage.clone(),
                nodes: vec![node.clone()],
            };
            let (wanted, answer) = ask(self.reads.clone(), wanted).await;
            if let Err(why) = &answer {
                return Err(format!(
                    "the content of storage {storage} on node {node}: {why}"
                ));
            }
            self.content_read(wanted, answer);
        }
        Ok(())
    }

    async fn ha_again(&mut self) -> Result<(), String> {
        self.world.ha_resources.clear();
        self.world.ha_rules.clear();
        let (resources, rules) = tokio::join!(
            self.reads.data(Call::get(["cluster", "ha", "resources"])),
            self.reads.data(Call::get(["cluster", "ha", "rules"])),
        );
        self.ha_resources(resources)?;
        self.whole(&Part::HaResources)?;
        match rules {
            Err(error) if error.class() == ErrorClass::NotImplemented => self.ha_groups().await?,
            rules => self.ha_rules(rules)?,
        }
        self.whole(&Part::HaRules)
    }
}
