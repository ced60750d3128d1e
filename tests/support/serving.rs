//! `bailiwick serve` beside a play, and waiting for what it does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::play::Play;

/// What makes the loop quick enough for a test.
pub const QUICK: &str =
    "reconcile: {interval: 1s, requestsPerCycle: 60}\nserve: {listen: \"127.0.0.1:0\"}\n";

/// A running `serve`.
pub struct Serving {
    child: Child,
    /// Where it listens.
    pub url: Option<String>,
    said: Arc<Mutex<String>>,
}

impl Serving {
    /// Starts it in the play's folder and waits until it is ready.
    #[track_caller]
    pub fn start(play: &Play) -> Self {
        Self::with(play, &[])
    }

    /// The same, with an environment.
    #[track_caller]
    pub fn with(play: &Play, environment: &[(&str, &str)]) -> Self {
        let mut command = play.command(&["serve", "-o", "json"]);
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (sink, errors) = (Arc::clone(&said), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        let url = serde_json::from_str::<Value>(&ready)
            .ok()
            .and_then(|ready| ready["url"].as_str().map(str::to_owned));
        // What it says later must not fill the pipe.
        std::thread::spawn(move || {
            let mut rest = String::new();
            while out.read_line(&mut rest).is_ok_and(|read| read > 0) {
                rest.clear();
            }
        });
        let serving = Self { child, url, said };
        assert!(
            ready.contains("ready"),
            "it did not become ready: {ready}\n{}",
            serving.said()
        );
        serving
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Stops it as systemd would, and asserts that it ends well.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended(60);
        assert!(status.success(), "{status}\n{}", self.said());
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ended by itself.
    #[track_caller]
    pub fn ended(&mut self, seconds: u64) -> std::process::ExitStatus {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something holds, at most a minute.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = holds() {
                return found;
            }
            assert!(
                Instant::now() < until,
                "it did not come to this: {what}\n--- said\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Play {
    /// A list, as JSON.
    #[track_caller]
    pub fn list(&self, what: &str) -> Vec<Value> {
        let list = self.json(&["get", what]).ends(0).json();
        list.as_array().unwrap().clone()
    }

    /// The hashes of the plans in a state.
    #[track_caller]
    pub fn plans_in(&self, state: &str) -> Vec<String> {
        self.list("plans")
            .iter()
            .filter(|plan| plan["state"] == state)
            .map(|plan| plan["plan"].as_str().unwrap().to_owned())
            .collect()
    }

    /// A condition's status: `True`, `False`, `Unknown`.
    #[track_caller]
    pub fn condition(&self, object: &str, kind: &str) -> Option<String> {
        self.list("conditions")
            .iter()
            .find(|found| found["object"] == object && found["type"] == kind)
            .map(|found| found["status"].as_str().unwrap().to_owned())
    }

    /// The reasons of all events, the oldest first.
    #[track_caller]
    pub fn events(&self) -> Vec<String> {
        let events = self.json(&["events", "--limit", "2000"]).ends(0).json();
        let reason = |event: &Value| event["reason"].as_str().unwrap().to_owned();
        events.as_array().unwrap().iter().map(reason).collect()
    }
}
