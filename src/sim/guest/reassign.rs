//! `move_disk` and `move_volume` with `target-vmid`: a volume becomes another guest's.

use super::super::call::{Answer, ApiError, Call};
use super::super::state::Cluster;
use super::super::tasks::TaskSpec;
use super::access::{self, Loaded};
use super::disks;
use super::drive::{self, Drive};
use super::keys;
use super::kind::Kind;
use super::relocate::hand_over;

/// Gives a volume to another guest of the same kind on the same node.
pub fn reassign(cluster: &mut Cluster, call: &Call, key: &str) -> Answer {
    let kind = access::kind_of(call);
    let target: u32 = call
        .get("target-vmid")
        .and_then(|vmid| vmid.parse().ok())
        .unwrap_or(0);
    cluster.check_all(&call.auth, &format!("/vms/{target}"), &["VM.Config.Disk"])?;
    let target_key = call
        .get(if kind == Kind::Qemu {
            "target-disk"
        } else {
            "target-volume"
        })
        .unwrap_or(key)
        .to_owned();
    let source = access::load(cluster, call)?;
    let other = access::load_from(cluster, call.node(), kind, target)?;
    check(cluster, call, &source, &other, key, &target_key)?;
    let drive = source
        .config
        .main
        .get(key)
        .and_then(|value| Drive::parse(kind, key, value))
        .ok_or_else(|| ApiError::internal(format!("disk '{key}' does not exist")))?;
    let id = format!("{}-{key}>{target}-{target_key}", source.guest.vmid);
    let verb = if kind == Kind::Qemu {
        "qmmove"
    } else {
        "move_volume"
    };
    let spec = TaskSpec::new(call.node(), verb, id, &call.auth);
    let (from, to, key) = (source.guest, other.guest, key.to_owned());
    Ok(cluster.spawn(spec, move |cluster, log| {
        let noun = kind.noun();
        log.say(format!(
            "reassign disk '{key}' from {noun} '{}' as '{target_key}' to {noun} '{}'",
            from.vmid, to.vmid
        ));
        let volid = hand_over(cluster, &from, drive.file(), to.vmid)?;
        log.say(format!(
            "removing disk '{key}' from {noun} '{}' config",
            from.vmid
        ));
        access::change(cluster, &from, |config| Ok(config.main.remove(&key)))?;
        let mut adopted = drive.clone();
        adopted.key = target_key.clone();
        adopted.set_file(&volid);
        log.say(format!(
            "update {noun} {}: -{target_key} {}",
            to.vmid,
            adopted.print()
        ));
        let bytes = cluster
            .volumes
            .get(&to.node, &volid)
            .map_or(0, |volume| volume.size);
        if !keys::is_unused(&target_key) {
            adopted.set("size", super::size::print(bytes));
        }
        access::change(cluster, &to, |config| {
            config.main.set(&target_key, adopted.print());
            Ok(())
        })
    }))
}

fn check(
    cluster: &Cluster,
    call: &Call,
    source: &Loaded,
    other: &Loaded,
    key: &str,
    target_key: &str,
) -> Result<(), ApiError> {
    let noun = source.guest.kind.noun();
    let no = |text: String| Err(ApiError::internal(text));
    if source.guest.vmid == other.guest.vmid {
        return Err(ApiError::parameter(
            "target-vmid",
            "must be different than source VMID to reassign disk",
        ));
    }
    for loaded in [source, other] {
        access::check_lock(&loaded.config)?;
    }
    access::check_digest(source, call.get("digest"))?;
    access::check_digest(other, call.get("target-digest"))?;
    let Some(drive) = source
        .config
        .main
        .get(key)
        .and_then(|value| Drive::parse(source.guest.kind, key, value))
    else {
        return no(format!(
            "Disk '{key}' for {noun} '{}' does not exist",
            source.guest.vmid
        ));
    };
    if drive.is_cdrom() {
        return no("CD drive contents can't be moved to another VM".into());
    }
    if access::is_running(cluster, source.guest.vmid) && !keys::is_unused(key) {
        return no(format!(
            "Cannot move disk '{key}' while the source {noun} is running"
        ));
    }
    let snapshots = source.config.snapshots.values();
    let held = snapshots
        .flat_map(|section| drive::drives(source.guest.kind, section, true))
        .any(|other| other.file() == drive.file());
    if held || disks::is_in_use(&source.config, key, drive.file()) {
        return no("Can't move disk used by a snapshot to another owner".into());
    }
    if other.config.main.get(target_key).is_some() {
        return no(format!(
            "Target disk key '{target_key}' is already in use for {noun} '{}'",
            other.guest.vmid
        ));
    }
    Ok(())
}
