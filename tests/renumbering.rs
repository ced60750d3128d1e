//! A document that gives its guest another VMID: cloned and retired, and taken back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bailiwick::store::Store;
use support::play::{Play, hash_of, same_end};

fn mail(spec: &str) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: mail}}\nspec: {{memory: {{size: 4Gi}}, {spec}}}\n"
    )
}

#[test]
fn a_guest_is_cloned_to_its_new_number_and_retired() {
    let play = Play::new();
    play.document("mail", &mail("vmid: 102"));
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    let before = play.end();
    let writes = play.writes().len();

    play.document("mail", &mail("vmid: 9102"));
    let refused = play.bailiwick(&["apply", "-f", "docs", "--prune"]);
    assert!(
        refused.err.contains("cloneFrom: {vmid: 102}"),
        "{refused:?}"
    );
    refused.ends(1);
    assert_eq!(play.writes().len(), writes);

    play.document(
        "mail",
        &mail("vmid: 9102, cloneFrom: {vmid: 102}, powerState: running"),
    );
    let plan = play.apply();
    assert_eq!(plan["documents"][0]["insteadOf"], "vm/102");
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    let old = play.config(102).unwrap();
    assert!(old.contains("onboot: 0") && !old.contains("9102"), "{old}");
    assert!(play.config(9102).unwrap().contains("memory: 4096"));
    let runs = |vmid: u32| {
        play.sim
            .with(|cluster| cluster.running.keys().any(|key| *key == vmid))
    };
    assert!(runs(9102) && !runs(102));
    // It is the document's now, and nothing is left to do.
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    let owned = || {
        play.block_on(async {
            let store = Store::open(&play.path("state/bailiwick.db")).await.unwrap();
            let owned = store.owned(&"lab".parse().unwrap()).await.unwrap();
            let objects = owned.into_iter().map(|owned| owned.object);
            objects.collect::<Vec<_>>()
        })
    };
    assert_eq!(owned(), ["vm/9102"]);

    let back = hash_of(&play.undo(&hash));
    play.approve(&back).ends(0);
    play.run(&back).ends(0);
    assert_eq!(play.config(9102), None);
    same_end(&play.end(), &before, "undone");
    assert!(runs(102));
    assert_eq!(owned(), ["vm/102"]);
    play.document("mail", &mail("vmid: 102"));
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
}
