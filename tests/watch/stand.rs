//! Where watching is tested: simulated clusters, small and large, a client whose calls are seen, and the comparison of two worlds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bailiwick::ids::{ClusterName, NodeName, StorageId, Vmid};
use bailiwick::proxmox::{
    ApiToken, Call, CallRecord, Client, ClusterEndpoints, Limits, Recorder, Trust,
};
use bailiwick::sim::{self, Running};
use bailiwick::world::{
    Changed, Completeness, Cycle, ObserveSettings, Part, Watch, WatchSettings, World, observe,
};

pub const CONTROLLER: &str = "bailiwick@pve!controller";
pub const ROOT: &str = "root@pam!break-glass";
pub const SECRET: &str = "11111111-2222-3333-4444-555555555555";

/// A simulated cluster with a client that watches and one that changes things.
pub struct Stand {
    pub sim: Running,
    /// The controller's.
    pub client: Client,
    /// Somebody else's, who may do everything.
    pub hands: Client,
    calls: Arc<Mutex<Vec<String>>>,
}

/// Every request of the watching client fits the API schema.
impl Drop for Stand {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.sim.log();
            let asked = log.iter().filter(|entry| entry.user == CONTROLLER);
            assert_eq!(crate::contract::of_log(asked), Vec::<String>::new());
        }
    }
}

pub fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

pub fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub fn storage(name: &str) -> StorageId {
    StorageId::new(name).unwrap()
}

pub fn settings() -> ObserveSettings {
    ObserveSettings::all(ClusterName::new("lab").unwrap())
}

/// A client of a simulator; its attempts at calls are noted, if there is where.
pub fn client(
    url: &str,
    fingerprint: &str,
    token: &str,
    calls: Option<&Arc<Mutex<Vec<String>>>>,
) -> Client {
    let endpoints = ClusterEndpoints {
        urls: vec![url.parse().unwrap()],
        trust: Trust::Fingerprints([fingerprint.parse().unwrap()].into()),
        token: ApiToken::new(&format!("{token}={SECRET}"), "in the test").unwrap(),
    };
    let recorder = calls.map(|calls| {
        let calls = Arc::clone(calls);
        let note = move |record: &CallRecord| calls.lock().unwrap().push(record.call.path.clone());
        Arc::new(note) as Recorder
    });
    Client::with_recorder(endpoints, Limits::default(), recorder).unwrap()
}

impl Stand {
    pub async fn new(world: &str) -> Self {
        let mut options = sim::Options::new(world);
        options.scale = 1.0;
        for token in [CONTROLLER, ROOT] {
            options.secrets.insert(token.into(), SECRET.into());
        }
        let sim = sim::start(options).await.unwrap();
        let calls = Arc::default();
        let client_of = |token, calls| client(sim.url(), sim.fingerprint(), token, calls);
        Self {
            client: client_of(CONTROLLER, Some(&calls)),
            hands: client_of(ROOT, None),
            calls,
            sim,
        }
    }

    pub async fn watch(&self, requests_per_cycle: u32) -> Watch {
        let settings_of = WatchSettings { requests_per_cycle };
        let watch = Watch::begin(&self.client, settings_of, settings()).await;
        self.take_calls();
        watch.unwrap()
    }

    /// The watching client's calls since the last time.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub async fn cycle(&self, watch: &mut Watch) -> Cycle {
        watch.cycle(&self.client).await.unwrap()
    }

    pub async fn fresh(&self) -> World {
        observe(&self.client, &settings()).await.unwrap()
    }

    /// Skips simulated time until everything that goes on has ended and nodes have published it.
    pub fn settle(&self) {
        for _ in 0..40 {
            self.sim.advance(11.0);
            if !self.sim.with(|cluster| cluster.busy()) {
                break;
            }
        }
        self.sim.advance(21.0);
    }

    /// Changes a text of the cluster's files, as somebody on a node's shell does.
    #[track_caller]
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        self.sim.with(|cluster| {
            let text = cluster.files.read(file).to_owned();
            assert!(text.contains(from), "{file}: {text}");
            cluster.files.set(file, text.replacen(from, to, 1));
        });
    }

    /// Writes by hand; whether it was taken.
    pub async fn write(&self, call: Call) -> bool {
        self.hands.write(call).await.is_ok()
    }
}

/// Cycles until one has changed, at most so many; how many it took.
pub async fn cycles_until(
    stand: &Stand,
    watch: &mut Watch,
    wanted: &Changed,
    at_most: u64,
) -> Option<u64> {
    for cycle in 1..=at_most {
        if stand.cycle(watch).await.changed.contains(wanted) {
            return Some(cycle);
        }
    }
    None
}

/// A world without what two observations of one cluster differ in: times, memory in use, free space.
pub fn timeless(world: &World) -> World {
    let mut world = world.clone();
    let at = jiff::Timestamp::UNIX_EPOCH;
    world.observed_at = at;
    for completeness in world.completeness.values_mut() {
        if let Completeness::Complete { .. } = completeness {
            *completeness = Completeness::Complete { at };
        }
    }
    for node in world.nodes.values_mut() {
        let node = Arc::make_mut(node);
        node.memory_used = None;
        for state in node.storages.values_mut() {
            state.available = None;
        }
    }
    world
}

/// What differs between two worlds, in words; empty if nothing does.
pub fn difference(watched: &World, fresh: &World) -> String {
    let (watched, fresh) = (timeless(watched), timeless(fresh));
    if watched == fresh {
        return String::new();
    }
    let mut text = String::new();
    fn map<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
        text: &mut String,
        name: &str,
        one: &BTreeMap<K, V>,
        other: &BTreeMap<K, V>,
    ) {
        let keys: std::collections::BTreeSet<&K> = one.keys().chain(other.keys()).collect();
        for key in keys {
            let (one, other) = (one.get(key), other.get(key));
            if one != other {
                writeln!(
                    text,
                    "{name} {key:?}\n  watched {one:?}\n  fresh   {other:?}"
                )
                .unwrap();
            }
        }
    }
    let (w, f) = (&watched, &fresh);
    map(&mut text, "completeness", &w.completeness, &f.completeness);
    map(&mut text, "permissions", &w.permissions, &f.permissions);
    map(&mut text, "node", &w.nodes, &f.nodes);
    map(&mut text, "guest", &w.guests, &f.guests);
    map(&mut text, "storage", &w.storages, &f.storages);
    map(&mut text, "pool", &w.pools, &f.pools);
    map(&mut text, "backup job", &w.backup_jobs, &f.backup_jobs);
    map(
        &mut text,
        "replication job",
        &w.replication_jobs,
        &f.replication_jobs,
    );
    map(&mut text, "HA resource", &w.ha_resources, &f.ha_resources);
    map(&mut text, "HA rule", &w.ha_rules, &f.ha_rules);
    map(&mut text, "option", &w.options, &f.options);
    map(
        &mut text,
        "firewall",
        &w.firewalls.nodes,
        &f.firewalls.nodes,
    );
    map(
        &mut text,
        "firewall",
        &w.firewalls.guests,
        &f.firewalls.guests,
    );
    if w.firewalls != f.firewalls {
        let (w, f) = (&w.firewalls, &f.firewalls);
        writeln!(
            text,
            "datacenter's firewall {:?} {:?}",
            w.cluster, w.corosync
        )
        .unwrap();
        writeln!(
            text,
            "                fresh {:?} {:?}",
            f.cluster, f.corosync
        )
        .unwrap();
    }
    if w.acl != f.acl || w.quorate != f.quorate || w.version != f.version {
        writeln!(text, "acl {:?}\n{:?}", w.acl, f.acl).unwrap();
        writeln!(text, "quorate {:?} {:?}", w.quorate, f.quorate).unwrap();
        writeln!(text, "version {} {}", w.version, f.version).unwrap();
    }
    text
}

pub fn changed_guest(number: u32) -> Changed {
    Changed::Guest(vmid(number))
}

pub fn changed_part(part: Part) -> Changed {
    Changed::Part(part)
}

/// Every part that is unreadable, with the reason.
pub fn unreadable(world: &World) -> BTreeMap<Part, String> {
    let parts = world.unreadable_parts();
    parts
        .map(|(part, why)| (part.clone(), why.to_owned()))
        .collect()
}

/// A simulator in a process of its own, which ends with this value.
pub struct Apart {
    process: std::process::Child,
    url: String,
    fingerprint: String,
    _folder: tempfile::TempDir,
}

impl Apart {
    pub fn start(world: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("world.yaml");
        std::fs::write(&file, world).unwrap();
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"))
            .args(["sim", "--world"])
            .arg(&file)
            .args(["--secret", &format!("{CONTROLLER}={SECRET}")])
            .args(["--secret", &format!("{ROOT}={SECRET}")])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            url: ready["url"].as_str().unwrap().to_owned(),
            fingerprint: ready["fingerprint"].as_str().unwrap().to_owned(),
            _folder: folder,
        }
    }

    pub fn client(&self, token: &str) -> Client {
        client(&self.url, &self.fingerprint, token, None)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Memory of this process that is resident, in KiB.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4
}

/// Processor time of this process so far.
#[allow(dead_code)]
pub fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit(')').next().unwrap().split_whitespace();
    // User and system time, in hundredths.
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / 100.0
}

const ROLE: &str = "Datastore.Allocate,Datastore.AllocateSpace,Datastore.AllocateTemplate,Datastore.Audit,Mapping.Audit,\
    Mapping.Use,Pool.Allocate,Pool.Audit,SDN.Audit,SDN.Use,Sys.Audit,Sys.Console,Sys.Modify,Sys.Syslog,VM.Allocate,VM.Audit,\
    VM.Backup,VM.Clone,VM.Config.CDROM,VM.Config.CPU,VM.Config.Cloudinit,VM.Config.Disk,VM.Config.HWType,VM.Config.Memory,\
    VM.Config.Network,VM.Config.Options,VM.Migrate,VM.PowerMgmt,VM.Replicate,VM.Snapshot,VM.Snapshot.Rollback";

/// A cluster of three nodes with so many VMs, every tenth a container, half of them running, each with a disk on shared or on its
/// node's own storage; two pools, two jobs, HA, replication.
pub fn world(guests: u32) -> String {
    let mut files = String::new();
    let (mut shared, mut local) = (String::new(), String::new());
    let mut running = Vec::new();
    for index in 0..guests {
        let number = 100 + index;
        let place = format!("n{}", index % 3 + 1);
        let (on, list) = if index % 2 == 0 {
            ("ceph", &mut shared)
        } else {
            ("lvm", &mut local)
        };
        let volume = format!("{on}:vm-{number}-disk-0");
        let owner = if on == "lvm" {
            format!(", node: {place}")
        } else {
            String::new()
        };
        writeln!(list, "      - {{ volid: \"{volume}\", size: 8G{owner} }}").unwrap();
        if index % 4 < 2 {
            running.push(number.to_string());
        }
        if index % 10 == 9 {
            write!(
                files,
                "  nodes/{place}/lxc/{number}.conf: |\n    arch: amd64\n    cores: 1\n    hostname: ct-{number}\n    memory: 512\n    \
                 net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:{:02X}:{:02X},type=veth\n    ostype: debian\n    \
                 rootfs: {volume},size=8G\n    swap: 512\n    unprivileged: 1\n",
                number / 256,
                number % 256
            )
            .unwrap();
        } else {
            write!(
                files,
                "  nodes/{place}/qemu-server/{number}.conf: |\n    boot: order=scsi0\n    cores: 2\n    cpu: x86-64-v2-AES\n    \
                 memory: 2048\n    meta: creation-qemu=10.1.2,ctime=1768640000\n    name: vm-{number}\n    \
                 net0: virtio=BC:24:11:01:{:02X}:{:02X},bridge=vmbr0,firewall=1\n    ostype: l26\n    \
                 scsi0: {volume},iothread=1,size=8G\n    scsihw: virtio-scsi-single\n    \
                 smbios1: uuid=c7aaf894-439d-4033-a7e2-{number:012}\n    tags: a;b\n",
                number / 256,
                number % 256
            )
            .unwrap();
        }
    }
    let running = running.join(", ");
    format!(
        "cluster: lab
broadcast: 10
nodes:
  n1: {{ ip: 10.0.0.11, cpus: 32, memory: 192G, bridges: [vmbr0, vmbr1] }}
  n2: {{ ip: 10.0.0.12, cpus: 32, memory: 192G, bridges: [vmbr0, vmbr1] }}
  n3: {{ ip: 10.0.0.13, cpus: 32, memory: 192G, bridges: [vmbr0] }}
running: [{running}]
storages:
  local:
    total: 500G
    volumes:
      - {{ volid: \"local:iso/rescue.iso\", node: n1, size: 620M, format: iso }}
      - {{ volid: \"local:vztmpl/debian-13.tar.zst\", node: n1, size: 120M, format: tzst }}
      - {{ volid: \"local:vztmpl/debian-13.tar.zst\", node: n2, size: 120M, format: tzst }}
  lvm:
    total: 100T
    volumes:
{local}
  ceph:
    total: 100T
    volumes:
{shared}
  nas:
    total: 10T
files:
  datacenter.cfg: |
    keyboard: en-us
  storage.cfg: |
    dir: local
    \tpath /var/lib/vz
    \tcontent iso,vztmpl,backup,snippets

    lvmthin: lvm
    \tthinpool data
    \tvgname pve
    \tcontent images,rootdir

    rbd: ceph
    \tcontent images,rootdir
    \tpool vms

    nfs: nas
    \texport /export
    \tpath /mnt/pve/nas
    \tserver 10.0.0.5
    \tcontent images,backup,iso
  user.cfg: |
    user:bailiwick@pve:1:0::::::
    token:bailiwick@pve!controller:0:1::
    user:root@pam:1:0::::::
    token:root@pam!break-glass:0:0::
    user:ben@pve:1:0::::::

    pool:prod::100,101:ceph:
    pool:lab:try things here:102::

    role:Controller:{ROLE}:

    acl:1:/:bailiwick@pve,bailiwick@pve!controller:Controller:
  ha/resources.cfg: |
    vm: 100
    \tstate started
  ha/rules.cfg: |
    node-affinity: home
    \tnodes n1:2,n2
    \tresources vm:100
  jobs.cfg: |
    vzdump: nightly
    \tschedule 01:00
    \tenabled 1
    \tpool prod
    \tstorage nas
{files}"
    )
}
