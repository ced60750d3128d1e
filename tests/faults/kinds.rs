//! The kinds of steps: for each a plan that has one, over the lab's world.

use bailiwick::ids::GuestKind;
use bailiwick::world::{AccountAction, Action, FirewallAction, PowerAction};

use crate::lab;
use crate::support::play::LAB;

/// A kind of step, and how a plan comes to have it.
pub struct Kind {
    /// What the table calls it.
    pub name: &'static str,
    /// What is put into the world file, and before which of its texts.
    pub world: Vec<(&'static str, &'static str)>,
    /// Documents that are taken over before and then missing.
    pub owned: Vec<String>,
    /// Documents that are submitted.
    pub documents: Vec<String>,
    /// Which of the plan's steps it is.
    pub is: fn(&Action) -> bool,
    /// YAML for the end of the cluster in the configuration.
    pub cluster: &'static str,
}

/// The file in a play's folder that holds a secret.
pub const SECRET_FILE: &str = "guest-password";

/// The file in a play's folder that the secret of a new token is written to; it is not there.
pub const NEW_FILE: &str = "token-secret";

/// A snapshot of VM 104, at the end of its file.
const SNAPSHOT: &str = "\n    [before]\n    boot: order=scsi0\n    cores: 8\n    memory: 16384\n    scsi0: local-zfs:vm-104-disk-0,size=48G\n    scsi1: ceph-vm:vm-104-disk-0,size=200G\n    smbios1: uuid=5acd774d-3cb0-4b33-a541-0073c97ecd1c\n    snaptime: 1768985900\n";

/// Where the backups begin in the world file, and two more with what is in them.
const FIRST_BACKUP: &str = "      - { volid: \"backup:backup/vzdump-qemu-101-";
const BACKUPS: &str = include_str!("backups.yaml");

/// A document that always stands beside, so that the source is never empty.
const BESIDE: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: infra}\nspec: {comment: network and monitoring}\n";

fn document(kind: &str, name: &str, spec: &str) -> String {
    annotated(kind, name, "drift: report", spec)
}

fn annotated(kind: &str, name: &str, annotation: &str, spec: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{bailiwick.dev/{annotation}}}}}\nspec: {{{spec}}}\n"
    )
}

fn vm(spec: &str) -> String {
    document("VirtualMachine", "machine", spec)
}

fn ct(spec: &str) -> String {
    document("Container", "container", spec)
}

/// A kind whose plan makes what a document says.
fn makes(name: &'static str, document: String, is: fn(&Action) -> bool) -> Kind {
    Kind {
        name,
        world: Vec::new(),
        owned: vec![BESIDE.to_owned()],
        documents: vec![BESIDE.to_owned(), document],
        is,
        cluster: "",
    }
}

/// A kind whose plan removes what a document said.
fn removes(
    name: &'static str,
    kind: &'static str,
    object: &str,
    spec: &str,
    is: fn(&Action) -> bool,
) -> Kind {
    let owned = annotated(kind, object, "deletion: delete", spec);
    Kind {
        name,
        world: Vec::new(),
        owned: vec![BESIDE.to_owned(), owned],
        documents: vec![BESIDE.to_owned()],
        is,
        cluster: "",
    }
}

impl Kind {
    fn in_a_world_with(mut self, before: &'static str, text: &'static str) -> Self {
        self.world.push((before, text));
        self
    }

    fn with_copies(mut self) -> Self {
        self.cluster = "  safetyCopy: {storage: backup, keepFor: 14d}";
        self
    }

    /// The world file.
    pub fn world(&self) -> String {
        let mut world = LAB.to_owned();
        for (before, text) in &self.world {
            assert!(world.contains(before), "{before}");
            world = world.replacen(before, &format!("{text}{before}"), 1);
        }
        let texts = self.owned.iter().chain(&self.documents);
        let texts: Vec<&str> = texts.map(String::as_str).collect();
        let mut guests = lab::named(&texts);
        let added = self.world.iter();
        guests.extend(added.flat_map(|(before, text)| lab::named(&[*before, *text])));
        lab::only(&world, &guests)
    }
}

/// Every variant of an action; a new one does not compile until it is here and, by the test, in the matrix or among those that no
/// plan has.
pub fn variant(action: &Action) -> &'static str {
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
        Action::SetPower { power, .. } => match power {
            PowerAction::Start => "start",
            PowerAction::Shutdown { .. } => "shutdown",
            PowerAction::Stop => "stop",
            PowerAction::Reboot { .. } => "reboot",
        },
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
        Action::Account(action) => action.word(),
        Action::Firewall(action) => action.word(),
    }
}

/// All variants that a plan of documents can have. No plan frees a detached disk or deletes a volume of its own: the planner never
/// does. Backups are deleted by plans without documents (`tests/safety_copies.rs`).
pub const PLANNED: usize = 69;

macro_rules! is {
    ($pattern:pat) => {
        |action| matches!(action, $pattern)
    };
}

/// All kinds.
pub fn all() -> Vec<Kind> {
    [
        guests(),
        disks(),
        power(),
        elsewhere(),
        accounts(),
        tokens(),
        firewalls(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn guests() -> Vec<Kind> {
    use GuestKind::{Lxc, Qemu};
    let container = "node: pve1, template: \"local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst\", unprivileged: true, cores: 1, memory: 512Mi, rootFs: {storage: local-lvm, size: 4Gi}";
    vec![
        makes(
            "create VM",
            include_str!("../../examples/demo/web-7.yaml").to_owned(),
            is!(Action::CreateGuest { kind: Qemu, .. }),
        ),
        makes(
            "create CT",
            ct(container),
            is!(Action::CreateGuest { kind: Lxc, .. }),
        ),
        makes(
            "clone VM, full",
            vm("vmid: 150, cloneFrom: {vmid: 103}"),
            is!(Action::CloneGuest {
                kind: Qemu,
                full: true,
                ..
            }),
        ),
        makes(
            "clone VM, linked",
            vm("vmid: 150, cloneFrom: {vmid: 105}"),
            is!(Action::CloneGuest {
                kind: Qemu,
                full: false,
                ..
            }),
        ),
        makes(
            "clone VM, of a snapshot",
            vm("vmid: 150, cloneFrom: {vmid: 116, snapshot: clean}"),
            is!(Action::CloneGuest {
                snapshot: Some(_),
                ..
            }),
        ),
        makes(
            "clone CT",
            ct("vmid: 351, cloneFrom: {vmid: 309}"),
            is!(Action::CloneGuest { kind: Lxc, .. }),
        ),
        makes(
            "restore VM",
            vm(
                "vmid: 150, node: pve2, restoreFrom: {volume: 'backup:backup/vzdump-qemu-103-2026_11_19-01_00_03.vma.zst', storage: local-lvm, unique: true}",
            ),
            is!(Action::RestoreGuest { kind: Qemu, .. }),
        )
        .in_a_world_with(FIRST_BACKUP, BACKUPS),
        makes(
            "restore CT",
            ct(
                "vmid: 351, node: pve3, restoreFrom: {volume: 'backup:backup/vzdump-lxc-309-2026_11_19-01_00_03.tar.zst', storage: ceph-vm}",
            ),
            is!(Action::RestoreGuest { kind: Lxc, .. }),
        )
        .in_a_world_with(FIRST_BACKUP, BACKUPS),
        makes(
            "template VM",
            vm("vmid: 103, isTemplate: true"),
            is!(Action::ConvertToTemplate { kind: Qemu, .. }),
        ),
        makes(
            "template CT",
            ct("vmid: 309, isTemplate: true"),
            is!(Action::ConvertToTemplate { kind: Lxc, .. }),
        ),
        makes(
            "update VM",
            vm("vmid: 102, memory: {size: 6Gi}"),
            is!(Action::UpdateConfig { kind: Qemu, .. }),
        ),
        makes(
            "update VM (secret)",
            vm(&format!(
                "vmid: 106, cloudInit: {{passwordFrom: {{fromFile: {SECRET_FILE}}}}}"
            )),
            is!(Action::UpdateConfig { kind: Qemu, .. }),
        ),
        makes(
            "regenerate cloud-init",
            vm("vmid: 106, cloudInit: {user: admin}"),
            is!(Action::RegenerateCloudInit { .. }),
        ),
        makes(
            "update CT",
            ct("vmid: 303, memory: 3Gi"),
            is!(Action::UpdateConfig { kind: Lxc, .. }),
        ),
        makes(
            "migrate VM, running",
            vm("vmid: 102, node: pve1"),
            is!(Action::Migrate { kind: Qemu, .. }),
        ),
        makes(
            "migrate VM, stopped, local disk",
            vm("vmid: 125, node: pve3"),
            is!(Action::Migrate { kind: Qemu, .. }),
        ),
        makes(
            "migrate VM, running, to a target storage",
            vm("vmid: 104, node: pve2, migration: {targetStorage: {local-zfs: local-lvm}}"),
            is!(Action::Migrate { kind: Qemu, .. }),
        ),
        makes(
            "migrate CT, restarted, to a target storage",
            ct("vmid: 308, nodes: [pve3], migration: {targetStorage: {local-lvm: nfs-data}}"),
            is!(Action::Migrate { kind: Lxc, .. }),
        ),
        makes(
            "migrate CT, restarted",
            ct("vmid: 303, node: pve1"),
            is!(Action::Migrate { kind: Lxc, .. }),
        ),
        removes(
            "destroy VM",
            "VirtualMachine",
            "machine",
            "vmid: 103",
            is!(Action::DestroyGuest { kind: Qemu, .. }),
        ),
        removes(
            "destroy VM, running, purged",
            "VirtualMachine",
            "machine",
            "vmid: 123",
            is!(Action::DestroyGuest { kind: Qemu, .. }),
        ),
        removes(
            "destroy CT",
            "Container",
            "container",
            "vmid: 309",
            is!(Action::DestroyGuest { kind: Lxc, .. }),
        ),
        removes(
            "back up VM, running",
            "VirtualMachine",
            "machine",
            "vmid: 123",
            is!(Action::BackUpGuest { kind: Qemu, .. }),
        )
        .with_copies(),
        removes(
            "back up CT",
            "Container",
            "container",
            "vmid: 309",
            is!(Action::BackUpGuest { kind: Lxc, .. }),
        )
        .with_copies(),
        removes(
            "destroy VM, backed up",
            "VirtualMachine",
            "machine",
            "vmid: 103",
            is!(Action::DestroyGuest { kind: Qemu, .. }),
        )
        .with_copies(),
    ]
}

fn disks() -> Vec<Kind> {
    use GuestKind::{Lxc, Qemu};
    vec![
        makes(
            "resize VM disk",
            vm("vmid: 102, disks: {scsi0: {size: 72Gi}}"),
            is!(Action::ResizeDisk { kind: Qemu, .. }),
        ),
        makes(
            "resize CT disk",
            ct("vmid: 303, rootFs: {size: 10Gi}"),
            is!(Action::ResizeDisk { kind: Lxc, .. }),
        ),
        makes(
            "move VM disk",
            vm("vmid: 210, disks: {scsi0: {storage: ceph-vm}}"),
            is!(Action::MoveDisk { kind: Qemu, .. }),
        ),
        makes(
            "move CT volume",
            ct("vmid: 301, mountPoints: {mp1: {storage: nfs-data}}"),
            is!(Action::MoveDisk { kind: Lxc, .. }),
        ),
        makes(
            "detach VM disk",
            vm("vmid: 104, disks: {scsi1: null}"),
            is!(Action::DetachDisk { kind: Qemu, .. }),
        ),
        makes(
            "detach CT volume",
            ct("vmid: 301, mountPoints: {mp1: null}"),
            is!(Action::DetachDisk { kind: Lxc, .. }),
        ),
    ]
}

fn power() -> Vec<Kind> {
    use GuestKind::{Lxc, Qemu};
    use PowerAction::{Reboot, Shutdown, Start, Stop};
    vec![
        makes(
            "start VM",
            vm("vmid: 103, powerState: running"),
            is!(Action::SetPower {
                kind: Qemu,
                power: Start,
                ..
            }),
        ),
        makes(
            "start CT",
            ct("vmid: 309, powerState: running"),
            is!(Action::SetPower {
                kind: Lxc,
                power: Start,
                ..
            }),
        ),
        makes(
            "shut VM down",
            vm("vmid: 102, powerState: stopped"),
            is!(Action::SetPower {
                kind: Qemu,
                power: Shutdown { .. },
                ..
            }),
        ),
        makes(
            "shut CT down",
            ct("vmid: 303, powerState: stopped"),
            is!(Action::SetPower {
                kind: Lxc,
                power: Shutdown { .. },
                ..
            }),
        ),
        removes(
            "stop VM",
            "VirtualMachine",
            "machine",
            "vmid: 123",
            is!(Action::SetPower {
                kind: Qemu,
                power: Stop,
                ..
            }),
        ),
        removes(
            "stop CT",
            "Container",
            "container",
            "vmid: 308",
            is!(Action::SetPower {
                kind: Lxc,
                power: Stop,
                ..
            }),
        ),
        makes(
            "reboot VM",
            annotated(
                "VirtualMachine",
                "machine",
                "restart: window",
                "vmid: 102, cpu: {cores: 6}",
            ),
            is!(Action::SetPower {
                kind: Qemu,
                power: Reboot { .. },
                ..
            }),
        ),
        makes(
            "reboot CT",
            annotated(
                "Container",
                "container",
                "restart: window",
                "vmid: 303, timezone: Europe/Vienna",
            ),
            is!(Action::SetPower {
                kind: Lxc,
                power: Reboot { .. },
                ..
            }),
        ),
        makes(
            "HA: stop VM",
            vm("vmid: 112, powerState: stopped"),
            is!(Action::SetHaState { kind: Qemu, .. }),
        ),
        makes(
            "HA: start VM",
            vm("vmid: 109, powerState: running"),
            is!(Action::SetHaState { kind: Qemu, .. }),
        ),
        makes(
            "HA: stop CT",
            ct("vmid: 305, powerState: stopped"),
            is!(Action::SetHaState { kind: Lxc, .. }),
        ),
        removes(
            "HA: remove VM",
            "VirtualMachine",
            "machine",
            "vmid: 109",
            is!(Action::RemoveHaResource { kind: Qemu, .. }),
        ),
        removes(
            "HA: remove CT",
            "Container",
            "container",
            "vmid: 309",
            is!(Action::RemoveHaResource { kind: Lxc, .. }),
        )
        .in_a_world_with("    vm: 109\n", "    ct: 309\n    \tstate stopped\n\n"),
    ]
}

/// A firewall of the datacenter with an alias and a set.
const FIREWALL: &str = "  firewall/cluster.fw: |\n    [ALIASES]\n\n    office 10.20.0.0/16 # offices\n\n    [IPSET web]\n\n    10.0.0.1\n    10.0.0.2\n\n    [RULES]\n\n    IN ACCEPT -p tcp -dport 22 # first\n    IN ACCEPT -p tcp -dport 80\n\n    [group old]\n\n    IN ACCEPT -p tcp -dport 25\n\n";

/// Aliases and sets of firewalls. The two calls of a trial are one path, which is done twice by nature: `tests/firewall_trial.rs` plays
/// what can befall them.
fn firewalls() -> Vec<Kind> {
    macro_rules! step {
        ($variant:ident) => {
            is!(Action::Firewall(FirewallAction::$variant { .. }))
        };
    }
    let set = |spec: &str| document("IpSet", "web", spec);
    let rules = |rules: &str| {
        document(
            "Firewall",
            "all",
            &format!("cluster: true, rules: [{rules}]"),
        )
    };
    let (ssh, web) = (
        "{direction: in, action: ACCEPT, proto: tcp, dport: '22', comment: first}",
        "{direction: in, action: ACCEPT, proto: tcp, dport: '80'}",
    );
    let with = |kind: Kind| kind.in_a_world_with("  user.cfg: |\n", FIREWALL);
    vec![
        makes(
            "create alias",
            document("FirewallAlias", "fresh", "cidr: 10.9.0.0/16, comment: new"),
            step!(CreateAlias),
        ),
        with(makes(
            "update alias",
            document("FirewallAlias", "office", "cidr: 10.9.0.0/16"),
            step!(UpdateAlias),
        )),
        with(removes(
            "delete alias",
            "FirewallAlias",
            "office",
            "cidr: 10.20.0.0/16",
            step!(DeleteAlias),
        )),
        makes(
            "create set",
            document("IpSet", "fresh", "comment: new"),
            step!(CreateIpSet),
        ),
        with(makes(
            "describe set",
            set("comment: 'for the web'"),
            step!(DescribeIpSet),
        )),
        with(makes(
            "add set entry",
            set("entries: [{cidr: 10.0.0.1}, {cidr: 10.0.0.2}, {cidr: 10.0.0.3, comment: third}]"),
            step!(AddIpSetEntry),
        )),
        with(makes(
            "update set entry",
            set("entries: [{cidr: 10.0.0.1}, {cidr: 10.0.0.2, nomatch: true}]"),
            step!(UpdateIpSetEntry),
        )),
        with(makes(
            "remove set entry",
            set("entries: [{cidr: 10.0.0.1}]"),
            step!(RemoveIpSetEntry),
        )),
        with(removes(
            "delete set",
            "IpSet",
            "web",
            "comment: null",
            step!(DeleteIpSet),
        )),
        makes(
            "create security group",
            document("SecurityGroup", "fresh", "comment: new"),
            step!(CreateGroup),
        ),
        with(makes(
            "describe security group",
            document("SecurityGroup", "old", "comment: 'for mail'"),
            step!(DescribeGroup),
        )),
        with(removes(
            "delete security group",
            "SecurityGroup",
            "old",
            "comment: null",
            step!(DeleteGroup),
        )),
        with(makes(
            "insert rule",
            rules(&format!(
                "{{direction: in, action: ACCEPT, macro: HTTPS}}, {ssh}, {web}"
            )),
            step!(InsertRule),
        )),
        with(makes(
            "update rule",
            rules(&format!(
                "{ssh}, {{direction: in, action: ACCEPT, proto: tcp, dport: '80', comment: second}}"
            )),
            step!(UpdateRule),
        )),
        with(makes(
            "move rule",
            rules(&format!("{web}, {ssh}")),
            step!(MoveRule),
        )),
        with(makes("delete rule", rules(web), step!(DeleteRule))),
        with(makes(
            "set firewall options",
            document(
                "Firewall",
                "all",
                "cluster: true, options: {policyIn: ACCEPT, policyOut: DROP}",
            ),
            step!(SetOptions),
        )),
    ]
}

/// A guest that is copied to another node.
const REPLICATION: &str = "  replication.cfg: |\n    local: 104-0\n    \tcomment shop\n    \tschedule */30\n    \tsource pve1\n    \ttarget pve2\n\n";

/// Tokens.
fn tokens() -> Vec<Kind> {
    // Where the role of the controller has the privilege's neighbours, and the users stand.
    const MAY: (&str, &str) = ("VM.Allocate,VM.Audit", "User.Modify,");
    const OLD: (&str, &str) = (
        "    user:bailiwick@pve:1",
        "    token:anna@pve!old:0:1:x:\n",
    );
    let token = |name, spec: &str| document("ApiToken", name, &format!("user: anna@pve, {spec}"));
    vec![
        makes(
            "create token",
            token(
                "builds",
                &format!("secretFile: {NEW_FILE}, expires: 2033-05-18, comment: x"),
            ),
            is!(Action::Account(AccountAction::CreateToken { .. })),
        )
        .in_a_world_with(MAY.0, MAY.1),
        makes(
            "update token",
            token("old", "separated: false, comment: other"),
            is!(Action::Account(AccountAction::UpdateToken { .. })),
        )
        .in_a_world_with(MAY.0, MAY.1)
        .in_a_world_with(OLD.0, OLD.1),
        removes(
            "delete token",
            "ApiToken",
            "old",
            "user: anna@pve",
            is!(Action::Account(AccountAction::DeleteToken { .. })),
        )
        .in_a_world_with(MAY.0, MAY.1)
        .in_a_world_with(OLD.0, OLD.1),
    ]
}

/// Storages, pools, backup and replication jobs.
fn elsewhere() -> Vec<Kind> {
    vec![
        makes(
            "create storage",
            document(
                "Storage",
                "fresh",
                "type: dir, path: /srv/fresh, content: [iso]",
            ),
            is!(Action::CreateStorage { .. }),
        ),
        makes(
            "update storage",
            document("Storage", "nfs-data", "content: [images, rootdir, iso]"),
            is!(Action::UpdateStorage { .. }),
        ),
        removes(
            "delete storage",
            "Storage",
            "spare",
            "content: [iso]",
            is!(Action::DeleteStorage { .. }),
        )
        .in_a_world_with(
            "    nfs: nfs-data\n",
            "    dir: spare\n    \tpath /srv/spare\n    \tcontent iso\n\n",
        ),
        makes(
            "create pool",
            document("Pool", "fresh", "comment: new"),
            is!(Action::CreatePool { .. }),
        ),
        makes(
            "update pool, comment",
            document("Pool", "lab", "comment: other things"),
            is!(Action::UpdatePool { .. }),
        ),
        makes(
            "update pool, members",
            document("Pool", "prod", "guests: [102, 125]"),
            is!(Action::UpdatePool { .. }),
        ),
        removes(
            "delete pool",
            "Pool",
            "spare",
            "comment: unused",
            is!(Action::DeletePool { .. }),
        )
        .in_a_world_with(
            "    pool:prod:what customers see:",
            "    pool:spare:unused:::\n",
        ),
        makes(
            "create backup job",
            document(
                "BackupJob",
                "fresh",
                "schedule: 'sun 05:00', storage: backup, guests: [102, 303], pruneBackups: {keepLast: 3}, notesTemplate: '{{vmid}}'",
            ),
            is!(Action::CreateBackupJob { .. }),
        ),
        makes(
            "update backup job",
            document(
                "BackupJob",
                "weekly",
                "schedule: 'sun 04:30', comment: null, excludePaths: [/var/cache/*, /tmp/*]",
            ),
            is!(Action::UpdateBackupJob { .. }),
        )
        .in_a_world_with(
            "    vzdump: nightly-prod\n",
            "    vzdump: weekly\n    \tcomment mail\n    \tschedule 04:00\n    \tenabled 1\n    \tstorage backup\n    \tvmid 102\n\n",
        ),
        makes(
            "create replication job",
            document(
                "ReplicationJob",
                "copy",
                "guest: 104, target: pve2, schedule: '*/30', rate: 12.5",
            ),
            is!(Action::CreateReplicationJob { .. }),
        ),
        makes(
            "update replication job",
            document(
                "ReplicationJob",
                "copy",
                "guest: 104, schedule: '22:00', enabled: false, comment: null",
            ),
            is!(Action::UpdateReplicationJob { .. }),
        )
        .in_a_world_with("  user.cfg: |\n", REPLICATION),
        removes(
            "delete replication job",
            "ReplicationJob",
            "copy",
            "guest: 104",
            is!(Action::DeleteReplicationJob { .. }),
        )
        .in_a_world_with("  user.cfg: |\n", REPLICATION),
        makes(
            "download image",
            document(
                "Image",
                "rescue-13.iso",
                "storage: local, node: pve1, content: iso, url: 'https://images.example.org/rescue/13/rescue-13.iso', checksum: {algorithm: sha256, value: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}",
            ),
            is!(Action::DownloadImage { .. }),
        ),
        // What the task of a pull is called nobody knows: whether it happened, only the file tells.
        makes(
            "download image",
            document(
                "Image",
                "nginx-1.29.tar",
                "storage: local, node: pve1, content: vztmpl, reference: 'docker.io/library/nginx:1.29'",
            ),
            is!(Action::DownloadImage { .. }),
        ),
        removes(
            "delete image",
            "Image",
            "old.iso",
            "storage: local, node: pve1, content: iso, url: 'https://images.example.org/rescue/13/rescue-13.iso', checksum: {algorithm: sha256, value: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}",
            is!(Action::DeleteImage { .. }),
        )
        // When it was written tells it from another one, and stays the same from play to play.
        .in_a_world_with(
            "      - { volid: \"local:iso/proxmox-rescue.iso\", node: pve1,",
            "      - { volid: \"local:iso/old.iso\", node: pve1, size: 600M, format: \"iso\", ctime: 1760000000 }\n",
        ),
        removes(
            "delete backup job",
            "BackupJob",
            "spare",
            "comment: unused",
            is!(Action::DeleteBackupJob { .. }),
        )
        .in_a_world_with(
            "    vzdump: nightly-prod\n",
            "    vzdump: spare\n    \tcomment unused\n    \tschedule 04:00\n    \tenabled 1\n    \tstorage backup\n    \tvmid 102\n\n",
        ),
        makes(
            "take snapshot",
            document("Snapshot", "before", "vmid: 104, description: why"),
            is!(Action::TakeSnapshot { .. }),
        ),
        makes(
            "describe snapshot",
            document("Snapshot", "before", "vmid: 104, description: why"),
            is!(Action::DescribeSnapshot { .. }),
        )
        .in_a_world_with("  nodes/pve1/qemu-server/105.conf: |", SNAPSHOT),
        removes(
            "delete snapshot",
            "Snapshot",
            "before",
            "vmid: 104",
            is!(Action::DeleteSnapshot { .. }),
        )
        .in_a_world_with("  nodes/pve1/qemu-server/105.conf: |", SNAPSHOT),
    ]
}

/// Before which line of the accounts the controller is given what they take, and a role that can go.
const RIGHTS: &str = "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:\n";
const MORE_RIGHTS: &str = "    role:Accounts:Group.Allocate,Permissions.Modify,Realm.Allocate,Realm.AllocateUser,User.Modify:\n    role:Spare:VM.Audit:\n    \
                           acl:1:/:bailiwick@pve,bailiwick@pve!controller:Accounts:\n    acl:0:/pool/infra:@developers:Spare:\n";

/// A realm that can go.
const REALM: &str = "  domains.cfg: |\n    ldap: spare\n    \tbase_dn dc=lab,dc=example\n    \tserver1 ldap.lab.example\n    \tuser_attr uid\n\n";

fn accounts() -> Vec<Kind> {
    use AccountAction as Do;
    let all = vec![
        makes(
            "create group",
            document("Group", "night", "comment: on call"),
            is!(Action::Account(Do::CreateGroup { .. })),
        ),
        makes(
            "update group",
            document("Group", "operators", "comment: those on call"),
            is!(Action::Account(Do::UpdateGroup { .. })),
        ),
        removes(
            "delete group",
            "Group",
            "developers",
            "comment: Developers",
            is!(Action::Account(Do::DeleteGroup { .. })),
        ),
        makes(
            "create user",
            document(
                "User",
                "cy",
                &format!(
                    "id: cy@pve, email: cy@lab.example, groups: [developers], passwordFrom: {{fromFile: {SECRET_FILE}}}"
                ),
            ),
            is!(Action::Account(Do::CreateUser { .. })),
        ),
        makes(
            "update user",
            document(
                "User",
                "ben",
                "id: ben@pve, comment: on leave, firstName: null, groups: [developers, operators]",
            ),
            is!(Action::Account(Do::UpdateUser { .. })),
        ),
        removes(
            "delete user",
            "User",
            "ben",
            "id: ben@pve",
            is!(Action::Account(Do::DeleteUser { .. })),
        ),
        makes(
            "create realm",
            document(
                "Realm",
                "sso",
                &format!(
                    "type: openid, issuerUrl: 'https://id.lab.example', clientId: pve, usernameClaim: email, clientKeyFrom: {{fromFile: {SECRET_FILE}}}"
                ),
            ),
            is!(Action::Account(Do::CreateRealm { .. })),
        ),
        makes(
            "update realm",
            document(
                "Realm",
                "pam",
                "comment: the nodes' own accounts, default: true",
            ),
            is!(Action::Account(Do::UpdateRealm { .. })),
        ),
        removes(
            "delete realm",
            "Realm",
            "spare",
            "type: ldap",
            is!(Action::Account(Do::DeleteRealm { .. })),
        )
        .in_a_world_with("  user.cfg: |\n", REALM),
        makes(
            "create role",
            document("Role", "watch", "privileges: [VM.Audit, VM.Console]"),
            is!(Action::Account(Do::CreateRole { .. })),
        ),
        makes(
            "update role",
            document(
                "Role",
                "spare",
                "id: Spare, privileges: [VM.Audit, VM.Console]",
            ),
            is!(Action::Account(Do::UpdateRole { .. })),
        ),
        removes(
            "delete role",
            "Role",
            "spare",
            "id: Spare, privileges: [VM.Audit]",
            is!(Action::Account(Do::DeleteRole { .. })),
        ),
        makes(
            "grant",
            document(
                "AccessRule",
                "prod",
                "path: /pool/prod, group: developers, roles: [PVEVMUser, Spare], propagate: false",
            ),
            is!(Action::Account(Do::Grant { .. })),
        ),
        removes(
            "revoke",
            "AccessRule",
            "nfs",
            "path: /storage/nfs-data, group: developers, roles: [PVEDatastoreUser]",
            is!(Action::Account(Do::Revoke { .. })),
        ),
    ];
    let kinds = all.into_iter();
    kinds
        .map(|kind| kind.in_a_world_with(RIGHTS, MORE_RIGHTS))
        .collect()
}
