//! Single cases of import: names, texts, what is taken out again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;

use super::names::{Unnamed, names};
use super::*;
use crate::document::{load, tree, yaml};

fn section(lines: &[(&str, &str)]) -> Section {
    lines
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn machine(lines: &[(&str, &str)]) -> Imported {
    let live = LiveGuest {
        kind: GuestKind::Qemu,
        vmid: Vmid::new(104).unwrap(),
        node: None,
        pool: None,
        power: None,
        section: &section(lines),
        disks: BTreeMap::new(),
    };
    guest("web".to_owned(), &live).unwrap()
}

#[test]
fn a_field_that_the_reader_refuses_is_taken_out_and_told() {
    let imported = machine(&[
        ("cores", "0"),
        ("memory", "8"),
        ("usb0", "usb3=1"),
        ("vcpus", "2"),
        ("tags", "a;-b"),
    ]);
    insta::assert_snapshot!(imported.text(), @"
    # vm/104, as it was imported.
    # Not in this document, and so not managed:
    #   cores: `spec.cpu.cores` is 0, expected a whole number from 1 to 4294967295
    #   memory: 8 MiB of memory are too little, expected at least 16Mi
    #   tags: it is `-b`, and a document takes a tag: letters, digits, `_`, and after the first character `-`, `+`, `.`
    #   usb0.usb3: `usb0` needs exactly one of `mapping` and `spice: true`
    apiVersion: bailiwick.dev/v1alpha1
    kind: VirtualMachine
    metadata:
      name: web
    spec:
      vmid: 104
      cpu:
        vcpus: 2
    ");
}

#[test]
fn what_is_withdrawn_is_gone_and_told() {
    let mut imported = machine(&[("cores", "2"), ("net0", "virtio=BC:24:11:00:00:01,tag=7")]);
    assert!(imported.withdraw("net0", "for a test"));
    assert!(!imported.withdraw("net0", "again"));
    let told: Vec<String> = imported.left_out().map(|left| left.setting).collect();
    assert_eq!(told, ["net0.macaddr", "net0.model", "net0.tag"]);
    assert!(!imported.text().contains("networks"), "{}", imported.text());
}

#[test]
fn what_came_from_the_cluster_cannot_break_out_of_a_comment() {
    let mut imported = machine(&[]);
    imported.leave_out("x", "one\nkind: Pool\r\u{2028}spec: {}\u{202e}");
    let text = imported.text();
    let documents = load(&[("a.yaml", &text)]).unwrap();
    assert_eq!(documents.len(), 1);
    assert!(
        text.lines()
            .take_while(|line| line.starts_with('#'))
            .count()
            >= 3
    );
    assert!(!text.contains(['\u{202e}', '\u{2028}', '\r']));
}

#[test]
fn names_are_valid_unique_and_stable() {
    let object = |kind, id: &str, name: Option<&str>, managed_by: Option<&str>| Unnamed {
        kind,
        id: id.to_owned(),
        name: name.map(str::to_owned),
        managed_by: managed_by.map(str::to_owned),
    };
    use Kind::{Container, Pool, Storage, VirtualMachine};
    let objects = [
        object(VirtualMachine, "100", Some("web"), None),
        object(VirtualMachine, "101", Some("db"), None),
        object(VirtualMachine, "102", Some("db"), None),
        object(VirtualMachine, "103", Some("Db"), None),
        object(VirtualMachine, "104", None, None),
        object(VirtualMachine, "105", Some("vm-104"), None),
        object(VirtualMachine, "106", Some("stored"), None),
        object(VirtualMachine, "107", Some("whatever"), Some("front")),
        object(VirtualMachine, "108", Some("front"), None),
        object(Container, "200", Some("web"), None),
        object(Storage, "local_zfs", Some("local_zfs"), None),
        object(Storage, "local-zfs", Some("local-zfs"), None),
        object(Pool, "prod/web", Some("prod/web"), None),
        object(Pool, "prod-web", Some("prod-web"), None),
    ];
    let taken = BTreeSet::from([ObjectKey {
        kind: VirtualMachine,
        name: "stored".to_owned(),
    }]);
    assert_eq!(
        names(&objects, &taken),
        [
            "web",
            "vm-101",
            "vm-102",
            "vm-103",
            "vm-104",
            "vm-105",
            "vm-106",
            "front",
            "vm-108",
            "web",
            "local-zfs-2",
            "local-zfs",
            "prod-web-2",
            "prod-web"
        ]
    );
}

/// Texts with everything that means something in YAML.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "([a-c ]|: |#| #|- |\\? |\"|'|\\||>|&|\\*|!|%|,|\\[|\\]|\\{|\\}|\n|\t|@|`|---|\\.\\.\\.|null|~|yes|0x1|1e3|007){0,6}",
        any::<String>().prop_map(|text| text
            .chars()
            .filter(|c| !crate::document::error::is_deceptive(*c))
            .take(12)
            .collect()),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::String),
        any::<i64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Value::Bool),
        Just(json!(2.5)),
        Just(Value::Null),
    ];
    let list = prop::collection::vec(text().prop_map(Value::String), 0..4).prop_map(Value::Array);
    let single = prop_oneof![4 => leaf, 1 => list];
    single.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map("[a-z0-9-]{1,6}", inner, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_read_as_it_was_written(value in prop::collection::btree_map("[a-z]{1,3}|yes|no|[0-9]{1,2}", json(), 1..5)) {
        let value: Map<String, Value> = value.into_iter().collect();
        let text = write::plain(&value);
        let stream = yaml::read(&text);
        prop_assert!(stream.problems.is_empty(), "{:?}\n{}", stream.problems, text);
        prop_assert_eq!(stream.trees.len(), 1, "{}", text);
        prop_assert_eq!(tree::to_json(&stream.trees[0].root), Value::Object(value), "{}", text);
    }

    #[test]
    fn a_pool_comes_back_whatever_its_comment(comment in any::<String>()) {
        let id = PoolId::new("prod").unwrap();
        let live = LivePool { id: &id, comment: Some(&comment), storages: &BTreeSet::new() };
        let imported = pool("prod".to_owned(), &live).unwrap();
        let text = imported.text();
        let documents = load(&[("a.yaml", &text)]).unwrap();
        let crate::document::desired::Desired::Pool(desired) = documents[0].desired() else { panic!() };
        let told = imported.left_out().count() == 1;
        let asked = desired.comment == Some(crate::document::desired::Wish::Set(comment.trim_end().to_owned()));
        prop_assert!(asked || told || comment.trim_end().is_empty(), "{}", text);
    }
}
