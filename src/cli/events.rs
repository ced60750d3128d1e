//! `events` and `get --watch`: what happens, as it happens.

use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use super::arguments::{Events, Format, Get};
use super::exit::Exit;
use super::output::Output;
use crate::plan::words::clean;
use crate::service::Service;
use crate::service::show::List;
use crate::store::{Event, EventFilter};

/// How often is looked for something new.
const LOOK: Duration = Duration::from_millis(500);

/// `events`.
pub async fn events(service: &Service, asked: &Events, output: &Output) -> Ended {
    let mut filter = EventFilter {
        after: asked.after.unwrap_or(0),
        cluster: match &asked.cluster {
            Some(name) => Some(service.cluster(Some(name))?.name.clone()),
            None => None,
        },
        object: asked.object.clone(),
        plan: match &asked.plan {
            Some(prefix) => Some(service.plan(prefix).await?.0.head.hash),
            None => None,
        },
    };
    let store = service.store();
    let found = match asked.after {
        Some(_) => store
            .events(&filter, asked.limit)
            .await
            .map_err(crate::service::ServiceError::from)?,
        None => store
            .latest_events(&filter, asked.limit)
            .await
            .map_err(crate::service::ServiceError::from)?,
    };
    if let Some(last) = found.last() {
        filter.after = last.id;
    }
    if !asked.watch {
        match output.format {
            Format::Text if found.is_empty() => output.line("none"),
            Format::Text => found.iter().for_each(|event| output.line(line(event))),
            Format::Json | Format::Yaml => {
                output.value(&Value::Array(found.iter().map(value).collect()));
            }
        }
        return Ok(Exit::Success);
    }
    let mut fresh = found;
    loop {
        for event in &fresh {
            match output.format {
                Format::Text => output.line(line(event)),
                // A line each, so that a program can read them as they come.
                Format::Json => output.raw(&format!("{}\n", value(event))),
                Format::Yaml => {
                    output.raw("---\n");
                    output.value(&value(event));
                }
            }
            filter.after = event.id;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
            () = tokio::time::sleep(LOOK) => {}
        }
        fresh = store
            .events(&filter, 1000)
            .await
            .map_err(crate::service::ServiceError::from)?;
    }
}

fn line(event: &Event) -> String {
    let told = &event.event;
    format!(
        "{}  {:7}  {:15}  {}  {}",
        told.at.strftime("%Y-%m-%d %H:%M:%SZ"),
        told.kind.name(),
        told.reason,
        clean(&told.object),
        clean(&told.message)
    )
}

/// An event for programs.
fn value(event: &Event) -> Value {
    let told = &event.event;
    json!({
        "id": event.id, "at": told.at.to_string(), "cluster": told.cluster, "object": told.object,
        "type": told.kind.name(), "reason": told.reason, "message": told.message, "actor": told.actor,
        "plan": told.plan, "ledger": told.ledger,
    })
}

/// `get --watch`: the list, then every row that is new or another than before, until interrupted.
pub async fn watch(service: &Service, get: &Get, output: &Output) -> Ended {
    let mut before = List::default();
    let live = [
        "vm",
        "ct",
        "storage",
        "pool",
        "backup",
        "replication",
        "token",
        "api-token",
        "apitoken",
        "node",
        "alias",
        "ipset",
        "security-group",
        "firewall",
        "group",
        "user",
        "role",
        "realm",
        "acl",
    ];
    // What is live costs an observation each time.
    let look = if live.iter().any(|live| get.what.starts_with(live)) {
        Duration::from_secs(10)
    } else {
        LOOK
    };
    let mut first = true;
    loop {
        let list = service.list(&get.what, get.cluster.as_deref()).await?;
        if first {
            output.list(&list);
        } else {
            let mut changed = List {
                headings: list.headings.clone(),
                ..List::default()
            };
            for (row, json) in list.rows.iter().zip(&list.json) {
                if !before.rows.contains(row) {
                    changed.rows.push(row.clone());
                    changed.json.push(json.clone());
                }
            }
            if !changed.rows.is_empty() {
                match output.format {
                    Format::Text => changed
                        .rows
                        .iter()
                        .for_each(|row| output.line(row.join("  "))),
                    Format::Json => changed
                        .json
                        .iter()
                        .for_each(|json| output.raw(&format!("{json}\n"))),
                    Format::Yaml => output.value(&Value::Array(changed.json.clone())),
                }
            }
        }
        first = false;
        before = list;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Success),
            () = tokio::time::sleep(look) => {}
        }
    }
}
