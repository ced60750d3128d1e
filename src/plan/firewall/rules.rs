//! Lists of rules: from what a document says to the calls that make it so, by [`rule_list`]'s edit script.

use std::collections::BTreeMap;

use super::super::draft::{Phase, Planner};
use super::super::error::Reason;
use super::super::input::{Item, Wanted};
use super::super::model::BlockChange;
use super::super::rule_list::{self, Block, Edit, Groups, RuleListError, same};
use super::super::words::{clean, difference, few, short};
use super::{At, EFFECT};
use crate::document::desired::{Desired, DesiredBlock};
use crate::health::reach::macros;
use crate::proxmox::firewall::{network, reference};
use crate::world::action::firewall::object_of;
use crate::world::firewall::{FirewallPart, Place, Rule};
use crate::world::{Action, FirewallAction, RuleList, Section, Site};

/// A rule in a few words.
pub fn words(fields: &Section) -> String {
    let get = |key: &str| fields.get(key).map_or("", String::as_str);
    // Of a marker of a block nothing counts but its comment.
    if rule_list::is_marker(fields) {
        return clean(get("comment"));
    }
    let mut text = match get("type") {
        "group" => format!("group {}", get("action")),
        kind => format!("{kind} {}", get("action")),
    };
    let parts = [
        ("macro", ""),
        ("proto", ""),
        ("source", "from "),
        ("sport", "from port "),
        ("dest", "to "),
        ("dport", "port "),
        ("icmp-type", ""),
        ("iface", "on "),
    ];
    for (key, word) in parts {
        if !get(key).is_empty() {
            text.push_str(&format!(" {word}{}", get(key)));
        }
    }
    if !(Rule {
        fields: fields.clone(),
        ..Rule::default()
    })
    .enabled()
    {
        text.push_str(" (off)");
    }
    clean(&text)
}

/// A rule's fields under Proxmox VE's names.
type Fields = BTreeMap<String, String>;

/// What shall become of a list of rules.
#[derive(Clone, Copy)]
pub(super) enum Rules<'a> {
    /// It has these and no others.
    Whole(&'a [Fields]),
    /// It has this block; and not the one of this name, which the document had before.
    Block(&'a DesiredBlock, Option<&'a str>),
    /// It has no block of this name.
    Without(&'a str),
}

impl<'a> Rules<'a> {
    /// What a document says of a list, if it says anything. `was` is the name of the block that it managed before.
    pub(super) fn of(
        rules: Option<&'a Vec<Fields>>,
        block: Option<&'a DesiredBlock>,
        was: Option<&'a str>,
    ) -> Option<Self> {
        let renamed = |block: &DesiredBlock| was.filter(|was| *was != block.name);
        let block = block.map(|block| Self::Block(block, renamed(block)));
        block.or_else(|| rules.map(|rules| Self::Whole(rules)))
    }

    /// The calls that make it so.
    fn script(self, target: &Target<'_>, groups: &Groups) -> Result<Vec<Edit>, RuleListError> {
        let live = target.live;
        match self {
            Self::Whole(wanted) => rule_list::script(live, &as_rules(wanted), groups),
            Self::Without(name) => rule_list::script_without_block(live, name, groups),
            Self::Block(block, was) => {
                let former = was.map(|was| rule_list::markers(live, was)).transpose()?;
                let former = former.flatten().map(|at| at.begin);
                let block_of = Block {
                    name: &block.name,
                    new_at: former.or(block.at_top.then_some(0)),
                    forward: matches!(target.at.site, Site::Vnet { .. }),
                };
                let wanted = as_rules(&block.rules);
                let mut edits = rule_list::script_of_block(live, &block_of, &wanted, groups)?;
                if let Some(was) = was {
                    let states = rule_list::states(live, &edits);
                    let then = states.last().map_or(live, Vec::as_slice);
                    edits.extend(rule_list::script_without_block(then, was, groups)?);
                }
                Ok(edits)
            }
        }
    }

    /// The names of the blocks that it is about.
    fn blocks(self) -> impl Iterator<Item = &'a str> {
        let (one, other) = match self {
            Self::Whole(_) => (None, None),
            Self::Block(block, was) => (Some(block.name.as_str()), was),
            Self::Without(name) => (Some(name), None),
        };
        one.into_iter().chain(other)
    }
}

fn as_rules(all: &[Fields]) -> Vec<Rule> {
    let rule = |fields: &Fields| Rule {
        fields: fields.clone(),
        ..Rule::default()
    };
    all.iter().map(rule).collect()
}

/// The rules between a block's markers, with the position of the first; `None` if these are not there.
fn inside<'r>(list: &'r [Rule], name: &str) -> Option<(usize, &'r [Rule])> {
    let at = rule_list::markers(list, name).ok().flatten()?;
    Some((at.begin + 1, at.inside(list)))
}

/// A list of rules that a document is about.
pub(super) struct Target<'a> {
    pub at: &'a At,
    pub list: RuleList,
    pub object: &'a str,
    pub live: &'a [Rule],
    pub phase: Phase,
}

impl Planner<'_, '_> {
    /// The security groups whose rules this plan does not change.
    pub(super) fn groups_that_stay(&self, items: &[&Item]) -> Groups {
        let changed: Vec<&str> = items
            .iter()
            .filter_map(|item| match &item.wanted {
                Wanted::Present(Desired::SecurityGroup(group))
                    if group.rules.is_some() || group.block.is_some() =>
                {
                    Some(group.name.as_str())
                }
                Wanted::Present(_) | Wanted::Removed { .. } => None,
            })
            .collect();
        let Ok(scope) = self.input.world.firewalls.scope(&Place::Cluster) else {
            return Groups::new();
        };
        let going = &self.drafts.going;
        let groups = scope.groups.iter().filter(|(name, _)| {
            let object = object_of(&Place::Cluster, &FirewallPart::Group((*name).clone()));
            !changed.contains(&name.as_str()) && !going.contains(&object)
        });
        groups
            .map(|(name, group)| (name.clone(), group.rules.clone()))
            .collect()
    }

    /// The steps that make a list what a document says.
    pub(super) fn rule_steps(
        &mut self,
        item: &Item,
        target: &Target<'_>,
        wanted: Rules<'_>,
        groups: &Groups,
    ) {
        let edits = match wanted.script(target, groups) {
            Ok(edits) => edits,
            Err(error) => {
                let why = error.to_string();
                let field = match wanted {
                    Rules::Whole(_) => "rules",
                    Rules::Block(..) | Rules::Without(_) => "block",
                };
                return self
                    .drafts
                    .problem(&item.key, field, Reason::Refused { why });
            }
        };
        if edits.is_empty() {
            return;
        }
        let states = rule_list::states(target.live, &edits);
        for (edit, list) in edits.iter().zip(&states) {
            self.names_known(item, target.at, edit, list);
            self.interface_told(target, edit, list);
            let Some((title, action)) = step(target, edit, list) else {
                continue;
            };
            self.firewall_step(target.at, target.phase, title, action);
        }
        let end = states.last().map_or(target.live, Vec::as_slice);
        match wanted {
            Rules::Whole(wanted) => {
                self.rules_told(target, (0, target.live), &as_rules(wanted), "rules");
            }
            Rules::Block(..) | Rules::Without(_) => {
                for name in wanted.blocks() {
                    self.block_told(target, name, end);
                }
            }
        }
    }

    /// What becomes of a block; `end` is the list as it will be.
    fn block_told(&mut self, target: &Target<'_>, name: &str, end: &[Rule]) {
        let (before, after) = (inside(target.live, name), inside(end, name));
        let field = format!("block.{name}");
        let whole = match (before, after) {
            (None, Some((at, _))) => {
                let made = format!("made at position {}", at.saturating_sub(1));
                Some((None, Some(made)))
            }
            (Some(_), None) => Some((Some("there".to_owned()), None)),
            _ => None,
        };
        let (was, is) = (
            before.map_or((0, [].as_slice()), |inside| inside),
            after.map_or([].as_slice(), |(_, inside)| inside),
        );
        match &whole {
            Some((before, after)) => {
                let (before, after) = (before.as_deref(), after.as_deref());
                self.drafts
                    .change(target.object, &field, before, after, EFFECT);
                if !was.1.is_empty() || !is.is_empty() {
                    self.rules_told(target, was, is, &field);
                }
            }
            None if was.1.len() == is.len() && was.1.iter().zip(is).all(|(a, b)| same(a, b)) => {}
            None => self.rules_told(target, was, is, &field),
        }
        let fields = |rules: &[Rule]| rules.iter().map(|rule| rule.fields.clone()).collect();
        self.drafts.blocks.push(BlockChange {
            site: target.at.site.clone(),
            list: target.list.clone(),
            name: name.to_owned(),
            before: before.map(|(_, rules)| fields(rules)),
            after: after.map(|(_, rules)| fields(rules)),
        });
    }

    /// Which rules come, go, and change places, of those that begin at this position.
    fn rules_told(
        &mut self,
        target: &Target<'_>,
        (first, live): (usize, &[Rule]),
        wanted: &[Rule],
        called: &str,
    ) {
        let mut left: Vec<Option<&Rule>> = wanted.iter().map(Some).collect();
        let mut told = false;
        for (at, rule) in live.iter().enumerate() {
            let kept = left.iter_mut().find(|other| {
                let other: &Option<&Rule> = other;
                other.is_some_and(|other| same(other, rule))
            });
            match kept {
                Some(kept) => *kept = None,
                None => {
                    told = true;
                    let (field, was) = (format!("{called}.{}", first + at), words(&rule.fields));
                    let was = told_with(&rule.fields, was);
                    self.drafts
                        .change(target.object, &field, Some(&was), None, EFFECT);
                }
            }
        }
        for (at, rule) in left.iter().enumerate() {
            if let Some(rule) = rule {
                told = true;
                let (field, is) = (format!("{called}.new.{at}"), words(&rule.fields));
                let is = told_with(&rule.fields, is);
                self.drafts
                    .change(target.object, &field, None, Some(&is), EFFECT);
            }
        }
        if !told {
            self.drafts.change(
                target.object,
                called,
                Some("in another order"),
                Some("in the document's order"),
                EFFECT,
            );
        }
    }

    /// What a rule that is written names has to be there: Proxmox VE refuses others, and leaves out what named something that went.
    fn names_known(&mut self, item: &Item, at: &At, edit: &Edit, list: &[Rule]) {
        let mut rule = match edit {
            Edit::Insert { fields } => fields.clone(),
            Edit::Update { position, .. } => {
                let changed = rule_list::apply(list, edit);
                let rule = changed.get(*position).cloned().unwrap_or_default();
                rule.fields
            }
            Edit::Move { .. } | Edit::Delete { .. } => return,
        };
        for field in ["source", "dest"] {
            let Some(text) = rule.remove(field) else {
                continue;
            };
            let (set, name) = match text.strip_prefix('+') {
                Some(name) => (true, name),
                None if network(&text).is_none() => (false, text.as_str()),
                None => continue,
            };
            if let Some((scope, name)) = reference(name) {
                self.peer_known(item, at, (set, scope, name), &text);
            }
        }
        let called = rule.get("type").is_some_and(|kind| kind == "group");
        if let (true, Some(name)) = (called, rule.get("action")) {
            let part = FirewallPart::Group(name.clone());
            if !self.firewall_has(&Site::Cluster, &part) {
                let scope = self.input.world.firewalls.scope(&Place::Cluster).ok();
                let known = scope.iter().flat_map(|scope| scope.groups.keys());
                let known = known.map(String::as_str);
                let nearest = self.going_or_nearest(&[(Site::Cluster, part)], name, known);
                let what = "security group";
                let name = name.clone();
                let reason = Reason::NoSuch {
                    what,
                    name,
                    nearest,
                };
                self.drafts.problem(&item.key, "rules", reason);
            }
        }
        if let Some(name) = rule.get("macro") {
            // One that this program does not know may be new; one that is nearly another is none.
            let nearest = super::super::nearest(name, macros());
            let other_case = macros().find(|known| known.eq_ignore_ascii_case(name));
            let nearest = other_case.map_or(nearest, |known| format!("; did you mean `{known}`?"));
            if !macros().any(|known| known == name) && !nearest.is_empty() {
                let (what, name) = ("macro", name.clone());
                let reason = Reason::NoSuch {
                    what,
                    name,
                    nearest,
                };
                self.drafts.problem(&item.key, "rules", reason);
            }
        }
    }

    fn peer_known(
        &mut self,
        item: &Item,
        at: &At,
        (set, scope, name): (bool, Option<&str>, &str),
        text: &str,
    ) {
        let part = if set {
            FirewallPart::Set(name.to_ascii_lowercase())
        } else {
            FirewallPart::Alias(name.to_ascii_lowercase())
        };
        let own = matches!(at.site, Site::Guest { .. }) && scope != Some("dc");
        let known = (own && self.firewall_has(&at.site, &part))
            || (scope != Some("guest") && self.firewall_has(&Site::Cluster, &part));
        if known {
            return;
        }
        let cluster = self.input.world.firewalls.scope(&Place::Cluster).ok();
        let names: Vec<&str> = cluster
            .iter()
            .flat_map(|scope| -> Vec<&str> {
                if set {
                    scope.ipsets.keys().map(String::as_str).collect()
                } else {
                    scope.aliases.keys().map(String::as_str).collect()
                }
            })
            .collect();
        let meant = [
            (at.site.clone(), part.clone(), own),
            (Site::Cluster, part, scope != Some("guest")),
        ];
        let meant = meant.into_iter().filter(|(.., meant)| *meant);
        let meant: Vec<_> = meant.map(|(site, part, _)| (site, part)).collect();
        let reason = Reason::NoSuch {
            what: if set { "set" } else { "alias" },
            name: text.to_owned(),
            nearest: self.going_or_nearest(&meant, name, names.into_iter()),
        };
        self.drafts.problem(&item.key, "rules", reason);
    }

    /// Why there is no such object: this plan deletes it, or another was meant, whose name is nearly the same.
    pub(super) fn going_or_nearest<'n>(
        &self,
        meant: &[(Site, FirewallPart)],
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> String {
        let going = |(site, part): &(Site, FirewallPart)| {
            self.drafts.going.contains(&object_of(&site.place(), part))
        };
        if meant.iter().any(going) {
            return ": it is there now, and this plan deletes it".to_owned();
        }
        super::super::nearest(name, known)
    }

    /// Whether an alias, set or group is there, or made by this plan, and not deleted by it.
    pub(super) fn firewall_has(&self, site: &Site, part: &FirewallPart) -> bool {
        let place = site.place();
        let object = object_of(&place, part);
        if self.drafts.going.contains(&object) {
            return false;
        }
        let firewalls = &self.input.world.firewalls;
        let live = firewalls.scope(&place);
        live.is_ok_and(|scope| scope.state(part).is_some())
            || self.drafts.steps.iter().any(|draft| match &draft.action {
                Action::Firewall(action) => action.makes().as_ref() == Some(&object),
                _ => false,
            })
    }
}

/// A rule's words with what they leave out.
fn told_with(fields: &Section, mut text: String) -> String {
    for key in ["log", "comment"] {
        if let Some(value) = fields.get(key).filter(|value| !value.is_empty()) {
            text.push_str(&format!(" ({key} {})", short(value)));
        }
    }
    text
}

/// The action of an edit, and its title. `list` is the list right before it.
fn step(target: &Target<'_>, edit: &Edit, list: &[Rule]) -> Option<(String, FirewallAction)> {
    let object = target.object;
    action(&target.at.site, &target.list, edit, list).map(|action| {
        let title = match &action {
            FirewallAction::InsertRule { fields, .. } => {
                format!("put `{}` at the top of {object}", words(fields))
            }
            FirewallAction::UpdateRule {
                position,
                set,
                delete,
                ..
            } => {
                let is = |key: &str| {
                    let rule = list.get(*position);
                    rule.and_then(|rule| rule.fields.get(key))
                        .map(String::as_str)
                };
                let set = set
                    .iter()
                    .map(|(key, value)| difference(key, is(key), Some(value)));
                let gone = delete.iter().map(|key| difference(key, is(key), None));
                let told: Vec<String> = set.chain(gone).collect();
                format!("change rule {position} of {object}: {}", few(&told))
            }
            FirewallAction::MoveRule { from, to, rule, .. } => {
                format!("move rule {from} of {object} (`{}`) to {to}", words(rule))
            }
            FirewallAction::DeleteRule { position, rule, .. } => {
                format!("delete rule {position} of {object} (`{}`)", words(rule))
            }
            _ => object.to_owned(),
        };
        (clean(&title), action)
    })
}

/// The action of an edit; `None` for a position that is not there.
pub(in crate::plan) fn action(
    site: &Site,
    of: &RuleList,
    edit: &Edit,
    list: &[Rule],
) -> Option<FirewallAction> {
    let (site, of) = (site.clone(), of.clone());
    let rule = |at: &usize| list.get(*at).map(|rule| rule.fields.clone());
    Some(match edit {
        Edit::Insert { fields } => FirewallAction::InsertRule {
            site,
            list: of,
            fields: fields.clone(),
            length: list.len(),
        },
        Edit::Update {
            position,
            set,
            delete,
        } => FirewallAction::UpdateRule {
            site,
            list: of,
            position: *position,
            set: set.clone(),
            delete: delete.iter().cloned().collect(),
        },
        Edit::Move { from, to } => FirewallAction::MoveRule {
            site,
            list: of,
            from: *from,
            to: *to,
            rule: rule(from)?,
        },
        Edit::Delete { position } => FirewallAction::DeleteRule {
            site,
            list: of,
            position: *position,
            rule: rule(position)?,
            length: list.len(),
        },
    })
}
