//! FW02: who reaches a guest no longer, and who does now, when a plan changes its interfaces while the datacenter's firewall is on.

use std::sync::Arc;

use super::fixture::*;
use crate::health::Category;
use crate::plan::{Impact, Item, Plan};
use crate::world::firewall::{NodeAddress, NodeScope, Rule, Scope};

fn section(fields: &[(&str, &str)]) -> crate::world::Section {
    let fields = fields.iter();
    fields
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn rule(fields: &[(&str, &str)]) -> Rule {
    Rule {
        fields: section(fields),
        ..Rule::default()
    }
}

/// A cluster whose firewall is on; machine 104 lets in 10.20.0.0/16 to PostgreSQL and nobody else.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let firewalls = &mut lab.world.firewalls;
    firewalls.cluster = Ok(Arc::new(Scope {
        options: section(&[("enable", "1")]),
        ..Scope::default()
    }));
    for (name, node) in &mut lab.world.nodes {
        let ip = "10.0.0.11".to_owned();
        let cidr = format!("{ip}/24");
        Arc::make_mut(node).ip = Some(ip);
        let interface = "vmbr0".to_owned();
        let scope = NodeScope {
            firewall: Ok(Arc::default()),
            addresses: Ok(vec![NodeAddress { interface, cidr }]),
        };
        firewalls.nodes.insert(name.clone(), Arc::new(scope));
    }
    let guest = Scope {
        options: section(&[("enable", "1")]),
        rules: vec![rule(&[
            ("type", "in"),
            ("action", "ACCEPT"),
            ("source", "10.20.0.0/16"),
            ("proto", "tcp"),
            ("dport", "5432"),
            ("enable", "1"),
        ])],
        ..Scope::default()
    };
    firewalls.guests.insert(vmid(104), Ok(Arc::new(guest)));
    lab.edit(104, |guest| {
        let nic = "virtio=BC:24:11:00:01:04,bridge=vmbr0,firewall=1";
        guest.config.current.insert("net0".into(), nic.into());
    });
    lab
}

/// The document of the machine with a setting.
fn with(key: &str, value: &str) -> Vec<Item> {
    vec![doc(set(vm(104), key, value))]
}

fn told(plan: &Plan, category: Category) -> Vec<&Impact> {
    let impacts = plan.impacts.iter();
    impacts
        .filter(|impact| impact.entity == "vm/104" && impact.category == category)
        .filter(|impact| impact.rule == "FW02")
        .collect()
}

#[test]
fn fw02_fires() {
    // Its interface is no longer filtered: the whole internet reaches everything.
    let lab = lab();
    let open = lab.plan(with("net0", "virtio,bridge=vmbr0,firewall=0"));
    let exposed = told(&open, Category::Exposed);
    let [exposed] = exposed.as_slice() else {
        panic!("{:#?}", open.impacts)
    };
    for port in ["SSH (22)", "PostgreSQL (5432)"] {
        let named = exposed.notes.iter().any(|note| note.contains(port));
        assert!(named, "{port}: {:?}", exposed.notes);
    }
    // Exactly what was not open before.
    for sentence in [
        "the internet (IPv4) but 10.20.0.0/16 can now open vm/104:5432",
        "the internet (IPv4) can now open vm/104:0-5431,5433-65535",
    ] {
        let said = exposed.causes.iter().any(|cause| cause == sentence);
        assert!(said, "{sentence}: {:?}", exposed.causes);
    }
    assert_eq!(told(&open, Category::Unreachable), Vec::<&Impact>::new());
    // The other way round, those who are not let in are left out, and those who are stay.
    let mut unfiltered = lab;
    unfiltered.edit(104, |guest| {
        let nic = "virtio=BC:24:11:00:01:04,bridge=vmbr0";
        guest.config.current.insert("net0".into(), nic.into());
    });
    let shut = unfiltered.plan(with("net0", "virtio,bridge=vmbr0,firewall=1"));
    let unreachable = told(&shut, Category::Unreachable);
    let [unreachable] = unreachable.as_slice() else {
        panic!("{:#?}", shut.impacts)
    };
    let sentence = "the internet (IPv4) but 10.20.0.0/16 can no longer open vm/104:5432";
    let said = unreachable.causes.iter().any(|cause| cause == sentence);
    assert!(said, "{:?}", unreachable.causes);
    assert_eq!(told(&shut, Category::Exposed), Vec::<&Impact>::new());
}

#[test]
fn fw02_silent() {
    let about_reach = |plan: &Plan| {
        let impacts = plan.impacts.iter();
        impacts
            .filter(|impact| impact.rule.starts_with("FW"))
            .count()
    };
    // What no firewall looks at changes nobody's reach.
    let lab = lab();
    for (key, value) in [
        ("cores", "3"),
        ("description", "same"),
        ("net0", "virtio,bridge=vmbr1,firewall=1"),
    ] {
        let plan = lab.plan(with(key, value));
        assert_eq!(plan.steps.len(), 1, "{key}");
        assert_eq!(about_reach(&plan), 0, "{key} {:#?}", plan.impacts);
    }
    // While the datacenter's firewall is off, no other has an effect.
    let mut off = lab;
    off.world.firewalls.cluster = Ok(Arc::default());
    let plan = off.plan(with("net0", "virtio,bridge=vmbr0,firewall=0"));
    assert_eq!(about_reach(&plan), 0, "{:#?}", plan.impacts);
}

#[test]
fn what_was_not_read_is_unknown_and_not_silent() {
    let mut lab = lab();
    let why = || "403 Permission check failed (/, Sys.Audit)".to_owned();
    lab.world.firewalls.cluster = Err(why());
    let plan = lab.plan(with("net0", "virtio,bridge=vmbr0,firewall=0"));
    assert!(
        !told(&plan, Category::Unknown).is_empty(),
        "{:#?}",
        plan.impacts
    );
    let unknown = |what: &str| plan.unknowns.iter().any(|unknown| unknown.what == what);
    assert!(unknown("what happens to vm/104"), "{:?}", plan.unknowns);
}

/// With nftables a plan is told as exactly. But a node that does not take its rules keeps old ones: unknown before and unknown after is no
/// difference, and must not be silent for that.
#[test]
fn what_nftables_decides_is_told_and_what_it_does_not_take_is_unknown() {
    let mut lab = lab();
    let mut host = Scope {
        options: section(&[("nftables", "1")]),
        ..Scope::default()
    };
    for scope in lab.world.firewalls.nodes.values_mut() {
        Arc::make_mut(scope).firewall = Ok(Arc::new(host.clone()));
    }
    let plan = lab.plan(with("net0", "virtio,bridge=vmbr0,firewall=0"));
    let exposed = told(&plan, Category::Exposed);
    assert_eq!(exposed.len(), 1, "{:#?}", plan.impacts);
    assert_eq!(
        told(&plan, Category::Unknown).len(),
        0,
        "{:#?}",
        plan.impacts
    );
    host.rules = vec![rule(&[
        ("type", "in"),
        ("action", "ACCEPT"),
        ("comment", "why # so"),
    ])];
    for scope in lab.world.firewalls.nodes.values_mut() {
        Arc::make_mut(scope).firewall = Ok(Arc::new(host.clone()));
    }
    let plan = lab.plan(with("net0", "virtio,bridge=vmbr0,firewall=0"));
    let unknown = told(&plan, Category::Unknown);
    assert!(
        unknown[0]
            .causes
            .concat()
            .contains("keeps the rules it had: rule 0 of the node: its comment contains #"),
        "{:#?}",
        plan.impacts
    );
}
