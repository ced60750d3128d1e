//! What git is started with: no configuration but ours, one transport, no hooks, no questions; credentials where neither the
//! argument list nor a file of the repository shows them.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::configuration::serving::Git;
use crate::configuration::serving_mistakes::{Transport, transport};
use crate::plan::words::clean;
use crate::sources::error::SourceError;

/// Most bytes of a file with credentials.
const MOST_CREDENTIALS: u64 = 4096;

/// An environment, and what of it is secret.
pub(super) struct Environment {
    /// Every variable.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// What must not be repeated of what git says.
    pub(super) secrets: Vec<Zeroizing<String>>,
}

/// How git is told to behave everywhere. `GIT_CONFIG_COUNT` stands above the configuration of any repository.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.askPass", ""),
    ("core.fsmonitor", "false"),
    ("credential.helper", ""),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("push.gpgSign", "false"),
    ("push.followTags", "false"),
    ("push.recurseSubmodules", "no"),
    ("protocol.allow", "never"),
    // Tidying up may happen, but not behind our back, and never of what was fetched: a commit that was seen must still be found
    // after the branch was rewritten.
    ("gc.autoDetach", "false"),
    ("maintenance.autoDetach", "false"),
    ("gc.pruneExpire", "never"),
    ("gc.reflogExpire", "never"),
    ("http.sslVerify", "true"),
    // An address that leads elsewhere is not the one that was configured.
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "100"),
    ("http.lowSpeedTime", "60"),
];

/// The environment for work on this machine's copy only: no transport at all.
pub(super) fn local(programs: &OsStr, home: &Path, repository: &Path) -> Environment {
    let mut variables = common(programs, home);
    variables.push(("GIT_DIR".into(), repository.into()));
    variables.push(("GIT_ALLOW_PROTOCOL".into(), "none".into()));
    let settings = SETTINGS.iter().map(|(key, value)| setting(key, value));
    configure(&mut variables, settings.collect());
    Environment {
        variables,
        secrets: Vec::new(),
    }
}

/// The environment for talking with the repository of the configuration. `repository` is this machine's copy, once there is one.
/// Reads the credentials' file.
pub(super) fn remote(
    programs: &OsStr,
    home: &Path,
    repository: Option<&Path>,
    git: &Git,
) -> Result<Environment, SourceError> {
    let mut variables = common(programs, home);
    if let Some(repository) = repository {
        variables.push(("GIT_DIR".into(), repository.into()));
    }
    let mut settings: Vec<_> = SETTINGS
        .iter()
        .map(|(key, value)| setting(key, value))
        .collect();
    let mut secrets = Vec::new();
    let way = transport(&git.url).ok_or_else(|| {
        SourceError::Setup("the address of the repository is not one that is allowed".to_owned())
    })?;
    let protocol = match way {
        Transport::Path => "file",
        Transport::Https => {
            if let Some(file) = &git.ca_file {
                settings.push(("http.sslCAInfo".into(), absolute(file)?.into()));
            }
            if let Some(file) = &git.credentials_file {
                let credentials = read_credentials(file)?;
                let header = Zeroizing::new(STANDARD.encode(credentials.as_bytes()));
                let value = format!("Authorization: Basic {}", header.as_str());
                let key = format!("http.{}.extraHeader", origin(&git.url));
                settings.push((key.into(), value.into()));
                if let Some((_, token)) = credentials.split_once(':') {
                    secrets.push(Zeroizing::new(token.to_owned()));
                }
                secrets.extend([header, credentials]);
            }
            "https"
        }
        Transport::Ssh => {
            variables.push(("GIT_SSH_COMMAND".into(), ssh_command(git)?));
            variables.push(("GIT_SSH_VARIANT".into(), "ssh".into()));
            "ssh"
        }
    };
    variables.push(("GIT_ALLOW_PROTOCOL".into(), protocol.into()));
    settings.push((format!("protocol.{protocol}.allow").into(), "always".into()));
    configure(&mut variables, settings);
    Ok(Environment { variables, secrets })
}

fn setting(key: &str, value: &str) -> (OsString, OsString) {
    (key.into(), value.into())
}

fn common(programs: &OsStr, home: &Path) -> Vec<(OsString, OsString)> {
    let fixed = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_ADVICE", "0"),
        ("LC_ALL", "C"),
    ];
    let mut variables: Vec<(OsString, OsString)> = fixed
        .iter()
        .map(|(name, value)| setting(name, value))
        .collect();
    variables.push(("PATH".into(), programs.to_owned()));
    variables.push(("HOME".into(), home.into()));
    variables.push(("XDG_CONFIG_HOME".into(), home.into()));
    if let Some(parent) = home.parent() {
        // No repository above is ever taken for ours.
        variables.push(("GIT_CEILING_DIRECTORIES".into(), parent.into()));
    }
    variables
}

fn configure(variables: &mut Vec<(OsString, OsString)>, settings: Vec<(OsString, OsString)>) {
    let count = settings.len().to_string();
    variables.push(("GIT_CONFIG_COUNT".into(), count.into()));
    for (index, (key, value)) in settings.into_iter().enumerate() {
        variables.push((format!("GIT_CONFIG_KEY_{index}").into(), key));
        variables.push((format!("GIT_CONFIG_VALUE_{index}").into(), value));
    }
}

/// Scheme, host and port of an address, so that the header goes nowhere else.
fn origin(url: &str) -> String {
    let parsed = url::Url::parse(url);
    parsed.map_or_else(
        |_| url.to_owned(),
        |url| format!("{}/", url.origin().ascii_serialization()),
    )
}

/// Git runs elsewhere, so a path has to be whole.
fn absolute(path: &Path) -> Result<PathBuf, SourceError> {
    std::path::absolute(path).map_err(|error| {
        SourceError::Setup(format!("`{}`: {error}", clean(&path.display().to_string())))
    })
}

/// `USER:TOKEN` of a file that only its owner can read.
fn read_credentials(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    let shown = clean(&path.display().to_string());
    let cannot = |error: std::io::Error| {
        SourceError::Setup(format!(
            "the credentials file `{shown}` cannot be read: {error}"
        ))
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    // Of the open file, not of the path, so that nothing can be swapped in between.
    let mode = file.metadata().map_err(cannot)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SourceError::Setup(format!(
            "the credentials file `{shown}` can be read or written by others (mode {mode:03o}): `chmod 600 {shown}`, and make a new \
             token if others may have read it"
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_CREDENTIALS)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    let credentials = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    let whole = credentials
        .split_once(':')
        .is_some_and(|(user, token)| !user.is_empty() && !token.is_empty());
    if whole && !credentials.chars().any(char::is_control) {
        Ok(credentials)
    } else {
        Err(SourceError::Setup(format!(
            "the credentials file `{shown}` must have one line `USER:TOKEN`"
        )))
    }
}

/// The command that git runs for ssh: one key, one list of servers, no configuration of the user, no questions.
fn ssh_command(git: &Git) -> Result<OsString, SourceError> {
    let needed = |file: &Option<PathBuf>, field: &str| {
        let file = file.as_deref().ok_or_else(|| {
            SourceError::Setup(format!(
                "over ssh, `{field}` must be written in the configuration"
            ))
        })?;
        ssh_value(&absolute(file)?)
    };
    let key = needed(&git.ssh_key_file, "sshKeyFile")?;
    let known = needed(&git.known_hosts_file, "knownHostsFile")?;
    let mut command = OsString::from("ssh -F /dev/null");
    let fixed = [
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
        "BatchMode=yes",
        "PreferredAuthentications=publickey",
        "ForwardAgent=no",
        "ControlPath=none",
        "PermitLocalCommand=no",
        "ConnectTimeout=30",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    ];
    for option in fixed {
        command.push(" -o ");
        command.push(option);
    }
    // As an option, not as `-i`, which takes a path with `%` in it two ways at once.
    for (name, value) in [("IdentityFile", key), ("UserKnownHostsFile", known)] {
        let mut option = OsString::from(format!("{name}="));
        option.push(value);
        command.push(" -o ");
        command.push(shell_word(&option));
    }
    Ok(command)
}

/// A path as the value of an option of ssh: in double quotes, and `%` doubled, which ssh would replace.
fn ssh_value(path: &Path) -> Result<OsString, SourceError> {
    let bytes = path.as_os_str().as_bytes();
    let unusable = bytes
        .iter()
        .any(|b| matches!(b, b'"' | b'\\' | 0..=31 | 127))
        || bytes.windows(2).any(|pair| pair == b"${");
    if unusable {
        return Err(SourceError::Setup(format!(
            "ssh cannot be given the path `{}`: take one without double quotes, backslashes, control characters and `${{`",
            clean(&path.display().to_string())
        )));
    }
    let mut value = vec![b'"'];
    for byte in bytes {
        value.push(*byte);
        if *byte == b'%' {
            value.push(b'%');
        }
    }
    value.push(b'"');
    Ok(OsStr::from_bytes(&value).to_owned())
}

/// A word of a shell's command, whatever stands in it.
fn shell_word(text: &OsStr) -> OsString {
    let mut word = vec![b'\''];
    for byte in text.as_bytes() {
        if *byte == b'\'' {
            word.extend_from_slice(b"'\\''");
        } else {
            word.push(*byte);
        }
    }
    word.push(b'\'');
    OsStr::from_bytes(&word).to_owned()
}

#[cfg(test)]
mod tests;
