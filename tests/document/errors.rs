//! What a person reads when a document is wrong. Each case of bad input has its text here, as it is shown.

use bailiwick::document::load;
use insta::assert_snapshot;

fn shown(text: &str) -> String {
    load(&[("web.yaml", text)]).unwrap_err().to_string()
}

fn machine(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: web-7\nspec:\n{indented}"
    )
}

#[test]
fn unreadable_yaml() {
    assert_snapshot!(shown("kind: Pool\nmetadata: {name: a\nspec: {}\n"));
}

#[test]
fn tabs() {
    assert_snapshot!(shown("kind: Pool\nmetadata:\n\tname: a\n"));
}

#[test]
fn unknown_kind() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachin\nmetadata:\n  nam: web-7\nspec: {}\n"
    ));
}

#[test]
fn not_a_document() {
    assert_snapshot!(shown("- a\n---\njust text\n---\nmetadata: {name: a}\n"));
}

#[test]
fn unknown_fields() {
    assert_snapshot!(shown(&machine(
        "cpu:\n  coers: 4\ndisks:\n  scsi0: {sise: 8Gi}\nonboot: true\ncpulimit: 2\nscsihw: lsi\nnonsense: 1"
    )));
}

#[test]
fn root_only_fields() {
    assert_snapshot!(shown(&machine(
        "args: -device x\nhookScript: local:snippets/x\ncpu:\n  affinity: 0-3"
    )));
}

#[test]
fn duplicate_key() {
    assert_snapshot!(shown(&machine("vmid: 120\nname: a\nvmid: 121")));
}

#[test]
fn no_for_a_string_and_yes_for_a_truth_value() {
    assert_snapshot!(shown(&machine(
        "keyboard: no\nonBoot: yes\nname: 7\ndescription: true\ntags: [on, prod]"
    )));
}

#[test]
fn numbers() {
    assert_snapshot!(shown(&machine(
        "vmid: 18446744073709551616\ncpu:\n  cores: 0\n  sockets: 0x2\n  units: 1.5\n  limit: .inf\n  vcpus: \"4\"\nmigrateSpeed: 4294967296"
    )));
}

#[test]
fn sizes() {
    assert_snapshot!(shown(&machine(
        "memory:\n  size: 8GB\n  balloon: 1025Ki\ndisks:\n  scsi0: {size: 32}\n  scsi1: {size: 32g}"
    )));
}

#[test]
fn control_characters_in_a_name() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata:\n  name: \"web\\u001b[31m\"\nspec: {}\n"
    ));
}

#[test]
fn names_that_are_not_names() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1\nkind: Pool\nmetadata:\n  name: Web_7\n  labels: {team!: x}\n  cluster: ../x\nspec:\n  id: a/b/c/d\n"
    ));
}

#[test]
fn anchors_aliases_merge_keys_and_tags() {
    assert_snapshot!(shown(&machine(
        "memory: &m {size: 8Gi}\ncpu:\n  <<: *m\n  cores: !!int 4\nname: *missing"
    )));
}

#[test]
fn wrong_shapes() {
    assert_snapshot!(shown(&machine(
        "cpu: 4\ntags: prod\ndisks: [scsi0]\nname: {a: b}\nvmid: null\nbootOrder:\nhotplug: []\ncpu2:\nnumaNodes: {numa0: {cpus: []}}\ncloudInit:"
    )));
}

#[test]
fn slots() {
    assert_snapshot!(shown(&machine(
        "disks:\n  scsi31: {size: 8Gi}\n  sda: {size: 8Gi}\nnetworks:\n  eth0: {bridge: vmbr0}"
    )));
}

#[test]
fn words() {
    assert_snapshot!(shown(&machine(
        "bios: uefi\ndisks:\n  scsi0: {cache: writeback2}\nosType: linux"
    )));
}

#[test]
fn secrets_are_references() {
    assert_snapshot!(shown(&machine("cloudInit:\n  passwordFrom: hunter2")));
    assert_snapshot!(shown(&machine(
        "cloudInit:\n  passwordFrom: {fromFile: /x, fromEnv: Y}"
    )));
    assert_snapshot!(shown(&machine("cloudInit:\n  password: hunter2")));
}

#[test]
fn annotations() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata:\n  name: a\n  annotations:\n    bailiwick.dev/delete: x\n    bailiwick.dev/deletion: remove\n    bailiwick.dev/suspend: true\n    example.org/any: thing\nspec: {}\n"
    ));
}

#[test]
fn extra_config() {
    assert_snapshot!(shown(&machine(
        "extraConfig:\n  cpulimit: \"2\"\n  affinity2: x\n  net3: virtio\n  args: -x\n  Nonsense Key: x\n  digest: abc"
    )));
}

#[test]
fn contradictions_within_a_machine() {
    assert_snapshot!(shown(&machine(
        "cpu: {cores: 2, sockets: 1, vcpus: 4}\nmemory: {size: 2Gi, balloon: 4Gi}\ndisks:\n  virtio0: {ssd: true}\n  ide2: {size: 1Gi, iothread: true}\n  scsi0: {storage: a1, volume: \"b1:vm-1-disk-0\", importFrom: \"c1:x\"}\ncdroms:\n  ide2: {empty: true}\n  ide3: {}\ncloudInit:\n  drive: {slot: scsi0, storage: local}\nusb:\n  usb0: {usb3: true}\npci:\n  hostpci0: {pcie: true}\ndisplay: {memory: 1Gi}"
    )));
}

#[test]
fn contradictions_within_a_container() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Container\nmetadata:\n  name: ct\nspec:\n  unprivileged: false\n  memory: 8Mi\n  osType: null\n  features: {nesting: true}\n  mountPoints:\n    mp0: {path: /a}\n    mp1: {path: /a}\n"
    ));
}

#[test]
fn where_a_guest_cannot_be() {
    let of = |kind: &str, spec: &str| {
        shown(&format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: web\nspec:\n  {spec}\n"
        ))
    };
    for kind in ["VirtualMachine", "Container"] {
        for (spec, told) in [
            (
                "{node: pve1, nodes: [pve1, pve2]}",
                "either on one `node` or on any of its `nodes`, not both",
            ),
            ("nodes: []", "is an empty list"),
            ("nodes: [pve1, pve1]", "twice"),
            ("nodes: ['no node']", "node"),
            (
                "migration: {targetStorage: {local-zfs: fast}}",
                "does not say where it shall be",
            ),
            (
                "{node: pve1, migration: {targetStorage: {}}}",
                "at least one entry",
            ),
            (
                "{node: pve1, migration: {targetStorage: {'no storage': fast}}}",
                "no storage",
            ),
            (
                "{node: pve1, migration: {targetStorage: {fast: 'no storage'}}}",
                "no storage",
            ),
            ("{node: pve1, migration: {type: insecure}}", "type"),
        ] {
            let said = of(kind, spec);
            assert!(said.contains(told), "{spec}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_restored() {
    let of = |kind: &str, spec: &str| {
        shown(&format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: again\nspec:\n  {spec}\n"
        ))
    };
    for (kind, spec, told) in [
        (
            "VirtualMachine",
            "restoreFrom: {volume: 'vault:backup/vzdump-lxc-301-x.tar.zst'}",
            "this is the backup of a container",
        ),
        (
            "Container",
            "restoreFrom: {volume: 'vault:backup/vzdump-qemu-104-x.vma.zst', storage: fast}",
            "this is the backup of a virtual machine",
        ),
        (
            "VirtualMachine",
            "restoreFrom: {volume: 'local:iso/debian.iso'}",
            "is not the name of a backup of a guest",
        ),
        (
            "VirtualMachine",
            "restoreFrom: {storage: fast}",
            "needs `volume`, the backup",
        ),
        (
            "Container",
            "restoreFrom: {volume: 'vault:backup/vzdump-lxc-301-x.tar.zst'}",
            "needs `storage`",
        ),
        (
            "VirtualMachine",
            "cloneFrom: {vmid: 105, mode: linked, snapshot: clean}",
            "a linked clone stands on a template, which has no snapshots",
        ),
        (
            "Container",
            "cloneFrom: {vmid: 301, snapshot: 'not a name'}",
            "snapshot",
        ),
        (
            "VirtualMachine",
            "{cloneFrom: {vmid: 105}, restoreFrom: {volume: 'vault:backup/vzdump-qemu-104-x.vma.zst'}}",
            "either cloned or restored, not both",
        ),
        (
            "Container",
            "{unprivileged: true, restoreFrom: {volume: 'vault:backup/vzdump-lxc-301-x.tar.zst', storage: fast}}",
            "not when it is restored",
        ),
    ] {
        let said = of(kind, spec);
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn contradictions_within_a_storage() {
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Storage\nmetadata:\n  name: 7up\nspec:\n  type: dir\n  pool: rpool\n  content: [images, images]\n"
    ));
    assert_snapshot!(shown(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Storage\nmetadata:\n  name: 7up\nspec:\n  type: dir\n  pool: rpool\n  safeRemoveStep: 3\n  pruneBackups: {keepAll: true, keepLast: 3}\n"
    ));
}

#[test]
fn two_documents_for_one_object() {
    let a = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: a\nspec:\n  vmid: 120\n";
    let b = "apiVersion: bailiwick.dev/v1alpha1\nkind: Container\nmetadata:\n  name: b\nspec:\n  vmid: 120\n---\napiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: a\nspec: {}\n";
    let errors = load(&[("a.yaml", a), ("b.yaml", b)]).unwrap_err();
    assert_eq!(errors.errors.len(), 2);
    assert_snapshot!(errors.to_string());
}

#[test]
fn one_name_in_two_clusters_is_two_objects() {
    let of = |cluster: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata:\n  name: a\n  cluster: {cluster}\nspec: {{}}\n"
        )
    };
    assert_eq!(
        load(&[("a.yaml", of("one")), ("b.yaml", of("two"))])
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn all_errors_of_all_files_at_once() {
    let bad = machine("cpu: {coers: 4}");
    let errors = load(&[("a.yaml", &bad), ("b.yaml", &format!("{bad}---\n{bad}"))]).unwrap_err();
    assert_eq!(errors.errors.len(), 3);
    assert_eq!(errors.errors[2].line, 13);
}

#[test]
fn many_errors_are_counted_and_not_all_shown() {
    let text = "a: b\n---\n".repeat(300);
    let errors = load(&[("a.yaml", &text)]).unwrap_err();
    assert_eq!(errors.errors.len(), 200);
    assert!(
        errors
            .to_string()
            .ends_with("not shown; nothing was changed")
    );
}

#[test]
fn long_lines_and_wide_characters_are_underlined_where_they_are() {
    let text = machine(&format!(
        "description: \"{}\"\nname: \"ü\u{1F600} x\"",
        "y".repeat(9000)
    ));
    assert_snapshot!(shown(&text));
}

#[test]
fn explanations() {
    use bailiwick::document::explain::explain;
    assert_snapshot!(explain("VirtualMachine.disks.cache").unwrap());
    assert_snapshot!(explain("vm.spec.disks.scsi0.limits").unwrap());
    assert_snapshot!(explain("Pool").unwrap());
    assert_snapshot!(explain("Pool.spec").unwrap());
    assert_snapshot!(explain("Container.memory").unwrap());
    let errors = [
        "VirtualMachine.dsks",
        "Contaner",
        "Pool.comment.x",
        "VirtualMachine.disks.scsi0.cach",
        "",
    ]
    .map(|path| explain(path).unwrap_err().to_string());
    assert_snapshot!(errors.join("\n"));
}

#[test]
fn hostile_texts_take_no_time() {
    let begun = std::time::Instant::now();
    let key = "k".repeat(1 << 20);
    for text in [
        "a\n---\n".repeat(60_000),
        format!("kind: Pool\n{key}: 1\n"),
        format!(
            "kind: Pool\nspec:\n{}",
            (0..30_000)
                .map(|i| format!("  x{i}: 1\n"))
                .collect::<String>()
        ),
        "[[[[".repeat(1 << 17),
        format!(
            "kind: VirtualMachine\nspec: {{tags: [{}]}}",
            "a, ".repeat(1 << 17)
        ),
        "- ".repeat(1 << 17),
        "? ".repeat(1 << 17),
        "x".repeat(9 << 20),
    ] {
        assert!(!shown(&text).is_empty());
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn what_a_backup_job_cannot_be() {
    use bailiwick::document::explain::explain;
    let spec = [
        "  id: x",
        "  schedule: whenever!",
        "  guests: [104]",
        "  pool: prod",
        "  all: true",
        "  exclude: [301]",
        "  storage: null",
        "  compress: 1",
        "  pruneBackups: {keepAll: true, keepLast: 3}",
        "  script: /root/x.sh",
        "  starttime: '02:00'",
    ];
    let head =
        "apiVersion: bailiwick.dev/v1alpha1\nkind: BackupJob\nmetadata: {name: nightly}\nspec:\n";
    assert_snapshot!(shown(&format!("{head}{}\n", spec.join("\n"))));
    let together = spec.iter().filter(|line| {
        let alone = ["id:", "schedule:", "compress:", "script:", "starttime:"];
        !alone
            .iter()
            .any(|field| line.trim_start().starts_with(field))
    });
    let together: Vec<&str> = together.copied().collect();
    assert_snapshot!(shown(&format!("{head}{}\n", together.join("\n"))));
    let twice = format!("{head}  id: other\n---\n{head}  id: other\n");
    assert_snapshot!(shown(&twice.replacen("name: nightly", "name: x", 1)));
    assert_snapshot!(explain("BackupJob.spec").unwrap());
}
