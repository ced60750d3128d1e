//! `/cluster/replication`: replication jobs in `replication.cfg`. No data is replicated.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Auth, Call, Method};
use super::files;
use super::formats::{DIGEST, node_name};
use super::guest::drive::Drive;
use super::guest::kind::Kind as GuestKind;
use super::jobs::{schedule, set_all, shown};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config::{self, Section};
use super::state::{Cluster, Guest};

const REPLICATION: &str = "replication.cfg";
const UPDATE_DIGEST: &[Param] = &[Param::new("digest", DIGEST)];
const REPLICATE: &[Param] = &[
    Param::new("comment", Kind::TextMax(4096)),
    Param::new("disable", Kind::Boolean),
    Param::new("rate", Kind::Number(1.0)),
    Param::new("remove_job", Kind::Enum(&["local", "full"])),
    Param::new("schedule", Kind::Form(schedule)),
    Param::new("source", Kind::Form(node_name)),
];
const NEW_REPLICATION: &[Param] = &[
    Param::required("id", Kind::Form(replication_id)),
    Param::required("target", Kind::Form(node_name)),
    Param::required("type", Kind::Enum(&["local"])),
];
const REMOVE: &[Param] = &[
    Param::new("force", Kind::Boolean),
    Param::new("keep", Kind::Boolean),
];
const DELETE: &[Param] = &[Param::new("delete", Kind::TextMax(4096))];

const ON_NODE: &[Param] = &[Param::new("guest", super::formats::VMID)];

/// The routes of replication.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/cluster/replication", &[], Access::User, replications),
        route(
            Post,
            "/cluster/replication",
            &[NEW_REPLICATION, REPLICATE],
            Access::User,
            create_replication,
        ),
        route(
            Get,
            "/cluster/replication/{id}",
            &[],
            Access::User,
            replication,
        ),
        route(
            Put,
            "/cluster/replication/{id}",
            &[REPLICATE, DELETE, UPDATE_DIGEST],
            Access::User,
            update_replication,
        ),
        route(
            Get,
            "/nodes/{node}/replication",
            &[ON_NODE],
            Access::User,
            on_node,
        ),
        route(
            Delete,
            "/cluster/replication/{id}",
            &[REMOVE],
            Access::User,
            delete_replication,
        ),
    ]
}

fn replication_id(value: &str) -> Result<(), String> {
    let good = value.split_once('-').is_some_and(|(vmid, number)| {
        super::formats::vmid(vmid).is_ok()
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if good {
        Ok(())
    } else {
        Err(format!("invalid replication job id '{value}'"))
    }
}

fn guest_number(id: &str) -> u32 {
    id.split('-')
        .next()
        .and_then(|vmid| vmid.parse().ok())
        .unwrap_or(0)
}

fn shown_replication(section: &Section) -> Map<String, Value> {
    let mut map = shown(section);
    map.insert("guest".into(), json!(guest_number(&section.id)));
    map.insert(
        "jobnum".into(),
        json!(
            section
                .id
                .rsplit('-')
                .next()
                .and_then(|number| number.parse::<u32>().ok())
        ),
    );
    map
}

fn may_audit(cluster: &Cluster, auth: &Auth, id: &str) -> Result<(), ApiError> {
    cluster.check_all(auth, &format!("/vms/{}", guest_number(id)), &["VM.Audit"])
}

fn may_replicate(cluster: &Cluster, call: &Call) -> Result<(), ApiError> {
    cluster.check_all(
        &call.auth,
        &format!("/vms/{}", guest_number(call.text("id"))),
        &["VM.Replicate"],
    )
}

fn replications(cluster: &mut Cluster, call: &Call) -> Answer {
    let sections = section_config::parse(cluster.files.read(REPLICATION));
    let visible = sections
        .iter()
        .filter(|section| may_audit(cluster, &call.auth, &section.id).is_ok());
    Ok(visible
        .map(|section| Value::Object(shown_replication(section)))
        .collect())
}

/// How a node's jobs stand: nothing is ever copied here, so none has run yet.
fn on_node(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut answer = vec![];
    for section in section_config::parse(cluster.files.read(REPLICATION)) {
        let vmid = guest_number(&section.id);
        let wanted = call
            .get("guest")
            .is_none_or(|guest| guest == vmid.to_string());
        let guest = cluster
            .guest(vmid)
            .filter(|guest| guest.node == call.node());
        let (Some(guest), true) = (
            guest,
            wanted && may_audit(cluster, &call.auth, &section.id).is_ok(),
        ) else {
            continue;
        };
        let schedule = section.get("schedule").unwrap_or("*/15");
        let next = super::calendar::parse(schedule)
            .ok()
            .and_then(|event| event.next(cluster.clock.unix()));
        let mut map = shown_replication(&section);
        for (key, value) in [
            ("source", json!(call.node())),
            ("vmtype", json!(guest.kind.api())),
            ("fail_count", json!(0)),
            ("last_sync", json!(0)),
            ("last_try", json!(0)),
            ("next_sync", json!(next.unwrap_or(0))),
        ] {
            map.insert(key.to_owned(), value);
        }
        answer.push(Value::Object(map));
    }
    Ok(Value::Array(answer))
}

fn no_such(id: &str) -> ApiError {
    ApiError::internal(format!("no such replication job '{id}'"))
}

fn replication(cluster: &mut Cluster, call: &Call) -> Answer {
    may_audit(cluster, &call.auth, call.text("id"))?;
    let sections = section_config::parse(cluster.files.read(REPLICATION));
    let found = sections
        .iter()
        .find(|section| section.id == call.text("id"))
        .ok_or_else(|| no_such(call.text("id")))?;
    let mut map = shown_replication(found);
    map.insert("digest".into(), json!(cluster.files.digest(REPLICATION)));
    Ok(Value::Object(map))
}

fn create_replication(cluster: &mut Cluster, call: &Call) -> Answer {
    may_replicate(cluster, call)?;
    let id = call.text("id");
    let guest = cluster.guest(guest_number(id)).ok_or_else(|| {
        ApiError::internal(format!("guest '{}' does not exist", guest_number(id)))
    })?;
    if call.text("target") == guest.node {
        return Err(ApiError::parameter(
            "target",
            "Target and source node can't be the same",
        ));
    }
    if !cluster.nodes.contains_key(call.text("target")) {
        return Err(ApiError::internal(format!(
            "no such cluster node '{}'",
            call.text("target")
        )));
    }
    let config = super::guest::access::reload(cluster, &guest)
        .map_err(ApiError::internal)?
        .config;
    for drive in super::guest::drive::drives(guest.kind, &config.main, false) {
        check_volume(cluster, &drive)?;
    }
    let mut sections = section_config::parse(cluster.files.read(REPLICATION));
    let same = sections.iter().find(|section| {
        guest_number(&section.id) == guest.vmid && section.get("target") == call.get("target")
    });
    if let Some(same) = same.filter(|same| same.id != id) {
        return Err(ApiError::internal(format!(
            "replication job '{}' for guest '{}' to target '{}' already exists",
            same.id,
            guest.vmid,
            call.text("target")
        )));
    }
    if sections.iter().any(|section| section.id == id) {
        return Err(ApiError::internal(format!(
            "replication job '{id}' already exists"
        )));
    }
    let mut section = Section {
        kind: "local".into(),
        id: id.into(),
        lines: vec![],
    };
    set_all(&mut section, call);
    if section.get("source").is_none() {
        section.set("source", guest.node);
    }
    sections.push(section);
    cluster
        .files
        .set(REPLICATION, section_config::print(&sections));
    Ok(Value::Null)
}

fn update_replication(cluster: &mut Cluster, call: &Call) -> Answer {
    may_replicate(cluster, call)?;
    files::assert_unmodified(&cluster.files.digest(REPLICATION), call.get("digest"))?;
    let mut sections = section_config::parse(cluster.files.read(REPLICATION));
    let section = sections
        .iter_mut()
        .find(|section| section.id == call.text("id"))
        .ok_or_else(|| no_such(call.text("id")))?;
    set_all(section, call);
    for key in call.list("delete") {
        section.unset(&key);
    }
    cluster
        .files
        .set(REPLICATION, section_config::print(&sections));
    Ok(Value::Null)
}

/// That a guest's volume can be replicated, if it is to be.
fn check_volume(cluster: &Cluster, drive: &Drive) -> Result<(), ApiError> {
    if cluster.replicates(drive) {
        return Ok(());
    }
    let file = drive.file();
    Err(ApiError::internal(format!(
        "missing replicate feature on volume '{file}'"
    )))
}

/// Marks the job; the next run of the replication service removes it.
fn delete_replication(cluster: &mut Cluster, call: &Call) -> Answer {
    may_replicate(cluster, call)?;
    let id = call.text("id").to_owned();
    let mut sections = section_config::parse(cluster.files.read(REPLICATION));
    let section = sections
        .iter_mut()
        .find(|section| section.id == id)
        .ok_or_else(|| no_such(&id))?;
    section.set(
        "remove_job",
        if call.is_set("keep") { "local" } else { "full" },
    );
    let force = call.is_set("force");
    if force {
        sections.retain(|section| section.id != id);
    }
    cluster
        .files
        .set(REPLICATION, section_config::print(&sections));
    if !force {
        cluster.after(60.0, move |cluster| {
            let mut sections = section_config::parse(cluster.files.read(REPLICATION));
            sections.retain(|section| section.id != id || section.get("remove_job").is_none());
            cluster
                .files
                .set(REPLICATION, section_config::print(&sections));
        });
    }
    Ok(Value::Null)
}

impl Cluster {
    /// Whether a drive can be replicated, or need not be: only ZFS pools can, and shared storages need not.
    #[must_use]
    pub fn replicates(&self, drive: &Drive) -> bool {
        let Some((storage, _)) = drive.volume() else {
            return drive.is_cdrom() || drive.get("replicate") == Some("0");
        };
        let left_out = drive.is_cdrom()
            || drive.get("replicate") == Some("0")
            || super::guest::keys::is_unused(&drive.key);
        let found = self.storage(storage);
        left_out
            || found
                .is_none_or(|section| self.storage_is_shared(&section) || section.kind == "zfspool")
    }

    /// That a replicated guest is given no volume that cannot be replicated.
    ///
    /// # Errors
    /// Status 500 in Proxmox VE's words.
    pub fn check_replicated(&self, vmid: u32, drive: &Drive) -> Result<(), ApiError> {
        if self.replications_of(vmid).is_empty() || self.replicates(drive) {
            return Ok(());
        }
        Err(ApiError::internal(
            "cannot add non-replicatable volume to a replicated VM",
        ))
    }

    /// That replication does not stand in the way of a migration.
    ///
    /// # Errors
    /// The words of the refusal.
    pub fn check_replicated_move(
        &self,
        guest: &Guest,
        target: &str,
        live: bool,
    ) -> Result<(), String> {
        let jobs = self.replications_of(guest.vmid);
        let there = jobs.iter().find(|job| job.get("target") == Some(target));
        if live && guest.kind == GuestKind::Qemu && !jobs.is_empty() && there.is_none() {
            return Err(format!(
                "Cannot live-migrate replicated VM to node '{target}' - not a replication target. Use 'force' to override."
            ));
        }
        match there {
            Some(job) if job.get("remove_job").is_some() => Err(format!(
                "refusing to migrate replicated {} whose replication job is marked for removal",
                guest.kind.noun()
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Turns the job to a guest's new node round, as a migration does.
    pub fn turn_replication(&mut self, vmid: u32, from: &str, to: &str) {
        let prefix = format!("{vmid}-");
        let mut sections = section_config::parse(self.files.read(REPLICATION));
        let mut jobs = sections.iter_mut();
        let turned = jobs.find(|job| job.id.starts_with(&prefix) && job.get("target") == Some(to));
        if let Some(job) = turned {
            job.set("target", from);
            job.set("source", to);
            self.files
                .set(REPLICATION, section_config::print(&sections));
        }
    }

    /// Replication jobs of a guest.
    #[must_use]
    pub fn replications_of(&self, vmid: u32) -> Vec<Section> {
        let prefix = format!("{vmid}-");
        let sections = section_config::parse(self.files.read(REPLICATION));
        sections
            .into_iter()
            .filter(|section| section.id.starts_with(&prefix))
            .collect()
    }

    /// Removes all replication jobs of a guest, as a destroy with `purge` does.
    pub fn forget_replications(&mut self, vmid: u32) {
        let prefix = format!("{vmid}-");
        let mut sections = section_config::parse(self.files.read(REPLICATION));
        let before = sections.len();
        sections.retain(|section| !section.id.starts_with(&prefix));
        if sections.len() != before {
            self.files
                .set(REPLICATION, section_config::print(&sections));
        }
    }
}
