//! The client and `observe` against the simulated cluster, over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use bailiwick::ids::ClusterName;
use bailiwick::proxmox::tasks::TaskQuery;
use bailiwick::proxmox::{
    ApiToken, Call, Client, ClusterEndpoints, ErrorClass, Limits, TaskOutcome, Trust,
};
use bailiwick::sim;
use bailiwick::world::{ObserveSettings, Part, Status, World, observe};

const LAB: &str = include_str!("../examples/worlds/lab.yaml");
const SECRET: &str = "11111111-2222-3333-4444-555555555555";

async fn lab(token: &str) -> (sim::Running, Client) {
    let mut options = sim::Options::new(LAB);
    options.scale = 500.0;
    options.secrets.insert(token.to_owned(), SECRET.to_owned());
    let running = sim::start(options).await.unwrap();
    let endpoints = ClusterEndpoints {
        urls: vec![running.url().parse().unwrap()],
        trust: Trust::Fingerprints([running.fingerprint().parse().unwrap()].into()),
        token: ApiToken::new(&format!("{token}={SECRET}"), "in the test").unwrap(),
    };
    let client = Client::new(endpoints, Limits::default()).unwrap();
    (running, client)
}

async fn observed(client: &Client) -> World {
    observe(
        client,
        &ObserveSettings::all(ClusterName::new("lab").unwrap()),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn the_controller_sees_everything() {
    let (_sim, client) = lab("bailiwick@pve!controller").await;
    let world = observed(&client).await;
    let unreadable: Vec<String> = world
        .unreadable_parts()
        .map(|(part, why)| format!("{part}: {why}"))
        .collect();
    assert_eq!(unreadable, Vec::<String>::new());
    assert!(world.guests.len() > 35, "{}", world.guests.len());
    assert_eq!(world.nodes.len(), 3);
    assert_eq!(world.quorate, Some(true));
    assert!(
        world
            .guests
            .values()
            .all(|guest| guest.status != Status::Unknown && guest.config.digest.len() == 40)
    );
    assert!(world.guests.values().all(
        |guest| guest.kind != bailiwick::ids::GuestKind::Qemu || guest.config.birth().is_some()
    ));
    // Nothing changes between two observations of a cluster at rest.
    let mut again = observed(&client).await;
    again.observed_at = world.observed_at;
    again.completeness = world.completeness.clone();
    for (name, node) in &mut again.nodes {
        std::sync::Arc::make_mut(node).memory_used = world.nodes[name].memory_used;
    }
    assert_eq!(again, world);
}

#[tokio::test]
async fn an_auditor_sees_all_but_the_disks() {
    let (_sim, client) = lab("bailiwick@pve!observer").await;
    let world = observed(&client).await;
    for (part, why) in world.unreadable_parts() {
        assert!(matches!(part, Part::StorageContent(..)), "{part}: {why}");
    }
    assert!(world.unreadable_parts().count() > 0);
}

#[tokio::test]
async fn a_task_is_started_waited_for_and_found() {
    let (_sim, client) = lab("bailiwick@pve!controller").await;
    let world = observed(&client).await;
    let guest = world
        .guests
        .values()
        .find(|g| {
            g.status == Status::Stopped
                && !g.template
                && g.lock.is_none()
                && g.kind == bailiwick::ids::GuestKind::Qemu
                && !world.ha_resources.contains_key(&g.vmid)
        })
        .unwrap();
    let vmid = guest.vmid.to_string();
    let path = [
        "nodes",
        guest.node.as_str(),
        "qemu",
        &vmid,
        "status",
        "start",
    ];
    let answer = client.write(Call::post(path)).await.unwrap();
    let upid = answer.upid.unwrap();
    let outcome = client
        .wait_task(&upid, Duration::from_secs(10), Duration::from_millis(10))
        .await;
    assert_eq!(outcome, TaskOutcome::Ok);
    let query = TaskQuery {
        node: Some(&guest.node),
        task_type: "qmstart",
        id: &vmid,
        user: client.token_id(),
        since: upid.start,
    };
    assert_eq!(client.find_task(query).await.unwrap()[0].upid, upid);
    assert_eq!(
        observed(&client).await.guests[&guest.vmid].status,
        Status::Running
    );
    let gone = Call::get(["nodes", guest.node.as_str(), "qemu", "999", "config"]);
    let error = client.read(gone).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    let stale = Call::put(["nodes", guest.node.as_str(), "qemu", &vmid, "config"])
        .param("digest", "0".repeat(40))
        .param("name", "x");
    assert_eq!(
        client.write(stale).await.unwrap_err().class(),
        ErrorClass::DigestMismatch
    );
}
