//! How long it takes to work out who may do what: every privilege of 300 principals on 2,000 paths, before and after a change, and the
//! difference. The aim is less than 200 ms of processor time for all three.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use bailiwick::health::access::{
    Configuration, Entry, Matrix, Pool, ROOT, Subject, Token, User, difference,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// 300 principals, 20 groups and pools, 18 roles of up to 48 privileges, and this many entries all over 2,000 paths.
fn cluster(entries: usize) -> (Configuration, BTreeSet<String>) {
    let names: Vec<String> = (0..48).map(|n| format!("Area.Privilege{n:02}")).collect();
    let mut roles: BTreeMap<String, BTreeSet<String>> = (0..16)
        .map(|r| {
            let of_role = names.iter().skip(r).step_by(1 + r % 5);
            (format!("Role{r:02}"), of_role.cloned().collect())
        })
        .collect();
    roles.insert("NoAccess".into(), BTreeSet::new());
    roles.insert("Administrator".into(), names.into_iter().collect());
    let role_names: Vec<String> = roles.keys().cloned().collect();
    let mut all = Configuration {
        roles,
        ..Configuration::default()
    };
    let user = User {
        enabled: true,
        expires: 0,
    };
    all.users.insert(ROOT.to_owned(), user.clone());
    for u in 0..199 {
        all.users.insert(format!("u{u}@pve"), user.clone());
    }
    for u in 0..100 {
        let token = Token {
            separated: u % 3 > 0,
            expires: 0,
        };
        all.tokens.insert(format!("u{u}@pve!t"), token);
    }
    for group in 0..20 {
        let members = (0..199).filter(|u| u % 20 == group || u % 7 == group % 7);
        let members = members.map(|u| format!("u{u}@pve")).collect();
        all.groups.insert(format!("g{group}"), members);
    }
    for number in 0..20 {
        let pool = Pool {
            guests: (100..1600).filter(|vmid| vmid % 30 == number).collect(),
            storages: [format!("s{number}"), "shared".to_owned()].into(),
        };
        all.pools.insert(format!("p{number}"), pool);
    }
    let mut paths: BTreeSet<String> = (100..1600).map(|vmid| format!("/vms/{vmid}")).collect();
    paths.extend((0..450).map(|s| format!("/storage/s{s}")));
    paths.extend(all.paths());
    paths.extend((paths.len()..2000).map(|n| format!("/nodes/n{n}")));
    let list: Vec<&String> = paths.iter().collect();
    // A fixed sequence of numbers that have nothing to do with each other.
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for number in 0..entries {
        let subject = match next(3) {
            0 => Subject::User(format!("u{}@pve", next(199))),
            1 => Subject::Group(format!("g{}", next(20))),
            _ => Subject::Token(format!("u{}@pve!t", next(100))),
        };
        all.entries.push(Entry {
            path: list[number * list.len() / entries].clone(),
            subject,
            role: role_names[next(role_names.len())].clone(),
            propagate: next(3) > 0,
        });
    }
    (all, paths)
}

fn access(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access");
    for entries in [60, 600, 6000] {
        let (before, paths) = cluster(entries);
        assert_eq!((before.principals().len(), paths.len()), (300, 2000));
        let mut after = before.clone();
        after.groups.get_mut("g3").unwrap().clear();
        after.entries[entries / 2].role = "NoAccess".to_owned();
        group.bench_function(
            BenchmarkId::new("before_after_difference", entries),
            |bench| {
                bench.iter(|| {
                    let was = Matrix::new(black_box(&before), &paths);
                    let is = Matrix::new(black_box(&after), &paths);
                    difference(&was, &is).len()
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, access);
criterion_main!(benches);
