//! Tests of the planner as a whole, over a small cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod account_words;
mod accounts;
mod cloning;
mod firewall_rules;
mod firewalls;
mod fixture;
mod images;
mod jobs;
mod laws;
mod making;
mod moving;
mod placing;
mod privileges;
mod reach;
mod reach_rules;
mod realms;
mod replicating;
mod restoring;
mod rule_blocks;
mod rules;
mod safety_copies;
mod shown;
mod snapshots;
mod tokens;
mod trials;
mod undoing;
mod vnets;
