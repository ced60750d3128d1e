//! The lab's world with only the guests that a kind is about: hundreds of plays have to read it again and again.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

/// Guests under HA; they come together or not at all.
const HA: [u32; 5] = [109, 112, 113, 114, 305];

/// The guests that documents name, with what they lean on.
pub fn named(texts: &[&str]) -> BTreeSet<u32> {
    let number = Regex::new(r"\b[123]\d\d\b").unwrap();
    let numbers = texts.iter().flat_map(|text| number.find_iter(text));
    let mut named: BTreeSet<u32> = numbers
        .map(|found| found.as_str().parse().unwrap())
        .collect();
    // The template of a linked clone; and one at least, so that no part of the world is empty.
    named.insert(if named.contains(&106) { 105 } else { 102 });
    if HA.iter().any(|vmid| named.contains(vmid)) {
        named.extend(HA);
    }
    named
}

/// A world file with only these of its guests.
pub fn only(world: &str, guests: &BTreeSet<u32>) -> String {
    let mut world: Value = serde_saphyr::from_str(world).unwrap();
    let kept = |text: &str| text.parse().is_ok_and(|vmid: u32| guests.contains(&vmid));
    let running = world["running"].as_array_mut().unwrap();
    running.retain(|vmid| kept(&vmid.to_string()));
    let of_guest = Regex::new(r"(?:vm|base|subvol|qemu|lxc)-(\d\d\d)-").unwrap();
    for storage in world["storages"].as_object_mut().unwrap().values_mut() {
        storage["volumes"].as_array_mut().unwrap().retain(|volume| {
            let name = volume["volid"].as_str().unwrap();
            // A linked clone's name begins with its template's disk, which stays.
            let owner = of_guest.captures_iter(name).last();
            owner.is_none_or(|found| kept(&found[1]) || found[0].starts_with("base"))
        });
    }
    let files = world["files"].as_object_mut().unwrap();
    let config = Regex::new(r"^nodes/.*/(\d\d\d)\.conf$").unwrap();
    files.retain(|path, _| {
        let of = config.captures(path).map(|found| found[1].to_owned());
        of.is_none_or(|vmid| kept(&vmid)) && (guests.contains(&HA[0]) || !path.starts_with("ha/"))
    });
    // What names guests names only those that are there; a backup job for none is no job.
    let several = Regex::new(r"\b[123]\d\d(,[123]\d\d)*\b").unwrap();
    for file in ["user.cfg", "jobs.cfg"] {
        let text = files[file].as_str().unwrap();
        let text = several.replace_all(text, |found: &regex::Captures<'_>| {
            let list = found[0].split(',').filter(|vmid| kept(vmid));
            list.collect::<Vec<_>>().join(",")
        });
        // Nor does an access rule for none say anything.
        let lines = text.lines().filter(|line| !line.contains(":/vms/:"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let jobs = text
            .split("\n\n")
            .filter(|job| !job.trim_end().ends_with("vmid"));
        let text = jobs.collect::<Vec<_>>().join("\n\n");
        files.insert(
            file.to_owned(),
            Value::String(format!("{}\n", text.trim_end())),
        );
    }
    world.to_string()
}
