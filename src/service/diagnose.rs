//! Diagnosis: a read-only battery over a guest, a node, a storage or the whole cluster. It says what is wrong and, as loudly, what
//! could not be seen. It asks the cluster and the store; it never asks inside a guest.

use serde::Deserialize;

use super::error::ServiceError;
use super::open::Service;
use crate::approval::Principal;
use crate::configuration::Cluster;
use crate::health::{Finding, Scope, Severity, Unseen, findings};
use crate::ids::{NodeName, StorageId};
use crate::plan::words::clean;
use crate::proxmox::{Call, TaskOutcome, Upid};
use crate::store::{ConditionStatus, ConditionType, EventFilter, EventType, RunState};
use crate::world::World;

/// How many failed tasks are told.
const TASKS: usize = 20;
/// How many of the latest events are looked through.
const EVENTS: u32 = 200;

/// What a diagnosis found.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// What was looked at: `vm/104`, `node/pve1`, `storage/local`, `cluster`.
    pub target: String,
    /// When the world it speaks of was read.
    pub observed_at: jiff::Timestamp,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be seen. Where this is not empty, "nothing is wrong" was not shown.
    pub unseen: Vec<Unseen>,
    /// What was looked at, one line each.
    pub checked: Vec<&'static str>,
}

#[derive(Deserialize)]
struct Task {
    upid: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    endtime: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct HaEntry {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    sid: Option<String>,
    #[serde(default)]
    node: Option<String>,
}

struct Battery<'a> {
    service: &'a Service,
    cluster: &'a Cluster,
    world: &'a World,
    scope: Scope,
    target: String,
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
    checked: Vec<&'static str>,
}

impl Service {
    /// Looks at a guest (`vm/104`, `ct/301`), a node (`node/pve1`), a storage (`storage/local`), or the whole cluster, and says what
    /// is wrong. Changes nothing.
    pub async fn diagnose(
        &self,
        cluster: &Cluster,
        world: &World,
        target: Option<&str>,
        who: &Principal,
    ) -> Result<Diagnosis, ServiceError> {
        let scope = scope(world, cluster, target)?;
        let (found, unseen) = findings(world, &scope);
        let mut battery = Battery {
            service: self,
            cluster,
            world,
            scope,
            target: target.unwrap_or("cluster").to_owned(),
            findings: found,
            unseen,
            checked: vec![
                "the facets of health: starting, volumes, media, snapshots, networks, backups, HA, room",
                "nodes online, quorum, storages active, locks, pending changes",
            ],
        };
        battery.high_availability().await;
        battery.tasks().await;
        battery.drift(who).await;
        battery.kept().await?;
        let Battery {
            target,
            mut findings,
            mut unseen,
            checked,
            ..
        } = battery;
        findings.sort();
        findings.dedup();
        unseen.sort();
        unseen.dedup();
        Ok(Diagnosis {
            target,
            observed_at: world.observed_at,
            findings,
            unseen,
            checked,
        })
    }
}

fn scope(world: &World, cluster: &Cluster, target: Option<&str>) -> Result<Scope, ServiceError> {
    let Some(target) = target.filter(|target| *target != "cluster") else {
        return Ok(Scope::Cluster);
    };
    let unknown = || {
        ServiceError::NotFound(format!(
            "there is no `{}` on cluster {} to diagnose: say vm/104, ct/301, node/NAME, storage/NAME, or `cluster`",
            clean(target),
            cluster.name
        ))
    };
    let (kind, name) = target.split_once('/').ok_or_else(unknown)?;
    match kind {
        "vm" | "ct" => {
            let vmid = name.parse().map_err(|_| unknown())?;
            let guest = world.guests.get(&vmid).filter(|g| g.kind.word() == kind);
            guest
                .map(|guest| Scope::Guest(guest.vmid))
                .ok_or_else(unknown)
        }
        "node" => {
            let node = NodeName::new(name).map_err(|_| unknown())?;
            let there = world.nodes.contains_key(&node);
            there.then_some(Scope::Node(node)).ok_or_else(unknown)
        }
        "storage" => {
            let id = StorageId::new(name).map_err(|_| unknown())?;
            let there = world.storages.contains_key(&id);
            there.then_some(Scope::Storage(id)).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

impl Battery<'_> {
    fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: String,
        message: String,
        causes: Vec<String>,
    ) {
        self.findings.push(Finding {
            severity,
            code,
            object,
            message,
            causes,
        });
    }

    fn miss(&mut self, what: &str, why: &impl std::fmt::Display, matters: &str) {
        self.unseen.push(Unseen {
            what: what.to_owned(),
            why: why.to_string(),
            matters: matters.to_owned(),
        });
    }

    /// Whether an object is what is looked at, or belongs to it.
    fn covers(&self, object: &str) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Node(node) => {
                object == self.target
                    || self
                        .world
                        .guests
                        .values()
                        .any(|guest| guest.node == *node && guest.entity() == object)
            }
            Scope::Guest(_) | Scope::Storage(_) => object == self.target,
        }
    }

    /// What the HA manager says: it knows of errors and fenced nodes that no configuration shows.
    async fn high_availability(&mut self) {
        if self.world.ha_resources.is_empty() || matches!(self.scope, Scope::Storage(_)) {
            return;
        }
        const WHAT: &str = "the HA manager's status";
        let entries = match self
            .read::<HaEntry>(&["cluster", "ha", "status", "current"])
            .await
        {
            Ok(entries) => entries,
            Err(why) => return self.miss(WHAT, &why, "whether HA gave up on a guest or a node"),
        };
        self.checked.push(WHAT);
        for entry in entries {
            if let (Some(sid), Some(state)) = (&entry.sid, &entry.state) {
                let object = sid.replacen(':', "/", 1);
                let bad = matches!(state.as_str(), "error" | "fence" | "recovery");
                if bad && self.covers(&object) {
                    let message = format!("HA has it in the state {state}");
                    self.find(
                        Severity::Critical,
                        "ha_error",
                        object,
                        message,
                        vec![entry.status],
                    );
                }
            } else if let (true, Some(node)) = (entry.id.starts_with("lrm:"), &entry.node) {
                let object = format!("node/{node}");
                if entry.status.contains("dead") && self.covers(&object) {
                    let message = "its local HA manager does not answer".to_owned();
                    self.find(
                        Severity::Critical,
                        "ha_node_dead",
                        object,
                        message,
                        vec![entry.status],
                    );
                }
            }
        }
    }

    /// Tasks that failed lately, as the cluster lists them.
    async fn tasks(&mut self) {
        const WHAT: &str = "the cluster's latest tasks";
        let tasks = match self.read::<Task>(&["cluster", "tasks"]).await {
            Ok(tasks) => tasks,
            Err(why) => return self.miss(WHAT, &why, "whether something failed lately"),
        };
        // Without this privilege Proxmox VE lists none of the others' tasks and does not say so.
        if !self.world.may("/", "Sys.Audit") {
            self.miss(
                WHAT,
                &"the token lacks Sys.Audit on /, so others' tasks are hidden",
                "whether something failed lately",
            );
        }
        self.checked.push(WHAT);
        let mut told = 0;
        for task in tasks {
            let (Some(status), Some(_)) = (task.status, task.endtime) else {
                continue;
            };
            let Ok(upid) = task.upid.parse::<Upid>() else {
                continue;
            };
            let failed = match TaskOutcome::of_exit(&status) {
                TaskOutcome::Failed(why) | TaskOutcome::Unsaid(why) | TaskOutcome::Unknown(why) => {
                    why
                }
                TaskOutcome::Ok | TaskOutcome::Warnings(_) => continue,
            };
            let Some(object) = self.object_of(&upid) else {
                continue;
            };
            told += 1;
            if told > TASKS {
                break;
            }
            let message = format!("the task {} failed lately", upid.task_type);
            self.find(
                Severity::Warning,
                "task_failed",
                object,
                message,
                vec![failed, task.upid],
            );
        }
    }

    /// The object within the scope that a task is about.
    fn object_of(&self, upid: &Upid) -> Option<String> {
        let guest = upid
            .id
            .parse()
            .ok()
            .and_then(|vmid| self.world.guests.get(&vmid));
        let object = match guest {
            Some(guest) => guest.entity(),
            None if self.world.storages.keys().any(|s| s.as_str() == upid.id) => {
                format!("storage/{}", upid.id)
            }
            None => format!("node/{}", upid.node),
        };
        self.covers(&object).then_some(object)
    }

    /// What no longer matches an accepted document.
    async fn drift(&mut self, who: &Principal) {
        const WHAT: &str = "drift from the accepted documents";
        let plan = match self
            .service
            .drift(Some(self.cluster.name.as_str()), who)
            .await
        {
            Ok(planned) => planned.plan,
            Err(error) => {
                return self.miss(
                    WHAT,
                    &error,
                    "whether live objects differ from their documents",
                );
            }
        };
        self.checked.push(WHAT);
        for change in plan.changes {
            if !self.covers(&change.object) {
                continue;
            }
            let or_none = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
            let cause = format!(
                "{} is {}, its document says {}",
                change.field,
                or_none(change.before),
                or_none(change.after)
            );
            let message = format!("{} no longer matches its document", change.field);
            self.find(
                Severity::Warning,
                "drifted",
                change.object,
                message,
                vec![cause],
            );
        }
    }

    /// What Bailiwick itself keeps: conditions, warnings among the events, runs nobody knows the end of, freezes.
    async fn kept(&mut self) -> Result<(), ServiceError> {
        self.checked
            .push("conditions, recent events, runs and freezes that Bailiwick keeps");
        let name = self.cluster.name.clone();
        let store = self.service.store();
        let ownership = self.service.ownership(&name).await?;
        let object_of = |key: &str| {
            let owned = ownership
                .objects
                .iter()
                .find(|(_, owned)| owned.document == key);
            owned.map_or_else(|| key.to_owned(), |(object, _)| object.clone())
        };
        for condition in store.conditions(&name).await? {
            let object = object_of(&condition.object);
            let found = &condition.condition;
            let wrong = match found.kind {
                ConditionType::Ready | ConditionType::SourceVerified => {
                    found.status == ConditionStatus::False
                }
                ConditionType::Stalled | ConditionType::Drifted => {
                    found.status == ConditionStatus::True
                }
                ConditionType::Reconciling | ConditionType::AwaitingApproval => false,
            };
            if wrong && self.covers(&object) {
                let message = format!("{} is {}: {}", found.kind, found.status, found.reason);
                let causes = vec![found.message.clone()];
                self.find(Severity::Warning, "condition", object, message, causes);
            }
        }
        let filter = EventFilter {
            cluster: Some(name.clone()),
            ..EventFilter::default()
        };
        for event in store.latest_events(&filter, EVENTS).await? {
            let event = event.event;
            let object = object_of(&event.object);
            if event.kind == EventType::Warning && self.covers(&object) {
                let message = format!("{} at {}", event.reason, event.at);
                self.find(
                    Severity::Notice,
                    "event",
                    object,
                    message,
                    vec![event.message],
                );
            }
        }
        for run in store.runs(Some(&name), None, 20).await? {
            if run.state == RunState::Undetermined {
                self.find(
                    Severity::Critical,
                    "run_undetermined",
                    "cluster".to_owned(),
                    format!("nobody knows how run {} of {} ended", run.id, run.plan),
                    vec![
                        "an operator runs it again: that looks, and sends nothing twice".to_owned(),
                    ],
                );
            }
        }
        for freeze in store.active_freezes(self.service.now()).await? {
            let freeze = freeze.freeze;
            if freeze.scope.covers(&name, "")
                || matches!(freeze.scope, crate::store::FreezeScope::Kind(_))
            {
                let message = format!("{} is frozen by {}", freeze.scope, freeze.who);
                self.find(
                    Severity::Notice,
                    "frozen",
                    "cluster".to_owned(),
                    message,
                    vec![freeze.reason],
                );
            }
        }
        Ok(())
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, String> {
        let client = self
            .service
            .client(&self.cluster.name)
            .map_err(|error| error.to_string())?;
        client
            .get(Call::get(path))
            .await
            .map_err(|error| error.to_string())
    }
}
