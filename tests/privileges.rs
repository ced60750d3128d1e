//! The least privileges of every kind of step: a token that has exactly those plans, applies and converges; with any one of them
//! missing it is refused when it plans, before any write, with privilege and path named; and the cluster itself refuses the write,
//! so that none of them is asked for in vain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "privileges/cases.rs"]
mod cases;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::document::desired::Desired;
use bailiwick::document::load;
use bailiwick::ids::{ClusterName, GuestKind, NodeName, Slot, Vmid, VolumeId};
use bailiwick::plan::{
    ApiView, Backups, Item, Origin, Owned, Ownership, Plan, PlanError, PlanInput, Restart,
    Settings, Wanted, backups_wanted, make_plan, needs,
};
use bailiwick::proxmox::schema::root_only;
use bailiwick::proxmox::{
    ApiError, ApiToken, Call, Client, ClusterEndpoints, Limits, TaskOutcome, Trust, WriteError,
};
use bailiwick::sim::{self, Running};
use bailiwick::world::observe::{backup_configs, permissions_of};
use bailiwick::world::requests::request_for;
use bailiwick::world::{Action, Completeness, ObserveSettings, Part, World, observe};
use cases::{CASES, Case};
use support::play::{Play, Setup, TOKEN};

const SMALL: &str = include_str!("privileges/small.yaml");
const SECRET: &str = "11111111-2222-3333-4444-555555555555";
/// What looking takes: everything but what lies on the storages beyond media.
const READING: [(&str, &str); 5] = [
    ("/", "Sys.Audit"),
    ("/vms", "VM.Audit"),
    ("/storage", "Datastore.Audit"),
    ("/pool", "Pool.Audit"),
    ("/sdn/zones", "SDN.Audit"),
];

type Grants = BTreeSet<(String, String)>;

fn reading() -> Grants {
    READING
        .iter()
        .map(|(path, privilege)| ((*path).to_owned(), (*privilege).to_owned()))
        .collect()
}

/// The cluster's accounts, with exactly these privileges for the token. An entry replaces what comes from above, so each repeats it.
fn accounts(grants: &Grants) -> String {
    let mut text = "user:bailiwick@pve:1:0:::::::\ntoken:bailiwick@pve!controller:0:0::\nuser:root@pam:1:0:::::::\ntoken:root@pam!old:0:0::\n\
                    user:dan@pve:1:0:::::::\nuser:eve@pve:1:0:::::::\n\ngroup:dev:::\ngroup:ops:dan@pve::\n\n\
                    pool:web::103::\npool:empty::::\n\nrole:Spare:VM.Audit:\n"
        .to_owned();
    let paths: BTreeSet<&String> = grants.iter().map(|(path, _)| path).collect();
    let above = |path: &str, other: &str| {
        other == "/"
            || path == other
            || path
                .strip_prefix(other)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    for (number, path) in paths.iter().enumerate() {
        let held: BTreeSet<&str> = grants
            .iter()
            .filter(|(other, _)| above(path, other))
            .map(|(_, privilege)| privilege.as_str())
            .collect();
        let held: Vec<&str> = held.into_iter().collect();
        writeln!(text, "role:R{number}:{}:", held.join(",")).unwrap();
    }
    text.push('\n');
    for (number, path) in paths.iter().enumerate() {
        writeln!(text, "acl:1:{path}:bailiwick@pve:R{number}:").unwrap();
    }
    text.push_str("acl:1:/pool/web:@ops:Spare:\n");
    text
}

fn world(grants: &Grants) -> String {
    let mut world = SMALL.to_owned();
    world.push_str("  user.cfg: |\n");
    for line in accounts(grants).lines() {
        writeln!(world, "    {line}").unwrap();
    }
    world
}

struct Stand {
    sim: Running,
    client: Client,
}

impl Stand {
    async fn new(grants: &Grants) -> Self {
        let mut options = sim::Options::new(world(grants));
        options.scale = 2000.0;
        options.secrets.insert(TOKEN.into(), SECRET.into());
        let sim = sim::start(options).await.unwrap();
        let endpoints = ClusterEndpoints {
            urls: vec![sim.url().parse().unwrap()],
            trust: Trust::Fingerprints([sim.fingerprint().parse().unwrap()].into()),
            token: ApiToken::new(&format!("{TOKEN}={SECRET}"), "in the test").unwrap(),
        };
        let client = Client::new(endpoints, Limits::default()).unwrap();
        Self { sim, client }
    }

    async fn look(&self) -> World {
        let settings = ObserveSettings::all(ClusterName::new("small").unwrap());
        observe(&self.client, &settings).await.unwrap()
    }

    /// A world that was read, with what the cluster says this token may do. Nothing else differs, and to read it all again for each
    /// privilege would take long.
    async fn may_less(&self, world: &World) -> World {
        let call = Call::get(["access", "permissions"]);
        let told: serde_json::Value = self.client.get(call).await.unwrap();
        World {
            permissions: Arc::new(permissions_of(&told)),
            ..world.clone()
        }
    }

    fn writes(&self) -> usize {
        let log = self.sim.log();
        log.iter().filter(|entry| entry.method != "GET").count()
    }

    /// Does what a plan says; an error is a refusal for want of a privilege.
    async fn carry_out(&self, plan: &Plan, mut world: World) -> Result<(), String> {
        for step in &plan.steps {
            self.act(&step.action, step.node.as_ref(), &world).await?;
            world = world.apply(&step.action).unwrap();
        }
        Ok(())
    }

    async fn act(
        &self,
        action: &Action,
        node: Option<&NodeName>,
        world: &World,
    ) -> Result<(), String> {
        let of_guest = action.guest().and_then(|(_, vmid)| world.guests.get(&vmid));
        let node = node
            .cloned()
            .or_else(|| of_guest.map(|guest| guest.node.clone()))
            .unwrap_or_else(|| NodeName::new("pve1").unwrap());
        let call = request_for(action, &node, None, &|_, _| {
            Err("no secrets here".to_owned())
        });
        let call = call.unwrap().call;
        let shown = call.to_string();
        let refused = |text: String| {
            assert!(text.contains("Permission check failed"), "{shown}: {text}");
            text
        };
        match self.client.write(call).await {
            Ok(answer) => {
                let Some(upid) = answer.upid else {
                    return Ok(());
                };
                let (patience, poll) = (Duration::from_secs(60), Duration::from_millis(5));
                match self.client.wait_task(&upid, patience, poll).await {
                    TaskOutcome::Ok | TaskOutcome::Warnings(_) => Ok(()),
                    // Some privileges are asked for only when the work begins.
                    TaskOutcome::Failed(text) => Err(refused(text)),
                    TaskOutcome::Unsaid(text) | TaskOutcome::Unknown(text) => {
                        panic!("{shown}: {text}")
                    }
                }
            }
            Err(WriteError::Refused(ApiError::Refused {
                status, message, ..
            })) => {
                assert!(matches!(status, 403 | 500), "{shown}: {status} {message}");
                Err(refused(message))
            }
            Err(error) => panic!("{shown}: {error:?}"),
        }
    }
}

/// A document from its kind and spec in short.
fn document(short: &str) -> String {
    let (kind, spec) = short.split_once(' ').unwrap();
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: case}}\nspec: {spec}\n"
    )
}

/// The documents of a case.
fn items(case: &Case) -> Vec<Item> {
    let texts: Vec<(&str, String)> = case
        .wanted
        .lines()
        .map(|short| ("case.yaml", document(short)))
        .collect();
    let documents = load(&texts).unwrap_or_else(|errors| panic!("{}: {errors}", case.name));
    let wanted = documents.iter().map(|document| Item {
        key: document.key().to_string(),
        source: "operator:test".to_owned(),
        hash: Some(document.hash.to_string()),
        wanted: Wanted::Present(document.desired()),
        restart: Restart::Never,
        take_over: None,
        labels: BTreeMap::new(),
    });
    let removed = case.removed.iter().map(|object| Item {
        key: format!("Removed/{object}"),
        source: "operator:test".to_owned(),
        hash: None,
        wanted: Wanted::Removed { delete: true },
        restart: Restart::Never,
        take_over: None,
        labels: BTreeMap::new(),
    });
    wanted.chain(removed).collect()
}

fn ownership(case: &Case, world: &World) -> Ownership {
    let objects = case.removed.iter().map(|object| {
        let vmid: Option<Vmid> = object
            .strip_prefix("vm/")
            .or_else(|| object.strip_prefix("ct/"))
            .map(|vmid| vmid.parse().unwrap());
        let birth = vmid.and_then(|vmid| world.guests.get(&vmid)?.config.birth());
        let owned = Owned {
            document: format!("Removed/{object}"),
            source: "operator:test".to_owned(),
            hash: None,
            vmid,
            birth,
            managed: BTreeMap::new(),
            taken_from: Vec::new(),
        };
        ((*object).to_owned(), owned)
    });
    Ownership {
        objects: objects.collect(),
    }
}

fn plan(case: &Case, world: &World, backups: &Backups) -> Result<Plan, PlanError> {
    make_plan(&PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items: items(case),
        ownership: &ownership(case, world),
        world,
        api: ApiView::NotAsked,
        settings: &Settings::default(),
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups,
    })
}

/// The plan of a case as if the token might do everything, and what it takes beyond looking.
fn needed(case: &Case, world: &World, backups: &Backups) -> (Plan, Grants) {
    let mut blind = world.clone();
    let why = "the test asks what a plan takes".to_owned();
    blind
        .completeness
        .insert(Part::Permissions, Completeness::Unreadable { why });
    let plan = plan(case, &blind, backups).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    assert!(!plan.steps.is_empty(), "{}: nothing to do", case.name);
    let all = needs::of_plan(&plan, &blind);
    let lacking = all
        .into_iter()
        .filter(|needed| !world.may(&needed.path, &needed.privilege))
        .map(|needed| (needed.path, needed.privilege))
        .collect();
    (plan, lacking)
}

/// What is wrong with a case's privileges.
async fn judge(
    case: &Case,
    start: &World,
    shown: &mut String,
    variants: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    let mut reading = reading();
    let sees = case.sees.iter();
    reading.extend(sees.map(|(path, privilege)| ((*path).to_owned(), (*privilege).to_owned())));
    let (start, backups) = match case.sees {
        [] => (start.clone(), Backups::new()),
        _ => {
            let stand = Stand::new(&reading).await;
            let start = stand.look().await;
            let wanted = backups_wanted(&items(case), &Ownership::default(), &start);
            (start, backup_configs(&stand.client, wanted).await)
        }
    };
    let (blind, needed) = needed(case, &start, &backups);
    variants.extend(blind.steps.iter().map(|step| variant(&step.action)));
    writeln!(shown, "{}", case.name).unwrap();
    for (path, privilege) in &needed {
        writeln!(shown, "    {privilege} on {path}").unwrap();
    }
    let mut wrong = Vec::new();
    let titles =
        |plan: &Plan| -> Vec<String> { plan.steps.iter().map(|step| step.title.clone()).collect() };
    let exact: Grants = reading.union(&needed).cloned().collect();
    let stand = Stand::new(&exact).await;
    let world = stand.look().await;
    let before = world.clone();
    match plan(case, &world, &backups) {
        Err(error) => wrong.push(format!("with exactly these it is refused: {error}")),
        Ok(planned) => {
            assert_eq!(titles(&planned), titles(&blind), "{}", case.name);
            match stand.carry_out(&planned, world).await {
                Err(text) => wrong.push(format!("they do not suffice: {text}")),
                Ok(()) => {
                    let after = stand.look().await;
                    // What was removed is owned by nobody any more.
                    if case.removed.is_empty() {
                        match plan(case, &after, &backups) {
                            Ok(rest) if rest.steps.is_empty() => {}
                            Ok(rest) => {
                                wrong.push(format!("it does not converge: {:?}", titles(&rest)))
                            }
                            Err(error) => wrong.push(format!("afterwards it is refused: {error}")),
                        }
                    }
                }
            }
        }
    }
    for missing in &needed {
        let (path, privilege) = missing;
        let mut less = exact.clone();
        less.remove(missing);
        let stand = Stand::new(&less).await;
        let world = stand.may_less(&before).await;
        match plan(case, &world, &backups) {
            Ok(_) => wrong.push(format!("without {privilege} on {path} it is planned")),
            Err(error) => {
                let words = format!("lacks `{privilege}` on `{path}`");
                if !error.to_string().contains(&words) {
                    wrong.push(format!("without {privilege} on {path}: {error}"));
                }
            }
        }
        assert_eq!(stand.writes(), 0, "{}: something was written", case.name);
        if stand.carry_out(&blind, world).await.is_ok() {
            wrong.push(format!(
                "the cluster does not mind that {privilege} on {path} is missing"
            ));
        }
    }
    wrong
        .into_iter()
        .map(|text| format!("{}: {text}", case.name))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_takes_these_privileges_and_no_others() {
    let start = Stand::new(&reading()).await.look().await;
    let (mut wrong, mut shown) = (Vec::new(), String::new());
    let mut variants = BTreeSet::new();
    for case in CASES {
        wrong.extend(judge(case, &start, &mut shown, &mut variants).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let apart = [
        "free disk",
        "remove HA resource",
        "delete volume",
        "back up guest",
        "protect backup",
        "delete backup",
    ];
    assert_eq!(variants.len() + apart.len(), 72, "{variants:?}");
    insta::assert_snapshot!("least_privileges", shown);
}

/// One word per variant; a new one does not compile until it is here and, by the count above, in a case.
fn variant(action: &Action) -> &'static str {
    match action {
        Action::CreateGuest { .. } => "create guest",
        Action::CloneGuest { .. } => "clone guest",
        Action::RestoreGuest { .. } => "restore guest",
        Action::ConvertToTemplate { .. } => "convert to template",
        Action::UpdateConfig { .. } => "update config",
        Action::RegenerateCloudInit { .. } => "regenerate cloud-init",
        Action::ResizeDisk { .. } => "resize disk",
        Action::MoveDisk { .. } => "move disk",
        Action::DetachDisk { .. } => "detach disk",
        Action::FreeDisk { .. } => "free disk",
        Action::SetPower { .. } => "set power",
        Action::SetHaState { .. } => "set HA state",
        Action::RemoveHaResource { .. } => "remove HA resource",
        Action::Migrate { .. } => "migrate",
        Action::DestroyGuest { .. } => "destroy guest",
        Action::CreateStorage { .. } => "create storage",
        Action::UpdateStorage { .. } => "update storage",
        Action::DeleteStorage { .. } => "delete storage",
        Action::DeleteVolume { .. } => "delete volume",
        Action::DownloadImage { .. } => "download image",
        Action::DeleteImage { .. } => "delete image",
        Action::CreatePool { .. } => "create pool",
        Action::UpdatePool { .. } => "update pool",
        Action::DeletePool { .. } => "delete pool",
        Action::CreateBackupJob { .. } => "create backup job",
        Action::UpdateBackupJob { .. } => "update backup job",
        Action::DeleteBackupJob { .. } => "delete backup job",
        Action::TakeSnapshot { .. } => "take snapshot",
        Action::DescribeSnapshot { .. } => "describe snapshot",
        Action::DeleteSnapshot { .. } => "delete snapshot",
        Action::CreateReplicationJob { .. } => "create replication job",
        Action::UpdateReplicationJob { .. } => "update replication job",
        Action::DeleteReplicationJob { .. } => "delete replication job",
        Action::BackUpGuest { .. } => "back up guest",
        Action::ProtectBackup { .. } => "protect backup",
        Action::DeleteBackup { .. } => "delete backup",
        Action::Firewall(action) => action.word(),
        Action::Account(action) => action.word(),
    }
}

/// `doctor` with a token that can only look names for a case exactly what it takes, and the commands that grant it. Every fourth case
/// is asked about, since each costs a run of the program.
#[test]
fn the_doctor_names_what_a_case_takes() {
    let play = Play::with(Setup {
        world: world(&reading()),
        ..Setup::default()
    });
    let start = play.block_on(async { Stand::new(&reading()).await.look().await });
    let asked = CASES
        .iter()
        .filter(|case| case.removed.is_empty() && case.sees.is_empty());
    for case in asked.step_by(4) {
        let (_, needed) = needed(case, &start, &Backups::new());
        play.document("case", &document(case.wanted));
        let diagnosis = play.json(&["doctor", "-f", "docs"]).ends(1).json();
        let checks = diagnosis["checks"].as_array().unwrap();
        let named: Grants = checks
            .iter()
            .filter(|check| {
                check["name"] == "cluster lab: privileges" && check["status"] == "failed"
            })
            .flat_map(|check| check["advice"].as_array().unwrap())
            .flat_map(|line| {
                let (privilege, paths) = line.as_str().unwrap().split_once(" on ").unwrap();
                let of = |path: &str| (path.to_owned(), privilege.to_owned());
                paths.split(", ").map(of).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(named, needed, "{}", case.name);
        let commands = checks
            .iter()
            .find(|check| check["name"] == "cluster lab: grants")
            .unwrap_or_else(|| panic!("{}: no commands", case.name))["advice"]
            .to_string();
        for (path, privilege) in &needed {
            assert!(commands.contains(privilege), "{privilege}: {commands}");
            assert!(
                commands.contains(&format!("acl modify {path} ")),
                "{path}: {commands}"
            );
        }
    }
    assert_eq!(play.counts().len(), 0);
}

/// Steps that only an undo, a removal or a person's plan has, by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_no_document_asks_for_take_no_more_than_they_say() {
    let start = Stand::new(&reading()).await.look().await;
    let vmid = |number| Vmid::new(number).unwrap();
    let volume = |text: &str| text.parse::<VolumeId>().unwrap();
    let node = NodeName::new("pve1").unwrap();
    let free = |kind, number, volume| Action::FreeDisk {
        kind,
        vmid: vmid(number),
        slot: Slot::new("unused0").unwrap(),
        volume,
    };
    let back_up = |kind, number| Action::BackUpGuest {
        kind,
        vmid: vmid(number),
        node: node.clone(),
        storage: "more".parse().unwrap(),
        notes: "bailiwick: safety copy of vm/100, kept for 14d".to_owned(),
    };
    let actions = [
        free(GuestKind::Qemu, 100, volume("fast:vm-100-disk-2")),
        free(GuestKind::Lxc, 200, volume("fast:vm-200-disk-2")),
        Action::RemoveHaResource {
            kind: GuestKind::Qemu,
            vmid: vmid(102),
        },
        Action::DeleteVolume {
            node: node.clone(),
            volume: volume("local:iso/installer.iso"),
        },
        Action::DeleteImage {
            node: node.clone(),
            volume: volume("local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"),
            source: None,
        },
        Action::Migrate {
            kind: GuestKind::Qemu,
            vmid: vmid(103),
            from: node.clone(),
            to: NodeName::new("pve2").unwrap(),
            running: false,
            with_local_disks: true,
            target_storage: [("shared".parse().unwrap(), "fast".parse().unwrap())].into(),
        },
        back_up(GuestKind::Qemu, 100),
        back_up(GuestKind::Lxc, 200),
        Action::ProtectBackup {
            node: node.clone(),
            volume: volume("more:backup/vzdump-qemu-100-2026_11_01-03_00_00.vma.zst"),
            protected: true,
        },
        Action::DeleteBackup {
            node: node.clone(),
            volume: volume("more:backup/vzdump-lxc-200-2026_11_01-03_00_00.tar.zst"),
        },
    ];
    for action in &actions {
        let needed: Grants = needs::of_action(action, &start)
            .into_iter()
            .map(|needed| (needed.path, needed.privilege))
            .collect();
        assert!(!needed.is_empty());
        let exact: Grants = reading().union(&needed).cloned().collect();
        let stand = Stand::new(&exact).await;
        let done = stand.act(action, Some(&node), &start).await;
        assert_eq!(done, Ok(()), "{action:?}");
        for missing in &needed {
            let mut less = exact.clone();
            less.remove(missing);
            let stand = Stand::new(&less).await;
            let done = stand.act(action, Some(&node), &start).await;
            assert!(done.is_err(), "{action:?} without {missing:?}");
        }
    }
}

/// What a token can never set is known, and the cluster agrees: not even the Administrator's token may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_root_may_set_no_token_can() {
    let mut all = reading();
    all.extend(
        sim::roles::PRIVILEGES
            .iter()
            .map(|privilege| ("/".to_owned(), (*privilege).to_owned())),
    );
    let stand = Stand::new(&all).await;
    let vm = [
        ("affinity", "0-1"),
        ("args", "-no-reboot"),
        ("hookscript", "spare:snippets/x.pl"),
        ("hugepages", "2"),
        ("ivshmem", "size=32"),
        ("keephugepages", "1"),
        ("parallel0", "/dev/parport0"),
        ("spice_enhancements", "foldersharing=1"),
        ("vmgenid", "1"),
        ("amd-sev", "std"),
        ("arch", "x86_64"),
        ("usb0", "host=1-2"),
        ("hostpci0", "0000:01:00.0"),
        ("serial0", "/dev/ttyS0"),
        ("scsi3", "/dev/sdb"),
    ];
    let ct = [
        ("hookscript", "spare:snippets/x.pl"),
        ("dev0", "/dev/kvm"),
        ("mp1", "/srv,mp=/srv2"),
        ("features", "fuse=1"),
    ];
    let vm = vm.iter().map(|pair| (GuestKind::Qemu, "100", pair));
    let ct = ct.iter().map(|pair| (GuestKind::Lxc, "200", pair));
    for (kind, vmid, (key, value)) in vm.chain(ct) {
        assert!(root_only(kind, key, None, Some(value)).is_some(), "{key}");
        let path = ["nodes", "pve1", kind.api(), vmid, "config"];
        let call = match kind {
            GuestKind::Qemu => Call::post(path),
            GuestKind::Lxc => Call::put(path),
        };
        let answer = stand.client.write(call.param(*key, *value)).await;
        let Err(WriteError::Refused(ApiError::Refused { message, .. })) = &answer else {
            panic!("{key}={value}: {answer:?}");
        };
        assert!(message.contains("root"), "{key}: {message}");
    }
}

/// Fields of documents that come to such values are refused when they are planned, with that reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_asks_for_it_is_refused_when_it_is_planned() {
    let mut start = Stand::new(&reading()).await.look().await;
    // Devices of the host that somebody else gave to a machine, and a privileged container.
    let mut set = |number: u32, key: &str, value: &str| {
        let guest = start.guests.get_mut(&Vmid::new(number).unwrap()).unwrap();
        let current = &mut Arc::make_mut(guest).config.current;
        current.insert(key.to_owned(), value.to_owned());
    };
    set(100, "usb0", "host=1-2");
    set(100, "hostpci0", "0000:01:00.0");
    set(100, "serial0", "/dev/ttyS0");
    set(201, "unprivileged", "0");
    let wishes = [
        "VirtualMachine {vmid: 100, extraConfig: {affinity: '0-1'}}",
        "VirtualMachine {vmid: 100, extraConfig: {vmgenid: '1'}}",
        "VirtualMachine {vmid: 100, usb: {usb0: {mapping: stick}}}",
        "VirtualMachine {vmid: 100, pci: {hostpci0: {mapping: gpu}}}",
        "VirtualMachine {vmid: 100, serialPorts: {serial0: socket}}",
        "Container {vmid: 200, extraConfig: {hookscript: 'spare:snippets/x.pl'}}",
        "Container {vmid: 201, features: {nesting: true}}",
        "Container {vmid: 901, node: pve1, template: 'local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst', unprivileged: false, rootFs: {storage: fast, size: 4Gi}, features: {nesting: true}}",
    ];
    for wish in wishes {
        let refusal = match load(&[("case.yaml", document(wish))]) {
            Err(errors) => errors.to_string(),
            Ok(documents) => {
                assert!(matches!(documents[0].desired(), Desired::Guest(_)));
                let wanted: &'static str = wish;
                let case = Case {
                    sees: &[],
                    name: "root only",
                    wanted,
                    removed: &[],
                };
                plan(&case, &start, &Backups::new())
                    .unwrap_err()
                    .to_string()
            }
        };
        assert!(refusal.contains("root@pam"), "{wish}: {refusal}");
    }
}
