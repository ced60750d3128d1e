//! The folder of the demo: configuration, keys, and the script that starts the cluster again. It goes when the demo ends, unless it
//! is to be kept.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use super::stage::{AGENT, CONTROLLER, GIT, OPERATOR, WORLD};
use crate::cli::exit::Failure;

/// Where `serve` listens while the demo runs: a free port.
const ANY_PORT: &str = "127.0.0.1:0";

/// The folder. One that is not kept is removed when this is dropped, however the demo ends.
pub struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::error(format!("the demo cannot {what}: {error}"))
}

impl Folder {
    /// Makes it, for its owner only: the one to keep, or a temporary one.
    pub fn make(keep: Option<&Path>) -> Result<Self, Failure> {
        let path = match keep {
            Some(folder) if folder.join("bailiwick.yaml").exists() => {
                return Err(Failure::error(format!(
                    "{} has a demo already; name another folder, or play on there with ./cluster",
                    folder.display()
                )));
            }
            Some(folder) => folder.to_owned(),
            None => std::env::temp_dir().join(format!("bailiwick-demo-{}", uuid::Uuid::new_v4())),
        };
        let mut folder = Self {
            path,
            keep: keep.is_some(),
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.path.join("keys"))
            .map_err(failed("make its folder"))?;
        folder.path = folder
            .path
            .canonicalize()
            .map_err(failed("find its folder"))?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays.
    pub fn kept(&self) -> bool {
        self.keep
    }

    /// Writes a file that only its owner can read.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        let opened = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        opened
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(failed(&format!("write {}", path.display())))
    }

    /// Draws the operator's key, and writes down that its signatures are the operator's.
    pub fn operator_key(&self) -> Result<(), Failure> {
        let seed: [u8; 32] = rand::random();
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
        let key =
            PrivateKey::new(pair, "the demo's operator").map_err(|error| Failure::of(&error))?;
        let private = key
            .to_openssh(LineEnding::LF)
            .map_err(|error| Failure::of(&error))?;
        self.write("keys/operator", &private)?;
        let public = key
            .public_key()
            .to_openssh()
            .map_err(|error| Failure::of(&error))?;
        self.write("keys/operator.pub", &format!("{public}\n"))?;
        self.write(
            "allowed-signers",
            &format!("{OPERATOR} namespaces=\"bailiwick\" {public}\n"),
        )
    }

    /// Writes the configuration: this cluster, and this repository if there is one.
    pub fn configuration(
        &self,
        url: &str,
        fingerprint: &str,
        repository: Option<&Path>,
    ) -> Result<(), Failure> {
        self.write(
            "bailiwick.yaml",
            &configuration(url, fingerprint, repository),
        )
    }

    /// Writes what is needed to play on: the cluster's world and the script that starts it again; and the loop shall listen where it
    /// did.
    pub fn for_playing_on(
        &self,
        cluster: &str,
        secret: &str,
        served: Option<&str>,
    ) -> Result<(), Failure> {
        self.write("lab.yaml", WORLD)?;
        self.write("cluster", &cluster_script(cluster, secret))?;
        let script = self.path.join("cluster");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))
            .map_err(failed("make ./cluster executable"))?;
        let Some(served) = served else {
            return Ok(());
        };
        let text = std::fs::read_to_string(self.path.join("bailiwick.yaml"))
            .map_err(failed("read its configuration"))?;
        self.write("bailiwick.yaml", &text.replace(ANY_PORT, served))
    }
}

fn configuration(url: &str, fingerprint: &str, repository: Option<&Path>) -> String {
    // A path in JSON's quotes is one in YAML too.
    let git = repository.map_or_else(String::new, |path| {
        format!(
            "  \"{GIT}\":
    git: {{ url: {}, branch: main, paths: {{ lab: . }}, interval: 5s }}
",
            serde_json::Value::from(path.display().to_string())
        )
    });
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
serve:
  listen: \"{ANY_PORT}\"
reconcile:
  interval: 1s
sources:
  \"{AGENT}\": {{ prune: true }}
{git}defaultPrincipal: {AGENT}
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
