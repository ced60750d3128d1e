//! The kind `BackupJob`: which guests are backed up when, where to, and how long the backups are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{DesiredBackupJob, Value, Wish};
use super::options::{
    ExtraConfig, Field, Group, List, Set, collect, options, property_strings, words,
};
use super::scalar::{Bare, CalendarEvent, JobComment, NotesTemplate, PathPattern};
use super::storage::PruneBackups;
use crate::ids::{BackupJobId, NodeName, PoolId, StorageId, Vmid};

words! {
    /// What becomes of a guest while it is backed up.
    pub enum BackupMode { Snapshot = "snapshot", Suspend = "suspend", Stop = "stop" }
}
words! {
    /// How archives are compressed.
    pub enum Compression { Off = "0", Fast = "1", Gzip = "gzip", Lzo = "lzo", Zstd = "zstd" }
}
words! {
    /// Which of Proxmox VE's ways of telling people is used.
    pub enum NotificationMode { Auto = "auto", LegacySendmail = "legacy-sendmail", NotificationSystem = "notification-system" }
}
words! {
    /// When a mail is sent.
    pub enum MailNotification { Always = "always", Failure = "failure" }
}
words! {
    /// How changes in containers are found for a Proxmox Backup Server.
    pub enum ChangeDetection { Legacy = "legacy", Data = "data", Metadata = "metadata" }
}

options! {
    /// Where what a machine overwrites during its backup is kept meanwhile, so that it need not wait for the backup's storage.
    pub struct Fleecing {
        /// Whether it is used. Default `false`.
        enabled: Field<bool> = "enabled",
        /// The storage for it: a fast one of the machine's node.
        storage: Field<StorageId> = "storage",
    }
}

options! {
    /// How much work is done at once.
    pub struct Performance {
        /// How many requests a machine's backup has under way at once. Default 16.
        #[schemars(range(min = 1, max = 256))]
        max_workers: Field<u32> = "max-workers",
        /// How many entries of a container's files are held in memory (Proxmox Backup Server). Default 1048576.
        #[schemars(range(min = 1))]
        pbs_entries_max: Field<u32> = "pbs-entries-max",
    }
}
property_strings!(Fleecing, Performance);

options! {
    /// How a backup job shall be. What is not written is not managed; `null` asks for a setting's removal. A job that has to be made needs
    /// `schedule`, `storage`, and one of `guests`, `pool` and `all`.
    pub struct BackupJobSpec {
        /// The job's id, where it is not the document's name.
        id: Option<BackupJobId> = "id" by hand,
        /// When it runs, as a calendar event: `02:30`, `sat 03:00`, `mon..fri 22:00`.
        schedule: Field<CalendarEvent> = "schedule",
        /// Whether it runs at all. Default `true`.
        enabled: Field<bool> = "enabled",
        /// The guests it backs up, exactly. Excludes `pool` and `all`.
        guests: Field<Set<Vmid, ','>> = "vmid",
        /// The pool whose members it backs up. Excludes `guests` and `all`.
        pool: Field<PoolId> = "pool",
        /// Whether it backs up every guest but those of `exclude`, new ones too. Excludes `guests` and `pool`.
        all: Field<bool> = "all",
        /// The guests that a job of `all` does not back up.
        exclude: Field<Set<Vmid, ','>> = "exclude",
        /// Only guests on this node; all nodes' where this is not set.
        node: Field<NodeName> = "node",
        /// The storage the backups go to.
        storage: Field<StorageId> = "storage",
        /// How backups are made: `snapshot` while the guest runs, `suspend`, or `stop`. Default `snapshot`.
        mode: Field<BackupMode> = "mode",
        /// How archives are compressed: `zstd`, `gzip`, `lzo`, `"1"` (`lzo`) or `"0"` (not at all), the numbers in quotes.
        compress: Field<Compression> = "compress",
        /// How many backups are kept, instead of what the storage says. Older ones are removed after each run.
        prune_backups: Field<PruneBackups> = "prune-backups",
        /// Whether older backups are removed at all. Default `true`.
        remove: Field<bool> = "remove",
        /// Whether its backups are protected from removal. Default `false`.
        protected: Field<bool> = "protected",
        /// The notes of its backups, with `{{cluster}}`, `{{guestname}}`, `{{node}}` and `{{vmid}}` filled in.
        notes_template: Field<NotesTemplate> = "notes-template",
        /// A comment.
        comment: Field<JobComment> = "comment",
        /// Whether a run that was missed, because the node was down, is made up for. Default `false`.
        repeat_missed: Field<bool> = "repeat-missed",
        /// Whom a mail is sent to: addresses, or users of Proxmox VE.
        mail_to: Field<Set<Bare, ','>> = "mailto",
        /// When a mail is sent.
        mail_notification: Field<MailNotification> = "mailnotification",
        /// How people are told: `auto`, `legacy-sendmail` or `notification-system`. Default `auto`.
        notification_mode: Field<NotificationMode> = "notification-mode",
        /// Where what a machine overwrites during its backup is kept meanwhile.
        fleecing: Field<Fleecing> = "fleecing",
        /// Limit of bandwidth in KiB a second; 0 is none.
        bandwidth_limit: Field<u64> = "bwlimit",
        /// The priority of reading, 0 to 8; 8 is only when nobody else reads.
        #[schemars(range(min = 0, max = 8))]
        io_nice: Field<u32> = "ionice",
        /// How long a run waits for another one on its node, in minutes.
        lock_wait: Field<u64> = "lockwait",
        /// How long a guest has to stop, in minutes.
        stop_wait: Field<u64> = "stopwait",
        /// How much work is done at once.
        performance: Field<Performance> = "performance",
        /// Threads of `pigz`, used in place of `gzip`; 1 is half of the cores, 0 is `gzip`.
        pigz: Field<i32> = "pigz",
        /// Threads of `zstd`; 0 is half of the cores.
        zstd: Field<i32> = "zstd",
        /// Files of containers that are left out, as patterns: `/var/cache/*`.
        exclude_paths: Field<List<PathPattern, '\n'>> = "exclude-path",
        /// Whether temporary files and logs of containers are left out. Default `true`.
        standard_excludes: Field<bool> = "stdexcludes",
        /// How changes in containers are found for a Proxmox Backup Server: `legacy`, `data` or `metadata`.
        pbs_change_detection_mode: Field<ChangeDetection> = "pbs-change-detection-mode",
        /// Whether its log says less. Default `false`.
        quiet: Field<bool> = "quiet",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

impl BackupJobSpec {
    /// What this asks for in Proxmox VE's words, for the job of that id.
    pub fn desired(&self, id: BackupJobId) -> DesiredBackupJob {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        let mut options = collect(wishes);
        if let Some(Wish::Set(Value::Properties { set, remove })) = options.get_mut("prune-backups")
        {
            all_or_counts(set, remove);
        }
        DesiredBackupJob { id, options }
    }
}

/// Proxmox VE refuses a retention that keeps all and counts besides: who asks for one of the two asks for the other's removal.
fn all_or_counts(set: &BTreeMap<String, String>, remove: &mut BTreeSet<String>) {
    const ALL: &str = "keep-all";
    let all = set.get(ALL).is_some_and(|value| value == "1");
    if all {
        let counts = PruneBackups::COUNTS.iter();
        remove.extend(counts.map(|count| (*count).to_owned()));
    } else if !set.contains_key(ALL) && !set.is_empty() {
        remove.insert(ALL.to_owned());
    }
}
