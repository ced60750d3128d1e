//! Tokens: what a document comes to, what becomes of whoever uses one, and what is taken back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::plan::{
    AccountCheck, Duration, Inverse, Item, Plan, Precondition, Risk, StepId, check, undo,
};
use crate::world::{AccountAction, AclEntry, Action, Param, Role, Token, User};

/// The item of a document.
fn token(name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("ApiToken/{name}"), documents[0].desired())
}

fn gone(lab: &mut Lab, id: &str) -> Item {
    let document = "ApiToken/gone";
    lab.own(&format!("token/{id}"), document);
    removed(document, true)
}

/// Ann, who may look at everything, with a token that was given as much.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let permissions = Arc::make_mut(&mut lab.world.permissions);
    let own = [("User.Modify".to_owned(), true)];
    permissions.insert("/access/groups".to_owned(), own.into());
    let ci = Token {
        separated: true,
        expires: 0,
        comment: Some("builds".to_owned()),
    };
    let ann = User {
        enabled: true,
        tokens: [("ci".to_owned(), ci)].into(),
        ..User::default()
    };
    lab.world.users.insert("ann@pve".into(), Arc::new(ann));
    for (name, privileges) in [
        ("Look", &["VM.Audit"][..]),
        ("Power", &["VM.Audit", "VM.PowerMgmt"]),
    ] {
        let role = Role {
            privileges: privileges.iter().map(|name| (*name).to_owned()).collect(),
            special: false,
        };
        lab.world.roles.insert(name.to_owned(), Arc::new(role));
    }
    give(&mut lab, "/vms", "user", "ann@pve", "Power");
    give(&mut lab, "/vms", "token", "ann@pve!ci", "Look");
    lab
}

fn give(lab: &mut Lab, path: &str, kind: &str, subject: &str, role: &str) {
    Arc::make_mut(&mut lab.world.acl).push(AclEntry {
        path: path.to_owned(),
        subject_type: kind.to_owned(),
        subject: subject.to_owned(),
        role: role.to_owned(),
        propagate: true,
    });
}

fn edit(lab: &mut Lab, change: impl FnOnce(&mut Token)) {
    let ann = Arc::make_mut(lab.world.users.get_mut("ann@pve").unwrap());
    change(ann.tokens.get_mut("ci").unwrap());
}

/// What gets worse, and by which rule.
fn told(plan: &Plan) -> Vec<String> {
    let one = |impact: &crate::plan::Impact| {
        format!(
            "{} {} {}: {} → {}",
            impact.entity, impact.category, impact.rule, impact.before, impact.after
        )
    };
    plan.impacts.iter().map(one).collect()
}

/// Plans, and plans again on what comes of it: nothing is left.
fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab
        .ownership
        .after(&plan, &items, &lab.secrets, &after.world);
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!((rest.changes, rest.notes), (vec![], vec![]));
    plan
}

const FILE: &str = "secretFile: /etc/secrets/ci";

fn plain(text: &str) -> Param {
    Param::Plain(text.to_owned())
}

#[test]
fn ac04_fires_for_what_a_token_has_not_in_between() {
    let mut lab = lab();
    // What the pool gives the token goes before the token has what its user has.
    let id = pool_id("prod");
    let members = Arc::make_mut(lab.world.pools.get_mut(&id).unwrap());
    members.guests.insert(vmid(104));
    lab.edit(104, |guest| guest.pool = Some(id));
    give(&mut lab, "/pool/prod", "token", "ann@pve!ci", "Power");
    let plan = lab.plan(vec![
        pool_doc("prod", Some(&[])),
        token("ci", "{user: ann@pve, separated: false}"),
    ]);
    assert_eq!(plan.steps.len(), 2, "{:?}", titles(&plan));
    let between: Vec<_> = plan
        .impacts
        .iter()
        .filter(|impact| impact.category == Category::LosesPrivilege)
        .collect();
    let [only] = between.as_slice() else {
        panic!("{:?}", told(&plan));
    };
    assert_eq!(only.duration, Duration::Transient);
    assert_eq!(
        (only.before.as_str(), only.after.as_str()),
        ("has VM.PowerMgmt on /vms/104", "has not for a while")
    );
    assert_eq!(only.steps, plan.steps.iter().map(|step| step.id).collect());
}

#[test]
fn a_token_is_made_with_what_its_document_says() {
    let lab = lab();
    let spec = format!("{{user: ann@pve, id: mon, expires: 2033-05-18, comment: x, {FILE}}}");
    let plan = settles(&lab, vec![token("monitor", &spec)]);
    assert_eq!(
        titles(&plan),
        ["make token/ann@pve!mon, its secret to /etc/secrets/ci"]
    );
    let Action::Account(AccountAction::CreateToken {
        params,
        secret_file,
        ..
    }) = &plan.steps[0].action
    else {
        panic!()
    };
    assert_eq!(secret_file, "/etc/secrets/ci");
    assert_eq!(
        *params,
        [
            ("comment".to_owned(), plain("x")),
            ("expire".to_owned(), plain("1999987200")),
            ("privsep".to_owned(), plain("1")),
        ]
        .into()
    );
    assert!(plan.steps[0].preconditions.iter().any(
        |p| matches!(p, Precondition::Account(AccountCheck::TokenAbsent { id }) if id.as_str() == "ann@pve!mon")
    ));
    // Nothing is given to it yet, so it can do nothing.
    assert_eq!((told(&plan), plan.risk), (vec![], Risk::Low));
}

#[test]
fn what_is_as_its_document_says_is_adopted_and_keeps_its_secret() {
    let lab = lab();
    let spec = "{user: ann@pve, separated: true, expires: never, comment: builds}";
    let plan = settles(&lab, vec![token("ci", spec)]);
    assert_eq!((plan.steps.len(), plan.notes.len()), (0, 0));
    assert!(plan.documents[0].adopts);
    // A file for its secret is never written, and that is said once.
    let plan = settles(
        &lab,
        vec![token("ci", &format!("{{user: ann@pve, {FILE}}}"))],
    );
    assert!(
        plan.notes[0].contains("nobody can read any more"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn each_setting_is_changed_by_itself() {
    for (spec, set) in [
        ("separated: false", [("privsep", "0")]),
        ("expires: 2033-05-18", [("expire", "1999987200")]),
        ("comment: other", [("comment", "other")]),
    ] {
        let plan = settles(
            &lab(),
            vec![token("ci", &format!("{{user: ann@pve, {spec}}}"))],
        );
        let Action::Account(AccountAction::UpdateToken {
            set: sent, delete, ..
        }) = &plan.steps[0].action
        else {
            panic!()
        };
        let set = set.map(|(key, value)| (key.to_owned(), plain(value)));
        assert_eq!((sent, delete.len()), (&set.into(), 0), "{spec}");
    }
    let plan = settles(&lab(), vec![token("ci", "{user: ann@pve, comment: null}")]);
    let Action::Account(AccountAction::UpdateToken { set, delete, .. }) = &plan.steps[0].action
    else {
        panic!()
    };
    assert_eq!(
        (set.len(), delete),
        (0, &BTreeSet::from(["comment".to_owned()]))
    );
}

#[test]
fn a_token_that_cannot_be_made_is_refused_with_what_to_do() {
    let mut lab = lab();
    let refused = |lab: &Lab, spec: &str| lab.refused(vec![token("new", spec)]);
    assert!(refused(&lab, "{user: ann@pve}").contains("`secretFile`"));
    let said = refused(&lab, &format!("{{user: anna@pve, {FILE}}}"));
    assert!(said.contains("did you mean `ann@pve`?"), "{said}");
    let two = ["one", "two"].map(|name| token(name, &format!("{{user: ann@pve, {FILE}}}")));
    assert!(
        lab.refused(two.into())
            .contains("is written to /etc/secrets/ci by this plan")
    );
    let why = "it is there already".to_owned();
    lab.closed_files.insert("/etc/secrets/ci".to_owned(), why);
    let spec = format!("{{user: ann@pve, {FILE}}}");
    assert!(refused(&lab, &spec).contains("it is there already"));
    // It does not matter for a token that is there.
    assert!(lab.plan(vec![token("ci", &spec)]).steps.is_empty());
}

#[test]
fn ac04_fires_for_a_deleted_token_which_does_not_come_back() {
    let mut lab = lab();
    let item = gone(&mut lab, "ann@pve!ci");
    let plan = lab.plan(vec![item]);
    assert_eq!(titles(&plan), ["delete token/ann@pve!ci"]);
    let mut all = told(&plan);
    all.retain(|word| word.contains(" AC"));
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(
        all[1],
        "token/ann@pve!ci irreversible AC04: its secret is accepted → gone for good"
    );
    assert!(
        all[0].starts_with("token/ann@pve!ci loses-privilege AC04: has VM.Audit on "),
        "{all:#?}"
    );
    let mut ours = plan.impacts.iter().filter(|impact| impact.rule == "AC04");
    let impact = ours.find(|impact| impact.category == Category::Irreversible);
    let impact = impact.unwrap();
    assert!(impact.causes[0].contains("whoever uses ann@pve!ci (builds) is refused"));
    assert!(impact.causes[1].contains("Look for token ann@pve!ci on /vms"));
    assert!(impact.notes[0].contains("who uses it cannot be known"));
    assert!(matches!(
        plan.steps[0].inverse,
        Inverse::Irreversible { .. }
    ));
    assert_eq!(plan.risk, Risk::High);
    let after = lab.after(&plan);
    assert!(after.users["ann@pve"].tokens.is_empty());
    assert!(after.acl.iter().all(|entry| entry.subject_type != "token"));
}

#[test]
fn ac04_fires_for_an_expiry_that_comes_sooner_or_later() {
    let mut lab = lab();
    let plan = lab.plan(vec![token("ci", "{user: ann@pve, expires: 2033-05-18}")]);
    assert_eq!(
        told(&plan),
        [
            "token/ann@pve!ci loses-privilege AC04: its secret is accepted for ever → its secret is accepted until 2033-05-18T00:00:00Z"
        ]
    );
    assert!(plan.impacts[0].notes[0].contains("who uses it cannot be known"));
    edit(&mut lab, |token| token.expires = 5);
    let plan = lab.plan(vec![token("ci", "{user: ann@pve, expires: never}")]);
    assert_eq!(
        told(&plan),
        [
            "token/ann@pve!ci gains-privilege AC04: its secret is accepted until 1970-01-01T00:00:05Z → its secret is accepted for ever"
        ]
    );
}

#[test]
fn ac04_fires_for_privilege_separation_both_ways() {
    let mut lab = lab();
    let plan = lab.plan(vec![token("ci", "{user: ann@pve, separated: false}")]);
    let all = told(&plan);
    assert!(
        all[0].starts_with("token/ann@pve!ci gains-privilege AC04: has not → has VM.PowerMgmt on "),
        "{all:#?}"
    );
    assert!(plan.steps[0].preconditions.iter().any(
        |p| matches!(p, Precondition::Account(AccountCheck::Entries { of, .. }) if of == "token/ann@pve!ci")
    ));
    edit(&mut lab, |token| token.separated = false);
    let plan = lab.plan(vec![token("ci", "{user: ann@pve, separated: true}")]);
    let all = told(&plan);
    assert!(
        all[0].starts_with("token/ann@pve!ci loses-privilege AC04: has VM.PowerMgmt on "),
        "{all:#?}"
    );
}

#[test]
fn ac04_fires_for_a_new_token_that_may_do_what_its_user_may() {
    let lab = lab();
    let spec = format!("{{user: ann@pve, separated: false, {FILE}}}");
    let plan = lab.plan(vec![token("all", &spec)]);
    let all = told(&plan);
    assert!(
        all[0].starts_with(
            "token/ann@pve!all gains-privilege AC04: has not → has VM.Audit, VM.PowerMgmt on "
        ),
        "{all:#?}"
    );
    assert!(plan.steps[0].notes[0].contains("shows its secret once"));
}

#[test]
fn ac04_silent_for_a_comment_and_for_a_new_token_without_rules() {
    let lab = lab();
    let plan = lab.plan(vec![token("ci", "{user: ann@pve, comment: other}")]);
    assert_eq!((plan.steps.len(), told(&plan)), (1, vec![]));
    let plan = lab.plan(vec![token("new", &format!("{{user: ann@pve, {FILE}}}"))]);
    assert_eq!((plan.steps.len(), told(&plan)), (1, vec![]));
}

#[test]
fn ac06_fires_when_the_controllers_own_token_goes_expires_or_is_held_to_its_rules() {
    let own = |lab: &mut Lab| {
        lab.world.controller = Some("ann@pve!ci".to_owned());
        lab.settings.allow_controller_loss = true;
    };
    let lockouts = |plan: &Plan| {
        let ours = |word: &String| word.starts_with("controller lockout AC06");
        told(plan).iter().filter(|word| ours(word)).count()
    };
    let mut lab_ = lab();
    own(&mut lab_);
    let item = gone(&mut lab_, "ann@pve!ci");
    let plan = lab_.plan(vec![item]);
    assert!(lockouts(&plan) >= 1, "{:#?}", told(&plan));
    assert_eq!(plan.risk, Risk::High);
    let mut lab_ = lab();
    own(&mut lab_);
    let plan = lab_.plan(vec![token("ci", "{user: ann@pve, expires: 2033-05-18}")]);
    assert_eq!(lockouts(&plan), 1, "{:#?}", told(&plan));
    let mut lab_ = lab();
    own(&mut lab_);
    edit(&mut lab_, |token| token.separated = false);
    let plan = lab_.plan(vec![token("ci", "{user: ann@pve, separated: true}")]);
    assert_eq!(lockouts(&plan), 1, "{:#?}", told(&plan));
}

#[test]
fn what_was_set_is_set_back_unless_somebody_set_it_since() {
    let mut lab = lab();
    let spec = "{user: ann@pve, separated: false, expires: 2033-05-18, comment: null}";
    let items = vec![token("ci", spec)];
    let plan = lab.plan(items.clone());
    lab.world = lab.after(&plan);
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![], "{back:#?}");
    assert_eq!(
        titles(&back),
        ["set back token/ann@pve!ci comment, expire, privsep"]
    );
    let after = lab.after(&back);
    let token = &after.users["ann@pve"].tokens["ci"];
    assert_eq!(
        (token.separated, token.expires, token.comment.as_deref()),
        (true, 0, Some("builds"))
    );
    edit(&mut lab, |token| token.expires = 5);
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(
        titles(&back),
        ["set back token/ann@pve!ci comment, privsep"]
    );
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("expire was changed by someone since"))
    );
}

#[test]
fn a_token_that_was_made_goes_again_unless_somebody_changed_it() {
    let mut lab = lab();
    let items = vec![token("new", &format!("{{user: ann@pve, {FILE}}}"))];
    let plan = lab.plan(items.clone());
    lab.world = lab.after(&plan);
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(titles(&back), ["delete token/ann@pve!new"]);
    let ann = Arc::make_mut(lab.world.users.get_mut("ann@pve").unwrap());
    ann.tokens.get_mut("new").unwrap().comment = Some("mine".to_owned());
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(titles(&back), Vec::<&str>::new());
}
