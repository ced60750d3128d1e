#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;
use proptest::prelude::*;

fn q(key: &str, text: &str) -> PropertyMap {
    PropertyMap::parse(Domain::Qemu, key, text).unwrap()
}

#[test]
fn a_network_card_says_model_and_address_in_one() {
    let map = q(
        "net0",
        "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7,firewall=yes",
    );
    assert_eq!(map.get("model"), Some("virtio"));
    assert_eq!(map.get("macaddr"), Some("BC:24:11:00:00:01"));
    assert_eq!(
        map.to_string(),
        "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=7"
    );
    assert_eq!(
        q("net0", "model=virtio,macaddr=bc:24:11:00:00:01").to_string(),
        "virtio=bc:24:11:00:00:01"
    );
    assert_eq!(
        q("net0", "virtio,bridge=vmbr0").to_string(),
        "virtio,bridge=vmbr0"
    );
    // `queues` and `virtio` are other options of a container's card.
    let ct = PropertyMap::parse(
        Domain::Lxc,
        "net0",
        "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:00:01,ip=dhcp,type=veth",
    )
    .unwrap();
    assert_eq!(
        ct.to_string(),
        "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:00:01,ip=dhcp,type=veth"
    );
}

#[test]
fn drives_begin_with_their_volume() {
    let map = q(
        "scsi0",
        "discard=on,volume=local:vm-1-disk-0,size=32G,iothread=1",
    );
    assert_eq!(map.get("file"), Some("local:vm-1-disk-0"));
    assert_eq!(map.get("volume"), Some("local:vm-1-disk-0"));
    assert_eq!(
        map.to_string(),
        "local:vm-1-disk-0,discard=on,iothread=1,size=32G"
    );
    assert_eq!(
        q("ide2", "none,media=cdrom").to_string(),
        "none,media=cdrom"
    );
}

#[test]
fn meaning_is_compared_not_text() {
    let same = |key, a, b| assert!(equivalent(Domain::Qemu, key, a, b), "{key}: {a} / {b}");
    let other = |key, a, b| assert!(!equivalent(Domain::Qemu, key, a, b), "{key}: {a} / {b}");
    same(
        "net0",
        "virtio=BC:24:11:00:00:0A,bridge=vmbr0,firewall=0",
        "bridge=vmbr0,virtio=bc:24:11:00:00:0a",
    );
    other(
        "net0",
        "virtio=BC:24:11:00:00:0A,bridge=vmbr0",
        "virtio=BC:24:11:00:00:0A,bridge=vmbr1",
    );
    other(
        "net0",
        "virtio,bridge=vmbr0",
        "virtio=BC:24:11:00:00:0A,bridge=vmbr0",
    );
    same("scsi0", "l:v,size=1536M", "file=l:v,backup=1,size=1.5G");
    same("scsi0", "l:v,size=1536M", "l:v");
    other("scsi0", "l:v,size=1G", "l:v,size=2G");
    other("scsi0", "l:v,backup=0", "l:v");
    same(
        "agent",
        "1,fstrim_cloned_disks=0",
        "enabled=yes,type=virtio",
    );
    same("memory", "0900", "current=900");
    same("cores", "04", "4");
    same("onboot", "yes", "1");
    other("onboot", "0", "1");
    same("tags", "b;a", "a, b a");
    same("tags", "B;a;b", "a;b");
    same("boot", "order=scsi0;net0", "order=scsi0 net0");
    other("boot", "order=scsi0;net0", "order=net0;scsi0");
    same("description", "hello\n\n", "hello");
    same("smbios1", "uuid=AA-BB", "uuid=aa-bb");
    same(
        "cpu",
        "host,flags=+aes;-pcid",
        "cputype=host,flags=-pcid;+aes",
    );
    same("nameserver", "1.1.1.1 9.9.9.9", "1.1.1.1,9.9.9.9");
    same("cpulimit", "1.50", "1.5");
    assert!(equivalent(
        Domain::Storage,
        "content",
        "images,rootdir",
        "rootdir images"
    ));
    assert!(equivalent(
        Domain::Storage,
        "prune-backups",
        "keep-last=3,keep-daily=07",
        "keep-daily=7,keep-last=3"
    ));
    assert!(equivalent(Domain::Storage, "nodes", "b,a", "a,b"));
}

#[test]
fn faults_are_named() {
    let fault = |key, text| {
        PropertyMap::parse(Domain::Qemu, key, text)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(fault("net0", "virtio,e1000"), @"`net0`: `e1000` stands there without a name; expected `option=value`");
    insta::assert_snapshot!(fault("net0", "virtio,model=e1000"), @"`net0`: option `model` is given twice");
    insta::assert_snapshot!(fault("scsi0", "l:v,file=l:w"), @"`scsi0`: option `file` is given twice");
    insta::assert_snapshot!(fault("scsi0", "l:v,ssd=maybe"), @"`scsi0`: option `ssd` is `maybe`; expected 1 or 0 (or on, yes, true, off, no, false)");
    insta::assert_snapshot!(fault("scsi0", "l:v,cache="), @"`scsi0`: option `cache` has no value");
    insta::assert_snapshot!(fault("cores", "4"), @"`cores` is not a key whose value has options");
    insta::assert_snapshot!(q("net0", "virtio").set("bridge", "a,b").unwrap_err(), @"`net0`: the value of option `bridge` must not be empty or contain a comma or a line break");
}

#[test]
fn options_of_a_newer_version_are_kept() {
    let map = q("scsi0", "l:v,quantum=1,cache=none");
    assert_eq!(map.unknown().collect::<Vec<_>>(), ["quantum"]);
    assert_eq!(map.to_string(), "l:v,cache=none,quantum=1");
}

/// Keys with formats, for the laws.
const KEYS: &[(Domain, &str)] = &[
    (Domain::Qemu, "net0"),
    (Domain::Qemu, "scsi3"),
    (Domain::Qemu, "efidisk0"),
    (Domain::Qemu, "agent"),
    (Domain::Qemu, "cpu"),
    (Domain::Qemu, "boot"),
    (Domain::Qemu, "smbios1"),
    (Domain::Lxc, "net1"),
    (Domain::Lxc, "rootfs"),
    (Domain::Lxc, "mp0"),
    (Domain::Lxc, "features"),
    (Domain::Storage, "prune-backups"),
];

fn any_map() -> impl Strategy<Value = PropertyMap> {
    (
        0..KEYS.len(),
        proptest::collection::vec(
            (
                any::<proptest::sample::Index>(),
                "[A-Za-z0-9:;._/+ -]{1,8}",
                any::<bool>(),
            ),
            0..8,
        ),
    )
        .prop_map(|(key, picks)| {
            let (domain, key) = KEYS[key];
            let mut map = PropertyMap::empty(domain, key).unwrap();
            let fields: Vec<&Field> = map
                .format
                .fields
                .iter()
                .flat_map(|group| group.iter())
                .collect();
            for (index, text, flag) in picks {
                let field = fields[index.index(fields.len())];
                let value = match field.kind {
                    Kind::Boolean => if flag { "1" } else { "0" }.to_owned(),
                    _ if field.name == "model" && flag => "virtio".to_owned(),
                    _ => text.trim().to_owned(),
                };
                let _ = map.set(field.name, &value);
            }
            map
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn print_then_parse_is_identity(map in any_map()) {
        let (domain, key) = *KEYS.iter().find(|(d, k)| std::ptr::eq(tables::format_of(*d, k).unwrap(), map.format)).unwrap();
        let text = map.to_string();
        let again = PropertyMap::parse(domain, key, &text).unwrap();
        prop_assert_eq!(&again, &map, "{}", text);
        prop_assert_eq!(again.to_string(), text.clone());
        prop_assert!(equivalent(domain, key, &text, &text));
    }

    #[test]
    fn equivalence_is_reflexive_and_symmetric(a in "[a-zA-Z0-9=,:; ]{0,24}", b in "[a-zA-Z0-9=,:; ]{0,24}") {
        for (domain, key) in KEYS.iter().copied().chain([(Domain::Qemu, "tags"), (Domain::Qemu, "cores"), (Domain::Lxc, "onboot")]) {
            prop_assert!(equivalent(domain, key, &a, &a));
            prop_assert_eq!(equivalent(domain, key, &a, &b), equivalent(domain, key, &b, &a));
        }
    }

    #[test]
    fn defaults_change_nothing(map in any_map()) {
        let mut full = map.clone();
        for field in map.format.fields.iter().flat_map(|g| g.iter()) {
            if let Some(default) = field.default && map.get(field.name).is_none() {
                full.set(field.name, default).unwrap();
            }
        }
        prop_assert!(map.means_the_same_as(&full));
    }
}
