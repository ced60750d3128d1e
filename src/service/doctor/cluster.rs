//! A cluster: every endpoint, its certificate, the token, the clocks, what can be seen, and what the documents take.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::grants::{self, Grants};
use super::{Diagnosis, Ward, needs};
use crate::configuration::Cluster;
use crate::configuration::parts::{Endpoint, Tls, Token};
use crate::plan::{ApiView, Privilege};
use crate::proxmox::certificate::{Certificate, look};
use crate::proxmox::{ApiError, Call, Client, ErrorClass, ServedApi};
use crate::service::error::with_causes;
use crate::service::init::role_commands;
use crate::service::open::{client_of, token_of};
use crate::world::observe::shown_by;
use crate::world::{ObserveSettings, Part, World, observe};

/// How far clocks may be apart.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// How long before its end a certificate is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long connecting and the handshake may take when only looking.
const PATIENCE: Duration = Duration::from_secs(5);
/// The version of Proxmox VE that Bailiwick is made for.
const MADE_FOR: u32 = 9;

/// Looks at every cluster that is asked for.
pub(super) async fn check(ward: &Ward<'_>, found: &mut Diagnosis) {
    let named = ward.patient.cluster.as_deref();
    let clusters: Vec<&Cluster> = ward
        .configuration
        .clusters
        .iter()
        .filter(|cluster| named.is_none_or(|named| cluster.name.as_str() == named))
        .collect();
    if let (Some(named), []) = (named, clusters.as_slice()) {
        found.failed(
            "cluster",
            format!("there is no cluster `{named}` in the configuration"),
        );
    }
    for cluster in clusters {
        one(ward, cluster, found).await;
    }
}

pub(super) fn name_of(cluster: &Cluster, what: &str) -> String {
    format!("cluster {}: {what}", cluster.name)
}

async fn one(ward: &Ward<'_>, cluster: &Cluster, found: &mut Diagnosis) {
    let name = |what: &str| name_of(cluster, what);
    let environment = &ward.patient.environment;
    let token = token_of(cluster, environment);
    if let Err(error) = &token {
        found.failed(&name("token"), with_causes(error));
    }
    let mut accepted = None;
    for endpoint in &cluster.endpoints {
        let answer = endpoint_of(ward, cluster, endpoint, token.is_ok(), found).await;
        accepted = accepted.or(answer);
    }
    let (Ok(token), Some(accepted)) = (token, accepted) else {
        return found.skipped(&name("what can be seen"), "no endpoint can be asked");
    };
    if !accepted {
        not_accepted(cluster, token.id(), &name("token"), found);
        return found.skipped(&name("what can be seen"), "the token is not accepted");
    }
    found.ok(&name("token"), format!("{} is accepted", token.id()));
    let client = match client_of(cluster, environment, None) {
        Ok(client) => client,
        Err(error) => {
            found.failed(&name("what can be seen"), with_causes(&error));
            return;
        }
    };
    match observe(&client, &ObserveSettings::all(cluster.name.clone())).await {
        Err(error) => {
            let mut check = found.failed(&name("what can be seen"), with_causes(&error));
            if matches!(error, crate::world::ObserveError::NoPrivileges { .. }) {
                for line in role_commands(token.id()) {
                    check.advise(line);
                }
            }
        }
        Ok(world) => {
            version(&world, &name("version"), found);
            clocks(ward, &client, &world, &name("clock"), found).await;
            let api = api_of(&client, &world, &name("API"), found).await;
            privileges(ward, cluster, &client, &world, api.as_ref(), found).await;
        }
    }
}

/// A token that no node takes (401). What it may do is not known then, and nothing is said of it.
fn not_accepted(cluster: &Cluster, token: &str, name: &str, found: &mut Diagnosis) {
    let place = match &cluster.token {
        Token::File(file) => format!("the file {}", file.display()),
        Token::Env(variable) => format!("the environment variable {variable}"),
    };
    found
        .failed(
            name,
            format!(
                "{token} is not accepted: its secret in {place} is wrong, or the token does not exist or has expired"
            ),
        )
        .advise(format!(
            "if it is listed by `pveum user token list {}`, give it a new secret (Proxmox VE 9.2 and later): {}",
            grants::split(token).0,
            grants::new_secret(token)
        ))
        .advise(format!(
            "if it is not, or before 9.2 once it is removed (`pveum user token remove`), make a new one: {}",
            grants::new_token(token)
        ))
        .advise(format!("then write it to {place}: {token}=SECRET"));
}

/// One endpoint: whether it answers, is trusted, and takes the token; `None` if it cannot be asked.
async fn endpoint_of(
    ward: &Ward<'_>,
    cluster: &Cluster,
    endpoint: &Endpoint,
    with_token: bool,
    found: &mut Diagnosis,
) -> Option<bool> {
    let name = name_of(cluster, &endpoint.to_string());
    let url = url::Url::parse(&endpoint.to_string()).ok()?;
    let certificate = match look(&url, PATIENCE).await {
        Ok(certificate) => certificate,
        Err(error) => {
            found.failed(&name, error.to_string());
            return None;
        }
    };
    let alone = Cluster {
        endpoints: vec![endpoint.clone()],
        ..cluster.clone()
    };
    if !with_token {
        found.skipped(
            &name,
            format!(
                "it answers with the certificate {}; without a token nothing is asked",
                certificate.fingerprint()
            ),
        );
        return None;
    }
    let client = match client_of(&alone, &ward.patient.environment, None) {
        Ok(client) => client,
        Err(error) => {
            found.failed(&name, with_causes(&error));
            return None;
        }
    };
    let answer: Result<Value, ApiError> = client.get(Call::get(["version"])).await;
    let accepted = match answer {
        Ok(_) => true,
        Err(error) if error.class() == ErrorClass::Unauthenticated => false,
        Err(error) => {
            let mut check = found.failed(&name, error.to_string());
            if let ApiError::Untrusted { .. } = error {
                check.advise(format!(
                    "the certificate it shows: {}",
                    certificate.fingerprint()
                ));
            }
            return None;
        }
    };
    trusted(
        cluster,
        &certificate,
        (ward.patient.environment.clock)(),
        &name,
        found,
    );
    Some(accepted)
}

/// An endpoint that is trusted: by what, and for how long.
fn trusted(
    cluster: &Cluster,
    certificate: &Certificate,
    now: Timestamp,
    name: &str,
    found: &mut Diagnosis,
) {
    let by = match &cluster.tls {
        Tls::Fingerprint(_) => "by its fingerprint".to_owned(),
        Tls::CaFile(file) => format!("by {}", file.display()),
        Tls::SystemRoots => "by this machine's authorities".to_owned(),
    };
    let pinned = matches!(cluster.tls, Tls::Fingerprint(_));
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let Some(until) = certificate.expires() else {
        return found.ok(
            name,
            format!(
                "it answers and is trusted {by}; until when its certificate is good cannot be read"
            ),
        );
    };
    let left = until.duration_since(now);
    if left > SOON {
        return found.ok(
            name,
            format!(
                "it answers and is trusted {by}; its certificate is good until {}",
                day(until)
            ),
        );
    }
    let what = if left.is_negative() {
        format!(
            "it answers and is trusted {by}, though its certificate ended on {}",
            day(until)
        )
    } else {
        format!(
            "it answers and is trusted {by}; its certificate ends on {}",
            day(until)
        )
    };
    let mut check = found.warning(name, what);
    check.advise("renew it on the node: pvenode cert, or System, Certificates");
    if pinned {
        check.advise(
            "the new certificate has another fingerprint, which the configuration then has to name",
        );
    }
}

fn version(world: &World, name: &str, found: &mut Diagnosis) {
    let major = world
        .version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    let shown = format!("Proxmox VE {}", world.version);
    match major {
        Some(MADE_FOR) => found.ok(name, shown),
        Some(older) if older < MADE_FOR => {
            found
                .warning(
                    name,
                    format!("{shown}; Bailiwick is made for version {MADE_FOR}"),
                )
                .advise("upgrade the cluster; what a plan says of it may not hold before");
        }
        Some(_) => {
            found
                .warning(
                    name,
                    format!("{shown} is newer than Bailiwick knows (version {MADE_FOR})"),
                )
                .advise("look for a newer Bailiwick");
        }
        None => {
            found.warning(name, "Proxmox VE does not say which version it is");
        }
    }
}

/// What the cluster's API has, by its own words.
async fn api_of(
    client: &Client,
    world: &World,
    name: &str,
    found: &mut Diagnosis,
) -> Option<ServedApi> {
    match crate::service::served::read(client).await {
        Ok(api) => {
            let version = &world.version;
            found.ok(
                name,
                format!("it is described; plans hold to what Proxmox VE {version} has"),
            );
            Some(api)
        }
        Err(why) => {
            found
                .warning(name, format!("its description cannot be read: {why}"))
                .advise("let what stands before the nodes pass /pve-docs/api-viewer/apidoc.js through; until then plans say that this was not checked");
            None
        }
    }
}

/// The clocks of the nodes against this machine's.
async fn clocks(
    ward: &Ward<'_>,
    client: &Client,
    world: &World,
    name: &str,
    found: &mut Diagnosis,
) {
    let online = world
        .nodes
        .iter()
        .filter(|(_, node)| node.online == Some(true));
    let mut near = Vec::new();
    for (node, _) in online {
        let before = (ward.patient.environment.clock)();
        let answer: Result<Value, ApiError> = client
            .get(Call::get(["nodes", node.as_str(), "time"]))
            .await;
        let after = (ward.patient.environment.clock)();
        let there = match answer {
            Ok(answer) => answer
                .get("time")
                .and_then(Value::as_i64)
                .and_then(|seconds| Timestamp::from_second(seconds).ok()),
            Err(error) => {
                found.skipped(name, format!("of node {node}: {error}"));
                continue;
            }
        };
        let Some(there) = there else {
            found.skipped(name, format!("node {node} does not say what time it is"));
            continue;
        };
        // It answered some time between the two; what it says is cut to the second.
        let apart = if there < before {
            before.duration_since(there)
        } else {
            there.duration_since(after)
        };
        if apart > SKEW {
            let word = if there < before { "behind" } else { "ahead of" };
            found
                .warning(name, format!("node {node} is {} s {word} this machine", apart.as_secs()))
                .advise("let both keep their time by NTP (chrony): approvals and tasks are told apart by their times");
        } else {
            near.push(node.as_str());
        }
    }
    if !near.is_empty() {
        found.ok(
            name,
            format!(
                "within {} s of this machine's: {}",
                SKEW.as_secs(),
                near.join(", ")
            ),
        );
    }
}

/// What cannot be seen, what the documents take, and the commands that grant what is missing.
async fn privileges(
    ward: &Ward<'_>,
    cluster: &Cluster,
    client: &Client,
    world: &World,
    api: Option<&ServedApi>,
    found: &mut Diagnosis,
) {
    let api = api.map_or(ApiView::Unread, ApiView::Served);
    let mut lacking: BTreeSet<Privilege> = BTreeSet::new();
    let seen = name_of(cluster, "what can be seen");
    let mut whole = true;
    for (part, why) in world.unreadable_parts() {
        whole = false;
        let lacks = shown_by(part)
            .filter(|(path, privilege)| !world.may(path, privilege))
            .map(|(path, privilege)| Privilege {
                path,
                privilege: privilege.to_owned(),
            });
        // Without these nothing at all is planned.
        let needed = matches!(part, Part::Resources | Part::Storages | Part::Permissions);
        let what = format!("{part} cannot be read: {why}");
        let mut check = if needed {
            found.failed(&seen, what)
        } else {
            found.warning(&seen, what)
        };
        if let Some(privilege) = lacks {
            check.advise(format!(
                "{} on {} would show it",
                privilege.privilege, privilege.path
            ));
            lacking.insert(privilege);
        }
    }
    if whole {
        let (guests, storages) = (world.guests.len(), world.storages.len());
        found.ok(
            &seen,
            format!("everything: {guests} guests, {storages} storages"),
        );
    }
    let name = name_of(cluster, "privileges");
    match ward.documents(cluster).await {
        Err(why) => found.skipped(&name, why),
        Ok(documents) if documents.is_empty() => {
            found.skipped(
                &name,
                "there are no documents to compare with; give some with --file",
            );
        }
        Ok(documents) => lacking.extend(
            needs::of_documents(ward, cluster, client, world, api, &documents, &name, found).await,
        ),
    }
    let lacking: BTreeSet<Privilege> = lacking
        .into_iter()
        .filter(|privilege| !world.may(&privilege.path, &privilege.privilege))
        .collect();
    if lacking.is_empty() {
        return;
    }
    let grants = Grants::read(client, world, lacking).await;
    let mut check = found.warning(
        &name_of(cluster, "grants"),
        "these commands on a node, as root, give the token what it lacks:",
    );
    for line in grants.commands() {
        check.advise(line);
    }
}
