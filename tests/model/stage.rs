//! A simulated cluster with a planner and an executor before it; approval and store are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::apply::cluster::ApiCluster;
use bailiwick::apply::executor::{Executor, Limits as RunLimits, RunEnd};
use bailiwick::apply::port::{Intent, Journal, JournalError, Left, Outcome, Remembered};
use bailiwick::document::load;
use bailiwick::ids::{ClusterName, NodeName, Vmid};
use bailiwick::metrics::Metrics;
use bailiwick::plan::{
    ApiView, Backups, Item, Origin, Owned, Ownership, Plan, PlanError, PlanInput, Restart,
    SafetyCopy, Settings, Step, StepId, Wanted, backups_wanted, firewalls_wanted, make_plan,
};
use bailiwick::proxmox::{ApiToken, Call, Client, ClusterEndpoints, Limits, Trust};
use bailiwick::sim::{self, Running};
use bailiwick::world::observe::{backup_configs, with_firewalls};
use bailiwick::world::{ObserveSettings, World, observe};

use crate::judge::Seen;
use crate::wishes::Wish;

const WORLD: &str = include_str!("world.yaml");
const OURS: &str = "bailiwick@pve!controller";
const HANDS: &str = "root@pam!hands";
const SECRET: &str = "11111111-2222-3333-4444-555555555555";
const POLL: Duration = Duration::from_millis(3);

/// The journal of one run.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<BTreeMap<StepId, Remembered>>>);

impl Journal for Book {
    async fn frozen(&self, _: &Step) -> Result<Option<String>, JournalError> {
        Ok(None)
    }

    async fn intent(&self, step: &Step, intent: &Intent) -> Result<(), JournalError> {
        let memory = Remembered::Intended(intent.clone());
        self.0.lock().unwrap().insert(step.id, memory);
        Ok(())
    }

    async fn sent(&self, step: StepId, upid: &str) -> Result<(), JournalError> {
        let mut book = self.0.lock().unwrap();
        if let Some(Remembered::Intended(intent)) = book.get(&step).cloned() {
            book.insert(step, Remembered::Sent(intent, upid.to_owned()));
        }
        Ok(())
    }

    async fn ended(&self, step: &Step, outcome: Outcome, left: &Left) -> Result<(), JournalError> {
        // A step of which nobody knows stays as open as it was.
        if outcome != Outcome::Undetermined {
            let memory = Remembered::Ended(outcome, left.clone());
            self.0.lock().unwrap().insert(step.id, memory);
        }
        Ok(())
    }
}

/// The stage.
pub struct Stage {
    pub sim: Running,
    client: Client,
    hands: Client,
}

impl Stage {
    pub async fn new() -> Self {
        let mut options = sim::Options::new(WORLD);
        options.scale = 20_000.0;
        for token in [OURS, HANDS] {
            options.secrets.insert(token.into(), SECRET.into());
        }
        let sim = sim::start(options).await.unwrap();
        let client = |token: &str| {
            let endpoints = ClusterEndpoints {
                urls: vec![sim.url().parse().unwrap()],
                trust: Trust::Fingerprints([sim.fingerprint().parse().unwrap()].into()),
                token: ApiToken::new(&format!("{token}={SECRET}"), "in the test").unwrap(),
            };
            Client::new(endpoints, Limits::default()).unwrap()
        };
        let (client, hands) = (client(OURS), client(HANDS));
        Self { sim, client, hands }
    }

    pub async fn look(&self) -> World {
        let settings = ObserveSettings::all(ClusterName::new("model").unwrap());
        observe(&self.client, &settings).await.unwrap()
    }

    /// The world with the firewalls in it that these wishes are about, as a plan is made with them.
    pub async fn with_firewalls(&self, wishes: &[Wish], world: World) -> World {
        let ownership = ownership(wishes, &world);
        let wanted = firewalls_wanted(&items(wishes), &ownership, &world);
        with_firewalls(&self.client, world, wanted).await
    }

    /// What is in the backups that these wishes name.
    pub async fn backups(&self, wishes: &[Wish], world: &World) -> Backups {
        let wanted = backups_wanted(&items(wishes), &Ownership::default(), world);
        backup_configs(&self.client, wanted).await
    }

    /// The cluster as it is, after everything under way has come to its end.
    pub fn seen(&self) -> Seen {
        // What ends may begin something else: HA follows a request at its next round.
        for _ in 0..5 {
            self.sim.advance(60.0);
        }
        self.sim.with(|cluster| Seen::of(cluster))
    }

    /// The guests of which there is a copy that a plan took, by the notes.
    pub fn copied(&self) -> BTreeSet<u32> {
        self.sim.with(|cluster| {
            let ours = cluster.volumes.iter().filter(|volume| {
                let notes = volume.notes.as_deref().unwrap_or_default();
                let guest = volume.owner().unwrap_or_default();
                let of = |kind: &str| {
                    notes == format!("bailiwick: safety copy of {kind}/{guest}, kept for 1d")
                };
                of("vm") || of("ct")
            });
            ours.filter_map(|volume| volume.owner()).collect()
        })
    }

    /// Does it, or not: the cluster may refuse it.
    pub async fn by_hand(&self, call: Call) {
        if let Ok(answer) = self.hands.write(call).await
            && let Some(upid) = answer.upid
        {
            self.hands
                .wait_task(&upid, Duration::from_secs(10), POLL)
                .await;
        }
    }

    /// Runs what is left of a plan.
    pub async fn run(&self, plan: &Plan, world: World, book: &Book) -> RunEnd {
        let live = ApiCluster {
            client: self.client.clone(),
            secrets: Arc::new(|_, _| Err("there are no secrets here".to_owned())),
            poll: POLL,
            nodes: at_their_own(&self.sim),
        };
        let limits = RunLimits {
            poll: POLL,
            lock_patience: Duration::from_millis(500),
            settle: Duration::from_millis(100),
            trial_wait: Duration::from_millis(5),
            trial_patience: Duration::from_millis(50),
            ..RunLimits::default()
        };
        let executor = Executor::new(live, book.clone(), limits, world, Metrics::new());
        let remembered = book.0.lock().unwrap().clone();
        let run = executor.run(plan, remembered, &|_| {});
        let run = tokio::time::timeout(Duration::from_secs(60), run).await;
        run.expect("the run comes to no end").unwrap()
    }
}

/// Where each node listens for itself.
fn at_their_own(sim: &Running) -> BTreeMap<NodeName, (String, u16)> {
    let nodes = sim.nodes().iter();
    nodes
        .map(|(name, url)| {
            let (host, port) = url["https://".len()..].split_once(':').unwrap();
            let at = (host.to_owned(), port.parse().unwrap());
            (name.parse().unwrap(), at)
        })
        .collect()
}

/// Named after the object, so that its place in the list does not matter.
fn document(short: &str) -> String {
    let (kind, spec) = short.split_once(' ').unwrap();
    let id = match kind {
        "AccessRule" => spec.split_once(", roles").unwrap().0,
        // A whole firewall has no name.
        _ => ["filename: ", "id: ", "name: "]
            .iter()
            .find_map(|key| spec.split_once(key))
            .and_then(|(_, rest)| rest.split(',').next())
            .unwrap_or("any"),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let id = id.trim_matches(|c| !plain(c)).to_ascii_lowercase();
    let id = id.replace(|c| !plain(c), "-");
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: of-{id}}}\nspec: {spec}\n"
    )
}

fn items(wishes: &[Wish]) -> Vec<Item> {
    let item = |key: String, hash, wanted| Item {
        key,
        source: "operator:test".to_owned(),
        hash,
        wanted,
        restart: Restart::Never,
        take_over: None,
        labels: BTreeMap::new(),
    };
    let mut items = Vec::new();
    for wish in wishes {
        match wish {
            Wish::Present(short) => {
                let documents = load(&[("wish.yaml", document(short))]);
                for document in documents.unwrap_or_else(|errors| panic!("{short}: {errors}")) {
                    items.push(item(
                        document.key().to_string(),
                        Some(document.hash.to_string()),
                        Wanted::Present(document.desired()),
                    ));
                }
            }
            Wish::Removed(object) => {
                items.push(item(
                    format!("Removed/{object}"),
                    None,
                    Wanted::Removed { delete: true },
                ));
            }
        }
    }
    items
}

fn ownership(wishes: &[Wish], world: &World) -> Ownership {
    let mut objects = BTreeMap::new();
    for wish in wishes {
        let Wish::Removed(object) = wish else {
            continue;
        };
        let vmid: Option<Vmid> = object
            .strip_prefix("vm/")
            .or_else(|| object.strip_prefix("ct/"))
            .map(|vmid| vmid.parse().unwrap());
        let owned = Owned {
            document: format!("Removed/{object}"),
            source: "operator:test".to_owned(),
            hash: None,
            vmid,
            birth: vmid.and_then(|vmid| world.guests.get(&vmid)?.config.birth()),
            managed: BTreeMap::new(),
            taken_from: Vec::new(),
        };
        objects.insert(object.clone(), owned);
    }
    Ownership { objects }
}

/// Plans; with `copies` what is destroyed is backed up before.
pub fn plan(
    wishes: &[Wish],
    world: &World,
    backups: &Backups,
    copies: bool,
) -> Result<Plan, PlanError> {
    let ownership = ownership(wishes, world);
    let settings = Settings {
        safety_copy: copies.then(|| SafetyCopy {
            storage: "vault".parse().unwrap(),
            keep_for: 86_400,
        }),
        ..Settings::default()
    };
    make_plan(&PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items: items(wishes),
        ownership: &ownership,
        world,
        api: ApiView::NotAsked,
        settings: &settings,
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups,
    })
}
