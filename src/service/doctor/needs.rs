//! What documents take: for the plan they make now, and for bringing their objects back to them whatever drifts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Diagnosis, Ward};
use crate::configuration::Cluster;
use crate::document::desired::Desired;
use crate::document::{Deletion, Document};
use crate::ids::GuestKind;
use crate::plan::{
    self, ApiView, Origin, Ownership, Plan, PlanInput, Privilege, needs as plan_needs,
};
use crate::proxmox::Client;
use crate::service::doctor::cluster::name_of;
use crate::service::planning::settings;
use crate::service::recipe::{Wants, item};
use crate::world::observe::{backup_configs, with_firewalls};
use crate::world::{Completeness, Guest, Part, World};

/// What the documents take and the token lacks.
#[allow(clippy::too_many_arguments)] // what the doctor knows by then
pub(super) async fn of_documents(
    ward: &Ward<'_>,
    cluster: &Cluster,
    client: &Client,
    world: &World,
    api: ApiView<'_>,
    documents: &[(Document, String)],
    name: &str,
    found: &mut Diagnosis,
) -> BTreeSet<Privilege> {
    let ownership = match &ward.store {
        Some(store) => crate::service::planning::ownership_of(store, &cluster.name).await,
        None => Ok(Ownership::default()),
    };
    let ownership = match ownership {
        Ok(ownership) => ownership,
        Err(error) => {
            found.skipped(name, error.to_string());
            return BTreeSet::new();
        }
    };
    let lacked = |privileges: BTreeSet<Privilege>| -> BTreeSet<Privilege> {
        privileges
            .into_iter()
            .filter(|privilege| !world.may(&privilege.path, &privilege.privilege))
            .collect()
    };
    let now = match plan_of(cluster, client, world, api, documents, &ownership).await {
        Ok(plan) => lacked(plan_needs::of_plan(&plan, world)),
        Err(why) => {
            found.failed(&name_of(cluster, "documents"), why);
            BTreeSet::new()
        }
    };
    let copies = settings(cluster).safety_copy;
    let ever: BTreeSet<Privilege> = documents
        .iter()
        .flat_map(|(document, source)| {
            let desired = document.desired();
            let guest = guest_of(&desired, document, source, &ownership, world);
            let deletes = document.deletion() == Deletion::Delete;
            let copy = copies.as_ref();
            lacked(plan_needs::of_document(
                &desired, guest, deletes, copy, world,
            ))
        })
        .collect();
    let listed = |privileges: &BTreeSet<Privilege>| -> Vec<String> {
        let mut by_privilege: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for privilege in privileges {
            by_privilege
                .entry(&privilege.privilege)
                .or_default()
                .push(&privilege.path);
        }
        by_privilege
            .into_iter()
            .map(|(privilege, paths)| format!("{privilege} on {}", paths.join(", ")))
            .collect()
    };
    if !now.is_empty() {
        let mut check = found.failed(
            name,
            "the token lacks what the plan of these documents takes, so it would be refused:",
        );
        for line in listed(&now) {
            check.advise(line);
        }
    }
    let later: BTreeSet<Privilege> = ever.difference(&now).cloned().collect();
    if !later.is_empty() {
        let mut check = found.warning(
            name,
            "the token lacks what bringing objects back to their documents can take:",
        );
        for line in listed(&later) {
            check.advise(line);
        }
    }
    if now.is_empty() && later.is_empty() {
        found.ok(
            name,
            format!(
                "the token has what the documents take (looked at: {})",
                documents.len()
            ),
        );
    }
    now.union(&later).cloned().collect()
}

/// The guest a document is about, if it is there.
fn guest_of<'w>(
    desired: &Desired,
    document: &Document,
    source: &str,
    ownership: &Ownership,
    world: &'w World,
) -> Option<&'w Guest> {
    let Desired::Guest(desired) = desired else {
        return None;
    };
    let owned = ownership
        .of_document(&document.key().to_string(), source)
        .and_then(|(_, owned)| owned.vmid);
    let kind: GuestKind = desired.kind;
    let guest = world.guests.get(&desired.vmid.or(owned)?)?;
    (guest.kind == kind).then_some(guest)
}

/// The plan of the documents as if the token might do everything.
async fn plan_of(
    cluster: &Cluster,
    client: &Client,
    world: &World,
    api: ApiView<'_>,
    documents: &[(Document, String)],
    ownership: &Ownership,
) -> Result<Plan, String> {
    let mut world = world.clone();
    // A plan asks for privileges only where it is known what the token has.
    let why = "the doctor asks what a plan takes".to_owned();
    world
        .completeness
        .insert(Part::Permissions, Completeness::Unreadable { why });
    let items = documents
        .iter()
        .filter(|(document, _)| !document.suspended())
        .map(|(document, source)| {
            item(document, source, Wants::Present).map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    // What a secret is plays no part in what it takes to send it.
    let secrets = crate::service::recipe::secrets(&items)
        .into_iter()
        .map(|from| (from, String::new()))
        .collect();
    let firewalls = plan::firewalls_wanted(&items, ownership, &world);
    let world = with_firewalls(client, world, firewalls).await;
    let wanted = plan::backups_wanted(&items, ownership, &world);
    let backups = backup_configs(client, wanted).await;
    let input = PlanInput {
        cluster: cluster.name.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items,
        ownership,
        world: &world,
        api,
        settings: &settings(cluster),
        now: world.observed_at,
        secrets: &secrets,
        closed_files: &BTreeMap::new(),
        backups: &backups,
    };
    plan::make_plan(&input).map_err(|error| error.to_string())
}
