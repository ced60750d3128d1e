//! Running `git`: with a clean environment, a bound on its output and an end to its time, and with everything it started stopped
//! when it is. What it says is cleaned before anybody sees it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::plan::words::clean;
use crate::sources::error::SourceError;

/// Most bytes that git may say on standard error; the rest is read and thrown away.
const MOST_SAID: usize = 16 << 10;
/// Most characters of that in a message.
const MOST_SHOWN: usize = 1000;
/// Most bytes of an answer that is a word or two.
pub(super) const SHORT: usize = 1 << 20;

/// One call of git.
pub(super) struct Call<'a> {
    /// What it is for, after "cannot": `fetch the branch main of …`.
    pub(super) doing: &'a str,
    /// The arguments. Never anything secret: every user of the machine sees them.
    pub(super) arguments: Vec<OsString>,
    /// The whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub(super) folder: &'a Path,
    /// What it reads.
    pub(super) input: Vec<u8>,
    /// Most bytes it may answer with.
    pub(super) most: usize,
    /// How long it may take.
    pub(super) patience: Duration,
    /// What must not be repeated of what it says.
    pub(super) secrets: &'a [Zeroizing<String>],
    /// A folder that may not grow beyond a number of bytes meanwhile.
    pub(super) watched: Option<(PathBuf, u64)>,
}

/// What git answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) output: Vec<u8>,
    /// Standard error, cleaned.
    pub(super) said: String,
}

impl Answer {
    /// The output of a call that succeeded.
    pub(super) fn good(self, doing: &str) -> Result<Vec<u8>, SourceError> {
        if self.code == Some(0) {
            Ok(self.output)
        } else {
            Err(self.failed(doing))
        }
    }

    /// The error of a call that failed.
    pub(super) fn failed(self, doing: &str) -> SourceError {
        let said = match (self.said.is_empty(), self.code) {
            (false, _) => self.said,
            (true, Some(code)) => format!("git ended with exit code {code} and said nothing"),
            (true, None) => "git was stopped by a signal".to_owned(),
        };
        SourceError::Git {
            doing: doing.to_owned(),
            said,
        }
    }
}

/// Stops every process of a group when it goes out of scope, unless the group came to its end by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn stop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may be gone already; then there is nothing to stop.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How a call ended that did not end by itself.
enum Cut {
    Time,
    Output,
    Growth,
}

/// Runs git.
pub(super) async fn run(call: Call<'_>) -> Result<Answer, SourceError> {
    let mut child = Command::new("git")
        .args(&call.arguments)
        .env_clear()
        .envs(call.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(call.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: git's helpers (ssh, remote-https, index-pack) are stopped with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| SourceError::GitMissing {
            said: error.to_string(),
        })?;
    // Dropped before the child, so that the group's leader is still there, and its number nobody else's.
    let mut group = Group::of(&child);
    let ended = tokio::select! {
        answer = converse(&mut child, &call) => answer,
        () = tokio::time::sleep(call.patience) => Err(Cut::Time),
        () = outgrown(call.watched.as_ref()) => Err(Cut::Growth),
    };
    match ended {
        Ok(answer) => {
            group.0 = None;
            Ok(answer)
        }
        Err(cut) => {
            group.stop();
            let _ = child.wait().await;
            Err(cut_short(cut, &call))
        }
    }
}

fn cut_short(cut: Cut, call: &Call<'_>) -> SourceError {
    let doing = call.doing.to_owned();
    let bytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    match cut {
        Cut::Time => SourceError::TimedOut {
            doing,
            patience: call.patience,
        },
        Cut::Output => SourceError::TooMuch {
            doing,
            most: bytes(u64::try_from(call.most).unwrap_or(u64::MAX)),
        },
        Cut::Growth => SourceError::TooMuch {
            doing,
            most: bytes(call.watched.as_ref().map_or(0, |(_, most)| *most)),
        },
    }
}

/// Gives git its input and takes what it says, until it ends.
async fn converse(child: &mut Child, call: &Call<'_>) -> Result<Answer, Cut> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // Git may end without reading everything; its exit code tells whether that was well.
            let _ = stdin.write_all(&call.input).await;
            let _ = stdin.shutdown().await;
        }
        Ok(())
    };
    let read = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            let most = u64::try_from(call.most).unwrap_or(u64::MAX);
            // What cannot be read any more is told by the exit code.
            let _ = stdout
                .take(most.saturating_add(1))
                .read_to_end(&mut output)
                .await;
        }
        if output.len() > call.most {
            Err(Cut::Output)
        } else {
            Ok(output)
        }
    };
    let listen = async {
        Ok(match stderr {
            Some(stderr) => beginning(stderr).await,
            None => Vec::new(),
        })
    };
    let ((), output, said) = tokio::try_join!(write, read, listen)?;
    let status = child.wait().await.ok();
    Ok(Answer {
        code: status.and_then(|status| status.code()),
        output,
        said: told(&said, call.secrets),
    })
}

/// The beginning of a stream, which is read to its end, so that the writer does not wait.
async fn beginning(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let room = MOST_SAID.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    kept
}

/// Ends when the folder has grown beyond its bound; never without one.
async fn outgrown(watched: Option<&(PathBuf, u64)>) {
    let Some((folder, most)) = watched else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let folder = folder.clone();
        let size = tokio::task::spawn_blocking(move || size_of(&folder)).await;
        if size.is_ok_and(|size| size > *most) {
            return;
        }
    }
}

/// The bytes of all files below a folder; what cannot be looked at does not count.
pub(super) fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() {
                size_of(&entry.path())
            } else {
                metadata.len()
            })
        })
        .sum()
}

/// What git said, for people: one line, without control characters, secrets, and users in addresses.
fn told(bytes: &[u8], secrets: &[Zeroizing<String>]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    let text = without_users(&text);
    let lines: Vec<String> = text
        .lines()
        .map(|line| clean(line.trim()))
        .filter(|line| !line.is_empty())
        .collect();
    let line = lines.join("; ");
    if line.chars().count() <= MOST_SHOWN {
        return line;
    }
    let cut: String = line.chars().take(MOST_SHOWN).collect();
    format!("{cut}…")
}

/// Addresses without what stands before the `@`: `https://TOKEN@host/` becomes `https://host/`.
pub(super) fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(part.len());
        let (host, rest) = part.split_at(end);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        clean.push_str("://");
        clean.push_str(host);
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_cleaned() {
        let secrets = [Zeroizing::new("hunter2".to_owned())];
        let said = "\u{1b}[31mfatal:\u{1b}[0m no https://bob:pw@git.example.com/x@y.git\r\nremote: hunter2\n\n";
        assert_eq!(
            told(said.as_bytes(), &secrets),
            "\\u{1b}[31mfatal:\\u{1b}[0m no https://git.example.com/x@y.git; remote: ***"
        );
        let long = "ä".repeat(5000);
        assert_eq!(told(long.as_bytes(), &[]).chars().count(), MOST_SHOWN + 1);
        assert_eq!(told(b"\xff\x00", &[]), "\u{fffd}\\u{0}");
    }

    #[test]
    fn users_are_taken_out_of_addresses() {
        for (text, wanted) in [
            ("https://a@b/c", "https://b/c"),
            ("'https://t0ken@b'", "'https://b'"),
            (
                "ssh://git@h:22/x and https://u:p@@h",
                "ssh://h:22/x and https://h",
            ),
            ("no address, a@b", "no address, a@b"),
            ("://", "://"),
        ] {
            assert_eq!(without_users(text), wanted);
        }
    }
}
