//! From the texts of Proxmox VE's API and files to the typed configuration: options, aliases, sets, rules, interfaces of guests. A place is
//! read in the order in which Proxmox VE writes its file: aliases, sets, rules, groups; so everything a rule may refer to is there.

use std::collections::BTreeMap;

use super::address::{Address, Network};
use super::model::{Cluster, Corosync, GuestFirewall, GuestKind, Host, Link, Nic, VnetFirewall};
use super::objects::Objects;
use super::rule::{Action, Entry, Environment, RuleText};

/// A firewall's configuration at one place, as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeText {
    /// The options that are set.
    pub options: BTreeMap<String, String>,
    /// Aliases: name and address or network.
    pub aliases: Vec<(String, String)>,
    /// Sets by name: each element with whether it is an exception.
    pub sets: Vec<(String, Vec<(String, bool)>)>,
    /// Elements that Proxmox VE finds fault with, by set: they are in none of the lists above.
    pub faulty: Vec<(String, (String, bool))>,
    /// Rules, in order.
    pub rules: Vec<RuleText>,
    /// Security groups by name, their rules in order. Only the datacenter has some.
    pub groups: Vec<(String, Vec<RuleText>)>,
}

impl RuleText {
    /// A rule from its fields under the API's names, and what Proxmox VE finds wrong with it. A rule without `enable` is off.
    #[must_use]
    pub fn of_fields(fields: &BTreeMap<String, String>, errors: &BTreeMap<String, String>) -> Self {
        let field = |name: &str| fields.get(name).cloned();
        Self {
            kind: field("type").unwrap_or_default(),
            action: field("action").unwrap_or_default(),
            macro_name: field("macro"),
            iface: field("iface"),
            source: field("source"),
            dest: field("dest"),
            proto: field("proto"),
            sport: field("sport"),
            dport: field("dport"),
            icmp_type: field("icmp-type"),
            comment: field("comment"),
            enable: fields
                .get("enable")
                .is_some_and(|value| !matches!(value.as_str(), "" | "0")),
            errors: errors.clone(),
        }
    }
}

impl ScopeText {
    fn flag(&self, key: &str) -> Option<bool> {
        self.options
            .get(key)
            .map(|value| !matches!(value.as_str(), "" | "0"))
    }

    fn policy(&self, key: &str) -> Option<Action> {
        match self.options.get(key)?.to_ascii_uppercase().as_str() {
            "ACCEPT" => Some(Action::Accept),
            "DROP" => Some(Action::Drop),
            "REJECT" => Some(Action::Reject),
            _ => None,
        }
    }

    fn objects(&self, shared: Option<&Objects>) -> Objects {
        let mut objects = Objects::default();
        for (name, cidr) in &self.aliases {
            objects.add_alias(name, cidr);
        }
        for (name, elements) in &self.sets {
            objects.define_set(name, elements, shared);
        }
        for (name, element) in &self.faulty {
            let written = objects.written.entry(name.clone()).or_default();
            written.push(element.clone());
        }
        objects
    }

    /// The datacenter's firewall.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let objects = self.objects(None);
        let entries = |rules: &[RuleText], environment, own| -> Vec<Entry> {
            rules
                .iter()
                .map(|rule| Entry::read(rule, environment, &objects, own))
                .collect()
        };
        let groups = self.groups.iter().map(|(name, rules)| {
            let entries = entries(rules, Environment::Group, None);
            (name.to_ascii_lowercase(), entries)
        });
        Cluster {
            enable: self.flag("enable") == Some(true),
            confirming: self
                .options
                .get("enable")
                .is_some_and(|enable| epoch(enable)),
            policy_in: self.policy("policy_in"),
            policy_out: self.policy("policy_out"),
            policy_forward: self.policy("policy_forward"),
            groups: groups.collect(),
            rules: entries(&self.rules, Environment::Cluster, Some(&objects)),
            objects: objects.clone(),
        }
    }

    /// A node's firewall; `shared` are the datacenter's objects.
    #[must_use]
    pub fn host(&self, shared: &Objects) -> Host {
        let read = |rule| Entry::read(rule, Environment::Host, shared, None);
        Host {
            enable: self.flag("enable"),
            ndp: self.flag("ndp"),
            nosmurfs: self.flag("nosmurfs"),
            tcpflags: self.flag("tcpflags") == Some(true),
            allow_invalid: self.flag("nf_conntrack_allow_invalid") == Some(true),
            nftables: self.flag("nftables") == Some(true),
            synflood: self.flag("protection_synflood") == Some(true),
            helpers: self.options.get("nf_conntrack_helpers").cloned(),
            rules: self.rules.iter().map(read).collect(),
        }
    }

    /// A guest's firewall; `shared` are the datacenter's objects.
    #[must_use]
    pub fn guest(&self, shared: &Objects) -> GuestFirewall {
        let objects = self.objects(Some(shared));
        let read = |rule| Entry::read(rule, Environment::Guest, shared, Some(&objects));
        GuestFirewall {
            enable: self.flag("enable") == Some(true),
            dhcp: self.flag("dhcp"),
            ndp: self.flag("ndp"),
            radv: self.flag("radv") == Some(true),
            macfilter: self.flag("macfilter"),
            ipfilter: self.flag("ipfilter") == Some(true),
            ips: self.flag("ips") == Some(true),
            policy_in: self.policy("policy_in"),
            policy_out: self.policy("policy_out"),
            rules: self.rules.iter().map(read).collect(),
            objects,
        }
    }

    /// A vnet's firewall; `shared` are the datacenter's objects.
    #[must_use]
    pub fn vnet(&self, shared: &Objects) -> VnetFirewall {
        let read = |rule| Entry::read(rule, Environment::Vnet, shared, None);
        VnetFirewall {
            enable: self.flag("enable") == Some(true),
            policy_forward: self.policy("policy_forward"),
            rules: self.rules.iter().map(read).collect(),
        }
    }
}

/// Whether a value of the datacenter's `enable` is no switch but a time: a change is being confirmed.
#[must_use]
pub fn epoch(enable: &str) -> bool {
    enable.parse::<u64>().is_ok_and(|value| value > 1)
}

/// Reads a MAC address as a number.
#[must_use]
pub fn mac(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(fits) {
        return None;
    }
    u64::from_str_radix(&parts.concat(), 16).ok()
}

/// The models of network cards that the nftables backend can read.
const MODELS: &[&str] = &["virtio", "e1000", "rtl8139", "vmxnet3", "veth"];

/// Reads a guest's interface from the value of `netN` in its configuration.
#[must_use]
pub fn nic(kind: GuestKind, value: &str) -> Nic {
    let mut nic = Nic::default();
    let mut key_of_model = None;
    for (position, part) in value.split(',').enumerate() {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match (kind, key) {
            (_, "firewall") => {
                nic.firewall = matches!(
                    value.to_ascii_lowercase().as_str(),
                    "1" | "on" | "yes" | "true"
                );
            }
            (_, "bridge") => value.clone_into(&mut nic.bridge),
            (GuestKind::Ct, "ip" | "ip6") => {
                let address = value.split('/').next().unwrap_or_default();
                nic.addresses.extend(Address::parse(address));
            }
            (GuestKind::Ct, "hwaddr") | (GuestKind::Vm, "macaddr") => nic.mac = mac(value),
            (GuestKind::Vm, "model") => key_of_model = Some(value),
            // A machine's model stands before its MAC address: `virtio=BC:24:…`.
            (GuestKind::Vm, _) if position == 0 => {
                nic.mac = mac(value);
                key_of_model = Some(key);
            }
            _ => {}
        }
    }
    let known = kind == GuestKind::Ct || key_of_model.is_some_and(|model| MODELS.contains(&model));
    nic.readable = known && nic.mac.is_some();
    nic
}

/// The cluster network from the transport and each member's addresses by link. A name instead of an address is left out: only the
/// node can look it up.
///
/// # Errors
/// A member has a name where an address should be: what its links open is not known.
pub fn corosync<'a>(
    transport: Option<&str>,
    members: impl IntoIterator<Item = (&'a str, u32, &'a str)>,
) -> Result<Corosync, String> {
    let mut links = Vec::new();
    for (node, number, address) in members {
        let address = Address::parse(address).ok_or_else(|| {
            format!("link {number} of node {node} has the name {address}, not an address")
        })?;
        links.push(Link {
            node: node.to_owned(),
            number,
            address,
        });
    }
    Ok(Corosync {
        multicast: transport == Some("udp"),
        links,
    })
}

/// What `local_network` means on a node without an alias of that name: the network of its addresses that contains its address in the
/// cluster. `None` if no network does.
#[must_use]
pub fn local_network<'a>(
    own: Address,
    networks: impl IntoIterator<Item = &'a Network>,
) -> Option<Network> {
    networks
        .into_iter()
        .filter(|network| network.address.family == own.family)
        .find(|network| network.addresses().contains(own.value))
        .map(|network| Network {
            address: Address {
                family: own.family,
                value: network.span().0,
            },
            prefix: network.prefix,
        })
}
