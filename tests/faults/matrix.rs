//! The matrix: every kind of step × every fault, played, judged, and printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bailiwick::apply::effect;
use bailiwick::apply::requests::request_for;
use bailiwick::plan::{Plan, PlanHash, Step};
use bailiwick::service::Service;
use bailiwick::world::{AccountAction, Action};
use percent_encoding::percent_decode_str;

use crate::columns::{COLUMNS, FAULTS, Fault, Target, Word};
use crate::kinds::{self, Kind, NEW_FILE, PLANNED, SECRET_FILE, variant};
use crate::stage::{approve, complaints, run, service, submit};
use crate::support::play::{Play, Setup, TOKEN, write_private};

/// Simulated seconds in a real one: waiting is nearly all that a task is.
const SCALE: f64 = 500.0;
/// Plays at once. They wait more than they work.
const AT_ONCE: usize = 10;

/// After how long a play is said to hang.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(180);

/// A kind's plan, approved, with what a run without faults makes of it.
struct Begun {
    kind: Kind,
    documents: Vec<String>,
    play: Play,
    /// Held by the one play at a time whose plan writes a file.
    alone: Mutex<()>,
    plan: PlanHash,
    target: Target,
    variant: &'static str,
    effect: String,
    effects: BTreeMap<String, u32>,
    end: BTreeMap<String, String>,
}

fn begin(kind: Kind) -> Begun {
    let play = Play::with(Setup {
        world: kind.world(),
        cluster: kind.cluster.to_owned(),
        scale: SCALE,
        ..Setup::default()
    });
    play.leave_unchecked();
    let secret = play.path(SECRET_FILE);
    write_private(&secret, "a secret of the guest");
    let with_secret = |texts: &[String]| -> Vec<String> {
        let path = secret.display().to_string();
        let folder = secret.parent().unwrap().canonicalize().unwrap();
        let new = folder.join(NEW_FILE).display().to_string();
        texts
            .iter()
            .map(|t| t.replace(SECRET_FILE, &path).replace(NEW_FILE, &new))
            .collect()
    };
    let documents = with_secret(&kind.documents);
    let plan = play.block_on(async {
        let service = service(&play).await;
        let owned = submit(&service, &with_secret(&kind.owned)).await.unwrap();
        assert_eq!(titles(&owned), Vec::<String>::new(), "{}", kind.name);
        let plan = submit(&service, &documents).await.unwrap();
        approve(&play, &service, &plan).await.unwrap();
        service.store().close().await;
        plan
    });
    let step = plan.steps.iter().find(|step| (kind.is)(&step.action));
    let step = step.unwrap_or_else(|| panic!("{}: {:?}", kind.name, titles(&plan)));
    let straight = play.again(SCALE);
    straight.leave_unchecked();
    let wrong = straight.block_on(async {
        let service = service(&straight).await;
        let ran = tokio::time::timeout(LONGEST, run(&service, &plan.hash)).await;
        let ran = ran.expect("without a fault it hangs");
        assert_eq!(ran, Ok((Word::Ok, String::new())), "{}", kind.name);
        complaints(&straight, &service).await
    });
    assert_eq!(wrong, Vec::<String>::new(), "{}", kind.name);
    let effects = straight.sim.effects(TOKEN);
    // A container is a template when the call ends; the task that the call starts besides does nothing.
    let calls = effects.keys();
    let calls = calls.filter(|effect| !effect.starts_with("vztemplate "));
    assert_eq!(
        calls.count(),
        plan.steps.len(),
        "{}: {effects:?}",
        kind.name
    );
    assert!(effects.values().all(|count| *count == 1), "{effects:?}");
    let target = target(&straight, step);
    let effect = effect_of(&target);
    assert!(effects.contains_key(&effect), "{effect}: {effects:?}");
    Begun {
        variant: variant(&step.action),
        plan: plan.hash,
        effects,
        effect,
        end: end(&straight),
        target,
        documents,
        alone: Mutex::new(()),
        play,
        kind,
    }
}

/// The step's work as the simulator counts it.
fn effect_of(target: &Target) -> String {
    match &target.task {
        Some((kind, id)) => {
            let node = target.path.split('/').nth(2).unwrap_or_default();
            format!("{kind} {id} on {node}")
        }
        // Nobody knows what its task is called; the simulator has a name for it.
        None if target.path.ends_with("/oci-registry-pull") => "ocipull  on pve1".to_owned(),
        None => format!("{} {}", target.method, target.path),
    }
}

/// A play's end without the salts of passwords.
fn end(play: &Play) -> BTreeMap<String, String> {
    let salted = regex::Regex::new(r"\$5\$\S+").unwrap();
    let end = play.end().into_iter();
    end.map(|(name, text)| (name, salted.replace_all(&text, "…").into_owned()))
        .collect()
}

fn titles(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.title.clone()).collect()
}

/// What the step's call is like, from the request that is made of it and the log of a run without faults.
fn target(straight: &Play, step: &Step) -> Target {
    let node = step.node.clone();
    let node = node.unwrap_or_else(|| "pve1".parse().unwrap());
    let request = request_for(&step.action, &node, Some("digest"), &|_, _| {
        Ok(zeroize::Zeroizing::default())
    })
    .unwrap();
    let method = request.call.method.as_str().to_owned();
    let path = percent_decode_str(&request.call.path);
    let path = path.decode_utf8().unwrap().into_owned();
    let log = straight.sim.log();
    let ours: Vec<_> = log.iter().filter(|entry| entry.user == TOKEN).collect();
    let write = ours
        .iter()
        .position(|entry| entry.method == method && entry.path == path)
        .unwrap_or_else(|| panic!("{method} {path} was not sent"));
    let before = &ours[..write];
    let read = before.iter().rfind(|entry| entry.method == "GET").unwrap();
    let same = before
        .iter()
        .filter(|entry| entry.method == "GET" && entry.path == read.path);
    Target {
        step: step.id.0,
        task: request.task.map(|(kind, id)| (kind.to_owned(), id)),
        digest: request.call.params.iter().any(|(key, _)| key == "digest"),
        seen: effect::tells(&step.action),
        repeatable: effect::repeatable(&step.action),
        file: match &step.action {
            Action::Account(AccountAction::CreateToken { secret_file, .. }) => {
                Some(secret_file.into())
            }
            _ => None,
        },
        read: (read.path.clone(), same.count() - 1),
        method,
        path,
    }
}

/// One play of a fault: how the run ended first, and what came of running on.
fn played(begun: &Begun, fault: &Fault) -> Result<Word, String> {
    let _alone = begun.target.file.as_ref().map(|file| {
        let alone = begun.alone.lock();
        let _ = std::fs::remove_file(file);
        alone.unwrap_or_else(PoisonError::into_inner)
    });
    let play = begun.play.again(SCALE);
    play.leave_unchecked();
    for text in fault.told(&begun.target) {
        play.fault(&text);
    }
    if let Some(point) = fault.killed_at(&begun.target) {
        let mut command = play.command(&["run", &begun.plan.0]);
        let output = command
            .env("BAILIWICK_TEST_ABORT_AT", point)
            .output()
            .unwrap();
        if output.status.code().is_some() {
            return Err(format!("it was not killed: {output:?}"));
        }
    }
    play.block_on(async {
        let service = service(&play).await;
        let judged = tokio::time::timeout(LONGEST, judge(begun, fault, &play, &service)).await;
        let judged = judged.unwrap_or_else(|_| Err(format!("it hangs: no end within {LONGEST:?}")));
        service.store().close().await;
        judged
    })
}

async fn judge(
    begun: &Begun,
    fault: &Fault,
    play: &Play,
    service: &Service,
) -> Result<Word, String> {
    let ends = fault.ends(&begun.target);
    let (first, why) = if ends == Word::Killed {
        (Word::Killed, String::new())
    } else {
        run(service, &begun.plan).await?
    };
    if first != ends {
        return Err(format!("{first:?} instead of {ends:?}: {why}"));
    }
    // A fault that lasts is never used up; any other has to have struck.
    let lasts = fault
        .told(&begun.target)
        .iter()
        .any(|t| t.contains("count=*"));
    let left = play.sim.with(|cluster| cluster.faults.left());
    if left != usize::from(lasts) {
        return Err(format!("{left} faults never struck"));
    }
    play.sim.clear_faults();
    match first {
        Word::Ok => {}
        // The same plan, under the approval it had, goes on.
        Word::Stopped | Word::Undetermined | Word::Killed => {
            let (again, why) = run(service, &begun.plan).await?;
            if again != Word::Ok {
                return Err(format!("{first:?}, then {again:?}: {why}"));
            }
        }
        // Another plan does, approved anew. This one is never run again.
        Word::Failed | Word::Superseded => {
            if run(service, &begun.plan).await.is_ok() {
                return Err("a plan that failed was run again".to_owned());
            }
            let plan = submit(service, &begun.documents).await?;
            // It was done; to have its secret, somebody deletes it.
            if fault.loses_secret(&begun.target) {
                if !plan.steps.is_empty() || !why.contains("its secret is lost") {
                    return Err(format!("{why}; then {:?}", titles(&plan)));
                }
                return settled(begun, fault, play, service).await.map(|()| first);
            }
            // Whether it was done cannot be seen, and what its documents say is there.
            if begun.target.repeatable && plan.steps.is_empty() {
                return Ok(first);
            }
            if plan.hash == begun.plan || plan.steps.is_empty() {
                return Err(format!("submitted again: {:?}", titles(&plan)));
            }
            approve(play, service, &plan).await?;
            let (again, why) = run(service, &plan.hash).await?;
            if again != Word::Ok {
                return Err(format!("{first:?} ({why}), then {again:?}"));
            }
        }
    }
    settled(begun, fault, play, service).await.map(|()| first)
}

/// Nothing was done twice, nothing was left out, nothing is left to do, and everything is written down.
async fn settled(
    begun: &Begun,
    fault: &Fault,
    play: &Play,
    service: &Service,
) -> Result<(), String> {
    let times = fault.times(&begun.target);
    let lost = fault.loses_secret(&begun.target);
    let mut wrong = complaints(play, service).await;
    let effects = play.sim.effects(TOKEN);
    let mut wanted = begun.effects.clone();
    wanted.insert(begun.effect.clone(), times);
    // A guest that was not destroyed is backed up anew by the plan after that.
    for (effect, count) in &mut wanted {
        let copy = effect.starts_with("vzdump ") && *effect != begun.effect;
        if copy && effects.get(effect) == Some(&2) {
            *count = 2;
        }
    }
    let once = effects == wanted;
    if begun.target.repeatable {
        wanted.insert(begun.effect.clone(), 2);
    }
    if !once && effects != wanted {
        wrong.push(format!("{effects:?} was done instead of {wanted:?}"));
    }
    let end = end(play);
    let keys: BTreeSet<&String> = end.keys().chain(begun.end.keys()).collect();
    for key in keys {
        let (found, wanted) = (end.get(key), begun.end.get(key));
        if found != wanted {
            wrong.push(format!("{key}: {found:?} instead of {wanted:?}"));
        }
    }
    if let Some(file) = &begun.target.file {
        let secret = play
            .sim
            .with(|cluster| cluster.secrets.get("anna@pve!builds").cloned());
        let (kept, secret) = (std::fs::read_to_string(file).ok(), secret.unwrap());
        match kept {
            Some(kept) if kept == format!("{secret}\n") => {}
            None if lost => {}
            kept => wrong.push(format!("{kept:?} is in the file of the secret {secret}")),
        }
    }
    match submit(service, &begun.documents).await {
        Ok(plan) if plan.steps.is_empty() => {}
        Ok(plan) => wrong.push(format!("left to do: {:?}", titles(&plan))),
        Err(why) => wrong.push(why),
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// What came of the plays of one cell.
type Cell = BTreeSet<Result<Word, ()>>;

/// Does it for each of many, several at once; in order.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    done.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

fn quietly<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// `BAILIWICK_FAULTS=move,reboot` plays only kinds whose name has one of these.
fn wanted(kind: &Kind) -> bool {
    let Ok(text) = std::env::var("BAILIWICK_FAULTS") else {
        return true;
    };
    text.split(',').any(|part| kind.name.contains(part))
}

#[test]
fn whatever_goes_wrong_nothing_is_done_twice_and_nothing_is_left_out() {
    let started = std::time::Instant::now();
    let kinds: Vec<Mutex<Option<Kind>>> = kinds::all()
        .into_iter()
        .filter(wanted)
        .map(|kind| Mutex::new(Some(kind)))
        .collect();
    let begun = each(&kinds, |kind| {
        let kind = kind.lock().unwrap().take().unwrap();
        let name = kind.name;
        quietly(|| Ok(begin(kind))).map_err(|why| format!("{name}: {why}"))
    });
    let (begun, broken): (Vec<_>, Vec<_>) = begun.into_iter().partition(Result::is_ok);
    let broken: Vec<String> = broken.into_iter().filter_map(Result::err).collect();
    let begun: Vec<Begun> = begun.into_iter().filter_map(Result::ok).collect();

    let long = std::env::var_os("BAILIWICK_LONG").is_some();
    let plays: Vec<(usize, &Fault)> = (0..begun.len())
        .flat_map(|row| FAULTS.iter().map(move |fault| (row, fault)))
        .filter(|(row, fault)| long || fault.in_turn(*row))
        .filter(|(row, fault)| fault.applies(&begun[*row].target))
        .collect();
    let results = each(&plays, |(row, fault)| {
        let begun = &begun[*row];
        quietly(|| played(begun, fault))
            .inspect_err(|why| eprintln!("{}, {}: {why}", begun.kind.name, fault.shown()))
    });
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    let mut wrong = broken;
    for ((row, fault), result) in plays.iter().zip(results) {
        let cell = cells.entry((*row, fault.column)).or_default();
        if let Err(why) = &result {
            wrong.push(format!(
                "{}, {}: {why}",
                begun[*row].kind.name,
                fault.shown()
            ));
        }
        cell.insert(result.map_err(|_| ()));
    }
    let table = table(&begun, &cells, plays.len(), wrong.len());
    println!("{table}");
    println!("{} seconds", started.elapsed().as_secs());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault-matrix.txt");
    std::fs::write(file, table).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    if std::env::var_os("BAILIWICK_FAULTS").is_none() {
        let variants: BTreeSet<&str> = begun.iter().map(|begun| begun.variant).collect();
        assert_eq!(variants.len(), PLANNED, "{variants:?}");
    }
}

fn shown(cell: Option<&Cell>) -> String {
    let Some(cell) = cell else {
        return "—".to_owned();
    };
    let words: Vec<&str> = cell
        .iter()
        .map(|result| result.as_ref().map_or("WRONG", |word| word.shown()))
        .collect();
    words.join("/")
}

fn table(
    begun: &[Begun],
    cells: &BTreeMap<(usize, usize), Cell>,
    plays: usize,
    wrong: usize,
) -> String {
    let mut table = String::from("How the run ended at first; every one ran on to the same end.\n");
    for (number, column) in COLUMNS.iter().enumerate() {
        writeln!(table, "{:>4}  {column}", number + 1).unwrap();
    }
    let wide = begun.iter().map(|begun| begun.kind.name.len()).max();
    let wide = wide.unwrap_or_default();
    write!(table, "\n{:wide$}", "").unwrap();
    for number in 1..=COLUMNS.len() {
        write!(table, " {number:>9}").unwrap();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (row, begun) in begun.iter().enumerate() {
        write!(table, "\n{:wide$}", begun.kind.name).unwrap();
        for column in 0..COLUMNS.len() {
            let cell = shown(cells.get(&(row, column)));
            write!(table, " {cell:>9}").unwrap();
            *counts.entry(cell).or_default() += 1;
        }
    }
    let none = counts.remove("—").unwrap_or_default();
    let played = cells.len();
    writeln!(
        table,
        "\n\n{} cells: {played} played ({plays} plays, {wrong} wrong), {none} that cannot be (—)",
        begun.len() * COLUMNS.len()
    )
    .unwrap();
    for (words, count) in counts {
        writeln!(table, "{count:>6}  {words}").unwrap();
    }
    table.push_str(
        "ok: done at once. stop, open: stopped, or not known; the same run goes on. fail: stopped; a new plan, approved anew, goes on. \
         died: the process; the same run goes on.\n",
    );
    table
}
