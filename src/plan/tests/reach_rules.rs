//! FW01 to FW09: what a plan that changes firewalls does to everybody's reach, over two worlds and those between.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::health::Category;
use crate::plan::impacts::reached;
use crate::plan::{Duration, Impact, StepId};
use crate::world::World;
use crate::world::firewall::{
    Alias, Group, IpSet, NodeAddress, NodeScope, Rule, Scope, SetEntry, VnetScope,
};

fn section(text: &str) -> crate::world::Section {
    let pairs = text.split(", ").filter_map(|pair| pair.split_once(' '));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn rule(text: &str) -> Rule {
    Rule {
        fields: section(&format!("enable 1, {text}")),
        ..Rule::default()
    }
}

fn accept(source: &str, port: u16) -> Rule {
    rule(&format!(
        "type in, action ACCEPT, source {source}, proto tcp, dport {port}"
    ))
}

/// Two nodes in 10.0.0.0/24; machine 104, whose one interface is filtered, lets in 10.20.0.0/16 to PostgreSQL and `lan` to SSH.
pub(super) fn lab() -> World {
    let mut lab = Lab::new();
    lab.edit(104, |guest| {
        let nic = "virtio=BC:24:11:00:01:04,bridge=vmbr0,firewall=1";
        guest.config.current.insert("net0".into(), nic.into());
    });
    let mut world = lab.world;
    let firewalls = &mut world.firewalls;
    let lan = Alias {
        cidr: "10.1.0.0/16".to_owned(),
        comment: None,
    };
    firewalls.cluster = Ok(Arc::new(Scope {
        options: section("enable 1, policy_in DROP"),
        aliases: [("lan".to_owned(), lan)].into(),
        ..Scope::default()
    }));
    for ((name, node), at) in world.nodes.iter_mut().zip(11..) {
        let ip = format!("10.0.0.{at}");
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
        options: section("enable 1"),
        rules: vec![accept("10.20.0.0/16", 5432), accept("lan", 22)],
        ..Scope::default()
    };
    let empty = Ok(Arc::default());
    for vmid in world.guests.keys() {
        firewalls.guests.insert(*vmid, empty.clone());
    }
    firewalls.guests.insert(vmid(104), Ok(Arc::new(guest)));
    world
}

fn cluster(world: &World, change: impl FnOnce(&mut Scope)) -> World {
    let mut world = world.clone();
    change(Arc::make_mut(world.firewalls.cluster.as_mut().unwrap()));
    world
}

fn guest(world: &World, number: u32, change: impl FnOnce(&mut Scope)) -> World {
    let mut world = world.clone();
    let scope = world.firewalls.guests.get_mut(&vmid(number)).unwrap();
    change(Arc::make_mut(scope.as_mut().unwrap()));
    world
}

fn host(world: &World, name: &str, change: impl FnOnce(&mut Scope)) -> World {
    let mut world = world.clone();
    let node = world.firewalls.nodes.get_mut(&node(name)).unwrap();
    let scope = &mut Arc::make_mut(node).firewall;
    change(Arc::make_mut(scope.as_mut().unwrap()));
    world
}

/// The impacts of firewalls of a plan through these worlds, a step from each to the next.
fn through(worlds: &[&World]) -> Vec<Impact> {
    reached(worlds)
}

fn words(impacts: &[Impact]) -> Vec<String> {
    let impacts = impacts.iter();
    impacts
        .map(|impact| {
            let causes = impact.causes.join("; ");
            format!(
                "{} {} {}: {causes}",
                impact.entity, impact.category, impact.rule
            )
        })
        .collect()
}

fn of<'a>(impacts: &'a [Impact], entity: &str, category: Category) -> &'a Impact {
    let found = impacts
        .iter()
        .find(|impact| impact.entity == entity && impact.category == category);
    found.unwrap_or_else(|| panic!("{entity} {category}: {:#?}", words(impacts)))
}

fn management(cidr: &str) -> IpSet {
    IpSet {
        entries: vec![SetEntry {
            cidr: cidr.to_owned(),
            ..SetEntry::default()
        }],
        comment: None,
    }
}

const NODES: [&str; 2] = ["node/pve1", "node/pve2"];

#[test]
fn fw01_fires() {
    // A rule of the datacenter comes before what lets the nodes manage each other.
    let start = lab();
    let end = cluster(&start, |scope| {
        scope.rules = vec![rule("type in, action DROP, proto tcp, dport 8006")];
    });
    let impacts = through(&[&start, &end]);
    for name in NODES {
        let lockout = of(&impacts, name, Category::Lockout);
        assert_eq!(
            (lockout.rule.as_str(), lockout.duration),
            ("FW01", Duration::Permanent)
        );
        assert!(
            lockout.causes.concat().contains("can no longer open"),
            "{lockout:#?}"
        );
        assert_eq!(lockout.steps, BTreeSet::from([StepId(1)]));
    }
    // Of one node alone.
    let end = host(&start, "pve2", |scope| {
        scope.rules = vec![rule(
            "type in, action DROP, source 10.0.0.200, proto tcp, dport 22",
        )];
    });
    let impacts = through(&[&start, &end]);
    let told = words(&impacts);
    assert_eq!(
        told,
        ["node/pve2 conditional-lockout FW01: 10.0.0.200 can no longer open node pve2:22"]
    );
}

#[test]
fn fw01_silent() {
    let start = lab();
    // A rule that says what is so anyway; a change of words; rules of a node whose own firewall is off.
    let end = cluster(&start, |scope| {
        scope.rules = vec![
            accept("10.0.0.0/24", 8006),
            rule("type in, action DROP, enable 0"),
        ];
    });
    assert_eq!(words(&through(&[&start, &end])), [""; 0]);
    let off = host(&start, "pve2", |scope| scope.options = section("enable 0"));
    let end = host(&off, "pve2", |scope| {
        scope.rules = vec![rule("type in, action DROP")];
    });
    assert_eq!(words(&through(&[&off, &end])), [""; 0]);
    // While the datacenter's firewall is off, no other has an effect.
    let off = cluster(&start, |scope| scope.options = section("enable 0"));
    let end = cluster(&off, |scope| {
        scope.rules = vec![rule("type in, action DROP")];
    });
    assert_eq!(words(&through(&[&off, &end])), [""; 0]);
}

#[test]
fn fw02_tells_of_guests_whose_rules_a_step_changes() {
    let start = lab();
    let end = guest(&start, 104, |scope| drop(scope.rules.remove(0)));
    assert_eq!(
        words(&through(&[&start, &end])),
        ["vm/104 unreachable FW02: 10.20.0.0/16 can no longer open vm/104:5432"]
    );
    // And of those that a name of the datacenter means something else to.
    let end = cluster(&start, |scope| {
        scope.aliases.get_mut("lan").unwrap().cidr = "10.1.2.0/24".to_owned();
    });
    let impacts = through(&[&start, &end]);
    let closed = of(&impacts, "vm/104", Category::Unreachable);
    let cause = &closed.causes[0];
    assert!(
        cause.starts_with("10.1.0.0/") && cause.ends_with("can no longer open vm/104:22"),
        "{cause}"
    );
    assert_eq!(impacts.len(), 1, "{:#?}", words(&impacts));
}

#[test]
fn fw03_fires() {
    let on = lab();
    let off = guest(&on, 104, |scope| scope.options = section("enable 0"));
    let impacts = through(&[&off, &on]);
    let closed = of(&impacts, "vm/104", Category::Unreachable);
    let noted = |impact: &Impact| {
        impact
            .notes
            .iter()
            .any(|note| note.contains("comes on") && note.contains("stay open"))
    };
    assert!(noted(closed), "{closed:#?}");
    // The whole datacenter's: its nodes, too.
    let off = cluster(&on, |scope| scope.options = section("enable 0"));
    let impacts = through(&[&off, &on]);
    assert!(noted(of(&impacts, "vm/104", Category::Unreachable)));
    for name in NODES {
        assert!(
            noted(of(&impacts, name, Category::ConditionalLockout)),
            "{name}"
        );
    }
    // A node's, which is on unless it says no.
    let off = host(&on, "pve2", |scope| scope.options = section("enable 0"));
    let impacts = through(&[&off, &on]);
    assert!(noted(of(
        &impacts,
        "node/pve2",
        Category::ConditionalLockout
    )));
}

#[test]
fn fw03_silent() {
    let on = lab();
    let said = |impacts: &[Impact]| {
        let mut notes = impacts.iter().flat_map(|impact| &impact.notes);
        notes.any(|note| note.contains("comes on"))
    };
    // It was on, and goes off.
    let end = guest(&on, 104, |scope| drop(scope.rules.remove(0)));
    assert!(!said(&through(&[&on, &end])));
    let off = cluster(&on, |scope| scope.options = section("enable 0"));
    let impacts = through(&[&on, &off]);
    assert!(!said(&impacts) && !impacts.is_empty());
}

#[test]
fn fw04_fires() {
    // A new rule names what is not there: nobody is let in, and it says why.
    let start = lab();
    let end = guest(&start, 104, |scope| {
        scope.rules.push(accept("+friends", 80))
    });
    let impacts = through(&[&start, &end]);
    let broken = of(&impacts, "vm/104", Category::Dangling);
    assert_eq!(
        (broken.rule.as_str(), broken.causes.concat()),
        (
            "FW04",
            "rule 2 is left out: there is no set friends".to_owned()
        )
    );
    assert_eq!(impacts.len(), 1, "{:#?}", words(&impacts));
    // A rule that named something of the guest's own.
    let own = guest(&start, 104, |scope| {
        scope
            .ipsets
            .insert("friends".into(), management("10.9.0.0/16"));
        scope.rules.push(accept("+friends", 80));
    });
    let gone = guest(&own, 104, |scope| scope.ipsets.clear());
    let impacts = through(&[&own, &gone]);
    assert_eq!(of(&impacts, "vm/104", Category::Dangling).rule, "FW04");
    let closed = of(&impacts, "vm/104", Category::Unreachable);
    assert_eq!(closed.causes, ["10.9.0.0/16 can no longer open vm/104:80"]);
}

#[test]
fn fw04_silent() {
    let start = lab();
    let with = |enable: u8| {
        guest(&start, 104, |scope| {
            let mut rule = accept("+friends", 80);
            rule.fields.insert("enable".into(), enable.to_string());
            scope.rules.push(rule);
        })
    };
    // Off, it does nothing anyway.
    assert_eq!(words(&through(&[&start, &with(0)])), [""; 0]);
    // It was left out before.
    let end = guest(&with(1), 104, |scope| {
        scope.rules.push(accept("10.3.0.0/16", 81))
    });
    let impacts = through(&[&with(1), &end]);
    assert_eq!(
        words(&impacts),
        ["vm/104 exposed FW02: 10.3.0.0/16 can now open vm/104:81"]
    );
}

#[test]
fn fw05_fires() {
    let start = cluster(&lab(), |scope| {
        scope.ipsets.insert("admins".into(), management("lan"));
        scope.rules = vec![accept("+admins", 9000)];
        let rules = vec![accept("dc/lan", 443)];
        let web = Group {
            rules,
            comment: None,
        };
        scope.groups.insert("web".into(), web);
    });
    let start = guest(&start, 104, |scope| {
        scope.rules.push(rule("type group, action web"));
    });
    let start = host(&start, "pve2", |scope| {
        scope.rules.push(accept("lan", 9100))
    });
    // An alias: every rule and set of every scope that names it.
    let end = cluster(&start, |scope| scope.aliases.clear());
    let impacts = through(&[&start, &end]);
    let told = |impacts: &[Impact], entity: &str| {
        let dangling = of(impacts, entity, Category::Dangling);
        assert_eq!(dangling.rule, "FW05");
        dangling.causes.clone()
    };
    let by = |user: &str| format!("{user} names the alias lan, which is taken away");
    assert_eq!(
        told(&impacts, "controller"),
        [by("rule 0 of the security group web"), by("the set admins")]
    );
    assert_eq!(told(&impacts, "node/pve2"), [by("rule 0")]);
    assert_eq!(told(&impacts, "vm/104"), [by("rule 1")]);
    // What it does to reach is told as well.
    let closed = of(&impacts, "vm/104", Category::Unreachable)
        .causes
        .join("; ");
    assert!(closed.contains("vm/104:22,443"), "{closed}");
    // A set, and a group.
    let end = cluster(&start, |scope| scope.ipsets.clear());
    let impacts = through(&[&start, &end]);
    assert_eq!(
        told(&impacts, "controller"),
        ["the firewall of the datacenter: rule 0 names the set admins, which is taken away"]
    );
    let end = cluster(&start, |scope| scope.groups.clear());
    let impacts = through(&[&start, &end]);
    assert_eq!(
        told(&impacts, "vm/104"),
        ["rule 2 names the security group web, which is taken away"]
    );
}

#[test]
fn fw05_silent() {
    // What nothing names any more may go.
    let start = lab();
    let freed = guest(&start, 104, |scope| drop(scope.rules.remove(1)));
    let end = cluster(&freed, |scope| scope.aliases.clear());
    let impacts = through(&[&start, &freed, &end]);
    assert!(
        impacts
            .iter()
            .all(|impact| impact.category == Category::Unreachable),
        "{:#?}",
        words(&impacts)
    );
    // A guest's own alias of that name is meant, not the datacenter's.
    let own = guest(&start, 104, |scope| {
        let lan = Alias {
            cidr: "10.1.0.0/16".into(),
            comment: None,
        };
        scope.aliases.insert("lan".into(), lan);
    });
    let end = cluster(&own, |scope| scope.aliases.clear());
    assert_eq!(words(&through(&[&own, &end])), [""; 0]);
}

#[test]
fn fw06_fires() {
    // The same rules in another order.
    let start = guest(&lab(), 104, |scope| {
        let drop = rule("type in, action DROP, source 10.20.7.0/24");
        scope.rules.insert(0, drop);
    });
    let end = guest(&start, 104, |scope| scope.rules.swap(0, 1));
    assert_eq!(
        words(&through(&[&start, &end])),
        ["vm/104 exposed FW02: 10.20.7.0/24 can now open vm/104:5432"]
    );
}

#[test]
fn fw06_silent() {
    // An order that decides nothing.
    let start = lab();
    let end = guest(&start, 104, |scope| scope.rules.reverse());
    assert_eq!(words(&through(&[&start, &end])), [""; 0]);
}

#[test]
fn fw07_fires() {
    // From the network of the nodes to one address of it: nobody else manages any of them, the other nodes included.
    let start = lab();
    let end = cluster(&start, |scope| {
        let alone = Alias {
            cidr: "10.0.0.4/32".into(),
            comment: None,
        };
        scope.aliases.insert("local_network".into(), alone);
    });
    let impacts = through(&[&start, &end]);
    for name in NODES {
        let lockout = of(&impacts, name, Category::Lockout);
        assert_eq!(lockout.rule, "FW01");
        let said = |note: &String| note.contains("local_network");
        assert!(lockout.notes.iter().any(said), "{lockout:#?}");
    }
    // Whoever is taken out of the set can no longer manage any of them.
    let with = cluster(&start, |scope| {
        scope
            .ipsets
            .insert("management".into(), management("192.0.2.7"));
    });
    let impacts = through(&[&with, &start]);
    for name in NODES {
        let lockout = of(&impacts, name, Category::ConditionalLockout);
        assert!(
            lockout
                .causes
                .concat()
                .starts_with("192.0.2.7 can no longer open"),
            "{lockout:#?}"
        );
        assert!(lockout.notes.iter().any(|note| note.contains("management")));
    }
}

#[test]
fn fw07_silent() {
    // The alias says what is so without it.
    let start = lab();
    let end = cluster(&start, |scope| {
        let same = Alias {
            cidr: "10.0.0.0/24".into(),
            comment: None,
        };
        scope.aliases.insert("local_network".into(), same);
    });
    assert_eq!(words(&through(&[&start, &end])), [""; 0]);
}

#[test]
fn fw08_fires() {
    // What a rule without addresses opens, it opens for both.
    let start = lab();
    let end = guest(&start, 104, |scope| {
        scope
            .rules
            .push(rule("type in, action ACCEPT, proto tcp, dport 443"));
    });
    let impacts = through(&[&start, &end]);
    let exposed = of(&impacts, "vm/104", Category::Exposed).causes.join("; ");
    assert!(
        exposed.contains("(IPv4) can now open vm/104:443"),
        "{exposed}"
    );
    assert!(
        exposed.contains("(IPv6) can now open vm/104:443"),
        "{exposed}"
    );
}

#[test]
fn fw08_silent() {
    // With addresses of one version, it says nothing of the other.
    let start = lab();
    let end = guest(&start, 104, |scope| {
        scope.rules.push(accept("2001:db8::/32", 443))
    });
    assert_eq!(
        words(&through(&[&start, &end])),
        ["vm/104 exposed FW02: 2001:db8::/32 can now open vm/104:443"]
    );
}

#[test]
fn fw09_fires() {
    // One rule becomes two, and the old one goes before the new ones come.
    let start = lab();
    let without = guest(&start, 104, |scope| drop(scope.rules.remove(0)));
    let end = guest(&without, 104, |scope| {
        scope.rules.insert(0, accept("10.20.0.0/17", 5432));
        scope.rules.insert(1, accept("10.20.128.0/17", 5432));
    });
    let impacts = through(&[&start, &without, &end]);
    assert_eq!(
        words(&impacts),
        ["vm/104 unreachable FW09: 10.20.0.0/16 can no longer open vm/104:5432"]
    );
    assert_eq!(impacts[0].duration, Duration::Transient);
    assert_eq!(impacts[0].steps, BTreeSet::from([StepId(1), StepId(2)]));
    // A node that nobody manages meanwhile.
    let shut = cluster(&start, |scope| {
        scope.rules = vec![rule("type in, action DROP, proto tcp, dport 22")];
    });
    let impacts = through(&[&start, &shut, &start]);
    for name in NODES {
        let lockout = of(&impacts, name, Category::Lockout);
        assert_eq!(
            (lockout.rule.as_str(), lockout.duration),
            ("FW09", Duration::Transient)
        );
    }
}

#[test]
fn fw09_silent() {
    // The new rules come first.
    let start = lab();
    let both = guest(&start, 104, |scope| {
        scope.rules.insert(0, accept("10.20.0.0/17", 5432));
        scope.rules.insert(1, accept("10.20.128.0/17", 5432));
    });
    let end = guest(&both, 104, |scope| drop(scope.rules.remove(2)));
    assert_eq!(words(&through(&[&start, &both, &end])), [""; 0]);
    // What is shut at the end is told as that.
    let less = guest(&start, 104, |scope| drop(scope.rules.remove(0)));
    let least = guest(&less, 104, |scope| scope.rules.clear());
    let impacts = through(&[&start, &less, &least]);
    assert!(
        impacts.iter().all(|impact| impact.rule == "FW02"),
        "{:#?}",
        words(&impacts)
    );
}

/// What is open on the way only is told, too: a guard goes before another comes.
#[test]
fn what_is_opened_for_a_while_is_told() {
    let start = guest(&lab(), 104, |scope| {
        let drop = rule("type in, action DROP, source 10.20.7.0/24");
        scope.rules.insert(0, drop);
    });
    let open = guest(&start, 104, |scope| drop(scope.rules.remove(0)));
    let end = guest(&open, 104, |scope| {
        let drop = rule("type in, action REJECT, source 10.20.7.0/24, proto tcp");
        scope.rules.insert(0, drop);
    });
    let impacts = through(&[&start, &open, &end]);
    assert_eq!(
        words(&impacts),
        ["vm/104 exposed FW02: 10.20.7.0/24 can now open vm/104:5432"]
    );
    assert_eq!(impacts[0].duration, Duration::Transient);
    assert_eq!(impacts[0].steps, BTreeSet::from([StepId(1), StepId(2)]));
}

/// What cannot be known is said of every node it is about, and not left out because it is the same before and after.
#[test]
fn what_is_not_known_is_said_of_every_node() {
    let start = lab();
    let shut = |world: &World| {
        cluster(world, |scope| {
            scope.rules = vec![rule("type in, action DROP, proto tcp, dport 8006")];
        })
    };
    let other = host(&start, "pve1", |scope| {
        scope.options = section("nftables 1");
        scope.rules = vec![rule("type in, action ACCEPT, comment why # so")];
    });
    let mut unread = start;
    let node = unread.firewalls.nodes.get_mut(&node("pve1")).unwrap();
    Arc::make_mut(node).firewall = Err("403".to_owned());
    for (world, why) in [(other, "nftables"), (unread, "403")] {
        let impacts = through(&[&world, &shut(&world)]);
        let unknown = of(&impacts, "node/pve1", Category::Unknown);
        assert!(unknown.causes.concat().contains(why), "{unknown:#?}");
        of(&impacts, "node/pve2", Category::Lockout);
        // Its guests' rules are not those of the datacenter's list.
        assert_eq!(impacts.len(), 2, "{:#?}", words(&impacts));
        // What guests name is: those that no step touches are told with their node.
        let end = cluster(&world, |scope| scope.aliases.clear());
        let impacts = through(&[&world, &end]);
        let unknown = of(&impacts, "node/pve1", Category::Unknown);
        assert!(unknown.notes.concat().contains("vm/104"), "{unknown:#?}");
    }
}

/// Switching the backend changes what is decided although no rule changes: what each node and guest loses and gains is told.
#[test]
fn a_switch_to_nftables_tells_what_it_changes() {
    let start = lab();
    let end = host(&start, "pve1", |scope| {
        scope.options = section("nftables 1");
    });
    let impacts = through(&[&start, &end]);
    let said = words(&impacts);
    assert_eq!(
        said,
        [
            "node/pve1 lockout FW01: 10.0.0.0-10.0.0.254 can no longer open node pve1:60000-60050",
            "vm/104 exposed FW02: the internet (IPv4) can now open vm/104:546/udp from port 547; \
             the internet (IPv6) can now open vm/104:68/udp from port 67",
            "node/pve1 exposed FW01: the internet (IPv4) can now open node pve1:5405-5412/udp; \
             the internet (IPv6) can now open node pve1:5405-5412/udp",
        ]
    );
    // And back, the other way round.
    let back = words(&through(&[&end, &start]));
    let closed =
        "node/pve1 lockout FW01: the internet (IPv4) can no longer open node pve1:5405-5412/udp";
    assert!(back.iter().any(|said| said.starts_with(closed)), "{back:?}");
    // The guest's filter of addresses is that of the other backend.
    let start = guest(&start, 104, |scope| {
        let set = IpSet {
            entries: vec![SetEntry {
                cidr: "10.0.0.104".to_owned(),
                ..SetEntry::default()
            }],
            ..IpSet::default()
        };
        scope.ipsets.insert("ipfilter-net0".to_owned(), set);
    });
    let end = host(&start, "pve1", |scope| {
        scope.options = section("nftables 1");
    });
    let impacts = through(&[&start, &end]);
    let exposed = of(&impacts, "vm/104", Category::Exposed);
    let foreign = "vm/104 as 1.0.0.0-10.0.0.103, 10.0.0.105-10.0.0.254";
    assert!(exposed.causes.concat().contains(foreign), "{exposed:#?}");
}

/// A vnet's rules are heeded by nodes that filter with nftables, by whom its guests are told, and by no others.
#[test]
fn rules_of_a_vnet_are_told_of_guests_on_it() {
    let on_vnet = |world: &World, options: &str| {
        let mut world = world.clone();
        let guest = world.guests.get_mut(&vmid(104)).unwrap();
        let nic = "virtio=BC:24:11:00:01:04,bridge=net1,firewall=1";
        let config = &mut Arc::make_mut(guest).config;
        config.current.insert("net0".into(), nic.into());
        let firewall = Scope {
            options: section(options),
            rules: vec![rule("type forward, action ACCEPT, proto tcp, dport 5432")],
            ..Scope::default()
        };
        let vnet = VnetScope {
            zone: "z".to_owned(),
            firewall: Ok(Arc::new(firewall)),
        };
        let vnets = [("net1".parse().unwrap(), Arc::new(vnet))];
        world.firewalls.vnets = Ok(vnets.into_iter().collect());
        world
    };
    let change = |world: &World| {
        let [start, end] =
            ["enable 1", "enable 1, policy_forward DROP"].map(|options| on_vnet(world, options));
        through(&[&start, &end])
    };
    assert_eq!(words(&change(&lab())), [""; 0]);
    let nft = host(&lab(), "pve1", |scope| {
        scope.options = section("nftables 1");
    });
    let impacts = change(&nft);
    let unknown = of(&impacts, "vm/104", Category::Unknown);
    // Of what its own rules stop anyway there is nothing to say.
    let inward = |said: &&String| !said.starts_with("vm/104 ");
    let inward: Vec<&String> = unknown.causes.iter().filter(inward).collect();
    assert_eq!(inward[0], "10.1.0.0/16 perhaps can open vm/104:22");
    assert!(
        inward.iter().all(|said| !said.contains("5432")),
        "{inward:?}"
    );
}

/// A plan that leaves a node with its old rules says so of the node, also where it only touches a guest on it.
#[test]
fn a_line_that_nftables_does_not_take_is_told_of_the_node() {
    let start = host(&lab(), "pve1", |scope| {
        scope.options = section("nftables 1");
    });
    let end = guest(&start, 104, |scope| {
        scope
            .rules
            .push(rule("type in, action ACCEPT, source gone"));
    });
    for worlds in [[&start, &end], [&end, &start]] {
        let impacts = through(&worlds);
        let unknown = of(&impacts, "node/pve1", Category::Unknown);
        let why = "rule 2 of guest 104: there is no alias gone for it";
        assert!(unknown.causes.concat().contains(why), "{unknown:#?}");
        of(&impacts, "vm/104", Category::Unknown);
    }
    // So does an element that Proxmox VE finds fault with, which the other backend leaves out.
    let end = cluster(&start, |scope| {
        let element = SetEntry {
            cidr: "gone".to_owned(),
            errors: [("cidr".to_owned(), "no such alias".to_owned())].into(),
            ..SetEntry::default()
        };
        let set = IpSet {
            entries: vec![element],
            ..IpSet::default()
        };
        scope.ipsets.insert("some".to_owned(), set);
    });
    let impacts = through(&[&start, &end]);
    let unknown = of(&impacts, "node/pve1", Category::Unknown);
    let why = "the set some: there is no alias gone for it";
    assert!(unknown.causes.concat().contains(why), "{unknown:#?}");
    // A reference that breaks is told as that, too, with what this backend makes of it.
    let broken = cluster(&start, |scope| scope.aliases.clear());
    let impacts = through(&[&start, &broken]);
    let dangling = of(&impacts, "vm/104", Category::Dangling);
    let note = "a node that filters with nftables takes no rules at all then";
    assert!(dangling.notes.concat().starts_with(note), "{dangling:#?}");
}
