//! Plans are held against the API that the connected host says it has: what the connected version lacks is refused before anybody
//! approves anything, the description is read once a version, and a host that does not give it is told of in the plan.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bailiwick::sim::viewer;
use support::play::{LAB, Play, Setup, hash_of};

const MTU: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: new}\n\
    spec: {vmid: 9000, node: pve1, memory: {size: 1Gi}, networks: {net0: {model: virtio, bridge: vmbr0, mtu: 1400}}}\n";
const KSM: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\n\
    spec: {vmid: 102, memory: {size: 6Gi, allowKsm: false}}\n";
const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\n\
    spec: {vmid: 102, cpu: {cores: 6}}\n";
const POOL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: spare}\nspec: {comment: made}\n";

/// The lab, with these lines at the top of its world file.
fn lab(lines: &str) -> Play {
    Play::with(Setup {
        world: format!("{lines}\n{LAB}"),
        ..Setup::default()
    })
}

const OLD: &str = "version: 8.2.2\nlacks:\n  POST /nodes/{node}/qemu: [allow-ksm, 'net[n].mtu']\n  \
    POST /nodes/{node}/qemu/{vmid}/config: [allow-ksm]\n  POST /pools: []";

/// How often the description was asked for.
fn readings(play: &Play) -> usize {
    let log = play.sim.log();
    log.iter()
        .filter(|entry| entry.path == viewer::PATH)
        .count()
}

#[track_caller]
fn refused(play: &Play, document: &str, words: &str) {
    play.document("it", document);
    let said = play.bailiwick(&["apply", "-f", "docs"]).ends(1).all();
    assert!(said.contains(words), "{said}");
    assert_eq!(play.counts().len(), 0, "something was written");
    let plans = play.json(&["get", "plans"]).ends(0).json();
    assert_eq!(
        plans.as_array().unwrap().len(),
        0,
        "there is something to approve"
    );
}

#[test]
fn what_the_connected_version_lacks_is_refused_with_version_and_name() {
    let play = lab(OLD);
    let version = "this cluster runs Proxmox VE 8.2.2, which has";
    refused(
        &play,
        MTU,
        &format!("{version} no `mtu` in the parameter `net0` of `POST /nodes/{{node}}/qemu`"),
    );
    refused(
        &play,
        KSM,
        &format!(
            "{version} no parameter `allow-ksm` of `POST /nodes/{{node}}/qemu/{{vmid}}/config`"
        ),
    );
    refused(&play, POOL, &format!("{version} no `POST /pools`"));
    assert_eq!(readings(&play), 1, "it is read once a version");
    // The rest of what it has works, and the refusals are the cluster's own too.
    play.document("it", MAIL);
    play.carry_out();
    assert!(play.config(102).unwrap().contains("cores: 6"));
    assert_eq!(readings(&play), 1);
}

#[test]
fn another_version_is_read_anew() {
    let play = lab(OLD);
    refused(&play, KSM, "8.2.2");
    play.sim
        .with(|cluster| cluster.edition = viewer::Edition::default());
    play.carry_out();
    assert_eq!(readings(&play), 2);
    let out = play.json(&["apply", "-f", "docs"]).ends(0).out;
    assert_eq!(readings(&play), 2, "{out}");
}

#[test]
fn a_host_that_does_not_describe_its_api_is_told_of_in_the_plan() {
    let play = lab("api-viewer: false");
    play.document("it", KSM);
    let plan = play.apply();
    let notes = plan["notes"].to_string();
    assert!(
        notes.contains("not checked: whether Proxmox VE 9.1.8 takes every parameter"),
        "{notes}"
    );
    assert_eq!(plan["unknowns"].as_array().unwrap().len(), 0);
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    let doctor = play.bailiwick(&["doctor"]).all();
    assert!(
        doctor.contains("its description cannot be read"),
        "{doctor}"
    );
}

#[test]
fn of_a_version_that_nobody_knows_it_is_unknown() {
    let play = lab("version: 8.2.2\napi-viewer: false");
    play.document("it", MAIL);
    let plan = play.apply();
    assert_eq!(plan["risk"], "unknown");
    let unknowns = plan["unknowns"].to_string();
    assert!(
        unknowns.contains("whether Proxmox VE 8.2.2 takes"),
        "{unknowns}"
    );
    // Whoever approves it names the unknown.
    let hash = hash_of(&plan);
    play.bailiwick(&["approve", &hash, "--key", "anna", "--impacts", "all"]);
    play.run(&hash).ends(3);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
}
