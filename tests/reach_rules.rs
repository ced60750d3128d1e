//! What Proxmox VE's firewall does and people do not expect, case by case: each learned from its own answers, each a small configuration
//! of our own.
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
    Builtin, Family, List, Origin, Outcome::*, Packet, Space, Spaces, Verb, changes,
};
use lab::{Lab, icmp, outside, tcp, tcp6, udp};

const ON: &str = "[OPTIONS]\nenable: 1\n";

#[test]
fn nothing_is_filtered_while_the_datacenter_says_no() {
    let lab = Lab::new("", "").vm(100, "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP\n");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 22)), Accept);
    assert_eq!(lab.to(100, tcp("192.0.2.1", 22)), Accept);
}

#[test]
fn policies_that_are_not_set_drop_what_comes_in_and_let_out_what_goes_out() {
    let lab = Lab::new(ON, "").vm(100, ON);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Drop);
    assert_eq!(lab.out_of_node(tcp("10.0.0.11", 80)), Accept);
    assert_eq!(lab.to(100, tcp("192.0.2.1", 80)), Drop);
    assert_eq!(lab.out_of(100, tcp("10.0.0.100", 80)), Accept);
}

#[test]
fn the_node_s_rules_come_before_the_datacenter_s() {
    let cluster = format!("{ON}[RULES]\nIN DROP -p tcp -dport 80\n");
    let lab = Lab::new(&cluster, "[RULES]\nIN ACCEPT -p tcp -dport 80\n");
    let verdict = lab.verdict(&outside(), &lab.node(), &tcp("192.0.2.1", 80));
    assert_eq!(verdict.outcome, Accept);
    assert_eq!(verdict.because, [Origin::Rule(List::Host, 0)]);
    let off = Lab::new(
        &cluster,
        "[OPTIONS]\nenable: 0\n[RULES]\nIN DROP -p tcp -dport 81\n",
    );
    assert_eq!(off.to_node(tcp("192.0.2.1", 81)), Accept);
}

#[test]
fn management_comes_after_all_rules_so_a_rule_can_close_it() {
    let lab = Lab::new(ON, "");
    for port in [8006, 22, 5900, 5999, 3128, 60_000, 60_050] {
        assert_eq!(lab.to_node(tcp("10.0.0.77", port)), Accept, "{port}");
        assert_eq!(lab.to_node(tcp("192.0.2.1", port)), Drop, "{port}");
    }
    let verdict = lab.verdict(&outside(), &lab.node(), &tcp("10.0.0.77", 22));
    assert_eq!(verdict.because, [Origin::Builtin(Builtin::Management)]);
    let closed = Lab::new(&format!("{ON}[RULES]\nIN DROP -p tcp -dport 22\n"), "");
    assert_eq!(closed.to_node(tcp("10.0.0.77", 22)), Drop);
    assert_eq!(closed.to_node(tcp("10.0.0.77", 8006)), Accept);
}

#[test]
fn the_set_management_adds_to_the_node_s_network_and_the_alias_replaces_it() {
    let added = format!("{ON}[IPSET management]\n192.0.2.0/24\n");
    let lab = Lab::new(&added, "");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 22)), Accept);
    assert_eq!(lab.to_node(tcp("10.0.0.77", 22)), Accept);
    let replaced = format!("{ON}[ALIASES]\nlocal_network 198.51.100.0/24\n");
    let lab = Lab::new(&replaced, "");
    assert_eq!(lab.to_node(tcp("198.51.100.7", 22)), Accept);
    assert_eq!(lab.to_node(tcp("10.0.0.77", 22)), Drop);
}

#[test]
fn rules_can_use_management_and_local_network_only_where_the_datacenter_defines_them() {
    let rules = "[RULES]\nIN ACCEPT -p tcp -dport 80 -source +management\n\
                 IN ACCEPT -p tcp -dport 81 -source local_network\n";
    let lab = Lab::new(&format!("{ON}{rules}"), "");
    assert_eq!(lab.to_node(tcp("10.0.0.77", 80)), Drop);
    assert_eq!(lab.to_node(tcp("10.0.0.77", 81)), Drop);
    let defined = format!("{ON}[ALIASES]\nlocal_network 10.0.0.0/24\n[IPSET management]\n{rules}");
    let lab = Lab::new(&defined, "");
    assert_eq!(lab.to_node(tcp("10.0.0.77", 80)), Accept);
    assert_eq!(lab.to_node(tcp("10.0.0.77", 81)), Accept);
}

#[test]
fn a_node_opens_management_only_in_its_network_and_no_migration_where_its_policy_drops() {
    let lab = Lab::new(&format!("{ON}policy_out: DROP\n"), "");
    let to = |dest: &str, port| {
        let mut packet = tcp("10.0.0.11", port);
        packet.dest = lab::address(dest);
        lab.out_of_node(packet)
    };
    assert_eq!(to("10.0.0.12", 8006), Accept);
    assert_eq!(to("10.0.0.12", 60_000), Drop);
    assert_eq!(to("192.0.2.1", 8006), Drop);
}

#[test]
fn what_a_rule_refers_to_must_stand_above_it() {
    let lab = Lab::new(
        &format!("{ON}[RULES]\nIN ACCEPT -source friend\n[ALIASES]\nfriend 192.0.2.1\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Drop);
    let lab = Lab::new(
        &format!("{ON}[ALIASES]\nFriend 192.0.2.1\n[RULES]\nIN ACCEPT -source fRIEND\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Accept);
}

#[test]
fn groups_and_sets_are_in_lower_case_and_references_are_not() {
    let cluster = format!(
        "{ON}[IPSET Friends]\n192.0.2.1\n[RULES]\nIN ACCEPT -p tcp -dport 80 -source +Friends\n\
         GROUP Web\nIN ACCEPT -p tcp -dport 81 -source +friends\nGROUP web\n\
         [group Web]\nIN ACCEPT -p tcp -dport 443\n"
    );
    let lab = Lab::new(&cluster, "");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Drop);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 81)), Accept);
    assert_eq!(lab.to_node(tcp("192.0.2.9", 443)), Accept);
    let only_wrong = cluster.replace("GROUP web\n", "");
    assert_eq!(
        Lab::new(&only_wrong, "").to_node(tcp("192.0.2.9", 443)),
        Drop
    );
}

#[test]
fn a_guest_s_own_alias_comes_first_and_a_scope_chooses() {
    let cluster = format!("{ON}[ALIASES]\nfriend 192.0.2.1\n");
    let guest = |reference: &str| {
        format!("{ON}[ALIASES]\nfriend 198.51.100.1\n[RULES]\nIN ACCEPT -source {reference}\n")
    };
    for (reference, friend) in [
        ("friend", "198.51.100.1"),
        ("guest/friend", "198.51.100.1"),
        ("dc/friend", "192.0.2.1"),
    ] {
        let lab = Lab::new(&cluster, "").vm(100, &guest(reference));
        for sender in ["192.0.2.1", "198.51.100.1"] {
            let wanted = if sender == friend { Accept } else { Drop };
            assert_eq!(lab.to(100, tcp(sender, 80)), wanted, "{reference} {sender}");
        }
    }
}

#[test]
fn a_guest_scope_in_a_datacenter_rule_passes_the_check_and_then_only_that_rule_is_lost() {
    let cluster = format!(
        "{ON}[ALIASES]\nfriend 192.0.2.1\n[RULES]\nIN ACCEPT -source guest/friend\n\
         IN ACCEPT -p tcp -dport 443\n"
    );
    let lab = Lab::new(&cluster, "");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Drop);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 443)), Accept);
}

/// A group whose second rule passes the check and fails in the compiler.
const BROKEN_GROUP: &str = "[ALIASES]\nfriend 192.0.2.1\n[group shared]\n\
     IN ACCEPT -p tcp -dport 80\nIN ACCEPT -source guest/friend\nIN ACCEPT -p tcp -dport 443\n";

#[test]
fn a_group_that_cannot_be_compiled_leaves_its_first_guest_open_and_its_second_half_filtered() {
    // The check of a group's rule looks for the name in the datacenter, the compiler in a guest that is not there.
    let guest = "[OPTIONS]\nenable: 1\npolicy_out: DROP\n[RULES]\nGROUP shared\n";
    let lab = Lab::new(&format!("{ON}{BROKEN_GROUP}"), "")
        .vm(101, guest)
        .vm(102, guest);
    assert_eq!(lab.to(101, tcp("192.0.2.9", 22)), Accept);
    assert_eq!(lab.out_of(101, tcp("10.0.0.101", 22)), Accept);
    assert_eq!(lab.to(102, tcp("192.0.2.9", 80)), Accept);
    assert_eq!(lab.to(102, tcp("192.0.2.9", 443)), Drop);
    // Its chain outwards is never made: the half-made one is in the way.
    assert_eq!(lab.out_of(102, tcp("10.0.0.102", 22)), Accept);
    // An alias that is not found has no version of IP: the rule fails in the lists of both.
    assert_eq!(lab.to(101, tcp6("2001:db8::9", 22)), Accept);
}

#[test]
fn guests_are_compiled_as_machines_then_containers_by_the_text_of_their_number() {
    let guest = "[OPTIONS]\nenable: 1\n[RULES]\nGROUP shared\n";
    let lab = Lab::new(&format!("{ON}{BROKEN_GROUP}"), "")
        .ct(100, guest, "")
        .vm(99, guest)
        .vm(1000, guest);
    assert_eq!(lab.to(1000, tcp("192.0.2.9", 22)), Accept);
    assert_eq!(lab.to(99, tcp("192.0.2.9", 22)), Drop);
    assert_eq!(lab.to(100, tcp("192.0.2.9", 22)), Drop);
}

#[test]
fn on_a_node_a_group_that_cannot_be_compiled_loses_its_line_and_nothing_else() {
    let lab = Lab::new(
        &format!("{ON}{BROKEN_GROUP}"),
        "[RULES]\nGROUP shared\nIN ACCEPT -p tcp -dport 7\n",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.9", 80)), Drop);
    assert_eq!(lab.to_node(tcp("192.0.2.9", 7)), Accept);
    // The node was the first to bring the group in: a guest finds it half made.
    let guest = "[OPTIONS]\nenable: 1\n[RULES]\nGROUP shared\n";
    let lab = lab.vm(100, guest);
    assert_eq!(lab.to(100, tcp("192.0.2.9", 80)), Accept);
    assert_eq!(lab.to(100, tcp("192.0.2.9", 443)), Drop);
}

#[test]
fn a_group_with_a_name_too_long_for_a_chain_leaves_guests_open() {
    for (name, length, wanted) in [
        ("a-name-of-18-lette", 18, Drop),
        ("a-name-of-20-letters", 20, Accept),
    ] {
        assert_eq!(name.len(), length);
        let lab = Lab::new(
            &format!("{ON}[group {name}]\nIN ACCEPT -p tcp -dport 80\n"),
            "",
        )
        .vm(
            100,
            &format!("[OPTIONS]\nenable: 1\n[RULES]\nGROUP {name}\n"),
        );
        assert_eq!(lab.to(100, tcp("192.0.2.9", 22)), wanted, "{name}");
    }
}

#[test]
fn a_missing_group_is_empty() {
    let lab = Lab::new(ON, "").vm(
        100,
        "[OPTIONS]\nenable: 1\n[RULES]\nGROUP nobody\nIN ACCEPT -p tcp -dport 80\n",
    );
    assert_eq!(lab.to(100, tcp("192.0.2.9", 80)), Accept);
    assert_eq!(lab.to(100, tcp("192.0.2.9", 81)), Drop);
}

#[test]
fn an_interface_at_a_group_s_line_selects_a_guest_s_interface() {
    let group = "[group web]\nIN ACCEPT -p tcp -dport 80\n";
    let lab = Lab::new(&format!("{ON}{group}"), "").vm(
        100,
        "[OPTIONS]\nenable: 1\n[RULES]\nGROUP web -i net1\nIN ACCEPT -p tcp -dport 81 -i net0\n",
    );
    assert_eq!(lab.to(100, tcp("192.0.2.9", 80)), Drop);
    assert_eq!(lab.to(100, tcp("192.0.2.9", 81)), Accept);
}

#[test]
fn what_a_guest_may_send_reaches_the_node_past_a_group_line_of_another_interface() {
    // The mark that lets the guest's packet out is still there when the node looks at the mark after its group, which the packet did
    // not go through because it came in by another interface.
    let cluster = format!("{ON}[group web]\nIN ACCEPT -p tcp -dport 80\n");
    let lab = Lab::new(&cluster, "[RULES]\nGROUP web -i eth0\n").vm(100, ON);
    assert_eq!(lab.to_node(tcp("10.0.0.100", 7777)), Drop);
    let verdict = lab.verdict(&lab.nic(100), &lab.node(), &tcp("10.0.0.100", 7777));
    assert_eq!(verdict.outcome, Accept);
    // Bound to the interface it comes in by, the group takes the mark away.
    let lab = Lab::new(&cluster, "[RULES]\nGROUP web -i vmbr0\n").vm(100, ON);
    let verdict = lab.verdict(&lab.nic(100), &lab.node(), &tcp("10.0.0.100", 7777));
    assert_eq!(verdict.outcome, Drop);
}

#[test]
fn between_guests_both_lists_of_rules_count() {
    let lab = Lab::new(ON, "")
        .vm(
            100,
            "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -p tcp -dport 80\n",
        )
        .vm(
            101,
            "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 80:81\n",
        );
    let between = |port| {
        lab.verdict(&lab.nic(100), &lab.nic(101), &tcp("10.0.0.100", port))
            .outcome
    };
    assert_eq!(between(80), Drop);
    assert_eq!(between(81), Accept);
    assert_eq!(between(82), Drop);
}

#[test]
fn the_blacklist_holds_for_nodes_and_into_guests_but_not_out_of_them() {
    let cluster = format!("{ON}[IPSET blacklist]\n192.0.2.66\n10.0.0.100\n");
    let lab = Lab::new(&cluster, "[RULES]\nIN ACCEPT\n")
        .vm(100, "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n")
        .vm(101, "[OPTIONS]\nenable: 0\n")
        .vm_without_firewall(102, "[OPTIONS]\nenable: 1\n");
    assert_eq!(lab.to_node(tcp("192.0.2.66", 80)), Drop);
    assert_eq!(lab.to(100, tcp("192.0.2.66", 80)), Drop);
    assert_eq!(lab.out_of(100, tcp("10.0.0.100", 80)), Accept);
    // A guest whose own firewall is off, on an interface that has one: the blacklist holds, rules do not.
    assert_eq!(lab.to(101, tcp("192.0.2.66", 80)), Drop);
    assert_eq!(lab.to(101, tcp("192.0.2.1", 80)), Accept);
    // An interface without a firewall: nothing holds.
    assert_eq!(lab.to(102, tcp("192.0.2.66", 80)), Accept);
}

#[test]
fn the_ip_filter_of_a_machine_without_a_set_stops_all_its_ipv4_but_dhcp() {
    let lab = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\nipfilter: 1\n");
    assert_eq!(lab.out_of(100, tcp("10.0.0.100", 80)), Drop);
    let mut dhcp = udp("0.0.0.0", 67);
    dhcp.source_port = 68;
    assert_eq!(lab.out_of(100, dhcp.clone()), Accept);
    let strict = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\nipfilter: 1\ndhcp: 0\n");
    assert_eq!(strict.out_of(100, dhcp), Drop);
    // The link-local address of its MAC address passes, another does not.
    assert_eq!(
        lab.out_of(100, tcp6("fe80::be24:11ff:fe00:100", 80)),
        Accept
    );
    assert_eq!(lab.out_of(100, tcp6("fe80::1", 80)), Drop);
}

#[test]
fn a_set_named_like_a_filter_filters_without_the_option() {
    let lab = Lab::new(ON, "").vm(
        100,
        "[OPTIONS]\nenable: 1\n[IPSET ipfilter-net0]\n10.0.0.100\n",
    );
    assert_eq!(lab.out_of(100, tcp("10.0.0.100", 80)), Accept);
    let verdict = lab.verdict(&lab.nic(100), &outside(), &tcp("10.0.0.101", 80));
    assert_eq!(verdict.outcome, Drop);
    assert_eq!(verdict.because, [Origin::Builtin(Builtin::IpFilter)]);
}

#[test]
fn a_container_s_fixed_addresses_pass_its_ip_filter() {
    let lab = Lab::new(ON, "").ct(
        200,
        "[OPTIONS]\nenable: 1\nipfilter: 1\n",
        "ip=10.0.0.200/24,ip6=2001:db8::200/64",
    );
    assert_eq!(lab.out_of(200, tcp("10.0.0.200", 80)), Accept);
    assert_eq!(lab.out_of(200, tcp("10.0.0.201", 80)), Drop);
    assert_eq!(lab.out_of(200, tcp6("2001:db8::200", 80)), Accept);
    assert_eq!(lab.out_of(200, tcp6("2001:db8::201", 80)), Drop);
}

#[test]
fn a_foreign_mac_address_is_dropped_unless_the_filter_is_off() {
    let mut forged = tcp("10.0.0.100", 80);
    forged.mac = Some(0xdead);
    let lab = Lab::new(ON, "").vm(100, ON);
    assert_eq!(lab.out_of(100, forged.clone()), Drop);
    let lab = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\nmacfilter: 0\n");
    assert_eq!(lab.out_of(100, forged), Accept);
}

#[test]
fn neighbour_discovery_passes_unless_off_and_router_advertisements_only_with_radv() {
    let nd = |kind| icmp("fe80::be24:11ff:fe00:100", kind);
    let lab = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\npolicy_out: DROP\n");
    assert_eq!(lab.out_of(100, nd(135)), Accept);
    assert_eq!(lab.out_of(100, nd(134)), Drop);
    assert_eq!(lab.to(100, nd(134)), Accept);
    let radv = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\npolicy_out: DROP\nradv: 1\n");
    assert_eq!(radv.out_of(100, nd(134)), Accept);
    let off = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\npolicy_out: DROP\nndp: 0\n");
    assert_eq!(off.out_of(100, nd(135)), Drop);
}

#[test]
fn rejecting_drops_icmp_and_a_dropping_policy_rejects_one_port_of_ipv6() {
    let lab = Lab::new(ON, "").vm(100, "[OPTIONS]\nenable: 1\npolicy_in: REJECT\n");
    assert_eq!(lab.to(100, tcp("192.0.2.1", 80)), Reject);
    assert_eq!(lab.to(100, icmp("192.0.2.1", 8)), Drop);
    let lab = Lab::new(ON, "").vm(100, ON);
    assert_eq!(lab.to(100, tcp6("2001:db8::1", 43)), Reject);
    assert_eq!(lab.to(100, tcp("192.0.2.1", 43)), Drop);
}

#[test]
fn of_a_set_s_elements_the_longest_prefix_decides() {
    let cluster = format!(
        "{ON}[IPSET some]\n!192.0.2.64/26\n192.0.2.66\n192.0.2.9/24\n[RULES]\nIN ACCEPT -source +some\n"
    );
    let lab = Lab::new(&cluster, "");
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Accept);
    assert_eq!(lab.to_node(tcp("192.0.2.65", 80)), Drop);
    assert_eq!(lab.to_node(tcp("192.0.2.66", 80)), Accept);
}

#[test]
fn addresses_with_bits_after_the_prefix_are_fine_in_sets_and_errors_in_rules() {
    let lab = Lab::new(
        &format!("{ON}[RULES]\nIN ACCEPT -source 192.0.2.9/24\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.9", 80)), Drop);
    let lab = Lab::new(
        &format!("{ON}[ALIASES]\nnet 192.0.2.9/24\n[RULES]\nIN ACCEPT -source net\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.77", 80)), Accept);
}

#[test]
fn rules_with_errors_do_nothing() {
    for broken in [
        "IN ACCEPT -dport 80",
        "IN ACCEPT -p icmp -sport 80",
        "IN ACCEPT -p tcp -dport 70000",
        "IN ACCEPT -p tcp -dport 90:80",
        "IN ACCEPT -p tcp -dport 80,,81",
        "IN ACCEPT -p tcp -dport 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,80",
        "IN ACCEPT -source 192.0.2.1,2001:db8::1",
        "IN ACCEPT -source 192.0.2.1 -dest 2001:db8::1",
        "IN ACCEPT -source 192.0.2.0-192.0.2.9,192.0.2.1",
        "IN ACCEPT -source +nothing",
        "IN ACCEPT -source nobody",
        "IN ACCEPT -p tcp -dport 80 -icmp-type echo-request",
        "IN Ping(ACCEPT) -p tcp",
        "IN HTTP(ACCEPT) -p tcp -dport 81",
        "IN DNS(ACCEPT) -p tcp",
        "FORWARD ACCEPT",
        "|IN ACCEPT",
        "OUT ACCEPT",
    ] {
        let lab = Lab::new(&format!("{ON}[RULES]\n{broken}\n"), "");
        for packet in [tcp("192.0.2.1", 80), icmp("192.0.2.1", 8)] {
            assert_eq!(lab.to_node(packet), Drop, "{broken}");
        }
    }
    for fine in [
        "IN ACCEPT -p tcp -dport 80,8000:8100",
        "IN http(ACCEPT)",
        "IN HTTP(ACCEPT) -p tcp -dport 80",
        "IN ACCEPT -p 6 -dport http",
        "IN ACCEPT -p udp,tcp",
        "IN ACCEPT -source 192.0.2.0-192.0.2.9",
    ] {
        let lab = Lab::new(&format!("{ON}[RULES]\n{fine}\n"), "");
        let wanted = if fine.contains("udp,tcp") {
            // A list of protocols is none that is known.
            Unknown
        } else {
            Accept
        };
        assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), wanted, "{fine}");
    }
}

#[test]
fn the_check_of_tcp_s_flags_stops_first_packets_from_port_0_only() {
    let mut packet = tcp("192.0.2.1", 80);
    for (flags, port, wanted) in [(1, 0, Drop), (1, 1, Accept), (0, 0, Accept)] {
        let host = format!("[OPTIONS]\ntcpflags: {flags}\n[RULES]\nIN ACCEPT\n");
        let lab = Lab::new(ON, &host).vm(100, "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n");
        packet.source_port = port;
        assert_eq!(lab.to_node(packet.clone()), wanted, "{flags} {port}");
        assert_eq!(lab.to(100, packet.clone()), wanted, "{flags} {port}");
    }
}

#[test]
fn what_is_not_known_is_said_only_where_it_matters() {
    let lab = Lab::new(
        &format!(
            "{ON}[RULES]\nIN ACCEPT -p tcp -dport 80\nIN Brandnew(ACCEPT) -source 192.0.2.0/24\n"
        ),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Accept);
    let verdict = lab.verdict(&outside(), &lab.node(), &tcp("192.0.2.1", 81));
    assert_eq!(verdict.outcome, Unknown);
    assert!(verdict.because[0].to_string().contains("Brandnew"));
    assert_eq!(lab.to_node(tcp("198.51.100.1", 81)), Drop);
}

#[test]
fn sets_that_sdn_makes_are_unknown_unless_proxmox_finds_none() {
    use bailiwick::health::reach::{Entry, Environment, Objects, Read};
    let lab = Lab::new(
        &format!("{ON}[RULES]\nIN ACCEPT -p tcp -dport 80 -source +sdn/net1-all\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Unknown);
    assert_eq!(lab.to_node(tcp("192.0.2.1", 81)), Drop);
    let lab = Lab::new(
        &format!("{ON}[RULES]\nIN ACCEPT -source +net1-gateway\n"),
        "",
    );
    assert_eq!(lab.to_node(tcp("192.0.2.1", 80)), Unknown);
    let mut text = fw_file::rule("IN ACCEPT -source +net1-gateway").unwrap();
    text.errors.insert("source".into(), "no such ipset".into());
    let entry = Entry::read(&text, Environment::Host, &Objects::default(), None);
    assert!(matches!(entry.read, Read::Ignored(_)));
}

#[test]
fn the_cluster_network_is_open_between_addresses_of_one_link() {
    let corosync = "nodelist {\n node {\n name: pve1\n ring0_addr: 10.0.0.11\n ring1_addr: 10.1.0.11\n }\n\
         node {\n name: pve2\n ring0_addr: 10.0.0.12\n ring1_addr: 10.1.0.12\n }\n}\n";
    let lab = Lab::new(ON, "").corosync(corosync);
    let ring = |source: &str, dest: &str| {
        let mut packet = udp(source, 5405);
        packet.dest = lab::address(dest);
        lab.to_node(packet)
    };
    assert_eq!(ring("10.0.0.12", "10.0.0.11"), Accept);
    assert_eq!(ring("10.1.0.12", "10.1.0.11"), Accept);
    assert_eq!(ring("10.1.0.12", "10.0.0.11"), Drop);
    assert_eq!(ring("10.0.0.13", "10.0.0.11"), Drop);
    assert_eq!(ring("10.0.0.12", "224.0.0.9"), Drop);
    let lab = Lab::new(ON, "").corosync(&format!("totem {{\n transport: udp\n}}\n{corosync}"));
    let mut packet = udp("10.0.0.12", 5405);
    packet.dest = lab::address("224.0.0.9");
    assert_eq!(lab.to_node(packet), Accept);
}

#[test]
fn an_unreadable_firewall_is_unknown_and_not_empty() {
    use bailiwick::health::reach::Known;
    let mut lab = Lab::new(ON, "").vm(100, ON).vm(101, ON);
    lab.model.guests.get_mut(&100).unwrap().firewall = Known::Unread("403".into());
    assert_eq!(lab.to(100, tcp("192.0.2.1", 80)), Unknown);
    assert_eq!(lab.to(101, tcp("192.0.2.1", 80)), Drop);
    // Which guest finds a broken group half made depends on the one that could not be read.
    let mut lab = Lab::new(&format!("{ON}{BROKEN_GROUP}"), "")
        .vm(100, ON)
        .vm(101, "[OPTIONS]\nenable: 1\n[RULES]\nGROUP shared\n");
    lab.model.guests.get_mut(&100).unwrap().firewall = Known::Unread("403".into());
    assert_eq!(lab.to(101, tcp("192.0.2.1", 22)), Unknown);
    lab.model.cluster = Known::Unread("no answer".into());
    assert_eq!(lab.to_node(tcp("192.0.2.1", 22)), Unknown);
}

#[test]
fn a_changed_rule_is_told_in_sentences() {
    let before = Lab::new(ON, "").vm(
        117,
        "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 5432 -source 10.20.0.0/16\n\
         IN ACCEPT -p tcp -dport 80\n",
    );
    let after = Lab::new(ON, "").vm(
        117,
        "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 80\nIN ACCEPT -p tcp -dport 22\n\
         IN Ping(ACCEPT) -source 192.0.2.1\n",
    );
    let (before, after) = (before.compiled(), after.compiled());
    let mut spaces = Spaces::default();
    let changes = changes(&before, &after, &after.ways(), &mut spaces);
    let said: Vec<String> = changes
        .iter()
        .flat_map(|change| change.sentences(&after))
        .collect();
    assert_eq!(
        said,
        [
            "10.20.0.0/16 can no longer open vm/117:5432",
            "192.0.2.1 can now ping vm/117",
            "the internet (IPv4) can now open vm/117:22",
            "the internet (IPv6) can now open vm/117:22",
        ]
    );
}

#[test]
fn a_node_that_only_one_may_still_manage_is_told_so() {
    let before = Lab::new(ON, "").compiled();
    let after = Lab::new(
        &format!("{ON}[RULES]\nIN ACCEPT -p tcp -dport 8006 -source 10.0.0.4\nIN DROP -p tcp -dport 8006\n"),
        "",
    )
    .compiled();
    let said: Vec<String> = changes(&before, &after, &after.ways(), &mut Spaces::default())
        .iter()
        .flat_map(|change| change.sentences(&after))
        .collect();
    assert_eq!(
        said,
        ["10.0.0.0/30 and 10.0.0.5-10.0.0.254 can no longer open node pve1:8006"]
    );
}

#[test]
fn what_is_open_is_a_set() {
    let lab = Lab::new(ON, "");
    let compiled = lab.compiled();
    let way = lab.way(&outside(), &lab.node());
    let mut space = Space::new(Family::V4);
    let reach = compiled.reach(&mut space, &way).unwrap();
    let said = compiled.sentences(&way, Family::V4, &reach.asked, &reach.open, Verb::Can);
    assert_eq!(
        said,
        [
            "the internet (IPv4) can reach node pve1 with igmp",
            "10.0.0.0-10.0.0.254 can open node pve1:22,3128,5900-5999,8006,60000-60050",
        ]
    );
}

#[test]
fn a_question_is_answered_for_everybody_it_is_about() {
    use bailiwick::health::reach::{Who, target};
    let lab = Lab::new(ON, "").vm(
        117,
        "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -source 10.20.9.0/24\nIN ACCEPT -p tcp -dport 5432 -source 10.20.0.0/16\n",
    );
    let compiled = lab.compiled();
    let ask = |from: &str, to: &str| -> Vec<(String, String)> {
        let (to, service) = target(to).unwrap();
        let parts = compiled.ask(&Who::parse(from).unwrap(), &to, service);
        let parts = parts.unwrap();
        parts
            .iter()
            .map(|part| (part.sentence(&compiled), part.reason()))
            .collect()
    };
    let said = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(
        ask("10.20.0.0/16", "vm/117:5432"),
        [
            said(
                "10.20.0.0/16 but 10.20.9.0/24 can open vm/117:5432",
                "rule 1 of guest 117 (for 10.20.0.0)"
            ),
            said(
                "10.20.9.0/24 cannot open vm/117:5432",
                "rule 0 of guest 117 (for 10.20.9.0)"
            ),
        ]
    );
    assert_eq!(
        ask("192.0.2.7", "vm/117:53/udp"),
        [said(
            "192.0.2.7 cannot open vm/117:53/udp",
            "the policy DROP of guest 117 (the default)"
        )]
    );
    assert_eq!(
        ask("vm/117", "node/pve1:ping"),
        [
            said(
                "vm/117 cannot ping node pve1",
                "the policy ACCEPT of guest 117 (the default), then the policy DROP of the datacenter (the default) (for 1.0.0.0)"
            ),
            said(
                "vm/117 cannot ping node pve1",
                "the policy ACCEPT of guest 117 (the default), then the policy DROP of the datacenter (the default) (for ::2)"
            ),
        ]
    );
    for wrong in ["vm/x:22", "vm/117", "pve1:22", "vm/117:22/gre"] {
        assert!(target(wrong).is_err(), "{wrong}");
    }
    let (to, service) = target("ct/117:22").unwrap();
    assert!(compiled.ask(&Who::Anybody, &to, service).is_err());
}

#[test]
fn a_rule_bound_to_an_interface_is_unknown_where_nobody_knows_the_interface() {
    use bailiwick::health::reach::End;
    let lab = Lab::new(ON, "[RULES]\nIN ACCEPT -i eth1 -p tcp -dport 80\n");
    let node = End::Node {
        name: "pve1".into(),
        iface: None,
    };
    let outcome = |port| {
        lab.verdict(&outside(), &node, &tcp("192.0.2.1", port))
            .outcome
    };
    assert_eq!(outcome(80), Unknown);
    assert_eq!(outcome(81), Drop);
}

/// The API's fields give the same as the file's lines.
#[test]
fn the_api_s_texts_are_read_like_the_file_s() {
    use bailiwick::health::reach::{Compiled, GuestKind, Known, RuleText, read};
    let cluster = format!(
        "{ON}policy_in: REJECT\n[ALIASES]\nfriend 192.0.2.1\n[IPSET some]\n192.0.2.0/24\n!192.0.2.64/26\nfriend\n\
         [RULES]\nIN SSH(ACCEPT) -source +some\nGROUP web\n[group web]\nIN ACCEPT -p tcp -dport 80\n"
    );
    let lab = Lab::new(&cluster, "").vm(100, "[OPTIONS]\nenable: 1\n[RULES]\nGROUP web\n");
    let fields = |pairs: &[(&str, &str)]| {
        let fields = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        RuleText::of_fields(&fields, &std::collections::BTreeMap::new())
    };
    let options = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let web = || fields(&[("type", "group"), ("action", "web"), ("enable", "1")]);
    let text = read::ScopeText {
        faulty: vec![],
        options: options(&[("enable", "1"), ("policy_in", "REJECT")]),
        aliases: vec![("friend".into(), "192.0.2.1".into())],
        sets: vec![(
            "some".into(),
            vec![
                ("192.0.2.0/24".into(), false),
                ("192.0.2.64/26".into(), true),
                ("friend".into(), false),
            ],
        )],
        rules: vec![
            fields(&[
                ("type", "in"),
                ("action", "ACCEPT"),
                ("macro", "SSH"),
                ("source", "+some"),
                ("enable", "1"),
            ]),
            web(),
            fields(&[("type", "in"), ("action", "ACCEPT")]),
        ],
        groups: vec![(
            "web".into(),
            vec![fields(&[
                ("type", "in"),
                ("action", "ACCEPT"),
                ("proto", "tcp"),
                ("dport", "80"),
                ("enable", "1"),
            ])],
        )],
    };
    let mut model = lab.model.clone();
    let shared = text.cluster();
    let guest = read::ScopeText {
        options: options(&[("enable", "1")]),
        rules: vec![web()],
        ..read::ScopeText::default()
    };
    let own = model.guests.get_mut(&100).unwrap();
    own.firewall = Known::Read(Some(guest.guest(&shared.objects)));
    own.nics = [(
        "net0".to_owned(),
        read::nic(
            GuestKind::Vm,
            "virtio=BC:24:11:00:01:00,bridge=vmbr0,firewall=1",
        ),
    )]
    .into();
    model.cluster = Known::Read(shared);
    let (file, api) = (lab.compiled(), Compiled::new(&model));
    for way in file.ways() {
        for family in Family::BOTH {
            let reach = |compiled: &Compiled| {
                let mut space = Space::new(family);
                compiled.reach(&mut space, &way).unwrap()
            };
            assert_eq!(reach(&file), reach(&api), "{way:?}");
        }
    }
    let ct = read::nic(
        GuestKind::Ct,
        "name=eth0,hwaddr=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,ip=10.0.0.7/24,ip6=auto",
    );
    assert!(ct.firewall && ct.addresses.len() == 1 && ct.mac == Some(0xbc24_1100_0001));
}

/// The walk of one packet and the function of all agree everywhere, boxes are disjoint, and a difference is what it says: on random
/// configurations, at random packets and at the edges of what the rules name.
#[test]
fn one_packet_and_all_packets_are_decided_alike() {
    let mut chance = lab::Chance(7);
    for round in 0..60 {
        let (before, after) = (lab::random(&mut chance), lab::random(&mut chance));
        let (before, after) = (before.compiled(), after.compiled());
        let mut spaces = Spaces::default();
        let ways = lab::ways();
        let all = changes(&before, &after, &ways, &mut spaces);
        for way in &ways {
            for family in Family::BOTH {
                let space = spaces.of(family);
                let was = before.function(space, way).unwrap();
                let is = after.function(space, way).unwrap();
                let reach = after.reach(space, way).unwrap();
                let change = all.iter().find(|c| c.way == *way && c.family == family);
                for _ in 0..60 {
                    let packet: Packet = lab::packet(&mut chance, family);
                    let old = before.verdict(way, &packet).unwrap().outcome;
                    let new = after.verdict(way, &packet).unwrap().outcome;
                    assert_eq!(space.outcome(was, &packet), Some(old), "{round} {packet:?}");
                    assert_eq!(space.outcome(is, &packet), Some(new), "{round} {packet:?}");
                    if !reach.asked.sources.contains(packet.source)
                        || !reach.asked.dests.contains(packet.dest)
                    {
                        continue;
                    }
                    let within = |cells: &[bailiwick::health::reach::Cell]| {
                        cells.iter().filter(|cell| cell.contains(&packet)).count()
                    };
                    assert_eq!(within(&reach.open), usize::from(new == Accept));
                    assert_eq!(within(&reach.unsure), usize::from(new == Unknown));
                    let unsure = old == Unknown || new == Unknown;
                    let lost = !unsure && old == Accept && new != Accept;
                    let gained = !unsure && old != Accept && new == Accept;
                    match change {
                        Some(change) => {
                            assert_eq!(within(&change.lost), usize::from(lost));
                            assert_eq!(within(&change.gained), usize::from(gained));
                            assert_eq!(within(&change.unsure), usize::from(unsure));
                        }
                        None => assert!(!lost && !gained, "{round} {way:?} {packet:?}"),
                    }
                }
            }
        }
    }
}
