//! The stage of the demo: a folder with configuration, keys and state, and the simulated cluster.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use crate::cli::environment;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::configuration::load_configuration;
use crate::proxmox::client::{Client, ClusterEndpoints, Limits};
use crate::proxmox::token::ApiToken;
use crate::proxmox::trust::Trust;
use crate::service::ledger::make_keys;
use crate::service::{Service, Tuning};
use crate::sim;

const WORLD: &str = include_str!("../../../examples/worlds/lab.yaml");
/// Simulated seconds in a real one: copying a disk takes about a second.
const SCALE: f64 = 200.0;
const CONTROLLER: &str = "bailiwick@pve!controller";
const BY_HAND: &str = "root@pam!break-glass";
/// The agent that submits, and the person who approves.
pub const AGENT: &str = "agent:demo";
/// The operator's name in the allowed-signers file.
pub const OPERATOR: &str = "demo-operator";

/// Everything the story plays on.
pub struct Stage {
    /// The folder.
    pub folder: PathBuf,
    /// The service, over the wire.
    pub service: Service,
    /// Somebody else with a token of their own, who changes things by hand.
    pub by_hand: Client,
    /// The simulated cluster's address.
    pub url: String,
    simulator: sim::Running,
    secret: String,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::error(format!("the demo cannot {what}: {error}"))
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed(&format!("write {}", path.display())))
}

impl Stage {
    /// Makes folder, keys and configuration, and starts the cluster.
    pub async fn set(keep: Option<&Path>) -> Result<Self, Failure> {
        let folder = match keep {
            Some(folder) if folder.join("bailiwick.yaml").exists() => {
                return Err(Failure::error(format!(
                    "{} has a demo already; name another folder, or play on there with ./cluster",
                    folder.display()
                )));
            }
            Some(folder) => folder.to_owned(),
            None => std::env::temp_dir().join(format!("bailiwick-demo-{}", uuid::Uuid::new_v4())),
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join("keys"))
            .map_err(failed("make its folder"))?;
        let folder = folder.canonicalize().map_err(failed("find its folder"))?;
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
        let (url, fingerprint) = (
            simulator.url().to_owned(),
            simulator.fingerprint().to_owned(),
        );
        write(
            &folder.join("keys/token"),
            &format!("{CONTROLLER}={secret}\n"),
        )?;
        operator_key(&folder)?;
        write(
            &folder.join("bailiwick.yaml"),
            &configuration(&url, &fingerprint),
        )?;
        let configuration = load_configuration(&folder.join("bailiwick.yaml"))
            .map_err(|error| Failure::of(&error))?;
        make_keys(&configuration)?;
        let tuning = Tuning {
            poll: Duration::from_millis(30),
            settle: Duration::from_secs(3),
            lock_patience: Duration::from_secs(5),
        };
        let service = Service::open(configuration, environment(), tuning).await?;
        let by_hand = client(&url, &fingerprint, &format!("{BY_HAND}={other_secret}"))?;
        Ok(Self {
            folder,
            service,
            by_hand,
            url,
            simulator,
            secret,
        })
    }

    /// The operator's private key file.
    pub fn key(&self) -> PathBuf {
        self.folder.join("keys/operator")
    }

    /// Ends the cluster and removes the folder, unless it is to be kept.
    pub async fn clear(self, keep: bool, output: &Output) {
        let Self {
            folder,
            service,
            simulator,
            secret,
            ..
        } = self;
        let address = simulator.address();
        service.store().close().await;
        simulator.stop().await;
        if !keep {
            // What cannot be removed lies in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(&folder);
            return;
        }
        let kept = write(&folder.join("lab.yaml"), WORLD)
            .and_then(|()| {
                write(
                    &folder.join("cluster"),
                    &cluster_script(&address.to_string(), &secret),
                )
            })
            .and_then(|()| {
                use std::os::unix::fs::PermissionsExt;
                let script = folder.join("cluster");
                std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))
                    .map_err(failed("make ./cluster executable"))
            });
        if let Err(failure) = kept {
            output.failure(&failure);
        }
        output.line(format!(
            "\nkept: {}\n  ./cluster starts the simulated cluster there again, as it was before the story (so what was applied shows as drift); in another terminal:\n  \
             cd {} && bailiwick get plans",
            folder.display(),
            folder.display()
        ));
    }
}

fn operator_key(folder: &Path) -> Result<(), Failure> {
    let seed: [u8; 32] = rand::random();
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    let key = PrivateKey::new(pair, "the demo's operator").map_err(|error| Failure::of(&error))?;
    let private = key
        .to_openssh(LineEnding::LF)
        .map_err(|error| Failure::of(&error))?;
    write(&folder.join("keys/operator"), &private)?;
    let public = key
        .public_key()
        .to_openssh()
        .map_err(|error| Failure::of(&error))?;
    write(&folder.join("keys/operator.pub"), &format!("{public}\n"))?;
    write(
        &folder.join("allowed-signers"),
        &format!("{OPERATOR} namespaces=\"bailiwick\" {public}\n"),
    )
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

fn configuration(url: &str, fingerprint: &str) -> String {
    format!(
        "# Made by `bailiwick demo`.
apiVersion: bailiwick.dev/v1alpha1
kind: Configuration
clusters:
  - name: lab
    endpoints: [\"{url}\"]
    tls: {{ fingerprint: \"{fingerprint}\" }}
    token: {{ file: keys/token }}
    vmidRange: 9000-9999
state: state.db
ledger:
  keyFile: keys/ledger.key
  checkpoint: {{ file: checkpoints.jsonl, keyFile: keys/checkpoint.key }}
approval:
  allowedSigners: allowed-signers
sources:
  \"{AGENT}\": {{ prune: true }}
defaultPrincipal: {AGENT}
"
    )
}

fn cluster_script(address: &str, secret: &str) -> String {
    format!(
        "#!/bin/sh
# Starts the simulated cluster of the demo again, and tells the configuration its new certificate's fingerprint.
cd \"$(dirname \"$0\")\" || exit 1
rm -f cluster.ready
bailiwick sim --world lab.yaml --listen {address} --secret '{CONTROLLER}={secret}' > cluster.ready &
pid=$!
trap 'kill $pid' INT TERM
while [ ! -s cluster.ready ]; do sleep 0.1; kill -0 $pid || exit 1; done
print=$(sed 's/.*\"fingerprint\":\"\\([0-9A-F:]*\\)\".*/\\1/' cluster.ready)
sed -i \"s/fingerprint: .*/fingerprint: \\\"$print\\\" }}/\" bailiwick.yaml
cat cluster.ready
wait $pid
"
    )
}
