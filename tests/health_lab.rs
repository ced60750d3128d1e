//! Health of the simulated cluster as it is read over the wire: a lab that is well has nothing lost that it should have, and what the
//! loss of its storage does stands in the words of the demo's story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use bailiwick::health::{
    Category, Facet, Grade, completeness_needed, evaluate, reevaluate, summary,
};
use bailiwick::ids::{ClusterName, StorageId};
use bailiwick::proxmox::{ApiToken, Client, ClusterEndpoints, Limits, Trust};
use bailiwick::sim;
use bailiwick::world::{Action, ObserveSettings, World, observe};

const LAB: &str = include_str!("../examples/worlds/lab.yaml");
const SECRET: &str = "11111111-2222-3333-4444-555555555555";
const TOKEN: &str = "bailiwick@pve!controller";

async fn lab() -> World {
    let mut options = sim::Options::new(LAB);
    options.scale = 500.0;
    options.secrets.insert(TOKEN.to_owned(), SECRET.to_owned());
    let running = sim::start(options).await.unwrap();
    let endpoints = ClusterEndpoints {
        urls: vec![running.url().parse().unwrap()],
        trust: Trust::Fingerprints([running.fingerprint().parse().unwrap()].into()),
        token: ApiToken::new(&format!("{TOKEN}={SECRET}"), "in the test").unwrap(),
    };
    let client = Client::new(endpoints, Limits::default()).unwrap();
    let settings = ObserveSettings::all(ClusterName::new("lab").unwrap());
    observe(&client, &settings).await.unwrap()
}

#[tokio::test]
async fn a_lab_that_is_well_is_well() {
    let world = lab().await;
    let wrong: Vec<String> = evaluate(&world)
        .into_iter()
        .filter(|((_, facet), state)| {
            // That a guest is off, has no backup or no job is how this lab is.
            let by_choice = matches!(facet, Facet::Runs | Facet::Recoverable | Facet::Covered);
            state.grade == Grade::Unknown || (state.grade == Grade::Lost && !by_choice)
        })
        .map(|((entity, facet), state)| format!("{entity} {facet:?}: {}", state.causes.join("; ")))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn the_loss_of_local_zfs_in_the_words_of_the_story() {
    let world = lab().await;
    let action = Action::DeleteStorage {
        id: StorageId::new("local-zfs").unwrap(),
    };
    let end = world.apply(&action).unwrap();
    assert_eq!(completeness_needed(&world, &end), Vec::new());
    let (before, after) = (evaluate(&world), evaluate(&end));
    assert_eq!(reevaluate(&before, &world, &end), after);
    let lines: Vec<String> = summary(&before, &after)
        .iter()
        .map(|worse| {
            let word = worse.after.category.map_or("?", Category::word);
            format!(
                "{}  {word}  ({})",
                worse.entity,
                worse.after.causes.join("; ")
            )
        })
        .collect();
    for wanted in [
        "vm/104  won't-boot  (boot disk scsi0 on local-zfs)",
        "vm/210  won't-boot  (only copy: scsi0 on local-zfs)",
        "ct/301  degraded  (data volume mp1 on local-zfs)",
    ] {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted} is not among {lines:#?}"
        );
    }
    // Every guest that names the storage is there.
    for guest in world.guests.values() {
        let names = guest
            .config
            .current
            .values()
            .any(|value| value.contains("local-zfs:"));
        let told = lines
            .iter()
            .any(|line| line.starts_with(&format!("{} ", guest.entity())));
        assert!(!names || told, "{} is not told: {lines:#?}", guest.entity());
    }
}
