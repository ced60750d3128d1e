//! Who can open what: one sender, one target, one port, with the rule that decides; now, or after a plan.

use serde::Serialize;

use super::after::AskedOf;
use super::error::ServiceError;
use super::open::Service;
use crate::health::reach::{
    Address, Compiled, Family, GuestKind, Model, Outcome, Part, Who, target,
};
use crate::health::{Moment, reach_model};
use crate::plan::words::clean;
use crate::world::{Guest, World};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who starts: an address, a network, `vm/104`, `ct/301`, `node/pve1`, or `any`.
    pub source: String,
    /// Who and what is meant: `vm/104:22`, `node/pve1:8006`, `ct/301:53/udp`, `vm/104:ping`.
    pub target: String,
    /// The cluster, where the configuration has several; a plan has its own.
    pub cluster: Option<String>,
    /// A plan's hash or the beginning of it: then it is asked how it will be when all its steps are done.
    pub after: Option<String>,
}

/// Whether it can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// By everybody that was asked about.
    Yes,
    /// By some of them.
    Partly,
    /// By nobody.
    No,
    /// What decides could not be read, or is not known.
    Unknown,
}

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// `accept`, `drop`, `reject` or `unknown`.
    pub outcome: &'static str,
    /// For whom, in a sentence.
    pub sentence: String,
    /// The rule that decides, for an attempt of these.
    pub because: String,
}

/// Whether something can be opened, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Whether.
    pub verdict: Verdict,
    /// For whom it is so, each with what decides.
    pub parts: Vec<Told>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// The cluster.
    pub cluster: String,
    /// Who starts.
    pub source: String,
    /// What is meant.
    pub target: String,
    /// How it is now.
    pub now: Judged,
    /// The plan that was asked about, and how it will be after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// How it will be after a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct After {
    /// The plan's hash.
    pub plan: String,
    /// How it will be.
    #[serde(flatten)]
    pub judged: Judged,
}

impl Reach {
    /// The verdict that was asked for: after the plan, where there is one.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let after = self.after.as_ref().map(|after| &after.judged);
        after.unwrap_or(&self.now).verdict
    }
}

impl Service {
    /// Says whether firewalls let a sender open a port of a target, and which rule decides, by what is in force. Changes nothing.
    ///
    /// # Errors
    /// The sender, the target or the plan does not exist, or the cluster could not be observed. That what decides was not read is no
    /// error but [`Verdict::Unknown`].
    pub async fn reach(&self, question: &Question) -> Result<Reach, ServiceError> {
        let (cluster, plan) = (question.cluster.as_deref(), question.after.as_deref());
        let about = self.asked_about(cluster, plan).await?;
        let now = self.look(about.cluster).await?;
        question.of(about.of(now))
    }
}

impl Question {
    /// The answer, of worlds that are known.
    ///
    /// # Errors
    /// As of [`Service::reach`].
    pub fn of(&self, worlds: AskedOf) -> Result<Reach, ServiceError> {
        // Somebody may be there only before the plan, or only after it.
        let (now, missing) = there(judge(&worlds.now, self))?;
        let (after, missing) = match worlds.after {
            None => (None, missing),
            Some((plan, Err(why))) => {
                let judged = Judged::unknown(&why);
                (Some(After { plan, judged }), None)
            }
            Some((plan, Ok(end))) => {
                let (judged, missing_then) = there(judge(&end, self))?;
                (Some(After { plan, judged }), missing.and(missing_then))
            }
        };
        match missing {
            Some(why) => Err(ServiceError::NotFound(why)),
            None => Ok(Reach {
                cluster: worlds.cluster,
                source: self.source.clone(),
                target: self.target.clone(),
                now,
                after,
            }),
        }
    }
}

/// An answer; that nobody is there is one too, with what to say if that holds before and after.
fn there(judged: Result<Judged, ServiceError>) -> Result<(Judged, Option<String>), ServiceError> {
    match judged {
        Ok(judged) => Ok((judged, None)),
        Err(ServiceError::NotFound(why)) => Ok((Judged::nobody(&why), Some(why))),
        Err(error) => Err(error),
    }
}

/// The answer in a world; an error if sender or target is none, or nobody of them is there.
fn judge(world: &World, question: &Question) -> Result<Judged, ServiceError> {
    let request = |why: String| ServiceError::Request(clean(&why));
    let from = Who::parse(&question.source).map_err(request)?;
    let (to, service) = target(&question.target).map_err(request)?;
    let model = match reach_model(world, Moment::Now) {
        Ok(model) => model,
        Err(why) => return Ok(Judged::unknown(&why)),
    };
    sensible(world, &model, &from, &to).map_err(request)?;
    if from == to {
        return Ok(Judged::itself());
    }
    let compiled = Compiled::new(&model);
    match compiled.ask(&from, &to, service) {
        Ok(parts) => Ok(Judged::of(&compiled, &parts)),
        // Who is not shown may be there all the same.
        Err(why) => match world.unreadable(&crate::world::Part::Resources) {
            Some(unread) => Ok(Judged::unknown(&format!(
                "{why}, as far as is shown: {unread}"
            ))),
            None => Err(ServiceError::NotFound(clean(&why))),
        },
    }
}

/// That the question can be answered by firewalls: one of the two is a guest or a node, and an address is not that of one.
fn sensible(world: &World, model: &Model, from: &Who, to: &Who) -> Result<(), String> {
    let outside = |who: &Who| matches!(who, Who::Anybody | Who::Network(_));
    if outside(from) && outside(to) {
        return Err(
            "neither sender nor target is a guest or a node, so none of the cluster's firewalls is asked; say vm/104, ct/301 or node/NAME"
                .to_owned(),
        );
    }
    for who in [from, to] {
        let Who::Network(network) = who else { continue };
        let (low, high) = network.span();
        let address = network.address;
        let loopback = match address.family {
            Family::V4 => address.value >> 24 == 127,
            Family::V6 => address.value == 1,
        };
        if loopback {
            return Err(
                "an address of the host itself is nobody outside; say node/NAME".to_owned(),
            );
        }
        let within =
            |known: Address| known.family == address.family && (low..=high).contains(&known.value);
        let nodes = model.nodes.iter().filter(|(_, node)| {
            let mut own = node.addresses();
            own.any(|network| within(network.address))
        });
        let mut known: Vec<String> = nodes.map(|(name, _)| format!("node/{name}")).collect();
        known.extend(model.guests.iter().filter_map(|(vmid, guest)| {
            let mut own = guest.nics.values().flat_map(|nic| &nic.addresses);
            let kind = match guest.kind {
                GuestKind::Vm => "vm",
                GuestKind::Ct => "ct",
            };
            let has = own.any(|address| within(*address));
            has.then(|| format!("{kind}/{vmid}"))
        }));
        known.extend(world.guests.values().filter_map(|guest| {
            let has = cloud_init(guest).any(within);
            has.then(|| guest.entity())
        }));
        // Of a whole network of senders the answer is about those outside; a target is one.
        if let Some(owner) = known.first().filter(|_| low == high || who == to) {
            return Err(format!(
                "{owner} has an address of these: its own firewall decides too, so say {owner}"
            ));
        }
    }
    Ok(())
}

/// The fixed addresses that cloud-init gives a machine.
fn cloud_init(guest: &Guest) -> impl Iterator<Item = Address> {
    let settings = guest.config.current.iter();
    settings
        .filter(|(key, _)| key.starts_with("ipconfig"))
        .flat_map(|(_, value)| value.split(','))
        .filter_map(|part| {
            part.strip_prefix("ip=")
                .or_else(|| part.strip_prefix("ip6="))
        })
        .filter_map(|address| Address::parse(address.split('/').next()?))
}

impl Judged {
    /// Traffic of a guest or node with itself passes no firewall.
    fn itself() -> Self {
        let told = Told {
            outcome: word(Outcome::Accept),
            sentence: "both are the same".to_owned(),
            because: "no firewall is in the way".to_owned(),
        };
        Self {
            verdict: Verdict::Yes,
            parts: vec![told],
        }
    }

    /// Nobody is there.
    fn nobody(why: &str) -> Self {
        let told = Told {
            outcome: word(Outcome::Drop),
            sentence: clean(why),
            because: "nobody is there".to_owned(),
        };
        Self {
            verdict: Verdict::No,
            parts: vec![told],
        }
    }

    fn unknown(why: &str) -> Self {
        Self {
            verdict: Verdict::Unknown,
            parts: vec![Told {
                outcome: word(Outcome::Unknown),
                sentence: "nobody can tell".to_owned(),
                because: clean(why),
            }],
        }
    }

    fn of(compiled: &Compiled, parts: &[Part]) -> Self {
        let any = |outcome: Outcome| parts.iter().any(|part| part.outcome == outcome);
        let open = any(Outcome::Accept);
        let shut = any(Outcome::Drop) || any(Outcome::Reject);
        let verdict = match (any(Outcome::Unknown), open, shut) {
            (true, ..) => Verdict::Unknown,
            (false, true, true) => Verdict::Partly,
            (false, true, false) => Verdict::Yes,
            (false, false, true) => Verdict::No,
            // Nothing was asked about: a sender and a target of different versions of IP.
            (false, false, false) => Verdict::No,
        };
        let told = parts.iter().map(|part| Told {
            outcome: word(part.outcome),
            sentence: clean(&part.sentence(compiled)),
            because: clean(&part.reason()),
        });
        Self {
            verdict,
            parts: told.collect(),
        }
    }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accept => "accept",
        Outcome::Drop => "drop",
        Outcome::Reject => "reject",
        Outcome::Unknown => "unknown",
    }
}
