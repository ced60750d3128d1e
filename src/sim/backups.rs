//! What backup jobs and single backups share: whom they are about, and which archives a retention lets go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method, split_list};
use super::formats::VMID;
use super::options;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::section_config;
use super::state::Cluster;
use super::tasks::TaskSpec;

const PRUNE: &[Param] = &[
    Param::new("prune-backups", Kind::Text),
    Param::new("type", Kind::Enum(&["qemu", "lxc"])),
    Param::new("vmid", VMID),
];

/// The routes of retention and of what jobs cover.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get};
    let audit = Access::All("/", &["Sys.Audit"]);
    vec![
        route(
            Get,
            "/nodes/{node}/storage/{storage}/prunebackups",
            &[PRUNE],
            Access::Any(
                "/storage/{storage}",
                &["Datastore.Audit", "Datastore.AllocateSpace"],
            ),
            preview,
        ),
        route(
            Delete,
            "/nodes/{node}/storage/{storage}/prunebackups",
            &[PRUNE],
            Access::User,
            prune,
        ),
        route(
            Get,
            "/cluster/backup/{id}/included_volumes",
            &[],
            audit,
            included,
        ),
        route(
            Get,
            "/cluster/backup-info/not-backed-up",
            &[],
            audit,
            not_backed_up,
        ),
    ]
}

/// A UNIX time as text, in UTC.
#[must_use]
pub fn stamp(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| seconds.to_string(),
        |moment| {
            moment
                .to_zoned(jiff::tz::TimeZone::UTC)
                .strftime(format)
                .to_string()
        },
    )
}

/// Whom a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everyone but these.
    AllBut(BTreeSet<u32>),
    /// These.
    These(BTreeSet<u32>),
    /// The members of a pool.
    Pool(String),
}

fn numbers(text: &str) -> BTreeSet<u32> {
    split_list(text)
        .iter()
        .filter_map(|vmid| vmid.parse().ok())
        .collect()
}

impl Wanted {
    /// Reads it from a job's settings.
    ///
    /// # Errors
    /// The parameter and what is wrong with it.
    pub fn of<'a>(
        settings: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, (String, String)> {
        let settings: BTreeMap<&str, &str> = settings
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let all = settings.get("all").is_some_and(|value| *value == "1");
        let chosen: Vec<&str> = ["all", "vmid", "pool"]
            .into_iter()
            .filter(|key| {
                if *key == "all" {
                    all
                } else {
                    settings.contains_key(key)
                }
            })
            .collect();
        match chosen.as_slice() {
            [] => Err(("vmid".into(), "property is missing".into())),
            ["all"] => Ok(Self::AllBut(
                settings
                    .get("exclude")
                    .map_or_else(BTreeSet::new, |list| numbers(list)),
            )),
            ["vmid"] => Ok(Self::These(
                settings
                    .get("vmid")
                    .map_or_else(BTreeSet::new, |list| numbers(list)),
            )),
            ["pool"] => Ok(Self::Pool(
                settings
                    .get("pool")
                    .map_or_else(String::new, |pool| (*pool).to_owned()),
            )),
            [first, second, ..] => Err((
                (*first).to_owned(),
                format!("option conflicts with option '{second}'"),
            )),
            [other] => Err(((*other).to_owned(), "unknown".into())),
        }
    }

    /// Whether it is about everyone.
    #[must_use]
    pub fn all(&self) -> bool {
        matches!(self, Self::AllBut(_))
    }

    /// The guests it is about, in order; such as do not exist too, if they are named.
    #[must_use]
    pub fn guests(&self, cluster: &Cluster) -> Vec<u32> {
        match self {
            Self::AllBut(but) => cluster
                .vmids()
                .into_iter()
                .filter(|vmid| !but.contains(vmid))
                .collect(),
            Self::These(these) => these.iter().copied().collect(),
            Self::Pool(pool) => {
                let users = cluster.read_users();
                let nested = format!("{pool}/");
                users
                    .pools
                    .iter()
                    .filter(|(name, _)| *name == pool || name.starts_with(&nested))
                    .flat_map(|(_, pool)| pool.vms.iter().copied())
                    .collect::<BTreeSet<u32>>()
                    .into_iter()
                    .filter(|vmid| cluster.guest(*vmid).is_some())
                    .collect()
            }
        }
    }

    /// Those of them that are on a node, or nowhere.
    #[must_use]
    pub fn on_node(&self, cluster: &Cluster, node: &str) -> Vec<u32> {
        self.guests(cluster)
            .into_iter()
            .filter(|vmid| cluster.guest(*vmid).is_none_or(|guest| guest.node == node))
            .collect()
    }
}

/// That a caller may use the options that were sent.
///
/// # Errors
/// Status 403.
pub fn check_options(cluster: &Cluster, call: &Call) -> Result<(), ApiError> {
    for key in ["tmpdir", "dumpdir", "script"] {
        if call.get(key).is_some() && !call.auth.is_root() {
            return Err(ApiError::new(
                403,
                format!("Permission check failed - {key}: Only root may set this option."),
            ));
        }
    }
    for key in ["bwlimit", "ionice", "performance"] {
        if call.get(key).is_some() {
            cluster.check_all(&call.auth, "/", &["Sys.Modify"])?;
        }
    }
    Ok(())
}

/// How many archives a retention keeps, by period; `None` keeps all.
fn keeps(text: &str) -> Option<Vec<(&'static str, usize)>> {
    const PERIODS: &[(&str, &str)] = &[
        ("keep-last", "%s"),
        ("keep-hourly", "%Y-%m-%d %H"),
        ("keep-daily", "%Y-%m-%d"),
        ("keep-weekly", "%G-%V"),
        ("keep-monthly", "%Y-%m"),
        ("keep-yearly", "%Y"),
    ];
    let settings: BTreeMap<String, String> =
        options::properties(text, "keep-all").into_iter().collect();
    let all = settings
        .get("keep-all")
        .and_then(|value| super::params::loose_truth(value))
        .unwrap_or(false);
    let keeps: Vec<(&str, usize)> = PERIODS
        .iter()
        .filter_map(|(name, period)| Some((*period, settings.get(*name)?.parse().ok()?)))
        .filter(|(_, count)| *count > 0)
        .collect();
    (!all && !keeps.is_empty()).then_some(keeps)
}

/// How many archives of a guest a retention takes where nothing may be removed; `None` if any number.
#[must_use]
pub fn limit(keep: &str) -> Option<usize> {
    keeps(keep).map(|counts| counts.iter().map(|(_, count)| count).sum())
}

/// Whether an archive has a name as backups get it; others are never removed.
fn named(volume: &super::volumes::Volume) -> bool {
    volume.name().starts_with("backup/vzdump-")
}

/// Every archive of a guest (or of all) on a storage with what a retention makes of it: `keep`, `remove`,
/// `protected` or `renamed`.
fn marks(
    cluster: &Cluster,
    node: &str,
    storage: &str,
    vmid: Option<u32>,
    keep: &str,
) -> Vec<(super::volumes::Volume, &'static str)> {
    let mut groups: BTreeMap<(Option<u32>, bool), Vec<super::volumes::Volume>> = BTreeMap::new();
    for volume in cluster.volumes.on(node, storage) {
        if volume.content() == "backup" && vmid.is_none_or(|vmid| volume.owner() == Some(vmid)) {
            let container = volume.name().contains("-lxc-");
            groups
                .entry((volume.owner(), container))
                .or_default()
                .push(volume.clone());
        }
    }
    let keeps = keeps(keep);
    let mut marked = vec![];
    for (_, mut archives) in groups {
        archives.sort_by_key(|volume| std::cmp::Reverse(volume.ctime));
        let mut kept: BTreeSet<String> = BTreeSet::new();
        for (period, count) in keeps.iter().flatten() {
            let name = |volume: &super::volumes::Volume| stamp(volume.ctime, period);
            let mut seen: BTreeSet<String> = archives
                .iter()
                .filter(|volume| kept.contains(&volume.volid))
                .map(name)
                .collect();
            let mut left = *count;
            for volume in archives
                .iter()
                .filter(|volume| !volume.protected && named(volume))
            {
                let new = !kept.contains(&volume.volid)
                    && (*period == "%s" || !seen.contains(&name(volume)));
                if left > 0 && new {
                    seen.insert(name(volume));
                    kept.insert(volume.volid.clone());
                    left -= 1;
                }
            }
        }
        for volume in archives {
            let mark = match (volume.protected, &keeps) {
                _ if !named(&volume) => "renamed",
                (true, _) => "protected",
                (false, None) => "keep",
                (false, Some(_)) if kept.contains(&volume.volid) => "keep",
                _ => "remove",
            };
            marked.push((volume, mark));
        }
    }
    marked
}

/// The archives that a retention lets go.
#[must_use]
pub fn prunable(
    cluster: &Cluster,
    node: &str,
    storage: &str,
    vmid: Option<u32>,
    keep: &str,
) -> Vec<String> {
    marks(cluster, node, storage, vmid, keep)
        .into_iter()
        .filter(|(_, mark)| *mark == "remove")
        .map(|(volume, _)| volume.volid)
        .collect()
}

fn retention(cluster: &Cluster, call: &Call) -> Result<String, ApiError> {
    let storage = call.text("storage");
    let section = cluster.require_storage(storage)?;
    if !section.holds("backup") {
        let text = format!("storage '{storage}' does not support backups");
        return Err(ApiError::internal(text));
    }
    let keep = call.get("prune-backups").or(section.get("prune-backups"));
    let keep = keep.map(str::to_owned).ok_or_else(|| {
        ApiError::internal(format!(
            "no prune-backups options configured for storage '{storage}'"
        ))
    })?;
    cluster.usable_storage(call.node(), storage)?;
    Ok(keep)
}

fn preview(cluster: &mut Cluster, call: &Call) -> Answer {
    let keep = retention(cluster, call)?;
    let vmid = call.get("vmid").and_then(|vmid| vmid.parse().ok());
    let mut answer = vec![];
    for (volume, mark) in marks(cluster, call.node(), call.text("storage"), vmid, &keep) {
        let kind = match named(&volume) {
            false => "unknown",
            true if volume.name().contains("-lxc-") => "lxc",
            true => "qemu",
        };
        if call.get("type").is_none_or(|wanted| wanted == kind) {
            let mut entry = Map::new();
            entry.insert("volid".into(), json!(volume.volid));
            entry.insert("ctime".into(), json!(volume.ctime));
            entry.insert("mark".into(), json!(mark));
            entry.insert("type".into(), json!(kind));
            if let Some(owner) = volume.owner() {
                entry.insert("vmid".into(), json!(owner));
            }
            answer.push(Value::Object(entry));
        }
    }
    Ok(Value::Array(answer))
}

fn prune(cluster: &mut Cluster, call: &Call) -> Answer {
    let storage = call.text("storage").to_owned();
    let path = format!("/storage/{storage}");
    let vmid: Option<u32> = call.get("vmid").and_then(|vmid| vmid.parse().ok());
    if let Some(vmid) = vmid.filter(|_| !cluster.allowed(&call.auth, &path, "Datastore.Allocate")) {
        cluster.check_all(&call.auth, &path, &["Datastore.AllocateSpace"])?;
        cluster.check_all(&call.auth, &format!("/vms/{vmid}"), &["VM.Backup"])?;
    } else {
        cluster.check_all(&call.auth, &path, &["Datastore.Allocate"])?;
    }
    let keep = retention(cluster, call)?;
    let node = call.node().to_owned();
    let id = vmid.map_or_else(|| storage.clone(), |vmid| format!("{vmid}@{storage}"));
    let kind = call.get("type").map(str::to_owned);
    let spec = TaskSpec::new(&node, "prunebackups", id, &call.auth);
    Ok(cluster.spawn(spec, move |cluster, log| {
        for volid in prunable(cluster, &node, &storage, vmid, &keep) {
            let container = volid.contains("-lxc-");
            if kind
                .as_deref()
                .is_none_or(|kind| (kind == "lxc") == container)
            {
                cluster.free(&node, &volid)?;
                log.say(format!("Removed volume '{volid}'"));
            }
        }
        Ok(())
    }))
}

fn wanted(section: &section_config::Section) -> Option<Wanted> {
    let pairs: BTreeMap<String, String> = section.lines.iter().cloned().collect();
    Wanted::of(pairs.iter()).ok()
}

/// A job's guests and their volumes, as a tree.
fn included(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("id");
    let section = super::jobs::jobs(cluster)
        .into_iter()
        .find(|section| section.id == id && section.kind == "vzdump")
        .ok_or_else(|| ApiError::parameter("id", format!("No such job '{id}'")))?;
    let mut children = vec![];
    for vmid in wanted(&section)
        .map(|wanted| wanted.guests(cluster))
        .unwrap_or_default()
    {
        let Some(guest) = cluster.guest(vmid) else {
            children.push(json!({ "id": vmid, "type": "unknown", "leaf": 1 }));
            continue;
        };
        if section.get("node").is_some_and(|node| node != guest.node) {
            continue;
        }
        let leaf = |(key, volid, (included, why)): (String, String, (bool, &str))| json!({ "id": format!("{vmid}:{key}"), "name": volid, "included": u8::from(included), "leaf": 1, "reason": why });
        let volumes: Vec<Value> = super::guest::vzdump::volumes(cluster, &guest)
            .into_iter()
            .map(leaf)
            .collect();
        let name = super::guest::name(cluster, &guest);
        let bare = u8::from(volumes.is_empty());
        children.push(json!({
            "id": vmid, "name": name, "type": guest.kind.api(), "leaf": bare, "children": volumes,
        }));
    }
    Ok(json!({ "children": children }))
}

/// The guests that no job is about.
fn not_backed_up(cluster: &mut Cluster, _: &Call) -> Answer {
    let covered: BTreeSet<u32> = super::jobs::jobs(cluster)
        .iter()
        .filter(|section| section.kind == "vzdump")
        .filter_map(wanted)
        .flat_map(|wanted| wanted.guests(cluster))
        .collect();
    let left: Vec<Value> = cluster
        .guests()
        .iter()
        .filter(|guest| !covered.contains(&guest.vmid))
        .map(|guest| {
            json!({ "vmid": guest.vmid, "type": guest.kind.api(), "name": super::guest::name(cluster, guest) })
        })
        .collect();
    Ok(Value::Array(left))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sim::volumes::Volume;

    fn archives(days: &[i64], protected: i64) -> Cluster {
        let mut cluster = crate::sim::worldfile::read("nodes: { n1: {} }\nfiles: { storage.cfg: \"dir: local\\n\\tpath /x\\n\\tcontent backup\\n\" }", 1.0).unwrap();
        for day in days {
            cluster.volumes.insert(Volume {
                volid: format!("local:backup/vzdump-qemu-100-{day}.vma"),
                node: "n1".into(),
                ctime: 1_795_357_027 - day * 86_400,
                protected: *day == protected,
                ..Volume::default()
            });
        }
        cluster
    }

    fn gone(cluster: &Cluster, keep: &str) -> Vec<String> {
        prunable(cluster, "n1", "local", Some(100), keep)
    }

    #[test]
    fn retention_keeps_the_newest_of_each_period() {
        let cluster = archives(&[0, 1, 2, 40], -1);
        assert_eq!(gone(&cluster, "keep-all=1").len(), 0);
        assert_eq!(
            gone(&cluster, "keep-last=3"),
            ["local:backup/vzdump-qemu-100-40.vma"]
        );
        // The last one, and the newest of another month.
        assert_eq!(gone(&cluster, "keep-last=1,keep-monthly=1").len(), 2);
    }

    #[test]
    fn what_is_protected_neither_goes_nor_counts() {
        let cluster = archives(&[0, 1, 2], 0);
        assert_eq!(
            gone(&cluster, "keep-last=1"),
            ["local:backup/vzdump-qemu-100-2.vma"]
        );
    }

    #[test]
    fn a_job_is_about_exactly_one_thing() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: BTreeMap<String, String> = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            Wanted::of(pairs.iter())
        };
        assert_eq!(
            of(&[("vmid", "101,100")]).unwrap(),
            Wanted::These([100, 101].into())
        );
        assert_eq!(of(&[]).unwrap_err().1, "property is missing");
        assert_eq!(of(&[("all", "1"), ("vmid", "100")]).unwrap_err().0, "all");
    }
}
