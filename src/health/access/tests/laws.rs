use proptest::prelude::*;

use super::*;

const USERS: [&str; 4] = ["ann@pve", "bob@pve", "eve@ldap", "root@pam"];
const TOKENS: [&str; 4] = [
    "ann@pve!one",
    "bob@pve!two",
    "root@pam!three",
    "gone@pve!four",
];
const GROUPS: [&str; 3] = ["a", "b", "c"];
const ROLES: [&str; 5] = ["NoAccess", "Look", "Power", "Administrator", "Nothing"];
const PATHS: [&str; 13] = [
    "/",
    "/vms",
    "/vms/100",
    "/vms/101",
    "/storage",
    "/storage/x",
    "/pool",
    "/pool/p",
    "/pool/p/q",
    "/sdn/zones",
    "/sdn/zones/z/v",
    "/nodes",
    "/nodes/n",
];
/// Paths without entries of their own too.
const ASKED: [&str; 17] = [
    "/",
    "/vms",
    "/vms/100",
    "/vms/101",
    "/vms/102",
    "/storage",
    "/storage/x",
    "/storage/y",
    "/pool",
    "/pool/p",
    "/pool/p/q",
    "/pool/r",
    "/sdn",
    "/sdn/zones/z",
    "/sdn/zones/z/v/7",
    "/nodes/n",
    "/access",
];

fn subject() -> impl Strategy<Value = Subject> {
    (0..3_usize, 0..4_usize).prop_map(|(kind, which)| match kind {
        0 => Subject::User(USERS[which].to_owned()),
        1 => Subject::Token(TOKENS[which].to_owned()),
        _ => Subject::Group(GROUPS[which % 3].to_owned()),
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (0..PATHS.len(), subject(), 0..ROLES.len(), any::<bool>()).prop_map(
        |(path, subject, role, propagate)| Entry {
            path: PATHS[path].to_owned(),
            subject,
            role: ROLES[role].to_owned(),
            propagate,
        },
    )
}

fn any_configuration() -> impl Strategy<Value = Configuration> {
    let members = proptest::collection::vec(any::<[bool; 4]>(), 3);
    let pools = proptest::collection::vec(any::<[bool; 4]>(), 3);
    let entries = proptest::collection::vec(entry(), 0..14);
    (members, pools, any::<[bool; 4]>(), entries).prop_map(
        |(members, pools, separated, entries)| {
            let mut all = configuration("role Nothing");
            for id in USERS {
                let user = User {
                    enabled: true,
                    expires: 0,
                };
                all.users.insert(id.to_owned(), user);
            }
            for (id, separated) in TOKENS.iter().take(3).zip(separated) {
                let token = Token {
                    separated,
                    expires: 0,
                };
                all.tokens.insert((*id).to_owned(), token);
            }
            for (group, members) in GROUPS.iter().zip(members) {
                let members = USERS.iter().zip(members).filter(|(_, is)| *is);
                let members = members.map(|(id, _)| (*id).to_owned()).collect();
                all.groups.insert((*group).to_owned(), members);
            }
            for (pool, [one, other, x, y]) in ["p", "p/q", "r"].iter().zip(pools) {
                let guests = [(100, one), (101, other)].into_iter().filter(|(_, is)| *is);
                let storages = [("x", x), ("y", y)].into_iter().filter(|(_, is)| *is);
                let pool_of = Pool {
                    guests: guests.map(|(vmid, _)| vmid).collect(),
                    storages: storages.map(|(id, _)| id.to_owned()).collect(),
                };
                all.pools.insert((*pool).to_owned(), pool_of);
            }
            all.entries = entries;
            all
        },
    )
}

fn paths() -> BTreeSet<String> {
    ASKED
        .iter()
        .chain(&PATHS)
        .map(|path| (*path).to_owned())
        .collect()
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    ancestors(path).any(|at| at == above)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_matrix_says_what_single_answers_say(all in any_configuration()) {
        let matrix = Matrix::new(&all, &paths());
        let access = Access::new(&all);
        for principal in all.principals() {
            for path in paths() {
                let held = matrix.privileges(principal, &path).unwrap();
                prop_assert_eq!(&held, &access.on(principal, &path).privileges, "{} on {}", principal, path);
            }
        }
    }

    #[test]
    fn a_separated_token_never_has_more_than_its_owner(all in any_configuration()) {
        let access = Access::new(&all);
        for id in all.tokens.keys() {
            let owner = owner(id).unwrap();
            for path in paths() {
                let (token, owner) = (access.on(id, &path).privileges, access.on(owner, &path).privileges);
                for (name, below) in token {
                    prop_assert!(owner.get(name).is_some_and(|limit| *limit || !below), "{} on {}: {}", id, path, name);
                }
            }
        }
    }

    #[test]
    fn a_change_of_the_list_changes_answers_at_and_below_its_path_alone(all in any_configuration(), more in entry()) {
        let mut after = all.clone();
        after.entries.push(more.clone());
        let (before, now) = (Matrix::new(&all, &paths()), Matrix::new(&after, &paths()));
        for change in difference(&before, &now) {
            for path in &change.paths {
                let through = all.pools_over(path).into_iter().any(|pool| is_at_or_below(&format!("/pool/{pool}"), &more.path));
                prop_assert!(is_at_or_below(path, &more.path) || through, "{:?} for {}", change, more);
            }
        }
    }

    #[test]
    fn the_difference_is_what_single_answers_differ_in(all in any_configuration(), other in any_configuration()) {
        let (before, after) = (Matrix::new(&all, &paths()), Matrix::new(&other, &paths()));
        let mut told: BTreeSet<(String, String, String, bool)> = BTreeSet::new();
        for change in difference(&before, &after) {
            for path in &change.paths {
                for (names, gained) in [(&change.gained, true), (&change.lost, false)] {
                    let of = |name: &String| (change.principal.clone(), path.clone(), name.clone(), gained);
                    told.extend(names.iter().map(of));
                }
            }
        }
        let (was, is) = (Access::new(&all), Access::new(&other));
        let mut wanted = BTreeSet::new();
        for principal in all.principals() {
            for path in paths() {
                let (was, is) = (was.on(principal, &path).privileges, is.on(principal, &path).privileges);
                let of = |name: &&str, gained| (principal.to_owned(), path.clone(), (*name).to_owned(), gained);
                wanted.extend(is.keys().filter(|name| !was.contains_key(*name)).map(|name| of(name, true)));
                wanted.extend(was.keys().filter(|name| !is.contains_key(*name)).map(|name| of(name, false)));
            }
        }
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn a_decision_is_the_answer_and_names_entries_that_stand(all in any_configuration()) {
        let access = Access::new(&all);
        for principal in all.principals() {
            for path in paths() {
                let answer = access.on(principal, &path);
                for name in ["VM.Audit", "VM.PowerMgmt", "Sys.Modify"] {
                    let decision = access.decide(principal, &path, name);
                    prop_assert_eq!(decision.held, answer.privileges.contains_key(name));
                    prop_assert_eq!(decision.below, answer.privileges.get(name) == Some(&true));
                    prop_assert!(!decision.because.is_empty());
                    if decision.held && owner(principal).unwrap_or(principal) != ROOT {
                        prop_assert!(!decision.entries.is_empty(), "{} on {}: {}", principal, path, name);
                        let gives = |entry: &&&Entry| all.roles[&entry.role].contains(name);
                        prop_assert_eq!(decision.entries.iter().filter(gives).count(), decision.entries.len());
                    }
                }
            }
        }
    }
}
