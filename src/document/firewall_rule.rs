//! A rule of a firewall, as documents say it: of the kinds `Firewall` and `SecurityGroup`.

use std::collections::BTreeMap;

use super::desired::DesiredBlock;
use super::options::{options, words};
use super::scalar::{
    BlockName, FirewallComment, FirewallPeer, FirewallPorts, IcmpType, InterfaceName, MacroName,
    ProtocolName, RuleAction,
};

words! {
    /// What a rule is for.
    pub enum RuleDirection { In = "in", Out = "out", Forward = "forward", Group = "group" }
}
words! {
    /// How much is logged.
    pub enum LogLevel {
        Emerg = "emerg", Alert = "alert", Crit = "crit", Err = "err", Warning = "warning", Notice = "notice", Info = "info",
        Debug = "debug", Nolog = "nolog",
    }
}

options! {
    /// A rule. The first that matches decides.
    pub struct FirewallRule {
        /// What it is for: packets that come in, go out, or are forwarded; `group` has the rules of a security group stand here. Always to be
        /// written.
        direction: Option<RuleDirection> = "type" by hand,
        /// What becomes of a packet that matches, `ACCEPT`, `DROP` or `REJECT`; with the direction `group`, the security group's name. Always
        /// to be written.
        action: Option<RuleAction> = "action" by hand,
        /// Whether it counts. Default `true`, whatever Proxmox VE's own default for new rules is.
        enabled: Option<bool> = "enable" by hand,
        /// A service by name (`SSH`, `HTTPS`), which stands for its protocol and ports.
        r#macro: Option<MacroName> = "macro" by hand,
        /// The protocol, by name or number.
        proto: Option<ProtocolName> = "proto" by hand,
        /// From where: addresses, networks and ranges between commas, an alias, or a set as `+NAME`; `dc/` and `guest/` before a name say whose.
        source: Option<FirewallPeer> = "source" by hand,
        /// To where, as `source`.
        dest: Option<FirewallPeer> = "dest" by hand,
        /// From which ports: numbers and names of services between commas, or one range such as `1024:65535`. It needs `proto`.
        sport: Option<FirewallPorts> = "sport" by hand,
        /// To which ports, as `sport`.
        dport: Option<FirewallPorts> = "dport" by hand,
        /// Only on this interface: of a node its name, of a guest `net0`.
        iface: Option<InterfaceName> = "iface" by hand,
        /// Only this type of ICMP, by name or number. It needs `proto`.
        icmp_type: Option<IcmpType> = "icmp-type" by hand,
        /// How much is logged of what it matches. Default nothing.
        log: Option<LogLevel> = "log" by hand,
        /// A comment.
        comment: Option<FirewallComment> = "comment" by hand,
    }
}

words! {
    /// Where a block comes into a list.
    pub enum BlockPlace { Top = "top", End = "end" }
}

options! {
    /// The rules between two markers of a list that people share. The markers are rules that are off and do nothing, with the comments
    /// `bailiwick:begin NAME` and `bailiwick:end NAME`. All rules before and behind them are other people's: none is changed, moved or taken
    /// away. People may move the whole block; if the markers are not one pair in order, nothing is planned until somebody mends them.
    pub struct RuleBlock {
        /// The block's name, which its markers carry. Always to be written.
        name: Option<BlockName> = "" by hand,
        /// Where the block comes in while its markers are not in the list: before all other rules (`top`) or behind them (`end`). Default
        /// `end`. Once it is there it stays where its markers are.
        place: Option<BlockPlace> = "" by hand,
        /// The rules between the markers, whole and in order: one that is not here goes. Always to be written; it may be empty.
        rules: Option<Vec<FirewallRule>> = "" by hand,
    }
}

impl RuleBlock {
    /// What this asks for in Proxmox VE's words, if it says enough.
    pub fn desired(&self) -> Option<DesiredBlock> {
        Some(DesiredBlock {
            name: self.name.as_ref()?.as_str().to_owned(),
            at_top: self.place == Some(BlockPlace::Top),
            rules: self
                .rules
                .as_ref()?
                .iter()
                .map(FirewallRule::fields)
                .collect(),
        })
    }
}

impl FirewallRule {
    /// The rule's fields under Proxmox VE's names; `enable` is always among them, since a new rule is off unless it says otherwise.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let on = if self.enabled == Some(false) {
            "0"
        } else {
            "1"
        };
        let fields = [
            ("type", self.direction.map(RuleDirection::as_str)),
            ("action", self.action.as_ref().map(RuleAction::as_str)),
            ("enable", Some(on)),
            ("macro", self.r#macro.as_ref().map(MacroName::as_str)),
            ("proto", self.proto.as_ref().map(ProtocolName::as_str)),
            ("source", self.source.as_ref().map(FirewallPeer::as_str)),
            ("dest", self.dest.as_ref().map(FirewallPeer::as_str)),
            ("sport", self.sport.as_ref().map(FirewallPorts::as_str)),
            ("dport", self.dport.as_ref().map(FirewallPorts::as_str)),
            ("iface", self.iface.as_ref().map(InterfaceName::as_str)),
            ("icmp-type", self.icmp_type.as_ref().map(IcmpType::as_str)),
            ("log", self.log.map(LogLevel::as_str)),
            (
                "comment",
                self.comment.as_ref().map(FirewallComment::as_str),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}
