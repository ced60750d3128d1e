//! Starting and stopping guests: `status/{start,stop,shutdown,reboot,reset,suspend,resume}`, and what the HA manager
//! does in their place.

use super::super::call::{Answer, ApiError, Auth, Call};
use super::super::section_config;
use super::super::state::{Cluster, Guest, Run};
use super::super::tasks::{TaskLog, TaskSpec};
use super::access::{self, Loaded};
use super::apply;
use super::kind::Kind;
use super::startable;

/// Parameters that only root@pam may send to `start`, `stop` and the others.
const ROOT_ONLY: &[&str] = &[
    "skiplock",
    "stateuri",
    "migratedfrom",
    "migration_type",
    "migration_network",
    "targetstorage",
    "keepActive",
];

fn guest_of(call: &Call) -> Guest {
    Guest {
        vmid: call.vmid(),
        kind: access::kind_of(call),
        node: call.node().to_owned(),
    }
}

fn task(call: &Call, guest: &Guest, verb: &str) -> TaskSpec {
    TaskSpec::new(
        &guest.node,
        &format!("{}{verb}", guest.kind.task()),
        guest.vmid,
        &call.auth,
    )
}

/// That a guest runs.
fn require_running(cluster: &Cluster, guest: &Guest) -> Result<(), ApiError> {
    if access::is_running(cluster, guest.vmid) {
        return Ok(());
    }
    Err(ApiError::internal(format!(
        "{} {} not running",
        guest.kind.noun(),
        guest.vmid
    )))
}

/// That a container's configuration exists. Requests about a virtual machine's power find out in their task.
fn require_container(cluster: &Cluster, guest: &Guest) -> Result<(), ApiError> {
    match guest.kind {
        Kind::Qemu => Ok(()),
        Kind::Lxc => access::load_from(cluster, &guest.node, guest.kind, guest.vmid).map(|_| ()),
    }
}

/// `POST …/status/start`.
pub fn start(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    require_container(cluster, &guest)?;
    if guest.kind == Kind::Lxc && access::is_running(cluster, guest.vmid) {
        return Err(ApiError::internal(format!(
            "CT {} already running",
            guest.vmid
        )));
    }
    if cluster.ha_managed(&guest) {
        return Ok(ha_request(cluster, &call.auth, &guest, "started"));
    }
    let spec = task(call, &guest, "start");
    if let Err(text) = startable::check(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    Ok(cluster.spawn(spec.lasting(2.0), move |cluster, log| {
        start_now(cluster, &guest, log)
    }))
}

/// Starts a guest: applies what is pending, then everything it needs must be there.
///
/// # Errors
/// The text the task ends with.
pub fn start_now(cluster: &mut Cluster, guest: &Guest, log: &mut TaskLog) -> Result<(), String> {
    startable::check(cluster, guest)?;
    let mut config = access::reload(cluster, guest)?.config;
    let errors = apply::all(cluster, guest, &mut config);
    apply::cleanup(&mut config);
    access::store(cluster, guest, &config);
    for text in errors.values() {
        log.say(text.trim_end());
    }
    startable::check_devices(cluster, guest, &config, log)?;
    let resumed = config.main.get("lock") == Some("suspended");
    if resumed {
        resume_from_disk(cluster, guest)?;
    }
    let since = cluster.clock.unix();
    let pid = 2000 + u32::try_from(cluster.random() % 30_000).unwrap_or(0);
    cluster.running.insert(
        guest.vmid,
        Run {
            since,
            pid,
            ..Run::default()
        },
    );
    Ok(())
}

fn resume_from_disk(cluster: &mut Cluster, guest: &Guest) -> Result<(), String> {
    let state = access::change(cluster, guest, |config| {
        for key in ["lock", "runningmachine", "runningcpu"] {
            config.main.remove(key);
        }
        Ok(config.main.remove("vmstate"))
    })?;
    if let Some(volid) = state {
        cluster.free(&guest.node, &volid)?;
    }
    Ok(())
}

fn stop_now(cluster: &mut Cluster, guest: &Guest) {
    cluster.running.remove(&guest.vmid);
}

/// `POST …/status/stop`.
pub fn stop(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    require_container(cluster, &guest)?;
    if guest.kind == Kind::Lxc {
        require_running(cluster, &guest)?;
    }
    if cluster.ha_managed(&guest) {
        return Ok(ha_request(cluster, &call.auth, &guest, "stopped"));
    }
    let spec = task(call, &guest, "stop");
    if let Err(text) = unlocked_if_running(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    Ok(cluster.spawn(spec, move |cluster, _| {
        unlocked_if_running(cluster, &guest)?;
        stop_now(cluster, &guest);
        Ok(())
    }))
}

/// A lock holds up stopping a guest that runs; one that does not is stopped already.
fn unlocked_if_running(cluster: &Cluster, guest: &Guest) -> Result<(), String> {
    let loaded = access::reload(cluster, guest)?;
    if access::is_running(cluster, guest.vmid) {
        access::check_lock(&loaded.config)
    } else {
        Ok(())
    }
}

/// `POST …/status/shutdown`.
pub fn shutdown(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    require_container(cluster, &guest)?;
    if guest.kind == Kind::Lxc {
        require_running(cluster, &guest)?;
    }
    if cluster.ha_managed(&guest) {
        return Ok(ha_request(cluster, &call.auth, &guest, "stopped"));
    }
    let spec = task(call, &guest, "shutdown");
    if let Err(text) = unlocked_if_running(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    if !access::is_running(cluster, guest.vmid) {
        return Ok(cluster.spawn(spec, |_, _| Ok(())));
    }
    let (seconds, obeys, force) = (
        patience(cluster, call, &guest),
        obeys(cluster, &guest),
        call.is_set("forceStop"),
    );
    Ok(cluster.spawn(spec.lasting(seconds), move |cluster, log| {
        if !obeys {
            refuse_shutdown(cluster, &guest, log, force)?;
        }
        stop_now(cluster, &guest);
        Ok(())
    }))
}

/// How long a shutdown takes: a few seconds, or the whole time-out if the guest does not react.
#[allow(clippy::cast_precision_loss)]
fn patience(cluster: &Cluster, call: &Call, guest: &Guest) -> f64 {
    if obeys(cluster, guest) {
        4.0
    } else {
        call.int("timeout").unwrap_or(180) as f64
    }
}

fn obeys(cluster: &Cluster, guest: &Guest) -> bool {
    let paused = cluster
        .running
        .get(&guest.vmid)
        .is_some_and(|run| run.paused);
    apply::cooperates(cluster, guest.vmid) && !paused
}

fn refuse_shutdown(
    cluster: &Cluster,
    guest: &Guest,
    log: &mut TaskLog,
    force: bool,
) -> Result<(), String> {
    let agent = access::reload(cluster, guest)?
        .config
        .main
        .get("agent")
        .is_some_and(|agent| agent.starts_with('1'));
    if agent {
        let text = "qga command 'guest-ping' failed - got timeout";
        log.say(format!(
            "QEMU Guest Agent is not running - VM {} {text}",
            guest.vmid
        ));
    }
    match guest.kind {
        Kind::Qemu if force => {
            log.say("VM quit/powerdown failed - terminating now with SIGTERM");
            Ok(())
        }
        Kind::Lxc if force => Ok(()),
        Kind::Qemu => Err("VM quit/powerdown failed - got timeout".into()),
        Kind::Lxc => Err("container did not stop".into()),
    }
}

/// `POST …/status/reboot`: a shutdown and a start, so that pending changes come into force. Not routed through HA.
pub fn reboot(cluster: &mut Cluster, call: &Call) -> Answer {
    let guest = guest_of(call);
    if guest.kind == Kind::Lxc {
        access::load(cluster, call)?;
    }
    require_running(cluster, &guest)?;
    let spec = task(call, &guest, "reboot");
    if let Err(text) = unlocked_if_running(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    let (seconds, obeys) = (patience(cluster, call, &guest), obeys(cluster, &guest));
    Ok(
        cluster.spawn(spec.lasting(seconds + 2.0), move |cluster, log| {
            if !obeys {
                refuse_shutdown(cluster, &guest, log, false)?;
            }
            stop_now(cluster, &guest);
            start_now(cluster, &guest, log)
        }),
    )
}

/// `POST …/qemu/{vmid}/status/reset`.
pub fn reset(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    require_running(cluster, &guest)?;
    let spec = task(call, &guest, "reset");
    if let Err(text) = unlocked_if_running(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    Ok(cluster.spawn(spec, |_, _| Ok(())))
}

/// `POST …/status/suspend`.
pub fn suspend(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    require_running(cluster, &guest)?;
    if guest.kind == Kind::Lxc {
        let text = format!(
            "command 'lxc-checkpoint -n {} -s -D /var/lib/vz/dump' failed: exit code 1",
            guest.vmid
        );
        return Ok(cluster.spawn_failed(task(call, &guest, "suspend"), text));
    }
    let to_disk = call.is_set("todisk");
    let spec = task(call, &guest, if to_disk { "suspend" } else { "pause" });
    if let Err(text) = unlocked_if_running(cluster, &guest) {
        return Ok(cluster.spawn_failed(spec, text));
    }
    if !to_disk {
        return Ok(cluster.spawn(spec, move |cluster, _| {
            if let Some(run) = cluster.running.get_mut(&guest.vmid) {
                run.paused = true;
            }
            Ok(())
        }));
    }
    cluster.check_all(
        &call.auth,
        &format!("/vms/{}", guest.vmid),
        &["VM.Config.Disk"],
    )?;
    if cluster.ha_managed(&guest) {
        return Err(ApiError::internal(
            "Cannot suspend VM to disk. VM is managed by HA.",
        ));
    }
    let storage = call.get("statestorage").map(str::to_owned);
    access::set_lock(cluster, &guest, Some("suspending"));
    let abort = guest.clone();
    let spec = spec.on_abort(move |cluster, _| access::set_lock(cluster, &abort, None));
    Ok(cluster.spawn(spec.lasting(5.0), move |cluster, _| {
        suspend_to_disk(cluster, &guest, storage)
    }))
}

fn suspend_to_disk(
    cluster: &mut Cluster,
    guest: &Guest,
    storage: Option<String>,
) -> Result<(), String> {
    let result =
        super::snapshot::save_state(cluster, guest, "suspend", storage).and_then(|volid| {
            access::change(cluster, guest, |config| {
                config.main.set("vmstate", volid);
                config.main.set("lock", "suspended");
                config.main.set("runningmachine", "pc-i440fx-10.0");
                Ok(())
            })
        });
    match result {
        Ok(()) => {
            stop_now(cluster, guest);
            Ok(())
        }
        Err(text) => {
            access::set_lock(cluster, guest, None);
            Err(text)
        }
    }
}

/// `POST …/status/resume`.
pub fn resume(cluster: &mut Cluster, call: &Call) -> Answer {
    access::root_only(call, ROOT_ONLY)?;
    let guest = guest_of(call);
    let Loaded { config, .. } = access::load(cluster, call).or_else(|error| match guest.kind {
        Kind::Qemu => require_running(cluster, &guest).and(Err(error)),
        Kind::Lxc => Err(error),
    })?;
    let spec = task(call, &guest, "resume");
    if config.main.get("lock") == Some("suspended") {
        return Ok(cluster.spawn(spec.lasting(3.0), move |cluster, log| {
            start_now(cluster, &guest, log)
        }));
    }
    require_running(cluster, &guest)?;
    Ok(cluster.spawn(spec, move |cluster, _| {
        if let Some(run) = cluster.running.get_mut(&guest.vmid) {
            run.paused = false;
        }
        Ok(())
    }))
}

/// Asks the HA manager for a state: a task that ends when the request is queued, not when it is done.
fn ha_request(
    cluster: &mut Cluster,
    auth: &Auth,
    guest: &Guest,
    state: &'static str,
) -> serde_json::Value {
    let (kind, word) = if state == "started" {
        ("hastart", "start")
    } else {
        ("hastop", "stop")
    };
    let line = format!(
        "Requesting HA {word} for {} {}",
        guest.kind.noun(),
        guest.vmid
    );
    let spec = TaskSpec::new(&guest.node, kind, guest.vmid, auth).saying(line);
    let guest = guest.clone();
    cluster.spawn(spec, move |cluster, _| {
        match state {
            "started" => cluster.ha_request(&guest, state),
            // The manager writes the new state in its next round.
            _ => cluster.after(5.0, move |cluster| cluster.ha_request(&guest, state)),
        }
        Ok(())
    })
}

/// Makes a new guest an HA resource, as `ha-managed` on creation asks.
pub fn add_to_ha(cluster: &mut Cluster, guest: &Guest, start: bool) {
    let mut sections = cluster.ha_resources();
    let state = if start { "started" } else { "stopped" };
    sections.push(section_config::Section {
        kind: guest.kind.service().into(),
        id: guest.vmid.to_string(),
        lines: vec![("state".into(), state.into())],
    });
    cluster.files.set(
        super::super::ha::RESOURCES,
        section_config::print(&sections),
    );
    cluster.ha_wake();
}
