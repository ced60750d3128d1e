//! Groups, users, roles and access rules: what documents come to, in which order, what goes along, and the way back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::document::load;
use crate::plan::{AccountCheck, Item, Plan, Precondition, Risk, StepId, check, undo};
use crate::world::{AclEntry, Group, Part, Realm, Role, Token, User};

/// A cluster with users, groups, roles and what they are given.
pub(super) fn lab() -> Lab {
    let mut lab = Lab::new();
    let mut held = lab.world.permissions.as_ref().clone();
    for privilege in ["Group.Allocate", "User.Modify", "Realm.AllocateUser"] {
        held.get_mut("/")
            .unwrap()
            .insert(privilege.to_owned(), true);
    }
    let world = &mut lab.world;
    world.permissions = Arc::new(held);
    let user = |enabled| {
        Arc::new(User {
            enabled,
            ..User::default()
        })
    };
    for (id, enabled) in [("ann@pve", true), ("bob@pve", true), ("root@pam", true)] {
        world.users.insert(id.to_owned(), user(enabled));
    }
    for (id, privileges, special) in [
        (
            "Administrator",
            "Permissions.Modify Sys.Modify VM.Allocate VM.Audit VM.Backup VM.Console VM.PowerMgmt",
            true,
        ),
        ("NoAccess", "", true),
        ("PVEAuditor", "VM.Audit", true),
        ("Power", "VM.Audit VM.PowerMgmt", false),
    ] {
        let privileges = privileges.split_whitespace().map(str::to_owned).collect();
        let role = Role {
            privileges,
            special,
        };
        world.roles.insert(id.to_owned(), Arc::new(role));
    }
    for (id, members) in [("ops", "ann@pve"), ("dev", "ann@pve bob@pve")] {
        let group = Group {
            members: members.split_whitespace().map(str::to_owned).collect(),
            comment: None,
        };
        world.groups.insert(id.to_owned(), Arc::new(group));
    }
    for id in ["pam", "pve"] {
        let realm = Realm {
            realm_type: id.to_owned(),
        };
        world.realms.insert(id.to_owned(), Arc::new(realm));
    }
    lab
}

pub(super) fn entry(lab: &mut Lab, path: &str, subject: &str, role: &str, propagate: bool) {
    let (kind, id) = match subject.strip_prefix('@') {
        Some(group) => ("group", group),
        None if subject.contains('!') => ("token", subject),
        None => ("user", subject),
    };
    Arc::make_mut(&mut lab.world.acl).push(AclEntry {
        path: path.to_owned(),
        subject_type: kind.to_owned(),
        subject: id.to_owned(),
        role: role.to_owned(),
        propagate,
    });
}

pub(super) fn token(lab: &mut Lab, user: &str, name: &str) {
    let token = Token {
        separated: true,
        expires: 0,
        comment: Some("nightly checks".to_owned()),
    };
    let user = lab.world.users.get_mut(user).unwrap();
    Arc::make_mut(user).tokens.insert(name.to_owned(), token);
}

/// The item of a document.
pub(super) fn written(kind: &str, name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("{kind}/{name}"), documents[0].desired())
}

/// What is wrong with a document.
pub(super) fn wrong(kind: &str, name: &str, spec: &str) -> String {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    match load(&[("a.yaml", text)]) {
        Ok(_) => panic!("nothing is wrong with it"),
        Err(errors) => errors.to_string(),
    }
}

pub(super) fn gone(lab: &mut Lab, kind: &str, object: &str) -> Item {
    let name = object.replace(['/', ':', '@'], "-");
    let document = format!("{kind}/{name}");
    lab.own(object, &document);
    removed(&document, true)
}

/// Plans, and plans again on what comes of it: nothing is left. Taken back, everything is as before.
fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    assert_eq!(check(&plan), vec![]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    let still: Vec<Item> = items
        .into_iter()
        .filter(|item| item.hash.is_some())
        .collect();
    let rest = after.plan(still);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!(rest.changes, []);
    plan
}

/// What is there once a plan was carried out and taken back.
fn round(lab: &Lab, plan: &Plan) -> (Lab, Plan) {
    let mut after = Lab::new();
    after.world = lab.after(plan);
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(plan, &done, &after.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![]);
    let mut end = Lab::new();
    end.world = after.after(&back);
    (end, back)
}

fn same_accounts(one: &Lab, other: &Lab) {
    let (one, other) = (&one.world, &other.world);
    assert_eq!(one.groups, other.groups);
    assert_eq!(one.users, other.users);
    assert_eq!(one.roles, other.roles);
    let entries = |entries: &[AclEntry]| -> BTreeSet<String> {
        entries.iter().map(|entry| format!("{entry:?}")).collect()
    };
    assert_eq!(entries(&one.acl), entries(&other.acl));
}

/// Carried out and taken back, nothing is other than before.
fn comes_back(lab: &Lab, plan: &Plan) {
    let (end, _) = round(lab, plan);
    same_accounts(lab, &end);
}

#[test]
fn a_group_is_made_changed_and_left_alone() {
    let lab = lab();
    let plan = settles(&lab, vec![written("Group", "night", "{comment: on call}")]);
    assert_eq!(titles(&plan), ["make group/night"]);
    assert_eq!((plan.risk, plan.impacts.len()), (Risk::Low, 0));
    comes_back(&lab, &plan);
    let plan = settles(&lab, vec![written("Group", "ops", "{comment: on call}")]);
    assert_eq!(titles(&plan), ["set group/ops comment → `on call`"]);
    comes_back(&lab, &plan);
    let plan = settles(&lab, vec![written("Group", "ops", "{}")]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(plan.documents[0].adopts);
}

#[test]
fn a_deleted_group_names_its_entries_and_comes_back_with_them_and_its_members() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@dev", "Power", true);
    entry(&mut lab, "/vms/104", "@dev", "PVEAuditor", false);
    let away = gone(&mut lab, "Group", "group/dev");
    let plan = settles(&lab, vec![away]);
    assert_eq!(titles(&plan), ["delete group/dev"]);
    let told = facts_of(&plan, "group/dev");
    assert_eq!(
        told,
        [
            "loses-privilege AC03: PVEAuditor for group dev on /vms/104, not below; Power for group dev on /vms; ann@pve is no longer in it; bob@pve is no longer in it"
        ]
    );
    let listed = plan.steps[0].preconditions.iter().any(|p| {
        matches!(p, Precondition::Account(AccountCheck::Entries { entries, .. }) if entries.len() == 2)
    });
    assert!(listed);
    comes_back(&lab, &plan);
}

/// The impacts of an entity, without who gains and loses what by them.
pub(super) fn facts_of(plan: &Plan, entity: &str) -> Vec<String> {
    let of = plan.impacts.iter().filter(|impact| impact.entity == entity);
    of.map(|impact| {
        format!(
            "{} {}: {}",
            impact.category,
            impact.rule,
            impact.causes.join("; ")
        )
    })
    .collect()
}

#[test]
fn a_user_is_made_with_what_its_document_says() {
    let lab = lab();
    let spec = "{id: cy@pve, firstName: Cy, email: cy@example.org, expires: 2027-03-31, groups: [ops, night], enabled: false}";
    let items = vec![written("User", "cy", spec), written("Group", "night", "{}")];
    let plan = settles(&lab, items);
    assert_eq!(titles(&plan), ["make group/night", "make user/cy@pve"]);
    let text = serde_json::to_string(&plan.steps[1].action).unwrap();
    for part in [
        r#""expire":{"plain":"1806451200"}"#,
        r#""enable":{"plain":"0"}"#,
        r#""groups":{"plain":"night,ops"}"#,
    ] {
        assert!(text.contains(part), "{text}");
    }
    let taken: Vec<String> = plan.steps[1]
        .privileges
        .iter()
        .map(|p| format!("{} {}", p.path, p.privilege))
        .collect();
    assert_eq!(
        taken,
        [
            "/access/groups User.Modify",
            "/access/realm/pve Realm.AllocateUser"
        ]
    );
    comes_back(&lab, &plan);
}

#[test]
fn a_user_joins_first_and_leaves_last() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@dev", "Power", true);
    let spec = "{id: bob@pve, groups: [ops], comment: on leave, expires: never}";
    let items = vec![
        written("User", "bob", spec),
        written(
            "AccessRule",
            "bob",
            "{path: /vms/104, user: bob@pve, roles: [Power]}",
        ),
    ];
    let plan = settles(&lab, items);
    assert_eq!(
        titles(&plan),
        [
            "set user/bob@pve comment → on leave, groups + ops",
            "give user bob@pve Power on /vms/104",
            "set user/bob@pve groups − dev"
        ]
    );
    assert_eq!(
        facts_of(&plan, "user/bob@pve")[0],
        "loses-privilege AC03: it leaves group dev; Power for group dev on /vms"
    );
    comes_back(&lab, &plan);
}

#[test]
fn a_deleted_user_names_tokens_and_entries_and_what_does_not_come_back() {
    let mut lab = lab();
    token(&mut lab, "ann@pve", "mon");
    entry(&mut lab, "/", "ann@pve", "PVEAuditor", true);
    entry(&mut lab, "/vms/104", "ann@pve!mon", "PVEAuditor", true);
    let away = gone(&mut lab, "User", "user/ann@pve");
    let plan = settles(&lab, vec![away]);
    let told = facts_of(&plan, "user/ann@pve");
    let has = |part: &str| assert!(told.iter().any(|t| t.contains(part)), "{part}: {told:#?}");
    has("AC03: PVEAuditor for token ann@pve!mon on /vms/104; PVEAuditor for user ann@pve on /");
    has("irreversible AC03: whoever uses token ann@pve!mon (nightly checks) can no longer log in");
    has("it leaves group dev");
    has("it can no longer log in");
    let (end, back) = round(&lab, &plan);
    let notes = back.notes.join("\n");
    for part in [
        "stays after the undo: the token ann@pve!mon and its secret are gone",
        "stays after the undo: the password of ann@pve is gone",
        "stays after the undo: the access rule PVEAuditor for token ann@pve!mon on /vms/104 is gone",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(end.world.users["ann@pve"].tokens.is_empty());
    assert_eq!(end.world.groups, lab.world.groups);
    assert_eq!(end.world.acl.len(), 1);
}

#[test]
fn a_role_grows_first_and_shrinks_last() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@ops", "Power", true);
    let items = vec![
        written(
            "Role",
            "power",
            "{id: Power, privileges: [VM.PowerMgmt, VM.Console]}",
        ),
        written(
            "AccessRule",
            "a",
            "{path: /vms, group: ops, roles: [Power, PVEAuditor]}",
        ),
    ];
    let plan = settles(&lab, items);
    assert_eq!(
        titles(&plan),
        [
            "set role/Power + VM.Console",
            "give group ops PVEAuditor on /vms",
            "set role/Power − VM.Audit"
        ]
    );
    comes_back(&lab, &plan);
}

#[test]
fn privileges_that_are_not_there_are_refused_with_the_nearest() {
    let lab = lab();
    let refused = lab.refused(vec![written("Role", "r", "{privileges: [VM.Audti]}")]);
    assert!(
        refused.contains("no privilege `VM.Audti`; did you mean `VM.Audit`?"),
        "{refused}"
    );
    for (name, spec) in [
        ("pvx", "{id: PVEAdmin, privileges: []}"),
        ("pve-own", "{privileges: []}"),
        ("x", "{id: NoAccess, privileges: []}"),
    ] {
        assert!(
            wrong("Role", name, spec).contains("Proxmox VE's own"),
            "{spec}"
        );
    }
}

#[test]
fn a_rule_is_exact_and_gives_before_it_takes() {
    let mut lab = lab();
    entry(&mut lab, "/vms/104", "@ops", "PVEAuditor", true);
    entry(&mut lab, "/vms/104", "@ops", "Administrator", true);
    let spec = "{path: /vms/104, group: ops, roles: [Power, PVEAuditor], propagate: false}";
    let plan = settles(&lab, vec![written("AccessRule", "a", spec)]);
    assert_eq!(
        titles(&plan),
        [
            "give group ops Power on /vms/104, not below",
            "give group ops PVEAuditor on /vms/104, not below",
            "take Administrator on /vms/104 from group ops"
        ]
    );
    assert_eq!(plan.documents[0].object, "acl/group:ops/vms/104");
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.rule == "AC01" && i.entity == "user/ann@pve")
    );
    comes_back(&lab, &plan);
}

#[test]
fn grants_of_all_documents_come_before_all_revocations() {
    let mut lab = lab();
    entry(&mut lab, "/", "bob@pve", "Administrator", true);
    let away = gone(&mut lab, "AccessRule", "acl/user:bob@pve/");
    let items = vec![
        away,
        written(
            "AccessRule",
            "z",
            "{path: /vms, group: dev, roles: [Power]}",
        ),
        written("Group", "night", "{}"),
        written(
            "AccessRule",
            "night",
            "{path: /pool/new, group: night, roles: [Power]}",
        ),
        pool_doc("new", None),
    ];
    let plan = settles(&lab, items);
    let titles = titles(&plan);
    assert_eq!(
        *titles.last().unwrap(),
        "take Administrator on / from user bob@pve"
    );
    let at = |title: &str| titles.iter().position(|t| *t == title).unwrap();
    assert!(at("make pool/new") < at("give group night Power on /pool/new"));
    assert!(at("make group/night") < at("give group night Power on /pool/new"));
    comes_back(&lab, &plan);
}

#[test]
fn a_deleted_role_takes_its_rules_along_unless_they_went_before() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@ops", "Power", true);
    entry(&mut lab, "/vms", "bob@pve", "Power", false);
    let role = gone(&mut lab, "Role", "role/Power");
    let rule = gone(&mut lab, "AccessRule", "acl/group:ops/vms");
    let plan = settles(&lab, vec![role, rule]);
    assert_eq!(
        titles(&plan),
        ["take Power on /vms from group ops", "delete role/Power"]
    );
    assert_eq!(
        facts_of(&plan, "role/Power"),
        ["loses-privilege AC02: Power for user bob@pve on /vms, not below"]
    );
    comes_back(&lab, &plan);
}

#[test]
fn rules_on_what_goes_or_is_not_there_are_refused() {
    let mut lab = lab();
    let rule = |spec: &str| written("AccessRule", "a", spec);
    for (spec, why) in [
        (
            "{path: /vms/999, group: ops, roles: [Power]}",
            "no guest `999`",
        ),
        (
            "{path: /pool/none, group: ops, roles: [Power]}",
            "no pool `none`",
        ),
        (
            "{path: /storage/none, group: ops, roles: [Power]}",
            "no storage `none`",
        ),
        (
            "{path: /vms, group: opps, roles: [Power]}",
            "no group `opps`, and no document of this plan makes one; did you mean `ops`?",
        ),
        (
            "{path: /vms, user: al@pve, roles: [Power]}",
            "no user `al@pve`",
        ),
        (
            "{path: /vms, token: ann@pve!xx, roles: [Power]}",
            "no token `ann@pve!xx`",
        ),
        (
            "{path: /vms, group: ops, roles: [Powder]}",
            "no role `Powder`",
        ),
    ] {
        let refused = lab.refused(vec![rule(spec)]);
        assert!(refused.contains(why), "{spec}: {refused}");
    }
    let guest = gone(&mut lab, "VirtualMachine", "vm/105");
    let refused = lab.refused(vec![
        guest,
        rule("{path: /vms/105, group: ops, roles: [Power]}"),
    ]);
    assert!(
        refused.contains("vm/105 is deleted by this plan"),
        "{refused}"
    );
    let group = gone(&mut lab, "Group", "group/ops");
    let refused = lab.refused(vec![
        group,
        rule("{path: /vms, group: ops, roles: [Power]}"),
    ]);
    assert!(
        refused.contains("group/ops is deleted by this plan"),
        "{refused}"
    );
}

#[test]
fn what_a_document_alone_gets_wrong_is_said() {
    for (kind, spec, why) in [
        ("User", "{}", "the name is no user id"),
        ("User", "{id: root@pam}", "the superuser"),
        (
            "User",
            "{id: x@ldap, passwordFrom: {fromFile: /p}}",
            "keeps no passwords",
        ),
        ("User", "{id: x@pve, expires: tomorrow}", "a time in UTC"),
        (
            "AccessRule",
            "{path: /vms, roles: [A]}",
            "exactly one of `user`, `group` and `token`",
        ),
        (
            "AccessRule",
            "{path: /vms, user: a@pve, group: g, roles: [A]}",
            "exactly one",
        ),
        (
            "AccessRule",
            "{path: /vms, user: root@pam, roles: [A]}",
            "has every privilege",
        ),
        (
            "AccessRule",
            "{path: /vms, group: g, roles: []}",
            "at least one",
        ),
        (
            "AccessRule",
            "{path: /vms/, group: g, roles: [A]}",
            "without a final slash",
        ),
    ] {
        let said = wrong(kind, "x", spec);
        assert!(said.contains(why), "{kind} {spec}: {said}");
    }
    let twice = ["a", "b"].map(|name| {
        format!("apiVersion: bailiwick.dev/v1alpha1\nkind: AccessRule\nmetadata: {{name: {name}}}\nspec: {{path: /vms, group: ops, roles: [A]}}\n")
    });
    let said = load(&[("a.yaml", &twice[0]), ("b.yaml", &twice[1])])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("what group ops has on /vms is already described by AccessRule/a"),
        "{said}"
    );
}

#[test]
fn nothing_is_planned_on_lists_that_were_not_read() {
    for part in [Part::Acl, Part::Roles, Part::Groups] {
        let mut lab = lab();
        lab.unread(part.clone());
        let refused = lab.refused(vec![written(
            "AccessRule",
            "a",
            "{path: /vms, group: ops, roles: [Power]}",
        )]);
        assert!(refused.contains(&part.to_string()), "{refused}");
    }
}

#[test]
fn undo_leaves_what_others_did_since() {
    let lab = lab();
    let items = vec![
        written("Group", "night", "{}"),
        written("User", "ann", "{id: ann@pve, groups: [ops, night]}"),
        written(
            "AccessRule",
            "night",
            "{path: /vms, group: night, roles: [Power]}",
        ),
    ];
    let plan = lab.plan(items);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    // Someone put Bob into the new group, Ann into another one, and gave the group more.
    let night = Arc::make_mut(after.world.groups.get_mut("night").unwrap());
    night.members.insert("bob@pve".to_owned());
    after.world.groups.insert(
        "extra".to_owned(),
        Arc::new(Group {
            members: ["ann@pve".to_owned()].into(),
            comment: None,
        }),
    );
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(Vec::new())).unwrap();
    assert_eq!(
        titles(&back),
        [
            "set back user/ann@pve",
            "take Power on /vms from group night",
            "set back user/ann@pve"
        ]
    );
    assert!(back.notes.iter().any(|note| note.contains("group/night has a member that someone added since: bob@pve")), "{:?}", back.notes);
    let end = after.after(&back);
    assert!(end.groups["extra"].members.contains("ann@pve"));
    assert!(end.groups["dev"].members.contains("ann@pve"));
    assert!(!end.groups["night"].members.contains("ann@pve"));
}

/// The impacts of a rule: who, what, and why.
fn of_rule(plan: &Plan, rule: &str) -> Vec<String> {
    let of = plan.impacts.iter().filter(|impact| impact.rule == rule);
    of.map(|impact| {
        format!(
            "{} {}: {}",
            impact.entity,
            impact.category,
            impact.causes.join("; ")
        )
    })
    .collect()
}

#[test]
fn ac01_fires_for_a_more_specific_rule_that_replaces_what_was_inherited() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@ops", "Power", true);
    let rule = written(
        "AccessRule",
        "a",
        "{path: /vms/104, group: ops, roles: [PVEAuditor]}",
    );
    let plan = settles(&lab, vec![rule]);
    let told = of_rule(&plan, "AC01");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with(
            "user/ann@pve loses-privilege: loses VM.PowerMgmt on /vms/104; Power for group ops on /vms"
        ),
        "{told:#?}"
    );
    let all = lab.plan(vec![written(
        "AccessRule",
        "a",
        "{path: /vms, user: ann@pve, roles: [NoAccess]}",
    )]);
    let told = of_rule(&all, "AC01");
    assert!(
        told.iter()
            .any(|told| told.contains("loses VM.Audit, VM.PowerMgmt on /vms")),
        "{told:#?}"
    );
}

#[test]
fn ac01_silent_for_a_rule_that_changes_nobody() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "bob@pve", "Power", true);
    // Bob's own entry masks what his group is given; and a group without members gives nobody anything.
    let items = vec![
        written("Group", "night", "{}"),
        written(
            "AccessRule",
            "a",
            "{path: /vms, group: night, roles: [Power]}",
        ),
    ];
    let plan = settles(&lab, items);
    assert_eq!(plan.impacts, []);
}

#[test]
fn ac02_fires_for_every_rule_that_gives_the_role() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@ops", "Power", true);
    entry(&mut lab, "/pool/prod", "bob@pve", "Power", true);
    let role = written(
        "Role",
        "power",
        "{id: Power, privileges: [VM.PowerMgmt, VM.Console]}",
    );
    let plan = settles(&lab, vec![role]);
    let used = "Power for group ops on /vms; Power for user bob@pve on /pool/prod";
    assert_eq!(
        of_rule(&plan, "AC02"),
        [
            format!("role/Power loses-privilege: {used}"),
            format!("role/Power gains-privilege: {used}")
        ]
    );
    let away = gone(&mut lab, "Role", "role/Power");
    let plan = settles(&lab, vec![away]);
    assert_eq!(
        of_rule(&plan, "AC02"),
        [format!("role/Power loses-privilege: {used}")]
    );
}

#[test]
fn ac02_silent_for_a_role_that_nobody_is_given() {
    let mut lab = lab();
    let role = written("Role", "power", "{id: Power, privileges: []}");
    assert_eq!(settles(&lab, vec![role]).impacts, []);
    let away = gone(&mut lab, "Role", "role/Power");
    assert_eq!(settles(&lab, vec![away]).impacts, []);
}

#[test]
fn ac03_fires_for_the_last_administrator() {
    let mut lab = lab();
    entry(&mut lab, "/", "bob@pve", "Administrator", true);
    for (spec, category) in [
        ("{id: bob@pve, enabled: false}", "can no longer log in"),
        ("{id: bob@pve, expires: 2020-01-01}", "expires"),
    ] {
        let plan = lab.plan(vec![written("User", "bob", spec)]);
        let told = of_rule(&plan, "AC03");
        let last = "user/bob@pve lockout: nobody but root@pam has Permissions.Modify on / any more";
        assert!(told.contains(&last.to_owned()), "{spec}: {told:#?}");
        assert_eq!(told.len(), 2, "{category}: {told:#?}");
        assert_eq!(plan.risk, Risk::High);
    }
    let away = gone(&mut lab, "AccessRule", "acl/user:bob@pve/");
    let plan = settles(&lab, vec![away]);
    assert!(of_rule(&plan, "AC03")[0].contains("lockout"));
}

#[test]
fn ac03_silent_while_another_administrator_is_left_and_nothing_goes_along() {
    let mut lab = lab();
    entry(&mut lab, "/", "bob@pve", "Administrator", true);
    entry(&mut lab, "/", "@ops", "Administrator", true);
    let away = gone(&mut lab, "AccessRule", "acl/user:bob@pve/");
    let plan = settles(&lab, vec![away]);
    assert_eq!(of_rule(&plan, "AC03"), Vec::<String>::new());
    let enabled = written(
        "User",
        "ann",
        "{id: ann@pve, enabled: true, expires: never}",
    );
    assert_eq!(settles(&lab, vec![enabled]).impacts, []);
}

#[test]
fn what_takes_the_controllers_own_login_or_privileges_is_refused() {
    let mut lab = lab();
    token(&mut lab, "bob@pve", "loop");
    entry(&mut lab, "/", "bob@pve", "Administrator", true);
    entry(&mut lab, "/", "bob@pve!loop", "Administrator", true);
    entry(&mut lab, "/", "ann@pve", "Administrator", true);
    lab.world.controller = Some("bob@pve!loop".to_owned());
    lab.own("user/bob@pve", "User/bob");
    let user = removed("User/bob", true);
    for (item, why) in [
        (
            user,
            "logs in as bob@pve!loop → cannot log in: there is no user bob@pve",
        ),
        (
            written("User", "bob", "{id: bob@pve, enabled: false}"),
            "cannot log in: user bob@pve is disabled",
        ),
        (
            // Not now, but soon.
            written("User", "bob", "{id: bob@pve, expires: 2033-05-18}"),
            "it expires at 2033-05-18",
        ),
        (
            written(
                "AccessRule",
                "bob",
                "{path: /, user: bob@pve, roles: [PVEAuditor]}",
            ),
            "has Permissions.Modify",
        ),
        (
            written(
                "AccessRule",
                "vms",
                "{path: /vms, token: bob@pve!loop, roles: [NoAccess]}",
            ),
            "on /vms",
        ),
    ] {
        let refused = lab.refused(vec![item.clone()]);
        let refused = refused.replace("\n    ", ": ");
        assert!(
            refused.contains("takes something from the controller itself") && refused.contains(why),
            "{refused}"
        );
        lab.settings.allow_controller_loss = true;
        let plan = lab.plan(vec![item]);
        assert!(
            of_rule(&plan, "AC06")
                .iter()
                .all(|told| told.starts_with("controller lockout: "))
        );
        assert_eq!(plan.risk, Risk::High);
        lab.settings.allow_controller_loss = false;
    }
}

#[test]
fn what_was_not_read_leaves_it_unknown_who_gains_and_loses() {
    let mut lab = lab();
    entry(&mut lab, "/vms", "@ops", "Power", true);
    lab.unread(Part::Users);
    let rule = written(
        "AccessRule",
        "a",
        "{path: /vms, group: dev, roles: [Power]}",
    );
    let plan = lab.plan(vec![rule]);
    assert_eq!((plan.risk, plan.complete), (Risk::Unknown, false));
    assert!(
        plan.unknowns
            .iter()
            .any(|unknown| unknown.what == Part::Users.to_string())
    );
    // A comment decides nothing.
    let plan = lab.plan(vec![written("Group", "ops", "{comment: on call}")]);
    assert_eq!((plan.risk, plan.complete), (Risk::Low, true));
}
