//! The stage of the demo: the simulated cluster, `serve` on it, the agent with its token, and somebody who changes things by hand.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::agent::{Agent, http};
use super::folder::Folder;
use super::repository::Repository;
use crate::cli::arguments::Serve;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::cli::{environment, serve};
use crate::configuration::load_configuration;
use crate::proxmox::client::{Client, ClusterEndpoints, Limits};
use crate::proxmox::token::ApiToken;
use crate::proxmox::trust::Trust;
use crate::reconcile::Telling;
use crate::reconcile::supervise::Line;
use crate::service::agents::Life;
use crate::service::ledger::make_keys;
use crate::service::{Service, Tuning};
use crate::sim;

/// The world of the simulated cluster.
pub const WORLD: &str = include_str!("../../../examples/worlds/lab.yaml");
/// Simulated seconds in a real one: copying a disk takes about a second.
const SCALE: f64 = 200.0;
/// Bailiwick's own token on the cluster.
pub const CONTROLLER: &str = "bailiwick@pve!controller";
const BY_HAND: &str = "root@pam!break-glass";
/// The agent that submits, and the person who approves.
pub const AGENT: &str = "agent:demo";
/// The operator's name in the allowed-signers file.
pub const OPERATOR: &str = "demo-operator";
/// The source that is a repository.
pub const GIT: &str = "git:demo";

/// Everything the story plays on.
pub struct Stage {
    folder: Folder,
    /// The service, over the wire.
    pub service: Service,
    /// The agent, connected to `serve`.
    pub agent: Agent,
    /// Somebody else with a token of their own, who changes things by hand.
    pub by_hand: Client,
    /// The repository that the loop reads; the error says why there is none.
    pub repository: Result<Repository, String>,
    /// Asks `serve` for its metrics.
    pub http: reqwest::Client,
    /// The simulated cluster's address.
    pub url: String,
    /// Where `serve` listens.
    pub served: String,
    said: Arc<Mutex<Vec<Line>>>,
    serving: serve::Running,
    simulator: sim::Running,
    secret: String,
}

impl Stage {
    /// Makes folder, keys, repository and configuration, starts the cluster and `serve`, and lets the agent connect.
    pub async fn set(keep: Option<&Path>) -> Result<Self, Failure> {
        let folder = Folder::make(keep)?;
        let secret = uuid::Uuid::new_v4().to_string();
        let other_secret = uuid::Uuid::new_v4().to_string();
        let mut options = sim::Options::new(WORLD);
        options.scale = SCALE;
        options.secrets = [
            (CONTROLLER.to_owned(), secret.clone()),
            (BY_HAND.to_owned(), other_secret.clone()),
        ]
        .into();
        let simulator = sim::start(options)
            .await
            .map_err(|error| Failure::of(&error))?;
        let (url, fingerprint) = (simulator.url().to_owned(), simulator.fingerprint());
        let by_hand = client(&url, fingerprint, &format!("{BY_HAND}={other_secret}"))?;
        folder.write("keys/token", &format!("{CONTROLLER}={secret}\n"))?;
        folder.operator_key()?;
        let repository = Repository::make(folder.path().join("repository")).await?;
        let path = repository.as_ref().ok().map(Repository::path);
        folder.configuration(&url, fingerprint, path)?;
        let service = open(&folder).await?;
        let said = Arc::default();
        let asked = Serve { no_listen: false };
        let serving = serve::start(&service, &asked, &listening(&said)).await?;
        let served = serving.url().unwrap_or_default();
        let agent = connect(&service, &served, &folder).await?;
        Ok(Self {
            folder,
            service,
            agent,
            by_hand,
            repository,
            http: http()?,
            url,
            served,
            said,
            serving,
            simulator,
            secret,
        })
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the loop said since this was last asked.
    pub fn loop_said(&self) -> Vec<Line> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends what was started, the last first, and removes the folder, unless it is to be kept.
    pub async fn clear(self, output: &Output) {
        let Self {
            folder,
            service,
            agent,
            serving,
            simulator,
            secret,
            served,
            ..
        } = self;
        let address = simulator.address().to_string();
        agent.leave().await;
        serving.end().await;
        service.store().close().await;
        simulator.stop().await;
        if !folder.kept() {
            return;
        }
        if let Err(failure) =
            folder.for_playing_on(&address, &secret, served.strip_prefix("http://"))
        {
            output.failure(&failure);
        }
        let path = folder.path().display();
        output.line(format!(
            "\nkept: {path}\n  ./cluster starts the simulated cluster there again, as it was before the story (so what was applied shows as drift); in another terminal:\n  \
             cd {path} && bailiwick get plans\n  \
             `bailiwick serve` there runs the loop, and MCP at {served}/mcp for whoever has the token in keys/agent"
        ));
    }
}

async fn open(folder: &Folder) -> Result<Service, Failure> {
    let configuration = load_configuration(&folder.path().join("bailiwick.yaml"))
        .map_err(|error| Failure::of(&error))?;
    make_keys(&configuration)?;
    let tuning = Tuning {
        poll: Duration::from_millis(30),
        settle: Duration::from_secs(3),
        lock_patience: Duration::from_secs(5),
        ..Tuning::default()
    };
    Ok(Service::open(configuration, environment(), tuning).await?)
}

/// Takes down what the loop says: the story tells it where it belongs.
fn listening(said: &Arc<Mutex<Vec<Line>>>) -> Telling {
    let said = Arc::clone(said);
    Arc::new(move |line| {
        said.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    })
}

/// Has the operator give the agent a token, and the agent connect with it.
async fn connect(service: &Service, served: &str, folder: &Folder) -> Result<Agent, Failure> {
    let operator = service.principal(Some(&format!("person:{OPERATOR}")))?;
    let added = service.add_agent(AGENT, Life::default(), &operator).await?;
    if folder.kept() {
        folder.write("keys/agent", &format!("{}\n", added.token.show()))?;
    }
    Agent::connect(served, &added.token).await
}

fn client(url: &str, fingerprint: &str, token: &str) -> Result<Client, Failure> {
    let endpoints = ClusterEndpoints {
        urls: vec![
            url.parse()
                .map_err(|error| Failure::error(format!("{url}: {error}")))?,
        ],
        trust: Trust::Fingerprints(
            [fingerprint
                .parse()
                .map_err(|_| Failure::error("the simulator gave no fingerprint"))?]
            .into(),
        ),
        token: ApiToken::new(token, "the demo").map_err(|error| Failure::of(&error))?,
    };
    Client::new(endpoints, Limits::default()).map_err(|error| Failure::of(&error))
}
