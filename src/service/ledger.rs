//! The ledger, as people use it: verify, export, checkpoint, rotate the key.

use std::io::Write;
use std::path::Path;

use super::error::ServiceError;
use super::open::Service;
use crate::ledger::{
    Action, CheckpointKey, Checkpoints, Key, Keys, Tampering, Verified, VerifyError, verify_reader,
};

impl Service {
    /// The keys a verification may need: the one in use and those it replaced.
    pub fn ledger_keys(&self) -> Result<Keys, ServiceError> {
        let mut keys = vec![(*self.key).clone()];
        for file in &self.configuration.ledger.previous_key_files {
            keys.push(Key::read(file).map_err(|error| ServiceError::Setup {
                what: format!("the ledger's previous key {}", file.display()),
                source: Box::new(error),
            })?);
        }
        Ok(keys.into_iter().collect())
    }

    /// The checkpoints of a file, or of the configured one; none when nothing is configured or nothing was written yet.
    pub fn checkpoints(&self, file: Option<&Path>) -> Result<Checkpoints, ServiceError> {
        let configured = self.configuration.ledger.checkpoint.as_ref();
        let file = match (file, configured) {
            (Some(file), _) => file,
            (None, Some(configured)) if configured.file.exists() => configured.file.as_path(),
            (None, _) => return Ok(Checkpoints::none()),
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Setup {
            what: format!("the checkpoints in {}", file.display()),
            source,
        };
        let keys = match configured {
            Some(configured) => vec![
                CheckpointKey::read(&configured.key_file)
                    .map_err(|error| failed(error.into()))?
                    .public(),
            ],
            None => {
                let advice = "the configuration names no checkpoint key (`ledger.checkpoint.keyFile`) to check their signatures with";
                return Err(failed(advice.into()));
            }
        };
        Checkpoints::read_file(file, &keys).map_err(|error| failed(error.into()))
    }

    /// Verifies the store's ledger, or an exported one. The inner result says what was done to it, if anything.
    pub async fn verify_ledger(
        &self,
        file: Option<&Path>,
        checkpoint: Option<&Path>,
    ) -> Result<Result<Verified, Tampering>, ServiceError> {
        let (keys, checkpoints) = (self.ledger_keys()?, self.checkpoints(checkpoint)?);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Setup {
            what: file.map_or_else(
                || "the ledger".to_owned(),
                |file| format!("the ledger in {}", file.display()),
            ),
            source,
        };
        let verified = match file {
            None => self.store.verify_ledger(&keys, &checkpoints).await,
            Some(file) => {
                let opened = std::fs::File::open(file).map_err(|error| failed(error.into()))?;
                verify_reader(std::io::BufReader::new(opened), &keys, &checkpoints)
            }
        };
        if file.is_none() && !matches!(verified, Err(VerifyError::Read(_))) {
            self.metrics.ledger_verified(self.now(), verified.is_ok());
        }
        match verified {
            Ok(verified) => Ok(Ok(verified)),
            Err(VerifyError::Tampered(tampering)) => Ok(Err(tampering)),
            Err(error @ VerifyError::Read(_)) => Err(failed(error.into())),
        }
    }

    /// Writes the ledger as JSON Lines.
    pub async fn export_ledger(&self, out: &mut impl Write) -> Result<(), ServiceError> {
        Ok(self.store.export_ledger(out).await?)
    }

    /// Signs the ledger's head and appends it to the configured checkpoint file. Returns the sequence number signed.
    pub async fn checkpoint(&self) -> Result<u64, ServiceError> {
        let configured = self
            .configuration
            .ledger
            .checkpoint
            .as_ref()
            .ok_or_else(|| {
                ServiceError::Request(
                    "the configuration has no `ledger.checkpoint`: say there where checkpoints go"
                        .to_owned(),
                )
            })?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Setup {
            what: "the checkpoint".to_owned(),
            source,
        };
        let key =
            CheckpointKey::read(&configured.key_file).map_err(|error| failed(error.into()))?;
        // The record first: the checkpoint covers it, so that its absence shows too.
        let mut tx = self.store.begin().await?;
        let detail = serde_json::json!({ "file": configured.file.display().to_string() });
        self.record(
            &mut tx,
            "system:bailiwick",
            Action::Checkpoint,
            "ledger",
            None,
            detail,
        )
        .await?;
        tx.commit().await?;
        let head = self
            .store
            .ledger_head()
            .await?
            .ok_or_else(|| ServiceError::Defect("a ledger without a head".to_owned()))?;
        let checkpoint = key
            .sign(&head, self.now())
            .map_err(|error| failed(error.into()))?;
        checkpoint
            .append_to(&configured.file)
            .map_err(|error| failed(error.into()))?;
        Ok(head.seq)
    }

    pub(super) async fn checkpoint_if_configured(&self) -> Result<(), ServiceError> {
        if self.configuration.ledger.checkpoint.is_some() {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Hands the ledger over to a new key, written to a new file. Returns the record's number.
    pub async fn rotate_ledger_key(&self, to: &Path, who: &str) -> Result<u64, ServiceError> {
        let new = Key::generate(to).map_err(|error| ServiceError::Setup {
            what: format!("the new key {}", to.display()),
            source: Box::new(error),
        })?;
        let mut tx = self.store.begin().await?;
        let record = tx
            .rotate_key(&self.key, &new, self.now(), who, "rotated by the operator")
            .await?;
        tx.commit().await?;
        Ok(record.seq)
    }
}

/// Makes the keys a configuration names where they are not there yet. Returns the files made.
pub fn make_keys(
    configuration: &crate::configuration::Configuration,
) -> Result<Vec<std::path::PathBuf>, ServiceError> {
    let failed =
        |file: &Path, source: Box<dyn std::error::Error + Send + Sync>| ServiceError::Setup {
            what: format!("making {}", file.display()),
            source,
        };
    let mut made = Vec::new();
    let file = &configuration.ledger.key_file;
    if !file.exists() {
        Key::generate(file).map_err(|error| failed(file, error.into()))?;
        made.push(file.clone());
    }
    if let Some(checkpoint) = &configuration.ledger.checkpoint {
        let file = &checkpoint.key_file;
        if !file.exists() {
            CheckpointKey::generate(file).map_err(|error| failed(file, error.into()))?;
            made.push(file.clone());
        }
    }
    Ok(made)
}
