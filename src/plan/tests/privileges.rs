//! Who gains and who loses privileges by a plan: what pools bring along.

use std::sync::Arc;

use super::fixture::*;
use crate::plan::{Impact, Plan, Risk};
use crate::world::{AclEntry, Part, Role, Token, User};

/// A cluster with two pools, on which Ann, her tokens and Bob hold something.
fn lab() -> Lab {
    let mut lab = Lab::new();
    let world = &mut lab.world;
    let token = |separated| Token {
        separated,
        expires: 0,
        comment: None,
    };
    let user = |tokens: &[(&str, bool)]| {
        let tokens = tokens
            .iter()
            .map(|(name, separated)| ((*name).to_owned(), token(*separated)));
        Arc::new(User {
            enabled: true,
            tokens: tokens.collect(),
            ..User::default()
        })
    };
    world
        .users
        .insert("ann@pve".into(), user(&[("ci", true), ("all", false)]));
    world.users.insert("bob@pve".into(), user(&[]));
    world.users.insert("root@pam".into(), user(&[]));
    for (name, privileges) in [
        ("NoAccess", ""),
        (
            "Administrator",
            "VM.Audit VM.PowerMgmt VM.Allocate Sys.Modify Permissions.Modify",
        ),
        ("Look", "VM.Audit"),
        ("Power", "VM.Audit VM.PowerMgmt"),
    ] {
        let privileges = privileges.split_whitespace().map(str::to_owned).collect();
        let role = Role {
            privileges,
            special: false,
        };
        world.roles.insert(name.to_owned(), Arc::new(role));
    }
    world.pools.insert(pool_id("test"), Arc::default());
    lab
}

fn give(lab: &mut Lab, path: &str, subject: &str, role: &str) {
    let subject_type = if subject.contains('!') {
        "token"
    } else {
        "user"
    };
    Arc::make_mut(&mut lab.world.acl).push(AclEntry {
        path: path.to_owned(),
        subject_type: subject_type.to_owned(),
        subject: subject.to_owned(),
        role: role.to_owned(),
        propagate: true,
    });
}

/// Puts a guest into a pool before anything is planned.
fn put(lab: &mut Lab, pool: &str, number: u32) {
    let id = pool_id(pool);
    let members = Arc::make_mut(lab.world.pools.get_mut(&id).unwrap());
    members.guests.insert(vmid(number));
    lab.edit(number, |guest| guest.pool = Some(id));
}

fn told(plan: &Plan) -> Vec<&Impact> {
    let ours = |impact: &&Impact| impact.rule.starts_with("AC");
    plan.impacts.iter().filter(ours).collect()
}

fn words(plan: &Plan) -> Vec<String> {
    let one = |impact: &&Impact| {
        format!(
            "{} {} {}: {} → {}; {}",
            impact.entity,
            impact.category,
            impact.rule,
            impact.before,
            impact.after,
            impact.causes.join("; ")
        )
    };
    told(plan).iter().map(one).collect()
}

#[test]
fn ac07_fires_for_who_holds_something_on_the_pool_a_guest_comes_into() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "ann@pve", "Power");
    give(&mut lab, "/vms", "ann@pve", "Look");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    assert_eq!(
        words(&plan),
        [
            "user/ann@pve gains-privilege AC07: has not → has VM.PowerMgmt on /vms/104; gains VM.PowerMgmt on /vms/104; /vms/104 comes into pool prod; Power for \
             user ann@pve on /pool/prod",
            "token/ann@pve!all gains-privilege AC07: has not → has VM.PowerMgmt on /vms/104; gains VM.PowerMgmt on /vms/104; /vms/104 comes into pool prod; Power for \
             user ann@pve on /pool/prod"
        ]
    );
    assert_eq!(
        told(&plan)[0].steps,
        plan.steps.iter().map(|step| step.id).collect()
    );
    assert!(plan.risk >= Risk::Medium);
}

#[test]
fn ac07_fires_for_who_loses_what_a_pool_gave() {
    let mut lab = lab();
    put(&mut lab, "prod", 102);
    put(&mut lab, "prod", 104);
    give(&mut lab, "/pool/prod", "bob@pve", "Look");
    give(&mut lab, "/pool/prod", "ann@pve!ci", "Look");
    give(&mut lab, "/", "ann@pve", "Look");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[]))]);
    assert_eq!(
        words(&plan),
        [
            "token/ann@pve!ci loses-privilege AC07: has VM.Audit on /vms/102, /vms/104 → has not; loses VM.Audit on /vms/102, /vms/104; /vms/102 leaves pool prod; /vms/104 \
             leaves pool prod; Look for token ann@pve!ci on /pool/prod; Look for user ann@pve on /",
            "user/bob@pve loses-privilege AC07: has VM.Audit on /vms/102, /vms/104 → has not; loses VM.Audit on /vms/102, /vms/104; /vms/102 leaves pool prod; /vms/104 \
             leaves pool prod; Look for user bob@pve on /pool/prod"
        ]
    );
}

#[test]
fn ac07_fires_both_ways_when_a_guest_moves() {
    let mut lab = lab();
    put(&mut lab, "test", 104);
    give(&mut lab, "/pool/test", "bob@pve", "Look");
    give(&mut lab, "/pool/prod", "ann@pve", "NoAccess");
    give(&mut lab, "/", "ann@pve", "Look");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    let words = words(&plan);
    assert_eq!(words.len(), 3, "{words:#?}");
    let moved = "/vms/104 leaves pool test; /vms/104 comes into pool prod";
    assert!(words.iter().all(|word| word.contains(moved)), "{words:#?}");
    let who: Vec<&str> = words
        .iter()
        .filter_map(|word| word.split(' ').next())
        .collect();
    assert_eq!(who, ["user/ann@pve", "token/ann@pve!all", "user/bob@pve"]);
}

#[test]
fn ac07_silent_when_the_pool_adds_nothing() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "ann@pve", "Look");
    give(&mut lab, "/vms", "ann@pve", "Power");
    give(&mut lab, "/pool/prod", "bob@pve", "NoAccess");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    assert!(!plan.steps.is_empty());
    assert!(told(&plan).is_empty(), "{:#?}", words(&plan));
}

#[test]
fn ac07_silent_for_a_change_that_moves_nobody() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "ann@pve", "Power");
    let plan = lab.plan(vec![doc(set(vm(104), "memory", "4096"))]);
    assert!(told(&plan).is_empty());
}

#[test]
fn ac05_fires_for_a_strong_privilege() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "bob@pve", "Administrator");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    let words = words(&plan);
    assert_eq!(words.len(), 1, "{words:#?}");
    assert!(
        words[0]
            .starts_with("user/bob@pve gains-privilege AC05: has not → has Permissions.Modify, "),
        "{words:#?}"
    );
}

#[test]
fn ac05_silent_for_a_weak_one() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "bob@pve", "Look");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    assert!(told(&plan).iter().all(|impact| impact.rule == "AC07"));
    assert_eq!(told(&plan).len(), 1);
}

#[test]
fn ac06_fires_when_the_controller_itself_loses_something() {
    let mut lab = lab();
    lab.world.controller = Some("ann@pve!all".to_owned());
    put(&mut lab, "prod", 104);
    give(&mut lab, "/pool/prod", "ann@pve", "Power");
    let refused = lab.refused(vec![pool_doc("prod", Some(&[]))]);
    assert!(
        refused.contains(
            "take it back:\n    has VM.Audit, VM.PowerMgmt on /vms/104 → has not\n    loses"
        ) && refused.contains("`allowControllerLoss: true`"),
        "{refused}"
    );
    lab.settings.allow_controller_loss = true;
    let plan = lab.plan(vec![pool_doc("prod", Some(&[]))]);
    let words = words(&plan);
    let lockout = "controller lockout AC06: has VM.Audit, VM.PowerMgmt on /vms/104 → has not; loses VM.Audit, VM.PowerMgmt on /vms/104; /vms/104 leaves pool prod; Power for \
                   user ann@pve on /pool/prod";
    assert!(words.contains(&lockout.to_owned()), "{words:#?}");
    assert_eq!(plan.risk, Risk::High);
}

#[test]
fn ac06_silent_when_it_gains_something() {
    let mut lab = lab();
    lab.world.controller = Some("ann@pve!all".to_owned());
    give(&mut lab, "/pool/prod", "ann@pve", "Power");
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    assert!(told(&plan).iter().all(|impact| impact.rule == "AC07"));
}

#[test]
fn who_is_disabled_is_told_with_a_note() {
    let mut lab = lab();
    give(&mut lab, "/pool/prod", "bob@pve", "Look");
    Arc::make_mut(lab.world.users.get_mut("bob@pve").unwrap()).enabled = false;
    let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
    assert_eq!(told(&plan)[0].notes, ["user bob@pve is disabled"]);
}

#[test]
fn what_is_not_read_is_unknown_and_nobody_is_said_to_be_untouched() {
    for part in [Part::Users, Part::Groups, Part::Roles, Part::Acl] {
        let mut lab = lab();
        give(&mut lab, "/pool/prod", "bob@pve", "Look");
        lab.unread(part.clone());
        let plan = lab.plan(vec![pool_doc("prod", Some(&[104]))]);
        assert!(told(&plan).is_empty());
        assert!(
            plan.unknowns
                .iter()
                .any(|unknown| unknown.what == part.to_string()),
            "{part}"
        );
        assert_eq!(plan.risk, Risk::Unknown);
    }
}
