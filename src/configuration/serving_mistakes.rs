//! What can be wrong with how `serve` listens, looks and tells, beyond what parsing finds.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::Configuration;
use super::serving::{Git, GitStatus};
use crate::ids::ClusterName;

type Add<'a> = &'a mut dyn FnMut(String, String);

impl Configuration {
    pub(super) fn serving_mistakes(&self, clusters: &BTreeSet<ClusterName>, add: Add<'_>) {
        self.listening(add);
        self.looking(add);
        for (name, source) in &self.sources {
            let path = format!("sources.{name}");
            if source.git.is_some() != name.starts_with("git:") && source.git.is_some() {
                add(
                    format!("{path}.git"),
                    format!("`{name}` is no Git source: call it `git:NAME`"),
                );
            }
            if source.directory.is_some() && !name.starts_with("directory:") {
                add(
                    format!("{path}.directory"),
                    format!("`{name}` is no directory source: call it `directory:NAME`"),
                );
            }
            if let Some(git) = &source.git {
                git_mistakes(git, &format!("{path}.git"), clusters, add);
            }
            if let Some(directory) = &source.directory {
                let path = format!("{path}.directory");
                paths(directory.paths.keys(), &path, clusters, add);
                let (least, most) = (1, 24 * 3600);
                length(directory.interval, least, most, &path, "interval", add);
            }
        }
        self.telling(add);
    }

    fn listening(&self, add: Add<'_>) {
        let serve = &self.serve;
        if !serve.listen.ip().is_loopback() && serve.tls.is_none() {
            add(
                "serve.listen".into(),
                format!(
                    "{} can be reached from other machines, and without `serve.tls` every agent's token would cross the network \
                     in the clear: write `serve.tls`, or listen on 127.0.0.1 behind a proxy",
                    serve.listen
                ),
            );
        }
        if !(1024..=16 << 20).contains(&serve.body_limit) {
            add(
                "serve.bodyLimit".into(),
                "expected a number of bytes from 1024 to 16777216".into(),
            );
        }
        for host in &serve.hosts {
            let plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
            if host.is_empty() || !host.chars().all(plain) {
                add(
                    "serve.hosts".into(),
                    format!(
                        "`{host}` is no host name, expected such as `bailiwick.example.com`, with a port only if it is asked for with one"
                    ),
                );
            }
        }
    }

    fn looking(&self, add: Add<'_>) {
        let looking = &self.reconcile;
        let path = "reconcile";
        let day = 24 * 3600;
        length(looking.interval, 1, 3600, path, "interval", add);
        length(
            looking.verify_ledger,
            60,
            30 * day,
            path,
            "verifyLedger",
            add,
        );
        length(
            looking.plans_expire,
            3600,
            365 * day,
            path,
            "plansExpire",
            add,
        );
        if !(8..=1000).contains(&looking.requests_per_cycle) {
            add(
                "reconcile.requestsPerCycle".into(),
                "expected a number from 8 to 1000".into(),
            );
        }
    }

    fn telling(&self, add: Add<'_>) {
        let mut names = BTreeSet::new();
        for (index, webhook) in self.notify.webhooks.iter().enumerate() {
            let path = format!("notify.webhooks[{index}]");
            if webhook.name.is_empty() || !names.insert(&webhook.name) {
                add(
                    format!("{path}.name"),
                    "give each webhook a name of its own: how far it was told is remembered by it"
                        .into(),
                );
            }
            let url = url::Url::parse(&webhook.url).ok();
            let loopback = |url: &url::Url| match url.host() {
                Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
                Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
                Some(url::Host::Domain(name)) => name == "localhost",
                None => false,
            };
            let good = url.as_ref().is_some_and(|url| {
                url.username().is_empty()
                    && url.password().is_none()
                    && match url.scheme() {
                        "https" => url.has_host(),
                        "http" => loopback(url),
                        _ => false,
                    }
            });
            if !good {
                add(
                    format!("{path}.url"),
                    "expected `https://HOST/…` without a user or password in it (`http://` only on this machine)".into(),
                );
            }
        }
    }
}

fn git_mistakes(git: &Git, path: &str, clusters: &BTreeSet<ClusterName>, add: Add<'_>) {
    paths(git.paths.keys(), path, clusters, add);
    length(git.interval, 5, 24 * 3600, path, "interval", add);
    for (cluster, folder) in &git.paths {
        let inside = |part: &str| !part.is_empty() && part != ".." && part != ".";
        if folder != "." && !folder.split('/').all(inside) {
            add(
                format!("{path}.paths.{cluster}"),
                format!(
                    "`{folder}` is no folder within the repository, expected such as `clusters/{cluster}`, or `.` for all of it"
                ),
            );
        }
    }
    let mut branches = vec![("branch", &git.branch)];
    if let GitStatus::Branch(branch) = &git.status {
        branches.push(("status.branch", branch));
        if *branch == git.branch {
            add(
                format!("{path}.status.branch"),
                "is the branch that is watched: name another one".into(),
            );
        }
    }
    for (field, branch) in branches {
        if !is_branch(branch) {
            add(
                format!("{path}.{field}"),
                format!("`{branch}` cannot be a branch, expected such as `main`"),
            );
        }
    }
    match transport(&git.url) {
        None => add(
            format!("{path}.url"),
            "expected `https://HOST/PATH`, `ssh://USER@HOST/PATH`, `USER@HOST:PATH`, or the absolute path of a repository, without a password in it".into(),
        ),
        Some(Transport::Ssh) if git.known_hosts_file.is_none() || git.ssh_key_file.is_none() => add(
            format!("{path}.knownHostsFile"),
            "over ssh, `sshKeyFile` and `knownHostsFile` must say which key is used and which server is believed".into(),
        ),
        Some(_) => {}
    }
}

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https://`.
    Https,
    /// `ssh://` or `USER@HOST:PATH`.
    Ssh,
    /// A path on this machine.
    Path,
}

/// How a repository is reached, if that is allowed: nothing that runs a program or crosses the network in the clear.
pub fn transport(url: &str) -> Option<Transport> {
    let plain = !url.is_empty() && !url.starts_with('-') && !url.chars().any(char::is_control);
    if !plain {
        return None;
    }
    if let Ok(parsed) = url::Url::parse(url) {
        return match parsed.scheme() {
            "https" if parsed.has_host() && parsed.password().is_none() => Some(Transport::Https),
            "ssh" if parsed.has_host() && parsed.password().is_none() => Some(Transport::Ssh),
            _ => None,
        };
    }
    if url.starts_with('/') {
        return Some(Transport::Path);
    }
    let (host, path) = url.split_once(':')?;
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c))
    };
    (word(host) && !path.is_empty() && !path.starts_with(':')).then_some(Transport::Ssh)
}

/// Whether git takes a name as a branch's; stricter than git where that costs nobody anything.
pub fn is_branch(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-/+#".contains(c);
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with(".lock")
            && !part.ends_with('.')
    };
    name.chars().all(good) && !name.contains("..") && name.split('/').all(part)
}

fn paths<'a>(
    named: impl ExactSizeIterator<Item = &'a ClusterName>,
    path: &str,
    clusters: &BTreeSet<ClusterName>,
    add: Add<'_>,
) {
    if named.len() == 0 {
        add(
            format!("{path}.paths"),
            "say which folder holds which cluster's documents, such as `paths: {lab: clusters/lab}`".into(),
        );
    }
    for cluster in named.filter(|cluster| !clusters.contains(*cluster)) {
        add(
            format!("{path}.paths.{cluster}"),
            format!("there is no cluster `{cluster}` in this configuration"),
        );
    }
}

fn length(given: SignedDuration, least: i64, most: i64, path: &str, field: &str, add: Add<'_>) {
    if !(least..=most).contains(&given.as_secs()) {
        let shown = |seconds| format!("{:#}", SignedDuration::from_secs(seconds));
        add(
            format!("{path}.{field}"),
            format!(
                "expected a length of time from `{}` to `{}`",
                shown(least),
                shown(most)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_ways_to_a_repository() {
        for (url, wanted) in [
            ("https://git.example.com/infra.git", Some(Transport::Https)),
            ("ssh://git@git.example.com/infra.git", Some(Transport::Ssh)),
            ("git@git.example.com:infra.git", Some(Transport::Ssh)),
            ("/srv/git/infra.git", Some(Transport::Path)),
            ("http://git.example.com/infra.git", None),
            ("git://git.example.com/infra.git", None),
            ("ext::sh -c whoami", None),
            ("file:///srv/git", None),
            ("--upload-pack=whoami", None),
            ("-oProxyCommand=x:y", None),
            ("https://user:secret@git.example.com/infra.git", None),
            ("relative/path", None),
            ("", None),
        ] {
            assert_eq!(transport(url), wanted, "{url}");
        }
    }

    #[test]
    fn branches() {
        for name in ["main", "feature/x-1", "release/1.2"] {
            assert!(is_branch(name), "{name}");
        }
        for name in [
            "", "-x", "a..b", "a b", "/a", "a/", "x.lock", "@{1}", "a~1", "refs:x", ".a",
        ] {
            assert!(!is_branch(name), "{name}");
        }
    }
}
