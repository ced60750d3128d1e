//! Where the nftables backend decides otherwise than the iptables backend: each difference by its name, with the same configuration asked
//! of both; and that they decide alike where nothing of that is in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/fw_file.rs"]
#[allow(dead_code)]
mod fw_file;
#[path = "support/reach_lab.rs"]
#[allow(dead_code)]
mod lab;

use bailiwick::health::reach::{
    End, Family, GuestKind, Known, Network, Outcome, Packet, Space, read, refusal,
};
use lab::{Chance, Lab, icmp, outside, tcp, tcp6, udp};

use Outcome::{Accept, Drop, Reject, Unknown};

const ON: &str = "[OPTIONS]\nenable: 1\n";

/// The node's configuration with either backend.
fn host(nftables: bool, options: &str, rules: &str) -> String {
    let backend = u8::from(nftables);
    format!("[OPTIONS]\nnftables: {backend}\n{options}[RULES]\n{rules}")
}

/// What a cluster with a node with these rules decides, asked of both backends: iptables, then nftables.
fn both(cluster: &str, options: &str, rules: &str, ask: impl Fn(&Lab) -> Outcome) -> [Outcome; 2] {
    [false, true].map(|nftables| ask(&Lab::new(cluster, &host(nftables, options, rules))))
}

/// The same with a guest, VMID 100.
fn guest(firewall: &str, ask: impl Fn(&Lab) -> Outcome) -> [Outcome; 2] {
    let firewall = format!("[OPTIONS]\nenable: 1\n{firewall}");
    both(ON, "", "", |lab| {
        let cluster = lab.model.clone();
        let mut lab = Lab::new(ON, "").vm(100, &firewall);
        lab.model.nodes = cluster.nodes;
        ask(&lab)
    })
}

/// A lab with nftables and a guest.
fn nft(cluster: &str, rules: &str) -> Lab {
    Lab::new(cluster, &host(true, "", rules))
}

fn refused(lab: &Lab) -> String {
    assert_eq!(lab.to_node(tcp("192.0.2.1", 1)), Unknown);
    assert_eq!(lab.out_of_node(tcp("10.0.0.11", 1)), Unknown);
    let why = refusal(&lab.model, "pve1").unwrap();
    let verdict = lab.verdict(&outside(), &lab.node(), &tcp("192.0.2.1", 1));
    assert_eq!(verdict.because[0].to_string(), why);
    why
}

#[test]
fn the_management_is_open_before_rules_and_migrations_are_not_in_it() {
    let rules = "IN DROP -p tcp -dport 22\n";
    let ask = |port| both(ON, "", rules, |lab| lab.to_node(tcp("10.0.0.5", port)));
    assert_eq!(ask(22), [Drop, Accept]);
    assert_eq!(ask(8006), [Accept, Accept]);
    assert_eq!(ask(60_000), [Accept, Drop]);
    // From elsewhere the rules and the policy decide with both.
    let far = |port| both(ON, "", rules, |lab| lab.to_node(tcp("192.0.2.1", port)));
    assert_eq!(far(8006), [Drop, Drop]);
}

#[test]
fn who_manages_is_the_set_and_the_alias_or_the_networks_of_the_nodes_address() {
    let set = format!("{ON}[IPSET management]\n192.0.2.0/24\n!192.0.2.64/26\n");
    let lab = nft(&set, "");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 22)), Accept);
    assert_eq!(lab.to_node(tcp("192.0.2.65", 22)), Drop);
    assert_eq!(lab.to_node(tcp("10.0.0.5", 22)), Accept);
    let alias =
        format!("{ON}[ALIASES]\nlocal_network 198.51.100.0/24\n[IPSET management]\n192.0.2.0/24\n");
    let lab = nft(&alias, "");
    assert_eq!(lab.to_node(tcp("198.51.100.1", 22)), Accept);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 22)), Accept);
    assert_eq!(lab.to_node(tcp("10.0.0.5", 22)), Drop);
    // Another network of the node that the node's address is in counts, too.
    let mut wide = nft(ON, "");
    let node = wide.model.nodes.get_mut("pve1").unwrap();
    let network = Network::parse("10.0.0.11/8").unwrap();
    node.interfaces[0].addresses.push(network);
    assert_eq!(wide.to_node(tcp("10.9.0.5", 22)), Accept);
}

/// The node's name may mean an address of IPv6, too, and that decides; nobody here knows.
#[test]
fn who_manages_by_the_other_version_of_ip_is_unknown_unless_an_alias_says_it() {
    let lab = nft(ON, "");
    assert_eq!(lab.to_node(tcp6("2001:db8::5", 22)), Unknown);
    assert_eq!(lab.to_node(tcp6("2001:db9::5", 22)), Drop);
    assert_eq!(lab.to_node(tcp6("2001:db8::5", 80)), Drop);
    let alias = nft(&format!("{ON}[ALIASES]\nlocal_network 10.0.0.0/24\n"), "");
    assert_eq!(alias.to_node(tcp6("2001:db8::5", 22)), Drop);
    // And where not even the node's address is known, nobody knows for anybody.
    let mut lost = nft(ON, "");
    lost.model.nodes.get_mut("pve1").unwrap().local_network = None;
    assert_eq!(lost.to_node(tcp("192.0.2.1", 22)), Unknown);
    assert_eq!(lost.to_node(tcp("192.0.2.1", 80)), Drop);
}

#[test]
fn the_cluster_network_is_open_to_everybody() {
    let ask = |port| both(ON, "", "", |lab| lab.to_node(udp("192.0.2.1", port)));
    assert_eq!(ask(5405), [Drop, Accept]);
    assert_eq!(ask(5412), [Drop, Accept]);
    assert_eq!(ask(5404), [Drop, Drop]);
    // From a node it needs rules or the policy.
    let cluster = "[OPTIONS]\nenable: 1\npolicy_out: DROP\n";
    let to = |dest: &str| {
        both(cluster, "", "", |lab| {
            let mut packet = tcp("10.0.0.11", 8006);
            packet.dest = lab::address(dest);
            lab.out_of_node(packet)
        })
    };
    assert_eq!(to("192.0.2.1"), [Drop, Drop]);
    assert_eq!(to("10.0.0.12"), [Accept, Drop]);
}

#[test]
fn some_ports_are_refused_whatever_the_rules_say() {
    let all = "IN ACCEPT\n";
    let ask = |packet: Packet| both(ON, "", all, |lab| lab.to_node(packet.clone()));
    assert_eq!(ask(tcp("192.0.2.1", 445)), [Accept, Reject]);
    assert_eq!(ask(udp("192.0.2.1", 138)), [Accept, Reject]);
    assert_eq!(ask(udp("192.0.2.1", 1900)), [Accept, Drop]);
    let from = |port| Packet {
        source_port: port,
        ..udp("192.0.2.1", 40_000)
    };
    assert_eq!(ask(from(53)), [Accept, Drop]);
    assert_eq!(ask(from(137)), [Accept, Reject]);
    // Nothing of it is left before the policy, nor at guests.
    let policy = "[OPTIONS]\nenable: 1\npolicy_in: REJECT\n";
    let tell = both(policy, "", "", |lab| lab.to_node(udp("192.0.2.1", 1901)));
    assert_eq!(tell, [Reject, Reject]);
    let at = guest("[RULES]\nIN ACCEPT\n", |lab| {
        lab.to(100, tcp("192.0.2.1", 445))
    });
    assert_eq!(at, [Accept, Accept]);
    let lab = nft(ON, all);
    let verdict = lab.verdict(&outside(), &lab.node(), &tcp("192.0.2.1", 445));
    let because = verdict.because[0].to_string();
    assert_eq!(
        because,
        "what the nftables backend refuses before all rules"
    );
}

#[test]
fn errors_of_icmp_always_pass_and_a_rejected_one_is_answered() {
    for (source, kind) in [
        ("192.0.2.1", 3),
        ("192.0.2.1", 11),
        ("2001:db9::1", 2),
        ("2001:db9::1", 4),
    ] {
        let nft = nft(ON, "IN DROP\n");
        assert_eq!(nft.to_node(icmp(source, kind)), Accept, "{source} {kind}");
    }
    let rule = "IN REJECT -p icmp\n";
    let ask = both(ON, "", rule, |lab| lab.to_node(icmp("192.0.2.1", 8)));
    assert_eq!(ask, [Drop, Reject]);
    let guest = guest("[RULES]\nIN DROP\n", |lab| {
        lab.to(100, icmp("192.0.2.1", 3))
    });
    assert_eq!(guest, [Drop, Accept]);
}

#[test]
fn neighbour_discovery_that_is_off_is_dropped() {
    for (option, nft) in [("", Accept), ("ndp: 1\n", Accept), ("ndp: 0\n", Drop)] {
        let ask = both(ON, option, "IN ACCEPT\n", |lab| {
            lab.to_node(icmp("2001:db8::5", 135))
        });
        assert_eq!(ask, [Accept, nft], "{option}");
        let out = both(ON, option, "", |lab| {
            lab.out_of_node(icmp("2001:db8::11", 135))
        });
        assert_eq!(out, [Accept, nft], "{option}");
    }
    let at = |option: &str, kind| {
        let firewall = format!("{option}policy_in: ACCEPT\npolicy_out: ACCEPT\n");
        guest(&firewall, |lab| lab.out_of(100, icmp("2001:db8::5", kind)))
    };
    assert_eq!(at("ndp: 0\n", 135), [Accept, Drop]);
    assert_eq!(at("radv: 1\n", 134), [Accept, Accept]);
    assert_eq!(at("", 134), [Drop, Drop]);
}

#[test]
fn smurfs_are_what_is_sent_to_everybody() {
    let to_all = |lab: &Lab| {
        let mut packet = udp("10.0.0.5", 67);
        packet.dest = lab::address("10.0.0.255");
        lab.to_node(packet)
    };
    assert_eq!(both(ON, "", "IN ACCEPT\n", to_all), [Accept, Drop]);
    assert_eq!(
        both(ON, "nosmurfs: 0\n", "IN ACCEPT\n", to_all),
        [Accept, Accept]
    );
    let from_all = |lab: &Lab| lab.to_node(udp("10.0.0.255", 80));
    assert_eq!(both(ON, "", "IN ACCEPT\n", from_all), [Drop, Accept]);
    let from_group = |lab: &Lab| lab.to_node(udp("224.0.0.5", 80));
    assert_eq!(both(ON, "", "IN ACCEPT\n", from_group), [Drop, Drop]);
}

#[test]
fn what_options_do_that_is_not_known_is_unknown_for_what_they_may_stop_or_open() {
    let ask = |option: &str, packet: Packet| {
        Lab::new(ON, &host(true, option, "IN ACCEPT -p tcp -dport 80\n")).to_node(packet)
    };
    assert_eq!(
        ask("protection_synflood: 1\n", tcp("192.0.2.1", 80)),
        Unknown
    );
    assert_eq!(ask("protection_synflood: 1\n", tcp("10.0.0.5", 22)), Accept);
    assert_eq!(ask("protection_synflood: 1\n", udp("192.0.2.1", 80)), Drop);
    assert_eq!(
        ask("nf_conntrack_helpers: ftp,odd\n", tcp("192.0.2.1", 21)),
        Unknown
    );
    assert_eq!(
        ask("nf_conntrack_helpers: ftp\n", tcp("192.0.2.1", 80)),
        Accept
    );
    let zero = |lab: &Lab| {
        lab.to_node(Packet {
            source_port: 0,
            ..tcp("192.0.2.1", 80)
        })
    };
    let rules = "IN ACCEPT -p tcp -dport 80\n";
    assert_eq!(both(ON, "tcpflags: 1\n", rules, zero), [Drop, Drop]);
}

#[test]
fn there_is_no_blacklist() {
    let cluster = format!("{ON}[IPSET blacklist]\n192.0.2.1\n");
    let ask = both(&cluster, "", "IN ACCEPT\n", |lab| {
        lab.to_node(tcp("192.0.2.1", 80))
    });
    assert_eq!(ask, [Drop, Accept]);
}

#[test]
fn an_exception_of_a_set_wins_over_smaller_elements() {
    let cluster = format!("{ON}[IPSET some]\n192.0.2.0/24\n!192.0.2.64/26\n192.0.2.66\n");
    let rules = "IN ACCEPT -p tcp -dport 80 -source +some\n";
    let ask = |source| both(&cluster, "", rules, |lab| lab.to_node(tcp(source, 80)));
    assert_eq!(ask("192.0.2.1"), [Accept, Accept]);
    assert_eq!(ask("192.0.2.65"), [Drop, Drop]);
    assert_eq!(ask("192.0.2.66"), [Accept, Drop]);
    // Also in front of what it is an exception of.
    let cluster = format!("{ON}[IPSET some]\n192.0.2.0/25\n!192.0.2.0/24\n");
    let ask = both(&cluster, "", rules, |lab| lab.to_node(tcp("192.0.2.1", 80)));
    assert_eq!(ask, [Accept, Drop]);
}

#[test]
fn ports_without_a_protocol_are_not_looked_at() {
    let ask = |rules: &str| both(ON, "", rules, |lab| lab.to_node(tcp("192.0.2.1", 80)));
    assert_eq!(ask("IN ACCEPT -dport 22\n"), [Drop, Accept]);
    assert_eq!(ask("IN ACCEPT -p esp -dport 22\n"), [Drop, Drop]);
    let esp = |rules: &str| {
        both(ON, "", rules, |lab| {
            lab.to_node(Packet {
                protocol: 50,
                port: 0,
                source_port: 0,
                ..tcp("192.0.2.1", 1)
            })
        })
    };
    assert_eq!(esp("IN ACCEPT -p esp -dport 22\n"), [Drop, Accept]);
    // A port of ICMP is a type for one backend, and nothing for the other.
    let rules = "IN ACCEPT -p icmp -dport echo-request\n";
    let ping = |kind| both(ON, "", rules, |lab| lab.to_node(icmp("192.0.2.1", kind)));
    assert_eq!(ping(8), [Accept, Accept]);
    assert_eq!(ping(13), [Drop, Accept]);
}

#[test]
fn addresses_are_read_more_liberally() {
    let ask = |source: &str, from: &str| {
        let rules = format!("IN ACCEPT -p tcp -dport 80 -source {source}\n");
        both(ON, "", &rules, |lab| lab.to_node(tcp(from, 80)))
    };
    assert_eq!(ask("192.0.2.9/24", "192.0.2.1"), [Drop, Accept]);
    assert_eq!(
        ask("192.0.2.1-192.0.2.9,198.51.100.1", "192.0.2.5"),
        [Drop, Accept]
    );
    assert_eq!(
        ask("192.0.2.1-192.0.2.9,198.51.100.1", "192.0.2.10"),
        [Drop, Drop]
    );
}

/// A rule is for one version as soon as something says so, and what it says of the other is not looked at.
#[test]
fn a_rule_of_both_versions_loses_what_it_says_of_the_second() {
    let cluster = format!("{ON}[ALIASES]\nfriend 192.0.2.1\nsix 2001:db8::50\n");
    let ask =
        |rules: &str, packet: Packet| both(&cluster, "", rules, |lab| lab.to_node(packet.clone()));
    let rules = "IN ACCEPT -p tcp -dport 80 -source friend -dest 2001:db8::/32\n";
    assert_eq!(ask(rules, tcp("192.0.2.1", 80)), [Drop, Accept]);
    assert_eq!(ask(rules, tcp6("2001:db8::50", 80)), [Drop, Drop]);
    let rules = "IN ACCEPT -p icmp -source six\n";
    assert_eq!(ask(rules, icmp("198.51.100.1", 8)), [Drop, Accept]);
    // So does one of a set, which is for both at first.
    let cluster = format!("{cluster}[IPSET some]\n192.0.2.0/24\n2001:db8::/64\n");
    let ask =
        |rules: &str, packet: Packet| both(&cluster, "", rules, |lab| lab.to_node(packet.clone()));
    let rules = "IN ACCEPT -p tcp -dport 80 -source +some -dest friend\n";
    assert_eq!(ask(rules, tcp("192.0.2.1", 80)), [Drop, Drop]);
    assert_eq!(ask(rules, tcp6("2001:db8::50", 80)), [Drop, Accept]);
    // The part of Ping that is for IPv6 does not look at a source of IPv4.
    let rules = "IN Ping(ACCEPT) -source friend\n";
    assert_eq!(ask(rules, icmp("192.0.2.1", 8)), [Accept, Accept]);
    assert_eq!(ask(rules, icmp("192.0.2.2", 8)), [Drop, Drop]);
    assert_eq!(ask(rules, icmp("2001:db9::1", 128)), [Drop, Accept]);
    // DHCPv6 is for both.
    let dhcp = |lab: &Lab| {
        lab.to_node(Packet {
            source_port: 547,
            ..udp("192.0.2.1", 546)
        })
    };
    assert_eq!(
        both(&cluster, "", "IN DHCPv6(ACCEPT)\n", dhcp),
        [Drop, Accept]
    );
}

#[test]
fn types_of_icmp_have_other_names() {
    let ask = |rule: &str, packet: Packet| {
        let lab = nft(ON, &format!("IN ACCEPT {rule}\n"));
        lab.to_node(packet)
    };
    let solicit = "-p icmpv6 -icmp-type nd-router-solicit";
    assert_eq!(ask(solicit, icmp("2001:db9::1", 133)), Accept);
    assert_eq!(ask("-p icmp -icmp-type any", icmp("192.0.2.1", 13)), Accept);
    assert_eq!(ask("-p icmp -icmp-type 13", icmp("192.0.2.1", 13)), Accept);
    assert_eq!(ask("-p icmp -icmp-type 13", icmp("192.0.2.1", 8)), Drop);
    // A name of a code means that code of every type.
    let code = Packet {
        port: 8 << 8 | 13,
        ..icmp("192.0.2.1", 8)
    };
    let rule = "-p icmp -icmp-type admin-prohibited";
    assert_eq!(ask(rule, code), Accept);
    assert_eq!(ask(rule, icmp("192.0.2.1", 8)), Drop);
    let lab = nft(ON, "IN ACCEPT -p icmp -icmp-type fragmentation-needed\n");
    assert!(refused(&lab).contains("it knows no ICMP type fragmentation-needed"));
}

#[test]
fn a_line_that_it_cannot_read_leaves_all_rules_as_they_were() {
    let say = |cluster: &str, rules: &str| refused(&nft(cluster, rules).vm(100, ON));
    for (rules, why) in [
        ("IN ACCEPT # a # b\n", "its comment contains #"),
        // Also one that is off.
        (
            "|IN ACCEPT -source 300.1.1.1\n",
            "300.1.1.1 is no address, set or alias",
        ),
        (
            "IN HTTP/3(ACCEPT)\n",
            "it cannot read the name of the macro HTTP/3",
        ),
        (
            "IN ACCEPT -p tcp -dport 90:80\n",
            "90:80 is no range of ports",
        ),
        ("IN ACCEPT -p tcp -dport 70000\n", "70000 is no port"),
        ("IN ACCEPT -source +gone\n", "there is no set gone for it"),
        ("IN ACCEPT -source gone\n", "there is no alias gone for it"),
        (
            "IN ACCEPT -source guest/friend\n",
            "there is no alias friend for it",
        ),
        ("GROUP gone\n", "there is no group gone"),
        (
            "IN ACCEPT -i abcdefghijklmnop\n",
            "is too long for an interface",
        ),
        (
            "FORWARD ACCEPT -i vmbr0\n",
            "a forward rule is bound to an interface",
        ),
        (
            "IN ACCEPT -source +sdn/guest-ipam-100\n",
            "it does not find the set sdn/guest-ipam-100",
        ),
        (
            "IN ACCEPT -source +management\n",
            "there is no set management for it",
        ),
    ] {
        let said = say(&format!("{ON}[ALIASES]\nfriend 192.0.2.1\n"), rules);
        assert!(said.contains(why), "{rules}: {said}");
        assert!(said.contains("rule 0 of the node"), "{said}");
        assert!(
            said.starts_with("node pve1 filters with nftables, does not take this configuration")
        );
    }
    // A reference of a rule that is off is not looked up; nor is one where nothing is compiled.
    assert_eq!(
        nft(ON, "|IN ACCEPT -source gone\n").to_node(tcp("192.0.2.1", 80)),
        Drop
    );
    let off = Lab::new(ON, &host(true, "enable: 0\n", "IN ACCEPT -source gone\n"));
    assert_eq!(off.to_node(tcp("192.0.2.1", 80)), Accept);
    // An element of a set counts, and so does every group, also one that nobody brings in.
    let set = format!("{ON}[IPSET some]\n192.0.2.1\ngone\n");
    assert!(say(&set, "").contains("the set some: there is no alias gone for it"));
    let group = format!("{ON}[group web]\nIN ACCEPT -source gone\n");
    assert!(say(&group, "").contains("rule 0 of security group web"));
    // What the iptables backend ignores does not stop it.
    let lab = Lab::new(
        ON,
        "[RULES]\nIN ACCEPT -source gone\nIN ACCEPT -p tcp -dport 80\n",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Accept);
    assert_eq!(refusal(&lab.model, "pve1"), None);
}

#[test]
fn a_guest_can_leave_the_whole_node_with_its_old_rules() {
    let lab = nft(ON, "").vm(100, "[OPTIONS]\nenable: 0\n[RULES]\nFORWARD ACCEPT\n");
    assert!(refused(&lab).contains("rule 0 of guest 100: a guest has no forward rules"));
    let lab = nft(ON, "").vm(100, &format!("{ON}[RULES]\nIN ACCEPT -source +gone\n"));
    assert!(refused(&lab).contains("rule 0 of guest 100"));
    // A guest on another node is none of its business.
    let mut moved = lab;
    moved.model.guests.get_mut(&100).unwrap().node = "pve2".into();
    assert_eq!(moved.to_node(tcp("192.0.2.1", 80)), Drop);
    // A network card of a model that it does not know.
    let mut odd = nft(ON, "").vm(100, ON);
    let guest = odd.model.guests.get_mut(&100).unwrap();
    let nic = read::nic(
        GuestKind::Vm,
        "e1000e=BC:24:11:00:01:00,bridge=vmbr0,firewall=1",
    );
    guest.nics.insert("net0".into(), nic);
    assert!(refused(&odd).contains("it cannot read the interface net0 of guest 100"));
    let nic = read::nic(
        GuestKind::Vm,
        "model=virtio,macaddr=BC:24:11:00:01:00,bridge=vmbr0",
    );
    assert!(nic.readable);
    assert!(!read::nic(GuestKind::Vm, "virtio,bridge=vmbr0").readable);
}

#[test]
fn a_change_that_is_being_confirmed_is_not_read() {
    let epoch = nft("[OPTIONS]\nenable: 1764300000\n", "IN ACCEPT\n");
    assert!(refused(&epoch).contains("is being confirmed"));
    assert!(
        read::epoch("1764300000") && read::epoch("2") && !read::epoch("1") && !read::epoch("0")
    );
}

#[test]
fn what_sdn_makes_is_unknown_for_the_rule_that_names_it() {
    let lab = nft(
        ON,
        "IN ACCEPT -p tcp -dport 80 -source +sdn/net1-all\nIN ACCEPT -p tcp -dport 81\n",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Unknown);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 81)), Accept);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 82)), Drop);
}

#[test]
fn another_name_of_an_interface_cannot_be_told_from_a_foreign_one() {
    let mut lab = nft(ON, "IN ACCEPT -p tcp -dport 80 -i enp3s0\n");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Drop);
    let node = lab.model.nodes.get_mut("pve1").unwrap();
    node.interfaces[0].name = Some("nic0".into());
    let end = End::Node {
        name: "pve1".into(),
        iface: Some("nic0".into()),
    };
    let ask = |port| {
        lab.verdict(&outside(), &end, &tcp("192.0.2.1", port))
            .outcome
    };
    assert_eq!(ask(80), Unknown);
    assert_eq!(ask(81), Drop);
}

#[test]
fn reject_drops_what_is_for_a_guest_and_answers_what_is_from_it() {
    let firewall =
        "policy_out: REJECT\n[RULES]\nIN REJECT -p tcp -dport 80\nOUT REJECT -p tcp -dport 81\n";
    let into = |port| guest(firewall, |lab| lab.to(100, tcp("192.0.2.1", port)));
    assert_eq!(into(80), [Reject, Drop]);
    let out = |port| {
        guest(firewall, |lab| {
            let mut packet = tcp("10.0.0.100", port);
            packet.dest = lab::address("192.0.2.1");
            lab.out_of(100, packet)
        })
    };
    assert_eq!(out(81), [Reject, Reject]);
    assert_eq!(out(82), [Reject, Reject]);
    let group = format!("{ON}[group web]\nIN REJECT -p tcp -dport 80\n");
    let lab = nft(&group, "GROUP web\n").vm(100, &format!("{ON}[RULES]\nGROUP web\n"));
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Reject);
    assert_eq!(lab.to(100, tcp("192.0.2.1", 80)), Drop);
}

#[test]
fn a_filter_of_addresses_needs_its_option_and_its_set_is_all_of_it() {
    let out = |firewall: &str, source: &str| {
        guest(firewall, |lab| {
            let mut packet = tcp(source, 80);
            packet.dest = lab::address("192.0.2.1");
            lab.out_of(100, packet)
        })
    };
    let set = "[IPSET ipfilter-net0]\n10.0.0.100\n";
    assert_eq!(out(set, "10.0.0.100"), [Accept, Accept]);
    assert_eq!(out(set, "10.0.0.99"), [Drop, Accept]);
    let with = format!("ipfilter: 1\n{set}");
    assert_eq!(out(&with, "10.0.0.99"), [Drop, Drop]);
    let link_local = |firewall: &str| {
        guest(firewall, |lab| {
            let mut packet = tcp6("fe80::be24:11ff:fe00:100", 80);
            packet.dest = lab::address("fe80::1");
            lab.out_of(100, packet)
        })
    };
    assert_eq!(link_local(&with), [Accept, Drop]);
    assert_eq!(link_local("ipfilter: 1\n"), [Accept, Accept]);
    // It stands before DHCP.
    let dhcp = |firewall: &str| {
        guest(firewall, |lab| {
            let packet = Packet {
                source_port: 68,
                source: 0,
                dest: u128::from(u32::MAX),
                ..udp("10.0.0.100", 67)
            };
            lab.out_of(100, packet)
        })
    };
    assert_eq!(dhcp(&with), [Accept, Drop]);
    assert_eq!(dhcp("policy_out: DROP\n"), [Accept, Accept]);
    assert_eq!(dhcp("dhcp: 0\npolicy_out: ACCEPT\n"), [Accept, Drop]);
}

#[test]
fn a_guests_own_set_named_management_is_not_made() {
    let firewall = format!(
        "{ON}[IPSET management]\n192.0.2.1\n[RULES]\nIN ACCEPT -source +guest/management\n"
    );
    assert!(refused(&nft(ON, "").vm(100, &firewall)).contains("there is no set management for it"));
}

#[test]
fn guests_are_filtered_also_where_the_node_is_not() {
    let off = Lab::new(ON, &host(true, "enable: 0\n", "")).vm(100, ON);
    assert_eq!(off.to_node(tcp("192.0.2.1", 80)), Accept);
    assert_eq!(off.to(100, tcp("192.0.2.1", 80)), Drop);
    // Then what belongs to no connection is not dropped for that.
    let all = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n";
    let odd = |lab: &Lab| lab.to(100, icmp("192.0.2.1", 0));
    assert_eq!(
        odd(&Lab::new(ON, &host(true, "enable: 0\n", "")).vm(100, all)),
        Accept
    );
    assert_eq!(odd(&nft(ON, "").vm(100, all)), Drop);
    let allow = "nf_conntrack_allow_invalid: 1\n";
    assert_eq!(
        odd(&Lab::new(ON, &host(true, allow, "")).vm(100, all)),
        Accept
    );
    // A firewall that was not read is unknown at its interface, and nowhere else.
    let mut unread = nft(ON, "").vm(100, ON).vm(101, ON);
    unread.model.guests.get_mut(&101).unwrap().firewall = Known::Unread("403".into());
    assert_eq!(unread.to(101, tcp("192.0.2.1", 80)), Unknown);
    assert_eq!(unread.to(100, tcp("192.0.2.1", 80)), Drop);
    // And an interface without a firewall is not filtered at all.
    let free = nft(ON, "").vm_without_firewall(100, ON);
    assert_eq!(free.to(100, icmp("192.0.2.1", 0)), Accept);
}

#[test]
fn what_forward_rules_drop_is_unknown_and_what_they_let_pass_passes() {
    let cluster = "[OPTIONS]\nenable: 1\npolicy_forward: DROP\n[group web]\nFORWARD ACCEPT -p tcp -dport 81\n";
    let rules = "FORWARD ACCEPT -p tcp -dport 80\nGROUP web\n";
    let open = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n";
    let lab = |nftables| {
        Lab::new(cluster, &host(nftables, "", rules))
            .vm(100, open)
            .vm(101, open)
    };
    for port in [80, 81] {
        assert_eq!(lab(true).to(100, tcp("192.0.2.1", port)), Accept);
    }
    assert_eq!(lab(true).to(100, tcp("192.0.2.1", 82)), Unknown);
    assert_eq!(lab(false).to(100, tcp("192.0.2.1", 82)), Accept);
    let lab = lab(true);
    let between = |from: End, to: End| lab.verdict(&from, &to, &tcp("10.0.0.100", 82));
    assert_eq!(between(lab.nic(100), lab.nic(101)).outcome, Unknown);
    // The node is at the end of the way, and does not route.
    assert_eq!(between(lab.node(), lab.nic(100)).outcome, Accept);
    let because = between(outside(), lab.nic(100)).because;
    let why = because.last().unwrap().to_string();
    // What a guest's own rules stop is stopped either way.
    let shut = nft(cluster, rules).vm(100, ON);
    assert_eq!(shut.to(100, tcp("192.0.2.1", 82)), Drop);
    assert_eq!(
        why,
        "the policy DROP of the datacenter, if the node routes this and does not only bridge it"
    );
    // With nothing to drop there is nothing to say.
    let verdict = nft(ON, "FORWARD ACCEPT -p tcp\n").vm(100, open);
    let verdict = verdict.verdict(&outside(), &verdict.nic(100), &tcp("192.0.2.1", 82));
    assert_eq!(verdict.because.len(), 1);
}

#[test]
fn the_rules_of_a_vnet_are_for_what_is_bridged_on_it() {
    let open = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n";
    let vnet = "[OPTIONS]\nenable: 1\npolicy_forward: DROP\n[RULES]\nFORWARD ACCEPT -p tcp -dport 80\nGROUP web\n";
    let group =
        "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n[group web]\nFORWARD ACCEPT -p tcp -dport 81\n";
    let lab = |nftables, vnet: &str| {
        let lab = Lab::new(group, &host(nftables, "", ""));
        let lab = lab.vm(100, open).vm(101, open).vm(102, open);
        lab.vnet("net1", vnet, &[100, 101])
    };
    let between = |lab: &Lab, from: End, to: End, port| {
        let verdict = lab.verdict(&from, &to, &tcp("10.0.0.100", port));
        verdict.outcome
    };
    let made = lab(true, vnet);
    let [first, second, other] = [100, 101, 102].map(|vmid| made.nic(vmid));
    for port in [80, 81] {
        assert_eq!(between(&made, first.clone(), second.clone(), port), Accept);
        assert_eq!(between(&made, outside(), first.clone(), port), Accept);
    }
    assert_eq!(between(&made, first.clone(), second.clone(), 82), Drop);
    // Between two bridges, and with the world, somebody may route instead.
    assert_eq!(between(&made, first.clone(), other.clone(), 82), Unknown);
    assert_eq!(between(&made, outside(), first.clone(), 82), Unknown);
    assert_eq!(between(&made, first.clone(), outside(), 82), Unknown);
    let verdict = made.verdict(&outside(), &first, &tcp("192.0.2.1", 82));
    assert_eq!(
        verdict.because.last().unwrap().to_string(),
        "the policy DROP of the vnet, if this is bridged there and not routed"
    );
    // Into the node by another interface, and by the vnet itself.
    assert_eq!(between(&made, first.clone(), made.node(), 82), Unknown);
    let by_vnet = End::Node {
        name: "pve1".into(),
        iface: Some("net1".into()),
    };
    assert_eq!(between(&made, first.clone(), by_vnet.clone(), 82), Drop);
    assert_eq!(between(&made, by_vnet.clone(), first.clone(), 82), Drop);
    assert_eq!(between(&made, outside(), by_vnet.clone(), 82), Drop);
    assert_eq!(between(&made, outside(), by_vnet.clone(), 80), Accept);
    // Guests elsewhere have nothing of it, nor has anybody with the other backend, or where it is off.
    assert_eq!(between(&made, outside(), other, 82), Accept);
    for lab in [
        lab(false, vnet),
        lab(true, &vnet.replace("enable: 1", "enable: 0")),
    ] {
        assert_eq!(between(&lab, first.clone(), second.clone(), 82), Accept);
        assert_eq!(between(&lab, outside(), first.clone(), 82), Accept);
    }
    // On two nodes, each looks.
    let mut apart = lab(true, vnet);
    let node = apart.model.nodes.get("pve1").unwrap().clone();
    apart.model.nodes.insert("pve2".into(), node);
    apart.model.guests.get_mut(&101).unwrap().node = "pve2".into();
    assert_eq!(between(&apart, first.clone(), second.clone(), 82), Drop);
    if let Known::Read(firewall) = &mut apart.model.nodes.get_mut("pve1").unwrap().firewall {
        firewall.nftables = false;
    }
    let verdict = apart.verdict(&first, &second, &tcp("10.0.0.100", 82));
    assert_eq!(verdict.outcome, Drop);
}

#[test]
fn a_vnet_that_was_not_read_is_unknown_and_a_broken_one_leaves_the_node_as_it_was() {
    let open = "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n";
    let lab = |vnet: &str| {
        nft(ON, "")
            .vm(100, open)
            .vm(101, open)
            .vnet("net1", vnet, &[100])
    };
    assert!(refused(&lab("[RULES]\nIN ACCEPT\n")).contains("vnet net1: rule 0 of the vnet"));
    let on = "[OPTIONS]\nenable: 1\n[RULES]\nFORWARD ACCEPT -source gone\n";
    assert!(refused(&lab(on)).contains("there is no alias gone"));
    let off = lab(&on.replace("enable: 1", "enable: 0"));
    assert_eq!(off.to(100, tcp("192.0.2.1", 80)), Accept);
    let mut one = lab("");
    if let Known::Read(vnets) = &mut one.model.vnets {
        vnets.insert("net1".into(), Known::Unread("403".into()));
    }
    let mut all = lab("");
    all.model.vnets = Known::Unread("403".into());
    for lab in [one, all] {
        assert_eq!(lab.to(100, tcp("192.0.2.1", 80)), Unknown);
        assert_eq!(lab.to(101, tcp("192.0.2.1", 80)), Accept);
    }
}

/// Without ICMP, sets with exceptions, broken rules, and away from what either backend does by itself, both decide alike but for whether a
/// refusal is told.
#[test]
fn both_backends_decide_alike_where_nothing_differs() {
    let mut chance = Chance(7);
    let (mut compared, mut passed) = (0, 0);
    for _ in 0..150 {
        let files = plain(&mut chance);
        let lab = |nftables: bool| {
            let [cluster, rules, first, second] = &files;
            Lab::new(cluster, &host(nftables, "nosmurfs: 0\n", rules))
                .vm(100, first)
                .vm(101, second)
        };
        let (iptables, nftables) = (lab(false), lab(true));
        assert_eq!(refusal(&nftables.model, "pve1"), None);
        let (one, other) = (iptables.compiled(), nftables.compiled());
        for way in lab::ways() {
            for family in Family::BOTH {
                let packet = quiet(&mut chance, family);
                let [one, other] =
                    [&one, &other].map(|c| c.verdict(&way, &packet).unwrap().outcome);
                let shut = |outcome| matches!(outcome, Drop | Reject);
                assert!(
                    one == other || (shut(one) && shut(other)),
                    "{one:?} {other:?} {way:?} {packet:?} {files:?}"
                );
                compared += 1;
                passed += usize::from(one == Accept);
            }
        }
    }
    assert!(
        compared > 3_000 && passed > 800 && passed < compared - 800,
        "{passed} of {compared}"
    );
}

/// A packet that neither backend has an opinion of its own about.
fn quiet(chance: &mut Chance, family: Family) -> Packet {
    let addresses: &[&str] = match family {
        Family::V4 => &[
            "10.0.0.11",
            "10.0.0.100",
            "192.0.2.1",
            "192.0.2.20",
            "198.51.100.1",
        ],
        Family::V6 => &[
            "2001:db8::11",
            "2001:db8::100",
            "2001:db8:0:1::1",
            "2001:db9::1",
        ],
    };
    let address = |chance: &mut Chance| lab::address(chance.of::<&str>(addresses));
    Packet {
        family,
        protocol: *chance.of(&[6, 6, 17]),
        source: address(chance),
        dest: address(chance),
        port: *chance.of(&[23, 80, 81, 443, 5432]),
        source_port: *chance.of(&[40_000, 50_000]),
        mac: None,
    }
}

/// The files of the datacenter, the node's rules, and of two guests.
fn plain(chance: &mut Chance) -> [String; 4] {
    let rules = |chance: &mut Chance, group: bool| -> String {
        let count = chance.below(6);
        (0..count)
            .map(|_| plain_rule(chance, group) + "\n")
            .collect()
    };
    let policies = |chance: &mut Chance| {
        let all = ["ACCEPT", "DROP", "REJECT"];
        let (inward, outward) = (*chance.of(&all), *chance.of(&all));
        format!("policy_in: {inward}\npolicy_out: {outward}\n")
    };
    let mut cluster = format!(
        "{ON}{}[ALIASES]\nfriend 192.0.2.1\nsix 2001:db8::100\n",
        policies(chance)
    );
    cluster += "[IPSET some]\n192.0.2.0/24\n10.0.0.100\n2001:db8::/64\n";
    cluster += &format!("[RULES]\n{}", rules(chance, false));
    for name in ["web", "db"] {
        cluster += &format!("[group {name}]\n{}", rules(chance, true));
    }
    let node = rules(chance, false);
    let [first, second] = [(); 2].map(|()| {
        let policies = policies(chance);
        format!("{ON}{policies}[RULES]\n{}", rules(chance, false))
    });
    [cluster, node, first, second]
}

fn plain_rule(chance: &mut Chance, group: bool) -> String {
    if !group && chance.one_in(6) {
        return format!("GROUP {}", chance.of(&["web", "db"]));
    }
    let direction = *chance.of(&["IN", "IN", "OUT"]);
    let action = *chance.of(&["ACCEPT", "ACCEPT", "DROP", "REJECT"]);
    let mut line = match chance.below(4) {
        0 => format!(
            "{direction} {}({action})",
            chance.of(&["Web", "PostgreSQL", "Telnet"])
        ),
        1 => format!("{direction} {action}"),
        _ => {
            let proto = *chance.of(&["tcp", "udp"]);
            let ports = *chance.of(&["80", "80:443", "23,5432", "1:65535"]);
            format!("{direction} {action} -p {proto} -dport {ports}")
        }
    };
    let peers: &[&str] = chance.of::<&[&str]>(&[
        &["192.0.2.0/28", "friend", "+some", "192.0.2.1-192.0.2.30"],
        &["2001:db8::/48", "six", "+some"],
    ]);
    // A set and an address of one version are taken differently.
    let source = chance.one_in(2).then(|| *chance.of(peers));
    let dest = chance.one_in(4).then(|| *chance.of(peers));
    let set = |peer: Option<&str>| peer == Some("+some");
    let dest = dest.filter(|dest| source.is_none() || set(source) == set(Some(dest)));
    for (switch, peer) in [("-source", source), ("-dest", dest)] {
        line += &peer.map_or_else(String::new, |peer| format!(" {switch} {peer}"));
    }
    if chance.one_in(10) {
        line.insert(0, '|');
    }
    line
}

/// The function for all packets says what the walk of one packet says, also here.
#[test]
fn all_packets_at_once_are_decided_as_each_alone() {
    let mut chance = Chance(11);
    let mut compared = 0;
    for _ in 0..80 {
        let mut lab = lab::random(&mut chance);
        for node in lab.model.nodes.values_mut() {
            if let Known::Read(firewall) = &mut node.firewall {
                firewall.nftables = true;
            }
        }
        if refusal(&lab.model, "pve1").is_some() {
            continue;
        }
        let compiled = lab.compiled();
        for family in Family::BOTH {
            let mut space = Space::new(family);
            for way in lab::ways() {
                let function = compiled.function(&mut space, &way).unwrap();
                for _ in 0..20 {
                    let packet = lab::packet(&mut chance, family);
                    let verdict = compiled.verdict(&way, &packet).unwrap();
                    let said = space.outcome(function, &packet);
                    assert_eq!(said, Some(verdict.outcome), "{way:?} {packet:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 2_000, "{compared}");
}
