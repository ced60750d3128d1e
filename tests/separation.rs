//! Who may let a plan pass: signatures, their single use and their end, policies, and that no agent can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::play::{Play, hash_of};

const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}}\n";

#[test]
fn a_key_that_is_not_allowed_is_refused_and_recorded() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.approve_with(&plan, "stranger").ends(1);
    let failed: Vec<_> = play
        .ledger()
        .into_iter()
        .filter(|record| record["action"] == "login-failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["plan"], plan);
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.approve(&plan).ends(0);
    play.run(&plan).ends(0);
    assert_eq!(play.writes().len(), 1);
    play.run(&plan).ends(1);
    assert_eq!(play.writes().len(), 1);
}
