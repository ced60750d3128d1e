//! `…/qemu/{vmid}/cloudinit`: what the cloud-init drive is made from, and making it anew.

use serde_json::{Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::state::Cluster;
use super::access::{self, Loaded};
use super::conf::Section;
use super::drive;
use super::hotplug;
use super::kind::Kind;
use super::read;

/// `GET …/cloudinit`: each setting as the drive has it, and as it will be.
pub fn pending(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded { config, .. } = access::load(cluster, call)?;
    let drawn = config.special.get("cloudinit");
    let mut answer = Vec::new();
    for (key, text) in config
        .main
        .values
        .iter()
        .filter(|(key, _)| hotplug::is_cloudinit(key))
    {
        if key.starts_with("ipconfig") {
            continue;
        }
        let now = read::value(Kind::Qemu, key, text);
        let entry = match drawn.and_then(|drawn| drawn.get(key)) {
            Some(old) if old != text => {
                json!({"key": key, "value": read::value(Kind::Qemu, key, old), "pending": now})
            }
            Some(_) | None => json!({"key": key, "value": now}),
        };
        answer.push(entry);
    }
    Ok(Value::Array(answer))
}

/// `PUT …/cloudinit`: makes the drive anew and forgets what it was made from before.
pub fn regenerate(cluster: &mut Cluster, call: &Call) -> Answer {
    let Loaded {
        mut config, guest, ..
    } = access::load(cluster, call)?;
    access::check_lock(&config)?;
    if !drive::drives(Kind::Qemu, &config.main, false)
        .iter()
        .any(drive::Drive::is_cloudinit)
    {
        return Err(ApiError::internal("no cloudinit drive configured"));
    }
    if config
        .special
        .get("cloudinit")
        .is_some_and(|section| *section != Section::default())
    {
        config.special.remove("cloudinit");
        access::store(cluster, &guest, &config);
    }
    Ok(Value::Null)
}
