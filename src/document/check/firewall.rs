//! What fields of firewalls say together: of aliases, sets, security groups and whole firewalls.

use std::collections::BTreeSet;

use super::super::desired::FirewallScope;
use super::super::firewall::{self, FirewallSpec};
use super::super::firewall_rule::{FirewallRule, RuleBlock, RuleDirection};
use super::super::ip_set::IpSetSpec;
use super::super::metadata::Metadata;
use super::super::{Kind, schema};
use super::Check;

impl Check<'_> {
    /// An alias or a set of a firewall goes by the document's name unless `spec.name` says otherwise.
    pub(super) fn named(&mut self, metadata: &Metadata, named: bool, what: &str) {
        if !named {
            let name = super::super::validate::short(&metadata.name);
            self.push(
                &["metadata", "name"],
                format!(
                    "`{name}` is no {what}'s name: letters, digits, `-` and `_`, beginning with a letter, at least two characters (a security group's at most 18, others at most 64)"
                ),
                &format!("give the name of the {what} as `spec.name`"),
            );
        }
    }

    /// No element stands in a set twice, however it is spelled.
    pub(super) fn ip_set(&mut self, spec: &IpSetSpec) {
        let mut seen = BTreeSet::new();
        let elements = spec.entries.iter().flatten();
        for element in elements.filter_map(|entry| entry.cidr.as_ref()) {
            if !seen.insert(element.as_str()) {
                self.push(
                    &["spec", "entries"],
                    format!("`{}` is in `spec.entries` twice", element.as_str()),
                    "remove one of them",
                );
            }
        }
    }

    /// The rules of a list: all of them, or a block.
    pub(super) fn rule_list(
        &mut self,
        rules: Option<&[FirewallRule]>,
        block: Option<&RuleBlock>,
        of_group: bool,
    ) {
        self.rules(&["spec", "rules"], rules.unwrap_or_default(), of_group);
        let Some(block) = block else { return };
        let path = ["spec", "block"];
        if rules.is_some() {
            let what = "`spec.rules` is the whole list and `spec.block` a part of it";
            self.push(&path, what, "write one of the two");
        }
        if block.name.is_none() || block.rules.is_none() {
            self.push(&path, "a block has a `name` and `rules`", "");
        }
        let inside = block.rules.as_deref().unwrap_or_default();
        self.rules(&["spec", "block", "rules"], inside, of_group);
        for (at, rule) in inside.iter().enumerate() {
            let comment = rule.comment.as_ref().map_or("", |text| text.as_str());
            if comment.starts_with("bailiwick:begin") || comment.starts_with("bailiwick:end") {
                let what = format!("rule {at} has the comment of a block's marker");
                self.push(&["spec", "block", "rules"], what, "write another comment");
            }
        }
    }

    fn rules(&mut self, path: &[&str], rules: &[FirewallRule], of_group: bool) {
        for (at, rule) in rules.iter().enumerate() {
            let mut say = |what: String| self.push(path, format!("rule {at} {what}"), "");
            let verdict = rule.action.as_ref().map_or("", |action| action.as_str());
            let verdict = matches!(verdict, "ACCEPT" | "DROP" | "REJECT");
            let group = rule.direction == Some(RuleDirection::Group);
            if group && of_group {
                say("calls a security group, and a security group cannot call others".to_owned());
            } else if group && verdict {
                say(
                    "has the direction `group`, so its `action` is a security group's name"
                        .to_owned(),
                );
            } else if !group && !verdict {
                say("needs `ACCEPT`, `DROP` or `REJECT` as its `action`; with the direction `group` a security group's name".to_owned());
            }
            let more = [
                rule.r#macro.is_some(),
                rule.proto.is_some(),
                rule.source.is_some(),
                rule.dest.is_some(),
                rule.sport.is_some(),
                rule.dport.is_some(),
                rule.icmp_type.is_some(),
                rule.log.is_some(),
            ];
            if group && more.contains(&true) {
                say("calls a security group, of which only `iface`, `enabled` and `comment` can be said".to_owned());
            }
            for (field, there) in [
                ("sport", rule.sport.is_some()),
                ("dport", rule.dport.is_some()),
                ("icmpType", rule.icmp_type.is_some()),
            ] {
                if there && rule.proto.is_none() {
                    say(format!("has `{field}`, which needs `proto`"));
                }
            }
        }
    }

    pub(super) fn firewall(&mut self, spec: &FirewallSpec) {
        let Some(scope) = spec.scope() else {
            return self.push(
                &["spec"],
                "a firewall is exactly one of `cluster: true`, `node: NAME`, `guest: VMID` and `vnet: NAME`",
                "",
            );
        };
        for key in spec.typed_keys() {
            if !firewall::has(&scope, &key) {
                let typed = schema::typed_keys(Kind::Firewall);
                let field = typed.get(&key).and_then(|path| path.rsplit('.').next());
                let field = field.unwrap_or(&key);
                let whose = match scope {
                    FirewallScope::Cluster => "the datacenter",
                    FirewallScope::Node(_) => "a node",
                    FirewallScope::Guest(_) => "a guest",
                    FirewallScope::Vnet(_) => "a vnet",
                };
                let message = format!("the firewall of {whose} has no `{field}`");
                self.push(&["spec", "options", field], message, "remove the line");
            }
        }
        self.rule_list(spec.rules.as_deref(), spec.block.as_ref(), false);
        if let FirewallScope::Vnet(_) = scope {
            let block = spec.block.as_ref().and_then(|block| block.rules.as_deref());
            self.of_vnet(&["spec", "rules"], spec.rules.as_deref());
            self.of_vnet(&["spec", "block", "rules"], block);
        }
    }

    /// At a vnet everything is forwarded, and there is no interface that could be named.
    fn of_vnet(&mut self, path: &[&str], rules: Option<&[FirewallRule]>) {
        for (at, rule) in rules.into_iter().flatten().enumerate() {
            if let Some(RuleDirection::In | RuleDirection::Out) = rule.direction {
                let what = format!("rule {at} of a vnet has the direction `forward` or `group`");
                self.push(path, what, "");
            }
            if rule.iface.is_some() {
                let what = format!("rule {at} of a vnet has no `iface`");
                self.push(path, what, "remove the line");
            }
        }
    }
}
