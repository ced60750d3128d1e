#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::process::Command;

use jiff::SignedDuration;

use super::*;
use crate::configuration::serving::GitStatus;

fn git(url: &str) -> Git {
    Git {
        url: url.to_owned(),
        branch: "main".to_owned(),
        paths: BTreeMap::new(),
        signed_by: None,
        ssh_key_file: None,
        known_hosts_file: None,
        credentials_file: None,
        ca_file: None,
        interval: SignedDuration::from_secs(60),
        status: GitStatus::Off,
    }
}

fn made(git: &Git) -> Result<Environment, SourceError> {
    remote(OsStr::new("/bin"), Path::new("/state/x/home"), None, git)
}

/// The settings that git is given, with their values.
fn settings(environment: &Environment) -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = environment
        .variables
        .iter()
        .map(|(name, value)| {
            (
                name.to_str().unwrap().to_owned(),
                value.to_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        all.len(),
        environment.variables.len(),
        "a variable is given twice"
    );
    let count: usize = all["GIT_CONFIG_COUNT"].parse().unwrap();
    let mut settings: BTreeMap<String, String> = (0..count)
        .map(|index| {
            (
                all[&format!("GIT_CONFIG_KEY_{index}")].clone(),
                all[&format!("GIT_CONFIG_VALUE_{index}")].clone(),
            )
        })
        .collect();
    assert_eq!(settings.len(), count, "a setting is given twice");
    settings.extend(
        all.into_iter()
            .filter(|(name, _)| !name.starts_with("GIT_CONFIG_")),
    );
    settings
}

#[test]
fn one_transport_each_and_none_for_work_on_the_copy() {
    let mut over_ssh = git("git@git.example.com:infra.git");
    over_ssh.ssh_key_file = Some("/k".into());
    over_ssh.known_hosts_file = Some("/h".into());
    for (git, protocol) in [
        (git("https://git.example.com/infra.git"), "https"),
        (git("/srv/infra.git"), "file"),
        (over_ssh, "ssh"),
    ] {
        let settings = settings(&made(&git).unwrap());
        assert_eq!(settings["GIT_ALLOW_PROTOCOL"], protocol);
        assert_eq!(settings["protocol.allow"], "never");
        assert_eq!(settings[&format!("protocol.{protocol}.allow")], "always");
        assert_eq!(settings["core.hooksPath"], "/dev/null");
        assert_eq!(settings["transfer.fsckObjects"], "true");
        assert_eq!(settings["GIT_TERMINAL_PROMPT"], "0");
        assert_eq!(settings["HOME"], "/state/x/home");
        assert_eq!(settings.contains_key("GIT_SSH_COMMAND"), protocol == "ssh");
    }
    let inside = local(OsStr::new("/bin"), Path::new("/h"), Path::new("/r"));
    assert_eq!(settings(&inside)["GIT_ALLOW_PROTOCOL"], "none");
    assert!(made(&git("http://git.example.com/x")).is_err());
}

#[test]
fn ssh_needs_a_key_and_known_hosts() {
    let mut over_ssh = git("ssh://git@git.example.com/infra.git");
    let error = made(&over_ssh).err().unwrap().to_string();
    assert!(error.contains("sshKeyFile"), "{error}");
    over_ssh.ssh_key_file = Some("/k".into());
    let error = made(&over_ssh).err().unwrap().to_string();
    assert!(error.contains("knownHostsFile"), "{error}");
    for path in ["/a\"b", "/a\\b", "/a\nb", "/${HOME}"] {
        over_ssh.known_hosts_file = Some(path.into());
        let error = made(&over_ssh).err().unwrap().to_string();
        assert!(
            error.contains("cannot be given the path") && !error.contains('\n'),
            "{error}"
        );
    }
}

/// What the shell and ssh make of the command, asked of both.
#[test]
fn odd_paths_reach_ssh_as_they_are() {
    if Command::new("ssh").arg("-V").output().is_err() {
        eprintln!(
            "NOTICE: ssh is not installed; the quoting of its command was not tested against it"
        );
        return;
    }
    for path in [
        "/plain/key",
        "/with a space/and  two/key",
        "/it's/key; touch x",
        "/per%cent/%h/key",
        "/$HOME/`id`/$(id)/key",
        "/#hash/key,comma",
        "/üml/~/key=1",
    ] {
        let mut over_ssh = git("ssh://git@git.example.com/infra.git");
        over_ssh.ssh_key_file = Some(path.into());
        over_ssh.known_hosts_file = Some(format!("{path}.hosts").into());
        let command = ssh_command(&over_ssh).unwrap();
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{} -G example.com", command.to_str().unwrap()))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let value = |name: &str| {
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in {said}"))
                .to_owned()
        };
        // ssh replaces `%%` only when it opens the file.
        assert_eq!(value("identityfile").replace("%%", "%"), path);
        assert_eq!(
            value("userknownhostsfile").replace("%%", "%"),
            format!("{path}.hosts")
        );
        assert_eq!(said.matches("identityfile ").count(), 1, "{said}");
        for (name, wanted) in [
            ("identitiesonly", "yes"),
            ("batchmode", "yes"),
            ("stricthostkeychecking", "true"),
            ("globalknownhostsfile", "/dev/null"),
            ("permitlocalcommand", "no"),
        ] {
            assert_eq!(value(name), wanted);
        }
    }
}

#[test]
fn credentials_stand_in_one_variable_for_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, "bot:hunter2\n").unwrap();
    let mut https = git("https://git.example.com:8443/group/infra.git");
    https.credentials_file = Some(file.clone());
    let exposed = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode));
    exposed(0o640).unwrap();
    let error = made(&https).err().unwrap().to_string();
    assert!(
        error.contains("chmod 600") && !error.contains("hunter2"),
        "{error}"
    );
    exposed(0o600).unwrap();
    let environment = made(&https).unwrap();
    let header = "Authorization: Basic Ym90Omh1bnRlcjI=";
    let settings = settings(&environment);
    assert_eq!(
        settings["http.https://git.example.com:8443/.extraHeader"],
        header
    );
    assert_eq!(settings["http.followRedirects"], "false");
    let with: Vec<_> = settings
        .iter()
        .filter(|(_, value)| value.contains("hunter2") || value.contains("Ym90Omh1bnRlcjI="))
        .collect();
    assert_eq!(with.len(), 1);
    let secrets: Vec<&str> = environment
        .secrets
        .iter()
        .map(|secret| secret.as_str())
        .collect();
    assert_eq!(secrets, ["hunter2", "Ym90Omh1bnRlcjI=", "bot:hunter2"]);

    for wrong in ["", "hunter2", "bot:", ":hunter2", "bot:hun\nter2\n"] {
        std::fs::write(&file, wrong).unwrap();
        let error = made(&https).err().unwrap().to_string();
        assert!(
            error.contains("USER:TOKEN") && !error.contains("hun"),
            "{error}"
        );
    }
}
