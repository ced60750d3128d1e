//! `init`: asks for what is not said, shows what it sees, and writes an installation once everything has been checked.

mod ask;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use serde_json::json;
use zeroize::Zeroizing;

use super::Ended;
use super::arguments::Init;
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::approval::Principal;
use crate::configuration::parts::{Endpoint, Fingerprint, Tls};
use crate::ids::ClusterName;
use crate::plan::words::clean;
use crate::proxmox::ApiToken;
use crate::service::init::{
    Answers, Seen, TOKEN, certificates, check, refuse_taken, token_commands, write,
};
pub use ask::{Ask, Terminal};

/// What a person types who has compared the fingerprints.
const CONFIRMED: &str = "yes";

/// Runs the command.
pub async fn run(given: &Init, output: &Output) -> Ended {
    let mut terminal = Terminal;
    let asks = !given.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let ask: Option<&mut dyn Ask> = if asks { Some(&mut terminal) } else { None };
    set_up(given, ask, output).await
}

/// Sets up, asking a person where there is one.
pub async fn set_up(given: &Init, mut ask: Option<&mut (dyn Ask + '_)>, output: &Output) -> Ended {
    if ask.is_none() {
        complete(given)?;
    }
    let cluster = name(given, &mut ask)?;
    refuse_taken(&given.dir, &cluster)?;
    let endpoints = endpoints(given, &mut ask)?;
    let given_token = given.token_file.as_deref().map(token_of).transpose()?;
    // First what has to be typed on the other side, so that it can be done meanwhile.
    if let (Some(ask), None) = (&mut ask, &given_token) {
        ask.tell("On a node, as root, these commands make a user, a role with the least that is needed, and a token:\n");
        for command in token_commands(TOKEN) {
            ask.tell(&format!("  {command}"));
        }
        ask.tell("\nThe last but one shows the token's secret, once.");
    }
    let tls = trust(given, &endpoints, &mut ask).await?;
    let token = match (given_token, &mut ask) {
        (Some(token), _) => token,
        (None, Some(ask)) => typed_token(*ask)?,
        (None, None) => return Err(missing(&["--token-file FILE"])),
    };
    let (signer, key) = signer(given, &mut ask)?;
    let answers = Answers {
        folder: given.dir.clone(),
        cluster,
        endpoints,
        tls,
        token,
        signer,
        key,
    };
    let seen = check(&answers).await?;
    let files = write(&answers)?;
    show(&answers, &seen, &files, output);
    Ok(Exit::Success)
}

fn missing(flags: &[&str]) -> Failure {
    Failure::error(format!(
        "there is no one to ask, so everything has to be said; missing: {}",
        flags.join(", ")
    ))
}

/// Whether everything is said that cannot be asked for.
fn complete(given: &Init) -> Result<(), Failure> {
    let mut flags = Vec::new();
    let mut need = |there: bool, flag: &'static str| {
        if !there {
            flags.push(flag);
        }
    };
    need(given.yes, "--yes");
    need(!given.endpoints.is_empty(), "--endpoint https://HOST");
    need(
        given.fingerprint.is_some() || given.ca_file.is_some() || given.system_roots,
        "--fingerprint FINGERPRINT (or --ca-file FILE, or --system-roots)",
    );
    need(given.token_file.is_some(), "--token-file FILE");
    need(given.signer_key.is_some(), "--signer-key PUBKEYFILE");
    need(given.signer.is_some(), "--signer NAME");
    if flags.is_empty() {
        Ok(())
    } else {
        Err(missing(&flags))
    }
}

fn name(given: &Init, ask: &mut Option<&mut (dyn Ask + '_)>) -> Result<ClusterName, Failure> {
    let text = match (&given.name, ask) {
        (Some(name), _) => name.clone(),
        (None, Some(ask)) => ask.line("What shall the cluster be called here?", Some("pve"))?,
        (None, None) => "pve".to_owned(),
    };
    ClusterName::new(&text).map_err(|error| Failure::error(error.to_string()))
}

fn endpoints(
    given: &Init,
    ask: &mut Option<&mut (dyn Ask + '_)>,
) -> Result<Vec<Endpoint>, Failure> {
    let texts = match ask {
        _ if !given.endpoints.is_empty() => given.endpoints.clone(),
        Some(ask) => {
            let line = ask.line(
                "The address of a node (of several: with blanks between them)",
                None,
            )?;
            line.split_whitespace().map(str::to_owned).collect()
        }
        None => Vec::new(),
    };
    if texts.is_empty() {
        return Err(missing(&["--endpoint https://HOST"]));
    }
    texts
        .iter()
        .map(|text| {
            // A bare host is meant as Proxmox VE's own address.
            let url = if text.contains("://") {
                text.trim_end_matches('/').to_owned()
            } else {
                format!("https://{text}")
            };
            url.parse::<Endpoint>()
                .map_err(|error| Failure::error(error.to_string()))
        })
        .collect()
}

/// What makes the certificates trusted. Trust on first use is never silent: a person compares the fingerprint, or it is said.
async fn trust(
    given: &Init,
    endpoints: &[Endpoint],
    ask: &mut Option<&mut (dyn Ask + '_)>,
) -> Result<Tls, Failure> {
    if let Some(file) = &given.ca_file {
        return Ok(Tls::CaFile(file.clone()));
    }
    if given.system_roots {
        return Ok(Tls::SystemRoots);
    }
    let expected = given
        .fingerprint
        .as_deref()
        .map(|text| text.trim().parse::<Fingerprint>())
        .transpose()
        .map_err(|error| Failure::error(error.to_string()))?;
    let shown = certificates(endpoints).await?;
    let prints: Vec<String> = shown.iter().map(|c| c.fingerprint().to_string()).collect();
    if let Some(expected) = expected {
        let other = endpoints
            .iter()
            .zip(&prints)
            .find(|(_, print)| **print != expected.to_string());
        return match other {
            None => Ok(Tls::Fingerprint(expected)),
            Some((endpoint, print)) => Err(Failure::error(format!(
                "{endpoint} shows another certificate than is expected:\n  shown     {print}\n  expected  {expected}\n{}",
                if endpoints.len() > 1 {
                    "each node has a certificate of its own: for several nodes name the authority with --ca-file, /etc/pve/pve-root-ca.pem of any of them"
                } else {
                    "compare it with what `pvenode cert info` shows on the node itself; if it is another, somebody may stand in between"
                }
            ))),
        };
    }
    let Some(ask) = ask else {
        return Err(missing(&["--fingerprint FINGERPRINT"]));
    };
    let first = prints.first().cloned().unwrap_or_default();
    if prints.iter().any(|print| *print != first) {
        return Err(Failure::error(
            "each node shows a certificate of its own: for several nodes name the authority with --ca-file, /etc/pve/pve-root-ca.pem of any of them",
        ));
    }
    for (endpoint, certificate) in endpoints.iter().zip(&shown) {
        let until = certificate.expires().map_or_else(String::new, |at| {
            format!(", good until {}", at.strftime("%Y-%m-%d"))
        });
        ask.tell(&format!(
            "\n{endpoint} shows a certificate with the fingerprint{until}:\n\n  {}\n",
            certificate.fingerprint()
        ));
    }
    ask.tell("Compare it with what `pvenode cert info` shows on the node itself (file pveproxy-ssl.pem, else pve-ssl.pem).");
    let answer = ask.line(
        &format!("Is it the same? Type `{CONFIRMED}` if it is"),
        Some("no"),
    )?;
    if answer.trim() != CONFIRMED {
        return Err(Failure::error(
            "the certificate was not confirmed; nothing was written",
        ));
    }
    first
        .parse()
        .map(Tls::Fingerprint)
        .map_err(|error: crate::ids::InvalidId| Failure::error(error.to_string()))
}

/// The token from a file that only its owner can read, or from standard input.
fn token_of(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    if file == Path::new("-") {
        std::io::stdin()
            .take(4096)
            .read_to_string(&mut text)
            .map_err(|error| Failure::error(format!("cannot read standard input: {error}")))?;
    } else {
        // Read once to be refused where others can read it.
        ApiToken::from_file(file).map_err(|error| Failure::of(&error))?;
        std::fs::File::open(file)
            .and_then(|opened| opened.take(4096).read_to_string(&mut text))
            .map_err(|error| Failure::error(format!("cannot read {}: {error}", file.display())))?;
    }
    ApiToken::new(&text, "that was given").map_err(|error| Failure::of(&error))?;
    Ok(text)
}

/// The token as a person types it: its id, and its secret without echo.
fn typed_token(ask: &mut (dyn Ask + '_)) -> Result<Zeroizing<String>, Failure> {
    let id = ask.line("The token's id", Some(TOKEN))?;
    let secret = ask.secret("The token's secret (it is not shown)")?;
    let text = Zeroizing::new(format!("{}={}", id.trim(), secret.trim()));
    ApiToken::new(&text, "that was typed").map_err(|error| Failure::of(&error))?;
    Ok(text)
}

/// The person who may approve, and their public key.
fn signer(
    given: &Init,
    ask: &mut Option<&mut (dyn Ask + '_)>,
) -> Result<(Principal, String), Failure> {
    let file = match (&given.signer_key, &mut *ask) {
        (Some(file), _) => file.clone(),
        (None, Some(ask)) => {
            let default = ask.default_key();
            let line = ask.line(
                "The SSH public key of the person who may approve",
                default.as_deref(),
            )?;
            PathBuf::from(line.trim())
        }
        (None, None) => return Err(missing(&["--signer-key PUBKEYFILE"])),
    };
    let key = public_key(&file)?;
    let name = match (&given.signer, ask) {
        (Some(name), _) => name.clone(),
        (None, Some(ask)) => {
            let comment = key.comment().split('@').next().unwrap_or_default();
            let default = Principal::person(comment).ok().map(|_| comment);
            ask.line("What is this person called?", default)?
        }
        (None, None) => return Err(missing(&["--signer NAME"])),
    };
    let signer =
        Principal::person(name.trim()).map_err(|error| Failure::error(error.to_string()))?;
    let line = key.to_openssh().map_err(|error| {
        Failure::error(format!(
            "the public key in {} cannot be used: {error}",
            file.display()
        ))
    })?;
    Ok((signer, line))
}

fn public_key(file: &Path) -> Result<ssh_key::PublicKey, Failure> {
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(64 * 1024).read_to_string(&mut text))
        .map_err(|error| {
            Failure::error(format!(
                "cannot read the public key {}: {error}",
                file.display()
            ))
        })?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::error(format!(
            "{} is a private key, which nobody else gets to see: name the public one beside it, {}.pub",
            file.display(),
            file.display()
        )));
    }
    text.trim().parse().map_err(|error| {
        Failure::error(format!(
            "{} holds no public key such as `ssh-ed25519 AAAA…`: {error}",
            file.display()
        ))
    })
}

fn show(answers: &Answers, seen: &Seen, files: &[PathBuf], output: &Output) {
    let (nodes, guests, storages) = seen.counts;
    let configuration = answers.folder.join("bailiwick.yaml");
    let config = if answers.folder == Path::new(".") {
        String::new()
    } else {
        format!(" --config {}", configuration.display())
    };
    let next = [
        format!("bailiwick{config} doctor"),
        format!("bailiwick{config} import --to live"),
        format!("bailiwick{config} plan -f live"),
        format!("bailiwick{config} apply -f live"),
    ];
    output.value(&json!({
        "cluster": answers.cluster, "version": seen.version,
        "sees": { "nodes": nodes, "guests": guests, "storages": storages, "hidden": seen.hidden },
        "lacks": seen.lacking, "files": files, "next": next,
    }));
    output.line(format!(
        "cluster {}: Proxmox VE {}, {nodes} nodes, {guests} guests, {storages} storages",
        answers.cluster,
        clean(&seen.version)
    ));
    if !seen.hidden.is_empty() {
        output.line("not all of it can be seen:");
        for hidden in &seen.hidden {
            output.line(format!("  {}", clean(hidden)));
        }
    }
    if !seen.lacking.is_empty() {
        output.line(format!(
            "the token lacks some privileges of the usual role: {} (`bailiwick doctor` says which your documents take)",
            seen.lacking.join(", ")
        ));
    }
    output.line("made:");
    for file in files {
        output.line(format!("  {}", file.display()));
    }
    output.line("next:");
    let why = [
        "whether everything is well",
        "documents for what is there",
        "changes nothing",
        "from now on Bailiwick keeps it so; every change waits for an approval",
    ];
    for (command, why) in next.iter().zip(why) {
        output.line(format!("  {command}   # {why}"));
    }
}
