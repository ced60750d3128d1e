//! Making plans: from a recipe and a fresh world, the same way when it is first asked for and right before it is run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accept::names;
use super::error::ServiceError;
use super::open::Service;
use super::recipe::{Recipe, Wants, closed_files, item, passwords, secrets};
use crate::approval::{Approval, PlanFacts, Principal, Requirement, Verdict, evaluate};
use crate::configuration::Cluster;
use crate::document::Document;
use crate::document::desired::SecretRef;
use crate::ids::ClusterName;
use crate::plan::words::clean;
use crate::plan::{
    self, ApiView, Backups, Item, Origin, Owned, Ownership, Plan, PlanHash, PlanInput, Settings,
};
use crate::store::{self, PlanState, RunState, Store, StoreError};
use crate::world::World;

/// A recipe, read, with everything a plan needs but the world.
pub(super) struct Prepared {
    pub(super) wanted: Vec<Document>,
    pub(super) removed: Vec<Document>,
    pub(super) items: Vec<Item>,
    pub(super) secrets: BTreeMap<SecretRef, String>,
    pub(super) ownership: Ownership,
}

/// A plan with everything it was made from.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) from: Prepared,
    pub(super) world: Arc<World>,
}

/// How a plan stands with the policy and the decisions over it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What it needs.
    pub requirement: Requirement,
    /// What it has.
    pub verdict: Verdict,
}

impl Service {
    /// Reads a cluster's world.
    pub async fn observe(&self, cluster: &Cluster) -> Result<World, ServiceError> {
        let client = self.client(&cluster.name)?;
        let settings = crate::world::ObserveSettings::all(cluster.name.clone());
        Ok(crate::world::observe(&client, &settings).await?)
    }

    pub(super) async fn ownership(&self, cluster: &ClusterName) -> Result<Ownership, ServiceError> {
        ownership_of(&self.store, cluster).await
    }

    /// The last plan applied before this one: of those with any of its documents, so that what is applied to others does not make
    /// another plan of it. An approval counts for one run all the same, since a plan that was applied is the parent of the next with
    /// the same documents. What takes a run back follows on the cluster's last plan.
    async fn parent(
        &self,
        recipe: &Recipe,
        from: &Prepared,
        cluster: &ClusterName,
    ) -> Result<Option<PlanHash>, ServiceError> {
        // Which backups are deleted says all: the same ones are not decided over twice.
        if recipe.origin == Origin::CleanUp {
            return Ok(None);
        }
        let documents = from.wanted.iter().chain(&from.removed);
        let keys: Vec<String> = documents
            .map(|document| document.key().to_string())
            .collect();
        let parent = if keys.is_empty() || recipe.undoes().is_some() {
            self.store.parent(cluster).await?
        } else {
            self.store.parent_of_documents(cluster, &keys).await?
        };
        Ok(parent.map(|parent| PlanHash(parent.plan)))
    }

    /// Makes a recipe's plan to look at: from the world that a running loop keeps, else as it is now.
    pub(super) async fn make(
        &self,
        recipe: &Recipe,
        cluster: &Cluster,
    ) -> Result<Made, ServiceError> {
        let world = self.look(cluster).await?;
        self.make_from(recipe, cluster, world).await
    }

    /// Makes a recipe's plan to run it: from the world as it is now, read whole.
    pub(super) async fn make_to_run(
        &self,
        recipe: &Recipe,
        cluster: &Cluster,
    ) -> Result<Made, ServiceError> {
        let world = Arc::new(self.observe(cluster).await?);
        self.make_from(recipe, cluster, world).await
    }

    /// Reads a recipe.
    pub(super) async fn prepare(
        &self,
        recipe: &Recipe,
        cluster: &ClusterName,
    ) -> Result<Prepared, ServiceError> {
        let read = recipe.read()?;
        let mut items = Vec::new();
        for document in read.wanted.iter().filter(|document| !document.suspended()) {
            let owner = self.owner_of(document, cluster, recipe).await?;
            let mut item = item(document, &owner, Wants::Present)?;
            // What nobody submits anew takes nothing over: else two documents could take an object from each other for ever.
            if matches!(recipe.origin, Origin::Submission { .. }) {
                item.take_over = document.take_over().map(str::to_owned);
            }
            items.push(item);
        }
        for document in read.removed.iter().filter(|document| !document.suspended()) {
            let wants = if recipe.orphan {
                Wants::Orphaned
            } else {
                Wants::Removed
            };
            items.push(item(document, &recipe.source, wants)?);
        }
        let mut fingerprints = BTreeMap::new();
        let passwords = passwords(&items);
        for from in secrets(&items) {
            if passwords.contains(&from) {
                self.fit_password(&from)?;
            }
            let print = self.fingerprint(&from).map_err(|why| {
                ServiceError::Request(format!(
                    "the secret {} cannot be read: {why}",
                    secret_name(&from)
                ))
            })?;
            fingerprints.insert(from, print);
        }
        let ownership = self.ownership(cluster).await?;
        Ok(Prepared {
            wanted: read.wanted,
            removed: read.removed,
            items,
            secrets: fingerprints,
            ownership,
        })
    }

    /// The settings for plans of a cluster, with what is only known when it is reached: the address from which it is.
    pub(super) async fn settings(&self, cluster: &Cluster) -> Result<Settings, ServiceError> {
        let mut settings = settings(cluster);
        let own = self.client(&cluster.name)?.own_address().await;
        settings.controller = own.map(|own| own.to_string());
        Ok(settings)
    }

    /// That a user's password is one that Proxmox VE takes. One that cannot be read is told where it is fingerprinted.
    fn fit_password(&self, from: &SecretRef) -> Result<(), ServiceError> {
        let why = match self.secret(from).map(|value| value.chars().count()) {
            Ok(0..8) => "is shorter than 8 characters",
            Ok(65..) => "is longer than 64 characters",
            Ok(_) | Err(_) => return Ok(()),
        };
        Err(ServiceError::Request(format!(
            "the password {} {why}: Proxmox VE refuses it",
            secret_name(from)
        )))
    }

    pub(super) async fn make_from(
        &self,
        recipe: &Recipe,
        cluster: &Cluster,
        world: Arc<World>,
    ) -> Result<Made, ServiceError> {
        let from = self.prepare(recipe, &cluster.name).await?;
        let world = self.with_firewalls(recipe, cluster, &from, world).await?;
        let settings = self.settings(cluster).await?;
        let api = self.served_api(cluster, &world.version).await?;
        let input = PlanInput {
            cluster: cluster.name.clone(),
            parent: self.parent(recipe, &from, &cluster.name).await?,
            origin: recipe.origin.clone(),
            policy: self.policy_version()?,
            items: from.items.clone(),
            ownership: &from.ownership,
            world: &world,
            api: api.as_deref().map_or(ApiView::Unread, ApiView::Served),
            settings: &settings,
            now: self.now(),
            secrets: &from.secrets,
            closed_files: &closed_files(&from.items),
            backups: &self.backups(cluster, &from, &world).await?,
        };
        let plan = match recipe.undoes() {
            None if recipe.origin == Origin::CleanUp => plan::clean_up(&input),
            None => plan::make_plan(&input),
            Some(of) => {
                let (undone, done) = self.ran(of, recipe.run).await?;
                plan::undo(&undone, &done, &input)
            }
        }
        .map_err(ServiceError::Plan)?;
        let findings = plan::check::check(&plan);
        if !findings.is_empty() {
            let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
            return Err(ServiceError::Defect(format!(
                "the plan does not pass its check:\n  {}",
                lines.join("\n  ")
            )));
        }
        Ok(Made { plan, from, world })
    }

    /// Reads what is in the backups that documents want to restore, none as a rule.
    async fn backups(
        &self,
        cluster: &Cluster,
        from: &Prepared,
        world: &World,
    ) -> Result<Backups, ServiceError> {
        let wanted = plan::backups_wanted(&from.items, &from.ownership, world);
        if wanted.is_empty() {
            return Ok(Backups::new());
        }
        let client = self.client(&cluster.name)?;
        Ok(crate::world::observe::backup_configs(&client, wanted).await)
    }

    /// The world, with the firewalls in it that documents are about although they can have no effect now.
    async fn with_firewalls(
        &self,
        recipe: &Recipe,
        cluster: &Cluster,
        from: &Prepared,
        world: Arc<World>,
    ) -> Result<Arc<World>, ServiceError> {
        let wanted = match recipe.undoes() {
            None => plan::firewalls_wanted(&from.items, &from.ownership, &world),
            Some(of) => plan::firewalls_undone(&self.ran(of, recipe.run).await?.0, &world),
        };
        if wanted.is_empty() {
            return Ok(world);
        }
        let client = self.client(&cluster.name)?;
        let world = World::clone(&world);
        let read = crate::world::observe::with_firewalls(&client, world, wanted).await;
        Ok(Arc::new(read))
    }

    /// The source a document belongs to: the one it is stored under, else the one that submits it. One that submits has it or takes
    /// it over; else it lost it since.
    async fn owner_of(
        &self,
        document: &Document,
        cluster: &ClusterName,
        recipe: &Recipe,
    ) -> Result<String, ServiceError> {
        let stored = self
            .store
            .document(cluster, document.kind().as_str(), &document.metadata.name)
            .await?;
        let Some(stored) = stored else {
            return Ok(recipe.source.clone());
        };
        let owner = stored.document.source;
        if !matches!(recipe.origin, Origin::Submission { .. }) || owner == recipe.source {
            return Ok(owner);
        }
        if self.takes_name(document, &owner, cluster).await? {
            return Ok(recipe.source.clone());
        }
        Err(ServiceError::Conflict(format!(
            "{} belongs to the source `{}` by now, and `{}` cannot change it",
            document.key(),
            clean(&owner),
            clean(&recipe.source)
        )))
    }

    /// Whether a document takes over from the source that has one of its name, whose object it then is about (rule of the planner).
    pub(super) async fn takes_name(
        &self,
        document: &Document,
        owner: &str,
        cluster: &ClusterName,
    ) -> Result<bool, ServiceError> {
        if document.suspended() || !names(document, owner) {
            return Ok(false);
        }
        let ownership = self.ownership(cluster).await?;
        let key = document.key().to_string();
        Ok(ownership.of_document(&key, owner).is_some())
    }

    /// A stored plan, whole, by its hash or the beginning of it.
    pub async fn plan(&self, prefix: &str) -> Result<(store::Plan, Plan, Recipe), ServiceError> {
        let digits = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        let unknown = || {
            ServiceError::NotFound(format!(
                "there is no plan `{}`; `bailiwick get plans` lists them by their hashes",
                clean(prefix)
            ))
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        // An empty or very short one (an unset variable in a script) would fit whatever plan happens to wait.
        if digits.len() < 4 {
            return Err(ServiceError::Request(format!(
                "`{prefix}` is too little of a plan's hash: write at least its first four characters"
            )));
        }
        let digits = digits.to_ascii_lowercase();
        let stored = match self.store.find_plan(&format!("sha256:{digits}")).await {
            Err(StoreError::NotFound { .. }) => return Err(unknown()),
            found => found?,
        };
        let plan: Plan = serde_json::from_str(&stored.json)?;
        let recipe: Recipe = serde_json::from_str(&stored.origin)?;
        let again = plan::hash::hash(&plan)?;
        if again != plan.hash || plan.hash.0 != stored.head.hash {
            return Err(ServiceError::Request(format!(
                "the stored plan {} does not match its hash: somebody changed the state file; submit again",
                stored.head.hash
            )));
        }
        Ok((stored, plan, recipe))
    }

    /// What a plan needs and has. Every approval is verified again from its own signature.
    pub async fn standing(&self, plan: &Plan, recipe: &Recipe) -> Result<Standing, ServiceError> {
        let submitter: Principal = recipe
            .submitter
            .parse()
            .map_err(|error| ServiceError::Defect(format!("a submitter that is none: {error}")))?;
        let read = recipe.read()?;
        let labels = read
            .wanted
            .iter()
            .chain(&read.removed)
            .map(|document| {
                (
                    document.key().to_string(),
                    document.metadata.labels.clone().into_iter().collect(),
                )
            })
            .collect();
        let mut facts = PlanFacts::of(plan, submitter, &labels);
        facts.blocked = recipe.blocked.clone();
        facts.by_person = recipe.by_person;
        let now = self.now();
        let requirement = self.policy().requirement(&facts, now);
        let approvals = self.decisions(&plan.hash, true).await?;
        let verdict = evaluate(
            &requirement,
            &approvals
                .iter()
                .map(|(_, approval)| approval.clone())
                .collect::<Vec<_>>(),
            now,
        );
        Ok(Standing {
            requirement,
            verdict,
        })
    }

    /// The decisions over a plan that still hold: not used, not voided, and verified again where they are signed.
    pub(super) async fn decisions(
        &self,
        plan: &PlanHash,
        usable_only: bool,
    ) -> Result<Vec<(store::ApprovalId, Approval)>, ServiceError> {
        let stored = self.store.approvals(&plan.0).await?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let signers = self.signers()?;
        let now = self.now();
        let mut found = Vec::new();
        for row in stored {
            if usable_only && (row.used.is_some() || row.voided.is_some()) {
                continue;
            }
            let approval: Approval = serde_json::from_str(&row.approval.json)?;
            if approval.plan == *plan && approval.reverify(&signers, now).is_ok() {
                found.push((row.id, approval));
            }
        }
        Ok(found)
    }

    /// A plan that ran, and the steps of its last run that ended well.
    async fn ran(
        &self,
        of: &PlanHash,
        run: Option<i64>,
    ) -> Result<(Plan, std::collections::BTreeSet<plan::StepId>), ServiceError> {
        let (stored, plan, _) = self.plan(&of.0).await?;
        let runs = self
            .store
            .runs(Some(&stored.head.cluster), Some(&of.0), 100)
            .await?;
        let run = match run {
            Some(id) => runs.into_iter().find(|found| found.id.0 == id),
            None => runs.into_iter().next(),
        };
        let run = run.ok_or_else(|| {
            ServiceError::Request(format!(
                "the plan {of} was never run, so there is nothing to undo"
            ))
        })?;
        if run.state == RunState::Running || run.state == RunState::Undetermined {
            return Err(ServiceError::Request(format!(
                "the run of {of} has not ended: `bailiwick run {of}` takes it up"
            )));
        }
        let steps = self.store.run_steps(run.id).await?;
        let done = steps
            .into_iter()
            .filter(|step| {
                matches!(
                    step.outcome,
                    Some(store::StepOutcome::Ok | store::StepOutcome::Warnings)
                )
            })
            .map(|step| plan::StepId(step.at.step))
            .collect();
        Ok((plan, done))
    }

    /// Whether a plan in this state can still be decided over.
    pub(super) fn open_for_decision(state: PlanState) -> bool {
        matches!(state, PlanState::Waiting | PlanState::Approved)
    }
}

/// Who owns what of a cluster.
pub(super) async fn ownership_of(
    store: &Store,
    cluster: &ClusterName,
) -> Result<Ownership, ServiceError> {
    let rows = store.owned(cluster).await?;
    let objects = rows
        .into_iter()
        .map(|row| Ok((row.object, serde_json::from_str::<Owned>(&row.identity)?)))
        .collect::<Result<BTreeMap<_, _>, serde_json::Error>>()?;
    Ok(Ownership { objects })
}

pub(super) fn secret_name(from: &SecretRef) -> String {
    match from {
        SecretRef::FromFile(path) => format!("in the file {path}"),
        SecretRef::FromEnv(name) => format!("in the environment variable {name}"),
    }
}

/// The operator's settings for plans of a cluster.
pub(super) fn settings(cluster: &Cluster) -> Settings {
    let mut settings = Settings::default();
    if let Some(range) = &cluster.vmid_range {
        settings.vmid_range = (range.first.get(), range.last.get());
    }
    settings.safety_copy = cluster.safety_copy.as_ref().map(|copy| plan::SafetyCopy {
        storage: copy.storage.clone(),
        keep_for: copy.keep_for.seconds(),
    });
    settings.allow_controller_loss = cluster.allow_controller_loss;
    let administrators = cluster.administrators.iter();
    settings.administrators = administrators.map(|at| at.as_str().to_owned()).collect();
    settings
}
