use super::*;

fn changes(before: &str, after: &str, more: &[&str]) -> Vec<String> {
    let (before, after) = (configuration(before), configuration(after));
    let mut paths = before.paths();
    paths.extend(after.paths());
    paths.extend(more.iter().map(|path| (*path).to_owned()));
    let (before, after) = (Matrix::new(&before, &paths), Matrix::new(&after, &paths));
    let words = |sign: &str, names: &BTreeSet<String>| -> Vec<String> {
        names.iter().map(|name| format!("{sign}{name}")).collect()
    };
    difference(&before, &after)
        .iter()
        .map(|change| {
            let mut all = words("+", &change.gained);
            all.extend(words("-", &change.lost));
            all.extend(words("below +", &change.gained_below));
            all.extend(words("below -", &change.lost_below));
            let paths = change.paths.join(" ");
            format!("{}: {} on {paths}", change.principal, all.join(" "))
        })
        .collect()
}

#[test]
fn a_weaker_role_further_down_takes_power_away() {
    let before = "user ann@pve\n/ ann@pve Administrator";
    let after = "user ann@pve\n/ ann@pve Administrator\n/vms/100 ann@pve Look";
    assert_eq!(
        changes(before, after, &["/vms/101"]),
        ["ann@pve: -Sys.Modify -VM.PowerMgmt on /vms/100"]
    );
    assert!(changes(before, before, &["/vms/101"]).is_empty());
}

#[test]
fn what_changes_in_one_way_is_one_change() {
    let before = "user ann@pve\nuser bob@pve\ngroup g ann@pve\n/vms @g Look";
    let after = "user ann@pve\nuser bob@pve\ngroup g bob@pve\n/vms @g Look";
    assert_eq!(
        changes(before, after, &["/vms/1", "/vms/2"]),
        [
            "ann@pve: -VM.Audit on /vms /vms/1 /vms/2",
            "bob@pve: +VM.Audit on /vms /vms/1 /vms/2"
        ]
    );
}

#[test]
fn a_flag_alone_is_a_change_below() {
    let before = "user ann@pve\n/nodes/a ann@pve Look";
    let after = "user ann@pve\n/nodes/a ann@pve Look -";
    assert_eq!(
        changes(before, after, &[]),
        ["ann@pve: below -VM.Audit on /nodes/a"]
    );
    assert_eq!(
        changes(after, before, &[]),
        ["ann@pve: below +VM.Audit on /nodes/a"]
    );
}

#[test]
fn a_principal_that_comes_or_goes_gains_or_loses_all_it_has() {
    let before = "/access ann@pve Look";
    let after = "user ann@pve\n/access ann@pve Look";
    assert_eq!(
        changes(before, after, &[]),
        ["ann@pve: +VM.Audit on /access"]
    );
    assert_eq!(
        changes(after, before, &[]),
        ["ann@pve: -VM.Audit on /access"]
    );
}

#[test]
fn a_role_of_more_than_64_privileges_is_whole() {
    let names: Vec<String> = (0..130).map(|n| format!("P.{n:03}")).collect();
    let role = names.join(" ");
    let before = format!("user ann@pve\nrole Big {role}\n/nodes ann@pve Big");
    let configuration = configuration(&before);
    let matrix = Matrix::new(&configuration, &configuration.paths());
    let held = matrix.privileges("ann@pve", "/nodes").unwrap();
    assert_eq!(held.len(), 130);
    let after = format!(
        "user ann@pve\nrole Big {}\n/nodes ann@pve Big",
        names[..129].join(" ")
    );
    assert_eq!(changes(&before, &after, &[]), ["ann@pve: -P.129 on /nodes"]);
}
