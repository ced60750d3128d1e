//! Values as Proxmox VE stores them: addresses given to network cards, numbers without leading zeros, tags in order.

use super::super::params::Kind as Type;
use super::super::state::Cluster;
use super::drive::Drive;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props;

/// A setting's value as it is stored. Drives and mount points come printed anew but not yet realized.
///
/// # Errors
/// A complaint about the value.
pub fn value(cluster: &mut Cluster, kind: Kind, key: &str, text: &str) -> Result<String, String> {
    if keys::is_volume_slot(kind, key) {
        let drive = Drive::parse(kind, key, text).ok_or("unable to parse drive options")?;
        return Ok(drive.print());
    }
    match (kind, keys::slot(key).map_or(key, |(name, _)| name)) {
        (Kind::Qemu, "net") => Ok(vm_net(cluster, text)),
        (Kind::Lxc, "net") => Ok(ct_net(cluster, text)),
        (Kind::Qemu, "vmgenid") if text == "1" => Ok(cluster.random_uuid()),
        (_, "description") => Ok(text.trim_end_matches('\n').to_owned()),
        (_, "cpuunits") => {
            let units: i64 = text.parse().unwrap_or(100);
            Ok(units.clamp(1, 10_000).to_string())
        }
        _ => match keys::option(kind, key).map(|row| row.kind) {
            Some(Type::Integer(..)) => Ok(text
                .parse::<i64>()
                .map_or_else(|_| text.to_owned(), |n| n.to_string())),
            _ => Ok(text.to_owned()),
        },
    }
}

fn vm_net(cluster: &mut Cluster, text: &str) -> String {
    let mut net = props::parse(of::VM_NET, text).unwrap_or_default();
    if !net.contains_key("macaddr") {
        net.insert("macaddr".into(), cluster.random_mac());
    }
    props::print(of::VM_NET, &net)
}

fn ct_net(cluster: &mut Cluster, text: &str) -> String {
    let mut net = props::parse(of::CT_NET, text).unwrap_or_default();
    if !net.contains_key("hwaddr") {
        net.insert("hwaddr".into(), cluster.random_mac());
    }
    net.insert("type".into(), "veth".into());
    props::print(of::CT_NET, &net)
}

/// Tags as an update stores them: lower case unless the datacenter says otherwise, without duplicates, sorted unless
/// it says otherwise.
#[must_use]
pub fn tags(cluster: &Cluster, text: &str) -> String {
    let style = super::super::options::value(cluster.files.read("datacenter.cfg"), "tag-style")
        .unwrap_or_default();
    let says = |word: &str| style.split(',').any(|part| part == word);
    let case = says("case-sensitive=1");
    let mut tags: Vec<String> = Vec::new();
    for tag in super::super::call::split_list(text) {
        let tag = if case { tag } else { tag.to_lowercase() };
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if !says("ordering=config") {
        tags.sort();
    }
    if tags.is_empty() {
        " ".into()
    } else {
        tags.join(";")
    }
}

/// The machine type that a Windows guest is pinned to.
#[must_use]
pub fn pinned_machine(ostype: &str, machine: Option<&str>) -> Option<String> {
    if !ostype.starts_with('w') {
        return None;
    }
    match machine {
        None | Some("pc") => Some("pc-i440fx-10.0".into()),
        Some("q35") => Some("pc-q35-10.0".into()),
        Some(_) => None,
    }
}

/// That public keys for a guest are public keys.
///
/// # Errors
/// `SSH public key validation error`.
pub fn check_ssh_keys(encoded: &str) -> Result<(), String> {
    let keys = super::conf::decode(encoded);
    let good = keys
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .all(|line| {
            line.split_whitespace().any(|word| {
                ["ssh-", "ecdsa-sha2-", "sk-"]
                    .iter()
                    .any(|prefix| word.starts_with(prefix))
            }) && line.split_whitespace().count() > 1
        });
    if good {
        Ok(())
    } else {
        Err("SSH public key validation error".into())
    }
}

/// That every device of a boot order exists.
///
/// # Errors
/// `invalid bootorder: device 'scsi9' does not exist'` (the stray quote is Proxmox VE's).
pub fn check_boot(value: &str, exists: impl Fn(&str) -> bool) -> Result<(), String> {
    for device in super::drive::boot_devices(Some(value)) {
        if !exists(&device) {
            return Err(format!(
                "invalid bootorder: device '{device}' does not exist'"
            ));
        }
    }
    Ok(())
}
