//! The rules of privileges one by one (each was seen in answers of a real Proxmox VE), and laws over random configurations.

mod differences;
mod laws;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A configuration in few words, one a line: `user ann@pve`, `user ann@pve disabled`, `user ann@pve expires 5`, `token ann@pve!t`
/// (`open` without separation), `group g ann@pve bob@pve`, `role Look VM.Audit`, `pool p 100 store`, and
/// `/path SUBJECT ROLE` (`-` after it: not below). Groups have their `@`.
pub(super) fn configuration(text: &str) -> Configuration {
    let mut all = Configuration {
        roles: BTreeMap::from([
            ("NoAccess".to_owned(), BTreeSet::new()),
            (
                "Administrator".to_owned(),
                ["Sys.Modify", "VM.Audit", "VM.PowerMgmt"]
                    .map(str::to_owned)
                    .into(),
            ),
            ("Look".to_owned(), ["VM.Audit".to_owned()].into()),
            ("Power".to_owned(), ["VM.PowerMgmt".to_owned()].into()),
        ]),
        ..Configuration::default()
    };
    let root = User {
        enabled: true,
        expires: 0,
    };
    all.users.insert(ROOT.to_owned(), root);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let expires = |at: usize| words.get(at).map_or(0, |text| text.parse().unwrap());
        let owned = |from: usize| words[from..].iter().map(|word| (*word).to_owned());
        let id = words[1].to_owned();
        match words[0] {
            "user" => {
                let enabled = !words.contains(&"disabled");
                let user = User {
                    enabled,
                    expires: if enabled { expires(3) } else { 0 },
                };
                all.users.insert(id, user);
            }
            "token" => {
                let separated = !words.contains(&"open");
                let token = Token {
                    separated,
                    expires: if separated { expires(3) } else { 0 },
                };
                all.tokens.insert(id, token);
            }
            "group" => {
                all.groups.insert(id, owned(2).collect());
            }
            "role" => {
                all.roles.insert(id, owned(2).collect());
            }
            "pool" => {
                let pool: &mut Pool = all.pools.entry(id).or_default();
                for member in owned(2) {
                    match member.parse() {
                        Ok(vmid) => pool.guests.insert(vmid),
                        Err(_) => pool.storages.insert(member),
                    };
                }
            }
            path => all.entries.push(Entry {
                path: path.to_owned(),
                subject: match id.strip_prefix('@') {
                    Some(group) => Subject::Group(group.to_owned()),
                    None if id.contains('!') => Subject::Token(id),
                    None => Subject::User(id),
                },
                role: words[2].to_owned(),
                propagate: words.get(3) != Some(&"-"),
            }),
        }
    }
    all
}

/// The privileges of a principal on a path: names, with `-` behind those that do not propagate.
pub(super) fn held(text: &str, principal: &str, path: &str) -> String {
    let configuration = configuration(text);
    let answer = Access::new(&configuration).on(principal, path);
    let words = answer.privileges.iter();
    let words: Vec<String> = words
        .map(|(name, below)| format!("{name}{}", if *below { "" } else { "-" }))
        .collect();
    words.join(" ")
}
