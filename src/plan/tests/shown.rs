//! Plans as people and programs see them.

use super::fixture::*;
use crate::ids::GuestKind;
use crate::plan::Plan;
use crate::plan::render::{Style, json, schema, text};
use crate::world::Part;

fn storage_gone(lab: &mut Lab) -> Plan {
    lab.own("storage/local-zfs", "Storage/local-zfs");
    lab.plan(vec![removed("Storage/local-zfs", true)])
}

#[test]
fn a_deleted_storage_as_text() {
    let plan = storage_gone(&mut Lab::new());
    let approval = [format!(
        "nothing changes without an approval of this plan: {}",
        plan.hash
    )];
    let style = Style {
        ledger: Some(12),
        approval: &approval,
        ..Style::default()
    };
    insta::assert_snapshot!(text(&plan, &style));
}

#[test]
fn a_plan_of_many_kinds_as_text() {
    let mut lab = Lab::new();
    lab.unread(Part::GuestConfig(vmid(105)));
    lab.own("storage/local-zfs", "Storage/local-zfs");
    let mut web = guest(GuestKind::Qemu, None, "web-7");
    web.node = Some(node("pve1"));
    let nic = set(vm(102), "net0", "virtio,bridge=vmbr1,firewall=1");
    let plan = lab.plan(vec![
        doc(with_disk(web, "scsi0", sized("ceph-vm", 32))),
        doc(set(
            with_disk(nic, "scsi0", sized("ceph-vm", 40)),
            "memory",
            "6144",
        )),
        removed("Storage/local-zfs", true),
    ]);
    insta::assert_snapshot!(text(&plan, &Style::default()));
}

#[test]
fn a_narrow_page_puts_effects_below() {
    let plan = Lab::new().plan(vec![doc(set(vm(102), "memory", "6144"))]);
    let page = text(
        &plan,
        &Style {
            width: 40,
            ..Style::default()
        },
    );
    assert!(
        page.contains("  vm/102  memory  4096 → 6144\n      at the next stop and start\n"),
        "{page}"
    );
    let page = text(&plan, &Style::default());
    assert!(
        page.contains("  vm/102  memory  4096 → 6144  at the next stop and start\n"),
        "{page}"
    );
}

#[test]
fn colour_adds_only_escapes() {
    let plan = storage_gone(&mut Lab::new());
    let bare = text(&plan, &Style::default());
    let coloured = text(
        &plan,
        &Style {
            color: true,
            ..Style::default()
        },
    );
    assert!(!bare.contains('\u{1b}'));
    assert!(coloured.contains('\u{1b}'));
    let stripped = regex::Regex::new("\u{1b}\\[[0-9;]*m")
        .unwrap()
        .replace_all(&coloured, "")
        .into_owned();
    let lines = |text: &str| {
        text.lines()
            .map(|l| l.trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&stripped), lines(&bare));
}

#[test]
fn names_from_the_cluster_cannot_play_tricks() {
    let mut lab = Lab::new();
    lab.edit(104, |g| g.name = Some("a\u{1b}[2Jb\u{202e}c".to_owned()));
    lab.edit(102, |g| {
        g.config
            .current
            .insert("description".to_owned(), "x\n  vm/1  fine".to_owned());
    });
    lab.own("storage/local-zfs", "Storage/local-zfs");
    let plan = lab.plan(vec![
        removed("Storage/local-zfs", true),
        doc(set(vm(102), "description", "y")),
    ]);
    let page = text(&plan, &Style::default());
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page}");
    assert!(page.contains("a\\u{1b}[2Jb\\u{202e}c"));
    assert!(!page.contains("\n  vm/1  fine"));
}

/// Holds a value against the few words of JSON Schema that the plan's schema uses.
pub(super) fn holds(
    schema: &serde_json::Value,
    root: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
) {
    use serde_json::Value;
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return holds(&root["$defs"][name], root, value, at);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let kind = &value["kind"];
        let option = options
            .iter()
            .find(|o| o["properties"]["kind"]["const"] == *kind)
            .unwrap();
        return holds(option, root, value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(
        types.is_empty() || types.contains(&is),
        "{at} is {is}, not {types:?}"
    );
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        assert!(
            regex::Regex::new(pattern).unwrap().is_match(text),
            "{at}: {text}"
        );
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            value.get(name.as_str().unwrap()).is_some(),
            "{at} lacks {name}"
        );
    }
    if let Value::Object(fields) = value {
        for (name, field) in fields {
            let inner = &schema["properties"][name];
            assert!(
                !inner.is_null() || schema["additionalProperties"] != false,
                "{at}.{name} is not in the schema"
            );
            if inner.is_object() {
                holds(inner, root, field, &format!("{at}.{name}"));
            }
        }
    }
    if let (Value::Array(values), items) = (value, &schema["items"])
        && items.is_object()
    {
        for (index, value) in values.iter().enumerate() {
            holds(items, root, value, &format!("{at}[{index}]"));
        }
    }
}

#[test]
fn real_plans_hold_against_the_schema() {
    let schema = schema();
    let mut lab = Lab::new();
    lab.unread(Part::GuestConfig(vmid(105)));
    lab.ha(104, "started");
    let gone = storage_gone(&mut lab);
    lab.own("vm/104", "VirtualMachine/104");
    let more = lab.plan(vec![
        removed("VirtualMachine/104", true),
        doc(with_disk(
            set(vm(102), "memory", "6144"),
            "scsi0",
            sized("nas", 40),
        )),
        pool_doc("extra", Some(&[102])),
    ]);
    for plan in [gone, more] {
        let value = json(&plan, serde_json::json!({"needs": 1}), Some(7));
        holds(&schema, &schema, &value, "plan");
        assert_eq!(value["ledger"], 7);
        assert!(serde_json::from_value::<Plan>(value).is_ok());
    }
}
