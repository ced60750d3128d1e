//! What the recorded host said of who may do what, worked out by `health::access` from the file that says it at that moment.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::health::access::Access;
use bailiwick::sim::roles;
use serde_json::Value;

use super::recording::Recorded;
use super::user_cfg;

/// Whose permissions a request asks for.
fn principal(line: &Recorded) -> &str {
    let own = match line.auth.as_str() {
        "root" => "root@pam!test",
        "aud" => "aud@pve!ro",
        "ticket-aud" => "aud@pve",
        other => panic!("nothing is known of {other}"),
    };
    line.params
        .get("userid")
        .map_or(own, |id| id.as_str().unwrap())
}

/// How many answers on paths were compared; `None` if the request does not ask for permissions.
pub fn compared(line: &Recorded, file: &str) -> Option<usize> {
    if line.path != "/access/permissions" || line.status != 200 {
        return None;
    }
    let configuration = user_cfg::read(file, &roles::predefined());
    let access = Access::new(&configuration);
    let listed = line.body["data"].as_object().unwrap();
    let mut paths: BTreeSet<String> = listed.keys().cloned().collect();
    if let Some(path) = line.params.get("path") {
        paths.insert(path.as_str().unwrap().to_owned());
    } else {
        // Without a path every one is listed that an entry names and on which something is held.
        paths.extend(configuration.entries.iter().map(|entry| entry.path.clone()));
    }
    for path in &paths {
        let held = access.on(principal(line), path).privileges;
        let held: BTreeMap<&str, bool> = held.into_iter().collect();
        let wanted = listed.get(path).and_then(Value::as_object);
        let wanted: BTreeMap<&str, bool> = wanted
            .into_iter()
            .flatten()
            .map(|(name, flag)| (name.as_str(), *flag == 1))
            .collect();
        assert_eq!(held, wanted, "{} on {path}", line.title());
    }
    Some(paths.len())
}
