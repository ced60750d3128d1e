//! What is in a backup: the guest's configuration as it was. Read only for backups that documents name, when a plan is made.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::each;
use crate::ids::{NodeName, VolumeId};
use crate::proxmox::{Call, Client};
use crate::world::model::Section;

/// What Proxmox VE shows in place of the hash of a cloud-init password. A backup holds the hash itself.
const HIDDEN: &str = "**********";

/// The configurations in these backups, each as the node before it reads it.
pub async fn backup_configs(
    client: &Client,
    wanted: BTreeSet<(NodeName, VolumeId)>,
) -> BTreeMap<(NodeName, VolumeId), Result<Section, String>> {
    let read = each(wanted.into_iter().collect(), |(node, volume)| {
        let client = client.clone();
        async move {
            let config = backup_config(&client, &node, &volume).await;
            ((node, volume), config)
        }
    });
    read.await.into_iter().collect()
}

/// The configuration in a backup, as a node reads it (`GET /nodes/{node}/vzdump/extractconfig`).
///
/// # Errors
/// Why it could not be read, in words for people.
async fn backup_config(
    client: &Client,
    node: &NodeName,
    volume: &VolumeId,
) -> Result<Section, String> {
    let call = Call::get(["nodes", node.as_str(), "vzdump", "extractconfig"])
        .param("volume", volume.to_string());
    match client.read(call).await {
        Ok(answer) => match answer.data {
            Value::String(text) => configuration(&text),
            _ => Err("Proxmox VE answered with something else than a configuration".to_owned()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a configuration file as a backup keeps it: one section of `key: value`, comments that are the description, and notes of
/// vzdump's own. The hash of a cloud-init password does not leave this function.
fn configuration(text: &str) -> Result<Section, String> {
    let mut section = Section::new();
    let mut description = String::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if !comment.starts_with("qmdump#") && !comment.starts_with("vzdump#") {
                description.push_str(&percent_decode_str(comment).decode_utf8_lossy());
                description.push('\n');
            }
            continue;
        }
        // Snapshots and what was pending are not restored.
        if line.starts_with('[') {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        // The raw options of containers stand there as in LXC's own files: `lxc.cgroup2…: …` or with `=`.
        if line.starts_with("lxc.") {
            let raw = section.entry("lxc".to_owned()).or_default();
            if !raw.is_empty() {
                raw.push('\n');
            }
            raw.push_str(line.trim_end());
            continue;
        }
        let (key, value) = line
            .split_once(':')
            .filter(|(key, _)| !key.is_empty() && !key.contains(char::is_whitespace))
            .ok_or_else(|| {
                format!(
                    "a line of it is no setting: it has {} characters",
                    line.len()
                )
            })?;
        let value = match key {
            "cipassword" => HIDDEN,
            _ => value.trim(),
        };
        section.insert(key.to_owned(), value.to_owned());
    }
    if !description.is_empty() {
        section.insert("description".to_owned(), description);
    }
    for key in ["lock", "parent", "digest"] {
        section.remove(key);
    }
    if section.is_empty() {
        return Err("there is no configuration in it".to_owned());
    }
    Ok(section)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_proxmox_keeps_it_in_a_backup() {
        let text = "#line one%3A\n#two\n#vzdump#note\nboot: order=scsi0\ncipassword: $5$hash\nlock: backup\nname: web-4\n\
                    net0: virtio=BC:24:11:00:01:04,bridge=vmbr0\nscsi0: local-zfs:vm-104-disk-0,size=32G\n\
                    #qmdump#map:scsi0:drive-scsi0:local-zfs:raw:\n\n[before]\nname: old\n";
        let section = configuration(text).unwrap();
        let lines: Vec<String> = section.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            lines,
            [
                "boot=order=scsi0",
                "cipassword=**********",
                "description=line one:\ntwo\n",
                "name=web-4",
                "net0=virtio=BC:24:11:00:01:04,bridge=vmbr0",
                "scsi0=local-zfs:vm-104-disk-0,size=32G",
            ]
        );
    }

    #[test]
    fn raw_options_of_a_container_are_kept_apart() {
        let section =
            configuration("arch: amd64\nlxc.idmap: u 0 100000 65536\nlxc.apparmor.profile: x\n")
                .unwrap();
        assert_eq!(
            section["lxc"],
            "lxc.idmap: u 0 100000 65536\nlxc.apparmor.profile: x"
        );
    }

    #[test]
    fn what_is_no_configuration_is_an_error_that_shows_nothing_of_it() {
        assert!(configuration("").is_err());
        let error = configuration("secret stuff\n").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
