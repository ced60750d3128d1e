//! Realms: what documents come to, who can no longer log in, and the way back.

use std::sync::Arc;

use super::accounts::{facts_of, gone, lab as accounts, token, written};
use super::fixture::*;
use crate::document::desired::SecretRef;
use crate::document::load;
use crate::plan::{AccountCheck, Plan, Precondition, Risk, StepId, check, undo};
use crate::world::{AccountAction, Action, Part, Realm, RealmSettings, User, views};

const LDAP: &str =
    "{type: ldap, server: ldap.lab.example, baseDn: 'dc=lab,dc=example', userAttribute: uid}";

fn realm(lab: &mut Lab, id: &str, of: &str, settings: &[(&str, &str)]) {
    let world = &mut lab.world;
    let live = Realm {
        realm_type: of.to_owned(),
    };
    world.realms.insert(id.to_owned(), Arc::new(live));
    let all = Arc::make_mut(&mut world.realm_settings);
    all.digest = "d1".to_owned();
    all.of.insert(id.to_owned(), section(settings));
}

/// A cluster with the two built-in realms, and one that asks a server of LDAP.
fn lab() -> Lab {
    let mut lab = accounts();
    let mut held = lab.world.permissions.as_ref().clone();
    held.get_mut("/")
        .unwrap()
        .insert("Realm.Allocate".to_owned(), true);
    lab.world.permissions = Arc::new(held);
    for id in ["pam", "pve"] {
        let comment = views::built_in_comment(id).unwrap();
        realm(&mut lab, id, id, &[("comment", comment)]);
    }
    let corp = [
        ("base_dn", "dc=corp,dc=example"),
        ("default", "1"),
        ("server1", "ldap.corp.example"),
        ("user_attr", "uid"),
    ];
    realm(&mut lab, "corp", "ldap", &corp);
    for (id, enabled) in [("eve@corp", true), ("fay@corp", false)] {
        let user = User {
            enabled,
            ..User::default()
        };
        lab.world.users.insert(id.to_owned(), Arc::new(user));
    }
    lab
}

fn secret(name: &str) -> SecretRef {
    SecretRef::FromFile(format!("/secrets/{name}"))
}

/// Plans, and plans again on what comes of it: nothing is left.
fn settles(lab: &Lab, items: Vec<crate::plan::Item>) -> Plan {
    let plan = lab.plan(items.clone());
    assert_eq!(check(&plan), vec![]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    after.secrets = lab.secrets.clone();
    let still: Vec<crate::plan::Item> = items
        .into_iter()
        .filter(|item| item.hash.is_some())
        .collect();
    let rest = after.plan(still);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    plan
}

/// The realms, once a plan was carried out and taken back; and what is said to stay.
fn round(lab: &Lab, plan: &Plan) -> (RealmSettings, Plan) {
    let mut after = Lab::new();
    after.world = lab.after(plan);
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(plan, &done, &after.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![]);
    let end = after.after(&back);
    (end.realm_settings.as_ref().clone(), back)
}

fn comes_back(lab: &Lab, plan: &Plan) {
    let (end, _) = round(lab, plan);
    let before = &lab.world.realm_settings.of;
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        end.of.keys().collect::<Vec<_>>()
    );
    for (id, was) in before {
        assert_eq!(views::realms_differ(id, was, &end.of[id]), None, "{id}");
    }
}

#[test]
fn a_realm_is_made_changed_and_left_alone() {
    let lab = lab();
    let plan = settles(&lab, vec![written("Realm", "lab", LDAP)]);
    assert_eq!(titles(&plan), ["make realm/lab (ldap)"]);
    assert_eq!((plan.risk, plan.impacts.len()), (Risk::Low, 0));
    let needed: Vec<String> = plan.steps[0]
        .privileges
        .iter()
        .map(|p| format!("{} {}", p.path, p.privilege))
        .collect();
    assert_eq!(needed, ["/access/realm Realm.Allocate"]);
    comes_back(&lab, &plan);
    let plan = settles(&lab, vec![written("Realm", "corp", "{comment: ours}")]);
    assert_eq!(titles(&plan), ["set realm/corp comment → ours"]);
    assert_eq!((plan.risk, plan.impacts.len()), (Risk::Low, 0));
    comes_back(&lab, &plan);
    let same = "{server: ldap.corp.example, verify: false, caseSensitive: true}";
    let plan = settles(&lab, vec![written("Realm", "corp", same)]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(plan.documents[0].adopts);
}

#[test]
fn built_in_realms_have_a_comment_without_anyone_writing_it() {
    let lab = lab();
    for same in [
        "{comment: null}",
        "{comment: Linux PAM standard authentication, default: false}",
        "{}",
    ] {
        let plan = settles(&lab, vec![written("Realm", "pam", same)]);
        assert_eq!(titles(&plan), Vec::<&str>::new(), "{same}");
    }
    let plan = settles(&lab, vec![written("Realm", "pam", "{comment: nodes}")]);
    comes_back(&lab, &plan);
    let mut lab = lab;
    let away = gone(&mut lab, "Realm", "realm/pve");
    let plan = lab.plan(vec![away]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
}

#[test]
fn one_realm_is_the_default_and_takes_that_from_the_other() {
    let lab = lab();
    let plan = settles(&lab, vec![written("Realm", "pve", "{default: true}")]);
    assert_eq!(titles(&plan), ["set realm/pve default → 1"]);
    assert_eq!(plan.steps[0].notes, ["realm/corp is no longer the default"]);
    let after = lab.after(&plan);
    assert_eq!(views::default_realm(&after), Some("pve"));
    assert!(!after.realm_settings.of["corp"].contains_key("default"));
    comes_back(&lab, &plan);
    // What the other document says too is not done twice.
    let items = vec![
        written("Realm", "pve", "{default: true}"),
        written("Realm", "corp", "{default: false}"),
    ];
    assert_eq!(titles(&settles(&lab, items)).len(), 1);
    let both = vec![
        written("Realm", "pve", "{default: true}"),
        written("Realm", "pam", "{default: true}"),
    ];
    assert!(lab.refused(both).contains("shall be the default too"));
}

#[test]
fn a_secret_is_written_when_the_document_says_another_one_and_never_shown() {
    let mut lab = lab();
    lab.secrets
        .insert(secret("bind"), "f1n9erpr1nt-one".to_owned());
    let spec = "{type: ldap, server: a.example, baseDn: 'dc=a', userAttribute: uid, bindDn: 'cn=a', bindPasswordFrom: {fromFile: /secrets/bind}}";
    let plan = lab.plan(vec![written("Realm", "lab", spec)]);
    let Action::Account(AccountAction::CreateRealm { params, .. }) = &plan.steps[0].action else {
        panic!()
    };
    assert!(params.contains_key("password"));
    assert!(!format!("{:?}", lab.after(&plan).realm_settings).contains("password"));
    // Without the password nobody could log in.
    let without = spec.replace(", bindPasswordFrom: {fromFile: /secrets/bind}", "");
    let refused = lab.refused(vec![written("Realm", "lab", &without)]);
    assert!(refused.contains("cannot be made without it"), "{refused}");
    // Of one that is there: what was sent is not sent again.
    let change = "{bindPasswordFrom: {fromFile: /secrets/bind}}";
    let item = written("Realm", "corp", change);
    let plan = lab.plan(vec![item.clone()]);
    assert_eq!(
        titles(&plan),
        ["set realm/corp password → (secret f1n9erpr1nt-)"]
    );
    let told = facts_of(&plan, "realm/corp");
    assert!(
        told.iter()
            .any(|told| told.contains("eve@corp logs in only if")),
        "{told:?}"
    );
    let (_, back) = round(&lab, &plan);
    assert_eq!(titles(&back), Vec::<&str>::new());
    assert!(
        back.notes.iter().any(|note| note.contains("not known")),
        "{:?}",
        back.notes
    );
}

#[test]
fn ac03_fires_with_everybody_of_a_realm_that_goes() {
    let mut lab = lab();
    token(&mut lab, "eve@corp", "ci");
    let away = gone(&mut lab, "Realm", "realm/corp");
    let plan = settles(&lab, vec![away]);
    assert_eq!(titles(&plan), ["delete realm/corp"]);
    assert_eq!(
        facts_of(&plan, "realm/corp"),
        [
            "loses-privilege AC03: eve@corp can no longer log in; token eve@corp!ci goes on working: nobody asks the realm about it; fay@corp is disabled or has expired as it is",
            "irreversible AC03: the secrets by which it asks its server, if it had any, do not come back",
        ]
    );
    assert_eq!(plan.risk, Risk::High);
    let listed = plan.steps[0].preconditions.iter().any(|p| {
        matches!(p, Precondition::Account(AccountCheck::RealmUsers { users, .. }) if users.len() == 2)
    });
    assert!(listed);
    let (end, back) = round(&lab, &plan);
    assert_eq!(end.of.keys().collect::<Vec<_>>(), ["corp", "pam", "pve"]);
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("has to be written again")),
        "{:?}",
        back.notes
    );
}

#[test]
fn ac03_silent_where_nobody_comes_from_the_realm_or_only_the_comment_changes() {
    let mut lab = lab();
    realm(&mut lab, "spare", "ldap", &[("server1", "a.example")]);
    let away = gone(&mut lab, "Realm", "realm/spare");
    let plan = lab.plan(vec![away]);
    assert!(
        plan.impacts
            .iter()
            .all(|impact| impact.category.word() == "irreversible")
    );
    let mut lab = self::lab();
    realm(&mut lab, "spare", "ldap", &[("server1", "a.example")]);
    let items = vec![written(
        "Realm",
        "spare",
        "{server: b.example, tfa: {type: oath}}",
    )];
    assert_eq!(lab.plan(items).impacts, []);
}

#[test]
fn ac03_fires_when_users_log_in_against_another_server_or_need_a_second_factor() {
    let lab = lab();
    let plan = settles(
        &lab,
        vec![written("Realm", "corp", "{server: new.example}")],
    );
    let impact = plan
        .impacts
        .iter()
        .find(|impact| impact.entity == "realm/corp")
        .unwrap();
    assert_eq!(
        (impact.before.as_str(), impact.after.as_str()),
        ("server1 ldap.corp.example", "server1 new.example")
    );
    assert!(impact.causes[0].starts_with("eve@corp logs in only if"));
    comes_back(&lab, &plan);
    let plan = settles(&lab, vec![written("Realm", "pam", "{tfa: {type: oath}}")]);
    let told = facts_of(&plan, "realm/pam");
    assert_eq!(
        told,
        [
            "loses-privilege AC03: root@pam needs a second factor (oath), and cannot log in without one"
        ]
    );
    comes_back(&lab, &plan);
}

#[test]
fn ac03_fires_when_the_last_administrator_comes_from_the_realm() {
    let mut lab = lab();
    super::accounts::entry(&mut lab, "/", "eve@corp", "Administrator", true);
    let away = gone(&mut lab, "Realm", "realm/corp");
    let plan = lab.plan(vec![away]);
    let told = facts_of(&plan, "user/eve@corp");
    assert!(
        told.iter()
            .any(|told| told.starts_with("lockout AC03: nobody but root@pam")),
        "{told:?}"
    );
}

#[test]
fn ac06_the_realm_of_the_controllers_own_account_stays() {
    let mut lab = lab();
    token(&mut lab, "eve@corp", "loop");
    lab.world.controller = Some("eve@corp!loop".to_owned());
    let away = gone(&mut lab, "Realm", "realm/corp");
    let refused = lab.refused(vec![away.clone()]);
    assert!(
        refused.contains("takes something from the controller itself")
            && refused.contains("eve@corp comes from realm/corp"),
        "{refused}"
    );
    lab.settings.allow_controller_loss = true;
    assert_eq!(lab.plan(vec![away]).risk, Risk::High);
}

#[test]
fn a_realm_comes_before_its_users_and_goes_after_them() {
    let mut lab = lab();
    let items = vec![
        written("User", "gil", "{id: gil@lab}"),
        written("Realm", "lab", LDAP),
    ];
    let plan = settles(&lab, items);
    assert_eq!(
        titles(&plan),
        ["make realm/lab (ldap)", "make user/gil@lab"]
    );
    let none = lab.refused(vec![written("User", "gil", "{id: gil@corq}")]);
    assert!(
        none.contains("there is no realm `corq`") && none.contains("corp"),
        "{none}"
    );
    let eve = gone(&mut lab, "User", "user/eve@corp");
    let corp = gone(&mut lab, "Realm", "realm/corp");
    let plan = lab.plan(vec![corp.clone(), eve]);
    assert_eq!(titles(&plan), ["delete user/eve@corp", "delete realm/corp"]);
    let new = written("User", "gil", "{id: gil@corp}");
    assert!(
        lab.refused(vec![corp, new])
            .contains("realm/corp is deleted by this plan")
    );
}

#[test]
fn what_never_changes_and_what_a_type_has_not_is_refused() {
    let mut lab = lab();
    let openid = [
        ("client-id", "pve"),
        ("issuer-url", "https://id.example"),
        ("username-claim", "email"),
    ];
    realm(&mut lab, "sso", "openid", &openid);
    for (id, spec, why) in [
        (
            "corp",
            "{type: ad, domain: corp.example}",
            "type of a realm never changes",
        ),
        (
            "sso",
            "{usernameClaim: username}",
            "`username-claim` never changes",
        ),
        ("sso", "{server: a.example}", "which has no `server1`"),
        ("new", "{comment: x}", "which `type` it shall have"),
        (
            "new",
            "{type: openid, clientId: x}",
            "cannot be made without it",
        ),
    ] {
        let refused = lab.refused(vec![written("Realm", id, spec)]);
        assert!(refused.contains(why), "{spec}: {refused}");
    }
    let same = written("Realm", "sso", "{usernameClaim: email}");
    assert_eq!(titles(&lab.plan(vec![same])), Vec::<&str>::new());
    for (spec, why) in [
        ("pam {server: a.example}", "has no `spec.server`"),
        ("pve {type: ldap}", "is built in"),
        ("x {type: pam}", "the only realm of the type `pam`"),
        (
            "x {type: ldap, baseDn: null}",
            "cannot be without `spec.baseDn`",
        ),
        (
            "x {type: ad, baseDn: null, clientId: a}",
            "has no `spec.clientId`",
        ),
        ("x {usernameClaim: null}", "never changes"),
        ("x {extraConfig: {password: a}}", "bindPasswordFrom"),
        ("x {tfa: {type: yubico}}", "oath"),
    ] {
        let (name, spec) = spec.split_once(' ').unwrap();
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Realm\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        );
        let errors = load(&[("a.yaml", text)]).unwrap_err().to_string();
        assert!(errors.contains(why), "{spec}: {errors}");
    }
    let text = "apiVersion: bailiwick.dev/v1alpha1\nkind: Realm\nmetadata: {name: pam, annotations: {bailiwick.dev/deletion: delete}}\nspec: {}\n";
    let errors = load(&[("a.yaml", text)]).unwrap_err().to_string();
    assert!(errors.contains("cannot be deleted"), "{errors}");
}

#[test]
fn nothing_is_planned_on_settings_that_nobody_read() {
    let mut lab = lab();
    lab.unread(Part::RealmSettings);
    let refused = lab.refused(vec![written("Realm", "corp", "{comment: x}")]);
    assert!(refused.contains("the settings of the realms"), "{refused}");
    // Who makes a user only has to know that the realm is there.
    let user = written("User", "gil", "{id: gil@corp}");
    assert_eq!(titles(&lab.plan(vec![user])), ["make user/gil@corp"]);
}

#[test]
fn an_undo_leaves_what_somebody_changed_since() {
    let lab = lab();
    let spec = "{comment: ours, server: new.example}";
    let plan = lab.plan(vec![written("Realm", "corp", spec)]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    let settings = Arc::make_mut(&mut after.world.realm_settings);
    let corp = settings.of.get_mut("corp").unwrap();
    corp.insert("comment".to_owned(), "theirs".to_owned());
    let done: std::collections::BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &after.input(Vec::new())).unwrap();
    let end = after.after(&back);
    let corp = &end.realm_settings.of["corp"];
    assert_eq!(corp["comment"], "theirs");
    assert_eq!(corp["server1"], "ldap.corp.example");
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("changed by someone since"))
    );
}
