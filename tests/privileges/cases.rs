//! What is asked for, one kind of step after the other.

/// One wish: documents, or objects whose documents were taken away.
pub struct Case {
    pub name: &'static str,
    /// `Kind/spec` in short: `VirtualMachine {vmid: 100, cpu: {cores: 4}}`, one a line.
    pub wanted: &'static str,
    /// Objects that documents owned and asked to be deleted with them: `vm/100`.
    pub removed: &'static [&'static str],
    /// What it takes to see what it needs, besides what every case sees: path and privilege.
    pub sees: &'static [(&'static str, &'static str)],
}

const fn wanted(name: &'static str, wanted: &'static str) -> Case {
    Case {
        name,
        wanted,
        removed: &[],
        sees: &[],
    }
}

/// A wish for which backups have to be seen.
const fn seeing(
    name: &'static str,
    sees: &'static [(&'static str, &'static str)],
    wanted: &'static str,
) -> Case {
    Case {
        name,
        wanted,
        removed: &[],
        sees,
    }
}

const fn removed(name: &'static str, removed: &'static [&'static str]) -> Case {
    Case {
        name,
        wanted: "",
        removed,
        sees: &[],
    }
}

pub const CASES: &[Case] = &[
    wanted(
        "create a virtual machine",
        "VirtualMachine {vmid: 900, node: pve1, name: new, cpu: {cores: 2}, memory: {size: 1Gi}, osType: l26, scsiController: virtio-scsi-single, disks: {scsi0: {storage: fast, size: 8Gi}}, networks: {net0: {model: virtio, bridge: vmbr0}}}",
    ),
    wanted(
        "create one with media and cloud-init",
        "VirtualMachine {vmid: 900, node: pve1, name: new, memory: {size: 1Gi}, cdroms: {ide2: {iso: 'local:iso/installer.iso'}}, cloudInit: {drive: {slot: ide0, storage: fast}, user: admin}}",
    ),
    wanted(
        "create one in a pool",
        "VirtualMachine {vmid: 900, node: pve1, name: new, pool: web, memory: {size: 1Gi}}",
    ),
    wanted(
        "create and start one",
        "VirtualMachine {vmid: 900, node: pve1, name: new, powerState: running, memory: {size: 1Gi}}",
    ),
    wanted(
        "create one with a start order",
        "VirtualMachine {vmid: 900, node: pve1, name: new, memory: {size: 1Gi}, startup: {order: 3}}",
    ),
    wanted(
        "create one on a VLAN",
        "VirtualMachine {vmid: 900, node: pve1, name: new, networks: {net0: {model: virtio, bridge: vmbr1, vlan: 20}}}",
    ),
    wanted(
        "create one with a TPM and EFI variables",
        "VirtualMachine {vmid: 900, node: pve1, name: new, bios: ovmf, efiDisk: {storage: fast}, tpmState: {storage: fast, version: v2.0}}",
    ),
    wanted(
        "create one with mapped devices",
        "VirtualMachine {vmid: 900, node: pve1, name: new, usb: {usb0: {mapping: stick}}, pci: {hostpci0: {mapping: gpu}}}",
    ),
    wanted(
        "create a container",
        "Container {vmid: 901, node: pve1, template: 'local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst', cores: 2, memory: 1Gi, rootFs: {storage: fast, size: 4Gi}, mountPoints: {mp0: {storage: shared, size: 2Gi, path: /srv}}, networks: {net0: {name: eth0, bridge: vmbr0, ip: dhcp}}, features: {nesting: true}, onBoot: true}",
    ),
    wanted(
        "create a privileged container",
        "Container {vmid: 901, node: pve1, template: 'local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst', unprivileged: false, rootFs: {storage: fast, size: 4Gi}}",
    ),
    wanted(
        "clone a virtual machine",
        "VirtualMachine {vmid: 900, name: new, cloneFrom: {vmid: 100}}",
    ),
    wanted(
        "clone one to another storage, in a pool",
        "VirtualMachine {vmid: 900, name: new, pool: web, cloneFrom: {vmid: 100, storage: shared}}",
    ),
    wanted(
        "clone one from a snapshot",
        "VirtualMachine {vmid: 900, name: new, cloneFrom: {vmid: 103, snapshot: old}}",
    ),
    seeing(
        "restore a virtual machine in a pool, each disk where it was",
        &[("/storage/more", "Datastore.Allocate")],
        "VirtualMachine {vmid: 900, node: pve1, name: new, pool: web, restoreFrom: {volume: 'more:backup/vzdump-qemu-100-2026_11_01-03_00_00.vma.zst', unique: true}}",
    ),
    seeing(
        "restore one from a backup that may be seen because it may be made",
        &[
            ("/storage/more", "Datastore.AllocateSpace"),
            ("/vms/100", "VM.Backup"),
        ],
        "VirtualMachine {vmid: 900, node: pve1, restoreFrom: {volume: 'more:backup/vzdump-qemu-100-2026_11_01-03_00_00.vma.zst', storage: shared}}",
    ),
    seeing(
        "restore a privileged container",
        &[("/storage/more", "Datastore.Allocate")],
        "Container {vmid: 901, node: pve1, restoreFrom: {volume: 'more:backup/vzdump-lxc-200-2026_11_01-03_00_00.tar.zst', storage: fast}}",
    ),
    wanted(
        "make a template",
        "VirtualMachine {vmid: 100, isTemplate: true}",
    ),
    wanted("processors", "VirtualMachine {vmid: 100, cpu: {cores: 4}}"),
    wanted("memory", "VirtualMachine {vmid: 100, memory: {size: 2Gi}}"),
    wanted(
        "hardware",
        "VirtualMachine {vmid: 100, display: {type: qxl}}",
    ),
    wanted(
        "options",
        "VirtualMachine {vmid: 100, onBoot: true, tags: [a]}",
    ),
    wanted(
        "start order",
        "VirtualMachine {vmid: 100, startup: {order: 3}}",
    ),
    wanted(
        "a network card to another bridge",
        "VirtualMachine {vmid: 100, networks: {net0: {bridge: vmbr1}}}",
    ),
    wanted(
        "a network card away",
        "VirtualMachine {vmid: 100, networks: {net0: null}}",
    ),
    wanted(
        "cloud-init settings",
        "VirtualMachine {vmid: 100, cloudInit: {user: admin}}",
    ),
    wanted(
        "cloud-init settings of a machine that runs",
        "VirtualMachine {vmid: 102, cloudInit: {user: admin}}",
    ),
    wanted(
        "a medium",
        "VirtualMachine {vmid: 100, cdroms: {ide0: {iso: 'local:iso/installer.iso'}}}",
    ),
    wanted(
        "a new disk",
        "VirtualMachine {vmid: 100, disks: {scsi2: {storage: shared, size: 4Gi}}}",
    ),
    wanted(
        "an option of a disk",
        "VirtualMachine {vmid: 100, disks: {scsi0: {discard: true}}}",
    ),
    wanted(
        "a greater disk",
        "VirtualMachine {vmid: 100, disks: {scsi0: {size: 16Gi}}}",
    ),
    wanted(
        "a disk to another storage",
        "VirtualMachine {vmid: 100, disks: {scsi0: {storage: shared}}}",
    ),
    wanted(
        "a disk away",
        "VirtualMachine {vmid: 100, disks: {scsi1: null}}",
    ),
    wanted("start", "VirtualMachine {vmid: 100, powerState: running}"),
    wanted("stop", "VirtualMachine {vmid: 101, powerState: stopped}"),
    wanted(
        "stop under high availability",
        "VirtualMachine {vmid: 102, powerState: stopped}",
    ),
    wanted("migrate", "VirtualMachine {vmid: 101, node: pve2}"),
    wanted(
        "migrate to any of several nodes",
        "VirtualMachine {vmid: 101, nodes: [pve2, pve3]}",
    ),
    wanted(
        "migrate with the disks to another storage",
        "VirtualMachine {vmid: 100, node: pve2, migration: {targetStorage: {fast: shared}}}",
    ),
    wanted("container: processors", "Container {vmid: 200, cores: 2}"),
    wanted("container: memory", "Container {vmid: 200, memory: 1Gi}"),
    wanted("container: options", "Container {vmid: 200, onBoot: true}"),
    wanted(
        "container: start order",
        "Container {vmid: 200, startup: {order: 3}}",
    ),
    wanted(
        "container: name",
        "Container {vmid: 200, hostname: c-other}",
    ),
    wanted(
        "container: nesting",
        "Container {vmid: 200, features: {nesting: true}}",
    ),
    wanted(
        "container: a card to another bridge",
        "Container {vmid: 200, networks: {net0: {bridge: vmbr1}}}",
    ),
    wanted(
        "container: a new mount point",
        "Container {vmid: 200, mountPoints: {mp1: {storage: shared, size: 2Gi, path: /data}}}",
    ),
    wanted(
        "container: a greater root file system",
        "Container {vmid: 200, rootFs: {size: 8Gi}}",
    ),
    wanted(
        "container: a volume to another storage",
        "Container {vmid: 200, rootFs: {storage: shared}}",
    ),
    wanted(
        "container: a mount point away",
        "Container {vmid: 200, mountPoints: {mp0: null}}",
    ),
    wanted(
        "container: start",
        "Container {vmid: 200, powerState: running}",
    ),
    wanted(
        "container: stop",
        "Container {vmid: 201, powerState: stopped}",
    ),
    wanted("container: migrate", "Container {vmid: 201, node: pve2}"),
    wanted(
        "container: migrate with the volumes to another storage",
        "Container {vmid: 200, node: pve2, migration: {targetStorage: {fast: shared}}}",
    ),
    wanted(
        "create a storage",
        "Storage {id: other, type: dir, path: /srv/other, content: [backup]}",
    ),
    wanted(
        "change a storage",
        "Storage {id: spare, type: dir, path: /srv/spare, content: [backup, iso, snippets]}",
    ),
    wanted("create a pool", "Pool {id: new, comment: made}"),
    wanted(
        "create a pool with members",
        "Pool {id: new, guests: [100], storages: [fast]}",
    ),
    wanted("a pool's comment", "Pool {id: web, comment: other}"),
    wanted("a pool's guest away", "Pool {id: web, guests: []}"),
    wanted(
        "a guest from another pool",
        "Pool {id: empty, guests: [103]}",
    ),
    wanted(
        "create a backup job",
        "BackupJob {id: new, schedule: '02:00', storage: spare, guests: [100, 200]}",
    ),
    wanted(
        "create a backup job with fleecing and limits",
        "BackupJob {id: new, schedule: '02:00', storage: spare, all: true, fleecing: {enabled: true, storage: fast}, bandwidthLimit: 1000, performance: {maxWorkers: 4}}",
    ),
    wanted(
        "a backup job's schedule",
        "BackupJob {id: weekly, schedule: 'sat 03:00'}",
    ),
    wanted(
        "a backup job's notes",
        "BackupJob {id: weekly, notesTemplate: '{{guestname}}'}",
    ),
    wanted("a backup job's guests", "BackupJob {id: weekly, pool: web}"),
    wanted(
        "a backup job's storage",
        "BackupJob {id: weekly, storage: more}",
    ),
    wanted("take a snapshot", "Snapshot {name: new, vmid: 101}"),
    wanted(
        "a snapshot's description",
        "Snapshot {name: old, vmid: 103, description: other}",
    ),
    wanted(
        "create a replication job",
        "ReplicationJob {id: 101-0, target: pve2, schedule: '*/30', rate: 10}",
    ),
    wanted(
        "a replication job's schedule",
        "ReplicationJob {id: 103-0, schedule: '22:00', enabled: false}",
    ),
    wanted(
        "download an image",
        "Image {storage: local, node: pve1, content: iso, filename: rescue-13.iso, url: 'https://images.example.org/rescue-13.iso', checksum: {algorithm: sha256, value: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}}",
    ),
    wanted(
        "make a token",
        "ApiToken {user: root@pam, id: new, comment: x, secretFile: /nowhere/new}",
    ),
    wanted(
        "a token's settings",
        "ApiToken {user: root@pam, id: old, separated: true, expires: 2033-05-18}",
    ),
    removed("delete a token", &["token/root@pam!old"]),
    wanted("create a group", "Group {id: night}"),
    wanted("a group's comment", "Group {id: ops, comment: on call}"),
    wanted("create a user", "User {id: cy@pve, comment: new}"),
    wanted(
        "create a user in groups",
        "User {id: cy@pve, groups: [dev, ops]}",
    ),
    wanted("change a user", "User {id: eve@pve, enabled: false}"),
    wanted(
        "change a user of a group",
        "User {id: dan@pve, firstName: Dan}",
    ),
    wanted(
        "put a user into a group",
        "User {id: dan@pve, groups: [dev, ops]}",
    ),
    wanted(
        "take a user out of its group",
        "User {id: dan@pve, groups: []}",
    ),
    wanted(
        "make a realm",
        "Realm {id: corp, type: ldap, server: ldap.lab.example, baseDn: 'dc=lab,dc=example', userAttribute: uid}",
    ),
    wanted(
        "a realm's settings",
        "Realm {id: spare, comment: other, mode: ldaps}",
    ),
    removed("delete a realm", &["realm/spare"]),
    wanted("create a role", "Role {id: Fresh, privileges: [VM.Audit]}"),
    wanted(
        "change a role",
        "Role {id: Spare, privileges: [VM.Console]}",
    ),
    wanted(
        "give a role",
        "AccessRule {path: /vms/100, group: dev, roles: [PVEAuditor]}",
    ),
    wanted(
        "give a role everywhere",
        "AccessRule {path: /, user: dan@pve, roles: [PVEAuditor]}",
    ),
    wanted(
        "change what is given",
        "AccessRule {path: /pool/web, group: ops, roles: [PVEPoolUser], propagate: false}",
    ),
    removed("delete a group", &["group/ops"]),
    removed("delete a user", &["user/dan@pve"]),
    removed("delete a role", &["role/Spare"]),
    removed("delete an access rule", &["acl/group:ops/pool/web"]),
    wanted(
        "make an alias",
        "FirewallAlias {name: fresh, cidr: 10.9.0.0/16}",
    ),
    wanted(
        "change an alias",
        "FirewallAlias {name: office, cidr: 10.9.0.0/16}",
    ),
    wanted(
        "make a set",
        "IpSet {name: fresh, entries: [{cidr: 10.0.0.7}]}",
    ),
    wanted(
        "change a set",
        "IpSet {name: web, comment: x, entries: [{cidr: 10.0.0.1, nomatch: true}, {cidr: 10.0.0.3}]}",
    ),
    wanted(
        "make a guest's alias",
        "FirewallAlias {guest: 103, name: fresh, cidr: 10.9.0.0/16}",
    ),
    wanted(
        "change a guest's alias",
        "FirewallAlias {guest: 103, name: own, cidr: 10.9.0.0/16}",
    ),
    wanted(
        "make a guest's set",
        "IpSet {guest: 103, name: fresh, entries: [{cidr: 10.0.0.7}]}",
    ),
    wanted(
        "change a guest's set",
        "IpSet {guest: 103, name: mine, comment: null, entries: [{cidr: 10.0.0.1, nomatch: true}, {cidr: 10.0.0.3}]}",
    ),
    wanted(
        "make a security group",
        "SecurityGroup {name: fresh, comment: x, rules: [{direction: in, action: ACCEPT, macro: SSH}]}",
    ),
    wanted(
        "change a security group",
        "SecurityGroup {name: old, comment: null, rules: [{direction: in, action: ACCEPT, proto: tcp, dport: '26'}]}",
    ),
    wanted(
        "the datacenter's rules and options",
        "Firewall {cluster: true, options: {policyIn: REJECT}, rules: [{direction: in, action: ACCEPT, proto: tcp, dport: '80'}, {direction: in, action: DROP, proto: tcp, dport: '22'}]}",
    ),
    wanted(
        "a node's rules and options",
        "Firewall {node: pve2, options: {ndp: false}, rules: [{direction: in, action: ACCEPT, proto: tcp, dport: '81'}]}",
    ),
    wanted(
        "a guest's rules and options",
        "Firewall {guest: 103, options: {enabled: true}, rules: [{direction: in, action: DROP, macro: SSH}, {direction: in, action: ACCEPT, proto: tcp, dport: '80'}]}",
    ),
    wanted(
        "a vnet's rules and options",
        "Firewall {vnet: web, options: {policyForward: DROP}, rules: [{direction: forward, action: ACCEPT, proto: tcp, dport: '80'}, {direction: forward, action: DROP, proto: tcp, dport: '22'}]}",
    ),
    removed("delete a security group", &["security-group/old"]),
    removed("delete an alias", &["alias/office"]),
    removed("delete a set", &["ipset/web"]),
    removed("delete a guest's alias", &["alias/103/own"]),
    removed("delete a guest's set", &["ipset/103/mine"]),
    removed("destroy a virtual machine", &["vm/100"]),
    removed("destroy a container", &["ct/200"]),
    removed("delete a storage", &["storage/spare"]),
    removed("delete a pool", &["pool/empty"]),
    removed("delete a backup job", &["backup-job/weekly"]),
    removed("delete a snapshot", &["snapshot/103/old"]),
    removed("delete an image", &["image/pve1/local:iso/installer.iso"]),
    removed("delete a replication job", &["replication-job/103-0"]),
];
