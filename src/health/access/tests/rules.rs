use super::*;

const PEOPLE: &str = "user ann@pve\nuser bob@pve\ntoken ann@pve!ci\ntoken ann@pve!same open\ngroup team ann@pve bob@pve\n\
                      group other ann@pve\n";

fn on(acl: &str, principal: &str, path: &str) -> String {
    held(&format!("{PEOPLE}{acl}"), principal, path)
}

#[test]
fn ac01_a_deeper_entry_replaces_all_from_above() {
    let acl = "/ ann@pve Power\n/vms/100 ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit");
    assert_eq!(on(acl, "ann@pve", "/vms/101"), "VM.PowerMgmt");
}

#[test]
fn ac01_a_deeper_entry_without_a_privilege_takes_all_away() {
    let acl = "role Nothing\n/ ann@pve Power\n/vms ann@pve Nothing";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
}

#[test]
fn ac01_roles_of_one_principal_on_one_path_add_up() {
    let acl = "/vms ann@pve Power\n/vms ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/vms"), "VM.Audit VM.PowerMgmt");
}

#[test]
fn ac01_a_users_own_entry_hides_those_of_its_groups() {
    let acl = "/vms @team Power\n/vms ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit");
    assert_eq!(on(acl, "bob@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_a_groups_entry_further_down_replaces_the_users_own() {
    let acl = "/ ann@pve Look\n/vms @team Power";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_groups_of_one_path_add_up() {
    let acl = "/vms @team Power\n/vms @other Look\n/ @team Administrator";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit VM.PowerMgmt");
    assert_eq!(on(acl, "bob@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_an_entry_that_does_not_propagate_counts_at_its_path_alone() {
    let acl = "/ ann@pve Look\n/vms ann@pve Power -";
    assert_eq!(on(acl, "ann@pve", "/vms"), "VM.PowerMgmt-");
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit");
}

#[test]
fn ac01_below_an_entry_that_does_not_propagate_the_group_shows_again() {
    let acl = "/vms ann@pve Look -\n/vms @team Power";
    assert_eq!(on(acl, "ann@pve", "/vms"), "VM.Audit-");
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_no_access_leaves_nothing_beside_it() {
    let acl = "/vms ann@pve Look\n/vms ann@pve NoAccess";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
    let through_a_group = "/vms @team Power\n/vms @other NoAccess";
    assert_eq!(on(through_a_group, "ann@pve", "/vms/100"), "");
    assert_eq!(on(through_a_group, "bob@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_no_access_is_replaced_further_down_like_any_role() {
    let acl = "/ ann@pve NoAccess\n/vms/100 ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit");
    assert_eq!(on(acl, "ann@pve", "/vms/101"), "");
}

#[test]
fn ac01_no_access_that_does_not_propagate_ends_at_its_path() {
    let acl = "/ ann@pve Look\n/vms ann@pve NoAccess -\n/vms ann@pve Power";
    assert_eq!(on(acl, "ann@pve", "/vms"), "");
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac01_of_the_same_role_twice_the_last_flag_holds() {
    let acl = "/vms ann@pve Look\n/vms ann@pve Look -";
    assert_eq!(on(acl, "ann@pve", "/vms"), "VM.Audit-");
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
}

#[test]
fn ac01_a_privilege_of_two_roles_propagates_if_either_does() {
    let acl = "role More VM.Audit Sys.Audit\n/vms ann@pve Look\n/vms ann@pve More -";
    assert_eq!(on(acl, "ann@pve", "/vms"), "Sys.Audit- VM.Audit");
}

#[test]
fn ac01_entries_of_a_group_that_one_is_not_in_are_not_ones_own() {
    assert_eq!(on("/ @other Look", "bob@pve", "/"), "");
}

#[test]
fn ac02_an_entry_with_a_role_that_is_gone_still_replaces() {
    // Proxmox VE drops such entries when it reads its file, so that none is listed; where one is, nothing is made up.
    let acl = "/ ann@pve Look\n/vms ann@pve Gone";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
}

#[test]
fn ac07_a_pool_adds_its_roles_on_its_members() {
    let acl = "pool web 100 store\n/pool/web ann@pve Look\n/vms ann@pve Power";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit- VM.PowerMgmt");
    assert_eq!(on(acl, "ann@pve", "/vms/101"), "VM.PowerMgmt");
    assert_eq!(on(acl, "ann@pve", "/storage/store"), "VM.Audit-");
    assert_eq!(on(acl, "ann@pve", "/storage/store/x"), "");
}

#[test]
fn ac07_a_role_from_the_pool_does_not_take_the_flag_of_the_same_role() {
    let acl = "pool web 100\n/pool/web ann@pve Look\n/vms ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit");
}

#[test]
fn ac07_roles_that_reach_the_pool_from_above_undo_a_mask_on_the_guests() {
    let acl = "role Nothing\npool web 100\n/ ann@pve Power\n/vms ann@pve Nothing";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.PowerMgmt-");
    assert_eq!(on(acl, "ann@pve", "/vms/101"), "");
}

#[test]
fn ac07_no_access_on_the_pool_replaces_the_guests_own_roles() {
    let acl = "pool web 100\n/pool/web ann@pve NoAccess\n/vms ann@pve Power";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
}

#[test]
fn ac07_no_access_on_the_guest_keeps_the_pools_roles_out() {
    let acl = "pool web 100\n/pool/web ann@pve Power\n/vms/100 ann@pve NoAccess";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "");
}

#[test]
fn ac07_a_guest_belongs_to_the_first_pool_that_names_it_and_a_storage_to_all() {
    let acl = "pool a 100 store\npool b 100 store\n/pool/a ann@pve Look\n/pool/b ann@pve Power";
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit-");
    assert_eq!(
        on(acl, "ann@pve", "/storage/store"),
        "VM.Audit- VM.PowerMgmt-"
    );
}

#[test]
fn ac07_no_access_of_any_pool_of_a_storage_wins() {
    let acl = "pool a 100 store\npool b 101 store\n/pool/a ann@pve NoAccess\n/pool/b ann@pve Power";
    assert_eq!(on(acl, "ann@pve", "/storage/store"), "");
}

#[test]
fn ac07_pools_inside_pools_inherit_on_their_path_but_not_their_members() {
    let acl = "pool a 1000\npool a/b 100\n/pool/a ann@pve Look";
    assert_eq!(on(acl, "ann@pve", "/pool/a/b"), "VM.Audit");
    assert_eq!(on(acl, "ann@pve", "/vms/100"), "VM.Audit-");
    let inner = "pool a 1000\npool a/b 100\n/pool/a/b ann@pve Look";
    assert_eq!(on(inner, "ann@pve", "/vms/1000"), "");
}

#[test]
fn ac04_a_separated_token_has_what_both_it_and_its_owner_have() {
    let acl = "/ ann@pve Look\n/ ann@pve!ci Look\n/ ann@pve!ci Power";
    assert_eq!(on(acl, "ann@pve!ci", "/vms/100"), "VM.Audit");
    assert_eq!(on("/ ann@pve Administrator", "ann@pve!ci", "/"), "");
}

#[test]
fn ac04_a_privilege_of_a_separated_token_propagates_if_it_does_for_both() {
    let acl = "/vms ann@pve Look -\n/vms ann@pve!ci Look";
    assert_eq!(on(acl, "ann@pve!ci", "/vms"), "VM.Audit-");
    let other = "/vms ann@pve Look\n/vms ann@pve!ci Look -";
    assert_eq!(on(other, "ann@pve!ci", "/vms"), "VM.Audit-");
}

#[test]
fn ac04_the_roles_of_a_separated_token_are_its_own() {
    let text = format!("{PEOPLE}/ ann@pve Look\n/ ann@pve!ci Power");
    let configuration = configuration(&text);
    let answer = Access::new(&configuration).on("ann@pve!ci", "/");
    assert_eq!(answer.roles, Roles::from([("Power", true)]));
    assert!(answer.privileges.is_empty());
}

#[test]
fn ac04_a_token_without_separation_has_what_its_owner_has() {
    let acl = "/ @team Power\n/ ann@pve!same NoAccess";
    assert_eq!(on(acl, "ann@pve!same", "/vms/100"), "VM.PowerMgmt");
}

#[test]
fn ac04_pools_count_for_tokens_of_their_own() {
    let acl = "pool web 100\n/ ann@pve Administrator\n/pool/web ann@pve!ci Look";
    assert_eq!(on(acl, "ann@pve!ci", "/vms/100"), "VM.Audit-");
}

#[test]
fn ac04_a_separated_token_of_the_superuser_has_its_own_alone() {
    let acl =
        "token root@pam!ci\ntoken root@pam!open open\n/vms root@pam!ci Look\n/ root@pam NoAccess";
    assert_eq!(on(acl, "root@pam!ci", "/vms/100"), "VM.Audit");
    assert_eq!(on(acl, "root@pam!ci", "/"), "");
    assert_eq!(on(acl, "root@pam!open", "/"), on("", "root@pam", "/"));
}

#[test]
fn ac04_a_token_that_does_not_exist_has_nothing() {
    assert_eq!(
        on("/ ann@pve!gone Look\n/ ann@pve Look", "ann@pve!gone", "/"),
        ""
    );
}

#[test]
fn ac01_the_superuser_has_everything_whatever_the_list_says() {
    let acl = "/ root@pam NoAccess\n/vms root@pam Look";
    assert_eq!(
        on(acl, "root@pam", "/vms/1"),
        "Sys.Modify VM.Audit VM.PowerMgmt"
    );
}

#[test]
fn ac03_a_user_whose_realm_is_gone_cannot_authenticate_and_its_tokens_can() {
    let text = "user ann@corp\ntoken ann@corp!ci\nuser bob@pve\nuser eve@lab\n/ ann@corp Look";
    let mut configuration = configuration(text);
    let all = |of: &Configuration| {
        let access = Access::new(of);
        ["ann@corp", "ann@corp!ci", "bob@pve", "eve@lab", ROOT]
            .map(|id| access.authenticates(id, 1))
    };
    // Where nobody looked, nobody is said to be locked out.
    assert_eq!(all(&configuration), [const { Ok(()) }; 5]);
    configuration.realms = Some(["lab".to_owned()].into());
    let gone = Refusal::NoSuchRealm("ann@corp".to_owned());
    assert_eq!(
        all(&configuration),
        [Err(gone), Ok(()), Ok(()), Ok(()), Ok(())]
    );
    assert_eq!(held(text, "ann@corp", "/"), "VM.Audit");
}

#[test]
fn ac03_who_is_disabled_or_expired_keeps_privileges_but_cannot_authenticate() {
    let text = "user ann@pve disabled\nuser bob@pve expires 50\ntoken bob@pve!ci\ntoken ann@pve!ci\nuser eve@pve\ntoken eve@pve!old expires 50\n\
                / ann@pve Look\n/ bob@pve Look\n/ bob@pve!ci Look\n/ eve@pve Look\n/ eve@pve!old Look";
    for principal in ["ann@pve", "bob@pve", "bob@pve!ci", "eve@pve!old"] {
        assert_eq!(held(text, principal, "/"), "VM.Audit", "{principal}");
    }
    let configuration = configuration(text);
    let access = Access::new(&configuration);
    let at = |principal: &str, now: i64| access.authenticates(principal, now);
    assert_eq!(at("ann@pve", 1), Err(Refusal::Disabled("ann@pve".into())));
    assert_eq!(
        at("ann@pve!ci", 1),
        Err(Refusal::Disabled("ann@pve".into()))
    );
    assert_eq!(at("bob@pve", 50), Ok(()), "the last second counts");
    assert_eq!(
        at("bob@pve", 51),
        Err(Refusal::Expired("bob@pve".into(), 50))
    );
    assert_eq!(
        at("bob@pve!ci", 51),
        Err(Refusal::Expired("bob@pve".into(), 50)),
        "an expired owner stops the tokens"
    );
    assert_eq!(at("eve@pve", 51), Ok(()));
    assert_eq!(
        at("eve@pve!old", 51),
        Err(Refusal::Expired("eve@pve!old".into(), 50))
    );
    assert_eq!(
        at("eve@pve!new", 1),
        Err(Refusal::NoSuchToken("eve@pve!new".into()))
    );
    assert_eq!(
        at("nobody@pve", 1),
        Err(Refusal::NoSuchUser("nobody@pve".into()))
    );
}

#[test]
fn a_decision_names_the_entries_that_make_it() {
    let text = format!(
        "{PEOPLE}pool web 100\n/ @team Power\n/vms ann@pve Look\n/pool/web @other Power\n/vms/7 ann@pve NoAccess"
    );
    let configuration = configuration(&text);
    let access = Access::new(&configuration);
    let why = |principal: &str, path: &str, privilege: &str| {
        let decision = access.decide(principal, path, privilege);
        let word = if decision.held { "yes" } else { "no" };
        format!("{word}: {}", decision.because.join("; "))
    };
    assert_eq!(
        why("bob@pve", "/vms/5", "VM.PowerMgmt"),
        "yes: Power for group team on /"
    );
    assert_eq!(
        why("ann@pve", "/vms/5", "VM.PowerMgmt"),
        "no: Look for user ann@pve on /vms: it does not hold VM.PowerMgmt; Power for group team on / holds it, and is replaced by \
         what applies nearer"
    );
    assert_eq!(
        why("ann@pve", "/vms/100", "VM.PowerMgmt"),
        "yes: Power for group other on /pool/web, through pool web"
    );
    assert_eq!(
        why("ann@pve", "/vms/7", "VM.Audit"),
        "no: NoAccess for user ann@pve on /vms/7: it wins over every other role; Look for user ann@pve on /vms holds it, and is \
         replaced by what applies nearer"
    );
    assert_eq!(
        why("ann@pve!ci", "/vms/5", "VM.Audit"),
        "no: ann@pve!ci has privilege separation: it has what both itself and ann@pve have; itself lacks it, ann@pve has it; no \
         entry of the access control list applies"
    );
    assert_eq!(
        why("ann@pve!same", "/vms/5", "VM.Audit"),
        "yes: ann@pve!same has no privilege separation: it has what ann@pve has; Look for user ann@pve on /vms"
    );
    assert_eq!(
        why("root@pam", "/", "VM.Audit"),
        "yes: root@pam has every privilege, whatever the access control list says"
    );
}
