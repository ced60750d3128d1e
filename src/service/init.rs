//! Setting up: everything a new installation needs, checked against the live cluster before a single file is written. Either all files
//! are made or none, and none that is there already is touched.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::error::{ServiceError, with_causes};
use super::ledger::make_keys;
use super::open::trust_of;
use crate::approval::{AllowedSigners, Principal};
use crate::configuration::Configuration;
use crate::configuration::parts::{Endpoint, Tls};
use crate::ids::ClusterName;
use crate::plan::needs;
use crate::proxmox::certificate::{Certificate, look};
use crate::proxmox::client::{Client, ClusterEndpoints, Limits};
use crate::proxmox::{ApiError, ApiToken, Call, ErrorClass};
use crate::world::{ObserveSettings, observe};

/// The token's id when nobody names another.
pub const TOKEN: &str = "bailiwick@pve!controller";
/// The role the commands make.
const ROLE: &str = "Bailiwick";
/// How long a server may take to show its certificate.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that has to be known.
pub struct Answers {
    /// The folder to write to; made if it is not there.
    pub folder: PathBuf,
    /// What the cluster is called.
    pub cluster: ClusterName,
    /// Its API, at least one.
    pub endpoints: Vec<Endpoint>,
    /// What makes its certificate trusted.
    pub tls: Tls,
    /// The API token, `user@realm!name=secret`.
    pub token: Zeroizing<String>,
    /// The person who may approve.
    pub signer: Principal,
    /// Their public key, in OpenSSH's form.
    pub key: String,
}

/// What was seen of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Proxmox VE's version.
    pub version: String,
    /// How many nodes, guests, storages.
    pub counts: (usize, usize, usize),
    /// What cannot be seen, with the reason.
    pub hidden: Vec<String>,
    /// The privileges of the role that the token lacks on the whole cluster.
    pub lacking: Vec<String>,
}

/// The commands that make a user, a role with the least that guests, storages and pools take, and a token.
pub fn token_commands(token: &str) -> Vec<String> {
    let (user, name) = token.split_once('!').unwrap_or((token, ""));
    let mut commands = vec![format!("pveum user add {user}")];
    let mut role = role_commands(token);
    // The token's own entry comes after the token.
    let entry = role.pop();
    commands.extend(role);
    commands.push(format!("pveum user token add {user} {name} -privsep 1"));
    commands.extend(entry);
    commands
}

/// The commands that make the role and give it to a token that is there, and to its user.
pub fn role_commands(token: &str) -> Vec<String> {
    let (user, _) = token.split_once('!').unwrap_or((token, ""));
    let privileges: Vec<String> = needs::role().into_iter().collect();
    vec![
        format!("pveum role add {ROLE} -privs \"{}\"", privileges.join(",")),
        format!("pveum acl modify / -user {user} -role {ROLE}"),
        format!("pveum acl modify / -token '{token}' -role {ROLE}"),
    ]
}

/// The certificate of each endpoint. Nothing is believed, and nothing is sent.
///
/// # Errors
/// The first endpoint that shows none.
pub async fn certificates(endpoints: &[Endpoint]) -> Result<Vec<Certificate>, ServiceError> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        let url = url_of(endpoint)?;
        let certificate = look(&url, PATIENCE)
            .await
            .map_err(|error| ServiceError::Request(error.to_string()))?;
        found.push(certificate);
    }
    Ok(found)
}

fn url_of(endpoint: &Endpoint) -> Result<url::Url, ServiceError> {
    url::Url::parse(&endpoint.to_string())
        .map_err(|error| ServiceError::Request(format!("{endpoint}: {error}")))
}

/// Checks the answers against the live cluster: every endpoint answers, is trusted and takes the token; and what the token sees.
///
/// # Errors
/// The first thing that is not well, with what to do.
pub async fn check(answers: &Answers) -> Result<Seen, ServiceError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Cluster {
        cluster: answers.cluster.to_string(),
        source,
    };
    let token = ApiToken::new(&answers.token, "that was given").map_err(|e| failed(e.into()))?;
    let id = token.id().to_owned();
    let client = |endpoints: &[Endpoint]| -> Result<Client, ServiceError> {
        let urls = endpoints.iter().map(url_of).collect::<Result<_, _>>()?;
        let endpoints = ClusterEndpoints {
            urls,
            trust: trust_of(&answers.tls)?,
            token: token.clone(),
        };
        Client::new(endpoints, Limits::default()).map_err(|error| failed(error.into()))
    };
    for endpoint in &answers.endpoints {
        let alone = client(std::slice::from_ref(endpoint))?;
        let answer: Result<serde_json::Value, ApiError> = alone.get(Call::get(["version"])).await;
        match answer {
            Ok(_) => {}
            Err(error) if error.class() == ErrorClass::Unauthenticated => {
                return Err(ServiceError::Request(format!(
                    "{endpoint} does not accept the API token {id}: it does not exist, has expired, or its secret is wrong; these commands on a node make it:\n  {}",
                    token_commands(&id).join("\n  ")
                )));
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    let world = observe(
        &client(&answers.endpoints)?,
        &ObserveSettings::all(answers.cluster.clone()),
    )
    .await
    .map_err(|error| match error {
        crate::world::ObserveError::NoPrivileges { .. } => ServiceError::Request(format!(
            "the API token {id} is accepted and may do nothing; these commands on a node give it the role:\n  {}",
            role_commands(&id).join("\n  ")
        )),
        error => error.into(),
    })?;
    Ok(Seen {
        version: world.version.clone(),
        counts: (world.nodes.len(), world.guests.len(), world.storages.len()),
        hidden: world
            .unreadable_parts()
            .map(|(part, why)| format!("{part}: {why}"))
            .collect(),
        lacking: needs::role()
            .into_iter()
            .filter(|privilege| !world.may("/", privilege))
            .collect(),
    })
}

/// The files of an installation, below its folder.
#[derive(Debug, Clone)]
struct Layout {
    folder: PathBuf,
    cluster: ClusterName,
}

impl Layout {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.at("bailiwick.yaml")
    }

    fn token(&self) -> String {
        format!("secrets/{}.token", self.cluster)
    }

    fn authority(&self) -> String {
        format!("{}-ca.pem", self.cluster)
    }

    fn checkpoints(&self) -> String {
        format!("checkpoints/{}.jsonl", self.cluster)
    }

    /// Every file that is made, or comes to be later.
    fn all(&self) -> Vec<PathBuf> {
        let names = [
            "bailiwick.yaml",
            "allowed_signers",
            "secrets/ledger.key",
            "secrets/checkpoint.key",
            "state/bailiwick.db",
        ];
        names
            .into_iter()
            .map(str::to_owned)
            .chain([self.token(), self.authority(), self.checkpoints()])
            .map(|name| self.at(&name))
            .collect()
    }
}

/// Refuses a folder in which files of an installation are there already, all of them at once.
///
/// # Errors
/// [`ServiceError::Request`] with the files.
pub fn refuse_taken(folder: &Path, cluster: &ClusterName) -> Result<(), ServiceError> {
    let layout = Layout {
        folder: folder.to_owned(),
        cluster: cluster.clone(),
    };
    let taken: Vec<String> = layout
        .all()
        .into_iter()
        .filter(|file| file.symlink_metadata().is_ok())
        .map(|file| format!("  {}", file.display()))
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Request(format!(
        "nothing was written, since these files are there already and are not written over:\n{}\nname another folder with --dir",
        taken.join("\n")
    )))
}

/// The configuration's text.
fn configuration(answers: &Answers, layout: &Layout) -> String {
    let endpoints: Vec<String> = answers
        .endpoints
        .iter()
        .map(|endpoint| format!("      - \"{endpoint}\"\n"))
        .collect();
    let tls = match &answers.tls {
        Tls::Fingerprint(print) => format!("fingerprint: \"{print}\""),
        Tls::CaFile(_) => format!("caFile: {}", layout.authority()),
        Tls::SystemRoots => "systemRoots: true".to_owned(),
    };
    format!(
        "# Bailiwick's configuration, made by `bailiwick init`. It belongs to the operator: nothing that is submitted can change it, and no\n\
         # secret stands in it. Relative paths are relative to this file's folder.\n\
         apiVersion: bailiwick.dev/v1alpha1\n\
         kind: Configuration\n\
         \n\
         clusters:\n\
         \x20 - name: {cluster}\n\
         \x20   # One or more nodes, tried in this order.\n\
         \x20   endpoints:\n{endpoints}\
         \x20   # What makes the certificate trusted: `fingerprint`, `caFile` or `systemRoots: true`.\n\
         \x20   tls:\n\
         \x20     {tls}\n\
         \x20   # The API token, in a file that only its owner can read.\n\
         \x20   token:\n\
         \x20     file: {token}\n\
         \x20   # New guests whose document names no VMID get one of these.\n\
         \x20   # vmidRange: 9000-9999\n\
         \n\
         # The SQLite file with plans, approvals, runs and the ledger.\n\
         state: state/bailiwick.db\n\
         \n\
         ledger:\n\
         \x20 # Whoever has this key can forge the ledger: best moved to another disk, with its path here.\n\
         \x20 keyFile: secrets/ledger.key\n\
         \x20 # A ledger whose end was cut off shows only against a checkpoint: best on another machine's disk.\n\
         \x20 checkpoint:\n\
         \x20   file: {checkpoints}\n\
         \x20   keyFile: secrets/checkpoint.key\n\
         \n\
         approval:\n\
         \x20 # OpenSSH's allowed-signers file: who may approve, and with which key.\n\
         \x20 allowedSigners: allowed_signers\n\
         \x20 # Without rules one person approves each plan; at risk `high` or `unknown` one who acknowledges every impact.\n\
         \x20 # policy: []\n\
         \n\
         # Who submits when nobody is named with --as.\n\
         defaultPrincipal: {signer}\n",
        cluster = answers.cluster,
        endpoints = endpoints.concat(),
        token = layout.token(),
        checkpoints = layout.checkpoints(),
        signer = answers.signer,
    )
}

/// Writes an installation. Returns the files, the configuration first.
///
/// # Errors
/// Whatever stands in the way; then everything that was made is taken away again.
pub fn write(answers: &Answers) -> Result<Vec<PathBuf>, ServiceError> {
    refuse_taken(&answers.folder, &answers.cluster)?;
    let layout = Layout {
        folder: answers.folder.clone(),
        cluster: answers.cluster.clone(),
    };
    let text = configuration(answers, &layout);
    let file = layout.configuration();
    let parsed = Configuration::parse(&text, &file).map_err(|error| {
        ServiceError::Defect(format!("the configuration made is not valid: {error}"))
    })?;
    let mut made = Made::default();
    match lay_down(answers, &layout, &text, &parsed, &mut made) {
        Ok(()) => {
            made.files.reverse();
            Ok(made.files)
        }
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

fn lay_down(
    answers: &Answers,
    layout: &Layout,
    text: &str,
    parsed: &Configuration,
    made: &mut Made,
) -> Result<(), ServiceError> {
    let signers = format!("{} {}\n", answers.signer.name(), answers.key.trim());
    AllowedSigners::parse(&signers).map_err(|error| {
        ServiceError::Request(format!(
            "the public key cannot be used: {}",
            with_causes(&error)
        ))
    })?;
    for (folder, mode) in [
        ("", 0o755),
        ("secrets", 0o700),
        ("state", 0o700),
        ("checkpoints", 0o700),
    ] {
        made.folder(&layout.at(folder), mode)?;
    }
    let token = Zeroizing::new(format!("{}\n", answers.token.trim()));
    made.file(&layout.at(&layout.token()), token.as_bytes(), 0o600)?;
    if let Tls::CaFile(from) = &answers.tls {
        let authority = std::fs::read(from).map_err(|source| cannot("read", from, source))?;
        made.file(&layout.at(&layout.authority()), &authority, 0o644)?;
    }
    made.file(&layout.at("allowed_signers"), signers.as_bytes(), 0o644)?;
    // Noted before they are made, so that a half-made pair is taken away too.
    made.files.push(parsed.ledger.key_file.clone());
    if let Some(checkpoint) = &parsed.ledger.checkpoint {
        made.files.push(checkpoint.key_file.clone());
    }
    make_keys(parsed)?;
    made.file(&layout.configuration(), text.as_bytes(), 0o644)
}

fn cannot(what: &str, path: &Path, source: std::io::Error) -> ServiceError {
    ServiceError::Setup {
        what: format!("cannot {what} {}", path.display()),
        source: Box::new(source),
    }
}

/// What was made, so that it can be taken away again.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Made {
    /// Makes a folder that is not there, and those above it.
    fn folder(&mut self, path: &Path, mode: u32) -> Result<(), ServiceError> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
            .collect();
        for folder in missing.into_iter().rev() {
            std::fs::DirBuilder::new()
                .mode(mode)
                .create(folder)
                .map_err(|source| cannot("make the folder", folder, source))?;
            self.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// Makes a new file.
    fn file(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<(), ServiceError> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(|source| cannot("make", path, source))?;
        self.files.push(path.to_owned());
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|source| cannot("write", path, source))
    }

    fn undo(self) {
        let seen: BTreeSet<PathBuf> = self.files.into_iter().collect();
        for file in seen {
            // What cannot be taken away is told by the next attempt.
            let _ = std::fs::remove_file(file);
        }
        for folder in self.folders.into_iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
