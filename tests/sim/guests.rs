//! What tests of guests share.

use super::client::{Reply, Sim};
use serde_json::Value;

pub fn failed(reply: &Reply) -> (u16, &str) {
    (
        reply.status,
        reply.body["message"]
            .as_str()
            .unwrap_or_default()
            .trim_end(),
    )
}

/// Calls, waits for the task, and answers how it ended.
pub async fn run(sim: &Sim, method: &str, path: &str, params: &[(&str, &str)]) -> String {
    let reply = sim.call(method, path, params).await;
    sim.task(&reply).await
}

pub async fn config(sim: &Sim, path: &str) -> Value {
    sim.get(&format!("{path}/config?current=1"))
        .await
        .data()
        .clone()
}

pub async fn volumes(sim: &Sim, node: &str, storage: &str, vmid: u32) -> Vec<String> {
    let content = sim
        .get(&format!(
            "/nodes/{node}/storage/{storage}/content?vmid={vmid}"
        ))
        .await;
    let list = content.data().as_array().unwrap().clone();
    list.iter()
        .map(|entry| entry["volid"].as_str().unwrap().to_owned())
        .collect()
}
