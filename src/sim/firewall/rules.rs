//! Rules: of the cluster, a node, a guest, a vnet, or a security group.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::files::digest;
use super::super::formats::COUNT;
use super::super::params::{Kind, Param};
use super::super::state::Cluster;
use super::file::{File, Rule, print_rules};
use super::{DIGEST, Place, forms};

const TYPES: Kind = Kind::Enum(&["in", "out", "forward", "group"]);
const ACTION: Kind = Kind::All(&[Kind::Pattern(forms::is_name), Kind::TextMax(20)]);

/// What a new rule must have.
pub const NEW: &[Param] = &[
    Param::required("action", ACTION),
    Param::required("type", TYPES),
    Param::new("pos", COUNT),
];
/// What a change of a rule may have besides.
pub const CHANGE: &[Param] = &[
    Param::new("action", ACTION),
    Param::new("type", TYPES),
    Param::new("delete", Kind::FormList(super::super::formats::config_id)),
    Param::new("moveto", COUNT),
];
/// The expected digest.
pub const DELETE: &[Param] = &[DIGEST];
/// A rule's fields.
pub const RULE: &[Param] = &[
    Param::new("comment", Kind::Text),
    Param::new(
        "dest",
        Kind::All(&[Kind::Form(forms::address), Kind::TextMax(512)]),
    ),
    DIGEST,
    Param::new("dport", Kind::Form(forms::ports)),
    Param::new("enable", COUNT),
    Param::new("icmp-type", Kind::Form(forms::icmp_type)),
    Param::new("iface", Kind::Form(forms::interface)),
    Param::new(
        "log",
        Kind::Enum(&[
            "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog",
        ]),
    ),
    Param::new("macro", Kind::TextMax(128)),
    Param::new("proto", Kind::Form(forms::protocol)),
    Param::new(
        "source",
        Kind::All(&[Kind::Form(forms::address), Kind::TextMax(512)]),
    ),
    Param::new("sport", Kind::Form(forms::ports)),
];
/// Fields that need another.
const NEEDS: &[(&str, &str)] = &[
    ("dport", "proto"),
    ("sport", "proto"),
    ("icmp-type", "proto"),
];
const FIELDS: &[&str] = &[
    "action",
    "comment",
    "dest",
    "dport",
    "icmp-type",
    "iface",
    "log",
    "macro",
    "proto",
    "source",
    "sport",
    "type",
];

/// The rules a request is about.
fn rules<'a>(file: &'a mut File, call: &Call) -> Result<&'a mut Vec<Rule>, ApiError> {
    let Some(name) = call.get("group") else {
        return Ok(&mut file.rules);
    };
    let group = file.groups.iter_mut().find(|group| group.name == name);
    group
        .map(|group| &mut group.rules)
        .ok_or_else(|| ApiError::internal(format!("no such security group '{name}'")))
}

/// What is wrong with a rule: references to what is not there, unknown macros, fields without those they need.
fn faults(
    cluster: &Cluster,
    call: &Call,
    rule: &Rule,
) -> std::collections::BTreeMap<String, String> {
    let mut faults = std::collections::BTreeMap::new();
    if let Some(name) = rule.get("macro")
        && !forms::MACROS.contains(&name.as_str())
    {
        faults.insert("macro".to_owned(), format!("unknown macro '{name}'"));
    }
    if let Some(kind) = rule.get("type")
        && Place::of(call) == Place::Vnet
        && !matches!(kind.as_str(), "forward" | "group")
    {
        let text = format!("invalid rule type '{kind}' for rule_env 'vnet'");
        faults.insert("type".to_owned(), text);
    }
    if rule.contains_key("iface") && Place::of(call) == Place::Vnet {
        let text = "parameter -i not allowed for this rule type";
        faults.insert("iface".to_owned(), text.to_owned());
    }
    for (field, needed) in NEEDS {
        if rule.contains_key(*field) && !rule.contains_key(*needed) {
            let text = format!("missing property - '{field}' requires this property");
            faults.insert((*needed).to_owned(), text);
        }
    }
    let own = super::read(cluster, call);
    let shared = super::datacenter(cluster);
    for field in ["source", "dest"] {
        let Some(text) = rule.get(field) else {
            continue;
        };
        let (set, reference) = match text.strip_prefix('+') {
            Some(reference) => (true, reference),
            None if forms::is_alias(text) => (false, text.as_str()),
            None => continue,
        };
        let (scope, name) = forms::scoped(reference);
        let has = |file: &File| {
            if set {
                file.sets.iter().any(|set| set.name == name)
            } else {
                file.aliases
                    .iter()
                    .any(|alias| alias.name.eq_ignore_ascii_case(name))
            }
        };
        let found = match (scope, Place::of(call)) {
            ("dc", _) | ("", Place::Cluster | Place::Node | Place::Vnet) => has(&shared),
            ("guest", place) => place == Place::Guest && has(&own),
            _ => has(&own) || has(&shared),
        };
        if !found {
            let what = if set { "ipset" } else { "alias" };
            faults.insert(field.to_owned(), format!("no such {what} '{reference}'"));
        }
    }
    faults
}

fn shown(cluster: &Cluster, call: &Call, rule: &Rule, position: Value, digest: &str) -> Value {
    let mut map = Map::new();
    for (field, value) in rule {
        map.insert(field.clone(), json!(value));
    }
    map.insert(
        "enable".into(),
        json!(u8::from(rule.contains_key("enable"))),
    );
    map.insert("pos".into(), position);
    map.insert("digest".into(), json!(digest));
    let version = ["source", "dest"]
        .iter()
        .find_map(|field| forms::version(rule.get(*field)?));
    if let Some(version) = version {
        map.insert("ipversion".into(), json!(version));
    }
    let mut faults = faults(cluster, call, rule);
    faults.retain(|field, _| matches!(field.as_str(), "source" | "dest"));
    if !faults.is_empty() {
        map.insert("errors".into(), json!(faults));
    }
    Value::Object(map)
}

/// All rules, in order.
pub fn list(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let rules = rules(&mut file, call)?.clone();
    let digest = digest(&print_rules(&rules));
    let show = |(at, rule)| shown(cluster, call, rule, json!(at), &digest);
    Ok(rules.iter().enumerate().map(show).collect())
}

fn position(call: &Call, rules: &[Rule]) -> Result<usize, ApiError> {
    let text = call.text("pos");
    let found = text.parse::<usize>().ok().filter(|at| *at < rules.len());
    found.ok_or_else(|| ApiError::internal(format!("no rule at position {text}")))
}

/// One rule.
pub fn get(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let rules = rules(&mut file, call)?.clone();
    let at = position(call, &rules)?;
    let digest = digest(&print_rules(&rules));
    let rule = rules.get(at).cloned().unwrap_or_default();
    Ok(shown(cluster, call, &rule, json!(at.to_string()), &digest))
}

/// Puts what was sent into a rule; empty texts take a field away.
fn fill(rule: &mut Rule, call: &Call) {
    for field in FIELDS {
        match call.get(field) {
            None => {}
            Some("") => drop(rule.remove(*field)),
            Some(value) => {
                let value = if matches!(*field, "source" | "dest") {
                    clean(value)
                } else {
                    value.to_owned()
                };
                rule.insert((*field).to_owned(), value);
            }
        }
    }
    match call.int("enable") {
        None => {}
        Some(0) => drop(rule.remove("enable")),
        Some(_) => drop(rule.insert("enable".into(), "1".into())),
    }
}

fn clean(text: &str) -> String {
    let part = |part: &str| forms::cidr(part).map_or_else(|| part.to_owned(), |(_, clean)| clean);
    text.split(',').map(part).collect::<Vec<_>>().join(",")
}

fn verified(cluster: &Cluster, call: &Call, rule: &Rule) -> Result<(), ApiError> {
    let faults = faults(cluster, call, rule);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::parameters(faults))
    }
}

/// A new rule goes to the top, whatever `pos` says.
pub fn create(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let list = rules(&mut file, call)?;
    let mut rule = Rule::new();
    fill(&mut rule, call);
    verified(cluster, call, &rule)?;
    list.insert(0, rule);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Changes a rule, or moves it: then everything else that was sent is ignored.
pub fn update(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let list = rules(&mut file, call)?;
    super::unmodified(call, &digest(&print_rules(list)))?;
    let at = position(call, list)?;
    let mut rule = list.remove(at);
    if let Some(to) = call.int("moveto").and_then(|to| usize::try_from(to).ok()) {
        let to = if to > at { to - 1 } else { to };
        list.insert(to.min(list.len()), rule);
    } else {
        for field in call.list("delete") {
            if field == "type" || field == "action" {
                return Err(ApiError::parameter(
                    field,
                    "property is missing and it is not optional",
                ));
            }
            rule.remove(&field);
        }
        fill(&mut rule, call);
        verified(cluster, call, &rule)?;
        list.insert(at, rule);
    }
    super::write(cluster, call, &file);
    Ok(Value::Null)
}

/// Removes a rule.
pub fn delete(cluster: &mut Cluster, call: &Call) -> Answer {
    let mut file = super::read(cluster, call);
    let list = rules(&mut file, call)?;
    super::unmodified(call, &digest(&print_rules(list)))?;
    let at = position(call, list)?;
    list.remove(at);
    super::write(cluster, call, &file);
    Ok(Value::Null)
}
