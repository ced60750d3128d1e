//! Resources as answers show them: cleaned, bounded, with how much was left out.

use jiff::Timestamp;

use super::answers as out;
use super::untrusted::{bounded, text};
use crate::health::Place;
use crate::ids::StorageId;
use crate::service::resources::{Live, Resource, ResourceView};

/// How many entries of a configuration are shown.
const ENTRIES: usize = 200;
/// The longest text of a document that is shown, in characters.
const LONGEST_DOCUMENT: usize = 20_000;

/// A resource in a list.
pub(super) fn line(resource: &Resource) -> out::ResourceLine {
    out::ResourceLine {
        id: text(&resource.id),
        kind: resource.kind.word().to_owned(),
        status: resource.status.clone(),
        node: resource.node.as_deref().map(text),
        pool: resource.pool.as_deref().map(text),
        document: resource
            .managed
            .as_ref()
            .map(|managed| text(&managed.document)),
        source: resource
            .managed
            .as_ref()
            .map(|managed| text(&managed.source)),
        object: resource.object.as_deref().map(text),
        untrusted: out::Name {
            name: resource.name.as_deref().map(text),
            lock: resource.lock.as_deref().map(text),
        },
    }
}

/// A resource with everything that is known of it.
pub(super) fn whole(
    cluster: &str,
    observed_at: jiff::Timestamp,
    view: ResourceView,
) -> out::ResourceWhole {
    out::ResourceWhole {
        cluster: cluster.to_owned(),
        observed_at: observed_at.to_string(),
        resource: line(&view.resource),
        live: view.live.as_ref().map(live),
        document: view.document.map(|stored| out::DocumentWhole {
            key: format!("{}/{}", stored.document.kind, stored.document.name),
            source: text(&stored.document.source),
            hash: stored.document.hash,
            generation: stored.generation,
            updated: stored.updated.to_string(),
            untrusted: out::Text {
                text: lines(&stored.document.text),
            },
        }),
        conditions: view
            .conditions
            .into_iter()
            .map(|kept| out::Condition {
                kind: kept.condition.kind.to_string(),
                status: kept.condition.status.to_string(),
                reason: text(&kept.condition.reason),
                since: kept.since.to_string(),
                untrusted: out::Text {
                    text: text(&kept.condition.message),
                },
            })
            .collect(),
        events: view
            .events
            .into_iter()
            .map(|kept| out::Event {
                at: kept.event.at.to_string(),
                kind: kept.event.kind.to_string(),
                reason: text(&kept.event.reason),
                actor: text(&kept.event.actor),
                plan: kept.event.plan,
                untrusted: out::Text {
                    text: text(&kept.event.message),
                },
            })
            .collect(),
    }
}

/// A document's text, whose line ends are kept and everything else cleaned.
fn lines(document: &str) -> String {
    let head: String = document.chars().take(LONGEST_DOCUMENT).collect();
    let cleaned: Vec<String> = head
        .lines()
        .map(|line| bounded(line, LONGEST_DOCUMENT))
        .collect();
    cleaned.join("\n")
}

fn live(live: &Live) -> out::Live {
    let mut facts = out::Facts::default();
    let mut left_out = 0;
    let mut unreadable = None;
    match live {
        Live::Guest(guest, restorable, why) => {
            left_out += options(&mut facts, &guest.config.current);
            for pending in guest.config.pending.iter().take(ENTRIES) {
                let value = pending.value.as_deref().map(text);
                facts.pending.insert(text(&pending.key), value);
            }
            left_out += guest.config.pending.len().saturating_sub(ENTRIES);
            facts.snapshots = keys(guest.config.snapshots.keys(), &mut left_out);
            facts.backups = restorable.places.iter().map(backups).collect();
            facts.backups_unlisted = restorable.unlisted.as_deref().map(text);
            unreadable = why.as_deref().map(text);
        }
        Live::Storage(storage, nodes) => {
            left_out += options(&mut facts, &storage.options);
            facts
                .options
                .insert("type".to_owned(), text(&storage.storage_type));
            facts.nodes = nodes
                .iter()
                .take(ENTRIES)
                .map(|(node, state)| out::StorageOnNode {
                    node: text(node),
                    enabled: state.enabled,
                    active: state.active,
                    total_bytes: state.total.map(|bytes| bytes.0),
                    free_bytes: state.available.map(|bytes| bytes.0),
                })
                .collect();
        }
        Live::Pool(_, pool) => {
            if let Some(comment) = &pool.comment {
                facts.options.insert("comment".to_owned(), text(comment));
            }
            let guests = pool.guests.iter().map(|vmid| format!("guest/{vmid}"));
            let storages = pool.storages.iter().map(|id| format!("storage/{id}"));
            let members: Vec<String> = guests.chain(storages).collect();
            facts.members = keys(members.iter(), &mut left_out);
        }
        Live::BackupJob(_, job, guests) => {
            left_out += options(&mut facts, &job.options);
            facts.members = keys(guests.iter(), &mut left_out);
        }
        Live::Token(token, enabled, entries) => {
            let mut put = |key: &str, value: String| {
                facts.options.insert(key.to_owned(), text(&value));
            };
            put("separated", token.separated.to_string());
            put("expires", crate::plan::token_expires(token.expires));
            put("userEnabled", enabled.to_string());
            if let Some(comment) = &token.comment {
                put("comment", comment.clone());
            }
            facts.members = keys(entries.iter(), &mut left_out);
        }
        Live::ReplicationJob(_, job) => {
            left_out += options(&mut facts, &job.options);
            let target = text(job.target.as_str());
            facts.options.insert("target".to_owned(), target);
            let guest = format!("guest/{}", job.guest);
            facts.members = keys(std::iter::once(&guest), &mut left_out);
        }
        Live::Firewall(told, members) => {
            left_out += options(&mut facts, told);
            facts.members = keys(members.iter(), &mut left_out);
        }
        Live::Account(told, members) => {
            left_out += options(&mut facts, told);
            facts.members = keys(members.iter(), &mut left_out);
        }
        Live::Node(_, node, guests) => {
            let mut put = |key: &str, value: Option<String>| {
                if let Some(value) = value {
                    facts.options.insert(key.to_owned(), text(&value));
                }
            };
            put("ip", node.ip.clone());
            put("cpus", node.cpus.map(|cpus| cpus.to_string()));
            put(
                "memoryBytes",
                node.memory_total.map(|bytes| bytes.0.to_string()),
            );
            put(
                "memoryUsedBytes",
                node.memory_used.map(|bytes| bytes.0.to_string()),
            );
            put("guests", Some(guests.to_string()));
            facts.bridges = keys(node.bridges.iter(), &mut left_out);
        }
        Live::Snapshot(snapshot) => {
            left_out += options(&mut facts, &snapshot.section);
            let state = snapshot.state.clone();
            let taken = snapshot.taken.and_then(time);
            for (key, value) in [
                ("taken", taken),
                ("state", state),
                ("parent", snapshot.parent.clone()),
            ] {
                if let Some(value) = value {
                    facts
                        .options
                        .insert(format!("snapshot.{key}"), text(&value));
                }
            }
        }
        Live::Image(volume) => {
            let created = volume.created.and_then(time);
            for (key, value) in [
                ("content", Some(volume.content.clone())),
                ("format", Some(volume.format.clone())),
                ("bytes", Some(volume.size.0.to_string())),
                ("created", created),
            ] {
                if let Some(value) = value {
                    facts.options.insert(key.to_owned(), text(&value));
                }
            }
        }
    }
    out::Live {
        untrusted: facts,
        left_out,
        unreadable,
    }
}

fn time(second: i64) -> Option<String> {
    Timestamp::from_second(second).ok().map(|at| at.to_string())
}

fn backups((storage, place): &(StorageId, Place)) -> out::BackupsOn {
    out::BackupsOn {
        storage: text(storage.as_str()),
        count: place.count,
        newest: place.newest.map(|at| at.to_string()),
    }
}

/// Puts options in; returns how many were left out.
fn options(facts: &mut out::Facts, section: &crate::world::Section) -> usize {
    for (key, value) in section.iter().take(ENTRIES) {
        facts.options.insert(text(key), text(value));
    }
    section.len().saturating_sub(ENTRIES)
}

fn keys<'a>(all: impl ExactSizeIterator<Item = &'a String>, left_out: &mut usize) -> Vec<String> {
    *left_out += all.len().saturating_sub(ENTRIES);
    all.take(ENTRIES).map(|one| text(one)).collect()
}
