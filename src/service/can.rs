//! Who may do what: one principal, one privilege, one path, with the rule that decides; now, or after a plan.

use serde::Serialize;

use super::after::AskedOf;
use super::error::ServiceError;
use super::open::Service;
use crate::document::similar::nearest;
use crate::health::access::{Access, normal, owner};
use crate::health::{deciding, undecided};
use crate::plan::words::clean;
use crate::world::World;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// A user (`ann@pve`) or token (`ann@pve!ci`).
    pub principal: String,
    /// A privilege (`VM.PowerMgmt`).
    pub privilege: String,
    /// A path of the access control list (`/vms/104`).
    pub path: String,
    /// The cluster, where the configuration has several; a plan has its own.
    pub cluster: Option<String>,
    /// A plan's hash or the beginning of it: then it is asked how it will be when all its steps are done.
    pub after: Option<String>,
}

/// Whether somebody may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It may.
    Yes,
    /// It may not.
    No,
    /// What decides could not be read or predicted.
    Unknown,
}

/// Whether somebody may do something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Whether.
    pub verdict: Verdict,
    /// Whether on everything below the path too, as far as no entry further down says otherwise.
    pub below: bool,
    /// The entries of the access control list that decide.
    pub entries: Vec<String>,
    /// Why, from the last word to the first.
    pub because: Vec<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Can {
    /// The cluster.
    pub cluster: String,
    /// The user or token.
    pub principal: String,
    /// The privilege.
    pub privilege: String,
    /// The path, in the form that Proxmox VE gives it.
    pub path: String,
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

impl Can {
    /// The verdict that was asked for: after the plan, where there is one.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let after = self.after.as_ref().map(|after| &after.judged);
        after.unwrap_or(&self.now).verdict
    }
}

impl Service {
    /// Says whether a user or token has a privilege on a path and can authenticate, and what decides. Changes nothing.
    ///
    /// # Errors
    /// The principal, the privilege or the plan does not exist, the path is none, or the cluster could not be observed. That what
    /// decides was not read is no error but [`Verdict::Unknown`].
    pub async fn can(&self, question: &Question) -> Result<Can, ServiceError> {
        let (cluster, plan) = (question.cluster.as_deref(), question.after.as_deref());
        let about = self.asked_about(cluster, plan).await?;
        let now = self.look(about.cluster).await?;
        self.can_of(question, about.of(now))
    }

    /// The same, of worlds that are known.
    ///
    /// # Errors
    /// As of [`Service::can`].
    pub fn can_of(&self, question: &Question, worlds: AskedOf) -> Result<Can, ServiceError> {
        let path = normal(&question.path).filter(|path| is_path(path));
        let path = path.ok_or_else(|| {
            ServiceError::Request(format!(
                "`{}` is no path of the access control list; such are /vms/104, /storage/local, /pool/web, /",
                clean(&question.path)
            ))
        })?;
        // Who or what is asked about may come only with the plan.
        let end = worlds.after.as_ref().and_then(|(_, end)| end.as_ref().ok());
        let then = |why: String| match end {
            Some(end) => names(question, end).map_err(|_| why),
            None => Err(why),
        };
        names(question, &worlds.now)
            .or_else(then)
            .map_err(ServiceError::NotFound)?;
        let now = self.now().as_second();
        let after = worlds.after.map(|(plan, end)| After {
            plan,
            judged: match end {
                Ok(end) => judge(&end, question, &path, now),
                Err(why) => Judged::unknown(vec![clean(&why)]),
            },
        });
        Ok(Can {
            cluster: worlds.cluster,
            principal: question.principal.clone(),
            privilege: question.privilege.clone(),
            now: judge(&worlds.now, question, &path, now),
            path,
            after,
        })
    }
}

/// Whether Proxmox VE has such a path (PVE::AccessControl `check_path`): another one would be answered, and with a word that means
/// nothing.
fn is_path(path: &str) -> bool {
    let name = |text: &str| !text.is_empty() && !text.starts_with('.');
    let vmid = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits && (3..=9).contains(&text.len()) && !text.starts_with('0')
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        [""]
        | ["access" | "mapping" | "nodes" | "pool" | "sdn" | "storage" | "vms"]
        | ["access", "groups" | "realm"]
        | ["mapping", "dir" | "hwrng" | "pci" | "usb"]
        | [
            "sdn",
            "controllers" | "dns" | "fabrics" | "ipams" | "prefix-lists" | "route-maps" | "zones",
        ] => true,
        ["vms", number] => vmid(number),
        ["nodes" | "storage", id]
        | ["access", "groups" | "realm", id]
        | ["mapping", _, id]
        | ["sdn", _, id] => name(id),
        ["pool", ids @ ..] => ids.len() <= 3 && ids.iter().all(|id| name(id)),
        ["sdn", "zones", zone, vnet] => name(zone) && name(vnet),
        ["sdn", "zones", zone, vnet, tag] => name(zone) && name(vnet) && tag.parse::<u16>().is_ok(),
        _ => false,
    }
}

/// That what is named exists, as far as it was read.
fn names(question: &Question, world: &World) -> Result<(), String> {
    let unread = |part| world.unreadable(&part).is_some();
    let principal = question.principal.as_str();
    let user = owner(principal).unwrap_or(principal);
    let found = world.users.get(user);
    if !unread(crate::world::Part::Users) {
        let user = found.ok_or_else(|| {
            let ids: Vec<&str> = world.users.keys().map(String::as_str).collect();
            let advice = meant(user, &ids);
            format!("there is no user `{}`{}", clean(user), clean(&advice))
        })?;
        if let Some((_, name)) = principal.split_once('!')
            && !user.tokens.contains_key(name)
        {
            return Err(format!("there is no token `{}`", clean(principal)));
        }
    }
    let privilege = question.privilege.as_str();
    let held = |name: &str| {
        world
            .roles
            .values()
            .any(|role| role.privileges.contains(name))
    };
    if !unread(crate::world::Part::Roles) && !held(privilege) {
        let all = world.roles.values().flat_map(|role| &role.privileges);
        let advice = meant(privilege, &all.map(String::as_str).collect::<Vec<_>>());
        return Err(format!(
            "there is no privilege `{}`{}",
            clean(privilege),
            clean(&advice)
        ));
    }
    Ok(())
}

fn meant(name: &str, names: &[&str]) -> String {
    nearest(name, names).map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn judge(world: &World, question: &Question, path: &str, now: i64) -> Judged {
    let unread = undecided(world);
    if !unread.is_empty() {
        let why = unread
            .iter()
            .map(|(part, why)| clean(&format!("{part} could not be read: {why}")));
        return Judged::unknown(why.collect());
    }
    let configuration = deciding(world);
    let access = Access::new(&configuration);
    let decision = access.decide(&question.principal, path, &question.privilege);
    let mut because: Vec<String> = decision.because.iter().map(|why| clean(why)).collect();
    let refused = access.authenticates(&question.principal, now).err();
    if let Some(refusal) = &refused {
        because.insert(0, clean(&format!("it cannot authenticate: {refusal}")));
    }
    let may = decision.held && refused.is_none();
    Judged {
        verdict: if may { Verdict::Yes } else { Verdict::No },
        below: may && decision.below,
        entries: decision
            .entries
            .iter()
            .map(|entry| clean(&entry.to_string()))
            .collect(),
        because,
    }
}

impl Judged {
    fn unknown(because: Vec<String>) -> Self {
        Self {
            verdict: Verdict::Unknown,
            below: false,
            entries: Vec::new(),
            because,
        }
    }
}
