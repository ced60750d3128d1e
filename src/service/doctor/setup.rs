//! What lies on this machine: the configuration, the state file, the ledger, the allowed signers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Diagnosis, Ward};
use crate::approval::signers::load_allowed_signers;
use crate::configuration::Configuration;
use crate::ledger::{CheckpointKey, Checkpoints, Key, Keys, VerifyError};
use crate::service::error::with_causes;
use crate::store::Store;

/// The configuration, which could be read.
pub(super) fn configuration(file: &Path, configuration: &Configuration, found: &mut Diagnosis) {
    let clusters: Vec<&str> = configuration
        .clusters
        .iter()
        .map(|cluster| cluster.name.as_str())
        .collect();
    found.ok(
        "configuration",
        format!(
            "{} is valid; clusters: {}",
            file.display(),
            clusters.join(", ")
        ),
    );
    for warning in configuration.warnings() {
        found.warning("configuration", warning);
    }
}

/// The permission bits of a file that others than its owner have.
fn exposed(file: &Path) -> std::io::Result<Option<u32>> {
    let mode = std::fs::metadata(file)?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// The state file: whether it is there, private, whole, and of this version.
pub(super) async fn state(configuration: &Configuration, found: &mut Diagnosis) -> Option<Store> {
    const NAME: &str = "state";
    let file = &configuration.state;
    if !file.exists() {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        match folder.filter(|folder| !folder.is_dir()) {
            Some(folder) => {
                let what = format!("the folder of {} is not there", file.display());
                found
                    .failed(NAME, what)
                    .advise(format!("mkdir -p {}", folder.display()));
            }
            None => found.skipped(
                NAME,
                format!(
                    "{} is not there yet; the first command makes it",
                    file.display()
                ),
            ),
        }
        return None;
    }
    match exposed(file) {
        Ok(None) => {}
        Ok(Some(mode)) => {
            let what = format!(
                "{} can be read or written by others (mode {mode:04o})",
                file.display()
            );
            found
                .failed(NAME, what)
                .advise(format!("chmod 600 {}", file.display()));
        }
        Err(error) => {
            found.failed(
                NAME,
                format!("{} cannot be looked at: {error}", file.display()),
            );
            return None;
        }
    }
    let opened = async {
        let store = Store::open_to_read(file).await?;
        let faults = store.faults().await?;
        let age = store.age().await?;
        Ok::<_, crate::store::StoreError>((store, faults, age))
    };
    match opened.await {
        Err(error) => {
            let what = format!("{}: {}", file.display(), with_causes(&error));
            let mut check = found.failed(NAME, what);
            check.advise("if it is no state file, name another as `state`; if it is broken, bring it back from a backup");
            None
        }
        Ok((_, faults, _)) if !faults.is_empty() => {
            found
                .failed(
                    NAME,
                    format!("{} is damaged: {}", file.display(), faults.join("; ")),
                )
                .advise("stop Bailiwick, keep the file, and bring it back from a backup");
            None
        }
        Ok((_, _, (_, Some(newer)))) => {
            found
                .failed(
                    NAME,
                    format!(
                        "{} was written by a newer version of Bailiwick (change {newer})",
                        file.display()
                    ),
                )
                .advise("use that version");
            None
        }
        Ok((store, _, (missing, None))) => {
            if missing > 0 {
                found.warning(
                    NAME,
                    format!(
                        "{} is of an earlier version; the next command brings it up to date",
                        file.display()
                    ),
                );
            } else {
                found.ok(NAME, format!("{} is whole", file.display()));
            }
            Some(store)
        }
    }
}

/// The ledger: its keys, whether it holds, and whether a checkpoint vouches for its end.
pub(super) async fn ledger(ward: &Ward<'_>, found: &mut Diagnosis) {
    const NAME: &str = "ledger";
    let configured = &ward.configuration.ledger;
    let mut keys = Vec::new();
    for file in std::iter::once(&configured.key_file).chain(&configured.previous_key_files) {
        match Key::read(file) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let mut check = found.failed(NAME, with_causes(&error));
                if !file.exists() {
                    check.advise("bailiwick ledger keygen (for a new ledger; for one that is there, bring its key back)");
                }
            }
        }
    }
    beside(&ward.configuration, found);
    let checkpoints = checkpoints(&ward.configuration, found);
    let Some(store) = &ward.store else {
        return found.skipped(NAME, "it lies in the state file");
    };
    if keys.len() != 1 + configured.previous_key_files.len() {
        return found.skipped(
            NAME,
            "it is verified with its keys, and not all of them can be read",
        );
    }
    match store.ledger_head().await {
        Ok(Some(_)) => {}
        Ok(None) => return found.skipped(NAME, "it has no record yet"),
        Err(error) => {
            found.failed(NAME, with_causes(&error));
            return;
        }
    }
    let keys: Keys = keys.into_iter().collect();
    let Some(checkpoints) = checkpoints else {
        return found.skipped(
            NAME,
            "it is verified with its checkpoints, and they cannot be read",
        );
    };
    match store.verify_ledger(&keys, &checkpoints).await {
        Ok(verified) => {
            let vouched = verified.vouched.map_or_else(
                || "no checkpoint vouches for its end".to_owned(),
                |seq| format!("checkpoints vouch for it up to #{seq}"),
            );
            found.ok(
                NAME,
                format!(
                    "it holds: {} records, head #{}; {vouched}",
                    verified.records, verified.head.seq
                ),
            );
        }
        Err(VerifyError::Tampered(tampering)) => {
            found
                .failed(NAME, format!("it does not hold: {tampering}"))
                .advise("bailiwick ledger export --to FILE keeps it for an inquiry; nothing that stands after this record is proved");
        }
        Err(error @ VerifyError::Read(_)) => {
            found.failed(NAME, with_causes(&error));
        }
    }
}

/// The key lies in the folder of the ledger, though they are written differently (by links, `..`); said otherwise the configuration
/// warns of it itself.
fn beside(configuration: &Configuration, found: &mut Diagnosis) {
    let (key, state) = (&configuration.ledger.key_file, &configuration.state);
    let folder = |file: &Path| file.parent().and_then(|folder| folder.canonicalize().ok());
    if key.parent() != state.parent() && folder(key).is_some() && folder(key) == folder(state) {
        found
            .warning(
                "ledger",
                format!(
                    "its key {} lies beside it: whoever can change the one can forge the other",
                    key.display()
                ),
            )
            .advise(
                "move the key to another disk or account, and name its place as `ledger.keyFile`",
            );
    }
}

/// The checkpoints, empty where there are none; `None` if they cannot be read.
fn checkpoints(configuration: &Configuration, found: &mut Diagnosis) -> Option<Checkpoints> {
    const NAME: &str = "checkpoints";
    let Some(configured) = &configuration.ledger.checkpoint else {
        return Some(Checkpoints::none());
    };
    let key = match CheckpointKey::read(&configured.key_file) {
        Ok(key) => key,
        Err(error) => {
            let mut check = found.failed(NAME, with_causes(&error));
            if !configured.key_file.exists() {
                check.advise("bailiwick ledger keygen");
            }
            return None;
        }
    };
    if !configured.file.exists() {
        let what = format!(
            "{} is not there: nothing vouches for the ledger's end yet",
            configured.file.display()
        );
        found
            .warning(NAME, what)
            .advise("bailiwick ledger checkpoint (every run makes one too)");
        return Some(Checkpoints::none());
    }
    match Checkpoints::read_file(&configured.file, &[key.public()]) {
        Ok(checkpoints) => {
            let last = checkpoints
                .last()
                .map_or_else(|| "none".to_owned(), |seq| format!("#{seq}"));
            found.ok(
                NAME,
                format!(
                    "{} is read; the last is of {last}",
                    configured.file.display()
                ),
            );
            Some(checkpoints)
        }
        Err(error) => {
            found.failed(
                NAME,
                format!("{}: {}", configured.file.display(), with_causes(&error)),
            );
            None
        }
    }
}

/// Who may approve.
pub(super) fn signers(ward: &Ward<'_>, found: &mut Diagnosis) {
    const NAME: &str = "allowed signers";
    let file = &ward.configuration.approval.allowed_signers;
    match load_allowed_signers(file) {
        Ok(signers) => {
            let warnings = ward.configuration.warnings_about(&signers);
            let people: Vec<&str> = signers
                .people()
                .into_iter()
                .map(|person| person.name())
                .collect();
            if !people.is_empty() {
                found.ok(NAME, format!("{} may approve", people.join(", ")));
            }
            for warning in warnings {
                let mut check = if people.is_empty() {
                    found.failed(NAME, warning)
                } else {
                    found.warning(NAME, warning)
                };
                check.advise(format!("write a line NAME KEY into {}", file.display()));
            }
        }
        Err(error) => {
            found.failed(NAME, with_causes(&error)).advise(format!(
                "write a line NAME KEY for each person into {}, such as: anna ssh-ed25519 AAAA…",
                file.display()
            ));
        }
    }
}
