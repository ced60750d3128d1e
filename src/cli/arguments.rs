//! The command line: what can be asked, with help texts that read like prose. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A reconciling controller for Proxmox VE that AI agents may write to and only people may approve.
///
/// Documents say how things should be. Bailiwick compares them with the live cluster, plans, computes who would lose what,
/// waits for a person's approval of exactly that plan, applies it, proves it in a ledger, and can take it back.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// The operator's configuration file.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "BAILIWICK_CONFIG",
        default_value = "bailiwick.yaml"
    )]
    pub config: PathBuf,
    /// How answers are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Whether text is coloured.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// What is asked.
    #[command(subcommand)]
    pub command: Command,
}

/// The contract, printed under every help.
pub const EXIT_CODES: &str = "Exit codes: 0 success or nothing to do · 1 error · 2 a plan with changes waits · \
3 refused by policy, freeze or rejection · 4 undetermined: nobody knows yet what happened, run it again to look";

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// The same as JSON, as YAML.
    Yaml,
}

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell the whole story on a simulated cluster: plan, blast radius, approval, run, undo, ledger.
    Demo(Demo),
    /// Set up: check a cluster and a token, and write a configuration with everything it needs.
    ///
    /// Asks on a terminal for what is not said; with --yes asks nothing. The cluster is checked before anything is written, either
    /// everything is written or nothing, and no file that is there is written over.
    Init(Init),
    /// Submit documents: they are planned, and the plan waits for approval.
    Apply(Submit),
    /// Show the plan that documents would make, without submitting anything. Without --file: what has drifted.
    Plan(Submit),
    /// Show field by field what differs between documents and the live cluster.
    Diff(Submit),
    /// List plans, documents, runs, freezes, or live objects (vm, ct, storage, pool, node).
    Get(Get),
    /// Show one plan, document, run or live object whole.
    Describe(Describe),
    /// Say whether a user or token has a privilege on a path, now or after a plan, and the rule that decides.
    ///
    /// Ends with 0 for yes, 3 for no, and 4 where what decides could not be read or predicted. Who cannot authenticate may do nothing.
    Can(Can),
    /// Say who can open a port of a target through the firewalls, now or after a plan, and the rule that decides.
    ///
    /// Ends with 0 for yes, 3 for no or only for some, and 4 where what decides could not be read or predicted. What else is between the
    /// two (routes, programs that listen) is not asked.
    Reach(Reach),
    /// Write documents for what a cluster has, such that planning them changes nothing.
    ///
    /// Submitting them adopts the objects without writing to them. What no document can say is left out and so not managed; it
    /// is listed at the top of each document. Guests name their pool. Where guests run is written unless high availability decides it.
    Import(Import),
    /// Explain a kind or one of its fields: `explain VirtualMachine.disks`.
    Explain(Explain),
    /// Approve a plan with an SSH signature over its hash.
    Approve(Approve),
    /// Reject a plan.
    Reject(Reject),
    /// Run an approved plan, or take up a run that was interrupted.
    Run(Run),
    /// Propose a plan that takes a run back.
    Undo(Undo),
    /// Propose a plan that deletes the safety copies of destroyed guests which are as old as they are kept.
    ///
    /// Copies are taken where the configuration of the cluster has `safetyCopy`. The loop of `serve` proposes the same by itself.
    CleanUp(CleanUp),
    /// Stop every mutation, at once, until thawed.
    Freeze(Freeze),
    /// Lift a freeze.
    Thaw(Thaw),
    /// Serve: the loop that keeps documents true, MCP for agents, and metrics. Until interrupted.
    Serve(Serve),
    /// List what happened; with --watch also what happens.
    Events(Events),
    /// Let the loop leave a cluster, a source or a document alone.
    Suspend(Suspend),
    /// Let the loop go on with what is suspended.
    Resume(Resume),
    /// Let a running `serve` look now: at the clusters, the sources, and what was approved.
    Reconcile(Reconcile),
    /// Reset the fuse of a source.
    #[command(subcommand)]
    Source(Source),
    /// Verify, export or checkpoint the ledger, or make its keys.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Give tokens to agents, list them, take them away.
    #[command(subcommand)]
    Agent(Agent),
    /// Speak MCP over standard input and output, for an agent on this machine.
    Mcp(Mcp),
    /// Look at everything an installation needs, and say what to do where it is not well. Changes nothing.
    Doctor(Doctor),
    /// Serve a simulated Proxmox VE cluster over TLS.
    Sim(crate::sim::Arguments),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Give the approvals without asking, with an operator's key made for the demo. Also so without a terminal.
    #[arg(long)]
    pub yes: bool,
    /// Keep configuration, state and keys in this folder (made if it is not there) for playing on.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder to write to; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// What the cluster is called here.
    #[arg(long)]
    pub name: Option<String>,
    /// The address of a node, `https://HOST[:PORT]`; may be given several times.
    #[arg(long = "endpoint", value_name = "URL")]
    pub endpoints: Vec<String>,
    /// The SHA-256 fingerprint of the server's certificate, as `pvenode cert info` shows it.
    #[arg(long, conflicts_with_all = ["ca_file", "system_roots"])]
    pub fingerprint: Option<String>,
    /// The authority that signed the certificates (`/etc/pve/pve-root-ca.pem` of a node); it is copied.
    #[arg(long, value_name = "FILE", conflicts_with = "system_roots")]
    pub ca_file: Option<PathBuf>,
    /// An authority that this machine trusts signed the certificates.
    #[arg(long)]
    pub system_roots: bool,
    /// A file with the API token, `user@realm!name=secret`, that only its owner can read; `-` for standard input. It is copied.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The SSH public key of the person who may approve.
    #[arg(long, value_name = "PUBKEYFILE")]
    pub signer_key: Option<PathBuf>,
    /// The name of that person.
    #[arg(long, value_name = "NAME")]
    pub signer: Option<String>,
    /// Ask nothing: everything has to be said, the fingerprint too.
    #[arg(long)]
    pub yes: bool,
}

/// `apply`, `plan`, `diff`.
#[derive(Debug, Args)]
pub struct Submit {
    /// A file or folder of documents, `-` for standard input; may be given several times.
    #[arg(long = "file", short, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// The source that owns the documents, such as `operator:anna`, `agent:claude`, `directory:lab`. Default: the submitter's own.
    #[arg(long)]
    pub source: Option<String>,
    /// Documents of this source that are missing here count as removed: deleted if they said `deletion: delete`, else orphaned.
    #[arg(long)]
    pub prune: bool,
    /// Let the fuse pass this many deletions this once.
    #[arg(long, value_name = "N")]
    pub allow_deletions: Option<usize>,
    /// Who submits. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// The cluster, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
}

/// `get`.
#[derive(Debug, Args)]
pub struct Get {
    /// What: `plans`, `documents`, `conditions`, `runs`, `freezes`, `sources`, `suspensions`, `submissions`, `vm`, `ct`, `storage`,
    /// `pool`, `backup-job`, `replication-job`, `group`, `user`, `role`, `realm`, `acl`, `token`, `alias`, `ipset`, `security-group`, `firewall`, `node`,
    /// `snapshot`, `backups` (from where each guest could be restored).
    pub what: String,
    /// The cluster, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Go on, and print every row that is new or has changed.
    #[arg(long, short)]
    pub watch: bool,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Do not listen: only the loop.
    #[arg(long)]
    pub no_listen: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on, and print what happens.
    #[arg(long, short)]
    pub watch: bool,
    /// Only of this cluster.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only about this: `VirtualMachine/web-7`, `source/git:infra`, `cluster/lab`.
    #[arg(long)]
    pub object: Option<String>,
    /// Only of this plan, by its hash or the beginning of it.
    #[arg(long)]
    pub plan: Option<String>,
    /// Only those after the event with this number.
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub limit: u32,
}

/// `suspend`.
#[derive(Debug, Args)]
pub struct Suspend {
    /// What: `cluster/lab`, `source/git:infra`, `VirtualMachine/web-7`.
    pub what: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// The cluster of a document, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Who asks. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// What: `cluster/lab`, `source/git:infra`, `VirtualMachine/web-7`.
    pub what: String,
    /// The cluster of a document, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Who asks. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `reconcile`.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// Only this cluster.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only this source of those that are read: `git:infra`.
    #[arg(long)]
    pub source: Option<String>,
    /// How many seconds to wait until it is taken.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub wait: u64,
    /// Who asks. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `source`.
#[derive(Debug, Subcommand)]
pub enum Source {
    /// Let pass what tripped the source's fuse (a rewritten history, an emptied tree, many deletions): this once, this revision.
    /// What follows still needs its approval.
    Reset {
        /// The source: `git:infra`.
        name: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// Who asks: a person. Default: `defaultPrincipal` of the configuration.
        #[arg(long = "as", value_name = "PRINCIPAL")]
        principal: Option<String>,
    },
}

/// `describe`.
#[derive(Debug, Args)]
pub struct Describe {
    /// A plan's hash (or its beginning), a document (`VirtualMachine/web-7`), a run (`run/3`), or a live object (`vm/104`, `storage/local`).
    pub what: String,
    /// The cluster, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
}

/// `can`.
#[derive(Debug, Args)]
pub struct Can {
    /// A user (`ann@pve`) or API token (`ann@pve!ci`).
    pub principal: String,
    /// A privilege: `VM.PowerMgmt`.
    pub privilege: String,
    /// A path of the access control list: `/vms/104`, `/storage/local`, `/pool/web`, `/`.
    pub path: String,
    /// How it will be when all steps of this plan are done; its hash or the beginning of it.
    #[arg(long, value_name = "PLAN")]
    pub after: Option<String>,
    /// The cluster, where the configuration has several.
    #[arg(long, conflicts_with = "after")]
    pub cluster: Option<String>,
}

/// `reach`.
#[derive(Debug, Args)]
pub struct Reach {
    /// Who starts: an address, a network (`10.0.0.0/8`), `vm/104`, `ct/301`, `node/pve1`, or `any`.
    pub source: String,
    /// What is meant: `vm/104:22`, `node/pve1:8006`, `ct/301:53/udp`, `vm/104:ping`.
    pub target: String,
    /// How it will be when all steps of this plan are done; its hash or the beginning of it.
    #[arg(long, value_name = "PLAN")]
    pub after: Option<String>,
    /// The cluster, where the configuration has several.
    #[arg(long, conflicts_with = "after")]
    pub cluster: Option<String>,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Write `DIR/KIND/NAME.yaml` instead of printing; the folder is made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Only these: `vm/104`, `ct/301`, `storage/NAME`, `pool/NAME`, `backup-job/NAME`, `snapshot/104/NAME`, `replication-job/ID`, `group/NAME`,
    /// `user/ID`, `role/NAME`, `realm/NAME`, `acl/group:NAME/PATH`, `token/USER!NAME`, `alias/NAME`, `ipset/NAME` (of a guest `ipset/104/NAME`),
    /// `security-group/NAME`, `firewall/cluster`, `firewall/node/NAME`, `firewall/guest/104`, `firewall/vnet/NAME`, or every `vm`, `ct`, `storage`, `pool`, `backup-job`,
    /// `snapshot`, `replication-job`, `group`, `user`, `role`, `realm`, `acl`, `token`, `alias`, `ipset`, `security-group`, `firewall`. Snapshots are
    /// imported only where they are asked for here.
    #[arg(long, value_name = "OBJECT", num_args = 1.., value_delimiter = ',')]
    pub only: Vec<String>,
    /// Also write whether guests run, so that Bailiwick starts and stops them.
    #[arg(long)]
    pub power: bool,
    /// Write over files that say something else.
    #[arg(long, requires = "to")]
    pub force: bool,
    /// The cluster, where the configuration has several.
    #[arg(long)]
    pub cluster: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A file or folder of documents whose privileges are looked at, `-` for standard input; may be given several times. Default: the
    /// stored documents.
    #[arg(long = "file", short, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// Only this cluster.
    #[arg(long)]
    pub cluster: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// `KIND` or `KIND.field.field`. Without it: the kinds.
    pub path: Option<String>,
}

/// `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The plan's hash, or enough of its beginning.
    pub plan: String,
    /// The person who approves, as the allowed-signers file names them. Default: the principal of the key.
    #[arg(long = "as", value_name = "NAME")]
    pub principal: Option<String>,
    /// An SSH private key file to sign with.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agent", "signature"])]
    pub key: Option<PathBuf>,
    /// Sign with a key of the running ssh-agent that the allowed-signers file knows.
    #[arg(long, conflicts_with = "signature")]
    pub agent: bool,
    /// A signature made elsewhere: printf %s HASH | ssh-keygen -Y sign -n bailiwick -f KEY.
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// Why.
    #[arg(long)]
    pub reason: Option<String>,
    /// The impacts you have seen: `all`, or their ids (`I1,I2`).
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub impacts: Vec<String>,
    /// The unknowns you accept, by id (`U1,U2`). There is no `all`: name them.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub unknowns: Vec<String>,
}

/// `reject`.
#[derive(Debug, Args)]
pub struct Reject {
    /// The plan's hash, or enough of its beginning.
    pub plan: String,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// Who rejects. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The plan's hash, or enough of its beginning.
    pub plan: String,
}

/// `undo`.
#[derive(Debug, Args)]
pub struct Undo {
    /// The hash of the plan whose run is to be taken back, or enough of its beginning.
    pub plan: String,
    /// Who asks. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `clean-up`.
#[derive(Debug, Args)]
pub struct CleanUp {
    /// The cluster, if there are several.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Who asks. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// Only this cluster.
    #[arg(long, conflicts_with = "kind")]
    pub cluster: Option<String>,
    /// Only objects of this kind (`VirtualMachine`, `Container`, `Storage`, `Pool`, `BackupJob`, `Snapshot`, `ReplicationJob`, `Image`,
    /// `Group`, `User`, `Role`, `Realm`, `AccessRule`, `ApiToken`, `FirewallAlias`, `IpSet`, `SecurityGroup`, `Firewall`).
    #[arg(long)]
    pub kind: Option<String>,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// Until when, e.g. `2026-12-01T08:00:00Z`. Default: until thawed.
    #[arg(long, value_name = "TIME")]
    pub until: Option<jiff::Timestamp>,
    /// Who freezes. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `thaw`.
#[derive(Debug, Args)]
pub struct Thaw {
    /// The freeze of this cluster.
    #[arg(long, conflicts_with = "kind")]
    pub cluster: Option<String>,
    /// The freeze of this kind.
    #[arg(long)]
    pub kind: Option<String>,
    /// Who thaws. Default: `defaultPrincipal` of the configuration.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: Option<String>,
}

/// `agent`.
#[derive(Debug, Subcommand)]
pub enum Agent {
    /// Give an agent a token, which is shown once. Only a person can.
    Add {
        /// The agent's name; it acts as `agent:NAME`.
        name: String,
        /// How long the token counts: `12h`, `30d`, `4w`, or `never`. Default: 90 days.
        #[arg(
            long,
            value_name = "TIME",
            default_value = "90d",
            hide_default_value = true,
            allow_hyphen_values = true
        )]
        expires: crate::service::agents::Life,
        /// Who gives it. Default: `defaultPrincipal` of the configuration.
        #[arg(long = "as", value_name = "PRINCIPAL")]
        principal: Option<String>,
    },
    /// List every token there is or was; never the tokens themselves.
    List,
    /// Take every token of an agent away, at once. Only a person can.
    Revoke {
        /// The agent's name.
        name: String,
        /// Who takes it away. Default: `defaultPrincipal` of the configuration.
        #[arg(long = "as", value_name = "PRINCIPAL")]
        principal: Option<String>,
    },
}

/// `mcp`.
#[derive(Debug, Args)]
pub struct Mcp {
    /// The agent that speaks, `agent:NAME`. Never a person. Default: `defaultPrincipal` of the configuration, if that is an agent.
    #[arg(long = "as", value_name = "AGENT")]
    pub principal: Option<String>,
}

/// `ledger`.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Verify every record; with --checkpoint also that no tail was cut off. Names the first bad record and what was done to it.
    Verify {
        /// An exported ledger (JSON Lines) instead of the store's own.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The checkpoint file to verify against. Default: the configured one, if it exists.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Write the ledger as JSON Lines to standard output or a file.
    Export {
        /// The file; must not exist.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Sign the ledger's head and append it to the configured checkpoint file.
    Checkpoint,
    /// Make the ledger's key and the checkpoint key that the configuration names, where they are not there yet.
    Keygen,
    /// Replace the ledger's key: a record sealed with the old key hands the ledger over to a new one.
    RotateKey {
        /// Where the new key is written; must not exist. Configure it as `keyFile` afterwards, the old one as `previousKeyFiles`.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}
