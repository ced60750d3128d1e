//! What there is: plans, documents, runs, freezes and live objects, as values every face can print.

mod firewall;

use serde_json::{Value, json};

use super::error::ServiceError;
use super::open::Service;
use crate::health::{Backups, Place};
use crate::ids::{ClusterName, GuestKind, TokenId};
use crate::plan::words::clean;
use crate::store::RunId;
use crate::world::{BackupJob, Guest, Selection, Status, World, views};

/// A list: a row of headings, and a row of texts for each thing; with the same as JSON.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The headings.
    pub headings: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
    /// The same, for programs.
    pub json: Vec<Value>,
}

impl List {
    /// A list with headings and no rows.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            ..Self::default()
        }
    }

    /// Adds a row; its JSON has the headings as names.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.map(|cell| clean(&cell));
        let object = self
            .headings
            .iter()
            .map(|name| name.to_lowercase())
            .zip(cells.iter().map(|cell| json!(cell)))
            .collect();
        self.json.push(Value::Object(object));
        self.rows.push(cells.to_vec());
    }
}

/// What can be listed.
pub const LISTS: &[&str] = &[
    "plans",
    "documents",
    "conditions",
    "runs",
    "freezes",
    "sources",
    "suspensions",
    "submissions",
    "vm",
    "ct",
    "storage",
    "pool",
    "backup-job",
    "replication-job",
    "token",
    "node",
    "group",
    "user",
    "role",
    "realm",
    "acl",
    "snapshot",
    "backups",
    "alias",
    "ipset",
    "security-group",
    "firewall",
];

impl Service {
    /// Lists what is asked for.
    pub async fn list(&self, what: &str, cluster: Option<&str>) -> Result<List, ServiceError> {
        match what {
            "plan" | "plans" => self.list_plans(cluster).await,
            "document" | "documents" => self.list_documents(cluster).await,
            "run" | "runs" => self.list_runs(cluster).await,
            "freeze" | "freezes" => self.list_freezes().await,
            "condition" | "conditions" => self.list_conditions(cluster).await,
            "source" | "sources" => self.list_sources().await,
            "suspension" | "suspensions" => self.list_suspensions().await,
            "submission" | "submissions" => self.list_submissions().await,
            "vm" | "vms" | "ct" | "cts" | "storage" | "storages" | "pool" | "pools" | "node"
            | "nodes" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(live(what.trim_end_matches('s'), &world))
            }
            "backup-job" | "backup-jobs" | "backupjob" | "backupjobs" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(live("backup-job", &world))
            }
            "snapshot" | "snapshots" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(snapshots(&world))
            }
            "alias" | "aliases" | "ipset" | "ipsets" | "security-group" | "security-groups"
            | "firewall" | "firewalls" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(firewall::list(what, &world))
            }
            "backup" | "backups" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(backups(&world, self.now()))
            }
            "group" | "groups" | "user" | "users" | "role" | "roles" | "realm" | "realms"
            | "acl" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(accounts(what.trim_end_matches('s'), &world))
            }
            "replication-job" | "replication-jobs" | "replicationjob" | "replicationjobs" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(live("replication-job", &world))
            }
            "token" | "tokens" | "api-token" | "api-tokens" | "apitoken" | "apitokens" => {
                let world = self.look(self.cluster(cluster)?).await?;
                Ok(live("token", &world))
            }
            other => {
                let near = LISTS
                    .iter()
                    .map(|near| (strsim::jaro(near, other), near))
                    .filter(|(likeness, _)| *likeness > 0.8)
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .map(|(_, near)| near);
                let near = near
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                Err(ServiceError::Request(format!(
                    "`{}` cannot be listed; there are: {}{near}",
                    clean(other),
                    LISTS.join(", ")
                )))
            }
        }
    }

    async fn list_plans(&self, cluster: Option<&str>) -> Result<List, ServiceError> {
        let cluster = cluster
            .map(|name| self.cluster(Some(name)))
            .transpose()?
            .map(|cluster| &cluster.name);
        let mut list = List::new(&["PLAN", "STATE", "RISK", "CLUSTER", "SUBMITTER", "CREATED"]);
        for head in self.store.plans(cluster, None, 1000).await? {
            let state = head.state.name().to_owned();
            list.row([
                head.hash,
                state,
                head.risk,
                head.cluster.to_string(),
                head.submitter,
                short(head.created),
            ]);
        }
        Ok(list)
    }

    async fn list_documents(&self, cluster: Option<&str>) -> Result<List, ServiceError> {
        let cluster = self.cluster(cluster)?;
        let mut list = List::new(&["DOCUMENT", "OBJECT", "SOURCE", "GENERATION", "UPDATED"]);
        let ownership = self.ownership(&cluster.name).await?;
        for stored in self.store.documents(&cluster.name).await? {
            let key = format!("{}/{}", stored.document.kind, stored.document.name);
            let object = ownership
                .of_document(&key, &stored.document.source)
                .map_or_else(|| "-".to_owned(), |(object, _)| object.to_owned());
            list.row([
                key,
                object,
                stored.document.source,
                stored.generation.to_string(),
                short(stored.updated),
            ]);
        }
        Ok(list)
    }

    async fn list_runs(&self, cluster: Option<&str>) -> Result<List, ServiceError> {
        let cluster = cluster
            .map(|name| self.cluster(Some(name)))
            .transpose()?
            .map(|cluster| &cluster.name);
        let mut list = List::new(&["RUN", "STATE", "CLUSTER", "PLAN", "STARTED", "ENDED"]);
        for run in self.store.runs(cluster, None, 1000).await? {
            let ended = run.ended.map_or_else(|| "-".to_owned(), short);
            let state = run.state.name().to_owned();
            list.row([
                run.id.to_string(),
                state,
                run.cluster.to_string(),
                run.plan,
                short(run.started),
                ended,
            ]);
        }
        Ok(list)
    }

    async fn list_freezes(&self) -> Result<List, ServiceError> {
        let mut list = List::new(&["SCOPE", "WHO", "SINCE", "UNTIL", "REASON"]);
        for freeze in self.store.active_freezes(self.now()).await? {
            let freeze = freeze.freeze;
            let until = freeze.until.map_or_else(|| "thawed".to_owned(), short);
            list.row([
                freeze.scope.to_string(),
                freeze.who,
                short(freeze.since),
                until,
                freeze.reason,
            ]);
        }
        Ok(list)
    }

    async fn list_conditions(&self, cluster: Option<&str>) -> Result<List, ServiceError> {
        let cluster = self.cluster(cluster)?;
        let mut list = List::new(&["OBJECT", "TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for found in self.store.conditions(&cluster.name).await? {
            let condition = found.condition;
            list.row([
                found.object,
                condition.kind.name().to_owned(),
                condition.status.name().to_owned(),
                condition.reason,
                short(found.since),
                condition.message,
            ]);
        }
        Ok(list)
    }

    async fn list_sources(&self) -> Result<List, ServiceError> {
        let mut list = List::new(&[
            "SOURCE", "CLUSTER", "STATE", "SEEN", "APPLIED", "PLAN", "MESSAGE",
        ]);
        for state in self.store.source_states().await? {
            let remembered = super::sources::Remembered::of(Some(&state));
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            list.row([
                state.source,
                state.cluster.to_string(),
                remembered.state,
                or_dash(state.seen),
                or_dash(state.applied),
                or_dash(remembered.plan),
                if remembered.message.is_empty() {
                    remembered.warnings.join("; ")
                } else {
                    remembered.message
                },
            ]);
        }
        Ok(list)
    }

    async fn list_suspensions(&self) -> Result<List, ServiceError> {
        let mut list = List::new(&["SCOPE", "NAME", "WHO", "SINCE", "REASON"]);
        for suspension in self.store.suspensions().await? {
            list.row([
                suspension.scope.name().to_owned(),
                suspension.name,
                suspension.who,
                short(suspension.since),
                suspension.reason,
            ]);
        }
        Ok(list)
    }

    /// What waits in the inbox.
    async fn list_submissions(&self) -> Result<List, ServiceError> {
        let mut list = List::new(&[
            "SUBMISSION",
            "CLUSTER",
            "SOURCE",
            "SUBMITTER",
            "AT",
            "WAITS FOR",
        ]);
        for waiting in self.store.pending_submissions(1000).await? {
            let submission = waiting.submission;
            list.row([
                submission.id,
                submission.cluster.to_string(),
                submission.source,
                submission.submitter,
                short(submission.at),
                waiting.message,
            ]);
        }
        Ok(list)
    }

    /// The conditions of an object, and how they came about, the newest first.
    async fn conditions_json(
        &self,
        cluster: &ClusterName,
        object: &str,
    ) -> Result<(Vec<Value>, Vec<Value>), ServiceError> {
        let shown = |found: crate::store::Condition| {
            let condition = found.condition;
            json!({
                "type": condition.kind.name(), "status": condition.status.name(), "reason": condition.reason,
                "message": condition.message, "observedGeneration": condition.observed_generation,
                "lastTransitionTime": found.since.to_string(),
            })
        };
        let now = self.store.conditions_of(cluster, object).await?;
        let history = self.store.condition_history(cluster, object).await?;
        Ok((
            now.into_iter().map(shown).collect(),
            history.into_iter().map(shown).collect(),
        ))
    }

    async fn describe_run(
        &self,
        number: &str,
        cluster: &ClusterName,
    ) -> Result<Value, ServiceError> {
        let run = match number.parse() {
            Ok(number) => self.store.run(RunId(number)).await?,
            Err(_) => None,
        };
        let run = run.filter(|run| run.cluster == *cluster).ok_or_else(|| {
            ServiceError::NotFound(format!(
                "there is no run `{}` on cluster {cluster}; `bailiwick get runs` lists them",
                clean(number)
            ))
        })?;
        let steps: Vec<Value> = self
            .store
            .run_steps(run.id)
            .await?
            .into_iter()
            .map(|step| {
                json!({
                    "step": step.at.step, "call": step.at.call, "state": step.state.name(), "attempts": step.attempts,
                    "task": step.upid, "outcome": step.outcome.map(|outcome| outcome.name()),
                    "intended": step.intended.to_string(), "done": step.done.map(|at| at.to_string()),
                })
            })
            .collect();
        Ok(json!({
            "run": run.id.0, "plan": run.plan, "state": run.state.name(), "started": run.started.to_string(),
            "ended": run.ended.map(|at| at.to_string()), "steps": steps,
        }))
    }

    /// One thing whole: a document (`VirtualMachine/web-7`), a run (`run/3`), or a live object (`vm/104`, `storage/local`). Plans are shown by
    /// [`Service::plan`].
    pub async fn describe(&self, what: &str, cluster: Option<&str>) -> Result<Value, ServiceError> {
        let cluster = self.cluster(cluster)?;
        let Some((kind, name)) = what.split_once('/') else {
            return Err(ServiceError::Request(format!(
                "`{what}` names nothing: say a plan's hash, KIND/NAME for a document, run/NUMBER, or vm/104, ct/301, storage/NAME, pool/NAME, node/NAME"
            )));
        };
        if let Some(stored) = self.store.document(&cluster.name, kind, name).await? {
            let document: Value = serde_json::from_str(&stored.document.json)?;
            let (conditions, history) = self.conditions_json(&cluster.name, what).await?;
            return Ok(json!({
                "document": document, "source": stored.document.source, "hash": stored.document.hash,
                "generation": stored.generation, "updated": stored.updated.to_string(),
                "conditions": conditions, "history": history,
            }));
        }
        if matches!(kind, "source" | "cluster") {
            let (conditions, history) = self.conditions_json(&cluster.name, what).await?;
            if conditions.is_empty() {
                return Err(ServiceError::Request(format!(
                    "nothing is known of `{}` on cluster {}: has `bailiwick serve` run?",
                    clean(what),
                    cluster.name
                )));
            }
            return Ok(json!({ "object": what, "conditions": conditions, "history": history }));
        }
        if kind == "run" {
            return self.describe_run(name, &cluster.name).await;
        }
        let world = self.look(cluster).await?;
        live_object(kind, name, &world).ok_or_else(|| {
            ServiceError::NotFound(format!(
                "there is no `{what}` on cluster {} and no such document",
                cluster.name
            ))
        })
    }
}

fn short(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Stopped => "stopped",
        Status::Unknown => "unknown",
    }
}

fn live(what: &str, world: &World) -> List {
    let guests = |kind: GuestKind| {
        let mut list = List::new(&["VMID", "NAME", "STATUS", "NODE", "POOL", "LOCK"]);
        for guest in world.guests.values().filter(|guest| guest.kind == kind) {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let status = if guest.template {
                "template"
            } else {
                status(guest.status)
            };
            let pool = guest.pool.as_ref().map(ToString::to_string);
            list.row([
                guest.vmid.to_string(),
                or_dash(guest.name.clone()),
                status.to_owned(),
                guest.node.to_string(),
                or_dash(pool),
                or_dash(guest.lock.clone()),
            ]);
        }
        list
    };
    match what {
        "vm" => guests(GuestKind::Qemu),
        "ct" => guests(GuestKind::Lxc),
        "storage" => {
            let mut list = List::new(&["STORAGE", "TYPE", "CONTENT", "NODES", "ENABLED"]);
            for storage in world.storages.values() {
                let nodes = storage.nodes.as_ref().map_or_else(
                    || "all".to_owned(),
                    |nodes| {
                        nodes
                            .iter()
                            .map(ToString::to_string)
                            .collect::<Vec<_>>()
                            .join(",")
                    },
                );
                let content = storage
                    .content
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(",");
                let enabled = if storage.disabled { "no" } else { "yes" }.to_owned();
                list.row([
                    storage.id.to_string(),
                    storage.storage_type.clone(),
                    content,
                    nodes,
                    enabled,
                ]);
            }
            list
        }
        "pool" => {
            let mut list = List::new(&["POOL", "GUESTS", "STORAGES", "COMMENT"]);
            for (id, pool) in &world.pools {
                let comment = pool.comment.clone().unwrap_or_default();
                list.row([
                    id.to_string(),
                    pool.guests.len().to_string(),
                    pool.storages.len().to_string(),
                    comment,
                ]);
            }
            list
        }
        "backup-job" => {
            let mut list = List::new(&[
                "JOB",
                "ENABLED",
                "SCHEDULE",
                "STORAGE",
                "SELECTION",
                "GUESTS",
                "COMMENT",
            ]);
            for (id, job) in &world.backup_jobs {
                let option = |key: &str| job.options.get(key).cloned().unwrap_or_default();
                let guests = world.guests.values();
                let selected = guests.filter(|guest| crate::health::selects(world, job, guest));
                list.row([
                    id.clone(),
                    if job.enabled { "yes" } else { "no" }.to_owned(),
                    option("schedule"),
                    option("storage"),
                    selection(job),
                    selected.count().to_string(),
                    option("comment"),
                ]);
            }
            list
        }
        "replication-job" => {
            let headings = [
                "JOB", "STATUS", "GUEST", "TARGET", "SCHEDULE", "RATE", "COMMENT",
            ];
            let mut list = List::new(&headings);
            for (id, job) in &world.replication_jobs {
                let option = |key: &str| job.options.get(key).cloned().unwrap_or_default();
                list.row([
                    id.clone(),
                    super::resources::replication_status(job).to_owned(),
                    job.guest.to_string(),
                    job.target.to_string(),
                    option("schedule"),
                    option("rate"),
                    option("comment"),
                ]);
            }
            list
        }
        "token" => {
            let mut list = List::new(&["TOKEN", "SEPARATED", "EXPIRES", "USER ENABLED", "COMMENT"]);
            for (owner, user) in &world.users {
                for (name, token) in &user.tokens {
                    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
                    list.row([
                        format!("{owner}!{name}"),
                        word(token.separated),
                        crate::plan::token_expires(token.expires),
                        word(user.enabled),
                        token.comment.clone().unwrap_or_default(),
                    ]);
                }
            }
            list
        }
        _ => {
            let mut list = List::new(&["NODE", "ONLINE", "IP", "CPUS", "MEMORY"]);
            for (name, node) in &world.nodes {
                let online = node
                    .online
                    .map_or("unknown", |online| if online { "yes" } else { "no" });
                let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
                let cpus = node.cpus.map(|cpus| cpus.to_string());
                let memory = node.memory_total.map(crate::ids::Bytes::human);
                list.row([
                    name.to_string(),
                    online.to_owned(),
                    or_unknown(node.ip.clone()),
                    or_unknown(cpus),
                    or_unknown(memory),
                ]);
            }
            list
        }
    }
}

fn snapshots(world: &World) -> List {
    let mut list = List::new(&["SNAPSHOT", "GUEST", "TAKEN", "STATE", "DESCRIPTION"]);
    for guest in world.guests.values() {
        for (name, snapshot) in &guest.config.snapshots {
            let taken = snapshot
                .taken
                .and_then(|second| jiff::Timestamp::from_second(second).ok());
            let description = snapshot.section.get("description");
            list.row([
                name.clone(),
                guest.entity(),
                taken.map_or_else(|| "?".to_owned(), short),
                snapshot.state.clone().unwrap_or_else(|| "-".to_owned()),
                description.map_or_else(|| "-".to_owned(), |text| text.trim().to_owned()),
            ]);
        }
    }
    list
}

/// From where each guest could be restored, and how old that is.
fn backups(world: &World, now: jiff::Timestamp) -> List {
    let mut list = List::new(&["GUEST", "NAME", "STORAGE", "BACKUPS", "NEWEST", "AGE"]);
    let found = Backups::new(world);
    let row = |list: &mut List, guest: &str, name: &str, storage: &str, place: Option<Place>| {
        let newest = place.and_then(|place| place.newest);
        let none = if place.is_some() { "?" } else { "-" };
        list.row([
            guest.to_owned(),
            name.to_owned(),
            storage.to_owned(),
            place.map_or(0, |place| place.count).to_string(),
            newest.map_or_else(|| none.to_owned(), short),
            newest.map_or_else(|| none.to_owned(), |at| age(at, now)),
        ]);
    };
    for guest in world.guests.values() {
        let (object, name) = (guest.entity(), guest.name.as_deref().unwrap_or("-"));
        for (storage, place) in found.places(guest.vmid) {
            row(&mut list, &object, name, storage.as_str(), Some(place));
        }
        if found.places(guest.vmid).next().is_none() {
            let none = found.unlisted().map_or("none", |_| "unknown");
            row(&mut list, &object, name, none, None);
        }
    }
    // What is left of guests that are no more.
    for vmid in found.owners().filter(|v| !world.guests.contains_key(v)) {
        for (storage, place) in found.places(vmid) {
            let object = format!("guest/{vmid}");
            row(&mut list, &object, "gone", storage.as_str(), Some(place));
        }
    }
    list
}

/// How long ago, in the greatest unit that fits: `3d`, `5h`, `12m`.
fn age(at: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let minutes = (now.as_second() - at.as_second()).max(0) / 60;
    match minutes {
        minutes if minutes >= 2 * 24 * 60 => format!("{}d", minutes / (24 * 60)),
        minutes if minutes >= 2 * 60 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    }
}

/// Which guests a backup job is for, in a few words.
fn selection(job: &BackupJob) -> String {
    match &job.selection {
        Selection::AllBut(none) if none.is_empty() => "all".to_owned(),
        Selection::AllBut(some) => format!("all but {}", some.len()),
        Selection::Guests(_) => "by number".to_owned(),
        Selection::Pool(pool) => format!("pool {pool}"),
    }
}

/// Groups, users, roles, realms or access rules.
fn accounts(what: &str, world: &World) -> List {
    let facts = |id: &str| super::resources::accounts::facts(world, what, id).unwrap_or_default();
    let ids = super::resources::accounts::lines(world, what);
    let mut list = match what {
        "group" => List::new(&["GROUP", "MEMBERS", "COMMENT"]),
        "user" => List::new(&["USER", "STATUS", "GROUPS", "TOKENS", "COMMENT"]),
        "realm" => List::new(&["REALM", "TYPE", "USERS", "DEFAULT", "COMMENT"]),
        "role" => List::new(&["ROLE", "PRIVILEGES", "BUILT-IN"]),
        _ => List::new(&["SUBJECT", "PATH", "ROLES"]),
    };
    for (id, status) in ids {
        let (told, members) = facts(&id);
        let fact = |key: &str| told.get(key).cloned().unwrap_or_default();
        match what {
            "group" => list.row([id, members.len().to_string(), fact("comment")]),
            "user" => {
                let groups: Vec<&str> = members
                    .iter()
                    .filter_map(|group| group.strip_prefix("group/"))
                    .collect();
                list.row([
                    id,
                    status.to_owned(),
                    groups.join(", "),
                    fact("tokens"),
                    fact("comment"),
                ]);
            }
            "realm" => list.row([
                id,
                fact("type"),
                members.len().to_string(),
                if fact("default") == "1" { "yes" } else { "" }.to_owned(),
                fact("comment"),
            ]),
            "role" => list.row([id, fact("privileges"), fact("builtIn")]),
            _ => {
                let (subject, path) = id.split_at(id.find('/').unwrap_or(id.len()));
                let roles = told.iter().filter_map(|(key, below)| {
                    let role = key.strip_prefix("roles.")?;
                    Some(match below.as_str() {
                        "not below" => format!("{role} (not below)"),
                        _ => role.to_owned(),
                    })
                });
                let roles: Vec<String> = roles.collect();
                list.row([subject.to_owned(), path.to_owned(), roles.join(", ")]);
            }
        }
    }
    list
}

fn live_object(kind: &str, name: &str, world: &World) -> Option<Value> {
    match kind {
        "vm" | "ct" => {
            let guest = name.parse().ok().and_then(|vmid| world.guests.get(&vmid))?;
            (guest.kind.word() == kind).then(|| guest_json(guest, world))
        }
        "storage" => {
            let storage = world
                .storages
                .values()
                .find(|storage| storage.id.as_str() == name)?;
            let volumes: usize = storage.volumes.values().map(|volumes| volumes.len()).sum();
            Some(
                json!({ "storage": name, "type": storage.storage_type, "options": storage.options, "volumes": volumes }),
            )
        }
        "pool" => {
            let (_, pool) = world.pools.iter().find(|(id, _)| id.as_str() == name)?;
            Some(
                json!({ "pool": name, "comment": pool.comment, "guests": pool.guests, "storages": pool.storages }),
            )
        }
        "backup-job" => {
            let job = world.backup_jobs.get(name)?;
            let guests = world.guests.values();
            let selected = guests.filter(|guest| crate::health::selects(world, job, guest));
            let selected: Vec<String> = selected.map(|guest| guest.entity()).collect();
            Some(json!({ "backupJob": name, "options": job.options, "guests": selected }))
        }
        "replication-job" => {
            let job = world.replication_jobs.get(name)?;
            Some(json!({
                "replicationJob": name,
                "guest": job.guest,
                "target": job.target,
                "status": super::resources::replication_status(job),
                "options": job.options,
            }))
        }
        "token" => {
            let id = TokenId::new(name).ok()?;
            let token = views::token(world, &id)?;
            let object = format!("token/{id}");
            let entries = views::entries_naming(world, &object).map(views::entry_says);
            Some(json!({
                "token": name,
                "separated": token.separated,
                "expires": crate::plan::token_expires(token.expires),
                "comment": token.comment,
                "userEnabled": world.users.get(id.owner()).is_some_and(|user| user.enabled),
                "accessRules": entries.collect::<Vec<_>>(),
            }))
        }
        "alias" | "ipset" | "security-group" | "firewall" => firewall::object(kind, name, world),
        "group" | "user" | "role" | "realm" | "acl" => {
            let (facts, members) = super::resources::accounts::facts(world, kind, name)?;
            Some(json!({ kind: name, "facts": facts, "members": members }))
        }
        "node" => {
            let (_, node) = world.nodes.iter().find(|(id, _)| id.as_str() == name)?;
            Some(
                json!({ "node": name, "online": node.online, "ip": node.ip, "cpus": node.cpus, "bridges": node.bridges }),
            )
        }
        _ => None,
    }
}

fn guest_json(guest: &Guest, world: &World) -> Value {
    let unreadable = world.unreadable(&crate::world::Part::GuestConfig(guest.vmid));
    let found = Backups::new(world);
    let backups: Vec<Value> = found
        .places(guest.vmid)
        .map(|(storage, place)| {
            json!({ "storage": storage, "count": place.count, "newest": place.newest.map(|at| at.to_string()) })
        })
        .collect();
    json!({
        "guest": guest.entity(), "name": guest.name, "node": guest.node, "status": status(guest.status),
        "template": guest.template, "pool": guest.pool, "lock": guest.lock,
        "config": guest.config.current, "pending": guest.config.pending,
        "snapshots": guest.config.snapshots.keys().collect::<Vec<_>>(), "backups": backups, "backupsUnlisted": found.unlisted(), "unreadable": unreadable,
    })
}
