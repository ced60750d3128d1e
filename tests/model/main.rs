//! Zero surprises: random documents, changes by hand and faults against the simulator. A plan that names no failure is done whole, the
//! world it predicts is the world read back, planning again changes nothing, and nothing that got worse was left unnamed, by a judge
//! that shares no code with the planner.
//!
//! `BAILIWICK_LONG=1` plays 100,000 cases instead of 1,000, `BAILIWICK_MODEL_CASES` as many as it says; `BAILIWICK_MODEL_CASE=NUMBER` plays one, and tells it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod judge;
mod packets;
mod sentences;
mod stage;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick::apply::executor::RunEnd;
use bailiwick::apply::step::NotBegun;
use bailiwick::plan::{Impact, Plan};
use bailiwick::world::World;
use judge::Seen;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stage::{Book, Stage, plan};
use wishes::Wish;

/// Cases at once.
const AT_ONCE: usize = 4;

/// What came of the plans.
type Counts = BTreeMap<&'static str, u64>;

struct Case {
    number: u64,
    random: StdRng,
    stage: Stage,
    told: bool,
    counts: Counts,
}

impl Case {
    async fn new(number: u64, told: bool) -> Self {
        Self {
            number,
            random: StdRng::seed_from_u64(number),
            stage: Stage::new().await,
            told,
            counts: Counts::new(),
        }
    }

    fn tell(&self, text: impl FnOnce() -> String) {
        if self.told {
            println!("{}", text());
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    async fn hands(&mut self) {
        let call = wishes::by_hand(&mut self.random, &self.stage.seen());
        self.tell(|| format!("  by hand: {call}"));
        self.stage.by_hand(call).await;
    }

    async fn play(&mut self) -> Result<(), String> {
        // One to four plans in a row.
        for _ in 0..=self.number % 4 {
            let wishes = wishes::some(&mut self.random, &self.stage.seen());
            self.tell(|| format!("{wishes:?}"));
            self.round(&wishes)
                .await
                .map_err(|why| format!("case {}: {why}\n  of {wishes:?}", self.number))?;
        }
        Ok(())
    }

    async fn round(&mut self, wishes: &[Wish]) -> Result<(), String> {
        if self.random.random_ratio(1, 4) {
            self.hands().await;
        }
        let world = self.stage.look().await;
        let world = self.stage.with_firewalls(wishes, world).await;
        let backups = self.stage.backups(wishes, &world).await;
        let made = match plan(wishes, &world, &backups, self.copies()) {
            Ok(made) => made,
            Err(why) => {
                self.tell(|| format!("  refused: {why}"));
                self.count("refused");
                return Ok(());
            }
        };
        let mut turned = wishes.to_vec();
        turned.reverse();
        let again = plan(&turned, &world, &backups, self.copies())
            .map_err(|why| format!("in another order it is refused: {why}"))?;
        same(
            "the hash depends on the order of the documents",
            &again.hash,
            &made.hash,
        )?;
        for step in &made.steps {
            self.tell(|| format!("  step {}: {}", step.id, step.title));
        }
        for impact in &made.impacts {
            self.tell(|| {
                format!(
                    "  impact: {} {} ({})",
                    impact.entity, impact.category, impact.rule
                )
            });
        }
        if made.steps.is_empty() {
            self.count("nothing to do");
            return Ok(());
        }
        // What happens between the last look and the first write.
        let meddled = self.random.random_ratio(1, 6);
        if meddled {
            self.hands().await;
        }
        let faulty = self.random.random_ratio(1, 4);
        if faulty {
            let fault = wishes::fault(&mut self.random);
            self.tell(|| format!("  fault: {fault}"));
            self.stage
                .sim
                .fault(bailiwick::sim::Fault::parse(&fault).unwrap());
        }
        let before = self.stage.seen();
        let end = self.run(&made, &world).await;
        self.stage.sim.clear_faults();
        let now = self.stage.seen();
        self.tell(|| format!("  {end:?}"));
        unnamed(&made, &before, &now)?;
        if self.copies() && !meddled {
            self.nothing_gone_without_copy(&before, &now)?;
        }
        match end {
            RunEnd::Done => {
                self.count("done");
                if !meddled {
                    self.as_predicted(wishes, &made, &world).await?;
                }
            }
            RunEnd::Stopped { .. } | RunEnd::Failed { .. } | RunEnd::Undetermined { .. } => {
                self.count("not done");
                let named = made
                    .impacts
                    .iter()
                    .any(|impact| impact.category.word() == "will-fail");
                if !named && !meddled && !faulty {
                    return Err(format!("it was to succeed: {end:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether the operator of this case wants safety copies: every second one does.
    fn copies(&self) -> bool {
        self.number % 2 == 1
    }

    /// A guest with disks that is gone was backed up before, whatever went wrong.
    fn nothing_gone_without_copy(&self, before: &Seen, now: &Seen) -> Result<(), String> {
        let copied = self.stage.copied();
        for (vmid, guest) in &before.guests {
            let gone = !now.guests.contains_key(vmid);
            if gone && !guest.disks().is_empty() && !copied.contains(vmid) {
                return Err(format!(
                    "SURPRISE: guest {vmid} is gone, and there is no copy of it"
                ));
            }
        }
        Ok(())
    }

    /// Runs it until it is done or has failed.
    async fn run(&mut self, plan: &Plan, world: &World) -> RunEnd {
        let book = Book::default();
        let mut end = self.stage.run(plan, world.clone(), &book).await;
        for _ in 0..2 {
            let open = match &end {
                RunEnd::Undetermined { .. } => true,
                RunEnd::Stopped { why, .. } => !matches!(why, NotBegun::Stale(_)),
                RunEnd::Done | RunEnd::Failed { .. } => false,
            };
            if !open {
                break;
            }
            self.stage.sim.clear_faults();
            let world = self.stage.look().await;
            end = self.stage.run(plan, world, &book).await;
        }
        end
    }

    async fn as_predicted(
        &self,
        wishes: &[Wish],
        made: &Plan,
        world: &World,
    ) -> Result<(), String> {
        let mut predicted = world.clone();
        for step in &made.steps {
            predicted = predicted
                .apply(&step.action)
                .map_err(|why| format!("{}: {why}", step.title))?;
        }
        let found = self.stage.look().await;
        let found = self.stage.with_firewalls(wishes, found).await;
        differs(world, &predicted, &found)?;
        let left: Vec<Wish> = wishes
            .iter()
            .filter(|wish| matches!(wish, Wish::Present(_)))
            .cloned()
            .collect();
        let backups = self.stage.backups(&left, &found).await;
        let rest = plan(&left, &found, &backups, self.copies())
            .map_err(|why| format!("done, and refused when it is planned again: {why}"))?;
        let titles: Vec<&str> = rest.steps.iter().map(|step| step.title.as_str()).collect();
        same("planned again it is to do", &titles, &Vec::new())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, not {wanted:?}"))
    }
}

/// Everything that got worse has to be named by the plan.
fn unnamed(plan: &Plan, before: &Seen, now: &Seen) -> Result<(), String> {
    for loss in before.losses(now) {
        // Where a run that destroys a guest stops half-way, the guest is out of HA or its jobs, and the plan said that it goes.
        let goes = plan.impacts.iter();
        let mut goes = goes.filter(|impact| impact.entity == loss.who && impact.rule == "GU01");
        if goes.any(|impact| impact.category.word() == "data-lost") {
            continue;
        }
        let mut of_it = plan
            .impacts
            .iter()
            .filter(|impact| impact.entity == loss.who);
        let says = |impact: &Impact| {
            let text = format!("{} {}", impact.before, impact.after);
            let words: BTreeSet<&str> = text.split([' ', ',']).collect();
            loss.said.iter().all(|word| words.contains(word.as_str()))
        };
        let tells = |impact: &Impact| {
            let told = |(verb, attempt)| {
                let mut causes = impact.causes.iter();
                causes.any(|cause| sentences::says(cause, verb, attempt))
            };
            impact.category.word() == "unknown" || loss.attempt.is_none_or(told)
        };
        let begins = |impact: &Impact| {
            let begins =
                |start: &String| impact.causes.iter().any(|cause| cause.starts_with(start));
            loss.cause.as_ref().is_none_or(begins)
        };
        let names = |impact: &Impact| {
            loss.named.contains(&impact.category.word())
                && says(impact)
                && tells(impact)
                && begins(impact)
        };
        if !of_it.any(names) {
            let named: Vec<String> = plan
                .impacts
                .iter()
                .map(|impact| format!("{} {}", impact.entity, impact.category))
                .collect();
            return Err(format!(
                "SURPRISE: {}: {}; the plan names {named:?}",
                loss.who, loss.what
            ));
        }
    }
    Ok(())
}

/// Settings with their values. What a new volume is called and which MAC address a card gets only Proxmox VE knows: of volumes their
/// storage is compared, and of an address that it is there.
fn values(section: &bailiwick::world::Section) -> Vec<String> {
    let known = |part: &str| match part.split_once(':') {
        Some((storage, _)) if !part.contains('=') => storage.to_owned(),
        Some((model, _)) if part.len() > 17 && part.matches(':').count() == 5 => {
            let model = model.split('=').next().unwrap_or_default();
            // `hwaddr=…` of a container, `virtio=…` of a machine.
            (if model == "hwaddr" { "" } else { model }).to_owned()
        }
        // The only type there is, which Proxmox VE writes where it was left out.
        _ if part == "type=veth" => String::new(),
        _ => part.to_owned(),
    };
    let all = section.iter();
    all.map(|(key, value)| {
        let parts: Vec<String> = value.split(',').map(known).collect();
        let parts: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        format!("{key}: {}", parts.join(","))
    })
    .collect()
}

/// What a plan predicts, against what is read back: guests with their settings, storages, pools, HA.
fn differs(before: &World, predicted: &World, found: &World) -> Result<(), String> {
    let vmids = |world: &World| world.guests.keys().copied().collect::<Vec<_>>();
    same("guests", &vmids(found), &vmids(predicted))?;
    for (vmid, wanted) in &predicted.guests {
        let is = &found.guests[vmid];
        let what = |facet: &str| format!("{facet} of guest {vmid}");
        same(&what("node"), &is.node, &wanted.node)?;
        same(&what("status"), &is.status, &wanted.status)?;
        same(&what("lock"), &is.lock, &wanted.lock)?;
        // What Proxmox VE adds to a new guest by itself.
        let new = !before.guests.contains_key(vmid);
        let itself = ["arch", "meta", "ostype", "smbios1", "vmgenid"];
        let keys = |world: &bailiwick::world::Guest| {
            let all = world.config.next_start();
            let all = all.keys().map(|key| key.to_string());
            all.filter(|key| !(new && itself.contains(&key.as_str())))
                .collect::<Vec<_>>()
        };
        same(&what("settings"), &keys(is), &keys(wanted))?;
        if !new {
            let now = |guest: &bailiwick::world::Guest| values(&guest.config.current);
            same(&what("values"), &now(is), &now(wanted))?;
            let next = |guest: &bailiwick::world::Guest| values(&guest.config.next_start());
            same(&what("values at the next start"), &next(is), &next(wanted))?;
        }
    }
    let storages = |world: &World| -> BTreeMap<String, BTreeMap<String, String>> {
        let all = world.storages.iter();
        all.map(|(id, storage)| {
            // `disable 0` is not written down.
            let off = ("disable", "0");
            let options = storage
                .options
                .iter()
                .filter(|(key, value)| (key.as_str(), value.as_str()) != off)
                .map(|(key, value)| (key.to_string(), value.to_string()));
            (id.to_string(), options.collect())
        })
        .collect()
    };
    same("storages", &storages(found), &storages(predicted))?;
    let pools = |world: &World| -> BTreeMap<String, (Vec<u32>, Vec<String>)> {
        let all = world.pools.iter();
        all.map(|(id, pool)| {
            let guests = pool.guests.iter().map(|vmid| vmid.get()).collect();
            let storages = pool.storages.iter().map(ToString::to_string).collect();
            (id.to_string(), (guests, storages))
        })
        .collect()
    };
    same("pools", &pools(found), &pools(predicted))?;
    let snapshots = |world: &World| -> Vec<String> {
        let all = world.guests.values();
        all.flat_map(|guest| {
            let names = guest.config.snapshots.keys();
            names.map(move |name| format!("{}/{name}", guest.vmid))
        })
        .collect()
    };
    same("snapshots", &snapshots(found), &snapshots(predicted))?;
    let files = |world: &World| -> Vec<String> {
        let all = world.storages.values();
        all.flat_map(|storage| &storage.volumes)
            .flat_map(|(node, listed)| listed.keys().map(move |file| format!("{node} {file}")))
            .filter(|name| name.contains(":iso/") || name.contains(":vztmpl/"))
            .collect()
    };
    same("files", &files(found), &files(predicted))?;
    let jobs = |world: &World| -> BTreeMap<String, (bool, Option<String>)> {
        let all = world.backup_jobs.iter();
        all.map(|(id, job)| (id.to_string(), (job.enabled, job.storage.clone())))
            .collect()
    };
    same("backup jobs", &jobs(found), &jobs(predicted))?;
    // What is marked for removal goes when its guest's node comes to it.
    let copies = |world: &World| -> BTreeMap<String, (String, bool)> {
        let all = world.replication_jobs.iter();
        all.filter(|(_, job)| !job.removing)
            .map(|(id, job)| (id.to_string(), (job.target.to_string(), job.disabled)))
            .collect()
    };
    same("replication jobs", &copies(found), &copies(predicted))?;
    let managed = |world: &World| -> BTreeMap<u32, String> {
        let all = world.ha_resources.iter();
        all.map(|(vmid, resource)| (vmid.get(), resource.state.clone()))
            .collect()
    };
    same("HA", &managed(found), &managed(predicted))
}

/// How many cases: `BAILIWICK_MODEL_CASES`, else 100,000 in the long mode and 1,000 otherwise.
fn cases() -> u64 {
    let long = std::env::var_os("BAILIWICK_LONG").is_some();
    let said = std::env::var("BAILIWICK_MODEL_CASES").ok();
    let said = said.map(|text| text.parse().unwrap());
    said.unwrap_or(if long { 100_000 } else { 1_000 })
}

#[test]
fn nothing_gets_worse_that_no_plan_named() {
    let (first, cases, told) = match std::env::var("BAILIWICK_MODEL_CASE") {
        Ok(number) => (number.parse().unwrap(), 1, true),
        Err(_) => (0, cases(), false),
    };
    let next = AtomicU64::new(first);
    let wrong = Mutex::new(BTreeMap::new());
    let counts = Mutex::new(Counts::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + cases || wrong.lock().unwrap().len() >= 20 {
                        break;
                    }
                    runtime.block_on(async {
                        let mut case = Case::new(number, told).await;
                        if let Err(why) = case.play().await {
                            wrong.lock().unwrap().insert(number, why);
                        }
                        let mut counts = counts.lock().unwrap();
                        for (what, count) in case.counts {
                            *counts.entry(what).or_default() += count;
                        }
                    });
                }
            });
        }
    });
    let (wrong, counts) = (wrong.into_inner().unwrap(), counts.into_inner().unwrap());
    println!("{counts:?}");
    let shown: Vec<String> = wrong.into_values().collect();
    assert!(shown.is_empty(), "{}", shown.join("\n\n"));
    // The cases are worth something only while most of them come to a run.
    if cases > 1 {
        assert!(counts["done"] > cases, "{counts:?}");
    }
}
