//! A play: a simulated cluster in this process, a folder with configuration, keys and documents, and the real program run in it.
//! When a play ends, every request it made is checked against the API schema, and the ledger is verified.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick::sim::{self, Entry, Fault, Running};
use serde_json::Value;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use tempfile::TempDir;

use super::contract;

/// The world of the demo.
pub const LAB: &str = include_str!("../../examples/worlds/lab.yaml");
/// The controller's token.
pub const TOKEN: &str = "bailiwick@pve!controller";
/// Somebody else's token that may do everything.
pub const BREAK_GLASS: &str = "root@pam!break-glass";
const SECRET: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_SECRET: &str = "99999999-2222-3333-4444-555555555555";

/// What a play begins with.
pub struct Setup {
    /// The world file's text.
    pub world: String,
    /// Simulated seconds in a real one.
    pub scale: f64,
    /// YAML for `approval:`, indented by two, after `allowedSigners`.
    pub approval: String,
    /// YAML for `limits:` of the cluster, inline.
    pub limits: String,
    /// YAML for the end of the cluster, indented by two.
    pub cluster: String,
    /// YAML for `sources:`, inline.
    pub sources: String,
    /// YAML for the end of the configuration: `reconcile:`, `serve:`, `notify:`.
    pub more: String,
    /// For how long the effect of a write with an unknown outcome is looked for, in milliseconds.
    pub settle: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            world: LAB.to_owned(),
            scale: 500.0,
            approval: String::new(),
            limits: "{}".to_owned(),
            cluster: String::new(),
            sources: "{\"agent:demo\": {prune: true, fuse: {count: 100, share: 1.0}}}".to_owned(),
            more: String::new(),
            settle: 400,
        }
    }
}

/// A play.
pub struct Play {
    pub folder: TempDir,
    pub sim: Running,
    world: String,
    settle: u64,
    unchecked: AtomicBool,
    runtime: tokio::runtime::Runtime,
}

/// What the program said, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "\n--- out\n{}\n--- err\n{}",
            self.out,
            self.err
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}\n--- out\n{}\n--- err\n{}", self.out, self.err))
    }

    /// The hash of the plan in standard output (JSON).
    #[track_caller]
    pub fn hash(&self) -> String {
        let json = self.json();
        let hash = json["hash"].as_str().or_else(|| json["plan"].as_str());
        hash.unwrap_or_else(|| panic!("no plan in {}", self.out))
            .to_owned()
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A deterministic Ed25519 key of OpenSSH's form.
pub fn ssh_key(seed: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[seed; 32]);
    PrivateKey::new(KeypairData::Ed25519(pair), "test").unwrap()
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn simulate(world: &str, scale: f64) -> (tokio::runtime::Runtime, Running) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut options = sim::Options::new(world);
    options.scale = scale;
    options.secrets = BTreeMap::from([
        (TOKEN.to_owned(), SECRET.to_owned()),
        (BREAK_GLASS.to_owned(), OTHER_SECRET.to_owned()),
    ]);
    let sim = runtime.block_on(sim::start(options)).unwrap();
    (runtime, sim)
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

impl Play {
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let (runtime, sim) = simulate(&setup.world, setup.scale);
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["state", "keys", "docs"] {
            std::fs::create_dir(at.join(name)).unwrap();
        }
        write_private(&at.join("token"), &format!("{TOKEN}={SECRET}\n"));
        let mut allowed = String::new();
        // `stranger` has a key that no line of the allowed signers knows.
        for (seed, name) in [(7, "anna"), (8, "ben"), (9, "stranger")] {
            let key = ssh_key(seed);
            write_private(&at.join(name), &key.to_openssh(LineEnding::LF).unwrap());
            if name != "stranger" {
                allowed.push_str(&format!(
                    "{name} {}\n",
                    key.public_key().to_openssh().unwrap()
                ));
            }
        }
        std::fs::write(at.join("allowed"), allowed).unwrap();
        let of_cluster = match setup.cluster.as_str() {
            "" => String::new(),
            lines => format!("\n{lines}"),
        };
        let configuration = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Configuration\nclusters:\n- name: lab\n  endpoints: [\"{}\"]\n  \
             tls: {{fingerprint: \"{}\"}}\n  token: {{file: token}}\n  vmidRange: 9000-9999\n  limits: {}\n  nodes: {}{}\n\
             state: state/bailiwick.db\nledger: {{keyFile: keys/ledger.key, checkpoint: {{file: checkpoints.jsonl, keyFile: keys/checkpoint.key}}}}\n\
             approval:\n  allowedSigners: allowed\n{}\nsources: {}\ndefaultPrincipal: agent:demo\n{}",
            sim.url(),
            sim.fingerprint(),
            setup.limits,
            serde_json::to_string(sim.nodes()).unwrap(),
            of_cluster,
            setup.approval,
            setup.sources,
            setup.more,
        );
        std::fs::write(at.join("bailiwick.yaml"), configuration).unwrap();
        let play = Self {
            folder,
            sim,
            world: setup.world,
            settle: setup.settle,
            unchecked: AtomicBool::new(false),
            runtime,
        };
        play.bailiwick(&["ledger", "keygen"]).ends(0);
        play
    }

    /// A copy of this play's folder with a fresh simulator of the same world: for many endings of one beginning, as long as the
    /// beginning changed nothing in the cluster.
    pub fn again(&self, scale: f64) -> Self {
        assert_eq!(self.writes().len(), 0, "the cluster was changed");
        let (runtime, sim) = simulate(&self.world, scale);
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        let file = folder.path().join("bailiwick.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text
            .replace(self.sim.url(), sim.url())
            .replace(self.sim.fingerprint(), sim.fingerprint());
        let nodes = self.sim.nodes().values().zip(sim.nodes().values());
        let text = nodes.fold(text, |text, (old, new)| text.replace(old, new));
        std::fs::write(file, text).unwrap();
        Self {
            folder,
            sim,
            world: self.world.clone(),
            settle: self.settle,
            unchecked: AtomicBool::new(false),
            runtime,
        }
    }

    /// The play's folder; the program runs in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a future on the play's runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Has a future run beside the test on the play's runtime.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// The program with arguments, in the play's folder and with a clean environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("BAILIWICK_POLL_MS", "10")
            .env("BAILIWICK_TRIAL_WAIT_MS", "50")
            .env("BAILIWICK_SETTLE_MS", self.settle.to_string())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn bailiwick(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs the program with standard output as JSON.
    pub fn json(&self, args: &[&str]) -> Ran {
        self.bailiwick(&[args, &["-o", "json"]].concat())
    }

    /// Writes a document file into `docs/`.
    pub fn document(&self, name: &str, text: &str) {
        std::fs::write(self.path("docs").join(format!("{name}.yaml")), text).unwrap();
    }

    /// Takes a document file out of `docs/`.
    pub fn withdraw(&self, name: &str) {
        std::fs::remove_file(self.path("docs").join(format!("{name}.yaml"))).unwrap();
    }

    /// Submits `docs/` (pruning); the plan as JSON. Asserts that it waits.
    #[track_caller]
    pub fn apply(&self) -> Value {
        self.json(&["apply", "-f", "docs", "--prune"])
            .ends(2)
            .json()
    }

    /// Approves with anna's key, every impact seen and every unknown named.
    #[track_caller]
    pub fn approve(&self, hash: &str) -> Ran {
        self.approve_with(hash, "anna")
    }

    /// Approves with somebody's key, every impact seen and every unknown named.
    #[track_caller]
    pub fn approve_with(&self, hash: &str, key: &str) -> Ran {
        let plan = self.json(&["describe", hash]).ends(0).json();
        let unknowns: Vec<&str> = plan["unknowns"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|unknown| unknown["id"].as_str())
            .collect();
        let unknowns = unknowns.join(",");
        let mut args = vec!["approve", hash, "--key", key, "--impacts", "all"];
        if !unknowns.is_empty() {
            args.extend(["--unknowns", &unknowns]);
        }
        self.json(&args)
    }

    /// Runs a plan.
    pub fn run(&self, hash: &str) -> Ran {
        self.json(&["run", hash])
    }

    /// Submits, approves and runs; the plan's hash.
    #[track_caller]
    pub fn carry_out(&self) -> String {
        let hash = hash_of(&self.apply());
        self.approve(&hash).ends(0);
        self.run(&hash).ends(0);
        hash
    }

    /// Proposes the undo of a plan; the new plan as JSON. Asserts that it waits.
    #[track_caller]
    pub fn undo(&self, hash: &str) -> Value {
        self.json(&["undo", hash]).ends(2).json()
    }

    /// Adds a fault (see the simulator's `faults`).
    pub fn fault(&self, text: &str) {
        self.sim.fault(Fault::parse(text).unwrap());
    }

    /// Every write of the controller, in order, whatever became of it.
    pub fn writes(&self) -> Vec<Entry> {
        let log = self.sim.log();
        log.into_iter()
            .filter(|entry| entry.user == TOKEN && entry.method != "GET")
            .collect()
    }

    /// How often each write arrived: `POST /nodes/pve1/qemu` → 1.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.writes() {
            *counts
                .entry(format!("{} {}", entry.method, entry.path))
                .or_default() += 1;
        }
        counts
    }

    /// A guest's configuration file as it lies in the cluster, wherever it is.
    pub fn config(&self, vmid: u32) -> Option<String> {
        self.sim.with(|cluster| {
            cluster
                .guest(vmid)
                .map(|guest| cluster.files.read(&guest.file()).to_owned())
        })
    }

    /// Changes a guest's configuration by hand: one replacement in its file.
    #[track_caller]
    pub fn edit(&self, vmid: u32, from: &str, to: &str) {
        self.sim.with(|cluster| {
            let file = cluster.guest(vmid).unwrap().file();
            let text = cluster.files.read(&file).to_owned();
            assert!(text.contains(from), "{text}");
            cluster.files.set(file, text.replacen(from, to, 1));
        });
    }

    /// Writes a file of the cluster by hand, as somebody on a node's shell does.
    pub fn file(&self, name: &str, text: &str) {
        self.sim
            .with(|cluster| cluster.files.set(name.to_owned(), text.to_owned()));
    }

    /// Every file of the cluster and every volume, without what a creation draws at random or takes from the clock: two plays that
    /// came to the same end have the same.
    pub fn end(&self) -> BTreeMap<String, String> {
        let random = regex::Regex::new(
            r"(?m)^(smbios1|snaptime|vmgenid|meta): .*$|[0-9A-F]{2}(:[0-9A-F]{2}){5}",
        )
        .unwrap();
        let dated = regex::Regex::new(r"2\d{3}_\d\d_\d\d-\d\d_\d\d_\d\d").unwrap();
        self.sim.with(|cluster| {
            let mut end = BTreeMap::new();
            for (file, text) in cluster.files.all() {
                let text = random.replace_all(text, "…");
                // A replication job that is marked goes with the next run on its node; when that is says nothing.
                let marked = |job: &&str| !job.contains("remove_job");
                let left: Vec<&str> = text.split("\n\n").filter(marked).collect();
                let text = left.join("\n\n");
                // In files that hold several objects the order says nothing, nor do colons at the end of a line.
                let mut lines: Vec<&str> = text.lines().map(|l| l.trim_end_matches(':')).collect();
                if file.ends_with(".cfg") {
                    lines.retain(|line| !line.is_empty());
                    lines.sort_unstable();
                }
                end.insert(file.clone(), lines.join("\n"));
            }
            for volume in cluster.volumes.iter() {
                let sim::volumes::Volume {
                    volid,
                    node,
                    size,
                    format,
                    parent,
                    notes,
                    ..
                } = volume;
                // A backup that a play takes is called by when that was.
                let ours = notes
                    .as_deref()
                    .is_some_and(|n| n.starts_with("bailiwick: "));
                let volid = match ours {
                    true => dated.replace(volid, "…"),
                    false => volid.into(),
                };
                end.insert(
                    format!("(volume) {node}:{volid}"),
                    format!("{size} {format} {parent:?}"),
                );
            }
            end.insert(
                "(running)".to_owned(),
                format!("{:?}", cluster.running.keys()),
            );
            end
        })
    }

    /// The ledger's records, by `ledger export`.
    pub fn ledger(&self) -> Vec<Value> {
        let text = self.bailiwick(&["ledger", "export"]).ends(0).out;
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// This play's end is not checked (for tests that break the ledger themselves).
    pub fn leave_unchecked(&self) {
        self.unchecked.store(true, Ordering::Relaxed);
    }

    /// Checks every request of the controller, reads too, against the API schema and verifies the ledger.
    #[track_caller]
    pub fn check(&self) {
        let log = self.sim.log();
        let complaints = contract::of_log(log.iter().filter(|entry| entry.user == TOKEN));
        assert_eq!(
            complaints,
            Vec::<String>::new(),
            "requests that do not fit the API schema"
        );
        self.bailiwick(&["ledger", "verify"]).ends(0);
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.unchecked.load(Ordering::Relaxed) {
            self.check();
        }
    }
}

/// Asserts that two ends are the same, showing only what differs.
#[track_caller]
pub fn same_end(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>, what: &str) {
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differ: Vec<String> = keys
        .into_iter()
        .filter(|key| left.get(*key) != right.get(*key))
        .map(|key| format!("{key}:\n{:?}\n{:?}", left.get(key), right.get(key)))
        .collect();
    assert!(differ.is_empty(), "{what}: {}", differ.join("\n"));
}

/// A plan's hash.
#[track_caller]
pub fn hash_of(plan: &Value) -> String {
    plan["hash"].as_str().unwrap().to_owned()
}
