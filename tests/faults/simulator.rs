//! The simulator's own word on the faults that the matrix leans on: each does what it says, for as long as it says, and no more.

use bailiwick::proxmox::{
    ApiError, ApiToken, Call, Client, ClusterEndpoints, Limits, Trust, WriteError,
};
use bailiwick::sim::{self, Fault, Running};
use serde_json::Value;

use crate::support::play::{BREAK_GLASS, LAB};

const SECRET: &str = "11111111-2222-3333-4444-555555555555";

async fn stage() -> (Running, Client) {
    let mut options = sim::Options::new(LAB);
    options.scale = 500.0;
    options.secrets.insert(BREAK_GLASS.into(), SECRET.into());
    let sim = sim::start(options).await.unwrap();
    let endpoints = ClusterEndpoints {
        urls: vec![sim.url().parse().unwrap()],
        trust: Trust::Fingerprints([sim.fingerprint().parse().unwrap()].into()),
        token: ApiToken::new(&format!("{BREAK_GLASS}={SECRET}"), "in the test").unwrap(),
    };
    let client = Client::new(endpoints, Limits::default()).unwrap();
    (sim, client)
}

fn tell(sim: &Running, fault: &str) {
    sim.fault(Fault::parse(fault).unwrap());
}

fn pool(name: &str) -> Call {
    Call::post(["pools"]).param("poolid", name)
}

async fn quorate(client: &Client) -> Value {
    let status: Vec<Value> = client.get(Call::get(["cluster", "status"])).await.unwrap();
    status[0]["quorate"].clone()
}

#[tokio::test]
async fn nobody_listens_until_somebody_does() {
    let (sim, client) = stage().await;
    tell(&sim, "refuse=after;path=/version;seconds=*");
    client.read(Call::get(["version"])).await.unwrap();
    let refused = client.write(pool("a")).await.unwrap_err();
    assert!(
        matches!(refused, WriteError::Refused(ApiError::Unreachable { .. })),
        "{refused:?}"
    );
    sim.clear_faults();
    // The listener comes back at its own time, at the same address.
    while client.read(Call::get(["version"])).await.is_err() {}
    client.write(pool("a")).await.unwrap();
    assert_eq!(sim.effects(BREAK_GLASS)["POST /pools"], 1);
}

#[tokio::test]
async fn a_stranger_has_another_certificate() {
    let (sim, client) = stage().await;
    tell(&sim, "certificate=after;path=/version;seconds=*");
    client.read(Call::get(["version"])).await.unwrap();
    let refused = client.write(pool("a")).await.unwrap_err();
    assert!(
        matches!(refused, WriteError::Refused(ApiError::Untrusted { .. })),
        "{refused:?}"
    );
    sim.clear_faults();
    client.write(pool("a")).await.unwrap();
}

#[tokio::test]
async fn a_restart_cuts_the_answer_and_keeps_the_cluster() {
    let (sim, client) = stage().await;
    for (moment, pool_id, effects) in [("before", "a", 0), ("after", "b", 1)] {
        tell(
            &sim,
            &format!("restart={moment};method=POST;path=/pools;seconds=20"),
        );
        let lost = client.write(pool(pool_id)).await.unwrap_err();
        assert!(matches!(lost, WriteError::Undetermined(_)), "{lost:?}");
        while client.read(Call::get(["version"])).await.is_err() {}
        let done = sim.effects(BREAK_GLASS);
        assert_eq!(done.get("POST /pools").copied().unwrap_or(0), effects);
    }
}

#[tokio::test]
async fn without_quorum_everything_can_be_read_and_nothing_written() {
    let (sim, client) = stage().await;
    assert_eq!(quorate(&client).await, 1);
    tell(&sim, "quorum=before;method=POST;path=/pools;seconds=*");
    let refused = client.write(pool("a")).await.unwrap_err();
    assert!(refused.to_string().contains("no quorum"), "{refused}");
    assert_eq!(quorate(&client).await, 0);
    sim.clear_faults();
    assert_eq!(quorate(&client).await, 1);
    client.write(pool("a")).await.unwrap();
}

#[tokio::test]
async fn a_node_out_of_reach_goes_on_with_its_work() {
    let (sim, client) = stage().await;
    tell(&sim, "offline=after;method=POST;seconds=*");
    let start = || Call::post(["nodes", "pve2", "qemu", "103", "status", "start"]);
    client.write(start()).await.unwrap();
    let lost = client.read(Call::get(["nodes", "pve2", "qemu"])).await;
    assert!(lost.unwrap_err().to_string().contains("No route to host"));
    sim.advance(60.0);
    assert_eq!(sim.effects(BREAK_GLASS)["qmstart 103 on pve2"], 1);
    sim.clear_faults();
    client
        .read(Call::get(["nodes", "pve2", "qemu"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_task_says_nothing_of_its_end() {
    let (sim, client) = stage().await;
    for (moment, vmid, effects) in [("before", "103", 0), ("after", "121", 1)] {
        tell(&sim, &format!("killed={moment};type=qmconfig;id={vmid}"));
        let path = ["nodes", "pve2", "qemu", vmid, "config"];
        let answer = client.write(Call::post(path).param("description", "x"));
        let upid = answer.await.unwrap().upid.unwrap();
        sim.advance(60.0);
        let status = ["nodes", "pve2", "tasks", &upid.to_string(), "status"].map(str::to_owned);
        let status: Value = client.get(Call::get(status)).await.unwrap();
        assert_eq!(status["exitstatus"], "unexpected status");
        let done = sim.effects(BREAK_GLASS);
        let done = done.get(&format!("qmconfig {vmid} on pve2"));
        assert_eq!(done.copied().unwrap_or(0), effects);
    }
}
