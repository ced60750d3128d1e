//! The scheduler over a cluster and a journal that only exist here and record what overlaps.

use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroizing;

use super::*;
use crate::apply::port::{Intent, Port, Sent, TaskEnd};
use crate::apply::requests::{Request, request_for};
use crate::apply::secret_file::Secret;
use crate::apply::touched::Touched;
use crate::document::desired::SecretRef;
use crate::ids::{GuestKind, Slot, Vmid};
use crate::metrics::Metrics;
use crate::plan::{Inverse, PlanHash, Risk};
use crate::world::Param;
use crate::world::testing::{Builder, node, storage_id, vmid, volume};

/// What the fake cluster and journal write down, in order.
#[derive(Debug, Default)]
struct Notes {
    /// Paths that were sent.
    sent: Vec<String>,
    /// Tasks under way, by path, and every set of them that there was at once.
    under_way: BTreeSet<String>,
    at_once: Vec<BTreeSet<String>>,
    /// Outcomes by step.
    ended: Vec<(StepId, Outcome)>,
    intents: Vec<StepId>,
}

#[derive(Clone)]
struct Fake {
    world: Arc<Mutex<World>>,
    actions: Arc<BTreeMap<String, Action>>,
    notes: Arc<Mutex<Notes>>,
    /// Steps after which a freeze holds.
    frozen_after: usize,
    begun: Arc<AtomicUsize>,
    /// Whether the cluster tells its tasks.
    tells: bool,
    /// What the HA manager says of every guest.
    ha: Option<&'static str>,
}

fn path(action: &Action) -> String {
    let request = request_for(
        action,
        &node("pve1"),
        None,
        &|_, _| Ok(Zeroizing::default()),
    );
    let call = request.unwrap().call;
    format!("{:?} {}", call.method, call.path)
}

impl Live for Fake {
    async fn refresh(&self, _: World, _: Touched) -> Result<World, String> {
        tokio::task::yield_now().await;
        Ok(self.world.lock().unwrap().clone())
    }

    async fn send(&self, request: &Request) -> Sent {
        let path = format!("{:?} {}", request.call.method, request.call.path);
        let mut notes = self.notes.lock().unwrap();
        notes.sent.push(path.clone());
        notes.under_way.insert(path.clone());
        let now = notes.under_way.clone();
        notes.at_once.push(now);
        Sent::Taken(Some(path))
    }

    async fn send_for_secret(&self, request: &Request) -> Result<Secret, Sent> {
        Err(self.send(request).await)
    }

    async fn wait(&self, upid: &str, _: Duration) -> TaskEnd {
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Under HA it is the manager that acts.
        if self.ha.is_none() {
            let mut world = self.world.lock().unwrap();
            *world = world.apply(&self.actions[upid]).unwrap();
        }
        self.notes.lock().unwrap().under_way.remove(upid);
        TaskEnd::Ok
    }

    async fn tasks(&self, _: &NodeName, _: &str, _: &str) -> Result<BTreeSet<String>, String> {
        if self.tells {
            Ok(BTreeSet::new())
        } else {
            Err("the node is down".to_owned())
        }
    }

    async fn ha_state(&self, _: GuestKind, _: Vmid) -> Result<Option<String>, String> {
        Ok(self.ha.map(str::to_owned))
    }

    async fn open(&self, _: &NodeName, _: Option<&str>, _: Port) -> Result<(), String> {
        Ok(())
    }

    fn secret(&self, _: &SecretRef, _: &str) -> Result<Zeroizing<String>, String> {
        Err("there are no secrets here".to_owned())
    }
}

impl Journal for Fake {
    async fn frozen(&self, _: &Step) -> Result<Option<String>, JournalError> {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst);
        Ok((begun >= self.frozen_after).then(|| "for a test".to_owned()))
    }

    async fn intent(&self, step: &Step, _: &Intent) -> Result<(), JournalError> {
        self.notes.lock().unwrap().intents.push(step.id);
        Ok(())
    }

    async fn sent(&self, _: StepId, _: &str) -> Result<(), JournalError> {
        Ok(())
    }

    async fn ended(&self, step: &Step, outcome: Outcome, _: &Left) -> Result<(), JournalError> {
        self.notes.lock().unwrap().ended.push((step.id, outcome));
        Ok(())
    }
}

fn memory(number: u32, size: &str) -> Action {
    Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        set: [("memory".to_owned(), Param::Plain(size.to_owned()))].into(),
        delete: BTreeSet::new(),
    }
}

fn moved(number: u32) -> Action {
    Action::MoveDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        slot: Slot::new("scsi0").unwrap(),
        volume: volume(&format!("fast:vm-{number}-disk-0")),
        to: storage_id("slow"),
        format: None,
    }
}

fn started(number: u32) -> Action {
    Action::SetPower {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        power: crate::world::PowerAction::Start,
    }
}

fn world() -> World {
    let mut builder = Builder::new(&["pve1", "pve2"])
        .storage("fast", "rbd")
        .storage("slow", "rbd");
    for number in 101..=106 {
        let disk = format!("fast:vm-{number}-disk-0,size=8G");
        let lines = [("scsi0", disk.as_str()), ("memory", "1024")];
        let id = format!("fast:vm-{number}-disk-0");
        builder =
            builder
                .vm(number, "pve1", &lines)
                .volume("pve1", &id, "images", 8 << 30, Some(number));
    }
    builder.ha(106, "stopped").build()
}

/// A plan of independent steps on `pve1`, numbered from 1.
fn plan(actions: Vec<Action>) -> Plan {
    let steps = (1..).zip(actions).map(|(id, action)| Step {
        id: StepId(id),
        title: format!("step {id}"),
        action,
        node: Some(node("pve1")),
        needs: BTreeSet::new(),
        preconditions: Vec::new(),
        inverse: Inverse::Irreversible { why: String::new() },
        privileges: BTreeSet::new(),
        notes: Vec::new(),
    });
    Plan {
        hash: PlanHash("sha256:test".to_owned()),
        cluster: crate::ids::ClusterName::new("lab").unwrap(),
        parent: None,
        origin: crate::plan::Origin::Drift,
        policy: String::new(),
        documents: Vec::new(),
        changes: Vec::new(),
        steps: steps.collect(),
        impacts: Vec::new(),
        improvements: Vec::new(),
        unknowns: Vec::new(),
        complete: true,
        risk: Risk::Low,
        notes: Vec::new(),
        blocks: Vec::new(),
    }
}

struct Setting {
    per_node: usize,
    remembered: BTreeMap<StepId, Remembered>,
    frozen_after: usize,
    tells: bool,
    ha: Option<&'static str>,
}

fn setting(per_node: usize) -> Setting {
    Setting {
        per_node,
        remembered: BTreeMap::new(),
        frozen_after: usize::MAX,
        tells: true,
        ha: None,
    }
}

fn run(plan: &Plan, setting: Setting) -> (RunEnd, Notes) {
    let actions = plan
        .steps
        .iter()
        .map(|s| (path(&s.action), s.action.clone()));
    let fake = Fake {
        world: Arc::new(Mutex::new(world())),
        actions: Arc::new(actions.collect()),
        notes: Arc::default(),
        frozen_after: setting.frozen_after,
        begun: Arc::default(),
        tells: setting.tells,
        ha: setting.ha,
    };
    let limits = Limits {
        per_node: setting.per_node,
        per_storage: 1,
        poll: Duration::from_millis(1),
        lock_patience: Duration::from_millis(20),
        settle: Duration::from_millis(10),
        ha_patience: Duration::from_millis(50),
        task_deadline: Duration::from_secs(5),
        ..Limits::default()
    };
    let executor = Executor::new(fake.clone(), fake.clone(), limits, world(), Metrics::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let end = runtime
        .block_on(executor.run(plan, setting.remembered, &|_| {}))
        .unwrap();
    drop(executor);
    let notes = std::mem::take(&mut *fake.notes.lock().unwrap());
    (end, notes)
}

fn most(notes: &Notes) -> usize {
    notes.at_once.iter().map(BTreeSet::len).max().unwrap_or(0)
}

#[test]
fn a_node_has_so_many_steps_at_once_and_no_more() {
    let plan = plan((101..=106).map(|number| memory(number, "2048")).collect());
    for limit in [1, 2, 4] {
        let (end, notes) = run(&plan, setting(limit));
        assert_eq!(end, RunEnd::Done);
        assert_eq!((most(&notes), notes.sent.len()), (limit, 6));
    }
}

#[test]
fn a_guest_has_one_step_at_a_time() {
    let plan = plan(vec![
        memory(101, "2048"),
        started(101),
        moved(101),
        memory(102, "2048"),
    ]);
    let (end, notes) = run(&plan, setting(10));
    assert_eq!(end, RunEnd::Done, "{notes:?}");
    assert_eq!(most(&notes), 2);
    let together =
        |set: &BTreeSet<String>| set.iter().filter(|path| path.contains("/101/")).count();
    assert!(
        notes.at_once.iter().all(|set| together(set) <= 1),
        "{notes:?}"
    );
}

#[test]
fn a_storage_has_one_disk_move_at_a_time() {
    let plan = plan(vec![
        moved(101),
        moved(102),
        moved(103),
        memory(104, "2048"),
    ]);
    let (end, notes) = run(&plan, setting(10));
    assert_eq!(end, RunEnd::Done, "{notes:?}");
    let moves =
        |set: &BTreeSet<String>| set.iter().filter(|path| path.contains("move_disk")).count();
    assert!(notes.at_once.iter().all(|set| moves(set) <= 1), "{notes:?}");
    assert_eq!(most(&notes), 2);
}

#[test]
fn a_freeze_lets_what_runs_end_and_begins_nothing() {
    let plan = plan((101..=106).map(|number| memory(number, "2048")).collect());
    let mut frozen = setting(2);
    frozen.frozen_after = 3;
    let (end, notes) = run(&plan, frozen);
    assert!(
        matches!(
            &end,
            RunEnd::Stopped {
                why: NotBegun::Frozen(_),
                ..
            }
        ),
        "{end:?}"
    );
    assert_eq!((notes.sent.len(), notes.ended.len()), (3, 3));
}

#[test]
fn what_an_earlier_process_had_in_hand_comes_first() {
    let plan = plan(vec![memory(101, "2048"), memory(102, "2048"), started(103)]);
    let mut resumed = setting(1);
    let upid = path(&plan.steps[2].action);
    let sent = Remembered::Sent(Intent::default(), upid.clone());
    resumed.remembered.insert(StepId(3), sent);
    let (end, notes) = run(&plan, resumed);
    assert_eq!(end, RunEnd::Done);
    assert_eq!(notes.ended[0], (StepId(3), Outcome::Ok));
    assert!(!notes.sent.contains(&upid));
    assert_eq!(notes.intents, [StepId(1), StepId(2)]);
}

#[test]
fn a_failure_of_an_earlier_process_ends_the_run_after_what_was_in_hand() {
    let plan = plan(vec![
        memory(101, "2048"),
        memory(102, "2048"),
        started(103),
        memory(104, "4096"),
    ]);
    let mut resumed = setting(4);
    let failure = Left {
        message: "it broke".to_owned(),
        ..Left::default()
    };
    resumed.remembered = [
        (StepId(1), Remembered::Ended(Outcome::Failed, failure)),
        (StepId(2), Remembered::Intended(Intent::default())),
        (
            StepId(3),
            Remembered::Sent(Intent::default(), path(&plan.steps[2].action)),
        ),
    ]
    .into();
    let (end, notes) = run(&plan, resumed);
    let RunEnd::Failed { step, why } = end else {
        panic!("{end:?}")
    };
    assert_eq!((step, why.as_str()), (StepId(1), "it broke"));
    assert_eq!(notes.sent, Vec::<String>::new());
    let mut ended = notes.ended;
    ended.sort_by_key(|(step, _)| *step);
    assert_eq!(
        ended,
        [(StepId(2), Outcome::Failed), (StepId(3), Outcome::Ok)]
    );
}

#[test]
fn what_cannot_be_looked_up_stays_open() {
    let plan = plan(vec![memory(101, "2048")]);
    let mut resumed = setting(1);
    resumed.tells = false;
    resumed.remembered = [(StepId(1), Remembered::Intended(Intent::default()))].into();
    let (end, notes) = run(&plan, resumed);
    assert!(matches!(end, RunEnd::Undetermined { .. }), "{end:?}");
    assert_eq!(notes.sent, Vec::<String>::new());
    assert_eq!(notes.ended, [(StepId(1), Outcome::Undetermined)]);
}

fn under_ha(word: &'static str) -> (RunEnd, Notes) {
    let plan = plan(vec![Action::SetHaState {
        kind: GuestKind::Qemu,
        vmid: vmid(106),
        state: "started".to_owned(),
        before: "stopped".to_owned(),
    }]);
    let mut setting = setting(1);
    setting.ha = Some(word);
    run(&plan, setting)
}

#[test]
fn where_ha_gives_up_the_step_has_failed() {
    let (end, notes) = under_ha("error");
    let RunEnd::Failed { why, .. } = end else {
        panic!("{end:?}")
    };
    assert!(why.contains("HA has given up on vm/106"), "{why}");
    assert_eq!(notes.ended, [(StepId(1), Outcome::Failed)]);
}

#[test]
fn where_ha_takes_too_long_the_step_stays_open() {
    let (end, notes) = under_ha("queued");
    let RunEnd::Undetermined { why, .. } = end else {
        panic!("{end:?}")
    };
    assert!(
        why.contains("started was requested of HA") && why.contains("HA says `queued`"),
        "{why}"
    );
    assert_eq!(notes.ended, [(StepId(1), Outcome::Undetermined)]);
}

#[test]
fn what_comes_into_a_pool_or_leaves_it_is_not_worked_on_meanwhile() {
    let pool = Action::UpdatePool {
        id: crate::ids::PoolId::new("web").unwrap(),
        comment: None,
        guests_add: [vmid(101)].into(),
        guests_remove: [vmid(102)].into(),
        storages_add: BTreeSet::new(),
        storages_remove: BTreeSet::new(),
    };
    let with = |number| guests_of(&pool).is_disjoint(&guests_of(&memory(number, "2048")));
    assert_eq!([101, 102, 103].map(with), [false, false, true]);
}
